//! Which pages of a row group are read, by the file's page index.
//!
//! ```text
//! k, pages      │ 1..9 │ 10..19 │ 20..29 │ 30..39 │    WHERE k BETWEEN 12 AND 15
//! wanted rows          ├────────┤
//! v, pages      │    │▓▓▓▓▓│▓▓▓▓▓▓│     │      │      the pages that these rows are in
//! ```
//!
//! The index is believed as far as it can be true: pages follow each other inside of their chunk and have all rows of the row
//! group together. Otherwise the column is read as one without an index, as a whole. Where pages are not what the index said, the
//! decoder reports it.

use super::decode::{chunk_range, supports, supports_encodings};
use super::metadata::{Footer, keeps_order};
use crate::error::Result;
use crate::expression::pruning::{Bounds, Verdict, verdict};
use crate::format::{Partition, ScanRequest};
use crate::runtime::guarded;
use crate::storage::{ObjectFile, is_remote, read_range};
use crate::types::{DataType, ScalarValue};
use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::cast;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::page_index::PageIndexProvider;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::index_reader::{decode_column_index, decode_offset_index};
use parquet::file::page_index::offset_index::{OffsetIndexMetaData, PageLocation};
use std::collections::HashMap;
use std::ops::Range;

/// Row groups of which fewer bytes are wanted are not worth a look at their page index: from a store, which takes a request
/// of its own, and from a disk.
const WORTH_A_REQUEST: u64 = 2 << 20;
const WORTH_A_LOOK: u64 = 64 << 10;
/// No sane page index of a column chunk is larger.
const MAX_INDEX: u64 = 16 << 20;
/// Chunks of which at least so many of 4 bytes are wanted are read whole.
const MOST_OF_FOUR: u64 = 3;

/// One data page of a column chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    /// Header and body, in the file.
    bytes: Range<u64>,
    /// In the row group.
    rows: Range<usize>,
}

/// What is done about a part of a column chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It is read; so many rows are in it if the index says so.
    Read { bytes: Range<u64>, rows: Option<usize> },
    /// So many pages with so many rows are not.
    LeftOut { pages: usize, rows: usize },
}

/// The rows of the partition that may fulfil all predicates and runtime filters, as far as the page index tells: ascending
/// ranges that do not touch each other.
///
/// # Errors
/// When the index cannot be read. One that cannot be understood tells nothing.
pub fn wanted_rows(partition: &Partition, request: &ScanRequest) -> Result<Vec<Range<usize>>> {
    let footer = Footer::of(&partition.info)?;
    let group = partition.start as usize;
    let rows = footer.rows(group) as usize;
    let mut wanted: Vec<Range<usize>> = std::iter::once(0..rows).collect();
    // Runtime filters may have come since the partition was planned.
    let bounds = |column: usize| footer.bounds_in(partition, request.columns.get(column)?);
    if !super::may_match(request, &bounds) {
        return Ok(vec![]);
    }
    if !is_asked(request) || !is_worthwhile(partition, footer) {
        return Ok(wanted);
    }
    let mut index = Index {
        partition,
        request,
        footer,
        group,
        columns: HashMap::new(),
    };
    for predicate in &request.predicates {
        index.narrow(&mut wanted, predicate.columns(), &|bounds| {
            verdict(predicate.expr(), bounds) != Verdict::Never
        })?;
    }
    for (column, filter) in &request.runtime_filters {
        let Some(filter) = filter.get() else { continue };
        index.narrow(&mut wanted, &[*column], &|bounds| match bounds(*column) {
            Some(Bounds {
                min: Some(min),
                max: Some(max),
                ..
            }) => filter.may_overlap(&min, &max),
            _ => true,
        })?;
    }
    if index.has_pages() {
        request.progress.note_page_index(!is_all(&wanted, rows));
    }
    Ok(wanted)
}

/// Whether there is something to ask the page index that was not asked in vain so far.
fn is_asked(request: &ScanRequest) -> bool {
    let sealed = || request.runtime_filters.iter().any(|(_, filter)| filter.get().is_some());
    (!request.predicates.is_empty() || sealed()) && !request.progress.page_index_is_futile()
}

/// Where the page index of these columns of the request is in the file: to be asked for before the functions here are called,
/// if it has to be fetched and that may pay.
///
/// # Errors
/// When the partition has no footer.
pub fn index_ranges(partition: &Partition, request: &ScanRequest, columns: &[usize]) -> Result<Vec<Range<u64>>> {
    let footer = Footer::of(&partition.info)?;
    if footer.keeps_index() || !is_worthwhile(partition, footer) {
        return Ok(vec![]);
    }
    let asked = columns.iter().filter_map(|&c| request.columns.get(c));
    let in_file = asked.filter(|c| c.partition_column.is_none());
    let places = in_file.filter_map(|c| footer.column(&c.name));
    let chunks = places.flat_map(|column| footer.chunks(column, partition.start as usize));
    let ranges = chunks.flat_map(|c| [c.column_index_range(), c.offset_index_range()]);
    Ok(ranges.flatten().filter(|r| is_sane(r, &partition.file)).collect())
}

/// Like [`index_ranges`], of all columns, when the index may tell which rows are wanted.
///
/// # Errors
/// When the partition has no footer.
pub fn asked_index_ranges(partition: &Partition, request: &ScanRequest) -> Result<Vec<Range<u64>>> {
    let all: Vec<usize> = (0..request.columns.len()).collect();
    match is_asked(request) {
        true => index_ranges(partition, request, &all),
        false => Ok(vec![]),
    }
}

/// Whether these are all `rows`.
pub fn is_all(wanted: &[Range<usize>], rows: usize) -> bool {
    matches!(wanted, [only] if *only == (0..rows))
}

/// How a column is read of which only the `wanted` rows are asked for: part by part, all chunks of its leaves.
///
/// # Errors
/// When the footer or the index cannot be read.
pub fn plan(partition: &Partition, column: usize, data_type: &DataType, wanted: &[Range<usize>]) -> Result<Vec<Part>> {
    let footer = Footer::of(&partition.info)?;
    let group = partition.start as usize;
    let mut parts = vec![];
    for chunk in footer.chunks(column, group) {
        let bytes = chunk_range(chunk)?;
        parts.push(Part::Read { bytes, rows: None });
    }
    if is_all(wanted, footer.rows(group) as usize) {
        return Ok(parts);
    }
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    if !is_decoded_by_pages(footer, column, group, data_type) || !is_worthwhile(partition, footer) {
        return Ok(parts);
    }
    let (Some(pages), [Part::Read { bytes, .. }]) = (footer.pages(&partition.file, column, group)?, parts.as_slice())
    else {
        return Ok(parts);
    };
    Ok(some_pages(bytes, &pages, wanted).unwrap_or(parts))
}

/// Whether our own decoders read the column, which can do without pages.
pub fn is_decoded_by_pages(footer: &Footer, column: usize, group: usize, data_type: &DataType) -> bool {
    let groups = footer.metadata.row_groups();
    let chunk = footer
        .leaf(column)
        .and_then(|leaf| groups.get(group)?.columns().get(leaf));
    let stored = footer.data_type(column);
    chunk.is_some_and(|chunk| {
        let mut targets = [Some(data_type), stored].into_iter().flatten();
        targets.any(|t| supports(chunk.column_descr(), t)) && supports_encodings(chunk)
    })
}

/// The parts of a chunk when only pages with `wanted` rows are read; nothing if that is most of it.
fn some_pages(chunk: &Range<u64>, pages: &[Page], wanted: &[Range<usize>]) -> Option<Vec<Part>> {
    let first = pages.first()?.bytes.start;
    let mut parts = vec![];
    // What precedes the pages is the dictionary.
    if first > chunk.start {
        parts.push(Part::Read {
            bytes: chunk.start..first,
            rows: Some(0),
        });
    }
    for page in pages {
        let rows = page.rows.len();
        match (is_wanted(&page.rows, wanted), parts.last_mut()) {
            (true, Some(Part::Read { bytes, rows: known })) if bytes.end == page.bytes.start => {
                bytes.end = page.bytes.end;
                *known = known.map(|known| known + rows);
            }
            (true, _) => parts.push(Part::Read {
                bytes: page.bytes.clone(),
                rows: Some(rows),
            }),
            (false, Some(Part::LeftOut { pages, rows: more })) => {
                *pages += 1;
                *more += rows;
            }
            (false, _) => parts.push(Part::LeftOut { pages: 1, rows }),
        }
    }
    let read: u64 = parts.iter().map(Part::length).sum();
    (read * 4 < (chunk.end - chunk.start) * MOST_OF_FOUR).then_some(parts)
}

/// Whether one of the ascending ranges `wanted` meets `rows`.
fn is_wanted(rows: &Range<usize>, wanted: &[Range<usize>]) -> bool {
    let next = wanted.partition_point(|w| w.end <= rows.start);
    wanted.get(next).is_some_and(|w| w.start < rows.end)
}

impl Part {
    /// Bytes that are read.
    fn length(&self) -> u64 {
        match self {
            Self::Read { bytes, .. } => bytes.end - bytes.start,
            Self::LeftOut { .. } => 0,
        }
    }

    /// What is read.
    pub fn bytes(&self) -> Option<&Range<u64>> {
        match self {
            Self::Read { bytes, .. } => Some(bytes),
            Self::LeftOut { .. } => None,
        }
    }
}

fn is_worthwhile(partition: &Partition, footer: &Footer) -> bool {
    match is_remote(&partition.file) && !footer.keeps_index() {
        true => partition.bytes > WORTH_A_REQUEST,
        false => partition.bytes > WORTH_A_LOOK,
    }
}

/// What the page index says about the columns of a request in one row group.
struct Index<'a> {
    partition: &'a Partition,
    request: &'a ScanRequest,
    footer: &'a Footer,
    group: usize,
    /// By position in the request, of columns that were looked at.
    columns: HashMap<usize, Option<PageBounds>>,
}

/// Statistics of the pages of one column.
struct PageBounds {
    pages: Vec<Page>,
    min: ArrayRef,
    max: ArrayRef,
    nulls: UInt64Array,
}

impl Index<'_> {
    fn has_pages(&self) -> bool {
        self.columns.values().any(Option::is_some)
    }

    /// Keeps those of the `wanted` rows that are in pages of `columns` for whose bounds `may_hold` says so.
    fn narrow(
        &mut self,
        wanted: &mut Vec<Range<usize>>,
        columns: &[usize],
        may_hold: &dyn Fn(&dyn Fn(usize) -> Option<Bounds>) -> bool,
    ) -> Result<()> {
        for &column in columns {
            if !self.columns.contains_key(&column) {
                let bounds = self.page_bounds(column)?;
                self.columns.insert(column, bounds);
            }
        }
        // Between two cuts all columns stay in the same pages.
        let pages = columns.iter().filter_map(|c| self.columns.get(c)?.as_ref());
        let mut cuts: Vec<usize> = pages.flat_map(|b| &b.pages).map(|page| page.rows.end).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut kept: Vec<Range<usize>> = vec![];
        let mut start = 0;
        for end in cuts {
            let rows = start..end;
            start = end;
            if !is_wanted(&rows, wanted) || !may_hold(&|column| self.bounds(column, rows.start)) {
                continue;
            }
            match kept.last_mut() {
                Some(last) if last.end == rows.start => last.end = rows.end,
                _ => kept.push(rows),
            }
        }
        if start > 0 {
            *wanted = common(wanted, &kept);
        }
        Ok(())
    }

    /// What is known of a column in the page that has `row`, or in the row group.
    fn bounds(&self, column: usize, row: usize) -> Option<Bounds> {
        let wanted = self.request.columns.get(column)?;
        match self.columns.get(&column) {
            Some(Some(bounds)) => bounds.at(row, &wanted.data_type),
            _ => self.footer.bounds_in(self.partition, wanted),
        }
    }

    fn page_bounds(&self, column: usize) -> Result<Option<PageBounds>> {
        let wanted = self
            .request
            .columns
            .get(column)
            .filter(|c| c.partition_column.is_none());
        let place = wanted.and_then(|wanted| Some((wanted, self.footer.column(&wanted.name)?)));
        let Some((wanted, place)) = place else {
            return Ok(None);
        };
        self.footer
            .page_bounds(&self.partition.file, place, self.group, &wanted.data_type)
    }
}

impl PageBounds {
    /// Of the page that has `row`.
    fn at(&self, row: usize, data_type: &DataType) -> Option<Bounds> {
        let page = self.pages.partition_point(|page| page.rows.end <= row);
        let value = |a: &ArrayRef| {
            let one = cast(&a.slice(page, 1), data_type).ok()?;
            ScalarValue::from_array(one.as_ref(), 0).ok().filter(|v| !v.is_null())
        };
        let rows = self.pages.get(page)?.rows.len();
        Some(Bounds {
            min: value(&self.min),
            max: value(&self.max),
            nulls: self.nulls.is_valid(page).then(|| self.nulls.value(page)),
            rows: Some(rows as u64),
        })
    }
}

/// What two lists of ascending ranges have in common.
fn common(a: &[Range<usize>], b: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut both = vec![];
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        let (start, end) = (x.start.max(y.start), x.end.min(y.end));
        if start < end {
            both.push(start..end);
        }
        match x.end <= y.end {
            true => a.next(),
            false => b.next(),
        };
    }
    both
}

impl Footer {
    /// The data pages of a column that is one leaf; nothing if there is no index, or none that can be true.
    fn pages(&self, file: &ObjectFile, column: usize, group: usize) -> Result<Option<Vec<Page>>> {
        let [chunk] = self.chunks(column, group) else {
            return Ok(None);
        };
        let Some(bytes) = self.index_bytes(file, chunk.offset_index_range())? else {
            return Ok(None);
        };
        let rows = self.rows(group) as usize;
        let index = guarded(|| Ok(decode_offset_index(&bytes)?)).ok();
        let range = chunk_range(chunk)?;
        Ok(index.and_then(|index| checked_pages(index.page_locations(), &range, rows)))
    }

    /// Pages and their statistics.
    fn page_bounds(
        &self,
        file: &ObjectFile,
        column: usize,
        group: usize,
        wanted: &DataType,
    ) -> Result<Option<PageBounds>> {
        let stored = self.data_type(column).filter(|stored| keeps_order(stored, wanted));
        let (Some(stored), Some(_), [chunk]) = (stored, self.leaf(column), self.chunks(column, group)) else {
            return Ok(None);
        };
        let Some(bytes) = self.index_bytes(file, chunk.column_index_range())? else {
            return Ok(None);
        };
        let Some(pages) = self.pages(file, column, group)?.filter(|pages| pages.len() > 1) else {
            return Ok(None);
        };
        // What a malformed index makes the decoder do must not take the process down; nothing is left half done.
        let statistics = guarded(|| {
            let index = OneIndex(decode_column_index(&bytes, chunk.column_type())?);
            let name = self.schema.field(column).name();
            let descr = self.metadata.file_metadata().schema_descr();
            let converter = StatisticsConverter::try_new(name, &self.schema, descr)?;
            Ok(PageBounds {
                min: cast(&converter.data_page_mins(&index, &[group])?, stored)?,
                max: cast(&converter.data_page_maxes(&index, &[group])?, stored)?,
                nulls: converter.data_page_null_counts(&index, &[group])?,
                pages: vec![],
            })
        });
        let statistics = statistics.ok();
        let complete = |b: &PageBounds| [b.min.len(), b.max.len(), b.nulls.len()] == [pages.len(); 3];
        Ok(statistics.filter(complete).map(|b| PageBounds { pages, ..b }))
    }

    /// The bytes of a part of the index, if they can be there.
    fn index_bytes(&self, file: &ObjectFile, range: Option<Range<u64>>) -> Result<Option<bytes::Bytes>> {
        let Some(range) = range.filter(|r| is_sane(r, file)) else {
            return Ok(None);
        };
        match self.kept_index(&range) {
            Some(kept) => Ok(Some(kept)),
            None => read_range(file, range).map(Some),
        }
    }
}

fn is_sane(range: &Range<u64>, file: &ObjectFile) -> bool {
    range.start < range.end && range.end <= file.size && range.end - range.start <= MAX_INDEX
}

/// The pages if they can be where the index says in a chunk and row group like these.
fn checked_pages(locations: &[PageLocation], chunk: &Range<u64>, rows: usize) -> Option<Vec<Page>> {
    let mut pages: Vec<Page> = Vec::with_capacity(locations.len());
    for (i, location) in locations.iter().enumerate() {
        let start = u64::try_from(location.offset).ok()?;
        let end = start.checked_add(u64::try_from(location.compressed_page_size).ok()?)?;
        let first = usize::try_from(location.first_row_index).ok()?;
        let next = match locations.get(i + 1) {
            Some(next) => usize::try_from(next.first_row_index).ok()?,
            None => rows,
        };
        let (earliest, expected) = pages.last().map_or((chunk.start, 0), |p| (p.bytes.end, p.rows.end));
        let can_be = start >= earliest && start < end && end <= chunk.end && first == expected && first < next;
        if !can_be || next > rows {
            return None;
        }
        pages.push(Page {
            bytes: start..end,
            rows: first..next,
        });
    }
    (!pages.is_empty()).then_some(pages)
}

/// The index of one column chunk, whichever is asked for.
#[derive(Debug)]
struct OneIndex(ColumnIndexMetaData);

impl PageIndexProvider for OneIndex {
    fn has_offset_indexes(&self) -> bool {
        false
    }

    fn has_column_indexes(&self) -> bool {
        true
    }

    fn column_index(&self, _group: usize, _column: usize) -> Option<&ColumnIndexMetaData> {
        Some(&self.0)
    }

    fn offset_index(&self, _group: usize, _column: usize) -> Option<&OffsetIndexMetaData> {
        None
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
