//! Locations in object stores, read through the program and through the library.

use crate::program::{Run, lakebed, outcome};
use crate::servers::Trouble;
use crate::servers::gcs::GcsServer;
use crate::servers::s3::S3Server;

/// Names as Hive writes them, and worse.
const STRANGE: &[&str] = &[
    "p=a b%2Fc%3Ad%3De%25/f.csv",
    "p=ü+é&x/f.csv",
    "p='#'/a[1].csv",
    "p=__HIVE_DEFAULT_PARTITION__/~f.csv",
];

fn query(environment: &[(String, String)], sql: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let mut command = lakebed(&folder);
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("AWS_") || n.starts_with("GOOGLE_")) {
        command.env_remove(name);
    }
    outcome(
        command
            .envs(environment.iter().cloned())
            .args(["--format", "csv", "-c", sql]),
    )
}

fn rows(environment: &[(String, String)], sql: &str) -> Vec<String> {
    let run = query(environment, sql);
    assert_eq!(run.code, 0, "{sql}\n{run:?}");
    run.out.lines().skip(1).map(str::to_string).collect()
}

/// What holds for every kind of bucket.
fn strange_names_survive(scheme: &str, environment: &[(String, String)]) {
    let sql = format!("SELECT x FROM '{scheme}://lake/strange/' ORDER BY x");
    let all: Vec<String> = (0..STRANGE.len()).map(|i| i.to_string()).collect();
    assert_eq!(rows(environment, &sql), all);
    for (i, name) in STRANGE.iter().enumerate().filter(|(_, n)| !n.contains('[')) {
        let name = name.replace('\'', "''");
        let sql = format!("SELECT x FROM '{scheme}://lake/strange/{name}'");
        assert_eq!(rows(environment, &sql), [i.to_string()], "{sql}");
    }
    let sql = format!("SELECT x FROM '{scheme}://lake/strange/p=*/f.csv' ORDER BY x");
    assert_eq!(rows(environment, &sql), ["0", "1"]);
}

#[test]
fn s3_is_listed_and_read() {
    let s3 = S3Server::start(&["lake"]);
    for (i, name) in STRANGE.iter().enumerate() {
        s3.put("lake", &format!("strange/{name}"), format!("x\n{i}\n"));
    }
    strange_names_survive("s3", &s3.environment());
    strange_names_survive("s3a", &s3.environment());
    assert!(s3.log().iter().all(|e| e.status < 500), "{:?}", s3.log());
}

#[test]
fn gcs_is_listed_and_read() {
    let gcs = GcsServer::start(&["lake"]);
    gcs.set_page(2);
    for (i, name) in STRANGE.iter().enumerate() {
        gcs.put("lake", &format!("strange/{name}"), format!("x\n{i}\n"));
    }
    strange_names_survive("gs", &gcs.environment());
    strange_names_survive("gcs", &gcs.environment());
    assert!(gcs.log().iter().all(|e| e.status < 500), "{:?}", gcs.log());
}

#[test]
fn what_is_missing_in_a_bucket_is_named_with_its_neighbour() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "trips/january.csv", "x\n1\n");
    let run = query(&s3.environment(), "SELECT * FROM 's3://lake/trips/januray.csv'");
    assert!(
        run.err
            .contains("did you mean \"january.csv\" instead of \"januray.csv\" in s3://lake/trips?"),
        "{run:?}"
    );
    let run = query(&s3.environment(), "SELECT * FROM 's3://lake/tripz/*.csv'");
    assert!(
        run.err
            .contains("did you mean \"trips\" instead of \"tripz\" in s3://lake?"),
        "{run:?}"
    );
}

#[test]
fn a_busy_server_is_asked_again() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t/a.csv", "x\n1\n");
    s3.inject("GET", "list-type", 2, Trouble::Status(503, "SlowDown"));
    s3.inject("GET", "t/a.csv", 1, Trouble::Status(500, "InternalError"));
    assert_eq!(rows(&s3.environment(), "SELECT x FROM 's3://lake/t/'"), ["1"]);
    assert!(s3.is_trouble_over());
}
