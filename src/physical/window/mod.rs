//! The window operator: every input row, followed by one value for each window call.
//!
//! ```text
//! sink:    batches ─▶ cut by the hash of the PARTITION BY keys that all calls share ─▶ buckets
//!          memory is short? a worker writes its rows to disk, cut more finely by the same hash
//! source:  one bucket at a time and worker: sort ─▶ frames ─▶ functions ─▶ back into the order of arrival
//!          one part on disk at a time and worker: as a bucket if it fits, otherwise through sorts on disk (external.rs)
//! ```
//!
//! Calls with the same PARTITION BY and ORDER BY share one sort. Either all rows are in memory or all are on disk; a bucket
//! that is being computed needs about as much again.

mod aggregates;
mod external;
mod frames;
mod functions;
mod long;
mod sort;
mod spec;
#[cfg(test)]
mod tests;

pub use spec::{WindowOperation, WindowSpec};

use super::pipeline::{Flow, LocalSink, PartitionReader, Sink, Source};
use crate::error::{Error, Result};
use crate::expression::PhysicalExpr;
use crate::functions::aggregate::{canonical, unshared};
use crate::runtime::{Operator, PARTITIONS, PartitionWriter, QueryContext, Reservation, Shrink, SpillRun, SpillWriter};
use crate::runtime::{block_bytes, partition_of};
use crate::types::{DataType, Schema};
use crate::vector::block::Layout;
use crate::vector::row_hash::hash_rows;
use crate::vector::{Batch, Column};
use aggregates::FrameAggregate;
use arrow::array::{ArrayRef, new_empty_array};
use arrow::compute::concat;
use external::External;
use frames::Frames;
use parking_lot::Mutex;
use sort::{SortedRows, evaluate_all};
use std::sync::{Arc, Weak};

/// Buckets for each worker, so that workers finish together.
const BUCKETS_PER_WORKER: usize = 8;

/// The operator: the sink of one pipeline and the source of the next.
pub struct Window {
    input_types: Vec<DataType>,
    specs: Vec<WindowSpec>,
    /// PARTITION BY keys that all calls share: equal keys, same bucket.
    shared_keys: Vec<PhysicalExpr>,
    context: QueryContext,
    operator: Arc<Operator>,
    /// `None` when a column has a type that cannot be written to disk.
    layout: Option<Arc<Layout>>,
    /// Rows in memory, when none are on disk.
    buckets: Vec<Mutex<Vec<Batch>>>,
    memory: Mutex<Reservation>,
    disk: Mutex<Disk>,
    /// The unit that is next, once a pipeline reads.
    next: Mutex<Option<usize>>,
}

/// The rows on disk: for each part of the hashes, what the workers wrote.
#[derive(Default)]
struct Disk {
    parts: Vec<Vec<SpillRun>>,
    rows: usize,
    /// What the rows took in memory.
    bytes: usize,
}

/// The two roles of a window operator over batches laid out as `input`: the source's batches have the input's columns
/// and one more for each spec.
pub fn window(input: &Schema, specs: Vec<WindowSpec>, context: &QueryContext) -> (Arc<dyn Sink>, Arc<dyn Source>) {
    let shared_keys = shared_keys(&specs);
    // A power of two, so that a bucket is some whole parts of the rows on disk.
    let buckets = match shared_keys.is_empty() {
        true => 1,
        false => (context.threads() * BUCKETS_PER_WORKER)
            .next_power_of_two()
            .min(PARTITIONS),
    };
    let input_types: Vec<DataType> = input.iter().map(|f| f.data_type.clone()).collect();
    let operator = context.memory.operator("window");
    let window = Arc::new(Window {
        layout: Layout::new(&input_types).ok(),
        input_types,
        specs,
        shared_keys,
        context: context.clone(),
        buckets: (0..buckets).map(|_| Mutex::default()).collect(),
        memory: Mutex::new(operator.reservation()),
        operator,
        disk: Mutex::default(),
        next: Mutex::default(),
    });
    let sink = Arc::new(WindowSink(window.clone()));
    (sink, Arc::new(WindowSource(window)))
}

fn shared_keys(specs: &[WindowSpec]) -> Vec<PhysicalExpr> {
    let first = specs.first().map_or(&[][..], |s| &s.partition_by);
    let shared = |key: &&PhysicalExpr| specs.iter().all(|s| s.partition_by.contains(key));
    first.iter().filter(shared).cloned().collect()
}

impl Window {
    /// The part of each row on disk; modulo the number of buckets, its bucket.
    fn parts_of(&self, batch: &Batch) -> Result<Vec<u32>> {
        if self.shared_keys.is_empty() {
            return Ok(vec![0; batch.len()]);
        }
        let keys = evaluate_all(&self.shared_keys, batch)?;
        let keys: Vec<Column> = keys.iter().map(|k| Column::Array(canonical(k))).collect();
        let hashes = hash_rows(&keys, batch.len(), self.context.fixed_hash())?;
        Ok(hashes.into_iter().map(|hash| partition_of(hash, 0)).collect())
    }

    fn writer(&self, layout: &Arc<Layout>) -> Result<PartitionWriter> {
        let parts = if self.shared_keys.is_empty() { 1 } else { PARTITIONS };
        let memory = self.context.memory.limit() / (16 * self.context.threads());
        PartitionWriter::new(&self.context.spill, layout, parts, block_bytes(memory))
    }

    /// Takes over what a writer wrote.
    fn add_written(&self, writer: PartitionWriter, rows: usize, bytes: usize) -> Result<()> {
        let runs = writer.finish()?;
        let mut disk = self.disk.lock();
        let parts = disk.parts.len().max(runs.len());
        disk.parts.resize(parts, vec![]);
        for (part, run) in disk.parts.iter_mut().zip(runs) {
            if run.rows() > 0 {
                part.push(run);
            }
        }
        disk.rows += rows;
        disk.bytes += bytes;
        Ok(())
    }

    /// Writes the rows of all buckets.
    fn spill_buckets(&self, layout: &Arc<Layout>) -> Result<usize> {
        let workers = self.context.threads();
        self.context.parallel(workers, &|worker| {
            let mut writer = self.writer(layout)?;
            let (mut rows, mut bytes) = (0, 0);
            for bucket in self.buckets.iter().skip(worker).step_by(workers) {
                for batch in std::mem::take(&mut *bucket.lock()) {
                    rows += batch.len();
                    bytes += batch.memory_size();
                    writer.append(&batch, &self.parts_of(&batch)?)?;
                }
            }
            self.add_written(writer, rows, bytes)
        })?;
        let mut memory = self.memory.lock();
        let held = memory.bytes();
        memory.shrink(held);
        Ok(held)
    }
}

/// Buckets that wait for their pipeline go to disk.
impl Shrink for Window {
    fn shrink(&self, _bytes: usize) -> Result<usize> {
        let next = self.next.lock();
        match (&self.layout, *next) {
            (Some(layout), None) => self.spill_buckets(layout),
            _ => Ok(0),
        }
    }
}

struct WindowSink(Arc<Window>);

impl Sink for WindowSink {
    fn local(&self, _context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalWindow {
            buckets: vec![vec![]; self.0.buckets.len()],
            memory: self.0.operator.reservation(),
            window: self.0.clone(),
            writer: None,
            rows: 0,
            bytes: 0,
        }))
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        let on_disk = self.0.disk.lock().rows > 0;
        if let (true, Some(layout)) = (on_disk, &self.0.layout) {
            self.0.spill_buckets(layout)?;
        }
        let window: Weak<Window> = Arc::downgrade(&self.0);
        context.memory.register(window);
        Ok(())
    }
}

struct LocalWindow {
    window: Arc<Window>,
    buckets: Vec<Vec<Batch>>,
    memory: Reservation,
    /// Once memory was short, all rows go to disk.
    writer: Option<PartitionWriter>,
    /// Rows written, and what they took in memory.
    rows: usize,
    bytes: usize,
}

impl LocalWindow {
    /// The rows of each bucket, without what they share with other rows.
    fn cut(&self, batch: &Batch) -> Result<Vec<(usize, Batch)>> {
        let count = self.buckets.len();
        if count == 1 {
            return Ok(vec![(0, without_shared(batch)?)]);
        }
        let mut cut = vec![vec![]; count];
        for (row, part) in self.window.parts_of(batch)?.into_iter().enumerate() {
            cut[part as usize % count].push(row as u32);
        }
        let cut = cut.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        cut.map(|(bucket, rows)| Ok((bucket, without_shared(&batch.clone().select(rows))?)))
            .collect()
    }

    /// Keeps the rows in memory if they fit; gives them back if they have to go to disk.
    fn keep(&mut self, batch: Batch) -> Result<Option<Batch>> {
        let can_spill = self.window.layout.is_some();
        if can_spill && self.window.context.config.debug_force_spill {
            return Ok(Some(batch));
        }
        let cut = self.cut(&batch)?;
        let bytes = cut.iter().map(|(_, rows)| rows.memory_size()).sum();
        if !self.memory.try_grow_fairly(bytes)? {
            if can_spill {
                return Ok(Some(batch));
            }
            self.memory.grow(bytes)?;
        }
        cut.into_iter()
            .for_each(|(bucket, rows)| self.buckets[bucket].push(rows));
        Ok(None)
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        let parts = self.window.parts_of(batch)?;
        if let Some(writer) = &mut self.writer {
            writer.append(batch, &parts)?;
            self.rows += batch.len();
            self.bytes += batch.memory_size();
        }
        Ok(())
    }

    /// Writes the rows held so far, and from now on all.
    fn go_to_disk(&mut self) -> Result<()> {
        let Some(layout) = &self.window.layout else {
            return Err(Error::internal("rows that cannot be written go to disk"));
        };
        self.writer = Some(self.window.writer(layout)?);
        for bucket in 0..self.buckets.len() {
            for batch in std::mem::take(&mut self.buckets[bucket]) {
                self.write(&batch)?;
            }
        }
        self.memory.shrink(self.memory.bytes());
        Ok(())
    }
}

impl LocalSink for LocalWindow {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        let rows = batch.len();
        let columns = (0..batch.width())
            .map(|i| Ok(Column::Array(batch.column(i)?.to_array()?)))
            .collect::<Result<Vec<_>>>()?;
        let mut batch = Batch::new(columns, rows);
        if self.writer.is_none() {
            batch = match self.keep(batch)? {
                None => return Ok(Flow::More),
                Some(batch) => batch,
            };
            self.go_to_disk()?;
        }
        self.write(&batch)?;
        let open = self.writer.as_ref().map_or(0, PartitionWriter::memory_size);
        self.memory.resize(open)?;
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        if let Some(writer) = self.writer {
            return self.window.add_written(writer, self.rows, self.bytes);
        }
        for (own, shared) in self.buckets.into_iter().zip(&self.window.buckets) {
            shared.lock().extend(own);
        }
        self.window.memory.lock().absorb(self.memory);
        Ok(())
    }
}

fn without_shared(rows: &Batch) -> Result<Batch> {
    let columns = (0..rows.width())
        .map(|i| Ok(Column::Array(unshared(&rows.column(i)?.to_array()?)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(Batch::new(columns, rows.len()))
}

struct WindowSource(Arc<Window>);

impl Source for WindowSource {
    fn start(&self, _context: &QueryContext) -> Result<()> {
        *self.0.next.lock() = Some(0);
        Ok(())
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let mut next = self.0.next.lock();
        let ordinal = next.unwrap_or(0);
        let mut disk = self.0.disk.lock();
        let in_memory = disk.parts.is_empty();
        let unit = match disk.parts.get_mut(ordinal) {
            Some(runs) => Unit::Disk(std::mem::take(runs)),
            None if in_memory && ordinal < self.0.buckets.len() => Unit::Bucket,
            None => return Ok(None),
        };
        *next = Some(ordinal + 1);
        Ok(Some(Box::new(UnitReader {
            window: self.0.clone(),
            memory: self.0.operator.reservation(),
            ordinal,
            state: State::Unit(unit),
        })))
    }
}

/// Rows that one worker computes: whole window partitions.
enum Unit {
    Bucket,
    Disk(Vec<SpillRun>),
}

/// Computes one unit when first asked, then gives it batch by batch.
struct UnitReader {
    window: Arc<Window>,
    memory: Reservation,
    ordinal: usize,
    state: State,
}

enum State {
    Unit(Unit),
    Computed { rows: Batch, offset: usize },
    External(Box<External>),
}

impl PartitionReader for UnitReader {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        if let State::Unit(unit) = &mut self.state {
            let unit = std::mem::replace(unit, Unit::Bucket);
            self.state = self.open(unit)?;
        }
        match &mut self.state {
            State::Unit(_) => Ok(None),
            State::Computed { rows, offset } => {
                let length = self.window.context.config.batch_size.max(1).min(rows.len() - *offset);
                let batch = (length > 0).then(|| rows.slice(*offset, length));
                *offset += length;
                Ok(batch)
            }
            State::External(external) => external.next(),
        }
    }
}

impl UnitReader {
    fn open(&mut self, unit: Unit) -> Result<State> {
        let window = self.window.clone();
        let rows = match unit {
            Unit::Bucket => match window.take_bucket(self.ordinal, &mut self.memory)? {
                Loaded::Memory(pieces) => pieces,
                Loaded::Disk(runs) => return self.external(runs),
            },
            Unit::Disk(runs) => {
                let forced = window.context.config.debug_force_spill && self.ordinal % 2 == 1;
                if runs.is_empty() || (!forced && self.memory.try_grow(window.bytes_to_load(&runs))) {
                    load(&runs)?
                } else {
                    return self.external(runs);
                }
            }
        };
        let rows = window.compute(rows, &mut self.memory)?;
        self.memory.resize(rows.memory_size())?;
        Ok(State::Computed { rows, offset: 0 })
    }

    fn external(&mut self, runs: Vec<SpillRun>) -> Result<State> {
        Ok(State::External(Box::new(External::new(&self.window, runs)?)))
    }
}

/// A bucket, in memory as long as there is room to compute it.
enum Loaded {
    Memory(Vec<Batch>),
    Disk(Vec<SpillRun>),
}

fn load(runs: &[SpillRun]) -> Result<Vec<Batch>> {
    let mut pieces = vec![];
    for run in runs {
        let mut reader = run.reader();
        while let Some(batch) = reader.next_batch()? {
            pieces.push(batch);
        }
    }
    Ok(pieces)
}

/// Memory that computing calls takes beside the rows themselves: a copy of the rows, their order, peers, frames, results.
fn bytes_to_compute(calls: usize, rows: usize, bytes: usize) -> usize {
    bytes + rows * (48 + 24 * calls)
}

impl Window {
    /// Takes the rows out of a bucket and memory to compute them; without that memory they go to disk.
    fn take_bucket(&self, bucket: usize, memory: &mut Reservation) -> Result<Loaded> {
        let pieces = match self.buckets.get(bucket) {
            Some(bucket) => std::mem::take(&mut *bucket.lock()),
            None => vec![],
        };
        let bytes = pieces.iter().map(Batch::memory_size).sum();
        let rows = pieces.iter().map(Batch::len).sum();
        let wanted = bytes_to_compute(self.specs.len(), rows, bytes);
        if memory.try_grow(wanted) {
            // The bucket's own memory moves to the reader with its rows.
            self.memory.lock().shrink(bytes);
            if memory.try_grow(bytes) {
                return Ok(Loaded::Memory(pieces));
            }
            memory.shrink(wanted);
        }
        let Some(layout) = &self.layout else {
            memory.grow(wanted)?;
            return Ok(Loaded::Memory(pieces));
        };
        let mut writer = SpillWriter::new(self.context.spill.file()?, layout.clone())?;
        pieces.iter().try_for_each(|batch| writer.append(batch))?;
        drop(pieces);
        self.memory.lock().shrink(bytes);
        Ok(Loaded::Disk(vec![writer.finish()?]))
    }

    /// Memory that it takes to load and compute rows on disk.
    fn bytes_to_load(&self, runs: &[SpillRun]) -> usize {
        let rows: usize = runs.iter().map(|run| run.rows() as usize).sum();
        let disk = self.disk.lock();
        let bytes = rows * (disk.bytes / disk.rows.max(1) + 1);
        bytes + bytes_to_compute(self.specs.len(), rows, bytes)
    }

    /// The rows with the values of all calls.
    fn compute(&self, pieces: Vec<Batch>, memory: &mut Reservation) -> Result<Batch> {
        let input = concatenate(&self.input_types, pieces)?;
        let calls: Vec<&WindowSpec> = self.specs.iter().collect();
        let results = compute_calls(&calls, &input, memory)?;
        let rows = input.len();
        let columns = input.physical_columns().iter().cloned();
        Ok(Batch::new(columns.chain(results).collect(), rows))
    }
}

/// The values of all calls, in the order of the input's rows.
fn compute_calls(calls: &[&WindowSpec], input: &Batch, memory: &mut Reservation) -> Result<Vec<Column>> {
    let mut results: Vec<Option<ArrayRef>> = vec![None; calls.len()];
    for (i, leader) in calls.iter().enumerate() {
        if results[i].is_some() {
            continue;
        }
        let rows = SortedRows::new(input, &leader.partition_by, &leader.order_by)?;
        for (j, spec) in calls.iter().enumerate().skip(i) {
            if spec.shares_sort_with(leader) {
                results[j] = Some(rows.unsorted(compute(spec, input, &rows, memory)?)?);
            }
        }
    }
    Ok(results.into_iter().flatten().map(Column::Array).collect())
}

/// One dense batch of plain arrays; coded strings are expanded.
fn concatenate(types: &[DataType], pieces: Vec<Batch>) -> Result<Batch> {
    let rows = pieces.iter().map(Batch::len).sum();
    let column = |(i, t): (usize, &DataType)| -> Result<Column> {
        let arrays = pieces.iter().map(|p| p.column(i)?.to_array());
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let arrays: Vec<_> = arrays.iter().map(|a| a.as_ref()).collect();
        Ok(Column::Array(match arrays.is_empty() {
            true => new_empty_array(t),
            false => concat(&arrays)?,
        }))
    };
    let columns = types.iter().enumerate().map(column);
    Ok(Batch::new(columns.collect::<Result<_>>()?, rows))
}

/// The values of one call, in sorted order.
fn compute(spec: &WindowSpec, input: &Batch, rows: &SortedRows, memory: &mut Reservation) -> Result<ArrayRef> {
    let order_column = match spec.order_by.as_slice() {
        [key] => Some(rows.sorted(&key.expr.evaluate(input)?.to_array()?)?),
        _ => None,
    };
    let frames = Frames::new(&spec.frame, rows, &spec.order_by, order_column.as_ref())?;
    match &spec.function {
        WindowOperation::Function { kind, ignore_nulls } => {
            let arguments = rows.evaluate(&spec.arguments, input)?;
            functions::evaluate(*kind, *ignore_nulls, &arguments, rows, &frames, &spec.data_type)
        }
        WindowOperation::Aggregate(call) => {
            FrameAggregate::new(call, &spec.arguments, input, rows)?.evaluate(rows, &frames, memory)
        }
    }
}
