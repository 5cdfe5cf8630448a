//! Build rows, after the probing: those with or without partner.

use super::table::JoinTable;
use super::{Join, JoinColumn, JoinOutput, JoinSpec};
use crate::error::Result;
use crate::physical::pipeline::{PartitionReader, Source};
use crate::runtime::QueryContext;
use crate::types::{DataType, ScalarValue};
use crate::vector::{Batch, Column};
use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Rows of a partition.
const CHUNK: usize = 1 << 16;

/// Gives the build rows that were in memory by whether they had a partner.
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

    fn is_empty(&self) -> bool {
        self.join.table().is_none_or(|t| t.rows == 0)
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let Some(table) = self.join.table() else {
            return Ok(None);
        };
        let ordinal = self.next.fetch_add(1, Relaxed);
        let start = ordinal * CHUNK;
        if start >= table.rows {
            return Ok(None);
        }
        Ok(Some(Box::new(UnmatchedReader {
            join: self.join.clone(),
            ordinal,
            left: start..(start + CHUNK).min(table.rows),
            table,
            batch_rows: self.batch_rows.load(Relaxed),
        })))
    }
}

struct UnmatchedReader {
    join: Arc<Join>,
    table: Arc<JoinTable>,
    ordinal: usize,
    left: Range<usize>,
    batch_rows: usize,
}

impl PartitionReader for UnmatchedReader {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        next_build_rows(&self.join.spec, &self.table, &mut self.left, self.batch_rows)
    }
}

/// The output of the next `most` build rows of `left`; `None` when none is left.
pub(super) fn next_build_rows(
    spec: &JoinSpec,
    table: &JoinTable,
    left: &mut Range<usize>,
    most: usize,
) -> Result<Option<Batch>> {
    if left.start >= left.end {
        return Ok(None);
    }
    let rows = left.start..(left.start + most).min(left.end);
    left.start = rows.end;
    let has_partner = |row: usize| table.matched.get(row).is_some_and(|m| m.load(Relaxed));
    let wanted: Vec<u32> = match spec.output {
        JoinOutput::BuildMark => rows.map(|r| r as u32).collect(),
        JoinOutput::BuildSemi => rows.filter(|&r| has_partner(r)).map(|r| r as u32).collect(),
        _ => rows.filter(|&r| !has_partner(r)).map(|r| r as u32).collect(),
    };
    let count = wanted.len();
    let marks = wanted.iter().map(|&r| Some(has_partner(r as usize)));
    let marks: ArrayRef = Arc::new(marks.collect::<BooleanArray>());
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
