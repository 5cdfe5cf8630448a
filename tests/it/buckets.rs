//! Tables in buckets, written by the program: killed at a request, answered with trouble, several at once.

use crate::program::{Run, in_warehouse, outcome};
use crate::servers::gcs::GcsServer;
use crate::servers::s3::S3Server;
use crate::servers::{Server, Trouble};
use assert_cmd::Command;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A warehouse in a bucket of a server.
trait Bucket {
    fn server(&self) -> &Server;
    fn environment(&self) -> Vec<(String, String)>;
    fn keys(&self) -> Vec<String>;
    fn open_uploads(&self) -> usize;
    fn warehouse(&self) -> &'static str;

    fn program(&self) -> Command {
        let mut command = in_warehouse(Path::new(self.warehouse()));
        for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("AWS_") || n.starts_with("GOOGLE_")) {
            command.env_remove(name);
        }
        command.envs(self.environment());
        command
    }

    fn sql(&self, text: &str) -> Run {
        outcome(self.program().args(["--no-header", "-c", text]))
    }

    fn ok(&self, text: &str) -> String {
        let run = self.sql(text);
        assert_eq!(run.code, 0, "{text}: {}", run.err);
        run.out
    }

    fn gc(&self) {
        let run = outcome(self.program().args(["txn", "gc", "--older-than", "0"]));
        assert_eq!(run.code, 0, "{}", run.err);
    }

    /// Keys besides the catalog's, the logs', and those of data files.
    fn left(&self) -> Vec<String> {
        let expected = |key: &String| {
            key.contains("_catalog/databases")
                || key.contains("_catalog/objects")
                || key.contains("/_txn/log/")
                || (key.ends_with(".parquet") && !key.contains("/_txn/"))
        };
        self.keys().into_iter().filter(|key| !expected(key)).collect()
    }
}

impl Bucket for S3Server {
    fn server(&self) -> &Server {
        self
    }
    fn environment(&self) -> Vec<(String, String)> {
        self.environment()
    }
    fn keys(&self) -> Vec<String> {
        self.keys("lake")
    }
    fn open_uploads(&self) -> usize {
        self.open_uploads()
    }
    fn warehouse(&self) -> &'static str {
        "s3://lake/w"
    }
}

impl Bucket for GcsServer {
    fn server(&self) -> &Server {
        self
    }
    fn environment(&self) -> Vec<(String, String)> {
        self.environment()
    }
    fn keys(&self) -> Vec<String> {
        self.keys("lake")
    }
    fn open_uploads(&self) -> usize {
        self.open_uploads()
    }
    fn warehouse(&self) -> &'static str {
        "gs://lake/w"
    }
}

const TABLE: &str =
    "CREATE TABLE t WITH (partitioned_by = ARRAY['p']) AS SELECT x, x % 3 AS p FROM UNNEST(sequence(1, 9)) AS a(x)";
const OVERWRITE: &str = "INSERT OVERWRITE t SELECT x, x % 2 AS p FROM UNNEST(sequence(11, 18)) AS a(x)";
const ROWS: &str = "SELECT p, count(*), sum(x) FROM t GROUP BY p ORDER BY p";
const BEFORE: &str = "0,3,18\n1,3,12\n2,3,15\n";
const AFTER: &str = "0,4,60\n1,4,56\n2,3,15\n";

/// Kills a statement when it sends its `number`-th request; whether it had so many.
fn killed_at(bucket: &impl Bucket, statement: &str, number: usize) -> bool {
    let server = bucket.server();
    server.inject_after(number, "", "", 1, Trouble::Delay(Duration::from_secs(60)));
    let program = bucket.program();
    let mut child = std::process::Command::new(program.get_program());
    child.args(program.get_args()).args(["-c", statement]);
    child.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    let reached = loop {
        match child.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success());
                break false;
            }
            None if server.is_trouble_over() => break true,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "neither ends nor asks");
    };
    let _ = child.kill();
    child.wait().unwrap();
    server.calm();
    reached
}

fn a_killed_process_leaves_all_or_nothing(bucket: &impl Bucket, stride: usize) {
    let mut outcomes = (0, 0);
    for number in (0..).step_by(stride) {
        bucket.ok(&format!("DROP TABLE IF EXISTS t; {TABLE}"));
        let reached = killed_at(bucket, OVERWRITE, number);
        let seen = bucket.ok(ROWS);
        assert!(
            [BEFORE, AFTER].contains(&seen.as_str()),
            "killed at request {number}: {seen}"
        );
        assert!(reached || seen == AFTER);
        bucket.gc();
        let now = bucket.ok(ROWS);
        assert!(
            now == AFTER || (now == seen && now == BEFORE),
            "gc after request {number}: {seen} became {now}"
        );
        assert_eq!(bucket.left(), Vec::<String>::new(), "killed at request {number}");
        assert_eq!(bucket.open_uploads(), 0);
        match now == AFTER {
            true => outcomes.1 += 1,
            false => outcomes.0 += 1,
        }
        if !reached {
            break;
        }
    }
    assert!(
        outcomes.0 > 0 && outcomes.1 > 0,
        "kills before and after the commit: {outcomes:?}"
    );
}

#[test]
fn a_process_killed_at_a_request_to_s3_leaves_all_or_nothing() {
    a_killed_process_leaves_all_or_nothing(&S3Server::start(&["lake"]), 5);
}

#[test]
fn a_process_killed_at_a_request_to_google_leaves_all_or_nothing() {
    a_killed_process_leaves_all_or_nothing(&GcsServer::start(&["lake"]), 5);
}

/// A store that is busy or loses replies slows a write down; what it writes is what it would have written.
fn trouble_changes_nothing(bucket: &impl Bucket) {
    for (method, part) in [
        ("PUT", "/data/"),
        ("PUT", "_txn/log/"),
        ("PUT", "manifest"),
        ("PUT", "_catalog"),
        ("DELETE", ""),
        ("GET", ""),
    ] {
        for trouble in [Trouble::Status(503, "SlowDown"), Trouble::CutAfter, Trouble::CutBefore] {
            bucket.ok(&format!("DROP TABLE IF EXISTS t; {TABLE}"));
            bucket.server().inject(method, part, 2, trouble.clone());
            let run = bucket.sql(OVERWRITE);
            bucket.server().calm();
            let seen = bucket.ok(ROWS);
            assert_eq!(
                (run.code, seen.as_str()),
                (0, AFTER),
                "{method} {part} {trouble:?}: {}",
                run.err
            );
            assert_eq!(bucket.left(), Vec::<String>::new(), "{method} {part} {trouble:?}");
        }
    }
}

#[test]
fn trouble_with_s3_changes_nothing() {
    trouble_changes_nothing(&S3Server::start(&["lake"]));
}

#[test]
fn trouble_with_google_changes_nothing() {
    trouble_changes_nothing(&GcsServer::start(&["lake"]));
}

#[test]
fn writers_at_the_same_time_add_up_or_conflict() {
    let bucket = S3Server::start(&["lake"]);
    bucket.ok(TABLE);
    let at_once = |statements: &[&str]| -> Vec<Run> {
        std::thread::scope(|scope| {
            let runs: Vec<_> = statements.iter().map(|s| scope.spawn(|| bucket.sql(s))).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        })
    };
    let insert = "INSERT INTO t SELECT x, x % 5 FROM UNNEST(sequence(1, 10)) AS a(x)";
    let runs = at_once(&[insert; 5]);
    assert!(runs.iter().all(|run| run.code == 0), "{runs:?}");
    assert_eq!(bucket.ok("SELECT count(*), sum(x) FROM t"), "59,320\n");
    // Those that replace the same partitions: each has happened as a whole or not at all.
    let statements: Vec<String> = (1..=4)
        .map(|n| format!("INSERT OVERWRITE t SELECT {n} * 1000 + x, x % 2 FROM UNNEST(sequence(1, 10)) AS a(x)"))
        .collect();
    let runs = at_once(&statements.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(runs.iter().any(|run| run.code == 0), "{runs:?}");
    for run in runs.iter().filter(|run| run.code != 0) {
        assert!(run.err.contains("at the same time"), "{run:?}");
    }
    assert_eq!(
        bucket.ok("SELECT count(*), count(DISTINCT x / 1000) FROM t WHERE p < 2"),
        "10,1\n"
    );
    assert_eq!(bucket.left(), Vec::<String>::new());
}

/// Files that are large enough for uploads in parts.
#[test]
fn large_files_are_uploaded_in_parts() {
    let bucket = S3Server::start(&["lake"]);
    let rows =
        "SELECT to_hex(sha256(to_utf8(CAST(x AS VARCHAR)))) AS h, x % 2 AS p FROM UNNEST(sequence(1, 260000)) AS a(x)";
    bucket.ok(&format!(
        "SET upload_part_size = '5MB'; CREATE TABLE t WITH (partitioned_by = ARRAY['p']) AS {rows}; \
         INSERT OVERWRITE t {rows}; CREATE TABLE one AS SELECT h FROM t; \
         COPY t TO 's3://lake/w/single.parquet'; COPY t TO 's3://lake/w/single.parquet'"
    ));
    assert!(bucket.server().count("POST", "uploads") >= 4, "uploads are begun");
    assert_eq!(
        bucket.ok("SELECT count(DISTINCT h) FROM t; SELECT count(*) FROM one"),
        "260000\n260000\n"
    );
    assert_eq!(
        bucket.ok("SELECT count(*) FROM 's3://lake/w/single.parquet'"),
        "260000\n"
    );
    assert_eq!((bucket.left(), bucket.open_uploads()), (vec![], 0));
}

#[test]
fn open_writes_are_shown_resumed_and_aborted() {
    let bucket = S3Server::start(&["lake"]);
    let txn = |arguments: &[&str]| outcome(bucket.program().arg("--no-header").arg("txn").args(arguments));
    for end in ["resume", "abort"] {
        bucket.ok(&format!("DROP TABLE IF EXISTS t; {TABLE}"));
        // Everything is written; the entry of the log never comes.
        let server: &Server = &bucket;
        server.inject("PUT", "_txn/log/", 1, Trouble::Delay(Duration::from_secs(60)));
        let program = bucket.program();
        let mut child = std::process::Command::new(program.get_program());
        child.args(program.get_args()).args(["-c", OVERWRITE]);
        child.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = child.stderr(Stdio::null()).spawn().unwrap();
        while !server.is_trouble_over() {
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        server.calm();
        let listed = txn(&["list", "t"]);
        let fields: Vec<&str> = listed.out.trim().split(',').collect();
        assert_eq!(fields[1..3], ["prepared", "INSERT OVERWRITE"], "{listed:?}");
        let id = fields[0];
        assert_eq!(txn(&["list"]).out, listed.out, "all tables of the catalog");
        assert!(
            txn(&["show", id]).out.contains("replaces,2 files"),
            "{:?}",
            txn(&["show", id])
        );
        let wrong = txn(&["resume", "20201122_000000_0"]);
        assert!(wrong.code != 0 && wrong.err.contains("no open write"), "{wrong:?}");
        let done = txn(&[end, id, "t"]);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(bucket.ok(ROWS), if end == "resume" { AFTER } else { BEFORE });
        assert_eq!(txn(&["list"]).out, "");
        assert_eq!(bucket.left(), Vec::<String>::new());
    }
}
