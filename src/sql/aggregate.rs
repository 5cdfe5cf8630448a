//! GROUP BY with GROUPING SETS, ROLLUP and CUBE; the Aggregate node; and what may be said above it.

use super::bind::{Binder, Name, at, unsupported};
use super::query::ordinal;
use super::reference::identifier;
use super::scope::Clause;
use super::select::Item;
use crate::error::{Error, ErrorKind, Result};
use crate::logical::{BinaryOp, Expr, PlanBuilder, Subquery};
use crate::types::{ColumnId, Field, ScalarValue};
use sqlparser::ast::{self, GroupByExpr, GroupByWithModifier};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Grouping sets that CUBE and products of sets may make.
const MAX_GROUPING_SETS: usize = 4096;

/// What GROUP BY says.
#[derive(Default)]
pub(super) struct Grouping {
    /// Each grouping expression once, over the columns of FROM.
    groups: Vec<Expr>,
    /// Positions in `groups`; `None` is the plain GROUP BY.
    sets: Option<Vec<Vec<usize>>>,
    /// Select items that GROUP BY names by position or alias, and their groups.
    items: HashMap<usize, usize>,
    /// There is a GROUP BY, even if it is `GROUP BY ()`.
    explicit: bool,
}

impl Grouping {
    pub(super) fn is_grouped(&self) -> bool {
        self.explicit
    }

    /// The group that select item `i` is.
    pub(super) fn of_item(&self, i: usize) -> Option<&Expr> {
        self.items.get(&i).and_then(|g| self.groups.get(*g))
    }

    /// The position of a group, which is added when it is new.
    fn position(&mut self, expr: Expr) -> usize {
        match self.groups.iter().position(|g| *g == expr) {
            Some(i) => i,
            None => {
                self.groups.push(expr);
                self.groups.len() - 1
            }
        }
    }
}

/// Sets of one GROUP BY element; a plain expression is one set of one group.
type Sets = Vec<Vec<usize>>;

impl Binder<'_> {
    /// Binds GROUP BY. Elements multiply: `GROUP BY a, ROLLUP (b)` has the sets (a, b) and (a).
    pub(super) fn grouping(&mut self, clause: &GroupByExpr, items: &[Item]) -> Result<Grouping> {
        let mut grouping = Grouping::default();
        let (elements, modifiers) = match clause {
            GroupByExpr::Expressions(elements, modifiers) => (elements, modifiers),
            GroupByExpr::All(modifiers) if modifiers.is_empty() => {
                return self.group_by_all(items);
            }
            GroupByExpr::All(_) => return Err(unsupported("GROUP BY ALL with modifiers", clause)),
        };
        if elements.is_empty() && modifiers.is_empty() {
            return Ok(grouping);
        }
        grouping.explicit = true;
        self.clause(Clause::GroupBy, |b| {
            let mut sets: Sets = vec![vec![]];
            let mut plain = modifiers.is_empty();
            for element in elements {
                let (element_sets, is_plain) = b.element(element, items, &mut grouping)?;
                plain &= is_plain;
                sets = product(&sets, &element_sets)?;
            }
            for modifier in modifiers {
                sets = b.modified(modifier, &sets, items, &mut grouping)?;
            }
            let single = sets.len() == 1 && sets[0].len() == grouping.groups.len();
            grouping.sets = (!plain && !single).then_some(sets);
            Ok(())
        })?;
        Ok(grouping)
    }

    /// `GROUP BY ALL`: every select item without an aggregate.
    fn group_by_all(&mut self, items: &[Item]) -> Result<Grouping> {
        let mut grouping = Grouping {
            explicit: true,
            ..Default::default()
        };
        for (i, item) in items.iter().enumerate() {
            let expr = match item {
                Item::Column(e, _) => e.clone(),
                Item::Expression(e, _) if contains_aggregate(e) => continue,
                Item::Expression(e, _) => self.clause(Clause::GroupBy, |b| b.expr(e))?,
            };
            let group = grouping.position(expr);
            grouping.items.insert(i, group);
        }
        Ok(grouping)
    }

    /// One element: its sets, and whether it is a plain expression.
    fn element(&mut self, element: &ast::Expr, items: &[Item], grouping: &mut Grouping) -> Result<(Sets, bool)> {
        let mut lists = |b: &mut Self, lists: &[Vec<ast::Expr>]| -> Result<Sets> {
            lists.iter().map(|list| b.group_list(list, items, grouping)).collect()
        };
        Ok(match element {
            ast::Expr::Rollup(parts) => {
                let parts = lists(self, parts)?;
                let sets = (0..=parts.len()).rev().map(|n| union_of(&parts[..n]));
                (sets.collect(), false)
            }
            ast::Expr::Cube(parts) => {
                let parts = lists(self, parts)?;
                if parts.len() > 12 {
                    return Err(too_many_sets(element));
                }
                let sets = (0..1usize << parts.len()).rev().map(|mask| {
                    let chosen = parts.iter().enumerate();
                    let chosen = chosen.filter(|(i, _)| mask >> (parts.len() - 1 - i) & 1 == 1);
                    union_of(&chosen.map(|(_, p)| p.clone()).collect::<Vec<_>>())
                });
                (sets.collect(), false)
            }
            ast::Expr::GroupingSets(sets) => (lists(self, sets)?, false),
            // `(a, b)` groups by both; `()` by nothing.
            ast::Expr::Tuple(parts) => (vec![self.group_list(parts, items, grouping)?], true),
            other => (vec![vec![self.group(other, items, grouping)?]], true),
        })
    }

    fn group_list(&mut self, list: &[ast::Expr], items: &[Item], grouping: &mut Grouping) -> Result<Vec<usize>> {
        let mut set = vec![];
        for e in list {
            let group = self.group(e, items, grouping)?;
            if !set.contains(&group) {
                set.push(group);
            }
        }
        Ok(set)
    }

    /// One grouping expression: a position, an expression over FROM, or an alias of the select list.
    fn group(&mut self, e: &ast::Expr, items: &[Item], grouping: &mut Grouping) -> Result<usize> {
        let item = match ordinal(e, items.len(), "GROUP BY")? {
            Some(i) => Some(i),
            None => self.aliased_item(e, items)?,
        };
        let expr = match item.map(|i| &items[i]) {
            None => self.expr(e)?,
            Some(Item::Column(column, _)) => column.clone(),
            Some(Item::Expression(item_expr, _)) => match item.and_then(|i| grouping.of_item(i)) {
                Some(group) => group.clone(),
                None => self.expr(item_expr)?,
            },
        };
        let group = grouping.position(expr);
        if let Some(i) = item {
            grouping.items.insert(i, group);
        }
        Ok(group)
    }

    /// The select item whose alias the expression is, when no column of FROM has that name.
    fn aliased_item(&mut self, e: &ast::Expr, items: &[Item]) -> Result<Option<usize>> {
        let ast::Expr::Identifier(name) = e else {
            return Ok(None);
        };
        let wanted = identifier(name);
        if at(self.level()?.scope.find(None, None, &wanted), &Name(name))?.is_some() {
            return Ok(None);
        }
        let alias = |item: &Item| match item {
            Item::Expression(_, alias) => alias.as_ref().is_some_and(|a| a.eq_ignore_ascii_case(&wanted)),
            Item::Column(..) => false,
        };
        Ok(items.iter().position(alias))
    }

    /// Hive's forms after the list: `WITH ROLLUP`, `WITH CUBE`, `GROUPING SETS (…)`.
    fn modified(
        &mut self,
        modifier: &GroupByWithModifier,
        sets: &Sets,
        items: &[Item],
        grouping: &mut Grouping,
    ) -> Result<Sets> {
        let all: Vec<usize> = sets.concat();
        Ok(match modifier {
            GroupByWithModifier::Rollup => (0..=all.len()).rev().map(|n| all[..n].to_vec()).collect(),
            GroupByWithModifier::Cube if all.len() <= 12 => (0..1usize << all.len())
                .rev()
                .map(|mask| {
                    let chosen = all.iter().enumerate();
                    chosen
                        .filter(|(i, _)| mask >> (all.len() - 1 - i) & 1 == 1)
                        .map(|(_, g)| *g)
                        .collect()
                })
                .collect(),
            GroupByWithModifier::GroupingSets(e) => self.element(e, items, grouping)?.0,
            GroupByWithModifier::Cube | GroupByWithModifier::Totals => {
                return Err(Error::unsupported("this form of GROUP BY is not supported"));
            }
        })
    }

    /// Adds the Aggregate node for the level's aggregates and returns how expressions above it are rewritten.
    pub(super) fn aggregate(&mut self, plan: &mut PlanBuilder, grouping: Grouping) -> Result<Rewriter> {
        let level = self.level()?;
        let aggregates = std::mem::take(&mut level.aggregates);
        let groupings = std::mem::take(&mut level.groupings);
        let input = plan.schema().clone();
        let has_sets = grouping.sets.is_some();
        let group_count = grouping.groups.len();
        let groups = grouping
            .groups
            .iter()
            .map(|e| (e.clone(), e.natural_name().unwrap_or_else(|| e.to_string().into())));
        let groups = groups.collect();
        let (calls, placeholders): (Vec<_>, Vec<_>) = aggregates.into_iter().unzip();
        let calls = calls.into_iter().map(|c| {
            let name: Arc<str> = c.to_string().into();
            (c, name)
        });
        let calls = calls.collect();
        let before = std::mem::replace(plan, PlanBuilder::from(crate::logical::LogicalPlan::one_row()));
        *plan = before.aggregate(groups, grouping.sets.clone(), calls);
        let output = plan.schema().clone();
        let first_result = group_count + usize::from(has_sets);
        let mut results: HashMap<ColumnId, Expr> = placeholders
            .iter()
            .zip(output.iter().skip(first_result))
            .map(|(placeholder, f)| (placeholder.id, Expr::Column(f.clone())))
            .collect();
        let grouping_id = has_sets.then(|| Expr::Column(output[group_count].clone()));
        for (arguments, placeholder) in groupings {
            let value = grouping_value(&arguments, &grouping.groups, grouping_id.as_ref())?;
            results.insert(placeholder.id, value);
        }
        let groups = grouping
            .groups
            .into_iter()
            .zip(output.iter().map(|f| Expr::Column(f.clone())))
            .collect();
        Ok(Rewriter {
            groups,
            results,
            input: input.iter().map(|f| f.id).collect(),
        })
    }
}

/// Turns expressions over the input of an Aggregate node into expressions over its output.
pub(super) struct Rewriter {
    groups: Vec<(Expr, Expr)>,
    /// What the placeholders of aggregates became.
    results: HashMap<ColumnId, Expr>,
    input: HashSet<ColumnId>,
}

impl Rewriter {
    /// # Errors
    /// When a column is neither grouped nor inside an aggregate.
    pub(super) fn rewrite(&self, e: &mut Expr) -> Result<()> {
        // A literal by itself may be a group; inside of an expression it stays what it says.
        *e = match self.group(e) {
            Some(output) => output.clone(),
            None => self.rewritten(std::mem::replace(e, Expr::boolean(true)))?,
        };
        Ok(())
    }

    /// What a group is in the output.
    fn group(&self, e: &Expr) -> Option<&Expr> {
        self.groups
            .iter()
            .find(|(group, _)| group == e)
            .map(|(_, output)| output)
    }

    fn rewritten(&self, e: Expr) -> Result<Expr> {
        if !e.is_literal()
            && let Some(output) = self.group(&e)
        {
            return Ok(output.clone());
        }
        match e {
            Expr::Column(ref f) => match self.results.get(&f.id) {
                Some(result) => Ok(result.clone()),
                None if self.input.contains(&f.id) => Err(not_grouped(f)),
                None => Ok(e),
            },
            Expr::ScalarSubquery(s) => Ok(Expr::ScalarSubquery(self.subquery(s)?)),
            Expr::Exists { subquery, negated } => Ok(Expr::Exists {
                subquery: self.subquery(subquery)?,
                negated,
            }),
            Expr::AnySubquery {
                expr,
                op,
                subquery,
                negated,
            } => Ok(Expr::AnySubquery {
                expr: Box::new(self.rewritten(*expr)?),
                op,
                subquery: self.subquery(subquery)?,
                negated,
            }),
            other => other.map_children(&mut |child| self.rewritten(child)),
        }
    }

    /// A subquery may mention the grouped columns of the query around it.
    fn subquery(&self, s: Subquery) -> Result<Subquery> {
        let mut map: HashMap<ColumnId, Expr> = HashMap::new();
        for f in &s.outer {
            if let Some(result) = self.results.get(&f.id) {
                map.insert(f.id, result.clone());
            } else if self.input.contains(&f.id) {
                let group = self
                    .groups
                    .iter()
                    .find(|(g, _)| matches!(g, Expr::Column(c) if c.id == f.id));
                let (_, output) = group.ok_or_else(|| not_grouped(f))?;
                map.insert(f.id, output.clone());
            }
        }
        map.retain(|id, e| !matches!(e, Expr::Column(f) if f.id == *id));
        match Expr::ScalarSubquery(s).replace_columns(&map)? {
            Expr::ScalarSubquery(s) => Ok(s),
            _ => Err(Error::internal("a subquery stays a subquery")),
        }
    }
}

fn not_grouped(f: &Field) -> Error {
    let name = match &f.qualifier {
        Some(q) => format!("{q}.{}", f.name),
        None => f.name.to_string(),
    };
    Error::plan(format!("column \"{name}\" must be in GROUP BY or inside an aggregate"))
        .with_hint(format!("add it to GROUP BY, or write any_value({name})"))
}

/// `grouping(a, b)`: bit by bit, from the left, whether each argument is left out of the row's grouping set.
fn grouping_value(arguments: &[Expr], groups: &[Expr], grouping_id: Option<&Expr>) -> Result<Expr> {
    let int = |v: i64| Expr::literal(ScalarValue::Int64(v));
    let mut value = int(0);
    for argument in arguments {
        let Some(i) = groups.iter().position(|g| g == argument) else {
            return Err(Error::plan(format!(
                "grouping({argument}) needs an expression of GROUP BY"
            )));
        };
        let Some(id) = grouping_id else { continue };
        let bit = groups.len() - 1 - i;
        if bit > 62 {
            return Err(Error::unsupported("grouping() of more than 63 groups is not supported"));
        }
        // bit = id / 2^bit % 2
        let shifted = Expr::arithmetic(BinaryOp::Divide, id.clone(), int(1 << bit))?;
        let outside = Expr::arithmetic(BinaryOp::Modulo, shifted, int(2))?;
        value = match value {
            Expr::Literal(..) => outside,
            value => {
                let doubled = Expr::arithmetic(BinaryOp::Multiply, value, int(2))?;
                Expr::arithmetic(BinaryOp::Add, doubled, outside)?
            }
        };
    }
    Ok(value)
}

/// Every set of `left` united with every set of `right`.
fn product(left: &Sets, right: &Sets) -> Result<Sets> {
    if left.len().saturating_mul(right.len()) > MAX_GROUPING_SETS {
        return Err(Error::new(
            ErrorKind::ResourcesExhausted,
            format!("GROUP BY makes more than {MAX_GROUPING_SETS} grouping sets"),
        ));
    }
    let pairs = left
        .iter()
        .flat_map(|l| right.iter().map(move |r| union_of(&[l.clone(), r.clone()])));
    Ok(pairs.collect())
}

/// All positions of the parts, each once.
fn union_of(parts: &[Vec<usize>]) -> Vec<usize> {
    let mut set = vec![];
    for g in parts.iter().flatten() {
        if !set.contains(g) {
            set.push(*g);
        }
    }
    set
}

fn too_many_sets(element: &ast::Expr) -> Error {
    let error = Error::new(
        ErrorKind::ResourcesExhausted,
        "CUBE of more than 12 columns makes too many grouping sets",
    );
    error.with_span(super::tokens::span(ast::Spanned::span(element)))
}

/// Whether an expression calls an aggregate that is not a window function. Subqueries have their own aggregates.
fn contains_aggregate(e: &ast::Expr) -> bool {
    use std::ops::ControlFlow;
    let mut depth_of_queries = 0usize;
    struct Finder<'d>(&'d mut usize);
    impl ast::Visitor for Finder<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            *self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            *self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, e: &ast::Expr) -> ControlFlow<()> {
            match e {
                ast::Expr::Function(f) if *self.0 == 0 && f.over.is_none() => {
                    match crate::functions::aggregate::find(&f.name.to_string().to_lowercase()) {
                        Some(_) => ControlFlow::Break(()),
                        None => ControlFlow::Continue(()),
                    }
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    ast::Visit::visit(e, &mut Finder(&mut depth_of_queries)).is_break()
}
