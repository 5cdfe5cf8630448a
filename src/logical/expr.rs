//! Typed expressions over columns of a plan.

use super::plan::LogicalPlan;
use crate::error::{Error, Result};
use crate::expression::BinaryOp;
use crate::functions::aggregate::{AggregateFunction, AggregateSignature};
use crate::functions::scalar::lambda::LambdaFunction;
use crate::functions::scalar::{Properties, ScalarFunction};
use crate::functions::window::WindowFunction;
use crate::types::{DataType, Field, ScalarValue, is_castable, type_name};
use std::sync::Arc;

/// A value computed from one row. Types are settled: both sides of a comparison have one type, casts are explicit.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A column of the input, by identity.
    Column(Field),
    /// A constant; the type matters for NULL.
    Literal(ScalarValue, DataType),
    /// Arithmetic, comparison, concatenation.
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
        data_type: DataType,
    },
    /// All of (flat: never an `And` directly below); true when empty.
    And(Vec<Expr>),
    /// Any of (flat: never an `Or` directly below); false when empty.
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    /// `IS NULL`, or `IS NOT NULL` when negated.
    IsNull {
        expr: Box<Expr>,
        negated: bool,
    },
    /// `CAST`, or `TRY_CAST` when `safe`: a value that cannot be converted becomes NULL.
    Cast {
        expr: Box<Expr>,
        data_type: DataType,
        safe: bool,
    },
    /// `CASE WHEN condition THEN value … ELSE otherwise END`; the first true condition wins, branches not taken are not evaluated.
    Case {
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
        data_type: DataType,
    },
    Like {
        expr: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<char>,
        negated: bool,
        case_insensitive: bool,
    },
    /// `IN (…)` over expressions of one type.
    InList {
        expr: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    Function {
        function: &'static ScalarFunction,
        arguments: Vec<Expr>,
        data_type: DataType,
    },
    /// A function whose last arguments are lambdas.
    LambdaCall {
        function: &'static LambdaFunction,
        arguments: Vec<Expr>,
        lambdas: Vec<Lambda>,
        data_type: DataType,
    },
    /// A parameter of a lambda around this expression. It is no column: no plan makes it.
    Parameter(Field),
    /// Field `index` of a row.
    FieldAccess {
        expr: Box<Expr>,
        index: usize,
        data_type: DataType,
    },
    /// `TRY(expr)`: NULL where the expression fails.
    Try(Box<Expr>),
    /// The only value of the only row, NULL when there is no row, an error when there are more.
    ScalarSubquery(Subquery),
    Exists {
        subquery: Subquery,
        negated: bool,
    },
    /// `expr op ANY (subquery)`; `IN` is `= ANY`. `ALL` is bound as the negation of `ANY` with the negated operator.
    AnySubquery {
        expr: Box<Expr>,
        op: BinaryOp,
        subquery: Subquery,
        negated: bool,
    },
}

/// `(x, y) -> body`. The body may also mention columns, and the parameters of lambdas further out.
#[derive(Debug, Clone, PartialEq)]
pub struct Lambda {
    pub parameters: Vec<Field>,
    pub body: Expr,
}

/// A query inside an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    pub plan: Arc<LogicalPlan>,
    /// Columns of enclosing queries that the plan mentions; empty when it is uncorrelated.
    pub outer: Vec<Field>,
}

/// One aggregate of an `Aggregate` node.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateCall {
    pub function: &'static AggregateFunction,
    /// Already cast to `signature.arguments`.
    pub arguments: Vec<Expr>,
    pub distinct: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Expr>,
    /// `array_agg(x ORDER BY y)`, `listagg(…) WITHIN GROUP (ORDER BY y)`.
    pub order_by: Vec<SortKey>,
    pub signature: AggregateSignature,
}

/// One function of a `Window` node.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowCall {
    pub target: WindowTarget,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<SortKey>,
    pub frame: WindowFrame,
    pub data_type: DataType,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WindowTarget {
    Window {
        function: &'static WindowFunction,
        arguments: Vec<Expr>,
        ignore_nulls: bool,
    },
    Aggregate(AggregateCall),
}

#[derive(Debug, Clone, PartialEq)]
pub struct WindowFrame {
    pub units: FrameUnits,
    pub start: FrameBound,
    pub end: FrameBound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameUnits {
    Rows,
    Range,
    Groups,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(Expr),
    CurrentRow,
    Following(Expr),
    UnboundedFollowing,
}

/// `ORDER BY expr`; NULLs are last unless asked otherwise (Trino: also when descending).
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: bool,
}

impl PartialEq for ScalarFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl PartialEq for AggregateFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl PartialEq for WindowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Expr {
    pub fn literal(value: ScalarValue) -> Self {
        let data_type = value.data_type();
        Self::Literal(value, data_type)
    }

    pub fn boolean(value: bool) -> Self {
        Self::literal(ScalarValue::Boolean(value))
    }

    pub fn null(data_type: DataType) -> Self {
        Self::Literal(ScalarValue::Null, data_type)
    }

    /// `left op right` for a comparison whose sides already have one type.
    pub fn compare(op: BinaryOp, left: Expr, right: Expr) -> Self {
        Self::Binary {
            op,
            left: Box::new(left),
            right: Box::new(right),
            data_type: DataType::Boolean,
        }
    }

    pub fn equal(left: Expr, right: Expr) -> Self {
        Self::compare(BinaryOp::Equal, left, right)
    }

    /// All of `parts`, flattened; the single part itself when there is one.
    pub fn and(parts: impl IntoIterator<Item = Expr>) -> Self {
        let mut flat = vec![];
        for part in parts {
            match part {
                Expr::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        if flat.len() == 1 {
            flat.remove(0)
        } else {
            Self::And(flat)
        }
    }

    /// Any of `parts`, flattened; the single part itself when there is one.
    pub fn or(parts: impl IntoIterator<Item = Expr>) -> Self {
        let mut flat = vec![];
        for part in parts {
            match part {
                Expr::Or(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        if flat.len() == 1 {
            flat.remove(0)
        } else {
            Self::Or(flat)
        }
    }

    /// The conjuncts of a predicate.
    pub fn into_conjuncts(self) -> Vec<Expr> {
        match self {
            Expr::And(parts) => parts.into_iter().flat_map(Expr::into_conjuncts).collect(),
            other => vec![other],
        }
    }

    /// `self` cast to `data_type`; itself when it already has it. Literals NULL change their type in place.
    ///
    /// # Errors
    /// When the types cannot be cast.
    pub fn cast_to(self, data_type: &DataType) -> Result<Self> {
        let from = self.data_type();
        if from == *data_type {
            return Ok(self);
        }
        if let Expr::Literal(ScalarValue::Null, _) = self {
            return Ok(Expr::null(data_type.clone()));
        }
        if !is_castable(&from, data_type) {
            return Err(Error::plan(format!(
                "cannot cast {} to {}",
                type_name(&from),
                type_name(data_type)
            )));
        }
        Ok(Expr::Cast {
            expr: Box::new(self),
            data_type: data_type.clone(),
            safe: false,
        })
    }

    pub fn is_literal(&self) -> bool {
        matches!(self, Expr::Literal(..))
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Expr::Column(field) | Expr::Parameter(field) => field.data_type.clone(),
            Expr::Literal(_, t) => t.clone(),
            Expr::Binary { data_type, .. }
            | Expr::Cast { data_type, .. }
            | Expr::Case { data_type, .. }
            | Expr::Function { data_type, .. }
            | Expr::LambdaCall { data_type, .. }
            | Expr::FieldAccess { data_type, .. } => data_type.clone(),
            Expr::And(_) | Expr::Or(_) | Expr::Not(_) | Expr::IsNull { .. } | Expr::Like { .. } => DataType::Boolean,
            Expr::InList { .. } | Expr::Exists { .. } | Expr::AnySubquery { .. } => DataType::Boolean,
            Expr::Negate(e) | Expr::Try(e) => e.data_type(),
            Expr::ScalarSubquery(s) => s.plan.schema().first().map_or(DataType::Null, |f| f.data_type.clone()),
        }
    }

    /// Whether the result can be NULL: an upper bound.
    pub fn nullable(&self) -> bool {
        match self {
            Expr::Column(field) => field.nullable,
            Expr::Literal(v, _) => v.is_null(),
            Expr::IsNull { .. } | Expr::Exists { .. } => false,
            Expr::Binary {
                op: BinaryOp::IsDistinctFrom | BinaryOp::IsNotDistinctFrom,
                ..
            } => false,
            Expr::Binary { left, right, .. } => left.nullable() || right.nullable(),
            Expr::And(parts) | Expr::Or(parts) => parts.iter().any(Expr::nullable),
            Expr::Not(e)
            | Expr::Negate(e)
            | Expr::Cast {
                expr: e, safe: false, ..
            } => e.nullable(),
            Expr::Like { expr, pattern, .. } => expr.nullable() || pattern.nullable(),
            Expr::InList { expr, list, .. } => expr.nullable() || list.iter().any(Expr::nullable),
            Expr::Case {
                branches, otherwise, ..
            } => otherwise.as_ref().is_none_or(|e| e.nullable()) || branches.iter().any(|(_, v)| v.nullable()),
            _ => true,
        }
    }

    /// Whether some part of the expression gives a new value at each call.
    pub fn is_volatile(&self) -> bool {
        let mut found = false;
        self.visit(&mut |e| {
            found |= matches!(e, Expr::Function { function, .. } if function.properties == Properties::Volatile);
        });
        found
    }

    /// The name an unaliased select item gets, when it has a natural one.
    pub fn natural_name(&self) -> Option<Arc<str>> {
        match self {
            Expr::Column(field) => Some(field.name.clone()),
            Expr::FieldAccess { expr, index, .. } => match expr.data_type() {
                DataType::Struct(fields) => fields.get(*index).map(|f| f.name().as_str().into()),
                _ => None,
            },
            _ => None,
        }
    }
}
