//! A tree of inner joins, filters and projections as what it means: relations, conditions on their rows, and computed
//! columns.

use crate::error::Result;
use crate::logical::{BinaryOp, Expr, JoinKind, LogicalPlan, Scan};
use crate::types::ColumnId;
use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Flat {
    /// Scans come without their filters.
    pub relations: Vec<LogicalPlan>,
    /// Each holds for every row that comes out.
    pub conditions: Vec<Expr>,
    /// All columns, as expressions over columns of the relations.
    columns: HashMap<ColumnId, Expr>,
    pub equalities: Equalities,
}

/// Expressions that conditions make equal, and not NULL, in every row.
#[derive(Default)]
pub(super) struct Equalities(Vec<Vec<Expr>>);

impl Flat {
    pub fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut flat = Self::default();
        flat.add(plan)?;
        flat.equalities = Equalities::of(&flat.conditions);
        Ok(flat)
    }

    fn add(&mut self, plan: &LogicalPlan) -> Result<()> {
        match plan {
            LogicalPlan::Join(n)
                if n.kind == JoinKind::Inner && n.hint.is_none() && n.dependent.is_empty() && is_steady(plan) =>
            {
                self.add(&n.left)?;
                self.add(&n.right)?;
                for key in &n.on {
                    let op = match key.null_safe {
                        true => BinaryOp::IsNotDistinctFrom,
                        false => BinaryOp::Equal,
                    };
                    self.require(Expr::compare(op, key.left.clone(), key.right.clone()))?;
                }
                n.filter.iter().try_for_each(|e| self.require(e.clone()))
            }
            LogicalPlan::Filter(n) if is_steady(plan) => {
                self.add(&n.input)?;
                self.require(n.predicate.clone())
            }
            LogicalPlan::Project(n) if is_steady(plan) => {
                self.add(&n.input)?;
                for (e, f) in n.expressions.iter().zip(n.schema.iter()) {
                    let e = self.resolve(e.clone())?;
                    self.columns.insert(f.id, e);
                }
                Ok(())
            }
            LogicalPlan::Scan(n) if n.limit.is_none() && n.filter_columns.is_empty() => {
                self.add_relation(LogicalPlan::Scan(Scan {
                    filters: vec![],
                    ..n.clone()
                }));
                n.filters.iter().try_for_each(|e| self.require(e.clone()))
            }
            other => {
                self.add_relation(other.clone());
                Ok(())
            }
        }
    }

    fn add_relation(&mut self, relation: LogicalPlan) {
        let columns = relation.schema().iter().cloned();
        self.columns.extend(columns.map(|f| (f.id, Expr::Column(f))));
        self.relations.push(relation);
    }

    fn require(&mut self, predicate: Expr) -> Result<()> {
        let conjuncts = self.resolve(predicate)?.into_conjuncts();
        self.conditions.extend(conjuncts);
        Ok(())
    }

    /// The expression over columns of the relations.
    pub fn resolve(&self, e: Expr) -> Result<Expr> {
        e.replace_columns(&self.columns)
    }
}

impl Equalities {
    pub fn of(conditions: &[Expr]) -> Self {
        let mut equalities = Self::default();
        conditions.iter().for_each(|e| equalities.note(e));
        equalities
    }

    fn note(&mut self, condition: &Expr) {
        let Some((left, right)) = sides(condition) else { return };
        let (touched, mut classes): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|class: &Vec<Expr>| class.contains(left) || class.contains(right));
        let joined = touched.into_iter().flatten().chain([left.clone(), right.clone()]);
        classes.push(joined.collect());
        self.0 = classes;
    }

    /// What is equal to an expression, itself included.
    pub fn equal_to(&self, e: &Expr) -> impl Iterator<Item = &Expr> {
        self.0.iter().filter(|class| class.contains(e)).flatten()
    }

    pub fn hold(&self, a: &Expr, b: &Expr) -> bool {
        self.equal_to(a).any(|e| e == b)
    }

    /// Whether the condition is an equality that follows.
    pub fn imply(&self, condition: &Expr) -> bool {
        sides(condition).is_some_and(|(a, b)| self.hold(a, b))
    }
}

/// The two sides of an equality.
fn sides(condition: &Expr) -> Option<(&Expr, &Expr)> {
    match condition {
        Expr::Binary {
            op: BinaryOp::Equal,
            left,
            right,
            ..
        } => Some((left.as_ref(), right.as_ref())),
        _ => None,
    }
}

/// Whether the node's expressions give the same values whenever and however often they are computed.
fn is_steady(plan: &LogicalPlan) -> bool {
    !plan.expressions().iter().any(|e| e.is_volatile() || e.has_subquery())
}
