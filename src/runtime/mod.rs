//! What a running query shares: cancellation, memory, workers, spill files, metrics.

mod cancel;
mod current;
mod memory;
mod metrics;
mod panics;
mod spill;

pub use cancel::CancelToken;
pub use current::{Current, Entered};
pub use memory::{Cache, CacheShare, MemoryArbiter, Operator, Reservation, Shrink, Transit};
pub use metrics::{Counter, Metrics, OperatorMetrics, RemoteCounters};
pub use panics::{caught, guarded, hide_guarded_panics};
pub use spill::{BlockPlace, SpillFile, SpillManager, SpillReader, SpillRun, SpillWriter};
pub use spill::{LEVELS, PARTITIONS, PartitionWriter, block_bytes, partition_of};

use crate::config::Config;
use crate::error::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Everything an operator may ask of its surroundings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct QueryContext {
    pub config: Arc<Config>,
    pub memory: Arc<MemoryArbiter>,
    pub cancel: CancelToken,
    pub metrics: Arc<Metrics>,
    pub spill: Arc<SpillManager>,
}

impl QueryContext {
    /// A context for one query: its own cancellation and counters, the session's memory.
    pub fn new(config: Arc<Config>, memory: Arc<MemoryArbiter>) -> Self {
        // The requests of a query that a statement runs count for the statement.
        let remote = Current::get().unwrap_or_default().remote;
        let metrics = Arc::new(Metrics::new(remote));
        let spill = SpillManager::new(&config, Arc::clone(&metrics), Arc::clone(&memory));
        Self {
            config,
            memory,
            cancel: CancelToken::default(),
            metrics,
            spill,
        }
    }

    /// The hash that all keys have under the test setting `debug_hash`.
    pub fn fixed_hash(&self) -> Option<u64> {
        u64::try_from(self.config.debug_hash).ok()
    }

    /// This thread works for the query until the guard is dropped.
    pub fn enter(&self) -> Entered {
        let current = Current {
            cancel: self.cancel.clone(),
            remote: self.metrics.remote.clone(),
            threads: self.threads(),
            memory: Some(self.memory.clone()),
        };
        current.enter()
    }

    /// Worker threads.
    pub fn threads(&self) -> usize {
        self.config.threads.max(1)
    }

    /// Runs `task(0..count)` on all workers, each index once; the first error stops the rest.
    pub fn parallel(&self, count: usize, task: &(dyn Fn(usize) -> Result<()> + Sync)) -> Result<()> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    return Ok(());
                }
                self.cancel.check()?;
                task(i).inspect_err(|_| self.cancel.fail())?;
            }
        };
        first_cause(on_workers(self.threads().min(count), work))
    }
}

/// What `work` gives on each of `count` threads, of which the calling one is the first. A panic in one becomes an internal
/// error.
pub fn on_workers<T: Send>(count: usize, work: impl Fn() -> Result<T> + Sync) -> Vec<Result<T>> {
    let current = Current::get();
    let inherit = || {
        let _entered = Entered::put(current.clone());
        work()
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..count).map(|_| scope.spawn(inherit)).collect();
        // Work that is done before the others have started is common, and threads cost more than it then.
        let mut results = vec![caught(&work)];
        results.extend(others.into_iter().map(join_worker));
        results
    })
}

/// The error that made the others stop, if any.
pub fn first_cause(results: Vec<Result<()>>) -> Result<()> {
    let mut errors: Vec<crate::Error> = results.into_iter().filter_map(Result::err).collect();
    errors.sort_by_key(|e| e.kind() == crate::ErrorKind::Cancelled);
    errors.into_iter().next().map_or(Ok(()), Err)
}

/// The result of a worker; a panic in it becomes an internal error of its query.
fn join_worker<T>(handle: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle.join().unwrap_or_else(|panic| Err(panics::internal(&*panic)))
}
