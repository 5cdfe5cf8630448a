//! Sort and top-N, in memory and beyond it.
//!
//! ```text
//! every worker:  batches ─▶ blocks ─▶ … memory is short? sort them, write a run to disk, begin again
//! finish:        all in memory: sort the blocks of every worker          some on disk: the others follow; while there
//!                                                                        are more runs than can be merged, merge some
//! source:        splitters cut all runs into ranges; every range is a partition, merged by one worker
//!
//!                run 0  ····│········│·····          partition 0 │ partition 1 │ partition 2
//!                run 1  ·······│···│·······    ─▶    loser tree over (packed key, run), rows gathered column by column
//!                run 2  ··│··········│·····
//! ```
//!
//! Rows are kept in blocks ([`crate::vector::block`]) and keys as packed integers ([`keys`]). The packing of a run that goes
//! to disk fits that run; the merge packs the keys again in a way that fits all runs. With a `fetch`, rows after the bound
//! of the best `fetch` rows seen so far are not kept at all. Where runs do not overlap they are not merged row by row, and a
//! sort whose rows need not be merged takes what comes in order for runs as they are ([`in_order`]). Rows that were sorted in
//! memory and wait for their pipeline become runs on disk when another operator needs their memory.

mod in_order;
mod keys;
mod loser_tree;
mod merge;
mod order;
mod ranges;
mod sink;

use super::pipeline::{Sink, Source};
use crate::error::Result;
use crate::expression::PhysicalExpr;
use crate::runtime::{Operator, QueryContext};
use crate::types::DataType;
use crate::vector::block::{Block, Layout};
use keys::{KeyColumn, KeyPlan};
pub use ranges::{SortedPart, SortedRanges, SortedRows, sort_for_ranges};
use std::sync::Arc;

/// A sort key: expression over the input, descending, NULLs first.
pub type SortKey = (PhysicalExpr, bool, bool);

/// The sink and the source of a sort. Rows in: columns of `types`. Rows out: the same, in order; with `fetch` only the
/// first `fetch` rows. The source's partitions are ascending ranges. Equal rows come in any order.
///
/// # Errors
/// `Unsupported` for a column of a type that cannot be kept.
pub fn sort(
    types: &[DataType],
    keys: Vec<SortKey>,
    fetch: Option<u64>,
    context: &QueryContext,
) -> Result<(Arc<dyn Sink>, Arc<dyn Source>)> {
    let specification = Specification::new(types, keys, fetch, context)?;
    let shared = Arc::new(sink::Shared::new(specification, context));
    Ok((
        Arc::new(sink::SortSink::new(shared.clone())),
        Arc::new(merge::SortSource::new(shared)),
    ))
}

/// What all parts of one sort know.
#[derive(Debug)]
struct Specification {
    /// The input's columns, then a column for each key that is not one of them.
    layout: Arc<Layout>,
    /// Columns given out: the input's.
    width: usize,
    keys: Vec<KeyColumn>,
    /// The expressions of the layout's columns from `width` on.
    computed: Vec<PhysicalExpr>,
    fetch: Option<u64>,
    /// Whether the rows are given out in order, so that there must not be more runs than can be merged.
    merges: bool,
    /// Memory that a block may take before the next one is begun.
    block_bytes: usize,
    /// Memory of a block on disk once it is read. Small, because a merge holds one of each run.
    run_block_bytes: usize,
    operator: Arc<Operator>,
}

impl Specification {
    fn new(types: &[DataType], keys: Vec<SortKey>, fetch: Option<u64>, context: &QueryContext) -> Result<Self> {
        let mut types = types.to_vec();
        let width = types.len();
        let mut columns = vec![];
        let mut computed = vec![];
        for (expr, descending, nulls_first) in keys {
            let data_type = expr.data_type();
            let column = match &expr {
                PhysicalExpr::Column { index, .. } if *index < width => *index,
                PhysicalExpr::Literal(..) => continue,
                _ => {
                    types.push(data_type.clone());
                    computed.push(expr);
                    types.len() - 1
                }
            };
            columns.push(KeyColumn::new(column, &data_type, descending, nulls_first));
        }
        let of_worker = context.memory.limit() / context.threads();
        Ok(Self {
            layout: Layout::new(&types)?,
            width,
            keys: columns,
            computed,
            fetch,
            merges: true,
            block_bytes: (of_worker / 64).clamp(8 << 10, 1 << 20),
            run_block_bytes: (of_worker / 512).clamp(8 << 10, 1 << 20),
            operator: context.memory.operator("Sort"),
        })
    }

    fn plan(&self, statistics: &[keys::KeyStatistics]) -> KeyPlan {
        KeyPlan::new(self.keys.clone(), statistics, &self.layout)
    }

    /// Rows of up to `most` that may be gathered into one block without its strings becoming too long.
    fn rows_at_once(&self, blocks: &[&Block], most: usize) -> usize {
        let longest = blocks.iter().map(|b| b.longest_row()).max().unwrap_or(0);
        most.min((64 << 20) / longest.max(1)).max(1)
    }
}

#[cfg(test)]
mod tests;
