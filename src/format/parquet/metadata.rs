//! Footers: schema, row groups, statistics.

use crate::error::{Error, Result};
use crate::expression::pruning::Bounds;
use crate::format::{FileColumnStatistics, FileInfo, Partition, ScanColumn};
use crate::runtime::guarded;
use crate::storage::{ObjectFile, cache_footer, cached_footer, is_remote, read_range};
use crate::types::{DataType, ScalarValue, TIMESTAMP, common_type, is_decimal, is_integer, normalize_type};
use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, Fields, Schema as ArrowSchema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use std::ops::Range;
use std::sync::Arc;

/// Bytes read from the end of a file in the hope that they hold the whole footer and the page indexes before it: a
/// thousandth of the file, within these bounds.
const TAIL: Range<u64> = 128 << 10..512 << 10;
/// Page indexes larger than this are read when they are needed.
const MAX_KEPT_INDEX: usize = 256 << 10;
/// No sane footer is larger.
const MAX_FOOTER: u64 = 256 << 20;

/// A decoded footer.
#[derive(Debug)]
pub struct Footer {
    pub metadata: Arc<ParquetMetaData>,
    /// The file's columns as arrow reads them by itself, but for INT96, which is read in microseconds.
    pub schema: SchemaRef,
    /// Whether some column is INT96.
    pub has_int96: bool,
    /// One per top-level column.
    columns: Vec<FooterColumn>,
    index: Option<KeptIndex>,
}

/// The page indexes of all columns as they are in the file: of a remote file, when they came along with its footer.
#[derive(Debug)]
struct KeptIndex {
    start: u64,
    bytes: Bytes,
}

#[derive(Debug)]
struct FooterColumn {
    name: Arc<str>,
    data_type: DataType,
    /// The Parquet leaf, for columns that are one leaf.
    leaf: Option<usize>,
    /// Leaves below this column.
    leaves: Range<usize>,
    bounds: Option<RowGroupBounds>,
}

/// Statistics of one leaf, one element per row group.
#[derive(Debug)]
pub struct RowGroupBounds {
    pub min: ArrayRef,
    pub max: ArrayRef,
    pub nulls: UInt64Array,
}

/// The fields with INT96 in microseconds: in nanoseconds, as arrow reads it, years before 1677 and after 2262 wrap around.
/// `int96` says for each leaf whether it is INT96.
fn in_microseconds(fields: &Fields, int96: &mut dyn Iterator<Item = bool>) -> Fields {
    fields
        .iter()
        .map(|field| {
            let field = field.as_ref().clone();
            let data_type = type_in_microseconds(field.data_type(), int96);
            Arc::new(field.with_data_type(data_type))
        })
        .collect()
}

fn type_in_microseconds(t: &DataType, int96: &mut dyn Iterator<Item = bool>) -> DataType {
    let mut inner = |field: &FieldRef| {
        let data_type = type_in_microseconds(field.data_type(), int96);
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    match t {
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, n) => DataType::FixedSizeList(inner(item), *n),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(in_microseconds(fields, int96)),
        leaf => match (int96.next(), leaf) {
            (Some(true), DataType::Timestamp(_, zone)) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            _ => leaf.clone(),
        },
    }
}

/// Reads the footer and what it tells about rows and columns.
pub fn inspect(file: &ObjectFile) -> Result<FileInfo> {
    let (metadata, index) = read_metadata(file)?;
    let metadata = Arc::new(metadata);
    let meta = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(meta.schema_descr(), meta.key_value_metadata())?;
    let leaves = meta.schema_descr().columns().iter();
    let int96: Vec<bool> = leaves.map(|leaf| leaf.physical_type() == PhysicalType::INT96).collect();
    let schema = Arc::new(match int96.contains(&true) {
        true => ArrowSchema::new(in_microseconds(schema.fields(), &mut int96.iter().copied())),
        false => schema,
    });
    let mut columns = vec![];
    let mut next_leaf = 0;
    for (i, field) in schema.fields().iter().enumerate() {
        let leaves = leaf_range(&metadata, i, &mut next_leaf);
        let Some(data_type) = normalize_type(field.data_type()) else {
            return Err(Error::unsupported(format!(
                "column \"{}\" of type {}",
                field.name(),
                field.data_type()
            )));
        };
        let leaf = (leaves.len() == 1 && !field.data_type().is_nested()).then_some(leaves.start);
        let bounds = leaf.and_then(|leaf| bounds(&metadata, &schema, leaf, field.name(), &data_type));
        columns.push(FooterColumn {
            name: field.name().as_str().into(),
            data_type,
            leaf,
            leaves,
            bounds,
        });
    }
    let rows = metadata
        .row_groups()
        .iter()
        .map(|g| u64::try_from(g.num_rows()).unwrap_or(0))
        .sum();
    let footer = Footer {
        metadata,
        schema,
        has_int96: int96.contains(&true),
        columns,
        index,
    };
    // The bounds once more as arrays, and once more as the file's own.
    let memory = footer.metadata.memory_size() * 2 + footer.index.as_ref().map_or(0, |i| i.bytes.len());
    Ok(FileInfo {
        memory,
        columns: footer
            .columns
            .iter()
            .map(|c| (c.name.clone(), c.data_type.clone()))
            .collect(),
        rows: Some(rows),
        statistics: footer.columns.iter().map(|c| footer.statistics(c, rows)).collect(),
        details: Some(Arc::new(footer)),
    })
}

fn read_metadata(file: &ObjectFile) -> Result<(ParquetMetaData, Option<KeptIndex>)> {
    if file.size < 12 {
        return Err(Error::bad_file(format!(
            "not a Parquet file: it has only {} bytes",
            file.size
        )));
    }
    if let Some(metadata) = cached_footer(file).and_then(|footer| decode(&footer).ok()) {
        return Ok((metadata, None));
    }
    let length = (file.size >> 10).clamp(TAIL.start, TAIL.end);
    let tail = read_range(file, file.size.saturating_sub(length)..file.size)?;
    let end = tail
        .len()
        .checked_sub(8)
        .and_then(|at| tail.get(at..))
        .unwrap_or_default();
    let (length, magic) = match end {
        [a, b, c, d, magic @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as u64, magic),
        _ => (0, end),
    };
    if magic == b"PARE" {
        return Err(Error::unsupported("encrypted Parquet files"));
    }
    if magic != b"PAR1" {
        return Err(Error::bad_file(
            "not a Parquet file, or cut short: it does not end with PAR1",
        ));
    }
    if length > MAX_FOOTER || length + 12 > file.size {
        return Err(Error::bad_file(format!(
            "the footer claims {length} bytes in a file of {}",
            file.size
        )));
    }
    let start = file.size - 8 - length;
    let from_tail =
        (length as usize + 8 <= tail.len()).then(|| tail.slice(tail.len() - 8 - length as usize..tail.len() - 8));
    let footer = match from_tail {
        Some(footer) => footer,
        None => read_range(file, start..file.size - 8)?,
    };
    let metadata = decode(&footer)?;
    cache_footer(file, &footer);
    let index = is_remote(file).then(|| kept_index(file, &metadata, &tail)).flatten();
    Ok((metadata, index))
}

/// The page indexes, if all are in the `tail` of the file.
fn kept_index(file: &ObjectFile, metadata: &ParquetMetaData, tail: &[u8]) -> Option<KeptIndex> {
    let chunks = metadata.row_groups().iter().flat_map(|g| g.columns());
    let ranges = chunks
        .flat_map(|c| [c.column_index_range(), c.offset_index_range()])
        .flatten();
    let (start, end) = ranges.fold((u64::MAX, 0), |(start, end), r| (start.min(r.start), end.max(r.end)));
    let before = file.size - tail.len() as u64;
    let place = usize::try_from(start.checked_sub(before)?).ok()?..usize::try_from(end.checked_sub(before)?).ok()?;
    let bytes = tail.get(place).filter(|bytes| bytes.len() <= MAX_KEPT_INDEX)?;
    // A copy, so that it does not keep the whole tail.
    let bytes = Bytes::copy_from_slice(bytes);
    Some(KeptIndex { start, bytes })
}

fn decode(footer: &[u8]) -> Result<ParquetMetaData> {
    // A malformed footer must not take the process down, whatever the decoder does with it.
    let decoded = guarded(|| Ok(ParquetMetaDataReader::decode_metadata(footer)?));
    let metadata = decoded.map_err(|e| e.context("the footer"))?;
    let implausible = |n: i64| n < 0 || n > u32::MAX as i64;
    if metadata.row_groups().iter().any(|g| implausible(g.num_rows())) {
        return Err(Error::bad_file("a row group has an impossible number of rows"));
    }
    Ok(metadata)
}

/// The leaves of the `root`-th top-level column, which follow those of the one before.
fn leaf_range(metadata: &ParquetMetaData, root: usize, next: &mut usize) -> Range<usize> {
    let descr = metadata.file_metadata().schema_descr();
    let start = *next;
    while *next < descr.num_columns() && descr.get_column_root_idx(*next) == root {
        *next += 1;
    }
    start..*next
}

fn bounds(
    metadata: &ParquetMetaData,
    schema: &ArrowSchema,
    leaf: usize,
    name: &str,
    t: &DataType,
) -> Option<RowGroupBounds> {
    let groups = metadata.row_groups();
    let present = groups
        .iter()
        .all(|g| g.columns().get(leaf).is_some_and(|c| c.statistics().is_some()));
    if !present || groups.is_empty() {
        return None;
    }
    let descr = metadata.file_metadata().schema_descr();
    let bounds = guarded(|| {
        let converter = StatisticsConverter::try_new(name, schema, descr)?.with_missing_null_counts_as_zero(false);
        Ok(RowGroupBounds {
            min: cast(&converter.row_group_mins(groups)?, t)?,
            max: cast(&converter.row_group_maxes(groups)?, t)?,
            nulls: converter.row_group_null_counts(groups)?,
        })
    });
    bounds.ok()
}

/// Whether values that are read as a wider type keep their order, so that their bounds do too.
pub(super) fn keeps_order(stored: &DataType, wanted: &DataType) -> bool {
    let widens = is_integer(stored) && (is_integer(wanted) || is_decimal(wanted) || *wanted == DataType::Float64)
        || *stored == DataType::Float32 && *wanted == DataType::Float64
        || *stored == DataType::Date32 && *wanted == TIMESTAMP;
    stored == wanted || widens && common_type(stored, wanted).as_ref() == Some(wanted)
}

impl Footer {
    /// The footer that `inspect` left in `info`.
    pub fn of(info: &FileInfo) -> Result<&Footer> {
        let details = info.details.as_ref().and_then(|d| d.downcast_ref::<Footer>());
        details.ok_or_else(|| Error::internal("a Parquet file's information has its footer"))
    }

    /// The position of a column, names compared without regard to case.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|c| c.name.as_ref() == name)
            .or_else(|| self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name)))
    }

    pub fn leaf(&self, column: usize) -> Option<usize> {
        self.columns.get(column)?.leaf
    }

    pub fn data_type(&self, column: usize) -> Option<&DataType> {
        self.columns.get(column).map(|c| &c.data_type)
    }

    pub fn rows(&self, group: usize) -> u64 {
        self.metadata
            .row_groups()
            .get(group)
            .map_or(0, |g| u64::try_from(g.num_rows()).unwrap_or(0))
    }

    /// What is known of a column of a scan in the partition's row group.
    pub fn bounds_in(&self, partition: &Partition, wanted: &ScanColumn) -> Option<Bounds> {
        let group = partition.start as usize;
        if let Some(value) = wanted.partition_column.and_then(|p| partition.constants.get(p)) {
            return Some(Bounds::constant(value, self.rows(group)));
        }
        self.bounds(self.column(&wanted.name)?, group, &wanted.data_type)
    }

    /// Whether the page indexes are in memory.
    pub fn keeps_index(&self) -> bool {
        self.index.is_some()
    }

    /// These bytes of the file, if they are of the page indexes in memory.
    pub fn kept_index(&self, range: &Range<u64>) -> Option<Bytes> {
        let index = self.index.as_ref()?;
        let start = usize::try_from(range.start.checked_sub(index.start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(index.start)?).ok()?;
        (start <= end && end <= index.bytes.len()).then(|| index.bytes.slice(start..end))
    }

    /// The chunks of a column's leaves in a row group.
    pub fn chunks(&self, column: usize, group: usize) -> &[ColumnChunkMetaData] {
        match (self.columns.get(column), self.metadata.row_groups().get(group)) {
            (Some(c), Some(g)) => g.columns().get(c.leaves.clone()).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Compressed bytes of a column in a row group.
    pub fn column_bytes(&self, column: usize, group: usize) -> u64 {
        self.chunks(column, group)
            .iter()
            .map(|c| u64::try_from(c.compressed_size()).unwrap_or(0))
            .sum()
    }

    /// The bounds of a column in a row group when the column is read as `wanted`.
    pub fn bounds(&self, column: usize, group: usize, wanted: &DataType) -> Option<Bounds> {
        let c = self.columns.get(column)?;
        let b = c.bounds.as_ref().filter(|_| keeps_order(&c.data_type, wanted))?;
        let value = |a: &ArrayRef| {
            let one = (group < a.len()).then(|| a.slice(group, 1))?;
            let one = if *a.data_type() == *wanted {
                one
            } else {
                cast(&one, wanted).ok()?
            };
            ScalarValue::from_array(one.as_ref(), 0).ok().filter(|v| !v.is_null())
        };
        let nulls = b.nulls.is_valid(group).then(|| b.nulls.value(group));
        Some(Bounds {
            min: value(&b.min),
            max: value(&b.max),
            nulls,
            rows: Some(self.rows(group)),
        })
    }

    fn statistics(&self, column: &FooterColumn, rows: u64) -> FileColumnStatistics {
        let groups = self.metadata.row_groups();
        let chunks = groups
            .iter()
            .flat_map(|g| g.columns().get(column.leaves.clone()).unwrap_or_default());
        let bytes = chunks.map(|c| u64::try_from(c.compressed_size()).unwrap_or(0)).sum();
        let Some(b) = &column.bounds else {
            return FileColumnStatistics {
                bytes,
                ..Default::default()
            };
        };
        let all = |a: &ArrayRef| {
            (0..a.len())
                .map(|i| ScalarValue::from_array(a.as_ref(), i).unwrap_or(ScalarValue::Null))
                .collect::<Vec<_>>()
        };
        let (mins, maxs) = (all(&b.min), all(&b.max));
        let extreme = |values: &[ScalarValue], wanted: std::cmp::Ordering| {
            // One row group without bounds leaves the file without.
            let mut best: Option<&ScalarValue> = None;
            for v in values {
                match best {
                    _ if v.is_null() => return None,
                    Some(b) if v.partial_compare(b) != Some(wanted) => {}
                    _ => best = Some(v),
                }
            }
            best.cloned()
        };
        let nulls = (b.nulls.null_count() == 0).then(|| b.nulls.values().iter().sum());
        FileColumnStatistics {
            min: extreme(&mins, std::cmp::Ordering::Less),
            max: extreme(&maxs, std::cmp::Ordering::Greater),
            nulls,
            distinct: column
                .leaf
                .and_then(|leaf| self.distinct(leaf, &column.data_type, rows)),
            bytes,
        }
    }

    /// An estimate of the number of distinct values from the sizes of the dictionary pages: the largest of any row group,
    /// `None` where a row group is not dictionary-coded or nearly every value is its own.
    fn distinct(&self, leaf: usize, t: &DataType, rows: u64) -> Option<u64> {
        let mut largest = 0u64;
        for group in self.metadata.row_groups() {
            let chunk = group.columns().get(leaf)?;
            let dictionary = u64::try_from(chunk.data_page_offset() - chunk.dictionary_page_offset()?).ok()?;
            // Headers take some twenty bytes; what is left is compressed about as well as the whole chunk.
            let ratio =
                (chunk.uncompressed_size().max(1) as f64 / chunk.compressed_size().max(1) as f64).clamp(1.0, 4.0);
            let width = match t {
                DataType::Utf8View | DataType::BinaryView => 4.0 + 12.0,
                other => other.primitive_width().unwrap_or(8).min(8) as f64,
            };
            let ratio = if matches!(t, DataType::Utf8View | DataType::BinaryView) {
                ratio
            } else {
                1.0
            };
            let entries = (dictionary.saturating_sub(20) as f64 * ratio / width).max(1.0) as u64;
            if entries * 4 > u64::try_from(group.num_rows()).unwrap_or(0) {
                return None;
            }
            largest = largest.max(entries);
        }
        (largest > 0).then_some(largest.min(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ParquetFormat;
    use crate::format::testing::{ask, read_file};
    use parquet::data_type::{Int96, Int96Type};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    #[test]
    fn int96_reaches_all_years() {
        let message = "message m { required int96 ts; required group l (LIST) { repeated group list { required int96 element; } } }";
        // Nanoseconds of the day, and Julian days: 0001-01-01, 1970-01-01 and 9999-12-31.
        let moments: Vec<Int96> = [(0, 1_721_426), (1_000, 2_440_588), (0, 5_373_484)]
            .into_iter()
            .map(|(nanos, day)| {
                let mut moment = Int96::new();
                moment.set_data(nanos, 0, day);
                moment
            })
            .collect();
        let mut content = vec![];
        let schema = Arc::new(parse_message_type(message).unwrap());
        let mut writer = SerializedFileWriter::new(&mut content, schema, Default::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for levels in [None, Some([1, 1, 1])] {
            let mut column = group.next_column().unwrap().unwrap();
            let repeated = levels.map(|_| [0, 0, 0]);
            let written = column.typed::<Int96Type>();
            let levels = (levels.as_ref().map(|l| &l[..]), repeated.as_ref().map(|l| &l[..]));
            written.write_batch(&moments, levels.0, levels.1).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
        let wanted = [("ts", "timestamp"), ("l", "array(timestamp)")];
        let rows = read_file(&ParquetFormat, "x.parquet", &content, false, |_| ask(&wanted)).unwrap();
        let expected = [
            "0001-01-01T00:00:00",
            "1970-01-01T00:00:00.000001",
            "9999-12-31T00:00:00",
        ];
        assert_eq!(rows, expected.map(|m| format!("{m}|[{m}]")));
    }
}
