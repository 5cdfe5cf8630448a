//! An S3 server over a temporary folder: `s3s-fs`, which checks signatures, behind our own listener.
//!
//! Four things that S3 does and this server does not are added on the way: tags in listings, `If-Match` on reads, no object
//! where there is only a folder, and lists of the uploads that are open.

use super::{BegunUpload, Handler, Server, error, header, list_uploads, unescape_xml};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::IF_MATCH;
use hyper::{Method, Request, Response};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

pub const KEY: &str = "AKIDLAKEBEDTESTS";
/// What buckets say about where they are.
pub const REGION: &str = "eu-north-1";
pub const SECRET: &str = "secret-of-the-tests";

/// The server and the folder whose folders are its buckets.
pub struct S3Server {
    server: Server,
    folder: TempDir,
    /// Asked without a signature, and not logged.
    inner: S3Service,
    tags: Arc<AtomicBool>,
}

impl Deref for S3Server {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl S3Server {
    /// A server with empty buckets.
    pub fn start(buckets: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for bucket in buckets {
            std::fs::create_dir(folder.path().join(bucket)).unwrap();
        }
        let service = |auth: bool| {
            let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
            if auth {
                builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
            }
            builder.build()
        };
        // What the listener itself asks for needs no signature.
        let (outer, inner) = (service(true), service(false));
        let root = folder.path().to_path_buf();
        // The server looks whether an object exists and then writes it; S3 does both at once.
        let one_by_one = std::sync::Arc::new(tokio::sync::Mutex::new(()));
        let (begun, tags) = (Begun::default(), Arc::new(AtomicBool::new(true)));
        let (with_tags, beside) = (tags.clone(), inner.clone());
        let handler: Handler = std::sync::Arc::new(move |request| {
            let (outer, inner, root) = (outer.clone(), inner.clone(), root.clone());
            let (one_by_one, begun) = (one_by_one.clone(), begun.clone());
            let tags = with_tags.load(Ordering::Relaxed);
            Box::pin(async move {
                let headers = request.headers();
                let conditional = headers.contains_key("if-none-match") || headers.contains_key("if-match");
                let _turn = match conditional {
                    true => Some(one_by_one.lock().await),
                    false => None,
                };
                handle(request, &outer, &inner, &root, &begun, tags).await
            })
        });
        Self {
            server: Server::start(handler),
            folder,
            inner: beside,
            tags,
        }
    }

    /// Listings have no tags from now on.
    pub fn list_without_tags(&self) {
        self.tags.store(false, Ordering::Relaxed);
    }

    /// One more bucket.
    pub fn create_bucket(&self, name: &str) {
        std::fs::create_dir(self.folder.path().join(name)).unwrap();
    }

    /// A bucket that is new, on a server that has no other: this server's listings walk through all that it has.
    pub fn start_anew(&self, bucket: &str) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => std::fs::remove_dir_all(path).unwrap(),
                false => std::fs::remove_file(path).unwrap(),
            }
        }
        self.create_bucket(bucket);
    }

    /// Where an object's bytes are on the disk.
    pub fn path(&self, bucket: &str, key: &str) -> PathBuf {
        self.folder.path().join(bucket).join(key)
    }

    /// Puts an object, which is not logged. Of a file that is only put into the folder, each request would compute the tag.
    pub fn put(&self, bucket: &str, key: &str, content: impl AsRef<[u8]>) {
        let content = Bytes::copy_from_slice(content.as_ref());
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("http://localhost/{bucket}/{}", escape(key)))
            .header("host", "localhost")
            .header("content-length", content.len());
        let put = call(&self.inner, request.body(content).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let response = runtime.unwrap().block_on(put);
        assert!(response.status().is_success(), "{bucket}/{key}: {response:?}");
    }

    /// The keys of a bucket, sorted.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let root = self.folder.path().join(bucket);
        let mut keys = vec![];
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => keys.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_string()),
                }
            }
        }
        keys.sort();
        keys
    }

    /// Multipart uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let is_upload = |name: &str| name.starts_with(".upload-") && name.ends_with(".json");
        names
            .filter(|e| is_upload(e.as_ref().unwrap().file_name().to_str().unwrap()))
            .count()
    }

    /// What a program needs in its environment to use the server as AWS.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.url().as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .to_vec()
    }

    /// A client of a bucket, for tests inside this process.
    pub fn client(&self, bucket: &str) -> object_store::aws::AmazonS3 {
        // A second time it is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        object_store::aws::AmazonS3Builder::new()
            .with_endpoint(self.url())
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_access_key_id(KEY)
            .with_secret_access_key(SECRET)
            .with_bucket_name(bucket)
            .build()
            .unwrap()
    }
}

/// The uploads that were begun, each with its bucket.
type Begun = std::sync::Arc<parking_lot::Mutex<Vec<(String, BegunUpload)>>>;

async fn handle(
    request: Request<Bytes>,
    outer: &S3Service,
    inner: &S3Service,
    root: &Path,
    begun: &Begun,
    tags: bool,
) -> Response<Bytes> {
    let path = super::decode(request.uri().path().trim_start_matches('/'));
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    if key.is_empty() && request.method() == Method::HEAD {
        let mut response = Response::new(Bytes::new());
        response
            .headers_mut()
            .insert("x-amz-bucket-region", REGION.parse().unwrap());
        return response;
    }
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    if !bucket.is_empty() && !root.join(bucket).is_dir() {
        return error(404, "NoSuchBucket", "The specified bucket does not exist");
    }
    if reads && !key.is_empty() && request.uri().query().is_none() {
        if root.join(&path).is_dir() {
            return error(404, "NoSuchKey", "The specified key does not exist");
        }
        if let Some(wanted) = header(request.headers(), IF_MATCH.as_str())
            && root.join(&path).is_file()
            && tag(inner, request.uri().path()).await.as_deref() != Some(&wanted)
        {
            return error(
                412,
                "PreconditionFailed",
                "At least one of the preconditions did not hold",
            );
        }
    }
    let query = request.uri().query().unwrap_or_default().to_string();
    let is_listing = query.contains("list-type=2");
    let (lists_uploads, begins_upload) = match query.starts_with("uploads") {
        true => (request.method() == Method::GET, request.method() == Method::POST),
        false => (false, false),
    };
    let response = call(outer, request).await;
    if lists_uploads && response.status() == 501 {
        // The signature was right.
        let is_open = |id: &str| root.join(format!(".upload-{id}.json")).exists();
        let all = begun.lock().clone().into_iter();
        let all = all.filter(|(of, upload)| of == bucket && is_open(&upload.id));
        return list_uploads(bucket, &query, 1000, all.map(|(_, upload)| upload).collect());
    }
    if begins_upload && response.status().is_success() {
        let body = String::from_utf8_lossy(response.body()).into_owned();
        let id = body
            .split_once("<UploadId>")
            .and_then(|(_, rest)| rest.split_once("</UploadId>"));
        let upload = BegunUpload {
            key: key.to_string(),
            id: id.unwrap().0.to_string(),
            begun: chrono::Utc::now(),
        };
        begun.lock().push((bucket.to_string(), upload));
    }
    match is_listing && tags && response.status().is_success() {
        true => with_tags(response, inner, bucket).await,
        false => response,
    }
}

async fn call(service: &S3Service, request: Request<Bytes>) -> Response<Bytes> {
    match service.call(request.map(s3s::Body::from)).await {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
        }
        Err(e) => error(500, "InternalError", &super::escape_xml(&format!("{e:?}"))),
    }
}

/// The tag of an object; `path` with its escapes.
async fn tag(service: &S3Service, path: &str) -> Option<String> {
    let request = Request::builder()
        .method(Method::HEAD)
        .uri(format!("http://localhost{path}"))
        .header("host", "localhost");
    let response = call(service, request.body(Bytes::new()).unwrap()).await;
    header(response.headers(), "etag")
}

/// A key as it stands in a path.
fn escape(key: &str) -> String {
    let byte = |b: u8| if b == b'/' { "/".into() } else { format!("%{b:02X}") };
    key.bytes().map(byte).collect()
}

async fn with_tags(response: Response<Bytes>, service: &S3Service, bucket: &str) -> Response<Bytes> {
    let (mut parts, body) = response.into_parts();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("<Contents>") {
        let (content, tail) = after.split_once("</Contents>").unwrap();
        let key = content.split_once("<Key>").and_then(|(_, k)| k.split_once("</Key>"));
        let key = unescape_xml(key.unwrap().0);
        let tag = tag(service, &format!("/{bucket}/{}", escape(&key))).await;
        let tag = tag.map_or_else(String::new, |t| format!("<ETag>{}</ETag>", super::escape_xml(&t)));
        out += &format!("{before}<Contents>{content}{tag}</Contents>");
        rest = tail;
    }
    out += rest;
    parts.headers.remove(hyper::header::CONTENT_LENGTH);
    Response::from_parts(parts, out.into())
}
