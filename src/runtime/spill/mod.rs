//! Spill files: rows that do not fit into memory, on disk for as long as their operator lives.
//!
//! A spill file has no name: it is opened with `O_TMPFILE`, or unlinked right after it was created in a private folder, so
//! that nothing is left behind however the process ends. Its content is blocks:
//!
//! ```text
//! magic u32 │ length u32 │ checksum u64 │ a block's bytes (vector/block/codec.rs)
//! ```
//!
//! The checksum covers the bytes; a flipped bit is an error when the block is read, never a wrong row.

mod partition;
mod write_behind;

pub use partition::{LEVELS, PARTITIONS, PartitionWriter, block_bytes, partition_of};

use super::metrics::Metrics;
use super::{MemoryArbiter, Transit};
use crate::config::{Config, format_bytes};
use crate::error::{Error, Result};
use crate::types::DataType;
use crate::vector::block::{Appender, Block, Layout, Prepared};
use crate::vector::{Batch, Column};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind as IoErrorKind;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once, OnceLock};
use write_behind::{WriteBehind, Written};

const MAGIC: u32 = 0x4B42_5053;
const HEADER: usize = 16;
/// Bytes of rows that a writer collects before it writes a block.
const BLOCK_BYTES: usize = 256 << 10;

/// Opens spill files and counts what they take on disk.
#[derive(Debug)]
pub struct SpillManager {
    folder: PathBuf,
    limit: u64,
    used: AtomicU64,
    metrics: Arc<Metrics>,
    /// Counts blocks on their way.
    memory: Arc<MemoryArbiter>,
    /// Started with the first block.
    write_behind: OnceLock<Option<WriteBehind>>,
}

impl SpillManager {
    /// Spill files in `config.spill_dir`, no more than `config.max_spill` bytes at a time. Touches no disk yet.
    pub fn new(config: &Config, metrics: Arc<Metrics>, memory: Arc<MemoryArbiter>) -> Arc<Self> {
        let folder = match config.spill_dir.as_str() {
            "" => std::env::temp_dir(),
            folder => PathBuf::from(folder),
        };
        Arc::new(Self {
            folder,
            limit: config.max_spill as u64,
            used: AtomicU64::new(0),
            metrics,
            memory,
            write_behind: OnceLock::new(),
        })
    }

    /// The thread that writes; `None` where there can be none.
    fn write_behind(&self) -> Option<&WriteBehind> {
        let start = || WriteBehind::start(&self.memory);
        self.write_behind.get_or_init(start).as_ref()
    }

    /// Bytes on disk now, or on their way there.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A new, empty file.
    ///
    /// # Errors
    /// `Storage` when the folder does not allow it.
    pub fn file(self: &Arc<Self>) -> Result<Arc<SpillFile>> {
        let file = open_nameless(&self.folder).map_err(|e| {
            Error::storage(format!("cannot make a spill file in {}: {e}", self.folder.display()))
                .with_hint("set spill_dir (--spill-dir) to a folder that can be written")
        })?;
        Ok(Arc::new(SpillFile {
            file,
            length: AtomicU64::new(0),
            manager: self.clone(),
        }))
    }

    /// A writer of rows with columns of these types, into a file of its own.
    pub fn writer(self: &Arc<Self>, types: &[DataType]) -> Result<SpillWriter> {
        SpillWriter::new(self.file()?, Layout::new(types)?)
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let taken = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if taken > self.limit {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            let size = |b: u64| format_bytes(usize::try_from(b).unwrap_or(usize::MAX));
            return Err(Error::resources(format!(
                "the query needs more than {} of spill files, the limit max_spill",
                size(self.limit)
            ))
            .with_hint("raise max_spill, or memory_limit (--memory) so that less is spilled"));
        }
        self.metrics.bytes_spilled.add(bytes);
        Ok(())
    }
}

/// What the names of private folders begin with; the process id follows.
const PRIVATE_PREFIX: &str = ".lakebed-";

/// Removes the private folders of processes that were killed between making and unlinking a file.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|n| n.strip_prefix(PRIVATE_PREFIX)?.split('-').next());
        let Some(owner) = owner.and_then(|pid| pid.parse::<u32>().ok()) else {
            continue;
        };
        if Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{owner}")).exists() {
            // Another process may sweep at the same time.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Opens a file that has no name, readable by nobody else.
fn open_nameless(folder: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    #[cfg(target_os = "linux")]
    match options.clone().custom_flags(libc::O_TMPFILE).open(folder) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) => {}
        other => return other,
    }
    static SWEEP: Once = Once::new();
    SWEEP.call_once(|| sweep(folder));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let private = folder.join(format!("{PRIVATE_PREFIX}{}-{number}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&private)?;
    let path = private.join("spill");
    let file = options
        .create_new(true)
        .open(&path)
        .and_then(|file| std::fs::remove_file(&path).map(|()| file));
    let removed = std::fs::remove_dir(&private);
    let file = file?;
    removed.map(|()| file)
}

/// A file that several writers may append to. Its space is given back when the last user drops it.
#[derive(Debug)]
pub struct SpillFile {
    file: File,
    length: AtomicU64,
    manager: Arc<SpillManager>,
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        self.manager
            .used
            .fetch_sub(self.length.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl SpillFile {
    /// Bytes written so far.
    pub fn length(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }

    fn manager(&self) -> &SpillManager {
        &self.manager
    }

    /// Makes the file `bytes` longer and gives where they begin.
    fn extend(&self, bytes: usize) -> Result<u64> {
        let bytes = bytes as u64;
        self.manager.take(bytes)?;
        Ok(self.length.fetch_add(bytes, Ordering::Relaxed))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|e| self.write_error(&e, bytes.len()))
    }

    fn write_error(&self, e: &std::io::Error, bytes: usize) -> Error {
        let folder = self.manager.folder.display();
        let error = Error::storage(format!("cannot write {bytes} bytes to a spill file in {folder}: {e}"));
        match e.kind() {
            IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded => {
                let used = self.manager.used();
                error.with_hint(format!(
                    "{used} bytes are spilled; set spill_dir (--spill-dir) to a disk with more room"
                ))
            }
            _ => error,
        }
    }

    fn read(&self, place: &BlockPlace, buffer: &mut Vec<u8>) -> Result<()> {
        let bad = |what: &str| {
            let folder = self.manager.folder.display();
            Error::storage(format!(
                "a spill file in {folder} is damaged at byte {}: {what}",
                place.offset
            ))
        };
        buffer.resize(place.length as usize, 0);
        self.file
            .read_exact_at(buffer, place.offset)
            .map_err(|e| bad(&e.to_string()))?;
        let header = buffer.first_chunk::<HEADER>().ok_or_else(|| bad("no header"))?;
        let word = |at: usize| {
            header
                .iter()
                .skip(at)
                .take(4)
                .rev()
                .fold(0u64, |w, &b| w << 8 | u64::from(b))
        };
        if word(0) != u64::from(MAGIC) || word(4) != buffer.len() as u64 - HEADER as u64 {
            return Err(bad("this is not the beginning of a block"));
        }
        if (word(12) << 32 | word(8)) != checksum(buffer.get(HEADER..).unwrap_or_default()) {
            return Err(bad("the checksum does not fit"));
        }
        Ok(())
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    crate::vector::hash::hash_bytes(bytes)
}

/// Where a block is.
#[derive(Debug, Clone, Copy)]
pub struct BlockPlace {
    offset: u64,
    pub length: u32,
    pub rows: u32,
}

/// Writes rows, block after block.
#[derive(Debug)]
pub struct SpillWriter {
    written: Arc<Written>,
    layout: Arc<Layout>,
    appender: Appender,
    /// Rows not yet written.
    open: Block,
    /// Bytes of their rows.
    open_bytes: usize,
    /// Bytes of rows at which a block is written.
    block_bytes: usize,
    blocks: Vec<BlockPlace>,
    buffer: Vec<u8>,
    /// Counts what is in memory of a writer by itself; whoever has many books them.
    transit: Transit,
}

impl SpillWriter {
    /// A writer that appends to `file`.
    pub fn new(file: Arc<SpillFile>, layout: Arc<Layout>) -> Result<Self> {
        Self::with_block_bytes(file, layout, BLOCK_BYTES)
    }

    /// As [`SpillWriter::new`], with blocks of another size.
    pub fn with_block_bytes(file: Arc<SpillFile>, layout: Arc<Layout>, block_bytes: usize) -> Result<Self> {
        let open = Block::new(&layout);
        let transit = file.manager.memory.transit();
        Ok(Self {
            written: Written::new(file),
            appender: Appender::new(layout.clone()),
            open,
            open_bytes: 0,
            layout,
            block_bytes,
            blocks: vec![],
            buffer: vec![],
            transit,
        })
    }

    /// Adds the batch's rows; they may stay in memory until there are enough for a block, or [`SpillWriter::finish`].
    pub fn append(&mut self, batch: &Batch) -> Result<()> {
        let columns: Vec<Column> = (0..batch.width()).map(|i| batch.column(i)).collect::<Result<_>>()?;
        let prepared = self.appender.prepare(&columns, batch.len())?;
        let mut buffer = std::mem::take(&mut self.buffer);
        self.append_prepared(&prepared, 0..batch.len(), &mut buffer)?;
        self.buffer = buffer;
        self.transit.set(self.memory_size());
        Ok(())
    }

    /// Adds some rows of a batch that an appender of this layout has prepared; `buffer` is scratch space.
    fn append_prepared(&mut self, prepared: &Prepared, rows: Range<usize>, buffer: &mut Vec<u8>) -> Result<()> {
        let mut start = rows.start;
        while start < rows.end {
            let room = self.block_bytes.saturating_sub(self.open_bytes);
            let room = room.max(self.block_bytes / 4);
            // Of many small ranges of a batch, most fit: no need to look at the rows after them.
            let fit = match prepared.size(start..rows.end) <= room {
                true => rows.end - start,
                false => prepared.rows_within(start, room).min(rows.end - start),
            };
            self.open.append(&self.layout, prepared, start..start + fit)?;
            self.open_bytes += prepared.size(start..start + fit);
            start += fit;
            if self.open_bytes >= self.block_bytes {
                self.flush(buffer)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        if self.open.rows() > 0 {
            // The next block will be about as large: its vectors need not grow.
            let next = Block::with_shape(&self.layout, &self.open.shape());
            let block = std::mem::replace(&mut self.open, next);
            self.open_bytes = 0;
            self.write_through(&block, buffer)?;
        }
        Ok(())
    }

    /// Writes a block of the writer's layout as it is.
    pub fn write(&mut self, block: &Block) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.write_through(block, &mut buffer)?;
        self.buffer = buffer;
        self.transit.set(self.memory_size());
        Ok(())
    }

    /// Writes a block by way of `buffer`.
    fn write_through(&mut self, block: &Block, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.clear();
        buffer.resize(HEADER, 0);
        block.encode(buffer);
        let (header, body) = buffer.split_at_mut(HEADER);
        let length = u32::try_from(body.len())
            .map_err(|_| Error::resources(format!("a row of {} bytes cannot be spilled", body.len())))?;
        let words = [u64::from(MAGIC) | u64::from(length) << 32, checksum(body)];
        header
            .iter_mut()
            .zip(words.iter().flat_map(|w| w.to_le_bytes()))
            .for_each(|(to, from)| *to = from);
        let offset = self.written.append(buffer)?;
        let length = length.saturating_add(HEADER as u32);
        self.blocks.push(BlockPlace {
            offset,
            length,
            rows: block.rows() as u32,
        });
        Ok(())
    }

    /// Bytes in memory.
    pub fn memory_size(&self) -> usize {
        self.open.memory_size() + self.buffer.capacity() + self.blocks.capacity() * size_of::<BlockPlace>()
    }

    /// Writes what is left; the rows can be read now, and a block that could not be written is an error then.
    pub fn finish(mut self) -> Result<SpillRun> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.finish_through(&mut buffer)
    }

    fn finish_through(mut self, buffer: &mut Vec<u8>) -> Result<SpillRun> {
        let open = std::mem::take(&mut self.open);
        if open.rows() > 0 {
            self.write_through(&open, buffer)?;
        }
        Ok(SpillRun {
            written: self.written,
            layout: self.layout,
            blocks: self.blocks.into(),
        })
    }
}

/// Rows on disk, in the order in which they were written. Cheap to clone; the disk's space lives as long as a clone.
#[derive(Debug, Clone)]
pub struct SpillRun {
    written: Arc<Written>,
    layout: Arc<Layout>,
    blocks: Arc<[BlockPlace]>,
}

impl SpillRun {
    pub fn rows(&self) -> u64 {
        self.blocks.iter().map(|b| u64::from(b.rows)).sum()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|b| u64::from(b.length)).sum()
    }

    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub fn blocks(&self) -> &[BlockPlace] {
        &self.blocks
    }

    /// Reads block `index`; `buffer` is scratch space.
    ///
    /// # Errors
    /// `Storage` when the file could not be written, cannot be read, or its bytes have changed.
    pub fn block(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Block> {
        let place = self
            .blocks
            .get(index)
            .ok_or_else(|| Error::internal(format!("a spill run has no block {index}")))?;
        self.written.wait()?;
        self.written.file.read(place, buffer)?;
        Block::decode(&self.layout, buffer.get(HEADER..).unwrap_or_default())
    }

    /// All rows from block `first` on, in order.
    pub fn reader_from(&self, first: usize) -> SpillReader {
        SpillReader {
            run: self.clone(),
            next: first,
            buffer: vec![],
            transit: self.written.file.manager.memory.transit(),
        }
    }

    /// All rows, in order.
    pub fn reader(&self) -> SpillReader {
        self.reader_from(0)
    }
}

/// Reads a run block by block.
#[derive(Debug)]
pub struct SpillReader {
    run: SpillRun,
    next: usize,
    buffer: Vec<u8>,
    /// Counts the buffer and the batch given out last.
    transit: Transit,
}

impl SpillReader {
    /// The next rows, or `None` at the end.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        if self.next >= self.run.blocks.len() {
            return Ok(None);
        }
        let block = self.run.block(self.next, &mut self.buffer)?;
        self.next += 1;
        self.transit.set(self.buffer.capacity() + block.memory_size());
        block.into_batch(&self.run.layout, self.run.layout.width()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use arrow::array::{ArrayRef, Int64Array, StringViewArray};

    fn manager(change: impl Fn(&mut Config)) -> Arc<SpillManager> {
        let mut config = Config::default();
        change(&mut config);
        SpillManager::new(&config, Arc::default(), MemoryArbiter::new(1 << 30))
    }

    fn batch(start: i64, rows: i64) -> Batch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(start..start + rows));
        let texts = (start..start + rows).map(|i| format!("the value of row {i}"));
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
        Batch::from_arrays(vec![numbers, texts], rows as usize)
    }

    fn spilled(manager: &Arc<SpillManager>, batches: i64) -> Result<SpillRun> {
        let mut writer = manager.writer(&[DataType::Int64, DataType::Utf8View])?;
        (0..batches).try_for_each(|i| writer.append(&batch(i * 100, 100)))?;
        writer.finish()
    }

    #[test]
    fn rows_come_back_in_order_and_from_the_middle() {
        let folder = tempfile::tempdir().unwrap();
        let manager = manager(|c| c.spill_dir = folder.path().display().to_string());
        let run = spilled(&manager, 200).unwrap();
        assert_eq!(run.rows(), 20_000);
        assert!(run.blocks().len() > 1 && manager.used() == run.bytes());
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "the file has no name"
        );
        let skipped = run.blocks()[0].rows as usize;
        for (mut reader, mut next) in [(run.reader(), 0), (run.reader_from(1), skipped)] {
            while let Some(batch) = reader.next_batch().unwrap() {
                let expected = self::batch(next as i64, batch.len() as i64);
                for i in 0..2 {
                    assert_eq!(
                        &batch.column(i).unwrap().to_array().unwrap(),
                        &expected.column(i).unwrap().to_array().unwrap()
                    );
                }
                next += batch.len();
            }
            assert_eq!(next, 20_000);
        }
        drop(run);
        assert_eq!(manager.used(), 0);
    }

    #[test]
    fn what_a_killed_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let private = |pid: u32| folder.path().join(format!("{PRIVATE_PREFIX}{pid}-0"));
        let (dead, alive) = (private(u32::MAX - 1), private(std::process::id()));
        for path in [&dead, &alive, &folder.path().join(".lakebed-notes")] {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("spill"), "rows").unwrap();
        }
        sweep(folder.path());
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert!(!dead.exists() && alive.exists() && left == 2);
    }

    #[test]
    fn a_flipped_bit_is_an_error() {
        let run = spilled(&manager(|_| ()), 3).unwrap();
        run.written.wait().unwrap();
        let length = run.written.file.length() as usize;
        let mut buffer = vec![];
        for at in (0..length).step_by(7).chain([length - 1]) {
            let mut byte = [0];
            run.written.file.file.read_exact_at(&mut byte, at as u64).unwrap();
            run.written.file.file.write_all_at(&[byte[0] ^ 4], at as u64).unwrap();
            assert_eq!(
                run.block(0, &mut buffer).unwrap_err().kind(),
                ErrorKind::Storage,
                "byte {at}"
            );
            run.written.file.file.write_all_at(&byte, at as u64).unwrap();
        }
        run.block(0, &mut buffer).unwrap();
    }

    #[test]
    fn blocks_are_written_behind_and_read_when_they_have_landed() {
        let manager = manager(|c| c.spill_dir.clear());
        for batches in 1..40 {
            let run = spilled(&manager, batches * 5).unwrap();
            let mut reader = run.reader();
            let mut rows = 0;
            while let Some(batch) = reader.next_batch().unwrap() {
                rows += batch.len() as i64;
            }
            assert_eq!(rows, batches * 500);
        }
        assert!(manager.write_behind().is_some());
        assert_eq!(manager.used(), 0);
        let memory = manager.memory.clone();
        // Not read by anybody: dropped with the rest, without waiting for its blocks.
        drop(spilled(&manager, 50).unwrap());
        drop(manager);
        assert_eq!(memory.in_transit(), 0);
    }

    #[test]
    fn a_block_that_cannot_be_written_is_an_error_of_whoever_reads_it() {
        for limit in [0, 1 << 30] {
            let mut config = Config::default();
            config.spill_dir.clear();
            let manager = SpillManager::new(&config, Arc::default(), MemoryArbiter::new(limit));
            let file = SpillFile {
                file: File::open("/dev/null").unwrap(),
                length: AtomicU64::new(0),
                manager,
            };
            let layout = Layout::new(&[DataType::Int64, DataType::Utf8View]).unwrap();
            let mut writer = SpillWriter::new(Arc::new(file), layout).unwrap();
            writer.append(&batch(0, 100)).unwrap();
            let read = writer.finish().and_then(|run| run.block(0, &mut vec![]));
            let error = read.unwrap_err();
            assert!(error.message().contains("cannot write"), "{error:?}");
        }
    }

    #[test]
    fn the_quota_names_its_setting() {
        let error = spilled(&manager(|c| c.max_spill = 1000), 3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourcesExhausted);
        assert!(error.message().contains("max_spill"));
        let error = spilled(&manager(|c| c.spill_dir = "/nonexistent/folder".into()), 3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.message().contains("/nonexistent/folder"));
    }
}
