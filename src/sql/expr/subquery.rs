//! Queries inside expressions: scalar, EXISTS, IN, ANY, ALL.

use super::super::bind::{Binder, at, unsupported};
use crate::error::{Error, Result};
use crate::logical::{BinaryOp, Expr, LogicalPlan, PlanBuilder, Subquery, comparable_type};
use crate::types::DataType;
use sqlparser::ast::{self, BinaryOperator, Expr as Ast};
use std::sync::Arc;

impl Binder<'_> {
    /// A query of one column whose only row is the value.
    pub(super) fn scalar_subquery(&mut self, query: &ast::Query) -> Result<Expr> {
        let subquery = self.one_column(query)?;
        Ok(Expr::ScalarSubquery(subquery))
    }

    pub(super) fn exists(&mut self, query: &ast::Query, negated: bool) -> Result<Expr> {
        Ok(Expr::Exists {
            subquery: self.subquery(query)?,
            negated,
        })
    }

    pub(super) fn in_subquery(&mut self, e: &Ast, query: &ast::Query, negated: bool) -> Result<Expr> {
        if let Ast::Tuple(parts) = e {
            return self.tuple_in_subquery(parts, query, negated);
        }
        let value = self.expr(e)?;
        let subquery = self.one_column(query)?;
        quantified(value, BinaryOp::Equal, subquery, negated)
    }

    /// `x op ANY (query)`; `x op ALL (query)` is `NOT (x negated-op ANY (query))`.
    pub(super) fn any(&mut self, left: &Ast, op: &BinaryOperator, right: &Ast, all: bool) -> Result<Expr> {
        let op = comparison(op).ok_or_else(|| unsupported("this operator with ANY or ALL", left))?;
        let query = match right {
            Ast::Subquery(query) => query,
            Ast::Nested(inner) if matches!(inner.as_ref(), Ast::Subquery(_)) => match inner.as_ref() {
                Ast::Subquery(query) => query,
                _ => return Err(unsupported("ANY of this", right)),
            },
            _ if op == BinaryOp::Equal && !all => return self.in_array(left, right, false),
            _ => return Err(unsupported("ANY or ALL of an array with this operator", right)),
        };
        let value = self.expr(left)?;
        let subquery = self.one_column(query)?;
        match all {
            false => quantified(value, op, subquery, false),
            true => {
                let negated = op
                    .negated()
                    .ok_or_else(|| Error::internal("a comparison can be negated"))?;
                quantified(value, negated, subquery, true)
            }
        }
    }

    /// `x = ANY (array)`
    pub(super) fn in_array(&mut self, e: &Ast, array: &Ast, negated: bool) -> Result<Expr> {
        let contains = self.call("contains", &[array, e])?;
        match negated {
            true => contains.not(),
            false => Ok(contains),
        }
    }

    /// `(a, b) IN (SELECT x, y …)`: there is a row with these values. `NOT IN` would have to tell false from unknown.
    fn tuple_in_subquery(&mut self, parts: &[Ast], query: &ast::Query, negated: bool) -> Result<Expr> {
        if negated {
            return Err(unsupported("NOT IN with rows", query).with_hint("write NOT EXISTS (… WHERE a = x AND b = y)"));
        }
        let values = parts.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?;
        let mut subquery = self.subquery(query)?;
        let columns = subquery.plan.schema().clone();
        if columns.len() != values.len() {
            return at(Err(column_count(values.len(), columns.len())), query);
        }
        let mut conditions = vec![];
        for (value, column) in values.into_iter().zip(columns.iter()) {
            value.visit(&mut |e| {
                if let Expr::Column(f) = e
                    && !subquery.outer.iter().any(|o| o.id == f.id)
                {
                    subquery.outer.push(f.clone());
                }
            });
            conditions.push(Expr::comparison(BinaryOp::Equal, value, Expr::Column(column.clone()))?);
        }
        let plan = PlanBuilder::from(Arc::unwrap_or_clone(subquery.plan));
        subquery.plan = Arc::new(plan.filter(Expr::and(conditions))?.build());
        Ok(Expr::Exists {
            subquery,
            negated: false,
        })
    }

    fn one_column(&mut self, query: &ast::Query) -> Result<Subquery> {
        let subquery = self.subquery(query)?;
        match subquery.plan.schema().len() {
            1 => Ok(subquery),
            n => at(Err(column_count(1, n)), query),
        }
    }
}

fn column_count(expected: usize, found: usize) -> Error {
    let plural = if expected == 1 { "" } else { "s" };
    Error::plan(format!(
        "the subquery must have {expected} column{plural}, it has {found}"
    ))
}

fn comparison(op: &BinaryOperator) -> Option<BinaryOp> {
    Some(match op {
        BinaryOperator::Eq => BinaryOp::Equal,
        BinaryOperator::NotEq => BinaryOp::NotEqual,
        BinaryOperator::Lt => BinaryOp::Less,
        BinaryOperator::LtEq => BinaryOp::LessOrEqual,
        BinaryOperator::Gt => BinaryOp::Greater,
        BinaryOperator::GtEq => BinaryOp::GreaterOrEqual,
        _ => return None,
    })
}

/// `[NOT] value op ANY (subquery)`, both sides of one type.
fn quantified(value: Expr, op: BinaryOp, subquery: Subquery, negated: bool) -> Result<Expr> {
    let plan: &LogicalPlan = &subquery.plan;
    let Some(field) = plan.schema().first() else {
        return Err(column_count(1, 0));
    };
    let t = match comparable_type(&value, &Expr::Column(field.clone()))? {
        DataType::Null => DataType::Boolean,
        t => t,
    };
    let plan = PlanBuilder::from(Arc::unwrap_or_clone(subquery.plan)).cast_columns(std::slice::from_ref(&t))?;
    Ok(Expr::AnySubquery {
        expr: Box::new(value.coerce_to(&t)?),
        op,
        subquery: Subquery {
            plan: Arc::new(plan.build()),
            outer: subquery.outer,
        },
        negated,
    })
}
