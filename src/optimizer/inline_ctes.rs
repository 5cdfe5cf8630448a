//! Replaces references to a common table expression by its definition where computing it once gains nothing.

use crate::config::Config;
use crate::error::Result;
use crate::logical::{CteId, CteReference, Expr, LogicalPlan, Project};
use std::sync::Arc;

/// Inlines definitions that are referenced once, or that cost nothing, and drops those that nobody references.
pub(super) fn inline_ctes(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    plan.transform_up(&mut |node| match node {
        LogicalPlan::Cte(n) if references(&n.body, n.id) <= 1 && !is_volatile(&n.definition) => {
            inline_references(n.id, &n.definition, Arc::unwrap_or_clone(n.body))
        }
        LogicalPlan::Cte(n) if matches!(*n.definition, LogicalPlan::Values(_)) => {
            inline_references(n.id, &n.definition, Arc::unwrap_or_clone(n.body))
        }
        other => Ok(other),
    })
}

fn references(plan: &LogicalPlan, id: CteId) -> usize {
    let mut count = 0;
    plan.visit(&mut |node| count += matches!(node, LogicalPlan::CteReference(r) if r.id == id) as usize);
    count
}

/// Whether some expression of the plan gives a new value at each call.
pub(super) fn is_volatile(plan: &LogicalPlan) -> bool {
    let mut found = false;
    plan.visit(&mut |node| found |= node.expressions().iter().any(|e| e.is_volatile()));
    found
}

/// `body` with a copy of the definition in the place of each reference to it.
pub(super) fn inline_references(id: CteId, definition: &LogicalPlan, body: LogicalPlan) -> Result<LogicalPlan> {
    body.transform_up(&mut |node| match node {
        LogicalPlan::CteReference(r) if r.id == id => copy_for(definition, r),
        other => Ok(other),
    })
}

fn copy_for(definition: &LogicalPlan, r: CteReference) -> Result<LogicalPlan> {
    let copy = definition.renewed()?;
    let expressions = r.columns.iter().filter_map(|&c| copy.schema().get(c)).cloned();
    let expressions = expressions.map(Expr::Column).collect();
    Ok(LogicalPlan::Project(Project {
        expressions,
        schema: r.schema,
        input: Arc::new(copy),
    }))
}
