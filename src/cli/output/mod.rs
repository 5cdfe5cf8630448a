//! Results as text. One writer per format; all take batches as they come, so that results stream.

mod json;
mod table;
mod text;

use crate::error::{Error, Result};
use crate::vector::display::ValueFormatter;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use std::io::Write;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns in a frame; shortened to the window.
    Table,
    /// One line per value; for wide rows.
    Vertical,
    /// Comma-separated with a header; NULL is empty, an empty text is "".
    Csv,
    /// Tab-separated with a header.
    Tsv,
    /// One array of objects.
    Json,
    /// One object per line.
    Ndjson,
    /// A table for Markdown documents.
    Markdown,
}

/// What is the same for all formats.
#[derive(Debug, Clone)]
pub struct OutputOptions {
    pub format: Format,
    pub header: bool,
    /// The text of NULL; each format has its own when this is not given.
    pub null: Option<String>,
    /// Columns of the window, when output goes to one: wide tables are fitted into it.
    pub width: Option<usize>,
    /// Rows that a table shows of a long result, when output goes to a window.
    pub max_rows: Option<usize>,
}

/// Writes one result.
pub trait ResultWriter {
    fn begin(&mut self, schema: &SchemaRef, out: &mut dyn Write) -> Result<()>;
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()>;
    /// Ends the result; `rows` is how many there were.
    fn end(&mut self, rows: usize, out: &mut dyn Write) -> Result<()>;
}

/// The writer of a format.
pub fn writer(options: &OutputOptions) -> Box<dyn ResultWriter> {
    let null = |default: &str| options.null.clone().unwrap_or_else(|| default.to_string());
    match options.format {
        Format::Table => Box::new(table::TableWriter::new(options.clone(), null("NULL"), false)),
        Format::Markdown => Box::new(table::TableWriter::new(options.clone(), null("NULL"), true)),
        Format::Vertical => Box::new(text::Vertical::new(null("NULL"))),
        Format::Csv => Box::new(text::Delimited::csv(options.header, null(""))),
        Format::Tsv => Box::new(text::Delimited::tsv(options.header, null(""))),
        Format::Json => Box::new(json::Json::array()),
        Format::Ndjson => Box::new(json::Json::lines()),
    }
}

/// The writer of results that are the lines of a text: no header, nothing escaped.
pub fn lines() -> Box<dyn ResultWriter> {
    Box::new(text::Lines)
}

/// The formatters of a batch's columns.
fn formatters(batch: &RecordBatch) -> Vec<ValueFormatter<'_>> {
    batch
        .columns()
        .iter()
        .map(|c| ValueFormatter::new(c.as_ref() as &dyn Array))
        .collect()
}

/// An error of writing to the output.
pub(super) fn output_error(e: std::io::Error) -> Error {
    Error::storage(format!("cannot write the result: {e}"))
}
