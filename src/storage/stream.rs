//! A file as a stream of bytes.
//!
//! A local file is read in chunks when they are wanted. Of a remote one, what somebody has asked for already is taken first
//! (the part of a scan that begins here); beyond it a little is asked for, then more and more, because most readers only look
//! for the end of a line; and whoever reads on has the next chunk under way while it works on the one before.

use super::fetch::{Fetch, fetch, under_way};
use super::{ObjectFile, is_remote, read_range};
use crate::error::{Error, Result};
use bytes::Bytes;
use std::io::Read;
use std::ops::Range;
use std::slice::from_ref;
use std::sync::Arc;

/// Bytes of a local file read at a time.
const CHUNK: u64 = 1 << 20;
/// Bytes asked for first, and at most.
const FIRST: u64 = 64 << 10;
const LARGEST: u64 = 8 << 20;
/// From this size of a request on, the next one is sent before the stream comes to it.
const READS_ON: u64 = 1 << 20;

/// Bytes `at` of a file, front to back.
pub(super) struct FileStream {
    file: ObjectFile,
    at: Range<u64>,
    chunk: Bytes,
    /// Bytes of the next request.
    step: u64,
    /// What was asked for before it was wanted, and where it ends.
    ahead: Option<(Arc<Fetch>, u64)>,
}

impl FileStream {
    pub fn new(file: &ObjectFile, at: Range<u64>) -> Self {
        Self {
            file: file.clone(),
            at,
            chunk: Bytes::new(),
            step: FIRST,
            ahead: None,
        }
    }

    /// The next bytes, at least one.
    fn next_chunk(&mut self) -> Result<Bytes> {
        let start = self.at.start;
        if !is_remote(&self.file) {
            return read_range(&self.file, start..self.at.end.min(start.saturating_add(CHUNK)));
        }
        if let Some((fetch, end)) = self.ahead.take() {
            self.ask_ahead(end)?;
            return fetch.bytes(start..end);
        }
        if let Some(fetch) = under_way(&self.file, &(start..start + 1)) {
            let bytes = fetch.rest_of_request(start)?;
            let length = (self.at.end - start).min(bytes.len() as u64);
            return Ok(bytes.slice(..length as usize));
        }
        let wanted = start..self.step_from(start);
        let fetch = fetch(&self.file, from_ref(&wanted))?.pop();
        self.ask_ahead(wanted.end)?;
        let fetch = fetch.ok_or_else(|| Error::internal("some bytes are asked for"))?;
        fetch.bytes(wanted)
    }

    /// Where a request from `start` on ends; the one after it is larger.
    fn step_from(&mut self, start: u64) -> u64 {
        let end = self.at.end.min(start.saturating_add(self.step));
        self.step = (self.step * 4).min(LARGEST);
        end
    }

    fn ask_ahead(&mut self, from: u64) -> Result<()> {
        if from < self.at.end && self.step >= READS_ON {
            let wanted = from..self.step_from(from);
            let fetch = fetch(&self.file, from_ref(&wanted))?.pop();
            self.ahead = fetch.map(|fetch| (fetch, wanted.end));
        }
        Ok(())
    }
}

impl Read for FileStream {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.chunk.is_empty() && self.at.start < self.at.end {
            self.chunk = self.next_chunk().map_err(std::io::Error::other)?;
            self.at.start += self.chunk.len() as u64;
        }
        let length = self.chunk.as_ref().read(out)?;
        bytes::Buf::advance(&mut self.chunk, length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::location::Location;
    use crate::storage::store::wait;
    use object_store::ObjectStoreExt;

    #[test]
    fn remote_files_stream_through_growing_requests_and_what_is_under_way() {
        let text: Vec<u8> = (0..5_000_000u32).flat_map(u32::to_le_bytes).collect();
        let location = Location::parse("memory://stream/x.bin").unwrap();
        wait(location.store().objects.put(location.path(), text.clone().into()))
            .unwrap()
            .unwrap();
        let file = crate::storage::list(&location).unwrap().remove(0);
        let read = |range: Range<u64>| {
            let mut out = vec![];
            FileStream::new(&file, range).read_to_end(&mut out).unwrap();
            out
        };
        assert!(read(0..file.size) == text);
        assert!(read(100..1_000_003) == text[100..1_000_003]);
        let _fetch = fetch(&file, &[50..2_000_000, 3_500_000..3_600_000]).unwrap();
        assert!(read(60..file.size) == text[60..]);
        assert!(read(60..70) == text[60..70]);
        assert!(read(7..7).is_empty());
    }
}
