//! Writing delimited text.

use super::fields::Nesting;
use crate::error::{Error, Result};
use crate::types::{DataType, logical_type};
use crate::vector::Batch;
use crate::vector::display::ValueFormatter;
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// How text is written.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvWriteOptions {
    pub delimiter: u8,
    /// Put around values that need it.
    pub quote: Option<u8>,
    /// Put before what must not be taken for something else. Without quotes and escapes such values are an error.
    pub escape: Option<u8>,
    /// Whether the first row has the columns' names.
    pub header: bool,
    /// What stands for NULL.
    pub null: String,
    /// Whether the format has no NULL but for text, where it is an empty field.
    pub no_null: bool,
    /// What separates the parts of nested values; without, they are written as they are shown.
    pub(in crate::format) nesting: Option<Nesting>,
}

impl Default for CsvWriteOptions {
    /// Comma, double quotes, a header, NULL is an empty field and an empty string is `""`.
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            header: true,
            null: String::new(),
            no_null: false,
            nesting: None,
        }
    }
}

impl CsvWriteOptions {
    /// As text with these options is read; `header` is for those that do not say.
    ///
    /// # Errors
    /// For text that is read with more than a line of names before it, or with lines behind it.
    pub fn as_read(read: &super::CsvOptions, header: bool) -> Result<Self> {
        if read.skip > 1 || read.footer > 0 {
            return Err(Error::unsupported(
                "writing files of which reading skips several lines, or lines at the end",
            ));
        }
        Ok(Self {
            delimiter: read.delimiter.unwrap_or(b','),
            quote: read.quote,
            escape: read.escape,
            header: read.skip == 1 || read.header.unwrap_or(header),
            null: read.null.clone().unwrap_or_default(),
            no_null: read.empty_is_bad && read.null.is_none(),
            nesting: read.nesting.clone(),
        })
    }

    /// Hive's TEXTFILE: \001 between fields, no quotes, no header, `\N` for NULL.
    pub fn text() -> Self {
        Self {
            delimiter: 1,
            quote: None,
            header: false,
            null: "\\N".into(),
            no_null: false,
            nesting: Some(Nesting::new([1, 2, 3], None, Some("\\N"))),
            escape: None,
        }
    }
}

/// Appends the row of column names, if there shall be one.
pub fn write_csv_header<'a>(
    names: impl Iterator<Item = &'a str>,
    options: &CsvWriteOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    if !options.header {
        return Ok(());
    }
    for (i, name) in names.enumerate() {
        if i > 0 {
            out.push(options.delimiter);
        }
        write_field(name, options, out)?;
    }
    out.push(b'\n');
    Ok(())
}

/// Appends the rows of the batch.
///
/// # Errors
/// When a value needs quotes or escapes and there are none.
pub fn write_csv(batch: &Batch, options: &CsvWriteOptions, out: &mut Vec<u8>) -> Result<()> {
    let arrays = (0..batch.width())
        .map(|i| batch.column(i)?.to_array())
        .collect::<Result<Vec<_>>>()?;
    let columns = arrays
        .iter()
        .map(|a| TextColumn::new(a, options, 1))
        .collect::<Result<Vec<_>>>()?;
    let mut text = String::new();
    for row in 0..batch.len() {
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.push(options.delimiter);
            }
            column.write(row, options, &mut text, out)?;
        }
        out.push(b'\n');
    }
    Ok(())
}

/// How the values of one array are written.
enum TextColumn<'a> {
    /// And whether it is text.
    Value(ValueFormatter<'a>, bool),
    /// In Base64, as it is read.
    Binary(&'a BinaryViewArray),
    /// A value inside of a nested one.
    Item(ValueFormatter<'a>),
    List {
        array: &'a arrow::array::ListArray,
        items: Box<TextColumn<'a>>,
        separator: u8,
    },
    Map {
        array: &'a arrow::array::MapArray,
        keys: Box<TextColumn<'a>>,
        values: Box<TextColumn<'a>>,
        separators: [u8; 2],
    },
    Row {
        array: &'a arrow::array::StructArray,
        members: Vec<TextColumn<'a>>,
        separator: u8,
    },
}

impl<'a> TextColumn<'a> {
    fn new(array: &'a ArrayRef, options: &CsvWriteOptions, level: usize) -> Result<Self> {
        let value = || match level {
            1 => Self::Value(
                ValueFormatter::new(array.as_ref()),
                *logical_type(array.data_type()) == DataType::Utf8View,
            ),
            _ => Self::Item(ValueFormatter::new(array.as_ref())),
        };
        let nesting = match (&options.nesting, array.data_type()) {
            (_, DataType::BinaryView) => return Ok(Self::Binary(array.as_binary_view())),
            (Some(nesting), t) if t.is_nested() => nesting,
            _ => return Ok(value()),
        };
        let separator = nesting.separator(level)?;
        Ok(match array.data_type() {
            DataType::List(_) => {
                let array = array.as_list::<i32>();
                Self::List {
                    array,
                    items: Box::new(Self::new(array.values(), options, level + 1)?),
                    separator,
                }
            }
            DataType::Map(..) => {
                let array = array.as_map();
                Self::Map {
                    array,
                    keys: Box::new(Self::new(array.keys(), options, level + 2)?),
                    values: Box::new(Self::new(array.values(), options, level + 2)?),
                    separators: [separator, nesting.separator(level + 1)?],
                }
            }
            DataType::Struct(_) => {
                let array = array.as_struct();
                let members = array.columns().iter().map(|c| Self::new(c, options, level + 1));
                Self::Row {
                    array,
                    members: members.collect::<Result<_>>()?,
                    separator,
                }
            }
            _ => value(),
        })
    }

    fn is_text(&self) -> bool {
        matches!(self, Self::Value(_, true))
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Value(formatter, _) | Self::Item(formatter) => formatter.is_null(row),
            Self::Binary(array) => array.is_null(row),
            Self::List { array, .. } => array.is_null(row),
            Self::Map { array, .. } => array.is_null(row),
            Self::Row { array, .. } => array.is_null(row),
        }
    }

    fn write(&self, row: usize, options: &CsvWriteOptions, text: &mut String, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            if options.no_null && !self.is_text() {
                return Err(Error::execution("the format has no NULL for columns that are not text")
                    .with_hint("give the table the property 'serialization.null.format'"));
            }
            out.extend_from_slice(options.null.as_bytes());
            return Ok(());
        }
        match self {
            Self::Value(formatter, _) => {
                text.clear();
                formatter.write(row, text);
                write_field(text, options, out)
            }
            Self::Item(formatter) => {
                text.clear();
                formatter.write(row, text);
                write_bare(text, true, options, out)
            }
            Self::Binary(array) => {
                out.extend_from_slice(BASE64.encode(array.value(row)).as_bytes());
                Ok(())
            }
            Self::List {
                array,
                items,
                separator,
            } => {
                for (i, item) in span(array.value_offsets(), row).enumerate() {
                    if i > 0 {
                        out.push(*separator);
                    }
                    items.write(item, options, text, out)?;
                }
                Ok(())
            }
            Self::Map {
                array,
                keys,
                values,
                separators: [entries, pair],
            } => {
                for (i, entry) in span(array.value_offsets(), row).enumerate() {
                    if i > 0 {
                        out.push(*entries);
                    }
                    keys.write(entry, options, text, out)?;
                    out.push(*pair);
                    values.write(entry, options, text, out)?;
                }
                Ok(())
            }
            Self::Row { members, separator, .. } => {
                for (i, member) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(*separator);
                    }
                    member.write(row, options, text, out)?;
                }
                Ok(())
            }
        }
    }
}

/// The items of a row.
fn span(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |i: usize| offsets.get(i).map_or(0, |o| *o as usize);
    at(row)..at(row + 1)
}

/// A field of its own, in quotes when it needs them.
fn write_field(text: &str, options: &CsvWriteOptions, out: &mut Vec<u8>) -> Result<()> {
    let special = |b: &u8| {
        *b == options.delimiter || matches!(b, b'\n' | b'\r') || Some(*b) == options.quote || Some(*b) == options.escape
    };
    if text != options.null && !text.as_bytes().iter().any(special) {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    let Some(quote) = options.quote else {
        return write_bare(text, false, options, out);
    };
    out.push(quote);
    for &b in text.as_bytes() {
        if b == quote || Some(b) == options.escape {
            out.push(options.escape.unwrap_or(quote));
        }
        out.push(b);
    }
    out.push(quote);
    Ok(())
}

/// A value without quotes around it: what separates something is escaped. An item of a nested value must not have the
/// separators of any level.
fn write_bare(text: &str, item: bool, options: &CsvWriteOptions, out: &mut Vec<u8>) -> Result<()> {
    let separators = options.nesting.as_ref().map_or(&[][..], Nesting::separators);
    let escape = options.escape;
    for &b in text.as_bytes() {
        let ends = matches!(b, b'\n' | b'\r');
        // Readers cut a field that is not nested by the delimiter only; with escapes all are escaped, as Hive does.
        let inner = item || escape.is_some();
        let cuts = b == options.delimiter || Some(b) == escape || (inner && separators.contains(&b));
        match escape {
            Some(escape) if cuts && !ends => out.push(escape),
            _ if cuts || ends => return Err(no_quotes(text)),
            _ => {}
        }
        out.push(b);
    }
    match text == options.null {
        true => Err(no_quotes(text)),
        false => Ok(()),
    }
}

fn no_quotes(text: &str) -> Error {
    Error::execution(format!(
        "the value {text:?} has a delimiter or a line break, or is the text for NULL, and the format has no quotes"
    ))
    .with_hint("write Parquet, JSON or CSV with quotes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};
    use std::sync::Arc;

    #[test]
    fn values_that_need_quotes_get_them() {
        let texts = [Some("plain"), None, Some(""), Some("a,b"), Some("say \"hi\"\n")];
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4), Some(5)])),
            Arc::new(StringViewArray::from_iter(texts)),
        ];
        let batch = Batch::from_arrays(arrays, 5);
        let mut out = vec![];
        write_csv_header(["id", "a \"b\""].into_iter(), &CsvWriteOptions::default(), &mut out).unwrap();
        write_csv(&batch, &CsvWriteOptions::default(), &mut out).unwrap();
        let expected = "id,\"a \"\"b\"\"\"\n1,plain\n2,\n,\"\"\n4,\"a,b\"\n5,\"say \"\"hi\"\"\n\"\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = vec![];
        write_csv(&batch.slice(0, 3), &CsvWriteOptions::text(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "1\u{1}plain\n2\u{1}\\N\n\\N\u{1}\n");
        assert!(write_csv(&batch, &CsvWriteOptions::text(), &mut vec![]).is_err());
    }

    #[test]
    fn escapes_stand_before_what_separates() {
        let write = |text: &str, options: &CsvWriteOptions| {
            let array: ArrayRef = Arc::new(StringViewArray::from(vec![text]));
            let mut out = vec![];
            write_csv(&Batch::from_arrays(vec![array], 1), options, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        let text = CsvWriteOptions {
            escape: Some(b'\\'),
            ..CsvWriteOptions::text()
        };
        assert_eq!(write("a\u{1}b\u{2}c\\d", &text).unwrap(), "a\\\u{1}b\\\u{2}c\\\\d\n");
        assert!(write("a\nb", &text).is_err());
        assert_eq!(write("a\u{2}b", &CsvWriteOptions::text()).unwrap(), "a\u{2}b\n");
        let open = CsvWriteOptions {
            escape: Some(b'\\'),
            ..CsvWriteOptions::default()
        };
        assert_eq!(write("a\\\"b", &open).unwrap(), "\"a\\\\\\\"b\"\n");
    }
}
