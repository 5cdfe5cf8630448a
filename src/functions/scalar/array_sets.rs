//! Arrays as sets and in order: distinct elements, union, intersection, sorting, extremes.

use super::array::same_array;
use super::nested::{Nested, Positions, encoded, encoded_with};
use super::typing::{BOOLEAN, element_type};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, array_of, common_type};
use crate::vector::Column;
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::SortOptions;
use arrow::row::Rows;
use hashbrown::HashSet;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    function(
        "array_distinct",
        |t, _| same_array(t),
        |a| {
            with_rows(a, |a, lists, rows| {
                a.lists(&[lists.elements()], |row, out| {
                    let mut seen = HashSet::new();
                    let fresh = lists.range(row).filter(|&i| seen.insert(rows.row(i).data()));
                    Ok(Some(push_all(out, fresh)))
                })
            })
        },
    )
    .doc(
        "array_distinct(array)",
        "Each value once, in the order of first appearance.",
        "SELECT array_distinct(ARRAY[1, 2, 1])",
        "[1, 2]",
    ),
    function(
        "array_union",
        |t, _| two_arrays(t, array_of),
        |a| {
            two(a, |a, left, right| {
                let start = left.lists.elements().len();
                a.lists(&[left.lists.elements(), right.lists.elements()], |row, out| {
                    let mut seen = HashSet::new();
                    push_all(out, left.lists.range(row).filter(|&i| seen.insert(left.key(i))));
                    let others = right.lists.range(row).filter(|&i| seen.insert(right.key(i)));
                    Ok(Some(push_all(out, others.map(|i| start + i))))
                })
            })
        },
    )
    .doc(
        "array_union(a, b)",
        "Each value of either array once.",
        "SELECT array_union(ARRAY[1, 2], ARRAY[2, 3])",
        "[1, 2, 3]",
    ),
    function("array_intersect", |t, _| two_arrays(t, array_of), |a| chosen(a, true)).doc(
        "array_intersect(a, b)",
        "Each value that both arrays have once.",
        "SELECT array_intersect(ARRAY[1, 2], ARRAY[2, 3])",
        "[2]",
    ),
    function("array_except", |t, _| two_arrays(t, array_of), |a| chosen(a, false)).doc(
        "array_except(a, b)",
        "Each value of the first array that the second has not, once.",
        "SELECT array_except(ARRAY[1, 2], ARRAY[2, 3])",
        "[1]",
    ),
    function("arrays_overlap", |t, _| two_arrays(t, |_| BOOLEAN), arrays_overlap).doc(
        "arrays_overlap(a, b)",
        "Whether some value is in both arrays.",
        "SELECT arrays_overlap(ARRAY[1, 2], ARRAY[2, 3])",
        "true",
    ),
    function("array_sort", |t, _| same_array(t), array_sort).doc(
        "array_sort(array)",
        "In ascending order, NULLs last.",
        "SELECT array_sort(ARRAY[3, NULL, 1])",
        "[1, 3, NULL]",
    ),
    function("sort_array", |t, _| sort_array_type(t), sort_array).doc(
        "sort_array(array[, ascending])",
        "In order, NULLs first when ascending, last when descending.",
        "SELECT sort_array(ARRAY[3, 1, 2], false)",
        "[3, 2, 1]",
    ),
    function("array_max", |t, _| extreme_type(t), |a| extreme(a, |x, y| x > y)).doc(
        "array_max(array)",
        "The greatest element; NULL when there is none or one is NULL.",
        "SELECT array_max(ARRAY[3, 1, 2])",
        "3",
    ),
    function("array_min", |t, _| extreme_type(t), |a| extreme(a, |x, y| x < y)).doc(
        "array_min(array)",
        "The least element; NULL when there is none or one is NULL.",
        "SELECT array_min(ARRAY[3, 1, 2])",
        "1",
    ),
];

/// Two arrays made one type.
fn two_arrays(found: &[DataType], result: impl Fn(DataType) -> DataType) -> Option<Signature> {
    let [left, right] = found else { return None };
    let item = common_type(&element_type(left)?, &element_type(right)?)?;
    Some(Signature {
        arguments: vec![array_of(item.clone()), array_of(item.clone())],
        result: result(item),
    })
}

fn extreme_type(found: &[DataType]) -> Option<Signature> {
    same_array(found).and_then(|s| {
        Some(Signature {
            result: element_type(&s.result)?,
            ..s
        })
    })
}

fn sort_array_type(found: &[DataType]) -> Option<Signature> {
    match found {
        [list, DataType::Boolean] => same_array(std::slice::from_ref(list)).map(|s| Signature {
            arguments: [s.arguments, vec![BOOLEAN]].concat(),
            ..s
        }),
        _ => same_array(found),
    }
}

fn push_all(out: &mut Positions, positions: impl Iterator<Item = usize>) {
    positions.for_each(|i| out.append_value(i as u32));
}

fn not_encoded() -> Error {
    Error::internal("elements were not encoded")
}

/// Runs `body` with argument 0 and the comparable bytes of its elements.
fn with_rows(a: &Arguments, body: impl FnOnce(&Arguments, &Nested, &Rows) -> Result<Column>) -> Result<Column> {
    let lists = Nested::of(a, 0)?;
    let rows = encoded(&[lists.elements()])?;
    body(a, &lists, rows.first().ok_or_else(not_encoded)?)
}

/// An array argument with the comparable bytes of its elements.
struct Side<'a> {
    lists: &'a Nested,
    rows: &'a Rows,
}

impl<'a> Side<'a> {
    fn key(&self, i: usize) -> &'a [u8] {
        self.rows.row(i).data()
    }

    fn keys(&self, row: usize) -> HashSet<&'a [u8]> {
        self.lists.range(row).map(|i| self.key(i)).collect()
    }
}

fn two(a: &Arguments, body: impl FnOnce(&Arguments, Side, Side) -> Result<Column>) -> Result<Column> {
    let (left, right) = (Nested::of(a, 0)?, Nested::of(a, 1)?);
    let rows = encoded(&[left.elements(), right.elements()])?;
    let [left_rows, right_rows] = rows.as_slice() else {
        return Err(not_encoded());
    };
    let (left, right) = (&left, &right);
    body(
        a,
        Side {
            lists: left,
            rows: left_rows,
        },
        Side {
            lists: right,
            rows: right_rows,
        },
    )
}

/// The distinct elements of the first array that the second has, or has not.
fn chosen(a: &Arguments, wanted: bool) -> Result<Column> {
    two(a, |a, left, right| {
        a.lists(&[left.lists.elements()], |row, out| {
            let others = right.keys(row);
            let mut seen = HashSet::new();
            let kept = left.lists.range(row).filter(|&i| {
                let key = left.key(i);
                others.contains(key) == wanted && seen.insert(key)
            });
            Ok(Some(push_all(out, kept)))
        })
    })
}

/// True when a value is in both; otherwise NULL when either has a NULL.
fn arrays_overlap(a: &Arguments) -> Result<Column> {
    two(a, |a, left, right| {
        let (x, y) = (left.lists.elements(), right.lists.elements());
        let holey = |elements: &ArrayRef, side: &Side, row: usize| side.lists.range(row).any(|i| elements.is_null(i));
        a.booleans(|row| {
            let keys = right.keys(row);
            let overlap = left
                .lists
                .range(row)
                .any(|i| x.is_valid(i) && keys.contains(left.key(i)));
            let unknown = !overlap
                && !left.lists.range(row).is_empty()
                && !right.lists.range(row).is_empty()
                && (holey(x, &left, row) || holey(y, &right, row));
            Ok((!unknown).then_some(overlap))
        })
    })
}

/// Trino's order: NULLs last.
fn array_sort(a: &Arguments) -> Result<Column> {
    sorted(a, false, |_| false)
}

/// Hive's order: NULLs are the least, so they come first when ascending and last when descending.
fn sort_array(a: &Arguments) -> Result<Column> {
    if a.count() == 1 {
        return sorted(a, true, |_| false);
    }
    let ascending = a.read::<BooleanArray>(1)?;
    sorted(a, true, |row| !ascending.get(row))
}

fn sorted(a: &Arguments, nulls_first: bool, descending: impl Fn(usize) -> bool) -> Result<Column> {
    let lists = Nested::of(a, 0)?;
    let rows = encoded_with(&[lists.elements()], SortOptions::new(false, nulls_first))?;
    let rows = rows.first().ok_or_else(not_encoded)?;
    a.lists(&[lists.elements()], |row, out| {
        let mut positions: Vec<usize> = lists.range(row).collect();
        match descending(row) {
            true => positions.sort_by(|&x, &y| rows.row(y).cmp(&rows.row(x))),
            false => positions.sort_by(|&x, &y| rows.row(x).cmp(&rows.row(y))),
        }
        push_all(out, positions.into_iter());
        Ok(Some(()))
    })
}

fn extreme(a: &Arguments, better: fn(&[u8], &[u8]) -> bool) -> Result<Column> {
    with_rows(a, |a, lists, rows| {
        let elements = lists.elements();
        a.elements(elements, |row| {
            if lists.range(row).any(|i| elements.is_null(i)) {
                return Ok(None);
            }
            let key = |i: usize| rows.row(i).data();
            Ok(lists
                .range(row)
                .reduce(|best, i| if better(key(i), key(best)) { i } else { best }))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::call;
    use crate::types::ScalarValue::{self, Boolean, Float64, Int64, Null};

    fn list(items: &[ScalarValue]) -> ScalarValue {
        call("array", items)
    }

    #[test]
    fn sets_treat_null_as_a_value() {
        let a = list(&[Int64(1), Null, Null, Int64(2), Int64(1)]);
        let b = list(&[Null, Int64(2), Int64(3)]);
        assert_eq!(
            call("array_distinct", std::slice::from_ref(&a)),
            list(&[Int64(1), Null, Int64(2)])
        );
        assert_eq!(
            call("array_union", &[a.clone(), b.clone()]),
            list(&[Int64(1), Null, Int64(2), Int64(3)])
        );
        assert_eq!(
            call("array_intersect", &[a.clone(), b.clone()]),
            list(&[Null, Int64(2)])
        );
        assert_eq!(
            call("array_except", &[a.clone(), b.clone()]),
            call("slice", &[a.clone(), Int64(1), Int64(1)])
        );
        assert_eq!(call("arrays_overlap", &[a, b]), Boolean(true));
        let nulls = list(&[Null, Int64(5)]);
        assert_eq!(call("arrays_overlap", &[nulls, list(&[Int64(1)])]), Null);
    }

    #[test]
    fn order() {
        let a = list(&[Int64(3), Null, Int64(1)]);
        assert_eq!(
            call("array_sort", std::slice::from_ref(&a)),
            list(&[Int64(1), Int64(3), Null])
        );
        assert_eq!(
            call("sort_array", std::slice::from_ref(&a)),
            list(&[Null, Int64(1), Int64(3)])
        );
        assert_eq!(
            call("sort_array", &[a.clone(), Boolean(false)]),
            list(&[Int64(3), Int64(1), Null])
        );
        assert_eq!(call("array_max", &[a]), Null);
        let floats = list(&[Float64(-1.5), Float64(2.5), Float64(-7.0)]);
        assert_eq!(call("array_max", std::slice::from_ref(&floats)), Float64(2.5));
        assert_eq!(call("array_min", &[floats]), Float64(-7.0));
    }
}
