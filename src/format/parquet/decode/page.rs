//! The pages of one column chunk: headers first, bytes only when they are asked for.

use super::codec::Codec;
use super::header::{PageHeader, PageKind, read_page_header};
use super::{MAX_PAGE_BYTES, bad};
use crate::error::Result;
use crate::vector::snappy::{SnappyJob, decompress_snappy_pair};
use arrow::buffer::Buffer;
use bytes::Bytes;
use parquet::basic::Compression;
use std::collections::VecDeque;

/// A part of a column chunk.
#[derive(Debug, Clone)]
pub enum ChunkPart {
    /// Pages that follow each other, and how many rows they have if that is known beforehand.
    Pages { bytes: Bytes, rows: Option<usize> },
    /// Pages that were not read because none of their rows is wanted.
    LeftOut { rows: usize },
}

/// What comes next in a column chunk.
#[derive(Debug)]
pub enum NextPage {
    Page(RawPage),
    /// So many rows in pages that were not read.
    LeftOut(usize),
}

/// A page whose header has been read and whose body is still compressed.
#[derive(Debug, Clone)]
pub struct RawPage {
    pub header: PageHeader,
    /// Where the body begins among all bytes that were read: a name for the page.
    start: usize,
    body: Bytes,
}

impl RawPage {
    /// Rows of a data page of a column without lists.
    pub fn rows(&self) -> Result<usize> {
        match self.header.kind {
            PageKind::DataV1 { values, .. } => Ok(values),
            PageKind::DataV2 { values, rows, .. } if values == rows => Ok(rows),
            PageKind::DataV2 { values, rows, .. } => Err(bad(format!(
                "a page of {values} values in {rows} rows in a column without lists"
            ))),
            PageKind::Dictionary { .. } | PageKind::Other => Ok(0),
        }
    }
}

/// The bytes of a page: definition levels (v2 only) and the rest.
pub struct PageBytes {
    pub levels: Buffer,
    pub rest: Buffer,
}

/// A page whose checksum is right, cut into its parts.
struct Parts {
    start: usize,
    levels: Bytes,
    body: Bytes,
    /// Bytes of `body` when decompressed.
    expected: usize,
    compressed: bool,
}

impl Parts {
    fn job<'a>(&'a self, out: &'a mut Vec<u8>) -> SnappyJob<'a> {
        SnappyJob {
            input: &self.body,
            expected: self.expected,
            out,
        }
    }
}

/// Walks over the pages of a column chunk that lies in memory, wholly or in parts.
pub struct PageWalker {
    /// The part that the next page is in, and how many bytes were before it.
    part: Bytes,
    before: usize,
    /// Where the next page begins in the part.
    at: usize,
    /// Rows of the part's pages to come, if that is known.
    rows_left: Option<usize>,
    later: VecDeque<ChunkPart>,
    codec: Codec,
    compressed: bool,
    /// Largest page that is believed.
    max_page: usize,
    dictionary: Option<RawPage>,
    has_dictionary: bool,
    /// Memory of a page that nobody uses any more.
    spare: Vec<u8>,
    /// Pages decompressed ahead of time, by where they begin.
    ready: Vec<(usize, Vec<u8>)>,
}

/// Pages up to this size need not be justified by the size of their chunk.
const SMALL_PAGE_BYTES: usize = 16 << 20;

impl PageWalker {
    /// `parts` make up the column chunk, dictionary page included; `uncompressed` is what the footer says it grows to.
    pub fn new(parts: Vec<ChunkPart>, compression: Compression, uncompressed: i64) -> Result<Self> {
        let announced = usize::try_from(uncompressed).unwrap_or(0);
        Ok(Self {
            part: Bytes::new(),
            before: 0,
            at: 0,
            rows_left: None,
            later: parts.into(),
            codec: Codec::new(compression)?,
            compressed: compression != Compression::UNCOMPRESSED,
            max_page: announced.clamp(SMALL_PAGE_BYTES, MAX_PAGE_BYTES),
            dictionary: None,
            has_dictionary: false,
            spare: vec![],
            ready: vec![],
        })
    }

    /// The next data page; a dictionary page on the way is kept for [`take_dictionary`](Self::take_dictionary).
    pub fn next_data_page(&mut self) -> Result<Option<NextPage>> {
        loop {
            while let Some(page) = self.peek()? {
                self.at = page.start - self.before + page.body.len();
                match page.header.kind {
                    PageKind::DataV1 { .. } | PageKind::DataV2 { .. } => {
                        self.count_rows(page.rows()?)?;
                        return Ok(Some(NextPage::Page(page)));
                    }
                    PageKind::Dictionary { .. } if self.has_dictionary => {
                        return Err(bad("a second dictionary page in one column chunk"));
                    }
                    PageKind::Dictionary { .. } => {
                        self.has_dictionary = true;
                        self.dictionary = Some(page);
                    }
                    PageKind::Other => {}
                }
            }
            if let Some(missing @ 1..) = self.rows_left {
                return Err(bad(format!("pages have {missing} rows less than the page index says")));
            }
            match self.later.pop_front() {
                Some(ChunkPart::Pages { bytes, rows }) => {
                    self.before += self.part.len();
                    self.part = bytes;
                    self.at = 0;
                    self.rows_left = rows;
                }
                Some(ChunkPart::LeftOut { rows }) => return Ok(Some(NextPage::LeftOut(rows))),
                None => return Ok(None),
            }
        }
    }

    /// Takes the rows of a page off those that the part has by the page index.
    fn count_rows(&mut self, rows: usize) -> Result<()> {
        if let Some(left) = &mut self.rows_left {
            let Some(rest) = left.checked_sub(rows) else {
                return Err(bad(format!("a page of {rows} rows where the page index says {left}")));
            };
            *left = rest;
        }
        Ok(())
    }

    /// The page that comes next in the part, of whatever kind.
    fn peek(&self) -> Result<Option<RawPage>> {
        let Some(rest) = self.part.get(self.at..).filter(|rest| !rest.is_empty()) else {
            return Ok(None);
        };
        let (header, len) = read_page_header(rest)?;
        let (start, left) = (self.at + len, rest.len() - len);
        if header.compressed > left {
            return Err(bad(format!(
                "a page of {} bytes where the column chunk has {left} left",
                header.compressed
            )));
        }
        if header.uncompressed > self.max_page {
            let max = self.max_page;
            return Err(bad(format!(
                "a page of {} bytes uncompressed, at most {max} expected",
                header.uncompressed
            )));
        }
        Ok(Some(RawPage {
            header,
            start: self.before + start,
            body: self.part.slice(start..start + header.compressed),
        }))
    }

    /// The dictionary page, if one has been met and not yet been taken.
    pub fn take_dictionary(&mut self) -> Option<RawPage> {
        self.dictionary.take()
    }

    /// Verifies and decompresses a page. With `and_next` the page after it will be wanted too, which is a chance to
    /// decompress both at the same time.
    pub fn open(&mut self, page: &RawPage, and_next: bool) -> Result<PageBytes> {
        let parts = self.parts(page)?;
        let levels = Buffer::from(parts.levels.clone());
        if !parts.compressed {
            if parts.body.len() != parts.expected {
                return Err(bad(format!(
                    "a page of {} bytes that should have {}",
                    parts.body.len(),
                    parts.expected
                )));
            }
            return Ok(PageBytes {
                levels,
                rest: Buffer::from(parts.body),
            });
        }
        if let Some(i) = self.ready.iter().position(|(start, _)| *start == page.start) {
            let (_, bytes) = self.ready.swap_remove(i);
            return Ok(PageBytes {
                levels,
                rest: Buffer::from_vec(bytes),
            });
        }
        let mut bytes = std::mem::take(&mut self.spare);
        if !(and_next && self.open_with_next(&parts, &mut bytes)) {
            self.codec.decompress(&parts.body, parts.expected, &mut bytes)?;
        }
        Ok(PageBytes {
            levels,
            rest: Buffer::from_vec(bytes),
        })
    }

    /// Decompresses a page into `bytes` and the data page behind it for later; false if that is not possible. Errors are
    /// left to whoever opens the pages one by one.
    fn open_with_next(&mut self, parts: &Parts, bytes: &mut Vec<u8>) -> bool {
        let Codec::Snappy = self.codec else { return false };
        let Ok(Some(next)) = self.peek() else { return false };
        let (PageKind::DataV1 { .. } | PageKind::DataV2 { .. }) = next.header.kind else {
            return false;
        };
        let Ok(next) = self.parts(&next) else { return false };
        let mut ahead = vec![];
        let done = next.compressed && decompress_snappy_pair(parts.job(bytes), next.job(&mut ahead)).is_ok();
        if done {
            self.ready.push((next.start, ahead));
        }
        done
    }

    /// Verifies the checksum and cuts the page into its parts.
    fn parts(&self, page: &RawPage) -> Result<Parts> {
        let body = &page.body;
        if let Some(expected) = page.header.crc {
            let mut crc = flate2::Crc::new();
            crc.update(body);
            if crc.sum() != expected {
                return Err(bad(format!(
                    "a page's checksum is {:08x}, its header says {expected:08x}",
                    crc.sum()
                )));
            }
        }
        let total = page.header.uncompressed;
        let (values, levels, compressed) = match page.header.kind {
            PageKind::DataV2 {
                def_len,
                rep_len,
                compressed,
                ..
            } => {
                let values = rep_len.saturating_add(def_len);
                if values > body.len() || values > total {
                    return Err(bad(format!(
                        "{values} bytes of levels in a page of {} bytes",
                        body.len()
                    )));
                }
                (values, rep_len..values, compressed)
            }
            _ => (0, 0..0, true),
        };
        let expected = total - values;
        Ok(Parts {
            start: page.start,
            levels: body.slice(levels),
            // A page without values may be empty where its codec would write a header.
            compressed: compressed && self.compressed && expected > 0,
            body: if expected > 0 {
                body.slice(values..)
            } else {
                Bytes::new()
            },
            expected,
        })
    }

    /// Decompresses the dictionary pages of two column chunks at the same time, if both have one ahead.
    pub fn open_dictionaries(one: &mut Self, two: &mut Self) {
        let (Codec::Snappy, Codec::Snappy) = (&one.codec, &two.codec) else {
            return;
        };
        let (Some(a), Some(b)) = (&one.dictionary, &two.dictionary) else {
            return;
        };
        let (Ok(a), Ok(b)) = (one.parts(a), two.parts(b)) else {
            return;
        };
        let (mut bytes_a, mut bytes_b) = (vec![], vec![]);
        let mut pair = || decompress_snappy_pair(a.job(&mut bytes_a), b.job(&mut bytes_b));
        // Errors are left to whoever opens the pages one by one.
        if a.compressed && b.compressed && pair().is_ok() {
            one.ready.push((a.start, bytes_a));
            two.ready.push((b.start, bytes_b));
        }
    }

    /// Compressed bytes of the dictionary page ahead; nothing if there is none or it is already decompressed.
    pub fn dictionary_ahead(&self) -> Option<usize> {
        let page = self.dictionary.as_ref()?;
        self.ready
            .iter()
            .all(|(start, _)| *start != page.start)
            .then_some(page.body.len())
    }

    /// Whether open pages are other bytes than those of the chunk.
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Bytes held: the chunk as it was read, and pages that are not open.
    pub fn memory_size(&self) -> usize {
        let ready: usize = self.ready.iter().map(|(_, bytes)| bytes.capacity()).sum();
        let later = self.later.iter().map(|part| match part {
            ChunkPart::Pages { bytes, .. } => bytes.len(),
            ChunkPart::LeftOut { .. } => 0,
        });
        self.part.len() + later.sum::<usize>() + self.spare.capacity() + ready
    }

    /// Gives the memory of a page back, if no array points into it.
    pub fn recycle(&mut self, page: Buffer) {
        match page.into_vec::<u8>() {
            Ok(bytes) if bytes.capacity() > self.spare.capacity() => self.spare = bytes,
            _ => {}
        }
    }
}
