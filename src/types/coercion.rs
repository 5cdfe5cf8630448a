//! Which types meet in which common type, as Trino coerces: numbers widen, nothing turns into text by itself.

use super::{DataType, DecimalType, TIMESTAMP, array_of, decimal_type, map_of, row_of};
use arrow::datatypes::IntervalUnit;

pub fn is_integer(t: &DataType) -> bool {
    matches!(t, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

pub fn is_decimal(t: &DataType) -> bool {
    matches!(t, DataType::Decimal64(..) | DataType::Decimal128(..))
}

pub fn is_numeric(t: &DataType) -> bool {
    is_integer(t) || is_decimal(t) || matches!(t, DataType::Float32 | DataType::Float64)
}

pub fn is_string(t: &DataType) -> bool {
    matches!(t, DataType::Utf8View)
}

/// The type both sides can be converted to without loss of meaning; `None` when there is none.
/// `Null` meets everything. Integers meet decimals in a decimal, decimals meet floats in double.
pub fn common_type(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::*;
    if a == b {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (Null, t) | (t, Null) => t.clone(),
        (x, y) if is_integer(x) && is_integer(y) => {
            if x.primitive_width() >= y.primitive_width() {
                x.clone()
            } else {
                y.clone()
            }
        }
        (Float64, y) | (y, Float64) if is_numeric(y) => Float64,
        (Float32, y) | (y, Float32) if is_integer(y) || *y == Float32 => Float32,
        (Float32, y) | (y, Float32) if is_decimal(y) => Float32,
        (x, y) if is_numeric(x) && is_numeric(y) => {
            let (x, y) = (DecimalType::of(x)?, DecimalType::of(y)?);
            let scale = x.scale.max(y.scale);
            let whole = (x.precision as i32 - x.scale as i32).max(y.precision as i32 - y.scale as i32);
            decimal_type((whole + scale as i32).clamp(1, 38) as u8, scale)
        }
        (Date32, Timestamp(..)) => b.clone(),
        (Timestamp(..), Date32) => a.clone(),
        (Timestamp(_, None), Timestamp(_, Some(_))) => b.clone(),
        (Timestamp(_, Some(_)), Timestamp(_, None)) => a.clone(),
        (Timestamp(_, Some(_)), Timestamp(_, Some(_))) => a.clone(),
        (List(x), List(y)) => array_of(common_type(x.data_type(), y.data_type())?),
        (Map(x, _), Map(y, _)) => match (x.data_type(), y.data_type()) {
            (Struct(x), Struct(y)) if x.len() == 2 && y.len() == 2 => map_of(
                common_type(x[0].data_type(), y[0].data_type())?,
                common_type(x[1].data_type(), y[1].data_type())?,
            ),
            _ => return None,
        },
        (Struct(x), Struct(y)) if x.len() == y.len() => row_of(
            x.iter()
                .zip(y)
                .map(|(x, y)| Some((x.name().clone(), common_type(x.data_type(), y.data_type())?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

/// The common type of all, starting from `Null`.
pub fn common_type_of<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
    types
        .into_iter()
        .try_fold(DataType::Null, |acc, t| common_type(&acc, t))
}

/// Whether `CAST(from AS to)` has a meaning (it may still fail for single values).
pub fn is_castable(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let scalar = |t: &DataType| !t.is_nested();
    match (from, to) {
        (Null, _) => true,
        (a, b) if a == b => true,
        (List(a), List(b)) => is_castable(a.data_type(), b.data_type()),
        (Map(a, _), Map(b, _)) => is_castable(a.data_type(), b.data_type()),
        (Struct(a), Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_castable(a.data_type(), b.data_type()))
        }
        (a, Utf8View) => scalar(a),
        (Utf8View, b) => scalar(b) && !matches!(b, Null),
        (Boolean, b) => is_numeric(b),
        (a, Boolean) => is_numeric(a),
        (a, b) if is_numeric(a) && is_numeric(b) => true,
        (Date32, b) => matches!(b, Timestamp(..)),
        (Timestamp(..), b) => matches!(b, Date32 | Timestamp(..) | Time64(_)),
        (Time64(_), b) => *b == TIMESTAMP,
        (Interval(IntervalUnit::YearMonth), _) | (Duration(_), _) => false,
        _ => false,
    }
}
