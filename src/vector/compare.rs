//! Comparisons of all types, with Trino's NaN (equal to nothing, ordered with nothing) and equal zeros.

use super::Column;
use super::operand::{Lanes, Operand, map_lanes, strict_binary, union_nulls};
use crate::error::{Error, Result};
use crate::types::{DataType, type_name};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, types::*};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp;
use std::cmp::Ordering;
use std::sync::Arc;

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Like `NotEqual`, but NULL is a value: never NULL itself.
    Distinct,
    NotDistinct,
}

impl Comparison {
    /// Whether an ordering satisfies the operator.
    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal | Self::NotDistinct => ordering.is_eq(),
            Self::NotEqual | Self::Distinct => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    fn is_null_safe(self) -> bool {
        matches!(self, Self::Distinct | Self::NotDistinct)
    }
}

/// `left op right`; both sides have one SQL type. NULL when either side is, except for the null-safe operators.
pub fn compare(op: Comparison, left: &Column, right: &Column) -> Result<Column> {
    if op.is_null_safe() {
        return compare_null_safe(op, left, right);
    }
    strict_binary(left, right, &DataType::Boolean, |a, b, rows| {
        let (a, b) = (same_type(a, b)?, same_type(b, a)?);
        Ok(match a.data_type() {
            DataType::Float32 => Arc::new(floats::<Float32Type>(op, &a, &b, rows)?),
            DataType::Float64 => Arc::new(floats::<Float64Type>(op, &a, &b, rows)?),
            t if t.is_nested() => Arc::new(nested(op, &a, &b, rows)),
            DataType::Null => arrow::array::new_null_array(&DataType::Boolean, rows),
            _ => Arc::new(by_arrow(op, &a, &b)?),
        })
    })
}

/// Decimals of one scale and timestamps of different zones compare by their integers.
fn same_type(operand: &Operand, other: &Operand) -> Result<Operand> {
    use DataType::*;
    let (from, to) = (operand.data_type(), other.data_type());
    let array: ArrayRef = match (from, to) {
        (a, b) if a == b || a.is_nested() => operand.array.clone(),
        (Timestamp(..), Timestamp(..)) => Arc::new(
            operand
                .primitive::<TimestampMicrosecondType>()?
                .clone()
                .with_data_type(crate::types::TIMESTAMP),
        ),
        (Decimal64(..), Decimal64(..) | Decimal128(..)) | (Decimal128(..), Decimal64(..) | Decimal128(..)) => {
            let scale = |t: &DataType| {
                if let Decimal64(_, s) | Decimal128(_, s) = t {
                    *s
                } else {
                    0
                }
            };
            super::cast::cast_array(&operand.array, &Decimal128(38, scale(from).max(scale(to))), false)?
        }
        (a, b) => {
            return Err(Error::internal(format!(
                "comparison of {} with {}",
                type_name(a),
                type_name(b)
            )));
        }
    };
    Ok(Operand {
        array,
        constant: operand.constant,
    })
}

fn by_arrow(op: Comparison, a: &Operand, b: &Operand) -> Result<BooleanArray> {
    Ok(match op {
        Comparison::Equal => cmp::eq(a, b),
        Comparison::NotEqual => cmp::neq(a, b),
        Comparison::Less => cmp::lt(a, b),
        Comparison::LessOrEqual => cmp::lt_eq(a, b),
        Comparison::Greater => cmp::gt(a, b),
        Comparison::GreaterOrEqual => cmp::gt_eq(a, b),
        Comparison::Distinct => cmp::distinct(a, b),
        Comparison::NotDistinct => cmp::not_distinct(a, b),
    }?)
}

fn floats<T: ArrowPrimitiveType>(op: Comparison, left: &Operand, right: &Operand, rows: usize) -> Result<BooleanArray>
where
    T::Native: PartialOrd,
{
    let (a, b) = (left.lanes::<T>()?, right.lanes::<T>()?);
    let bits = match op {
        Comparison::Equal | Comparison::NotDistinct => bits(a, b, rows, |a, b| a == b),
        Comparison::NotEqual | Comparison::Distinct => bits(a, b, rows, |a, b| a != b),
        Comparison::Less => bits(a, b, rows, |a, b| a < b),
        Comparison::LessOrEqual => bits(a, b, rows, |a, b| a <= b),
        Comparison::Greater => bits(a, b, rows, |a, b| a > b),
        Comparison::GreaterOrEqual => bits(a, b, rows, |a, b| a >= b),
    };
    Ok(BooleanArray::new(bits, union_nulls(left, right)))
}

fn bits<T: Copy>(a: Lanes<'_, T>, b: Lanes<'_, T>, rows: usize, f: impl Fn(T, T) -> bool) -> BooleanBuffer {
    BooleanBuffer::from(map_lanes(a, b, rows, f))
}

fn nested(op: Comparison, left: &Operand, right: &Operand, rows: usize) -> BooleanArray {
    let (a, b) = (left.array.as_ref(), right.array.as_ref());
    (0..rows)
        .map(|i| compare_rows(op, a, left.row(i), b, right.row(i)))
        .collect()
}

/// `a[i] op b[j]` for any type; NULL when either is, or when NULLs inside leave the answer open.
pub fn compare_rows(op: Comparison, a: &dyn Array, i: usize, b: &dyn Array, j: usize) -> Option<bool> {
    match op {
        Comparison::Equal => equal_rows(a, i, b, j),
        Comparison::NotEqual => equal_rows(a, i, b, j).map(|equal| !equal),
        Comparison::NotDistinct => Some(same_rows(a, i, b, j)),
        Comparison::Distinct => Some(!same_rows(a, i, b, j)),
        _ => order_rows(a, i, b, j)?.map_or(Some(false), |ordering| Some(op.holds(ordering))),
    }
}

/// Three-valued equality: one unequal part decides, otherwise a NULL part leaves it open.
fn equal_rows(a: &dyn Array, i: usize, b: &dyn Array, j: usize) -> Option<bool> {
    if a.is_null(i) || b.is_null(j) {
        return None;
    }
    match (parts(a, i), parts(b, j)) {
        (Some(x), Some(y)) => {
            if x.len() != y.len() {
                return Some(false);
            }
            let mut open = false;
            for ((a, i), (b, j)) in x.iter().zip(&y) {
                match equal_rows(a.as_ref(), *i, b.as_ref(), *j) {
                    Some(true) => {}
                    Some(false) => return Some(false),
                    None => open = true,
                }
            }
            (!open).then_some(true)
        }
        _ => Some(leaf_order(a, i, b, j) == Some(Ordering::Equal)),
    }
}

/// Equality in which NULL equals NULL and NaN equals NaN.
fn same_rows(a: &dyn Array, i: usize, b: &dyn Array, j: usize) -> bool {
    match (a.is_null(i), b.is_null(j)) {
        (true, true) => return true,
        (false, false) => {}
        _ => return false,
    }
    match (parts(a, i), parts(b, j)) {
        (Some(x), Some(y)) => {
            x.len() == y.len()
                && x.iter()
                    .zip(&y)
                    .all(|((a, i), (b, j))| same_rows(a.as_ref(), *i, b.as_ref(), *j))
        }
        _ => leaf_order(a, i, b, j) == Some(Ordering::Equal) || (is_nan(a, i) && is_nan(b, j)),
    }
}

/// `None`: NULL. `Some(None)`: unordered (NaN).
fn order_rows(a: &dyn Array, i: usize, b: &dyn Array, j: usize) -> Option<Option<Ordering>> {
    if a.is_null(i) || b.is_null(j) {
        return None;
    }
    match (parts(a, i), parts(b, j)) {
        (Some(x), Some(y)) => {
            for ((a, i), (b, j)) in x.iter().zip(&y) {
                match order_rows(a.as_ref(), *i, b.as_ref(), *j)? {
                    Some(Ordering::Equal) => {}
                    other => return Some(other),
                }
            }
            Some(Some(x.len().cmp(&y.len())))
        }
        _ => Some(leaf_order(a, i, b, j)),
    }
}

/// The elements of one nested value, each as an array and a row in it; `None` for a scalar. The entries of a map are
/// sorted by key, so that equal maps have equal parts.
fn parts(array: &dyn Array, row: usize) -> Option<Vec<(ArrayRef, usize)>> {
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (start, end) = (list.value_offsets().get(row)?, list.value_offsets().get(row + 1)?);
            Some((*start..*end).map(|i| (list.values().clone(), i as usize)).collect())
        }
        DataType::Struct(_) => Some(array.as_struct().columns().iter().map(|c| (c.clone(), row)).collect()),
        DataType::Map(_, _) => {
            let map = array.as_map();
            let (start, end) = (map.value_offsets().get(row)?, map.value_offsets().get(row + 1)?);
            let mut entries: Vec<usize> = (*start..*end).map(|i| i as usize).collect();
            entries.sort_by(|&i, &j| {
                let keys = map.keys().as_ref();
                order_rows(keys, i, keys, j).flatten().unwrap_or(Ordering::Equal)
            });
            let pair = |i: usize| [(map.keys().clone(), i), (map.values().clone(), i)];
            Some(entries.into_iter().flat_map(pair).collect())
        }
        _ => None,
    }
}

fn is_nan(array: &dyn Array, row: usize) -> bool {
    match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).is_nan(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).is_nan(),
        _ => false,
    }
}

/// The order of two scalars of one type that are not NULL.
fn leaf_order(a: &dyn Array, i: usize, b: &dyn Array, j: usize) -> Option<Ordering> {
    use crate::types::ScalarValue;
    match (a.data_type(), b.data_type()) {
        (DataType::Float32, DataType::Float32) => a
            .as_primitive::<Float32Type>()
            .value(i)
            .partial_cmp(&b.as_primitive::<Float32Type>().value(j)),
        (DataType::Float64, DataType::Float64) => a
            .as_primitive::<Float64Type>()
            .value(i)
            .partial_cmp(&b.as_primitive::<Float64Type>().value(j)),
        (DataType::Utf8View, DataType::Utf8View) => Some(a.as_string_view().value(i).cmp(b.as_string_view().value(j))),
        _ => ScalarValue::from_array(a, i)
            .ok()?
            .partial_compare(&ScalarValue::from_array(b, j).ok()?),
    }
}

fn compare_null_safe(op: Comparison, left: &Column, right: &Column) -> Result<Column> {
    let rows = left.len();
    let (a, b) = (Operand::new(left)?, Operand::new(right)?);
    let constant = a.constant && b.constant;
    let count = if constant { 1 } else { rows };
    let by_rows = a.data_type().is_nested() || a.data_type().is_floating();
    let result: ArrayRef = if a.is_null_constant() || b.is_null_constant() {
        let other = if a.is_null_constant() { &b } else { &a };
        let nulls = arrow::compute::is_null(other.array.as_ref())?;
        let nulls = if other.constant && !constant {
            BooleanArray::from(vec![other.is_null_constant(); rows])
        } else {
            nulls
        };
        if op == Comparison::NotDistinct {
            Arc::new(nulls)
        } else {
            Arc::new(arrow::compute::not(&nulls)?)
        }
    } else if by_rows {
        let (x, y) = (same_type(&a, &b)?, same_type(&b, &a)?);
        Arc::new(nested(op, &x, &y, count))
    } else {
        Arc::new(by_arrow(op, &same_type(&a, &b)?, &same_type(&b, &a)?)?)
    };
    Ok(if constant {
        Column::Constant { value: result, rows }
    } else {
        Column::Array(result)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Float64Array, Int32Array, ListArray, StringViewArray};

    const ALL: [Comparison; 8] = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
        Comparison::Distinct,
        Comparison::NotDistinct,
    ];

    fn run(op: Comparison, a: &Column, b: &Column) -> Vec<Option<bool>> {
        compare(op, a, b)
            .unwrap()
            .to_array()
            .unwrap()
            .as_boolean()
            .iter()
            .collect()
    }

    fn constant(array: ArrayRef, row: usize, rows: usize) -> Column {
        Column::Constant {
            value: array.slice(row, 1),
            rows,
        }
    }

    #[test]
    fn vectorised_comparisons_agree_with_rows() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![
            Some(1.0),
            None,
            Some(f64::NAN),
            Some(-0.0),
            Some(0.0),
            Some(f64::INFINITY),
        ]));
        let strings: ArrayRef = Arc::new(StringViewArray::from(vec![
            Some("a"),
            None,
            Some(""),
            Some("a rather long string value"),
            Some("a rather long string valuf"),
            Some("b"),
        ]));
        let coded: DictionaryArray<Int32Type> = vec![Some("x"), None, Some("y"), Some("x"), Some(""), Some("z")]
            .into_iter()
            .collect();
        let coded = arrow::compute::cast(
            &coded,
            &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8View)),
        )
        .unwrap();
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1)]),
            None,
            Some(vec![Some(1), None]),
            Some(vec![]),
            Some(vec![None]),
            Some(vec![Some(2)]),
        ]));
        for array in [floats, strings, coded, lists] {
            let rows = array.len();
            let reversed =
                arrow::compute::take(&array, &Int32Array::from_iter_values((0..rows as i32).rev()), None).unwrap();
            let plain = |a: &ArrayRef| Column::Array(a.clone()).to_array().unwrap();
            let (x, y) = (plain(&array), plain(&reversed));
            for op in ALL {
                let found = run(op, &Column::Array(array.clone()), &Column::Array(reversed.clone()));
                let expected: Vec<_> = (0..rows)
                    .map(|i| compare_rows(op, x.as_ref(), i, y.as_ref(), i))
                    .collect();
                assert_eq!(found, expected, "{op:?} {x:?}");
                for c in 0..rows {
                    let one = constant(x.clone(), c, rows);
                    let expected: Vec<_> = (0..rows)
                        .map(|i| compare_rows(op, x.as_ref(), i, x.as_ref(), c))
                        .collect();
                    assert_eq!(
                        run(op, &Column::Array(array.clone()), &one),
                        expected,
                        "{op:?} {x:?} with row {c}"
                    );
                    let same = compare_rows(op, x.as_ref(), c, x.as_ref(), c);
                    assert_eq!(run(op, &one, &one), vec![same; rows], "{op:?} constants {c}");
                }
            }
        }
    }

    #[test]
    fn trino_semantics_of_nan_zero_and_inner_nulls() {
        let nan = Column::from(Arc::new(Float64Array::from(vec![f64::NAN, -0.0])));
        let other = Column::from(Arc::new(Float64Array::from(vec![f64::NAN, 0.0])));
        assert_eq!(run(Comparison::Equal, &nan, &other), [Some(false), Some(true)]);
        assert_eq!(run(Comparison::GreaterOrEqual, &nan, &other), [Some(false), Some(true)]);
        assert_eq!(run(Comparison::NotDistinct, &nan, &other), [Some(true), Some(true)]);
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), None]),
            Some(vec![Some(2), None]),
        ]);
        let with = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), None]),
            Some(vec![Some(1), None]),
        ]);
        let (a, b) = (Column::from(Arc::new(lists)), Column::from(Arc::new(with)));
        assert_eq!(run(Comparison::Equal, &a, &b), [None, Some(false)]);
    }
}
