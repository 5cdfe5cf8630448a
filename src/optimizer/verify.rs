//! Checks a plan after each rule: columns resolve, types are kept, every schema is what its node makes of its inputs.

use crate::error::{Error, Result};
use crate::logical::{CteId, Expr, Join, LogicalPlan, Subquery};
use crate::types::{ColumnId, DataType, Schema};
use std::collections::{HashMap, HashSet};

/// What is known on the way down.
#[derive(Clone, Default)]
struct Surroundings {
    /// Columns of enclosing queries that correlated subqueries and lateral joins may mention.
    outer: HashSet<ColumnId>,
    /// Definitions that references may name.
    ctes: HashMap<CteId, Schema>,
}

/// Fails when `plan` is not well formed or its output is not `output` (identities, names and types, in order).
pub(super) fn verify(plan: &LogicalPlan, output: &Schema) -> Result<()> {
    let found = plan.schema();
    let same = found.len() == output.len()
        && found
            .iter()
            .zip(output.iter())
            .all(|(a, b)| a.id == b.id && a.data_type == b.data_type && a.name == b.name);
    if !same {
        return Err(Error::internal(format!(
            "the output changed from {} to {}",
            show(output),
            show(found)
        )));
    }
    node(plan, &Surroundings::default())
}

fn show(schema: &Schema) -> String {
    let columns: Vec<String> = schema
        .iter()
        .map(|f| format!("{}{:?} {}", f.name, f.id, f.data_type))
        .collect();
    format!("[{}]", columns.join(", "))
}

fn node(plan: &LogicalPlan, around: &Surroundings) -> Result<()> {
    unique(plan)?;
    let visible = visible(plan);
    for e in plan.expressions() {
        expression(plan, e, &visible, around)?;
    }
    shape(plan, around)?;
    match plan {
        LogicalPlan::Join(join) if !join.dependent.is_empty() => {
            node(&join.left, around)?;
            let mut inside = around.clone();
            inside.outer.extend(join.dependent.iter().map(|f| f.id));
            node(&join.right, &inside)
        }
        LogicalPlan::Cte(cte) => {
            node(&cte.definition, around)?;
            let mut inside = around.clone();
            inside.ctes.insert(cte.id, cte.definition.schema().clone());
            node(&cte.body, &inside)
        }
        other => other.inputs().into_iter().try_for_each(|input| node(input, around)),
    }
}

/// No output column appears twice.
fn unique(plan: &LogicalPlan) -> Result<()> {
    let mut seen = HashSet::new();
    for f in plan.schema().iter() {
        if !seen.insert(f.id) {
            return Err(wrong(plan, &format!("column {}{:?} appears twice", f.name, f.id)));
        }
    }
    Ok(())
}

/// The columns that the node's own expressions may mention, with their types.
fn visible(plan: &LogicalPlan) -> HashMap<ColumnId, DataType> {
    let mut columns: HashMap<ColumnId, DataType> = HashMap::new();
    let mut add = |schema: &Schema| columns.extend(schema.iter().map(|f| (f.id, f.data_type.clone())));
    if let LogicalPlan::Scan(scan) = plan {
        add(&scan.schema);
        add(&scan.filter_columns.iter().map(|(f, _)| f.clone()).collect());
    }
    plan.inputs().into_iter().for_each(|input| add(input.schema()));
    columns
}

fn expression(
    plan: &LogicalPlan,
    e: &Expr,
    visible: &HashMap<ColumnId, DataType>,
    around: &Surroundings,
) -> Result<()> {
    let mut result = Ok(());
    e.visit(&mut |part| {
        if result.is_ok() {
            result = match part {
                Expr::Column(f) => match visible.get(&f.id) {
                    Some(t) if *t == f.data_type => Ok(()),
                    Some(t) => Err(wrong(
                        plan,
                        &format!("column {}{:?} is {t}, not {}", f.name, f.id, f.data_type),
                    )),
                    None if around.outer.contains(&f.id) => Ok(()),
                    None => Err(wrong(plan, &format!("column {}{:?} does not resolve", f.name, f.id))),
                },
                Expr::ScalarSubquery(s) | Expr::Exists { subquery: s, .. } | Expr::AnySubquery { subquery: s, .. } => {
                    subquery(plan, s, visible, around)
                }
                _ => Ok(()),
            };
        }
    });
    result
}

fn subquery(
    plan: &LogicalPlan,
    s: &Subquery,
    visible: &HashMap<ColumnId, DataType>,
    around: &Surroundings,
) -> Result<()> {
    let resolves = |id: &ColumnId| visible.contains_key(id) || around.outer.contains(id);
    if let Some(f) = s.outer.iter().find(|f| !resolves(&f.id)) {
        return Err(wrong(
            plan,
            &format!("outer column {}{:?} does not resolve", f.name, f.id),
        ));
    }
    let mut inside = around.clone();
    inside.outer = s.outer.iter().map(|f| f.id).collect();
    node(&s.plan, &inside)
}

/// The node's schema is what it makes of its inputs and expressions.
fn shape(plan: &LogicalPlan, around: &Surroundings) -> Result<()> {
    match plan {
        LogicalPlan::Scan(n) => {
            same_length(plan, n.schema.len(), n.columns.len())?;
            let columns = n.schema.iter().zip(&n.columns);
            for (f, &position) in columns.chain(n.filter_columns.iter().map(|(f, p)| (f, p))) {
                match n.table.column_at(position) {
                    Some(c) if c.data_type == f.data_type => {}
                    _ => return Err(wrong(plan, &format!("column {} is not the table's", f.name))),
                }
            }
            Ok(())
        }
        LogicalPlan::Values(n) => n.rows.iter().try_for_each(|row| produces(plan, row, &n.schema)),
        LogicalPlan::Project(n) => {
            produces(plan, &n.expressions, &n.schema)?;
            for (e, f) in n.expressions.iter().zip(n.schema.iter()) {
                let passes = matches!(e, Expr::Column(c) if c.id == f.id);
                if !passes && n.input.schema().contains(f.id) {
                    return Err(wrong(plan, &format!("{} takes the identity of another column", f.name)));
                }
            }
            Ok(())
        }
        LogicalPlan::Filter(n) => boolean(plan, &n.predicate),
        LogicalPlan::Join(n) => join(plan, n),
        LogicalPlan::Aggregate(n) => {
            let sets = n.grouping_sets.is_some() as usize;
            same_length(plan, n.schema.len(), n.groups.len() + sets + n.aggregates.len())?;
            let groups: Schema = n.schema.iter().take(n.groups.len()).cloned().collect();
            produces(plan, &n.groups, &groups)?;
            for (call, f) in n.aggregates.iter().zip(n.schema.iter().skip(n.groups.len() + sets)) {
                same_type(plan, &call.signature.result, &f.data_type)?;
                same_length(plan, call.arguments.len(), call.signature.arguments.len())?;
            }
            Ok(())
        }
        LogicalPlan::Window(n) => {
            let input = n.input.schema();
            same_length(plan, n.schema.len(), input.len() + n.calls.len())?;
            same_ids(plan, &n.schema, input)?;
            let added = n.schema.iter().skip(input.len());
            n.calls
                .iter()
                .zip(added)
                .try_for_each(|(c, f)| same_type(plan, &c.data_type, &f.data_type))
        }
        LogicalPlan::Union(n) => n.inputs.iter().try_for_each(|input| {
            same_length(plan, input.schema().len(), n.schema.len())?;
            let pairs = input.schema().iter().zip(n.schema.iter());
            pairs
                .into_iter()
                .try_for_each(|(a, b)| same_type(plan, &a.data_type, &b.data_type))
        }),
        LogicalPlan::Unnest(n) => same_ids(plan, &n.schema, n.input.schema()),
        LogicalPlan::CteReference(n) => {
            let definition = around
                .ctes
                .get(&n.id)
                .ok_or_else(|| wrong(plan, "the definition is not in scope"))?;
            same_length(plan, n.columns.len(), n.schema.len())?;
            n.columns
                .iter()
                .zip(n.schema.iter())
                .try_for_each(|(&p, f)| match definition.get(p) {
                    Some(d) => same_type(plan, &d.data_type, &f.data_type),
                    None => Err(wrong(plan, &format!("the definition has no column {p}"))),
                })
        }
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Cte(_) => Ok(()),
    }
}

fn join(plan: &LogicalPlan, n: &Join) -> Result<()> {
    let expected = n.kind.schema(n.left.schema(), n.right.schema());
    same_length(plan, n.schema.len(), expected.len())?;
    same_ids(plan, &n.schema, &expected)?;
    for key in &n.on {
        same_type(plan, &key.left.data_type(), &key.right.data_type())?;
        let of = |e: &Expr, side: &Schema| e.columns().iter().all(|id| side.contains(*id));
        if n.dependent.is_empty() && !(of(&key.left, n.left.schema()) && of(&key.right, n.right.schema())) {
            return Err(wrong(
                plan,
                &format!("key {} = {} mixes the sides", key.left, key.right),
            ));
        }
    }
    n.filter.iter().try_for_each(|f| boolean(plan, f))
}

fn produces(plan: &LogicalPlan, expressions: &[Expr], schema: &Schema) -> Result<()> {
    same_length(plan, expressions.len(), schema.len())?;
    expressions
        .iter()
        .zip(schema.iter())
        .try_for_each(|(e, f)| same_type(plan, &e.data_type(), &f.data_type))
}

fn boolean(plan: &LogicalPlan, e: &Expr) -> Result<()> {
    same_type(plan, &e.data_type(), &DataType::Boolean)
}

fn same_length(plan: &LogicalPlan, found: usize, expected: usize) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(wrong(plan, &format!("{found} columns where {expected} are expected"))),
    }
}

fn same_type(plan: &LogicalPlan, found: &DataType, expected: &DataType) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(wrong(plan, &format!("type {found} where {expected} is expected"))),
    }
}

fn same_ids(plan: &LogicalPlan, found: &Schema, prefix: &Schema) -> Result<()> {
    match found.len() >= prefix.len() && found.ids().zip(prefix.ids()).all(|(a, b)| a == b) {
        true => Ok(()),
        false => Err(wrong(
            plan,
            &format!("columns {} do not begin with {}", show(found), show(prefix)),
        )),
    }
}

fn wrong(plan: &LogicalPlan, what: &str) -> Error {
    Error::internal(format!("{what}, in {}", plan.describe()))
}
