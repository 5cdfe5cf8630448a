//! What is done about rows of text that cannot be read: with too few or too many fields, with a value that is none of its
//! column's type, with a quote out of place, or that are no JSON.
//!
//! | policy | |
//! | --- | --- |
//! | `fail` | the statement fails with an error that names file, line, column and value |
//! | `null` | the value, or what the row lacks, is NULL |
//! | `skip` | the row is left out |
//! | `quarantine` | the row is left out and written, with where it was and why, to a file of JSON lines |
//!
//! Only columns that a query reads are looked at: a row can be bad for one query and good for another.

use super::registry::{FormatOption, Options};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::runtime::Metrics;
use crate::storage::{Compression, ObjectFile, open_text, put_file};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bytes of quarantined rows that are collected before they are written to a file.
const QUARANTINE_BYTES: usize = 8 << 20;
/// Bytes of a file that are searched for line ends at a time.
const BLOCK: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRowPolicy {
    Fail,
    Null,
    Skip,
    Quarantine,
}

impl BadRowPolicy {
    fn parse(text: &str) -> Result<Self> {
        let all = [
            ("fail", Self::Fail),
            ("null", Self::Null),
            ("skip", Self::Skip),
            ("quarantine", Self::Quarantine),
        ];
        let found = all.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
        found.map(|(_, policy)| *policy).ok_or_else(|| {
            Error::plan(format!(
                "bad_rows is fail, null, skip or quarantine, found \"{}\"",
                text.escape_debug()
            ))
        })
    }
}

/// What the options of a table say; what they leave out the settings of the session say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BadRowOptions {
    policy: Option<BadRowPolicy>,
    max: Option<u64>,
    quarantine: Option<String>,
}

impl BadRowOptions {
    /// From the options `bad_rows`, `max_bad_rows` and `quarantine_location` in the format's table of options.
    pub fn of(table: &[FormatOption], options: &Options) -> Result<Self> {
        let max = options.get(table, "max_bad_rows").map(|text| {
            let number = text.trim().parse();
            number.map_err(|_| Error::plan(format!("max_bad_rows is a number of rows, found \"{text}\"")))
        });
        Ok(Self {
            policy: options.get(table, "bad_rows").map(BadRowPolicy::parse).transpose()?,
            max: max.transpose()?,
            quarantine: options.get(table, "quarantine_location").map(str::to_string),
        })
    }
}

/// What a scan does, and did, about bad rows. Shared by all its readers.
#[derive(Debug)]
pub struct BadRows {
    policy: BadRowPolicy,
    max: u64,
    /// A folder.
    quarantine: String,
    metrics: Arc<Metrics>,
    count: AtomicU64,
    /// What names of quarantine files begin with, and how many there are.
    prefix: String,
    files: AtomicUsize,
    /// For each file lines that are known to begin at a byte of its text.
    lines: Mutex<HashMap<Arc<str>, BTreeMap<u64, u64>>>,
}

impl BadRows {
    /// What the table's options say, then the settings.
    ///
    /// # Errors
    /// When rows are to be quarantined nowhere, and `Refused` when the session is for reading only.
    pub fn new(options: Option<&BadRowOptions>, config: &Config, metrics: &Arc<Metrics>) -> Result<Self> {
        let options = options.cloned().unwrap_or_default();
        let policy = match options.policy {
            Some(policy) => policy,
            None => BadRowPolicy::parse(&config.bad_rows)?,
        };
        let quarantine = options.quarantine.unwrap_or_else(|| config.quarantine_location.clone());
        if policy == BadRowPolicy::Quarantine && quarantine.is_empty() {
            return Err(Error::plan("bad_rows = quarantine needs a folder for the rows")
                .with_hint("set quarantine_location, or give the table a property of that name"));
        }
        if policy == BadRowPolicy::Quarantine && config.guards.read_only {
            return Err(Error::refused(
                "bad_rows = quarantine writes files, and the session is for reading only (read_only)",
            ));
        }
        Ok(Self {
            policy,
            max: options.max.unwrap_or(config.max_bad_rows),
            quarantine,
            metrics: metrics.clone(),
            count: AtomicU64::new(0),
            prefix: format!(
                "{}_{:016x}",
                chrono::Utc::now().format("%Y%m%d_%H%M%S"),
                fastrand::u64(..)
            ),
            files: AtomicUsize::new(0),
            lines: Mutex::default(),
        })
    }

    /// Whether the first bad row ends the statement.
    pub fn fails(&self) -> bool {
        self.policy == BadRowPolicy::Fail
    }

    /// The last place before `offset` whose line is known: its byte and its line.
    fn known_line(&self, file: &ObjectFile, offset: u64) -> (u64, u64) {
        let lines = self.lines.lock();
        let marks = lines.get(&file.location);
        let known = marks.and_then(|m| m.range(..=offset).next_back());
        known.map_or((0, 1), |(offset, line)| (*offset, *line))
    }

    fn note_line(&self, file: &ObjectFile, offset: u64, line: u64) {
        let mut lines = self.lines.lock();
        lines.entry(file.location.clone()).or_default().insert(offset, line);
    }
}

/// Counts the lines of a file on the way to later and later bytes of its (decompressed) text.
struct LineCursor {
    input: Box<dyn Read + Send>,
    offset: u64,
    /// From 1.
    line: u64,
}

impl LineCursor {
    /// At byte `offset`, whose line is that. A compressed file is only read from its begin.
    fn open(file: &ObjectFile, compression: Compression, (offset, line): (u64, u64)) -> Result<Self> {
        let plain = compression == Compression::None;
        let (offset, line) = if plain { (offset, line) } else { (0, 1) };
        Ok(Self {
            input: open_text(file, compression, offset.min(file.size)..file.size)?,
            offset,
            line,
        })
    }

    fn advance(&mut self, offset: u64) -> Result<u64> {
        let mut block = vec![0; BLOCK];
        while self.offset < offset {
            let want = (offset - self.offset).min(BLOCK as u64) as usize;
            let read = self.input.read(block.get_mut(..want).unwrap_or_default())?;
            if read == 0 {
                break;
            }
            self.line += memchr::memchr_iter(b'\n', block.get(..read).unwrap_or_default()).count() as u64;
            self.offset += read as u64;
        }
        Ok(self.line)
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub column: Option<String>,
    pub what: String,
    pub hint: Option<&'static str>,
}

impl Fault {
    pub fn of_row(what: impl Into<String>) -> Self {
        Self {
            column: None,
            what: what.into(),
            hint: None,
        }
    }

    pub fn of_column(column: &str, what: impl Into<String>) -> Self {
        Self {
            column: Some(column.into()),
            what: what.into(),
            hint: None,
        }
    }

    pub fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

/// One reader's bad rows.
pub(super) struct BadRowLog {
    file: ObjectFile,
    compression: Compression,
    /// Rows to write, one JSON object each.
    pending: Vec<u8>,
    cursor: Option<LineCursor>,
}

impl BadRowLog {
    pub fn new(file: &ObjectFile, compression: Compression) -> Self {
        Self {
            file: file.clone(),
            compression,
            pending: vec![],
            cursor: None,
        }
    }

    /// The number, from 1, of the line at byte `offset`, which is not before that of the last call. Many bad rows of a file
    /// cost one more pass over it.
    fn line(&mut self, all: &BadRows, offset: u64) -> Result<u64> {
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            none => {
                let known = all.known_line(&self.file, offset);
                none.insert(LineCursor::open(&self.file, self.compression, known)?)
            }
        };
        let line = cursor.advance(offset)?;
        if self.compression == Compression::None
            && all.known_line(&self.file, offset).0 + QUARANTINE_BYTES as u64 <= offset
        {
            all.note_line(&self.file, offset, line);
        }
        Ok(line)
    }

    /// Notes a bad row, which starts at byte `offset` of the (decompressed) file. Whether it is kept all the same, with
    /// NULLs for what is wrong.
    ///
    /// # Errors
    /// When the policy is to fail, or there are more bad rows than allowed.
    pub fn note(&mut self, all: &BadRows, offset: u64, fault: &Fault, row: &[u8]) -> Result<bool> {
        if all.fails() {
            let hint = match fault.hint {
                Some(hint) => format!("{hint}; bad_rows = 'null', 'skip' or 'quarantine' reads on"),
                None => "bad_rows = 'null', 'skip' or 'quarantine' reads on".to_string(),
            };
            return Err(Error::bad_file(self.place(all, offset, fault)?).with_hint(hint));
        }
        let count = all.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count > all.max {
            let place = self.place(all, offset, fault)?;
            return Err(
                Error::bad_file(format!("{place}; there are more than {} bad rows", all.max))
                    .with_hint("max_bad_rows says how many are allowed"),
            );
        }
        if all.metrics.bad_rows.get() == 0 {
            all.metrics.note_first_bad_row(self.place(all, offset, fault)?);
        }
        all.metrics.bad_rows.add(1);
        if all.policy == BadRowPolicy::Quarantine {
            let entry = serde_json::json!({
                "file": &*self.file.location,
                "line": self.line(all, offset)?,
                "column": fault.column,
                "reason": fault.what,
                "row": String::from_utf8_lossy(row.trim_ascii_end()),
            });
            self.pending.extend(entry.to_string().into_bytes());
            self.pending.push(b'\n');
            if self.pending.len() >= QUARANTINE_BYTES {
                self.flush(all)?;
            }
        }
        Ok(all.policy == BadRowPolicy::Null)
    }

    fn place(&mut self, all: &BadRows, offset: u64, fault: &Fault) -> Result<String> {
        let line = self.line(all, offset)?;
        let column = fault
            .column
            .as_ref()
            .map(|c| format!(", column \"{c}\""))
            .unwrap_or_default();
        Ok(format!("{}: line {line}{column}: {}", self.file.location, fault.what))
    }

    /// Writes the rows collected as one file, which appears as a whole.
    pub fn flush(&mut self, all: &BadRows) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let number = all.files.fetch_add(1, Ordering::Relaxed);
        let folder = all.quarantine.trim_end_matches('/');
        let path = format!("{folder}/{}-{number:05}.jsonl", all.prefix);
        put_file(&path, std::mem::take(&mut self.pending)).map_err(|e| e.context("quarantined rows"))
    }
}
