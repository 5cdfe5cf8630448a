//! The tables of TPC-H at any size, made here.

use arrow::array::RecordBatchReader;
use lakebed::session::Session;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::error::Error;
use std::fs::File;
use std::path::Path;
use tpchgen::generators::*;
use tpchgen_arrow::*;

pub const TABLES: [&str; 8] = [
    "region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem",
];

/// Writes each table as `folder/TABLE/part-0.parquet`.
pub fn write_tables(
    folder: &Path,
    scale: f64,
    row_group: usize,
    compression: Compression,
) -> Result<(), Box<dyn Error>> {
    for table in TABLES {
        let batches: Box<dyn RecordBatchReader> = match table {
            "region" => Box::new(RegionArrow::new(RegionGenerator::new(scale, 1, 1))),
            "nation" => Box::new(NationArrow::new(NationGenerator::new(scale, 1, 1))),
            "supplier" => Box::new(SupplierArrow::new(SupplierGenerator::new(scale, 1, 1))),
            "part" => Box::new(PartArrow::new(PartGenerator::new(scale, 1, 1))),
            "partsupp" => Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1))),
            "customer" => Box::new(CustomerArrow::new(CustomerGenerator::new(scale, 1, 1))),
            "orders" => Box::new(OrderArrow::new(OrderGenerator::new(scale, 1, 1))),
            _ => Box::new(LineItemArrow::new(LineItemGenerator::new(scale, 1, 1))),
        };
        std::fs::create_dir_all(folder.join(table))?;
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(row_group))
            .set_compression(compression)
            .build();
        let file = File::create(folder.join(table).join("part-0.parquet"))?;
        let mut writer = ArrowWriter::try_new(file, batches.schema(), Some(properties))?;
        for batch in batches {
            writer.write(&batch?)?;
        }
        writer.close()?;
    }
    Ok(())
}

/// Tells the session's catalog where the tables are: `folder/TABLE/` or `folder/TABLE.parquet`.
pub fn declare_tables(session: &Session, folder: &Path) -> lakebed::Result<()> {
    for table in TABLES {
        let file = folder.join(format!("{table}.parquet"));
        let location = if file.exists() { file } else { folder.join(table) };
        let statement = format!(
            "CREATE EXTERNAL TABLE {table} STORED AS PARQUET LOCATION '{}'",
            location.display()
        );
        session.execute(&statement)?.try_for_each(|result| result.map(drop))?;
    }
    Ok(())
}
