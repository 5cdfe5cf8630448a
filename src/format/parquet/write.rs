//! Writing Parquet files.
//!
//! Encoding and writing are apart, so that several workers can encode row groups of one file:
//!
//! ```text
//! worker 1: batches ─▶ RowGroupEncoder ─▶ EncodedRowGroup ─┐
//! worker 2: batches ─▶ RowGroupEncoder ─▶ EncodedRowGroup ─┴▶ ParquetFile::append, one after the other
//! ```
//!
//! What is written is what Athena, Trino, Hive and Spark read: timestamps as INT64 microseconds, decimals as INT32, INT64 or
//! fixed bytes, lists and maps in three levels, page index, statistics per page.

use crate::error::{Error, Result};
use crate::storage::FileWriter;
use crate::types::{DataType, logical_type, type_name};
use crate::vector::hash::{hash_bytes, hash_word};
use crate::vector::{Batch, Column};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Field, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use std::sync::Arc;

/// Rows that are looked at to decide whether a dictionary pays.
const SAMPLE_ROWS: usize = 16 << 10;

/// How files are written.
#[derive(Debug, Clone, PartialEq)]
pub struct ParquetWriteOptions {
    /// snappy, zstd, lz4, gzip or none.
    pub compression: String,
    /// For zstd 1 to 22, for gzip 0 to 9.
    pub level: Option<i32>,
    pub row_group_rows: usize,
    /// Bytes of an encoded row group about which it is ended.
    pub row_group_bytes: usize,
    /// Columns that get Bloom filters.
    pub bloom_filters: Vec<String>,
}

impl ParquetWriteOptions {
    /// What file names end with: `snappy.parquet`.
    pub fn extension(&self) -> String {
        match self.compression.to_ascii_lowercase().as_str() {
            "none" | "uncompressed" => "parquet".into(),
            "gzip" => "gz.parquet".into(),
            "lz4_raw" => "lz4.parquet".into(),
            name => format!("{name}.parquet"),
        }
    }

    /// # Errors
    /// For a compression that Parquet does not have, and a level that the compression does not have.
    pub fn check(&self) -> Result<()> {
        compression(&self.compression, self.level).map(|_| ())
    }
}

fn compression(name: &str, level: Option<i32>) -> Result<Compression> {
    let name = name.to_ascii_lowercase();
    let bad_level = |e: parquet::errors::ParquetError| Error::plan(format!("compression_level of {name}: {e}"));
    Ok(match (name.as_str(), level) {
        ("zstd", Some(level)) => Compression::ZSTD(ZstdLevel::try_new(level).map_err(bad_level)?),
        ("zstd", None) => Compression::ZSTD(ZstdLevel::try_new(3).map_err(bad_level)?),
        ("gzip", Some(level)) => {
            Compression::GZIP(GzipLevel::try_new(u32::try_from(level).unwrap_or(u32::MAX)).map_err(bad_level)?)
        }
        ("gzip", None) => Compression::GZIP(GzipLevel::default()),
        ("snappy" | "lz4" | "lz4_raw" | "none" | "uncompressed", Some(_)) => {
            return Err(Error::plan(format!("compression {name} has no levels")).with_hint("zstd and gzip have"));
        }
        ("snappy", None) => Compression::SNAPPY,
        ("lz4" | "lz4_raw", None) => Compression::LZ4_RAW,
        ("none" | "uncompressed", None) => Compression::UNCOMPRESSED,
        _ => {
            return Err(Error::plan(format!(
                "Parquet files are compressed with snappy, zstd, lz4, gzip or none, found \"{name}\""
            ))
            .with_nearest(&name, ["snappy", "zstd", "lz4", "gzip", "none"]));
        }
    })
}

/// That every column has a type that Parquet has.
///
/// # Errors
/// `Unsupported`, naming the column.
pub fn check_schema(schema: &SchemaRef) -> Result<()> {
    schema
        .fields()
        .iter()
        .try_for_each(|field| check_type(field.name(), field.data_type()))
}

fn check_type(column: &str, t: &DataType) -> Result<()> {
    match t {
        DataType::Null | DataType::Interval(_) | DataType::Duration(_) => Err(Error::unsupported(format!(
            "column {column} of type {} cannot be written to Parquet",
            type_name(t)
        ))
        .with_hint("cast it to another type")),
        DataType::List(item) => check_type(column, item.data_type()),
        DataType::Map(entries, _) => check_type(column, entries.data_type()),
        DataType::Struct(fields) => fields.iter().try_for_each(|f| check_type(column, f.data_type())),
        _ => Ok(()),
    }
}

/// The error of a failed write: files are written, so what fails is the disk and not the format.
fn write_error(path: &str, e: parquet::errors::ParquetError) -> Error {
    match &e {
        parquet::errors::ParquetError::External(inner) if inner.is::<std::io::Error>() => {
            Error::storage(inner.to_string())
        }
        other => Error::storage(format!("{path}: {other}")),
    }
}

/// A file being written.
pub struct ParquetFile {
    writer: SerializedFileWriter<FileWriter>,
    path: String,
    encoders: Arc<EncoderFactory>,
}

/// Makes encoders for row groups of one file.
pub struct EncoderFactory {
    schema: SchemaRef,
    factory: ArrowRowGroupWriterFactory,
}

impl ParquetFile {
    /// Creates the file. `sample` are some of its rows: columns in which they hardly repeat get no dictionary.
    pub fn create(
        file: FileWriter,
        schema: &SchemaRef,
        options: &ParquetWriteOptions,
        sample: Option<&Batch>,
    ) -> Result<Self> {
        check_schema(schema)?;
        let path = file.location().to_string();
        let converted = ArrowSchemaConverter::new().with_coerce_types(true).convert(schema)?;
        let properties = properties(schema, options, sample)?;
        let writer = SerializedFileWriter::new(file, converted.root_schema_ptr(), Arc::new(properties))
            .map_err(|e| write_error(&path, e))?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, schema.clone());
        let encoders = Arc::new(EncoderFactory {
            schema: schema.clone(),
            factory,
        });
        Ok(Self { writer, path, encoders })
    }

    pub fn encoders(&self) -> Arc<EncoderFactory> {
        self.encoders.clone()
    }

    /// Writes an encoded row group.
    pub fn append(&mut self, group: EncodedRowGroup) -> Result<()> {
        let path = &self.path;
        let failed = |e| write_error(path, e);
        let mut writer = self.writer.next_row_group().map_err(failed)?;
        for chunk in group.chunks {
            chunk.append_to_row_group(&mut writer).map_err(failed)?;
        }
        writer.close().map_err(failed)?;
        self.writer.flush().map_err(|e| Error::storage(e.to_string()))
    }

    /// Bytes of the row groups so far.
    pub fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Writes the footer and waits until everything is safe. Gives the file's size in bytes.
    pub fn finish(mut self) -> Result<u64> {
        self.writer.finish().map_err(|e| write_error(&self.path, e))?;
        self.writer.inner_mut().finish()
    }
}

impl EncoderFactory {
    /// An encoder for one more row group.
    pub fn encoder(&self) -> Result<RowGroupEncoder> {
        let writers = self.factory.create_column_writers(0)?;
        Ok(RowGroupEncoder {
            schema: self.schema.clone(),
            writers,
            rows: 0,
        })
    }
}

/// Encodes batches into the column chunks of one row group, in memory.
pub struct RowGroupEncoder {
    schema: SchemaRef,
    writers: Vec<ArrowColumnWriter>,
    rows: u64,
}

impl RowGroupEncoder {
    /// Encodes all columns of the batch.
    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        let mut writers = self.writers.iter_mut();
        for (i, field) in self.schema.fields().iter().enumerate() {
            let array = writable(batch.column(i)?)?;
            for leaf in compute_leaves(field, &array).map_err(|e| in_column(field, e))? {
                let writer = writers
                    .next()
                    .ok_or_else(|| Error::internal("more leaves than Parquet columns"))?;
                writer.write(&leaf).map_err(|e| in_column(field, e))?;
            }
        }
        self.rows += batch.len() as u64;
        Ok(())
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes held.
    pub fn memory_size(&self) -> usize {
        self.writers.iter().map(ArrowColumnWriter::memory_size).sum()
    }

    /// Ends the row group.
    pub fn finish(self) -> Result<EncodedRowGroup> {
        let chunks = self
            .writers
            .into_iter()
            .map(ArrowColumnWriter::close)
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = chunks.iter().map(|c| c.close().bytes_written as usize).sum();
        Ok(EncodedRowGroup {
            chunks,
            rows: self.rows,
            bytes,
        })
    }
}

fn in_column(field: &Field, e: parquet::errors::ParquetError) -> Error {
    Error::execution(format!("column {} cannot be written to Parquet: {e}", field.name()))
}

/// A row group, ready to be written.
pub struct EncodedRowGroup {
    chunks: Vec<ArrowColumnChunk>,
    pub rows: u64,
    /// Bytes held.
    pub bytes: usize,
}

/// Coded strings stay coded, all else becomes a plain array.
fn writable(column: Column) -> Result<ArrayRef> {
    match &column {
        Column::Array(a) if matches!(logical_type(a.data_type()), DataType::Utf8View | DataType::BinaryView) => {
            Ok(a.clone())
        }
        _ => column.to_array(),
    }
}

fn properties(schema: &SchemaRef, options: &ParquetWriteOptions, sample: Option<&Batch>) -> Result<WriterProperties> {
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("lakebed version ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(compression(&options.compression, options.level)?)
        .set_max_row_group_row_count(Some(options.row_group_rows.max(1)))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_coerce_types(true);
    for (i, field) in schema.fields().iter().enumerate() {
        let repeats = match sample {
            Some(batch) => repeats(&batch.slice(0, batch.len().min(SAMPLE_ROWS)).column(i)?)?,
            None => true,
        };
        if options
            .bloom_filters
            .iter()
            .any(|name| name.eq_ignore_ascii_case(field.name()))
        {
            builder = builder.set_column_bloom_filter_enabled(ColumnPath::from(field.name().clone()), true);
        }
        if !repeats {
            builder = builder.set_column_dictionary_enabled(ColumnPath::from(field.name().clone()), false);
        }
    }
    Ok(builder.build())
}

/// Whether values come again often enough for a dictionary: fewer than half of them are distinct.
fn repeats(column: &Column) -> Result<bool> {
    let Column::Array(array) = column else { return Ok(true) };
    let mut hashes: Vec<u64> = match array.data_type() {
        DataType::Utf8View => array
            .as_string_view()
            .iter()
            .flatten()
            .map(|s| hash_bytes(s.as_bytes()))
            .collect(),
        DataType::BinaryView => array.as_binary_view().iter().flatten().map(hash_bytes).collect(),
        t if t.is_primitive() => primitive_hashes(array),
        _ => return Ok(true),
    };
    let values = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    Ok(values < 64 || hashes.len() * 2 <= values)
}

fn primitive_hashes(array: &ArrayRef) -> Vec<u64> {
    let data = array.to_data();
    let width = data.data_type().primitive_width().unwrap_or(8);
    let Some(buffer) = data.buffers().first() else {
        return vec![];
    };
    let values = buffer
        .as_slice()
        .chunks_exact(width)
        .skip(data.offset())
        .take(data.len());
    let hash = |bytes: &[u8]| {
        hash_word(
            bytes
                .iter()
                .rev()
                .fold(0u64, |word, &b| word.rotate_left(8) ^ u64::from(b)),
        )
    };
    values
        .enumerate()
        .filter(|(row, _)| array.is_valid(*row))
        .map(|(_, bytes)| hash(bytes))
        .collect()
}
