//! `x IN (constants)`: a set built once and asked for every row.

use crate::error::Result;
use crate::types::{DataType, ScalarValue};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, types::*};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{IntervalUnit, TimeUnit};
use hashbrown::HashSet;

type Set<T> = HashSet<T, foldhash::fast::RandomState>;

/// The values of a list of constants, in the form that suits their type.
#[derive(Debug, Clone)]
pub struct InSet {
    values: Values,
    has_null: bool,
}

#[derive(Debug, Clone)]
enum Values {
    Empty,
    /// Integers, decimals of 64 bits, dates, times, timestamps.
    Few(Vec<i64>),
    /// One bit per integer from `low` up.
    Dense {
        low: i64,
        bits: Vec<u64>,
    },
    Integers(Set<i64>),
    Wide(Set<i128>),
    /// By the bits of the double; zeros are one value, NaN is none.
    Floats(Set<u64>),
    Booleans {
        yes: bool,
        no: bool,
    },
    Bytes(Set<Box<[u8]>>),
}

/// Up to here a loop over all values beats hashing.
const FEW: usize = 4;

impl InSet {
    /// The set of `list`, all of type `t`; `None` when the type has no such set.
    pub fn new<'a>(list: impl IntoIterator<Item = &'a ScalarValue>, t: &DataType) -> Option<Self> {
        let mut has_null = false;
        let present: Vec<&ScalarValue> = list
            .into_iter()
            .filter(|v| {
                has_null |= v.is_null();
                !v.is_null()
            })
            .collect();
        let values = match t {
            _ if present.is_empty() => Values::Empty,
            DataType::Boolean => Values::Booleans {
                yes: present.iter().any(|v| v.as_bool() == Some(true)),
                no: present.iter().any(|v| v.as_bool() == Some(false)),
            },
            DataType::Decimal128(_, scale) => Values::Wide(
                present
                    .iter()
                    .map(|v| match v {
                        ScalarValue::Decimal(v, _, s) if s == scale => Some(*v),
                        _ => None,
                    })
                    .collect::<Option<_>>()?,
            ),
            DataType::Float32 | DataType::Float64 => Values::Floats(
                present
                    .iter()
                    .map(|v| match v {
                        ScalarValue::Float32(v) => Some(f64::from(*v)),
                        ScalarValue::Float64(v) => Some(*v),
                        _ => None,
                    })
                    .filter(|v| !v.is_some_and(f64::is_nan))
                    .map(|v| v.map(float_key))
                    .collect::<Option<_>>()?,
            ),
            DataType::Utf8View | DataType::BinaryView => Values::Bytes(
                present
                    .iter()
                    .map(|v| match v {
                        ScalarValue::String(s) => Some(s.as_bytes().into()),
                        ScalarValue::Binary(b) => Some(b.as_ref().into()),
                        _ => None,
                    })
                    .collect::<Option<_>>()?,
            ),
            _ => integers(present.iter().map(|v| integer_key(v, t)).collect::<Option<_>>()?),
        };
        Some(Self { values, has_null })
    }

    /// Whether each row is in the set; NULL rows, and misses when the list has a NULL, are NULL.
    pub fn contains(&self, array: &ArrayRef, negated: bool) -> Result<BooleanArray> {
        let found = self.found(array);
        let nulls = if self.has_null {
            let known = NullBuffer::new(found.clone());
            NullBuffer::union(array.nulls(), Some(&known))
        } else if matches!(self.values, Values::Empty) {
            None
        } else {
            array.nulls().cloned()
        };
        Ok(BooleanArray::new(if negated { !&found } else { found }, nulls))
    }

    fn found(&self, array: &ArrayRef) -> BooleanBuffer {
        let rows = array.len();
        match (&self.values, array.data_type()) {
            (Values::Booleans { yes, no }, DataType::Boolean) => {
                let values = array.as_boolean().values();
                match (yes, no) {
                    (true, true) => BooleanBuffer::new_set(rows),
                    (true, false) => values.clone(),
                    (false, true) => !values,
                    (false, false) => BooleanBuffer::new_unset(rows),
                }
            }
            (Values::Wide(set), DataType::Decimal128(..)) => {
                bits(array.as_primitive::<Decimal128Type>().values(), |v| set.contains(v))
            }
            (Values::Floats(set), DataType::Float32) => bits(array.as_primitive::<Float32Type>().values(), |v| {
                set.contains(&float_key(f64::from(*v)))
            }),
            (Values::Floats(set), DataType::Float64) => bits(array.as_primitive::<Float64Type>().values(), |v| {
                set.contains(&float_key(*v))
            }),
            (Values::Bytes(set), DataType::Utf8View) => {
                let values = array.as_string_view();
                BooleanBuffer::collect_bool(rows, |i| set.contains(values.value(i).as_bytes()))
            }
            (Values::Bytes(set), DataType::BinaryView) => {
                let values = array.as_binary_view();
                BooleanBuffer::collect_bool(rows, |i| set.contains(values.value(i)))
            }
            (_, DataType::Int8) => self.integers_in::<Int8Type>(array),
            (_, DataType::Int16) => self.integers_in::<Int16Type>(array),
            (_, DataType::Int32) => self.integers_in::<Int32Type>(array),
            (_, DataType::Int64) => self.integers_in::<Int64Type>(array),
            (_, DataType::Decimal64(..)) => self.integers_in::<Decimal64Type>(array),
            (_, DataType::Date32) => self.integers_in::<Date32Type>(array),
            (_, DataType::Time64(TimeUnit::Microsecond)) => self.integers_in::<Time64MicrosecondType>(array),
            (_, DataType::Timestamp(TimeUnit::Microsecond, _)) => self.integers_in::<TimestampMicrosecondType>(array),
            (_, DataType::Interval(IntervalUnit::YearMonth)) => self.integers_in::<IntervalYearMonthType>(array),
            (_, DataType::Duration(TimeUnit::Microsecond)) => self.integers_in::<DurationMicrosecondType>(array),
            _ => BooleanBuffer::new_unset(rows),
        }
    }

    fn integers_in<T: ArrowPrimitiveType>(&self, array: &ArrayRef) -> BooleanBuffer
    where
        T::Native: Into<i64>,
    {
        let values = array.as_primitive::<T>().values();
        match &self.values {
            Values::Few(few) => few
                .iter()
                .map(|wanted| bits(values, |v| (*v).into() == *wanted))
                .reduce(|a, b| &a | &b)
                .unwrap_or_else(|| BooleanBuffer::new_unset(values.len())),
            Values::Dense { low, bits: table } => bits(values, |v| {
                let at = (*v).into().wrapping_sub(*low) as u64;
                table
                    .get((at / 64) as usize)
                    .is_some_and(|word| word >> (at % 64) & 1 == 1)
            }),
            Values::Integers(set) => bits(values, |v| set.contains(&(*v).into())),
            _ => BooleanBuffer::new_unset(values.len()),
        }
    }
}

fn bits<T>(values: &[T], f: impl Fn(&T) -> bool) -> BooleanBuffer {
    values.iter().map(f).collect()
}

fn integers(values: Vec<i64>) -> Values {
    if values.len() <= FEW {
        return Values::Few(values);
    }
    let (low, high) = values
        .iter()
        .fold((i64::MAX, i64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let span = i128::from(high) - i128::from(low);
    if span < values.len() as i128 * 64 {
        let mut bits = vec![0u64; span as usize / 64 + 1];
        for value in &values {
            let at = value.wrapping_sub(low) as usize;
            if let Some(word) = bits.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
        }
        return Values::Dense { low, bits };
    }
    Values::Integers(values.into_iter().collect())
}

fn float_key(value: f64) -> u64 {
    // Adding zero turns -0 into 0.
    (value + 0.0).to_bits()
}

fn integer_key(value: &ScalarValue, t: &DataType) -> Option<i64> {
    Some(match (value, t) {
        (ScalarValue::Int8(_), DataType::Int8)
        | (ScalarValue::Int16(_), DataType::Int16)
        | (ScalarValue::Int32(_), DataType::Int32)
        | (ScalarValue::Int64(_), DataType::Int64) => value.as_integer()?,
        (ScalarValue::Decimal(v, _, s), DataType::Decimal64(_, scale)) if s == scale => i64::try_from(*v).ok()?,
        (ScalarValue::Date(v), DataType::Date32) => i64::from(*v),
        (ScalarValue::Time(v), DataType::Time64(_)) | (ScalarValue::Timestamp(v, _), DataType::Timestamp(..)) => *v,
        (ScalarValue::IntervalMonths(v), DataType::Interval(_)) => i64::from(*v),
        (ScalarValue::IntervalMicros(v), DataType::Duration(_)) => *v,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryViewArray, Date32Array, Decimal64Array, Decimal128Array, Float64Array, Int8Array, Int64Array,
        StringViewArray,
    };
    use std::sync::Arc;

    /// `array IN (rows of array at picks)` against equality row by row.
    fn check(array: ArrayRef, picks: &[usize]) {
        let list: Vec<ScalarValue> = picks
            .iter()
            .map(|&i| ScalarValue::from_array(array.as_ref(), i).unwrap())
            .collect();
        let set = InSet::new(&list, array.data_type()).unwrap();
        let found = set.contains(&array, false).unwrap();
        let missing = set.contains(&array, true).unwrap();
        for row in 0..array.len() {
            use crate::vector::compare::{Comparison, compare_rows};
            let answers: Vec<_> = picks
                .iter()
                .map(|&p| compare_rows(Comparison::Equal, array.as_ref(), row, array.as_ref(), p))
                .collect();
            let expected = if answers.contains(&Some(true)) {
                Some(true)
            } else if answers.contains(&None) {
                None
            } else {
                Some(false)
            };
            assert_eq!(
                found.is_valid(row).then(|| found.value(row)),
                expected,
                "{array:?} {picks:?} row {row}"
            );
            assert_eq!(missing.is_valid(row).then(|| missing.value(row)), expected.map(|b| !b));
        }
    }

    #[test]
    fn sets_agree_with_equality() {
        let integers: Vec<Option<i64>> = vec![
            Some(1),
            Some(-5),
            None,
            Some(i64::MAX),
            Some(i64::MIN),
            Some(3),
            Some(1),
            Some(70),
            Some(9),
        ];
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(integers.clone())),
            Arc::new(integers.iter().map(|v| v.map(|v| v as i8)).collect::<Int8Array>()),
            Arc::new(integers.iter().map(|v| v.map(|v| v as i32)).collect::<Date32Array>()),
            Arc::new(integers.iter().copied().collect::<Decimal64Array>()),
            Arc::new(integers.iter().map(|v| v.map(i128::from)).collect::<Decimal128Array>()),
            Arc::new(Float64Array::from(vec![
                Some(0.0),
                Some(-0.0),
                None,
                Some(f64::NAN),
                Some(1.5),
                Some(2.0),
                Some(1e300),
                Some(1.5),
                Some(-1.0),
            ])),
            Arc::new(StringViewArray::from(vec![
                Some(""),
                Some("a"),
                None,
                Some("a longer string than inline"),
                Some("b"),
                Some("a"),
                Some("é"),
                Some("x"),
                Some("y"),
            ])),
            Arc::new(BinaryViewArray::from_iter(vec![
                Some(&b""[..]),
                Some(b"a"),
                None,
                Some(b"\xff"),
                Some(b"b"),
                Some(b"a"),
                Some(b"c"),
                Some(b"d"),
                Some(b"e"),
            ])),
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                None,
                Some(true),
                Some(true),
                Some(false),
                Some(true),
                Some(true),
                Some(true),
            ])),
        ];
        let picks: [&[usize]; 6] = [&[], &[0], &[0, 2], &[1, 3, 5], &[0, 1, 4, 5, 6, 7], &[0, 5, 6, 7, 8, 2]];
        for array in arrays {
            for picks in picks {
                check(array.clone(), picks);
            }
        }
    }

    #[test]
    fn dense_and_sparse_large_lists() {
        let array: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        for step in [1, 3, 1000] {
            let list: Vec<ScalarValue> = (0..1000).map(|i| ScalarValue::Int64(i * step - 100)).collect();
            let found = InSet::new(&list, &DataType::Int64)
                .unwrap()
                .contains(&array, false)
                .unwrap();
            let expected: BooleanArray = (0..1000i64)
                .map(|v| Some((v + 100) % step == 0 && (v + 100) / step < 1000))
                .collect();
            assert_eq!(found, expected, "step {step}");
        }
    }
}
