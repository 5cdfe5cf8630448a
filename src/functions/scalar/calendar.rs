//! The proleptic Gregorian calendar in integer arithmetic, and time zones.

use crate::error::{Error, Result, nearest};
use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, offset::LocalResult};

pub(super) const MICROS_PER_MILLI: i64 = 1_000;
pub(super) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(super) const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub(super) const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
pub(super) const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Monday first, as ISO counts.
pub(super) const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// Year, month 1 to 12, day 1 to 31.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    pub year: i32,
    pub month: u32,
    pub day: u32,
}

/// The calendar date of a day counted from 1970-01-01.
///
/// Neri and Schneider, "Euclidean affine functions and their application to calendar algorithms" (2022): years begin in
/// March, so that the leap day is the last of the year; divisions by constants become multiplications.
#[inline]
pub(super) fn civil(days: i32) -> Civil {
    const CYCLES: i64 = 14_700;
    let n = (days as i64 + 719_468 + CYCLES * 146_097) as u64;
    let n = 4 * n + 3;
    let century = n / 146_097;
    let n = 4 * ((n % 146_097) / 4) + 3;
    let product = 2_939_745 * n;
    let year_of_century = product >> 32;
    let day_of_year = (product as u32 as u64) / 2_939_745 / 4;
    let n = 2_141 * day_of_year + 197_913;
    let (month, day) = (n >> 16, (n & 0xffff) / 2_141);
    let wraps = day_of_year >= 306;
    Civil {
        year: (100 * century + year_of_century) as i32 - 400 * CYCLES as i32 + wraps as i32,
        month: if wraps { month - 12 } else { month } as u32,
        day: day as u32 + 1,
    }
}

/// Days from 1970-01-01 to the date; months and days beyond their range carry over.
#[inline]
pub(super) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

pub(super) fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

pub(super) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 when the date exists.
pub(super) fn checked_days_of(year: i64, month: i64, day: i64) -> Option<i32> {
    let exists = (1..=12).contains(&month)
        && day >= 1
        && day <= days_in_month(year, month as u32) as i64
        && (-5_000_000..=5_000_000).contains(&year);
    exists.then(|| i32::try_from(days_of(year, month, day)).ok()).flatten()
}

/// 1 for Monday to 7 for Sunday.
#[inline]
pub(super) fn day_of_week(days: i32) -> i64 {
    (days as i64 + 3).rem_euclid(7) + 1
}

/// 1 to 366.
pub(super) fn day_of_year(days: i32) -> i64 {
    days as i64 - days_of(civil(days).year as i64, 1, 1) + 1
}

/// The ISO year and week of that year: week 1 has the year's first Thursday.
pub(super) fn iso_week(days: i32) -> (i64, i64) {
    let thursday = days as i64 - day_of_week(days) + 4;
    let year = civil(thursday as i32).year as i64;
    (year, (thursday - days_of(year, 1, 1)) / 7 + 1)
}

/// The date some months later; a day that the month does not have becomes its last.
pub(super) fn add_months(days: i32, months: i64) -> Option<i32> {
    let date = civil(days);
    let total = (date.year as i64 * 12 + date.month as i64 - 1).checked_add(months)?;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    if !(-5_000_000..=5_000_000).contains(&year) {
        return None;
    }
    let day = date.day.min(days_in_month(year, month));
    i32::try_from(days_of(year, month as i64, day as i64)).ok()
}

/// Splits microseconds into the day and the microsecond of the day.
#[inline]
pub(super) fn split_micros(micros: i64) -> (i32, i64) {
    (
        micros.div_euclid(MICROS_PER_DAY) as i32,
        micros.rem_euclid(MICROS_PER_DAY),
    )
}

/// Units that dates are counted and cut in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

const UNITS: [(&str, Unit); 10] = [
    ("microsecond", Unit::Microsecond),
    ("millisecond", Unit::Millisecond),
    ("second", Unit::Second),
    ("minute", Unit::Minute),
    ("hour", Unit::Hour),
    ("day", Unit::Day),
    ("week", Unit::Week),
    ("month", Unit::Month),
    ("quarter", Unit::Quarter),
    ("year", Unit::Year),
];

impl Unit {
    /// Reads a unit in any case.
    pub fn parse(name: &str) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        UNITS
            .iter()
            .find(|(n, _)| *n == lower)
            .map(|(_, unit)| *unit)
            .ok_or_else(|| {
                let names = UNITS.map(|(n, _)| n);
                let error = Error::execution(format!("\"{name}\" is not a unit of time"));
                match nearest(&lower, names) {
                    Some(best) => error.with_hint(format!("did you mean \"{best}\"?")),
                    None => error.with_hint(format!("expected one of {}", names.join(", "))),
                }
            })
    }

    /// Its length, when it always has the same.
    pub fn micros(self) -> Option<i64> {
        Some(match self {
            Unit::Microsecond => 1,
            Unit::Millisecond => MICROS_PER_MILLI,
            Unit::Second => MICROS_PER_SECOND,
            Unit::Minute => MICROS_PER_MINUTE,
            Unit::Hour => MICROS_PER_HOUR,
            Unit::Day => MICROS_PER_DAY,
            Unit::Week => 7 * MICROS_PER_DAY,
            _ => return None,
        })
    }

    /// Its length in months, when it is made of months.
    pub fn months(self) -> Option<i64> {
        match self {
            Unit::Month => Some(1),
            Unit::Quarter => Some(3),
            Unit::Year => Some(12),
            _ => None,
        }
    }

    /// The first day of the unit that holds the day; units below a day change nothing.
    pub fn first_day(self, days: i32) -> i32 {
        let first = |year: i32, month: u32| days_of(year as i64, month as i64, 1) as i32;
        match self {
            Unit::Week => days.saturating_sub(day_of_week(days) as i32 - 1),
            Unit::Month => days.saturating_sub(civil(days).day as i32 - 1),
            Unit::Quarter => {
                let date = civil(days);
                first(date.year, (date.month - 1) / 3 * 3 + 1)
            }
            Unit::Year => first(civil(days).year, 1),
            _ => days,
        }
    }
}

/// A place's clock.
#[derive(Debug, Clone, Copy)]
pub(super) enum Zone {
    /// Always this many microseconds ahead of UTC.
    Fixed(i64),
    Named(chrono_tz::Tz),
}

impl Zone {
    pub const UTC: Self = Self::Fixed(0);

    /// Reads `UTC`, `Z`, `+02:00`, `-0530`, `Europe/Paris`.
    pub fn parse(name: &str) -> Result<Self> {
        if ["UTC", "Z", "GMT", "ETC/UTC", "UT"].contains(&name.to_ascii_uppercase().as_str()) {
            return Ok(Self::UTC);
        }
        if let Some(offset) = parse_offset(name) {
            return Ok(Self::Fixed(offset));
        }
        let known = chrono_tz::TZ_VARIANTS
            .iter()
            .find(|zone| zone.name().eq_ignore_ascii_case(name));
        known.map(|zone| Self::Named(*zone)).ok_or_else(|| {
            Error::execution(format!("\"{name}\" is not a time zone"))
                .with_nearest(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))
                .with_hint("expected a name such as Europe/Paris, an offset such as +02:00, or UTC")
        })
    }

    /// The zone of a timestamp type; plain timestamps are read as they are written.
    pub fn of(zone: Option<&str>) -> Result<Self> {
        zone.map_or(Ok(Self::UTC), Self::parse)
    }

    /// How far the clock is ahead of UTC at an instant, in microseconds.
    pub fn offset(&self, instant: i64) -> i64 {
        match self {
            Self::Fixed(offset) => *offset,
            Self::Named(zone) => match naive(instant) {
                Some(t) => zone.offset_from_utc_datetime(&t).fix().local_minus_utc() as i64 * MICROS_PER_SECOND,
                None => 0,
            },
        }
    }

    /// What the clock shows at an instant.
    pub fn local(&self, instant: i64) -> i64 {
        instant.saturating_add(self.offset(instant))
    }

    /// The instant at which the clock shows `local`: the earlier of two; in a gap, as if the clock had not been moved.
    pub fn instant(&self, local: i64) -> i64 {
        let zone = match self {
            Self::Fixed(offset) => return local.saturating_sub(*offset),
            Self::Named(zone) => zone,
        };
        let Some(clock) = naive(local) else { return local };
        let seconds = match zone.offset_from_local_datetime(&clock) {
            LocalResult::Single(o) | LocalResult::Ambiguous(o, _) => o.fix().local_minus_utc(),
            LocalResult::None => match clock.checked_sub_signed(TimeDelta::days(1)) {
                Some(before) => zone.offset_from_utc_datetime(&before).fix().local_minus_utc(),
                None => 0,
            },
        };
        local.saturating_sub(seconds as i64 * MICROS_PER_SECOND)
    }

    /// The offset as `+02:00`.
    pub fn offset_text(&self, instant: i64) -> String {
        let minutes = self.offset(instant) / MICROS_PER_MINUTE;
        let sign = if minutes < 0 { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    }
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc())
}

/// `+02:00`, `+0200`, `+02` in microseconds.
pub(super) fn parse_offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None => rest.split_at_checked(2)?,
    };
    let number = |s: &str| (s.len() <= 2 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<i64>().ok())?;
    let hours = number(hours)?;
    let minutes = if minutes.is_empty() { 0 } else { number(minutes)? };
    (hours <= 14 && minutes < 60).then_some(sign * (hours * MICROS_PER_HOUR + minutes * MICROS_PER_MINUTE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn dates_agree_with_chrono() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-800_000..800_000).step_by(13).chain(-800..800) {
            let expected = epoch + TimeDelta::days(days);
            let date = civil(days as i32);
            assert_eq!(
                (date.year, date.month, date.day),
                (expected.year(), expected.month(), expected.day())
            );
            assert_eq!(days_of(date.year as i64, date.month as i64, date.day as i64), days);
            assert_eq!(day_of_week(days as i32), expected.weekday().number_from_monday() as i64);
            assert_eq!(day_of_year(days as i32), expected.ordinal() as i64);
            let week = expected.iso_week();
            assert_eq!(iso_week(days as i32), (week.year() as i64, week.week() as i64));
        }
    }

    #[test]
    fn extreme_days_do_not_overflow() {
        for days in [i32::MIN, i32::MAX] {
            let date = civil(days);
            assert_eq!(
                days_of(date.year as i64, date.month as i64, date.day as i64),
                days as i64
            );
        }
    }

    #[test]
    fn months_clamp() {
        let day = |y, m, d| days_of(y, m, d) as i32;
        assert_eq!(add_months(day(2024, 1, 31), 1), Some(day(2024, 2, 29)));
        assert_eq!(add_months(day(2023, 3, 31), -1), Some(day(2023, 2, 28)));
        assert_eq!(add_months(0, i64::MAX), None);
    }

    #[test]
    fn zones() {
        let paris = Zone::parse("Europe/Paris").unwrap();
        let summer = days_of(2024, 7, 1) * MICROS_PER_DAY;
        assert_eq!(paris.offset(summer), 2 * MICROS_PER_HOUR);
        assert_eq!(paris.instant(paris.local(summer)), summer);
        let gap = days_of(2024, 3, 31) * MICROS_PER_DAY + 2 * MICROS_PER_HOUR + 30 * MICROS_PER_MINUTE;
        assert_eq!(paris.local(paris.instant(gap)), gap + MICROS_PER_HOUR);
        assert_eq!(
            parse_offset("-05:30"),
            Some(-(5 * MICROS_PER_HOUR + 30 * MICROS_PER_MINUTE))
        );
        assert!(
            Zone::parse("Europe/Pari")
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("Europe/Paris")
        );
    }
}
