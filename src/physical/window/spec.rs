//! Window calls over columns by position.

use crate::error::{Error, Result};
use crate::expression::PhysicalExpr;
use crate::functions::aggregate::{AggregateFunction, AggregateSignature, OrderKey};
use crate::functions::window::WindowKind;
use crate::logical::{AggregateCall, Expr, FrameBound, FrameUnits, SortKey, WindowCall, WindowTarget};
use crate::types::{DataType, ScalarValue, Schema};
use crate::vector::Batch;

/// One window call: the input's columns in, one column of `data_type` out.
#[derive(Debug, Clone)]
pub struct WindowSpec {
    pub function: WindowOperation,
    /// For aggregates also the keys of an ORDER BY inside the aggregate, after the arguments.
    pub arguments: Vec<PhysicalExpr>,
    pub partition_by: Vec<PhysicalExpr>,
    pub order_by: Vec<PhysicalSortKey>,
    pub frame: Frame,
    pub data_type: DataType,
}

/// What is computed.
#[derive(Debug, Clone)]
pub enum WindowOperation {
    Function { kind: WindowKind, ignore_nulls: bool },
    Aggregate(Box<AggregateOperation>),
}

/// Which aggregate is computed.
#[derive(Debug, Clone)]
pub struct AggregateOperation {
    pub function: &'static AggregateFunction,
    pub signature: AggregateSignature,
    pub constants: Vec<Option<ScalarValue>>,
    pub distinct: bool,
    /// Only rows for which this is true are aggregated.
    pub filter: Option<PhysicalExpr>,
    pub order: Vec<OrderKey>,
}

/// `ORDER BY expr`.
#[derive(Debug, Clone, PartialEq)]
pub struct PhysicalSortKey {
    pub expr: PhysicalExpr,
    pub descending: bool,
    pub nulls_first: bool,
}

/// Which rows around the current one a function sees.
#[derive(Debug, Clone)]
pub struct Frame {
    pub units: FrameUnits,
    pub start: Bound,
    pub end: Bound,
}

/// One end of a frame; offsets are not NULL.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    UnboundedPreceding,
    Preceding(ScalarValue),
    CurrentRow,
    Following(ScalarValue),
    UnboundedFollowing,
}

impl WindowSpec {
    /// The call over batches laid out as `schema`.
    ///
    /// # Errors
    /// When a frame's offset is not constant, or is NULL.
    pub fn lower(call: &WindowCall, schema: &Schema) -> Result<Self> {
        let lower = |e: &Expr| e.lower(schema);
        let (function, arguments) = match &call.target {
            WindowTarget::Window {
                function,
                arguments,
                ignore_nulls,
            } => {
                let operation = WindowOperation::Function {
                    kind: function.kind,
                    ignore_nulls: *ignore_nulls,
                };
                (operation, arguments.iter().map(lower).collect::<Result<_>>()?)
            }
            WindowTarget::Aggregate(aggregate) => lower_aggregate(aggregate, schema)?,
        };
        Ok(Self {
            function,
            arguments,
            partition_by: call.partition_by.iter().map(lower).collect::<Result<_>>()?,
            order_by: call
                .order_by
                .iter()
                .map(|k| lower_key(k, schema))
                .collect::<Result<_>>()?,
            frame: Frame {
                units: call.frame.units,
                start: lower_bound(&call.frame.start, schema)?,
                end: lower_bound(&call.frame.end, schema)?,
            },
            data_type: call.data_type.clone(),
        })
    }

    /// Whether `other` can use the same sorted rows.
    pub fn shares_sort_with(&self, other: &Self) -> bool {
        self.partition_by == other.partition_by && self.order_by == other.order_by
    }
}

fn lower_aggregate(call: &AggregateCall, schema: &Schema) -> Result<(WindowOperation, Vec<PhysicalExpr>)> {
    let keys = call.order_by.iter().map(|k| &k.expr);
    let arguments = call
        .arguments
        .iter()
        .chain(keys)
        .map(|e| e.lower(schema))
        .collect::<Result<_>>()?;
    let constant = |e: &Expr| match e {
        Expr::Literal(value, _) => Some(value.clone()),
        _ => None,
    };
    let order = |k: &SortKey| OrderKey {
        data_type: k.expr.data_type(),
        descending: k.descending,
        nulls_first: k.nulls_first,
    };
    let operation = AggregateOperation {
        function: call.function,
        signature: call.signature.clone(),
        constants: call.arguments.iter().map(constant).collect(),
        distinct: call.distinct,
        filter: call.filter.as_ref().map(|f| f.lower(schema)).transpose()?,
        order: call.order_by.iter().map(order).collect(),
    };
    Ok((WindowOperation::Aggregate(Box::new(operation)), arguments))
}

fn lower_key(key: &SortKey, schema: &Schema) -> Result<PhysicalSortKey> {
    Ok(PhysicalSortKey {
        expr: key.expr.lower(schema)?,
        descending: key.descending,
        nulls_first: key.nulls_first,
    })
}

fn lower_bound(bound: &FrameBound, schema: &Schema) -> Result<Bound> {
    Ok(match bound {
        FrameBound::UnboundedPreceding => Bound::UnboundedPreceding,
        FrameBound::Preceding(offset) => Bound::Preceding(constant_offset(offset, schema)?),
        FrameBound::CurrentRow => Bound::CurrentRow,
        FrameBound::Following(offset) => Bound::Following(constant_offset(offset, schema)?),
        FrameBound::UnboundedFollowing => Bound::UnboundedFollowing,
    })
}

fn constant_offset(offset: &Expr, schema: &Schema) -> Result<ScalarValue> {
    let mut columns = std::collections::HashSet::new();
    offset.collect_columns(&mut columns);
    if !columns.is_empty() {
        return Err(
            Error::unsupported("a window frame whose offset differs from row to row")
                .with_hint("write the offset as a constant"),
        );
    }
    let value = offset.lower(schema)?.evaluate(&Batch::new(vec![], 1))?.scalar(0)?;
    match value {
        ScalarValue::Null => Err(Error::execution("the offset of a window frame is NULL")),
        value => Ok(value),
    }
}
