//! Rows in the order of a window: partition by partition, within a partition by the sort keys.

use super::spec::PhysicalSortKey;
use crate::error::{Error, Result};
use crate::expression::PhysicalExpr;
use crate::functions::aggregate::{KeySet, by_group, canonical};
use crate::types::DataType;
use crate::vector::Batch;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::*;
use arrow::row::{RowConverter, Rows, SortField};
use std::ops::Range;

/// The order of a batch's rows, and where partitions and peers begin and end in it. All positions are sorted ones.
pub struct SortedRows {
    /// The row at each sorted position; `None` when the rows are sorted as they are.
    order: Option<UInt32Array>,
    pub partitions: Vec<Range<usize>>,
    /// The first of the rows that are equal in all sort keys to the row at each position, …
    pub peer_starts: Vec<u32>,
    /// … and the position after the last of them.
    pub peer_ends: Vec<u32>,
}

impl SortedRows {
    /// Sorts the rows of a dense batch of at most 2³¹ rows.
    pub fn new(batch: &Batch, partition_by: &[PhysicalExpr], order_by: &[PhysicalSortKey]) -> Result<Self> {
        let rows = batch.len();
        let ids = partition_ids(batch, partition_by)?;
        let count = ids.iter().max().map_or(0, |&last| last as usize + 1);
        let (offsets, by_partition) = by_group(&ids, count)?;
        let bounds = offsets.windows(2);
        let partitions: Vec<Range<usize>> = bounds.map(|w| w[0] as usize..w[1] as usize).collect();
        let keys = SortKeys::new(batch, order_by)?;
        if let SortKeys::None = keys {
            let mut sorted = Self {
                order: by_partition,
                partitions,
                peer_starts: vec![0; rows],
                peer_ends: vec![0; rows],
            };
            for range in sorted.partitions.clone() {
                sorted.mark_peers(range);
            }
            return Ok(sorted);
        }
        let mut order: Vec<u32> = match by_partition {
            Some(order) => order.values().to_vec(),
            None => (0..rows as u32).collect(),
        };
        let mut sorted = Self {
            order: None,
            partitions,
            peer_starts: vec![0; rows],
            peer_ends: vec![0; rows],
        };
        for range in sorted.partitions.clone() {
            keys.sort(&mut order[range.clone()]);
            let mut first = range.start;
            for at in range.clone() {
                let ends = at + 1 == range.end || !keys.equal(order[at], order[at + 1]);
                if ends {
                    sorted.mark_peers(first..at + 1);
                    first = at + 1;
                }
            }
        }
        sorted.order = Some(order.into());
        Ok(sorted)
    }

    /// One partition of rows that are in order and of which all are peers.
    pub fn one_group(rows: usize) -> Self {
        Self {
            order: None,
            partitions: std::iter::once(0..rows).collect(),
            peer_starts: vec![0; rows],
            peer_ends: vec![rows as u32; rows],
        }
    }

    pub fn len(&self) -> usize {
        self.peer_starts.len()
    }

    fn mark_peers(&mut self, range: Range<usize>) {
        self.peer_starts[range.clone()].fill(range.start as u32);
        self.peer_ends[range.clone()].fill(range.end as u32);
    }

    /// A column of the batch in sorted order.
    pub fn sorted(&self, column: &ArrayRef) -> Result<ArrayRef> {
        match &self.order {
            None => Ok(column.clone()),
            Some(order) => Ok(take(column, order, None)?),
        }
    }

    /// The values of expressions over the batch, in sorted order.
    pub fn evaluate(&self, expressions: &[PhysicalExpr], batch: &Batch) -> Result<Vec<ArrayRef>> {
        let sorted = |e: &PhysicalExpr| self.sorted(&e.evaluate(batch)?.to_array()?);
        expressions.iter().map(sorted).collect()
    }

    /// A sorted column in the batch's own order.
    pub fn unsorted(&self, column: ArrayRef) -> Result<ArrayRef> {
        let Some(order) = &self.order else {
            return Ok(column);
        };
        let mut places = vec![0u32; order.len()];
        for (at, &row) in order.values().iter().enumerate() {
            places[row as usize] = at as u32;
        }
        Ok(take(&column, &UInt32Array::from(places), None)?)
    }
}

/// The number of each row's partition, numbered as they come.
fn partition_ids(batch: &Batch, partition_by: &[PhysicalExpr]) -> Result<Vec<u32>> {
    let rows = batch.len();
    if partition_by.is_empty() {
        return Ok(vec![0; rows]);
    }
    let columns = evaluate_all(partition_by, batch)?;
    let types: Vec<DataType> = partition_by.iter().map(PhysicalExpr::data_type).collect();
    let mut ids = Vec::with_capacity(rows);
    KeySet::new(&types)?.insert(&columns, &vec![0; rows], None, |_, entry, _| ids.push(entry as u32))?;
    Ok(ids)
}

/// Plain arrays of the expressions' values.
pub fn evaluate_all<'a>(
    expressions: impl IntoIterator<Item = &'a PhysicalExpr>,
    batch: &Batch,
) -> Result<Vec<ArrayRef>> {
    let evaluated = expressions.into_iter().map(|e| e.evaluate(batch)?.to_array());
    evaluated.collect()
}

/// Sort keys of all rows in a form that compares fast.
enum SortKeys {
    None,
    /// One key of at most eight bytes: `null rank << 96 | value << 32 | row`. Ties keep the order of rows.
    Packed(Vec<u128>),
    Rows(Rows),
}

impl SortKeys {
    fn new(batch: &Batch, order_by: &[PhysicalSortKey]) -> Result<Self> {
        let columns: Vec<ArrayRef> = evaluate_all(order_by.iter().map(|k| &k.expr), batch)?
            .iter()
            .map(canonical)
            .collect();
        if u32::try_from(batch.len()).is_err() {
            return Err(Error::resources(format!("a window over {} rows", batch.len())));
        }
        match (columns.as_slice(), order_by) {
            ([], _) => Ok(Self::None),
            ([column], [key]) if let Some(words) = ordered_words(column) => Ok(Self::Packed(pack(column, &words, key))),
            _ => {
                let field = |k: &PhysicalSortKey| {
                    let options = SortOptions {
                        descending: k.descending,
                        nulls_first: k.nulls_first,
                    };
                    SortField::new_with_options(k.expr.data_type(), options)
                };
                let converter = RowConverter::new(order_by.iter().map(field).collect())?;
                Ok(Self::Rows(converter.convert_columns(&columns)?))
            }
        }
    }

    fn sort(&self, order: &mut [u32]) {
        match self {
            Self::None => {}
            Self::Packed(keys) => {
                let mut sorted: Vec<u128> = order.iter().map(|&row| keys[row as usize]).collect();
                sorted.sort_unstable();
                order.iter_mut().zip(sorted).for_each(|(row, key)| *row = key as u32);
            }
            Self::Rows(keys) => {
                let key = |row: u32| (keys.row(row as usize), row);
                order.sort_unstable_by(|&a, &b| key(a).cmp(&key(b)));
            }
        }
    }

    fn equal(&self, a: u32, b: u32) -> bool {
        match self {
            Self::None => true,
            Self::Packed(keys) => keys[a as usize] >> 32 == keys[b as usize] >> 32,
            Self::Rows(keys) => keys.row(a as usize) == keys.row(b as usize),
        }
    }
}

fn pack(column: &ArrayRef, words: &[u64], key: &PhysicalSortKey) -> Vec<u128> {
    let nulls = column.logical_nulls();
    let packed = |(row, &word): (usize, &u64)| {
        let valid = nulls.as_ref().is_none_or(|n| n.is_valid(row));
        let rank = (valid == key.nulls_first) as u128;
        let word = match (valid, key.descending) {
            (false, _) => 0,
            (true, false) => word,
            (true, true) => !word,
        };
        rank << 96 | (word as u128) << 32 | row as u128
    };
    words.iter().enumerate().map(packed).collect()
}

/// Words that compare like the values of a column of at most eight bytes.
fn ordered_words(column: &ArrayRef) -> Option<Vec<u64>> {
    const SIGN: u64 = 1 << 63;
    fn integers<T: ArrowPrimitiveType>(column: &ArrayRef) -> Option<Vec<u64>>
    where
        T::Native: Into<i64>,
    {
        let values = column.as_primitive::<T>().values().iter();
        Some(values.map(|&v| v.into() as u64 ^ SIGN).collect())
    }
    use DataType::*;
    match column.data_type() {
        Int8 => integers::<Int8Type>(column),
        Int16 => integers::<Int16Type>(column),
        Int32 => integers::<Int32Type>(column),
        Int64 => integers::<Int64Type>(column),
        Decimal64(..) => integers::<Decimal64Type>(column),
        Date32 => integers::<Date32Type>(column),
        Time64(TimeUnit::Microsecond) => integers::<Time64MicrosecondType>(column),
        Timestamp(TimeUnit::Microsecond, _) => integers::<TimestampMicrosecondType>(column),
        Duration(TimeUnit::Microsecond) => integers::<DurationMicrosecondType>(column),
        Interval(IntervalUnit::YearMonth) => integers::<IntervalYearMonthType>(column),
        Float64 => {
            // The total order of IEEE 754: negative values have all bits turned, others the sign.
            let word = |v: &f64| {
                let bits = v.to_bits();
                if bits & SIGN == 0 { bits | SIGN } else { !bits }
            };
            Some(column.as_primitive::<Float64Type>().values().iter().map(word).collect())
        }
        _ => None,
    }
}
