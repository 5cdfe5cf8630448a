//! Tells operators below a limit how few rows are wanted: sorts become top-N, scans and union branches stop early.

use crate::config::Config;
use crate::error::Result;
use crate::logical::{Join, JoinKind, Limit, LogicalPlan, Project, Scan, Sort, Union};
use std::sync::Arc;

/// Moves limits down as far as they keep their meaning.
pub(super) fn push_down_limit(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    push(plan)
}

fn push(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Limit(n) => push_limit(n),
        other => other.map_inputs(&mut push),
    }
}

fn push_limit(n: Limit) -> Result<LogicalPlan> {
    let Some(fetch) = n.fetch else {
        return match n.skip {
            0 => push(Arc::unwrap_or_clone(n.input)),
            _ => LogicalPlan::Limit(n).map_inputs(&mut push),
        };
    };
    if fetch == 0 {
        return Ok(LogicalPlan::empty(n.input.schema().clone()));
    }
    // Rows that the input must give, those skipped included.
    let wanted = n.skip.saturating_add(fetch);
    let limited = |input: LogicalPlan| {
        LogicalPlan::Limit(Limit {
            input: Arc::new(input),
            skip: n.skip,
            fetch: n.fetch,
        })
    };
    match Arc::unwrap_or_clone(n.input) {
        LogicalPlan::Project(p) => {
            let input = push_limit(Limit {
                input: p.input,
                ..n_of(n.skip, fetch)
            })?;
            Ok(LogicalPlan::Project(Project {
                input: Arc::new(input),
                ..p
            }))
        }
        LogicalPlan::Limit(inner) => {
            // First the inner rows, of which the outer limit takes some.
            let left = inner.fetch.map_or(u64::MAX, |f| f.saturating_sub(n.skip));
            push_limit(Limit {
                input: inner.input,
                skip: inner.skip.saturating_add(n.skip),
                fetch: Some(fetch.min(left)),
            })
        }
        LogicalPlan::Sort(sort) => {
            let fetch = sort.fetch.map_or(wanted, |f| f.min(wanted));
            let sort = LogicalPlan::Sort(Sort {
                input: Arc::new(push(Arc::unwrap_or_clone(sort.input))?),
                keys: sort.keys,
                fetch: Some(fetch),
            });
            Ok(if n.skip == 0 { sort } else { limited(sort) })
        }
        other => Ok(limited(at_most(other, wanted)?)),
    }
}

fn n_of(skip: u64, fetch: u64) -> Limit {
    Limit {
        input: Arc::new(LogicalPlan::one_row()),
        skip,
        fetch: Some(fetch),
    }
}

/// `plan`, of which no more than `rows` rows will be read, whichever they are.
fn at_most(plan: LogicalPlan, rows: u64) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Scan(n) if n.filters.is_empty() => LogicalPlan::Scan(Scan {
            limit: Some(n.limit.map_or(rows, |l| l.min(rows))),
            ..n
        }),
        LogicalPlan::Union(n) => {
            let branch = |input: Arc<LogicalPlan>| -> Result<Arc<LogicalPlan>> {
                Ok(Arc::new(push_limit(Limit { input, ..n_of(0, rows) })?))
            };
            LogicalPlan::Union(Union {
                inputs: n.inputs.into_iter().map(branch).collect::<Result<_>>()?,
                ..n
            })
        }
        // Every left row comes out at least once.
        LogicalPlan::Join(n) if matches!(n.kind, JoinKind::Left | JoinKind::LeftSingle | JoinKind::LeftMark(_)) => {
            let left = push_limit(Limit {
                input: n.left,
                ..n_of(0, rows)
            })?;
            LogicalPlan::Join(Join {
                left: Arc::new(left),
                right: Arc::new(push(Arc::unwrap_or_clone(n.right))?),
                ..n
            })
        }
        other => other.map_inputs(&mut push)?,
    })
}
