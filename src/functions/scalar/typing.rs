//! Which overload fits the argument types. Numbers widen, dates become timestamps, NULL becomes anything; text never
//! turns into a number by itself, nor a number into text.

use super::Signature;
use crate::types::{DataType, TIMESTAMP, common_type, common_type_of, is_decimal, is_integer, is_numeric};

pub(super) const STRING: DataType = DataType::Utf8View;
pub(super) const BINARY: DataType = DataType::BinaryView;
pub(super) const BOOLEAN: DataType = DataType::Boolean;
pub(super) const INTEGER: DataType = DataType::Int32;
pub(super) const BIGINT: DataType = DataType::Int64;
pub(super) const DOUBLE: DataType = DataType::Float64;
pub(super) const DATE: DataType = DataType::Date32;

/// The overload whose arguments are nearest to those found; the first of equals.
pub(super) fn overload(found: &[DataType], candidates: &[(&[DataType], DataType)]) -> Option<Signature> {
    candidates
        .iter()
        .filter_map(|(arguments, result)| Some((total_distance(found, arguments)?, arguments, result)))
        .min_by_key(|(distance, ..)| *distance)
        .map(|(_, arguments, result)| Signature {
            arguments: arguments.to_vec(),
            result: result.clone(),
        })
}

/// Exactly these argument types, after coercion.
pub(super) fn exactly(found: &[DataType], arguments: &[DataType], result: DataType) -> Option<Signature> {
    total_distance(found, arguments).map(|_| Signature {
        arguments: arguments.to_vec(),
        result,
    })
}

fn total_distance(found: &[DataType], wanted: &[DataType]) -> Option<u32> {
    if found.len() != wanted.len() {
        return None;
    }
    found
        .iter()
        .zip(wanted)
        .map(|(from, to)| coercion_distance(from, to))
        .sum()
}

/// How far an implicit conversion goes: 0 for none, `None` when it is not allowed.
pub(super) fn coercion_distance(from: &DataType, to: &DataType) -> Option<u32> {
    let wide = |t: &DataType| t.primitive_width().unwrap_or_default() as u32;
    match (from, to) {
        (a, b) if a == b => Some(0),
        (DataType::Null, _) => Some(1),
        (a, b) if is_integer(a) && is_integer(b) => wide(b).checked_sub(wide(a)),
        (a, DataType::Float64) if is_integer(a) => Some(20),
        (a, DataType::Float32) if is_integer(a) => Some(21),
        (a, DataType::Float64) if is_numeric(a) => Some(10),
        (a, DataType::Float32) if is_decimal(a) => Some(11),
        (DataType::Float64, DataType::Float32) => None,
        (a, b) => (common_type(a, b).as_ref() == Some(b)).then_some(5),
    }
}

/// `n` arguments of one common type that passes `accepts`; the result has that type too.
pub(super) fn all_same(found: &[DataType], accepts: impl Fn(&DataType) -> bool) -> Option<Signature> {
    let common = common_type_of(found)?;
    (accepts(&common) || common == DataType::Null).then(|| Signature {
        arguments: vec![common.clone(); found.len()],
        result: common,
    })
}

/// One number; the result has its type. NULL counts as a double.
pub(super) fn same_number(found: &[DataType]) -> Option<Signature> {
    match found {
        [t] => one_number(t).map(|t| Signature {
            arguments: vec![t.clone()],
            result: t,
        }),
        _ => None,
    }
}

/// The type as a number; NULL counts as a double.
pub(super) fn one_number(found: &DataType) -> Option<DataType> {
    match found {
        DataType::Null => Some(DOUBLE),
        t => is_numeric(t).then(|| t.clone()),
    }
}

/// The type as a date or timestamp; NULL counts as a timestamp.
pub(super) fn one_moment(found: &DataType) -> Option<DataType> {
    match found {
        DataType::Null => Some(TIMESTAMP),
        DataType::Date32 | DataType::Timestamp(..) => Some(found.clone()),
        _ => None,
    }
}

/// The type of the elements of an array; `Null` for NULL.
pub(super) fn element_type(found: &DataType) -> Option<DataType> {
    match found {
        DataType::List(field) => Some(field.data_type().clone()),
        DataType::Null => Some(DataType::Null),
        _ => None,
    }
}

/// The types of keys and values of a map.
pub(super) fn entry_types(found: &DataType) -> Option<(DataType, DataType)> {
    match found {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => match fields.as_ref() {
                [key, value] => Some((key.data_type().clone(), value.data_type().clone())),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}
