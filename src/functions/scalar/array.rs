//! Arrays: making, reading, searching, cutting. Positions count from 1.

use super::nested::{Nested, encoded, push_range};
use super::typing::{BIGINT, BINARY, BOOLEAN, STRING, all_same, coercion_distance, element_type, entry_types, exactly};
use super::{Arguments, ScalarFunction, Signature, function, string, string_search};
use crate::error::{Error, Result};
use crate::types::{DataType, ScalarValue, array_of, common_type, common_type_of, is_string, row_of};
use crate::vector::Column;
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::*;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    // Reading.
    function("subscript", |t, _| subscript_type(t), |a| subscript(a, true)).doc(
        "subscript(array, index) or array[index] or map[key]",
        "The element of that number, or the value of that key; an error when there is none.",
        "SELECT ARRAY['a', 'b'][2]",
        "b",
    ),
    function("element_at", |t, _| subscript_type(t), |a| subscript(a, false)).aliases(&["try_element_at"]).doc(
        "element_at(array, index) or element_at(map, key)",
        "The element of that number, from the end when negative, or the value of that key; NULL when there is none.",
        "SELECT element_at(ARRAY['a', 'b', 'c'], -1)",
        "c",
    ),
    function("array_first", |t, _| first_type(t), |a| edge(a, |range| range.start)).doc(
        "array_first(array)",
        "The first element; NULL when there is none.",
        "SELECT array_first(ARRAY[7, 8])",
        "7",
    ),
    function("array_last", |t, _| first_type(t), |a| edge(a, |range| range.end.saturating_sub(1))).doc(
        "array_last(array)",
        "The last element; NULL when there is none.",
        "SELECT array_last(ARRAY[7, 8])",
        "8",
    ),
    function("cardinality", |t, _| cardinality_type(t), |a| {
        let nested = Nested::of(a, 0)?;
        a.primitives::<Int64Type>(|row| Ok(Some(nested.range(row).len() as i64)))
    })
    .aliases(&["size", "array_size"])
    .doc(
        "cardinality(array or map)",
        "The number of elements or entries.",
        "SELECT cardinality(ARRAY[1, NULL])",
        "2",
    ),
    // Searching.
    function("contains", |t, _| contains_type(t), contains).aliases(&["array_contains"]).doc(
        "contains(array, x) or contains(string, substring)",
        "Whether the value is among the elements, or the text in the text.",
        "SELECT contains(ARRAY[1, 2], 2)",
        "true",
    ),
    function("array_position", |t, _| with_element_type(t, |_| BIGINT), |a| {
        search(a, |a, found| {
            let lists = Nested::of(a, 0)?;
            a.primitives::<Int64Type>(|row| {
                Ok(Some(lists.range(row).position(|i| found(row, i)).map_or(0, |p| p as i64 + 1)))
            })
        })
    })
    .doc(
        "array_position(array, x)",
        "The position of the first such element; 0 when there is none.",
        "SELECT array_position(ARRAY['a', 'b'], 'b')",
        "2",
    ),
    function("array_remove", |t, _| with_element_type(t, array_of), |a| {
        search(a, |a, found| {
            let lists = Nested::of(a, 0)?;
            a.lists(&[lists.elements()], |row, out| {
                let kept = lists.range(row).filter(|&i| !found(row, i));
                Ok(Some(kept.for_each(|i| out.append_value(i as u32))))
            })
        })
    })
    .doc(
        "array_remove(array, x)",
        "Without the elements equal to a value.",
        "SELECT array_remove(ARRAY[1, 2, 1], 1)",
        "[2]",
    ),
    // Changing.
    function("array_append", |t, _| with_element_type(t, array_of), |a| extended(a, false)).doc(
        "array_append(array, x)",
        "One more element at the end.",
        "SELECT array_append(ARRAY[1], 2)",
        "[1, 2]",
    ),
    function("array_prepend", |t, _| with_element_type(t, array_of), |a| extended(a, true)).doc(
        "array_prepend(array, x)",
        "One more element at the start.",
        "SELECT array_prepend(ARRAY[1], 2)",
        "[2, 1]",
    ),
    function("array_compact", |t, _| same_array(t), |a| {
        let lists = Nested::of(a, 0)?;
        let elements = lists.elements();
        a.lists(&[elements], |row, out| {
            let kept = lists.range(row).filter(|&i| elements.is_valid(i));
            Ok(Some(kept.for_each(|i| out.append_value(i as u32))))
        })
    })
    .doc("array_compact(array)", "Without NULLs.", "SELECT array_compact(ARRAY[1, NULL, 2])", "[1, 2]"),
    function("concat", |t, _| concat_type(t), concat).doc(
        "concat(x, y, ...)",
        "Texts, bytes or arrays one after the other; NULL when one is NULL.",
        "SELECT concat('a', 'b', 'c')",
        "abc",
    ),
    function("reverse", |t, _| reverse_type(t), reverse).doc(
        "reverse(string or array)",
        "Characters or elements from last to first.",
        "SELECT reverse('abc')",
        "cba",
    ),
    function("flatten", |t, _| flatten_type(t), flatten).doc(
        "flatten(array)",
        "The elements of the arrays in an array.",
        "SELECT flatten(ARRAY[ARRAY[1, 2], ARRAY[3]])",
        "[1, 2, 3]",
    ),
    function("slice", |t, _| slice_type(t), slice).doc(
        "slice(array, start, length)",
        "The elements from a position on, counted from the end when negative.",
        "SELECT slice(ARRAY[1, 2, 3, 4], -2, 2)",
        "[3, 4]",
    ),
    function("trim_array", |t, _| sized_type(t), trim_array).doc(
        "trim_array(array, n)",
        "Without the last n elements.",
        "SELECT trim_array(ARRAY[1, 2, 3], 1)",
        "[1, 2]",
    ),
    function("shuffle", |t, _| same_array(t), |a| {
        let lists = Nested::of(a, 0)?;
        a.lists(&[lists.elements()], |row, out| {
            let mut positions: Vec<u32> = lists.range(row).map(|i| i as u32).collect();
            fastrand::shuffle(&mut positions);
            out.append_slice(&positions);
            Ok(Some(()))
        })
    })
    .volatile()
    .doc("shuffle(array)", "The elements in random order.", "SELECT cardinality(shuffle(ARRAY[1, 2]))", "2"),
    function("array_join", |t, _| join_type(t), join).doc(
        "array_join(array, delimiter[, null_replacement])",
        "The elements as one text; NULLs are left out or replaced.",
        "SELECT array_join(ARRAY[1, NULL, 3], '-', '?')",
        "1-?-3",
    ),
    function("zip", |t, _| zip_type(t), zip).aliases(&["arrays_zip"]).doc(
        "zip(array, array, ...)",
        "Rows of the first elements, of the second ones and so on; shorter arrays are filled with NULL.",
        "SELECT cardinality(zip(ARRAY[1, 2], ARRAY['a']))",
        "2",
    ),
];

// ---- Types ----

/// One array; the result has its type.
pub(super) fn same_array(found: &[DataType]) -> Option<Signature> {
    let [t] = found else { return None };
    let list = array_of(element_type(t)?);
    Some(Signature {
        arguments: vec![list.clone()],
        result: list,
    })
}

fn first_type(found: &[DataType]) -> Option<Signature> {
    let [t] = found else { return None };
    let item = element_type(t)?;
    Some(Signature {
        arguments: vec![array_of(item.clone())],
        result: item,
    })
}

/// An array and one element of it, made one type.
fn with_element_type(found: &[DataType], result: impl Fn(DataType) -> DataType) -> Option<Signature> {
    let [list, element] = found else { return None };
    let item = common_type(&element_type(list)?, element)?;
    Some(Signature {
        arguments: vec![array_of(item.clone()), item.clone()],
        result: result(item),
    })
}

/// An array and a whole number.
fn sized_type(found: &[DataType]) -> Option<Signature> {
    let [list, n] = found else { return None };
    coercion_distance(n, &BIGINT)?;
    let list = array_of(element_type(list)?);
    Some(Signature {
        arguments: vec![list.clone(), BIGINT],
        result: list,
    })
}

/// An array and a whole number, giving an array of such arrays.
pub(super) fn nested_type(found: &[DataType]) -> Option<Signature> {
    sized_type(found).map(|s| Signature {
        result: array_of(s.result),
        ..s
    })
}

fn subscript_type(found: &[DataType]) -> Option<Signature> {
    let [container, key] = found else { return None };
    if let Some((map_key, value)) = entry_types(container) {
        coercion_distance(key, &map_key)?;
        return Some(Signature {
            arguments: vec![container.clone(), map_key],
            result: value,
        });
    }
    coercion_distance(key, &BIGINT)?;
    let item = element_type(container)?;
    Some(Signature {
        arguments: vec![array_of(item.clone()), BIGINT],
        result: item,
    })
}

fn cardinality_type(found: &[DataType]) -> Option<Signature> {
    let [t] = found else { return None };
    let argument = match entry_types(t) {
        Some(_) => t.clone(),
        None => array_of(element_type(t)?),
    };
    Some(Signature {
        arguments: vec![argument],
        result: BIGINT,
    })
}

fn contains_type(found: &[DataType]) -> Option<Signature> {
    match found.first() {
        Some(t) if is_string(t) => exactly(found, &[STRING, STRING], BOOLEAN),
        _ => with_element_type(found, |_| BOOLEAN),
    }
}

fn concat_type(found: &[DataType]) -> Option<Signature> {
    if found.is_empty() {
        return None;
    }
    let common = common_type_of(found)?;
    match &common {
        DataType::Null => exactly(found, &vec![STRING; found.len()], STRING),
        _ => all_same(found, |t| {
            is_string(t) || *t == BINARY || matches!(t, DataType::List(_))
        }),
    }
}

fn reverse_type(found: &[DataType]) -> Option<Signature> {
    match found {
        [DataType::List(_)] => same_array(found),
        _ => exactly(found, &[STRING], STRING),
    }
}

fn flatten_type(found: &[DataType]) -> Option<Signature> {
    let [t] = found else { return None };
    let item = element_type(&element_type(t)?)?;
    Some(Signature {
        arguments: vec![array_of(array_of(item.clone()))],
        result: array_of(item),
    })
}

fn slice_type(found: &[DataType]) -> Option<Signature> {
    let [list, rest @ ..] = found else { return None };
    let list = array_of(element_type(list)?);
    exactly(rest, &[BIGINT, BIGINT], list.clone()).map(|s| Signature {
        arguments: std::iter::once(list).chain(s.arguments).collect(),
        ..s
    })
}

/// Elements are cast to text before the call.
fn join_type(found: &[DataType]) -> Option<Signature> {
    let [list, rest @ ..] = found else { return None };
    element_type(list).filter(|item| !item.is_nested())?;
    let texts = vec![STRING; rest.len()];
    exactly(rest, &texts, STRING)
        .filter(|_| (1..=2).contains(&rest.len()))
        .map(|s| Signature {
            arguments: std::iter::once(array_of(STRING)).chain(s.arguments).collect(),
            ..s
        })
}

fn zip_type(found: &[DataType]) -> Option<Signature> {
    let items = found.iter().map(element_type).collect::<Option<Vec<_>>>()?;
    let fields = items
        .iter()
        .enumerate()
        .map(|(i, t)| (format!("field{i}"), t.clone()))
        .collect();
    (!items.is_empty()).then(|| Signature {
        arguments: items.iter().cloned().map(array_of).collect(),
        result: array_of(row_of(fields)),
    })
}

// ---- Reading ----

fn subscript(a: &Arguments, strict: bool) -> Result<Column> {
    if matches!(a.column(0)?.data_type(), DataType::Map(..)) {
        return map_value(a, strict);
    }
    let (lists, index) = (Nested::of(a, 0)?, a.integers_of(1)?);
    a.elements(lists.elements(), |row| {
        let (range, index) = (lists.range(row), index.get(row));
        let len = range.len() as i64;
        match index {
            0 => Err(Error::execution("array index 0, the first element has index 1")),
            1.. if index <= len => Ok(Some(range.start + index as usize - 1)),
            _ if strict && index < 0 => Err(Error::execution(format!("array index {index} is negative"))
                .with_hint("element_at counts from the end")),
            _ if strict => Err(
                Error::execution(format!("array index {index} of an array of {len} elements"))
                    .with_hint("element_at gives NULL instead"),
            ),
            _ if index < 0 && -index <= len => Ok(Some(range.end - index.unsigned_abs() as usize)),
            _ => Ok(None),
        }
    })
}

/// The value of a key; `strict` makes a missing key an error.
fn map_value(a: &Arguments, strict: bool) -> Result<Column> {
    let maps = Nested::of(a, 0)?;
    let (keys, values) = maps.entries()?;
    let (wanted, constant) = a.column(1)?.as_array_or_single()?;
    let rows = encoded(&[&keys, &wanted])?;
    let [key_rows, wanted_rows] = rows.as_slice() else {
        return Err(Error::internal("keys were not encoded"));
    };
    a.elements(&values, |row| {
        let at = if constant { 0 } else { row };
        let found = maps.range(row).find(|&i| key_rows.row(i) == wanted_rows.row(at));
        if strict && found.is_none() {
            let key = ScalarValue::from_array(&wanted, at)?;
            return Err(
                Error::execution(format!("the map has no key {key}")).with_hint("element_at gives NULL instead")
            );
        }
        Ok(found)
    })
}

fn edge(a: &Arguments, position: fn(std::ops::Range<usize>) -> usize) -> Result<Column> {
    let lists = Nested::of(a, 0)?;
    a.elements(lists.elements(), |row| {
        let range = lists.range(row);
        Ok((!range.is_empty()).then(|| position(range)))
    })
}

// ---- Searching ----

/// Runs `body` with a test whether element `i` of the child equals the second argument in a row.
fn search(
    a: &Arguments,
    body: impl FnOnce(&Arguments, &dyn Fn(usize, usize) -> bool) -> Result<Column>,
) -> Result<Column> {
    let lists = Nested::of(a, 0)?;
    let (wanted, constant) = a.column(1)?.as_array_or_single()?;
    let rows = encoded(&[lists.elements(), &wanted])?;
    let [element_rows, wanted_rows] = rows.as_slice() else {
        return Err(Error::internal("elements were not encoded"));
    };
    body(a, &|row, i| {
        element_rows.row(i) == wanted_rows.row(if constant { 0 } else { row })
    })
}

/// True when found; when not found, NULL if there is a NULL among the elements.
fn contains(a: &Arguments) -> Result<Column> {
    if is_string(a.column(0)?.data_type()) {
        return string_search::contains(a);
    }
    let lists = Nested::of(a, 0)?;
    let elements = lists.elements();
    search(a, |a, found| {
        a.booleans(|row| {
            let range = lists.range(row);
            match range.clone().any(|i| found(row, i)) {
                true => Ok(Some(true)),
                false => {
                    Ok((elements.null_count() == 0 || range.clone().all(|i| elements.is_valid(i))).then_some(false))
                }
            }
        })
    })
}

// ---- Changing ----

fn extended(a: &Arguments, at_start: bool) -> Result<Column> {
    let lists = Nested::of(a, 0)?;
    let (element, constant) = a.column(1)?.as_array_or_single()?;
    let start = lists.elements().len();
    let nulls: Vec<bool> = (0..a.work()).map(|row| !lists.is_null(row)).collect();
    a.lists_unless(Some(nulls.into()), &[lists.elements(), &element], |row, out| {
        let added = (start + if constant { 0 } else { row }) as u32;
        if at_start {
            out.append_value(added);
        }
        push_range(out, lists.range(row));
        if !at_start {
            out.append_value(added);
        }
        Ok(Some(()))
    })
}

fn concat(a: &Arguments) -> Result<Column> {
    match a.result_type {
        DataType::Utf8View => string::concat(a),
        DataType::BinaryView => string::concat_binary(a),
        _ => {
            let lists = (0..a.count()).map(|i| Nested::of(a, i)).collect::<Result<Vec<_>>>()?;
            let sources: Vec<&ArrayRef> = lists.iter().map(Nested::elements).collect();
            a.lists(&sources, |row, out| {
                let mut start = 0;
                for list in &lists {
                    let range = list.range(row);
                    push_range(out, start + range.start..start + range.end);
                    start += list.elements().len();
                }
                Ok(Some(()))
            })
        }
    }
}

fn reverse(a: &Arguments) -> Result<Column> {
    if is_string(a.column(0)?.data_type()) {
        return string::reverse(a);
    }
    let lists = Nested::of(a, 0)?;
    a.lists(&[lists.elements()], |row, out| {
        Ok(Some(lists.range(row).rev().for_each(|i| out.append_value(i as u32))))
    })
}

fn flatten(a: &Arguments) -> Result<Column> {
    let lists = Nested::of(a, 0)?;
    let inner = lists.elements().as_list::<i32>();
    let offsets = inner.value_offsets();
    a.lists(&[inner.values()], |row, out| {
        for i in lists.range(row).filter(|&i| inner.is_valid(i)) {
            if let Some([start, end]) = offsets.get(i..i + 2) {
                push_range(out, *start as usize..*end as usize);
            }
        }
        Ok(Some(()))
    })
}

fn slice(a: &Arguments) -> Result<Column> {
    let (lists, start, length) = (Nested::of(a, 0)?, a.integers_of(1)?, a.integers_of(2)?);
    a.lists(&[lists.elements()], |row, out| {
        let (range, start, length) = (lists.range(row), start.get(row), length.get(row));
        if start == 0 || length < 0 {
            return Err(Error::execution(format!(
                "slice from {start} of {length} elements: positions start at 1 and lengths at 0"
            )));
        }
        let len = range.len() as i64;
        let first = if start > 0 {
            start - 1
        } else {
            len.saturating_add(start)
        };
        if (0..len).contains(&first) {
            let last = first.saturating_add(length).min(len);
            push_range(out, range.start + first as usize..range.start + last as usize);
        }
        Ok(Some(()))
    })
}

fn trim_array(a: &Arguments) -> Result<Column> {
    let (lists, n) = (Nested::of(a, 0)?, a.integers_of(1)?);
    a.lists(&[lists.elements()], |row, out| {
        let (range, n) = (lists.range(row), n.get(row));
        match usize::try_from(n) {
            Ok(n) if n <= range.len() => push_range(out, range.start..range.end - n),
            _ => {
                return Err(Error::execution(format!(
                    "trim_array of {n} elements from an array of {}",
                    range.len()
                )));
            }
        }
        Ok(Some(()))
    })
}

fn join(a: &Arguments) -> Result<Column> {
    let (lists, delimiter) = (Nested::of(a, 0)?, a.strings_of(1)?);
    let replacement = (a.count() > 2).then(|| a.strings_of(2)).transpose()?;
    let elements = lists.elements().as_string_view();
    a.strings(|row, out| {
        let mut first = true;
        for i in lists.range(row) {
            let text = match (elements.is_valid(i), &replacement) {
                (true, _) => elements.value(i),
                (false, Some(replacement)) => replacement.get(row),
                (false, None) => continue,
            };
            if !std::mem::take(&mut first) {
                out.push_str(delimiter.get(row));
            }
            out.push_str(text);
        }
        Ok(Some(()))
    })
}

fn zip(a: &Arguments) -> Result<Column> {
    let lists = (0..a.count()).map(|i| Nested::of(a, i)).collect::<Result<Vec<_>>>()?;
    let nulls = a.nulls();
    let mut positions: Vec<UInt32Builder> = lists.iter().map(|_| UInt32Builder::new()).collect();
    let (mut offsets, mut total) = (vec![0i32], 0);
    for row in 0..a.work() {
        if !nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            let longest = lists.iter().map(|list| list.range(row).len()).max().unwrap_or(0);
            total += longest;
            for (list, out) in lists.iter().zip(&mut positions) {
                let range = list.range(row);
                let missing = longest - range.len();
                push_range(out, range);
                out.append_nulls(missing);
            }
        }
        offsets.push(super::arguments::offset_of(total)?);
    }
    let columns = lists
        .iter()
        .zip(&mut positions)
        .map(|(list, positions)| Ok(arrow::compute::take(list.elements(), &positions.finish(), None)?))
        .collect::<Result<Vec<_>>>()?;
    let (DataType::List(field), Some(DataType::Struct(fields))) = (a.result_type, element_type(a.result_type)) else {
        return Err(Error::internal("zip without an array of rows"));
    };
    let rows = StructArray::try_new_with_length(fields, columns, None, total)?;
    let list = ListArray::try_new(field.clone(), OffsetBuffer::new(offsets.into()), Arc::new(rows), nulls)?;
    Ok(a.finish(Arc::new(list)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use super::*;
    use crate::types::ScalarValue::{Boolean, Int32, Int64, Null};

    fn list(items: &[ScalarValue]) -> ScalarValue {
        call("array", items)
    }

    fn numbers(items: &[i64]) -> ScalarValue {
        list(&items.iter().map(|i| Int64(*i)).collect::<Vec<_>>())
    }

    #[test]
    fn elements_by_number() {
        let a = numbers(&[7, 8, 9]);
        assert_eq!(call("subscript", &[a.clone(), Int32(1)]), Int64(7));
        assert_eq!(call("element_at", &[a.clone(), Int32(-1)]), Int64(9));
        assert_eq!(call("element_at", &[a.clone(), Int32(4)]), Null);
        assert_eq!(call("element_at", &[a.clone(), Int64(i64::MIN + 1)]), Null);
        assert!(error("subscript", &[a.clone(), Int32(4)]).contains("index 4 of an array of 3"));
        assert!(error("element_at", &[a, Int32(0)]).contains("index 0"));
    }

    #[test]
    fn membership_knows_null() {
        let holey = list(&[Int64(1), Null]);
        assert_eq!(call("contains", &[holey.clone(), Int64(1)]), Boolean(true));
        assert_eq!(call("contains", &[holey.clone(), Int64(2)]), Null);
        assert_eq!(call("contains", &[numbers(&[1]), Int64(2)]), Boolean(false));
        assert_eq!(call("contains", &[text("hello"), text("ell")]), Boolean(true));
        assert_eq!(call("array_position", &[numbers(&[5, 6]), Int64(6)]), Int64(2));
        assert_eq!(
            call("array_remove", &[holey.clone(), Int64(1)]),
            call("array", &[Int64(0), Null]).tail()
        );
    }

    impl ScalarValue {
        /// The array without its first element.
        fn tail(self) -> Self {
            call("slice", &[self, Int64(2), Int64(9)])
        }
    }

    #[test]
    fn building_and_cutting() {
        let a = numbers(&[1, 2, 3, 4]);
        assert_eq!(call("slice", &[a.clone(), Int32(-2), Int32(5)]), numbers(&[3, 4]));
        assert_eq!(call("slice", &[a.clone(), Int32(9), Int32(1)]), numbers(&[1]).tail());
        assert_eq!(call("concat", &[numbers(&[1]), numbers(&[2, 3])]), numbers(&[1, 2, 3]));
        assert_eq!(call("reverse", std::slice::from_ref(&a)), numbers(&[4, 3, 2, 1]));
        assert_eq!(
            call("flatten", &[list(&[numbers(&[1]), numbers(&[2])])]),
            numbers(&[1, 2])
        );
        assert_eq!(call("array_join", &[a.clone(), text(",")]), text("1,2,3,4"));
        assert_eq!(call("array_prepend", &[numbers(&[1]), Null]), list(&[Null, Int64(1)]));
        assert_eq!(call("repeat", &[Int64(7), Int32(2)]), numbers(&[7, 7]));
        assert_eq!(
            call("cardinality", &[call("combinations", &[a.clone(), Int32(2)])]),
            Int64(6)
        );
        assert_eq!(call("cardinality", &[call("ngrams", &[a, Int32(3)])]), Int64(2));
        assert_eq!(call("cardinality", &[call("array", &[])]), Int64(0));
    }
}
