//! From what a text file has to what a scan wants: columns of the file, partition values, NULLs for what is missing.

use super::{Partition, ScanColumn, ScanRequest};
use crate::error::{Error, Result};
use crate::types::ScalarValue;
use crate::vector::{Batch, Column};

/// Where a column of a scan comes from in one file.
#[derive(Debug, Clone)]
pub(super) enum ColumnSource {
    /// The file's column at this position.
    File(usize),
    /// One value for the whole file.
    Constant(ScalarValue),
}

/// The source of each column of the request; `find` looks it up among the file's columns.
pub(super) fn column_sources(
    request: &ScanRequest,
    partition: &Partition,
    find: impl Fn(&ScanColumn) -> Option<usize>,
) -> Result<Vec<ColumnSource>> {
    let source = |column: &ScanColumn| match column.partition_column {
        Some(i) => match partition.constants.get(i) {
            Some(value) => Ok(ColumnSource::Constant(value.clone())),
            None => Err(Error::internal(format!(
                "{} has no value for partition column \"{}\"",
                partition.file.location, column.name
            ))),
        },
        None => Ok(find(column).map_or(ColumnSource::Constant(ScalarValue::Null), ColumnSource::File)),
    };
    request.columns.iter().map(source).collect()
}

/// The positions of `rows` rows without those dropped; `None` when all are left.
pub(super) fn without(rows: usize, dropped: &[u32]) -> Option<Vec<u32>> {
    if dropped.is_empty() {
        return None;
    }
    let mut dropped = dropped.iter().copied().peekable();
    Some(
        (0..rows as u32)
            .filter(|row| dropped.next_if_eq(row).is_none())
            .collect(),
    )
}

/// The batch that a scan gives out: decoded columns and constants, the rows at the positions `kept`, filtered by the
/// request's predicates, without the columns that only those needed.
pub(super) fn finish_batch(
    request: &ScanRequest,
    sources: &[ColumnSource],
    decoded: Vec<Option<Column>>,
    rows: usize,
    kept: Option<Vec<u32>>,
) -> Result<Batch> {
    let columns = sources
        .iter()
        .zip(decoded)
        .zip(&request.columns)
        .map(|((source, decoded), column)| match (source, decoded) {
            (_, Some(decoded)) => Ok(decoded),
            (ColumnSource::Constant(value), None) => Column::constant(value, &column.data_type, rows),
            (ColumnSource::File(_), None) => {
                Err(Error::internal(format!("column \"{}\" was not decoded", column.name)))
            }
        });
    let mut batch = Batch::new(columns.collect::<Result<_>>()?, rows);
    if let Some(kept) = kept {
        batch = batch.select(kept);
    }
    for predicate in &request.predicates {
        batch = predicate.select(batch)?;
    }
    match request.output == request.columns.len() {
        true => Ok(batch),
        false => batch.project(&(0..request.output).collect::<Vec<_>>()),
    }
}
