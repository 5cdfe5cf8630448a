//! Blocks as bytes for spill files.
//!
//! ```text
//! block    rows u32, columns u16, then per column:
//! column   kind u8, valid u8 (0 none, 1 bits follow), [bits], values
//! numbers  width w u8, base 8 or 16 bytes, count × w bytes: value − base     (sorted and narrow columns shrink a lot)
//! bytes    packing u8 (0 plain, 1 LZ4), length u32, [length packed u32], bytes
//! strings  lengths as numbers, data as bytes
//! ```

use super::{Block, BlockColumn, Layout, Strings, Values};
use crate::error::{Error, Result};
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

const SAMPLE: usize = 8 << 10;

impl Block {
    /// Appends this block's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend((self.rows as u32).to_le_bytes());
        out.extend((self.columns.len() as u16).to_le_bytes());
        for column in &self.columns {
            column.encode(out);
        }
    }

    /// Reads back what [`Block::encode`] wrote for the columns of `layout`.
    ///
    /// # Errors
    /// `BadFile` when the bytes are not such a block.
    pub fn decode(layout: &Layout, bytes: &[u8]) -> Result<Block> {
        let mut input = Input { bytes };
        let rows = input.u32()? as usize;
        let count = usize::from(input.u16()?);
        if count != layout.width() {
            return Err(corrupt());
        }
        let columns = (0..count).map(|i| {
            let column = BlockColumn::decode(&mut input, rows)?;
            column.check(layout, i, rows)?;
            Ok(column)
        });
        Ok(Block {
            rows,
            columns: columns.collect::<Result<_>>()?,
        })
    }
}

fn corrupt() -> Error {
    Error::bad_file("a block of a spill file is malformed")
}

/// Bytes still to be read.
struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(n).ok_or_else(corrupt)?;
        self.bytes = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| corrupt())
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }
}

impl BlockColumn {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.values.tag());
        match &self.valid {
            None => out.push(0),
            Some(valid) => {
                out.push(1);
                out.extend(
                    valid
                        .chunks(8)
                        .map(|c| c.iter().rev().fold(0u8, |bits, v| bits << 1 | v)),
                );
            }
        }
        match &self.values {
            Values::None => {}
            Values::W1(v) | Values::Codes1(v) => encode_numbers(v, out),
            Values::W2(v) | Values::Codes2(v) => encode_numbers(v, out),
            Values::W4(v) => encode_numbers(v, out),
            Values::W8(v) => encode_numbers(v, out),
            Values::W16(v) => encode_wide(v, out),
            Values::Bytes(s) => {
                let starts = std::iter::once(0).chain(s.ends.iter().copied());
                let lengths: Vec<u32> = starts.zip(&s.ends).map(|(start, end)| end - start).collect();
                encode_numbers(&lengths, out);
                encode_bytes(&s.data, out);
            }
        }
    }

    fn decode(input: &mut Input, rows: usize) -> Result<Self> {
        let tag = input.u8()?;
        let valid = match input.u8()? {
            0 => None,
            1 => {
                let bits = input.take(rows.div_ceil(8))?;
                Some((0..rows).map(|row| bits[row / 8] >> (row % 8) & 1).collect())
            }
            _ => return Err(corrupt()),
        };
        let values = match tag {
            0 => Values::None,
            1 => Values::W1(decode_numbers(input, rows)?),
            2 => Values::W2(decode_numbers(input, rows)?),
            3 => Values::W4(decode_numbers(input, rows)?),
            4 => Values::W8(decode_numbers(input, rows)?),
            5 => Values::W16(decode_wide(input, rows)?),
            6 => Values::Codes1(decode_numbers(input, rows)?),
            7 => Values::Codes2(decode_numbers(input, rows)?),
            8 => {
                let mut ends: Vec<u32> = decode_numbers(input, rows)?;
                let mut total = 0u64;
                for end in &mut ends {
                    total += u64::from(*end);
                    *end = total as u32;
                }
                let data = decode_bytes(input)?;
                if total != data.len() as u64 || total > u64::from(u32::MAX) {
                    return Err(corrupt());
                }
                Values::Bytes(Strings { ends, data })
            }
            _ => return Err(corrupt()),
        };
        Ok(Self { values, valid })
    }

    /// That the column is one that the layout may have, and codes stand for values.
    fn check(&self, layout: &Layout, i: usize, rows: usize) -> Result<()> {
        let expected = layout.columns.get(i).map(|s| s.empty(0, None)).ok_or_else(corrupt)?;
        let coded = |v: &Values| matches!(v, Values::Codes1(_) | Values::Codes2(_));
        let fits = expected.tag() == self.values.tag()
            || coded(&expected) && (coded(&self.values) || matches!(self.values, Values::Bytes(_)));
        if !fits {
            return Err(corrupt());
        }
        if coded(&self.values) {
            let known = layout.dictionary(i).len().max(1);
            if (0..rows).any(|row| usize::from(self.values.code(row)) >= known) {
                return Err(corrupt());
            }
        }
        Ok(())
    }
}

impl Values {
    fn tag(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::W1(_) => 1,
            Self::W2(_) => 2,
            Self::W4(_) => 3,
            Self::W8(_) => 4,
            Self::W16(_) => 5,
            Self::Codes1(_) => 6,
            Self::Codes2(_) => 7,
            Self::Bytes(_) => 8,
        }
    }
}

/// An unsigned number of up to 8 bytes that was, perhaps, a signed one.
trait Number: Copy {
    const BYTES: usize;
    /// Sign-extended, so that small negative numbers stay near small positive ones.
    fn signed(self) -> i64;
    fn from_signed(value: i64) -> Self;
}

macro_rules! number {
    ($($unsigned:ty, $signed:ty);*) => {$(
        impl Number for $unsigned {
            const BYTES: usize = size_of::<$unsigned>();
            #[inline(always)]
            fn signed(self) -> i64 {
                self as $signed as i64
            }
            #[inline(always)]
            fn from_signed(value: i64) -> Self {
                value as $unsigned
            }
        }
    )*};
}
number!(u8, i8; u16, i16; u32, i32; u64, i64);

fn encode_numbers<T: Number>(values: &[T], out: &mut Vec<u8>) {
    let min = values.iter().map(|v| v.signed()).min().unwrap_or(0);
    let max = values.iter().map(|v| v.signed()).max().unwrap_or(0);
    let width = (u64::BITS - (max.wrapping_sub(min) as u64).leading_zeros()).div_ceil(8) as usize;
    out.push(width as u8);
    out.extend(min.to_le_bytes());
    let delta = |v: &T| v.signed().wrapping_sub(min) as u64;
    let start = out.len();
    out.reserve(values.len() * width + 8);
    match width {
        0 => {}
        1 => out.extend(values.iter().map(|v| delta(v) as u8)),
        2 => values
            .iter()
            .for_each(|v| out.extend_from_slice(&(delta(v) as u16).to_le_bytes())),
        4 => values
            .iter()
            .for_each(|v| out.extend_from_slice(&(delta(v) as u32).to_le_bytes())),
        8 => {
            let bytes: Vec<u8> = values.iter().flat_map(|v| delta(v).to_le_bytes()).collect();
            encode_bytes(&bytes, out);
        }
        _ => {
            // Odd widths: write eight bytes, keep `width` of them.
            out.resize(start + values.len() * width + 8, 0);
            for (i, v) in values.iter().enumerate() {
                let at = start + i * width;
                out[at..at + 8].copy_from_slice(&delta(v).to_le_bytes());
            }
            out.truncate(start + values.len() * width);
        }
    }
}

fn decode_numbers<T: Number>(input: &mut Input, count: usize) -> Result<Vec<T>> {
    let width = usize::from(input.u8()?);
    let base = i64::from_le_bytes(input.array()?);
    let value = |delta: u64| T::from_signed(base.wrapping_add(delta as i64));
    if width > T::BYTES {
        return Err(corrupt());
    }
    if width == 0 {
        return Ok(vec![value(0); count]);
    }
    if width == 8 {
        let bytes = decode_bytes(input)?;
        if bytes.len() != count.saturating_mul(8) {
            return Err(corrupt());
        }
        let words = bytes.as_chunks::<8>().0.iter();
        return Ok(words.map(|b| value(u64::from_le_bytes(*b))).collect());
    }
    let bytes = input.take(count.checked_mul(width).ok_or_else(corrupt)?)?;
    Ok(match width {
        1 => bytes.iter().map(|&b| value(u64::from(b))).collect(),
        2 => bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| value(u64::from(u16::from_le_bytes(*b))))
            .collect(),
        3 => bytes.as_chunks::<3>().0.iter().map(|b| value(little(b))).collect(),
        4 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| value(u64::from(u32::from_le_bytes(*b))))
            .collect(),
        5 => bytes.as_chunks::<5>().0.iter().map(|b| value(little(b))).collect(),
        6 => bytes.as_chunks::<6>().0.iter().map(|b| value(little(b))).collect(),
        _ => bytes.as_chunks::<7>().0.iter().map(|b| value(little(b))).collect(),
    })
}

#[inline(always)]
fn little<const N: usize>(bytes: &[u8; N]) -> u64 {
    let mut word = [0; 8];
    word[..N].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// 128-bit numbers: as 64-bit deltas when they fit, else all bytes.
fn encode_wide(values: &[i128], out: &mut Vec<u8>) {
    let min = values.iter().copied().min().unwrap_or(0);
    let max = values.iter().copied().max().unwrap_or(0);
    out.extend(min.to_le_bytes());
    if max.wrapping_sub(min) as u128 <= u128::from(u64::MAX) {
        out.push(1);
        let deltas: Vec<u64> = values.iter().map(|v| v.wrapping_sub(min) as u64).collect();
        encode_numbers(&deltas, out);
    } else {
        out.push(0);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        encode_bytes(&bytes, out);
    }
}

fn decode_wide(input: &mut Input, count: usize) -> Result<Vec<i128>> {
    let base = i128::from_le_bytes(input.array()?);
    if input.u8()? == 1 {
        let deltas: Vec<u64> = decode_numbers(input, count)?;
        return Ok(deltas.into_iter().map(|d| base.wrapping_add(i128::from(d))).collect());
    }
    let bytes = decode_bytes(input)?;
    if bytes.len() != count.saturating_mul(16) {
        return Err(corrupt());
    }
    Ok(bytes
        .as_chunks::<16>()
        .0
        .iter()
        .map(|b| i128::from_le_bytes(*b))
        .collect())
}

/// Packs `data` if a sample of it shrinks to less than three quarters.
fn encode_bytes(data: &[u8], out: &mut Vec<u8>) {
    if !pays(data) {
        out.push(0);
        out.extend((data.len() as u32).to_le_bytes());
        out.extend_from_slice(data);
        return;
    }
    out.push(1);
    out.extend((data.len() as u32).to_le_bytes());
    let start = out.len() + 4;
    out.resize(start + get_maximum_output_size(data.len()), 0);
    // The room is enough for any input, so this cannot fail.
    let packed = compress_into(data, &mut out[start..]).unwrap_or(0);
    out[start - 4..start].copy_from_slice(&(packed as u32).to_le_bytes());
    out.truncate(start + packed);
}

fn pays(data: &[u8]) -> bool {
    if data.len() < 256 {
        return false;
    }
    let middle = data.len() / 2;
    let sample = &data[middle.saturating_sub(SAMPLE / 2)..(middle + SAMPLE / 2).min(data.len())];
    let mut room = vec![0; get_maximum_output_size(sample.len())];
    compress_into(sample, &mut room).is_ok_and(|packed| packed < sample.len() / 4 * 3)
}

fn decode_bytes(input: &mut Input) -> Result<Vec<u8>> {
    let packed = input.u8()?;
    let length = input.u32()? as usize;
    if packed == 0 {
        return Ok(input.take(length)?.to_vec());
    }
    let size = input.u32()? as usize;
    let mut data = vec![0; length];
    match decompress_into(input.take(size)?, &mut data) {
        Ok(n) if n == length => Ok(data),
        _ => Err(corrupt()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Appender, Block, Layout, Position};
    use crate::types::{DataType, array_of, map_of, row_of, timestamp_tz};
    use crate::vector::{Batch, Column};
    use arrow::array::*;
    use arrow::datatypes::Int32Type;
    use std::sync::Arc;

    fn columns() -> Vec<ArrayRef> {
        let long = "a string of more than twelve bytes";
        let mut list = ListBuilder::new(Int64Builder::new());
        list.append_value([Some(1), None, Some(3)]);
        list.append_null();
        list.append_value([]);
        list.append_value([Some(-7)]);
        let mut map = MapBuilder::new(
            Some(MapFieldNames {
                entry: "entries".into(),
                key: "key".into(),
                value: "value".into(),
            }),
            StringViewBuilder::new(),
            Int64Builder::new(),
        );
        map.keys().append_value("k");
        map.values().append_value(4);
        map.append(true).unwrap();
        (0..3).for_each(|i| map.append(i != 1).unwrap());
        let fields = row_of(vec![("x".into(), DataType::Int32), ("y".into(), DataType::Utf8View)]);
        let DataType::Struct(fields) = fields else {
            panic!("a row is a struct")
        };
        let parts: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![1, 2, 3, 4])),
            Arc::new(StringViewArray::from(vec![Some("p"), None, Some(long), Some("")])),
        ];
        vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MIN), Some(i64::MAX)])),
            Arc::new(Int32Array::from(vec![Some(1), None, Some(-5), Some(70000)])),
            Arc::new(Int16Array::from(vec![1, 2, -3, 4])),
            Arc::new(Int8Array::from(vec![1, 2, -3, 4])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)])),
            Arc::new(Float64Array::from(vec![f64::NAN, -0.0, 1.5, f64::INFINITY])),
            Arc::new(
                Decimal128Array::from(vec![1i128 << 100, -1, 0, 5])
                    .with_precision_and_scale(38, 2)
                    .unwrap(),
            ),
            Arc::new(
                Decimal128Array::from(vec![12, -1, 0, 5])
                    .with_precision_and_scale(30, 2)
                    .unwrap(),
            ),
            Arc::new(
                Decimal64Array::from(vec![12, -1, 0, 5])
                    .with_precision_and_scale(15, 2)
                    .unwrap(),
            ),
            Arc::new(StringViewArray::from(vec![Some(long), None, Some(""), Some("é")])),
            Arc::new(BinaryViewArray::from(vec![
                Some(&b"\xff\x00"[..]),
                None,
                Some(&b""[..]),
                Some(&b"z"[..]),
            ])),
            Arc::new(
                DictionaryArray::<Int32Type>::try_new(
                    Int32Array::from(vec![Some(1), None, Some(0), Some(1)]),
                    Arc::new(StringViewArray::from(vec![long, "x"])),
                )
                .unwrap(),
            ),
            Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3, 4]).with_timezone("UTC")),
            Arc::new(NullArray::new(4)),
            Arc::new(list.finish()),
            Arc::new(map.finish()),
            Arc::new(StructArray::new(fields, parts, None)),
        ]
    }

    fn types(columns: &[ArrayRef]) -> Vec<DataType> {
        columns
            .iter()
            .map(|c| crate::types::logical_type(c.data_type()).clone())
            .collect()
    }

    #[test]
    fn every_type_survives_a_block_and_its_bytes() {
        let arrays = columns();
        let types = types(&arrays);
        assert_eq!(types[15], map_of(DataType::Utf8View, DataType::Int64));
        assert_eq!(types[14], array_of(DataType::Int64));
        assert_eq!(types[12], timestamp_tz("UTC"));
        let layout = Layout::new(&types).unwrap();
        let batch = Batch::from_arrays(arrays.clone(), 4);
        let mut appender = Appender::new(layout.clone());
        let prepared = appender.prepare(batch.physical_columns(), 4).unwrap();
        let mut block = Block::new(&layout);
        block.append(&layout, &prepared, 0..1).unwrap();
        block.append(&layout, &prepared, 1..4).unwrap();
        let mut bytes = vec![];
        block.encode(&mut bytes);
        let back = Block::decode(&layout, &bytes).unwrap();
        let positions: Vec<Position> = (0..4).rev().map(|row| Position { block: row % 2, row }).collect();
        let picked = Block::gather(&layout, &[&block, &back], &positions)
            .into_batch(&layout, types.len())
            .unwrap();
        for (i, expected) in arrays.iter().enumerate() {
            let expected = Column::Array(expected.clone())
                .gather(&[3, 2, 1, 0])
                .unwrap()
                .to_array()
                .unwrap();
            assert_eq!(&picked.column(i).unwrap().to_array().unwrap(), &expected, "column {i}");
        }
        for cut in 0..bytes.len() {
            assert!(Block::decode(&layout, &bytes[..cut]).is_err());
        }
    }

    #[test]
    fn coded_and_plain_batches_mix() {
        let plain: ArrayRef = Arc::new(StringViewArray::from(vec![Some("plain"), None]));
        let coded: ArrayRef = Arc::new(
            DictionaryArray::<Int32Type>::try_new(
                Int32Array::from(vec![Some(299), None]),
                Arc::new(StringViewArray::from_iter_values(
                    (0..300).map(|i| format!("value {i}")),
                )),
            )
            .unwrap(),
        );
        let layout = Layout::new(&[DataType::Utf8View]).unwrap();
        let mut appender = Appender::new(layout.clone());
        for order in [[&plain, &coded], [&coded, &plain], [&coded, &coded]] {
            let mut block = Block::new(&layout);
            let mut expected = vec![];
            for array in order {
                let column = Column::Array(array.clone());
                expected.push(column.to_array().unwrap());
                let prepared = appender.prepare(&[column], 2).unwrap();
                block.append(&layout, &prepared, 0..2).unwrap();
            }
            let mut bytes = vec![];
            block.encode(&mut bytes);
            let batch = Block::decode(&layout, &bytes).unwrap().into_batch(&layout, 1).unwrap();
            let expected = arrow::compute::concat(&[&expected[0], &expected[1]]).unwrap();
            assert_eq!(&batch.column(0).unwrap().to_array().unwrap(), &expected);
        }
    }

    #[test]
    fn narrow_numbers_take_few_bytes() {
        let layout = Layout::new(&[DataType::Int64]).unwrap();
        for (step, width) in [(0, 0), (1, 2), (1 << 12, 3), (1 << 30, 6), (1 << 45, 8)] {
            let values: ArrayRef = Arc::new(Int64Array::from_iter_values((0..1000).map(|i| i * step - 9)));
            let mut appender = Appender::new(layout.clone());
            let prepared = appender.prepare(&[Column::Array(values.clone())], 1000).unwrap();
            let mut block = Block::new(&layout);
            block.append(&layout, &prepared, 0..1000).unwrap();
            let mut bytes = vec![];
            block.encode(&mut bytes);
            assert!(bytes.len() <= 1000 * width + 40, "{step}: {}", bytes.len());
            let batch = Block::decode(&layout, &bytes).unwrap().into_batch(&layout, 1).unwrap();
            assert_eq!(&batch.column(0).unwrap().to_array().unwrap(), &values);
        }
    }
}
