//! A small server that speaks the XML dialect of Google Cloud Storage, and refuses what it does not know.
//!
//! Objects in memory with generations, `x-goog-if-generation-match`, ranges, `If-Match`, listings with delimiter and pages
//! (`list-type=2`), multipart uploads and lists of them, copies. See <https://cloud.google.com/storage/docs/xml-api/overview>.

use super::{BegunUpload, Handler, Server, decode, error, escape_xml, header, list_uploads, parameters};
use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Deref;
use std::sync::Arc;

pub const TOKEN: &str = "token-of-the-tests";

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
    "x-goog-if-generation-match",
    "x-goog-copy-source",
    "accept-encoding",
];

#[derive(Debug, Clone)]
struct Object {
    content: Bytes,
    generation: u64,
    modified: chrono::DateTime<chrono::Utc>,
}

impl Object {
    fn tag(&self) -> String {
        use md5::Digest;
        let digest = md5::Md5::digest(&self.content);
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        format!("\"{hex}\"")
    }
}

#[derive(Debug)]
struct Upload {
    path: String,
    begun: chrono::DateTime<chrono::Utc>,
    parts: BTreeMap<usize, Bytes>,
}

#[derive(Debug, Default)]
struct Cloud {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
    uploads: BTreeMap<String, Upload>,
    generation: u64,
    page: usize,
}

/// The server and what it stores.
pub struct GcsServer {
    server: Server,
    cloud: Arc<Mutex<Cloud>>,
}

impl Deref for GcsServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl GcsServer {
    /// A server with empty buckets.
    pub fn start(buckets: &[&str]) -> Self {
        let cloud = Arc::new(Mutex::new(Cloud {
            buckets: buckets.iter().map(|b| (b.to_string(), BTreeMap::new())).collect(),
            generation: 1000,
            page: 1000,
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

    /// One more bucket.
    pub fn create_bucket(&self, name: &str) {
        self.cloud.lock().buckets.insert(name.to_string(), BTreeMap::new());
    }

    /// Entries in one page of a listing.
    pub fn set_page(&self, entries: usize) {
        self.cloud.lock().page = entries;
    }

    /// Puts an object beside the server.
    pub fn put(&self, bucket: &str, key: &str, content: impl AsRef<[u8]>) {
        self.cloud
            .lock()
            .put(bucket, key, Bytes::copy_from_slice(content.as_ref()));
    }

    /// The bytes of an object.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Bytes> {
        Some(self.cloud.lock().buckets.get(bucket)?.get(key)?.content.clone())
    }

    /// The keys of a bucket, sorted.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.cloud.lock().buckets[bucket].keys().cloned().collect()
    }

    /// Multipart uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.cloud.lock().uploads.len()
    }

    /// What a program needs in its environment to use the server as Google's.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("GOOGLE_BASE_URL", self.url().as_str()),
            ("GOOGLE_ALLOW_HTTP", "true"),
            ("GOOGLE_BEARER_TOKEN", TOKEN),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .to_vec()
    }

    /// A client of a bucket, for tests inside this process.
    pub fn client(&self, bucket: &str) -> object_store::gcp::GoogleCloudStorage {
        // A second time it is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        object_store::gcp::GoogleCloudStorageBuilder::new()
            .with_base_url(&self.url())
            .with_client_options(object_store::ClientOptions::new().with_allow_http(true))
            .with_bearer_token(TOKEN)
            .with_bucket_name(bucket)
            .build()
            .unwrap()
    }
}

/// An answer that went wrong.
type Refusal = Box<Response<Bytes>>;

fn refuse<T>(status: u16, code: &str, message: &str) -> Result<T, Refusal> {
    Err(Box::new(error(status, code, &escape_xml(message))))
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
                return refuse(501, "NotImplemented", &format!("the header {name} is not known here"));
            }
        }
        if header(request.headers(), "authorization").as_deref() != Some(&format!("Bearer {TOKEN}")) {
            return refuse(401, "AuthenticationRequired", "Authentication required.");
        }
        let path = request.uri().path().trim_start_matches('/').to_string();
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let (bucket, key) = (decode(bucket), decode(key));
        if !self.buckets.contains_key(&bucket) {
            return refuse(404, "NoSuchBucket", "The specified bucket does not exist.");
        }
        let query = parameters(request.uri().query().unwrap_or_default());
        let names: Vec<&str> = query.iter().map(|(n, _)| n.as_str()).collect();
        let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        if key.is_empty() {
            return match *request.method() == Method::GET {
                true if value("list-type") == Some("2") => self.list(&bucket, &query),
                true if names.contains(&"uploads") => {
                    let query = request.uri().query().unwrap_or_default();
                    Ok(list_uploads(&bucket, query, self.page, self.begun(&bucket)))
                }
                _ => refuse(501, "NotImplemented", &format!("{} of a bucket", request.method())),
            };
        }
        match (request.method().as_str(), names.as_slice()) {
            ("GET" | "HEAD", []) => self.read(&bucket, &key, None, &request),
            ("GET" | "HEAD", ["generation"]) => self.read(&bucket, &key, value("generation"), &request),
            ("PUT", []) => self.write(&bucket, &key, request),
            ("DELETE", []) => match self.buckets.get_mut(&bucket).and_then(|b| b.remove(&key)) {
                Some(_) => reply(204, String::new()),
                None => refuse(404, "NoSuchKey", "The specified key does not exist."),
            },
            ("POST", ["uploads"]) => Ok(self.begin_upload(&bucket, &key)?),
            ("PUT", ["partNumber", "uploadId"]) => {
                let number = value("partNumber")
                    .and_then(|n| n.parse().ok())
                    .filter(|n| (1..=10_000).contains(n));
                let Some(number) = number else {
                    return refuse(400, "InvalidArgument", "partNumber must be from 1 to 10000");
                };
                let content = request.into_body();
                let upload = self.upload(value("uploadId"), &bucket, &key)?;
                upload.parts.insert(number, content.clone());
                let part = Object {
                    content,
                    generation: 0,
                    modified: chrono::Utc::now(),
                };
                let mut response = reply(200, String::new())?;
                response.headers_mut().insert("etag", part.tag().parse().unwrap());
                Ok(response)
            }
            ("POST", ["uploadId"]) => self.complete_upload(&bucket, &key, value("uploadId"), request.body()),
            ("DELETE", ["uploadId"]) => {
                self.upload(value("uploadId"), &bucket, &key)?;
                self.uploads.remove(value("uploadId").unwrap_or_default());
                reply(204, String::new())
            }
            (method, names) => refuse(
                501,
                "NotImplemented",
                &format!("{method} with the parameters {names:?}"),
            ),
        }
    }

    fn list(&self, bucket: &str, query: &[(String, String)]) -> Result<Response<Bytes>, Refusal> {
        let (mut prefix, mut delimiter, mut after, mut page) = (String::new(), None, String::new(), self.page);
        for (name, value) in query {
            match name.as_str() {
                "list-type" => {}
                "prefix" => prefix = value.clone(),
                "delimiter" if value == "/" => delimiter = Some('/'),
                "start-after" => after = after.max(value.clone()),
                // The token is the last name of the page before, marked so that nobody can guess it.
                "continuation-token" => match value.strip_prefix("token:") {
                    Some(token) => after = after.max(token.to_string()),
                    None => return refuse(400, "InvalidArgument", "the continuation token is not one"),
                },
                "max-keys" => page = value.parse().unwrap_or(page),
                other => return refuse(501, "NotImplemented", &format!("listing with {other}={value}")),
            }
        }
        let (mut contents, mut prefixes, mut last, mut truncated) =
            (String::new(), BTreeSet::new(), String::new(), false);
        let mut entries = 0;
        for (key, object) in &self.buckets[bucket] {
            let Some(rest) = key.strip_prefix(&prefix) else {
                continue;
            };
            let folder = delimiter
                .and_then(|d| rest.split_once(d))
                .map(|(first, _)| format!("{prefix}{first}/"));
            let name = folder.as_ref().unwrap_or(key);
            if *name <= after || prefixes.contains(name) {
                continue;
            }
            if entries == page {
                truncated = true;
                break;
            }
            entries += 1;
            last = name.clone();
            match folder {
                Some(folder) => drop(prefixes.insert(folder)),
                None => write!(
                    contents,
                    "<Contents><Key>{}</Key><Generation>{}</Generation><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                    escape_xml(key),
                    object.generation,
                    object.modified.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
                    escape_xml(&object.tag()),
                    object.content.len()
                )
                .unwrap(),
            }
        }
        let common: String = prefixes
            .iter()
            .map(|p| format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escape_xml(p)))
            .collect();
        let token = match truncated {
            true => format!(
                "<NextContinuationToken>{}</NextContinuationToken>",
                escape_xml(&format!("token:{last}"))
            ),
            false => String::new(),
        };
        reply(
            200,
            format!(
                "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>\
                 <Name>{bucket}</Name><IsTruncated>{truncated}</IsTruncated>{token}{contents}{common}</ListBucketResult>"
            ),
        )
    }

    fn read(
        &self,
        bucket: &str,
        key: &str,
        generation: Option<&str>,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let found = self.buckets[bucket].get(key);
        let found = found.filter(|o| generation.is_none_or(|g| g == o.generation.to_string()));
        let Some(object) = found else {
            return refuse(404, "NoSuchKey", "The specified key does not exist.");
        };
        if header(request.headers(), "if-match").is_some_and(|tag| tag != object.tag()) {
            return refuse(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold.",
            );
        }
        let size = object.content.len();
        let mut response = Response::new(object.content.clone());
        if let Some(range) = header(request.headers(), "range") {
            let Some((start, end)) = parse_range(&range, size) else {
                return refuse(416, "InvalidRange", "The requested range cannot be satisfied.");
            };
            *response.body_mut() = object.content.slice(start..end);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {start}-{}/{size}", end - 1);
            response.headers_mut().insert("content-range", range.parse().unwrap());
        }
        let length = response.body().len();
        let headers = response.headers_mut();
        headers.insert("content-length", length.into());
        headers.insert("etag", object.tag().parse().unwrap());
        headers.insert("x-goog-generation", object.generation.into());
        let modified = object.modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        headers.insert("last-modified", modified.parse().unwrap());
        Ok(response)
    }

    fn write(&mut self, bucket: &str, key: &str, request: Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        self.check_generation(bucket, key, header(request.headers(), "x-goog-if-generation-match"))?;
        let content = match header(request.headers(), "x-goog-copy-source") {
            None => request.into_body(),
            Some(source) => {
                let source = source.trim_start_matches('/').to_string();
                let (from, name) = source.split_once('/').unwrap_or((&source, ""));
                let found = self.buckets.get(&decode(from)).and_then(|b| b.get(&decode(name)));
                match found {
                    Some(object) => object.content.clone(),
                    None => return refuse(404, "NoSuchKey", "The specified key does not exist."),
                }
            }
        };
        self.put(bucket, key, content);
        self.written(bucket, key, String::new())
    }

    fn check_generation(&self, bucket: &str, key: &str, wanted: Option<String>) -> Result<(), Refusal> {
        let Some(wanted) = wanted else { return Ok(()) };
        let now = self.buckets[bucket].get(key).map_or(0, |o| o.generation);
        match wanted.parse::<u64>() {
            Ok(wanted) if wanted == now => Ok(()),
            Ok(_) => refuse(
                412,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold.",
            ),
            Err(_) => refuse(400, "InvalidArgument", "x-goog-if-generation-match must be a number"),
        }
    }

    fn put(&mut self, bucket: &str, key: &str, content: Bytes) {
        self.generation += 1;
        let object = Object {
            content,
            generation: self.generation,
            modified: chrono::Utc::now(),
        };
        self.buckets.get_mut(bucket).unwrap().insert(key.to_string(), object);
    }

    fn written(&self, bucket: &str, key: &str, body: String) -> Result<Response<Bytes>, Refusal> {
        let object = &self.buckets[bucket][key];
        let mut response = reply(200, body)?;
        response.headers_mut().insert("etag", object.tag().parse().unwrap());
        response
            .headers_mut()
            .insert("x-goog-generation", object.generation.into());
        Ok(response)
    }

    fn begin_upload(&mut self, bucket: &str, key: &str) -> Result<Response<Bytes>, Refusal> {
        self.generation += 1;
        let id = format!("upload/{}+=", self.generation);
        let path = format!("{bucket}/{key}");
        self.uploads.insert(
            id.clone(),
            Upload {
                path,
                begun: chrono::Utc::now(),
                parts: BTreeMap::new(),
            },
        );
        reply(
            200,
            format!(
                "<?xml version='1.0' encoding='UTF-8'?><InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{}</Key>\
                 <UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
                escape_xml(key)
            ),
        )
    }

    /// The uploads of a bucket that are open.
    fn begun(&self, bucket: &str) -> Vec<BegunUpload> {
        let one = |(id, upload): (&String, &Upload)| {
            Some(BegunUpload {
                key: upload.path.strip_prefix(&format!("{bucket}/"))?.to_string(),
                id: id.clone(),
                begun: upload.begun,
            })
        };
        self.uploads.iter().filter_map(one).collect()
    }

    fn upload(&mut self, id: Option<&str>, bucket: &str, key: &str) -> Result<&mut Upload, Refusal> {
        match self.uploads.get_mut(id.unwrap_or_default()) {
            Some(upload) if upload.path == format!("{bucket}/{key}") => Ok(upload),
            _ => refuse(404, "NoSuchUpload", "The requested upload was not found."),
        }
    }

    fn complete_upload(
        &mut self,
        bucket: &str,
        key: &str,
        id: Option<&str>,
        body: &Bytes,
    ) -> Result<Response<Bytes>, Refusal> {
        let upload = self.upload(id, bucket, key)?;
        let body = String::from_utf8_lossy(body);
        let mut content = vec![];
        let mut before = 0;
        for part in body.split("<Part>").skip(1) {
            let field = |name: &str| {
                let (_, rest) = part.split_once(&format!("<{name}>"))?;
                Some(super::unescape_xml(rest.split_once(&format!("</{name}>"))?.0))
            };
            let number: usize = field("PartNumber").and_then(|n| n.parse().ok()).unwrap_or(0);
            let Some(bytes) = upload.parts.get(&number).cloned() else {
                return refuse(
                    400,
                    "InvalidPart",
                    "One or more of the specified parts could not be found.",
                );
            };
            let stored = Object {
                content: bytes.clone(),
                generation: 0,
                modified: chrono::Utc::now(),
            };
            if field("ETag") != Some(stored.tag()) {
                return refuse(400, "InvalidPart", "The tag of a part is another.");
            }
            if number <= before {
                return refuse(400, "InvalidPartOrder", "The list of parts was not in ascending order.");
            }
            before = number;
            content.extend_from_slice(&bytes);
        }
        if before == 0 {
            return refuse(400, "MalformedXML", "There is no part.");
        }
        self.uploads.remove(id.unwrap_or_default());
        self.put(bucket, key, content.into());
        let tag = escape_xml(&self.buckets[bucket][key].tag());
        let body = format!(
            "<?xml version='1.0' encoding='UTF-8'?><CompleteMultipartUploadResult><Bucket>{bucket}</Bucket><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
        );
        self.written(bucket, key, body)
    }
}

fn reply(status: u16, body: String) -> Result<Response<Bytes>, Refusal> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

/// The bytes that `bytes=a-b`, `bytes=a-` or `bytes=-n` mean.
pub fn parse_range(range: &str, size: usize) -> Option<(usize, usize)> {
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (start, end) {
        ("", n) => (size.saturating_sub(n.parse().ok()?), size),
        (a, "") => (a.parse().ok()?, size),
        (a, b) => (a.parse().ok()?, size.min(b.parse::<usize>().ok()?.checked_add(1)?)),
    };
    (start < end).then_some((start, end))
}
