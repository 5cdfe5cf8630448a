//! JSON lines: one document per line. Names are compared without regard to case unless told otherwise, a missing or null
//! member is NULL, numbers and booleans are taken as text where a column is declared as text. What is no JSON object, and a
//! member that is no value of its column's type, make a bad row ([`super::bad_rows`]).

mod write;

pub use write::write_json;

use super::bad_rows::{BadRowLog, BadRowOptions, Fault};
use super::columns::{ColumnSource, column_sources, finish_batch, without};
use super::lines::{Lines, chunks};
use super::registry::{FormatOption, Options};
use super::spelling::Spelling;
use super::values::ValueBuilder;
use super::{BatchReader, FileFormat, FileInfo, Partition, ScanRequest};
use crate::error::{Error, Result};
use crate::storage::{Compression, ObjectFile};
use crate::types::{DataType, ScalarValue, array_of, common_type, row_of, type_name};
use crate::vector::{Batch, Column};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Field, Fields};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Lines and bytes of a file that are looked at for its columns.
const SAMPLE_LINES: usize = 20_000;
const SAMPLE_BYTES: u64 = 4 << 20;
/// What options begin with that name the member of a column: `mapping.column` = `member`.
pub const JSON_MAPPING: &str = "mapping.";

/// The names of the options.
pub static JSON_OPTIONS: &[FormatOption] = &[
    &["ignore_malformed", "ignore.malformed.json"],
    &["dots_in_keys", "dots.in.keys"],
    &["case_insensitive", "case.insensitive"],
    &["timestamp_format", "timestamp.formats", "timestampformat"],
    &["date_format", "dateformat"],
    &["encoding", "serialization.encoding", "charset"],
    &["bad_rows"],
    &["max_bad_rows"],
    &["quarantine_location"],
];

/// One JSON document per line.
#[derive(Debug)]
pub struct JsonFormat {
    /// Lines that are no JSON objects give rows of NULLs.
    ignore_malformed: bool,
    names: Names,
    spelling: Spelling,
    bad_rows: BadRowOptions,
}

/// How columns find their members.
#[derive(Debug, Clone)]
struct Names {
    /// Columns whose member is called otherwise.
    mapping: BTreeMap<String, String>,
    /// Whether a point in a member's name is an underscore in the column's.
    dots: bool,
    ignore_case: bool,
}

impl JsonFormat {
    pub fn new(options: &Options) -> Result<Self> {
        let flag = |name: &str, usual: bool| match options.get(JSON_OPTIONS, name).map(str::to_lowercase).as_deref() {
            None => Ok(usual),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(Error::plan(format!(
                "option {name} is true or false, found \"{other}\""
            ))),
        };
        let mapping = options.iter().filter_map(|(name, member)| {
            let column = name.strip_prefix(JSON_MAPPING)?;
            Some((column.to_string(), member.to_string()))
        });
        let spelling = Spelling::of(JSON_OPTIONS, options)?;
        if spelling.latin1 {
            return Err(Error::unsupported("JSON in another encoding than utf-8"));
        }
        Ok(Self {
            ignore_malformed: flag("ignore_malformed", false)?,
            names: Names {
                mapping: mapping.collect(),
                dots: flag("dots_in_keys", false)?,
                ignore_case: flag("case_insensitive", true)?,
            },
            spelling,
            bad_rows: BadRowOptions::of(JSON_OPTIONS, options)?,
        })
    }
}

impl FileFormat for JsonFormat {
    fn name(&self) -> &'static str {
        "JSON"
    }

    fn inspect(&self, file: &ObjectFile, sample: bool) -> Result<FileInfo> {
        let mut columns: Vec<(Arc<str>, DataType)> = vec![];
        if sample {
            let mut lines = Lines::open(file, 0..file.size)?;
            for _ in 0..SAMPLE_LINES {
                if lines.position() > SAMPLE_BYTES {
                    break;
                }
                let Some(line) = lines.next_line()? else { break };
                // What is wrong with a line is told when it is read.
                if let Ok(Value::Object(members)) = serde_json::from_slice(line) {
                    for (name, value) in &members {
                        widen(&mut columns, &self.names.column(name), infer(value));
                    }
                }
            }
            columns.iter_mut().for_each(|(_, t)| *t = settle(t.clone()));
        }
        Ok(FileInfo {
            columns,
            ..Default::default()
        })
    }

    fn partitions(
        &self,
        file: &ObjectFile,
        info: &Arc<FileInfo>,
        constants: &[ScalarValue],
        _request: &ScanRequest,
    ) -> Result<Vec<Partition>> {
        Ok(chunks(file, Compression::of(&file.location)?, info, constants))
    }

    fn bad_rows(&self) -> Option<&BadRowOptions> {
        Some(&self.bad_rows)
    }

    fn open(&self, partition: &Partition, request: &Arc<ScanRequest>) -> Result<Box<dyn BatchReader>> {
        // Every column is looked up by name in each document, so the position only has to say that it is in the file.
        let sources = column_sources(request, partition, |_| Some(0))?;
        let lines = Lines::open(&partition.file, partition.start..partition.end)?;
        let members = request.columns.iter().map(|c| self.names.member(&c.name)).collect();
        Ok(Box::new(JsonReader {
            bad_rows: BadRowLog::new(&partition.file, lines.compression),
            lines,
            request: request.clone(),
            sources,
            members,
            names: self.names.clone(),
            ignore_malformed: self.ignore_malformed,
            spelling: self.spelling.clone(),
        }))
    }
}

impl Names {
    /// The column that a member is, when the files tell the columns.
    fn column(&self, member: &str) -> String {
        if let Some((column, _)) = self.mapping.iter().find(|(_, m)| m.as_str() == member) {
            return column.clone();
        }
        match self.dots {
            true => member.replace('.', "_"),
            false => member.to_string(),
        }
    }

    /// What the member of a column is called.
    fn member(&self, column: &str) -> String {
        self.mapping
            .get(&column.to_lowercase())
            .cloned()
            .unwrap_or_else(|| column.to_string())
    }

    /// Takes the member of that name out of a document.
    fn take(&self, document: &mut Value, name: &str) -> Value {
        let Some(members) = document.as_object_mut() else {
            return Value::Null;
        };
        // Most files spell names as the table does.
        if let Some(value) = members.get_mut(name) {
            return value.take();
        }
        let same = |found: &str| match (self.ignore_case, self.dots) {
            (true, false) => found.eq_ignore_ascii_case(name),
            (true, true) => found.replace('.', "_").eq_ignore_ascii_case(name),
            (false, true) => found.replace('.', "_") == name,
            (false, false) => false,
        };
        let found = members.iter_mut().find(|(n, _)| same(n));
        found.map_or(Value::Null, |(_, value)| value.take())
    }
}

/// The document in a line, without blanks around it.
fn document(text: &[u8]) -> Result<Value, Fault> {
    let what = match serde_json::from_slice(text) {
        Ok(value @ Value::Object(_)) => return Ok(value),
        Ok(other) => format!("expected a JSON object, found {}", kind(&other)),
        Err(e) => format!("character {}: not JSON: {}", e.column(), cause(&e)),
    };
    Err(Fault::of_row(what).with_hint("a JSON file has one object per line"))
}

/// serde_json's message without its position, which counts from the start of the line.
fn cause(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_string()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn widen(columns: &mut Vec<(Arc<str>, DataType)>, name: &str, t: DataType) {
    match columns.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        Some((_, known)) => *known = merge(known.clone(), t),
        None => columns.push((name.into(), t)),
    }
}

/// The type of a value: whole numbers bigint, others double, objects rows, `Null` where nothing is known.
fn infer(value: &Value) -> DataType {
    match value {
        Value::Null => DataType::Null,
        Value::Bool(_) => DataType::Boolean,
        Value::Number(n) if n.is_i64() => DataType::Int64,
        Value::Number(_) => DataType::Float64,
        Value::String(_) => DataType::Utf8View,
        Value::Array(items) => array_of(items.iter().map(infer).fold(DataType::Null, merge)),
        Value::Object(members) => row_of(members.iter().map(|(n, v)| (n.clone(), infer(v))).collect()),
    }
}

/// The type for values of both types: rows get the members of both; what has nothing in common is text.
fn merge(a: DataType, b: DataType) -> DataType {
    match (&a, &b) {
        (DataType::List(x), DataType::List(y)) => array_of(merge(x.data_type().clone(), y.data_type().clone())),
        (DataType::Struct(x), DataType::Struct(y)) => {
            let mut fields: Vec<(String, DataType)> =
                x.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
            for f in y {
                match fields.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(f.name())) {
                    Some((_, t)) => *t = merge(t.clone(), f.data_type().clone()),
                    None => fields.push((f.name().clone(), f.data_type().clone())),
                }
            }
            row_of(fields)
        }
        _ => common_type(&a, &b).unwrap_or(DataType::Utf8View),
    }
}

/// Columns of which only nulls were seen are text.
fn settle(t: DataType) -> DataType {
    match &t {
        DataType::Null => DataType::Utf8View,
        DataType::List(f) => array_of(settle(f.data_type().clone())),
        DataType::Struct(fields) => row_of(
            fields
                .iter()
                .map(|f| (f.name().clone(), settle(f.data_type().clone())))
                .collect(),
        ),
        _ => t,
    }
}

struct JsonReader {
    lines: Lines,
    request: Arc<ScanRequest>,
    sources: Vec<ColumnSource>,
    /// What the member of each column is called.
    members: Vec<String>,
    names: Names,
    ignore_malformed: bool,
    spelling: Spelling,
    bad_rows: BadRowLog,
}

impl JsonReader {
    /// Adds the values of one document to the columns, NULL for what is wrong; the first thing that is.
    fn take(&self, mut document: Value, columns: &mut [Vec<Value>]) -> Option<Fault> {
        let mut fault = None;
        let wanted = self.request.columns.iter().zip(&self.members).zip(&self.sources);
        for (((column, member), source), values) in wanted.zip(columns) {
            if matches!(source, ColumnSource::Constant(_)) {
                continue;
            }
            let value = self.names.take(&mut document, member);
            // Checked here, where the line is known; building arrays of checked values cannot fail.
            match check(&value, &column.data_type, &self.spelling) {
                Ok(()) => values.push(value),
                Err(what) => {
                    values.push(Value::Null);
                    fault.get_or_insert_with(|| Fault::of_column(&column.name, what));
                }
            }
        }
        fault
    }
}

impl BatchReader for JsonReader {
    fn next(&mut self) -> Result<Option<Batch>> {
        let mut columns: Vec<Vec<Value>> = vec![vec![]; self.request.columns.len()];
        let (mut rows, mut dropped) = (0, vec![]);
        while rows < self.request.batch_rows {
            let Some(line) = self.lines.next_line()? else { break };
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let fault = match document(line) {
                Ok(document) => self.take(document, &mut columns),
                Err(fault) => {
                    self.take(Value::Null, &mut columns);
                    Some(fault).filter(|_| !self.ignore_malformed)
                }
            };
            if let Some(fault) = fault {
                let (start, row) = (self.lines.start(), self.lines.line());
                if !self.bad_rows.note(&self.request.bad_rows, start, &fault, row)? {
                    dropped.push(rows as u32);
                }
            }
            rows += 1;
        }
        if rows == 0 {
            self.bad_rows.flush(&self.request.bad_rows)?;
            return Ok(None);
        }
        let decoded = columns
            .iter()
            .zip(&self.request.columns)
            .zip(&self.sources)
            .map(|((values, column), source)| {
                Ok(match source {
                    ColumnSource::Constant(_) => None,
                    ColumnSource::File(_) => {
                        let values: Vec<&Value> = values.iter().collect();
                        Some(Column::Array(build(&values, &column.data_type, &self.spelling)?))
                    }
                })
            });
        let decoded = decoded.collect::<Result<_>>()?;
        finish_batch(&self.request, &self.sources, decoded, rows, without(rows, &dropped)).map(Some)
    }
}

impl Drop for JsonReader {
    /// A query that has enough rows reads no further; what was quarantined until then is kept.
    fn drop(&mut self) {
        let _ = self.bad_rows.flush(&self.request.bad_rows);
    }
}

fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    let members = match value {
        Value::Object(members) => members,
        _ => return &Value::Null,
    };
    let same = || {
        members
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    };
    members.get(name).or_else(same).unwrap_or(&Value::Null)
}

/// What is wrong with a value for a column of this type.
fn check(value: &Value, t: &DataType, spelling: &Spelling) -> Result<(), String> {
    match (value, t) {
        (Value::Null, _) | (_, DataType::Utf8View) => Ok(()),
        (Value::Array(items), DataType::List(f)) => items.iter().try_for_each(|v| check(v, f.data_type(), spelling)),
        (Value::Object(_), DataType::Struct(fields)) => fields
            .iter()
            .try_for_each(|f| check(field(value, f.name()), f.data_type(), spelling)),
        (Value::Object(members), DataType::Map(entries, _)) => {
            let (key, item) = map_types(entries)?;
            members.iter().try_for_each(|(k, v)| {
                scalar(&Value::String(k.clone()), &key, spelling)?;
                check(v, &item, spelling)
            })
        }
        (value, t) if !t.is_nested() && !value.is_array() && !value.is_object() => scalar(value, t, spelling),
        (value, t) => Err(format!("expected {}, found {}", type_name(t), kind(value))),
    }
}

fn scalar(value: &Value, t: &DataType, spelling: &Spelling) -> Result<(), String> {
    let mut builder = ValueBuilder::new(t, 1, spelling).map_err(|e| e.message().to_string())?;
    builder
        .append(text(value).as_bytes())
        .ok_or_else(|| format!("\"{}\" is not a value of type {}", text(value), type_name(t)))
}

fn map_types(entries: &Field) -> Result<(DataType, DataType), String> {
    match entries.data_type() {
        DataType::Struct(kv) if kv.len() == 2 => Ok((kv[0].data_type().clone(), kv[1].data_type().clone())),
        other => Err(format!("a map of {other}")),
    }
}

/// A value as text: strings as they are, everything else as JSON. Whole doubles lose their fraction for integer columns.
fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Number(n) => match n.as_f64() {
            Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < 1e15 => format!("{}", f as i64),
            _ => n.to_string(),
        },
        other => other.to_string(),
    }
}

/// An array of the values, which [`check`] has let through.
fn build(values: &[&Value], t: &DataType, spelling: &Spelling) -> Result<ArrayRef> {
    let valid = || -> NullBuffer { values.iter().map(|v| !v.is_null()).collect() };
    Ok(match t {
        DataType::List(item) => {
            let items = |v: &&'_ Value| v.as_array().map_or(0, Vec::len);
            let offsets = OffsetBuffer::from_lengths(values.iter().map(items));
            let flat: Vec<&Value> = values.iter().filter_map(|v| v.as_array()).flatten().collect();
            Arc::new(ListArray::try_new(
                item.clone(),
                offsets,
                build(&flat, item.data_type(), spelling)?,
                Some(valid()),
            )?)
        }
        DataType::Struct(fields) => {
            let members = |f: &Arc<Field>| {
                build(
                    &values.iter().map(|v| field(v, f.name())).collect::<Vec<_>>(),
                    f.data_type(),
                    spelling,
                )
            };
            let arrays = fields.iter().map(members).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                arrays,
                Some(valid()),
                values.len(),
            )?)
        }
        DataType::Map(entries, sorted) => {
            let (key, item) = map_types(entries).map_err(Error::internal)?;
            let objects = || values.iter().filter_map(|v| v.as_object());
            let offsets = OffsetBuffer::from_lengths(values.iter().map(|v| v.as_object().map_or(0, |o| o.len())));
            let keys: Vec<Value> = objects().flat_map(|o| o.keys().cloned().map(Value::String)).collect();
            let keys = build(&keys.iter().collect::<Vec<_>>(), &key, spelling)?;
            let items = build(&objects().flat_map(|o| o.values()).collect::<Vec<_>>(), &item, spelling)?;
            let fields: Fields = match entries.data_type() {
                DataType::Struct(fields) => fields.clone(),
                _ => Fields::empty(),
            };
            let pairs = StructArray::try_new(fields, vec![keys, items], None)?;
            Arc::new(MapArray::try_new(
                entries.clone(),
                offsets,
                pairs,
                Some(valid()),
                *sorted,
            )?)
        }
        t => {
            let mut builder = ValueBuilder::new(t, values.len(), spelling)?;
            for value in values {
                match value {
                    Value::Null => builder.append_null(),
                    Value::String(s) => append(&mut builder, s)?,
                    other if builder.is_string() => append(&mut builder, &other.to_string())?,
                    other => append(&mut builder, &text(other))?,
                }
            }
            builder.finish()?
        }
    })
}

fn append(builder: &mut ValueBuilder, text: &str) -> Result<()> {
    let done = builder.append(text.as_bytes());
    done.ok_or_else(|| Error::internal(format!("the value {text} was checked before")))
}

#[cfg(test)]
mod tests;
