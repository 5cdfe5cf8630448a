//! One column of one row group, by our decoders where they can, by arrow-rs where not.

use super::decode::{ChunkPart, Codes, ColumnDecoder, supports};
use super::metadata::Footer;
use super::pages::{Part, is_decoded_by_pages, plan};
use crate::error::{Error, Result};
use crate::format::{Partition, ScanColumn, ScanProgress};
use crate::runtime::guarded;
use crate::storage::{ObjectFile, read_range, read_ranges};
use crate::types::{DataType, type_name};
use crate::vector::Column;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, UInt32Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat, take};
use arrow::datatypes::FieldRef;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::reader::{ChunkReader, Length};
use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of an open page of arrow-rs, which does not tell.
const USUAL_PAGE: usize = 1 << 20;

/// Reads a column front to back; rows not wanted are skipped as late as possible, so that whole pages can be left out.
pub struct ColumnReader {
    source: Source,
    data_type: DataType,
    /// Rows of the row group that the source is past.
    at: usize,
    name: String,
}

enum Source {
    /// The same value in all rows: a partition column, or a column that the file lacks.
    Constant(ArrayRef),
    Decoder {
        decoder: Box<ColumnDecoder>,
        cast: bool,
    },
    Arrow {
        reader: Box<ParquetRecordBatchReader>,
        held: Vec<ArrayRef>,
        held_rows: usize,
    },
}

impl ColumnReader {
    /// Starts reading `wanted` in the partition's row group, of which only the rows in the ranges `rows` will be asked for.
    pub fn open(
        partition: &Partition,
        wanted: &ScanColumn,
        filtering: bool,
        rows: &[Range<usize>],
        progress: &ScanProgress,
    ) -> Result<Self> {
        let footer = Footer::of(&partition.info)?;
        let named = |e: Error| {
            e.context(format!(
                "{}, row group {}, column {}",
                partition.file.location, partition.start, wanted.name
            ))
        };
        let source = Self::source(partition, wanted, filtering, footer, rows, progress).map_err(named)?;
        let name = format!(
            "{}, row group {}, column {}",
            partition.file.location, partition.start, wanted.name
        );
        Ok(Self {
            source,
            data_type: wanted.data_type.clone(),
            at: 0,
            name,
        })
    }

    fn source(
        partition: &Partition,
        wanted: &ScanColumn,
        filtering: bool,
        footer: &Footer,
        rows: &[Range<usize>],
        progress: &ScanProgress,
    ) -> Result<Source> {
        if let Some(value) = wanted.partition_column.and_then(|p| partition.constants.get(p)) {
            return Ok(Source::Constant(value.to_array(&wanted.data_type, 1)?));
        }
        let Some(column) = footer.column(&wanted.name) else {
            return Ok(Source::Constant(new_null_array(&wanted.data_type, 1)));
        };
        let group_index = partition.start as usize;
        let group = footer
            .metadata
            .row_groups()
            .get(group_index)
            .ok_or_else(|| Error::internal("the row group exists"))?;
        let stored = footer
            .data_type(column)
            .ok_or_else(|| Error::internal("the column exists"))?;
        if let Some(chunk) = footer.leaf(column).and_then(|leaf| group.columns().get(leaf)) {
            let descr = chunk.column_descr();
            let target = [&wanted.data_type, stored].into_iter().find(|t| supports(descr, t));
            if let Some(target) = target.filter(|_| is_decoded_by_pages(footer, column, group_index, &wanted.data_type))
            {
                let parts = plan(partition, column, &wanted.data_type, rows)?;
                let parts = read_parts(&partition.file, &parts, progress)?;
                let codes = if filtering { Codes::Prefer } else { Codes::Strings };
                let codes = if *target == wanted.data_type {
                    codes
                } else {
                    Codes::Never
                };
                let decoder = ColumnDecoder::of_parts(parts, chunk, target, group.num_rows() as usize, codes)?;
                return Ok(Source::Decoder {
                    decoder: Box::new(decoder),
                    cast: *target != wanted.data_type,
                });
            }
        }
        let options = match footer.has_int96 {
            true => ArrowReaderOptions::new().with_schema(footer.schema.clone()),
            false => ArrowReaderOptions::new().with_skip_arrow_metadata(false),
        };
        let descr = footer.metadata.file_metadata().schema_descr();
        let reader = guarded(|| {
            let metadata = ArrowReaderMetadata::try_new(footer.metadata.clone(), options)?;
            let file = FileBytes(partition.file.clone());
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_projection(ProjectionMask::roots(descr, [column]))
                .with_row_groups(vec![group_index])
                .with_batch_size(8192);
            Ok(builder.build()?)
        })?;
        Ok(Source::Arrow {
            reader: Box::new(reader),
            held: vec![],
            held_rows: 0,
        })
    }

    /// Makes the dictionaries of columns that will certainly be read ready, two at a time.
    pub fn prepare<'a>(readers: impl Iterator<Item = &'a mut ColumnReader>) -> Result<()> {
        let mut decoders: Vec<&mut ColumnDecoder> = readers
            .filter_map(|reader| match &mut reader.source {
                Source::Decoder { decoder, .. } => Some(decoder.as_mut()),
                _ => None,
            })
            .collect();
        ColumnDecoder::prepare(&mut decoders)
    }

    /// Bytes held, about.
    pub fn memory_size(&self) -> usize {
        match &self.source {
            Source::Constant(_) => 0,
            Source::Decoder { decoder, .. } => decoder.memory_size(),
            Source::Arrow { held, .. } => held.iter().map(|a| a.get_array_memory_size()).sum::<usize>() + USUAL_PAGE,
        }
    }

    /// Among the `n` rows of the row group from `start` on those at ascending `positions`, or all. Rows come only once and in
    /// order.
    pub fn read(&mut self, start: usize, n: usize, positions: Option<&[u32]>) -> Result<Column> {
        let wanted = positions.map_or(n, <[u32]>::len);
        let skip = start
            .checked_sub(self.at)
            .ok_or_else(|| Error::internal("rows are read in order"))?;
        self.at = start + n;
        let result = match &mut self.source {
            Source::Constant(value) => Ok(Column::Constant {
                value: value.clone(),
                rows: wanted,
            }),
            Source::Decoder { decoder, cast } => {
                let read = |decoder: &mut ColumnDecoder| -> Result<ArrayRef> {
                    if skip > 0 {
                        decoder.skip(skip)?;
                    }
                    match positions {
                        None => decoder.read(n)?,
                        Some(positions) => decoder.read_selected(n, positions)?,
                    }
                    .into_coded_array()
                };
                let array = read(decoder);
                if *cast {
                    array.and_then(|a| convert(a, &self.data_type))
                } else {
                    array
                }
                .map(Column::Array)
            }
            Source::Arrow {
                reader,
                held,
                held_rows,
            } => read_arrow(reader, held, held_rows, skip, n).and_then(|array| {
                let array = match positions {
                    None => array,
                    Some(p) => take(&array, &UInt32Array::from(p.to_vec()), None)?,
                };
                convert(array, &self.data_type).map(Column::Array)
            }),
        };
        result.map_err(|e| e.context(&self.name))
    }
}

/// Reads what is to be read of a column chunk.
fn read_parts(file: &ObjectFile, parts: &[Part], progress: &ScanProgress) -> Result<Vec<ChunkPart>> {
    let ranges: Vec<Range<u64>> = parts.iter().filter_map(Part::bytes).cloned().collect();
    if let Some(range) = ranges.iter().find(|r| r.end > file.size) {
        return Err(Error::bad_file(format!(
            "bytes {range:?} lie outside the file of {} bytes",
            file.size
        )));
    }
    let mut read = read_ranges(file, &ranges)?.into_iter();
    let part = |part: &Part| match part {
        Part::Read { rows, .. } => Some(ChunkPart::Pages {
            bytes: read.next()?,
            rows: *rows,
        }),
        Part::LeftOut { pages, rows } => {
            progress.add_pages_left_out(*pages);
            Some(ChunkPart::LeftOut { rows: *rows })
        }
    };
    Ok(parts.iter().filter_map(part).collect())
}

/// Reads on until `skip + n` rows are held, drops the first `skip`, gives the next `n`.
fn read_arrow(
    reader: &mut ParquetRecordBatchReader,
    held: &mut Vec<ArrayRef>,
    held_rows: &mut usize,
    skip: usize,
    n: usize,
) -> Result<ArrayRef> {
    while *held_rows < skip + n {
        let batch = guarded(|| reader.next().transpose().map_err(Error::from))?;
        let batch = batch.ok_or_else(|| Error::bad_file("the column has fewer rows than its row group"))?;
        *held_rows += batch.num_rows();
        held.extend(batch.columns().first().cloned());
    }
    let parts: Vec<&dyn Array> = held.iter().map(|a| a.as_ref()).collect();
    let all = match parts.as_slice() {
        [] => return Err(Error::internal("a read of no rows")),
        [one] => one.slice(0, one.len()),
        many => concat(many)?,
    };
    let rest = all.slice(skip + n, all.len() - skip - n);
    *held_rows = rest.len();
    *held = if rest.is_empty() { vec![] } else { vec![rest] };
    Ok(all.slice(skip, n))
}

/// The array as the wanted type. Fields of rows are found by name, and NULL when the file lacks them.
fn convert(array: ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    if array.data_type() == wanted {
        return Ok(array);
    }
    match (array.data_type(), wanted) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let rows = array.as_struct();
            let member = |field: &FieldRef| {
                let names = rows.column_names();
                let place = names.iter().position(|n| n == field.name());
                let place = place.or_else(|| names.iter().position(|n| n.eq_ignore_ascii_case(field.name())));
                match place {
                    Some(place) => convert(rows.column(place).clone(), field.data_type()),
                    None => Ok(new_null_array(field.data_type(), rows.len())),
                }
            };
            let members = fields.iter().map(member).collect::<Result<Vec<_>>>()?;
            let nulls = rows.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                members,
                nulls,
                rows.len(),
            )?))
        }
        (DataType::List(_), DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let items = convert(list.values().clone(), field.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(field.clone(), offsets, items, nulls)?))
        }
        (DataType::Map(..), DataType::Map(field, sorted)) => {
            let map = array.as_map();
            let DataType::Struct(pair) = field.data_type() else {
                return Err(Error::internal("a map of something else than entries"));
            };
            let columns = map.entries().columns().iter().zip(pair);
            let columns = columns.map(|(column, field)| convert(column.clone(), field.data_type()));
            let entries = StructArray::try_new(pair.clone(), columns.collect::<Result<_>>()?, None)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(
                field.clone(),
                offsets,
                entries,
                nulls,
                *sorted,
            )?))
        }
        // Other kinds of lists first become the usual one.
        (
            DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item),
            DataType::List(_),
        ) => convert(cast_strictly(&array, &DataType::List(item.clone()))?, wanted),
        _ => cast_strictly(&array, wanted),
    }
}

fn cast_strictly(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..Default::default()
    };
    cast_with_options(array, wanted, &options).map_err(|e| {
        let found =
            crate::types::normalize_type(array.data_type()).map_or(array.data_type().to_string(), |t| type_name(&t));
        Error::bad_file(format!(
            "{found} in the file cannot be read as {}: {e}",
            type_name(wanted)
        ))
    })
}

/// A file as parquet-rs reads it.
struct FileBytes(ObjectFile);

impl Length for FileBytes {
    fn len(&self) -> u64 {
        self.0.size
    }
}

impl ChunkReader for FileBytes {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(Cursor::new(
            self.bytes(start, (self.0.size.saturating_sub(start)).min(1 << 20))?,
        ))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.bytes(start, length as u64)
    }
}

impl FileBytes {
    fn bytes(&self, start: u64, length: u64) -> parquet::errors::Result<Bytes> {
        let end = start.checked_add(length).filter(|end| *end <= self.0.size);
        let end = end.ok_or_else(|| {
            parquet::errors::ParquetError::EOF(format!("byte {start} + {length} lies outside the file"))
        })?;
        read_range(&self.0, start..end).map_err(|e| parquet::errors::ParquetError::External(Box::new(e)))
    }
}
