//! Frames: which rows around each row a function sees.

use super::sort::SortedRows;
use super::spec::{Bound, Frame, PhysicalSortKey};
use crate::error::{Error, Result};
use crate::logical::FrameUnits;
use crate::types::{DataType, DecimalType, ScalarValue, type_name};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::*;
use chrono::{DateTime, Months};
use std::cmp::Ordering;
use std::ops::Range;

/// The frame of the row at sorted position `i` is `starts[i]..ends[i]`, empty when the start is not below the end. As
/// offsets are constant, neither starts nor ends ever move back inside a partition.
pub struct Frames {
    pub starts: Vec<u32>,
    pub ends: Vec<u32>,
}

impl Frames {
    /// `order_column` is the only sort key's column in sorted order, for RANGE with offsets.
    pub fn new(
        frame: &Frame,
        rows: &SortedRows,
        order_by: &[PhysicalSortKey],
        order_column: Option<&ArrayRef>,
    ) -> Result<Self> {
        let mut frames = Self {
            starts: vec![0; rows.len()],
            ends: vec![0; rows.len()],
        };
        let start = Edge::new(frame, &frame.start, false, order_by, order_column)?;
        let end = Edge::new(frame, &frame.end, true, order_by, order_column)?;
        for range in &rows.partitions {
            start.place(range, rows, &mut frames.starts)?;
            end.place(range, rows, &mut frames.ends)?;
        }
        Ok(frames)
    }

    pub fn range(&self, at: usize) -> Range<usize> {
        let (start, end) = (self.starts[at] as usize, self.ends[at] as usize);
        start..end.max(start)
    }
}

/// How to find one end of all frames.
enum Edge {
    PartitionStart,
    PartitionEnd,
    /// The position moved by a number of rows; for ends, one more.
    Rows(i64),
    /// The first or last row of the peer group that stands this many groups away.
    Groups {
        distance: i64,
        end: bool,
    },
    /// The first row whose key is not before (for ends: is after) the row's key moved by an offset.
    Values(Box<ValueEdge>),
}

impl Edge {
    fn new(
        frame: &Frame,
        bound: &Bound,
        end: bool,
        order_by: &[PhysicalSortKey],
        order_column: Option<&ArrayRef>,
    ) -> Result<Self> {
        let distance = |offset: &ScalarValue, sign: i64| match offset.as_integer() {
            Some(n) if n >= 0 => Ok(sign * n.min(u32::MAX as i64)),
            _ => Err(Error::execution(format!(
                "the offset of a window frame is {offset}, expected a number of rows or groups of at least 0"
            ))),
        };
        let moved = |offset: &ScalarValue, sign: i64| -> Result<Self> {
            match frame.units {
                FrameUnits::Rows => Ok(Self::Rows(distance(offset, sign)? + end as i64)),
                FrameUnits::Groups => Ok(Self::Groups {
                    distance: distance(offset, sign)?,
                    end,
                }),
                FrameUnits::Range => match (order_by, order_column) {
                    ([key], Some(column)) => {
                        let edge = ValueEdge::new(key, column, offset, sign < 0, end)?;
                        Ok(Self::Values(Box::new(edge)))
                    }
                    (keys, _) => Err(Error::plan(format!(
                        "a RANGE frame with an offset needs one ORDER BY key, found {}",
                        keys.len()
                    ))),
                },
            }
        };
        match bound {
            Bound::UnboundedPreceding => Ok(Self::PartitionStart),
            Bound::UnboundedFollowing => Ok(Self::PartitionEnd),
            Bound::CurrentRow if matches!(frame.units, FrameUnits::Rows) => Ok(Self::Rows(end as i64)),
            Bound::CurrentRow => Ok(Self::Groups { distance: 0, end }),
            Bound::Preceding(offset) => moved(offset, -1),
            Bound::Following(offset) => moved(offset, 1),
        }
    }

    /// Writes this end of the frames of one partition's rows.
    fn place(&self, partition: &Range<usize>, rows: &SortedRows, out: &mut [u32]) -> Result<()> {
        let (first, last) = (partition.start as u32, partition.end as u32);
        match self {
            Self::PartitionStart => out[partition.clone()].fill(first),
            Self::PartitionEnd => out[partition.clone()].fill(last),
            Self::Rows(distance) => {
                for at in partition.clone() {
                    out[at] = (at as i64 + distance).clamp(first as i64, last as i64) as u32;
                }
            }
            Self::Groups { distance: 0, end } => {
                let peers = if *end { &rows.peer_ends } else { &rows.peer_starts };
                out[partition.clone()].copy_from_slice(&peers[partition.clone()]);
            }
            Self::Groups { distance, end } => {
                let mut starts: Vec<u32> = rows.peer_starts[partition.clone()].to_vec();
                starts.dedup();
                starts.push(last);
                let mut group = 0;
                for at in partition.clone() {
                    group += (rows.peer_starts[at] > starts[group]) as usize;
                    let wanted = group as i64 + distance + *end as i64;
                    out[at] = starts[wanted.clamp(0, starts.len() as i64 - 1) as usize];
                }
            }
            Self::Values(edge) => edge.place(partition, rows, out)?,
        }
        Ok(())
    }
}

/// One end of a RANGE frame with an offset.
struct ValueEdge {
    keys: Keys,
    nulls: Option<NullBuffer>,
    offset: Offset,
    descending: bool,
    /// Whether the offset is taken from the key: PRECEDING when ascending, FOLLOWING when descending.
    subtract: bool,
    end: bool,
}

/// Sort keys as numbers.
enum Keys {
    Integers(Vec<i128>),
    Floats(Vec<f64>),
    /// Days or microseconds since 1970-01-01, to which months are added by the calendar.
    Days(Vec<i128>),
    Micros(Vec<i128>),
}

enum Offset {
    Integer(i128),
    Float(f64),
    Months(u32),
}

const MICROS_PER_DAY: i128 = 86_400_000_000;

impl ValueEdge {
    fn new(key: &PhysicalSortKey, column: &ArrayRef, offset: &ScalarValue, preceding: bool, end: bool) -> Result<Self> {
        let (keys, offset) = Self::numbers(column, offset)?;
        let negative = match offset {
            Offset::Integer(v) => v < 0,
            Offset::Float(v) => v < 0.0 || v.is_nan(),
            Offset::Months(_) => false,
        };
        if negative {
            return Err(Error::execution("the offset of a window frame is below 0"));
        }
        Ok(Self {
            keys,
            nulls: column.logical_nulls(),
            offset,
            descending: key.descending,
            subtract: preceding != key.descending,
            end,
        })
    }

    /// Keys and offset on one scale.
    fn numbers(column: &ArrayRef, offset: &ScalarValue) -> Result<(Keys, Offset)> {
        use DataType::*;
        let t = column.data_type();
        let integers = |unit: i128| -> Result<Vec<i128>> {
            let values = as_i64(column)?;
            Ok(values.into_iter().map(|v| v as i128 * unit).collect())
        };
        Ok(match (t, offset) {
            (Date32, ScalarValue::IntervalMicros(v)) => {
                (Keys::Integers(integers(MICROS_PER_DAY)?), Offset::Integer(*v as i128))
            }
            (Timestamp(..) | Time64(_) | Duration(_), ScalarValue::IntervalMicros(v)) => {
                (Keys::Integers(integers(1)?), Offset::Integer(*v as i128))
            }
            (Date32 | Timestamp(..), ScalarValue::IntervalMonths(v)) => {
                let months =
                    u32::try_from(*v).map_err(|_| Error::execution("the offset of a window frame is below 0"))?;
                let keys = match t {
                    Date32 => Keys::Days(integers(1)?),
                    _ => Keys::Micros(integers(1)?),
                };
                (keys, Offset::Months(months))
            }
            (Interval(_), ScalarValue::IntervalMonths(v)) => {
                (Keys::Integers(integers(1)?), Offset::Integer(*v as i128))
            }
            (Float32 | Float64, v) if let Some(v) = v.as_f64() => {
                let keys = cast(column, &Float64)?;
                (
                    Keys::Floats(keys.as_primitive::<Float64Type>().values().to_vec()),
                    Offset::Float(v),
                )
            }
            (_, ScalarValue::Float32(_) | ScalarValue::Float64(_)) if DecimalType::of(t).is_some() => {
                let keys = cast(column, &Float64)?;
                let offset = offset.as_f64().unwrap_or_default();
                (
                    Keys::Floats(keys.as_primitive::<Float64Type>().values().to_vec()),
                    Offset::Float(offset),
                )
            }
            (_, v) if let (Some(of), Some((value, scale))) = (DecimalType::of(t), exact(v)) => {
                let common = of.scale.max(scale);
                let keys = cast(column, &Decimal128(38, of.scale))?;
                let scaled = |v: i128, scale: i8| v.checked_mul(10i128.checked_pow((common - scale) as u32)?);
                let too_large = || Error::execution("a RANGE frame over numbers of more than 38 digits");
                let keys = keys.as_primitive::<Decimal128Type>().values().iter();
                let keys: Option<Vec<i128>> = keys.map(|&v| scaled(v, of.scale)).collect();
                let offset = scaled(value, scale).ok_or_else(too_large)?;
                (Keys::Integers(keys.ok_or_else(too_large)?), Offset::Integer(offset))
            }
            _ => {
                let (key, offset) = (type_name(t), type_name(&offset.data_type()));
                let message = format!("a RANGE frame over a key of type {key} has an offset of type {offset}");
                return Err(Error::plan(message).with_hint("numbers take numbers, dates and timestamps take intervals"));
            }
        })
    }

    fn place(&self, partition: &Range<usize>, rows: &SortedRows, out: &mut [u32]) -> Result<()> {
        let valid = |at: usize| self.nulls.as_ref().is_none_or(|n| n.is_valid(at));
        // NULLs stand together at one end of the partition and are only each other's peers.
        let first = partition.clone().find(|&at| valid(at)).unwrap_or(partition.end);
        let last = partition.clone().rev().find(|&at| valid(at)).map_or(first, |at| at + 1);
        let mut place = first;
        for at in partition.clone() {
            if !valid(at) {
                out[at] = if self.end {
                    rows.peer_ends[at]
                } else {
                    rows.peer_starts[at]
                };
                continue;
            }
            // Targets grow with the rows, so the place only moves forward.
            let target = self.target(at)?;
            while place < last && self.stands_before(place, &target) {
                place += 1;
            }
            out[at] = place as u32;
        }
        Ok(())
    }

    /// The key at `at` moved by the offset.
    fn target(&self, at: usize) -> Result<Target> {
        let sign = if self.subtract { -1 } else { 1 };
        match (&self.keys, &self.offset) {
            (Keys::Integers(keys) | Keys::Days(keys) | Keys::Micros(keys), Offset::Integer(v)) => {
                Ok(Target::Integer(keys[at].saturating_add(sign * v)))
            }
            (Keys::Floats(keys), Offset::Float(v)) => Ok(Target::Float(keys[at] + sign as f64 * v)),
            (Keys::Days(keys), Offset::Months(m)) => {
                let moved = self.add_months(keys[at] * MICROS_PER_DAY, *m)?;
                Ok(Target::Integer(moved / MICROS_PER_DAY))
            }
            (Keys::Micros(keys), Offset::Months(m)) => Ok(Target::Integer(self.add_months(keys[at], *m)?)),
            _ => Err(Error::internal("a window frame's key and offset differ in kind")),
        }
    }

    fn add_months(&self, micros: i128, months: u32) -> Result<i128> {
        let moved = i64::try_from(micros)
            .ok()
            .and_then(DateTime::from_timestamp_micros)
            .and_then(|t| match self.subtract {
                true => t.checked_sub_months(Months::new(months)),
                false => t.checked_add_months(Months::new(months)),
            });
        match moved {
            Some(t) => Ok(t.timestamp_micros() as i128),
            None => Err(Error::execution("a window frame reaches beyond the calendar")),
        }
    }

    /// Whether the row at `place` lies before the end that `target` marks.
    fn stands_before(&self, place: usize, target: &Target) -> bool {
        let order = match (&self.keys, target) {
            (Keys::Integers(keys) | Keys::Days(keys) | Keys::Micros(keys), Target::Integer(t)) => keys[place].cmp(t),
            (Keys::Floats(keys), Target::Float(t)) => keys[place].total_cmp(t),
            _ => Ordering::Equal,
        };
        let order = if self.descending { order.reverse() } else { order };
        order == Ordering::Less || (self.end && order == Ordering::Equal)
    }
}

enum Target {
    Integer(i128),
    Float(f64),
}

/// The unscaled value and scale of an exact number.
fn exact(v: &ScalarValue) -> Option<(i128, i8)> {
    match v {
        ScalarValue::Decimal(v, _, scale) => Some((*v, *scale)),
        other => Some((other.as_integer()? as i128, 0)),
    }
}

/// Dates, times, timestamps and intervals in their own unit.
fn as_i64(column: &ArrayRef) -> Result<Vec<i64>> {
    use DataType::*;
    Ok(match column.data_type() {
        Date32 => column
            .as_primitive::<Date32Type>()
            .values()
            .iter()
            .map(|&v| v as i64)
            .collect(),
        Interval(IntervalUnit::YearMonth) => {
            let values = column.as_primitive::<IntervalYearMonthType>().values();
            values.iter().map(|&v| v as i64).collect()
        }
        Time64(TimeUnit::Microsecond) => column.as_primitive::<Time64MicrosecondType>().values().to_vec(),
        Timestamp(TimeUnit::Microsecond, _) => column.as_primitive::<TimestampMicrosecondType>().values().to_vec(),
        Duration(TimeUnit::Microsecond) => column.as_primitive::<DurationMicrosecondType>().values().to_vec(),
        other => return Err(Error::internal(format!("{} as a frame's key", type_name(other)))),
    })
}
