//! Dates and timestamps: the start of a unit of time, sums and differences.

use super::arguments::Values;
use super::calendar::*;
use super::datetime::{Days, Locals, a_day, day_type, days_to_days, out_of_range};
use super::typing::{BIGINT, DATE, DOUBLE, STRING, all_same, coercion_distance, exactly, one_moment};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, TIMESTAMP};
use crate::vector::Column;
use arrow::array::*;
use arrow::datatypes::*;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    // Cutting.
    function("date_trunc", |t, _| trunc_type(t), date_trunc).doc(
        "date_trunc(unit, x)",
        "The start of the unit of time that holds x; weeks start on Monday.",
        "SELECT date_trunc('month', DATE '2024-03-31')",
        "2024-03-01",
    ),
    function("trunc", |t, _| exactly(t, &[DATE, STRING], DATE), trunc).doc(
        "trunc(date, unit)",
        "The start of the year, quarter, month or week; units may be short, as 'MM'.",
        "SELECT trunc(DATE '2024-03-31', 'MM')",
        "2024-03-01",
    ),
    function(
        "last_day_of_month",
        |t, _| day_type(t, &[]),
        |a| days_to_days(a, last_day),
    )
    .aliases(&["last_day"])
    .doc(
        "last_day_of_month(x)",
        "The last day of the month.",
        "SELECT last_day_of_month(DATE '2024-02-03')",
        "2024-02-29",
    ),
    function("next_day", |t, _| day_type(t, &[STRING]), next_day).doc(
        "next_day(x, weekday)",
        "The first such day of the week after x.",
        "SELECT next_day(DATE '2024-03-31', 'Mon')",
        "2024-04-01",
    ),
    // Arithmetic.
    function("date_add", |t, _| date_add_type(t), date_add).doc(
        "date_add(unit, n, x) or date_add(date, days)",
        "Some units later; a day that the month does not have becomes its last.",
        "SELECT date_add('month', 1, DATE '2024-01-31')",
        "2024-02-29",
    ),
    function("date_sub", |t, _| day_type(t, &[BIGINT]), |a| add_days(a, -1)).doc(
        "date_sub(date, days)",
        "Some days earlier.",
        "SELECT date_sub(DATE '2024-03-01', 1)",
        "2024-02-29",
    ),
    function(
        "add_months",
        |t, _| day_type(t, &[BIGINT]),
        |a| {
            let months = a.integers_of(1)?;
            let days = Days::of(a, 0)?;
            a.primitives::<Date32Type>(|row| {
                let months = months.get(row);
                add_months(days.get(row), months)
                    .map(Some)
                    .ok_or_else(|| out_of_range(&format!("{months} months later")))
            })
        },
    )
    .doc(
        "add_months(date, n)",
        "Some months later; a day that the month does not have becomes its last.",
        "SELECT add_months(DATE '2024-01-31', 1)",
        "2024-02-29",
    ),
    function("date_diff", |t, _| date_diff_type(t), date_diff).doc(
        "date_diff(unit, start, end)",
        "How many whole units lie between start and end.",
        "SELECT date_diff('day', DATE '2024-02-28', DATE '2024-03-01')",
        "2",
    ),
    function(
        "datediff",
        |t, _| two_days_type(t, DataType::Int32),
        |a| {
            let (end, start) = (Days::of(a, 0)?, Days::of(a, 1)?);
            a.primitives::<Int32Type>(|row| Ok(Some(end.get(row).wrapping_sub(start.get(row)))))
        },
    )
    .doc(
        "datediff(end, start)",
        "How many days lie between start and end.",
        "SELECT datediff(DATE '2024-03-01', DATE '2024-02-28')",
        "2",
    ),
    function(
        "months_between",
        |t, _| exactly(t, &[TIMESTAMP, TIMESTAMP], DOUBLE),
        months_between,
    )
    .doc(
        "months_between(end, start)",
        "How many months lie between start and end, with a fraction counted in months of 31 days.",
        "SELECT months_between(DATE '2024-03-31', DATE '2024-02-29')",
        "1.0",
    ),
];

fn two_days_type(found: &[DataType], result: DataType) -> Option<Signature> {
    let [x, y] = found else { return None };
    Some(Signature {
        arguments: vec![a_day(x)?, a_day(y)?],
        result,
    })
}

/// The unit, then a date or timestamp whose type the result has.
fn trunc_type(found: &[DataType]) -> Option<Signature> {
    let [unit, x] = found else { return None };
    coercion_distance(unit, &STRING)?;
    let x = one_moment(x)?;
    Some(Signature {
        arguments: vec![STRING, x.clone()],
        result: x,
    })
}

fn date_add_type(found: &[DataType]) -> Option<Signature> {
    match found {
        [unit, n, x] => {
            coercion_distance(unit, &STRING)?;
            coercion_distance(n, &BIGINT)?;
            let x = one_moment(x)?;
            Some(Signature {
                arguments: vec![STRING, BIGINT, x.clone()],
                result: x,
            })
        }
        _ => day_type(found, &[BIGINT]),
    }
}

fn date_diff_type(found: &[DataType]) -> Option<Signature> {
    let [unit, x, y] = found else { return None };
    coercion_distance(unit, &STRING)?;
    let both = all_same(&[x.clone(), y.clone()], |t| one_moment(t).is_some())?;
    let moment = one_moment(&both.result)?;
    Some(Signature {
        arguments: vec![STRING, moment.clone(), moment],
        result: BIGINT,
    })
}

// ---- Cutting ----

/// The unit of argument 0, read once when it is constant.
enum UnitArgument {
    Constant(Unit),
    Varying(Values<StringViewArray>),
}

impl UnitArgument {
    fn of(a: &Arguments) -> Result<Self> {
        Ok(match a.constant_string(0)? {
            Some(name) => Self::Constant(Unit::parse(&name)?),
            None => Self::Varying(a.strings_of(0)?),
        })
    }

    fn get(&self, row: usize) -> Result<Unit> {
        match self {
            Self::Constant(unit) => Ok(*unit),
            Self::Varying(names) => Unit::parse(names.get(row)),
        }
    }
}

/// The start of the unit on the local clock.
fn truncate(local: i64, unit: Unit) -> i64 {
    match unit.micros() {
        Some(length) if length <= MICROS_PER_DAY => local - local.rem_euclid(length),
        _ => unit.first_day(split_micros(local).0) as i64 * MICROS_PER_DAY,
    }
}

fn date_trunc(a: &Arguments) -> Result<Column> {
    let unit = UnitArgument::of(a)?;
    let (DataType::Date32, UnitArgument::Constant(unit)) = (a.result_type, &unit) else {
        return truncate_varying(a, unit);
    };
    let days = a.read::<Date32Array>(1)?;
    Ok(a.finish_primitive(days.array.unary::<_, Date32Type>(|day| unit.first_day(day))))
}

fn truncate_varying(a: &Arguments, unit: UnitArgument) -> Result<Column> {
    let zone = match a.result_type {
        DataType::Timestamp(_, zone) => Zone::of(zone.as_deref())?,
        _ => {
            let days = a.read::<Date32Array>(1)?;
            return a.primitives::<Date32Type>(|row| Ok(Some(unit.get(row)?.first_day(days.get(row)))));
        }
    };
    let instants = a.read::<TimestampMicrosecondArray>(1)?;
    match (&unit, zone) {
        (UnitArgument::Constant(unit), Zone::Fixed(0)) => {
            let cut = instants
                .array
                .unary::<_, TimestampMicrosecondType>(|t| truncate(t, *unit));
            Ok(a.finish_primitive(cut))
        }
        _ => a.primitives::<TimestampMicrosecondType>(|row| {
            let local = truncate(zone.local(instants.get(row)), unit.get(row)?);
            Ok(Some(zone.instant(local)))
        }),
    }
}

/// Hive's short names beside ours.
fn trunc(a: &Arguments) -> Result<Column> {
    let (days, unit) = (a.read::<Date32Array>(0)?, a.strings_of(1)?);
    a.primitives::<Date32Type>(|row| {
        let unit = match unit.get(row).to_ascii_uppercase().as_str() {
            "YY" | "YYYY" => Unit::Year,
            "Q" => Unit::Quarter,
            "MM" | "MON" => Unit::Month,
            _ => Unit::parse(unit.get(row))?,
        };
        Ok(Some(unit.first_day(days.get(row))))
    })
}

fn last_day(day: i32) -> i32 {
    let date = civil(day);
    day.saturating_add((days_in_month(date.year as i64, date.month) - date.day) as i32)
}

fn next_day(a: &Arguments) -> Result<Column> {
    let (days, names) = (Days::of(a, 0)?, a.strings_of(1)?);
    a.primitives::<Date32Type>(|row| {
        let name = names.get(row).to_ascii_lowercase();
        let long_enough = |day: &str| name.len() >= 2 && day.to_ascii_lowercase().starts_with(&name);
        let wanted = WEEKDAYS.iter().position(|day| long_enough(day)).ok_or_else(|| {
            Error::execution(format!("\"{name}\" is not a day of the week")).with_nearest(&name, WEEKDAYS)
        })?;
        let day = days.get(row);
        let ahead = (wanted as i64 - day_of_week(day)).rem_euclid(7) as i32 + 1;
        Ok(Some(day.saturating_add(ahead)))
    })
}

// ---- Arithmetic ----

/// `n` units later on the local clock.
fn later(local: i64, n: i64, unit: Unit) -> Result<i64> {
    let error = || out_of_range(&format!("{n} {unit:?}s later").to_lowercase());
    if let Some(length) = unit.micros() {
        return n
            .checked_mul(length)
            .and_then(|span| local.checked_add(span))
            .ok_or_else(error);
    }
    let (day, time) = split_micros(local);
    let months = unit.months().and_then(|m| m.checked_mul(n)).ok_or_else(error)?;
    let day = add_months(day, months).ok_or_else(error)?;
    (day as i64)
        .checked_mul(MICROS_PER_DAY)
        .and_then(|midnight| midnight.checked_add(time))
        .ok_or_else(error)
}

fn date_add(a: &Arguments) -> Result<Column> {
    if a.count() == 2 {
        return add_days(a, 1);
    }
    let unit = UnitArgument::of(a)?;
    let n = a.integers_of(1)?;
    match a.result_type {
        DataType::Timestamp(_, zone) => {
            let zone = Zone::of(zone.as_deref())?;
            let instants = a.read::<TimestampMicrosecondArray>(2)?;
            a.primitives::<TimestampMicrosecondType>(|row| {
                let (unit, instant) = (unit.get(row)?, instants.get(row));
                // Units of the clock are added to the instant, so that an hour is an hour when clocks are moved.
                let exact = unit.micros().is_some_and(|length| length < MICROS_PER_DAY);
                match exact {
                    true => later(instant, n.get(row), unit).map(Some),
                    false => Ok(Some(zone.instant(later(zone.local(instant), n.get(row), unit)?))),
                }
            })
        }
        _ => {
            let days = a.read::<Date32Array>(2)?;
            a.primitives::<Date32Type>(|row| date_later(days.get(row), n.get(row), unit.get(row)?).map(Some))
        }
    }
}

/// `n` units of a day or more later.
fn date_later(day: i32, n: i64, unit: Unit) -> Result<i32> {
    let error = || out_of_range(&format!("{n} {unit:?}s later").to_lowercase());
    let moved = match unit {
        Unit::Day => n.checked_add(day as i64),
        Unit::Week => n.checked_mul(7).and_then(|days| days.checked_add(day as i64)),
        _ => match unit.months() {
            Some(months) => months.checked_mul(n).and_then(|m| add_months(day, m)).map(i64::from),
            None => {
                return Err(Error::execution(format!("a date has no {unit:?}s").to_lowercase())
                    .with_hint("cast the date to timestamp first"));
            }
        },
    };
    moved.and_then(|day| i32::try_from(day).ok()).ok_or_else(error)
}

fn add_days(a: &Arguments, sign: i64) -> Result<Column> {
    let (days, n) = (Days::of(a, 0)?, a.integers_of(1)?);
    a.primitives::<Date32Type>(|row| date_later(days.get(row), n.get(row).saturating_mul(sign), Unit::Day).map(Some))
}

fn date_diff(a: &Arguments) -> Result<Column> {
    let unit = UnitArgument::of(a)?;
    let (start, end) = (Locals::of(a, 1)?, Locals::of(a, 2)?);
    let dates = a.column(1)?.data_type() == &DATE;
    a.primitives::<Int64Type>(|row| {
        let unit = unit.get(row)?;
        if dates && unit.micros().is_some_and(|length| length < MICROS_PER_DAY) {
            return Err(
                Error::execution(format!("dates have no {unit:?}s between them").to_lowercase())
                    .with_hint("cast the dates to timestamp first"),
            );
        }
        Ok(Some(units_between(start.get(row), end.get(row), unit)))
    })
}

/// Whole units from `start` to `end`, negative when `end` is earlier.
fn units_between(start: i64, end: i64, unit: Unit) -> i64 {
    if let Some(length) = unit.micros() {
        return end.saturating_sub(start) / length;
    }
    let months = if end >= start {
        months_from(start, end)
    } else {
        -months_from(end, start)
    };
    months / unit.months().unwrap_or(1)
}

/// Whole months from `start` to a later `end`: a month is full when the day and time of `start` are reached again, or
/// the last day of a month that has no such day.
fn months_from(start: i64, end: i64) -> i64 {
    let ((first, first_time), (last, last_time)) = (split_micros(start), split_micros(end));
    let (x, y) = (civil(first), civil(last));
    let months = (y.year as i64 - x.year as i64) * 12 + y.month as i64 - x.month as i64;
    let reached = (y.day, last_time) >= (x.day.min(days_in_month(y.year as i64, y.month)), first_time);
    if reached { months } else { months - 1 }
}

fn months_between(a: &Arguments) -> Result<Column> {
    let (end, start) = (Locals::of(a, 0)?, Locals::of(a, 1)?);
    a.primitives::<Float64Type>(|row| {
        let ((last, last_time), (first, first_time)) = (split_micros(end.get(row)), split_micros(start.get(row)));
        let (y, x) = (civil(last), civil(first));
        let months = (y.year as i64 - x.year as i64) * 12 + y.month as i64 - x.month as i64;
        let both_last = last_day(last) == last && last_day(first) == first;
        if y.day == x.day || both_last {
            return Ok(Some(months as f64));
        }
        let micros = (y.day as i64 - x.day as i64) * MICROS_PER_DAY + last_time - first_time;
        let exact = months as f64 + micros as f64 / (31 * MICROS_PER_DAY) as f64;
        Ok(Some((exact * 1e8).round() / 1e8))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use super::*;
    use crate::types::ScalarValue::{self, Date, Float64, Int32, Int64, Timestamp};

    fn day(year: i64, month: i64, day: i64) -> ScalarValue {
        Date(days_of(year, month, day) as i32)
    }

    fn at(y: i64, m: i64, d: i64, hour: i64, minute: i64) -> ScalarValue {
        let time = hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE;
        Timestamp(days_of(y, m, d) * MICROS_PER_DAY + time, None)
    }

    #[test]
    fn truncation() {
        let trunc = |unit: &str, x: &ScalarValue| call("date_trunc", &[text(unit), x.clone()]);
        let x = at(2024, 8, 15, 13, 45);
        assert_eq!(trunc("hour", &x), at(2024, 8, 15, 13, 0));
        assert_eq!(trunc("day", &x), at(2024, 8, 15, 0, 0));
        assert_eq!(trunc("week", &x), at(2024, 8, 12, 0, 0));
        assert_eq!(trunc("MONTH", &x), at(2024, 8, 1, 0, 0));
        assert_eq!(trunc("quarter", &x), at(2024, 7, 1, 0, 0));
        assert_eq!(trunc("year", &x), at(2024, 1, 1, 0, 0));
        assert_eq!(trunc("week", &day(2024, 8, 12)), day(2024, 8, 12));
        assert_eq!(trunc("week", &day(2024, 8, 11)), day(2024, 8, 5));
        assert_eq!(trunc("day", &at(1969, 12, 31, 23, 59)), at(1969, 12, 31, 0, 0));
        assert!(error("date_trunc", &[text("mnth"), x]).contains("did you mean \"month\""));
    }

    #[test]
    fn months_clamp() {
        let add = |unit: &str, n: i64, x: ScalarValue| call("date_add", &[text(unit), Int64(n), x]);
        assert_eq!(add("month", 1, day(2024, 1, 31)), day(2024, 2, 29));
        assert_eq!(add("year", -1, day(2024, 2, 29)), day(2023, 2, 28));
        assert_eq!(add("quarter", 1, at(2024, 11, 30, 1, 2)), at(2025, 2, 28, 1, 2));
        assert_eq!(add("week", 1, day(2024, 2, 29)), day(2024, 3, 7));
        assert!(error("date_add", &[text("hour"), Int64(1), day(2024, 1, 1)]).contains("no hours"));
        assert!(error("date_add", &[text("day"), Int64(i64::MAX), day(2024, 1, 1)]).contains("out of range"));
        assert_eq!(call("date_add", &[day(2024, 2, 28), Int32(2)]), day(2024, 3, 1));
    }

    #[test]
    fn differences_count_whole_units() {
        let diff = |unit: &str, x: ScalarValue, y: ScalarValue| call("date_diff", &[text(unit), x, y]);
        assert_eq!(diff("month", day(2024, 1, 31), day(2024, 2, 29)), Int64(1));
        assert_eq!(diff("month", day(2024, 1, 31), day(2024, 2, 28)), Int64(0));
        assert_eq!(diff("month", day(2024, 3, 31), day(2024, 1, 30)), Int64(-2));
        assert_eq!(diff("year", day(2020, 6, 15), day(2024, 6, 14)), Int64(3));
        assert_eq!(diff("hour", at(2024, 1, 1, 0, 30), at(2024, 1, 1, 2, 29)), Int64(1));
        assert_eq!(diff("hour", at(2024, 1, 1, 2, 29), at(2024, 1, 1, 0, 30)), Int64(-1));
        assert_eq!(diff("day", day(2024, 2, 28), day(2024, 3, 1)), Int64(2));
        assert_eq!(call("datediff", &[day(2024, 3, 1), at(2024, 2, 28, 23, 0)]), Int32(2));
        assert_eq!(
            call("months_between", &[at(1997, 2, 28, 10, 30), at(1996, 10, 30, 0, 0)]),
            Float64(3.94959677)
        );
    }

    #[test]
    fn days_of_the_week_to_come() {
        assert_eq!(call("next_day", &[day(2024, 3, 31), text("Sun")]), day(2024, 4, 7));
        assert_eq!(call("next_day", &[day(2024, 3, 31), text("monday")]), day(2024, 4, 1));
        assert!(error("next_day", &[day(2024, 3, 31), text("Tuseday")]).contains("Tuesday"));
    }
}
