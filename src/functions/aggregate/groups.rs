//! What the states of many groups have in common: which groups have a value, and loops over the rows that count.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;

/// Groups that fit the per-batch registers of [`count_rows`] and the sums.
pub(super) const FEW_GROUPS: usize = 64;

/// Which groups have met a value that is not NULL. As long as that holds for all groups nothing is stored: new groups
/// nearly always arrive with a value, in the order of their numbers.
#[derive(Debug)]
pub(super) enum Seen {
    /// All groups below this number.
    All(usize),
    Some(Vec<bool>),
}

impl Default for Seen {
    fn default() -> Self {
        Self::All(0)
    }
}

impl Seen {
    /// Notes the groups of all valid rows.
    pub fn mark(&mut self, groups: &[u32], group_count: usize, nulls: Option<&NullBuffer>) {
        if let Self::All(known) = self {
            if *known >= group_count {
                return;
            }
            // Counts the new groups whose first row comes in the order of their numbers.
            let mut next = *known as u32;
            match nulls {
                None => groups.iter().for_each(|&g| next += (g == next) as u32),
                Some(nulls) => {
                    let rows = groups.iter().zip(nulls.iter());
                    rows.for_each(|(&g, valid)| next += (valid && g == next) as u32);
                }
            }
            if next as usize == group_count {
                *known = group_count;
                return;
            }
            *self = Self::Some(vec![true; *known]);
        }
        if let Self::Some(seen) = self {
            grow(seen, group_count, false);
            for_each_valid(groups, nulls, |_, g| seen[g] = true);
        }
    }

    /// The validity of the first `group_count` groups; `None` when all are valid. Forgets everything.
    pub fn take(&mut self, group_count: usize) -> Option<NullBuffer> {
        match std::mem::take(self) {
            Self::All(known) if known >= group_count => None,
            Self::All(known) => Some((0..group_count).map(|g| g < known).collect()),
            Self::Some(mut seen) => {
                seen.resize(group_count, false);
                Some(NullBuffer::from(seen)).filter(|n| n.null_count() > 0)
            }
        }
    }

    pub fn memory_size(&self) -> usize {
        match self {
            Self::All(_) => 0,
            Self::Some(seen) => seen.capacity(),
        }
    }
}

/// Makes `states` at least `group_count` long.
#[inline]
pub(super) fn grow<T: Clone>(states: &mut Vec<T>, group_count: usize, fresh: T) {
    if states.len() < group_count {
        states.resize(group_count, fresh);
    }
}

/// Takes the first `group_count` states, fresh ones for groups that were never met.
pub(super) fn take_states<T: Clone>(states: &mut Vec<T>, group_count: usize, fresh: T) -> Vec<T> {
    let mut taken = std::mem::take(states);
    taken.resize(group_count, fresh);
    taken
}

/// The NULLs of an array; `None` when there are none.
pub(super) fn nulls_of(array: &ArrayRef) -> Option<NullBuffer> {
    array.logical_nulls().filter(|n| n.null_count() > 0)
}

/// Calls `each(row, group)` for the rows that are valid.
#[inline]
pub(super) fn for_each_valid(groups: &[u32], nulls: Option<&NullBuffer>, mut each: impl FnMut(usize, usize)) {
    match nulls {
        None => groups.iter().enumerate().for_each(|(row, &g)| each(row, g as usize)),
        Some(nulls) => nulls
            .valid_indices()
            .zip_groups(groups)
            .for_each(|(row, g)| each(row, g)),
    }
}

trait ZipGroups: Iterator<Item = usize> + Sized {
    /// Pairs row numbers with the rows' groups.
    fn zip_groups(self, groups: &[u32]) -> impl Iterator<Item = (usize, usize)> {
        self.filter_map(|row| Some((row, *groups.get(row)? as usize)))
    }
}

impl<I: Iterator<Item = usize>> ZipGroups for I {}

/// Adds the number of valid rows of each group to `counts`.
pub(super) fn count_rows(counts: &mut Vec<i64>, groups: &[u32], group_count: usize, nulls: Option<&NullBuffer>) {
    grow(counts, group_count, 0);
    if nulls.is_none() && group_count <= FEW_GROUPS {
        return count_few(counts, groups);
    }
    for_each_valid(groups, nulls, |_, g| counts[g] += 1);
}

/// Four registers for each group, so that rows of one group do not wait for each other's store.
fn count_few(counts: &mut [i64], groups: &[u32]) {
    let mut lanes = [[0i64; FEW_GROUPS]; 4];
    let quads = groups.chunks_exact(4);
    for &g in quads.remainder() {
        lanes[0][g as usize % FEW_GROUPS] += 1;
    }
    for quad in quads {
        for (lane, &g) in lanes.iter_mut().zip(quad) {
            lane[g as usize % FEW_GROUPS] += 1;
        }
    }
    for (g, count) in counts.iter_mut().take(FEW_GROUPS).enumerate() {
        *count += lanes.iter().map(|lane| lane[g]).sum::<i64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_without_value_are_null() {
        let mut seen = Seen::default();
        seen.mark(&[0, 1, 0, 2], 3, None);
        assert!(matches!(seen, Seen::All(3)));
        seen.mark(&[3, 4], 5, Some(&NullBuffer::from(vec![false, true])));
        assert_eq!(
            seen.take(6),
            Some(NullBuffer::from(vec![true, true, true, false, true, false]))
        );
        assert_eq!(seen.take(0), None);
    }

    #[test]
    fn few_groups_count_like_many() {
        let groups: Vec<u32> = (0..1003u32).map(|i| i * i % 7).collect();
        let (mut few, mut many) = (vec![], vec![]);
        count_rows(&mut few, &groups, 7, None);
        count_rows(&mut many, &groups, 1000, None);
        assert_eq!(few, many[..7]);
    }
}
