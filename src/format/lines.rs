//! Text files line by line: a line ends with a line feed, a carriage return, or both.

use super::{FileInfo, Partition};
use crate::error::{Error, Result};
use crate::storage::{Compression, ObjectFile, open_text};
use crate::types::ScalarValue;
use memchr::memchr2;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a file that one worker reads at a time. In tests so few that small files have many of them.
pub(super) const CHUNK: u64 = if cfg!(test) { 4 << 10 } else { 8 << 20 };
/// A longer line is more likely no text at all.
pub(super) const LONGEST_LINE: usize = 256 << 20;

/// A file in pieces of [`CHUNK`] bytes, or in one when it is compressed.
pub(super) fn chunks(
    file: &ObjectFile,
    compression: Compression,
    info: &Arc<FileInfo>,
    constants: &[ScalarValue],
) -> Vec<Partition> {
    let count = match compression {
        Compression::None => file.size.div_ceil(CHUNK),
        _ => 1,
    };
    let chunk = |i: u64| {
        let end = if i + 1 == count { file.size } else { (i + 1) * CHUNK };
        Partition {
            file: file.clone(),
            info: info.clone(),
            constants: constants.to_vec(),
            start: i * CHUNK,
            end,
            rows: None,
            bytes: end - i * CHUNK,
        }
    };
    (0..count).map(chunk).collect()
}

/// The lines that start in a range of a file.
pub(super) struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    pub file: ObjectFile,
    pub compression: Compression,
    line: Vec<u8>,
    /// Where the current line started, the next one starts, and the range ends.
    start: u64,
    offset: u64,
    end: u64,
}

impl Lines {
    /// The lines that start in the bytes `range`; of a compressed file, which has no ranges, all.
    pub fn open(file: &ObjectFile, range: Range<u64>) -> Result<Self> {
        let compression = Compression::of(&file.location)?;
        let plain = compression == Compression::None;
        // One byte earlier, so that a line that starts exactly here is found.
        let start = if plain { range.start.saturating_sub(1) } else { 0 };
        let mut lines = Self {
            input: BufReader::with_capacity(256 << 10, open_text(file, compression, start..file.size)?),
            file: file.clone(),
            compression,
            line: vec![],
            start,
            offset: start,
            end: if plain { range.end } else { u64::MAX },
        };
        if start < range.start && plain {
            lines.read_line()?;
        }
        Ok(lines)
    }

    /// The next line of the range without its end; a byte order mark is left out.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>> {
        if self.offset >= self.end || !self.read_line()? {
            return Ok(None);
        }
        Ok(Some(self.line()))
    }

    /// The line that was read last.
    pub fn line(&self) -> &[u8] {
        match self.start {
            0 => self.line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.line),
            _ => &self.line,
        }
    }

    /// Where the line that was read last starts in the (decompressed) file.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Where the next line starts.
    pub fn position(&self) -> u64 {
        self.offset
    }

    fn read_line(&mut self) -> Result<bool> {
        self.line.clear();
        self.start = self.offset;
        loop {
            let name = &self.file.location;
            let failed = |e: std::io::Error| Error::of_reader(e).context(format!("{name}: after byte {}", self.offset));
            let buffer = self.input.fill_buf().map_err(failed)?;
            if buffer.is_empty() {
                return Ok(self.offset > self.start);
            }
            let found = memchr2(b'\n', b'\r', buffer);
            let (text, rest) = buffer.split_at(found.unwrap_or(buffer.len()));
            self.line.extend_from_slice(text);
            let used = text.len() + found.is_some() as usize;
            let return_only = rest.first() == Some(&b'\r');
            self.input.consume(used);
            self.offset += used as u64;
            if return_only && self.input.fill_buf()?.first() == Some(&b'\n') {
                self.input.consume(1);
                self.offset += 1;
            }
            if found.is_some() {
                return Ok(true);
            }
            if self.line.len() > LONGEST_LINE {
                return Err(Error::bad_file(format!(
                    "{}: the line at byte {} is longer than {} MB",
                    self.file.location,
                    self.start,
                    LONGEST_LINE >> 20
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Location, list};

    #[test]
    fn ranges_give_each_line_once_wherever_they_are_cut() {
        let text = "\u{FEFF}one\ntwo\r\n\r\nthree\rfour\n\n\rfive\r\n";
        let expected = ["one", "two", "", "three", "four", "", "", "five"];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.txt");
        std::fs::write(&path, text).unwrap();
        let file = list(&Location::parse(path.to_str().unwrap()).unwrap())
            .unwrap()
            .remove(0);
        let read = |range| {
            let (mut lines, mut out) = (Lines::open(&file, range).unwrap(), vec![]);
            while let Some(line) = lines.next_line().unwrap() {
                out.push(String::from_utf8(line.to_vec()).unwrap());
            }
            out
        };
        assert_eq!(read(0..file.size), expected);
        for first in 0..=file.size {
            for second in first..=file.size {
                let parts = [read(0..first), read(first..second), read(second..file.size)];
                assert_eq!(parts.concat(), expected, "cut at {first} and {second}");
            }
        }
    }
}
