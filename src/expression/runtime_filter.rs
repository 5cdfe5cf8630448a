//! Filters that a join's build side makes for the scan of its probe side: by its keys, or by the bounds of its ranges.
//!
//! A filter is written through a [`FilterBuilder`] and only readable once sealed, so that no scan can ever see one that
//! lacks build rows.

use crate::error::Result;
use crate::types::ScalarValue;
use crate::vector::Column;
use crate::vector::dictionary::{DictionaryCache, map_column};
use crate::vector::hash::{hash_bytes, hash_word};
use crate::vector::keys::fixed_words;
use crate::vector::mask::{collect_mask, set_positions};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What a scan applies to one of its columns: empty until the build side is complete.
#[derive(Debug, Clone, Default)]
pub struct RuntimeFilter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    slot: OnceLock<Sealed>,
    tested: AtomicU64,
    passed: AtomicU64,
}

/// A complete filter: which values the build side's key column has. It may let others pass, never keeps one of them out.
#[derive(Debug)]
pub struct Sealed {
    set: KeySet,
    /// Smallest and largest key, for integers, dates and the like.
    bounds: Option<(i64, i64)>,
    /// Which values of the dictionaries met so far may be keys.
    dictionaries: DictionaryCache,
}

#[derive(Debug)]
enum KeySet {
    Empty,
    /// Bit `v - min` is set when `v` is a key.
    Bitmap {
        min: i64,
        bits: Vec<u64>,
    },
    /// A blocked Bloom filter: 64-bit blocks, five bits per key (Putze, Sanders, Singler 2007).
    Bloom(Vec<u64>),
    /// Too many keys to tell them apart: only the bounds say something.
    All,
    /// Whatever is within the bounds.
    Range,
}

/// The side that fills the filter; sealing consumes it.
#[derive(Debug)]
pub struct FilterBuilder {
    shared: Arc<Shared>,
    streamed: Option<Streamed>,
}

/// The keys of rows that were not kept until the filter is complete.
#[derive(Debug)]
struct Streamed {
    bloom: Vec<u64>,
    bounds: Option<(i64, i64)>,
    keys: usize,
}

impl RuntimeFilter {
    /// An empty filter and the builder that will fill it.
    pub fn new() -> (Self, FilterBuilder) {
        let shared = Arc::new(Shared::default());
        (
            Self { shared: shared.clone() },
            FilterBuilder { shared, streamed: None },
        )
    }

    /// The filter, once its build side was complete.
    pub fn get(&self) -> Option<&Sealed> {
        self.shared.slot.get()
    }

    /// The filter while it is worth the time: not after it let most of the rows pass.
    pub fn get_worthwhile(&self) -> Option<&Sealed> {
        let tested = self.shared.tested.load(Ordering::Relaxed);
        let passed = self.shared.passed.load(Ordering::Relaxed);
        if tested > 50_000 && passed as f64 > tested as f64 * 0.75 {
            None
        } else {
            self.get()
        }
    }

    /// The fraction of tested rows that passed; one half before anything is known.
    pub fn selectivity(&self) -> f64 {
        let tested = self.shared.tested.load(Ordering::Relaxed) as f64;
        let passed = self.shared.passed.load(Ordering::Relaxed) as f64;
        (passed + 50.0) / (tested + 100.0)
    }

    /// Tells how many of the tested rows passed.
    pub fn record(&self, tested: usize, passed: usize) {
        self.shared.tested.fetch_add(tested as u64, Ordering::Relaxed);
        self.shared.passed.fetch_add(passed as u64, Ordering::Relaxed);
    }
}

impl FilterBuilder {
    /// Adds the keys of rows that will not be there when the filter is sealed. `expected` is how many keys may come in all.
    pub fn add(&mut self, keys: &ArrayRef, expected: usize) -> Result<()> {
        let streamed = self.streamed.get_or_insert_with(|| Streamed {
            bloom: vec![0; (expected.clamp(1 << 16, MAX_BLOOM_KEYS) / 4).next_power_of_two()],
            bounds: None,
            keys: 0,
        });
        streamed.add(keys)
    }

    /// Publishes the set of the values of `keys`, which must be the key column of every build row that was not added before.
    pub fn seal(self, keys: &[ArrayRef]) -> Result<()> {
        let sealed = match self.streamed {
            None => Sealed::of(keys)?,
            Some(mut streamed) => {
                keys.iter().try_for_each(|k| streamed.add(k))?;
                Some(streamed.seal())
            }
        };
        if let Some(sealed) = sealed {
            let _ = self.shared.slot.set(sealed);
        }
        Ok(())
    }

    /// Publishes that only values within a range may have a partner, both ends included, or none at all.
    pub fn seal_range(self, range: Option<(i64, i64)>) {
        let sealed = match range {
            Some((least, greatest)) if least <= greatest => Sealed::new(KeySet::Range, range),
            _ => Sealed::new(KeySet::Empty, None),
        };
        let _ = self.shared.slot.set(sealed);
    }
}

/// The least and greatest value of an array of integers, dates and the like; `None` when it has no value. Values of other
/// types may be anything.
pub fn integer_bounds(array: &ArrayRef) -> Result<Option<(i64, i64)>> {
    let Some(values) = integers(array)? else {
        return Ok(Some((i64::MIN, i64::MAX)));
    };
    let present = values.into_iter().enumerate().filter(|(i, _)| array.is_valid(*i));
    Ok(present.fold(None, |bounds, (_, v)| {
        let (lo, hi) = bounds.unwrap_or((v, v));
        Some((lo.min(v), hi.max(v)))
    }))
}

/// Whether [`integer_bounds`] and filters of ranges know a type.
pub fn has_integer_bounds(t: &DataType) -> bool {
    use DataType::*;
    matches!(
        t,
        Int8 | Int16 | Int32 | Int64 | Date32 | Decimal64(..) | Timestamp(TimeUnit::Microsecond, _)
    )
}

impl Streamed {
    fn add(&mut self, keys: &ArrayRef) -> Result<()> {
        let valid = |i: usize| keys.is_valid(i);
        self.keys += keys.len() - keys.null_count();
        if let Some(values) = integers(keys)? {
            let present = values.iter().enumerate().filter(|(i, _)| valid(*i)).map(|(_, v)| *v);
            self.bounds = present.fold(self.bounds, |bounds, v| {
                let (lo, hi) = bounds.unwrap_or((v, v));
                Some((lo.min(v), hi.max(v)))
            });
        }
        match hashes(keys)? {
            Some(hashes) => {
                let mask = self.bloom.len() - 1;
                for (_, hash) in hashes.into_iter().enumerate().filter(|(i, _)| valid(*i)) {
                    self.bloom[(hash >> 32) as usize & mask] |= bloom_bits(hash);
                }
            }
            None => self.keys = usize::MAX / 2,
        }
        Ok(())
    }

    fn seal(self) -> Sealed {
        // With more than 16 keys per block of 64 bits, most of what it is asked for passes.
        let set = match self.keys {
            0 => KeySet::Empty,
            keys if keys / 16 <= self.bloom.len() => KeySet::Bloom(self.bloom),
            _ => KeySet::All,
        };
        Sealed::new(set, self.bounds)
    }
}

/// Bits that a bitmap may take: 32 MB.
const MAX_BITMAP_BITS: i128 = 1 << 28;
/// Keys that a Bloom filter is built for; beyond, probing it costs a cache miss per row for little gain.
const MAX_BLOOM_KEYS: usize = 1 << 24;

impl Sealed {
    fn new(set: KeySet, bounds: Option<(i64, i64)>) -> Self {
        Self {
            set,
            bounds,
            dictionaries: DictionaryCache::default(),
        }
    }

    fn of(parts: &[ArrayRef]) -> Result<Option<Self>> {
        let rows = parts.iter().map(|keys| keys.len() - keys.null_count()).sum::<usize>();
        if rows == 0 {
            return Ok(Some(Self::new(KeySet::Empty, None)));
        }
        let mut values = vec![];
        for keys in parts {
            match integers(keys)? {
                Some(integers) => values.push(integers),
                None => return Ok(Self::bloom(parts, rows)?.map(|set| Self::new(set, None))),
            }
        }
        let present = || {
            values.iter().zip(parts).flat_map(|(values, keys)| {
                let valid = values.iter().enumerate().filter(|(i, _)| keys.is_valid(*i));
                valid.map(|(_, v)| *v)
            })
        };
        let (min, max) = present().fold((i64::MAX, i64::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)));
        let range = max as i128 - min as i128 + 1;
        let set = if range <= MAX_BITMAP_BITS && range <= rows as i128 * 256 + 65_536 {
            let mut bits = vec![0u64; (range as usize).div_ceil(64)];
            for v in present() {
                let at = v.wrapping_sub(min) as usize;
                bits[at / 64] |= 1 << (at % 64);
            }
            Some(KeySet::Bitmap { min, bits })
        } else {
            Self::bloom(parts, rows)?
        };
        Ok(set.map(|set| Self::new(set, Some((min, max)))))
    }

    fn bloom(parts: &[ArrayRef], rows: usize) -> Result<Option<KeySet>> {
        if rows > MAX_BLOOM_KEYS {
            return Ok(None);
        }
        let mut blocks = vec![0u64; (rows / 4).next_power_of_two().max(1)];
        let mask = blocks.len() - 1;
        for keys in parts {
            let Some(hashes) = hashes(keys)? else { return Ok(None) };
            for (i, hash) in hashes.into_iter().enumerate() {
                if keys.is_valid(i) {
                    blocks[(hash >> 32) as usize & mask] |= bloom_bits(hash);
                }
            }
        }
        Ok(Some(KeySet::Bloom(blocks)))
    }

    /// Whether some key may lie in `min..=max`; the question of a row group.
    pub fn may_overlap(&self, min: &ScalarValue, max: &ScalarValue) -> bool {
        if let KeySet::Empty = self.set {
            return false;
        }
        match (self.bounds, integer_of(min), integer_of(max)) {
            (Some((lo, hi)), Some(min), Some(max)) if min > max || hi < min || lo > max => false,
            (Some(_), Some(from), Some(to)) => match &self.set {
                KeySet::Bitmap { min, bits } => any_bit(bits, from.saturating_sub(*min), to.saturating_sub(*min)),
                _ => true,
            },
            _ => true,
        }
    }

    /// The positions of the rows that may have a partner; NULL never has one. `None` when all may.
    pub fn select(&self, column: &Column) -> Result<Option<Vec<u32>>> {
        if let Column::Constant { value, rows } = column {
            let found = self.contains(value)?.iter().all(|hit| hit);
            return Ok((!found && *rows > 0).then(Vec::new));
        }
        let by_value =
            |values: &ArrayRef| -> Result<ArrayRef> { Ok(Arc::new(BooleanArray::new(self.contains(values)?, None))) };
        let hits = map_column(column, &self.dictionaries, by_value)?.to_array()?;
        let hits = match hits.as_boolean().nulls() {
            Some(nulls) => hits.as_boolean().values() & nulls.inner(),
            None => hits.as_boolean().values().clone(),
        };
        Ok((hits.count_set_bits() < hits.len()).then(|| set_positions(&hits)))
    }

    /// Which values may be keys.
    fn contains(&self, array: &ArrayRef) -> Result<BooleanBuffer> {
        let all = || BooleanBuffer::new_set(array.len());
        let hits = match &self.set {
            KeySet::Empty => BooleanBuffer::new_unset(array.len()),
            KeySet::All => all(),
            KeySet::Range => {
                let (least, greatest) = self.bounds.unwrap_or((i64::MIN, i64::MAX));
                integer_mask(array, |v| least <= v && v <= greatest).unwrap_or_else(all)
            }
            KeySet::Bitmap { min, bits } => integer_mask(array, |v| {
                let at = v.wrapping_sub(*min) as u64 as usize;
                bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
            })
            .unwrap_or_else(all),
            KeySet::Bloom(blocks) => {
                let mask = blocks.len() - 1;
                let hit = |hash: u64| {
                    let bits = bloom_bits(hash);
                    blocks[(hash >> 32) as usize & mask] & bits == bits
                };
                hashes(array)?.map_or_else(all, |hashes| collect_mask(&hashes, hit))
            }
        };
        Ok(match array.nulls().filter(|n| n.null_count() > 0) {
            Some(nulls) => &hits & nulls.inner(),
            None => hits,
        })
    }
}

fn bloom_bits(hash: u64) -> u64 {
    (0..5).fold(0, |bits, i| bits | 1 << (hash >> (i * 6) & 63))
}

/// Whether some bit in `from..=to` is set; positions outside the bitmap are not.
fn any_bit(bits: &[u64], from: i64, to: i64) -> bool {
    let last = bits.len() as i64 * 64 - 1;
    let (from, to) = (from.max(0), to.min(last));
    if from > to {
        return false;
    }
    let (first_word, last_word) = (from as usize / 64, to as usize / 64);
    let low = u64::MAX << (from % 64);
    let high = u64::MAX >> (63 - to % 64);
    if first_word == last_word {
        return bits[first_word] & low & high != 0;
    }
    bits[first_word] & low != 0
        || bits[last_word] & high != 0
        || bits[first_word + 1..last_word].iter().any(|w| *w != 0)
}

/// Integer-like values widened to 64 bits; `None` for other types.
fn integers(array: &ArrayRef) -> Result<Option<Vec<i64>>> {
    let widen = |bits: u32, words: Vec<u64>| {
        let shift = 64 - bits;
        words.into_iter().map(|w| ((w << shift) as i64) >> shift).collect()
    };
    Ok(match array.data_type() {
        DataType::Int8 => Some(widen(8, fixed_words(array)?)),
        DataType::Int16 => Some(widen(16, fixed_words(array)?)),
        DataType::Int32 | DataType::Date32 => Some(widen(32, fixed_words(array)?)),
        DataType::Int64 | DataType::Decimal64(..) | DataType::Timestamp(..) => Some(widen(64, fixed_words(array)?)),
        _ => None,
    })
}

/// `f` of integer-like values widened to 64 bits; `None` for other types.
fn integer_mask(array: &ArrayRef, f: impl Fn(i64) -> bool) -> Option<BooleanBuffer> {
    fn of<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef, f: impl Fn(i64) -> bool) -> BooleanBuffer {
        collect_mask(array.as_primitive::<T>().values(), |v| f(v.into()))
    }
    Some(match array.data_type() {
        DataType::Int8 => of::<Int8Type>(array, f),
        DataType::Int16 => of::<Int16Type>(array, f),
        DataType::Int32 => of::<Int32Type>(array, f),
        DataType::Date32 => of::<Date32Type>(array, f),
        DataType::Int64 => of::<Int64Type>(array, f),
        DataType::Decimal64(..) => of::<Decimal64Type>(array, f),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of::<TimestampMicrosecondType>(array, f),
        _ => return None,
    })
}

fn integer_of(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Date(v) => Some(*v as i64),
        ScalarValue::Timestamp(v, _) => Some(*v),
        ScalarValue::Decimal(v, _, _) => i64::try_from(*v).ok(),
        other => other.as_integer(),
    }
}

/// Hashes of the values, NULL slots holding anything; `None` for types without.
fn hashes(array: &ArrayRef) -> Result<Option<Vec<u64>>> {
    Ok(match array.data_type() {
        DataType::Utf8View => Some(
            array
                .as_string_view()
                .iter()
                .map(|s| hash_bytes(s.unwrap_or("").as_bytes()))
                .collect(),
        ),
        DataType::BinaryView => Some(
            array
                .as_binary_view()
                .iter()
                .map(|b| hash_bytes(b.unwrap_or(&[])))
                .collect(),
        ),
        t if t.is_nested() || matches!(t, DataType::Decimal128(..)) => None,
        _ => Some(fixed_words(array)?.into_iter().map(hash_word).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};

    fn sealed(keys: ArrayRef) -> RuntimeFilter {
        let (filter, builder) = RuntimeFilter::new();
        assert!(filter.get().is_none());
        builder.seal(&[keys]).unwrap();
        filter
    }

    #[test]
    fn keys_pass_and_bounds_prune() {
        let filter = sealed(Arc::new(Int64Array::from(vec![Some(5), None, Some(900)])));
        let filter = filter.get().unwrap();
        let probe: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), Some(6), None, Some(900), Some(-1)]));
        assert_eq!(filter.select(&Column::Array(probe)).unwrap(), Some(vec![0, 3]));
        assert!(!filter.may_overlap(&ScalarValue::Int64(6), &ScalarValue::Int64(899)));
        assert!(filter.may_overlap(&ScalarValue::Int64(6), &ScalarValue::Int64(900)));
    }

    #[test]
    fn a_bloom_filter_has_no_false_negatives() {
        let wide: Vec<i64> = (0..1000).map(|i| i * 1_000_000_007).collect();
        for keys in [
            Arc::new(Int64Array::from(wide.clone())) as ArrayRef,
            Arc::new(StringViewArray::from_iter_values(wide.iter().map(|i| i.to_string()))),
        ] {
            let filter = sealed(keys.clone());
            assert_eq!(filter.get().unwrap().select(&Column::Array(keys)).unwrap(), None);
        }
        let filter = sealed(Arc::new(StringViewArray::from_iter_values(
            wide.iter().map(|i| i.to_string()),
        )));
        let others: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..1000).map(|i| format!("x{i}"))));
        let passed = filter
            .get()
            .unwrap()
            .select(&Column::Array(others))
            .unwrap()
            .unwrap()
            .len();
        assert!(passed < 100, "{passed} of 1000 strangers passed");
    }
}
