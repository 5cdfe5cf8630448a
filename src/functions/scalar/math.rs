//! Numbers: arithmetic, rounding, logarithms, angles, bits.

use super::typing::{BIGINT, BOOLEAN, DOUBLE, all_same, exactly, overload, same_number};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, DecimalType, array_of, decimal_result, decimal_type, is_decimal, is_numeric};
use crate::vector::Column;
use arrow::array::{Array, AsArray, Float64Array, ListArray};
use arrow::datatypes::*;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    function("abs", |t, _| same_number(t), abs).doc("abs(x)", "The value without its sign.", "SELECT abs(-3)", "3"),
    function("sign", |t, _| sign_type(t), sign).aliases(&["signum"]).doc(
        "sign(x)",
        "-1, 0 or 1, as x is negative, zero or positive.",
        "SELECT sign(-7)",
        "-1",
    ),
    function("positive", |t, _| same_number(t), |a| Ok(a.column(0)?.clone())).doc(
        "positive(x)",
        "The value itself.",
        "SELECT positive(4)",
        "4",
    ),
    function("negative", |t, _| same_number(t), negative).doc(
        "negative(x)",
        "The value with the other sign.",
        "SELECT negative(4)",
        "-4",
    ),
    // Division.
    function("mod", |t, _| remainder_type(t), |a| remainder(a, false)).doc(
        "mod(n, m)",
        "The remainder of n divided by m, with the sign of n.",
        "SELECT mod(-7, 3)",
        "-1",
    ),
    function("pmod", |t, _| remainder_type(t), |a| remainder(a, true)).doc(
        "pmod(n, m)",
        "The remainder of n divided by m, with the sign of m.",
        "SELECT pmod(-7, 3)",
        "2",
    ),
    // Powers and logarithms.
    function("power", |t, _| doubles(t, 2), |a| double2(a, f64::powf))
        .aliases(&["pow"])
        .doc(
            "power(x, p)",
            "x raised to the power p.",
            "SELECT power(2, 10)",
            "1024.0",
        ),
    function("sqrt", |t, _| doubles(t, 1), |a| double1(a, f64::sqrt)).doc(
        "sqrt(x)",
        "The square root.",
        "SELECT sqrt(9)",
        "3.0",
    ),
    function("cbrt", |t, _| doubles(t, 1), |a| double1(a, f64::cbrt)).doc(
        "cbrt(x)",
        "The cube root.",
        "SELECT cbrt(27)",
        "3.0",
    ),
    function("exp", |t, _| doubles(t, 1), |a| double1(a, f64::exp)).doc(
        "exp(x)",
        "Euler's number raised to the power x.",
        "SELECT exp(0)",
        "1.0",
    ),
    function("expm1", |t, _| doubles(t, 1), |a| double1(a, f64::exp_m1)).doc(
        "expm1(x)",
        "exp(x) - 1, exact for small x.",
        "SELECT expm1(0)",
        "0.0",
    ),
    function("ln", |t, _| doubles(t, 1), |a| double1(a, f64::ln)).doc(
        "ln(x)",
        "The natural logarithm.",
        "SELECT ln(1)",
        "0.0",
    ),
    function(
        "log",
        |t, _| doubles(t, 2),
        |a| double2(a, |base, x| x.ln() / base.ln()),
    )
    .doc(
        "log(base, x)",
        "The logarithm of x to a base.",
        "SELECT log(2, 8)",
        "3.0",
    ),
    function("log2", |t, _| doubles(t, 1), |a| double1(a, f64::log2)).doc(
        "log2(x)",
        "The logarithm to base 2.",
        "SELECT log2(8)",
        "3.0",
    ),
    function("log10", |t, _| doubles(t, 1), |a| double1(a, f64::log10)).doc(
        "log10(x)",
        "The logarithm to base 10.",
        "SELECT log10(1000)",
        "3.0",
    ),
    function("log1p", |t, _| doubles(t, 1), |a| double1(a, f64::ln_1p)).doc(
        "log1p(x)",
        "ln(1 + x), exact for small x.",
        "SELECT log1p(0)",
        "0.0",
    ),
    function("factorial", |t, _| exactly(t, &[BIGINT], BIGINT), factorial).doc(
        "factorial(n)",
        "The product of 1 to n; NULL outside 0 to 20.",
        "SELECT factorial(5)",
        "120",
    ),
    // Angles.
    function("sin", |t, _| doubles(t, 1), |a| double1(a, f64::sin)).doc(
        "sin(x)",
        "The sine of an angle in radians.",
        "SELECT sin(0)",
        "0.0",
    ),
    function("cos", |t, _| doubles(t, 1), |a| double1(a, f64::cos)).doc(
        "cos(x)",
        "The cosine of an angle in radians.",
        "SELECT cos(0)",
        "1.0",
    ),
    function("tan", |t, _| doubles(t, 1), |a| double1(a, f64::tan)).doc(
        "tan(x)",
        "The tangent of an angle in radians.",
        "SELECT tan(0)",
        "0.0",
    ),
    function("cot", |t, _| doubles(t, 1), |a| double1(a, |x| 1.0 / x.tan())).doc(
        "cot(x)",
        "The cotangent of an angle in radians.",
        "SELECT round(cot(0.5e0), 6)",
        "1.830488",
    ),
    function("asin", |t, _| doubles(t, 1), |a| double1(a, f64::asin)).doc(
        "asin(x)",
        "The angle whose sine is x.",
        "SELECT asin(0)",
        "0.0",
    ),
    function("acos", |t, _| doubles(t, 1), |a| double1(a, f64::acos)).doc(
        "acos(x)",
        "The angle whose cosine is x.",
        "SELECT acos(1)",
        "0.0",
    ),
    function("atan", |t, _| doubles(t, 1), |a| double1(a, f64::atan)).doc(
        "atan(x)",
        "The angle whose tangent is x.",
        "SELECT atan(0)",
        "0.0",
    ),
    function("atan2", |t, _| doubles(t, 2), |a| double2(a, f64::atan2)).doc(
        "atan2(y, x)",
        "The angle of the point (x, y).",
        "SELECT atan2(0, 1)",
        "0.0",
    ),
    function("sinh", |t, _| doubles(t, 1), |a| double1(a, f64::sinh)).doc(
        "sinh(x)",
        "The hyperbolic sine.",
        "SELECT sinh(0)",
        "0.0",
    ),
    function("cosh", |t, _| doubles(t, 1), |a| double1(a, f64::cosh)).doc(
        "cosh(x)",
        "The hyperbolic cosine.",
        "SELECT cosh(0)",
        "1.0",
    ),
    function("tanh", |t, _| doubles(t, 1), |a| double1(a, f64::tanh)).doc(
        "tanh(x)",
        "The hyperbolic tangent.",
        "SELECT tanh(0)",
        "0.0",
    ),
    function("hypot", |t, _| doubles(t, 2), |a| double2(a, f64::hypot)).doc(
        "hypot(x, y)",
        "The length of the vector (x, y).",
        "SELECT hypot(3, 4)",
        "5.0",
    ),
    function("degrees", |t, _| doubles(t, 1), |a| double1(a, f64::to_degrees)).doc(
        "degrees(x)",
        "Radians to degrees.",
        "SELECT degrees(pi())",
        "180.0",
    ),
    function("radians", |t, _| doubles(t, 1), |a| double1(a, f64::to_radians)).doc(
        "radians(x)",
        "Degrees to radians.",
        "SELECT radians(0)",
        "0.0",
    ),
    // Constants and tests.
    function("pi", |t, _| doubles(t, 0), |a| number(a, std::f64::consts::PI)).doc(
        "pi()",
        "The ratio of a circle's circumference to its diameter.",
        "SELECT pi()",
        "3.141592653589793",
    ),
    function("e", |t, _| doubles(t, 0), |a| number(a, std::f64::consts::E)).doc(
        "e()",
        "Euler's number.",
        "SELECT e()",
        "2.718281828459045",
    ),
    function("infinity", |t, _| doubles(t, 0), |a| number(a, f64::INFINITY)).doc(
        "infinity()",
        "Positive infinity.",
        "SELECT infinity()",
        "Infinity",
    ),
    function("nan", |t, _| doubles(t, 0), |a| number(a, f64::NAN)).doc("nan()", "Not a number.", "SELECT nan()", "NaN"),
    function(
        "is_nan",
        |t, _| exactly(t, &[DOUBLE], BOOLEAN),
        |a| test(a, f64::is_nan),
    )
    .aliases(&["isnan"])
    .doc(
        "is_nan(x)",
        "Whether x is not a number.",
        "SELECT is_nan(nan())",
        "true",
    ),
    function(
        "is_finite",
        |t, _| exactly(t, &[DOUBLE], BOOLEAN),
        |a| test(a, f64::is_finite),
    )
    .doc(
        "is_finite(x)",
        "Whether x is neither infinite nor NaN.",
        "SELECT is_finite(1.5)",
        "true",
    ),
    function(
        "is_infinite",
        |t, _| exactly(t, &[DOUBLE], BOOLEAN),
        |a| test(a, f64::is_infinite),
    )
    .doc(
        "is_infinite(x)",
        "Whether x is infinite.",
        "SELECT is_infinite(infinity())",
        "true",
    ),
    // Distributions and chance.
    function(
        "width_bucket",
        |t, _| {
            overload(
                t,
                &[
                    (&[DOUBLE, DOUBLE, DOUBLE, BIGINT], BIGINT),
                    (&[DOUBLE, array_of(DOUBLE)], BIGINT),
                ],
            )
        },
        width_bucket,
    )
    .doc(
        "width_bucket(x, low, high, buckets) or width_bucket(x, bounds)",
        "The number of the bucket that x falls into: 0 below the first, one more than the last above it.",
        "SELECT width_bucket(5.35, 0.024, 10.06, 5)",
        "3",
    ),
    function("random", |t, _| random_type(t), random)
        .aliases(&["rand"])
        .volatile()
        .doc(
            "random() or random(n) or random(low, high)",
            "A random double in [0, 1), or a whole number below n, or from low to below high.",
            "SELECT random(1)",
            "0",
        ),
    function("wilson_interval_lower", |t, _| wilson_type(t), |a| wilson(a, -1.0)).doc(
        "wilson_interval_lower(successes, trials, z)",
        "The lower bound of the Wilson score interval of a proportion.",
        "SELECT round(wilson_interval_lower(1250, 1310, 1.96e0), 4)",
        "0.9415",
    ),
    function("wilson_interval_upper", |t, _| wilson_type(t), |a| wilson(a, 1.0)).doc(
        "wilson_interval_upper(successes, trials, z)",
        "The upper bound of the Wilson score interval of a proportion.",
        "SELECT round(wilson_interval_upper(1250, 1310, 1.96e0), 4)",
        "0.9643",
    ),
    function(
        "cosine_similarity",
        |t, _| vector_type(t),
        |a| vectors(a, cosine_similarity),
    )
    .doc(
        "cosine_similarity(a, b)",
        "The cosine of the angle between two vectors of numbers.",
        "SELECT cosine_similarity(ARRAY[1, 0], ARRAY[2, 0])",
        "1.0",
    ),
    function(
        "dot_product",
        |t, _| vector_type(t),
        |a| vectors(a, |x, y| Some(dot(x, y))),
    )
    .doc(
        "dot_product(a, b)",
        "The sum of the products of the elements of two arrays of numbers.",
        "SELECT dot_product(ARRAY[1, 2], ARRAY[3, 4])",
        "11.0",
    ),
    function(
        "euclidean_distance",
        |t, _| vector_type(t),
        |a| vectors(a, euclidean_distance),
    )
    .doc(
        "euclidean_distance(a, b)",
        "The length of the difference of two vectors of numbers.",
        "SELECT euclidean_distance(ARRAY[1, 2], ARRAY[4, 6])",
        "5.0",
    ),
];

pub(super) fn doubles(found: &[DataType], count: usize) -> Option<Signature> {
    exactly(found, &[DOUBLE; 4][..count.min(4)], DOUBLE)
}

pub(super) fn double1(a: &Arguments, f: impl Fn(f64) -> f64) -> Result<Column> {
    a.map1::<Float64Type, Float64Type>(f)
}

fn double2(a: &Arguments, f: impl Fn(f64, f64) -> f64) -> Result<Column> {
    a.map2::<Float64Type, Float64Type, Float64Type>(f)
}

fn number(a: &Arguments, value: f64) -> Result<Column> {
    Ok(a.constant(Arc::new(Float64Array::from(vec![value]))))
}

fn test(a: &Arguments, f: impl Fn(f64) -> bool) -> Result<Column> {
    let x = a.read::<Float64Array>(0)?;
    a.booleans(|row| Ok(Some(f(x.get(row)))))
}

pub(super) fn overflow(name: &str, value: impl std::fmt::Display) -> Error {
    Error::execution(format!("{name}({value}) does not fit the type of its argument"))
}

fn abs(a: &Arguments) -> Result<Column> {
    macro_rules! checked {
        ($T:ty) => {
            a.try_map1::<$T, $T>(|v| v.checked_abs().ok_or_else(|| overflow("abs", v)))
        };
    }
    match a.result_type {
        DataType::Int8 => checked!(Int8Type),
        DataType::Int16 => checked!(Int16Type),
        DataType::Int32 => checked!(Int32Type),
        DataType::Int64 => checked!(Int64Type),
        DataType::Decimal64(..) => checked!(Decimal64Type),
        DataType::Decimal128(..) => checked!(Decimal128Type),
        DataType::Float32 => a.map1::<Float32Type, Float32Type>(f32::abs),
        _ => double1(a, f64::abs),
    }
}

fn negative(a: &Arguments) -> Result<Column> {
    macro_rules! checked {
        ($T:ty) => {
            a.try_map1::<$T, $T>(|v| v.checked_neg().ok_or_else(|| overflow("negative", v)))
        };
    }
    match a.result_type {
        DataType::Int8 => checked!(Int8Type),
        DataType::Int16 => checked!(Int16Type),
        DataType::Int32 => checked!(Int32Type),
        DataType::Int64 => checked!(Int64Type),
        DataType::Decimal64(..) => checked!(Decimal64Type),
        DataType::Decimal128(..) => checked!(Decimal128Type),
        DataType::Float32 => a.map1::<Float32Type, Float32Type>(|x| -x),
        _ => double1(a, |x| -x),
    }
}

/// Decimals give a decimal of one digit.
fn sign_type(found: &[DataType]) -> Option<Signature> {
    let signature = same_number(found)?;
    Some(match is_decimal(&signature.result) {
        true => Signature {
            result: decimal_type(1, 0),
            ..signature
        },
        false => signature,
    })
}

fn sign(a: &Arguments) -> Result<Column> {
    let zero_or_nan = |x: f64| x == 0.0 || x.is_nan();
    match a.column(0)?.data_type() {
        DataType::Int8 => a.map1::<Int8Type, Int8Type>(i8::signum),
        DataType::Int16 => a.map1::<Int16Type, Int16Type>(i16::signum),
        DataType::Int32 => a.map1::<Int32Type, Int32Type>(i32::signum),
        DataType::Int64 => a.map1::<Int64Type, Int64Type>(i64::signum),
        DataType::Decimal64(..) => a.map1::<Decimal64Type, Decimal64Type>(i64::signum),
        DataType::Decimal128(..) => a.map1::<Decimal128Type, Decimal64Type>(|v| v.signum() as i64),
        DataType::Float32 => a.map1::<Float32Type, Float32Type>(|x| if zero_or_nan(x as f64) { x } else { x.signum() }),
        _ => double1(a, |x| if zero_or_nan(x) { x } else { x.signum() }),
    }
}

fn remainder_type(found: &[DataType]) -> Option<Signature> {
    let [left, right] = found else { return None };
    let signature = all_same(found, is_numeric)?;
    if signature.result == DataType::Null {
        return doubles(found, 2);
    }
    Some(match (DecimalType::of(left), DecimalType::of(right)) {
        (Some(l), Some(r)) if is_decimal(&signature.result) => {
            let d = decimal_result('%', l, r).ok()?;
            Signature {
                result: decimal_type(d.precision, d.scale),
                ..signature
            }
        }
        _ => signature,
    })
}

fn remainder(a: &Arguments, positive: bool) -> Result<Column> {
    let zero = || Error::execution("division by zero");
    macro_rules! wrapping {
        ($T:ty, $R:ty, $native:ty) => {
            a.try_map2::<$T, $T, $R>(|n, m| {
                let rest = match m {
                    0 => return Err(zero()),
                    _ => n.wrapping_rem(m),
                };
                let moved = positive && rest != 0 && (rest < 0) != (m < 0);
                Ok(if moved { rest + m } else { rest } as $native)
            })
        };
    }
    let double = |n: f64, m: f64| {
        let rest = n % m;
        if positive && rest != 0.0 && (rest < 0.0) != (m < 0.0) {
            rest + m
        } else {
            rest
        }
    };
    match (a.column(0)?.data_type(), a.result_type) {
        (DataType::Int8, _) => wrapping!(Int8Type, Int8Type, i8),
        (DataType::Int16, _) => wrapping!(Int16Type, Int16Type, i16),
        (DataType::Int32, _) => wrapping!(Int32Type, Int32Type, i32),
        (DataType::Int64, _) => wrapping!(Int64Type, Int64Type, i64),
        (DataType::Decimal64(..), _) => wrapping!(Decimal64Type, Decimal64Type, i64),
        (DataType::Decimal128(..), DataType::Decimal64(..)) => wrapping!(Decimal128Type, Decimal64Type, i64),
        (DataType::Decimal128(..), _) => wrapping!(Decimal128Type, Decimal128Type, i128),
        (DataType::Float32, _) => {
            a.map2::<Float32Type, Float32Type, Float32Type>(|n, m| double(n as f64, m as f64) as f32)
        }
        _ => double2(a, double),
    }
}

fn factorial(a: &Arguments) -> Result<Column> {
    let n = a.integers_of(0)?;
    a.primitives::<Int64Type>(|row| {
        let n = n.get(row);
        Ok((0..=20).contains(&n).then(|| (1..=n).product()))
    })
}

fn width_bucket(a: &Arguments) -> Result<Column> {
    let x = a.read::<Float64Array>(0)?;
    if a.count() == 2 {
        let bounds = a.read::<ListArray>(1)?;
        return a.primitives::<Int64Type>(|row| {
            let bounds = bounds.get(row);
            let bounds = bounds.as_primitive::<Float64Type>().values();
            let x = x.get(row);
            if bounds.is_empty() || x.is_nan() {
                return Err(Error::execution("width_bucket needs a number and at least one bound"));
            }
            Ok(Some(bounds.partition_point(|bound| *bound <= x) as i64))
        });
    }
    let (low, high, count) = (
        a.read::<Float64Array>(1)?,
        a.read::<Float64Array>(2)?,
        a.integers_of(3)?,
    );
    a.primitives::<Int64Type>(|row| bucket(x.get(row), low.get(row), high.get(row), count.get(row)).map(Some))
}

fn bucket(x: f64, low: f64, high: f64, count: i64) -> Result<i64> {
    if count <= 0 {
        return Err(Error::execution(format!(
            "width_bucket with {count} buckets, expected at least 1"
        )));
    }
    if x.is_nan() || !low.is_finite() || !high.is_finite() || low == high {
        return Err(Error::execution(format!(
            "width_bucket({x}, {low}, {high}): expected a number and two different finite bounds"
        )));
    }
    let (lower, upper) = (low.min(high), low.max(high));
    let ascending = if x < lower {
        0
    } else if x >= upper {
        count.saturating_add(1)
    } else {
        (count as f64 * (x - lower) / (upper - lower)) as i64 + 1
    };
    Ok(if low > high {
        (count - ascending).saturating_add(1)
    } else {
        ascending
    })
}

fn random_type(found: &[DataType]) -> Option<Signature> {
    match found {
        [] => doubles(found, 0),
        _ => overload(found, &[(&[BIGINT], BIGINT), (&[BIGINT, BIGINT], BIGINT)]),
    }
}

fn random(a: &Arguments) -> Result<Column> {
    if a.count() == 0 {
        let values: Vec<f64> = (0..a.rows).map(|_| fastrand::f64()).collect();
        return Ok(Column::Array(Arc::new(Float64Array::from(values))));
    }
    let (first, second) = (
        a.integers_of(0)?,
        (a.count() > 1).then(|| a.integers_of(1)).transpose()?,
    );
    let mut values = Vec::with_capacity(a.rows);
    for row in 0..a.rows {
        let (low, high, null) = match &second {
            Some(second) => (
                first.get(row),
                second.get(row),
                first.is_null(row) || second.is_null(row),
            ),
            None => (0, first.get(row), first.is_null(row)),
        };
        if !null && low >= high {
            return Err(Error::execution(format!(
                "random({low}, {high}): the bound must be greater"
            )));
        }
        values.push((!null).then(|| fastrand::i64(low..high)));
    }
    Ok(Column::Array(Arc::new(arrow::array::Int64Array::from(values))))
}

fn wilson_type(found: &[DataType]) -> Option<Signature> {
    exactly(found, &[BIGINT, BIGINT, DOUBLE], DOUBLE)
}

fn wilson(a: &Arguments, side: f64) -> Result<Column> {
    let (successes, trials, z) = (a.integers_of(0)?, a.integers_of(1)?, a.read::<Float64Array>(2)?);
    a.primitives::<Float64Type>(|row| {
        let (s, n, z) = (successes.get(row), trials.get(row), z.get(row));
        if s < 0 || n <= 0 || s > n || z < 0.0 {
            return Err(Error::execution(format!(
                "{s} successes of {n} trials with z {z}: expected 0 <= successes <= trials, trials > 0 and z >= 0"
            )));
        }
        let (n, p) = (n as f64, s as f64 / n as f64);
        let middle = p + z * z / (2.0 * n);
        let reach = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        Ok(Some((middle + side * reach) / (1.0 + z * z / n)))
    })
}

fn vector_type(found: &[DataType]) -> Option<Signature> {
    exactly(found, &[array_of(DOUBLE), array_of(DOUBLE)], DOUBLE)
}

/// Applies `f` to two arrays of equal length without NULLs; NULL when there is a NULL in one.
fn vectors(a: &Arguments, f: impl Fn(&[f64], &[f64]) -> Option<f64>) -> Result<Column> {
    let (left, right) = (a.read::<ListArray>(0)?, a.read::<ListArray>(1)?);
    a.primitives::<Float64Type>(|row| {
        let (x, y) = (left.get(row), right.get(row));
        let (x, y) = (x.as_primitive::<Float64Type>(), y.as_primitive::<Float64Type>());
        if x.len() != y.len() {
            return Err(Error::execution(format!(
                "arrays of {} and {} elements, expected the same number",
                x.len(),
                y.len()
            )));
        }
        Ok((x.null_count() + y.null_count() == 0)
            .then(|| f(x.values(), y.values()))
            .flatten())
    })
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn cosine_similarity(x: &[f64], y: &[f64]) -> Option<f64> {
    let lengths = (dot(x, x) * dot(y, y)).sqrt();
    (lengths != 0.0).then(|| dot(x, y) / lengths)
}

fn euclidean_distance(x: &[f64], y: &[f64]) -> Option<f64> {
    Some(x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error};
    use crate::types::ScalarValue::{Decimal, Float64, Int32, Int64, Null};

    #[test]
    fn buckets() {
        let bucket =
            |x: f64, low: f64, high: f64| call("width_bucket", &[Float64(x), Float64(low), Float64(high), Int64(4)]);
        assert_eq!(bucket(3.5, 0.0, 4.0), Int64(4));
        assert_eq!(bucket(-1.0, 0.0, 4.0), Int64(0));
        assert_eq!(bucket(4.0, 0.0, 4.0), Int64(5));
        assert_eq!(bucket(3.5, 4.0, 0.0), Int64(1));
    }

    #[test]
    fn remainders() {
        assert_eq!(call("mod", &[Int32(-7), Int32(3)]), Int32(-1));
        assert_eq!(call("pmod", &[Int32(-7), Int32(3)]), Int32(2));
        assert_eq!(call("mod", &[Int64(i64::MIN), Int64(-1)]), Int64(0));
        assert_eq!(call("mod", &[Decimal(75, 2, 1), Int32(2)]), Decimal(15, 2, 1));
        assert!(error("mod", &[Int32(1), Int32(0)]).contains("division by zero"));
        assert_eq!(call("mod", &[Null, Int32(0)]), Null);
    }

    #[test]
    fn limits() {
        assert!(error("abs", &[Int64(i64::MIN)]).contains("does not fit"));
        assert!(error("log", &[Float64(1.0)]).contains("log(double)"));
        assert_eq!(call("bit_count", &[Int32(-7), Int32(8)]), Int64(6));
        assert_eq!(call("factorial", &[Int32(21)]), Null);
    }
}
