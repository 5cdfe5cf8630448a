//! Buckets of Google Cloud Storage.

use super::{cannot_make, options, require_tls, retries};
use crate::config::StoreSettings;
use crate::error::{Error, Result};
use crate::storage::counting::Wire;
use crate::storage::credentials::{Environment, google};
use crate::storage::location::Scheme;
use crate::storage::store::{Account, Store};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use std::path::Path;
use std::sync::Arc;

const GOOGLE: &str = "https://storage.googleapis.com";
/// Where `gcloud auth application-default login` leaves what it got.
const DEFAULT_CREDENTIALS: &str = ".config/gcloud/application_default_credentials.json";

/// The store of a bucket. Credentials come from the setting `gcs_service_account`, `GOOGLE_BEARER_TOKEN`,
/// `GOOGLE_SERVICE_ACCOUNT`, `GOOGLE_SERVICE_ACCOUNT_KEY`, `GOOGLE_APPLICATION_CREDENTIALS`, the file of application default
/// credentials, or the metadata service of the machine; the first of these counts.
pub(in crate::storage) fn gcs(url: &str, bucket: &str, settings: &StoreSettings) -> Result<Arc<Store>> {
    let environment = Environment::of_process();
    let allow_http = settings.allow_http || environment.flag("GOOGLE_ALLOW_HTTP");
    let (from, file) = source(&environment, settings);
    let of_file = match &file {
        Some(file) => ServiceFile::read(file)?,
        None => ServiceFile::default(),
    };
    let endpoint = settings.gcs_endpoint.as_deref().or(environment.get("GOOGLE_BASE_URL"));
    let endpoint = endpoint
        .map(str::to_string)
        .or(of_file.endpoint)
        .unwrap_or_else(|| GOOGLE.to_string());
    require_tls(&endpoint, allow_http, "GOOGLE_ALLOW_HTTP")?;
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_base_url(endpoint.trim_end_matches('/'))
        .with_client_options(options(allow_http))
        .with_http_connector(Wire::default())
        .with_retry(retries(settings));
    if let Some(file) = settings.gcs_service_account.as_deref() {
        builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_base_url(endpoint.trim_end_matches('/'))
            .with_client_options(options(allow_http))
            .with_http_connector(Wire::default())
            .with_retry(retries(settings))
            .with_service_account_path(file);
    }
    if from == METADATA {
        builder = builder.with_credentials(google::metadata_service(&environment));
    }
    if from == ANONYMOUS {
        // A token that is not sent, so that none is looked for.
        builder = builder
            .with_bearer_token("")
            .with_config(GoogleConfigKey::SkipSignature, "true");
    }
    let client = Arc::new(builder.build().map_err(cannot_make)?);
    let from = match &of_file.email {
        Some(email) => format!("{from} ({email})"),
        None => from,
    };
    let account = Account {
        endpoint,
        region: None,
        from,
        credentials: None,
    };
    Ok(Store::new(url, Scheme::Gcs, client.clone(), Some(client)).with_account(account))
}

const ANONYMOUS: &str = "anonymous";
const METADATA: &str = "the machine's metadata service";

/// Where credentials come from, in words, and the file, if they come from one.
fn source(environment: &Environment, settings: &StoreSettings) -> (String, Option<std::path::PathBuf>) {
    if settings.gcs_anonymous || environment.flag("GOOGLE_SKIP_SIGNATURE") {
        return (ANONYMOUS.into(), None);
    }
    let file = |what: &str, path: &str| (format!("{what} {path}"), Some(path.into()));
    if let Some(path) = settings.gcs_service_account.as_deref() {
        return file("service account", path);
    }
    if environment.get("GOOGLE_BEARER_TOKEN").is_some() {
        return ("a token in GOOGLE_BEARER_TOKEN".into(), None);
    }
    if let Some(path) = environment.first(&[
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "SERVICE_ACCOUNT",
    ]) {
        return file("service account", path);
    }
    if environment.get("GOOGLE_SERVICE_ACCOUNT_KEY").is_some() {
        return ("a service account in GOOGLE_SERVICE_ACCOUNT_KEY".into(), None);
    }
    if let Some(path) = environment.get("GOOGLE_APPLICATION_CREDENTIALS") {
        return file("application default credentials", path);
    }
    let default = environment.home(DEFAULT_CREDENTIALS);
    match default.exists() {
        true => (
            format!("application default credentials {}", default.display()),
            Some(default),
        ),
        false => (METADATA.into(), None),
    }
}

/// What a file of credentials says that is no secret.
#[derive(Default)]
struct ServiceFile {
    email: Option<String>,
    endpoint: Option<String>,
}

impl ServiceFile {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::storage(format!("{}: {e}", path.display())))?;
        let json: serde_json::Value = serde_json::from_str(&text)
            .map_err(|_| Error::storage(format!("{} is not a file of Google credentials", path.display())))?;
        let field = |name: &str| json.get(name).and_then(|v| v.as_str()).map(str::to_string);
        if let Some(kind) = field("type").filter(|t| !["service_account", "authorized_user"].contains(&t.as_str())) {
            return Err(
                Error::unsupported(format!("{}: Google credentials of the type {kind}", path.display()))
                    .with_hint("a service account, or `gcloud auth application-default login`, are supported"),
            );
        }
        Ok(Self {
            email: field("client_email"),
            endpoint: field("gcs_base_url"),
        })
    }
}
