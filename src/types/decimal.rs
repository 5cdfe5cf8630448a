//! Decimal result types as Trino defines them (its `DecimalOperators`; the documentation's table gives quotients fewer
//! digits than the engine does).

use super::DataType;
use crate::error::{Error, Result};

/// Digits that fit the widest decimal.
pub const MAX_DECIMAL_PRECISION: u8 = 38;

/// Precision and scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecimalType {
    pub precision: u8,
    pub scale: i8,
}

impl DecimalType {
    /// The decimal that holds every value of `t`: decimals as they are, integers by their digits.
    pub fn of(t: &DataType) -> Option<Self> {
        let (precision, scale) = match t {
            DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => (*p, *s),
            DataType::Int8 => (3, 0),
            DataType::Int16 => (5, 0),
            DataType::Int32 => (10, 0),
            DataType::Int64 => (19, 0),
            _ => return None,
        };
        Some(Self { precision, scale })
    }
}

/// The arrow type of `decimal(precision, scale)`: 64 bits up to 18 digits, 128 above.
pub fn decimal_type(precision: u8, scale: i8) -> DataType {
    if precision <= 18 {
        DataType::Decimal64(precision, scale)
    } else {
        DataType::Decimal128(precision, scale)
    }
}

/// The result type of `left op right` for op in `+ - * / %`.
///
/// # Errors
/// When the scale alone needs more than 38 digits.
pub fn decimal_result(op: char, left: DecimalType, right: DecimalType) -> Result<DecimalType> {
    let (p1, s1) = (left.precision as i32, left.scale as i32);
    let (p2, s2) = (right.precision as i32, right.scale as i32);
    let max = MAX_DECIMAL_PRECISION as i32;
    let (precision, scale) = match op {
        '+' | '-' => (max.min(1 + s1.max(s2) + (p1 - s1).max(p2 - s2)), s1.max(s2)),
        '*' => (max.min(p1 + p2), s1 + s2),
        '/' => (max.min(p1 + s2 + (s2 - s1).max(0)), s1.max(s2)),
        '%' => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
        other => return Err(Error::internal(format!("no decimal rule for operator {other}"))),
    };
    if scale > max {
        return Err(Error::plan(format!(
            "decimal({p1},{s1}) {op} decimal({p2},{s2}) needs {scale} digits after the point, more than {max}"
        ))
        .with_hint("cast one side to a decimal with fewer digits, or to double"));
    }
    Ok(DecimalType {
        precision: precision.max(scale.max(1)) as u8,
        scale: scale as i8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trino_rules() {
        let d = |precision, scale| DecimalType { precision, scale };
        assert_eq!(decimal_result('*', d(15, 2), d(16, 2)).unwrap(), d(31, 4));
        assert_eq!(decimal_result('+', d(15, 2), d(1, 0)).unwrap(), d(16, 2));
        assert_eq!(decimal_result('/', d(4, 2), d(3, 2)).unwrap(), d(6, 2));
    }
}
