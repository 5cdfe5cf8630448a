//! A second copy of a plan: the same rows under other column identities, so that both can stand in one plan.

use super::plan::*;
use super::{Expr, Subquery};
use crate::error::Result;
use crate::types::{ColumnId, Field, Schema};
use std::collections::HashMap;
use std::sync::Arc;

/// Old identities and what they became.
#[derive(Default)]
struct Renaming {
    columns: HashMap<ColumnId, ColumnId>,
    ctes: HashMap<CteId, CteId>,
}

impl LogicalPlan {
    /// The same plan with fresh identities for every column and common table expression that it makes. Columns of
    /// enclosing queries stay. The columns of the copy correspond to those of the original by position.
    pub fn renewed(&self) -> Result<LogicalPlan> {
        Renaming::default().plan(self.clone())
    }
}

impl Expr {
    /// The same expression with fresh identities inside its subqueries.
    pub fn renewed(&self) -> Result<Expr> {
        match self.has_subquery() {
            true => Renaming::default().expression(self.clone()),
            false => Ok(self.clone()),
        }
    }
}

impl Renaming {
    fn plan(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if let LogicalPlan::Cte(n) = &plan {
            self.ctes.insert(n.id, CteId::fresh());
        }
        let plan = plan.map_inputs(&mut |input| self.plan(input))?;
        if let LogicalPlan::Scan(n) = &plan {
            n.schema
                .iter()
                .chain(n.filter_columns.iter().map(|(f, _)| f))
                .for_each(|f| self.define(f));
        }
        let plan = plan.map_expressions(&mut |e| self.expression(e))?;
        Ok(self.own_columns(plan))
    }

    fn define(&mut self, f: &Field) {
        self.columns.entry(f.id).or_insert_with(ColumnId::fresh);
    }

    fn field(&self, f: &Field) -> Field {
        Field {
            id: self.columns.get(&f.id).copied().unwrap_or(f.id),
            ..f.clone()
        }
    }

    fn schema(&mut self, schema: &Schema) -> Schema {
        schema.iter().for_each(|f| self.define(f));
        schema.iter().map(|f| self.field(f)).collect()
    }

    /// The columns that the node itself makes or lists; its inputs and expressions are renewed already.
    fn own_columns(&mut self, plan: LogicalPlan) -> LogicalPlan {
        match plan {
            LogicalPlan::Scan(n) => LogicalPlan::Scan(Scan {
                schema: self.schema(&n.schema),
                filter_columns: n.filter_columns.iter().map(|(f, p)| (self.field(f), *p)).collect(),
                ..n
            }),
            LogicalPlan::Values(n) => LogicalPlan::Values(Values {
                schema: self.schema(&n.schema),
                ..n
            }),
            LogicalPlan::Project(n) => LogicalPlan::Project(Project {
                schema: self.schema(&n.schema),
                ..n
            }),
            LogicalPlan::Join(n) => {
                let schema = self.schema(&n.schema);
                let kind = match n.kind {
                    JoinKind::LeftMark(mark) => JoinKind::LeftMark(self.field(&mark)),
                    other => other,
                };
                let dependent = n.dependent.iter().map(|f| self.field(f)).collect();
                LogicalPlan::Join(Join {
                    schema,
                    kind,
                    dependent,
                    ..n
                })
            }
            LogicalPlan::Aggregate(n) => LogicalPlan::Aggregate(Aggregate {
                schema: self.schema(&n.schema),
                ..n
            }),
            LogicalPlan::Window(n) => LogicalPlan::Window(Window {
                schema: self.schema(&n.schema),
                ..n
            }),
            LogicalPlan::Union(n) => LogicalPlan::Union(Union {
                schema: self.schema(&n.schema),
                ..n
            }),
            LogicalPlan::Unnest(n) => LogicalPlan::Unnest(Unnest {
                schema: self.schema(&n.schema),
                ..n
            }),
            LogicalPlan::Cte(n) => LogicalPlan::Cte(Cte {
                id: self.ctes.get(&n.id).copied().unwrap_or(n.id),
                ..n
            }),
            LogicalPlan::CteReference(n) => LogicalPlan::CteReference(CteReference {
                id: self.ctes.get(&n.id).copied().unwrap_or(n.id),
                schema: self.schema(&n.schema),
                ..n
            }),
            same @ (LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_)) => same,
        }
    }

    fn expression(&mut self, e: Expr) -> Result<Expr> {
        e.transform(&mut |e| {
            Ok(match e {
                Expr::Column(f) => Expr::Column(self.field(&f)),
                Expr::ScalarSubquery(s) => Expr::ScalarSubquery(self.subquery(s)?),
                Expr::Exists { subquery, negated } => Expr::Exists {
                    subquery: self.subquery(subquery)?,
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
                    subquery: self.subquery(subquery)?,
                    negated,
                },
                other => other,
            })
        })
    }

    fn subquery(&mut self, s: Subquery) -> Result<Subquery> {
        Ok(Subquery {
            plan: Arc::new(self.plan(Arc::unwrap_or_clone(s.plan))?),
            outer: s.outer.iter().map(|f| self.field(f)).collect(),
        })
    }
}
