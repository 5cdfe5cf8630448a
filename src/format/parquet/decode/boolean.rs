//! Booleans: one bit each, plain or in runs.

use super::codes::CodeCursor;
use super::{ValueDecoder, bad, encoding};
use crate::error::{Error, Result};
use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use std::sync::Arc;

/// Decodes booleans.
pub struct BooleanDecoder {
    page: BooleanBuffer,
    at: usize,
    out: BooleanBufferBuilder,
}

impl BooleanDecoder {
    pub fn new() -> Self {
        Self {
            page: BooleanBuffer::new_unset(0),
            at: 0,
            out: BooleanBufferBuilder::new(0),
        }
    }

    fn advance(&mut self, n: usize) -> Result<BooleanBuffer> {
        let left = self.page.len() - self.at;
        if n > left {
            return Err(Error::internal(format!("{n} values asked of a page with {left} left")));
        }
        self.at += n;
        Ok(self.page.slice(self.at - n, n))
    }
}

/// The bits of `bytes` at `positions`.
fn pick(bits: &BooleanBuffer, positions: &[u32]) -> BooleanBuffer {
    let at = |i: usize| {
        positions
            .get(i)
            .is_some_and(|&p| (p as usize) < bits.len() && bits.value(p as usize))
    };
    BooleanBuffer::collect_bool(positions.len(), at)
}

impl ValueDecoder for BooleanDecoder {
    fn load_dictionary(&mut self, _: Buffer, _: usize) -> Result<()> {
        Err(bad("a dictionary of booleans"))
    }

    fn load_page(&mut self, encoding: i32, data: Buffer, count: usize) -> Result<()> {
        self.page = match encoding {
            encoding::PLAIN if count <= data.len().saturating_mul(8) => BooleanBuffer::new(data, 0, count),
            encoding::PLAIN => return Err(bad(format!("{} bytes for {count} booleans", data.len()))),
            encoding::RLE if count == 0 => BooleanBuffer::new_unset(0),
            encoding::RLE => {
                let Some((len, rest)) = data.split_first_chunk::<4>() else {
                    return Err(bad("the page ends before its booleans"));
                };
                let len = u32::from_le_bytes(*len) as usize;
                if len > rest.len() {
                    return Err(bad(format!(
                        "{len} bytes of booleans in a page with {} left",
                        rest.len()
                    )));
                }
                CodeCursor::new(data.slice_with_length(4, len), 1)?.read_bits(count)?
            }
            other => return Err(encoding::unsupported(other)),
        };
        self.at = 0;
        Ok(())
    }

    fn release_page(&mut self) {
        self.page = BooleanBuffer::new_unset(0);
        self.at = 0;
    }

    fn append(&mut self, n: usize) -> Result<()> {
        let bits = self.advance(n)?;
        self.out.append_buffer(&bits);
        Ok(())
    }

    fn append_at(&mut self, positions: &[u32], n: usize) -> Result<()> {
        let bits = self.advance(n)?;
        self.out.append_buffer(&pick(&bits, positions));
        Ok(())
    }

    fn skip(&mut self, n: usize) -> Result<()> {
        self.advance(n).map(drop)
    }

    fn append_codes(&mut self, _: &[u32]) -> Result<()> {
        Err(bad("dictionary codes for booleans"))
    }

    fn dictionary(&self) -> Option<&ArrayRef> {
        None
    }

    fn len(&self) -> usize {
        self.out.len()
    }

    fn spread(&mut self, start: usize, valid: &BooleanBuffer) {
        let dense = self.out.finish();
        let mut next = start;
        self.out.append_buffer(&dense.slice(0, start));
        self.out.append_buffer(&BooleanBuffer::collect_bool(valid.len(), |i| {
            let set = valid.value(i);
            let value = set && next < dense.len() && dense.value(next);
            next += usize::from(set);
            value
        }));
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::new(self.out.finish(), nulls)))
    }

    fn reserve(&mut self, rows: usize) {
        self.out.reserve(rows);
    }
}
