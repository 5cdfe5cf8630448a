//! Sessions for tests, and what their results look like as text.

use arrow::array::RecordBatch;
use lakebed::Result;
use lakebed::config::Config;
use lakebed::session::Session;
use lakebed::vector::display::ValueFormatter;
use std::path::Path;

/// One section of `configurations.toml`.
#[derive(Debug, Clone)]
pub struct Configuration {
    pub name: String,
    /// Whether TPC-H runs under it.
    #[allow(dead_code, reason = "only the tests of queries read it")]
    pub tpch: bool,
    /// The server of buckets in which the warehouse and the files of tests are, instead of folders.
    #[allow(dead_code, reason = "only the tests of queries read it")]
    pub server: Option<String>,
    config: Config,
}

impl Configuration {
    /// A session over the warehouse in `folder`.
    #[allow(dead_code, reason = "tests of queries may have theirs in a bucket")]
    pub fn session(&self, folder: &Path) -> Result<Session> {
        self.session_at(&folder.display().to_string())
    }

    /// A session over a warehouse somewhere.
    pub fn session_at(&self, warehouse: &str) -> Result<Session> {
        Session::new(self.config.clone(), warehouse)
    }
}

/// The configurations over folders, in the order of the file.
#[allow(dead_code, reason = "not all tests take all of them")]
pub fn configurations() -> Vec<Configuration> {
    all_configurations()
        .into_iter()
        .filter(|c| c.server.is_none())
        .collect()
}

/// All configurations, those over buckets too.
pub fn all_configurations() -> Vec<Configuration> {
    let text = std::fs::read_to_string("tests/configurations.toml").unwrap();
    let sections: toml::Table = text.parse().unwrap();
    let configuration = |(name, section): (String, toml::Value)| {
        let (mut config, mut tpch, mut server) = (Config::default(), true, None);
        for (setting, value) in section.as_table().unwrap() {
            if setting == "server" {
                server = value.as_str().map(str::to_string);
                continue;
            }
            if setting == "tpch" {
                tpch = value.as_bool().unwrap();
                continue;
            }
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            config.set(setting, &value).unwrap();
        }
        Configuration {
            name,
            tpch,
            server,
            config,
        }
    };
    sections.into_iter().map(configuration).collect()
}

/// The lines that EXPLAIN or EXPLAIN ANALYZE gives, in one text.
#[allow(dead_code, reason = "tests of queries ask for none")]
pub fn plan(session: &Session, query: &str) -> String {
    let mut lines = vec![];
    for result in session.execute(query).unwrap() {
        lines = rows(&result.unwrap().collect().unwrap());
    }
    lines.into_iter().flatten().flatten().collect::<Vec<_>>().join("\n")
}

/// The rows as text, NULL as `None`.
pub fn rows(batches: &[RecordBatch]) -> Vec<Vec<Option<String>>> {
    let mut all = vec![];
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| ValueFormatter::new(c.as_ref()))
            .collect();
        for row in 0..batch.num_rows() {
            let cell = |column: &ValueFormatter| {
                let mut text = String::new();
                column.write(row, &mut text);
                (!column.is_null(row)).then_some(text)
            };
            all.push(columns.iter().map(cell).collect());
        }
    }
    all
}
