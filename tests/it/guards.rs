//! Guard rails, and `whoami`.

use crate::program::{Run, in_warehouse, lakebed, outcome};
use crate::servers::gcs::GcsServer;
use crate::servers::s3::{KEY, S3Server};
use tempfile::TempDir;

/// A folder with a table `t` (x, y) in partitions p=1 and p=2, and a file outside of the warehouse.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let setup = "CREATE TABLE t WITH (partitioned_by = ARRAY['p']) AS \
                     SELECT x, CAST(random() AS varchar) AS y, x % 2 + 1 AS p FROM UNNEST(sequence(1, 20000)) AS s(x)";
        assert_eq!(world.run(&[], setup).code, 0);
        std::fs::write(world.folder.path().join("a.csv"), "x\n1\n").unwrap();
        world
    }

    fn file(&self) -> String {
        self.folder.path().join("a.csv").display().to_string()
    }

    fn run(&self, flags: &[&str], sql: &str) -> Run {
        let mut command = in_warehouse(&self.folder.path().join("warehouse"));
        outcome(command.args(["--format", "csv"]).args(flags).args(["-c", sql]))
    }

    fn runs(&self, flags: &[&str], sql: &str) {
        let run = self.run(flags, sql);
        assert_eq!(run.code, 0, "{flags:?} {sql}\n{run:?}");
    }

    fn refuses(&self, flags: &[&str], sql: &str, part: &str) {
        let run = self.run(flags, sql);
        assert_eq!(run.code, 6, "{flags:?} {sql}\n{run:?}");
        assert!(run.err.contains(part), "expected {part:?} in\n{}", run.err);
    }
}

#[test]
fn read_only_sessions_write_nothing() {
    let world = World::new();
    let (flags, file) = (["--read-only"], world.file());
    world.runs(
        &flags,
        "SELECT count(*) FROM t; CREATE TEMPORARY VIEW v AS SELECT 1 AS x; SELECT * FROM v; SHOW TABLES",
    );
    for sql in [
        "INSERT INTO t VALUES (1, 'a', 1)",
        "CREATE TABLE u AS SELECT 1 AS x",
        "CREATE TABLE u (x int)",
        "CREATE VIEW u AS SELECT 1 AS x",
        "CREATE DATABASE d",
        "DROP TABLE t",
        "MSCK REPAIR TABLE t",
        "ALTER TABLE t DROP PARTITION (p = 1)",
        "PREPARE i FROM INSERT INTO t VALUES (1, 'a', 1); EXECUTE i",
    ] {
        world.refuses(&flags, sql, "the session is for reading only");
    }
    world.refuses(
        &flags,
        &format!("COPY (SELECT 1 AS x) TO '{file}'"),
        "writing files is refused",
    );
    for action in ["gc", "list"] {
        let run = outcome(in_warehouse(&world.folder.path().join("warehouse")).args(["--read-only", "txn", action]));
        assert_eq!(run.code, if action == "gc" { 6 } else { 0 }, "{run:?}");
    }
    world.refuses(&flags, "SET read_only = false", "can only become stricter");
    world.refuses(
        &flags,
        "RESET read_only; RESET; DROP TABLE t",
        "the session is for reading only",
    );
    world.runs(
        &[],
        "SET read_only = true; SET read_only = false; CREATE VIEW u AS SELECT 1 AS x",
    );
}

#[test]
fn only_allowed_locations_are_read_and_written() {
    let world = World::new();
    let inside = world.folder.path().join("in");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(inside.join("b.csv"), "x\n1\n").unwrap();
    std::os::unix::fs::symlink(world.file(), inside.join("link.csv")).unwrap();
    let inside = inside.display().to_string();
    let flags = ["--allow", &inside];
    world.runs(&flags, &format!("SELECT * FROM '{inside}/b.csv'; SELECT count(*) FROM t; CREATE TEMPORARY TABLE u AS SELECT 1 AS x; SELECT * FROM u"));
    world.runs(&flags, &format!("COPY (SELECT 1 AS x) TO '{inside}/c.csv'"));
    let outside = "outside of the locations that are allowed";
    world.refuses(&flags, &format!("SELECT * FROM '{}'", world.file()), outside);
    world.refuses(&flags, &format!("SELECT * FROM '{inside}/../a.csv'"), outside);
    world.refuses(&flags, &format!("SELECT * FROM '{inside}/link.csv'"), outside);
    world.refuses(&flags, &format!("SELECT * FROM '{inside}/*.csv'"), outside);
    world.refuses(
        &flags,
        &format!("COPY (SELECT 1 AS x) TO '{}.copy'", world.file()),
        outside,
    );
    world.refuses(&flags, "SELECT * FROM 's3://bucket/x.csv'", outside);
    world.refuses(&flags, "SELECT * FROM 'https://example.com/x.csv'", outside);
    world.refuses(&flags, "SET allow = ''", "can only become stricter");
    world.refuses(&flags, "SET allow = '/'", "can only become stricter");
    world.runs(&flags, &format!("SET allow = '{inside}/sub'"));
}

#[test]
fn locations_that_are_not_allowed_are_not_declared() {
    let world = World::new();
    let inside = world.folder.path().join("in").display().to_string();
    let flags = ["--allow", &inside];
    world.runs(
        &flags,
        &format!(
            "CREATE EXTERNAL TABLE e (x INT) PARTITIONED BY (p INT) LOCATION '{inside}/e/';
             ALTER TABLE e ADD PARTITION (p = 1) LOCATION '{inside}/p1/'"
        ),
    );
    for declaration in [
        "CREATE EXTERNAL TABLE f (x INT) LOCATION 's3://elsewhere/f/'",
        "CREATE EXTERNAL TABLE f LIKE e LOCATION 's3://elsewhere/f/'",
        "CREATE DATABASE d LOCATION 's3://elsewhere/d/'",
        "ALTER DATABASE default SET LOCATION '/elsewhere'",
        "ALTER TABLE e SET LOCATION '/elsewhere'",
        "ALTER TABLE e ADD PARTITION (p = 2) LOCATION 's3://elsewhere/p2/'",
        "ALTER TABLE e PARTITION (p = 1) SET LOCATION '/elsewhere/p1'",
        "CALL system.register_partition('default', 'e', ARRAY['p'], ARRAY['3'], 's3://elsewhere/p3/')",
        "CREATE EXTERNAL TABLE f (x INT) PARTITIONED BY (p STRING) LOCATION 'IN/f/' TBLPROPERTIES (
            'projection.enabled' = 'true', 'projection.p.type' = 'injected', 'storage.location.template' = 's3://elsewhere/${p}/')",
    ] {
        let declaration = declaration.replace("IN/", &format!("{inside}/"));
        world.refuses(&flags, &declaration, "outside of the locations that are allowed");
    }
}

#[test]
fn nothing_is_asked_of_a_bucket_that_is_not_allowed() {
    let s3 = S3Server::start(&["lake", "secret"]);
    s3.put("lake", "data/a.csv", "x\n1\n");
    s3.put("lake", "database/a.csv", "x\n1\n");
    let read = |sql: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = lakebed(&folder);
        outcome(
            command
                .envs(s3.environment())
                .args(["--allow", "s3://lake/data", "--format", "csv", "-c", sql]),
        )
    };
    assert_eq!(read("SELECT * FROM 's3a://lake/data/'").out, "x\n1\n");
    s3.clear_log();
    for location in ["s3://lake/database/", "s3://secret/a.csv", "s3://lake/*/a.csv"] {
        let run = read(&format!("SELECT * FROM '{location}'"));
        assert_eq!(run.code, 6, "{run:?}");
    }
    assert!(s3.log().is_empty(), "{:?}", s3.log());
}

#[test]
fn a_statement_reads_no_more_than_it_may() {
    let world = World::new();
    let all = world.run(&["--stats"], "SELECT sum(x), max(y) FROM t");
    assert_eq!(all.code, 0, "{all:?}");
    world.refuses(
        &["--max-bytes", "20KB"],
        "SELECT max(y) FROM t",
        "the statement would read",
    );
    world.refuses(
        &["--max-bytes", "20KB"],
        "CREATE TABLE u AS SELECT y FROM t",
        "the statement would read",
    );
    world.runs(&["--max-bytes", "1MB"], "SELECT max(y) FROM t");
    // What is not read does not count: other partitions, other columns.
    world.runs(&["--max-bytes", "20KB"], "SELECT count(*) FROM t");
    world.runs(&["--max-bytes", "20KB"], "EXPLAIN SELECT max(y) FROM t");
    world.refuses(
        &["--max-bytes", "20KB"],
        "SET max_bytes = '1GB'",
        "can only become stricter",
    );
    world.runs(&["--max-bytes", "20KB"], "SET max_bytes = '10KB'");
}

#[test]
fn tables_in_partitions_want_a_condition() {
    let world = World::new();
    let flags = ["--require-partition-filter"];
    world.refuses(
        &flags,
        "SELECT count(*) FROM t",
        "default.t is read without a condition on a partition key",
    );
    world.refuses(&flags, "SELECT count(*) FROM t WHERE x > 3", "add a condition on p");
    world.refuses(
        &flags,
        "SELECT count(*) FROM t AS a JOIN t AS b ON a.x = b.x WHERE a.p = 1",
        "condition",
    );
    world.runs(&flags, "SELECT count(*) FROM t WHERE p = 1");
    world.runs(
        &flags,
        "SELECT count(*) FROM (SELECT * FROM t) WHERE p IN (1, 2) AND x > 3",
    );
    world.runs(&flags, &format!("SELECT * FROM '{}'", world.file()));
    let folder = world.folder.path().join("warehouse/t").display().to_string();
    if std::path::Path::new(&folder).exists() {
        world.refuses(
            &flags,
            &format!("SELECT count(*) FROM '{folder}'"),
            "add a condition on p",
        );
    }
}

#[test]
fn whoami_tells_where_credentials_come_from_and_no_secret() {
    let s3 = S3Server::start(&["lake"]);
    let gcs = GcsServer::start(&["lake"]);
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let json = format!(
        r#"{{"Version":1,"AccessKeyId":"{KEY}","SecretAccessKey":"canary","SessionToken":"canary","Expiration":"2099-01-02T03:04:05Z"}}"#
    );
    let process = home.path().join("keys");
    std::fs::write(&process, json).unwrap();
    let config = format!(
        "[profile dev]\nregion = eu-west-1\ncredential_process = cat {}\n[profile bad]\ncredential_process = false\n",
        process.display()
    );
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    let whoami = |location: &str, environment: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = lakebed(&folder);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home.path());
        outcome(command.envs(environment.iter().copied()).args(["whoami", location]))
    };
    let s3_at = |profile| {
        [
            ("AWS_ENDPOINT_URL", s3.url()),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_PROFILE", profile),
        ]
    };
    let of_profile = |profile: &str| {
        let variables = s3_at(profile.to_string());
        let variables: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
        whoami("s3://lake/x/", &variables)
    };
    let run = of_profile("dev");
    assert_eq!(run.code, 0, "{run:?}");
    let config = home.path().join(".aws/config");
    for line in [
        "location     s3://lake/x".to_string(),
        "store        S3".into(),
        format!("endpoint     {}", s3.url()),
        "region       eu-west-1".into(),
        format!("credentials  profile dev in {}", config.display()),
        "access key   …ESTS".into(),
        "expires      2099-01-02 03:04:05 UTC".into(),
    ] {
        assert!(run.out.lines().any(|l| l == line), "expected {line:?} in\n{}", run.out);
    }
    assert!(!run.out.contains("canary") && !run.out.contains(KEY), "{}", run.out);
    let run = of_profile("bad");
    assert_eq!(run.code, 4, "{run:?}");
    assert!(
        run.out.contains("profile bad in ") && run.err.contains("failed with exit status: 1"),
        "{run:?}"
    );
    let run = whoami(
        "s3://lake",
        &[
            ("AWS_SKIP_SIGNATURE", "true"),
            ("AWS_REGION", "r"),
            ("AWS_ENDPOINT_URL", "https://h"),
        ],
    );
    assert!(run.out.contains("credentials  anonymous"), "{run:?}");
    // Without a region anywhere the bucket is asked for its own.
    let run = whoami(
        "s3://lake",
        &[
            ("AWS_SKIP_SIGNATURE", "true"),
            ("AWS_ENDPOINT_URL", &s3.url()),
            ("AWS_ALLOW_HTTP", "1"),
        ],
    );
    assert!(run.out.contains("region       eu-north-1"), "{run:?}");
    let url = gcs.url();
    let run = whoami(
        "gs://lake",
        &[
            ("GOOGLE_BASE_URL", &url),
            ("GOOGLE_ALLOW_HTTP", "1"),
            ("GOOGLE_BEARER_TOKEN", "canary"),
        ],
    );
    assert!(
        run.out.contains("credentials  a token in GOOGLE_BEARER_TOKEN") && !run.out.contains("canary"),
        "{run:?}"
    );
    let run = whoami(
        "az://c/x",
        &[
            ("AZURE_STORAGE_ACCOUNT_NAME", "acc"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "Y2FuYXJ5"),
        ],
    );
    assert!(
        run.out.contains("endpoint     https://acc.blob.core.windows.net"),
        "{run:?}"
    );
    assert!(
        run.out.contains("credentials  an account key in the environment"),
        "{run:?}"
    );
    let run = whoami("data/x.csv", &[]);
    assert!(run.out.contains("store        this machine's files"), "{run:?}");
    assert!(
        s3.log().iter().all(|e| e.method == "HEAD" && e.path == "lake"),
        "only for its region: {:?}",
        s3.log()
    );
    assert!(gcs.log().is_empty());
}
