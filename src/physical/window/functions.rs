//! Ranking, and values of other rows.

use super::frames::Frames;
use super::sort::SortedRows;
use crate::error::{Error, Result};
use crate::functions::window::WindowKind;
use crate::types::DataType;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, UInt32Array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use std::ops::Range;
use std::sync::Arc;

/// Computes one function for all rows; arguments and result are in sorted order.
pub fn evaluate(
    kind: WindowKind,
    ignore_nulls: bool,
    arguments: &[ArrayRef],
    rows: &SortedRows,
    frames: &Frames,
    data_type: &DataType,
) -> Result<ArrayRef> {
    match kind {
        WindowKind::RowNumber => Ok(ranks(rows, |at, partition| (at - partition.start + 1) as i64)),
        WindowKind::Rank => Ok(ranks(rows, |at, partition| rank(at, partition, rows))),
        WindowKind::DenseRank => Ok(dense_ranks(rows)),
        WindowKind::PercentRank => Ok(shares(rows, |at, partition| match partition.len() {
            1 => 0.0,
            n => (rank(at, partition, rows) - 1) as f64 / (n - 1) as f64,
        })),
        WindowKind::CumeDist => Ok(shares(rows, |at, partition| {
            (rows.peer_ends[at] as usize - partition.start) as f64 / partition.len() as f64
        })),
        WindowKind::Ntile => ntile(argument(arguments, 0)?, rows),
        WindowKind::FirstValue | WindowKind::LastValue | WindowKind::NthValue => {
            let values = argument(arguments, 0)?;
            let candidates = Candidates::new(values, ignore_nulls);
            let found: UInt32Array = match kind {
                WindowKind::FirstValue => (0..rows.len()).map(|at| candidates.nth(frames.range(at), 1)).collect(),
                WindowKind::LastValue => (0..rows.len()).map(|at| candidates.last(frames.range(at))).collect(),
                _ => {
                    let counts = Counts::new("nth_value", arguments.get(1), 1)?;
                    let nth = |at| candidates.nth(frames.range(at), counts.at(at)?);
                    (0..rows.len()).map(nth).collect()
                }
            };
            Ok(take(values, &found, None)?)
        }
        WindowKind::Lag | WindowKind::Lead => neighbours(kind, ignore_nulls, arguments, rows, data_type),
    }
}

fn argument(arguments: &[ArrayRef], i: usize) -> Result<&ArrayRef> {
    arguments
        .get(i)
        .ok_or_else(|| Error::internal(format!("a window function without argument {i}")))
}

/// An integer for each row and its partition.
fn ranks(rows: &SortedRows, rank: impl Fn(usize, &Range<usize>) -> i64) -> ArrayRef {
    let partitions = rows.partitions.iter();
    let values = partitions.flat_map(|p| p.clone().map(|at| rank(at, p)).collect::<Vec<_>>());
    Arc::new(Int64Array::from_iter_values(values))
}

fn shares(rows: &SortedRows, share: impl Fn(usize, &Range<usize>) -> f64) -> ArrayRef {
    let partitions = rows.partitions.iter();
    let values = partitions.flat_map(|p| p.clone().map(|at| share(at, p)).collect::<Vec<_>>());
    Arc::new(Float64Array::from_iter_values(values))
}

fn rank(at: usize, partition: &Range<usize>, rows: &SortedRows) -> i64 {
    (rows.peer_starts[at] as usize - partition.start + 1) as i64
}

fn dense_ranks(rows: &SortedRows) -> ArrayRef {
    let mut values = Vec::with_capacity(rows.len());
    for partition in &rows.partitions {
        let mut rank = 0;
        for at in partition.clone() {
            rank += (rows.peer_starts[at] as usize == at) as i64;
            values.push(rank);
        }
    }
    Arc::new(Int64Array::from(values))
}

/// The bucket, from 1, of the row at `place` of `rows` rows cut into `count` buckets; the larger buckets come first.
pub fn ntile_bucket(place: usize, rows: usize, count: usize) -> usize {
    let (small, larger) = (rows / count, rows % count);
    match place.checked_sub(larger * (small + 1)) {
        None => place / (small + 1) + 1,
        Some(place) => larger + place / small.max(1) + 1,
    }
}

fn ntile(argument: &ArrayRef, rows: &SortedRows) -> Result<ArrayRef> {
    let counts = Counts::new("ntile", Some(argument), 1)?;
    let mut buckets = Vec::with_capacity(rows.len());
    for partition in &rows.partitions {
        for at in partition.clone() {
            let bucket = counts
                .at(at)
                .map(|n| ntile_bucket(at - partition.start, partition.len(), n));
            buckets.push(bucket.map(|b| b as i64));
        }
    }
    Ok(Arc::new(Int64Array::from(buckets)))
}

/// A whole-number argument, one for each row; 1 for all rows when it was left out.
pub struct Counts<'a>(Option<&'a Int64Array>);

impl<'a> Counts<'a> {
    pub fn new(function: &str, argument: Option<&'a ArrayRef>, least: i64) -> Result<Self> {
        let counts = argument.map(|a| a.as_primitive::<Int64Type>());
        match counts.and_then(|c| c.iter().flatten().find(|&n| n < least)) {
            Some(n) => Err(Error::execution(format!(
                "{function}: the count is {n}, expected at least {least}"
            ))),
            None => Ok(Self(counts)),
        }
    }

    /// The count of the row; `None` for NULL.
    pub fn at(&self, row: usize) -> Option<usize> {
        match self.0 {
            None => Some(1),
            Some(counts) => counts.is_valid(row).then(|| counts.value(row) as usize),
        }
    }
}

/// Rows that a function may take: all, or those whose value is not NULL.
pub enum Candidates {
    All,
    /// The candidates, and how many of them stand before each row (one entry more than rows).
    Some {
        rows: Vec<u32>,
        before: Vec<u32>,
    },
}

impl Candidates {
    pub fn new(values: &ArrayRef, ignore_nulls: bool) -> Self {
        let nulls = values.logical_nulls().filter(|n| ignore_nulls && n.null_count() > 0);
        let Some(nulls) = nulls else {
            return Self::All;
        };
        let rows: Vec<u32> = nulls.valid_indices().map(|row| row as u32).collect();
        let mut before = Vec::with_capacity(nulls.len() + 1);
        let mut count = 0;
        before.push(0);
        for valid in nulls.iter() {
            count += valid as u32;
            before.push(count);
        }
        Self::Some { rows, before }
    }

    /// The `n`-th candidate (from 1) of a range.
    pub fn nth(&self, range: Range<usize>, n: usize) -> Option<u32> {
        let skip = n.checked_sub(1)?;
        match self {
            Self::All => range
                .start
                .checked_add(skip)
                .filter(|at| *at < range.end)
                .map(|at| at as u32),
            Self::Some { rows, before } => {
                let place = (before[range.start] as usize).checked_add(skip)?;
                rows.get(place).copied().filter(|&row| (row as usize) < range.end)
            }
        }
    }

    /// The last candidate of a range.
    pub fn last(&self, range: Range<usize>) -> Option<u32> {
        self.nth_from_end(range, 1)
    }

    /// The `n`-th candidate (from 1) of a range, counted from its end.
    fn nth_from_end(&self, range: Range<usize>, n: usize) -> Option<u32> {
        match self {
            Self::All => range
                .end
                .checked_sub(n)
                .filter(|at| *at >= range.start)
                .map(|at| at as u32),
            Self::Some { rows, before } => {
                let place = (before[range.end] as usize).checked_sub(n)?;
                rows.get(place).copied().filter(|&row| row as usize >= range.start)
            }
        }
    }
}

/// `lag` and `lead`: frames play no part.
fn neighbours(
    kind: WindowKind,
    ignore_nulls: bool,
    arguments: &[ArrayRef],
    rows: &SortedRows,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let values = argument(arguments, 0)?;
    let name = if kind == WindowKind::Lag { "lag" } else { "lead" };
    let offsets = Counts::new(name, arguments.get(1), 0)?;
    let candidates = Candidates::new(values, ignore_nulls);
    let mut found: Vec<Option<u32>> = Vec::with_capacity(rows.len());
    let mut missing: Vec<bool> = Vec::with_capacity(rows.len());
    for partition in &rows.partitions {
        for at in partition.clone() {
            let offset = offsets.at(at);
            let row = match (offset, kind) {
                (None, _) => None,
                (Some(0), _) => Some(at as u32),
                (Some(n), WindowKind::Lag) => candidates.nth_from_end(partition.start..at, n),
                (Some(n), _) => candidates.nth(at + 1..partition.end, n),
            };
            missing.push(row.is_none() && offset.is_some());
            found.push(row);
        }
    }
    let result = take(values, &UInt32Array::from(found), None)?;
    debug_assert_eq!(result.data_type(), data_type);
    match arguments.get(2) {
        Some(defaults) => Ok(zip(&BooleanArray::from(missing), defaults, &result)?),
        None => Ok(result),
    }
}
