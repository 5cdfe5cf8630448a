//! Dates, times and timestamps plus and minus intervals; intervals among themselves and times numbers.

use super::arithmetic::Arithmetic;
use super::calendar::{MICROS_PER_DAY, Zone, add_months, add_months_micros};
use super::operand::{Operand, is_valid, primitive_array, union_nulls};
use crate::error::{Error, Result};
use crate::types::{DataType, is_numeric, type_name};
use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, types::*};
use arrow::datatypes::{IntervalUnit, TimeUnit};

const MONTHS: DataType = DataType::Interval(IntervalUnit::YearMonth);
const MICROS: DataType = DataType::Duration(TimeUnit::Microsecond);

/// `left op right` where at least one side is a date, time, timestamp or interval.
///
/// # Errors
/// Results outside the range of their type; a date plus an interval that is not whole days.
pub fn temporal_arithmetic(
    op: Arithmetic,
    left: &Operand,
    right: &Operand,
    result: &DataType,
    rows: usize,
) -> Result<ArrayRef> {
    use Arithmetic::*;
    use DataType::*;
    let pair = Pair {
        op,
        left,
        right,
        result,
        rows,
    };
    match (left.data_type(), op, right.data_type()) {
        (Interval(_) | Duration(_), Add, Date32 | Timestamp(..) | Time64(_)) => {
            temporal_arithmetic(op, right, left, result, rows)
        }
        (Date32, Add | Subtract, Interval(_)) if *result == Date32 => {
            let sign = pair.sign();
            pair.compute::<Date32Type, IntervalYearMonthType, Date32Type>(|d, m| add_months(d, m.checked_mul(sign)?))
        }
        (Date32, Add | Subtract, Duration(_)) if *result == Date32 => add_days(&pair),
        (Date32, Subtract, Date32) => pair.compute::<Date32Type, Date32Type, DurationMicrosecondType>(|a, b| {
            (i64::from(a) - i64::from(b)).checked_mul(MICROS_PER_DAY)
        }),
        (Date32, Add | Subtract, _) => {
            let left = Operand {
                array: super::cast::cast_array(&left.array, result, false)?,
                constant: left.constant,
            };
            temporal_arithmetic(op, &left, right, result, rows)
        }
        (Timestamp(_, None), Add | Subtract, Interval(_)) => {
            let sign = pair.sign();
            pair.compute::<TimestampMicrosecondType, IntervalYearMonthType, TimestampMicrosecondType>(|t, m| {
                add_months_micros(t, m.checked_mul(sign)?)
            })
        }
        (Timestamp(_, Some(zone)), Add | Subtract, Interval(_)) => {
            let (sign, zone) = (pair.sign(), Zone::parse(zone)?);
            pair.compute::<TimestampMicrosecondType, IntervalYearMonthType, TimestampMicrosecondType>(|t, m| {
                zone.utc_from_local(add_months_micros(zone.local_from_utc(t)?, m.checked_mul(sign)?)?)
            })
        }
        (Timestamp(..), Add, Duration(_)) => pair
            .compute::<TimestampMicrosecondType, DurationMicrosecondType, TimestampMicrosecondType>(i64::checked_add),
        (Timestamp(..), Subtract, Duration(_)) => pair
            .compute::<TimestampMicrosecondType, DurationMicrosecondType, TimestampMicrosecondType>(i64::checked_sub),
        (Timestamp(..), Subtract, Timestamp(..)) => pair
            .compute::<TimestampMicrosecondType, TimestampMicrosecondType, DurationMicrosecondType>(i64::checked_sub),
        (Timestamp(..), Subtract, Date32) => {
            let right = Operand {
                array: super::cast::cast_array(&right.array, left.data_type(), false)?,
                constant: right.constant,
            };
            temporal_arithmetic(op, left, &right, result, rows)
        }
        (Time64(_), Add | Subtract, Duration(_)) => {
            let sign = i64::from(pair.sign());
            pair.compute::<Time64MicrosecondType, DurationMicrosecondType, Time64MicrosecondType>(|t, d| {
                Some((t + sign * (d % MICROS_PER_DAY)).rem_euclid(MICROS_PER_DAY))
            })
        }
        (Time64(_), Subtract, Time64(_)) => {
            pair.compute::<Time64MicrosecondType, Time64MicrosecondType, DurationMicrosecondType>(i64::checked_sub)
        }
        (Interval(_), Add, Interval(_)) => {
            pair.compute::<IntervalYearMonthType, IntervalYearMonthType, IntervalYearMonthType>(i32::checked_add)
        }
        (Interval(_), Subtract, Interval(_)) => {
            pair.compute::<IntervalYearMonthType, IntervalYearMonthType, IntervalYearMonthType>(i32::checked_sub)
        }
        (Duration(_), Add, Duration(_)) => {
            pair.compute::<DurationMicrosecondType, DurationMicrosecondType, DurationMicrosecondType>(i64::checked_add)
        }
        (Duration(_), Subtract, Duration(_)) => {
            pair.compute::<DurationMicrosecondType, DurationMicrosecondType, DurationMicrosecondType>(i64::checked_sub)
        }
        (number, Multiply, Interval(_) | Duration(_)) if is_numeric(number) => {
            temporal_arithmetic(op, right, left, result, rows)
        }
        (interval, Multiply | Divide, number) if (*interval == MONTHS || *interval == MICROS) && is_numeric(number) => {
            scale_interval(&pair)
        }
        (a, op, b) => Err(Error::unsupported(format!(
            "{} {} {}",
            type_name(a),
            op.symbol(),
            type_name(b)
        ))),
    }
}

struct Pair<'a> {
    op: Arithmetic,
    left: &'a Operand,
    right: &'a Operand,
    result: &'a DataType,
    rows: usize,
}

impl Pair<'_> {
    fn sign(&self) -> i32 {
        if self.op == Arithmetic::Subtract { -1 } else { 1 }
    }

    /// Row by row; `None` from `f` on a row with values means out of range.
    fn compute<A: ArrowPrimitiveType, B: ArrowPrimitiveType, R: ArrowPrimitiveType>(
        &self,
        f: impl Fn(A::Native, B::Native) -> Option<R::Native>,
    ) -> Result<ArrayRef> {
        let (a, b) = (self.left.lanes::<A>()?, self.right.lanes::<B>()?);
        let nulls = union_nulls(self.left, self.right);
        let mut values = Vec::with_capacity(self.rows);
        for i in 0..self.rows {
            let value = a.get(i).zip(b.get(i)).and_then(|(a, b)| f(a, b));
            values.push(match value {
                Some(value) => value,
                None if is_valid(&nulls, i) => return Err(self.out_of_range(i)),
                None => R::Native::default(),
            });
        }
        primitive_array::<R>(values, nulls, self.result)
    }

    fn out_of_range(&self, row: usize) -> Error {
        let text = |operand: &Operand| {
            let mut out = String::new();
            super::display::format_value(operand.array.as_ref(), operand.row(row), &mut out);
            out
        };
        Error::execution(format!(
            "{} out of range: {} {} {}",
            type_name(self.result),
            text(self.left),
            self.op.symbol(),
            text(self.right)
        ))
    }
}

fn add_days(pair: &Pair<'_>) -> Result<ArrayRef> {
    let intervals = pair.right.primitive::<DurationMicrosecondType>()?;
    if intervals.iter().flatten().any(|v| v % MICROS_PER_DAY != 0) {
        return Err(Error::execution("cannot add hours, minutes or seconds to a date")
            .with_hint("cast the date to a timestamp first"));
    }
    let sign = i64::from(pair.sign());
    pair.compute::<Date32Type, DurationMicrosecondType, Date32Type>(|date, micros| {
        i32::try_from(i64::from(date) + sign * (micros / MICROS_PER_DAY)).ok()
    })
}

/// `interval * number` and `interval / number`: exact for integers, rounded for the rest.
fn scale_interval(pair: &Pair<'_>) -> Result<ArrayRef> {
    let numbers = super::cast::cast_array(&pair.right.array, &DataType::Float64, false)?;
    let exact = super::cast::cast_array(&pair.right.array, &DataType::Int64, true)?;
    let (numbers, exact) = (numbers.as_primitive::<Float64Type>(), exact.as_primitive::<Int64Type>());
    let whole = pair.right.data_type().is_integer();
    let scale = |value: i64, row: usize| -> Option<i64> {
        let row = pair.right.row(row);
        match (pair.op, whole) {
            (Arithmetic::Multiply, true) => value.checked_mul(exact.value(row)),
            (Arithmetic::Divide, true) => value.checked_div(exact.value(row)),
            (op, _) => {
                let number = numbers.value(row);
                let scaled = if op == Arithmetic::Divide {
                    value as f64 / number
                } else {
                    value as f64 * number
                };
                (scaled.abs() < 9.2e18).then_some(scaled.round() as i64)
            }
        }
    };
    let nulls = union_nulls(pair.left, pair.right);
    let months = *pair.left.data_type() == MONTHS;
    let mut values = Vec::with_capacity(pair.rows);
    for i in 0..pair.rows {
        if !is_valid(&nulls, i) {
            values.push(0);
            continue;
        }
        let row = pair.left.row(i);
        let value = if months {
            i64::from(pair.left.primitive::<IntervalYearMonthType>()?.value(row))
        } else {
            pair.left.primitive::<DurationMicrosecondType>()?.value(row)
        };
        let scaled = scale(value, i).filter(|v| !months || i32::try_from(*v).is_ok());
        let zero = pair.op == Arithmetic::Divide && numbers.value(pair.right.row(i)) == 0.0;
        values.push(match scaled {
            _ if zero => return Err(Error::execution("division by zero")),
            Some(value) => value,
            None => return Err(pair.out_of_range(i)),
        });
    }
    if months {
        let values = values.into_iter().map(|v| v as i32).collect();
        primitive_array::<IntervalYearMonthType>(values, nulls, pair.result)
    } else {
        primitive_array::<DurationMicrosecondType>(values, nulls, pair.result)
    }
}

#[cfg(test)]
mod tests {
    use crate::Result;
    use crate::types::{DataType, INTERVAL_DAY, INTERVAL_MONTH, ScalarValue, TIMESTAMP};
    use crate::vector::Column;
    use crate::vector::arithmetic::{Arithmetic, arithmetic};
    use crate::vector::calendar::{MICROS_PER_DAY, checked_date};
    use crate::vector::display::format_value;

    fn evaluate(op: Arithmetic, a: ScalarValue, b: ScalarValue, result: &DataType) -> Result<String> {
        let column = |v: &ScalarValue| Column::constant(v, &v.data_type(), 1);
        let value = arithmetic(op, &column(&a)?, &column(&b)?, result)?;
        let mut out = String::new();
        format_value(value.to_array()?.as_ref(), 0, &mut out);
        Ok(out)
    }

    #[test]
    fn dates_and_intervals() {
        use ScalarValue::*;
        let date = |y, m, d| Date(checked_date(y, m, d).unwrap());
        let (add, sub) = (Arithmetic::Add, Arithmetic::Subtract);
        let day = DataType::Date32;
        let days = |n: i64| IntervalMicros(n * MICROS_PER_DAY);
        assert_eq!(
            evaluate(add, date(2024, 1, 31), IntervalMonths(1), &day).unwrap(),
            "2024-02-29"
        );
        assert_eq!(evaluate(sub, date(1998, 12, 1), days(90), &day).unwrap(), "1998-09-02");
        assert_eq!(evaluate(add, days(1), date(2024, 2, 28), &day).unwrap(), "2024-02-29");
        assert_eq!(
            evaluate(sub, date(2024, 3, 1), date(2024, 2, 1), &INTERVAL_DAY).unwrap(),
            "29 00:00:00.000"
        );
        assert!(evaluate(add, date(2024, 1, 1), IntervalMicros(1), &day).is_err());
        let noon = Timestamp(
            i64::from(checked_date(2024, 3, 31).unwrap()) * MICROS_PER_DAY + MICROS_PER_DAY / 2,
            None,
        );
        assert_eq!(
            evaluate(sub, noon.clone(), IntervalMonths(1), &TIMESTAMP).unwrap(),
            "2024-02-29 12:00:00.000"
        );
        assert_eq!(
            evaluate(sub, noon.clone(), noon, &INTERVAL_DAY).unwrap(),
            "0 00:00:00.000"
        );
        assert!(evaluate(add, Timestamp(i64::MAX, None), IntervalMicros(1), &TIMESTAMP).is_err());
    }

    #[test]
    fn intervals_scale() {
        use ScalarValue::*;
        let mul = Arithmetic::Multiply;
        assert_eq!(
            evaluate(mul, Int64(2), IntervalMicros(MICROS_PER_DAY), &INTERVAL_DAY).unwrap(),
            "2 00:00:00.000"
        );
        assert_eq!(
            evaluate(mul, IntervalMonths(3), Float64(0.5), &INTERVAL_MONTH).unwrap(),
            "0-2"
        );
        assert!(evaluate(Arithmetic::Divide, IntervalMonths(3), Int32(0), &INTERVAL_MONTH).is_err());
    }
}
