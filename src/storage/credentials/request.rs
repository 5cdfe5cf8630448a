//! Small requests to services that give credentials.

use crate::error::{Error, Result};
pub(in crate::storage) use crate::storage::errors::element;
use crate::storage::{clients, errors};
use object_store::client::{HttpClient, HttpRequest};
use std::time::Duration;

/// Services on the same machine or in the same rack answer at once or are not there.
const NEAR: Duration = Duration::from_secs(1);
const FAR: Duration = Duration::from_secs(5);
/// For the whole answer.
const TOTAL: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);
/// Answers are small.
const LONGEST_ANSWER: usize = 1 << 20;

/// Where a service is, which decides how long to wait for it and whether a proxy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Distance {
    /// Metadata services of the machine or container.
    Near,
    /// Somewhere on the internet.
    Far,
}

/// An answer with a status below 300.
///
/// # Errors
/// `Storage` with what the service said; `name` is what it is called.
pub(super) async fn answer(name: &str, distance: Distance, build: impl Fn() -> Result<HttpRequest>) -> Result<String> {
    // What is near and cannot be reached is not there.
    let attempts = if distance == Distance::Near { 2 } else { 4 };
    let again = distance == Distance::Far;
    attempt(&client(distance)?, name, attempts, again, || async { build() }).await
}

/// The same by a client that is there already, with requests that may have to be waited for.
pub(in crate::storage) async fn answer_by<F: Future<Output = Result<HttpRequest>>>(
    client: &HttpClient,
    name: &str,
    attempts: u32,
    build: impl Fn() -> F,
) -> Result<String> {
    attempt(client, name, attempts, true, build).await
}

/// `again` says whether a service that cannot be reached is asked again.
async fn attempt<F: Future<Output = Result<HttpRequest>>>(
    client: &HttpClient,
    name: &str,
    attempts: u32,
    again: bool,
    build: impl Fn() -> F,
) -> Result<String> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let last = attempt == attempts;
        match client.execute(build().await?).await {
            Ok(response) => {
                let status = response.status();
                let body = response.into_body().bytes().await.unwrap_or_default();
                let body = String::from_utf8_lossy(body.get(..LONGEST_ANSWER.min(body.len())).unwrap_or_default())
                    .into_owned();
                if status.is_success() {
                    return Ok(body);
                }
                if last || !(status.is_server_error() || status.as_u16() == 429) || status.as_u16() == 501 {
                    return Err(refused(name, status.as_u16(), &body));
                }
            }
            Err(e) if last || !again => {
                return Err(Error::storage(format!(
                    "{name} cannot be reached: {}",
                    errors::innermost(&e)
                )));
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE * attempt).await;
    }
}

fn client(distance: Distance) -> Result<HttpClient> {
    clients::install_tls();
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(if distance == Distance::Near { NEAR } else { FAR })
        .timeout(TOTAL);
    let builder = if distance == Distance::Near {
        builder.no_proxy()
    } else {
        builder
    };
    let client = builder
        .build()
        .map_err(|e| Error::storage(format!("no client for HTTP: {e}")))?;
    Ok(HttpClient::new(client))
}

/// The code and message of an error answer; nothing else of it is shown.
fn refused(name: &str, status: u16, body: &str) -> Error {
    let field = |name: &str| element(body, name).or_else(|| json_field(body, name));
    let code = field("Code").or_else(|| field("code")).unwrap_or_default();
    let message = field("Message").or_else(|| field("message")).unwrap_or_default();
    let what = [code, message]
        .iter()
        .filter(|t| !t.is_empty())
        .cloned()
        .collect::<Vec<_>>()
        .join(": ");
    match what.is_empty() {
        true => Error::storage(format!("{name} answered with status {status}")),
        false => Error::storage(format!("{name} answered with status {status}: {what}")),
    }
}

fn json_field(json: &str, name: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    Some(value.get(name)?.as_str()?.to_string())
}

/// A request without a body.
pub(super) fn get(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<HttpRequest> {
    with_body(method, url, headers, String::new())
}

pub(super) fn with_body(method: &str, url: &str, headers: &[(&str, &str)], body: String) -> Result<HttpRequest> {
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        let mut value = http::HeaderValue::from_str(value)
            .map_err(|_| Error::storage(format!("the value for the header {name} cannot be sent")))?;
        value.set_sensitive(true);
        request = request.header(*name, value);
    }
    // The text itself: of a payload in pieces, the client signs another hash.
    request
        .body(body.into())
        .map_err(|_| Error::storage("the address of a service for credentials is not a URL"))
}
