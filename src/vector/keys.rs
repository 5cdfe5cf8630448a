//! Grouping and join keys as fixed-width words.
//!
//! Every key column becomes one to two `u64` words per row: numbers by their bits, strings and nested values by the
//! number that an interner gave them. Equal words mean equal keys, so hash tables compare words and never values, and a
//! dictionary-coded column costs one interner look-up per dictionary entry instead of one per row.
//!
//! ```text
//! (l_returnflag, l_linestatus, o_orderdate)  →  [ id(R) | id(F)<<32 ] [ 9204 | null bit ]
//! ```

use super::hash::{NULL_HASH, combine_hashes, hash_word};
use super::interner::{Interner, UNKNOWN};
use crate::error::{Error, Result};
use crate::types::DataType;
use crate::vector::Column;
use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use std::sync::Arc;

/// How one key column is turned into bits of the key words.
#[derive(Debug)]
struct KeyColumn {
    data_type: DataType,
    coding: Coding,
    /// The word of the key in which this column's bits are, …
    word: usize,
    /// … and from which bit on; `bits` includes the null bit, which is the highest.
    shift: u32,
    bits: u32,
    nullable: bool,
}

#[derive(Debug)]
enum Coding {
    /// Up to 64 value bits, taken from the array's native values.
    Fixed,
    /// 128-bit decimals: a whole word low, a whole word high; NULL is a flag in a third place.
    Wide,
    /// A number given by the interner; 0 is NULL.
    Interned(Box<Interner>),
}

/// Turns key columns into words. One per thread while it learns new strings; shared once [`KeyEncoder::encode_known`] is all
/// that is needed.
#[derive(Debug)]
pub struct KeyEncoder {
    columns: Vec<KeyColumn>,
    words: usize,
    /// All hashes are this: tests of collisions.
    fixed_hash: Option<u64>,
}

/// Words and hashes of the keys of a batch.
#[derive(Debug, Default)]
pub struct EncodedKeys {
    /// `stride` words per row.
    pub words: Vec<u64>,
    pub hashes: Vec<u64>,
    /// Rows with a NULL in some column; empty when there is none.
    pub null_rows: Vec<bool>,
    /// Rows with a value that the encoder does not know (only from `encode_known`); empty when there is none.
    pub unknown_rows: Vec<bool>,
}

fn fixed_bits(t: &DataType) -> Option<u32> {
    Some(match t {
        DataType::Null => 0,
        DataType::Boolean => 1,
        DataType::Int8 => 8,
        DataType::Int16 => 16,
        DataType::Int32 | DataType::Date32 | DataType::Float32 | DataType::Interval(IntervalUnit::YearMonth) => 32,
        DataType::Int64 | DataType::Float64 | DataType::Decimal64(..) => 64,
        DataType::Timestamp(..) | DataType::Time64(_) | DataType::Duration(_) => 64,
        _ => return None,
    })
}

/// Bytes that a key of these types takes about, hash included, without the characters of strings.
pub fn key_bytes(types: &[DataType]) -> usize {
    let of = |t: &DataType| match (fixed_bits(t), t) {
        (Some(_), _) => 8,
        (None, DataType::Decimal128(..)) => 16,
        // Its id, and the interner's end, hash and slot of each distinct value.
        (None, _) => 8 + 24,
    };
    8 + types.iter().map(of).sum::<usize>()
}

impl KeyEncoder {
    /// An encoder for columns of these SQL types. NULLs of columns that are not `nullable` are reported in
    /// `EncodedKeys::null_rows` but have no bit in the words. `fixed_hash` makes all hashes equal, for tests.
    pub fn new(types: &[DataType], nullable: &[bool], fixed_hash: Option<u64>) -> Result<Self> {
        let mut columns = vec![];
        let (mut word, mut used) = (0usize, 0u32);
        for (t, &nullable) in types.iter().zip(nullable) {
            let (coding, bits) = match (fixed_bits(t), t) {
                (Some(64), _) => (Coding::Fixed, 64),
                (Some(bits), _) => (Coding::Fixed, bits + 1),
                (None, DataType::Decimal128(..)) => (Coding::Wide, 64),
                (None, _) => (Coding::Interned(Box::new(Interner::new(t)?)), 32),
            };
            if used + bits > 64 {
                (word, used) = (word + 1, 0);
            }
            columns.push(KeyColumn {
                data_type: t.clone(),
                coding,
                word,
                shift: used,
                bits,
                nullable,
            });
            used += bits;
            if matches!(columns.last().map(|c| &c.coding), Some(Coding::Wide)) {
                (word, used) = (word + 2, 0);
            }
        }
        // Nullable 64-bit columns have no room for a null bit in their word: one more word holds those bits.
        // More than 64 such columns would share bits, so they are refused.
        let mut words = if used > 0 || word == 0 { word + 1 } else { word };
        if columns.iter().any(|c| c.null_in_extra_word()) {
            words += 1;
        }
        if types.len() > 64 && columns.iter().skip(64).any(|c| c.null_in_extra_word()) {
            return Err(Error::unsupported(format!(
                "{} grouping or join keys; the limit is 64",
                types.len()
            )));
        }
        Ok(Self {
            columns,
            words,
            fixed_hash,
        })
    }

    /// Words per key, at least 1.
    pub fn stride(&self) -> usize {
        self.words
    }

    /// Encodes the rows, learning new strings. All columns have the same length.
    pub fn encode(&mut self, columns: &[Column], rows: usize) -> Result<EncodedKeys> {
        let mut out = EncodedKeys {
            words: vec![0; rows * self.words],
            hashes: vec![],
            ..Default::default()
        };
        let stride = self.words;
        let mut hashes = Some(vec![]);
        for (i, (key, column)) in self.columns.iter_mut().zip(columns).enumerate() {
            let ids = match &mut key.coding {
                Coding::Interned(interner) => Some(interner.ids(column)?),
                _ => None,
            };
            key.write(column, ids.as_deref(), i, stride, &mut out, &mut hashes)?;
        }
        finish_hashes(self.fixed_hash, hashes, rows, &mut out);
        Ok(out)
    }

    /// The id of each row's value in each column, learning new strings; `None` unless all columns are strings or nested.
    pub fn ids(&mut self, columns: &[Column]) -> Result<Option<Vec<Vec<u32>>>> {
        let interned = |key: &KeyColumn| matches!(key.coding, Coding::Interned(_));
        if !self.columns.iter().all(interned) {
            return Ok(None);
        }
        let ids = self
            .columns
            .iter_mut()
            .zip(columns)
            .map(|(key, column)| match &mut key.coding {
                Coding::Interned(interner) => interner.ids(column),
                _ => Ok(vec![]),
            });
        ids.collect::<Result<_>>().map(Some)
    }

    /// How many bits the ids of each column need.
    pub fn id_bits(&self) -> impl Iterator<Item = u32> {
        self.columns.iter().map(|key| match &key.coding {
            Coding::Interned(interner) => interner.len().next_power_of_two().ilog2(),
            _ => u64::BITS,
        })
    }

    /// Encodes rows from what [`KeyEncoder::ids`] gave for them.
    pub fn encode_ids(&self, ids: &[Vec<u32>], rows: usize) -> EncodedKeys {
        let mut out = EncodedKeys {
            words: vec![0; rows * self.words],
            ..Default::default()
        };
        let mut hashes = Some(vec![]);
        for (key, ids) in self.columns.iter().zip(ids) {
            if let Coding::Interned(interner) = &key.coding {
                key.write_ids(interner, ids, self.words, &mut out, &mut hashes);
            }
        }
        finish_hashes(self.fixed_hash, hashes, rows, &mut out);
        out
    }

    /// Encodes the rows without learning: values never seen mark their rows as unknown. There are no hashes if not `hashed`.
    pub fn encode_known(&self, columns: &[Column], rows: usize, hashed: bool) -> Result<EncodedKeys> {
        let mut out = EncodedKeys {
            words: vec![0; rows * self.words],
            hashes: vec![],
            ..Default::default()
        };
        let mut hashes = hashed.then(Vec::new);
        for (i, (key, column)) in self.columns.iter().zip(columns).enumerate() {
            let ids = match &key.coding {
                Coding::Interned(interner) => Some(interner.known_ids(column)?),
                _ => None,
            };
            if let Some(ids) = &ids
                && ids.contains(&UNKNOWN)
            {
                out.unknown_rows.resize(rows, false);
                out.unknown_rows
                    .iter_mut()
                    .zip(ids)
                    .for_each(|(u, id)| *u |= *id == UNKNOWN);
            }
            key.write(column, ids.as_deref(), i, self.words, &mut out, &mut hashes)?;
        }
        finish_hashes(self.fixed_hash, hashes, rows, &mut out);
        Ok(out)
    }

    /// The key columns of keys stored as `words`, one row per key; strings that repeat much are coded.
    pub fn decode(&mut self, words: &[u64]) -> Result<Vec<ArrayRef>> {
        self.columns
            .iter_mut()
            .enumerate()
            .map(|(i, c)| c.decode(i, words, self.words))
            .collect()
    }

    /// Forgets all strings and nested values, and gives their memory back. Words encoded before are void.
    pub fn forget_values(&mut self) -> Result<()> {
        for column in &mut self.columns {
            if let Coding::Interned(interner) = &mut column.coding {
                **interner = Interner::new(&column.data_type)?;
            }
        }
        Ok(())
    }

    /// Bytes held by the interners.
    pub fn memory_size(&self) -> usize {
        self.columns
            .iter()
            .map(|c| match &c.coding {
                Coding::Interned(interner) => interner.memory_size(),
                _ => 0,
            })
            .sum()
    }
}

fn finish_hashes(fixed: Option<u64>, hashes: Hashes, rows: usize, out: &mut EncodedKeys) {
    out.hashes = match (hashes, fixed) {
        (None, _) => vec![],
        (Some(_), Some(hash)) => vec![hash; rows],
        (Some(hashes), None) if hashes.is_empty() => vec![NULL_HASH; rows],
        (Some(hashes), None) => hashes,
    };
}

/// One per row, once the first column is there; `None` when nobody asks for them.
type Hashes = Option<Vec<u64>>;

impl KeyColumn {
    fn null_in_extra_word(&self) -> bool {
        self.nullable && (self.bits == 64 || matches!(self.coding, Coding::Wide))
    }

    /// Adds this column's bits to the words and its hash to the hashes.
    fn write(
        &self,
        column: &Column,
        ids: Option<&[u32]>,
        position: usize,
        stride: usize,
        out: &mut EncodedKeys,
        hashes: &mut Hashes,
    ) -> Result<()> {
        let rows = column.len();
        if let (Some(ids), Coding::Interned(interner)) = (ids, &self.coding) {
            self.write_ids(interner, ids, stride, out, hashes);
            return Ok(());
        }
        let array = column.to_array()?;
        if let Coding::Wide = self.coding {
            self.write_wide(array.as_ref(), position, stride, out, hashes)?;
        } else {
            let values = fixed_words(array.as_ref())?;
            match array.logical_nulls().filter(|n| n.null_count() > 0) {
                None => {
                    add_hashes(hashes, values.iter().map(|&v| hash_word(v)));
                    if stride == 1 && self.bits == 64 {
                        out.words = values;
                    } else {
                        for (key, v) in out.words.chunks_exact_mut(stride).zip(&values) {
                            key[self.word] |= v << self.shift;
                        }
                    }
                }
                Some(nulls) => {
                    for ((key, v), valid) in out.words.chunks_exact_mut(stride).zip(&values).zip(nulls.iter()) {
                        if valid {
                            key[self.word] |= v << self.shift;
                        } else {
                            self.set_null(key, position);
                        }
                    }
                    let hashed = values
                        .iter()
                        .zip(nulls.iter())
                        .map(|(&v, ok)| if ok { hash_word(v) } else { NULL_HASH });
                    add_hashes(hashes, hashed);
                    note_nulls(out, &nulls, rows);
                }
            }
        }
        Ok(())
    }

    /// Adds the bits and hashes of interned values.
    fn write_ids(&self, interner: &Interner, ids: &[u32], stride: usize, out: &mut EncodedKeys, hashes: &mut Hashes) {
        for (key, id) in out.words.chunks_exact_mut(stride).zip(ids) {
            key[self.word] |= (*id as u64) << self.shift;
        }
        add_hashes(hashes, ids.iter().map(|&id| interner.hash(id)));
        if ids.contains(&0) {
            out.null_rows.resize(ids.len(), false);
            out.null_rows.iter_mut().zip(ids).for_each(|(n, id)| *n |= *id == 0);
        }
    }

    fn set_null(&self, key: &mut [u64], position: usize) {
        if !self.nullable {
            return;
        }
        if self.null_in_extra_word() {
            let last = key.len() - 1;
            key[last] |= 1 << (position % 64);
        } else {
            key[self.word] |= 1 << (self.shift + self.bits - 1);
        }
    }

    fn is_null(&self, key: &[u64], position: usize) -> bool {
        if !self.nullable {
            return false;
        }
        if self.null_in_extra_word() {
            key[key.len() - 1] >> (position % 64) & 1 == 1
        } else {
            key[self.word] >> (self.shift + self.bits - 1) & 1 == 1
        }
    }

    fn write_wide(
        &self,
        array: &dyn Array,
        position: usize,
        stride: usize,
        out: &mut EncodedKeys,
        hashes: &mut Hashes,
    ) -> Result<()> {
        let array = array
            .as_primitive_opt::<Decimal128Type>()
            .ok_or_else(|| Error::internal("a wide key is a decimal"))?;
        for (row, key) in out.words.chunks_exact_mut(stride).enumerate() {
            if array.is_null(row) {
                self.set_null(key, position);
            } else {
                let v = array.value(row);
                key[self.word] = v as u64;
                key[self.word + 1] = (v >> 64) as u64;
            }
        }
        let hashed = array
            .iter()
            .map(|v| v.map_or(NULL_HASH, |v| combine_hashes(hash_word(v as u64), (v >> 64) as u64)));
        add_hashes(hashes, hashed);
        if let Some(nulls) = array.nulls().filter(|n| n.null_count() > 0) {
            note_nulls(out, nulls, array.len());
        }
        Ok(())
    }

    fn decode(&mut self, position: usize, words: &[u64], stride: usize) -> Result<ArrayRef> {
        let keys = words.chunks_exact(stride);
        if let Coding::Interned(interner) = &mut self.coding {
            let ids: Vec<u32> = keys.map(|k| (k[self.word] >> self.shift) as u32).collect();
            return interner.values(&ids);
        }
        if let Coding::Wide = self.coding {
            let values = keys.map(|k| {
                let null = self.is_null(k, position);
                (!null).then(|| (k[self.word] as u128 | (k[self.word + 1] as u128) << 64) as i128)
            });
            let array: Decimal128Array = values.collect();
            return Ok(Arc::new(array.with_data_type(self.data_type.clone())));
        }
        let value_bits = if self.bits == 64 { 64 } else { self.bits - 1 };
        let mask = if value_bits == 64 {
            u64::MAX
        } else {
            (1u64 << value_bits) - 1
        };
        let values: Vec<u64> = keys.clone().map(|k| k[self.word] >> self.shift & mask).collect();
        let valid: Vec<bool> = keys.map(|k| !self.is_null(k, position)).collect();
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        fixed_array(&self.data_type, values, nulls)
    }
}

fn note_nulls(out: &mut EncodedKeys, nulls: &NullBuffer, rows: usize) {
    out.null_rows.resize(rows, false);
    out.null_rows
        .iter_mut()
        .zip(nulls.iter())
        .for_each(|(n, valid)| *n |= !valid);
}

/// Starts the hashes with the first column, combines later ones.
fn add_hashes(hashes: &mut Hashes, column: impl Iterator<Item = u64>) {
    let Some(hashes) = hashes else { return };
    if hashes.is_empty() {
        hashes.extend(column);
    } else {
        hashes
            .iter_mut()
            .zip(column)
            .for_each(|(h, c)| *h = combine_hashes(*h, c));
    }
}

/// The bits of fixed-width values; NULL slots hold anything. Floats are normalised so that equal values have equal bits.
pub fn fixed_words(array: &dyn Array) -> Result<Vec<u64>> {
    fn ints<T: ArrowPrimitiveType>(array: &dyn Array, f: impl Fn(T::Native) -> u64) -> Vec<u64> {
        array.as_primitive::<T>().values().iter().map(|&v| f(v)).collect()
    }
    Ok(match array.data_type() {
        DataType::Null => vec![0; array.len()],
        DataType::Boolean => array.as_boolean().values().iter().map(|b| b as u64).collect(),
        DataType::Int8 => ints::<Int8Type>(array, |v| v as u8 as u64),
        DataType::Int16 => ints::<Int16Type>(array, |v| v as u16 as u64),
        DataType::Int32 => ints::<Int32Type>(array, |v| v as u32 as u64),
        DataType::Date32 => ints::<Date32Type>(array, |v| v as u32 as u64),
        DataType::Interval(IntervalUnit::YearMonth) => ints::<IntervalYearMonthType>(array, |v| v as u32 as u64),
        DataType::Int64 => ints::<Int64Type>(array, |v| v as u64),
        DataType::Decimal64(..) => ints::<Decimal64Type>(array, |v| v as u64),
        DataType::Timestamp(TimeUnit::Microsecond, _) => ints::<TimestampMicrosecondType>(array, |v| v as u64),
        DataType::Time64(TimeUnit::Microsecond) => ints::<Time64MicrosecondType>(array, |v| v as u64),
        DataType::Duration(TimeUnit::Microsecond) => ints::<DurationMicrosecondType>(array, |v| v as u64),
        DataType::Float32 => ints::<Float32Type>(array, |v| {
            (if v.is_nan() { f32::NAN } else { v + 0.0 }).to_bits() as u64
        }),
        DataType::Float64 => ints::<Float64Type>(array, |v| (if v.is_nan() { f64::NAN } else { v + 0.0 }).to_bits()),
        other => return Err(Error::internal(format!("key column of type {other} is not fixed"))),
    })
}

fn fixed_array(t: &DataType, values: Vec<u64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    fn ints<T: ArrowPrimitiveType>(
        t: &DataType,
        v: Vec<u64>,
        nulls: Option<NullBuffer>,
        f: impl Fn(u64) -> T::Native,
    ) -> ArrayRef {
        let values: Vec<T::Native> = v.into_iter().map(f).collect();
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(t.clone()))
    }
    Ok(match t {
        DataType::Null => new_null_array(t, values.len()),
        DataType::Boolean => Arc::new(BooleanArray::new(values.iter().map(|v| *v == 1).collect(), nulls)),
        DataType::Int8 => ints::<Int8Type>(t, values, nulls, |v| v as i8),
        DataType::Int16 => ints::<Int16Type>(t, values, nulls, |v| v as i16),
        DataType::Int32 => ints::<Int32Type>(t, values, nulls, |v| v as i32),
        DataType::Date32 => ints::<Date32Type>(t, values, nulls, |v| v as i32),
        DataType::Interval(IntervalUnit::YearMonth) => ints::<IntervalYearMonthType>(t, values, nulls, |v| v as i32),
        DataType::Int64 => ints::<Int64Type>(t, values, nulls, |v| v as i64),
        DataType::Decimal64(..) => ints::<Decimal64Type>(t, values, nulls, |v| v as i64),
        DataType::Timestamp(..) => ints::<TimestampMicrosecondType>(t, values, nulls, |v| v as i64),
        DataType::Time64(_) => ints::<Time64MicrosecondType>(t, values, nulls, |v| v as i64),
        DataType::Duration(_) => ints::<DurationMicrosecondType>(t, values, nulls, |v| v as i64),
        DataType::Float32 => ints::<Float32Type>(t, values, nulls, |v| f32::from_bits(v as u32)),
        DataType::Float64 => ints::<Float64Type>(t, values, nulls, f64::from_bits),
        other => return Err(Error::internal(format!("key column of type {other} is not fixed"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_encoding() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(1), Some(-5)])),
            Arc::new(StringViewArray::from(vec![
                Some("a long string of some length"),
                Some(""),
                None,
                Some("b"),
            ])),
            Arc::new(Date32Array::from(vec![Some(1), Some(-2), None, Some(3)])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(false)])),
            Arc::new(
                Decimal128Array::from(vec![Some(-1), Some(1 << 100), None, Some(0)])
                    .with_data_type(DataType::Decimal128(38, 2)),
            ),
            Arc::new(Float64Array::from(vec![Some(-0.0), Some(0.0), Some(f64::NAN), None])),
        ];
        let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
        let mut encoder = KeyEncoder::new(&types, &[true; 6], None).unwrap();
        let input: Vec<Column> = columns.iter().cloned().map(Column::Array).collect();
        let keys = encoder.encode(&input, 4).unwrap();
        let decoded = encoder.decode(&keys.words).unwrap();
        assert_eq!(decoded[..5], columns[..5]);
        assert_eq!(keys.null_rows, vec![false, true, true, true]);
        let known = encoder.encode_known(&input, 4, true).unwrap();
        assert_eq!((known.words, known.hashes), (keys.words, keys.hashes));
    }

    #[test]
    fn coding_does_not_change_the_key() {
        let plain: ArrayRef = Arc::new(StringViewArray::from(vec![Some("x"), Some("y"), None, Some("x")]));
        let values: ArrayRef = Arc::new(StringViewArray::from(vec!["y", "x"]));
        let coded = DictionaryArray::new(Int32Array::from(vec![Some(1), Some(0), None, Some(1)]), values);
        let mut encoder = KeyEncoder::new(&[DataType::Utf8View], &[true], None).unwrap();
        let a = encoder.encode(&[Column::Array(plain)], 4).unwrap();
        let b = encoder.encode(&[Column::Array(Arc::new(coded))], 4).unwrap();
        assert_eq!((a.words, a.hashes), (b.words, b.hashes));
    }
}
