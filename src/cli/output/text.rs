//! Delimited text and the vertical layout.

use super::{ResultWriter, formatters, output_error};
use crate::error::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::io::Write;

/// The first column as it is, a line for each row.
pub struct Lines;

impl ResultWriter for Lines {
    fn begin(&mut self, _: &SchemaRef, _: &mut dyn Write) -> Result<()> {
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let mut text = String::new();
        if let Some(column) = formatters(batch).first() {
            for row in 0..batch.num_rows() {
                column.write(row, &mut text);
                text.push('\n');
            }
        }
        out.write_all(text.as_bytes()).map_err(output_error)
    }

    fn end(&mut self, _: usize, _: &mut dyn Write) -> Result<()> {
        Ok(())
    }
}

/// CSV and TSV.
pub struct Delimited {
    delimiter: char,
    quoted: bool,
    header: bool,
    null: String,
}

impl Delimited {
    pub fn csv(header: bool, null: String) -> Self {
        Self {
            delimiter: ',',
            quoted: true,
            header,
            null,
        }
    }

    pub fn tsv(header: bool, null: String) -> Self {
        Self {
            delimiter: '\t',
            quoted: false,
            header,
            null,
        }
    }

    /// Appends a field: quoted where a reader could mistake it (CSV), escaped (TSV).
    fn field(&self, value: &str, line: &mut String) {
        if !self.quoted {
            for c in value.chars() {
                match c {
                    '\t' => line.push_str("\\t"),
                    '\n' => line.push_str("\\n"),
                    '\r' => line.push_str("\\r"),
                    '\\' => line.push_str("\\\\"),
                    c => line.push(c),
                }
            }
        } else if value.is_empty() || value.contains([self.delimiter, '"', '\n', '\r']) {
            line.push('"');
            line.push_str(&value.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(value);
        }
    }
}

impl ResultWriter for Delimited {
    fn begin(&mut self, schema: &SchemaRef, out: &mut dyn Write) -> Result<()> {
        if !self.header {
            return Ok(());
        }
        let mut line = String::new();
        for (i, field) in schema.fields().iter().enumerate() {
            if i > 0 {
                line.push(self.delimiter);
            }
            self.field(field.name(), &mut line);
        }
        writeln!(out, "{line}").map_err(output_error)
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let columns = formatters(batch);
        let (mut line, mut value) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            line.clear();
            for (i, column) in columns.iter().enumerate() {
                if i > 0 {
                    line.push(self.delimiter);
                }
                if column.is_null(row) {
                    line.push_str(&self.null);
                } else {
                    value.clear();
                    column.write(row, &mut value);
                    self.field(&value, &mut line);
                }
            }
            line.push('\n');
            out.write_all(line.as_bytes()).map_err(output_error)?;
        }
        Ok(())
    }

    fn end(&mut self, _rows: usize, _out: &mut dyn Write) -> Result<()> {
        Ok(())
    }
}

/// `name | value`, one line per column, a heading per row.
pub struct Vertical {
    null: String,
    row: usize,
}

impl Vertical {
    pub fn new(null: String) -> Self {
        Self { null, row: 0 }
    }
}

impl ResultWriter for Vertical {
    fn begin(&mut self, _schema: &SchemaRef, _out: &mut dyn Write) -> Result<()> {
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let schema = batch.schema();
        let width = schema
            .fields()
            .iter()
            .map(|f| unicode_width::UnicodeWidthStr::width(f.name().as_str()))
            .max()
            .unwrap_or(0);
        let columns = formatters(batch);
        for row in 0..batch.num_rows() {
            self.row += 1;
            writeln!(out, "-[ row {} ]{}", self.row, "-".repeat(width.max(20))).map_err(output_error)?;
            for (field, column) in schema.fields().iter().zip(&columns) {
                let mut value = String::new();
                if column.is_null(row) {
                    value.push_str(&self.null)
                } else {
                    column.write(row, &mut value)
                }
                let padding =
                    " ".repeat(width - unicode_width::UnicodeWidthStr::width(field.name().as_str()).min(width));
                writeln!(out, "{}{padding} | {value}", field.name()).map_err(output_error)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, _rows: usize, _out: &mut dyn Write) -> Result<()> {
        Ok(())
    }
}
