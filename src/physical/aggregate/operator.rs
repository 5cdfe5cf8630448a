//! The sink that groups, and the source's front.

use super::local::{Local, Room};
use super::merge::GroupReader;
use super::states::{StateWriter, Store, partition_order};
use super::{AggregateSpec, into_batches};
use crate::error::Result;
use crate::physical::pipeline::{Flow, LocalSink, PartitionReader, Sink, Source};
use crate::runtime::{OperatorMetrics, PARTITIONS, QueryContext};
use crate::types::{DataType, ScalarValue};
use crate::vector::{Batch, Column};
use parking_lot::Mutex;
use std::sync::Arc;

/// Groups that a worker holds before it gives partial states away: with keys and states they still fit a share of L3.
const MAX_LOCAL_GROUPS: usize = 1 << 17;
/// Up to this many groups in all are merged by one thread at once.
const FEW_GROUPS: usize = 1 << 14;
/// Batches after which `debug_force_spill` writes partial states.
const FORCED_BATCHES: usize = 3;

/// Sink of the rows, source of the groups.
pub struct HashAggregate {
    spec: Arc<AggregateSpec>,
    metrics: Arc<OperatorMetrics>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// Made with the first worker.
    store: Option<Arc<Store>>,
    locals: Vec<LocalAggregate>,
    /// The finished batches of an aggregation with few groups.
    ready: Option<GroupReader>,
    /// The next partition to read, once all rows have come.
    next: Option<usize>,
}

impl HashAggregate {
    pub fn new(spec: Arc<AggregateSpec>, metrics: Arc<OperatorMetrics>) -> Arc<Self> {
        Arc::new(Self {
            spec,
            metrics,
            shared: Arc::default(),
        })
    }

    fn store(&self, context: &QueryContext) -> Arc<Store> {
        let mut shared = self.shared.lock();
        shared
            .store
            .get_or_insert_with(|| Store::new(&self.spec, &self.metrics, context))
            .clone()
    }
}

impl Sink for HashAggregate {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        let local = LocalAggregate::new(self.store(context))?;
        Ok(Box::new(Consumer {
            local,
            shared: self.shared.clone(),
        }))
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        let store = self.store(context);
        let locals = std::mem::take(&mut self.shared.lock().locals);
        self.metrics.note_peak_memory(store.operator.peak());
        let locals = match self.merge_few(locals, &store)? {
            Merged::All(total) => {
                let (arrays, reservation) = total.finish()?;
                let rows = arrays.first().map_or(0, |a| a.len());
                let batches = into_batches(arrays, rows, context.config.batch_size);
                self.shared.lock().ready = Some(GroupReader::of_batches(store, batches, reservation));
                return Ok(());
            }
            Merged::Not(locals) => locals,
        };
        let locals: Vec<_> = locals.into_iter().map(|local| Mutex::new(Some(local))).collect();
        context.parallel(locals.len(), &|i| match locals[i].lock().take() {
            Some(local) => local.give_all_away(),
            None => Ok(()),
        })?;
        store.seal()?;
        self.shared.lock().next = Some(0);
        Ok(())
    }
}

/// What became of the workers' tables.
enum Merged {
    All(Local),
    Not(Vec<LocalAggregate>),
}

impl HashAggregate {
    /// Merges the workers' tables when there is little to merge.
    fn merge_few(&self, mut locals: Vec<LocalAggregate>, store: &Arc<Store>) -> Result<Merged> {
        let groups: usize = locals.iter().map(|l| l.local.len()).sum();
        let all_here = locals.iter().all(|l| !l.gave_away);
        let few = groups <= FEW_GROUPS || locals.len() <= 1;
        if !(all_here && few) || (store.context.config.debug_force_spill && groups > 0) {
            return Ok(Merged::Not(locals));
        }
        let Some(mut total) = locals.pop() else {
            let mut none = Local::new(&self.spec, &store.operator, &store.context)?;
            self.add_empty_sets(&mut none)?;
            return Ok(Merged::All(none));
        };
        while let Some(mut next) = locals.pop() {
            let (states, copies) = next.local.take_states()?;
            drop(next);
            total.local.merge(&states)?;
            drop((states, copies));
            if total.local.reserve()? != Room::Enough {
                locals.push(total);
                return Ok(Merged::Not(locals));
            }
        }
        self.add_empty_sets(&mut total.local)?;
        Ok(Merged::All(total.local))
    }

    /// `GROUPING SETS (…, ())` gives the grand total also of no rows.
    fn add_empty_sets(&self, total: &mut Local) -> Result<()> {
        if total.len() > 0 {
            return Ok(());
        }
        for id in &self.spec.empty_sets {
            let keys = self.spec.group_types.iter().enumerate().map(|(i, t)| {
                let last = i + 1 == self.spec.group_types.len();
                let value = if last {
                    ScalarValue::Int64(*id)
                } else {
                    ScalarValue::Null
                };
                Column::constant(&value, if last { &DataType::Int64 } else { t }, 1)
            });
            let keys = keys.collect::<Result<Vec<_>>>()?;
            total.table.groups_of(&keys, 1, &mut total.groups)?;
        }
        Ok(())
    }
}

/// One worker's groups, and what it wrote to disk.
struct LocalAggregate {
    local: Local,
    store: Arc<Store>,
    writer: Option<StateWriter>,
    gave_away: bool,
    batches: usize,
}

impl LocalAggregate {
    fn new(store: Arc<Store>) -> Result<Self> {
        Ok(Self {
            local: Local::new(&store.spec, &store.operator, &store.context)?,
            store,
            writer: None,
            gave_away: false,
            batches: 0,
        })
    }

    fn update(&mut self, batch: &Batch) -> Result<()> {
        self.local.update(batch)?;
        self.batches += 1;
        let forced = self.store.context.config.debug_force_spill && self.batches.is_multiple_of(FORCED_BATCHES);
        match self.local.reserve()? {
            _ if forced => self.give_away(false),
            Room::Enough if self.local.len() <= MAX_LOCAL_GROUPS => Ok(()),
            Room::Enough => self.give_away(true),
            Room::ShareUsed => self.give_away(false),
            Room::None => self.make_room(),
        }
    }

    /// Writes states that are already in memory: they are not looked up any more. Without any, the table has to go.
    fn make_room(&mut self) -> Result<()> {
        let kept = self.store.bytes();
        if kept > 0 {
            let store = self.store.clone();
            let bytes = self.local.needed().max(kept / 2);
            store.spill(bytes, self.writer()?)?;
            if self.local.reserve()? == Room::Enough {
                return Ok(());
            }
        }
        self.give_away(false)
    }

    fn writer(&mut self) -> Result<&mut StateWriter> {
        Ok(match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.store.writer(0)?),
        })
    }

    /// Gives all partial states away: to memory if there is enough, otherwise to disk.
    fn give_away(&mut self, keep_memory: bool) -> Result<()> {
        self.gave_away = true;
        self.store.note_size(self.local.needed(), self.local.len());
        let (states, copies) = self.local.take_states()?;
        let hashes = self.local.table.hashes();
        let (order, ends) = partition_order(hashes);
        let forced = self.store.context.config.debug_force_spill;
        let kept = if forced {
            0
        } else {
            self.store.keep(&states, &order, &ends)?
        };
        if kept < PARTITIONS {
            let first = kept
                .checked_sub(1)
                .and_then(|last| ends.get(last))
                .copied()
                .unwrap_or(0);
            let rest = (first > 0).then(|| &order[first..]);
            let writer = match &mut self.writer {
                Some(writer) => writer,
                none => none.insert(self.store.writer(0)?),
            };
            writer.append(&states, hashes, rest)?;
        }
        drop((states, copies));
        self.local.clear(keep_memory && kept == PARTITIONS)?;
        let held = self.local.reservation.bytes();
        self.local.reservation.shrink(held.saturating_sub(self.local.needed()));
        Ok(())
    }

    /// Leaves nothing with the worker.
    fn give_all_away(mut self) -> Result<()> {
        if self.local.len() > 0 {
            self.give_away(false)?;
        }
        let Self {
            local, store, writer, ..
        } = self;
        drop(local);
        writer.map_or(Ok(()), |writer| store.add_runs(writer))
    }
}

/// A worker's side of the sink.
struct Consumer {
    local: LocalAggregate,
    shared: Arc<Mutex<Shared>>,
}

impl LocalSink for Consumer {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        self.local.update(&batch)?;
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
        if let Some(ready) = shared.ready.take() {
            return Ok(Some(Box::new(ready)));
        }
        let Some(next) = shared.next.filter(|&next| next < PARTITIONS) else {
            return Ok(None);
        };
        shared.next = Some(next + 1);
        let store = shared.store.clone();
        drop(shared);
        Ok(store.map(|store| Box::new(GroupReader::of_partition(store, next)) as Box<dyn PartitionReader>))
    }
}
