//! The blocks in which Hadoop writes snappy and lz4, which know no framing of their own.
//!
//! ```text
//! file   block block …
//! block  bytes of text (u32, big endian)  chunk chunk …   until so many bytes came out
//! chunk  bytes compressed (u32, big endian)  compressed bytes
//! ```

use crate::error::{Error, Result};
use std::io::{Error as IoError, ErrorKind, Read};

/// Text per block that is written: what Hadoop's readers have buffers for.
const BLOCK: usize = 256 << 10;
/// More in one block or chunk than any writer makes: such a length is not one.
const LONGEST: usize = 256 << 20;

/// How the chunks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Lz4,
    Snappy,
}

/// Reads the text of blocks.
pub(super) struct HadoopBlocks<R> {
    input: R,
    codec: Codec,
    /// Bytes of text that the current block still has behind `text`.
    left: usize,
    compressed: Vec<u8>,
    text: Vec<u8>,
    at: usize,
}

impl<R: Read> HadoopBlocks<R> {
    pub fn new(input: R, codec: Codec) -> Self {
        Self {
            input,
            codec,
            left: 0,
            compressed: vec![],
            text: vec![],
            at: 0,
        }
    }

    /// Decompresses one more chunk; false at the end of the file, which only comes between blocks.
    fn next_chunk(&mut self) -> std::io::Result<bool> {
        while self.left == 0 {
            let mut length = [0; 4];
            let first = self.input.read(&mut length)?;
            if first == 0 {
                return Ok(false);
            }
            let rest = length.get_mut(first..).unwrap_or_default();
            self.input.read_exact(rest)?;
            self.left = checked_length(length)?;
        }
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        let length = checked_length(length)?;
        self.compressed.clear();
        let read = self
            .input
            .by_ref()
            .take(length as u64)
            .read_to_end(&mut self.compressed)?;
        if read < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let most = match self.codec {
            Codec::Lz4 => self.left,
            Codec::Snappy => snap::raw::decompress_len(&self.compressed).map_err(invalid)?,
        };
        if most > self.left {
            return Err(invalid("a chunk is longer than its block"));
        }
        self.text.resize(most, 0);
        let length = match self.codec {
            Codec::Lz4 => lz4_flex::block::decompress_into(&self.compressed, &mut self.text).map_err(invalid)?,
            Codec::Snappy => snap::raw::Decoder::new()
                .decompress(&self.compressed, &mut self.text)
                .map_err(invalid)?,
        };
        self.text.truncate(length);
        self.at = 0;
        self.left -= length;
        Ok(true)
    }
}

fn checked_length(bytes: [u8; 4]) -> std::io::Result<usize> {
    match u32::from_be_bytes(bytes) as usize {
        n if n > LONGEST => Err(invalid(format!("a block of {n} bytes is none of Hadoop's"))),
        n => Ok(n),
    }
}

fn invalid(what: impl std::fmt::Display) -> IoError {
    IoError::new(ErrorKind::InvalidData, what.to_string())
}

impl<R: Read> Read for HadoopBlocks<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.text.len() {
            if out.is_empty() || !self.next_chunk()? {
                return Ok(0);
            }
        }
        let length = self.text.get(self.at..).unwrap_or_default().read(out)?;
        self.at += length;
        Ok(length)
    }
}

/// Text in blocks of one chunk each.
pub(super) fn compress(text: &[u8], codec: Codec) -> Result<Vec<u8>> {
    let mut out = vec![];
    for block in text.chunks(BLOCK) {
        let chunk = match codec {
            Codec::Lz4 => lz4_flex::block::compress(block),
            Codec::Snappy => snap::raw::Encoder::new()
                .compress_vec(block)
                .map_err(|e| Error::execution(format!("snappy compression: {e}")))?,
        };
        out.extend((block.len() as u32).to_be_bytes());
        out.extend((chunk.len() as u32).to_be_bytes());
        out.extend(chunk);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_back_however_they_are_cut() {
        let text: Vec<u8> = (0..1_000_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        for codec in [Codec::Lz4, Codec::Snappy] {
            let compressed = compress(&text, codec).unwrap();
            let mut back = vec![];
            HadoopBlocks::new(compressed.as_slice(), codec)
                .read_to_end(&mut back)
                .unwrap();
            assert!(back == text, "{codec:?}");
            for cut in [1, 3, 5, 9, compressed.len() - 1] {
                let cut = HadoopBlocks::new(&compressed[..cut], codec).read_to_end(&mut vec![]);
                assert!(cut.is_err(), "{codec:?}");
            }
        }
    }

    #[test]
    fn a_block_may_have_several_chunks() {
        let mut file = 10u32.to_be_bytes().to_vec();
        for part in [b"hello".as_slice(), b"world"] {
            let chunk = snap::raw::Encoder::new().compress_vec(part).unwrap();
            file.extend((chunk.len() as u32).to_be_bytes());
            file.extend(chunk);
        }
        let mut text = String::new();
        HadoopBlocks::new(file.as_slice(), Codec::Snappy)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "helloworld");
        assert!(
            HadoopBlocks::new(b"not of hadoop".as_slice(), Codec::Snappy)
                .read_to_end(&mut vec![])
                .is_err()
        );
    }
}
