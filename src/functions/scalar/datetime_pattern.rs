//! Patterns of dates and timestamps, MySQL's and Joda's: reading a pattern, writing with it, reading with it.

use super::calendar::*;
use crate::error::{Error, Result};
use std::fmt::Write;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

impl Pattern {
    /// `%Y-%m-%d`.
    pub fn mysql(text: &str) -> Result<Self> {
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
    pub fn joda(text: &str) -> Result<Self> {
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

    pub(super) fn write(&self, local: i64, zone: &Zone, out: &mut String) {
        let moment = Moment::new(local, zone);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Part(field, width) => moment.write(*field, *width, out),
            }
        }
    }

    /// The timestamp in a text, and its offset when it names one.
    pub fn read(&self, text: &str) -> Result<i64> {
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
pub(super) fn fraction_micros(digits: &str) -> i64 {
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
pub(super) fn week_date(year: i64, week: i64, weekday: i64) -> Option<i32> {
    let fourth = days_of(Some(year).filter(|y| y.abs() < 5_000_000)?, 1, 4);
    let monday = fourth - day_of_week(fourth as i32) + 1;
    let day = i32::try_from(monday + (week - 1) * 7 + weekday - 1).ok()?;
    let exists = (1..=7).contains(&weekday) && week >= 1 && iso_week(day) == (year, week);
    exists.then_some(day)
}
