//! What each rule does, by query: the optimized plan as text.

use super::optimized;
use super::tpch::bound;

#[test]
fn constants_fold_and_not_moves_to_the_leaves() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation where not (n_nationkey < 2 + 3 or n_name like 'A%') and true"
        )),
        "\
Scan nation [n_name] where nation.n_nationkey >= 5, nation.n_name NOT LIKE 'A%'
"
    );
}

#[test]
fn common_factors_leave_or() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation where (n_regionkey = 1 and n_nationkey < 5) or (n_regionkey = 1 and n_nationkey > 20)"
        )),
        "\
Scan nation [n_name] where nation.n_regionkey = 1, (nation.n_nationkey < 5) OR (nation.n_nationkey > 20)
"
    );
}

#[test]
fn equalities_become_a_list() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation where n_nationkey = 1 or n_nationkey = 2 or n_nationkey in (3, 1)"
        )),
        "\
Scan nation [n_name] where nation.n_nationkey IN (1, 2, 3)
"
    );
}

#[test]
fn comparisons_see_the_column_itself() {
    assert_eq!(
        optimized(bound(
            "select o_orderkey from orders where year(o_orderdate) = 1995 and cast(o_totalprice as decimal(20,4)) < 10.0150 and cast(o_orderdate as timestamp) >= timestamp '1995-06-01 12:00:00'"
        )),
        "\
Scan orders [o_orderkey] where orders.o_orderdate >= DATE '1995-01-01', orders.o_orderdate < DATE '1996-01-01', orders.o_totalprice <= 10.01, orders.o_orderdate > DATE '1995-06-01'
"
    );
}

#[test]
fn filters_pass_projections_groups_and_unions() {
    assert_eq!(
        optimized(bound(
            "select * from (select n_regionkey + 1 as r, count(*) as c from nation group by n_regionkey + 1 union all select r_regionkey, 1 from region) where r = 3 and c > 1"
        )),
        "\
Project r, c
  Filter count(*) > 1
    Aggregate by [nation.n_regionkey + 1] compute count(*)
      Scan nation [n_regionkey] where (nation.n_regionkey + 1) = 3
"
    );
}

#[test]
fn filters_pass_windows_on_partitions() {
    assert_eq!(
        optimized(bound(
            "select * from (select n_regionkey, n_name, row_number() over (partition by n_regionkey order by n_name) as k from nation) where n_regionkey = 2 and k <= 3"
        )),
        "\
Project nation.n_regionkey, nation.n_name, row_number() OVER (PARTITION BY nation.n_regionkey ORDER BY nation.n_name RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS k
  Filter row_number() OVER (PARTITION BY nation.n_regionkey ORDER BY nation.n_name RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) <= 3
    Window row_number() OVER (PARTITION BY nation.n_regionkey ORDER BY nation.n_name RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
      Scan nation [n_name, n_regionkey] where nation.n_regionkey = 2
"
    );
}

#[test]
fn keys_carry_filters_to_the_other_side() {
    assert_eq!(
        optimized(bound(
            "select o_orderkey from orders join lineitem on o_orderkey = l_orderkey where o_orderkey between 10 and 20"
        )),
        "\
Project orders.o_orderkey
  InnerJoin on lineitem.l_orderkey = orders.o_orderkey
    Scan lineitem [l_orderkey] where lineitem.l_orderkey >= 10, lineitem.l_orderkey <= 20
    Scan orders [o_orderkey] where orders.o_orderkey >= 10, orders.o_orderkey <= 20
"
    );
}

#[test]
fn outer_joins_that_lose_their_null_rows_are_inner() {
    assert_eq!(
        optimized(bound(
            "select c_name from customer left join orders on c_custkey = o_custkey where o_totalprice > 100"
        )),
        "\
Project customer.c_name
  InnerJoin on orders.o_custkey = customer.c_custkey
    Scan orders [o_custkey] where orders.o_totalprice > 100.00
    Scan customer [c_custkey, c_name]
"
    );
}

#[test]
fn outer_joins_keep_filters_of_their_own_side() {
    assert_eq!(
        optimized(bound(
            "select c_name, o_orderkey from customer left join orders on c_custkey = o_custkey and o_totalprice > 100 and c_acctbal > 0 where c_custkey < 10"
        )),
        "\
Project customer.c_name, orders.o_orderkey
  LeftJoin on customer.c_custkey = orders.o_custkey where customer.c_acctbal > 0.00
    Scan customer [c_custkey, c_name, c_acctbal] where customer.c_custkey < 10
    Scan orders [o_orderkey, o_custkey] where orders.o_totalprice > 100.00, orders.o_custkey < 10
"
    );
}

#[test]
fn limits_reach_sorts_scans_and_unions() {
    assert_eq!(
        optimized(bound(
            "select * from (select n_name from nation union all select r_name from region) limit 3"
        )),
        "\
Limit 3 skip 0
  Union [n_name]
    Limit 3 skip 0
      Scan nation [n_name] limit 3
    Limit 3 skip 0
      Scan region [r_name] limit 3
"
    );
}

#[test]
fn top_n_under_a_projection() {
    assert_eq!(
        optimized(bound(
            "select n_nationkey + 1 from nation order by n_name limit 5 offset 2"
        )),
        "\
Project _col0
  Limit 5 skip 2
    TopN 7 by nation.n_name
      Project nation.n_nationkey + 1 AS _col0, nation.n_name
        Scan nation [n_nationkey, n_name]
"
    );
}

#[test]
fn sorts_in_subqueries_are_idle() {
    assert_eq!(
        optimized(bound(
            "select count(*) from (select n_name from nation where n_regionkey = 1 order by n_name)"
        )),
        "\
Project _col0
  Aggregate by [] compute count(*)
    Scan nation [] where nation.n_regionkey = 1
"
    );
}

#[test]
fn counts_come_from_footers() {
    assert_eq!(
        optimized(bound("select count(*) from lineitem")),
        "\
Project _col0
  Values 1 rows [count(*)]
"
    );
}

#[test]
fn distinct_aggregates_take_two_levels() {
    assert_eq!(
        optimized(bound(
            "select n_regionkey, count(distinct n_name), count(*), max(n_nationkey) from nation group by n_regionkey"
        )),
        "\
Project nation.n_regionkey, _col1, _col2, _col3
  Aggregate by [nation.n_regionkey] compute count(nation.n_name), sum(partial), max(partial)
    Aggregate by [nation.n_regionkey, nation.n_name] compute count(*), max(nation.n_nationkey)
      Scan nation [n_nationkey, n_name, n_regionkey]
"
    );
}

#[test]
fn distinct_aggregates_without_groups_take_grouping_sets() {
    assert_eq!(
        optimized(bound(
            "select count(distinct l_comment), avg(l_quantity), count(distinct l_shipinstruct) from lineitem"
        )),
        "\
Project _col0, _col1, _col2
  Aggregate by [] compute count(key) FILTER (WHERE grouping_id = 1), any_value(partial) FILTER (WHERE grouping_id = 3), count(key) FILTER (WHERE grouping_id = 2)
    Aggregate by [lineitem.l_comment, lineitem.l_shipinstruct] sets [[0], [1], []] compute avg(lineitem.l_quantity)
      Scan lineitem [l_quantity, l_shipinstruct, l_comment]
"
    );
}

#[test]
fn distinct_beside_others_takes_sets_of_its_own_columns() {
    assert_eq!(
        optimized(bound(
            "select l_returnflag, count(distinct l_comment), count(distinct l_shipinstruct) filter (where l_linenumber > 1), \
             avg(l_quantity) from lineitem group by l_returnflag"
        )),
        "\
Project lineitem.l_returnflag, _col1, _col2, _col3
  Aggregate by [key] compute count(key) FILTER (WHERE grouping_id = 3), count(key) FILTER (WHERE (grouping_id = 4) AND key), any_value(partial) FILTER (WHERE grouping_id = 7)
    Aggregate by [lineitem.l_returnflag, lineitem.l_comment, lineitem.l_shipinstruct, lineitem.l_linenumber > 1] sets [[0, 1], [0, 2, 3], [0]] compute avg(lineitem.l_quantity)
      Scan lineitem [l_linenumber, l_quantity, l_returnflag, l_shipinstruct, l_comment]
"
    );
}

#[test]
fn sets_of_few_values_stay_sets() {
    assert_eq!(
        optimized(bound(
            "select count(distinct l_linenumber), avg(l_quantity), count(distinct l_shipdate) from lineitem"
        )),
        "\
Project _col0, _col1, _col2
  Aggregate by [] compute count(DISTINCT lineitem.l_linenumber), avg(lineitem.l_quantity), count(DISTINCT lineitem.l_shipdate)
    Scan lineitem [l_linenumber, l_quantity, l_shipdate]
"
    );
}

#[test]
fn contradictions_read_nothing() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation join region on n_regionkey = r_regionkey where 1 = 0"
        )),
        "\
Values 0 rows [n_name]
"
    );
}

#[test]
fn unused_columns_are_not_computed() {
    assert_eq!(
        optimized(bound(
            "select k from (select n_nationkey as k, sum(n_regionkey) over () as s, n_name || 'x' as x from nation)"
        )),
        "\
Project nation.k
  Scan nation [n_nationkey]
"
    );
}

#[test]
fn lateral_top_n_numbers_rows() {
    assert_eq!(
        optimized(bound(
            "select c_name, x.o_orderkey from customer cross join lateral (select o_orderkey from orders where o_custkey = c_custkey order by o_totalprice desc limit 2) x"
        )),
        "\
Project customer.c_name, x.o_orderkey
  InnerJoin on orders.o_custkey = customer.c_custkey
    Project orders.o_orderkey, orders.o_custkey
      Filter row_number <= 2
        Window row_number() OVER (PARTITION BY orders.o_custkey ORDER BY orders.o_totalprice DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
          Project orders.o_orderkey, orders.o_totalprice, orders.o_custkey
            Scan orders [o_orderkey, o_custkey, o_totalprice]
    Scan customer [c_custkey, c_name]
"
    );
}

#[test]
fn in_with_nulls_is_a_null_aware_mark() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation where n_regionkey in (select nullif(r_regionkey, 1) from region) or n_nationkey = 3"
        )),
        "\
Project nation.n_name
  Filter mark OR (nation.n_nationkey = 3)
    LeftMarkJoin null-aware on nation.n_regionkey = _col0
      Scan nation [n_nationkey, n_name, n_regionkey]
      Project CASE WHEN region.r_regionkey = 1 THEN NULL ELSE region.r_regionkey END AS _col0
        Scan region [r_regionkey]
"
    );
}

#[test]
fn a_quantified_comparison_is_a_semi_join() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation where n_nationkey > any (select r_regionkey from region)"
        )),
        "\
Project nation.n_name
  LeftSemiJoin where nation.n_nationkey > region.r_regionkey
    Scan nation [n_nationkey, n_name]
    Scan region [r_regionkey]
"
    );
}

#[test]
fn unmatched_rows_of_a_left_join_are_an_anti_join() {
    assert_eq!(
        optimized(bound(
            "select c_name, o_orderkey from customer left join orders on c_custkey = o_custkey where o_custkey is null and c_acctbal > 0"
        )),
        "\
Project customer.c_name, NULL AS o_orderkey
  LeftAntiJoin on customer.c_custkey = orders.o_custkey
    Scan customer [c_custkey, c_name] where customer.c_acctbal > 0.00
    Scan orders [o_custkey]
"
    );
}
