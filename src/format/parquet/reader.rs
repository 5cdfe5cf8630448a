//! Reads one row group: filter columns first, then the others for the rows that are left.
//!
//! ```text
//! window of some thousand rows:  decode columns of one predicate or runtime filter ─▶ positions
//!                                decode columns of the next at positions ─▶ fewer positions …
//!                                decode the remaining columns at the last positions
//! ```
//!
//! Which one is next is decided by what each has cost per dropped row so far ([`Step`]).

use super::column::ColumnReader;
use super::decode::chunk_range;
use super::metadata::Footer;
use super::steps::Step;
use crate::error::Result;
use crate::format::{BatchReader, Partition, ScanRequest};
use crate::storage::{fetch, is_remote};
use crate::vector::{Batch, Column};
use arrow::array::UInt32Array;
use arrow::buffer::ScalarBuffer;
use std::ops::Range;
use std::sync::Arc;

/// See the module's picture.
pub struct RowGroupReader {
    request: Arc<ScanRequest>,
    partition: Partition,
    /// One per column of the request, opened when first needed.
    readers: Vec<Option<ColumnReader>>,
    /// Rows of the row group passed by so far, and in all.
    position: usize,
    rows: usize,
    /// Rows decoded at a time: grows while few rows survive, so that batches do not become tiny.
    window: usize,
}

impl RowGroupReader {
    pub fn new(partition: &Partition, request: &Arc<ScanRequest>) -> Result<Self> {
        let rows = Footer::of(&partition.info)?.rows(partition.start as usize) as usize;
        Ok(Self {
            request: request.clone(),
            partition: partition.clone(),
            readers: request.columns.iter().map(|_| None).collect(),
            position: 0,
            rows,
            window: request.batch_rows.max(1),
        })
    }

    fn read_window(&mut self, n: usize) -> Result<Batch> {
        let mut window = Window {
            columns: vec![None; self.readers.len()],
            read: vec![false; self.readers.len()],
            n,
            alive: None,
        };
        let request = self.request.clone();
        let mut steps = Step::all(&request);
        while window.len() > 0
            && let Some(step) = Step::take_next(&mut steps, &request, &window.columns)
        {
            for &column in step.columns() {
                self.fetch(column, &mut window)?;
            }
            let positions = step.select(&window.columns, window.len())?;
            window.keep(|c| c < request.output || steps.iter().any(|step| step.columns().contains(&c)));
            if let Some(positions) = positions {
                window.narrow(positions)?;
            }
        }
        let survivors = window.len();
        if survivors > 0 {
            let wanted: Vec<usize> = (0..request.output).filter(|&c| window.columns[c].is_none()).collect();
            self.open(&wanted)?;
        }
        for column in 0..self.readers.len() {
            if column < request.output && survivors > 0 {
                self.fetch(column, &mut window)?;
            }
            // What this window did not read is passed over.
            if !window.read[column]
                && let Some(reader) = &mut self.readers[column]
            {
                reader.skip(n);
            }
        }
        self.adapt(n, survivors);
        let columns = window.columns.into_iter().take(request.output);
        let columns = columns.map(|c| {
            c.unwrap_or_else(|| Column::Constant {
                value: empty(),
                rows: survivors,
            })
        });
        Ok(Batch::new(columns.collect(), survivors))
    }

    /// Decodes `column` for the rows alive in the window, unless it is there.
    fn fetch(&mut self, column: usize, window: &mut Window) -> Result<()> {
        if window.columns[column].is_some() {
            return Ok(());
        }
        if self.readers[column].is_none() {
            let codes = self.prefers_codes(column);
            let mut reader = ColumnReader::open(&self.partition, &self.request.columns[column], codes)?;
            reader.skip(self.position);
            self.readers[column] = Some(reader);
        }
        if let Some(reader) = &mut self.readers[column] {
            window.read[column] = true;
            window.columns[column] = Some(match &window.alive {
                None => reader.read(window.n)?,
                Some(positions) => reader.read_selected(window.n, positions)?,
            });
        }
        Ok(())
    }

    /// Opens the columns that are not open yet; together, because two dictionaries are decompressed faster than one and one.
    fn open(&mut self, columns: &[usize]) -> Result<()> {
        let new: Vec<usize> = columns.iter().copied().filter(|&c| self.readers[c].is_none()).collect();
        let _fetch = match is_remote(&self.partition.file) {
            true => fetch(
                &self.partition.file,
                &chunk_ranges(&self.partition, &self.request, &new)?,
            )?,
            false => vec![],
        };
        for &column in &new {
            let codes = self.prefers_codes(column);
            let mut reader = ColumnReader::open(&self.partition, &self.request.columns[column], codes)?;
            reader.skip(self.position);
            self.readers[column] = Some(reader);
        }
        if new.len() > 1 {
            let opened = self.readers.iter_mut().enumerate().filter(|(i, _)| new.contains(i));
            let prepared = ColumnReader::prepare(opened.filter_map(|(_, r)| r.as_mut()));
            prepared.map_err(|e| {
                e.context(format!(
                    "{}, row group {}",
                    self.partition.file.location, self.partition.start
                ))
            })?;
        }
        Ok(())
    }

    /// Whether what is asked of a column can be answered by its dictionary's values: not when it is compared with another.
    fn prefers_codes(&self, column: usize) -> bool {
        let mut asking = self
            .request
            .predicates
            .iter()
            .filter(|p| p.columns().contains(&column))
            .peekable();
        match asking.peek() {
            Some(_) => asking.any(|p| p.columns() == [column]),
            None => column >= self.request.output,
        }
    }

    fn adapt(&mut self, n: usize, survivors: usize) {
        let base = self.request.batch_rows.max(1);
        if survivors * 8 < n {
            self.window = (self.window * 2).min(base * 8);
        } else if survivors > base {
            self.window = base;
        }
    }
}

/// Whether a column decides which rows are given out.
pub(super) fn is_filter(request: &ScanRequest, column: usize) -> bool {
    column >= request.output
        || request.predicates.iter().any(|p| p.columns().contains(&column))
        || request.runtime_filters.iter().any(|(c, _)| *c == column)
}

/// Where the chunks of these columns of the request are in the file.
pub(super) fn chunk_ranges(partition: &Partition, request: &ScanRequest, columns: &[usize]) -> Result<Vec<Range<u64>>> {
    let footer = Footer::of(&partition.info)?;
    let wanted = columns.iter().filter_map(|&c| request.columns.get(c));
    let in_file = wanted.filter(|c| c.partition_column.is_none());
    let mut ranges = vec![];
    for column in in_file.filter_map(|c| footer.column(&c.name)) {
        for chunk in footer.chunks(column, partition.start as usize) {
            let range = chunk_range(chunk)?;
            // A chunk that claims to be elsewhere is reported by who reads it.
            ranges.extend((range.end <= partition.file.size).then_some(range));
        }
    }
    Ok(ranges)
}

/// A placeholder for columns of a window without survivors.
fn empty() -> arrow::array::ArrayRef {
    Arc::new(arrow::array::NullArray::new(1))
}

impl BatchReader for RowGroupReader {
    fn next(&mut self) -> Result<Option<Batch>> {
        let n = self.window.min(self.rows - self.position);
        if n == 0 {
            return Ok(None);
        }
        let batch = self.read_window(n)?;
        self.position += n;
        Ok(Some(batch))
    }

    fn memory_size(&self) -> usize {
        self.readers.iter().flatten().map(ColumnReader::memory_size).sum()
    }
}

/// The rows being decoded. Columns hold only the rows alive.
struct Window {
    columns: Vec<Option<Column>>,
    /// Columns that were decoded, whether they are still there or not.
    read: Vec<bool>,
    n: usize,
    /// Positions alive among the `n` rows; `None` means all.
    alive: Option<ScalarBuffer<u32>>,
}

impl Window {
    fn len(&self) -> usize {
        self.alive.as_ref().map_or(self.n, |alive| alive.len())
    }

    /// Lets go of the columns that nobody will look at.
    fn keep(&mut self, wanted: impl Fn(usize) -> bool) {
        for (i, column) in self.columns.iter_mut().enumerate() {
            column.take_if(|_| !wanted(i));
        }
    }

    /// Keeps the rows at `positions` among those alive.
    fn narrow(&mut self, positions: Vec<u32>) -> Result<()> {
        let rows = UInt32Array::from(positions);
        for column in self.columns.iter_mut().flatten() {
            *column = column.take(&rows)?;
        }
        self.alive = Some(match &self.alive {
            None => rows.values().clone(),
            Some(alive) => {
                let alive = |&p: &u32| alive.get(p as usize).copied();
                rows.values().iter().filter_map(alive).collect()
            }
        });
        Ok(())
    }
}
