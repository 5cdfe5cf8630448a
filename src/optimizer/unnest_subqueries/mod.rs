//! Turns every subquery inside an expression, and every LATERAL, into a join whose sides do not mention each other.
//!
//! A subquery becomes a join of the row it stands in with the subquery's rows: semi or anti join for EXISTS and IN that
//! filter, mark join where their truth value is used otherwise, an outer join with at most one match for a scalar. When
//! the right side mentions columns of the left (a dependent join), two steps remove that:
//!
//! 1. [`pull`]: predicates that mention the left side move up into the join condition, through projections, joins, and,
//!    when they are equalities, through aggregates, windows and limits by grouping on the inner side. This is all that
//!    common queries need.
//! 2. [`domain`]: for the rest, the distinct values D of the mentioned columns are joined into the right side from below
//!    (Neumann and Kemper, "Unnesting Arbitrary Queries", BTW 2015), whatever operators it has.

mod domain;
mod pull;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::logical::{
    AggregateCall, BinaryOp, Expr, Filter, Join, JoinKey, JoinKind, Limit, LogicalPlan, PlanBuilder, Project, Subquery,
    Union, Values, split_condition,
};
use crate::types::{ColumnId, DataType, Field, ScalarValue, Schema};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

type Ids = HashSet<ColumnId>;

/// Leaves a plan without subqueries in expressions and without dependent joins.
pub(super) fn unnest_subqueries(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    unnest(plan)
}

/// Inner subqueries first: what they mention of outer queries stays as it is until the outer query is reached.
fn unnest(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.map_inputs(&mut unnest)?;
    let schema = plan.schema().clone();
    let has_subquery = plan.expressions().iter().any(|e| e.has_subquery());
    let unnested = match plan {
        LogicalPlan::Join(n) if !n.dependent.is_empty() => unnest_lateral(n)?,
        LogicalPlan::Join(n) if has_subquery => unnest_join_condition(n)?,
        LogicalPlan::Filter(n) if has_subquery => unnest_filter(n)?,
        LogicalPlan::Values(n) if has_subquery => unnest(union_of_rows(n)?)?,
        other if has_subquery => unnest_expressions(other)?,
        other => return Ok(other),
    };
    Ok(restore(unnested, &schema))
}

/// `plan` with only the columns of `schema`, in that order.
fn restore(plan: LogicalPlan, schema: &Schema) -> LogicalPlan {
    if plan.schema().ids().eq(schema.ids()) {
        return plan;
    }
    let expressions = schema
        .iter()
        .map(|f| match plan.schema().position(f.id) {
            Some(i) => Expr::Column(plan.schema()[i].clone()),
            None => Expr::Column(f.clone()),
        })
        .collect();
    LogicalPlan::Project(Project {
        input: Arc::new(plan),
        expressions,
        schema: schema.clone(),
    })
}

fn filter(input: LogicalPlan, conjuncts: Vec<Expr>) -> LogicalPlan {
    match conjuncts.is_empty() {
        true => input,
        false => LogicalPlan::Filter(Filter {
            input: Arc::new(input),
            predicate: Expr::and(conjuncts),
        }),
    }
}

/// Whether some expression of the plan mentions one of the columns.
fn mentions(plan: &LogicalPlan, columns: &Ids) -> bool {
    let mut found = false;
    plan.visit(&mut |node| {
        found |= node.expressions().iter().any(|e| refers(e, columns));
    });
    found
}

fn refers(e: &Expr, columns: &Ids) -> bool {
    e.columns().iter().any(|id| columns.contains(id))
}

fn ids(schema: &Schema) -> Ids {
    schema.ids().collect()
}

fn column(schema: &Schema, id: ColumnId) -> Result<Expr> {
    let position = schema.require(id)?;
    Ok(Expr::Column(schema[position].clone()))
}

/// The only column of a subquery that is compared or used as a value.
fn only_column(plan: &LogicalPlan) -> Result<Field> {
    match &plan.schema()[..] {
        [f] => Ok(f.clone()),
        other => Err(Error::plan(format!(
            "a subquery used as a value must have one column, found {}",
            other.len()
        ))),
    }
}

// Where subqueries stand

/// Conjuncts without subqueries filter first; EXISTS and IN become semi and anti joins; what is left becomes columns.
fn unnest_filter(n: Filter) -> Result<LogicalPlan> {
    let (with, without): (Vec<Expr>, Vec<Expr>) =
        n.predicate.into_conjuncts().into_iter().partition(Expr::has_subquery);
    let mut plan = filter(Arc::unwrap_or_clone(n.input), without);
    let mut remaining = vec![];
    for conjunct in with {
        match conjunct {
            Expr::Exists { subquery, negated } => plan = filter_exists(plan, subquery, negated)?,
            Expr::AnySubquery {
                expr,
                op,
                subquery,
                negated,
            } => {
                let expr = replace_subqueries(*expr, &mut plan)?;
                plan = filter_any(plan, expr, op, subquery, negated)?;
            }
            other => remaining.push(other),
        }
    }
    let remaining = remaining
        .into_iter()
        .map(|e| replace_subqueries(e, &mut plan))
        .collect::<Result<_>>()?;
    Ok(filter(plan, remaining))
}

/// Any node with one input: its subqueries become columns of the input.
fn unnest_expressions(plan: LogicalPlan) -> Result<LogicalPlan> {
    let [input] = plan.inputs()[..] else {
        return Err(Error::unsupported(format!("a subquery in {}", plan.describe())));
    };
    let before = input.schema().len();
    let mut input = input.as_ref().clone();
    let plan = plan.map_expressions(&mut |e| replace_subqueries(e, &mut input))?;
    let schema = input.schema().clone();
    let mut input = Some(input);
    let plan = plan.map_inputs(&mut |old| Ok(input.take().unwrap_or(old)))?;
    // Nodes that give out their input's columns and more now have more of them.
    let own = |node: &Schema| -> Schema { schema.iter().chain(node.iter().skip(before)).cloned().collect() };
    Ok(match plan {
        LogicalPlan::Window(mut n) => {
            n.schema = own(&n.schema);
            LogicalPlan::Window(n)
        }
        LogicalPlan::Unnest(mut n) => {
            n.schema = own(&n.schema);
            LogicalPlan::Unnest(n)
        }
        other => other,
    })
}

/// Rows of VALUES with subqueries: one projection for each row.
fn union_of_rows(n: Values) -> Result<LogicalPlan> {
    let mut rows = n.rows.into_iter().map(|row| {
        let items = row.into_iter().map(|e| (e, None)).collect();
        Arc::new(PlanBuilder::from(LogicalPlan::one_row()).project(items).build())
    });
    let inputs = rows.by_ref().collect();
    Ok(LogicalPlan::Union(Union {
        inputs,
        schema: n.schema,
    }))
}

/// Subqueries in ON. Of an inner join they filter its pairs; of other joins each must concern one side only, where it
/// becomes a column.
fn unnest_join_condition(n: Join) -> Result<LogicalPlan> {
    if n.kind == JoinKind::Inner {
        let condition = n.filter.into_iter().flat_map(Expr::into_conjuncts);
        let (with, without): (Vec<Expr>, Vec<Expr>) = condition.partition(Expr::has_subquery);
        let filter = (!without.is_empty()).then(|| Expr::and(without));
        let input = Arc::new(LogicalPlan::Join(Join { filter, ..n }));
        let predicate = Expr::and(with);
        return unnest_filter(Filter { input, predicate });
    }
    let (mut left, mut right) = (Arc::unwrap_or_clone(n.left), Arc::unwrap_or_clone(n.right));
    let (in_left, in_right) = (ids(left.schema()), ids(right.schema()));
    let mut conjuncts = vec![];
    for e in n.filter.into_iter().flat_map(Expr::into_conjuncts) {
        conjuncts.push(match (e.has_subquery(), refers(&e, &in_left), refers(&e, &in_right)) {
            (false, _, _) => e,
            (true, false, _) => replace_subqueries(e, &mut right)?,
            (true, true, false) => replace_subqueries(e, &mut left)?,
            (true, true, true) => {
                return Err(Error::unsupported(
                    "a subquery in the ON condition of an outer join that mentions both sides",
                ));
            }
        });
    }
    let schema = n.kind.schema(left.schema(), right.schema());
    Ok(LogicalPlan::Join(Join {
        left: Arc::new(left),
        right: Arc::new(right),
        filter: Some(Expr::and(conjuncts)),
        schema,
        ..n
    }))
}

fn unnest_lateral(n: Join) -> Result<LogicalPlan> {
    let keys = n.on.into_iter().map(|k| {
        let op = match k.null_safe {
            true => BinaryOp::IsNotDistinctFrom,
            false => BinaryOp::Equal,
        };
        Expr::compare(op, k.left, k.right)
    });
    let condition = keys
        .chain(n.filter.into_iter().flat_map(Expr::into_conjuncts))
        .collect();
    let (left, right) = (Arc::unwrap_or_clone(n.left), Arc::unwrap_or_clone(n.right));
    dependent_join(left, right, n.kind, condition)
}

// What subqueries become

fn filter_exists(left: LogicalPlan, subquery: Subquery, negated: bool) -> Result<LogicalPlan> {
    let kind = match negated {
        true => JoinKind::LeftAnti,
        false => JoinKind::LeftSemi,
    };
    let right = existence(unnest(Arc::unwrap_or_clone(subquery.plan))?);
    dependent_join(left, right, kind, vec![])
}

/// What must be computed to know whether there are rows.
fn existence(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Limit(Limit {
            input,
            skip: 0,
            fetch: None | Some(1..),
        }) => existence(Arc::unwrap_or_clone(input)),
        other => other,
    }
}

fn filter_any(left: LogicalPlan, expr: Expr, op: BinaryOp, subquery: Subquery, negated: bool) -> Result<LogicalPlan> {
    let right = unnest(Arc::unwrap_or_clone(subquery.plan))?;
    let value = only_column(&right)?;
    let nullable = expr.nullable() || value.nullable;
    let correlated = mentions(&right, &ids(left.schema()));
    let (tested, value) = (expr, Expr::Column(value));
    let matches = Expr::compare(op, tested.clone(), value.clone());
    match (negated, nullable) {
        (false, _) => dependent_join(left, right, JoinKind::LeftSemi, vec![matches]),
        (true, false) => dependent_join(left, right, JoinKind::LeftAnti, vec![matches]),
        (true, true) if op == BinaryOp::Equal && !correlated => {
            Ok(null_aware_join(left, right, JoinKind::LeftAnti, tested, value))
        }
        // NOT IN keeps a row when no comparison is true or unknown.
        (true, true) => {
            let not_false = Expr::or([matches].into_iter().chain(unknown(&tested, &value)));
            dependent_join(left, right, JoinKind::LeftAnti, vec![not_false])
        }
    }
}

/// When a comparison of the two is neither true nor false.
fn unknown(a: &Expr, b: &Expr) -> Vec<Expr> {
    let is_null = |e: &Expr| Expr::IsNull {
        expr: Box::new(e.clone()),
        negated: false,
    };
    [a, b].into_iter().filter(|e| e.nullable()).map(is_null).collect()
}

fn null_aware_join(left: LogicalPlan, right: LogicalPlan, kind: JoinKind, a: Expr, b: Expr) -> LogicalPlan {
    let key = JoinKey {
        left: a,
        right: b,
        null_safe: false,
    };
    let schema = kind.schema(left.schema(), right.schema());
    LogicalPlan::Join(Join {
        left: Arc::new(left),
        right: Arc::new(right),
        kind,
        on: vec![key],
        filter: None,
        null_aware: true,
        dependent: vec![],
        hint: None,
        schema,
    })
}

/// `e` without subqueries: `plan` gets the columns that take their place.
fn replace_subqueries(e: Expr, plan: &mut LogicalPlan) -> Result<Expr> {
    e.transform(&mut |e| {
        let left = std::mem::replace(plan, LogicalPlan::one_row());
        let (joined, value) = match e {
            Expr::ScalarSubquery(s) => scalar(left, unnest(Arc::unwrap_or_clone(s.plan))?)?,
            Expr::Exists { subquery, negated } => {
                let right = existence(unnest(Arc::unwrap_or_clone(subquery.plan))?);
                let (joined, mark) = mark(left, right, vec![])?;
                (joined, not_if(mark, negated))
            }
            Expr::AnySubquery {
                expr,
                op,
                subquery,
                negated,
            } => {
                let right = unnest(Arc::unwrap_or_clone(subquery.plan))?;
                let (joined, mark) = any_mark(left, *expr, op, right)?;
                (joined, not_if(mark, negated))
            }
            other => (left, other),
        };
        *plan = joined;
        Ok(value)
    })
}

fn not_if(e: Expr, negated: bool) -> Expr {
    match negated {
        true => Expr::Not(Box::new(e)),
        false => e,
    }
}

/// Every left row with one more column: does a right row fulfil the conditions?
fn mark(left: LogicalPlan, right: LogicalPlan, conditions: Vec<Expr>) -> Result<(LogicalPlan, Expr)> {
    let mark = Field::new("mark", DataType::Boolean, false);
    let joined = dependent_join(left, right, JoinKind::LeftMark(mark.clone()), conditions)?;
    Ok((joined, Expr::Column(mark)))
}

/// The truth value of `tested op ANY (right)`: true when some comparison is true, else NULL when some is unknown.
fn any_mark(left: LogicalPlan, tested: Expr, op: BinaryOp, right: LogicalPlan) -> Result<(LogicalPlan, Expr)> {
    let value = Expr::Column(only_column(&right)?);
    let unknown_when = unknown(&tested, &value);
    let matches = Expr::compare(op, tested.clone(), value.clone());
    if unknown_when.is_empty() {
        return mark(left, right, vec![matches]);
    }
    if op == BinaryOp::Equal && !mentions(&right, &ids(left.schema())) {
        let field = Field::new("mark", DataType::Boolean, true);
        let joined = null_aware_join(left, right, JoinKind::LeftMark(field.clone()), tested, value);
        return Ok((joined, Expr::Column(field)));
    }
    // A second copy of the right side finds the comparisons that are unknown.
    let copy = right.renewed()?;
    let copied = Expr::Column(only_column(&copy)?);
    let (left, is_true) = mark(left, right, vec![matches])?;
    let (joined, is_unknown) = mark(left, copy, vec![Expr::or(unknown(&tested, &copied))])?;
    Ok((joined, three_valued(is_true, is_unknown)))
}

/// True, else NULL, else false.
fn three_valued(is_true: Expr, is_unknown: Expr) -> Expr {
    Expr::Case {
        branches: vec![
            (is_true, Expr::boolean(true)),
            (is_unknown, Expr::null(DataType::Boolean)),
        ],
        otherwise: Some(Box::new(Expr::boolean(false))),
        data_type: DataType::Boolean,
    }
}

/// Whether the plan has at most one row, whatever the data.
pub(in crate::optimizer) fn at_most_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(n) => n.groups.is_empty() && n.grouping_sets.is_none(),
        LogicalPlan::Limit(n) => n.fetch.is_some_and(|f| f <= 1) || at_most_one_row(&n.input),
        LogicalPlan::Sort(n) => n.fetch.is_some_and(|f| f <= 1) || at_most_one_row(&n.input),
        LogicalPlan::Values(n) => n.rows.len() <= 1,
        LogicalPlan::Project(n) => at_most_one_row(&n.input),
        LogicalPlan::Filter(n) => at_most_one_row(&n.input),
        LogicalPlan::Cte(n) => at_most_one_row(&n.body),
        LogicalPlan::Join(n) => match n.kind {
            JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::LeftMark(_) | JoinKind::LeftSingle => {
                at_most_one_row(&n.left)
            }
            _ => at_most_one_row(&n.left) && at_most_one_row(&n.right),
        },
        _ => false,
    }
}

/// Every left row with the value of the scalar subquery `right` for it.
fn scalar(left: LogicalPlan, right: LogicalPlan) -> Result<(LogicalPlan, Expr)> {
    let outer = ids(left.schema());
    let value = only_column(&right)?;
    if !mentions(&right, &outer) {
        let joined = dependent_join(left, right, JoinKind::LeftSingle, vec![])?;
        let value = column(joined.schema(), value.id)?;
        return Ok((joined, value));
    }
    if let Some(parts) = above_aggregate(&right, &outer)? {
        return scalar_aggregate(left, parts, value.id);
    }
    let kind = match at_most_one_row(&right) {
        true => JoinKind::Left,
        false => JoinKind::LeftSingle,
    };
    let joined = dependent_join(left, right, kind, vec![])?;
    let value = column(joined.schema(), value.id)?;
    Ok((joined, value))
}

/// An aggregate without GROUP BY whose input is tied to the outer row by equalities only, and what is computed from it.
struct AboveAggregate {
    /// Grouped by the inner sides of the equalities.
    aggregate: LogicalPlan,
    /// The equalities, over the grouped aggregate and the outer row.
    conditions: Vec<Expr>,
    /// Aggregate results for no rows, where they are not NULL (`count`).
    empty: HashMap<ColumnId, Expr>,
    /// Columns computed above, by identity; conditions of filters above (HAVING).
    computed: HashMap<ColumnId, Expr>,
    having: Vec<Expr>,
}

/// Takes apart `Project* Filter* Aggregate(no groups)`; `None` when the plan has another form.
fn above_aggregate(plan: &LogicalPlan, outer: &Ids) -> Result<Option<AboveAggregate>> {
    match plan {
        LogicalPlan::Project(n) => {
            let Some(mut parts) = above_aggregate(&n.input, outer)? else {
                return Ok(None);
            };
            let mut computed = HashMap::new();
            for (e, f) in n.expressions.iter().zip(n.schema.iter()) {
                computed.insert(f.id, e.clone().replace_columns(&parts.computed)?);
            }
            parts.computed = computed;
            Ok(Some(parts))
        }
        LogicalPlan::Filter(n) => {
            let Some(mut parts) = above_aggregate(&n.input, outer)? else {
                return Ok(None);
            };
            parts.having.push(n.predicate.clone().replace_columns(&parts.computed)?);
            Ok(Some(parts))
        }
        LogicalPlan::Aggregate(n) if at_most_one_row(plan) => {
            let grouped = pull::pull_aggregate(n.clone(), outer)?;
            if mentions(&grouped.plan, outer) || !grouped.computed.is_empty() {
                return Ok(None);
            }
            let mut empty = HashMap::new();
            let mut computed = HashMap::new();
            for (call, f) in n.aggregates.iter().zip(n.schema.iter()) {
                let nullable = Expr::Column(f.clone().with_nullable(true));
                computed.insert(f.id, nullable);
                if let Some(value) = result_for_no_rows(call)? {
                    empty.insert(f.id, value);
                }
            }
            Ok(Some(AboveAggregate {
                aggregate: grouped.plan,
                conditions: grouped.conditions,
                empty,
                computed,
                having: vec![],
            }))
        }
        _ => Ok(None),
    }
}

/// What the aggregate gives without any row, as a literal, unless that is NULL.
fn result_for_no_rows(call: &AggregateCall) -> Result<Option<Expr>> {
    let constants: Vec<Option<ScalarValue>> = call
        .arguments
        .iter()
        .map(|e| match e {
            Expr::Literal(v, _) => Some(v.clone()),
            _ => None,
        })
        .collect();
    let mut accumulator = (call.function.create)(&call.signature, &constants)?;
    let result = accumulator.finish(1)?;
    let value = ScalarValue::from_array(result.as_ref(), 0)?;
    Ok((!value.is_null()).then(|| Expr::Literal(value, call.signature.result.clone())))
}

/// The left rows with the groups they belong to; rows without group get what the aggregate gives for no rows.
fn scalar_aggregate(left: LogicalPlan, parts: AboveAggregate, value: ColumnId) -> Result<(LogicalPlan, Expr)> {
    let joined = dependent_join(left, parts.aggregate, JoinKind::Left, parts.conditions)?;
    let mut fixed = HashMap::new();
    for f in joined.schema().iter() {
        if let Some(empty) = parts.empty.get(&f.id) {
            let found = Expr::Column(f.clone());
            fixed.insert(f.id, when_null(found, empty.clone()));
        }
    }
    let unfixed = parts.computed.get(&value).cloned();
    let value = unfixed
        .ok_or_else(|| Error::internal("a scalar subquery computes its column"))?
        .replace_columns(&fixed)?;
    if parts.having.is_empty() {
        return Ok((joined, value));
    }
    let having = parts
        .having
        .into_iter()
        .map(|e| e.replace_columns(&fixed))
        .collect::<Result<Vec<_>>>()?;
    let data_type = value.data_type();
    let value = Expr::Case {
        branches: vec![(Expr::and(having), value)],
        otherwise: None,
        data_type,
    };
    Ok((joined, value))
}

/// `CASE WHEN e IS NULL THEN otherwise ELSE e END`.
fn when_null(e: Expr, otherwise: Expr) -> Expr {
    let data_type = e.data_type();
    let is_null = Expr::IsNull {
        expr: Box::new(e.clone()),
        negated: false,
    };
    Expr::Case {
        branches: vec![(is_null, otherwise)],
        otherwise: Some(Box::new(e)),
        data_type,
    }
}

/// A join whose right side may mention columns of the left side, as one whose right side does not.
fn dependent_join(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinKind,
    mut conditions: Vec<Expr>,
) -> Result<LogicalPlan> {
    let outer = ids(left.schema());
    if !mentions(&right, &outer) {
        return Ok(plain_join(left, right, kind, conditions));
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        return Err(Error::unsupported("LATERAL on the preserved side of an outer join"));
    }
    let schema = kind.schema(left.schema(), right.schema());
    let pulled = pull::pull(right, &outer)?;
    let computed = pulled.computed_expressions();
    let mut right = pulled.plan;
    conditions = conditions
        .into_iter()
        .map(|e| e.replace_columns(&computed))
        .collect::<Result<_>>()?;
    conditions.extend(pulled.conditions);

    // Columns that mention both sides can only be computed above the join; of rows without match they are NULL.
    let outer_join = matches!(kind, JoinKind::Left | JoinKind::LeftSingle);
    let matched = Field::new("matched", DataType::Boolean, false);
    if outer_join && !pulled.computed.is_empty() {
        right = pull::with_column(right, Expr::boolean(true), &matched);
    }
    let joined = match mentions(&right, &outer) {
        false => plain_join(left, right, kind.clone(), conditions),
        true => domain::join_through_domain(left, right, kind.clone(), conditions)?,
    };
    let gives_right_columns = outer_join || kind == JoinKind::Inner;
    if pulled.computed.is_empty() || !gives_right_columns {
        return Ok(restore(joined, &schema));
    }
    let computed = pulled.computed.into_iter().map(|(f, e)| {
        let data_type = e.data_type();
        let e = match outer_join {
            false => e,
            true => Expr::Case {
                branches: vec![(Expr::Column(matched.clone().with_nullable(true)), e)],
                otherwise: None,
                data_type,
            },
        };
        (f.id, e)
    });
    let computed: HashMap<ColumnId, Expr> = computed.collect();
    let expressions = schema
        .iter()
        .map(|f| match computed.get(&f.id) {
            Some(e) => Ok(e.clone()),
            None => column(joined.schema(), f.id),
        })
        .collect::<Result<_>>()?;
    Ok(LogicalPlan::Project(Project {
        input: Arc::new(joined),
        expressions,
        schema,
    }))
}

/// A join of sides that do not mention each other; equalities become keys.
fn plain_join(left: LogicalPlan, right: LogicalPlan, kind: JoinKind, conditions: Vec<Expr>) -> LogicalPlan {
    let condition = (!conditions.is_empty()).then(|| Expr::and(conditions));
    let (on, filter) = split_condition(condition, left.schema(), right.schema());
    PlanBuilder::from(left).join_on(right, kind, on, filter).build()
}
