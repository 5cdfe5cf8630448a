//! Rounding of doubles and decimals.

use super::math::{double1, doubles, overflow};
use super::typing::{BIGINT, coercion_distance, one_number, same_number};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, DecimalType, decimal_type, is_decimal};
use crate::vector::Column;
use arrow::datatypes::*;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    // Rounding.
    function(
        "ceil",
        |t, _| whole_type(t),
        |a| to_whole(a, f64::ceil, f32::ceil, ceil_quotient),
    )
    .aliases(&["ceiling"])
    .doc(
        "ceil(x)",
        "The least whole number that is not below x.",
        "SELECT ceil(1.2)",
        "2",
    ),
    function(
        "floor",
        |t, _| whole_type(t),
        |a| to_whole(a, f64::floor, f32::floor, floor_quotient),
    )
    .doc(
        "floor(x)",
        "The greatest whole number that is not above x.",
        "SELECT floor(-1.2)",
        "-2",
    ),
    function("round", |t, _| round_type(t), |a| rounded(a, HALF_UP)).doc(
        "round(x[, digits])",
        "Rounds to so many digits after the point, halves away from zero.",
        "SELECT round(2.345, 2)",
        "2.350",
    ),
    function("bround", |t, _| round_type(t), |a| rounded(a, HALF_EVEN)).doc(
        "bround(x[, digits])",
        "Rounds to so many digits after the point, halves to the even neighbour.",
        "SELECT bround(2.5)",
        "2",
    ),
    function("truncate", |t, _| round_type(t), |a| rounded(a, TRUNCATE)).doc(
        "truncate(x[, digits])",
        "Drops the digits after the point, or after so many of them.",
        "SELECT truncate(-12.39, 1)",
        "-12.30",
    ),
    function("rint", |t, _| doubles(t, 1), |a| double1(a, f64::round_ties_even)).doc(
        "rint(x)",
        "The nearest whole number as a double, halves to the even neighbour.",
        "SELECT rint(2.5)",
        "2.0",
    ),
];

/// What `ceil` and `floor` give: whole decimals with room for a carry.
fn whole_type(found: &[DataType]) -> Option<Signature> {
    let signature = same_number(found)?;
    Some(match DecimalType::of(&signature.result) {
        Some(d) if is_decimal(&signature.result) => Signature {
            result: whole_decimal(d),
            ..signature
        },
        _ => signature,
    })
}

fn whole_decimal(d: DecimalType) -> DataType {
    let digits = d.precision as i32 - d.scale as i32 + d.scale.min(1) as i32;
    decimal_type(digits.clamp(1, 38) as u8, 0)
}

fn to_whole(
    a: &Arguments,
    double: fn(f64) -> f64,
    single: fn(f32) -> f32,
    quotient: fn(i128, i128) -> i128,
) -> Result<Column> {
    match a.column(0)?.data_type() {
        DataType::Float64 => double1(a, double),
        DataType::Float32 => a.map1::<Float32Type, Float32Type>(single),
        DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            let unit = power_of_ten(*scale as u32)?;
            map_decimal(a, |v| Some(quotient(v, unit)))
        }
        _ => Ok(a.column(0)?.clone()),
    }
}

fn floor_quotient(v: i128, unit: i128) -> i128 {
    v.div_euclid(unit)
}

fn ceil_quotient(v: i128, unit: i128) -> i128 {
    -(-v).div_euclid(unit)
}

fn power_of_ten(digits: u32) -> Result<i128> {
    10i128
        .checked_pow(digits)
        .ok_or_else(|| Error::internal(format!("a decimal of {digits} digits after the point")))
}

/// Applies `f` to the unscaled values of argument 0, a decimal; the result is a decimal of either width.
fn map_decimal(a: &Arguments, f: impl Fn(i128) -> Option<i128>) -> Result<Column> {
    let (DataType::Decimal64(precision, _) | DataType::Decimal128(precision, _)) = *a.result_type else {
        return Err(Error::internal("a decimal function without decimal result"));
    };
    let limit = power_of_ten(precision as u32)?;
    let checked = |v: i128| {
        f(v).filter(|r| r.abs() < limit)
            .ok_or_else(|| Error::execution(format!("the result does not fit a decimal of {precision} digits")))
    };
    let narrow = |v: i128| checked(v).map(|r| r as i64);
    match (a.column(0)?.data_type(), a.result_type) {
        (DataType::Decimal64(..), DataType::Decimal64(..)) => {
            a.try_map1::<Decimal64Type, Decimal64Type>(|v| narrow(v as i128))
        }
        (DataType::Decimal64(..), _) => a.try_map1::<Decimal64Type, Decimal128Type>(|v| checked(v as i128)),
        (_, DataType::Decimal64(..)) => a.try_map1::<Decimal128Type, Decimal64Type>(narrow),
        _ => a.try_map1::<Decimal128Type, Decimal128Type>(checked),
    }
}

/// `round(x)` of a decimal is whole; `round(x, d)` keeps its scale, with room for a carry.
fn round_type(found: &[DataType]) -> Option<Signature> {
    let (number, digits) = match found {
        [x] => (one_number(x)?, None),
        [x, d] => (one_number(x)?, Some(coercion_distance(d, &BIGINT)?)),
        _ => return None,
    };
    let result = match DecimalType::of(&number) {
        Some(d) if is_decimal(&number) && digits.is_none() => whole_decimal(d),
        Some(d) if is_decimal(&number) => decimal_type((d.precision + 1).min(38), d.scale),
        _ => number.clone(),
    };
    let arguments = std::iter::once(number).chain(digits.map(|_| BIGINT)).collect();
    Some(Signature { arguments, result })
}

/// A way to round: a double to a whole one, and an unscaled value divided by a unit.
#[derive(Clone, Copy)]
struct Rounding {
    double: fn(f64) -> f64,
    quotient: fn(i128, i128) -> i128,
}

const HALF_UP: Rounding = Rounding {
    double: f64::round,
    quotient: |v, unit| (v + v.signum() * (unit / 2)) / unit,
};

const HALF_EVEN: Rounding = Rounding {
    double: f64::round_ties_even,
    quotient: |v, unit| {
        let (floor, rest) = (v.div_euclid(unit), v.rem_euclid(unit));
        match (rest * 2).cmp(&unit) {
            std::cmp::Ordering::Less => floor,
            std::cmp::Ordering::Greater => floor + 1,
            std::cmp::Ordering::Equal => floor + floor.rem_euclid(2),
        }
    },
};

const TRUNCATE: Rounding = Rounding {
    double: f64::trunc,
    quotient: |v, unit| v / unit,
};

fn rounded(a: &Arguments, how: Rounding) -> Result<Column> {
    if a.count() == 1 {
        return match a.column(0)?.data_type() {
            DataType::Float64 => double1(a, how.double),
            DataType::Float32 => a.map1::<Float32Type, Float32Type>(|x| (how.double)(x as f64) as f32),
            DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
                let unit = power_of_ten(*scale as u32)?;
                map_decimal(a, |v| Some((how.quotient)(v, unit)))
            }
            _ => Ok(a.column(0)?.clone()),
        };
    }
    match a.column(0)?.data_type() {
        DataType::Float64 => a.map2::<Float64Type, Int64Type, Float64Type>(|x, d| round_double(x, d, how)),
        DataType::Float32 => {
            a.map2::<Float32Type, Int64Type, Float32Type>(|x, d| round_double(x as f64, d, how) as f32)
        }
        DataType::Int8 => round_integers::<Int8Type>(a, how),
        DataType::Int16 => round_integers::<Int16Type>(a, how),
        DataType::Int32 => round_integers::<Int32Type>(a, how),
        DataType::Int64 => round_integers::<Int64Type>(a, how),
        DataType::Decimal64(_, scale) => {
            let scale = *scale as i64;
            match a.result_type {
                DataType::Decimal64(..) => a.try_map2::<Decimal64Type, Int64Type, Decimal64Type>(|v, d| {
                    Ok(round_unscaled(v as i128, scale - d, how) as i64)
                }),
                _ => a.try_map2::<Decimal64Type, Int64Type, Decimal128Type>(|v, d| {
                    Ok(round_unscaled(v as i128, scale - d, how))
                }),
            }
        }
        DataType::Decimal128(_, scale) => {
            let scale = *scale as i64;
            a.try_map2::<Decimal128Type, Int64Type, Decimal128Type>(|v, d| {
                let rounded = round_unscaled(v, scale - d, how);
                let fits = rounded.unsigned_abs() < 10u128.pow(38);
                fits.then_some(rounded)
                    .ok_or_else(|| Error::execution("the rounded value does not fit a decimal of 38 digits"))
            })
        }
        other => Err(Error::internal(format!("rounding {other}"))),
    }
}

fn round_double(x: f64, digits: i64, how: Rounding) -> f64 {
    let factor = 10f64.powi(digits.clamp(-400, 400) as i32);
    let scaled = x * factor;
    if factor == 0.0 {
        return 0.0;
    }
    if !scaled.is_finite() {
        return x;
    }
    (how.double)(scaled) / factor
}

/// Clears the last `dropped` digits.
fn round_unscaled(value: i128, dropped: i64, how: Rounding) -> i128 {
    match u32::try_from(dropped) {
        Err(_) if dropped < 0 => value,
        Ok(0) => value,
        Ok(dropped @ 1..=37) => {
            let unit = 10i128.pow(dropped);
            (how.quotient)(value, unit) * unit
        }
        _ => 0,
    }
}

fn round_integers<T: ArrowPrimitiveType>(a: &Arguments, how: Rounding) -> Result<Column>
where
    T::Native: Into<i64> + TryFrom<i128>,
{
    a.try_map2::<T, Int64Type, T>(|v, digits| {
        let rounded = round_unscaled(v.into() as i128, digits.saturating_neg(), how);
        T::Native::try_from(rounded).map_err(|_| overflow("round", format!("{}, {digits}", v.into())))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::call;
    use crate::types::ScalarValue::{Decimal, Float64, Int32};

    #[test]
    fn halves_round_away_from_zero() {
        assert_eq!(call("round", &[Decimal(-25, 2, 1)]), Decimal(-3, 2, 0));
        assert_eq!(call("round", &[Decimal(2345, 4, 3), Int32(2)]), Decimal(2350, 5, 3));
        assert_eq!(call("round", &[Decimal(-2345, 4, 3), Int32(2)]), Decimal(-2350, 5, 3));
        assert_eq!(call("round", &[Float64(-2.5)]), Float64(-3.0));
        assert_eq!(call("round", &[Float64(1234.567), Int32(-2)]), Float64(1200.0));
        assert_eq!(call("round", &[Float64(1e300), Int32(20)]), Float64(1e300));
        assert_eq!(call("round", &[Int32(155), Int32(-1)]), Int32(160));
        assert_eq!(call("round", &[Int32(-155), Int32(-1)]), Int32(-160));
        assert_eq!(call("bround", &[Decimal(25, 2, 1)]), Decimal(2, 2, 0));
        assert_eq!(call("bround", &[Decimal(-35, 2, 1)]), Decimal(-4, 2, 0));
        assert_eq!(
            call("truncate", &[Decimal(-1239, 4, 2), Int32(1)]),
            Decimal(-1230, 5, 2)
        );
    }

    #[test]
    fn floor_and_ceil_of_decimals() {
        assert_eq!(call("floor", &[Decimal(-12, 2, 1)]), Decimal(-2, 2, 0));
        assert_eq!(call("ceil", &[Decimal(-12, 2, 1)]), Decimal(-1, 2, 0));
        assert_eq!(call("ceil", &[Decimal(12, 2, 1)]), Decimal(2, 2, 0));
    }
}
