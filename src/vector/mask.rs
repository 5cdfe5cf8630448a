//! Masks of rows: made value by value, looked up by code, turned into positions.

use arrow::buffer::{BooleanBuffer, Buffer};

/// One bit per value.
#[inline]
pub fn collect_mask<T: Copy>(values: &[T], f: impl Fn(T) -> bool) -> BooleanBuffer {
    let (blocks, rest) = values.as_chunks::<64>();
    let mut words: Vec<u64> = Vec::with_capacity(blocks.len() + 1);
    words.extend(blocks.iter().map(|block| pack(&block.map(|v| u8::from(f(v))))));
    if !rest.is_empty() {
        words.push(rest.iter().rev().fold(0, |word, &v| word << 1 | u64::from(f(v))));
    }
    BooleanBuffer::new(Buffer::from_vec(words), 0, values.len())
}

/// The lowest bit of each byte, as one word.
#[inline(always)]
fn pack(bytes: &[u8; 64]) -> u64 {
    let (octets, _) = bytes.as_chunks::<8>();
    // The product brings the bit of byte i to bit 56 + i, where no other sum reaches.
    let bits = |octet: &[u8; 8]| u64::from_le_bytes(*octet).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    octets.iter().rev().fold(0, |word, octet| word << 8 | bits(octet))
}

/// The bit of `table` for every code; a code without one gives 0.
pub fn lookup_mask(codes: &[i32], table: &BooleanBuffer) -> BooleanBuffer {
    if table.len() <= 256 {
        // A table of exactly 256 entries needs no bounds check for an 8-bit code.
        let mut small = [false; 256];
        small.iter_mut().zip(table.iter()).for_each(|(slot, bit)| *slot = bit);
        return collect_mask(codes, |code| small[usize::from(code as u8)]);
    }
    let bits: Vec<bool> = table.iter().collect();
    let max = codes.iter().fold(0, |max, &code| max.max(code as u32));
    if max as usize >= bits.len() {
        return collect_mask(codes, |code| bits.get(code as usize).copied().unwrap_or(false));
    }
    // SAFETY: as unsigned numbers, all codes are at most `max`, which is less than bits.len().
    collect_mask(codes, |code| unsafe { *bits.get_unchecked(code as u32 as usize) })
}

/// The places of the set bits of each byte, ascending; what stands behind them does not count.
static SET_BITS: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut count) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte][count] = bit as u8;
                count += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// With fewer bits in a word of 64, they are taken one by one.
const FEW: u32 = 8;

/// The positions of the bits that are set, ascending.
pub fn set_positions(mask: &BooleanBuffer) -> Vec<u32> {
    let count = mask.count_set_bits();
    // A byte writes eight positions, of which the next byte writes over those that do not count.
    let mut out = vec![0u32; count + 8];
    let mut at = 0;
    for (i, mut word) in mask.bit_chunks().iter_padded().enumerate() {
        let first = i as u32 * 64;
        if word.count_ones() < FEW {
            while word != 0 {
                out[at] = first + word.trailing_zeros();
                at += 1;
                word &= word - 1;
            }
            continue;
        }
        for (byte, start) in word.to_le_bytes().into_iter().zip((first..).step_by(8)) {
            if let Some(eight) = out[at..].first_chunk_mut::<8>() {
                *eight = SET_BITS[usize::from(byte)].map(|bit| start + u32::from(bit));
            }
            at += byte.count_ones() as usize;
        }
    }
    out.truncate(count);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_the_bit_of_each_value() {
        for len in [0, 1, 63, 64, 65, 200, 1000] {
            let values: Vec<i64> = (0..len).map(|i| i * i % 97).collect();
            let mask = collect_mask(&values, |v| v % 3 == 0);
            let twin: Vec<bool> = values.iter().map(|v| v % 3 == 0).collect();
            assert_eq!(mask, BooleanBuffer::from(twin));
        }
    }

    #[test]
    fn codes_find_their_bits() {
        for entries in [1usize, 5, 256, 257, 5000] {
            let table = BooleanBuffer::collect_bool(entries, |i| i % 5 == 0 || i % 7 == 3);
            let codes: Vec<i32> = (0..777).map(|i| (i * 31 % entries) as i32).collect();
            let twin: Vec<bool> = codes.iter().map(|&c| table.value(c as usize)).collect();
            assert_eq!(lookup_mask(&codes, &table), BooleanBuffer::from(twin));
        }
        let table = BooleanBuffer::new_set(300);
        let found: Vec<bool> = lookup_mask(&[299, 300, -1], &table).iter().collect();
        assert_eq!(found, [true, false, false]);
    }

    #[test]
    fn positions_are_those_of_the_set_bits() {
        for (offset, len) in [(0, 0), (0, 1), (0, 64), (3, 61), (5, 640), (1, 1000)] {
            for step in [1, 2, 3, 11, 100] {
                for dense in [false, true] {
                    let bits = BooleanBuffer::collect_bool(offset + len, |i| (i % step == 0) != dense);
                    let bits = bits.slice(offset, len);
                    let twin: Vec<u32> = (0..len as u32).filter(|&i| bits.value(i as usize)).collect();
                    assert_eq!(set_positions(&bits), twin);
                }
            }
        }
    }
}
