//! Cancellation: a flag that every loop over batches looks at.

use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Belongs to one query; shared by its workers and whoever may stop it.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicU8>);

const CANCELLED: u8 = 1;
const FAILED: u8 = 2;

impl CancelToken {
    /// The user's wish.
    pub fn cancel(&self) {
        self.0.store(CANCELLED, Ordering::Relaxed);
    }

    /// A worker failed: the others need not go on.
    pub fn fail(&self) {
        let _ = self.0.compare_exchange(0, FAILED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether the query is over, for whatever reason.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// An error of kind `Cancelled` once the query is over.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            Err(Error::cancelled())
        } else {
            Ok(())
        }
    }
}
