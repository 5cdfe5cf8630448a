//! Sorts of random rows of all types against arrow's sort, in memory and on disk.

use super::{SortKey, SortedRanges, sort, sort_for_ranges};
use crate::config::Config;
use crate::error::{ErrorKind, Result};
use crate::expression::PhysicalExpr;
use crate::physical::pipeline::{Flow, LocalSink, Pipeline, Sink};
use crate::physical::run_pipelines;
use crate::physical::scan::MemoryScan;
use crate::runtime::{MemoryArbiter, QueryContext};
use crate::types::{DataType, logical_type};
use crate::vector::Batch;
use arrow::array::*;
use arrow::compute::{SortColumn, SortOptions, concat, lexsort_to_indices, take};
use arrow::datatypes::Int32Type;
use parking_lot::Mutex;
use std::sync::Arc;

/// A small generator of numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn values<T>(&mut self, rows: usize, nulls: u64, value: impl Fn(&mut Self) -> T) -> Vec<Option<T>> {
        let one = |random: &mut Self| (nulls == 0 || random.below(nulls) > 0).then(|| value(random));
        (0..rows).map(|_| one(self)).collect()
    }
}

/// Columns of many types; the last one numbers the rows.
fn columns(random: &mut Random, rows: usize, first: usize) -> Vec<ArrayRef> {
    let text = |r: &mut Random| match r.below(6) {
        0 => String::new(),
        1 => format!("a common prefix that is long {}", r.below(1000)),
        2 => "é\u{0}".repeat(r.below(4) as usize),
        3 => "x".repeat(r.below(60) as usize),
        _ => format!("{}", r.below(50)),
    };
    let texts: Vec<String> = (0..20).map(|_| text(random)).collect();
    let dictionary: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
    let codes = Int32Array::from(random.values(rows, 9, |r| r.below(20) as i32));
    let mut list = ListBuilder::new(Int64Builder::new());
    for _ in 0..rows {
        match random.below(4) {
            0 => list.append_null(),
            n => list.append_value((0..n).map(|_| Some(random.below(3) as i64))),
        }
    }
    let decimal = |v: Vec<Option<i128>>| Decimal128Array::from(v).with_precision_and_scale(38, 3).unwrap();
    vec![
        Arc::new(Int64Array::from(random.values(rows, 0, |r| r.next() as i64))),
        Arc::new(Int64Array::from(random.values(rows, 5, |r| r.below(20) as i64 - 10))),
        Arc::new(Int32Array::from(random.values(rows, 7, |r| r.next() as i32))),
        Arc::new(Int16Array::from(random.values(rows, 0, |r| r.below(9) as i16 - 4))),
        Arc::new(Int8Array::from(random.values(rows, 3, |r| r.next() as i8))),
        Arc::new(BooleanArray::from(random.values(rows, 3, |r| r.below(2) == 1))),
        Arc::new(Float64Array::from(
            random.values(rows, 4, |r| r.below(1000) as f64 - 500.5),
        )),
        Arc::new(Float32Array::from(random.values(rows, 4, |r| r.below(10) as f32 - 5.5))),
        Arc::new(decimal(
            random.values(rows, 4, |r| (r.next() as i64 as i128) << (r.below(60) as u32)),
        )),
        Arc::new(StringViewArray::from(random.values(rows, 6, text))),
        Arc::new(BinaryViewArray::from_iter(
            random.values(rows, 6, |r| vec![r.next() as u8; r.below(3) as usize]),
        )),
        Arc::new(DictionaryArray::<Int32Type>::try_new(codes, dictionary).unwrap()),
        Arc::new(TimestampMicrosecondArray::from(
            random.values(rows, 0, |r| r.below(1 << 40) as i64),
        )),
        Arc::new(Date32Array::from(random.values(rows, 0, |r| r.below(3000) as i32))),
        Arc::new(list.finish()),
        Arc::new(Int64Array::from_iter_values((first..first + rows).map(|i| i as i64))),
    ]
}

fn batches(random: &mut Random, sizes: &[usize]) -> Vec<Batch> {
    let mut first = 0;
    let of_size = |&rows: &usize| {
        first += rows;
        let arrays = columns(random, rows, first - rows);
        let batch = Batch::from_arrays(arrays, rows);
        // The first half of the batches has a selection, of all rows but in another form.
        if first < rows * 2 {
            batch.select((0..rows as u32).collect())
        } else {
            batch
        }
    };
    sizes.iter().map(of_size).collect()
}

fn types(batch: &Batch) -> Vec<DataType> {
    batch
        .physical_columns()
        .iter()
        .map(|c| logical_type(c.data_type()).clone())
        .collect()
}

fn column(index: usize, types: &[DataType]) -> PhysicalExpr {
    PhysicalExpr::Column {
        index,
        data_type: types[index].clone(),
    }
}

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

/// Keeps what comes, with the ordinal of its partition, in memory that nobody counts.
struct Collect(Arc<Mutex<Vec<(usize, Batch)>>>);

struct LocalCollect(Arc<Mutex<Vec<(usize, Batch)>>>, usize);

impl Sink for Collect {
    fn local(&self, _context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalCollect(self.0.clone(), 0)))
    }

    fn finish(&self, _context: &QueryContext) -> Result<()> {
        Ok(())
    }
}

impl LocalSink for LocalCollect {
    fn start_partition(&mut self, ordinal: usize) -> Result<()> {
        self.1 = ordinal;
        Ok(())
    }

    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        self.0.lock().push((self.1, batch));
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn run(input: &[Batch], keys: Vec<SortKey>, fetch: Option<u64>, context: &QueryContext) -> Result<Vec<Batch>> {
    let (sink, source) = sort(&types(&input[0]), keys, fetch, context)?;
    let collected = Arc::new(Mutex::new(vec![]));
    let pipeline = |source, sink: Arc<dyn Sink>| Pipeline {
        name: "test".into(),
        source,
        transforms: vec![],
        sink,
        finishes_sink: true,
    };
    let input = Arc::new(MemoryScan::new(input.to_vec()));
    run_pipelines(
        vec![
            pipeline(input, sink),
            pipeline(source, Arc::new(Collect(collected.clone()))),
        ],
        context,
    )?;
    let mut parts = std::mem::take(&mut *collected.lock());
    parts.sort_by_key(|(ordinal, _)| *ordinal);
    Ok(parts.into_iter().map(|(_, batch)| batch).collect())
}

fn plain(batches: &[Batch], i: usize) -> ArrayRef {
    let parts: Vec<ArrayRef> = batches
        .iter()
        .map(|b| b.column(i).unwrap().to_array().unwrap())
        .collect();
    concat(&parts.iter().map(|a| a.as_ref()).collect::<Vec<_>>()).unwrap()
}

/// Sorts by the columns and compares with arrow's sort: keys row by row, and every row must be one of the input.
fn check(input: &[Batch], keys: &[(usize, bool, bool)], fetch: Option<u64>, context: &QueryContext) {
    let types = types(&input[0]);
    let sort_keys = keys.iter().map(|&(i, d, n)| (column(i, &types), d, n)).collect();
    let output = run(input, sort_keys, fetch, context).unwrap();
    let columns = keys.iter().map(|&(i, descending, nulls_first)| SortColumn {
        values: plain(input, i),
        options: Some(SortOptions {
            descending,
            nulls_first,
        }),
    });
    let expected = lexsort_to_indices(&columns.collect::<Vec<_>>(), fetch.map(|f| f as usize)).unwrap();
    let rows: usize = output.iter().map(Batch::len).sum();
    assert_eq!(rows, expected.len(), "{keys:?} {fetch:?}");
    if rows == 0 {
        return;
    }
    for &(i, ..) in keys {
        let expected = take(&plain(input, i), &expected, None).unwrap();
        assert_eq!(&plain(&output, i), &expected, "key {i} of {keys:?} {fetch:?}");
    }
    let numbers = plain(&output, types.len() - 1);
    let numbers: UInt32Array = numbers
        .as_primitive::<arrow::datatypes::Int64Type>()
        .unary(|i| i as u32);
    for i in 0..types.len() {
        assert_eq!(
            &take(&plain(input, i), &numbers, None).unwrap(),
            &plain(&output, i),
            "column {i} of {keys:?}"
        );
    }
    let mut seen = numbers.values().to_vec();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), rows);
}

#[test]
fn every_type_in_every_direction() {
    let input = batches(&mut Random(7), &[700, 1, 299, 500]);
    let contexts = [
        context(|_| ()),
        context(|c| c.debug_force_spill = true),
        context(|c| c.threads = 1),
    ];
    for key in 0..16 {
        for (descending, nulls_first) in [(false, false), (false, true), (true, false), (true, true)] {
            // Arrow does not sort by lists here; the order of nested values is tested by the rows that come back.
            if key == 14 {
                continue;
            }
            for context in &contexts {
                check(&input, &[(key, descending, nulls_first)], None, context);
                check(
                    &input,
                    &[(key, descending, nulls_first), (15, true, false)],
                    Some(77),
                    context,
                );
            }
        }
    }
}

#[test]
fn several_keys_on_disk_in_several_passes() {
    let sizes: Vec<usize> = (0..30).map(|i| 50 + i * 7).collect();
    let input = batches(&mut Random(99), &sizes);
    let contexts = [
        context(|_| ()),
        context(|c| {
            c.debug_force_spill = true;
            c.batch_size = 100;
        }),
        context(|c| c.memory_limit = 1 << 19),
        context(|c| {
            c.debug_force_spill = true;
            c.threads = 1;
        }),
    ];
    let keys: [&[(usize, bool, bool)]; 8] = [
        &[
            (5, false, true),
            (3, true, false),
            (13, false, false),
            (15, false, false),
        ],
        &[(11, false, false), (9, true, true), (15, true, false)],
        &[(9, false, false), (0, false, false)],
        &[(8, true, false), (0, true, true), (2, false, true)],
        &[(7, false, true), (6, true, true), (10, false, false), (4, true, false)],
        &[
            (0, false, false),
            (1, false, false),
            (2, false, false),
            (9, false, false),
            (15, false, false),
        ],
        &[(12, true, false)],
        &[(3, false, false)],
    ];
    for keys in keys {
        for context in &contexts {
            check(&input, keys, None, context);
            check(&input, keys, Some(1000), context);
            assert_eq!(context.memory.used(), 0);
            assert_eq!(context.spill.used(), 0);
        }
    }
    assert!(contexts[1].metrics.bytes_spilled.get() > 0 && contexts[2].metrics.bytes_spilled.get() > 0);
    assert!(contexts[2].memory.peak() <= 1 << 19);
}

#[test]
fn more_runs_than_fit_into_memory_take_more_passes() {
    let input = batches(&mut Random(5), &[40; 120]);
    let once = |c: &QueryContext| {
        check(&input, &[(0, false, false)], None, c);
        c.metrics.bytes_spilled.get()
    };
    // Forty runs; four are merged at a time, so that most rows are written three times.
    let in_passes = once(&context(|c| {
        c.debug_force_spill = true;
        c.threads = 1;
    }));
    // The same runs, all merged at once.
    let sizes: Vec<Batch> = input.iter().take(12).cloned().collect();
    let few = context(|c| {
        c.debug_force_spill = true;
        c.threads = 1;
    });
    check(&sizes, &[(0, false, false)], None, &few);
    let at_once = few.metrics.bytes_spilled.get() * 10;
    assert!(
        in_passes > at_once * 2,
        "{in_passes} bytes in passes, {at_once} at once"
    );
}

#[test]
fn sorted_rows_at_rest_make_room_for_others() {
    let input = batches(&mut Random(17), &[3000, 2000, 4000]);
    let types = types(&input[0]);
    for fetch in [None, Some(5000)] {
        let context = context(|c| c.memory_limit = 32 << 20);
        let keys = vec![(column(9, &types), true, false), (column(15, &types), false, false)];
        let (sink, source) = sort(&types, keys, fetch, &context).unwrap();
        let pipeline = |source, sink: Arc<dyn Sink>| Pipeline {
            name: "test".into(),
            source,
            transforms: vec![],
            sink,
            finishes_sink: true,
        };
        let scan = Arc::new(MemoryScan::new(input.clone()));
        run_pipelines(vec![pipeline(scan, sink)], &context).unwrap();
        assert!(context.memory.used() > 0 && context.metrics.bytes_spilled.get() == 0);
        context.memory.reservation("other").grow(32 << 20).unwrap();
        assert_eq!(context.memory.used(), 0);
        let collected = Arc::new(Mutex::new(vec![]));
        run_pipelines(vec![pipeline(source, Arc::new(Collect(collected.clone())))], &context).unwrap();
        let mut parts = std::mem::take(&mut *collected.lock());
        parts.sort_by_key(|(ordinal, _)| *ordinal);
        let output: Vec<Batch> = parts.into_iter().map(|(_, batch)| batch).collect();
        let expected = run(
            &input,
            vec![(column(9, &types), true, false), (column(15, &types), false, false)],
            fetch,
            &self::context(|_| ()),
        )
        .unwrap();
        for i in 0..types.len() {
            assert_eq!(&plain(&output, i), &plain(&expected, i), "column {i}");
        }
    }
}

#[test]
fn many_rows_become_ranges_that_workers_merge() {
    let mut random = Random(3);
    let numbers = |random: &mut Random, first: i64| -> Batch {
        let keys: ArrayRef = Arc::new(Int64Array::from(random.values(8192, 0, |r| r.below(1 << 30) as i64)));
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(first * 8192..first * 8192 + 8192));
        Batch::from_arrays(vec![keys, rows], 8192)
    };
    let input: Vec<Batch> = (0..60).map(|i| numbers(&mut random, i)).collect();
    for context in [
        context(|_| ()),
        context(|c| c.memory_limit = 4 << 20),
        context(|c| c.threads = 5),
    ] {
        check(&input, &[(0, false, false)], None, &context);
        for fetch in [250_003, 100_001, 300] {
            check(&input, &[(0, true, false)], Some(fetch), &context);
        }
        check(&input, &[(0, true, false)], Some(0), &context);
    }
}

#[test]
fn nan_is_greatest_and_zeros_are_equal() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(f64::NAN),
        Some(0.0),
        None,
        Some(f64::INFINITY),
        Some(-f64::NAN),
        Some(-0.0),
        Some(f64::NEG_INFINITY),
    ]));
    let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(0..7));
    let input = [Batch::from_arrays(vec![values, rows], 7)];
    let types = types(&input[0]);
    for (descending, expected) in [(false, [6, 1, 5, 3, 0, 4, 2]), (true, [0, 4, 3, 1, 5, 6, 2])] {
        for context in [context(|_| ()), context(|c| c.debug_force_spill = true)] {
            let keys = vec![
                (column(0, &types), descending, false),
                (column(1, &types), false, false),
            ];
            let output = run(&input, keys, None, &context).unwrap();
            let rows = plain(&output, 1);
            assert_eq!(rows.as_primitive::<arrow::datatypes::Int64Type>().values(), &expected);
        }
    }
}

#[test]
fn long_strings_and_lists_are_sorted() {
    let mut random = Random(11);
    let input = batches(&mut random, &[300, 300]);
    let types = types(&input[0]);
    for context in [context(|_| ()), context(|c| c.debug_force_spill = true)] {
        let output = run(&input, vec![(column(14, &types), false, true)], None, &context).unwrap();
        let lists = plain(&output, 14);
        let lists = lists.as_list::<i32>();
        let values: Vec<Option<Vec<i64>>> = (0..lists.len())
            .map(|i| {
                let value = |_: ()| {
                    lists
                        .value(i)
                        .as_primitive::<arrow::datatypes::Int64Type>()
                        .values()
                        .to_vec()
                };
                lists.is_valid(i).then_some(()).map(value)
            })
            .collect();
        assert!(values.is_sorted() && values.len() == 600);
        let long: ArrayRef = Arc::new(StringViewArray::from_iter_values(
            (0..40).map(|i| format!("{}{}", "y".repeat(100_000), (i * 7) % 40)),
        ));
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(0..40));
        check(
            &[Batch::from_arrays(vec![long, rows], 40)],
            &[(0, true, false)],
            None,
            &context,
        );
    }
}

#[test]
fn too_little_memory_is_an_error_that_names_the_sort() {
    let long: ArrayRef = Arc::new(StringViewArray::from(vec!["z".repeat(1 << 20)]));
    let error = run(
        &[Batch::from_arrays(vec![long], 1)],
        vec![(column(0, &[DataType::Utf8View]), false, false)],
        None,
        &context(|c| c.memory_limit = 1 << 18),
    );
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourcesExhausted);
    assert!(error.message().starts_with("Sort needs"), "{error}");
}

#[test]
fn a_cancelled_query_stops() {
    let input = batches(&mut Random(1), &[100]);
    let types = types(&input[0]);
    let context = context(|_| ());
    context.cancel.cancel();
    let error = run(&input, vec![(column(0, &types), false, false)], None, &context).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

/// Rows with these keys, batch by batch, and where a sort by ranges keeps them.
fn sorted_for_ranges(keys: &[Vec<i64>], context: &QueryContext) -> (Vec<Batch>, SortedRanges) {
    let mut random = Random(11);
    let mut first = 0;
    let of_keys = |keys: &Vec<i64>| {
        let mut arrays = columns(&mut random, keys.len(), first);
        first += keys.len();
        arrays.push(Arc::new(Int64Array::from(keys.clone())));
        Batch::from_arrays(arrays, keys.len())
    };
    let input: Vec<Batch> = keys.iter().map(of_keys).collect();
    let (sink, ranges) = sort_for_ranges(&types(&input[0]), context).unwrap();
    let pipeline = Pipeline {
        name: "test".into(),
        source: Arc::new(MemoryScan::new(input.clone())),
        transforms: vec![],
        sink,
        finishes_sink: true,
    };
    run_pipelines(vec![pipeline], context).unwrap();
    (input, ranges)
}

/// Every row is in the range of its key and nowhere else, and all its values came with it.
fn check_ranges(input: &[Batch], ranges: &SortedRanges) {
    let keys = plain(input, input[0].width() - 1);
    let keys = keys.as_primitive::<arrow::datatypes::Int64Type>();
    let sample = ranges.sample().unwrap();
    assert_eq!(sample.iter().map(|(_, rows)| rows).sum::<usize>(), keys.len());
    let mut cuts: Vec<i64> = sample
        .iter()
        .step_by(sample.len() / 5 + 1)
        .map(|(key, _)| *key)
        .collect();
    cuts.dedup();
    let lower = std::iter::once(i64::MIN).chain(cuts.iter().copied());
    let upper = cuts.iter().copied().map(Some).chain([None]);
    let mut count = 0;
    for (lower, upper) in lower.zip(upper) {
        for part in ranges.parts(lower, upper).unwrap() {
            // In pieces, like the workers of a join read them.
            for mut rows in part.cut(1000).into_iter().map(|piece| piece.rows_in_order()) {
                while let Some(batch) = rows.next().unwrap() {
                    let number = batch.column(15).unwrap().to_array().unwrap();
                    let numbers = number.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
                    assert!(numbers.iter().all(|&n| {
                        let key = keys.value(n as usize);
                        lower <= key && upper.is_none_or(|upper| key < upper)
                    }));
                    count += numbers.len();
                    let places = UInt64Array::from_iter_values(numbers.iter().map(|&n| n as u64));
                    for column in 0..batch.width() {
                        let expected = take(&plain(input, column), &places, None).unwrap();
                        let found = batch.column(column).unwrap().to_array().unwrap();
                        assert_eq!(found.to_data(), expected.to_data(), "column {column}");
                    }
                }
            }
        }
    }
    assert_eq!(count, keys.len());
}

#[test]
fn rows_in_order_are_not_sorted() {
    let ascending = |from: i64, batches: usize| -> Vec<Vec<i64>> {
        let batch = |i| (0..2000).map(|row| from + (i * 2000 + row) / 3).collect();
        (0..batches as i64).map(batch).collect()
    };
    let shuffled = |mut keys: Vec<Vec<i64>>| {
        keys[1].swap(0, 1999);
        keys
    };
    for threads in [1, 2] {
        for (force, limit) in [(false, 1 << 30), (false, 6 << 20), (true, 1 << 30)] {
            let context = context(|c| (c.threads, c.memory_limit, c.debug_force_spill) = (threads, limit, force));
            let one = ascending(0, 20);
            let two = [ascending(500, 20), ascending(0, 20)].concat();
            let none = shuffled(ascending(0, 20));
            for (keys, in_order) in [(one, true), (two, true), (none, false)] {
                // Of two workers, one may get too little of a sequence.
                if threads > 1 && keys.len() > 20 {
                    continue;
                }
                let (input, ranges) = sorted_for_ranges(&keys, &context);
                assert_eq!(
                    ranges.came_in_order().unwrap(),
                    in_order,
                    "{threads} threads, {limit} bytes"
                );
                check_ranges(&input, &ranges);
            }
        }
    }
}

#[test]
fn rows_in_order_go_to_disk_for_another() {
    let context = context(|_| {});
    let keys: Vec<Vec<i64>> = (0..20).map(|i| (i * 100..i * 100 + 1000).collect()).collect();
    let keys: Vec<Vec<i64>> = keys.into_iter().step_by(10).collect();
    let (input, ranges) = sorted_for_ranges(&keys, &context);
    let held = context.memory.used();
    let mut other = context.memory.operator("another").reservation();
    other.grow(context.memory.limit() - held / 2).unwrap();
    drop(other);
    assert!(context.memory.used() < held && ranges.came_in_order().unwrap());
    check_ranges(&input, &ranges);
}

#[test]
fn rows_in_order_beside_others_go_to_disk_when_there_is_no_room_to_sort_them() {
    let context = context(|c| c.memory_limit = 16 << 20);
    let (sink, ranges) = sort_for_ranges(&[DataType::Int64, DataType::Int64], &context).unwrap();
    let batch = |keys: Vec<i64>| {
        let keys: ArrayRef = Arc::new(Int64Array::from(keys));
        Batch::from_arrays(vec![keys.clone(), keys.clone()], keys.len())
    };
    let mut in_order = sink.local(&context).unwrap();
    for i in 0..40 {
        in_order.consume(batch((i * 5000..(i + 1) * 5000).collect())).unwrap();
    }
    let mut other = sink.local(&context).unwrap();
    other.consume(batch(vec![7, 3, 5])).unwrap();
    in_order.combine().unwrap();
    other.combine().unwrap();
    let mut rest = context.memory.operator("another").reservation();
    rest.grow(context.memory.limit() - context.memory.used()).unwrap();
    sink.finish(&context).unwrap();
    assert!(context.metrics.bytes_spilled.get() > 0 && !ranges.came_in_order().unwrap());
    let rows = |lower, upper| -> usize { ranges.parts(lower, upper).unwrap().iter().map(|part| part.rows()).sum() };
    assert_eq!(rows(i64::MIN, None), 200_003);
    let mut found = vec![];
    for mut part in ranges
        .parts(3, Some(8))
        .unwrap()
        .into_iter()
        .map(|part| part.rows_in_order())
    {
        while let Some(batch) = part.next().unwrap() {
            let keys = batch.column(0).unwrap().to_array().unwrap();
            found.extend(
                keys.as_primitive::<arrow::datatypes::Int64Type>()
                    .values()
                    .iter()
                    .copied(),
            );
        }
    }
    found.sort_unstable();
    assert_eq!(found, [3, 3, 4, 5, 5, 6, 7, 7]);
}
