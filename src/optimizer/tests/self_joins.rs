//! Which joins of a table with an aggregate of itself become windows.

use super::optimized;
use super::tpch::bound;

/// Whether a window takes the place of the join.
fn is_replaced(sql: &str) -> bool {
    let plan = optimized(bound(sql));
    let windows = plan.matches("Window ").count();
    assert_eq!(windows + plan.matches("Aggregate by [").count(), 1, "{plan}");
    windows == 1
}

#[test]
fn a_correlated_mean_is_a_window() {
    assert_eq!(
        optimized(bound(
            "select l_orderkey from lineitem, part where p_partkey = l_partkey and p_brand = 'Brand#23' and p_container = 'MED BOX' and l_quantity < (select avg(l_quantity) from lineitem where l_partkey = p_partkey)"
        )),
        "\
Project lineitem.l_orderkey
  InnerJoin on lineitem.l_partkey = part.p_partkey
    Project lineitem.l_orderkey, lineitem.l_partkey
      Filter lineitem.l_quantity < avg(lineitem.l_quantity)
        Window avg(lineitem.l_quantity) OVER (PARTITION BY lineitem.l_partkey ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
          Scan lineitem [l_orderkey, l_partkey, l_quantity]
    Scan part [p_partkey] where part.p_brand = 'Brand#23', part.p_container = 'MED BOX'
"
    );
}

#[test]
fn conditions_that_are_not_aggregated_stay_above_the_window() {
    assert_eq!(
        optimized(bound(
            "select ps_availqty from part, partsupp join (select ps_partkey as k, count(*) as n from partsupp where ps_partkey > 10 group by ps_partkey) on k = ps_partkey where p_partkey = k and p_size = 15 and p_brand = 'Brand#23' and ps_suppkey = n"
        )),
        "\
Project partsupp.ps_availqty
  InnerJoin on partsupp.ps_partkey = part.p_partkey
    Project partsupp.ps_partkey, partsupp.ps_availqty
      Filter partsupp.ps_suppkey = count(*)
        Window count(*) OVER (PARTITION BY partsupp.ps_partkey ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
          Scan partsupp [ps_partkey, ps_suppkey, ps_availqty] where partsupp.ps_partkey > 10
    Scan part [p_partkey] where part.p_size = 15, part.p_brand = 'Brand#23'
"
    );
}

#[test]
fn a_window_of_many_rows_costs_more_than_reading_twice() {
    let all = "select l_orderkey from lineitem l where l_quantity < (select avg(l_quantity) from lineitem m where m.l_partkey = l.l_partkey)";
    assert!(!is_replaced(all));
    let of_some_orders = "select l.l_orderkey from orders, lineitem l, (select l_partkey as k, avg(l_quantity) as mean from lineitem group by l_partkey) where o_orderkey = l.l_orderkey and o_totalprice < 900 and k = l.l_partkey and l.l_quantity < mean";
    assert!(!is_replaced(of_some_orders));
}

#[test]
fn what_is_aggregated_must_be_what_is_joined() {
    let query = |inner: &str, outer: &str| {
        format!(
            "select ps_availqty, m from part, partsupp, (select ps_partkey as k, ps_suppkey as s, {inner} group by ps_partkey, ps_suppkey) where p_partkey = ps_partkey and p_size = 15 and p_brand = 'Brand#23' and k = p_partkey and {outer}"
        )
    };
    let same = "max(ps_supplycost) as m from partsupp";
    assert!(is_replaced(&query(same, "s = ps_suppkey")));
    assert!(is_replaced(&query(same, "ps_availqty > 10 and ps_suppkey = s")));
    let narrower = "max(ps_supplycost) as m from partsupp where ps_availqty > 10";
    assert!(is_replaced(&query(narrower, "ps_suppkey = s and ps_availqty > 10")));
    for (inner, outer) in [
        (same, "s = ps_availqty"),
        (same, "m = ps_supplycost"),
        (same, "s is not distinct from ps_suppkey"),
        (narrower, "s = ps_suppkey"),
        (narrower, "s = ps_suppkey and ps_availqty > 11"),
        (
            "max(ps_supplycost) as m from supplier, partsupp where s_suppkey = ps_suppkey",
            "s = ps_suppkey",
        ),
        (
            "max(ps_supplycost) as m from (select * from partsupp limit 10)",
            "s = ps_suppkey",
        ),
        (
            "max(ps_supplycost) as m from partsupp where random() < 0.5",
            "s = ps_suppkey",
        ),
        (
            "array_agg(ps_supplycost order by ps_comment) as m from partsupp",
            "s = ps_suppkey",
        ),
    ] {
        assert!(!is_replaced(&query(inner, outer)), "{inner}, {outer}");
    }
}
