//! Locations in object stores, read through the program and through the library.

use crate::program::{Run, lakebed, outcome};
use crate::servers::Trouble;
use crate::servers::azure::AzureServer;
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
    for (name, _) in
        std::env::vars().filter(|(n, _)| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| n.starts_with(start)))
    {
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
fn azure_is_listed_and_read() {
    let azure = AzureServer::start(&["lake"]);
    azure.set_page(2);
    for (i, name) in STRANGE.iter().enumerate() {
        azure.put("lake", &format!("strange/{name}"), format!("x\n{i}\n"));
    }
    strange_names_survive("az", &azure.environment());
    let refused: Vec<_> = azure
        .log()
        .into_iter()
        .filter(|e| e.status >= 400 && e.status != 404)
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
    let url = format!(
        "abfss://lake@{}.dfs.core.windows.net/strange/",
        crate::servers::azure::ACCOUNT
    );
    assert_eq!(
        rows(&azure.environment(), &format!("SELECT count(*) FROM '{url}'")),
        ["4"]
    );
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
fn requests_are_anonymous_or_paid_for_when_that_is_wanted() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t/a.csv", "x\n1\n");
    let has = |name: &str| {
        s3.log()
            .iter()
            .map(|e| e.headers.contains_key(name))
            .collect::<Vec<bool>>()
    };
    assert_eq!(
        rows(
            &s3.environment(),
            "SET s3_requester_pays = true; SELECT x FROM 's3://lake/t/'"
        ),
        ["1"]
    );
    let (signed, paid) = (has("authorization"), has("x-amz-request-payer"));
    assert!(
        !signed.is_empty() && signed.iter().all(|s| *s) && paid.iter().all(|p| *p),
        "{:?}",
        s3.log()
    );
    s3.clear_log();
    let run = query(
        &s3.environment(),
        "SET s3_anonymous = true; SELECT x FROM 's3://lake/t/'",
    );
    assert_eq!(run.code, 4, "this server wants signatures: {run:?}");
    assert!(
        !has("authorization").is_empty() && has("authorization").iter().all(|s| !s),
        "{:?}",
        s3.log()
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

/// Every file below `testdata/taxi`, by its name from there.
fn taxi_files() -> Vec<(String, Vec<u8>)> {
    let (mut files, mut folders) = (vec![], vec![std::path::PathBuf::from("testdata/taxi")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((
                    path.strip_prefix("testdata").unwrap().to_str().unwrap().to_string(),
                    std::fs::read(path).unwrap(),
                ));
            }
        }
    }
    files
}

/// The job of `sql/taxi_revenue.sql` with the variables that say where its files are, and whatever else.
fn taxi_job(environment: &[(String, String)], variables: &[(&str, String)], flags: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let mut command = lakebed(&folder);
    command
        .envs(environment.iter().cloned())
        .args(["--format", "csv", "-f", "sql/taxi_revenue.sql"])
        .args(flags);
    for (name, value) in variables {
        command.arg("-v").arg(format!("{name}={value}"));
    }
    outcome(&mut command)
}

/// Variables for inputs below one location and the output below another.
fn places(inputs: &str, output: &str) -> Vec<(&'static str, String)> {
    vec![
        ("input_green", format!("{inputs}/taxi/green/*/*/*.parquet")),
        ("input_yellow", format!("{inputs}/taxi/yellow/*/*/*.parquet")),
        ("input_zones", format!("{inputs}/taxi/zone/taxi_zone_lookup.csv")),
        ("output", format!("{output}/revenue")),
    ]
}

#[test]
fn the_taxi_job_runs_on_buckets_by_changing_its_variables() {
    let (s3, gcs) = (S3Server::start(&["lake"]), GcsServer::start(&["lake"]));
    let azure = AzureServer::start(&["lake"]);
    for (name, content) in taxi_files() {
        s3.put("lake", &name, &content);
        gcs.put("lake", &name, &content);
        azure.put("lake", &name, &content);
    }
    let all = [s3.environment(), gcs.environment(), azure.environment()].concat();
    let local = tempfile::tempdir().unwrap();
    let expected = taxi_job(&[], &places("testdata", local.path().to_str().unwrap()), &[]);
    assert_eq!(expected.code, 0, "{}", expected.err);
    for (inputs, output) in [
        ("s3://lake", "s3://lake"),
        ("gs://lake", "gs://lake"),
        ("s3://lake", "gs://lake/from_s3"),
        ("gs://lake", "s3a://lake/from_gs"),
        ("az://lake", "az://lake"),
        ("s3://lake", "az://lake/from_s3"),
    ] {
        let variables = places(inputs, output);
        let run = taxi_job(&all, &variables, &[]);
        assert_eq!(
            (run.code, &run.out),
            (0, &expected.out),
            "{inputs} → {output}: {}",
            run.err
        );
        // What was written is read back, equal to what a disk has.
        let sums = |place: &str| {
            format!("SELECT count(*), round(sum(revenue_monthly_total_amount), 2) FROM '{place}/revenue/*.parquet'")
        };
        assert_eq!(
            rows(&all, &sums(output)),
            rows(&all, &sums(local.path().to_str().unwrap()))
        );
        // A second run into the same place is refused and changes nothing.
        let before = (s3.keys("lake"), gcs.keys("lake"), azure.keys("lake"));
        let again = taxi_job(&all, &variables, &[]);
        assert_ne!(again.code, 0, "{again:?}");
        assert_eq!((s3.keys("lake"), gcs.keys("lake"), azure.keys("lake")), before);
    }
    assert_eq!((s3.open_uploads(), gcs.open_uploads()), (0, 0));
    let foreign = |key: &&String| key.contains("revenue/") && !key.ends_with(".parquet") && !key.contains("revenue/_");
    let keys = [s3.keys("lake"), gcs.keys("lake"), azure.keys("lake")].concat();
    assert_eq!(keys.iter().filter(foreign).count(), 0, "{keys:?}");
}

#[test]
fn the_catalog_and_the_job_itself_can_be_in_a_bucket() {
    let s3 = S3Server::start(&["lake"]);
    for (name, content) in taxi_files() {
        s3.put("lake", &name, &content);
    }
    s3.put("lake", "jobs/taxi.sql", std::fs::read("sql/taxi_revenue.sql").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("lakebed"));
        command.current_dir(folder.path()).env_clear().envs(s3.environment());
        outcome(
            command
                .args(["--no-init", "--warehouse", "s3://lake/warehouse", "--format", "csv"])
                .args(arguments),
        )
    };
    let mut arguments = vec!["-f".to_string(), "s3://lake/jobs/taxi.sql".into()];
    for (name, value) in places("s3://lake", "s3://lake/out") {
        arguments.extend(["-v".into(), format!("{name}={value}")]);
    }
    let job = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(job.code, 0, "{}", job.err);
    let run = run(&["-c", "SELECT count(*) > 0 AS some FROM revenue"]);
    assert_eq!(run.out, "some\ntrue\n", "{}", run.err);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is left on the disk"
    );
}

#[test]
fn what_stores_refuse_is_said_in_words() {
    let s3 = S3Server::start(&["lake"]);
    s3.put("lake", "t/a.csv", "x\n1\n");
    let fails = |more: &[(&str, &str)], sql: &str| {
        let mut environment = s3.environment();
        environment.extend(more.iter().map(|(n, v)| (n.to_string(), v.to_string())));
        let run = query(&environment, &format!("SET request_retries = 1; {sql}"));
        assert_eq!(run.code, 4, "{run:?}");
        run.err
    };
    let read = "SELECT * FROM 's3://lake/t/'";
    for (status, code, what) in [
        (403, "AccessDenied", "access is denied"),
        (403, "InvalidAccessKeyId", "does not know the access key"),
        (403, "RequestTimeTooSkewed", "the clock of this machine differs"),
        (400, "ExpiredToken", "the session token has expired"),
        (301, "PermanentRedirect", "the bucket is in another region"),
        (400, "AuthorizationHeaderMalformed", "the bucket is in another region"),
        (503, "SlowDown", "the store is too busy and stayed so"),
    ] {
        s3.inject("GET", "list-type", 9, Trouble::Status(status, code));
        let said = fails(&[], read);
        assert!(
            said.contains(&format!("error: s3://lake/t/: {what}")) || said.contains(what),
            "{code}: {said}"
        );
        assert!(said.contains("hint: "), "{said}");
        s3.calm();
    }
    for (sql, what) in [
        ("SELECT * FROM 's3://nowhere/t/'", "the bucket does not exist"),
        ("SELECT * FROM 's3://nowhere/t/a.csv'", "the bucket does not exist"),
        (
            "CREATE TABLE u WITH (external_location = 's3://nowhere/t') AS SELECT 1 AS x",
            "the bucket does not exist",
        ),
    ] {
        let said = fails(&[], sql);
        assert!(said.contains(what), "{said}");
    }
    let elsewhere = |url: &str| fails(&[("AWS_ENDPOINT_URL", url)], read);
    let said = elsewhere("http://127.0.0.1:1");
    assert!(
        said.contains("the connection was refused (http://127.0.0.1:1)"),
        "{said}"
    );
    let said = elsewhere("http://nowhere.invalid");
    assert!(said.contains("the host cannot be found"), "{said}");
    let said = elsewhere(&s3.url().replace("http://", "https://"));
    assert!(said.contains("no secure connection could be made"), "{said}");
}
