//! The classes of Java that tables of Hive, Glue and Athena name, and the formats that read the same files.

use super::registry::{FormatEntry, find_format};
use crate::error::{Error, Result};

/// A SerDe class and its format; the first class of a format is the one that is shown.
static SERDES: &[(&str, &str)] = &[
    ("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", "TEXTFILE"),
    ("org.apache.hadoop.hive.serde2.OpenCSVSerde", "OPENCSV"),
    ("com.bizo.hive.serde.csv.CSVSerde", "OPENCSV"),
    ("org.openx.data.jsonserde.JsonSerDe", "JSON"),
    ("org.apache.hive.hcatalog.data.JsonSerDe", "JSON"),
    ("org.apache.hadoop.hive.serde2.JsonSerDe", "JSON"),
    ("com.amazon.elasticmapreduce.JsonSerde", "JSON"),
    ("org.apache.hadoop.hive.serde2.RegexSerDe", "REGEX"),
    ("org.apache.hadoop.hive.contrib.serde2.RegexSerDe", "REGEX"),
    ("com.amazonaws.glue.serde.GrokSerDe", "GROK"),
    ("org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe", "PARQUET"),
    ("parquet.hive.serde.ParquetHiveSerDe", "PARQUET"),
    ("org.apache.hadoop.hive.ql.io.orc.OrcSerde", "ORC"),
    ("org.apache.hadoop.hive.serde2.avro.AvroSerDe", "AVRO"),
    (
        "org.apache.hadoop.hive.serde2.columnar.LazyBinaryColumnarSerDe",
        "RCFILE",
    ),
    ("org.apache.hadoop.hive.serde2.columnar.ColumnarSerDe", "RCFILE"),
    (
        "org.apache.hadoop.hive.serde2.lazybinary.LazyBinarySerDe",
        "SEQUENCEFILE",
    ),
    ("com.amazon.ionhiveserde.IonHiveSerDe", "ION"),
    ("org.apache.hadoop.hive.serde2.MultiDelimitSerDe", ""),
    ("org.apache.hadoop.hive.contrib.serde2.MultiDelimitSerDe", ""),
    ("com.amazon.emr.hive.serde.CloudTrailSerde", ""),
    ("org.apache.hive.hcatalog.data.HCatRecordSerDe", ""),
];

/// An InputFormat class and its format; nothing for lines of text, which leave it to the SerDe.
static INPUTS: &[(&str, &str)] = &[
    ("org.apache.hadoop.mapred.TextInputFormat", "TEXTFILE"),
    (
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "PARQUET",
    ),
    ("parquet.hive.DeprecatedParquetInputFormat", "PARQUET"),
    ("org.apache.hadoop.hive.ql.io.orc.OrcInputFormat", "ORC"),
    ("org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat", "AVRO"),
    ("org.apache.hadoop.hive.ql.io.RCFileInputFormat", "RCFILE"),
    ("org.apache.hadoop.mapred.SequenceFileInputFormat", "SEQUENCEFILE"),
    ("com.amazon.ionhiveserde.formats.IonInputFormat", "ION"),
];

/// The format of a SerDe, named with its package or without.
///
/// # Errors
/// `Unsupported` for a class whose format is not read, `Plan` with the nearest name for one that nobody knows.
pub fn format_of_serde(class: &str) -> Result<&'static FormatEntry> {
    look_up(SERDES, "SERDE", class)
}

/// The format of an InputFormat; TEXTFILE for lines of text, of which the SerDe may make something else.
pub fn format_of_input(class: &str) -> Result<&'static FormatEntry> {
    look_up(INPUTS, "INPUTFORMAT", class)
}

/// The class that a format is shown with.
pub fn serde_of(format: &str) -> Option<&'static str> {
    SERDES.iter().find(|(_, f)| *f == format).map(|(class, _)| *class)
}

/// What Hive calls an option of ours.
static HIVE_NAMES: &[(&str, &str, &str)] = &[
    ("TEXTFILE", "delimiter", "field.delim"),
    ("TEXTFILE", "escape", "escape.delim"),
    ("TEXTFILE", "quote", "quote.delim"),
    ("TEXTFILE", "null", "serialization.null.format"),
    ("TEXTFILE", "collection_delimiter", "collection.delim"),
    ("TEXTFILE", "map_key_delimiter", "mapkey.delim"),
    ("OPENCSV", "delimiter", "separatorChar"),
    ("OPENCSV", "escape", "escapeChar"),
    ("OPENCSV", "quote", "quoteChar"),
    ("OPENCSV", "null", "serialization.null.format"),
    ("JSON", "ignore_malformed", "ignore.malformed.json"),
    ("JSON", "dots_in_keys", "dots.in.keys"),
    ("JSON", "case_insensitive", "case.insensitive"),
    ("REGEX", "pattern", "input.regex"),
    ("REGEX", "ignore_case", "input.regex.case.insensitive"),
    ("REGEX", "output_format", "output.format.string"),
    ("GROK", "pattern", "input.format"),
    ("GROK", "custom_patterns", "input.grokCustomPatterns"),
    ("", "timestamp_format", "timestamp.formats"),
    ("", "encoding", "serialization.encoding"),
    ("", "skip", "skip.header.line.count"),
    ("", "skip_footer", "skip.footer.line.count"),
];

/// What Hive and Athena call an option of a format, and whether they have it among the table's properties and not the
/// SerDe's. Options that they do not know keep their names.
pub fn hive_property(format: &str, option: &str) -> (String, bool) {
    let found = HIVE_NAMES
        .iter()
        .find(|(f, o, _)| *o == option && (f.is_empty() || *f == format));
    let name = found.map_or(option, |(.., name)| name);
    let of_table = [
        "skip",
        "skip_footer",
        "bad_rows",
        "max_bad_rows",
        "quarantine_location",
        "header",
    ];
    (name.to_string(), of_table.contains(&option))
}

fn look_up(table: &'static [(&str, &str)], what: &str, class: &str) -> Result<&'static FormatEntry> {
    let short = |class: &str| class.rsplit('.').next().unwrap_or_default().to_lowercase();
    let class = class.trim();
    let found = table
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(class))
        .or_else(|| table.iter().find(|(known, _)| short(known) == short(class)));
    match found {
        Some((_, "")) => Err(Error::unsupported(format!("{what} '{class}'"))),
        Some((_, format)) => find_format(format).map_err(|e| e.context(format!("{what} '{class}'"))),
        None => {
            let error = Error::plan(format!("there is no {what} '{class}'"));
            let nearest = error.with_nearest(class, table.iter().map(|(known, _)| *known));
            match nearest.hint() {
                Some(_) => Err(nearest),
                None => {
                    let names: Vec<&str> = table.iter().map(|(known, _)| *known).collect();
                    Err(nearest.with_hint(format!("known are {}", names.join(", "))))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_formats() {
        let serde = |class: &str| format_of_serde(class).map(|f| f.name());
        assert_eq!(serde("org.openx.data.jsonserde.JsonSerDe").unwrap(), "JSON");
        assert_eq!(
            serde("org.apache.hadoop.hive.serde2.lazy.lazysimpleserde").unwrap(),
            "TEXTFILE"
        );
        assert_eq!(serde("OpenCSVSerde").unwrap(), "OPENCSV");
        assert_eq!(serde_of("OPENCSV"), Some("org.apache.hadoop.hive.serde2.OpenCSVSerde"));
        let error = serde("org.apache.hadoop.hive.ql.io.orc.OrcSerde").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert!(
            error.message().contains("ORC") && error.message().contains("OrcSerde"),
            "{error}"
        );
        let error = serde("org.apache.hadoop.hive.serde2.OpenCSVSerd").unwrap_err();
        assert!(error.hint().unwrap().contains("OpenCSVSerde"), "{error}");
        assert_eq!(
            format_of_input("org.apache.hadoop.mapred.TextInputFormat")
                .unwrap()
                .name(),
            "TEXTFILE"
        );
        assert!(format_of_input("org.example.Format").is_err());
    }
}
