//! Aggregation without groups: one row out, whatever comes in.

use super::local::{STEP, held_bytes};
use super::{AggregateSpec, accumulators, evaluate};
use crate::error::Result;
use crate::functions::aggregate::Accumulator;
use crate::physical::pipeline::{Flow, LocalSink, PartitionReader, Sink, Source};
use crate::runtime::{Operator, OperatorMetrics, QueryContext, Reservation, Transit};
use crate::vector::Batch;
use arrow::array::ArrayRef;
use parking_lot::Mutex;
use std::sync::Arc;

/// Sink of the rows, source of the one result row.
pub struct SingleAggregate {
    spec: Arc<AggregateSpec>,
    metrics: Arc<OperatorMetrics>,
    shared: Arc<Mutex<Shared>>,
    result: Mutex<Option<OneBatch>>,
}

#[derive(Default)]
struct Shared {
    /// Made with the first worker.
    operator: Option<Arc<Operator>>,
    states: Vec<State>,
}

/// The states of one worker and their memory.
struct State {
    accumulators: Vec<Box<dyn Accumulator>>,
    reservation: Reservation,
}

impl State {
    /// Reserves what the states take.
    fn reserve(&mut self) -> Result<()> {
        let bytes = self.bytes();
        if bytes <= self.reservation.bytes() {
            return Ok(());
        }
        let ahead = bytes / 16 + STEP;
        if self.reservation.try_grow(bytes + ahead - self.reservation.bytes()) {
            return Ok(());
        }
        self.reservation.resize(bytes)
    }

    fn bytes(&self) -> usize {
        self.accumulators.iter().map(|a| a.memory_size()).sum()
    }

    /// What `take` gets out of every accumulator, in a row, and the count of these arrays as long as it lives. What is left
    /// of the reservation is what the accumulators still hold.
    fn take_out(
        &mut self,
        take: impl Fn(&mut dyn Accumulator) -> Result<Vec<ArrayRef>>,
    ) -> Result<(Vec<Vec<ArrayRef>>, Transit)> {
        let arrays = self.accumulators.iter_mut().map(|a| take(a.as_mut()));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let mut transit = self.reservation.operator().arbiter().transit();
        transit.set(held_bytes(&arrays.concat()));
        self.reservation
            .shrink(self.reservation.bytes().saturating_sub(self.bytes()));
        Ok((arrays, transit))
    }
}

impl SingleAggregate {
    pub fn new(spec: Arc<AggregateSpec>, metrics: Arc<OperatorMetrics>) -> Arc<Self> {
        Arc::new(Self {
            spec,
            metrics,
            shared: Arc::default(),
            result: Mutex::default(),
        })
    }

    fn state(&self, context: &QueryContext) -> Result<State> {
        let mut shared = self.shared.lock();
        let operator = shared
            .operator
            .get_or_insert_with(|| context.memory.operator("Aggregate"));
        Ok(State {
            accumulators: accumulators(&self.spec)?,
            reservation: operator.reservation(),
        })
    }
}

impl Sink for SingleAggregate {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalSingle {
            spec: self.spec.clone(),
            state: self.state(context)?,
            shared: self.shared.clone(),
        }))
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        let states = std::mem::take(&mut self.shared.lock().states);
        let mut states = states.into_iter();
        let mut total = match states.next() {
            Some(first) => first,
            None => self.state(context)?,
        };
        for mut state in states {
            let (parts, _transit) = state.take_out(|a| a.state(1))?;
            drop(state);
            for (total, part) in total.accumulators.iter_mut().zip(&parts) {
                total.merge(part, &[0], 1)?;
            }
            total.reserve()?;
        }
        let (arrays, transit) = total.take_out(|a| Ok(vec![a.finish(1)?]))?;
        self.metrics.note_peak_memory(total.reservation.operator().peak());
        *self.result.lock() = Some(OneBatch {
            batch: Some(Batch::from_arrays(arrays.concat(), 1)),
            _memory: transit,
        });
        Ok(())
    }
}

struct LocalSingle {
    spec: Arc<AggregateSpec>,
    state: State,
    shared: Arc<Mutex<Shared>>,
}

impl LocalSink for LocalSingle {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        let columns = evaluate(&self.spec, &batch)?;
        for (aggregate, accumulator) in self.spec.aggregates.iter().zip(&mut self.state.accumulators) {
            let (inputs, rows) = aggregate.inputs(&columns)?;
            let rows = rows.map_or(batch.len(), |r| r.len());
            accumulator.update_single(&inputs, rows)?;
        }
        self.state.reserve()?;
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        self.shared.lock().states.push(self.state);
        Ok(())
    }
}

impl Source for SingleAggregate {
    fn start(&self, _context: &QueryContext) -> Result<()> {
        Ok(())
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let result = self.result.lock().take();
        Ok(result.map(|batch| Box::new(batch) as Box<dyn PartitionReader>))
    }
}

struct OneBatch {
    batch: Option<Batch>,
    /// Of the batch.
    _memory: Transit,
}

impl PartitionReader for OneBatch {
    fn ordinal(&self) -> usize {
        0
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        Ok(self.batch.take())
    }
}
