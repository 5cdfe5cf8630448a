//! SHOW CREATE: from what the catalog remembers back to the statement that makes it.

use crate::catalog::{ColumnDefinition, TableDefinition, hive_type_name};
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
    let mut properties: Vec<(&String, &String)> = table.properties.iter().filter(|(k, _)| *k != "comment").collect();
    match table.format.as_str() {
        "OPENCSV" => {
            out.push_str("\nROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'");
            out.push_str("\nSTORED AS TEXTFILE");
        }
        format => {
            let _ = write!(out, "\nSTORED AS {format}");
        }
    }
    if table.external {
        let _ = write!(out, "\nLOCATION {}", quote(&table.location));
    }
    properties.extend(&table.options);
    if !properties.is_empty() {
        let pair = |(k, v): (&String, &String)| format!("  {} = {}", quote(k), quote(v));
        let pairs: Vec<String> = properties.into_iter().map(pair).collect();
        let _ = write!(out, "\nTBLPROPERTIES (\n{}\n)", pairs.join(",\n"));
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
