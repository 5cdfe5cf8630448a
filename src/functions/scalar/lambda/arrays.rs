//! Lambdas over the elements of arrays.

use super::super::Documentation;
use super::super::arguments::offset_of;
use super::super::nested::Nested;
use super::super::typing::BOOLEAN;
use super::{Elements, LambdaArguments, LambdaFunction, LambdaSignature, LambdaTypes, optional_positions, signature};
use crate::error::{Error, Result};
use crate::types::{DataType, array_of};
use crate::vector::Column;
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[LambdaFunction] = &[
    LambdaFunction {
        name: "transform",
        aliases: &[],
        doc: Documentation {
            signature: "transform(array, x -> y)",
            summary: "An array with the lambda's value for each element.",
            example: (
                "SELECT transform(ARRAY[5, NULL, 6], x -> coalesce(x, 0) + 1)",
                "[6, 1, 7]",
            ),
        },
        typing: |t, lambdas| {
            let [Some(element)] = elements(t)[..] else {
                return Ok(None);
            };
            let value = (lambdas.bind)(0, std::slice::from_ref(element))?;
            signature(t, value.clone(), array_of(value))
        },
        evaluate: transform,
    },
    LambdaFunction {
        name: "filter",
        aliases: &[],
        doc: Documentation {
            signature: "filter(array, x -> boolean)",
            summary: "The elements for which the lambda is true.",
            example: ("SELECT filter(ARRAY[5, -6, NULL, 7], x -> x > 0)", "[5, 7]"),
        },
        typing: |t, lambdas| condition(t, lambdas, t.first().cloned().unwrap_or(DataType::Null)),
        evaluate: filter,
    },
    LambdaFunction {
        name: "any_match",
        aliases: &[],
        doc: Documentation {
            signature: "any_match(array, x -> boolean)",
            summary: "Whether the lambda is true for some element; NULL when it is for none and NULL for some.",
            example: ("SELECT any_match(ARRAY[1, 2], x -> x > 1)", "true"),
        },
        typing: |t, lambdas| condition(t, lambdas, BOOLEAN),
        evaluate: |a| {
            matches(a, |some_true, _, some_null| match (some_true, some_null) {
                (true, _) => Some(true),
                (false, true) => None,
                (false, false) => Some(false),
            })
        },
    },
    LambdaFunction {
        name: "all_match",
        aliases: &["forall"],
        doc: Documentation {
            signature: "all_match(array, x -> boolean)",
            summary: "Whether the lambda is true for all elements; NULL when it is false for none and NULL for some.",
            example: ("SELECT all_match(ARRAY[1, 2], x -> x > 1)", "false"),
        },
        typing: |t, lambdas| condition(t, lambdas, BOOLEAN),
        evaluate: |a| {
            matches(a, |_, some_false, some_null| match (some_false, some_null) {
                (true, _) => Some(false),
                (false, true) => None,
                (false, false) => Some(true),
            })
        },
    },
    LambdaFunction {
        name: "none_match",
        aliases: &[],
        doc: Documentation {
            signature: "none_match(array, x -> boolean)",
            summary: "Whether the lambda is true for no element; NULL when it is for none and NULL for some.",
            example: ("SELECT none_match(ARRAY[1, 2], x -> x > 2)", "true"),
        },
        typing: |t, lambdas| condition(t, lambdas, BOOLEAN),
        evaluate: |a| {
            matches(a, |some_true, _, some_null| match (some_true, some_null) {
                (true, _) => Some(false),
                (false, true) => None,
                (false, false) => Some(true),
            })
        },
    },
    LambdaFunction {
        name: "zip_with",
        aliases: &[],
        doc: Documentation {
            signature: "zip_with(array, array, (x, y) -> z)",
            summary: "An array with the lambda's value for each pair of elements; the shorter array is filled up with NULLs.",
            example: (
                "SELECT zip_with(ARRAY[1, 2], ARRAY['a', 'b'], (x, y) -> y || CAST(x AS varchar))",
                "[a1, b2]",
            ),
        },
        typing: |t, lambdas| {
            let [Some(left), Some(right)] = elements(t)[..] else {
                return Ok(None);
            };
            let value = (lambdas.bind)(0, &[left.clone(), right.clone()])?;
            signature(t, value.clone(), array_of(value))
        },
        evaluate: zip_with,
    },
];

/// The types of the elements of arguments that are arrays.
fn elements(found: &[DataType]) -> Vec<Option<&DataType>> {
    found
        .iter()
        .map(|t| match t {
            DataType::List(field) => Some(field.data_type()),
            _ => None,
        })
        .collect()
}

/// An array and a condition on its elements.
fn condition(found: &[DataType], lambdas: &mut LambdaTypes, result: DataType) -> Result<Option<LambdaSignature>> {
    let [Some(element)] = elements(found)[..] else {
        return Ok(None);
    };
    match (lambdas.bind)(0, std::slice::from_ref(element))? {
        DataType::Boolean | DataType::Null => signature(found, BOOLEAN, result),
        _ => Ok(None),
    }
}

/// The list of `values` with the layout of the elements they were made of.
fn list_of(
    a: &LambdaArguments,
    offsets: OffsetBuffer<i32>,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<Column> {
    let DataType::List(field) = a.values.result_type else {
        return Err(Error::internal("a function that makes arrays promised something else"));
    };
    let list = ListArray::try_new(field.clone(), offsets, values, nulls)?;
    Ok(a.values.finish(Arc::new(list)))
}

fn transform(a: &LambdaArguments) -> Result<Column> {
    let lists = Nested::of(&a.values, 0)?;
    let elements = Elements::of(&a.values, &lists)?;
    let values = a
        .lambda(0)?
        .call(&elements.rows, vec![elements.take(lists.elements())?])?;
    list_of(a, elements.offsets, values, elements.nulls)
}

/// The lambda's truth value for each element.
fn conditions(a: &LambdaArguments, lists: &Nested) -> Result<(Elements, BooleanArray)> {
    let elements = Elements::of(&a.values, lists)?;
    let values = a
        .lambda(0)?
        .call(&elements.rows, vec![elements.take(lists.elements())?])?;
    let values = values.as_boolean_opt().cloned();
    let values = values.ok_or_else(|| Error::internal("a lambda that is a condition has no truth values"))?;
    Ok((elements, values))
}

fn filter(a: &LambdaArguments) -> Result<Column> {
    let lists = Nested::of(&a.values, 0)?;
    let (elements, kept) = conditions(a, &lists)?;
    let kept = |i: &usize| kept.is_valid(*i) && kept.value(*i);
    a.values
        .lists_unless(elements.nulls.clone(), &[lists.elements()], |row, out| {
            elements
                .range(row)
                .filter(kept)
                .for_each(|i| out.append_value(elements.positions.value(i)));
            Ok(Some(()))
        })
}

/// A truth value for each array, of whether some conditions are true, some false, some NULL.
fn matches(a: &LambdaArguments, verdict: fn(bool, bool, bool) -> Option<bool>) -> Result<Column> {
    let lists = Nested::of(&a.values, 0)?;
    let (elements, found) = conditions(a, &lists)?;
    a.values.booleans(|row| {
        let (mut some_true, mut some_false, mut some_null) = (false, false, false);
        for i in elements.range(row) {
            match found.is_valid(i).then(|| found.value(i)) {
                Some(true) => some_true = true,
                Some(false) => some_false = true,
                None => some_null = true,
            }
        }
        Ok(verdict(some_true, some_false, some_null))
    })
}

fn zip_with(a: &LambdaArguments) -> Result<Column> {
    let (left, right) = (Nested::of(&a.values, 0)?, Nested::of(&a.values, 1)?);
    let nulls = a.values.nulls();
    let (mut rows, mut offsets, mut pairs) = (vec![], vec![0], vec![]);
    for row in 0..a.values.work() {
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            let (l, r) = (left.range(row), right.range(row));
            for i in 0..l.len().max(r.len()) {
                pairs.push((l.clone().nth(i), r.clone().nth(i)));
                rows.push(row as u32);
            }
        }
        offsets.push(offset_of(rows.len())?);
    }
    let side = |child: &ArrayRef, side: fn(&(Option<usize>, Option<usize>)) -> Option<usize>| {
        let positions = optional_positions(pairs.iter().map(|p| side(p).map(|i| i as u32)));
        take(child, &positions, None)
    };
    let parameters = vec![side(left.elements(), |p| p.0)?, side(right.elements(), |p| p.1)?];
    let values = a.lambda(0)?.call(&rows, parameters)?;
    list_of(a, OffsetBuffer::new(offsets.into()), values, nulls)
}
