//! Tokens from the metadata service of a machine of Google's; all other sources are those of the client.

use super::cached::{Cached, Fetch, Fetched};
use super::request::{Distance, answer, get};
use super::{Environment, Secret};
use crate::error::{Error, Result};
use chrono::{TimeDelta, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::gcp::GcpCredential;
use serde_json::Value;
use std::sync::Arc;

const PATH: &str = "computeMetadata/v1/instance/service-accounts/default/token";

struct Metadata {
    host: String,
}

/// What keeps tokens of the metadata service fresh.
pub(in crate::storage) fn metadata_service(environment: &Environment) -> Arc<Cached<GcpCredential>> {
    let host = environment.first(&["GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"]);
    let host = host.unwrap_or("metadata.google.internal").to_string();
    Arc::new(Cached::new(Metadata { host }))
}

impl Fetch<GcpCredential> for Metadata {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched<GcpCredential>>> {
        async move {
            let url = format!(
                "http://{}/{PATH}?audience=https://www.googleapis.com/oauth2/v4/token",
                self.host
            );
            let headers = [("metadata-flavor", "Google")];
            let body = answer("Google's metadata service", Distance::Near, || {
                get("GET", &url, &headers)
            })
            .await;
            let body = body.map_err(|e| {
                Error::storage(format!(
                    "no credentials for Google Cloud Storage were found ({})",
                    e.message()
                ))
                .with_hint(
                    "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS; \
                     for a public bucket, SET gcs_anonymous = true",
                )
            })?;
            let incomplete = || Error::storage("Google's metadata service did not answer with a token");
            let body: Value = serde_json::from_str(&body).map_err(|_| incomplete())?;
            let token = body
                .get("access_token")
                .and_then(Value::as_str)
                .map(Secret::new)
                .ok_or_else(incomplete)?;
            let seconds = body
                .get("expires_in")
                .and_then(Value::as_i64)
                .unwrap_or(300)
                .clamp(0, 86_400);
            Ok(Fetched {
                credential: Arc::new(GcpCredential {
                    bearer: token.reveal().to_string(),
                }),
                expires: Some(Utc::now() + TimeDelta::seconds(seconds)),
            })
        }
        .boxed()
    }
}
