//! Values of a fixed width: integers, floats (as their bits), dates, timestamps, decimals.

use super::delta::{decode_delta, decode_delta_bytes};
use super::target::{Convert, Source};
use super::{ValueDecoder, bad, encoding};
use crate::error::{Error, Result};
use crate::vector::gather::{gather_into, spread};
use arrow::array::{ArrayData, ArrayRef, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};

/// The integer of a target's width. Floats travel as their bits.
pub trait Lane: ArrowNativeType + Default {
    const WIDTH: usize;
    /// The low bits of `value`, sign extended if there are more.
    fn from_i64(value: i64) -> Self;
    fn from_i128(value: i128) -> Option<Self>;
    /// The value at byte `at * WIDTH`; zero behind the end.
    fn load(bytes: &[u8], at: usize) -> Self;
    /// Appends all values of `bytes`.
    fn load_all(bytes: &[u8], out: &mut Vec<Self>);
}

macro_rules! lanes {
    ($($ty:ty),*) => {$(
        impl Lane for $ty {
            const WIDTH: usize = size_of::<$ty>();
            #[inline(always)]
            fn from_i64(value: i64) -> Self {
                value as $ty
            }
            #[inline(always)]
            fn from_i128(value: i128) -> Option<Self> {
                <$ty>::try_from(value).ok()
            }
            #[inline(always)]
            fn load(bytes: &[u8], at: usize) -> Self {
                let chunk = bytes.get(at * Self::WIDTH..).and_then(|rest| rest.first_chunk());
                chunk.map_or(0, |chunk| <$ty>::from_le_bytes(*chunk))
            }
            fn load_all(bytes: &[u8], out: &mut Vec<Self>) {
                out.extend(bytes.as_chunks::<{ size_of::<$ty>() }>().0.iter().map(|&chunk| <$ty>::from_le_bytes(chunk)));
            }
        }
    )*};
}
lanes!(i8, i16, i32, i64, i128);

/// The values of the open page.
enum Page<T> {
    /// As they lie in the file, which is as they lie in the array.
    Bytes(Buffer),
    /// Decoded when the page was opened.
    Values(Vec<T>),
}

/// Decodes values of `T`'s width.
pub struct FixedDecoder<T: Lane> {
    target: DataType,
    source: Source,
    convert: Convert,
    dictionary: ScalarBuffer<T>,
    dictionary_array: Option<ArrayRef>,
    page: Page<T>,
    /// Next value in the page.
    at: usize,
    count: usize,
    out: Vec<T>,
    dense: Vec<T>,
}

impl<T: Lane> FixedDecoder<T> {
    pub fn new(target: DataType, source: Source, convert: Convert) -> Self {
        Self {
            target,
            source,
            convert,
            dictionary: ScalarBuffer::from(vec![]),
            dictionary_array: None,
            page: Page::Values(vec![]),
            at: 0,
            count: 0,
            out: vec![],
            dense: vec![],
        }
    }

    /// Whether a PLAIN page can be copied into the array as it is.
    fn is_copy(&self) -> bool {
        let big_endian = matches!(self.source, Source::Fixed(_) | Source::Bytes);
        self.convert == Convert::Same && !big_endian && self.source.width() == Some(T::WIDTH)
    }

    /// Decodes `count` PLAIN values.
    fn plain(&self, data: &[u8], count: usize) -> Result<Vec<T>> {
        let Some(width) = self.source.width() else {
            return self.length_prefixed(data, count);
        };
        let data = front(data, count, width)?;
        match self.source {
            Source::Int32 | Source::Float => self.numbers(
                data.as_chunks::<4>()
                    .0
                    .iter()
                    .map(|&c| i64::from(i32::from_le_bytes(c))),
                count,
            ),
            Source::Int64 | Source::Double => {
                self.numbers(data.as_chunks::<8>().0.iter().map(|&c| i64::from_le_bytes(c)), count)
            }
            Source::Fixed(_) | Source::Bytes => data.chunks_exact(width).map(big_endian).collect(),
        }
    }

    fn length_prefixed(&self, data: &[u8], count: usize) -> Result<Vec<T>> {
        let mut rest = data;
        let mut values = Vec::with_capacity(count.min(data.len() / 4));
        for i in 0..count {
            let value = rest
                .split_first_chunk::<4>()
                .and_then(|(len, tail)| tail.split_at_checked(u32::from_le_bytes(*len) as usize));
            let Some((value, tail)) = value else {
                return Err(bad(format!("the page ends inside value {i} of {count}")));
            };
            values.push(big_endian(value)?);
            rest = tail;
        }
        Ok(values)
    }

    /// Decodes `count` DELTA_BYTE_ARRAY values.
    fn delta_bytes(&self, data: &[u8], count: usize) -> Result<Vec<T>> {
        let (lengths, bytes) = decode_delta_bytes(data, count)?;
        let mut rest = bytes.as_slice();
        let next = |len: u32| {
            let (value, tail) = rest.split_at_checked(len as usize).unwrap_or_default();
            rest = tail;
            big_endian(value)
        };
        lengths.into_iter().map(next).collect()
    }

    /// Brings numbers of the file into the target's unit and width.
    fn numbers(&self, values: impl Iterator<Item = i64>, count: usize) -> Result<Vec<T>> {
        let mut out = Vec::with_capacity(count);
        match self.convert {
            Convert::Same => out.extend(values.map(T::from_i64)),
            Convert::FloatToDouble => out.extend(values.map(|v| {
                let double = f64::from(f32::from_bits(v as u32));
                T::from_i64(double.to_bits() as i64)
            })),
            Convert::NanosToMicros => out.extend(values.map(|v| T::from_i64(v.div_euclid(1000)))),
            Convert::MillisToMicros => {
                let mut overflow = false;
                out.extend(values.map(|v| {
                    let (micros, over) = v.overflowing_mul(1000);
                    overflow |= over;
                    T::from_i64(micros)
                }));
                if overflow {
                    return Err(Error::execution(
                        "a timestamp in milliseconds is out of range in microseconds",
                    ));
                }
            }
        }
        Ok(out)
    }
}

/// The first `count` values of `width` bytes.
fn front(data: &[u8], count: usize, width: usize) -> Result<&[u8]> {
    match count.checked_mul(width).and_then(|len| data.get(..len)) {
        Some(data) => Ok(data),
        None => Err(bad(format!("{} bytes for {count} values of {width} bytes", data.len()))),
    }
}

/// A big-endian two's complement number of any length.
fn big_endian<T: Lane>(bytes: &[u8]) -> Result<T> {
    let negative = bytes.first().is_some_and(|&b| b >= 0x80);
    let sign: i128 = if negative { -1 } else { 0 };
    let (high, low) = bytes.split_at(bytes.len().saturating_sub(16));
    let value = low.iter().fold(sign, |value, &b| value << 8 | i128::from(b));
    // What does not fit into 128 bits must be nothing but sign.
    let fits = high.iter().all(|&b| i128::from(b as i8) == sign) && (high.is_empty() || (value < 0) == negative);
    match T::from_i128(value).filter(|_| fits) {
        Some(value) => Ok(value),
        None => Err(bad(format!(
            "a decimal of {} bytes does not fit into {} bits",
            bytes.len(),
            T::WIDTH * 8
        ))),
    }
}

/// BYTE_STREAM_SPLIT: first the first bytes of all values, then the second bytes, and so on.
fn join_streams(data: &[u8], count: usize, width: usize) -> Result<Vec<u8>> {
    let data = front(data, count, width)?;
    let mut joined = vec![0; data.len()];
    if count > 0 {
        for (k, stream) in data.chunks_exact(count).enumerate() {
            for (slot, &byte) in joined.iter_mut().skip(k).step_by(width).zip(stream) {
                *slot = byte;
            }
        }
    }
    Ok(joined)
}

impl<T: Lane> ValueDecoder for FixedDecoder<T> {
    fn load_dictionary(&mut self, data: Buffer, count: usize) -> Result<()> {
        self.dictionary = self.plain(&data, count)?.into();
        let array = ArrayData::builder(self.target.clone())
            .len(count)
            .add_buffer(self.dictionary.inner().clone())
            .build()?;
        self.dictionary_array = Some(make_array(array));
        Ok(())
    }

    fn load_page(&mut self, encoding: i32, data: Buffer, count: usize) -> Result<()> {
        let integers = matches!(self.source, Source::Int32 | Source::Int64);
        self.page = match (encoding, self.source.width()) {
            (encoding::PLAIN, Some(width)) if self.is_copy() => {
                front(&data, count, width)?;
                Page::Bytes(data)
            }
            (encoding::PLAIN, _) => Page::Values(self.plain(&data, count)?),
            (encoding::BYTE_STREAM_SPLIT, Some(width)) => {
                Page::Values(self.plain(&join_streams(&data, count, width)?, count)?)
            }
            (encoding::DELTA_BINARY_PACKED, _) if integers => {
                let values = decode_delta(&data, &mut 0, count)?;
                if values.len() != count {
                    return Err(bad(format!("{} values in a page that has {count}", values.len())));
                }
                let narrow = self.source == Source::Int32;
                Page::Values(self.numbers(
                    values.iter().map(|&v| if narrow { i64::from(v as i32) } else { v }),
                    count,
                )?)
            }
            (encoding::DELTA_BYTE_ARRAY, _) if !integers => Page::Values(self.delta_bytes(&data, count)?),
            (other, _) => return Err(encoding::unsupported(other)),
        };
        (self.at, self.count) = (0, count);
        Ok(())
    }

    fn release_page(&mut self) {
        self.page = Page::Values(vec![]);
        self.count = 0;
    }

    fn append(&mut self, n: usize) -> Result<()> {
        let range = self.advance(n)?;
        match &self.page {
            Page::Bytes(bytes) => {
                let bytes = bytes
                    .get(range.start * T::WIDTH..range.end * T::WIDTH)
                    .unwrap_or_default();
                T::load_all(bytes, &mut self.out);
            }
            Page::Values(values) => self.out.extend_from_slice(values.get(range).unwrap_or_default()),
        }
        Ok(())
    }

    fn append_at(&mut self, positions: &[u32], n: usize) -> Result<()> {
        let first = self.advance(n)?.start;
        match &self.page {
            Page::Bytes(bytes) => self
                .out
                .extend(positions.iter().map(|&p| T::load(bytes, first + p as usize))),
            Page::Values(values) => {
                let value = |&p: &u32| values.get(first + p as usize).copied().unwrap_or_default();
                self.out.extend(positions.iter().map(value));
            }
        }
        Ok(())
    }

    fn skip(&mut self, n: usize) -> Result<()> {
        self.advance(n).map(drop)
    }

    fn append_codes(&mut self, codes: &[u32]) -> Result<()> {
        gather_into(&self.dictionary, codes, &mut self.out)
    }

    fn dictionary(&self) -> Option<&ArrayRef> {
        self.dictionary_array.as_ref()
    }

    fn len(&self) -> usize {
        self.out.len()
    }

    fn spread(&mut self, start: usize, valid: &BooleanBuffer) {
        spread(&mut self.out, start, valid, &mut self.dense);
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let values = std::mem::take(&mut self.out);
        let array = ArrayData::builder(self.target.clone())
            .len(values.len())
            .add_buffer(Buffer::from_vec(values))
            .nulls(nulls)
            .build()?;
        Ok(make_array(array))
    }

    fn reserve(&mut self, rows: usize) {
        self.out.reserve(rows);
    }
}

impl<T: Lane> FixedDecoder<T> {
    /// Moves over the next `n` values of the page; returns where they are.
    fn advance(&mut self, n: usize) -> Result<std::ops::Range<usize>> {
        let range = self.at..self.at + n;
        if range.end > self.count {
            return Err(Error::internal(format!(
                "{n} values asked of a page with {} left",
                self.count - self.at
            )));
        }
        self.at = range.end;
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_endian_numbers_of_any_length() {
        assert_eq!(big_endian::<i64>(&[0xff, 0x38]).unwrap(), -200);
        assert_eq!(big_endian::<i64>(&[]).unwrap(), 0);
        for value in [0, 1, -1, 12345, -99999, i64::MAX, i64::MIN] {
            let bytes = i128::from(value).to_be_bytes();
            assert_eq!(big_endian::<i64>(&bytes).unwrap(), value);
            let sign = if value < 0 { 0xff } else { 0 };
            assert_eq!(
                big_endian::<i128>(&[vec![sign; 5], bytes.to_vec()].concat()).unwrap(),
                i128::from(value)
            );
        }
        assert!(big_endian::<i64>(&(i128::from(i64::MAX) + 1).to_be_bytes()).is_err());
        assert!(big_endian::<i128>(&[&[1][..], &[0; 16]].concat()).is_err());
        assert!(big_endian::<i128>(&[&[0][..], &[0xff; 16]].concat()).is_err());
        assert!(big_endian::<i128>(&[&[0xff][..], &[0x7f; 16]].concat()).is_err());
    }

    #[test]
    fn streams_are_joined() {
        assert_eq!(join_streams(&[1, 2, 3, 4, 5, 6], 3, 2).unwrap(), [1, 4, 2, 5, 3, 6]);
        assert!(join_streams(&[1, 2, 3], 2, 2).is_err());
        assert_eq!(join_streams(&[], 0, 4).unwrap(), [0u8; 0]);
    }
}
