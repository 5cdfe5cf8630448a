//! The stores behind the schemes, and the runtime that their `async` calls run on.

use super::location::Scheme;
use crate::error::{Error, Result};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use std::future::Future;
use std::sync::{Arc, LazyLock, OnceLock};

/// The one match on schemes.
///
/// # Errors
/// `Unsupported`, naming the scheme, for schemes that are known but not built in.
pub(super) fn store_of(scheme: Scheme) -> Result<Arc<dyn ObjectStore>> {
    static LOCAL: LazyLock<Arc<dyn ObjectStore>> = LazyLock::new(|| Arc::new(LocalFileSystem::new()));
    static MEMORY: LazyLock<Arc<dyn ObjectStore>> = LazyLock::new(|| Arc::new(InMemory::new()));
    match scheme {
        Scheme::Local => Ok(LOCAL.clone()),
        Scheme::Memory => Ok(MEMORY.clone()),
        Scheme::S3 => Err(not_built_in("s3")),
        Scheme::Gcs => Err(not_built_in("gs")),
        Scheme::Azure => Err(not_built_in("az")),
        Scheme::Http => Err(not_built_in("http")),
    }
}

fn not_built_in(scheme: &str) -> Error {
    Error::unsupported(format!("locations with the scheme {scheme}:// are not supported yet"))
        .with_hint("local paths and file:// are")
}

/// Runs a store's future to its end. Must not be called from a thread of the runtime itself, which only this room has.
pub(super) fn wait<F: Future>(future: F) -> Result<F::Output> {
    static RUNTIME: OnceLock<std::io::Result<tokio::runtime::Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(8)
            .thread_name("lakebed-io")
            .build()
    });
    match runtime {
        Ok(runtime) => Ok(runtime.block_on(future)),
        Err(e) => Err(Error::storage(format!("cannot start the threads for reading: {e}"))),
    }
}
