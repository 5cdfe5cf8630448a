//! Walking and rewriting expressions and plans.

use super::expr::{AggregateCall, Expr, FrameBound, Lambda, SortKey, WindowCall, WindowTarget};
use super::plan::*;
use crate::error::Result;
use crate::types::{ColumnId, Field};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

impl Expr {
    /// The direct sub-expressions, left to right. Plans inside subqueries are not entered.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Column(_) | Expr::Parameter(_) | Expr::Literal(..) => vec![],
            Expr::ScalarSubquery(_) | Expr::Exists { .. } => vec![],
            Expr::Binary { left, right, .. } => vec![left, right],
            Expr::And(parts) | Expr::Or(parts) => parts.iter().collect(),
            Expr::Not(e) | Expr::Negate(e) | Expr::Try(e) => vec![e],
            Expr::IsNull { expr, .. } | Expr::Cast { expr, .. } | Expr::FieldAccess { expr, .. } => vec![expr],
            Expr::Case {
                branches, otherwise, ..
            } => branches
                .iter()
                .flat_map(|(c, v)| [c, v])
                .chain(otherwise.as_deref())
                .collect(),
            Expr::Like { expr, pattern, .. } => vec![expr, pattern],
            Expr::InList { expr, list, .. } => std::iter::once(expr.as_ref()).chain(list).collect(),
            Expr::Function { arguments, .. } => arguments.iter().collect(),
            Expr::LambdaCall { arguments, lambdas, .. } => {
                arguments.iter().chain(lambdas.iter().map(|l| &l.body)).collect()
            }
            Expr::AnySubquery { expr, .. } => vec![expr],
        }
    }

    /// Calls `f` on this expression and everything below, parents first.
    pub fn visit(&self, f: &mut dyn FnMut(&Expr)) {
        f(self);
        for child in self.children() {
            child.visit(f);
        }
    }

    /// Rebuilds the expression from the leaves up: `f` sees each node after its children were rewritten.
    pub fn transform(self, f: &mut dyn FnMut(Expr) -> Result<Expr>) -> Result<Expr> {
        let rebuilt = self.map_children(&mut |child| child.transform(f))?;
        f(rebuilt)
    }

    /// The same node with each direct sub-expression replaced.
    pub fn map_children(self, f: &mut dyn FnMut(Expr) -> Result<Expr>) -> Result<Expr> {
        let mut boxed = |e: Box<Expr>| -> Result<Box<Expr>> { Ok(Box::new(f(*e)?)) };
        Ok(match self {
            Expr::Column(_) | Expr::Parameter(_) | Expr::Literal(..) => self,
            Expr::ScalarSubquery(_) | Expr::Exists { .. } => self,
            Expr::Binary {
                op,
                left,
                right,
                data_type,
            } => Expr::Binary {
                op,
                left: boxed(left)?,
                right: boxed(right)?,
                data_type,
            },
            Expr::And(parts) => Expr::and(parts.into_iter().map(f).collect::<Result<Vec<_>>>()?),
            Expr::Or(parts) => Expr::or(parts.into_iter().map(f).collect::<Result<Vec<_>>>()?),
            Expr::Not(e) => Expr::Not(boxed(e)?),
            Expr::Negate(e) => Expr::Negate(boxed(e)?),
            Expr::Try(e) => Expr::Try(boxed(e)?),
            Expr::IsNull { expr, negated } => Expr::IsNull {
                expr: boxed(expr)?,
                negated,
            },
            Expr::Cast { expr, data_type, safe } => Expr::Cast {
                expr: boxed(expr)?,
                data_type,
                safe,
            },
            Expr::FieldAccess { expr, index, data_type } => Expr::FieldAccess {
                expr: boxed(expr)?,
                index,
                data_type,
            },
            Expr::Case {
                branches,
                otherwise,
                data_type,
            } => Expr::Case {
                branches: branches
                    .into_iter()
                    .map(|(c, v)| Ok((f(c)?, f(v)?)))
                    .collect::<Result<_>>()?,
                otherwise: otherwise.map(|e| Ok::<_, crate::Error>(Box::new(f(*e)?))).transpose()?,
                data_type,
            },
            Expr::Like {
                expr,
                pattern,
                escape,
                negated,
                case_insensitive,
            } => Expr::Like {
                expr: boxed(expr)?,
                pattern: boxed(pattern)?,
                escape,
                negated,
                case_insensitive,
            },
            Expr::InList { expr, list, negated } => Expr::InList {
                expr: boxed(expr)?,
                list: list.into_iter().map(f).collect::<Result<_>>()?,
                negated,
            },
            Expr::Function {
                function,
                arguments,
                data_type,
            } => Expr::Function {
                function,
                arguments: arguments.into_iter().map(f).collect::<Result<_>>()?,
                data_type,
            },
            Expr::LambdaCall {
                function,
                arguments,
                lambdas,
                data_type,
            } => Expr::LambdaCall {
                function,
                arguments: arguments.into_iter().map(&mut *f).collect::<Result<_>>()?,
                lambdas: lambdas
                    .into_iter()
                    .map(|l| Ok(Lambda { body: f(l.body)?, ..l }))
                    .collect::<Result<_>>()?,
                data_type,
            },
            Expr::AnySubquery {
                expr,
                op,
                subquery,
                negated,
            } => Expr::AnySubquery {
                expr: boxed(expr)?,
                op,
                subquery,
                negated,
            },
        })
    }

    /// The columns mentioned, outer columns of subqueries included.
    pub fn collect_columns(&self, into: &mut HashSet<ColumnId>) {
        self.visit(&mut |e| match e {
            Expr::Column(field) => {
                into.insert(field.id);
            }
            Expr::ScalarSubquery(s) | Expr::Exists { subquery: s, .. } | Expr::AnySubquery { subquery: s, .. } => {
                into.extend(s.outer.iter().map(|f| f.id));
            }
            _ => {}
        });
    }

    /// The columns mentioned.
    pub fn columns(&self) -> HashSet<ColumnId> {
        let mut ids = HashSet::new();
        self.collect_columns(&mut ids);
        ids
    }

    pub fn has_subquery(&self) -> bool {
        let mut found = false;
        self.visit(&mut |e| {
            found |= matches!(
                e,
                Expr::ScalarSubquery(_) | Expr::Exists { .. } | Expr::AnySubquery { .. }
            );
        });
        found
    }

    /// Puts the mapped expression in the place of each mapped column. Columns inside subquery plans are replaced too
    /// when they are mapped to columns.
    pub fn replace_columns(self, map: &HashMap<ColumnId, Expr>) -> Result<Expr> {
        self.transform(&mut |e| {
            Ok(match e {
                Expr::Column(ref field) => map.get(&field.id).cloned().unwrap_or(e),
                Expr::ScalarSubquery(s) => Expr::ScalarSubquery(replace_in_subquery(s, map)?),
                Expr::Exists { subquery, negated } => Expr::Exists {
                    subquery: replace_in_subquery(subquery, map)?,
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
                    subquery: replace_in_subquery(subquery, map)?,
                    negated,
                },
                other => other,
            })
        })
    }
}

fn replace_in_subquery(s: super::Subquery, map: &HashMap<ColumnId, Expr>) -> Result<super::Subquery> {
    if !s.outer.iter().any(|f| map.contains_key(&f.id)) {
        return Ok(s);
    }
    let plan = s
        .plan
        .as_ref()
        .clone()
        .transform_expressions(&mut |e| e.replace_columns(map))?;
    let mut outer: Vec<Field> = vec![];
    for field in s.outer {
        match map.get(&field.id) {
            None => outer.push(field),
            Some(e) => e.visit(&mut |e| {
                if let Expr::Column(f) = e {
                    outer.push(f.clone());
                }
            }),
        }
    }
    Ok(super::Subquery {
        plan: Arc::new(plan),
        outer,
    })
}

impl AggregateCall {
    /// Every expression of the call.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.arguments
            .iter()
            .chain(&self.filter)
            .chain(self.order_by.iter().map(|k| &k.expr))
    }

    /// The same call with each expression replaced.
    pub fn map_expressions(self, f: &mut dyn FnMut(Expr) -> Result<Expr>) -> Result<Self> {
        Ok(Self {
            arguments: self.arguments.into_iter().map(&mut *f).collect::<Result<_>>()?,
            filter: self.filter.map(&mut *f).transpose()?,
            order_by: self.order_by.into_iter().map(|k| k.map(f)).collect::<Result<_>>()?,
            ..self
        })
    }
}

impl SortKey {
    pub fn map(self, f: &mut dyn FnMut(Expr) -> Result<Expr>) -> Result<Self> {
        Ok(Self {
            expr: f(self.expr)?,
            ..self
        })
    }
}

impl WindowCall {
    /// Every expression of the call.
    pub fn expressions(&self) -> Vec<&Expr> {
        let mut all: Vec<&Expr> = match &self.target {
            WindowTarget::Window { arguments, .. } => arguments.iter().collect(),
            WindowTarget::Aggregate(call) => call.expressions().collect(),
        };
        all.extend(&self.partition_by);
        all.extend(self.order_by.iter().map(|k| &k.expr));
        for bound in [&self.frame.start, &self.frame.end] {
            if let FrameBound::Preceding(e) | FrameBound::Following(e) = bound {
                all.push(e);
            }
        }
        all
    }

    /// The same call with each expression replaced.
    pub fn map_expressions(self, f: &mut dyn FnMut(Expr) -> Result<Expr>) -> Result<Self> {
        let target = match self.target {
            WindowTarget::Window {
                function,
                arguments,
                ignore_nulls,
            } => WindowTarget::Window {
                function,
                arguments: arguments.into_iter().map(&mut *f).collect::<Result<_>>()?,
                ignore_nulls,
            },
            WindowTarget::Aggregate(call) => WindowTarget::Aggregate(call.map_expressions(f)?),
        };
        let bound = |b: FrameBound, f: &mut dyn FnMut(Expr) -> Result<Expr>| -> Result<FrameBound> {
            Ok(match b {
                FrameBound::Preceding(e) => FrameBound::Preceding(f(e)?),
                FrameBound::Following(e) => FrameBound::Following(f(e)?),
                other => other,
            })
        };
        Ok(Self {
            target,
            partition_by: self.partition_by.into_iter().map(&mut *f).collect::<Result<_>>()?,
            order_by: self.order_by.into_iter().map(|k| k.map(f)).collect::<Result<_>>()?,
            frame: super::WindowFrame {
                units: self.frame.units,
                start: bound(self.frame.start, f)?,
                end: bound(self.frame.end, f)?,
            },
            data_type: self.data_type,
        })
    }
}

impl LogicalPlan {
    /// The expressions of this node itself.
    pub fn expressions(&self) -> Vec<&Expr> {
        match self {
            Self::Scan(n) => n.filters.iter().collect(),
            Self::Values(n) => n.rows.iter().flatten().collect(),
            Self::Project(n) => n.expressions.iter().collect(),
            Self::Filter(n) => vec![&n.predicate],
            Self::Join(n) => n.on.iter().flat_map(|k| [&k.left, &k.right]).chain(&n.filter).collect(),
            Self::Aggregate(n) => n
                .groups
                .iter()
                .chain(n.aggregates.iter().flat_map(|a| a.expressions()))
                .collect(),
            Self::Window(n) => n.calls.iter().flat_map(|c| c.expressions()).collect(),
            Self::Sort(n) => n.keys.iter().map(|k| &k.expr).collect(),
            Self::Unnest(n) => n.expressions.iter().collect(),
            Self::Limit(_) | Self::Union(_) | Self::Cte(_) | Self::CteReference(_) => vec![],
        }
    }

    /// The same node with each of its own expressions replaced (inputs untouched).
    pub fn map_expressions(self, f: &mut dyn FnMut(Expr) -> Result<Expr>) -> Result<Self> {
        let all =
            |v: Vec<Expr>, f: &mut dyn FnMut(Expr) -> Result<Expr>| v.into_iter().map(f).collect::<Result<Vec<_>>>();
        Ok(match self {
            Self::Scan(n) => Self::Scan(Scan {
                filters: all(n.filters, f)?,
                ..n
            }),
            Self::Values(n) => Self::Values(Values {
                rows: n.rows.into_iter().map(|r| all(r, f)).collect::<Result<_>>()?,
                ..n
            }),
            Self::Project(n) => Self::Project(Project {
                expressions: all(n.expressions, f)?,
                ..n
            }),
            Self::Filter(n) => Self::Filter(Filter {
                predicate: f(n.predicate)?,
                ..n
            }),
            Self::Join(n) => {
                let on = n.on.into_iter().map(|k| {
                    Ok(JoinKey {
                        left: f(k.left)?,
                        right: f(k.right)?,
                        ..k
                    })
                });
                Self::Join(Join {
                    on: on.collect::<Result<_>>()?,
                    filter: n.filter.map(f).transpose()?,
                    ..n
                })
            }
            Self::Aggregate(n) => Self::Aggregate(Aggregate {
                groups: all(n.groups, f)?,
                aggregates: n
                    .aggregates
                    .into_iter()
                    .map(|a| a.map_expressions(f))
                    .collect::<Result<_>>()?,
                ..n
            }),
            Self::Window(n) => Self::Window(Window {
                calls: n
                    .calls
                    .into_iter()
                    .map(|c| c.map_expressions(f))
                    .collect::<Result<_>>()?,
                ..n
            }),
            Self::Sort(n) => Self::Sort(Sort {
                keys: n.keys.into_iter().map(|k| k.map(f)).collect::<Result<_>>()?,
                ..n
            }),
            Self::Unnest(n) => Self::Unnest(Unnest {
                expressions: all(n.expressions, f)?,
                ..n
            }),
            Self::Limit(_) | Self::Union(_) | Self::Cte(_) | Self::CteReference(_) => self,
        })
    }

    /// The same node over other inputs, in the order of [`LogicalPlan::inputs`].
    pub fn map_inputs(self, f: &mut dyn FnMut(LogicalPlan) -> Result<LogicalPlan>) -> Result<Self> {
        let mut g = |p: Arc<LogicalPlan>| -> Result<Arc<LogicalPlan>> { Ok(Arc::new(f(Arc::unwrap_or_clone(p))?)) };
        Ok(match self {
            Self::Scan(_) | Self::Values(_) | Self::CteReference(_) => self,
            Self::Project(n) => Self::Project(Project {
                input: g(n.input)?,
                ..n
            }),
            Self::Filter(n) => Self::Filter(Filter {
                input: g(n.input)?,
                ..n
            }),
            Self::Join(n) => Self::Join(Join {
                left: g(n.left)?,
                right: g(n.right)?,
                ..n
            }),
            Self::Aggregate(n) => Self::Aggregate(Aggregate {
                input: g(n.input)?,
                ..n
            }),
            Self::Window(n) => Self::Window(Window {
                input: g(n.input)?,
                ..n
            }),
            Self::Sort(n) => Self::Sort(Sort {
                input: g(n.input)?,
                ..n
            }),
            Self::Limit(n) => Self::Limit(Limit {
                input: g(n.input)?,
                ..n
            }),
            Self::Union(n) => Self::Union(Union {
                inputs: n.inputs.into_iter().map(g).collect::<Result<_>>()?,
                ..n
            }),
            Self::Unnest(n) => Self::Unnest(Unnest {
                input: g(n.input)?,
                ..n
            }),
            Self::Cte(n) => Self::Cte(Cte {
                definition: g(n.definition)?,
                body: g(n.body)?,
                ..n
            }),
        })
    }

    /// Rebuilds the plan from the leaves up.
    pub fn transform_up(self, f: &mut dyn FnMut(LogicalPlan) -> Result<LogicalPlan>) -> Result<Self> {
        let rebuilt = self.map_inputs(&mut |input| input.transform_up(f))?;
        f(rebuilt)
    }

    /// Rewrites each expression of each node below and including this one.
    pub fn transform_expressions(self, f: &mut dyn FnMut(Expr) -> Result<Expr>) -> Result<Self> {
        self.transform_up(&mut |node| node.map_expressions(f))
    }

    /// Calls `f` on this node and everything below, parents first. Subqueries in expressions are not entered.
    pub fn visit(&self, f: &mut dyn FnMut(&LogicalPlan)) {
        f(self);
        for input in self.inputs() {
            input.visit(f);
        }
    }
}
