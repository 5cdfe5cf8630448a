//! How remote files are read: how many requests, which bytes, what happens when a server fails. Pruning is proved by bytes
//! that were not sent.

use crate::program::{Run, lakebed, outcome};
use crate::servers::gcs::GcsServer;
use crate::servers::s3::S3Server;
use crate::servers::{Entry, Trouble};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

/// Rows of the table, in about ten row groups; ten columns of numbers that do not compress.
const ROWS: usize = 10 * GROUP;
const GROUP: usize = 16_384;
/// Row groups end with batches, so there may be some more.
const GROUPS: usize = 12;

/// The table as a Parquet file: `k` ascends, `c0` to `c9` are noise.
static PARQUET: LazyLock<Vec<u8>> = LazyLock::new(|| parquet(ROWS, GROUP));

fn parquet(rows: usize, group: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let columns: Vec<String> = (0..10)
        .map(|i| format!("sqrt(CAST(k AS double) + {i}) AS c{i}"))
        .collect();
    let sql = format!(
        "SET row_group_rows = {group}; COPY (SELECT k, {} FROM UNNEST(sequence(1, {rows})) AS t(k) ORDER BY k) TO '{}/t.parquet'",
        columns.join(", "),
        folder.path().display()
    );
    let run = outcome(lakebed(&folder).args(["-c", &sql]));
    assert_eq!(run.code, 0, "{run:?}");
    std::fs::read(folder.path().join("t.parquet")).unwrap()
}

fn program(environment: &[(String, String)], arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let mut command = lakebed(&folder);
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("AWS_") || n.starts_with("GOOGLE_")) {
        command.env_remove(name);
    }
    outcome(
        command
            .envs(environment.iter().cloned())
            .args(["--format", "csv"])
            .args(arguments),
    )
}

fn rows(environment: &[(String, String)], sql: &str) -> Vec<String> {
    let run = program(environment, &["-c", sql]);
    assert_eq!(run.code, 0, "{sql}\n{run:?}");
    run.out.lines().skip(1).map(str::to_string).collect()
}

/// Answers that gave bytes of objects.
fn gets(log: &[Entry]) -> Vec<&Entry> {
    log.iter().filter(|e| e.method == "GET" && !e.is_listing()).collect()
}

/// What holds for every kind of bucket with the table at `t.parquet`.
fn bytes_not_needed_are_not_read(
    scheme: &str,
    environment: &[(String, String)],
    log: &dyn Fn() -> Vec<Entry>,
    clear: &dyn Fn(),
) {
    let size = PARQUET.len();
    let from = format!("FROM '{scheme}://lake/t.parquet'");
    let ask = |sql: &str| {
        clear();
        let answer = rows(environment, &sql.replace("FROM t", &from));
        let log = log();
        let gets = gets(&log);
        assert!(
            gets.iter().all(|e| e.status == 206),
            "every read names its range: {gets:?}"
        );
        // The first is the end of the file with the footer.
        let data: usize = gets.iter().skip(1).map(|e| e.sent).sum();
        (answer, gets.len() - 1, data)
    };
    let (answer, requests, _) = ask("SELECT count(*) FROM t");
    assert_eq!(
        (answer[0].parse(), requests),
        (Ok(ROWS), 0),
        "footers tell how many rows there are"
    );
    let (answer, requests, bytes) = ask("SELECT min(k), max(k) FROM t");
    assert_eq!(answer, [format!("1,{ROWS}")]);
    assert!(requests <= GROUPS && bytes < size / 8, "{requests} {bytes} of {size}");
    let (answer, requests, bytes) = ask("SELECT k, c9 FROM t WHERE k = 55555");
    assert!(answer[0].starts_with("55555,235.7"), "{answer:?}");
    assert!(requests <= 2 && bytes < size / 10 / 4, "{requests} {bytes} of {size}");
    let (_, requests, bytes) = ask("SELECT sum(c4) FROM t");
    assert!(requests <= GROUPS && bytes < size / 9, "{requests} {bytes} of {size}");
    let (answer, requests, bytes) = ask("SELECT * FROM t LIMIT 1");
    assert_eq!(answer.len(), 1);
    assert!(requests == 1 && bytes < size / 9, "{requests} {bytes} of {size}");
    let (_, requests, bytes) = ask("SELECT sum(k), sum(c0), sum(c2) FROM t");
    assert!(
        requests <= GROUPS && bytes <= size,
        "near columns in one request: {requests} {bytes} of {size}"
    );
    let (answer, requests, _) = ask("SELECT k FROM t WHERE k > 163840");
    assert_eq!((answer.len(), requests), (0, 0));
}

#[test]
fn where_rows_are_rare_filter_columns_are_read_first() {
    let s3 = S3Server::start(&["lake"]);
    let file = parquet(10 * 65_536, 65_536);
    s3.put("lake", "t.parquet", &file);
    // Within the bounds of the columns, but in no row.
    let sql = "SELECT * FROM 's3://lake/t.parquet' WHERE c0 BETWEEN sqrt(k) + 1e-6 AND sqrt(k) + 1e-5";
    let run = program(
        &s3.environment(),
        &["--memory", "32MB", "--set", "threads=1", "-c", sql],
    );
    assert_eq!((run.code, run.out.lines().count()), (0, 1), "{run:?}");
    let bytes = s3.bytes_sent("t.parquet");
    assert!(bytes < file.len() * 3 / 4, "{bytes} of {}", file.len());
}

#[test]
fn pages_without_wanted_rows_are_not_fetched() {
    let s3 = S3Server::start(&["lake"]);
    // About ten pages per column.
    let file = parquet(200_000, 1 << 20);
    s3.put("lake", "t.parquet", &file);
    let ask = |sql: &str| {
        s3.clear_log();
        let answer = rows(&s3.environment(), &sql.replace("FROM t", "FROM 's3://lake/t.parquet'"));
        let log = s3.log();
        let data: usize = gets(&log).iter().skip(1).map(|e| e.sent).sum();
        (answer, gets(&log).len() - 1, data)
    };
    let column = file.len() / 11;
    let (answer, requests, bytes) = ask("SELECT k, c9 FROM t WHERE k = 55555");
    assert!(answer[0].starts_with("55555,235.7"), "{answer:?}");
    assert!(requests == 2 && bytes < column / 2, "{requests} {bytes} of {column}");
    let (answer, requests, bytes) = ask("SELECT * FROM t WHERE k BETWEEN 99990 AND 100010");
    assert_eq!(answer.len(), 21);
    assert!(
        requests <= 11 && bytes < file.len() / 4,
        "{requests} {bytes} of {}",
        file.len()
    );
    let (answer, requests, bytes) = ask("SELECT count(c1) FROM t WHERE k > 5000");
    assert_eq!(answer, ["195000"]);
    // Twenty pages, in a few row groups.
    assert!(
        requests <= 10 && bytes > column,
        "near pages in one request: {requests} {bytes}"
    );
    let (answer, requests, bytes) =
        ask("SELECT t.k FROM t JOIN (VALUES (7), (150007)) AS v(k) ON t.k = v.k ORDER BY 1");
    assert_eq!(answer, ["7", "150007"]);
    assert!(requests <= 4 && bytes < column / 2, "{requests} {bytes} of {column}");
    let run = program(
        &s3.environment(),
        &[
            "-c",
            "EXPLAIN ANALYZE SELECT k, c9 FROM 's3://lake/t.parquet' WHERE k = 55555",
        ],
    );
    let left_out = run
        .out
        .split("left out ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let left_out: usize = left_out.and_then(|n| n.parse().ok()).unwrap_or(0);
    // Of the one partition that is read; the others are left out as a whole.
    assert!((2..12).contains(&left_out), "{}", run.out);
}

#[test]
fn where_rows_are_rare_other_columns_fetch_only_their_pages() {
    let s3 = S3Server::start(&["lake"]);
    let file = parquet(10 * 65_536, 65_536);
    s3.put("lake", "t.parquet", &file);
    // One row in each row group, within the bounds of all pages.
    let sql = "SELECT * FROM 's3://lake/t.parquet' WHERE k % 65536 = 77";
    let run = program(
        &s3.environment(),
        &["--memory", "32MB", "--set", "threads=1", "-c", sql],
    );
    assert_eq!((run.code, run.out.lines().count()), (0, 11), "{run:?}");
    let bytes = s3.bytes_sent("t.parquet");
    assert!(bytes < file.len() * 4 / 5, "{bytes} of {}", file.len());
}

#[test]
fn bytes_not_needed_are_not_read_from_s3() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t.parquet", &*PARQUET);
    bytes_not_needed_are_not_read("s3", &s3.environment(), &|| s3.log(), &|| s3.clear_log());
}

#[test]
fn bytes_not_needed_are_not_read_from_gcs() {
    let gcs = GcsServer::start(&["lake"]);
    gcs.put("lake", "t.parquet", &*PARQUET);
    bytes_not_needed_are_not_read("gs", &gcs.environment(), &|| gcs.log(), &|| gcs.clear_log());
}

#[test]
fn requests_and_bytes_are_shown() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t.parquet", &*PARQUET);
    let run = program(
        &s3.environment(),
        &[
            "--stats",
            "-c",
            "SELECT sum(c1) FROM 's3://lake/t.parquet' WHERE k > 150000",
        ],
    );
    let heads = s3.count("HEAD", "");
    let all = s3.log().len();
    assert!(
        run.err.contains(&format!("{all} requests")),
        "{} against {}",
        run.err,
        s3.log().len()
    );
    assert!(
        run.err.contains("3 GET") && run.err.contains(&format!("{heads} HEAD")),
        "{}",
        run.err
    );
    assert!(run.err.contains("partitions 2/1"), "{}", run.err);
    let sql = "EXPLAIN ANALYZE SELECT sum(c1) FROM 's3://lake/t.parquet' WHERE k > 150000";
    let run = program(&s3.environment(), &["-c", sql]);
    assert!(run.out.contains("read 2 of 1"), "{}", run.out);
    assert!(run.out.contains("2 requests (2 GET), "), "{}", run.out);
    let sql = "EXPLAIN ANALYZE SELECT 1";
    assert!(!program(&s3.environment(), &["-c", sql]).out.contains("request"));
}

#[test]
fn failures_on_the_way_are_made_good() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t.parquet", &*PARQUET);
    let sql = "SELECT sum(k), count(c3) FROM 's3://lake/t.parquet'";
    let expected = [format!("{},{ROWS}", ROWS * (ROWS + 1) / 2)];
    let troubles = [
        Trouble::Status(503, "SlowDown"),
        Trouble::Status(429, "TooManyRequests"),
        Trouble::Status(500, "InternalError"),
        Trouble::CutBefore,
        Trouble::CutAfter,
        Trouble::Truncate(1000),
        Trouble::Truncate(0),
    ];
    for trouble in troubles {
        s3.inject_after(1, "GET", "t.parquet?", 3, trouble.clone());
        let run = program(&s3.environment(), &["--stats", "-c", sql]);
        assert_eq!(run.code, 0, "{trouble:?} {run:?}");
        assert_eq!(run.out.lines().nth(1), Some(expected[0].as_str()), "{trouble:?}");
        assert!(s3.is_trouble_over(), "{trouble:?}");
        s3.calm();
        if let Trouble::Status(..) = trouble {
            assert!(run.err.contains(", 3 tried again"), "{}", run.err);
        }
    }
}

#[test]
fn a_failure_that_lasts_names_file_range_and_what_was_said() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t.parquet", &*PARQUET);
    let sql = "SELECT sum(k) FROM 's3://lake/t.parquet'";
    s3.inject_after(1, "GET", "t.parquet?", 1000, Trouble::Status(501, "NoMood"));
    let begin = Instant::now();
    let run = program(&s3.environment(), &["-c", sql]);
    assert!(begin.elapsed() < Duration::from_secs(100));
    assert_eq!(run.code, 4, "{run:?}");
    for part in ["s3://lake/t.parquet, bytes ", "NoMood", "injected by the test"] {
        assert!(run.err.contains(part), "{part}: {}", run.err);
    }
}

#[test]
fn a_file_that_changes_during_a_query_is_named() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t.parquet", &*PARQUET);
    s3.inject_after(1, "GET", "t.parquet?", 1, Trouble::Delay(Duration::from_secs(2)));
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| program(&s3.environment(), &["-c", "SELECT sum(k) FROM 's3://lake/t.parquet'"]));
        while s3.count("GET", "t.parquet?") == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut other = PARQUET.clone();
        other[1000] ^= 1;
        s3.put("lake", "t.parquet", other);
        run.join().unwrap()
    });
    assert_eq!(run.code, 4, "{run:?}");
    assert!(
        run.err.contains("s3://lake/t.parquet changed while it was read"),
        "{}",
        run.err
    );
    assert!(run.err.contains("run the statement again"), "{}", run.err);
    s3.calm();
    s3.inject_after(1, "GET", "t.parquet?", 100, Trouble::Status(404, "NoSuchKey"));
    let run = program(&s3.environment(), &["-c", "SELECT sum(k) FROM 's3://lake/t.parquet'"]);
    assert!(
        run.err.contains("s3://lake/t.parquet: there is no such file"),
        "{}",
        run.err
    );
}

#[test]
fn a_query_that_waits_for_a_server_can_be_stopped() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t.parquet", &*PARQUET);
    for skip in [0, 1] {
        s3.inject_after(skip, "GET", "t.parquet?", 100, Trouble::Delay(Duration::from_secs(20)));
        let begin = Instant::now();
        let sql = "SELECT sum(k) FROM 's3://lake/t.parquet'";
        let run = program(&s3.environment(), &["--timeout", "1s", "-c", sql]);
        assert!(run.err.contains("took longer than 1s"), "{run:?}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        s3.calm();
    }
}

#[test]
fn many_footers_are_read_at_the_same_time() {
    let s3 = S3Server::start(&["lake"]);
    let folder = tempfile::tempdir().unwrap();
    let sql = format!("COPY (SELECT 7 AS x) TO '{}/one.parquet'", folder.path().display());
    assert_eq!(outcome(lakebed(&folder).args(["-c", &sql])).code, 0);
    let one = std::fs::read(folder.path().join("one.parquet")).unwrap();
    for i in 0..100 {
        s3.put("lake", &format!("many/{i}.parquet"), &one);
    }
    s3.inject("GET", "many/", 100, Trouble::Delay(Duration::from_millis(300)));
    let begin = Instant::now();
    assert_eq!(
        rows(&s3.environment(), "SELECT count(*) FROM 's3://lake/many/'"),
        ["100"]
    );
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "one by one it takes 30 s: {:?}",
        begin.elapsed()
    );
    assert_eq!(gets(&s3.log()).len(), 100);
    let listings: Vec<String> = s3
        .log()
        .iter()
        .filter(|e| e.is_listing())
        .map(|e| e.query.clone())
        .collect();
    let of_files = listings.iter().filter(|q| !q.contains("_txn")).count();
    assert_eq!(of_files, 1, "one listing of the files: {listings:?}");
}

#[test]
fn text_is_read_ahead_in_large_requests() {
    let s3 = S3Server::start(&["lake"]);
    let line = |i: usize| format!("{i},\"a \"\"quoted\"\" text,\nof two lines {i}\",{}\n", i * 3);
    let csv: String = (0..400_000).map(line).collect();
    let json: String = (0..400_000)
        .map(|i| format!("{{\"a\": {i}, \"b\": \"text of {i}\"}}\n"))
        .collect();
    s3.put("lake", "t.csv", &csv);
    s3.put("lake", "t.json", &json);
    let columns = "read_csv('s3://lake/t.csv', header => false)";
    let sum: usize = (0..400_000).sum();
    for (name, size, sql) in [
        (
            "t.csv",
            csv.len(),
            format!("SELECT sum(column0), sum(column2), count(column1) FROM {columns}"),
        ),
        (
            "t.json",
            json.len(),
            "SELECT sum(a), sum(a) * 3, count(b) FROM 's3://lake/t.json'".to_string(),
        ),
    ] {
        s3.clear_log();
        assert_eq!(
            rows(&s3.environment(), &sql),
            [format!("{sum},{},400000", sum * 3)],
            "{name}"
        );
        let log = s3.log();
        let (requests, bytes) = (gets(&log).len(), gets(&log).iter().map(|e| e.sent).sum::<usize>());
        // The sample for the schema is read besides.
        assert!(requests <= size.div_ceil(8 << 20) + 8, "{name}: {:?}", gets(&log));
        assert!(bytes < size + (8 << 20), "{name}: {bytes} of {size}");
    }
}

#[test]
fn what_a_query_reads_twice_is_fetched_once() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t.parquet", &*PARQUET);
    let twice = "SELECT count(*) FROM 's3://lake/t.parquet' a JOIN 's3://lake/t.parquet' b ON a.k = b.k";
    let run = program(
        &s3.environment(),
        &["--memory", "1GB", "-c", &format!("{twice}; {twice}")],
    );
    assert_eq!(run.out.matches(&ROWS.to_string()).count(), 2, "{run:?}");
    let requests = gets(&s3.log()).len();
    assert!(requests <= 1 + GROUPS, "{requests}");
    s3.clear_log();
    // Another statement of the session finds the columns that earlier ones read, and it is told.
    let (wide, narrow) = ("SELECT sum(c0), sum(c1), sum(c2) FROM t", "SELECT max(c1) FROM t");
    let both = format!("{wide}; {narrow}").replace("FROM t", "FROM 's3://lake/t.parquet'");
    let run = program(&s3.environment(), &["--memory", "1GB", "--stats", "-c", &both]);
    assert_eq!(run.err.matches("MB from cache").count(), 1, "{}", run.err);
    assert!(run.err.contains("0 B fetched, "), "{}", run.err);
    let requests = gets(&s3.log()).len();
    assert!(requests <= 1 + GROUPS, "{requests}");
    s3.clear_log();
    // Without memory to keep it in, it is fetched again.
    let twice = twice.replace("count(*)", "count(a.c0 + a.c1 + a.c2 + b.c0 + b.c1 + b.c2)");
    let run = program(&s3.environment(), &["--memory", "4MB", "-c", &twice]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(gets(&s3.log()).len() > 1 + GROUPS);
}

/// Puts the file into the bucket as one that was changed so many seconds ago.
fn put_old(s3: &S3Server, key: &str, content: &[u8], seconds: u64) {
    s3.put("lake", key, content);
    let file = std::fs::File::options().write(true).open(s3.path("lake", key)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

#[test]
fn without_tags_in_listings_files_are_kept_once_they_are_old() {
    let s3 = S3Server::start(&["lake"]);
    s3.list_without_tags();
    let statement = "SELECT count(*), sum(k), count(c1) FROM 's3://lake/t/'";
    let ask = |arguments: &[&str], times: usize| {
        s3.clear_log();
        let sql = vec![statement; times].join("; ");
        let run = program(
            &s3.environment(),
            &[arguments, &["--memory", "1GB", "-c", &sql]].concat(),
        );
        assert_eq!(run.code, 0, "{run:?}");
        (run.out.lines().last().unwrap().to_string(), gets(&s3.log()).len())
    };
    // In memory, within a process …
    put_old(&s3, "t/a.parquet", &PARQUET, 10);
    let ((_, once), (_, twice)) = (ask(&[], 1), ask(&[], 2));
    assert!(once > 1 && twice >= 2 * once - 1, "it may change yet: {once} {twice}");
    put_old(&s3, "t/a.parquet", &PARQUET, 300);
    assert_eq!(ask(&[], 2).1, once, "the second statement asks for nothing");
    // … and on disk, from one process to the next.
    let folder = tempfile::tempdir().unwrap();
    let setting = |name: &str| format!("{name}={}", folder.path().join(name).display());
    let settings = [setting("data_cache_dir"), setting("metadata_cache_dir")];
    let kept = ["--set", &settings[0], "--set", &settings[1]];
    let (first, second) = (ask(&kept, 1), ask(&kept, 1));
    assert_eq!((first.1, second.1), (once, 0), "{first:?} {second:?}");
    // A file of the same size that was changed at another time is another file.
    put_old(&s3, "t/a.parquet", &PARQUET, 200);
    assert_eq!((ask(&kept, 1).1, ask(&kept, 1).1), (once, 0));
    // So is one of another size.
    put_old(&s3, "t/a.parquet", &parquet(GROUP, GROUP), 200);
    let changed = ask(&kept, 1);
    assert!(
        changed.0.starts_with(&format!("{GROUP},")) && changed.1 > 0,
        "{changed:?}"
    );
}

#[test]
fn footers_are_kept_on_disk_when_asked_for() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t.parquet", &*PARQUET);
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("footers");
    let setting = format!("metadata_cache_dir={}", cache.display());
    let ask = || {
        s3.clear_log();
        let sql = "SELECT count(*) FROM 's3://lake/t.parquet'";
        let run = program(&s3.environment(), &["--set", &setting, "-c", sql]);
        assert_eq!(run.out.lines().nth(1), Some(ROWS.to_string().as_str()), "{run:?}");
        gets(&s3.log()).len()
    };
    assert_eq!((ask(), ask(), ask()), (1, 0, 0));
    let kept: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path()).collect();
    let mut bytes = std::fs::read(&kept[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&kept[0], bytes).unwrap();
    assert_eq!((ask(), ask()), (1, 0), "what is damaged is fetched again");
    // A changed file is another file.
    let mut other = PARQUET.clone();
    other[1000] ^= 1;
    s3.put("lake", "t.parquet", &other);
    assert_eq!((ask(), ask()), (1, 0));
}

/// All files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|e| e.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() {
        true => files_below(&path),
        false => vec![path],
    };
    entries.flat_map(below).collect()
}

#[test]
fn what_was_read_is_kept_on_disk_when_asked_for() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t.parquet", &*PARQUET);
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("data");
    let setting = format!("data_cache_dir={}", cache.display());
    let ask = |columns: &str| {
        let sql = format!("SELECT {columns} FROM 's3://lake/t.parquet'");
        let run = program(&s3.environment(), &["--set", &setting, "--stats", "-c", &sql]);
        assert_eq!(run.code, 0, "{run:?}");
        run
    };
    let all = "sum(k), max(c0), max(c1), max(c2)";
    let first = ask(all);
    assert!(
        first.err.contains("MB fetched") && !first.err.contains("from cache"),
        "{}",
        first.err
    );
    for columns in [all, "sum(k), min(c2)", "count(c1)"] {
        s3.clear_log();
        let run = ask(columns);
        assert_eq!(gets(&s3.log()).len(), 0, "{columns}");
        assert!(
            run.err.contains("0 B fetched, ") && run.err.contains(" from cache"),
            "{}",
            run.err
        );
    }
    assert_eq!(ask(all).out, first.out);
    // For the owner alone, and nothing tells where it is from.
    let user = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let kept = files_below(&cache);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert!(
        mode(&user) == 0o700
            && kept
                .iter()
                .all(|f| mode(f) == 0o600 && mode(f.parent().unwrap()) == 0o700)
    );
    let secrets = s3.environment().into_iter().filter(|(name, _)| name.contains("KEY"));
    for secret in secrets.map(|(_, value)| value).chain(["lake/t.parquet".to_string()]) {
        let names = kept.iter().any(|f| f.to_string_lossy().contains(&secret));
        let has = |f: &PathBuf| {
            let bytes = std::fs::read(f).unwrap();
            bytes.windows(secret.len()).any(|w| w == secret.as_bytes())
        };
        assert!(!names && !kept.iter().any(has), "{secret}");
    }
    // What is damaged, cut short or gone is fetched again, and then kept again.
    for (i, file) in kept.iter().enumerate() {
        let bytes = std::fs::read(file).unwrap();
        match i % 3 {
            0 => std::fs::remove_file(file).unwrap(),
            1 => std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap(),
            _ => std::fs::write(file, bytes.iter().map(|b| b ^ 1).collect::<Vec<_>>()).unwrap(),
        }
    }
    s3.clear_log();
    assert_eq!(ask(all).out, first.out);
    assert!(gets(&s3.log()).len() > 1);
    s3.clear_log();
    assert_eq!(ask(all).out, first.out);
    assert_eq!(gets(&s3.log()).len(), 0);
    // A folder that others can look into is not used.
    std::fs::set_permissions(&user, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!ask(all).err.contains("from cache"));
    std::fs::set_permissions(&user, std::fs::Permissions::from_mode(0o700)).unwrap();
    // Another version is another file.
    let mut other = PARQUET.clone();
    other[1000] ^= 1;
    s3.put("lake", "t.parquet", &other);
    assert!(!ask("count(c5)").err.contains("from cache"));
}

#[test]
fn processes_share_a_cache_on_disk_within_its_size() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t.parquet", &*PARQUET);
    let folder = tempfile::tempdir().unwrap();
    let directory = format!("data_cache_dir={}", folder.path().display());
    let size = PARQUET.len() / 3;
    let size_setting = format!("data_cache_size={size}");
    let expected = rows(
        &s3.environment(),
        "SELECT max(c0), max(c5), max(c9) FROM 's3://lake/t.parquet'",
    );
    let ask = || {
        let [first, second] =
            ["max(c0), max(c5), max(c9)", "max(c1), max(c2)"].map(|c| format!("SELECT {c} FROM 's3://lake/t.parquet'"));
        let sql = format!("{first}; {second}");
        let run = program(
            &s3.environment(),
            &["--set", &directory, "--set", &size_setting, "-c", &sql],
        );
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(run.out.lines().nth(1), Some(expected[0].as_str()));
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(ask))));
    ask();
    let kept: u64 = files_below(folder.path())
        .iter()
        .map(|f| f.metadata().unwrap().len())
        .sum();
    assert!(kept > 0 && kept <= size as u64 * 5 / 4, "{kept} of {size}");
}
