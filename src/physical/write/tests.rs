//! What is written is read back by parquet-rs, or looked at as text.

use super::*;
use crate::config::Config;
use crate::error::ErrorKind;
use crate::expression::PhysicalExpr;
use crate::format::csv::CsvWriteOptions;
use crate::format::parquet::ParquetWriteOptions;
use crate::physical::pipeline::{Pipeline, Source};
use crate::physical::run_pipelines;
use crate::physical::scan::MemoryScan;
use crate::physical::sort::sort;
use crate::runtime::MemoryArbiter;
use crate::storage::{Compression, Folder, StagedFiles};
use crate::types::{DataType, array_of, logical_type, map_of, row_of, timestamp_tz};
use crate::vector::Column;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::*;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Int32Type, Schema};
use std::fs::File;

fn context(change: impl Fn(&mut Config)) -> QueryContext {
    let mut config = Config {
        memory_limit: 1 << 30,
        threads: 2,
        ..Config::default()
    };
    change(&mut config);
    let memory = MemoryArbiter::new(config.memory_limit);
    QueryContext::new(Arc::new(config), memory)
}

fn parquet_format(row_group_rows: usize, compression: &str) -> WriteFormat {
    WriteFormat::Parquet(ParquetWriteOptions {
        compression: compression.into(),
        level: None,
        row_group_rows,
        row_group_bytes: 128 << 20,
        bloom_filters: vec![],
    })
}

fn target(folder: &tempfile::TempDir, format: WriteFormat, batch: &Batch) -> WriteTarget {
    let fields = batch.physical_columns().iter().enumerate();
    let fields = fields.map(|(i, c)| Field::new(format!("c{i}"), logical_type(c.data_type()).clone(), true));
    WriteTarget {
        files: StagedFiles::new(root(folder.path()), ".staged".into(), None, 1 << 20),
        file_prefix: "part".into(),
        file_pattern: None,
        single_file: None,
        format,
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        partition_by: vec![],
        ordered: false,
        file_size: 0,
        buckets: None,
    }
}

fn root(path: &std::path::Path) -> Folder {
    Folder::parse(path.to_str().unwrap()).unwrap()
}

fn write(source: Arc<dyn Source>, target: WriteTarget, context: &QueryContext) -> Result<Vec<WrittenFile>> {
    let staged = target.files.clone();
    let (sink, result) = write_sink(target, context)?;
    let pipeline = Pipeline {
        name: "test".into(),
        source,
        transforms: vec![],
        sink,
        finishes_sink: true,
    };
    run_pipelines(vec![pipeline], context)?;
    assert_eq!(result.files().iter().map(|f| f.rows).sum::<u64>(), result.rows());
    staged.publish()?;
    for file in result.files() {
        assert_eq!(std::fs::metadata(&file.path).unwrap().len(), file.bytes);
    }
    Ok(result.files())
}

fn read(file: &WrittenFile) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&file.path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    concat_batches(
        &schema,
        &builder.build().unwrap().collect::<Result<Vec<_>, _>>().unwrap(),
    )
    .unwrap()
}

/// Two columns: a number that counts up from `first`, and its text.
fn numbered(first: i64, rows: i64) -> Batch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
    let texts = (first..first + rows).map(|i| (i % 10 != 3).then(|| format!("number {i}")));
    Batch::from_arrays(
        vec![numbers, Arc::new(StringViewArray::from_iter(texts))],
        rows as usize,
    )
}

#[test]
fn every_type_is_read_back() {
    let mut list = ListBuilder::new(Int64Builder::new());
    list.append_value([Some(1), None]);
    list.append_null();
    list.append_value([]);
    let names = MapFieldNames {
        entry: "entries".into(),
        key: "key".into(),
        value: "value".into(),
    };
    let mut map = MapBuilder::new(Some(names), StringViewBuilder::new(), Int64Builder::new());
    map.keys().append_value("k");
    map.values().append_value(4);
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();
    let DataType::Struct(fields) = row_of(vec![("x".into(), DataType::Int32), ("y".into(), DataType::Utf8View)]) else {
        panic!("a row is a struct")
    };
    let members: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1, 2, 3])),
        Arc::new(StringViewArray::from(vec![Some("p"), None, Some("")])),
    ];
    let wide = Decimal128Array::from(vec![Some(1i128 << 100), None, Some(-1)]);
    let coded = DictionaryArray::<Int32Type>::try_new(
        Int32Array::from(vec![Some(1), None, Some(0)]),
        Arc::new(StringViewArray::from(vec!["a long value of the dictionary", "x"])),
    );
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Int8Array::from(vec![Some(-1), None, Some(1)])),
        Arc::new(Int16Array::from(vec![Some(-1), None, Some(1)])),
        Arc::new(Int32Array::from(vec![Some(-1), None, Some(1)])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)])),
        Arc::new(Float32Array::from(vec![Some(-1.5), None, Some(1.0)])),
        Arc::new(Float64Array::from(vec![Some(-1.5), None, Some(f64::INFINITY)])),
        Arc::new(
            Decimal64Array::from(vec![Some(-105), None, Some(7)])
                .with_precision_and_scale(7, 2)
                .unwrap(),
        ),
        Arc::new(
            Decimal64Array::from(vec![Some(-105), None, Some(7)])
                .with_precision_and_scale(15, 2)
                .unwrap(),
        ),
        Arc::new(wide.with_precision_and_scale(38, 2).unwrap()),
        Arc::new(StringViewArray::from(vec![
            Some("é"),
            None,
            Some("a value of more than twelve bytes"),
        ])),
        Arc::new(BinaryViewArray::from(vec![Some(&b"\xff"[..]), None, Some(&b""[..])])),
        Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000)])),
        Arc::new(Time64MicrosecondArray::from(vec![Some(1), None, Some(86_399_999_999)])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1 << 50)])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1 << 50)]).with_timezone("UTC")),
        Arc::new(list.finish()),
        Arc::new(map.finish()),
        Arc::new(StructArray::new(fields, members, None)),
        Arc::new(coded.unwrap()),
    ];
    let mut columns: Vec<Column> = arrays.into_iter().map(Column::Array).collect();
    columns.push(Column::Constant {
        value: Arc::new(StringViewArray::from(vec!["same"])),
        rows: 3,
    });
    let batch = Batch::new(columns, 3);
    for compression in ["snappy", "zstd", "lz4", "gzip", "none"] {
        let folder = tempfile::tempdir().unwrap();
        let target = target(&folder, parquet_format(1000, compression), &batch);
        let types: Vec<DataType> = target.schema.fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(types[16], array_of(DataType::Int64));
        assert_eq!(types[17], map_of(DataType::Utf8View, DataType::Int64));
        assert_eq!(types[15], timestamp_tz("UTC"));
        let files = write(Arc::new(MemoryScan::new(vec![batch.clone()])), target, &context(|_| ())).unwrap();
        let [file] = files.as_slice() else { panic!("one file") };
        let back = read(file);
        for (i, t) in types.iter().enumerate() {
            let expected = batch.column(i).unwrap().to_array().unwrap();
            let found = cast(back.column(i), t).unwrap();
            assert_eq!(&found.slice(0, 3), &expected, "column {i}");
        }
        let metadata = ParquetRecordBatchReaderBuilder::try_new(File::open(&file.path).unwrap()).unwrap();
        let text = format!("{:?}", metadata.parquet_schema().root_schema());
        assert!(text.contains("\"element\"") && text.contains("\"key_value\""), "{text}");
    }
}

#[test]
fn types_without_a_place_are_refused() {
    let batch = Batch::from_arrays(vec![Arc::new(NullArray::new(1))], 1);
    let folder = tempfile::tempdir().unwrap();
    let error = write_sink(target(&folder, parquet_format(10, "snappy"), &batch), &context(|_| ()))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("c0"));
    let batch = numbered(0, 10);
    let wrong = target(&folder, parquet_format(10, "brotli?"), &batch);
    let error = write(Arc::new(MemoryScan::new(vec![batch])), wrong, &context(|_| ())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Plan);
}

#[test]
fn workers_write_files_of_their_own() {
    let batches: Vec<Batch> = (0..100).map(|i| numbered(i * 500, 500)).collect();
    let folder = tempfile::tempdir().unwrap();
    let target = target(&folder, parquet_format(3000, "snappy"), &batches[0]);
    let files = write(Arc::new(MemoryScan::new(batches)), target, &context(|_| ())).unwrap();
    assert!(files.len() <= 2);
    let mut rows: Vec<i64> = files
        .iter()
        .flat_map(|f| {
            read(f)
                .column(0)
                .as_primitive::<arrow::datatypes::Int64Type>()
                .values()
                .to_vec()
        })
        .collect();
    rows.sort_unstable();
    assert!(rows.into_iter().eq(0..50_000));
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&files[0].path).unwrap()).unwrap();
    assert!(builder.metadata().row_groups().iter().all(|g| g.num_rows() <= 3000));
}

#[test]
fn order_is_kept_by_many_workers() {
    // Rows in a shuffled order, sorted and written by several workers, in row groups of many sizes.
    let batches: Vec<Batch> = (0..300).map(|i| numbered((i * 77 % 300) * 1000, 1000)).collect();
    for (threads, row_group_rows, limit) in [(1, 100_000, 1 << 30), (4, 7000, 1 << 30), (3, 1 << 20, 24 << 20)] {
        let context = context(|c| {
            c.threads = threads;
            c.row_group_rows = row_group_rows;
            c.memory_limit = limit;
        });
        let folder = tempfile::tempdir().unwrap();
        let mut target = target(&folder, parquet_format(row_group_rows, "snappy"), &batches[0]);
        target.ordered = true;
        let key = PhysicalExpr::Column {
            index: 0,
            data_type: DataType::Int64,
        };
        let types = [DataType::Int64, DataType::Utf8View];
        let (sink, source) = sort(&types, vec![(key, false, false)], None, &context).unwrap();
        let input = Arc::new(MemoryScan::new(batches.clone()));
        let pipeline = Pipeline {
            name: "sort".into(),
            source: input,
            transforms: vec![],
            sink,
            finishes_sink: true,
        };
        run_pipelines(vec![pipeline], &context).unwrap();
        let files = write(source, target, &context).unwrap();
        let [file] = files.as_slice() else { panic!("one file") };
        let back = read(file);
        let numbers = back.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        assert!(numbers.values().iter().copied().eq(0..300_000), "{threads} threads");
    }
}

#[test]
fn one_file_also_without_rows() {
    for (format, rows, expected) in [
        (
            WriteFormat::Csv(CsvWriteOptions::default(), TextCompression::default()),
            0,
            Some("c0,c1\n"),
        ),
        (
            WriteFormat::Csv(CsvWriteOptions::default(), TextCompression::default()),
            1,
            Some("c0,c1\n0,number 0\n"),
        ),
        (
            WriteFormat::Json(TextCompression::default()),
            1,
            Some("{\"c0\":0,\"c1\":\"number 0\"}\n"),
        ),
        (parquet_format(10, "snappy"), 0, None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut target = target(&folder, format, &numbered(0, 1));
        target.single_file = Some("out".into());
        let batches = if rows == 0 { vec![] } else { vec![numbered(0, rows)] };
        let files = write(Arc::new(MemoryScan::new(batches)), target, &context(|_| ())).unwrap();
        let [file] = files.as_slice() else { panic!("one file") };
        assert_eq!(file.path, folder.path().join("out"));
        match expected {
            Some(text) => assert_eq!(std::fs::read_to_string(&file.path).unwrap(), text),
            None => assert_eq!(read(file).num_rows(), 0),
        }
    }
}

#[test]
fn compressed_text_in_pieces_is_one_file() {
    let batches: Vec<Batch> = (0..40).map(|i| numbered(i * 500, 500)).collect();
    for codec in [Compression::Gzip, Compression::Zstd] {
        let compression = TextCompression { codec, level: None };
        let folder = tempfile::tempdir().unwrap();
        let format = WriteFormat::Csv(CsvWriteOptions::default(), compression);
        let mut target = target(&folder, format, &batches[0]);
        target.ordered = true;
        let files = write(Arc::new(MemoryScan::new(batches.clone())), target, &context(|_| ())).unwrap();
        let bytes = std::fs::read(&files[0].path).unwrap();
        let mut text = String::new();
        use std::io::Read;
        match codec {
            Compression::Gzip => flate2::read::MultiGzDecoder::new(&bytes[..])
                .read_to_string(&mut text)
                .unwrap(),
            _ => zstd::stream::read::Decoder::new(&bytes[..])
                .unwrap()
                .read_to_string(&mut text)
                .unwrap(),
        };
        let lines = (0..20_000).map(|i| {
            if i % 10 == 3 {
                format!("{i},")
            } else {
                format!("{i},number {i}")
            }
        });
        assert!(text.lines().skip(1).eq(lines));
        assert!(files[0].path.ends_with(&target_extension(compression)));
    }
}

fn target_extension(compression: TextCompression) -> String {
    WriteFormat::Csv(CsvWriteOptions::default(), compression).extension()
}

#[test]
fn partitions_are_folders() {
    let batch = |first: i64| -> Batch {
        let rows = 1000;
        let keys = (first..first + rows).map(|i| match i % 203 {
            0 => None,
            1 => Some("a b/c:d=e%".to_string()),
            n => Some(format!("k{n}")),
        });
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
        let keys: ArrayRef = Arc::new(StringViewArray::from_iter(keys));
        let days: ArrayRef = Arc::new(Date32Array::from_iter_values(
            (first..first + rows).map(|i| (i % 2) as i32),
        ));
        Batch::from_arrays(vec![keys, numbers, days], rows as usize)
    };
    let batches: Vec<Batch> = (0..50).map(|i| batch(i * 1000)).collect();
    for limit in [1 << 30, 2 << 20] {
        let folder = tempfile::tempdir().unwrap();
        let mut target = target(&folder, parquet_format(300, "snappy"), &batches[0]);
        target.partition_by = vec![0, 2];
        let context = context(|c| c.memory_limit = limit);
        let files = write(Arc::new(MemoryScan::new(batches.clone())), target, &context).unwrap();
        assert_eq!(context.memory.used(), 0);
        let folders: std::collections::BTreeSet<String> = files
            .iter()
            .map(|f| {
                let path = std::path::Path::new(&f.path).parent().unwrap();
                path.strip_prefix(&folder).unwrap().display().to_string()
            })
            .collect();
        assert_eq!(folders.len(), 406);
        assert!(folders.contains("c0=__HIVE_DEFAULT_PARTITION__/c2=1970-01-01"));
        assert!(folders.contains("c0=a b%2Fc%3Ad%3De%25/c2=1970-01-02"));
        let mut seen = vec![];
        for file in &files {
            let back = read(file);
            assert_eq!(back.num_columns(), 1);
            let numbers = back
                .column(0)
                .as_primitive::<arrow::datatypes::Int64Type>()
                .values()
                .to_vec();
            let n = numbers[0] % 203;
            assert!(numbers.iter().all(|i| i % 203 == n));
            if n > 1 {
                assert!(file.path.contains(&format!("c0=k{n}/")));
            }
            seen.extend(numbers);
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..50_000));
    }
}

#[test]
fn a_write_that_fails_names_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let batch = numbered(0, 10);
    std::fs::write(folder.path().join("file"), "").unwrap();
    let mut missing = target(&folder, parquet_format(10, "snappy"), &batch);
    missing.files = StagedFiles::new(root(&folder.path().join("file/there")), ".staged".into(), None, 1 << 20);
    let source = Arc::new(MemoryScan::new(vec![batch.clone()]));
    let error = write(source, missing, &context(|_| ())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains("file/there"), "{error}");
    // A device that is always full.
    let mut full = target(&folder, parquet_format(10, "snappy"), &batch);
    let place = folder.path().join(".staged/data");
    std::fs::create_dir_all(&place).unwrap();
    std::os::unix::fs::symlink("/dev/full", place.join("part-00000.snappy.parquet")).unwrap();
    full.file_prefix = "part".into();
    let error = write(Arc::new(MemoryScan::new(vec![batch])), full, &context(|_| ())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains("part-00000.snappy.parquet"), "{error}");
}
