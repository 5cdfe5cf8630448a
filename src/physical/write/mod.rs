//! The sink that writes rows to files: COPY, CTAS, INSERT, UNLOAD.
//!
//! ```text
//! any order        every worker ─▶ encoder ─▶ a file of its own
//! in order, or     every worker ─▶ encoder ─▶ encoded row groups ─▶ the one file, in the order of partitions
//! into one file
//! partitioned      every worker ─▶ a buffer for each value of the partition columns ─▶ files in key=value folders
//! ```
//!
//! Nobody sees the files; whoever calls makes them visible (`catalog::commit`).

mod buckets;
mod file;
mod partitioned;
mod shared;

pub use buckets::{BucketHash, Buckets};
pub use file::{TextCompression, WriteFormat, WrittenFile};

use super::pipeline::{Flow, LocalSink, Sink};
use crate::error::Result;
use crate::format::parquet;
use crate::runtime::{QueryContext, Reservation, Transit};
use crate::storage::StagedFiles;
use crate::vector::Batch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use file::{Encoder, OutputFile};
use parking_lot::Mutex;
use shared::SharedFile;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of an encoded row group or piece of text at most.
const MAX_ENCODED: usize = 128 << 20;
/// What an encoder needs for a while to end a page, and does not tell: vectors that have grown too far, and compressed bytes.
const TO_END_PAGE: usize = 2 << 20;

/// Where and how rows are written.
#[derive(Debug, Clone)]
pub struct WriteTarget {
    /// Where files go, and wait to be made visible by whoever calls.
    pub files: Arc<StagedFiles>,
    /// What file names start with.
    pub file_prefix: String,
    /// What files are called instead: `{i}` stands for the number of each, `{uuid}` for the prefix.
    pub file_pattern: Option<String>,
    /// The name of the only file, also when there are no rows; `None` for as many files as it takes.
    pub single_file: Option<String>,
    pub format: WriteFormat,
    /// Names and types of all columns, partition columns included.
    pub schema: SchemaRef,
    /// Columns that are written as `name=value` folders and not into the files.
    pub partition_by: Vec<usize>,
    /// Rows stay in the order of the query, in one file or in several whose names are in that order. A partitioned write
    /// keeps it inside of each file.
    pub ordered: bool,
    /// Bytes at which a file is ended and another one begun.
    pub file_size: u64,
    /// How rows are dealt out to buckets, each of which has files of its own.
    pub buckets: Option<Buckets>,
}

/// What was written, known once the sink has finished.
#[derive(Debug, Default)]
pub struct WriteResult {
    files: Mutex<Vec<WrittenFile>>,
}

impl WriteResult {
    /// The files, by name.
    pub fn files(&self) -> Vec<WrittenFile> {
        let mut files = self.files.lock().clone();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    pub fn rows(&self) -> u64 {
        self.files.lock().iter().map(|f| f.rows).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.files.lock().iter().map(|f| f.bytes).sum()
    }
}

/// A sink that writes to `target`, and where it tells what it wrote.
///
/// # Errors
/// When the format has no place for a column's type.
pub fn write_sink(target: WriteTarget, context: &QueryContext) -> Result<(Arc<dyn Sink>, Arc<WriteResult>)> {
    if let WriteFormat::Parquet(_) = &target.format {
        parquet::check_schema(&target.schema)?;
    }
    let result = Arc::new(WriteResult::default());
    let mut target = target;
    if let Some(buckets) = &target.buckets {
        buckets.check(&target.schema)?;
        // The number of the bucket is one more column by which rows are parted.
        let mut fields: Vec<FieldRef> = target.schema.fields().iter().cloned().collect();
        target.partition_by.push(fields.len());
        fields.push(Arc::new(Field::new("bucket", DataType::Int32, false)));
        target.schema = Arc::new(Schema::new(fields));
    }
    let output = Output {
        target,
        result: result.clone(),
        next_file: AtomicUsize::new(0),
    };
    let sink: Arc<dyn Sink> = if output.target.partition_by.is_empty() {
        let single = output.target.single_file.is_some() || output.target.ordered;
        let output = Arc::new(output);
        Arc::new(WriteSink {
            shared: single.then(|| Arc::new(SharedFile::new(output.clone()))),
            output,
        })
    } else {
        Arc::new(partitioned::PartitionedSink::new(Arc::new(output), context)?)
    };
    Ok((sink, result))
}

/// Opens files and remembers those that are done.
#[derive(Debug)]
struct Output {
    target: WriteTarget,
    result: Arc<WriteResult>,
    next_file: AtomicUsize,
}

impl Output {
    /// The path of one more file in `folder` below the target, with the bucket's number where readers look for it.
    fn new_path(&self, folder: &str, bucket: Option<i32>) -> String {
        let within = |name: String| match folder {
            "" => name,
            _ => format!("{folder}/{name}"),
        };
        if let Some(name) = &self.target.single_file {
            return within(name.clone());
        }
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        let extension = self.target.format.extension();
        let prefix = &self.target.file_prefix;
        if let Some(pattern) = &self.target.file_pattern {
            let name = pattern.replace("{uuid}", prefix);
            let name = match name.contains("{i}") {
                true => name.replace("{i}", &number.to_string()),
                false => format!("{name}{number}"),
            };
            return within(format!("{name}.{extension}"));
        }
        let separator = if prefix.is_empty() { "" } else { "-" };
        let hash = self.target.buckets.as_ref().map(|b| b.hash);
        within(match (bucket, hash) {
            // Spark finds it before the first point, Hive and Trino at the begin.
            (Some(bucket), Some(BucketHash::Spark)) => {
                format!("part-{number:05}-{prefix}_{bucket:05}.c000.{extension}")
            }
            (Some(bucket), _) => format!("{bucket:06}_0_{prefix}{separator}{number:05}.{extension}"),
            (None, _) => format!("{prefix}{separator}{number:05}.{extension}"),
        })
    }

    /// Whether a file has so many bytes that the next go into another one.
    fn is_large(&self, file: &OutputFile, more: usize) -> bool {
        let limit = self.target.file_size;
        let one = self.target.single_file.is_some() || limit == 0;
        let bytes = file.bytes();
        !one && (bytes >= limit || (more > 0 && bytes > limit / 2 && bytes + more as u64 > limit))
    }

    /// Bytes at which an encoder is ended.
    fn chunk_bytes(&self) -> usize {
        let most = match &self.target.format {
            WriteFormat::Parquet(options) => options.row_group_bytes.max(1),
            _ => MAX_ENCODED,
        };
        match self.target.file_size {
            0 => most,
            limit => most.min(usize::try_from(limit).unwrap_or(usize::MAX)),
        }
    }

    fn done(&self, file: OutputFile) -> Result<()> {
        let written = file.finish(&self.target)?;
        self.result.files.lock().push(written);
        Ok(())
    }

    /// The rows of the batch from `start` on that still fit into the encoder's row group.
    fn piece(&self, batch: &Batch, start: usize, encoder: Option<&Encoder>) -> Batch {
        let room = self
            .chunk_rows()
            .saturating_sub(encoder.map_or(0, Encoder::rows))
            .max(1);
        let rows = usize::try_from(room).unwrap_or(usize::MAX).min(batch.len() - start);
        match rows == batch.len() {
            true => batch.clone(),
            false => batch.slice(start, rows),
        }
    }

    /// Rows after which an encoder is ended.
    fn chunk_rows(&self) -> u64 {
        match &self.target.format {
            WriteFormat::Parquet(options) => options.row_group_rows.max(1) as u64,
            _ => u64::MAX,
        }
    }
}

/// Writes without partition columns.
struct WriteSink {
    output: Arc<Output>,
    /// The one file, when there shall be one.
    shared: Option<Arc<SharedFile>>,
}

impl Sink for WriteSink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(match &self.shared {
            Some(shared) => Box::new(shared::LocalShared::new(shared.clone(), context)),
            None => Box::new(LocalWrite {
                output: self.output.clone(),
                file: None,
                encoder: None,
                reservation: context.memory.reservation("Write"),
                transit: context.memory.transit(),
            }),
        })
    }

    fn end_pipeline(&self) -> Result<()> {
        self.shared.as_ref().map_or(Ok(()), |shared| shared.end_pipeline())
    }

    fn finish(&self, _context: &QueryContext) -> Result<()> {
        self.shared.as_ref().map_or(Ok(()), |shared| shared.finish())
    }
}

/// One worker with a file of its own.
struct LocalWrite {
    output: Arc<Output>,
    file: Option<OutputFile>,
    encoder: Option<Encoder>,
    reservation: Reservation,
    /// Counts the rows being encoded.
    transit: Transit,
}

impl LocalWrite {
    fn flush(&mut self) -> Result<()> {
        if let (Some(encoder), Some(file)) = (self.encoder.take(), &mut self.file) {
            file.append(encoder.finish(&self.output.target)?)?;
        }
        if self.file.as_ref().is_some_and(|file| self.output.is_large(file, 0))
            && let Some(file) = self.file.take()
        {
            self.output.done(file)?;
        }
        self.reservation.resize(0)
    }
}

impl LocalWrite {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let target = &self.output.target;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OutputFile::create(
                &self.output.new_path("", None),
                target,
                &target.schema,
                Some(batch),
            )?),
        };
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(file.encoder()?),
        };
        encoder.write(batch, target)?;
        match is_full(encoder, &self.output, &mut self.reservation) {
            true => self.flush(),
            false => Ok(()),
        }
    }
}

impl LocalSink for LocalWrite {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        self.transit.set(TO_END_PAGE + batch.memory_size());
        let mut start = 0;
        while start < batch.len() {
            let piece = self.output.piece(&batch, start, self.encoder.as_ref());
            self.write(&piece)?;
            start += piece.len();
        }
        Ok(Flow::More)
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        self.flush()?;
        match self.file.take() {
            Some(file) => self.output.done(file),
            None => Ok(()),
        }
    }
}

/// Whether an encoder has to be ended: it has enough rows or bytes, or memory is short.
fn is_full(encoder: &Encoder, output: &Output, reservation: &mut Reservation) -> bool {
    let bytes = encoder.memory_size();
    let missing = bytes.saturating_sub(reservation.bytes());
    let refused = missing > 0 && !reservation.try_grow(missing.max(1 << 20)) && !reservation.try_grow(missing);
    refused || bytes >= output.chunk_bytes() || encoder.rows() >= output.chunk_rows()
}

#[cfg(test)]
mod tests;
