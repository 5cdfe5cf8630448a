//! TPC-H at scale factor 0.01: data made here, answers of another engine in `testdata/tpch/answers/`.

use crate::servers::{fresh_bucket, put_into_bucket};
use crate::support::{Configuration, rows};
use crate::tpch_data;
use arrow::datatypes::DataType;
use lakebed::session::Session;
use libtest_mimic::Failed;
use parquet::basic::Compression;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use tempfile::TempDir;

const SCALE: f64 = 0.01;
/// Rows per row group: some tables get several.
const ROW_GROUP: usize = 20_000;

pub fn queries() -> impl Iterator<Item = u32> {
    1..=22
}

/// Runs a query and compares its rows with the stored answer.
pub fn run(query: u32, configuration: &Configuration) -> Result<(), Failed> {
    let session = match &configuration.server {
        None => configuration.session(warehouse())?,
        Some(server) => configuration.session_at(bucket(server))?,
    };
    let text = std::fs::read_to_string(format!("sql/tpch/q{query:02}.sql"))?;
    let mut batches = vec![];
    for result in session.execute(&text)? {
        let found = result?.collect()?;
        if found.iter().any(|b| b.num_columns() > 0) || !found.is_empty() {
            batches = found;
        }
    }
    let types: Vec<DataType> = match batches.first() {
        Some(batch) => batch.schema().fields().iter().map(|f| f.data_type().clone()).collect(),
        None => vec![],
    };
    compare(&types, &rows(&batches), &answer(query)?)
}

/// The warehouse with the eight tables, made once.
fn warehouse() -> &'static Path {
    static WAREHOUSE: OnceLock<TempDir> = OnceLock::new();
    WAREHOUSE.get_or_init(|| make_warehouse().unwrap()).path()
}

/// A warehouse in a bucket with the same tables, made once for each server.
fn bucket(server: &str) -> &'static str {
    static MADE: Mutex<BTreeMap<String, &'static str>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap();
    made.entry(server.to_string()).or_insert_with(|| {
        let url = fresh_bucket(server);
        let made: &'static str = Box::leak(format!("{url}/warehouse").into_boxed_str());
        let session = Session::new(Default::default(), made).unwrap();
        for table in tpch_data::TABLES {
            let file = warehouse().join("tpch").join(table).join("part-0.parquet");
            put_into_bucket(
                &url,
                &format!("tpch/{table}/part-0.parquet"),
                std::fs::read(file).unwrap(),
            );
            let statement = format!("CREATE EXTERNAL TABLE {table} STORED AS PARQUET LOCATION '{url}/tpch/{table}'");
            session
                .execute(&statement)
                .unwrap()
                .for_each(|result| drop(result.unwrap()));
        }
        made
    })
}

fn make_warehouse() -> Result<TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    tpch_data::write_tables(&folder.path().join("tpch"), SCALE, ROW_GROUP, Compression::UNCOMPRESSED)?;
    tpch_data::declare_tables(
        &Session::new(Default::default(), &folder.path().display().to_string())?,
        &folder.path().join("tpch"),
    )?;
    Ok(folder)
}

/// The stored answer; an empty field is NULL.
fn answer(query: u32) -> Result<Vec<Vec<Option<String>>>, Failed> {
    let text = std::fs::read_to_string(format!("testdata/tpch/answers/q{query:02}.csv"))?;
    let field = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(text
        .lines()
        .skip(1)
        .map(|line| fields(line).into_iter().map(field).collect())
        .collect())
}

/// The fields of a line of CSV; quotes may be around a field and are doubled inside it.
fn fields(line: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match (c, quoted) {
            ('"', _) => quoted = !quoted,
            (',', false) => all.push(String::new()),
            (c, _) => all.last_mut().unwrap().push(c),
        }
    }
    all
}

fn compare(types: &[DataType], found: &[Vec<Option<String>>], expected: &[Vec<Option<String>>]) -> Result<(), Failed> {
    if found.len() != expected.len() {
        return Err(format!("{} rows, expected {}", found.len(), expected.len()).into());
    }
    for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
        let same = found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .zip(types)
                .all(|((found, expected), t)| equal(t, found.as_deref(), expected.as_deref()));
        if !same {
            return Err(format!("row {}:\n found    {found:?}\n expected {expected:?}", number + 1).into());
        }
    }
    Ok(())
}

/// Numbers are compared at the scale of what was found: the answers give averages of decimals as doubles.
fn equal(data_type: &DataType, found: Option<&str>, expected: Option<&str>) -> bool {
    let (Some(found), Some(expected)) = (found, expected) else {
        return found.unwrap_or_default() == expected.unwrap_or_default();
    };
    if found == expected {
        return true;
    }
    let (Ok(x), Ok(y)) = (found.parse::<f64>(), expected.parse::<f64>()) else {
        return false;
    };
    let tolerance = match data_type {
        DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => 0.5001 * 10f64.powi(-i32::from(*scale)),
        DataType::Float32 | DataType::Float64 => 1e-9 * y.abs(),
        _ => 0.0,
    };
    (x - y).abs() <= tolerance
}
