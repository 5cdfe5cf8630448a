//! Constants: numbers, strings, typed strings, intervals, parameters.

use super::super::bind::{Binder, unsupported};
use super::super::tokens;
use crate::error::{Error, Result};
use crate::logical::{BinaryOp, Expr};
use crate::types::{
    DataType, MAX_DECIMAL_PRECISION, ScalarValue, TIMESTAMP, decimal_type, has_zone, is_decimal, parse_interval,
    parse_literal, parse_type, timestamp_tz, type_name,
};
use sqlparser::ast::{self, DateTimeField, Expr as Ast, Value};

impl Binder<'_> {
    pub(super) fn value(&mut self, value: &ast::ValueWithSpan) -> Result<Expr> {
        Ok(match &value.value {
            Value::Number(text, _) => number(&text.replace('_', ""))?,
            Value::SingleQuotedString(s)
            | Value::UnicodeStringLiteral(s)
            | Value::NationalStringLiteral(s)
            | Value::EscapedStringLiteral(s) => Expr::literal(ScalarValue::string(s.as_str())),
            Value::DollarQuotedString(s) => Expr::literal(ScalarValue::string(s.value.as_str())),
            Value::HexStringLiteral(hex) => Expr::literal(ScalarValue::Binary(bytes(hex)?.into())),
            Value::Boolean(b) => Expr::boolean(*b),
            Value::Null => Expr::null(DataType::Null),
            Value::Placeholder(name) => self.parameter(value, name)?,
            other => {
                return Err(Error::unsupported(format!("the literal {other} is not supported"))
                    .with_span(tokens::span(value.span)));
            }
        })
    }

    /// `INTERVAL '90' DAY`, `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL x DAY`.
    pub(super) fn interval(&mut self, interval: &ast::Interval) -> Result<Expr> {
        let leading = interval.leading_field.as_ref().map(unit_name).transpose()?;
        let last = interval.last_field.as_ref().map(unit_name).transpose()?;
        let value = self.expr(&interval.value)?;
        let text = match &value {
            Expr::Literal(ScalarValue::String(s), _) => s.to_string(),
            Expr::Literal(v, _) if v.as_integer().is_some() => v.to_string(),
            _ => return self.computed_interval(value, leading, &interval.value),
        };
        let parsed = parse_interval(&text, leading, last);
        parsed.map(Expr::literal).ok_or_else(|| {
            let unit = match (leading, last) {
                (Some(a), Some(b)) => format!(" {a} to {b}"),
                (Some(a), None) => format!(" {a}"),
                _ => String::new(),
            };
            Error::plan(format!("'{text}' is no interval{unit}"))
                .with_hint("write INTERVAL '90' DAY, or INTERVAL '1 02:03:04' DAY TO SECOND")
        })
    }

    /// `INTERVAL n DAY` for a column n: as many times one day.
    fn computed_interval(&mut self, value: Expr, unit: Option<&str>, written: &Ast) -> Result<Expr> {
        let one = unit.and_then(|u| parse_interval("1", Some(u), None));
        match one {
            Some(one) => Expr::arithmetic(BinaryOp::Multiply, Expr::literal(one), value),
            None => Err(unsupported("an interval that is not constant and has no unit", written)),
        }
    }
}

/// `1` → integer or bigint, `1.5` → decimal, `1e3` → double, as Trino types them.
fn number(text: &str) -> Result<Expr> {
    if text.contains(['e', 'E']) {
        return match text.parse::<f64>() {
            Ok(v) if v.is_finite() => Ok(Expr::literal(ScalarValue::Float64(v))),
            _ => Err(Error::plan(format!("{text} is no double"))),
        };
    }
    if !text.contains('.') {
        if let Ok(v) = text.parse::<i32>() {
            return Ok(Expr::literal(ScalarValue::Int32(v)));
        }
        if let Ok(v) = text.parse::<i64>() {
            return Ok(Expr::literal(ScalarValue::Int64(v)));
        }
    }
    decimal(text, false).map(Expr::literal)
}

/// The digits of a decimal. A typed literal counts leading zeros too: `DECIMAL '0012.30'` is decimal(6,2).
fn decimal(text: &str, count_leading_zeros: bool) -> Result<ScalarValue> {
    let bad = || {
        Error::plan(format!(
            "{text} is no decimal of at most {MAX_DECIMAL_PRECISION} digits"
        ))
    };
    let (negative, digits) = match text.trim().strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.trim().strip_prefix('+').unwrap_or(text.trim())),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) || digits.is_empty() || digits == "." {
        return Err(bad());
    }
    let counted = match count_leading_zeros {
        true => whole,
        false => whole.trim_start_matches('0'),
    };
    let precision = (counted.len() + fraction.len()).max(1);
    if precision > MAX_DECIMAL_PRECISION as usize {
        return Err(bad());
    }
    let value: i128 = format!("0{}{fraction}", whole.trim_start_matches('0'))
        .parse()
        .map_err(|_| bad())?;
    let value = if negative { -value } else { value };
    Ok(ScalarValue::Decimal(value, precision as u8, fraction.len() as i8))
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [a, b] => Some(digit(*a)? << 4 | digit(*b)?),
        _ => None,
    });
    let pairs: Option<Vec<u8>> = pairs.collect();
    pairs.ok_or_else(|| Error::plan(format!("X'{hex}' needs pairs of hexadecimal digits")))
}

/// `DATE '2020-01-31'`, `TIMESTAMP '…'`, `TIME '…'`, `DECIMAL '1.10'`, `BIGINT '5'`.
pub(super) fn typed_string(typed: &ast::TypedString) -> Result<Expr> {
    let Value::SingleQuotedString(text) = &typed.value.value else {
        return Err(unsupported("a typed literal without quotes", &typed.value));
    };
    let mut t = parse_type(&typed.data_type.to_string())?;
    if is_decimal(&t) {
        let value = decimal(text, true)?;
        return match value {
            // The type's own precision counts when it is written.
            ScalarValue::Decimal(_, p, s) if typed.data_type.to_string().contains('(') => {
                Expr::Literal(value, decimal_type(p, s)).cast_to(&t)
            }
            value => Ok(Expr::literal(value)),
        };
    }
    if t == TIMESTAMP && has_zone(text) {
        t = timestamp_tz("UTC");
    }
    match parse_literal(text, &t) {
        Some(value) => Ok(Expr::literal(value)),
        None if matches!(t, DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_)) => Err(Error::plan(
            format!("'{text}' is no {}", type_name(&t)),
        )
        .with_hint(match t {
            DataType::Date32 => "write DATE '2020-01-31'",
            DataType::Time64(_) => "write TIME '12:30:00'",
            _ => "write TIMESTAMP '2020-01-31 12:30:00'",
        })),
        None => Expr::literal(ScalarValue::string(text.as_str())).cast_to(&t),
    }
}

/// A unit in lower case and singular.
fn unit_name(field: &DateTimeField) -> Result<&'static str> {
    use DateTimeField as F;
    Ok(match field {
        F::Year | F::Years => "year",
        F::Quarter => "quarter",
        F::Month | F::Months => "month",
        F::Week(None) | F::Weeks => "week",
        F::Day | F::Days => "day",
        F::Hour | F::Hours => "hour",
        F::Minute | F::Minutes => "minute",
        F::Second | F::Seconds => "second",
        F::Millisecond | F::Milliseconds => "millisecond",
        F::Microsecond | F::Microseconds => "microsecond",
        other => return Err(Error::plan(format!("{other} is no unit of an interval"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_trinos_types() {
        for (text, expected) in [
            ("1", DataType::Int32),
            ("3000000000", DataType::Int64),
            ("1.1", decimal_type(2, 1)),
            ("0.05", decimal_type(2, 2)),
            ("100.00", decimal_type(5, 2)),
            ("1e3", DataType::Float64),
            ("99999999999999999999", decimal_type(20, 0)),
        ] {
            assert_eq!(number(text).unwrap().data_type(), expected, "{text}");
        }
        assert_eq!(decimal("0012.30", true).unwrap().data_type(), decimal_type(6, 2));
        assert!(number("1".repeat(39).as_str()).is_err());
    }

    #[test]
    fn hexadecimal_bytes() {
        assert_eq!(bytes("0Aff").unwrap(), [10, 255]);
        assert!(bytes("0A1").is_err() && bytes("zz").is_err());
    }
}
