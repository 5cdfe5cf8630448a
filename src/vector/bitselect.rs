//! Picking bits of a bitmap, with the rank of those that are set.

use arrow::buffer::BooleanBuffer;

/// The bits at the ascending `rows`; `ranks` receives, for each of them that is set, how many set bits stand before it.
pub fn select_bits(bits: &BooleanBuffer, rows: &[u32], ranks: &mut Vec<u32>) -> BooleanBuffer {
    ranks.clear();
    ranks.reserve(rows.len());
    let mut words = bits.bit_chunks().iter_padded();
    // The word that holds row `from` as its first bit, and the set bits before it.
    let (mut word, mut from, mut before) = (words.next().unwrap_or(0), 0usize, 0u32);
    let mut next = |row: usize| {
        while row >= from + 64 {
            before += word.count_ones();
            word = words.next().unwrap_or(0);
            from += 64;
        }
        let below = (1u64 << (row - from)) - 1;
        (word >> (row - from) & 1 == 1, before + (word & below).count_ones())
    };
    BooleanBuffer::collect_bool(rows.len(), |i| {
        let (set, rank) = next(rows[i] as usize);
        if set {
            ranks.push(rank);
        }
        set
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_equal_counting() {
        for offset in [0, 1, 63] {
            let bits = BooleanBuffer::collect_bool(300 + offset, |i| i % 3 != 1 && i % 7 != 2).slice(offset, 300);
            for step in [1, 2, 5, 64, 100, 299] {
                let rows: Vec<u32> = (0..300).step_by(step).collect();
                let mut ranks = vec![7];
                let picked = select_bits(&bits, &rows, &mut ranks);
                let twin: Vec<bool> = rows.iter().map(|&r| bits.value(r as usize)).collect();
                assert_eq!(picked.iter().collect::<Vec<_>>(), twin);
                let set = rows.iter().filter(|&&r| bits.value(r as usize));
                let counted: Vec<u32> = set
                    .map(|&r| bits.slice(0, r as usize).count_set_bits() as u32)
                    .collect();
                assert_eq!(ranks, counted);
            }
        }
        assert_eq!(select_bits(&BooleanBuffer::new_unset(0), &[], &mut vec![]).len(), 0);
    }
}
