//! DataFrames: the same plans as SQL, nothing is read before an action.

use crate::support;
use arrow::array::RecordBatch;
use lakebed::Result;
use lakebed::session::{
    Column, DataFrame, Session, WindowSpec, WriteMode, WriteOptions, avg, call, case, col, count_all, count_distinct,
    expr, lag, lit, max, min, rank, row_number, sum, when,
};
use std::fs;

struct Lake {
    folder: tempfile::TempDir,
    session: Session,
}

/// Trips and zones as Parquet files.
fn lake() -> Lake {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = folder.path().join("lakehouse").display().to_string();
    let lake = Lake {
        session: Session::new(Default::default(), &warehouse).unwrap(),
        folder,
    };
    for statement in [
        "COPY (SELECT * FROM (VALUES (1, 'a', 10.5e0), (2, 'b', 2e1), (3, 'a', NULL), (4, 'c', 4e1)) AS v(id, zone, fare)) \
         TO 'DIR/trips.parquet'",
        "COPY (SELECT * FROM (VALUES ('a', 'Queens'), ('b', 'Bronx')) AS v(zone, borough)) TO 'DIR/zones.parquet'",
        "COPY (SELECT 1 AS id, ARRAY['x', 'y'] AS tags) TO 'DIR/tags.parquet'",
        "CREATE EXTERNAL TABLE taxi LOCATION 'DIR/trips.parquet'",
        "CREATE VIEW dear AS SELECT id, fare FROM taxi WHERE fare > 15",
    ] {
        lake.run(statement);
    }
    lake
}

impl Lake {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn text(&self, text: &str) -> String {
        text.replace("DIR", &self.folder.path().display().to_string())
    }

    fn run(&self, statement: &str) {
        let results = self.session.execute(&self.text(statement)).unwrap();
        results.for_each(|result| drop(result.unwrap().collect().unwrap()));
    }

    /// A file under a short name.
    fn read(&self, name: &str) -> DataFrame {
        let read = self.session.read_parquet(&self.path(&format!("{name}.parquet")));
        read.unwrap().alias(&name[..1]).unwrap()
    }

    fn trips(&self) -> DataFrame {
        self.read("trips")
    }

    fn zones(&self) -> DataFrame {
        self.read("zones")
    }

    /// Both say the same: names, types, optimized plan, rows.
    fn twins(&self, frame: Result<DataFrame>, query: &str) {
        let query = self.text(query);
        let frame = frame.unwrap_or_else(|e| panic!("{query}: {e}"));
        let twin = self.session.sql(&query).unwrap_or_else(|e| panic!("{query}: {e}"));
        let shown = |frame: &DataFrame| -> Vec<String> {
            let fields = frame.schema().iter();
            fields.map(|f| format!("{} {}", f.name, f.data_type)).collect()
        };
        assert_eq!(shown(&frame), shown(&twin), "{query}");
        // SQL has to give the rows of an array a name of their own.
        let explained = twin.explain().unwrap().replace("u.tag", "tag");
        assert_eq!(frame.explain().unwrap(), explained, "{query}");
        assert_eq!(sorted(frame.collect()), sorted(twin.collect()), "{query}");
    }
}

fn rows(batches: Result<Vec<RecordBatch>>) -> Vec<String> {
    let row = |row: Vec<Option<String>>| {
        row.into_iter()
            .map(Option::unwrap_or_default)
            .collect::<Vec<_>>()
            .join("|")
    };
    support::rows(&batches.unwrap()).into_iter().map(row).collect()
}

fn sorted(batches: Result<Vec<RecordBatch>>) -> Vec<String> {
    let mut rows = rows(batches);
    rows.sort();
    rows
}

#[test]
fn sources() {
    let lake = lake();
    lake.twins(lake.session.table("taxi"), "SELECT * FROM taxi");
    lake.twins(lake.session.table("default.taxi"), "SELECT * FROM default.taxi");
    lake.twins(lake.session.table("dear"), "SELECT * FROM dear");
    lake.twins(lake.session.sql("SELECT 1 AS x"), "SELECT 1 AS x");
    lake.twins(
        lake.session
            .read(&lake.path("*s.parquet").replace("*s", "trip?"), None, &[])
            .and_then(|t| t.alias("t")),
        "SELECT * FROM 'DIR/trip?.parquet' AS t",
    );
}

#[test]
fn columns() {
    let lake = lake();
    let trips = lake.trips();
    lake.twins(
        trips.select([col("id"), (col("fare") * 2.0).alias("twice"), lit("x").alias("c")]),
        "SELECT id, fare * 2e0 AS twice, 'x' AS c FROM 'DIR/trips.parquet' t",
    );
    lake.twins(
        trips.select([
            call("upper", [col("t.zone")]).alias("z"),
            expr("coalesce(fare, 0) + 1").alias("f"),
            call("coalesce", [col("zone"), lit("?")]).alias("c"),
        ]),
        "SELECT upper(t.zone) AS z, coalesce(fare, 0) + 1 AS f, coalesce(zone, '?') AS c FROM 'DIR/trips.parquet' t",
    );
    lake.twins(
        trips.with_column("kind", when(col("fare").gt(15), lit("dear")).otherwise(lit("cheap"))),
        "SELECT *, CASE WHEN fare > 15 THEN 'dear' ELSE 'cheap' END AS kind FROM 'DIR/trips.parquet' t",
    );
    // A column of that name is replaced in its place.
    lake.twins(
        trips.with_column("ZONE", call("upper", [col("zone")])),
        "SELECT id, upper(zone) AS \"ZONE\", fare FROM 'DIR/trips.parquet' t",
    );
    lake.twins(
        trips.drop_columns(&["fare"]),
        "SELECT id, zone FROM 'DIR/trips.parquet' t",
    );
    lake.twins(
        trips.select([case([(col("zone").is_null(), lit(0))])
            .otherwise(lit(1))
            .cast("bigint")
            .alias("n")]),
        "SELECT CAST(CASE WHEN zone IS NULL THEN 0 ELSE 1 END AS BIGINT) AS n FROM 'DIR/trips.parquet' t",
    );
}

#[test]
fn filters() {
    let lake = lake();
    let trips = lake.trips();
    let cases: [(Column, &str); 7] = [
        (
            col("fare").gt(15).and(col("zone").is_in(["a", "b"])),
            "fare > 15 AND zone IN ('a', 'b')",
        ),
        (
            col("fare").lt_eq(15).or(col("fare").is_null()),
            "fare <= 15 OR fare IS NULL",
        ),
        (col("id").between(2, 3), "id BETWEEN 2 AND 3"),
        (col("zone").like("a%"), "zone LIKE 'a%'"),
        (col("zone").not_in(["a"]), "zone NOT IN ('a')"),
        (!col("zone").eq("a"), "NOT zone = 'a'"),
        (col("id").not_eq(1).and(lit(true)), "id <> 1 AND true"),
    ];
    for (condition, text) in cases {
        let query = format!("SELECT * FROM 'DIR/trips.parquet' t WHERE {text}");
        lake.twins(trips.filter(condition), &query);
        lake.twins(trips.filter_sql(text), &query);
    }
    // A condition on a window function, which SQL needs a subquery for.
    let first = row_number().over(WindowSpec::new().partition_by([col("zone")]).order_by([col("id")]));
    assert_eq!(
        sorted(trips.filter(first.eq(1)).unwrap().collect()),
        ["1|a|10.5", "2|b|20.0", "4|c|40.0"]
    );
}

#[test]
fn joins() {
    let lake = lake();
    let (trips, zones) = (lake.trips(), lake.zones());
    let on = || Some(col("t.zone").eq(col("z.zone")));
    for (kind, text) in [
        ("inner", "JOIN"),
        ("left", "LEFT JOIN"),
        ("right", "RIGHT JOIN"),
        ("full", "FULL JOIN"),
    ] {
        let from = format!("FROM 'DIR/trips.parquet' t {text} 'DIR/zones.parquet' z");
        lake.twins(
            trips
                .join(&zones, kind, on())
                .and_then(|j| j.select([col("t.id"), col("borough")])),
            &format!("SELECT t.id, z.borough {from} ON t.zone = z.zone"),
        );
        lake.twins(
            trips.join_using(&zones, kind, &["zone"]),
            &format!("SELECT * {from} USING (zone)"),
        );
    }
    lake.twins(
        trips.join(&zones, "cross", None),
        "SELECT * FROM 'DIR/trips.parquet' t CROSS JOIN 'DIR/zones.parquet' z",
    );
    lake.twins(
        trips.join(&zones, "semi", on()),
        "SELECT * FROM 'DIR/trips.parquet' t LEFT SEMI JOIN 'DIR/zones.parquet' z ON t.zone = z.zone",
    );
    lake.twins(
        trips.join(&zones, "anti", on()),
        "SELECT * FROM 'DIR/trips.parquet' t LEFT ANTI JOIN 'DIR/zones.parquet' z ON t.zone = z.zone",
    );
    lake.twins(
        trips.join(&zones, "inner", Some(col("t.zone").lt(col("z.zone")))),
        "SELECT * FROM 'DIR/trips.parquet' t JOIN 'DIR/zones.parquet' z ON t.zone < z.zone",
    );
    // A frame with itself.
    assert_eq!(trips.join_using(&trips, "inner", &["id"]).unwrap().count().unwrap(), 4);
}

#[test]
fn groups() {
    let lake = lake();
    let trips = lake.trips();
    lake.twins(
        trips.group_by([col("zone")]).agg([
            sum(col("fare")).alias("total"),
            count_all().alias("n"),
            (max(col("fare")) - min(col("fare"))).alias("spread"),
        ]),
        "SELECT zone, sum(fare) AS total, count(*) AS n, max(fare) - min(fare) AS spread FROM 'DIR/trips.parquet' t GROUP BY zone",
    );
    lake.twins(
        trips
            .group_by([(col("id") % 2).alias("odd"), col("zone")])
            .agg([avg(col("fare")).alias("a")]),
        "SELECT id % 2 AS odd, zone, avg(fare) AS a FROM 'DIR/trips.parquet' t GROUP BY id % 2, zone",
    );
    lake.twins(
        trips.group_by([col("zone")]).count(),
        "SELECT zone, count(*) AS count FROM 'DIR/trips.parquet' t GROUP BY zone",
    );
    lake.twins(
        trips.agg([
            count_distinct(col("zone")).alias("n"),
            sum(col("fare")).filter(col("id").gt(1)).alias("s"),
        ]),
        "SELECT count(DISTINCT zone) AS n, sum(fare) FILTER (WHERE id > 1) AS s FROM 'DIR/trips.parquet' t",
    );
}

#[test]
fn windows() {
    let lake = lake();
    let trips = lake.trips();
    let by_zone = || {
        WindowSpec::new()
            .partition_by([col("zone")])
            .order_by([col("fare").desc()])
    };
    lake.twins(
        trips.window([
            row_number().over(by_zone()).alias("n"),
            rank().over(by_zone()).alias("r"),
        ]),
        "SELECT *, row_number() OVER (PARTITION BY zone ORDER BY fare DESC) AS n, \
         rank() OVER (PARTITION BY zone ORDER BY fare DESC) AS r FROM 'DIR/trips.parquet' t",
    );
    lake.twins(
        trips.select([
            col("id"),
            lag(col("fare"), 1)
                .over(WindowSpec::new().order_by([col("id")]))
                .alias("before"),
        ]),
        "SELECT id, lag(fare, 1) OVER (ORDER BY id) AS before FROM 'DIR/trips.parquet' t",
    );
    lake.twins(
        trips.with_column(
            "s",
            sum(col("fare")).over(WindowSpec::new().order_by([col("id")]).rows_between(-1, 0)),
        ),
        "SELECT *, sum(fare) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM 'DIR/trips.parquet' t",
    );
}

#[test]
fn order_limit_union_distinct_explode() {
    let lake = lake();
    let (trips, zones) = (lake.trips(), lake.zones());
    lake.twins(
        trips.order_by([col("fare").desc(), col("id").asc().nulls_first()]),
        "SELECT * FROM 'DIR/trips.parquet' t ORDER BY fare DESC, id NULLS FIRST",
    );
    lake.twins(
        trips.order_by([col("fare").desc()]).map(|t| t.limit(2)),
        "SELECT * FROM 'DIR/trips.parquet' t ORDER BY fare DESC LIMIT 2",
    );
    lake.twins(
        trips.order_by([col("id")]).map(|t| t.offset(1)),
        "SELECT * FROM 'DIR/trips.parquet' t ORDER BY id OFFSET 1",
    );
    lake.twins(
        trips.select([col("zone")]).map(|t| t.distinct()),
        "SELECT DISTINCT zone FROM 'DIR/trips.parquet' t",
    );
    lake.twins(
        trips
            .select([col("zone")])
            .and_then(|t| t.union(&zones.select([col("zone")])?)),
        "SELECT zone FROM 'DIR/trips.parquet' t UNION ALL SELECT zone FROM 'DIR/zones.parquet' z",
    );
    lake.twins(
        lake.read("tags").explode("tags", &["tag"]),
        "SELECT t.id, u.tag FROM 'DIR/tags.parquet' t CROSS JOIN UNNEST(t.tags) AS u(tag)",
    );
}

#[test]
fn actions() {
    let lake = lake();
    let sorted = lake.trips().order_by([col("id").desc()]).unwrap();
    assert_eq!(sorted.count().unwrap(), 4);
    assert_eq!(rows(sorted.collect()), ["4|c|40.0", "3|a|", "2|b|20.0", "1|a|10.5"]);
    assert_eq!(rows(sorted.take(2)), ["4|c|40.0", "3|a|"]);
    assert_eq!(rows(sorted.head().map(|row| row.into_iter().collect())), ["4|c|40.0"]);
    assert!(sorted.filter_sql("id > 9").unwrap().head().unwrap().is_none());
    assert_eq!(rows(sorted.stream().and_then(|rows| rows.collect())).len(), 4);
    insta::assert_snapshot!(sorted.text(2).unwrap(), @"
    +----+------+------+
    | id | zone | fare |
    +==================+
    | 4  | c    | 40.0 |
    |----+------+------|
    | 3  | a    | NULL |
    +----+------+------+
    ");
    sorted.show(2).unwrap();
    // Written to a file by its name, to a folder, and to partitions.
    for (target, options) in [
        ("out/one.csv", WriteOptions::default()),
        (
            "out/many",
            WriteOptions {
                format: Some("json".into()),
                ..Default::default()
            },
        ),
        (
            "out/parts",
            WriteOptions {
                partition_by: vec!["zone".into()],
                ..Default::default()
            },
        ),
    ] {
        assert_eq!(sorted.write(&lake.path(target), &options).unwrap(), 4);
        let query = format!("SELECT id, zone, fare FROM 'DIR/{target}' ORDER BY id DESC");
        let back = lake.session.sql(&lake.text(&query)).unwrap();
        assert_eq!(rows(back.collect()), rows(sorted.collect()), "{target}");
    }
    assert!(lake.folder.path().join("out/parts/zone=b").is_dir());
    let again = sorted.write(&lake.path("out/many"), &WriteOptions::default());
    assert!(again.unwrap_err().to_string().contains("not empty"));
    // What happens to the files of before is a choice.
    for (mode, written, there) in [
        (WriteMode::Ignore, 0, 4),
        (WriteMode::Append, 4, 8),
        (WriteMode::Overwrite, 4, 4),
    ] {
        let options = WriteOptions {
            format: Some("json".into()),
            mode,
            ..Default::default()
        };
        assert_eq!(sorted.write(&lake.path("out/many"), &options).unwrap(), written);
        let back = lake.session.sql(&lake.text("SELECT * FROM 'DIR/out/many'")).unwrap();
        assert_eq!(back.count().unwrap(), there, "{mode:?}");
    }
}

#[test]
fn rows_in_memory_and_files_join() {
    let lake = lake();
    let batches = lake
        .session
        .sql("SELECT 'a' AS zone, 3 AS weight")
        .unwrap()
        .collect()
        .unwrap();
    let weights = lake.session.from_batches(batches).unwrap();
    let joined = lake.trips().join_using(&weights, "inner", &["zone"]).unwrap();
    assert_eq!(
        sorted(joined.select([col("id"), col("weight")]).unwrap().collect()),
        ["1|3", "3|3"]
    );
}

/// Everything between the first bytes of a Parquet file and its footer becomes zero.
fn wipe_rows(path: &str) {
    let mut bytes = fs::read(path).unwrap();
    let tail = bytes.len() - 8;
    let footer = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize;
    bytes[4..tail - footer].fill(0);
    fs::write(path, bytes).unwrap();
}

#[test]
fn nothing_is_read_before_an_action_but_schemas_and_footers() {
    let lake = lake();
    lake.run("COPY (SELECT x, x % 7 AS y FROM UNNEST(sequence(1, 1000)) AS t(x)) TO 'DIR/numbers.parquet'");
    let path = lake.path("numbers.parquet");
    wipe_rows(&path);
    let numbers = lake.session.read_parquet(&path).unwrap();
    let built = numbers
        .filter(col("x").gt(10))
        .and_then(|n| n.with_column("z", col("x") + col("y")))
        .and_then(|n| n.join_using(&numbers, "left", &["x"]))
        .and_then(|n| n.group_by([col("z")]).agg([count_all().alias("n")]))
        .and_then(|n| n.order_by([col("n").desc()]))
        .map(|n| n.distinct().limit(10))
        .unwrap();
    assert!(built.explain().unwrap().contains("numbers"));
    let bad = built.collect().unwrap_err().to_string();
    assert!(bad.contains("numbers.parquet"), "{bad}");
    // What the footer tells needs no rows.
    assert_eq!(numbers.count().unwrap(), 1000);
    // Nor does the file have to be there any more.
    fs::remove_file(&path).unwrap();
    assert!(built.filter(col("n").gt(1)).unwrap().explain().is_ok());
    assert!(built.collect().is_err());
}

#[test]
fn what_is_wrong_is_told_at_once() {
    let lake = lake();
    let trips = lake.trips();
    let told = |frame: Result<DataFrame>, part: &str| {
        let error = frame.unwrap_err().to_string();
        assert!(error.contains(part), "{part} is not in: {error}");
    };
    told(trips.select([col("fair")]), "did you mean \"fare\"");
    told(trips.drop_columns(&["fair"]), "did you mean \"fare\"");
    told(trips.filter(sum(col("fare")).gt(1)), "aggregate");
    told(trips.filter(col("fare")), "boolean");
    told(trips.filter_sql("fare >"), "xpected");
    told(trips.group_by([col("zone")]).agg([col("id")]), "neither a key");
    told(trips.join(&lake.zones(), "iner", None), "did you mean \"inner\"");
    told(trips.join_using(&lake.zones(), "inner", &["id"]), "\"id\"");
    told(trips.union(&lake.zones()), "columns");
    told(trips.explode("zone", &[]), "UNNEST");
    told(lake.session.table("taxy"), "did you mean \"taxi\"");
    told(
        lake.session.read_parquet(&lake.path("trip.parquet")),
        "did you mean \"trips.parquet\"",
    );
    told(lake.session.sql("SELECT 1; SELECT 2"), "one query");
}
