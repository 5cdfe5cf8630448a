//! Dates and timestamps as text: MySQL's and Joda's patterns, ISO 8601.

use super::arguments::Values;
use super::calendar::*;
use super::datetime::{Locals, literal_text, out_of_range};
use super::datetime_pattern::{Pattern, fraction_micros, week_date};
use super::typing::{BIGINT, DATE, DOUBLE, STRING, exactly, one_moment};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, INTERVAL_DAY, ScalarValue, TIMESTAMP, timestamp_tz};
use crate::vector::Column;
use arrow::array::*;
use arrow::datatypes::*;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    function("date_format", |t, _| format_type(t), |a| formatted(a, Pattern::mysql)).doc(
        "date_format(timestamp, format)",
        "As text, in a pattern such as %Y-%m-%d %H:%i:%s.",
        "SELECT date_format(TIMESTAMP '2024-03-09 13:05:00', '%d.%m.%Y %H:%i')",
        "09.03.2024 13:05",
    ),
    function(
        "date_parse",
        |t, _| exactly(t, &[STRING, STRING], TIMESTAMP),
        |a| parsed(a, Pattern::mysql).map(|f| a.primitives::<TimestampMicrosecondType>(f))?,
    )
    .doc(
        "date_parse(string, format)",
        "The timestamp in a text with a pattern such as %Y-%m-%d %H:%i:%s.",
        "SELECT date_parse('09.03.2024', '%d.%m.%Y')",
        "2024-03-09 00:00:00.000",
    ),
    function(
        "format_datetime",
        |t, _| format_type(t),
        |a| formatted(a, Pattern::joda),
    )
    .doc(
        "format_datetime(timestamp, format)",
        "As text, in a pattern such as yyyy-MM-dd HH:mm:ss.",
        "SELECT format_datetime(TIMESTAMP '2024-03-09 13:05:00', 'EEE, d MMM yyyy')",
        "Sat, 9 Mar 2024",
    ),
    function(
        "parse_datetime",
        |t, _| exactly(t, &[STRING, STRING], timestamp_tz("UTC")),
        |a| parsed(a, Pattern::joda).map(|f| a.primitives::<TimestampMicrosecondType>(f))?,
    )
    .doc(
        "parse_datetime(string, format)",
        "The timestamp with time zone in a text with a pattern such as yyyy-MM-dd HH:mm:ss.",
        "SELECT to_unixtime(parse_datetime('1970-01-01 01:00 +01:00', 'yyyy-MM-dd HH:mm ZZ'))",
        "0.0",
    ),
    function("to_date", |t, _| to_date_type(t), to_date).doc(
        "to_date(x[, format])",
        "The day of a timestamp or text, in a pattern such as yyyy-MM-dd.",
        "SELECT to_date('09/03/2024', 'dd/MM/yyyy')",
        "2024-03-09",
    ),
    function("to_timestamp", |t, _| to_timestamp_type(t), to_timestamp).doc(
        "to_timestamp(x[, format])",
        "The timestamp in a text, in a pattern such as yyyy-MM-dd HH:mm:ss.",
        "SELECT to_timestamp('09/03/2024 13:05', 'dd/MM/yyyy HH:mm')",
        "2024-03-09 13:05:00.000",
    ),
    function("unix_timestamp", |t, _| unix_timestamp_type(t), unix_timestamp)
        .stable()
        .doc(
            "unix_timestamp([x[, format]])",
            "Seconds since 1970-01-01 00:00:00 UTC, of a timestamp or text, or now.",
            "SELECT unix_timestamp('1970-01-01 00:01:00')",
            "60",
        ),
    function("from_unixtime", from_unixtime_type, from_unixtime).doc(
        "from_unixtime(seconds[, zone]) or from_unixtime(seconds, hours, minutes)",
        "The timestamp with time zone so many seconds after 1970-01-01 00:00:00 UTC.",
        "SELECT to_iso8601(from_unixtime(60))",
        "1970-01-01T00:01:00.000Z",
    ),
    function(
        "from_unixtime_nanos",
        |t, _| exactly(t, &[BIGINT], timestamp_tz("UTC")),
        |a| a.map1::<Int64Type, TimestampMicrosecondType>(|n| n.div_euclid(1000)),
    )
    .doc(
        "from_unixtime_nanos(nanoseconds)",
        "The timestamp with time zone so many nanoseconds after 1970-01-01 00:00:00 UTC.",
        "SELECT to_iso8601(from_unixtime_nanos(60000000000))",
        "1970-01-01T00:01:00.000Z",
    ),
    function("to_iso8601", |t, _| iso_type(t), to_iso8601).doc(
        "to_iso8601(x)",
        "A date or timestamp as ISO 8601 writes it.",
        "SELECT to_iso8601(TIMESTAMP '2024-03-09 13:05:00')",
        "2024-03-09T13:05:00.000",
    ),
    function(
        "from_iso8601_date",
        |t, _| exactly(t, &[STRING], DATE),
        |a| {
            let s = a.strings_of(0)?;
            a.primitives::<Date32Type>(|row| {
                iso_date(s.get(row))
                    .map(Some)
                    .ok_or_else(|| not_iso("date", s.get(row)))
            })
        },
    )
    .doc(
        "from_iso8601_date(string)",
        "The date in a text such as 2024-03-09, 2024-W10-6 or 2024-069.",
        "SELECT from_iso8601_date('2024-W10-6')",
        "2024-03-09",
    ),
    function(
        "from_iso8601_timestamp",
        |t, _| exactly(t, &[STRING], timestamp_tz("UTC")),
        |a| {
            let s = a.strings_of(0)?;
            a.primitives::<TimestampMicrosecondType>(|row| {
                iso_timestamp(s.get(row))
                    .map(Some)
                    .ok_or_else(|| not_iso("timestamp", s.get(row)))
            })
        },
    )
    .doc(
        "from_iso8601_timestamp(string)",
        "The timestamp with time zone in a text such as 2024-03-09T13:05:00+01:00.",
        "SELECT to_unixtime(from_iso8601_timestamp('1970-01-01T01:00:00+01:00'))",
        "0.0",
    ),
    function(
        "parse_duration",
        |t, _| exactly(t, &[STRING], INTERVAL_DAY),
        parse_duration,
    )
    .doc(
        "parse_duration(string)",
        "The interval in a text such as 3.5d, 90m or 250 ms.",
        "SELECT to_milliseconds(parse_duration('1.5 m'))",
        "90000",
    ),
];

// ---- Functions of patterns ----

fn format_type(found: &[DataType]) -> Option<Signature> {
    let [x, _] = found else { return None };
    exactly(found, &[one_moment(x)?, STRING], STRING)
}

/// The pattern in argument 1, read once when it is constant.
enum PatternArgument {
    Constant(Pattern),
    Varying(Values<StringViewArray>, fn(&str) -> Result<Pattern>),
}

impl PatternArgument {
    fn of(a: &Arguments, read: fn(&str) -> Result<Pattern>) -> Result<Self> {
        Ok(match a.constant_string(1)? {
            Some(text) => Self::Constant(read(&text)?),
            None => Self::Varying(a.strings_of(1)?, read),
        })
    }

    fn with<R>(&self, row: usize, f: impl FnOnce(&Pattern) -> Result<R>) -> Result<R> {
        match self {
            Self::Constant(pattern) => f(pattern),
            Self::Varying(texts, read) => f(&read(texts.get(row))?),
        }
    }
}

fn formatted(a: &Arguments, read: fn(&str) -> Result<Pattern>) -> Result<Column> {
    let (moments, pattern) = (Locals::of(a, 0)?, PatternArgument::of(a, read)?);
    a.strings(|row, out| {
        pattern.with(row, |pattern| {
            pattern.write(moments.get(row), &moments.zone, out);
            Ok(Some(()))
        })
    })
}

/// Reads argument 0 in the pattern of argument 1, row by row.
fn parsed(a: &Arguments, read: fn(&str) -> Result<Pattern>) -> Result<impl Fn(usize) -> Result<Option<i64>>> {
    let (s, pattern) = (a.strings_of(0)?, PatternArgument::of(a, read)?);
    Ok(move |row: usize| pattern.with(row, |pattern| pattern.read(s.get(row)).map(Some)))
}

fn to_date_type(found: &[DataType]) -> Option<Signature> {
    let [x, format @ ..] = found else { return None };
    match (x, format) {
        (DataType::Utf8View, [_]) => exactly(found, &[STRING, STRING], DATE),
        (DataType::Utf8View, []) => Some(Signature {
            arguments: vec![DATE],
            result: DATE,
        }),
        (other, []) => exactly(found, &[one_moment(other)?], DATE),
        _ => None,
    }
}

fn to_date(a: &Arguments) -> Result<Column> {
    if a.count() == 1 {
        let moments = Locals::of(a, 0)?;
        return a.primitives::<Date32Type>(|row| Ok(Some(split_micros(moments.get(row)).0)));
    }
    let read = parsed(a, Pattern::joda)?;
    a.primitives::<Date32Type>(|row| Ok(read(row)?.map(|t| split_micros(t).0)))
}

fn to_timestamp_type(found: &[DataType]) -> Option<Signature> {
    match found {
        [DataType::Utf8View, _] => exactly(found, &[STRING, STRING], TIMESTAMP),
        [DataType::Utf8View] => Some(Signature {
            arguments: vec![TIMESTAMP],
            result: TIMESTAMP,
        }),
        _ => exactly(found, &[TIMESTAMP], TIMESTAMP),
    }
}

fn to_timestamp(a: &Arguments) -> Result<Column> {
    match a.count() {
        1 => Ok(a.column(0)?.clone()),
        _ => a.primitives::<TimestampMicrosecondType>(parsed(a, Pattern::joda)?),
    }
}

fn unix_timestamp_type(found: &[DataType]) -> Option<Signature> {
    match found {
        [] => exactly(found, &[], BIGINT),
        _ => to_timestamp_type(found).map(|s| Signature { result: BIGINT, ..s }),
    }
}

fn unix_timestamp(a: &Arguments) -> Result<Column> {
    match a.count() {
        0 => Ok(a.constant(Arc::new(Int64Array::from(vec![chrono::Utc::now().timestamp()])))),
        1 => a.map1::<TimestampMicrosecondType, Int64Type>(|t| t.div_euclid(MICROS_PER_SECOND)),
        _ => {
            let read = parsed(a, Pattern::joda)?;
            a.primitives::<Int64Type>(|row| Ok(read(row)?.map(|t| t.div_euclid(MICROS_PER_SECOND))))
        }
    }
}

// ---- Unix time ----

fn from_unixtime_type(found: &[DataType], constants: &[Option<ScalarValue>]) -> Option<Signature> {
    match found.len() {
        1 => exactly(found, &[DOUBLE], timestamp_tz("UTC")),
        2 => exactly(found, &[DOUBLE, STRING], timestamp_tz(literal_text(constants, 1)?)),
        _ => {
            let number = |i: usize| constants.get(i)?.as_ref()?.as_integer();
            let minutes = number(1)?.checked_mul(60)?.checked_add(number(2)?)?;
            let sign = if minutes < 0 { '-' } else { '+' };
            let (hours, minutes) = (minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60);
            exactly(
                found,
                &[DOUBLE, BIGINT, BIGINT],
                timestamp_tz(format!("{sign}{hours:02}:{minutes:02}")),
            )
        }
    }
}

fn from_unixtime(a: &Arguments) -> Result<Column> {
    if let DataType::Timestamp(_, zone) = a.result_type {
        Zone::of(zone.as_deref())?;
    }
    let seconds = a.read::<Float64Array>(0)?;
    a.primitives::<TimestampMicrosecondType>(|row| {
        let seconds = seconds.get(row);
        let micros = (seconds * 1e6).round();
        match micros.abs() < i64::MAX as f64 {
            true => Ok(Some(micros as i64)),
            false => Err(out_of_range(&format!("{seconds} seconds after 1970-01-01"))),
        }
    })
}

// ---- ISO 8601 ----

fn iso_type(found: &[DataType]) -> Option<Signature> {
    let [x] = found else { return None };
    exactly(found, &[one_moment(x)?], STRING)
}

fn to_iso8601(a: &Arguments) -> Result<Column> {
    let moments = Locals::of(a, 0)?;
    let day = Pattern::joda("yyyy-MM-dd")?;
    let clock = Pattern::joda("'T'HH:mm:ss.SSS")?;
    let (is_date, zoned) = match a.column(0)?.data_type() {
        DataType::Timestamp(_, zone) => (false, zone.is_some()),
        _ => (true, false),
    };
    a.strings(|row, out| {
        let local = moments.get(row);
        day.write(local, &moments.zone, out);
        if !is_date {
            clock.write(local, &moments.zone, out);
        }
        if zoned {
            match moments.zone.offset_text(moments.zone.instant(local)).as_str() {
                "+00:00" => out.push('Z'),
                offset => out.push_str(offset),
            }
        }
        Ok(Some(()))
    })
}

fn not_iso(what: &str, text: &str) -> Error {
    Error::execution(format!("\"{text}\" is not an ISO 8601 {what}"))
}

/// `2024-03-09`, `2024-W10-6`, `2024-W10`, `2024-069`, `2024-03`, `2024`.
fn iso_date(text: &str) -> Option<i32> {
    let digits = |s: &str, count: usize| {
        (s.len() == count && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<i64>().ok())?
    };
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = rest.split('-');
    let year = sign * digits(parts.next()?, 4)?;
    let (second, third) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    match (second, third) {
        (None, _) => checked_days_of(year, 1, 1),
        (Some(week), weekday) if week.starts_with('W') => {
            let weekday = weekday.map_or(Some(1), |d| digits(d, 1))?;
            week_date(year, digits(week.get(1..)?, 2)?, weekday)
        }
        (Some(ordinal), None) if ordinal.len() == 3 => {
            let day = digits(ordinal, 3)?;
            let fits = day >= 1 && day <= 365 + is_leap(year) as i64;
            fits.then(|| (days_of(year, 1, 1) + day - 1) as i32)
        }
        (Some(month), day) => {
            let day = day.map_or(Some(1), |d| digits(d, 2))?;
            checked_days_of(year, digits(month, 2)?, day)
        }
    }
}

/// A date, then perhaps `T13:05:00.123` and a zone; UTC without one.
fn iso_timestamp(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once('T').unwrap_or((text, ""));
    let midnight = iso_date(date)? as i64 * MICROS_PER_DAY;
    let end = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at_checked(end)?;
    let zone = if zone.is_empty() {
        Zone::UTC
    } else {
        Zone::parse(zone).ok()?
    };
    let mut parts = clock.split(':');
    let mut number = |limit: i64| match parts.next() {
        None | Some("") => Some(0),
        Some(part) => part
            .parse::<i64>()
            .ok()
            .filter(|n| (0..limit).contains(n) && part.len() == 2),
    };
    let (hour, minute) = (number(24)?, number(60)?);
    let (second, fraction) = match parts.next() {
        None => (0, ""),
        Some(part) => {
            let (second, fraction) = part.split_once(['.', ',']).unwrap_or((part, ""));
            (second.parse::<i64>().ok().filter(|s| (0..60).contains(s))?, fraction)
        }
    };
    if parts.next().is_some() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let time = hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND;
    Some(zone.instant(midnight + time + fraction_micros(fraction)))
}

fn parse_duration(a: &Arguments) -> Result<Column> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-3),
        ("us", 1.0),
        ("ms", 1e3),
        ("s", 1e6),
        ("m", 60e6),
        ("h", 3_600e6),
        ("d", 86_400e6),
    ];
    let s = a.strings_of(0)?;
    a.primitives::<DurationMicrosecondType>(|row| {
        let text = s.get(row).trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
        let length = UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .map(|(_, length)| *length);
        match (number.parse::<f64>(), length) {
            (Ok(number), Some(length)) if number * length < i64::MAX as f64 => {
                Ok(Some((number * length).round() as i64))
            }
            _ => Err(Error::execution(format!("\"{text}\" is not a duration"))
                .with_hint("expected a number and one of ns, us, ms, s, m, h, d")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use super::*;
    use crate::types::ScalarValue::{Date, Float64, Int64, Timestamp};

    fn at(y: i64, m: i64, d: i64, micros: i64) -> ScalarValue {
        Timestamp(days_of(y, m, d) * MICROS_PER_DAY + micros, None)
    }

    const CLOCK: i64 = 13 * MICROS_PER_HOUR + 5 * MICROS_PER_MINUTE + 9 * MICROS_PER_SECOND + 123_456;

    #[test]
    fn mysql_patterns() {
        let x = at(2024, 3, 9, CLOCK);
        let format = |f: &str| call("date_format", &[x.clone(), text(f)]);
        assert_eq!(format("%Y-%m-%d %H:%i:%s.%f"), text("2024-03-09 13:05:09.123456"));
        assert_eq!(format("%a %b %e %c %y %j"), text("Sat Mar 9 3 24 069"));
        assert_eq!(
            format("%W %M %r | %T | %l %p %%"),
            text("Saturday March 01:05:09 PM | 13:05:09 | 1 PM %")
        );
        assert_eq!(format("yyyy-MM"), text("yyyy-MM"));
        assert!(error("date_format", &[x, text("%U")]).contains("%U"));
        let parse = |s: &str, f: &str| call("date_parse", &[text(s), text(f)]);
        assert_eq!(
            parse("2024-03-09 13:05:09.123456", "%Y-%m-%d %H:%i:%s.%f"),
            at(2024, 3, 9, CLOCK)
        );
        assert_eq!(
            parse("9 march 2024 01 PM", "%e %M %Y %h %p"),
            at(2024, 3, 9, 13 * MICROS_PER_HOUR)
        );
        assert_eq!(parse("20240309", "%Y%m%d"), at(2024, 3, 9, 0));
        assert!(error("date_parse", &[text("2024-02-30"), text("%Y-%m-%d")]).contains("no such date"));
        assert!(error("date_parse", &[text("2024x"), text("%Y")]).contains("left over"));
    }

    #[test]
    fn joda_patterns() {
        let x = at(2024, 3, 9, CLOCK);
        let format = |f: &str| call("format_datetime", &[x.clone(), text(f)]);
        assert_eq!(format("yyyy-MM-dd'T'HH:mm:ss.SSS"), text("2024-03-09T13:05:09.123"));
        assert_eq!(
            format("EEEE, d MMMM yy h:mm a ''"),
            text("Saturday, 9 March 24 1:05 PM '")
        );
        assert_eq!(format("xxxx-'W'ww-e D Z ZZ"), text("2024-W10-6 69 +0000 +00:00"));
        assert!(error("format_datetime", &[x.clone(), text("yyyy-bb")]).contains("letter b"));
        let utc = call(
            "parse_datetime",
            &[text("2024-03-09 14:05 +01:00"), text("yyyy-MM-dd HH:mm ZZ")],
        );
        assert_eq!(
            utc,
            Timestamp(
                days_of(2024, 3, 9) * MICROS_PER_DAY + 785 * MICROS_PER_MINUTE,
                Some("UTC".into())
            )
        );
        assert_eq!(
            call("to_date", &[text("09.03.2024"), text("dd.MM.yyyy")]),
            Date(days_of(2024, 3, 9) as i32)
        );
    }

    #[test]
    fn iso_and_unix() {
        let day = |s: &str| call("from_iso8601_date", &[text(s)]);
        let march9 = Date(days_of(2024, 3, 9) as i32);
        assert_eq!(
            (day("2024-W10-6"), day("2024-069"), day("2024-03-09")),
            (march9.clone(), march9.clone(), march9)
        );
        assert!(error("from_iso8601_date", &[text("2024-W54")]).contains("ISO 8601"));
        let stamp = call("from_iso8601_timestamp", &[text("1970-01-01T01:00:00.5+01:00")]);
        assert_eq!(stamp, Timestamp(500_000, Some("UTC".into())));
        assert_eq!(call("to_iso8601", &[stamp]), text("1970-01-01T00:00:00.500Z"));
        let paris = call("from_unixtime", &[Float64(0.5), text("Europe/Paris")]);
        assert_eq!(call("to_iso8601", &[paris]), text("1970-01-01T01:00:00.500+01:00"));
        let shifted = call("from_unixtime", &[Int64(0), Int64(-3), Int64(-30)]);
        assert_eq!(call("to_iso8601", &[shifted]), text("1969-12-31T20:30:00.000-03:30"));
        assert_eq!(
            call("to_milliseconds", &[call("parse_duration", &[text("1.5 m")])]),
            Int64(90_000)
        );
    }
}
