//! The build side: rows as contiguous columns, and a directory from keys to rows.

use super::JoinSpec;
use crate::error::{Error, Result};
use crate::physical::range_join::RangeIndex;
use crate::runtime::{QueryContext, Reservation};
use crate::vector::keys::{EncodedKeys, KeyEncoder};
use crate::vector::memory::live_bytes;
use crate::vector::{Batch, Column, prefetch};
use arrow::array::ArrayRef;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Build rows, readable by all workers.
///
/// ```text
/// directory  direct: key − min → first row + 1        (single integer key in a small range)
///            hashed: [ 32 tag bits | first row + 1 ]  (a tag bit tells most keys without partner apart)
/// next       row → next row + 1 of the same bucket, 0 at the end; empty when no bucket has two rows
/// ```
pub struct JoinTable {
    /// The build side's columns; row `i` of each is build row `i`.
    pub columns: Vec<ArrayRef>,
    pub rows: usize,
    encoder: KeyEncoder,
    /// `stride` words per row; empty for a direct directory.
    keys: Vec<u64>,
    directory: Directory,
    next: Vec<AtomicU32>,
    /// The rows in the order of a range condition's bound; takes the place of walks along `next`.
    pub ranges: Option<RangeIndex>,
    /// Which rows had a partner; empty unless the join asks for it.
    pub matched: Vec<AtomicBool>,
    reservation: Mutex<Reservation>,
}

enum Directory {
    /// Every row is a candidate for every probe row.
    All,
    Direct {
        min: u64,
        heads: Vec<AtomicU32>,
    },
    Hashed {
        heads: Vec<AtomicU64>,
    },
}

/// Rows whose chains are looked at, and how far.
const CHAIN_SAMPLE: usize = 256;
/// Rows of a key from a row on, on average, that are tested one by one against range conditions.
const SHORT_CHAIN: usize = 4;
/// A direct directory may have this many entries per row, …
const DIRECT_SLACK: u64 = 8;
/// … or this many whatever the rows.
const DIRECT_SMALL: u64 = 1 << 16;

impl JoinTable {
    /// Indexes build rows. `keys` are the key columns, one row per build row.
    pub fn new(
        spec: &JoinSpec,
        columns: Vec<ArrayRef>,
        keys: Vec<Column>,
        rows: usize,
        context: &QueryContext,
        reservation: Reservation,
    ) -> Result<Self> {
        if rows >= u32::MAX as usize {
            return Err(Error::resources(format!(
                "the build side of a join has {rows} rows, more than 4 billion"
            )));
        }
        let mut encoder = KeyEncoder::new(&spec.key_types, &spec.null_safe, context.fixed_hash())?;
        let matched = if spec.output.emits_build_rows() {
            (0..rows).map(|_| AtomicBool::new(false)).collect()
        } else {
            vec![]
        };
        if spec.key_types.is_empty() {
            let mut table = Self {
                columns,
                rows,
                encoder,
                keys: vec![],
                directory: Directory::All,
                next: vec![],
                ranges: None,
                matched,
                reservation: Mutex::new(reservation),
            };
            table.index_ranges(spec, None, context)?;
            return Ok(table);
        }
        let mut encoded = encoder.encode(&keys, rows)?;
        let excluded = excluded_rows(&encoded, &keys, &spec.null_safe)?;
        let next: Vec<AtomicU32> = (0..rows).map(|_| AtomicU32::new(0)).collect();
        let directory = match direct_range(spec, &encoded, &excluded, context) {
            Some((min, range)) => Directory::Direct {
                min,
                heads: (0..range).map(|_| AtomicU32::new(0)).collect(),
            },
            None => {
                let buckets = rows.next_power_of_two().max(64);
                Directory::Hashed {
                    heads: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
                }
            }
        };
        let mut table = Self {
            columns,
            rows,
            encoder,
            keys: encoded.words,
            directory,
            next,
            ranges: None,
            matched,
            reservation: Mutex::new(reservation),
        };
        let tasks = rows.div_ceil(INSERT_CHUNK);
        let chained = AtomicBool::new(false);
        context.parallel(tasks, &|task| {
            let range = task * INSERT_CHUNK..((task + 1) * INSERT_CHUNK).min(rows);
            if table.insert(range, &encoded.hashes, &excluded) {
                chained.store(true, Relaxed);
            }
            Ok(())
        })?;
        if spec.ranges.is_some() && table.has_long_chains(&excluded) && table.has_room_for_order(spec)? {
            let mut heads = vec![];
            encoded.words = table.keys.clone();
            table.first_candidates(&encoded, &excluded, &mut heads);
            table.index_ranges(spec, Some(&heads), context)?;
        }
        if let Directory::Direct { .. } = table.directory {
            table.keys = vec![];
        }
        if !chained.into_inner() {
            table.next = vec![];
        }
        let bytes = table.memory_size();
        table.reservation.lock().resize(bytes)?;
        Ok(table)
    }

    /// Puts the rows in the order of the range conditions, if the join has some; `heads` are the rows' first candidates.
    fn index_ranges(&mut self, spec: &JoinSpec, heads: Option<&[u32]>, context: &QueryContext) -> Result<()> {
        let Some(ranges) = spec.ranges.as_ref().filter(|_| self.rows > 0) else {
            return Ok(());
        };
        let bounds = ranges
            .bounds
            .evaluate(&Batch::from_arrays(self.columns.clone(), self.rows))?;
        self.ranges = Some(RangeIndex::new(ranges, &bounds, heads, &context.cancel)?);
        Ok(())
    }

    /// Asks for the memory of an order of the rows, if the join has range conditions. Without it chains are walked.
    fn has_room_for_order(&self, spec: &JoinSpec) -> Result<bool> {
        let Some(ranges) = &spec.ranges else {
            return Ok(false);
        };
        let bytes = ranges.index_bytes(&Batch::from_arrays(self.columns.clone(), self.rows))?;
        Ok(self.reservation.lock().try_grow(bytes))
    }

    /// Whether keys have so many rows that an order among them pays, by a sample.
    fn has_long_chains(&self, excluded: &[bool]) -> bool {
        let stride = self.encoder.stride();
        let rows = (0..self.rows).step_by(self.rows / CHAIN_SAMPLE + 1);
        let rows = rows.filter(|&row| excluded.get(row) != Some(&true));
        let (mut sampled, mut walked) = (0, 0);
        for row in rows {
            let key = &self.keys[row * stride..(row + 1) * stride];
            sampled += 1;
            let mut entry = row as u32 + 1;
            let mut length = 0;
            while entry != 0 && length < CHAIN_SAMPLE {
                length += 1;
                entry = self.next_candidate(entry, key);
            }
            walked += length;
        }
        walked > sampled * SHORT_CHAIN
    }

    fn memory_size(&self) -> usize {
        let rows: usize = self.columns.iter().map(|c| live_bytes(c.as_ref())).sum();
        let directory = match &self.directory {
            Directory::All => 0,
            Directory::Direct { heads, .. } => heads.len() * 4,
            Directory::Hashed { heads } => heads.len() * 8,
        };
        let ranges = self.ranges.as_ref().map_or(0, RangeIndex::memory_size);
        rows + ranges
            + self.keys.len() * 8
            + self.next.len() * 4
            + self.matched.len()
            + directory
            + self.encoder.memory_size()
    }

    /// Whether some row came to a bucket that had one.
    fn insert(&self, rows: std::ops::Range<usize>, hashes: &[u64], excluded: &[bool]) -> bool {
        let mut chained = false;
        for row in rows {
            if excluded.get(row) == Some(&true) {
                continue;
            }
            let entry = row as u32 + 1;
            let before = match &self.directory {
                Directory::All => 0,
                Directory::Direct { min, heads } => {
                    heads[self.keys[row].wrapping_sub(*min) as usize].swap(entry, Relaxed)
                }
                Directory::Hashed { heads } => {
                    let hash = hashes[row];
                    let head = &heads[hash as usize & (heads.len() - 1)];
                    let with = |old: u64| (old & TAGS) | tag(hash) | entry as u64;
                    let mut old = head.load(Relaxed);
                    while let Err(now) = head.compare_exchange_weak(old, with(old), Relaxed, Relaxed) {
                        old = now;
                    }
                    old as u32
                }
            };
            self.next[row].store(before, Relaxed);
            chained |= before != 0;
        }
        chained
    }

    /// Whether a row has one candidate at most.
    pub fn is_unique(&self) -> bool {
        self.next.is_empty() && !self.is_cross()
    }

    /// Whether all pairs are candidates.
    pub fn is_cross(&self) -> bool {
        matches!(self.directory, Directory::All)
    }

    /// The probe side's keys in the table's coding.
    pub fn encode(&self, columns: &[Column], rows: usize) -> Result<EncodedKeys> {
        let hashed = matches!(self.directory, Directory::Hashed { .. });
        self.encoder.encode_known(columns, rows, hashed)
    }

    /// The first candidate of each probe row: row + 1, or 0 for none.
    pub fn first_candidates(&self, keys: &EncodedKeys, excluded: &[bool], out: &mut Vec<u32>) {
        out.clear();
        match &self.directory {
            Directory::All => {}
            Directory::Direct { min, heads } => {
                let at = |word: u64| word.wrapping_sub(*min) as usize;
                out.extend(keys.words.iter().enumerate().map(|(i, &word)| {
                    if let Some(&ahead) = keys.words.get(i + 16) {
                        prefetch(heads, at(ahead));
                    }
                    heads.get(at(word)).map_or(0, |head| head.load(Relaxed))
                }));
            }
            Directory::Hashed { heads } => {
                let mask = heads.len() - 1;
                out.extend(keys.hashes.iter().enumerate().map(|(i, &hash)| {
                    if let Some(&ahead) = keys.hashes.get(i + 16) {
                        prefetch(heads, ahead as usize & mask);
                    }
                    let head = heads[hash as usize & mask].load(Relaxed);
                    if head & tag(hash) != 0 { head as u32 } else { 0 }
                }));
                let stride = self.encoder.stride();
                for i in 0..out.len() {
                    if let Some(&ahead) = out.get(i + 12)
                        && ahead != 0
                    {
                        prefetch(&self.keys, (ahead as usize - 1) * stride);
                    }
                    out[i] = self.settle(out[i], &keys.words[i * stride..(i + 1) * stride]);
                }
            }
        }
        for (head, _) in out.iter_mut().zip(excluded).filter(|(_, excluded)| **excluded) {
            *head = 0;
        }
    }

    /// The next candidate after `entry` (row + 1) with the same key; 0 for none.
    #[inline]
    pub fn next_candidate(&self, entry: u32, key: &[u64]) -> u32 {
        if self.next.is_empty() {
            return 0;
        }
        let next = self.next[entry as usize - 1].load(Relaxed);
        match self.directory {
            Directory::Hashed { .. } => self.settle(next, key),
            _ => next,
        }
    }

    /// Follows the bucket from `entry` to the first row whose key is `key`.
    #[inline]
    fn settle(&self, mut entry: u32, key: &[u64]) -> u32 {
        let stride = key.len();
        while entry != 0 {
            let row = entry as usize - 1;
            if &self.keys[row * stride..(row + 1) * stride] == key {
                return entry;
            }
            entry = self.next.get(row).map_or(0, |next| next.load(Relaxed));
        }
        0
    }

    pub fn stride(&self) -> usize {
        self.encoder.stride()
    }
}

/// Rows that a worker inserts at a time.
const INSERT_CHUNK: usize = 1 << 16;
const TAGS: u64 = 0xFFFF_FFFF_0000_0000;

/// One of 32 tag bits, by hash bits that do not choose the bucket.
#[inline(always)]
fn tag(hash: u64) -> u64 {
    1 << (32 + (hash >> 59))
}

/// Rows that never match: NULL in a key that is not null-safe. Empty when there is none.
pub fn excluded_rows(keys: &EncodedKeys, columns: &[Column], null_safe: &[bool]) -> Result<Vec<bool>> {
    if !null_safe.contains(&true) {
        return Ok(keys.null_rows.clone());
    }
    let mut excluded = vec![];
    for (column, _) in columns.iter().zip(null_safe).filter(|(_, safe)| !**safe) {
        let array = column.to_array()?;
        if let Some(nulls) = array.logical_nulls().filter(|n| n.null_count() > 0) {
            excluded.resize(column.len(), false);
            excluded
                .iter_mut()
                .zip(nulls.iter())
                .for_each(|(e, valid)| *e |= !valid);
        }
    }
    Ok(excluded)
}

/// Smallest key and range when the keys are one integer column in a range worth indexing directly.
fn direct_range(
    spec: &JoinSpec,
    keys: &EncodedKeys,
    excluded: &[bool],
    context: &QueryContext,
) -> Option<(u64, usize)> {
    let integer = |t: &DataType| {
        matches!(
            t,
            DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Decimal64(..)
        )
    };
    let [t] = spec.key_types.as_slice() else { return None };
    if !integer(t) || spec.null_safe[0] || context.fixed_hash().is_some() {
        return None;
    }
    // Words hold 32-bit values without sign; a signed order that wraps only makes the range look large.
    let present = || {
        keys.words
            .iter()
            .enumerate()
            .filter(|(i, _)| excluded.get(*i) != Some(&true))
            .map(|(_, w)| *w as i64)
    };
    let min = present().min()?;
    let max = present().max()?;
    let range = (max as i128 - min as i128 + 1) as u128;
    let rows = keys.hashes.len() as u64;
    (range <= (rows * DIRECT_SLACK).max(DIRECT_SMALL) as u128).then_some((min as u64, range as usize))
}

use crate::types::DataType;
