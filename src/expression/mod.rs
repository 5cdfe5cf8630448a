//! Physical expressions: columns by position, compiled once per pipeline, evaluated per batch.

mod evaluate;
mod lambda;
mod operator;
mod physical;
mod predicate;
mod program;
pub mod pruning;
mod runtime_filter;
#[cfg(test)]
mod tests;

pub use operator::BinaryOp;
pub use physical::{ExpressionList, PhysicalExpr};
pub use predicate::Predicate;
pub use runtime_filter::{FilterBuilder, RuntimeFilter, Sealed, has_integer_bounds, integer_bounds};
