//! Makes outer joins inner where a later predicate drops the rows that only the outer join adds.

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
