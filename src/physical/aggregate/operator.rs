//! The sink that groups and the source that gives the groups.

use super::table::GroupTable;
use super::{AggregateSpec, accumulators, evaluate, into_batches};
use crate::error::Result;
use crate::functions::aggregate::Accumulator;
use crate::physical::pipeline::{Flow, LocalSink, PartitionReader, Sink, Source};
use crate::runtime::{CancelToken, QueryContext, Reservation};
use crate::types::DataType;
use crate::vector::memory::live_bytes;
use crate::vector::{Batch, Column};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Partitions of the hash space, by the upper bits of the hash.
const PARTITIONS: usize = 64;
/// Groups that a worker holds before it gives partial states away: with keys and states they still fit a share of L3.
const MAX_LOCAL_GROUPS: usize = 1 << 17;
/// Up to this many groups in all are merged by one thread at once.
const FEW_GROUPS: usize = 1 << 14;

/// Sink of the rows, source of the groups.
pub struct HashAggregate {
    spec: Arc<AggregateSpec>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    locals: Vec<Local>,
    /// Partial states per partition: group columns, then state columns.
    partitions: Vec<Vec<Chunk>>,
    /// The finished batches of an aggregation with few groups.
    ready: Option<Vec<Batch>>,
    next: usize,
    context: Option<QueryContext>,
    reservations: Vec<Reservation>,
}

type Chunk = Vec<ArrayRef>;

impl HashAggregate {
    pub fn new(spec: Arc<AggregateSpec>) -> Arc<Self> {
        Arc::new(Self {
            spec,
            shared: Arc::default(),
        })
    }
}

/// A table and the accumulators of its groups.
struct Local {
    spec: Arc<AggregateSpec>,
    table: GroupTable,
    accumulators: Vec<Box<dyn Accumulator>>,
    groups: Vec<u32>,
    reservation: Reservation,
    /// Given-away partial states, per partition.
    flushed: Vec<Vec<Chunk>>,
    flushed_bytes: usize,
}

impl Local {
    fn new(spec: &Arc<AggregateSpec>, context: &QueryContext) -> Result<Self> {
        Ok(Self {
            spec: spec.clone(),
            table: GroupTable::new(&spec.group_types, &spec.group_nullable, context.fixed_hash())?,
            accumulators: accumulators(spec)?,
            groups: vec![],
            reservation: context.memory.reservation("aggregate"),
            flushed: vec![],
            flushed_bytes: 0,
        })
    }

    fn update(&mut self, batch: &Batch) -> Result<()> {
        let columns = evaluate(&self.spec, batch)?;
        self.table
            .groups_of(&columns[..self.spec.group_types.len()], batch.len(), &mut self.groups)?;
        let count = self.table.len();
        for (aggregate, accumulator) in self.spec.aggregates.iter().zip(&mut self.accumulators) {
            match aggregate.inputs(&columns)? {
                (inputs, None) => accumulator.update(&inputs, &self.groups, count)?,
                (inputs, Some(rows)) => {
                    let groups: Vec<u32> = rows.values().iter().map(|&r| self.groups[r as usize]).collect();
                    accumulator.update(&inputs, &groups, count)?;
                }
            }
        }
        Ok(())
    }

    /// Adds partial states: group columns, then the states of each aggregate.
    fn merge(&mut self, chunk: &[ArrayRef]) -> Result<()> {
        let (keys, states) = chunk.split_at(self.spec.group_types.len());
        let rows = keys.first().map_or(0, |k| k.len());
        let keys: Vec<Column> = keys.iter().cloned().map(Column::Array).collect();
        self.table.groups_of(&keys, rows, &mut self.groups)?;
        let mut at = 0;
        for (aggregate, accumulator) in self.spec.aggregates.iter().zip(&mut self.accumulators) {
            let end = at + aggregate.state.len();
            accumulator.merge(&states[at..end], &self.groups, self.table.len())?;
            at = end;
        }
        Ok(())
    }

    /// Takes the groups and partial states out, leaving no group.
    fn take_states(&mut self) -> Result<Chunk> {
        let mut arrays = self.table.key_columns()?;
        for accumulator in &mut self.accumulators {
            arrays.extend(accumulator.state(self.table.len())?);
        }
        Ok(arrays)
    }

    /// Takes the groups and results out.
    fn finish(mut self) -> Result<(Vec<ArrayRef>, usize)> {
        let rows = self.table.len();
        let mut arrays = self.table.key_columns()?;
        for accumulator in &mut self.accumulators {
            arrays.push(accumulator.finish(rows)?);
        }
        Ok((arrays, rows))
    }

    /// Gives the partial states away, cut by hash.
    fn flush(&mut self) -> Result<()> {
        let hashes = self.table.hashes();
        let (order, ends) = partition_order(hashes);
        let states = self.take_states()?;
        self.table.clear();
        let order = UInt32Array::from(order);
        let sorted = states
            .iter()
            .map(|a| take(a, &order, None))
            .collect::<Result<Vec<_>, _>>()?;
        self.flushed_bytes += sorted.iter().map(|a| live_bytes(a.as_ref())).sum::<usize>();
        self.flushed.resize_with(PARTITIONS, Vec::new);
        let mut start = 0;
        for (partition, end) in ends.into_iter().enumerate() {
            if end > start {
                self.flushed[partition].push(sorted.iter().map(|a| a.slice(start, end - start)).collect());
            }
            start = end;
        }
        self.account()
    }

    fn account(&mut self) -> Result<()> {
        let states: usize = self.accumulators.iter().map(|a| a.memory_size()).sum();
        self.reservation
            .resize(self.table.memory_size() + states + self.flushed_bytes)
    }
}

/// The groups ordered by partition, and where each partition ends.
fn partition_order(hashes: &[u64]) -> (Vec<u32>, Vec<usize>) {
    let of = |hash: u64| (hash >> 58) as usize;
    let mut counts = [0usize; PARTITIONS];
    hashes.iter().for_each(|&h| counts[of(h)] += 1);
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
        let at = &mut starts[of(hash)];
        order[*at] = group as u32;
        *at += 1;
    }
    (order, ends)
}

impl Sink for HashAggregate {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalAggregate {
            local: Local::new(&self.spec, context)?,
            shared: self.shared.clone(),
            batches: 0,
        }))
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        let mut shared = self.shared.lock();
        let mut locals = std::mem::take(&mut shared.locals);
        let groups: usize = locals.iter().map(|l| l.table.len()).sum();
        if locals.iter().all(|l| l.flushed.is_empty()) && (groups <= FEW_GROUPS || locals.len() <= 1) {
            let mut total = match locals.pop() {
                Some(last) => last,
                None => Local::new(&self.spec, context)?,
            };
            for mut local in locals {
                total.merge(&local.take_states()?)?;
            }
            self.add_empty_sets(&mut total)?;
            total.account()?;
            let rows = total.table.len();
            let (arrays, _) = total.finish()?;
            shared.ready = Some(into_batches(arrays, rows, context.config.batch_size));
            return Ok(());
        }
        shared.partitions.resize_with(PARTITIONS, Vec::new);
        for local in &mut locals {
            local.flush()?;
            for (all, mut part) in shared.partitions.iter_mut().zip(std::mem::take(&mut local.flushed)) {
                all.append(&mut part);
            }
        }
        for mut local in locals {
            local.table = GroupTable::new(&self.spec.group_types, &self.spec.group_nullable, None)?;
            local.reservation.resize(local.flushed_bytes)?;
            shared.reservations.push(local.reservation);
        }
        shared.context = Some(context.clone());
        Ok(())
    }
}

impl HashAggregate {
    /// `GROUPING SETS (…, ())` gives the grand total also of no rows.
    fn add_empty_sets(&self, total: &mut Local) -> Result<()> {
        if total.table.len() > 0 {
            return Ok(());
        }
        for id in &self.spec.empty_sets {
            let keys = self.spec.group_types.iter().enumerate().map(|(i, t)| {
                let last = i + 1 == self.spec.group_types.len();
                let value = if last {
                    crate::types::ScalarValue::Int64(*id)
                } else {
                    crate::types::ScalarValue::Null
                };
                Column::constant(&value, if last { &DataType::Int64 } else { t }, 1)
            });
            let keys = keys.collect::<Result<Vec<_>>>()?;
            total.table.groups_of(&keys, 1, &mut total.groups)?;
        }
        Ok(())
    }
}

struct LocalAggregate {
    local: Local,
    shared: Arc<Mutex<Shared>>,
    batches: usize,
}

impl LocalSink for LocalAggregate {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        self.local.update(&batch)?;
        self.batches += 1;
        if self.local.table.len() > MAX_LOCAL_GROUPS {
            self.local.flush()?;
        } else if self.batches.is_multiple_of(16) {
            self.local.account()?;
        }
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        self.shared.lock().locals.push(self.local);
        Ok(())
    }
}

impl Source for HashAggregate {
    fn start(&self, _context: &QueryContext) -> Result<()> {
        Ok(())
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let mut shared = self.shared.lock();
        if let Some(batches) = shared.ready.take() {
            return Ok(Some(Box::new(GroupReader {
                ordinal: 0,
                batches: batches.into(),
                work: None,
                cancel: CancelToken::default(),
            })));
        }
        let Some(context) = shared.context.clone().filter(|_| shared.next < PARTITIONS) else {
            return Ok(None);
        };
        let ordinal = shared.next;
        shared.next += 1;
        let chunks = std::mem::take(&mut shared.partitions[ordinal]);
        let cancel = context.cancel.clone();
        let work = Some((self.spec.clone(), chunks, context));
        Ok(Some(Box::new(GroupReader {
            ordinal,
            batches: VecDeque::new(),
            work,
            cancel,
        })))
    }
}

/// Merges a partition when first asked, then gives it out batch by batch.
struct GroupReader {
    ordinal: usize,
    batches: VecDeque<Batch>,
    work: Option<(Arc<AggregateSpec>, Vec<Chunk>, QueryContext)>,
    cancel: CancelToken,
}

impl PartitionReader for GroupReader {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        if let Some((spec, chunks, context)) = self.work.take() {
            let mut total = Local::new(&spec, &context)?;
            for (i, chunk) in chunks.into_iter().enumerate() {
                self.cancel.check()?;
                total.merge(&chunk)?;
                if i % 8 == 7 {
                    total.account()?;
                }
            }
            let (arrays, rows) = total.finish()?;
            self.batches = into_batches(arrays, rows, context.config.batch_size).into();
        }
        Ok(self.batches.pop_front())
    }
}
