//! JSON lines: one document per line. Names are compared without regard to case unless told otherwise, a missing or null
//! member is NULL, numbers and booleans are taken as text where a column is declared as text. What is no JSON object, and a
//! member that is no value of its column's type, make a bad row ([`super::bad_rows`]).

mod values;
mod write;

pub use write::write_json;

use super::bad_rows::{BadRowLog, BadRowOptions, Fault};
use super::columns::{ColumnSource, column_sources, finish_batch, without};
use super::lines::{Lines, chunks};
use super::nested::Node;
use super::registry::{FormatOption, Options};
use super::spelling::Spelling;
use super::{BatchReader, FileFormat, FileInfo, Partition, ScanRequest};
use crate::error::{Error, Result};
use crate::storage::{Compression, ObjectFile};
use crate::types::{DataType, ScalarValue, array_of, common_type, row_of};
use crate::vector::{Batch, Column};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use values::{Members, kind};

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
        let columns = request
            .columns
            .iter()
            .zip(&sources)
            .map(|(column, source)| match source {
                ColumnSource::Constant(_) => Ok(None),
                ColumnSource::File(_) => Node::new(&column.data_type, request.batch_rows, &self.spelling).map(Some),
            });
        Ok(Box::new(JsonReader {
            bad_rows: BadRowLog::new(&partition.file, lines.compression),
            lines,
            request: request.clone(),
            columns: columns.collect::<Result<_>>()?,
            sources,
            wanted: self.names.wanted(request.columns.iter().map(|c| c.name.as_ref())),
            names: self.names.clone(),
            ignore_malformed: self.ignore_malformed,
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

    /// Which columns a member is the value of, by its name as [`Names::key`] has it.
    fn wanted<'c>(&self, columns: impl Iterator<Item = &'c str>) -> HashMap<String, Vec<(usize, String)>> {
        let mut wanted: HashMap<String, Vec<(usize, String)>> = HashMap::new();
        for (i, column) in columns.enumerate() {
            let member = self.member(column);
            let key = self.key(&member).into_owned();
            wanted.entry(key).or_default().push((i, member));
        }
        wanted
    }

    /// The name without what makes no difference.
    fn key<'n>(&self, name: &'n str) -> Cow<'n, str> {
        let mut key = Cow::Borrowed(name);
        if self.dots && name.contains('.') {
            key = Cow::Owned(name.replace('.', "_"));
        }
        if self.ignore_case && key.contains(|c: char| c.is_ascii_uppercase()) {
            key.to_mut().make_ascii_lowercase();
        }
        key
    }
}

/// The members of the document in a line, without blanks around it.
fn document(text: &[u8]) -> Result<Members<'_>, Fault> {
    let not_json = |e: serde_json::Error| format!("character {}: not JSON: {}", e.column(), cause(&e));
    let what = match text.first() {
        Some(b'{') => match serde_json::from_slice(text) {
            Ok(members) => return Ok(members),
            Err(e) => not_json(e),
        },
        _ => match serde_json::from_slice::<&RawValue>(text) {
            Ok(other) => format!("expected a JSON object, found {}", kind(other.get())),
            Err(e) => not_json(e),
        },
    };
    Err(Fault::of_row(what).with_hint("a JSON file has one object per line"))
}

/// serde_json's message without its position, which counts from the start of the line.
fn cause(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_string()
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
    /// The values of the batch so far; none where the column is constant.
    columns: Vec<Option<Node>>,
    /// The columns, each with the name of its member, by what members' names have in common.
    wanted: HashMap<String, Vec<(usize, String)>>,
    names: Names,
    ignore_malformed: bool,
    bad_rows: BadRowLog,
}

/// The value found for a column, and whether its name was spelled as the column's.
type Found<'a> = Option<(&'a RawValue, bool)>;

/// The value of each column; the last member of a name counts, and one that is spelled exactly before others.
fn find<'a>(members: &Members<'a>, names: &Names, wanted: &HashMap<String, Vec<(usize, String)>>) -> Vec<Found<'a>> {
    let mut found: Vec<Found> = vec![None; wanted.values().map(Vec::len).sum()];
    for (name, value) in &members.0 {
        for (column, member) in wanted.get(names.key(name).as_ref()).into_iter().flatten() {
            let exact = name == member;
            let slot = &mut found[*column];
            if exact || !matches!(slot, Some((_, true))) {
                *slot = Some((value, exact));
            }
        }
    }
    found
}

impl BatchReader for JsonReader {
    fn next(&mut self) -> Result<Option<Batch>> {
        let (mut rows, mut dropped) = (0, vec![]);
        while rows < self.request.batch_rows {
            let Some(line) = self.lines.next_line()? else { break };
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let mut fault = None;
            let found = match document(line) {
                Ok(members) => find(&members, &self.names, &self.wanted),
                Err(malformed) => {
                    fault = Some(malformed).filter(|_| !self.ignore_malformed);
                    vec![]
                }
            };
            for (i, column) in self.columns.iter_mut().enumerate() {
                let Some(column) = column else { continue };
                match found.get(i).copied().flatten() {
                    None => column.append_null(),
                    Some((value, _)) => {
                        let mut bad = None;
                        column.append_json(value.get(), &mut bad);
                        if let Some(what) = bad.filter(|_| fault.is_none()) {
                            fault = Some(Fault::of_column(&self.request.columns[i].name, what));
                        }
                    }
                }
            }
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
        let columns = self.columns.iter_mut().map(|column| {
            let values = column.as_mut().map(Node::finish).transpose()?;
            Ok(values.map(Column::Array))
        });
        let columns = columns.collect::<Result<_>>()?;
        finish_batch(&self.request, &self.sources, columns, rows, without(rows, &dropped)).map(Some)
    }
}

impl Drop for JsonReader {
    /// A query that has enough rows reads no further; what was quarantined until then is kept.
    fn drop(&mut self) {
        let _ = self.bad_rows.flush(&self.request.bad_rows);
    }
}

#[cfg(test)]
mod tests;
