//! Build rows in the order of their first bound, and a tree over their second.

use super::words::{Word, Words};
use super::{RangeCondition, RangeSpec};
use crate::error::Result;
use crate::runtime::CancelToken;
use crate::vector::{Batch, Column};
use std::ops::Range;

/// Rows beneath an entry of the tree's next level.
const FAN: usize = 16;

/// The build rows that can fulfil the range conditions, in order.
pub struct RangeIndex {
    /// Build rows by group, then by first bound.
    rows: Vec<u32>,
    /// Their first bounds.
    firsts: Vec<u64>,
    seconds: Option<Tree>,
    words: Vec<Words>,
    /// Positions of the group that a build row stands for; empty when all rows are one group.
    groups: Vec<Range<u32>>,
}

/// Positions in which a probe row's matches are: those whose second bound is at least `second`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
    second: u64,
}

impl RangeIndex {
    /// Indexes build rows. `bounds` are the bounds' columns; `heads` gives the group of each row as the number of one of the
    /// group's rows plus 1, or 0 for a row without partner.
    pub fn new(spec: &RangeSpec, bounds: &[Column], heads: Option<&[u32]>, cancel: &CancelToken) -> Result<Self> {
        let mut words = vec![];
        let mut values: Vec<Vec<Word>> = vec![];
        for (bound, t) in bounds.iter().zip(&spec.types) {
            let (kind, of_rows) = Words::of_build(&bound.to_array()?, t)?;
            words.push(kind);
            values.push(of_rows);
        }
        let count = values.first().map_or(0, Vec::len);
        let mut sorted: Vec<(u32, u32, u64)> = Vec::with_capacity(count);
        for row in 0..count {
            let group = heads.map_or(1, |heads| heads[row]);
            if let (true, Some(first)) = (group != 0 && values.iter().all(|v| v[row].is_some()), values[0][row]) {
                sorted.push((group, row as u32, first));
            }
        }
        cancel.check()?;
        sorted.sort_unstable_by_key(|&(group, row, first)| (group, first, row));
        let mut groups = vec![];
        if heads.is_some() {
            groups = vec![0..0; count];
            let mut start = 0;
            for same in sorted.chunk_by(|a, b| a.0 == b.0) {
                let end = start + same.len() as u32;
                groups[same[0].0 as usize - 1] = start..end;
                start = end;
            }
        }
        cancel.check()?;
        let of_second = spec.conditions.iter().find(|c| c.bound == 1);
        let seconds = of_second.zip(values.get(1)).map(|(condition, values)| {
            let second = |&(_, row, _): &(u32, u32, u64)| upward(condition, values[row as usize].unwrap_or(0));
            Tree::new(sorted.iter().map(second).collect())
        });
        Ok(Self {
            rows: sorted.iter().map(|row| row.1).collect(),
            firsts: sorted.iter().map(|row| row.2).collect(),
            seconds,
            words,
            groups,
        })
    }

    pub fn memory_size(&self) -> usize {
        let tree = self.seconds.as_ref().map_or(0, Tree::memory_size);
        let words: usize = self.words.iter().map(Words::memory_size).sum();
        self.rows.len() * 12 + tree + words + self.groups.len() * size_of::<Range<u32>>()
    }

    /// Where the matches of each row of a probe batch are. `heads` are the groups of its rows, as in [`RangeIndex::new`].
    pub fn spans(&self, spec: &RangeSpec, batch: &Batch, heads: Option<&[u32]>, out: &mut Vec<Span>) -> Result<()> {
        out.clear();
        let all = Span {
            start: 0,
            end: self.rows.len() as u32,
            second: 0,
        };
        match heads {
            None => out.resize(batch.len(), all),
            Some(heads) => out.extend(heads.iter().map(|&head| {
                let group = (head as usize).checked_sub(1).and_then(|row| self.groups.get(row));
                group.map_or(Span::default(), |group| Span {
                    start: group.start,
                    end: group.end,
                    second: 0,
                })
            })),
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        for (condition, values) in spec.conditions.iter().zip(spec.values.evaluate(batch)?) {
            let (words, t) = (&self.words[condition.bound], &spec.types[condition.bound]);
            let (values, single) = values.as_array_or_single()?;
            let limits = words.limits(&values, t, condition.at_least, condition.inclusive)?;
            let limit = |row: usize| limits[if single { 0 } else { row }];
            for (row, span) in out.iter_mut().enumerate().filter(|(_, span)| span.start < span.end) {
                match limit(row) {
                    None => *span = Span::default(),
                    Some(limit) => self.narrow(span, condition, limit),
                }
            }
        }
        Ok(())
    }

    fn narrow(&self, span: &mut Span, condition: &RangeCondition, limit: u64) {
        if condition.bound == 1 {
            span.second = upward(condition, limit);
            return;
        }
        let firsts = &self.firsts[span.start as usize..span.end as usize];
        match condition.at_least {
            true => span.start += firsts.partition_point(|&first| first < limit) as u32,
            false => span.end = span.start + firsts.partition_point(|&first| first <= limit) as u32,
        }
    }

    /// The first position at or after `from` with a match, and its build row.
    #[inline]
    pub fn next_match(&self, span: &Span, from: u32) -> Option<(u32, u32)> {
        let position = match &self.seconds {
            None => from,
            Some(tree) => tree.next(from as usize, span.end as usize, span.second) as u32,
        };
        (position < span.end).then(|| (position, self.rows[position as usize]))
    }
}

/// A word of the second bound, turned around if need be: the condition is that it is at least the limit.
fn upward(condition: &RangeCondition, word: u64) -> u64 {
    if condition.at_least { word } else { !word }
}

/// Values, and the greatest of every 16, 256, … of them.
struct Tree {
    levels: Vec<Vec<u64>>,
}

impl Tree {
    fn new(values: Vec<u64>) -> Self {
        let mut levels = vec![values];
        while let Some(below) = levels.last().filter(|level| level.len() > FAN) {
            let next = below
                .chunks(FAN)
                .map(|c| c.iter().copied().max().unwrap_or(0))
                .collect();
            levels.push(next);
        }
        Self { levels }
    }

    fn memory_size(&self) -> usize {
        self.levels.iter().map(|level| level.len() * 8).sum()
    }

    /// The first position in `from..end` whose value is at least `limit`; `end` when there is none.
    #[inline]
    fn next(&self, from: usize, end: usize, limit: u64) -> usize {
        let mut at = from;
        while at < end {
            // Within the sixteen that `at` is in; then over as many as begin here.
            let stop = (at / FAN * FAN + FAN).min(end);
            match self.levels[0][at..stop].iter().position(|&value| value >= limit) {
                Some(offset) => return at + offset,
                None => at = self.skip(stop, end, limit),
            }
        }
        end
    }

    /// From `at`, where sixteen values begin, over all that are too small together.
    fn skip(&self, mut at: usize, end: usize, limit: u64) -> usize {
        let mut level = 1;
        let mut size = FAN;
        while at < end && level < self.levels.len() {
            if self.levels[level][at / size] >= limit {
                // It is in there: down again.
                if level == 1 {
                    return at;
                }
                (level, size) = (level - 1, size / FAN);
                continue;
            }
            at += size;
            while at.is_multiple_of(size * FAN) && level + 1 < self.levels.len() {
                (level, size) = (level + 1, size * FAN);
            }
        }
        at.min(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_finds_every_value_that_is_large_enough() {
        let mut random = fastrand::Rng::with_seed(3);
        for rows in [0, 1, 15, 16, 17, 300, 5000] {
            let values: Vec<u64> = (0..rows).map(|_| random.u64(..1000).pow(2)).collect();
            let tree = Tree::new(values.clone());
            for _ in 0..300 {
                let from = random.usize(..=rows);
                let end = random.usize(from..=rows);
                let limit = random.u64(900_000..1_000_000);
                let expected = (from..end).find(|&i| values[i] >= limit).unwrap_or(end);
                assert_eq!(tree.next(from, end, limit), expected, "{rows} rows, {from}..{end}");
            }
        }
    }
}
