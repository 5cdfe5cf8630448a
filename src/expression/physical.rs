//! The expression tree and its evaluation.

use super::BinaryOp;
use super::program::Program;
use crate::error::{Error, Result};
use crate::functions::scalar::lambda::LambdaFunction;
use crate::functions::scalar::{Properties, ScalarFunction};
use crate::types::{DataType, ScalarValue};
use crate::vector::{Batch, Column};
use std::sync::{Arc, OnceLock};

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
    /// A function whose last arguments are lambdas.
    LambdaCall {
        function: &'static LambdaFunction,
        arguments: Vec<PhysicalExpr>,
        /// Over the captured values and, after them, the lambda's parameters.
        lambdas: Vec<PhysicalExpr>,
        captured: Vec<PhysicalExpr>,
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
            | Self::LambdaCall { data_type, .. }
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

    /// The value for each alive row of the batch. Compiles the expression on each call: for many batches, make an
    /// [`ExpressionList`] or a [`Predicate`](super::Predicate) once.
    ///
    /// # Errors
    /// Values that cannot be computed: division by zero, overflow, casts of what does not fit.
    pub fn evaluate(&self, batch: &Batch) -> Result<Column> {
        match self {
            Self::Column { index, .. } => batch.column(*index),
            Self::Literal(value, data_type) => Column::constant(value, data_type, batch.len()),
            other => {
                let mut columns = Program::compile([other])?.evaluate(batch)?;
                columns
                    .pop()
                    .ok_or_else(|| Error::internal("an expression without value"))
            }
        }
    }

    /// The direct operands; the bodies of lambdas, which are over other columns, are none.
    pub fn children(&self) -> Vec<&PhysicalExpr> {
        match self {
            Self::Column { .. } | Self::Literal(..) => vec![],
            Self::Binary { left, right, .. } => vec![left, right],
            Self::And(parts) | Self::Or(parts) | Self::Function { arguments: parts, .. } => parts.iter().collect(),
            Self::LambdaCall {
                arguments, captured, ..
            } => arguments.iter().chain(captured).collect(),
            Self::Not(e) | Self::Negate(e) | Self::Try(e) => vec![e],
            Self::IsNull { expr, .. } | Self::Cast { expr, .. } | Self::FieldAccess { expr, .. } => vec![expr],
            Self::Case {
                branches, otherwise, ..
            } => {
                let pairs = branches.iter().flat_map(|(condition, value)| [condition, value]);
                pairs.chain(otherwise.as_deref()).collect()
            }
            Self::Like { expr, pattern, .. } => vec![expr, pattern],
            Self::InList { expr, list, .. } => std::iter::once(expr.as_ref()).chain(list).collect(),
        }
    }

    /// Positions of the columns it reads, ascending.
    pub fn columns(&self) -> Vec<usize> {
        fn collect(expr: &PhysicalExpr, into: &mut Vec<usize>) {
            if let PhysicalExpr::Column { index, .. } = expr {
                into.push(*index);
            }
            expr.children().into_iter().for_each(|child| collect(child, into));
        }
        let mut columns = vec![];
        collect(self, &mut columns);
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Whether a volatile function is called here or in a lambda here.
    fn is_volatile_itself(&self) -> bool {
        match self {
            Self::Function { function, .. } => function.properties == Properties::Volatile,
            Self::LambdaCall { lambdas, .. } => lambdas.iter().any(Self::is_volatile),
            _ => false,
        }
    }

    fn is_volatile(&self) -> bool {
        self.is_volatile_itself() || self.children().into_iter().any(Self::is_volatile)
    }

    /// Whether it reads no column and calls no volatile function.
    pub fn is_constant(&self) -> bool {
        !matches!(self, Self::Column { .. })
            && !self.is_volatile_itself()
            && self.children().into_iter().all(Self::is_constant)
    }
}

/// Several expressions over the same batches; common sub-expressions are computed once per batch. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ExpressionList {
    expressions: Arc<[PhysicalExpr]>,
    program: Arc<OnceLock<Result<Program>>>,
}

impl ExpressionList {
    pub fn new(expressions: Vec<PhysicalExpr>) -> Self {
        Self {
            expressions: expressions.into(),
            program: Arc::default(),
        }
    }

    pub fn expressions(&self) -> &[PhysicalExpr] {
        &self.expressions
    }

    /// One column per expression, with one row per alive row of the batch.
    ///
    /// # Errors
    /// As [`PhysicalExpr::evaluate`].
    pub fn evaluate(&self, batch: &Batch) -> Result<Vec<Column>> {
        let program = self.program.get_or_init(|| Program::compile(self.expressions.iter()));
        program.as_ref().map_err(Clone::clone)?.evaluate(batch)
    }
}
