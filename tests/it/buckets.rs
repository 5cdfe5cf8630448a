//! Tables in buckets, written by the program: killed at a request, answered with trouble, several at once.

use crate::program::{Run, in_warehouse, outcome};
use crate::servers::azure::AzureServer;
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
        for (name, _) in
            std::env::vars().filter(|(n, _)| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| n.starts_with(start)))
        {
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
        assert!(run.code == 0 && !run.out.contains("cannot be listed"), "{run:?}");
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

impl Bucket for AzureServer {
    fn server(&self) -> &Server {
        self
    }
    fn environment(&self) -> Vec<(String, String)> {
        self.environment()
    }
    fn keys(&self) -> Vec<String> {
        self.keys("lake")
    }
    /// Blocks that nobody commits go by themselves.
    fn open_uploads(&self) -> usize {
        0
    }
    fn warehouse(&self) -> &'static str {
        "az://lake/w"
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

#[test]
fn a_process_killed_at_a_request_to_azure_leaves_all_or_nothing() {
    a_killed_process_leaves_all_or_nothing(&AzureServer::start(&["lake"]), 5);
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
fn trouble_with_azure_changes_nothing() {
    trouble_changes_nothing(&AzureServer::start(&["lake"]));
}

#[test]
fn writers_to_s3_at_the_same_time_add_up_or_conflict() {
    writers_add_up_or_conflict(&S3Server::start(&["lake"]));
}

#[test]
fn writers_to_azure_at_the_same_time_add_up_or_conflict() {
    writers_add_up_or_conflict(&AzureServer::start(&["lake"]));
}

fn writers_add_up_or_conflict(bucket: &(impl Bucket + Sync)) {
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

/// Rows that make files which are large enough for uploads in parts.
const LARGE: &str =
    "SELECT to_hex(sha256(to_utf8(CAST(x AS VARCHAR)))) AS h, x % 2 AS p FROM UNNEST(sequence(1, 260000)) AS a(x)";

#[test]
fn large_files_are_uploaded_to_s3_in_parts() {
    large_files_are_uploaded_in_parts(&S3Server::start(&["lake"]), ("POST", "uploads"));
}

#[test]
fn large_files_are_uploaded_to_azure_in_parts() {
    large_files_are_uploaded_in_parts(&AzureServer::start(&["lake"]), ("PUT", "comp=blocklist"));
}

fn large_files_are_uploaded_in_parts(bucket: &impl Bucket, (method, part): (&str, &str)) {
    let (rows, warehouse) = (LARGE, bucket.warehouse());
    bucket.ok(&format!(
        "SET upload_part_size = '5MB'; CREATE TABLE t WITH (partitioned_by = ARRAY['p']) AS {rows}; \
         INSERT OVERWRITE t {rows}; CREATE TABLE one AS SELECT h FROM t; \
         COPY t TO '{warehouse}/single.parquet'; COPY t TO '{warehouse}/single.parquet'"
    ));
    assert!(bucket.server().count(method, part) >= 4, "uploads are begun");
    assert_eq!(
        bucket.ok("SELECT count(DISTINCT h) FROM t; SELECT count(*) FROM one"),
        "260000\n260000\n"
    );
    assert_eq!(
        bucket.ok(&format!("SELECT count(*) FROM '{warehouse}/single.parquet'")),
        "260000\n"
    );
    assert_eq!((bucket.left(), bucket.open_uploads()), (vec![], 0));
}

/// A process that is killed between asking for an upload and noting it: only the list of the bucket tells of the upload.
fn an_upload_that_nobody_noted_is_aborted(bucket: &impl Bucket, begin: impl Fn(&str)) {
    bucket.ok("CREATE TABLE t WITH (partitioned_by = ARRAY['p']) AS SELECT 'a' AS h, CAST(1 AS BIGINT) AS p");
    let server = bucket.server();
    server.inject("PUT", "/upload-", 1, Trouble::Delay(Duration::from_secs(60)));
    let program = bucket.program();
    let mut child = std::process::Command::new(program.get_program());
    let rows = LARGE.replace("x % 2", "1");
    let statement = format!("SET threads = 1; SET upload_part_size = '5MB'; INSERT OVERWRITE t {rows}");
    child.args(program.get_args()).args(["-c", &statement]);
    child.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = child.stderr(Stdio::null()).spawn().unwrap();
    while !server.is_trouble_over() {
        assert!(child.try_wait().unwrap().is_none(), "it ends before it asks");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(bucket.open_uploads(), 1);
    // Neither somebody who tidies up nor the next writer takes it for one left behind: it may be of a writer that lives.
    let run = outcome(bucket.program().args(["txn", "gc"]));
    assert_eq!((run.code, bucket.open_uploads()), (0, 1), "{}", run.err);
    child.kill().unwrap();
    child.wait().unwrap();
    server.calm();
    bucket.ok("INSERT INTO t SELECT 'b', 1");
    assert_eq!(bucket.open_uploads(), 1);
    // Those of other programs, and of a table below this one, are not ours.
    let id = "20261122_141500_9f86d081884c7d65";
    for key in [
        "w/default/t/p=1/part-0.parquet",
        "w/elsewhere/x",
        &format!("w/default/t/below/{id}_0.parquet"),
    ] {
        begin(key);
    }
    begin(&format!("w/default/t/p=7/{id}_0.parquet"));
    assert_eq!(bucket.open_uploads(), 5);
    bucket.gc();
    assert_eq!(bucket.open_uploads(), 3);
    assert_eq!(bucket.left(), Vec::<String>::new());
    assert_eq!(bucket.ok("SELECT count(*) FROM t"), "2\n");
    // One of a single file is aborted by who names the file, not before it is old.
    begin("w/default/one.parquet");
    begin("w/default/one.parquet.bak");
    let single = format!("{}/default/one.parquet", bucket.warehouse());
    let tidy_up = |more: &[&str]| outcome(bucket.program().args(["txn", "gc", &single]).args(more)).out;
    tidy_up(&[]);
    bucket.gc();
    assert_eq!(bucket.open_uploads(), 5);
    let told = tidy_up(&["--older-than", "0"]);
    assert!(bucket.open_uploads() == 4 && told.contains(",0,1,"), "{told}");
    // A bucket that does not tell: that is said, and the rest is done.
    server.inject("GET", "uploads", 9, Trouble::Status(501, "NotImplemented"));
    let run = outcome(bucket.program().args(["txn", "gc", "t"]));
    server.calm();
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("the open uploads cannot be listed"), "{}", run.out);
}

#[test]
fn an_upload_to_s3_that_nobody_noted_is_aborted() {
    let bucket = S3Server::start(&["lake"]);
    let client = bucket.client("lake");
    an_upload_that_nobody_noted_is_aborted(&bucket, |key| begin(&client, key));
}

#[test]
fn an_upload_to_google_that_nobody_noted_is_aborted() {
    let bucket = GcsServer::start(&["lake"]);
    bucket.set_page(2);
    let client = bucket.client("lake");
    an_upload_that_nobody_noted_is_aborted(&bucket, |key| begin(&client, key));
}

/// Begins an upload, as any program may.
fn begin(client: &impl object_store::multipart::MultipartStore, key: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(client.create_multipart(&key.into())).unwrap();
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

#[test]
fn making_a_table_asks_no_more_when_there_are_many() {
    let bucket = S3Server::start(&["lake"]);
    let requests = |statement: &str| {
        bucket.clear_log();
        bucket.ok(statement);
        bucket.log().len()
    };
    let (create, select) = ("CREATE TABLE n (x int)", "CREATE TABLE m AS SELECT 1 AS x");
    let before = (requests(create), requests(select));
    let many: Vec<String> = (0..30).map(|n| format!("CREATE TABLE t{n} (x int)")).collect();
    bucket.ok(&format!("DROP TABLE n; DROP TABLE m; {}", many.join("; ")));
    assert_eq!((requests(create), requests(select)), before);
    // The folder of a table that has another name now is not given to a new one, nor to two.
    bucket.ok(
        "INSERT INTO n SELECT 1; ALTER TABLE n RENAME TO o; CREATE TABLE n AS SELECT 2 AS x; ALTER TABLE n RENAME TO p",
    );
    bucket.ok("CREATE TABLE n AS SELECT 3 AS x; CREATE TABLE n_2 AS SELECT 4 AS x; DROP TABLE p; CREATE TABLE q AS SELECT 5 AS x");
    assert_eq!(
        bucket.ok("SELECT o.x, n.x, n_2.x, q.x FROM o CROSS JOIN n CROSS JOIN n_2 CROSS JOIN q"),
        "1,3,4,5\n"
    );
    assert_eq!(
        bucket
            .left()
            .iter()
            .filter(|key| !key.contains("_catalog/taken/"))
            .count(),
        0
    );
}
