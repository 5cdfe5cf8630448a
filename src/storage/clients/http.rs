//! Hosts that give files over HTTP, for reading.

use super::{cannot_make, options, retries};
use crate::error::Result;
use crate::storage::location::Scheme;
use crate::storage::store::Store;
use object_store::http::HttpBuilder;
use std::sync::Arc;

/// The store of a host.
pub(in crate::storage) fn http(url: &str) -> Result<Arc<Store>> {
    let client = HttpBuilder::new()
        .with_url(url)
        .with_client_options(options(url.starts_with("http://")))
        .with_retry(retries())
        .build()
        .map_err(cannot_make)?;
    Ok(Store::new(url, Scheme::Http, Arc::new(client), None))
}
