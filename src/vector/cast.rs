//! `CAST` and `TRY_CAST` between all pairs of `types::is_castable`.

use super::Column;
use super::calendar::{MICROS_PER_DAY, Zone};
use super::decimal::{divide_half_up_wide, power_of_ten};
use super::display::{ValueFormatter, format_value};
use super::parse;
use crate::error::{Error, Result};
use crate::types::{DataType, is_decimal, is_integer, is_numeric, type_name};
use arrow::array::{types::*, *};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::CastOptions;
use arrow::datatypes::{FieldRef, IntervalUnit, TimeUnit};
use std::sync::Arc;

/// The column cast to `to`; a constant stays one. With `safe`, values that cannot be converted become NULL.
///
/// # Errors
/// `Cannot cast 'abc' to integer`, for the first value that cannot be converted.
pub fn cast_column(column: &Column, to: &DataType, safe: bool) -> Result<Column> {
    match column {
        Column::Constant { value, rows } => Ok(Column::Constant {
            value: cast_array(value, to, safe)?,
            rows: *rows,
        }),
        Column::Array(array) if array.data_type() == to => Ok(column.clone()),
        Column::Array(_) => Ok(Column::Array(cast_array(&column.to_array()?, to, safe)?)),
    }
}

/// [`cast_column`] for a plain array.
pub fn cast_array(array: &ArrayRef, to: &DataType, safe: bool) -> Result<ArrayRef> {
    use DataType::*;
    let cast = Cast { array, to, safe };
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(array.clone()),
        (Null, _) => Ok(new_null_array(to, array.len())),
        (List(_), List(field)) => cast.list(field),
        (Map(_, _), Map(field, sorted)) => cast.map(field, *sorted),
        (Struct(_), Struct(fields)) => cast.row(fields.iter().cloned().collect()),
        (Utf8 | LargeUtf8, Utf8View) => cast.by_arrow(),
        (Binary | LargeBinary, BinaryView) => cast.by_arrow(),
        (BinaryView, Utf8View) => cast.binary_to_text(),
        (_, Utf8View) => cast.value_to_text(),
        (Utf8View, _) => cast.text_to_value(),
        (Boolean, _) => cast.boolean_to_number(),
        (from, Boolean) if is_numeric(from) => cast.number_to_boolean(),
        (from, to) if is_decimal(from) => cast.decimal_to_number(to),
        (from, to) if is_decimal(to) => cast.number_to_decimal(from),
        (from, to) if from.is_floating() && is_integer(to) => cast.float_to_integer(),
        (from, to) if is_integer(from) && is_integer(to) => cast.integer_to_integer(),
        (from, to) if is_numeric(from) && is_numeric(to) => cast.by_arrow(),
        _ => cast.temporal(),
    }
}

struct Cast<'a> {
    array: &'a ArrayRef,
    to: &'a DataType,
    safe: bool,
}

/// Runs `$body` with `$T` bound to the arrow type of an integer or float type.
macro_rules! with_number {
    ($t:expr, $T:ident => $body:expr, else $other:expr) => {
        match $t {
            DataType::Int8 => {
                type $T = Int8Type;
                $body
            }
            DataType::Int16 => {
                type $T = Int16Type;
                $body
            }
            DataType::Int32 => {
                type $T = Int32Type;
                $body
            }
            DataType::Int64 => {
                type $T = Int64Type;
                $body
            }
            DataType::Float32 => {
                type $T = Float32Type;
                $body
            }
            DataType::Float64 => {
                type $T = Float64Type;
                $body
            }
            _ => $other,
        }
    };
}

impl Cast<'_> {
    fn by_arrow(&self) -> Result<ArrayRef> {
        let options = CastOptions {
            safe: self.safe,
            ..CastOptions::default()
        };
        Ok(arrow::compute::cast_with_options(self.array, self.to, &options)?)
    }

    fn unsupported(&self) -> Error {
        Error::unsupported(format!(
            "cast from {} to {}",
            type_name(self.array.data_type()),
            type_name(self.to)
        ))
    }

    fn cannot(&self, row: usize) -> Error {
        let mut text = String::new();
        format_value(self.array.as_ref(), row, &mut text);
        Error::execution(format!("Cannot cast '{text}' to {}", type_name(self.to)))
            .with_hint("TRY_CAST gives NULL instead of an error")
    }

    /// Values from rows; `None` for a row that has a value is a failure.
    fn collect<T: ArrowPrimitiveType>(&self, mut value: impl FnMut(usize) -> Option<T::Native>) -> Result<ArrayRef> {
        let rows = self.array.len();
        let mut values = Vec::with_capacity(rows);
        let mut failed: Option<Vec<bool>> = None;
        for row in 0..rows {
            let valid = self.array.is_valid(row);
            let converted = if valid { value(row) } else { None };
            if valid && converted.is_none() {
                if !self.safe {
                    return Err(self.cannot(row));
                }
                if let Some(slot) = failed.get_or_insert_with(|| vec![true; rows]).get_mut(row) {
                    *slot = false;
                }
            }
            values.push(converted.unwrap_or_default());
        }
        let failed = failed.map(NullBuffer::from);
        let nulls = NullBuffer::union(self.array.nulls(), failed.as_ref());
        let array = PrimitiveArray::<T>::try_new(values.into(), nulls)?;
        Ok(Arc::new(array.with_data_type(self.to.clone())))
    }

    /// Values from values.
    fn convert<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
        &self,
        f: impl Fn(A::Native) -> Option<B::Native>,
    ) -> Result<ArrayRef> {
        let array = self.array.as_primitive::<A>();
        self.collect::<B>(|row| f(array.value(row)))
    }

    /// Values from values, where nothing can fail.
    fn unary<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
        &self,
        f: impl Fn(A::Native) -> B::Native,
    ) -> Result<ArrayRef> {
        let array = self.array.as_primitive::<A>().unary::<_, B>(f);
        Ok(Arc::new(array.with_data_type(self.to.clone())))
    }

    /// Decimals from rows, checked against the precision.
    fn decimals(&self, mut value: impl FnMut(usize) -> Option<i128>) -> Result<ArrayRef> {
        let (DataType::Decimal64(precision, _) | DataType::Decimal128(precision, _)) = self.to else {
            return Err(self.unsupported());
        };
        let limit = power_of_ten(i32::from(*precision)).unsigned_abs();
        let mut fitting = |row: usize| value(row).filter(|v| v.unsigned_abs() < limit);
        match self.to {
            DataType::Decimal64(..) => self.collect::<Decimal64Type>(|row| fitting(row).map(|v| v as i64)),
            _ => self.collect::<Decimal128Type>(fitting),
        }
    }

    fn scale_of(t: &DataType) -> i32 {
        match t {
            DataType::Decimal64(_, s) | DataType::Decimal128(_, s) => i32::from(*s),
            _ => 0,
        }
    }

    fn value_to_text(&self) -> Result<ArrayRef> {
        let formatter = ValueFormatter::new(self.array.as_ref());
        let mut builder = StringViewBuilder::with_capacity(self.array.len());
        let mut text = String::new();
        for row in 0..self.array.len() {
            if formatter.is_null(row) {
                builder.append_null();
            } else {
                text.clear();
                formatter.write(row, &mut text);
                builder.try_append_value(&text)?;
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    fn binary_to_text(&self) -> Result<ArrayRef> {
        let array = self.array.as_binary_view();
        let mut builder = StringViewBuilder::with_capacity(array.len());
        for bytes in array {
            match bytes.map(std::str::from_utf8) {
                Some(Ok(text)) => builder.try_append_value(text)?,
                Some(Err(_)) if !self.safe => {
                    return Err(
                        Error::execution("Cannot cast varbinary to varchar: the bytes are not UTF-8")
                            .with_hint("use to_hex(x), or from_utf8(x) which replaces what is not UTF-8"),
                    );
                }
                _ => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    fn text_to_value(&self) -> Result<ArrayRef> {
        let text = self.array.as_string_view();
        match self.to {
            DataType::Boolean => self.booleans(|row| parse::parse_boolean(text.value(row))),
            DataType::Int8 => self.collect::<Int8Type>(|row| text.value(row).parse().ok()),
            DataType::Int16 => self.collect::<Int16Type>(|row| text.value(row).parse().ok()),
            DataType::Int32 => self.collect::<Int32Type>(|row| text.value(row).parse().ok()),
            DataType::Int64 => self.collect::<Int64Type>(|row| text.value(row).parse().ok()),
            DataType::Float32 => {
                self.collect::<Float32Type>(|row| parse::parse_double(text.value(row)).map(|v| v as f32))
            }
            DataType::Float64 => self.collect::<Float64Type>(|row| parse::parse_double(text.value(row))),
            DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
                self.decimals(|row| parse::parse_decimal(text.value(row), *p, *s))
            }
            DataType::Date32 => self.collect::<Date32Type>(|row| parse::parse_date(text.value(row))),
            DataType::Time64(_) => self.collect::<Time64MicrosecondType>(|row| parse::parse_time(text.value(row))),
            DataType::Timestamp(_, None) => {
                self.collect::<TimestampMicrosecondType>(|row| match parse::parse_timestamp(text.value(row))? {
                    (micros, None) => Some(micros),
                    _ => None,
                })
            }
            DataType::Timestamp(_, Some(zone)) => {
                let zone = Zone::parse(zone)?;
                self.collect::<TimestampMicrosecondType>(|row| parse::parse_instant(text.value(row), &zone))
            }
            DataType::Interval(IntervalUnit::YearMonth) => {
                self.collect::<IntervalYearMonthType>(|row| parse::parse_months(text.value(row)))
            }
            DataType::Duration(_) => {
                self.collect::<DurationMicrosecondType>(|row| parse::parse_interval(text.value(row)))
            }
            DataType::BinaryView => Ok(Arc::new(text.clone().to_binary_view())),
            _ => Err(self.unsupported()),
        }
    }

    fn booleans(&self, f: impl Fn(usize) -> Option<bool>) -> Result<ArrayRef> {
        let rows = 0..self.array.len();
        let values: BooleanArray = rows
            .map(|row| match f(row) {
                _ if self.array.is_null(row) => Ok(None),
                None if !self.safe => Err(self.cannot(row)),
                value => Ok(value),
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(values))
    }

    fn boolean_to_number(&self) -> Result<ArrayRef> {
        let array = self.array.as_boolean();
        if is_decimal(self.to) {
            let one = power_of_ten(Self::scale_of(self.to));
            return self.decimals(|row| Some(if array.value(row) { one } else { 0 }));
        }
        self.by_arrow()
    }

    fn number_to_boolean(&self) -> Result<ArrayRef> {
        let from = self.array.data_type();
        let values: BooleanArray = match from {
            DataType::Decimal64(..) => BooleanArray::from_unary(self.array.as_primitive::<Decimal64Type>(), |v| v != 0),
            DataType::Decimal128(..) => {
                BooleanArray::from_unary(self.array.as_primitive::<Decimal128Type>(), |v| v != 0)
            }
            _ => with_number!(from, T => {
                let zero = <T as ArrowPrimitiveType>::Native::default();
                BooleanArray::from_unary(self.array.as_primitive::<T>(), |v| v != zero)
            }, else return Err(self.unsupported())),
        };
        Ok(Arc::new(values))
    }

    fn decimal_to_number(&self, to: &DataType) -> Result<ArrayRef> {
        match self.array.data_type() {
            DataType::Decimal64(p, s) => self.decimal_to_number_of::<Decimal64Type>(to, *p, *s, i128::from),
            DataType::Decimal128(p, s) => self.decimal_to_number_of::<Decimal128Type>(to, *p, *s, |v| v),
            _ => Err(self.unsupported()),
        }
    }

    fn decimal_to_number_of<A: ArrowPrimitiveType>(
        &self,
        to: &DataType,
        precision: u8,
        scale: i8,
        widen: impl Fn(A::Native) -> i128,
    ) -> Result<ArrayRef> {
        let array = self.array.as_primitive::<A>();
        let unit = power_of_ten(i32::from(scale));
        let whole = |row: usize| divide_half_up_wide(widen(array.value(row)), unit);
        match to {
            DataType::Int8 => self.collect::<Int8Type>(|row| whole(row)?.try_into().ok()),
            DataType::Int16 => self.collect::<Int16Type>(|row| whole(row)?.try_into().ok()),
            DataType::Int32 => self.collect::<Int32Type>(|row| whole(row)?.try_into().ok()),
            DataType::Int64 => self.collect::<Int64Type>(|row| whole(row)?.try_into().ok()),
            DataType::Float32 => {
                let divisor = 10f64.powi(i32::from(scale));
                self.unary::<A, Float32Type>(|v| decimal_to_double(widen(v), scale, divisor) as f32)
            }
            DataType::Float64 => {
                let divisor = 10f64.powi(i32::from(scale));
                self.unary::<A, Float64Type>(|v| decimal_to_double(widen(v), scale, divisor))
            }
            DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
                let up = i32::from(*s) - i32::from(scale);
                let factor = power_of_ten(up.abs());
                let bounded = up >= 0 && i32::from(precision) + up <= i32::from(*p);
                match to {
                    DataType::Decimal64(..) if bounded => {
                        self.unary::<A, Decimal64Type>(|v| (widen(v) as i64).wrapping_mul(factor as i64))
                    }
                    _ if bounded => self.unary::<A, Decimal128Type>(|v| widen(v).wrapping_mul(factor)),
                    _ if up >= 0 => self.decimals(|row| widen(array.value(row)).checked_mul(factor)),
                    _ => self.decimals(|row| divide_half_up_wide(widen(array.value(row)), factor)),
                }
            }
            _ => Err(self.unsupported()),
        }
    }

    fn number_to_decimal(&self, from: &DataType) -> Result<ArrayRef> {
        let (DataType::Decimal64(precision, scale) | DataType::Decimal128(precision, scale)) = self.to else {
            return Err(self.unsupported());
        };
        let unit = power_of_ten(i32::from(*scale));
        match from {
            DataType::Float32 => {
                let array = self.array.as_primitive::<Float32Type>();
                self.decimals(|row| parse::parse_decimal(&format!("{:e}", array.value(row)), *precision, *scale))
            }
            DataType::Float64 => {
                let array = self.array.as_primitive::<Float64Type>();
                self.decimals(|row| double_to_decimal(array.value(row), *precision, *scale))
            }
            _ if is_integer(from) => with_number!(from, T => {
                let array = self.array.as_primitive::<T>();
                self.decimals(|row| (array.value(row) as i128).checked_mul(unit))
            }, else Err(self.unsupported())),
            _ => Err(self.unsupported()),
        }
    }

    // The macro names one pair of types at a time; for some of them a conversion is the identity.
    #[allow(clippy::unnecessary_cast)]
    fn integer_to_integer(&self) -> Result<ArrayRef> {
        let from = self.array.data_type();
        if from.primitive_width() <= self.to.primitive_width() {
            return self.by_arrow();
        }
        with_number!(from, A => with_number!(self.to, B => {
            self.convert::<A, B>(|v| {
                let wide = v as i64;
                let narrow = wide as <B as ArrowPrimitiveType>::Native;
                (narrow as i64 == wide).then_some(narrow)
            })
        }, else Err(self.unsupported())), else Err(self.unsupported()))
    }

    /// Rounds half away from zero; NaN, infinities and numbers out of range fail.
    #[allow(clippy::unnecessary_cast)]
    fn float_to_integer(&self) -> Result<ArrayRef> {
        let doubles = arrow::compute::cast(self.array, &DataType::Float64)?;
        let doubles = doubles.as_primitive::<Float64Type>();
        with_number!(self.to, B => {
            self.collect::<B>(|row| {
                let rounded = doubles.value(row).round();
                let in_range = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded);
                let wide = in_range.then_some(rounded as i64)?;
                let narrow = wide as <B as ArrowPrimitiveType>::Native;
                (narrow as i64 == wide).then_some(narrow)
            })
        }, else Err(self.unsupported()))
    }

    fn temporal(&self) -> Result<ArrayRef> {
        use DataType::{Date32, Time64, Timestamp};
        let local = |zone: &Option<Arc<str>>| zone.as_deref().map(Zone::parse).transpose();
        let to_local = |zone: Option<Zone>| move |t: i64| zone.map_or(Some(t), |z| z.local_from_utc(t));
        let to_utc = |zone: Option<Zone>| move |t: i64| zone.map_or(Some(t), |z| z.utc_from_local(t));
        match (self.array.data_type(), self.to) {
            (Date32, Timestamp(TimeUnit::Microsecond, zone)) => {
                let utc = to_utc(local(zone)?);
                self.convert::<Date32Type, TimestampMicrosecondType>(|d| utc(i64::from(d).checked_mul(MICROS_PER_DAY)?))
            }
            (Timestamp(_, zone), Date32) => {
                let local = to_local(local(zone)?);
                self.convert::<TimestampMicrosecondType, Date32Type>(|t| {
                    i32::try_from(local(t)?.div_euclid(MICROS_PER_DAY)).ok()
                })
            }
            (Timestamp(_, zone), Time64(_)) => {
                let local = to_local(local(zone)?);
                self.convert::<TimestampMicrosecondType, Time64MicrosecondType>(|t| {
                    Some(local(t)?.rem_euclid(MICROS_PER_DAY))
                })
            }
            (Timestamp(_, None), Timestamp(_, Some(zone))) => {
                let utc = to_utc(Some(Zone::parse(zone)?));
                self.convert::<TimestampMicrosecondType, TimestampMicrosecondType>(utc)
            }
            (Timestamp(_, Some(zone)), Timestamp(_, None)) => {
                let local = to_local(Some(Zone::parse(zone)?));
                self.convert::<TimestampMicrosecondType, TimestampMicrosecondType>(local)
            }
            (Timestamp(_, Some(_)), Timestamp(_, Some(_))) => {
                self.unary::<TimestampMicrosecondType, TimestampMicrosecondType>(|t| t)
            }
            (Time64(_), Timestamp(_, None)) => self.unary::<Time64MicrosecondType, TimestampMicrosecondType>(|t| t),
            _ => Err(self.unsupported()),
        }
    }

    fn list(&self, field: &FieldRef) -> Result<ArrayRef> {
        let list = self.array.as_list::<i32>();
        let (values, offsets) = used_range(list.values(), list.offsets());
        let values = cast_array(&values, field.data_type(), self.safe)?;
        Ok(Arc::new(ListArray::try_new(
            field.clone(),
            offsets,
            values,
            list.nulls().cloned(),
        )?))
    }

    fn map(&self, field: &FieldRef, sorted: bool) -> Result<ArrayRef> {
        let map = self.array.as_map();
        let entries: ArrayRef = Arc::new(map.entries().clone());
        let (entries, offsets) = used_range(&entries, map.offsets());
        let entries = cast_array(&entries, field.data_type(), self.safe)?;
        let entries = entries.as_struct().clone();
        Ok(Arc::new(MapArray::try_new(
            field.clone(),
            offsets,
            entries,
            map.nulls().cloned(),
            sorted,
        )?))
    }

    fn row(&self, fields: Vec<FieldRef>) -> Result<ArrayRef> {
        let row = self.array.as_struct();
        let columns = row.columns().iter().zip(&fields).map(|(column, field)| {
            let visible = match row.nulls() {
                Some(nulls) if column.data_type() != field.data_type() => mask_nulls(column, nulls)?,
                _ => column.clone(),
            };
            cast_array(&visible, field.data_type(), self.safe)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let nulls = row.nulls().cloned();
        Ok(Arc::new(StructArray::try_new_with_length(
            fields.into(),
            columns,
            nulls,
            row.len(),
        )?))
    }
}

/// The part of `values` that the offsets mention, with offsets from zero.
fn used_range(values: &ArrayRef, offsets: &OffsetBuffer<i32>) -> (ArrayRef, OffsetBuffer<i32>) {
    let first = offsets.first();
    let last = offsets.last();
    if first == 0 && last as usize == values.len() {
        return (values.clone(), offsets.clone());
    }
    let lengths = offsets.windows(2).map(|w| match w {
        [a, b] => (b - a) as usize,
        _ => 0,
    });
    (
        values.slice(first as usize, (last - first) as usize),
        OffsetBuffer::from_lengths(lengths),
    )
}

/// NULL wherever the parent is, so that what lies below a NULL row is not converted.
pub fn mask_nulls(column: &ArrayRef, parent: &NullBuffer) -> Result<ArrayRef> {
    let hidden = BooleanArray::new(!parent.inner(), None);
    Ok(arrow::compute::nullif(column, &hidden)?)
}

/// The double nearest to a decimal; `divisor` is ten to the power of `scale`. Exact operands of up to 53 bits divided
/// once are correctly rounded.
#[inline(always)]
fn decimal_to_double(value: i128, scale: i8, divisor: f64) -> f64 {
    const EXACT: i64 = 1 << 53;
    match i64::try_from(value) {
        Ok(value) if (-EXACT..=EXACT).contains(&value) && (0..=22).contains(&scale) => value as f64 / divisor,
        _ => crate::types::decimal_text(value, scale).parse().unwrap_or(f64::NAN),
    }
}

/// The decimal nearest to the shortest text of a double, half away from zero.
fn double_to_decimal(value: f64, precision: u8, scale: i8) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    let scaled = value * 10f64.powi(i32::from(scale));
    // Small numbers that are not close to a tie round the same in binary.
    if scaled.abs() < 1e9 && (scaled.fract().abs() - 0.5).abs() > 1e-6 {
        return Some(scaled.round() as i128);
    }
    parse::parse_decimal(&format!("{value:e}"), precision, scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ScalarValue, TIMESTAMP, array_of, decimal_type, is_castable, map_of, row_of, timestamp_tz};

    fn cast(value: ScalarValue, to: &DataType) -> Result<String> {
        let array = value.to_array(&value.data_type(), 1)?;
        let (result, tried) = (cast_array(&array, to, false), cast_array(&array, to, true)?);
        assert_eq!(tried.is_null(0), result.is_err(), "TRY_CAST is NULL where CAST fails");
        let result = result?;
        assert_eq!(result.data_type(), to);
        let mut out = String::new();
        format_value(result.as_ref(), 0, &mut out);
        Ok(out)
    }

    fn text(s: &str) -> ScalarValue {
        ScalarValue::string(s)
    }

    #[test]
    fn trino_results() {
        use ScalarValue::*;
        let noon = Timestamp(MICROS_PER_DAY * 3 / 2, None);
        let cases: Vec<(ScalarValue, DataType, &str)> = vec![
            (Float64(2.5), DataType::Int32, "3"),
            (Float64(-2.5), DataType::Int64, "-3"),
            (Float64(1e10), DataType::Utf8View, "1.0E10"),
            (Decimal(250, 5, 2), DataType::Int8, "3"),
            (Decimal(-249, 5, 2), DataType::Int8, "-2"),
            (Decimal(12345, 5, 2), DataType::Decimal64(5, 1), "123.5"),
            (Decimal(12345, 5, 2), DataType::Decimal128(30, 10), "123.4500000000"),
            (Decimal(1, 38, 1), DataType::Float64, "0.1"),
            (Float64(1.005), DataType::Decimal64(5, 2), "1.01"),
            (
                Float64(1e30),
                DataType::Decimal128(38, 2),
                "1000000000000000000000000000000.00",
            ),
            (Float32(0.1), DataType::Decimal64(5, 3), "0.100"),
            (Int64(42), DataType::Decimal64(4, 2), "42.00"),
            (Int64(-1), DataType::Utf8View, "-1"),
            (Int32(7), DataType::Boolean, "true"),
            (Boolean(true), DataType::Decimal64(3, 1), "1.0"),
            (Boolean(false), DataType::Utf8View, "false"),
            (text("1e3"), DataType::Float64, "1000.0"),
            (text("2.345"), DataType::Decimal64(5, 2), "2.35"),
            (text("T"), DataType::Boolean, "true"),
            (text("2020-02-29"), DataType::Date32, "2020-02-29"),
            (text("2020-02-29 01:02"), TIMESTAMP, "2020-02-29 01:02:00.000"),
            (
                text("2020-07-01 12:00"),
                timestamp_tz("Europe/Berlin"),
                "2020-07-01 12:00:00.000 Europe/Berlin",
            ),
            (
                text("12:34:56.7"),
                DataType::Time64(TimeUnit::Microsecond),
                "12:34:56.700",
            ),
            (text("é"), DataType::BinaryView, "c3a9"),
            (Binary("é".as_bytes().into()), DataType::Utf8View, "é"),
            (Date(1), TIMESTAMP, "1970-01-02 00:00:00.000"),
            (Date(1), DataType::Utf8View, "1970-01-02"),
            (noon.clone(), DataType::Date32, "1970-01-02"),
            (Timestamp(-1, None), DataType::Date32, "1969-12-31"),
            (noon.clone(), DataType::Time64(TimeUnit::Microsecond), "12:00:00.000"),
            (
                noon.clone(),
                timestamp_tz("Europe/Berlin"),
                "1970-01-02 12:00:00.000 Europe/Berlin",
            ),
            (
                Timestamp(0, Some("Europe/Berlin".into())),
                TIMESTAMP,
                "1970-01-01 01:00:00.000",
            ),
            (Timestamp(0, Some("Asia/Tokyo".into())), DataType::Date32, "1970-01-01"),
            (
                Timestamp(0, Some("UTC".into())),
                timestamp_tz("Asia/Tokyo"),
                "1970-01-01 09:00:00.000 Asia/Tokyo",
            ),
            (noon, DataType::Utf8View, "1970-01-02 12:00:00.000"),
        ];
        for (value, to, expected) in cases {
            assert_eq!(cast(value.clone(), &to).unwrap(), expected, "CAST({value} AS {to})");
        }
    }

    #[test]
    fn failures_name_value_and_type() {
        use ScalarValue::*;
        let cases = [
            (text("abc"), DataType::Int32, "Cannot cast 'abc' to integer"),
            (text("2.5"), DataType::Int32, "Cannot cast '2.5' to integer"),
            (text(" 1"), DataType::Int64, "Cannot cast ' 1' to bigint"),
            (Int32(300), DataType::Int8, "Cannot cast '300' to tinyint"),
            (Float64(f64::NAN), DataType::Int64, "Cannot cast 'NaN' to bigint"),
            (Float64(1e19), DataType::Int64, "Cannot cast '1.0E19' to bigint"),
            (
                Decimal(99999, 5, 2),
                DataType::Decimal64(4, 2),
                "Cannot cast '999.99' to decimal(4,2)",
            ),
            (
                text("2020-01-01 00:00:00 UTC"),
                TIMESTAMP,
                "Cannot cast '2020-01-01 00:00:00 UTC' to timestamp",
            ),
            (Date(i32::MAX), TIMESTAMP, "Cannot cast '5881580-07-11' to timestamp"),
        ];
        for (value, to, expected) in cases {
            assert_eq!(cast(value, &to).unwrap_err().message(), expected);
        }
    }

    /// Every pair that the binder lets through has a conversion, and none of them panics.
    #[test]
    fn every_castable_pair_is_implemented() {
        let zoned = timestamp_tz("Europe/Berlin");
        let mut types = vec![
            DataType::Null,
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            decimal_type(10, 3),
            decimal_type(18, 0),
            decimal_type(38, 10),
            DataType::Utf8View,
            DataType::BinaryView,
            DataType::Date32,
            DataType::Time64(TimeUnit::Microsecond),
            TIMESTAMP,
            zoned,
            crate::types::INTERVAL_DAY,
            crate::types::INTERVAL_MONTH,
        ];
        let scalars = types.clone();
        types.extend(scalars.iter().map(|t| array_of(t.clone())));
        types.push(map_of(DataType::Utf8View, DataType::Int32));
        types.push(map_of(DataType::Utf8View, DataType::Utf8View));
        types.push(row_of(vec![
            ("a".into(), DataType::Int32),
            ("b".into(), DataType::Date32),
        ]));
        types.push(row_of(vec![("x".into(), DataType::Utf8View), ("y".into(), TIMESTAMP)]));
        for from in &types {
            for to in types.iter().filter(|to| is_castable(from, to)) {
                for rows in [0, 3] {
                    let nulls = new_null_array(from, rows);
                    let result = cast_array(&nulls, to, false);
                    assert!(result.is_ok(), "{from} to {to}: {result:?}");
                    let result = result.unwrap();
                    assert_eq!((result.len(), result.data_type()), (rows, to));
                    assert_eq!(result.logical_null_count(), rows, "{from} to {to}");
                }
            }
        }
    }

    #[test]
    fn nested_values_convert_inside() {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(300)]),
            None,
            Some(vec![Some(1), None]),
        ]);
        let lists: ArrayRef = Arc::new(lists);
        assert!(cast_array(&lists, &array_of(DataType::Int8), false).is_err());
        let tail = lists.slice(1, 2);
        let narrow = cast_array(&tail, &array_of(DataType::Int8), false).unwrap();
        let mut out = String::new();
        format_value(narrow.as_ref(), 1, &mut out);
        assert_eq!(out, "[1, NULL]");
        let fields = vec![Arc::new(arrow::datatypes::Field::new("a", DataType::Utf8View, true))];
        let bad: ArrayRef = Arc::new(StringViewArray::from(vec!["1", "bad"]));
        let nulls = NullBuffer::from(vec![true, false]);
        let row: ArrayRef = Arc::new(StructArray::new(fields.into(), vec![bad], Some(nulls)));
        let to = row_of(vec![("n".into(), DataType::Int32)]);
        let cast = cast_array(&row, &to, false).unwrap();
        out.clear();
        format_value(cast.as_ref(), 0, &mut out);
        assert_eq!((out.as_str(), cast.null_count()), ("{n=1}", 1));
    }

    /// Digits with a tie, computed in text, for doubles around the switch between the two ways.
    #[test]
    fn doubles_round_like_their_text() {
        for i in 0..2_000i64 {
            let value = (i as f64 - 1_000.0) / 8.0 * if i % 3 == 0 { 1.0 } else { 1e6 };
            for scale in [0, 1, 2] {
                let expected = parse::parse_decimal(&format!("{value:e}"), 18, scale);
                assert_eq!(double_to_decimal(value, 18, scale), expected, "{value} at {scale}");
            }
        }
    }
}
