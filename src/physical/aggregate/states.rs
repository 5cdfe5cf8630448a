//! Partial states that no table holds: in memory or on disk, cut by the hash of their groups.

use super::AggregateSpec;
use super::local::{States, held_bytes};
use crate::error::{Error, Result};
use crate::runtime::{LEVELS, PARTITIONS, PartitionWriter, partition_of};
use crate::runtime::{Operator, OperatorMetrics, QueryContext, Reservation, Shrink, SpillRun};
use crate::types::DataType;
use crate::vector::block::Layout;
use crate::vector::memory::compact;
use crate::vector::row_hash::hash_rows;
use crate::vector::{Batch, Column};
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::row::{RowConverter, SortField};
use foldhash::fast::FixedState;
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// States go to disk in pieces of this many rows at least, …
const LEAST_PIECE: usize = 16;
/// … and at most, when there is memory for them: each part gets many rows of a piece at once then.
const MOST_PIECE: usize = 1 << 16;
/// Bytes of a piece, also where there is little memory.
const PIECE_BYTES: usize = 128 << 10;
/// With at least this much memory, partitions on disk are cut into four at once.
const FINE: usize = 32 << 20;
/// Levels at which hashes no longer tell groups apart and keys are hashed in another way.
pub(super) const REHASHED: u32 = LEVELS;
/// No cut is finer than that of the last level.
pub(super) const LAST: u32 = 2 * LEVELS;

/// Partial states of groups of one partition.
pub(super) struct Chunk {
    pub states: States,
    reservation: Reservation,
}

/// Partial states given away by the workers, by partition of the first level.
pub(super) struct Store {
    pub spec: Arc<AggregateSpec>,
    pub operator: Arc<Operator>,
    pub context: QueryContext,
    pub metrics: Arc<OperatorMetrics>,
    /// Runs on disk per partition: 1 or 4.
    cuts: usize,
    layout: Mutex<Option<Arc<Layout>>>,
    partitions: Vec<Mutex<Partition>>,
    /// Partitions from this one on went to disk before: what comes of them is not kept in memory, from where it would have
    /// to go to disk once more.
    on_disk_from: AtomicUsize,
    /// What was written on behalf of other operators while rows still came, or why that failed.
    on_behalf: Mutex<Result<Option<StateWriter>>>,
    /// All rows have come: what is written from now on can be read at once.
    sealed: AtomicBool,
    /// The most memory that a group took on average in a table given away.
    group_bytes: AtomicUsize,
    /// Merges share it; one that needs the memory of the others has it alone.
    pub turns: RwLock<()>,
}

/// The states of a part of the hash space.
#[derive(Default)]
pub(super) struct Partition {
    pub chunks: Vec<Chunk>,
    /// Per cut.
    pub runs: Vec<Vec<SpillRun>>,
}

impl Partition {
    fn bytes(&self) -> usize {
        self.chunks.iter().map(|c| c.reservation.bytes()).sum()
    }
}

impl Store {
    pub fn new(spec: &Arc<AggregateSpec>, metrics: &Arc<OperatorMetrics>, context: &QueryContext) -> Arc<Self> {
        let store = Arc::new(Self {
            spec: spec.clone(),
            operator: context.memory.operator("Aggregate"),
            context: context.clone(),
            metrics: metrics.clone(),
            cuts: if context.memory.limit() < FINE { 1 } else { 4 },
            layout: Mutex::default(),
            partitions: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            on_disk_from: AtomicUsize::new(PARTITIONS),
            on_behalf: Mutex::new(Ok(None)),
            sealed: AtomicBool::new(false),
            group_bytes: AtomicUsize::new(0),
            turns: RwLock::new(()),
        });
        let weak: std::sync::Weak<Self> = Arc::downgrade(&store);
        context.memory.register(weak);
        store
    }

    /// A writer for one more cut of states that were cut `level` times.
    pub fn writer(&self, level: u32) -> Result<StateWriter> {
        let mut layout = self.layout.lock();
        let layout = match layout.as_ref() {
            Some(layout) => layout.clone(),
            None => layout.insert(Layout::new(&self.spec.state_columns())?).clone(),
        };
        let parts = if level == 0 { PARTITIONS * self.cuts } else { PARTITIONS };
        let memory = super::local::share(&self.operator, self.context.threads()) / 4;
        let block_bytes = (memory / parts / 2).clamp(2 << 10, 256 << 10);
        Ok(StateWriter {
            writer: PartitionWriter::new(&self.context.spill, &layout, parts, block_bytes)?,
            keys: self.spec.group_types.clone(),
            parts,
            level,
            piece_bytes: (memory / 8).max(PIECE_BYTES),
            reservation: self.operator.reservation(),
            metrics: self.metrics.clone(),
        })
    }

    /// Notes how much memory groups take.
    pub fn note_size(&self, bytes: usize, groups: usize) {
        self.group_bytes.fetch_max(bytes / groups.max(1), Relaxed);
    }

    /// The memory that states of at most `groups` groups will need in a table.
    pub fn estimate(&self, groups: u64) -> usize {
        usize::try_from(groups)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.group_bytes.load(Relaxed).max(16))
    }

    /// Bytes of states in memory, without those of partitions that are in use.
    pub fn bytes(&self) -> usize {
        let bytes = |p: &Mutex<Partition>| p.try_lock().map_or(0, |p| p.bytes());
        self.partitions.iter().map(bytes).sum()
    }

    /// Keeps states in memory, partition after partition, as long as memory allows it; gives back how many partitions
    /// were kept. `order` are the rows by partition, of which partition `i` ends at `ends[i]`.
    pub fn keep(&self, states: &[ArrayRef], order: &[u32], ends: &[usize]) -> Result<usize> {
        let mut start = 0;
        for (i, (&end, partition)) in ends.iter().zip(&self.partitions).enumerate() {
            if i >= self.on_disk_from.load(Relaxed) {
                return Ok(i);
            }
            if end > start {
                let rows = UInt32Array::from(order[start..end].to_vec());
                let states: States = states
                    .iter()
                    .map(|a| compact(&plain_if_few(take(a, &rows, None)?)?))
                    .collect::<Result<_>>()?;
                let bytes = states.iter().map(|a| a.get_array_memory_size()).sum();
                let mut reservation = self.operator.reservation();
                if !reservation.try_grow_fairly(bytes)? {
                    return Ok(i);
                }
                partition.lock().chunks.push(Chunk { states, reservation });
            }
            start = end;
        }
        Ok(ends.len())
    }

    /// Writes about `bytes` of what is in memory, last partitions first; gives back how many bytes that freed.
    pub fn spill(&self, bytes: usize, writer: &mut StateWriter) -> Result<usize> {
        let (freed, written) = self.write_chunks(bytes, writer)?;
        forget_chunks(written);
        Ok(freed)
    }

    /// Lets the chunks that were written be read from disk.
    fn replace_by_runs(&self, (freed, mut written): (usize, Vec<Locked>), writer: StateWriter) -> Result<usize> {
        let runs = writer.finish()?;
        let cuts: Vec<&[SpillRun]> = runs.chunks(self.cuts).collect();
        for (i, partition) in &mut written {
            add_to(partition, cuts.get(*i).copied().unwrap_or_default());
        }
        forget_chunks(written);
        Ok(freed)
    }

    /// Writes chunks of partitions that nobody uses just now. They must be dropped before the partitions are unlocked.
    fn write_chunks(&self, bytes: usize, writer: &mut StateWriter) -> Result<(usize, Vec<Locked<'_>>)> {
        let (mut freed, mut written) = (0, vec![]);
        for (i, partition) in self.partitions.iter().enumerate().rev() {
            if freed >= bytes {
                break;
            }
            let Some(partition) = partition.try_lock().filter(|p| !p.chunks.is_empty()) else {
                continue;
            };
            for chunk in &partition.chunks {
                let keys = &chunk.states[..self.spec.group_types.len()];
                let rows = keys.first().map_or(0, |k| k.len());
                let keys: Vec<Column> = keys.iter().cloned().map(Column::Array).collect();
                let hashes = hash_rows(&keys, rows, self.context.fixed_hash())?;
                writer.append(&chunk.states, &hashes, None)?;
            }
            self.on_disk_from.fetch_min(i, Relaxed);
            freed += partition.bytes();
            written.push((i, partition));
        }
        Ok((freed, written))
    }

    /// Takes over what a worker wrote.
    pub fn add_runs(&self, writer: StateWriter) -> Result<()> {
        let runs = writer.finish()?;
        for (partition, runs) in self.partitions.iter().zip(runs.chunks(self.cuts)) {
            add_to(&mut partition.lock(), runs);
        }
        Ok(())
    }

    /// All rows have come.
    pub fn seal(&self) -> Result<()> {
        let mut on_behalf = self.on_behalf.lock();
        self.sealed.store(true, Relaxed);
        match std::mem::replace(&mut *on_behalf, Ok(None))? {
            Some(writer) => self.add_runs(writer),
            None => Ok(()),
        }
    }

    /// Takes the states of a partition.
    pub fn take(&self, partition: usize) -> Partition {
        self.partitions
            .get(partition)
            .map(|p| std::mem::take(&mut *p.lock()))
            .unwrap_or_default()
    }
}

/// A dictionary that has more values than there are rows is not worth keeping for them.
fn plain_if_few(array: ArrayRef) -> Result<ArrayRef> {
    match array.as_any_dictionary_opt() {
        Some(coded) if coded.values().len() > array.len() => Column::Array(array).to_array(),
        _ => Ok(array),
    }
}

type Locked<'a> = (usize, MutexGuard<'a, Partition>);

fn add_to(partition: &mut Partition, runs: &[SpillRun]) {
    partition.runs.resize_with(runs.len(), Vec::new);
    for (all, run) in partition.runs.iter_mut().zip(runs) {
        if run.rows() > 0 {
            all.push(run.clone());
        }
    }
}

impl Shrink for Store {
    fn shrink(&self, bytes: usize) -> Result<usize> {
        // Who writes just now for somebody else frees memory anyhow.
        let Some(mut on_behalf) = self.on_behalf.try_lock() else {
            return Ok(0);
        };
        let all = self.bytes();
        let Ok(open) = on_behalf.as_mut() else {
            return Ok(0);
        };
        if all == 0 {
            return Ok(0);
        }
        let mut writer = match open.take() {
            Some(writer) => writer,
            None => self.writer(0)?,
        };
        // Not piece by piece: every call may need a file.
        let result = self.write_chunks(bytes.max(all / 4), &mut writer);
        if self.sealed.load(Relaxed) {
            return result.and_then(|written| self.replace_by_runs(written, writer));
        }
        // Rows may have been written without being forgotten: after an error this aggregation cannot go on.
        let (freed, written) = result.inspect_err(|e| *on_behalf = Err(e.clone()))?;
        forget_chunks(written);
        *on_behalf = Ok(Some(writer));
        Ok(freed)
    }
}

fn forget_chunks(written: Vec<Locked>) {
    written.into_iter().for_each(|(_, mut p)| p.chunks.clear());
}

impl AggregateSpec {
    /// The types of [`States`].
    fn state_columns(&self) -> Vec<DataType> {
        let states = self.aggregates.iter().flat_map(|a| &a.state);
        self.group_types.iter().chain(states).cloned().collect()
    }
}

/// Writes states to disk, cut by hash.
pub(super) struct StateWriter {
    writer: PartitionWriter,
    keys: Vec<DataType>,
    parts: usize,
    level: u32,
    /// Bytes that are written at a time, about.
    piece_bytes: usize,
    reservation: Reservation,
    metrics: Arc<OperatorMetrics>,
}

impl StateWriter {
    /// Adds states of groups with these hashes: all, or those in `rows`.
    pub fn append(&mut self, states: &[ArrayRef], hashes: &[u64], rows: Option<&[u32]>) -> Result<()> {
        let bytes = held_bytes(states);
        let row_bytes = bytes / hashes.len().max(1) + 1;
        let piece = (self.piece_bytes / row_bytes).clamp(LEAST_PIECE, MOST_PIECE);
        match rows {
            None => {
                for start in (0..hashes.len()).step_by(piece) {
                    let len = piece.min(hashes.len() - start);
                    let piece = states.iter().map(|a| a.slice(start, len)).collect();
                    self.append_piece(piece, &hashes[start..start + len])?;
                }
            }
            Some(rows) => {
                for rows in rows.chunks(piece) {
                    let hashes: Vec<u64> = rows.iter().map(|&row| hashes[row as usize]).collect();
                    let rows = UInt32Array::from(rows.to_vec());
                    let piece = states
                        .iter()
                        .map(|a| Ok(take(a, &rows, None)?))
                        .collect::<Result<_>>()?;
                    self.append_piece(piece, &hashes)?;
                }
            }
        }
        Ok(())
    }

    fn append_piece(&mut self, states: States, hashes: &[u64]) -> Result<()> {
        let parts = match self.level {
            0 if self.parts > PARTITIONS => hashes.iter().map(|&h| fine_partition_of(h)).collect(),
            level if level < REHASHED => hashes.iter().map(|&h| partition_of(h, level)).collect(),
            level => self.rehash(&states, level)?,
        };
        self.writer.append(&Batch::from_arrays(states, hashes.len()), &parts)?;
        // The open blocks take the place of rows that just left memory; there is nothing to be done when that is refused.
        let missing = self.writer.memory_size().saturating_sub(self.reservation.bytes());
        if missing > 0 {
            self.reservation.try_grow(missing);
        }
        Ok(())
    }

    /// Partitions by a hash of the keys' bytes: for groups whose hashes are equal.
    fn rehash(&self, states: &[ArrayRef], level: u32) -> Result<Vec<u32>> {
        let fields = self.keys.iter().cloned().map(SortField::new).collect();
        let keys = states.iter().take(self.keys.len());
        let keys = keys.map(|key| Column::Array(key.clone()).to_array());
        let rows = RowConverter::new(fields)?.convert_columns(&keys.collect::<Result<Vec<_>>>()?)?;
        let hasher = FixedState::with_seed(u64::from(level));
        Ok(rows
            .iter()
            .map(|row| (hasher.hash_one(row.data()) % self.parts as u64) as u32)
            .collect())
    }

    /// Writes what is left; one run per part.
    pub fn finish(self) -> Result<Vec<SpillRun>> {
        let runs = self.writer.finish()?;
        if runs.len() != self.parts {
            return Err(Error::internal("a spill of another number of partitions"));
        }
        let filled = runs.iter().filter(|run| run.rows() > 0);
        filled.for_each(|run| self.metrics.add_spilled_run(run.bytes()));
        self.metrics.note_passes(u64::from(self.level) + 1);
        Ok(runs)
    }
}

/// The partition of the first level, cut into four.
fn fine_partition_of(hash: u64) -> u32 {
    partition_of(hash, 0) * 4 + partition_of(hash, LAST) * 4 / PARTITIONS as u32
}

/// The groups ordered by partition of the first level, and where each partition ends.
pub(super) fn partition_order(hashes: &[u64]) -> (Vec<u32>, Vec<usize>) {
    let mut counts = [0usize; PARTITIONS];
    hashes.iter().for_each(|&h| counts[partition_of(h, 0) as usize] += 1);
    let mut ends = Vec::with_capacity(PARTITIONS);
    let mut starts = [0usize; PARTITIONS];
    let mut total = 0;
    for (start, count) in starts.iter_mut().zip(counts) {
        *start = total;
        total += count;
        ends.push(total);
    }
    let mut order = vec![0u32; hashes.len()];
    for (group, &hash) in hashes.iter().enumerate() {
        let at = &mut starts[partition_of(hash, 0) as usize];
        order[*at] = group as u32;
        *at += 1;
    }
    (order, ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::hash::hash_word;
    use arrow::array::{DictionaryArray, Int32Array, StringViewArray};

    #[test]
    fn few_coded_rows_do_not_keep_all_values() {
        let coded = |codes: Vec<Option<i32>>| -> ArrayRef {
            let values = Arc::new(StringViewArray::from(vec!["a", "b", "c"]));
            Arc::new(DictionaryArray::new(Int32Array::from(codes), values))
        };
        let few = plain_if_few(coded(vec![Some(2), None])).unwrap();
        assert_eq!(few.as_string_view(), &StringViewArray::from(vec![Some("c"), None]));
        let many = coded(vec![Some(2), None, Some(0), Some(2)]);
        assert_eq!(&plain_if_few(many.clone()).unwrap(), &many);
    }

    #[test]
    fn fine_partitions_lie_inside_partitions() {
        let mut rows = vec![0; 4 * PARTITIONS];
        for hash in (0..100_000u64).map(hash_word) {
            assert_eq!(fine_partition_of(hash) / 4, partition_of(hash, 0));
            rows[fine_partition_of(hash) as usize] += 1;
        }
        assert!(rows.iter().all(|&n| (200..700).contains(&n)), "{rows:?}");
    }
}
