//! Typed values from their text: fields of CSV files, partition values in paths.

use super::spelling::Spelling;
use crate::error::{Error, Result};
use crate::types::{DataType, ScalarValue, TIMESTAMP, type_name};
use arrow::array::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::str::FromStr;
use std::sync::Arc;

/// Collects one column from the text of its fields.
#[derive(Debug)]
pub(crate) struct ValueBuilder {
    kind: Kind,
    data_type: DataType,
    spelling: Spelling,
}

#[derive(Debug)]
enum Kind {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal64(Decimal64Builder, u8, i8),
    Decimal128(Decimal128Builder, u8, i8),
    String(StringViewBuilder),
    /// In Base64, as Hive's and Trino's text formats have it.
    Binary(BinaryViewBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Null(usize),
}

impl ValueBuilder {
    /// # Errors
    /// `Unsupported` for types that have no single text: arrays, maps, rows, intervals.
    pub(crate) fn new(data_type: &DataType, rows: usize, spelling: &Spelling) -> Result<Self> {
        let kind = match data_type {
            DataType::Boolean => Kind::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int8 => Kind::Int8(Int8Builder::with_capacity(rows)),
            DataType::Int16 => Kind::Int16(Int16Builder::with_capacity(rows)),
            DataType::Int32 => Kind::Int32(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Kind::Int64(Int64Builder::with_capacity(rows)),
            DataType::Float32 => Kind::Float32(Float32Builder::with_capacity(rows)),
            DataType::Float64 => Kind::Float64(Float64Builder::with_capacity(rows)),
            DataType::Decimal64(p, s) => Kind::Decimal64(Decimal64Builder::with_capacity(rows), *p, *s),
            DataType::Decimal128(p, s) => Kind::Decimal128(Decimal128Builder::with_capacity(rows), *p, *s),
            DataType::Utf8View => Kind::String(StringViewBuilder::with_capacity(rows)),
            DataType::BinaryView => Kind::Binary(BinaryViewBuilder::with_capacity(rows)),
            DataType::Date32 => Kind::Date(Date32Builder::with_capacity(rows)),
            DataType::Timestamp(..) => Kind::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
            DataType::Null => Kind::Null(0),
            other => {
                return Err(Error::unsupported(format!(
                    "reading values of type {} from text",
                    type_name(other)
                )));
            }
        };
        Ok(Self {
            kind,
            data_type: data_type.clone(),
            spelling: spelling.clone(),
        })
    }

    pub(crate) fn is_string(&self) -> bool {
        matches!(self.kind, Kind::String(_))
    }

    pub(crate) fn append_null(&mut self) {
        match &mut self.kind {
            Kind::Boolean(b) => b.append_null(),
            Kind::Int8(b) => b.append_null(),
            Kind::Int16(b) => b.append_null(),
            Kind::Int32(b) => b.append_null(),
            Kind::Int64(b) => b.append_null(),
            Kind::Float32(b) => b.append_null(),
            Kind::Float64(b) => b.append_null(),
            Kind::Decimal64(b, ..) => b.append_null(),
            Kind::Decimal128(b, ..) => b.append_null(),
            Kind::String(b) => b.append_null(),
            Kind::Binary(b) => b.append_null(),
            Kind::Date(b) => b.append_null(),
            Kind::Timestamp(b) => b.append_null(),
            Kind::Null(rows) => *rows += 1,
        }
    }

    /// Appends the value that the text stands for. `None`, with nothing appended, when it stands for none of this type.
    #[must_use]
    pub(crate) fn append(&mut self, text: &[u8]) -> Option<()> {
        if let Kind::String(b) = &mut self.kind {
            match std::str::from_utf8(text) {
                Ok(text) if text.is_ascii() || !self.spelling.latin1 => b.append_value(text),
                _ => b.append_value(self.spelling.decode(text)?),
            }
            return Some(());
        }
        let text = text.trim_ascii();
        match &mut self.kind {
            Kind::Boolean(b) => b.append_value(parse_boolean(text)?),
            Kind::Int8(b) => b.append_value(parse_integer(text)?.try_into().ok()?),
            Kind::Int16(b) => b.append_value(parse_integer(text)?.try_into().ok()?),
            Kind::Int32(b) => b.append_value(parse_integer(text)?.try_into().ok()?),
            Kind::Int64(b) => b.append_value(parse_integer(text)?),
            Kind::Float32(b) => b.append_value(parse_float(text, |f: &f32| f.is_infinite())?),
            Kind::Float64(b) => b.append_value(parse_float(text, |f: &f64| f.is_infinite())?),
            Kind::Decimal64(b, p, s) => b.append_value(parse_decimal(text, *p, *s)?.try_into().ok()?),
            Kind::Decimal128(b, p, s) => b.append_value(parse_decimal(text, *p, *s)?),
            Kind::Date(b) => b.append_value(match parse_integer(text) {
                Some(days) if self.spelling.epochs => days.try_into().ok()?,
                _ => match self.spelling.date(text) {
                    Some(micros) => micros.div_euclid(MICROS_PER_DAY) as i32,
                    None => {
                        parse_date(text).or_else(|| Some(parse_timestamp(text)?.div_euclid(MICROS_PER_DAY) as i32))?
                    }
                },
            }),
            Kind::Timestamp(b) => b.append_value(match parse_integer(text) {
                Some(millis) if self.spelling.epochs => millis.checked_mul(1000)?,
                _ => match self.spelling.timestamp(text) {
                    Some(micros) => micros,
                    None => parse_timestamp(text)?,
                },
            }),
            Kind::Binary(b) => b.append_value(BASE64.decode(text).ok()?),
            Kind::String(_) | Kind::Null(_) => return None,
        }
        Some(())
    }

    /// The values so far, and an empty builder again.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        let t = &self.data_type;
        Ok(match &mut self.kind {
            Kind::Boolean(b) => Arc::new(b.finish()),
            Kind::Int8(b) => Arc::new(b.finish()),
            Kind::Int16(b) => Arc::new(b.finish()),
            Kind::Int32(b) => Arc::new(b.finish()),
            Kind::Int64(b) => Arc::new(b.finish()),
            Kind::Float32(b) => Arc::new(b.finish()),
            Kind::Float64(b) => Arc::new(b.finish()),
            Kind::Decimal64(b, ..) => Arc::new(b.finish().with_data_type(t.clone())),
            Kind::Decimal128(b, ..) => Arc::new(b.finish().with_data_type(t.clone())),
            Kind::String(b) => Arc::new(b.finish()),
            Kind::Binary(b) => Arc::new(b.finish()),
            Kind::Date(b) => Arc::new(b.finish()),
            Kind::Timestamp(b) => Arc::new(b.finish().with_data_type(t.clone())),
            Kind::Null(rows) => new_null_array(t, std::mem::take(rows)),
        })
    }
}

/// One value of type `data_type` from its text; `None` when it stands for none.
pub(crate) fn parse_value(text: &str, data_type: &DataType) -> Result<Option<ScalarValue>> {
    let mut builder = ValueBuilder::new(data_type, 1, &Spelling::default())?;
    match builder.append(text.as_bytes()) {
        Some(()) => ScalarValue::from_array(builder.finish()?.as_ref(), 0).map(Some),
        None => Ok(None),
    }
}

/// The narrowest of bigint, double, boolean, date, timestamp, varchar that holds all the texts; varchar when there are
/// none. Empty texts are left out by the caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TypeGuess {
    seen: bool,
    integer: bool,
    double: bool,
    boolean: bool,
    date: bool,
    timestamp: bool,
}

impl Default for TypeGuess {
    fn default() -> Self {
        Self {
            seen: false,
            integer: true,
            double: true,
            boolean: true,
            date: true,
            timestamp: true,
        }
    }
}

impl TypeGuess {
    pub(crate) fn add(&mut self, text: &[u8]) {
        self.add_as(text, &Spelling::default());
    }

    /// Adds a text with dates and timestamps spelled so.
    pub(crate) fn add_as(&mut self, text: &[u8], spelling: &Spelling) {
        let text = text.trim_ascii();
        let number = |t: &[u8]| {
            t.iter().any(u8::is_ascii_digit) && std::str::from_utf8(t).is_ok_and(|t| t.parse::<f64>().is_ok())
        };
        self.seen = true;
        self.integer = self.integer && parse_integer(text).is_some();
        self.double = self.double && (self.integer || number(text));
        self.boolean = self.boolean && parse_boolean(text).is_some();
        self.date = self.date && (spelling.date(text).is_some() || parse_date(text).is_some());
        self.timestamp =
            self.timestamp && (self.date || spelling.timestamp(text).is_some() || parse_timestamp(text).is_some());
    }

    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self { seen: false, .. } => DataType::Utf8View,
            Self { integer: true, .. } => DataType::Int64,
            Self { double: true, .. } => DataType::Float64,
            Self { boolean: true, .. } => DataType::Boolean,
            Self { date: true, .. } => DataType::Date32,
            Self { timestamp: true, .. } => TIMESTAMP,
            _ => DataType::Utf8View,
        }
    }
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

fn parse_boolean(text: &[u8]) -> Option<bool> {
    match text {
        t if t.eq_ignore_ascii_case(b"true") => Some(true),
        t if t.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    // Counting down from zero also reaches the least integer.
    let value = digits.iter().try_fold(0i64, |value, b| {
        let digit = b.wrapping_sub(b'0');
        (digit <= 9).then(|| value.checked_mul(10)?.checked_sub(digit as i64))?
    })?;
    if negative { Some(value) } else { value.checked_neg() }
}

/// The nearest float. Digits that stand for more than the greatest one are no value; the word infinity is.
fn parse_float<F: FromStr>(text: &[u8], is_infinite: impl Fn(&F) -> bool) -> Option<F> {
    let float = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!is_infinite(&float) || !text.iter().any(u8::is_ascii_digit)).then_some(float)
}

/// The value of a number without a fraction, as `12`, `12.0` and `1.2e1` are.
pub(crate) fn whole_number(text: &[u8]) -> Option<i64> {
    let (value, exact) = parse_unscaled(text, 0)?;
    value.try_into().ok().filter(|_| exact)
}

/// The unscaled value; digits beyond the scale are rounded half up, more than `precision` digits do not fit.
fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (value, _) = parse_unscaled(text, scale)?;
    (value.unsigned_abs() < 10u128.checked_pow(precision as u32)?).then_some(value)
}

/// The value in units of 10 to the power of minus `scale`, rounded half up, and whether it is exact.
fn parse_unscaled(text: &[u8], scale: i8) -> Option<(i128, bool)> {
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (text.get(..at)?, parse_integer(text.get(at + 1..)?)?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        digits => (false, digits),
    };
    // The place of the next digit counted in powers of ten of the unscaled value.
    let whole = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len()) as i64;
    let mut place = whole.checked_add(exponent)?.checked_add(scale as i64)?;
    let (mut value, mut round, mut exact, mut any) = (0i128, false, true, false);
    for b in digits.iter().filter(|b| **b != b'.') {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        any = true;
        match place {
            1.. => value = value.checked_mul(10)?.checked_add(digit as i128)?,
            0 => round = digit >= 5,
            _ => {}
        }
        exact &= place > 0 || digit == 0;
        place -= 1;
    }
    if !any || digits.iter().filter(|b| **b == b'.').count() > 1 {
        return None;
    }
    if place > 0 && value != 0 {
        value = value.checked_mul(10i128.checked_pow(place.try_into().ok()?)?)?;
    }
    value = value.checked_add(round as i128)?;
    Some((if negative { -value } else { value }, exact))
}

/// Digits at the start as a number, and the rest.
fn number(text: &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<(i64, &[u8])> {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = text.split_at_checked(length)?;
    digits.contains(&length).then(|| Some((parse_integer(number)?, rest)))?
}

/// `2020-01-31` in days since 1970-01-01.
fn parse_date(text: &[u8]) -> Option<i32> {
    match date_prefix(text)? {
        (days, []) => Some(days),
        _ => None,
    }
}

fn date_prefix(text: &[u8]) -> Option<(i32, &[u8])> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (year, rest) = number(text, 4..=6)?;
    let (month, rest) = number(rest.strip_prefix(b"-")?, 1..=2)?;
    let (day, rest) = number(rest.strip_prefix(b"-")?, 1..=2)?;
    let year = if negative { -year } else { year };
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    Some((date.to_epoch_days(), rest))
}

/// `2020-01-31`, `2020-01-31 12:30`, `2020-01-31T12:30:15.123456Z`, `… +01:00` in microseconds since 1970; an offset is
/// taken off, so that the result is in UTC.
fn parse_timestamp(text: &[u8]) -> Option<i64> {
    let (days, rest) = date_prefix(text)?;
    let midnight = (days as i64).checked_mul(MICROS_PER_DAY)?;
    let rest = match rest {
        [] => return Some(midnight),
        [b' ' | b'T' | b't', rest @ ..] => rest,
        _ => return None,
    };
    let (hour, rest) = number(rest, 1..=2)?;
    let (minute, rest) = number(rest.strip_prefix(b":")?, 2..=2)?;
    let (second, rest) = match rest {
        [b':', rest @ ..] => number(rest, 2..=2)?,
        _ => (0, rest),
    };
    let (micros, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        _ => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let local = midnight.checked_add(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)?;
    local.checked_sub(offset(rest.trim_ascii())?)
}

/// Up to nine digits as microseconds.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(length)?;
    let micros = parse_integer(digits.get(..length.min(6))?)?;
    let micros = (length..6).fold(micros, |value, _| value * 10);
    (1..=9).contains(&length).then_some((micros, rest))
}

/// `Z`, `UTC`, `+01:00`, `-0130` or nothing, in microseconds.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [] | b"Z" | b"z" | b"UTC" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match number(rest, 2..=4)? {
        (all, []) if rest.len() == 4 => (all / 100, all % 100),
        (hours, []) => (hours, 0),
        (hours, rest) => match number(rest.strip_prefix(b":")?, 2..=2)? {
            (minutes, []) => (hours, minutes),
            _ => return None,
        },
    };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_refused() {
        assert_eq!(parse_integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_integer(b"9223372036854775808"), None);
        assert_eq!(parse_integer(b"1x"), None);
        assert_eq!(parse_integer(b"-"), None);
        assert_eq!(parse_decimal(b"123.455", 5, 2), Some(12346));
        assert_eq!(parse_decimal(b"-1.5e2", 5, 2), Some(-15000));
        assert_eq!(parse_decimal(b"15e-1", 5, 2), Some(150));
        assert_eq!(parse_decimal(b"1000", 5, 2), None);
        assert_eq!(parse_decimal(b"999.995", 5, 2), None);
        assert_eq!(parse_decimal(b".5", 5, 2), Some(50));
        assert_eq!(parse_decimal(b"1.2.3", 5, 2), None);
        assert_eq!(parse_decimal(b"1e999999999999", 5, 2), None);
        assert_eq!(parse_decimal(b"", 5, 2), None);
        assert_eq!(whole_number(b"-3.0"), Some(-3));
        assert_eq!(whole_number(b"9.223372036854775807e18"), Some(i64::MAX));
        assert_eq!(whole_number(b"9223372036854775808"), None);
        assert_eq!(whole_number(b"1.0000000000000000001"), None);
        assert_eq!(parse_float(b"1e23", |f: &f64| f.is_infinite()), Some(1e23));
        assert_eq!(parse_float(b"1e400", |f: &f64| f.is_infinite()), None);
        assert_eq!(
            parse_float(b"-Infinity", |f: &f64| f.is_infinite()),
            Some(f64::NEG_INFINITY)
        );
    }

    #[test]
    fn dates_and_timestamps() {
        assert_eq!(parse_date(b"1970-01-02"), Some(1));
        assert_eq!(parse_date(b"2020-02-30"), None);
        assert_eq!(parse_timestamp(b"1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(parse_timestamp(b"1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_timestamp(b"1970-01-01 25:00:00"), None);
        assert_eq!(parse_timestamp(b"1969-12-31 23:59:59.999999Z"), Some(-1));
    }

    #[test]
    fn types_are_guessed_from_all_values() {
        let guess = |values: &[&str]| {
            let mut g = TypeGuess::default();
            values.iter().for_each(|v| g.add(v.as_bytes()));
            type_name(&g.data_type())
        };
        assert_eq!(guess(&["1", "-2"]), "bigint");
        assert_eq!(guess(&["1", "2.5"]), "double");
        assert_eq!(guess(&["nan"]), "varchar");
        assert_eq!(guess(&["true", "FALSE"]), "boolean");
        assert_eq!(guess(&["2020-01-01", "2020-01-01 10:00:00"]), "timestamp");
        assert_eq!(guess(&["2020-01-01"]), "date");
        assert_eq!(guess(&["2020-01-01", "x"]), "varchar");
        assert_eq!(guess(&[]), "varchar");
    }
}
