//! Physical plans: pipelines of operators, and the workers that drive them.

mod executor;
mod pipeline;

pub use executor::run_pipelines;
pub use pipeline::{Emit, Flow, LocalSink, LocalTransform, PartitionReader, Pipeline, Sink, Source, Transform};
