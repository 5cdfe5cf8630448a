//! JSON lines: one document per line. Names are compared without regard to case, a missing or null member is NULL, numbers
//! and booleans are taken as text where a column is declared as text.

mod write;

pub use write::write_json;

use super::columns::{ColumnSource, column_sources, finish_batch};
use super::csv::line_number;
use super::registry::{FormatOption, Options};
use super::values::ValueBuilder;
use super::{BatchReader, FileFormat, FileInfo, Partition, ScanRequest};
use crate::error::{Error, Result};
use crate::storage::{Compression, ObjectFile, open_text};
use crate::types::{DataType, ScalarValue, array_of, common_type, row_of, type_name};
use crate::vector::{Batch, Column};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Field, Fields};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a file that one worker reads at a time.
const CHUNK: u64 = 8 << 20;
/// Lines and bytes of a file that are looked at for its columns.
const SAMPLE_LINES: usize = 20_000;
const SAMPLE_BYTES: u64 = 4 << 20;

/// The names of the options.
pub static JSON_OPTIONS: &[FormatOption] = &[&["ignore_malformed", "ignore.malformed.json"]];

/// One JSON document per line.
#[derive(Debug)]
pub struct JsonFormat {
    /// Lines that are no JSON objects give rows of NULLs.
    ignore_malformed: bool,
}

impl JsonFormat {
    pub fn new(options: &Options) -> Result<Self> {
        let ignore_malformed = match options
            .get(JSON_OPTIONS, "ignore_malformed")
            .map(str::to_lowercase)
            .as_deref()
        {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                return Err(Error::plan(format!(
                    "option ignore_malformed is true or false, found \"{other}\""
                )));
            }
        };
        Ok(Self { ignore_malformed })
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
                if lines.offset > SAMPLE_BYTES {
                    break;
                }
                match lines.next_document(self.ignore_malformed)? {
                    None => break,
                    Some(Value::Object(members)) => {
                        for (name, value) in &members {
                            widen(&mut columns, name, infer(value));
                        }
                    }
                    Some(_) => {}
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
        let chunks = match Compression::of(&file.location)? {
            Compression::None => file.size.div_ceil(CHUNK),
            _ => 1,
        };
        let partition = |i: u64| {
            let end = if i + 1 == chunks { file.size } else { (i + 1) * CHUNK };
            Partition {
                file: file.clone(),
                info: info.clone(),
                constants: constants.to_vec(),
                start: i * CHUNK,
                end,
                rows: None,
                bytes: end - i * CHUNK,
            }
        };
        Ok((0..chunks).map(partition).collect())
    }

    fn open(&self, partition: &Partition, request: &Arc<ScanRequest>) -> Result<Box<dyn BatchReader>> {
        // Every column is looked up by name in each document, so the position only has to say that it is in the file.
        let sources = column_sources(request, partition, |_| Some(0))?;
        Ok(Box::new(JsonReader {
            lines: Lines::open(&partition.file, partition.start..partition.end)?,
            request: request.clone(),
            sources,
            ignore_malformed: self.ignore_malformed,
        }))
    }
}

/// The lines that start in a range of a file. A line feed cannot be inside a JSON string, so each one ends a line.
struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    file: ObjectFile,
    compression: Compression,
    line: Vec<u8>,
    /// Where the next line starts, and where the range ends.
    offset: u64,
    end: u64,
}

impl Lines {
    fn open(file: &ObjectFile, range: Range<u64>) -> Result<Self> {
        let compression = Compression::of(&file.location)?;
        let plain = compression == Compression::None;
        let start = if plain { range.start.saturating_sub(1) } else { 0 };
        let mut lines = Self {
            input: BufReader::with_capacity(256 << 10, open_text(file, compression, start..file.size)?),
            file: file.clone(),
            compression,
            line: vec![],
            offset: start,
            end: if plain { range.end } else { u64::MAX },
        };
        if start < range.start && plain {
            lines.read_line()?;
        }
        Ok(lines)
    }

    fn read_line(&mut self) -> Result<bool> {
        self.line.clear();
        let read = self.input.read_until(b'\n', &mut self.line);
        let read =
            read.map_err(|e| Error::bad_file(format!("{}: after byte {}: {e}", self.file.location, self.offset)))?;
        self.offset += read as u64;
        Ok(read > 0)
    }

    /// The next document of the range; blank lines are left out.
    fn next_document(&mut self, ignore_malformed: bool) -> Result<Option<Value>> {
        while self.offset < self.end && self.read_line()? {
            let text = self.line.trim_ascii();
            let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
            if text.is_empty() {
                continue;
            }
            return match serde_json::from_slice(text) {
                Ok(value @ Value::Object(_)) => Ok(Some(value)),
                _ if ignore_malformed => Ok(Some(Value::Null)),
                Ok(other) => Err(self.error(0, format!("expected a JSON object, found {}", kind(&other)))),
                Err(e) => Err(self.error(e.column(), format!("not JSON: {}", cause(&e)))),
            };
        }
        Ok(None)
    }

    /// An error about the line that was just read.
    fn error(&self, column: usize, what: String) -> Error {
        let start = self.offset - self.line.len() as u64;
        let line = line_number(&self.file, self.compression, start).unwrap_or(0);
        let place = if column > 0 {
            format!(", character {column}")
        } else {
            String::new()
        };
        Error::bad_file(format!("{}: line {line}{place}: {what}", self.file.location))
            .with_hint("a JSON file has one object per line")
    }
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
    ignore_malformed: bool,
}

impl BatchReader for JsonReader {
    fn next(&mut self) -> Result<Option<Batch>> {
        let mut columns: Vec<Vec<Value>> = vec![vec![]; self.request.columns.len()];
        let mut rows = 0;
        while rows < self.request.batch_rows {
            let Some(mut document) = self.lines.next_document(self.ignore_malformed)? else {
                break;
            };
            for ((column, values), source) in self.request.columns.iter().zip(&mut columns).zip(&self.sources) {
                if matches!(source, ColumnSource::Constant(_)) {
                    continue;
                }
                let value = member(&mut document, &column.name).map_or(Value::Null, Value::take);
                // Checked here, where the line is known; building arrays of checked values cannot fail.
                check(&value, &column.data_type)
                    .map_err(|what| self.lines.error(0, format!("column \"{}\": {what}", column.name)))?;
                values.push(value);
            }
            rows += 1;
        }
        if rows == 0 {
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
                        Some(Column::Array(build(&values, &column.data_type)?))
                    }
                })
            });
        finish_batch(&self.request, &self.sources, decoded.collect::<Result<_>>()?, rows).map(Some)
    }
}

fn member<'a>(document: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let members = document.as_object_mut()?;
    // Most files spell names as the table does.
    if members.contains_key(name) {
        return members.get_mut(name);
    }
    members
        .iter_mut()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v)
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
fn check(value: &Value, t: &DataType) -> Result<(), String> {
    match (value, t) {
        (Value::Null, _) | (_, DataType::Utf8View) => Ok(()),
        (Value::Array(items), DataType::List(f)) => items.iter().try_for_each(|v| check(v, f.data_type())),
        (Value::Object(_), DataType::Struct(fields)) => fields
            .iter()
            .try_for_each(|f| check(field(value, f.name()), f.data_type())),
        (Value::Object(members), DataType::Map(entries, _)) => {
            let (key, item) = map_types(entries)?;
            members.iter().try_for_each(|(k, v)| {
                scalar(&Value::String(k.clone()), &key)?;
                check(v, &item)
            })
        }
        (value, t) if !t.is_nested() && !value.is_array() && !value.is_object() => scalar(value, t),
        (value, t) => Err(format!("expected {}, found {}", type_name(t), kind(value))),
    }
}

fn scalar(value: &Value, t: &DataType) -> Result<(), String> {
    let mut builder = ValueBuilder::new(t, 1, false).map_err(|e| e.message().to_string())?;
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
fn build(values: &[&Value], t: &DataType) -> Result<ArrayRef> {
    let valid = || -> NullBuffer { values.iter().map(|v| !v.is_null()).collect() };
    Ok(match t {
        DataType::List(item) => {
            let items = |v: &&'_ Value| v.as_array().map_or(0, Vec::len);
            let offsets = OffsetBuffer::from_lengths(values.iter().map(items));
            let flat: Vec<&Value> = values.iter().filter_map(|v| v.as_array()).flatten().collect();
            Arc::new(ListArray::try_new(
                item.clone(),
                offsets,
                build(&flat, item.data_type())?,
                Some(valid()),
            )?)
        }
        DataType::Struct(fields) => {
            let members = |f: &Arc<Field>| {
                build(
                    &values.iter().map(|v| field(v, f.name())).collect::<Vec<_>>(),
                    f.data_type(),
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
            let keys = build(&keys.iter().collect::<Vec<_>>(), &key)?;
            let items = build(&objects().flat_map(|o| o.values()).collect::<Vec<_>>(), &item)?;
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
            let mut builder = ValueBuilder::new(t, values.len(), false)?;
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
