//! Aggregate functions over groups numbered 0, 1, 2, …

use super::Documentation;
use crate::error::Result;
use crate::types::{DataType, ScalarValue};
use arrow::array::ArrayRef;

/// A function of a set of rows.
pub struct AggregateFunction {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub doc: Documentation,
    /// Chooses the overload for the argument types. Constant arguments (a percentile) are given in `constants`.
    pub signature: fn(&[DataType], constants: &[Option<ScalarValue>]) -> Result<AggregateSignature>,
    /// A fresh accumulator without groups.
    pub create: fn(&AggregateSignature, constants: &[Option<ScalarValue>]) -> Result<Box<dyn Accumulator>>,
    /// Whether duplicates change nothing (`min`, `max`): DISTINCT is then dropped.
    pub ignores_duplicates: bool,
    /// Whether the order of input rows shows in the result (`array_agg`, `listagg`).
    pub order_sensitive: bool,
}

/// A resolved overload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateSignature {
    pub arguments: Vec<DataType>,
    /// Column types of the partial state.
    pub state: Vec<DataType>,
    pub result: DataType,
}

/// The states of one aggregate for all groups. States of two accumulators of the same signature can be merged in any
/// order; `state` gives them as plain columns, one row per group, so that they can be exchanged and spilled.
pub trait Accumulator: Send {
    /// Adds rows: row `i` of each argument array belongs to group `groups[i]`. Groups below `group_count` exist afterwards.
    fn update(&mut self, arguments: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()>;
    /// Adds `rows` rows that all belong to group 0; the aggregate without GROUP BY.
    fn update_single(&mut self, arguments: &[ArrayRef], rows: usize) -> Result<()> {
        self.update(arguments, &vec![0; rows], 1)
    }
    /// Adds partial states made by `state`: row `i` of each array belongs to group `groups[i]`.
    fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: usize) -> Result<()>;
    /// Takes the partial states of all `group_count` groups (groups never updated included) and leaves no group behind.
    fn state(&mut self, group_count: usize) -> Result<Vec<ArrayRef>>;
    /// Takes the results of all `group_count` groups and leaves no group behind.
    fn finish(&mut self, group_count: usize) -> Result<ArrayRef>;
    /// Bytes allocated.
    fn memory_size(&self) -> usize;
}

/// All aggregate functions.
pub static FUNCTIONS: &[AggregateFunction] = &[];

/// The function of that name (lower case).
pub fn find(name: &str) -> Option<&'static AggregateFunction> {
    FUNCTIONS.iter().find(|f| f.name == name || f.aliases.contains(&name))
}

impl std::fmt::Debug for AggregateFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
