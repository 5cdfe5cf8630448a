//! Measuring operators while a query runs, for EXPLAIN ANALYZE.

use super::pipeline::{Emit, Flow, LocalSink, LocalTransform, PartitionReader, Sink, Source, Transform};
use crate::error::Result;
use crate::runtime::{Current, Entered, OperatorMetrics, QueryContext, RemoteCounters};
use crate::vector::Batch;
use std::sync::Arc;
use std::time::Instant;

/// What one plan node did.
#[derive(Default, Clone)]
pub struct NodeMeter {
    /// Rows that came out of the node, and the time of everything that took them.
    pub output: Arc<OperatorMetrics>,
    /// Time of the node's own source and sink.
    pub work: Arc<OperatorMetrics>,
    /// Requests of the node's own sources.
    pub remote: Arc<RemoteCounters>,
    /// The node's own sources, to tell what they did.
    pub sources: Vec<Arc<dyn Source>>,
    /// What the planner decided.
    pub notes: Vec<String>,
}

fn nanoseconds(since: Instant) -> u64 {
    since.elapsed().as_nanos().min(u64::MAX as u128) as u64
}

/// Counts rows on their way and times what follows.
pub struct Meter(pub Arc<OperatorMetrics>);

impl Transform for Meter {
    fn local(&self, _context: &QueryContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalMeter(self.0.clone())))
    }
}

struct LocalMeter(Arc<OperatorMetrics>);

impl LocalTransform for LocalMeter {
    fn push(&mut self, batch: Batch, emit: &mut Emit) -> Result<Flow> {
        self.0.rows.add(batch.len() as u64);
        self.0.batches.add(1);
        let start = Instant::now();
        let flow = emit(batch);
        self.0.nanoseconds.add(nanoseconds(start));
        flow
    }
}

/// Times a source and counts its requests.
pub struct MeteredSource {
    pub source: Arc<dyn Source>,
    pub work: Arc<OperatorMetrics>,
    pub remote: Arc<RemoteCounters>,
}

/// What this thread asks of stores counts for `remote`, too, until the guard is dropped.
fn count_for(remote: &Arc<RemoteCounters>) -> Entered {
    let current = Current {
        remote: remote.clone(),
        ..Current::get().unwrap_or_default()
    };
    current.enter()
}

impl Source for MeteredSource {
    fn start(&self, context: &QueryContext) -> Result<()> {
        let (start, _counting) = (Instant::now(), count_for(&self.remote));
        let result = self.source.start(context);
        self.work.nanoseconds.add(nanoseconds(start));
        result
    }

    fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let (start, _counting) = (Instant::now(), count_for(&self.remote));
        let reader = self.source.next_partition()?;
        self.work.nanoseconds.add(nanoseconds(start));
        Ok(reader.map(|reader| {
            Box::new(MeteredReader {
                reader,
                work: self.work.clone(),
                remote: self.remote.clone(),
            }) as Box<dyn PartitionReader>
        }))
    }
}

struct MeteredReader {
    reader: Box<dyn PartitionReader>,
    work: Arc<OperatorMetrics>,
    remote: Arc<RemoteCounters>,
}

impl PartitionReader for MeteredReader {
    fn ordinal(&self) -> usize {
        self.reader.ordinal()
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        let (start, _counting) = (Instant::now(), count_for(&self.remote));
        let batch = self.reader.next();
        self.work.nanoseconds.add(nanoseconds(start));
        batch
    }
}

/// Times a sink.
pub struct MeteredSink {
    pub sink: Arc<dyn Sink>,
    pub work: Arc<OperatorMetrics>,
}

impl Sink for MeteredSink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(MeteredLocalSink {
            sink: self.sink.local(context)?,
            work: self.work.clone(),
        }))
    }

    fn end_pipeline(&self) -> Result<()> {
        self.sink.end_pipeline()
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        let start = Instant::now();
        let result = self.sink.finish(context);
        self.work.nanoseconds.add(nanoseconds(start));
        result
    }
}

struct MeteredLocalSink {
    sink: Box<dyn LocalSink>,
    work: Arc<OperatorMetrics>,
}

impl LocalSink for MeteredLocalSink {
    fn start_partition(&mut self, ordinal: usize) -> Result<()> {
        self.sink.start_partition(ordinal)
    }

    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        let start = Instant::now();
        let flow = self.sink.consume(batch);
        self.work.nanoseconds.add(nanoseconds(start));
        flow
    }

    fn end_partition(&mut self) -> Result<()> {
        self.sink.end_partition()
    }

    fn combine(self: Box<Self>) -> Result<()> {
        let start = Instant::now();
        let result = self.sink.combine();
        self.work.nanoseconds.add(nanoseconds(start));
        result
    }
}

/// Takes rows and forgets them: a query run only to be measured.
pub struct Discard;

impl Sink for Discard {
    fn local(&self, _context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(Discard))
    }

    fn finish(&self, _context: &QueryContext) -> Result<()> {
        Ok(())
    }
}

impl LocalSink for Discard {
    fn consume(&mut self, _batch: Batch) -> Result<Flow> {
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
