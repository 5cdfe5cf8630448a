//! From the clauses of CREATE TABLE to a format with its options.

use super::ddl::check_property;
use crate::error::{Error, Result};
use crate::format::{FormatEntry, Options, find_format, format_of_file, format_of_input, format_of_serde, serde_of};
use crate::sql::CreateTable;
use crate::storage::{Location, list};
use std::collections::BTreeMap;

/// SerDe properties that say nothing which the format does not know by itself.
const SILENT: &[&str] = &[
    "serialization.format",
    "serialization.lib",
    "paths",
    "path",
    "parquet.column.index.access",
];

/// The format: that of the SerDe, as named, or of the InputFormat; without all of them Hive's TEXTFILE for files that are
/// there, unless they are to tell the columns, then what their names say; PARQUET for tables of ours.
pub(super) fn table_format(statement: &CreateTable, location: &str) -> Result<&'static FormatEntry> {
    let named = match (&statement.format, &statement.input_format) {
        (Some(name), _) => Some(find_format(name)?),
        (None, Some(class)) => Some(format_of_input(class)?),
        (None, None) => None,
    };
    let class = statement.row_format.as_ref().and_then(|r| r.serde.as_deref());
    if let Some(class) = class {
        let format = format_of_serde(class)?;
        return match named {
            // Lines of text, of which the SerDe says what they are.
            Some(named) if named.name() != format.name() && !["TEXTFILE", "CSV"].contains(&named.name()) => {
                Err(Error::plan(format!(
                    "the files are {}, but SERDE '{class}' reads {}",
                    named.name(),
                    format.name()
                ))
                .with_hint(match serde_of(named.name()) {
                    Some(right) => format!("the SerDe of {} is {right}", named.name()),
                    None => "leave one of both out".to_string(),
                }))
            }
            Some(named) if format.name() == "PARQUET" && named.name() != "PARQUET" => Err(Error::plan(format!(
                "SERDE '{class}' reads {}, but the files are {}",
                format.name(),
                named.name()
            ))),
            _ => Ok(format),
        };
    }
    if let Some(named) = named {
        return Ok(named);
    }
    if statement.row_format.is_some() {
        return find_format("TEXTFILE");
    }
    let existing = statement.query.is_none() && statement.location.is_some();
    match existing {
        true if statement.columns.is_empty() => match list(&Location::parse(location)?)?.first() {
            Some(file) => format_of_file(&file.location),
            None => Err(Error::plan(format!(
                "\"{location}\" has no files that tell format and columns"
            ))),
        },
        true => find_format("TEXTFILE"),
        false => find_format("PARQUET"),
    }
}

/// Which list of a statement a property is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Table,
    Serde,
    /// Those of any name.
    Extra,
}

/// Options of the format under its own names, and the other properties.
///
/// # Errors
/// For SerDe properties that the format does not have, and for values that its options do not take.
pub(super) fn split_properties(
    entry: &FormatEntry,
    statement: &CreateTable,
) -> Result<(BTreeMap<String, String>, BTreeMap<String, String>)> {
    let (mut options, mut properties) = (BTreeMap::new(), BTreeMap::new());
    let of_table = statement.properties.iter().map(|pair| (pair, From::Table));
    let of_serde = statement.serde_properties.iter().map(|pair| (pair, From::Serde));
    let extra = statement.extra_properties.iter().map(|pair| (pair, From::Extra));
    for ((name, value), from) in of_serde.chain(of_table).chain(extra) {
        let lower = name.to_lowercase();
        match entry.option(&lower) {
            // Hive writes field.delim beside serialization.format, which only repeats it.
            Some(option) if lower == "serialization.format" => {
                options.entry(option).or_insert_with(|| value.clone());
            }
            Some(option) => {
                options.insert(option, value.clone());
            }
            None if SILENT.contains(&lower.as_str()) => {}
            None if from == From::Serde => {
                let options = Options::new([(lower, value.clone())]);
                entry.check_options(&options)?;
            }
            None => {
                check_property(entry, &lower, value, statement, from == From::Extra)?;
                properties.insert(lower, value.clone());
            }
        }
    }
    if let Some(row) = &statement.row_format {
        let given = [
            ("delimiter", &row.delimiter),
            ("escape", &row.escape),
            ("quote", &row.quote),
            ("null", &row.null),
            ("collection_delimiter", &row.collection_delimiter),
            ("map_key_delimiter", &row.map_key_delimiter),
        ];
        for (name, value) in given {
            let Some(value) = value else { continue };
            if entry.option(name).is_none() {
                return Err(Error::plan(format!("format {} has no option \"{name}\"", entry.name())));
            }
            options.insert(name.to_string(), value.clone());
        }
        if let Some(line) = row
            .line_delimiter
            .as_deref()
            .filter(|line| !["\n", "\r\n", "10"].contains(line))
        {
            return Err(Error::unsupported(format!(
                "LINES TERMINATED BY '{}'",
                line.escape_debug()
            )));
        }
    }
    // Tells at once what is wrong with an option.
    entry.create(&Options::new(options.iter().map(|(k, v)| (k, v.clone()))))?;
    Ok((options, properties))
}
