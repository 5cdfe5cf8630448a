//! Buckets of S3 and of what speaks like it.

use super::uploads::{Sign, UploadsOfBucket};
use super::{cannot_make, install_tls, options, require_tls, retries};
use crate::config::StoreSettings;
use crate::error::{Error, Result};
use crate::storage::counting::Wire;
use crate::storage::credentials::Environment;
use crate::storage::credentials::aws::{self, Provider};
use crate::storage::location::Scheme;
use crate::storage::store::{Account, Describe, Store, wait};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer};
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_REGION: &str = "us-east-1";
/// Finding the region is one request; when it does not answer soon, what is configured will do.
const REGION_TIMEOUT: Duration = Duration::from_secs(3);

/// The store of a bucket.
pub(in crate::storage) fn s3(url: &str, bucket: &str, settings: &StoreSettings) -> Result<Arc<Store>> {
    let environment = Environment::of_process();
    let identity = aws::find(&environment, settings)?;
    let endpoint = settings.s3_endpoint.clone().or_else(|| identity.endpoint.clone());
    let allow_http = settings.allow_http || environment.flag("AWS_ALLOW_HTTP");
    if let Some(endpoint) = &endpoint {
        require_tls(endpoint, allow_http, "AWS_ALLOW_HTTP")?;
    }
    // Nobody shows a certificate there; the system's are hundreds of files.
    let plain = endpoint.as_ref().is_some_and(|e| e.starts_with("http://"));
    let options = options(allow_http).with_no_system_certificates(plain);
    let region = region(bucket, endpoint.as_deref(), identity.region.as_deref(), settings)?;
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_region(&region)
        .with_client_options(options.clone())
        .with_http_connector(Wire::default())
        .with_retry(retries(settings));
    if let Some(endpoint) = &endpoint {
        // The variable for S3 alone would win over it.
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    if settings.s3_requester_pays {
        builder = builder.with_request_payer(true);
    }
    let provider = identity.provider(&environment, allow_http);
    builder = match &provider {
        Some(provider) => builder.with_credentials(provider.0.clone()).with_skip_signature(false),
        None => builder.with_skip_signature(true),
    };
    let client = Arc::new(builder.build().map_err(cannot_make)?);
    let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let listing = UploadsOfBucket {
        options: options.clone(),
        bucket: match environment.flag("AWS_VIRTUAL_HOSTED_STYLE_REQUEST") {
            true => endpoint.clone(),
            false => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        },
        sign: sign(provider.clone(), region.clone(), settings.s3_requester_pays),
    };
    let account = Account {
        endpoint,
        region: Some(region),
        from: identity.from,
        credentials: provider.map(|p| Arc::new(p) as Arc<dyn Describe>),
    };
    let store = Store::new(url, Scheme::S3, client.clone(), Some(client));
    Ok(store.with_listing(Arc::new(listing)).with_account(account))
}

/// Signs requests that the client of the bucket does not make.
fn sign(provider: Option<Provider>, region: String, requester_pays: bool) -> Sign {
    Box::new(move |mut request| {
        let (provider, region) = (provider.clone(), region.clone());
        async move {
            if let Some(provider) = provider {
                let now = provider.0.current().await?;
                AwsAuthorizer::new(&now.credential, "s3", &region)
                    .with_request_payer(requester_pays)
                    .try_authorize(&mut request, None)
                    .map_err(|_| Error::storage("the request cannot be signed"))?;
            }
            Ok(request)
        }
        .boxed()
    })
}

impl Describe for Provider {
    fn describe(&self) -> BoxFuture<'_, Result<(String, Option<String>)>> {
        Provider::describe(self).boxed()
    }
}

/// The region of a bucket: the one that is set; for another service than Amazon's the one of the environment or profile;
/// else the one that the bucket itself names.
fn region(bucket: &str, endpoint: Option<&str>, configured: Option<&str>, settings: &StoreSettings) -> Result<String> {
    if let Some(region) = settings
        .s3_region
        .as_deref()
        .or(configured.filter(|_| endpoint.is_some()))
    {
        return Ok(region.to_string());
    }
    let base = endpoint.unwrap_or("https://s3.amazonaws.com").trim_end_matches('/');
    let found = wait(ask_region(format!("{base}/{bucket}")))?;
    Ok(found.as_deref().or(configured).unwrap_or(DEFAULT_REGION).to_string())
}

/// What a bucket says about its region. It says it to everybody, also when it says no to the request.
async fn ask_region(url: String) -> Option<String> {
    install_tls();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REGION_TIMEOUT)
        .build()
        .ok()?;
    let response = client.head(url).send().await.ok()?;
    Some(
        response
            .headers()
            .get("x-amz-bucket-region")?
            .to_str()
            .ok()?
            .to_string(),
    )
}
