//! Can a predicate hold for any row whose columns lie within given bounds?

use super::PhysicalExpr;
use crate::types::ScalarValue;

/// What is known of a predicate over all rows within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Never,
    Always,
    Maybe,
}

/// What is known of a column's values.
#[derive(Debug, Clone)]
pub struct Bounds {
    pub min: Option<ScalarValue>,
    pub max: Option<ScalarValue>,
    pub nulls: Option<u64>,
    pub rows: Option<u64>,
}

impl Bounds {
    /// A column with the same value in all `rows` rows.
    pub fn constant(value: &ScalarValue, rows: u64) -> Self {
        let known = (!value.is_null()).then(|| value.clone());
        Self {
            min: known.clone(),
            max: known,
            nulls: Some(if value.is_null() { rows } else { 0 }),
            rows: Some(rows),
        }
    }
}

/// Whether the predicate is true for no row, every row, or possibly some.
pub fn verdict(_expr: &PhysicalExpr, _bounds: &dyn Fn(usize) -> Option<Bounds>) -> Verdict {
    Verdict::Maybe
}
