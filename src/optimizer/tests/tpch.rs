//! The 22 TPC-H queries: each must optimize, and the order of joins of those where it matters is written down.

use super::tables::table;
use super::*;
use crate::error::{Error, Result};
use crate::logical::JoinKind;
use crate::sql::{BindContext, Relation, TableReference, bind_query, parse_query};

fn resolve(reference: &TableReference) -> Result<Relation> {
    match reference {
        TableReference::Named { name, .. } => table(name)
            .map(Relation::Table)
            .ok_or_else(|| Error::plan("no such table")),
        _ => Err(Error::plan("only tables here")),
    }
}

/// The plan of a query as bound.
pub(super) fn bound(sql: &str) -> LogicalPlan {
    let config = Config::default();
    let context = BindContext {
        resolve: &resolve,
        config: &config,
        statement_time: 0,
        parameters: &[],
        database: "default",
    };
    bind_query(&parse_query(sql).expect("SQL"), &context).unwrap_or_else(|e| panic!("{e}"))
}

fn query(number: usize) -> String {
    let path = format!("{}/sql/tpch/q{number:02}.sql", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the query")
}

#[test]
fn every_query_is_optimized() {
    for number in 1..=22 {
        let plan = bound(&query(number));
        let text = optimized(plan);
        if std::env::var("SHOW_PLANS").is_ok() {
            println!("-- Q{number}\n{text}");
        }
        assert!(!text.contains("CrossJoin"), "Q{number}\n{text}");
    }
}

/// The joins of a plan on one line: `(probe ⋈ build)`, scans by the name of the relation.
fn join_order(plan: &LogicalPlan) -> String {
    let parts: Vec<String> = plan.inputs().into_iter().map(|i| join_order(i)).collect();
    match plan {
        LogicalPlan::Scan(n) => {
            let mut fields = n.schema.iter().chain(n.filter_columns.iter().map(|(f, _)| f));
            let alias = fields.find_map(|f| f.qualifier.clone());
            alias.unwrap_or(n.table.name.name.clone()).to_string()
        }
        LogicalPlan::Join(n) => {
            let sign = match &n.kind {
                JoinKind::Inner => "⋈",
                JoinKind::Left => "⟕",
                JoinKind::LeftSemi => "⋉",
                JoinKind::LeftAnti => "▷",
                _ => "?",
            };
            format!("({} {sign} {})", parts[0], parts[1])
        }
        LogicalPlan::Aggregate(n) if !n.groups.is_empty() => format!("γ{}", parts.concat()),
        LogicalPlan::Window(_) => format!("ω{}", parts.concat()),
        _ => parts.join(" + "),
    }
}

#[test]
fn joins_of_the_queries_stand_in_this_order() {
    let orders = [
        (2, "(ω(partsupp ⋈ (supplier ⋈ (nation ⋈ region))) ⋈ part)"),
        (3, "γ(lineitem ⋈ (orders ⋈ customer))"),
        (4, "γ(orders ⋉ lineitem)"),
        (
            5,
            "γ((lineitem ⋈ (orders ⋈ (customer ⋈ (nation ⋈ region)))) ⋈ supplier)",
        ),
        (7, "γ((lineitem ⋈ (orders ⋈ (customer ⋈ (n1 ⋈ n2)))) ⋈ supplier)"),
        (
            8,
            "γ((supplier ⋈ ((customer ⋈ (orders ⋈ (lineitem ⋈ part))) ⋈ (n1 ⋈ region))) ⋈ n2)",
        ),
        (9, "γ(orders ⋈ (lineitem ⋈ ((partsupp ⋈ part) ⋈ (supplier ⋈ nation))))"),
        (10, "γ((customer ⋈ (lineitem ⋈ orders)) ⋈ nation)"),
        (12, "γ(orders ⋈ lineitem)"),
        (13, "γγ(customer ⟕ orders)"),
        (16, "γγ((partsupp ⋈ part) ▷ supplier)"),
        (17, "(ωlineitem ⋈ part)"),
        (18, "γ(lineitem ⋈ (customer ⋈ (orders ⋉ γlineitem)))"),
        (20, "((supplier ⋉ (γlineitem ⋈ (partsupp ⋉ part))) ⋈ nation)"),
        (21, "γ(((orders ⋈ (l1 ⋈ (supplier ⋈ nation))) ⋉ l2) ▷ l3)"),
        (22, "γ((customer ⋈ customer) ▷ orders)"),
    ];
    for (number, expected) in orders {
        let plan = optimize(bound(&query(number)), &Config::default()).unwrap();
        assert_eq!(join_order(&plan), expected, "Q{number}");
    }
}
