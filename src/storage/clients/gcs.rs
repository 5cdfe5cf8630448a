//! Buckets of Google Cloud Storage.

use super::uploads::UploadsOfBucket;
use super::{cannot_make, options, require_tls, retries};
use crate::config::StoreSettings;
use crate::error::{Error, Result};
use crate::storage::counting::Wire;
use crate::storage::credentials::{Environment, google, google_file};
use crate::storage::location::Scheme;
use crate::storage::store::{Account, Store};
use futures::FutureExt;
use object_store::client::HttpRequest;
use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder, GoogleConfigKey};
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
        .or(of_file.endpoint.clone())
        .unwrap_or_else(|| GOOGLE.to_string());
    require_tls(&endpoint, allow_http, "GOOGLE_ALLOW_HTTP")?;
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_base_url(endpoint.trim_end_matches('/'))
        .with_client_options(options(allow_http))
        .with_http_connector(Wire::default())
        .with_retry(retries(settings));
    let plain = || {
        GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_base_url(endpoint.trim_end_matches('/'))
            .with_client_options(options(allow_http))
            .with_http_connector(Wire::default())
            .with_retry(retries(settings))
    };
    if let Some(file) = settings.gcs_service_account.as_deref() {
        builder = plain().with_service_account_path(file);
    }
    if let (Some(file), Some(text)) = (&file, &of_file.text) {
        // The client would not know what to make of the file, wherever it is named.
        builder = plain().with_credentials(google_file::tokens_of_file(file, text, &environment, allow_http)?);
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
    let credentials = (from != ANONYMOUS).then(|| client.credentials().clone());
    let listing = UploadsOfBucket {
        options: options(allow_http),
        bucket: format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        sign: Box::new(move |request| with_token(credentials.clone(), request).boxed()),
    };
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
    let store = Store::new(url, Scheme::Gcs, client.clone(), Some(client));
    Ok(store.with_listing(Arc::new(listing)).with_account(account))
}

/// A request with the token of who asks.
async fn with_token(credentials: Option<GcpCredentialProvider>, mut request: HttpRequest) -> Result<HttpRequest> {
    let Some(credentials) = credentials else {
        return Ok(request);
    };
    let token = credentials.get_credential().await.map_err(cannot_make)?;
    let mut value = http::HeaderValue::from_str(&format!("Bearer {}", token.bearer))
        .map_err(|_| Error::storage("the token of the credentials cannot be sent"))?;
    value.set_sensitive(true);
    request.headers_mut().insert(http::header::AUTHORIZATION, value);
    Ok(request)
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
    /// All of it, when its type is one that the client does not know.
    text: Option<serde_json::Value>,
}

impl ServiceFile {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::storage(format!("{}: {e}", path.display())))?;
        let json: serde_json::Value = serde_json::from_str(&text)
            .map_err(|_| Error::storage(format!("{} is not a file of Google credentials", path.display())))?;
        let field = |name: &str| json.get(name).and_then(|v| v.as_str()).map(str::to_string);
        let kind = field("type");
        let ours = kind.as_deref().is_some_and(|kind| google_file::TYPES.contains(&kind));
        if let Some(kind) = kind.filter(|t| !ours && !["service_account", "authorized_user"].contains(&t.as_str())) {
            return Err(
                Error::unsupported(format!("{}: Google credentials of the type {kind}", path.display())).with_hint(
                    "service accounts, their impersonation, workload identity federation and `gcloud auth \
                     application-default login` are supported",
                ),
            );
        }
        Ok(Self {
            // What is impersonated is a part of the URL.
            email: field("client_email").or_else(|| {
                let url = field("service_account_impersonation_url")?;
                let (_, email) = url.rsplit_once('/')?;
                Some(email.split(':').next()?.to_string())
            }),
            endpoint: field("gcs_base_url"),
            text: ours.then_some(json),
        })
    }
}
