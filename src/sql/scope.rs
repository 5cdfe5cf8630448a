//! What names mean at some point of a query: columns by qualifier, the scopes of enclosing queries, and what an
//! expression in a clause may contain.

use crate::error::{Error, Result, nearest};
use crate::logical::{AggregateCall, Expr, WindowCall};
use crate::types::{Field, Schema};
use sqlparser::ast;
use std::sync::Arc;

/// The columns that FROM brings.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) columns: Vec<ScopeColumn>,
}

/// One name of a value.
#[derive(Debug, Clone)]
pub(super) struct ScopeColumn {
    pub(super) database: Option<Arc<str>>,
    pub(super) qualifier: Option<Arc<str>>,
    pub(super) name: Arc<str>,
    /// A column, or the merged value of a USING column.
    pub(super) expr: Expr,
    /// Found without a qualifier, and part of `*`: false for the two sides of a USING column.
    pub(super) plain: bool,
    /// Found by its name, but no part of `*`: `$path` and other hidden columns.
    pub(super) hidden: bool,
}

impl Scope {
    /// The columns of a relation called `qualifier`.
    pub(super) fn of(schema: &Schema, database: Option<&str>) -> Self {
        let columns = schema.iter().map(|f| ScopeColumn {
            database: database.map(Into::into),
            qualifier: f.qualifier.clone(),
            name: f.name.clone(),
            expr: Expr::Column(f.clone()),
            plain: true,
            hidden: false,
        });
        Self {
            columns: columns.collect(),
        }
    }

    /// Both scopes, left first.
    pub(super) fn join(mut self, right: Scope) -> Self {
        self.columns.extend(right.columns);
        self
    }

    /// The scope over a plan that changed the columns' nullability (an outer join).
    pub(super) fn refreshed(mut self, schema: &Schema) -> Result<Self> {
        for column in &mut self.columns {
            let expr = std::mem::replace(&mut column.expr, Expr::boolean(true));
            column.expr = expr.transform(&mut |e| {
                Ok(match e {
                    Expr::Column(f) => {
                        let nullable = schema.iter().find(|n| n.id == f.id).map_or(f.nullable, |n| n.nullable);
                        Expr::Column(f.with_nullable(nullable))
                    }
                    other => other,
                })
            })?;
        }
        Ok(self)
    }

    /// The value called `name`, of relation `qualifier` when given.
    ///
    /// # Errors
    /// When several columns have the name.
    pub(super) fn find(&self, database: Option<&str>, qualifier: Option<&str>, name: &str) -> Result<Option<&Expr>> {
        let matches = |c: &&ScopeColumn| {
            c.name.eq_ignore_ascii_case(name)
                && match qualifier {
                    None => c.plain,
                    Some(q) => is(&c.qualifier, q) && database.is_none_or(|d| is(&c.database, d)),
                }
        };
        let mut found = self.columns.iter().filter(matches);
        let Some(first) = found.next() else {
            return Ok(None);
        };
        match found.find(|c| c.expr != first.expr) {
            None => Ok(Some(&first.expr)),
            Some(second) => Err(
                Error::plan(format!("column \"{name}\" is ambiguous")).with_hint(format!(
                    "it could be {} or {}",
                    first.display(),
                    second.display()
                )),
            ),
        }
    }

    /// Whether a relation has this name here.
    pub(super) fn has_relation(&self, name: &str) -> bool {
        self.columns.iter().any(|c| is(&c.qualifier, name))
    }

    /// The names of the relations, each once.
    pub(super) fn relations(&self) -> Vec<&str> {
        let mut names: Vec<&str> = vec![];
        for q in self.columns.iter().filter_map(|c| c.qualifier.as_deref()) {
            if !names.contains(&q) {
                names.push(q);
            }
        }
        names
    }
}

impl ScopeColumn {
    fn display(&self) -> String {
        match &self.qualifier {
            Some(q) => format!("{q}.{}", self.name),
            None => self.name.to_string(),
        }
    }
}

fn is(name: &Option<Arc<str>>, wanted: &str) -> bool {
    name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(wanted))
}

/// A query, or a place in one, with the names it sees and what its expressions leave behind.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) scope: Scope,
    /// Columns of enclosing levels that this level or one inside it mentions.
    pub(super) outer: Vec<Field>,
    /// The part of the query whose expressions are being bound.
    pub(super) clause: Clause,
    /// Names of select items, for clauses that may refer to them.
    pub(super) aliases: Vec<(Arc<str>, Expr)>,
    /// Aggregates found so far; each is known by a column that stands for its result.
    pub(super) aggregates: Vec<(AggregateCall, Field)>,
    /// Window functions found so far.
    pub(super) windows: Vec<(WindowCall, Field)>,
    /// `grouping(…)` calls: the columns that stand for them and the arguments.
    pub(super) groupings: Vec<(Vec<Expr>, Field)>,
    /// `WINDOW w AS (…)`.
    pub(super) named_windows: Vec<(String, ast::NamedWindowExpr)>,
}

/// Parts of a query, as errors name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Clause {
    #[default]
    From,
    On,
    Where,
    GroupBy,
    Select,
    Having,
    Qualify,
    OrderBy,
    Values,
    AggregateArgument,
    WindowArgument,
}

impl Clause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::From => "FROM",
            Self::On => "ON",
            Self::Where => "WHERE",
            Self::GroupBy => "GROUP BY",
            Self::Select => "SELECT",
            Self::Having => "HAVING",
            Self::Qualify => "QUALIFY",
            Self::OrderBy => "ORDER BY",
            Self::Values => "VALUES",
            Self::AggregateArgument => "the argument of an aggregate",
            Self::WindowArgument => "the argument of a window function",
        }
    }

    pub(super) fn allows_aggregates(self) -> bool {
        matches!(
            self,
            Self::Select | Self::Having | Self::Qualify | Self::OrderBy | Self::WindowArgument
        )
    }

    pub(super) fn allows_windows(self) -> bool {
        matches!(self, Self::Select | Self::Qualify | Self::OrderBy)
    }
}

/// The error for a column that no level knows: the nearest name of the innermost level.
pub(super) fn unknown_column(levels: &[Level], qualifier: Option<&str>, name: &str) -> Error {
    let shown = qualifier.map_or(name.to_string(), |q| format!("{q}.{name}"));
    let scopes = || levels.iter().rev().map(|l| &l.scope);
    if let Some(q) = qualifier
        && !scopes().any(|s| s.has_relation(q))
    {
        let relations: Vec<&str> = scopes().flat_map(|s| s.relations()).collect();
        let error = Error::plan(format!(
            "column \"{shown}\" does not exist: there is no relation \"{q}\" here"
        ));
        return error.with_nearest(q, relations.iter().copied());
    }
    let columns = || {
        scopes().flat_map(|s| &s.columns).filter(|c| match qualifier {
            Some(q) => is(&c.qualifier, q),
            None => true,
        })
    };
    let aliases = levels
        .last()
        .into_iter()
        .flat_map(|l| l.aliases.iter().map(|(n, _)| n.as_ref()));
    let error = Error::plan(format!("column \"{shown}\" does not exist"));
    match nearest(name, columns().map(|c| c.name.as_ref()).chain(aliases)) {
        Some(best) => error.with_hint(format!("did you mean \"{best}\"?")),
        None => {
            let names: Vec<&str> = columns()
                .filter(|c| c.plain)
                .take(20)
                .map(|c| c.name.as_ref())
                .collect();
            match names.is_empty() {
                true => error,
                false => error.with_hint(format!("columns here: {}", names.join(", "))),
            }
        }
    }
}
