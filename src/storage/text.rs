//! Text files as one stream of bytes, decompressed on the way.

use super::ObjectFile;
use super::stream::FileStream;
use crate::error::{Error, Result};
use std::io::{BufReader, Read};
use std::ops::Range;

/// How a text file is compressed, told by its name as everywhere in the Hive world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Lz4,
}

impl Compression {
    /// By the last extension of the name.
    ///
    /// # Errors
    /// `Unsupported` for compressions that are known but not read.
    pub fn of(name: &str) -> Result<Self> {
        let extension = name
            .rsplit('/')
            .next()
            .unwrap_or(name)
            .rsplit_once('.')
            .map_or("", |(_, e)| e);
        match extension.to_ascii_lowercase().as_str() {
            "gz" | "gzip" => Ok(Self::Gzip),
            "zst" | "zstd" => Ok(Self::Zstd),
            "lz4" => Ok(Self::Lz4),
            "bz2" | "snappy" | "lzo" | "xz" | "br" | "deflate" | "zip" => Err(Error::unsupported(format!(
                "{name}: text compressed as .{extension} is not supported"
            ))
            .with_hint("gzip (.gz), zstd (.zst) and lz4 (.lz4) are")),
            _ => Ok(Self::None),
        }
    }

    /// The name without the extension that says how it is compressed.
    pub fn strip<'a>(&self, name: &'a str) -> &'a str {
        match self {
            Self::None => name,
            _ => name.rsplit_once('.').map_or(name, |(stem, _)| stem),
        }
    }
}

/// The bytes `range` of the file as a stream; of a compressed file, which has no ranges, everything decompressed.
pub fn open_text(file: &ObjectFile, compression: Compression, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
    let named = |e: std::io::Error| Error::storage(format!("{}: {e}", file.location));
    let plain = |range| FileStream::new(file, range);
    let whole = BufReader::with_capacity(64 << 10, plain(0..file.size));
    Ok(match compression {
        Compression::None => Box::new(plain(range)),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(whole).map_err(named)?),
        Compression::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(whole)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Location, list};
    use std::io::Write;

    fn read_back(name: &str, content: &[u8]) -> std::io::Result<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let file = list(&Location::parse(path.to_str().unwrap()).unwrap())
            .unwrap()
            .remove(0);
        let mut text = String::new();
        open_text(&file, Compression::of(name).unwrap(), 0..file.size)
            .unwrap()
            .read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn compressions_are_read() {
        let text = "a,b\n1,2\n".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(read_back("x.csv", text.as_bytes()).unwrap(), text);
        assert_eq!(read_back("x.csv.gz", &gzip).unwrap(), text);
        assert_eq!(
            read_back("x.csv.gz", &[gzip.clone(), gzip.clone()].concat()).unwrap(),
            text.repeat(2)
        );
        let zstd = zstd::stream::encode_all(text.as_bytes(), 1).unwrap();
        assert_eq!(read_back("x.csv.zst", &zstd).unwrap(), text);
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(vec![]);
        lz4.write_all(text.as_bytes()).unwrap();
        assert_eq!(read_back("x.csv.lz4", &lz4.finish().unwrap()).unwrap(), text);
        assert!(read_back("x.csv.gz", &gzip[..gzip.len() / 2]).is_err());
        assert!(Compression::of("x.csv.bz2").is_err());
    }
}
