//! From logical to physical expressions: columns by identity become columns by position.

use super::expr::{Expr, Lambda};
use crate::error::{Error, Result};
use crate::expression::PhysicalExpr;
use crate::types::{Field, Schema};

impl Expr {
    /// The physical expression over batches laid out as `schema`.
    ///
    /// # Errors
    /// When a column is not in the schema, or a subquery was left by unnesting: both are bugs of ours.
    pub fn lower(&self, schema: &Schema) -> Result<PhysicalExpr> {
        let boxed = |e: &Expr| -> Result<Box<PhysicalExpr>> { Ok(Box::new(e.lower(schema)?)) };
        let all = |list: &[Expr]| list.iter().map(|e| e.lower(schema)).collect::<Result<Vec<_>>>();
        Ok(match self {
            Expr::Column(f) | Expr::Parameter(f) => PhysicalExpr::Column {
                index: schema.require(f.id)?,
                data_type: f.data_type.clone(),
            },
            Expr::Literal(v, t) => PhysicalExpr::Literal(v.clone(), t.clone()),
            Expr::Binary {
                op,
                left,
                right,
                data_type,
            } => PhysicalExpr::Binary {
                op: *op,
                left: boxed(left)?,
                right: boxed(right)?,
                data_type: data_type.clone(),
            },
            Expr::And(parts) => PhysicalExpr::And(all(parts)?),
            Expr::Or(parts) => PhysicalExpr::Or(all(parts)?),
            Expr::Not(e) => PhysicalExpr::Not(boxed(e)?),
            Expr::Negate(e) => PhysicalExpr::Negate(boxed(e)?),
            Expr::Try(e) => PhysicalExpr::Try(boxed(e)?),
            Expr::IsNull { expr, negated } => PhysicalExpr::IsNull {
                expr: boxed(expr)?,
                negated: *negated,
            },
            Expr::Cast { expr, data_type, safe } => PhysicalExpr::Cast {
                expr: boxed(expr)?,
                data_type: data_type.clone(),
                safe: *safe,
            },
            Expr::Case {
                branches,
                otherwise,
                data_type,
            } => PhysicalExpr::Case {
                branches: branches
                    .iter()
                    .map(|(c, v)| Ok((c.lower(schema)?, v.lower(schema)?)))
                    .collect::<Result<_>>()?,
                otherwise: otherwise.as_deref().map(boxed).transpose()?,
                data_type: data_type.clone(),
            },
            Expr::Like {
                expr,
                pattern,
                escape,
                negated,
                case_insensitive,
            } => PhysicalExpr::Like {
                expr: boxed(expr)?,
                pattern: boxed(pattern)?,
                escape: *escape,
                negated: *negated,
                case_insensitive: *case_insensitive,
            },
            Expr::InList { expr, list, negated } => PhysicalExpr::InList {
                expr: boxed(expr)?,
                list: all(list)?,
                negated: *negated,
            },
            Expr::Function {
                function,
                arguments,
                data_type,
            } => PhysicalExpr::Function {
                function,
                arguments: all(arguments)?,
                data_type: data_type.clone(),
            },
            Expr::LambdaCall {
                function,
                arguments,
                lambdas,
                data_type,
            } => {
                let captured = captured(lambdas);
                let body = |lambda: &Lambda| {
                    let columns: Schema = captured.iter().chain(&lambda.parameters).cloned().collect();
                    lambda.body.lower(&columns)
                };
                PhysicalExpr::LambdaCall {
                    function,
                    arguments: all(arguments)?,
                    lambdas: lambdas.iter().map(body).collect::<Result<_>>()?,
                    captured: captured
                        .iter()
                        .map(|f| Expr::Column(f.clone()).lower(schema))
                        .collect::<Result<_>>()?,
                    data_type: data_type.clone(),
                }
            }
            Expr::FieldAccess { expr, index, data_type } => PhysicalExpr::FieldAccess {
                expr: boxed(expr)?,
                index: *index,
                data_type: data_type.clone(),
            },
            Expr::ScalarSubquery(_) | Expr::Exists { .. } | Expr::AnySubquery { .. } => {
                return Err(Error::internal(format!("a subquery was not unnested: {self}")));
            }
        })
    }
}

/// What lambdas mention beside their own parameters, each once: columns, and parameters of lambdas around the call.
fn captured(lambdas: &[Lambda]) -> Vec<Field> {
    let (mut mentioned, mut own): (Vec<Field>, Vec<Field>) = (vec![], vec![]);
    for lambda in lambdas {
        own.extend(lambda.parameters.iter().cloned());
        lambda.body.visit(&mut |e| match e {
            Expr::Column(f) | Expr::Parameter(f) if !mentioned.iter().any(|m| m.id == f.id) => {
                mentioned.push(f.clone())
            }
            Expr::LambdaCall { lambdas, .. } => own.extend(lambdas.iter().flat_map(|l| l.parameters.iter().cloned())),
            _ => {}
        });
    }
    mentioned.retain(|f| !own.iter().any(|o| o.id == f.id));
    mentioned
}
