//! Reading with a page index gives the rows that reading without gives, and reads less.

use super::ParquetFormat;
use super::metadata::Footer;
use crate::config::Config;
use crate::expression::{BinaryOp, PhysicalExpr, Predicate, RuntimeFilter};
use crate::format::{BadRows, FileFormat, FileInfo, ScanColumn, ScanProgress, ScanRequest};
use crate::storage::{Location, ObjectFile, list};
use crate::types::{DataType, ScalarValue};
use arrow::array::{ArrayRef, Float64Array, Int64Array, Int64Builder, ListBuilder, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::path::Path;
use std::sync::Arc;

const ROWS: i64 = 40_000;
const GROUP: usize = 15_000;

/// `k` ascends with some NULLs at the end, `s` is text of clusters with NULLs between, `f` is noise, `l` lists.
fn batch() -> RecordBatch {
    let k = Int64Array::from_iter((0..ROWS).map(|i| (i < ROWS - 1500).then_some(i)));
    let s = StringArray::from_iter((0..ROWS).map(|i| (i % 7 != 0).then(|| format!("text {:05}", i / 50))));
    let f = Float64Array::from_iter_values((0..ROWS).map(|i| (i * 7919 % ROWS) as f64 / 3.0));
    let mut l = ListBuilder::new(Int64Builder::new());
    (0..ROWS).for_each(|i| l.append_value((0..i % 4).map(Some)));
    let columns: [(&str, ArrayRef); 4] = [
        ("k", Arc::new(k)),
        ("s", Arc::new(s)),
        ("f", Arc::new(f)),
        ("l", Arc::new(l.finish())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// A file whose columns have pages of different lengths.
fn write(path: &Path, with_index: bool, version: WriterVersion) {
    let statistics = match with_index {
        true => EnabledStatistics::Page,
        false => EnabledStatistics::Chunk,
    };
    let properties = WriterProperties::builder()
        .set_writer_version(version)
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP))
        .set_write_batch_size(50)
        .set_statistics_enabled(statistics)
        .set_offset_index_disabled(!with_index)
        .set_column_data_page_row_count_limit(ColumnPath::from("k"), 400)
        .set_column_data_page_row_count_limit(ColumnPath::from("s"), 650)
        .set_column_data_page_row_count_limit(ColumnPath::from("f"), 1000)
        .set_column_dictionary_enabled(ColumnPath::from("k"), false)
        .build();
    let batch = batch();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn listed(path: &Path) -> (ObjectFile, Arc<FileInfo>) {
    let file = list(&Location::parse(path.to_str().unwrap()).unwrap())
        .unwrap()
        .remove(0);
    let info = ParquetFormat.inspect(&file, false).unwrap();
    (file, Arc::new(info))
}

/// `k`, `s`, `f`, `l` by position in a request for all of them.
fn column(index: usize) -> PhysicalExpr {
    let data_type = [DataType::Int64, DataType::Utf8View, DataType::Float64][index].clone();
    PhysicalExpr::Column { index, data_type }
}

fn compare(index: usize, op: BinaryOp, value: ScalarValue) -> PhysicalExpr {
    let data_type = value.data_type();
    PhysicalExpr::Binary {
        op,
        left: column(index).into(),
        right: PhysicalExpr::Literal(value, data_type).into(),
        data_type: DataType::Boolean,
    }
}

fn between(index: usize, low: ScalarValue, high: ScalarValue) -> PhysicalExpr {
    PhysicalExpr::And(vec![
        compare(index, BinaryOp::GreaterOrEqual, low),
        compare(index, BinaryOp::LessOrEqual, high),
    ])
}

fn request(
    info: &FileInfo,
    predicates: Vec<PhysicalExpr>,
    runtime_filters: Vec<(usize, RuntimeFilter)>,
) -> Arc<ScanRequest> {
    let columns = info
        .columns
        .iter()
        .enumerate()
        .map(|(position, (name, data_type))| ScanColumn {
            name: name.clone(),
            position,
            data_type: data_type.clone(),
            partition_column: None,
        });
    Arc::new(ScanRequest {
        columns: columns.collect(),
        output: 4,
        predicates: predicates.into_iter().map(Predicate::new).collect(),
        runtime_filters,
        batch_rows: 1000,
        bad_rows: BadRows::new(None, &Config::default(), &Default::default()).unwrap(),
        progress: ScanProgress::default(),
    })
}

/// The rows as text.
fn read(file: &ObjectFile, info: &Arc<FileInfo>, request: &Arc<ScanRequest>) -> crate::error::Result<Vec<String>> {
    let mut rows = vec![];
    for partition in ParquetFormat.partitions(file, info, &[], request)? {
        let mut reader = ParquetFormat.open(&partition, request)?;
        while let Some(batch) = reader.next()? {
            let columns: Vec<ArrayRef> = (0..4)
                .map(|c| batch.column(c).and_then(|column| column.to_array()))
                .collect::<Result<_, _>>()?;
            let options = FormatOptions::default().with_null("NULL");
            let columns: Vec<_> = columns
                .iter()
                .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
                .collect();
            rows.extend((0..batch.len()).map(|row| {
                let fields: Vec<String> = columns.iter().map(|c| c.value(row).to_string()).collect();
                fields.join("|")
            }));
        }
    }
    Ok(rows)
}

fn conditions() -> Vec<(Vec<PhysicalExpr>, bool)> {
    let (int, text, double) = (
        ScalarValue::Int64,
        |s: &str| ScalarValue::string(s),
        ScalarValue::Float64,
    );
    let is_null = |index| PhysicalExpr::IsNull {
        expr: column(index).into(),
        negated: false,
    };
    vec![
        (vec![between(0, int(7_990), int(8_010))], true),
        (vec![compare(0, BinaryOp::Less, int(3))], true),
        (vec![compare(0, BinaryOp::GreaterOrEqual, int(38_400))], true),
        (vec![is_null(0)], true),
        (vec![compare(1, BinaryOp::Equal, text("text 00300"))], true),
        (
            vec![
                between(1, text("text 00299"), text("text 00301")),
                between(0, int(14_000), int(15_010)),
            ],
            true,
        ),
        (
            vec![PhysicalExpr::Or(vec![
                between(0, int(100), int(120)),
                compare(1, BinaryOp::Equal, text("text 00700")),
            ])],
            true,
        ),
        (
            vec![
                between(0, int(10), int(14_000)),
                compare(2, BinaryOp::Less, double(100.0)),
            ],
            false,
        ),
        (vec![compare(2, BinaryOp::Equal, double(1.0))], false),
        (vec![is_null(1)], false),
    ]
}

#[test]
fn pages_left_out_change_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let paths = [
            folder.path().join("plain.parquet"),
            folder.path().join("indexed.parquet"),
        ];
        write(&paths[0], false, version);
        write(&paths[1], true, version);
        let [(plain, plain_info), (indexed, info)] = paths.map(|p| listed(&p));
        for (predicates, must_leave_out) in conditions() {
            let expected = read(&plain, &plain_info, &request(&plain_info, predicates.clone(), vec![])).unwrap();
            assert!(!expected.is_empty());
            let with_index = request(&info, predicates.clone(), vec![]);
            assert_eq!(read(&indexed, &info, &with_index).unwrap(), expected, "{predicates:?}");
            let left_out = with_index.progress.pages_left_out();
            assert!(left_out > 20 || !must_leave_out, "{predicates:?}: {left_out}");
            // The same once more, now that it is known how rare such rows are.
            assert_eq!(read(&indexed, &info, &with_index).unwrap(), expected, "{predicates:?}");
        }
    }
}

#[test]
fn where_rows_are_rare_other_columns_read_only_their_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    write(&path, true, WriterVersion::PARQUET_1_0);
    let (file, info) = listed(&path);
    // Within the bounds of all pages, and in one row.
    let request = request(
        &info,
        vec![compare(2, BinaryOp::Equal, ScalarValue::Float64(1.0))],
        vec![],
    );
    let first = read(&file, &info, &request).unwrap();
    assert!(request.progress.hits_are_rare());
    // Of the pages of k and s in the second row group one each is read; in the first no such column was opened at all.
    let left_out = request.progress.pages_left_out();
    assert_eq!((first.len(), left_out > 45), (1, true), "{left_out}");
    assert_eq!(read(&file, &info, &request).unwrap(), first);
    // Now that it is known how rare such rows are, at least as many.
    assert!(request.progress.pages_left_out() >= 2 * left_out);
}

#[test]
fn runtime_filters_leave_pages_and_row_groups_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    write(&path, true, WriterVersion::PARQUET_1_0);
    let (file, info) = listed(&path);
    let (filter, builder) = RuntimeFilter::new();
    let request = request(&info, vec![], vec![(0, filter)]);
    let partitions = ParquetFormat.partitions(&file, &info, &[], &request).unwrap();
    assert_eq!(partitions.len(), 3, "nothing is known yet");
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(20_000..20_010));
    builder.seal(&[keys]).unwrap();
    let mut rows = 0;
    for (i, partition) in partitions.iter().enumerate() {
        let mut reader = ParquetFormat.open(partition, &request).unwrap();
        let left_out = reader.bytes_left_out();
        match i {
            // Lists are read whole.
            1 => assert!(left_out > partition.bytes / 3, "{left_out} of {}", partition.bytes),
            _ => assert_eq!(left_out, partition.bytes),
        }
        while let Some(batch) = reader.next().unwrap() {
            rows += batch.len();
        }
    }
    assert_eq!(rows, 10);
    assert!(request.progress.pages_left_out() > 20);
}

/// Every bit of the places of pages, turned one by one: the answer is right or an error.
#[test]
fn a_page_index_that_lies_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    write(&path, true, WriterVersion::PARQUET_1_0);
    let (file, info) = listed(&path);
    let conditions = vec![between(0, ScalarValue::Int64(7_990), ScalarValue::Int64(8_010))];
    let expected = read(&file, &info, &request(&info, conditions.clone(), vec![])).unwrap();
    let original = std::fs::read(&path).unwrap();
    let footer = Footer::of(&info).unwrap();
    let chunks = footer.metadata.row_groups()[0].columns().iter().take(3);
    let ranges: Vec<_> = chunks.filter_map(|c| c.offset_index_range()).collect();
    let (mut refused, mut unchanged) = (0, 0);
    let broken = folder.path().join("broken.parquet");
    for at in ranges.into_iter().flatten().step_by(5) {
        for bit in [0, 1, 4, 7] {
            let mut bytes = original.clone();
            bytes[at as usize] ^= 1 << bit;
            std::fs::write(&broken, bytes).unwrap();
            let (file, info) = listed(&broken);
            match read(&file, &info, &request(&info, conditions.clone(), vec![])) {
                Ok(rows) => {
                    assert_eq!(rows, expected, "byte {at}, bit {bit}");
                    unchanged += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 0 && unchanged > 0, "{refused} {unchanged}");
}
