//! `WITH RECURSIVE`: a first query, and a step that is repeated over the rows that the last repetition brought.
//!
//! As in Trino the repetitions are written out, `max_recursion_depth` of them, and one more whose rows are an error:
//!
//! ```text
//! rows 0 = first            seen 0 = rows 0
//! rows 1 = step(rows 0)     seen 1 = seen 0 and rows 1      UNION: without the rows of seen 0
//! rows 2 = step(rows 1)     …
//! ```
//!
//! Each is a common table expression of its own, which is kept in memory or on disk; repetitions of no rows cost little.

use super::bind::{Binder, CteEntry, Name, at, unsupported};
use super::query::count_mentions;
use super::reference::identifier;
use super::set_operations::compare;
use crate::error::{Error, Result};
use crate::logical::{CteId, Expr, LogicalPlan, PlanBuilder};
use crate::types::{DataType, Field, ScalarValue, common_type, type_name};
use sqlparser::ast::{self, Query, SetExpr, SetOperator, SetQuantifier};
use std::sync::Arc;

/// A common table expression of one repetition.
struct Part {
    id: CteId,
    definition: Arc<LogicalPlan>,
}

impl Part {
    fn new(definition: LogicalPlan) -> Self {
        Self {
            id: CteId::fresh(),
            definition: Arc::new(definition),
        }
    }

    fn read(&self, name: &Arc<str>) -> LogicalPlan {
        PlanBuilder::cte_reference(self.id, name.clone(), self.definition.schema()).build()
    }
}

/// Whether a common table expression mentions itself.
pub(super) fn is_recursive(cte: &ast::Cte) -> bool {
    count_mentions(&cte.query, &identifier(&cte.alias.name)) > 0
}

impl Binder<'_> {
    /// All rows of a common table expression that mentions itself.
    pub(super) fn recursive_cte(&mut self, cte: &ast::Cte) -> Result<LogicalPlan> {
        let name: Arc<str> = identifier(&cte.alias.name).into();
        let (first, step, distinct) = parts_of(cte, &name)?;
        let bound = self.uncorrelated(&first, &name)?;
        let names: Vec<Arc<str>> = match cte.alias.columns.is_empty() {
            true => bound.schema().iter().map(|f| f.name.clone()).collect(),
            false => cte.alias.columns.iter().map(|c| identifier(&c.name).into()).collect(),
        };
        let mut first = at(PlanBuilder::from(bound).alias(&name, &names), &Name(&cte.alias.name))?;
        if distinct {
            first = first.distinct();
        }
        let columns: Vec<Field> = first.schema().iter().cloned().collect();
        let mut rows = vec![Part::new(first.build())];
        let mut seen: Vec<Part> = vec![];
        let depth = self.context.config.max_recursion_depth;
        for repetition in 0..=depth {
            let last = &rows[rows.len() - 1];
            let mut next = self.step(&step, last, &name, &columns)?;
            if distinct {
                let before = seen.last().unwrap_or(last).read(&name);
                next = compare(next, before, false, false)?;
            }
            if repetition == depth {
                rows.push(Part::new(too_deep(next, &name, depth)?));
                break;
            }
            let next = Part::new(next);
            if distinct {
                let before = seen.last().unwrap_or(last).read(&name);
                seen.push(Part::new(PlanBuilder::union(vec![before, next.read(&name)])?.build()));
            }
            rows.push(next);
        }
        let all = PlanBuilder::union(rows.iter().map(|part| part.read(&name)).collect())?;
        // Definitions stand before what reads them: rows 0, rows 1, seen 1, rows 2, seen 2, …
        let mut seen = seen.into_iter();
        let mut parts = vec![];
        for (i, part) in rows.into_iter().enumerate() {
            parts.push(part);
            if i > 0 {
                parts.extend(seen.next());
            }
        }
        let written_out = parts
            .into_iter()
            .rev()
            .fold(all, |plan, part| plan.with_cte(part.id, name.clone(), part.definition));
        Ok(written_out.build())
    }

    /// One repetition over the rows of the last one, with the columns of the first query.
    fn step(&mut self, step: &Query, last: &Part, name: &Arc<str>, columns: &[Field]) -> Result<LogicalPlan> {
        let visible = self.ctes.len();
        self.ctes.push(CteEntry {
            id: last.id,
            name: name.clone(),
            definition: last.definition.clone(),
            outer: vec![],
            inline: false,
            mentions: 0,
        });
        let plan = self.uncorrelated(step, name);
        self.ctes.truncate(visible);
        let plan = plan?;
        if plan.schema().len() != columns.len() {
            let found = plan.schema().len();
            return at(
                Err(Error::plan(format!(
                    "the recursive part of \"{name}\" has {found} columns, its first part {}",
                    columns.len()
                ))),
                step,
            );
        }
        let fields: Vec<Field> = plan.schema().iter().cloned().collect();
        let items = fields.into_iter().zip(columns).map(|(f, wanted)| {
            let (from, to) = (f.data_type.clone(), &wanted.data_type);
            if common_type(&from, to).as_ref() != Some(to) {
                let error = Error::plan(format!(
                    "column \"{}\" of \"{name}\" is {} in the first part and {} in the recursive part",
                    wanted.name,
                    type_name(to),
                    type_name(&from)
                ));
                return Err(error.with_hint("cast it to one type in both"));
            }
            Ok((Expr::Column(f).coerce_to(to)?, Some(wanted.name.clone())))
        });
        let items = at(items.collect::<Result<Vec<_>>>(), step)?;
        Ok(PlanBuilder::from(plan).project(items).build())
    }

    fn uncorrelated(&mut self, query: &Query, name: &str) -> Result<LogicalPlan> {
        let bound = self.subquery(query)?;
        match bound.outer.is_empty() {
            true => Ok(Arc::unwrap_or_clone(bound.plan)),
            false => Err(unsupported(
                &format!("\"{name}\", which mentions itself and columns of an enclosing query,"),
                query,
            )),
        }
    }
}

/// The first query, the step, and whether rows that were there before are left out.
fn parts_of(cte: &ast::Cte, name: &str) -> Result<(Query, Query, bool)> {
    let query = &cte.query;
    let SetExpr::SetOperation {
        op: SetOperator::Union,
        set_quantifier,
        left,
        right,
    } = query.body.as_ref()
    else {
        let error = Error::plan(format!("\"{name}\" mentions itself and is no UNION"));
        let error = error.with_hint("WITH RECURSIVE t AS (first query UNION ALL query that mentions t)");
        return at(Err(error), &Name(&cte.alias.name));
    };
    if query.with.is_some() || query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        return Err(unsupported(
            "WITH, ORDER BY or LIMIT in a query that mentions itself",
            query.as_ref(),
        ));
    }
    let part = |body: &SetExpr| Query {
        body: Box::new(body.clone()),
        ..query.as_ref().clone()
    };
    let (first, step) = (part(left), part(right));
    if count_mentions(&first, name) > 0 {
        let error = Error::plan(format!("the first part of \"{name}\" mentions it"));
        return at(Err(error), &Name(&cte.alias.name));
    }
    if count_mentions(&step, name) > 1 {
        let error = Error::unsupported(format!("the recursive part of \"{name}\" mentions it more than once"));
        return at(Err(error), &Name(&cte.alias.name));
    }
    match set_quantifier {
        SetQuantifier::All => Ok((first, step, false)),
        SetQuantifier::None | SetQuantifier::Distinct => Ok((first, step, true)),
        _ => Err(unsupported("BY NAME in a set operation", query.as_ref())),
    }
}

/// No rows; an error when `plan` has some.
fn too_deep(plan: LogicalPlan, name: &str, depth: usize) -> Result<LogicalPlan> {
    let message = format!(
        "\"{name}\" still finds rows after {depth} repetitions; SET max_recursion_depth = {} allows more",
        depth.saturating_mul(10).max(10)
    );
    let raise = Expr::call(
        "raise_error",
        vec![Expr::literal(ScalarValue::string(message.as_str()))],
    )?;
    let raise = raise.cast_to(&DataType::Boolean)?;
    Ok(PlanBuilder::from(plan).limit(0, Some(1)).filter(raise)?.build())
}
