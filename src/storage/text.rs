//! Text files as one stream of bytes, decompressed on the way.

use super::ObjectFile;
use super::bzip2_blocks::Bzip2Blocks;
use super::hadoop_blocks::{self, Codec, HadoopBlocks};
use super::stream::FileStream;
use crate::error::{Error, Result};
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;

/// How a text file is compressed, told by its name as everywhere in the Hive world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Zstd,
    /// Streams one after the other, as parallel compressors write them.
    Bzip2,
    /// Frames, or the blocks in which Hadoop writes it.
    Lz4,
    /// Google's framing format, or the blocks in which Hadoop writes it.
    Snappy,
    /// zlib's format, Hadoop's default.
    Deflate,
}

/// Compression, its names in options, its extensions; the first of both are those that are written.
static COMPRESSIONS: &[(Compression, &[&str], &[&str])] = &[
    (Compression::Gzip, &["gzip", "gz"], &["gz", "gzip"]),
    (Compression::Zstd, &["zstd", "zst"], &["zst", "zstd"]),
    (Compression::Bzip2, &["bzip2", "bz2"], &["bz2"]),
    (Compression::Lz4, &["lz4"], &["lz4"]),
    (Compression::Snappy, &["snappy"], &["snappy", "sz"]),
    (Compression::Deflate, &["deflate", "zlib"], &["deflate", "zz"]),
];

impl Compression {
    /// By the last extension of the name.
    ///
    /// # Errors
    /// `Unsupported` for compressions that are known but not read.
    pub fn of(name: &str) -> Result<Self> {
        let file = name.rsplit('/').next().unwrap_or(name);
        let extension = file.rsplit_once('.').map_or("", |(_, e)| e).to_ascii_lowercase();
        match COMPRESSIONS
            .iter()
            .find(|(.., known)| known.contains(&extension.as_str()))
        {
            Some((compression, ..)) => Ok(*compression),
            None if ["lzo", "xz", "br", "zip", "7z", "lzma"].contains(&extension.as_str()) => Err(Error::unsupported(
                format!("{name}: text compressed as .{extension} is not supported"),
            )
            .with_hint(
                "gzip (.gz), zstd (.zst), bzip2 (.bz2), lz4 (.lz4), snappy (.snappy) and deflate (.deflate) are",
            )),
            None => Ok(Self::None),
        }
    }

    /// By its name in an option: `gzip`, `zstd`, …, `none`.
    ///
    /// # Errors
    /// With the nearest name for others.
    pub fn by_name(name: &str) -> Result<Self> {
        let lower = name.trim().to_ascii_lowercase();
        if ["none", "uncompressed"].contains(&lower.as_str()) {
            return Ok(Self::None);
        }
        match COMPRESSIONS
            .iter()
            .find(|(_, names, _)| names.contains(&lower.as_str()))
        {
            Some((compression, ..)) => Ok(*compression),
            None => Err(
                Error::unsupported(format!("compression \"{name}\" for text files")).with_nearest(
                    &lower,
                    COMPRESSIONS.iter().filter_map(|(_, names, _)| names.first().copied()),
                ),
            ),
        }
    }

    /// What it is called in options.
    pub fn name(&self) -> &'static str {
        let found = COMPRESSIONS.iter().find(|(c, ..)| c == self);
        found.and_then(|(_, names, _)| names.first()).copied().unwrap_or("none")
    }

    /// The end of file names, with its dot; nothing without compression.
    pub fn suffix(&self) -> String {
        let found = COMPRESSIONS.iter().find(|(c, ..)| c == self);
        let extension = found.and_then(|(.., extensions)| extensions.first());
        extension.map_or(String::new(), |e| format!(".{e}"))
    }

    /// The name without the extension that says how it is compressed.
    pub fn strip<'a>(&self, name: &'a str) -> &'a str {
        match self {
            Self::None => name,
            _ => name.rsplit_once('.').map_or(name, |(stem, _)| stem),
        }
    }

    /// A piece of text, compressed. Such pieces one after the other are one compressed file, except with deflate, whose
    /// readers stop after the first.
    ///
    /// Lz4 and snappy come in the blocks of Hadoop, which is what engines expect behind these names.
    pub fn compress(&self, text: Vec<u8>, level: Option<i32>) -> Result<Vec<u8>> {
        if text.is_empty() {
            return Ok(text);
        }
        let level_or = |usual: u32| level.and_then(|l| u32::try_from(l).ok()).unwrap_or(usual);
        let failed = |e: std::io::Error| Error::execution(format!("{} compression: {e}", self.name()));
        match self {
            Self::None => Ok(text),
            Self::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(vec![], flate2::Compression::new(level_or(6).clamp(0, 9)));
                encoder.write_all(&text).map_err(failed)?;
                encoder.finish().map_err(failed)
            }
            Self::Zstd => zstd::stream::encode_all(text.as_slice(), level.unwrap_or(3)).map_err(failed),
            Self::Bzip2 => {
                let mut encoder =
                    bzip2::write::BzEncoder::new(vec![], bzip2::Compression::new(level_or(9).clamp(1, 9)));
                encoder.write_all(&text).map_err(failed)?;
                encoder.finish().map_err(failed)
            }
            Self::Deflate => {
                let mut encoder =
                    flate2::write::ZlibEncoder::new(vec![], flate2::Compression::new(level_or(6).clamp(0, 9)));
                encoder.write_all(&text).map_err(failed)?;
                encoder.finish().map_err(failed)
            }
            Self::Lz4 => hadoop_blocks::compress(&text, Codec::Lz4),
            Self::Snappy => hadoop_blocks::compress(&text, Codec::Snappy),
        }
    }
}

/// The bytes `range` of the file as a stream; of a compressed file, which has no ranges, everything decompressed.
pub fn open_text(file: &ObjectFile, compression: Compression, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
    let named = |e: std::io::Error| Error::storage(format!("{}: {e}", file.location));
    let plain = |range| FileStream::new(file, range);
    if compression == Compression::None {
        return Ok(Box::new(plain(range)));
    }
    let mut whole = BufReader::with_capacity(64 << 10, plain(0..file.size));
    let start: [u8; 4] = match compression {
        Compression::Lz4 | Compression::Snappy => {
            let start = whole.fill_buf().map_err(named)?;
            start.first_chunk().copied().unwrap_or_default()
        }
        _ => [0; 4],
    };
    Ok(match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(whole).map_err(named)?),
        Compression::Bzip2 => Box::new(Bzip2Blocks::new(whole)),
        Compression::Deflate => Box::new(flate2::bufread::ZlibDecoder::new(whole)),
        Compression::Lz4 if is_lz4_frame(start) => Box::new(Lz4Frames(lz4_flex::frame::FrameDecoder::new(whole))),
        Compression::Lz4 => Box::new(HadoopBlocks::new(whole, Codec::Lz4)),
        // The framing format begins with a chunk of type ff and of six bytes: its name.
        Compression::Snappy if start == [0xff, 6, 0, 0] => Box::new(snap::read::FrameDecoder::new(whole)),
        Compression::Snappy => Box::new(HadoopBlocks::new(whole, Codec::Snappy)),
    })
}

/// A frame, a skippable frame, or a frame of the first version.
fn is_lz4_frame(start: [u8; 4]) -> bool {
    let magic = u32::from_le_bytes(start);
    matches!(magic, 0x184D_2204 | 0x184C_2102) || (0x184D_2A50..=0x184D_2A5F).contains(&magic)
}

/// Lz4 frames one after the other: the decoder says at the end of each that it has ended.
struct Lz4Frames<R: Read>(lz4_flex::frame::FrameDecoder<R>);

impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.0.read(out)? {
                0 if !out.is_empty() && !self.0.get_mut().fill_buf()?.is_empty() => {}
                n => return Ok(n),
            }
        }
    }
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
        assert_eq!(read_back("x.csv", text.as_bytes()).unwrap(), text);
        for (compression, names, extensions) in COMPRESSIONS {
            for level in [None, Some(1)] {
                let compressed = compression.compress(text.clone().into_bytes(), level).unwrap();
                assert!(compressed.len() < text.len() / 10, "{compression:?}");
                for extension in *extensions {
                    let name = format!("x.csv.{extension}");
                    assert_eq!(read_back(&name, &compressed).unwrap(), text, "{name}");
                    let half = &compressed[..compressed.len() / 2];
                    assert!(read_back(&name, half).is_err(), "{name}");
                    if *compression != Compression::Deflate {
                        let twice = [compressed.clone(), compressed.clone()].concat();
                        assert_eq!(read_back(&name, &twice).unwrap(), text.repeat(2), "{name}");
                    }
                }
            }
            assert!(names.iter().all(|n| Compression::by_name(n).unwrap() == *compression));
        }
        assert!(Compression::of("x.csv.xz").is_err());
        assert!(
            Compression::by_name("gzipp")
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("gzip")
        );
    }

    #[test]
    fn frames_of_lz4_and_snappy_are_read() {
        let text = "a,b\n1,2\n".repeat(1000);
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(vec![]);
        lz4.write_all(text.as_bytes()).unwrap();
        let lz4 = lz4.finish().unwrap();
        assert_eq!(read_back("x.csv.lz4", &lz4).unwrap(), text);
        assert_eq!(
            read_back("x.csv.lz4", &[lz4.clone(), lz4.clone()].concat()).unwrap(),
            text.repeat(2)
        );
        let mut snappy = snap::write::FrameEncoder::new(vec![]);
        snappy.write_all(text.as_bytes()).unwrap();
        let snappy = snappy.into_inner().unwrap();
        assert_eq!(read_back("x.csv.snappy", &snappy).unwrap(), text);
        assert_eq!(read_back("x.csv.sz", &snappy).unwrap(), text);
        assert!(read_back("x.csv.lz4", &lz4[..lz4.len() / 2]).is_err());
    }
}
