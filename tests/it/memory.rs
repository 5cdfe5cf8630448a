//! Queries whose rows are many times the memory they are given: the same answers, from disk.

use crate::support::plan;
use lakebed::config::Config;
use lakebed::session::Session;
use std::path::Path;

/// Memory limits: enough for everything, and two with which everything that keeps rows must spill.
const LIMITS: [usize; 3] = [1 << 30, 8 << 20, 4 << 20];

/// With so little memory, what is on its way between operators may be more than its part.
const ON_ITS_WAY: usize = 12 << 20;

fn session(warehouse: &Path, memory_limit: usize) -> Session {
    let config = Config {
        memory_limit,
        threads: 2,
        ..Config::default()
    };
    Session::new(config, warehouse.to_str().unwrap()).unwrap()
}

fn run(session: &Session, text: &str) -> Vec<Vec<Option<String>>> {
    let mut all = crate::joins::run(session, text);
    all.sort();
    all
}

/// `wide` has 60,000 rows and as many keys; `skewed` 40,000 rows, of which a third has the key 7, some have none, and most
/// have a partner in `wide`; `few` 300 rows with duplicates.
fn make_tables(session: &Session) {
    let series = |rows: u32| {
        format!(
            "UNNEST(sequence(1, 200)) AS a(i) CROSS JOIN UNNEST(sequence(1, {})) AS b(j)",
            rows / 200
        )
    };
    for (name, columns, rows) in [
        (
            "wide",
            "i * 1000 + j AS k, 'the text of row ' || CAST(i * 1000 + j AS VARCHAR) || ' which is long' AS s, \
             (i * 31 + j * 17) % 1009 AS g, CAST(i AS DOUBLE) / j AS d",
            60_000,
        ),
        (
            "skewed",
            "CASE WHEN j % 3 = 0 THEN 7 WHEN j = 20 THEN NULL ELSE i * 1000 + j * 2 END AS k, \
             'another text ' || CAST(j % 50 AS VARCHAR) AS s, i + j AS v",
            40_000,
        ),
        ("few", "(i % 100) * 1000 + 10 AS k, i AS v", 400),
    ] {
        run(
            session,
            &format!(
                "CREATE TABLE {name} STORED AS PARQUET AS SELECT {columns} FROM {}",
                series(rows)
            ),
        );
    }
}

/// Every query gives the same under every limit; under the smallest, each of them spills.
fn check(queries: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let sessions = LIMITS.map(|limit| session(folder.path(), limit));
    make_tables(&sessions[0]);
    for query in queries {
        let expected = run(&sessions[0], query);
        for session in &sessions[1..] {
            let limit = session.config().memory_limit;
            assert_eq!(run(session, query), expected, "with {limit} bytes: {query}");
            let context = session.running().unwrap();
            assert!(
                context.memory.peak() <= limit + ON_ITS_WAY,
                "{} of {limit} bytes: {query}",
                context.memory.peak()
            );
            assert_eq!(
                (context.memory.used(), context.spill.used()),
                (0, 0),
                "left behind: {query}"
            );
            if limit == LIMITS[2] {
                assert!(context.metrics.bytes_spilled.get() > 0, "nothing spilled: {query}");
            }
        }
    }
}

#[test]
fn joins_of_every_type() {
    check(&[
        "SELECT count(*), checksum(w.s), checksum(x.s), sum(x.v) FROM skewed x JOIN wide w ON x.k = w.k",
        "SELECT count(*), checksum(w.s), checksum(x.s) FROM skewed x LEFT JOIN wide w ON x.k = w.k",
        "SELECT count(*), checksum(w.s), checksum(x.s) FROM wide w LEFT JOIN skewed x ON x.k = w.k",
        "SELECT count(*), checksum(w.s), checksum(x.s) FROM wide w FULL JOIN skewed x ON x.k = w.k AND x.v % 2 = w.g % 2",
        "SELECT count(*), checksum(w.s) FROM wide w WHERE EXISTS (SELECT 1 FROM wide x WHERE x.s = w.s AND x.g > 500)",
        "SELECT count(*), checksum(w.s) FROM wide w WHERE w.s NOT IN (SELECT s FROM wide WHERE g < 700)",
        "SELECT count(*), checksum(w.s) FROM wide w WHERE w.k NOT IN (SELECT k FROM wide WHERE g < 700 UNION ALL SELECT NULL)",
        "SELECT count(*), sum(CASE WHEN w.s IN (SELECT s FROM wide WHERE g < 700) THEN k ELSE 1 END) FROM wide w",
        "SELECT count(*), checksum(a.s), checksum(b.s) FROM wide a JOIN wide b ON a.s = b.s AND a.k <= b.k",
    ]);
}

#[test]
fn keys_with_many_rows_on_both_sides() {
    check(&[
        "SELECT count(*), sum(a.v), checksum(b.s) FROM skewed a JOIN skewed b ON a.k = b.k AND a.v = b.v + 1",
        "SELECT count(*), checksum(a.s) FROM skewed a WHERE NOT EXISTS (SELECT 1 FROM skewed b WHERE a.k = b.k AND a.v = b.v + 100)",
        "SELECT /*+ BROADCAST(a) */ count(*), checksum(a.s), sum(b.v) FROM (SELECT * FROM few WHERE v < 20) b \
         JOIN wide a ON a.k > b.k * 500",
        "SELECT /*+ SHUFFLE_HASH(b) */ count(*), sum(a.k), checksum(b.s) FROM few a LEFT JOIN wide b ON a.k = b.k AND a.v > b.g",
    ]);
}

#[test]
fn several_joins_share_the_memory() {
    check(&[
        "SELECT count(*), checksum(a.s), checksum(b.s), checksum(c.s) FROM wide a JOIN wide b ON a.k = b.k + 1 JOIN wide c ON b.s = c.s",
        "SELECT count(*), checksum(a.s), checksum(c.s) FROM wide a JOIN (SELECT k + 1 AS k, s FROM wide) b ON a.k = b.k \
         LEFT JOIN skewed c ON c.k = a.k LEFT JOIN wide d ON d.s = c.s",
    ]);
}

#[test]
fn the_plan_says_how_a_join_runs_and_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let (much, little) = (session(folder.path(), LIMITS[0]), session(folder.path(), LIMITS[2]));
    make_tables(&much);
    let join = |hint: &str| format!("SELECT {hint} count(*), checksum(w.s) FROM skewed x JOIN wide w ON x.k = w.k");
    let explained = |session: &Session, hint: &str| plan(session, &format!("EXPLAIN {}", join(hint)));
    let analyzed = |session: &Session, hint: &str| plan(session, &format!("EXPLAIN ANALYZE {}", join(hint)));
    let has = |text: String, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "no \"{part}\" in\n{text}");
        }
    };
    has(
        explained(&much, ""),
        &["broadcast: ~", "within broadcast_limit 403.2MB"],
    );
    has(
        explained(&little, ""),
        &["partitioned: ~", "above broadcast_limit 1.5MB"],
    );
    has(
        explained(&much, "/*+ BROADCAST(w) */"),
        &["build right, broadcast", "by hint"],
    );
    has(
        explained(&much, "/*+ MAPJOIN(x) */"),
        &["build left, broadcast", "by hint"],
    );
    has(
        explained(&much, "/*+ SHUFFLE_HASH(w) */"),
        &["build right, partitioned", "by hint"],
    );
    has(analyzed(&much, ""), &["joined in memory", "peak "]);
    has(
        analyzed(&much, "/*+ SHUFFLE_HASH(w) */"),
        &["0 of 64 partitions in memory", "spilled ", " runs, 1 passes"],
    );
    // The hint keeps nothing from running inside the limit.
    has(
        analyzed(&little, "/*+ BROADCAST(w) */"),
        &["of 64 partitions in memory", "spilled "],
    );
    run(&much, "SET broadcast_limit = '1KB'");
    // A limit that the user sets decides as well.
    has(explained(&much, ""), &["partitioned: ~", "above broadcast_limit 1KB"]);
}

#[test]
fn a_write_into_many_folders_makes_about_one_file_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = LIMITS.map(|limit| session(folder.path(), limit));
    make_tables(&sessions[0]);
    let expected = run(&sessions[0], "SELECT count(*), checksum(s), sum(g) FROM wide");
    for session in &sessions {
        let target = folder.path().join(format!("out{}", session.config().memory_limit));
        let copy = "SELECT k, s, g, g % 211 AS p FROM wide";
        run(
            session,
            &format!(
                "COPY ({copy}) TO '{}' STORED AS PARQUET PARTITIONED BY (p)",
                target.display()
            ),
        );
        let files = |path: &Path| {
            std::fs::read_dir(path)
                .unwrap()
                .map(|e| e.unwrap().path())
                .collect::<Vec<_>>()
        };
        let folders: Vec<_> = files(&target).into_iter().filter(|p| p.is_dir()).collect();
        assert_eq!(folders.len(), 211);
        let written: usize = folders.iter().map(|f| files(f).len()).sum();
        assert!(written <= 211 + 2 * 64, "{written} files");
        let back = format!(
            "SELECT count(*), checksum(s), sum(g) FROM '{}/*/*.parquet'",
            target.display()
        );
        assert_eq!(run(session, &back), expected, "{back}");
    }
}

/// What the allocator keeps of one statement goes back to the system before the next one, even if it would keep it for long by
/// itself.
#[test]
#[cfg(target_os = "linux")]
fn what_a_query_has_freed_is_given_back() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    const LIMIT_MB: usize = 64;
    let folder = tempfile::tempdir().unwrap();
    let wide = "SELECT i * 1000 + j AS k, 'the text of row ' || CAST(i * 1000 + j AS VARCHAR) || ' which is long' AS s \
                FROM UNNEST(sequence(1, 300)) AS a(i) CROSS JOIN UNNEST(sequence(1, 1000)) AS b(j)";
    let query =
        format!("SELECT count(*), max(n), max(t) FROM (SELECT s, count(*) AS n, max(k) AS t FROM ({wide}) GROUP BY s)");
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("lakebed"))
        .args([
            "--no-init",
            "--format",
            "csv",
            "--no-header",
            "--threads",
            "2",
            "--memory",
        ])
        .arg(format!("{LIMIT_MB}MB"))
        .arg("--warehouse")
        .arg(folder.path())
        .args(["-c", &format!("{query}; SELECT 'done'; {}", crate::program::ENDLESS)])
        .env("MIMALLOC_PURGE_DELAY", "600000")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(
        lines.by_ref().any(|line| line == "done"),
        "the first statement has ended"
    );
    lines.next();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let megabytes = |name: &str| -> usize {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_end_matches("kB").trim().parse::<usize>().unwrap() / 1024
    };
    let (now, peak) = (megabytes("VmRSS:"), megabytes("VmHWM:"));
    let promised = LIMIT_MB + 64 + LIMIT_MB / 10;
    assert!(
        now < promised && now + 20 < peak,
        "{now} MB are resident after a peak of {peak} MB; {promised} MB are promised"
    );
}

#[test]
fn aggregations() {
    check(&[
        "SELECT count(*), sum(n), checksum(m), max(d) FROM (SELECT k, count(*) AS n, min(s) AS m, avg(d) AS d FROM wide GROUP BY k)",
        "SELECT count(*), sum(n), checksum(s) FROM (SELECT s, count(*) AS n FROM wide GROUP BY s)",
        "SELECT count(DISTINCT s), count(DISTINCT k), count(*), sum(k) FROM wide",
        "SELECT sum(a), sum(b), checksum(array_sort(c)) FROM (SELECT g, count(DISTINCT s) AS a, count(DISTINCT k) AS b, \
         array_agg(s) AS c FROM wide GROUP BY g)",
        "SELECT checksum(s) FROM (SELECT g, listagg(DISTINCT s, ',') WITHIN GROUP (ORDER BY s) AS s FROM wide GROUP BY g)",
        "SELECT id, count(*), sum(n) FROM (SELECT grouping(k, s, g) AS id, count(*) AS n FROM wide \
         GROUP BY GROUPING SETS ((k), (s), (g), (k, s), ())) GROUP BY id",
        "SELECT count(*), checksum(s), checksum(t) FROM (SELECT w.k, max(w.s) AS s, min_by(x.s, x.v) AS t FROM wide w \
         JOIN skewed x ON x.k = w.k GROUP BY w.k)",
    ]);
}

/// Two groups, each of which needs more than half of the memory, that two workers come to at the same time.
#[test]
fn groups_that_fit_only_alone() {
    let folder = tempfile::tempdir().unwrap();
    let make = session(folder.path(), 1 << 30);
    make_tables(&make);
    let query = "SELECT count(*), sum(cardinality(a)), min(element_at(a, 1)) IS NULL FROM \
                 (SELECT k % 2 AS h, array_agg(s || s || s || s) AS a FROM wide GROUP BY k % 2)";
    let expected = run(&make, query);
    assert_eq!(expected, run(&session(folder.path(), LARGE_GROUPS), query));
}

/// A group's state is about 5 MB, in vectors that have doubled.
const LARGE_GROUPS: usize = 14 << 20;
