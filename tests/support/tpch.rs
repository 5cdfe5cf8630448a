//! TPC-H at scale factor 0.01: data made here, answers of another engine in `testdata/tpch/answers/`.

use crate::support::{Configuration, rows};
use arrow::array::RecordBatchReader;
use arrow::datatypes::DataType;
use lakebed::session::Session;
use libtest_mimic::Failed;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;
use tpchgen::generators::*;
use tpchgen_arrow::*;

const SCALE: f64 = 0.01;
/// Rows per row group: some tables get several.
const ROW_GROUP: usize = 20_000;

pub fn queries() -> impl Iterator<Item = u32> {
    1..=22
}

/// Runs a query and compares its rows with the stored answer.
pub fn run(query: u32, configuration: &Configuration) -> Result<(), Failed> {
    let session = configuration.session(warehouse())?;
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

fn make_warehouse() -> Result<TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path();
    write(path, "region", RegionArrow::new(RegionGenerator::new(SCALE, 1, 1)))?;
    write(path, "nation", NationArrow::new(NationGenerator::new(SCALE, 1, 1)))?;
    write(
        path,
        "supplier",
        SupplierArrow::new(SupplierGenerator::new(SCALE, 1, 1)),
    )?;
    write(path, "part", PartArrow::new(PartGenerator::new(SCALE, 1, 1)))?;
    write(
        path,
        "partsupp",
        PartSuppArrow::new(PartSuppGenerator::new(SCALE, 1, 1)),
    )?;
    write(
        path,
        "customer",
        CustomerArrow::new(CustomerGenerator::new(SCALE, 1, 1)),
    )?;
    write(path, "orders", OrderArrow::new(OrderGenerator::new(SCALE, 1, 1)))?;
    write(
        path,
        "lineitem",
        LineItemArrow::new(LineItemGenerator::new(SCALE, 1, 1)),
    )?;
    Ok(folder)
}

/// Writes the table as Parquet and tells the catalog.
fn write(folder: &Path, table: &str, batches: impl RecordBatchReader) -> Result<(), Box<dyn std::error::Error>> {
    let location = folder.join("tpch").join(table);
    std::fs::create_dir_all(&location)?;
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .build();
    let file = File::create(location.join("part-0.parquet"))?;
    let mut writer = ArrowWriter::try_new(file, batches.schema(), Some(properties))?;
    for batch in batches {
        writer.write(&batch?)?;
    }
    writer.close()?;
    let session = Session::new(Default::default(), &folder.display().to_string())?;
    let statement = format!(
        "CREATE EXTERNAL TABLE {table} STORED AS PARQUET LOCATION '{}'",
        location.display()
    );
    session.execute(&statement)?.try_for_each(|result| result.map(drop))?;
    Ok(())
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
