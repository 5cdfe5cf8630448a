//! SHOW CREATE: from what the catalog remembers back to the statement that makes it.

use crate::catalog::{
    ColumnDefinition, DEFAULT_DATABASE, DatabaseDefinition, TableDefinition, ViewDefinition, hive_type_name,
};
use crate::format::{hive_property, serde_of};
use std::fmt::Write;

/// The statement that makes the table again.
pub(super) fn create_statement(table: &TableDefinition) -> String {
    let mut out = String::new();
    let external = if table.external { "EXTERNAL " } else { "" };
    let (database, name) = (identifier(&table.database), identifier(&table.name));
    let _ = write!(out, "CREATE {external}TABLE {database}.{name}");
    let column = |c: &ColumnDefinition| {
        let comment = c
            .comment
            .as_deref()
            .map(|t| format!(" COMMENT {}", quote(t)))
            .unwrap_or_default();
        let shown = c
            .data_type()
            .map_or_else(|_| c.type_text.clone(), |t| hive_type_name(&t));
        format!("  {} {shown}{comment}", identifier(&c.name))
    };
    let list = |columns: &[ColumnDefinition]| columns.iter().map(column).collect::<Vec<_>>().join(",\n");
    if !table.columns.is_empty() {
        let _ = write!(out, " (\n{}\n)", list(&table.columns));
    }
    if let Some(comment) = &table.comment {
        let _ = write!(out, "\nCOMMENT {}", quote(comment));
    }
    if !table.partitioned_by.is_empty() {
        let _ = write!(out, "\nPARTITIONED BY (\n{}\n)", list(&table.partitioned_by));
    }
    if let Some(bucketing) = table.bucketing.as_ref().filter(|b| b.count > 0) {
        let names = |names: Vec<String>| names.join(", ");
        let _ = write!(
            out,
            "\nCLUSTERED BY ({})",
            names(bucketing.columns.iter().map(|c| identifier(c)).collect())
        );
        if !bucketing.sorted_by.is_empty() {
            let order =
                |(c, down): &(String, bool)| format!("{} {}", identifier(c), if *down { "DESC" } else { "ASC" });
            let _ = write!(
                out,
                " SORTED BY ({})",
                names(bucketing.sorted_by.iter().map(order).collect())
            );
        }
        let _ = write!(out, " INTO {} BUCKETS", bucketing.count);
    }
    let pairs = |pairs: Vec<(String, String)>| {
        let pair = |(k, v): (String, String)| format!("  {} = {}", quote(&k), quote(&v));
        pairs.into_iter().map(pair).collect::<Vec<_>>().join(",\n")
    };
    let properties = table.properties.iter().filter(|(k, _)| *k != "comment");
    let mut properties: Vec<(String, String)> = properties.map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut of_serde = vec![];
    for (option, value) in &table.options {
        match hive_property(&table.format, option) {
            (name, false) if serde_of(&table.format).is_some() => of_serde.push((name, escaped(value))),
            (name, _) => properties.push((name, escaped(value))),
        }
    }
    // STORED AS TEXTFILE alone would mean another format, or leave no place for the options.
    let text = serde_of(&table.format).filter(|_| table.format != "PARQUET");
    let usual = text.filter(|_| table.format != "TEXTFILE" || !of_serde.is_empty());
    if let Some(class) = table.serde.as_deref().or(usual) {
        let _ = write!(out, "\nROW FORMAT SERDE {}", quote(class));
        if !of_serde.is_empty() {
            let _ = write!(out, "\nWITH SERDEPROPERTIES (\n{}\n)", pairs(of_serde));
        }
    }
    let stored = match text {
        Some(_) => "TEXTFILE",
        None => table.format.as_str(),
    };
    let _ = write!(out, "\nSTORED AS {stored}");
    if table.external {
        let _ = write!(out, "\nLOCATION {}", quote(&table.location));
    }
    if !properties.is_empty() {
        let _ = write!(out, "\nTBLPROPERTIES (\n{}\n)", pairs(properties));
    }
    out
}

/// The statements that make a database again.
pub(super) fn create_database(database: &DatabaseDefinition) -> String {
    let name = identifier(&database.name);
    let mut out = String::new();
    let properties = database
        .properties
        .iter()
        .map(|(k, v)| format!("  {} = {}", quote(k), quote(v)));
    let properties = properties.collect::<Vec<_>>().join(",\n");
    // The one that is always there cannot be created.
    if database.name == DEFAULT_DATABASE {
        if let Some(location) = &database.location {
            let _ = writeln!(out, "ALTER DATABASE {name} SET LOCATION {};", quote(location));
        }
        if !properties.is_empty() {
            let _ = writeln!(out, "ALTER DATABASE {name} SET DBPROPERTIES (\n{properties}\n);");
        }
        return out;
    }
    let _ = write!(out, "CREATE DATABASE {name}");
    if let Some(comment) = &database.comment {
        let _ = write!(out, "\nCOMMENT {}", quote(comment));
    }
    if let Some(location) = &database.location {
        let _ = write!(out, "\nLOCATION {}", quote(location));
    }
    if !properties.is_empty() {
        let _ = write!(out, "\nWITH DBPROPERTIES (\n{properties}\n)");
    }
    out.push_str(";\n");
    out
}

/// The statement that makes the view again, where its `current_database` is current.
pub(super) fn create_view(view: &ViewDefinition) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut out = format!("CREATE VIEW {}.{}", quoted(&view.database), quoted(&view.name));
    if !view.columns.is_empty() {
        let column = |name: &String| match view.column_comments.get(name) {
            Some(comment) => format!("{} COMMENT {}", quoted(name), quote(comment)),
            None => quoted(name),
        };
        let columns: Vec<String> = view.columns.iter().map(column).collect();
        let _ = write!(out, " ({})", columns.join(", "));
    }
    if let Some(comment) = &view.comment {
        let _ = write!(out, "\nCOMMENT {}", quote(comment));
    }
    if !view.properties.is_empty() {
        let pairs = view
            .properties
            .iter()
            .map(|(k, v)| format!("{} = {}", quote(k), quote(v)));
        let _ = write!(out, "\nTBLPROPERTIES ({})", pairs.collect::<Vec<_>>().join(", "));
    }
    let _ = write!(out, " AS\n{}", view.query);
    out
}

/// A name in backticks.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string literal.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An option's value with control characters as Hive writes them: `\001`.
pub(super) fn escaped(text: &str) -> String {
    let escape = |c: char| match c.is_ascii_control() {
        true => format!("\\{:03o}", c as u32),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}
