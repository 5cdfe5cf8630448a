//! Clients whose requests are counted and whose servers are heeded when they ask to slow down.

use super::fetch::GATE;
use super::wire::count;
use crate::runtime::{Counter, RemoteCounters};
use futures::future::BoxFuture;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

/// Makes clients whose requests are counted: for the builders of all stores behind HTTP.
#[derive(Debug, Default)]
pub(super) struct Wire(ReqwestConnector);

impl HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(counting(self.0.connect(options)?))
    }
}

/// The same client, its requests counted.
pub(super) fn counting(client: HttpClient) -> HttpClient {
    HttpClient::new(CountingClient(client))
}

#[derive(Debug)]
struct CountingClient(HttpClient);

// The trait is written with `async_trait`, whose form this is.
impl HttpService for CountingClient {
    fn call<'s, 'f>(&'s self, request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            count(kind(&request), 1);
            let response = self.0.execute(request).await;
            match &response {
                Ok(response) => heed(response.status().as_u16()),
                Err(e) => {
                    count(|c| &c.retries, 1);
                    if e.kind() == HttpErrorKind::Timeout {
                        GATE.slow_down();
                    }
                }
            }
            response
        })
    }
}

/// Which counter a request belongs to. A GET that asks for a list says so in its query; other GETs with a query (of
/// credentials, of parts) are GETs.
fn kind(request: &HttpRequest) -> fn(&RemoteCounters) -> &Counter {
    let lists = |query: &str| {
        let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
        names.any(|name| matches!(name, "list-type" | "prefix" | "delimiter" | "comp"))
    };
    match request.method().as_str() {
        "GET" if request.uri().query().is_some_and(lists) => |c| &c.lists,
        "GET" => |c| &c.gets,
        "HEAD" => |c| &c.heads,
        "DELETE" => |c| &c.deletes,
        _ => |c| &c.puts,
    }
}

/// Counts what will be tried again, and lowers the number of requests when the server asks for it.
fn heed(status: u16) {
    if status >= 500 || status == 429 || status == 408 {
        count(|c| &c.retries, 1);
    }
    if status == 503 || status == 429 {
        GATE.slow_down();
    }
}
