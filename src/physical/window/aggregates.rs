//! Aggregates over frames.
//!
//! From cheap to general: one state for each partition when all frames are whole partitions; differences of prefix sums
//! for exact sums and counts; running sums for floats; a queue of candidates for `min` and `max`; and for every other
//! aggregate a tree of partial states, all frames at once:
//!
//! ```text
//! level 2   [ 0..4             ] [ 4..8             ]      frame 1..7 = 1 + 2..4 + 4..6 + 6
//! level 1   [ 0..2 ]*[ 2..4 ]*   [ 4..6 ]*[ 6..8 ]         (rows of a frame stay in order: left ends bottom-up,
//! level 0   [0]*[1]  [2] [3]     [4] [5]  *[6] [7]          then right ends top-down)
//! ```

use super::frames::Frames;
use super::sort::SortedRows;
use super::spec::AggregateOperation;
use crate::error::Result;
use crate::expression::PhysicalExpr;
use crate::functions::aggregate::{Accumulator, Totals, create};
use crate::runtime::Reservation;
use crate::types::DataType;
use crate::vector::Batch;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array, make_comparator};
use arrow::buffer::NullBuffer;
use arrow::compute::{SortOptions, filter, interleave, take};
use arrow::datatypes::*;
use std::collections::VecDeque;
use std::sync::Arc;

/// One aggregate call with its columns in sorted order.
pub struct FrameAggregate<'a> {
    call: &'a AggregateOperation,
    arguments: Vec<ArrayRef>,
    /// Rows that take part; all when `None`.
    filter: Option<BooleanArray>,
}

/// An aggregate's partial state: arrays of one row.
pub type Carry = Vec<ArrayRef>;

impl<'a> FrameAggregate<'a> {
    /// The call over `input`, whose order is `rows`.
    pub fn new(
        call: &'a AggregateOperation,
        arguments: &[PhysicalExpr],
        input: &Batch,
        rows: &SortedRows,
    ) -> Result<Self> {
        let filter = match &call.filter {
            Some(filter) => rows.evaluate(std::slice::from_ref(filter), input)?.pop(),
            None => None,
        };
        Ok(Self {
            call,
            arguments: rows.evaluate(arguments, input)?,
            filter: filter.map(|f| f.as_boolean().clone()),
        })
    }

    /// The aggregate of every row's frame, in sorted order. `memory` grows by what is held meanwhile.
    pub fn evaluate(&self, rows: &SortedRows, frames: &Frames, memory: &mut Reservation) -> Result<ArrayRef> {
        if rows.len() > 0 && all_whole(rows, frames) {
            return self.whole_partitions(rows);
        }
        let fast = match self.plain_name() {
            Some("count") => Some(self.counts(frames)),
            Some("sum" | "avg") => self.sums(rows, frames, None)?,
            Some("min") => self.extremes(rows, frames, false)?,
            Some("max") => self.extremes(rows, frames, true)?,
            _ => None,
        };
        match fast {
            Some(result) => Ok(result),
            None => self.tree(None, rows, frames, memory),
        }
    }

    /// The aggregate of every row's frame when rows that `carry` stands for come before each frame.
    pub fn evaluate_after(
        &self,
        carry: Option<&Carry>,
        rows: &SortedRows,
        frames: &Frames,
        memory: &mut Reservation,
    ) -> Result<ArrayRef> {
        let Some(carry) = carry else {
            return self.evaluate(rows, frames, memory);
        };
        let before = || result_of(self.call, carry);
        let fast = match self.plain_name() {
            Some("count") => Some(add_counts(&self.counts(frames), &before()?)),
            Some("sum") => self.sums(rows, frames, Some(&before()?))?,
            Some(name @ ("min" | "max")) => match self.extremes(rows, frames, name == "max")? {
                Some(found) => beyond(&found, &before()?, name == "max")?,
                None => None,
            },
            _ => None,
        };
        match fast {
            Some(result) => Ok(result),
            None => self.tree(Some(carry), rows, frames, memory),
        }
    }

    /// The function's name, unless duplicates have to be left out.
    fn plain_name(&self) -> Option<&'static str> {
        let function = self.call.function;
        (!self.call.distinct || function.ignores_duplicates).then_some(function.name)
    }

    /// The state of the rows that `carry` stands for and all rows of this call.
    pub fn fold(&self, carry: Option<&Carry>, rows: usize) -> Result<Carry> {
        let mut accumulator = self.accumulator()?;
        if let Some(carry) = carry {
            accumulator.merge(carry, &[0], 1)?;
        }
        self.update(accumulator.as_mut(), vec![0; rows], 1)?;
        accumulator.state(1)
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        accumulator(self.call)
    }

    /// Adds the rows that pass the filter to `groups`.
    fn update(&self, accumulator: &mut dyn Accumulator, groups: Vec<u32>, group_count: usize) -> Result<()> {
        let Some(keep) = &self.filter else {
            return accumulator.update(&self.arguments, &groups, group_count);
        };
        let kept: Vec<u32> = groups
            .iter()
            .zip(keep)
            .filter(|(_, k)| *k == Some(true))
            .map(|(g, _)| *g)
            .collect();
        let arguments = self
            .arguments
            .iter()
            .map(|a| Ok(filter(a, keep)?))
            .collect::<Result<Vec<_>>>()?;
        accumulator.update(&arguments, &kept, group_count)
    }

    fn whole_partitions(&self, rows: &SortedRows) -> Result<ArrayRef> {
        let partitions = rows.partitions.iter().enumerate();
        let groups: Vec<u32> = partitions
            .flat_map(|(i, p)| std::iter::repeat_n(i as u32, p.len()))
            .collect();
        let mut accumulator = self.accumulator()?;
        self.update(accumulator.as_mut(), groups.clone(), rows.partitions.len())?;
        let results = accumulator.finish(rows.partitions.len())?;
        Ok(take(&results, &UInt32Array::from(groups), None)?)
    }

    /// The rows that count: they pass the filter and have a first argument that is not NULL.
    fn taking_part(&self) -> Option<NullBuffer> {
        let nulls = match self.call.signature.arguments.is_empty() {
            true => None,
            false => self.arguments.first().and_then(|a| a.logical_nulls()),
        };
        let kept = self.filter.as_ref().map(|keep| {
            let kept = NullBuffer::new(keep.values().clone());
            NullBuffer::union(Some(&kept), keep.nulls()).unwrap_or(kept)
        });
        NullBuffer::union(nulls.as_ref(), kept.as_ref())
    }

    /// How many rows that count each frame has.
    fn frame_counts(&self, frames: &Frames) -> Vec<i64> {
        let ranges = (0..frames.starts.len()).map(|at| frames.range(at));
        match self.taking_part() {
            None => ranges.map(|r| r.len() as i64).collect(),
            Some(nulls) => {
                let before = prefix(nulls.len(), 0i64, |row, sum| sum + nulls.is_valid(row) as i64);
                ranges.map(|r| before[r.end] - before[r.start]).collect()
            }
        }
    }

    fn counts(&self, frames: &Frames) -> ArrayRef {
        Arc::new(Int64Array::from(self.frame_counts(frames)))
    }

    /// Sums and means: exact ones of any frame, those of floats when frames begin where partitions do. To sums, the one
    /// that rows before all frames have is added.
    fn sums(&self, rows: &SortedRows, frames: &Frames, before_all: Option<&ArrayRef>) -> Result<Option<ArrayRef>> {
        let Some(values) = self.arguments.first() else {
            return Ok(None);
        };
        let nulls = self.taking_part();
        let valid = |row: usize| nulls.as_ref().is_none_or(|n| n.is_valid(row));
        let totals = if let Some(integers) = as_i128(values) {
            let mut overflow = false;
            let before = prefix(integers.len(), 0i128, |row, sum| {
                let (sum, over) = sum.overflowing_add(if valid(row) { integers[row] } else { 0 });
                overflow |= over;
                sum
            });
            if overflow {
                return Ok(None);
            }
            let first = match before_all.filter(|sum| sum.is_valid(0)) {
                Some(sum) => match as_i128(sum) {
                    Some(sum) => sum[0],
                    None => return Ok(None),
                },
                None => 0,
            };
            let ranges = (0..rows.len()).map(|at| frames.range(at));
            let sums = ranges.map(|r| first.checked_add(before[r.end].wrapping_sub(before[r.start])));
            match sums.collect() {
                Some(sums) => Totals::Wide(sums),
                None => return Ok(None),
            }
        } else if let (true, Some(floats)) = (all_running(rows, frames), as_f64(values)) {
            let first = before_all.filter(|sum| sum.is_valid(0)).and_then(as_f64);
            let first = first.map_or(0.0, |sum| sum[0]);
            let mut sums = vec![0f64; rows.len()];
            for partition in &rows.partitions {
                let (mut sum, mut next) = (first, partition.start);
                for at in partition.clone() {
                    while next < frames.ends[at] as usize {
                        sum += if valid(next) { floats[next] } else { 0.0 };
                        next += 1;
                    }
                    sums[at] = sum;
                }
            }
            Totals::Float(sums)
        } else {
            return Ok(None);
        };
        let counts = self.frame_counts(frames);
        let result = match self.call.function.name {
            "avg" => totals.divide(&counts, &self.call.signature.result)?,
            _ => {
                let any_before = before_all.is_some_and(|sum| sum.is_valid(0));
                let some = counts.iter().map(|&c| any_before || c > 0).collect::<NullBuffer>();
                let nulls = Some(some).filter(|n| n.null_count() > 0);
                totals.into_array(&self.call.signature.result, nulls, true)?
            }
        };
        Ok(Some(result))
    }

    /// `min` and `max`: a queue of rows each of which beats all rows after it in the frame.
    fn extremes(&self, rows: &SortedRows, frames: &Frames, largest: bool) -> Result<Option<ArrayRef>> {
        let Some(values) = self.arguments.first() else {
            return Ok(None);
        };
        let Ok(compare) = make_comparator(values, values, SortOptions::default()) else {
            return Ok(None);
        };
        let nulls = self.taking_part();
        let mut found: Vec<Option<u32>> = vec![None; rows.len()];
        for partition in &rows.partitions {
            let (mut queue, mut next) = (VecDeque::<u32>::new(), partition.start);
            for at in partition.clone() {
                let range = frames.range(at);
                while next < range.end {
                    if nulls.as_ref().is_none_or(|n| n.is_valid(next)) {
                        let beaten = |&last: &u32| match largest {
                            true => compare(last as usize, next).is_le(),
                            false => compare(last as usize, next).is_ge(),
                        };
                        while queue.back().is_some_and(beaten) {
                            queue.pop_back();
                        }
                        queue.push_back(next as u32);
                    }
                    next += 1;
                }
                while queue.front().is_some_and(|&row| (row as usize) < range.start) {
                    queue.pop_front();
                }
                found[at] = queue.front().copied().filter(|&row| range.contains(&(row as usize)));
            }
        }
        Ok(Some(take(values, &UInt32Array::from(found), None)?))
    }

    fn tree(
        &self,
        carry: Option<&Carry>,
        rows: &SortedRows,
        frames: &Frames,
        memory: &mut Reservation,
    ) -> Result<ArrayRef> {
        let before = memory.bytes();
        let levels = self.levels(rows.len(), memory)?;
        let (numbers, ranges) = different_frames(frames);
        let mut accumulator = self.accumulator()?;
        if let Some(carry) = carry {
            let zeros = UInt32Array::from(vec![0; ranges.len()]);
            let states = carry.iter().map(|s| Ok(take(s, &zeros, None)?));
            let numbers: Vec<u32> = (0..ranges.len() as u32).collect();
            accumulator.merge(&states.collect::<Result<Vec<_>>>()?, &numbers, ranges.len())?;
        }
        let cover = Cover::new(&ranges, levels.len());
        let lefts = cover.left.iter().zip(&levels);
        let rights = cover.right.iter().zip(&levels).rev();
        for ((nodes, groups), level) in lefts.chain(rights) {
            if nodes.is_empty() {
                continue;
            }
            let nodes = UInt32Array::from(nodes.clone());
            let states = level
                .iter()
                .map(|s| Ok(take(s, &nodes, None)?))
                .collect::<Result<Vec<_>>>()?;
            accumulator.merge(&states, groups, ranges.len())?;
        }
        let held = memory.bytes();
        memory.grow(accumulator.memory_size())?;
        let results = accumulator.finish(ranges.len())?;
        memory.shrink(memory.bytes() - held);
        memory.shrink(held - before);
        Ok(take(&results, &UInt32Array::from(numbers), None)?)
    }

    /// The states of all rows, of all pairs of rows, of all fours, …
    fn levels(&self, rows: usize, memory: &mut Reservation) -> Result<Vec<Vec<ArrayRef>>> {
        let mut accumulator = self.accumulator()?;
        self.update(accumulator.as_mut(), (0..rows as u32).collect(), rows)?;
        let mut levels = vec![accumulator.state(rows)?];
        let mut len = rows;
        while len > 1 {
            let below = &levels[levels.len() - 1];
            memory.grow(below.iter().map(|s| s.get_array_memory_size()).sum())?;
            let pairs: Vec<u32> = (0..len as u32).map(|node| node / 2).collect();
            len = len.div_ceil(2);
            accumulator.merge(below, &pairs, len)?;
            levels.push(accumulator.state(len)?);
        }
        Ok(levels)
    }
}

fn accumulator(call: &AggregateOperation) -> Result<Box<dyn Accumulator>> {
    create(
        call.function,
        &call.signature,
        &call.constants,
        call.distinct,
        &call.order,
    )
}

/// The aggregate of the rows that `carry` stands for: an array of one value.
pub fn result_of(call: &AggregateOperation, carry: &Carry) -> Result<ArrayRef> {
    let mut accumulator = accumulator(call)?;
    accumulator.merge(carry, &[0], 1)?;
    accumulator.finish(1)
}

/// Counts, each with the one count of `before` added.
fn add_counts(counts: &ArrayRef, before: &ArrayRef) -> ArrayRef {
    let before = before.as_primitive::<Int64Type>().value(0);
    Arc::new(counts.as_primitive::<Int64Type>().unary::<_, Int64Type>(|c| c + before))
}

/// Each value or the one value of `before`, whichever is larger or smaller; NULL only where both are. `None` when the type has
/// no order here.
fn beyond(values: &ArrayRef, before: &ArrayRef, largest: bool) -> Result<Option<ArrayRef>> {
    if before.is_null(0) {
        return Ok(Some(values.clone()));
    }
    let Ok(compare) = make_comparator(values, before, SortOptions::default()) else {
        return Ok(None);
    };
    let stays = |row: usize| match (values.is_null(row), largest) {
        (true, _) => false,
        (false, true) => compare(row, 0).is_ge(),
        (false, false) => compare(row, 0).is_le(),
    };
    let places: Vec<(usize, usize)> = (0..values.len())
        .map(|row| if stays(row) { (0, row) } else { (1, 0) })
        .collect();
    Ok(Some(interleave(&[values.as_ref(), before.as_ref()], &places)?))
}

/// Numbers the frames so that equal neighbours share a number; gives each row's number and each number's range.
fn different_frames(frames: &Frames) -> (Vec<u32>, Vec<(u32, u32)>) {
    let mut ranges: Vec<(u32, u32)> = vec![];
    let mut numbers = Vec::with_capacity(frames.starts.len());
    for range in frames.starts.iter().copied().zip(frames.ends.iter().copied()) {
        if ranges.last() != Some(&range) {
            ranges.push(range);
        }
        numbers.push(ranges.len() as u32 - 1);
    }
    (numbers, ranges)
}

/// The nodes whose rows together are each frame: per level, nodes and the numbers of the frames that they belong to.
struct Cover {
    left: Vec<(Vec<u32>, Vec<u32>)>,
    right: Vec<(Vec<u32>, Vec<u32>)>,
}

impl Cover {
    fn new(ranges: &[(u32, u32)], levels: usize) -> Self {
        let mut cover = Self {
            left: vec![Default::default(); levels],
            right: vec![Default::default(); levels],
        };
        for (number, &(mut start, mut end)) in ranges.iter().enumerate() {
            for (left, right) in cover.left.iter_mut().zip(&mut cover.right) {
                if start >= end {
                    break;
                }
                if start % 2 == 1 {
                    left.0.push(start);
                    left.1.push(number as u32);
                    start += 1;
                }
                if end % 2 == 1 {
                    end -= 1;
                    right.0.push(end);
                    right.1.push(number as u32);
                }
                (start, end) = (start / 2, end / 2);
            }
        }
        cover
    }
}

fn all_whole(rows: &SortedRows, frames: &Frames) -> bool {
    all_running(rows, frames)
        && rows
            .partitions
            .iter()
            .all(|p| frames.ends[p.clone()].iter().all(|&end| end as usize == p.end))
}

/// Whether all frames begin at the start of their partition.
fn all_running(rows: &SortedRows, frames: &Frames) -> bool {
    rows.partitions
        .iter()
        .all(|p| frames.starts[p.clone()].iter().all(|&start| start as usize == p.start))
}

/// `out[i]` is `next` applied to the rows before `i`; one entry more than rows.
fn prefix<T: Copy>(rows: usize, zero: T, mut next: impl FnMut(usize, T) -> T) -> Vec<T> {
    let mut sums = Vec::with_capacity(rows + 1);
    let mut sum = zero;
    sums.push(sum);
    for row in 0..rows {
        sum = next(row, sum);
        sums.push(sum);
    }
    sums
}

/// Numbers that add exactly.
fn as_i128(values: &ArrayRef) -> Option<Vec<i128>> {
    fn wide<T: ArrowPrimitiveType>(values: &ArrayRef) -> Option<Vec<i128>>
    where
        T::Native: Into<i128>,
    {
        Some(values.as_primitive::<T>().values().iter().map(|&v| v.into()).collect())
    }
    use DataType::*;
    match values.data_type() {
        Int8 => wide::<Int8Type>(values),
        Int16 => wide::<Int16Type>(values),
        Int32 => wide::<Int32Type>(values),
        Int64 => wide::<Int64Type>(values),
        Decimal64(..) => wide::<Decimal64Type>(values),
        Decimal128(..) => wide::<Decimal128Type>(values),
        Duration(TimeUnit::Microsecond) => wide::<DurationMicrosecondType>(values),
        Interval(IntervalUnit::YearMonth) => wide::<IntervalYearMonthType>(values),
        _ => None,
    }
}

fn as_f64(values: &ArrayRef) -> Option<Vec<f64>> {
    match values.data_type() {
        DataType::Float32 => {
            let values = values.as_primitive::<Float32Type>().values().iter();
            Some(values.map(|&v| v as f64).collect())
        }
        DataType::Float64 => Some(values.as_primitive::<Float64Type>().values().to_vec()),
        _ => None,
    }
}
