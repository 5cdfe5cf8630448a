//! What a running query shares: cancellation, memory, workers, spill files, metrics.

mod cancel;
mod memory;

pub use cancel::CancelToken;
pub use memory::{MemoryArbiter, Reservation};

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
}

impl QueryContext {
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
                task(i).inspect_err(|_| next.store(count, Ordering::Relaxed))?;
            }
        };
        let workers = self.threads().min(count);
        if workers <= 1 {
            return work();
        }
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let results: Vec<Result<()>> = handles.into_iter().map(join_worker).collect();
            results.into_iter().collect()
        })
    }
}

/// The result of a worker; a panic in it becomes an internal error of its query.
pub fn join_worker<T>(handle: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle.join().unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|s| s.to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".into());
        Err(crate::Error::internal(format!("a worker panicked: {text}")))
    })
}
