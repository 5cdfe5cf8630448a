//! Values as words that sort like them.

use crate::error::{Error, Result};
use crate::types::{DataType, TIMESTAMP, type_name};
use crate::vector::cast::cast_array;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::*;

const SIGN: u64 = 1 << 63;

/// As what values of two types are ordered, when they can be.
pub fn ordered_type(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::*;
    match (a, b) {
        (Timestamp(..), Timestamp(..)) => Some(TIMESTAMP),
        (Decimal64(_, s) | Decimal128(_, s), Decimal64(_, t) | Decimal128(_, t)) if a != b => {
            Some(Decimal128(38, *s.max(t)))
        }
        _ if a != b => None,
        (Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Date32, _) => Some(a.clone()),
        (Time64(TimeUnit::Microsecond) | Decimal64(..) | Decimal128(..) | Utf8View | BinaryView, _) => Some(a.clone()),
        _ => None,
    }
}

/// How the values of one bound became words. Numbers are words themselves; others are their rank among the build side's.
pub enum Words {
    Numbers,
    Wide(Vec<i128>),
    /// Distinct strings in ascending order.
    Text(ArrayRef),
}

/// A value's word; `None` for NULL and NaN.
pub type Word = Option<u64>;

impl Words {
    /// The words of the build side's values, all of which are of type `t` once cast.
    pub fn of_build(array: &ArrayRef, t: &DataType) -> Result<(Self, Vec<Word>)> {
        let array = as_type(array, t)?;
        if let Some(words) = numbers(&array) {
            return Ok((Self::Numbers, words));
        }
        let words = match t {
            DataType::Decimal128(..) => {
                let mut values: Vec<i128> = array.as_primitive::<Decimal128Type>().iter().flatten().collect();
                values.sort_unstable();
                values.dedup();
                Self::Wide(values)
            }
            _ => Self::Text(sorted_strings(&array)?),
        };
        let ranks = words
            .ranks(&array)?
            .into_iter()
            .map(|rank| rank.map(|(below, _)| below));
        Ok((words, ranks.collect()))
    }

    /// For each value, the least word of those that are `at_least` it, or else the greatest of those that are at most it;
    /// `None` when there is no such word.
    pub fn limits(&self, array: &ArrayRef, t: &DataType, at_least: bool, inclusive: bool) -> Result<Vec<Word>> {
        let array = as_type(array, t)?;
        if let Some(words) = numbers(&array) {
            let limit = |word: u64| match (inclusive, at_least) {
                (true, _) => Some(word),
                (false, true) => word.checked_add(1),
                (false, false) => word.checked_sub(1),
            };
            return Ok(words.into_iter().map(|word| word.and_then(limit)).collect());
        }
        let limit = |(below, not_above): (u64, u64)| match (at_least, inclusive) {
            (true, true) => Some(below),
            (true, false) => Some(not_above),
            (false, true) => not_above.checked_sub(1),
            (false, false) => below.checked_sub(1),
        };
        Ok(self
            .ranks(&array)?
            .into_iter()
            .map(|rank| rank.and_then(limit))
            .collect())
    }

    /// How many of the distinct values are below each value, and how many are not above it.
    fn ranks(&self, array: &ArrayRef) -> Result<Vec<Option<(u64, u64)>>> {
        let rank = |count: usize, is_below: &dyn Fn(usize) -> bool, is_equal: &dyn Fn(usize) -> bool| {
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = (low + high) / 2;
                match is_below(middle) {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            (low as u64, (low + usize::from(low < count && is_equal(low))) as u64)
        };
        Ok(match self {
            Self::Numbers => return Err(Error::internal("numbers have no ranks")),
            Self::Wide(values) => array
                .as_primitive::<Decimal128Type>()
                .iter()
                .map(|v| v.map(|v| rank(values.len(), &|i| values[i] < v, &|i| values[i] == v)))
                .collect(),
            Self::Text(values) => {
                let value = |row: usize| {
                    rank(values.len(), &|i| text(values, i) < text(array, row), &|i| {
                        text(values, i) == text(array, row)
                    })
                };
                (0..array.len())
                    .map(|row| array.is_valid(row).then(|| value(row)))
                    .collect()
            }
        })
    }

    pub fn memory_size(&self) -> usize {
        match self {
            Self::Numbers => 0,
            Self::Wide(values) => values.len() * size_of::<i128>(),
            Self::Text(values) => crate::vector::memory::live_bytes(values.as_ref()),
        }
    }
}

fn as_type(array: &ArrayRef, t: &DataType) -> Result<ArrayRef> {
    match (array.data_type(), t) {
        (from, to) if from == to => Ok(array.clone()),
        (DataType::Timestamp(..), DataType::Timestamp(..)) => Ok(std::sync::Arc::new(
            array
                .as_primitive::<TimestampMicrosecondType>()
                .clone()
                .with_data_type(t.clone()),
        )),
        (_, to) => cast_array(array, to, false),
    }
}

fn signed(value: i64) -> u64 {
    value as u64 ^ SIGN
}

/// −0 is 0; NaN is in no order.
fn float(value: f64) -> Word {
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    (!value.is_nan()).then_some(bits ^ ((bits as i64 >> 63) as u64 | SIGN))
}

/// The words of values of fixed size up to 64 bits; `None` for other types.
pub fn numbers(array: &ArrayRef) -> Option<Vec<Word>> {
    macro_rules! words {
        ($t:ty, $map:expr) => {
            array
                .as_primitive::<$t>()
                .iter()
                .map(|v| v.and_then($map))
                .collect()
        };
    }
    Some(match array.data_type() {
        DataType::Boolean => array.as_boolean().iter().map(|v| v.map(u64::from)).collect(),
        DataType::Int8 => words!(Int8Type, |v| Some(signed(v.into()))),
        DataType::Int16 => words!(Int16Type, |v| Some(signed(v.into()))),
        DataType::Int32 => words!(Int32Type, |v| Some(signed(v.into()))),
        DataType::Date32 => words!(Date32Type, |v| Some(signed(v.into()))),
        DataType::Int64 => words!(Int64Type, |v| Some(signed(v))),
        DataType::Decimal64(..) => words!(Decimal64Type, |v| Some(signed(v))),
        DataType::Timestamp(TimeUnit::Microsecond, _) => words!(TimestampMicrosecondType, |v| Some(signed(v))),
        DataType::Time64(TimeUnit::Microsecond) => words!(Time64MicrosecondType, |v| Some(signed(v))),
        DataType::Float32 => words!(Float32Type, |v| float(v.into())),
        DataType::Float64 => words!(Float64Type, float),
        _ => return None,
    })
}

fn text(array: &ArrayRef, row: usize) -> &[u8] {
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().value(row).as_bytes(),
        _ => array.as_binary_view().value(row),
    }
}

/// The distinct strings of `array`, in ascending order.
fn sorted_strings(array: &ArrayRef) -> Result<ArrayRef> {
    if !matches!(array.data_type(), DataType::Utf8View | DataType::BinaryView) {
        return Err(Error::internal(format!(
            "{} has no order for ranges",
            type_name(array.data_type())
        )));
    }
    let mut rows: Vec<u32> = (0..array.len() as u32)
        .filter(|&row| array.is_valid(row as usize))
        .collect();
    rows.sort_unstable_by(|&a, &b| text(array, a as usize).cmp(text(array, b as usize)));
    rows.dedup_by(|a, b| text(array, *a as usize) == text(array, *b as usize));
    Ok(take(array, &UInt32Array::from(rows), None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int32Array, Int64Array, StringViewArray};
    use std::sync::Arc;

    /// Every build value against every probe value, by words and by comparison.
    fn check<T: PartialOrd + Copy + std::fmt::Debug>(array: ArrayRef, values: &[Option<T>]) {
        let t = array.data_type().clone();
        let (words, build) = Words::of_build(&array, &t).unwrap();
        for (at_least, inclusive) in [(true, true), (true, false), (false, true), (false, false)] {
            let limits = words.limits(&array, &t, at_least, inclusive).unwrap();
            for (i, bound) in values.iter().enumerate() {
                for (j, value) in values.iter().enumerate() {
                    let found = match (build[i], limits[j]) {
                        (Some(word), Some(limit)) if at_least => word >= limit,
                        (Some(word), Some(limit)) => word <= limit,
                        _ => false,
                    };
                    let expected = match (bound, value, at_least, inclusive) {
                        (Some(b), Some(v), true, true) => b >= v,
                        (Some(b), Some(v), true, false) => b > v,
                        (Some(b), Some(v), false, true) => b <= v,
                        (Some(b), Some(v), false, false) => b < v,
                        _ => false,
                    };
                    assert_eq!(
                        found, expected,
                        "{bound:?} {value:?} at least {at_least}, inclusive {inclusive}"
                    );
                }
            }
        }
    }

    #[test]
    fn words_are_ordered_like_their_values() {
        let floats = [
            f64::NEG_INFINITY,
            -1.5,
            -0.0,
            0.0,
            f64::MIN_POSITIVE,
            3.0,
            f64::INFINITY,
            f64::NAN,
        ];
        let floats: Vec<Option<f64>> = floats.into_iter().map(Some).chain([None]).collect();
        check(Arc::new(Float64Array::from(floats.clone())), &floats);
        let numbers = [
            Some(i32::MIN),
            Some(-1),
            None,
            Some(0),
            Some(7),
            Some(7),
            Some(i32::MAX),
        ];
        check(Arc::new(Int32Array::from(numbers.to_vec())), &numbers);
        let wide = [Some(i128::MIN / 4), Some(-1), None, Some(0), Some(1 << 90)];
        check(Arc::new(Decimal128Array::from(wide.to_vec())), &wide);
        let texts = [
            Some(""),
            Some("a"),
            None,
            Some("a string that is not inlined"),
            Some("a"),
            Some("é"),
        ];
        check(Arc::new(StringViewArray::from(texts.to_vec())), &texts);
    }

    #[test]
    fn there_is_no_number_beyond_the_last() {
        let ends: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]));
        let limits = |at_least| Words::Numbers.limits(&ends, &DataType::Int64, at_least, false).unwrap();
        assert_eq!((limits(true)[1], limits(false)[0]), (None, None));
        assert!(limits(true)[0].is_some() && limits(false)[1].is_some());
    }
}
