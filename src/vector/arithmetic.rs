//! Checked arithmetic as Trino defines it: integers never wrap, doubles follow IEEE 754, decimals are exact.

use super::Column;
use super::decimal::decimal_arithmetic;
use super::operand::{Operand, is_valid, map_lanes, primitive_array, strict_binary, union_nulls};
use super::temporal::temporal_arithmetic;
use crate::error::{Error, Result};
use crate::types::{DataType, is_decimal, is_integer, type_name};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, types::*};
use arrow::datatypes::{ArrowNativeTypeOp, IntervalUnit};
use std::sync::Arc;

/// Arithmetic operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Arithmetic {
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

/// `left op right` in the type `result`; NULL when either side is.
///
/// # Errors
/// Division by zero (integers and decimals) and results that do not fit the type.
pub fn arithmetic(op: Arithmetic, left: &Column, right: &Column, result: &DataType) -> Result<Column> {
    strict_binary(left, right, result, |a, b, rows| match result {
        DataType::Int8 => integers::<Int8Type>(op, a, b, rows),
        DataType::Int16 => integers::<Int16Type>(op, a, b, rows),
        DataType::Int32 => integers::<Int32Type>(op, a, b, rows),
        DataType::Int64 => integers::<Int64Type>(op, a, b, rows),
        DataType::Float32 => floats::<Float32Type>(op, a, b, rows),
        DataType::Float64 if !is_temporal(a) && !is_temporal(b) => floats::<Float64Type>(op, a, b, rows),
        DataType::Decimal64(..) | DataType::Decimal128(..) => decimal_arithmetic(op, a, b, result, rows),
        _ => temporal_arithmetic(op, a, b, result, rows),
    })
}

fn is_temporal(operand: &Operand) -> bool {
    let t = operand.data_type();
    !is_integer(t) && !is_decimal(t) && !t.is_floating()
}

/// Integers of one width: a branchless pass that notes whether anything went wrong, then, only if so, a careful one.
fn integers<T: ArrowPrimitiveType>(op: Arithmetic, left: &Operand, right: &Operand, rows: usize) -> Result<ArrayRef>
where
    T::Native: Checked,
{
    let (a, b) = (left.lanes::<T>()?, right.lanes::<T>()?);
    let nulls = union_nulls(left, right);
    let mut bad = false;
    let mut note = |(value, failed): (T::Native, bool)| {
        bad |= failed;
        value
    };
    let values = match op {
        Arithmetic::Add => map_lanes(a, b, rows, |a, b| note(a.adding(b))),
        Arithmetic::Subtract => map_lanes(a, b, rows, |a, b| note(a.subtracting(b))),
        Arithmetic::Multiply => map_lanes(a, b, rows, |a, b| note(a.multiplying(b))),
        Arithmetic::Divide => map_lanes(a, b, rows, |a, b| note(a.dividing(b))),
        Arithmetic::Modulo => map_lanes(a, b, rows, |a, b| note(a.remaining(b))),
    };
    if bad {
        for i in (0..rows).filter(|&i| is_valid(&nulls, i)) {
            if let (Some(a), Some(b)) = (a.get(i), b.get(i)) {
                check_integer(op, a, b, &T::DATA_TYPE)?;
            }
        }
    }
    primitive_array::<T>(values, nulls, &T::DATA_TYPE)
}

fn check_integer<N: Checked>(op: Arithmetic, a: N, b: N, t: &DataType) -> Result<()> {
    let (_, failed) = match op {
        Arithmetic::Add => a.adding(b),
        Arithmetic::Subtract => a.subtracting(b),
        Arithmetic::Multiply => a.multiplying(b),
        Arithmetic::Divide => a.dividing(b),
        Arithmetic::Modulo => a.remaining(b),
    };
    if !failed {
        return Ok(());
    }
    if b.is_zero() && matches!(op, Arithmetic::Divide | Arithmetic::Modulo) {
        return Err(Error::execution("division by zero"));
    }
    Err(Error::execution(format!(
        "{} overflow: {a} {} {b}",
        type_name(t),
        op.symbol()
    )))
}

/// Integer operations that give a value and whether it is wrong.
trait Checked: ArrowNativeTypeOp + std::fmt::Display {
    fn adding(self, other: Self) -> (Self, bool);
    fn subtracting(self, other: Self) -> (Self, bool);
    fn multiplying(self, other: Self) -> (Self, bool);
    fn dividing(self, other: Self) -> (Self, bool);
    fn remaining(self, other: Self) -> (Self, bool);
}

macro_rules! checked {
    ($($t:ty),*) => {$(
        impl Checked for $t {
            #[inline(always)]
            fn adding(self, other: Self) -> (Self, bool) {
                self.overflowing_add(other)
            }
            #[inline(always)]
            fn subtracting(self, other: Self) -> (Self, bool) {
                self.overflowing_sub(other)
            }
            #[inline(always)]
            fn multiplying(self, other: Self) -> (Self, bool) {
                self.overflowing_mul(other)
            }
            #[inline(always)]
            fn dividing(self, other: Self) -> (Self, bool) {
                self.checked_div(other).map_or((0, true), |v| (v, false))
            }
            #[inline(always)]
            fn remaining(self, other: Self) -> (Self, bool) {
                // The smallest value modulo -1 is 0, although the quotient overflows.
                if other == 0 { (0, true) } else { (self.wrapping_rem(other), false) }
            }
        }
    )*};
}
checked!(i8, i16, i32, i64);

/// Division by zero is infinite or not a number; nothing fails.
fn floats<T: ArrowPrimitiveType>(op: Arithmetic, left: &Operand, right: &Operand, rows: usize) -> Result<ArrayRef>
where
    T::Native: std::ops::Add<Output = T::Native>
        + std::ops::Sub<Output = T::Native>
        + std::ops::Mul<Output = T::Native>
        + std::ops::Div<Output = T::Native>
        + std::ops::Rem<Output = T::Native>,
{
    let (a, b) = (left.lanes::<T>()?, right.lanes::<T>()?);
    let values = match op {
        Arithmetic::Add => map_lanes(a, b, rows, |a, b| a + b),
        Arithmetic::Subtract => map_lanes(a, b, rows, |a, b| a - b),
        Arithmetic::Multiply => map_lanes(a, b, rows, |a, b| a * b),
        Arithmetic::Divide => map_lanes(a, b, rows, |a, b| a / b),
        Arithmetic::Modulo => map_lanes(a, b, rows, |a, b| a % b),
    };
    primitive_array::<T>(values, union_nulls(left, right), &T::DATA_TYPE)
}

/// `-x`.
///
/// # Errors
/// For the smallest integer of a type, which has no opposite.
pub fn negate(column: &Column) -> Result<Column> {
    let operand = Operand::new(column)?;
    let array = &operand.array;
    let negated: ArrayRef = match array.data_type() {
        DataType::Null => array.clone(),
        DataType::Int8 => negate_primitive::<Int8Type>(array)?,
        DataType::Int16 => negate_primitive::<Int16Type>(array)?,
        DataType::Int32 => negate_primitive::<Int32Type>(array)?,
        DataType::Int64 => negate_primitive::<Int64Type>(array)?,
        DataType::Float32 => negate_primitive::<Float32Type>(array)?,
        DataType::Float64 => negate_primitive::<Float64Type>(array)?,
        DataType::Decimal64(..) => negate_primitive::<Decimal64Type>(array)?,
        DataType::Decimal128(..) => negate_primitive::<Decimal128Type>(array)?,
        DataType::Interval(IntervalUnit::YearMonth) => negate_primitive::<IntervalYearMonthType>(array)?,
        DataType::Duration(_) => negate_primitive::<DurationMicrosecondType>(array)?,
        other => return Err(Error::internal(format!("-x for {}", type_name(other)))),
    };
    Ok(if operand.constant {
        Column::Constant {
            value: negated,
            rows: column.len(),
        }
    } else {
        Column::Array(negated)
    })
}

fn negate_primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<ArrayRef> {
    let array_type = array.data_type().clone();
    let array = array.as_primitive::<T>();
    let negated = array.try_unary::<_, T, Error>(|v| {
        v.neg_checked()
            .map_err(|_| Error::execution(format!("{} overflow: -({v:?})", type_name(&array_type))))
    })?;
    Ok(Arc::new(negated.with_data_type(array_type)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{DecimalType, ScalarValue, decimal_result, decimal_type};
    use arrow::array::{Float64Array, Int32Array, Int64Array, PrimitiveArray};

    fn int(values: Vec<Option<i64>>) -> Column {
        Column::from(Arc::new(Int64Array::from(values)))
    }

    fn constant(value: i64) -> Column {
        Column::constant(&ScalarValue::Int64(value), &DataType::Int64, 3).unwrap()
    }

    fn message(result: Result<Column>) -> String {
        result.unwrap_err().message().to_string()
    }

    #[test]
    fn integers_never_wrap() {
        let max = Column::from(Arc::new(Int32Array::from(vec![i32::MAX, 1])));
        let one = Column::from(Arc::new(Int32Array::from(vec![1, 1])));
        let sum = arithmetic(Arithmetic::Add, &max, &one, &DataType::Int32);
        assert_eq!(message(sum), "integer overflow: 2147483647 + 1");
        let min = constant(i64::MIN);
        let minus = constant(-1);
        let quotient = arithmetic(Arithmetic::Divide, &min, &minus, &DataType::Int64);
        assert!(message(quotient).starts_with("bigint overflow"));
        let rest = arithmetic(Arithmetic::Modulo, &min, &minus, &DataType::Int64).unwrap();
        assert_eq!(rest.scalar(0).unwrap(), ScalarValue::Int64(0));
        assert!(negate(&min).is_err());
    }

    #[test]
    fn division_truncates_and_zero_is_an_error_only_where_there_is_a_value() {
        let a = int(vec![Some(7), Some(-7), None]);
        let halves = arithmetic(Arithmetic::Divide, &a, &constant(2), &DataType::Int64).unwrap();
        assert_eq!(
            halves.to_array().unwrap().as_primitive::<Int64Type>(),
            &Int64Array::from(vec![Some(3), Some(-3), None])
        );
        let zero = int(vec![Some(1), Some(1), Some(0)]);
        assert!(arithmetic(Arithmetic::Divide, &a, &zero, &DataType::Int64).is_ok());
        assert_eq!(
            message(arithmetic(Arithmetic::Divide, &zero, &constant(0), &DataType::Int64)),
            "division by zero"
        );
        let x = Column::from(Arc::new(Float64Array::from(vec![1.0, -1.0, 0.0])));
        let z = Column::constant(&ScalarValue::Float64(0.0), &DataType::Float64, 3).unwrap();
        let q = arithmetic(Arithmetic::Divide, &x, &z, &DataType::Float64)
            .unwrap()
            .to_array()
            .unwrap();
        let q = q.as_primitive::<Float64Type>().values().to_vec();
        assert_eq!(&q[..2], [f64::INFINITY, f64::NEG_INFINITY]);
        assert!(q[2].is_nan());
    }

    fn decimals(values: &[Option<i128>], d: DecimalType) -> Column {
        let t = decimal_type(d.precision, d.scale);
        match t {
            DataType::Decimal64(..) => {
                let array: PrimitiveArray<Decimal64Type> = values.iter().map(|v| v.map(|v| v as i64)).collect();
                Column::from(Arc::new(array.with_data_type(t)))
            }
            _ => {
                let array: PrimitiveArray<Decimal128Type> = values.iter().copied().collect();
                Column::from(Arc::new(array.with_data_type(t)))
            }
        }
    }

    /// The exact result by fractions over i128, small operands only.
    fn reference(op: Arithmetic, a: (i128, i8), b: (i128, i8), scale: i8) -> Option<i128> {
        let ten = |n: i8| 10i128.pow(n as u32);
        let common = a.1.max(b.1);
        let (x, y) = (a.0 * ten(common - a.1), b.0 * ten(common - b.1));
        match op {
            Arithmetic::Add => Some((x + y) * ten(scale - common)),
            Arithmetic::Subtract => Some((x - y) * ten(scale - common)),
            Arithmetic::Multiply => Some(a.0 * b.0),
            Arithmetic::Divide if y == 0 => None,
            Arithmetic::Divide => {
                let doubled = (x * ten(scale) * 2).abs() / y.abs();
                Some((doubled + 1) / 2 * x.signum() * y.signum())
            }
            Arithmetic::Modulo if y == 0 => None,
            Arithmetic::Modulo => Some(x % y),
        }
    }

    #[test]
    fn decimals_agree_with_exact_fractions() {
        let mut seed = 42u64;
        let mut random = move |bound: i128| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            i128::from(seed >> 16) % (2 * bound) - bound
        };
        let types = [(5u8, 2i8), (15, 2), (18, 0), (12, 6), (20, 4), (9, 9)];
        for (p1, s1) in types {
            for (p2, s2) in types {
                let (d1, d2) = (
                    DecimalType {
                        precision: p1,
                        scale: s1,
                    },
                    DecimalType {
                        precision: p2,
                        scale: s2,
                    },
                );
                let draw = |p: u8, random: &mut dyn FnMut(i128) -> i128| {
                    10i128
                        .pow(u32::from(p.min(9)))
                        .min(random(1 << 62).abs() % 10i128.pow(u32::from(p.min(9))))
                };
                let a: Vec<_> = (0..20)
                    .map(|i| (i % 7 != 0).then(|| draw(p1, &mut random) * if i % 2 == 0 { 1 } else { -1 }))
                    .collect();
                let b: Vec<_> = (0..20)
                    .map(|i| (i % 5 != 0).then(|| (draw(p2, &mut random) + 1) * if i % 3 == 0 { 1 } else { -1 }))
                    .collect();
                for op in [
                    Arithmetic::Add,
                    Arithmetic::Subtract,
                    Arithmetic::Multiply,
                    Arithmetic::Divide,
                    Arithmetic::Modulo,
                ] {
                    let symbol = op.symbol().chars().next().unwrap();
                    let Ok(d) = decimal_result(symbol, d1, d2) else {
                        continue;
                    };
                    let result = decimal_type(d.precision, d.scale);
                    let (x, y) = (decimals(&a, d1), decimals(&b, d2));
                    let expected: Vec<_> = a
                        .iter()
                        .zip(&b)
                        .map(|(a, b)| {
                            let (a, b) = ((*a)?, (*b)?);
                            reference(op, (a, s1), (b, s2), d.scale)
                        })
                        .collect();
                    let fits = expected
                        .iter()
                        .flatten()
                        .all(|v| v.abs() < 10i128.pow(u32::from(d.precision)));
                    let found = arithmetic(op, &x, &y, &result);
                    assert_eq!(found.is_ok(), fits, "{p1},{s1} {symbol} {p2},{s2}");
                    let Ok(found) = found else { continue };
                    for (row, expected) in expected.iter().enumerate() {
                        let found = match found.scalar(row).unwrap() {
                            ScalarValue::Decimal(v, _, _) => Some(v),
                            _ => None,
                        };
                        assert_eq!(
                            found, *expected,
                            "{a:?} {symbol} {b:?} row {row} ({p1},{s1}) ({p2},{s2})"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn decimal_edges() {
        let d = |precision, scale| DecimalType { precision, scale };
        let (a, b) = (decimals(&[Some(1000)], d(4, 2)), decimals(&[Some(300)], d(3, 2)));
        let third = arithmetic(Arithmetic::Divide, &a, &b, &decimal_type(4, 2)).unwrap();
        assert_eq!(third.scalar(0).unwrap(), ScalarValue::Decimal(333, 4, 2));
        let zero = decimals(&[Some(0)], d(3, 2));
        assert_eq!(
            message(arithmetic(Arithmetic::Divide, &a, &zero, &decimal_type(4, 2))),
            "division by zero"
        );
        let big = decimals(&[Some(10i128.pow(37))], d(38, 0));
        assert!(
            message(arithmetic(Arithmetic::Multiply, &big, &big, &decimal_type(38, 0))).contains("decimal overflow")
        );
        let one = Column::constant(&ScalarValue::Int32(1), &DataType::Int32, 1).unwrap();
        let discount = decimals(&[Some(5)], d(15, 2));
        let rest = arithmetic(Arithmetic::Subtract, &one, &discount, &decimal_type(16, 2)).unwrap();
        assert_eq!(rest.scalar(0).unwrap(), ScalarValue::Decimal(95, 16, 2));
        let exact = decimals(&[Some(10i128.pow(37))], d(38, 10));
        let unit = decimals(&[Some(10i128.pow(10))], d(38, 10));
        let quotient = arithmetic(Arithmetic::Divide, &exact, &unit, &decimal_type(38, 10)).unwrap();
        assert_eq!(
            quotient.scalar(0).unwrap(),
            ScalarValue::Decimal(10i128.pow(37), 38, 10)
        );
    }
}
