//! Aggregation without groups: one row out, whatever comes in.

use super::{AggregateSpec, accumulators, evaluate};
use crate::error::Result;
use crate::functions::aggregate::Accumulator;
use crate::physical::pipeline::{Flow, LocalSink, PartitionReader, Sink, Source};
use crate::runtime::{QueryContext, Reservation};
use crate::vector::Batch;
use parking_lot::Mutex;
use std::sync::Arc;

/// Sink of the rows, source of the one result row.
pub struct SingleAggregate {
    spec: Arc<AggregateSpec>,
    locals: Arc<Mutex<Vec<Vec<Box<dyn Accumulator>>>>>,
    result: Mutex<Option<Batch>>,
}

impl SingleAggregate {
    pub fn new(spec: Arc<AggregateSpec>) -> Arc<Self> {
        Arc::new(Self {
            spec,
            locals: Arc::default(),
            result: Mutex::default(),
        })
    }
}

impl Sink for SingleAggregate {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalSingle {
            spec: self.spec.clone(),
            accumulators: accumulators(&self.spec)?,
            locals: self.locals.clone(),
            reservation: context.memory.reservation("aggregate"),
            batches: 0,
        }))
    }

    fn finish(&self, _context: &QueryContext) -> Result<()> {
        let mut locals = std::mem::take(&mut *self.locals.lock()).into_iter();
        let mut total = match locals.next() {
            Some(first) => first,
            None => accumulators(&self.spec)?,
        };
        for mut local in locals {
            for (total, part) in total.iter_mut().zip(&mut local) {
                total.merge(&part.state(1)?, &[0], 1)?;
            }
        }
        let arrays = total.iter_mut().map(|a| a.finish(1)).collect::<Result<Vec<_>>>()?;
        *self.result.lock() = Some(Batch::from_arrays(arrays, 1));
        Ok(())
    }
}

struct LocalSingle {
    spec: Arc<AggregateSpec>,
    accumulators: Vec<Box<dyn Accumulator>>,
    locals: Arc<Mutex<Vec<Vec<Box<dyn Accumulator>>>>>,
    reservation: Reservation,
    batches: usize,
}

impl LocalSink for LocalSingle {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        let columns = evaluate(&self.spec, &batch)?;
        for (aggregate, accumulator) in self.spec.aggregates.iter().zip(&mut self.accumulators) {
            let (inputs, rows) = aggregate.inputs(&columns)?;
            let rows = rows.map_or(batch.len(), |r| r.len());
            accumulator.update_single(&inputs, rows)?;
        }
        self.batches += 1;
        if self.batches.is_multiple_of(16) {
            self.reservation
                .resize(self.accumulators.iter().map(|a| a.memory_size()).sum())?;
        }
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        self.locals.lock().push(self.accumulators);
        Ok(())
    }
}

impl Source for SingleAggregate {
    fn start(&self, _context: &QueryContext) -> Result<()> {
        Ok(())
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        Ok(self
            .result
            .lock()
            .take()
            .map(|batch| Box::new(OneBatch(Some(batch))) as Box<dyn PartitionReader>))
    }
}

struct OneBatch(Option<Batch>);

impl PartitionReader for OneBatch {
    fn ordinal(&self) -> usize {
        0
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        Ok(self.0.take())
    }
}
