//! Sets of different keys for each group: what DISTINCT, `histogram` and `map_agg` remember.

use super::rows::{Gathered, flatten_lists};
use crate::error::{Error, Result};
use crate::types::DataType;
use arrow::array::{Array, ArrayData, ArrayRef, AsArray, make_array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_map::{Entry, HashMap};
use hashbrown::hash_table::Entry as Slot;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Different (group, key) pairs, numbered as they came. A key is a row of one or more columns; NULLs are equal to each
/// other, so are all NaNs, and the two zeros.
pub(crate) struct KeySet {
    types: Vec<DataType>,
    keys: Keys,
    /// The group of each entry.
    groups: Vec<u32>,
    hasher: FixedState,
}

enum Keys {
    /// One column of at most eight bytes: the table holds the values themselves.
    Words {
        width: usize,
        table: HashTable<Word>,
        /// Group → entry of the key NULL.
        nulls: HashMap<u32, u32>,
    },
    /// Any columns: the table holds entry numbers and a piece of their hashes.
    Rows {
        converter: RowConverter,
        rows: Rows,
        table: HashTable<(u32, u32)>,
    },
}

struct Word {
    bits: u64,
    group: u32,
    entry: u32,
}

impl KeySet {
    /// An empty set of keys with columns of these types.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let width = match types {
            [one] => one.primitive_width().filter(|w| matches!(w, 1 | 2 | 4 | 8)),
            _ => None,
        };
        Ok(Self {
            types: types.to_vec(),
            keys: match width {
                Some(width) => Keys::Words {
                    width,
                    table: HashTable::new(),
                    nulls: HashMap::new(),
                },
                None => {
                    let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
                    let rows = converter.empty_rows(0, 0);
                    let table = HashTable::new();
                    Keys::Rows { converter, rows, table }
                }
            },
            groups: vec![],
            hasher: FixedState::default(),
        })
    }

    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Puts the rows that are valid in `keep` (all when `None`) into the set and calls `each(row, entry, new)`.
    pub fn insert(
        &mut self,
        columns: &[ArrayRef],
        groups: &[u32],
        keep: Option<&NullBuffer>,
        mut each: impl FnMut(usize, usize, bool),
    ) -> Result<()> {
        if self.groups.len() + groups.len() > u32::MAX as usize {
            return Err(Error::resources(
                "more than 4294967295 different values in one aggregate",
            ));
        }
        let columns: Vec<ArrayRef> = columns.iter().take(self.types.len()).map(canonical).collect();
        let hasher = &self.hasher;
        let entries = &mut self.groups;
        let rows = (0..groups.len()).filter(|&row| keep.is_none_or(|k| k.is_valid(row)));
        match &mut self.keys {
            Keys::Words { width, table, nulls } => {
                let column = columns.first().ok_or_else(|| Error::internal("a key without column"))?;
                let words = words(column, *width);
                for row in rows {
                    let (bits, group, fresh) = (words[row], groups[row], entries.len() as u32);
                    let (entry, new) = if column.is_null(row) {
                        match nulls.entry(group) {
                            Entry::Occupied(e) => (*e.get(), false),
                            Entry::Vacant(e) => (*e.insert(fresh), true),
                        }
                    } else {
                        let equal = |w: &Word| w.bits == bits && w.group == group;
                        let hash = |w: &Word| hasher.hash_one((w.bits, w.group));
                        match table.entry(hasher.hash_one((bits, group)), equal, hash) {
                            Slot::Occupied(e) => (e.get().entry, false),
                            Slot::Vacant(e) => {
                                let entry = fresh;
                                e.insert(Word { bits, group, entry });
                                (fresh, true)
                            }
                        }
                    };
                    if new {
                        entries.push(group);
                    }
                    each(row, entry as usize, new);
                }
            }
            Keys::Rows {
                converter,
                rows: known,
                table,
            } => {
                let encoded = converter.convert_columns(&columns)?;
                for row in rows {
                    let (key, group) = (encoded.row(row), groups[row]);
                    // The table stores 32 bits of the hash; spread again, they serve as the whole hash.
                    let piece = (hasher.hash_one((group, key.data())) >> 32) as u32;
                    let spread = |piece: u32| (piece as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    let equal = |&(e, p): &(u32, u32)| {
                        p == piece && entries[e as usize] == group && known.row(e as usize).data() == key.data()
                    };
                    match table.entry(spread(piece), equal, |&(_, p)| spread(p)) {
                        Slot::Occupied(e) => each(row, e.get().0 as usize, false),
                        Slot::Vacant(e) => {
                            let entry = entries.len();
                            e.insert((entry as u32, piece));
                            entries.push(group);
                            known.push(key);
                            each(row, entry, true);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts the keys of a state (lists of keys) into the set.
    pub(super) fn insert_lists(&mut self, lists: &ArrayRef, groups: &[u32]) -> Result<()> {
        let (columns, groups) = flatten_lists(lists, groups, self.types.len());
        self.insert(&columns, &groups, None, |_, _, _| {})
    }

    /// All keys and their groups, in the order in which they came. Empties the set.
    pub fn take(&mut self) -> Result<(Vec<ArrayRef>, Vec<u32>)> {
        let groups = std::mem::take(&mut self.groups);
        let columns = match &mut self.keys {
            Keys::Words { width, table, nulls } => {
                let mut words = vec![0u64; groups.len()];
                for word in std::mem::take(table) {
                    words[word.entry as usize] = word.bits;
                }
                let mut valid = vec![true; groups.len()];
                for (_, entry) in nulls.drain() {
                    valid[entry as usize] = false;
                }
                vec![from_words(&words, *width, valid.into(), &self.types[0])?]
            }
            Keys::Rows { converter, rows, table } => {
                *table = HashTable::new();
                let keys = std::mem::replace(rows, converter.empty_rows(0, 0));
                converter.convert_rows(keys.iter())?
            }
        };
        Ok((columns, groups))
    }

    /// All keys, group by group. Empties the set.
    pub(super) fn take_gathered(&mut self, group_count: usize) -> Result<Gathered> {
        let (columns, groups) = self.take()?;
        Gathered::new(columns, &groups, group_count)
    }

    pub fn memory_size(&self) -> usize {
        let keys = match &self.keys {
            Keys::Words { table, nulls, .. } => table.allocation_size() + nulls.allocation_size(),
            Keys::Rows { rows, table, .. } => table.allocation_size() + rows.size(),
        };
        keys + self.groups.capacity() * size_of::<u32>()
    }
}

/// Floats with one NaN and one zero; everything else as it is.
pub(crate) fn canonical(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Arc::new(values.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Arc::new(values.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }))
        }
        _ => array.clone(),
    }
}

/// The bits of each value of a primitive array of that byte width.
fn words(array: &ArrayRef, width: usize) -> Vec<u64> {
    let data = array.to_data();
    let len = array.len();
    match width {
        1 => data.buffer::<u8>(0)[..len].iter().map(|&v| v as u64).collect(),
        2 => data.buffer::<u16>(0)[..len].iter().map(|&v| v as u64).collect(),
        4 => data.buffer::<u32>(0)[..len].iter().map(|&v| v as u64).collect(),
        _ => data.buffer::<u64>(0)[..len].to_vec(),
    }
}

fn from_words(words: &[u64], width: usize, nulls: NullBuffer, t: &DataType) -> Result<ArrayRef> {
    let buffer = match width {
        1 => Buffer::from_iter(words.iter().map(|&v| v as u8)),
        2 => Buffer::from_iter(words.iter().map(|&v| v as u16)),
        4 => Buffer::from_iter(words.iter().map(|&v| v as u32)),
        _ => Buffer::from_iter(words.iter().copied()),
    };
    let nulls = Some(nulls).filter(|n| n.null_count() > 0);
    let data = ArrayData::builder(t.clone()).len(words.len()).add_buffer(buffer);
    Ok(make_array(data.nulls(nulls).build()?))
}
