//! `count(DISTINCT x) … GROUP BY g` becomes two plain aggregations: by (g, x), then by g. Both run in parallel and spill
//! like any other, and no state holds a set per group.
//!
//! Different arguments, filters, and aggregates that cannot be put together from parts take two levels as well, unless the
//! sets are surely small:
//!
//! ```text
//! count(DISTINCT a), count(DISTINCT b) FILTER (WHERE p), avg(c) GROUP BY g
//!     count(a) of the rows of set (g, a), count(b) of those of set (g, b, p) where p, the avg of that of set (g) GROUP BY g
//!         GROUP BY GROUPING SETS ((g, a), (g, b, p), (g)) compute avg(c)
//! ```

use crate::config::Config;
use crate::error::Result;
use crate::functions::aggregate;
use crate::logical::statistics::estimate;
use crate::logical::{Aggregate, AggregateCall, Expr, LogicalPlan, SortKey};
use crate::types::{DataType, Field, ScalarValue};
use std::sync::Arc;

/// The grouping id has a bit for each column.
const MOST_SET_COLUMNS: usize = 60;
/// Bytes of a value in a set, and of the copies that merging makes.
const SET_ENTRY: f64 = 128.0;
/// The same for values of any type.
const WIDE_SET_ENTRY: f64 = 512.0;

/// Rewrites aggregates with DISTINCT calls.
pub(super) fn rewrite_distinct_aggregates(plan: LogicalPlan, config: &Config) -> Result<LogicalPlan> {
    plan.transform_up(&mut |node| match node {
        LogicalPlan::Aggregate(n) => {
            let n = without_idle_distinct(n);
            let rewritten = in_two_levels(&n).or_else(|| by_grouping_sets(&n, config));
            Ok(rewritten.unwrap_or(LogicalPlan::Aggregate(n)))
        }
        other => Ok(other),
    })
}

/// DISTINCT changes nothing for extremes.
fn without_idle_distinct(mut n: Aggregate) -> Aggregate {
    for call in &mut n.aggregates {
        call.distinct &= !call.function.ignores_duplicates;
    }
    n
}

fn in_two_levels(n: &Aggregate) -> Option<LogicalPlan> {
    let distinct: Vec<&AggregateCall> = n.aggregates.iter().filter(|a| a.distinct).collect();
    let arguments = &distinct.first()?.arguments;
    let plain = |a: &&AggregateCall| a.filter.is_none() && a.order_by.is_empty() && a.arguments == *arguments;
    if n.grouping_sets.is_some() || !distinct.iter().all(plain) {
        return None;
    }
    // With groups only: the count of no rows is 0, but the sum of no counts is NULL.
    if n.groups.is_empty() && distinct.len() < n.aggregates.len() {
        return None;
    }
    let group_field = |e: &Expr| match e {
        Expr::Column(f) => f.clone(),
        other => Field::new("key", other.data_type(), other.nullable()),
    };
    let (mut inner_groups, mut fields): (Vec<Expr>, Vec<Field>) = (vec![], vec![]);
    let mut columns: Vec<Expr> = vec![];
    for e in n.groups.iter().chain(arguments) {
        // A separator must stay a literal.
        if e.is_literal() && columns.len() >= n.groups.len() {
            columns.push(e.clone());
            continue;
        }
        // An argument that is also a group, or twice the same, is one column below.
        let known = inner_groups.iter().position(|g| g == e);
        let position = known.unwrap_or(inner_groups.len());
        if known.is_none() {
            fields.push(group_field(e));
            inner_groups.push(e.clone());
        }
        columns.push(Expr::Column(fields.get(position)?.clone()));
    }
    let (groups, distinct_arguments) = columns.split_at(n.groups.len());
    let (mut partial, mut outer) = (vec![], vec![]);
    for call in &n.aggregates {
        if call.distinct {
            outer.push(AggregateCall {
                arguments: distinct_arguments.to_vec(),
                distinct: false,
                ..call.clone()
            });
            continue;
        }
        let field = Field::new("partial", call.signature.result.clone(), true);
        outer.push(merge_call(call, &field)?);
        partial.push(call.clone());
        fields.push(field);
    }
    let below = LogicalPlan::Aggregate(Aggregate {
        input: n.input.clone(),
        groups: inner_groups,
        grouping_sets: None,
        aggregates: partial,
        schema: fields.into_iter().collect(),
    });
    Some(LogicalPlan::Aggregate(Aggregate {
        input: Arc::new(below),
        groups: groups.to_vec(),
        grouping_sets: None,
        aggregates: outer,
        schema: n.schema.clone(),
    }))
}

/// Groups by the groups and, set after set, by what each DISTINCT call needs; the other calls are computed by the groups alone.
fn by_grouping_sets(n: &Aggregate, config: &Config) -> Option<LogicalPlan> {
    let distinct: Vec<&AggregateCall> = n.aggregates.iter().filter(|a| a.distinct).collect();
    if distinct.is_empty() || few_values(n, config.operator_memory() / 16 / config.threads.max(1)) {
        return None;
    }
    let mut groups = n.groups.clone();
    let mut of_calls: Vec<Vec<usize>> = vec![];
    for call in distinct {
        let own = own_columns(&mut groups, n.groups.len(), call)?;
        if !of_calls.contains(&own) {
            of_calls.push(own);
        }
    }
    let all: Vec<usize> = (0..n.groups.len()).collect();
    let sets = Sets::new(n.grouping_sets.clone().unwrap_or(vec![all]), of_calls, groups.len())?;
    let in_all_sets = |i: usize| i < n.groups.len() && n.grouping_sets.is_none();
    let key = |(i, e): (usize, &Expr)| Field::new("key", e.data_type(), !in_all_sets(i) || e.nullable());
    let keys: Vec<Field> = groups.iter().enumerate().map(key).collect();
    let column = |e: &Expr| match groups.iter().skip(n.groups.len()).position(|g| g == e) {
        Some(i) => keys.get(n.groups.len() + i).cloned().map(Expr::Column),
        None => e.is_literal().then(|| e.clone()),
    };
    let mut fields: Vec<Field> = keys.iter().chain([&sets.id]).cloned().collect();
    let (mut partial, mut outer) = (vec![], vec![]);
    for call in &n.aggregates {
        if call.distinct {
            let own = own_columns(&mut groups.clone(), n.groups.len(), call)?;
            let filter = call.filter.as_ref().map(column);
            let mut conditions = vec![sets.are(&own)];
            conditions.extend(filter.map_or(Some(None), |f| f.map(Some))?);
            let order_by = call.order_by.iter().map(|key| {
                let expr = column(&key.expr)?;
                Some(SortKey { expr, ..key.clone() })
            });
            outer.push(AggregateCall {
                arguments: call.arguments.iter().map(column).collect::<Option<_>>()?,
                distinct: false,
                filter: Some(Expr::and(conditions)),
                order_by: order_by.collect::<Option<_>>()?,
                ..call.clone()
            });
            continue;
        }
        let field = Field::new("partial", call.signature.result.clone(), true);
        outer.push(AggregateCall {
            filter: Some(sets.are(&[])),
            ..call_of("any_value", &field)?
        });
        partial.push(call.clone());
        fields.push(field);
    }
    // The set of the groups alone is needed for the other calls, and for the row that a set without groups always gives.
    let plain = !partial.is_empty() || (n.grouping_sets.is_some() && sets.of_groups.iter().any(Vec::is_empty));
    let mut outer_groups: Vec<Expr> = keys.iter().take(n.groups.len()).cloned().map(Expr::Column).collect();
    if n.grouping_sets.is_some() {
        outer_groups.push(sets.id_of_groups(n.groups.len()));
    }
    let below = LogicalPlan::Aggregate(Aggregate {
        input: n.input.clone(),
        groups,
        grouping_sets: Some(sets.all(plain)),
        aggregates: partial,
        schema: fields.into_iter().collect(),
    });
    Some(LogicalPlan::Aggregate(Aggregate {
        input: Arc::new(below),
        groups: outer_groups,
        grouping_sets: None,
        aggregates: outer,
        schema: n.schema.clone(),
    }))
}

/// Where the columns that a DISTINCT call needs stand in `groups`, ascending; those that are new are added. The first `from`
/// are not used, so that a set with them differs from one without.
fn own_columns(groups: &mut Vec<Expr>, from: usize, call: &AggregateCall) -> Option<Vec<usize>> {
    let mut own = vec![];
    for e in call.arguments.iter().filter(|e| !e.is_literal()).chain(&call.filter) {
        let known = groups.iter().skip(from).position(|g| g == e);
        let position = known.map_or(groups.len(), |i| from + i);
        if known.is_none() {
            groups.push(e.clone());
        }
        own.push(position);
    }
    own.sort_unstable();
    own.dedup();
    (!own.is_empty()).then_some(own)
}

/// The sets of the lower aggregation: each set of groups with the columns of each DISTINCT call.
struct Sets {
    of_groups: Vec<Vec<usize>>,
    of_calls: Vec<Vec<usize>>,
    columns: usize,
    id: Field,
}

impl Sets {
    fn new(of_groups: Vec<Vec<usize>>, of_calls: Vec<Vec<usize>>, columns: usize) -> Option<Self> {
        // Rows of a set that stands there twice could not be told apart.
        let distinct = |(i, set): (usize, &Vec<usize>)| of_groups.iter().take(i).all(|before| !same(before, set));
        let can = columns <= MOST_SET_COLUMNS && of_groups.iter().enumerate().all(distinct);
        let id = Field::new("grouping_id", DataType::Int64, false);
        can.then_some(Self {
            of_groups,
            of_calls,
            columns,
            id,
        })
    }

    fn all(&self, plain: bool) -> Vec<Vec<usize>> {
        let none = vec![];
        let calls = self.of_calls.iter().chain(plain.then_some(&none));
        calls
            .flat_map(|own| self.of_groups.iter().map(|set| [set.as_slice(), own].concat()))
            .collect()
    }

    /// The grouping id of a set.
    fn number(&self, set: &[usize], own: &[usize]) -> i64 {
        let outside = (0..self.columns).filter(|i| !set.contains(i) && !own.contains(i));
        outside.fold(0i64, |id, i| id | 1 << (self.columns - 1 - i))
    }

    fn is_one_of(&self, numbers: impl Iterator<Item = i64>) -> Expr {
        let id = || Expr::Column(self.id.clone());
        Expr::or(numbers.map(|number| Expr::equal(id(), Expr::literal(ScalarValue::Int64(number)))))
    }

    /// That a row is of a set with these columns of a call.
    fn are(&self, own: &[usize]) -> Expr {
        self.is_one_of(self.of_groups.iter().map(|set| self.number(set, own)))
    }

    /// The grouping id that a row has among the sets of groups.
    fn id_of_groups(&self, groups: usize) -> Expr {
        let mut branches: Vec<(Expr, Expr)> = self
            .of_groups
            .iter()
            .map(|set| {
                let calls = self.of_calls.iter().map(Vec::as_slice).chain([[].as_slice()]);
                let condition = self.is_one_of(calls.map(|own| self.number(set, own)));
                let number = self.number(set, &[]) >> (self.columns - groups);
                (condition, Expr::literal(ScalarValue::Int64(number)))
            })
            .collect();
        match (branches.pop(), branches.is_empty()) {
            (Some((_, number)), true) => number,
            (last, _) => Expr::Case {
                branches,
                otherwise: last.map(|(_, number)| Box::new(number)),
                data_type: DataType::Int64,
            },
        }
    }
}

fn same(a: &[usize], b: &[usize]) -> bool {
    a.iter().all(|i| b.contains(i)) && b.iter().all(|i| a.contains(i))
}

/// Whether the DISTINCT values of a group surely take no more than `bytes`: then one pass with sets is the fastest.
fn few_values(n: &Aggregate, bytes: usize) -> bool {
    let input = estimate(&n.input);
    let rows = most_rows(&n.input);
    let in_range = |e: &Expr| match e {
        Expr::Column(f) => {
            let column = input.columns.get(&f.id).filter(|c| c.step >= 1.0)?;
            Some((column.max? - column.min?) / column.step + 2.0)
        }
        _ => None,
    };
    let bytes_of = |call: &AggregateCall| {
        let range = match call.arguments.as_slice() {
            [one] => in_range(one),
            _ => None,
        };
        let narrow = range.map(|values| values * SET_ENTRY);
        let all = rows.map(|rows| rows * WIDE_SET_ENTRY);
        narrow.into_iter().chain(all).reduce(f64::min)
    };
    let distinct = n.aggregates.iter().filter(|a| a.distinct);
    let all: Option<f64> = distinct.map(bytes_of).sum();
    all.is_some_and(|all| all <= bytes as f64)
}

/// The rows that a plan surely gives at most.
fn most_rows(plan: &LogicalPlan) -> Option<f64> {
    match plan {
        LogicalPlan::Scan(n) => n.table.statistics.rows.map(|rows| rows as f64),
        LogicalPlan::Filter(n) => most_rows(&n.input),
        LogicalPlan::Project(n) => most_rows(&n.input),
        _ => None,
    }
}

/// The call that puts results of `call` for parts of a group together, when there is one of the same type.
fn merge_call(call: &AggregateCall, partial: &Field) -> Option<AggregateCall> {
    let name = match call.function.name {
        "count" | "sum" if !is_float(&call.signature.result) => "sum",
        "min" => "min",
        "max" => "max",
        _ => return None,
    };
    call_of(name, partial)
}

/// A function of one column that gives a value of the column's type.
fn call_of(name: &str, column: &Field) -> Option<AggregateCall> {
    let function = aggregate::find(name)?;
    let signature = (function.signature)(std::slice::from_ref(&column.data_type), &[None]).ok()?;
    let same = signature.result == column.data_type && signature.arguments == [column.data_type.clone()];
    same.then(|| AggregateCall {
        function,
        arguments: vec![Expr::Column(column.clone())],
        distinct: false,
        filter: None,
        order_by: vec![],
        signature,
    })
}

/// Sums of floats depend on the order; one level keeps it simple to reason about.
fn is_float(t: &DataType) -> bool {
    matches!(t, DataType::Float32 | DataType::Float64)
}
