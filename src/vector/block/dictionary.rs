//! The values of coded string columns, shared by all blocks of an operator.

use super::Strings;
use crate::error::Result;
use crate::vector::hash::hash_bytes;
use crate::vector::views::PageViews;
use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;

/// Values that a dictionary may hold, so that a code fits into two bytes.
const MAX_VALUES: usize = 1 << 16;
/// Bytes that all values of a dictionary may have.
const MAX_BYTES: usize = 1 << 20;

/// A growing set of distinct values. A code never changes its value.
#[derive(Debug, Default)]
pub struct Dictionary {
    table: Mutex<HashTable<u32>>,
    values: RwLock<Arc<DictionaryValues>>,
    array: Mutex<Option<ArrayRef>>,
}

/// The values at some time; code `i` stands for value `i`.
#[derive(Debug, Default)]
pub struct DictionaryValues {
    strings: Strings,
}

impl DictionaryValues {
    pub fn len(&self) -> usize {
        self.strings.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    pub fn get(&self, code: usize) -> &[u8] {
        self.strings.get(code)
    }

    /// Bytes allocated here and in the table over the values.
    pub fn memory_size(&self) -> usize {
        self.strings.data.capacity() + self.strings.ends.capacity() * 12
    }
}

impl Dictionary {
    pub fn values(&self) -> Arc<DictionaryValues> {
        self.values.read().clone()
    }

    /// The code of each value, learning the new ones; `None` when the dictionary would become too large. NULL is code 0.
    pub fn codes(&self, wanted: &[Option<&[u8]>]) -> Option<Vec<u32>> {
        let mut table = self.table.lock();
        let known = self.values();
        let mut strings = Strings {
            ends: known.strings.ends.clone(),
            data: known.strings.data.clone(),
        };
        let mut codes = Vec::with_capacity(wanted.len());
        for value in wanted {
            let Some(value) = value else {
                codes.push(0);
                continue;
            };
            let hash = hash_bytes(value);
            if let Some(&code) = table.find(hash, |&code| strings.get(code as usize) == *value) {
                codes.push(code);
                continue;
            }
            if strings.ends.len() >= MAX_VALUES || strings.data.len() + value.len() > MAX_BYTES {
                self.publish(strings, &known);
                return None;
            }
            let code = strings.ends.len() as u32;
            strings.push(value);
            table.insert_unique(hash, code, |&code| hash_bytes(strings.get(code as usize)));
            codes.push(code);
        }
        self.publish(strings, &known);
        Some(codes)
    }

    fn publish(&self, strings: Strings, known: &DictionaryValues) {
        if strings.ends.len() > known.len() {
            *self.values.write() = Arc::new(DictionaryValues { strings });
            *self.array.lock() = None;
        }
    }

    /// All values as one array; the same array as long as no value is added.
    pub fn array(&self, utf8: bool) -> Result<ArrayRef> {
        let mut cached = self.array.lock();
        if let Some(array) = cached.as_ref() {
            return Ok(array.clone());
        }
        let values = self.values();
        let lengths: Vec<u32> = (0..values.len()).map(|i| values.get(i).len() as u32).collect();
        let buffer = Buffer::from_vec(values.strings.data.clone());
        let array = PageViews::from_lengths(buffer, &lengths, utf8)?.to_array();
        *cached = Some(array.clone());
        Ok(array)
    }
}
