//! `FROM`: tables, files, subqueries, joins of all kinds, LATERAL and UNNEST.

use super::bind::{Binder, Name, at, unsupported};
use super::reference::{Relation, TableReference, identifier, reference_of};
use super::scope::{Clause, Scope, ScopeColumn};
use super::tokens;
use crate::catalog::Table;
use crate::error::{Error, Result};
use crate::logical::{BinaryOp, Expr, JoinHint, JoinKind, LogicalPlan, PlanBuilder};
use crate::types::{DataType, ScalarValue};
use sqlparser::ast::{self, JoinConstraint, JoinOperator, Spanned, TableFactor, TableSampleKind, TableWithJoins};
use std::sync::Arc;

/// A part of FROM: its plan and what names mean over it.
pub(super) struct Source {
    pub(super) plan: LogicalPlan,
    pub(super) scope: Scope,
}

/// What comments such as `/*+ BROADCAST(t) */` say: relations, and how to join them.
pub(super) type JoinHints = Vec<(String, HintKind)>;

/// How a relation named in a hint is joined; it is the side that is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HintKind {
    Broadcast,
    Partitioned,
    /// By a merge; either side may be built.
    Merge,
}

impl Binder<'_> {
    /// All of FROM. Without FROM there is one row without columns.
    pub(super) fn from(&mut self, tables: &[TableWithJoins], hints: &JoinHints) -> Result<Source> {
        let mut left: Option<Source> = None;
        for table in tables {
            left = Some(match left {
                Some(source) if mentions_left(table) => self.joined(Some(source), table, hints)?,
                Some(source) => {
                    let right = self.joined(None, table, hints)?;
                    Source {
                        plan: PlanBuilder::from(source.plan)
                            .join(right.plan, JoinKind::Inner, None)?
                            .build(),
                        scope: source.scope.join(right.scope),
                    }
                }
                None => self.joined(None, table, hints)?,
            });
        }
        Ok(left.unwrap_or_else(|| Source {
            plan: LogicalPlan::one_row(),
            scope: Scope::default(),
        }))
    }

    /// One item of FROM with its joins. With `left`, the item is crossed with it first, so that LATERAL sees it.
    fn joined(&mut self, left: Option<Source>, table: &TableWithJoins, hints: &JoinHints) -> Result<Source> {
        let has_left = left.is_some();
        let mut source = match left {
            Some(left) => {
                let cross = JoinOperator::CrossJoin(JoinConstraint::None);
                self.join(left, &table.relation, &cross, hints)?
            }
            None => self.deeper(|b| b.factor(&table.relation))?,
        };
        for join in &table.joins {
            use JoinOperator::{FullOuter, Right, RightOuter};
            if has_left && matches!(join.join_operator, Right(_) | RightOuter(_) | FullOuter(_)) {
                return Err(
                    unsupported("RIGHT or FULL JOIN in one item of FROM with LATERAL", &join.relation)
                        .with_hint("write the LATERAL item last"),
                );
            }
            if join.global {
                return Err(unsupported("GLOBAL JOIN", &join.relation));
            }
            source = self.join(source, &join.relation, &join.join_operator, hints)?;
        }
        Ok(source)
    }

    /// `left JOIN factor ON …`
    fn join(
        &mut self,
        left: Source,
        factor: &TableFactor,
        operator: &JoinOperator,
        hints: &JoinHints,
    ) -> Result<Source> {
        let (kind, constraint, swapped) = join_kind(operator, factor)?;
        if let Some(unnest) = unnest_of(factor)? {
            return self.join_unnest(left, unnest, kind, constraint, factor);
        }
        if is_lateral(factor) {
            return self.join_lateral(left, factor, kind, constraint);
        }
        let right = self.deeper(|b| b.factor(factor))?;
        let (left, right) = if swapped { (right, left) } else { (left, right) };
        let hint = hint_for(&left.scope, &right.scope, hints);
        match constraint {
            JoinConstraint::Using(names) => {
                let names: Vec<(String, crate::error::Span)> = names
                    .iter()
                    .map(|n| {
                        let ident = n.0.last().and_then(|p| p.as_ident());
                        (ident.map(identifier).unwrap_or_default(), tokens::span(n.span()))
                    })
                    .collect();
                self.join_using(left, right, kind, &names, hint)
            }
            JoinConstraint::Natural => {
                let shared = shared_names(&left.scope, &right.scope);
                self.join_using(left, right, kind, &shared, hint)
            }
            JoinConstraint::On(condition) => {
                let both = left.scope.clone().join(right.scope.clone());
                let condition = self.within(both, Clause::On, |b| b.expr(condition))?;
                let joined = at(
                    PlanBuilder::from(left.plan).join(right.plan, kind.clone(), Some(condition)),
                    factor,
                )?;
                finish_join(joined.with_hint(hint), &kind, left.scope, right.scope)
            }
            JoinConstraint::None => {
                if !matches!(
                    operator,
                    JoinOperator::CrossJoin(_) | JoinOperator::Join(_) | JoinOperator::Inner(_)
                ) {
                    return at(Err(Error::plan("the join needs ON or USING")), factor);
                }
                let joined = PlanBuilder::from(left.plan).join(right.plan, kind.clone(), None)?;
                finish_join(joined.with_hint(hint), &kind, left.scope, right.scope)
            }
        }
    }

    /// Binds expressions over `scope`, which is taken away afterwards.
    fn within<T>(&mut self, scope: Scope, clause: Clause, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let level = self.level()?;
        let before = (
            std::mem::replace(&mut level.scope, scope),
            std::mem::replace(&mut level.clause, clause),
        );
        let result = f(self);
        let level = self.level()?;
        (level.scope, level.clause) = before;
        result
    }

    /// USING and NATURAL: the named columns are equal, and come out once, before the others.
    fn join_using(
        &mut self,
        left: Source,
        right: Source,
        kind: JoinKind,
        names: &[(String, crate::error::Span)],
        hint: Option<JoinHint>,
    ) -> Result<Source> {
        let mut conditions = vec![];
        let mut merged = vec![];
        for (name, span) in names {
            let find = |scope: &Scope, side: &str| -> Result<Expr> {
                let found = scope.find(None, None, name).map_err(|e| e.with_span(*span))?;
                found.cloned().ok_or_else(|| {
                    Error::plan(format!("column \"{name}\" of USING does not exist on the {side} side"))
                        .with_span(*span)
                        .with_nearest(name, scope.columns.iter().map(|c| c.name.as_ref()))
                })
            };
            let (l, r) = (find(&left.scope, "left")?, find(&right.scope, "right")?);
            let equal = Expr::comparison(BinaryOp::Equal, l.clone(), r.clone());
            conditions.push(equal.map_err(|e| e.with_span(*span))?);
            merged.push((name.as_str(), l, r));
        }
        let condition = (!conditions.is_empty()).then(|| Expr::and(conditions));
        let joined = PlanBuilder::from(left.plan)
            .join(right.plan, kind.clone(), condition)?
            .with_hint(hint);
        let schema = joined.schema().clone();
        // The two sides of a merged column are found with their qualifier only.
        let hide = |mut scope: Scope| {
            for c in &mut scope.columns {
                c.plain &= !merged.iter().any(|(name, _, _)| c.name.eq_ignore_ascii_case(name));
            }
            scope
        };
        let one_sided = matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti);
        if one_sided {
            return Ok(Source {
                plan: joined.build(),
                scope: left.scope,
            });
        }
        let mut scope = Scope::default();
        for (name, l, r) in &merged {
            let expr = match kind {
                JoinKind::Right => r.clone(),
                JoinKind::Full => Expr::case(vec![(l.clone().is_present(), l.clone())], Some(r.clone()))?,
                _ => l.clone(),
            };
            scope.columns.push(ScopeColumn {
                database: None,
                qualifier: None,
                name: (*name).into(),
                expr,
                plain: true,
                hidden: false,
            });
        }
        let scope = scope
            .join(hide(left.scope))
            .join(hide(right.scope))
            .refreshed(&schema)?;
        Ok(Source {
            plan: joined.build(),
            scope,
        })
    }

    /// `JOIN LATERAL (query)`: the query sees the columns on its left.
    fn join_lateral(
        &mut self,
        left: Source,
        factor: &TableFactor,
        kind: JoinKind,
        constraint: &JoinConstraint,
    ) -> Result<Source> {
        let TableFactor::Derived { subquery, alias, .. } = factor else {
            return Err(unsupported("LATERAL with this item", factor));
        };
        if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
            return Err(unsupported(
                "LATERAL in a join other than INNER, LEFT and CROSS",
                factor,
            ));
        }
        let mut bound = self.within(left.scope.clone(), Clause::From, |b| b.subquery(subquery))?;
        let right = aliased(Arc::unwrap_or_clone(bound.plan), alias.as_ref())?;
        // Columns from further out are dependencies of an enclosing join or subquery, not of this one.
        bound.outer.retain(|f| left.plan.schema().contains(f.id));
        bound.plan = Arc::new(right.plan);
        let both = left.scope.clone().join(right.scope.clone());
        let condition = match constraint {
            JoinConstraint::On(e) => Some(self.within(both, Clause::On, |b| b.expr(e))?),
            JoinConstraint::None => None,
            _ => return Err(unsupported("USING with LATERAL", factor)),
        };
        let joined = PlanBuilder::from(left.plan).join_lateral(bound, kind.clone(), condition)?;
        finish_join(joined, &kind, left.scope, right.scope)
    }

    /// `CROSS JOIN UNNEST(…)`, `LEFT JOIN UNNEST(…) ON TRUE`.
    fn join_unnest(
        &mut self,
        left: Source,
        unnest: Unnest,
        kind: JoinKind,
        constraint: &JoinConstraint,
        factor: &TableFactor,
    ) -> Result<Source> {
        let outer = match kind {
            JoinKind::Inner => false,
            JoinKind::Left => true,
            _ => return Err(unsupported("UNNEST in a join other than INNER, LEFT and CROSS", factor)),
        };
        let before = left.plan.schema().len();
        let expressions = self.within(left.scope.clone(), Clause::From, |b| unnest.bind(b))?;
        let (qualifier, names) = unnest.names();
        let plan = PlanBuilder::from(left.plan).unnest(
            expressions,
            unnest.ordinality || unnest.position,
            outer || unnest.outer,
            qualifier.clone(),
            &names,
        );
        let mut plan = at(plan, factor)?;
        let added = plan.schema().iter().skip(before).cloned().collect();
        let mut added = Scope::of(&added, None);
        if unnest.position {
            position_first(&mut added)?;
        }
        let scope = left.scope.join(added);
        if let JoinConstraint::On(e) = constraint {
            let condition = self.within(scope.clone(), Clause::On, |b| b.expr(e))?;
            let always = matches!(condition, Expr::Literal(ScalarValue::Boolean(true), _));
            if !always && outer {
                return Err(unsupported("LEFT JOIN UNNEST with a condition other than TRUE", e));
            }
            if !always {
                plan = at(plan.filter(condition), e)?;
            }
        }
        Ok(Source {
            plan: plan.build(),
            scope,
        })
    }

    /// `LATERAL VIEW [OUTER] explode(a) t AS x`
    pub(super) fn lateral_view(&mut self, source: Source, view: &ast::LateralView) -> Result<Source> {
        let ast::Expr::Function(function) = &view.lateral_view else {
            return Err(unsupported(
                "LATERAL VIEW of anything but a function",
                &view.lateral_view,
            ));
        };
        let alias = view.lateral_view_name.0.last().and_then(|p| p.as_ident());
        let columns: Vec<Arc<str>> = view.lateral_col_alias.iter().map(|c| identifier(c).into()).collect();
        let args = match &function.args {
            ast::FunctionArguments::List(list) => list.args.as_slice(),
            _ => &[],
        };
        let unnest = Unnest::of_function(&function.name, args, alias.map(identifier), columns)?
            .ok_or_else(|| unsupported(&format!("LATERAL VIEW {}", function.name), &view.lateral_view))?;
        let kind = if view.outer { JoinKind::Left } else { JoinKind::Inner };
        let factor = TableFactor::TableFunction {
            expr: view.lateral_view.clone(),
            alias: None,
        };
        self.join_unnest(source, unnest, kind, &JoinConstraint::None, &factor)
    }

    /// One item of FROM that does not look to its left.
    fn factor(&mut self, factor: &TableFactor) -> Result<Source> {
        let mut source = self.whole_factor(factor)?;
        if let TableFactor::Table { sample: Some(kind), .. } | TableFactor::Derived { sample: Some(kind), .. } = factor
        {
            let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = kind;
            source.plan = at(self.sampled(source.plan, sample), factor)?;
        }
        Ok(source)
    }

    /// `TABLESAMPLE BERNOULLI (n)`: each row with a probability of n in a hundred. `SYSTEM` says so of larger pieces, which
    /// rows are, too.
    fn sampled(&mut self, plan: LogicalPlan, sample: &ast::TableSample) -> Result<LogicalPlan> {
        let percent = match &sample.quantity {
            Some(quantity) if quantity.unit.is_none() => self.within(Scope::default(), Clause::Values, |b| {
                Ok(b.expr(&quantity.value)?.constant_value().and_then(|v| v.as_f64()))
            })?,
            _ => None,
        };
        let known = matches!(
            sample.name,
            Some(ast::TableSampleMethod::Bernoulli | ast::TableSampleMethod::System)
        );
        if !known || sample.seed.is_some() || sample.bucket.is_some() || sample.offset.is_some() {
            let error = Error::unsupported("this form of TABLESAMPLE is not supported");
            return Err(error.with_hint("write TABLESAMPLE BERNOULLI (percentage) or TABLESAMPLE SYSTEM (percentage)"));
        }
        let Some(percent) = percent.filter(|p| (0.0..=100.0).contains(p)) else {
            return Err(Error::plan("TABLESAMPLE needs a constant percentage from 0 to 100"));
        };
        let share = Expr::literal(ScalarValue::Float64(percent / 100.0));
        let chosen = Expr::comparison(BinaryOp::Less, Expr::call("random", vec![])?, share)?;
        Ok(PlanBuilder::from(plan).filter(chosen)?.build())
    }

    fn whole_factor(&mut self, factor: &TableFactor) -> Result<Source> {
        reject_rare_options(factor)?;
        if let Some(unnest) = unnest_of(factor)? {
            let one_row = Source {
                plan: LogicalPlan::one_row(),
                scope: Scope::default(),
            };
            return self.join_unnest(one_row, unnest, JoinKind::Inner, &JoinConstraint::None, factor);
        }
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                if let [ast::ObjectNamePart::Identifier(i)] = name.0.as_slice()
                    && i.quote_style != Some('\'')
                    && let Some(plan) = self.cte(&i.value)?
                {
                    return match alias {
                        Some(alias) => aliased(plan, Some(alias)),
                        None => qualified(plan, &identifier(i), &[]),
                    };
                }
                self.reference(factor, alias.as_ref())
            }
            TableFactor::Table { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::TableFunction { alias, .. } => self.reference(factor, alias.as_ref()),
            TableFactor::Derived { subquery, alias, .. } => {
                let bound = self.subquery(subquery)?;
                aliased(Arc::unwrap_or_clone(bound.plan), alias.as_ref())
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let source = self.joined(None, table_with_joins, &vec![])?;
                match alias {
                    Some(_) => aliased(source.plan, alias.as_ref()),
                    None => Ok(source),
                }
            }
            other => Err(unsupported("this item of FROM", other)),
        }
    }

    /// A table, file or view that the session has resolved.
    fn reference(&mut self, factor: &TableFactor, alias: Option<&ast::TableAlias>) -> Result<Source> {
        let Some(reference) = reference_of(factor)? else {
            return Err(unsupported("this item of FROM", factor));
        };
        let (qualifier, database) = match &reference {
            TableReference::Named { name, database, .. } => {
                let database = database.clone().unwrap_or_else(|| self.context.database.to_string());
                (name.clone(), Some(database))
            }
            TableReference::Function { name, .. } => (name.clone(), None),
            TableReference::Files { .. } => (file_stem(&reference.to_string()), None),
        };
        let relation = self.relation(reference)?;
        let plan = match &relation {
            Relation::View(view) => at(self.view(view), factor)?,
            Relation::Table(table) => {
                let name = alias.map_or(qualifier.clone(), |a| identifier(&a.name));
                let renamed = alias.is_some_and(|a| !a.columns.is_empty());
                match self.hidden && !renamed {
                    true => return Ok(with_hidden(table, &name, alias.is_none().then_some(database).flatten())),
                    false => PlanBuilder::scan(table.clone(), &name).build(),
                }
            }
        };
        match (alias, relation) {
            (Some(alias), Relation::Table(_)) if alias.columns.is_empty() => Ok(Source {
                scope: Scope::of(plan.schema(), None),
                plan,
            }),
            (Some(alias), _) => aliased(plan, Some(alias)),
            (None, Relation::Table(_)) => Ok(Source {
                scope: Scope::of(plan.schema(), database.as_deref()),
                plan,
            }),
            (None, Relation::View(_)) => {
                let mut source = qualified(plan, &qualifier, &[])?;
                for c in &mut source.scope.columns {
                    c.database = database.as_deref().map(Into::into);
                }
                Ok(source)
            }
        }
    }
}

/// A table with its hidden columns, which only their names bring up.
fn with_hidden(table: &Arc<Table>, name: &str, database: Option<String>) -> Source {
    let plan = PlanBuilder::scan_with_hidden(table.clone(), name).build();
    let mut scope = Scope::of(plan.schema(), database.as_deref());
    for column in scope.columns.iter_mut().skip(table.columns.len()) {
        column.hidden = true;
    }
    Source { plan, scope }
}

/// The scope over a join of two scopes.
fn finish_join(joined: PlanBuilder, kind: &JoinKind, left: Scope, right: Scope) -> Result<Source> {
    let scope = match kind {
        JoinKind::LeftSemi | JoinKind::LeftAnti => left,
        _ => left.join(right).refreshed(joined.schema())?,
    };
    Ok(Source {
        plan: joined.build(),
        scope,
    })
}

/// `plan AS t (a, b)`. Without an alias the columns have no qualifier.
fn aliased(plan: LogicalPlan, alias: Option<&ast::TableAlias>) -> Result<Source> {
    let Some(alias) = alias else {
        let mut scope = Scope::of(plan.schema(), None);
        for c in &mut scope.columns {
            c.qualifier = None;
        }
        return Ok(Source { plan, scope });
    };
    let names: Vec<Arc<str>> = alias.columns.iter().map(|c| identifier(&c.name).into()).collect();
    at(qualified(plan, &identifier(&alias.name), &names), &Name(&alias.name))
}

fn qualified(plan: LogicalPlan, qualifier: &str, names: &[Arc<str>]) -> Result<Source> {
    let plan = PlanBuilder::from(plan).alias(qualifier, names)?.build();
    Ok(Source {
        scope: Scope::of(plan.schema(), None),
        plan,
    })
}

/// `zones` for `dir/zones.csv`: the name under which columns of a file are found.
pub fn file_stem(location: &str) -> String {
    let name = location.trim_end_matches('/').rsplit('/').next().unwrap_or(location);
    name.split(['.', '*']).next().unwrap_or(name).to_lowercase()
}

/// The kind and constraint of a join; `true` when the sides change places.
fn join_kind<'j>(operator: &'j JoinOperator, factor: &TableFactor) -> Result<(JoinKind, &'j JoinConstraint, bool)> {
    use JoinOperator as J;
    Ok(match operator {
        J::Join(c) | J::Inner(c) | J::CrossJoin(c) | J::StraightJoin(c) => (JoinKind::Inner, c, false),
        J::Left(c) | J::LeftOuter(c) => (JoinKind::Left, c, false),
        J::Right(c) | J::RightOuter(c) => (JoinKind::Right, c, false),
        J::FullOuter(c) => (JoinKind::Full, c, false),
        J::Semi(c) | J::LeftSemi(c) => (JoinKind::LeftSemi, c, false),
        J::Anti(c) | J::LeftAnti(c) => (JoinKind::LeftAnti, c, false),
        J::RightSemi(c) => (JoinKind::LeftSemi, c, true),
        J::RightAnti(c) => (JoinKind::LeftAnti, c, true),
        J::AsOf { .. } => return Err(unsupported("ASOF JOIN", factor)),
        J::CrossApply | J::OuterApply => return Err(unsupported("APPLY", factor).with_hint("write JOIN LATERAL")),
        J::ArrayJoin | J::LeftArrayJoin | J::InnerArrayJoin => {
            return Err(unsupported("ARRAY JOIN", factor).with_hint("write CROSS JOIN UNNEST"));
        }
    })
}

/// The plain names that both sides have, in the order of the left side.
fn shared_names(left: &Scope, right: &Scope) -> Vec<(String, crate::error::Span)> {
    let plain = |s: &Scope, name: &str| {
        s.columns
            .iter()
            .any(|c| c.plain && !c.hidden && c.name.eq_ignore_ascii_case(name))
    };
    let mut names: Vec<(String, crate::error::Span)> = vec![];
    for c in left.columns.iter().filter(|c| c.plain && !c.hidden) {
        if plain(right, &c.name) && !names.iter().any(|(n, _)| n.eq_ignore_ascii_case(&c.name)) {
            names.push((c.name.to_string(), Default::default()));
        }
    }
    names
}

/// How a side that is one relation named in a hint is joined. The later side is looked at first.
fn hint_for(left: &Scope, right: &Scope, hints: &JoinHints) -> Option<JoinHint> {
    let named = |scope: &Scope| match scope.relations().as_slice() {
        [only] => hints
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(only))
            .map(|(_, kind)| *kind),
        _ => None,
    };
    Some(match (named(right), named(left)) {
        (Some(HintKind::Broadcast), _) => JoinHint::BroadcastRight,
        (Some(HintKind::Partitioned), _) => JoinHint::PartitionedRight,
        (Some(HintKind::Merge), _) => JoinHint::Merge,
        (_, Some(HintKind::Broadcast)) => JoinHint::BroadcastLeft,
        (_, Some(HintKind::Partitioned)) => JoinHint::PartitionedLeft,
        (_, Some(HintKind::Merge)) => JoinHint::Merge,
        _ => return None,
    })
}

/// Spark's names of join hints.
const HINT_KINDS: &[(&str, HintKind)] = &[
    ("broadcast", HintKind::Broadcast),
    ("broadcastjoin", HintKind::Broadcast),
    ("mapjoin", HintKind::Broadcast),
    ("shuffle_hash", HintKind::Partitioned),
    ("shuffle", HintKind::Partitioned),
    ("merge", HintKind::Merge),
    ("shuffle_merge", HintKind::Merge),
    ("mergejoin", HintKind::Merge),
];

/// The relations named in hints such as `BROADCAST(a, b)` or `SHUFFLE_HASH(c)`. Hints that are not known are comments.
pub(super) fn join_hints(hints: &[ast::OptimizerHint]) -> JoinHints {
    let mut found = vec![];
    for hint in hints {
        for part in hint.text.split_inclusive(')') {
            let Some((kind, names)) = part.trim_end_matches(')').split_once('(') else {
                continue;
            };
            let kind = kind.trim_matches(|c: char| c == ',' || c.is_whitespace());
            if let Some((_, kind)) = HINT_KINDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)) {
                found.extend(names.split(',').map(|name| (name.trim().to_string(), *kind)));
            }
        }
    }
    found
}

fn is_lateral(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Derived { lateral, .. } | TableFactor::Function { lateral, .. } => *lateral,
        _ => false,
    }
}

/// Whether an item of FROM may look at the items before it.
fn mentions_left(table: &TableWithJoins) -> bool {
    let looks_left = |f: &TableFactor| is_lateral(f) || matches!(unnest_of(f), Ok(Some(_)));
    looks_left(&table.relation) || table.joins.iter().any(|j| looks_left(&j.relation))
}

fn reject_rare_options(factor: &TableFactor) -> Result<()> {
    match factor {
        TableFactor::Table { version: Some(_), .. } => Err(unsupported("time travel (FOR … AS OF)", factor)),
        TableFactor::Table {
            with_hints,
            partitions,
            index_hints,
            ..
        } if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() => {
            Err(unsupported("table hints and PARTITION in FROM", factor))
        }
        _ => Ok(()),
    }
}

/// `UNNEST(a, b) [WITH ORDINALITY] [AS t (x, y)]`, `explode(a)`, `sequence(1, 10)` as a relation.
struct Unnest {
    expressions: Vec<ast::Expr>,
    /// The name of a function whose result is unnested.
    function: Option<&'static str>,
    ordinality: bool,
    /// `posexplode`: the position, from 0, comes first.
    position: bool,
    outer: bool,
    alias: Option<String>,
    columns: Vec<Arc<str>>,
}

impl Unnest {
    fn of_function(
        name: &ast::ObjectName,
        args: &[ast::FunctionArg],
        alias: Option<String>,
        columns: Vec<Arc<str>>,
    ) -> Result<Option<Self>> {
        let name = name.to_string().to_lowercase();
        let (function, position, outer) = match name.as_str() {
            "unnest" | "explode" => (None, false, false),
            "explode_outer" => (None, false, true),
            "posexplode" => (None, true, false),
            "posexplode_outer" => (None, true, true),
            "sequence" => (Some("sequence"), false, false),
            "range" | "generate_series" => (Some("range"), false, false),
            _ => return Ok(None),
        };
        let inclusive = name == "generate_series";
        let expressions = args.iter().map(|a| match a {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)) => Ok(e.clone()),
            other => Err(Error::plan(format!("{name} cannot take {other}"))),
        });
        let expressions = expressions.collect::<Result<Vec<_>>>()?;
        if expressions.is_empty() {
            return Err(Error::plan(format!("{name} needs an argument")));
        }
        Ok(Some(Self {
            expressions,
            function: if inclusive { Some("sequence") } else { function },
            ordinality: false,
            position,
            outer,
            alias,
            columns,
        }))
    }

    fn bind(&self, binder: &mut Binder) -> Result<Vec<Expr>> {
        let bound: Result<Vec<Expr>> = self.expressions.iter().map(|e| binder.expr(e)).collect();
        let bound = bound?;
        Ok(match self.function {
            None => bound,
            Some("range") => vec![range(bound)?],
            Some(name) => vec![Expr::call(name, bound)?],
        })
    }

    /// The qualifier and the names of the unnested columns, in the order in which the plan has them.
    fn names(&self) -> (Option<Arc<str>>, Vec<Arc<str>>) {
        let mut names = self.columns.clone();
        if self.position && !names.is_empty() {
            names.rotate_left(1);
        } else if self.position {
            names = vec!["col".into(), "pos".into()];
        }
        if names.is_empty() {
            names = match self.function {
                Some(_) => vec![self.alias.clone().unwrap_or_else(|| "value".into()).into()],
                // A single unnested column may be called by the alias: `UNNEST(a) AS x`.
                None => self.alias.iter().map(|a| a.as_str().into()).take(1).collect(),
            };
        }
        (self.alias.as_deref().map(Into::into), names)
    }
}

/// `range(end)`, `range(start, end[, step])`: without the end, as Spark and DuckDB count.
fn range(mut bound: Vec<Expr>) -> Result<Expr> {
    let one = Expr::literal(ScalarValue::Int64(1));
    if bound.len() == 1 {
        bound.insert(0, Expr::literal(ScalarValue::Int64(0)));
    }
    if bound.len() > 2 {
        return Err(
            Error::unsupported("range with a step is not supported").with_hint("use sequence(start, end, step)")
        );
    }
    let end = bound.pop().unwrap_or_else(|| one.clone());
    let start = bound.pop().unwrap_or_else(|| Expr::literal(ScalarValue::Int64(0)));
    let some = Expr::comparison(BinaryOp::Less, start.clone(), end.clone())?;
    let numbers = Expr::call("sequence", vec![start, Expr::arithmetic(BinaryOp::Subtract, end, one)?])?;
    let none = Expr::null(numbers.data_type());
    Expr::case(vec![(some, numbers)], Some(none))
}

/// The unnest that an item of FROM stands for.
fn unnest_of(factor: &TableFactor) -> Result<Option<Unnest>> {
    let names = |alias: &Option<ast::TableAlias>| match alias {
        None => (None, vec![]),
        Some(a) => (
            Some(identifier(&a.name)),
            a.columns.iter().map(|c| identifier(&c.name).into()).collect(),
        ),
    };
    match factor {
        TableFactor::UNNEST {
            alias,
            array_exprs,
            with_offset,
            with_ordinality,
            ..
        } => {
            if *with_offset {
                return Err(unsupported("WITH OFFSET", factor).with_hint("write WITH ORDINALITY"));
            }
            let (alias, columns) = names(alias);
            Ok(Some(Unnest {
                expressions: array_exprs.clone(),
                function: None,
                ordinality: *with_ordinality,
                position: false,
                outer: false,
                alias,
                columns,
            }))
        }
        TableFactor::Table {
            name,
            args: Some(args),
            alias,
            with_ordinality,
            ..
        } => {
            let (alias, columns) = names(alias);
            let unnest = Unnest::of_function(name, &args.args, alias, columns)?;
            Ok(unnest.map(|u| Unnest {
                ordinality: *with_ordinality,
                ..u
            }))
        }
        TableFactor::Function {
            name,
            args,
            alias,
            with_ordinality,
            ..
        } => {
            let (alias, columns) = names(alias);
            let unnest = Unnest::of_function(name, args, alias, columns)?;
            Ok(unnest.map(|u| Unnest {
                ordinality: *with_ordinality,
                ..u
            }))
        }
        TableFactor::TableFunction {
            expr: ast::Expr::Function(f),
            alias,
        } => {
            let (alias, columns) = names(alias);
            match &f.args {
                ast::FunctionArguments::List(list) => Unnest::of_function(&f.name, &list.args, alias, columns),
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// Hive's `posexplode`: the ordinal, which the plan has last and counts from 1, comes first and counts from 0.
fn position_first(added: &mut Scope) -> Result<()> {
    let Some(mut position) = added.columns.pop() else {
        return Ok(());
    };
    let one = Expr::literal(ScalarValue::Int64(1));
    position.expr = Expr::arithmetic(BinaryOp::Subtract, position.expr, one)?.cast_to(&DataType::Int32)?;
    added.columns.insert(0, position);
    Ok(())
}
