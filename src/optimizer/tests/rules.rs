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
@@constants_fold_and_not_moves_to_the_leaves@@"
    );
}

#[test]
fn common_factors_leave_or() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation where (n_regionkey = 1 and n_nationkey < 5) or (n_regionkey = 1 and n_nationkey > 20)"
        )),
        "\
@@common_factors_leave_or@@"
    );
}

#[test]
fn equalities_become_a_list() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation where n_nationkey = 1 or n_nationkey = 2 or n_nationkey in (3, 1)"
        )),
        "\
@@equalities_become_a_list@@"
    );
}

#[test]
fn comparisons_see_the_column_itself() {
    assert_eq!(
        optimized(bound(
            "select o_orderkey from orders where year(o_orderdate) = 1995 and cast(o_totalprice as decimal(20,4)) < 10.0150 and cast(o_orderdate as timestamp) >= timestamp '1995-06-01 12:00:00'"
        )),
        "\
@@comparisons_see_the_column_itself@@"
    );
}

#[test]
fn filters_pass_projections_groups_and_unions() {
    assert_eq!(
        optimized(bound(
            "select * from (select n_regionkey + 1 as r, count(*) as c from nation group by n_regionkey + 1 union all select r_regionkey, 1 from region) where r = 3 and c > 1"
        )),
        "\
@@filters_pass_projections_groups_and_unions@@"
    );
}

#[test]
fn filters_pass_windows_on_partitions() {
    assert_eq!(
        optimized(bound(
            "select * from (select n_regionkey, n_name, row_number() over (partition by n_regionkey order by n_name) as k from nation) where n_regionkey = 2 and k <= 3"
        )),
        "\
@@filters_pass_windows_on_partitions@@"
    );
}

#[test]
fn keys_carry_filters_to_the_other_side() {
    assert_eq!(
        optimized(bound(
            "select o_orderkey from orders join lineitem on o_orderkey = l_orderkey where o_orderkey between 10 and 20"
        )),
        "\
@@keys_carry_filters_to_the_other_side@@"
    );
}

#[test]
fn outer_joins_that_lose_their_null_rows_are_inner() {
    assert_eq!(
        optimized(bound(
            "select c_name from customer left join orders on c_custkey = o_custkey where o_totalprice > 100"
        )),
        "\
@@outer_joins_that_lose_their_null_rows_are_inner@@"
    );
}

#[test]
fn outer_joins_keep_filters_of_their_own_side() {
    assert_eq!(
        optimized(bound(
            "select c_name, o_orderkey from customer left join orders on c_custkey = o_custkey and o_totalprice > 100 and c_acctbal > 0 where c_custkey < 10"
        )),
        "\
@@outer_joins_keep_filters_of_their_own_side@@"
    );
}

#[test]
fn limits_reach_sorts_scans_and_unions() {
    assert_eq!(
        optimized(bound(
            "select * from (select n_name from nation union all select r_name from region) limit 3"
        )),
        "\
@@limits_reach_sorts_scans_and_unions@@"
    );
}

#[test]
fn top_n_under_a_projection() {
    assert_eq!(
        optimized(bound(
            "select n_nationkey + 1 from nation order by n_name limit 5 offset 2"
        )),
        "\
@@top_n_under_a_projection@@"
    );
}

#[test]
fn sorts_in_subqueries_are_idle() {
    assert_eq!(
        optimized(bound(
            "select count(*) from (select n_name from nation where n_regionkey = 1 order by n_name)"
        )),
        "\
@@sorts_in_subqueries_are_idle@@"
    );
}

#[test]
fn counts_come_from_footers() {
    assert_eq!(
        optimized(bound("select count(*) from lineitem")),
        "\
@@counts_come_from_footers@@"
    );
}

#[test]
fn distinct_aggregates_take_two_levels() {
    assert_eq!(
        optimized(bound(
            "select n_regionkey, count(distinct n_name), count(*), max(n_nationkey) from nation group by n_regionkey"
        )),
        "\
@@distinct_aggregates_take_two_levels@@"
    );
}

#[test]
fn contradictions_read_nothing() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation join region on n_regionkey = r_regionkey where 1 = 0"
        )),
        "\
@@contradictions_read_nothing@@"
    );
}

#[test]
fn unused_columns_are_not_computed() {
    assert_eq!(
        optimized(bound(
            "select k from (select n_nationkey as k, sum(n_regionkey) over () as s, n_name || 'x' as x from nation)"
        )),
        "\
@@unused_columns_are_not_computed@@"
    );
}

#[test]
fn lateral_top_n_numbers_rows() {
    assert_eq!(
        optimized(bound(
            "select c_name, x.o_orderkey from customer cross join lateral (select o_orderkey from orders where o_custkey = c_custkey order by o_totalprice desc limit 2) x"
        )),
        "\
@@lateral_top_n_numbers_rows@@"
    );
}

#[test]
fn in_with_nulls_is_a_null_aware_mark() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation where n_regionkey in (select nullif(r_regionkey, 1) from region) or n_nationkey = 3"
        )),
        "\
@@in_with_nulls_is_a_null_aware_mark@@"
    );
}

#[test]
fn a_quantified_comparison_is_a_semi_join() {
    assert_eq!(
        optimized(bound(
            "select n_name from nation where n_nationkey > any (select r_regionkey from region)"
        )),
        "\
@@a_quantified_comparison_is_a_semi_join@@"
    );
}

#[test]
fn unmatched_rows_of_a_left_join_are_an_anti_join() {
    assert_eq!(
        optimized(bound(
            "select c_name, o_orderkey from customer left join orders on c_custkey = o_custkey where o_custkey is null and c_acctbal > 0"
        )),
        "\
@@unmatched_rows_of_a_left_join_are_an_anti_join@@"
    );
}
