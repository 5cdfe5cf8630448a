//! Window functions: `f(…) OVER (PARTITION BY … ORDER BY … frame)` and named windows.

use super::bind::{Binder, Name, at, unsupported};
use super::query::sort_key;
use super::reference::identifier;
use super::scope::Clause;
use crate::error::{Error, Result};
use crate::functions;
use crate::logical::{
    AggregateCall, Expr, FrameBound, FrameUnits, PlanBuilder, SortKey, WindowCall, WindowFrame, WindowTarget,
};
use crate::types::{ColumnId, DataType, Field, INTERVAL_DAY, INTERVAL_MONTH, is_numeric, type_name};
use sqlparser::ast::{self, NullTreatment, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType};
use std::collections::HashMap;

impl Binder<'_> {
    /// A call with OVER: a column that stands for its result.
    pub(super) fn window_function(&mut self, name: &str, f: &ast::Function, over: &WindowType) -> Result<Expr> {
        self.outside_of_lambdas(&format!("the window function {name}"))?;
        let clause = self.level()?.clause;
        if !clause.allows_windows() {
            let error = Error::plan(format!("window function {name} is not allowed in {}", clause.name()));
            return Err(error.with_hint("compute it in a subquery, or filter with QUALIFY"));
        }
        let spec = self.window_spec(over)?;
        let call = self.clause(Clause::WindowArgument, |b| b.window_call(name, f, &spec))?;
        let level = self.level()?;
        if let Some((_, field)) = level.windows.iter().find(|(c, _)| *c == call) {
            return Ok(Expr::Column(field.clone()));
        }
        let field = Field::new(name, call.data_type.clone(), true);
        level.windows.push((call, field.clone()));
        Ok(Expr::Column(field))
    }

    fn window_call(&mut self, name: &str, f: &ast::Function, spec: &WindowSpec) -> Result<WindowCall> {
        let partition_by = spec
            .partition_by
            .iter()
            .map(|e| self.expr(e))
            .collect::<Result<Vec<_>>>()?;
        let order_by = self.order_keys(&spec.order_by)?;
        let frame = self.frame(spec, &order_by)?;
        let (target, data_type) = match functions::window::find(name) {
            Some(function) => {
                let (arguments, nulls) = self.plain_arguments(name, f)?;
                if f.filter.is_some() {
                    return Err(unsupported("FILTER with this window function", f));
                }
                let types: Vec<DataType> = arguments.iter().map(Expr::data_type).collect();
                let (expected, result) = at((function.signature)(&types), f)?;
                let arguments = arguments.into_iter().zip(&expected).map(|(e, t)| e.coerce_to(t));
                let target = WindowTarget::Window {
                    function,
                    arguments: arguments.collect::<Result<_>>()?,
                    ignore_nulls: nulls == Some(NullTreatment::IgnoreNulls),
                };
                (target, result)
            }
            None => {
                let call = self.aggregate_of(name, f)?;
                let result = call.signature.result.clone();
                (WindowTarget::Aggregate(call), result)
            }
        };
        Ok(WindowCall {
            target,
            partition_by,
            order_by,
            frame,
            data_type,
        })
    }

    fn aggregate_of(&mut self, name: &str, f: &ast::Function) -> Result<AggregateCall> {
        match functions::aggregate::find(name) {
            Some(function) => self.aggregate_call(function, f),
            None if functions::scalar::find(name).is_some() => Err(Error::plan(format!(
                "{name} is neither a window function nor an aggregate"
            ))),
            None => Err(crate::logical::unknown_function(name)),
        }
    }

    pub(super) fn order_keys(&mut self, order: &[ast::OrderByExpr]) -> Result<Vec<SortKey>> {
        let keys = order.iter().map(|key| sort_key(self.expr(&key.expr)?, &key.options));
        keys.collect()
    }

    /// The specification with named windows put in.
    fn window_spec(&mut self, over: &WindowType) -> Result<WindowSpec> {
        match over {
            WindowType::NamedWindow(name) => self.named_window(name, 0),
            WindowType::WindowSpec(spec) => self.extended_window(spec, 0),
        }
    }

    fn named_window(&mut self, name: &ast::Ident, depth: usize) -> Result<WindowSpec> {
        let wanted = identifier(name);
        let windows = &self.level()?.named_windows;
        let found = windows
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(&wanted))
            .map(|(_, w)| w.clone());
        match found {
            Some(_) if depth > 50 => at(
                Err(Error::plan(format!("window \"{wanted}\" refers to itself"))),
                &Name(name),
            ),
            Some(ast::NamedWindowExpr::NamedWindow(other)) => self.named_window(&other, depth + 1),
            Some(ast::NamedWindowExpr::WindowSpec(spec)) => self.extended_window(&spec, depth + 1),
            None => {
                let names: Vec<String> = windows.iter().map(|(n, _)| n.clone()).collect();
                let error = Error::plan(format!("window \"{wanted}\" does not exist"));
                at(
                    Err(error.with_nearest(&wanted, names.iter().map(String::as_str))),
                    &Name(name),
                )
            }
        }
    }

    /// `OVER (w ORDER BY …)`: what the named window says, and more.
    fn extended_window(&mut self, spec: &WindowSpec, depth: usize) -> Result<WindowSpec> {
        let Some(name) = &spec.window_name else {
            return Ok(spec.clone());
        };
        let base = self.named_window(name, depth)?;
        if !spec.partition_by.is_empty() || (!base.order_by.is_empty() && !spec.order_by.is_empty()) {
            return at(
                Err(Error::plan("a window may only add what the named window does not say")),
                &Name(name),
            );
        }
        Ok(WindowSpec {
            window_name: None,
            partition_by: base.partition_by,
            order_by: if spec.order_by.is_empty() {
                base.order_by
            } else {
                spec.order_by.clone()
            },
            window_frame: spec.window_frame.clone().or(base.window_frame),
        })
    }

    /// The frame; the default is all rows up to the current one and its peers, or the whole partition without order.
    fn frame(&mut self, spec: &WindowSpec, order_by: &[SortKey]) -> Result<WindowFrame> {
        let Some(frame) = &spec.window_frame else {
            return Ok(WindowFrame {
                units: FrameUnits::Range,
                start: FrameBound::UnboundedPreceding,
                end: match order_by.is_empty() {
                    true => FrameBound::UnboundedFollowing,
                    false => FrameBound::CurrentRow,
                },
            });
        };
        let units = match frame.units {
            WindowFrameUnits::Rows => FrameUnits::Rows,
            WindowFrameUnits::Range => FrameUnits::Range,
            WindowFrameUnits::Groups => FrameUnits::Groups,
        };
        if units == FrameUnits::Groups && order_by.is_empty() {
            return Err(Error::plan("a GROUPS frame needs ORDER BY"));
        }
        let start = self.frame_bound(&frame.start_bound, true, units, order_by)?;
        let end = match &frame.end_bound {
            Some(bound) => self.frame_bound(bound, false, units, order_by)?,
            None => FrameBound::CurrentRow,
        };
        let rank = |b: &FrameBound| match b {
            FrameBound::UnboundedPreceding => 0,
            FrameBound::Preceding(_) => 1,
            FrameBound::CurrentRow => 2,
            FrameBound::Following(_) => 3,
            FrameBound::UnboundedFollowing => 4,
        };
        if rank(&start) > rank(&end) {
            return Err(Error::plan(format!("a frame cannot begin at {start} and end at {end}")));
        }
        Ok(WindowFrame { units, start, end })
    }

    fn frame_bound(
        &mut self,
        bound: &WindowFrameBound,
        is_start: bool,
        units: FrameUnits,
        order_by: &[SortKey],
    ) -> Result<FrameBound> {
        Ok(match (bound, is_start) {
            (WindowFrameBound::CurrentRow, _) => FrameBound::CurrentRow,
            (WindowFrameBound::Preceding(None), true) => FrameBound::UnboundedPreceding,
            (WindowFrameBound::Following(None), false) => FrameBound::UnboundedFollowing,
            (WindowFrameBound::Preceding(None), false) => {
                return Err(Error::plan("a frame cannot end at UNBOUNDED PRECEDING"));
            }
            (WindowFrameBound::Following(None), true) => {
                return Err(Error::plan("a frame cannot begin at UNBOUNDED FOLLOWING"));
            }
            (WindowFrameBound::Preceding(Some(e)), _) => FrameBound::Preceding(self.offset(e, units, order_by)?),
            (WindowFrameBound::Following(Some(e)), _) => FrameBound::Following(self.offset(e, units, order_by)?),
        })
    }

    /// `n PRECEDING`: rows or groups are counted in bigint; a range is measured in the type of the one sort key.
    fn offset(&mut self, e: &ast::Expr, units: FrameUnits, order_by: &[SortKey]) -> Result<Expr> {
        let offset = self.expr(e)?;
        if let Expr::Literal(value, _) = &offset
            && (value.is_null() || value.as_f64().is_some_and(|v| v < 0.0))
        {
            return at(Err(Error::plan("a frame's offset must not be negative or NULL")), e);
        }
        if units != FrameUnits::Range {
            return at(offset.coerce_to(&DataType::Int64), e);
        }
        let [key] = order_by else {
            return at(
                Err(Error::plan(
                    "a RANGE frame with an offset needs exactly one ORDER BY key",
                )),
                e,
            );
        };
        let (key_type, found) = (key.expr.data_type(), offset.data_type());
        let is_interval = found == INTERVAL_DAY || found == INTERVAL_MONTH;
        match &key_type {
            t if is_numeric(t) && is_numeric(&found) => at(offset.coerce_to(t), e),
            DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) if is_interval => Ok(offset),
            t => at(
                Err(Error::plan(format!(
                    "a RANGE frame over {} cannot have an offset of {}",
                    type_name(t),
                    type_name(&found)
                ))),
                e,
            ),
        }
    }
}

/// Window functions and the columns that stand for them.
type Found = Vec<(WindowCall, Field)>;

/// Adds one Window node for each way of partitioning and ordering, and says what the placeholders became.
pub(super) fn add_windows(mut plan: PlanBuilder, found: Found) -> Result<(PlanBuilder, HashMap<ColumnId, Expr>)> {
    let mut results = HashMap::new();
    let mut rest = found;
    while let Some((first, _)) = rest.first() {
        let (partition_by, order_by) = (first.partition_by.clone(), first.order_by.clone());
        let (same, others): (Found, Found) = rest
            .into_iter()
            .partition(|(c, _)| c.partition_by == partition_by && c.order_by == order_by);
        rest = others;
        let before = plan.schema().len();
        let (calls, placeholders): (Vec<WindowCall>, Vec<Field>) = same.into_iter().unzip();
        plan = plan.window(calls.into_iter().map(|c| (c.clone(), c.to_string().into())).collect());
        for (placeholder, f) in placeholders.iter().zip(plan.schema().iter().skip(before)) {
            results.insert(placeholder.id, Expr::Column(f.clone()));
        }
    }
    Ok((plan, results))
}
