//! The binder: a query's tree and the relations it mentions → a typed plan.

use super::reference::{Relation, TableReference, View};
use super::scope::{Level, unknown_column};
use super::tokens;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::logical::{CteId, Expr, LogicalPlan, PlanBuilder, Subquery};
use crate::types::{Field, Schema};
use sqlparser::ast::{self, Spanned};
use sqlparser::tokenizer::Location;
use std::sync::Arc;

/// How deep expressions may nest, and how long a chain of arithmetic may be.
pub(super) const MAX_DEPTH: usize = 5_000;
/// How deep views may stand on views.
const MAX_VIEW_DEPTH: usize = 50;
/// Nodes that repeating an operand (`nullif(a, b)`, `a BETWEEN …`) may add to a statement.
const MAX_REPEATED_NODES: usize = 1_000_000;

/// What binding needs to know besides the text.
#[derive(Clone, Copy)]
pub struct BindContext<'a> {
    /// What each reference stands for; the session has resolved them before.
    pub resolve: &'a dyn Fn(&TableReference) -> Result<Relation>,
    pub config: &'a Config,
    /// `now()`: microseconds since 1970, UTC.
    pub statement_time: i64,
    /// Values of `?`, in the order of the text.
    pub parameters: &'a [Expr],
    /// `current_schema`.
    pub database: &'a str,
}

impl std::fmt::Debug for BindContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BindContext")
            .field("database", &self.database)
            .field("statement_time", &self.statement_time)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

/// The plan of a query.
///
/// # Errors
/// `Plan` when a name is unknown or ambiguous or types do not fit, with place and nearest name; `Unsupported` for SQL
/// that is known and not run.
pub fn bind_query(query: &ast::Query, context: &BindContext) -> Result<LogicalPlan> {
    let mut binder = Binder::new(*context);
    binder.hidden = names_hidden(query);
    binder.number_parameters(query);
    binder.query(query)
}

/// Whether a query names a hidden column: those start with `$`.
fn names_hidden(query: &ast::Query) -> bool {
    let starts = |ident: &ast::Ident| ident.value.starts_with('$');
    let found = ast::visit_expressions(query, |e| match e {
        ast::Expr::Identifier(ident) if starts(ident) => std::ops::ControlFlow::Break(()),
        ast::Expr::CompoundIdentifier(parts) if parts.last().is_some_and(starts) => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    });
    found.is_break()
}

/// An expression without columns: a parameter of EXECUTE, a partition's value.
pub fn bind_constant(expr: &ast::Expr, context: &BindContext) -> Result<Expr> {
    bind_expression(expr, &Schema::default(), context)
}

/// An expression over the columns of `schema`, without aggregates and window functions.
pub fn bind_expression(expr: &ast::Expr, schema: &Schema, context: &BindContext) -> Result<Expr> {
    let mut binder = Binder::new(*context);
    binder.levels.push(Level {
        scope: super::scope::Scope::of(schema, None),
        clause: super::scope::Clause::Where,
        ..Default::default()
    });
    binder.expr(expr)
}

/// The state of binding one text.
pub(super) struct Binder<'a> {
    pub(super) context: BindContext<'a>,
    /// The queries around the current place, outermost first.
    pub(super) levels: Vec<Level>,
    /// The CTEs that are visible, innermost last.
    pub(super) ctes: Vec<CteEntry>,
    pub(super) depth: usize,
    repeated_nodes: usize,
    /// The views whose texts are being bound, outermost first.
    views: Vec<String>,
    /// Where unqualified names are looked up inside a view.
    database: Option<String>,
    /// Places of `?`, in order.
    parameter_places: Vec<Location>,
    /// The parameters of the lambdas around the current place, outermost first.
    pub(super) parameters_in_scope: Vec<Vec<Field>>,
    /// Whether the text names a hidden column such as `"$path"`.
    pub(super) hidden: bool,
}

/// A common table expression, bound once.
pub(super) struct CteEntry {
    pub(super) id: CteId,
    pub(super) name: Arc<str>,
    pub(super) definition: Arc<LogicalPlan>,
    /// Columns of enclosing queries that the definition mentions.
    pub(super) outer: Vec<Field>,
    /// Mentioned once in the text: the mention gets the definition itself.
    pub(super) inline: bool,
    pub(super) mentions: usize,
}

impl<'a> Binder<'a> {
    pub(super) fn new(context: BindContext<'a>) -> Self {
        Self {
            context,
            levels: vec![],
            ctes: vec![],
            depth: 0,
            repeated_nodes: 0,
            views: vec![],
            database: None,
            parameter_places: vec![],
            parameters_in_scope: vec![],
            hidden: false,
        }
    }

    /// The innermost level. Expressions are bound inside a level only.
    pub(super) fn level(&mut self) -> Result<&mut Level> {
        self.levels
            .last_mut()
            .ok_or_else(|| Error::internal("an expression is bound outside of a query"))
    }

    /// Runs `f` one nesting level deeper.
    pub(super) fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        let result = match self.depth > MAX_DEPTH {
            true => Err(too_deep()),
            false => f(self),
        };
        self.depth -= 1;
        result
    }

    /// A query inside an expression or LATERAL: its plan and the columns of enclosing queries that it mentions.
    pub(super) fn subquery(&mut self, query: &ast::Query) -> Result<Subquery> {
        self.outside_of_lambdas("a query")?;
        self.levels.push(Level::default());
        let plan = self.deeper(|b| b.query(query));
        let level = self.levels.pop().unwrap_or_default();
        Ok(Subquery {
            plan: Arc::new(plan?),
            outer: level.outer,
        })
    }

    /// The value that a name stands for: `column`, `table.column`, `database.table.column`, each with `.field`s after it,
    /// looked up from the innermost query outwards.
    pub(super) fn resolve(&mut self, parts: &[ast::Ident]) -> Result<Expr> {
        match self.try_resolve(parts)? {
            Some(expr) => Ok(expr),
            None => {
                let (qualifier, name) = match parts {
                    [] => (None, String::new()),
                    [name] => (None, super::reference::identifier(name)),
                    [.., qualifier, name] => (
                        Some(super::reference::identifier(qualifier)),
                        super::reference::identifier(name),
                    ),
                };
                Err(unknown_column(&self.levels, qualifier.as_deref(), &name))
            }
        }
    }

    pub(super) fn try_resolve(&mut self, parts: &[ast::Ident]) -> Result<Option<Expr>> {
        if let Some(parameter) = self.parameter_named(parts)? {
            return Ok(Some(parameter));
        }
        for i in (0..self.levels.len()).rev() {
            let innermost = i + 1 == self.levels.len();
            if let Some(found) = self.levels[i].resolve(parts, innermost)? {
                self.note_outer(i, &found);
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Writes the columns of `expr`, found at level `found_at`, down as outer columns of all levels inside that one.
    fn note_outer(&mut self, found_at: usize, expr: &Expr) {
        for level in &mut self.levels[found_at + 1..] {
            expr.visit(&mut |e| {
                if let Expr::Column(f) = e
                    && !level.outer.iter().any(|o| o.id == f.id)
                {
                    level.outer.push(f.clone());
                }
            });
        }
    }

    /// Writes columns down as outer columns of every level that does not make them itself: for a CTE used further in.
    pub(super) fn note_outer_fields(&mut self, fields: &[Field]) {
        for field in fields {
            let made_at = self
                .levels
                .iter()
                .rposition(|l| l.scope.columns.iter().any(|c| c.expr.columns().contains(&field.id)));
            if let Some(level) = made_at {
                self.note_outer(level, &Expr::Column(field.clone()));
            }
        }
    }

    /// A second copy of an expression that the SQL mentions once: `a` in `a BETWEEN b AND c`.
    ///
    /// # Errors
    /// When repetition inside repetition makes the statement too large.
    pub(super) fn repeat(&mut self, expr: &Expr) -> Result<Expr> {
        self.repeated_nodes += expr.node_count(MAX_REPEATED_NODES);
        if self.repeated_nodes > MAX_REPEATED_NODES {
            return Err(Error::new(
                ErrorKind::ResourcesExhausted,
                "the expression is too large: operands that are used twice nest too deep",
            )
            .with_hint("compute the inner parts in a subquery first"));
        }
        expr.renewed()
    }

    /// The relation that a reference in the text stands for.
    pub(super) fn relation(&self, reference: TableReference) -> Result<Relation> {
        let reference = reference.in_database(self.database.as_deref());
        (self.context.resolve)(&reference).map_err(|e| e.with_span(reference.span()))
    }

    /// The plan of a view's text, with the view's column names.
    pub(super) fn view(&mut self, view: &View) -> Result<LogicalPlan> {
        let within = |e: Error| Error::new(e.kind(), format!("view {}: {}", view.name, e.message()));
        if self.views.len() >= MAX_VIEW_DEPTH || self.views.contains(&view.name) {
            return Err(Error::plan(format!("view \"{}\" refers to itself", view.name)));
        }
        let query = super::parse_query(&view.text).map_err(within)?;
        let mut binder = Binder::new(self.context);
        binder.views = self.views.clone();
        binder.views.push(view.name.clone());
        binder.database = view.database.clone();
        binder.depth = self.depth;
        binder.hidden = names_hidden(&query);
        let plan = binder.query(&query).map_err(within)?;
        if view.columns.is_empty() {
            return Ok(plan);
        }
        if view.columns.len() != plan.schema().len() {
            return Err(Error::plan(format!(
                "view \"{}\" names {} columns, its query has {}",
                view.name,
                view.columns.len(),
                plan.schema().len()
            )));
        }
        let items = plan.schema().iter().zip(&view.columns);
        let items = items
            .map(|(f, name)| (Expr::Column(f.clone()), Some(Arc::from(name.as_str()))))
            .collect();
        Ok(PlanBuilder::from(plan).project(items).build())
    }

    /// Remembers where the `?` of a query stand, so that they are numbered as written.
    fn number_parameters(&mut self, query: &ast::Query) {
        let mut places = vec![];
        let _ = ast::visit_expressions(query, |e| {
            if let ast::Expr::Value(v) = e
                && matches!(&v.value, ast::Value::Placeholder(p) if p == "?")
            {
                places.push(v.span.start);
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
        places.sort();
        self.parameter_places = places;
    }

    /// The value of a `?`.
    pub(super) fn parameter(&self, value: &ast::ValueWithSpan, name: &str) -> Result<Expr> {
        if name != "?" {
            return Err(Error::plan(format!("variable {name} has no value"))
                .with_span(tokens::span(value.span()))
                .with_hint(format!(
                    "give it on the command line: -v {}=…",
                    name.trim_start_matches([':', '@', '$'])
                )));
        }
        let number = self
            .parameter_places
            .iter()
            .position(|p| *p == value.span.start)
            .unwrap_or(0);
        self.context.parameters.get(number).cloned().ok_or_else(|| {
            Error::plan(format!(
                "parameter {} has no value: {} are given",
                number + 1,
                self.context.parameters.len()
            ))
            .with_span(tokens::span(value.span()))
            .with_hint("run it with PREPARE name FROM … and EXECUTE name USING …")
        })
    }
}

impl Level {
    /// The value a name stands for at this level alone.
    fn resolve(&self, parts: &[ast::Ident], innermost: bool) -> Result<Option<Expr>> {
        use super::scope::Clause;
        let [first, rest @ ..] = parts else {
            return Ok(None);
        };
        if innermost
            && rest.is_empty()
            && self.clause == Clause::OrderBy
            && let Some(expr) = self.alias(&first.value)?
        {
            return Ok(Some(expr));
        }
        if let [second, third, fields @ ..] = rest
            && let Some(e) = self.scope.find(Some(&first.value), Some(&second.value), &third.value)?
        {
            return with_fields(e, fields).map(Some);
        }
        if let [second, fields @ ..] = rest
            && let Some(e) = self.scope.find(None, Some(&first.value), &second.value)?
        {
            return with_fields(e, fields).map(Some);
        }
        // A relation hides a column of the same name in front of a point.
        if (rest.is_empty() || !self.scope.has_relation(&first.value))
            && let Some(e) = self.scope.find(None, None, &first.value)?
        {
            return with_fields(e, rest).map(Some);
        }
        if innermost && rest.is_empty() && matches!(self.clause, Clause::Having | Clause::Qualify) {
            return self.alias(&first.value);
        }
        Ok(None)
    }

    /// The select item with this alias.
    fn alias(&self, name: &str) -> Result<Option<Expr>> {
        let mut found = self.aliases.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let Some((_, first)) = found.next() else {
            return Ok(None);
        };
        match found.all(|(_, e)| e == first) {
            true => Ok(Some(first.clone())),
            false => Err(Error::plan(format!(
                "\"{name}\" is ambiguous: several select items have this name"
            ))),
        }
    }
}

fn with_fields(expr: &Expr, fields: &[ast::Ident]) -> Result<Expr> {
    let mut expr = expr.clone();
    for field in fields {
        expr = expr.field(&field.value)?;
    }
    Ok(expr)
}

pub(super) fn too_deep() -> Error {
    Error::new(
        ErrorKind::ResourcesExhausted,
        format!("the expression nests deeper than {MAX_DEPTH} levels"),
    )
}

/// Adds the place of a part of the text to an error that has none.
pub(super) fn at<T>(result: Result<T>, part: &impl Spanned) -> Result<T> {
    result.map_err(|e| match e.span() {
        Some(_) => e,
        None => e.with_span(tokens::span(part.span())),
    })
}

/// A name, for its place.
pub(super) struct Name<'a>(pub(super) &'a ast::Ident);

impl Spanned for Name<'_> {
    fn span(&self) -> sqlparser::tokenizer::Span {
        self.0.span
    }
}

/// The error for a feature that is not there, with its place.
pub(super) fn unsupported(what: &str, part: &impl Spanned) -> Error {
    Error::unsupported(format!("{what} is not supported")).with_span(tokens::span(part.span()))
}
