//! Apache Parquet: footers, pruning, reading row group by row group.

mod column;
pub mod decode;
mod metadata;
#[cfg(test)]
mod page_tests;
mod pages;
mod reader;
mod steps;
mod write;

pub use metadata::{Footer, RowGroupBounds};
pub use write::{EncodedRowGroup, EncoderFactory, ParquetFile, ParquetWriteOptions, RowGroupEncoder, check_schema};

use super::{BatchReader, FileFormat, FileInfo, Partition, ScanRequest};
use crate::error::Result;
use crate::expression::pruning::{Bounds, Verdict, verdict};
use crate::storage::ObjectFile;
use crate::types::ScalarValue;
use std::ops::Range;
use std::sync::Arc;

/// Bytes that a connection brings in the time of a round trip: so few are not worth a request of their own later.
const ROUND_TRIP: u64 = 2 << 20;

/// The Parquet format.
#[derive(Debug, Default)]
pub struct ParquetFormat;

impl FileFormat for ParquetFormat {
    fn name(&self) -> &'static str {
        "PARQUET"
    }

    fn inspect(&self, file: &ObjectFile, _sample: bool) -> Result<FileInfo> {
        metadata::inspect(file).map_err(|e| e.context(&file.location))
    }

    fn partitions(
        &self,
        file: &ObjectFile,
        info: &Arc<FileInfo>,
        constants: &[ScalarValue],
        request: &ScanRequest,
    ) -> Result<Vec<Partition>> {
        let footer = Footer::of(info)?;
        let in_file: Vec<usize> = request.columns.iter().filter_map(|c| footer.column(&c.name)).collect();
        let mut partitions = vec![];
        for (index, group) in footer.metadata.row_groups().iter().enumerate() {
            let partition = Partition {
                file: file.clone(),
                info: info.clone(),
                constants: constants.to_vec(),
                start: index as u64,
                end: index as u64 + 1,
                rows: Some(footer.rows(index)),
                bytes: in_file.iter().map(|&c| footer.column_bytes(c, index)).sum(),
            };
            let bounds = |column: usize| footer.bounds_in(&partition, request.columns.get(column)?);
            if group.num_rows() > 0 && may_match(request, &bounds) {
                partitions.push(partition);
            }
        }
        Ok(partitions)
    }

    fn units(&self, info: &FileInfo) -> Option<u64> {
        Some(Footer::of(info).ok()?.metadata.num_row_groups() as u64)
    }

    fn ranges(&self, partition: &Partition, request: &ScanRequest) -> Result<Vec<Range<u64>>> {
        let wanted = pages::wanted_rows(partition, request)?;
        let all: Vec<usize> = (0..request.columns.len()).collect();
        let (first, later): (Vec<usize>, Vec<usize>) = match request.progress.hits_are_rare() {
            true => all.into_iter().partition(|&c| reader::is_filter(request, c)),
            false => (all, vec![]),
        };
        let mut ranges = reader::ranges(partition, request, &first, &wanted)?;
        let later = reader::ranges(partition, request, &later, &wanted)?;
        if later.iter().map(|r| r.end - r.start).sum::<u64>() <= ROUND_TRIP {
            ranges.extend(later);
        }
        Ok(ranges)
    }

    fn index_ranges(&self, partition: &Partition, request: &ScanRequest) -> Result<Vec<Range<u64>>> {
        pages::asked_index_ranges(partition, request)
    }

    fn open(&self, partition: &Partition, request: &Arc<ScanRequest>) -> Result<Box<dyn BatchReader>> {
        Ok(Box::new(reader::RowGroupReader::new(partition, request)?))
    }
}

/// Whether some row within the bounds may fulfil all predicates and runtime filters.
fn may_match(request: &ScanRequest, bounds: &dyn Fn(usize) -> Option<Bounds>) -> bool {
    let filters = request
        .runtime_filters
        .iter()
        .all(|(column, filter)| match (filter.get(), bounds(*column)) {
            (
                Some(filter),
                Some(Bounds {
                    min: Some(min),
                    max: Some(max),
                    ..
                }),
            ) => filter.may_overlap(&min, &max),
            _ => true,
        });
    filters
        && request
            .predicates
            .iter()
            .all(|p| verdict(p.expr(), bounds) != Verdict::Never)
}
