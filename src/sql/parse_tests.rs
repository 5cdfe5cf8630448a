//! Statements that are not queries, as the parser reads them.

use super::*;
use crate::error::{ErrorKind, Result};
use crate::types::type_name;

fn one(text: &str) -> Statement {
    match parse(text) {
        Ok(mut statements) if statements.len() == 1 => statements.remove(0),
        Ok(statements) => panic!("{text}: {} statements", statements.len()),
        Err(e) => panic!("{text}: {e}"),
    }
}

fn create_table(text: &str) -> CreateTable {
    match one(text) {
        Statement::CreateTable(t) => *t,
        other => panic!("{other:?}"),
    }
}

fn types(columns: &[ColumnDefinition]) -> Vec<String> {
    let shown = |c: &ColumnDefinition| {
        let t = c.data_type.as_ref().map(type_name).unwrap_or_default();
        format!("{} {t}", c.name).trim_end().to_string()
    };
    columns.iter().map(shown).collect()
}

#[test]
fn hive_tables() {
    let t = create_table(
        "CREATE EXTERNAL TABLE IF NOT EXISTS `Db`.trips (
           VendorID int COMMENT 'it''s who', `Pickup Time` timestamp, fare decimal(10,2), note varchar(20),
           tags array<struct<k:string, v:map<string,int>>>)
         COMMENT \"all trips\"
         PARTITIONED BY (year int, month string COMMENT 'two digits')
         ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' NULL DEFINED AS '\\N'
         STORED AS TEXTFILE
         LOCATION 's3://lake/trips/'
         TBLPROPERTIES (\"skip.header.line.count\"=\"1\", 'classification' = 'csv')",
    );
    let name = t.name.unwrap();
    assert_eq!((name.database.as_deref(), name.name.as_str()), (Some("Db"), "trips"));
    assert!(t.external && t.if_not_exists);
    assert_eq!(
        types(&t.columns),
        [
            "vendorid integer",
            "Pickup Time timestamp",
            "fare decimal(10,2)",
            "note varchar",
            "tags array(row(k varchar, v map(varchar, integer)))"
        ]
    );
    assert_eq!(t.columns[0].comment.as_deref(), Some("it's who"));
    assert_eq!(types(&t.partitioned_by), ["year integer", "month varchar"]);
    let format = t.row_format.unwrap();
    assert_eq!(format.delimiter.as_deref(), Some("\t"));
    assert_eq!(format.escape.as_deref(), Some("\\"));
    assert_eq!(format.null.as_deref(), Some("\\N"));
    assert_eq!(t.format.as_deref(), Some("TEXTFILE"));
    assert_eq!(t.location.as_deref(), Some("s3://lake/trips/"));
    assert_eq!(t.comment.as_deref(), Some("all trips"));
    assert_eq!(t.properties["skip.header.line.count"], "1");
}

#[test]
fn serdes_tell_the_format() {
    let t = create_table(
        "CREATE EXTERNAL TABLE z (id string) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
         WITH SERDEPROPERTIES ('separatorChar' = ';', 'quoteChar' = '\"') LOCATION 'x/'",
    );
    assert_eq!(
        t.row_format.unwrap().serde.as_deref(),
        Some("org.apache.hadoop.hive.serde2.OpenCSVSerde")
    );
    assert_eq!(t.serde_properties["separatorChar"], ";");
    let t = create_table(
        "CREATE EXTERNAL TABLE z (id string)
         STORED AS INPUTFORMAT 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat'
         OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat' LOCATION 'x/'",
    );
    assert_eq!(
        t.input_format.as_deref(),
        Some("org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat")
    );
}

#[test]
fn tables_from_queries() {
    let t = create_table(
        "CREATE TABLE revenue WITH (format = 'parquet', external_location = 'out/', partitioned_by = ARRAY['Y', 'm'],
         write_compression = 'ZSTD') AS WITH q AS (SELECT 1 AS y, 2 AS m) SELECT * FROM q",
    );
    assert_eq!(t.format.as_deref(), Some("PARQUET"));
    assert_eq!(t.location.as_deref(), Some("out/"));
    assert_eq!(types(&t.partitioned_by), ["y", "m"]);
    assert_eq!(t.properties["write_compression"], "ZSTD");
    assert!(t.query.is_some());
    let t = create_table("CREATE TABLE x USING parquet PARTITIONED BY (a, b) LOCATION 'p' AS SELECT 1 a, 2 b");
    assert_eq!(types(&t.partitioned_by), ["a", "b"]);
    assert!(create_table("CREATE TABLE x STORED AS PARQUET LOCATION 'p' AS SELECT 1 WITH NO DATA").with_no_data);
    assert!(
        create_table("CREATE TABLE x AS (SELECT 1) UNION ALL (SELECT 2)")
            .query
            .is_some()
    );
}

#[test]
fn views_keep_their_text() {
    let text = "CREATE OR REPLACE VIEW db.v (a, b COMMENT 'c') AS\n  SELECT x,\n    'é;' AS y\n  FROM t";
    match one(text) {
        Statement::CreateView(v) => {
            assert!(v.or_replace);
            assert_eq!(v.columns, ["a", "b"]);
            assert_eq!(v.text, "SELECT x,\n    'é;' AS y\n  FROM t");
        }
        other => panic!("{other:?}"),
    }
    match parse(&format!("SELECT 1;\n  {text} ; SELECT 2")).unwrap().remove(1) {
        Statement::CreateView(v) => assert_eq!(v.text, "SELECT x,\n    'é;' AS y\n  FROM t"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn inserts_and_copies() {
    match one("INSERT OVERWRITE TABLE t PARTITION (y = 2020, m) SELECT * FROM u") {
        Statement::Insert(i) => {
            assert!(i.overwrite);
            assert_eq!(i.partition.len(), 2);
            assert_eq!((i.partition[0].0.as_str(), i.partition[1].1.is_none()), ("y", true));
        }
        other => panic!("{other:?}"),
    }
    match one("INSERT INTO t (a, b) VALUES (1, 2), (3, 4)") {
        Statement::Insert(i) => assert_eq!(i.columns, ["a", "b"]),
        other => panic!("{other:?}"),
    }
    match one("INSERT INTO t (SELECT 1)") {
        Statement::Insert(i) => assert!(i.columns.is_empty()),
        other => panic!("{other:?}"),
    }
    match one("COPY (SELECT * FROM t) TO 'out/' STORED AS parquet PARTITIONED BY (Y) OPTIONS ('compression' 'zstd')") {
        Statement::Copy(c) => {
            assert_eq!((c.target.as_str(), c.format.as_deref()), ("out/", Some("PARQUET")));
            assert_eq!(c.partitioned_by, ["y"]);
            assert_eq!(c.options["compression"], "zstd");
        }
        other => panic!("{other:?}"),
    }
    match one("COPY db.t TO 'out' (FORMAT csv, HEADER, PARTITION_BY (a, b), DELIMITER ';')") {
        Statement::Copy(c) => {
            assert_eq!(c.format.as_deref(), Some("CSV"));
            assert_eq!(c.partitioned_by, ["a", "b"]);
            assert_eq!(
                (c.options["header"].as_str(), c.options["delimiter"].as_str()),
                ("true", ";")
            );
        }
        other => panic!("{other:?}"),
    }
    match one(
        "UNLOAD (SELECT 1) TO 's3://x/' WITH (format = 'JSON', compression = 'gzip', partitioned_by = ARRAY['a'])",
    ) {
        Statement::Copy(c) => {
            assert_eq!(c.folder, Some("UNLOAD"));
            assert_eq!((c.format.as_deref(), c.partitioned_by.len()), (Some("JSON"), 1));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn commands() {
    let shown = |text: &str| format!("{:?}", one(text));
    for (text, expected) in [
        (
            "SHOW TABLES IN db LIKE 'a*'",
            "Tables { database: Some(\"db\"), pattern: Some(\"a*\") }",
        ),
        ("SHOW TABLES 'a*'", "Tables { database: None, pattern: Some(\"a*\") }"),
        ("SHOW SCHEMAS", "Databases { pattern: None }"),
        ("SHOW CREATE TABLE t", "CreateTable("),
        ("SHOW PARTITIONS t", "Partitions("),
        ("SHOW memory_limit", "Settings(Some(\"memory_limit\"))"),
        ("SHOW SESSION", "Settings(None)"),
        ("SHOW TBLPROPERTIES t ('a.b')", "key: Some(\"a.b\")"),
        ("DESCRIBE FORMATTED db.t", "extended: true"),
        ("DESC SELECT 1", "DescribeQuery("),
        ("SET memory_limit = 2GB", "value: \"2GB\""),
        ("SET memory_limit = '1.5 GB'", "value: \"1.5 GB\""),
        ("SET SESSION threads = 4", "Set { name: \"threads\", value: \"4\" }"),
        ("SET debug_hash TO -1", "value: \"-1\""),
        ("RESET ALL", "Reset(None)"),
        ("USE cat.db", "database: Some(\"cat\"), name: \"db\""),
        ("DROP TABLE IF EXISTS a.b PURGE", "if_exists: true"),
        ("DROP SCHEMA x CASCADE", "cascade: true"),
        ("MSCK REPAIR TABLE t", "mode: Add, partition: None"),
        ("PREPARE p FROM SELECT ? + 1", "Prepare { name: \"p\""),
        ("EXECUTE p USING 1, 'a'", "Execute { name: \"p\""),
        ("DEALLOCATE PREPARE p", "Deallocate(\"p\")"),
        ("EXPLAIN ANALYZE SELECT 1", "analyze: true"),
        (
            "EXPLAIN (TYPE DISTRIBUTED, FORMAT JSON) SELECT 1",
            "kind: Some(\"distributed\"), format: Some(\"json\")",
        ),
        (
            "CREATE SCHEMA IF NOT EXISTS s COMMENT 'c' LOCATION 'l' WITH DBPROPERTIES ('k'='v')",
            "location: Some(\"l\")",
        ),
        ("EXPLAIN (SELECT 1)", "analyze: false"),
        ("(SELECT 1) UNION (SELECT 2)", "Query("),
    ] {
        let found = shown(text);
        assert!(found.contains(expected), "{text}\n{found}");
    }
}

fn error(text: &str) -> crate::Error {
    let result: Result<Vec<Statement>> = parse(text);
    result.expect_err(text)
}

#[test]
fn what_is_not_supported_is_named() {
    for (text, expected) in [
        ("DELETE FROM t", "DELETE is not supported"),
        (
            "MERGE INTO t USING s ON a = b WHEN MATCHED THEN DELETE",
            "MERGE is not supported",
        ),
        ("SHOW LOCKS t", "SHOW LOCKS is not supported"),
    ] {
        let e = error(text);
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{text}: {e}");
        assert!(e.message().contains(expected), "{text}: {e}");
    }
}

#[test]
fn syntax_errors_have_places() {
    let at = |text: &str| {
        let e = error(text);
        assert_eq!(e.kind(), ErrorKind::Syntax, "{text}: {e}");
        let start = e.span().unwrap_or_else(|| panic!("{text}: {e}")).start;
        (start.line, start.column, e.message().to_string())
    };
    assert_eq!(at("SELECT a,\n FROM t").0, 2);
    assert_eq!(
        at("SELECT a FROM t WHERE"),
        (1, 22, "syntax error at end of statement: expected an expression".into())
    );
    assert_eq!(at("SELECT 1;\nSELECT * FRM t").0, 2);
    assert_eq!(at("CREATE TABLE t (a int) STORED PARQUET").1, 24);
    assert!(error("SELEC 1").hint().unwrap().contains("SELECT"));
    assert!(error("CREATE TABLE t (a bigitn)").hint().unwrap().contains("bigint"));
    assert!(
        error("CREATE TABLE t (a int, A int)")
            .message()
            .contains("declared twice")
    );
    assert!(at("SELECT a FROM t)").2.contains("at or near \")\""));
}
