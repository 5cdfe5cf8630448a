//! One schema for files that were written at different times: columns are matched by name (by position in text without
//! names), what a file lacks is NULL, numbers widen, rows inside of rows get the fields of all. Any other clash is one error
//! that lists the files.

use super::table::{TableColumn, TableName};
use crate::error::{Error, Result};
use crate::format::{FileInfo, FormatEntry};
use crate::storage::ObjectFile;
use crate::types::{DataType, array_of, common_type, is_decimal, is_integer, map_of, row_of, type_name};
use std::collections::HashMap;
use std::sync::Arc;

/// Files that an error lists.
const LISTED: usize = 10;

/// The types that one column has, and the files that have each.
#[derive(Debug, Default)]
struct Drift {
    name: Arc<str>,
    types: Vec<TypeInFiles>,
}

#[derive(Debug)]
struct TypeInFiles {
    data_type: DataType,
    /// Some of the files, by position, and how many there are.
    files: Vec<usize>,
    count: usize,
}

impl Drift {
    fn add(&mut self, data_type: &DataType, file: usize) {
        let found = self.types.iter().position(|t| t.data_type == *data_type);
        let known = match found.and_then(|i| self.types.get_mut(i)) {
            Some(known) => known,
            None => {
                self.types.push(TypeInFiles {
                    data_type: data_type.clone(),
                    files: vec![],
                    count: 0,
                });
                match self.types.last_mut() {
                    Some(last) => last,
                    None => return,
                }
            }
        };
        known.count += 1;
        if known.files.len() < LISTED {
            known.files.push(file);
        }
    }

    /// The type that most files have.
    fn usual(&self) -> Option<&TypeInFiles> {
        self.types.iter().rev().max_by_key(|t| t.count)
    }

    fn common(&self) -> Option<DataType> {
        self.types
            .iter()
            .try_fold(DataType::Null, |common, t| meet(&common, &t.data_type))
    }
}

/// One schema for all files: by position for text without names, by name otherwise, each column with the common type.
///
/// # Errors
/// When types of a column do not meet, with the files.
pub(super) fn unify(entry: &FormatEntry, files: &[ObjectFile], infos: &[Arc<FileInfo>]) -> Result<Vec<TableColumn>> {
    let mut drifts: Vec<Drift> = vec![];
    // Where a column called so is: a list would make wide tables quadratic.
    let mut places: HashMap<String, usize> = HashMap::new();
    let text = entry.name() != "PARQUET";
    for (file, info) in infos.iter().enumerate() {
        for (position, (name, data_type)) in info.columns.iter().enumerate() {
            let place = match entry.by_position {
                true => (position < drifts.len()).then_some(position),
                false => places.get(&name.to_lowercase()).copied(),
            };
            match place.and_then(|p| drifts.get_mut(p)) {
                Some(drift) => drift.add(data_type, file),
                None => {
                    places.insert(name.to_lowercase(), drifts.len());
                    let mut drift = Drift {
                        name: name.clone(),
                        types: vec![],
                    };
                    drift.add(data_type, file);
                    drifts.push(drift);
                }
            }
        }
    }
    let (mut columns, mut clashes) = (vec![], vec![]);
    for drift in &drifts {
        match drift.common() {
            Some(common) => columns.push(column(&drift.name, common)),
            // What was guessed from samples of text can always be read as text.
            None if text => columns.push(column(&drift.name, DataType::Utf8View)),
            None => clashes.push(drift),
        }
    }
    match clashes.is_empty() {
        true => Ok(columns),
        false => Err(clash(&clashes, files)),
    }
}

fn column(name: &Arc<str>, data_type: DataType) -> TableColumn {
    TableColumn {
        name: name.clone(),
        data_type,
        nullable: true,
    }
}

/// Of each column in which files disagree: a file with the type that most have, and those whose type does not meet it.
fn clash(drifts: &[&Drift], files: &[ObjectFile]) -> Error {
    let (mut rows, mut all) = (vec![], 0);
    for drift in drifts {
        let Some(usual) = drift.usual() else { continue };
        let others = drift.types.iter().filter(|t| !std::ptr::eq(*t, usual));
        let apart = others.filter(|t| meet(&t.data_type, &usual.data_type).is_none());
        // With three types, two may meet the usual one and not each other.
        let apart: Vec<&TypeInFiles> = match apart.clone().next() {
            Some(_) => apart.collect(),
            None => drift.types.iter().filter(|t| !std::ptr::eq(*t, usual)).collect(),
        };
        let more = match usual.count {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        all += 1 + apart.iter().map(|t| t.count).sum::<usize>();
        rows.extend(usual.files.first().map(|file| Row {
            file: location(files, *file),
            column: drift.name.to_string(),
            data_type: type_name(&usual.data_type) + &more,
        }));
        for t in apart {
            rows.extend(t.files.iter().map(|file| Row {
                file: location(files, *file),
                column: drift.name.to_string(),
                data_type: type_name(&t.data_type),
            }));
        }
    }
    let names: Vec<String> = drifts.iter().take(LISTED).map(|d| format!("\"{}\"", d.name)).collect();
    let column = if drifts.len() == 1 { "column" } else { "columns" };
    Error::plan(format!(
        "the files do not agree about the type of {column} {}:{}",
        names.join(", "),
        shown(rows, all)
    ))
    .with_hint("declare the columns with CREATE EXTERNAL TABLE, or name files of one type with a pattern")
}

/// Whether values of the files' types can be read as those declared.
///
/// # Errors
/// When they cannot, with the files.
pub(super) fn check_declared(
    name: &TableName,
    declared: &[TableColumn],
    files: &[ObjectFile],
    infos: &[Arc<FileInfo>],
) -> Result<()> {
    let (mut rows, mut all, mut first) = (vec![], 0, None);
    for (file, info) in files.iter().zip(infos) {
        for column in declared {
            let Some((_, found)) = info.columns.iter().find(|(n, _)| n.eq_ignore_ascii_case(&column.name)) else {
                continue;
            };
            if is_readable(found, &column.data_type) {
                continue;
            }
            all += 1;
            first.get_or_insert_with(|| {
                format!(
                    "table {name} declares column \"{}\" as {}, but it is {} in {}",
                    column.name,
                    type_name(&column.data_type),
                    type_name(found),
                    file.location
                )
            });
            if rows.len() < LISTED {
                rows.push(Row {
                    file: file.location.to_string(),
                    column: column.name.to_string(),
                    data_type: format!("{}, declared {}", type_name(found), type_name(&column.data_type)),
                });
            }
        }
    }
    match first {
        None => Ok(()),
        Some(first) if all == 1 => Err(Error::plan(first)),
        Some(first) => Err(Error::plan(format!("{first}; these do not fit:{}", shown(rows, all)))),
    }
}

struct Row {
    file: String,
    column: String,
    data_type: String,
}

fn location(files: &[ObjectFile], file: usize) -> String {
    files.get(file).map_or(String::new(), |f| f.location.to_string())
}

/// The first rows as a table, and how many there are beside.
fn shown(mut rows: Vec<Row>, all: usize) -> String {
    rows.truncate(LISTED);
    let width = |of: fn(&Row) -> &String| rows.iter().map(|r| of(r).chars().count()).max().unwrap_or(0);
    let (files, columns) = (width(|r| &r.file), width(|r| &r.column));
    let mut out = String::new();
    for row in &rows {
        out.push_str(&format!(
            "\n  {:files$}  {:columns$}  {}",
            row.file, row.column, row.data_type
        ));
    }
    if all > rows.len() {
        out.push_str(&format!("\n  … and {} more", all - rows.len()));
    }
    out
}

/// The type that values of both can be read as; rows get the fields of both, matched by name.
fn meet(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match (a, b) {
        (a, b) if a == b => a.clone(),
        (List(a), List(b)) => array_of(meet(a.data_type(), b.data_type())?),
        (Map(a, _), Map(b, _)) => match (a.data_type(), b.data_type()) {
            (Struct(a), Struct(b)) => match (a.as_ref(), b.as_ref()) {
                ([ak, av], [bk, bv]) => map_of(
                    meet(ak.data_type(), bk.data_type())?,
                    meet(av.data_type(), bv.data_type())?,
                ),
                _ => return None,
            },
            _ => return None,
        },
        (Struct(a), Struct(b)) => {
            let mut fields: Vec<(String, DataType)> =
                a.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
            for field in b {
                match fields
                    .iter_mut()
                    .find(|(name, _)| name.eq_ignore_ascii_case(field.name()))
                {
                    Some((_, t)) => *t = meet(t, field.data_type())?,
                    None => fields.push((field.name().clone(), field.data_type().clone())),
                }
            }
            row_of(fields)
        }
        (a, b) => return common_type(a, b),
    })
}

/// Widening, and narrowing within integers and decimals and timestamps, which is checked value by value. Fields of rows are
/// found by name; those that the file lacks are NULL.
fn is_readable(found: &DataType, declared: &DataType) -> bool {
    use DataType::*;
    let exact = |t: &DataType| is_integer(t) || is_decimal(t);
    match (found, declared) {
        (a, b) if a == b => true,
        (a, b) if exact(a) && exact(b) => true,
        (Float64, Float32) | (Timestamp(..), Timestamp(..)) => true,
        (BinaryView, Utf8View) | (Utf8View, BinaryView) => true,
        (List(a), List(b)) => is_readable(a.data_type(), b.data_type()),
        (Map(a, _), Map(b, _)) => match (a.data_type(), b.data_type()) {
            (Struct(a), Struct(b)) => a.iter().zip(b).all(|(a, b)| is_readable(a.data_type(), b.data_type())),
            _ => false,
        },
        (Struct(found), Struct(declared)) => declared.iter().all(|wanted| {
            let same = found.iter().find(|f| f.name().eq_ignore_ascii_case(wanted.name()));
            same.is_none_or(|f| is_readable(f.data_type(), wanted.data_type()))
        }),
        (a, b) => common_type(a, b).as_ref() == Some(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::parse_type;

    fn met(a: &str, b: &str) -> Option<String> {
        meet(&parse_type(a).unwrap(), &parse_type(b).unwrap()).map(|t| type_name(&t))
    }

    #[test]
    fn types_meet_also_inside_of_others() {
        assert_eq!(met("int", "bigint").unwrap(), "bigint");
        assert_eq!(met("int", "decimal(5,2)").unwrap(), "decimal(12,2)");
        assert_eq!(met("date", "timestamp").unwrap(), "timestamp");
        assert_eq!(met("array<int>", "array<double>").unwrap(), "array(double)");
        assert_eq!(
            met("struct<a:int,b:string>", "struct<B:string,c:map<string,int>,a:bigint>").unwrap(),
            "row(a bigint, b varchar, c map(varchar, integer))"
        );
        assert_eq!(
            met("map<string,int>", "map<string,bigint>").unwrap(),
            "map(varchar, bigint)"
        );
        for (a, b) in [
            ("int", "string"),
            ("array<int>", "int"),
            ("struct<a:int>", "struct<a:date>"),
            ("string", "binary"),
        ] {
            assert_eq!(met(a, b), None, "{a} and {b}");
        }
    }

    #[test]
    fn declared_types_say_more() {
        let readable =
            |found: &str, declared: &str| is_readable(&parse_type(found).unwrap(), &parse_type(declared).unwrap());
        assert!(readable("bigint", "int") && readable("decimal(10,2)", "bigint") && readable("binary", "string"));
        assert!(readable("struct<a:int>", "struct<b:string,A:bigint>"));
        assert!(!readable("struct<a:int>", "struct<a:date>"));
        assert!(!readable("double", "int") && !readable("string", "int") && !readable("int", "string"));
    }

    #[test]
    fn long_lists_are_cut() {
        let file = |i: usize| ObjectFile {
            location: format!("/t/{i}.parquet").into(),
            size: 0,
            modified: 0,
            etag: None,
        };
        let files: Vec<ObjectFile> = (0..60).map(file).collect();
        let mut drift = Drift {
            name: "a".into(),
            types: vec![],
        };
        for i in 0..60 {
            drift.add(if i < 35 { &DataType::Int64 } else { &DataType::Utf8View }, i);
        }
        let error = clash(&[&drift], &files);
        let lines: Vec<&str> = error.message().lines().collect();
        assert_eq!(lines.len(), 12, "{error}");
        assert_eq!(lines[1], "  /t/0.parquet   a  bigint (and 34 more)");
        assert_eq!(lines[2], "  /t/35.parquet  a  varchar");
        assert_eq!(lines[11], "  … and 16 more");
    }
}
