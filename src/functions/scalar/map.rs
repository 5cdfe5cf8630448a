//! Maps and rows.

use super::nested::{Nested, encoded, push_range};
use super::typing::{BOOLEAN, coercion_distance, element_type, entry_types};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, ScalarValue, array_of, common_type_of, map_of, row_of};
use crate::vector::Column;
use arrow::array::*;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    function("map", |t, _| map_type(t), map)
        .aliases(&["map_from_arrays"])
        .doc(
            "map(keys, values) or map(key, value, ...)",
            "A map from an array of keys and one of values, or from pairs.",
            "SELECT map(ARRAY['a', 'b'], ARRAY[1, 2])",
            "{a=1, b=2}",
        ),
    function("map_from_entries", |t, _| from_entries_type(t), map_from_entries).doc(
        "map_from_entries(array)",
        "A map from an array of rows of key and value.",
        "SELECT map_from_entries(ARRAY[ROW('a', 1)])",
        "{a=1}",
    ),
    function("map_keys", |t, _| part_type(t, |key, _| key), |a| part(a, 0)).doc(
        "map_keys(map)",
        "The keys.",
        "SELECT map_keys(map(ARRAY['a'], ARRAY[1]))",
        "[a]",
    ),
    function("map_values", |t, _| part_type(t, |_, value| value), |a| part(a, 1)).doc(
        "map_values(map)",
        "The values.",
        "SELECT map_values(map(ARRAY['a'], ARRAY[1]))",
        "[1]",
    ),
    function("map_entries", |t, _| part_type(t, entry), map_entries).doc(
        "map_entries(map)",
        "An array of rows of key and value.",
        "SELECT cardinality(map_entries(map(ARRAY['a'], ARRAY[1])))",
        "1",
    ),
    function("map_concat", |t, _| concat_type(t), map_concat).doc(
        "map_concat(map, map, ...)",
        "The entries of all maps; the last value of a key wins.",
        "SELECT map_concat(map(ARRAY['a'], ARRAY[1]), map(ARRAY['a'], ARRAY[2]))",
        "{a=2}",
    ),
    function("map_contains_key", |t, _| contains_key_type(t), map_contains_key).doc(
        "map_contains_key(map, key)",
        "Whether the map has the key.",
        "SELECT map_contains_key(map(ARRAY['a'], ARRAY[1]), 'a')",
        "true",
    ),
    function("row", |t, _| row_type(t), |a| row(a, 0, 1))
        .aliases(&["struct"])
        .doc(
            "row(x, ...)",
            "A row of the values, with fields field0, field1 and so on.",
            "SELECT row(1, 'a')",
            "{field0=1, field1=a}",
        ),
    function("named_struct", named_struct_type, |a| row(a, 1, 2)).doc(
        "named_struct(name, x, ...)",
        "A row with named fields; names are literals.",
        "SELECT named_struct('a', 1, 'b', 'x')",
        "{a=1, b=x}",
    ),
];

// ---- Types ----

fn map_type(found: &[DataType]) -> Option<Signature> {
    if let [keys, values] = found
        && let (Some(key), Some(value)) = (element_type(keys), element_type(values))
    {
        return Some(Signature {
            arguments: vec![array_of(key.clone()), array_of(value.clone())],
            result: map_of(key, value),
        });
    }
    if !found.len().is_multiple_of(2) {
        return None;
    }
    let key = common_type_of(found.iter().step_by(2))?;
    let value = common_type_of(found.iter().skip(1).step_by(2))?;
    Some(Signature {
        arguments: (0..found.len())
            .map(|i| if i % 2 == 0 { key.clone() } else { value.clone() })
            .collect(),
        result: map_of(key, value),
    })
}

fn from_entries_type(found: &[DataType]) -> Option<Signature> {
    let [list] = found else { return None };
    let DataType::Struct(fields) = element_type(list)? else {
        return None;
    };
    let [key, value] = fields.as_ref() else { return None };
    Some(Signature {
        arguments: found.to_vec(),
        result: map_of(key.data_type().clone(), value.data_type().clone()),
    })
}

fn entry(key: DataType, value: DataType) -> DataType {
    row_of(vec![("field0".into(), key), ("field1".into(), value)])
}

/// A map; the result is an array of what `item` makes of its types.
fn part_type(found: &[DataType], item: impl Fn(DataType, DataType) -> DataType) -> Option<Signature> {
    let [map] = found else { return None };
    let (key, value) = entry_types(map)?;
    Some(Signature {
        arguments: found.to_vec(),
        result: array_of(item(key, value)),
    })
}

fn concat_type(found: &[DataType]) -> Option<Signature> {
    let common = common_type_of(found)?;
    entry_types(&common)?;
    Some(Signature {
        arguments: vec![common.clone(); found.len()],
        result: common,
    })
}

fn contains_key_type(found: &[DataType]) -> Option<Signature> {
    let [map, key] = found else { return None };
    let (map_key, _) = entry_types(map)?;
    coercion_distance(key, &map_key)?;
    Some(Signature {
        arguments: vec![map.clone(), map_key],
        result: BOOLEAN,
    })
}

fn row_type(found: &[DataType]) -> Option<Signature> {
    let fields = found
        .iter()
        .enumerate()
        .map(|(i, t)| (format!("field{i}"), t.clone()))
        .collect();
    (!found.is_empty()).then(|| Signature {
        arguments: found.to_vec(),
        result: row_of(fields),
    })
}

fn named_struct_type(found: &[DataType], constants: &[Option<ScalarValue>]) -> Option<Signature> {
    let fields = found
        .chunks(2)
        .enumerate()
        .map(|(i, pair)| {
            let name = super::datetime::literal_text(constants, 2 * i)?;
            Some((name.to_string(), pair.get(1)?.clone()))
        })
        .collect::<Option<Vec<_>>>()?;
    (!fields.is_empty()).then(|| Signature {
        arguments: found.to_vec(),
        result: row_of(fields),
    })
}

// ---- Code ----

fn map(a: &Arguments) -> Result<Column> {
    let from_arrays = a.count() == 2 && matches!(a.column(0)?.data_type(), DataType::List(_));
    if !from_arrays {
        return map_of_pairs(a);
    }
    let (keys, values) = (Nested::of(a, 0)?, Nested::of(a, 1)?);
    // Keys and values may lie differently in their children: both are gathered in the order of rows.
    let aligned = |nested: &Nested| -> Result<ArrayRef> {
        let mut positions = UInt32Builder::new();
        let nulls = a.nulls();
        for row in (0..a.work()).filter(|&row| !nulls.as_ref().is_some_and(|n| n.is_null(row))) {
            push_range(&mut positions, nested.range(row));
        }
        Ok(arrow::compute::take(nested.elements(), &positions.finish(), None)?)
    };
    let mut start = 0;
    a.maps(a.nulls(), &[&aligned(&keys)?], &[&aligned(&values)?], |row, out| {
        let (count, values) = (keys.range(row).len(), values.range(row).len());
        if count != values {
            return Err(Error::execution(format!("map of {count} keys and {values} values")));
        }
        push_range(out, start..start + count);
        start += count;
        Ok(Some(()))
    })
}

/// `map(k1, v1, k2, v2, …)`.
fn map_of_pairs(a: &Arguments) -> Result<Column> {
    let rows = a.work();
    let expanded = a
        .columns
        .iter()
        .map(|column| column.slice(0, rows).to_array())
        .collect::<Result<Vec<_>>>()?;
    let DataType::Map(..) = a.result_type else {
        return Err(Error::internal("map without a map type"));
    };
    let (key, value) = entry_types(a.result_type).unwrap_or((DataType::Null, DataType::Null));
    let (no_keys, no_values) = (new_empty_array(&key), new_empty_array(&value));
    let or_empty = |mut arrays: Vec<ArrayRef>, empty: ArrayRef| {
        arrays.push(empty);
        arrays
    };
    let keys = or_empty(expanded.iter().step_by(2).cloned().collect(), no_keys);
    let values = or_empty(expanded.iter().skip(1).step_by(2).cloned().collect(), no_values);
    let pairs = expanded.len() / 2;
    a.maps(
        None,
        &keys.iter().collect::<Vec<_>>(),
        &values.iter().collect::<Vec<_>>(),
        |row, out| {
            (0..pairs).for_each(|pair| out.append_value((pair * rows + row) as u32));
            Ok(Some(()))
        },
    )
}

fn map_from_entries(a: &Arguments) -> Result<Column> {
    let lists = Nested::of(a, 0)?;
    let (keys, values) = lists.entries()?;
    let entries = lists.elements();
    a.maps(a.nulls(), &[&keys], &[&values], |row, out| {
        let range = lists.range(row);
        if range.clone().any(|i| entries.is_null(i)) {
            return Err(Error::execution("map_from_entries of an entry that is NULL"));
        }
        push_range(out, range);
        Ok(Some(()))
    })
}

/// Keys (0) or values (1), sharing the children of the map.
fn part(a: &Arguments, which: usize) -> Result<Column> {
    let maps = a.read::<MapArray>(0)?.array;
    let child = if which == 0 { maps.keys() } else { maps.values() };
    let DataType::List(field) = a.result_type else {
        return Err(Error::internal("a part of a map that is not an array"));
    };
    let list = ListArray::try_new(
        field.clone(),
        maps.offsets().clone(),
        child.clone(),
        maps.nulls().cloned(),
    )?;
    Ok(a.finish(Arc::new(list)))
}

fn map_entries(a: &Arguments) -> Result<Column> {
    let maps = a.read::<MapArray>(0)?.array;
    let (DataType::List(field), Some(DataType::Struct(fields))) = (a.result_type, element_type(a.result_type)) else {
        return Err(Error::internal("map_entries without an array of rows"));
    };
    let rows = StructArray::try_new(fields, vec![maps.keys().clone(), maps.values().clone()], None)?;
    let list = ListArray::try_new(
        field.clone(),
        maps.offsets().clone(),
        Arc::new(rows),
        maps.nulls().cloned(),
    )?;
    Ok(a.finish(Arc::new(list)))
}

fn map_concat(a: &Arguments) -> Result<Column> {
    let maps = (0..a.count()).map(|i| Nested::of(a, i)).collect::<Result<Vec<_>>>()?;
    let entries = maps.iter().map(Nested::entries).collect::<Result<Vec<_>>>()?;
    let (keys, values): (Vec<&ArrayRef>, Vec<&ArrayRef>) = entries.iter().map(|(k, v)| (k, v)).unzip();
    let rows = encoded(&keys)?;
    a.maps(a.nulls(), &keys, &values, |row, out| {
        let mut start = 0;
        // Keys keep the place of their first appearance and get the value of their last.
        let mut places = hashbrown::HashMap::new();
        let mut chosen: Vec<u32> = vec![];
        for (map, keys) in maps.iter().zip(&rows) {
            for i in map.range(row) {
                let place = *places.entry(keys.row(i).data()).or_insert(chosen.len());
                let position = (start + i) as u32;
                match chosen.get_mut(place) {
                    Some(slot) => *slot = position,
                    None => chosen.push(position),
                }
            }
            start += map.elements().len();
        }
        out.append_slice(&chosen);
        Ok(Some(()))
    })
}

fn map_contains_key(a: &Arguments) -> Result<Column> {
    let maps = Nested::of(a, 0)?;
    let (keys, _) = maps.entries()?;
    let (wanted, constant) = a.column(1)?.as_array_or_single()?;
    let rows = encoded(&[&keys, &wanted])?;
    let [key_rows, wanted_rows] = rows.as_slice() else {
        return Err(Error::internal("keys were not encoded"));
    };
    a.booleans(|row| {
        let wanted = wanted_rows.row(if constant { 0 } else { row });
        Ok(Some(maps.range(row).any(|i| key_rows.row(i) == wanted)))
    })
}

/// A row of the arguments from `first` on, every `step`-th.
fn row(a: &Arguments, first: usize, step: usize) -> Result<Column> {
    let rows = a.work();
    let columns = a
        .columns
        .iter()
        .skip(first)
        .step_by(step)
        .map(|column| column.slice(0, rows).to_array())
        .collect::<Result<Vec<_>>>()?;
    let DataType::Struct(fields) = a.result_type else {
        return Err(Error::internal("row without a row type"));
    };
    Ok(a.finish(Arc::new(StructArray::try_new_with_length(
        fields.clone(),
        columns,
        None,
        rows,
    )?)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use crate::types::ScalarValue::{self, Boolean, Int64, Null};

    fn list(items: &[ScalarValue]) -> ScalarValue {
        call("array", items)
    }

    fn map(keys: &[&str], values: &[i64]) -> ScalarValue {
        let keys: Vec<_> = keys.iter().map(|k| text(k)).collect();
        let values: Vec<_> = values.iter().map(|v| Int64(*v)).collect();
        call("map", &[list(&keys), list(&values)])
    }

    #[test]
    fn keys_find_values() {
        let m = map(&["a", "b"], &[1, 2]);
        assert_eq!(call("subscript", &[m.clone(), text("b")]), Int64(2));
        assert_eq!(call("element_at", &[m.clone(), text("c")]), Null);
        assert!(error("subscript", &[m.clone(), text("c")]).contains("no key 'c'"));
        assert_eq!(call("map_contains_key", &[m.clone(), text("a")]), Boolean(true));
        assert_eq!(call("cardinality", std::slice::from_ref(&m)), Int64(2));
        assert_eq!(
            call("map_keys", std::slice::from_ref(&m)),
            list(&[text("a"), text("b")])
        );
        assert_eq!(
            call("map_values", std::slice::from_ref(&m)),
            list(&[Int64(1), Int64(2)])
        );
        assert_eq!(
            call("map_from_entries", &[call("map_entries", std::slice::from_ref(&m))]),
            m
        );
    }

    #[test]
    fn making() {
        assert!(error("map", &[list(&[text("a"), text("a")]), list(&[Int64(1), Int64(2)])]).contains("twice"));
        assert!(error("map", &[list(&[text("a")]), list(&[Int64(1), Int64(2)])]).contains("1 keys and 2 values"));
        assert_eq!(
            call("map", &[text("a"), Int64(1), text("b"), Int64(2)]),
            map(&["a", "b"], &[1, 2])
        );
        let joined = call("map_concat", &[map(&["a", "b"], &[1, 2]), map(&["b", "c"], &[3, 4])]);
        assert_eq!(joined, map(&["a", "b", "c"], &[1, 3, 4]));
        assert_eq!(call("cardinality", &[call("map", &[])]), Int64(0));
        assert_eq!(
            call("split_to_map", &[text("a=1,b=2"), text(","), text("=")]),
            call("map", &[text("a"), text("1"), text("b"), text("2")])
        );
    }
}
