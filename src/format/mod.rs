//! File formats: how to know what is in a file, read it partition by partition, and write it.

mod bad_rows;
mod columns;
pub mod csv;
pub mod json;
mod lines;
mod nested;
pub mod parquet;
mod patterns;
mod progress;
mod registry;
mod serde;
mod spelling;
#[cfg(test)]
mod testing;
mod values;

pub use bad_rows::{BadRowOptions, BadRowPolicy, BadRows};
pub use progress::ScanProgress;
pub use registry::{FORMATS, FormatEntry, FormatOption, Options, find_format, format_of_file};
pub use serde::{format_of_input, format_of_serde, hive_property, serde_of};
pub(crate) use values::{TypeGuess, parse_value};

use crate::error::Result;
use crate::expression::{Predicate, RuntimeFilter};
use crate::storage::ObjectFile;
use crate::types::{DataType, ScalarValue};
use crate::vector::Batch;
use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// Bytes behind a partition of text in which its last line ends, most of the time.
const LINE: u64 = 64 << 10;
/// Bytes of a partition of text that are asked for at once.
const TEXT_AHEAD: u64 = (8 << 20) + LINE + 1;

/// A way to lay rows out in files.
pub trait FileFormat: Debug + Send + Sync {
    /// `PARQUET`, `CSV`, `JSON`: as SHOW CREATE TABLE spells it.
    fn name(&self) -> &'static str;

    /// Columns, rows and statistics of a file, as far as a glance tells: a footer, or a sample of the text.
    /// `sample` is false when the schema is declared and only cheap facts are wanted.
    fn inspect(&self, file: &ObjectFile, sample: bool) -> Result<FileInfo>;

    /// Cuts a file into units of work, leaving out those that the request's predicates exclude.
    /// `constants` are the values of the table's partition columns for this file.
    fn partitions(
        &self,
        file: &ObjectFile,
        info: &Arc<FileInfo>,
        constants: &[ScalarValue],
        request: &ScanRequest,
    ) -> Result<Vec<Partition>>;

    /// How many partitions a file has before predicates exclude any, where they can.
    fn units(&self, _info: &FileInfo) -> Option<u64> {
        None
    }

    /// The bytes that reading the partition takes or begins with, which are asked for ahead of time when the file is remote.
    ///
    /// By default those of a partition of text.
    fn ranges(&self, partition: &Partition, _request: &ScanRequest) -> Result<Vec<Range<u64>>> {
        // The byte before tells whether a line starts here, and the last line ends a little later. A compressed file is one
        // partition, whose reader asks for what follows.
        let start = partition.start.saturating_sub(1);
        let end = partition.end.saturating_add(LINE).min(partition.file.size);
        let wanted = start..end.min(start.saturating_add(TEXT_AHEAD));
        Ok(vec![wanted])
    }

    /// The bytes that tell which ranges are wanted, to be asked for before [`ranges`](Self::ranges) is called.
    fn index_ranges(&self, _partition: &Partition, _request: &ScanRequest) -> Result<Vec<Range<u64>>> {
        Ok(vec![])
    }

    /// What the table's options say about rows that cannot be read; `None` when there are no such rows.
    fn bad_rows(&self) -> Option<&BadRowOptions> {
        None
    }

    /// Starts reading one partition.
    fn open(&self, partition: &Partition, request: &Arc<ScanRequest>) -> Result<Box<dyn BatchReader>>;
}

/// What is known about a file without reading its rows.
#[derive(Debug, Default)]
pub struct FileInfo {
    /// Name and SQL type of each column in file order.
    pub columns: Vec<(Arc<str>, DataType)>,
    pub rows: Option<u64>,
    /// The format's own findings (a decoded footer), for `partitions` and `open`.
    pub details: Option<Arc<dyn Any + Send + Sync>>,
    /// About how many bytes of memory all this takes.
    pub memory: usize,
    /// Per column of `columns`: min, max, nulls, distinct; empty when unknown.
    pub statistics: Vec<FileColumnStatistics>,
}

#[derive(Debug, Clone, Default)]
pub struct FileColumnStatistics {
    pub min: Option<ScalarValue>,
    pub max: Option<ScalarValue>,
    pub nulls: Option<u64>,
    pub distinct: Option<u64>,
    /// Compressed bytes.
    pub bytes: u64,
}

/// What a scan wants from every file of a table.
#[derive(Debug)]
pub struct ScanRequest {
    /// The columns given out, in order, then those that only predicates need.
    pub columns: Vec<ScanColumn>,
    /// How many of `columns` are given out.
    pub output: usize,
    /// Conjuncts that every row given out fulfils, over positions in `columns`; they also prune.
    pub predicates: Vec<Predicate>,
    /// Filters that joins make for single columns: position in `columns` and filter. They prune, and drop rows when it pays.
    pub runtime_filters: Vec<(usize, RuntimeFilter)>,
    /// Rows per batch.
    pub batch_rows: usize,
    /// What is done about rows that cannot be read.
    pub bad_rows: BadRows,
    pub progress: ScanProgress,
}

/// One column of a scan. A file that lacks it gives NULLs.
#[derive(Debug, Clone)]
pub struct ScanColumn {
    /// Looked up in the file by name without regard to case (Parquet, JSON) …
    pub name: Arc<str>,
    /// … or by position among the table's columns (CSV).
    pub position: usize,
    pub data_type: DataType,
    /// Position in `Partition::constants` when this is a partition column.
    pub partition_column: Option<usize>,
}

/// A unit of work: one worker reads it from begin to end.
#[derive(Debug, Clone)]
pub struct Partition {
    pub file: ObjectFile,
    pub info: Arc<FileInfo>,
    /// Values of the table's partition columns for this file.
    pub constants: Vec<ScalarValue>,
    /// A row group, or the start byte of a text range.
    pub start: u64,
    /// One past the last row group, or the end byte.
    pub end: u64,
    /// Rows, if known.
    pub rows: Option<u64>,
    /// Compressed bytes to read, for progress.
    pub bytes: u64,
}

/// Reads one partition batch by batch.
pub trait BatchReader: Send {
    /// The next rows that fulfil the predicates; `None` at the end. May return an empty batch.
    fn next(&mut self) -> Result<Option<Batch>>;

    /// Bytes held besides the batches given out: what was read and not yet decoded, and what decoding needs.
    fn memory_size(&self) -> usize {
        0
    }

    /// Bytes of the partition that the reader already knows it can do without.
    fn bytes_left_out(&self) -> u64 {
        0
    }
}
