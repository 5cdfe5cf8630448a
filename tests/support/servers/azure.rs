//! A small server that speaks the part of Azure's Blob REST API that a data lake needs, and refuses what it does not know.
//!
//! Block blobs in memory: conditional puts, blocks and their lists, ranges, lists with delimiter and pages, batches of
//! deletions, copies. As Azure does, it leaves the quotes of tags out in lists, has no ranges that count from the end, and
//! forgets the blocks of a blob that were not committed when it is written otherwise.
//! See <https://learn.microsoft.com/en-us/rest/api/storageservices/blob-service-rest-api>.

use super::gcs::parse_range;
use super::{Handler, Server, decode, error, escape_xml, header, parameters};
use bytes::Bytes;
use hyper::{Request, Response, StatusCode};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Deref;
use std::sync::Arc;

pub const TOKEN: &str = "token-of-the-tests";
pub const ACCOUNT: &str = "lakebedtests";

/// Headers that clients may send; any other is an error, so that nothing is ignored by mistake.
const HEADERS: &[&str] = &[
    "host",
    "accept",
    "user-agent",
    "content-length",
    "content-type",
    "authorization",
    "range",
    "if-match",
    "if-none-match",
    "date",
    "x-ms-date",
    "x-ms-version",
    "x-ms-blob-type",
    "x-ms-copy-source",
    "accept-encoding",
];
/// Deletions of one batch.
const BATCH: usize = 256;

#[derive(Debug, Clone)]
struct Blob {
    content: Bytes,
    version: u64,
    modified: chrono::DateTime<chrono::Utc>,
}

impl Blob {
    /// As lists have it; headers have quotes around it.
    fn tag(&self) -> String {
        format!("0x8D{:013X}", self.version)
    }

    fn quoted_tag(&self) -> String {
        format!("\"{}\"", self.tag())
    }

    fn date(&self) -> String {
        self.modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

#[derive(Debug, Default)]
struct Cloud {
    containers: BTreeMap<String, BTreeMap<String, Blob>>,
    /// Blocks that are not committed, by container, blob and block id.
    blocks: BTreeMap<(String, String), BTreeMap<String, Bytes>>,
    version: u64,
    page: usize,
}

/// The server and what it stores.
pub struct AzureServer {
    server: Server,
    cloud: Arc<Mutex<Cloud>>,
}

impl Deref for AzureServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl AzureServer {
    /// A server with empty containers.
    pub fn start(containers: &[&str]) -> Self {
        let cloud = Arc::new(Mutex::new(Cloud {
            containers: containers.iter().map(|c| (c.to_string(), BTreeMap::new())).collect(),
            version: 0x1000,
            page: 5000,
            ..Default::default()
        }));
        let shared = cloud.clone();
        let handler: Handler = Arc::new(move |request| {
            let cloud = shared.clone();
            Box::pin(async move { cloud.lock().answer(request) })
        });
        Self {
            server: Server::start(handler),
            cloud,
        }
    }

    /// One more container.
    pub fn create_bucket(&self, name: &str) {
        self.cloud.lock().containers.insert(name.to_string(), BTreeMap::new());
    }

    /// Entries in one page of a list.
    pub fn set_page(&self, entries: usize) {
        self.cloud.lock().page = entries;
    }

    /// Puts a blob beside the server.
    pub fn put(&self, container: &str, name: &str, content: impl AsRef<[u8]>) {
        let content = Bytes::copy_from_slice(content.as_ref());
        self.cloud.lock().put(container, name, content);
    }

    /// The names of a container's blobs, sorted.
    pub fn keys(&self, container: &str) -> Vec<String> {
        self.cloud.lock().containers[container].keys().cloned().collect()
    }

    /// What a program needs in its environment to use the server as Azure.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ENDPOINT", self.url().as_str()),
            ("AZURE_ALLOW_HTTP", "true"),
            ("AZURE_STORAGE_TOKEN", TOKEN),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .to_vec()
    }

    /// A client of a container, for tests inside this process.
    pub fn client(&self, container: &str) -> object_store::azure::MicrosoftAzure {
        // A second time it is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        object_store::azure::MicrosoftAzureBuilder::new()
            .with_account(ACCOUNT)
            .with_endpoint(self.url())
            .with_allow_http(true)
            .with_bearer_token_authorization(TOKEN)
            .with_container_name(container)
            .build()
            .unwrap()
    }
}

/// An answer that went wrong.
type Refusal = Box<Response<Bytes>>;

fn refuse<T>(status: u16, code: &str, message: &str) -> Result<T, Refusal> {
    let mut response = error(status, code, &escape_xml(message));
    response.headers_mut().insert("x-ms-error-code", code.parse().unwrap());
    Err(Box::new(response))
}

fn no_blob<T>() -> Result<T, Refusal> {
    refuse(404, "BlobNotFound", "The specified blob does not exist.")
}

fn reply(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

impl Cloud {
    fn answer(&mut self, request: Request<Bytes>) -> Response<Bytes> {
        match self.dispatch(request) {
            Ok(response) => response,
            Err(refusal) => *refusal,
        }
    }

    fn dispatch(&mut self, request: Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        for name in request.headers().keys() {
            if !HEADERS.contains(&name.as_str()) {
                return refuse(
                    400,
                    "UnsupportedHeader",
                    &format!("the header {name} is not known here"),
                );
            }
        }
        check_authorization(header(request.headers(), "authorization").as_deref())?;
        for names in [["x-ms-date", "date"], ["x-ms-version"; 2]] {
            if names.iter().all(|name| !request.headers().contains_key(*name)) {
                return refuse(400, "MissingRequiredHeader", names[0]);
            }
        }
        let path = request.uri().path().trim_start_matches('/').to_string();
        let (container, name) = path.split_once('/').unwrap_or((&path, ""));
        let (container, name) = (decode(container), decode(name));
        if !self.containers.contains_key(&container) {
            return refuse(404, "ContainerNotFound", "The specified container does not exist.");
        }
        let query = parameters(request.uri().query().unwrap_or_default());
        let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let method = request.method().as_str();
        if name.is_empty() {
            return match (method, value("restype"), value("comp")) {
                ("GET", Some("container"), Some("list")) => self.list(&container, &query),
                ("POST", Some("container"), Some("batch")) => self.batch(&container, &request),
                _ => refuse(400, "InvalidQueryParameterValue", &format!("{method} of a container")),
            };
        }
        match (method, value("comp"), query.len()) {
            ("GET" | "HEAD", None, 0) => self.read(&container, &name, &request),
            ("PUT", None, 0) if request.headers().contains_key("x-ms-copy-source") => {
                self.copy(&container, &name, &request)
            }
            ("PUT", None, 0) => self.write(&container, &name, request),
            ("PUT", Some("block"), 2) => self.write_block(container, name, value("blockid"), request),
            ("PUT", Some("blocklist"), 1) => self.commit_blocks(&container, &name, &request),
            _ => refuse(
                400,
                "InvalidQueryParameterValue",
                &format!("{method} with the parameters {query:?}"),
            ),
        }
    }

    fn list(&self, container: &str, query: &[(String, String)]) -> Result<Response<Bytes>, Refusal> {
        let (mut prefix, mut delimiter, mut from, mut page) = (String::new(), None, String::new(), self.page);
        for (name, value) in query {
            match name.as_str() {
                "restype" | "comp" => {}
                "prefix" => prefix = value.clone(),
                "delimiter" if value == "/" => delimiter = Some('/'),
                // The marker is the first name of the page, marked so that nobody can guess it.
                "marker" => match value.strip_prefix("marker!") {
                    Some(marker) => from = marker.to_string(),
                    None => return refuse(400, "OutOfRangeInput", "the marker is not one"),
                },
                "startFrom" => from = value.clone(),
                "maxresults" => page = page.min(value.parse().unwrap_or(page)),
                other => {
                    return refuse(
                        400,
                        "InvalidQueryParameterValue",
                        &format!("listing with {other}={value}"),
                    );
                }
            }
        }
        let (mut entries, mut prefixes, mut count, mut next) = (String::new(), BTreeSet::new(), 0, String::new());
        for (name, blob) in &self.containers[container] {
            let Some(rest) = name.strip_prefix(&prefix) else {
                continue;
            };
            let folder = delimiter
                .and_then(|d| rest.split_once(d))
                .map(|(first, _)| format!("{prefix}{first}/"));
            let entry = folder.as_ref().unwrap_or(name);
            if *entry < from || prefixes.contains(entry) {
                continue;
            }
            if count == page {
                next = format!("marker!{entry}");
                break;
            }
            count += 1;
            match folder {
                Some(folder) => {
                    write!(entries, "<BlobPrefix><Name>{}</Name></BlobPrefix>", escape_xml(&folder)).unwrap();
                    prefixes.insert(folder);
                }
                None => write!(
                    entries,
                    "<Blob><Name>{}</Name><Properties><Last-Modified>{}</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length>\
                     <Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>",
                    escape_xml(name),
                    blob.date(),
                    blob.tag(),
                    blob.content.len()
                )
                .unwrap(),
            }
        }
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"{container}\"><Blobs>{entries}</Blobs>\
             <NextMarker>{}</NextMarker></EnumerationResults>",
            escape_xml(&next)
        );
        Ok(reply(200, text))
    }

    fn read(&self, container: &str, name: &str, request: &Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        let Some(blob) = self.containers[container].get(name) else {
            return no_blob();
        };
        self.check(container, name, request)?;
        let size = blob.content.len();
        let mut response = Response::new(blob.content.clone());
        if let Some(range) = header(request.headers(), "range") {
            if range.starts_with("bytes=-") {
                return refuse(400, "InvalidHeaderValue", "ranges do not count from the end");
            }
            let Some((start, end)) = parse_range(&range, size) else {
                return refuse(416, "InvalidRange", "The range specified is invalid.");
            };
            *response.body_mut() = blob.content.slice(start..end);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {start}-{}/{size}", end - 1);
            response.headers_mut().insert("content-range", range.parse().unwrap());
        }
        let length = response.body().len();
        let headers = response.headers_mut();
        headers.insert("content-length", length.into());
        headers.insert("etag", blob.quoted_tag().parse().unwrap());
        headers.insert("last-modified", blob.date().parse().unwrap());
        headers.insert("x-ms-blob-type", "BlockBlob".parse().unwrap());
        Ok(response)
    }

    /// # Errors
    /// When a condition does not hold.
    fn check(&self, container: &str, name: &str, request: &Request<Bytes>) -> Result<(), Refusal> {
        let now = self.containers[container].get(name);
        if let Some(wanted) = header(request.headers(), "if-match") {
            if !wanted.starts_with('"') {
                return refuse(400, "InvalidHeaderValue", "a tag has quotes");
            }
            if now.is_none_or(|blob| blob.quoted_tag() != wanted) {
                return refuse(
                    412,
                    "ConditionNotMet",
                    "The condition specified using HTTP conditional header(s) is not met.",
                );
            }
        }
        match header(request.headers(), "if-none-match").as_deref() {
            None => Ok(()),
            Some("*") if now.is_some() => refuse(409, "BlobAlreadyExists", "The specified blob already exists."),
            Some("*") => Ok(()),
            Some(_) => refuse(400, "InvalidHeaderValue", "if-none-match is * here"),
        }
    }

    fn write(&mut self, container: &str, name: &str, request: Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        if header(request.headers(), "x-ms-blob-type").as_deref() != Some("BlockBlob") {
            return refuse(400, "MissingRequiredHeader", "x-ms-blob-type");
        }
        self.check(container, name, &request)?;
        self.put(container, name, request.into_body());
        Ok(self.written(container, name, 201))
    }

    fn put(&mut self, container: &str, name: &str, content: Bytes) {
        self.version += 1;
        let blob = Blob {
            content,
            version: self.version,
            modified: chrono::Utc::now(),
        };
        self.blocks.remove(&(container.to_string(), name.to_string()));
        self.containers
            .get_mut(container)
            .unwrap()
            .insert(name.to_string(), blob);
    }

    fn written(&self, container: &str, name: &str, status: u16) -> Response<Bytes> {
        let blob = &self.containers[container][name];
        let mut response = reply(status, "");
        let headers = response.headers_mut();
        headers.insert("etag", blob.quoted_tag().parse().unwrap());
        headers.insert("last-modified", blob.date().parse().unwrap());
        response
    }

    fn copy(&mut self, container: &str, name: &str, request: &Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        self.check(container, name, request)?;
        let source = header(request.headers(), "x-ms-copy-source").unwrap_or_default();
        let source = source.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let Some((from, blob)) = source.and_then(|(_, path)| path.split_once('/')) else {
            return refuse(400, "InvalidHeaderValue", "x-ms-copy-source is the URL of a blob");
        };
        let found = self.containers.get(&decode(from)).and_then(|c| c.get(&decode(blob)));
        let Some(content) = found.map(|blob| blob.content.clone()) else {
            return no_blob();
        };
        self.put(container, name, content);
        let mut response = self.written(container, name, 202);
        response
            .headers_mut()
            .insert("x-ms-copy-status", "success".parse().unwrap());
        Ok(response)
    }

    fn write_block(
        &mut self,
        container: String,
        name: String,
        id: Option<&str>,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let blocks = self.blocks.entry((container, name)).or_default();
        let id = id.unwrap_or_default().to_string();
        if id.is_empty() || blocks.keys().any(|other| other.len() != id.len()) {
            return refuse(
                400,
                "InvalidBlobOrBlock",
                "The specified blob or block content is invalid.",
            );
        }
        blocks.insert(id, request.into_body());
        Ok(reply(201, ""))
    }

    fn commit_blocks(
        &mut self,
        container: &str,
        name: &str,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        self.check(container, name, request)?;
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let blocks = self.blocks.get(&(container.to_string(), name.to_string()));
        let mut content = vec![];
        for part in body.split("<Uncommitted>").skip(1) {
            let id = part.split("</Uncommitted>").next().unwrap_or_default();
            match blocks.and_then(|blocks| blocks.get(id)) {
                Some(block) => content.extend_from_slice(block),
                None => return refuse(400, "InvalidBlockList", "The specified block list is invalid."),
            }
        }
        self.put(container, name, content.into());
        Ok(self.written(container, name, 201))
    }

    /// Deletions, each a request of its own with headers of its own.
    fn batch(&mut self, container: &str, request: &Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        let kind = header(request.headers(), "content-type").unwrap_or_default();
        let Some(boundary) = kind.strip_prefix("multipart/mixed; boundary=") else {
            return refuse(400, "InvalidHeaderValue", "content-type");
        };
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let parts: Vec<&str> = body.split(&format!("--{boundary}\r\n")).skip(1).collect();
        if parts.is_empty() || parts.len() > BATCH || !body.ends_with(&format!("--{boundary}--\r\n")) {
            return refuse(400, "InvalidInput", "a batch has 1 to 256 requests");
        }
        let mut answer = String::new();
        for part in parts {
            let field = |name: &str| {
                let mut lines = part.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
            };
            let line = part
                .lines()
                .find_map(|line| line.strip_prefix("DELETE /"))
                .unwrap_or_default();
            let path = line.split_whitespace().next().unwrap_or_default();
            let status = match path.split_once('/') {
                Some((of, _)) if decode(of) != container => "400 Bad Request",
                _ if check_authorization(field("authorization")).is_err() => "401 Unauthorized",
                Some((_, name)) => match self.containers.get_mut(container).unwrap().remove(&decode(name)) {
                    Some(_) => "202 Accepted",
                    None => "404 The specified blob does not exist.",
                },
                None => "400 Bad Request",
            };
            let id = field("content-id").unwrap_or("0");
            write!(
                answer,
                "--batchresponse\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\nHTTP/1.1 {status}\r\nx-ms-version: 1\r\n\r\n"
            )
            .unwrap();
        }
        let mut response = reply(202, answer + "--batchresponse--\r\n");
        let kind = "multipart/mixed; boundary=batchresponse";
        response.headers_mut().insert("content-type", kind.parse().unwrap());
        Ok(response)
    }
}

fn check_authorization(given: Option<&str>) -> Result<(), Refusal> {
    match given == Some(&format!("Bearer {TOKEN}")) {
        true => Ok(()),
        false => refuse(
            401,
            "NoAuthenticationInformation",
            "Server failed to authenticate the request.",
        ),
    }
}
