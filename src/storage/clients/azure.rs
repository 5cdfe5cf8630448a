//! Containers of Azure Blob Storage and Data Lake Storage.

use super::{cannot_make, is_set, options, retries};
use crate::error::Result;
use crate::storage::location::Scheme;
use crate::storage::store::Store;
use object_store::azure::MicrosoftAzureBuilder;
use std::sync::Arc;

/// The store of a container: `name` is `container`, with the account from the environment, or
/// `container@account.dfs.core.windows.net`.
pub(in crate::storage) fn azure(url: &str, name: &str) -> Result<Arc<Store>> {
    let (container, account) = match name.split_once('@') {
        Some((container, host)) => (container, host.split('.').next()),
        None => (name, None),
    };
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_client_options(options(is_set("AZURE_ALLOW_HTTP")))
        .with_retry(retries());
    if let Some(account) = account {
        builder = builder.with_account(account);
    }
    let client = Arc::new(builder.build().map_err(cannot_make)?);
    Ok(Store::new(url, Scheme::Azure, client.clone(), Some(client)))
}
