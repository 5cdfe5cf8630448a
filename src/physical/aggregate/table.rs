//! The hash table of groups: key words to group numbers.

use crate::error::{Error, Result};
use crate::types::DataType;
use crate::vector::keys::{EncodedKeys, KeyEncoder};
use crate::vector::{Column, prefetch};
use arrow::array::ArrayRef;

/// Groups seen so far, numbered 0, 1, 2, …
///
/// ```text
/// slots  [ salt | group + 1 ]   open addressing, linear probing; 0 is empty; salt = upper half of the hash
/// keys   [ word … ]             `stride` words per group
/// hashes [ hash ]               per group: growing and partitioning do not hash again
/// ```
pub struct GroupTable {
    encoder: KeyEncoder,
    slots: Vec<u64>,
    keys: Vec<u64>,
    hashes: Vec<u64>,
    short: Option<Box<ShortKeys>>,
}

/// Groups by their few strings: the ids of the strings, side by side in a short number, are the place of the group.
#[derive(Default)]
struct ShortKeys {
    /// Bits of each column's id.
    bits: Vec<u32>,
    /// group + 1, or 0 for a key not met since the bits changed.
    groups: Vec<u32>,
    codes: Vec<u32>,
}

/// Short numbers have at most this many bits.
const SHORT_BITS: u32 = 12;
const INITIAL_SLOTS: usize = 1 << 10;
/// Bytes of learned strings that stay when the groups go.
const WORTH_KEEPING: usize = 1 << 20;

impl GroupTable {
    /// A table for keys of these types.
    pub fn new(types: &[DataType], nullable: &[bool], fixed_hash: Option<u64>) -> Result<Self> {
        Ok(Self {
            encoder: KeyEncoder::new(types, nullable, fixed_hash)?,
            slots: vec![0; INITIAL_SLOTS],
            keys: vec![],
            hashes: vec![],
            // Equal hashes are a test of what is looked up by hash.
            short: fixed_hash.is_none().then(Box::default),
        })
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The hash of each group's key.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Finds or makes the group of each row.
    pub fn groups_of(&mut self, columns: &[Column], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        groups.clear();
        groups.reserve(rows);
        if self.len() + rows >= u32::MAX as usize {
            return Err(Error::resources("more than 4 billion groups"));
        }
        let ids = match self.short {
            Some(_) => self.encoder.ids(columns)?,
            None => None,
        };
        let Some(ids) = ids else {
            let keys = self.encoder.encode(columns, rows)?;
            self.groups_of_keys(&keys, groups);
            return Ok(());
        };
        match self
            .short
            .take()
            .filter(|_| self.encoder.id_bits().sum::<u32>() <= SHORT_BITS)
        {
            Some(mut short) => {
                self.groups_of_short(&mut short, &ids, rows, groups);
                self.short = Some(short);
            }
            // From now on there are too many strings.
            None => self.groups_of_keys(&self.encoder.encode_ids(&ids, rows), groups),
        }
        Ok(())
    }

    /// As [`GroupTable::groups_of`], for keys of which each column is interned, with few different strings.
    fn groups_of_short(&mut self, short: &mut ShortKeys, ids: &[Vec<u32>], rows: usize, groups: &mut Vec<u32>) {
        let bits: Vec<u32> = self.encoder.id_bits().collect();
        if short.bits != bits {
            short.groups = vec![0; 1 << bits.iter().sum::<u32>()];
            short.bits = bits;
        }
        short.codes.clear();
        short.codes.resize(rows, 0);
        let mut shift = 0;
        for (ids, bits) in ids.iter().zip(&short.bits) {
            short
                .codes
                .iter_mut()
                .zip(ids)
                .for_each(|(code, id)| *code |= id << shift);
            shift += bits;
        }
        let mut is_new = false;
        groups.extend(short.codes.iter().map(|&code| {
            let group = short.groups.get(code as usize).copied().unwrap_or(0);
            is_new |= group == 0;
            group.wrapping_sub(1)
        }));
        if !is_new {
            return;
        }
        let mut first_rows = vec![];
        for (row, &code) in short.codes.iter().enumerate() {
            let group = &mut short.groups[code as usize];
            if *group == 0 {
                *group = u32::MAX;
                first_rows.push(row);
            }
        }
        let ids: Vec<Vec<u32>> = ids
            .iter()
            .map(|ids| first_rows.iter().map(|&row| ids[row]).collect())
            .collect();
        let mut found = vec![];
        self.groups_of_keys(&self.encoder.encode_ids(&ids, first_rows.len()), &mut found);
        for (&row, group) in first_rows.iter().zip(found) {
            short.groups[short.codes[row] as usize] = group + 1;
        }
        for (group, &code) in groups.iter_mut().zip(&short.codes) {
            *group = short.groups[code as usize] - 1;
        }
    }

    /// Finds or makes the group of each encoded key.
    fn groups_of_keys(&mut self, keys: &EncodedKeys, groups: &mut Vec<u32>) {
        self.reserve(keys.hashes.len());
        match self.encoder.stride() {
            1 => self.find_or_insert::<1>(keys, groups),
            2 => self.find_or_insert::<2>(keys, groups),
            _ => self.find_or_insert::<0>(keys, groups),
        }
    }

    /// `STRIDE` is the number of words, or 0 for any.
    fn find_or_insert<const STRIDE: usize>(&mut self, keys: &EncodedKeys, groups: &mut Vec<u32>) {
        let stride = if STRIDE == 0 { self.encoder.stride() } else { STRIDE };
        let mask = self.slots.len() - 1;
        let mut previous: Option<(&[u64], u32)> = None;
        for (row, (&hash, key)) in keys.hashes.iter().zip(keys.words.chunks_exact(stride)).enumerate() {
            if let Some(&ahead) = keys.hashes.get(row + 12) {
                prefetch(&self.slots, ahead as usize & mask);
            }
            // Rows of one group often follow each other: files are clustered.
            if let Some((same, group)) = previous
                && same == key
            {
                groups.push(group);
                continue;
            }
            let salt = hash & 0xFFFF_FFFF_0000_0000;
            let mut at = hash as usize & mask;
            let group = loop {
                let slot = self.slots[at];
                if slot == 0 {
                    let group = self.hashes.len() as u32;
                    self.slots[at] = salt | (group as u64 + 1);
                    self.hashes.push(hash);
                    self.keys.extend_from_slice(key);
                    break group;
                }
                if slot & 0xFFFF_FFFF_0000_0000 == salt {
                    let group = (slot as u32 - 1) as usize;
                    if &self.keys[group * stride..(group + 1) * stride] == key {
                        break group as u32;
                    }
                }
                at = (at + 1) & mask;
            };
            previous = Some((key, group));
            groups.push(group);
        }
    }

    /// Makes room for `more` groups, so that the table is at most two thirds full.
    fn reserve(&mut self, more: usize) {
        // Not every row is a new group: growing for the worst case only while the table is small.
        let expected = self.len() + more.min(self.len().max(INITIAL_SLOTS / 2));
        let needed = (expected * 3 / 2).max(self.len() + more + 1).next_power_of_two();
        if needed <= self.slots.len() {
            return;
        }
        let mask = needed - 1;
        let mut slots = vec![0u64; needed];
        for (group, &hash) in self.hashes.iter().enumerate() {
            let mut at = hash as usize & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = hash & 0xFFFF_FFFF_0000_0000 | (group as u64 + 1);
        }
        self.slots = slots;
    }

    /// The key columns, one row per group; strings that repeat much are coded.
    pub fn key_columns(&mut self) -> Result<Vec<ArrayRef>> {
        self.encoder.decode(&self.keys)
    }

    /// Forgets all groups, keeps the memory, and what the encoder learned unless that is much: keys that come once would
    /// be kept for ever.
    pub fn clear(&mut self) -> Result<()> {
        self.slots.fill(0);
        self.keys.clear();
        self.hashes.clear();
        self.forget_short();
        if self.encoder.memory_size() > WORTH_KEEPING {
            self.encoder.forget_values()?;
        }
        Ok(())
    }

    /// Forgets all groups and gives the memory back.
    pub fn reset(&mut self) -> Result<()> {
        self.slots = vec![0; INITIAL_SLOTS];
        self.keys = vec![];
        self.hashes = vec![];
        self.forget_short();
        self.encoder.forget_values()
    }

    fn forget_short(&mut self) {
        if let Some(short) = &mut self.short {
            **short = ShortKeys::default();
        }
    }

    /// Bytes allocated.
    pub fn memory_size(&self) -> usize {
        (self.slots.capacity() + self.hashes.capacity() + self.keys.capacity()) * 8 + self.encoder.memory_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringViewArray, UInt32Array};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    #[test]
    fn few_strings_group_like_many() {
        let new = || GroupTable::new(&[DataType::Utf8View, DataType::Utf8View], &[true, true], None).unwrap();
        let mut table = new();
        let mut last = vec![];
        // Each round has more strings than the one before; in the end too many for short numbers.
        for distinct in [1, 2, 3, 9, 40, 200, 3] {
            let text = |salt: usize| -> Column {
                let text = |i| (i % 11 != 5).then(|| format!("{}", i * salt % distinct));
                Column::Array(Arc::new((0..2000).map(text).collect::<StringViewArray>()))
            };
            let columns = [text(1), text(7)];
            let (mut groups, mut alone) = (vec![], vec![]);
            table.groups_of(&columns, 2000, &mut groups).unwrap();
            new().groups_of(&columns, 2000, &mut alone).unwrap();
            let keys = table.key_columns().unwrap();
            for (column, keys) in columns.iter().zip(&keys) {
                let keys = Column::Array(keys.clone()).to_array().unwrap();
                let taken = arrow::compute::take(&keys, &UInt32Array::from(groups.clone()), None).unwrap();
                assert_eq!(&taken, &column.to_array().unwrap(), "{distinct}");
            }
            let of = |groups: &[u32]| groups.iter().collect::<std::collections::HashSet<_>>().len();
            assert_eq!(of(&groups), of(&alone), "{distinct}");
            last = groups;
        }
        assert!(last.iter().all(|&group| (group as usize) < table.len()));
        assert!(table.short.is_none());
    }

    #[test]
    fn equal_keys_share_a_group_also_when_all_hashes_collide() {
        for fixed in [None, Some(7)] {
            let mut table = GroupTable::new(&[DataType::Int64, DataType::Utf8View], &[true, true], fixed).unwrap();
            let mut groups = vec![];
            for round in 0..3 {
                let numbers: ArrayRef =
                    Arc::new(Int64Array::from_iter((0..3000).map(|i| (i % 7 > 0).then_some(i % 700))));
                let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(
                    (0..3000).map(|i| format!("{}", i % 2)),
                ));
                table
                    .groups_of(
                        &[Column::Array(numbers.clone()), Column::Array(texts)],
                        3000,
                        &mut groups,
                    )
                    .unwrap();
                let keys = table.key_columns().unwrap();
                let keys = keys[0].as_primitive::<Int64Type>();
                for (row, group) in groups.iter().enumerate() {
                    let numbers = numbers.as_primitive::<Int64Type>();
                    assert_eq!(
                        keys.iter().nth(*group as usize).unwrap(),
                        numbers.iter().nth(row).unwrap(),
                        "{round}"
                    );
                }
            }
            assert_eq!(
                table.len(),
                602,
                "600 numbers not divisible by 7, of which each has one parity, and two NULLs"
            );
        }
    }
}
