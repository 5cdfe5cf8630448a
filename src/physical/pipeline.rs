//! The three roles of an operator: source, transform, sink.
//!
//! ```text
//! pipeline:  source ──batches──▶ transform ──▶ … ──▶ transform ──▶ sink
//!            partitions are handed to workers; a worker drives one partition at a time through the whole chain
//! ```
//!
//! An operator that must see all rows first (sort, hash build, aggregate) is the sink of one pipeline and, through state
//! that both hold in an `Arc`, the source (or a transform) of a later one.

use crate::error::Result;
use crate::runtime::QueryContext;
use crate::vector::Batch;
use std::sync::Arc;

/// Whether more rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    More,
    /// Nothing that follows can change the result: the source may stop.
    Done,
}

/// Where a transform puts its output.
pub type Emit<'a> = dyn FnMut(Batch) -> Result<Flow> + 'a;

/// Gives rows, partition by partition.
pub trait Source: Send + Sync {
    /// Called once when the pipeline starts, after all pipelines it depends on have finished.
    fn start(&self, context: &QueryContext) -> Result<()>;

    /// Whether there is nothing to read, known after `start` without reading: no worker is started then.
    fn is_empty(&self) -> bool {
        false
    }

    /// What it did, for EXPLAIN ANALYZE.
    fn facts(&self) -> Vec<String> {
        vec![]
    }

    /// The next unit of work, or `None`. Called by all workers.
    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>>;
}

/// The rows of one partition, in order.
pub trait PartitionReader: Send {
    /// The partition's place in the source's order, 0, 1, 2, … without gaps; results are given to the user in this order.
    fn ordinal(&self) -> usize;

    /// The next batch (perhaps empty), or `None` at the end.
    fn next(&mut self) -> Result<Option<Batch>>;
}

/// Turns batches into batches; shared by the workers, each with its own local state.
pub trait Transform: Send + Sync {
    /// Called once when a pipeline starts, before the workers; may use all of them through `context.parallel`.
    fn start(&self, _context: &QueryContext) -> Result<()> {
        Ok(())
    }

    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalTransform>>;
}

/// One worker's side of a transform.
pub trait LocalTransform: Send {
    /// Takes one batch, emits any number.
    fn push(&mut self, batch: Batch, emit: &mut Emit) -> Result<Flow>;

    /// Called when this worker has no partition left; emits what was held back.
    fn finish(&mut self, _emit: &mut Emit) -> Result<()> {
        Ok(())
    }
}

/// Takes all rows; shared by the workers, each with its own local state.
pub trait Sink: Send + Sync {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>>;

    /// Called after each pipeline that feeds this sink; ordinals begin again at 0.
    fn end_pipeline(&self) -> Result<()> {
        Ok(())
    }

    /// Called once after every worker's `combine`. May use all workers through `context.parallel`.
    fn finish(&self, context: &QueryContext) -> Result<()>;
}

/// One worker's side of a sink.
pub trait LocalSink: Send {
    /// A new partition begins, with this place in the source's order.
    fn start_partition(&mut self, _ordinal: usize) -> Result<()> {
        Ok(())
    }

    fn consume(&mut self, batch: Batch) -> Result<Flow>;

    /// The partition of the last `start_partition` ended.
    fn end_partition(&mut self) -> Result<()> {
        Ok(())
    }

    /// Called when this worker has no partition left: hands the local state to the shared one.
    fn combine(self: Box<Self>) -> Result<()>;
}

/// A chain from a source to a sink.
pub struct Pipeline {
    /// For EXPLAIN ANALYZE and errors, e.g. `Scan lineitem → Probe → Aggregate`.
    pub name: String,
    pub source: Arc<dyn Source>,
    pub transforms: Vec<Arc<dyn Transform>>,
    pub sink: Arc<dyn Sink>,
    /// False when a later pipeline of the list feeds the same sink (UNION ALL): `Sink::finish` waits for the last.
    pub finishes_sink: bool,
}
