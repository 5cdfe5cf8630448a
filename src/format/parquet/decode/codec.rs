//! Decompression of one page into memory that is already there.

use super::bad;
use crate::error::{Error, Result};
use crate::vector::snappy::{SnappyJob, decompress_snappy};
use parquet::basic::Compression;
use std::io::Read;

/// The codec of a column chunk with its reusable state.
pub enum Codec {
    None,
    Snappy,
    Zstd(zstd::bulk::Decompressor<'static>),
    Lz4Raw,
    Gzip,
}

/// Whether pages compressed so can be read here.
pub fn supports_compression(compression: Compression) -> bool {
    Codec::new(compression).is_ok()
}

impl Codec {
    pub fn new(compression: Compression) -> Result<Self> {
        Ok(match compression {
            Compression::UNCOMPRESSED => Self::None,
            Compression::SNAPPY => Self::Snappy,
            Compression::ZSTD(_) => Self::Zstd(zstd::bulk::Decompressor::new()?),
            Compression::LZ4_RAW => Self::Lz4Raw,
            Compression::GZIP(_) => Self::Gzip,
            other => {
                return Err(Error::unsupported(format!(
                    "Parquet pages compressed with {other} in this decoder"
                )));
            }
        })
    }

    /// Decompresses `from` into `to`, which then holds exactly `expected` bytes; what it held before is lost.
    pub fn decompress(&mut self, from: &[u8], expected: usize, to: &mut Vec<u8>) -> Result<()> {
        let found = match self {
            Self::None => {
                to.clear();
                to.extend_from_slice(from);
                Ok(from.len())
            }
            Self::Snappy => {
                return decompress_snappy(SnappyJob {
                    input: from,
                    expected,
                    out: to,
                });
            }
            Self::Zstd(decoder) => {
                to.clear();
                to.reserve(expected);
                decoder.decompress_to_buffer(from, to).map_err(|e| e.to_string())
            }
            Self::Lz4Raw => {
                to.resize(expected, 0);
                lz4_flex::block::decompress_into(from, to).map_err(|e| e.to_string())
            }
            Self::Gzip => {
                to.resize(expected, 0);
                gunzip(from, to).map_err(|e| e.to_string())
            }
        };
        match found {
            Ok(n) if n == expected && to.len() == expected => Ok(()),
            Ok(n) => Err(bad(format!("a page of {expected} bytes decompressed to {n}"))),
            Err(e) => Err(bad(format!("a page does not decompress: {e}"))),
        }
    }
}

fn gunzip(from: &[u8], to: &mut [u8]) -> std::io::Result<usize> {
    let mut reader = flate2::read::MultiGzDecoder::new(from);
    reader.read_exact(to)?;
    // One byte more than announced is as wrong as one less.
    Ok(to.len() + reader.read(&mut [0])?)
}
