//! Estimates: how many rows come out of a plan, how wide they are, and what is known of their columns.
//!
//! Everything starts from footers: row counts, bounds, compressed bytes. Distinct counts are taken from them where they
//! are written, else from the range of integers, dates and decimals, else from the bits that a string takes in the file
//! (a dictionary code of b bits tells of about 2^b values). Conjuncts are independent unless they bound one column.
//!
//! A column's `ndv` is the number of values that it *could* have at this point: conditions on other columns do not lower
//! it. So `1 / ndv` stays the right chance that two rows meet in a join, whatever was filtered before.

use super::expr::Expr;
use super::plan::*;
use super::{AggregateCall, BinaryOp, WindowTarget};
use crate::catalog::{Table, TableSource};
use crate::types::{ColumnId, DataType, Field, ScalarValue, Schema};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows of a text file when nothing but its size is known: one per so many bytes.
const BYTES_PER_UNKNOWN_ROW: f64 = 60.0;
/// The chance of a comparison with an unknown value: `x < ?`.
const UNKNOWN_RANGE: f64 = 1.0 / 3.0;
/// The chance of an equality of which nothing is known.
const UNKNOWN_EQUALITY: f64 = 0.05;
/// The chance of anything else.
const UNKNOWN_PREDICATE: f64 = 0.25;
/// Elements of an array.
const UNNESTED_ELEMENTS: f64 = 4.0;

/// What is expected of a plan's output.
#[derive(Debug, Clone, Default)]
pub struct Estimate {
    pub rows: f64,
    /// Bytes of one row in memory.
    pub row_bytes: f64,
    pub columns: HashMap<ColumnId, ColumnEstimate>,
}

/// What a row costs in a hash table besides its columns: slot, hash, chain, and the time of a cache miss as bytes.
pub const HASH_TABLE_ROW: f64 = 40.0;

impl Estimate {
    /// The cost of a hash table of all rows, as bytes: what decides which side of a join is built.
    pub fn build_bytes(&self) -> f64 {
        self.rows * (self.row_bytes + HASH_TABLE_ROW)
    }
}

/// What is expected of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnEstimate {
    /// Distinct values that may occur, not NULL.
    pub ndv: f64,
    /// Bounds on the axis of [`ScalarValue::as_f64`].
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// The distance of neighbouring values: 1 for integers and dates, 0 for doubles.
    pub step: f64,
    pub null_fraction: f64,
    /// No value occurs twice: proven, not guessed.
    pub unique: bool,
    /// Mean and standard deviation, for sums over groups.
    pub normal: Option<(f64, f64)>,
    /// For the result of a window aggregate: the rows of its partition.
    pub partition_rows: Option<f64>,
    /// The relation in which the column began, and its rows there.
    pub source: ColumnId,
    pub source_rows: f64,
}

impl ColumnEstimate {
    fn unknown(ndv: f64, source: ColumnId, source_rows: f64) -> Self {
        Self {
            ndv: ndv.max(1.0),
            min: None,
            max: None,
            step: 0.0,
            null_fraction: 0.0,
            unique: false,
            normal: None,
            partition_rows: None,
            source,
            source_rows,
        }
    }

    /// Distinct values among `rows` rows drawn from those that may occur.
    pub fn distinct_in(&self, rows: f64) -> f64 {
        (self.ndv * (1.0 - (-rows / self.ndv).exp())).min(rows).max(1.0)
    }
}

/// What is expected of `plan`. References to common table expressions defined outside of it are unknown.
pub fn estimate(plan: &LogicalPlan) -> Estimate {
    Estimator::default().estimate(plan)
}

/// Estimates plans that may refer to common table expressions.
#[derive(Debug, Default)]
pub struct Estimator {
    /// Output columns and estimates of definitions seen.
    definitions: HashMap<CteId, (Schema, Arc<Estimate>)>,
}

impl Estimator {
    /// Makes the definition known to later estimates of its references.
    pub fn define(&mut self, id: CteId, definition: &LogicalPlan) {
        let estimate = Arc::new(self.estimate(definition));
        self.definitions.insert(id, (definition.schema().clone(), estimate));
    }

    pub fn estimate(&mut self, plan: &LogicalPlan) -> Estimate {
        let mut e = match plan {
            LogicalPlan::Scan(n) => scan(n),
            LogicalPlan::Values(n) => fresh(&n.schema, n.rows.len() as f64),
            LogicalPlan::Project(n) => project(n, self.estimate(&n.input)),
            LogicalPlan::Filter(n) => {
                let mut input = self.estimate(&n.input);
                apply(&mut input, [&n.predicate]);
                input
            }
            LogicalPlan::Join(n) => {
                let (left, right) = (self.estimate(&n.left), self.estimate(&n.right));
                join(&n.kind, &n.on, n.filter.as_ref(), left, right)
            }
            LogicalPlan::Aggregate(n) => aggregate(n, self.estimate(&n.input)),
            LogicalPlan::Window(n) => window(n, self.estimate(&n.input)),
            LogicalPlan::Sort(n) => limited(self.estimate(&n.input), 0, n.fetch),
            LogicalPlan::Limit(n) => limited(self.estimate(&n.input), n.skip, n.fetch),
            LogicalPlan::Union(n) => self.union(n),
            LogicalPlan::Unnest(n) => {
                let mut input = self.estimate(&n.input);
                input.rows *= UNNESTED_ELEMENTS;
                let rows = input.rows;
                add_unknown(input, n.schema.iter().skip(n.input.schema().len()), rows)
            }
            LogicalPlan::Cte(n) => {
                self.define(n.id, &n.definition);
                self.estimate(&n.body)
            }
            LogicalPlan::CteReference(n) => self.reference(n),
        };
        e.row_bytes = row_bytes(plan.schema());
        e
    }

    fn union(&mut self, n: &Union) -> Estimate {
        let inputs: Vec<Estimate> = n.inputs.iter().map(|i| self.estimate(i)).collect();
        let mut e = fresh(&n.schema, inputs.iter().map(|i| i.rows).sum());
        for (i, f) in n.schema.iter().enumerate() {
            let parts = n.inputs.iter().zip(&inputs);
            let parts: Option<Vec<&ColumnEstimate>> = parts
                .map(|(plan, estimate)| estimate.columns.get(&plan.schema().get(i)?.id))
                .collect();
            if let (Some(parts), Some(c)) = (parts, e.columns.get_mut(&f.id)) {
                c.ndv = parts.iter().map(|p| p.ndv).sum::<f64>().max(1.0);
                c.min = parts.iter().map(|p| p.min).reduce(|a, b| Some(a?.min(b?))).flatten();
                c.max = parts.iter().map(|p| p.max).reduce(|a, b| Some(a?.max(b?))).flatten();
                c.step = parts.first().map_or(0.0, |p| p.step);
            }
        }
        e
    }

    fn reference(&self, n: &CteReference) -> Estimate {
        let Some((schema, definition)) = self.definitions.get(&n.id) else {
            return fresh(&n.schema, 1000.0);
        };
        let mut e = fresh(&n.schema, definition.rows);
        let source = n.schema.first().map_or(ColumnId(0), |f| f.id);
        for (f, &position) in n.schema.iter().zip(&n.columns) {
            let known = schema.get(position).and_then(|d| definition.columns.get(&d.id));
            if let Some(known) = known {
                e.columns.insert(
                    f.id,
                    ColumnEstimate {
                        source,
                        ..known.clone()
                    },
                );
            }
        }
        e
    }
}

/// Columns of which only the number of rows is known.
fn fresh(schema: &Schema, rows: f64) -> Estimate {
    add_unknown(
        Estimate {
            rows,
            ..Estimate::default()
        },
        schema.iter(),
        rows,
    )
}

fn add_unknown<'a>(mut e: Estimate, fields: impl Iterator<Item = &'a Field>, rows: f64) -> Estimate {
    for f in fields {
        e.columns.insert(f.id, ColumnEstimate::unknown(rows, f.id, rows));
    }
    e
}

fn limited(mut e: Estimate, skip: u64, fetch: Option<u64>) -> Estimate {
    e.rows = (e.rows - skip as f64).max(0.0);
    if let Some(fetch) = fetch {
        e.rows = e.rows.min(fetch as f64);
    }
    e
}

/// Bytes of a row with these columns in a batch or hash table.
pub fn row_bytes(schema: &Schema) -> f64 {
    schema.iter().map(|f| value_bytes(&f.data_type)).sum()
}

fn value_bytes(t: &DataType) -> f64 {
    match t {
        DataType::Boolean | DataType::Null => 1.0,
        DataType::Utf8View | DataType::BinaryView => 32.0,
        t if t.is_nested() => 64.0,
        t => t.primitive_width().unwrap_or(16) as f64,
    }
}

// Scans

fn scan(n: &Scan) -> Estimate {
    let rows = table_rows(&n.table);
    let source = n.schema.first().or(n.filter_columns.first().map(|(f, _)| f));
    let source = source.map_or(ColumnId(0), |f| f.id);
    let mut e = Estimate {
        rows,
        ..Estimate::default()
    };
    let columns = n.schema.iter().zip(n.columns.iter().copied());
    let columns = columns.chain(n.filter_columns.iter().map(|(f, p)| (f, *p)));
    for (f, position) in columns {
        e.columns.insert(f.id, scan_column(&n.table, position, f, rows, source));
    }
    apply(&mut e, &n.filters);
    limited(e, 0, n.limit)
}

/// Rows of a table, from footers where they say it.
pub fn table_rows(table: &Table) -> f64 {
    match (&table.statistics.rows, &table.source) {
        (Some(rows), _) => *rows as f64,
        (None, TableSource::Memory(batches)) => batches.iter().map(|b| b.num_rows() as f64).sum(),
        (None, TableSource::Information(_)) => 100.0,
        (None, TableSource::Files(_) | TableSource::Partitions(_)) => {
            (table.statistics.bytes as f64 / BYTES_PER_UNKNOWN_ROW).max(1.0)
        }
    }
}

fn scan_column(table: &Table, position: usize, f: &Field, rows: f64, source: ColumnId) -> ColumnEstimate {
    let mut c = ColumnEstimate::unknown(rows, source, rows);
    let Some(known) = table.statistics.columns.get(position) else {
        if matches!(f.data_type, DataType::Utf8View | DataType::BinaryView) {
            c.ndv = (rows / 10.0).max(1.0);
        }
        return c;
    };
    c.min = known.min.as_ref().and_then(ScalarValue::as_f64);
    c.max = known.max.as_ref().and_then(ScalarValue::as_f64);
    c.step = step(&f.data_type);
    if let (Some(nulls), true) = (known.nulls, rows > 0.0) {
        c.null_fraction = (nulls as f64 / rows).clamp(0.0, 1.0);
    }
    let present = (rows * (1.0 - c.null_fraction)).max(1.0);
    let single = known.min.is_some() && known.min == known.max;
    let range = match (c.min, c.max) {
        (Some(min), Some(max)) if c.step > 0.0 => Some((max - min) / c.step + 1.0),
        _ => None,
    };
    let guess = match (known.distinct, range, known.bytes) {
        (Some(distinct), _, _) => distinct as f64,
        _ if single => 1.0,
        (_, Some(range), _) => range,
        (_, None, Some(bytes)) => values_of_bits(bytes as f64 * 8.0 / present),
        _ if f.data_type == DataType::Boolean => 2.0,
        _ if matches!(f.data_type, DataType::Utf8View | DataType::BinaryView) => present / 10.0,
        _ => present,
    };
    c.ndv = guess.clamp(1.0, present);
    c
}

/// How many values a column has whose values take so many bits each in the file.
fn values_of_bits(bits: f64) -> f64 {
    match bits < 24.0 {
        true => bits.exp2().max(3.0),
        false => f64::INFINITY,
    }
}

fn step(t: &DataType) -> f64 {
    match t {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32 => 1.0,
        DataType::Boolean | DataType::Timestamp(..) => 1.0,
        DataType::Decimal64(_, s) | DataType::Decimal128(_, s) => 10f64.powi(-i32::from(*s)),
        _ => 0.0,
    }
}

// Expressions

/// The distinct values that an expression may have.
fn expression_ndv(e: &Expr, input: &Estimate) -> f64 {
    match e {
        Expr::Column(f) => input.columns.get(&f.id).map_or(input.rows, |c| c.ndv).max(1.0),
        Expr::Literal(..) => 1.0,
        Expr::Cast { expr, .. } | Expr::Negate(expr) | Expr::Try(expr) => expression_ndv(expr, input),
        Expr::Case {
            branches, otherwise, ..
        } => {
            let values = branches.iter().map(|(_, v)| v).chain(otherwise.as_deref());
            values.map(|v| expression_ndv(v, input)).sum::<f64>().max(1.0)
        }
        Expr::Function {
            function, arguments, ..
        } => match (function.name, &arguments[..]) {
            ("year", [x]) => (expression_ndv(x, input) / 365.0).ceil().max(1.0),
            ("month", [_]) => 12.0,
            ("day" | "day_of_month", [_]) => 31.0,
            ("hour", [_]) => 24.0,
            _ => arguments
                .iter()
                .map(|a| expression_ndv(a, input))
                .product::<f64>()
                .min(input.rows.max(1.0)),
        },
        e if e.data_type() == DataType::Boolean => 2.0,
        other => {
            let parts = other.children().into_iter().map(|c| expression_ndv(c, input));
            parts.product::<f64>().clamp(1.0, input.rows.max(1.0))
        }
    }
}

/// What is known of an expression's values.
fn expression(e: &Expr, input: &Estimate) -> ColumnEstimate {
    match e {
        Expr::Column(f) if input.columns.contains_key(&f.id) => input.columns[&f.id].clone(),
        Expr::Cast { expr, .. } => expression(expr, input),
        Expr::Literal(v, _) => ColumnEstimate {
            min: v.as_f64(),
            max: v.as_f64(),
            ..ColumnEstimate::unknown(1.0, ColumnId(0), input.rows)
        },
        other => {
            let source = other.columns().into_iter().min().unwrap_or(ColumnId(0));
            ColumnEstimate::unknown(expression_ndv(other, input), source, input.rows)
        }
    }
}

fn project(n: &Project, input: Estimate) -> Estimate {
    let columns = n.expressions.iter().zip(n.schema.iter());
    let columns = columns.map(|(e, f)| (f.id, expression(e, &input))).collect();
    Estimate {
        rows: input.rows,
        row_bytes: 0.0,
        columns,
    }
}

/// Lowers the rows by each conjunct, and tightens what is known of the columns it bounds.
pub fn apply<'a>(e: &mut Estimate, predicates: impl IntoIterator<Item = &'a Expr>) {
    for p in predicates {
        match p {
            Expr::And(parts) => apply(e, parts),
            other => {
                let s = selectivity(other, e);
                e.rows *= s;
                bound(other, e);
            }
        }
    }
}

/// The share of rows for which a predicate is true.
pub fn selectivity(p: &Expr, input: &Estimate) -> f64 {
    let s = match p {
        Expr::Literal(v, _) => match v.as_bool() {
            Some(true) => 1.0,
            _ => 0.0,
        },
        Expr::And(parts) => {
            let mut narrowed = Estimate {
                rows: 1.0,
                row_bytes: 0.0,
                columns: input.columns.clone(),
            };
            apply(&mut narrowed, parts);
            narrowed.rows
        }
        Expr::Or(parts) => 1.0 - parts.iter().map(|p| 1.0 - selectivity(p, input)).product::<f64>(),
        Expr::Not(e) => 1.0 - selectivity(e, input),
        Expr::IsNull { expr, negated } => {
            let nulls = match expr.as_ref() {
                Expr::Column(f) => input.columns.get(&f.id).map_or(0.05, |c| c.null_fraction),
                _ => 0.05,
            };
            if *negated { 1.0 - nulls } else { nulls }
        }
        Expr::Binary { op, left, right, .. } if op.is_comparison() => comparison(*op, left, right, input),
        Expr::InList { expr, list, negated } => {
            let each = equality(expr, input);
            let s = (each * list.len() as f64).min(1.0);
            if *negated { 1.0 - s } else { s }
        }
        Expr::Like {
            expr, pattern, negated, ..
        } => {
            let s = like(pattern, expression_ndv(expr, input));
            if *negated { 1.0 - s } else { s }
        }
        Expr::Column(_) => 0.5,
        _ => UNKNOWN_PREDICATE,
    };
    s.clamp(0.0, 1.0)
}

/// The more text a pattern wants to see, the fewer rows have it; one of few values (a type, a brand) is likelier.
fn like(pattern: &Expr, ndv: f64) -> f64 {
    let Expr::Literal(ScalarValue::String(text), _) = pattern else {
        return UNKNOWN_EQUALITY;
    };
    let pieces = text.split(['%', '_']).filter(|p| !p.is_empty()).count();
    let share = match (pieces, text.starts_with('%')) {
        (0, _) => 1.0,
        (1, true) => 0.06,
        (1, false) => 0.04,
        _ => 0.02,
    };
    match ndv < 1000.0 {
        true => f64::max(share * 2.5, 1.0 / ndv),
        false => share,
    }
    .min(1.0)
}

/// The share of rows in which an expression has one given value.
fn equality(e: &Expr, input: &Estimate) -> f64 {
    match e {
        Expr::Column(_) | Expr::Cast { .. } => {
            let c = expression(e, input);
            (1.0 - c.null_fraction) / c.ndv
        }
        _ => UNKNOWN_EQUALITY.max(1.0 / expression_ndv(e, input)),
    }
}

fn comparison(op: BinaryOp, left: &Expr, right: &Expr, input: &Estimate) -> f64 {
    use BinaryOp::*;
    let Expr::Literal(value, _) = right else {
        let share = match op {
            Equal | IsNotDistinctFrom => 1.0 / expression_ndv(left, input).max(expression_ndv(right, input)),
            NotEqual | IsDistinctFrom => 0.9,
            _ if matches!((left, right), (Expr::Column(_), Expr::Column(_))) => 0.5,
            _ => UNKNOWN_RANGE,
        };
        return share.max(least_of_partition([left, right], input));
    };
    match op {
        Equal | IsNotDistinctFrom => match outside(left, value, input) {
            true => 0.0,
            false => equality(left, input),
        },
        NotEqual | IsDistinctFrom => 1.0 - equality(left, input),
        _ => range(op, left, value, input),
    }
}

/// A comparison with an aggregate of the row's window partition is taken to let one row of each partition pass: the one
/// with the least value, if that is it. To expect fewer would make such an input the build side of joins, and no runtime
/// filter would keep rows away from the window.
fn least_of_partition(sides: [&Expr; 2], input: &Estimate) -> f64 {
    let columns = sides.into_iter().flat_map(Expr::columns);
    let rows = columns.filter_map(|id| input.columns.get(&id)?.partition_rows);
    rows.map(|rows| 1.0 / rows.max(1.0)).fold(0.0, f64::max)
}

/// Whether the bounds exclude the value. They are exact, so no row has it.
fn outside(e: &Expr, value: &ScalarValue, input: &Estimate) -> bool {
    let Expr::Column(f) = e else { return false };
    match (input.columns.get(&f.id), value.as_f64()) {
        (Some(c), Some(v)) => c.min.is_some_and(|m| v < m) || c.max.is_some_and(|m| v > m),
        _ => false,
    }
}

/// The share of rows with `e op value`, values spread evenly between the bounds.
fn range(op: BinaryOp, e: &Expr, value: &ScalarValue, input: &Estimate) -> f64 {
    let c = expression(e, input);
    let Some(v) = value.as_f64() else {
        return UNKNOWN_RANGE;
    };
    let upwards = matches!(op, BinaryOp::Greater | BinaryOp::GreaterOrEqual);
    if let Some((mean, deviation)) = c.normal {
        let below = 1.0 / (1.0 + (-1.702 * (v - mean) / deviation.max(1e-9)).exp());
        return if upwards { 1.0 - below } else { below };
    }
    let (Some(min), Some(max)) = (c.min, c.max) else {
        return UNKNOWN_RANGE;
    };
    let included = matches!(op, BinaryOp::LessOrEqual | BinaryOp::Greater);
    let width = max - min + c.step;
    if width <= 0.0 {
        return match op {
            BinaryOp::Less => min < v,
            BinaryOp::LessOrEqual => min <= v,
            BinaryOp::Greater => min > v,
            _ => min >= v,
        } as u8 as f64;
    }
    let below = ((v - min + if included { c.step } else { 0.0 }) / width).clamp(0.0, 1.0);
    (1.0 - c.null_fraction) * if upwards { 1.0 - below } else { below }
}

/// What a predicate that holds says of the column it compares.
fn bound(p: &Expr, e: &mut Estimate) {
    match p {
        Expr::Binary { op, left, right, .. } => {
            let (Expr::Column(f), Expr::Literal(value, _)) = (left.as_ref(), right.as_ref()) else {
                return;
            };
            let share = match op {
                BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                    range(*op, left, value, &*e)
                }
                _ => 1.0,
            };
            let (Some(c), v) = (e.columns.get_mut(&f.id), value.as_f64()) else {
                return;
            };
            match op {
                BinaryOp::Equal => {
                    c.ndv = 1.0;
                    (c.min, c.max) = (v, v);
                }
                BinaryOp::Less | BinaryOp::LessOrEqual => {
                    c.ndv = (c.ndv * share).max(1.0);
                    c.max = lower(c.max, v);
                }
                BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                    c.ndv = (c.ndv * share).max(1.0);
                    c.min = higher(c.min, v);
                }
                _ => {}
            }
        }
        Expr::InList {
            expr,
            list,
            negated: false,
        } => {
            if let Expr::Column(f) = expr.as_ref()
                && let Some(c) = e.columns.get_mut(&f.id)
            {
                c.ndv = c.ndv.min(list.len() as f64).max(1.0);
            }
        }
        _ => {}
    }
}

fn lower(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, _) => a,
    }
}

fn higher(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, _) => a,
    }
}

// Joins

/// How many different values two join columns have between them: `1 / domain` is the chance that two rows meet.
///
/// Distinct counts are upper bounds. When the smaller one is as large as its relation, that side is taken for the key
/// and the other for a reference to it, whose values are then among the key's.
pub fn key_domain(a: &ColumnEstimate, b: &ColumnEstimate) -> f64 {
    let (small, large) = if a.ndv <= b.ndv { (a, b) } else { (b, a) };
    match small.ndv >= 0.99 * small.source_rows || small.unique {
        true => small.ndv,
        false => large.ndv,
    }
    .max(1.0)
}

/// The same for several keys together: no side has more combinations than rows where it began, and the side with fewer
/// is taken for the key.
pub fn keys_domain(keys: &[(ColumnEstimate, ColumnEstimate)]) -> f64 {
    let single = |(a, b): &(ColumnEstimate, ColumnEstimate)| key_domain(a, b);
    match keys {
        [] => 1.0,
        [key] => single(key),
        _ => {
            let left = combinations(keys.iter().map(|(a, _)| a));
            let right = combinations(keys.iter().map(|(_, b)| b));
            let largest = keys.iter().map(single).fold(1.0, f64::max);
            left.min(right).max(largest)
        }
    }
}

/// Combinations of values of several columns.
fn combinations<'a>(columns: impl Iterator<Item = &'a ColumnEstimate>) -> f64 {
    let mut sources: Vec<(ColumnId, f64, f64)> = vec![];
    for c in columns {
        match sources.iter_mut().find(|(id, _, _)| *id == c.source) {
            Some((_, product, _)) => *product *= c.ndv,
            None => sources.push((c.source, c.ndv, c.source_rows)),
        }
    }
    sources
        .iter()
        .map(|(_, product, rows)| product.min(rows.max(1.0)))
        .product()
}

fn join(kind: &JoinKind, on: &[JoinKey], filter: Option<&Expr>, left: Estimate, right: Estimate) -> Estimate {
    let keys: Vec<(ColumnEstimate, ColumnEstimate)> = on
        .iter()
        .map(|k| (expression(&k.left, &left), expression(&k.right, &right)))
        .collect();
    let domain = keys_domain(&keys);
    let (l, r) = (left.rows, right.rows);
    let mut both = Estimate {
        rows: 1.0,
        row_bytes: 0.0,
        columns: left.columns.clone(),
    };
    both.columns.extend(right.columns);
    let residual = filter.map_or(1.0, |f| selectivity(f, &both));
    let inner = l * r / domain * residual;
    let rows = match kind {
        JoinKind::Inner => inner,
        JoinKind::Left => inner.max(l),
        JoinKind::Right => inner.max(r),
        JoinKind::Full => inner.max(l).max(r),
        JoinKind::LeftSemi => l * match_share(&keys, domain, r, residual),
        JoinKind::LeftAnti => l * (1.0 - match_share(&keys, domain, r, residual)).max(0.1),
        JoinKind::LeftMark(_) | JoinKind::LeftSingle => l,
    };
    let mut columns = match kind {
        JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::LeftMark(_) => left.columns,
        _ => both.columns,
    };
    for (k, (a, b)) in on.iter().zip(&keys) {
        // Both columns of an inner join's key have the same values afterwards.
        if let (JoinKind::Inner, Expr::Column(x), Expr::Column(y)) = (kind, &k.left, &k.right) {
            let ndv = a.ndv.min(b.ndv);
            for f in [x, y] {
                if let Some(c) = columns.get_mut(&f.id) {
                    c.ndv = ndv;
                    (c.min, c.max) = (higher(a.min, b.min), lower(a.max, b.max));
                }
            }
        }
    }
    if let JoinKind::LeftMark(mark) = kind {
        columns.insert(mark.id, ColumnEstimate::unknown(2.0, mark.id, rows));
    }
    let keeps_rows_single = matches!(
        kind,
        JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::LeftMark(_) | JoinKind::LeftSingle
    );
    // A join may repeat rows of one side unless the other side's key is unique; sides are not told apart here.
    if !keeps_rows_single && !keys.iter().any(|(a, b)| a.unique && b.unique) {
        columns.values_mut().for_each(|c| c.unique = false);
    }
    Estimate {
        rows,
        row_bytes: 0.0,
        columns,
    }
}

/// The share of left rows that have a match among `right_rows` rows.
pub fn match_share(keys: &[(ColumnEstimate, ColumnEstimate)], domain: f64, right_rows: f64, residual: f64) -> f64 {
    if keys.is_empty() {
        return (right_rows * residual).clamp(0.0, 1.0);
    }
    let found = domain * (1.0 - (-right_rows * residual / domain).exp());
    (found / domain).clamp(0.0, 1.0)
}

// Aggregates

fn aggregate(n: &Aggregate, input: Estimate) -> Estimate {
    let columns: Vec<ColumnEstimate> = n.groups.iter().map(|g| expression(g, &input)).collect();
    let combined = combinations(columns.iter());
    let per_set = match columns.iter().any(|c| c.unique) {
        true => input.rows,
        false => drawn(combined, input.rows),
    };
    let rows = match (&n.grouping_sets, n.groups.is_empty()) {
        (None, true) => 1.0,
        (None, false) => per_set.max(if input.rows > 0.0 { 1.0 } else { 0.0 }),
        (Some(sets), _) => per_set * sets.len() as f64,
    };
    let mut e = fresh(&n.schema, rows);
    let source = n.schema.first().map_or(ColumnId(0), |f| f.id);
    for (c, f) in columns.into_iter().zip(n.schema.iter()) {
        let ndv = c.ndv.min(rows).max(1.0);
        let unique = n.groups.len() == 1 && n.grouping_sets.is_none();
        let grouped = ColumnEstimate {
            ndv,
            unique,
            source,
            source_rows: rows,
            ..c
        };
        e.columns.insert(f.id, grouped);
    }
    let first = n.groups.len() + n.grouping_sets.is_some() as usize;
    for (call, f) in n.aggregates.iter().zip(n.schema.iter().skip(first)) {
        let group_rows = input.rows / rows.max(1.0);
        if let Some(c) = e.columns.get_mut(&f.id) {
            describe_call(call, &input, group_rows, c);
        }
    }
    e
}

/// The input's columns, and what is known of aggregates over whole partitions.
fn window(n: &Window, input: Estimate) -> Estimate {
    let rows = input.rows;
    let mut e = add_unknown(input.clone(), n.schema.iter().skip(n.input.schema().len()), rows);
    let results = n.schema.iter().skip(n.input.schema().len());
    for (call, f) in n.calls.iter().zip(results) {
        let (WindowTarget::Aggregate(aggregate), true) = (&call.target, call.order_by.is_empty()) else {
            continue;
        };
        let Some(c) = e.columns.get_mut(&f.id) else { continue };
        let keys: Vec<ColumnEstimate> = call.partition_by.iter().map(|k| expression(k, &input)).collect();
        let partitions = drawn(combinations(keys.iter()), rows);
        let partition_rows = rows / partitions.max(1.0);
        describe_call(aggregate, &input, partition_rows, c);
        c.partition_rows = Some(partition_rows);
    }
    e
}

/// How many of so many different values are among `rows` rows.
fn drawn(values: f64, rows: f64) -> f64 {
    (values * (1.0 - (-rows / values.max(1.0)).exp())).min(rows)
}

/// Sums of many values lie around their mean; extremes lie within the bounds.
fn describe_call(call: &AggregateCall, input: &Estimate, group_rows: f64, c: &mut ColumnEstimate) {
    let argument = call.arguments.first().map(|a| expression(a, input));
    let bounds = argument.as_ref().and_then(|a| Some((a.min?, a.max?)));
    match (call.function.name, bounds) {
        ("count", _) => c.normal = Some((group_rows, group_rows.sqrt())),
        ("sum", Some((min, max))) => {
            let middle = (min + max) / 2.0;
            let spread = (max - min).powi(2) / 12.0 + middle * middle;
            c.normal = Some((group_rows * middle, (group_rows * spread).sqrt()));
        }
        ("avg", Some((min, max))) => {
            let deviation = ((max - min).powi(2) / 12.0 / group_rows.max(1.0)).sqrt();
            c.normal = Some(((min + max) / 2.0, deviation));
        }
        ("min" | "max", Some((min, max))) => {
            (c.min, c.max) = (Some(min), Some(max));
            c.step = argument.as_ref().map_or(0.0, |a| a.step);
            c.ndv = argument.map_or(c.ndv, |a| a.ndv.min(c.ndv));
        }
        _ => {}
    }
}
