//! Text of typed literals: `DATE '2020-01-31'`, `TIMESTAMP '2020-01-31 12:00:00.5'`, `INTERVAL '90' DAY`.

use super::{DataType, ScalarValue};
use arrow::datatypes::TimeUnit;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeZone};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Reads a text as a date, time, timestamp or timestamp with time zone; `None` when it is none.
pub fn parse_literal(text: &str, t: &DataType) -> Option<ScalarValue> {
    let text = text.trim();
    Some(match t {
        DataType::Date32 => ScalarValue::Date(days(parse_date(text)?)?),
        DataType::Time64(_) => ScalarValue::Time(time_micros(parse_time(text)?)),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            ScalarValue::Timestamp(parse_timestamp(text)?.and_utc().timestamp_micros(), None)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            let (local, found) = split_zone(text);
            let name = found.unwrap_or(zone);
            let instant = local_to_utc(parse_timestamp(local)?, name)?;
            ScalarValue::Timestamp(instant, Some(name.into()))
        }
        _ => return None,
    })
}

/// Whether a timestamp's text names a zone: `2020-01-01 00:00 Europe/Berlin`, `…+02:00`, `…Z`.
pub fn has_zone(text: &str) -> bool {
    split_zone(text.trim()).1.is_some()
}

/// `y-m-d`, each part with as many digits as it likes.
fn parse_date(text: &str) -> Option<NaiveDate> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut parts = rest.split('-');
    let (y, m, d) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |s: &str| !s.is_empty() && s.len() <= 6 && s.bytes().all(|b| b.is_ascii_digit());
    if parts.next().is_some() || !digits(y) || !digits(m) || !digits(d) {
        return None;
    }
    NaiveDate::from_ymd_opt(sign * y.parse::<i32>().ok()?, m.parse().ok()?, d.parse().ok()?)
}

fn days(date: NaiveDate) -> Option<i32> {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    i32::try_from(date.signed_duration_since(epoch).num_days()).ok()
}

/// `h:m[:s[.fraction]]`
fn parse_time(text: &str) -> Option<NaiveTime> {
    let mut parts = text.split(':');
    let (h, m) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds = parts.next().unwrap_or("0");
    if parts.next().is_some() {
        return None;
    }
    let (s, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    if fraction.len() > 12 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    NaiveTime::from_hms_micro_opt(h, m, s.parse().ok()?, micros)
}

fn time_micros(time: NaiveTime) -> i64 {
    use chrono::Timelike;
    time.num_seconds_from_midnight() as i64 * MICROS_PER_SECOND + time.nanosecond() as i64 / 1000
}

/// `date`, `date time` or `dateTtime`.
fn parse_timestamp(text: &str) -> Option<NaiveDateTime> {
    match text.split_once([' ', 'T']) {
        None => parse_date(text)?.and_hms_opt(0, 0, 0),
        Some((date, time)) => Some(parse_date(date)?.and_time(parse_time(time.trim())?)),
    }
}

/// Cuts the zone off the end.
fn split_zone(text: &str) -> (&str, Option<&str>) {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return (local, Some("UTC"));
    }
    let after_time = text.find(':').unwrap_or(text.len());
    let zone_start = text
        .char_indices()
        .skip_while(|(i, _)| *i < after_time)
        .find(|(_, c)| *c == '+' || *c == '-' || c.is_alphabetic());
    match zone_start {
        Some((i, _)) => (text[..i].trim_end(), Some(&text[i..])),
        None => (text, None),
    }
}

/// The instant, in microseconds, of a wall clock time in a zone given by name or offset.
fn local_to_utc(local: NaiveDateTime, zone: &str) -> Option<i64> {
    let zone: arrow::array::timezone::Tz = zone.parse().ok()?;
    Some(zone.from_local_datetime(&local).earliest()?.timestamp_micros())
}

/// Reads the text of `INTERVAL 'text' leading [TO last]`. Units are given in lower case and singular. Without a unit the
/// text itself has them: `1 day 2 hours`.
pub fn parse_interval(text: &str, leading: Option<&str>, last: Option<&str>) -> Option<ScalarValue> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match (leading, last) {
        (Some(unit), None) => amount(text, unit)?,
        (Some("year"), Some("month")) => {
            let (y, m) = text.split_once('-')?;
            add(amount(y, "year")?, amount(m, "month")?)?
        }
        (Some(from), Some(to)) => clock(text, from, to)?,
        (None, _) => worded(text)?,
    };
    Some(match (value, negative) {
        (ScalarValue::IntervalMonths(v), true) => ScalarValue::IntervalMonths(v.checked_neg()?),
        (ScalarValue::IntervalMicros(v), true) => ScalarValue::IntervalMicros(v.checked_neg()?),
        (value, _) => value,
    })
}

/// `90` days, `1.5` seconds.
fn amount(text: &str, unit: &str) -> Option<ScalarValue> {
    let micros = |per_unit: i64| -> Option<ScalarValue> {
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        if fraction.len() > 12 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let mut total = (whole as i128).checked_mul(per_unit as i128)?;
        if !fraction.is_empty() {
            let part = fraction.parse::<i128>().ok()? * per_unit as i128 / 10i128.pow(fraction.len() as u32);
            total += if whole < 0 { -part } else { part };
        }
        Some(ScalarValue::IntervalMicros(i64::try_from(total).ok()?))
    };
    let months = |per_unit: i32| -> Option<ScalarValue> {
        let n: i32 = text.trim().parse().ok()?;
        Some(ScalarValue::IntervalMonths(n.checked_mul(per_unit)?))
    };
    match unit {
        "year" => months(12),
        "quarter" => months(3),
        "month" => months(1),
        "week" => micros(7 * MICROS_PER_DAY),
        "day" => micros(MICROS_PER_DAY),
        "hour" => micros(3600 * MICROS_PER_SECOND),
        "minute" => micros(60 * MICROS_PER_SECOND),
        "second" => micros(MICROS_PER_SECOND),
        "millisecond" => micros(1000),
        "microsecond" => micros(1),
        _ => None,
    }
}

fn add(a: ScalarValue, b: ScalarValue) -> Option<ScalarValue> {
    match (a, b) {
        (ScalarValue::IntervalMonths(a), ScalarValue::IntervalMonths(b)) => {
            Some(ScalarValue::IntervalMonths(a.checked_add(b)?))
        }
        (ScalarValue::IntervalMicros(a), ScalarValue::IntervalMicros(b)) => {
            Some(ScalarValue::IntervalMicros(a.checked_add(b)?))
        }
        _ => None,
    }
}

/// `2 03:04:05.678` from day to second, or a part of it.
fn clock(text: &str, from: &str, to: &str) -> Option<ScalarValue> {
    let units = ["day", "hour", "minute", "second"];
    let first = units.iter().position(|u| *u == from)?;
    let last = units.iter().position(|u| *u == to)?;
    let parts: Vec<&str> = text.split([' ', ':']).filter(|p| !p.is_empty()).collect();
    if last < first || parts.len() != last - first + 1 {
        return None;
    }
    let mut total = ScalarValue::IntervalMicros(0);
    for (part, unit) in parts.iter().zip(&units[first..]) {
        total = add(total, amount(part, unit)?)?;
    }
    Some(total)
}

/// `1 day 2 hours`
fn worded(text: &str) -> Option<ScalarValue> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut total: Option<ScalarValue> = None;
    for pair in words.chunks(2) {
        let [number, unit] = pair else { return None };
        let unit = unit.to_lowercase();
        let part = amount(number, unit.strip_suffix('s').unwrap_or(&unit))?;
        total = Some(match total {
            Some(total) => add(total, part)?,
            None => part,
        });
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{TIMESTAMP, timestamp_tz};

    #[test]
    fn typed_texts_are_read() {
        let shown = |s: &str, t: &DataType| parse_literal(s, t).map(|v| v.to_string());
        assert_eq!(shown("1995-3-15", &DataType::Date32).unwrap(), "DATE '1995-03-15'");
        assert_eq!(shown("1995-02-30", &DataType::Date32), None);
        assert_eq!(
            shown("2020-01-01 12:30:05.25", &TIMESTAMP).unwrap(),
            "TIMESTAMP '2020-01-01 12:30:05.250000'"
        );
        let berlin = parse_literal("2020-07-01 12:00 Europe/Berlin", &timestamp_tz("UTC")).unwrap();
        assert_eq!(berlin.data_type(), timestamp_tz("Europe/Berlin"));
        assert_eq!(
            berlin.as_f64().unwrap() as i64 % MICROS_PER_DAY,
            10 * 3600 * MICROS_PER_SECOND
        );
        assert!(has_zone("2020-01-01 10:00:00+02:00") && !has_zone("2020-01-01 10:00:00"));
    }

    #[test]
    fn intervals_are_read() {
        let micros = |s, from, to| match parse_interval(s, from, to) {
            Some(ScalarValue::IntervalMicros(v)) => v,
            other => panic!("{other:?}"),
        };
        assert_eq!(micros("90", Some("day"), None), 90 * MICROS_PER_DAY);
        assert_eq!(micros("-1.5", Some("second"), None), -1_500_000);
        assert_eq!(
            micros("2 03:04:05", Some("day"), Some("second")),
            2 * MICROS_PER_DAY + 11_045 * MICROS_PER_SECOND
        );
        assert_eq!(
            micros("1 day 2 hours", None, None),
            MICROS_PER_DAY + 7200 * MICROS_PER_SECOND
        );
        assert_eq!(
            parse_interval("1-2", Some("year"), Some("month")),
            Some(ScalarValue::IntervalMonths(14))
        );
        assert_eq!(parse_interval("x", Some("day"), None), None);
    }
}
