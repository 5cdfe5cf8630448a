//! Containers of Azure Blob Storage and Data Lake Storage.

use super::{cannot_make, options, retries};
use crate::config::StoreSettings;
use crate::error::{Error, Result, without_secrets};
use crate::storage::counting::Wire;
use crate::storage::credentials::Environment;
use crate::storage::location::Scheme;
use crate::storage::store::{Account, Store};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use std::sync::Arc;

/// Variables that Azure's own tools and ours read, and what they mean.
const SOURCES: &[(&[&str], &str)] = &[
    (
        &[
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_ACCESS_KEY",
            "AZURE_STORAGE_KEY",
        ],
        "an account key in the environment",
    ),
    (
        &["AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN"],
        "a shared access signature in the environment",
    ),
    (&["AZURE_STORAGE_TOKEN"], "a token in the environment"),
    (
        &["AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET"],
        "a client secret in the environment",
    ),
    (&["AZURE_FEDERATED_TOKEN_FILE"], "workload identity"),
];

/// The store of a container: `name` is `container`, with the account from the settings or the environment, or
/// `container@account.dfs.core.windows.net`.
pub(in crate::storage) fn azure(url: &str, name: &str, settings: &StoreSettings) -> Result<Arc<Store>> {
    let environment = Environment::of_process();
    let (container, account) = match name.split_once('@') {
        Some((container, host)) => (container, host.split('.').next().map(str::to_string)),
        None => (name, None),
    };
    let named = || {
        environment
            .first(&["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"])
            .map(str::to_string)
    };
    let emulator = environment.flag("AZURE_STORAGE_USE_EMULATOR");
    let account = account.or_else(|| settings.azure_account.clone()).or_else(named);
    if account.is_none() && !emulator {
        return Err(Error::storage("it is not said which storage account the container is in").with_hint(
            "write abfss://container@account.dfs.core.windows.net/path, SET azure_account, or set AZURE_STORAGE_ACCOUNT_NAME",
        ));
    }
    let allow_http = settings.allow_http || emulator || environment.flag("AZURE_ALLOW_HTTP");
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_client_options(options(allow_http))
        .with_http_connector(Wire::default())
        .with_retry(retries(settings));
    if let Some(account) = &account {
        builder = builder.with_account(account);
    }
    if let Some(key) = environment.get("AZURE_STORAGE_KEY") {
        builder = builder.with_access_key(key);
    }
    let found = SOURCES
        .iter()
        .find(|(variables, _)| environment.first(variables).is_some());
    let from = match found {
        _ if settings.azure_anonymous || environment.flag("AZURE_SKIP_SIGNATURE") => {
            builder = builder.with_config(AzureConfigKey::SkipSignature, "true");
            "anonymous"
        }
        Some((_, from)) => from,
        None if emulator => "the emulator's well-known key",
        None if environment.flag("AZURE_USE_AZURE_CLI") || is_program("az", &environment) => {
            builder = builder.with_use_azure_cli(true);
            "the Azure CLI (az)"
        }
        None => "the machine's managed identity",
    };
    let client = Arc::new(builder.build().map_err(cannot_make)?);
    let endpoint = match (
        environment.first(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"]),
        &account,
    ) {
        (Some(endpoint), _) => without_secrets(endpoint),
        (None, Some(account)) => format!("https://{account}.blob.core.windows.net"),
        (None, None) => "http://127.0.0.1:10000".to_string(),
    };
    let account = Account {
        endpoint,
        region: None,
        from: from.to_string(),
        credentials: None,
    };
    Ok(Store::new(url, Scheme::Azure, client.clone(), Some(client)).with_account(account))
}

/// Whether a program is found where the shell would look for it.
fn is_program(name: &str, environment: &Environment) -> bool {
    let path = environment.get("PATH").unwrap_or_default();
    std::env::split_paths(path).any(|folder| folder.join(name).is_file())
}
