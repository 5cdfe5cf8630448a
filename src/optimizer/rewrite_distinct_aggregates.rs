//! `count(DISTINCT x) … GROUP BY g` becomes two plain aggregations: by (g, x), then by g. Both run in parallel and spill
//! like any other, and no state holds a set per group.
//!
//! Without groups one set would be all that there is, so there different arguments take two levels as well:
//!
//! ```text
//! count(DISTINCT a), count(DISTINCT b), sum(c)
//!     count(a) of the rows of set (a), count(b) of those of set (b), the sum of that of set ()
//!         GROUP BY GROUPING SETS ((a), (b), ()) compute sum(c)
//! ```

use crate::config::Config;
use crate::error::Result;
use crate::functions::aggregate;
use crate::logical::statistics::estimate;
use crate::logical::{Aggregate, AggregateCall, Expr, LogicalPlan};
use crate::types::{DataType, Field, ScalarValue};
use std::sync::Arc;

/// The grouping id has a bit for each column.
const MOST_SET_COLUMNS: usize = 60;
/// Bytes of a value in a set, and of the copies that merging makes.
const SET_ENTRY: f64 = 128.0;

/// Rewrites aggregates whose DISTINCT calls all have the same arguments.
pub(super) fn rewrite_distinct_aggregates(plan: LogicalPlan, config: &Config) -> Result<LogicalPlan> {
    plan.transform_up(&mut |node| match node {
        LogicalPlan::Aggregate(n) => {
            let n = without_idle_distinct(n);
            let rewritten = in_two_levels(&n).or_else(|| by_grouping_sets(&n, config));
            Ok(rewritten.unwrap_or(LogicalPlan::Aggregate(n)))
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
        // A separator must stay a literal.
        if e.is_literal() && columns.len() >= n.groups.len() {
            columns.push(e.clone());
            continue;
        }
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

fn by_grouping_sets(n: &Aggregate, config: &Config) -> Option<LogicalPlan> {
    let plain = |a: &AggregateCall| a.filter.is_none() && a.order_by.is_empty();
    let distinct = n.aggregates.iter().filter(|a| a.distinct);
    if !n.groups.is_empty()
        || n.grouping_sets.is_some()
        || distinct.clone().count() == 0
        || !distinct.clone().all(plain)
    {
        return None;
    }
    if few_values(n, config.operator_memory() / 16 / config.threads.max(1)) {
        return None;
    }
    let mut groups: Vec<Expr> = vec![];
    let mut sets: Vec<Vec<usize>> = vec![];
    for call in distinct {
        let arguments = call.arguments.iter().filter(|e| !e.is_literal());
        groups.extend(arguments.filter(|e| !groups.contains(e)).cloned().collect::<Vec<_>>());
        let set = positions(&groups, call);
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    if groups.len() > MOST_SET_COLUMNS || sets.iter().any(Vec::is_empty) {
        return None;
    }
    if n.aggregates.iter().any(|a| !a.distinct) {
        sets.push(vec![]);
    }
    let keys: Vec<Field> = groups.iter().map(|e| Field::new("key", e.data_type(), true)).collect();
    let id = Field::new("grouping_id", DataType::Int64, false);
    let of_set = |set: &[usize]| {
        let outside = (0..groups.len()).filter(|i| !set.contains(i));
        let number = outside.fold(0i64, |id, i| id | 1 << (groups.len() - 1 - i));
        Expr::equal(Expr::Column(id.clone()), Expr::literal(ScalarValue::Int64(number)))
    };
    let mut fields: Vec<Field> = keys.iter().chain([&id]).cloned().collect();
    let (mut partial, mut outer) = (vec![], vec![]);
    for call in &n.aggregates {
        if call.distinct {
            let column = |e: &Expr| match groups.iter().position(|g| g == e) {
                Some(i) => keys.get(i).cloned().map(Expr::Column),
                None => Some(e.clone()),
            };
            outer.push(AggregateCall {
                arguments: call.arguments.iter().map(column).collect::<Option<_>>()?,
                distinct: false,
                filter: Some(of_set(&positions(&groups, call))),
                ..call.clone()
            });
            continue;
        }
        let field = Field::new("partial", call.signature.result.clone(), true);
        outer.push(AggregateCall {
            filter: Some(of_set(&[])),
            ..call_of("any_value", &field)?
        });
        partial.push(call.clone());
        fields.push(field);
    }
    let below = LogicalPlan::Aggregate(Aggregate {
        input: n.input.clone(),
        groups,
        grouping_sets: Some(sets),
        aggregates: partial,
        schema: fields.into_iter().collect(),
    });
    Some(LogicalPlan::Aggregate(Aggregate {
        input: Arc::new(below),
        groups: vec![],
        grouping_sets: None,
        aggregates: outer,
        schema: n.schema.clone(),
    }))
}

/// Whether the sets of all DISTINCT arguments surely take no more than `bytes`: then one pass with sets is the fastest.
fn few_values(n: &Aggregate, bytes: usize) -> bool {
    let input = estimate(&n.input);
    let values = |e: &Expr| match e {
        Expr::Column(f) => {
            let column = input.columns.get(&f.id).filter(|c| c.step >= 1.0)?;
            Some((column.max? - column.min?) / column.step + 2.0)
        }
        _ => None,
    };
    let distinct = n.aggregates.iter().filter(|a| a.distinct);
    let all: Option<f64> = distinct
        .map(|call| match call.arguments.as_slice() {
            [one] => values(one),
            _ => None,
        })
        .sum();
    all.is_some_and(|all| all * SET_ENTRY <= bytes as f64)
}

/// Where the call's arguments stand in `groups`, in ascending order.
fn positions(groups: &[Expr], call: &AggregateCall) -> Vec<usize> {
    let of_call = |g: &Expr| call.arguments.contains(g);
    groups
        .iter()
        .enumerate()
        .filter(|(_, g)| of_call(g))
        .map(|(i, _)| i)
        .collect()
}

/// The call that puts results of `call` for parts of a group together, when there is one of the same type.
fn merge_call(call: &AggregateCall, partial: &Field) -> Option<AggregateCall> {
    let name = match call.function.name {
        "count" | "sum" if !is_float(&call.signature.result) => "sum",
        "min" => "min",
        "max" => "max",
        _ => return None,
    };
    call_of(name, partial)
}

/// A function of one column that gives a value of the column's type.
fn call_of(name: &str, column: &Field) -> Option<AggregateCall> {
    let function = aggregate::find(name)?;
    let signature = (function.signature)(std::slice::from_ref(&column.data_type), &[None]).ok()?;
    let same = signature.result == column.data_type && signature.arguments == [column.data_type.clone()];
    same.then(|| AggregateCall {
        function,
        arguments: vec![Expr::Column(column.clone())],
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
