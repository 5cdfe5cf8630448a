//! What the clients of all kinds of stores have in common.

use crate::config::StoreSettings;
use crate::error::{Error, Result, without_secrets};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use std::sync::Once;
use std::time::Duration;

/// Until a connection stands.
pub(in crate::storage) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Without a byte from the server. A whole request has no limit, because large ones over slow lines take long.
pub(in crate::storage) const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections are kept for the next request that long.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Between repetitions of a request that failed by no fault of its own: 5xx, 429, a lost connection.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// From the first attempt to the last.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// What all clients have in common. Makes the process ready for TLS.
pub(in crate::storage) fn options(allow_http: bool) -> ClientOptions {
    install_tls();
    ClientOptions::new()
        .with_allow_http(allow_http)
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT)
        .with_pool_idle_timeout(POOL_IDLE_TIMEOUT)
}

/// Chooses who encrypts. To be called before the first client is made; nothing is done for local files.
pub(in crate::storage) fn install_tls() {
    static TLS: Once = Once::new();
    // An error says that the process has a provider already, which is as good.
    TLS.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// How requests are repeated.
pub(in crate::storage) fn retries(settings: &StoreSettings) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_BACKOFF,
            max_backoff: LONGEST_BACKOFF,
            base: 2.0,
        },
        max_retries: settings.request_retries,
        retry_timeout: RETRY_TIMEOUT,
    }
}

/// # Errors
/// When a service is not reached over TLS and that is not allowed.
pub(in crate::storage) fn require_tls(endpoint: &str, allowed: bool, variable: &str) -> Result<()> {
    match endpoint.starts_with("http://") && !allowed {
        true => Err(Error::storage(format!(
            "{} is reached without TLS, which is not allowed",
            without_secrets(endpoint)
        ))
        .with_hint(format!("SET allow_http = true, or {variable}=true"))),
        false => Ok(()),
    }
}

/// The error of a client that cannot be made.
pub(in crate::storage) fn cannot_make(e: object_store::Error) -> Error {
    Error::storage(without_secrets(&super::super::errors::innermost(&e)))
}
