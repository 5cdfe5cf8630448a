//! Aggregations under small memory limits give what they give without limit.

use crate::config::Config;
use crate::error::{ErrorKind, Result};
use crate::session::Session;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// 8000 rows four times over: `k` has 8000 values, `s` is a long text of which each `k` has two, `g` has 100 values.
fn lake() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::new(Config::default(), dir.path().to_str().unwrap()).unwrap();
    let rows = "SELECT x AS k, x % 100 AS g, 'the value of key number ' || CAST(x * 7 AS varchar) || ' in file ' || \
                CAST(FILE % 2 AS varchar) AS s, CAST(x AS double) / 8 AS d FROM UNNEST(sequence(1, 8000)) AS t(x)";
    run(&session, &format!("CREATE TABLE t AS {}", rows.replace("FILE", "0"))).unwrap();
    for file in ["1", "2", "3"] {
        run(&session, &format!("INSERT INTO t {}", rows.replace("FILE", file))).unwrap();
    }
    dir
}

/// The last statement's rows, joined by `|` and sorted.
fn run(session: &Session, text: &str) -> Result<Vec<String>> {
    let mut lines = vec![];
    for result in session.execute(text)? {
        lines.clear();
        for batch in result?.collect()? {
            let options = FormatOptions::default();
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
                .collect();
            let line = |row| {
                columns
                    .iter()
                    .map(|c| c.value(row).to_string())
                    .collect::<Vec<_>>()
                    .join("|")
            };
            lines.extend((0..batch.num_rows()).map(line));
        }
    }
    lines.sort();
    Ok(lines)
}

/// A session over the same tables with other settings.
fn session(dir: &tempfile::TempDir, change: impl Fn(&mut Config)) -> Session {
    let mut config = Config {
        threads: 2,
        ..Config::default()
    };
    change(&mut config);
    Session::new(config, dir.path().to_str().unwrap()).unwrap()
}

#[test]
fn small_memory_changes_no_result() {
    let dir = lake();
    let queries = [
        "SELECT k, count(*), sum(k), min(d), avg(d) FROM t GROUP BY k",
        "SELECT s, count(*), sum(k), min(s), max_by(s, k) FROM t GROUP BY s",
        "SELECT k, array_sort(array_agg(s)), listagg(s, ',') WITHIN GROUP (ORDER BY s) FROM t GROUP BY k",
        "SELECT k % 3000, count(DISTINCT s), sum(DISTINCT k), count(DISTINCT k + 1), sum(d) FROM t GROUP BY 1",
        "SELECT k % 4000, approx_distinct(s), cardinality(histogram(s)), cardinality(map_agg(s, k)), approx_percentile(k, 0.5) \
         FROM t GROUP BY 1",
        "SELECT g, count(DISTINCT s), array_sort(array_agg(DISTINCT k % 50)) FROM t GROUP BY g",
        "SELECT k, g, s, count(*), grouping(k, g, s) FROM t GROUP BY GROUPING SETS ((k), (g), (s), (k, s), ())",
        "SELECT count(*), sum(n), min(m) FROM (SELECT s, g, count(*) AS n, max(d) AS m FROM t GROUP BY s, g)",
        "SELECT count(DISTINCT s) FROM t",
        "SELECT DISTINCT s FROM t",
    ];
    let expected = session(&dir, |_| ());
    type Change = fn(&mut Config);
    let settings: [(&str, Change); 4] = [
        ("2 MB", |c| c.memory_limit = 2 << 20),
        // Every worker merges a group at a time; in 1 MB, those of two workers may not fit beside each other.
        ("2 MB, 3 threads", |c| (c.memory_limit, c.threads) = (2 << 20, 3)),
        ("40 MB, forced", |c| {
            (c.memory_limit, c.debug_force_spill) = (40 << 20, true)
        }),
        ("16 MB, equal hashes", |c| {
            (c.memory_limit, c.debug_hash, c.batch_size) = (2 << 20, 5, 512)
        }),
    ];
    for query in queries {
        let wanted = run(&expected, query).unwrap();
        for (name, change) in settings {
            if name.contains("equal hashes") && !query.starts_with("SELECT g") {
                continue;
            }
            let session = session(&dir, change);
            let found = run(&session, query).unwrap_or_else(|e| panic!("{name}: {query}: {e}"));
            assert!(
                found == wanted,
                "{name}: {query}: {} and {} rows",
                found.len(),
                wanted.len()
            );
        }
    }
}

#[test]
fn one_group_too_large_is_an_error_with_a_hint() {
    let dir = lake();
    let session = session(&dir, |c| c.memory_limit = 1 << 20);
    for query in [
        "SELECT array_agg(s) FROM t",
        "SELECT min(g), array_agg(s || s) FROM t GROUP BY k * 0",
    ] {
        let error = run(&session, query).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourcesExhausted);
        assert!(error.message().contains("Aggregate") && error.hint().is_some_and(|h| h.contains("memory_limit")));
    }
    assert_eq!(
        run(&session, "SELECT count(*) FROM (SELECT k FROM t GROUP BY k)").unwrap(),
        ["8000"]
    );
}

#[test]
fn a_full_disk_frees_everything() {
    let dir = lake();
    let session = session(&dir, |c| (c.memory_limit, c.max_spill) = (1 << 20, 100_000));
    let error = run(&session, "SELECT s, k, count(*) FROM t GROUP BY s, k").unwrap_err();
    assert!(error.message().contains("max_spill"), "{error}");
    assert_eq!(run(&session, "SELECT count(*) FROM t").unwrap(), ["32000"]);
}
