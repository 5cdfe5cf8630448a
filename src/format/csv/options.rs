//! Options of delimited text, under the names that Hive, Trino, Spark and DuckDB give them.

use super::Dialect;
use crate::error::{Error, Result};
use crate::format::{FormatOption, Options};

/// How delimited text is written. What is `None` is found out from a sample, or not there.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvOptions {
    pub delimiter: Option<u8>,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
    pub header: Option<bool>,
    /// Rows before the data (and before the header).
    pub skip: usize,
    /// Unquoted text that stands for NULL.
    pub null: Option<String>,
    /// Whether an unquoted empty field is NULL in columns of text, too.
    pub empty_is_null: bool,
    /// Whole numbers are dates in days and timestamps in milliseconds since 1970.
    pub epochs: bool,
}

/// The names of the options; the first is ours, the others are synonyms.
pub static CSV_OPTIONS: &[FormatOption] = &[
    &[
        "delimiter",
        "delim",
        "sep",
        "field.delim",
        "separatorchar",
        "field_delimiter",
        "csv_separator",
        "textfile_field_separator",
        "serialization.format",
    ],
    &["quote", "quotechar", "csv_quote"],
    &[
        "escape",
        "escapechar",
        "escape.delim",
        "csv_escape",
        "textfile_field_separator_escape",
    ],
    &["header"],
    &["skip", "skip.header.line.count", "skip_header_line_count"],
    &["skip_footer", "skip.footer.line.count", "skip_footer_line_count"],
    &[
        "null",
        "nullstr",
        "nullvalue",
        "null_format",
        "serialization.null.format",
    ],
];

impl CsvOptions {
    /// CSV files given by name: delimiter and header are found out, an unquoted empty field is NULL.
    pub fn csv(options: &Options) -> Result<Self> {
        let base = Self {
            delimiter: None,
            quote: Some(b'"'),
            escape: None,
            header: None,
            skip: 0,
            null: None,
            empty_is_null: true,
            epochs: false,
        };
        base.with(options)
    }

    /// Hive's default for TEXTFILE (LazySimpleSerDe): fields end with \001, NULL is \N, nothing is quoted.
    pub fn text(options: &Options) -> Result<Self> {
        let base = Self {
            delimiter: Some(1),
            quote: None,
            escape: None,
            header: Some(false),
            skip: 0,
            null: Some("\\N".into()),
            empty_is_null: false,
            epochs: false,
        };
        base.with(options)
    }

    /// Hive's OpenCSVSerde.
    pub fn open_csv(options: &Options) -> Result<Self> {
        let base = Self {
            delimiter: Some(b','),
            quote: Some(b'"'),
            escape: Some(b'\\'),
            header: Some(false),
            skip: 0,
            null: None,
            empty_is_null: false,
            epochs: true,
        };
        base.with(options)
    }

    fn with(mut self, options: &Options) -> Result<Self> {
        let byte = |name: &str| {
            options
                .get(CSV_OPTIONS, name)
                .map(|text| one_byte(name, text))
                .transpose()
        };
        if let Some(delimiter) = byte("delimiter")? {
            self.delimiter = delimiter;
        }
        if let Some(quote) = byte("quote")? {
            self.quote = quote;
        }
        if let Some(escape) = byte("escape")? {
            self.escape = escape;
        }
        if let Some(text) = options.get(CSV_OPTIONS, "header") {
            self.header = Some(match text.to_lowercase().as_str() {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err(Error::plan(format!("option header is true or false, found \"{text}\""))),
            });
        }
        if let Some(text) = options.get(CSV_OPTIONS, "skip") {
            self.skip = rows("skip", text)?;
        }
        match options.get(CSV_OPTIONS, "skip_footer") {
            Some(text) if rows("skip_footer", text)? > 0 => {
                return Err(Error::unsupported(
                    "skipping lines at the end of a file (skip.footer.line.count)",
                ));
            }
            _ => {}
        }
        if let Some(text) = options.get(CSV_OPTIONS, "null") {
            self.null = Some(text.to_string());
        }
        match self.delimiter {
            Some(b'\n' | b'\r') => Err(Error::plan("a line end cannot be the delimiter of fields")),
            Some(d) if self.quote == Some(d) => Err(Error::plan("delimiter and quote are the same character")),
            _ => Ok(self),
        }
    }

    /// The dialect with this delimiter.
    pub(super) fn dialect(&self, delimiter: u8) -> Dialect {
        Dialect {
            delimiter,
            quote: self.quote,
            escape: self.escape,
        }
    }
}

fn rows(name: &str, text: &str) -> Result<usize> {
    let number = text.trim().parse();
    number.map_err(|_| Error::plan(format!("option {name} is a number of lines, found \"{text}\"")))
}

/// A character as options spell it: itself, `\t`, `\001`, `\u0001`; nothing for an empty text.
fn one_byte(name: &str, text: &str) -> Result<Option<u8>> {
    let byte = match text.as_bytes() {
        [] => return Ok(None),
        [byte] => Some(*byte),
        b"\\t" => Some(b'\t'),
        b"\\\\" => Some(b'\\'),
        [b'\\', b'u', hex @ ..] if hex.len() == 4 => text.get(2..).and_then(|t| u8::from_str_radix(t, 16).ok()),
        [b'\\', octal @ ..] if octal.len() <= 3 => text.get(1..).and_then(|t| u8::from_str_radix(t, 8).ok()),
        _ => None,
    };
    match byte {
        Some(byte) if byte.is_ascii() => Ok(Some(byte)),
        _ => Err(Error::unsupported(format!(
            "option {name} is one ASCII character, found \"{}\"",
            text.escape_debug()
        ))),
    }
}
