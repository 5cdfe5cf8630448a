//! From the properties of a statement or table to what a writer needs.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::format::csv::{CSV_OPTIONS, CsvOptions, CsvWriteOptions};
use crate::format::parquet::ParquetWriteOptions;
use crate::format::{FormatOption, Options};
use crate::logical::LogicalPlan;
use crate::physical::{TextCompression, WriteFormat};

/// The options of writing; the first name is ours, the others are synonyms.
static WRITE_OPTIONS: &[FormatOption] = &[
    &[
        "compression",
        "write_compression",
        "write.compression",
        "parquet_compression",
        "parquet.compression",
    ],
    &["row_group_rows", "row_group_size"],
];

/// How a format is written with these options; what they do not say, the settings do.
pub(super) fn write_format(format: &str, options: &Options, config: &Config) -> Result<WriteFormat> {
    let compression = options.get(WRITE_OPTIONS, "compression");
    match format {
        "PARQUET" => {
            let rows = options.get(WRITE_OPTIONS, "row_group_rows");
            let row_group_rows = match rows.map(|text| (text, text.trim().parse::<usize>())) {
                None => config.row_group_rows,
                Some((_, Ok(n))) if n > 0 => n,
                Some((text, _)) => {
                    return Err(Error::plan(format!(
                        "row_group_rows must be a number of rows, found \"{text}\""
                    )));
                }
            };
            let compression = compression.unwrap_or(&config.compression).to_lowercase();
            Ok(WriteFormat::Parquet(ParquetWriteOptions {
                compression,
                row_group_rows,
            }))
        }
        "JSON" => Ok(WriteFormat::Json(text_compression(compression)?)),
        "CSV" => Ok(WriteFormat::Csv(
            csv_options(CsvOptions::csv(options)?, options),
            text_compression(compression)?,
        )),
        "TEXTFILE" => Ok(WriteFormat::Csv(
            csv_options(CsvOptions::text(options)?, options),
            text_compression(compression)?,
        )),
        "OPENCSV" => Ok(WriteFormat::Csv(
            csv_options(CsvOptions::open_csv(options)?, options),
            text_compression(compression)?,
        )),
        other => Err(Error::unsupported(format!("writing {other} files"))),
    }
}

/// A file is written as a table with the same options would read it. A table that skips lines gets a header when it
/// skips exactly one.
fn csv_options(read: CsvOptions, options: &Options) -> CsvWriteOptions {
    let skips_header = options.get(CSV_OPTIONS, "skip").is_some_and(|n| n.trim() == "1");
    CsvWriteOptions {
        delimiter: read.delimiter.unwrap_or(b','),
        quote: read.quote,
        header: read.header.unwrap_or(true) || skips_header,
        null: read.null.unwrap_or_default(),
    }
}

fn text_compression(name: Option<&str>) -> Result<TextCompression> {
    Ok(match name.map(str::to_lowercase).as_deref() {
        None | Some("none" | "uncompressed") => TextCompression::None,
        Some("gzip" | "gz") => TextCompression::Gzip,
        Some("zstd" | "zst") => TextCompression::Zstd,
        Some(other) => {
            return Err(
                Error::unsupported(format!("compression {other} for text files")).with_hint("none, gzip or zstd")
            );
        }
    })
}

/// Whether the rows of a plan come in an order that a file should keep.
pub(super) fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Project(n) => is_ordered(&n.input),
        LogicalPlan::Limit(n) => is_ordered(&n.input),
        _ => false,
    }
}
