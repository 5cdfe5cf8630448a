//! Moves each conjunct of each filter as near to the data as its columns allow, and tells both sides of a join what
//! follows from its keys.

use super::simplify_expressions::{is_false, is_true, push_unique, simplify};
use crate::config::Config;
use crate::error::Result;
use crate::logical::{
    Aggregate, BinaryOp, Cte, Expr, Filter, Join, JoinKey, JoinKind, LogicalPlan, Project, Scan, Sort, Union, Unnest,
    Window,
};
use crate::types::{ColumnId, Schema};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Pushes filters through projections, aggregates, windows, unions and joins, into scans.
pub(super) fn push_down_filter(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    push(plan, vec![])
}

/// `plan` with `predicates` applied to its output, here or below.
fn push(plan: LogicalPlan, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Filter(n) => push_through_filter(n, predicates),
        LogicalPlan::Project(n) => push_through_project(n, predicates),
        LogicalPlan::Aggregate(n) => push_through_aggregate(n, predicates),
        LogicalPlan::Window(n) => push_through_window(n, predicates),
        LogicalPlan::Union(n) => push_through_union(n, predicates),
        LogicalPlan::Join(n) if n.dependent.is_empty() => push_through_join(n, predicates),
        LogicalPlan::Unnest(n) => {
            let (below, above) = split(predicates, |e| only(e, n.input.schema()));
            let input = child(n.input, below)?;
            Ok(keep(LogicalPlan::Unnest(Unnest { input, ..n }), above))
        }
        LogicalPlan::Sort(n) if n.fetch.is_none() => Ok(LogicalPlan::Sort(Sort {
            input: child(n.input, predicates)?,
            ..n
        })),
        LogicalPlan::Cte(n) => Ok(LogicalPlan::Cte(Cte {
            definition: child(n.definition, vec![])?,
            body: child(n.body, predicates)?,
            ..n
        })),
        LogicalPlan::Scan(mut n) if n.limit.is_none() => {
            let (below, above) = split(predicates, |e| !e.is_volatile());
            below.into_iter().for_each(|e| push_unique(&mut n.filters, e));
            n.filters.retain(|e| !is_true(e));
            Ok(keep(empty_if_false(n), above))
        }
        other => Ok(keep(other.map_inputs(&mut |input| push(input, vec![]))?, predicates)),
    }
}

fn empty_if_false(scan: Scan) -> LogicalPlan {
    match scan.filters.iter().any(is_false) {
        true => LogicalPlan::empty(scan.schema),
        false => LogicalPlan::Scan(scan),
    }
}

fn child(plan: Arc<LogicalPlan>, predicates: Vec<Expr>) -> Result<Arc<LogicalPlan>> {
    Ok(Arc::new(push(Arc::unwrap_or_clone(plan), predicates)?))
}

/// A filter over `plan` for what could not go further down.
fn keep(plan: LogicalPlan, mut predicates: Vec<Expr>) -> LogicalPlan {
    predicates.retain(|e| !is_true(e));
    match predicates.is_empty() {
        true => plan,
        false if predicates.iter().any(is_false) => LogicalPlan::empty(plan.schema().clone()),
        false => LogicalPlan::Filter(Filter {
            input: Arc::new(plan),
            predicate: Expr::and(predicates),
        }),
    }
}

/// Those that may move and fulfil `test`, and the others. Subqueries and volatile calls stay where they are.
fn split(predicates: Vec<Expr>, mut test: impl FnMut(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    predicates
        .into_iter()
        .partition(|e| !e.is_volatile() && !e.has_subquery() && test(e))
}

fn only(e: &Expr, schema: &Schema) -> bool {
    e.columns().iter().all(|id| schema.contains(*id))
}

fn push_through_filter(n: Filter, mut predicates: Vec<Expr>) -> Result<LogicalPlan> {
    for e in n.predicate.into_conjuncts() {
        push_unique(&mut predicates, e);
    }
    let (below, above) = split(predicates, |_| true);
    Ok(keep(push(Arc::unwrap_or_clone(n.input), below)?, above))
}

/// The predicate over the output becomes one over the input: each column is replaced by what computes it.
fn push_through_project(n: Project, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    let map: HashMap<ColumnId, Expr> = n.schema.ids().zip(n.expressions.iter().cloned()).collect();
    let fixed = |id: &ColumnId| map.get(id).is_some_and(|e| !e.is_volatile() && !e.has_subquery());
    let (below, above) = split(predicates, |e| e.columns().iter().all(fixed));
    let below = below
        .into_iter()
        .map(|e| simplify(e.replace_columns(&map)?))
        .collect::<Result<_>>()?;
    let input = child(n.input, below)?;
    Ok(keep(LogicalPlan::Project(Project { input, ..n }), above))
}

/// A predicate on grouping columns removes whole groups, so it may remove their rows before. Without groups the one
/// row of the aggregate is there whatever the input is.
fn push_through_aggregate(n: Aggregate, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    let map: HashMap<ColumnId, Expr> = match n.grouping_sets {
        None => n.schema.ids().zip(n.groups.iter().cloned()).collect(),
        Some(_) => HashMap::new(),
    };
    let (below, above) = split(predicates, |e| {
        let columns = e.columns();
        !map.is_empty() && columns.iter().all(|id| map.get(id).is_some_and(|g| !g.is_volatile()))
    });
    let below = below
        .into_iter()
        .map(|e| simplify(e.replace_columns(&map)?))
        .collect::<Result<_>>()?;
    let input = child(n.input, below)?;
    Ok(keep(LogicalPlan::Aggregate(Aggregate { input, ..n }), above))
}

/// A predicate on columns that partition every call removes whole partitions.
fn push_through_window(n: Window, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    let (below, above) = split(predicates, |e| {
        let columns = e.columns();
        !columns.is_empty() && columns.iter().all(|id| n.partitions_by(*id))
    });
    let input = child(n.input, below)?;
    Ok(keep(LogicalPlan::Window(Window { input, ..n }), above))
}

fn push_through_union(n: Union, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    let (below, above) = split(predicates, |_| true);
    let inputs = n
        .inputs
        .into_iter()
        .map(|input| {
            let columns = input.schema().iter().cloned().map(Expr::Column);
            let map: HashMap<ColumnId, Expr> = n.schema.ids().zip(columns).collect();
            let mapped = below
                .iter()
                .map(|e| e.clone().replace_columns(&map))
                .collect::<Result<_>>()?;
            child(input, mapped)
        })
        .collect::<Result<_>>()?;
    let schema = n.schema;
    Ok(keep(LogicalPlan::Union(Union { inputs, schema }), above))
}

/// What a join of some kind lets through.
struct Passes {
    /// Predicates above the join that mention only this side go to it: its rows come out unchanged.
    above_left: bool,
    above_right: bool,
    /// Conjuncts of the join condition that mention only this side go to it: its rows without match do not come out.
    condition_left: bool,
    condition_right: bool,
    /// What the keys make of a predicate on the left side may go to the right: rows that miss it match nothing.
    left_to_right: bool,
    right_to_left: bool,
}

fn passes(n: &Join) -> Passes {
    let left_output = !matches!(n.kind, JoinKind::Right | JoinKind::Full);
    let right_output = matches!(n.kind, JoinKind::Inner | JoinKind::Right);
    let left_optional = matches!(n.kind, JoinKind::Inner | JoinKind::LeftSemi | JoinKind::Right);
    let right_optional = !matches!(n.kind, JoinKind::Right | JoinKind::Full);
    Passes {
        above_left: left_output,
        above_right: right_output,
        condition_left: left_optional,
        condition_right: right_optional,
        // A NULL key on the right has a meaning of its own when the join is null-aware: it must not be filtered away.
        left_to_right: left_output && !n.null_aware,
        right_to_left: left_optional,
    }
}

fn push_through_join(n: Join, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    let passes = passes(&n);
    let inner = n.kind == JoinKind::Inner;
    let (left_schema, right_schema) = (n.left.schema().clone(), n.right.schema().clone());
    let side = |e: &Expr| (only(e, &left_schema), only(e, &right_schema));
    let (mut to_left, mut to_right, mut above, mut condition) = (vec![], vec![], vec![], vec![]);

    for e in predicates {
        let movable = !e.is_volatile() && !e.has_subquery();
        match side(&e) {
            (true, false) if movable && passes.above_left => push_unique(&mut to_left, e),
            (false, true) if movable && passes.above_right => push_unique(&mut to_right, e),
            // A constant: on the side whose rows all come out, or it would not filter.
            (true, true) if movable && passes.above_left => push_unique(&mut to_left, e),
            (true, true) if movable && passes.above_right => push_unique(&mut to_right, e),
            _ if movable && inner => push_unique(&mut condition, e),
            _ => {
                if passes.above_left
                    && movable
                    && let Some(i) = implied_by_or(&e, &left_schema)?
                {
                    push_unique(&mut to_left, i)
                }
                above.push(e);
            }
        }
    }
    for e in n.filter.into_iter().flat_map(Expr::into_conjuncts) {
        let movable = !e.is_volatile() && !e.has_subquery();
        match side(&e) {
            (_, true) if movable && passes.condition_right => push_unique(&mut to_right, e),
            (true, _) if movable && passes.condition_left => push_unique(&mut to_left, e),
            _ => push_unique(&mut condition, e),
        }
    }
    for e in condition.iter().filter(|e| !e.is_volatile() && !e.has_subquery()) {
        if passes.condition_left
            && let Some(i) = implied_by_or(e, &left_schema)?
        {
            push_unique(&mut to_left, i)
        }
        if passes.condition_right
            && let Some(i) = implied_by_or(e, &right_schema)?
        {
            push_unique(&mut to_right, i)
        }
    }

    let mut on = n.on;
    let filter = match inner {
        true => take_keys(condition, &mut on, &left_schema, &right_schema),
        false => condition,
    };
    let (from_left, from_right) = (to_left.clone(), to_right.clone());
    if passes.left_to_right {
        translate(&from_left, on.iter().map(|k| (&k.left, &k.right)), &mut to_right)?;
    }
    if passes.right_to_left {
        translate(&from_right, on.iter().map(|k| (&k.right, &k.left)), &mut to_left)?;
    }
    let (left, right) = (child(n.left, to_left)?, child(n.right, to_right)?);
    let schema = n.kind.schema(left.schema(), right.schema());
    let filter = (!filter.is_empty()).then(|| Expr::and(filter));
    let join = LogicalPlan::Join(Join {
        left,
        right,
        on,
        filter,
        schema,
        ..n
    });
    Ok(keep(join, above))
}

/// Moves equalities between the sides from `condition` to `on`; gives back the rest.
fn take_keys(condition: Vec<Expr>, on: &mut Vec<JoinKey>, left: &Schema, right: &Schema) -> Vec<Expr> {
    let (keys, rest) = crate::logical::split_condition(Some(Expr::and(condition)), left, right);
    for key in keys {
        if !on.contains(&key) {
            on.push(key);
        }
    }
    rest.map_or(vec![], Expr::into_conjuncts)
}

/// Adds what `known` says about the other side: each key column replaced by its partner.
fn translate<'a>(known: &[Expr], keys: impl Iterator<Item = (&'a Expr, &'a Expr)>, into: &mut Vec<Expr>) -> Result<()> {
    let mut map: HashMap<ColumnId, Expr> = HashMap::new();
    for (from, to) in keys {
        if let Expr::Column(f) = from
            && !to.is_volatile()
        {
            map.entry(f.id).or_insert_with(|| to.clone());
        }
    }
    for e in known {
        let columns = e.columns();
        if !columns.is_empty() && columns.iter().all(|id| map.contains_key(id)) {
            push_unique(into, e.clone().replace_columns(&map)?);
        }
    }
    Ok(())
}

/// What an OR says about one side alone: `(l.a = 1 AND r.b = 2) OR (l.a = 3 AND r.b = 4)` implies `l.a IN (1, 3)`.
fn implied_by_or(e: &Expr, schema: &Schema) -> Result<Option<Expr>> {
    let Expr::Or(branches) = e else { return Ok(None) };
    let mut parts = vec![];
    for branch in branches {
        let conjuncts = branch.clone().into_conjuncts().into_iter();
        let about: Vec<Expr> = conjuncts
            .filter(|c| !c.columns().is_empty() && only(c, schema))
            .collect();
        if about.is_empty() {
            return Ok(None);
        }
        parts.push(Expr::and(about));
    }
    simplify(Expr::or(parts)).map(Some)
}

/// Whether a comparison holds only for rows where every column in it is not NULL.
pub(super) fn rejects_null(e: &Expr, columns: &HashSet<ColumnId>) -> bool {
    match e {
        Expr::Binary { op, .. } if op.is_comparison() => {
            !matches!(op, BinaryOp::IsDistinctFrom | BinaryOp::IsNotDistinctFrom) && strict_in(e, columns)
        }
        Expr::And(parts) => parts.iter().any(|p| rejects_null(p, columns)),
        Expr::Or(parts) => !parts.is_empty() && parts.iter().all(|p| rejects_null(p, columns)),
        Expr::IsNull { expr, negated: true } => strict_in(expr, columns),
        Expr::InList { expr, .. } | Expr::Like { expr, .. } => strict_in(expr, columns),
        Expr::Not(inner) => strict_in(inner, columns),
        Expr::Column(f) => columns.contains(&f.id),
        _ => false,
    }
}

/// Whether the expression is NULL as soon as the columns are NULL (all of them are NULL together).
fn strict_in(e: &Expr, columns: &HashSet<ColumnId>) -> bool {
    match e {
        Expr::Column(f) => columns.contains(&f.id),
        Expr::Binary {
            op: BinaryOp::IsDistinctFrom | BinaryOp::IsNotDistinctFrom,
            ..
        } => false,
        Expr::Binary { left, right, .. } => strict_in(left, columns) || strict_in(right, columns),
        Expr::Negate(e) | Expr::Not(e) => strict_in(e, columns),
        Expr::Cast { expr, .. } | Expr::Like { expr, .. } | Expr::InList { expr, .. } => strict_in(expr, columns),
        _ => false,
    }
}
