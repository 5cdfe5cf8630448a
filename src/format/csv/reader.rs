//! Reads a range of a delimited file batch by batch.

use super::fields::FieldBuilder;
use super::records::{Row, RowReader};
use super::{CsvOptions, details};
use crate::error::Result;
use crate::format::bad_rows::{BadRowLog, Fault};
use crate::format::columns::{ColumnSource, column_sources, finish_batch, without};
use crate::format::{BatchReader, Partition, ScanRequest};
use crate::vector::{Batch, Column};
use std::ops::Range;
use std::sync::Arc;

pub(super) struct CsvReader {
    partition: Partition,
    request: Arc<ScanRequest>,
    options: CsvOptions,
    rows: RowReader,
    /// The rows that start before this byte are read.
    end: u64,
    sources: Vec<ColumnSource>,
    builders: Vec<ColumnBuilder>,
    bad_rows: BadRowLog,
    width: usize,
}

/// A column of the request, the place of its field in a row, the values so far.
struct ColumnBuilder {
    column: usize,
    place: usize,
    values: FieldBuilder,
}

impl CsvReader {
    pub fn open(
        partition: &Partition,
        request: &Arc<ScanRequest>,
        options: &CsvOptions,
        range: Range<u64>,
    ) -> Result<Self> {
        let csv = details(&partition.info)?;
        let rows = csv.rows(&partition.file, range.clone())?;
        let sources = column_sources(request, partition, |column| Some(column.position))?;
        let mut builders = vec![];
        for (column, source) in sources.iter().enumerate() {
            if let (ColumnSource::File(place), Some(wanted)) = (source, request.columns.get(column)) {
                let values = FieldBuilder::new(&wanted.data_type, request.batch_rows, options)
                    .map_err(|e| e.context(format!("column \"{}\"", wanted.name)))?;
                builders.push(ColumnBuilder {
                    column,
                    place: *place,
                    values,
                });
            }
        }
        Ok(Self {
            partition: partition.clone(),
            request: request.clone(),
            options: options.clone(),
            rows,
            end: range.end,
            sources,
            builders,
            bad_rows: BadRowLog::new(&partition.file, csv.compression),
            width: 0,
        })
    }
}

/// Puts one row's fields into the builders, NULL for what is wrong; the first thing that is.
fn take(
    row: &Row<'_>,
    width: usize,
    builders: &mut [ColumnBuilder],
    request: &ScanRequest,
    options: &CsvOptions,
    scratch: &mut Vec<u8>,
) -> Option<Fault> {
    let mut fault = row.fault.as_ref().map(Fault::of_row);
    if fault.is_none() && row.width() != width {
        fault = Some(Fault::of_row(format!(
            "the row has {} fields, other rows of the file have {width}",
            row.width()
        )));
    }
    for builder in builders {
        let Some(field) = row.field(builder.place) else {
            builder.values.append_null();
            continue;
        };
        if let Err(bad) = builder.values.append(row, field, options, scratch)
            && fault.is_none()
        {
            let name = request.columns.get(builder.column).map_or("", |c| &c.name);
            let what = format!("\"{}\" is not {}", bad.text.escape_debug(), bad.expected);
            fault = Some(Fault::of_column(name, what).with_hint(bad.hint));
        }
    }
    fault
}

impl BatchReader for CsvReader {
    fn next(&mut self) -> Result<Option<Batch>> {
        let (mut count, mut scratch, mut dropped) = (0, vec![], vec![]);
        while count < self.request.batch_rows && self.rows.position() < self.end {
            let Some(row) = self.rows.next()? else { break };
            if self.width == 0 {
                self.width = match row.fault {
                    None => *details(&self.partition.info)?.width.get_or_init(|| row.width()),
                    Some(_) => details(&self.partition.info)?.width.get().copied().unwrap_or(0),
                };
            }
            if row.is_blank() && self.width > 1 {
                continue;
            }
            let fault = take(
                &row,
                self.width,
                &mut self.builders,
                &self.request,
                &self.options,
                &mut scratch,
            );
            if let Some(fault) = fault
                && !self
                    .bad_rows
                    .note(&self.request.bad_rows, row.offset, &fault, row.bytes())?
            {
                dropped.push(count as u32);
            }
            count += 1;
        }
        if count == 0 {
            self.bad_rows.flush(&self.request.bad_rows)?;
            return Ok(None);
        }
        let mut arrays = vec![None; self.sources.len()];
        for builder in &mut self.builders {
            if let Some(array) = arrays.get_mut(builder.column) {
                *array = Some(Column::Array(builder.values.finish()?));
            }
        }
        let kept = without(count, &dropped);
        finish_batch(&self.request, &self.sources, arrays, count, kept).map(Some)
    }
}

impl Drop for CsvReader {
    /// A query that has enough rows reads no further; what was quarantined until then is kept.
    fn drop(&mut self) {
        let _ = self.bad_rows.flush(&self.request.bad_rows);
    }
}
