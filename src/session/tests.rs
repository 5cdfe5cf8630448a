use super::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};

struct Lake {
    dir: tempfile::TempDir,
    session: Session,
}

fn lake() -> Lake {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("trips.csv"),
        "id,zone,fare\n1,a,10.5\n2,b,20\n3,a,\n4,c,40\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("zones.csv"), "zone,borough\na,Queens\nb,Bronx\n").unwrap();
    let warehouse = dir.path().join("lakehouse");
    let session = Session::new(
        Config {
            threads: 2,
            ..Config::default()
        },
        warehouse.to_str().unwrap(),
    )
    .unwrap();
    Lake { dir, session }
}

impl Lake {
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_string()
    }

    /// Rows joined by `|`; `DIR` stands for the folder.
    fn try_run(&self, text: &str) -> Result<Vec<String>> {
        let text = text.replace("DIR", self.dir.path().to_str().unwrap());
        let mut rows = vec![];
        for result in self.session.execute(&text)? {
            rows = shown(&result?.collect()?);
        }
        Ok(rows)
    }

    fn run(&self, text: &str) -> Vec<String> {
        self.try_run(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn error(&self, text: &str) -> String {
        self.try_run(text)
            .map_or_else(|e| e.to_string(), |rows| panic!("{text} gave {rows:?}"))
    }
}

fn shown(batches: &[arrow::array::RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default();
    let mut rows = vec![];
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
            .collect();
        rows.extend((0..batch.num_rows()).map(|row| {
            columns
                .iter()
                .map(|c| c.value(row).to_string())
                .collect::<Vec<_>>()
                .join("|")
        }));
    }
    rows
}

#[test]
fn files_are_queried_by_name() {
    let lake = lake();
    assert_eq!(
        lake.run("SELECT zone, count(*), sum(fare) FROM 'DIR/trips.csv' WHERE id < 4 GROUP BY zone ORDER BY 1"),
        ["a|2|10.5", "b|1|20.0"]
    );
    assert_eq!(
        lake.run("SELECT borough FROM read_csv('DIR/trips.csv') t LEFT JOIN read_csv('DIR/zones.csv') z USING (zone) ORDER BY id"),
        ["Queens", "Bronx", "Queens", ""]
    );
    assert!(
        lake.error("SELECT * FROM 'DIR/trip.csv'")
            .contains("did you mean \"trips.csv\"")
    );
    assert!(lake.error("SELECT fair FROM 'DIR/trips.csv'").contains("\"fare\""));
}

#[test]
fn tables_views_and_databases() {
    let lake = lake();
    let make = "CREATE EXTERNAL TABLE trips (id INT, zone STRING COMMENT 'where', fare DOUBLE) \
                ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 'DIR/csv/' TBLPROPERTIES ('skip.header.line.count'='1')";
    std::fs::create_dir(lake.path("csv")).unwrap();
    std::fs::copy(lake.path("trips.csv"), lake.path("csv/1.csv")).unwrap();
    lake.run(make);
    assert_eq!(lake.run("SELECT sum(id) FROM trips"), ["10"]);
    // The same words ask for nothing new; other words are another table of that name.
    lake.run(make);
    assert!(
        lake.error(&make.replace("fare DOUBLE", "fare REAL"))
            .contains("exists already")
    );
    assert_eq!(
        lake.run("DESCRIBE trips"),
        ["id|int|", "zone|string|where", "fare|double|"]
    );
    lake.run("CREATE VIEW dear AS SELECT id FROM trips WHERE fare > 15");
    assert_eq!(lake.run("SELECT id FROM dear ORDER BY id"), ["2", "4"]);
    assert_eq!(lake.run("SHOW TABLES"), ["dear", "trips"]);
    assert_eq!(lake.run("SHOW TABLES LIKE 'tr*'"), ["trips"]);
    assert_eq!(lake.run("SHOW VIEWS"), ["dear"]);
    assert!(lake.error("DROP VIEW trips").contains("is a table"));
    let remade = lake.run("SHOW CREATE TABLE trips").join("\n");
    lake.run("DROP TABLE trips");
    assert!(lake.error("SELECT * FROM trips").contains("does not exist"));
    lake.run(&remade);
    assert_eq!(lake.run("SHOW CREATE TABLE trips").join("\n"), remade);
    assert_eq!(lake.run("SELECT sum(id) FROM trips"), ["10"]);
    lake.run("CREATE DATABASE sales; USE sales; CREATE VIEW v AS SELECT 1 AS x");
    assert_eq!(lake.run("SELECT x FROM sales.v"), ["1"]);
    assert_eq!(
        lake.run("SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema <> 'information_schema' ORDER BY 1, 2"),
        ["default|dear|VIEW", "default|trips|BASE TABLE", "sales|v|VIEW"]
    );
    assert_eq!(
        lake.run("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'dear'"),
        ["id|integer"]
    );
    assert!(lake.error("DROP DATABASE sales").contains("not empty"));
    lake.run("DROP DATABASE sales CASCADE");
    assert_eq!(lake.session.database(), "default");
}

#[test]
fn a_preparing_file_leaves_nothing_behind() {
    let lake = lake();
    lake.session.set_temporary_ddl(true);
    for _ in 0..2 {
        lake.run("CREATE VIEW v AS SELECT 1 AS x; CREATE EXTERNAL TABLE t LOCATION 'DIR/trips.csv'");
    }
    assert_eq!(lake.run("SELECT count(*) FROM t, v"), ["4"]);
    assert!(!std::path::Path::new(&lake.path("lakehouse")).exists());
}

#[test]
fn what_a_preparing_file_declares_does_not_depend_on_what_others_drop() {
    let lake = lake();
    let declare = "CREATE EXTERNAL TABLE t LOCATION 'DIR/trips.csv'";
    lake.run(declare);
    let other = Session::new(Config::default(), &lake.path("lakehouse")).unwrap();
    lake.session.set_temporary_ddl(true);
    lake.run(declare);
    lake.session.set_temporary_ddl(false);
    other
        .execute("DROP TABLE t")
        .unwrap()
        .for_each(|result| drop(result.unwrap()));
    assert_eq!(lake.run("SELECT count(*) FROM t"), ["4"]);
}

#[test]
fn settings_and_prepared_statements() {
    let lake = lake();
    lake.run("SET batch_size = 3");
    assert_eq!(lake.run("SHOW batch_size"), ["3"]);
    lake.run("RESET batch_size");
    assert_eq!(lake.session.config().batch_size, Config::default().batch_size);
    lake.run("PREPARE p FROM SELECT id FROM 'DIR/trips.csv' WHERE fare > ? ORDER BY id");
    assert_eq!(lake.run("EXECUTE p USING 15"), ["2", "4"]);
    assert!(lake.error("EXECUTE q").contains("\"q\""));
    assert!(lake.error("SET batchsize = 3").contains("batch_size"));
    assert!(!lake.run("EXPLAIN SELECT 1").is_empty());
}

#[test]
fn deep_text_does_not_overflow_the_stack() {
    let lake = lake();
    let deep = format!("SELECT {}1{}", "(".repeat(1000), ")".repeat(1000));
    assert_eq!(lake.run(&deep), ["1"]);
    let chain: Vec<String> = (0..10_000).map(|i| format!("id = {i}")).collect();
    assert_eq!(
        lake.run(&format!(
            "SELECT count(*) FROM 'DIR/trips.csv' WHERE {}",
            chain.join(" OR ")
        )),
        ["4"]
    );
}

#[test]
fn every_format_reads_back_what_it_wrote() {
    let lake = lake();
    let rows = "SELECT 1 AS Id, 'a,b' AS t, DATE '2020-01-31' AS d UNION ALL SELECT 2, NULL, NULL UNION ALL SELECT 3, 'x', NULL";
    let expected = ["1|a,b|2020-01-31", "2||", "3|x|"];
    for format in ["PARQUET", "CSV", "TEXTFILE", "JSON"] {
        lake.run(&format!("CREATE TABLE t_{format} WITH (format = '{format}') AS {rows}"));
        assert_eq!(
            lake.run(&format!("SELECT id, t, d FROM t_{format} ORDER BY id")),
            expected,
            "{format}"
        );
        lake.run(&format!("INSERT INTO t_{format} VALUES (4, 'y', NULL)"));
        assert_eq!(lake.run(&format!("SELECT count(*) FROM t_{format}")), ["4"], "{format}");
    }
    for name in ["x.parquet", "x.csv", "x.csv.gz", "x.json.zst"] {
        lake.run(&format!("COPY ({rows}) TO 'DIR/{name}'"));
        assert_eq!(
            lake.run(&format!("SELECT Id, t FROM 'DIR/{name}' ORDER BY 1")),
            ["1|a,b", "2|", "3|x"],
            "{name}"
        );
    }
    assert!(
        lake.error(&format!("COPY ({rows}) TO 'DIR/y.csv' (delimter ';')"))
            .contains("delimiter")
    );
    assert!(!std::path::Path::new(&lake.path("y.csv")).exists());
}

#[test]
fn partitions_are_written_read_and_replaced() {
    let lake = lake();
    lake.run(
        "CREATE TABLE p WITH (partitioned_by = ARRAY['k'], external_location = 'DIR/p') AS \
         SELECT x, k FROM (VALUES (1, 'a/b'), (2, 'a/b'), (3, NULL)) AS v(x, k)",
    );
    assert_eq!(
        lake.run("SHOW PARTITIONS p"),
        ["k=__HIVE_DEFAULT_PARTITION__", "k=a%2Fb"]
    );
    assert_eq!(lake.run("SELECT sum(x) FROM p WHERE k = 'a/b'"), ["3"]);
    lake.run("INSERT OVERWRITE TABLE p PARTITION (k = 'a/b') SELECT 10");
    assert_eq!(lake.run("SELECT x, k FROM p ORDER BY x"), ["3|", "10|a/b"]);
    assert!(lake.error("INSERT INTO p VALUES ('text', 'k')").contains("integer"));
    assert_eq!(lake.run("SELECT count(*) FROM 'DIR/p'"), ["2"]);
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    let lake = lake();
    lake.error(
        "CREATE TABLE f WITH (external_location = 'DIR/new/f') AS SELECT 1 / (id - 2) AS x FROM 'DIR/trips.csv'",
    );
    assert!(!std::path::Path::new(&lake.path("new")).exists());
    lake.run("CREATE TABLE f AS SELECT id FROM 'DIR/trips.csv'");
    lake.error("INSERT INTO f SELECT 1 / (id - 2) FROM 'DIR/trips.csv'");
    lake.error("INSERT OVERWRITE TABLE f SELECT 1 / (id - 2) FROM 'DIR/trips.csv'");
    assert_eq!(lake.run("SELECT count(*) FROM f"), ["4"]);
    lake.run("INSERT OVERWRITE TABLE f SELECT 7");
    assert_eq!(lake.run("SELECT id FROM f"), ["7"]);
    lake.run("DROP TABLE f");
    assert!(!std::path::Path::new(&lake.path("lakehouse/default/f")).exists());
}

#[test]
fn corrupt_bytes_are_an_error_of_the_file() {
    crate::runtime::hide_guarded_panics();
    let lake = lake();
    lake.run(
        "COPY (SELECT k, ARRAY[CAST(k % 5 AS decimal(30, 2)), 7] AS l, MAP(ARRAY[k], ARRAY['some text']) AS m
               FROM UNNEST(sequence(1, 40)) AS t(k)) TO 'DIR/t.parquet' WITH (compression = 'none')",
    );
    let whole = std::fs::read(lake.path("t.parquet")).unwrap();
    let mut by_libraries = 0;
    for at in 4..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= [0x01, 0x80, 0x7f][at % 3];
        std::fs::write(lake.path("bad.parquet"), bytes).unwrap();
        if let Err(error) = lake.try_run("SELECT * FROM 'DIR/bad.parquet'") {
            assert_ne!(error.kind(), crate::ErrorKind::Internal, "byte {at}: {error}");
            by_libraries += usize::from(error.to_string().contains("the bytes are corrupt"));
        }
    }
    assert!(by_libraries > 0, "no library panicked: there is nothing to guard");
}

#[test]
fn tables_over_text_are_shown_as_they_were_declared() {
    let lake = lake();
    let cases: [(&str, &[&str]); 5] = [
        (
            r"CREATE EXTERNAL TABLE t (id int) ROW FORMAT DELIMITED FIELDS TERMINATED BY '|' ESCAPED BY '\'
              COLLECTION ITEMS TERMINATED BY ';' NULL DEFINED AS '-' LOCATION 'DIR/x' TBLPROPERTIES ('bad_rows' = 'skip')",
            &[
                "LazySimpleSerDe",
                "'field.delim' = '|'",
                "'collection.delim' = ';'",
                "'bad_rows' = 'skip'",
            ],
        ),
        (
            "CREATE EXTERNAL TABLE t (id int) ROW FORMAT SERDE 'com.bizo.hive.serde.csv.CSVSerde'
             WITH SERDEPROPERTIES ('separatorChar' = ';') LOCATION 'DIR/x' TBLPROPERTIES ('skip.header.line.count' = '1')",
            &[
                "com.bizo.hive.serde.csv.CSVSerde",
                "'separatorChar' = ';'",
                "'skip.header.line.count' = '1'",
            ],
        ),
        (
            "CREATE EXTERNAL TABLE t (id int) ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
             WITH SERDEPROPERTIES ('timestamp.formats' = 'millis', 'mapping.id' = 'ID') LOCATION 'DIR/x'",
            &[
                "hcatalog.data.JsonSerDe",
                "'timestamp.formats' = 'millis'",
                "'mapping.id' = 'ID'",
            ],
        ),
        (
            r"CREATE EXTERNAL TABLE t (id int) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.RegexSerDe'
              WITH SERDEPROPERTIES ('input.regex' = '(\\d+) ''x''') LOCATION 'DIR/x'",
            &["RegexSerDe", r"'input.regex' = '(\\d+) ''x'''"],
        ),
        (
            "CREATE EXTERNAL TABLE t (id int) STORED AS JSON LOCATION 'DIR/x'",
            &["JsonSerDe", "STORED AS TEXTFILE"],
        ),
    ];
    for (ddl, expected) in cases {
        lake.run(ddl);
        let shown = lake.run("SHOW CREATE TABLE t").join("\n");
        for part in expected {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        lake.run("DROP TABLE t");
        lake.run(&shown);
        assert_eq!(lake.run("SHOW CREATE TABLE t").join("\n"), shown);
        lake.run("DROP TABLE t");
    }
}

#[test]
fn files_of_bucketed_tables_are_sorted() {
    let lake = lake();
    for (config, rows) in [
        ("SET debug_force_spill = false", 3000),
        ("SET debug_force_spill = true", 3000),
    ] {
        lake.run(config);
        lake.run(
            "CREATE TABLE sorted (id BIGINT, name STRING) PARTITIONED BY (part STRING)
             CLUSTERED BY (name) SORTED BY (id DESC) INTO 2 BUCKETS STORED AS CSV",
        );
        let shown = lake.run("SHOW CREATE TABLE sorted").join("\n");
        assert!(
            shown.contains("CLUSTERED BY (`name`) SORTED BY (`id` DESC) INTO 2 BUCKETS"),
            "{shown}"
        );
        lake.run(&format!(
            "INSERT INTO sorted SELECT i, CAST(i AS VARCHAR), CAST(i % 5 AS VARCHAR) FROM UNNEST(sequence(1, {rows})) AS s(i)"
        ));
        let mut seen = 0;
        for file in lake.run("SELECT path FROM \"sorted$files\"") {
            let text = std::fs::read_to_string(&file).unwrap();
            let ids: Vec<i64> = text
                .lines()
                .map(|l| l.split(',').next().unwrap().parse().unwrap())
                .collect();
            assert!(ids.is_sorted_by(|a, b| a > b), "{file}");
            seen += ids.len();
        }
        assert_eq!(seen, rows);
        lake.run("DROP TABLE sorted");
    }
}
