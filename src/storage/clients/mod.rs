//! How clients of stores are made: what they have in common, and one file for each kind.

#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "s3")]
mod s3;

#[cfg(feature = "azure")]
pub(super) use azure::azure;
#[cfg(feature = "gcs")]
pub(super) use gcs::gcs;
#[cfg(feature = "http")]
pub(super) use http::http;
#[cfg(feature = "s3")]
pub(super) use s3::s3;

use crate::error::Error;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use std::sync::Once;
use std::time::Duration;

/// Until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Without a byte from the server. A whole request has no limit, because large ones over slow lines take long.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections are kept for the next request that long.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Repetitions of a request that failed by no fault of its own: 5xx, 429, a lost connection.
const RETRIES: usize = 8;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// From the first attempt to the last.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// What all clients have in common. To be called before the first client is made.
pub(super) fn options(allow_http: bool) -> ClientOptions {
    static TLS: Once = Once::new();
    // An error says that the process has a provider already, which is as good.
    TLS.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    ClientOptions::new()
        .with_allow_http(allow_http)
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT)
        .with_pool_idle_timeout(POOL_IDLE_TIMEOUT)
}

/// How requests are repeated.
pub(super) fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_BACKOFF,
            max_backoff: LONGEST_BACKOFF,
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    }
}

/// Whether a variable of the environment says yes.
pub(super) fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|v| ["1", "true", "yes", "on"].contains(&v.to_ascii_lowercase().as_str()))
}

/// The error of a client that cannot be made.
fn cannot_make(e: object_store::Error) -> Error {
    Error::storage(e.to_string())
}

#[cfg(any(
    not(feature = "s3"),
    not(feature = "gcs"),
    not(feature = "azure"),
    not(feature = "http")
))]
mod left_out {
    use super::super::store::Store;
    use crate::error::{Error, Result};
    use std::sync::Arc;

    fn left_out(feature: &str) -> Result<Arc<Store>> {
        Err(Error::unsupported(format!(
            "this program was built without the feature \"{feature}\""
        )))
    }

    #[cfg(not(feature = "s3"))]
    pub(in super::super) fn s3(_: &str, _: &str) -> Result<Arc<Store>> {
        left_out("s3")
    }

    #[cfg(not(feature = "gcs"))]
    pub(in super::super) fn gcs(_: &str, _: &str) -> Result<Arc<Store>> {
        left_out("gcs")
    }

    #[cfg(not(feature = "azure"))]
    pub(in super::super) fn azure(_: &str, _: &str) -> Result<Arc<Store>> {
        left_out("azure")
    }

    #[cfg(not(feature = "http"))]
    pub(in super::super) fn http(_: &str) -> Result<Arc<Store>> {
        left_out("http")
    }
}
#[cfg(not(feature = "azure"))]
pub(super) use left_out::azure;
#[cfg(not(feature = "gcs"))]
pub(super) use left_out::gcs;
#[cfg(not(feature = "http"))]
pub(super) use left_out::http;
#[cfg(not(feature = "s3"))]
pub(super) use left_out::s3;
