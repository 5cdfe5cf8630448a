//! Object stores over HTTP for tests, on loopback: an S3 server over a folder, and strict ones that speak Google's dialect and
//! Azure's.
//!
//! They remember what they were asked ([`Server::log`]) and can be told to misbehave ([`Server::inject`]). They run in
//! threads of the test process, so programs that the test starts can talk to them, too, in the environment that
//! [`Server::environment`] gives.

#![allow(dead_code, reason = "each test program uses another part of it")]

pub mod azure;
pub mod gcs;
pub mod s3;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, RANGE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What answers requests once their bodies have come.
pub type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync>;

static S3: LazyLock<s3::S3Server> = LazyLock::new(|| s3::S3Server::start(&[]));
static GCS: LazyLock<gcs::GcsServer> = LazyLock::new(|| gcs::GcsServer::start(&[]));
static AZURE: LazyLock<azure::AzureServer> = LazyLock::new(|| azure::AzureServer::start(&[]));

/// Puts an object into a bucket of [`fresh_bucket`], beside its server.
pub fn put_into_bucket(url: &str, key: &str, content: Vec<u8>) {
    match url.split_once("://").unwrap() {
        ("s3", bucket) => S3.put(bucket, key, content),
        ("az", container) => AZURE.put(container, key, content),
        (_, bucket) => GCS.put(bucket, key, content),
    }
}

/// A bucket of its own in a server that all tests of the process share: `s3://…`, `gs://…` or `az://…`.
pub fn fresh_bucket(server: &str) -> String {
    // Of its answers to reads, some never come, some come in part, and sometimes it is busy.
    static FLAKY: LazyLock<gcs::GcsServer> = LazyLock::new(|| {
        let server = gcs::GcsServer::start(&[]);
        let busy = Trouble::Status(503, "SlowDown");
        server.inject_every(
            9,
            "GET",
            &[busy, Trouble::CutBefore, Trouble::CutAfter, Trouble::Truncate(20)],
        );
        server
    });
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let bucket = format!("bucket{}", NEXT.fetch_add(1, Ordering::Relaxed));
    match server {
        "s3" => {
            S3.create_bucket(&bucket);
            let client = Arc::new(S3.client(&bucket));
            let url = format!("s3://{bucket}");
            lakebed::storage::register_store(&url, client.clone(), Some(client)).unwrap();
            url
        }
        "gcs" | "flaky" => {
            let server = if server == "gcs" { &GCS } else { &FLAKY };
            server.create_bucket(&bucket);
            let client = Arc::new(server.client(&bucket));
            let url = format!("gs://{bucket}");
            lakebed::storage::register_store(&url, client.clone(), Some(client)).unwrap();
            url
        }
        "azure" => {
            AZURE.create_bucket(&bucket);
            let client = Arc::new(AZURE.client(&bucket));
            let url = format!("az://{bucket}");
            lakebed::storage::register_store(&url, client.clone(), Some(client)).unwrap();
            url
        }
        other => panic!("there is no server {other}"),
    }
}

/// One request and what it was answered.
#[derive(Debug, Clone)]
pub struct Entry {
    pub method: String,
    /// The path with percent escapes decoded, from the bucket on: `bucket/key`.
    pub path: String,
    pub query: String,
    /// The header `range`, when there was one.
    pub range: Option<String>,
    /// Zero for a connection that was cut.
    pub status: u16,
    /// What the request said besides.
    pub headers: HeaderMap,
    /// Bytes of the request's body.
    pub received: usize,
    /// Bytes of the answer's body.
    pub sent: usize,
}

impl Entry {
    /// Whether it asked for the listing of a bucket.
    pub fn is_listing(&self) -> bool {
        self.method == "GET" && self.query.contains("list-type=2")
    }
}

/// How a request goes wrong.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// This status and error code instead of the answer; nothing is done.
    Status(u16, &'static str),
    /// The connection ends before the request is looked at.
    CutBefore,
    /// The request is carried out, and the connection ends without an answer.
    CutAfter,
    /// The body of the answer ends after so many bytes.
    Truncate(usize),
    /// The answer comes later.
    Delay(Duration),
}

struct Injected {
    method: String,
    path: String,
    skip: usize,
    times: usize,
    trouble: Trouble,
}

#[derive(Default)]
struct State {
    log: Mutex<Vec<Entry>>,
    injected: Mutex<Vec<Injected>>,
    recurring: Mutex<Option<Recurring>>,
}

/// Trouble that comes again and again.
struct Recurring {
    every: usize,
    method: String,
    troubles: Vec<Trouble>,
    requests: usize,
}

/// A server that runs until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    state: Arc<State>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts on a free port of loopback.
    pub fn start(handler: Handler) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(serve(listener, handler, shared, stopped));
            runtime.shutdown_background();
        });
        Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything asked so far, in the order of the answers.
    pub fn log(&self) -> Vec<Entry> {
        self.state.log.lock().clone()
    }

    /// Forgets what was asked.
    pub fn clear_log(&self) {
        self.state.log.lock().clear();
    }

    /// Requests with this method ("" is any) whose `bucket/key?query` contains the text.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let wanted =
            |e: &&Entry| (method.is_empty() || e.method == method) && format!("{}?{}", e.path, e.query).contains(part);
        self.state.log.lock().iter().filter(wanted).count()
    }

    /// Bytes of all answers to requests whose path contains the text.
    pub fn bytes_sent(&self, part: &str) -> usize {
        self.state
            .log
            .lock()
            .iter()
            .filter(|e| e.path.contains(part))
            .map(|e| e.sent)
            .sum()
    }

    /// The next `times` requests with this method ("" is any) whose `bucket/key?query` contains `part` go wrong.
    pub fn inject(&self, method: &str, part: &str, times: usize, trouble: Trouble) {
        self.inject_after(0, method, part, times, trouble);
    }

    /// The same after `skip` such requests went well.
    pub fn inject_after(&self, skip: usize, method: &str, part: &str, times: usize, trouble: Trouble) {
        let (method, path) = (method.to_string(), part.to_string());
        self.state.injected.lock().push(Injected {
            method,
            path,
            skip,
            times,
            trouble,
        });
    }

    /// Of the requests with this method, each `every`-th goes wrong, in one way after the other.
    pub fn inject_every(&self, every: usize, method: &str, troubles: &[Trouble]) {
        *self.state.recurring.lock() = Some(Recurring {
            every,
            method: method.to_string(),
            troubles: troubles.to_vec(),
            requests: 0,
        });
    }

    /// Whether all injected trouble has happened.
    pub fn is_trouble_over(&self) -> bool {
        self.state.injected.lock().iter().all(|i| i.times == 0)
    }

    /// Takes back what was injected.
    pub fn calm(&self) {
        self.state.injected.lock().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    handler: Handler,
    state: Arc<State>,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return,
        };
        let Ok((socket, _)) = accepted else { continue };
        let _ = socket.set_nodelay(true);
        let (handler, state) = (handler.clone(), state.clone());
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(request, handler.clone(), state.clone()));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

/// Answers one request; an error cuts the connection.
async fn answer(request: Request<Incoming>, handler: Handler, state: Arc<State>) -> std::io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let entry = Entry {
        method: parts.method.to_string(),
        path: decode(parts.uri.path().trim_start_matches('/')),
        query: parts.uri.query().unwrap_or_default().to_string(),
        range: header(&parts.headers, RANGE.as_str()),
        headers: parts.headers.clone(),
        status: 0,
        received: body.len(),
        sent: 0,
    };
    let trouble = state.trouble_for(&entry);
    let is_head = parts.method == Method::HEAD;
    match &trouble {
        Some(Trouble::CutBefore) => return Err(state.cut(entry)),
        Some(Trouble::Delay(time)) => tokio::time::sleep(*time).await,
        Some(Trouble::Status(status, code)) => {
            return Ok(state.reply(entry, error(*status, code, "injected by the test"), None, is_head));
        }
        _ => {}
    }
    let response = handler(Request::from_parts(parts, body)).await;
    match trouble {
        Some(Trouble::CutAfter) => Err(state.cut(entry)),
        Some(Trouble::Truncate(bytes)) => Ok(state.reply(entry, response, Some(bytes), is_head)),
        _ => Ok(state.reply(entry, response, None, is_head)),
    }
}

impl State {
    fn trouble_for(&self, entry: &Entry) -> Option<Trouble> {
        if let Some(recurring) = &mut *self.recurring.lock()
            && recurring.method == entry.method
        {
            recurring.requests += 1;
            if recurring.requests % recurring.every == 0 {
                let turn = recurring.requests / recurring.every % recurring.troubles.len();
                return Some(recurring.troubles[turn].clone());
            }
        }
        let name = format!("{}?{}", entry.path, entry.query);
        let mut injected = self.injected.lock();
        let found = injected
            .iter_mut()
            .find(|i| i.times > 0 && (i.method.is_empty() || i.method == entry.method) && name.contains(&i.path))?;
        if found.skip > 0 {
            found.skip -= 1;
            return None;
        }
        found.times -= 1;
        Some(found.trouble.clone())
    }

    fn cut(&self, entry: Entry) -> std::io::Error {
        self.log.lock().push(entry);
        std::io::Error::other("the test cuts the connection")
    }

    fn reply(&self, mut entry: Entry, response: Response<Bytes>, keep: Option<usize>, head: bool) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        entry.status = parts.status.as_u16();
        if head {
            self.log.lock().push(entry);
            return Response::from_parts(parts, whole(Bytes::new()));
        }
        let full = body.len();
        let sent = body.slice(..keep.unwrap_or(full).min(full));
        entry.sent = sent.len();
        self.log.lock().push(entry);
        parts.headers.insert(CONTENT_LENGTH, full.into());
        let body = match sent.len() < full {
            false => whole(sent),
            true => {
                let frames = [
                    Ok(Frame::data(sent)),
                    Err(std::io::Error::other("the test truncates the answer")),
                ];
                BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames)))
            }
        };
        Response::from_parts(parts, body)
    }
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// An answer that says in XML what is wrong, as both kinds of stores do.
pub fn error(status: u16, code: &str, message: &str) -> Response<Bytes> {
    let body =
        format!("<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

pub fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_string())
}

/// Percent escapes decoded, once.
pub fn decode(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        match hex.filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// The parameters of a query, decoded.
pub fn parameters(query: &str) -> Vec<(String, String)> {
    let one = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
    };
    query.split('&').filter(|p| !p.is_empty()).map(one).collect()
}

pub fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

pub fn unescape_xml(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

/// An upload in parts that was begun and neither completed nor aborted.
#[derive(Debug, Clone)]
pub struct BegunUpload {
    pub key: String,
    pub id: String,
    pub begun: chrono::DateTime<chrono::Utc>,
}

/// What both kinds of buckets answer who asks for the uploads that are open: `?uploads` with `prefix`, `key-marker`,
/// `upload-id-marker` and `max-uploads`. Anything else is an error.
pub fn list_uploads(bucket: &str, query: &str, page: usize, mut all: Vec<BegunUpload>) -> Response<Bytes> {
    let (mut prefix, mut after, mut page) = (String::new(), (String::new(), String::new()), page);
    for (name, value) in parameters(query) {
        match name.as_str() {
            "uploads" => {}
            "prefix" => prefix = value,
            "key-marker" => after.0 = value,
            "upload-id-marker" => after.1 = value,
            "max-uploads" => page = page.min(value.parse().unwrap()),
            _ => return error(501, "NotImplemented", &format!("listing uploads with {name}")),
        }
    }
    all.retain(|u| u.key.starts_with(&prefix) && (u.key.clone(), u.id.clone()) > after);
    all.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
    let truncated = all.len() > page;
    all.truncate(page);
    let one = |u: &BegunUpload| {
        format!(
            "<Upload><Key>{}</Key><UploadId>{}</UploadId><Initiated>{}</Initiated></Upload>",
            escape_xml(&u.key),
            escape_xml(&u.id),
            u.begun.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
        )
    };
    let next = match all.last().filter(|_| truncated) {
        Some(last) => format!(
            "<NextKeyMarker>{}</NextKeyMarker><NextUploadIdMarker>{}</NextUploadIdMarker>",
            escape_xml(&last.key),
            escape_xml(&last.id)
        ),
        None => String::new(),
    };
    let uploads: String = all.iter().map(one).collect();
    Response::new(
        format!(
            "<?xml version='1.0' encoding='UTF-8'?><ListMultipartUploadsResult><Bucket>{bucket}</Bucket>{next}\
             <IsTruncated>{truncated}</IsTruncated>{uploads}</ListMultipartUploadsResult>"
        )
        .into(),
    )
}
