//! Build rows before they are a table: in memory as batches, on disk by partition.

use super::{Join, JoinSpec, JoinTable};
use crate::error::Result;
use crate::runtime::{PARTITIONS, PartitionWriter, QueryContext, Reservation, block_bytes};
use crate::vector::keys::key_bytes;
use crate::vector::memory::{self, HeldBytes, detach};
use crate::vector::{Batch, Column};
use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::concat;
use parking_lot::Mutex;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes per row of `next`, the heads and whether a row had a partner, beside the row and its key.
const DIRECTORY_BYTES: usize = 4 + 16 + 8 + 1;
/// A spilling worker may take this part of the memory for blocks that are not yet written.
const WRITER_PART: usize = 16;

/// Build rows of one worker, later of all of them.
pub(super) struct BuildRows {
    context: QueryContext,
    batches: Vec<Batch>,
    rows: usize,
    bytes: usize,
    held: HeldBytes,
    /// The batches hold nothing but their own rows.
    compact: bool,
    reservation: Reservation,
    /// The partitions below this are in memory; follows [`Join::resident`].
    resident: u32,
    writer: Option<(PartitionWriter, Reservation)>,
}

impl BuildRows {
    pub fn new(join: &Join, context: &QueryContext) -> Self {
        Self {
            context: context.clone(),
            batches: vec![],
            rows: 0,
            bytes: 0,
            held: HeldBytes::default(),
            compact: true,
            reservation: join.operator.reservation(),
            resident: join.resident(),
            writer: None,
        }
    }

    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    pub fn reserved(&self) -> usize {
        self.reservation.bytes()
    }

    /// Keeps a batch, in memory or on disk.
    pub fn keep(&mut self, batch: Batch, join: &Join) -> Result<()> {
        let mut batch = plain(&batch)?;
        if join.resident() < PARTITIONS as u32 {
            self.split_held(join)?;
            batch = self.split(batch, join)?;
        } else {
            self.compact = false;
        }
        let mut bytes = self.table_bytes(&batch, join)?;
        while !batch.is_empty() && !self.reservation.try_grow_fairly(bytes)? {
            if self.compact {
                join.lower_resident(self.resident);
                self.split_held(join)?;
            } else {
                batch = compact(batch)?;
                self.rebuild(join)?;
            }
            self.fit_reservation();
            batch = self.split(batch, join)?;
            bytes = self.table_bytes(&batch, join)?;
        }
        self.push(batch, bytes);
        Ok(())
    }

    fn push(&mut self, batch: Batch, bytes: usize) {
        if !batch.is_empty() {
            self.bytes += bytes;
            self.rows += batch.len();
            self.batches.push(batch);
        }
    }

    /// Follows the join's choice of partitions: rows of others go to disk.
    pub fn split_held(&mut self, join: &Join) -> Result<()> {
        match join.resident() {
            same if same == self.resident => Ok(()),
            _ => self.rebuild(join),
        }
    }

    /// Sends rows to disk that are not to be in memory. Those that stay hold nothing but themselves afterwards.
    fn rebuild(&mut self, join: &Join) -> Result<()> {
        self.resident = join.resident();
        (self.rows, self.bytes, self.held) = (0, 0, HeldBytes::default());
        for batch in std::mem::take(&mut self.batches) {
            let batch = if self.compact { batch } else { compact(batch)? };
            let kept = self.split(batch, join)?;
            let bytes = self.table_bytes(&kept, join)?;
            self.push(kept, bytes);
        }
        self.compact = true;
        Ok(())
    }

    /// Bytes that a batch's rows will take in a table, beside buffers that are held already.
    fn table_bytes(&mut self, batch: &Batch, join: &Join) -> Result<usize> {
        let arrays = batch.physical_columns().iter().map(|c| c.to_array());
        let mut bytes = index_bytes(batch, &join.spec)?;
        for array in arrays {
            bytes += self.held.add(array?.as_ref());
        }
        Ok(bytes)
    }

    /// Writes the rows whose partition is on disk; gives the others.
    fn split(&mut self, batch: Batch, join: &Join) -> Result<Batch> {
        if batch.is_empty() || self.resident == PARTITIONS as u32 {
            return Ok(batch);
        }
        let keys = join.spec.build_keys.evaluate(&batch)?;
        let partitions = join.partitions(&keys, batch.len(), 0, &self.context)?;
        let resident = self.resident;
        let (kept, gone): (Vec<u32>, Vec<u32>) =
            (0..batch.len() as u32).partition(|&row| partitions[row as usize] < resident);
        if gone.is_empty() {
            return Ok(batch);
        }
        join.add_to_filters(&keys, &gone)?;
        let gone_partitions: Vec<u32> = gone.iter().map(|&row| partitions[row as usize]).collect();
        let leaving = batch.clone().select(gone).compact()?;
        join.bytes_on_disk
            .fetch_add(leaving.memory_size() + index_bytes(&leaving, &join.spec)?, Relaxed);
        self.writer(join)?.append(&leaving, &gone_partitions)?;
        compact(batch.select(kept).compact()?)
    }

    fn writer(&mut self, join: &Join) -> Result<&mut PartitionWriter> {
        if self.writer.is_none() {
            // The rows that will leave make room for the blocks on their way.
            let room = writer_bytes(&self.context);
            if self.context.memory.free() < room {
                self.reservation.shrink(room);
            }
            self.writer = Some(partition_writer(join, &join.build_layout()?, &self.context)?);
        }
        match &mut self.writer {
            Some((writer, _)) => Ok(writer),
            None => Err(crate::Error::internal("a spill without a writer")),
        }
    }

    /// Gives back what the rows in memory no longer need.
    pub fn fit_reservation(&mut self) {
        let spare = self.reservation.bytes().saturating_sub(self.bytes);
        self.reservation.shrink(spare);
    }

    /// Reads all rows on disk back, if they fit after all: the planner expected more of them.
    pub fn reload(&mut self, join: &Join) -> Result<()> {
        let bytes = join.bytes_on_disk.load(Relaxed);
        let wanted = join.spec.resident > 0 && !self.context.config.debug_force_spill;
        if join.all_resident() || !wanted || !self.reservation.try_grow_fairly(bytes)? {
            return Ok(());
        }
        join.resident.store(PARTITIONS as u32, Relaxed);
        self.resident = PARTITIONS as u32;
        let runs = std::mem::take(&mut join.spilled.lock().build);
        for run in runs.into_iter().flatten() {
            let mut reader = run.reader();
            while let Some(batch) = reader.next_batch()? {
                self.context.cancel.check()?;
                let batch = plain(&batch)?;
                let bytes = self.table_bytes(&batch, join)?;
                self.push(batch, bytes);
            }
        }
        let missing = self.bytes.saturating_sub(self.reservation.bytes());
        self.reservation.grow(missing)
    }

    /// Ends the files: the rows on disk are the join's then.
    pub fn seal_spilled(&mut self, join: &Join) -> Result<()> {
        if let Some((writer, _reservation)) = self.writer.take() {
            join.add_spilled(|s| &mut s.build, writer.finish()?);
        }
        Ok(())
    }

    /// Adds another worker's rows.
    pub fn absorb(&mut self, other: Self) {
        self.batches.extend(other.batches);
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.compact &= other.compact;
        self.reservation.absorb(other.reservation);
    }

    /// Adds rows that were on disk, as long as there are few enough of them to stay below `most` bytes; the first batch is
    /// always added. Gives the batch back that is not.
    pub fn push_below(&mut self, batch: Batch, most: usize, join: &Join) -> Result<Option<Batch>> {
        let batch = plain(&batch)?;
        let bytes = self.table_bytes(&batch, join)?;
        if self.rows == 0 {
            self.reservation.grow(bytes)?;
        } else if self.bytes + bytes > most || !self.reservation.try_grow(bytes) {
            return Ok(Some(batch));
        }
        self.push(batch, bytes);
        Ok(None)
    }

    /// Makes the rows contiguous and indexes them.
    pub fn into_table(mut self, spec: &JoinSpec, context: &QueryContext) -> Result<JoinTable> {
        self.fit_reservation();
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::with_capacity(self.batches.len()); spec.build_types.len()];
        for batch in self.batches {
            for (i, column) in parts.iter_mut().enumerate() {
                column.push(batch.column(i)?.to_array()?);
            }
        }
        let parts: Vec<Mutex<Vec<ArrayRef>>> = parts.into_iter().map(Mutex::new).collect();
        let joined: Vec<Mutex<Option<ArrayRef>>> = parts.iter().map(|_| Mutex::new(None)).collect();
        context.parallel(parts.len(), &|i| {
            let arrays = std::mem::take(&mut *parts[i].lock());
            let refs: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
            *joined[i].lock() = Some(match refs.as_slice() {
                [] => new_empty_array(&spec.build_types[i]),
                [_] => arrays[0].clone(),
                refs => concat(refs)?,
            });
            Ok(())
        })?;
        let columns: Vec<ArrayRef> = joined.into_iter().filter_map(|c| c.into_inner()).collect();
        let keys: Vec<Column> = match self.rows {
            0 => spec
                .key_types
                .iter()
                .map(|t| Column::Array(new_empty_array(t)))
                .collect(),
            rows => spec.build_keys.evaluate(&Batch::from_arrays(columns.clone(), rows))?,
        };
        JoinTable::new(spec, columns, keys, self.rows, context, self.reservation)
    }
}

/// The rows as plain arrays that hold on to nothing else: what a table's columns are made of.
fn plain(batch: &Batch) -> Result<Batch> {
    let arrays = (0..batch.width()).map(|i| Ok(detach(batch.column(i)?.to_array()?)));
    Ok(Batch::from_arrays(arrays.collect::<Result<_>>()?, batch.len()))
}

/// The same rows in buffers of their own.
fn compact(batch: Batch) -> Result<Batch> {
    let rows = batch.len();
    let arrays = batch.physical_columns().iter().map(|c| memory::compact(&c.to_array()?));
    Ok(Batch::from_arrays(arrays.collect::<Result<_>>()?, rows))
}

/// Bytes per row of keys and directory.
pub(super) fn index_row_bytes(spec: &JoinSpec) -> usize {
    key_bytes(&spec.key_types) + DIRECTORY_BYTES
}

/// Bytes that a table takes for a batch's rows beside the rows themselves: keys, directory, marks.
fn index_bytes(batch: &Batch, spec: &JoinSpec) -> Result<usize> {
    let mut bytes = batch.len() * index_row_bytes(spec);
    if spec
        .key_types
        .iter()
        .any(|t| t.is_nested() || t.is_string() || t.is_binary())
    {
        let keys = spec.build_keys.evaluate(batch)?;
        bytes += keys.iter().map(Column::memory_size).sum::<usize>();
    }
    // With keys, an order of the rows is made only where it pays and there is memory left.
    if let Some(ranges) = spec.ranges.as_ref().filter(|_| spec.key_types.is_empty()) {
        bytes += ranges.index_bytes(batch)?;
    }
    Ok(bytes)
}

/// Bytes that the open blocks of a worker's partitions may take.
fn writer_bytes(context: &QueryContext) -> usize {
    let most = context.memory.limit() / WRITER_PART;
    most.min(context.memory.free() / 4).max(most / 8) / context.threads()
}

/// A writer of a join's partitions, and the memory of its open blocks.
pub(super) fn partition_writer(
    join: &Join,
    layout: &std::sync::Arc<crate::vector::block::Layout>,
    context: &QueryContext,
) -> Result<(PartitionWriter, Reservation)> {
    let bytes = writer_bytes(context);
    let mut reservation = join.operator.reservation();
    reservation.grow(bytes)?;
    let block = match context.config.debug_force_spill {
        true => 64,
        false => block_bytes(bytes),
    };
    let writer = PartitionWriter::new(&context.spill, layout, PARTITIONS, block)?;
    Ok((writer, reservation))
}
