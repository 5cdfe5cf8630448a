//! Which conditions of a join are looked up in sorted build rows, see [`range_join`](crate::physical::range_join).

use crate::error::Result;
use crate::expression::{BinaryOp, ExpressionList, Predicate, has_integer_bounds};
use crate::logical::Expr;
use crate::physical::range_join::{RangeCondition, RangeSpec, ordered_type};
use crate::types::{ColumnId, DataType, Schema};
use std::collections::HashSet;

/// The range conditions of a join: for each bound, which is an expression of the build side, what it is compared with.
pub(super) struct Ranges {
    bounds: Vec<(Expr, DataType)>,
    conditions: Vec<(RangeCondition, Expr)>,
    rest: Vec<Expr>,
}

/// `bound op value`, one of the join's conjuncts.
struct Comparison {
    bound: Expr,
    value: Expr,
    op: BinaryOp,
    data_type: DataType,
}

impl Comparison {
    /// Reads a conjunct as a comparison of one side with the other.
    fn of(conjunct: &Expr, probe: &Schema, build: &Schema) -> Option<Self> {
        let Expr::Binary { op, left, right, .. } = conjunct else {
            return None;
        };
        use BinaryOp::*;
        if !matches!(op, Less | LessOrEqual | Greater | GreaterOrEqual) {
            return None;
        }
        let data_type = ordered_type(&left.data_type(), &right.data_type())?;
        let (bound, value, op) = match (is_of(left, build), is_of(right, build)) {
            (true, false) if is_of(right, probe) => (left, right, *op),
            (false, true) if is_of(left, probe) => (right, left, op.flipped()),
            _ => return None,
        };
        Some(Self {
            bound: (**bound).clone(),
            value: (**value).clone(),
            op,
            data_type,
        })
    }

    fn at_least(&self) -> bool {
        matches!(self.op, BinaryOp::Greater | BinaryOp::GreaterOrEqual)
    }

    fn condition(&self, bound: usize) -> (RangeCondition, Expr) {
        let condition = RangeCondition {
            bound,
            at_least: self.at_least(),
            inclusive: matches!(self.op, BinaryOp::LessOrEqual | BinaryOp::GreaterOrEqual),
        };
        (condition, self.value.clone())
    }

    /// Whether its values can be computed for rows that have no candidate without an error that would not come otherwise.
    fn is_harmless(&self) -> bool {
        let harmless = |e: &Expr| matches!(e, Expr::Column(_) | Expr::Literal(..));
        harmless(&self.bound) && harmless(&self.value)
    }
}

/// Whether an expression has columns, all of them of `schema`.
fn is_of(expr: &Expr, schema: &Schema) -> bool {
    let mut columns = HashSet::new();
    expr.collect_columns(&mut columns);
    !columns.is_empty() && columns.into_iter().all(|id| schema.position(id).is_some())
}

fn is_timestamp(expr: &Expr) -> bool {
    matches!(expr.data_type(), DataType::Timestamp(..))
}

impl Ranges {
    /// Splits a join's condition; `None` when nothing of it is a range.
    pub fn of(filter: Option<&Expr>, probe: &Schema, build: &Schema) -> Option<Self> {
        let conjuncts = filter?.clone().into_conjuncts();
        // A conjunct of one side may guard the others against errors.
        let guarded = conjuncts.iter().any(|c| is_of(c, probe) || is_of(c, build));
        let mut comparisons = vec![];
        let mut rest = vec![];
        for conjunct in conjuncts {
            match Comparison::of(&conjunct, probe, build) {
                Some(comparison) if comparison.is_harmless() || !guarded => comparisons.push((conjunct, comparison)),
                _ => rest.push(conjunct),
            }
        }
        // What is bounded from both sides sorts the rows: its matches are neighbours.
        let from_both = |bound: &Expr| {
            let of_bound = || comparisons.iter().filter(|(_, c)| c.bound == *bound);
            of_bound().any(|(_, c)| c.at_least()) && of_bound().any(|(_, c)| !c.at_least())
        };
        let first = comparisons
            .iter()
            .find(|(_, c)| from_both(&c.bound))
            .or(comparisons.first())?;
        let mut bounds = vec![(first.1.bound.clone(), first.1.data_type.clone())];
        let mut conditions = vec![];
        for (conjunct, comparison) in comparisons {
            let bound = (comparison.bound, comparison.data_type);
            let comparison = Comparison {
                bound: bound.0.clone(),
                data_type: bound.1.clone(),
                ..comparison
            };
            if bounds[0] == bound {
                conditions.push(comparison.condition(0));
            } else if bounds.len() == 1 {
                bounds.push(bound);
                conditions.push(comparison.condition(1));
            } else {
                rest.push(conjunct);
            }
        }
        Some(Self {
            bounds,
            conditions,
            rest,
        })
    }

    /// Whether a pair is a match whenever its range conditions are fulfilled.
    pub fn are_all(&self) -> bool {
        self.rest.is_empty()
    }

    /// The probe side's columns for which the bounds make runtime filters, each with its conditions: a bound's position, and
    /// whether it must be at least the column's value. Bounds that are computed may fail for rows that no partner would ask
    /// about; they make filters only where every pair of rows is asked about (`all_pairs`).
    pub fn filtered(&self, all_pairs: bool) -> Vec<(ColumnId, Vec<(usize, bool)>)> {
        let mut filtered: Vec<(ColumnId, Vec<(usize, bool)>)> = vec![];
        for (condition, value) in &self.conditions {
            let (Expr::Column(field), (bound, _)) = (value, &self.bounds[condition.bound]) else {
                continue;
            };
            let comparable = has_integer_bounds(&bound.data_type())
                && (bound.data_type() == field.data_type || is_timestamp(bound) && is_timestamp(value));
            if !comparable || !all_pairs && !matches!(bound, Expr::Column(_)) {
                continue;
            }
            let of_condition = (condition.bound, condition.at_least);
            match filtered.iter_mut().find(|(id, _)| *id == field.id) {
                Some((_, conditions)) => conditions.push(of_condition),
                None => filtered.push((field.id, vec![of_condition])),
            }
        }
        filtered
    }

    /// The same, over batches laid out like these.
    pub fn lower(&self, probe: &Schema, build: &Schema, combined: &Schema) -> Result<RangeSpec> {
        let lower = |exprs: &mut dyn Iterator<Item = &Expr>, schema: &Schema| -> Result<ExpressionList> {
            Ok(ExpressionList::new(
                exprs.map(|e| e.lower(schema)).collect::<Result<_>>()?,
            ))
        };
        let rest = match self.rest.as_slice() {
            [] => None,
            rest => Some(Predicate::new(Expr::And(rest.to_vec()).lower(combined)?)),
        };
        Ok(RangeSpec {
            bounds: lower(&mut self.bounds.iter().map(|b| &b.0), build)?,
            types: self.bounds.iter().map(|b| b.1.clone()).collect(),
            conditions: self.conditions.iter().map(|c| c.0).collect(),
            values: lower(&mut self.conditions.iter().map(|c| &c.1), probe)?,
            rest,
        })
    }

    /// For EXPLAIN: `ranges lo <= x and hi >= x looked up`.
    pub fn describe(&self, has_keys: bool) -> String {
        let condition = |(condition, value): &(RangeCondition, Expr)| {
            let op = match (condition.at_least, condition.inclusive) {
                (true, true) => ">=",
                (true, false) => ">",
                (false, true) => "<=",
                (false, false) => "<",
            };
            format!("{} {op} {value}", self.bounds[condition.bound].0)
        };
        let conditions: Vec<String> = self.conditions.iter().map(condition).collect();
        let when = if has_keys { " where keys have many rows" } else { "" };
        format!("range {} looked up in sorted rows{when}", conditions.join(" and "))
    }
}
