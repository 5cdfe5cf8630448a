//! The memory arbiter: one limit, and reservations that operators hold against it.

use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Hands out memory up to a limit.
#[derive(Debug)]
pub struct MemoryArbiter {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl MemoryArbiter {
    /// An arbiter for `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that was ever reserved at one time.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// An empty reservation for `owner`, the operator that error messages name.
    pub fn reservation(self: &Arc<Self>, owner: impl Into<Arc<str>>) -> Reservation {
        Reservation {
            arbiter: self.clone(),
            owner: owner.into(),
            bytes: 0,
        }
    }

    fn try_take(&self, bytes: usize) -> bool {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|&total| total <= self.limit)
        });
        if let Ok(before) = taken {
            self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        }
        taken.is_ok()
    }
}

/// Bytes that one operator may hold; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    arbiter: Arc<MemoryArbiter>,
    owner: Arc<str>,
    bytes: usize,
}

impl Reservation {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows by `bytes` if the limit allows it.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let taken = self.arbiter.try_take(bytes);
        self.bytes += if taken { bytes } else { 0 };
        taken
    }

    /// Grows by `bytes`.
    ///
    /// # Errors
    /// `ResourcesExhausted`, naming the operator and the setting, when the limit does not allow it.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        if self.try_grow(bytes) {
            return Ok(());
        }
        let mb = |b: usize| format!("{:.1} MB", b as f64 / 1e6);
        Err(Error::resources(format!(
            "{} needs {} more memory; it holds {}, all operators {} of the limit of {}",
            self.owner,
            mb(bytes),
            mb(self.bytes),
            mb(self.arbiter.used()),
            mb(self.arbiter.limit)
        ))
        .with_hint("raise memory_limit (--memory), or lower threads"))
    }

    /// Grows or shrinks to exactly `bytes`, with [`Reservation::grow`]'s error.
    pub fn resize(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.shrink(self.bytes - bytes);
        Ok(())
    }

    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.arbiter.used.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}
