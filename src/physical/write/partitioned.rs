//! Writing into `key=value` folders.
//!
//! Every worker has a buffer of rows for each value of the partition columns: a block while the rows are few, an encoder and
//! an open file from then on. Rows of values for which there is no place any more go to disk, cut by the hash of the value:
//!
//! ```text
//! row ─▶ its value has a buffer? ─ yes ─▶ block ─▶ encoder ─▶ file
//!                    └─ no, and no place ─▶ spilled partition ··(all rows seen)··▶ each as a small write of its own
//! ```
//!
//! So any number of folders is written with few files open, and each gets about one file.

use super::file::{Encoder, OutputFile};
use super::{Buckets, Output};
use crate::catalog::partition_folder;
use crate::error::{Error, Result};
use crate::physical::pipeline::{Flow, LocalSink, Sink};
use crate::runtime::{LEVELS, Operator, PARTITIONS, PartitionWriter, block_bytes, partition_of};
use crate::runtime::{QueryContext, Reservation, SpillRun};
use crate::types::DataType;
use crate::vector::block::{Appender, Block, Layout};
use crate::vector::display::ValueFormatter;
use crate::vector::keys::KeyEncoder;
use crate::vector::row_hash::hash_rows;
use crate::vector::{Batch, Column};
use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Schema, SchemaRef};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of rows that a buffer collects before they are encoded.
const BUFFER_BYTES: usize = 1 << 20;
/// In place of a buffer's number: there is none.
const NO_PLACE: usize = usize::MAX;
/// Values that all workers together have buffers, and files, for.
const MAX_BUFFERS: usize = 64;
/// The part of the memory that blocks may take on their way to disk.
const WRITER_PART: usize = 16;

/// The sink of a partitioned write.
pub struct PartitionedSink {
    output: Arc<Output>,
    /// Positions and types of the columns in the files.
    data: Vec<usize>,
    schema: SchemaRef,
    layout: Arc<Layout>,
    operator: Arc<Operator>,
    /// Rows on disk, by the hash of their partition columns.
    spilled: Arc<Mutex<Vec<Vec<SpillRun>>>>,
}

impl PartitionedSink {
    pub fn new(output: Arc<Output>, context: &QueryContext) -> Result<Self> {
        let target = &output.target;
        let all = target.schema.fields();
        if target.single_file.is_some() {
            return Err(Error::plan("a partitioned write makes folders, not one file"));
        }
        let data: Vec<usize> = (0..all.len()).filter(|i| !target.partition_by.contains(i)).collect();
        if data.is_empty() {
            return Err(Error::plan(
                "all columns are partition columns: nothing is left to be written into the files",
            ));
        }
        let fields: Vec<_> = data.iter().filter_map(|&i| all.get(i).cloned()).collect();
        let types: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            layout: Layout::new(&types)?,
            data,
            output,
            operator: context.memory.operator("Write"),
            spilled: Arc::default(),
        })
    }

    /// A worker; with `overflow` it sends rows to disk for which it has no place.
    fn worker(&self, context: &QueryContext, overflow: bool) -> Result<LocalPartitioned> {
        let target = &self.output.target;
        let fields = target
            .partition_by
            .iter()
            .filter_map(|&i| target.schema.fields().get(i));
        let types: Vec<DataType> = fields.map(|f| f.data_type().clone()).collect();
        Ok(LocalPartitioned {
            output: self.output.clone(),
            data: self.data.clone(),
            schema: self.schema.clone(),
            appender: Appender::new(self.layout.clone()),
            layout: self.layout.clone(),
            keys: KeyEncoder::new(&types, &vec![true; types.len()], None)?,
            numbers: HashMap::new(),
            buffers: vec![],
            held: 0,
            open_files: 0,
            most_open: match context.config.debug_force_spill {
                true => 2,
                false => (self.most_files(context) / context.threads()).max(4),
            },
            reservation: self.operator.reservation(),
            context: context.clone(),
            overflow: overflow.then(|| Overflow {
                writer: None,
                begun: false,
                spilled: self.spilled.clone(),
            }),
        })
    }

    /// Files that all workers together have open. In a bucket, each that grows holds a part in memory.
    fn most_files(&self, context: &QueryContext) -> usize {
        match self.output.target.files.is_local() {
            true => MAX_BUFFERS,
            false => (context.memory.limit() / 4 / context.config.upload_part_size.max(1)).clamp(4, MAX_BUFFERS),
        }
    }

    /// Writes rows that were on disk.
    fn write_spilled(&self, runs: Vec<SpillRun>, level: u32, share: usize, context: &QueryContext) -> Result<()> {
        let bytes: u64 = runs.iter().map(SpillRun::bytes).sum();
        let too_large = bytes as usize > share || (context.config.debug_force_spill && level == 0);
        if too_large && level + 1 < LEVELS {
            return self.cut_again(runs, level + 1, share, context);
        }
        let mut worker = self.worker(context, false)?;
        for run in runs {
            let mut reader = run.reader();
            while let Some(batch) = reader.next_batch()? {
                context.cancel.check()?;
                worker.consume(batch)?;
            }
        }
        worker.close_all()
    }

    /// Cuts rows on disk by other bits of the hash. When that tells no values apart, what is left is one large folder.
    fn cut_again(&self, runs: Vec<SpillRun>, level: u32, share: usize, context: &QueryContext) -> Result<()> {
        let (mut writer, reservation) = self.overflow_writer(context)?;
        for run in &runs {
            let mut reader = run.reader();
            while let Some(batch) = reader.next_batch()? {
                context.cancel.check()?;
                let partitions = partitions(&batch, &self.output.target.partition_by, level)?;
                writer.append(&batch, &partitions)?;
            }
        }
        let rows: u64 = runs.iter().map(SpillRun::rows).sum();
        drop(runs);
        let parts = writer.finish()?;
        drop(reservation);
        for part in parts {
            let next = if part.rows() == rows { LEVELS } else { level };
            self.write_spilled(vec![part], next, share, context)?;
        }
        Ok(())
    }

    fn overflow_writer(&self, context: &QueryContext) -> Result<(PartitionWriter, Reservation)> {
        overflow_writer(&self.output, self.operator.reservation(), context)
    }
}

/// A writer of whole rows by the hash of their partition columns, and the memory of its blocks.
fn overflow_writer(
    output: &Output,
    mut reservation: Reservation,
    context: &QueryContext,
) -> Result<(PartitionWriter, Reservation)> {
    let bytes = context.memory.limit() / WRITER_PART / context.threads();
    reservation.grow(bytes)?;
    let fields = output.target.schema.fields().iter();
    let types: Vec<DataType> = fields.map(|f| f.data_type().clone()).collect();
    let writer = PartitionWriter::new(&context.spill, &Layout::new(&types)?, PARTITIONS, block_bytes(bytes))?;
    Ok((writer, reservation))
}

/// The spilled partition of each row.
fn partitions(batch: &Batch, partition_by: &[usize], level: u32) -> Result<Vec<u32>> {
    let columns = partition_by
        .iter()
        .map(|&i| batch.column(i))
        .collect::<Result<Vec<_>>>()?;
    let hashes = hash_rows(&columns, batch.len(), None)?;
    Ok(hashes.into_iter().map(|hash| partition_of(hash, level)).collect())
}

impl Sink for PartitionedSink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        let rows = self.worker(context, true)?;
        Ok(match &self.output.target.buckets {
            None => Box::new(rows),
            Some(buckets) => Box::new(Bucketed {
                buckets: buckets.clone(),
                rows: Box::new(rows),
            }),
        })
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        let mut spilled = std::mem::take(&mut *self.spilled.lock());
        if self.output.target.ordered {
            // Each run has its rows in order; together they would not.
            spilled = spilled.into_iter().flatten().map(|run| vec![run]).collect();
        }
        // Blocks may take twice their rows, and encoders come on top.
        let share = self.operator.fair_room() / context.threads() / 4;
        let parts: Vec<Mutex<Vec<SpillRun>>> = spilled.into_iter().map(Mutex::new).collect();
        context.parallel(parts.len(), &|i| {
            let runs = std::mem::take(&mut *parts[i].lock());
            self.write_spilled(runs, 0, share, context)
        })
    }
}

/// Gives each row the number of its bucket.
struct Bucketed {
    buckets: Buckets,
    rows: Box<LocalPartitioned>,
}

impl LocalSink for Bucketed {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        let numbers = self.buckets.numbers(&batch)?;
        let columns = (0..batch.width()).map(|i| batch.column(i));
        let numbers = Ok(Column::Array(Arc::new(numbers)));
        let columns = columns.chain([numbers]).collect::<Result<Vec<_>>>()?;
        self.rows.consume(Batch::new(columns, batch.len()))
    }

    fn combine(self: Box<Self>) -> Result<()> {
        self.rows.combine()
    }
}

/// One worker's buffers.
struct LocalPartitioned {
    output: Arc<Output>,
    data: Vec<usize>,
    schema: SchemaRef,
    layout: Arc<Layout>,
    appender: Appender,
    keys: KeyEncoder,
    /// The buffer of each key.
    numbers: HashMap<Box<[u64]>, usize>,
    buffers: Vec<Buffer>,
    /// Bytes of all buffers.
    held: usize,
    open_files: usize,
    most_open: usize,
    reservation: Reservation,
    context: QueryContext,
    overflow: Option<Overflow>,
}

/// Where rows go for which there is no place.
struct Overflow {
    writer: Option<(PartitionWriter, Reservation)>,
    /// No more values get buffers.
    begun: bool,
    spilled: Arc<Mutex<Vec<Vec<SpillRun>>>>,
}

/// The rows of one value of the partition columns.
struct Buffer {
    folder: String,
    bucket: Option<i32>,
    block: Option<Block>,
    /// Bytes of rows in the block.
    filled: usize,
    encoder: Option<Encoder>,
    file: Option<OutputFile>,
    /// Bytes counted for block and encoder.
    bytes: usize,
}

impl LocalPartitioned {
    /// For each buffer the positions of its rows in the batch; rows without place under [`NO_PLACE`].
    fn split(&mut self, batch: &Batch) -> Result<Vec<(usize, Vec<u32>)>> {
        let partition_by = self.output.target.partition_by.clone();
        let columns = partition_by
            .iter()
            .map(|&i| batch.column(i))
            .collect::<Result<Vec<Column>>>()?;
        let encoded = self.keys.encode(&columns, batch.len())?;
        let mut found: Vec<(usize, Vec<u32>)> = vec![];
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut last: Option<(&[u64], usize)> = None;
        for (row, key) in encoded.words.chunks_exact(self.keys.stride()).enumerate() {
            let place = match last {
                Some((same, place)) if same == key => place,
                _ => {
                    let number = match self.numbers.get(key) {
                        Some(&number) => number,
                        None if self.is_crowded() => NO_PLACE,
                        None => self.new_buffer(key, &columns, row)?,
                    };
                    *places.entry(number).or_insert_with(|| {
                        found.push((number, vec![]));
                        found.len() - 1
                    })
                }
            };
            last = Some((key, place));
            if let Some((_, rows)) = found.get_mut(place) {
                rows.push(row as u32);
            }
        }
        Ok(found)
    }

    /// Whether a new value is to go to disk.
    fn is_crowded(&self) -> bool {
        let crowded = |overflow: &Overflow| overflow.begun || self.buffers.len() >= self.most_open;
        self.overflow.as_ref().is_some_and(crowded)
    }

    /// Writes rows to disk for later.
    fn spill(&mut self, batch: &Batch) -> Result<()> {
        let Some(overflow) = &mut self.overflow else {
            return Err(Error::internal("rows without place"));
        };
        let (writer, _) = match &mut overflow.writer {
            Some(writer) => writer,
            none => {
                let reservation = self.reservation.operator().reservation();
                none.insert(overflow_writer(&self.output, reservation, &self.context)?)
            }
        };
        writer.append(batch, &partitions(batch, &self.output.target.partition_by, 0)?)
    }

    fn new_buffer(&mut self, key: &[u64], columns: &[Column], row: usize) -> Result<usize> {
        let target = &self.output.target;
        let (mut folders, mut bucket) = (vec![], None);
        for (at, (&i, column)) in target.partition_by.iter().zip(columns).enumerate() {
            let name = target.schema.field(i).name();
            let array = column.slice(row, 1).to_array()?;
            if target.buckets.is_some() && at + 1 == target.partition_by.len() {
                bucket = array
                    .as_primitive_opt::<Int32Type>()
                    .and_then(|numbers| numbers.iter().next().flatten());
                continue;
            }
            let formatter = ValueFormatter::new(array.as_ref());
            let mut text = String::new();
            formatter.write(0, &mut text);
            let value = (!formatter.is_null(0) && !text.is_empty()).then_some(text.as_str());
            folders.push(partition_folder(name, value));
        }
        let folder = folders.join("/");
        self.buffers.push(Buffer {
            folder,
            bucket,
            block: None,
            filled: 0,
            encoder: None,
            file: None,
            bytes: 0,
        });
        let number = self.buffers.len() - 1;
        self.numbers.insert(key.into(), number);
        Ok(number)
    }

    fn append(&mut self, number: usize, batch: Batch) -> Result<()> {
        let batch = batch.project(&self.data)?;
        let columns = (0..batch.width())
            .map(|i| batch.column(i))
            .collect::<Result<Vec<_>>>()?;
        let prepared = self.appender.prepare(&columns, batch.len())?;
        let mut start = 0;
        while start < batch.len() {
            let rows = prepared.rows_within(start, BUFFER_BYTES);
            let bytes = prepared.size(start..start + rows);
            // A vector that grows may take twice what is in it.
            self.reserve(2 * bytes)?;
            let Some(buffer) = self.buffers.get_mut(number) else {
                return Err(Error::internal("a partition without buffer"));
            };
            let block = buffer.block.get_or_insert_with(|| Block::new(&self.layout));
            block.append(&self.layout, &prepared, start..start + rows)?;
            buffer.filled += bytes;
            start += rows;
            if buffer.filled >= BUFFER_BYTES {
                self.encode(number)?;
            }
            self.count(number);
        }
        Ok(())
    }

    /// Counts anew what a buffer holds.
    fn count(&mut self, number: usize) {
        let Some(buffer) = self.buffers.get_mut(number) else {
            return;
        };
        let encoder = buffer.encoder.as_ref().map_or(0, Encoder::memory_size);
        let bytes = buffer.block.as_ref().map_or(0, Block::memory_size) + encoder;
        self.held = self.held - buffer.bytes + bytes;
        buffer.bytes = bytes;
    }

    /// Makes room for `bytes` more, by writing the largest buffers if need be.
    fn reserve(&mut self, bytes: usize) -> Result<()> {
        loop {
            let missing = (self.held + bytes).saturating_sub(self.reservation.bytes());
            let chunk = missing.max(1 << 20);
            if missing == 0 || self.reservation.try_grow_fairly(chunk)? || self.reservation.try_grow_fairly(missing)? {
                return Ok(());
            }
            if let Some(overflow) = &mut self.overflow {
                overflow.begun = true;
            }
            let largest = self
                .buffers
                .iter()
                .enumerate()
                .max_by_key(|(_, b)| b.bytes)
                .map(|(i, _)| i);
            match largest.filter(|&i| self.buffers.get(i).is_some_and(|b| b.bytes > 0)) {
                Some(number) => self.flush(number)?,
                None => return self.reservation.grow(missing),
            }
        }
    }

    /// Moves the rows of a buffer's block into its encoder.
    fn encode(&mut self, number: usize) -> Result<()> {
        let Some(buffer) = self.buffers.get_mut(number) else {
            return Ok(());
        };
        let Some(block) = buffer.block.take() else {
            return Ok(());
        };
        buffer.filled = 0;
        let batch = block.into_batch(&self.layout, self.layout.width())?;
        let mut start = 0;
        while start < batch.len() {
            start += self.write(number, &batch, start)?;
        }
        self.close_some(number)
    }

    /// Writes rows of the batch from `start` on into a buffer's encoder; how many.
    fn write(&mut self, number: usize, batch: &Batch, start: usize) -> Result<usize> {
        let target = &self.output.target;
        let Some(buffer) = self.buffers.get_mut(number) else {
            return Err(Error::internal("a partition without buffer"));
        };
        let piece = self.output.piece(batch, start, buffer.encoder.as_ref());
        if buffer.file.is_none() {
            let path = self.output.new_path(&buffer.folder, buffer.bucket);
            buffer.file = Some(OutputFile::create(&path, target, &self.schema, Some(&piece))?);
            self.open_files += 1;
        }
        let encoder = match (&mut buffer.encoder, &buffer.file) {
            (Some(encoder), _) => encoder,
            (none, Some(file)) => none.insert(file.encoder()?),
            (None, None) => return Err(Error::internal("a buffer without file")),
        };
        encoder.write(&piece, target)?;
        let full = encoder.memory_size() >= self.output.chunk_bytes() || encoder.rows() >= self.output.chunk_rows();
        self.count(number);
        if full {
            self.flush(number)?;
        }
        Ok(piece.len())
    }

    /// Writes all that a buffer holds.
    fn flush(&mut self, number: usize) -> Result<()> {
        if self.buffers.get(number).is_some_and(|b| b.block.is_some()) {
            self.encode(number)?;
        }
        if let Some(buffer) = self.buffers.get_mut(number)
            && let (Some(encoder), Some(file)) = (buffer.encoder.take(), &mut buffer.file)
        {
            file.append(encoder.finish(&self.output.target)?)?;
            if self.output.is_large(file, 0)
                && let Some(file) = buffer.file.take()
            {
                self.open_files -= 1;
                self.output.done(file)?;
            }
        }
        self.count(number);
        Ok(())
    }

    /// Ends files when too many are open, but not that of `keep`.
    fn close_some(&mut self, keep: usize) -> Result<()> {
        while self.open_files > self.most_open {
            let open = self
                .buffers
                .iter()
                .enumerate()
                .filter(|(i, b)| b.file.is_some() && *i != keep);
            let Some(number) = open.max_by_key(|(_, b)| b.bytes).map(|(i, _)| i) else {
                return Ok(());
            };
            self.close(number)?;
        }
        Ok(())
    }

    fn close_all(&mut self) -> Result<()> {
        (0..self.buffers.len()).try_for_each(|number| self.close(number))
    }

    fn close(&mut self, number: usize) -> Result<()> {
        self.flush(number)?;
        if let Some(file) = self.buffers.get_mut(number).and_then(|b| b.file.take()) {
            self.open_files -= 1;
            self.output.done(file)?;
        }
        Ok(())
    }
}

impl LocalSink for LocalPartitioned {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        for (number, rows) in self.split(&batch)? {
            let part = if rows.len() == batch.len() {
                batch.clone()
            } else {
                batch.clone().select(rows)
            };
            match number {
                NO_PLACE => self.spill(&part)?,
                number => self.append(number, part)?,
            }
        }
        Ok(Flow::More)
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        if let Some(overflow) = self.overflow.take()
            && let Some((writer, _reservation)) = overflow.writer
        {
            let mut spilled = overflow.spilled.lock();
            spilled.resize_with(PARTITIONS, Vec::new);
            let runs = spilled.iter_mut().zip(writer.finish()?);
            runs.filter(|(_, run)| run.rows() > 0)
                .for_each(|(all, run)| all.push(run));
        }
        self.close_all()
    }
}
