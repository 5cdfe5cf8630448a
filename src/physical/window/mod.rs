//! The window operator: every input row, followed by one value for each window call.
//!
//! ```text
//! sink:    batches ─▶ cut by the hash of the PARTITION BY keys that all calls share ─▶ buckets
//! source:  one bucket at a time and worker: sort ─▶ frames ─▶ functions ─▶ back into the order of arrival
//! ```
//!
//! Calls with the same PARTITION BY and ORDER BY share one sort. All rows are held in memory; a bucket that is being
//! computed needs about as much again.

mod aggregates;
mod frames;
mod functions;
mod sort;
mod spec;
#[cfg(test)]
mod tests;

pub use spec::{WindowOperation, WindowSpec};

use super::pipeline::{Flow, LocalSink, PartitionReader, Sink, Source};
use crate::error::Result;
use crate::expression::PhysicalExpr;
use crate::functions::aggregate::{canonical, unshared};
use crate::runtime::{QueryContext, Reservation};
use crate::types::{DataType, Schema};
use crate::vector::hash::hash_bytes;
use crate::vector::{Batch, Column};
use aggregates::FrameAggregate;
use arrow::array::{ArrayRef, AsArray, new_empty_array};
use arrow::compute::concat;
use arrow::row::{RowConverter, SortField};
use frames::Frames;
use parking_lot::Mutex;
use sort::{SortedRows, evaluate_all};
use std::sync::Arc;

/// Buckets for each worker, so that workers finish together.
const BUCKETS_PER_WORKER: usize = 8;

/// The operator: the sink of one pipeline and the source of the next.
pub struct Window {
    input_types: Vec<DataType>,
    specs: Vec<WindowSpec>,
    /// PARTITION BY keys that all calls share: equal keys, same bucket.
    shared_keys: Vec<PhysicalExpr>,
    buckets: Vec<Mutex<Vec<Batch>>>,
    memory: Mutex<Vec<Reservation>>,
    /// The context of the running pipeline and the bucket that is next.
    running: Mutex<Option<(QueryContext, usize)>>,
}

/// The two roles of a window operator over batches laid out as `input`: the source's batches have the input's columns
/// and one more for each spec.
pub fn window(input: &Schema, specs: Vec<WindowSpec>, context: &QueryContext) -> (Arc<dyn Sink>, Arc<dyn Source>) {
    let shared_keys = shared_keys(&specs);
    let buckets = match shared_keys.is_empty() {
        true => 1,
        false => context.threads() * BUCKETS_PER_WORKER,
    };
    let operator = Arc::new(Window {
        input_types: input.iter().map(|f| f.data_type.clone()).collect(),
        specs,
        shared_keys,
        buckets: (0..buckets).map(|_| Mutex::default()).collect(),
        memory: Mutex::default(),
        running: Mutex::default(),
    });
    let sink = Arc::new(WindowSink(operator.clone()));
    (sink, Arc::new(WindowSource(operator)))
}

fn shared_keys(specs: &[WindowSpec]) -> Vec<PhysicalExpr> {
    let first = specs.first().map_or(&[][..], |s| &s.partition_by);
    let shared = |key: &&PhysicalExpr| specs.iter().all(|s| s.partition_by.contains(key));
    first.iter().filter(shared).cloned().collect()
}

struct WindowSink(Arc<Window>);

impl Sink for WindowSink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        let fields = self.0.shared_keys.iter().map(|k| SortField::new(k.data_type()));
        Ok(Box::new(LocalWindow {
            operator: self.0.clone(),
            converter: RowConverter::new(fields.collect())?,
            buckets: vec![vec![]; self.0.buckets.len()],
            memory: context.memory.reservation("window"),
            fixed_hash: context.fixed_hash(),
        }))
    }

    fn finish(&self, _context: &QueryContext) -> Result<()> {
        Ok(())
    }
}

struct LocalWindow {
    operator: Arc<Window>,
    converter: RowConverter,
    buckets: Vec<Vec<Batch>>,
    memory: Reservation,
    fixed_hash: Option<u64>,
}

impl LocalWindow {
    /// Puts the rows into a bucket, without what they share with other rows.
    fn keep(&mut self, bucket: usize, rows: Batch) -> Result<()> {
        let columns = (0..rows.width())
            .map(|i| Ok(Column::Array(unshared(&rows.column(i)?.to_array()?)?)))
            .collect::<Result<Vec<_>>>()?;
        let kept = Batch::new(columns, rows.len());
        self.memory.grow(kept.memory_size())?;
        self.buckets[bucket].push(kept);
        Ok(())
    }

    /// The rows of each bucket.
    fn cut(&self, batch: &Batch) -> Result<Vec<Vec<u32>>> {
        let mut cut = vec![vec![]; self.buckets.len()];
        let keys: Vec<ArrayRef> = evaluate_all(&self.operator.shared_keys, batch)?
            .iter()
            .map(canonical)
            .collect();
        let keys = self.converter.convert_columns(&keys)?;
        for (row, key) in keys.iter().enumerate() {
            let hash = self.fixed_hash.unwrap_or_else(|| hash_bytes(key.data()));
            let bucket = (hash >> 32) as usize % cut.len();
            cut[bucket].push(row as u32);
        }
        Ok(cut)
    }
}

impl LocalSink for LocalWindow {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        let rows = batch.len();
        let columns = (0..batch.width())
            .map(|i| Ok(Column::Array(batch.column(i)?.to_array()?)))
            .collect::<Result<Vec<_>>>()?;
        let batch = Batch::new(columns, rows);
        if self.buckets.len() == 1 {
            self.keep(0, batch)?;
            return Ok(Flow::More);
        }
        for (bucket, rows) in self.cut(&batch)?.into_iter().enumerate() {
            if !rows.is_empty() {
                self.keep(bucket, batch.clone().select(rows))?;
            }
        }
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        for (own, shared) in self.buckets.into_iter().zip(&self.operator.buckets) {
            shared.lock().extend(own);
        }
        self.operator.memory.lock().push(self.memory);
        Ok(())
    }
}

struct WindowSource(Arc<Window>);

impl Source for WindowSource {
    fn start(&self, context: &QueryContext) -> Result<()> {
        *self.0.running.lock() = Some((context.clone(), 0));
        Ok(())
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let mut running = self.0.running.lock();
        let Some((context, next)) = running.as_mut().filter(|(_, next)| *next < self.0.buckets.len()) else {
            return Ok(None);
        };
        let bucket = *next;
        *next += 1;
        Ok(Some(Box::new(BucketReader {
            operator: self.0.clone(),
            memory: context.memory.reservation("window"),
            batch_rows: context.config.batch_size.max(1),
            bucket,
            result: None,
            offset: 0,
        })))
    }
}

/// Computes one bucket when first asked, then gives it batch by batch.
struct BucketReader {
    operator: Arc<Window>,
    memory: Reservation,
    batch_rows: usize,
    bucket: usize,
    result: Option<Batch>,
    offset: usize,
}

impl PartitionReader for BucketReader {
    fn ordinal(&self) -> usize {
        self.bucket
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        let result = match self.result.take() {
            Some(result) => result,
            None => self.operator.compute(self.bucket, &mut self.memory)?,
        };
        let rows = self.batch_rows.min(result.len() - self.offset);
        let batch = (rows > 0).then(|| result.slice(self.offset, rows));
        self.offset += rows;
        self.result = Some(result);
        Ok(batch)
    }
}

impl Window {
    /// The rows of a bucket with the values of all calls. Takes the rows out of the bucket.
    fn compute(&self, bucket: usize, memory: &mut Reservation) -> Result<Batch> {
        let pieces = match self.buckets.get(bucket) {
            Some(bucket) => std::mem::take(&mut *bucket.lock()),
            None => vec![],
        };
        let bytes = pieces.iter().map(Batch::memory_size).sum();
        memory.grow(bytes)?;
        let input = self.concatenate(pieces)?;
        self.give_back(bytes);
        let mut results: Vec<Option<ArrayRef>> = vec![None; self.specs.len()];
        for (i, leader) in self.specs.iter().enumerate() {
            if results[i].is_some() {
                continue;
            }
            let rows = SortedRows::new(&input, &leader.partition_by, &leader.order_by)?;
            for (j, spec) in self.specs.iter().enumerate().skip(i) {
                if spec.shares_sort_with(leader) {
                    results[j] = Some(rows.unsorted(compute(spec, &input, &rows, memory)?)?);
                }
            }
        }
        let rows = input.len();
        let columns = input.physical_columns().iter().cloned();
        let results = results.into_iter().flatten().map(Column::Array);
        Ok(Batch::new(columns.chain(results).collect(), rows))
    }

    /// Returns memory that the sink reserved for rows that it no longer holds.
    fn give_back(&self, mut bytes: usize) {
        for reservation in self.memory.lock().iter_mut() {
            let part = bytes.min(reservation.bytes());
            reservation.shrink(part);
            bytes -= part;
        }
    }

    fn concatenate(&self, pieces: Vec<Batch>) -> Result<Batch> {
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
        let columns = self.input_types.iter().enumerate().map(column);
        Ok(Batch::new(columns.collect::<Result<_>>()?, rows))
    }
}

/// The values of one call, in sorted order.
fn compute(spec: &WindowSpec, input: &Batch, rows: &SortedRows, memory: &mut Reservation) -> Result<ArrayRef> {
    let sorted = |expr: &PhysicalExpr| rows.sorted(&expr.evaluate(input)?.to_array()?);
    let arguments = spec.arguments.iter().map(sorted).collect::<Result<Vec<_>>>()?;
    let order_column = match spec.order_by.as_slice() {
        [key] => Some(sorted(&key.expr)?),
        _ => None,
    };
    let frames = Frames::new(&spec.frame, rows, &spec.order_by, order_column.as_ref())?;
    match &spec.function {
        WindowOperation::Function { kind, ignore_nulls } => {
            functions::evaluate(*kind, *ignore_nulls, &arguments, rows, &frames, &spec.data_type)
        }
        WindowOperation::Aggregate {
            function,
            signature,
            constants,
            distinct,
            filter,
            order,
        } => FrameAggregate {
            function,
            signature,
            constants,
            distinct: *distinct,
            order,
            arguments: &arguments,
            filter: match filter {
                Some(filter) => Some(sorted(filter)?.as_boolean().clone()),
                None => None,
            },
        }
        .evaluate(rows, &frames, memory),
    }
}
