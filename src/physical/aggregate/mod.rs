//! Hash aggregation, in memory and beyond it.
//!
//! ```text
//! worker 1: batch ─▶ groups ─▶ accumulators ──(table full)──▶ partial states, cut into 64 partitions by hash
//! worker 2: batch ─▶ groups ─▶ accumulators ──(table full)──▶ partial states, cut into 64 partitions by hash
//!                                                   │ all rows seen
//!                                                   ▼
//!                    few groups: one merged table   │   many: each partition is merged by one worker of the next pipeline
//! ```
//!
//! When memory is short, partial states that lie in memory already go to disk first (`states`), last partitions first; then
//! tables do, before they have grown. A partition that does not fit while it is merged is written again, cut by other bits
//! of the hash, and so on (`merge`). Only the state of one group must fit.

mod local;
mod merge;
mod operator;
mod single;
mod states;
mod table;
#[cfg(test)]
mod tests;

pub use operator::HashAggregate;
pub use single::SingleAggregate;

use crate::error::Result;
use crate::expression::{ExpressionList, PhysicalExpr};
use crate::functions::aggregate::{Accumulator, AggregateFunction, AggregateSignature, OrderKey, create};
use crate::types::{DataType, ScalarValue};
use crate::vector::{Batch, Column};
use arrow::array::{ArrayRef, AsArray, BooleanArray, UInt32Array};
use std::sync::Arc;

/// One aggregate, its expressions as positions in the operator's expression list.
#[derive(Debug, Clone)]
pub struct PhysicalAggregate {
    pub function: &'static AggregateFunction,
    pub signature: AggregateSignature,
    pub arguments: Vec<usize>,
    /// The value of each argument that is a literal.
    pub constants: Vec<Option<ScalarValue>>,
    pub filter: Option<usize>,
    pub distinct: bool,
    /// ORDER BY inside the aggregate, and the positions of its expressions.
    pub order: Vec<OrderKey>,
    pub order_positions: Vec<usize>,
    /// Column types of the partial state.
    pub state: Vec<DataType>,
}

/// What an aggregation computes.
#[derive(Debug)]
pub struct AggregateSpec {
    /// The first `group_types.len()` expressions are the groups.
    pub expressions: ExpressionList,
    pub group_types: Vec<DataType>,
    pub group_nullable: Vec<bool>,
    pub aggregates: Vec<PhysicalAggregate>,
    /// With grouping sets, the ids of the sets without any group: each gives a row also when there is no input.
    pub empty_sets: Vec<i64>,
}

impl PhysicalAggregate {
    fn create(&self) -> Result<Box<dyn Accumulator>> {
        create(
            self.function,
            &self.signature,
            &self.constants,
            self.distinct,
            &self.order,
        )
    }

    /// The argument arrays (and order keys) of the rows that the aggregate counts, and which rows these are.
    fn inputs(&self, columns: &[Column]) -> Result<(Vec<ArrayRef>, Option<UInt32Array>)> {
        let positions = self.arguments.iter().chain(&self.order_positions);
        let mut arrays = positions.map(|&p| columns[p].to_array()).collect::<Result<Vec<_>>>()?;
        let Some(filter) = self.filter else {
            return Ok((arrays, None));
        };
        let keep = columns[filter].to_array()?;
        let keep: &BooleanArray = keep.as_boolean();
        let rows: UInt32Array = keep
            .iter()
            .enumerate()
            .filter(|(_, k)| *k == Some(true))
            .map(|(i, _)| i as u32)
            .collect();
        for array in &mut arrays {
            *array = arrow::compute::take(array, &rows, None)?;
        }
        Ok((arrays, Some(rows)))
    }
}

/// Fresh accumulators for all aggregates.
fn accumulators(spec: &AggregateSpec) -> Result<Vec<Box<dyn Accumulator>>> {
    spec.aggregates.iter().map(PhysicalAggregate::create).collect()
}

/// The value of every expression for every alive row.
fn evaluate(spec: &AggregateSpec, batch: &Batch) -> Result<Vec<Column>> {
    spec.expressions.evaluate(batch)
}

/// Cuts arrays of `rows` rows into batches.
fn into_batches(arrays: Vec<ArrayRef>, rows: usize, batch_rows: usize) -> Vec<Batch> {
    let all = Batch::from_arrays(arrays, rows);
    (0..rows)
        .step_by(batch_rows.max(1))
        .map(|start| all.slice(start, batch_rows.min(rows - start)))
        .collect()
}

/// For the planner: an expression list and the spec around it.
impl AggregateSpec {
    pub fn new(
        expressions: Vec<PhysicalExpr>,
        groups: usize,
        group_nullable: Vec<bool>,
        aggregates: Vec<PhysicalAggregate>,
        empty_sets: Vec<i64>,
    ) -> Arc<Self> {
        let group_types = expressions.iter().take(groups).map(PhysicalExpr::data_type).collect();
        Arc::new(Self {
            expressions: ExpressionList::new(expressions),
            group_types,
            group_nullable,
            aggregates,
            empty_sets,
        })
    }
}
