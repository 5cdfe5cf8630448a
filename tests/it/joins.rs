//! How joins run: what is not sorted, what is not read, and that the plan says so.

use crate::support::{plan, rows};
use lakebed::config::Config;
use lakebed::session::Session;
use std::path::Path;

fn session(warehouse: &Path, change: impl Fn(&mut Config)) -> Session {
    let mut config = Config {
        memory_limit: 1 << 30,
        threads: 2,
        ..Config::default()
    };
    change(&mut config);
    Session::new(config, warehouse.to_str().unwrap()).unwrap()
}

/// The rows of the last of some statements.
pub fn run(session: &Session, text: &str) -> Vec<Vec<Option<String>>> {
    let mut all = vec![];
    for result in session.execute(text).unwrap() {
        let collected = result.and_then(|r| r.collect());
        all = rows(&collected.unwrap_or_else(|e| panic!("{text}\n{e}")));
    }
    all
}

/// What EXPLAIN ANALYZE says of a query.
fn analyzed(session: &Session, query: &str) -> String {
    plan(session, &format!("EXPLAIN ANALYZE {query}"))
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no \"{part}\" in\n{text}");
    }
}

/// `items` and `sales` are in the order of `k`, of which `items` has a few of each; `mixed` has the keys of `items` in disorder.
fn make_sorted_tables(session: &Session) {
    run(session, "SET row_group_rows = 5000");
    let series = "UNNEST(sequence(0, 199)) AS a(i) CROSS JOIN UNNEST(sequence(0, 299)) AS b(j)";
    for (name, key, order) in [
        ("items", "(i * 300 + j) / 4", "k"),
        ("sales", "i * 300 + j", "k"),
        ("mixed", "(i * 300 + j) / 4", "j"),
    ] {
        let columns = format!("{key} AS k, 'the text of ' || CAST(i + j AS VARCHAR) AS s, j");
        run(
            session,
            &format!("CREATE TABLE {name} AS SELECT {columns} FROM {series} ORDER BY {order}"),
        );
    }
}

#[test]
fn a_merge_join_does_not_sort_what_comes_in_order() {
    const BOTH: &str = "both sides in order, not sorted";
    let folder = tempfile::tempdir().unwrap();
    make_sorted_tables(&session(folder.path(), |_| {}));
    let join = |hint: &str, left: &str, right: &str| {
        format!(
            "SELECT {hint} count(*), checksum(a.s), checksum(b.s), sum(a.j * b.j) FROM {left} a JOIN {right} b ON a.k = b.k"
        )
    };
    let first = "(SELECT * FROM sales ORDER BY k LIMIT 20000)";
    let pairs = [
        ("items", "sales", BOTH),
        ("items", first, BOTH),
        ("mixed", "sales", "build side in order, not sorted"),
        ("sales", "mixed", "probe side in order, not sorted"),
    ];
    let hashed = session(folder.path(), |_| {});
    let expected = pairs.map(|(left, right, _)| run(&hashed, &join("", left, right)));
    for (limit, force) in [(1 << 30, false), (3 << 20, false), (1 << 30, true)] {
        let session = session(folder.path(), |c| {
            (c.memory_limit, c.debug_force_spill) = (limit, force);
        });
        for ((left, right, says), expected) in pairs.iter().zip(&expected) {
            let merged = join("/*+ MERGE(b) */", left, right);
            let text = analyzed(&session, &merged);
            assert_has(&text, &["merge: both sides sorted by key", "by hint", says]);
            assert_eq!(text.contains("spilled 0B"), limit == 1 << 30 && !force, "{text}");
            assert_eq!(run(&session, &merged), *expected, "{merged}");
        }
    }
    // What a merge join gives is in order, too.
    let two = "SELECT /*+ MERGE(b, c) */ count(*), checksum(a.s), checksum(c.s) FROM items a JOIN sales b ON a.k = b.k \
               JOIN sales c ON b.k = c.k";
    let text = analyzed(&session(folder.path(), |c| c.threads = 1), two);
    assert_eq!(text.matches(BOTH).count(), 2, "{text}");
}

/// Rows of `events`, in the order of `x`, are in 20 row groups, of which 2 have rows that a band may contain. A band of `gaps`
/// lacks a bound.
fn make_bands(session: &Session) {
    run(
        session,
        "CREATE TABLE events AS SELECT i * 100 + j AS x, CAST(i * 100 + j AS DECIMAL(12, 2)) AS m, j % 7 AS g \
         FROM UNNEST(sequence(0, 199)) AS a(i) CROSS JOIN UNNEST(sequence(0, 99)) AS b(j) ORDER BY x",
    );
    run(
        session,
        "CREATE TABLE bands AS SELECT 7950 + i * 10 AS lo, 7955 + i * 10 AS hi, i % 7 AS g, \
         CAST(7950 + i * 10 AS DECIMAL(12, 2)) AS m FROM UNNEST(sequence(0, 9)) AS a(i)",
    );
    run(
        session,
        "CREATE TABLE gaps AS SELECT * FROM bands UNION ALL VALUES (3, NULL, 0, 1.00)",
    );
    run(
        session,
        "CREATE TABLE none AS SELECT CAST(NULL AS BIGINT) AS lo, hi FROM bands",
    );
}

#[test]
fn range_joins_leave_row_groups_out() {
    let folder = tempfile::tempdir().unwrap();
    let make = session(folder.path(), |c| c.row_group_rows = 1000);
    make_bands(&make);
    let within = "(SELECT 1 FROM bands b WHERE e.x >= b.lo AND e.x < b.hi)";
    let (some, no) = (format!("WHERE EXISTS {within}"), format!("WHERE NOT EXISTS {within}"));
    let queries = [
        (2, "JOIN bands b ON e.x BETWEEN b.lo AND b.hi"),
        (2, "RIGHT JOIN bands b ON e.x BETWEEN b.lo AND b.hi"),
        (2, "JOIN bands b ON e.g = b.g AND e.x BETWEEN b.lo AND b.hi"),
        (2, "JOIN bands b ON e.x BETWEEN b.lo - 1 AND b.hi + 1"),
        (2, &some),
        (13, "JOIN bands b ON e.m >= b.m AND e.x % 100 = b.lo % 100"),
        (13, "JOIN bands b ON e.x > b.hi AND e.g = 3"),
        (9, "JOIN gaps b ON e.x BETWEEN b.lo AND b.hi"),
        (0, "JOIN none b ON e.x BETWEEN b.lo AND b.hi"),
        (20, "LEFT JOIN bands b ON e.x BETWEEN b.lo AND b.hi"),
        (20, "FULL JOIN bands b ON e.x BETWEEN b.lo AND b.hi"),
        (20, &no),
    ];
    let spilling = session(folder.path(), |c| {
        (c.memory_limit, c.debug_force_spill) = (4 << 20, true)
    });
    let sorting = session(folder.path(), |c| c.prefer_merge_join = true);
    for (read, join) in queries {
        let query = format!("SELECT count(*), sum(e.x), max(e.m) FROM events e {join}");
        // Values that are computed make no filter.
        let computed = query.replace("e.x ", "(e.x + 0) ").replace("e.m ", "(e.m + 0) ");
        let expected = run(&make, &computed);
        assert_has(&analyzed(&make, &computed), &["read 20 of 20 partitions"]);
        for session in [&make, &spilling, &sorting] {
            assert_eq!(run(session, &query), expected, "{query}");
            assert_has(&analyzed(session, &query), &[&format!("read {read} of 20 partitions")]);
        }
    }
}

#[test]
fn the_plan_says_how_large_the_side_is_that_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let within = |limit| session(folder.path(), move |c| c.broadcast_limit = Some(limit));
    let (large, little) = (within(1 << 20), within(1 << 10));
    for (name, rows) in [("many", 5000), ("few", 100)] {
        run(
            &large,
            &format!("CREATE TABLE {name} AS SELECT x, x % 500 AS k FROM UNNEST(sequence(1, {rows})) AS t(x)"),
        );
    }
    let cases = [
        (&large, "", "right, broadcast: ", 100, "within broadcast_limit 1MB"),
        (&little, "", "right, partitioned: ", 100, "above broadcast_limit 1KB"),
        (&little, "/*+ BROADCAST(b) */", "right, broadcast: ", 100, "by hint"),
        (&large, "/*+ BROADCAST(a) */", "left, broadcast: ", 5000, "by hint"),
        (
            &large,
            "/*+ MERGE(b) */",
            "right, merge: both sides sorted by key, ",
            100,
            "by hint",
        ),
    ];
    for (session, hint, strategy, rows, why) in cases {
        let join = format!("EXPLAIN SELECT {hint} sum(a.x), sum(b.x) FROM many a JOIN few b ON a.k = b.k");
        let text = plan(session, &join);
        let said = text.split_once(&format!("build {strategy}~{rows} rows, "));
        let (bytes, rest) = said
            .and_then(|(_, rest)| rest.split_once("KB, "))
            .unwrap_or_else(|| panic!("{text}"));
        // Two bigints of each row, and what it takes to find them.
        let per_row = bytes.parse::<f64>().unwrap() * 1024.0 / f64::from(rows);
        assert!((16.0..100.0).contains(&per_row) && rest.starts_with(why), "{text}");
    }
}

#[test]
fn the_plan_says_how_ranges_are_joined_and_what_became_of_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let make = session(folder.path(), |_| {});
    make_sorted_tables(&make);
    make_bands(&make);
    let explained = |query: &str| plan(&make, &format!("EXPLAIN {query}"));
    let between = |hint: &str, key: &str| {
        format!("SELECT {hint} count(*) FROM events e JOIN bands b ON {key} e.x BETWEEN b.lo AND b.hi")
    };
    let looked_up = "range b.lo <= e.x and b.hi >= e.x looked up in sorted rows";
    assert_has(&explained(&between("", "")), &["build right, broadcast", looked_up]);
    assert_has(
        &analyzed(&make, &between("", "")),
        &["joined in memory, ranges looked up"],
    );
    let keyed = between("/*+ MERGE(b) */", "e.g = b.g AND");
    assert_has(
        &explained(&keyed),
        &[
            "merge: both sides sorted by key",
            looked_up,
            "where keys have many rows",
        ],
    );
    assert_has(&analyzed(&make, &keyed), &["merged in ", " ranges of keys"]);
    assert_has(
        &explained(&between("/*+ MERGE(b) */", "")),
        &["no merge join, though wanted by hint: it has no equality"],
    );
    // Fewer rows come than the plan expects: what went to disk comes back.
    let few = "SELECT count(*) FROM sales a JOIN (SELECT * FROM items WHERE length(s) + j < 40) b ON a.k = b.k";
    let limited = session(folder.path(), |c| c.broadcast_limit = Some(200 << 10));
    assert_has(
        &analyzed(&limited, few),
        &[
            "partitioned: ~",
            "above broadcast_limit 200KB",
            "joined in memory",
            " runs, ",
        ],
    );
    // Less memory is left than the plan expects: partitions that were to be in memory go to disk.
    let all = "SELECT count(*), checksum(b.s) FROM sales a JOIN items b ON a.k = b.k";
    let small = session(folder.path(), |c| {
        (c.memory_limit, c.broadcast_limit) = (3 << 20, Some(64 << 20))
    });
    let text = analyzed(&small, all);
    assert_has(&text, &["broadcast: ~", " of 64 partitions in memory", " runs, "]);
    assert!(!text.contains("64 of 64 partitions in memory"), "{text}");
}
