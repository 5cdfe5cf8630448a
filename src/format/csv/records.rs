//! Rows and fields of delimited text, found without copying.

use crate::error::{Error, Result};
use crate::storage::{Compression, ObjectFile, open_text};
use memchr::{memchr, memchr2, memchr3};
use std::io::Read;

/// Bytes read at a time.
const BLOCK: usize = 256 << 10;
/// A longer row is more likely an unclosed quote.
const LONGEST_ROW: usize = 256 << 20;

/// Which bytes separate and enclose fields. Rows end with a line feed, perhaps after a carriage return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dialect {
    pub delimiter: u8,
    /// A field that starts with it goes on to the next one; doubled, it stands for itself.
    pub quote: Option<u8>,
    /// The byte after it stands for itself.
    pub escape: Option<u8>,
}

/// Where a field is in the buffer, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    start: usize,
    end: usize,
    pub quoted: bool,
    /// Whether doubled quotes or escapes must be undone.
    escaped: bool,
}

enum Scan {
    /// The row ended; the next starts here.
    Row(usize),
    /// The row goes on after the buffer.
    More,
    /// A quote was not closed before the end of the file.
    Unclosed,
    /// A closing quote is followed by something else than a delimiter.
    TextAfterQuote(usize),
}

impl Dialect {
    /// Finds the fields of the row at the start of `buffer`. `last` says that nothing follows the buffer.
    fn scan(&self, buffer: &[u8], last: bool, fields: &mut Vec<Field>) -> Scan {
        fields.clear();
        let mut at = 0;
        loop {
            let quoted = self.quote.is_some() && buffer.get(at).copied() == self.quote;
            let field = match quoted {
                true => self.quoted_field(buffer, at + 1),
                false => self.plain_field(buffer, at),
            };
            let (mut field, after) = match field {
                Some(found) => found,
                None if !last => return Scan::More,
                None if quoted => return Scan::Unclosed,
                None => (
                    Field {
                        start: at,
                        end: buffer.len(),
                        quoted,
                        escaped: self.escape.is_some(),
                    },
                    buffer.len(),
                ),
            };
            match (buffer.get(after), buffer.get(after + 1)) {
                (Some(b), _) if *b == self.delimiter => {
                    fields.push(field);
                    at = after + 1;
                }
                (Some(b'\n'), _) => {
                    if !quoted && field.end > field.start && buffer.get(field.end - 1) == Some(&b'\r') {
                        field.end -= 1;
                    }
                    fields.push(field);
                    return Scan::Row(after + 1);
                }
                (Some(b'\r'), Some(b'\n')) => {
                    fields.push(field);
                    return Scan::Row(after + 2);
                }
                (None, _) | (Some(b'\r'), None) if !last => return Scan::More,
                (None, _) | (Some(b'\r'), None) => {
                    fields.push(field);
                    return Scan::Row(buffer.len());
                }
                _ => return Scan::TextAfterQuote(after),
            }
        }
    }

    /// A field up to the next delimiter or line feed, and where that is; `None` when the buffer ends before.
    fn plain_field(&self, buffer: &[u8], start: usize) -> Option<(Field, usize)> {
        let (mut at, mut escaped) = (start, false);
        loop {
            let rest = buffer.get(at..)?;
            let found = at
                + match self.escape {
                    Some(escape) => memchr3(self.delimiter, b'\n', escape, rest)?,
                    None => memchr2(self.delimiter, b'\n', rest)?,
                };
            let byte = buffer.get(found).copied();
            if byte == self.escape && byte != Some(self.delimiter) && byte != self.quote {
                escaped = true;
                // A line feed ends a row even when escaped, as Hive cuts lines before it looks at fields.
                at = found + if buffer.get(found + 1) == Some(&b'\n') { 1 } else { 2 };
            } else if byte == self.escape && byte == self.quote && byte.is_some() {
                at = found + 1;
            } else {
                return Some((
                    Field {
                        start,
                        end: found,
                        quoted: false,
                        escaped,
                    },
                    found,
                ));
            }
        }
    }

    /// A field up to its closing quote, and where the row goes on; `None` when the buffer ends before that is clear.
    fn quoted_field(&self, buffer: &[u8], start: usize) -> Option<(Field, usize)> {
        let quote = self.quote?;
        let escape = self.escape.unwrap_or(quote);
        let (mut at, mut escaped) = (start, false);
        loop {
            let found = at + memchr2(quote, escape, buffer.get(at..)?)?;
            let doubled = buffer.get(found + 1) == Some(&quote);
            if buffer.get(found) != Some(&quote) || doubled {
                escaped = true;
                at = found + 2;
            } else {
                return Some((
                    Field {
                        start,
                        end: found,
                        quoted: true,
                        escaped,
                    },
                    found + 1,
                ));
            }
        }
    }
}

/// One row in the reader's buffer.
pub(super) struct Row<'a> {
    buffer: &'a [u8],
    fields: &'a [Field],
    dialect: &'a Dialect,
    /// Where it starts in the (decompressed) file.
    pub offset: u64,
}

impl<'a> Row<'a> {
    pub fn width(&self) -> usize {
        self.fields.len()
    }

    /// A line without anything.
    pub fn is_blank(&self) -> bool {
        matches!(self.fields, [f] if f.start == f.end && !f.quoted)
    }

    pub fn field(&self, i: usize) -> Option<Field> {
        self.fields.get(i).copied()
    }

    /// The field's bytes as they stand in the file.
    pub fn raw(&self, field: Field) -> &'a [u8] {
        self.buffer.get(field.start..field.end).unwrap_or_default()
    }

    /// The field's bytes with escapes undone, in `scratch` when that changes them.
    pub fn text<'b>(&self, field: Field, scratch: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        let raw = self.raw(field);
        if !field.escaped {
            return raw;
        }
        scratch.clear();
        let mut bytes = raw.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let doubled =
                field.quoted && Some(byte) == self.dialect.quote && bytes.peek().copied() == self.dialect.quote;
            let escape = Some(byte) == self.dialect.escape && (doubled || Some(byte) != self.dialect.quote);
            match bytes.peek() {
                Some(&next) if doubled || escape => {
                    bytes.next();
                    scratch.push(next);
                }
                _ => scratch.push(byte),
            }
        }
        scratch
    }
}

/// Reads rows from the byte at which one starts.
pub(super) struct RowReader {
    input: Box<dyn Read + Send>,
    name: String,
    dialect: Dialect,
    buffer: Vec<u8>,
    /// The next row's place in the buffer …
    at: usize,
    /// … and the buffer's place in the file.
    base: u64,
    ended: bool,
    fields: Vec<Field>,
}

impl RowReader {
    /// Rows of the bytes `range`; of a compressed file, which has no ranges, all rows. A byte order mark is left out.
    pub fn open(
        file: &ObjectFile,
        compression: Compression,
        dialect: Dialect,
        range: std::ops::Range<u64>,
    ) -> Result<Self> {
        let mut reader = Self {
            input: open_text(file, compression, range.clone())?,
            name: file.location.to_string(),
            dialect,
            buffer: vec![],
            at: 0,
            base: range.start,
            ended: false,
            fields: vec![],
        };
        if range.start == 0 {
            reader.fill()?;
            if reader.buffer.starts_with(b"\xEF\xBB\xBF") {
                reader.at = 3;
            }
        }
        Ok(reader)
    }

    /// Where the next row starts in the file.
    pub fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// `BadFile` for a quote that is not closed, with the line where it starts.
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if rest.is_empty() && self.ended {
                return Ok(None);
            }
            match self.dialect.scan(rest, self.ended, &mut self.fields) {
                Scan::Row(length) => {
                    let offset = self.position();
                    let start = self.at;
                    self.at += length;
                    return Ok(Some(Row {
                        buffer: self.buffer.get(start..).unwrap_or_default(),
                        fields: &self.fields,
                        dialect: &self.dialect,
                        offset,
                    }));
                }
                Scan::More if rest.len() > LONGEST_ROW => {
                    let what = format!(
                        "a row is longer than {} MB, perhaps a quote is not closed",
                        LONGEST_ROW >> 20
                    );
                    return Err(RowError {
                        offset: self.position(),
                        what,
                    }
                    .into_error(&self.name));
                }
                Scan::More => self.fill()?,
                Scan::Unclosed => {
                    let what = "a quote is not closed before the end of the file".to_string();
                    return Err(RowError {
                        offset: self.position(),
                        what,
                    }
                    .into_error(&self.name));
                }
                Scan::TextAfterQuote(at) => {
                    let end = rest.len().min(at + 20);
                    let text = String::from_utf8_lossy(rest.get(at..end).unwrap_or_default()).into_owned();
                    let what = format!(
                        "field {} goes on after its closing quote: {text:?}",
                        self.fields.len() + 1
                    );
                    return Err(RowError {
                        offset: self.position(),
                        what,
                    }
                    .into_error(&self.name));
                }
            }
        }
    }

    /// Skips rows up to the first that starts at or after the byte `target`; its place, or the end's.
    pub fn skip_to(mut self, target: u64) -> Result<u64> {
        while self.position() < target && self.next()?.is_some() {}
        Ok(self.position())
    }

    /// Reads one more block behind what is left of the buffer.
    fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let old = self.buffer.len();
        // Growing with what is there keeps the work for a row of many blocks linear.
        let wanted = BLOCK.max(old);
        let taken = self.input.by_ref().take(wanted as u64).read_to_end(&mut self.buffer);
        let read =
            taken.map_err(|e| Error::bad_file(format!("{}: after byte {}: {e}", self.name, self.base + old as u64)))?;
        self.ended = read < wanted;
        Ok(())
    }
}

impl std::fmt::Debug for RowReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowReader({} at {})", self.name, self.position())
    }
}

/// What is wrong with the row at a byte of the file.
struct RowError {
    offset: u64,
    what: String,
}

impl RowError {
    fn into_error(self, name: &str) -> Error {
        Error::bad_file(format!("{name}: byte {}: {}", self.offset, self.what))
    }
}

/// The number, from 1, of the line at byte `offset` of the (decompressed) file: for messages, it reads all before it.
pub(in crate::format) fn line_number(file: &ObjectFile, compression: Compression, offset: u64) -> Result<u64> {
    let mut input = open_text(file, compression, 0..file.size)?;
    let (mut left, mut lines, mut block) = (offset, 1, vec![0; BLOCK]);
    while left > 0 {
        let want = left.min(BLOCK as u64) as usize;
        let read = input.read(block.get_mut(..want).unwrap_or_default())?;
        if read == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', block.get(..read).unwrap_or_default()).count() as u64;
        left -= read as u64;
    }
    Ok(lines)
}

/// Whether `byte` occurs.
pub(super) fn contains(bytes: &[u8], byte: u8) -> bool {
    memchr(byte, bytes).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(dialect: &Dialect, text: &str, block: usize) -> Vec<Vec<String>> {
        // A reader that gives few bytes at a time, to cut rows at every place.
        let mut out = vec![];
        let (mut fields, mut at) = (vec![], 0);
        let bytes = text.as_bytes();
        let mut end = block.min(bytes.len());
        while at < bytes.len() {
            match dialect.scan(&bytes[at..end], end == bytes.len(), &mut fields) {
                Scan::Row(length) => {
                    let row = Row {
                        buffer: &bytes[at..],
                        fields: &fields,
                        dialect,
                        offset: 0,
                    };
                    let mut scratch = vec![];
                    let texts = fields
                        .iter()
                        .map(|f| String::from_utf8(row.text(*f, &mut scratch).to_vec()).unwrap());
                    out.push(texts.collect());
                    at += length;
                }
                Scan::More => end = (end + block).min(bytes.len()),
                Scan::Unclosed => return vec![vec!["unclosed".into()]],
                Scan::TextAfterQuote(_) => return vec![vec!["after".into()]],
            }
        }
        out
    }

    #[test]
    fn fields_are_found_wherever_the_buffer_ends() {
        let csv = Dialect {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
        };
        let hive = Dialect {
            delimiter: b'|',
            quote: None,
            escape: Some(b'\\'),
        };
        let open = Dialect {
            delimiter: b',',
            quote: Some(b'"'),
            escape: Some(b'\\'),
        };
        for block in [1, 2, 3, 7, 1000] {
            assert_eq!(
                rows(&csv, "a,b\r\n\"x\ny\",\"q\"\"q\"\r\n,\n", block),
                [vec!["a", "b"], vec!["x\ny", "q\"q"], vec!["", ""]]
            );
            assert_eq!(
                rows(&csv, "a,5\" pipe\nlast,", block),
                [vec!["a", "5\" pipe"], vec!["last", ""]]
            );
            assert_eq!(
                rows(&hive, "a\\|b|c\n\"d|e\\\nf", block),
                [vec!["a|b", "c"], vec!["\"d", "e\\"], vec!["f"]]
            );
            assert_eq!(rows(&open, "\"a\\\"b\",\"c\"\"d\"\n", block), [vec!["a\"b", "c\"d"]]);
            assert_eq!(rows(&csv, "a,\"b\n", block), [vec!["unclosed"]]);
            assert_eq!(rows(&csv, "\"a\"b,c\n", block), [vec!["after"]]);
        }
    }
}
