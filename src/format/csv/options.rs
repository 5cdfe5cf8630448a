//! Options of delimited text, under the names that Hive, Trino, Spark and DuckDB give them.

use super::Dialect;
use super::fields::Nesting;
use crate::error::{Error, Result};
use crate::format::bad_rows::BadRowOptions;
use crate::format::spelling::Spelling;
use crate::format::{FormatOption, Options};

/// How delimited text is written. What is `None` is found out from a sample, or not there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CsvOptions {
    pub delimiter: Option<u8>,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
    pub header: Option<bool>,
    /// Lines before the data (and before the header), and after it.
    pub skip: usize,
    pub footer: usize,
    /// Unquoted text that stands for NULL.
    pub null: Option<String>,
    /// Whether an unquoted empty field is NULL in columns of text, too.
    pub empty_is_null: bool,
    /// Whether an empty field is no value of a column that is not text; otherwise it is NULL there.
    pub empty_is_bad: bool,
    /// What separates the items of arrays, maps and rows, when the format has such.
    pub(in crate::format) nesting: Option<Nesting>,
    pub(in crate::format) spelling: Spelling,
    pub(in crate::format) bad_rows: BadRowOptions,
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
    &["quote", "quotechar", "quote.delim", "csv_quote"],
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
    // Hive's own spelling of the first has been wrong for years.
    &["collection_delimiter", "collection.delim", "colelction.delim"],
    &["map_key_delimiter", "mapkey.delim"],
    &["timestamp_format", "timestamp.formats", "timestampformat"],
    &["date_format", "dateformat"],
    &["encoding", "serialization.encoding", "charset"],
    &["invalid_utf8"],
    &["bad_rows"],
    &["max_bad_rows"],
    &["quarantine_location"],
];

impl CsvOptions {
    /// CSV files given by name: delimiter and header are found out, an unquoted empty field is NULL.
    pub fn csv(options: &Options) -> Result<Self> {
        let base = Self {
            quote: Some(b'"'),
            empty_is_null: true,
            ..Default::default()
        };
        base.with(options, |_| None)
    }

    /// Hive's default for TEXTFILE (LazySimpleSerDe): fields end with \001, NULL is \N, nothing is quoted.
    pub fn text(options: &Options) -> Result<Self> {
        let base = Self {
            delimiter: Some(1),
            header: Some(false),
            null: Some("\\N".into()),
            ..Default::default()
        };
        let mut read = base.with(options, number_of_byte)?;
        let separator = |name: &str, usual: u8| -> Result<u8> {
            let Some(text) = options.get(CSV_OPTIONS, name) else {
                return Ok(usual);
            };
            match number_of_byte(text) {
                Some(byte) => Ok(byte),
                None => Ok(one_byte(name, text)?.unwrap_or(usual)),
            }
        };
        let items = separator("collection_delimiter", 2)?;
        let keys = separator("map_key_delimiter", 3)?;
        read.nesting = Some(Nesting::new(
            [read.delimiter.unwrap_or(1), items, keys],
            read.escape,
            read.null.as_deref(),
        ));
        Ok(read)
    }

    /// Hive's OpenCSVSerde.
    pub fn open_csv(options: &Options) -> Result<Self> {
        let base = Self {
            delimiter: Some(b','),
            quote: Some(b'"'),
            escape: Some(b'\\'),
            header: Some(false),
            empty_is_bad: true,
            ..Default::default()
        };
        let mut read = base.with(options, |_| None)?;
        read.spelling.epochs = true;
        Ok(read)
    }

    /// `by_number` reads a character that is given by its number.
    fn with(mut self, options: &Options, by_number: fn(&str) -> Option<u8>) -> Result<Self> {
        let byte = |name: &str| {
            let text = options.get(CSV_OPTIONS, name);
            let byte = |text| by_number(text).map_or_else(|| one_byte(name, text), |byte| Ok(Some(byte)));
            text.map(byte).transpose()
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
        if let Some(text) = options.get(CSV_OPTIONS, "skip_footer") {
            self.footer = rows("skip_footer", text)?;
        }
        self.spelling = Spelling::of(CSV_OPTIONS, options)?;
        self.bad_rows = BadRowOptions::of(CSV_OPTIONS, options)?;
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

/// A character by its number, as Hive takes it in all its delimiters: `1` is \001, `44` a comma.
fn number_of_byte(text: &str) -> Option<u8> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(u8::is_ascii)
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
