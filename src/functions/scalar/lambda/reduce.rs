//! `reduce`: a state that takes up one element after the other. The arrays of all rows go on together, step by step.

use super::super::Documentation;
use super::super::nested::Nested;
use super::{LambdaArguments, LambdaFunction, LambdaSignature, LambdaTypes, optional_positions};
use crate::error::{Error, Result};
use crate::types::{DataType, DecimalType, common_type, decimal_type, is_decimal, type_name};
use crate::vector::Column;
use arrow::array::*;
use arrow::compute::{interleave, take};

/// How often the state may become wider before the types are called inconsistent.
const MAX_ROUNDS: usize = 4;

pub(super) static FUNCTIONS: &[LambdaFunction] = &[LambdaFunction {
    name: "reduce",
    aliases: &["aggregate"],
    doc: Documentation {
        signature: "reduce(array, start, (state, x) -> state[, state -> result])",
        summary: "What is left when the first lambda has taken up each element in turn, as the second lambda shows it.",
        example: ("SELECT reduce(ARRAY[5, 20, 50], 0, (s, x) -> s + x, s -> s)", "75"),
    },
    typing: reduce_type,
    evaluate: reduce,
}];

fn reduce_type(found: &[DataType], lambdas: &mut LambdaTypes) -> Result<Option<LambdaSignature>> {
    let [list @ DataType::List(element), start] = found else {
        return Ok(None);
    };
    let state = state_type(start, |state| {
        (lambdas.bind)(0, &[state.clone(), element.data_type().clone()])
    })?;
    // Without a second lambda the state is the result.
    let result = match lambdas.count {
        1 => None,
        _ => Some((lambdas.bind)(1, std::slice::from_ref(&state))?),
    };
    let types = std::iter::once(state.clone()).chain(result.clone());
    Ok(Some(LambdaSignature {
        lambdas: types.collect(),
        result: result.unwrap_or_else(|| state.clone()),
        arguments: vec![list.clone(), state],
    }))
}

/// The type that holds the start and all that the lambda makes of it.
fn state_type(start: &DataType, mut step: impl FnMut(&DataType) -> Result<DataType>) -> Result<DataType> {
    let mut state = start.clone();
    for _ in 0..MAX_ROUNDS {
        let next = step(&state)?;
        let wider = match (DecimalType::of(&state), DecimalType::of(&next)) {
            // A sum of decimals has one digit more each time.
            (Some(a), Some(b)) if is_decimal(&next) && next != state => decimal_type(38, a.scale.max(b.scale)),
            _ => common_type(&state, &next).ok_or_else(|| not_one_type(&state, &next))?,
        };
        if wider == state {
            return Ok(state);
        }
        state = wider;
    }
    Err(not_one_type(start, &state))
}

fn not_one_type(state: &DataType, next: &DataType) -> Error {
    Error::plan(format!(
        "the state of reduce is {} at the start and {} after a step",
        type_name(state),
        type_name(next)
    ))
    .with_hint("cast the start, or what the lambda gives, to one type")
}

fn reduce(a: &LambdaArguments) -> Result<Column> {
    let lists = Nested::of(&a.values, 0)?;
    let step = a.lambda(0)?;
    let rows: Vec<u32> = (0..a.values.work())
        .filter(|&row| !lists.is_null(row))
        .map(|row| row as u32)
        .collect();
    let mut state = a.values.column(1)?.gather(&rows)?.to_array()?;
    // The rows that have elements left, as positions in `rows`, in the order of `state`.
    let mut open: Vec<u32> = (0..rows.len() as u32).collect();
    let mut finished: Vec<ArrayRef> = vec![];
    let mut places = vec![(0, 0); rows.len()];
    for taken in 0.. {
        let length = |&i: &u32| lists.range(rows[i as usize] as usize).len();
        let (going, done): (Vec<usize>, Vec<usize>) = (0..open.len()).partition(|&i| length(&open[i]) > taken);
        if !done.is_empty() {
            for &i in &done {
                places[open[i] as usize] = (finished.len(), i);
            }
            finished.push(state.clone());
            state = take(&state, &optional_positions(going.iter().map(|&i| Some(i as u32))), None)?;
            open = going.iter().map(|&i| open[i]).collect();
        }
        if open.is_empty() {
            break;
        }
        let own: Vec<u32> = open.iter().map(|&i| rows[i as usize]).collect();
        let elements = own
            .iter()
            .map(|&row| Some((lists.range(row as usize).start + taken) as u32));
        let elements = take(lists.elements(), &optional_positions(elements), None)?;
        state = step.call(&own, vec![state, elements])?;
    }
    let result = match finished.is_empty() {
        true => state,
        false => interleave(&finished.iter().map(|p| p.as_ref()).collect::<Vec<_>>(), &places)?,
    };
    let result = match a.lambdas.len() {
        1 => result,
        _ => a.lambda(1)?.call(&rows, vec![result])?,
    };
    let mut next = 0..;
    let positions = (0..a.values.work()).map(|row| if lists.is_null(row) { None } else { next.next() });
    Ok(a.values.finish(take(&result, &optional_positions(positions), None)?))
}
