//! `WITH … body ORDER BY … LIMIT …`.

use super::bind::{Binder, CteEntry, Name, at, unsupported};
use super::recursive::is_recursive;
use super::reference::identifier;
use super::scope::{Clause, Level, Scope};
use crate::error::{Error, Result};
use crate::functions;
use crate::logical::{
    BinaryOp, CteId, Expr, FrameBound, FrameUnits, LogicalPlan, PlanBuilder, SortKey, WindowCall, WindowFrame,
    WindowTarget,
};
use crate::types::{DataType, Field, ScalarValue};
use sqlparser::ast::{self, Query, SetExpr, Spanned};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A bound body: its plan, whose last `hidden` columns serve the order only.
pub(super) struct Body {
    pub(super) plan: PlanBuilder,
    pub(super) hidden: usize,
}

impl Binder<'_> {
    /// The plan of a query.
    pub(super) fn query(&mut self, query: &Query) -> Result<LogicalPlan> {
        reject_rare_clauses(query)?;
        let visible = self.ctes.len();
        let plan = self.with(query).and_then(|()| self.ordered(query));
        let own: Vec<CteEntry> = self.ctes.drain(visible.min(self.ctes.len())..).collect();
        let mut plan = plan?;
        for cte in own.into_iter().rev() {
            if cte.mentions > 0 && !cte.inline {
                plan = PlanBuilder::from(plan)
                    .with_cte(cte.id, cte.name, cte.definition)
                    .build();
            }
        }
        Ok(plan)
    }

    /// Binds the CTEs of a query and makes them visible.
    fn with(&mut self, query: &Query) -> Result<()> {
        let Some(with) = &query.with else {
            return Ok(());
        };
        let first = self.ctes.len();
        for (i, cte) in with.cte_tables.iter().enumerate() {
            let name: Arc<str> = identifier(&cte.alias.name).into();
            if self.ctes[first..].iter().any(|c| c.name == name) {
                return at(
                    Err(Error::plan(format!("WITH defines \"{name}\" twice"))),
                    &Name(&cte.alias.name),
                );
            }
            if with.recursive && is_recursive(cte) {
                let definition = self.recursive_cte(cte)?;
                self.ctes.push(CteEntry {
                    id: CteId::fresh(),
                    name,
                    definition: Arc::new(definition),
                    outer: vec![],
                    inline: false,
                    mentions: 0,
                });
                continue;
            }
            let bound = self.subquery(&cte.query)?;
            let names: Vec<Arc<str>> = cte.alias.columns.iter().map(|c| identifier(&c.name).into()).collect();
            let mut definition = PlanBuilder::from(Arc::unwrap_or_clone(bound.plan));
            if !names.is_empty() {
                definition = at(definition.alias(&name, &names), &Name(&cte.alias.name))?;
            }
            let mentions = with.cte_tables[i + 1..]
                .iter()
                .map(|c| count_mentions(&c.query, &name))
                .sum::<usize>();
            let mentions = mentions + count_mentions_in_body(query, &name);
            self.ctes.push(CteEntry {
                id: CteId::fresh(),
                name,
                definition: Arc::new(definition.build()),
                outer: bound.outer,
                inline: mentions <= 1,
                mentions: 0,
            });
        }
        Ok(())
    }

    /// The rows of a CTE, if one has this name.
    pub(super) fn cte(&mut self, name: &str) -> Result<Option<LogicalPlan>> {
        let Some(i) = self.ctes.iter().rposition(|c| c.name.eq_ignore_ascii_case(name)) else {
            return Ok(None);
        };
        let cte = &mut self.ctes[i];
        cte.mentions += 1;
        let outer = cte.outer.clone();
        let plan = match (cte.inline, cte.mentions) {
            (true, 1) => cte.definition.as_ref().clone(),
            (true, _) => cte.definition.renewed()?,
            (false, _) => PlanBuilder::cte_reference(cte.id, cte.name.clone(), cte.definition.schema()).build(),
        };
        self.note_outer_fields(&outer);
        Ok(Some(plan))
    }

    /// Body, order, limit.
    fn ordered(&mut self, query: &Query) -> Result<LogicalPlan> {
        let order = order_expressions(query.order_by.as_ref())?;
        let body = self.body(&query.body, order)?;
        let (skip, fetch) = self.limits(query)?;
        let mut plan = body.plan;
        if let (Some(clause), Some(fetch)) = (query.fetch.as_ref().filter(|f| f.with_ties), fetch) {
            plan = at(with_ties(plan, skip, fetch), clause)?;
        } else if skip > 0 || fetch.is_some() {
            plan = plan.limit(skip, fetch);
        }
        if body.hidden > 0 {
            let shown = plan.schema().len() - body.hidden;
            let items = plan.schema().iter().take(shown);
            let items = items.map(|f| (Expr::Column(f.clone()), Some(f.name.clone()))).collect();
            plan = plan.project(items);
        }
        Ok(plan.build())
    }

    fn body(&mut self, body: &SetExpr, order: &[ast::OrderByExpr]) -> Result<Body> {
        if let SetExpr::Select(select) = body {
            return self.select(select, order);
        }
        let plan = PlanBuilder::from(self.set_expression(body)?);
        if order.is_empty() {
            return Ok(Body { plan, hidden: 0 });
        }
        let keys = self.output_order(&plan, order)?;
        Ok(Body {
            plan: plan.sort(keys),
            hidden: 0,
        })
    }

    /// Sort keys over output columns alone: of a set operation or VALUES.
    fn output_order(&mut self, plan: &PlanBuilder, order: &[ast::OrderByExpr]) -> Result<Vec<SortKey>> {
        let schema = plan.schema().clone();
        self.levels.push(Level {
            scope: Scope::of(&schema, None),
            clause: Clause::Where,
            ..Default::default()
        });
        let keys = order.iter().map(|key| {
            let expr = match ordinal(&key.expr, schema.len(), "ORDER BY")? {
                Some(i) => Expr::Column(schema[i].clone()),
                None => self.expr(&key.expr)?,
            };
            sort_key(expr, &key.options)
        });
        let keys = keys.collect();
        self.levels.pop();
        keys
    }

    /// A body that may be a set operation.
    pub(super) fn set_expression(&mut self, body: &SetExpr) -> Result<LogicalPlan> {
        match body {
            SetExpr::Select(select) => Ok(self.select(select, &[])?.plan.build()),
            SetExpr::Query(query) => self.deeper(|b| b.query(query)),
            SetExpr::SetOperation { .. } => self.set_operation(body),
            SetExpr::Values(values) => self.values(values),
            other => Err(unsupported("a statement that changes rows inside a query", other)),
        }
    }

    /// `VALUES (…), (…)`
    fn values(&mut self, values: &ast::Values) -> Result<LogicalPlan> {
        self.levels.push(Level {
            clause: Clause::Values,
            ..Default::default()
        });
        let rows: Result<Vec<Vec<Expr>>> = values
            .rows
            .iter()
            .map(|row| row.content.iter().map(|e| self.expr(e)).collect())
            .collect();
        self.levels.pop();
        at(PlanBuilder::values(rows?, None), values).map(PlanBuilder::build)
    }

    /// OFFSET and LIMIT or FETCH.
    fn limits(&mut self, query: &Query) -> Result<(u64, Option<u64>)> {
        let (mut skip, mut fetch) = (0, None);
        match &query.limit_clause {
            None => {}
            Some(ast::LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) => {
                if let Some(e) = limit_by.first() {
                    return Err(unsupported("LIMIT … BY", e));
                }
                fetch = limit.as_ref().map(|e| self.row_count(e, "LIMIT")).transpose()?;
                skip = offset.as_ref().map_or(Ok(0), |o| self.row_count(&o.value, "OFFSET"))?;
            }
            Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => {
                skip = self.row_count(offset, "OFFSET")?;
                fetch = Some(self.row_count(limit, "LIMIT")?);
            }
        }
        if let Some(clause) = &query.fetch {
            if fetch.is_some() {
                return Err(Error::plan("LIMIT and FETCH FIRST stand in one query"));
            }
            if clause.percent {
                return Err(Error::unsupported("FETCH FIRST … PERCENT is not supported"));
            }
            let quantity = clause.quantity.as_ref();
            fetch = Some(quantity.map_or(Ok(1), |e| self.row_count(e, "FETCH FIRST"))?);
        }
        Ok((skip, fetch))
    }

    /// A constant number of rows.
    fn row_count(&mut self, e: &ast::Expr, clause: &str) -> Result<u64> {
        self.levels.push(Level {
            clause: Clause::Values,
            ..Default::default()
        });
        let bound = self.expr(e);
        self.levels.pop();
        let value = bound?.constant_value().and_then(|v| v.as_integer());
        let count = value.and_then(|n| u64::try_from(n).ok());
        count.ok_or_else(|| {
            Error::plan(format!("{clause} needs a constant number of rows, found {e}"))
                .with_span(super::tokens::span(e.span()))
        })
    }
}

/// `FETCH FIRST n ROWS WITH TIES`: also the rows after them that are equal to the last one in the order.
fn with_ties(plan: PlanBuilder, skip: u64, fetch: u64) -> Result<PlanBuilder> {
    let columns: Vec<Field> = plan.schema().iter().cloned().collect();
    let LogicalPlan::Sort(sort) = plan.build() else {
        return Err(Error::plan("WITH TIES needs ORDER BY"));
    };
    let keys = sort.keys.clone();
    let call = |name: &str| -> Result<(WindowCall, Arc<str>)> {
        let function = functions::window::find(name);
        let function = function.ok_or_else(|| Error::internal(format!("there is no function {name}")))?;
        let call = WindowCall {
            target: WindowTarget::Window {
                function,
                arguments: vec![],
                ignore_nulls: false,
            },
            partition_by: vec![],
            order_by: keys.clone(),
            frame: WindowFrame {
                units: FrameUnits::Range,
                start: FrameBound::UnboundedPreceding,
                end: FrameBound::CurrentRow,
            },
            data_type: DataType::Int64,
        };
        Ok((call, name.into()))
    };
    let ranked = PlanBuilder::from(Arc::unwrap_or_clone(sort.input)).window(vec![call("rank")?, call("row_number")?]);
    let ranks: Vec<Expr> = ranked
        .schema()
        .iter()
        .skip(columns.len())
        .cloned()
        .map(Expr::Column)
        .collect();
    let [rank, number] = ranks.as_slice() else {
        return Err(Error::internal("two window functions give two columns"));
    };
    let bound = |n: u64| Expr::literal(ScalarValue::Int64(i64::try_from(n).unwrap_or(i64::MAX)));
    let kept = Expr::and([
        Expr::compare(BinaryOp::LessOrEqual, rank.clone(), bound(skip.saturating_add(fetch))),
        Expr::compare(BinaryOp::Greater, number.clone(), bound(skip)),
    ]);
    let items = columns.iter().map(|f| (Expr::Column(f.clone()), Some(f.name.clone())));
    Ok(ranked.filter(kept)?.sort(keys).project(items.collect()))
}

fn reject_rare_clauses(query: &Query) -> Result<()> {
    if !query.locks.is_empty() || query.for_clause.is_some() {
        return Err(unsupported("FOR UPDATE, FOR XML and FOR JSON", query));
    }
    if query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
        return Err(unsupported("SETTINGS, FORMAT and |> in a query", query));
    }
    Ok(())
}

/// The sort keys of ORDER BY.
fn order_expressions(order: Option<&ast::OrderBy>) -> Result<&[ast::OrderByExpr]> {
    let Some(order) = order else {
        return Ok(&[]);
    };
    if order.interpolate.is_some() {
        return Err(unsupported("INTERPOLATE", order));
    }
    match &order.kind {
        ast::OrderByKind::Expressions(keys) => Ok(keys),
        ast::OrderByKind::All(_) => Err(unsupported("ORDER BY ALL", order)),
    }
}

/// `1` in ORDER BY and GROUP BY: the position, from 0, of an output column.
pub(super) fn ordinal(e: &ast::Expr, columns: usize, clause: &str) -> Result<Option<usize>> {
    let ast::Expr::Value(ast::ValueWithSpan {
        value: ast::Value::Number(n, _),
        ..
    }) = e
    else {
        return Ok(None);
    };
    match n.parse::<usize>() {
        Ok(i) if (1..=columns).contains(&i) => Ok(Some(i - 1)),
        _ => Err(Error::plan(format!(
            "{clause} position {n} is not in the select list, which has {columns} columns"
        ))
        .with_span(super::tokens::span(e.span()))),
    }
}

/// A key with its direction; NULLs are last unless asked otherwise, also when descending (Trino).
pub(super) fn sort_key(expr: Expr, options: &ast::OrderByOptions) -> Result<SortKey> {
    let descending = match &options.sort {
        None | Some(ast::OrderBySort::Asc) => false,
        Some(ast::OrderBySort::Desc) => true,
        Some(ast::OrderBySort::Using(_)) => return Err(Error::unsupported("ORDER BY … USING is not supported")),
    };
    Ok(SortKey {
        expr,
        descending,
        nulls_first: options.nulls_first.unwrap_or(false),
    })
}

/// How often a query mentions a table of this unqualified name.
pub(super) fn count_mentions(query: &Query, name: &str) -> usize {
    let mut count = 0;
    let _ = ast::visit_relations(query, |relation| {
        count += usize::from(is_unqualified(relation, name));
        ControlFlow::<()>::Continue(())
    });
    count
}

/// The same without the query's own CTEs.
fn count_mentions_in_body(query: &Query, name: &str) -> usize {
    let ctes = query.with.iter().flat_map(|w| &w.cte_tables);
    count_mentions(query, name) - ctes.map(|c| count_mentions(&c.query, name)).sum::<usize>()
}

fn is_unqualified(relation: &ast::ObjectName, name: &str) -> bool {
    match relation.0.as_slice() {
        [ast::ObjectNamePart::Identifier(i)] => i.value.eq_ignore_ascii_case(name),
        _ => false,
    }
}

/// A whole number that a clause needs, such as the argument of `ntile`.
pub(super) fn literal_integer(e: &Expr) -> Option<i64> {
    match e {
        Expr::Literal(ScalarValue::Null, _) => None,
        Expr::Literal(value, _) => value.as_integer(),
        _ => None,
    }
}
