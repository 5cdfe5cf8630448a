//! The reference: queries as trees, evaluated row by row in the plainest way.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int,
    Double,
    Text,
}

/// The columns of every table.
pub const COLUMNS: [(&str, Type); 4] = [
    ("a", Type::Int),
    ("b", Type::Int),
    ("s", Type::Text),
    ("d", Type::Double),
];

pub struct Table {
    pub rows: Vec<Vec<Value>>,
}

type Row = Vec<Value>;

impl Table {
    /// Few different values, so that keys meet; some NULLs.
    pub fn random(random: &mut fastrand::Rng, rows: usize) -> Self {
        let mut row = || {
            let value =
                |random: &mut fastrand::Rng, value: Value| if random.u8(..8) == 0 { Value::Null } else { value };
            let (a, b) = (random.i64(-3..9), random.i64(0..5));
            let text = ["", "a", "b", "ab", "ba", "a text that is longer than twelve bytes", "ü"][random.usize(..7)];
            let d = random.i64(-8..8) as f64 / 2.0;
            let (a, b) = (value(random, Value::Int(a)), value(random, Value::Int(b)));
            vec![
                a,
                b,
                value(random, Value::Text(text.into())),
                value(random, Value::Double(d)),
            ]
        };
        Self {
            rows: (0..rows).map(|_| row()).collect(),
        }
    }
}

impl Value {
    /// As SQL, with its type.
    pub fn literal(&self) -> String {
        match self {
            Self::Null => "NULL".into(),
            Self::Bool(b) => b.to_string(),
            Self::Int(i) if *i < 0 => format!("(-{})", i.unsigned_abs()),
            Self::Int(i) => i.to_string(),
            Self::Double(d) if *d < 0.0 => format!("(-{:?}e0)", -d),
            Self::Double(d) => format!("{d:?}e0"),
            Self::Text(t) => format!("'{}'", t.replace('\'', "''")),
        }
    }

    /// As results show it.
    pub fn shown(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Bool(b) => Some(b.to_string()),
            Self::Int(i) => Some(i.to_string()),
            Self::Double(d) => {
                // Zero has one sign, so that rows that are equal have one text.
                let array = arrow::array::Float64Array::from(vec![d + 0.0]);
                let mut text = String::new();
                lakebed::vector::display::format_value(&array, 0, &mut text);
                Some(text)
            }
            Self::Text(t) => Some(t),
        }
    }

    fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    fn of(truth: Option<bool>) -> Self {
        truth.map_or(Self::Null, Self::Bool)
    }

    /// The order of two values that are not NULL.
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (a, b) => a.number().total_cmp(&b.number()),
        }
    }

    fn number(&self) -> f64 {
        match self {
            Self::Int(i) => *i as f64,
            Self::Double(d) => *d,
            other => panic!("{other:?} is no number"),
        }
    }

    /// SQL's `=`: NULL when either side is.
    fn equals(&self, other: &Self) -> Option<bool> {
        (*self != Self::Null && *other != Self::Null).then(|| self.order(other) == Ordering::Equal)
    }

    /// Whether both are NULL or equal.
    fn same(&self, other: &Self) -> bool {
        self.equals(other)
            .unwrap_or(*self == Self::Null && *other == Self::Null)
    }
}

fn same_rows(a: &[Value], b: &[Value]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.same(b))
}

/// An expression over the columns of a row; in a subquery the columns outside follow those inside.
#[derive(Debug, Clone)]
pub enum Expr {
    Column(usize, String),
    Literal(Value, Type),
    Arithmetic(char, Box<Expr>, Box<Expr>),
    Compare(&'static str, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>, bool),
    Case(Box<Expr>, Box<Expr>, Box<Expr>),
    Coalesce(Box<Expr>, Box<Expr>),
    InList(Box<Expr>, Vec<Value>, bool),
    Exists(Subquery, bool),
    InSubquery(Box<Expr>, Subquery, bool),
    Scalar(Subquery),
}

/// `SELECT value FROM table AS alias WHERE condition`
#[derive(Debug, Clone)]
pub struct Subquery {
    pub table: usize,
    pub alias: String,
    pub condition: Box<Expr>,
    pub value: Output,
}

#[derive(Debug, Clone)]
pub enum Output {
    Plain(Box<Expr>),
    Aggregate(Box<Aggregate>),
}

#[derive(Debug, Clone)]
pub struct Aggregate {
    pub function: &'static str,
    pub distinct: bool,
    pub argument: Option<Expr>,
    pub filter: Option<Expr>,
}

#[derive(Debug, Clone)]
pub enum Relation {
    Table(usize, String),
    Derived(Box<Query>, String),
    Join(Box<Relation>, Box<Relation>, Join, Option<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    Inner,
    Left,
    Right,
    Full,
    Cross,
}

#[derive(Debug, Clone)]
pub struct Select {
    pub distinct: bool,
    pub from: Relation,
    pub filter: Option<Expr>,
    /// `Some` when rows are grouped; the keys come first in the output.
    pub groups: Option<Vec<Expr>>,
    pub having: Option<(Aggregate, i64)>,
    pub outputs: Vec<Output>,
}

#[derive(Debug, Clone)]
pub struct Query {
    pub first: Select,
    /// `UNION`, `UNION ALL`, `INTERSECT`, `EXCEPT`.
    pub other: Option<(&'static str, Select)>,
    /// Of all columns, so that the order is complete: the column, descending, NULLs first.
    pub order: Vec<(usize, bool, bool)>,
    pub limit: Option<(usize, usize)>,
}

impl Expr {
    fn evaluate(&self, row: &[Value], tables: &[Table]) -> Value {
        let value = |e: &Expr| e.evaluate(row, tables);
        let truth = |e: &Expr| value(e).truth();
        match self {
            Self::Column(i, _) => row[*i].clone(),
            Self::Literal(v, _) => v.clone(),
            Self::Arithmetic(op, a, b) => arithmetic(*op, &value(a), &value(b)),
            Self::Compare(op, a, b) => compare(op, &value(a), &value(b)),
            Self::And(a, b) => Value::of(match (truth(a), truth(b)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            }),
            Self::Or(a, b) => Value::of(match (truth(a), truth(b)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            }),
            Self::Not(a) => Value::of(truth(a).map(|t| !t)),
            Self::IsNull(a, negated) => Value::Bool((value(a) == Value::Null) != *negated),
            Self::Case(condition, a, b) => {
                if truth(condition) == Some(true) {
                    value(a)
                } else {
                    value(b)
                }
            }
            Self::Coalesce(a, b) => Some(value(a)).filter(|v| *v != Value::Null).unwrap_or_else(|| value(b)),
            Self::InList(a, list, negated) => is_in(&value(a), list, *negated),
            Self::Exists(subquery, negated) => Value::Bool(subquery.rows(row, tables).is_empty() == *negated),
            Self::InSubquery(a, subquery, negated) => is_in(&value(a), &subquery.values(row, tables), *negated),
            Self::Scalar(subquery) => subquery.values(row, tables).pop().unwrap_or(Value::Null),
        }
    }

    fn holds(&self, row: &[Value], tables: &[Table]) -> bool {
        self.evaluate(row, tables).truth() == Some(true)
    }
}

fn arithmetic(op: char, a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => Value::Null,
        (Value::Int(a), Value::Int(b)) => Value::Int(match op {
            '+' => a + b,
            '-' => a - b,
            _ => a * b,
        }),
        (a, b) => Value::Double(match op {
            '+' => a.number() + b.number(),
            '-' => a.number() - b.number(),
            _ => a.number() * b.number(),
        }),
    }
}

fn compare(op: &str, a: &Value, b: &Value) -> Value {
    let null = *a == Value::Null || *b == Value::Null;
    match op {
        "IS DISTINCT FROM" => Value::Bool(!a.same(b)),
        "IS NOT DISTINCT FROM" => Value::Bool(a.same(b)),
        _ if null => Value::Null,
        _ => {
            let order = a.order(b);
            Value::Bool(match op {
                "=" => order == Ordering::Equal,
                "<>" => order != Ordering::Equal,
                "<" => order == Ordering::Less,
                "<=" => order != Ordering::Greater,
                ">" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            })
        }
    }
}

fn is_in(value: &Value, list: &[Value], negated: bool) -> Value {
    let found: Vec<Option<bool>> = list.iter().map(|v| value.equals(v)).collect();
    let truth = match () {
        () if found.contains(&Some(true)) => Some(true),
        () if found.contains(&None) => None,
        () => Some(false),
    };
    Value::of(truth.map(|t| t != negated))
}

impl Subquery {
    /// The rows that fulfil the condition, with the columns outside after their own.
    fn rows(&self, outside: &[Value], tables: &[Table]) -> Vec<Row> {
        let joined = tables[self.table]
            .rows
            .iter()
            .map(|row| [row.as_slice(), outside].concat());
        joined.filter(|row| self.condition.holds(row, tables)).collect()
    }

    fn values(&self, outside: &[Value], tables: &[Table]) -> Vec<Value> {
        let rows = self.rows(outside, tables);
        match &self.value {
            Output::Plain(e) => rows.iter().map(|row| e.evaluate(row, tables)).collect(),
            Output::Aggregate(aggregate) => vec![aggregate.over(&rows, tables)],
        }
    }
}

impl Aggregate {
    fn over(&self, rows: &[Row], tables: &[Table]) -> Value {
        let kept = rows
            .iter()
            .filter(|row| self.filter.as_ref().is_none_or(|f| f.holds(row, tables)));
        let Some(argument) = &self.argument else {
            return Value::Int(kept.count() as i64);
        };
        let mut values: Vec<Value> = kept
            .map(|row| argument.evaluate(row, tables))
            .filter(|v| *v != Value::Null)
            .collect();
        if self.distinct {
            values.sort_by(Value::order);
            values.dedup_by(|a, b| a.same(b));
        }
        match self.function {
            "count" => return Value::Int(values.len() as i64),
            _ if values.is_empty() => return Value::Null,
            _ => {}
        }
        match self.function {
            "min" => values.into_iter().min_by(Value::order).unwrap(),
            "max" => values.into_iter().max_by(Value::order).unwrap(),
            "avg" => Value::Double(values.iter().map(Value::number).sum::<f64>() / values.len() as f64),
            _ => values.into_iter().reduce(|a, b| arithmetic('+', &a, &b)).unwrap(),
        }
    }
}

impl Relation {
    fn rows(&self, tables: &[Table]) -> Vec<Row> {
        match self {
            Self::Table(i, _) => tables[*i].rows.clone(),
            Self::Derived(query, _) => query.rows(tables),
            Self::Join(left, right, kind, condition) => {
                let (a, b) = (left.rows(tables), right.rows(tables));
                join(&a, &b, left.width(), right.width(), *kind, &|row| {
                    condition.as_ref().is_none_or(|c| c.holds(row, tables))
                })
            }
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Table(..) => COLUMNS.len(),
            Self::Derived(query, _) => query.first.outputs.len(),
            Self::Join(left, right, ..) => left.width() + right.width(),
        }
    }
}

fn join(
    a: &[Row],
    b: &[Row],
    width_a: usize,
    width_b: usize,
    kind: Join,
    holds: &dyn Fn(&[Value]) -> bool,
) -> Vec<Row> {
    let mut rows = vec![];
    let mut met = vec![false; b.len()];
    for left in a {
        let before = rows.len();
        for (right, met) in b.iter().zip(&mut met) {
            let both = [left.as_slice(), right].concat();
            if holds(&both) {
                *met = true;
                rows.push(both);
            }
        }
        if rows.len() == before && matches!(kind, Join::Left | Join::Full) {
            rows.push([left.as_slice(), &vec![Value::Null; width_b]].concat());
        }
    }
    if matches!(kind, Join::Right | Join::Full) {
        let lonely = b.iter().zip(met).filter(|(_, met)| !met);
        rows.extend(lonely.map(|(right, _)| [vec![Value::Null; width_a].as_slice(), right].concat()));
    }
    rows
}

impl Select {
    fn rows(&self, tables: &[Table]) -> Vec<Row> {
        let mut input = self.from.rows(tables);
        input.retain(|row| self.filter.as_ref().is_none_or(|f| f.holds(row, tables)));
        let mut output: Vec<Row> = match &self.groups {
            None => {
                let plain = |output: &Output, row: &Row| match output {
                    Output::Plain(e) => e.evaluate(row, tables),
                    Output::Aggregate(_) => panic!("an aggregate without groups"),
                };
                input
                    .iter()
                    .map(|row| self.outputs.iter().map(|o| plain(o, row)).collect())
                    .collect()
            }
            Some(keys) => self.grouped(keys, &input, tables),
        };
        if self.distinct {
            output = once(output);
        }
        output
    }

    fn grouped(&self, keys: &[Expr], input: &[Row], tables: &[Table]) -> Vec<Row> {
        let mut groups: Vec<(Row, Vec<Row>)> = vec![];
        if keys.is_empty() {
            groups.push((vec![], vec![]));
        }
        for row in input {
            let key: Row = keys.iter().map(|k| k.evaluate(row, tables)).collect();
            match groups.iter_mut().find(|(k, _)| same_rows(k, &key)) {
                Some((_, rows)) => rows.push(row.clone()),
                None => groups.push((key, vec![row.clone()])),
            }
        }
        let kept = |rows: &[Row]| {
            self.having
                .as_ref()
                .is_none_or(|(a, least)| compare(">=", &a.over(rows, tables), &Value::Int(*least)) == Value::Bool(true))
        };
        let row = |(key, rows): (Row, Vec<Row>)| {
            let mut keys = key.into_iter();
            let value = |output: &Output| match output {
                Output::Plain(_) => keys.next().unwrap(),
                Output::Aggregate(a) => a.over(&rows, tables),
            };
            self.outputs.iter().map(value).collect()
        };
        groups.into_iter().filter(|(_, rows)| kept(rows)).map(row).collect()
    }
}

fn once(rows: Vec<Row>) -> Vec<Row> {
    let mut all: Vec<Row> = vec![];
    for row in rows {
        if !all.iter().any(|other| same_rows(other, &row)) {
            all.push(row);
        }
    }
    all
}

impl Query {
    pub fn is_ordered(&self) -> bool {
        !self.order.is_empty()
    }

    pub fn rows(&self, tables: &[Table]) -> Vec<Row> {
        let mut rows = self.first.rows(tables);
        if let Some((operation, other)) = &self.other {
            let other = other.rows(tables);
            let has = |row: &Row| other.iter().any(|o| same_rows(o, row));
            match *operation {
                "UNION ALL" => rows.extend(other),
                "UNION" => rows = once(rows.into_iter().chain(other).collect()),
                "INTERSECT" => rows = once(rows.into_iter().filter(has).collect()),
                _ => rows = once(rows.into_iter().filter(|row| !has(row)).collect()),
            }
        }
        rows.sort_by(|a, b| {
            let by = |&(i, descending, nulls_first): &(usize, bool, bool)| match (&a[i], &b[i]) {
                (Value::Null, Value::Null) => Ordering::Equal,
                (Value::Null, _) => {
                    if nulls_first {
                        Ordering::Less
                    } else {
                        Ordering::Greater
                    }
                }
                (_, Value::Null) => {
                    if nulls_first {
                        Ordering::Greater
                    } else {
                        Ordering::Less
                    }
                }
                (x, y) => {
                    if descending {
                        y.order(x)
                    } else {
                        x.order(y)
                    }
                }
            };
            self.order
                .iter()
                .map(by)
                .find(|o| *o != Ordering::Equal)
                .unwrap_or(Ordering::Equal)
        });
        match self.limit {
            Some((offset, limit)) => rows.into_iter().skip(offset).take(limit).collect(),
            None => rows,
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            Self::Column(_, name) => f.write_str(name),
            Self::Literal(Value::Null, t) => write!(f, "CAST(NULL AS {t})"),
            Self::Literal(v @ Value::Int(_), _) => write!(f, "CAST({} AS BIGINT)", v.literal()),
            Self::Literal(v, _) => f.write_str(&v.literal()),
            Self::Arithmetic(op, a, b) => write!(f, "({a} {op} {b})"),
            Self::Compare(op, a, b) => write!(f, "({a} {op} {b})"),
            Self::And(a, b) => write!(f, "({a} AND {b})"),
            Self::Or(a, b) => write!(f, "({a} OR {b})"),
            Self::Not(a) => write!(f, "(NOT {a})"),
            Self::IsNull(a, negated) => write!(f, "({a} IS {}NULL)", not(negated)),
            Self::Case(condition, a, b) => write!(f, "CASE WHEN {condition} THEN {a} ELSE {b} END"),
            Self::Coalesce(a, b) => write!(f, "coalesce({a}, {b})"),
            Self::InList(a, list, negated) => {
                let list: Vec<String> = list.iter().map(Value::literal).collect();
                write!(f, "({a} {}IN ({}))", not(negated), list.join(", "))
            }
            Self::Exists(subquery, negated) => write!(f, "({}EXISTS {subquery})", not(negated)),
            Self::InSubquery(a, subquery, negated) => write!(f, "({a} {}IN {subquery})", not(negated)),
            Self::Scalar(subquery) => write!(f, "{subquery}"),
        }
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "BOOLEAN",
            Self::Int => "BIGINT",
            Self::Double => "DOUBLE",
            Self::Text => "VARCHAR",
        })
    }
}

impl Display for Subquery {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(
            f,
            "(SELECT {} FROM t{} AS {} WHERE {})",
            self.value, self.table, self.alias, self.condition
        )
    }
}

impl Display for Output {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            Self::Plain(e) => write!(f, "{e}"),
            Self::Aggregate(a) => write!(f, "{a}"),
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        match &self.argument {
            Some(argument) => write!(f, "{}({distinct}{argument})", self.function)?,
            None => f.write_str("count(*)")?,
        }
        self.filter
            .as_ref()
            .map_or(Ok(()), |condition| write!(f, " FILTER (WHERE {condition})"))
    }
}

impl Display for Relation {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            Self::Table(i, alias) => write!(f, "t{i} AS {alias}"),
            Self::Derived(query, alias) => write!(f, "({query}) AS {alias}"),
            Self::Join(left, right, kind, condition) => {
                write!(f, "{left} {} JOIN {right}", format!("{kind:?}").to_uppercase())?;
                condition.as_ref().map_or(Ok(()), |c| write!(f, " ON {c}"))
            }
        }
    }
}

fn separated(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let outputs = self.outputs.iter().enumerate().map(|(i, o)| format!("{o} AS c{i}"));
        write!(
            f,
            "SELECT {}{} FROM {}",
            if self.distinct { "DISTINCT " } else { "" },
            separated(outputs),
            self.from
        )?;
        if let Some(condition) = &self.filter {
            write!(f, " WHERE {condition}")?;
        }
        if let Some(keys) = self.groups.as_ref().filter(|keys| !keys.is_empty()) {
            write!(f, " GROUP BY {}", separated(keys.iter().map(Expr::to_string)))?;
        }
        self.having
            .as_ref()
            .map_or(Ok(()), |(a, least)| write!(f, " HAVING {a} >= {least}"))
    }
}

impl Display for Query {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if let Some((operation, other)) = &self.other {
            write!(f, " {operation} {other}")?;
        }
        if self.is_ordered() {
            let item = |&(i, descending, nulls_first): &(usize, bool, bool)| {
                let direction = if descending { " DESC" } else { "" };
                format!("{}{direction}{}", i + 1, if nulls_first { " NULLS FIRST" } else { "" })
            };
            write!(f, " ORDER BY {}", separated(self.order.iter().map(item)))?;
        }
        match self.limit {
            Some((0, limit)) => write!(f, " LIMIT {limit}"),
            Some((offset, limit)) => write!(f, " OFFSET {offset} LIMIT {limit}"),
            None => Ok(()),
        }
    }
}
