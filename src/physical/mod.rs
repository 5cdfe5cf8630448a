//! Physical plans: pipelines of operators, and the workers that drive them.

mod aggregate;
mod collect;
mod collected;
mod executor;
mod explain;
mod hash_join;
mod merge_join;
mod meter;
mod pipeline;
mod planner;
mod project;
mod query;
mod range_join;
mod read_ahead;
mod scan;
mod sort;
mod unnest;
mod window;
mod write;

pub use executor::run_pipelines;
pub use explain::{Explanation, explain, explain_analyze};
pub use pipeline::{Emit, Flow, LocalSink, LocalTransform, PartitionReader, Pipeline, Sink, Source, Transform};
pub use query::{QueryStream, execute, run_into};
pub use sort::{SortKey, sort};
pub use write::{BucketHash, Buckets, TextCompression, WriteFormat, WriteResult, WriteTarget, WrittenFile, write_sink};
