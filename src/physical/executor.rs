//! Runs pipelines: one after another in dependency order, each with all workers.

use super::pipeline::{Flow, LocalSink, LocalTransform, Pipeline};
use crate::error::Result;
use crate::runtime::{QueryContext, first_cause, on_workers};
use crate::vector::Batch;
use crate::vector::allocator::give_back_beyond;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs the pipelines in order. A pipeline that another depends on stands before it.
pub fn run_pipelines(pipelines: Vec<Pipeline>, context: &QueryContext) -> Result<()> {
    for pipeline in pipelines {
        run(&pipeline, context)?;
        give_back_beyond(context.config.memory_limit);
    }
    Ok(())
}

fn run(pipeline: &Pipeline, context: &QueryContext) -> Result<()> {
    context.cancel.check()?;
    pipeline.source.start(context)?;
    if !pipeline.source.is_empty() {
        pipeline.transforms.iter().try_for_each(|t| t.start(context))?;
        run_workers(pipeline, context)?;
    }
    pipeline.sink.end_pipeline()?;
    if pipeline.finishes_sink {
        pipeline.sink.finish(context)
    } else {
        Ok(())
    }
}

fn run_workers(pipeline: &Pipeline, context: &QueryContext) -> Result<()> {
    let stop = AtomicBool::new(false);
    let work = || {
        let result = Worker::new(pipeline, context).and_then(|worker| worker.run(pipeline, context, &stop));
        result.inspect_err(|_| context.cancel.fail())
    };
    first_cause(on_workers(context.threads(), work))
}

/// One thread's local states.
struct Worker {
    transforms: Vec<Box<dyn LocalTransform>>,
    sink: Box<dyn LocalSink>,
}

impl Worker {
    fn new(pipeline: &Pipeline, context: &QueryContext) -> Result<Self> {
        Ok(Self {
            transforms: pipeline
                .transforms
                .iter()
                .map(|t| t.local(context))
                .collect::<Result<_>>()?,
            sink: pipeline.sink.local(context)?,
        })
    }

    fn run(mut self, pipeline: &Pipeline, context: &QueryContext, stop: &AtomicBool) -> Result<()> {
        'partitions: while !stop.load(Ordering::Relaxed) {
            let Some(mut partition) = pipeline.source.next_partition()? else {
                break;
            };
            self.sink.start_partition(partition.ordinal())?;
            while let Some(batch) = partition.next()? {
                context.cancel.check()?;
                if !batch.is_empty() && push(&mut self.transforms, self.sink.as_mut(), batch)? == Flow::Done {
                    stop.store(true, Ordering::Relaxed);
                    self.sink.end_partition()?;
                    break 'partitions;
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            self.sink.end_partition()?;
        }
        for i in 0..self.transforms.len() {
            let (done, rest) = self.transforms.split_at_mut(i + 1);
            let sink = self.sink.as_mut();
            if let Some(transform) = done.last_mut() {
                transform.finish(&mut |batch| push(rest, sink, batch))?;
            }
        }
        self.sink.combine()
    }
}

/// Drives one batch through the remaining chain.
fn push(transforms: &mut [Box<dyn LocalTransform>], sink: &mut dyn LocalSink, batch: Batch) -> Result<Flow> {
    match transforms.split_first_mut() {
        _ if batch.is_empty() => Ok(Flow::More),
        None => sink.consume(batch),
        Some((first, rest)) => first.push(batch, &mut |out| push(rest, sink, out)),
    }
}
