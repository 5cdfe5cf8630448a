//! Decoders of our own for flat Parquet columns, straight into the arrow types the engine computes with.
//!
//! ```text
//! PageWalker    headers, checksum, decompression         (page, header, codec)
//! ColumnDecoder rows: pages, nulls, selection, codes     (this file)
//! ValueDecoder  the dense values of one page             (fixed, boolean, strings; delta and codes below them)
//! ```
//!
//! A page that holds no asked row is passed over by its header and never decompressed; it need not even be there, if it is
//! known how many rows it has ([`ChunkPart::LeftOut`]). Dictionary codes can leave the
//! decoder as codes. Nested columns, INT96 and rare codecs are for parquet-rs: ask [`supports`] and
//! [`supports_encodings`] first. Corrupt bytes are [`BadFile`](crate::error::ErrorKind::BadFile) errors; the caller adds
//! file, row group and column.
//!
//! Spec: <https://github.com/apache/parquet-format>, `Encodings.md` and `parquet.thrift`.

mod boolean;
mod codec;
mod codes;
mod delta;
mod fixed;
mod header;
mod page;
mod strings;
mod target;

#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::vector::bitselect::select_bits;
use crate::vector::gather::{dictionary_array, max_code};
use arrow::array::{Array, ArrayRef, Int32Array, NullBufferBuilder};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType;
use bytes::Bytes;
use codes::CodeCursor;
use header::PageKind;
pub use page::ChunkPart;
use page::{NextPage, PageWalker, RawPage};
use parquet::basic::{Encoding, Type};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::schema::types::ColumnDescriptor;
use std::ops::Range;
use target::Plan;

/// Largest page that is decompressed or put together.
const MAX_PAGE_BYTES: usize = 1 << 30;

/// Codes that are unpacked before they are looked up: they stay in the first-level cache.
const CODES_AT_ONCE: usize = 1024;

/// Fewer selected rows than one in so many: each code is unpacked alone, not all and then some thrown away.
const SPARSE: usize = 8;

/// A malformed file.
fn bad(reason: impl Into<String>) -> Error {
    Error::bad_file(reason)
}

/// Encodings by their number in `parquet.thrift`.
mod encoding {
    use super::{Error, bad};

    pub const PLAIN: i32 = 0;
    pub const PLAIN_DICTIONARY: i32 = 2;
    pub const RLE: i32 = 3;
    pub const BIT_PACKED: i32 = 4;
    pub const DELTA_BINARY_PACKED: i32 = 5;
    pub const DELTA_LENGTH_BYTE_ARRAY: i32 = 6;
    pub const DELTA_BYTE_ARRAY: i32 = 7;
    pub const RLE_DICTIONARY: i32 = 8;
    pub const BYTE_STREAM_SPLIT: i32 = 9;

    pub fn unsupported(encoding: i32) -> Error {
        bad(format!(
            "values in encoding {encoding}, which this column type does not have"
        ))
    }
}

/// Whether this leaf can be decoded here into `target`: flat (no repetition, at most one definition level) and of a type whose
/// values keep their meaning in `target`.
pub fn supports(desc: &ColumnDescriptor, target: &DataType) -> bool {
    target::plan(desc, target).is_some()
}

/// Whether codec and encodings of this column chunk are known here; otherwise parquet-rs has to read it.
pub fn supports_encodings(chunk: &ColumnChunkMetaData) -> bool {
    let physical = chunk.column_type();
    let known = |encoding| match encoding {
        // BIT_PACKED is only ever used for levels.
        Encoding::PLAIN | Encoding::RLE => true,
        #[expect(deprecated, reason = "old files still have it")]
        Encoding::BIT_PACKED => true,
        Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY => physical != Type::BOOLEAN,
        Encoding::DELTA_BINARY_PACKED => matches!(physical, Type::INT32 | Type::INT64),
        Encoding::DELTA_LENGTH_BYTE_ARRAY => {
            let decimal = chunk.column_descr().type_precision() > 0;
            physical == Type::BYTE_ARRAY && !decimal
        }
        Encoding::DELTA_BYTE_ARRAY => matches!(physical, Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY),
        Encoding::BYTE_STREAM_SPLIT => !matches!(physical, Type::BOOLEAN | Type::BYTE_ARRAY | Type::INT96),
        _ => false,
    };
    codec::supports_compression(chunk.compression()) && chunk.encodings().all(known)
}

/// The byte range of a column chunk in its file, dictionary page included; unlike parquet-rs's own it checks the footer.
pub fn chunk_range(chunk: &ColumnChunkMetaData) -> Result<Range<u64>> {
    // Some writers say 0 for "no dictionary page".
    let start = match chunk.dictionary_page_offset() {
        Some(dictionary) if dictionary > 0 && dictionary < chunk.data_page_offset() => dictionary,
        _ => chunk.data_page_offset(),
    };
    let range = u64::try_from(start)
        .ok()
        .zip(u64::try_from(chunk.compressed_size()).ok());
    match range.and_then(|(start, len)| Some(start..start.checked_add(len)?)) {
        Some(range) => Ok(range),
        None => Err(bad(format!(
            "a column chunk of {} bytes at byte {start}",
            chunk.compressed_size()
        ))),
    }
}

/// When a column leaves the decoder as codes into its dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codes {
    /// Never: always plain arrays.
    Never,
    /// Strings and binary values, whenever the pages are dictionary-coded.
    #[default]
    Strings,
    /// Strings always, other types if the dictionary has at most half as many entries as the chunk has rows.
    Prefer,
}

/// Rows of one column.
#[derive(Debug, Clone)]
pub enum Decoded {
    /// One value per row.
    Array(ArrayRef),
    /// One code per row, 0 at rows that are null; every other code is a position in `values`, the dictionary of the whole
    /// column chunk, which has no nulls. All batches of a chunk share one `values` (`Arc::ptr_eq`), so what was found out
    /// about its entries, such as whether they pass a filter, stays true.
    Dictionary { codes: Int32Array, values: ArrayRef },
}

impl Decoded {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Array(array) => array.len(),
            Self::Dictionary { codes, .. } => codes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One value per row, codes looked up.
    pub fn into_array(self) -> Result<ArrayRef> {
        match self {
            Self::Array(array) => Ok(array),
            Self::Dictionary { codes, values } => Ok(take(&values, &codes, None)?),
        }
    }

    /// Codes as an arrow array of type `Dictionary(Int32, T)`, anything else as it is.
    pub fn into_coded_array(self) -> Result<ArrayRef> {
        match self {
            Self::Array(array) => Ok(array),
            Self::Dictionary { codes, values } => dictionary_array(codes, values),
        }
    }
}

/// Decodes the non-null values of a page, one after the other, into an output that grows until it is finished.
trait ValueDecoder: Send {
    fn load_dictionary(&mut self, data: Buffer, count: usize) -> Result<()>;
    /// Opens a page of `count` values that are not dictionary codes.
    fn load_page(&mut self, encoding: i32, data: Buffer, count: usize) -> Result<()>;
    /// Lets go of the page's bytes.
    fn release_page(&mut self);
    /// Appends the next `n` values of the page.
    fn append(&mut self, n: usize) -> Result<()>;
    /// Appends those at the ascending `positions` among the next `n` values and moves over all `n`.
    fn append_at(&mut self, positions: &[u32], n: usize) -> Result<()>;
    fn skip(&mut self, n: usize) -> Result<()>;
    /// Appends the dictionary entries with these codes; a code without an entry is an error.
    fn append_codes(&mut self, codes: &[u32]) -> Result<()>;
    fn dictionary(&self) -> Option<&ArrayRef>;
    /// Elements in the output.
    fn len(&self) -> usize;
    /// Spreads the output from `start` on over the set bits of `valid`.
    fn spread(&mut self, start: usize, valid: &BooleanBuffer);
    /// The output as an array; it is empty afterwards.
    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef>;
    fn reserve(&mut self, rows: usize);
}

fn value_decoder(plan: Plan, target: &DataType) -> Box<dyn ValueDecoder> {
    use fixed::FixedDecoder as Fixed;
    let target = target.clone();
    match plan {
        Plan::Boolean => Box::new(boolean::BooleanDecoder::new()),
        Plan::Views { utf8 } => Box::new(strings::ViewDecoder::new(utf8)),
        Plan::Fixed { source, convert, bytes } => match bytes {
            1 => Box::new(Fixed::<i8>::new(target, source, convert)),
            2 => Box::new(Fixed::<i16>::new(target, source, convert)),
            4 => Box::new(Fixed::<i32>::new(target, source, convert)),
            8 => Box::new(Fixed::<i64>::new(target, source, convert)),
            _ => Box::new(Fixed::<i128>::new(target, source, convert)),
        },
    }
}

/// The page the next row lies in.
enum Current {
    None,
    /// Not decompressed; `at` of its `rows` rows have been passed over.
    Closed {
        page: RawPage,
        at: usize,
        rows: usize,
    },
    /// Not there: pages whose rows can only be passed over.
    LeftOut {
        at: usize,
        rows: usize,
    },
    Open(OpenPage),
}

struct OpenPage {
    /// All bytes, to be used again for the next page.
    bytes: Buffer,
    at: usize,
    rows: usize,
    /// Which rows have a value; nothing if all have.
    valid: Option<BooleanBuffer>,
    /// The dictionary codes; nothing if the values stand in the page itself.
    codes: Option<CodeCursor>,
}

/// What the rows asked for are collected as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Undecided,
    Codes,
    Values,
}

/// Decodes one column chunk of one row group, front to back.
pub struct ColumnDecoder {
    pages: PageWalker,
    nullable: bool,
    codes: Codes,
    is_views: bool,
    chunk_rows: usize,
    /// Rows in pages not yet met.
    rows_ahead: usize,
    page: Current,
    /// The last page was passed over: the next one may be, too, and is not worth decompressing ahead of time.
    has_skipped: bool,
    values: Box<dyn ValueDecoder>,
    output: Output,
    out_codes: Vec<u32>,
    out_nulls: NullBufferBuilder,
    scratch: Vec<u32>,
    dense: Vec<u32>,
    positions: Vec<u32>,
}

impl std::fmt::Debug for ColumnDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let done = self.chunk_rows - self.rows_ahead - self.rows_left();
        f.debug_struct("ColumnDecoder")
            .field("rows", &self.chunk_rows)
            .field("done", &done)
            .finish_non_exhaustive()
    }
}

impl ColumnDecoder {
    /// A decoder for the column chunk whose bytes are `chunk` (all of [`chunk_range`]) in a row group of `chunk_rows` rows.
    /// Errors if [`supports`] or [`supports_encodings`] would say no.
    pub fn new(
        chunk: Bytes,
        meta: &ColumnChunkMetaData,
        target: &DataType,
        chunk_rows: usize,
        codes: Codes,
    ) -> Result<Self> {
        let whole = ChunkPart::Pages {
            bytes: chunk,
            rows: None,
        };
        Self::of_parts(vec![whole], meta, target, chunk_rows, codes)
    }

    /// The same for a column chunk of which some pages were not read.
    pub fn of_parts(
        parts: Vec<ChunkPart>,
        meta: &ColumnChunkMetaData,
        target: &DataType,
        chunk_rows: usize,
        codes: Codes,
    ) -> Result<Self> {
        let desc = meta.column_descr();
        let Some(plan) = target::plan(desc, target) else {
            let found = desc.physical_type();
            return Err(Error::unsupported(format!(
                "column {} of type {found} as {target} in this decoder",
                desc.path()
            )));
        };
        Ok(Self {
            pages: PageWalker::new(parts, meta.compression(), meta.uncompressed_size())?,
            nullable: desc.max_def_level() == 1,
            codes,
            is_views: matches!(plan, Plan::Views { .. }),
            chunk_rows,
            rows_ahead: chunk_rows,
            page: Current::None,
            has_skipped: false,
            values: value_decoder(plan, target),
            output: Output::Undecided,
            out_codes: vec![],
            out_nulls: NullBufferBuilder::new(0),
            scratch: vec![],
            dense: vec![],
            positions: vec![],
        })
    }

    /// Decodes the next `n` rows. An error if the chunk has fewer left.
    pub fn read(&mut self, n: usize) -> Result<Decoded> {
        self.decode(n, None)?;
        self.finish()
    }

    /// Passes over the next `n` rows and decodes those at the ascending positions `rows` among them.
    pub fn read_selected(&mut self, n: usize, rows: &[u32]) -> Result<Decoded> {
        if rows.last().is_some_and(|&last| last as usize >= n) || !rows.is_sorted() {
            return Err(Error::internal(format!(
                "selected rows must be ascending and below {n}"
            )));
        }
        let everything = rows.len() == n && rows.windows(2).all(|w| w[0] < w[1]);
        self.decode(n, if everything { None } else { Some(rows) })?;
        self.finish()
    }

    /// Passes over the next `n` rows.
    pub fn skip(&mut self, n: usize) -> Result<()> {
        self.decode(n, Some(&[]))
    }

    /// The dictionary of the column chunk as the target type, if the page of the next row is coded with it. Decompresses what it
    /// needs and moves over nothing.
    pub fn dictionary(&mut self) -> Result<Option<ArrayRef>> {
        if !self.meet_page()? {
            return Ok(None);
        }
        self.open_page()?;
        match &self.page {
            Current::Open(OpenPage { codes: Some(_), .. }) => Ok(self.values.dictionary().cloned()),
            _ => Ok(None),
        }
    }

    /// Decompresses the dictionaries that the next rows of several columns need, two at a time, which is faster than each
    /// column alone. Optional; for columns that will certainly be read.
    pub fn prepare(decoders: &mut [&mut Self]) -> Result<()> {
        let mut ahead = vec![];
        for decoder in decoders {
            if decoder.meet_page()? && decoder.pages.dictionary_ahead().is_some() {
                ahead.push(&mut decoder.pages);
            }
        }
        // Pages of like size keep each other company to the end.
        ahead.sort_by_key(|pages| pages.dictionary_ahead());
        for pair in ahead.rchunks_exact_mut(2) {
            if let [one, two] = pair {
                PageWalker::open_dictionaries(one, two);
            }
        }
        Ok(())
    }

    /// Bytes held: pages and the dictionary.
    pub fn memory_size(&self) -> usize {
        let page = match &self.page {
            Current::Open(page) if self.pages.is_compressed() => page.bytes.capacity(),
            _ => 0,
        };
        let dictionary = self.values.dictionary().map_or(0, |d| d.get_array_memory_size());
        self.pages.memory_size() + page + dictionary
    }

    /// Goes through the next `n` rows, page by page; `rows` are those to decode, nothing for all.
    fn decode(&mut self, n: usize, rows: Option<&[u32]>) -> Result<()> {
        let expected = rows.map_or(n, <[u32]>::len);
        let (mut done, mut rows) = (0, rows);
        while done < n {
            if !self.meet_page()? {
                return Err(bad(format!("the column chunk ends {} rows early", n - done)));
            }
            let span = (n - done).min(self.rows_left());
            match rows {
                None => self.decode_span(span, None, expected)?,
                Some(all) => {
                    let (here, later) = all.split_at(all.partition_point(|&r| (r as usize) < done + span));
                    rows = Some(later);
                    if here.is_empty() {
                        self.skip_span(span)?;
                    } else {
                        let base = done as u32;
                        let mut positions = std::mem::take(&mut self.positions);
                        positions.clear();
                        positions.extend(here.iter().map(|&r| r.saturating_sub(base)));
                        self.decode_span(span, Some(&positions), expected)?;
                        self.positions = positions;
                    }
                }
            }
            done += span;
        }
        Ok(())
    }

    /// Goes to the page of the next row; false at the end of the chunk.
    fn meet_page(&mut self) -> Result<bool> {
        while self.rows_left() == 0 {
            self.drop_page();
            let Some(next) = self.pages.next_data_page()? else {
                return Ok(false);
            };
            let rows = match &next {
                NextPage::Page(page) => page.rows()?,
                NextPage::LeftOut(rows) => *rows,
            };
            let Some(ahead) = self.rows_ahead.checked_sub(rows) else {
                return Err(bad(format!(
                    "a page of {rows} rows where the row group has {} left",
                    self.rows_ahead
                )));
            };
            self.rows_ahead = ahead;
            self.page = match next {
                NextPage::Page(page) => Current::Closed { page, at: 0, rows },
                NextPage::LeftOut(rows) => Current::LeftOut { at: 0, rows },
            };
        }
        Ok(true)
    }

    fn rows_left(&self) -> usize {
        match &self.page {
            Current::None => 0,
            Current::Closed { at, rows, .. }
            | Current::LeftOut { at, rows }
            | Current::Open(OpenPage { at, rows, .. }) => rows - at,
        }
    }

    fn drop_page(&mut self) {
        match std::mem::replace(&mut self.page, Current::None) {
            Current::None => {}
            Current::Closed { .. } | Current::LeftOut { .. } => self.has_skipped = true,
            Current::Open(OpenPage { bytes, codes, .. }) => {
                self.has_skipped = false;
                drop(codes);
                self.values.release_page();
                self.pages.recycle(bytes);
            }
        }
    }

    /// Decompresses the page if that has not happened yet, and passes over the rows that were skipped before.
    fn open_page(&mut self) -> Result<()> {
        let (page, skipped, rows) = match std::mem::replace(&mut self.page, Current::None) {
            Current::Closed { page, at, rows } => (page, at, rows),
            Current::LeftOut { .. } => return Err(Error::internal("a row is wanted whose page was not read")),
            other => {
                self.page = other;
                return Ok(());
            }
        };
        let bytes = self.pages.open(&page, !self.has_skipped)?;
        let (valid, data, encoding) = match page.header.kind {
            PageKind::DataV1 {
                encoding, def_encoding, ..
            } => {
                let (valid, data) = self.split_levels(&bytes.rest, def_encoding, rows)?;
                (valid, data, encoding)
            }
            PageKind::DataV2 { encoding, .. } if self.nullable => {
                let valid = CodeCursor::new(bytes.levels, 1)?.read_bits(rows)?;
                (Some(valid), bytes.rest.clone(), encoding)
            }
            PageKind::DataV2 { encoding, .. } => (None, bytes.rest.clone(), encoding),
            PageKind::Dictionary { .. } | PageKind::Other => return Err(Error::internal("not a data page")),
        };
        let count = valid.as_ref().map_or(rows, BooleanBuffer::count_set_bits);
        let codes = match encoding {
            encoding::PLAIN_DICTIONARY | encoding::RLE_DICTIONARY => {
                self.load_dictionary()?;
                Some(CodeCursor::with_width_byte(data)?)
            }
            _ => {
                self.values.load_page(encoding, data, count)?;
                None
            }
        };
        let valid = valid.filter(|_| count < rows);
        self.page = Current::Open(OpenPage {
            bytes: bytes.rest,
            at: 0,
            rows,
            valid,
            codes,
        });
        self.skip_span(skipped)
    }

    /// The definition levels of a v1 page as validity, and the values behind them.
    fn split_levels(&self, page: &Buffer, encoding: i32, rows: usize) -> Result<(Option<BooleanBuffer>, Buffer)> {
        if !self.nullable {
            return Ok((None, page.clone()));
        }
        let (start, len) = match (encoding, page.first_chunk::<4>()) {
            (encoding::RLE, Some(len)) => (4, u32::from_le_bytes(*len) as usize),
            (encoding::RLE, None) => return Err(bad("the page ends before its definition levels")),
            (encoding::BIT_PACKED, _) => (0, rows.div_ceil(8)),
            (other, _) => return Err(bad(format!("definition levels in encoding {other}"))),
        };
        if len > page.len() - start {
            return Err(bad(format!(
                "{len} bytes of definition levels in a page of {} bytes",
                page.len()
            )));
        }
        let levels = page.slice_with_length(start, len);
        let valid = match encoding {
            // The old packing puts the first value into the highest bit.
            encoding::BIT_PACKED => {
                let bytes: Vec<u8> = levels.iter().map(|b| b.reverse_bits()).collect();
                BooleanBuffer::new(Buffer::from_vec(bytes), 0, rows)
            }
            _ => CodeCursor::new(levels, 1)?.read_bits(rows)?,
        };
        Ok((Some(valid), page.slice(start + len)))
    }

    /// Loads the dictionary when the first page needs it.
    fn load_dictionary(&mut self) -> Result<()> {
        if self.values.dictionary().is_some() {
            return Ok(());
        }
        let Some(page) = self.pages.take_dictionary() else {
            return Err(bad("dictionary codes in a column chunk without a dictionary page"));
        };
        let PageKind::Dictionary {
            values,
            encoding: encoding::PLAIN | encoding::PLAIN_DICTIONARY,
        } = page.header.kind
        else {
            return Err(bad("a dictionary page that is not PLAIN"));
        };
        let bytes = self.pages.open(&page, false)?;
        self.values.load_dictionary(bytes.rest, values)
    }

    /// Passes over `n` rows of the page.
    fn skip_span(&mut self, n: usize) -> Result<()> {
        match &mut self.page {
            Current::None => Ok(()),
            Current::Closed { at, .. } | Current::LeftOut { at, .. } => {
                *at += n;
                Ok(())
            }
            Current::Open(page) => {
                let values = page.valid.as_ref().map_or(n, |v| v.slice(page.at, n).count_set_bits());
                page.at += n;
                match &mut page.codes {
                    Some(codes) => codes.skip(values),
                    None => self.values.skip(values),
                }
            }
        }
    }

    /// Decodes the next `n` rows of the page, or those of them at `rows`. `expected` is the number of rows in the end.
    fn decode_span(&mut self, n: usize, rows: Option<&[u32]>, expected: usize) -> Result<()> {
        self.open_page()?;
        let Current::Open(page) = &mut self.page else {
            return Err(Error::internal("no page is open"));
        };
        let valid = page.valid.as_ref().map(|v| v.slice(page.at, n));
        page.at += n;
        let values = valid.as_ref().map_or(n, BooleanBuffer::count_set_bits);
        let valid = valid.filter(|_| values < n);
        // Where the values of the selected rows stand among the span's values, and which of those rows have one.
        let mut ranks = vec![];
        let (valid, positions) = match (valid, rows) {
            (None, rows) => (None, rows),
            (valid, None) => (valid, None),
            (Some(valid), Some(rows)) => {
                let picked = select_bits(&valid, rows, &mut ranks);
                (Some(picked), Some(ranks.as_slice()))
            }
        };
        let wanted = positions.map_or(values, <[u32]>::len);
        let start;
        if let Some(cursor) = &mut page.codes {
            if self.output == Output::Undecided {
                let entries = self.values.dictionary().map_or(0, |d| d.len());
                let small = self.codes == Codes::Prefer && entries <= self.chunk_rows / 2;
                let coded = small || (self.is_views && self.codes != Codes::Never);
                self.output = if coded { Output::Codes } else { Output::Values };
                match coded {
                    true => self.out_codes.reserve(expected),
                    false => self.values.reserve(expected),
                }
            }
            if self.output == Output::Codes {
                start = self.out_codes.len();
                read_codes(cursor, values, positions, &mut self.out_codes, &mut self.scratch)?;
                let entries = self.values.dictionary().map_or(0, |d| d.len());
                let max = max_code(self.out_codes.get(start..).unwrap_or_default()) as usize;
                if max >= entries && wanted > 0 {
                    return Err(bad(format!(
                        "dictionary code {max} where the dictionary has {entries} entries"
                    )));
                }
            } else {
                start = self.values.len();
                append_codes(
                    cursor,
                    values,
                    positions,
                    self.values.as_mut(),
                    &mut self.dense,
                    &mut self.scratch,
                )?;
            }
        } else {
            self.codes_to_values()?;
            start = self.values.len();
            match positions {
                None => self.values.append(values)?,
                Some(positions) => self.values.append_at(positions, values)?,
            }
        }
        self.append_nulls(start, wanted, valid);
        Ok(())
    }

    /// Puts the values from `start` on, `count` of them, at the rows that have one.
    fn append_nulls(&mut self, start: usize, count: usize, valid: Option<BooleanBuffer>) {
        match valid {
            Some(valid) if count < valid.len() => {
                match self.output {
                    Output::Codes => {
                        crate::vector::gather::spread(&mut self.out_codes, start, &valid, &mut self.dense);
                    }
                    _ => self.values.spread(start, &valid),
                }
                self.out_nulls.append_buffer(&NullBuffer::new(valid));
            }
            _ => self.out_nulls.append_n_non_nulls(count),
        }
    }

    /// Looks up what was collected as codes, because a page without codes follows.
    fn codes_to_values(&mut self) -> Result<()> {
        if self.output == Output::Codes && !self.out_codes.is_empty() {
            let start = self.values.len();
            match self.values.dictionary() {
                // Only null rows so far.
                Some(dictionary) if dictionary.is_empty() => {
                    self.values
                        .spread(start, &BooleanBuffer::new_unset(self.out_codes.len()));
                }
                _ => self.values.append_codes(&self.out_codes)?,
            }
            self.out_codes.clear();
        }
        self.output = Output::Values;
        Ok(())
    }

    /// What was collected.
    fn finish(&mut self) -> Result<Decoded> {
        let nulls = self.out_nulls.finish();
        let output = std::mem::replace(&mut self.output, Output::Undecided);
        match (output, self.values.dictionary()) {
            (Output::Codes, Some(values)) => {
                let codes = Buffer::from_vec(std::mem::take(&mut self.out_codes));
                let len = codes.len() / size_of::<i32>();
                let codes = Int32Array::new(ScalarBuffer::new(codes, 0, len), nulls);
                Ok(Decoded::Dictionary {
                    codes,
                    values: values.clone(),
                })
            }
            _ => Ok(Decoded::Array(self.values.finish(nulls)?)),
        }
    }
}

/// Appends the next `n` codes, or those of them at `positions`, to `out`.
fn read_codes(
    cursor: &mut CodeCursor,
    n: usize,
    positions: Option<&[u32]>,
    out: &mut Vec<u32>,
    scratch: &mut Vec<u32>,
) -> Result<()> {
    match positions {
        None => cursor.read(n, out),
        Some(positions) if positions.len() * SPARSE < n => cursor.read_at(positions, n, out),
        Some(positions) => {
            scratch.clear();
            cursor.read(n, scratch)?;
            out.extend(
                positions
                    .iter()
                    .map(|&p| scratch.get(p as usize).copied().unwrap_or(u32::MAX)),
            );
            Ok(())
        }
    }
}

/// Looks the next `n` codes up, or those of them at `positions`, and appends the values.
fn append_codes(
    cursor: &mut CodeCursor,
    mut n: usize,
    positions: Option<&[u32]>,
    values: &mut dyn ValueDecoder,
    codes: &mut Vec<u32>,
    scratch: &mut Vec<u32>,
) -> Result<()> {
    if positions.is_some() {
        codes.clear();
        read_codes(cursor, n, positions, codes, scratch)?;
        return values.append_codes(codes);
    }
    while n > 0 {
        let now = n.min(CODES_AT_ONCE);
        codes.clear();
        cursor.read(now, codes)?;
        values.append_codes(codes)?;
        n -= now;
    }
    Ok(())
}
