//! Delimited text: CSV as the world writes it, TEXTFILE as Hive's LazySimpleSerDe reads it, and Hive's OpenCSVSerde.
//!
//! A field that is not a value of its column's type, a row that has more or fewer fields than the first row of its file, and
//! a quote that is not closed make a bad row ([`super::bad_rows`]). A file whose rows are all shorter than the table gives
//! NULL for the columns that it lacks; one whose rows are all longer is read as far as the table goes.

mod fields;
mod infer;
mod options;
mod reader;
mod records;
mod write;

pub use options::{CSV_OPTIONS, CsvOptions};
pub use write::{CsvWriteOptions, write_csv, write_csv_header};

use super::bad_rows::BadRowOptions;
use super::lines::{CHUNK, chunks};
use super::{BatchReader, FileFormat, FileInfo, Partition, ScanRequest};
use crate::error::{Error, Result};
use crate::storage::{Compression, ObjectFile, read_range};
use crate::types::ScalarValue;
use parking_lot::Mutex;
use records::{Dialect, RowReader};
use std::sync::{Arc, OnceLock};

/// Delimited text with its options.
#[derive(Debug)]
pub struct CsvFormat {
    name: &'static str,
    options: CsvOptions,
}

/// What is settled for one file.
#[derive(Debug)]
struct CsvFile {
    dialect: Dialect,
    /// Lines before the header or the data.
    skip: usize,
    /// Whether a row of names comes before the data.
    header: bool,
    /// Lines after the data, and where they begin.
    footer: usize,
    end: OnceLock<u64>,
    compression: Compression,
    /// Fields per row, told by the first row that somebody reads.
    width: OnceLock<usize>,
    /// Where the first row at or after each multiple of [`CHUNK`] starts, as far as known.
    starts: Mutex<Vec<u64>>,
}

impl CsvFormat {
    pub fn new(name: &'static str, options: CsvOptions) -> Self {
        Self { name, options }
    }
}

impl FileFormat for CsvFormat {
    fn name(&self) -> &'static str {
        self.name
    }

    fn inspect(&self, file: &ObjectFile, sample: bool) -> Result<FileInfo> {
        let compression = Compression::of(&file.location)?;
        let (dialect, header, columns) = match sample {
            true => {
                let found = infer::sample(file, compression, &self.options)?;
                (found.dialect, found.header, found.columns)
            }
            false => {
                let delimiter = self.options.delimiter.unwrap_or(b',');
                (
                    self.options.dialect(delimiter),
                    self.options.header.unwrap_or(false),
                    vec![],
                )
            }
        };
        let details = CsvFile {
            dialect,
            skip: self.options.skip,
            header,
            footer: self.options.footer,
            end: OnceLock::new(),
            compression,
            width: OnceLock::new(),
            starts: Mutex::new(vec![0]),
        };
        Ok(FileInfo {
            columns,
            rows: None,
            details: Some(Arc::new(details)),
            memory: 0,
            statistics: vec![],
        })
    }

    fn partitions(
        &self,
        file: &ObjectFile,
        info: &Arc<FileInfo>,
        constants: &[ScalarValue],
        _request: &ScanRequest,
    ) -> Result<Vec<Partition>> {
        Ok(chunks(file, details(info)?.compression, info, constants))
    }

    fn bad_rows(&self) -> Option<&BadRowOptions> {
        Some(&self.options.bad_rows)
    }

    fn open(&self, partition: &Partition, request: &Arc<ScanRequest>) -> Result<Box<dyn BatchReader>> {
        let csv = details(&partition.info)?;
        let file = &partition.file;
        let end = csv.end(file)?;
        let range = match csv.compression {
            Compression::None => {
                let start = csv.row_start(file, partition.start)?.min(end);
                start..csv.row_start(file, partition.end)?.clamp(start, end)
            }
            _ => 0..end,
        };
        Ok(Box::new(reader::CsvReader::open(
            partition,
            request,
            &self.options,
            range,
        )?))
    }
}

fn details(info: &FileInfo) -> Result<&CsvFile> {
    info.details
        .as_deref()
        .and_then(|d| d.downcast_ref())
        .ok_or_else(|| Error::internal("a CSV file was not inspected"))
}

impl CsvFile {
    /// Where the data ends in the (decompressed) text.
    fn end(&self, file: &ObjectFile) -> Result<u64> {
        if self.footer == 0 {
            return Ok(match self.compression {
                Compression::None => file.size,
                _ => u64::MAX,
            });
        }
        if let Some(end) = self.end.get() {
            return Ok(*end);
        }
        let end = records::last_lines(file, self.compression, self.footer)?;
        Ok(*self.end.get_or_init(|| end))
    }

    /// Rows from byte `range.start`, where one begins, on; those of the data only, without lines before it.
    fn rows(&self, file: &ObjectFile, range: std::ops::Range<u64>) -> Result<RowReader> {
        let first = range.start == 0;
        let mut rows = RowReader::open(file, self.compression, self.dialect.clone(), range)?;
        if first {
            rows.skip_lines(self.skip)?;
            if self.header {
                rows.next()?;
            }
        }
        Ok(rows)
    }

    /// The first row that starts at or after byte `nominal`, which is a multiple of [`CHUNK`] or the file's end.
    ///
    /// Without quotes every line feed ends a row. With them, a line feed may be inside a field, and only reading from a
    /// known start of a row tells; so the starts are found one after another, each once, by whoever needs it first. A chunk
    /// in which no quote occurs is only searched for one, which costs a fraction of parsing it.
    fn row_start(&self, file: &ObjectFile, nominal: u64) -> Result<u64> {
        if nominal == 0 || nominal >= file.size {
            return Ok(nominal.min(file.size));
        }
        let rows = |from| self.rows(file, from..file.size);
        let Some(quote) = self.dialect.quote else {
            // One byte earlier, so that a row that starts exactly here is found.
            return RowReader::open(file, self.compression, Dialect::LINES, nominal - 1..file.size)?.skip_to(nominal);
        };
        let index = (nominal / CHUNK) as usize;
        let mut starts = self.starts.lock();
        while starts.len() <= index {
            let from = starts.last().copied().unwrap_or(0);
            let target = starts.len() as u64 * CHUNK;
            let next = match from >= target {
                true => from,
                false => {
                    let chunk = read_range(file, from..target)?;
                    let last_row = memchr::memrchr(b'\n', &chunk).map_or(0, |at| at as u64 + 1);
                    match records::contains(&chunk, quote) {
                        true => rows(from)?.skip_to(target)?,
                        false if from + last_row > 0 => rows(from + last_row)?.skip_to(target)?,
                        false => rows(from)?.skip_to(target)?,
                    }
                }
            };
            starts.push(next);
        }
        starts
            .get(index)
            .copied()
            .ok_or_else(|| Error::internal("a row start was just found"))
    }
}

/// Whether a field stands for NULL by its text, whatever its type.
fn is_null(options: &CsvOptions, raw: &[u8], quoted: bool) -> bool {
    !quoted
        && ((raw.is_empty() && options.empty_is_null)
            || options.null.as_deref().is_some_and(|null| null.as_bytes() == raw))
}

#[cfg(test)]
mod tests;
