//! The general way to evaluate a subquery for all outer rows at once.
//!
//! D, the distinct values of the outer columns that the subquery mentions, is joined into the subquery where it begins to
//! be mentioned, and travels up through every operator as additional columns: grouped by, partitioned by, passed on.
//! The outer rows then find their results by equality with D's columns. NULL is a value of D like any other.
//!
//! The outer rows are a common table expression, so that they are computed once for D and for the join above.

use super::pull::limit_per_partition;
use super::{Ids, ids, mentions, plain_join, restore, result_for_no_rows, union_of_rows, when_null};
use crate::error::{Error, Result};
use crate::logical::{
    Aggregate, BinaryOp, Cte, CteId, CteReference, Expr, Join, JoinKind, Limit, LogicalPlan, PlanBuilder, Project,
    Union, Unnest, Window,
};
use crate::optimizer::inline_ctes::inline_references;
use crate::types::{ColumnId, Field, Schema};
use std::collections::HashMap;
use std::sync::Arc;

/// The outer rows, and which of their columns the subquery mentions.
struct Domain {
    id: CteId,
    name: Arc<str>,
    /// Mentioned columns with their positions among the outer columns.
    columns: Vec<(Field, usize)>,
    outer: Ids,
}

/// A plan that has D's columns among its own.
struct Bound {
    plan: LogicalPlan,
    /// For each outer column the column of `plan` with its value.
    values: HashMap<ColumnId, Expr>,
}

/// `left` joined with `right`, which mentions columns of `left`.
pub(super) fn join_through_domain(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinKind,
    mut conditions: Vec<Expr>,
) -> Result<LogicalPlan> {
    let schema = left.schema().clone();
    let columns = schema
        .iter()
        .cloned()
        .enumerate()
        .filter(|(_, f)| mentions(&right, &Ids::from([f.id])))
        .map(|(i, f)| (f, i))
        .collect();
    let domain = Domain {
        id: CteId::fresh(),
        name: "outer_rows".into(),
        columns,
        outer: ids(&schema),
    };
    let bound = domain.push(right)?;
    conditions.extend(
        domain
            .columns
            .iter()
            .map(|(f, _)| same(Expr::Column(f.clone()), bound.value(f))),
    );
    let reference = LogicalPlan::CteReference(CteReference {
        id: domain.id,
        name: domain.name.clone(),
        columns: (0..schema.len()).collect(),
        schema,
    });
    Ok(LogicalPlan::Cte(Cte {
        id: domain.id,
        name: domain.name,
        definition: Arc::new(left.renewed()?),
        body: Arc::new(plain_join(reference, bound.plan, kind, conditions)),
    }))
}

/// Equality under which NULL equals NULL, in its cheapest form.
fn same(a: Expr, b: Expr) -> Expr {
    let op = match a.nullable() && b.nullable() {
        true => BinaryOp::IsNotDistinctFrom,
        false => BinaryOp::Equal,
    };
    Expr::compare(op, a, b)
}

impl Bound {
    fn value(&self, f: &Field) -> Expr {
        self.values.get(&f.id).cloned().unwrap_or(Expr::Column(f.clone()))
    }

    fn replace(&self, e: Expr) -> Result<Expr> {
        e.replace_columns(&self.values)
    }

    fn replace_all(&self, all: Vec<Expr>) -> Result<Vec<Expr>> {
        all.into_iter().map(|e| self.replace(e)).collect()
    }

    fn with_plan(self, f: impl FnOnce(Arc<LogicalPlan>) -> LogicalPlan) -> Self {
        Self {
            plan: f(Arc::new(self.plan)),
            values: self.values,
        }
    }
}

impl Domain {
    /// A fresh copy of D.
    fn rows(&self) -> Bound {
        let fields: Vec<Field> = self.columns.iter().map(|(f, _)| f.renewed()).collect();
        let values = self.columns.iter().zip(&fields);
        let values = values
            .map(|((outer, _), f)| (outer.id, Expr::Column(f.clone())))
            .collect();
        let reference = LogicalPlan::CteReference(CteReference {
            id: self.id,
            name: self.name.clone(),
            columns: self.columns.iter().map(|(_, p)| *p).collect(),
            schema: Schema::new(fields),
        });
        Bound {
            plan: PlanBuilder::from(reference).distinct().build(),
            values,
        }
    }

    /// D's columns in `bound`, in D's order.
    fn values(&self, bound: &Bound) -> Vec<Expr> {
        self.columns.iter().map(|(f, _)| bound.value(f)).collect()
    }

    /// D's columns in `bound` as fields, in D's order.
    fn fields(&self, bound: &Bound) -> Vec<Field> {
        let field = |e| match e {
            Expr::Column(f) => f,
            other => Field::new("outer", other.data_type(), other.nullable()),
        };
        self.values(bound).into_iter().map(field).collect()
    }

    fn equalities(&self, a: &Bound, b: &Bound) -> Vec<Expr> {
        let pairs = self.values(a).into_iter().zip(self.values(b));
        pairs.map(|(a, b)| same(a, b)).collect()
    }

    /// `plan` for every row of D.
    fn push(&self, plan: LogicalPlan) -> Result<Bound> {
        if !mentions(&plan, &self.outer) {
            return Ok(self.cross(plan));
        }
        match plan {
            LogicalPlan::Filter(n) => {
                let bound = self.push_into(n.input)?;
                let conjuncts = bound.replace_all(n.predicate.into_conjuncts())?;
                Ok(bound.with_plan(|input| super::filter(Arc::unwrap_or_clone(input), conjuncts)))
            }
            LogicalPlan::Project(n) => self.push_project(n),
            LogicalPlan::Join(n) => self.push_join(n),
            LogicalPlan::Aggregate(n) if n.groups.is_empty() && n.grouping_sets.is_none() => self.push_single_group(n),
            LogicalPlan::Aggregate(n) => self.push_aggregate(n),
            LogicalPlan::Window(n) => self.push_window(n),
            LogicalPlan::Sort(n) if n.fetch.is_none() => self.push_into(n.input),
            LogicalPlan::Limit(n) => self.push_limit(n),
            LogicalPlan::Union(n) => self.push_union(n),
            LogicalPlan::Unnest(n) => self.push_unnest(n),
            LogicalPlan::Values(n) => self.push(union_of_rows(n)?),
            LogicalPlan::Cte(n) if mentions(&n.definition, &self.outer) => {
                self.push(inline_references(n.id, &n.definition, Arc::unwrap_or_clone(n.body))?)
            }
            LogicalPlan::Cte(n) => {
                let bound = self.push_into(n.body)?;
                Ok(bound.with_plan(|body| {
                    LogicalPlan::Cte(Cte {
                        id: n.id,
                        name: n.name,
                        definition: n.definition,
                        body,
                    })
                }))
            }
            other => Err(Error::unsupported(format!(
                "a correlated subquery with {}",
                other.describe()
            ))),
        }
    }

    fn push_into(&self, plan: Arc<LogicalPlan>) -> Result<Bound> {
        self.push(Arc::unwrap_or_clone(plan))
    }

    fn cross(&self, plan: LogicalPlan) -> Bound {
        let rows = self.rows();
        rows.with_plan(|d| plain_join(Arc::unwrap_or_clone(d), plan, JoinKind::Inner, vec![]))
    }

    fn push_project(&self, n: Project) -> Result<Bound> {
        let bound = self.push_into(n.input)?;
        let mut expressions = bound.replace_all(n.expressions)?;
        expressions.extend(self.values(&bound));
        let schema = n.schema.iter().cloned().chain(self.fields(&bound)).collect();
        Ok(bound.with_plan(|input| {
            LogicalPlan::Project(Project {
                input,
                expressions,
                schema,
            })
        }))
    }

    fn push_join(&self, n: Join) -> Result<Bound> {
        let in_right = mentions(&n.right, &self.outer);
        match n.kind {
            JoinKind::Inner if !in_right => self.bind_left(n),
            JoinKind::Inner if !mentions(&n.left, &self.outer) => self.bind_right(n),
            JoinKind::Right if !mentions(&n.left, &self.outer) => self.bind_right(n),
            JoinKind::Right => self.bind_both(n, false),
            JoinKind::Full => self.bind_both_full(n),
            _ if !in_right => self.bind_left(n),
            _ if n.null_aware => self.bind_both_null_aware(n),
            _ => self.bind_both(n, true),
        }
    }

    fn bind_left(&self, n: Join) -> Result<Bound> {
        let bound = self.push_into(n.left.clone())?;
        let right = n.right.clone();
        rejoin(n, &bound.values, bound.plan, Arc::unwrap_or_clone(right), vec![]).map(|plan| Bound {
            plan,
            values: bound.values,
        })
    }

    fn bind_right(&self, n: Join) -> Result<Bound> {
        let bound = self.push_into(n.right.clone())?;
        let left = n.left.clone();
        rejoin(n, &bound.values, Arc::unwrap_or_clone(left), bound.plan, vec![]).map(|plan| Bound {
            plan,
            values: bound.values,
        })
    }

    /// Both sides for each row of D, joined where they belong to the same; `left_values` says whose columns survive.
    fn bind_both(&self, n: Join, left_values: bool) -> Result<Bound> {
        let left = self.push_into(n.left.clone())?;
        let right = self.push_into(n.right.clone())?;
        let equalities = self.equalities(&left, &right);
        let values = match left_values {
            true => left.values,
            false => right.values,
        };
        let plan = rejoin(n, &values, left.plan, right.plan, equalities)?;
        Ok(Bound { plan, values })
    }

    fn bind_both_full(&self, n: Join) -> Result<Bound> {
        let left = self.push_into(n.left.clone())?;
        let right = self.push_into(n.right.clone())?;
        let equalities = self.equalities(&left, &right);
        let pairs: Vec<(Expr, Expr)> = self.values(&left).into_iter().zip(self.values(&right)).collect();
        let schema = n.schema.clone();
        let plan = rejoin(n, &left.values, left.plan, right.plan, equalities)?;
        let fields: Vec<Field> = self.columns.iter().map(|(f, _)| f.renewed()).collect();
        let mut expressions: Vec<Expr> = schema.iter().cloned().map(Expr::Column).collect();
        for (a, b) in pairs {
            let nullable = |e: Expr| match e {
                Expr::Column(f) => Expr::Column(f.with_nullable(true)),
                other => other,
            };
            expressions.push(when_null(nullable(a), nullable(b)));
        }
        let values = self.columns.iter().zip(&fields);
        let values = values
            .map(|((outer, _), f)| (outer.id, Expr::Column(f.clone())))
            .collect();
        let plan = LogicalPlan::Project(Project {
            input: Arc::new(plan),
            expressions,
            schema: schema.iter().cloned().chain(fields).collect(),
        });
        Ok(Bound { plan, values })
    }

    /// `NOT IN` and the truth value of `IN` with D's columns as further keys, which null-aware joins do not have: the
    /// comparison becomes a filter.
    fn bind_both_null_aware(&self, n: Join) -> Result<Bound> {
        let left = self.push_into(n.left.clone())?;
        let right = self.push_into(n.right.clone())?;
        let same_row = self.equalities(&left, &right);
        let [key] = &n.on[..] else {
            return Err(Error::internal("a null-aware join has one key"));
        };
        let (tested, value) = (left.replace(key.left.clone())?, right.replace(key.right.clone())?);
        let matches = Expr::equal(tested.clone(), value.clone());
        let plan = match &n.kind {
            JoinKind::LeftMark(field) => {
                let copy = right.plan.renewed()?;
                let renamed: HashMap<ColumnId, Expr> = right
                    .plan
                    .schema()
                    .ids()
                    .zip(copy.schema().iter().cloned().map(Expr::Column))
                    .collect();
                let is_true = same_row.iter().cloned().chain([matches]).collect();
                let is_unknown = same_row.into_iter().chain([Expr::or(super::unknown(&tested, &value))]);
                let is_unknown = is_unknown.map(|e| e.replace_columns(&renamed)).collect::<Result<_>>()?;
                let (joined, is_true) = super::mark(left.plan, right.plan, is_true)?;
                let (joined, is_unknown) = super::mark(joined, copy, is_unknown)?;
                let value = super::three_valued(is_true, is_unknown);
                super::pull::with_column(joined, value, field)
            }
            kind => {
                let not_false = Expr::or([matches].into_iter().chain(super::unknown(&tested, &value)));
                let conditions = same_row.into_iter().chain([not_false]).collect();
                plain_join(left.plan, right.plan, kind.clone(), conditions)
            }
        };
        Ok(Bound {
            plan,
            values: left.values,
        })
    }

    /// D's columns become the first groups of every grouping set, so that the grouping id keeps its value.
    fn push_aggregate(&self, n: Aggregate) -> Result<Bound> {
        let bound = self.push_into(n.input)?;
        let added = self.values(&bound);
        let fields: Vec<Field> = match n.grouping_sets {
            None => self.fields(&bound),
            Some(_) => self.fields(&bound).iter().map(Field::renewed).collect(),
        };
        let shift = added.len();
        let sets = n.grouping_sets.map(|sets| {
            let moved = |set: Vec<usize>| (0..shift).chain(set.into_iter().map(|g| g + shift)).collect();
            sets.into_iter().map(moved).collect()
        });
        let groups = added.into_iter().chain(bound.replace_all(n.groups)?).collect();
        let aggregates = n.aggregates.into_iter();
        let aggregates = aggregates
            .map(|a| a.map_expressions(&mut |e| bound.replace(e)))
            .collect::<Result<_>>()?;
        let values = self.columns.iter().zip(&fields);
        let values = values
            .map(|((outer, _), f)| (outer.id, Expr::Column(f.clone())))
            .collect();
        let plan = LogicalPlan::Aggregate(Aggregate {
            input: Arc::new(bound.plan),
            groups,
            grouping_sets: sets,
            aggregates,
            schema: fields.into_iter().chain(n.schema.iter().cloned()).collect(),
        });
        Ok(Bound { plan, values })
    }

    /// An aggregate without groups has a row for each row of D, also where its input has none.
    fn push_single_group(&self, n: Aggregate) -> Result<Bound> {
        let schema = n.schema.clone();
        let found: Schema = schema.iter().map(|f| f.renewed().with_nullable(true)).collect();
        let for_no_rows = n
            .aggregates
            .iter()
            .map(result_for_no_rows)
            .collect::<Result<Vec<_>>>()?;
        let grouped = self.push_aggregate(Aggregate {
            schema: found.clone(),
            ..n
        })?;
        let rows = self.rows();
        let equalities = self.equalities(&rows, &grouped);
        let mut expressions = self.values(&rows);
        for (f, empty) in found.iter().zip(for_no_rows) {
            let value = Expr::Column(f.clone());
            expressions.push(match empty {
                Some(empty) => when_null(value, empty),
                None => value,
            });
        }
        let schema = self.fields(&rows).into_iter().chain(schema.iter().cloned()).collect();
        Ok(rows.with_plan(|d| {
            LogicalPlan::Project(Project {
                input: Arc::new(plain_join(
                    Arc::unwrap_or_clone(d),
                    grouped.plan,
                    JoinKind::Left,
                    equalities,
                )),
                expressions,
                schema,
            })
        }))
    }

    fn push_window(&self, n: Window) -> Result<Bound> {
        let width = n.input.schema().len();
        let bound = self.push_into(n.input)?;
        let mut calls = n
            .calls
            .into_iter()
            .map(|c| c.map_expressions(&mut |e| bound.replace(e)))
            .collect::<Result<Vec<_>>>()?;
        for call in &mut calls {
            call.partition_by.extend(self.values(&bound));
        }
        let added = n.schema.iter().skip(width).cloned();
        let schema = bound.plan.schema().iter().cloned().chain(added).collect();
        Ok(bound.with_plan(|input| LogicalPlan::Window(Window { input, calls, schema })))
    }

    fn push_limit(&self, n: Limit) -> Result<Bound> {
        let (order, input) = match n.input.as_ref() {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => (sort.keys.clone(), sort.input.clone()),
            _ => (vec![], n.input),
        };
        let bound = self.push_into(input)?;
        let order = order
            .into_iter()
            .map(|k| k.map(&mut |e| bound.replace(e)))
            .collect::<Result<_>>()?;
        let partition = self.values(&bound);
        Ok(Bound {
            plan: limit_per_partition(bound.plan, partition, order, n.skip, n.fetch)?,
            values: bound.values,
        })
    }

    fn push_union(&self, n: Union) -> Result<Bound> {
        let inputs = n
            .inputs
            .into_iter()
            .map(|input| {
                let schema = input.schema().clone();
                let bound = self.push_into(input)?;
                let all = schema.iter().cloned().chain(self.fields(&bound)).collect();
                Ok(Arc::new(restore(bound.plan, &all)))
            })
            .collect::<Result<_>>()?;
        let fields: Vec<Field> = self.columns.iter().map(|(f, _)| f.renewed()).collect();
        let values = self.columns.iter().zip(&fields);
        let values = values
            .map(|((outer, _), f)| (outer.id, Expr::Column(f.clone())))
            .collect();
        let schema = n.schema.iter().cloned().chain(fields).collect();
        let plan = LogicalPlan::Union(Union { inputs, schema });
        Ok(Bound { plan, values })
    }

    fn push_unnest(&self, n: Unnest) -> Result<Bound> {
        let width = n.input.schema().len();
        let bound = self.push_into(n.input)?;
        let expressions = bound.replace_all(n.expressions)?;
        let added = n.schema.iter().skip(width).cloned();
        let schema = bound.plan.schema().iter().cloned().chain(added).collect();
        let (ordinality, outer) = (n.ordinality, n.outer);
        Ok(bound.with_plan(|input| {
            LogicalPlan::Unnest(Unnest {
                input,
                expressions,
                ordinality,
                outer,
                schema,
            })
        }))
    }
}

/// The join `n` over other inputs, with further conditions, outer columns replaced.
fn rejoin(
    n: Join,
    values: &HashMap<ColumnId, Expr>,
    left: LogicalPlan,
    right: LogicalPlan,
    further: Vec<Expr>,
) -> Result<LogicalPlan> {
    let conjuncts = n.filter.into_iter().flat_map(Expr::into_conjuncts);
    let conditions = conjuncts
        .map(|e| e.replace_columns(values))
        .chain(further.into_iter().map(Ok))
        .collect::<Result<_>>()?;
    let mut keys = n.on;
    for key in &mut keys {
        key.left = key.left.clone().replace_columns(values)?;
        key.right = key.right.clone().replace_columns(values)?;
    }
    let mut plan = plain_join(left, right, n.kind, conditions);
    if let LogicalPlan::Join(join) = &mut plan {
        keys.append(&mut join.on);
        join.on = keys;
        join.null_aware = n.null_aware;
        join.hint = n.hint;
    }
    Ok(plan)
}
