//! The pages of one column chunk: headers first, bytes only when they are asked for.

use super::codec::Codec;
use super::header::{PageHeader, PageKind, read_page_header};
use super::{MAX_PAGE_BYTES, bad};
use crate::error::Result;
use arrow::buffer::Buffer;
use bytes::Bytes;
use parquet::basic::Compression;

/// A page whose header has been read and whose body is still compressed.
#[derive(Debug, Clone)]
pub struct RawPage {
    pub header: PageHeader,
    body: Bytes,
}

/// The bytes of a page: definition levels (v2 only) and the rest.
pub struct PageBytes {
    pub levels: Buffer,
    pub rest: Buffer,
}

/// Walks over the pages of a column chunk that lies in memory.
pub struct PageWalker {
    chunk: Bytes,
    at: usize,
    codec: Codec,
    compressed: bool,
    /// Largest page that is believed.
    max_page: usize,
    dictionary: Option<RawPage>,
    has_dictionary: bool,
    /// Memory of a page that nobody uses any more.
    spare: Vec<u8>,
}

/// Pages up to this size need not be justified by the size of their chunk.
const SMALL_PAGE_BYTES: usize = 16 << 20;

impl PageWalker {
    /// `chunk` is the bytes of the column chunk, dictionary page included; `uncompressed` what the footer says it grows to.
    pub fn new(chunk: Bytes, compression: Compression, uncompressed: i64) -> Result<Self> {
        let announced = usize::try_from(uncompressed).unwrap_or(0);
        Ok(Self {
            chunk,
            at: 0,
            codec: Codec::new(compression)?,
            compressed: compression != Compression::UNCOMPRESSED,
            max_page: announced.clamp(SMALL_PAGE_BYTES, MAX_PAGE_BYTES),
            dictionary: None,
            has_dictionary: false,
            spare: vec![],
        })
    }

    /// The next data page; a dictionary page on the way is kept for [`take_dictionary`](Self::take_dictionary).
    pub fn next_data_page(&mut self) -> Result<Option<RawPage>> {
        while self.at < self.chunk.len() {
            let (header, len) = read_page_header(&self.chunk[self.at..])?;
            let start = self.at + len;
            let left = self.chunk.len() - start;
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
            self.at = start + header.compressed;
            let page = RawPage {
                header,
                body: self.chunk.slice(start..self.at),
            };
            match header.kind {
                PageKind::DataV1 { .. } | PageKind::DataV2 { .. } => return Ok(Some(page)),
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
        Ok(None)
    }

    /// The dictionary page, if one has been met and not yet been taken.
    pub fn take_dictionary(&mut self) -> Option<RawPage> {
        self.dictionary.take()
    }

    /// Verifies and decompresses a page.
    pub fn open(&mut self, page: &RawPage) -> Result<PageBytes> {
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
        let (skip, levels, compressed) = match page.header.kind {
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
        let levels = Buffer::from(body.slice(levels));
        let body = body.slice(skip..);
        let expected = total - skip;
        let rest = if !(self.compressed && compressed) {
            if body.len() != expected {
                return Err(bad(format!(
                    "a page of {} bytes that should have {expected}",
                    body.len()
                )));
            }
            Buffer::from(body)
        } else if expected == 0 {
            Buffer::default()
        } else {
            let mut bytes = std::mem::take(&mut self.spare);
            bytes.resize(expected, 0);
            self.codec.decompress(&body, &mut bytes)?;
            Buffer::from_vec(bytes)
        };
        Ok(PageBytes { levels, rest })
    }

    /// Gives the memory of a page back, if no array points into it.
    pub fn recycle(&mut self, page: Buffer) {
        if let Ok(bytes) = page.into_vec::<u8>() {
            if bytes.capacity() > self.spare.capacity() {
                self.spare = bytes;
            }
        }
    }
}
