//! Computes joins and aggregates that stand in the plan more than once only once, when their result is much smaller
//! than what must be read for it.

use super::inline_ctes::is_volatile;
use crate::config::Config;
use crate::error::Result;
use crate::logical::statistics::{estimate, table_rows};
use crate::logical::{Cte, CteId, CteReference, Expr, LogicalPlan};
use crate::types::{ColumnId, Field};
use std::collections::HashMap;
use std::sync::Arc;

/// A shared result has at most this share of the rows read for it: larger ones cost more to keep than they save, and
/// stand in the way of runtime filters.
const LARGEST_SHARE: f64 = 0.1;

/// Replaces repeated sub-plans by references to a common table expression around the whole plan.
pub(super) fn share_common_plans(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    let mut candidates = vec![];
    collect(&plan, &mut candidates);
    // Larger ones first: what they contain is shared with them.
    candidates.sort_by_key(|c| std::cmp::Reverse(c.nodes));
    for (i, first) in candidates.iter().enumerate() {
        let twins = candidates.iter().skip(i + 1).filter(|c| c.text == first.text);
        let repeated = twins.into_iter().any(|c| same(first.plan, c.plan, &mut HashMap::new()));
        if repeated && pays(first.plan) {
            let shared = first.plan.clone();
            return share(plan, &shared);
        }
    }
    Ok(plan)
}

struct Candidate<'a> {
    plan: &'a LogicalPlan,
    text: String,
    nodes: usize,
}

/// Every join and aggregate that can be moved to the root; gives the number of nodes, `None` when one cannot be moved.
fn collect<'a>(plan: &'a LogicalPlan, into: &mut Vec<Candidate<'a>>) -> Option<usize> {
    let below: Vec<Option<usize>> = plan.inputs().into_iter().map(|i| collect(i, into)).collect();
    let nodes = below.into_iter().sum::<Option<usize>>()? + 1;
    match plan {
        LogicalPlan::Cte(_) | LogicalPlan::CteReference(_) => return None,
        LogicalPlan::Join(_) | LogicalPlan::Aggregate(_) if !is_volatile(plan) => into.push(Candidate {
            plan,
            text: plan.to_string(),
            nodes,
        }),
        _ => {}
    }
    Some(nodes)
}

fn pays(plan: &LogicalPlan) -> bool {
    estimate(plan).rows <= rows_read(plan) * LARGEST_SHARE
}

/// The rows of all tables that the plan reads.
pub(super) fn rows_read(plan: &LogicalPlan) -> f64 {
    let mut read = 0.0;
    plan.visit(&mut |node| {
        if let LogicalPlan::Scan(n) = node {
            read += table_rows(&n.table);
        }
    });
    read
}

/// Whether the plans are the same up to the identities of their columns; `map` tells which is which.
pub(super) fn same(a: &LogicalPlan, b: &LogicalPlan, map: &mut HashMap<ColumnId, Expr>) -> bool {
    let (x, y) = (a.inputs(), b.inputs());
    if x.len() != y.len() || !x.into_iter().zip(y).all(|(x, y)| same(x, y, map)) {
        return false;
    }
    let fields = |p: &LogicalPlan| -> Vec<Field> {
        let hidden = match p {
            LogicalPlan::Scan(n) => n.filter_columns.iter().map(|(f, _)| f.clone()).collect(),
            _ => vec![],
        };
        p.schema().iter().cloned().chain(hidden).collect()
    };
    let (x, y) = (fields(a), fields(b));
    if x.len() != y.len() || x.iter().zip(&y).any(|(x, y)| x.data_type != y.data_type) {
        return false;
    }
    map.extend(x.iter().zip(y).map(|(x, y)| (x.id, Expr::Column(y))));
    let read = |p: &LogicalPlan| match p {
        LogicalPlan::Scan(n) => Some((Arc::as_ptr(&n.table), n.columns.clone())),
        _ => None,
    };
    let (x, y) = (a.expressions(), b.expressions());
    a.describe() == b.describe()
        && read(a) == read(b)
        && x.len() == y.len()
        && x.into_iter().zip(y).all(|(x, y)| {
            let mapped = x.clone().replace_columns(map);
            mapped.is_ok_and(|x| x == *y || same_columns(&x, y))
        })
}

/// Fields of one column may differ in what they say of NULLs; expressions with the same text over the same columns are
/// the same.
fn same_columns(a: &Expr, b: &Expr) -> bool {
    let list = |e: &Expr| {
        let mut ids = vec![];
        e.visit(&mut |e| {
            if let Expr::Column(f) = e {
                ids.push(f.id);
            }
        });
        ids
    };
    a.to_string() == b.to_string() && list(a) == list(b)
}

fn share(plan: LogicalPlan, shared: &LogicalPlan) -> Result<LogicalPlan> {
    let id = CteId::fresh();
    let name: Arc<str> = "shared".into();
    let definition = Arc::new(shared.renewed()?);
    let body = replace(plan, shared, id, &name)?;
    Ok(LogicalPlan::Cte(Cte {
        id,
        name,
        definition,
        body: Arc::new(body),
    }))
}

fn replace(plan: LogicalPlan, shared: &LogicalPlan, id: CteId, name: &Arc<str>) -> Result<LogicalPlan> {
    if matches!(plan, LogicalPlan::Join(_) | LogicalPlan::Aggregate(_)) && same(shared, &plan, &mut HashMap::new()) {
        return Ok(LogicalPlan::CteReference(CteReference {
            id,
            name: name.clone(),
            columns: (0..plan.schema().len()).collect(),
            schema: plan.schema().clone(),
        }));
    }
    plan.map_inputs(&mut |input| replace(input, shared, id, name))
}
