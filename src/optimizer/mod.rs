//! The optimizer: rules, one file each, applied once in one ordered list. The plan is verified after every rule.
//!
//! A rule takes a plan and gives a plan with the same output columns (identities, types, order) and the same rows.

mod eliminate_trivial_plans;
mod freeze_stable_functions;
mod inline_ctes;
mod prune_columns;
mod push_down_filter;
mod push_down_limit;
mod reduce_outer_joins;
mod remove_unneeded_sorts;
mod reorder_joins;
mod replace_self_joins;
mod rewrite_distinct_aggregates;
mod share_common_plans;
mod simplify_expressions;
mod unnest_subqueries;
mod unwrap_comparisons;
mod verify;

use crate::config::Config;
use crate::error::Result;
use crate::logical::LogicalPlan;

/// One rewrite of the whole plan.
struct Rule {
    /// A verb phrase; `EXPLAIN (TYPE RULES)` shows it.
    name: &'static str,
    apply: fn(LogicalPlan, &Config) -> Result<LogicalPlan>,
    /// Runs also with `optimizer = false`: without it the plan cannot run, or would give another answer.
    needed: bool,
}

const fn rule(name: &'static str, apply: fn(LogicalPlan, &Config) -> Result<LogicalPlan>) -> Rule {
    Rule {
        name,
        apply,
        needed: false,
    }
}

const fn needed(name: &'static str, apply: fn(LogicalPlan, &Config) -> Result<LogicalPlan>) -> Rule {
    Rule {
        name,
        apply,
        needed: true,
    }
}

/// The rules that bring conditions to the tables, in the order in which they run, each with why it stands there.
static NARROWING: &[Rule] = &[
    // First, so that every mention of now() in the statement becomes the same constant.
    needed(
        "freeze_stable_functions",
        freeze_stable_functions::freeze_stable_functions,
    ),
    // Before unnesting, which wants NOT pushed down to EXISTS and IN.
    rule("simplify_expressions", simplify_expressions::simplify_expressions),
    needed("unnest_subqueries", unnest_subqueries::unnest_subqueries),
    rule("inline_ctes", inline_ctes::inline_ctes),
    rule("remove_unneeded_sorts", remove_unneeded_sorts::remove_unneeded_sorts),
    rule(
        "rewrite_distinct_aggregates",
        rewrite_distinct_aggregates::rewrite_distinct_aggregates,
    ),
    // Before pushing, which stops at outer joins; after unnesting, which makes some.
    rule("reduce_outer_joins", reduce_outer_joins::reduce_outer_joins),
    rule("push_down_filter", push_down_filter::push_down_filter),
    // Empty inputs found by pushing spread upwards.
    rule(
        "eliminate_trivial_plans",
        eliminate_trivial_plans::eliminate_trivial_plans,
    ),
];

/// The rules that look at statistics of tables, after the partitions that the conditions leave are listed.
static ORDERING: &[Rule] = &[
    // Before sharing, which would hide what a table and its aggregate have in common.
    rule("replace_self_joins", replace_self_joins::replace_self_joins),
    // While equal sub-plans still look equal: what is above them has not cut their columns yet.
    rule("share_common_plans", share_common_plans::share_common_plans),
    // So that the width of rows is known when joins are ordered.
    rule("prune_columns", prune_columns::prune_columns),
    rule("reorder_joins", reorder_joins::reorder_joins),
    rule("push_down_limit", push_down_limit::push_down_limit),
    rule(
        "eliminate_trivial_plans",
        eliminate_trivial_plans::eliminate_trivial_plans,
    ),
    // Last, because every other rule may leave columns without readers.
    rule("prune_columns", prune_columns::prune_columns),
];

/// Sees the name of each rule that changed the plan, and the plan after it.
pub type Trace<'a> = &'a mut dyn FnMut(&'static str, &LogicalPlan);

/// The first half of optimizing: conditions stand at the tables they are about. What it gives may be narrowed again.
///
/// # Errors
/// When a rule meets something it cannot express, or breaks the plan (a bug of ours).
pub fn narrow(plan: LogicalPlan, config: &Config, trace: Option<Trace>) -> Result<LogicalPlan> {
    apply_rules(NARROWING, plan, config, trace)
}

/// The second half: gives the plan that runs, with the same rows, found with less work.
///
/// # Errors
/// As [`narrow`].
pub fn order(plan: LogicalPlan, config: &Config, trace: Option<Trace>) -> Result<LogicalPlan> {
    apply_rules(ORDERING, plan, config, trace)
}

fn apply_rules(
    rules: &[Rule],
    mut plan: LogicalPlan,
    config: &Config,
    mut trace: Option<Trace>,
) -> Result<LogicalPlan> {
    let schema = plan.schema().clone();
    verify::verify(&plan, &schema).map_err(|e| e.context("the plan as bound"))?;
    for rule in rules.iter().filter(|r| r.needed || config.optimizer) {
        let before = trace.is_some().then(|| plan.clone());
        plan = (rule.apply)(plan, config)?;
        verify::verify(&plan, &schema).map_err(|e| e.context(rule.name))?;
        if let (Some(trace), Some(before)) = (trace.as_mut(), before)
            && before != plan
        {
            trace(rule.name, &plan);
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests;
