//! Uploads in parts that were begun and neither completed nor aborted, as stores list them: what is left of a process that
//! ended between asking for an upload and noting its id.

use super::folder::Folder;
use super::list::store_error;
use super::store::wait;
use crate::error::Result;
use futures::future::BoxFuture;

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// What it is to become: the whole key where a store lists it, the path below the folder where a folder does.
    pub path: String,
    pub id: String,
    /// Microseconds since 1970, UTC, by the clock of the store.
    pub begun: i64,
}

/// A store that tells which uploads are open.
pub trait ListUploads: Send + Sync {
    /// Those of all keys that begin with `prefix`.
    fn list_uploads(&self, prefix: String) -> BoxFuture<'_, object_store::Result<Vec<OpenUpload>>>;
}

impl Folder {
    /// The uploads that are open below the folder, and, with an empty path, those of an object that has the folder's name;
    /// `None` when its store has none or does not tell.
    ///
    /// # Errors
    /// When the store refuses to list them, which needs a right of its own, or does not know how to.
    pub fn open_uploads(&self) -> Result<Option<Vec<OpenUpload>>> {
        let Some(listing) = &self.store.listing else {
            return Ok(None);
        };
        let folder = self.path.as_ref();
        let found = wait(listing.list_uploads(folder.to_string()))?;
        let below = |upload: OpenUpload| {
            let path = match upload.path.strip_prefix(folder)? {
                path if folder.is_empty() || path.is_empty() => path,
                path => path.strip_prefix('/')?,
            };
            let path = path.to_string();
            Some(OpenUpload { path, ..upload })
        };
        match found {
            Ok(found) => Ok(Some(found.into_iter().filter_map(below).collect())),
            Err(e) => Err(store_error(&self.shown(""), e).context("the open uploads cannot be listed")),
        }
    }

    /// Aborts an upload. One that was completed or aborted meanwhile is no more, which is as well.
    pub fn abort_upload(&self, path: &str, id: &str) -> Result<()> {
        let Some(uploads) = &self.store.uploads else {
            return Ok(());
        };
        match wait(uploads.abort_multipart(&self.key(path), &id.to_string()))? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) if is_gone(&e) => Ok(()),
            Err(e) => Err(store_error(&self.shown(path), e)),
        }
    }
}

/// Stores answer in various ways that there is no such upload; one that is there gives an error again when it is tried
/// again.
fn is_gone(e: &object_store::Error) -> bool {
    let text = e.to_string();
    let known = ["NoSuchUpload", "404", "not found", "not exist"];
    known.iter().any(|known| text.contains(known))
}
