//! From fields to columns: plain values, and arrays, maps and rows as Hive's LazySimpleSerDe lays them out.
//!
//! Each level of nesting has its separator: \001 between fields, then \002, \003, … Items of an array and fields of a row are
//! separated by that of their level, a map's entries too, and keys from values by that of the next.

use super::records::{Field as RowField, Row};
use super::{CsvOptions, is_null};
use crate::error::{Error, Result};
use crate::format::spelling::Spelling;
use crate::format::values::ValueBuilder;
use crate::types::{DataType, type_name};
use arrow::array::{ArrayRef, ListArray, MapArray, NullBufferBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{FieldRef, Fields};
use memchr::{memchr, memchr2};
use std::sync::Arc;

/// Levels of nesting, that of the fields included, for which Hive has separators.
const LEVELS: usize = 8;

/// What separates the parts of nested values.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::format) struct Nesting {
    separators: [u8; LEVELS],
    escape: Option<u8>,
    null: Option<Box<[u8]>>,
}

impl Nesting {
    /// The separators of fields, items and keys; the others are Hive's.
    pub fn new([fields, items, keys]: [u8; 3], escape: Option<u8>, null: Option<&str>) -> Self {
        Self {
            separators: [fields, items, keys, 4, 5, 6, 7, 8],
            escape,
            null: null.map(|text| text.as_bytes().into()),
        }
    }

    /// # Errors
    /// When there are more levels than separators.
    pub fn separator(&self, level: usize) -> Result<u8> {
        self.separators.get(level).copied().ok_or_else(|| {
            Error::unsupported(format!(
                "values nested deeper than {} levels in a text file",
                LEVELS - 1
            ))
        })
    }

    /// All bytes that separate something.
    pub fn separators(&self) -> &[u8] {
        &self.separators
    }

    fn is_null(&self, text: &[u8]) -> bool {
        self.null.as_deref() == Some(text)
    }
}

/// A text that is no value of its column's type.
pub(super) struct BadValue {
    pub text: String,
    pub expected: String,
    pub hint: &'static str,
}

impl BadValue {
    fn new(text: &[u8], expected: &DataType) -> Self {
        Self {
            text: String::from_utf8_lossy(text).chars().take(80).collect(),
            expected: match expected {
                DataType::Utf8View => "valid UTF-8".into(),
                t => format!("a value of type {}", type_name(t)),
            },
            hint: match expected {
                DataType::Utf8View => {
                    "the options encoding = 'iso-8859-1' and invalid_utf8 = 'replace' read other bytes"
                }
                _ => "declare the column as varchar to read it as text",
            },
        }
    }
}

/// Collects one column from its fields.
pub(super) enum FieldBuilder {
    Value(Box<ValueBuilder>, DataType),
    Nested(Box<(Node, Nesting)>),
}

impl FieldBuilder {
    /// # Errors
    /// `Unsupported` for nested types where the format has none.
    pub fn new(data_type: &DataType, rows: usize, options: &CsvOptions) -> Result<Self> {
        Ok(match &options.nesting {
            Some(nesting) if data_type.is_nested() => Self::Nested(Box::new((
                Node::new(data_type, rows, 1, nesting, &options.spelling)?,
                nesting.clone(),
            ))),
            _ => Self::Value(
                Box::new(ValueBuilder::new(data_type, rows, &options.spelling)?),
                data_type.clone(),
            ),
        })
    }

    pub fn append_null(&mut self) {
        match self {
            Self::Value(builder, _) => builder.append_null(),
            Self::Nested(nested) => nested.0.append_null(),
        }
    }

    /// Appends a field. One that has no value of the type appends NULL and is told.
    pub fn append(
        &mut self,
        row: &Row<'_>,
        field: RowField,
        options: &CsvOptions,
        scratch: &mut Vec<u8>,
    ) -> Result<(), BadValue> {
        let raw = row.raw(field);
        if is_null(options, raw, field.quoted) {
            self.append_null();
            return Ok(());
        }
        match self {
            Self::Value(builder, data_type) => {
                let text = row.text(field, scratch);
                if text.is_empty() && !builder.is_string() {
                    builder.append_null();
                    return match options.empty_is_bad {
                        true => Err(BadValue::new(text, data_type)),
                        false => Ok(()),
                    };
                }
                builder.append(text).ok_or_else(|| {
                    builder.append_null();
                    BadValue::new(text, data_type)
                })
            }
            Self::Nested(nested) => {
                let (node, nesting) = nested.as_mut();
                let mut bad = None;
                node.append(raw, 1, nesting, scratch, &mut bad);
                bad.map_or(Ok(()), Err)
            }
        }
    }

    /// The column so far, and an empty builder again.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        match self {
            Self::Value(builder, _) => builder.finish(),
            Self::Nested(nested) => nested.0.finish(),
        }
    }
}

/// One level of a nested column.
pub(super) enum Node {
    Value(Box<ValueBuilder>, DataType),
    List {
        field: FieldRef,
        items: Box<Node>,
        lengths: Vec<usize>,
        valid: NullBufferBuilder,
    },
    Map {
        field: FieldRef,
        entries: Fields,
        keys: Box<ValueBuilder>,
        /// Tells what is a key before it is one: an entry without its key cannot be taken back.
        probe: Box<ValueBuilder>,
        values: Box<Node>,
        lengths: Vec<usize>,
        valid: NullBufferBuilder,
    },
    Row {
        fields: Fields,
        members: Vec<Node>,
        valid: NullBufferBuilder,
    },
}

impl Node {
    fn new(t: &DataType, rows: usize, level: usize, nesting: &Nesting, spelling: &Spelling) -> Result<Self> {
        if t.is_nested() {
            nesting.separator(level)?;
        }
        let inner = |t: &DataType, deeper: usize| Self::new(t, rows, level + deeper, nesting, spelling);
        Ok(match t {
            DataType::List(field) => Self::List {
                items: Box::new(inner(field.data_type(), 1)?),
                field: field.clone(),
                lengths: vec![],
                valid: NullBufferBuilder::new(rows),
            },
            DataType::Map(field, _) => {
                let DataType::Struct(entries) = field.data_type() else {
                    return Err(Error::internal("a map of something else than entries"));
                };
                let [key, value] = entries.as_ref() else {
                    return Err(Error::internal("an entry of a map has a key and a value"));
                };
                nesting.separator(level + 1)?;
                Self::Map {
                    keys: Box::new(ValueBuilder::new(key.data_type(), rows, spelling)?),
                    probe: Box::new(ValueBuilder::new(key.data_type(), rows, spelling)?),
                    values: Box::new(inner(value.data_type(), 2)?),
                    entries: entries.clone(),
                    field: field.clone(),
                    lengths: vec![],
                    valid: NullBufferBuilder::new(rows),
                }
            }
            DataType::Struct(fields) => Self::Row {
                members: fields.iter().map(|f| inner(f.data_type(), 1)).collect::<Result<_>>()?,
                fields: fields.clone(),
                valid: NullBufferBuilder::new(rows),
            },
            t => Self::Value(Box::new(ValueBuilder::new(t, rows, spelling)?), t.clone()),
        })
    }

    fn append_null(&mut self) {
        match self {
            Self::Value(builder, _) => builder.append_null(),
            Self::List { lengths, valid, .. } | Self::Map { lengths, valid, .. } => {
                lengths.push(0);
                valid.append_null();
            }
            Self::Row { members, valid, .. } => {
                members.iter_mut().for_each(Self::append_null);
                valid.append_null();
            }
        }
    }

    /// Appends a value. The first part that is none of its type is put into `bad` and NULL.
    fn append(
        &mut self,
        text: &[u8],
        level: usize,
        nesting: &Nesting,
        scratch: &mut Vec<u8>,
        bad: &mut Option<BadValue>,
    ) {
        if nesting.is_null(text) {
            return self.append_null();
        }
        let separator = |level| nesting.separator(level).unwrap_or_default();
        let pieces = |text, level| Pieces {
            rest: Some(text),
            separator: separator(level),
            escape: nesting.escape,
        };
        match self {
            Self::Value(builder, data_type) => {
                let text = unescape(text, nesting.escape, scratch);
                if text.is_empty() && !builder.is_string() {
                    builder.append_null();
                } else if builder.append(text).is_none() {
                    builder.append_null();
                    bad.get_or_insert_with(|| BadValue::new(text, data_type));
                }
            }
            Self::List {
                items, lengths, valid, ..
            } => {
                let mut length = 0;
                for piece in pieces(text, level).filter(|_| !text.is_empty()) {
                    items.append(piece, level + 1, nesting, scratch, bad);
                    length += 1;
                }
                lengths.push(length);
                valid.append_non_null();
            }
            Self::Map {
                entries,
                keys,
                probe,
                values,
                lengths,
                valid,
                ..
            } => {
                let mut length = 0;
                for piece in pieces(text, level).filter(|_| !text.is_empty()) {
                    let mut entry = pieces(piece, level + 1);
                    let key = entry.next().unwrap_or_default();
                    // A map has no NULL keys: Hive leaves such entries out.
                    if nesting.is_null(key) {
                        continue;
                    }
                    let key = unescape(key, nesting.escape, scratch);
                    if probe.append(key).and_then(|()| keys.append(key)).is_none() {
                        let expected = entries.first().map_or(&DataType::Null, |key| key.data_type());
                        bad.get_or_insert_with(|| BadValue::new(key, expected));
                        continue;
                    }
                    match entry.rest {
                        Some(value) => values.append(value, level + 2, nesting, scratch, bad),
                        None => values.append_null(),
                    }
                    length += 1;
                }
                lengths.push(length);
                valid.append_non_null();
            }
            Self::Row { members, valid, .. } => {
                let mut pieces = pieces(text, level);
                for member in members {
                    match pieces.next() {
                        Some(piece) => member.append(piece, level + 1, nesting, scratch, bad),
                        None => member.append_null(),
                    }
                }
                valid.append_non_null();
            }
        }
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match self {
            Self::Value(builder, _) => builder.finish()?,
            Self::List {
                field,
                items,
                lengths,
                valid,
            } => {
                let offsets = OffsetBuffer::from_lengths(std::mem::take(lengths));
                Arc::new(ListArray::try_new(
                    field.clone(),
                    offsets,
                    items.finish()?,
                    valid.finish(),
                )?)
            }
            Self::Map {
                field,
                entries,
                keys,
                probe,
                values,
                lengths,
                valid,
            } => {
                probe.finish()?;
                let offsets = OffsetBuffer::from_lengths(std::mem::take(lengths));
                let pairs = StructArray::try_new(entries.clone(), vec![keys.finish()?, values.finish()?], None)?;
                Arc::new(MapArray::try_new(field.clone(), offsets, pairs, valid.finish(), false)?)
            }
            Self::Row { fields, members, valid } => {
                let nulls = valid.finish();
                let arrays = members.iter_mut().map(Self::finish).collect::<Result<Vec<_>>>()?;
                Arc::new(StructArray::try_new(fields.clone(), arrays, nulls)?)
            }
        })
    }
}

/// The parts of a text between separators that are not escaped.
struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    escape: Option<u8>,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.take()?;
        let mut at = 0;
        let end = loop {
            let rest = text.get(at..).unwrap_or_default();
            let found = match self.escape {
                Some(escape) => memchr2(self.separator, escape, rest),
                None => memchr(self.separator, rest),
            };
            match found.map(|f| at + f) {
                None => return Some(text),
                Some(found) if text.get(found) == Some(&self.separator) => break found,
                Some(found) => at = found + 2,
            }
        };
        self.rest = text.get(end + 1..);
        text.get(..end)
    }
}

/// The text without escapes, in `scratch` when it has some.
fn unescape<'a>(text: &'a [u8], escape: Option<u8>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(escape) = escape.filter(|e| memchr(*e, text).is_some()) else {
        return text;
    };
    scratch.clear();
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        scratch.push(match byte == escape {
            true => bytes.next().unwrap_or(byte),
            false => byte,
        });
    }
    scratch
}
