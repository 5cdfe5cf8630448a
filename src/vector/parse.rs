//! Values from text, as `CAST(varchar AS …)` reads them. `None` means that the text is not such a value.

use super::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND, Zone, checked_date};
use super::decimal::power_of_ten;

/// `true`, `t`, `1` and `false`, `f`, `0`, in any case.
pub fn parse_boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|w| text.eq_ignore_ascii_case(w));
    match text {
        _ if is(["true", "t", "1"]) => Some(true),
        _ if is(["false", "f", "0"]) => Some(false),
        _ => None,
    }
}

/// A decimal or scientific number, `NaN`, `Infinity`; blanks around it are ignored.
pub fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim();
    // Rust also reads "inf" and "nan" in any case; Trino reads only the two spelled-out words.
    if text.contains(['n', 'i', 'N', 'I']) && !matches!(text.trim_start_matches(['+', '-']), "NaN" | "Infinity") {
        return None;
    }
    text.parse().ok()
}

/// The unscaled value of `text` at `scale`, rounded half away from zero; `None` also when it needs more than
/// `precision` digits. Accepts exponents.
pub fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let text = text.trim();
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, unsigned) = match mantissa.as_bytes() {
        [b'-', ..] => (true, mantissa.get(1..)?),
        [b'+', ..] => (false, mantissa.get(1..)?),
        _ => (false, mantissa),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let digits = || whole.bytes().chain(fraction.bytes()).map(|b| b - b'0');
    // How many digits of the text lie before the last digit that is kept.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value: i128 = 0;
    for digit in digits().take(usize::try_from(kept).unwrap_or(0)) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    let given = i64::try_from(whole.len() + fraction.len()).ok()?;
    if value != 0 && kept > given {
        value = value.checked_mul(power_of_ten(i32::try_from(kept - given).ok()?))?;
    }
    let round_up = usize::try_from(kept)
        .ok()
        .and_then(|k| digits().nth(k))
        .is_some_and(|d| d >= 5);
    value += i128::from(round_up);
    let fits = value < power_of_ten(i32::from(precision));
    fits.then_some(if negative { -value } else { value })
}

/// `2020-01-31`, also `2020-1-31`: days since 1970-01-01.
pub fn parse_date(text: &str) -> Option<i32> {
    let text = text.trim();
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = unsigned.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() < 4 {
        return None;
    }
    let year = i64::from(number(year, 7)?);
    checked_date(if negative { -year } else { year }, number(month, 2)?, number(day, 2)?)
}

/// `12:34`, `12:34:56`, `12:34:56.789`: microseconds since midnight.
pub fn parse_time(text: &str) -> Option<i64> {
    let mut parts = text.trim().split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let (second, micros) = match parts.next() {
        Some(text) => seconds(text)?,
        None => (0, 0),
    };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let whole = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    Some(whole * MICROS_PER_SECOND + micros)
}

/// `56`, `56.789`: seconds and microseconds; further digits are rounded.
fn seconds(text: &str) -> Option<(u32, i64)> {
    match text.split_once('.') {
        None => Some((number(text, 2)?, 0)),
        Some((whole, fraction)) => {
            let micros = parse_decimal(&format!("0.{fraction}"), 38, 6)?;
            if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            Some((number(whole, 2)?, i64::try_from(micros).ok()?))
        }
    }
}

/// At most `width` decimal digits.
fn number(text: &str, width: usize) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= width && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// `2020-01-01[ 12:34[:56[.789]]][ zone]`, with `T` allowed for the blank: microseconds on the wall clock and the zone.
pub fn parse_timestamp(text: &str) -> Option<(i64, Option<&str>)> {
    let text = text.trim();
    let Some(split) = text.find([' ', 'T']) else {
        return Some((micros_of(parse_date(text)?, 0)?, None));
    };
    let (date, rest) = (text.get(..split)?, text.get(split + 1..)?.trim_start());
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.')
        .unwrap_or(rest.len());
    let (time, zone) = (rest.get(..end)?, rest.get(end..)?.trim_start());
    let micros = if time.is_empty() { 0 } else { parse_time(time)? };
    Some((
        micros_of(parse_date(date)?, micros)?,
        (!zone.is_empty()).then_some(zone),
    ))
}

fn micros_of(days: i32, micros: i64) -> Option<i64> {
    i64::from(days).checked_mul(MICROS_PER_DAY)?.checked_add(micros)
}

/// The instant that `text` names: in its own zone, or in `zone` when it names none.
pub fn parse_instant(text: &str, zone: &Zone) -> Option<i64> {
    match parse_timestamp(text)? {
        (local, None) => zone.utc_from_local(local),
        (local, Some(own)) => Zone::parse(own).ok()?.utc_from_local(local),
    }
}

/// `1-2`: years and months.
pub fn parse_months(text: &str) -> Option<i32> {
    let (negative, unsigned) = match text.trim().strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.trim()),
    };
    let (years, months) = unsigned.split_once('-')?;
    let months = i32::try_from(number(years, 8)?).ok()?.checked_mul(12)? + i32::try_from(number(months, 2)?).ok()?;
    Some(if negative { -months } else { months })
}

/// `2 12:34:56.789`: days and a time of day, in microseconds.
pub fn parse_interval(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.trim().strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.trim()),
    };
    let (days, time) = unsigned.split_once(' ').unwrap_or((unsigned, "00:00"));
    let days = i64::from(number(days, 9)?).checked_mul(MICROS_PER_DAY)?;
    let micros = days.checked_add(parse_time(time)?)?;
    Some(if negative { -micros } else { micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_and_keep_their_bounds() {
        let cases = [
            ("2.5", 5, 0, Some(3)),
            ("-2.5", 5, 0, Some(-3)),
            ("1.239", 3, 2, Some(124)),
            ("9.999", 3, 2, None),
            ("1e3", 5, 1, Some(10000)),
            ("15e-3", 5, 2, Some(2)),
            (".5", 5, 2, Some(50)),
            ("5.", 5, 2, Some(500)),
            ("0e99999", 5, 2, Some(0)),
            ("1e99999", 5, 2, None),
            ("1e-99999", 5, 2, Some(0)),
            ("", 5, 2, None),
            (".", 5, 2, None),
            ("1.2.3", 5, 2, None),
            ("--1", 5, 2, None),
            ("0.05", 2, 1, Some(1)),
            (
                "99999999999999999999999999999999999999",
                38,
                0,
                Some(10i128.pow(38) - 1),
            ),
            ("100000000000000000000000000000000000000", 38, 0, None),
        ];
        for (text, p, s, expected) in cases {
            assert_eq!(parse_decimal(text, p, s), expected, "{text}");
        }
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date(" 1970-1-2 "), Some(1));
        for bad in [
            "",
            "1970",
            "1970-13-01",
            "1970-02-30",
            "70-01-01",
            "1970-01-01x",
            "a-b-c",
            "1970-01-01-01",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
        assert_eq!(parse_time("00:00:01.5"), Some(1_500_000));
        assert_eq!(parse_time("24:00"), None);
        let day = MICROS_PER_DAY;
        assert_eq!(parse_timestamp("1970-01-02"), Some((day, None)));
        assert_eq!(parse_timestamp("1970-01-02 00:01"), Some((day + 60_000_000, None)));
        assert_eq!(parse_timestamp("1970-01-02T00:00:00.000001"), Some((day + 1, None)));
        assert_eq!(parse_timestamp("1970-01-02 00:00:00.0000005"), Some((day + 1, None)));
        assert_eq!(
            parse_timestamp("1970-01-02 00:00:00 Europe/Berlin"),
            Some((day, Some("Europe/Berlin")))
        );
        let utc = Zone::parse("UTC").unwrap();
        assert_eq!(parse_instant("1970-01-02 02:00:00+02:00", &utc), Some(day));
        assert_eq!(parse_instant("1970-01-02 00:00:00Z", &utc), Some(day));
        assert_eq!(parse_instant("1970-01-02 00:00:00 Nowhere", &utc), None);
    }

    #[test]
    fn words_and_intervals() {
        assert_eq!(parse_boolean("TRUE"), Some(true));
        assert_eq!(parse_boolean("yes"), None);
        assert_eq!(parse_double(" 1e3 "), Some(1000.0));
        assert_eq!(parse_double("-Infinity"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_double("inf"), None);
        assert_eq!(parse_months("1-2"), Some(14));
        assert_eq!(parse_interval("-2 00:00:01"), Some(-2 * MICROS_PER_DAY - 1_000_000));
    }
}
