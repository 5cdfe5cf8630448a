use super::super::definition::ColumnDefinition;
use super::*;
use crate::types::type_name;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

/// A folder with Parquet files of the given columns.
fn parquet(dir: &std::path::Path, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The table with all of its files.
fn listed(definition: &TableDefinition) -> Result<Table> {
    let table = resolve_table(definition, None, 2)?;
    match &table.source {
        TableSource::Partitions(partitions) => partitions.list(&PartitionFilter::default()),
        _ => Ok(table),
    }
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn ad_hoc(location: &str) -> Result<Table> {
    resolve_files(
        &FilesReference {
            locations: vec![location.into()],
            format: None,
            options: Options::default(),
        },
        2,
    )
}

fn shown(table: &Table) -> Vec<String> {
    table
        .columns
        .iter()
        .map(|c| format!("{} {}", c.name, type_name(&c.data_type)))
        .collect()
}

#[test]
fn columns_of_several_files_meet_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    parquet(
        dir.path(),
        "t/y=2020/m=01/1.parquet",
        vec![("a", ints(&[1, 2])), ("B", ints(&[5, 6]))],
    );
    parquet(
        dir.path(),
        "t/y=2021/m=__HIVE_DEFAULT_PARTITION__/2.parquet",
        vec![
            ("b", Arc::new(Float64Array::from(vec![1.5])) as ArrayRef),
            ("c", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
        ],
    );
    let table = ad_hoc(&format!("{root}/t")).unwrap();
    assert_eq!(
        shown(&table),
        ["a bigint", "B double", "c varchar", "y bigint", "m bigint"]
    );
    let statistics = &table.statistics;
    assert_eq!(statistics.rows, Some(3));
    let column = |name: &str| &statistics.columns[table.column(name).unwrap()];
    assert_eq!(column("b").max, Some(ScalarValue::Float64(6.0)));
    assert_eq!(
        (column("a").nulls, column("a").min.clone()),
        (Some(1), Some(ScalarValue::Int64(1)))
    );
    assert_eq!(column("y").distinct, Some(2));
    assert_eq!(column("m").nulls, Some(1));
    let TableSource::Files(files) = &table.source else {
        panic!("files")
    };
    assert_eq!(files.partition_start, 3);
    assert_eq!(
        files.files[1].partition_values,
        [ScalarValue::Int64(2021), ScalarValue::Null]
    );
}

#[test]
fn what_does_not_meet_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    parquet(dir.path(), "t/1.parquet", vec![("a", ints(&[1]))]);
    parquet(
        dir.path(),
        "t/2.parquet",
        vec![("a", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)],
    );
    let error = ad_hoc(&format!("{root}/t/*.parquet")).unwrap_err();
    for part in ["\"a\"", "bigint", "varchar", "1.parquet", "2.parquet"] {
        assert!(error.message().contains(part), "{error}");
    }
    std::fs::write(dir.path().join("t/3.csv"), "a\n1\n").unwrap();
    let error = ad_hoc(&format!("{root}/t")).unwrap_err();
    assert!(error.message().contains("is CSV"), "{error}");
    std::fs::write(dir.path().join("t/4.parquet"), "PAR1 and nothing else").unwrap();
    let error = ad_hoc(&format!("{root}/t/4.parquet")).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::BadFile);
    assert!(error.message().contains("4.parquet"), "{error}");
}

#[test]
fn declared_columns_win() {
    let dir = tempfile::tempdir().unwrap();
    parquet(dir.path(), "y=1/1.parquet", vec![("a", ints(&[1]))]);
    let declare = |a: &str| TableDefinition {
        database: "default".into(),
        name: "t".into(),
        external: true,
        format: "PARQUET".into(),
        location: dir.path().to_str().unwrap().into(),
        columns: [("a", a), ("missing", "string")]
            .map(|(n, t)| ColumnDefinition {
                name: n.into(),
                type_text: t.into(),
                comment: None,
            })
            .to_vec(),
        partitioned_by: vec![ColumnDefinition {
            name: "y".into(),
            type_text: "string".into(),
            comment: None,
        }],
        ..Default::default()
    };
    let table = listed(&declare("double")).unwrap();
    assert_eq!(shown(&table), ["a double", "missing varchar", "y varchar"]);
    let error = listed(&declare("date")).unwrap_err();
    assert!(
        error
            .message()
            .contains("declares column \"a\" as date, but it is bigint"),
        "{error}"
    );
    let gone = TableDefinition {
        location: "/nowhere/at/all".into(),
        ..declare("double")
    };
    assert!(listed(&gone).is_err());
    let managed = TableDefinition {
        external: false,
        ..gone
    };
    assert_eq!(listed(&managed).unwrap().statistics.rows, Some(0));
}

#[test]
fn text_files_meet_by_position_and_as_text() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("1.csv"), "a,b\n1,x\n").unwrap();
    std::fs::write(dir.path().join("2.csv"), "A,other,c\n1.5,true,3\n").unwrap();
    let table = ad_hoc(&format!("{}/*.csv", dir.path().to_str().unwrap())).unwrap();
    assert_eq!(shown(&table), ["a double", "b varchar", "c bigint"]);
}
