//! Exact decimal arithmetic on unscaled integers: 64 bits while the result type fits, 128 bits above, 256 bits for
//! intermediate products that need them.
//!
//! Every kernel first runs a loop without branches that accumulates one "something overflowed" bit for the batch.
//! Only when that bit is set, a checked loop decides row by row, so that NULL slots with arbitrary content and
//! intermediate overflows do not fail a query whose results all fit.

use super::arithmetic::Arithmetic;
use super::operand::{Lanes, Operand, is_valid, map_lanes, primitive_array, union_nulls};
use crate::error::{Error, Result};
use crate::types::{DataType, DecimalType, decimal_text, type_name};
use arrow::array::{Array, ArrayRef, AsArray, types::*};
use arrow::buffer::NullBuffer;
use arrow::datatypes::i256;
use std::borrow::Cow;

/// `left op right` with the result type that `types::decimal_result` gives; integers and decimals of any width mix.
/// Products are exact; quotients are rounded half away from zero to the scale of the result.
///
/// # Errors
/// Division by zero; a result with more digits than its type has.
pub fn decimal_arithmetic(
    op: Arithmetic,
    left: &Operand,
    right: &Operand,
    result: &DataType,
    rows: usize,
) -> Result<ArrayRef> {
    let rule = Rule::new(op, left.data_type(), right.data_type(), result)?;
    let nulls = union_nulls(left, right);
    let wide_result = matches!(result, DataType::Decimal128(..));
    match (Narrow::of(left), Narrow::of(right)) {
        (Some(a), Some(b)) if wide_result => {
            if let Some(values) = widening(&rule, a.lanes(), b.lanes(), rows) {
                return primitive_array::<Decimal128Type>(values, nulls, result);
            }
        }
        (Some(a), Some(b)) => {
            if let Some(values) = narrow(&rule, a.lanes(), b.lanes(), rows) {
                return primitive_array::<Decimal64Type>(values, nulls, result);
            }
        }
        (Some(small), None) | (None, Some(small)) if wide_result && op == Arithmetic::Multiply => {
            let large = if right.constant || matches!(left.data_type(), DataType::Decimal128(..)) {
                left
            } else {
                right
            };
            if let Some(values) = wide_by_narrow(&rule, large, small.lanes(), rows)? {
                return primitive_array::<Decimal128Type>(values, nulls, result);
            }
        }
        _ => {}
    }
    let (a, b) = (Wide::of(left)?, Wide::of(right)?);
    let values = match wide(&rule, a.lanes(), b.lanes(), rows) {
        Some(values) => values,
        None => checked(&rule, a.lanes(), b.lanes(), &nulls, rows)?,
    };
    match result {
        DataType::Decimal64(..) => {
            primitive_array::<Decimal64Type>(values.into_iter().map(|v| v as i64).collect(), nulls, result)
        }
        _ => primitive_array::<Decimal128Type>(values, nulls, result),
    }
}

/// What to do with the unscaled integers of two rows.
struct Rule {
    op: Arithmetic,
    /// Powers of ten that bring the operands to the scale at which the operation happens.
    left_factor: i128,
    right_factor: i128,
    /// The operand types alone keep every result inside the result type.
    bounded: bool,
    /// Exclusive bound of the magnitude of results.
    limit: i128,
    left: DecimalType,
    right: DecimalType,
    result: DecimalType,
}

impl Rule {
    fn new(op: Arithmetic, left: &DataType, right: &DataType, result: &DataType) -> Result<Self> {
        let of = |t: &DataType| {
            DecimalType::of(t).ok_or_else(|| Error::internal(format!("{} in decimal arithmetic", type_name(t))))
        };
        let (left, right, result) = (of(left)?, of(right)?, of(result)?);
        let (s1, s2, s) = (i32::from(left.scale), i32::from(right.scale), i32::from(result.scale));
        let (up1, up2) = match op {
            Arithmetic::Multiply => (s - s1 - s2, 0),
            Arithmetic::Divide => (s + s2 - s1, 0),
            _ => (s - s1, s - s2),
        };
        if up1 < 0 || up2 < 0 {
            return Err(Error::internal(format!(
                "decimal {} cannot lose digits: scales {s1} and {s2} give {s}",
                op.symbol()
            )));
        }
        let digits = |d: DecimalType, up: i32| i32::from(d.precision) + up;
        let needed = match op {
            Arithmetic::Add | Arithmetic::Subtract => digits(left, up1).max(digits(right, up2)) + 1,
            Arithmetic::Multiply => digits(left, up1) + i32::from(right.precision),
            // A quotient is largest when the divisor is one unit of its last place.
            Arithmetic::Divide => digits(left, up1),
            Arithmetic::Modulo => digits(left, up1).min(digits(right, up2)),
        };
        Ok(Self {
            op,
            left_factor: power_of_ten(up1),
            right_factor: power_of_ten(up2),
            bounded: needed <= i32::from(result.precision),
            limit: power_of_ten(i32::from(result.precision)),
            left,
            right,
            result,
        })
    }

    /// Whether products of two 64-bit values are results as they are: 2^126, the largest, has 38 digits.
    fn is_plain_product(&self) -> bool {
        self.op == Arithmetic::Multiply && self.left_factor == 1 && (self.bounded || self.limit == power_of_ten(38))
    }

    fn overflow(&self, a: i128, b: i128) -> Error {
        Error::execution(format!(
            "decimal overflow: {} {} {} does not fit decimal({},{})",
            decimal_text(a, self.left.scale),
            self.op.symbol(),
            decimal_text(b, self.right.scale),
            self.result.precision,
            self.result.scale
        ))
        .with_hint("cast an operand to a decimal with fewer digits, or to double")
    }
}

/// 10^n for n in 0..=38; the largest i128 above, which no decimal reaches.
pub fn power_of_ten(n: i32) -> i128 {
    u32::try_from(n)
        .ok()
        .and_then(|n| 10i128.checked_pow(n))
        .unwrap_or(i128::MAX)
}

/// Unscaled values in 64 bits.
struct Narrow<'a> {
    values: Cow<'a, [i64]>,
    constant: bool,
}

impl<'a> Narrow<'a> {
    fn of(operand: &'a Operand) -> Option<Self> {
        let array = &operand.array;
        let values = match array.data_type() {
            DataType::Decimal64(..) => Cow::Borrowed(array.as_primitive::<Decimal64Type>().values().as_ref()),
            DataType::Int64 => Cow::Borrowed(array.as_primitive::<Int64Type>().values().as_ref()),
            DataType::Int32 => array
                .as_primitive::<Int32Type>()
                .values()
                .iter()
                .map(|&v| v.into())
                .collect(),
            DataType::Int16 => array
                .as_primitive::<Int16Type>()
                .values()
                .iter()
                .map(|&v| v.into())
                .collect(),
            DataType::Int8 => array
                .as_primitive::<Int8Type>()
                .values()
                .iter()
                .map(|&v| v.into())
                .collect(),
            // A constant counts by its value, not by its type.
            DataType::Decimal128(..) if operand.constant => {
                let value = *array.as_primitive::<Decimal128Type>().values().first()?;
                Cow::Owned(vec![i64::try_from(value).ok()?])
            }
            _ => return None,
        };
        Some(Self {
            values,
            constant: operand.constant,
        })
    }

    fn lanes(&self) -> Lanes<'_, i64> {
        lanes_of(&self.values, self.constant)
    }
}

/// Unscaled values in 128 bits.
struct Wide<'a> {
    values: Cow<'a, [i128]>,
    constant: bool,
}

impl<'a> Wide<'a> {
    fn of(operand: &'a Operand) -> Result<Self> {
        let values = match operand.data_type() {
            DataType::Decimal128(..) => Cow::Borrowed(operand.primitive::<Decimal128Type>()?.values().as_ref()),
            t => match Narrow::of(operand) {
                Some(narrow) => narrow.values.iter().map(|&v| i128::from(v)).collect(),
                None => return Err(Error::internal(format!("{} in decimal arithmetic", type_name(t)))),
            },
        };
        Ok(Self {
            values,
            constant: operand.constant,
        })
    }

    fn lanes(&self) -> Lanes<'_, i128> {
        lanes_of(&self.values, self.constant)
    }
}

fn lanes_of<T: Copy>(values: &[T], constant: bool) -> Lanes<'_, T> {
    match values.first() {
        Some(&value) if constant => Lanes::One(value),
        _ => Lanes::Each(values),
    }
}

/// 64-bit operands and result. `None` when something did not fit on the way.
fn narrow(rule: &Rule, a: Lanes<'_, i64>, b: Lanes<'_, i64>, rows: usize) -> Option<Vec<i64>> {
    let left = i64::try_from(rule.left_factor).ok()?;
    let right = i64::try_from(rule.right_factor).ok()?;
    let limit = i64::try_from(rule.limit).ok()?;
    let (a, b) = (scale_constant(a, left)?, scale_constant(b, right)?);
    let mut bad = false;
    let values = match rule.op {
        Arithmetic::Add => scaled(a, b, rows, &mut bad, i64::overflowing_add),
        Arithmetic::Subtract => scaled(a, b, rows, &mut bad, i64::overflowing_sub),
        Arithmetic::Multiply => scaled(a, b, rows, &mut bad, i64::overflowing_mul),
        Arithmetic::Divide => scaled(a, b, rows, &mut bad, divide_half_up),
        Arithmetic::Modulo => scaled(a, b, rows, &mut bad, |a, b| (a.checked_rem(b).unwrap_or(0), b == 0)),
    };
    let fits = !bad && (rule.bounded || values.iter().all(|v| v.unsigned_abs() < limit.unsigned_abs()));
    fits.then_some(values)
}

/// An operand with its power of ten, already applied when it is a constant.
fn scale_constant(lanes: Lanes<'_, i64>, factor: i64) -> Option<(Lanes<'_, i64>, i64)> {
    Some(match lanes {
        Lanes::One(v) => (Lanes::One(v.checked_mul(factor)?), 1),
        each => (each, factor),
    })
}

/// Applies powers of ten (four loops, so that the common factor 1 costs nothing) and the operation.
#[inline(always)]
fn scaled(
    (a, left): (Lanes<'_, i64>, i64),
    (b, right): (Lanes<'_, i64>, i64),
    rows: usize,
    bad: &mut bool,
    f: impl Fn(i64, i64) -> (i64, bool),
) -> Vec<i64> {
    let mut accumulated = false;
    let mut run = |x: i64, y: i64, overflow: bool| {
        let (value, failed) = f(x, y);
        accumulated |= failed | overflow;
        value
    };
    let values = match (left, right) {
        (1, 1) => map_lanes(a, b, rows, |x, y| run(x, y, false)),
        (_, 1) => map_lanes(a, b, rows, |x, y| {
            let (x, o) = x.overflowing_mul(left);
            run(x, y, o)
        }),
        (1, _) => map_lanes(a, b, rows, |x, y| {
            let (y, o) = y.overflowing_mul(right);
            run(x, y, o)
        }),
        _ => map_lanes(a, b, rows, |x, y| {
            let ((x, o), (y, p)) = (x.overflowing_mul(left), y.overflowing_mul(right));
            run(x, y, o | p)
        }),
    };
    *bad |= accumulated;
    values
}

/// The quotient rounded half away from zero; the flag says that there is none.
fn divide_half_up(a: i64, b: i64) -> (i64, bool) {
    match (a.checked_div(b), a.checked_rem(b)) {
        (Some(quotient), Some(remainder)) => {
            let up = remainder.unsigned_abs() >= b.unsigned_abs() - remainder.unsigned_abs();
            let step = if (a < 0) == (b < 0) { 1 } else { -1 };
            (if up { quotient + step } else { quotient }, false)
        }
        _ => (0, true),
    }
}

/// 64-bit operands, 128-bit result: sums and products cannot overflow 128 bits when the factors fit 62 bits.
fn widening(rule: &Rule, a: Lanes<'_, i64>, b: Lanes<'_, i64>, rows: usize) -> Option<Vec<i128>> {
    if !rule.bounded || rule.left_factor >= 1 << 62 || rule.right_factor >= 1 << 62 {
        return None;
    }
    let (left, right) = (rule.left_factor as i64, rule.right_factor as i64);
    let wide = |v: i64, factor: i64| i128::from(v) * i128::from(factor);
    Some(match rule.op {
        Arithmetic::Add => map_lanes(a, b, rows, |a, b| wide(a, left) + wide(b, right)),
        Arithmetic::Subtract => map_lanes(a, b, rows, |a, b| wide(a, left) - wide(b, right)),
        Arithmetic::Multiply if left == 1 => map_lanes(a, b, rows, wide),
        _ => return None,
    })
}

/// A 128-bit operand whose values happen to fit 64 bits times a 64-bit operand; `None` otherwise.
fn wide_by_narrow(rule: &Rule, large: &Operand, small: Lanes<'_, i64>, rows: usize) -> Result<Option<Vec<i128>>> {
    if !rule.is_plain_product() {
        return Ok(None);
    }
    let mut high = 0;
    let values = map_lanes(large.lanes::<Decimal128Type>()?, small, rows, |a, b| {
        i128::from(low_half(a, &mut high)) * i128::from(b)
    });
    Ok((high == 0).then_some(values))
}

/// The low 64 bits; sets a bit in `high` when they are not the whole value.
#[inline(always)]
fn low_half(value: i128, high: &mut i64) -> i64 {
    let low = value as i64;
    *high |= (value >> 64) as i64 ^ (low >> 63);
    low
}

/// 128-bit operands whose values happen to be small enough that nothing can overflow; `None` otherwise.
fn wide(rule: &Rule, a: Lanes<'_, i128>, b: Lanes<'_, i128>, rows: usize) -> Option<Vec<i128>> {
    let (left, right) = (rule.left_factor, rule.right_factor);
    match rule.op {
        Arithmetic::Multiply if rule.is_plain_product() => {
            let mut high = 0;
            let values = map_lanes(a, b, rows, |a, b| {
                i128::from(low_half(a, &mut high)) * i128::from(low_half(b, &mut high))
            });
            (high == 0).then_some(values)
        }
        Arithmetic::Add | Arithmetic::Subtract if left == 1 && right == 1 => {
            let mut overflow = false;
            let limit = rule.limit.unsigned_abs();
            let subtract = matches!(rule.op, Arithmetic::Subtract);
            let values = map_lanes(a, b, rows, |a, b| {
                let (value, bad) = if subtract {
                    a.overflowing_sub(b)
                } else {
                    a.overflowing_add(b)
                };
                overflow |= bad | (value.unsigned_abs() >= limit);
                value
            });
            (!overflow).then_some(values)
        }
        _ => None,
    }
}

/// Row by row with every check; the only place that raises errors.
fn checked(
    rule: &Rule,
    a: Lanes<'_, i128>,
    b: Lanes<'_, i128>,
    nulls: &Option<NullBuffer>,
    rows: usize,
) -> Result<Vec<i128>> {
    let mut values = Vec::with_capacity(rows);
    for i in 0..rows {
        let (Some(a), Some(b)) = (a.get(i), b.get(i)) else {
            return Err(Error::internal("operands of different lengths"));
        };
        values.push(if is_valid(nulls, i) {
            checked_row(rule, a, b)?
        } else {
            0
        });
    }
    Ok(values)
}

fn checked_row(rule: &Rule, a: i128, b: i128) -> Result<i128> {
    let small = || {
        let (x, y) = (a.checked_mul(rule.left_factor)?, b.checked_mul(rule.right_factor)?);
        match rule.op {
            Arithmetic::Add => x.checked_add(y),
            Arithmetic::Subtract => x.checked_sub(y),
            Arithmetic::Multiply => x.checked_mul(y),
            Arithmetic::Divide => divide_half_up_wide(x, y),
            Arithmetic::Modulo => x.checked_rem(y),
        }
    };
    let large = || {
        let big = |v: i128, factor: i128| i256::from_i128(v).checked_mul(i256::from_i128(factor));
        let (x, y) = (big(a, rule.left_factor)?, big(b, rule.right_factor)?);
        match rule.op {
            Arithmetic::Add => x.checked_add(y),
            Arithmetic::Subtract => x.checked_sub(y),
            Arithmetic::Multiply => x.checked_mul(y),
            Arithmetic::Divide => {
                let (quotient, remainder) = (x.checked_div(y)?, x.checked_rem(y)?);
                let up = remainder.wrapping_abs() >= y.wrapping_abs().wrapping_sub(remainder.wrapping_abs());
                let step = if (a < 0) == (b < 0) { i256::ONE } else { i256::MINUS_ONE };
                if up { quotient.checked_add(step) } else { Some(quotient) }
            }
            Arithmetic::Modulo => x.checked_rem(y),
        }?
        .to_i128()
    };
    if b == 0 && matches!(rule.op, Arithmetic::Divide | Arithmetic::Modulo) {
        return Err(Error::execution("division by zero"));
    }
    small()
        .or_else(large)
        .filter(|v| v.unsigned_abs() < rule.limit.unsigned_abs())
        .ok_or_else(|| rule.overflow(a, b))
}

/// The quotient rounded half away from zero.
pub fn divide_half_up_wide(a: i128, b: i128) -> Option<i128> {
    let (quotient, remainder) = (a.checked_div(b)?, a.checked_rem(b)?);
    let up = remainder.unsigned_abs() >= b.unsigned_abs() - remainder.unsigned_abs();
    let step = if (a < 0) == (b < 0) { 1 } else { -1 };
    if up { quotient.checked_add(step) } else { Some(quotient) }
}
