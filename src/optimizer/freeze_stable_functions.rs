//! Replaces functions that have one value per statement, such as `now()`, by that value.

use super::simplify_expressions::{evaluate_constant, map_subqueries};
use crate::config::Config;
use crate::error::Result;
use crate::functions::scalar::Properties;
use crate::logical::{Expr, LogicalPlan};

/// Calls each stable function once per statement, however often it is mentioned.
pub(super) fn freeze_stable_functions(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    let mut known: Vec<(Expr, Expr)> = vec![];
    freeze(plan, &mut known)
}

fn freeze(plan: LogicalPlan, known: &mut Vec<(Expr, Expr)>) -> Result<LogicalPlan> {
    plan.transform_expressions(&mut |e| {
        e.transform(&mut |e| {
            let e = map_subqueries(e, &mut |plan| freeze(plan, known))?;
            let stable = matches!(&e, Expr::Function { function, .. } if function.properties == Properties::Stable);
            if !stable {
                return Ok(e);
            }
            if let Some((_, value)) = known.iter().find(|(call, _)| *call == e) {
                return Ok(value.clone());
            }
            match evaluate_constant(&e) {
                Some(value) => {
                    known.push((e, value.clone()));
                    Ok(value)
                }
                None => Ok(e),
            }
        })
    })
}
