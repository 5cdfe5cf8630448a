//! Strings and binary values as views into the page.

use super::delta::{decode_delta_lengths, decode_delta_strings};
use super::{ValueDecoder, encoding};
use crate::error::{Error, Result};
use crate::vector::views::{PageViews, ViewBuilder};
use arrow::array::ArrayRef;
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};

/// Decodes strings (checked as UTF-8) or bytes.
pub struct ViewDecoder {
    utf8: bool,
    dictionary: Option<(PageViews, ArrayRef)>,
    page: Option<PageViews>,
    at: usize,
    out: ViewBuilder,
    positions: Vec<u32>,
}

impl ViewDecoder {
    pub fn new(utf8: bool) -> Self {
        Self {
            utf8,
            dictionary: None,
            page: None,
            at: 0,
            out: ViewBuilder::new(utf8),
            positions: vec![],
        }
    }

    fn advance(&mut self, n: usize) -> Result<std::ops::Range<usize>> {
        let range = self.at..self.at + n;
        let count = self.page.as_ref().map_or(0, PageViews::len);
        if range.end > count {
            return Err(Error::internal(format!(
                "{n} values asked of a page with {} left",
                count - self.at
            )));
        }
        self.at = range.end;
        Ok(range)
    }
}

impl ValueDecoder for ViewDecoder {
    fn load_dictionary(&mut self, data: Buffer, count: usize) -> Result<()> {
        let views = PageViews::from_length_prefixed(data, count, self.utf8)?;
        let array = views.to_array();
        self.dictionary = Some((views, array));
        Ok(())
    }

    fn load_page(&mut self, encoding: i32, data: Buffer, count: usize) -> Result<()> {
        self.at = 0;
        self.page = Some(match encoding {
            encoding::PLAIN => PageViews::from_length_prefixed(data, count, self.utf8)?,
            encoding::DELTA_LENGTH_BYTE_ARRAY => decode_delta_lengths(&data, count, self.utf8)?,
            encoding::DELTA_BYTE_ARRAY => decode_delta_strings(&data, count, self.utf8)?,
            other => return Err(encoding::unsupported(other)),
        });
        Ok(())
    }

    fn release_page(&mut self) {
        self.page = None;
        self.at = 0;
    }

    fn append(&mut self, n: usize) -> Result<()> {
        let range = self.advance(n)?;
        match &self.page {
            Some(page) => self.out.append_range(page, range),
            None => Ok(()),
        }
    }

    fn append_at(&mut self, positions: &[u32], n: usize) -> Result<()> {
        let first = self.advance(n)?.start as u32;
        self.positions.clear();
        self.positions
            .extend(positions.iter().map(|&p| p.saturating_add(first)));
        match &self.page {
            Some(page) => self.out.append_positions(page, &self.positions),
            None => Ok(()),
        }
    }

    fn skip(&mut self, n: usize) -> Result<()> {
        self.advance(n).map(drop)
    }

    fn append_codes(&mut self, codes: &[u32]) -> Result<()> {
        match &self.dictionary {
            Some((dictionary, _)) => self.out.append_positions(dictionary, codes),
            None => Err(Error::internal("codes without a dictionary")),
        }
    }

    fn dictionary(&self) -> Option<&ArrayRef> {
        self.dictionary.as_ref().map(|(_, array)| array)
    }

    fn len(&self) -> usize {
        self.out.len()
    }

    fn spread(&mut self, start: usize, valid: &BooleanBuffer) {
        self.out.spread(start, valid);
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        Ok(self.out.finish(nulls))
    }

    fn reserve(&mut self, rows: usize) {
        self.out.reserve(rows);
    }
}
