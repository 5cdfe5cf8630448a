//! What parquet-rs's own reader says, over files of many shapes read in many orders; and corrupt bytes.

use super::*;
use arrow::array::*;
use arrow::compute::{cast, concat};
use arrow::datatypes::*;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType as ParquetType, FixedLenByteArray, FixedLenByteArrayType};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

/// Numbers that look random and are the same every time (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// How the rows of a test column look.
#[derive(Debug, Clone, Copy)]
struct Shape {
    rows: usize,
    /// How many different values there are.
    distinct: usize,
    /// Percent of rows that are null; nothing for a required column.
    nulls: Option<usize>,
    /// Values come in runs of up to this length.
    run: usize,
}

const SHAPES: &[Shape] = &[
    Shape {
        rows: 2500,
        distinct: 7,
        nulls: None,
        run: 1,
    },
    Shape {
        rows: 2500,
        distinct: 300,
        nulls: Some(20),
        run: 3,
    },
    Shape {
        rows: 2500,
        distinct: 1 << 40,
        nulls: None,
        run: 1,
    },
    Shape {
        rows: 2500,
        distinct: 1 << 40,
        nulls: Some(50),
        run: 40,
    },
    Shape {
        rows: 700,
        distinct: 1,
        nulls: Some(0),
        run: 1,
    },
    Shape {
        rows: 700,
        distinct: 5,
        nulls: Some(100),
        run: 1,
    },
    Shape {
        rows: 700,
        distinct: 90,
        nulls: Some(97),
        run: 100,
    },
    Shape {
        rows: 1,
        distinct: 1,
        nulls: None,
        run: 1,
    },
];

/// One seed per row; equal seeds become equal values.
fn seeds(shape: Shape, random: &mut Random) -> Vec<Option<u64>> {
    let mut out: Vec<Option<u64>> = vec![];
    while out.len() < shape.rows {
        let value = random.below(shape.distinct) as u64;
        let null = shape.nulls.is_some_and(|percent| random.chance(percent));
        let run = 1 + random.below(shape.run);
        out.extend(std::iter::repeat_n((!null).then_some(value), run));
    }
    out.truncate(shape.rows);
    out
}

fn text(seed: u64) -> String {
    match seed % 5 {
        0 => String::new(),
        1 => format!("short {}", seed % 1000),
        2 => format!("ünïcödé wörds of some length, number {seed}"),
        3 => format!("{seed} {}", "long ".repeat((seed % 60) as usize)),
        _ => format!("exact {seed:06}")[..12].to_string(),
    }
}

type Make = fn(&[Option<u64>]) -> ArrayRef;

fn spread_bits(seed: u64) -> i64 {
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8) as i64 - (1 << 55)
}

fn primitive<T: ArrowPrimitiveType>(seeds: &[Option<u64>], value: impl Fn(u64) -> T::Native) -> PrimitiveArray<T> {
    seeds.iter().map(|s| s.map(&value)).collect()
}

/// Name, values to write, type to read.
fn columns() -> Vec<(&'static str, Make, DataType)> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    vec![
        (
            "boolean",
            |s| Arc::new(s.iter().map(|s| s.map(|s| s % 3 == 0)).collect::<BooleanArray>()),
            DataType::Boolean,
        ),
        (
            "int8",
            |s| Arc::new(primitive::<Int8Type>(s, |s| s as i8)),
            DataType::Int8,
        ),
        (
            "uint8",
            |s| Arc::new(primitive::<UInt8Type>(s, |s| s as u8)),
            DataType::UInt8,
        ),
        (
            "int16",
            |s| Arc::new(primitive::<Int16Type>(s, |s| s as i16)),
            DataType::Int16,
        ),
        (
            "uint16",
            |s| Arc::new(primitive::<UInt16Type>(s, |s| s as u16)),
            DataType::UInt16,
        ),
        (
            "int32",
            |s| Arc::new(primitive::<Int32Type>(s, |s| spread_bits(s) as i32)),
            DataType::Int32,
        ),
        (
            "int32 as int64",
            |s| Arc::new(primitive::<Int32Type>(s, |s| spread_bits(s) as i32)),
            DataType::Int64,
        ),
        (
            "uint32",
            |s| Arc::new(primitive::<UInt32Type>(s, |s| spread_bits(s) as u32)),
            DataType::UInt32,
        ),
        (
            "int64",
            |s| Arc::new(primitive::<Int64Type>(s, spread_bits)),
            DataType::Int64,
        ),
        (
            "ascending int64",
            |s| {
                Arc::new(
                    (0..s.len() as i64)
                        .zip(s)
                        .map(|(i, s)| s.map(|_| i * 3))
                        .collect::<Int64Array>(),
                )
            },
            DataType::Int64,
        ),
        (
            "extreme int64",
            |s| Arc::new(primitive::<Int64Type>(s, |s| [i64::MIN, i64::MAX, 0][s as usize % 3])),
            DataType::Int64,
        ),
        (
            "extreme int32",
            |s| Arc::new(primitive::<Int32Type>(s, |s| [i32::MIN, i32::MAX, 0][s as usize % 3])),
            DataType::Int32,
        ),
        (
            "uint64",
            |s| Arc::new(primitive::<UInt64Type>(s, |s| spread_bits(s) as u64)),
            DataType::UInt64,
        ),
        (
            "float32",
            |s| Arc::new(primitive::<Float32Type>(s, |s| s as f32 / 7.0)),
            DataType::Float32,
        ),
        (
            "float32 as float64",
            |s| Arc::new(primitive::<Float32Type>(s, |s| s as f32 / 7.0)),
            DataType::Float64,
        ),
        (
            "float64",
            |s| Arc::new(primitive::<Float64Type>(s, |s| s as f64 / 7.0 - 9.0)),
            DataType::Float64,
        ),
        (
            "date32",
            |s| Arc::new(primitive::<Date32Type>(s, |s| s as i32 % 30000)),
            DataType::Date32,
        ),
        (
            "time32",
            |s| Arc::new(primitive::<Time32MillisecondType>(s, |s| s as i32 % 80000)),
            DataType::Time32(TimeUnit::Millisecond),
        ),
        (
            "time64",
            |s| Arc::new(primitive::<Time64MicrosecondType>(s, |s| s as i64 % 80000)),
            DataType::Time64(TimeUnit::Microsecond),
        ),
        (
            "micros",
            |s| Arc::new(primitive::<TimestampMicrosecondType>(s, spread_bits)),
            micros.clone(),
        ),
        (
            "micros utc",
            |s| Arc::new(primitive::<TimestampMicrosecondType>(s, spread_bits).with_timezone("UTC")),
            utc,
        ),
        (
            "millis",
            |s| Arc::new(primitive::<TimestampMillisecondType>(s, |s| spread_bits(s) / 1000)),
            micros.clone(),
        ),
        (
            "nanos",
            |s| {
                Arc::new(primitive::<TimestampNanosecondType>(s, |s| {
                    spread_bits(s) / 1000 * 1000
                }))
            },
            micros,
        ),
        (
            "decimal in int32",
            |s| decimal(s, 1000, 7, 2),
            DataType::Decimal64(7, 2),
        ),
        (
            "decimal in int64",
            |s| decimal(s, 1 << 40, 15, 2),
            DataType::Decimal64(15, 2),
        ),
        (
            "decimal with more digits",
            |s| decimal(s, 1 << 40, 15, 2),
            DataType::Decimal128(20, 2),
        ),
        (
            "decimal in int32 as 128",
            |s| decimal(s, 1000, 7, 2),
            DataType::Decimal128(7, 2),
        ),
        (
            "wide decimal",
            |s| decimal(s, 1 << 90, 30, 4),
            DataType::Decimal128(30, 4),
        ),
        (
            "string",
            |s| Arc::new(s.iter().map(|s| s.map(text)).collect::<StringViewArray>()),
            DataType::Utf8View,
        ),
        (
            "binary",
            |s| {
                Arc::new(
                    s.iter()
                        .map(|s| s.map(|s| [&[0xff][..], text(s).as_bytes()].concat()))
                        .collect::<BinaryViewArray>(),
                )
            },
            DataType::BinaryView,
        ),
    ]
}

fn decimal(seeds: &[Option<u64>], max: i128, precision: u8, scale: i8) -> ArrayRef {
    let array = primitive::<Decimal128Type>(seeds, |s| i128::from(spread_bits(s)) * (1 << 33) % max);
    Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
}

/// The ways to write a file.
fn layouts() -> Vec<(String, WriterPropertiesBuilder)> {
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::default()),
    ];
    let mut layouts = vec![];
    for (i, (version, dictionary)) in [
        (WriterVersion::PARQUET_1_0, Some(1 << 20)),
        (WriterVersion::PARQUET_2_0, Some(1 << 20)),
        (WriterVersion::PARQUET_1_0, Some(600)),
        (WriterVersion::PARQUET_2_0, Some(600)),
        (WriterVersion::PARQUET_1_0, None),
        (WriterVersion::PARQUET_2_0, None),
    ]
    .into_iter()
    .enumerate()
    {
        for (j, page_rows) in [130, 1000, 1 << 20].into_iter().enumerate() {
            let codec = codecs[(i * 2 + j) % codecs.len()];
            let properties = WriterProperties::builder()
                .set_writer_version(version)
                .set_compression(codec)
                .set_dictionary_enabled(dictionary.is_some())
                .set_dictionary_page_size_limit(dictionary.unwrap_or(1))
                .set_data_page_row_count_limit(page_rows)
                .set_write_batch_size(64);
            layouts.push((
                format!("{version:?} {codec} dictionary {dictionary:?} pages of {page_rows}"),
                properties,
            ));
        }
    }
    layouts
}

/// Encodings to try without a dictionary besides the version's default.
fn encodings(data_type: &DataType) -> Vec<Option<Encoding>> {
    use Encoding::*;
    let more: &[Encoding] = match data_type {
        DataType::Boolean => &[RLE],
        DataType::Float32 | DataType::Float64 => &[BYTE_STREAM_SPLIT],
        DataType::Utf8View | DataType::BinaryView => &[DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY],
        DataType::Decimal128(19.., _) => &[BYTE_STREAM_SPLIT, DELTA_BYTE_ARRAY],
        _ => &[DELTA_BINARY_PACKED, BYTE_STREAM_SPLIT],
    };
    std::iter::once(None).chain(more.iter().copied().map(Some)).collect()
}

fn write(array: &ArrayRef, nullable: bool, properties: WriterProperties) -> Bytes {
    let schema = Arc::new(Schema::new(vec![Field::new("c", array.data_type().clone(), nullable)]));
    let mut file = vec![];
    let mut writer = ArrowWriter::try_new(&mut file, schema.clone(), Some(properties)).unwrap();
    writer
        .write(&RecordBatch::try_new(schema, vec![array.clone()]).unwrap())
        .unwrap();
    writer.close().unwrap();
    file.into()
}

/// What parquet-rs reads, as `target`.
fn reference(file: &Bytes, target: &DataType) -> ArrayRef {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone())
        .unwrap()
        .build()
        .unwrap();
    let arrays: Vec<ArrayRef> = reader.map(|b| cast(b.unwrap().column(0), target).unwrap()).collect();
    let arrays: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
    concat(&arrays).unwrap()
}

fn open(file: &Bytes, target: &DataType, codes: Codes) -> Result<ColumnDecoder> {
    let options = ArrowReaderOptions::new();
    let metadata = ArrowReaderMetadata::load(file, options)?;
    let row_group = metadata
        .metadata()
        .row_groups()
        .first()
        .ok_or_else(|| bad("no row group"))?;
    let chunk = row_group.columns().first().ok_or_else(|| bad("no column"))?;
    if !supports(chunk.column_descr(), target) || !supports_encodings(chunk) {
        return Err(Error::unsupported("this column"));
    }
    let range = chunk_range(chunk)?;
    if range.end > file.len() as u64 {
        return Err(bad("the column chunk ends behind the file"));
    }
    let bytes = file.slice(range.start as usize..range.end as usize);
    ColumnDecoder::new(bytes, chunk, target, row_group.num_rows() as usize, codes)
}

/// Strings that borrow pages are put together anew, so that arrow's own checks see them.
fn check(found: Decoded, expected: &ArrayRef, what: &str) {
    if let Decoded::Dictionary { codes, values } = &found {
        assert_eq!(values.null_count(), 0, "{what}");
        let coded = found.clone().into_coded_array().unwrap();
        assert_eq!(coded.len(), codes.len(), "{what}");
        coded.to_data().validate_full().unwrap();
    }
    let found = found.into_array().unwrap();
    found.to_data().validate_full().unwrap();
    assert_eq!(&found, expected, "{what}");
}

/// Reads the file front to back in random steps, all rows or some or none at a time.
fn read_in_steps(file: &Bytes, expected: &ArrayRef, codes: Codes, random: &mut Random, what: &str) {
    let mut decoder = open(file, expected.data_type(), codes).unwrap();
    let mut at = 0;
    let longest = [10, 300, 5000][random.below(3)];
    while at < expected.len() {
        let n = random.below(longest + 1).min(expected.len() - at);
        match random.below(4) {
            0 => decoder.skip(n).unwrap(),
            1 => check(decoder.read(n).unwrap(), &expected.slice(at, n), what),
            _ => {
                let percent = [0, 1, 10, 50, 95, 100][random.below(6)];
                let rows: Vec<u32> = (0..n as u32).filter(|_| random.chance(percent)).collect();
                let found = decoder.read_selected(n, &rows).unwrap();
                let picked = take(&expected.slice(at, n), &UInt32Array::from(rows), None).unwrap();
                check(found, &picked, what);
            }
        }
        at += n;
    }
    assert!(decoder.read(1).is_err(), "{what}: a row after the last");
}

fn compare(file: &Bytes, target: &DataType, random: &mut Random, what: &str) {
    let expected = reference(file, target);
    for codes in [Codes::Never, Codes::Strings, Codes::Prefer] {
        check(
            open(file, target, codes).unwrap().read(expected.len()).unwrap(),
            &expected,
            what,
        );
        read_in_steps(file, &expected, codes, random, what);
    }
}

#[test]
fn every_type_layout_and_order_reads_like_parquet_rs() {
    let mut random = Random(1);
    for (c, (name, make, target)) in columns().into_iter().enumerate() {
        for (s, &shape) in SHAPES.iter().enumerate() {
            let array = make(&seeds(shape, &mut random));
            // Every third layout, another third for the next column and shape.
            for (layout, properties) in layouts().into_iter().skip((c + s) % 3).step_by(3) {
                let what = format!("{name}, {shape:?}, {layout}");
                let file = write(&array, shape.nulls.is_some(), properties.build());
                compare(&file, &target, &mut random, &what);
            }
        }
    }
}

#[test]
fn every_encoding_reads_like_parquet_rs() {
    let mut random = Random(2);
    for (name, make, target) in columns() {
        for &shape in SHAPES {
            let array = make(&seeds(shape, &mut random));
            for encoding in encodings(array.data_type()).into_iter().flatten() {
                for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                    let properties = WriterProperties::builder()
                        .set_writer_version(version)
                        .set_dictionary_enabled(false)
                        .set_encoding(encoding)
                        .set_data_page_row_count_limit(900)
                        .set_write_batch_size(64)
                        .build();
                    let file = write(&array, shape.nulls.is_some(), properties);
                    compare(
                        &file,
                        &target,
                        &mut random,
                        &format!("{name}, {shape:?}, {version:?} {encoding}"),
                    );
                }
            }
        }
    }
}

/// Writes one optional column of a physical type that arrow would not choose.
fn write_physical<T: ParquetType>(
    schema: &str,
    values: &[T::T],
    levels: &[i16],
    properties: WriterProperties,
) -> Bytes {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut file = vec![];
    let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, Some(levels), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    file.into()
}

#[test]
fn decimals_in_bytes_read_like_parquet_rs() {
    let mut random = Random(3);
    let levels: Vec<i16> = (0..1500).map(|_| i16::from(random.chance(80))).collect();
    let count = levels.iter().filter(|&&l| l == 1).count();
    let numbers: Vec<i128> = (0..count)
        .map(|_| i128::from(spread_bits(random.below(400) as u64)) >> 6)
        .collect();
    for dictionary in [true, false] {
        let properties = || {
            WriterProperties::builder()
                .set_dictionary_enabled(dictionary)
                .set_data_page_row_count_limit(400)
                .build()
        };
        let fixed: Vec<FixedLenByteArray> = numbers
            .iter()
            .map(|n| ByteArray::from(n.to_be_bytes()[9..].to_vec()).into())
            .collect();
        let schema = "message m { optional fixed_len_byte_array(7) c (DECIMAL(16,2)); }";
        let file = write_physical::<FixedLenByteArrayType>(schema, &fixed, &levels, properties());
        for target in [DataType::Decimal64(16, 2), DataType::Decimal128(16, 2)] {
            compare(&file, &target, &mut random, "fixed length bytes");
        }
        let bytes: Vec<ByteArray> = numbers.iter().map(|n| n.to_be_bytes()[9..].to_vec().into()).collect();
        let schema = "message m { optional byte_array c (DECIMAL(16,2)); }";
        let file = write_physical::<ByteArrayType>(schema, &bytes, &levels, properties());
        for target in [DataType::Decimal64(16, 2), DataType::Decimal128(16, 2)] {
            compare(&file, &target, &mut random, "bytes");
        }
    }
}

#[test]
fn codes_leave_the_decoder_when_they_were_asked_for() {
    let strings: ArrayRef = Arc::new(StringViewArray::from_iter_values(
        (0..1000).map(|i| format!("word {}", i % 9)),
    ));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..1000).map(|i| i % 9)));
    let coded = |array: &ArrayRef, codes| {
        let file = write(array, false, WriterProperties::builder().build());
        let mut decoder = open(&file, array.data_type(), codes).unwrap();
        assert_eq!(decoder.dictionary().unwrap().map(|d| d.len()), Some(9));
        matches!(decoder.read(100).unwrap(), Decoded::Dictionary { values, .. } if values.len() == 9)
    };
    assert_eq!(
        [Codes::Never, Codes::Strings, Codes::Prefer].map(|c| coded(&strings, c)),
        [false, true, true]
    );
    assert_eq!(
        [Codes::Never, Codes::Strings, Codes::Prefer].map(|c| coded(&numbers, c)),
        [false, false, true]
    );
}

#[test]
fn columns_prepared_together_read_like_alone() {
    let mut random = Random(5);
    let strings: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..3000).map(|i| text(i % 700))));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..3000).map(|i| spread_bits(i % 900))));
    let few: ArrayRef = Arc::new(Date32Array::from_iter_values((0..3000).map(|i| i % 9)));
    let properties = || {
        let pages = WriterProperties::builder()
            .set_data_page_row_count_limit(700)
            .set_write_batch_size(100);
        pages.set_compression(Compression::SNAPPY).build()
    };
    let arrays = [strings, numbers, few];
    let files = arrays.each_ref().map(|array| write(array, false, properties()));
    for corrupt in [false, true] {
        for count in 1..=3 {
            let mut decoders = vec![];
            for (array, file) in arrays.iter().zip(&files).take(count) {
                let mut file = file.to_vec();
                if corrupt {
                    let at = 30 + random.below(200);
                    file[at] ^= 0xff;
                }
                decoders.extend(open(&file.into(), array.data_type(), Codes::Never));
            }
            let prepared = ColumnDecoder::prepare(&mut decoders.iter_mut().collect::<Vec<_>>());
            for (decoder, array) in decoders.iter_mut().zip(&arrays) {
                let found = decoder.read(array.len()).and_then(Decoded::into_array);
                if !corrupt {
                    assert!(prepared.is_ok());
                    assert_eq!(&found.unwrap(), array);
                }
            }
        }
    }
}

#[test]
fn nanoseconds_round_towards_the_past_and_milliseconds_do_not_overflow() {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let read = |array: ArrayRef| {
        let file = write(&array, false, WriterProperties::builder().build());
        open(&file, &micros, Codes::Never)
            .and_then(|mut d| d.read(array.len()))
            .and_then(Decoded::into_array)
    };
    let nanos = read(Arc::new(TimestampNanosecondArray::from(vec![
        -1, -1000, -1001, 999, 1000,
    ])))
    .unwrap();
    assert_eq!(
        nanos.as_primitive::<TimestampMicrosecondType>().values(),
        &[-1, -1, -2, 0, 1]
    );
    assert!(read(Arc::new(TimestampMillisecondArray::from(vec![0, i64::MAX]))).is_err());
}

#[test]
fn what_loses_meaning_is_left_to_others() {
    let descriptor = |text: &str| {
        let schema = parse_message_type(&format!("message m {{ {text} }}")).unwrap();
        parquet::schema::types::SchemaDescriptor::new(Arc::new(schema)).column(0)
    };
    let refused = [
        ("optional int96 c;", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("repeated int32 c;", DataType::Int32),
        ("optional group g { optional int32 c; }", DataType::Int32),
        ("optional int64 c;", DataType::Int32),
        ("optional int64 c;", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("optional int64 c (TIMESTAMP_MILLIS);", DataType::Int64),
        ("optional int64 c (DECIMAL(18,2));", DataType::Decimal64(18, 3)),
        ("optional int64 c (DECIMAL(18,2));", DataType::Decimal64(17, 2)),
        ("optional int64 c (DECIMAL(18,2));", DataType::Int64),
        ("optional int32 c (UINT_32);", DataType::Int32),
        ("optional int32 c;", DataType::Int8),
        ("optional fixed_len_byte_array(16) c;", DataType::BinaryView),
        ("optional byte_array c (DECIMAL(18,2));", DataType::BinaryView),
    ];
    for (text, target) in refused {
        assert!(!supports(&descriptor(text), &target), "{text} as {target}");
    }
    assert!(supports(
        &descriptor("optional group g { required int32 c; }"),
        &DataType::Int32
    ));
}

/// Reads everything three ways; whatever comes out, nothing may panic and arrays must be sound.
fn survive(file: &Bytes, target: &DataType) {
    for codes in [Codes::Never, Codes::Prefer] {
        let Ok(mut decoder) = open(file, target, codes) else {
            return;
        };
        let rows = decoder.chunk_rows.min(10_000);
        if let Ok(found) = decoder.read(rows) {
            found.into_array().unwrap().to_data().validate_full().unwrap();
        }
        let Ok(mut decoder) = open(file, target, codes) else {
            return;
        };
        for step in (0..rows).step_by(23) {
            let n = 23.min(rows - step);
            let some: Vec<u32> = (0..n as u32).filter(|r| r % 5 == 2).collect();
            match decoder.read_selected(n, &some) {
                Ok(found) => {
                    let found = found.into_coded_array().unwrap();
                    found.to_data().validate_full().unwrap();
                }
                Err(_) => break,
            }
        }
    }
}

#[test]
fn no_flipped_byte_panics() {
    let mut random = Random(4);
    let shape = Shape {
        rows: 60,
        distinct: 12,
        nulls: Some(20),
        run: 2,
    };
    let mut files = vec![];
    for (name, make, target) in columns() {
        if !matches!(name, "boolean" | "int32" | "millis" | "wide decimal" | "string") {
            continue;
        }
        let array = make(&seeds(shape, &mut random));
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for codec in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
                let base = || {
                    WriterProperties::builder()
                        .set_writer_version(version)
                        .set_compression(codec)
                        .set_data_page_row_count_limit(25)
                        .set_write_batch_size(8)
                        .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
                };
                files.push((write(&array, true, base().build()), target.clone()));
                for encoding in encodings(array.data_type()) {
                    let plain = base().set_dictionary_enabled(false);
                    let plain = match encoding {
                        Some(encoding) => plain.set_encoding(encoding),
                        None => plain,
                    };
                    files.push((write(&array, true, plain.build()), target.clone()));
                }
            }
        }
    }
    for (file, target) in files {
        // The column chunk: from behind the magic to the footer. The footer is parquet-rs's.
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).unwrap();
        let range = chunk_range(metadata.metadata().row_group(0).column(0)).unwrap();
        let mut bytes = file.to_vec();
        for at in range.start as usize..range.end as usize {
            let original = bytes[at];
            for value in [original ^ 1, original ^ 0x80, 0xff, random.next() as u8] {
                bytes[at] = value;
                survive(&Bytes::copy_from_slice(&bytes), &target);
            }
            bytes[at] = original;
        }
    }
}
