//! Build rows, after the probing: those with or without partner.

use super::{Join, JoinColumn, JoinOutput};
use crate::error::{Error, Result};
use crate::physical::pipeline::{PartitionReader, Source};
use crate::runtime::QueryContext;
use crate::types::{DataType, ScalarValue};
use crate::vector::{Batch, Column};
use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Rows of a partition.
const CHUNK: usize = 1 << 16;

/// Gives build rows by whether they had a partner.
pub struct UnmatchedScan {
    join: Arc<Join>,
    next: AtomicUsize,
    batch_rows: AtomicUsize,
}

impl UnmatchedScan {
    pub fn new(join: Arc<Join>) -> Self {
        Self {
            join,
            next: AtomicUsize::new(0),
            batch_rows: AtomicUsize::new(8192),
        }
    }
}

impl Source for UnmatchedScan {
    fn start(&self, context: &QueryContext) -> Result<()> {
        self.batch_rows.store(context.config.batch_size.max(1), Relaxed);
        Ok(())
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let rows = self.join.table.get().map_or(0, |t| t.rows);
        let ordinal = self.next.fetch_add(1, Relaxed);
        let start = ordinal * CHUNK;
        if start >= rows {
            return Ok(None);
        }
        let end = (start + CHUNK).min(rows);
        let batch_rows = self.batch_rows.load(Relaxed);
        Ok(Some(Box::new(UnmatchedReader {
            join: self.join.clone(),
            ordinal,
            at: start,
            end,
            batch_rows,
        })))
    }
}

struct UnmatchedReader {
    join: Arc<Join>,
    ordinal: usize,
    at: usize,
    end: usize,
    batch_rows: usize,
}

impl PartitionReader for UnmatchedReader {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let rows = self.at..(self.at + self.batch_rows).min(self.end);
        self.at = rows.end;
        let spec = &self.join.spec;
        let table = self
            .join
            .table
            .get()
            .ok_or_else(|| Error::internal("a join is built before its rows are read"))?;
        let has_partner = |row: usize| table.matched.get(row).is_some_and(|m| m.load(Relaxed));
        let wanted: Vec<u32> = match spec.output {
            JoinOutput::BuildMark => rows.map(|r| r as u32).collect(),
            JoinOutput::BuildSemi => rows.filter(|&r| has_partner(r)).map(|r| r as u32).collect(),
            _ => rows.filter(|&r| !has_partner(r)).map(|r| r as u32).collect(),
        };
        let count = wanted.len();
        let marks: ArrayRef = Arc::new(
            wanted
                .iter()
                .map(|&r| Some(has_partner(r as usize)))
                .collect::<BooleanArray>(),
        );
        let wanted = UInt32Array::from(wanted);
        let columns = spec.columns.iter().map(|column| match column {
            JoinColumn::Build(i) => Ok(Column::Array(take(&table.columns[*i], &wanted, None)?)),
            JoinColumn::Probe(i) => Column::constant(
                &ScalarValue::Null,
                spec.probe_types.get(*i).unwrap_or(&DataType::Null),
                count,
            ),
            JoinColumn::Mark => Ok(Column::Array(marks.clone())),
        });
        Ok(Some(Batch::new(columns.collect::<Result<_>>()?, count)))
    }
}
