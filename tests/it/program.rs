//! The program as its users run it.

use assert_cmd::Command;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// A query that takes long and gives rows all the time.
pub const ENDLESS: &str =
    "SELECT a.x + b.x AS s FROM UNNEST(sequence(1, 100000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 100000)) AS b(x)";

/// The program, with a warehouse of its own.
pub fn lakebed(folder: &TempDir) -> Command {
    in_warehouse(&folder.path().join("warehouse"))
}

/// The program over a warehouse.
pub fn in_warehouse(warehouse: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("lakebed"));
    command.arg("--no-init").arg("--warehouse").arg(warehouse);
    command.env_remove("NO_COLOR").timeout(Duration::from_secs(120));
    command
}

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn run(arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    outcome(lakebed(&folder).args(arguments))
}

pub fn outcome(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
