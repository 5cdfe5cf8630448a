//! Days, months and zones: the proleptic Gregorian calendar on plain integers.
//!
//! The conversions between days and year/month/day are Howard Hinnant's `days_from_civil` and `civil_from_days`
//! ("chrono-Compatible Low-Level Date Algorithms"); they hold for every `i32` day number.

use crate::error::{Error, Result};
use arrow::array::timezone::Tz;
use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone};

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Year, month (1–12) and day (1–31) of a day number (days since 1970-01-01).
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day number of a date; `month` and `day` must be valid for the year.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

pub fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days in `month` (1–12) of `year`.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day number when year, month and day make a date that fits 32 bits.
pub fn checked_date(year: i64, month: u32, day: u32) -> Option<i32> {
    let plausible = year.abs() <= 6_000_000 && (1..=12).contains(&month);
    if !plausible || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    i32::try_from(days_from_civil(year, month, day)).ok()
}

/// The same day `months` later, or the last of that month when it is shorter: 01-31 + 1 month is 02-28 or 02-29.
pub fn add_months(days: i32, months: i32) -> Option<i32> {
    let (year, month, day) = civil_from_days(i64::from(days));
    let months = year * 12 + i64::from(month) - 1 + i64::from(months);
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
    checked_date(year, month, day.min(days_in_month(year, month)))
}

/// [`add_months`] on microseconds, keeping the time of day.
pub fn add_months_micros(micros: i64, months: i32) -> Option<i64> {
    let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()?;
    let time = micros.rem_euclid(MICROS_PER_DAY);
    i64::from(add_months(days, months)?)
        .checked_mul(MICROS_PER_DAY)?
        .checked_add(time)
}

/// A time zone that converts between instants and wall clocks.
#[derive(Debug, Clone, Copy)]
pub struct Zone(Tz);

impl Zone {
    /// The zone of that name (`Europe/Berlin`) or offset (`+02:00`).
    pub fn parse(name: &str) -> Result<Self> {
        let name = if name.eq_ignore_ascii_case("z") { "UTC" } else { name };
        name.parse().map(Self).map_err(|_| {
            Error::execution(format!("unknown time zone '{name}'"))
                .with_hint("use a name like Europe/Berlin or an offset like +02:00")
        })
    }

    /// Microseconds on the zone's wall clock at an instant (microseconds in UTC).
    pub fn local_from_utc(&self, micros: i64) -> Option<i64> {
        let instant = naive(micros)?;
        let offset = self.0.offset_from_utc_datetime(&instant).fix().local_minus_utc();
        micros.checked_add(i64::from(offset) * MICROS_PER_SECOND)
    }

    /// The instant at which the zone's wall clock shows `micros`. Of two such instants the earlier; a time that a
    /// clock change skips is moved forward by the length of the gap.
    pub fn utc_from_local(&self, micros: i64) -> Option<i64> {
        let local = naive(micros)?;
        let instant = match self.0.from_local_datetime(&local).earliest() {
            Some(instant) => instant,
            None => {
                let before = local.checked_sub_signed(TimeDelta::hours(3))?;
                let offset = self.0.from_local_datetime(&before).earliest()?.offset().fix();
                return micros.checked_sub(i64::from(offset.local_minus_utc()) * MICROS_PER_SECOND);
            }
        };
        Some(instant.timestamp_micros())
    }
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn civil_dates_agree_with_chrono() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-800_000..800_000).step_by(37) {
            let date = epoch + TimeDelta::days(days);
            assert_eq!(
                civil_from_days(days),
                (i64::from(date.year()), date.month(), date.day())
            );
            assert_eq!(days_from_civil(i64::from(date.year()), date.month(), date.day()), days);
        }
        for days in [i64::from(i32::MIN), i64::from(i32::MAX)] {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
        }
    }

    #[test]
    fn months_clamp_the_day() {
        let day = |y, m, d| checked_date(y, m, d).unwrap();
        assert_eq!(add_months(day(2024, 1, 31), 1), Some(day(2024, 2, 29)));
        assert_eq!(add_months(day(2023, 3, 31), -1), Some(day(2023, 2, 28)));
        assert_eq!(add_months(day(2023, 12, 15), 2), Some(day(2024, 2, 15)));
        assert_eq!(checked_date(2023, 2, 29), None);
        assert_eq!(add_months(i32::MAX, 12), None);
    }

    #[test]
    fn zones_convert_both_ways() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let winter = days_from_civil(2024, 1, 1) * MICROS_PER_DAY;
        assert_eq!(berlin.local_from_utc(winter), Some(winter + 3_600 * MICROS_PER_SECOND));
        assert_eq!(berlin.utc_from_local(winter + 3_600 * MICROS_PER_SECOND), Some(winter));
        let skipped = days_from_civil(2024, 3, 31) * MICROS_PER_DAY + 9_000 * MICROS_PER_SECOND;
        assert_eq!(
            berlin.utc_from_local(skipped),
            Some(skipped - 3_600 * MICROS_PER_SECOND)
        );
        assert!(Zone::parse("Nowhere/Land").is_err());
    }
}
