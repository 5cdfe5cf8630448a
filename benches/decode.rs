//! Nanoseconds per value of our column decoders and of parquet-rs's reader, column by column of a Parquet file.
//!
//! `cargo bench --bench decode -- FILE [COLUMN …]`; without columns, all that we can decode.

use arrow::array::RecordBatchReader;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use lakebed::format::parquet::decode::{Codes, ColumnDecoder, chunk_range, supports, supports_encodings};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows per batch, as in the engine.
const BATCH: usize = 8192;
/// The best of so many rounds counts.
const ROUNDS: usize = 5;

/// The types the engine asks for.
fn engine_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Decimal128(p, s) if *p <= 18 => DataType::Decimal64(*p, *s),
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        other => other.clone(),
    }
}

/// Nanoseconds per row of the fastest round. With `DECODE_ONLY=what`, for a profiler, nothing else runs.
fn best(what: &str, rows: usize, mut run: impl FnMut()) -> f64 {
    if std::env::var("DECODE_ONLY").is_ok_and(|only| only != what) {
        return f64::NAN;
    }
    let once = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_nanos() as f64 / rows as f64
    };
    (0..ROUNDS).map(once).fold(f64::INFINITY, f64::min)
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let Some(path) = arguments.next() else {
        return eprintln!("usage: decode FILE [COLUMN …]");
    };
    let wanted: Vec<String> = arguments.collect();
    let file = Bytes::from(std::fs::read(&path).expect("the file can be read"));
    let plain = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).expect("the footer can be read");
    let fields = plain.schema().fields().iter();
    let fields: Vec<_> = fields
        .map(|f| Field::new(f.name(), engine_type(f.data_type()), f.is_nullable()).with_metadata(f.metadata().clone()))
        .collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    let hinted = ArrowReaderMetadata::load(&file, options).unwrap_or(plain);
    let metadata = hinted.metadata().clone();
    let all: Vec<usize> = (0..hinted.schema().fields().len())
        .filter(|&i| wanted.is_empty() || wanted.contains(hinted.schema().field(i).name()))
        .collect();
    let rows = metadata.file_metadata().num_rows() as usize;
    println!(
        "{path}: {rows} rows in {} row groups, ns per value",
        metadata.num_row_groups()
    );
    println!(
        "{:<18} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "column", "parquet", "flat", "codes", "1 in 100", "skip", "ratio"
    );
    for (i, field) in hinted.schema().fields().iter().enumerate() {
        let (name, target) = (field.name(), field.data_type());
        let known = metadata.row_groups().iter().all(|g| {
            let chunk = g.column(i);
            supports(chunk.column_descr(), target) && supports_encodings(chunk)
        });
        if !known || !(wanted.is_empty() || wanted.contains(name)) {
            continue;
        }
        let theirs = best("parquet", rows, || {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), hinted.clone());
            let mask = ProjectionMask::leaves(metadata.file_metadata().schema_descr(), [i]);
            let reader = builder
                .with_projection(mask)
                .with_batch_size(BATCH)
                .build()
                .expect("a reader");
            assert_eq!(reader.schema().field(0).data_type(), target);
            reader.for_each(|batch| {
                black_box(batch.expect("a batch"));
            });
        });
        let ours = |what: &str, codes: Codes, step: &dyn Fn(&mut ColumnDecoder, usize)| {
            best(what, rows, || {
                for group in metadata.row_groups() {
                    let chunk = group.column(i);
                    let range = chunk_range(chunk).expect("a range");
                    let bytes = file.slice(range.start as usize..range.end as usize);
                    let rows = group.num_rows() as usize;
                    let mut decoder = ColumnDecoder::new(bytes, chunk, target, rows, codes).expect("a decoder");
                    for at in (0..rows).step_by(BATCH) {
                        step(&mut decoder, BATCH.min(rows - at));
                    }
                }
            })
        };
        let read = |decoder: &mut ColumnDecoder, n| {
            black_box(decoder.read(n).expect("rows"));
        };
        let some: Vec<u32> = (0..BATCH as u32).filter(|r| r % 100 == 37).collect();
        let select = |decoder: &mut ColumnDecoder, n: usize| {
            let some = &some[..some.partition_point(|&r| (r as usize) < n)];
            black_box(decoder.read_selected(n, some).expect("rows"));
        };
        let skip = |decoder: &mut ColumnDecoder, n| decoder.skip(n).expect("rows");
        let (flat, codes) = (ours("flat", Codes::Never, &read), ours("codes", Codes::Prefer, &read));
        let (selected, skipped) = (
            ours("selected", Codes::Prefer, &select),
            ours("skip", Codes::Prefer, &skip),
        );
        let ratio = theirs / flat;
        println!("{name:<18} {theirs:>9.2} {flat:>9.2} {codes:>9.2} {selected:>9.2} {skipped:>9.2} {ratio:>7.2}");
    }
    // All columns of a row group together, as a scan reads them.
    let theirs = best("parquet", rows, || {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), hinted.clone());
        let mask = ProjectionMask::leaves(metadata.file_metadata().schema_descr(), all.iter().copied());
        let reader = builder
            .with_projection(mask)
            .with_batch_size(BATCH)
            .build()
            .expect("a reader");
        reader.for_each(|batch| {
            black_box(batch.expect("a batch"));
        });
    });
    let ours = |what, codes, prepare: bool| {
        best(what, rows, || {
            for group in metadata.row_groups() {
                let rows = group.num_rows() as usize;
                let mut decoders = vec![];
                for &i in &all {
                    let chunk = group.column(i);
                    let range = chunk_range(chunk).expect("a range");
                    let bytes = file.slice(range.start as usize..range.end as usize);
                    let target = hinted.schema().field(i).data_type().clone();
                    decoders.push(ColumnDecoder::new(bytes, chunk, &target, rows, codes).expect("a decoder"));
                }
                if prepare {
                    let mut decoders: Vec<_> = decoders.iter_mut().collect();
                    ColumnDecoder::prepare(&mut decoders).expect("dictionaries");
                }
                for at in (0..rows).step_by(BATCH) {
                    for decoder in &mut decoders {
                        black_box(decoder.read(BATCH.min(rows - at)).expect("rows"));
                    }
                }
            }
        })
    };
    let (flat, codes) = (ours("flat", Codes::Never, false), ours("codes", Codes::Prefer, false));
    let (prepared, codes_prepared) = (ours("flat", Codes::Never, true), ours("codes", Codes::Prefer, true));
    println!(
        "together: parquet {theirs:.2}, flat {flat:.2}, codes {codes:.2}, with dictionaries prepared: flat {prepared:.2}, codes {codes_prepared:.2}"
    );
}
