//! SHOW CREATE: from what the catalog remembers back to the statement that makes it.

use crate::catalog::{ColumnDefinition, TableDefinition, hive_type_name};
use crate::format::{hive_property, serde_of};
use std::fmt::Write;

/// The statement that makes the table again.
pub(super) fn create_statement(table: &TableDefinition) -> String {
    let mut out = String::new();
    let external = if table.external { "EXTERNAL " } else { "" };
    let _ = write!(out, "CREATE {external}TABLE `{}`.`{}`", table.database, table.name);
    let column = |c: &ColumnDefinition| {
        let comment = c
            .comment
            .as_deref()
            .map(|t| format!(" COMMENT {}", quote(t)))
            .unwrap_or_default();
        let shown = c
            .data_type()
            .map_or_else(|_| c.type_text.clone(), |t| hive_type_name(&t));
        format!("  `{}` {shown}{comment}", c.name)
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
            names(bucketing.columns.iter().map(|c| format!("`{c}`")).collect())
        );
        if !bucketing.sorted_by.is_empty() {
            let order = |(c, down): &(String, bool)| format!("`{c}` {}", if *down { "DESC" } else { "ASC" });
            let _ = write!(
                out,
                " SORTED BY ({})",
                names(bucketing.sorted_by.iter().map(order).collect())
            );
        }
        let _ = write!(out, " INTO {} BUCKETS", bucketing.count);
    }
    let pairs = |pairs: Vec<(String, &String)>| {
        let pair = |(k, v): (String, &String)| format!("  {} = {}", quote(&k), quote(v));
        pairs.into_iter().map(pair).collect::<Vec<_>>().join(",\n")
    };
    let properties = table.properties.iter().filter(|(k, _)| *k != "comment");
    let mut properties: Vec<(String, &String)> = properties.map(|(k, v)| (k.clone(), v)).collect();
    let mut of_serde = vec![];
    for (option, value) in &table.options {
        match hive_property(&table.format, option) {
            (name, false) if serde_of(&table.format).is_some() => of_serde.push((name, value)),
            (name, _) => properties.push((name, value)),
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

/// A string literal; control characters as Hive writes them.
fn quote(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\{:03o}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}
