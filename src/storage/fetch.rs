//! Bytes of remote files, asked for before they are needed.
//!
//! ```text
//! wanted   ──▓▓▓──▓▓▓▓▓▓▓───────────────▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓──   ranges of one file: the columns of a row group, a part of a text
//! requests   └────8───┘                 └──16──┘└──16──┘     near ones in one request, long ones in several, all at once
//! ```
//!
//! [`fetch`] sends the requests and returns; [`Fetch::bytes`] waits for what it needs of them. Whoever reads a range of
//! the same file in the meantime ([`read_range`](super::read_range)) gets it from the requests under way, so that readers need
//! not know who asked ahead for them. Dropping a `Fetch` stops its requests.
//!
//! Every request names the version that was listed. The clients of the stores send a request again when the server fails, or
//! the connection does; here only what they leave is done: bodies that end early, bodies that stall, and errors of stores
//! that are no such clients.

use super::cached;
use super::disk_cache::{self, Extents, Piece};
use super::gate::Gate;
use super::list::store_error;
use super::location::Location;
use super::read::{changed, is_local};
use super::store::runtime;
use super::wire::{count, counted_for};
use super::{ObjectFile, wire};
use crate::error::{Error, Result};
use crate::runtime::Current;
use bytes::Bytes;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// Bytes between two ranges that are read along rather than asking twice. The requests for a row group go out together, so a
/// second one costs no round trip, only the work on it at both ends, which is about that of as many bytes. (TPC-H from a
/// server on the same machine: 15 % faster than with 1 MiB, and as fast as with 64 KiB, which takes more requests.)
const GAP: u64 = 256 << 10;
/// Most bytes of one request. Shorter ones waste round trips, longer ones keep parallel connections from helping.
const REQUEST: u64 = 16 << 20;

/// How often a request is sent again here, and how long after the first time at most.
const TRIES: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(180);
/// A body that brings nothing for so long will not come.
const STALL: Duration = Duration::from_secs(30);
/// How often a thread that waits looks whether its query was cancelled.
const LOOK_UP: Duration = Duration::from_millis(50);

/// All requests for bytes pass here.
pub(super) static GATE: LazyLock<Arc<Gate>> = LazyLock::new(Gate::new);

/// Requests under way by file, for readers that come later.
static UNDER_WAY: LazyLock<Mutex<HashMap<Arc<str>, Vec<Known>>>> = LazyLock::new(Default::default);

/// A fetch, and from where to where it asks for bytes.
struct Known {
    span: Range<u64>,
    fetch: Weak<Fetch>,
}

/// Parts of a remote file that were asked for.
#[derive(Debug)]
pub struct Fetch {
    file: ObjectFile,
    /// Ascending, without overlap.
    requests: Vec<Request>,
}

#[derive(Debug)]
struct Request {
    range: Range<u64>,
    slot: Arc<Slot>,
    source: Source,
}

/// Where the bytes of a request come from.
#[derive(Debug)]
enum Source {
    Memory,
    /// Who needs the bytes first reads them, as those of a local file; the system keeps what is read often.
    Disk(Piece),
    Store(AbortHandle),
}

/// Where a request's bytes arrive.
#[derive(Debug, Default)]
struct Slot {
    outcome: Mutex<Option<Result<Bytes>>>,
    arrived: Condvar,
}

/// Asks for `ranges` of a remote file: the requests that bring them, some of which may be under way already. Nothing for a
/// local file, which is read when it is needed.
///
/// # Errors
/// When the file's location has no store. Errors of reading come from [`Fetch::bytes`].
pub fn fetch(file: &ObjectFile, ranges: &[Range<u64>]) -> Result<Vec<Arc<Fetch>>> {
    if is_local(&file.location) {
        return Ok(vec![]);
    }
    let (mut fetches, mut missing) = (vec![], vec![]);
    for range in ranges.iter().filter(|r| !r.is_empty()) {
        match under_way(file, range) {
            Some(fetch) if fetches.iter().any(|f| Arc::ptr_eq(f, &fetch)) => {}
            Some(fetch) => fetches.push(fetch),
            None => match cached::find(file, range) {
                Some(parts) => {
                    let counters = Current::get().unwrap_or_default().remote;
                    counters.add(|c| &c.bytes_in_memory, range.end - range.start);
                    fetches.push(under_way_from_now(Fetch::ready(file, parts)));
                }
                None => missing.push(range.clone()),
            },
        }
    }
    let mut add = |requests: Vec<Request>| {
        if !requests.is_empty() {
            fetches.push(under_way_from_now(Fetch {
                file: file.clone(),
                requests,
            }));
        }
    };
    if !missing.is_empty()
        && let Some(mut extents) = Extents::of(file)
    {
        // What was asked for together before is together there, and read at once.
        let mut found = on_disk(&extents, &requests(&missing));
        if found.is_none() {
            extents.list();
            found = on_disk(&extents, &requests(&missing));
        }
        match found {
            Some(requests) => {
                add(requests);
                missing.clear();
            }
            None => missing.retain(|range| on_disk(&extents, std::slice::from_ref(range)).map(&mut add).is_none()),
        }
    }
    let ask = |range: Range<u64>| Request::of_store(file, range);
    add(requests(&missing).into_iter().map(ask).collect::<Result<_>>()?);
    Ok(fetches)
}

/// Requests that bring all of `ranges` from the disk.
fn on_disk(extents: &Extents, ranges: &[Range<u64>]) -> Option<Vec<Request>> {
    let pieces: Option<Vec<Vec<Piece>>> = ranges.iter().map(|range| extents.find(range)).collect();
    Some(pieces?.into_iter().flatten().map(Request::of_disk).collect())
}

impl Request {
    fn of_disk(piece: Piece) -> Self {
        Self {
            range: piece.range.clone(),
            slot: Arc::default(),
            source: Source::Disk(piece),
        }
    }

    /// Asks the store for a range.
    fn of_store(file: &ObjectFile, range: Range<u64>) -> Result<Self> {
        let slot = Arc::<Slot>::default();
        let location = Location::exact(&file.location)?;
        let counters = Current::get().unwrap_or_default().remote;
        let read = Read {
            store: location.store.objects.clone(),
            path: location.base_path.clone(),
            file: file.clone(),
            range: range.clone(),
        };
        let done = slot.clone();
        let work = async move {
            let pass = GATE.enter().await;
            let outcome = read.all().await;
            done.fill(outcome.clone());
            if let Ok(bytes) = outcome {
                // The place is left when this is done, so that a disk that is slower than the network is waited for.
                if disk_cache::is_on() {
                    let _ = disk_cache::keep_aside(read.file, read.range.start, bytes).await;
                }
                pass.leave_well();
            }
        };
        let task = runtime()?.spawn(counted_for(counters, work)).abort_handle();
        Ok(Self {
            range,
            slot,
            source: Source::Store(task),
        })
    }

    /// Waits for the bytes. What the disk has lost comes from the store, too.
    fn wait(&self, file: &ObjectFile) -> Result<Bytes> {
        let Source::Disk(piece) = &self.source else {
            return self.slot.wait();
        };
        let mut outcome = self.slot.outcome.lock();
        if let Some(outcome) = &*outcome {
            return outcome.clone();
        }
        if let Some(bytes) = piece.read() {
            let counters = Current::get().unwrap_or_default().remote;
            counters.add(|c| &c.bytes_on_disk, bytes.len() as u64);
            *outcome = Some(Ok(bytes.clone()));
            return Ok(bytes);
        }
        // Others that wait for the same may be cancelled meanwhile, so each asks for itself.
        drop(outcome);
        let lost = under_way_from_now(Fetch {
            file: file.clone(),
            requests: vec![Self::of_store(file, self.range.clone())?],
        });
        let bytes = lost.bytes(self.range.clone())?;
        *self.slot.outcome.lock() = Some(Ok(bytes.clone()));
        Ok(bytes)
    }
}

/// Lets readers that come later find the fetch.
fn under_way_from_now(fetch: Fetch) -> Arc<Fetch> {
    let fetch = Arc::new(fetch);
    let start = fetch.requests.first().map_or(0, |r| r.range.start);
    let end = fetch.requests.last().map_or(0, |r| r.range.end);
    let known = Known {
        span: start..end,
        fetch: Arc::downgrade(&fetch),
    };
    let location = fetch.file.location.clone();
    UNDER_WAY.lock().entry(location).or_default().push(known);
    fetch
}

/// The requests under way that bring `range` of the file.
pub(super) fn under_way(file: &ObjectFile, range: &Range<u64>) -> Option<Arc<Fetch>> {
    // What is upgraded here may be the last one, and locks when it is dropped: not before the lock is given back.
    let fetches: Vec<Arc<Fetch>> = {
        let all = UNDER_WAY.lock();
        let known = all.get(&file.location)?.iter();
        let around = known.filter(|k| k.span.start <= range.start && range.end <= k.span.end);
        around.filter_map(|k| k.fetch.upgrade()).collect()
    };
    fetches.into_iter().find(|f| f.file == *file && f.covers(range))
}

/// What `ranges`, in any order, are asked for as.
fn requests(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut wanted: Vec<&Range<u64>> = ranges.iter().filter(|r| !r.is_empty()).collect();
    wanted.sort_by_key(|r| (r.start, r.end));
    let mut requests: Vec<Range<u64>> = vec![];
    for range in wanted {
        let mut start = range.start;
        if let Some(last) = requests.last_mut() {
            let near = range.start <= last.end.saturating_add(GAP);
            if near && range.end.max(last.end) - last.start <= REQUEST {
                last.end = last.end.max(range.end);
                continue;
            }
            start = start.max(last.end);
        }
        let length = range.end.saturating_sub(start);
        let parts = length.div_ceil(REQUEST);
        requests.extend((0..parts).map(|i| start + length * i / parts..start + length * (i + 1) / parts));
    }
    requests
}

impl Fetch {
    /// Bytes asked for, gaps included.
    pub fn size(&self) -> u64 {
        self.requests.iter().map(|r| r.range.end - r.range.start).sum()
    }

    /// What is there already: ascending parts of the file.
    fn ready(file: &ObjectFile, parts: Vec<(Range<u64>, Bytes)>) -> Self {
        let request = |(range, bytes): (Range<u64>, Bytes)| Request {
            range,
            slot: Arc::new(Slot {
                outcome: Mutex::new(Some(Ok(bytes))),
                arrived: Condvar::new(),
            }),
            source: Source::Memory,
        };
        Self {
            file: file.clone(),
            requests: parts.into_iter().map(request).collect(),
        }
    }

    pub(super) fn covers(&self, range: &Range<u64>) -> bool {
        let mut at = range.start;
        for request in self.requests.iter().skip_while(|r| r.range.end <= range.start) {
            if at >= range.end || request.range.start > at {
                break;
            }
            at = request.range.end;
        }
        at >= range.end
    }

    /// Waits for the request that brings byte `at`: the bytes from there on.
    ///
    /// # Errors
    /// Those of [`Fetch::bytes`].
    pub(super) fn rest_of_request(&self, at: u64) -> Result<Bytes> {
        let request = self.requests.iter().find(|r| r.range.contains(&at));
        let end = request.map_or(at, |r| r.range.end);
        self.bytes(at..end)
    }

    /// Waits for the bytes of `range`, which was asked for.
    ///
    /// # Errors
    /// `Storage`, naming file and range, when they did not come; `Cancelled` when the query ended first.
    pub fn bytes(&self, range: Range<u64>) -> Result<Bytes> {
        let touched = self.requests.iter().skip_while(|r| r.range.end <= range.start);
        let touched = touched.take_while(|r| r.range.start < range.end);
        let mut parts = vec![];
        for request in touched {
            let bytes = request.wait(&self.file)?;
            let from = range.start.max(request.range.start) - request.range.start;
            let to = range.end.min(request.range.end) - request.range.start;
            parts.push(bytes.slice(from as usize..to as usize));
        }
        let length: usize = parts.iter().map(Bytes::len).sum();
        if length as u64 != range.end.saturating_sub(range.start) {
            return Err(Error::internal("bytes that were not asked for"));
        }
        match parts.len() {
            0 => Ok(Bytes::new()),
            1 => Ok(parts.remove(0)),
            _ => Ok(parts.concat().into()),
        }
    }
}

/// Stops what is under way. What has come is kept for who reads the same again.
impl Drop for Fetch {
    fn drop(&mut self) {
        for request in &self.requests {
            let Source::Store(task) = &request.source else { continue };
            task.abort();
            if let Some(Ok(bytes)) = request.slot.outcome.lock().take() {
                cached::keep(&self.file, request.range.start, bytes);
            }
        }
        let mut under_way = UNDER_WAY.lock();
        if let Some(fetches) = under_way.get_mut(&self.file.location) {
            fetches.retain(|k| k.fetch.strong_count() > 0);
            if fetches.is_empty() {
                under_way.remove(&self.file.location);
            }
        }
    }
}

impl Slot {
    fn fill(&self, outcome: Result<Bytes>) {
        *self.outcome.lock() = Some(outcome);
        self.arrived.notify_all();
    }

    fn wait(&self) -> Result<Bytes> {
        let cancel = Current::get().unwrap_or_default().cancel;
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            cancel.check()?;
            self.arrived.wait_for(&mut outcome, LOOK_UP);
        }
    }
}

/// One range of one version of a file.
struct Read {
    store: Arc<dyn ObjectStore>,
    path: Path,
    file: ObjectFile,
    range: Range<u64>,
}

/// Why a part of a body did not come.
enum Failure {
    /// Asking once more may help.
    Passing(Error),
    Lasting(Error),
}

impl Read {
    /// The bytes, asked for again from where they ended as long as that may help.
    async fn all(&self) -> Result<Bytes> {
        let length = (self.range.end - self.range.start) as usize;
        let mut bytes: Vec<u8> = vec![];
        bytes
            .try_reserve_exact(length)
            .map_err(|_| Error::resources(format!("{}: no memory for {length} bytes", self.file.location)))?;
        let start = Instant::now();
        let mut tries = 0;
        loop {
            let before = bytes.len();
            let result = self.part(&mut bytes, length).await;
            count(|c| &c.bytes, (bytes.len() - before) as u64);
            match result {
                Ok(()) => return Ok(bytes.into()),
                Err(Failure::Lasting(e)) => return Err(e),
                Err(Failure::Passing(e)) if tries + 1 >= TRIES || start.elapsed() > PATIENCE => {
                    return Err(e.context(format!("tried {} times", tries + 1)));
                }
                Err(Failure::Passing(_)) => {}
            }
            tries += 1;
            count(|c| &c.retries, 1);
            tokio::time::sleep(pause(tries)).await;
        }
    }

    /// Appends what one request for the rest gives.
    async fn part(&self, bytes: &mut Vec<u8>, length: usize) -> Result<(), Failure> {
        let options = GetOptions {
            range: Some((self.range.start + bytes.len() as u64..self.range.end).into()),
            if_match: self.file.etag.as_deref().map(Into::into),
            ..Default::default()
        };
        let got = match self.store.get_opts(&self.path, options).await {
            Ok(got) => got,
            Err(e) => return Err(self.refused(e).await),
        };
        self.check(&got.meta).map_err(Failure::Lasting)?;
        let mut body = GetResult::into_stream(got);
        loop {
            match tokio::time::timeout(STALL, body.next()).await {
                Ok(Some(Ok(part))) if part.len() <= length - bytes.len() => bytes.extend_from_slice(&part),
                Ok(Some(Ok(_))) => {
                    let error = Error::storage(format!("{}: more bytes came than asked for", self.name()));
                    return Err(Failure::Lasting(error));
                }
                Ok(Some(Err(e))) => return Err(Failure::Passing(store_error(&self.name(), e))),
                Ok(None) if bytes.len() == length => return Ok(()),
                Ok(None) => {
                    let came = bytes.len();
                    let error = Error::storage(format!("{}: the answer ended after {came} bytes", self.name()));
                    return Err(Failure::Passing(error));
                }
                Err(_) => {
                    let seconds = STALL.as_secs();
                    let error = Error::storage(format!("{}: nothing came for {seconds} s", self.name()));
                    return Err(Failure::Passing(error));
                }
            }
        }
    }

    /// What an answer without bytes means. When it is not plain, the store is asked what is there now.
    async fn refused(&self, e: object_store::Error) -> Failure {
        use object_store::Error as E;
        let gone = |e| Failure::Lasting(store_error(&self.file.location, e));
        match e {
            E::Precondition { .. } => Failure::Lasting(changed(&self.file, "it has another version now")),
            E::NotFound { .. } | E::PermissionDenied { .. } | E::Unauthenticated { .. } => gone(e),
            E::NotImplemented { .. } | E::NotSupported { .. } | E::InvalidPath { .. } => gone(e),
            e if wire::has_tried_again(&e) => {
                if let Ok(now) = self.store.head(&self.path).await
                    && let Err(changed) = self.check(&now)
                {
                    return Failure::Lasting(changed);
                }
                Failure::Lasting(store_error(&self.name(), e))
            }
            e => Failure::Passing(store_error(&self.name(), e)),
        }
    }

    /// Whether an answer is about the version that was listed. Not every server heeds `If-Match`, nor gives tags in listings.
    fn check(&self, now: &ObjectMeta) -> Result<()> {
        let file = &self.file;
        if now.size != file.size {
            let what = format!("it had {} bytes, now it has {}", file.size, now.size);
            return Err(changed(file, what));
        }
        let same = match (&file.etag, &now.e_tag) {
            (Some(listed), Some(now)) => plain_tag(listed) == plain_tag(now),
            // Headers give whole seconds.
            _ => now.last_modified.timestamp() == file.modified.div_euclid(1_000_000),
        };
        match same {
            true => Ok(()),
            false => Err(changed(file, "it has another version now")),
        }
    }

    /// `s3://b/x.parquet, bytes 4..1000`.
    fn name(&self) -> String {
        format!("{}, bytes {}..{}", self.file.location, self.range.start, self.range.end)
    }
}

/// A tag without its quotes, which some servers leave out in listings.
fn plain_tag(tag: &str) -> &str {
    tag.trim_start_matches("W/").trim_matches('"')
}

/// 0.1 s, 0.2 s, 0.4 s, … each shortened by up to a half at random, so that those who failed together do not come back together.
fn pause(tries: u32) -> Duration {
    let longest = Duration::from_millis(100) * (1 << tries.saturating_sub(1).min(8));
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests;
