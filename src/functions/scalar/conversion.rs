//! Values as text: Java's format strings, numbers with separators, sizes of data.

use super::typing::{BIGINT, DOUBLE, STRING, exactly};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, DecimalType, ScalarValue, decimal_text, decimal_type};
use crate::vector::Column;
use crate::vector::display::{format_value, write_float64};
use arrow::array::{Decimal128Array, Float64Array};
use arrow::datatypes::Decimal128Type;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    function("format", |t, _| format_type(t), format)
        .aliases(&["format_string", "printf"])
        .doc(
            "format(pattern, x, ...)",
            "Values written into a pattern such as %s, %d, %05d, %,d or %.2f.",
            "SELECT format('%s has %,d (%.1f%%)', 'x', 12345, 99.5)",
            "x has 12,345 (99.5%)",
        ),
    function("format_number", |t, _| format_number_type(t), format_number).doc(
        "format_number(x[, digits])",
        "With a unit such as K or M, or with separators and so many digits after the point.",
        "SELECT format_number(1234567.891, 2)",
        "1,234,567.89",
    ),
    function(
        "parse_data_size",
        |t, _| exactly(t, &[STRING], decimal_type(38, 0)),
        parse_data_size,
    )
    .doc(
        "parse_data_size(string)",
        "The bytes in a text such as 2.5MB; units are powers of 1024.",
        "SELECT parse_data_size('2.5MB')",
        "2621440",
    ),
];

// ---- format ----

fn format_type(found: &[DataType]) -> Option<Signature> {
    let (pattern, values) = found.split_first()?;
    exactly(std::slice::from_ref(pattern), &[STRING], STRING)?;
    Some(Signature {
        arguments: std::iter::once(STRING).chain(values.iter().cloned()).collect(),
        result: STRING,
    })
}

/// One conversion of a format string: `%[index$][flags][width][.precision]letter`.
#[derive(Debug, Default, Clone)]
struct Conversion {
    /// The argument, from 0; `None` takes the next.
    index: Option<usize>,
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    comma: bool,
    parenthesis: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

enum Piece {
    Text(String),
    Conversion(Conversion),
}

/// Widths and precisions above this are refused.
const MAX_WIDTH: usize = 10_000;

fn parse_format(text: &str) -> Result<Vec<Piece>> {
    let fail = |what: String| Error::execution(format!("format \"{text}\": {what}"));
    let mut pieces = vec![];
    let mut literal = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            literal.push(c);
            continue;
        }
        let conversion = parse_conversion(&mut rest).ok_or_else(|| fail("a conversion is incomplete".into()))?;
        if conversion.width > MAX_WIDTH || conversion.precision.is_some_and(|p| p > MAX_WIDTH) {
            return Err(fail(format!("widths go up to {MAX_WIDTH}")));
        }
        match conversion.letter {
            '%' => literal.push('%'),
            'n' => literal.push('\n'),
            's' | 'S' | 'd' | 'f' | 'e' | 'E' | 'x' | 'X' | 'o' | 'b' | 'B' | 'c' => {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Conversion(conversion));
            }
            other => {
                return Err(fail(format!("unknown conversion %{other}"))
                    .with_hint("known are %s %d %f %e %x %o %b %c %n and %%"));
            }
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

fn parse_conversion(rest: &mut std::iter::Peekable<std::str::Chars>) -> Option<Conversion> {
    let mut conversion = Conversion::default();
    loop {
        let c = rest.next()?;
        match c {
            '-' => conversion.left = true,
            '0' => conversion.zero = true,
            '+' => conversion.plus = true,
            ' ' => conversion.space = true,
            ',' => conversion.comma = true,
            '(' => conversion.parenthesis = true,
            '1'..='9' => {
                let mut digits = c.to_string();
                while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                let number: usize = digits.parse().ok()?;
                match rest.next_if_eq(&'$') {
                    Some(_) => conversion.index = Some(number - 1),
                    None => conversion.width = number,
                }
            }
            '.' => {
                let mut digits = String::new();
                while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                conversion.precision = Some(digits.parse().ok()?);
            }
            letter => {
                conversion.letter = letter;
                return Some(conversion);
            }
        }
    }
}

fn format(a: &Arguments) -> Result<Column> {
    let patterns = a.strings_of(0)?;
    let constant = a.constant_string(0)?.map(|text| parse_format(&text)).transpose()?;
    let nulls = match a.column(0)? {
        Column::Array(array) => array.nulls().cloned(),
        Column::Constant { value, .. } if value.is_null(0) => Some(arrow::buffer::NullBuffer::new_null(a.work())),
        Column::Constant { .. } => None,
    };
    a.strings_unless(nulls, |row, out| {
        let parsed;
        let pieces = match &constant {
            Some(pieces) => pieces,
            None => {
                parsed = parse_format(patterns.get(row))?;
                &parsed
            }
        };
        let mut next = 1;
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Conversion(conversion) => {
                    let argument = conversion.index.map_or(next, |i| i + 1);
                    next += conversion.index.is_none() as usize;
                    let value = a.columns.get(argument).ok_or_else(|| {
                        Error::execution(format!(
                            "format \"{}\" needs {argument} values, there are {}",
                            patterns.get(row),
                            a.count() - 1
                        ))
                    })?;
                    push_conversion(conversion, &value.scalar(row)?, out)?;
                }
            }
        }
        Ok(Some(()))
    })
}

fn push_conversion(conversion: &Conversion, value: &ScalarValue, out: &mut String) -> Result<()> {
    let text = match (conversion.letter, value) {
        ('b' | 'B', ScalarValue::Null) => "false".to_string(),
        (_, ScalarValue::Null) => "null".to_string(),
        ('s' | 'S', value) => cut(plain_text(value)?, conversion.precision),
        ('b' | 'B', ScalarValue::Boolean(value)) => value.to_string(),
        ('b' | 'B', _) => "true".to_string(),
        ('c', ScalarValue::String(s)) if s.chars().count() == 1 => s.to_string(),
        ('d', value) => match value.as_integer() {
            Some(number) => signed(conversion, &number.unsigned_abs().to_string(), number < 0),
            None => match value {
                ScalarValue::Decimal(v, _, 0) => signed(conversion, &v.unsigned_abs().to_string(), *v < 0),
                _ => return Err(unfit(conversion, value)),
            },
        },
        ('x' | 'X', value) => format!("{:x}", value.as_integer().ok_or_else(|| unfit(conversion, value))?),
        ('o', value) => format!("{:o}", value.as_integer().ok_or_else(|| unfit(conversion, value))?),
        ('f' | 'e' | 'E', value) => real_text(conversion, value).ok_or_else(|| unfit(conversion, value))?,
        (_, value) => return Err(unfit(conversion, value)),
    };
    let text = if conversion.letter.is_ascii_uppercase() {
        text.to_uppercase()
    } else {
        text
    };
    pad(conversion, &text, out);
    Ok(())
}

fn unfit(conversion: &Conversion, value: &ScalarValue) -> Error {
    Error::execution(format!(
        "format: %{} does not take {value} of type {}",
        conversion.letter,
        crate::types::type_name(&value.data_type())
    ))
}

/// The value as `CAST … AS varchar` writes it.
fn plain_text(value: &ScalarValue) -> Result<String> {
    let mut text = String::new();
    format_value(value.to_array(&value.data_type(), 1)?.as_ref(), 0, &mut text);
    Ok(text)
}

fn cut(text: String, precision: Option<usize>) -> String {
    match precision {
        Some(count) => text.chars().take(count).collect(),
        None => text,
    }
}

/// The digits of a number with its sign as the flags want it.
fn signed(conversion: &Conversion, digits: &str, negative: bool) -> String {
    let digits = if conversion.comma {
        with_separators(digits)
    } else {
        digits.to_string()
    };
    let (before, after) = match (negative, conversion.parenthesis) {
        (true, true) => ("(", ")"),
        (true, false) => ("-", ""),
        (false, _) if conversion.plus => ("+", ""),
        (false, _) if conversion.space => (" ", ""),
        (false, _) => ("", ""),
    };
    let zeros = match conversion.zero && !conversion.left {
        true => conversion
            .width
            .saturating_sub(before.len() + digits.len() + after.len()),
        false => 0,
    };
    format!("{before}{}{digits}{after}", "0".repeat(zeros))
}

/// `%f` and `%e`; half up, as Java rounds.
fn real_text(conversion: &Conversion, value: &ScalarValue) -> Option<String> {
    let precision = conversion.precision.unwrap_or(6);
    if let (ScalarValue::Decimal(v, _, scale), 'f') = (value, conversion.letter) {
        return Some(signed(
            conversion,
            &decimal_digits(v.unsigned_abs(), *scale, precision),
            *v < 0,
        ));
    }
    let number = match value {
        ScalarValue::Float32(v) => *v as f64,
        ScalarValue::Float64(v) => *v,
        ScalarValue::Decimal(v, _, s) => decimal_text(*v, *s).parse().ok()?,
        _ => return None,
    };
    if !number.is_finite() {
        return Some(double_text(number));
    }
    let digits = match conversion.letter {
        'f' => fixed(number.abs(), precision),
        _ => {
            let text = format!("{:.precision$e}", number.abs());
            let (mantissa, exponent) = text.split_once('e')?;
            let exponent: i32 = exponent.parse().ok()?;
            format!(
                "{mantissa}e{}{:02}",
                if exponent < 0 { '-' } else { '+' },
                exponent.abs()
            )
        }
    };
    Some(signed(conversion, &digits, number < 0.0))
}

fn double_text(number: f64) -> String {
    let mut text = String::new();
    write_float64(number, &mut text);
    text
}

/// Digits after the point of the shortest decimal that reads back as `number`, rounded half up.
fn fixed(number: f64, precision: usize) -> String {
    let shortest = format!("{number}");
    let (whole, fraction) = shortest.split_once('.').unwrap_or((&shortest, ""));
    let half_up = fraction.as_bytes().get(precision).is_some_and(|digit| *digit >= b'5');
    let kept = fraction.get(..precision).unwrap_or(fraction);
    let mut digits: Vec<u8> = whole.bytes().chain(kept.bytes()).collect();
    digits.resize(whole.len() + precision, b'0');
    if half_up && increment(&mut digits) {
        digits.insert(0, b'1');
    }
    let point = digits.len() - precision;
    let text: String = digits.iter().map(|d| *d as char).collect();
    let (whole, fraction) = text.split_at(point);
    if precision == 0 {
        whole.to_string()
    } else {
        format!("{whole}.{fraction}")
    }
}

/// Adds one to decimal digits; whether they all overflowed.
fn increment(digits: &mut [u8]) -> bool {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return false;
        }
        *digit = b'0';
    }
    true
}

/// An unscaled value with another number of digits after the point.
fn decimal_digits(value: u128, scale: i8, precision: usize) -> String {
    let scale = scale.max(0) as usize;
    let kept = precision.min(scale);
    let unit = 10u128.pow((scale - kept).min(38) as u32);
    let rounded = (value + unit / 2) / unit;
    let text = decimal_text(rounded as i128, kept as i8);
    match (precision - kept, kept) {
        (0, _) => text,
        (missing, 0) => format!("{text}.{}", "0".repeat(missing)),
        (missing, _) => format!("{text}{}", "0".repeat(missing)),
    }
}

/// `1234567.8` becomes `1,234,567.8`.
fn with_separators(digits: &str) -> String {
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn pad(conversion: &Conversion, text: &str, out: &mut String) {
    let missing = conversion.width.saturating_sub(text.chars().count());
    if conversion.left {
        out.push_str(text);
    }
    out.extend(std::iter::repeat_n(' ', missing));
    if !conversion.left {
        out.push_str(text);
    }
}

// ---- Numbers and sizes ----

/// With digits, integers and decimals stay exact up to ten digits after the point; other numbers are doubles.
fn format_number_type(found: &[DataType]) -> Option<Signature> {
    let (x, digits) = found.split_first()?;
    let exact = DecimalType::of(x).is_some_and(|d| d.scale <= 10 && d.precision as i8 - d.scale <= 28);
    match digits {
        [] => exactly(found, &[DOUBLE], STRING),
        _ if exact => exactly(digits, &[BIGINT], STRING).map(|s| Signature {
            arguments: vec![decimal_type(38, 10), BIGINT],
            ..s
        }),
        _ => exactly(found, &[DOUBLE, BIGINT], STRING),
    }
}

fn format_number(a: &Arguments) -> Result<Column> {
    if a.count() == 1 {
        let x = a.read::<Float64Array>(0)?;
        return a.strings(|row, out| Ok(Some(out.push_str(&compact(x.get(row))))));
    }
    let digits = a.integers_of(1)?;
    let precision = |row: usize| usize::try_from(digits.get(row)).ok().filter(|d| *d <= MAX_WIDTH);
    if a.column(0)?.data_type() == &DOUBLE {
        let x = a.read::<Float64Array>(0)?;
        return a.strings(|row, out| {
            let (x, Some(precision)) = (x.get(row), precision(row)) else {
                return Ok(None);
            };
            if !x.is_finite() {
                return Ok(Some(write_float64(x, out)));
            }
            let digits = with_separators(&fixed(x.abs(), precision));
            out.push_str(if x < 0.0 { "-" } else { "" });
            Ok(Some(out.push_str(&digits)))
        });
    }
    let x = a.read::<Decimal128Array>(0)?;
    a.strings(|row, out| {
        let (x, Some(precision)) = (x.get(row), precision(row)) else {
            return Ok(None);
        };
        out.push_str(if x < 0 { "-" } else { "" });
        Ok(Some(out.push_str(&with_separators(&decimal_digits(
            x.unsigned_abs(),
            10,
            precision,
        )))))
    })
}

/// `123456` is `123K`: at most three digits and a unit.
fn compact(number: f64) -> String {
    const UNITS: [&str; 6] = ["", "K", "M", "B", "T", "Q"];
    if !number.is_finite() {
        return double_text(number);
    }
    let mut scaled = number;
    let mut unit = 0;
    while scaled.abs() >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let precision = match scaled.abs() {
        a if a < 9.995 => 2,
        a if a < 99.95 => 1,
        _ => 0,
    };
    let digits = fixed(scaled.abs(), precision);
    let trimmed = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => &digits,
    };
    let sign = if scaled < 0.0 && trimmed != "0" { "-" } else { "" };
    format!("{sign}{trimmed}{}", UNITS.get(unit).copied().unwrap_or_default())
}

fn parse_data_size(a: &Arguments) -> Result<Column> {
    const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    let s = a.strings_of(0)?;
    a.primitives::<Decimal128Type>(|row| {
        let text = s.get(row);
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
        let power = UNITS.iter().position(|known| known.eq_ignore_ascii_case(unit.trim()));
        match (number.parse::<f64>(), power) {
            (Ok(number), Some(power)) if number * 1024f64.powi(power as i32) < 1e38 => {
                Ok(Some((number * 1024f64.powi(power as i32)) as i128))
            }
            _ => Err(Error::execution(format!("\"{text}\" is not a size of data"))
                .with_hint(format!("expected a number and one of {}", UNITS.join(", ")))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use crate::types::ScalarValue::{self, Boolean, Date, Decimal, Float64, Int32, Int64, Null};

    fn format(pattern: &str, values: &[ScalarValue]) -> ScalarValue {
        call("format", &[&[text(pattern)], values].concat())
    }

    #[test]
    fn java_conversions() {
        assert_eq!(
            format("%s|%5s|%-5s|%.2s", &[text("ab"), text("ab"), text("ab"), text("abc")]),
            text("ab|   ab|ab   |ab")
        );
        assert_eq!(
            format(
                "%d %05d %,d %+d %(d",
                &[Int32(7), Int32(-42), Int64(1234567), Int32(3), Int32(-3)]
            ),
            text("7 -0042 1,234,567 +3 (3)")
        );
        assert_eq!(
            format("%.2f %8.1f %,.2f", &[Float64(0.125), Float64(2.25), Float64(12345.678)]),
            text("0.13      2.3 12,345.68")
        );
        assert_eq!(
            format(
                "%.1f %.3f %f",
                &[Decimal(995, 3, 2), Decimal(15, 2, 1), Decimal(1, 1, 0)]
            ),
            text("10.0 1.500 1.000000")
        );
        assert_eq!(
            format("%x %e %b%% %3$s %1$s", &[Int32(255), Float64(12345.0), Boolean(true)]),
            text("ff 1.234500e+04 true% true 255")
        );
        assert_eq!(
            format("%s %s %s", &[Date(0), Null, Boolean(true)]),
            text("1970-01-01 null true")
        );
        assert!(error("format", &[text("%d"), text("x")]).contains("%d does not take 'x'"));
        assert!(error("format", &[text("%s %s"), text("x")]).contains("needs 2 values"));
        assert!(error("format", &[text("%q"), text("x")]).contains("unknown conversion %q"));
        assert!(error("format", &[text("%"), text("x")]).contains("incomplete"));
    }

    #[test]
    fn numbers() {
        assert_eq!(call("format_number", &[Int32(123456)]), text("123K"));
        assert_eq!(call("format_number", &[Int64(1_000_000)]), text("1M"));
        assert_eq!(call("format_number", &[Float64(1234.5), Int32(0)]), text("1,235"));
        assert_eq!(call("format_number", &[Float64(-0.999), Int32(2)]), text("-1.00"));
        assert_eq!(call("parse_data_size", &[text("2.5 kB")]), Decimal(2560, 38, 0));
        assert!(error("parse_data_size", &[text("2 XB")]).contains("size of data"));
    }
}
