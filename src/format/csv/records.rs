//! Rows and fields of delimited text, found without copying.

use crate::error::{Error, Result};
use crate::format::lines::LONGEST_LINE;
use crate::storage::{Compression, ObjectFile, open_text};
use memchr::{memchr, memchr2, memchr3};
use std::io::Read;

/// Bytes read at a time.
const BLOCK: usize = 256 << 10;

/// Which bytes separate and enclose fields. Rows end with a line feed, a carriage return, or both.
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
    /// Lines, whatever is in them: only where they end is of interest.
    pub const LINES: Self = Self {
        delimiter: 0,
        quote: None,
        escape: None,
    };

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
            let (field, after) = match field {
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
                    fields.push(field);
                    return Scan::Row(after + 1);
                }
                (Some(b'\r'), Some(b'\n')) => {
                    fields.push(field);
                    return Scan::Row(after + 2);
                }
                (None, _) | (Some(b'\r'), None) if !last => return Scan::More,
                (Some(b'\r'), Some(_)) => {
                    fields.push(field);
                    return Scan::Row(after + 1);
                }
                (None, _) | (Some(b'\r'), None) => {
                    fields.push(field);
                    return Scan::Row(buffer.len());
                }
                _ => return Scan::TextAfterQuote(after),
            }
        }
    }

    /// A field up to the next delimiter or end of line, and where that is; `None` when the buffer ends before.
    fn plain_field(&self, buffer: &[u8], start: usize) -> Option<(Field, usize)> {
        let (mut at, mut escaped) = (start, false);
        loop {
            let rest = buffer.get(at..)?;
            let special = |b: &u8| *b == self.delimiter || matches!(b, b'\n' | b'\r') || Some(*b) == self.escape;
            let found = at
                + match self.escape {
                    Some(_) => rest.iter().position(special)?,
                    None => memchr3(self.delimiter, b'\n', b'\r', rest)?,
                };
            let byte = buffer.get(found).copied();
            if byte == self.escape && byte != Some(self.delimiter) && byte != self.quote {
                escaped = true;
                // The end of a line ends a row even when escaped, as Hive cuts lines before it looks at fields.
                at = found
                    + if matches!(buffer.get(found + 1), Some(b'\n' | b'\r')) {
                        1
                    } else {
                        2
                    };
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
    /// A quote that is out of place; the row has no fields then.
    pub fault: Option<String>,
}

impl<'a> Row<'a> {
    pub fn width(&self) -> usize {
        self.fields.len()
    }

    /// The row as it stands in the file.
    pub fn bytes(&self) -> &'a [u8] {
        self.buffer
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
            if reader.buffer.starts_with(b"\xFF\xFE") || reader.buffer.starts_with(b"\xFE\xFF") {
                return Err(
                    Error::unsupported(format!("{}: text in UTF-16", reader.name)).with_hint("convert it to UTF-8")
                );
            }
        }
        Ok(reader)
    }

    /// Where the next row starts in the file.
    pub fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next row; `None` at the end. After a closing quote that is followed by text the row ends with its line; a quote
    /// that is not closed makes one row of the rest of the file.
    ///
    /// # Errors
    /// When the file cannot be read on, and for rows that are longer than any row is.
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        let (length, fault) = loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if rest.is_empty() && self.ended {
                return Ok(None);
            }
            match self.dialect.scan(rest, self.ended, &mut self.fields) {
                Scan::Row(length) => break (length, None),
                Scan::More if rest.len() > LONGEST_LINE => {
                    return Err(Error::bad_file(format!(
                        "{}: the row at byte {} is longer than {} MB, perhaps a quote is not closed",
                        self.name,
                        self.position(),
                        LONGEST_LINE >> 20
                    )));
                }
                Scan::More => self.fill()?,
                Scan::Unclosed => {
                    break (
                        rest.len(),
                        Some("a quote is not closed before the end of the file".into()),
                    );
                }
                Scan::TextAfterQuote(at) => {
                    let Some(end) = memchr(b'\n', rest.get(at..).unwrap_or_default()) else {
                        if !self.ended && rest.len() <= LONGEST_LINE {
                            self.fill()?;
                            continue;
                        }
                        break (rest.len(), Some(self.text_after_quote(at)));
                    };
                    break (at + end + 1, Some(self.text_after_quote(at)));
                }
            }
        };
        if fault.is_some() {
            self.fields.clear();
        }
        let (offset, start) = (self.position(), self.at);
        self.at += length;
        Ok(Some(Row {
            buffer: self.buffer.get(start..self.at).unwrap_or_default(),
            fields: &self.fields,
            dialect: &self.dialect,
            offset,
            fault,
        }))
    }

    fn text_after_quote(&self, at: usize) -> String {
        let rest = self.buffer.get(self.at + at..).unwrap_or_default();
        let text = String::from_utf8_lossy(rest.get(..rest.len().min(20)).unwrap_or_default());
        format!(
            "field {} goes on after its closing quote: \"{}\"",
            self.fields.len() + 1,
            text.escape_debug()
        )
    }

    /// Passes over so many lines, whatever is in them.
    pub fn skip_lines(&mut self, count: usize) -> Result<()> {
        let own = std::mem::replace(&mut self.dialect, Dialect::LINES);
        for _ in 0..count {
            self.next()?;
        }
        self.dialect = own;
        Ok(())
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
        let read = taken.map_err(|e| {
            Error::of_reader(e).context(format!("{}: after byte {}", self.name, self.base + old as u64))
        })?;
        self.ended = read < wanted;
        Ok(())
    }
}

impl std::fmt::Debug for RowReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowReader({} at {})", self.name, self.position())
    }
}

/// Where the last `count` lines of a file begin in its (decompressed) text, not counting empty ones.
pub(super) fn last_lines(file: &ObjectFile, compression: Compression, count: usize) -> Result<u64> {
    /// Bytes at the end of a file that are looked at first.
    const TAIL: u64 = 1 << 20;
    let tail = file.size.saturating_sub(TAIL);
    if compression == Compression::None
        && tail > 0
        && let Some(found) = last_lines_from(file, compression, count, tail)?
    {
        return Ok(found);
    }
    Ok(last_lines_from(file, compression, count, 0)?.unwrap_or(0))
}

/// The same, looking only behind byte `from`; `None` when there are not more lines than that.
fn last_lines_from(file: &ObjectFile, compression: Compression, count: usize, from: u64) -> Result<Option<u64>> {
    let mut input = open_text(file, compression, from..file.size)?;
    let mut starts = std::collections::VecDeque::new();
    let (mut block, mut offset, mut start, mut text) = (vec![0; BLOCK], from, from, false);
    loop {
        let read = input.read(&mut block)?;
        let Some(bytes) = block.get(..read).filter(|b| !b.is_empty()) else {
            break;
        };
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|r| !r.is_empty()) {
            let end = memchr2(b'\n', b'\r', rest);
            if end != Some(0) && !text {
                text = true;
                starts.push_back(start);
                // One more than wanted, to know that the first wanted is whole.
                if starts.len() > count + 1 {
                    starts.pop_front();
                }
            }
            match end {
                Some(end) => {
                    at += end + 1;
                    start = offset + at as u64;
                    text = false;
                }
                None => at = bytes.len(),
            }
        }
        offset += read as u64;
    }
    Ok(match starts.len() > count {
        true => starts.get(1).copied().or(Some(offset)),
        false => None,
    })
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
                        fault: None,
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
            assert_eq!(
                rows(&csv, "a,b\rc\r\n\"x\ry\"\r\"z\"\n", block),
                [vec!["a", "b"], vec!["c"], vec!["x\ry"], vec!["z"]]
            );
            assert_eq!(
                rows(&hive, "a\rb|\\\rc", block),
                [vec!["a"], vec!["b", "\\"], vec!["c"]]
            );
            assert_eq!(rows(&csv, "a,\"b\n", block), [vec!["unclosed"]]);
            assert_eq!(rows(&csv, "\"a\"b,c\n", block), [vec!["after"]]);
        }
    }
}
