//! URL scheme → object store, locations, listing, ranged reads. The only room with `async`.

use std::sync::Arc;

/// A file found by a listing: enough to read it and to notice when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectFile {
    /// The full location: a local path or a URL.
    pub location: Arc<str>,
    /// Bytes.
    pub size: u64,
    /// Microseconds since 1970, UTC.
    pub modified: i64,
    /// The store's version tag, when it has one.
    pub etag: Option<Arc<str>>,
}
