//! From the properties of a statement or table to what a writer needs.

use super::WriteMode;
use crate::catalog::{Bucketing, TableDefinition};
use crate::config::{Config, parse_bytes};
use crate::error::{Error, Result};
use crate::format::csv::{CsvOptions, CsvWriteOptions};
use crate::format::parquet::ParquetWriteOptions;
use crate::format::{FormatEntry, FormatOption, Options};
use crate::logical::LogicalPlan;
use crate::physical::{BucketHash, Buckets, TextCompression, WriteFormat};
use crate::storage::Compression;
use crate::types::Field;

/// The options of writing; the first name is ours, the others are synonyms.
pub(super) static WRITE_OPTIONS: &[FormatOption] = &[
    &[
        "compression",
        "write_compression",
        "write.compression",
        "parquet_compression",
        "parquet.compression",
    ],
    &["compression_level"],
    &["row_group_rows", "row_group_size"],
    &["row_group_bytes", "row_group_size_bytes", "parquet.block.size"],
    &[
        "target_file_size",
        "file_size_bytes",
        "target_max_file_size",
        "write_target_data_file_size_bytes",
    ],
    &[
        "bloom_filter_columns",
        "parquet_bloom_filter_columns",
        "parquet.bloom.filter.columns",
    ],
];

/// The option of COPY that says what files in a folder are called.
pub(super) const FILENAME_PATTERN: &str = "filename_pattern";
/// What stands in a pattern for something that no other file has in its name.
pub(super) const UNIQUE: &str = "{uuid}";

/// # Errors
/// When files of that name would not be seen in a folder, or could take the place of others.
pub(super) fn check_pattern(pattern: &str, single_file: bool, mode: WriteMode) -> Result<()> {
    let wrong = |what: &str| Err(Error::plan(format!("FILENAME_PATTERN '{pattern}' {what}")));
    if single_file {
        return wrong("is for the files of a folder, and the target is one file");
    }
    if pattern.is_empty() || pattern.contains('/') || pattern.starts_with(['_', '.']) {
        return wrong(
            "is no name that is seen in a folder: it begins neither with _ nor with a point, and has no slash",
        );
    }
    if pattern.replace("{i}", "").replace(UNIQUE, "").contains(['{', '}']) {
        return wrong("has more in braces than {i} and {uuid}");
    }
    match mode {
        WriteMode::Create | WriteMode::Ignore => Ok(()),
        _ if pattern.contains(UNIQUE) => Ok(()),
        _ => Err(Error::plan(format!(
            "files named by FILENAME_PATTERN '{pattern}' could take the place of others in a folder that is not empty"
        ))
        .with_hint("add {uuid} to the pattern")),
    }
}

/// How a format is written with these options; what they do not say, the settings do. Files of a `table` have a header
/// only when reading the table skips it; other CSV files have one unless told otherwise.
///
/// # Errors
/// For values that an option does not take, for two compressions at once, and for options that the format does not have.
pub(super) fn write_format(format: &str, options: &Options, table: bool, config: &Config) -> Result<WriteFormat> {
    let compression = one_compression(options)?;
    let level = match options.get(WRITE_OPTIONS, "compression_level") {
        None => None,
        Some(text) => Some(
            text.trim()
                .parse::<i32>()
                .map_err(|_| Error::plan(format!("compression_level is a whole number, found \"{text}\"")))?,
        ),
    };
    let blooms = list(options.get(WRITE_OPTIONS, "bloom_filter_columns").unwrap_or_default());
    if format == "PARQUET" {
        let written =
            ParquetWriteOptions {
                compression: compression.unwrap_or(&config.compression).to_lowercase(),
                level,
                row_group_rows: match options.get(WRITE_OPTIONS, "row_group_rows") {
                    None => config.row_group_rows,
                    Some(text) => text.trim().parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                        Error::plan(format!("row_group_rows must be a number of rows, found \"{text}\""))
                    })?,
                },
                row_group_bytes: size(options, "row_group_bytes")?.unwrap_or(config.row_group_bytes),
                bloom_filters: blooms,
            };
        written.check()?;
        return Ok(WriteFormat::Parquet(written));
    }
    for name in ["row_group_rows", "row_group_bytes", "bloom_filter_columns"] {
        // Tables keep properties of other engines; what a statement says itself is never ignored.
        if options.get(WRITE_OPTIONS, name).is_some() && !table {
            return Err(Error::plan(format!("format {format} has no option \"{name}\"")).with_hint("PARQUET has"));
        }
    }
    let compression = text_compression(compression, level)?;
    match format {
        "JSON" => Ok(WriteFormat::Json(compression)),
        "CSV" => Ok(WriteFormat::Csv(
            CsvWriteOptions::as_read(&CsvOptions::csv(options)?, !table)?,
            compression,
        )),
        "TEXTFILE" => Ok(WriteFormat::Csv(
            CsvWriteOptions::as_read(&CsvOptions::text(options)?, false)?,
            compression,
        )),
        "OPENCSV" => Ok(WriteFormat::Csv(
            CsvWriteOptions::as_read(&CsvOptions::open_csv(options)?, false)?,
            compression,
        )),
        other => Err(Error::unsupported(format!("writing {other} files"))),
    }
}

/// Bytes at which files are ended; 0 for never.
pub(super) fn file_size(options: &Options, config: &Config) -> Result<u64> {
    Ok(size(options, "target_file_size")?.unwrap_or(config.target_file_size) as u64)
}

fn size(options: &Options, name: &str) -> Result<Option<usize>> {
    let text = options.get(WRITE_OPTIONS, name);
    text.map(|text| parse_bytes(text).map_err(|e| e.context(name)))
        .transpose()
}

/// Names separated by commas.
fn list(text: &str) -> Vec<String> {
    let names = text.split(',').map(|name| name.trim().to_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

/// # Errors
/// When two options name different compressions: nobody can say which is meant.
fn one_compression(options: &Options) -> Result<Option<&str>> {
    let names = WRITE_OPTIONS.first().copied().unwrap_or_default();
    let given: Vec<(&str, &str)> = options.iter().filter(|(name, _)| names.contains(name)).collect();
    match given.as_slice() {
        [(a, x), .., (b, y)] if !x.eq_ignore_ascii_case(y) => Err(Error::plan(format!(
            "the compression is given twice: {a} is {x}, {b} is {y}"
        ))),
        _ => Ok(given.first().map(|(_, value)| *value)),
    }
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

fn text_compression(name: Option<&str>, level: Option<i32>) -> Result<TextCompression> {
    let codec = name.map_or(Ok(Compression::None), Compression::by_name)?;
    let levels = match codec {
        Compression::Zstd => Some(1..=22),
        Compression::Gzip => Some(0..=9),
        Compression::Bzip2 => Some(1..=9),
        Compression::Deflate => {
            return Err(
                Error::unsupported("writing text compressed with deflate").with_hint("gzip is the same and more")
            );
        }
        _ => None,
    };
    match (level, levels) {
        (Some(level), None) => Err(Error::plan(format!(
            "compression {} has no levels, found compression_level {level}",
            codec.name()
        ))),
        (Some(level), Some(levels)) if !levels.contains(&level) => Err(Error::plan(format!(
            "compression_level of {} is {} to {}, found {level}",
            codec.name(),
            levels.start(),
            levels.end()
        ))),
        (level, _) => Ok(TextCompression { codec, level }),
    }
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

/// How the rows of a bucketed table are dealt out: `columns` are those of the plan.
///
/// # Errors
/// For columns that the table does not have, and hashes that nobody knows.
pub(super) fn buckets(table: &TableDefinition, columns: &[Field]) -> Result<Option<Buckets>> {
    let Some(Bucketing { columns: by, count, .. }) = &table.bucketing else {
        return Ok(None);
    };
    let place = |name: &String| {
        let found = columns.iter().position(|f| f.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            Error::plan(format!("bucket column \"{name}\" is not among the table's columns"))
                .with_nearest(name, columns.iter().map(|f| f.name.as_ref()))
        })
    };
    let property = |name: &str| table.properties.get(name).map(|v| v.trim().to_lowercase());
    let hash = match (
        property("bucketing_format").as_deref(),
        property("bucketing_version").as_deref(),
    ) {
        (Some("spark"), None) => BucketHash::Spark,
        (None | Some("hive"), Some("1")) => BucketHash::HiveV1,
        (None | Some("hive"), None | Some("2")) => BucketHash::HiveV2,
        (format, version) => {
            return Err(Error::plan(format!(
                "bucketing_format is hive or spark, bucketing_version of hive 1 or 2, found {} and {}",
                format.unwrap_or("none"),
                version.unwrap_or("none")
            )));
        }
    };
    if *count == 0 || *count > 100_000 {
        return Err(Error::plan(format!("a table has 1 to 100000 buckets, found {count}")));
    }
    if let Some(key) = by
        .iter()
        .find(|name| table.partitioned_by.iter().any(|p| p.name.eq_ignore_ascii_case(name)))
    {
        return Err(Error::plan(format!(
            "\"{key}\" is a partition column and cannot be one of the buckets too"
        )));
    }
    Ok(Some(Buckets {
        columns: by.iter().map(place).collect::<Result<_>>()?,
        count: *count,
        hash,
    }))
}
