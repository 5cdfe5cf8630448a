//! From fields to columns: plain values, and arrays, maps and rows as Hive's LazySimpleSerDe lays them out.
//!
//! Each level of nesting has its separator: \001 between fields, then \002, \003, … Items of an array and fields of a row are
//! separated by that of their level, a map's entries too, and keys from values by that of the next.

use super::records::{Field as RowField, Row};
use super::{CsvOptions, is_null};
use crate::error::{Error, Result};
use crate::format::nested::Node;
use crate::format::values::ValueBuilder;
use crate::types::{DataType, type_name};
use arrow::array::ArrayRef;
use memchr::{memchr, memchr2};

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
            Some(nesting) if data_type.is_nested() => {
                check_levels(data_type, 1, nesting)?;
                Self::Nested(Box::new((
                    Node::new(data_type, rows, &options.spelling)?,
                    nesting.clone(),
                )))
            }
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
                node.append_text(raw, 1, nesting, scratch, &mut bad);
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

/// # Errors
/// When the type has more levels than there are separators.
fn check_levels(t: &DataType, level: usize, nesting: &Nesting) -> Result<()> {
    match t {
        DataType::List(item) => {
            nesting.separator(level)?;
            check_levels(item.data_type(), level + 1, nesting)
        }
        DataType::Map(entries, _) => {
            nesting.separator(level + 1)?;
            match entries.data_type() {
                DataType::Struct(entry) => entry
                    .iter()
                    .try_for_each(|f| check_levels(f.data_type(), level + 2, nesting)),
                _ => Ok(()),
            }
        }
        DataType::Struct(fields) => {
            nesting.separator(level)?;
            fields
                .iter()
                .try_for_each(|f| check_levels(f.data_type(), level + 1, nesting))
        }
        _ => Ok(()),
    }
}

impl Node {
    /// Appends a value. The first part that is none of its type is put into `bad` and NULL.
    fn append_text(
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
                    items.append_text(piece, level + 1, nesting, scratch, bad);
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
                        Some(value) => values.append_text(value, level + 2, nesting, scratch, bad),
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
                        Some(piece) => member.append_text(piece, level + 1, nesting, scratch, bad),
                        None => member.append_null(),
                    }
                }
                valid.append_non_null();
            }
        }
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
