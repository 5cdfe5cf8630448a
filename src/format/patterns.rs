//! Lines of text taken apart by a pattern: Hive's RegexSerDe, whose groups are the columns in order, and Glue's GrokSerDe,
//! whose named parts are the columns of that name. A line that the pattern does not match gives NULL in all columns; what a
//! group caught and is no value of its column's type makes a bad row ([`super::bad_rows`]).

mod grok;

use super::bad_rows::{BadRowLog, BadRowOptions, Fault};
use super::columns::{ColumnSource, column_sources, finish_batch, without};
use super::lines::{Lines, chunks};
use super::registry::{FormatOption, Options};
use super::spelling::Spelling;
use super::values::{TypeGuess, ValueBuilder};
use super::{BatchReader, FileFormat, FileInfo, Partition, ScanRequest};
use crate::error::{Error, Result};
use crate::storage::{Compression, ObjectFile};
use crate::types::{DataType, ScalarValue, type_name};
use crate::vector::{Batch, Column};
use std::sync::Arc;

/// Lines of a file that are looked at for the types of its columns.
const SAMPLE_LINES: usize = 1000;

/// The names of the options.
pub static PATTERN_OPTIONS: &[FormatOption] = &[
    &["pattern", "input.regex", "input_regex", "input.format", "input_format"],
    &["custom_patterns", "input.grokcustompatterns"],
    &["ignore_case", "input.regex.case.insensitive"],
    // How RegexSerDe would write, which it cannot.
    &["output_format", "output.format.string"],
    &["skip", "skip.header.line.count", "skip_header_line_count"],
    &["timestamp_format", "timestamp.formats", "timestampformat"],
    &["date_format", "dateformat"],
    &["encoding", "serialization.encoding", "charset"],
    &["invalid_utf8"],
    &["bad_rows"],
    &["max_bad_rows"],
    &["quarantine_location"],
];

/// Lines and the pattern that takes them apart.
#[derive(Debug)]
pub struct PatternFormat {
    name: &'static str,
    pattern: Arc<fancy_regex::Regex>,
    /// The column and the group of each part.
    parts: Vec<(Arc<str>, usize)>,
    /// Whether columns are found by the names of the parts.
    by_name: bool,
    skip: usize,
    spelling: Spelling,
    bad_rows: BadRowOptions,
}

impl PatternFormat {
    /// RegexSerDe.
    pub fn regex(options: &Options) -> Result<Self> {
        let text = required(options, "input.regex")?;
        Self::new("REGEX", &format!("^(?:{text})$"), options, |regex| {
            (1..regex.captures_len())
                .map(|i| (format!("column{}", i - 1).into(), i))
                .collect()
        })
    }

    /// GrokSerDe.
    pub fn grok(options: &Options) -> Result<Self> {
        let custom = options.get(PATTERN_OPTIONS, "custom_patterns").unwrap_or_default();
        let (text, names) = grok::translate(&required(options, "input.format")?, custom)?;
        let mut format = Self::new("GROK", &text, options, |regex| {
            let named = regex.capture_names().enumerate();
            let part = |(group, name): (usize, Option<&str>)| {
                let number: usize = name?.strip_prefix('n')?.parse().ok()?;
                Some((names.get(number)?.to_lowercase().into(), group))
            };
            named.filter_map(part).collect()
        })?;
        format.by_name = true;
        Ok(format)
    }

    fn new(
        name: &'static str,
        text: &str,
        options: &Options,
        parts: impl Fn(&fancy_regex::Regex) -> Vec<(Arc<str>, usize)>,
    ) -> Result<Self> {
        let ignore_case = match options
            .get(PATTERN_OPTIONS, "ignore_case")
            .map(str::to_lowercase)
            .as_deref()
        {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                return Err(Error::plan(format!(
                    "option ignore_case is true or false, found \"{other}\""
                )));
            }
        };
        let text = if ignore_case {
            format!("(?i){text}")
        } else {
            text.to_string()
        };
        let pattern = fancy_regex::Regex::new(&text)
            .map_err(|e| Error::plan(format!("\"{text}\" is not a regular expression: {e}")))?;
        let skip = options.get(PATTERN_OPTIONS, "skip").unwrap_or("0");
        Ok(Self {
            name,
            parts: parts(&pattern),
            pattern: Arc::new(pattern),
            by_name: false,
            skip: skip
                .trim()
                .parse()
                .map_err(|_| Error::plan(format!("option skip is a number of lines, found \"{skip}\"")))?,
            spelling: Spelling::of(PATTERN_OPTIONS, options)?,
            bad_rows: BadRowOptions::of(PATTERN_OPTIONS, options)?,
        })
    }

    /// The lines of a range, without those before the data.
    fn lines(&self, file: &ObjectFile, range: std::ops::Range<u64>) -> Result<Lines> {
        let first = range.start == 0;
        let mut lines = Lines::open(file, range)?;
        if first {
            for _ in 0..self.skip {
                lines.next_line()?;
            }
        }
        Ok(lines)
    }
}

/// The pattern as an option gives it. Hive undoes backslashes in its strings, so patterns have them doubled.
fn required(options: &Options, name: &str) -> Result<String> {
    let text = options
        .get(PATTERN_OPTIONS, "pattern")
        .ok_or_else(|| Error::plan(format!("the SerDe needs the property \"{name}\"")))?;
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(next @ ('\\' | '"' | '\''))) => {
                out.push(*next);
                chars.next();
            }
            (c, _) => out.push(c),
        }
    }
    Ok(out)
}

impl FileFormat for PatternFormat {
    fn name(&self) -> &'static str {
        self.name
    }

    fn inspect(&self, file: &ObjectFile, sample: bool) -> Result<FileInfo> {
        if !sample {
            return Ok(FileInfo::default());
        }
        let mut guesses = vec![TypeGuess::default(); self.parts.len()];
        let mut lines = self.lines(file, 0..file.size)?;
        for _ in 0..SAMPLE_LINES {
            let Some(line) = lines.next_line()? else { break };
            let text = String::from_utf8_lossy(line);
            let Ok(Some(found)) = self.pattern.captures(text.as_ref()) else {
                continue;
            };
            for (guess, (_, group)) in guesses.iter_mut().zip(&self.parts) {
                if let Some(part) = found.get(*group) {
                    guess.add_as(part.as_str().as_bytes(), &self.spelling);
                }
            }
        }
        let columns = self.parts.iter().zip(&guesses);
        Ok(FileInfo {
            columns: columns
                .map(|((name, _), guess)| (name.clone(), guess.data_type()))
                .collect(),
            ..Default::default()
        })
    }

    fn partitions(
        &self,
        file: &ObjectFile,
        info: &Arc<FileInfo>,
        constants: &[ScalarValue],
        _request: &ScanRequest,
    ) -> Result<Vec<Partition>> {
        Ok(chunks(file, Compression::of(&file.location)?, info, constants))
    }

    fn bad_rows(&self) -> Option<&BadRowOptions> {
        Some(&self.bad_rows)
    }

    fn open(&self, partition: &Partition, request: &Arc<ScanRequest>) -> Result<Box<dyn BatchReader>> {
        let sources = column_sources(request, partition, |column| {
            let part = match self.by_name {
                true => self
                    .parts
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(&column.name)),
                false => self.parts.get(column.position),
            };
            part.map(|(_, group)| *group)
        })?;
        let mut builders = vec![];
        for (column, source) in sources.iter().enumerate() {
            if let (ColumnSource::File(group), Some(wanted)) = (source, request.columns.get(column)) {
                let values = ValueBuilder::new(&wanted.data_type, request.batch_rows, &self.spelling)
                    .map_err(|e| e.context(format!("column \"{}\"", wanted.name)))?;
                builders.push((column, *group, values));
            }
        }
        let lines = self.lines(&partition.file, partition.start..partition.end)?;
        Ok(Box::new(PatternReader {
            bad_rows: BadRowLog::new(&partition.file, lines.compression),
            lines,
            pattern: self.pattern.clone(),
            request: request.clone(),
            sources,
            builders,
            spelling: self.spelling.clone(),
        }))
    }
}

struct PatternReader {
    lines: Lines,
    pattern: Arc<fancy_regex::Regex>,
    request: Arc<ScanRequest>,
    sources: Vec<ColumnSource>,
    /// A column of the request, its group, its values so far.
    builders: Vec<(usize, usize, ValueBuilder)>,
    spelling: Spelling,
    bad_rows: BadRowLog,
}

impl PatternReader {
    /// Puts one line's parts into the builders, NULL for what is wrong; the first thing that is.
    fn take(
        line: &[u8],
        pattern: &fancy_regex::Regex,
        builders: &mut [(usize, usize, ValueBuilder)],
        request: &ScanRequest,
        spelling: &Spelling,
    ) -> Option<Fault> {
        let decoded = spelling.decode(line);
        let found = decoded.as_deref().map(|text| pattern.captures(text));
        let mut fault = match &found {
            None => Some(Fault::of_row("the line is not valid UTF-8")),
            Some(Err(e)) => Some(Fault::of_row(format!("the pattern gave up: {e}"))),
            Some(Ok(_)) => None,
        };
        let captures = found.and_then(|f| f.ok().flatten());
        for (column, group, values) in builders {
            let part = captures.as_ref().and_then(|c| c.get(*group)).map(|m| m.as_str());
            match part {
                None => values.append_null(),
                Some("") if !values.is_string() => values.append_null(),
                Some(text) => {
                    if values.append(text.as_bytes()).is_none() {
                        values.append_null();
                        let wanted = request.columns.get(*column);
                        let shown: String = text.chars().take(80).collect();
                        fault.get_or_insert_with(|| {
                            let expected = wanted.map_or(&DataType::Null, |c| &c.data_type);
                            Fault::of_column(
                                wanted.map_or("", |c| &c.name),
                                format!(
                                    "\"{}\" is not a value of type {}",
                                    shown.escape_debug(),
                                    type_name(expected)
                                ),
                            )
                        });
                    }
                }
            }
        }
        fault
    }
}

impl BatchReader for PatternReader {
    fn next(&mut self) -> Result<Option<Batch>> {
        let (mut rows, mut dropped) = (0, vec![]);
        while rows < self.request.batch_rows {
            let Some(line) = self.lines.next_line()? else { break };
            let fault = Self::take(line, &self.pattern, &mut self.builders, &self.request, &self.spelling);
            if let Some(fault) = fault {
                let (start, row) = (self.lines.start(), self.lines.line());
                if !self.bad_rows.note(&self.request.bad_rows, start, &fault, row)? {
                    dropped.push(rows as u32);
                }
            }
            rows += 1;
        }
        if rows == 0 {
            self.bad_rows.flush(&self.request.bad_rows)?;
            return Ok(None);
        }
        let mut arrays = vec![None; self.sources.len()];
        for (column, _, values) in &mut self.builders {
            if let Some(array) = arrays.get_mut(*column) {
                *array = Some(Column::Array(values.finish()?));
            }
        }
        finish_batch(&self.request, &self.sources, arrays, rows, without(rows, &dropped)).map(Some)
    }
}

impl Drop for PatternReader {
    /// A query that has enough rows reads no further; what was quarantined until then is kept.
    fn drop(&mut self) {
        let _ = self.bad_rows.flush(&self.request.bad_rows);
    }
}
