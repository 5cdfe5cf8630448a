//! Makes outer joins inner where a later predicate drops the rows that only the outer join adds.

use super::eliminate_trivial_plans::with_nulls;
use super::push_down_filter::rejects_null;
use super::unnest_subqueries::at_most_one_row;
use crate::config::Config;
use crate::error::Result;
use crate::logical::{Cte, Expr, Filter, Join, JoinKind, LogicalPlan, Project, Sort};
use crate::types::{ColumnId, Schema};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Weakens LEFT, RIGHT and FULL joins whose NULL rows cannot pass what is above them.
pub(super) fn reduce_outer_joins(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    reduce(plan, vec![])
}

fn child(plan: Arc<LogicalPlan>, known: Vec<Expr>) -> Result<Arc<LogicalPlan>> {
    Ok(Arc::new(reduce(Arc::unwrap_or_clone(plan), known)?))
}

/// `known` holds for every row that anybody above will look at.
fn reduce(plan: LogicalPlan, mut known: Vec<Expr>) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Filter(n) if keeps_unmatched(&n).is_some() => reduce(to_anti_join(n), known),
        LogicalPlan::Filter(n) => {
            known.extend(n.predicate.clone().into_conjuncts());
            let input = child(n.input, known)?;
            Ok(LogicalPlan::Filter(Filter { input, ..n }))
        }
        LogicalPlan::Project(n) => {
            let map: HashMap<ColumnId, Expr> = n.schema.ids().zip(n.expressions.iter().cloned()).collect();
            let known = known
                .into_iter()
                .map(|e| e.replace_columns(&map))
                .collect::<Result<_>>()?;
            let input = child(n.input, known)?;
            Ok(LogicalPlan::Project(Project { input, ..n }))
        }
        LogicalPlan::Sort(n) if n.fetch.is_none() => {
            let input = child(n.input, known)?;
            Ok(LogicalPlan::Sort(Sort { input, ..n }))
        }
        LogicalPlan::Cte(n) => {
            let (definition, body) = (child(n.definition, vec![])?, child(n.body, known)?);
            Ok(LogicalPlan::Cte(Cte { definition, body, ..n }))
        }
        LogicalPlan::Join(n) if n.dependent.is_empty() => reduce_join(n, known),
        other => other.map_inputs(&mut |input| reduce(input, vec![])),
    }
}

/// The conjunct `key IS NULL` over a LEFT join on that key of its right side, by position: only rows without match
/// fulfil it.
fn keeps_unmatched(n: &Filter) -> Option<usize> {
    let LogicalPlan::Join(join) = n.input.as_ref() else {
        return None;
    };
    let conjuncts = n.predicate.clone().into_conjuncts();
    let is_key = |e: &Expr| join.on.iter().any(|k| !k.null_safe && k.right == *e);
    let found = conjuncts
        .iter()
        .position(|e| matches!(e, Expr::IsNull { expr, negated: false } if is_key(&without_null_flag(expr, join))));
    found.filter(|_| join.kind == JoinKind::Left && join.dependent.is_empty())
}

/// The column as the right side of the join has it, before the join made it nullable.
fn without_null_flag(e: &Expr, join: &Join) -> Expr {
    let right = join.right.schema();
    match e {
        Expr::Column(f) => match right.position(f.id) {
            Some(i) => Expr::Column(right[i].clone()),
            None => e.clone(),
        },
        other => other.clone(),
    }
}

/// `a LEFT JOIN b … WHERE b.key IS NULL` gives the rows of a without partner.
fn to_anti_join(n: Filter) -> LogicalPlan {
    let position = keeps_unmatched(&n);
    let conjuncts = n.predicate.into_conjuncts().into_iter().enumerate();
    let rest: Vec<Expr> = conjuncts
        .filter(|(i, _)| Some(*i) != position)
        .map(|(_, e)| e)
        .collect();
    let plan = match Arc::unwrap_or_clone(n.input) {
        LogicalPlan::Join(join) => {
            let schema = join.schema.clone();
            let anti = LogicalPlan::Join(Join {
                schema: join.left.schema().clone(),
                kind: JoinKind::LeftAnti,
                ..join
            });
            with_nulls(Arc::new(anti), schema)
        }
        other => other,
    };
    match rest.is_empty() {
        true => plan,
        false => LogicalPlan::Filter(Filter {
            input: Arc::new(plan),
            predicate: Expr::and(rest),
        }),
    }
}

fn reduce_join(n: Join, known: Vec<Expr>) -> Result<LogicalPlan> {
    let rejects = |schema: &Schema| {
        let columns: HashSet<ColumnId> = schema.ids().collect();
        known.iter().any(|e| rejects_null(e, &columns))
    };
    let kind = match n.kind {
        JoinKind::Left if rejects(n.right.schema()) => JoinKind::Inner,
        JoinKind::LeftSingle if at_most_one_row(&n.right) && rejects(n.right.schema()) => JoinKind::Inner,
        JoinKind::Right if rejects(n.left.schema()) => JoinKind::Inner,
        JoinKind::Full => match (rejects(n.left.schema()), rejects(n.right.schema())) {
            (true, true) => JoinKind::Inner,
            (true, false) => JoinKind::Left,
            (false, true) => JoinKind::Right,
            (false, false) => JoinKind::Full,
        },
        other => other,
    };
    let keys = n.on.iter().filter(|k| !k.null_safe);
    let keys = keys.map(|k| Expr::equal(k.left.clone(), k.right.clone()));
    let condition: Vec<Expr> = keys
        .chain(n.filter.iter().flat_map(|f| f.clone().into_conjuncts()))
        .collect();
    let all = || known.iter().chain(&condition).cloned().collect::<Vec<_>>();
    let (for_left, for_right) = match kind {
        JoinKind::Inner => (all(), all()),
        JoinKind::LeftSemi => (all(), condition.clone()),
        JoinKind::Right => (condition.clone(), known.clone()),
        JoinKind::Full => (vec![], vec![]),
        // A NULL key on the right means something to NOT IN.
        _ if n.null_aware => (known.clone(), vec![]),
        _ => (known.clone(), condition.clone()),
    };
    let (left, right) = (child(n.left, for_left)?, child(n.right, for_right)?);
    let schema = kind.schema(left.schema(), right.schema());
    Ok(LogicalPlan::Join(Join {
        left,
        right,
        kind,
        schema,
        ..n
    }))
}
