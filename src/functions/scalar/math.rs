//! Numbers: arithmetic, rounding, logarithms, angles, bits.

use super::typing::{
    BIGINT, BOOLEAN, DOUBLE, STRING, all_same, coercion_distance, exactly, one_number, overload, same_number,
};
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
    // Bits and bases.
    function("bitwise_and", |t, _| bigints(t, 2), |a| bits2(a, |x, y| x & y)).doc(
        "bitwise_and(x, y)",
        "Bits set in both.",
        "SELECT bitwise_and(12, 10)",
        "8",
    ),
    function("bitwise_or", |t, _| bigints(t, 2), |a| bits2(a, |x, y| x | y)).doc(
        "bitwise_or(x, y)",
        "Bits set in either.",
        "SELECT bitwise_or(12, 10)",
        "14",
    ),
    function("bitwise_xor", |t, _| bigints(t, 2), |a| bits2(a, |x, y| x ^ y)).doc(
        "bitwise_xor(x, y)",
        "Bits set in one but not both.",
        "SELECT bitwise_xor(12, 10)",
        "6",
    ),
    function(
        "bitwise_not",
        |t, _| bigints(t, 1),
        |a| a.map1::<Int64Type, Int64Type>(|x| !x),
    )
    .doc("bitwise_not(x)", "All bits turned over.", "SELECT bitwise_not(0)", "-1"),
    function("bitwise_left_shift", |t, _| bigints(t, 2), |a| bits2(a, shift_left))
        .aliases(&["shiftleft"])
        .doc(
            "bitwise_left_shift(x, bits)",
            "Bits moved up, zeros moved in.",
            "SELECT bitwise_left_shift(1, 4)",
            "16",
        ),
    function("bitwise_right_shift", |t, _| bigints(t, 2), |a| bits2(a, shift_right))
        .aliases(&["shiftrightunsigned"])
        .doc(
            "bitwise_right_shift(x, bits)",
            "Bits of a bigint moved down, zeros moved in.",
            "SELECT bitwise_right_shift(16, 3)",
            "2",
        ),
    function(
        "bitwise_right_shift_arithmetic",
        |t, _| bigints(t, 2),
        |a| bits2(a, shift_right_signed),
    )
    .aliases(&["shiftright"])
    .doc(
        "bitwise_right_shift_arithmetic(x, bits)",
        "Bits moved down, copies of the sign moved in.",
        "SELECT bitwise_right_shift_arithmetic(-16, 3)",
        "-2",
    ),
    function(
        "bit_count",
        |t, _| overload(t, &[(&[BIGINT, BIGINT], BIGINT), (&[BIGINT], BIGINT)]),
        bit_count,
    )
    .doc(
        "bit_count(x[, bits])",
        "How many bits are set in the two's complement of so many bits (64 unless told).",
        "SELECT bit_count(-7, 8)",
        "6",
    ),
    function("from_base", |t, _| exactly(t, &[STRING, BIGINT], BIGINT), from_base).doc(
        "from_base(string, radix)",
        "Reads a whole number written in a base of 2 to 36.",
        "SELECT from_base('ff', 16)",
        "255",
    ),
    function("to_base", |t, _| exactly(t, &[BIGINT, BIGINT], STRING), to_base).doc(
        "to_base(x, radix)",
        "Writes a whole number in a base of 2 to 36.",
        "SELECT to_base(255, 16)",
        "ff",
    ),
    function("conv", |t, _| exactly(t, &[STRING, BIGINT, BIGINT], STRING), conv).doc(
        "conv(string, from_radix, to_radix)",
        "A whole number written in one base, written in another in capitals.",
        "SELECT conv('1010', 2, 16)",
        "A",
    ),
    function(
        "bin",
        |t, _| exactly(t, &[BIGINT], STRING),
        |a| {
            let x = a.integers_of(0)?;
            a.strings(|row, out| Ok(Some(out.push_str(&format!("{:b}", x.get(row))))))
        },
    )
    .doc(
        "bin(x)",
        "The binary digits of the two's complement.",
        "SELECT bin(10)",
        "1010",
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
        "0.9416",
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

fn doubles(found: &[DataType], count: usize) -> Option<Signature> {
    exactly(found, &[DOUBLE; 4][..count.min(4)], DOUBLE)
}

fn bigints(found: &[DataType], count: usize) -> Option<Signature> {
    exactly(found, &[BIGINT; 4][..count.min(4)], BIGINT)
}

fn double1(a: &Arguments, f: impl Fn(f64) -> f64) -> Result<Column> {
    a.map1::<Float64Type, Float64Type>(f)
}

fn double2(a: &Arguments, f: impl Fn(f64, f64) -> f64) -> Result<Column> {
    a.map2::<Float64Type, Float64Type, Float64Type>(f)
}

fn bits2(a: &Arguments, f: impl Fn(i64, i64) -> i64) -> Result<Column> {
    a.map2::<Int64Type, Int64Type, Int64Type>(f)
}

fn number(a: &Arguments, value: f64) -> Result<Column> {
    Ok(a.constant(Arc::new(Float64Array::from(vec![value]))))
}

fn test(a: &Arguments, f: impl Fn(f64) -> bool) -> Result<Column> {
    let x = a.read::<Float64Array>(0)?;
    a.booleans(|row| Ok(Some(f(x.get(row)))))
}

fn overflow(name: &str, value: impl std::fmt::Display) -> Error {
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
    if a.len() == 1 {
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

fn shift_left(x: i64, bits: i64) -> i64 {
    if (0..64).contains(&bits) { x << bits } else { 0 }
}

fn shift_right(x: i64, bits: i64) -> i64 {
    if (0..64).contains(&bits) {
        ((x as u64) >> bits) as i64
    } else {
        0
    }
}

fn shift_right_signed(x: i64, bits: i64) -> i64 {
    x >> if (0..64).contains(&bits) { bits } else { 63 }
}

fn bit_count(a: &Arguments) -> Result<Column> {
    if a.len() == 1 {
        return a.map1::<Int64Type, Int64Type>(|x| x.count_ones() as i64);
    }
    a.try_map2::<Int64Type, Int64Type, Int64Type>(|x, bits| {
        if !(2..=64).contains(&bits) {
            return Err(Error::execution(format!("bit_count of {bits} bits, expected 2 to 64")));
        }
        let spare = 64 - bits;
        if (x << spare) >> spare != x {
            return Err(Error::execution(format!("{x} does not fit {bits} bits")));
        }
        Ok(((x as u64) << spare).count_ones() as i64)
    })
}

fn check_radix(radix: i64) -> Result<u32> {
    match u32::try_from(radix) {
        Ok(radix @ 2..=36) => Ok(radix),
        _ => Err(Error::execution(format!("radix {radix}, expected 2 to 36"))),
    }
}

fn from_base(a: &Arguments) -> Result<Column> {
    let (text, radix) = (a.strings_of(0)?, a.integers_of(1)?);
    a.primitives::<Int64Type>(|row| {
        let (text, radix) = (text.get(row), check_radix(radix.get(row))?);
        i64::from_str_radix(text, radix)
            .map(Some)
            .map_err(|_| Error::execution(format!("\"{text}\" is not a bigint in base {radix}")))
    })
}

/// Appends the digits of `value` in a base of 2 to 36.
fn push_digits(out: &mut String, mut value: u64, radix: u32) {
    let start = out.len();
    loop {
        out.extend(char::from_digit((value % radix as u64) as u32, radix));
        value /= radix as u64;
        if value == 0 {
            break;
        }
    }
    let reversed: String = out.split_off(start).chars().rev().collect();
    out.push_str(&reversed);
}

fn to_base(a: &Arguments) -> Result<Column> {
    let (value, radix) = (a.integers_of(0)?, a.integers_of(1)?);
    a.strings(|row, out| {
        let (value, radix) = (value.get(row), check_radix(radix.get(row))?);
        if value < 0 {
            out.push('-');
        }
        push_digits(out, value.unsigned_abs(), radix);
        Ok(Some(()))
    })
}

fn conv(a: &Arguments) -> Result<Column> {
    let (text, from, to) = (a.strings_of(0)?, a.integers_of(1)?, a.integers_of(2)?);
    a.strings(|row, out| {
        let (from, to) = (check_radix(from.get(row))?, check_radix(to.get(row))?);
        match i64::from_str_radix(text.get(row).trim(), from) {
            Err(_) => Ok(None),
            Ok(value) => {
                push_digits(out, value as u64, to);
                out.make_ascii_uppercase();
                Ok(Some(()))
            }
        }
    })
}

fn width_bucket(a: &Arguments) -> Result<Column> {
    let x = a.read::<Float64Array>(0)?;
    if a.len() == 2 {
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
    if a.len() == 0 {
        let values: Vec<f64> = (0..a.rows).map(|_| fastrand::f64()).collect();
        return Ok(Column::Array(Arc::new(Float64Array::from(values))));
    }
    let (first, second) = (a.integers_of(0)?, (a.len() > 1).then(|| a.integers_of(1)).transpose()?);
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

    #[test]
    fn buckets() {
        let bucket =
            |x: f64, low: f64, high: f64| call("width_bucket", &[Float64(x), Float64(low), Float64(high), Int64(4)]);
        assert_eq!(bucket(3.14, 0.0, 4.0), Int64(4));
        assert_eq!(bucket(-1.0, 0.0, 4.0), Int64(0));
        assert_eq!(bucket(4.0, 0.0, 4.0), Int64(5));
        assert_eq!(bucket(3.14, 4.0, 0.0), Int64(1));
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
