//! The list of formats: names, file extensions, options, how to make one.

use super::FileFormat;
use super::csv::{CSV_OPTIONS, CsvFormat, CsvOptions};
use super::json::{JSON_MAPPING, JSON_OPTIONS, JsonFormat};
use super::parquet::ParquetFormat;
use super::patterns::{PATTERN_OPTIONS, PatternFormat};
use crate::error::{Error, Result};
use crate::storage::Compression;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The names of one option; the first is ours, the others are synonyms.
pub type FormatOption = &'static [&'static str];

/// Options of a format as written, keys in lower case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    pub fn new<K: AsRef<str>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(k, v)| (k.as_ref().to_lowercase(), v.into()))
                .collect(),
        )
    }

    /// The value of an option under its first name that is given, in the order of the table.
    pub fn get(&self, table: &[FormatOption], name: &str) -> Option<&str> {
        let names = table.iter().find(|names| names.first() == Some(&name))?;
        names.iter().find_map(|n| self.0.get(*n)).map(String::as_str)
    }

    pub fn insert(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_lowercase(), value.into());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// One format.
pub struct FormatEntry {
    /// As `STORED AS` and `format = '…'` spell it; the first is the one that is shown.
    pub names: &'static [&'static str],
    /// Extensions of file names, without those of compressions.
    pub extensions: &'static [&'static str],
    pub options: &'static [FormatOption],
    /// What options begin with whose rest is a column's name.
    pub option_prefix: Option<&'static str>,
    /// Whether columns of several files are matched by position and not by name.
    pub by_position: bool,
    create: fn(&Options) -> Result<Arc<dyn FileFormat>>,
}

/// All formats.
pub static FORMATS: &[FormatEntry] = &[
    FormatEntry {
        names: &["PARQUET"],
        extensions: &["parquet", "parq", "pq"],
        options: &[],
        option_prefix: None,
        by_position: false,
        create: |_| Ok(Arc::new(ParquetFormat)),
    },
    FormatEntry {
        names: &["CSV", "TSV"],
        extensions: &["csv", "tsv", "tab"],
        options: CSV_OPTIONS,
        option_prefix: None,
        by_position: true,
        create: |o| Ok(Arc::new(CsvFormat::new("CSV", CsvOptions::csv(o)?))),
    },
    FormatEntry {
        names: &["TEXTFILE"],
        extensions: &["txt", "text"],
        options: CSV_OPTIONS,
        option_prefix: None,
        by_position: true,
        create: |o| Ok(Arc::new(CsvFormat::new("TEXTFILE", CsvOptions::text(o)?))),
    },
    FormatEntry {
        names: &["OPENCSV"],
        extensions: &[],
        options: CSV_OPTIONS,
        option_prefix: None,
        by_position: true,
        create: |o| Ok(Arc::new(CsvFormat::new("OPENCSV", CsvOptions::open_csv(o)?))),
    },
    FormatEntry {
        names: &["JSON", "JSONFILE", "NDJSON"],
        extensions: &["json", "jsonl", "ndjson"],
        options: JSON_OPTIONS,
        option_prefix: Some(JSON_MAPPING),
        by_position: false,
        create: |o| Ok(Arc::new(JsonFormat::new(o)?)),
    },
    FormatEntry {
        names: &["REGEX"],
        extensions: &[],
        options: PATTERN_OPTIONS,
        option_prefix: None,
        by_position: true,
        create: |o| Ok(Arc::new(PatternFormat::regex(o)?)),
    },
    FormatEntry {
        names: &["GROK"],
        extensions: &[],
        options: PATTERN_OPTIONS,
        option_prefix: None,
        by_position: false,
        create: |o| Ok(Arc::new(PatternFormat::grok(o)?)),
    },
];

/// Formats that Hive knows and we do not read.
const UNSUPPORTED: &[&str] = &["ORC", "AVRO", "RCFILE", "SEQUENCEFILE", "ION", "ARROW"];

impl FormatEntry {
    /// The format with these options; names that are no options of it are left alone.
    pub fn create(&self, options: &Options) -> Result<Arc<dyn FileFormat>> {
        (self.create)(options)
    }

    /// Our name for an option that is called so, in any case; `None` when this format has none.
    pub fn option(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        if let Some(prefix) = self.option_prefix
            && name.len() > prefix.len()
            && name.starts_with(prefix)
        {
            return Some(name);
        }
        let names = self.options.iter().find(|names| names.contains(&name.as_str()))?;
        names.first().map(|first| first.to_string())
    }

    /// # Errors
    /// For the first name that is no option of this format, with the nearest one.
    pub fn check_options(&self, options: &Options) -> Result<()> {
        let known = || self.options.iter().flat_map(|names| names.iter().copied());
        match options.iter().find(|(name, _)| self.option(name).is_none()) {
            None => Ok(()),
            Some((name, _)) => {
                let own: Vec<&str> = self.options.iter().filter_map(|names| names.first().copied()).collect();
                let error =
                    Error::plan(format!("format {} has no option \"{name}\"", self.name())).with_nearest(name, known());
                Err(match own.is_empty() {
                    true => error,
                    false => error.with_hint(format!("its options are {}", own.join(", "))),
                })
            }
        }
    }

    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}

impl std::fmt::Debug for FormatEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The format of that name, in any case.
///
/// # Errors
/// `Unsupported` for formats that are known but not read, `Plan` with the nearest name for others.
pub fn find_format(name: &str) -> Result<&'static FormatEntry> {
    let is = |n: &str| n.eq_ignore_ascii_case(name);
    if let Some(found) = FORMATS.iter().find(|f| f.names.iter().any(|n| is(n))) {
        return Ok(found);
    }
    if UNSUPPORTED.iter().any(|n| is(n)) {
        return Err(Error::unsupported(format!("format {}", name.to_uppercase()))
            .with_hint("PARQUET, CSV, TEXTFILE and JSON are supported"));
    }
    let known = FORMATS.iter().flat_map(|f| f.names.iter().copied());
    Err(Error::plan(format!("there is no format \"{name}\"")).with_nearest(name, known))
}

/// The format that a file's name tells.
///
/// # Errors
/// When its extension says nothing.
pub fn format_of_file(location: &str) -> Result<&'static FormatEntry> {
    let file = location.rsplit('/').next().unwrap_or(location);
    let stem = Compression::of(file)?.strip(file);
    let extension = stem.rsplit_once('.').map_or("", |(_, e)| e);
    let known = |f: &&FormatEntry| f.extensions.iter().any(|e| e.eq_ignore_ascii_case(extension));
    if let Some(found) = FORMATS.iter().find(known) {
        return Ok(found);
    }
    if UNSUPPORTED.iter().any(|n| n.eq_ignore_ascii_case(extension)) {
        return find_format(extension);
    }
    Err(
        Error::plan(format!("the name of {location} does not say what format it has"))
            .with_hint("read_parquet('…'), read_csv('…') and read_json('…') read any name"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_found_by_name_and_extension() {
        assert_eq!(find_format("textfile").unwrap().name(), "TEXTFILE");
        assert_eq!(format_of_file("a/b.csv.gz").unwrap().name(), "CSV");
        assert_eq!(format_of_file("a/b.snappy.parquet").unwrap().name(), "PARQUET");
        assert_eq!(find_format("orc").unwrap_err().kind(), crate::ErrorKind::Unsupported);
        assert!(find_format("parqet").unwrap_err().hint().unwrap().contains("PARQUET"));
        assert!(format_of_file("a/b").is_err());
    }

    #[test]
    fn unknown_options_are_named() {
        let csv = find_format("csv").unwrap();
        assert!(csv.check_options(&Options::new([("SKIP", "1")])).is_ok());
        let error = csv.check_options(&Options::new([("delimter", ";")])).unwrap_err();
        assert!(error.hint().unwrap().contains("delimiter"));
    }
}
