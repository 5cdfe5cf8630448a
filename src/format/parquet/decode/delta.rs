//! DELTA_BINARY_PACKED integers, and the string encodings built on them.
//!
//! Spec: parquet-format `Encodings.md`. Values are differences to the value before, in blocks that share a least
//! difference, bit-packed in miniblocks of one width each:
//!
//! ```text
//! header  values per block · miniblocks per block · value count · first value
//! block   least difference · width of each miniblock · miniblocks
//! ```

use super::{MAX_PAGE_BYTES, bad};
use crate::error::Result;
use crate::vector::bitunpack::{unpack_one, unpack_u32};
use crate::vector::views::PageViews;
use arrow::buffer::Buffer;

/// Most values a miniblock may hold: writers use 32 to 1024, and a few bytes must not stand for billions of values.
const MAX_MINIBLOCK: usize = 1 << 16;

/// Reads an unsigned LEB128 number at `at` and moves `at` behind it.
pub fn read_varint(bytes: &[u8], at: &mut usize) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let Some(&byte) = bytes.get(*at) else {
            return Err(bad("the page ends inside a number"));
        };
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(bad("a number in a page has more than 64 bits"))
}

fn read_zigzag(bytes: &[u8], at: &mut usize) -> Result<i64> {
    let value = read_varint(bytes, at)?;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

fn read_count(bytes: &[u8], at: &mut usize, what: &str, max: usize) -> Result<usize> {
    let value = read_varint(bytes, at)?;
    match usize::try_from(value) {
        Ok(count) if count <= max => Ok(count),
        _ => Err(bad(format!("{value} {what} in delta encoding, at most {max} expected"))),
    }
}

/// Decodes a DELTA_BINARY_PACKED stream of at most `max` values at `at` and moves `at` behind it. Sums wrap around, as
/// the encoding demands; 32-bit columns take the low half.
pub fn decode_delta(bytes: &[u8], at: &mut usize, max: usize) -> Result<Vec<i64>> {
    let block = read_count(bytes, at, "values per block", usize::MAX)?;
    let miniblocks = read_count(bytes, at, "miniblocks per block", bytes.len())?;
    let count = read_count(bytes, at, "values", max)?;
    let first = read_zigzag(bytes, at)?;
    if count == 0 {
        return Ok(vec![]);
    }
    let size = block.checked_div(miniblocks).unwrap_or(0);
    if size == 0 || size > MAX_MINIBLOCK || size % 8 != 0 {
        return Err(bad(format!(
            "delta encoding with {block} values in {miniblocks} miniblocks"
        )));
    }
    // What the page announces is not believed beyond what it could hold at one byte each.
    let mut values = Vec::with_capacity(count.min(bytes.len().max(1 << 16)));
    values.push(first);
    let (mut last, mut packed) = (first, Vec::with_capacity(size));
    while values.len() < count {
        let least = read_zigzag(bytes, at)?;
        let Some(widths) = bytes.get(*at..*at + miniblocks) else {
            return Err(bad("the page ends inside a block of deltas"));
        };
        *at += miniblocks;
        for &width in widths {
            let n = size.min(count - values.len());
            if n == 0 {
                break;
            }
            let width = u32::from(width);
            let bits = n * width as usize;
            let Some(body) = bytes.get(*at..).filter(|b| width <= 64 && bits <= b.len() * 8) else {
                return Err(bad(format!("the page ends inside {n} deltas of {width} bits")));
            };
            // The last miniblock is padded to its full size, but not every writer does so.
            *at = (*at + size / 8 * width as usize).min(bytes.len());
            let mut add = |delta: u64| {
                last = last.wrapping_add(least).wrapping_add(delta as i64);
                last
            };
            if width <= 32 {
                packed.resize(n, 0);
                unpack_u32(body, width, 0, &mut packed);
                values.extend(packed.iter().map(|&d| add(u64::from(d))));
            } else {
                values.extend((0..n).map(|i| add(unpack_one(body, width, i))));
            }
        }
    }
    Ok(values)
}

/// Decodes exactly `count` lengths.
fn decode_lengths(bytes: &[u8], at: &mut usize, count: usize) -> Result<Vec<u32>> {
    let lengths = decode_delta(bytes, at, count)?;
    if lengths.len() != count {
        return Err(bad(format!("{} string lengths for {count} strings", lengths.len())));
    }
    lengths
        .iter()
        .map(|&l| u32::try_from(l).map_err(|_| bad(format!("a string of length {l}"))))
        .collect()
}

/// DELTA_LENGTH_BYTE_ARRAY: all lengths, then all bytes.
pub fn decode_delta_lengths(data: &Buffer, count: usize, utf8: bool) -> Result<PageViews> {
    let mut at = 0;
    let lengths = decode_lengths(data, &mut at, count)?;
    PageViews::from_lengths(data.slice(at), &lengths, utf8)
}

/// DELTA_BYTE_ARRAY: how much each value shares with the one before, then the rests as DELTA_LENGTH_BYTE_ARRAY.
pub fn decode_delta_strings(data: &[u8], count: usize, utf8: bool) -> Result<PageViews> {
    let (lengths, bytes) = decode_delta_bytes(data, count)?;
    PageViews::from_lengths(Buffer::from_vec(bytes), &lengths, utf8)
}

/// The lengths and the joined bytes of a DELTA_BYTE_ARRAY page.
pub fn decode_delta_bytes(data: &[u8], count: usize) -> Result<(Vec<u32>, Vec<u8>)> {
    let mut at = 0;
    let prefixes = decode_lengths(data, &mut at, count)?;
    let suffixes = decode_lengths(data, &mut at, count)?;
    let mut lengths = Vec::with_capacity(count);
    let mut bytes: Vec<u8> = Vec::with_capacity(data.len());
    let mut previous = 0..0;
    for (&prefix, &suffix) in prefixes.iter().zip(&suffixes) {
        let (prefix, suffix) = (prefix as usize, suffix as usize);
        let rest = at.checked_add(suffix).and_then(|end| data.get(at..end));
        let Some(rest) = rest.filter(|_| prefix <= previous.len()) else {
            return Err(bad(format!(
                "a string shares {prefix} bytes with one of {} and adds {suffix}",
                previous.len()
            )));
        };
        if bytes.len() + prefix + suffix > MAX_PAGE_BYTES {
            return Err(bad(format!("a page of more than {MAX_PAGE_BYTES} bytes of strings")));
        }
        let start = bytes.len();
        bytes.extend_from_within(previous.start..previous.start + prefix);
        bytes.extend_from_slice(rest);
        at += suffix;
        previous = start..bytes.len();
        lengths.push((prefix + suffix) as u32);
    }
    Ok((lengths, bytes))
}
