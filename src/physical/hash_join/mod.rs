//! Hash joins, and joins without keys.
//!
//! ```text
//! build pipeline:  … ─▶ Build (sink): rows of the build side ─▶ JoinTable, shared by all workers
//! probe pipeline:  … ─▶ Probe (transform): each row looks up its partners ─▶ pairs ─▶ …
//! afterwards:      UnmatchedScan (source): build rows by whether they had a partner, for outer, semi, anti, mark on the build side
//! ```

mod build;
mod probe;
mod table;
mod unmatched;

pub use build::BuildSink;
pub use probe::Probe;
pub use table::JoinTable;
pub use unmatched::UnmatchedScan;

use crate::expression::{ExpressionList, FilterBuilder, Predicate};
use crate::types::DataType;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};

/// What comes out, told from the point of view of the side that probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinOutput {
    /// Matching pairs; with `probe_outer` also probe rows without partner, with `build_outer` also such build rows.
    Pairs {
        probe_outer: bool,
        build_outer: bool,
    },
    /// As pairs with `probe_outer`; a second partner is an error (scalar subquery).
    ProbeSingle,
    /// Probe rows that have a partner, or have none.
    ProbeSemi,
    ProbeAnti,
    /// Every probe row and whether it has a partner.
    ProbeMark,
    /// Build rows that have a partner, or have none, or all with a mark; given out after the probing.
    BuildSemi,
    BuildAnti,
    BuildMark,
}

impl JoinOutput {
    /// Whether build rows are given out after the probing, by whether they had a partner.
    pub fn emits_build_rows(self) -> bool {
        matches!(
            self,
            Self::BuildSemi | Self::BuildAnti | Self::BuildMark | Self::Pairs { build_outer: true, .. }
        )
    }
}

/// A column of a join's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinColumn {
    /// Position in the probe side's batches.
    Probe(usize),
    /// Position in the build side's batches.
    Build(usize),
    Mark,
}

/// What both sides of a join agree on.
#[derive(Debug)]
pub struct JoinSpec {
    pub output: JoinOutput,
    /// The key expressions of each side, in the same order; none at all makes every pair a candidate.
    pub probe_keys: ExpressionList,
    pub build_keys: ExpressionList,
    pub key_types: Vec<DataType>,
    /// Per key: NULL equals NULL.
    pub null_safe: Vec<bool>,
    /// NULL keys make a match unknown (`NOT IN`); only with a single key.
    pub null_aware: bool,
    /// What else must be true of a pair, over the probe side's columns followed by the build side's.
    pub filter: Option<Predicate>,
    pub columns: Vec<JoinColumn>,
    pub probe_types: Vec<DataType>,
    pub build_types: Vec<DataType>,
}

/// A join in the making: the spec, the table once it is built, and the runtime filters to fill.
pub struct Join {
    pub spec: JoinSpec,
    pub table: OnceLock<Arc<JoinTable>>,
    /// Key position and builder; taken when the build side is complete.
    pub filters: Mutex<Vec<(usize, FilterBuilder)>>,
}

impl Join {
    pub fn new(spec: JoinSpec, filters: Vec<(usize, FilterBuilder)>) -> Arc<Self> {
        Arc::new(Self {
            spec,
            table: OnceLock::new(),
            filters: Mutex::new(filters),
        })
    }
}
