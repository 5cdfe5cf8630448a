//! Which tables and files a statement mentions: what the session resolves before binding.

use super::parse::fold_case;
use super::statement::Statement;
use super::tokens;
use crate::catalog::Table;
use crate::error::{Error, Result, Span};
use crate::types::ScalarValue;
use sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, ObjectNamePart, Spanned, TableFactor, UnaryOperator, Value,
};
use sqlparser::ast::{Visit, Visitor};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A relation that a statement mentions. Two mentions of the same relation are equal wherever they stand.
#[derive(Debug, Clone)]
pub enum TableReference {
    /// `[catalog.][database.]name`, unquoted parts in lower case.
    Named {
        catalog: Option<String>,
        database: Option<String>,
        name: String,
        span: Span,
    },
    /// `FROM 'dir/*.parquet'`, ``parquet.`path` ``, `read_csv('…', header => true)`.
    Files {
        /// In lower case; `None` when the file names tell.
        format: Option<String>,
        locations: Vec<String>,
        /// Names in lower case.
        options: BTreeMap<String, String>,
        span: Span,
    },
    /// Any other table function with constant arguments: `parquet_metadata('path')`.
    Function {
        name: String,
        arguments: Vec<ScalarValue>,
        options: BTreeMap<String, String>,
        span: Span,
    },
}

/// What a reference stands for.
#[derive(Debug, Clone)]
pub enum Relation {
    Table(Arc<Table>),
    View(View),
}

/// A stored query. Its references are those of `parse_query(text)`, with unqualified names in `database`.
#[derive(Debug, Clone)]
pub struct View {
    pub name: String,
    pub text: Arc<str>,
    /// Column names when the view renames them.
    pub columns: Vec<String>,
    /// Where unqualified names in the text are looked up.
    pub database: Option<String>,
}

/// What makes two references the same: kind, words, arguments, options.
type Key<'r> = (
    u8,
    Vec<&'r str>,
    &'r [ScalarValue],
    Option<&'r BTreeMap<String, String>>,
);

impl TableReference {
    /// Where the (first) mention stands in the text.
    pub fn span(&self) -> Span {
        match self {
            Self::Named { span, .. } | Self::Files { span, .. } | Self::Function { span, .. } => *span,
        }
    }

    /// The same reference with `database` filled in when it names none: names inside a view.
    pub fn in_database(self, default: Option<&str>) -> Self {
        match self {
            Self::Named {
                catalog,
                database,
                name,
                span,
            } => Self::Named {
                catalog,
                database: database.or_else(|| default.map(str::to_string)),
                name,
                span,
            },
            other => other,
        }
    }

    fn key(&self) -> Key<'_> {
        match self {
            Self::Named { database, name, .. } => (0, vec![database.as_deref().unwrap_or_default(), name], &[], None),
            Self::Files {
                format,
                locations,
                options,
                ..
            } => {
                let format = format.as_deref().unwrap_or_default();
                let words = std::iter::once(format).chain(locations.iter().map(String::as_str));
                (1, words.collect(), &[], Some(options))
            }
            Self::Function {
                name,
                arguments,
                options,
                ..
            } => (2, vec![name], arguments, Some(options)),
        }
    }
}

impl PartialEq for TableReference {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for TableReference {}

impl Hash for TableReference {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl std::fmt::Display for TableReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named {
                database: Some(db),
                name,
                ..
            } => write!(f, "{db}.{name}"),
            Self::Named { name, .. } | Self::Function { name, .. } => f.write_str(name),
            Self::Files { locations, .. } => f.write_str(&locations.join(", ")),
        }
    }
}

/// Every table, file and table function that the statement reads and that is not one of its CTEs, each once.
///
/// # Errors
/// When a table function has arguments that are not constants.
pub fn table_references(statement: &Statement) -> Result<Vec<TableReference>> {
    match statement {
        Statement::Query(q) | Statement::DescribeQuery(q) => query_references(q),
        Statement::Explain(e) => table_references(&e.statement),
        Statement::Prepare { statement, .. } => table_references(statement),
        Statement::CreateTable(t) => t.query.as_deref().map_or(Ok(vec![]), query_references),
        Statement::CreateView(v) => query_references(&v.query),
        Statement::Insert(i) => query_references(&i.query),
        Statement::Copy(c) => query_references(&c.query),
        Statement::InsertEach(all) => {
            let mut found = vec![];
            for statement in all {
                found.extend(table_references(statement)?);
            }
            let mut seen = std::collections::HashSet::new();
            found.retain(|reference: &TableReference| seen.insert(reference.clone()));
            Ok(found)
        }
        _ => Ok(vec![]),
    }
}

/// The references of a query alone: of a view's text, for example.
pub fn query_references(query: &ast::Query) -> Result<Vec<TableReference>> {
    let mut collector = Collector {
        found: vec![],
        seen: Default::default(),
        frames: vec![],
    };
    match query.visit(&mut collector) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(collector.found),
    }
}

/// Walks a query and knows at each table which CTEs are visible there.
struct Collector {
    found: Vec<TableReference>,
    seen: std::collections::HashSet<TableReference>,
    frames: Vec<Frame>,
}

/// The CTEs of one query; a CTE sees those before it, and itself after RECURSIVE; the query's body sees all.
struct Frame {
    names: Vec<String>,
    queries: Vec<*const ast::Query>,
    visible: usize,
    recursive: bool,
}

impl Visitor for Collector {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Error> {
        if let Some(outer) = self.frames.last_mut()
            && outer.recursive
            && let Some(i) = outer.queries.iter().position(|q| std::ptr::eq(*q, query))
        {
            outer.visible = i + 1;
        }
        let ctes = query.with.iter().flat_map(|w| &w.cte_tables);
        let (names, queries) = ctes
            .map(|c| (identifier(&c.alias.name), &*c.query as *const ast::Query))
            .unzip();
        self.frames.push(Frame {
            names,
            queries,
            visible: 0,
            recursive: query.with.as_ref().is_some_and(|w| w.recursive),
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &ast::Query) -> ControlFlow<Error> {
        self.frames.pop();
        if let Some(outer) = self.frames.last_mut()
            && let Some(i) = outer.queries.iter().position(|q| std::ptr::eq(*q, query))
        {
            outer.visible = i + 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        match reference_of(factor) {
            Err(error) => ControlFlow::Break(error),
            Ok(Some(reference)) => {
                if !self.is_cte(&reference) && self.seen.insert(reference.clone()) {
                    self.found.push(reference);
                }
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
        }
    }
}

impl Collector {
    fn is_cte(&self, reference: &TableReference) -> bool {
        let TableReference::Named {
            database: None, name, ..
        } = reference
        else {
            return false;
        };
        let mut visible = self.frames.iter().flat_map(|f| f.names.iter().take(f.visible));
        visible.any(|n| n.eq_ignore_ascii_case(name))
    }
}

/// The name an identifier stands for.
pub(super) fn identifier(ident: &ast::Ident) -> String {
    fold_case(&ident.value, ident.quote_style)
}

/// Table functions that binding itself turns into plans.
pub(super) const PLANNED_FUNCTIONS: &[&str] = &[
    "unnest",
    "explode",
    "explode_outer",
    "posexplode",
    "posexplode_outer",
    "sequence",
    "range",
    "generate_series",
];

/// What a table in FROM refers to; `None` when it is a subquery, a join, or a function that binding itself plans.
pub(super) fn reference_of(factor: &TableFactor) -> Result<Option<TableReference>> {
    match factor {
        TableFactor::Table { name, args: None, .. } => named_reference(name).map(Some),
        TableFactor::Table {
            name, args: Some(args), ..
        } => function_reference(name, &args.args),
        TableFactor::Function { name, args, .. } => function_reference(name, args),
        TableFactor::TableFunction {
            expr: Expr::Function(f),
            ..
        } => match &f.args {
            ast::FunctionArguments::List(list) => function_reference(&f.name, &list.args),
            _ => function_reference(&f.name, &[]),
        },
        _ => Ok(None),
    }
}

/// Formats that may stand before a path: ``parquet.`path` ``.
const FORMATS: &[&str] = &["parquet", "csv", "tsv", "json", "ndjson", "orc", "avro", "text"];

fn named_reference(name: &ast::ObjectName) -> Result<TableReference> {
    let span = tokens::span(name.span());
    let parts: Vec<&ast::Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
    let files = |format: Option<&str>, location: &str| TableReference::Files {
        format: format.map(str::to_lowercase),
        locations: vec![location.to_string()],
        options: BTreeMap::new(),
        span,
    };
    let is_path = |i: &ast::Ident| i.quote_style.is_some() && i.value.contains(['/', '.', '*']);
    Ok(match parts.as_slice() {
        [path] if path.quote_style == Some('\'') => files(None, &path.value),
        [path] if is_path(path) && path.value.contains('/') => files(None, &path.value),
        [format, path] if is_path(path) && FORMATS.contains(&format.value.to_lowercase().as_str()) => {
            files(Some(&format.value), &path.value)
        }
        [name] => named(None, None, name, span),
        [database, name] => named(None, Some(database), name, span),
        [catalog, database, name] => named(Some(catalog), Some(database), name, span),
        _ => return Err(Error::plan(format!("\"{name}\" is no table name")).with_span(span)),
    })
}

fn named(catalog: Option<&ast::Ident>, database: Option<&ast::Ident>, name: &ast::Ident, span: Span) -> TableReference {
    TableReference::Named {
        catalog: catalog.map(identifier),
        database: database.map(identifier),
        name: identifier(name),
        span,
    }
}

fn function_reference(name: &ast::ObjectName, args: &[FunctionArg]) -> Result<Option<TableReference>> {
    let span = tokens::span(name.span());
    let function = name.to_string().to_lowercase();
    if PLANNED_FUNCTIONS.contains(&function.as_str()) {
        return Ok(None);
    }
    let mut arguments: Vec<Vec<ScalarValue>> = vec![];
    let mut options = BTreeMap::new();
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp {
                left,
                op: ast::BinaryOperator::Eq,
                right,
            })) if matches!(left.as_ref(), Expr::Identifier(_)) => {
                options.insert(
                    left.to_string().to_lowercase(),
                    option_text(&constant(right, &function)?),
                );
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => arguments.push(constant(e, &function)?),
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(e),
                ..
            } => {
                options.insert(identifier(name).to_lowercase(), option_text(&constant(e, &function)?));
            }
            other => {
                return Err(Error::plan(format!("{function} cannot take {other}")).with_span(span));
            }
        }
    }
    let format = match function.as_str() {
        "read_parquet" | "parquet_scan" => "parquet",
        "read_csv" | "read_csv_auto" => "csv",
        "read_json" | "read_json_auto" | "read_ndjson" => "json",
        _ => {
            return Ok(Some(TableReference::Function {
                name: function,
                arguments: arguments.into_iter().flatten().collect(),
                options,
                span,
            }));
        }
    };
    let locations: Option<Vec<String>> = arguments
        .iter()
        .flatten()
        .map(|v| v.as_str().map(str::to_string))
        .collect();
    match locations {
        Some(locations) if !locations.is_empty() => Ok(Some(TableReference::Files {
            format: Some(format.into()),
            locations,
            options,
            span,
        })),
        _ => Err(Error::plan(format!("{function} needs a path or an array of paths"))
            .with_span(span)
            .with_hint(format!("write {function}('folder/*.{format}')"))),
    }
}

fn option_text(values: &[ScalarValue]) -> String {
    let text = |v: &ScalarValue| v.as_str().map_or_else(|| v.to_string(), str::to_string);
    values.iter().map(text).collect::<Vec<_>>().join(",")
}

/// The value of a constant argument; an array has several.
fn constant(e: &Expr, function: &str) -> Result<Vec<ScalarValue>> {
    let not_constant =
        || Error::plan(format!("{function} needs constant arguments, found {e}")).with_span(tokens::span(e.span()));
    Ok(vec![match e {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) => ScalarValue::string(s.as_str()),
            Value::Boolean(b) => ScalarValue::Boolean(*b),
            Value::Null => ScalarValue::Null,
            Value::Number(n, _) => match n.parse() {
                Ok(n) => ScalarValue::Int64(n),
                Err(_) => ScalarValue::Float64(n.parse().map_err(|_| not_constant())?),
            },
            _ => return Err(not_constant()),
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match constant(expr, function)?.as_slice() {
            [ScalarValue::Int64(n)] => ScalarValue::Int64(n.checked_neg().ok_or_else(not_constant)?),
            [ScalarValue::Float64(n)] => ScalarValue::Float64(-n),
            _ => return Err(not_constant()),
        },
        Expr::Array(array) => {
            let values = array.elem.iter().map(|e| constant(e, function));
            return Ok(values.collect::<Result<Vec<_>>>()?.concat());
        }
        Expr::Nested(inner) => return constant(inner, function),
        _ => return Err(not_constant()),
    }])
}
