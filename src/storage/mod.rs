//! URL scheme → object store, locations, listing, ranged reads. The only room with `async`.
//!
//! Everything outside is synchronous: [`list`] says which files a location stands for, [`read_range`] and friends give
//! their bytes, [`open_text`] streams a compressed or plain text file.

#![cfg_attr(
    not(all(feature = "s3", feature = "gcs", feature = "azure", feature = "http")),
    allow(dead_code, reason = "kinds of stores that are left out leave helpers without use")
)]

mod access;
mod bzip2_blocks;
mod cached;
mod clients;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "http"))]
mod counting;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "http"))]
mod credentials;
mod disk_cache;
mod elsewhere;
mod errors;
mod fetch;
mod folder;
mod folders;
mod footers;
mod gate;
mod guard;
mod hadoop_blocks;
mod identity;
mod list;
mod location;
mod put;
mod read;
mod staged;
mod store;
mod stream;
mod text;
mod uploads;
mod whoami;
mod wire;

pub use access::{has_secret_location, shown_location};
pub use cached::cache_in;
pub use disk_cache::finish_keeping;
pub use elsewhere::{Place, Placement, home_elsewhere};
pub use fetch::{Fetch, fetch};
pub use folder::{Folder, Object, Version};
pub use folders::{list_each, walk_folders};
pub use footers::{cache_footer, cached_footer};
pub use guard::{allow_also, allow_only, check_allowed, is_inside};
pub use list::{exists, file_at_location, list};
pub use location::{Location, absolute_path};
pub use put::put_file;
pub use read::{forget_open_files, read_all, read_range, read_ranges};
pub use staged::{FileWriter, StagedFile, StagedFiles, Upload, discard, noted_uploads, publish};
pub use store::{configure, register_store, register_upload_listing};
pub use text::{Compression, open_text};
pub use uploads::{ListUploads, OpenUpload};
pub use whoami::{Whoami, whoami};

use std::sync::Arc;

/// Whether requests over a network bring the file's bytes.
pub fn is_remote(file: &ObjectFile) -> bool {
    !read::is_local(&file.location)
}

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
