//! Reads one row group: filter columns first, then the others for the rows that are left.
//!
//! ```text
//! window of some thousand rows:  decode columns of one predicate or runtime filter ─▶ positions
//!                                decode columns of the next at positions ─▶ fewer positions …
//!                                decode the remaining columns at the last positions
//! ```
//!
//! Which one is next is decided by what each has cost per dropped row so far ([`Step`]). Rows that the page index excludes are in
//! no window. Where rows that are left are rare, all windows of the row group are filtered before the remaining columns are opened,
//! so that only those of their pages are read that have such rows.

use super::column::ColumnReader;
use super::metadata::Footer;
use super::pages::{Part, index_ranges, is_all, plan, wanted_rows};
use super::steps::Step;
use crate::error::Result;
use crate::format::{BatchReader, Partition, ScanRequest};
use crate::runtime::Current;
use crate::storage::{fetch, is_remote};
use crate::vector::{Batch, Column};
use arrow::array::UInt32Array;
use arrow::buffer::ScalarBuffer;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Rows closer to each other than this are near enough to be asked for as one range.
const NEAR: usize = 1024;

/// See the module's picture.
pub struct RowGroupReader {
    request: Arc<ScanRequest>,
    partition: Partition,
    /// One per column of the request, opened when first needed.
    readers: Vec<Option<ColumnReader>>,
    /// Rows that the page index leaves, in ascending ranges.
    wanted: Vec<Range<usize>>,
    /// Rows that columns which do not filter are asked for.
    wanted_late: Vec<Range<usize>>,
    /// Rows of the row group passed by so far.
    position: usize,
    /// Rows decoded at a time: grows while few rows survive, so that batches do not become tiny.
    window: usize,
    /// Windows that were filtered before the remaining columns were opened, once that was considered.
    ahead: Option<VecDeque<Window>>,
    bytes_left_out: u64,
}

impl RowGroupReader {
    pub fn new(partition: &Partition, request: &Arc<ScanRequest>) -> Result<Self> {
        let wanted = wanted_rows(partition, request)?;
        let rows = Footer::of(&partition.info)?.rows(partition.start as usize) as usize;
        let bytes_left_out = match is_all(&wanted, rows) {
            true => 0,
            false => {
                let all: Vec<usize> = (0..request.columns.len()).collect();
                let read = ranges(partition, request, &all, &wanted)?;
                let read: u64 = read.iter().map(|r| r.end - r.start).sum();
                partition.bytes.saturating_sub(read)
            }
        };
        Ok(Self {
            request: request.clone(),
            partition: partition.clone(),
            readers: request.columns.iter().map(|_| None).collect(),
            wanted_late: wanted.clone(),
            wanted,
            position: 0,
            window: request.batch_rows.max(1),
            ahead: None,
            bytes_left_out,
        })
    }

    /// The next rows to look at, if there are any.
    fn next_rows(&mut self) -> Option<Range<usize>> {
        let next = self.wanted.partition_point(|range| range.end <= self.position);
        let range = self.wanted.get(next)?;
        let start = range.start.max(self.position);
        self.position = range.end.min(start + self.window);
        Some(start..self.position)
    }

    /// The next rows that the predicates and runtime filters leave, with the columns that these looked at.
    fn next_window(&mut self) -> Result<Option<Window>> {
        let Some(rows) = self.next_rows() else {
            return Ok(None);
        };
        let mut window = Window {
            columns: vec![None; self.readers.len()],
            start: rows.start,
            n: rows.len(),
            alive: None,
        };
        self.filter(&mut window)?;
        if !self.takes_all() {
            self.request.progress.note_rows(window.n, window.alive.as_deref());
        }
        self.adapt(window.n, window.len());
        Ok(Some(window))
    }

    fn takes_all(&self) -> bool {
        self.request.predicates.is_empty() && self.request.runtime_filters.is_empty()
    }

    fn filter(&mut self, window: &mut Window) -> Result<()> {
        let request = self.request.clone();
        let mut steps = Step::all(&request);
        while window.len() > 0
            && let Some(step) = Step::take_next(&mut steps, &request, &window.columns)
        {
            for &column in step.columns() {
                self.fetch(column, window)?;
            }
            let positions = step.select(&window.columns, window.len())?;
            window.keep(|c| c < request.output || steps.iter().any(|step| step.columns().contains(&c)));
            if let Some(positions) = positions {
                window.narrow(positions)?;
            }
        }
        Ok(())
    }

    /// Filters windows to the end of the row group, or until a batch of rows is left: then it does not pay to go on.
    fn look_ahead(&mut self) -> Result<VecDeque<Window>> {
        let mut ahead = VecDeque::new();
        let request = self.request.clone();
        let (filters, late): (Vec<usize>, Vec<usize>) = (0..request.output).partition(|&c| is_filter(&request, c));
        if late.is_empty() || self.takes_all() || !request.progress.hits_are_rare() {
            return Ok(ahead);
        }
        let cancel = Current::get().unwrap_or_default().cancel;
        let (mut rows, mut left): (Vec<Range<usize>>, usize) = (vec![], 0);
        while left < request.batch_rows
            && let Some(mut window) = self.next_window()?
        {
            cancel.check()?;
            if window.len() == 0 {
                continue;
            }
            // These columns go on to later rows.
            for &column in &filters {
                self.fetch(column, &mut window)?;
            }
            window.add_rows(&mut rows);
            left += window.len();
            ahead.push_back(window);
        }
        let rest = self.wanted.iter().filter(|range| range.end > self.position);
        rows.extend(rest.map(|range| range.start.max(self.position)..range.end));
        self.wanted_late = rows;
        Ok(ahead)
    }

    /// The columns given out, for the rows that are left.
    fn complete(&mut self, mut window: Window) -> Result<Batch> {
        let survivors = window.len();
        if survivors > 0 {
            let missing: Vec<usize> = (0..self.request.output)
                .filter(|&c| window.columns[c].is_none())
                .collect();
            self.open(&missing)?;
            for column in missing {
                self.fetch(column, &mut window)?;
            }
        }
        let columns = window.columns.into_iter().take(self.request.output);
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
            self.readers[column] = Some(self.reader(column)?);
        }
        if let Some(reader) = &mut self.readers[column] {
            window.columns[column] = Some(reader.read(window.start, window.n, window.alive.as_deref())?);
        }
        Ok(())
    }

    fn reader(&self, column: usize) -> Result<ColumnReader> {
        ColumnReader::open(
            &self.partition,
            &self.request.columns[column],
            self.prefers_codes(column),
            self.wanted_of(column),
            &self.request.progress,
        )
    }

    fn wanted_of(&self, column: usize) -> &[Range<usize>] {
        match is_filter(&self.request, column) {
            true => &self.wanted,
            false => &self.wanted_late,
        }
    }

    /// Opens the columns that are not open yet; together, because two dictionaries are decompressed faster than one and one.
    fn open(&mut self, columns: &[usize]) -> Result<()> {
        let new: Vec<usize> = columns.iter().copied().filter(|&c| self.readers[c].is_none()).collect();
        let mut fetches = vec![];
        if is_remote(&self.partition.file) {
            let file = &self.partition.file;
            fetches = fetch(file, &index_ranges(&self.partition, &self.request, &new)?)?;
            let mut bytes = vec![];
            for &column in &new {
                bytes.extend(ranges(
                    &self.partition,
                    &self.request,
                    &[column],
                    self.wanted_of(column),
                )?);
            }
            fetches.extend(fetch(file, &bytes)?);
        }
        for &column in &new {
            self.readers[column] = Some(self.reader(column)?);
        }
        drop(fetches);
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

/// Where the `wanted` rows of these columns of the request are in the file.
pub(super) fn ranges(
    partition: &Partition,
    request: &ScanRequest,
    columns: &[usize],
    wanted: &[Range<usize>],
) -> Result<Vec<Range<u64>>> {
    let footer = Footer::of(&partition.info)?;
    let asked = columns.iter().filter_map(|&c| request.columns.get(c));
    let in_file = asked.filter(|c| c.partition_column.is_none());
    let mut ranges = vec![];
    for (asked, column) in in_file.filter_map(|c| Some((c, footer.column(&c.name)?))) {
        let parts = plan(partition, column, &asked.data_type, wanted)?;
        // A chunk that claims to be elsewhere is reported by who reads it.
        let there = parts
            .iter()
            .filter_map(Part::bytes)
            .filter(|r| r.end <= partition.file.size);
        ranges.extend(there.cloned());
    }
    Ok(ranges)
}

/// A placeholder for columns of a window without survivors.
fn empty() -> arrow::array::ArrayRef {
    Arc::new(arrow::array::NullArray::new(1))
}

impl BatchReader for RowGroupReader {
    fn next(&mut self) -> Result<Option<Batch>> {
        let mut ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.look_ahead()?,
        };
        let window = ahead.pop_front();
        self.ahead = Some(ahead);
        let window = match window {
            Some(window) => Some(window),
            None => self.next_window()?,
        };
        window.map(|window| self.complete(window)).transpose()
    }

    fn bytes_left_out(&self) -> u64 {
        self.bytes_left_out
    }

    fn memory_size(&self) -> usize {
        self.readers.iter().flatten().map(ColumnReader::memory_size).sum()
    }
}

/// The rows being decoded. Columns hold only the rows alive.
struct Window {
    columns: Vec<Option<Column>>,
    /// The first of the `n` rows in the row group.
    start: usize,
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

    /// Adds the rows alive to ascending ranges of rows of the row group.
    fn add_rows(&self, ranges: &mut Vec<Range<usize>>) {
        let mut add = |rows: Range<usize>| match ranges.last_mut() {
            Some(last) if last.end + NEAR >= rows.start => last.end = rows.end,
            _ => ranges.push(rows),
        };
        match &self.alive {
            None => add(self.start..self.start + self.n),
            Some(alive) => {
                let rows = alive.iter().map(|&p| self.start + p as usize);
                rows.for_each(|row| add(row..row + 1));
            }
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
