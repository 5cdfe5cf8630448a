//! Disks that are full, folders that may not be written, processes that are killed: what is told, and what is left.

use crate::program::{ENDLESS, Run, in_warehouse, lakebed, outcome};
use assert_cmd::Command;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Rows that take some megabytes.
const ROWS: &str = "SELECT x, to_hex(sha256(to_utf8(CAST(x AS VARCHAR)))) AS h FROM UNNEST(sequence(1, 50000)) AS t(x)";

/// Runs SQL in the warehouse of the folder.
fn sql(folder: &TempDir, text: &str) -> Run {
    outcome(lakebed(folder).args(["--no-header", "-c", text]))
}

fn sql_ok(folder: &TempDir, text: &str) -> String {
    let run = sql(folder, text);
    assert_eq!(run.code, 0, "{text}: {}", run.err);
    run.out
}

/// The program under a limit for the size of each file, in blocks of at least 512 bytes: a disk that is full after that.
fn on_a_small_disk(folder: &TempDir, blocks: usize, arguments: &[&str]) -> Command {
    let program = lakebed(folder);
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(program.get_program());
    shell.args(program.get_args()).args(arguments);
    shell.timeout(Duration::from_secs(120));
    shell
}

/// The files below a folder, in paths relative to it, without those of the catalog and of tables' logs.
fn files(folder: &Path) -> Vec<String> {
    let mut found = vec![];
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with("_catalog") || path.ends_with("_txn/log") => {}
                true => open.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

fn assert_told(run: &Run, code: i32, parts: &[&str]) {
    assert_eq!(run.code, code, "{run:?}");
    let errors = run.err.lines().filter(|line| line.starts_with("error")).count();
    assert_eq!(errors, 1, "told once: {}", run.err);
    for part in parts {
        assert!(run.err.contains(part), "{part} is not in: {}", run.err);
    }
}

#[test]
fn a_full_disk_leaves_no_file_and_no_table() {
    let folder = tempfile::tempdir().unwrap();
    sql_ok(&folder, "CREATE TABLE old AS SELECT 1 AS x, 'a' AS h");
    let csv = folder.path().join("one.csv");
    fs::write(&csv, "before").unwrap();
    let before = files(folder.path());
    let out = folder.path().join("out").display().to_string();
    for (statement, place) in [
        (format!("CREATE TABLE new AS {ROWS}"), "warehouse/default"),
        (
            format!("CREATE TABLE new WITH (external_location = '{out}/new') AS {ROWS}"),
            out.as_str(),
        ),
        (format!("INSERT INTO old {ROWS}"), "warehouse/default/old"),
        (format!("INSERT OVERWRITE TABLE old {ROWS}"), "warehouse/default/old"),
        (format!("COPY ({ROWS}) TO '{out}/copy' (FORMAT json)"), out.as_str()),
        (
            format!("COPY ({ROWS}) TO '{}'", csv.display()),
            folder.path().to_str().unwrap(),
        ),
    ] {
        let run = outcome(&mut on_a_small_disk(&folder, 64, &["-c", &statement]));
        assert_told(&run, 4, &["File too large", place]);
        assert_eq!(files(folder.path()), before, "{statement}");
        assert_eq!(sql_ok(&folder, "SHOW TABLES"), "old\n");
        assert_eq!(sql_ok(&folder, "SELECT * FROM old"), "1,a\n");
        assert_eq!(fs::read_to_string(&csv).unwrap(), "before");
    }
    // With space, the same works.
    sql_ok(&folder, &format!("CREATE TABLE new AS {ROWS}"));
    assert_eq!(sql_ok(&folder, "SELECT count(*) FROM new"), "50000\n");
}

#[test]
fn a_full_disk_ends_a_query_that_spills() {
    let folder = tempfile::tempdir().unwrap();
    let spill = folder.path().join("spill");
    fs::create_dir(&spill).unwrap();
    let place = spill.display().to_string();
    let query = "SELECT sum(n) FROM (SELECT x, row_number() OVER (ORDER BY h) AS n FROM \
        (SELECT x, to_hex(sha256(to_utf8(CAST(x AS VARCHAR)))) AS h FROM UNNEST(sequence(1, 200000)) AS t(x)) AS r) AS s";
    let sorted = format!("SELECT * FROM ({}) AS r ORDER BY h", ROWS.replace("50000", "300000"));
    for statement in [query, &sorted] {
        let arguments = ["--memory", "12MB", "--spill-dir", &place, "-c", statement];
        let run = outcome(&mut on_a_small_disk(&folder, 64, &arguments));
        assert!([4, 5].contains(&run.code), "{statement}: {run:?}");
        assert!(
            run.err.starts_with("error") && !run.err.contains("panicked"),
            "{}",
            run.err
        );
        assert_eq!(files(&spill), Vec::<String>::new());
    }
    let run = outcome(&mut on_a_small_disk(
        &folder,
        64,
        &["--memory", "12MB", "--spill-dir", &place, "-c", &sorted],
    ));
    assert_told(&run, 4, &["File too large", &place, "spill"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_for_results_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let query = ROWS.replace("50000", "3");
    let run = outcome(lakebed(&folder).args(["-c", &query, "-o", "/dev/full"]));
    assert_told(&run, 4, &["No space left on device"]);
    let full = fs::File::create("/dev/full").unwrap();
    let child = std::process::Command::new(lakebed(&folder).get_program())
        .args(lakebed(&folder).get_args())
        .args(["-c", &query])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(child.status.code(), Some(4));
    let err = String::from_utf8(child.stderr).unwrap();
    assert!(err.contains("No space left on device"), "{err}");
}

#[test]
fn a_folder_that_cannot_be_written_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    sql_ok(&folder, "CREATE TABLE old AS SELECT 1 AS x");
    // A file where a folder is needed fails for every user, also for one who may write everywhere.
    let blocked = folder.path().join("blocked");
    fs::write(&blocked, "in the way").unwrap();
    let mut places = vec![blocked.display().to_string()];
    if cfg!(target_os = "linux") {
        // Nobody makes a folder here.
        places.push("/proc/self".into());
    }
    let shut = Shut::new(&folder.path().join("shut"));
    places.extend(shut.as_ref().map(|shut| shut.0.display().to_string()));
    let before = files(folder.path());
    for place in &places {
        for statement in [
            format!("COPY (SELECT 1 AS x) TO '{place}/out' STORED AS PARQUET"),
            format!("COPY (SELECT 1 AS x) TO '{place}/out.csv'"),
            format!("CREATE TABLE new WITH (external_location = '{place}/out') AS SELECT 1 AS x"),
        ] {
            let run = sql(&folder, &statement);
            assert_told(&run, 4, &[place]);
            assert_eq!(files(folder.path()), before, "{statement}");
            assert_eq!(sql_ok(&folder, "SHOW TABLES"), "old\n");
        }
        // A warehouse that may only be read can still be read.
        let warehouse = Path::new(place).join("warehouse");
        let run = outcome(in_warehouse(&warehouse).args(["-c", "CREATE TABLE t AS SELECT 1 AS x"]));
        assert_told(&run, 4, &[place]);
        let run = outcome(in_warehouse(&warehouse).args(["-c", "SELECT 1 AS x"]));
        assert_eq!(run.out, "x\n1\n", "{}", run.err);
        // Also when the place for spilling is wrong, as long as nothing has to be spilled.
        let run = outcome(lakebed(&folder).args(["--spill-dir", place, "-c", "SELECT 1 AS x ORDER BY 1"]));
        assert_eq!(run.out, "x\n1\n", "{}", run.err);
    }
    let spilling = format!("{} ORDER BY h", ROWS.replace("50000", "300000"));
    let arguments = ["--memory", "12MB", "--spill-dir", &places[0], "-c", &spilling];
    assert_told(&outcome(lakebed(&folder).args(arguments)), 4, &[&places[0], "spill"]);
}

/// A folder without the right to write, until this is dropped. That does not bind the superuser, for whom there is none.
struct Shut(std::path::PathBuf);

impl Shut {
    fn new(path: &Path) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let shut = Self(path.to_path_buf());
        shut.set_read_only(true);
        fs::write(path.join("probe"), "").is_err().then_some(shut)
    }

    fn set_read_only(&self, on: bool) {
        use std::os::unix::fs::PermissionsExt;
        let mode = if on { 0o555 } else { 0o755 };
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        self.set_read_only(false);
        let _ = fs::remove_file(self.0.join("probe"));
    }
}

#[test]
fn a_statement_that_fails_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out");
    let query = format!(
        "COPY (SELECT 1 / (x - 9000) AS y FROM UNNEST(sequence(1, 10000)) AS t(x)) TO '{}/' STORED AS PARQUET",
        target.display()
    );
    let run = sql(&folder, &query);
    assert_eq!(run.code, 1, "{}", run.err);
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

/// Starts a statement and kills the process when `when` says so; false when it was done before.
fn killed(folder: &TempDir, statement: &str, mut when: impl FnMut(Duration) -> bool) -> bool {
    let program = lakebed(folder);
    let mut child = std::process::Command::new(program.get_program())
        .args(program.get_args())
        .args(["-c", statement])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while !when(begin.elapsed()) {
        assert!(begin.elapsed() < Duration::from_secs(60));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{statement}");
            return false;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

#[test]
fn a_process_killed_while_it_writes_leaves_the_target_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    sql_ok(&folder, "CREATE TABLE old AS SELECT 1 AS s");
    let before = files(folder.path());
    for statement in [
        format!("CREATE TABLE new AS {ENDLESS}"),
        format!("INSERT INTO old {ENDLESS}"),
        format!("INSERT OVERWRITE TABLE old {ENDLESS}"),
    ] {
        // Files are being written: something is there that was not.
        let written = |_| {
            files(folder.path())
                .iter()
                .any(|f| f.ends_with(".parquet") && !before.contains(f))
        };
        assert!(killed(&folder, &statement, written));
        assert_eq!(sql_ok(&folder, "SELECT * FROM old"), "1\n");
        assert_eq!(sql_ok(&folder, "SHOW TABLES"), "old\n");
        assert_eq!(sql(&folder, "SELECT * FROM new").code, 3);
        // The next write in the same place works, and tidies up.
        sql_ok(&folder, "CREATE TABLE new AS SELECT 2 AS s; INSERT INTO old SELECT 3");
        assert_eq!(sql_ok(&folder, "SELECT s FROM new; SELECT sum(s) FROM old"), "2\n4\n");
        sql_ok(&folder, "DROP TABLE new; INSERT OVERWRITE TABLE old SELECT 1");
        assert_eq!(files(folder.path()).len(), before.len());
    }
}

#[test]
fn a_process_killed_at_any_moment_leaves_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    sql_ok(&folder, "CREATE TABLE t AS SELECT 0 AS x");
    let begin = Instant::now();
    sql_ok(&folder, "CREATE TABLE new AS SELECT 1 AS x; DROP TABLE new");
    // The kills fall all over the time that a statement takes.
    let step = begin.elapsed() / 16;
    let mut rows = 1;
    for i in 0..20 {
        let at = |elapsed: Duration| elapsed >= step * i;
        let done = !killed(
            &folder,
            "CREATE TABLE new AS SELECT x FROM UNNEST(sequence(1, 1000)) AS t(x)",
            at,
        );
        let count = sql(&folder, "SELECT count(*) FROM new");
        match count.code {
            0 => assert_eq!(count.out, "1000\n"),
            code => assert!(code == 3 && !done && count.err.contains("does not exist"), "{count:?}"),
        }
        if count.code == 3 {
            sql_ok(
                &folder,
                "CREATE TABLE new AS SELECT x FROM UNNEST(sequence(1, 1000)) AS t(x)",
            );
        }
        killed(&folder, "DROP TABLE new", at);
        let count = sql(&folder, "SELECT count(*) FROM new");
        match count.code {
            0 => sql_ok(&folder, "DROP TABLE new"),
            code => sql_ok(&folder, &format!("SELECT {code} - 3 WHERE false")),
        };
        killed(
            &folder,
            "INSERT INTO t SELECT x FROM UNNEST(sequence(1, 10)) AS t(x)",
            at,
        );
        let now: usize = sql_ok(&folder, "SELECT count(*) FROM t").trim().parse().unwrap();
        assert!(now == rows || now == rows + 10, "{rows} rows became {now}");
        rows = now;
    }
    // The last kills came too late, so everything has happened at least once, and the next write leaves nothing of the rest.
    assert!(rows > 1);
    sql_ok(
        &folder,
        "INSERT OVERWRITE TABLE t SELECT 1 AS x; CREATE TABLE new AS SELECT 1 AS x; DROP TABLE new",
    );
    assert_eq!(files(folder.path()).len(), 1, "{:?}", files(folder.path()));
    assert!(!folder.path().join("warehouse/_catalog/pending").exists());
}

/// Who does not ask for the limit of file sizes to be an error is killed by it, which harms no more than any other kill.
#[test]
fn a_process_killed_by_a_limit_of_the_system_leaves_the_target_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = on_a_small_disk(&folder, 64, &["-c", &format!("CREATE TABLE new AS {ROWS}")]);
    let arguments: Vec<_> = shell.get_args().map(|a| a.to_os_string()).collect();
    let mut plain = std::process::Command::new("sh");
    plain
        .arg("-c")
        .arg(arguments[1].to_str().unwrap().replace("trap '' XFSZ; ", ""));
    let status = plain.args(&arguments[2..]).stderr(Stdio::null()).status().unwrap();
    assert!(!status.success());
    assert_eq!(sql_ok(&folder, "SHOW TABLES"), "");
    sql_ok(&folder, "CREATE TABLE new AS SELECT 1 AS x");
    assert_eq!(files(folder.path()).len(), 1);
    shell.assert().failure();
}
