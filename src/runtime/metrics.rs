//! Counters of a running query, for the footer, progress and EXPLAIN ANALYZE.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a query did so far. All counters only grow.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Compressed bytes of the partitions that were read, and of all partitions that will be.
    pub bytes_read: Counter,
    pub bytes_planned: Counter,
    /// Bytes of all files of all scanned tables, whether read or pruned.
    pub bytes_total: Counter,
    pub rows_read: Counter,
    pub partitions_read: Counter,
    pub partitions_planned: Counter,
    /// Units of work before pruning.
    pub partitions_total: Counter,
    pub bytes_spilled: Counter,
    /// What went to and came from stores that are not the local disk.
    pub remote: Arc<RemoteCounters>,
    /// Rows of text files that could not be read as declared and were left out or given NULLs, as the policy says.
    pub bad_rows: Counter,
    /// Where the first of them was and what was wrong with it.
    first_bad_row: Mutex<Option<String>>,
    operators: Mutex<Vec<Arc<OperatorMetrics>>>,
}

/// Requests to remote stores as they went over the wire, those that were sent again included.
#[derive(Debug, Default)]
pub struct RemoteCounters {
    pub gets: Counter,
    pub heads: Counter,
    pub lists: Counter,
    /// PUT and POST.
    pub puts: Counter,
    pub deletes: Counter,
    /// Requests that failed in a way that is tried again.
    pub retries: Counter,
    /// Bytes of files that arrived.
    pub bytes: Counter,
    /// Bytes of files that did not have to be asked for, because they were in memory or on the local disk.
    pub bytes_in_memory: Counter,
    pub bytes_on_disk: Counter,
    /// Counts the same for a larger whole: a scan's counters for those of its statement.
    parent: Option<Arc<RemoteCounters>>,
}

impl RemoteCounters {
    /// Counters for a part of what `parent` counts.
    pub fn part_of(parent: Arc<RemoteCounters>) -> Arc<Self> {
        Arc::new(Self {
            parent: Some(parent),
            ..Self::default()
        })
    }

    /// Adds `n` to one counter, here and in all that this is a part of.
    pub fn add(&self, which: fn(&RemoteCounters) -> &Counter, n: u64) {
        which(self).add(n);
        if let Some(parent) = &self.parent {
            parent.add(which, n);
        }
    }

    pub fn requests(&self) -> u64 {
        let all = [&self.gets, &self.heads, &self.lists, &self.puts, &self.deletes];
        all.into_iter().map(Counter::get).sum()
    }

    /// Bytes that caches gave.
    pub fn bytes_cached(&self) -> u64 {
        self.bytes_in_memory.get() + self.bytes_on_disk.get()
    }

    /// `7 requests (7 GET), 3.2MB fetched, 1.1MB from cache`, if any of it was needed; `size` is how bytes are written.
    pub fn describe(&self, size: impl Fn(u64) -> String) -> Option<String> {
        let mut parts = vec![format!("{self}, {} fetched", size(self.bytes.get()))];
        parts.extend((self.bytes_cached() > 0).then(|| format!("{} from cache", size(self.bytes_cached()))));
        (self.requests() > 0 || self.bytes_cached() > 0).then(|| parts.join(", "))
    }
}

/// `7 requests (1 LIST, 2 HEAD, 4 GET)`, with `, 3 tried again` where some were.
impl std::fmt::Display for RemoteCounters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds = [
            (&self.lists, "LIST"),
            (&self.heads, "HEAD"),
            (&self.gets, "GET"),
            (&self.puts, "PUT"),
            (&self.deletes, "DELETE"),
        ];
        let kinds: Vec<String> = kinds
            .into_iter()
            .filter(|(counter, _)| counter.get() > 0)
            .map(|(counter, name)| format!("{} {name}", counter.get()))
            .collect();
        match self.requests() {
            0 => f.write_str("0 requests")?,
            1 => write!(f, "1 request ({})", kinds.join(", "))?,
            n => write!(f, "{n} requests ({})", kinds.join(", "))?,
        }
        match self.retries.get() {
            0 => Ok(()),
            n => write!(f, ", {n} tried again"),
        }
    }
}

/// A number that several threads add to.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one operator of the plan did.
#[derive(Debug, Default)]
pub struct OperatorMetrics {
    pub rows: Counter,
    pub batches: Counter,
    /// Nanoseconds of all workers together, without the operators after it.
    pub nanoseconds: Counter,
    /// The most bytes that it held at one time.
    peak_memory: AtomicU64,
    pub bytes_spilled: Counter,
    pub runs_spilled: Counter,
    /// How often a row went to disk at most.
    passes: AtomicU64,
    /// How the operator went about it in the end.
    outcome: Mutex<Option<String>>,
}

impl OperatorMetrics {
    /// The operator held so many bytes at one time.
    pub fn note_peak_memory(&self, bytes: usize) {
        self.peak_memory.fetch_max(bytes as u64, Ordering::Relaxed);
    }

    pub fn peak_memory(&self) -> u64 {
        self.peak_memory.load(Ordering::Relaxed)
    }

    /// The operator wrote a run of so many bytes, or a part of one.
    pub fn add_spilled_run(&self, bytes: u64) {
        if bytes > 0 {
            self.bytes_spilled.add(bytes);
            self.runs_spilled.add(1);
            self.note_passes(1);
        }
    }

    /// Some rows went to disk so many times.
    pub fn note_passes(&self, passes: u64) {
        self.passes.fetch_max(passes, Ordering::Relaxed);
    }

    /// How the operator went about it, when that is only known at the end.
    pub fn note_outcome(&self, text: String) {
        *self.outcome.lock() = Some(text);
    }

    pub fn outcome(&self) -> Option<String> {
        self.outcome.lock().clone()
    }

    pub fn passes(&self) -> u64 {
        self.passes.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// Counters of a query whose requests `remote` counts.
    pub fn new(remote: Arc<RemoteCounters>) -> Self {
        Self {
            remote,
            ..Self::default()
        }
    }

    /// Counters for one more operator.
    pub fn operator(&self) -> Arc<OperatorMetrics> {
        let metrics = Arc::new(OperatorMetrics::default());
        self.operators.lock().push(metrics.clone());
        metrics
    }

    pub fn note_first_bad_row(&self, text: String) {
        self.first_bad_row.lock().get_or_insert(text);
    }

    pub fn first_bad_row(&self) -> Option<String> {
        self.first_bad_row.lock().clone()
    }
}
