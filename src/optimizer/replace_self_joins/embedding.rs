//! Finds the relations of one tree among those of another.

use crate::error::Result;
use crate::logical::{Expr, LogicalPlan, Scan};
use crate::optimizer::inline_ctes::is_volatile;
use crate::optimizer::share_common_plans::same;
use crate::types::ColumnId;
use std::collections::HashMap;
use std::sync::Arc;

/// More relations than this are not looked for: a table that stands in both trees several times has many places.
const MOST_RELATIONS: usize = 6;

/// For each inner relation one that has the same rows, each another one.
#[derive(Default)]
pub(super) struct Embedding {
    pub relations: Vec<usize>,
    /// The column for each inner column.
    pub columns: HashMap<ColumnId, Expr>,
}

/// What `accept` makes of the first embedding that it likes. The outer relation at `except` takes no part.
pub(super) fn find<T>(
    inner: &[LogicalPlan],
    outer: &[LogicalPlan],
    except: usize,
    accept: &mut dyn FnMut(&Embedding) -> Result<Option<T>>,
) -> Result<Option<T>> {
    if inner.len() > MOST_RELATIONS {
        return Ok(None);
    }
    extend(inner, outer, except, &mut Embedding::default(), accept)
}

fn extend<T>(
    inner: &[LogicalPlan],
    outer: &[LogicalPlan],
    except: usize,
    embedding: &mut Embedding,
    accept: &mut dyn FnMut(&Embedding) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let Some(relation) = inner.get(embedding.relations.len()) else {
        return accept(embedding);
    };
    for (i, candidate) in outer.iter().enumerate() {
        if i == except || embedding.relations.contains(&i) {
            continue;
        }
        if let Some(columns) = correspondence(relation, candidate) {
            embedding.relations.push(i);
            embedding.columns.extend(columns);
            let accepted = extend(inner, outer, except, embedding, accept)?;
            if accepted.is_some() {
                return Ok(accepted);
            }
            embedding.relations.pop();
        }
    }
    Ok(None)
}

/// For each column of `a` the one of `b` with the same values, when both have the same rows.
fn correspondence(a: &LogicalPlan, b: &LogicalPlan) -> Option<HashMap<ColumnId, Expr>> {
    if let (LogicalPlan::Scan(a), LogicalPlan::Scan(b)) = (a, b) {
        let plain = |n: &Scan| n.limit.is_none() && n.filters.is_empty();
        if !Arc::ptr_eq(&a.table, &b.table) || !plain(a) || !plain(b) {
            return None;
        }
        let partner = |position: &usize| b.columns.iter().position(|p| p == position);
        let columns = a.schema.ids().zip(&a.columns);
        return columns
            .map(|(id, position)| Some((id, Expr::Column(b.schema.get(partner(position)?)?.clone()))))
            .collect();
    }
    let mut columns = HashMap::new();
    let fixed = is_fixed(a) && same(a, b, &mut columns);
    fixed.then_some(columns)
}

/// Whether the plan gives the same rows each time it runs: it takes none of many rows, numbers no rows of which any may
/// be first, and calls no volatile function.
fn is_fixed(plan: &LogicalPlan) -> bool {
    let mut fixed = !is_volatile(plan);
    plan.visit(&mut |node| {
        fixed &= match node {
            LogicalPlan::Limit(_) | LogicalPlan::Window(_) => false,
            LogicalPlan::Cte(_) | LogicalPlan::CteReference(_) => false,
            LogicalPlan::Sort(n) => n.fetch.is_none(),
            LogicalPlan::Scan(n) => n.limit.is_none(),
            _ => true,
        }
    });
    fixed
}
