//! Reads a range of a delimited file batch by batch.

use super::records::{Field, Row, RowReader};
use super::{CsvOptions, details, is_null, line_number};
use crate::error::{Error, Result};
use crate::format::columns::{ColumnSource, column_sources, finish_batch};
use crate::format::values::ValueBuilder;
use crate::format::{BatchReader, Partition, ScanRequest};
use crate::storage::Compression;
use crate::types::type_name;
use crate::vector::{Batch, Column};
use std::ops::Range;
use std::sync::Arc;

pub(super) struct CsvReader {
    partition: Partition,
    request: Arc<ScanRequest>,
    options: CsvOptions,
    compression: Compression,
    rows: RowReader,
    sources: Vec<ColumnSource>,
    /// Column of the request, field of the row, values so far.
    builders: Vec<(usize, usize, ValueBuilder)>,
    width: usize,
}

impl CsvReader {
    pub fn open(
        partition: &Partition,
        request: &Arc<ScanRequest>,
        options: &CsvOptions,
        range: Range<u64>,
    ) -> Result<Self> {
        let csv = details(&partition.info)?;
        let mut rows = RowReader::open(&partition.file, csv.compression, csv.dialect.clone(), range.clone())?;
        for _ in 0..if range.start == 0 { csv.skip } else { 0 } {
            rows.next()?;
        }
        let sources = column_sources(request, partition, |column| Some(column.position))?;
        let mut builders = vec![];
        for (i, source) in sources.iter().enumerate() {
            if let ColumnSource::File(field) = source {
                let data_type = &request.columns[i].data_type;
                let builder = ValueBuilder::new(data_type, request.batch_rows, options.epochs)
                    .map_err(|e| e.context(format!("column \"{}\"", request.columns[i].name)))?;
                builders.push((i, *field, builder));
            }
        }
        Ok(Self {
            partition: partition.clone(),
            request: request.clone(),
            options: options.clone(),
            compression: csv.compression,
            rows,
            sources,
            builders,
            width: 0,
        })
    }

    /// Puts one row's fields into the builders; what is wrong with it otherwise.
    fn take(
        row: &Row<'_>,
        builders: &mut [(usize, usize, ValueBuilder)],
        options: &CsvOptions,
        scratch: &mut Vec<u8>,
    ) -> Result<(), (usize, Field)> {
        for (column, position, builder) in builders {
            let Some(field) = row.field(*position) else {
                builder.append_null();
                continue;
            };
            if is_null(options, row.raw(field), field.quoted) {
                builder.append_null();
                continue;
            }
            let text = row.text(field, scratch);
            if text.is_empty() && !builder.is_string() {
                builder.append_null();
            } else {
                builder.append(text).ok_or((*column, field))?;
            }
        }
        Ok(())
    }
}

impl BatchReader for CsvReader {
    fn next(&mut self) -> Result<Option<Batch>> {
        let (mut count, mut scratch) = (0, vec![]);
        while count < self.request.batch_rows {
            let Some(row) = self.rows.next()? else { break };
            if self.width == 0 {
                self.width = *details(&self.partition.info)?.width.get_or_init(|| row.width());
            }
            if row.is_blank() && self.width > 1 {
                continue;
            }
            if row.width() != self.width {
                let (offset, found) = (row.offset, row.width());
                return Err(Error::bad_file(format!(
                    "{}: line {}: the row has {found} fields, other rows of the file have {}",
                    self.partition.file.location,
                    line_number(&self.partition.file, self.compression, offset)?,
                    self.width
                )));
            }
            if let Err((column, field)) = Self::take(&row, &mut self.builders, &self.options, &mut scratch) {
                let text = String::from_utf8_lossy(row.text(field, &mut scratch)).into_owned();
                let shown: String = text.chars().take(80).collect();
                let offset = row.offset;
                let column = &self.request.columns[column];
                return Err(Error::bad_file(format!(
                    "{}: line {}, column \"{}\": \"{}\" is not {}",
                    self.partition.file.location,
                    line_number(&self.partition.file, self.compression, offset)?,
                    column.name,
                    shown.escape_debug(),
                    match column.data_type {
                        crate::types::DataType::Utf8View => "valid UTF-8".to_string(),
                        ref t => format!("a value of type {}", type_name(t)),
                    }
                ))
                .with_hint("declare the column as varchar to read it as text"));
            }
            count += 1;
        }
        if count == 0 {
            return Ok(None);
        }
        let mut arrays = vec![None; self.sources.len()];
        for (column, _, builder) in &mut self.builders {
            arrays[*column] = Some(Column::Array(builder.finish()?));
        }
        finish_batch(&self.request, &self.sources, arrays, count).map(Some)
    }
}
