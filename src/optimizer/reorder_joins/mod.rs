//! Chooses the order of joins, and which side of each is built into a hash table.
//!
//! A tree of joins is taken apart into relations and predicates ([`graph`]), the cheapest tree over them is searched for
//! ([`search`]: exactly up to twelve relations, greedily above) and put together again. Outer, semi, anti and mark joins
//! take part; conflict rules say which orders give the same rows.
//!
//! Cost is the sum of all intermediate results and of all rows built into hash tables. The smaller side of an inner join
//! is put on the **right**, the build side. Other joins keep their sides; which one is built, physical planning decides.

mod cardinality;
mod graph;
mod search;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::logical::statistics::Estimator;
use crate::logical::{BinaryOp, Cte, Expr, Join, JoinKey, JoinKind, LogicalPlan, Project};
use crate::types::ColumnId;
use cardinality::Cardinalities;
use graph::{Edge, Graph, Relations};
use search::Tree;
use std::collections::HashSet;
use std::sync::Arc;

/// Reorders every tree of joins by estimated cost.
pub(super) fn reorder_joins(plan: LogicalPlan, _: &Config) -> Result<LogicalPlan> {
    reorder(plan, &mut Estimator::default())
}

fn reorder(plan: LogicalPlan, estimator: &mut Estimator) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Cte(n) => {
            let definition = reorder(Arc::unwrap_or_clone(n.definition), estimator)?;
            estimator.define(n.id, &definition);
            let body = reorder(Arc::unwrap_or_clone(n.body), estimator)?;
            Ok(LogicalPlan::Cte(Cte {
                definition: Arc::new(definition),
                body: Arc::new(body),
                ..n
            }))
        }
        LogicalPlan::Join(_) => reorder_tree(plan, estimator),
        other => other.map_inputs(&mut |input| reorder(input, estimator)),
    }
}

/// Reorders the joins at the root of `plan`, after everything below them.
fn reorder_tree(plan: LogicalPlan, estimator: &mut Estimator) -> Result<LogicalPlan> {
    let schema = plan.schema().clone();
    let Some(mut graph) = Graph::of(&plan) else {
        return plan.map_inputs(&mut |input| reorder(input, estimator));
    };
    for relation in &mut graph.relations {
        *relation = reorder(std::mem::replace(relation, LogicalPlan::one_row()), estimator)?;
    }
    let estimates = graph.relations.iter().map(|r| estimator.estimate(r)).collect();
    graph.derive_edges();
    let cardinalities = Cardinalities::new(&graph, estimates);
    let tree = match search::search(&graph, &cardinalities) {
        Some(tree) => tree,
        None => return plan.map_inputs(&mut |input| reorder(input, estimator)),
    };
    let joined = build(&graph, &tree)?;
    if joined.schema().ids().eq(schema.ids()) {
        return Ok(joined);
    }
    let expressions = schema
        .iter()
        .map(|f| Ok(Expr::Column(joined.schema()[joined.schema().require(f.id)?].clone())))
        .collect::<Result<_>>()?;
    Ok(LogicalPlan::Project(Project {
        input: Arc::new(joined),
        expressions,
        schema,
    }))
}

/// The plan of a tree that the search found.
fn build(graph: &Graph, tree: &Tree) -> Result<LogicalPlan> {
    let (left, right) = match tree {
        Tree::Relation(i) => {
            let relation = graph.relations.get(*i);
            return relation
                .cloned()
                .ok_or_else(|| Error::internal("a tree has known relations"));
        }
        Tree::Join(left, right) => (left, right),
    };
    let (l, r) = (left.relations(), right.relations());
    let due: Vec<&Edge> = graph.due(l, r).collect();
    let operator = due
        .iter()
        .map(|e| &graph.operators[e.operator])
        .find(|o| o.kind != JoinKind::Inner);
    let (kind, null_aware) = operator.map_or((JoinKind::Inner, false), |o| (o.kind.clone(), o.null_aware));
    let (mut on, mut filter) = (vec![], vec![]);
    let mut classes: HashSet<ColumnId> = HashSet::new();
    // Edges of the query first: a derived one is only used when no other ties the sides.
    let (derived, original): (Vec<&Edge>, Vec<&Edge>) = due.into_iter().partition(|e| e.derived);
    for edge in original.into_iter().chain(derived) {
        for key in &edge.keys {
            let class = graph.class_of(key).filter(|_| kind == JoinKind::Inner);
            let tied = class.is_some_and(|c| !classes.insert(c));
            // One equality of a class is enough when each side has made its own members equal.
            if !(tied && (edge.derived || class.is_some_and(|c| graph.is_tight(c)))) {
                place_key(graph, key, l, r, &mut on, &mut filter);
            }
        }
        filter.extend(edge.filter.iter().cloned());
    }
    let (left, right) = (build(graph, left)?, build(graph, right)?);
    let schema = kind.schema(left.schema(), right.schema());
    Ok(LogicalPlan::Join(Join {
        left: Arc::new(left),
        right: Arc::new(right),
        kind,
        on,
        filter: (!filter.is_empty()).then(|| Expr::and(filter)),
        null_aware,
        dependent: vec![],
        hint: None,
        schema,
    }))
}

/// A key whose sides belong to the inputs, or else a filter.
fn place_key(graph: &Graph, key: &JoinKey, l: Relations, r: Relations, on: &mut Vec<JoinKey>, filter: &mut Vec<Expr>) {
    let (a, b) = (graph.relations_of(&key.left), graph.relations_of(&key.right));
    if a.within(l) && b.within(r) {
        on.push(key.clone());
    } else if a.within(r) && b.within(l) {
        on.push(JoinKey {
            left: key.right.clone(),
            right: key.left.clone(),
            null_safe: key.null_safe,
        });
    } else {
        let op = match key.null_safe {
            true => BinaryOp::IsNotDistinctFrom,
            false => BinaryOp::Equal,
        };
        filter.push(Expr::compare(op, key.left.clone(), key.right.clone()));
    }
}
