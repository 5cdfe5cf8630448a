//! `sum` and `avg`.
//!
//! Integers and decimals are summed exactly: 64-bit values in 64-bit cells with a carry that is only stored once a cell
//! overflows, 128-bit values in 128-bit cells. Whether the result fits its type is asked once, at the end, so that the
//! answer does not depend on the order of rows.

use super::groups::{FEW_GROUPS, Seen, count_rows, grow, nulls_of, take_states};
use super::{Accumulator, AggregateFunction, AggregateSignature, documented, one_argument, signature};
use crate::error::{Error, Result};
use crate::functions::wrong_arguments;
use crate::types::{DataType, DecimalType, INTERVAL_DAY, INTERVAL_MONTH, MAX_DECIMAL_PRECISION, type_name};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use std::marker::PhantomData;
use std::sync::Arc;

pub(super) const SUM: AggregateFunction = AggregateFunction::new(
    "sum",
    &[],
    documented(
        "sum(x)",
        "The sum of all values; an error when it does not fit the result type.",
        "SELECT sum(x) FROM (VALUES 1, 2, 3) AS t(x)",
        "6",
    ),
    |found, _| {
        let argument = summable(&SUM, found)?;
        let result = match &argument {
            DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int64,
            DataType::Decimal64(_, s) => DataType::Decimal128(MAX_DECIMAL_PRECISION, *s),
            DataType::Decimal128(_, s) => DataType::Decimal128(MAX_DECIMAL_PRECISION, *s),
            same => same.clone(),
        };
        Ok(signature(
            std::slice::from_ref(&argument),
            &[state_type(&argument)],
            result,
        ))
    },
    |signature, _| {
        let result = signature.result.clone();
        with_sums(signature, SumKind::Sum(result))
    },
);

pub(super) const AVG: AggregateFunction = AggregateFunction::new(
    "avg",
    &["mean"],
    documented(
        "avg(x)",
        "The mean of all values.",
        "SELECT avg(x) FROM (VALUES 1, 2, 4) AS t(x)",
        "2.3333333333333335",
    ),
    |found, _| {
        let argument = summable(&AVG, found)?;
        let result = match &argument {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Float64,
            same => same.clone(),
        };
        let state = [state_type(&argument), DataType::Int64];
        Ok(signature(&[argument], &state, result))
    },
    |signature, _| {
        let result = signature.result.clone();
        with_sums(signature, SumKind::Average(result))
    },
);

/// The argument's type when it can be added.
fn summable(function: &AggregateFunction, found: &[DataType]) -> Result<DataType> {
    use DataType::*;
    match one_argument(function, found)? {
        Null => Ok(Int64),
        t @ (Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Decimal64(..) | Decimal128(..)) => Ok(t.clone()),
        t if *t == INTERVAL_DAY || *t == INTERVAL_MONTH => Ok(t.clone()),
        _ => Err(wrong_arguments(function.name, function.doc.signature, found)),
    }
}

/// The type of the partial sum's column: wide enough for any sum.
fn state_type(argument: &DataType) -> DataType {
    match argument {
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        other => DataType::Decimal128(MAX_DECIMAL_PRECISION, DecimalType::of(other).map_or(0, |d| d.scale)),
    }
}

enum SumKind {
    Sum(DataType),
    Average(DataType),
}

fn with_sums(signature: &AggregateSignature, kind: SumKind) -> Result<Box<dyn Accumulator>> {
    use DataType::*;
    Ok(match &signature.arguments[0] {
        Int8 => accumulator(Sums::<Int8Type, i64>::default(), kind),
        Int16 => accumulator(Sums::<Int16Type, i64>::default(), kind),
        Int32 => accumulator(Sums::<Int32Type, i64>::default(), kind),
        Int64 => accumulator(Sums::<Int64Type, i64>::default(), kind),
        Decimal64(..) => accumulator(Sums::<Decimal64Type, i64>::default(), kind),
        Decimal128(..) => accumulator(Sums::<Decimal128Type, i128>::default(), kind),
        Duration(_) => accumulator(Sums::<DurationMicrosecondType, i64>::default(), kind),
        Interval(_) => accumulator(Sums::<IntervalYearMonthType, i64>::default(), kind),
        Float32 => accumulator(Sums::<Float32Type, f64>::default(), kind),
        Float64 => accumulator(Sums::<Float64Type, f64>::default(), kind),
        other => return Err(Error::internal(format!("sum over {}", type_name(other)))),
    })
}

fn accumulator<T, C>(sums: Sums<T, C>, kind: SumKind) -> Box<dyn Accumulator>
where
    T: ArrowPrimitiveType,
    T::Native: Into<C>,
    C: Cell,
{
    match kind {
        SumKind::Sum(result) => Box::new(Sum {
            sums,
            seen: Seen::default(),
            result,
        }),
        SumKind::Average(result) => Box::new(Average {
            sums,
            counts: vec![],
            result,
        }),
    }
}

struct Sum<T: ArrowPrimitiveType, C> {
    sums: Sums<T, C>,
    seen: Seen,
    result: DataType,
}

impl<T, C> Accumulator for Sum<T, C>
where
    T: ArrowPrimitiveType,
    T::Native: Into<C>,
    C: Cell,
{
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        let nulls = nulls_of(&arguments[0]);
        self.seen.mark(groups, group_count, nulls.as_ref());
        self.sums.add(&arguments[0], nulls.as_ref(), groups, group_count)
    }

    fn update_single(&mut self, arguments: &[ArrayRef], rows: usize) -> Result<()> {
        if arguments[0].null_count() < rows {
            self.seen.mark(&[0], 1, None);
        }
        self.sums.add_single(&arguments[0])
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        let nulls = nulls_of(&states[0]);
        self.seen.mark(groups, group_count, nulls.as_ref());
        self.sums.merge(&states[0], nulls.as_ref(), groups, group_count)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        let nulls = self.seen.take(group_count);
        let t = state_type(&self.result);
        Ok(vec![self.sums.take(group_count).into_array(&t, nulls, false)?])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let nulls = self.seen.take(group_count);
        self.sums.take(group_count).into_array(&self.result, nulls, true)
    }

    fn memory_size(&self) -> usize {
        self.sums.memory_size() + self.seen.memory_size()
    }
}

struct Average<T: ArrowPrimitiveType, C> {
    sums: Sums<T, C>,
    counts: Vec<i64>,
    result: DataType,
}

impl<T, C> Accumulator for Average<T, C>
where
    T: ArrowPrimitiveType,
    T::Native: Into<C>,
    C: Cell,
{
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        let nulls = nulls_of(&arguments[0]);
        count_rows(&mut self.counts, groups, group_count, nulls.as_ref());
        self.sums.add(&arguments[0], nulls.as_ref(), groups, group_count)
    }

    fn update_single(&mut self, arguments: &[ArrayRef], rows: usize) -> Result<()> {
        grow(&mut self.counts, 1, 0);
        self.counts[0] += (rows - arguments[0].null_count()) as i64;
        self.sums.add_single(&arguments[0])
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()> {
        grow(&mut self.counts, group_count, 0);
        let counts = states[1].as_primitive::<Int64Type>();
        for (&g, count) in groups.iter().zip(counts.values()) {
            self.counts[g as usize] += count;
        }
        self.sums
            .merge(&states[0], nulls_of(&states[0]).as_ref(), groups, group_count)
    }

    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>> {
        let counts = take_states(&mut self.counts, group_count, 0);
        let t = state_type(&self.result);
        let t = match (C::INTEGER, t) {
            (true, DataType::Float64) => DataType::Decimal128(MAX_DECIMAL_PRECISION, 0),
            (_, t) => t,
        };
        Ok(vec![
            self.sums.take(group_count).into_array(&t, None, false)?,
            Arc::new(Int64Array::from(counts)),
        ])
    }

    fn finish(&mut self, group_count: usize) -> Result<ArrayRef> {
        let counts = take_states(&mut self.counts, group_count, 0);
        self.sums.take(group_count).divide(&counts, &self.result)
    }

    fn memory_size(&self) -> usize {
        self.sums.memory_size() + self.counts.capacity() * size_of::<i64>()
    }
}

/// What one group's sum is kept in.
trait Cell: Copy + Default + Send + 'static {
    /// The type of a partial sum's column.
    type State: ArrowPrimitiveType;
    const INTEGER: bool;
    fn overflowing_add(self, other: Self) -> (Self, bool);
    /// Whether an overflow of this cell went upwards and may be carried; `None` when nothing is wider.
    fn carry(added: Self) -> Option<i64>;
    /// A partial sum as a cell and the carry above it.
    fn split(state: <Self::State as ArrowPrimitiveType>::Native) -> (Self, i64);
    /// The sum of all values, for one group; written so that compilers use SIMD.
    fn sum_of<N: Copy + Into<Self>>(values: &[N]) -> Option<<Self::State as ArrowPrimitiveType>::Native>;
    /// The sums of few groups, as [`few_sums`] gives them.
    fn few<N: Copy + Into<Self>>(values: &[N], groups: &[u32]) -> Option<[Self; FEW_GROUPS]> {
        few_sums(values, groups)
    }
    fn totals(cells: Vec<Self>, carries: Vec<i64>) -> Totals;
}

impl Cell for i64 {
    type State = Decimal128Type;
    const INTEGER: bool = true;

    #[inline]
    fn overflowing_add(self, other: Self) -> (Self, bool) {
        i64::overflowing_add(self, other)
    }

    fn carry(added: Self) -> Option<i64> {
        Some(if added > 0 { 1 } else { -1 })
    }

    fn split(state: i128) -> (Self, i64) {
        let low = state as i64;
        // The difference is a multiple of 2^64 and cannot leave 128 bits by more than wrapping undoes.
        (low, (state.wrapping_sub(low as i128) >> 64) as i64)
    }

    fn sum_of<N: Copy + Into<Self>>(values: &[N]) -> Option<i128> {
        // Halves of 32 bits cannot overflow 64 bits within 2^31 rows.
        let chunk_sum = |chunk: &[N]| {
            let (mut low, mut high) = (0u64, 0i64);
            for &v in chunk {
                let v: i64 = v.into();
                low += v as u32 as u64;
                high += v >> 32;
            }
            ((high as i128) << 32) + low as i128
        };
        Some(values.chunks(1 << 30).map(chunk_sum).sum())
    }

    fn totals(cells: Vec<Self>, carries: Vec<i64>) -> Totals {
        if carries.is_empty() {
            return Totals::Narrow(cells);
        }
        let carries = carries.into_iter().chain(std::iter::repeat(0));
        let wide = |(cell, carry): (i64, i64)| ((carry as i128) << 64).wrapping_add(cell as i128);
        Totals::Wide(cells.into_iter().zip(carries).map(wide).collect())
    }
}

impl Cell for i128 {
    type State = Decimal128Type;
    const INTEGER: bool = true;

    #[inline]
    fn overflowing_add(self, other: Self) -> (Self, bool) {
        i128::overflowing_add(self, other)
    }

    fn carry(_: Self) -> Option<i64> {
        None
    }

    fn split(state: i128) -> (Self, i64) {
        (state, 0)
    }

    fn sum_of<N: Copy + Into<Self>>(values: &[N]) -> Option<i128> {
        values.iter().try_fold(0i128, |sum, &v| sum.checked_add(v.into()))
    }

    /// Products of decimals have wide types and small values: while they fit 64 bits, 64-bit registers are faster.
    fn few<N: Copy + Into<Self>>(values: &[N], groups: &[u32]) -> Option<[Self; FEW_GROUPS]> {
        let mut wide = 0;
        let sums = few_sums_of::<i64>(groups.len().min(values.len()), groups, |row| {
            let (v, beyond) = narrow(values[row].into());
            wide |= beyond;
            v
        });
        match sums {
            Some(sums) if wide == 0 => Some(sums.map(i128::from)),
            _ => few_sums(values, groups),
        }
    }

    fn totals(cells: Vec<Self>, _: Vec<i64>) -> Totals {
        Totals::Wide(cells)
    }
}

impl Cell for f64 {
    type State = Float64Type;
    const INTEGER: bool = false;

    #[inline]
    fn overflowing_add(self, other: Self) -> (Self, bool) {
        (self + other, false)
    }

    fn carry(_: Self) -> Option<i64> {
        None
    }

    fn split(state: f64) -> (Self, i64) {
        (state, 0)
    }

    fn sum_of<N: Copy + Into<Self>>(values: &[N]) -> Option<f64> {
        let mut lanes = [0f64; 8];
        let octets = values.chunks_exact(8);
        let rest: f64 = octets.remainder().iter().map(|&v| v.into()).sum();
        for octet in octets {
            for (lane, &v) in lanes.iter_mut().zip(octet) {
                *lane += v.into();
            }
        }
        Some(lanes.iter().sum::<f64>() + rest)
    }

    fn totals(cells: Vec<Self>, _: Vec<i64>) -> Totals {
        Totals::Float(cells)
    }
}

/// The sums of all groups over values of arrow type `T`.
struct Sums<T, C> {
    cells: Vec<C>,
    /// Multiples of 2^64 to be added to the cells; empty until the first overflow.
    carries: Vec<i64>,
    input: PhantomData<fn(T)>,
}

impl<T, C> Default for Sums<T, C> {
    fn default() -> Self {
        Self {
            cells: vec![],
            carries: vec![],
            input: PhantomData,
        }
    }
}

impl<T, C> Sums<T, C>
where
    T: ArrowPrimitiveType,
    T::Native: Into<C>,
    C: Cell,
{
    fn add(&mut self, array: &ArrayRef, nulls: Option<&NullBuffer>, groups: &[u32], group_count: usize) -> Result<()> {
        let values = array.as_primitive::<T>().values();
        grow(&mut self.cells, group_count, C::default());
        match nulls {
            None if group_count <= FEW_GROUPS => match C::few(values, groups) {
                Some(sums) => (0..group_count).try_for_each(|g| self.add_one(g, sums[g])),
                None => self.add_all(values, groups),
            },
            None => self.add_all(values, groups),
            Some(nulls) => nulls
                .valid_indices()
                .try_for_each(|row| self.add_one(groups[row] as usize, values[row].into())),
        }
    }

    fn add_all(&mut self, values: &[T::Native], groups: &[u32]) -> Result<()> {
        let cells = self.cells.as_mut_slice();
        for (&g, &v) in groups.iter().zip(values) {
            let cell = &mut cells[g as usize];
            let (sum, overflow) = cell.overflowing_add(v.into());
            *cell = sum;
            if overflow {
                add_carry(&mut self.carries, cells.len(), g as usize, C::carry(v.into()))?;
            }
        }
        Ok(())
    }

    #[inline]
    fn add_one(&mut self, group: usize, value: C) -> Result<()> {
        let (sum, overflow) = self.cells[group].overflowing_add(value);
        self.cells[group] = sum;
        if overflow {
            add_carry(&mut self.carries, self.cells.len(), group, C::carry(value))?;
        }
        Ok(())
    }

    fn add_state(&mut self, group: usize, state: <C::State as ArrowPrimitiveType>::Native) -> Result<()> {
        let (cell, carry) = C::split(state);
        self.add_one(group, cell)?;
        if carry != 0 {
            add_carry(&mut self.carries, self.cells.len(), group, Some(carry))?;
        }
        Ok(())
    }

    fn add_single(&mut self, array: &ArrayRef) -> Result<()> {
        let array = array.as_primitive::<T>();
        grow(&mut self.cells, 1, C::default());
        let mut add = |values: &[T::Native]| self.add_state(0, C::sum_of(values).ok_or_else(overflow)?);
        match array.nulls().filter(|n| n.null_count() > 0) {
            None => add(array.values()),
            Some(nulls) => nulls
                .valid_slices()
                .try_for_each(|(start, end)| add(&array.values()[start..end])),
        }
    }

    fn merge(
        &mut self,
        state: &ArrayRef,
        nulls: Option<&NullBuffer>,
        groups: &[u32],
        group_count: usize,
    ) -> Result<()> {
        grow(&mut self.cells, group_count, C::default());
        let states = state.as_primitive::<C::State>().values();
        match nulls {
            None => groups
                .iter()
                .zip(states)
                .try_for_each(|(&g, &state)| self.add_state(g as usize, state)),
            Some(nulls) => nulls
                .valid_indices()
                .try_for_each(|row| self.add_state(groups[row] as usize, states[row])),
        }
    }

    fn take(&mut self, group_count: usize) -> Totals {
        let cells = take_states(&mut self.cells, group_count, C::default());
        C::totals(cells, std::mem::take(&mut self.carries))
    }

    fn memory_size(&self) -> usize {
        self.cells.capacity() * size_of::<C>() + self.carries.capacity() * size_of::<i64>()
    }
}

fn overflow() -> Error {
    Error::execution("sum: the total does not fit 38 digits").with_hint("sum a cast to double")
}

#[cold]
fn add_carry(carries: &mut Vec<i64>, group_count: usize, group: usize, carry: Option<i64>) -> Result<()> {
    let carry = carry.ok_or_else(overflow)?;
    grow(carries, group_count, 0);
    carries[group] += carry;
    Ok(())
}

/// The low half, and a second number that is zero when the high half says nothing more.
#[inline]
fn narrow(v: i128) -> (i64, i64) {
    let low = v as i64;
    (low, (v >> 64) as i64 ^ low >> 63)
}

/// Sums of at most [`FEW_GROUPS`] groups over rows without NULL; `None` when some sum does not fit a cell.
fn few_sums<N: Copy + Into<C>, C: Cell>(values: &[N], groups: &[u32]) -> Option<[C; FEW_GROUPS]> {
    few_sums_of(groups.len().min(values.len()), groups, |row| values[row].into())
}

/// The same over `rows` values given one by one. Each group has four registers, so that a row need not wait for the
/// store of the row before it.
#[inline(always)]
fn few_sums_of<C: Cell>(rows: usize, groups: &[u32], mut value: impl FnMut(usize) -> C) -> Option<[C; FEW_GROUPS]> {
    let mut lanes = [[C::default(); FEW_GROUPS]; 4];
    let mut overflow = false;
    let mut add = |lane: &mut [C; FEW_GROUPS], g: u32, v: C| {
        let cell = &mut lane[g as usize % FEW_GROUPS];
        let (sum, over) = cell.overflowing_add(v);
        *cell = sum;
        overflow |= over;
    };
    let (quads, rest) = groups[..rows].as_chunks::<4>();
    for (i, quad) in quads.iter().enumerate() {
        for (j, (lane, &g)) in lanes.iter_mut().zip(quad).enumerate() {
            add(lane, g, value(4 * i + j));
        }
    }
    for (i, &g) in rest.iter().enumerate() {
        add(&mut lanes[0], g, value(4 * quads.len() + i));
    }
    let [mut sums, b, c, d] = lanes;
    for lane in [b, c, d] {
        for (g, v) in lane.into_iter().enumerate() {
            add(&mut sums, g as u32, v);
        }
    }
    (!overflow).then_some(sums)
}

/// The exact sums of all groups.
pub(crate) enum Totals {
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
    Float(Vec<f64>),
}

impl Totals {
    /// The sums as a column of type `t`; when `checked`, a sum that `t` cannot hold is an error.
    pub fn into_array(self, t: &DataType, nulls: Option<NullBuffer>, checked: bool) -> Result<ArrayRef> {
        let fits = |v: i128| !checked || v.unsigned_abs() < 10u128.pow(MAX_DECIMAL_PRECISION as u32);
        let unfit = |v: i128| {
            Error::execution(format!("sum: the total {v} does not fit {}", type_name(t)))
                .with_hint("sum a cast to decimal(38,0) or double")
        };
        Ok(match (self, t) {
            (Self::Narrow(v), DataType::Int64) => primitive::<Int64Type>(v, nulls, t),
            (Self::Narrow(v), DataType::Duration(_)) => primitive::<DurationMicrosecondType>(v, nulls, t),
            (Self::Narrow(v), DataType::Decimal128(..)) => {
                primitive::<Decimal128Type>(v.into_iter().map(i128::from).collect(), nulls, t)
            }
            (Self::Narrow(v), DataType::Interval(_)) => {
                let months = |v: i64| i32::try_from(v).map_err(|_| unfit(v as i128));
                let v: Vec<i32> = v.into_iter().map(months).collect::<Result<_>>()?;
                primitive::<IntervalYearMonthType>(v, nulls, t)
            }
            (Self::Wide(v), DataType::Decimal128(..)) => match v.iter().find(|v| !fits(**v)) {
                Some(_) => return Err(overflow()),
                None => primitive::<Decimal128Type>(v, nulls, t),
            },
            (Self::Wide(v), _) => {
                let narrow = |v: i128| i64::try_from(v).map_err(|_| unfit(v));
                let v = v.into_iter().map(narrow).collect::<Result<_>>()?;
                return Self::Narrow(v).into_array(t, nulls, checked);
            }
            (Self::Float(v), DataType::Float32) => {
                primitive::<Float32Type>(v.into_iter().map(|v| v as f32).collect(), nulls, t)
            }
            (Self::Float(v), _) => primitive::<Float64Type>(v, nulls, t),
            (_, t) => return Err(Error::internal(format!("sum of type {}", type_name(t)))),
        })
    }

    /// The means as a column of type `t`; NULL where the count is zero.
    pub fn divide(self, counts: &[i64], t: &DataType) -> Result<ArrayRef> {
        let nulls = Some(counts.iter().map(|&c| c > 0).collect::<NullBuffer>()).filter(|n| n.null_count() > 0);
        let wide = match self {
            Self::Float(v) => {
                let means = v.into_iter().zip(counts).map(|(v, &c)| v / c as f64).collect();
                return Self::Float(means).into_array(t, nulls, false);
            }
            Self::Narrow(v) if *t == DataType::Float64 => {
                let means = v.into_iter().zip(counts).map(|(v, &c)| v as f64 / c as f64).collect();
                return Self::Float(means).into_array(t, nulls, false);
            }
            Self::Narrow(v) => v.into_iter().map(i128::from).collect(),
            Self::Wide(v) => v,
        };
        if *t == DataType::Float64 {
            let means = wide
                .into_iter()
                .zip(counts)
                .map(|(v, &c)| v as f64 / c as f64)
                .collect();
            return Self::Float(means).into_array(t, nulls, false);
        }
        let means: Vec<i128> = wide
            .into_iter()
            .zip(counts)
            .map(|(v, &c)| divide_half_up(v, c.max(1) as i128))
            .collect();
        match t {
            DataType::Decimal64(..) => {
                // A mean lies between the smallest and the largest value, so it fits their type.
                Ok(primitive::<Decimal64Type>(
                    means.into_iter().map(|v| v as i64).collect(),
                    nulls,
                    t,
                ))
            }
            _ => Self::Wide(means).into_array(t, nulls, true),
        }
    }
}

/// `sum / count` rounded to the nearest integer, halves away from zero.
fn divide_half_up(sum: i128, count: i128) -> i128 {
    let (quotient, rest) = (sum / count, sum % count);
    if rest.unsigned_abs() * 2 >= count.unsigned_abs() {
        quotient + sum.signum()
    } else {
        quotient
    }
}

fn primitive<P: ArrowPrimitiveType>(values: Vec<P::Native>, nulls: Option<NullBuffer>, t: &DataType) -> ArrayRef {
    Arc::new(PrimitiveArray::<P>::new(values.into(), nulls).with_data_type(t.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal64Array, Decimal128Array};

    /// Sums by the definition, for few and for many groups, in one batch and in a merge of two.
    fn check(array: ArrayRef, values: &[i128]) {
        for group_count in [5, 1000] {
            let groups: Vec<u32> = (0..values.len() as u32).map(|i| i * i % group_count).collect();
            let mut expected = vec![0i128; group_count as usize];
            for (&g, v) in groups.iter().zip(values) {
                expected[g as usize] += v;
            }
            let signature = (SUM.signature)(&[array.data_type().clone()], &[]).unwrap();
            let create = || (SUM.create)(&signature, &[]).unwrap();
            let n = group_count as usize;
            let mut whole = create();
            whole.update(std::slice::from_ref(&array), &groups, n).unwrap();
            let (mut left, mut right) = (create(), create());
            let half = values.len() / 2;
            left.update(&[array.slice(0, half)], &groups[..half], n).unwrap();
            right
                .update(&[array.slice(half, values.len() - half)], &groups[half..], n)
                .unwrap();
            let all: Vec<u32> = (0..group_count).collect();
            left.merge(&right.state(n).unwrap(), &all, n).unwrap();
            for sums in [whole.finish(n).unwrap(), left.finish(n).unwrap()] {
                let sums = sums.as_primitive::<Decimal128Type>();
                for (g, &sum) in expected.iter().enumerate() {
                    let found = sums.is_valid(g).then(|| sums.value(g));
                    assert_eq!(found.unwrap_or(0), sum, "group {g} of {n}");
                }
            }
        }
    }

    #[test]
    fn sums_of_large_values_are_exact() {
        let large: Vec<i64> = (0..10_007i64).map(|i| (i - 100) * 900_000_000_000_000).collect();
        let wide: Vec<i128> = large.iter().map(|&v| v as i128 * 7_000_000_000).collect();
        check(
            Arc::new(Decimal64Array::from(large.clone())),
            &large.iter().map(|&v| v as i128).collect::<Vec<_>>(),
        );
        check(Arc::new(Decimal128Array::from(wide.clone())), &wide);
        let mixed: Vec<i128> = wide.iter().map(|v| if v % 3 == 0 { *v } else { v % 1000 }).collect();
        check(Arc::new(Decimal128Array::from(mixed.clone())), &mixed);
    }

    #[test]
    fn halves_round_away_from_zero() {
        assert_eq!(divide_half_up(5, 2), 3);
        assert_eq!(divide_half_up(-5, 2), -3);
        assert_eq!(divide_half_up(7, 3), 2);
        assert_eq!(divide_half_up(-8, 3), -3);
    }
}
