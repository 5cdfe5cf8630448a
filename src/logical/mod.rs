//! The logical plan: what a query means, independent of how it runs.
//!
//! A plan is a tree of relational nodes over columns with identities ([`ColumnId`](crate::types::ColumnId)). Expressions
//! are typed when they are made and name columns by identity, so that rewrites never renumber anything.

mod builder;
mod display;
mod expr;
mod lower;
mod plan;
mod renew;
pub mod statistics;
mod typing;
mod visit;

pub use crate::expression::BinaryOp;
pub(crate) use builder::split_condition;
pub use builder::{PlanBuilder, Scope};
pub use expr::{
    AggregateCall, Expr, FrameBound, FrameUnits, Lambda, SortKey, Subquery, WindowCall, WindowFrame, WindowTarget,
};
pub use plan::{
    Aggregate, Cte, CteId, CteReference, Filter, Join, JoinHint, JoinKey, JoinKind, Limit, LogicalPlan, Project, Scan,
    Sort, Union, Unnest, Values, Window,
};
pub use typing::{comparable_type, constants, unified_type, unknown_function};
