//! `SELECT … FROM … WHERE … GROUP BY … HAVING … QUALIFY`, and the ORDER BY that stands after it.
//!
//! ```text
//! FROM → Filter (WHERE) → Aggregate → Filter (HAVING) → Window → Filter (QUALIFY) → Project → Distinct → Sort
//! ```
//! Expressions are bound over the columns of FROM first; aggregates and window functions found on the way leave columns
//! that stand for their results. When the Aggregate node is made, everything above it is rewritten to its output.

use super::aggregate::Grouping;
use super::bind::{Binder, at, unsupported};
use super::query::{Body, ordinal, sort_key};
use super::reference::identifier;
use super::scope::{Clause, Level};
use crate::error::{Error, Result};
use crate::logical::{Expr, PlanBuilder, SortKey};
use crate::types::{ColumnId, Field};
use sqlparser::ast::{self, Select, SelectItem, SelectItemQualifiedWildcardKind, WildcardAdditionalOptions};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// One output column before binding.
pub(super) enum Item<'q> {
    Expression(&'q ast::Expr, Option<Arc<str>>),
    /// A column that `*` brought.
    Column(Expr, Arc<str>),
}

/// A select list on its way to the projection.
type Items = Vec<(Expr, Arc<str>)>;

impl Binder<'_> {
    /// A SELECT and the ORDER BY after it, which may mention columns that are not selected.
    pub(super) fn select(&mut self, select: &Select, order: &[ast::OrderByExpr]) -> Result<Body> {
        reject_rare_clauses(select)?;
        self.levels.push(Level::default());
        let body = self.deeper(|b| b.select_in_level(select, order));
        self.levels.pop();
        body
    }

    fn select_in_level(&mut self, select: &Select, order: &[ast::OrderByExpr]) -> Result<Body> {
        let mut source = self.from(&select.from, &super::from::join_hints(&select.optimizer_hints))?;
        for view in &select.lateral_views {
            source = self.lateral_view(source, view)?;
        }
        let level = self.level()?;
        level.scope = source.scope;
        level.named_windows = select
            .named_window
            .iter()
            .map(|w| (identifier(&w.0), w.1.clone()))
            .collect();
        let mut plan = PlanBuilder::from(source.plan);
        if let Some(condition) = &select.selection {
            let predicate = self.clause(Clause::Where, |b| b.expr(condition))?;
            plan = at(predicate.to_boolean("WHERE").and_then(|p| plan.filter(p)), condition)?;
        }
        let items = self.expand(&select.projection)?;
        let grouping = self.grouping(&select.group_by, &items)?;
        let mut selected = self.clause(Clause::Select, |b| b.items(&items, &grouping))?;
        self.level()?.aliases = aliases(&selected);
        let mut having = self.condition(Clause::Having, select.having.as_ref())?;
        let mut qualify = self.condition(Clause::Qualify, select.qualify.as_ref())?;
        let outputs = self.output_placeholders(&selected)?;
        let mut keys = self.clause(Clause::OrderBy, |b| b.sort_keys(order, &outputs))?;

        let level = self.level()?;
        let is_aggregate = grouping.is_grouped() || select.having.is_some() || !level.aggregates.is_empty();
        if is_aggregate {
            let rewriter = self.aggregate(&mut plan, grouping)?;
            for ((expr, _), item) in selected.iter_mut().zip(&items) {
                let rewritten = rewriter.rewrite(expr);
                match item {
                    Item::Expression(written, _) => at(rewritten, *written)?,
                    Item::Column(..) => rewritten?,
                }
            }
            for (condition, written) in [(&mut having, &select.having), (&mut qualify, &select.qualify)] {
                if let (Some(condition), Some(written)) = (condition, written) {
                    at(rewriter.rewrite(condition), written)?;
                }
            }
            for (key, written) in keys.iter_mut().zip(order) {
                at(rewriter.rewrite(&mut key.expr), &written.expr)?;
            }
            for (call, _) in &mut self.level()?.windows {
                *call = call.clone().map_expressions(&mut |mut e| {
                    rewriter.rewrite(&mut e)?;
                    Ok(e)
                })?;
            }
        }
        if let Some(condition) = having {
            plan = plan.filter(condition)?;
        }
        let windows = std::mem::take(&mut self.level()?.windows);
        if !windows.is_empty() {
            let (with_windows, results) = super::window::add_windows(plan, windows)?;
            plan = with_windows;
            let replace = |e: &mut Expr| -> Result<()> {
                *e = std::mem::replace(e, Expr::boolean(true)).replace_columns(&results)?;
                Ok(())
            };
            selected.iter_mut().try_for_each(|(e, _)| replace(e))?;
            qualify.iter_mut().try_for_each(replace)?;
            keys.iter_mut().try_for_each(|k| replace(&mut k.expr))?;
        }
        if let Some(condition) = qualify {
            plan = plan.filter(condition)?;
        }
        let distinct = is_distinct(select)?;
        finish(plan, selected, keys, &outputs, distinct, order)
    }

    /// Runs `f` while the level's clause is `clause`.
    pub(super) fn clause<T>(&mut self, clause: Clause, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = std::mem::replace(&mut self.level()?.clause, clause);
        let result = f(self);
        self.level()?.clause = before;
        result
    }

    fn condition(&mut self, clause: Clause, condition: Option<&ast::Expr>) -> Result<Option<Expr>> {
        let Some(condition) = condition else {
            return Ok(None);
        };
        let bound = self.clause(clause, |b| b.expr(condition))?;
        at(bound.to_boolean(clause.name()), condition).map(Some)
    }

    /// The select list with every `*` written out.
    fn expand<'s>(&mut self, projection: &'s [SelectItem]) -> Result<Vec<Item<'s>>> {
        let mut items = vec![];
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(e) => items.push(Item::Expression(e, None)),
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(Item::Expression(expr, Some(identifier(alias).into())));
                }
                SelectItem::ExprWithAliases { expr, .. } => {
                    return Err(unsupported("an alias of several columns", expr));
                }
                SelectItem::Wildcard(options) => self.expand_star(None, options, item, &mut items)?,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let qualifier = name.0.last().and_then(|p| p.as_ident()).map(identifier);
                    self.expand_star(qualifier.as_deref(), options, item, &mut items)?;
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(e), _) => {
                    self.expand_row(e, &mut items)?;
                }
            }
        }
        match items.is_empty() {
            true => Err(Error::plan("the select list is empty")),
            false => Ok(items),
        }
    }

    /// `*` or `t.*`, with EXCEPT and REPLACE.
    fn expand_star<'s>(
        &mut self,
        qualifier: Option<&str>,
        options: &'s WildcardAdditionalOptions,
        star: &SelectItem,
        items: &mut Vec<Item<'s>>,
    ) -> Result<()> {
        if options.opt_ilike.is_some() || options.opt_rename.is_some() || options.opt_alias.is_some() {
            return Err(unsupported("ILIKE, RENAME and aliases of *", star));
        }
        let level = self.level()?;
        let mut columns: Vec<(Arc<str>, Expr)> = level
            .scope
            .columns
            .iter()
            .filter(|c| !c.hidden)
            .filter(|c| match qualifier {
                None => c.plain,
                Some(q) => c.qualifier.as_deref().is_some_and(|cq| cq.eq_ignore_ascii_case(q)),
            })
            .map(|c| (c.name.clone(), c.expr.clone()))
            .collect();
        if columns.is_empty() {
            let error = match qualifier {
                None => Error::plan("SELECT * needs a FROM"),
                Some(q) => {
                    Error::plan(format!("there is no relation \"{q}\" here")).with_nearest(q, level.scope.relations())
                }
            };
            return at(Err(error), star);
        }
        for name in excluded(options) {
            let before = columns.len();
            columns.retain(|(n, _)| !n.eq_ignore_ascii_case(&name));
            if columns.len() == before {
                let error = Error::plan(format!("column \"{name}\" of EXCEPT does not exist"))
                    .with_nearest(&name, columns.iter().map(|(n, _)| n.as_ref()));
                return at(Err(error), star);
            }
        }
        let replaced: HashMap<String, &ast::Expr> = options
            .opt_replace
            .iter()
            .flat_map(|r| &r.items)
            .map(|r| (identifier(&r.column_name).to_lowercase(), &r.expr))
            .collect();
        for (name, expr) in columns {
            items.push(match replaced.get(&name.to_lowercase()) {
                Some(e) => Item::Expression(e, Some(name)),
                None => Item::Column(expr, name),
            });
        }
        Ok(())
    }

    /// `(row).*`
    fn expand_row<'s>(&mut self, e: &'s ast::Expr, items: &mut Vec<Item<'s>>) -> Result<()> {
        let row = self.clause(Clause::Where, |b| b.expr(e))?;
        let crate::types::DataType::Struct(fields) = row.data_type() else {
            return at(Err(Error::plan(".* needs a relation or a row")), e);
        };
        for f in &fields {
            items.push(Item::Column(row.clone().field(f.name())?, f.name().as_str().into()));
        }
        Ok(())
    }

    /// The bound select list. An item that GROUP BY names by position or alias is the group itself.
    fn items(&mut self, items: &[Item], grouping: &Grouping) -> Result<Items> {
        let mut bound = vec![];
        for (i, item) in items.iter().enumerate() {
            let (expr, name) = match item {
                Item::Column(e, name) => (e.clone(), Some(name.clone())),
                Item::Expression(written, alias) => {
                    let expr = match grouping.of_item(i) {
                        Some(group) => group.clone(),
                        None => self.expr(written)?,
                    };
                    let name = alias.clone().or_else(|| written_name(written, &expr));
                    (expr, name)
                }
            };
            bound.push((expr, name.unwrap_or_else(|| format!("_col{i}").into())));
        }
        Ok(bound)
    }

    /// A column for each select item, by which ORDER BY can mention it. Replaces the level's aliases.
    fn output_placeholders(&mut self, selected: &Items) -> Result<Vec<Field>> {
        let fields: Vec<Field> = selected
            .iter()
            .map(|(e, name)| Field::new(name.clone(), e.data_type(), e.nullable()))
            .collect();
        // Two items of the same name and value are one for ORDER BY.
        let mut aliases: Vec<(Arc<str>, Expr)> = vec![];
        for (i, f) in fields.iter().enumerate() {
            let twin = (0..i).find(|j| fields[*j].name == f.name && selected[*j].0 == selected[i].0);
            if twin.is_none() {
                aliases.push((f.name.clone(), Expr::Column(f.clone())));
            }
        }
        self.level()?.aliases = aliases;
        Ok(fields)
    }

    fn sort_keys(&mut self, order: &[ast::OrderByExpr], outputs: &[Field]) -> Result<Vec<SortKey>> {
        order
            .iter()
            .map(|key| {
                if key.with_fill.is_some() {
                    return Err(unsupported("WITH FILL", &key.expr));
                }
                let expr = match ordinal(&key.expr, outputs.len(), "ORDER BY")? {
                    Some(i) => Expr::Column(outputs[i].clone()),
                    None => self.expr(&key.expr)?,
                };
                sort_key(expr, &key.options)
            })
            .collect()
    }
}

/// Projection, DISTINCT and sort. Columns that only the order needs are added at the end and counted as hidden.
fn finish(
    plan: PlanBuilder,
    selected: Items,
    keys: Vec<SortKey>,
    outputs: &[Field],
    distinct: bool,
    order: &[ast::OrderByExpr],
) -> Result<Body> {
    let input = plan.schema().clone();
    let mut items = selected;
    let shown = items.len();
    let placeholders: HashMap<ColumnId, usize> = outputs.iter().enumerate().map(|(i, f)| (f.id, i)).collect();
    // A key that is a select item is that output column; the other columns of keys must come along.
    let as_output = |e: &Expr, items: &Items| match e {
        Expr::Column(f) if placeholders.contains_key(&f.id) => placeholders.get(&f.id).copied(),
        other => items.iter().take(shown).position(|(item, _)| item == other),
    };
    let mut sorted_by: Vec<Option<usize>> = vec![];
    let mut passed: HashSet<ColumnId> = items
        .iter()
        .filter_map(|(e, _)| match e {
            Expr::Column(f) => Some(f.id),
            _ => None,
        })
        .collect();
    for (key, written) in keys.iter().zip(order) {
        let output = as_output(&key.expr, &items);
        sorted_by.push(output);
        if output.is_some() {
            continue;
        }
        let needed: Vec<Field> = {
            let ids = key.expr.columns();
            input
                .iter()
                .filter(|f| ids.contains(&f.id) && !passed.contains(&f.id))
                .cloned()
                .collect()
        };
        if distinct && !needed.is_empty() {
            let error = Error::plan("with SELECT DISTINCT, ORDER BY may only mention selected columns");
            return at(Err(error), &written.expr);
        }
        for f in needed {
            passed.insert(f.id);
            items.push((Expr::Column(f.clone()), f.name.clone()));
        }
    }
    let hidden = items.len() - shown;
    let mut plan = plan.project(items.into_iter().map(|(e, name)| (e, Some(name))).collect());
    if distinct {
        plan = plan.distinct();
    }
    if keys.is_empty() {
        return Ok(Body { plan, hidden });
    }
    let schema = plan.schema().clone();
    let results: HashMap<ColumnId, Expr> = outputs
        .iter()
        .zip(schema.iter())
        .map(|(placeholder, f)| (placeholder.id, Expr::Column(f.clone())))
        .collect();
    let keys = keys.into_iter().zip(sorted_by).map(|(key, output)| {
        Ok(SortKey {
            expr: match output {
                Some(i) => Expr::Column(schema[i].clone()),
                None => key.expr.replace_columns(&results)?,
            },
            ..key
        })
    });
    let keys = keys.collect::<Result<Vec<_>>>()?;
    Ok(Body {
        plan: plan.sort(without_repetitions(keys)),
        hidden,
    })
}

/// A key that was there before decides nothing.
fn without_repetitions(keys: Vec<SortKey>) -> Vec<SortKey> {
    let mut kept: Vec<SortKey> = vec![];
    for key in keys {
        if !kept.iter().any(|k| k.expr == key.expr) {
            kept.push(key);
        }
    }
    kept
}

/// The name that a select item without an alias has by itself: that of its column or field.
fn written_name(written: &ast::Expr, bound: &Expr) -> Option<Arc<str>> {
    match written {
        ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) | ast::Expr::CompoundFieldAccess { .. } => {
            bound.natural_name()
        }
        ast::Expr::Nested(inner) => written_name(inner, bound),
        _ => None,
    }
}

/// The aliases that HAVING and QUALIFY may use.
fn aliases(selected: &Items) -> Vec<(Arc<str>, Expr)> {
    selected
        .iter()
        .filter(|(e, _)| !e.has_subquery())
        .map(|(e, name)| (name.clone(), e.clone()))
        .collect()
}

fn excluded(options: &WildcardAdditionalOptions) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    if let Some(except) = &options.opt_except {
        names.push(identifier(&except.first_element));
        names.extend(except.additional_elements.iter().map(identifier));
    }
    let object_name = |n: &ast::ObjectName| n.0.last().and_then(|p| p.as_ident()).map(identifier);
    match &options.opt_exclude {
        None => {}
        Some(ast::ExcludeSelectItem::Single(n)) => names.extend(object_name(n)),
        Some(ast::ExcludeSelectItem::Multiple(list)) => names.extend(list.iter().filter_map(object_name)),
    }
    names
}

fn is_distinct(select: &Select) -> Result<bool> {
    match &select.distinct {
        None | Some(ast::Distinct::All) => Ok(false),
        Some(ast::Distinct::Distinct) => Ok(true),
        Some(ast::Distinct::On(_)) => Err(unsupported("DISTINCT ON", select)
            .with_hint("use row_number() OVER (PARTITION BY … ORDER BY …) = 1 with QUALIFY")),
    }
}

fn reject_rare_clauses(select: &Select) -> Result<()> {
    let rare = [
        (select.top.is_some(), "TOP"),
        (select.into.is_some(), "SELECT INTO"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.value_table_mode.is_some(), "SELECT AS VALUE or AS STRUCT"),
        (select.exclude.is_some(), "EXCLUDE after the select list"),
    ];
    match rare.iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(unsupported(what, select)),
        None => Ok(()),
    }
}
