//! What the allocator hands out, beside what the memory arbiter has in its books.
//!
//! A test of its own, because it replaces the allocator.

#[path = "support/mod.rs"]
#[allow(dead_code, reason = "this test needs sessions only")]
mod support;

use lakebed::config::Config;
use lakebed::session::Session;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MB: usize = 1 << 20;
/// What is too small to count: batches between operators, plans, what the test itself needs.
const SMALL: usize = 4 * MB;

fn run(session: &Session, text: &str) {
    for result in session.execute(text).unwrap() {
        result
            .and_then(|r| r.collect())
            .unwrap_or_else(|e| panic!("{text}\n{e}"));
    }
}

/// Bytes booked and bytes allocated at the most while `text` runs.
fn peaks(folder: &std::path::Path, memory_limit: usize, text: &str) -> (usize, usize) {
    let config = Config {
        memory_limit,
        threads: 2,
        ..Config::default()
    };
    let session = Session::new(config, folder.to_str().unwrap()).unwrap();
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    run(&session, text);
    let allocated = ALLOCATOR.peak_usage() - before;
    (session.running().unwrap().memory.peak(), allocated)
}

#[test]
fn the_books_say_what_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let make = Session::new(Config::default(), folder.path().to_str().unwrap()).unwrap();
    run(
        &make,
        "CREATE TABLE wide STORED AS PARQUET AS \
         SELECT i * 1000 + j AS k, 'the text of row ' || CAST(i * 1000 + j AS VARCHAR) || ' which is ' || rpad('x', 60, 'x') AS s, \
         (i * 31 + j * 17) % 1009 AS g FROM UNNEST(sequence(1, 400)) AS a(i) CROSS JOIN UNNEST(sequence(1, 500)) AS b(j)",
    );
    let mut wrong = vec![];
    for (operator, query) in [
        (
            "join",
            "SELECT count(*), max(a.s), max(b.s) FROM wide a JOIN wide b ON a.k = b.k + 1",
        ),
        (
            "join on text",
            "SELECT count(*), max(a.k) FROM wide a JOIN wide b ON a.s = b.s",
        ),
        (
            "semi join",
            "SELECT count(*) FROM wide a WHERE EXISTS (SELECT 1 FROM wide b WHERE a.k = b.k AND a.g < b.g + 1)",
        ),
        (
            "aggregate",
            "SELECT count(*), max(m) FROM (SELECT k, max(s) AS m FROM wide GROUP BY k) AS t",
        ),
        (
            "aggregate by text",
            "SELECT count(*), max(m) FROM (SELECT s, sum(g) AS m FROM wide GROUP BY s) AS t",
        ),
        ("distinct", "SELECT count(DISTINCT s) FROM wide"),
        (
            "array_agg",
            "SELECT max(cardinality(a)) FROM (SELECT g, array_agg(s) AS a FROM wide GROUP BY g) AS t",
        ),
        (
            "sort",
            "SELECT count(*), max(s) FROM (SELECT s FROM wide ORDER BY g, s LIMIT 190000) AS t",
        ),
        (
            "window",
            "SELECT max(r) FROM (SELECT s, row_number() OVER (PARTITION BY g ORDER BY s) AS r FROM wide) AS t",
        ),
        (
            "two kinds of DISTINCT",
            "SELECT count(*), max(a), max(b) FROM (SELECT g, count(DISTINCT s) AS a, count(DISTINCT k) FILTER (WHERE k % 2 = 0) AS b, avg(k) AS c FROM wide GROUP BY g) AS t",
        ),
        ("write", "COPY (SELECT * FROM wide) TO 'OUT' STORED AS PARQUET"),
        (
            "ordered write",
            "COPY (SELECT * FROM wide ORDER BY s) TO 'OUT' STORED AS PARQUET",
        ),
        (
            "common table expression",
            "WITH t AS (SELECT * FROM wide WHERE k % 7 > 0) SELECT count(*) FROM t AS a JOIN (SELECT max(g) AS g FROM t) AS b ON a.g = b.g",
        ),
    ] {
        for limit in [1 << 30, 16 * MB] {
            let out = folder.path().join(format!("{operator} {limit}"));
            let query = query.replace("OUT", &out.display().to_string());
            let (booked, allocated) = peaks(folder.path(), limit, &query);
            let line = format!(
                "{operator} in {} MB: booked {booked}, allocated {allocated}",
                limit / MB
            );
            println!("{line}");
            if booked.abs_diff(allocated) > SMALL + allocated / 10 {
                wrong.push(line);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
