//! Range conditions of joins, such as `a.x BETWEEN b.lo AND b.hi`, looked up in sorted build rows.
//!
//! ```text
//! build rows in the order of one bound, beneath a tree that knows the greatest other bound of every 16, 256, … rows:
//!
//!   lo   1   3   4   4   7   9  …          probe row x = 8:  lo ≤ 8 are the positions 0..5;
//!   hi   2   9   5   8   7  12  …          the tree leads to those of them with hi ≥ 8: 1 and 3
//! ```
//!
//! The matches of a probe row are enumerated in about O(log n + matches), whatever the kind of the join and its further
//! conditions: the rows found are candidate pairs like those of a hash table. Beside equalities, build rows are in the order
//! of their key first, and the key's rows are found by the hash table; that is done when keys have many rows.
//!
//! What lies beyond the outermost bounds of the build side has no partner: runtime filters say so to the probe side's scans
//! ([`RangeFilter`]).
//!
//! Values become words that sort like them ([`words`]). NULL and NaN fulfil no condition and are in no index.

mod filter;
mod index;
mod words;

pub use filter::{RangeFilter, outermost};
pub use index::{RangeIndex, Span};
pub use words::{numbers, ordered_type};

use crate::error::Result;
use crate::expression::{ExpressionList, Predicate};
use crate::types::DataType;
use crate::vector::{Batch, Column};

/// Bytes per row that an index takes: position, first bound, tree, group.
const INDEX_BYTES: usize = 4 + 8 + 9 + 8;
/// Bytes per row while it is made: the rows to be sorted, and the words of both bounds.
const SORT_BYTES: usize = 16 + 2 * 16;

/// The range conditions of a join, over expressions of one side each.
#[derive(Debug)]
pub struct RangeSpec {
    /// The build side's bounds, one or two: the first one sorts the rows, the second one is in the tree.
    pub bounds: ExpressionList,
    /// As what each bound and its values are compared.
    pub types: Vec<DataType>,
    pub conditions: Vec<RangeCondition>,
    /// The probe side's value of each condition.
    pub values: ExpressionList,
    /// What else must be true of a pair, over the probe side's columns followed by the build side's.
    pub rest: Option<Predicate>,
}

impl RangeSpec {
    /// Bytes that an index of the batch's rows takes at most.
    pub fn index_bytes(&self, batch: &Batch) -> Result<usize> {
        let mut bytes = batch.len() * (INDEX_BYTES + SORT_BYTES);
        if self
            .types
            .iter()
            .any(|t| t.is_string() || t.is_binary() || matches!(t, DataType::Decimal128(..)))
        {
            bytes += self
                .bounds
                .evaluate(batch)?
                .iter()
                .map(Column::memory_size)
                .sum::<usize>();
        }
        Ok(bytes)
    }
}

/// `bound ≥ value` and the like. Any number of the first bound, one of the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeCondition {
    /// Position in [`RangeSpec::bounds`].
    pub bound: usize,
    /// The bound must be at least the value, or else at most.
    pub at_least: bool,
    /// Equality fulfils it.
    pub inclusive: bool,
}
