//! Rows that come in the order of their key: runs that nobody has to sort.
//!
//! ```text
//! a worker's batches:   1 2 5 │ 5 6 9 │ 3 4 7 │ 8 8 9          (sorted files, row group by row group)
//! its sequences:        ╰── blocks ──╯ ╰── blocks ──╯          each is a run as it is
//! ```
//!
//! Only for sorts whose rows are read by ranges of a bigint ([`super::ranges`]), the last column. A batch that is not in
//! order, or sequences that are too short, end the watch: then the rows are sorted like others.

use super::Specification;
use super::keys::KeyStatistics;
use super::order::{RunWriter, SortedRun};
use super::sink::Kept;
use crate::error::Result;
use crate::runtime::{CancelToken, Reservation, SpillFile};
use crate::vector::block::Block;
use std::ops::Range;
use std::sync::Arc;

/// Rows of a sequence at least, on average.
const SEQUENCE_ROWS: usize = 1 << 14;

/// Watches whether a worker's rows come in order.
#[derive(Debug, Default)]
pub struct Arrival {
    /// Where sequences begin among the blocks in memory.
    cuts: Vec<usize>,
    /// How often keys descended, and the rows seen.
    descents: usize,
    rows: usize,
    last: Option<i64>,
}

/// How a batch follows the rows before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrives {
    InOrder,
    /// As the beginning of a new sequence.
    Anew,
    Unordered,
}

impl Arrival {
    pub fn see(&mut self, keys: &[i64]) -> Arrives {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
            return Arrives::InOrder;
        };
        let follows = self.last.is_none_or(|before| before <= *first);
        let arrives = match follows {
            _ if !keys.is_sorted() => Arrives::Unordered,
            true => Arrives::InOrder,
            false if self.rows < (self.descents + 1) * SEQUENCE_ROWS => Arrives::Unordered,
            false => Arrives::Anew,
        };
        self.descents += usize::from(!follows);
        self.rows += keys.len();
        self.last = Some(*last);
        arrives
    }

    /// A sequence begins with the block of this number.
    pub fn cut(&mut self, block: usize) {
        self.cuts.push(block);
    }

    /// The blocks of each sequence, of `blocks` in all.
    pub fn sequences(&self, blocks: usize) -> Vec<Range<usize>> {
        let starts = std::iter::once(0).chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied().chain([blocks]);
        let sequences = starts.zip(ends).map(|(start, end)| start..end);
        sequences.filter(|sequence| !sequence.is_empty()).collect()
    }

    /// The blocks were written; the rows to come follow all the same.
    pub fn forget_blocks(&mut self) {
        self.cuts.clear();
    }
}

/// Runs in memory whose rows are in order as they lie.
pub struct OrderedRuns {
    pub specification: Arc<Specification>,
    pub runs: Vec<OrderedRun>,
    _reservations: Vec<Reservation>,
}

/// A sequence of blocks, and how many rows there are before each.
pub struct OrderedRun {
    pub blocks: Vec<Block>,
    starts: Vec<usize>,
    pub rows: usize,
}

impl OrderedRuns {
    /// What the workers kept, if all of it came in order.
    pub fn of(specification: &Arc<Specification>, kept: Vec<Kept>) -> std::result::Result<Self, Vec<Kept>> {
        if specification.merges || kept.iter().any(|part| part.arrival.is_none()) {
            return Err(kept);
        }
        let mut runs = vec![];
        let mut reservations = vec![];
        for part in kept {
            let sequences = part.arrival.unwrap_or_default().sequences(part.blocks.len());
            let mut blocks = part.blocks.into_iter();
            runs.extend(
                sequences
                    .into_iter()
                    .map(|s| OrderedRun::new(blocks.by_ref().take(s.len()).collect())),
            );
            reservations.push(part.reservation);
        }
        Ok(Self {
            specification: specification.clone(),
            runs,
            _reservations: reservations,
        })
    }
}

impl OrderedRun {
    fn new(blocks: Vec<Block>) -> Self {
        let mut rows = 0;
        let mut starts = Vec::with_capacity(blocks.len());
        for block in &blocks {
            starts.push(rows);
            rows += block.rows();
        }
        Self { blocks, starts, rows }
    }

    /// The block that a row is in, and its place there.
    pub fn place(&self, row: usize) -> (&Block, usize) {
        let block = self.starts.partition_point(|start| *start <= row).saturating_sub(1);
        (&self.blocks[block], row - self.starts[block])
    }
}

/// Writes rows that are in order as a run.
pub fn write_in_order(
    specification: &Arc<Specification>,
    blocks: &[Block],
    file: Arc<SpillFile>,
    cancel: &CancelToken,
) -> Result<SortedRun> {
    let refs: Vec<&Block> = blocks.iter().collect();
    let rows = RunWriter::rows_per_block(specification, &refs);
    let mut writer = RunWriter::new(specification.clone(), file)?;
    for block in blocks {
        for start in (0..block.rows()).step_by(rows) {
            cancel.check()?;
            let end = (start + rows).min(block.rows());
            writer.write(&block.copy_rows(start..end, specification.layout.width()))?;
        }
    }
    let statistics = KeyStatistics::of(&specification.keys, &specification.layout, blocks);
    let mut run = writer.finish(statistics)?;
    run.in_order = true;
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_cut_where_keys_descend() {
        let mut arrival = Arrival::default();
        let long: Vec<i64> = (0..SEQUENCE_ROWS as i64).collect();
        assert_eq!(arrival.see(&long), Arrives::InOrder);
        assert_eq!(arrival.see(&[]), Arrives::InOrder);
        assert_eq!(arrival.see(&[i64::MAX, i64::MAX]), Arrives::InOrder);
        assert_eq!(arrival.see(&[3]), Arrives::Anew);
        arrival.cut(2);
        assert_eq!(arrival.sequences(5), [0..2, 2..5]);
        assert_eq!(
            arrival.see(&[2]),
            Arrives::Unordered,
            "the second sequence is too short"
        );
        assert_eq!(Arrival::default().see(&[1, 0]), Arrives::Unordered);
    }
}
