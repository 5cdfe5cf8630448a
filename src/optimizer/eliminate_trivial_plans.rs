//! Removes operators that do nothing: joins and aggregates of no rows, unions of one input, projections of projections;
//! and answers `count(*)` of a whole table from its footers.

use super::simplify_expressions::simplify;
use crate::config::Config;
use crate::error::Result;
use crate::logical::{Aggregate, Expr, Join, JoinKind, LogicalPlan, Project, Union, Values};
use crate::types::{ColumnId, ScalarValue, Schema};
use std::collections::HashMap;
use std::sync::Arc;

/// Simplifies from the leaves up.
pub(super) fn eliminate_trivial_plans(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    plan.transform_up(&mut |node| {
        Ok(match node {
            LogicalPlan::Project(n) => return project(n),
            LogicalPlan::Join(n) => join(n),
            LogicalPlan::Union(n) => union(n),
            LogicalPlan::Aggregate(n) => aggregate(n),
            LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Unnest(_)
                if node.inputs().into_iter().all(|i| is_empty(i)) =>
            {
                LogicalPlan::empty(node.schema().clone())
            }
            other => other,
        })
    })
}

fn is_empty(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Values(n) if n.rows.is_empty())
}

/// A projection of a projection is one, when nothing is computed twice that way.
fn project(n: Project) -> Result<LogicalPlan> {
    if is_empty(&n.input) {
        return Ok(LogicalPlan::empty(n.schema));
    }
    let LogicalPlan::Project(inner) = n.input.as_ref() else {
        return Ok(LogicalPlan::Project(n));
    };
    let mut uses: HashMap<ColumnId, usize> = HashMap::new();
    n.expressions.iter().for_each(|e| {
        e.visit(&mut |e| {
            if let Expr::Column(f) = e {
                *uses.entry(f.id).or_default() += 1;
            }
        });
    });
    let cheap = |e: &Expr| matches!(e, Expr::Column(_) | Expr::Literal(..));
    let mut pairs = inner.expressions.iter().zip(inner.schema.iter());
    let once = pairs.all(|(e, f)| cheap(e) || (uses.get(&f.id).is_none_or(|u| *u <= 1) && !e.is_volatile()));
    if !once {
        return Ok(LogicalPlan::Project(n));
    }
    let map: HashMap<ColumnId, Expr> = inner.schema.ids().zip(inner.expressions.iter().cloned()).collect();
    // A column computed here under its own identity must not meet that identity below.
    let clash = n.schema.iter().any(|f| {
        let passes = |e: &Expr| matches!(e, Expr::Column(c) if c.id == f.id);
        inner.input.schema().contains(f.id) && !map.get(&f.id).is_none_or(passes)
    });
    if clash {
        return Ok(LogicalPlan::Project(n));
    }
    let expressions = n
        .expressions
        .iter()
        .map(|e| simplify(e.clone().replace_columns(&map)?))
        .collect::<Result<_>>()?;
    Ok(LogicalPlan::Project(Project {
        input: inner.input.clone(),
        expressions,
        schema: n.schema,
    }))
}

fn join(n: Join) -> LogicalPlan {
    let (no_left, no_right) = (is_empty(&n.left), is_empty(&n.right));
    match n.kind {
        JoinKind::Inner | JoinKind::LeftSemi if no_left || no_right => LogicalPlan::empty(n.schema),
        JoinKind::Left | JoinKind::LeftAnti | JoinKind::LeftMark(_) | JoinKind::LeftSingle if no_left => {
            LogicalPlan::empty(n.schema)
        }
        JoinKind::Right if no_right => LogicalPlan::empty(n.schema),
        JoinKind::Full if no_left && no_right => LogicalPlan::empty(n.schema),
        JoinKind::LeftAnti if no_right => Arc::unwrap_or_clone(n.left),
        JoinKind::Left | JoinKind::LeftSingle if no_right => with_nulls(n.left, n.schema),
        JoinKind::Right if no_left => with_nulls(n.right, n.schema),
        JoinKind::LeftMark(_) if no_right => {
            let columns = n.left.schema().iter().cloned().map(Expr::Column);
            LogicalPlan::Project(Project {
                expressions: columns.chain([Expr::boolean(false)]).collect(),
                schema: n.schema,
                input: n.left,
            })
        }
        _ => LogicalPlan::Join(n),
    }
}

/// The input's columns where `schema` has them, NULL elsewhere.
pub(super) fn with_nulls(input: Arc<LogicalPlan>, schema: Schema) -> LogicalPlan {
    let value = |id: ColumnId, t| match input.schema().position(id) {
        Some(i) => Expr::Column(input.schema()[i].clone()),
        None => Expr::null(t),
    };
    LogicalPlan::Project(Project {
        expressions: schema.iter().map(|f| value(f.id, f.data_type.clone())).collect(),
        schema,
        input,
    })
}

fn union(n: Union) -> LogicalPlan {
    let mut inputs: Vec<Arc<LogicalPlan>> = n.inputs.into_iter().filter(|i| !is_empty(i)).collect();
    match inputs.len() {
        0 => LogicalPlan::empty(n.schema),
        1 => {
            let input = inputs.remove(0);
            LogicalPlan::Project(Project {
                expressions: input.schema().iter().cloned().map(Expr::Column).collect(),
                schema: n.schema,
                input,
            })
        }
        _ => LogicalPlan::Union(Union {
            inputs,
            schema: n.schema,
        }),
    }
}

fn aggregate(n: Aggregate) -> LogicalPlan {
    if is_empty(&n.input) && !n.groups.is_empty() && n.grouping_sets.is_none() {
        return LogicalPlan::empty(n.schema);
    }
    match rows_known(&n) {
        Some(rows) => {
            let count = Expr::literal(ScalarValue::Int64(rows));
            LogicalPlan::Values(Values {
                rows: vec![vec![count; n.schema.len()]],
                schema: n.schema,
            })
        }
        None => LogicalPlan::Aggregate(n),
    }
}

/// The rows of a table of which only the count is asked.
fn rows_known(n: &Aggregate) -> Option<i64> {
    let LogicalPlan::Scan(scan) = through_projections(&n.input) else {
        return None;
    };
    let whole = scan.filters.is_empty() && scan.limit.is_none();
    let counts = n.aggregates.iter().all(|a| {
        a.function.name == "count" && a.filter.is_none() && !a.distinct && a.arguments.iter().all(counts_every_row)
    });
    let asked = n.groups.is_empty() && n.grouping_sets.is_none() && !n.aggregates.is_empty();
    match whole && counts && asked {
        true => i64::try_from(scan.table.statistics.rows?).ok(),
        false => None,
    }
}

fn counts_every_row(e: &Expr) -> bool {
    matches!(e, Expr::Literal(v, _) if !v.is_null())
}

fn through_projections(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Project(n) => through_projections(&n.input),
        other => other,
    }
}
