//! Tables for people: framed, right-aligned numbers, types under the names, fitted into the window.

use super::{OutputOptions, ResultWriter, formatters, output_error};
use crate::error::Result;
use crate::types::{is_numeric, normalize_type, type_name};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use comfy_table::{Cell, CellAlignment, Table};
use std::io::Write;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The frame: light lines, a double one under the header.
const FRAME: comfy_table::TableStyle = comfy_table::presets::UTF8_FULL_CONDENSED;
/// No column is made narrower than this to fit the window; columns in the middle are left out instead.
const NARROWEST: usize = 8;
/// Longest text of a value when the output is not a window.
const LONGEST: usize = 4096;

/// The `table` and `markdown` formats. Rows are held until the end, because widths depend on all of them; of a long
/// result in a window only the first rows are held and shown.
pub struct TableWriter {
    options: OutputOptions,
    null: String,
    markdown: bool,
    names: Vec<String>,
    types: Vec<DataType>,
    rows: Vec<Vec<String>>,
}

impl TableWriter {
    pub fn new(options: OutputOptions, null: String, markdown: bool) -> Self {
        Self {
            options,
            null,
            markdown,
            names: vec![],
            types: vec![],
            rows: vec![],
        }
    }

    /// The widths columns get so that the frame fits the window, and which columns are shown.
    fn fit(&self) -> (Vec<usize>, Vec<usize>) {
        let natural: Vec<usize> = (0..self.names.len())
            .map(|i| {
                let cells = self.rows.iter().map(|r| r[i].width()).max().unwrap_or(0);
                let heading = self.names[i]
                    .width()
                    .max(if self.markdown { 0 } else { self.type_label(i).width() });
                cells.max(heading).min(LONGEST)
            })
            .collect();
        let Some(window) = self.options.width.filter(|_| !self.markdown) else {
            let all = (0..natural.len()).collect();
            return (natural, all);
        };
        let frame = |columns: usize| columns * 3 + 1;
        let smallest = |i: usize| natural[i].min(NARROWEST);
        // Columns in the middle go first: the first ones identify a row, the last ones are often its results.
        let mut shown: Vec<usize> = (0..natural.len()).collect();
        while shown.len() > 2 && shown.iter().map(|&i| smallest(i)).sum::<usize>() + frame(shown.len()) + 4 > window {
            shown.remove(shown.len() / 2);
        }
        let elided = if shown.len() < natural.len() { 4 } else { 0 };
        let room = window.saturating_sub(frame(shown.len()) + elided);
        let mut widths = natural.clone();
        // The widest column gives way first, down to the next widest.
        while shown.iter().map(|&i| widths[i]).sum::<usize>() > room {
            let Some(&widest) = shown
                .iter()
                .max_by_key(|&&i| widths[i])
                .filter(|&&i| widths[i] > NARROWEST)
            else {
                break;
            };
            let excess = shown.iter().map(|&i| widths[i]).sum::<usize>() - room;
            let second = shown
                .iter()
                .filter(|&&i| i != widest)
                .map(|&i| widths[i])
                .max()
                .unwrap_or(0);
            let target = widths[widest]
                .saturating_sub(excess)
                .max(second.saturating_sub(1))
                .max(NARROWEST);
            widths[widest] = target.min(widths[widest] - 1);
        }
        (widths, shown)
    }

    fn type_label(&self, column: usize) -> String {
        let t = &self.types[column];
        type_name(&normalize_type(t).unwrap_or_else(|| t.clone()))
    }

    fn table(&self) -> Table {
        let (widths, shown) = self.fit();
        let gap = if shown.len() < self.names.len() {
            Some(shown.len() / 2)
        } else {
            None
        };
        let mut table = Table::new();
        table.load_style(if self.markdown {
            comfy_table::presets::ASCII_MARKDOWN
        } else {
            FRAME
        });
        let header = |i: usize| {
            let name = shorten(&self.names[i], widths[i]);
            if self.markdown {
                name
            } else {
                format!("{name}\n{}", shorten(&self.type_label(i), widths[i]))
            }
        };
        if self.options.header {
            table.set_header(with_gap(shown.iter().map(|&i| Cell::new(header(i))).collect(), gap));
        }
        for row in &self.rows {
            let cell = |&i: &usize| {
                let text = shorten(&one_line(&row[i]), widths[i]);
                let text = if self.markdown { text.replace('|', "\\|") } else { text };
                let alignment = if is_numeric(&self.types[i]) {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                };
                Cell::new(text).set_alignment(alignment)
            };
            table.add_row(with_gap(shown.iter().map(cell).collect(), gap));
        }
        table
    }
}

fn with_gap(mut cells: Vec<Cell>, gap: Option<usize>) -> Vec<Cell> {
    if let Some(at) = gap {
        cells.insert(at, Cell::new("…"));
    }
    cells
}

/// Line breaks and tabs would tear the frame.
fn one_line(text: &str) -> String {
    if text.contains(|c: char| c.is_control()) {
        text.chars()
            .map(|c| {
                if c == '\n' {
                    '⏎'
                } else if c.is_control() {
                    ' '
                } else {
                    c
                }
            })
            .collect()
    } else {
        text.to_string()
    }
}

/// At most `width` columns, the last one `…` when something was cut.
fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let mut short = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

impl ResultWriter for TableWriter {
    fn begin(&mut self, schema: &SchemaRef, _out: &mut dyn Write) -> Result<()> {
        self.names = schema.fields().iter().map(|f| f.name().clone()).collect();
        self.types = schema.fields().iter().map(|f| f.data_type().clone()).collect();
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, _out: &mut dyn Write) -> Result<()> {
        let columns = formatters(batch);
        let room = self
            .options
            .max_rows
            .map_or(usize::MAX, |max| max.saturating_sub(self.rows.len()));
        for row in 0..batch.num_rows().min(room) {
            let cell = |column: &crate::vector::display::ValueFormatter| {
                let mut text = String::new();
                if column.is_null(row) {
                    text.push_str(&self.null)
                } else {
                    column.write(row, &mut text)
                }
                text
            };
            self.rows.push(columns.iter().map(cell).collect());
        }
        Ok(())
    }

    fn end(&mut self, rows: usize, out: &mut dyn Write) -> Result<()> {
        if self.names.is_empty() {
            return Ok(());
        }
        writeln!(out, "{}", self.table()).map_err(output_error)?;
        let hidden = rows - self.rows.len();
        if hidden > 0 && !self.markdown {
            writeln!(out, "showing the first {} of {rows} rows", self.rows.len()).map_err(output_error)?;
        }
        self.rows.clear();
        Ok(())
    }
}
