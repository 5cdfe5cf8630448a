//! `UNION`, `INTERSECT`, `EXCEPT`, each with and without ALL. Rows are compared null-safe: NULL is the same as NULL.
//!
//! ```text
//! a INTERSECT b:  a, true, NULL ─┐
//!                                ├ union ─ group by a's columns: count the tags of each side ─ filter ─ drop counts
//!                 b, NULL, true ─┘
//! ```

use super::bind::{Binder, unsupported};
use crate::error::{Error, Result};
use crate::functions::aggregate;
use crate::logical::{AggregateCall, BinaryOp, Expr, LogicalPlan, PlanBuilder};
use crate::types::{DataType, Field, ScalarValue};
use sqlparser::ast::{SetExpr, SetOperator, SetQuantifier};

/// The inputs of a union that is still growing.
struct Union {
    inputs: Vec<LogicalPlan>,
    distinct: bool,
}

impl Union {
    fn of(plan: LogicalPlan) -> Self {
        Self {
            inputs: vec![plan],
            distinct: false,
        }
    }

    fn finish(mut self) -> Result<LogicalPlan> {
        if self.inputs.len() == 1
            && let Some(only) = self.inputs.pop()
        {
            return Ok(only);
        }
        let union = PlanBuilder::union(self.inputs)?;
        Ok(match self.distinct {
            true => union.distinct().build(),
            false => union.build(),
        })
    }

    /// `self UNION [ALL] right`. A distinct union swallows what was united before it.
    fn add(mut self, right: LogicalPlan, distinct: bool) -> Result<Self> {
        if self.distinct && !distinct {
            self = Self::of(self.finish()?);
        }
        self.inputs.push(right);
        self.distinct = distinct;
        Ok(self)
    }
}

impl Binder<'_> {
    /// A chain of set operations. Chains lean to the left and may be long, so that side is a loop.
    pub(super) fn set_operation(&mut self, body: &SetExpr) -> Result<LogicalPlan> {
        let mut operations = vec![];
        let mut current = body;
        while let SetExpr::SetOperation {
            left,
            op,
            set_quantifier,
            right,
        } = current
        {
            operations.push((*op, *set_quantifier, right.as_ref()));
            current = left;
        }
        let mut result = Union::of(self.set_expression(current)?);
        for (op, quantifier, right_body) in operations.into_iter().rev() {
            let right = self.deeper(|b| b.set_expression(right_body))?;
            let all = match quantifier {
                SetQuantifier::All => true,
                SetQuantifier::None | SetQuantifier::Distinct => false,
                _ => return Err(unsupported("BY NAME in a set operation", right_body)),
            };
            let combined = match op {
                SetOperator::Union => result.add(right, !all),
                SetOperator::Intersect => result
                    .finish()
                    .and_then(|l| compare(l, right, true, all))
                    .map(Union::of),
                SetOperator::Except | SetOperator::Minus => result
                    .finish()
                    .and_then(|l| compare(l, right, false, all))
                    .map(Union::of),
            };
            result = super::bind::at(combined, right_body)?;
        }
        result.finish()
    }
}

/// The rows of `left` that are (`intersect`) or are not in `right`.
pub(super) fn compare(left: LogicalPlan, right: LogicalPlan, intersect: bool, all: bool) -> Result<LogicalPlan> {
    let width = left.schema().len();
    let names: Vec<_> = left.schema().iter().map(|f| f.name.clone()).collect();
    let union = PlanBuilder::union(vec![tagged(left, true), tagged(right, false)])?;
    let columns: Vec<Field> = union.schema().iter().cloned().collect();
    let (row, tags) = columns.split_at(width);
    let groups = row.iter().map(|f| (Expr::Column(f.clone()), f.name.clone())).collect();
    let counts = tags.iter().zip(["in_left", "in_right"]);
    let counts = counts.map(|(f, name)| Ok((count(Expr::Column(f.clone()))?, name.into())));
    let counts = counts.collect::<Result<_>>()?;
    let grouped = union.aggregate(groups, None, counts);
    let columns: Vec<Field> = grouped.schema().iter().cloned().collect();
    let (row, counts) = columns.split_at(width);
    let [in_left, in_right] = counts else {
        return Err(Error::internal("a set operation counts both sides"));
    };
    let (l, r) = (Expr::Column(in_left.clone()), Expr::Column(in_right.clone()));
    let zero = || Expr::literal(ScalarValue::Int64(0));
    let plan = match (all, intersect) {
        (false, true) => grouped.filter(Expr::and([
            Expr::compare(BinaryOp::Greater, l, zero()),
            Expr::compare(BinaryOp::Greater, r, zero()),
        ]))?,
        (false, false) => grouped.filter(Expr::and([
            Expr::compare(BinaryOp::Greater, l, zero()),
            Expr::equal(r, zero()),
        ]))?,
        (true, intersect) => repeated(grouped, copies(l, r, intersect)?)?,
    };
    let items = row.iter().zip(names);
    Ok(plan
        .project(items.map(|(f, name)| (Expr::Column(f.clone()), Some(name))).collect())
        .build())
}

/// The rows with one tag for each side: true on the own side, NULL on the other.
fn tagged(plan: LogicalPlan, is_left: bool) -> LogicalPlan {
    let mut items: Vec<_> = plan
        .schema()
        .iter()
        .map(|f| (Expr::Column(f.clone()), Some(f.name.clone())))
        .collect();
    for (own, name) in [(is_left, "in_left"), (!is_left, "in_right")] {
        let tag = match own {
            true => Expr::boolean(true),
            false => Expr::null(DataType::Boolean),
        };
        items.push((tag, Some(name.into())));
    }
    PlanBuilder::from(plan).project(items).build()
}

fn count(argument: Expr) -> Result<AggregateCall> {
    let function = aggregate::find("count").ok_or_else(|| Error::internal("there is no function count"))?;
    AggregateCall::new(function, vec![argument], false, None, vec![])
}

/// How often a row comes out: `min(l, r)` for INTERSECT ALL, `l - r` for EXCEPT ALL.
fn copies(l: Expr, r: Expr, intersect: bool) -> Result<Expr> {
    match intersect {
        true => Expr::case(vec![(Expr::compare(BinaryOp::Less, l.clone(), r.clone()), l)], Some(r)),
        false => Expr::arithmetic(BinaryOp::Subtract, l, r),
    }
}

/// Each row `copies` times.
fn repeated(plan: PlanBuilder, copies: Expr) -> Result<PlanBuilder> {
    let one = || Expr::literal(ScalarValue::Int64(1));
    let some = Expr::compare(BinaryOp::GreaterOrEqual, copies.clone(), one());
    let numbers = Expr::call("sequence", vec![one(), copies])?;
    plan.filter(some)?.unnest(vec![numbers], false, false, None, &[])
}
