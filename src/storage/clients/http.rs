//! Hosts that give files over HTTP, for reading.
//!
//! A location comes from the text of a query, and the text may come from a stranger: without leave, requests go neither to
//! this machine nor to its network, whatever a name or a redirection leads to (server-side request forgery).

use super::{CONNECT_TIMEOUT, READ_TIMEOUT, cannot_make, install_tls, options, require_tls, retries};
use crate::config::StoreSettings;
use crate::error::{Error, Result};
use crate::storage::access::{Access, access};
use crate::storage::counting::counting;
use crate::storage::credentials::Environment;
use crate::storage::location::Scheme;
use crate::storage::store::{Account, Store};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::BoxFuture;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};
use object_store::http::HttpBuilder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// Redirections followed for one request.
const REDIRECTIONS: usize = 3;

/// The store of a host: `origin` is its scheme, name and port. `url` is the same, or the location of one file, as it is shown
/// instead of the credentials that are in it.
pub(in crate::storage) fn http(url: &str, origin: &str, settings: &StoreSettings) -> Result<Arc<Store>> {
    let environment = Environment::of_process();
    let allow_http = settings.allow_http || environment.flag("LAKEBED_ALLOW_HTTP");
    let allow_private = settings.allow_private_hosts || environment.flag("LAKEBED_ALLOW_PRIVATE_HOSTS");
    require_tls(origin, allow_http, "LAKEBED_ALLOW_HTTP")?;
    let host = url::Url::parse(origin).map_err(|_| Error::plan("that is not a URL"))?;
    if !allow_private && is_private_host(&host) {
        return Err(private(host.host_str().unwrap_or_default()));
    }
    let client = HttpBuilder::new()
        .with_url(origin)
        .with_client_options(options(allow_http))
        .with_retry(retries(settings))
        .with_http_connector(Guarded {
            allow_http,
            allow_private,
            location: (url != origin).then(|| url.into()),
        })
        .build()
        .map_err(cannot_make)?;
    let account = Account {
        endpoint: origin.to_string(),
        region: None,
        from: if url == origin {
            "anonymous"
        } else {
            "the location itself"
        }
        .into(),
        credentials: None,
    };
    Ok(Store::new(url, Scheme::Http, Arc::new(client), None).with_account(account))
}

fn private(host: &str) -> Error {
    Error::storage(format!(
        "{host} is this machine or in its network, where locations over HTTP may not lead"
    ))
    .with_hint("SET allow_private_hosts = true, or LAKEBED_ALLOW_PRIVATE_HOSTS=true")
}

/// Makes clients that look where they go.
#[derive(Debug, Clone)]
struct Guarded {
    allow_http: bool,
    allow_private: bool,
    /// The location whose credentials are sent.
    location: Option<Arc<str>>,
}

impl HttpConnector for Guarded {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        install_tls();
        let allow_private = self.allow_private;
        let follow = move |attempt: reqwest::redirect::Attempt<'_>| {
            if attempt.previous().len() > REDIRECTIONS {
                return attempt.error(Error::storage("it is redirected too often"));
            }
            if !allow_private && is_private_host(attempt.url()) {
                let error = private(attempt.url().host_str().unwrap_or_default());
                return attempt.error(error);
            }
            attempt.follow()
        };
        let mut builder = reqwest::Client::builder()
            .https_only(!self.allow_http)
            .redirect(Policy::custom(follow))
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT);
        if !self.allow_private {
            builder = builder.dns_resolver(Arc::new(PublicOnly));
        }
        let client = builder.build().map_err(|e| object_store::Error::Generic {
            store: "HTTP",
            source: Box::new(e),
        })?;
        let client = counting(HttpClient::new(client));
        Ok(match &self.location {
            None => client,
            Some(location) => HttpClient::new(WithAccess {
                client,
                location: location.clone(),
            }),
        })
    }
}

/// Sends the credentials of a location with each request.
#[derive(Debug)]
struct WithAccess {
    client: HttpClient,
    /// As it is shown.
    location: Arc<str>,
}

// The trait is written with `async_trait`, whose form this is.
impl HttpService for WithAccess {
    fn call<'s, 'f>(&'s self, mut request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let access = access(&self.location);
            let query = access.as_ref().and_then(|access| access.query.as_deref());
            if let Some(query) = query {
                let uri = format!("{}?{query}", request.uri());
                // It was read as a URL before.
                *request.uri_mut() = uri.parse().unwrap_or_default();
            }
            if let Some(header) = access.as_ref().and_then(basic) {
                request.headers_mut().insert(http::header::AUTHORIZATION, header);
            }
            // A signature is often for GET alone.
            let asks_for_size = query.is_some() && request.method() == http::Method::HEAD;
            if asks_for_size {
                *request.method_mut() = http::Method::GET;
                let first = http::HeaderValue::from_static("bytes=0-0");
                request.headers_mut().insert(http::header::RANGE, first);
            }
            let response = self.client.execute(request).await?;
            match asks_for_size {
                true => Ok(size_of(response)),
                false => Ok(response),
            }
        })
    }
}

/// The header that says who asks.
fn basic(access: &Access) -> Option<http::HeaderValue> {
    if access.user.is_none() && access.password.is_none() {
        return None;
    }
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let pair = format!("{}:{}", text(&access.user), text(&access.password));
    let mut value = http::HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The answer to a question for the first byte, as one to a question for the size.
fn size_of(response: HttpResponse) -> HttpResponse {
    let (mut parts, body) = response.into_parts();
    let total = || {
        let range = parts.headers.get(http::header::CONTENT_RANGE)?.to_str().ok()?;
        range.rsplit_once('/')?.1.parse::<u64>().ok()
    };
    match (parts.status.as_u16(), total()) {
        // Of an empty file there is no first byte.
        (206, Some(size)) | (416, Some(size @ 0)) => {
            parts.status = http::StatusCode::OK;
            parts.headers.remove(http::header::CONTENT_RANGE);
            parts.headers.insert(http::header::CONTENT_LENGTH, size.into());
            http::Response::from_parts(parts, String::new().into())
        }
        (200, _) => http::Response::from_parts(parts, String::new().into()),
        _ => http::Response::from_parts(parts, body),
    }
}

/// Names are resolved as always; addresses that are not public are an error.
#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_string();
            let found = tokio::task::spawn_blocking({
                let host = host.clone();
                move || (host.as_str(), 0).to_socket_addrs().map(Vec::from_iter)
            });
            let found: Vec<SocketAddr> = found.await.map_err(Box::new)??;
            if found.iter().any(|address| is_private(address.ip())) {
                return Err(private(&host).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether a URL names an address, and that is not public; names are looked at when they are resolved.
fn is_private_host(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => is_private(ip.into()),
        Some(url::Host::Ipv6(ip)) => is_private(ip.into()),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => true,
    }
}

/// Whether an address is not one of the public internet: loopback, private, link-local (metadata services), shared,
/// multicast, unspecified, and IPv6 forms of these.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || ip.octets().starts_with(&[192, 0, 0])
        }
        IpAddr::V6(ip) => {
            let segments = ip.segments();
            let embedded = |high: u16, low: u16| {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                is_private(Ipv4Addr::new(a, b, c, d).into())
            };
            match segments {
                // Addresses of version 4 inside ones of version 6: mapped, compatible, translated, 6to4.
                [0, 0, 0, 0, 0, 0xffff | 0, high, low] => {
                    ip.is_loopback() || ip.is_unspecified() || embedded(high, low)
                }
                [0x64, 0xff9b, _, _, _, _, high, low] => embedded(high, low),
                [0x2002, high, low, ..] => embedded(high, low),
                [first, ..] => ip.is_multicast() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_are_known() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "224.0.0.1",
        ];
        for ip in private {
            assert!(is_private(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["8.8.8.8", "52.95.110.1", "2001:4860:4860::8888", "::ffff:8.8.8.8"] {
            assert!(!is_private(ip.parse().unwrap()), "{ip}");
        }
        for url in [
            "http://localhost/x",
            "https://[::1]/",
            "http://2130706433/",
            "http://0x7f.1/",
        ] {
            assert!(is_private_host(&url::Url::parse(url).unwrap()), "{url}");
        }
    }
}
