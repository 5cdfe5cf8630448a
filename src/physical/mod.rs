//! Physical plans: pipelines of operators, and the workers that drive them.

mod collect;
mod executor;
mod pipeline;
mod project;
mod scan;

pub use executor::run_pipelines;
pub use pipeline::{Emit, Flow, LocalSink, LocalTransform, PartitionReader, Pipeline, Sink, Source, Transform};
