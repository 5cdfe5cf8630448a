//! Texts and the plans they become, over tables without rows.

use super::*;
use crate::catalog::{Table, TableColumn, TableName, TableSource, TableStatistics};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::logical::LogicalPlan;
use crate::types::parse_type;
use std::collections::HashMap;
use std::sync::Arc;

const TABLES: &[(&str, &str)] = &[
    ("region", "r_regionkey int, r_name varchar, r_comment varchar"),
    (
        "nation",
        "n_nationkey int, n_name varchar, n_regionkey int, n_comment varchar",
    ),
    (
        "supplier",
        "s_suppkey int, s_name varchar, s_address varchar, s_nationkey int, s_phone varchar, s_acctbal decimal(15;2), \
         s_comment varchar",
    ),
    (
        "part",
        "p_partkey int, p_name varchar, p_mfgr varchar, p_brand varchar, p_type varchar, p_size int, \
         p_container varchar, p_retailprice decimal(15;2), p_comment varchar",
    ),
    (
        "partsupp",
        "ps_partkey int, ps_suppkey int, ps_availqty int, ps_supplycost decimal(15;2), ps_comment varchar",
    ),
    (
        "customer",
        "c_custkey int, c_name varchar, c_address varchar, c_nationkey int, c_phone varchar, c_acctbal decimal(15;2), \
         c_mktsegment varchar, c_comment varchar",
    ),
    (
        "orders",
        "o_orderkey bigint, o_custkey int, o_orderstatus varchar, o_totalprice decimal(15;2), o_orderdate date, \
         o_orderpriority varchar, o_clerk varchar, o_shippriority int, o_comment varchar",
    ),
    (
        "lineitem",
        "l_orderkey bigint, l_partkey int, l_suppkey int, l_linenumber int, l_quantity decimal(15;2), \
         l_extendedprice decimal(15;2), l_discount decimal(15;2), l_tax decimal(15;2), l_returnflag varchar, \
         l_linestatus varchar, l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct varchar, \
         l_shipmode varchar, l_comment varchar",
    ),
    ("t", "a int, b int, s varchar, d date, ts timestamp, x double"),
    (
        "u",
        "a int, c varchar, list array(int), m map(varchar; int), r row(f int; g varchar)",
    ),
];

fn table(name: &str, columns: &str) -> Arc<Table> {
    let columns = columns.split(", ").map(|c| {
        let (name, t) = c.trim().split_once(' ').unwrap();
        TableColumn {
            name: name.into(),
            data_type: parse_type(&t.replace(';', ",")).unwrap(),
            nullable: true,
        }
    });
    Arc::new(Table {
        name: TableName {
            database: None,
            name: name.into(),
        },
        columns: columns.collect(),
        source: TableSource::Memory(vec![]),
        statistics: TableStatistics::default(),
    })
}

/// Binds the last statement of a text on a thread with a large stack, as the session does.
fn bind(text: &str) -> Result<LogicalPlan> {
    let text = text.to_string();
    on_large_stack(move || bind_here(&text))
}

fn on_large_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(512 << 20).spawn(f).unwrap();
    thread.join().unwrap()
}

fn bind_here(text: &str) -> Result<LogicalPlan> {
    let tables: HashMap<&str, Arc<Table>> = TABLES.iter().map(|(n, c)| (*n, table(n, c))).collect();
    let resolve = |reference: &TableReference| match reference {
        TableReference::Named { name, .. } if name == "v" => Ok(Relation::View(View {
            name: "v".into(),
            text: "SELECT a AS k, count(*) FROM t GROUP BY a".into(),
            columns: vec!["k".into(), "n".into()],
            database: None,
        })),
        TableReference::Named { name, .. } => match tables.get(name.as_str()) {
            Some(table) => Ok(Relation::Table(table.clone())),
            None => {
                Err(Error::plan(format!("table \"{name}\" does not exist")).with_nearest(name, tables.keys().copied()))
            }
        },
        TableReference::Files { locations, .. } => Ok(Relation::Table(table(&locations[0], "id bigint, name varchar"))),
        TableReference::Function { name, .. } => Ok(Relation::Table(table(name, "path varchar"))),
    };
    let config = Config::default();
    let context = BindContext {
        resolve: &resolve,
        config: &config,
        statement_time: 1_600_000_000_000_000,
        parameters: &[],
        database: "default",
    };
    let statements = parse(text)?;
    match statements.last() {
        Some(Statement::Query(query)) => bind_query(query, &context),
        other => panic!("no query: {other:?}"),
    }
}

fn plan(text: &str) -> String {
    match bind(text) {
        Ok(plan) => plan.to_string(),
        Err(e) => panic!("{text}\n{e}"),
    }
}

fn names(text: &str) -> Vec<String> {
    match bind(text) {
        Ok(plan) => plan.schema().iter().map(|f| f.name.to_string()).collect(),
        Err(e) => panic!("{text}\n{e}"),
    }
}

#[track_caller]
fn fails(text: &str, message: &str) -> Error {
    let error = bind(text).expect_err(text);
    assert!(
        error.to_string().contains(message),
        "{text}\nexpected {message}\nfound {error}"
    );
    error
}

#[track_caller]
fn shows(text: &str, expected: &[&str]) {
    let found = plan(text);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines, expected, "{text}\n{found}");
}

#[test]
fn simple_selects() {
    shows(
        "SELECT a, b + 1 AS c FROM t WHERE d < '2020-01-01' ORDER BY c DESC LIMIT 3",
        &[
            "Limit 3 skip 0",
            "  Sort by c DESC",
            "    Project t.a, t.b + 1 AS c",
            "      Filter t.d < DATE '2020-01-01'",
            "        Scan t [a, b, s, d, ts, x]",
        ],
    );
    assert_eq!(names("SELECT A, t.b, a + b, 1 FROM t"), ["a", "b", "_col2", "_col3"]);
    assert_eq!(
        names("SELECT *, u.* EXCEPT (list) FROM t, u"),
        [
            "a", "b", "s", "d", "ts", "x", "a", "c", "list", "m", "r", "a", "c", "m", "r"
        ]
    );
    shows("SELECT 1", &["Project 1 AS _col0", "  Values 1 rows []"]);
}

#[test]
fn order_by_columns_that_are_not_selected() {
    shows(
        "SELECT b FROM t ORDER BY a",
        &[
            "Project t.b",
            "  Sort by t.a",
            "    Project t.b, t.a",
            "      Scan t [a, b, s, d, ts, x]",
        ],
    );
    shows(
        "SELECT a AS b FROM t ORDER BY b, t.b",
        &[
            "Project t.b",
            "  Sort by t.b, t.b",
            "    Project t.a AS b, t.b",
            "      Scan t [a, b, s, d, ts, x]",
        ],
    );
    fails(
        "SELECT DISTINCT a FROM t ORDER BY b",
        "ORDER BY may only mention selected columns",
    );
}

#[test]
fn groups_and_aggregates() {
    shows(
        "SELECT a, sum(b) AS total FROM t GROUP BY 1 HAVING sum(b) > 10 ORDER BY total, count(*)",
        &[
            "Project t.a, total",
            "  Sort by total, count(*)",
            "    Project t.a, sum(t.b) AS total, count(*)",
            "      Filter sum(t.b) > 10",
            "        Aggregate by [t.a] compute sum(t.b), count(*)",
            "          Scan t [a, b, s, d, ts, x]",
        ],
    );
    shows(
        "SELECT a + 1 AS k, k FROM (SELECT a, b AS k FROM t) q GROUP BY a + 1, k",
        &[
            "Project q.a + 1 AS k, q.k",
            "  Aggregate by [q.a + 1, q.k]",
            "    Project t.a, t.k",
            "      Project t.a, t.b AS k",
            "        Scan t [a, b, s, d, ts, x]",
        ],
    );
    fails("SELECT a, b FROM t GROUP BY a", "column \"t.b\" must be in GROUP BY");
    fails(
        "SELECT a FROM t WHERE sum(b) > 1",
        "aggregate sum is not allowed in WHERE",
    );
    fails(
        "SELECT sum(sum(b)) FROM t",
        "aggregate sum is not allowed in the argument of an aggregate",
    );
    let sets = plan("SELECT a, b, grouping(a, b), count(*) FROM t GROUP BY ROLLUP (a, b)");
    assert!(sets.contains("sets [[0, 1], [0], []]"), "{sets}");
    let cube = plan("SELECT a, b, count(*) FROM t GROUP BY CUBE (a, b)");
    assert!(cube.contains("sets [[0, 1], [0], [1], []]"), "{cube}");
    let sets = plan("SELECT a, b, s, count(*) FROM t GROUP BY s, GROUPING SETS ((a, b), a, ())");
    assert!(sets.contains("sets [[0, 1, 2], [0, 1], [0]]"), "{sets}");
    let all = plan("SELECT a, b, count(*) FROM t GROUP BY ALL");
    assert!(all.contains("Aggregate by [t.a, t.b]"), "{all}");
}

#[test]
fn joins() {
    shows(
        "SELECT * FROM t JOIN u USING (a)",
        &[
            "Project t.a, t.b, t.s, t.d, t.ts, t.x, u.c, u.list, u.m, u.r",
            "  InnerJoin on t.a = u.a",
            "    Scan t [a, b, s, d, ts, x]",
            "    Scan u [a, c, list, m, r]",
        ],
    );
    let full = plan("SELECT a, t.a, u.a FROM t FULL JOIN u USING (a)");
    assert!(
        full.starts_with("Project CASE WHEN t.a IS NOT NULL THEN t.a ELSE u.a END AS _col0"),
        "{full}"
    );
    assert!(plan("SELECT * FROM t NATURAL JOIN u").contains("on t.a = u.a"));
    assert!(plan("SELECT * FROM t LEFT SEMI JOIN u ON t.a = u.a").contains("LeftSemiJoin"));
    assert!(plan("SELECT * FROM t LEFT ANTI JOIN u ON t.a = u.a").contains("LeftAntiJoin"));
    assert!(plan("SELECT * FROM t, u WHERE t.a = u.a").contains("CrossJoin"));
    let lateral = plan("SELECT * FROM t, LATERAL (SELECT c FROM u WHERE u.a = t.a) q");
    assert!(lateral.contains("dependent"), "{lateral}");
    fails(
        "SELECT * FROM t JOIN (SELECT c FROM u WHERE u.a = t.a) q ON TRUE",
        "there is no relation \"t\" here",
    );
    fails("SELECT a FROM t, u", "column \"a\" is ambiguous");
    fails(
        "SELECT * FROM t JOIN u USING (b)",
        "column \"b\" of USING does not exist on the right side",
    );
}

#[test]
fn unnest() {
    shows(
        "SELECT e, n FROM u CROSS JOIN UNNEST(list) WITH ORDINALITY AS q (e, n)",
        &[
            "Project q.e, q.n",
            "  Unnest u.list with ordinality",
            "    Scan u [a, c, list, m, r]",
        ],
    );
    assert!(plan("SELECT k, v FROM u LEFT JOIN UNNEST(m) AS q (k, v) ON TRUE").contains("Unnest outer u.m"));
    assert!(plan("SELECT x FROM u LATERAL VIEW OUTER explode(list) q AS x").contains("Unnest outer u.list"));
    assert!(plan("SELECT u.r.f, r.g, list FROM u").contains("u.r.f"));
}

#[test]
fn subqueries() {
    let p = plan("SELECT a FROM t WHERE a IN (SELECT a FROM u WHERE u.c = t.s) AND EXISTS (SELECT 1 FROM u)");
    assert!(p.contains("t.a = ANY (subquery)"), "{p}");
    let p = plan("SELECT a FROM t WHERE a > ALL (SELECT a FROM u)");
    assert!(p.contains("NOT t.a <= ANY (subquery)"), "{p}");
    plan("SELECT a, (SELECT max(c) FROM u WHERE u.a = t.a) FROM t GROUP BY a");
    fails(
        "SELECT b, (SELECT max(c) FROM u WHERE u.a = t.a) FROM t GROUP BY b",
        "column \"t.a\" must be in GROUP BY",
    );
    fails(
        "SELECT a FROM t WHERE a IN (SELECT a, c FROM u)",
        "must have 1 column, it has 2",
    );
    fails(
        "SELECT a FROM t WHERE a IN (SELECT c FROM u)",
        "cannot compare integer with varchar",
    );
}

#[test]
fn ctes() {
    let once = plan("WITH q AS (SELECT a FROM t) SELECT * FROM q");
    assert!(!once.contains("Cte"), "{once}");
    let twice = plan("WITH q (k) AS (SELECT a FROM t) SELECT * FROM q x JOIN q y ON x.k = y.k");
    assert!(twice.starts_with("Cte q"), "{twice}");
    assert_eq!(twice.matches("CteReference q").count(), 2);
    let same_name = plan("WITH t AS (SELECT a FROM t WHERE a > 1) SELECT * FROM t");
    assert_eq!(same_name.matches("Scan t").count(), 1);
    let recursive = |body: &str| format!("WITH RECURSIVE q (n) AS ({body}) SELECT * FROM q");
    fails(
        &recursive("SELECT n + 1 FROM q"),
        "\"q\" mentions itself and is no UNION",
    );
    fails(
        &recursive("SELECT n FROM q UNION ALL SELECT 1"),
        "the first part of \"q\" mentions it",
    );
    fails(
        &recursive("SELECT 1 UNION ALL SELECT n + 1, 2 FROM q"),
        "has 2 columns, its first part 1",
    );
    fails(
        &recursive("SELECT 1 UNION ALL SELECT n + 0.5 FROM q"),
        "is integer in the first part and decimal(12,1) in the recursive part",
    );
    assert!(!plan("WITH RECURSIVE q AS (SELECT a FROM t) SELECT * FROM q").contains("Cte"));
}

#[test]
fn set_operations() {
    shows(
        "SELECT a FROM t UNION ALL SELECT a FROM u UNION ALL SELECT 1 ORDER BY 1",
        &[
            "Sort by a",
            "  Union [a]",
            "    Project t.a",
            "      Scan t [a, b, s, d, ts, x]",
            "    Project u.a",
            "      Scan u [a, c, list, m, r]",
            "    Project 1 AS _col0",
            "      Values 1 rows []",
        ],
    );
    let p = plan("SELECT a FROM t INTERSECT SELECT a FROM u");
    assert!(
        p.contains("Filter (count(in_left) > 0) AND (count(in_right) > 0)") || p.contains("in_left > 0"),
        "{p}"
    );
    plan("SELECT a FROM t EXCEPT SELECT a FROM u");
    fails("SELECT a FROM t UNION SELECT a, c FROM u", "have 1 and 2 columns");
    fails(
        "SELECT a FROM t UNION SELECT c FROM u",
        "is integer in one query and varchar in another",
    );
}

#[test]
fn windows() {
    shows(
        "SELECT a, sum(sum(b)) OVER (PARTITION BY a) FROM t GROUP BY a",
        &[
            "Project t.a, sum(sum(t.b)) OVER (PARTITION BY t.a RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS _col1",
            "  Window sum(sum(t.b)) OVER (PARTITION BY t.a RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
            "    Aggregate by [t.a] compute sum(t.b)",
            "      Scan t [a, b, s, d, ts, x]",
        ],
    );
    let named =
        plan("SELECT sum(a) OVER w, count(*) OVER (w ROWS 1 PRECEDING) FROM t WINDOW w AS (PARTITION BY b ORDER BY d)");
    assert_eq!(named.matches("Window").count(), 1, "{named}");
    fails(
        "SELECT a FROM t WHERE sum(a) OVER () > 1",
        "window function sum is not allowed in WHERE",
    );
    fails("SELECT sum(a) OVER w FROM t", "window \"w\" does not exist");
    let qualify = plan("SELECT a FROM t QUALIFY count(*) OVER (PARTITION BY b) = 1");
    assert!(qualify.contains("Filter count(*) OVER"), "{qualify}");
}

#[test]
fn errors_name_the_place_and_the_nearest_name() {
    let error = fails("SELECT fare,\n  s, aa FROM t", "column \"fare\" does not exist");
    assert_eq!(error.span().unwrap().start.column, 8);
    let error = fails("SELECT a FROM t WHERE\n t.sx = 'x'", "did you mean \"s\"?");
    assert_eq!(
        (error.span().unwrap().start.line, error.span().unwrap().start.column),
        (2, 2)
    );
    let error = fails("SELECT * FROM orderz", "did you mean \"orders\"?");
    assert_eq!(error.span().unwrap().start.column, 15);
    let error = fails(
        "SELECT 1 + s FROM t",
        "operator + is not defined for integer and varchar",
    );
    assert_eq!(error.span().unwrap().start.column, 8);
    fails("SELECT a FROM t WHERE s = 1", "cannot compare varchar with integer");
    fails("SELECT summ(a) FROM t", "function \"summ\" does not exist");
    fails("SELECT upper(x -> x) FROM u", "upper takes no lambda");
    fails(
        "SELECT transform(list, (x, y) -> x) FROM u",
        "the lambda has 2 parameters, and 1 are expected",
    );
    fails("SELECT transform(list, x -> sum(x)) FROM u", "sum inside of a lambda");
    let error = bind("SELECT a FRM t WHERE").unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Syntax, "{error}");
}

#[test]
fn views_and_files() {
    assert_eq!(names("SELECT v.k, n FROM v"), ["k", "n"]);
    assert_eq!(names("SELECT * FROM 'dir/*.parquet'"), ["id", "name"]);
    assert_eq!(names("SELECT zones.id FROM 'dir/zones.csv'"), ["id"]);
    assert_eq!(
        names("SELECT z.name FROM read_csv('x.csv', header => true, delimiter => ';') AS z"),
        ["name"]
    );
    assert_eq!(names("SELECT * FROM parquet.`x/y`"), ["id", "name"]);
    assert_eq!(names("SELECT path FROM glob('*.csv')"), ["path"]);
}

#[test]
fn references() {
    let of = |text: &str| {
        let statements = parse(text).unwrap();
        table_references(statements.last().unwrap()).unwrap()
    };
    let shown = |text: &str| of(text).iter().map(|r| r.to_string()).collect::<Vec<_>>();
    assert_eq!(
        shown("WITH t AS (SELECT * FROM t), q AS (SELECT * FROM t) SELECT * FROM q, db.u, u, t"),
        ["t", "db.u", "u"]
    );
    assert_eq!(
        shown("INSERT INTO x SELECT * FROM y WHERE a IN (SELECT b FROM z)"),
        ["y", "z"]
    );
    assert_eq!(
        of("SELECT * FROM read_csv('a.csv', header => true), read_csv('a.csv', header => true) b").len(),
        1
    );
    assert!(shown("SELECT * FROM UNNEST(sequence(1, 3)), range(10)").is_empty());
}

#[test]
fn all_of_tpch_binds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/tpch");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "sql"));
    files.sort();
    assert_eq!(files.len(), 22);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        if let Err(e) = bind(&text) {
            panic!("{}: {e}", file.display());
        }
    }
}

#[test]
fn large_statements_are_bound_or_refused() {
    let conditions = |n: usize, word: &str| {
        let parts: Vec<String> = (0..n).map(|i| format!("a = {i}")).collect();
        format!("SELECT a FROM t WHERE {}", parts.join(word))
    };
    bind(&conditions(10_000, " OR ")).unwrap();
    bind(&conditions(10_000, " AND ")).unwrap();
    bind(&format!("SELECT {}", vec!["1"; 2000].join("+"))).unwrap();
    bind(&format!("SELECT {}1{}", "(".repeat(1000), ")".repeat(1000))).unwrap();
    let list: Vec<String> = (0..100_000).map(|i| i.to_string()).collect();
    bind(&format!("SELECT a FROM t WHERE a IN ({})", list.join(", "))).unwrap();
    for text in [
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT {}", vec!["1"; 6000].join("+")),
        conditions(300_000, " OR "),
        format!("SELECT {}1", "- ".repeat(100_000)),
        format!("SELECT {}1{}", "nullif(".repeat(200), ", 2)".repeat(200)),
        format!("SELECT * FROM {}t{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("SELECT {}1{}", "coalesce(".repeat(40), ", 2)".repeat(40)),
        format!("SELECT {} 1", "NOT ".repeat(100_000)),
        format!("{} SELECT 1", "SELECT 1 UNION ALL ".repeat(200_001)),
    ] {
        let error = bind(&text).unwrap_err();
        assert_eq!(
            error.kind(),
            crate::ErrorKind::ResourcesExhausted,
            "{}: {error}",
            &text[..60]
        );
    }
}

#[test]
fn everyday_expressions_bind() {
    for e in [
        "CASE a WHEN 1 THEN 'x' WHEN 2 THEN 'y' ELSE s END",
        "CASE WHEN a > 1 THEN 1 ELSE 2.5 END",
        "CAST(s AS decimal(10, 2))",
        "TRY_CAST(ROW(1, ARRAY[s]) AS row(x int, y array(varchar)))",
        "CAST(NULL AS map(varchar, double))",
        "s::int",
        "s LIKE 'a!%%' ESCAPE '!' AND s NOT LIKE '%x' AND s ILIKE 'A%'",
        "a IN (1, 2, NULL) OR a NOT IN (3)",
        "d BETWEEN DATE '2020-01-01' AND DATE '2020-01-01' + INTERVAL '90' DAY",
        "d NOT BETWEEN '2020-01-01' AND '2020-02-01'",
        "ts - INTERVAL '1' MONTH + INTERVAL '1 02:03:04' DAY TO SECOND",
        "INTERVAL '1' YEAR + d",
        "INTERVAL 3 DAY + ts",
        "ts - ts",
        "d - d",
        "d > ts AND d = '2020-01-01 10:00:00'",
        "a IS DISTINCT FROM b AND a IS NOT DISTINCT FROM NULL",
        "a <=> b OR a == b OR a != b",
        "(a > 1) IS TRUE AND (a > 1) IS NOT FALSE AND (a > 1) IS UNKNOWN",
        "extract(year FROM d) + EXTRACT(DOW FROM ts) + extract(day_of_week FROM ts)",
        "substring(s FROM 2 FOR 3) || substr(s, 1) || trim(BOTH 'x' FROM s) || trim(s) || ltrim(s)",
        "position('a' IN s) + strpos(s, 'a')",
        "overlay(s PLACING 'x' FROM 1 FOR 2)",
        "ts AT TIME ZONE 'Europe/Berlin'",
        "TIMESTAMP '2020-01-01 00:00:00 UTC'",
        "ARRAY[1, 2, a][1] + element_at(ARRAY[1], 1)",
        "MAP(ARRAY['a'], ARRAY[1])['a']",
        "ROW(1, 'x')[1]",
        "CAST(ROW(1, 'x') AS ROW(p int, q varchar)).q",
        "if(a > 1, 'x', 'y') || coalesce(s, 'z', NULL) || nullif(s, '') || nvl(s, 'q') || ifnull(s, '')",
        "nvl2(s, 1, 2) + decode(s, 'a', 1, 'b', 2, 0) + if(a = 1, 1)",
        "try(1 / a)",
        "typeof(a + 1.5)",
        "now() > ts AND current_date > d AND current_timestamp IS NOT NULL AND localtimestamp > ts",
        "a % 2 = 0 AND mod(a, 2) = 0 AND -a < +b AND NOT (a = b)",
        "a & b | 1 ^ 2",
        "a DIV 2",
        "1e3 + 1.5 + 3000000000 - x",
        "date_trunc('month', ts) - date_add('day', 1, ts)",
        "ceil(x) + floor(x) + round(x, 2) + abs(-x) + power(x, 2) + sqrt(x)",
        "greatest(a, b, 3) + least(1, 2)",
        "concat(s, 'a', s) || upper(s) || replace(s, 'a', 'b') || lpad(s, 10, ' ')",
        "current_schema || current_catalog || version()",
        "a = ANY (SELECT a FROM u) OR a <> ALL (SELECT a FROM u) OR a >= SOME (SELECT a FROM u)",
        "a NOT IN (SELECT a FROM u WHERE u.c = t.s)",
        "(a, b) IN (SELECT a, a FROM u) OR (a, b) IN ((1, 2), (3, 4)) OR (a, b) = (1, 2)",
        "NOT EXISTS (SELECT * FROM u WHERE u.a = t.a AND EXISTS (SELECT 1 FROM region WHERE r_name = t.s))",
        "(SELECT c FROM u WHERE u.a = t.a LIMIT 1)",
        "X'00ff' = CAST(s AS varbinary)",
        "U&'\\0041' = s",
        "a = 1 AND true AND NULL",
        "NULL + 1 + NULL",
        "date '2020-01-01' = d AND time '10:00' IS NOT NULL",
        "decimal '12.50' * 2",
    ] {
        if let Err(error) = bind(&format!("SELECT {e} FROM t")) {
            panic!("{e}\n{error}");
        }
    }
}

#[test]
fn everyday_queries_bind() {
    for q in [
        "VALUES (1, 'a'), (2, NULL)",
        "SELECT * FROM (VALUES (1, 'a'), (2.5, 'b')) AS v (x, y) WHERE x > 1",
        "SELECT * FROM VALUES (1), (2) AS v (x)",
        "SELECT count(*), count(a), count(DISTINCT a), sum(DISTINCT b), avg(x) FILTER (WHERE a > 1) FROM t",
        "SELECT array_agg(a ORDER BY b DESC), min_by(a, b), approx_distinct(s), bool_or(a > 1) FROM t",
        "SELECT approx_percentile(x, 0.5), approx_percentile(x, ARRAY[0.1, 0.9]) FROM t",
        "SELECT a, count(*) FROM t GROUP BY a HAVING count(*) > 1 AND a > 2",
        "SELECT a AS k, sum(b) AS total FROM t GROUP BY k HAVING total > 3 ORDER BY 2 DESC NULLS FIRST, k",
        "SELECT date_trunc('month', ts) AS m, s, sum(x) FROM t GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT a, b, sum(x), grouping(a), grouping(a, b) FROM t GROUP BY a, b WITH ROLLUP",
        "SELECT a FROM t GROUP BY a, b GROUPING SETS ((a, b), a)",
        "SELECT DISTINCT a, b FROM t ORDER BY b, a LIMIT 5 OFFSET 2",
        "SELECT a FROM t OFFSET 2 LIMIT 5",
        "SELECT a FROM t OFFSET 2 ROWS FETCH FIRST 5 ROWS ONLY",
        "SELECT a FROM t FETCH FIRST ROW ONLY",
        "SELECT a FROM t LIMIT ALL",
        "SELECT a FROM t LIMIT 2, 5",
        "SELECT /*+ BROADCAST(u) */ * FROM t JOIN u ON t.a = u.a",
        "SELECT row_number() OVER (PARTITION BY a ORDER BY b), lag(b, 1, 0) OVER (ORDER BY d), rank() OVER w FROM t \
         WINDOW w AS (PARTITION BY s ORDER BY x DESC)",
        "SELECT sum(b) OVER (ORDER BY d RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW) FROM t",
        "SELECT sum(x) OVER (ORDER BY a ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) FROM t",
        "SELECT first_value(a) IGNORE NULLS OVER (ORDER BY b), last_value(a IGNORE NULLS) OVER (ORDER BY b) FROM t",
        "SELECT a, rank() OVER (ORDER BY sum(b) DESC) FROM t GROUP BY a",
        "SELECT a FROM t QUALIFY row_number() OVER (PARTITION BY a ORDER BY b) = 1",
        "SELECT a, row_number() OVER (ORDER BY b) AS n FROM t QUALIFY n <= 3 ORDER BY n",
        "SELECT a FROM t INTERSECT ALL SELECT a FROM u EXCEPT ALL SELECT 1",
        "SELECT a FROM t UNION SELECT a FROM u INTERSECT SELECT 1",
        "(SELECT a FROM t ORDER BY a LIMIT 1) UNION ALL (SELECT a FROM u LIMIT 1) ORDER BY a DESC LIMIT 3",
        "WITH x AS (SELECT a FROM t), y AS (SELECT a FROM x UNION ALL SELECT a FROM x) SELECT * FROM y JOIN x USING (a)",
        "SELECT * FROM t WHERE EXISTS (WITH q AS (SELECT * FROM u WHERE u.a = t.a) SELECT 1 FROM q)",
        "SELECT * FROM t FULL OUTER JOIN u ON t.a = u.a AND t.b > 1",
        "SELECT * FROM t RIGHT JOIN u ON t.a < u.a",
        "SELECT * FROM (t JOIN u ON t.a = u.a) LEFT JOIN region ON r_regionkey = t.b",
        "SELECT x.a, y.a FROM t x, t y, (SELECT max(a) AS m FROM t) z WHERE x.a = y.b AND y.a = m",
        "SELECT t.*, q.n FROM t CROSS JOIN LATERAL (SELECT count(*) AS n FROM u WHERE u.a = t.a) q",
        "SELECT * FROM t LEFT JOIN LATERAL (SELECT c FROM u WHERE u.a = t.a LIMIT 1) q ON true",
        "SELECT u.a, e FROM u, UNNEST(u.list) AS q (e) WHERE e > 1",
        "SELECT n FROM UNNEST(sequence(1, 10)) AS q (n)",
        "SELECT * FROM TABLE(sequence(1, 5))",
        "SELECT * FROM range(5), generate_series(1, 3) AS g (i)",
        "SELECT p, e FROM u LATERAL VIEW posexplode(list) q AS p, e",
        "SELECT u.* EXCEPT (list, m), u.r.f FROM u",
        "SELECT * REPLACE (a + 1 AS a) FROM t",
        "SELECT CASE WHEN a IN (SELECT a FROM u) THEN 1 ELSE 0 END AS flag, count(*) FROM t GROUP BY 1 ORDER BY flag",
        "SELECT sum(CASE WHEN a IN (SELECT a FROM u) THEN 1 END) FROM t",
        "SELECT s FROM t ORDER BY (SELECT max(c) FROM u WHERE u.a = t.a)",
        "SELECT a + b AS c FROM t ORDER BY c + 1, -x",
        "SELECT count(*) FROM t ORDER BY count(*) DESC",
        "SELECT listagg(s, ',') WITHIN GROUP (ORDER BY s) FROM t",
        "SELECT max(d) - min(d), count_if(a > 1) FROM t",
        "SELECT default.t.a, t.b FROM default.t",
        "SELECT default.t.a FROM t",
        "TABLE t",
        "SELECT 'a' AS \"Quoted Name\", 1 AS UnQuoted",
    ] {
        if let Err(error) = bind(q) {
            panic!("{q}\n{error}");
        }
    }
    assert_eq!(
        names("SELECT 'a' AS \"Quoted Name\", 1 AS UnQuoted"),
        ["Quoted Name", "unquoted"]
    );
    assert!(plan("SELECT /*+ BROADCAST(u) */ * FROM t JOIN u ON t.a = u.a").contains("InnerJoin"));
}

#[test]
fn parameters_are_numbered_as_written() {
    let e = fails("SELECT ? FROM t WHERE a = ?", "has no value");
    assert_eq!(e.message(), "parameter 2 has no value: 0 are given");
    fails("SELECT :month", "variable :month has no value");
}
