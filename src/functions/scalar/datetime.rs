//! Dates and timestamps: parts, arithmetic, differences, now. Everything is counted on the clock of the timestamp's zone.

use super::arguments::Values;
use super::calendar::*;
use super::typing::{BIGINT, DATE, DOUBLE, INTEGER, STRING, exactly, one_moment, overload};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, INTERVAL_DAY, ScalarValue, TIMESTAMP, timestamp_tz};
use crate::vector::Column;
use arrow::array::*;
use arrow::datatypes::*;
use chrono::Utc;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    // Now.
    function("now", |t, _| exactly(t, &[], timestamp_tz("UTC")), now)
        .aliases(&["current_timestamp"])
        .stable()
        .doc(
            "now()",
            "The moment at which the statement started, with time zone.",
            "SELECT now() = now()",
            "true",
        ),
    function("localtimestamp", |t, _| exactly(t, &[], TIMESTAMP), now)
        .stable()
        .doc(
            "localtimestamp",
            "The moment at which the statement started, without time zone.",
            "SELECT localtimestamp = localtimestamp",
            "true",
        ),
    function("current_date", |t, _| exactly(t, &[], DATE), current_date)
        .aliases(&["curdate"])
        .stable()
        .doc(
            "current_date",
            "The day on which the statement started.",
            "SELECT current_date = date(now())",
            "true",
        ),
    function(
        "current_timezone",
        |t, _| exactly(t, &[], STRING),
        |a| Ok(a.constant(Arc::new(StringViewArray::from(vec!["UTC"])))),
    )
    .stable()
    .doc(
        "current_timezone()",
        "The time zone of the session.",
        "SELECT current_timezone()",
        "UTC",
    ),
    // Parts.
    function(
        "year",
        |t, _| part_type(t),
        |a| from_days(a, |day| civil(day).year as i64),
    )
    .doc("year(x)", "The year.", "SELECT year(DATE '2024-03-31')", "2024"),
    function(
        "quarter",
        |t, _| part_type(t),
        |a| from_days(a, |day| (civil(day).month as i64 + 2) / 3),
    )
    .doc(
        "quarter(x)",
        "The quarter, 1 to 4.",
        "SELECT quarter(DATE '2024-03-31')",
        "1",
    ),
    function(
        "month",
        |t, _| part_type(t),
        |a| from_days(a, |day| civil(day).month as i64),
    )
    .doc(
        "month(x)",
        "The month, 1 to 12.",
        "SELECT month(DATE '2024-03-31')",
        "3",
    ),
    function("week", |t, _| part_type(t), |a| from_days(a, |day| iso_week(day).1))
        .aliases(&["week_of_year", "weekofyear"])
        .doc(
            "week(x)",
            "The ISO week, 1 to 53.",
            "SELECT week(DATE '2024-12-30')",
            "1",
        ),
    function(
        "day",
        |t, _| part_type(t),
        |a| from_days(a, |day| civil(day).day as i64),
    )
    .aliases(&["day_of_month", "dayofmonth"])
    .doc("day(x)", "The day of the month.", "SELECT day(DATE '2024-03-31')", "31"),
    function("day_of_week", |t, _| part_type(t), |a| from_days(a, day_of_week))
        .aliases(&["dow", "dayofweek"])
        .doc(
            "day_of_week(x)",
            "The ISO day of the week, 1 for Monday to 7 for Sunday.",
            "SELECT day_of_week(DATE '2024-03-31')",
            "7",
        ),
    function(
        "weekday",
        |t, _| part_type(t),
        |a| from_days(a, |day| day_of_week(day) - 1),
    )
    .doc(
        "weekday(x)",
        "The day of the week, 0 for Monday to 6 for Sunday.",
        "SELECT weekday(DATE '2024-03-31')",
        "6",
    ),
    function("day_of_year", |t, _| part_type(t), |a| from_days(a, day_of_year))
        .aliases(&["doy", "dayofyear"])
        .doc(
            "day_of_year(x)",
            "The day of the year, 1 to 366.",
            "SELECT day_of_year(DATE '2024-03-01')",
            "61",
        ),
    function(
        "year_of_week",
        |t, _| part_type(t),
        |a| from_days(a, |day| iso_week(day).0),
    )
    .aliases(&["yow"])
    .doc(
        "year_of_week(x)",
        "The year that the ISO week belongs to.",
        "SELECT year_of_week(DATE '2024-12-30')",
        "2025",
    ),
    function(
        "hour",
        |t, _| clock_type(t),
        |a| from_clock(a, |time| time / MICROS_PER_HOUR),
    )
    .doc(
        "hour(x)",
        "The hour, 0 to 23.",
        "SELECT hour(TIMESTAMP '2024-03-31 13:45:59')",
        "13",
    ),
    function(
        "minute",
        |t, _| clock_type(t),
        |a| from_clock(a, |time| time / MICROS_PER_MINUTE % 60),
    )
    .doc(
        "minute(x)",
        "The minute, 0 to 59.",
        "SELECT minute(TIMESTAMP '2024-03-31 13:45:59')",
        "45",
    ),
    function(
        "second",
        |t, _| clock_type(t),
        |a| from_clock(a, |time| time / MICROS_PER_SECOND % 60),
    )
    .doc(
        "second(x)",
        "The second, 0 to 59.",
        "SELECT second(TIMESTAMP '2024-03-31 13:45:59')",
        "59",
    ),
    function(
        "millisecond",
        |t, _| clock_type(t),
        |a| from_clock(a, |time| time / MICROS_PER_MILLI % 1000),
    )
    .doc(
        "millisecond(x)",
        "The millisecond of the second.",
        "SELECT millisecond(TIMESTAMP '2024-03-31 13:45:59.123')",
        "123",
    ),
    function(
        "microsecond",
        |t, _| clock_type(t),
        |a| from_clock(a, |time| time % MICROS_PER_SECOND),
    )
    .doc(
        "microsecond(x)",
        "The microsecond of the second.",
        "SELECT microsecond(TIMESTAMP '2024-03-31 13:45:59.123')",
        "123000",
    ),
    function(
        "timezone_hour",
        |t, _| part_type(t),
        |a| offset_part(a, |minutes| minutes / 60),
    )
    .doc(
        "timezone_hour(x)",
        "The hours by which the zone is ahead of UTC.",
        "SELECT timezone_hour(TIMESTAMP '2024-03-31 13:45:59 UTC')",
        "0",
    ),
    function(
        "timezone_minute",
        |t, _| part_type(t),
        |a| offset_part(a, |minutes| minutes % 60),
    )
    .doc(
        "timezone_minute(x)",
        "The minutes beside the hours by which the zone is ahead of UTC.",
        "SELECT timezone_minute(TIMESTAMP '2024-03-31 13:45:59 UTC')",
        "0",
    ),
    function(
        "dayname",
        |t, _| name_type(t),
        |a| named(a, |day| WEEKDAYS.get(day_of_week(day) as usize - 1).copied()),
    )
    .doc(
        "dayname(x)",
        "The name of the day of the week.",
        "SELECT dayname(DATE '2024-03-31')",
        "Sunday",
    ),
    function(
        "monthname",
        |t, _| name_type(t),
        |a| named(a, |day| MONTHS.get(civil(day).month as usize - 1).copied()),
    )
    .doc(
        "monthname(x)",
        "The name of the month.",
        "SELECT monthname(DATE '2024-03-31')",
        "March",
    ),
    // Making and converting.
    function("date", |t, _| day_type(t, &[]), |a| days_to_days(a, |day| day)).doc(
        "date(x)",
        "The day of a timestamp or text.",
        "SELECT date(TIMESTAMP '2024-03-31 13:45:59')",
        "2024-03-31",
    ),
    function(
        "make_date",
        |t, _| exactly(t, &[BIGINT, BIGINT, BIGINT], DATE),
        make_date,
    )
    .doc(
        "make_date(year, month, day)",
        "The date.",
        "SELECT make_date(2024, 2, 29)",
        "2024-02-29",
    ),
    function("make_timestamp", |t, _| make_timestamp_type(t), make_timestamp).doc(
        "make_timestamp(year, month, day, hour, minute, second)",
        "The timestamp.",
        "SELECT make_timestamp(2024, 2, 29, 13, 45, 59.5)",
        "2024-02-29 13:45:59.500",
    ),
    function(
        "date_from_unix_date",
        |t, _| exactly(t, &[INTEGER], DATE),
        |a| a.map1::<Int32Type, Date32Type>(|days| days),
    )
    .doc(
        "date_from_unix_date(n)",
        "The day n days after 1970-01-01.",
        "SELECT date_from_unix_date(1)",
        "1970-01-02",
    ),
    function(
        "unix_date",
        |t, _| exactly(t, &[DATE], INTEGER),
        |a| a.map1::<Date32Type, Int32Type>(|days| days),
    )
    .doc(
        "unix_date(date)",
        "Days since 1970-01-01.",
        "SELECT unix_date(DATE '1970-01-02')",
        "1",
    ),
    function(
        "to_unixtime",
        |t, _| moment_type(t, DOUBLE),
        |a| a.map1::<TimestampMicrosecondType, Float64Type>(|t| t as f64 / 1e6),
    )
    .doc(
        "to_unixtime(timestamp)",
        "Seconds since 1970-01-01 00:00:00 UTC.",
        "SELECT to_unixtime(TIMESTAMP '1970-01-01 00:01:00')",
        "60.0",
    ),
    function(
        "timestamp_seconds",
        |t, _| exactly(t, &[BIGINT], TIMESTAMP),
        |a| from_integer(a, 1_000_000),
    )
    .doc(
        "timestamp_seconds(n)",
        "The timestamp n seconds after 1970-01-01.",
        "SELECT timestamp_seconds(60)",
        "1970-01-01 00:01:00.000",
    ),
    function(
        "timestamp_millis",
        |t, _| exactly(t, &[BIGINT], TIMESTAMP),
        |a| from_integer(a, 1_000),
    )
    .doc(
        "timestamp_millis(n)",
        "The timestamp n milliseconds after 1970-01-01.",
        "SELECT timestamp_millis(60000)",
        "1970-01-01 00:01:00.000",
    ),
    function(
        "timestamp_micros",
        |t, _| exactly(t, &[BIGINT], TIMESTAMP),
        |a| from_integer(a, 1),
    )
    .doc(
        "timestamp_micros(n)",
        "The timestamp n microseconds after 1970-01-01.",
        "SELECT timestamp_micros(60000000)",
        "1970-01-01 00:01:00.000",
    ),
    function(
        "to_milliseconds",
        |t, _| exactly(t, &[INTERVAL_DAY], BIGINT),
        |a| a.map1::<DurationMicrosecondType, Int64Type>(|t| t / 1000),
    )
    .doc(
        "to_milliseconds(interval)",
        "The length of an interval in milliseconds.",
        "SELECT to_milliseconds(INTERVAL '1' DAY)",
        "86400000",
    ),
    function(
        "human_readable_seconds",
        |t, _| exactly(t, &[DOUBLE], STRING),
        human_readable_seconds,
    )
    .doc(
        "human_readable_seconds(x)",
        "Seconds in words.",
        "SELECT human_readable_seconds(3762)",
        "1 hour, 2 minutes, 42 seconds",
    ),
    // Zones.
    function("at_timezone", at_timezone_type, same_instant).doc(
        "at_timezone(timestamp, zone)",
        "The same instant on the clock of another place.",
        "SELECT hour(at_timezone(TIMESTAMP '2024-07-01 12:00:00 UTC', 'Europe/Paris'))",
        "14",
    ),
    function("with_timezone", with_timezone_type, with_timezone).doc(
        "with_timezone(timestamp, zone)",
        "The instant at which the clock of a place shows the timestamp.",
        "SELECT to_unixtime(with_timezone(TIMESTAMP '1970-01-01 01:00:00', '+01:00'))",
        "0.0",
    ),
    function(
        "from_utc_timestamp",
        |t, _| zone_shift_type(t),
        |a| shift_zone(a, Zone::local),
    )
    .doc(
        "from_utc_timestamp(timestamp, zone)",
        "What the clock of a place shows at a time given in UTC.",
        "SELECT from_utc_timestamp(TIMESTAMP '2024-07-01 12:00:00', 'Europe/Paris')",
        "2024-07-01 14:00:00.000",
    ),
    function(
        "to_utc_timestamp",
        |t, _| zone_shift_type(t),
        |a| shift_zone(a, Zone::instant),
    )
    .doc(
        "to_utc_timestamp(timestamp, zone)",
        "The time in UTC at which the clock of a place shows the timestamp.",
        "SELECT to_utc_timestamp(TIMESTAMP '2024-07-01 14:00:00', 'Europe/Paris')",
        "2024-07-01 12:00:00.000",
    ),
];

pub(super) fn out_of_range(what: &str) -> Error {
    Error::execution(format!("the date {what} is out of range"))
}

// ---- Reading ----

/// Timestamps, or dates taken as their midnights, as the clock of their zone shows them.
pub(super) struct Locals {
    values: Moments,
    pub zone: Zone,
}

enum Moments {
    Dates(Values<Date32Array>),
    Timestamps(Values<TimestampMicrosecondArray>),
}

impl Locals {
    pub fn of(a: &Arguments, i: usize) -> Result<Self> {
        Ok(match a.column(i)?.data_type() {
            DataType::Timestamp(_, zone) => Self {
                zone: Zone::of(zone.as_deref())?,
                values: Moments::Timestamps(a.read(i)?),
            },
            _ => Self {
                zone: Zone::UTC,
                values: Moments::Dates(a.read(i)?),
            },
        })
    }

    /// Microseconds on the local clock.
    pub fn get(&self, row: usize) -> i64 {
        match &self.values {
            Moments::Dates(days) => (days.get(row) as i64).saturating_mul(MICROS_PER_DAY),
            Moments::Timestamps(instants) => self.zone.local(instants.get(row)),
        }
    }
}

/// The days of dates or timestamps.
pub(super) struct Days(Locals);

impl Days {
    pub fn of(a: &Arguments, i: usize) -> Result<Self> {
        Ok(Self(Locals::of(a, i)?))
    }

    pub fn get(&self, row: usize) -> i32 {
        match &self.0.values {
            Moments::Dates(days) => days.get(row),
            Moments::Timestamps(_) => split_micros(self.0.get(row)).0,
        }
    }
}

/// Applies `f` to the day of each date or timestamp.
fn map_days<R: ArrowPrimitiveType>(a: &Arguments, f: impl Fn(i32) -> R::Native) -> Result<Column> {
    match a.column(0)?.data_type() {
        DataType::Date32 => a.map1::<Date32Type, R>(f),
        DataType::Timestamp(_, zone) => match Zone::of(zone.as_deref())? {
            Zone::Fixed(0) => a.map1::<TimestampMicrosecondType, R>(|t| f(split_micros(t).0)),
            zone => a.map1::<TimestampMicrosecondType, R>(|t| f(split_micros(zone.local(t)).0)),
        },
        other => Err(Error::internal(format!("the day of {other}"))),
    }
}

fn from_days(a: &Arguments, f: impl Fn(i32) -> i64) -> Result<Column> {
    map_days::<Int64Type>(a, f)
}

pub(super) fn days_to_days(a: &Arguments, f: impl Fn(i32) -> i32) -> Result<Column> {
    map_days::<Date32Type>(a, f)
}

/// Applies `f` to the microsecond of the day.
fn from_clock(a: &Arguments, f: impl Fn(i64) -> i64) -> Result<Column> {
    match a.column(0)?.data_type() {
        DataType::Date32 => a.map1::<Date32Type, Int64Type>(|_| f(0)),
        DataType::Time64(_) => a.map1::<Time64MicrosecondType, Int64Type>(f),
        DataType::Timestamp(_, zone) => {
            let zone = Zone::of(zone.as_deref())?;
            a.map1::<TimestampMicrosecondType, Int64Type>(|t| f(split_micros(zone.local(t)).1))
        }
        other => Err(Error::internal(format!("the time of {other}"))),
    }
}

fn offset_part(a: &Arguments, f: impl Fn(i64) -> i64) -> Result<Column> {
    match a.column(0)?.data_type() {
        DataType::Timestamp(_, zone) => {
            let zone = Zone::of(zone.as_deref())?;
            a.map1::<TimestampMicrosecondType, Int64Type>(|t| f(zone.offset(t) / MICROS_PER_MINUTE))
        }
        _ => a.map1::<Date32Type, Int64Type>(|_| 0),
    }
}

fn named(a: &Arguments, f: impl Fn(i32) -> Option<&'static str>) -> Result<Column> {
    let days = Days::of(a, 0)?;
    a.strings(|row, out| Ok(f(days.get(row)).map(|name| out.push_str(name))))
}

// ---- Types ----

/// One date or timestamp.
fn moment_type(found: &[DataType], result: DataType) -> Option<Signature> {
    let [t] = found else { return None };
    let argument = match one_moment(t)? {
        DataType::Date32 if result == DOUBLE => TIMESTAMP,
        other => other,
    };
    Some(Signature {
        arguments: vec![argument],
        result,
    })
}

fn part_type(found: &[DataType]) -> Option<Signature> {
    moment_type(found, BIGINT)
}

/// A date, timestamp or time.
fn clock_type(found: &[DataType]) -> Option<Signature> {
    match found {
        [DataType::Time64(_)] => Some(Signature {
            arguments: found.to_vec(),
            result: BIGINT,
        }),
        _ => part_type(found),
    }
}

fn name_type(found: &[DataType]) -> Option<Signature> {
    moment_type(found, STRING)
}

/// A date, a timestamp or text that holds a date, then `rest`; the result is a date.
pub(super) fn day_type(found: &[DataType], rest: &[DataType]) -> Option<Signature> {
    let (first, others) = found.split_first()?;
    let first = a_day(first)?;
    let rest = exactly(others, rest, DATE)?;
    Some(Signature {
        arguments: std::iter::once(first).chain(rest.arguments).collect(),
        result: DATE,
    })
}

/// What Hive's functions take for a day: also text, which is cast.
pub(super) fn a_day(found: &DataType) -> Option<DataType> {
    match found {
        DataType::Utf8View => Some(DATE),
        other => one_moment(other),
    }
}

// ---- Now ----

fn now(a: &Arguments) -> Result<Column> {
    let array = TimestampMicrosecondArray::from(vec![Utc::now().timestamp_micros()]);
    Ok(a.constant(Arc::new(array.with_data_type(a.result_type.clone()))))
}

fn current_date(a: &Arguments) -> Result<Column> {
    let (day, _) = split_micros(Utc::now().timestamp_micros());
    Ok(a.constant(Arc::new(Date32Array::from(vec![day]))))
}

// ---- Making and converting ----

fn make_date(a: &Arguments) -> Result<Column> {
    let (year, month, day) = (a.integers_of(0)?, a.integers_of(1)?, a.integers_of(2)?);
    a.primitives::<Date32Type>(|row| made_day(year.get(row), month.get(row), day.get(row)).map(Some))
}

fn made_day(year: i64, month: i64, day: i64) -> Result<i32> {
    checked_days_of(year, month, day)
        .ok_or_else(|| Error::execution(format!("there is no date {year}-{month:02}-{day:02}")))
}

fn make_timestamp_type(found: &[DataType]) -> Option<Signature> {
    exactly(found, &[BIGINT, BIGINT, BIGINT, BIGINT, BIGINT, DOUBLE], TIMESTAMP)
}

fn make_timestamp(a: &Arguments) -> Result<Column> {
    let parts = (0..5).map(|i| a.integers_of(i)).collect::<Result<Vec<_>>>()?;
    let seconds = a.read::<Float64Array>(5)?;
    a.primitives::<TimestampMicrosecondType>(|row| {
        let part = |i: usize| parts.get(i).map_or(0, |p| p.get(row));
        let day = made_day(part(0), part(1), part(2))?;
        let (hour, minute, second) = (part(3), part(4), seconds.get(row));
        if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..60.0).contains(&second) {
            return Err(Error::execution(format!(
                "there is no time {hour:02}:{minute:02}:{second:02}"
            )));
        }
        let time = hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + (second * 1e6).round() as i64;
        (day as i64)
            .checked_mul(MICROS_PER_DAY)
            .and_then(|midnight| midnight.checked_add(time))
            .map(Some)
            .ok_or_else(|| out_of_range(&format!("{}-{}-{}", part(0), part(1), part(2))))
    })
}

fn from_integer(a: &Arguments, micros: i64) -> Result<Column> {
    a.try_map1::<Int64Type, TimestampMicrosecondType>(|n| {
        n.checked_mul(micros)
            .ok_or_else(|| out_of_range(&format!("{n} after 1970-01-01")))
    })
}

fn human_readable_seconds(a: &Arguments) -> Result<Column> {
    const UNITS: [(i64, &str); 5] = [
        (7 * 86_400, "week"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let seconds = a.read::<Float64Array>(0)?;
    a.strings(|row, out| {
        let seconds = seconds.get(row);
        if !seconds.is_finite() {
            return Err(Error::execution(format!(
                "human_readable_seconds({seconds}): expected a finite number"
            )));
        }
        let mut rest = seconds.abs() as i64;
        for (length, name) in UNITS {
            let count = rest / length;
            rest %= length;
            if count > 0 {
                let separator = if out.is_empty() { "" } else { ", " };
                let plural = if count == 1 { "" } else { "s" };
                out.push_str(&format!("{separator}{count} {name}{plural}"));
            }
        }
        if out.is_empty() {
            out.push_str("0 seconds");
        }
        Ok(Some(()))
    })
}

// ---- Zones ----

/// The text of an argument that the type of the result depends on, so it must be a literal.
pub(super) fn literal_text(constants: &[Option<ScalarValue>], i: usize) -> Option<Arc<str>> {
    match constants.get(i) {
        Some(Some(ScalarValue::String(zone))) => Some(zone.clone()),
        _ => None,
    }
}

fn at_timezone_type(found: &[DataType], constants: &[Option<ScalarValue>]) -> Option<Signature> {
    let [x, DataType::Utf8View] = found else { return None };
    let argument = match one_moment(x)? {
        DataType::Timestamp(_, Some(zone)) => timestamp_tz(zone),
        _ => timestamp_tz("UTC"),
    };
    Some(Signature {
        arguments: vec![argument, STRING],
        result: timestamp_tz(literal_text(constants, 1)?),
    })
}

fn check_zone(a: &Arguments) -> Result<Zone> {
    match a.result_type {
        DataType::Timestamp(_, zone) => Zone::of(zone.as_deref()),
        other => Err(Error::internal(format!("the zone of {other}"))),
    }
}

fn same_instant(a: &Arguments) -> Result<Column> {
    check_zone(a)?;
    a.map1::<TimestampMicrosecondType, TimestampMicrosecondType>(|t| t)
}

fn with_timezone_type(found: &[DataType], constants: &[Option<ScalarValue>]) -> Option<Signature> {
    exactly(found, &[TIMESTAMP, STRING], timestamp_tz(literal_text(constants, 1)?))
}

fn with_timezone(a: &Arguments) -> Result<Column> {
    let zone = check_zone(a)?;
    a.map1::<TimestampMicrosecondType, TimestampMicrosecondType>(|t| zone.instant(t))
}

fn zone_shift_type(found: &[DataType]) -> Option<Signature> {
    overload(found, &[(&[TIMESTAMP, STRING], TIMESTAMP)])
}

fn shift_zone(a: &Arguments, f: fn(&Zone, i64) -> i64) -> Result<Column> {
    let (instants, zones) = (a.read::<TimestampMicrosecondArray>(0)?, a.strings_of(1)?);
    let constant = a.constant_string(1)?.map(|name| Zone::parse(&name)).transpose()?;
    a.primitives::<TimestampMicrosecondType>(|row| {
        let zone = match &constant {
            Some(zone) => *zone,
            None => Zone::parse(zones.get(row))?,
        };
        Ok(Some(f(&zone, instants.get(row))))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use super::*;
    use crate::types::ScalarValue::{Date, Float64, Int64, Timestamp};

    fn day(year: i64, month: i64, day: i64) -> ScalarValue {
        Date(days_of(year, month, day) as i32)
    }

    fn at(y: i64, m: i64, d: i64, hour: i64, minute: i64) -> ScalarValue {
        let time = hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE;
        Timestamp(days_of(y, m, d) * MICROS_PER_DAY + time, None)
    }

    #[test]
    fn parts_before_and_after_1970() {
        let x = at(1969, 2, 3, 4, 5);
        for (name, expected) in [
            ("year", 1969),
            ("month", 2),
            ("day", 3),
            ("hour", 4),
            ("minute", 5),
            ("second", 0),
        ] {
            assert_eq!(call(name, std::slice::from_ref(&x)), Int64(expected), "{name}");
        }
        assert_eq!(call("dow", &[day(2024, 3, 31)]), Int64(7));
        assert_eq!(call("week", &[day(2021, 1, 3)]), Int64(53));
    }

    #[test]
    fn zones_move_the_clock() {
        let utc = Timestamp(days_of(2024, 7, 1) * MICROS_PER_DAY, Some("UTC".into()));
        let paris = call("at_timezone", &[utc.clone(), text("Europe/Paris")]);
        assert_eq!(call("hour", std::slice::from_ref(&paris)), Int64(2));
        let start = call("date_trunc", &[text("day"), paris]);
        assert_eq!(
            call("to_unixtime", &[start]),
            Float64((days_of(2024, 7, 1) * 86_400 - 7_200) as f64)
        );
        assert!(error("at_timezone", &[utc, text("Europe/Pari")]).contains("Europe/Paris"));
        let shown = call("with_timezone", &[at(1970, 1, 1, 1, 0), text("+01:00")]);
        assert_eq!(call("to_unixtime", &[shown]), Float64(0.0));
    }
}
