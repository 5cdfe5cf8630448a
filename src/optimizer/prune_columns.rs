//! Removes columns that nobody reads: scans give out fewer columns, unused aggregates and window calls are not
//! computed, joins and sorts carry less.

use crate::config::Config;
use crate::error::Result;
use crate::logical::{
    Aggregate, Cte, CteId, CteReference, Expr, Filter, Join, JoinKind, Limit, LogicalPlan, Project, Scan, Sort, Union,
    Unnest, Values, Window,
};
use crate::types::{ColumnId, Field, Schema};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

type Ids = HashSet<ColumnId>;

/// Positions of a definition's columns that references read.
type CteColumns = HashMap<CteId, BTreeSet<usize>>;

/// Keeps the plan's output and drops what it does not need.
pub(super) fn prune_columns(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    let schema = plan.schema().clone();
    let needed: Ids = schema.ids().collect();
    let pruned = prune(plan, &needed, &mut CteColumns::new())?;
    Ok(project_to(pruned, &schema))
}

/// `plan` with exactly the columns of `schema`.
fn project_to(plan: LogicalPlan, schema: &Schema) -> LogicalPlan {
    let same = plan.schema().len() == schema.len()
        && plan
            .schema()
            .iter()
            .zip(schema.iter())
            .all(|(a, b)| a.id == b.id && a.name == b.name);
    if same {
        return plan;
    }
    LogicalPlan::Project(Project {
        expressions: schema.iter().cloned().map(Expr::Column).collect(),
        schema: schema.clone(),
        input: Arc::new(plan),
    })
}

/// `plan` with no other columns than `needed`: for operators that hold rows.
fn exactly(plan: Arc<LogicalPlan>, needed: &Ids, ctes: &mut CteColumns) -> Result<Arc<LogicalPlan>> {
    let plan = prune(Arc::unwrap_or_clone(plan), needed, ctes)?;
    if plan.schema().ids().all(|id| needed.contains(&id)) {
        return Ok(Arc::new(plan));
    }
    let schema = keep(plan.schema(), needed);
    Ok(Arc::new(project_to(plan, &schema)))
}

fn keep(schema: &Schema, needed: &Ids) -> Schema {
    schema.iter().filter(|f| needed.contains(&f.id)).cloned().collect()
}

fn with<'a>(needed: &Ids, expressions: impl IntoIterator<Item = &'a Expr>) -> Ids {
    let mut ids = needed.clone();
    expressions.into_iter().for_each(|e| e.collect_columns(&mut ids));
    ids
}

/// `plan` with at least the columns `needed`, in their old order.
fn prune(plan: LogicalPlan, needed: &Ids, ctes: &mut CteColumns) -> Result<LogicalPlan> {
    let mut below = |input: Arc<LogicalPlan>, needed: &Ids| -> Result<Arc<LogicalPlan>> {
        Ok(Arc::new(prune(Arc::unwrap_or_clone(input), needed, ctes)?))
    };
    Ok(match plan {
        LogicalPlan::Scan(n) => LogicalPlan::Scan(prune_scan(n, needed)),
        LogicalPlan::Values(n) => LogicalPlan::Values(prune_values(n, needed)),
        LogicalPlan::Project(n) => {
            let (expressions, fields): (Vec<Expr>, Vec<Field>) = n
                .expressions
                .into_iter()
                .zip(n.schema.iter().cloned())
                .filter(|(_, f)| needed.contains(&f.id))
                .unzip();
            let input = below(n.input, &with(&Ids::new(), &expressions))?;
            without_renaming(input, expressions, Schema::new(fields))
        }
        LogicalPlan::Filter(n) => LogicalPlan::Filter(Filter {
            input: below(n.input, &with(needed, [&n.predicate]))?,
            ..n
        }),
        LogicalPlan::Limit(n) => LogicalPlan::Limit(Limit {
            input: below(n.input, needed)?,
            ..n
        }),
        LogicalPlan::Sort(n) => {
            let needed = with(needed, n.keys.iter().map(|k| &k.expr));
            LogicalPlan::Sort(Sort {
                input: exactly(n.input, &needed, ctes)?,
                ..n
            })
        }
        LogicalPlan::Join(n) => prune_join(n, needed, ctes)?,
        LogicalPlan::Aggregate(n) => prune_aggregate(n, needed, ctes)?,
        LogicalPlan::Window(n) => prune_window(n, needed, ctes)?,
        LogicalPlan::Union(n) => prune_union(n, needed, ctes)?,
        LogicalPlan::Unnest(n) => {
            let width = n.input.schema().len();
            let input = below(n.input, &with(needed, &n.expressions))?;
            let added = n.schema.iter().skip(width).cloned();
            let schema = input.schema().iter().cloned().chain(added).collect();
            LogicalPlan::Unnest(Unnest { input, schema, ..n })
        }
        LogicalPlan::Cte(n) => prune_cte(n, needed, ctes)?,
        LogicalPlan::CteReference(n) => {
            let kept: Vec<usize> = (0..n.schema.len())
                .filter(|&i| n.schema.get(i).is_some_and(|f| needed.contains(&f.id)))
                .collect();
            let columns: Vec<usize> = kept.iter().filter_map(|&i| n.columns.get(i).copied()).collect();
            ctes.entry(n.id).or_default().extend(&columns);
            let schema = keep(&n.schema, needed);
            LogicalPlan::CteReference(CteReference { columns, schema, ..n })
        }
    })
}

/// A projection, unless it would give out what comes in.
fn without_renaming(input: Arc<LogicalPlan>, expressions: Vec<Expr>, schema: Schema) -> LogicalPlan {
    let passes = |(e, f): (&Expr, &Field)| matches!(e, Expr::Column(c) if c.id == f.id);
    let identity = input.schema().ids().eq(schema.ids()) && expressions.iter().zip(schema.iter()).all(passes);
    match identity {
        true => Arc::unwrap_or_clone(input),
        false => LogicalPlan::Project(Project {
            input,
            expressions,
            schema,
        }),
    }
}

/// Columns that only the filters read are tested and not given out.
fn prune_scan(n: Scan, needed: &Ids) -> Scan {
    let tested = with(&Ids::new(), &n.filters);
    let all = n.schema.iter().cloned().zip(n.columns).chain(n.filter_columns);
    let (out, rest): (Vec<_>, Vec<_>) = all.partition(|(f, _)| needed.contains(&f.id));
    let (fields, columns): (Vec<Field>, Vec<usize>) = out.into_iter().unzip();
    Scan {
        schema: Schema::new(fields),
        columns,
        filter_columns: rest.into_iter().filter(|(f, _)| tested.contains(&f.id)).collect(),
        table: n.table,
        filters: n.filters,
        limit: n.limit,
    }
}

fn prune_values(n: Values, needed: &Ids) -> Values {
    let kept: Vec<bool> = n.schema.ids().map(|id| needed.contains(&id)).collect();
    let row = |r: Vec<Expr>| {
        r.into_iter()
            .zip(&kept)
            .filter(|(_, k)| **k)
            .map(|(e, _)| e)
            .collect::<Vec<_>>()
    };
    Values {
        schema: keep(&n.schema, needed),
        rows: n.rows.into_iter().map(row).collect(),
    }
}

fn prune_join(n: Join, needed: &Ids, ctes: &mut CteColumns) -> Result<LogicalPlan> {
    // A mark that nobody reads leaves every left row as it is.
    if let JoinKind::LeftMark(mark) = &n.kind
        && !needed.contains(&mark.id)
    {
        return prune(Arc::unwrap_or_clone(n.left), needed, ctes);
    }
    let keys = n.on.iter().flat_map(|k| [&k.left, &k.right]);
    let mut needed = with(needed, keys.chain(&n.filter));
    needed.extend(n.dependent.iter().map(|f| f.id));
    let left = exactly(n.left, &needed, ctes)?;
    let right = exactly(n.right, &needed, ctes)?;
    let schema = n.kind.schema(left.schema(), right.schema());
    Ok(LogicalPlan::Join(Join {
        left,
        right,
        schema,
        ..n
    }))
}

fn prune_aggregate(n: Aggregate, needed: &Ids, ctes: &mut CteColumns) -> Result<LogicalPlan> {
    let first = n.groups.len() + n.grouping_sets.is_some() as usize;
    let (heads, results) = n.schema.split_at(first.min(n.schema.len()));
    let (aggregates, fields): (Vec<_>, Vec<Field>) = n
        .aggregates
        .into_iter()
        .zip(results.iter().cloned())
        .filter(|(_, f)| needed.contains(&f.id))
        .unzip();
    if aggregates.is_empty() && n.groups.is_empty() && n.grouping_sets.is_none() {
        return Ok(LogicalPlan::one_row());
    }
    let schema = heads.iter().cloned().chain(fields).collect();
    let read = with(
        &with(&Ids::new(), &n.groups),
        aggregates.iter().flat_map(|a| a.expressions()),
    );
    let input = Arc::new(prune(Arc::unwrap_or_clone(n.input), &read, ctes)?);
    Ok(LogicalPlan::Aggregate(Aggregate {
        input,
        aggregates,
        schema,
        ..n
    }))
}

fn prune_window(n: Window, needed: &Ids, ctes: &mut CteColumns) -> Result<LogicalPlan> {
    let width = n.input.schema().len();
    let (calls, fields): (Vec<_>, Vec<Field>) = n
        .calls
        .into_iter()
        .zip(n.schema.iter().skip(width).cloned())
        .filter(|(_, f)| needed.contains(&f.id))
        .unzip();
    if calls.is_empty() {
        return prune(Arc::unwrap_or_clone(n.input), needed, ctes);
    }
    let needed = with(needed, calls.iter().flat_map(|c| c.expressions()));
    let input = exactly(n.input, &needed, ctes)?;
    let schema = input.schema().iter().cloned().chain(fields).collect();
    Ok(LogicalPlan::Window(Window { input, calls, schema }))
}

/// Inputs correspond by position, so each is cut to exactly the positions that are read.
fn prune_union(n: Union, needed: &Ids, ctes: &mut CteColumns) -> Result<LogicalPlan> {
    let positions: Vec<usize> = (0..n.schema.len())
        .filter(|&i| n.schema.get(i).is_some_and(|f| needed.contains(&f.id)))
        .collect();
    let at = |schema: &Schema| -> Schema { positions.iter().filter_map(|&i| schema.get(i).cloned()).collect() };
    let inputs = n
        .inputs
        .into_iter()
        .map(|input| {
            let schema = at(input.schema());
            let pruned = prune(Arc::unwrap_or_clone(input), &schema.ids().collect(), ctes)?;
            let same = pruned.schema().ids().eq(schema.ids());
            Ok(Arc::new(if same { pruned } else { project_to(pruned, &schema) }))
        })
        .collect::<Result<_>>()?;
    Ok(LogicalPlan::Union(Union {
        inputs,
        schema: at(&n.schema),
    }))
}

/// The body is pruned first: its references say which columns of the definition are read.
fn prune_cte(n: Cte, needed: &Ids, ctes: &mut CteColumns) -> Result<LogicalPlan> {
    let body = prune(Arc::unwrap_or_clone(n.body), needed, ctes)?;
    let read = ctes.remove(&n.id).unwrap_or_default();
    let old = n.definition.schema().clone();
    let ids: Ids = read.iter().filter_map(|&i| old.get(i)).map(|f| f.id).collect();
    let definition = exactly(n.definition, &ids, ctes)?;
    let moved: HashMap<usize, usize> = read
        .iter()
        .filter_map(|&i| Some((i, definition.schema().position(old.get(i)?.id)?)))
        .collect();
    let body = body.transform_up(&mut |node| {
        Ok(match node {
            LogicalPlan::CteReference(r) if r.id == n.id => LogicalPlan::CteReference(CteReference {
                columns: r.columns.iter().filter_map(|c| moved.get(c).copied()).collect(),
                ..r
            }),
            other => other,
        })
    })?;
    Ok(LogicalPlan::Cte(Cte {
        definition,
        body: Arc::new(body),
        ..n
    }))
}
