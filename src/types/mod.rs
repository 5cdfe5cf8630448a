//! Schema and qualified columns, scalar values, coercion, SQL type names, decimal rules.
//!
//! A SQL type is an arrow [`DataType`] out of this closed set:
//!
//! | SQL | arrow |
//! | --- | --- |
//! | boolean | Boolean |
//! | tinyint, smallint, int, bigint | Int8, Int16, Int32, Int64 |
//! | real/float, double | Float32, Float64 |
//! | decimal(p ≤ 18, s) | Decimal64 |
//! | decimal(p > 18, s) | Decimal128 |
//! | varchar, string, char | Utf8View |
//! | varbinary, binary | BinaryView |
//! | date | Date32 |
//! | time | Time64(Microsecond) |
//! | timestamp | Timestamp(Microsecond, None) |
//! | timestamp with time zone | Timestamp(Microsecond, Some(zone)) |
//! | interval year to month | Interval(YearMonth) |
//! | interval day to second | Duration(Microsecond) |
//! | array(T) | List(item: T) |
//! | map(K, V) | Map(entries(key: K, value: V)) |
//! | row(a T, …) | Struct |
//! | unknown (the type of NULL) | Null |
//!
//! Inside a batch a column may be dictionary-coded (`Dictionary(Int32, T)`); its SQL type is then `T`.

mod coercion;
mod decimal;
mod literal;
mod names;
mod scalar;
mod schema;

pub use coercion::{common_type, common_type_of, is_castable, is_decimal, is_integer, is_numeric, is_string};
pub use decimal::{DecimalType, MAX_DECIMAL_PRECISION, decimal_result, decimal_type};
pub use literal::{has_zone, parse_interval, parse_literal};
pub use names::{parse_type, type_name};
pub use scalar::ScalarValue;
pub(crate) use scalar::decimal_text;
pub use schema::{ColumnId, Field, Schema};

pub use arrow::datatypes::DataType;
use arrow::datatypes::{Field as ArrowField, IntervalUnit, TimeUnit};
use std::sync::Arc;

/// `timestamp` without zone: microseconds.
pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
/// `interval day to second`: microseconds.
pub const INTERVAL_DAY: DataType = DataType::Duration(TimeUnit::Microsecond);
/// `interval year to month`: months.
pub const INTERVAL_MONTH: DataType = DataType::Interval(IntervalUnit::YearMonth);

/// `timestamp with time zone` in the given zone.
pub fn timestamp_tz(zone: impl Into<Arc<str>>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()))
}

/// `array(item)`.
pub fn array_of(item: DataType) -> DataType {
    DataType::List(Arc::new(ArrowField::new("item", item, true)))
}

/// `map(key, value)`.
pub fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = vec![
        ArrowField::new("key", key, false),
        ArrowField::new("value", value, true),
    ];
    DataType::Map(
        Arc::new(ArrowField::new("entries", DataType::Struct(entries.into()), false)),
        false,
    )
}

/// `row(name type, …)`.
pub fn row_of(fields: Vec<(String, DataType)>) -> DataType {
    DataType::Struct(fields.into_iter().map(|(n, t)| ArrowField::new(n, t, true)).collect())
}

/// The SQL type of a column that may be dictionary-coded.
pub fn logical_type(physical: &DataType) -> &DataType {
    match physical {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}

/// The nearest type of the closed set above for any arrow type found in a file; `None` when there is none.
pub fn normalize_type(t: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match t {
        Null | Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Date32 | Utf8View | BinaryView => t.clone(),
        UInt8 => Int16,
        UInt16 => Int32,
        UInt32 => Int64,
        UInt64 => Decimal128(20, 0),
        Float16 => Float32,
        Utf8 | LargeUtf8 => Utf8View,
        Binary | LargeBinary | FixedSizeBinary(_) => BinaryView,
        Date64 => Date32,
        Time32(_) | Time64(_) => Time64(TimeUnit::Microsecond),
        Timestamp(_, zone) => Timestamp(TimeUnit::Microsecond, zone.clone()),
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) if *s >= 0 && *p <= 38 => decimal_type(*p, *s),
        Duration(_) => INTERVAL_DAY,
        Interval(IntervalUnit::YearMonth) => INTERVAL_MONTH,
        Dictionary(_, v) => return normalize_type(v),
        List(f) | LargeList(f) | FixedSizeList(f, _) | ListView(f) | LargeListView(f) => {
            array_of(normalize_type(f.data_type())?)
        }
        Map(f, _) => match f.data_type() {
            Struct(kv) if kv.len() == 2 => {
                map_of(normalize_type(kv[0].data_type())?, normalize_type(kv[1].data_type())?)
            }
            _ => return None,
        },
        Struct(fields) => row_of(
            fields
                .iter()
                .map(|f| Some((f.name().clone(), normalize_type(f.data_type())?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}
