//! Buckets of Google Cloud Storage.

use super::{cannot_make, is_set, options, retries};
use crate::error::Result;
use crate::storage::location::Scheme;
use crate::storage::store::Store;
use object_store::gcp::GoogleCloudStorageBuilder;
use std::sync::Arc;

/// The store of a bucket.
pub(in crate::storage) fn gcs(url: &str, bucket: &str) -> Result<Arc<Store>> {
    let client = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(options(is_set("GOOGLE_ALLOW_HTTP")))
        .with_retry(retries())
        .build()
        .map_err(cannot_make)?;
    let client = Arc::new(client);
    Ok(Store::new(url, Scheme::Gcs, client.clone(), Some(client)))
}
