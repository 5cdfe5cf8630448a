//! Comparisons of a converted column with a constant become comparisons of the column itself, so that statistics,
//! pruning and hashing see the column: `CAST(x AS bigint) = 5`, `CAST(ts AS date) = DATE '…'`, `year(d) = 1995`.

use crate::logical::{BinaryOp, Expr};
use crate::types::{DataType, DecimalType, ScalarValue, is_decimal, is_integer};
use chrono::NaiveDate;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// `left op right` in its simplest known form.
pub(super) fn unwrap_comparison(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let unwrapped = match (&left, &right) {
        _ if left.is_volatile() => None,
        (Expr::Cast { expr, data_type, .. }, Expr::Literal(value, _)) => unwrap_cast(op, expr, data_type, value),
        (
            Expr::Function {
                function, arguments, ..
            },
            Expr::Literal(value, _),
        ) if function.name == "year" => unwrap_year(op, arguments, value),
        _ => None,
    };
    unwrapped.unwrap_or_else(|| Expr::compare(op, left, right))
}

fn unwrap_cast(op: BinaryOp, inner: &Expr, target: &DataType, value: &ScalarValue) -> Option<Expr> {
    let source = inner.data_type();
    match (&source, target) {
        (DataType::Date32, DataType::Timestamp(_, None)) => {
            let ScalarValue::Timestamp(micros, None) = value else {
                return None;
            };
            let day = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()?;
            let exact = micros.rem_euclid(MICROS_PER_DAY) == 0;
            compare_below(op, inner, ScalarValue::Date(day), exact)
        }
        (DataType::Timestamp(_, None), DataType::Date32) => {
            let ScalarValue::Date(day) = value else { return None };
            let start = i64::from(*day).checked_mul(MICROS_PER_DAY)?;
            let end = start.checked_add(MICROS_PER_DAY)?;
            let bound = |micros| ScalarValue::Timestamp(micros, None);
            within(op, inner, bound(start), bound(end))
        }
        _ if widens(&source, target) => {
            let (unscaled, scale) = number(value)?;
            let wanted = DecimalType::of(&source)?.scale;
            let (floor, exact) = rescale_down(unscaled, scale, wanted)?;
            compare_below(op, inner, number_of_type(floor, &source)?, exact)
        }
        _ => None,
    }
}

/// `x op v`, where `floor` is the greatest value of x's type that is not above v, and `exact` says that it is v.
fn compare_below(op: BinaryOp, x: &Expr, floor: ScalarValue, exact: bool) -> Option<Expr> {
    use BinaryOp::*;
    let op = match (op, exact) {
        (op, true) => op,
        (Less | LessOrEqual, false) => LessOrEqual,
        (Greater | GreaterOrEqual, false) => Greater,
        (_, false) => return None,
    };
    Some(Expr::compare(
        op,
        x.clone(),
        Expr::Literal(floor.clone(), literal_type(x, &floor)),
    ))
}

/// `f(x) op v`, where f is monotonic and `start <= x < end` are the values with `f(x) = v`.
fn within(op: BinaryOp, x: &Expr, start: ScalarValue, end: ScalarValue) -> Option<Expr> {
    use BinaryOp::*;
    let bound = |op, v: &ScalarValue| Expr::compare(op, x.clone(), Expr::Literal(v.clone(), x.data_type()));
    Some(match op {
        Equal => Expr::and([bound(GreaterOrEqual, &start), bound(Less, &end)]),
        NotEqual => Expr::or([bound(Less, &start), bound(GreaterOrEqual, &end)]),
        Less => bound(Less, &start),
        LessOrEqual => bound(Less, &end),
        Greater => bound(GreaterOrEqual, &end),
        GreaterOrEqual => bound(GreaterOrEqual, &start),
        _ => return None,
    })
}

fn unwrap_year(op: BinaryOp, arguments: &[Expr], value: &ScalarValue) -> Option<Expr> {
    let [x] = arguments else { return None };
    let year = i32::try_from(value.as_integer()?).ok()?;
    let days = |year: i32| {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
        Some((NaiveDate::from_ymd_opt(year, 1, 1)? - epoch).num_days())
    };
    let (start, end) = (days(year)?, days(year.checked_add(1)?)?);
    let bound = |days: i64| {
        Some(match x.data_type() {
            DataType::Date32 => ScalarValue::Date(i32::try_from(days).ok()?),
            DataType::Timestamp(_, None) => ScalarValue::Timestamp(days.checked_mul(MICROS_PER_DAY)?, None),
            _ => return None,
        })
    };
    within(op, x, bound(start)?, bound(end)?)
}

/// Whether every value of `source` has its own image in `target`, in the same order.
fn widens(source: &DataType, target: &DataType) -> bool {
    let Some(from) = DecimalType::of(source) else {
        return false;
    };
    let whole = |t: DecimalType| t.precision as i32 - t.scale as i32;
    match target {
        t if is_integer(t) => is_integer(source) && t.primitive_width() >= source.primitive_width(),
        t if is_decimal(t) => DecimalType::of(t).is_some_and(|to| to.scale >= from.scale && whole(to) >= whole(from)),
        // Whole numbers below 2^53 are exact, and `number` reads no other doubles.
        DataType::Float64 => is_integer(source),
        _ => false,
    }
}

/// A number as unscaled value and scale.
fn number(value: &ScalarValue) -> Option<(i128, i8)> {
    match value {
        ScalarValue::Decimal(v, _, s) => Some((*v, *s)),
        ScalarValue::Float64(v) if v.fract() == 0.0 && v.abs() < 9e15 => Some((*v as i128, 0)),
        other => other.as_integer().map(|v| (i128::from(v), 0)),
    }
}

/// `value` at another scale, rounded down, and whether nothing was lost.
fn rescale_down(value: i128, from: i8, to: i8) -> Option<(i128, bool)> {
    if to >= from {
        let factor = 10i128.checked_pow((to - from) as u32)?;
        return Some((value.checked_mul(factor)?, true));
    }
    let factor = 10i128.checked_pow((from - to) as u32)?;
    Some((value.div_euclid(factor), value.rem_euclid(factor) == 0))
}

fn number_of_type(unscaled: i128, t: &DataType) -> Option<ScalarValue> {
    Some(match t {
        DataType::Int8 => ScalarValue::Int8(unscaled.try_into().ok()?),
        DataType::Int16 => ScalarValue::Int16(unscaled.try_into().ok()?),
        DataType::Int32 => ScalarValue::Int32(unscaled.try_into().ok()?),
        DataType::Int64 => ScalarValue::Int64(unscaled.try_into().ok()?),
        DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            let limit = 10i128.checked_pow(u32::from(*p))?;
            (unscaled.abs() < limit).then_some(ScalarValue::Decimal(unscaled, *p, *s))?
        }
        _ => return None,
    })
}

fn literal_type(x: &Expr, value: &ScalarValue) -> DataType {
    match value.is_null() {
        true => x.data_type(),
        false => value.data_type(),
    }
}
