//! A file being written, whatever its format.

use super::WriteTarget;
use crate::error::{Error, Result};
use crate::format::csv::{CsvWriteOptions, write_csv, write_csv_header};
use crate::format::json::write_json;
use crate::format::parquet::{EncodedRowGroup, EncoderFactory, ParquetFile, ParquetWriteOptions, RowGroupEncoder};
use crate::storage::{Compression, FileWriter};
use crate::vector::Batch;
use arrow::datatypes::SchemaRef;
use std::io::Write;
use std::sync::Arc;

/// A format with its options.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteFormat {
    Parquet(ParquetWriteOptions),
    Csv(CsvWriteOptions, TextCompression),
    Json(TextCompression),
}

/// How text files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextCompression {
    pub codec: Compression,
    pub level: Option<i32>,
}

impl WriteFormat {
    /// What file names end with, without the first dot.
    pub fn extension(&self) -> String {
        match self {
            Self::Parquet(options) => options.extension(),
            Self::Csv(_, compression) => format!("csv{}", compression.codec.suffix()),
            Self::Json(compression) => format!("json{}", compression.codec.suffix()),
        }
    }
}

/// A file that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Its location once it is visible.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
}

/// An open file.
pub struct OutputFile {
    path: String,
    schema: SchemaRef,
    rows: u64,
    kind: Kind,
}

enum Kind {
    Parquet(Box<ParquetFile>),
    Text(FileWriter),
}

/// Rows turned into bytes, in memory.
pub enum Encoder {
    Parquet(RowGroupEncoder),
    Text {
        bytes: Vec<u8>,
        rows: u64,
        names: Arc<[String]>,
    },
}

/// What makes encoders for a file.
pub enum Encoders {
    Parquet(Arc<EncoderFactory>),
    Text(Arc<[String]>),
}

/// Bytes ready to be written.
pub enum Chunk {
    Parquet(EncodedRowGroup),
    Text(Vec<u8>, u64),
}

impl OutputFile {
    /// Creates the file for columns of `schema`. `sample` are some of its rows.
    pub fn create(path: &str, target: &WriteTarget, schema: &SchemaRef, sample: Option<&Batch>) -> Result<Self> {
        let writer = target.files.create(path)?;
        let path = writer.location().to_string();
        let kind = match &target.format {
            WriteFormat::Parquet(options) => {
                Kind::Parquet(Box::new(ParquetFile::create(writer, schema, options, sample)?))
            }
            _ => Kind::Text(writer),
        };
        let mut file = Self {
            path,
            schema: schema.clone(),
            rows: 0,
            kind,
        };
        if let WriteFormat::Csv(options, _) = &target.format {
            let mut header = vec![];
            write_csv_header(schema.fields().iter().map(|f| f.name().as_str()), options, &mut header)?;
            file.append(Chunk::Text(compress(header, target)?, 0))?;
        }
        Ok(file)
    }

    pub fn encoders(&self) -> Encoders {
        match &self.kind {
            Kind::Parquet(file) => Encoders::Parquet(file.encoders()),
            Kind::Text(_) => Encoders::Text(self.schema.fields().iter().map(|f| f.name().clone()).collect()),
        }
    }

    pub fn encoder(&self) -> Result<Encoder> {
        self.encoders().encoder()
    }

    /// Writes what an encoder made.
    pub fn append(&mut self, chunk: Chunk) -> Result<()> {
        match (&mut self.kind, chunk) {
            (Kind::Parquet(file), Chunk::Parquet(group)) => {
                self.rows += group.rows;
                file.append(group)
            }
            (Kind::Text(file), Chunk::Text(text, rows)) => {
                self.rows += rows;
                file.write_all(&text).map_err(|e| Error::storage(e.to_string()))
            }
            _ => Err(Error::internal("a chunk of another format than its file's")),
        }
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        match &self.kind {
            Kind::Parquet(file) => file.bytes(),
            Kind::Text(file) => file.size(),
        }
    }

    /// Ends the file and waits until it is safe.
    pub fn finish(self, _target: &WriteTarget) -> Result<WrittenFile> {
        let bytes = match self.kind {
            Kind::Parquet(file) => file.finish()?,
            Kind::Text(mut file) => file.finish()?,
        };
        Ok(WrittenFile {
            path: self.path,
            rows: self.rows,
            bytes,
        })
    }
}

impl Encoders {
    pub fn encoder(&self) -> Result<Encoder> {
        Ok(match self {
            Self::Parquet(factory) => Encoder::Parquet(factory.encoder()?),
            Self::Text(names) => Encoder::Text {
                bytes: vec![],
                rows: 0,
                names: names.clone(),
            },
        })
    }
}

/// Text that is collected before it is written.
const TEXT_BYTES: usize = 4 << 20;

impl Encoder {
    pub fn write(&mut self, batch: &Batch, target: &WriteTarget) -> Result<()> {
        match (self, &target.format) {
            (Self::Parquet(encoder), _) => encoder.write(batch),
            (Self::Text { bytes, rows, .. }, WriteFormat::Csv(options, _)) => {
                *rows += batch.len() as u64;
                write_csv(batch, options, bytes)
            }
            (Self::Text { bytes, rows, names }, _) => {
                *rows += batch.len() as u64;
                write_json(batch, names, bytes)
            }
        }
    }

    pub fn rows(&self) -> u64 {
        match self {
            Self::Parquet(encoder) => encoder.rows(),
            // Text has no groups of rows: it is written as soon as there is enough of it.
            Self::Text { bytes, .. } if bytes.len() >= TEXT_BYTES => u64::MAX,
            Self::Text { rows, .. } => *rows,
        }
    }

    pub fn memory_size(&self) -> usize {
        match self {
            Self::Parquet(encoder) => encoder.memory_size(),
            Self::Text { bytes, .. } => bytes.capacity(),
        }
    }

    pub fn finish(self, target: &WriteTarget) -> Result<Chunk> {
        Ok(match self {
            Self::Parquet(encoder) => Chunk::Parquet(encoder.finish()?),
            Self::Text { bytes, rows, .. } => Chunk::Text(compress(bytes, target)?, rows),
        })
    }
}

impl Chunk {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Parquet(group) => group.bytes,
            Self::Text(bytes, _) => bytes.len(),
        }
    }
}

/// Compressed text; one after the other, such pieces are one compressed file.
fn compress(text: Vec<u8>, target: &WriteTarget) -> Result<Vec<u8>> {
    match &target.format {
        WriteFormat::Csv(_, how) | WriteFormat::Json(how) => how.codec.compress(text, how.level),
        WriteFormat::Parquet(_) => Ok(text),
    }
}
