//! The catalog as text: SHOW CREATE gives the statement that makes the same again, and so does `lakebed catalog export`.

use crate::program::{in_warehouse, outcome};
use crate::support::rows;
use lakebed::session::Session;
use std::path::Path;

fn session(warehouse: &Path) -> Session {
    Session::new(Default::default(), warehouse.to_str().unwrap()).unwrap()
}

fn run(session: &Session, text: &str) -> String {
    let mut last = vec![];
    for result in session.execute(text).unwrap() {
        let batches = result.and_then(|r| r.collect());
        last = rows(&batches.unwrap_or_else(|e| panic!("{text}: {e}")));
    }
    let line = |row: Vec<Option<String>>| {
        row.into_iter()
            .map(Option::unwrap_or_default)
            .collect::<Vec<_>>()
            .join("\t")
    };
    last.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Every clause and property, with characters that are easily lost.
const TABLES: &[&str] = &[
    "CREATE TABLE NAME (id INT)",
    "CREATE TABLE NAME (`select` INT COMMENT 'it''s a \"key\"', `a b` STRING, `x-y` DOUBLE) COMMENT 'two\nlines, a \\ and 100%'",
    "CREATE TABLE NAME (a ARRAY<STRUCT<`b C`: MAP<STRING, DECIMAL(10,2)>, d: DATE>>, b BINARY, c CHAR(3), v VARCHAR(7), t TIMESTAMP, f FLOAT, s SMALLINT, y TINYINT, z BOOLEAN)",
    "CREATE EXTERNAL TABLE NAME (id INT) PARTITIONED BY (`date` DATE COMMENT 'day', n INT) STORED AS PARQUET LOCATION '/data/a b/ü'",
    "CREATE EXTERNAL TABLE NAME (id INT, s STRING) STORED AS TEXTFILE LOCATION '/data/x'",
    "CREATE EXTERNAL TABLE NAME (id INT, s STRING) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' COLLECTION ITEMS TERMINATED BY '|' MAP KEYS TERMINATED BY ':' LINES TERMINATED BY '\\n' NULL DEFINED AS 'N/A' STORED AS TEXTFILE LOCATION '/data/x' TBLPROPERTIES ('skip.header.line.count' = '2')",
    "CREATE EXTERNAL TABLE NAME (id INT, s STRING) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\001' LOCATION '/data/x'",
    "CREATE EXTERNAL TABLE NAME (id STRING, s STRING) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' WITH SERDEPROPERTIES ('separatorChar' = ';', 'quoteChar' = '''', 'escapeChar' = '\\\\') STORED AS TEXTFILE LOCATION '/data/x' TBLPROPERTIES ('skip.header.line.count' = '1', 'classification' = 'csv')",
    "CREATE EXTERNAL TABLE NAME (id INT, s STRING) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' WITH SERDEPROPERTIES ('ignore.malformed.json' = 'true') LOCATION '/data/x'",
    "CREATE EXTERNAL TABLE NAME (id INT, s STRING) ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe' LOCATION '/data/x'",
    "CREATE EXTERNAL TABLE NAME (id INT, s STRING) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe' WITH SERDEPROPERTIES ('field.delim' = '|', 'serialization.null.format' = '-') LOCATION '/data/x'",
    "CREATE EXTERNAL TABLE NAME (id INT) PARTITIONED BY (r STRING, d STRING) STORED AS PARQUET LOCATION '/data/x' TBLPROPERTIES ('projection.enabled' = 'true', 'projection.r.type' = 'enum', 'projection.r.values' = 'a,b ,c''d', 'projection.d.type' = 'date', 'projection.d.format' = 'yyyy-MM-dd', 'projection.d.range' = '2020-01-01,NOW', 'storage.location.template' = 's3://b/${r}/${d}/')",
    "CREATE TABLE NAME (id INT) TBLPROPERTIES ('parquet.compression' = 'ZSTD', 'comment' = 'by property', 'has_encrypted_data' = 'false', 'my.own' = 'a = b; c')",
    "CREATE TABLE NAME (id INT, `a b` STRING) CLUSTERED BY (id) SORTED BY (`a b` DESC, id) INTO 16 BUCKETS STORED AS PARQUET TBLPROPERTIES ('bucketing_format' = 'spark')",
    "CREATE TABLE NAME USING parquet AS SELECT 1 AS a, DATE '2020-01-01' AS b, ARRAY[ROW(1, 'x')] AS c",
    "CREATE TABLE NAME WITH (format = 'JSON', partitioned_by = ARRAY['k']) AS SELECT 1 AS a, 'x' AS k",
    "CREATE TABLE NAME WITH (extra_properties = MAP(ARRAY['my.own', 'team'], ARRAY['it''s', '\"a\", b'])) AS SELECT 1 AS a",
    "CREATE TABLE NAME WITH (format = 'TEXTFILE', field_delimiter = '|') AS SELECT 1 AS a, 'x' AS k",
    "CREATE VIEW NAME AS SELECT 1 AS a, 'it''s' AS b -- a comment",
    "CREATE VIEW NAME (`A b` COMMENT 'first', c) COMMENT 'what''s this' TBLPROPERTIES ('k' = 'v') AS\nSELECT 1,\n  2",
];

#[test]
fn what_show_create_says_makes_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    for (i, text) in TABLES.iter().enumerate() {
        // A name that has to be quoted.
        let name = format!("`table.{i}`");
        let kind = if text.starts_with("CREATE VIEW") {
            "VIEW"
        } else {
            "TABLE"
        };
        run(&session, &text.replacen("NAME", &name, 1));
        let described = run(&session, &format!("DESCRIBE EXTENDED {name}"));
        let shown = run(&session, &format!("SHOW CREATE {kind} {name}"));
        run(&session, &format!("DROP {kind} {name}"));
        run(&session, &shown);
        assert_eq!(run(&session, &format!("SHOW CREATE {kind} {name}")), shown, "{text}");
        assert_eq!(run(&session, &format!("DESCRIBE EXTENDED {name}")), described, "{text}");
    }
}

#[test]
fn an_exported_catalog_is_the_same_in_an_empty_warehouse() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let lake = folder.path().join("lake");
    {
        let session = session(&first);
        let copy = "COPY (SELECT * FROM (VALUES (1, 'a'), (2, NULL), (3, 'it''s')) AS v(id, k))";
        run(
            &session,
            &format!("{copy} TO '{}' (FORMAT parquet, PARTITION_BY (k))", lake.display()),
        );
        for (i, text) in TABLES.iter().enumerate() {
            run(&session, &text.replacen("NAME", &format!("`table.{i}`"), 1));
        }
        run(
            &session,
            &format!(
                "CREATE DATABASE `my sales` COMMENT 'it''s' LOCATION '{0}/sales' WITH DBPROPERTIES ('a' = 'b');
                 ALTER DATABASE default SET DBPROPERTIES ('x' = 'y');
                 CREATE EXTERNAL TABLE `my sales`.p (id INT) PARTITIONED BY (k STRING) STORED AS PARQUET LOCATION '{0}';
                 MSCK REPAIR TABLE `my sales`.p;
                 ALTER TABLE `my sales`.p ADD PARTITION (k = 'far') LOCATION '{0}/k=a';
                 USE `my sales`;
                 CREATE VIEW b AS SELECT id FROM p;
                 USE default;
                 CREATE VIEW a AS SELECT id FROM `my sales`.b;
                 CREATE VIEW `my sales`.a2 AS SELECT id FROM a",
                lake.display()
            ),
        );
    }
    let program = |warehouse: &Path, arguments: &[&str]| {
        let run = outcome(in_warehouse(warehouse).args(arguments));
        assert_eq!(run.code, 0, "{run:?}");
        run.out
    };
    let text = program(&first, &["catalog", "export"]);
    let file = folder.path().join("catalog.sql");
    std::fs::write(&file, &text).unwrap();
    program(&second, &["-f", file.to_str().unwrap()]);
    assert_eq!(program(&second, &["catalog", "export"]), text);
    let query = "SELECT id, k FROM \"my sales\".p ORDER BY id, k";
    assert_eq!(program(&second, &["-c", query]), "id,k\n1,a\n1,far\n2,\n3,it's\n");
    let one = program(&first, &["catalog", "export", "my sales"]);
    assert!(
        one.contains("CREATE DATABASE `my sales`") && !one.contains("table.1"),
        "{one}"
    );
}

#[test]
fn a_folder_that_a_table_was_given_is_no_new_tables() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let run = |text: &str| run(&session, &text.replace("LAKE", folder.path().to_str().unwrap()));
    run("CREATE TABLE a AS SELECT 1 AS x; COPY (SELECT 2 AS x) TO 'LAKE/default/b/x.parquet'");
    // The folder that a table called b would get.
    run("ALTER TABLE a SET LOCATION 'LAKE/default/b'; CREATE TABLE b AS SELECT 3 AS x");
    assert_eq!(run("SELECT a.x, b.x FROM a CROSS JOIN b"), "2\t3");
    // The folder that it had before still has its files.
    run("DROP TABLE a; CREATE TABLE a (x INT)");
    assert_eq!(run("SELECT count(*) FROM a"), "0");
    // One without files is free.
    run("CREATE TABLE c (x INT); ALTER TABLE c SET LOCATION 'LAKE/apart'; DROP TABLE c; CREATE TABLE c (x INT)");
    assert!(run("INSERT INTO c VALUES (1); SELECT \"$path\" FROM c").contains("/default/c/"));
    run("DROP TABLE a; DROP TABLE b; DROP TABLE c");
    let noted = std::fs::read_dir(folder.path().join("_catalog/taken")).map_or(0, Iterator::count);
    assert_eq!(noted, 1, "the folder with the files that were left");
}
