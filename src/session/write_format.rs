//! From the properties of a statement or table to what a writer needs.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::format::csv::{CsvOptions, CsvWriteOptions};
use crate::format::parquet::ParquetWriteOptions;
use crate::format::{FormatEntry, FormatOption, Options};
use crate::logical::LogicalPlan;
use crate::physical::{TextCompression, WriteFormat};
use crate::storage::Compression;

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

/// How a format is written with these options; what they do not say, the settings do. Files of a `table` have a header
/// only when reading the table skips it; other CSV files have one unless told otherwise.
pub(super) fn write_format(format: &str, options: &Options, table: bool, config: &Config) -> Result<WriteFormat> {
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
            csv_options(CsvOptions::csv(options)?, !table)?,
            text_compression(compression)?,
        )),
        "TEXTFILE" => Ok(WriteFormat::Csv(
            csv_options(CsvOptions::text(options)?, false)?,
            text_compression(compression)?,
        )),
        "OPENCSV" => Ok(WriteFormat::Csv(
            csv_options(CsvOptions::open_csv(options)?, false)?,
            text_compression(compression)?,
        )),
        other => Err(Error::unsupported(format!("writing {other} files"))),
    }
}

/// A file is written as one with the same options is read: what is skipped there is a header here.
fn csv_options(read: CsvOptions, header: bool) -> Result<CsvWriteOptions> {
    if read.skip > 1 {
        return Err(Error::unsupported("writing files of which reading skips several lines"));
    }
    Ok(CsvWriteOptions {
        delimiter: read.delimiter.unwrap_or(b','),
        quote: read.quote,
        header: read.skip == 1 || read.header.unwrap_or(header),
        null: read.null.unwrap_or_default(),
    })
}

/// Whether a compression is among the options.
pub(super) fn has_compression(options: &[(String, String)]) -> bool {
    Options::new(options.iter().cloned())
        .get(WRITE_OPTIONS, "compression")
        .is_some()
}

/// # Errors
/// For the first option that neither writing nor the format knows.
pub(super) fn check_write_options(format: &FormatEntry, options: &Options) -> Result<()> {
    let writing = |name: &str| WRITE_OPTIONS.iter().any(|names| names.contains(&name));
    let others = options.iter().filter(|(name, _)| !writing(name));
    let error = match format.check_options(&Options::new(others)) {
        Ok(()) => return Ok(()),
        Err(e) => e,
    };
    let names: Vec<&str> = WRITE_OPTIONS
        .iter()
        .filter_map(|names| names.first().copied())
        .collect();
    Err(error.with_hint(format!("options of writing are {}", names.join(", "))))
}

/// The options with the compression that a file's name tells, unless they name one.
pub(super) fn with_compression_of(file: &str, mut options: Options) -> Result<Options> {
    if options.get(WRITE_OPTIONS, "compression").is_none() {
        let compression = Compression::of(file)?;
        if compression != Compression::None {
            options.insert("compression", compression.name());
        }
    }
    Ok(options)
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
