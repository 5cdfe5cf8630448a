//! Merge joins: both sides in the order of the key, joined range of keys by range of keys.
//!
//! ```text
//! build side:  … ─▶ OrderKey ─▶ KeySink: sorted runs by order key; runtime filters of all keys
//! probe side:  … ─▶ OrderKey ─▶ sorted runs by order key
//! afterwards:  keys that both sides were sampled for cut all runs into ranges; each range is a task of the join
//!
//!   build runs  ····│··········│······│···      a range's build rows become a small table, its probe rows pass by;
//!   probe runs  ··│·····│··│·············       rows of a range are read from every run and need not be merged
//! ```
//!
//! The order key is a bigint: the value of a single number, date or timestamp, otherwise the hash of the keys; equal keys
//! have equal order keys, which is all that a join needs. Rows that come in the order of the key, as those of sorted files
//! do, are not sorted: they are runs as they are ([`sort`](super::sort)). A range whose build rows do not fit into memory, because one key
//! has them, is joined in chunks, and its probe rows pass once for each; several workers share such a range. Kinds of
//! joins and further conditions are those of the table ([`hash_join`](super::hash_join)).

mod key;

pub use key::{KeySink, OrderKey};

use super::hash_join::{Join, Part, Task, TaskScan};
use super::sort::SortedRanges;
use crate::error::Result;
use crate::runtime::QueryContext;
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows of a range at least, so that the ends of runs that it shares with others do not matter.
const RANGE_ROWS: usize = 1 << 18;

/// Joins two finished sorts.
pub fn merge_scan(join: Arc<Join>, build: SortedRanges, probe: SortedRanges) -> TaskScan {
    let begin = {
        let join = join.clone();
        move |context: &QueryContext| {
            let tasks = tasks(&join, &build, &probe, context)?;
            join.note_merged(tasks.len(), not_sorted(build.came_in_order()?, probe.came_in_order()?));
            Ok(tasks)
        }
    };
    TaskScan::new(join, Box::new(begin), Box::new(|_, _, _| Ok(None)))
}

/// For EXPLAIN ANALYZE: which sides were not sorted, because they came in order.
fn not_sorted(build: bool, probe: bool) -> &'static str {
    match (build, probe) {
        (true, true) => ", both sides in order, not sorted",
        (true, false) => ", build side in order, not sorted",
        (false, true) => ", probe side in order, not sorted",
        (false, false) => "",
    }
}

/// A task for each range of keys.
fn tasks(join: &Join, build: &SortedRanges, probe: &SortedRanges, context: &QueryContext) -> Result<VecDeque<Task>> {
    let cuts = cuts(join, build, probe, context)?;
    let lower = std::iter::once(i64::MIN).chain(cuts.iter().copied());
    let upper = cuts.iter().copied().map(Some).chain([None]);
    let mut tasks = VecDeque::new();
    for (lower, upper) in lower.zip(upper) {
        let task = Task {
            build: build.parts(lower, upper)?.into_iter().map(Part::Sorted).collect(),
            probe: probe.parts(lower, upper)?.into_iter().map(Part::Sorted).collect(),
            level: 0,
            divisible: false,
        };
        if task.is_worthwhile(join) {
            tasks.push_back(task);
        }
    }
    Ok(tasks)
}

/// Keys that cut both sides into ranges: few enough build rows for memory, few enough rows for every worker to have some.
fn cuts(join: &Join, build: &SortedRanges, probe: &SortedRanges, context: &QueryContext) -> Result<Vec<i64>> {
    let of_side = |side: &SortedRanges, builds: bool| -> Result<Vec<(i64, usize, bool)>> {
        Ok(side
            .sample()?
            .into_iter()
            .map(|(key, rows)| (key, rows, builds))
            .collect())
    };
    let mut sample = of_side(build, true)?;
    sample.extend(of_side(probe, false)?);
    sample.sort_unstable();
    let rows: usize = sample.iter().map(|s| s.1).sum();
    let row_bytes = build.row_bytes()? + join.index_row_bytes();
    let fitting = join.fair_room() / context.threads() / 2 / row_bytes.max(1);
    let least = if context.config.debug_force_spill {
        1
    } else {
        RANGE_ROWS
    };
    let most = (rows / (context.threads() * 4)).max(least);
    let mut cuts = vec![];
    let (mut build_rows, mut all_rows) = (0, 0);
    let mut last = None;
    for (key, rows, builds) in sample {
        if last.is_some_and(|last| last != key) && (build_rows >= fitting || all_rows >= most) {
            cuts.push(key);
            (build_rows, all_rows) = (0, 0);
        }
        last = Some(key);
        all_rows += rows;
        build_rows += if builds { rows } else { 0 };
    }
    Ok(cuts)
}
