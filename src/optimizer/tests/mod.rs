//! Plans before and after, as text, over the TPC-H schema with the statistics of scale factor 10.

mod rules;
mod self_joins;
mod subqueries;
mod tables;
mod tpch;

use super::{narrow, order};
use crate::config::Config;
use crate::error::Result;
use crate::logical::{Expr, LogicalPlan, PlanBuilder};
use crate::types::Field;

fn optimize(plan: LogicalPlan, config: &Config) -> Result<LogicalPlan> {
    order(narrow(plan, config, None)?, config, None)
}

/// The plan as text after all rules.
fn optimized(plan: LogicalPlan) -> String {
    optimize(plan, &Config::default())
        .unwrap_or_else(|e| panic!("{e}"))
        .to_string()
}

/// The plan as text after the rules that always run.
fn only_needed(plan: LogicalPlan) -> String {
    let config = Config {
        optimizer: false,
        ..Config::default()
    };
    optimize(plan, &config).unwrap_or_else(|e| panic!("{e}")).to_string()
}

fn col(plan: &PlanBuilder, name: &str) -> Expr {
    Expr::Column(field(plan, name))
}

fn field(plan: &PlanBuilder, name: &str) -> Field {
    plan.schema()
        .iter()
        .find(|f| *f.name == *name)
        .expect("a column")
        .clone()
}
