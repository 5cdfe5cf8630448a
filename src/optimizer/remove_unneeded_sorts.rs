//! Removes sorts whose order nobody sees: in subqueries, below joins, aggregates and other sorts.

use crate::config::Config;
use crate::error::Result;
use crate::logical::{Cte, LogicalPlan};
use std::sync::Arc;

/// Keeps the sorts that decide the order of the result or which rows a limit takes.
pub(super) fn remove_unneeded_sorts(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    remove(plan, true)
}

/// `seen` says whether the order of the rows of `plan` matters.
fn remove(plan: LogicalPlan, seen: bool) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Sort(n) if !seen && n.fetch.is_none() => remove(Arc::unwrap_or_clone(n.input), false),
        LogicalPlan::Limit(_) => plan.map_inputs(&mut |input| remove(input, true)),
        LogicalPlan::Project(_) | LogicalPlan::Filter(_) | LogicalPlan::Unnest(_) => {
            plan.map_inputs(&mut |input| remove(input, seen))
        }
        LogicalPlan::Cte(n) => Ok(LogicalPlan::Cte(Cte {
            definition: Arc::new(remove(Arc::unwrap_or_clone(n.definition), false)?),
            body: Arc::new(remove(Arc::unwrap_or_clone(n.body), seen)?),
            ..n
        })),
        other => other.map_inputs(&mut |input| remove(input, false)),
    }
}
