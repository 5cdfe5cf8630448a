//! Arrays made out of other values: literals, sequences, runs and choices of elements.

use super::array::nested_type;
use super::nested::{MAX_GENERATED, Nested};
use super::typing::{BIGINT, DATE, coercion_distance, element_type};
use super::{Arguments, ScalarFunction, Signature, calendar, function};
use crate::error::{Error, Result};
use crate::types::{DataType, INTERVAL_DAY, INTERVAL_MONTH, array_of, common_type, common_type_of, is_integer};
use crate::vector::Column;
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::*;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    // Making.
    function("array", |t, _| array_type(t), array).doc(
        "array(x, ...) or ARRAY[x, ...]",
        "An array of the values.",
        "SELECT ARRAY[1, 2, 3]",
        "[1, 2, 3]",
    ),
    function("sequence", |t, _| sequence_type(t), sequence).doc(
        "sequence(start, stop[, step])",
        "Numbers, dates or timestamps from start to stop.",
        "SELECT sequence(1, 9, 4)",
        "[1, 5, 9]",
    ),
    function("repeat", |t, _| repeat_type(t), repeat)
        .aliases(&["array_repeat"])
        .doc(
            "repeat(x, n)",
            "An array of n times the same value.",
            "SELECT repeat(7, 3)",
            "[7, 7, 7]",
        ),
    function("ngrams", |t, _| nested_type(t), |a| runs(a, "ngrams", ngrams)).doc(
        "ngrams(array, n)",
        "All runs of n elements next to each other.",
        "SELECT ngrams(ARRAY[1, 2, 3], 2)",
        "[[1, 2], [2, 3]]",
    ),
    function(
        "combinations",
        |t, _| nested_type(t),
        |a| runs(a, "combinations", combinations),
    )
    .doc(
        "combinations(array, n)",
        "All choices of n elements, n up to 5.",
        "SELECT combinations(ARRAY[1, 2, 3], 2)",
        "[[1, 2], [1, 3], [2, 3]]",
    ),
];

fn array_type(found: &[DataType]) -> Option<Signature> {
    let item = common_type_of(found)?;
    Some(Signature {
        arguments: vec![item.clone(); found.len()],
        result: array_of(item),
    })
}

fn repeat_type(found: &[DataType]) -> Option<Signature> {
    let [x, n] = found else { return None };
    coercion_distance(n, &BIGINT)?;
    Some(Signature {
        arguments: vec![x.clone(), BIGINT],
        result: array_of(x.clone()),
    })
}

fn sequence_type(found: &[DataType]) -> Option<Signature> {
    let (start, stop, step) = match found {
        [start, stop] => (start, stop, None),
        [start, stop, step] => (start, stop, Some(step)),
        _ => return None,
    };
    let common = common_type(start, stop)?;
    let (item, step) = match (&common, step) {
        (t, step) if is_integer(t) || *t == DataType::Null => {
            step.map_or(Some(0), |s| coercion_distance(s, &BIGINT))?;
            (BIGINT, step.map(|_| BIGINT))
        }
        (DataType::Date32 | DataType::Timestamp(_, None), Some(step))
            if [INTERVAL_DAY, INTERVAL_MONTH].contains(step) =>
        {
            (common, Some(step.clone()))
        }
        (DataType::Date32, None) => (DATE, None),
        _ => return None,
    };
    Some(Signature {
        arguments: [item.clone(), item.clone()].into_iter().chain(step).collect(),
        result: array_of(item),
    })
}

// ---- Making ----

fn array(a: &Arguments) -> Result<Column> {
    let parts = a
        .columns
        .iter()
        .map(Column::as_array_or_single)
        .collect::<Result<Vec<_>>>()?;
    let empty = new_empty_array(&super::typing::element_type(a.result_type).unwrap_or(DataType::Null));
    let mut sources: Vec<&ArrayRef> = parts.iter().map(|(array, _)| array).collect();
    let starts: Vec<(usize, bool)> = parts
        .iter()
        .scan(0, |next, (array, constant)| {
            let start = *next;
            *next += array.len();
            Some((start, *constant))
        })
        .collect();
    if sources.is_empty() {
        sources.push(&empty);
    }
    a.lists_unless(None, &sources, |row, out| {
        for (start, constant) in &starts {
            out.append_value((start + if *constant { 0 } else { row }) as u32);
        }
        Ok(Some(()))
    })
}

fn too_many(function: &str, count: impl std::fmt::Display) -> Error {
    Error::execution(format!(
        "{function} of {count} elements, at most {MAX_GENERATED} in one batch"
    ))
}

fn repeat(a: &Arguments) -> Result<Column> {
    let (value, constant) = a.column(0)?.as_array_or_single()?;
    let count = a.integers_of(1)?;
    let nulls = match count.is_constant() {
        true => count.is_null(0).then(|| NullBuffer::new_null(a.work())),
        false => count.array.nulls().cloned(),
    };
    a.lists_unless(nulls, &[&value], |row, out| {
        let count = count.get(row);
        let fits = usize::try_from(count.max(0))
            .ok()
            .filter(|n| out.len().saturating_add(*n) <= MAX_GENERATED);
        let position = if constant { 0 } else { row };
        out.append_value_n(position as u32, fits.ok_or_else(|| too_many("repeat", count))?);
        Ok(Some(()))
    })
}

fn sequence(a: &Arguments) -> Result<Column> {
    let nulls = a.nulls();
    let (mut values, mut offsets) = (Vec::<i64>::new(), vec![0i32]);
    let next = steps(a)?;
    for row in 0..a.work() {
        if !nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            next(row, &mut values)?;
        }
        offsets.push(super::arguments::offset_of(values.len())?);
    }
    let item = element_type(a.result_type).unwrap_or(BIGINT);
    let child: ArrayRef = match item {
        DataType::Date32 => Arc::new(Date32Array::from_iter_values(values.into_iter().map(|v| v as i32))),
        DataType::Timestamp(..) => Arc::new(TimestampMicrosecondArray::from(values)),
        _ => Arc::new(Int64Array::from(values)),
    };
    let field = Arc::new(Field::new("item", item, true));
    let list = ListArray::try_new(field, OffsetBuffer::new(offsets.into()), child, nulls)?;
    Ok(a.finish(Arc::new(list)))
}

type Steps = Box<dyn Fn(usize, &mut Vec<i64>) -> Result<()>>;

/// How the sequence of a row is written, for the types of the arguments.
fn steps(a: &Arguments) -> Result<Steps> {
    let (start, stop) = (numbers_of(a, 0)?, numbers_of(a, 1)?);
    let Ok(step) = a.column(2) else {
        return Ok(Box::new(move |row, out| {
            let (start, stop) = (start(row), stop(row));
            write_steps(start, stop, if start <= stop { 1 } else { -1 }, out)
        }));
    };
    let is_date = a.column(0)?.data_type() == &DATE;
    let step_type = step.data_type().clone();
    let step = numbers_of(a, 2)?;
    if step_type == INTERVAL_MONTH {
        return Ok(Box::new(move |row, out| {
            write_months(start(row), stop(row), step(row), is_date, out)
        }));
    }
    Ok(Box::new(move |row, out| {
        let step = match is_date {
            true if step(row) % calendar::MICROS_PER_DAY != 0 => {
                return Err(Error::execution("sequence of dates with a step that is not whole days"));
            }
            true => step(row) / calendar::MICROS_PER_DAY,
            false => step(row),
        };
        write_steps(start(row), stop(row), step, out)
    }))
}

/// Argument `i` as whole numbers: days, microseconds or months where it is not a number itself.
fn numbers_of(a: &Arguments, i: usize) -> Result<Box<dyn Fn(usize) -> i64>> {
    Ok(match a.column(i)?.data_type() {
        DataType::Date32 => {
            let values = a.read::<Date32Array>(i)?;
            Box::new(move |row| values.get(row) as i64)
        }
        DataType::Timestamp(..) => {
            let values = a.read::<TimestampMicrosecondArray>(i)?;
            Box::new(move |row| values.get(row))
        }
        DataType::Duration(_) => {
            let values = a.read::<DurationMicrosecondArray>(i)?;
            Box::new(move |row| values.get(row))
        }
        DataType::Interval(_) => {
            let values = a.read::<IntervalYearMonthArray>(i)?;
            Box::new(move |row| values.get(row) as i64)
        }
        _ => {
            let values = a.integers_of(i)?;
            Box::new(move |row| values.get(row))
        }
    })
}

fn check_direction(start: i64, stop: i64, step: i64) -> Result<()> {
    let fits = if start <= stop { step > 0 } else { step < 0 };
    match fits || start == stop && step != 0 {
        true => Ok(()),
        false => Err(Error::execution(format!(
            "sequence from {start} to {stop} with step {step} never arrives"
        ))),
    }
}

fn write_steps(start: i64, stop: i64, step: i64, out: &mut Vec<i64>) -> Result<()> {
    check_direction(start, stop, step)?;
    let count = (stop as i128 - start as i128) / step as i128 + 1;
    if count + out.len() as i128 > MAX_GENERATED as i128 {
        return Err(too_many("sequence", count));
    }
    out.extend((0..count as i64).map(|i| start.wrapping_add(i.wrapping_mul(step))));
    Ok(())
}

fn write_months(start: i64, stop: i64, months: i64, is_date: bool, out: &mut Vec<i64>) -> Result<()> {
    check_direction(start, stop, months)?;
    let (day, time) = match is_date {
        true => (start as i32, 0),
        false => calendar::split_micros(start),
    };
    for i in 0.. {
        let Some(day) = calendar::add_months(day, months.saturating_mul(i)) else {
            break;
        };
        let value = match is_date {
            true => day as i64,
            false => day as i64 * calendar::MICROS_PER_DAY + time,
        };
        if if months > 0 { value > stop } else { value < stop } {
            break;
        }
        if out.len() >= MAX_GENERATED {
            return Err(too_many("sequence", out.len()));
        }
        out.push(value);
    }
    Ok(())
}

/// Writes the positions of several arrays made of elements of one: calls `emit` with each.
type Choose = fn(std::ops::Range<usize>, usize, &mut dyn FnMut(&[u32]) -> Result<()>) -> Result<()>;

fn runs(a: &Arguments, name: &str, choose: Choose) -> Result<Column> {
    let (lists, size) = (Nested::of(a, 0)?, a.integers_of(1)?);
    let nulls = a.nulls();
    let mut positions = Vec::<u32>::new();
    let (mut inner, mut outer) = (vec![0i32], vec![0i32]);
    for row in 0..a.work() {
        if !nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            let size = usize::try_from(size.get(row))
                .ok()
                .filter(|n| *n > 0 || name == "combinations");
            let size = size.ok_or_else(|| Error::execution(format!("{name} of a size below 1")))?;
            choose(lists.range(row), size, &mut |chosen| {
                if positions.len() + chosen.len() > MAX_GENERATED {
                    return Err(too_many(name, positions.len() + chosen.len()));
                }
                positions.extend_from_slice(chosen);
                inner.push(super::arguments::offset_of(positions.len())?);
                Ok(())
            })?;
        }
        outer.push(super::arguments::offset_of(inner.len() - 1)?);
    }
    let items = arrow::compute::take(lists.elements(), &UInt32Array::from(positions), None)?;
    let (DataType::List(outer_field), Some(DataType::List(inner_field))) = (a.result_type, element_type(a.result_type))
    else {
        return Err(Error::internal(format!("{name} without an array of arrays")));
    };
    let inner = ListArray::try_new(inner_field, OffsetBuffer::new(inner.into()), items, None)?;
    let outer = ListArray::try_new(
        outer_field.clone(),
        OffsetBuffer::new(outer.into()),
        Arc::new(inner),
        nulls,
    )?;
    Ok(a.finish(Arc::new(outer)))
}

/// Runs of `size` neighbours; the whole array when it is shorter.
fn ngrams(range: std::ops::Range<usize>, size: usize, emit: &mut dyn FnMut(&[u32]) -> Result<()>) -> Result<()> {
    let all: Vec<u32> = range.map(|i| i as u32).collect();
    match all.len() <= size {
        true => emit(&all),
        false => all.windows(size).try_for_each(emit),
    }
}

/// Choices of `size` elements, in the order of their positions.
fn combinations(range: std::ops::Range<usize>, size: usize, emit: &mut dyn FnMut(&[u32]) -> Result<()>) -> Result<()> {
    if size > 5 {
        return Err(Error::execution(format!("combinations of {size} elements, at most 5")));
    }
    fn choose(
        from: u32,
        end: u32,
        left: usize,
        chosen: &mut Vec<u32>,
        emit: &mut dyn FnMut(&[u32]) -> Result<()>,
    ) -> Result<()> {
        if left == 0 {
            return emit(chosen);
        }
        for next in from..end {
            chosen.push(next);
            choose(next + 1, end, left - 1, chosen, emit)?;
            chosen.pop();
        }
        Ok(())
    }
    choose(range.start as u32, range.end as u32, size, &mut vec![], emit)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error};
    use super::*;
    use crate::types::ScalarValue::{self, Date, Int32, Int64, IntervalMicros, IntervalMonths};

    fn list(items: &[ScalarValue]) -> ScalarValue {
        call("array", items)
    }

    fn numbers(items: &[i64]) -> ScalarValue {
        list(&items.iter().map(|i| Int64(*i)).collect::<Vec<_>>())
    }

    #[test]
    fn sequences() {
        assert_eq!(call("sequence", &[Int32(3), Int32(1)]), numbers(&[3, 2, 1]));
        assert_eq!(call("sequence", &[Int32(1), Int32(6), Int32(2)]), numbers(&[1, 3, 5]));
        assert!(error("sequence", &[Int32(1), Int64(1 << 40)]).contains("at most"));
        assert!(error("sequence", &[Int32(1), Int32(2), Int32(-1)]).contains("never arrives"));
        let january = calendar::days_of(2024, 1, 31) as i32;
        let months = call("sequence", &[Date(january), Date(january + 61), IntervalMonths(1)]);
        assert_eq!(months, list(&[Date(january), Date(january + 29), Date(january + 60)]));
        let weeks = [Date(0), Date(14), IntervalMicros(7 * calendar::MICROS_PER_DAY)];
        assert_eq!(call("cardinality", &[call("sequence", &weeks)]), Int64(3));
    }
}
