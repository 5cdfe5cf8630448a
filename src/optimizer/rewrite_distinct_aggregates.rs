//! `count(DISTINCT x) … GROUP BY g` becomes two plain aggregations: by (g, x), then by g. Both run in parallel and spill
//! like any other, and no state holds a set per group.

use crate::config::Config;
use crate::error::Result;
use crate::functions::aggregate;
use crate::logical::{Aggregate, AggregateCall, Expr, LogicalPlan};
use crate::types::{DataType, Field};
use std::sync::Arc;

/// Rewrites aggregates whose DISTINCT calls all have the same arguments.
pub(super) fn rewrite_distinct_aggregates(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    plan.transform_up(&mut |node| match node {
        LogicalPlan::Aggregate(n) => {
            let n = without_idle_distinct(n);
            Ok(in_two_levels(&n).unwrap_or(LogicalPlan::Aggregate(n)))
        }
        other => Ok(other),
    })
}

/// DISTINCT changes nothing for extremes.
fn without_idle_distinct(mut n: Aggregate) -> Aggregate {
    for call in &mut n.aggregates {
        call.distinct &= !call.function.ignores_duplicates;
    }
    n
}

fn in_two_levels(n: &Aggregate) -> Option<LogicalPlan> {
    let distinct: Vec<&AggregateCall> = n.aggregates.iter().filter(|a| a.distinct).collect();
    let arguments = &distinct.first()?.arguments;
    let plain = |a: &&AggregateCall| a.filter.is_none() && a.order_by.is_empty() && a.arguments == *arguments;
    if n.grouping_sets.is_some() || !distinct.iter().all(plain) {
        return None;
    }
    // With groups only: the count of no rows is 0, but the sum of no counts is NULL.
    if n.groups.is_empty() && distinct.len() < n.aggregates.len() {
        return None;
    }
    let group_field = |e: &Expr| match e {
        Expr::Column(f) => f.clone(),
        other => Field::new("key", other.data_type(), other.nullable()),
    };
    let (mut inner_groups, mut fields): (Vec<Expr>, Vec<Field>) = (vec![], vec![]);
    let mut columns: Vec<Expr> = vec![];
    for e in n.groups.iter().chain(arguments) {
        // An argument that is also a group, or twice the same, is one column below.
        let known = inner_groups.iter().position(|g| g == e);
        let position = known.unwrap_or(inner_groups.len());
        if known.is_none() {
            fields.push(group_field(e));
            inner_groups.push(e.clone());
        }
        columns.push(Expr::Column(fields.get(position)?.clone()));
    }
    let (groups, distinct_arguments) = columns.split_at(n.groups.len());
    let (mut partial, mut outer) = (vec![], vec![]);
    for call in &n.aggregates {
        if call.distinct {
            outer.push(AggregateCall {
                arguments: distinct_arguments.to_vec(),
                distinct: false,
                ..call.clone()
            });
            continue;
        }
        let field = Field::new("partial", call.signature.result.clone(), true);
        outer.push(merge_call(call, &field)?);
        partial.push(call.clone());
        fields.push(field);
    }
    let below = LogicalPlan::Aggregate(Aggregate {
        input: n.input.clone(),
        groups: inner_groups,
        grouping_sets: None,
        aggregates: partial,
        schema: fields.into_iter().collect(),
    });
    Some(LogicalPlan::Aggregate(Aggregate {
        input: Arc::new(below),
        groups: groups.to_vec(),
        grouping_sets: None,
        aggregates: outer,
        schema: n.schema.clone(),
    }))
}

/// The call that puts results of `call` for parts of a group together, when there is one of the same type.
fn merge_call(call: &AggregateCall, partial: &Field) -> Option<AggregateCall> {
    let name = match call.function.name {
        "count" | "sum" if !is_float(&call.signature.result) => "sum",
        "min" => "min",
        "max" => "max",
        _ => return None,
    };
    let function = aggregate::find(name)?;
    let signature = (function.signature)(std::slice::from_ref(&partial.data_type), &[None]).ok()?;
    let same = signature.result == call.signature.result && signature.arguments == [partial.data_type.clone()];
    same.then(|| AggregateCall {
        function,
        arguments: vec![Expr::Column(partial.clone())],
        distinct: false,
        filter: None,
        order_by: vec![],
        signature,
    })
}

/// Sums of floats depend on the order; one level keeps it simple to reason about.
fn is_float(t: &DataType) -> bool {
    matches!(t, DataType::Float32 | DataType::Float64)
}
