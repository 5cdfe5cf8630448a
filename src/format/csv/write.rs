//! Writing delimited text.

use crate::error::{Error, Result};
use crate::vector::Batch;
use crate::vector::display::ValueFormatter;

/// How text is written.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvWriteOptions {
    pub delimiter: u8,
    /// Put around values that need it; `None` makes such values an error.
    pub quote: Option<u8>,
    /// Whether the first row has the columns' names.
    pub header: bool,
    /// What stands for NULL.
    pub null: String,
}

impl Default for CsvWriteOptions {
    /// Comma, double quotes, a header, NULL is an empty field and an empty string is `""`.
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            header: true,
            null: String::new(),
        }
    }
}

impl CsvWriteOptions {
    /// Hive's TEXTFILE: \001 between fields, no quotes, no header, `\N` for NULL.
    pub fn text() -> Self {
        Self {
            delimiter: 1,
            quote: None,
            header: false,
            null: "\\N".into(),
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
/// When a value needs quotes and there are none.
pub fn write_csv(batch: &Batch, options: &CsvWriteOptions, out: &mut Vec<u8>) -> Result<()> {
    let arrays = (0..batch.width())
        .map(|i| batch.column(i)?.to_array())
        .collect::<Result<Vec<_>>>()?;
    let formatters: Vec<ValueFormatter> = arrays.iter().map(|a| ValueFormatter::new(a.as_ref())).collect();
    let mut text = String::new();
    for row in 0..batch.len() {
        for (i, formatter) in formatters.iter().enumerate() {
            if i > 0 {
                out.push(options.delimiter);
            }
            if formatter.is_null(row) {
                out.extend_from_slice(options.null.as_bytes());
                continue;
            }
            text.clear();
            formatter.write(row, &mut text);
            write_field(&text, options, out)?;
        }
        out.push(b'\n');
    }
    Ok(())
}

fn write_field(text: &str, options: &CsvWriteOptions, out: &mut Vec<u8>) -> Result<()> {
    let special = |b: &u8| *b == options.delimiter || matches!(b, b'\n' | b'\r') || Some(*b) == options.quote;
    if text != options.null && !text.as_bytes().iter().any(special) {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    let Some(quote) = options.quote else {
        return Err(Error::execution(format!(
            "the value {text:?} has a delimiter or a line break, or is the text for NULL, and the format has no quotes"
        ))
        .with_hint("write Parquet, JSON or CSV with quotes"));
    };
    out.push(quote);
    for &b in text.as_bytes() {
        if b == quote {
            out.push(quote);
        }
        out.push(b);
    }
    out.push(quote);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringViewArray};
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
}
