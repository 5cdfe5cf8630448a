//! String and binary views into the decoded bytes of a page: 16 bytes per value, no copy of long values.
//!
//! ```text
//! bits   0..32     32..64    64..96         96..128
//! short  length    ≤ 12 bytes of the value, zero padded
//! long   length    prefix    buffer number  offset in that buffer
//! ```
//!
//! [`PageViews`] checks lengths and UTF-8 once for all values of a page; [`ViewBuilder`] only ever copies views out of
//! such pages, so what it builds needs no second check.

use super::gather::{gather_into, spread};
use crate::error::{Error, Result};
use arrow::array::{ArrayRef, GenericByteViewArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{BinaryViewType, StringViewType};
use std::ops::Range;
use std::sync::Arc;

/// Longest value that lies in the view itself.
const MAX_INLINE: u32 = 12;

/// Checked views of all values of one page. Long views point into buffer 0, which is `buffer`.
///
/// Invariants: every long view lies inside `buffer`; with `utf8`, every value is valid UTF-8.
#[derive(Debug, Clone)]
pub struct PageViews {
    views: ScalarBuffer<u128>,
    buffer: Buffer,
    has_long: bool,
    utf8: bool,
}

/// The view of `bytes[start..start + len]`, which the caller has checked to lie inside `bytes`.
#[inline(always)]
fn view(bytes: &[u8], start: usize, len: u32) -> u128 {
    let word = match bytes.get(start..).and_then(|rest| rest.first_chunk::<16>()) {
        Some(chunk) => u128::from_le_bytes(*chunk),
        None => bytes
            .iter()
            .skip(start)
            .rev()
            .fold(0, |word, &b| word << 8 | u128::from(b)),
    };
    if len <= MAX_INLINE {
        (word << 32) & (u128::MAX >> (96 - 8 * len)) | u128::from(len)
    } else {
        u128::from(len) | u128::from(word as u32) << 32 | (start as u128) << 96
    }
}

fn check_utf8(bytes: &[u8]) -> Result<()> {
    parquet::utf8::check_valid_utf8(bytes).map_err(|_| Error::bad_file("a string is not valid UTF-8"))
}

fn check_size(buffer: &Buffer) -> Result<()> {
    match u32::try_from(buffer.len()) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::bad_file(format!(
            "a page of {} bytes of strings, at most 4 GiB fit",
            buffer.len()
        ))),
    }
}

impl PageViews {
    /// Views of `count` values, each with its length before it in four little-endian bytes.
    pub fn from_length_prefixed(buffer: Buffer, count: usize, utf8: bool) -> Result<Self> {
        check_size(&buffer)?;
        let bytes = buffer.as_slice();
        let truncated = |i: usize| Error::bad_file(format!("the page ends inside string {i} of {count}"));
        if count > bytes.len() / 4 {
            return Err(truncated(bytes.len() / 4));
        }
        let mut views = Vec::with_capacity(count);
        let (mut at, mut longest) = (0, 0);
        // A length below 128 is four ASCII bytes, so values and such lengths can be checked in one go: a value that
        // starts or ends inside a character would leave that character broken by ASCII. A greater length ends the run.
        let mut unchecked = 0;
        for i in 0..count {
            let len = match bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
                Some(chunk) => u32::from_le_bytes(*chunk),
                None => return Err(truncated(i)),
            };
            let start = at + 4;
            let end = start + len as usize;
            if end > bytes.len() {
                return Err(truncated(i));
            }
            if len >= 128 && utf8 {
                check_utf8(&bytes[unchecked..at])?;
                unchecked = start;
            }
            views.push(view(bytes, start, len));
            longest = longest.max(len);
            at = end;
        }
        if utf8 {
            check_utf8(&bytes[unchecked..at])?;
        }
        Ok(Self {
            views: views.into(),
            buffer,
            has_long: longest > MAX_INLINE,
            utf8,
        })
    }

    /// Views of values that lie one after the other in `buffer`.
    pub fn from_lengths(buffer: Buffer, lengths: &[u32], utf8: bool) -> Result<Self> {
        check_size(&buffer)?;
        let bytes = buffer.as_slice();
        let total = lengths.iter().map(|&l| u64::from(l)).sum::<u64>();
        if total > bytes.len() as u64 {
            return Err(Error::bad_file(format!(
                "strings of {total} bytes in a page that has {}",
                bytes.len()
            )));
        }
        let bytes = &bytes[..total as usize];
        if utf8 {
            check_utf8(bytes)?;
        }
        let (mut start, mut boundaries) = (0, true);
        let mut views = Vec::with_capacity(lengths.len());
        for &len in lengths {
            boundaries &= bytes.get(start).is_none_or(|&b| (b as i8) >= -0x40);
            views.push(view(bytes, start, len));
            start += len as usize;
        }
        if utf8 && !boundaries {
            return Err(Error::bad_file("a string begins inside a UTF-8 character"));
        }
        let has_long = lengths.iter().any(|&l| l > MAX_INLINE);
        Ok(Self {
            views: views.into(),
            buffer,
            has_long,
            utf8,
        })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.views.len()
    }

    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// All values as an array.
    pub fn to_array(&self) -> ArrayRef {
        let mut builder = ViewBuilder::new(self.utf8);
        // The range is the whole page and the builder is of the same kind, so this cannot fail.
        let _ = builder.append_range(self, 0..self.len());
        builder.finish(None)
    }

    /// All values as an array of which some are NULL.
    pub fn to_array_with_nulls(&self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        if nulls.as_ref().is_some_and(|n| n.len() != self.len()) {
            return Err(Error::internal("one validity bit per value"));
        }
        let mut builder = ViewBuilder::new(self.utf8);
        builder.append_range(self, 0..self.len())?;
        Ok(builder.finish(nulls))
    }
}

/// Collects views of values of several pages into one array.
///
/// Invariant: every view is the empty value or was copied from a [`PageViews`] of the same kind, and its buffer number is that
/// of the page's buffer in `buffers`.
#[derive(Debug, Default)]
pub struct ViewBuilder {
    /// A range of one page, as long as nothing else was appended: no copy at all.
    whole: Option<ScalarBuffer<u128>>,
    views: Vec<u128>,
    buffers: Vec<Buffer>,
    utf8: bool,
    dense: Vec<u128>,
}

impl ViewBuilder {
    pub fn new(utf8: bool) -> Self {
        Self {
            utf8,
            ..Self::default()
        }
    }

    /// Number of values appended since the last [`finish`](Self::finish).
    pub fn len(&self) -> usize {
        self.whole.as_ref().map_or(self.views.len(), |w| w.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for `rows` more values that will be copied; a single range needs none.
    pub fn reserve(&mut self, rows: usize) {
        self.views.reserve(rows);
    }

    /// Appends the values `range` of `page`.
    pub fn append_range(&mut self, page: &PageViews, range: Range<usize>) -> Result<()> {
        let Some(values) = page.views.get(range.clone()) else {
            return Err(Error::bad_file(format!(
                "values {range:?} of a page that has {}",
                page.len()
            )));
        };
        let buffer = self.buffer_number(page)?;
        if self.is_empty() && buffer == 0 {
            self.whole = Some(page.views.slice(range.start, values.len()));
            return Ok(());
        }
        self.flatten();
        let start = self.views.len();
        self.views.extend_from_slice(values);
        self.renumber(start, buffer);
        Ok(())
    }

    /// Appends the values at `positions` of `page`, in any order and number.
    pub fn append_positions(&mut self, page: &PageViews, positions: &[u32]) -> Result<()> {
        let buffer = self.buffer_number(page)?;
        self.flatten();
        let start = self.views.len();
        gather_into(&page.views, positions, &mut self.views)?;
        self.renumber(start, buffer);
        Ok(())
    }

    /// Spreads the values from `start` on over the set bits of `valid`; the other rows become empty values.
    pub fn spread(&mut self, start: usize, valid: &BooleanBuffer) {
        self.flatten();
        spread(&mut self.views, start, valid, &mut self.dense);
    }

    /// The values appended so far as `Utf8View` or `BinaryView`; the builder is empty afterwards.
    pub fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let views = match self.whole.take() {
            Some(whole) => whole,
            None => std::mem::take(&mut self.views).into(),
        };
        let buffers: Arc<[Buffer]> = std::mem::take(&mut self.buffers).into();
        debug_assert!(
            nulls.as_ref().is_none_or(|n| n.len() == views.len()),
            "one validity bit per value"
        );
        // SAFETY: by the invariants of PageViews and ViewBuilder every view is inline or points into its buffer, its
        // prefix and padding are as `view` made them, and with `utf8` every value was checked.
        unsafe {
            match self.utf8 {
                true => Arc::new(GenericByteViewArray::<StringViewType>::new_unchecked(
                    views, buffers, nulls,
                )),
                false => Arc::new(GenericByteViewArray::<BinaryViewType>::new_unchecked(
                    views, buffers, nulls,
                )),
            }
        }
    }

    /// Where the buffer of `page` stands in `buffers`; it is added if it is new. Pages of short values need none.
    fn buffer_number(&mut self, page: &PageViews) -> Result<u32> {
        if self.utf8 && !page.utf8 {
            return Err(Error::internal("unchecked bytes appended to strings"));
        }
        if !page.has_long {
            return Ok(0);
        }
        let same = |b: &Buffer| b.as_ptr() == page.buffer.as_ptr() && b.len() == page.buffer.len();
        if let Some(at) = self.buffers.iter().rposition(same) {
            return Ok(at as u32);
        }
        self.buffers.push(page.buffer.clone());
        Ok(self.buffers.len() as u32 - 1)
    }

    fn flatten(&mut self) {
        if let Some(whole) = self.whole.take() {
            self.views.extend_from_slice(&whole);
        }
    }

    /// Moves the long views from `start` on, which point into buffer 0, to buffer `number`.
    fn renumber(&mut self, start: usize, number: u32) {
        if number == 0 {
            return;
        }
        let number = u128::from(number) << 64;
        for view in &mut self.views[start..] {
            *view |= if *view as u32 > MAX_INLINE { number } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray, StringViewArray};

    fn page(values: &[&str]) -> PageViews {
        let mut bytes = vec![];
        for v in values {
            bytes.extend((v.len() as u32).to_le_bytes());
            bytes.extend(v.as_bytes());
        }
        PageViews::from_length_prefixed(bytes.into(), values.len(), true).unwrap()
    }

    /// The safe twin: arrow's checked constructor accepts what was built, and the values are the same.
    fn check(array: &ArrayRef, expected: &[Option<&str>]) {
        let array = array.as_string_view();
        let twin = StringViewArray::try_new(
            array.views().clone(),
            array.data_buffers().clone(),
            array.nulls().cloned(),
        );
        assert_eq!(twin.unwrap().iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn pages_are_joined_picked_and_spread() {
        let long = "a string of more than twelve bytes, with ümläuts";
        let longer = "x".repeat(300);
        let one = page(&["", "short", long, "exactly12byt", &longer, "é"]);
        let two = page(&["thirteen byte", "b", long]);
        check(
            &one.to_array(),
            &[
                Some(""),
                Some("short"),
                Some(long),
                Some("exactly12byt"),
                Some(&longer),
                Some("é"),
            ],
        );
        let mut builder = ViewBuilder::new(true);
        builder.append_range(&one, 1..4).unwrap();
        builder.append_range(&two, 0..3).unwrap();
        builder.append_positions(&one, &[4, 4, 0]).unwrap();
        let start = builder.len();
        builder.append_positions(&two, &[2, 1]).unwrap();
        builder.spread(start, &BooleanBuffer::from(vec![false, true, false, true]));
        let nulls = NullBuffer::from_iter((0..13).map(|i| i != 9 && i != 11));
        let expected = [
            Some("short"),
            Some(long),
            Some("exactly12byt"),
            Some("thirteen byte"),
            Some("b"),
            Some(long),
            Some(&longer),
            Some(&longer),
            Some(""),
            None,
            Some(long),
            None,
            Some("b"),
        ];
        check(&builder.finish(Some(nulls)), &expected);
        assert!(builder.is_empty());
    }

    #[test]
    fn lengths_and_characters_are_checked() {
        let bytes = |parts: &[&[u8]]| Buffer::from(parts.concat());
        let checked = |b: Buffer, n| PageViews::from_length_prefixed(b, n, true).is_ok();
        assert!(checked(bytes(&[&[2, 0, 0, 0], b"ab"]), 1));
        assert!(!checked(bytes(&[&[3, 0, 0, 0], b"ab"]), 1));
        assert!(!checked(bytes(&[&[2, 0, 0, 0], b"ab"]), 2));
        assert!(!checked(bytes(&[&[255, 255, 255, 255], b"ab"]), 1));
        // One character cut in two values, each value alone is not UTF-8.
        assert!(!checked(bytes(&[&[1, 0, 0, 0, 0xc3, 1, 0, 0, 0, 0xa9]]), 2));
        assert!(!checked(
            bytes(&[&[130, 0, 0, 0], &[b'a'; 129], &[0xc3], &[1, 0, 0, 0, 0xa9]]),
            2
        ));
        let lengths = |l: &[u32]| PageViews::from_lengths(Buffer::from("aéb".as_bytes()), l, true);
        assert_eq!(
            lengths(&[1, 2, 1, 0]).unwrap().to_array().as_string_view().value(1),
            "é"
        );
        assert!(lengths(&[2, 2]).is_err());
        assert!(lengths(&[4, 1]).is_err());
        assert!(PageViews::from_lengths(Buffer::from("aéb".as_bytes()), &[2, 2], false).is_ok());
        let mut binary = ViewBuilder::new(false);
        assert!(binary.append_range(&page(&["a"]), 0..2).is_err());
        let mut strings = ViewBuilder::new(true);
        let raw = PageViews::from_lengths(Buffer::from(vec![0xffu8]), &[1], false).unwrap();
        assert!(strings.append_range(&raw, 0..1).is_err());
        assert_eq!(strings.finish(None).len(), 0);
    }
}
