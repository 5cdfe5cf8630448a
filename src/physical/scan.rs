//! Sources that read: files of a table, and batches that are in memory.

use super::pipeline::{PartitionReader, Source};
use super::read_ahead::{Fetches, ReadAhead};
use crate::catalog::{FileTable, Table, TableSource};
use crate::error::{Error, Result};
use crate::format::{BatchReader, Partition, ScanRequest};
use crate::runtime::{MemoryArbiter, Metrics, QueryContext, Transit};
use crate::storage::{cache_in, fetch, is_remote};
use crate::vector::Batch;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads the partitions of all files, in order, each by one worker.
pub struct FileScan {
    table: Arc<Table>,
    request: Arc<ScanRequest>,
    limit: Option<u64>,
    state: Mutex<ScanState>,
    /// Rows given out so far, for `limit`.
    given: Arc<AtomicU64>,
}

#[derive(Default)]
struct ScanState {
    partitions: ReadAhead,
    next: usize,
    /// Partitions before any was left out.
    total: u64,
    /// Counts what readers hold.
    memory: Option<Arc<MemoryArbiter>>,
    metrics: Arc<Metrics>,
    max_bytes: Option<u64>,
}

impl FileScan {
    /// A scan of `table` for `request`; `limit` rows are enough, whichever.
    pub fn new(table: Arc<Table>, request: ScanRequest, limit: Option<u64>) -> Self {
        Self {
            table,
            request: Arc::new(request),
            limit,
            state: Mutex::default(),
            given: Arc::default(),
        }
    }

    /// Asks for the bytes of a partition of a remote file.
    fn ask(&self, partition: &Partition) -> Result<Fetches> {
        if !is_remote(&partition.file) {
            return Ok(vec![]);
        }
        let (format, file) = (&self.files()?.format, &partition.file);
        let mut fetches = fetch(file, &format.index_ranges(partition, &self.request)?)?;
        fetches.extend(fetch(file, &format.ranges(partition, &self.request)?)?);
        Ok(fetches)
    }

    /// Whether every row of a partition is given out.
    fn takes_all(&self) -> bool {
        self.request.predicates.is_empty() && self.request.runtime_filters.is_empty()
    }

    fn files(&self) -> Result<&FileTable> {
        match &self.table.source {
            TableSource::Files(files) => Ok(files),
            TableSource::Memory(_) | TableSource::Partitions(_) | TableSource::Information(_) => {
                Err(Error::internal("a file scan of a table without files"))
            }
        }
    }
}

impl FileScan {
    /// Bytes that the scan will read at most; a limit may end it sooner, so then nothing is certain.
    pub fn bytes_wanted(&self) -> Result<u64> {
        if self.limit.is_some() {
            return Ok(0);
        }
        let files = self.files()?;
        let mut bytes = 0u64;
        for file in &files.files {
            let found = files
                .format
                .partitions(&file.file, &file.info, &file.partition_values, &self.request)?;
            bytes = bytes.saturating_add(found.iter().map(|p| p.bytes).sum());
        }
        Ok(bytes)
    }
}

/// # Errors
/// `Refused` when a statement reads more than it may.
pub fn check_bytes(bytes: u64, max: Option<u64>, does: &str) -> Result<()> {
    match max {
        Some(max) if bytes > max => Err(Error::refused(format!(
            "the statement {does} {}, more than max_bytes allows, which is {}",
            crate::config::format_bytes(bytes as usize),
            crate::config::format_bytes(max as usize)
        ))
        .with_hint("add conditions on partition keys, name fewer columns, or raise --max-bytes")),
        _ => Ok(()),
    }
}

impl Source for FileScan {
    fn start(&self, context: &QueryContext) -> Result<()> {
        let files = self.files()?;
        let (mut partitions, mut total) = (VecDeque::new(), 0);
        let keys = self.table.columns.len().saturating_sub(files.partition_start);
        let mut constants = self.request.columns.iter().filter_map(|c| c.partition_column);
        let hidden = constants.any(|c| c >= keys);
        for file in &files.files {
            let all = hidden.then(|| self.table.constants_of(file));
            let constants = all.as_ref().unwrap_or(&file.partition_values);
            let found = files
                .format
                .partitions(&file.file, &file.info, constants, &self.request)?;
            total += files.format.units(&file.info).unwrap_or(found.len() as u64);
            partitions.extend(found);
        }
        if let Some(limit) = self.limit.filter(|_| self.takes_all()) {
            keep_enough(&mut partitions, limit);
        }
        let metrics = &context.metrics;
        let max_bytes = context.config.guards.max_bytes;
        metrics.bytes_total.add(files.files.iter().map(|f| f.file.size).sum());
        metrics.bytes_planned.add(partitions.iter().map(|p| p.bytes).sum());
        metrics.partitions_planned.add(partitions.len() as u64);
        metrics.partitions_total.add(total);
        if partitions.iter().any(|p| is_remote(&p.file)) {
            cache_in(&context.memory);
        }
        // Whoever wants few rows is not served faster by more of them.
        let ahead = self.limit.is_none() && partitions.iter().any(|p| is_remote(&p.file));
        let operator = ahead.then(|| context.memory.operator("read-ahead"));
        if self.limit.is_none() {
            check_bytes(metrics.bytes_planned.get(), max_bytes, "would read")?;
        }
        *self.state.lock() = ScanState {
            partitions: ReadAhead::new(partitions, operator),
            next: 0,
            total,
            memory: Some(context.memory.clone()),
            metrics: metrics.clone(),
            max_bytes,
        };
        Ok(())
    }

    fn facts(&self) -> Vec<String> {
        let state = self.state.lock();
        let mut facts = vec![format!("read {} of {} partitions", state.next, state.total)];
        match self.request.progress.pages_left_out() {
            0 => {}
            1 => facts.push("left out 1 page".into()),
            n => facts.push(format!("left out {n} pages")),
        }
        facts
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        if self
            .limit
            .is_some_and(|limit| self.given.load(Ordering::Relaxed) >= limit)
        {
            return Ok(None);
        }
        let (partition, fetches, ordinal, metrics, memory) = {
            let mut state = self.state.lock();
            let Some((partition, fetches)) = state.partitions.next(|p| self.ask(p))? else {
                return Ok(None);
            };
            state.next += 1;
            check_bytes(
                state.metrics.bytes_read.get() + partition.bytes,
                state.max_bytes,
                "needs to read",
            )?;
            let (metrics, memory) = (state.metrics.clone(), state.memory.clone());
            (partition, fetches, state.next - 1, metrics, memory)
        };
        let reader = self.files()?.format.open(&partition, &self.request)?;
        metrics.bytes_read.add(partition.bytes - reader.bytes_left_out());
        metrics.partitions_read.add(1);
        let held = Held::new(memory.as_ref());
        Ok(Some(Box::new(FileReader {
            reader,
            _fetches: fetches,
            ordinal,
            limit: self.limit,
            given: self.given.clone(),
            metrics,
            held,
        })))
    }
}

/// The first partitions that have `limit` rows together.
fn keep_enough(partitions: &mut VecDeque<Partition>, limit: u64) {
    let mut rows = 0;
    let enough = partitions.iter().position(|p| {
        rows += p.rows.unwrap_or(0);
        rows >= limit
    });
    partitions.truncate(enough.map_or(usize::MAX, |last| last + 1));
}

struct FileReader {
    reader: Box<dyn BatchReader>,
    /// The requests that bring what the reader reads.
    _fetches: Fetches,
    ordinal: usize,
    limit: Option<u64>,
    given: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
    held: Held,
}

/// Counts what a reader and the batch that it gave last hold.
struct Held {
    transit: Option<Transit>,
    batches: usize,
    batch_bytes: usize,
}

/// Of so many batches one is measured.
const MEASURED: usize = 16;

impl Held {
    fn new(memory: Option<&Arc<MemoryArbiter>>) -> Self {
        Self {
            transit: memory.map(|m| m.transit()),
            batches: 0,
            batch_bytes: 0,
        }
    }

    fn note(&mut self, reader: &dyn BatchReader, batch: &Batch) {
        if self.batches.is_multiple_of(MEASURED) {
            self.batch_bytes = batch.memory_size();
        }
        self.batches += 1;
        if let Some(transit) = &mut self.transit {
            transit.set(reader.memory_size() + self.batch_bytes);
        }
    }
}

impl PartitionReader for FileReader {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        if self
            .limit
            .is_some_and(|limit| self.given.load(Ordering::Relaxed) >= limit)
        {
            return Ok(None);
        }
        let batch = self.reader.next()?;
        if let Some(batch) = &batch {
            self.held.note(self.reader.as_ref(), batch);
            self.given.fetch_add(batch.len() as u64, Ordering::Relaxed);
            self.metrics.rows_read.add(batch.len() as u64);
        }
        Ok(batch)
    }
}

/// Gives batches that are in memory, in order, in partitions of some batches.
pub struct MemoryScan {
    batches: Arc<Vec<Batch>>,
    next: Mutex<usize>,
}

/// Batches per partition.
const CHUNK: usize = 16;

impl MemoryScan {
    pub fn new(batches: Vec<Batch>) -> Self {
        Self {
            batches: Arc::new(batches),
            next: Mutex::new(0),
        }
    }
}

impl Source for MemoryScan {
    fn start(&self, _context: &QueryContext) -> Result<()> {
        *self.next.lock() = 0;
        Ok(())
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let mut next = self.next.lock();
        let start = *next * CHUNK;
        if start >= self.batches.len() {
            return Ok(None);
        }
        *next += 1;
        let end = (start + CHUNK).min(self.batches.len());
        Ok(Some(Box::new(MemoryReader {
            batches: self.batches.clone(),
            at: start,
            end,
            ordinal: *next - 1,
        })))
    }
}

struct MemoryReader {
    batches: Arc<Vec<Batch>>,
    at: usize,
    end: usize,
    ordinal: usize,
}

impl PartitionReader for MemoryReader {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        if self.at >= self.end {
            return Ok(None);
        }
        self.at += 1;
        Ok(self.batches.get(self.at - 1).cloned())
    }
}

/// All partitions of another source as one, so that a single worker sees the rows in order.
pub struct Sequential {
    source: Arc<dyn Source>,
    taken: Mutex<bool>,
}

impl Sequential {
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self {
            source,
            taken: Mutex::new(false),
        }
    }
}

impl Source for Sequential {
    fn start(&self, context: &QueryContext) -> Result<()> {
        self.source.start(context)
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        if std::mem::replace(&mut *self.taken.lock(), true) {
            return Ok(None);
        }
        Ok(Some(Box::new(SequentialReader {
            source: self.source.clone(),
            current: None,
        })))
    }
}

struct SequentialReader {
    source: Arc<dyn Source>,
    current: Option<Box<dyn PartitionReader>>,
}

impl PartitionReader for SequentialReader {
    fn ordinal(&self) -> usize {
        0
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            if let Some(partition) = &mut self.current
                && let Some(batch) = partition.next()?
            {
                return Ok(Some(batch));
            }
            self.current = self.source.next_partition()?;
            if self.current.is_none() {
                return Ok(None);
            }
        }
    }
}
