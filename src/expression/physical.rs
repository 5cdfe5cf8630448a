//! The expression tree and its evaluation.

use super::BinaryOp;
use crate::error::{Error, Result};
use crate::functions::scalar::ScalarFunction;
use crate::types::{DataType, ScalarValue};
use crate::vector::{Batch, Column};

/// A value computed from the columns of a batch. The same variants as `logical::Expr`, without subqueries.
#[derive(Debug, Clone, PartialEq)]
pub enum PhysicalExpr {
    Column {
        index: usize,
        data_type: DataType,
    },
    Literal(ScalarValue, DataType),
    Binary {
        op: BinaryOp,
        left: Box<PhysicalExpr>,
        right: Box<PhysicalExpr>,
        data_type: DataType,
    },
    And(Vec<PhysicalExpr>),
    Or(Vec<PhysicalExpr>),
    Not(Box<PhysicalExpr>),
    Negate(Box<PhysicalExpr>),
    IsNull {
        expr: Box<PhysicalExpr>,
        negated: bool,
    },
    Cast {
        expr: Box<PhysicalExpr>,
        data_type: DataType,
        safe: bool,
    },
    Case {
        branches: Vec<(PhysicalExpr, PhysicalExpr)>,
        otherwise: Option<Box<PhysicalExpr>>,
        data_type: DataType,
    },
    Like {
        expr: Box<PhysicalExpr>,
        pattern: Box<PhysicalExpr>,
        escape: Option<char>,
        negated: bool,
        case_insensitive: bool,
    },
    InList {
        expr: Box<PhysicalExpr>,
        list: Vec<PhysicalExpr>,
        negated: bool,
    },
    Function {
        function: &'static ScalarFunction,
        arguments: Vec<PhysicalExpr>,
        data_type: DataType,
    },
    FieldAccess {
        expr: Box<PhysicalExpr>,
        index: usize,
        data_type: DataType,
    },
    Try(Box<PhysicalExpr>),
}

impl PhysicalExpr {
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Column { data_type, .. }
            | Self::Literal(_, data_type)
            | Self::Binary { data_type, .. }
            | Self::Cast { data_type, .. }
            | Self::Case { data_type, .. }
            | Self::Function { data_type, .. }
            | Self::FieldAccess { data_type, .. } => data_type.clone(),
            Self::Negate(e) | Self::Try(e) => e.data_type(),
            Self::And(_)
            | Self::Or(_)
            | Self::Not(_)
            | Self::IsNull { .. }
            | Self::Like { .. }
            | Self::InList { .. } => DataType::Boolean,
        }
    }

    /// The value for each alive row of the batch.
    pub fn evaluate(&self, batch: &Batch) -> Result<Column> {
        match self {
            Self::Column { index, .. } => batch.column(*index),
            Self::Literal(value, data_type) => Column::constant(value, data_type, batch.len()),
            other => Err(Error::unsupported(format!("evaluating {other:?}"))),
        }
    }
}

/// Several expressions over the same batches; common sub-expressions are computed once per batch.
#[derive(Debug, Clone)]
pub struct ExpressionList {
    expressions: Vec<PhysicalExpr>,
}

impl ExpressionList {
    pub fn new(expressions: Vec<PhysicalExpr>) -> Self {
        Self { expressions }
    }

    /// One column per expression, with one row per alive row of the batch.
    pub fn evaluate(&self, batch: &Batch) -> Result<Vec<Column>> {
        self.expressions.iter().map(|e| e.evaluate(batch)).collect()
    }
}
