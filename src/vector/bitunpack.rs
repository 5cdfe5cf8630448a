//! Bit-packed integers, least significant bit first, as Parquet and its relatives pack them.
//!
//! Eight values of `width` bits fill exactly `width` bytes, so a group of eight starts on a byte. With AVX2 and at most
//! 25 bits, one group is two 16-byte loads, one byte shuffle that gives every lane the four bytes its value lies in, one
//! shift per lane and one mask (Lemire & Boytsov, "Decoding billions of integers per second", 2015). All else is scalar.

/// Widest value the vector kernel takes: 7 bits of shift and 25 bits of value fill a lane.
const MAX_VECTOR_WIDTH: u32 = 25;

/// The bits of one value of `width` bits.
fn mask(width: u32) -> u64 {
    if width >= 64 { u64::MAX } else { (1u64 << width) - 1 }
}

/// The eight bytes of `bytes` from `at` on as a little-endian number; bytes past the end count as zero.
fn load_u64(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => rest.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b)),
    }
}

/// Value `index` of `bytes` packed in `width` ≤ 64 bits. Bits past the end of `bytes` count as zero.
pub fn unpack_one(bytes: &[u8], width: u32, index: usize) -> u64 {
    let bit = index as u128 * u128::from(width);
    let (at, shift) = ((bit / 8) as usize, (bit % 8) as u32);
    let low = load_u64(bytes, at) >> shift;
    let high = if shift + width > 64 {
        load_u64(bytes, at.saturating_add(8)) << (64 - shift)
    } else {
        0
    };
    (low | high) & mask(width)
}

/// Fills `out` with the values from `first` on of `bytes` packed in `width` ≤ 32 bits.
///
/// The caller has checked that `bytes` holds that many; bits past the end count as zero.
pub fn unpack_u32(bytes: &[u8], width: u32, first: usize, out: &mut [u32]) {
    debug_assert!(width <= 32, "codes have at most 32 bits");
    if width == 0 {
        out.fill(0);
        return;
    }
    let head = (first.next_multiple_of(8) - first).min(out.len());
    let (head, rest) = out.split_at_mut(head);
    unpack_scalar(bytes, width, first, head);
    let first = first + head.len();
    let done = unpack_groups(bytes, width, first / 8, rest.as_chunks_mut().0) * 8;
    if let Some(tail) = rest.get_mut(done..) {
        unpack_scalar(bytes, width, first + done, tail);
    }
}

/// Unpacks values one by one.
fn unpack_scalar(bytes: &[u8], width: u32, first: usize, out: &mut [u32]) {
    for (i, slot) in out.iter_mut().enumerate() {
        *slot = unpack_one(bytes, width, first + i) as u32;
    }
}

/// Unpacks groups of eight from group `first` on, as many as the fast kernel can; returns how many.
fn unpack_groups(bytes: &[u8], width: u32, first: usize, out: &mut [[u32; 8]]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if width <= MAX_VECTOR_WIDTH && is_x86_feature_detected!("avx2") {
        let bytes = bytes.get(first * width as usize..).unwrap_or_default();
        // The second load of a group starts width / 2 bytes in and reads 16 bytes.
        let reach = width as usize / 2 + 16;
        let mut groups = out.len();
        if groups.saturating_sub(1) * width as usize + reach > bytes.len() {
            let readable = bytes
                .len()
                .checked_sub(reach)
                .map_or(0, |slack| slack / width as usize + 1);
            groups = groups.min(readable);
        }
        // SAFETY: AVX2 was detected; group g reads bytes[g * width..g * width + reach], inside `bytes` for every
        // g < groups, and `out` has that many.
        unsafe { x86::unpack_groups(bytes.as_ptr(), width, groups, out.as_mut_ptr().cast()) };
        return groups;
    }
    let _ = (bytes, width, first, out);
    0
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{MAX_VECTOR_WIDTH, mask};
    use std::arch::x86_64::*;

    /// For one width: which bytes each lane needs from its 16-byte load, and how far its value is shifted in them.
    struct Lanes {
        shuffle: [u8; 32],
        shift: [u32; 8],
    }

    static LANES: [Lanes; MAX_VECTOR_WIDTH as usize + 1] = lanes();

    const fn lanes() -> [Lanes; MAX_VECTOR_WIDTH as usize + 1] {
        let mut table = [const {
            Lanes {
                shuffle: [0; 32],
                shift: [0; 8],
            }
        }; MAX_VECTOR_WIDTH as usize + 1];
        let mut width = 0;
        while width < table.len() {
            let mut lane = 0;
            while lane < 8 {
                // Lanes 4 to 7 read from byte width / 2 on, where bit 4 * width lies.
                let start = if lane < 4 { 0 } else { 4 * width / 8 * 8 };
                let bit = lane * width - start;
                let mut k = 0;
                while k < 4 {
                    table[width].shuffle[lane * 4 + k] = (bit / 8 + k) as u8;
                    k += 1;
                }
                table[width].shift[lane] = (bit % 8) as u32;
                lane += 1;
            }
            width += 1;
        }
        table
    }

    /// Unpacks `groups` groups of eight values of 1 to 25 bits.
    ///
    /// # Safety
    /// AVX2 is there; for each group `g`, `input + g * width` is readable for `width / 2 + 16` bytes; `out` is writable
    /// for `groups * 8` values.
    #[target_feature(enable = "avx2")]
    pub unsafe fn unpack_groups(input: *const u8, width: u32, groups: usize, out: *mut u32) {
        let lanes = &LANES[width as usize];
        // SAFETY: the table entries have 32 bytes each; all other pointers are covered by the caller's promise.
        unsafe {
            let shuffle = _mm256_loadu_si256(lanes.shuffle.as_ptr().cast());
            let shift = _mm256_loadu_si256(lanes.shift.as_ptr().cast());
            let mask = _mm256_set1_epi32(mask(width) as i32);
            let half = width as usize / 2;
            for g in 0..groups {
                let at = input.add(g * width as usize);
                let low = _mm_loadu_si128(at.cast());
                let high = _mm_loadu_si128(at.add(half).cast());
                let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high);
                let values = _mm256_srlv_epi32(_mm256_shuffle_epi8(both, shuffle), shift);
                _mm256_storeu_si256(out.add(g * 8).cast(), _mm256_and_si256(values, mask));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The safe twin: one bit at a time.
    fn bit_by_bit(bytes: &[u8], width: u32, index: usize) -> u64 {
        let bit = |i: usize| u64::from(bytes.get(i / 8).is_some_and(|b| b >> (i % 8) & 1 == 1));
        (0..width as usize).map(|k| bit(index * width as usize + k) << k).sum()
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = |_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 56) as u8
        };
        (0..len).map(next).collect()
    }

    #[test]
    fn every_width_start_and_length_equals_the_safe_twin() {
        for width in 0..=32 {
            // The bytes end exactly after the last value, so nothing may be read behind it.
            let total = 83;
            let bytes = noise((total * width as usize).div_ceil(8));
            let expected: Vec<u32> = (0..total).map(|i| bit_by_bit(&bytes, width, i) as u32).collect();
            for first in 0..20 {
                for n in [0, 1, 7, 8, 9, 31, 63, total - first] {
                    let mut out = vec![42; n];
                    unpack_u32(&bytes, width, first, &mut out);
                    assert_eq!(out, expected[first..first + n], "width {width} first {first} n {n}");
                }
            }
        }
    }

    #[test]
    fn single_values_of_up_to_64_bits() {
        for width in 0..=64 {
            let bytes = noise((50 * width as usize).div_ceil(8));
            for i in 0..50 {
                assert_eq!(
                    unpack_one(&bytes, width, i),
                    bit_by_bit(&bytes, width, i),
                    "width {width} index {i}"
                );
            }
        }
    }
}
