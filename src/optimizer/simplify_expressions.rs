//! Makes expressions smaller without changing what they compute: constants folded, NOT pushed to the leaves, common
//! factors of OR taken out, equalities with one column gathered into IN lists.

use super::unwrap_comparisons::unwrap_comparison;
use crate::config::Config;
use crate::error::Result;
use crate::logical::{BinaryOp, Expr, Filter, Join, LogicalPlan, Subquery};
use crate::types::{DataType, ScalarValue, Schema};
use crate::vector::Batch;
use std::sync::Arc;

/// Simplifies every expression of the plan, subqueries included.
pub(super) fn simplify_expressions(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    simplify_plan(plan)
}

fn simplify_plan(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up(&mut |node| {
        Ok(match node.map_expressions(&mut simplify)? {
            LogicalPlan::Filter(n) => LogicalPlan::Filter(Filter {
                predicate: where_unknown_is_false(n.predicate),
                ..n
            }),
            LogicalPlan::Join(n) => LogicalPlan::Join(Join {
                filter: n.filter.map(where_unknown_is_false).filter(|e| !is_true(e)),
                ..n
            }),
            other => other,
        })
    })
}

/// The simplest expression we know that computes the same.
pub(super) fn simplify(expr: Expr) -> Result<Expr> {
    expr.transform(&mut |e| {
        let e = map_subqueries(e, &mut simplify_plan)?;
        Ok(simplify_node(e))
    })
}

/// One level: the parts of `e` are simple already.
fn simplify_node(e: Expr) -> Expr {
    let e = match e {
        Expr::And(parts) => return simplify_and(parts),
        Expr::Or(parts) => return simplify_or(parts),
        Expr::Not(e) => return negate(*e),
        Expr::Case {
            branches,
            otherwise,
            data_type,
        } => simplify_case(branches, otherwise, data_type),
        Expr::Binary {
            op,
            left,
            right,
            data_type,
        } => simplify_binary(op, *left, *right, data_type),
        Expr::InList { expr, list, negated } => simplify_in(*expr, list, negated),
        Expr::IsNull { expr, negated } if !expr.nullable() && !expr.has_subquery() => return Expr::boolean(negated),
        Expr::Cast { expr, data_type, .. } if expr.data_type() == data_type => *expr,
        Expr::Try(e) if e.is_literal() || matches!(*e, Expr::Column(_)) => *e,
        other => other,
    };
    evaluate_constant(&e).unwrap_or(e)
}

/// The value of an expression over literals as a literal; `None` when it has none (not constant, volatile, or an error
/// that must only happen when the row is really computed).
pub(super) fn evaluate_constant(e: &Expr) -> Option<Expr> {
    let closed = match e {
        Expr::Column(_) | Expr::Literal(..) | Expr::And(_) | Expr::Or(_) => return None,
        Expr::ScalarSubquery(_) | Expr::Exists { .. } | Expr::AnySubquery { .. } => return None,
        other => other.children().iter().all(|c| c.is_literal()),
    };
    if !closed || e.is_volatile() {
        return None;
    }
    let batch = Batch::new(vec![], 1);
    let value = e
        .lower(&Schema::default())
        .ok()?
        .evaluate(&batch)
        .ok()?
        .scalar(0)
        .ok()?;
    Some(Expr::Literal(value, e.data_type()))
}

pub(super) fn is_true(e: &Expr) -> bool {
    match e {
        Expr::Literal(ScalarValue::Boolean(b), _) => *b,
        Expr::And(parts) => parts.is_empty(),
        _ => false,
    }
}

pub(super) fn is_false(e: &Expr) -> bool {
    match e {
        Expr::Literal(ScalarValue::Boolean(b), _) => !*b,
        Expr::Or(parts) => parts.is_empty(),
        _ => false,
    }
}

fn is_null(e: &Expr) -> bool {
    matches!(e, Expr::Literal(ScalarValue::Null, _))
}

/// Adds `e` unless it is among the last expressions of the list. Looking further would cost the square of the length, and
/// a duplicate only costs its own evaluation.
pub(super) fn push_unique(list: &mut Vec<Expr>, e: Expr) {
    const LOOK_BACK: usize = 64;
    let near = &list[list.len().saturating_sub(LOOK_BACK)..];
    if e.is_volatile() || !near.contains(&e) {
        list.push(e);
    }
}

fn simplify_and(parts: Vec<Expr>) -> Expr {
    let mut kept: Vec<Expr> = vec![];
    for part in parts.into_iter().flat_map(Expr::into_conjuncts) {
        if is_false(&part) {
            return Expr::boolean(false);
        }
        if !is_true(&part) {
            push_unique(&mut kept, part);
        }
    }
    match kept.is_empty() {
        true => Expr::boolean(true),
        false => Expr::and(kept),
    }
}

fn simplify_or(parts: Vec<Expr>) -> Expr {
    let mut kept: Vec<Expr> = vec![];
    let flat = parts.into_iter().flat_map(|p| match p {
        Expr::Or(inner) => inner,
        other => vec![other],
    });
    for part in flat {
        if is_true(&part) {
            return Expr::boolean(true);
        }
        if !is_false(&part) {
            push_unique(&mut kept, part);
        }
    }
    match kept.len() {
        0 => Expr::boolean(false),
        1 => kept.remove(0),
        _ => factor_out(gather_equalities(kept)),
    }
}

/// `(a AND b) OR (a AND c)` becomes `a AND (b OR c)`.
fn factor_out(parts: Vec<Expr>) -> Expr {
    if parts.len() < 2 || parts.iter().any(Expr::is_volatile) {
        return Expr::or(parts);
    }
    let mut branches: Vec<Vec<Expr>> = parts.into_iter().map(Expr::into_conjuncts).collect();
    let (first, others) = branches.split_at(1);
    let common: Vec<Expr> = first
        .iter()
        .flatten()
        .filter(|e| others.iter().all(|b| b.contains(e)))
        .cloned()
        .collect();
    if common.is_empty() {
        return Expr::or(branches.into_iter().map(Expr::and));
    }
    branches.iter_mut().for_each(|b| b.retain(|e| !common.contains(e)));
    // A branch that was nothing but the common factor makes the rest irrelevant: a OR (a AND b) is a.
    match branches.iter().any(Vec::is_empty) {
        true => Expr::and(common),
        false => {
            let rest = simplify_or(branches.into_iter().map(Expr::and).collect());
            simplify_and(common.into_iter().chain([rest]).collect())
        }
    }
}

/// `x = 1 OR x = 2 OR x IN (3)` becomes `x IN (1, 2, 3)`.
fn gather_equalities(parts: Vec<Expr>) -> Vec<Expr> {
    let mut result: Vec<Expr> = vec![];
    for part in parts {
        let (tested, mut values) = match part {
            Expr::Binary {
                op: BinaryOp::Equal,
                left,
                right,
                ..
            } if right.is_literal() && !left.is_literal() && !left.is_volatile() => (*left, vec![*right]),
            Expr::InList {
                expr,
                list,
                negated: false,
            } if list.iter().all(Expr::is_literal) && !expr.is_volatile() => (*expr, list),
            other => {
                result.push(other);
                continue;
            }
        };
        let same = result.iter_mut().find_map(|r| match r {
            Expr::InList {
                expr,
                list,
                negated: false,
            } if **expr == tested && list.iter().all(Expr::is_literal) => Some(list),
            _ => None,
        });
        match same {
            Some(list) => list.append(&mut values),
            None => result.push(Expr::InList {
                expr: Box::new(tested),
                list: values,
                negated: false,
            }),
        }
    }
    let simple = |e| match e {
        Expr::InList { expr, list, negated } => simplify_in(*expr, list, negated),
        other => other,
    };
    result.into_iter().map(simple).collect()
}

/// `NOT e`, with the NOT where it costs least.
fn negate(e: Expr) -> Expr {
    match e {
        Expr::Literal(ScalarValue::Boolean(b), _) => Expr::boolean(!b),
        Expr::Not(inner) => *inner,
        Expr::And(parts) => simplify_or(parts.into_iter().map(negate).collect()),
        Expr::Or(parts) => simplify_and(parts.into_iter().map(negate).collect()),
        Expr::Binary {
            op,
            left,
            right,
            data_type,
        } => match op.negated() {
            Some(op) => Expr::Binary {
                op,
                left,
                right,
                data_type,
            },
            None => Expr::Not(Box::new(Expr::Binary {
                op,
                left,
                right,
                data_type,
            })),
        },
        Expr::IsNull { expr, negated } => Expr::IsNull {
            expr,
            negated: !negated,
        },
        Expr::Like {
            expr,
            pattern,
            escape,
            negated,
            case_insensitive,
        } => Expr::Like {
            expr,
            pattern,
            escape,
            negated: !negated,
            case_insensitive,
        },
        Expr::InList { expr, list, negated } => Expr::InList {
            expr,
            list,
            negated: !negated,
        },
        Expr::Exists { subquery, negated } => Expr::Exists {
            subquery,
            negated: !negated,
        },
        Expr::AnySubquery {
            expr,
            op,
            subquery,
            negated,
        } => Expr::AnySubquery {
            expr,
            op,
            subquery,
            negated: !negated,
        },
        other => {
            let e = Expr::Not(Box::new(other));
            evaluate_constant(&e).unwrap_or(e)
        }
    }
}

/// Branches that are never taken go, and so does everything after a branch that always is.
fn simplify_case(branches: Vec<(Expr, Expr)>, otherwise: Option<Box<Expr>>, data_type: DataType) -> Expr {
    let (mut kept, mut last) = (vec![], otherwise);
    for (condition, value) in branches {
        if is_false(&condition) || is_null(&condition) {
            continue;
        }
        if is_true(&condition) {
            last = Some(Box::new(value));
            break;
        }
        kept.push((condition, value));
    }
    match (kept.is_empty(), last) {
        (true, Some(e)) => *e,
        (true, None) => Expr::null(data_type),
        (false, otherwise) => Expr::Case {
            branches: kept,
            otherwise,
            data_type,
        },
    }
}

fn simplify_binary(op: BinaryOp, left: Expr, right: Expr, data_type: DataType) -> Expr {
    use BinaryOp::{IsDistinctFrom, IsNotDistinctFrom};
    if !op.is_comparison() {
        return Expr::Binary {
            op,
            left: Box::new(left),
            right: Box::new(right),
            data_type,
        };
    }
    let (op, left, right) = match left.is_literal() && !right.is_literal() {
        true => (op.flipped(), right, left),
        false => (op, left, right),
    };
    match op {
        IsDistinctFrom | IsNotDistinctFrom if is_null(&right) => Expr::IsNull {
            expr: Box::new(left),
            negated: op == IsDistinctFrom,
        },
        _ if is_null(&right) && !left.is_volatile() => Expr::null(DataType::Boolean),
        _ => unwrap_comparison(op, left, right),
    }
}

/// Duplicates go; one value is an equality; `CAST(x) IN (…)` compares x when every value can be said in its type.
fn simplify_in(expr: Expr, list: Vec<Expr>, negated: bool) -> Expr {
    let mut values: Vec<Expr> = vec![];
    // Quadratic, so only for lists that a person may have written.
    match list.len() <= 256 {
        true => list.into_iter().for_each(|e| push_unique(&mut values, e)),
        false => values = list,
    }
    if values.len() == 1 {
        let op = if negated { BinaryOp::NotEqual } else { BinaryOp::Equal };
        return simplify_binary(op, expr, values.remove(0), DataType::Boolean);
    }
    if matches!(expr, Expr::Cast { .. }) {
        let mut inner = None;
        let unwrapped: Option<Vec<Expr>> = values
            .iter()
            .map(|v| match unwrap_comparison(BinaryOp::Equal, expr.clone(), v.clone()) {
                Expr::Binary {
                    op: BinaryOp::Equal,
                    left,
                    right,
                    ..
                } if *left != expr => {
                    inner = Some(*left);
                    Some(*right)
                }
                _ => None,
            })
            .collect();
        if let (Some(list), Some(inner)) = (unwrapped, inner) {
            return Expr::InList {
                expr: Box::new(inner),
                list,
                negated,
            };
        }
    }
    Expr::InList {
        expr: Box::new(expr),
        list: values,
        negated,
    }
}

/// In a filter NULL counts as false.
fn where_unknown_is_false(predicate: Expr) -> Expr {
    let conjuncts = predicate.into_conjuncts().into_iter();
    simplify_and(
        conjuncts
            .map(|e| if is_null(&e) { Expr::boolean(false) } else { e })
            .collect(),
    )
}

/// `e` with the plan of its subquery, if it is one, rewritten.
pub(super) fn map_subqueries(e: Expr, f: &mut dyn FnMut(LogicalPlan) -> Result<LogicalPlan>) -> Result<Expr> {
    let mut mapped = |s: Subquery| -> Result<Subquery> {
        Ok(Subquery {
            plan: Arc::new(f(Arc::unwrap_or_clone(s.plan))?),
            outer: s.outer,
        })
    };
    Ok(match e {
        Expr::ScalarSubquery(s) => Expr::ScalarSubquery(mapped(s)?),
        Expr::Exists { subquery, negated } => Expr::Exists {
            subquery: mapped(subquery)?,
            negated,
        },
        Expr::AnySubquery {
            expr,
            op,
            subquery,
            negated,
        } => Expr::AnySubquery {
            expr,
            op,
            subquery: mapped(subquery)?,
            negated,
        },
        other => other,
    })
}
