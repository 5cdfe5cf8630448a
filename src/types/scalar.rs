//! One value of any SQL type.

use super::{DataType, TIMESTAMP, decimal_type, logical_type};
use crate::error::{Error, Result};
use arrow::array::*;
use arrow::datatypes::*;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One value. `Null` fits every type; the type that a literal NULL has is kept beside it where it matters.
#[derive(Debug, Clone)]
pub enum ScalarValue {
    Null,
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Float32(f32),
    Float64(f64),
    /// Unscaled value, precision, scale.
    Decimal(i128, u8, i8),
    String(Arc<str>),
    Binary(Arc<[u8]>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01 00:00:00, in UTC when there is a zone.
    Timestamp(i64, Option<Arc<str>>),
    IntervalMonths(i32),
    /// Microseconds.
    IntervalMicros(i64),
    /// An array, map or row: one element of that type.
    Nested(ArrayRef),
}

impl ScalarValue {
    pub fn string(s: impl Into<Arc<str>>) -> Self {
        Self::String(s.into())
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The type of the value; `Null` for NULL.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Boolean(_) => DataType::Boolean,
            Self::Int8(_) => DataType::Int8,
            Self::Int16(_) => DataType::Int16,
            Self::Int32(_) => DataType::Int32,
            Self::Int64(_) => DataType::Int64,
            Self::Float32(_) => DataType::Float32,
            Self::Float64(_) => DataType::Float64,
            Self::Decimal(_, p, s) => decimal_type(*p, *s),
            Self::String(_) => DataType::Utf8View,
            Self::Binary(_) => DataType::BinaryView,
            Self::Date(_) => DataType::Date32,
            Self::Time(_) => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp(_, None) => TIMESTAMP,
            Self::Timestamp(_, Some(zone)) => super::timestamp_tz(zone.clone()),
            Self::IntervalMonths(_) => super::INTERVAL_MONTH,
            Self::IntervalMicros(_) => super::INTERVAL_DAY,
            Self::Nested(a) => a.data_type().clone(),
        }
    }

    /// `len` copies as an array of type `t`, which must be this value's type (or any type for NULL).
    pub fn to_array(&self, t: &DataType, len: usize) -> Result<ArrayRef> {
        fn prim<T: ArrowPrimitiveType>(v: T::Native, t: &DataType, len: usize) -> ArrayRef {
            Arc::new(PrimitiveArray::<T>::from_value(v, len).with_data_type(t.clone()))
        }
        Ok(match (self, t) {
            (Self::Null, t) => new_null_array(t, len),
            (Self::Boolean(v), DataType::Boolean) => Arc::new(BooleanArray::from(vec![*v; len])),
            (Self::Int8(v), DataType::Int8) => prim::<Int8Type>(*v, t, len),
            (Self::Int16(v), DataType::Int16) => prim::<Int16Type>(*v, t, len),
            (Self::Int32(v), DataType::Int32) => prim::<Int32Type>(*v, t, len),
            (Self::Int64(v), DataType::Int64) => prim::<Int64Type>(*v, t, len),
            (Self::Float32(v), DataType::Float32) => prim::<Float32Type>(*v, t, len),
            (Self::Float64(v), DataType::Float64) => prim::<Float64Type>(*v, t, len),
            (Self::Decimal(v, _, s), DataType::Decimal64(_, ts)) if s == ts => {
                let v = i64::try_from(*v).map_err(|_| Error::execution(format!("decimal {self} does not fit {t}")))?;
                prim::<Decimal64Type>(v, t, len)
            }
            (Self::Decimal(v, _, s), DataType::Decimal128(_, ts)) if s == ts => prim::<Decimal128Type>(*v, t, len),
            (Self::String(v), DataType::Utf8View) => {
                Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(v.as_ref(), len)))
            }
            (Self::Binary(v), DataType::BinaryView) => {
                Arc::new(BinaryViewArray::from_iter_values(std::iter::repeat_n(v.as_ref(), len)))
            }
            (Self::Date(v), DataType::Date32) => prim::<Date32Type>(*v, t, len),
            (Self::Time(v), DataType::Time64(_)) => prim::<Time64MicrosecondType>(*v, t, len),
            (Self::Timestamp(v, _), DataType::Timestamp(..)) => prim::<TimestampMicrosecondType>(*v, t, len),
            (Self::IntervalMonths(v), DataType::Interval(IntervalUnit::YearMonth)) => {
                prim::<IntervalYearMonthType>(*v, t, len)
            }
            (Self::IntervalMicros(v), DataType::Duration(_)) => prim::<DurationMicrosecondType>(*v, t, len),
            (Self::Nested(a), t) if a.data_type() == t => {
                arrow::compute::take(a, &UInt32Array::from_value(0, len), None)?
            }
            _ => {
                return Err(Error::internal(format!(
                    "value {self} of type {} used as {t}",
                    self.data_type()
                )));
            }
        })
    }

    /// The value at `row` of an array of one of our types (dictionary-coded or not).
    pub fn from_array(array: &dyn Array, row: usize) -> Result<Self> {
        if row >= array.len() {
            return Err(Error::internal(format!("row {row} of an array of {}", array.len())));
        }
        if array.is_null(row) {
            return Ok(Self::Null);
        }
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(array.as_boolean().value(row)),
            DataType::Int8 => Self::Int8(array.as_primitive::<Int8Type>().value(row)),
            DataType::Int16 => Self::Int16(array.as_primitive::<Int16Type>().value(row)),
            DataType::Int32 => Self::Int32(array.as_primitive::<Int32Type>().value(row)),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>().value(row)),
            DataType::Float32 => Self::Float32(array.as_primitive::<Float32Type>().value(row)),
            DataType::Float64 => Self::Float64(array.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal64(p, s) => {
                Self::Decimal(array.as_primitive::<Decimal64Type>().value(row) as i128, *p, *s)
            }
            DataType::Decimal128(p, s) => Self::Decimal(array.as_primitive::<Decimal128Type>().value(row), *p, *s),
            DataType::Utf8View => Self::string(array.as_string_view().value(row)),
            DataType::Utf8 => Self::string(array.as_string::<i32>().value(row)),
            DataType::BinaryView => Self::Binary(array.as_binary_view().value(row).into()),
            DataType::Date32 => Self::Date(array.as_primitive::<Date32Type>().value(row)),
            DataType::Time64(TimeUnit::Microsecond) => {
                Self::Time(array.as_primitive::<Time64MicrosecondType>().value(row))
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Self::Timestamp(
                array.as_primitive::<TimestampMicrosecondType>().value(row),
                zone.clone(),
            ),
            DataType::Interval(IntervalUnit::YearMonth) => {
                Self::IntervalMonths(array.as_primitive::<IntervalYearMonthType>().value(row))
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                Self::IntervalMicros(array.as_primitive::<DurationMicrosecondType>().value(row))
            }
            DataType::Dictionary(_, _) => {
                let any = array.as_any_dictionary();
                let key = any.normalized_keys().get(row).copied().unwrap_or(0);
                return Self::from_array(any.values().as_ref(), key);
            }
            t if t.is_nested() => Self::Nested(array.slice(row, 1)),
            t => return Err(Error::internal(format!("no scalar value for arrow type {t}"))),
        })
    }

    /// The value as a 128-bit integer when it is an integer.
    pub fn as_integer(&self) -> Option<i64> {
        Some(match self {
            Self::Int8(v) => *v as i64,
            Self::Int16(v) => *v as i64,
            Self::Int32(v) => *v as i64,
            Self::Int64(v) => *v,
            _ => return None,
        })
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(v) => Some(*v),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(v) => Some(v),
            _ => None,
        }
    }

    /// An approximation for estimates: numbers, dates and timestamps on one axis.
    pub fn as_f64(&self) -> Option<f64> {
        Some(match self {
            Self::Boolean(v) => *v as i32 as f64,
            Self::Float32(v) => *v as f64,
            Self::Float64(v) => *v,
            Self::Decimal(v, _, s) => *v as f64 / 10f64.powi(*s as i32),
            Self::Date(v) => *v as f64,
            Self::Time(v) | Self::Timestamp(v, _) | Self::IntervalMicros(v) => *v as f64,
            Self::IntervalMonths(v) => *v as f64,
            other => other.as_integer()? as f64,
        })
    }

    /// SQL order of two values of one type; `None` when one is NULL or the types do not compare.
    pub fn partial_compare(&self, other: &Self) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Float32(a), Self::Float32(b)) => a.total_cmp(b),
            (Self::Float64(a), Self::Float64(b)) => a.total_cmp(b),
            (Self::Decimal(a, _, s), Self::Decimal(b, _, t)) if s == t => a.cmp(b),
            (Self::Decimal(a, _, s), Self::Decimal(b, _, t)) => {
                let scale = (*s).max(*t);
                let a = a.checked_mul(10i128.checked_pow((scale - s) as u32)?)?;
                a.cmp(&b.checked_mul(10i128.checked_pow((scale - t) as u32)?)?)
            }
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Binary(a), Self::Binary(b)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Timestamp(a, _), Self::Timestamp(b, _)) => a.cmp(b),
            (Self::IntervalMonths(a), Self::IntervalMonths(b)) => a.cmp(b),
            (Self::IntervalMicros(a), Self::IntervalMicros(b)) => a.cmp(b),
            (a, b) => a.as_integer()?.cmp(&b.as_integer()?),
        })
    }
}

impl PartialEq for ScalarValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Nested(a), Self::Nested(b)) => a == b,
            (a, b) => a.data_type() == b.data_type() && a.partial_compare(b) == Some(Ordering::Equal),
        }
    }
}

impl Eq for ScalarValue {}

impl Hash for ScalarValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Boolean(v) => v.hash(state),
            Self::Float32(v) => v.to_bits().hash(state),
            Self::Float64(v) => v.to_bits().hash(state),
            Self::Decimal(v, _, s) => (v, s).hash(state),
            Self::String(v) => v.hash(state),
            Self::Binary(v) => v.hash(state),
            Self::Date(v) => v.hash(state),
            Self::Time(v) | Self::Timestamp(v, _) | Self::IntervalMicros(v) => v.hash(state),
            Self::IntervalMonths(v) => v.hash(state),
            Self::Null | Self::Nested(_) => {}
            integer => integer.as_integer().hash(state),
        }
    }
}

/// A SQL-like spelling, for plans and messages; result output is formatted in `vector::display`.
impl std::fmt::Display for ScalarValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean(v) => write!(f, "{v}"),
            Self::Float32(v) => write!(f, "{v:?}"),
            Self::Float64(v) => write!(f, "{v:?}"),
            Self::Decimal(v, _, s) => f.write_str(&decimal_text(*v, *s)),
            Self::String(v) => write!(f, "'{}'", v.replace('\'', "''")),
            Self::Binary(v) => {
                f.write_str("X'")?;
                v.iter().try_for_each(|b| write!(f, "{b:02X}"))?;
                f.write_str("'")
            }
            Self::Date(v) => match chrono::DateTime::from_timestamp(*v as i64 * 86_400, 0) {
                Some(d) => write!(f, "DATE '{}'", d.format("%Y-%m-%d")),
                None => write!(f, "DATE({v})"),
            },
            Self::Time(v) => write!(f, "TIME({v} us)"),
            Self::Timestamp(v, zone) => match chrono::DateTime::from_timestamp_micros(*v) {
                Some(t) => {
                    let zone = zone.as_ref().map(|z| format!(" {z}")).unwrap_or_default();
                    write!(f, "TIMESTAMP '{}{zone}'", t.format("%Y-%m-%d %H:%M:%S%.6f"))
                }
                None => write!(f, "TIMESTAMP({v} us)"),
            },
            Self::IntervalMonths(v) => write!(f, "INTERVAL '{v}' MONTH"),
            Self::IntervalMicros(v) if v % 86_400_000_000 == 0 => write!(f, "INTERVAL '{}' DAY", v / 86_400_000_000),
            Self::IntervalMicros(v) => write!(f, "INTERVAL '{}' SECOND", *v as f64 / 1e6),
            Self::Nested(a) => write!(
                f,
                "{}({} bytes)",
                super::type_name(logical_type(a.data_type())),
                a.get_array_memory_size()
            ),
            integer => write!(f, "{}", integer.as_integer().unwrap_or_default()),
        }
    }
}

/// `12345` with scale 2 is `123.45`.
pub(crate) fn decimal_text(value: i128, scale: i8) -> String {
    if scale <= 0 {
        return value.to_string();
    }
    let scale = scale as usize;
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
}
