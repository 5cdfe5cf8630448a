//! Moves predicates that mention the outer row up through a subquery's plan, as far as they can go.
//!
//! ```text
//! Project x                               Project x, a
//!   Filter a = outer.b AND c > 1    →       Filter c > 1          and above it: a = outer.b
//!     Scan t                                  Scan t
//! ```
//!
//! Through an aggregate an equality goes by grouping on its inner side, through a window by partitioning on it, through
//! a limit by numbering the rows of each partition.

use super::{Ids, ids, mentions, refers};
use crate::error::{Error, Result};
use crate::functions;
use crate::logical::{
    Aggregate, BinaryOp, Cte, Expr, Filter, FrameBound, FrameUnits, Join, JoinKind, Limit, LogicalPlan, Project,
    SortKey, Unnest, Window, WindowCall, WindowFrame, WindowTarget,
};
use crate::types::{ColumnId, DataType, Field, ScalarValue, Schema};
use std::collections::HashMap;
use std::sync::Arc;

/// A plan and what was taken out of it.
pub(super) struct Pulled {
    /// Has the columns of the plan before, without `computed`, and those that `conditions` and `computed` mention.
    pub plan: LogicalPlan,
    /// Must hold for a row of the plan and an outer row.
    pub conditions: Vec<Expr>,
    /// Columns whose values depend on the outer row.
    pub computed: Vec<(Field, Expr)>,
}

impl Pulled {
    fn nothing(plan: LogicalPlan) -> Self {
        Self {
            plan,
            conditions: vec![],
            computed: vec![],
        }
    }

    pub fn computed_expressions(&self) -> HashMap<ColumnId, Expr> {
        self.computed.iter().map(|(f, e)| (f.id, e.clone())).collect()
    }

    fn with_plan(self, f: impl FnOnce(Arc<LogicalPlan>) -> LogicalPlan) -> Self {
        Self {
            plan: f(Arc::new(self.plan)),
            ..self
        }
    }

    /// The conditions that stay on top of the plan, when they cannot go further.
    fn put_back(self) -> LogicalPlan {
        super::filter(self.plan, self.conditions)
    }
}

/// Pulls what mentions `outer` out of `plan`. What cannot be pulled stays where it is.
pub(super) fn pull(plan: LogicalPlan, outer: &Ids) -> Result<Pulled> {
    if !mentions(&plan, outer) {
        return Ok(Pulled::nothing(plan));
    }
    match plan {
        LogicalPlan::Filter(n) => pull_filter(n, outer),
        LogicalPlan::Project(n) => pull_project(n, outer),
        LogicalPlan::Join(n) => pull_join(n, outer),
        LogicalPlan::Aggregate(n) if !n.groups.is_empty() && n.grouping_sets.is_none() => pull_aggregate(n, outer),
        LogicalPlan::Window(n) => pull_window(n, outer),
        LogicalPlan::Limit(n) => pull_limit(n, outer),
        // The order of a subquery's rows means nothing unless a limit follows.
        LogicalPlan::Sort(n) if n.fetch.is_none() => pull(Arc::unwrap_or_clone(n.input), outer),
        LogicalPlan::Unnest(n) if !n.expressions.iter().any(|e| refers(e, outer)) => pull_unnest(n, outer),
        LogicalPlan::Cte(n) if !mentions(&n.definition, outer) => {
            let pulled = pull(Arc::unwrap_or_clone(n.body), outer)?;
            Ok(pulled.with_plan(|body| {
                LogicalPlan::Cte(Cte {
                    id: n.id,
                    name: n.name,
                    definition: n.definition,
                    body,
                })
            }))
        }
        other => Ok(Pulled::nothing(other)),
    }
}

fn pull_filter(n: Filter, outer: &Ids) -> Result<Pulled> {
    let mut pulled = pull(Arc::unwrap_or_clone(n.input), outer)?;
    let computed = pulled.computed_expressions();
    let mut stay = vec![];
    for e in n.predicate.into_conjuncts() {
        let e = e.replace_columns(&computed)?;
        match refers(&e, outer) && !e.is_volatile() {
            true => pulled.conditions.push(e),
            false => stay.push(e),
        }
    }
    Ok(Pulled {
        plan: super::filter(pulled.plan, stay),
        ..pulled
    })
}

fn pull_project(n: Project, outer: &Ids) -> Result<Pulled> {
    let pulled = pull(Arc::unwrap_or_clone(n.input), outer)?;
    let known = pulled.computed_expressions();
    let (mut expressions, mut fields, mut computed) = (vec![], vec![], vec![]);
    for (e, f) in n.expressions.into_iter().zip(n.schema.iter().cloned()) {
        let e = e.replace_columns(&known)?;
        match refers(&e, outer) && !e.is_volatile() {
            true => computed.push((f, e)),
            false => {
                expressions.push(e);
                fields.push(f);
            }
        }
    }
    let later = pulled.conditions.iter().chain(computed.iter().map(|(_, e)| e));
    for f in missing(later, pulled.plan.schema(), &fields) {
        expressions.push(Expr::Column(f.clone()));
        fields.push(f);
    }
    Ok(Pulled {
        plan: LogicalPlan::Project(Project {
            input: Arc::new(pulled.plan),
            expressions,
            schema: Schema::new(fields),
        }),
        conditions: pulled.conditions,
        computed,
    })
}

/// Columns of `input` that `expressions` mention and `have` lacks.
fn missing<'a>(expressions: impl Iterator<Item = &'a Expr>, input: &Schema, have: &[Field]) -> Vec<Field> {
    let mut wanted = Ids::new();
    expressions.for_each(|e| e.collect_columns(&mut wanted));
    let lacks = |f: &&Field| wanted.contains(&f.id) && !have.iter().any(|h| h.id == f.id);
    input.iter().filter(lacks).cloned().collect()
}

/// `plan` with one more column.
pub(super) fn with_column(plan: LogicalPlan, e: Expr, field: &Field) -> LogicalPlan {
    let schema = plan.schema().clone();
    let expressions = schema.iter().cloned().map(Expr::Column).chain([e]).collect();
    LogicalPlan::Project(Project {
        input: Arc::new(plan),
        expressions,
        schema: schema.iter().cloned().chain([field.clone()]).collect(),
    })
}

/// Inner joins let everything through; others only what concerns the side whose rows all come out.
fn pull_join(n: Join, outer: &Ids) -> Result<Pulled> {
    if !n.dependent.is_empty() {
        return Ok(Pulled::nothing(LogicalPlan::Join(n)));
    }
    let original = LogicalPlan::Join(n.clone());
    let own = n.on.iter().flat_map(|k| [&k.left, &k.right]).chain(&n.filter);
    let correlated = own.into_iter().any(|e| refers(e, outer));
    let (left, right) = (Arc::unwrap_or_clone(n.left), Arc::unwrap_or_clone(n.right));
    let (l, r) = match n.kind {
        JoinKind::Inner => (pull(left, outer)?, pull(right, outer)?),
        JoinKind::Full => return Ok(Pulled::nothing(original)),
        JoinKind::Right if !correlated => (Pulled::nothing(left), pull(right, outer)?),
        _ if !correlated => (pull(left, outer)?, Pulled::nothing(right)),
        _ => return Ok(Pulled::nothing(original)),
    };
    if n.kind != JoinKind::Inner && !(l.computed.is_empty() && r.computed.is_empty()) {
        return Ok(Pulled::nothing(original));
    }
    let computed: HashMap<ColumnId, Expr> = l
        .computed_expressions()
        .into_iter()
        .chain(r.computed_expressions())
        .collect();
    let mut conditions: Vec<Expr> = l.conditions.into_iter().chain(r.conditions).collect();
    let (mut on, mut filter) = (vec![], vec![]);
    for key in n.on {
        let left = key.left.replace_columns(&computed)?;
        let right = key.right.replace_columns(&computed)?;
        match refers(&left, outer) || refers(&right, outer) {
            true => {
                let op = match key.null_safe {
                    true => BinaryOp::IsNotDistinctFrom,
                    false => BinaryOp::Equal,
                };
                conditions.push(Expr::compare(op, left, right));
            }
            false => on.push(crate::logical::JoinKey { left, right, ..key }),
        }
    }
    for e in n.filter.into_iter().flat_map(Expr::into_conjuncts) {
        let e = e.replace_columns(&computed)?;
        match refers(&e, outer) {
            true => conditions.push(e),
            false => filter.push(e),
        }
    }
    let schema = n.kind.schema(l.plan.schema(), r.plan.schema());
    Ok(Pulled {
        plan: LogicalPlan::Join(Join {
            left: Arc::new(l.plan),
            right: Arc::new(r.plan),
            on,
            filter: (!filter.is_empty()).then(|| Expr::and(filter)),
            schema,
            kind: n.kind,
            null_aware: n.null_aware,
            dependent: vec![],
            hint: n.hint,
        }),
        conditions,
        computed: l.computed.into_iter().chain(r.computed).collect(),
    })
}

/// `inner = outer` as the two sides and whether NULLs match: inner over columns of `input` only, outer over none of them.
fn equality(e: &Expr, input: &Schema) -> Option<(Expr, Expr, BinaryOp)> {
    let Expr::Binary {
        op: op @ (BinaryOp::Equal | BinaryOp::IsNotDistinctFrom),
        left,
        right,
        ..
    } = e
    else {
        return None;
    };
    let columns = ids(input);
    let inside = |e: &Expr| {
        let mentioned = e.columns();
        !mentioned.is_empty() && mentioned.is_subset(&columns)
    };
    let outside = |e: &Expr| e.columns().is_disjoint(&columns);
    match (inside(left), inside(right)) {
        (true, _) if outside(right) => Some((*left.clone(), *right.clone(), *op)),
        (_, true) if outside(left) => Some((*right.clone(), *left.clone(), *op)),
        _ => None,
    }
}

/// The input with only equalities pulled out of it: (inner side, outer side, operator) of each. `None` when columns of
/// the input depend on the outer row.
struct PulledEqualities {
    input: LogicalPlan,
    equalities: Vec<(Expr, Expr, BinaryOp)>,
}

fn pull_equalities(input: Arc<LogicalPlan>, outer: &Ids) -> Result<Option<PulledEqualities>> {
    let mut pulled = pull(Arc::unwrap_or_clone(input), outer)?;
    if !pulled.computed.is_empty() {
        return Ok(None);
    }
    let schema = pulled.plan.schema().clone();
    let mut equalities = vec![];
    pulled.conditions.retain(|e| match equality(e, &schema) {
        Some(found) => {
            equalities.push(found);
            false
        }
        None => true,
    });
    Ok(Some(PulledEqualities {
        input: pulled.put_back(),
        equalities,
    }))
}

/// An equality with the outer row selects groups when its inner side is a group. The aggregate may be one without
/// groups: who calls this then minds that no rows give no group.
pub(super) fn pull_aggregate(n: Aggregate, outer: &Ids) -> Result<Pulled> {
    let Some(pulled) = pull_equalities(n.input.clone(), outer)? else {
        return Ok(Pulled::nothing(LogicalPlan::Aggregate(n)));
    };
    let (keys, results) = n.schema.split_at(n.groups.len());
    let (mut groups, mut fields) = (n.groups.clone(), keys.to_vec());
    let mut conditions = vec![];
    for (inner, outer_side, op) in pulled.equalities {
        let position = groups.iter().position(|g| *g == inner).unwrap_or(groups.len());
        if position == groups.len() {
            fields.push(key_field(&inner));
            groups.push(inner);
        }
        conditions.push(Expr::compare(op, Expr::Column(fields[position].clone()), outer_side));
    }
    Ok(Pulled {
        plan: LogicalPlan::Aggregate(Aggregate {
            input: Arc::new(pulled.input),
            groups,
            grouping_sets: None,
            aggregates: n.aggregates,
            schema: fields.into_iter().chain(results.iter().cloned()).collect(),
        }),
        conditions,
        computed: vec![],
    })
}

fn key_field(e: &Expr) -> Field {
    match e {
        Expr::Column(f) => f.clone(),
        other => Field::new("key", other.data_type(), other.nullable()),
    }
}

fn pull_window(n: Window, outer: &Ids) -> Result<Pulled> {
    let original = LogicalPlan::Window(n.clone());
    if n.calls.iter().flat_map(|c| c.expressions()).any(|e| refers(e, outer)) {
        return Ok(Pulled::nothing(original));
    }
    let width = n.input.schema().len();
    let Some(pulled) = pull_equalities(n.input, outer)? else {
        return Ok(Pulled::nothing(original));
    };
    let mut calls = n.calls;
    for call in &mut calls {
        call.partition_by
            .extend(pulled.equalities.iter().map(|(inner, _, _)| inner.clone()));
    }
    let added = n.schema.iter().skip(width).cloned();
    let schema = pulled.input.schema().iter().cloned().chain(added).collect();
    Ok(Pulled {
        plan: LogicalPlan::Window(Window {
            input: Arc::new(pulled.input),
            calls,
            schema,
        }),
        conditions: conditions(pulled.equalities),
        computed: vec![],
    })
}

fn conditions(equalities: Vec<(Expr, Expr, BinaryOp)>) -> Vec<Expr> {
    equalities
        .into_iter()
        .map(|(inner, outer, op)| Expr::compare(op, inner, outer))
        .collect()
}

fn pull_limit(n: Limit, outer: &Ids) -> Result<Pulled> {
    let original = LogicalPlan::Limit(n.clone());
    let (order, input) = match n.input.as_ref() {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => (sort.keys.clone(), sort.input.clone()),
        _ => (vec![], n.input),
    };
    if order.iter().any(|k| refers(&k.expr, outer)) {
        return Ok(Pulled::nothing(original));
    }
    let Some(pulled) = pull_equalities(input, outer)? else {
        return Ok(Pulled::nothing(original));
    };
    if mentions(&pulled.input, outer) {
        return Ok(Pulled::nothing(original));
    }
    let partition = pulled.equalities.iter().map(|(inner, _, _)| inner.clone()).collect();
    Ok(Pulled {
        plan: limit_per_partition(pulled.input, partition, order, n.skip, n.fetch)?,
        conditions: conditions(pulled.equalities),
        computed: vec![],
    })
}

/// The rows after the first `skip`, at most `fetch`, of each partition.
pub(super) fn limit_per_partition(
    input: LogicalPlan,
    partition_by: Vec<Expr>,
    order_by: Vec<SortKey>,
    skip: u64,
    fetch: Option<u64>,
) -> Result<LogicalPlan> {
    let function = functions::window::find("row_number")
        .ok_or_else(|| Error::internal("there is no window function row_number"))?;
    let call = WindowCall {
        target: WindowTarget::Window {
            function,
            arguments: vec![],
            ignore_nulls: false,
        },
        partition_by,
        order_by,
        frame: WindowFrame {
            units: FrameUnits::Rows,
            start: FrameBound::UnboundedPreceding,
            end: FrameBound::CurrentRow,
        },
        data_type: DataType::Int64,
    };
    let number = Field::new("row_number", DataType::Int64, false);
    let schema = input.schema().iter().cloned().chain([number.clone()]).collect();
    let window = LogicalPlan::Window(Window {
        input: Arc::new(input),
        calls: vec![call],
        schema,
    });
    let bound = |op, rows: u64| {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        Expr::compare(
            op,
            Expr::Column(number.clone()),
            Expr::literal(ScalarValue::Int64(rows)),
        )
    };
    let mut kept = vec![];
    if skip > 0 {
        kept.push(bound(BinaryOp::Greater, skip));
    }
    if let Some(fetch) = fetch {
        kept.push(bound(BinaryOp::LessOrEqual, skip.saturating_add(fetch)));
    }
    Ok(super::filter(window, kept))
}

fn pull_unnest(n: Unnest, outer: &Ids) -> Result<Pulled> {
    let original = LogicalPlan::Unnest(n.clone());
    let width = n.input.schema().len();
    let pulled = pull(Arc::unwrap_or_clone(n.input), outer)?;
    if !pulled.computed.is_empty() {
        return Ok(Pulled::nothing(original));
    }
    let added = n.schema.iter().skip(width).cloned();
    let schema = pulled.plan.schema().iter().cloned().chain(added).collect();
    Ok(pulled.with_plan(|input| {
        LogicalPlan::Unnest(Unnest {
            input,
            expressions: n.expressions,
            ordinality: n.ordinality,
            outer: n.outer,
            schema,
        })
    }))
}
