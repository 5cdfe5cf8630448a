//! How many requests tables in partitions send to a store: in proportion to what a query wants.

use crate::servers::gcs::GcsServer;
use crate::support::rows;
use lakebed::session::Session;
use std::sync::Arc;

/// A bucket with tables of one tiny file per partition.
struct Lake {
    server: GcsServer,
    session: Session,
    url: String,
    _folder: tempfile::TempDir,
}

/// Requests of one statement: listings, and others.
#[derive(Debug, PartialEq)]
struct Requests {
    lists: usize,
    others: usize,
}

impl Lake {
    /// `name` tells the stores of several tests apart.
    fn new(name: &str) -> Self {
        let server = GcsServer::start(&["lake"]);
        let url = format!("counted://{name}");
        lakebed::storage::register_store(&url, Arc::new(server.client("lake")), None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let session = Session::new(Default::default(), folder.path().to_str().unwrap()).unwrap();
        Self {
            server,
            session,
            url,
            _folder: folder,
        }
    }

    /// Puts the same file with one row into each folder.
    fn fill(&self, folders: impl Iterator<Item = String>) {
        let file = self._folder.path().join("one.parquet");
        if !file.exists() {
            self.run(&format!("COPY (SELECT 1 AS id) TO '{}'", file.display()));
        }
        let bytes = std::fs::read(file).unwrap();
        folders.for_each(|folder| self.server.put("lake", &format!("{folder}/f.parquet"), &bytes));
    }

    fn run(&self, text: &str) -> Vec<String> {
        let text = text.replace("LAKE", &self.url);
        let mut last = vec![];
        for result in self.session.execute(&text).unwrap() {
            let batches = result.and_then(|r| r.collect());
            last = rows(&batches.unwrap_or_else(|e| panic!("{text}: {e}")));
        }
        let line = |row: Vec<Option<String>>| {
            row.into_iter()
                .map(Option::unwrap_or_default)
                .collect::<Vec<_>>()
                .join(" ")
        };
        last.into_iter().map(line).collect()
    }

    /// The rows of a query and the requests that it sends.
    fn counted(&self, text: &str) -> (Vec<String>, Requests) {
        self.server.clear_log();
        let rows = self.run(text);
        let log = self.server.log();
        let lists = log.iter().filter(|e| e.is_listing()).count();
        let others = log.len() - lists;
        (rows, Requests { lists, others })
    }
}

fn days() -> impl Iterator<Item = String> {
    let first = chrono::NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
    first.iter_days().take(10_000).map(|d| d.to_string())
}

/// What a statement may send besides one listing per wanted folder and one read per file: looking whether somebody writes
/// to the table, before and after.
const ASIDE: usize = 8;

#[test]
fn requests_are_in_proportion_to_the_partitions_wanted() {
    let lake = Lake::new("days");
    lake.fill(days().map(|d| format!("t/d={d}")));
    lake.run("CREATE EXTERNAL TABLE t (id INT) PARTITIONED BY (d DATE) STORED AS PARQUET LOCATION 'LAKE/t/'");
    let conditions = [
        ("d = DATE '2020-02-29'", 1),
        ("d BETWEEN DATE '2020-02-27' AND DATE '2020-03-01'", 4),
        (
            "d IN (DATE '2001-01-01', DATE '2010-01-01') OR (d > DATE '2027-05-01' AND id > 0)",
            2 + 17,
        ),
        ("year(d) = 2004 AND month(d) = 2 AND id = 1", 29),
        ("CAST(d AS VARCHAR) LIKE '2021-%-31'", 7),
        ("d = DATE '1970-01-01'", 0),
    ];
    let check = |wanted: usize, condition: &str, pages: usize| {
        let (rows, requests) = lake.counted(&format!("SELECT count(id) FROM t WHERE {condition}"));
        assert_eq!(rows, [wanted.to_string()], "{condition}");
        assert!(requests.lists <= pages + wanted + ASIDE, "{condition}: {requests:?}");
        assert!(requests.others <= 2 * wanted + ASIDE, "{condition}: {requests:?}");
    };
    // Ten pages of names tell which folders there are …
    for (condition, wanted) in conditions {
        check(wanted, condition, 10);
    }
    let plan = lake.run("EXPLAIN SELECT * FROM t WHERE d BETWEEN DATE '2020-02-27' AND DATE '2020-02-29'");
    assert!(plan.iter().any(|line| line.contains("partitions 3/10000")), "{plan:?}");
    // … unless the catalog knows them, …
    let (repaired, requests) = lake.counted("MSCK REPAIR TABLE t");
    assert!(repaired[0].starts_with("10000 partitions added"), "{}", repaired[0]);
    assert!(requests.lists <= 10 + ASIDE, "{requests:?}");
    for (condition, wanted) in conditions {
        check(wanted, condition, 0);
    }
    // … or properties say them.
    lake.run(
        "ALTER TABLE t SET TBLPROPERTIES ('projection.enabled' = 'true', 'projection.d.type' = 'date',
         'projection.d.format' = 'yyyy-MM-dd', 'projection.d.range' = '2000-01-01,2027-05-18')",
    );
    for (condition, wanted) in conditions {
        check(wanted, condition, 0);
    }
    // All of it: a listing of everything, not one per partition, where the store can do that.
    let (rows, _) = lake.counted("SELECT count(*) FROM t");
    assert_eq!(rows, ["10000"]);
}

#[test]
fn folders_inside_folders_are_entered_only_where_rows_may_be() {
    let lake = Lake::new("nested");
    let folders = (0..40).flat_map(|y| (0..25).map(move |m| format!("t/y={y}/m={m}")));
    lake.fill(folders);
    lake.run("CREATE EXTERNAL TABLE t (id INT) PARTITIONED BY (y INT, m INT) STORED AS PARQUET LOCATION 'LAKE/t/'");
    for (condition, folders, wanted) in [
        ("y = 7 AND m = 3", 1, 1),
        ("y = 7", 1, 25),
        ("(y = 7 AND m = 3) OR (y = 8 AND m > 22)", 2, 3),
        ("m = 3", 40, 40),
    ] {
        let (rows, requests) = lake.counted(&format!("SELECT count(id) FROM t WHERE {condition}"));
        assert_eq!(rows, [wanted.to_string()], "{condition}");
        assert!(
            requests.lists <= 1 + folders + wanted + ASIDE,
            "{condition}: {requests:?}"
        );
        assert!(requests.others <= 2 * wanted + ASIDE, "{condition}: {requests:?}");
    }
}
