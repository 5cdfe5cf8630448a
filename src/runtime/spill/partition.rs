//! Rows cut into partitions on their way to disk.

use super::{SpillFile, SpillManager, SpillRun, SpillWriter};
use crate::error::{Error, Result};
use crate::vector::block::{Appender, Layout};
use crate::vector::hash::hash_word;
use crate::vector::{Batch, Column};
use std::sync::Arc;

/// Partitions that a spilling operator cuts its rows into, by [`partition_of`].
pub const PARTITIONS: usize = 64;
/// Levels of partitions within partitions; keys that are still together have the same hash.
pub const LEVELS: u32 = 8;
/// A partition's open block is written when it has grown to this, …
const MOST_BLOCK_BYTES: usize = 256 << 10;
/// … or to this when memory is very short.
const LEAST_BLOCK_BYTES: usize = 512;

/// The partition of a key with this hash. Each level mixes the hash anew, so that one level's partition can be cut again by
/// the next.
#[inline]
pub fn partition_of(hash: u64, level: u32) -> u32 {
    // The golden ratio's bits, as in Weyl sequences: neighbouring seeds would give related partitions.
    let seed = u64::from(level + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (hash_word(hash.wrapping_add(seed)) >> (u64::BITS - PARTITIONS.trailing_zeros())) as u32
}

/// Bytes at which a partition's open block is written, so that the blocks of all partitions together take about `memory`.
pub fn block_bytes(memory: usize) -> usize {
    // Vectors double while they grow: a block holds up to twice its rows.
    (memory / PARTITIONS / 2).clamp(LEAST_BLOCK_BYTES, MOST_BLOCK_BYTES)
}

/// Writes rows to one run per partition, all in one file. One per worker.
#[derive(Debug)]
pub struct PartitionWriter {
    layout: Arc<Layout>,
    appender: Appender,
    writers: Vec<SpillWriter>,
    /// Scratch: positions of a batch's rows in the order of partitions.
    order: Vec<u32>,
    /// Scratch for the bytes of a block, of whichever partition.
    buffer: Vec<u8>,
}

impl PartitionWriter {
    /// A writer of `partitions` runs into a new file; a block is written when it has `block_bytes`.
    pub fn new(
        manager: &Arc<SpillManager>,
        layout: &Arc<Layout>,
        partitions: usize,
        block_bytes: usize,
    ) -> Result<Self> {
        Self::into_file(manager.file()?, layout, partitions, block_bytes)
    }

    /// As [`PartitionWriter::new`], at the end of a file that others write to as well.
    pub fn into_file(
        file: Arc<SpillFile>,
        layout: &Arc<Layout>,
        partitions: usize,
        block_bytes: usize,
    ) -> Result<Self> {
        let writer = |_| SpillWriter::with_block_bytes(file.clone(), layout.clone(), block_bytes);
        Ok(Self {
            layout: layout.clone(),
            appender: Appender::new(layout.clone()),
            writers: (0..partitions).map(writer).collect::<Result<_>>()?,
            order: vec![],
            buffer: vec![],
        })
    }

    /// Adds the batch's rows; `partitions[i]` is that of its `i`-th alive row.
    pub fn append(&mut self, batch: &Batch, partitions: &[u32]) -> Result<()> {
        let ends = self.sort(partitions);
        let columns: Vec<Column> = (0..batch.width())
            .map(|i| match batch.column(i)? {
                constant if constant.is_constant() => Ok(constant),
                column => column.gather(&self.order),
            })
            .collect::<Result<_>>()?;
        let prepared = self.appender.prepare(&columns, batch.len())?;
        let mut start = 0;
        for (writer, end) in self.writers.iter_mut().zip(ends) {
            writer.append_prepared(&prepared, start..end, &mut self.buffer)?;
            start = end;
        }
        Ok(())
    }

    /// Orders row positions by partition; gives where each partition ends.
    fn sort(&mut self, partitions: &[u32]) -> Vec<usize> {
        let mut ends = vec![0usize; self.writers.len()];
        partitions.iter().for_each(|&p| ends[p as usize] += 1);
        let mut total = 0;
        for end in &mut ends {
            total += std::mem::replace(end, total);
        }
        self.order.clear();
        self.order.resize(partitions.len(), 0);
        // Each entry begins as its partition's start and is its end when all rows are placed.
        for (row, &partition) in partitions.iter().enumerate() {
            let at = &mut ends[partition as usize];
            self.order[*at] = row as u32;
            *at += 1;
        }
        ends
    }

    /// Bytes in memory.
    pub fn memory_size(&self) -> usize {
        let writers: usize = self.writers.iter().map(SpillWriter::memory_size).sum();
        writers + self.order.capacity() * 4 + self.buffer.capacity()
    }

    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Writes what is left; one run per partition.
    pub fn finish(mut self) -> Result<Vec<SpillRun>> {
        let runs: Vec<SpillRun> = self
            .writers
            .into_iter()
            .map(|writer| writer.finish_through(&mut self.buffer))
            .collect::<Result<_>>()?;
        if runs.is_empty() {
            return Err(Error::internal("a spill without partitions"));
        }
        Ok(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::runtime::MemoryArbiter;
    use crate::types::DataType;
    use arrow::array::{ArrayRef, AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;

    #[test]
    fn every_row_lands_in_its_partition_in_order() {
        let manager = SpillManager::new(&Config::default(), Arc::default(), MemoryArbiter::new(1 << 30));
        let layout = Layout::new(&[DataType::Int64, DataType::Utf8View]).unwrap();
        let mut writer = PartitionWriter::new(&manager, &layout, 8, 1 << 10).unwrap();
        for round in 0..20i64 {
            let numbers: Vec<i64> = (round * 100..round * 100 + 100).collect();
            let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(
                numbers.iter().map(|n| format!("text number {n}")),
            ));
            let partitions: Vec<u32> = numbers.iter().map(|n| (n * 7 % 5) as u32).collect();
            let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
            writer
                .append(&Batch::from_arrays(vec![numbers, texts], 100), &partitions)
                .unwrap();
        }
        let runs = writer.finish().unwrap();
        let mut rows = 0;
        for (partition, run) in runs.iter().enumerate() {
            let mut reader = run.reader();
            let mut last = -1;
            while let Some(batch) = reader.next_batch().unwrap() {
                let numbers = batch.column(0).unwrap().to_array().unwrap();
                let texts = batch.column(1).unwrap().to_array().unwrap();
                for (n, text) in numbers
                    .as_primitive::<Int64Type>()
                    .values()
                    .iter()
                    .zip(texts.as_string_view())
                {
                    assert_eq!(n * 7 % 5, partition as i64);
                    assert!(*n > last && text == Some(format!("text number {n}").as_str()));
                    last = *n;
                    rows += 1;
                }
            }
        }
        assert_eq!(rows, 2000);
    }

    #[test]
    fn levels_cut_differently() {
        let hashes: Vec<u64> = (0..10_000u64).map(hash_word).collect();
        let first: Vec<u64> = hashes.iter().copied().filter(|&h| partition_of(h, 0) == 5).collect();
        let again: std::collections::HashSet<u32> = first.iter().map(|&h| partition_of(h, 1)).collect();
        assert!(again.len() > 50, "{}", again.len());
    }
}
