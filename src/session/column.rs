//! Expressions by names, for DataFrames: built freely, typed when a DataFrame takes them.
//!
//! ```
//! use lakebed::session::{col, lit, sum};
//! let expensive = col("fare").gt(lit(50)).and(col("tip").is_null());
//! let total = sum(col("fare") + col("tip")).alias("total");
//! # let _ = (expensive, total);
//! ```

use super::Session;
use super::relations::Relations;
use crate::error::{Error, Result};
use crate::functions::{aggregate, scalar, window};
use crate::logical::{
    AggregateCall, BinaryOp, Expr, FrameBound, FrameUnits, Scope, SortKey, WindowCall, WindowFrame, WindowTarget,
    unknown_function,
};
use crate::sql;
use crate::types::{DataType, Field, ScalarValue, Schema, parse_type};
use std::sync::Arc;

/// An expression over columns by name, perhaps with a name of its own, perhaps with an order to sort by.
#[derive(Debug, Clone)]
pub struct Column {
    node: Node,
    alias: Option<Arc<str>>,
    descending: bool,
    nulls_first: bool,
}

#[derive(Debug, Clone)]
enum Node {
    Name(String),
    Literal(ScalarValue),
    Binary(BinaryOp, Box<Column>, Box<Column>),
    And(Box<Column>, Box<Column>),
    Or(Box<Column>, Box<Column>),
    Not(Box<Column>),
    Negate(Box<Column>),
    IsNull(Box<Column>, bool),
    Cast(Box<Column>, String, bool),
    Case(Vec<(Column, Column)>, Option<Box<Column>>),
    Like(Box<Column>, String, bool),
    InList(Box<Column>, Vec<Column>, bool),
    Field(Box<Column>, String),
    Call(Call),
    Over(Call, WindowSpec),
    Sql(String),
}

/// A call of a scalar function, an aggregate or a window function, by name.
#[derive(Debug, Clone)]
struct Call {
    name: String,
    arguments: Vec<Column>,
    distinct: bool,
    filter: Option<Box<Column>>,
}

/// Which rows a window function sees: partitioned, ordered, framed.
#[derive(Debug, Clone, Default)]
pub struct WindowSpec {
    partition_by: Vec<Column>,
    order_by: Vec<Column>,
    frame: Option<(FrameUnits, i64, i64)>,
}

impl WindowSpec {
    /// All rows in one partition, without order.
    pub fn new() -> Self {
        Self::default()
    }

    pub fn partition_by(mut self, columns: impl IntoIterator<Item = Column>) -> Self {
        self.partition_by.extend(columns);
        self
    }

    pub fn order_by(mut self, columns: impl IntoIterator<Item = Column>) -> Self {
        self.order_by.extend(columns);
        self
    }

    /// Rows from `start` to `end` relative to the current one; the extremes of `i64` stand for unbounded.
    pub fn rows_between(mut self, start: i64, end: i64) -> Self {
        self.frame = Some((FrameUnits::Rows, start, end));
        self
    }
}

/// The column called `name`, or `relation.name`.
pub fn col(name: impl Into<String>) -> Column {
    Node::Name(name.into()).into()
}

/// A constant.
pub fn lit(value: impl Into<Literal>) -> Column {
    Node::Literal(value.into().0).into()
}

/// An expression in SQL, without aggregates and window functions.
pub fn expr(text: impl Into<String>) -> Column {
    Node::Sql(text.into()).into()
}

/// A call of any scalar function or aggregate.
pub fn call(name: impl Into<String>, arguments: impl IntoIterator<Item = Column>) -> Column {
    let arguments = arguments.into_iter().collect();
    Node::Call(Call {
        name: name.into(),
        arguments,
        distinct: false,
        filter: None,
    })
    .into()
}

/// A window function; say over what with [`Column::over`].
pub fn window_function(name: impl Into<String>, arguments: impl IntoIterator<Item = Column>) -> Column {
    call(name, arguments)
}

/// The first value whose condition is true: `when(a, b).otherwise(c)`.
pub fn when(condition: Column, value: Column) -> Column {
    case([(condition, value)])
}

/// The first value whose condition is true.
pub fn case(branches: impl IntoIterator<Item = (Column, Column)>) -> Column {
    Node::Case(branches.into_iter().collect(), None).into()
}

macro_rules! functions_of_one {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* pub fn $name(argument: Column) -> Column { argument.$name() })*
        impl Column {
            $($(#[$doc])* pub fn $name(self) -> Self { call(stringify!($name), [self]) })*
        }
    };
}

functions_of_one! {
    /// The sum of the values that are not NULL.
    sum,
    /// The mean of the values that are not NULL.
    avg,
    /// The least value.
    min,
    /// The greatest value.
    max,
    /// How many values are not NULL.
    count,
}

/// How many rows.
pub fn count_all() -> Column {
    call("count", [])
}

/// How many different values.
pub fn count_distinct(argument: Column) -> Column {
    argument.count().distinct()
}

/// The row's number in its window.
pub fn row_number() -> Column {
    call("row_number", [])
}

/// One more than the number of rows before in the window's order.
pub fn rank() -> Column {
    call("rank", [])
}

/// One more than the number of different values before in the window's order.
pub fn dense_rank() -> Column {
    call("dense_rank", [])
}

/// The value `offset` rows before in the window.
pub fn lag(argument: Column, offset: i64) -> Column {
    call("lag", [argument, lit(offset)])
}

/// The value `offset` rows after in the window.
pub fn lead(argument: Column, offset: i64) -> Column {
    call("lead", [argument, lit(offset)])
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident => $op:ident),* $(,)?) => {
        impl Column {
            $($(#[$doc])* pub fn $name(self, other: impl Into<Column>) -> Self { self.binary(BinaryOp::$op, other.into()) })*
        }
    };
}

comparisons! {
    /// `self = other`
    eq => Equal,
    /// `self <> other`
    not_eq => NotEqual,
    /// `self < other`
    lt => Less,
    /// `self <= other`
    lt_eq => LessOrEqual,
    /// `self > other`
    gt => Greater,
    /// `self >= other`
    gt_eq => GreaterOrEqual,
    /// `self || other`
    concat => Concat,
    /// `self % other`
    modulo => Modulo,
}

impl Column {
    /// The same value under another name.
    pub fn alias(mut self, name: impl Into<Arc<str>>) -> Self {
        self.alias = Some(name.into());
        self
    }

    pub fn and(self, other: Column) -> Self {
        Node::And(Box::new(self), Box::new(other)).into()
    }

    pub fn or(self, other: Column) -> Self {
        Node::Or(Box::new(self), Box::new(other)).into()
    }

    pub fn is_null(self) -> Self {
        Node::IsNull(Box::new(self), false).into()
    }

    pub fn is_not_null(self) -> Self {
        Node::IsNull(Box::new(self), true).into()
    }

    /// `CAST(self AS data_type)`, the type as SQL spells it.
    pub fn cast(self, data_type: impl Into<String>) -> Self {
        Node::Cast(Box::new(self), data_type.into(), false).into()
    }

    /// As `cast`, but NULL for values that cannot be converted.
    pub fn try_cast(self, data_type: impl Into<String>) -> Self {
        Node::Cast(Box::new(self), data_type.into(), true).into()
    }

    /// `self LIKE pattern`
    pub fn like(self, pattern: impl Into<String>) -> Self {
        Node::Like(Box::new(self), pattern.into(), false).into()
    }

    /// `self NOT LIKE pattern`
    pub fn not_like(self, pattern: impl Into<String>) -> Self {
        Node::Like(Box::new(self), pattern.into(), true).into()
    }

    /// `self IN (…)`
    pub fn is_in(self, values: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        Node::InList(Box::new(self), values.into_iter().map(Into::into).collect(), false).into()
    }

    /// `self NOT IN (…)`
    pub fn not_in(self, values: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        Node::InList(Box::new(self), values.into_iter().map(Into::into).collect(), true).into()
    }

    /// Both ends included.
    pub fn between(self, low: impl Into<Column>, high: impl Into<Column>) -> Self {
        self.clone().gt_eq(low).and(self.lt_eq(high))
    }

    /// A field of a row.
    pub fn field(self, name: impl Into<String>) -> Self {
        Node::Field(Box::new(self), name.into()).into()
    }

    /// One more branch of `when`.
    pub fn when(self, condition: Column, value: Column) -> Self {
        match self.node {
            Node::Case(mut branches, otherwise) => {
                branches.push((condition, value));
                Node::Case(branches, otherwise).into()
            }
            node => case([(condition, value)]).otherwise(node.into()),
        }
    }

    /// The value of `when` when no condition is true.
    pub fn otherwise(self, value: Column) -> Self {
        match self.node {
            Node::Case(branches, _) => Node::Case(branches, Some(Box::new(value))).into(),
            node => call("coalesce", [node.into(), value]),
        }
    }

    /// Each value once, in an aggregate.
    pub fn distinct(mut self) -> Self {
        if let Node::Call(call) = &mut self.node {
            call.distinct = true;
        }
        self
    }

    /// Only the rows for which `condition` is true, in an aggregate.
    pub fn filter(mut self, condition: Column) -> Self {
        if let Node::Call(call) = &mut self.node {
            call.filter = Some(Box::new(condition));
        }
        self
    }

    /// The call as a window function.
    pub fn over(mut self, window: WindowSpec) -> Self {
        if let Node::Call(call) = self.node {
            self.node = Node::Over(call, window);
        }
        self
    }

    /// Greatest first when sorting; NULLs stay last.
    pub fn desc(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Least first when sorting, which is so anyway.
    pub fn asc(mut self) -> Self {
        self.descending = false;
        self
    }

    /// NULLs first when sorting.
    pub fn nulls_first(mut self) -> Self {
        self.nulls_first = true;
        self
    }

    fn binary(self, op: BinaryOp, other: Column) -> Self {
        Node::Binary(op, Box::new(self), Box::new(other)).into()
    }

    pub(super) fn name(&self) -> Option<Arc<str>> {
        self.alias.clone()
    }
}

impl From<Node> for Column {
    fn from(node: Node) -> Self {
        Self {
            node,
            alias: None,
            descending: false,
            nulls_first: false,
        }
    }
}

impl From<&str> for Column {
    /// A text is a constant where a value is expected; columns are `col("name")`.
    fn from(value: &str) -> Self {
        lit(value)
    }
}

macro_rules! literals {
    ($($t:ty),*) => { $(impl From<$t> for Column {
        fn from(value: $t) -> Self { lit(value) }
    })* };
}

literals!(bool, i32, i64, f64, String);

/// What a constant is made of: a number, a text, a boolean, or any value of the engine.
#[derive(Debug, Clone)]
pub struct Literal(ScalarValue);

macro_rules! scalars {
    ($($t:ty => $variant:expr),* $(,)?) => { $(impl From<$t> for Literal {
        fn from(value: $t) -> Self { Self($variant(value)) }
    })* };
}

scalars! {
    bool => ScalarValue::Boolean,
    i32 => ScalarValue::Int32,
    i64 => ScalarValue::Int64,
    f64 => ScalarValue::Float64,
    &str => ScalarValue::string,
    String => ScalarValue::string,
    ScalarValue => std::convert::identity,
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident),*) => { $(impl<T: Into<Column>> std::ops::$trait<T> for Column {
        type Output = Column;
        fn $method(self, other: T) -> Column { self.binary(BinaryOp::$op, other.into()) }
    })* };
}

operators!(Add add Add, Sub sub Subtract, Mul mul Multiply, Div div Divide, Rem rem Modulo);

impl std::ops::Not for Column {
    type Output = Column;
    fn not(self) -> Column {
        Node::Not(Box::new(self)).into()
    }
}

impl std::ops::Neg for Column {
    type Output = Column;
    fn neg(self) -> Column {
        Node::Negate(Box::new(self)).into()
    }
}

/// Gives columns their types over one schema. Aggregates and window functions found on the way become columns that stand
/// for their results, as in the SQL binder.
pub(super) struct Typing<'a> {
    pub(super) session: &'a Session,
    pub(super) schema: &'a Schema,
    pub(super) aggregates: Vec<(AggregateCall, Field)>,
    pub(super) windows: Vec<(WindowCall, Field)>,
    /// Whether aggregates without OVER have a meaning here.
    pub(super) aggregating: bool,
}

impl<'a> Typing<'a> {
    pub(super) fn new(session: &'a Session, schema: &'a Schema) -> Self {
        Self {
            session,
            schema,
            aggregates: vec![],
            windows: vec![],
            aggregating: false,
        }
    }

    pub(super) fn all(&mut self, columns: &[Column]) -> Result<Vec<Expr>> {
        columns.iter().map(|c| self.expr(c)).collect()
    }

    pub(super) fn sort_keys(&mut self, columns: &[Column]) -> Result<Vec<SortKey>> {
        let key = |c: &Column| {
            Ok(SortKey {
                expr: self.expr(c)?,
                descending: c.descending,
                nulls_first: c.nulls_first,
            })
        };
        columns.iter().map(key).collect()
    }

    pub(super) fn expr(&mut self, column: &Column) -> Result<Expr> {
        Ok(match &column.node {
            Node::Name(name) => self.column(name)?,
            Node::Literal(value) => Expr::literal(value.clone()),
            Node::Binary(op, left, right) => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                match op {
                    BinaryOp::Concat => Expr::concatenation(left, right)?,
                    op if op.is_arithmetic() => Expr::arithmetic(*op, left, right)?,
                    op => Expr::comparison(*op, left, right)?,
                }
            }
            Node::And(a, b) => Expr::and([self.expr(a)?.to_boolean("AND")?, self.expr(b)?.to_boolean("AND")?]),
            Node::Or(a, b) => Expr::or([self.expr(a)?.to_boolean("OR")?, self.expr(b)?.to_boolean("OR")?]),
            Node::Not(e) => self.expr(e)?.not()?,
            Node::Negate(e) => self.expr(e)?.negation()?,
            Node::IsNull(e, negated) => Expr::IsNull {
                expr: Box::new(self.expr(e)?),
                negated: *negated,
            },
            Node::Cast(e, t, safe) => self.expr(e)?.cast_explicitly(&parse_type(t)?, *safe)?,
            Node::Case(branches, otherwise) => {
                let branches = branches.iter().map(|(c, v)| Ok((self.expr(c)?, self.expr(v)?)));
                let branches = branches.collect::<Result<_>>()?;
                Expr::case(branches, otherwise.as_deref().map(|e| self.expr(e)).transpose()?)?
            }
            Node::Like(e, pattern, negated) => {
                let pattern = Expr::literal(ScalarValue::string(pattern.as_str()));
                self.expr(e)?.like(pattern, None, *negated, false)?
            }
            Node::InList(e, list, negated) => self.expr(e)?.in_list(self.all(list)?, *negated)?,
            Node::Field(e, name) => self.expr(e)?.field(name)?,
            Node::Sql(text) => self.sql(text)?,
            Node::Over(call, window) => self.over(call, window)?,
            Node::Call(call) => match scalar::find(&call.name) {
                Some(function) => Expr::call_function(function, self.all(&call.arguments)?)?,
                None if aggregate::find(&call.name).is_some() || window::find(&call.name).is_some() => {
                    self.aggregate(call)?
                }
                None => self.special(call)?,
            },
        })
    }

    fn column(&self, name: &str) -> Result<Expr> {
        let scope = Scope { schema: self.schema };
        let found = match scope.find(None, name)? {
            None => match name.rsplit_once('.') {
                Some((relation, column)) => scope.find(Some(relation), column)?,
                None => None,
            },
            found => found,
        };
        found
            .cloned()
            .map(Expr::Column)
            .ok_or_else(|| scope.unknown(None, name))
    }

    fn sql(&self, text: &str) -> Result<Expr> {
        let parsed = sql::parse_expression(text)?;
        let bind = |context: &sql::BindContext| sql::bind_expression(&parsed, self.schema, context);
        Relations::default().with_context(self.session, &[], bind)
    }

    /// A function that is only syntax, such as `coalesce`: bound as SQL over columns that stand for its arguments.
    fn special(&mut self, call: &Call) -> Result<Expr> {
        if !call.name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(unknown_function(&call.name));
        }
        let arguments = self.all(&call.arguments)?;
        let numbered = arguments.iter().enumerate();
        let fields: Vec<Field> = numbered
            .map(|(i, e)| Field::new(format!("argument{i}"), e.data_type(), true))
            .collect();
        let names: Vec<&str> = fields.iter().map(|f| f.name.as_ref()).collect();
        let parsed = sql::parse_expression(&format!("{}({})", call.name, names.join(", ")))?;
        let values = fields.iter().map(|f| f.id).zip(arguments).collect();
        let schema = Schema::new(fields);
        let bind = |context: &sql::BindContext| sql::bind_expression(&parsed, &schema, context);
        Relations::default()
            .with_context(self.session, &[], bind)?
            .replace_columns(&values)
    }

    fn aggregate_call(&mut self, call: &Call) -> Result<AggregateCall> {
        let Some(function) = aggregate::find(&call.name) else {
            return match window::find(&call.name) {
                Some(_) => Err(Error::plan(format!("{} is a window function", call.name))
                    .with_hint("say over which window with .over(WindowSpec::new()…)")),
                None => Err(unknown_function(&call.name)),
            };
        };
        // Aggregates inside aggregates have no meaning.
        let outside = std::mem::replace(&mut self.aggregating, false);
        let arguments = self.all(&call.arguments);
        let filter = call.filter.as_deref().map(|f| self.expr(f)).transpose();
        self.aggregating = outside;
        AggregateCall::new(function, arguments?, call.distinct, filter?, vec![])
    }

    fn aggregate(&mut self, call: &Call) -> Result<Expr> {
        let bound = self.aggregate_call(call)?;
        if !self.aggregating {
            return Err(Error::plan(format!("aggregate {} is not allowed here", call.name))
                .with_hint("use it in agg(…), or over a window"));
        }
        if let Some((_, field)) = self.aggregates.iter().find(|(known, _)| *known == bound) {
            return Ok(Expr::Column(field.clone()));
        }
        let field = Field::new(bound.to_string(), bound.signature.result.clone(), true);
        self.aggregates.push((bound, field.clone()));
        Ok(Expr::Column(field))
    }

    fn over(&mut self, call: &Call, spec: &WindowSpec) -> Result<Expr> {
        let partition_by = self.all(&spec.partition_by)?;
        let order_by = self.sort_keys(&spec.order_by)?;
        let (target, data_type) = match window::find(&call.name) {
            Some(function) => {
                let arguments = self.all(&call.arguments)?;
                let types: Vec<DataType> = arguments.iter().map(Expr::data_type).collect();
                let (expected, result) = (function.signature)(&types)?;
                let arguments = arguments.into_iter().zip(&expected).map(|(e, t)| e.coerce_to(t));
                let arguments = arguments.collect::<Result<_>>()?;
                (
                    WindowTarget::Window {
                        function,
                        arguments,
                        ignore_nulls: false,
                    },
                    result,
                )
            }
            None => {
                let call = self.aggregate_call(call)?;
                let result = call.signature.result.clone();
                (WindowTarget::Aggregate(call), result)
            }
        };
        let frame = frame(spec);
        let bound = WindowCall {
            target,
            partition_by,
            order_by,
            frame,
            data_type,
        };
        if let Some((_, field)) = self.windows.iter().find(|(known, _)| *known == bound) {
            return Ok(Expr::Column(field.clone()));
        }
        let field = Field::new(bound.to_string(), bound.data_type.clone(), true);
        self.windows.push((bound, field.clone()));
        Ok(Expr::Column(field))
    }
}

/// As given; otherwise SQL's default, up to the current row's peers in an ordered window and all rows in another.
fn frame(spec: &WindowSpec) -> WindowFrame {
    let rows = |n: i64| Expr::literal(ScalarValue::Int64(n));
    let bound = |n: i64| match n {
        i64::MIN => FrameBound::UnboundedPreceding,
        i64::MAX => FrameBound::UnboundedFollowing,
        0 => FrameBound::CurrentRow,
        n if n < 0 => FrameBound::Preceding(rows(-n)),
        n => FrameBound::Following(rows(n)),
    };
    match spec.frame {
        Some((units, start, end)) => WindowFrame {
            units,
            start: bound(start),
            end: bound(end),
        },
        None => WindowFrame {
            units: FrameUnits::Range,
            start: FrameBound::UnboundedPreceding,
            end: match spec.order_by.is_empty() {
                true => FrameBound::UnboundedFollowing,
                false => FrameBound::CurrentRow,
            },
        },
    }
}
