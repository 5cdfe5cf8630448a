//! Numbers for byte strings and nested values, so that keys need not carry them.

use super::Column;
use super::gather::dictionary_array;
use super::hash::{NULL_HASH, hash_bytes};
use super::views::PageViews;
use crate::error::{Error, Result};
use crate::types::DataType;
use arrow::array::*;
use arrow::buffer::Buffer;
use arrow::datatypes::*;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;
use std::sync::Arc;

/// Bytes of values that are copied into one buffer; more go into several.
const VALUES_AT_ONCE: usize = 1 << 30;
/// Values that occur this often on average are given as a dictionary.
const REPEATED: usize = 4;
/// Dictionaries whose codes fit a byte.
const SMALL_DICTIONARY: usize = 256;
/// The id of a value that the interner does not know.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// Numbers distinct byte strings 1, 2, 3, …; 0 is NULL.
pub(super) struct Interner {
    data_type: DataType,
    table: HashTable<u32>,
    /// End of each value in `bytes`; value `id` is `bytes[ends[id - 1]..ends[id]]`.
    ends: Vec<usize>,
    bytes: Vec<u8>,
    hashes: Vec<u64>,
    /// Row format for nested values; `None` for strings and binaries.
    rows: Option<RowConverter>,
    /// The dictionary seen last and the id of each of its values (0 when not yet looked up).
    dictionary: Option<(ArrayRef, Vec<u32>)>,
    /// All values as an array, of the time when it was asked for.
    all: Option<ArrayRef>,
}

impl std::fmt::Debug for Interner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Interner({} values)", self.hashes.len() - 1)
    }
}

impl Interner {
    pub fn new(t: &DataType) -> Result<Self> {
        let rows = match t {
            DataType::Utf8View | DataType::BinaryView => None,
            nested => Some(RowConverter::new(vec![SortField::new(nested.clone())])?),
        };
        Ok(Self {
            data_type: t.clone(),
            table: HashTable::new(),
            ends: vec![0],
            bytes: vec![],
            hashes: vec![NULL_HASH],
            rows,
            dictionary: None,
            all: None,
        })
    }

    /// Numbers given so far, that of NULL included.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn hash(&self, id: u32) -> u64 {
        self.hashes.get(id as usize).copied().unwrap_or(NULL_HASH)
    }

    fn value(&self, id: u32) -> &[u8] {
        let id = id as usize;
        &self.bytes[self.ends[id - 1]..self.ends[id]]
    }

    fn intern(&mut self, value: &[u8]) -> Result<u32> {
        let hash = hash_bytes(value);
        if let Some(id) = self.find(value, hash) {
            return Ok(id);
        }
        let id = u32::try_from(self.hashes.len())
            .ok()
            .filter(|&id| id != UNKNOWN)
            .ok_or_else(|| Error::resources("more than 4 billion distinct keys"))?;
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.table.insert_unique(hash, id, |&id| hashes[id as usize]);
        Ok(id)
    }

    fn find(&self, value: &[u8], hash: u64) -> Option<u32> {
        self.table.find(hash, |&id| self.value(id) == value).copied()
    }

    /// One id per row, learning new values.
    pub fn ids(&mut self, column: &Column) -> Result<Vec<u32>> {
        match column {
            Column::Constant { value, rows } => {
                let ids = self.array_ids(value)?;
                Ok(vec![ids.first().copied().unwrap_or(0); *rows])
            }
            Column::Array(array) => match array.data_type() {
                DataType::Dictionary(_, _) => self.dictionary_ids(array),
                _ => self.array_ids(array),
            },
        }
    }

    /// Rows of one build row follow each other in a join's output: the same view is the same value.
    fn view_ids<T: ByteViewType>(&mut self, array: &GenericByteViewArray<T>) -> Result<Vec<u32>> {
        let mut last = None;
        let id = |(i, &view): (usize, &u128)| match last {
            _ if array.is_null(i) => Ok(0),
            Some((same, id)) if same == view => Ok(id),
            _ => {
                let value: &[u8] = array.value(i).as_ref();
                let id = self.intern(value)?;
                last = Some((view, id));
                Ok(id)
            }
        };
        array.views().iter().enumerate().map(id).collect()
    }

    fn array_ids(&mut self, array: &ArrayRef) -> Result<Vec<u32>> {
        match array.data_type() {
            DataType::Utf8View => self.view_ids(array.as_string_view()),
            DataType::BinaryView => self.view_ids(array.as_binary_view()),
            _ => {
                let rows = self.converted(array)?;
                (0..array.len())
                    .map(|i| {
                        if array.is_null(i) {
                            Ok(0)
                        } else {
                            self.intern(rows.row(i).as_ref())
                        }
                    })
                    .collect()
            }
        }
    }

    fn converted(&self, array: &ArrayRef) -> Result<arrow::row::Rows> {
        let converter = self
            .rows
            .as_ref()
            .ok_or_else(|| Error::internal(format!("key of type {}", array.data_type())))?;
        Ok(converter.convert_columns(std::slice::from_ref(array))?)
    }

    /// The values of a small dictionary are all learned at once, those of a large one when a row has them.
    fn dictionary_ids(&mut self, array: &ArrayRef) -> Result<Vec<u32>> {
        let any = array.as_any_dictionary();
        let values = any.values();
        let keys = any
            .keys()
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| Error::internal("dictionary codes are 32-bit integers"))?;
        let mut cache = match self.dictionary.take() {
            Some((seen, cache)) if Arc::ptr_eq(&seen, values) => cache,
            _ if values.len() <= SMALL_DICTIONARY => self.array_ids(values)?,
            _ => vec![UNKNOWN; values.len()],
        };
        if values.len() <= SMALL_DICTIONARY && keys.null_count() == 0 {
            let mut small = [0; SMALL_DICTIONARY];
            small[..cache.len()].copy_from_slice(&cache);
            self.dictionary = Some((values.clone(), cache));
            return Ok(keys.values().iter().map(|&key| small[usize::from(key as u8)]).collect());
        }
        let mut ids = Vec::with_capacity(keys.len());
        for i in 0..keys.len() {
            if keys.is_null(i) {
                ids.push(0);
                continue;
            }
            let code = keys.value(i) as usize;
            if cache[code] == UNKNOWN {
                cache[code] = self.array_ids(&values.slice(code, 1))?.first().copied().unwrap_or(0);
            }
            ids.push(cache[code]);
        }
        self.dictionary = Some((values.clone(), cache));
        Ok(ids)
    }

    /// One id per row; values never seen get `UNKNOWN`.
    pub fn known_ids(&self, column: &Column) -> Result<Vec<u32>> {
        let known = |bytes: &[u8]| self.find(bytes, hash_bytes(bytes)).unwrap_or(UNKNOWN);
        let of_array = |array: &ArrayRef| -> Result<Vec<u32>> {
            Ok(match array.data_type() {
                DataType::Utf8View => array
                    .as_string_view()
                    .iter()
                    .map(|v| v.map_or(0, |s| known(s.as_bytes())))
                    .collect(),
                DataType::BinaryView => array.as_binary_view().iter().map(|v| v.map_or(0, known)).collect(),
                _ => {
                    let rows = self.converted(array)?;
                    (0..array.len())
                        .map(|i| {
                            if array.is_null(i) {
                                0
                            } else {
                                known(rows.row(i).as_ref())
                            }
                        })
                        .collect()
                }
            })
        };
        match column {
            Column::Constant { value, rows } => Ok(vec![of_array(value)?.first().copied().unwrap_or(0); *rows]),
            Column::Array(array) => match array.data_type() {
                DataType::Dictionary(_, _) => {
                    let any = array.as_any_dictionary();
                    let of_values = of_array(any.values())?;
                    let keys = any
                        .keys()
                        .as_primitive_opt::<Int32Type>()
                        .ok_or_else(|| Error::internal("dictionary codes are 32-bit integers"))?;
                    Ok(keys
                        .iter()
                        .map(|k| k.and_then(|k| of_values.get(k as usize).copied()).unwrap_or(0))
                        .collect())
                }
                _ => of_array(array),
            },
        }
    }

    /// The values with these ids: coded if they repeat much, so that whoever takes them as keys again looks up few.
    pub fn values(&mut self, ids: &[u32]) -> Result<ArrayRef> {
        let distinct = self.hashes.len() - 1;
        if self.rows.is_some() || ids.len() < REPEATED * distinct.max(1) {
            return self.plain_values(ids);
        }
        let all = match self.all.take().filter(|all| all.len() == distinct) {
            Some(all) => all,
            None => self.plain_values(&(1..=distinct as u32).collect::<Vec<_>>())?,
        };
        self.all = Some(all.clone());
        let nulls = ids.contains(&0).then(|| ids.iter().map(|id| *id != 0).collect());
        let codes: Vec<i32> = ids.iter().map(|id| id.saturating_sub(1) as i32).collect();
        dictionary_array(Int32Array::new(codes.into(), nulls), all)
    }

    fn plain_values(&self, ids: &[u32]) -> Result<ArrayRef> {
        let bytes = |id: &u32| (*id != 0).then(|| self.value(*id));
        let lengths = || ids.iter().map(|id| bytes(id).map_or(0, <[u8]>::len));
        let at_once = lengths().sum::<usize>() <= VALUES_AT_ONCE;
        Ok(match &self.data_type {
            t @ (DataType::Utf8View | DataType::BinaryView) if at_once => {
                let mut all: Vec<u8> = Vec::with_capacity(lengths().sum());
                ids.iter()
                    .filter_map(bytes)
                    .for_each(|value| all.extend_from_slice(value));
                let lengths: Vec<u32> = lengths().map(|length| length as u32).collect();
                let views = PageViews::from_lengths(Buffer::from_vec(all), &lengths, *t == DataType::Utf8View)?;
                let nulls = ids.contains(&0).then(|| ids.iter().map(|id| *id != 0).collect());
                views.to_array_with_nulls(nulls)?
            }
            DataType::Utf8View => {
                let mut builder = StringViewBuilder::with_capacity(ids.len());
                for id in ids {
                    // Only whole strings were interned, so the bytes are UTF-8.
                    builder.append_option(bytes(id).map(|b| std::str::from_utf8(b).unwrap_or("")));
                }
                Arc::new(builder.finish())
            }
            DataType::BinaryView => {
                let mut builder = BinaryViewBuilder::with_capacity(ids.len());
                ids.iter().for_each(|id| builder.append_option(bytes(id)));
                Arc::new(builder.finish())
            }
            t => {
                let converter = self
                    .rows
                    .as_ref()
                    .ok_or_else(|| Error::internal(format!("key of type {t}")))?;
                let parser = converter.parser();
                let present: Vec<u32> = ids.iter().copied().filter(|id| *id != 0).collect();
                let rows = present.iter().map(|id| parser.parse(self.value(*id)));
                let array = converter
                    .convert_rows(rows)?
                    .pop()
                    .ok_or_else(|| Error::internal("one column was encoded"))?;
                let mut next = 0u32;
                let positions: UInt32Array = ids
                    .iter()
                    .map(|id| {
                        (*id != 0).then(|| {
                            next += 1;
                            next - 1
                        })
                    })
                    .collect();
                arrow::compute::take(&array, &positions, None)?
            }
        })
    }

    pub fn memory_size(&self) -> usize {
        let cache = self.dictionary.as_ref().map_or(0, |(_, ids)| ids.capacity() * 4);
        self.bytes.capacity()
            + (self.ends.capacity() + self.hashes.capacity()) * 8
            + self.table.allocation_size()
            + cache
            + self.all.as_ref().map_or(0, |all| all.get_array_memory_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(distinct: usize, rows: usize) -> ArrayRef {
        let text = |i: usize| (i % 5 != 4).then(|| format!("value {}", i * i % distinct));
        Arc::new((0..rows).map(text).collect::<StringViewArray>())
    }

    #[test]
    fn values_are_the_same_coded_and_plain() {
        let is_coded = |values: &ArrayRef| values.as_any_dictionary_opt().is_some();
        for t in [DataType::Utf8View, DataType::BinaryView] {
            let mut interner = Interner::new(&t).unwrap();
            // More values become known from one time to the next.
            for distinct in [3, 3, 11, 30] {
                let texts = arrow::compute::cast(&texts(distinct, 400), &t).unwrap();
                let ids = interner.ids(&Column::Array(texts.clone())).unwrap();
                let values = interner.values(&ids).unwrap();
                assert!(is_coded(&values), "{distinct} of {t}");
                assert_eq!(&Column::Array(values).to_array().unwrap(), &texts, "{distinct} of {t}");
                let few = interner.values(&ids[..6]).unwrap();
                assert!(!is_coded(&few));
                assert_eq!(&few, &texts.slice(0, 6));
            }
            // NULLs are no values.
            let nulls = Interner::new(&t).unwrap().values(&[0; 8]).unwrap();
            assert_eq!(Column::Array(nulls).to_array().unwrap().null_count(), 8);
        }
    }
}
