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
}

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
        let keys = self.encoder.encode(columns, rows)?;
        groups.clear();
        groups.reserve(rows);
        if self.len() + rows >= u32::MAX as usize {
            return Err(Error::resources("more than 4 billion groups"));
        }
        self.reserve(rows);
        match self.encoder.stride() {
            1 => self.find_or_insert::<1>(&keys, groups),
            2 => self.find_or_insert::<2>(&keys, groups),
            _ => self.find_or_insert::<0>(&keys, groups),
        }
        Ok(())
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

    /// The key columns, one row per group.
    pub fn key_columns(&self) -> Result<Vec<ArrayRef>> {
        self.encoder.decode(&self.keys)
    }

    /// Forgets all groups, keeps the memory, and what the encoder learned unless that is much: keys that come once would
    /// be kept for ever.
    pub fn clear(&mut self) -> Result<()> {
        self.slots.fill(0);
        self.keys.clear();
        self.hashes.clear();
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
        self.encoder.forget_values()
    }

    /// Bytes allocated.
    pub fn memory_size(&self) -> usize {
        (self.slots.capacity() + self.hashes.capacity() + self.keys.capacity()) * 8 + self.encoder.memory_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

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
