//! Buckets of S3 and of what speaks like it.

use super::{cannot_make, is_set, options, retries};
use crate::error::Result;
use crate::storage::location::Scheme;
use crate::storage::store::Store;
use object_store::aws::AmazonS3Builder;
use std::sync::Arc;

/// The store of a bucket.
pub(in crate::storage) fn s3(url: &str, bucket: &str) -> Result<Arc<Store>> {
    let client = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(options(is_set("AWS_ALLOW_HTTP")))
        .with_retry(retries())
        .build()
        .map_err(cannot_make)?;
    let client = Arc::new(client);
    Ok(Store::new(url, Scheme::S3, client.clone(), Some(client)))
}
