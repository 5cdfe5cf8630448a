//! Text → [`Statement`] → [`LogicalPlan`](crate::logical::LogicalPlan). Pure: never does IO.
//!
//! The way of a query: [`parse`] reads the text; [`table_references`] tells the session which tables and files it must
//! resolve (the last IO before execution); [`bind_query`] builds the plan from the resolved relations.

mod aggregate;
mod alter;
mod bind;
mod commands;
mod ddl;
mod dialect;
mod expr;
mod from;
mod from_first;
mod load;
mod parse;
#[cfg(test)]
mod parse_tests;
mod query;
mod recursive;
mod reference;
mod scope;
mod select;
mod set_operations;
mod statement;
#[cfg(test)]
mod tests;
mod tokens;
mod window;

pub use bind::{BindContext, bind_constant, bind_expression, bind_query};
pub use from::file_stem;
pub use parse::{parse, parse_expression, parse_query, parse_statement};
pub use reference::{Relation, TableReference, View, query_references, table_references};
pub use statement::*;
pub use tokens::{StatementText, is_complete, split_statements};
