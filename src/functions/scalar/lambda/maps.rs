//! Lambdas over the entries of maps.

use super::super::Documentation;
use super::super::nested::{Nested, encoded};
use super::super::typing::{BOOLEAN, entry_types};
use super::{Elements, LambdaArguments, LambdaFunction, LambdaSignature, optional_positions, signature};
use crate::error::{Error, Result};
use crate::types::{DataType, common_type, map_of};
use crate::vector::Column;
use arrow::array::*;
use arrow::compute::take;
use std::collections::HashMap;

pub(super) static FUNCTIONS: &[LambdaFunction] = &[
    LambdaFunction {
        name: "map_filter",
        aliases: &[],
        doc: Documentation {
            signature: "map_filter(map, (key, value) -> boolean)",
            summary: "The entries for which the lambda is true.",
            example: (
                "SELECT map_filter(MAP(ARRAY['a', 'b'], ARRAY[1, 2]), (k, v) -> v > 1)",
                "{b=2}",
            ),
        },
        typing: |t, lambdas| {
            let Some((key, value)) = one_map(t) else {
                return Ok(None);
            };
            match (lambdas.bind)(0, &[key, value])? {
                DataType::Boolean | DataType::Null => signature(t, BOOLEAN, t[0].clone()),
                _ => Ok(None),
            }
        },
        evaluate: map_filter,
    },
    LambdaFunction {
        name: "transform_keys",
        aliases: &[],
        doc: Documentation {
            signature: "transform_keys(map, (key, value) -> key)",
            summary: "The map with the lambda's value as the key of each entry.",
            example: (
                "SELECT transform_keys(MAP(ARRAY[1], ARRAY['a']), (k, v) -> k + 1)",
                "{2=a}",
            ),
        },
        typing: |t, lambdas| {
            let Some((key, value)) = one_map(t) else {
                return Ok(None);
            };
            let new = (lambdas.bind)(0, &[key, value.clone()])?;
            signature(t, new.clone(), map_of(new, value))
        },
        evaluate: |a| transformed(a, true),
    },
    LambdaFunction {
        name: "transform_values",
        aliases: &[],
        doc: Documentation {
            signature: "transform_values(map, (key, value) -> value)",
            summary: "The map with the lambda's value as the value of each entry.",
            example: (
                "SELECT transform_values(MAP(ARRAY['a'], ARRAY[1]), (k, v) -> k || CAST(v AS varchar))",
                "{a=a1}",
            ),
        },
        typing: |t, lambdas| {
            let Some((key, value)) = one_map(t) else {
                return Ok(None);
            };
            let new = (lambdas.bind)(0, &[key.clone(), value])?;
            signature(t, new.clone(), map_of(key, new))
        },
        evaluate: |a| transformed(a, false),
    },
    LambdaFunction {
        name: "map_zip_with",
        aliases: &[],
        doc: Documentation {
            signature: "map_zip_with(map, map, (key, value, value) -> value)",
            summary: "The keys of both maps with the lambda's value for each; NULL stands for the value of a key that a map lacks.",
            example: (
                "SELECT map_zip_with(MAP(ARRAY['a'], ARRAY[1]), MAP(ARRAY['a'], ARRAY[2]), (k, v, w) -> v + w)",
                "{a=3}",
            ),
        },
        typing: |t, lambdas| {
            let [left, right] = t else { return Ok(None) };
            let (Some((a, v)), Some((b, w))) = (entry_types(left), entry_types(right)) else {
                return Ok(None);
            };
            let Some(key) = common_type(&a, &b) else {
                return Ok(None);
            };
            let new = (lambdas.bind)(0, &[key.clone(), v.clone(), w.clone()])?;
            Ok(Some(LambdaSignature {
                arguments: vec![map_of(key.clone(), v), map_of(key.clone(), w)],
                lambdas: vec![new.clone()],
                result: map_of(key, new),
            }))
        },
        evaluate: map_zip_with,
    },
];

fn one_map(found: &[DataType]) -> Option<(DataType, DataType)> {
    match found {
        [map] => entry_types(map),
        _ => None,
    }
}

/// The entries of the maps in argument 0, and the lambda's value for each.
struct Called {
    maps: Nested,
    entries: Elements,
    keys: ArrayRef,
    values: ArrayRef,
    result: ArrayRef,
}

fn called(a: &LambdaArguments) -> Result<Called> {
    let maps = Nested::of(&a.values, 0)?;
    let entries = Elements::of(&a.values, &maps)?;
    let (keys, values) = maps.entries()?;
    let (keys, values) = (entries.take(&keys)?, entries.take(&values)?);
    let result = a.lambda(0)?.call(&entries.rows, vec![keys.clone(), values.clone()])?;
    Ok(Called {
        maps,
        entries,
        keys,
        values,
        result,
    })
}

fn map_filter(a: &LambdaArguments) -> Result<Column> {
    let c = called(a)?;
    let kept = c.result.as_boolean_opt();
    let kept = kept.ok_or_else(|| Error::internal("a lambda that is a condition has no truth values"))?;
    let (keys, values) = c.maps.entries()?;
    a.values
        .maps(c.entries.nulls.clone(), &[&keys], &[&values], |row, out| {
            let kept = c.entries.range(row).filter(|&i| kept.is_valid(i) && kept.value(i));
            kept.for_each(|i| out.append_value(c.entries.positions.value(i)));
            Ok(Some(()))
        })
}

fn transformed(a: &LambdaArguments, keys: bool) -> Result<Column> {
    let c = called(a)?;
    let (keys, values) = if keys {
        (&c.result, &c.values)
    } else {
        (&c.keys, &c.result)
    };
    a.values.maps(c.entries.nulls.clone(), &[keys], &[values], |row, out| {
        c.entries.range(row).for_each(|i| out.append_value(i as u32));
        Ok(Some(()))
    })
}

fn map_zip_with(a: &LambdaArguments) -> Result<Column> {
    let (left, right) = (Nested::of(&a.values, 0)?, Nested::of(&a.values, 1)?);
    let (left_keys, left_values) = left.entries()?;
    let (right_keys, right_values) = right.entries()?;
    let codes = encoded(&[&left_keys, &right_keys])?;
    let [left_codes, right_codes] = codes.as_slice() else {
        return Err(Error::internal("keys without codes"));
    };
    let nulls = a.values.nulls();
    // The row of each key, where it is in both maps, and how many keys the rows have.
    let (mut rows, mut pairs, mut lengths) = (vec![], vec![], vec![]);
    for row in 0..a.values.work() {
        let before = rows.len();
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            let mut others: HashMap<&[u8], usize> = right.range(row).map(|i| (right_codes.row(i).data(), i)).collect();
            pairs.extend(
                left.range(row)
                    .map(|i| (Some(i), others.remove(left_codes.row(i).data()))),
            );
            let alone = right
                .range(row)
                .filter(|&i| others.contains_key(right_codes.row(i).data()));
            pairs.extend(alone.map(|i| (None, Some(i))));
            rows.resize(pairs.len(), row as u32);
        }
        lengths.push(before..rows.len());
    }
    let side = |child: &ArrayRef, side: fn(&(Option<usize>, Option<usize>)) -> Option<usize>| {
        take(
            child,
            &optional_positions(pairs.iter().map(|p| side(p).map(|i| i as u32))),
            None,
        )
    };
    let from_left = side(&left_keys, |p| p.0)?;
    let from_right = side(&right_keys, |p| p.1)?;
    let is_left = BooleanArray::from_iter(pairs.iter().map(|(l, _)| Some(l.is_some())));
    let keys = arrow::compute::kernels::zip::zip(&is_left, &from_left, &from_right)?;
    let parameters = vec![
        keys.clone(),
        side(&left_values, |p| p.0)?,
        side(&right_values, |p| p.1)?,
    ];
    let values = a.lambda(0)?.call(&rows, parameters)?;
    a.values.maps(nulls, &[&keys], &[&values], |row, out| {
        lengths[row].clone().for_each(|i| out.append_value(i as u32));
        Ok(Some(()))
    })
}
