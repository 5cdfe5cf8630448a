//! `.slt` files.

use crate::support::{Configuration, rows};
use lakebed::session::{Session, StatementResult};
use libtest_mimic::Failed;
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};
use std::path::{Path, PathBuf};

/// One file of `tests/slt/`.
#[derive(Debug, Clone)]
pub struct File {
    /// The path below `tests/slt/`, without the extension.
    pub name: String,
    path: PathBuf,
    text: String,
}

/// All files, sorted by name.
pub fn all() -> Vec<File> {
    let mut files = vec![];
    collect(Path::new("tests/slt"), &mut files);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!files.is_empty(), "the tests run in the folder of the repository");
    files
}

fn collect(folder: &Path, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "slt") {
            let name = path
                .strip_prefix("tests/slt")
                .unwrap()
                .with_extension("")
                .display()
                .to_string();
            let text = std::fs::read_to_string(&path).unwrap();
            files.push(File { name, path, text });
        }
    }
}

impl File {
    /// Whether the file runs under a configuration: `# only: default one_thread` names those it wants.
    pub fn runs_under(&self, configuration: &str) -> bool {
        let wanted = self.text.lines().find_map(|line| line.strip_prefix("# only:"));
        wanted.is_none_or(|names| names.split_whitespace().any(|name| name == configuration))
    }

    /// Runs the records of the file in a fresh warehouse.
    pub fn run(&self, configuration: &Configuration) -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("files"))?;
        let place = match &configuration.server {
            None => folder.path().display().to_string(),
            Some(server) => crate::servers::fresh_bucket(server),
        };
        let session = configuration.session_at(&format!("{place}/warehouse"))?;
        let mut runner = Runner::new(move || {
            let connection = Connection {
                session: session.clone(),
            };
            async move { Ok(connection) }
        });
        runner.add_label(&configuration.name);
        let script = self.text.replace("__TEST_DIR__", &format!("{place}/files"));
        let name = self.path.display().to_string();
        let mut failures = vec![];
        // A record that fails does not hide what the later ones have to say.
        for record in sqllogictest::parse_with_name::<DefaultColumnType>(&script, name)? {
            if let Err(error) = runner.run(record) {
                failures.push(error.display(false).to_string());
            }
        }
        match failures.is_empty() {
            true => Ok(()),
            false => Err(failures.join("\n").into()),
        }
    }
}

struct Connection {
    session: Session,
}

impl DB for Connection {
    type Error = lakebed::Error;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, lakebed::Error> {
        let mut last = DBOutput::StatementComplete(0);
        for result in self.session.execute(sql)? {
            last = match result? {
                StatementResult::Done { rows, .. } => DBOutput::StatementComplete(rows.unwrap_or(0)),
                StatementResult::Rows(result) => {
                    let columns = result.schema().fields().len();
                    let batches = result.collect::<lakebed::Result<Vec<_>>>()?;
                    let rows = rows(&batches)
                        .into_iter()
                        .map(|row| row.into_iter().map(shown).collect());
                    DBOutput::Rows {
                        types: vec![DefaultColumnType::Any; columns],
                        rows: rows.collect(),
                    }
                }
            };
        }
        Ok(last)
    }
}

/// As `tests/README.md` says.
fn shown(value: Option<String>) -> String {
    match value {
        None => "NULL".into(),
        Some(text) if text.is_empty() => "(empty)".into(),
        Some(text) => text,
    }
}
