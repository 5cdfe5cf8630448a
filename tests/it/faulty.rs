//! A store on which a chosen call goes wrong.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use lakebed::storage::{ListUploads, OpenUpload};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::*;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the caller is told so.
    Error,
    /// It is done, and the caller is told the contrary.
    LostReply,
    /// Nothing is done, now and ever: the caller's process has ended.
    DeadBefore,
    /// It is done, and nothing after it.
    DeadAfter,
    /// It is done, the caller is told the contrary, and the next two times that it looks how things are it is told nothing.
    Unknown,
}

/// How often nothing can be read after a reply was lost.
const BLIND: usize = 2;

impl Fault {
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::LostReply,
        Self::DeadBefore,
        Self::DeadAfter,
        Self::Unknown,
    ];

    pub fn is_the_end(self) -> bool {
        matches!(self, Self::DeadBefore | Self::DeadAfter)
    }
}

#[derive(Default)]
struct State {
    calls: usize,
    faults: Vec<(usize, Fault)>,
    last: Option<String>,
    uploads: Vec<OpenUpload>,
    /// Reads that will go wrong.
    blind: usize,
    watcher: Option<Arc<dyn Fn(&str) + Send + Sync>>,
    quiet: bool,
}

/// See the module.
pub struct FaultyStore {
    objects: Arc<dyn ObjectStore>,
    parts: Arc<dyn MultipartStore>,
    calls: Calls,
}

#[derive(Clone, Default)]
struct Calls(Arc<Mutex<State>>);

/// What is to be done with a call.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Done,
    Refused,
    DoneInSilence,
}

impl FaultyStore {
    pub fn new(objects: Arc<dyn ObjectStore>, parts: Arc<dyn MultipartStore>) -> Arc<Self> {
        Arc::new(Self {
            objects,
            parts,
            calls: Calls::default(),
        })
    }

    /// Counts calls from 0 again, of which some may go wrong.
    pub fn begin(&self, faults: &[(usize, Fault)]) {
        let mut state = self.calls.0.lock().unwrap();
        state.calls = 0;
        state.faults = faults.to_vec();
        state.blind = 0;
        state.watcher = None;
    }

    /// Has somebody look before each call, whose name it is told.
    pub fn watch(&self, watcher: impl Fn(&str) + Send + Sync + 'static) {
        self.calls.0.lock().unwrap().watcher = Some(Arc::new(watcher));
    }

    /// Does something whose calls are not counted and go right.
    pub fn quietly<T>(&self, look: impl FnOnce() -> T) -> T {
        self.calls.0.lock().unwrap().quiet = true;
        let seen = look();
        self.calls.0.lock().unwrap().quiet = false;
        seen
    }

    pub fn calls(&self) -> usize {
        self.calls.0.lock().unwrap().calls
    }

    /// The call that went wrong.
    pub fn last(&self) -> Option<String> {
        self.calls.0.lock().unwrap().last.clone()
    }

    pub fn open_uploads(&self) -> usize {
        self.calls.0.lock().unwrap().uploads.len()
    }

    async fn call<T>(&self, what: impl FnOnce() -> String, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.calls.next(what).await {
            Fate::Done => call.await,
            Fate::Refused => Err(broken()),
            Fate::DoneInSilence => {
                let _ = call.await;
                Err(broken())
            }
        }
    }
}

impl Calls {
    async fn next(&self, what: impl FnOnce() -> String) -> Fate {
        if self.0.lock().unwrap().quiet {
            return Fate::Done;
        }
        let what = what();
        let reads = reads(&what);
        let watcher = self.0.lock().unwrap().watcher.clone();
        if let Some(watcher) = watcher {
            let what = what.clone();
            tokio::task::spawn_blocking(move || watcher(&what)).await.unwrap();
        }
        let mut state = self.0.lock().unwrap();
        let call = state.calls;
        state.calls += 1;
        if state.faults.iter().any(|(at, _)| *at == call) {
            state.last = Some(what);
        }
        if reads && state.blind > 0 {
            state.blind -= 1;
            return Fate::Refused;
        }
        if state.faults.contains(&(call, Fault::Unknown)) {
            state.blind = BLIND;
        }
        let fate = |&(at, fault): &(usize, Fault)| match fault {
            Fault::Error if call == at => Some(Fate::Refused),
            Fault::LostReply | Fault::Unknown if call == at => Some(Fate::DoneInSilence),
            Fault::DeadBefore if call >= at => Some(Fate::Refused),
            Fault::DeadAfter if call == at => Some(Fate::DoneInSilence),
            Fault::DeadAfter if call > at => Some(Fate::Refused),
            _ => None,
        };
        state.faults.iter().find_map(fate).unwrap_or(Fate::Done)
    }
}

/// Whether a call of that name leaves the store as it is.
pub fn reads(call: &str) -> bool {
    call.starts_with("get ") || call.starts_with("list")
}

fn broken() -> Error {
    Error::Generic {
        store: "faulty",
        source: "the connection broke".into(),
    }
}

impl std::fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultyStore")
    }
}

impl std::fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultyStore")
    }
}

#[async_trait::async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.call(
            || format!("put {location}"),
            self.objects.put_opts(location, payload, opts),
        )
        .await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.call(
            || format!("put_multipart {location}"),
            self.objects.put_multipart_opts(location, opts),
        )
        .await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.call(|| format!("get {location}"), self.objects.get_opts(location, options))
            .await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.call(|| format!("get {location}"), self.objects.get_ranges(location, ranges))
            .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // One by one, so that the removal of many may end anywhere.
        let (objects, calls) = (self.objects.clone(), self.calls.clone());
        locations
            .then(move |location| {
                let (objects, calls) = (objects.clone(), calls.clone());
                async move {
                    let location = location?;
                    let fate = calls.next(|| format!("delete {location}")).await;
                    if fate != Fate::Refused {
                        objects.delete(&location).await?;
                    }
                    match fate {
                        Fate::Done => Ok(location),
                        _ => Err(broken()),
                    }
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (listing, calls) = (self.objects.list(prefix), self.calls.clone());
        let prefix = prefix.cloned().unwrap_or_default();
        futures::stream::once(async move {
            match calls.next(|| format!("list {prefix}")).await {
                Fate::Done => listing,
                _ => futures::stream::once(async { Err(broken()) }).boxed(),
            }
        })
        .flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.call(|| format!("list {prefix:?}"), self.objects.list_with_delimiter(prefix))
            .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.call(
            || format!("copy {from} {to}"),
            self.objects.copy_opts(from, to, options),
        )
        .await
    }
}

#[async_trait::async_trait]
impl MultipartStore for FaultyStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let create = async {
            let id = self.parts.create_multipart(path).await?;
            self.calls.0.lock().unwrap().uploads.push(OpenUpload {
                path: path.to_string(),
                id: id.clone(),
                begun: chrono::Utc::now().timestamp_micros(),
            });
            Ok(id)
        };
        self.call(|| format!("create_multipart {path}"), create).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, part: usize, data: PutPayload) -> Result<PartId> {
        self.call(|| format!("put_part {path}"), self.parts.put_part(path, id, part, data))
            .await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let complete = async {
            let done = self.parts.complete_multipart(path, id, parts).await?;
            self.calls.0.lock().unwrap().uploads.retain(|u| u.id != *id);
            Ok(done)
        };
        self.call(|| format!("complete_multipart {path}"), complete).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let abort = async {
            self.parts.abort_multipart(path, id).await?;
            self.calls.0.lock().unwrap().uploads.retain(|u| u.id != *id);
            Ok(())
        };
        self.call(|| format!("abort_multipart {path}"), abort).await
    }
}

impl ListUploads for FaultyStore {
    fn list_uploads(&self, prefix: String) -> BoxFuture<'_, Result<Vec<OpenUpload>>> {
        let list = async move {
            let state = self.calls.0.lock().unwrap();
            let below = state.uploads.iter().filter(|u| u.path.starts_with(&prefix));
            Ok(below.cloned().collect())
        };
        self.call(|| "list uploads".into(), list).boxed()
    }
}
