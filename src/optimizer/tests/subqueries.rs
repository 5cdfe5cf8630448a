//! Correlated subqueries of every kind become joins.

use super::tables::table;
use super::*;
use crate::functions::aggregate;
use crate::logical::{AggregateCall, BinaryOp, Subquery};
use std::sync::Arc;

fn scan(name: &str) -> PlanBuilder {
    PlanBuilder::scan(table(name).expect("a table"), name)
}

fn subquery(plan: PlanBuilder, outer: Vec<Field>) -> Subquery {
    Subquery {
        plan: Arc::new(plan.build()),
        outer,
    }
}

fn call(name: &str, argument: Option<Expr>) -> AggregateCall {
    let function = aggregate::find(name).expect("an aggregate function");
    let arguments: Vec<Expr> = argument.into_iter().collect();
    let types: Vec<_> = arguments.iter().map(Expr::data_type).collect();
    let signature = (function.signature)(&types, &[None]).expect("an overload");
    AggregateCall {
        function,
        arguments,
        distinct: false,
        filter: None,
        order_by: vec![],
        signature,
    }
}

#[test]
fn exists_with_an_inequality_is_a_semi_join() {
    let outer = scan("lineitem");
    let inner = scan("lineitem");
    let (key, supplier) = (field(&outer, "l_orderkey"), field(&outer, "l_suppkey"));
    let condition = Expr::and([
        Expr::equal(col(&inner, "l_orderkey"), Expr::Column(key.clone())),
        Expr::compare(
            BinaryOp::NotEqual,
            col(&inner, "l_suppkey"),
            Expr::Column(supplier.clone()),
        ),
    ]);
    let inner = inner.filter(condition).unwrap();
    let exists = Expr::Exists {
        subquery: subquery(inner, vec![key.clone(), supplier]),
        negated: false,
    };
    let plan = outer.filter(exists).unwrap().project(vec![(Expr::Column(key), None)]);
    assert_eq!(
        optimized(plan.build()),
        "\
Project lineitem.l_orderkey
  LeftSemiJoin on lineitem.l_orderkey = lineitem.l_orderkey where lineitem.l_suppkey <> lineitem.l_suppkey
    Scan lineitem [l_orderkey, l_suppkey]
    Scan lineitem [l_orderkey, l_suppkey]
"
    );
}

#[test]
fn a_correlated_count_is_zero_for_rows_without_match() {
    let outer = scan("customer");
    let inner = scan("orders");
    let key = field(&outer, "c_custkey");
    let condition = Expr::equal(col(&inner, "o_custkey"), Expr::Column(key.clone()));
    let inner = inner.filter(condition).unwrap();
    let inner = inner.aggregate(vec![], None, vec![(call("count", None), "n".into())]);
    let count = Expr::ScalarSubquery(subquery(inner, vec![key.clone()]));
    let plan = outer.project(vec![(Expr::Column(key), None), (count, Some("n".into()))]);
    assert_eq!(
        optimized(plan.build()),
        "\
Project customer.c_custkey, CASE WHEN n IS NULL THEN 0 ELSE n END AS n
  LeftJoin on customer.c_custkey = orders.o_custkey
    Scan customer [c_custkey]
    Aggregate by [orders.o_custkey] compute count(*)
      Scan orders [o_custkey]
"
    );
}

#[test]
fn correlation_below_an_aggregate_that_is_no_equality_goes_through_the_domain() {
    let outer = scan("nation");
    let inner = scan("region");
    let key = field(&outer, "n_regionkey");
    let condition = Expr::compare(BinaryOp::Less, col(&inner, "r_regionkey"), Expr::Column(key.clone()));
    let inner = inner.filter(condition).unwrap();
    let inner = inner.aggregate(vec![], None, vec![(call("count", None), "n".into())]);
    let count = Expr::ScalarSubquery(subquery(inner, vec![key.clone()]));
    let plan = outer.project(vec![(count, Some("n".into()))]);
    assert_eq!(
        only_needed(plan.build()),
        "\
Project n
  Project nation.n_nationkey, nation.n_name, nation.n_regionkey, nation.n_comment, n
    Cte outer_rows
      Scan nation [n_nationkey, n_name, n_regionkey, n_comment]
      LeftJoin on nation.n_regionkey = nation.n_regionkey
        CteReference outer_rows [n_nationkey, n_name, n_regionkey, n_comment]
        Project nation.n_regionkey, CASE WHEN n IS NULL THEN 0 ELSE n END AS n
          LeftJoin on nation.n_regionkey = nation.n_regionkey
            Aggregate by [nation.n_regionkey]
              CteReference outer_rows [n_regionkey]
            Aggregate by [nation.n_regionkey] compute count(*)
              Filter region.r_regionkey < nation.n_regionkey
                CrossJoin
                  Aggregate by [nation.n_regionkey]
                    CteReference outer_rows [n_regionkey]
                  Scan region [r_regionkey, r_name, r_comment]
"
    );
}

#[test]
fn not_in_is_null_aware_only_where_nulls_can_be() {
    let outer = scan("part");
    let inner = scan("partsupp");
    let key = col(&inner, "ps_partkey");
    let any = |e: Expr, inner: PlanBuilder| Expr::AnySubquery {
        expr: Box::new(e),
        op: BinaryOp::Equal,
        subquery: subquery(inner, vec![]),
        negated: true,
    };
    let plain = inner.project(vec![(key, None)]);
    let tested = col(&outer, "p_partkey");
    let plan = outer.filter(any(tested.clone(), plain)).unwrap();
    let plan = plan.project(vec![(tested, None)]);
    assert_eq!(
        optimized(plan.build()),
        "\
LeftAntiJoin on part.p_partkey = partsupp.ps_partkey
  Scan part [p_partkey]
  Scan partsupp [ps_partkey]
"
    );
}
