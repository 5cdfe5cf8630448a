//! One window partition that is larger than memory, computed piece by piece.
//!
//! ```text
//! on disk, in order:   ···│g g g│h h│i i i i i i i i i│j│k k│···        the rows with equal sort keys are a group
//!                                └── a piece: some whole groups, or a part of one that is long
//! ```
//!
//! What a call must know of the rows before a piece is its [`Carry`]: a partial state of the aggregate, or the values that a
//! `first_value` may still give. A long group is read ahead to its end first, as its rows share their results. Calls whose
//! frames reach a few rows to both sides are computed over the piece and these rows. Other frames need the whole
//! partition in memory.

use super::aggregates::{FrameAggregate, result_of};
use super::external::Boundaries;
use super::frames::Frames;
use super::functions::{Candidates, Counts, ntile_bucket};
use super::sort::SortedRows;
use super::spec::{Bound, Frame, WindowOperation, WindowSpec};
use super::{compute, concatenate};
use crate::error::{Error, Result};
use crate::expression::PhysicalExpr;
use crate::functions::window::WindowKind;
use crate::logical::FrameUnits;
use crate::runtime::{Reservation, SpillRun};
use crate::types::{DataType, ScalarValue};
use crate::vector::block::Layout;
use crate::vector::{Batch, Column};
use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, UInt32Array, new_null_array};
use arrow::compute::{concat, take};
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows of a piece.
const MOST_ROWS: usize = 8192;
const LEAST_ROWS: usize = 4;
/// Rows around a piece that frames may reach, in pieces.
const REACH: usize = 4;

/// The rows of a partition, on disk and in order.
pub struct LongRows {
    pub run: SpillRun,
    pub layout: Arc<Layout>,
    pub types: Vec<DataType>,
    /// Bytes of a row in memory.
    pub row_bytes: usize,
}

/// See the module's picture.
pub struct LongPartition {
    rows: LongRows,
    calls: Vec<Call>,
    /// Rows of a piece at most.
    piece_rows: usize,
    /// Rows before and after a piece that some call needs.
    reach: (usize, usize),
    peers: Boundaries,
    order_by: Vec<PhysicalExpr>,
    /// Rows read and still needed.
    buffer: VecDeque<Piece>,
    next_block: usize,
    bytes: Vec<u8>,
    /// Rows given out, and groups that ended before them.
    at: usize,
    groups: usize,
    long: Option<LongGroup>,
    memory: Reservation,
}

/// Rows as they were read.
struct Piece {
    first: usize,
    batch: Batch,
    /// Positions in the partition where groups begin.
    starts: Vec<usize>,
}

/// A group that is given out in several pieces.
struct LongGroup {
    start: usize,
    end: usize,
    /// For each call that has the same result in all rows of a group, this result.
    results: Vec<Option<ArrayRef>>,
}

struct Call {
    spec: WindowSpec,
    method: Method,
}

/// How a call is computed.
enum Method {
    /// From the row's position and group.
    Position(WindowKind),
    /// From all rows of the partition at once.
    Whole(Option<ArrayRef>),
    /// From the rows up to the row, or to the last of its group.
    Running { peers: bool, carry: Option<Carry> },
    /// From so many rows before and after.
    Neighbours(usize, usize),
}

/// What a call knows of the rows before.
enum Carry {
    /// The state of an aggregate.
    State(Vec<ArrayRef>),
    /// Values that may be the result.
    Values(ArrayRef),
}

impl LongPartition {
    /// Whether all calls can be computed piece by piece, each with `budget` bytes of memory.
    pub fn can_compute(calls: &[WindowSpec], rows: &LongRows, budget: usize) -> bool {
        let most = REACH * piece_rows(rows, budget);
        calls.iter().all(|call| match method(call) {
            Some(Method::Neighbours(before, after)) => before.saturating_add(after) <= most,
            other => other.is_some(),
        })
    }

    pub fn new(calls: &[WindowSpec], rows: LongRows, budget: usize, mut memory: Reservation) -> Result<Self> {
        let calls: Vec<Call> = calls
            .iter()
            .filter_map(|spec| {
                let spec = spec.clone();
                method(&spec).map(|method| Call { spec, method })
            })
            .collect();
        let reach = calls
            .iter()
            .fold((0, 0), |reach: (usize, usize), call| match call.method {
                Method::Neighbours(before, after) => (reach.0.max(before), reach.1.max(after)),
                _ => reach,
            });
        let order_by: Vec<PhysicalExpr> = calls
            .first()
            .map_or(vec![], |c| c.spec.order_by.iter().map(|k| k.expr.clone()).collect());
        let piece_rows = piece_rows(&rows, budget);
        memory.grow((2 * piece_rows + reach.0 + reach.1) * rows.row_bytes * 2)?;
        let mut partition = Self {
            rows,
            calls,
            piece_rows,
            reach,
            peers: Boundaries::new(order_by.clone())?,
            order_by,
            buffer: VecDeque::new(),
            next_block: 0,
            bytes: vec![],
            at: 0,
            groups: 0,
            long: None,
            memory,
        };
        partition.compute_whole()?;
        Ok(partition)
    }

    /// The next rows with the values of all calls.
    pub fn next(&mut self) -> Result<Option<Batch>> {
        if self.at >= self.len() {
            return Ok(None);
        }
        if self.long.as_ref().is_some_and(|group| group.end <= self.at) {
            self.long = None;
            self.groups += 1;
        }
        let end = match &self.long {
            Some(group) => group.end.min(self.at + self.piece_rows),
            None => self.piece_end()?,
        };
        self.read_to(end + self.reach.1)?;
        let input = self.slice(self.at, end)?;
        let place = self.place(end);
        let mut columns = input.physical_columns().to_vec();
        for i in 0..self.calls.len() {
            columns.push(self.compute(i, &input, &place)?);
        }
        if self.long.is_none() {
            self.groups += place.starts.len();
        }
        self.at = end;
        let needed = self.at.saturating_sub(self.reach.0);
        while self.buffer.front().is_some_and(|p| p.first + p.batch.len() <= needed) {
            self.buffer.pop_front();
        }
        Ok(Some(Batch::new(columns, input.len())))
    }

    fn len(&self) -> usize {
        self.rows.run.rows() as usize
    }

    /// Where the rows that were read end.
    fn read(&self) -> usize {
        self.buffer.back().map_or(self.at, |p| p.first + p.batch.len())
    }

    fn block(&mut self, number: usize) -> Result<Batch> {
        let block = self.rows.run.block(number, &mut self.bytes)?;
        block.into_batch(&self.rows.layout, self.rows.types.len())
    }

    fn read_to(&mut self, end: usize) -> Result<()> {
        let end = end.min(self.len());
        while self.read() < end {
            let batch = self.block(self.next_block)?;
            self.next_block += 1;
            let first = self.read();
            let starts = self.peers.starts(&batch)?.into_iter().map(|s| first + s).collect();
            self.buffer.push_back(Piece { first, batch, starts });
        }
        Ok(())
    }

    /// The rows from `start` to `end`, all of which were read.
    fn slice(&self, start: usize, end: usize) -> Result<Batch> {
        let pieces = self.buffer.iter().filter_map(|p| {
            let (from, to) = (start.max(p.first), end.min(p.first + p.batch.len()));
            (from < to).then(|| p.batch.slice(from - p.first, to - from))
        });
        concatenate(&self.rows.types, pieces.collect())
    }

    /// The first start of a group after `at`, among the rows that were read.
    fn starts_after(&self, at: usize) -> impl Iterator<Item = usize> {
        let starts = self.buffer.iter().flat_map(|p| p.starts.iter().copied());
        starts.filter(move |&start| start > at)
    }

    /// The end of a piece of whole groups; or of a part of a group, which is remembered as long.
    fn piece_end(&mut self) -> Result<usize> {
        let limit = self.at + self.piece_rows;
        self.read_to(limit + 1)?;
        if self.len() <= limit {
            return Ok(self.len());
        }
        if let Some(end) = self.starts_after(self.at).take_while(|&start| start <= limit).last() {
            return Ok(end);
        }
        let group = self.read_ahead()?;
        let end = group.end.min(limit);
        self.long = Some(group);
        Ok(end)
    }

    /// Reads the group that begins here to its end; its rows are read again when they are given out.
    fn read_ahead(&mut self) -> Result<LongGroup> {
        let start = self.at;
        let found = self.starts_after(start).next();
        let read = self.read();
        let known = self.slice(start, found.unwrap_or(read))?;
        self.fold_peers(&known)?;
        let mut end = found.unwrap_or(read);
        let mut peers = Boundaries::new(self.order_by.clone())?;
        peers.starts(&known.slice(known.len() - 1, 1))?;
        let mut block = self.next_block;
        while found.is_none() && block < self.rows.run.blocks().len() {
            let batch = self.block(block)?;
            block += 1;
            let ends = peers.starts(&batch)?.first().copied();
            let rows = ends.unwrap_or(batch.len());
            end += rows;
            if rows > 0 {
                self.fold_peers(&batch.slice(0, rows))?;
            }
            if ends.is_some() {
                break;
            }
        }
        let results = self.calls.iter().map(|call| match &call.method {
            Method::Running {
                peers: true,
                carry: Some(carry),
            } => carry.result(&call.spec).map(Some),
            _ => Ok(None),
        });
        let results = results.collect::<Result<_>>()?;
        Ok(LongGroup { start, end, results })
    }

    /// Adds rows to what calls that see whole groups know.
    fn fold_peers(&mut self, rows: &Batch) -> Result<()> {
        for call in &mut self.calls {
            if let Method::Running { peers: true, carry } = &mut call.method {
                *carry = Some(Carry::fold(&call.spec, carry.as_ref(), rows)?);
            }
        }
        Ok(())
    }

    /// Computes the calls whose frames are the whole partition.
    fn compute_whole(&mut self) -> Result<()> {
        let is_whole = |call: &Call| matches!(call.method, Method::Whole(_));
        if !self.calls.iter().any(is_whole) {
            return Ok(());
        }
        let mut carries: Vec<Option<Carry>> = self.calls.iter().map(|_| None).collect();
        for number in 0..self.rows.run.blocks().len() {
            let rows = self.block(number)?;
            for (call, carry) in self.calls.iter().zip(&mut carries).filter(|(c, _)| is_whole(c)) {
                *carry = Some(Carry::fold(&call.spec, carry.as_ref(), &rows)?);
            }
        }
        for (call, carry) in self.calls.iter_mut().zip(carries) {
            if let (Method::Whole(result), Some(carry)) = (&mut call.method, carry) {
                *result = Some(carry.result(&call.spec)?);
            }
        }
        Ok(())
    }

    /// Where the rows up to `end` stand.
    fn place(&self, end: usize) -> Place {
        let (at, rows) = (self.at, self.len());
        match &self.long {
            Some(group) => Place {
                at,
                rows,
                starts: vec![],
                bounds: vec![(group.start, group.end); end - at],
                groups: vec![self.groups; end - at],
            },
            None => {
                let all = self.buffer.iter().flat_map(|p| p.starts.iter().copied());
                let starts: Vec<usize> = all.filter(|s| (at..end).contains(s)).collect();
                let mut place = Place {
                    at,
                    rows,
                    starts: starts.iter().map(|s| s - at).collect(),
                    bounds: vec![],
                    groups: vec![],
                };
                for (i, &start) in starts.iter().enumerate() {
                    let stop = starts.get(i + 1).copied().unwrap_or(end);
                    place.bounds.resize(stop - at, (start, stop));
                    place.groups.resize(stop - at, self.groups + i);
                }
                place
            }
        }
    }

    /// The values of one call.
    fn compute(&mut self, i: usize, input: &Batch, place: &Place) -> Result<Column> {
        let rows = input.len();
        let constant = |value: &ArrayRef| Column::Constant {
            value: value.clone(),
            rows,
        };
        if let Method::Neighbours(before, after) = self.calls[i].method {
            let start = self.at.saturating_sub(before);
            let around = self.slice(start, (self.at + rows + after).min(self.len()))?;
            let sorted = SortedRows::one_group(around.len());
            let values = compute(&self.calls[i].spec, &around, &sorted, &mut self.memory)?;
            return Ok(Column::Array(values.slice(self.at - start, rows)));
        }
        let shared = self.long.as_ref().and_then(|group| group.results[i].as_ref());
        let call = &mut self.calls[i];
        match &mut call.method {
            Method::Position(kind) => Ok(Column::Array(place.evaluate(*kind, &call.spec, input)?)),
            Method::Whole(Some(value)) => Ok(constant(value)),
            Method::Running { peers: true, .. } if let Some(value) = shared => Ok(constant(value)),
            Method::Running { peers, carry } => {
                let ends: Vec<u32> = match peers {
                    true => place.bounds.iter().map(|(_, end)| (end - place.at) as u32).collect(),
                    false => (1..=rows as u32).collect(),
                };
                let values = Carry::running(&call.spec, carry.as_ref(), input, ends, &mut self.memory)?;
                *carry = Some(Carry::fold(&call.spec, carry.as_ref(), input)?);
                Ok(Column::Array(values))
            }
            _ => Err(Error::internal("a window call without a way to compute it")),
        }
    }
}

fn piece_rows(rows: &LongRows, budget: usize) -> usize {
    (budget / (4 * rows.row_bytes + 256)).clamp(LEAST_ROWS, MOST_ROWS)
}

/// Where the rows of a piece stand in their partition.
struct Place {
    at: usize,
    /// Rows of the partition.
    rows: usize,
    /// Rows of the piece where groups begin.
    starts: Vec<usize>,
    /// For each row the positions where its group begins and ends, and the number of groups before.
    bounds: Vec<(usize, usize)>,
    groups: Vec<usize>,
}

impl Place {
    /// The values of a ranking function.
    fn evaluate(&self, kind: WindowKind, spec: &WindowSpec, input: &Batch) -> Result<ArrayRef> {
        let rows = 0..self.bounds.len();
        let integers = |value: &dyn Fn(usize) -> usize| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| value(row) as i64)))
        };
        let shares = |share: &dyn Fn(usize) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(rows.clone().map(share)))
        };
        Ok(match kind {
            WindowKind::RowNumber => integers(&|row| self.at + row + 1),
            WindowKind::Rank => integers(&|row| self.bounds[row].0 + 1),
            WindowKind::DenseRank => integers(&|row| self.groups[row] + 1),
            WindowKind::PercentRank if self.rows == 1 => shares(&|_| 0.0),
            WindowKind::PercentRank => shares(&|row| self.bounds[row].0 as f64 / (self.rows - 1) as f64),
            WindowKind::CumeDist => shares(&|row| self.bounds[row].1 as f64 / self.rows as f64),
            WindowKind::Ntile => {
                let argument = spec
                    .arguments
                    .first()
                    .map(|a| a.evaluate(input)?.to_array())
                    .transpose()?;
                let counts = Counts::new("ntile", argument.as_ref(), 1)?;
                let bucket = |row| Some(ntile_bucket(self.at + row, self.rows, counts.at(row)?) as i64);
                Arc::new(rows.map(bucket).collect::<Int64Array>())
            }
            other => return Err(Error::internal(format!("{other:?} as a ranking function"))),
        })
    }
}

impl Carry {
    /// What is known after `rows`.
    fn fold(spec: &WindowSpec, before: Option<&Self>, rows: &Batch) -> Result<Self> {
        match &spec.function {
            WindowOperation::Aggregate(call) => {
                let sorted = SortedRows::one_group(rows.len());
                let before = match before {
                    Some(Self::State(state)) => Some(state),
                    _ => None,
                };
                let aggregate = FrameAggregate::new(call, &spec.arguments, rows, &sorted)?;
                Ok(Self::State(aggregate.fold(before, rows.len())?))
            }
            WindowOperation::Function { .. } => {
                let values = Self::with_values(spec, before, rows)?;
                let chosen = Chosen::new(spec)?;
                let kept = chosen.kept(&values);
                Ok(Self::Values(take(&values, &UInt32Array::from(kept), None)?))
            }
        }
    }

    /// The call's result over all rows that are known: one value.
    fn result(&self, spec: &WindowSpec) -> Result<ArrayRef> {
        match (self, &spec.function) {
            (Self::State(state), WindowOperation::Aggregate(call)) => result_of(call, state),
            (Self::Values(values), _) => match Chosen::new(spec)?.of(values, values.len()) {
                Some(row) => Ok(values.slice(row as usize, 1)),
                None => Ok(new_null_array(values.data_type(), 1)),
            },
            _ => Err(Error::internal("a window function with an aggregate's state")),
        }
    }

    /// The results over what is known and the first `ends[i]` of `rows`, for each row `i`.
    fn running(
        spec: &WindowSpec,
        before: Option<&Self>,
        rows: &Batch,
        ends: Vec<u32>,
        memory: &mut Reservation,
    ) -> Result<ArrayRef> {
        match &spec.function {
            WindowOperation::Aggregate(call) => {
                let sorted = SortedRows::one_group(rows.len());
                let frames = Frames {
                    starts: vec![0; rows.len()],
                    ends,
                };
                let before = match before {
                    Some(Self::State(state)) => Some(state),
                    _ => None,
                };
                FrameAggregate::new(call, &spec.arguments, rows, &sorted)?
                    .evaluate_after(before, &sorted, &frames, memory)
            }
            WindowOperation::Function { .. } => {
                let known = match before {
                    Some(Self::Values(values)) => values.len(),
                    _ => 0,
                };
                let values = Self::with_values(spec, before, rows)?;
                let chosen = Chosen::new(spec)?;
                let candidates = Candidates::new(&values, chosen.ignore_nulls);
                let found = ends.iter().map(|&end| chosen.among(&candidates, known + end as usize));
                Ok(take(&values, &found.collect::<UInt32Array>(), None)?)
            }
        }
    }

    /// The values that are known, followed by the first argument's values in `rows`.
    fn with_values(spec: &WindowSpec, before: Option<&Self>, rows: &Batch) -> Result<ArrayRef> {
        let argument = spec.arguments.first();
        let argument = argument.ok_or_else(|| Error::internal("a window function without argument"))?;
        let values = argument.evaluate(rows)?.to_array()?;
        match before {
            Some(Self::Values(known)) => Ok(concat(&[known.as_ref(), values.as_ref()])?),
            _ => Ok(values),
        }
    }
}

/// Which of the values in a frame `first_value`, `last_value` or `nth_value` gives.
struct Chosen {
    /// From the first, 1, 2, …; `None` for the last.
    nth: Option<usize>,
    ignore_nulls: bool,
}

impl Chosen {
    fn new(spec: &WindowSpec) -> Result<Self> {
        let WindowOperation::Function { kind, ignore_nulls } = spec.function else {
            return Err(Error::internal("an aggregate that chooses a value"));
        };
        let nth = match kind {
            WindowKind::LastValue => None,
            WindowKind::NthValue => constant_count(spec.arguments.get(1)),
            _ => Some(1),
        };
        Ok(Self { nth, ignore_nulls })
    }

    fn among(&self, candidates: &Candidates, end: usize) -> Option<u32> {
        match self.nth {
            Some(nth) => candidates.nth(0..end, nth),
            None => candidates.last(0..end),
        }
    }

    /// The row of the value chosen among the first `end`.
    fn of(&self, values: &ArrayRef, end: usize) -> Option<u32> {
        self.among(&Candidates::new(values, self.ignore_nulls), end)
    }

    /// The rows whose values may still be chosen when more values come.
    fn kept(&self, values: &ArrayRef) -> Vec<u32> {
        let candidates = Candidates::new(values, self.ignore_nulls);
        match self.nth {
            Some(nth) => (1..=nth).map_while(|n| candidates.nth(0..values.len(), n)).collect(),
            None => candidates.last(0..values.len()).into_iter().collect(),
        }
    }
}

/// How a call can be computed piece by piece, if it can.
fn method(spec: &WindowSpec) -> Option<Method> {
    use WindowKind::*;
    match &spec.function {
        WindowOperation::Function { kind, ignore_nulls } => match kind {
            RowNumber | Rank | DenseRank | PercentRank | CumeDist | Ntile => Some(Method::Position(*kind)),
            Lag | Lead if *ignore_nulls => None,
            Lag | Lead => {
                let offset = match spec.arguments.get(1) {
                    None => 1,
                    offset => constant_count(offset)?,
                };
                Some(match kind {
                    Lag => Method::Neighbours(offset, 0),
                    _ => Method::Neighbours(0, offset),
                })
            }
            // As many candidates as the count says are kept.
            NthValue if !(1..=MOST_ROWS).contains(&constant_count(spec.arguments.get(1))?) => None,
            FirstValue | LastValue | NthValue => frame_method(&spec.frame),
        },
        WindowOperation::Aggregate(_) => frame_method(&spec.frame),
    }
}

fn frame_method(frame: &Frame) -> Option<Method> {
    let distance = |bound: &Bound, before: bool| match bound {
        Bound::CurrentRow => Some(0),
        Bound::Preceding(n) => Some(if before {
            usize::try_from(n.as_integer()?).ok()?
        } else {
            0
        }),
        Bound::Following(n) => Some(if before {
            0
        } else {
            usize::try_from(n.as_integer()?).ok()?
        }),
        _ => None,
    };
    match (&frame.start, &frame.end) {
        (Bound::UnboundedPreceding, Bound::UnboundedFollowing) => Some(Method::Whole(None)),
        (Bound::UnboundedPreceding, Bound::CurrentRow) => Some(Method::Running {
            peers: !matches!(frame.units, FrameUnits::Rows),
            carry: None,
        }),
        (start, end) if matches!(frame.units, FrameUnits::Rows) => {
            Some(Method::Neighbours(distance(start, true)?, distance(end, false)?))
        }
        _ => None,
    }
}

/// A count that is written in the query.
fn constant_count(argument: Option<&PhysicalExpr>) -> Option<usize> {
    let value = match argument? {
        PhysicalExpr::Literal(value, _) => value.clone(),
        PhysicalExpr::Cast { expr, .. } => match expr.as_ref() {
            PhysicalExpr::Literal(value, _) => value.clone(),
            _ => return None,
        },
        _ => return None,
    };
    match value {
        ScalarValue::Null => None,
        value => usize::try_from(value.as_integer()?).ok(),
    }
}
