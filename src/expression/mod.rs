//! Physical expressions: columns by position, compiled once per pipeline, evaluated per batch.

mod operator;
mod physical;
mod predicate;
pub mod pruning;
mod runtime_filter;

pub use operator::BinaryOp;
pub use physical::{ExpressionList, PhysicalExpr};
pub use predicate::Predicate;
pub use runtime_filter::{FilterBuilder, RuntimeFilter, Sealed};
