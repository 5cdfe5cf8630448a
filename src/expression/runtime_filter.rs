//! Filters that a join's build side makes for the scan of its probe side.
//!
//! A filter is written through a [`FilterBuilder`] and only readable once sealed, so that no scan can ever see one that
//! lacks build rows.

use crate::types::ScalarValue;
use std::sync::{Arc, OnceLock};

/// What a scan applies to one of its columns: empty until the build side is complete.
#[derive(Debug, Clone, Default)]
pub struct RuntimeFilter {
    slot: Arc<OnceLock<Sealed>>,
}

/// A complete filter.
#[derive(Debug)]
pub struct Sealed {
    pub min: ScalarValue,
    pub max: ScalarValue,
}

/// The side that fills the filter; sealing consumes it.
#[derive(Debug)]
pub struct FilterBuilder {
    slot: Arc<OnceLock<Sealed>>,
}

impl RuntimeFilter {
    /// An empty filter and the builder that will fill it.
    pub fn new() -> (Self, FilterBuilder) {
        let slot = Arc::new(OnceLock::new());
        (Self { slot: slot.clone() }, FilterBuilder { slot })
    }

    /// The filter when its build side was complete and found it worth publishing.
    pub fn get(&self) -> Option<&Sealed> {
        self.slot.get()
    }
}

impl FilterBuilder {
    /// Publishes the filter; call it only when every build row was seen.
    pub fn seal(self, filter: Sealed) {
        let _ = self.slot.set(filter);
    }
}
