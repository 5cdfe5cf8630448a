//! The text of values in results and in `CAST(x AS varchar)`, spelled as Trino does.

use super::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND, Zone, civil_from_days};
use crate::types::{DataType, logical_type};
use arrow::array::*;
use arrow::datatypes::{IntervalUnit, TimeUnit};
use std::fmt::{Display, Write};

/// Appends the text of one value; NULL appends nothing.
pub fn format_value(array: &dyn Array, row: usize, out: &mut String) {
    ValueFormatter::new(array).write(row, out);
}

/// Writes the values of one column: everything that depends only on the type is settled when it is made.
#[derive(Debug)]
pub struct ValueFormatter<'a> {
    array: &'a dyn Array,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal64(&'a Decimal64Array, i8),
    Decimal128(&'a Decimal128Array, i8),
    Text(&'a StringViewArray),
    OffsetText(&'a StringArray),
    Binary(&'a BinaryViewArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
    Zoned(&'a TimestampMicrosecondArray, Option<Zone>, &'a str),
    Months(&'a IntervalYearMonthArray),
    Micros(&'a DurationMicrosecondArray),
    Dictionary(Vec<usize>, Box<ValueFormatter<'a>>),
    List(&'a ListArray, Box<ValueFormatter<'a>>),
    Map(&'a MapArray, Box<ValueFormatter<'a>>, Box<ValueFormatter<'a>>),
    Row(Vec<(&'a str, ValueFormatter<'a>)>),
    /// A type that no query produces: shown by its name.
    Other(String),
}

impl<'a> ValueFormatter<'a> {
    pub fn new(array: &'a dyn Array) -> Self {
        Self {
            array,
            kind: Kind::of(array),
        }
    }

    pub fn is_null(&self, row: usize) -> bool {
        match &self.kind {
            Kind::Null => true,
            Kind::Dictionary(keys, values) => {
                self.array.is_null(row) || keys.get(row).is_none_or(|&k| values.is_null(k))
            }
            _ => self.array.is_null(row),
        }
    }

    /// Appends the text of the value in `row`; NULL appends nothing.
    pub fn write(&self, row: usize, out: &mut String) {
        if row < self.array.len() && !self.is_null(row) {
            self.write_valid(row, out);
        }
    }

    fn write_nested(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            out.push_str("NULL");
        } else {
            self.write_valid(row, out);
        }
    }

    fn write_valid(&self, row: usize, out: &mut String) {
        match &self.kind {
            Kind::Null => {}
            Kind::Boolean(a) => out.push_str(if a.value(row) { "true" } else { "false" }),
            Kind::Int8(a) => append(out, a.value(row)),
            Kind::Int16(a) => append(out, a.value(row)),
            Kind::Int32(a) => append(out, a.value(row)),
            Kind::Int64(a) => append(out, a.value(row)),
            Kind::Float32(a) => write_float32(a.value(row), out),
            Kind::Float64(a) => write_float64(a.value(row), out),
            Kind::Decimal64(a, scale) => write_decimal(i128::from(a.value(row)), *scale, out),
            Kind::Decimal128(a, scale) => write_decimal(a.value(row), *scale, out),
            Kind::Text(a) => out.push_str(a.value(row)),
            Kind::OffsetText(a) => out.push_str(a.value(row)),
            Kind::Binary(a) => a.value(row).iter().for_each(|b| append(out, format_args!("{b:02x}"))),
            Kind::Date(a) => write_date(i64::from(a.value(row)), out),
            Kind::Time(a) => write_time(a.value(row), out),
            Kind::Timestamp(a) => write_timestamp(a.value(row), out),
            Kind::Zoned(a, zone, name) => {
                let instant = a.value(row);
                let local = zone.and_then(|z| z.local_from_utc(instant)).unwrap_or(instant);
                write_timestamp(local, out);
                append(out, format_args!(" {name}"));
            }
            Kind::Months(a) => write_months(a.value(row), out),
            Kind::Micros(a) => write_interval(a.value(row), out),
            Kind::Dictionary(keys, values) => {
                if let Some(&key) = keys.get(row) {
                    values.write_valid(key, out);
                }
            }
            Kind::List(a, items) => {
                out.push('[');
                separated(span(a.value_offsets(), row), out, |i, out| items.write_nested(i, out));
                out.push(']');
            }
            Kind::Map(a, keys, values) => {
                out.push('{');
                separated(span(a.value_offsets(), row), out, |i, out| {
                    keys.write_nested(i, out);
                    out.push('=');
                    values.write_nested(i, out);
                });
                out.push('}');
            }
            Kind::Row(fields) => {
                out.push('{');
                separated(0..fields.len(), out, |i, out| {
                    if let Some((name, value)) = fields.get(i) {
                        append(out, format_args!("{name}="));
                        value.write_nested(row, out);
                    }
                });
                out.push('}');
            }
            Kind::Other(name) => append(out, format_args!("<{name}>")),
        }
    }
}

impl<'a> Kind<'a> {
    fn of(array: &'a dyn Array) -> Self {
        let boxed = |a: &'a dyn Array| Box::new(ValueFormatter::new(a));
        match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Int8 => Self::Int8(array.as_primitive()),
            DataType::Int16 => Self::Int16(array.as_primitive()),
            DataType::Int32 => Self::Int32(array.as_primitive()),
            DataType::Int64 => Self::Int64(array.as_primitive()),
            DataType::Float32 => Self::Float32(array.as_primitive()),
            DataType::Float64 => Self::Float64(array.as_primitive()),
            DataType::Decimal64(_, s) => Self::Decimal64(array.as_primitive(), *s),
            DataType::Decimal128(_, s) => Self::Decimal128(array.as_primitive(), *s),
            DataType::Utf8View => Self::Text(array.as_string_view()),
            DataType::Utf8 => Self::OffsetText(array.as_string()),
            DataType::BinaryView => Self::Binary(array.as_binary_view()),
            DataType::Date32 => Self::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
                let name = if matches!(zone.as_ref(), "Z" | "+00:00") {
                    "UTC"
                } else {
                    zone.as_ref()
                };
                Self::Zoned(array.as_primitive(), Zone::parse(zone).ok(), name)
            }
            DataType::Interval(IntervalUnit::YearMonth) => Self::Months(array.as_primitive()),
            DataType::Duration(TimeUnit::Microsecond) => Self::Micros(array.as_primitive()),
            DataType::Dictionary(_, _) => {
                let any = array.as_any_dictionary();
                let values = any.values().as_ref();
                if values.is_empty() {
                    Self::Null
                } else {
                    Self::Dictionary(any.normalized_keys(), boxed(values))
                }
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Self::List(list, boxed(list.values().as_ref()))
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                Self::Map(map, boxed(map.keys().as_ref()), boxed(map.values().as_ref()))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let named = fields.iter().zip(columns);
                Self::Row(
                    named
                        .map(|(f, c)| (f.name().as_str(), ValueFormatter::new(c.as_ref())))
                        .collect(),
                )
            }
            other => Self::Other(logical_type(other).to_string()),
        }
    }
}

fn span(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |i: usize| offsets.get(i).map_or(0, |&o| o as usize);
    at(row)..at(row + 1)
}

fn separated(range: std::ops::Range<usize>, out: &mut String, mut item: impl FnMut(usize, &mut String)) {
    let start = range.start;
    for i in range {
        if i > start {
            out.push_str(", ");
        }
        item(i, out);
    }
}

/// Writing into a `String` cannot fail.
fn append(out: &mut String, value: impl Display) {
    let _ = write!(out, "{value}");
}

/// `1.0`, `0.1`, `1.0E10`: the shortest digits that read back, scientific from 1e7 up and below 1e-3 (Java's layout).
pub fn write_float64(value: f64, out: &mut String) {
    write_digits(
        value.is_nan(),
        value.is_infinite(),
        &format!("{value:e}"),
        value == 0.0,
        out,
    );
}

/// [`write_float64`] for 32 bits.
pub fn write_float32(value: f32, out: &mut String) {
    write_digits(
        value.is_nan(),
        value.is_infinite(),
        &format!("{value:e}"),
        value == 0.0,
        out,
    );
}

/// Lays out the digits of Rust's `{:e}` spelling (`-1.25e-7`).
fn write_digits(nan: bool, infinite: bool, spelled: &str, zero: bool, out: &mut String) {
    if nan {
        return out.push_str("NaN");
    }
    let unsigned = match spelled.strip_prefix('-') {
        Some(rest) => {
            out.push('-');
            rest
        }
        None => spelled,
    };
    if infinite {
        return out.push_str("Infinity");
    }
    if zero {
        return out.push_str("0.0");
    }
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-3..7).contains(&exponent) {
        out.push_str(mantissa);
        if !mantissa.contains('.') {
            out.push_str(".0");
        }
        return append(out, format_args!("E{exponent}"));
    }
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if exponent < 0 {
        out.push_str("0.");
        (1..-exponent).for_each(|_| out.push('0'));
        return out.push_str(&digits);
    }
    let whole = exponent as usize + 1;
    for i in 0..whole.max(digits.len()) {
        if i == whole {
            out.push('.');
        }
        out.push(digits.as_bytes().get(i).map_or('0', |b| char::from(*b)));
    }
    if digits.len() <= whole {
        out.push_str(".0");
    }
}

/// `12345` with scale 2 is `123.45`.
pub fn write_decimal(value: i128, scale: i8, out: &mut String) {
    if scale <= 0 {
        return append(out, value);
    }
    let unit = 10u128.saturating_pow(scale as u32);
    let magnitude = value.unsigned_abs();
    if value < 0 {
        out.push('-');
    }
    let (whole, fraction) = (magnitude / unit, magnitude % unit);
    append(out, format_args!("{whole}.{fraction:0width$}", width = scale as usize));
}

/// `2020-01-01`.
pub fn write_date(days: i64, out: &mut String) {
    let (year, month, day) = civil_from_days(days);
    if year < 0 {
        out.push('-');
    }
    append(out, format_args!("{:04}-{month:02}-{day:02}", year.unsigned_abs()));
}

/// `12:34:56.789`, six digits of fraction when the microseconds need them.
pub fn write_time(micros: i64, out: &mut String) {
    let (seconds, fraction) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    append(out, format_args!("{hour:02}:{minute:02}:{second:02}"));
    write_fraction(fraction, out);
}

fn write_fraction(micros: i64, out: &mut String) {
    if micros % 1_000 == 0 {
        append(out, format_args!(".{:03}", micros / 1_000));
    } else {
        append(out, format_args!(".{micros:06}"));
    }
}

/// `2020-01-01 12:34:56.000`.
pub fn write_timestamp(micros: i64, out: &mut String) {
    write_date(micros.div_euclid(MICROS_PER_DAY), out);
    out.push(' ');
    write_time(micros.rem_euclid(MICROS_PER_DAY), out);
}

/// `interval year to month`: `1-2`.
pub fn write_months(months: i32, out: &mut String) {
    if months < 0 {
        out.push('-');
    }
    let months = months.unsigned_abs();
    append(out, format_args!("{}-{}", months / 12, months % 12));
}

/// `interval day to second`: `2 00:00:00.000`.
pub fn write_interval(micros: i64, out: &mut String) {
    if micros < 0 {
        out.push('-');
    }
    let magnitude = i128::from(micros).unsigned_abs() as i128;
    let day = i128::from(MICROS_PER_DAY);
    append(out, format_args!("{} ", magnitude / day));
    write_time((magnitude % day) as i64, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{INTERVAL_DAY, ScalarValue, TIMESTAMP, timestamp_tz};
    use arrow::datatypes::Int32Type;
    use std::sync::Arc;

    fn text(value: ScalarValue, t: &DataType) -> String {
        let mut out = String::new();
        format_value(value.to_array(t, 1).unwrap().as_ref(), 0, &mut out);
        out
    }

    #[test]
    fn doubles_look_like_java() {
        let cases = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (1234567.0, "1234567.0"),
            (1e7, "1.0E7"),
            (1e10, "1.0E10"),
            (1.25e-7, "1.25E-7"),
            (0.001, "0.001"),
            (0.00099, "9.9E-4"),
            (123456.789, "123456.789"),
            (-12.5, "-12.5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::MAX, "1.7976931348623157E308"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(ScalarValue::Float64(value), &DataType::Float64), expected);
        }
        assert_eq!(text(ScalarValue::Float32(0.1), &DataType::Float32), "0.1");
    }

    #[test]
    fn times_have_milliseconds_or_microseconds() {
        let noon = 18_262 * MICROS_PER_DAY + MICROS_PER_DAY / 2;
        assert_eq!(
            text(ScalarValue::Timestamp(noon, None), &TIMESTAMP),
            "2020-01-01 12:00:00.000"
        );
        assert_eq!(
            text(ScalarValue::Timestamp(noon + 1, None), &TIMESTAMP),
            "2020-01-01 12:00:00.000001"
        );
        let zone: Arc<str> = "Europe/Berlin".into();
        assert_eq!(
            text(ScalarValue::Timestamp(noon, Some(zone.clone())), &timestamp_tz(zone)),
            "2020-01-01 13:00:00.000 Europe/Berlin"
        );
        assert_eq!(
            text(ScalarValue::Timestamp(-1, None), &TIMESTAMP),
            "1969-12-31 23:59:59.999999"
        );
        assert_eq!(
            text(ScalarValue::Timestamp(i64::MIN, None), &TIMESTAMP),
            "-290308-12-21 19:59:05.224192"
        );
        assert_eq!(
            text(ScalarValue::IntervalMicros(2 * MICROS_PER_DAY), &INTERVAL_DAY),
            "2 00:00:00.000"
        );
        assert_eq!(
            text(ScalarValue::IntervalMicros(-1_500_000), &INTERVAL_DAY),
            "-0 00:00:01.500"
        );
        assert_eq!(
            text(ScalarValue::IntervalMonths(-14), &crate::types::INTERVAL_MONTH),
            "-1-2"
        );
    }

    #[test]
    fn decimals_are_plain() {
        assert_eq!(
            text(ScalarValue::Decimal(-5, 10, 2), &DataType::Decimal64(10, 2)),
            "-0.05"
        );
        assert_eq!(
            text(ScalarValue::Decimal(i128::MAX, 38, 38), &DataType::Decimal128(38, 38)),
            "1.70141183460469231731687303715884105727"
        );
    }

    #[test]
    fn nested_values() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None, Some(2)]), None]);
        let mut out = String::new();
        format_value(&list, 0, &mut out);
        format_value(&list, 1, &mut out);
        assert_eq!(out, "[1, NULL, 2]");
        let row = StructArray::from(vec![
            (
                Arc::new(arrow::datatypes::Field::new("a", DataType::Int32, true)),
                Arc::new(Int32Array::from(vec![1])) as ArrayRef,
            ),
            (
                Arc::new(arrow::datatypes::Field::new("b", DataType::Utf8View, true)),
                Arc::new(StringViewArray::from(vec![None::<&str>])) as ArrayRef,
            ),
        ]);
        out.clear();
        format_value(&row, 0, &mut out);
        assert_eq!(out, "{a=1, b=NULL}");
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        map.keys().append_value("k");
        map.values().append_value(7);
        map.append(true).unwrap();
        out.clear();
        format_value(&map.finish(), 0, &mut out);
        assert_eq!(out, "{k=7}");
        let coded: DictionaryArray<Int32Type> = vec![Some("x"), None, Some("y")].into_iter().collect();
        out.clear();
        (0..3).for_each(|i| format_value(&coded, i, &mut out));
        assert_eq!(out, "xy");
    }
}
