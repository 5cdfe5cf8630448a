//! Aggregate functions over groups numbered 0, 1, 2, …
//!
//! An [`AggregateFunction`] describes; its [`Accumulator`] holds the states of all groups of one call in plain vectors
//! indexed by group. [`create`] adds what the call asks for around it: DISTINCT and ORDER BY.

mod checksum;
mod collect;
mod count;
mod encoding;
mod extreme;
mod groups;
mod keys;
mod logic;
mod maps;
mod modifiers;
mod moments;
#[cfg(test)]
mod properties;
mod rows;
mod sketches;
mod sum;

pub(crate) use keys::{KeySet, canonical};
pub(crate) use rows::{by_group, unshared};
pub(crate) use sum::Totals;

pub use modifiers::{OrderKey, create, distinct, ordered, state_types};

use super::{Documentation, wrong_arguments};
use crate::error::Result;
use crate::types::{DataType, ScalarValue};
use arrow::array::ArrayRef;

/// A function of a set of rows.
pub struct AggregateFunction {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub doc: Documentation,
    /// Chooses the overload for the argument types. Constant arguments (a percentile) are given in `constants`.
    pub signature: ChooseOverload,
    /// A fresh accumulator without groups.
    pub create: CreateAccumulator,
    /// Whether duplicates change nothing (`min`, `max`): DISTINCT is then dropped.
    pub ignores_duplicates: bool,
    /// Whether the order of input rows shows in the result (`array_agg`, `listagg`).
    pub order_sensitive: bool,
}

/// From argument types and constant arguments to an overload.
pub type ChooseOverload = fn(&[DataType], constants: &[Option<ScalarValue>]) -> Result<AggregateSignature>;
/// From an overload and constant arguments to an accumulator.
pub type CreateAccumulator = fn(&AggregateSignature, constants: &[Option<ScalarValue>]) -> Result<Box<dyn Accumulator>>;

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
///
/// Arrays are plain (never dictionary-coded) and of the types that the signature names; arrays after those are ignored.
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
pub static FUNCTIONS: &[AggregateFunction] = &[
    count::COUNT,
    count::COUNT_IF,
    sum::SUM,
    sum::AVG,
    extreme::MIN,
    extreme::MAX,
    extreme::ANY_VALUE,
    extreme::MIN_BY,
    extreme::MAX_BY,
    collect::ARRAY_AGG,
    collect::COLLECT_LIST,
    collect::COLLECT_SET,
    collect::LISTAGG,
    maps::HISTOGRAM,
    maps::MAP_AGG,
    maps::MAP_UNION,
    maps::MULTIMAP_AGG,
    sketches::APPROX_DISTINCT,
    sketches::APPROX_PERCENTILE,
    sketches::PERCENTILE,
    sketches::MEDIAN,
    checksum::CHECKSUM,
    logic::BOOL_AND,
    logic::BOOL_OR,
    logic::BITWISE_AND_AGG,
    logic::BITWISE_OR_AGG,
    logic::BITWISE_XOR_AGG,
    moments::STDDEV,
    moments::STDDEV_POP,
    moments::VARIANCE,
    moments::VAR_POP,
    moments::SKEWNESS,
    moments::KURTOSIS,
    moments::GEOMETRIC_MEAN,
    moments::ENTROPY,
    moments::CORR,
    moments::COVAR_POP,
    moments::COVAR_SAMP,
    moments::REGR_SLOPE,
    moments::REGR_INTERCEPT,
    moments::REGR_R2,
    moments::REGR_COUNT,
    moments::REGR_AVGX,
    moments::REGR_AVGY,
    moments::REGR_SXX,
    moments::REGR_SYY,
    moments::REGR_SXY,
];

/// The function of that name (lower case).
pub fn find(name: &str) -> Option<&'static AggregateFunction> {
    FUNCTIONS.iter().find(|f| f.name == name || f.aliases.contains(&name))
}

impl AggregateFunction {
    /// A function whose result depends on how often a value comes, and not on the order of rows.
    const fn new(
        name: &'static str,
        aliases: &'static [&'static str],
        doc: Documentation,
        signature: ChooseOverload,
        create: CreateAccumulator,
    ) -> Self {
        Self {
            name,
            aliases,
            doc,
            signature,
            create,
            ignores_duplicates: false,
            order_sensitive: false,
        }
    }

    const fn ignoring_duplicates(mut self) -> Self {
        self.ignores_duplicates = true;
        self
    }

    const fn in_row_order(mut self) -> Self {
        self.order_sensitive = true;
        self
    }
}

const fn documented(
    signature: &'static str,
    summary: &'static str,
    query: &'static str,
    result: &'static str,
) -> Documentation {
    Documentation {
        signature,
        summary,
        example: (query, result),
    }
}

fn signature(arguments: &[DataType], state: &[DataType], result: DataType) -> AggregateSignature {
    AggregateSignature {
        arguments: arguments.to_vec(),
        state: state.to_vec(),
        result,
    }
}

/// The only argument's type, or the error that names what was found.
fn one_argument<'a>(function: &AggregateFunction, found: &'a [DataType]) -> Result<&'a DataType> {
    match found {
        [t] => Ok(t),
        _ => Err(wrong_arguments(function.name, function.doc.signature, found)),
    }
}

impl std::fmt::Debug for AggregateFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
