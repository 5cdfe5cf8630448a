//! Dates and timestamps as text: MySQL's and Joda's patterns, ISO 8601.

use super::arguments::Values;
use super::calendar::*;
use super::datetime::{Locals, literal_text, out_of_range};
use super::typing::{BIGINT, DATE, DOUBLE, STRING, exactly, one_moment, overload};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, INTERVAL_DAY, ScalarValue, TIMESTAMP, timestamp_tz};
use crate::vector::Column;
use arrow::array::*;
use arrow::datatypes::*;
use std::fmt::Write;
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

// ---- Patterns ----

/// A part of a timestamp that can be written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    TwoDigitYear,
    Month,
    MonthName,
    ShortMonthName,
    Day,
    DayOfYear,
    WeekYear,
    Week,
    /// 1 for Monday to 7 for Sunday.
    DayOfWeek,
    DayName,
    ShortDayName,
    /// 0 to 23.
    Hour,
    /// 1 to 24.
    HourFrom1,
    /// 0 to 11.
    HalfdayHour,
    /// 1 to 12.
    ClockHour,
    Minute,
    Second,
    /// Digits after the point of the second.
    Fraction,
    HalfDay,
    /// `+0100`, or with a width of 2 `+01:00`.
    Offset,
    ZoneName,
    Era,
    Century,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A field, padded with zeros to a number of digits.
    Part(Part, usize),
}

/// A way to write and read timestamps.
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

impl Pattern {
    /// `%Y-%m-%d`.
    fn mysql(text: &str) -> Result<Self> {
        use Part::*;
        let mut pieces = Pieces::default();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                pieces.text(c);
                continue;
            }
            let Some(specifier) = rest.next() else {
                return Err(Error::execution(format!("date format \"{text}\" ends with %")));
            };
            match specifier {
                'a' => pieces.field(ShortDayName, 0),
                'b' => pieces.field(ShortMonthName, 0),
                'c' => pieces.field(Month, 1),
                'd' => pieces.field(Day, 2),
                'e' => pieces.field(Day, 1),
                'f' => pieces.field(Fraction, 6),
                'H' => pieces.field(Hour, 2),
                'h' | 'I' => pieces.field(ClockHour, 2),
                'i' => pieces.field(Minute, 2),
                'j' => pieces.field(DayOfYear, 3),
                'k' => pieces.field(Hour, 1),
                'l' => pieces.field(ClockHour, 1),
                'M' => pieces.field(MonthName, 0),
                'm' => pieces.field(Month, 2),
                'p' => pieces.field(HalfDay, 0),
                'r' => pieces.fields(&[(ClockHour, 2), (Minute, 2), (Second, 2)], ':', Some(HalfDay)),
                'S' | 's' => pieces.field(Second, 2),
                'T' => pieces.fields(&[(Hour, 2), (Minute, 2), (Second, 2)], ':', None),
                'v' => pieces.field(Week, 2),
                'W' => pieces.field(DayName, 0),
                'x' => pieces.field(WeekYear, 4),
                'Y' => pieces.field(Year, 4),
                'y' => pieces.field(TwoDigitYear, 2),
                'D' | 'U' | 'u' | 'V' | 'w' | 'X' => {
                    return Err(Error::unsupported(format!("%{specifier} in date format \"{text}\"")));
                }
                other => pieces.text(other),
            }
        }
        Ok(pieces.finish(text))
    }

    /// `yyyy-MM-dd`.
    fn joda(text: &str) -> Result<Self> {
        use Part::*;
        let mut pieces = Pieces::default();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            if c == '\'' {
                read_quoted(&mut rest, &mut pieces);
                continue;
            }
            if !c.is_ascii_alphabetic() {
                pieces.text(c);
                continue;
            }
            let mut width = 1;
            while rest.next_if_eq(&c).is_some() {
                width += 1;
            }
            match (c, width) {
                ('G', _) => pieces.field(Era, 0),
                ('C', n) => pieces.field(Century, n),
                ('y' | 'Y' | 'u', 2) => pieces.field(TwoDigitYear, 2),
                ('y' | 'Y' | 'u', n) => pieces.field(Year, n),
                ('x', n) => pieces.field(WeekYear, n),
                ('w', n) => pieces.field(Week, n),
                ('e', n) => pieces.field(DayOfWeek, n),
                ('E', 1..=3) => pieces.field(ShortDayName, 0),
                ('E', _) => pieces.field(DayName, 0),
                ('D', n) => pieces.field(DayOfYear, n),
                ('M' | 'L', n @ 1..=2) => pieces.field(Month, n),
                ('M' | 'L', 3) => pieces.field(ShortMonthName, 0),
                ('M' | 'L', _) => pieces.field(MonthName, 0),
                ('d', n) => pieces.field(Day, n),
                ('a', _) => pieces.field(HalfDay, 0),
                ('K', n) => pieces.field(HalfdayHour, n),
                ('h', n) => pieces.field(ClockHour, n),
                ('H', n) => pieces.field(Hour, n),
                ('k', n) => pieces.field(HourFrom1, n),
                ('m', n) => pieces.field(Minute, n),
                ('s', n) => pieces.field(Second, n),
                ('S', n) => pieces.field(Fraction, n),
                ('Z', n @ 1..=2) => pieces.field(Offset, n),
                ('X', _) => pieces.field(Offset, 2),
                ('z' | 'Z', _) => pieces.field(ZoneName, 0),
                _ => {
                    return Err(
                        Error::execution(format!("date format \"{text}\" has the unknown letter {c}"))
                            .with_hint("letters that stand for themselves go between single quotes"),
                    );
                }
            }
        }
        Ok(pieces.finish(text))
    }

    fn write(&self, local: i64, zone: &Zone, out: &mut String) {
        let moment = Moment::new(local, zone);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Part(field, width) => moment.write(*field, *width, out),
            }
        }
    }

    /// The timestamp in a text, and its offset when it names one.
    fn read(&self, text: &str) -> Result<i64> {
        let fail =
            |what: &str| Error::execution(format!("\"{text}\" does not fit the format \"{}\": {what}", self.text));
        let mut parsed = Parsed::default();
        let mut rest = text;
        for (i, piece) in self.pieces.iter().enumerate() {
            rest = match piece {
                Piece::Text(expected) => rest
                    .strip_prefix(expected.as_str())
                    .ok_or_else(|| fail(&format!("expected \"{expected}\" at \"{rest}\"")))?,
                Piece::Part(field, width) => {
                    let adjacent = matches!(self.pieces.get(i + 1), Some(Piece::Part(next, _)) if next.is_number());
                    parsed
                        .read(*field, *width, adjacent, rest)
                        .ok_or_else(|| fail(&format!("no {field:?} at \"{rest}\"")))?
                }
            };
        }
        if !rest.is_empty() {
            return Err(fail(&format!("\"{rest}\" is left over")));
        }
        parsed.finish().ok_or_else(|| fail("there is no such date or time"))
    }
}

#[derive(Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    fn text(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.0.push(Piece::Text(c.to_string())),
        }
    }

    fn field(&mut self, field: Part, width: usize) {
        self.0.push(Piece::Part(field, width.min(32)));
    }

    fn fields(&mut self, fields: &[(Part, usize)], separator: char, last: Option<Part>) {
        for (i, (field, width)) in fields.iter().enumerate() {
            if i > 0 {
                self.text(separator);
            }
            self.field(*field, *width);
        }
        if let Some(last) = last {
            self.text(' ');
            self.field(last, 0);
        }
    }

    fn finish(self, text: &str) -> Pattern {
        Pattern {
            text: text.to_string(),
            pieces: self.0,
        }
    }
}

/// Reads up to the closing quote; two quotes stand for one.
fn read_quoted(rest: &mut std::iter::Peekable<std::str::Chars>, pieces: &mut Pieces) {
    if rest.next_if_eq(&'\'').is_some() {
        pieces.text('\'');
        return;
    }
    while let Some(c) = rest.next() {
        match c {
            '\'' if rest.next_if_eq(&'\'').is_none() => return,
            other => pieces.text(other),
        }
    }
}

// ---- Writing ----

/// A timestamp taken apart once for all fields.
struct Moment<'a> {
    day: i32,
    date: Civil,
    time: i64,
    local: i64,
    zone: &'a Zone,
}

impl<'a> Moment<'a> {
    fn new(local: i64, zone: &'a Zone) -> Self {
        let (day, time) = split_micros(local);
        Self {
            day,
            date: civil(day),
            time,
            local,
            zone,
        }
    }

    fn write(&self, field: Part, width: usize, out: &mut String) {
        let hour = self.time / MICROS_PER_HOUR;
        let number = match field {
            Part::Year => self.date.year as i64,
            Part::TwoDigitYear => self.date.year.rem_euclid(100) as i64,
            Part::Century => self.date.year as i64 / 100,
            Part::Month => self.date.month as i64,
            Part::Day => self.date.day as i64,
            Part::DayOfYear => day_of_year(self.day),
            Part::WeekYear => iso_week(self.day).0,
            Part::Week => iso_week(self.day).1,
            Part::DayOfWeek => day_of_week(self.day),
            Part::Hour => hour,
            Part::HourFrom1 => (hour + 23) % 24 + 1,
            Part::HalfdayHour => hour % 12,
            Part::ClockHour => (hour + 11) % 12 + 1,
            Part::Minute => self.time / MICROS_PER_MINUTE % 60,
            Part::Second => self.time / MICROS_PER_SECOND % 60,
            _ => return self.write_text(field, width, out),
        };
        push_padded(number, width, out);
    }

    fn write_text(&self, field: Part, width: usize, out: &mut String) {
        let name = |names: &[&'static str], i: usize| names.get(i).copied().unwrap_or_default();
        let month = name(&MONTHS, self.date.month as usize - 1);
        let weekday = name(&WEEKDAYS, day_of_week(self.day) as usize - 1);
        match field {
            Part::MonthName => out.push_str(month),
            Part::ShortMonthName => out.push_str(month.get(..3).unwrap_or(month)),
            Part::DayName => out.push_str(weekday),
            Part::ShortDayName => out.push_str(weekday.get(..3).unwrap_or(weekday)),
            Part::HalfDay => out.push_str(if self.time < MICROS_PER_DAY / 2 { "AM" } else { "PM" }),
            Part::Era => out.push_str(if self.date.year > 0 { "AD" } else { "BC" }),
            Part::Fraction => {
                let digits = format!("{:06}{:026}", self.time % MICROS_PER_SECOND, 0);
                out.push_str(digits.get(..width).unwrap_or(&digits));
            }
            Part::Offset => {
                let text = self.zone.offset_text(self.zone.instant(self.local));
                out.extend(text.chars().filter(|c| width == 2 || *c != ':'));
            }
            _ => match self.zone {
                Zone::Fixed(0) => out.push_str("UTC"),
                Zone::Fixed(_) => out.push_str(&self.zone.offset_text(0)),
                Zone::Named(zone) => out.push_str(zone.name()),
            },
        }
    }
}

/// Appends a number with at least `width` digits.
fn push_padded(number: i64, width: usize, out: &mut String) {
    if number < 0 {
        out.push('-');
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "{:0width$}", number.unsigned_abs());
}

// ---- Reading ----

/// What has been read of a timestamp so far.
#[derive(Debug, Default)]
struct Parsed {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    week: Option<(Option<i64>, Option<i64>, Option<i64>)>,
    hour: i64,
    half_hour: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    micros: i64,
    zone: Option<Zone>,
}

impl Part {
    fn is_number(self) -> bool {
        use Part::*;
        !matches!(
            self,
            MonthName | ShortMonthName | DayName | ShortDayName | HalfDay | Offset | ZoneName | Era
        )
    }

    /// The most digits that are read.
    fn digits(self) -> usize {
        match self {
            Part::Year | Part::WeekYear => 9,
            Part::DayOfYear => 3,
            Part::DayOfWeek => 1,
            Part::Fraction => 9,
            _ => 2,
        }
    }
}

impl Parsed {
    /// Reads a field and gives what follows it. When a number follows directly, only `width` digits are read.
    fn read<'t>(&mut self, field: Part, width: usize, adjacent: bool, text: &'t str) -> Option<&'t str> {
        use Part::*;
        if !field.is_number() {
            return self.read_text(field, text);
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) if matches!(field, Year | WeekYear) => (true, rest),
            _ => (false, text),
        };
        let most = if adjacent {
            width.max(1)
        } else {
            field.digits().max(width)
        };
        let count = digits.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = digits.split_at_checked(count)?;
        let number: i64 = digits.parse().ok()?;
        let number = if negative { -number } else { number };
        let week = self.week.unwrap_or_default();
        match field {
            Year => self.year = Some(number),
            TwoDigitYear if count > 2 => self.year = Some(number),
            TwoDigitYear => self.year = Some(if number < 70 { 2000 + number } else { 1900 + number }),
            Century => {}
            Month => self.month = Some(number),
            Day => self.day = Some(number),
            DayOfYear => self.day_of_year = Some(number),
            WeekYear => self.week = Some((Some(number), week.1, week.2)),
            Week => self.week = Some((week.0, Some(number), week.2)),
            DayOfWeek => self.week = Some((week.0, week.1, Some(number))),
            Hour => self.hour = Some(number).filter(|h| *h < 24)?,
            HourFrom1 => self.hour = Some(number % 24).filter(|_| (1..=24).contains(&number))?,
            HalfdayHour | ClockHour => self.half_hour = Some(Some(number % 12).filter(|_| number <= 12)?),
            Minute => self.minute = Some(number).filter(|m| *m < 60)?,
            Second => self.second = Some(number).filter(|s| *s < 60)?,
            _ => self.micros = fraction_micros(digits),
        }
        Some(rest)
    }

    fn read_text<'t>(&mut self, field: Part, text: &'t str) -> Option<&'t str> {
        match field {
            Part::MonthName | Part::ShortMonthName => {
                let (i, rest) = read_name(&MONTHS, text)?;
                self.month = Some(i as i64 + 1);
                Some(rest)
            }
            Part::DayName | Part::ShortDayName => read_name(&WEEKDAYS, text).map(|(_, rest)| rest),
            Part::HalfDay => {
                let (half, rest) = text.split_at_checked(2)?;
                self.afternoon = half.eq_ignore_ascii_case("pm");
                (self.afternoon || half.eq_ignore_ascii_case("am")).then_some(rest)
            }
            Part::Era => text.strip_prefix("AD").or_else(|| text.strip_prefix("CE")),
            _ => {
                let end = text
                    .find(|c: char| !c.is_alphanumeric() && !matches!(c, '+' | '-' | ':' | '/' | '_'))
                    .unwrap_or(text.len());
                let (name, rest) = text.split_at_checked(end)?;
                self.zone = Some(Zone::parse(name).ok()?);
                Some(rest)
            }
        }
    }

    /// The instant in microseconds, of a UTC clock when no zone was read.
    fn finish(self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let day = match (self.day_of_year, self.week) {
            (Some(n), _) => {
                let day = days_of(year, 1, 1) + n - 1;
                Some(day as i32).filter(|_| n >= 1 && n <= 365 + is_leap(year) as i64)?
            }
            (None, Some((week_year, Some(week), weekday))) if self.month.is_none() => {
                week_date(week_year.unwrap_or(year), week, weekday.unwrap_or(1))?
            }
            _ => checked_days_of(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour = match self.half_hour {
            Some(hour) => hour + if self.afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let time =
            hour * MICROS_PER_HOUR + self.minute * MICROS_PER_MINUTE + self.second * MICROS_PER_SECOND + self.micros;
        let local = (day as i64).checked_mul(MICROS_PER_DAY)?.checked_add(time)?;
        Some(self.zone.unwrap_or(Zone::UTC).instant(local))
    }
}

/// The first digits of a fraction of a second as microseconds.
fn fraction_micros(digits: &str) -> i64 {
    let micros = digits.bytes().chain(std::iter::repeat(b'0')).take(6);
    micros.fold(0, |value, digit| value * 10 + (digit - b'0') as i64)
}

/// The index of the name, long or cut to three letters, at the start of the text, and what follows.
fn read_name<'t>(names: &[&str], text: &'t str) -> Option<(usize, &'t str)> {
    let starts = |name: &str| {
        text.get(..name.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(name))
    };
    let long = names
        .iter()
        .position(|name| starts(name))
        .map(|i| (i, names.get(i).map_or(0, |n| n.len())));
    let short = || {
        names
            .iter()
            .position(|name| name.get(..3).is_some_and(starts))
            .map(|i| (i, 3))
    };
    let (i, length) = long.or_else(short)?;
    Some((i, text.get(length..)?))
}

/// Monday is day 1 of a week.
fn week_date(year: i64, week: i64, weekday: i64) -> Option<i32> {
    let fourth = days_of(Some(year).filter(|y| y.abs() < 5_000_000)?, 1, 4);
    let monday = fourth - day_of_week(fourth as i32) + 1;
    let day = i32::try_from(monday + (week - 1) * 7 + weekday - 1).ok()?;
    let exists = (1..=7).contains(&weekday) && week >= 1 && iso_week(day) == (year, week);
    exists.then_some(day)
}

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
    if a.len() == 1 {
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
    match a.len() {
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
    match a.len() {
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
