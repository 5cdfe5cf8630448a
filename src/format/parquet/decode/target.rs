//! Which Parquet leaf becomes which arrow type, and how.

use arrow::datatypes::{DataType, TimeUnit};
use parquet::basic::{ConvertedType as C, LogicalType as L, TimeUnit as ParquetUnit, Type as Physical};
use parquet::schema::types::ColumnDescriptor;

/// How the bytes of one value are laid out in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Int32,
    Int64,
    Float,
    Double,
    /// That many bytes, a big-endian two's complement number.
    Fixed(usize),
    /// Any number of bytes, a big-endian two's complement number.
    Bytes,
}

impl Source {
    /// Bytes per value, if all have the same.
    pub fn width(self) -> Option<usize> {
        match self {
            Self::Int32 | Self::Float => Some(4),
            Self::Int64 | Self::Double => Some(8),
            Self::Fixed(n) => Some(n),
            Self::Bytes => None,
        }
    }
}

/// What happens to a number on its way into the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convert {
    /// The same number, in as many bits as the target has.
    Same,
    FloatToDouble,
    MillisToMicros,
    /// Rounded towards the past.
    NanosToMicros,
}

/// The way from leaf to array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    Boolean,
    /// Numbers of `bytes` bytes in the array.
    Fixed {
        source: Source,
        convert: Convert,
        bytes: usize,
    },
    Views {
        utf8: bool,
    },
}

/// What the schema says about a leaf beyond its physical type; the older converted types folded into the newer logical ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Plain,
    Integer { bits: i8, signed: bool },
    Decimal { scale: i32, precision: i32 },
    Date,
    Time(Unit),
    Timestamp(Unit),
    Text,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Millis,
    Micros,
    Nanos,
}

fn unit(unit: &ParquetUnit) -> Unit {
    match unit {
        ParquetUnit::MILLIS => Unit::Millis,
        ParquetUnit::MICROS => Unit::Micros,
        ParquetUnit::NANOS => Unit::Nanos,
    }
}

fn meaning(desc: &ColumnDescriptor) -> Meaning {
    match desc.logical_type_ref() {
        Some(L::String | L::Json | L::Enum | L::Bson) => Meaning::Text,
        Some(L::Integer(i)) => Meaning::Integer {
            bits: i.bit_width,
            signed: i.is_signed,
        },
        Some(L::Decimal(d)) => Meaning::Decimal {
            scale: d.scale,
            precision: d.precision,
        },
        Some(L::Date) => Meaning::Date,
        Some(L::Time(t)) => Meaning::Time(unit(&t.unit)),
        Some(L::Timestamp(t)) => Meaning::Timestamp(unit(&t.unit)),
        Some(_) => Meaning::Unknown,
        None => match desc.converted_type() {
            C::NONE => Meaning::Plain,
            C::UTF8 | C::JSON | C::ENUM | C::BSON => Meaning::Text,
            C::INT_8 => Meaning::Integer { bits: 8, signed: true },
            C::INT_16 => Meaning::Integer { bits: 16, signed: true },
            C::INT_32 => Meaning::Integer { bits: 32, signed: true },
            C::INT_64 => Meaning::Integer { bits: 64, signed: true },
            C::UINT_8 => Meaning::Integer { bits: 8, signed: false },
            C::UINT_16 => Meaning::Integer {
                bits: 16,
                signed: false,
            },
            C::UINT_32 => Meaning::Integer {
                bits: 32,
                signed: false,
            },
            C::UINT_64 => Meaning::Integer {
                bits: 64,
                signed: false,
            },
            C::DECIMAL => Meaning::Decimal {
                scale: desc.type_scale(),
                precision: desc.type_precision(),
            },
            C::DATE => Meaning::Date,
            C::TIME_MILLIS => Meaning::Time(Unit::Millis),
            C::TIME_MICROS => Meaning::Time(Unit::Micros),
            C::TIMESTAMP_MILLIS => Meaning::Timestamp(Unit::Millis),
            C::TIMESTAMP_MICROS => Meaning::Timestamp(Unit::Micros),
            _ => Meaning::Unknown,
        },
    }
}

/// How to decode a leaf into `target`; nothing if that needs another reader.
pub fn plan(desc: &ColumnDescriptor, target: &DataType) -> Option<Plan> {
    if desc.max_rep_level() != 0 || desc.max_def_level() > 1 {
        return None;
    }
    let meaning = meaning(desc);
    match desc.physical_type() {
        Physical::BOOLEAN => (*target == DataType::Boolean).then_some(Plan::Boolean),
        Physical::BYTE_ARRAY => match (meaning, target) {
            (Meaning::Text | Meaning::Plain, DataType::Utf8View) => Some(Plan::Views { utf8: true }),
            (Meaning::Text | Meaning::Plain | Meaning::Unknown, DataType::BinaryView) => {
                Some(Plan::Views { utf8: false })
            }
            _ => decimal(meaning, target, Source::Bytes),
        },
        Physical::FIXED_LEN_BYTE_ARRAY => {
            let width = usize::try_from(desc.type_length()).ok().filter(|&n| n > 0)?;
            decimal(meaning, target, Source::Fixed(width))
        }
        Physical::FLOAT => match target {
            DataType::Float32 => Some(fixed(Source::Float, Convert::Same, 4)),
            DataType::Float64 => Some(fixed(Source::Float, Convert::FloatToDouble, 8)),
            _ => None,
        },
        Physical::DOUBLE => (*target == DataType::Float64).then_some(fixed(Source::Double, Convert::Same, 8)),
        Physical::INT32 => int32(meaning, target),
        Physical::INT64 => int64(meaning, target),
        Physical::INT96 => None,
    }
}

fn fixed(source: Source, convert: Convert, bytes: usize) -> Plan {
    Plan::Fixed { source, convert, bytes }
}

/// Decimals keep their scale; the target may have more digits than the file.
fn decimal(meaning: Meaning, target: &DataType, source: Source) -> Option<Plan> {
    let Meaning::Decimal { scale, precision } = meaning else {
        return None;
    };
    let fits = |p: u8, s: i8| i32::from(s) == scale && i32::from(p) >= precision;
    match target {
        DataType::Decimal64(p, s) if fits(*p, *s) => Some(fixed(source, Convert::Same, 8)),
        DataType::Decimal128(p, s) if fits(*p, *s) => Some(fixed(source, Convert::Same, 16)),
        _ => None,
    }
}

fn int32(meaning: Meaning, target: &DataType) -> Option<Plan> {
    let same = |bytes| Some(fixed(Source::Int32, Convert::Same, bytes));
    let integer = |bits, signed| meaning == Meaning::Integer { bits, signed };
    let signed = meaning == Meaning::Plain || matches!(meaning, Meaning::Integer { signed: true, .. });
    match target {
        DataType::Int8 if integer(8, true) => same(1),
        DataType::UInt8 if integer(8, false) => same(1),
        DataType::Int16 if integer(16, true) => same(2),
        DataType::UInt16 if integer(16, false) => same(2),
        DataType::UInt32 if integer(32, false) => same(4),
        DataType::Int32 if signed => same(4),
        DataType::Int64 if signed => same(8),
        DataType::Date32 if meaning == Meaning::Date => same(4),
        DataType::Time32(TimeUnit::Millisecond) if meaning == Meaning::Time(Unit::Millis) => same(4),
        _ => decimal(meaning, target, Source::Int32),
    }
}

fn int64(meaning: Meaning, target: &DataType) -> Option<Plan> {
    let with = |convert| Some(fixed(Source::Int64, convert, 8));
    match (meaning, target) {
        (Meaning::Plain | Meaning::Integer { signed: true, .. }, DataType::Int64) => with(Convert::Same),
        (Meaning::Integer { signed: false, .. }, DataType::UInt64) => with(Convert::Same),
        (Meaning::Time(Unit::Micros), DataType::Time64(TimeUnit::Microsecond)) => with(Convert::Same),
        (Meaning::Time(Unit::Nanos), DataType::Time64(TimeUnit::Nanosecond)) => with(Convert::Same),
        (Meaning::Timestamp(unit), DataType::Timestamp(to, _)) => match (unit, to) {
            (Unit::Millis, TimeUnit::Millisecond) => with(Convert::Same),
            (Unit::Micros, TimeUnit::Microsecond) => with(Convert::Same),
            (Unit::Nanos, TimeUnit::Nanosecond) => with(Convert::Same),
            (Unit::Millis, TimeUnit::Microsecond) => with(Convert::MillisToMicros),
            (Unit::Nanos, TimeUnit::Microsecond) => with(Convert::NanosToMicros),
            _ => None,
        },
        _ => decimal(meaning, target, Source::Int64),
    }
}
