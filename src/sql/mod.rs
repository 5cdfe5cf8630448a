//! Text → [`Statement`] → [`LogicalPlan`](crate::logical::LogicalPlan). Pure: never does IO.
//!
//! The way of a query: [`parse`] reads the text; [`table_references`] tells the session which tables and files it must
//! resolve (the last IO before execution); [`bind_query`] builds the plan from the resolved relations.

mod commands;
mod ddl;
mod dialect;
mod parse;
mod statement;
mod tokens;

pub use parse::{parse, parse_query, parse_statement};
pub use statement::*;
pub use tokens::{StatementText, is_complete, split_statements};
