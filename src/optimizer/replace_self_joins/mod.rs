//! A table joined with an aggregate of itself becomes a window aggregate over the table, which is read once (WinMagic;
//! Zuzarte et al., SIGMOD 2003). Correlated scalar subqueries become such joins when they are unnested.
//!
//! ```text
//! Filter l.quantity < 0.2 * avg            Filter l.quantity < 0.2 * avg
//!   Join l.partkey = m.partkey               Join l.partkey = partkey
//!     Join l.partkey = partkey       →         Window avg(l.quantity) OVER (PARTITION BY l.partkey)
//!       Scan lineitem l                          Scan lineitem l
//!       Scan part                              Scan part
//!     Aggregate by m.partkey compute avg(m.quantity)
//!       Scan lineitem m
//! ```
//!
//! A tree of inner joins is seen as a set of relations, of which one is the aggregate, and of conditions ([`flat`]). So is
//! the aggregate's input. The join is replaced when
//! - each relation of the input is the same as one of the outer tree ([`embedding`]), its **core**;
//! - the outer conditions make each group key equal to the same expression over the core: then the group joined to a row
//!   is the group of the row's keys. There is at most one, so the join repeats no rows;
//! - each condition of the input, said of the core, is an outer condition too, or only about the keys, which are those of
//!   a group: then the core's part of every row that comes out is a row that was aggregated, and its group is there.
//!
//! The window stands directly on the core, below all other relations, which may repeat or remove rows as they did before.
//! Equalities of the keys stay as conditions; one of a key with itself still says that it is not NULL.

mod embedding;
mod flat;

use super::push_down_filter::push_down_filter;
use super::share_common_plans::rows_read;
use crate::config::Config;
use crate::error::Result;
use crate::logical::statistics::estimate;
use crate::logical::{
    Aggregate, AggregateCall, BinaryOp, Expr, Filter, FrameBound, FrameUnits, JoinKey, JoinKind, LogicalPlan,
    PlanBuilder, Project, Window, WindowCall, WindowFrame, WindowTarget,
};
use crate::types::{ColumnId, DataType, Schema};
use embedding::Embedding;
use flat::{Equalities, Flat};
use std::collections::HashMap;
use std::sync::Arc;

/// A row costs about so many times more in a window than it costs to be read and left out by a filter.
const WINDOW_ROW: f64 = 30.0;

/// Replaces joins with aggregates over a part of the same join.
pub(super) fn replace_self_joins(plan: LogicalPlan, config: &Config) -> Result<LogicalPlan> {
    if let Some(replaced) = replace_at(&plan, config)? {
        return replace_self_joins(replaced, config);
    }
    plan.map_inputs(&mut |input| replace_self_joins(input, config))
}

/// The plan without one of the aggregates that are relations of the joins at its root.
fn replace_at(plan: &LogicalPlan, config: &Config) -> Result<Option<LogicalPlan>> {
    let is_root = matches!(
        plan,
        LogicalPlan::Join(_) | LogicalPlan::Filter(_) | LogicalPlan::Project(_)
    );
    if !is_root {
        return Ok(None);
    }
    let outer = Flat::of(plan)?;
    for (i, relation) in outer.relations.iter().enumerate() {
        if let LogicalPlan::Aggregate(aggregate) = relation
            && let Some(replacement) = Replacement::find(&outer, i, aggregate)?
            && replacement.pays()?
        {
            let replaced = replacement.apply(plan.schema())?;
            return push_down_filter(replaced, config).map(Some);
        }
    }
    Ok(None)
}

/// An aggregate that can be computed over a part of the tree it is joined to.
struct Replacement<'a> {
    outer: &'a Flat,
    aggregate: &'a Aggregate,
    /// Which relation of the outer tree is the aggregate, and which are the core.
    position: usize,
    core: Vec<usize>,
    /// What must hold of the core's rows, the group keys, and the aggregates: all over columns of the core.
    conditions: Vec<Expr>,
    keys: Vec<Expr>,
    calls: Vec<AggregateCall>,
}

impl<'a> Replacement<'a> {
    fn find(outer: &'a Flat, position: usize, aggregate: &'a Aggregate) -> Result<Option<Self>> {
        if aggregate.groups.is_empty() || aggregate.grouping_sets.is_some() || !aggregate.aggregates.iter().all(suits) {
            return Ok(None);
        }
        let inner = Flat::of(&aggregate.input)?;
        embedding::find(&inner.relations, &outer.relations, position, &mut |found| {
            Self::over(outer, position, aggregate, &inner, found)
        })
    }

    /// The aggregate over the relations that an embedding found, when the outer conditions allow it.
    fn over(
        outer: &'a Flat,
        position: usize,
        aggregate: &'a Aggregate,
        inner: &Flat,
        found: &Embedding,
    ) -> Result<Option<Self>> {
        let mut over_core = |e: Expr| inner.resolve(e)?.replace_columns(&found.columns);
        let conditions = inner.conditions.iter().cloned().map(&mut over_core);
        let conditions = conditions.collect::<Result<Vec<_>>>()?;
        let keys = aggregate.groups.iter().cloned().map(&mut over_core);
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let grouped = keys
            .iter()
            .zip(aggregate.schema.iter())
            .all(|(key, f)| outer.equalities.hold(key, &Expr::Column(f.clone())));
        let exact = keys.iter().all(|key| has_one_form(&key.data_type()));
        let holds = |c: &Expr| outer.conditions.contains(c) || outer.equalities.imply(c) || is_about(c, &keys);
        if !grouped || !exact || !conditions.iter().all(holds) {
            return Ok(None);
        }
        let calls = aggregate.aggregates.iter().cloned();
        let calls = calls.map(|call| call.map_expressions(&mut over_core));
        Ok(Some(Self {
            outer,
            aggregate,
            position,
            core: found.relations.clone(),
            calls: calls.collect::<Result<_>>()?,
            conditions,
            keys,
        }))
    }

    /// The rows that are aggregated, read from the outer tree's relations.
    fn core(&self) -> LogicalPlan {
        let relations = self.core.iter().filter_map(|&i| self.outer.relations.get(i));
        filtered(product(relations.cloned()), self.conditions.clone())
    }

    /// Relations that are neither the core nor the aggregate.
    fn others(&self) -> impl Iterator<Item = &LogicalPlan> {
        let relations = self.outer.relations.iter().enumerate();
        relations
            .filter(|(i, _)| *i != self.position && !self.core.contains(i))
            .map(|(_, relation)| relation)
    }

    /// The window costs by the rows that reach it: those of the core whose keys are left by runtime filters of the other
    /// relations. It saves reading the core's tables once more.
    fn pays(&self) -> Result<bool> {
        let mut reached = self.core();
        for other in self.others() {
            let own = self.outer.conditions.iter().filter(|e| is_over(e, other.schema()));
            let tested = filtered(other.clone(), own.cloned().collect());
            let on: Vec<JoinKey> = self.keys.iter().filter_map(|k| self.key_with(k, other)).collect();
            if !on.is_empty() {
                let joined = PlanBuilder::from(reached).join_on(tested, JoinKind::LeftSemi, on, None);
                reached = joined.build();
            }
        }
        let saved: f64 = self.core.iter().map(|&i| rows_read(&self.outer.relations[i])).sum();
        Ok(estimate(&reached).rows * WINDOW_ROW <= saved)
    }

    /// The equality of a key with a value of another relation, from which a runtime filter is made.
    fn key_with(&self, key: &Expr, other: &LogicalPlan) -> Option<JoinKey> {
        let is_column = matches!(key, Expr::Column(_));
        let mut equal = self.outer.equalities.equal_to(key);
        let partner = equal.find(|e| is_column && !e.columns().is_empty() && is_over(e, other.schema()))?;
        Some(JoinKey {
            left: key.clone(),
            right: partner.clone(),
            null_safe: false,
        })
    }

    /// The joins again, with the window in the place of the core and without the aggregate.
    fn apply(&self, schema: &Schema) -> Result<LogicalPlan> {
        let groups = self.aggregate.schema.ids().zip(self.keys.iter().cloned());
        let groups: HashMap<ColumnId, Expr> = groups.collect();
        let of_core = Equalities::of(&self.conditions);
        let mut conditions = vec![];
        for e in &self.outer.conditions {
            let e = e.clone().replace_columns(&groups)?;
            if !self.conditions.contains(&e) && !of_core.imply(&e) {
                conditions.extend(without_self_equality(e));
            }
        }
        let relations = [self.window()].into_iter().chain(self.others().cloned());
        let joined = filtered(product(relations), conditions);
        let expressions = schema
            .iter()
            .map(|f| self.outer.resolve(Expr::Column(f.clone()))?.replace_columns(&groups))
            .collect::<Result<_>>()?;
        Ok(LogicalPlan::Project(Project {
            input: Arc::new(joined),
            expressions,
            schema: schema.clone(),
        }))
    }

    fn window(&self) -> LogicalPlan {
        let core = self.core();
        let call = |call: &AggregateCall| WindowCall {
            data_type: call.signature.result.clone(),
            target: WindowTarget::Aggregate(call.clone()),
            partition_by: self.keys.clone(),
            order_by: vec![],
            frame: WindowFrame {
                units: FrameUnits::Rows,
                start: FrameBound::UnboundedPreceding,
                end: FrameBound::UnboundedFollowing,
            },
        };
        let results = self.aggregate.schema.iter().skip(self.keys.len()).cloned();
        LogicalPlan::Window(Window {
            schema: core.schema().iter().cloned().chain(results).collect(),
            calls: self.calls.iter().map(call).collect(),
            input: Arc::new(core),
        })
    }
}

/// Whether a window may compute the call instead: it sees the rows of a group in another order.
fn suits(call: &AggregateCall) -> bool {
    !call.distinct && call.order_by.is_empty() && !call.expressions().any(Expr::is_volatile)
}

/// Whether equal values are the same in every respect; 0.0 and -0.0 are not.
fn has_one_form(t: &DataType) -> bool {
    !t.is_floating() && !t.is_nested()
}

/// Whether the condition mentions no other columns than keys.
fn is_about(condition: &Expr, keys: &[Expr]) -> bool {
    let is_key = |id: &ColumnId| keys.iter().any(|k| matches!(k, Expr::Column(f) if f.id == *id));
    let columns = condition.columns();
    !columns.is_empty() && columns.iter().all(is_key)
}

fn is_over(e: &Expr, schema: &Schema) -> bool {
    e.columns().iter().all(|id| schema.contains(*id))
}

/// All combinations of the relations' rows.
fn product(relations: impl Iterator<Item = LogicalPlan>) -> LogicalPlan {
    let joined = relations.reduce(|left, right| {
        PlanBuilder::from(left)
            .join_on(right, JoinKind::Inner, vec![], None)
            .build()
    });
    joined.unwrap_or_else(LogicalPlan::one_row)
}

fn filtered(plan: LogicalPlan, conditions: Vec<Expr>) -> LogicalPlan {
    match conditions.is_empty() {
        true => plan,
        false => LogicalPlan::Filter(Filter {
            input: Arc::new(plan),
            predicate: Expr::and(conditions),
        }),
    }
}

/// `x = x` says that `x` is not NULL, and of floats that it is a number.
fn without_self_equality(e: Expr) -> Option<Expr> {
    match e {
        Expr::Binary {
            op: BinaryOp::Equal,
            left,
            right,
            ..
        } if left == right && !left.data_type().is_floating() => left.nullable().then_some(Expr::IsNull {
            expr: left,
            negated: true,
        }),
        other => Some(other),
    }
}
