//! The operator, driven batch by batch, against definitions applied row by row.

use super::spec::{AggregateOperation, Bound, Frame, PhysicalSortKey};
use super::*;
use crate::config::Config;
use crate::functions::aggregate::{self, create};
use crate::functions::window::WindowKind;
use crate::logical::FrameUnits;
use crate::runtime::MemoryArbiter;
use crate::types::{Field, ScalarValue};
use arrow::array::{Array, Date32Array, Float64Array, Int64Array, StringViewArray, UInt32Array};
use arrow::compute::take;
use arrow::util::display::array_value_to_string;
use std::cmp::Ordering;

/// Columns: 0 partition, 1 order key with ties and NULLs, 2 unique key, 3 value, 4 float, 5 text, 6 day.
fn rows(n: usize) -> Vec<ArrayRef> {
    let mut state = 12345u64;
    let mut below = |n: u64| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) % n
    };
    let mut optional = |n: u64| {
        (0..200)
            .map(|_| Some(below(n) as i64).filter(|v| v % 9 != 4))
            .take(200)
            .collect::<Vec<_>>()
    };
    let (partition, key, value, day) = (optional(5), optional(20), optional(100), optional(400));
    let text = value
        .iter()
        .map(|v| v.map(|v| format!("a text that is rather long {v:03}")));
    vec![
        Arc::new(Int64Array::from(partition[..n].to_vec())),
        Arc::new(Int64Array::from(key[..n].to_vec())),
        Arc::new(Int64Array::from_iter_values((0..n as i64).map(|i| i * 77 % 211))),
        Arc::new(Int64Array::from(value[..n].to_vec())),
        Arc::new(Float64Array::from_iter(
            value[..n].iter().map(|v| v.map(|v| v as f64 / 4.0)),
        )),
        Arc::new(StringViewArray::from_iter(text.take(n))),
        Arc::new(Date32Array::from_iter(day[..n].iter().map(|v| v.map(|v| v as i32)))),
    ]
}

fn column(index: usize, columns: &[ArrayRef]) -> PhysicalExpr {
    PhysicalExpr::Column {
        index,
        data_type: columns[index].data_type().clone(),
    }
}

fn context(threads: usize) -> QueryContext {
    let config = Config {
        threads,
        batch_size: 13,
        ..Config::default()
    };
    QueryContext::new(Arc::new(config), MemoryArbiter::new(1 << 30))
}

/// Runs the operator in memory and on disk, which must give the same where the order of rows decides everything.
fn run(columns: &[ArrayRef], specs: Vec<WindowSpec>, threads: usize) -> Result<Vec<ArrayRef>> {
    let in_memory = run_in(columns, specs.clone(), &context(threads))?;
    for debug_hash in [-1, 0] {
        let config = Config {
            debug_force_spill: true,
            debug_hash,
            ..context(threads).config.as_ref().clone()
        };
        let context = QueryContext::new(Arc::new(config), MemoryArbiter::new(1 << 30));
        let on_disk = run_in(columns, specs.clone(), &context)?;
        assert!(context.metrics.bytes_spilled.get() > 0);
        for (i, spec) in specs
            .iter()
            .enumerate()
            .filter(|(_, spec)| ignores_order_of_peers(spec))
        {
            let (expected, found) = (&in_memory[columns.len() + i], &on_disk[columns.len() + i]);
            assert_eq!(texts(expected), texts(found), "{spec:?}");
        }
    }
    Ok(in_memory)
}

fn ignores_order_of_peers(spec: &WindowSpec) -> bool {
    let unique = |k: &PhysicalSortKey| matches!(k.expr, PhysicalExpr::Column { index: 2, .. });
    let exact = ["count", "sum", "avg", "min", "max"];
    let whole_groups = !matches!(spec.frame.units, FrameUnits::Rows);
    spec.order_by.iter().any(unique)
        || match &spec.function {
            WindowOperation::Function { kind, .. } => {
                use WindowKind::*;
                matches!(kind, Rank | DenseRank | PercentRank | CumeDist)
            }
            WindowOperation::Aggregate(call) => whole_groups && exact.contains(&call.function.name),
        }
}

/// Runs the operator over batches of 17 rows through two local sinks; rows come back in the order of column 2.
fn run_in(columns: &[ArrayRef], specs: Vec<WindowSpec>, context: &QueryContext) -> Result<Vec<ArrayRef>> {
    let schema: Schema = columns
        .iter()
        .map(|c| Field::new("c", c.data_type().clone(), true))
        .collect();
    let (sink, source) = window(&schema, specs, context);
    let rows = columns[0].len();
    let mut locals = [sink.local(context)?, sink.local(context)?];
    let size = if rows < 1000 { 17 } else { 1000 };
    for (i, start) in (0..rows).step_by(size).enumerate() {
        let len = size.min(rows - start);
        let arrays = columns.iter().map(|c| c.slice(start, len)).collect();
        locals[i % 2].consume(Batch::from_arrays(arrays, len))?;
    }
    locals.into_iter().try_for_each(|l| l.combine())?;
    sink.finish(context)?;
    source.start(context)?;
    let mut pieces: Vec<Vec<ArrayRef>> = vec![];
    while let Some(mut reader) = source.next_partition()? {
        while let Some(batch) = reader.next()? {
            let arrays = (0..batch.width()).map(|i| batch.column(i)?.to_array());
            pieces.push(arrays.collect::<Result<_>>()?);
        }
    }
    let width = pieces.first().map_or(0, Vec::len);
    let whole: Vec<ArrayRef> = (0..width)
        .map(|i| concat(&pieces.iter().map(|p| p[i].as_ref()).collect::<Vec<_>>()).unwrap())
        .collect();
    drop((sink, source));
    assert_eq!((context.memory.used(), context.spill.used()), (0, 0));
    by_unique_key(&whole)
}

fn by_unique_key(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let order = arrow::compute::sort_to_indices(&columns[2], None, None)?;
    Ok(columns
        .iter()
        .map(|c| take(c, &order, None))
        .collect::<std::result::Result<_, _>>()?)
}

fn texts(array: &ArrayRef) -> Vec<String> {
    (0..array.len())
        .map(|row| match array.is_null(row) {
            true => "NULL".into(),
            false => array_value_to_string(array, row).unwrap(),
        })
        .collect()
}

fn integer(columns: &[ArrayRef], column: usize, row: usize) -> Option<i64> {
    let value = ScalarValue::from_array(&columns[column], row).unwrap();
    match value {
        ScalarValue::Date(days) => Some(days as i64),
        other => other.as_integer(),
    }
}

/// The rows of `row`'s partition in order of `key` (NULLs last), then of arrival; `row`'s place among them.
fn partition_of(columns: &[ArrayRef], key: usize, descending: bool, row: usize) -> (Vec<usize>, usize) {
    let p = integer(columns, 0, row);
    let mut all: Vec<usize> = (0..columns[0].len()).filter(|&r| integer(columns, 0, r) == p).collect();
    all.sort_by(|&a, &b| {
        let (a, b) = (integer(columns, key, a), integer(columns, key, b));
        match (a, b) {
            (Some(a), Some(b)) if descending => b.cmp(&a),
            (Some(a), Some(b)) => a.cmp(&b),
            (None, None) => Ordering::Equal,
            (a, _) => {
                if a.is_none() {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
        }
    });
    let place = all.iter().position(|&r| r == row).unwrap();
    (all, place)
}

/// The frame of a row by definition: which of the sorted rows of the partition are in it.
fn frame_of(columns: &[ArrayRef], key: usize, descending: bool, frame: &Frame, row: usize) -> Vec<usize> {
    let (sorted, place) = partition_of(columns, key, descending, row);
    let key_of = |i: usize| integer(columns, key, sorted[i]);
    let mut group = vec![0i64; sorted.len()];
    for i in 1..sorted.len() {
        group[i] = group[i - 1] + (key_of(i) != key_of(i - 1)) as i64;
    }
    // How far row `i` stands after the current one, in the frame's unit; `None` where RANGE cannot say.
    let distance = |i: usize| match frame.units {
        FrameUnits::Rows => Some(i as i64 - place as i64),
        FrameUnits::Groups => Some(group[i] - group[place]),
        FrameUnits::Range => match (key_of(i), key_of(place)) {
            (Some(a), Some(b)) if descending => Some(b - a),
            (Some(a), Some(b)) => Some(a - b),
            (None, None) => Some(0),
            _ => None,
        },
    };
    let offset = |v: &ScalarValue| match v {
        ScalarValue::IntervalMicros(v) => v / 86_400_000_000,
        v => v.as_integer().unwrap(),
    };
    let both_null = |i: usize| key_of(i).is_none() && key_of(place).is_none();
    let range = matches!(frame.units, FrameUnits::Range);
    let edge = |i: usize, bound: &Bound, start: bool| {
        let compare = |limit: i64| match distance(i) {
            Some(_) if range && both_null(i) => true,
            Some(d) if start => d >= limit,
            Some(d) => d <= limit,
            // NULLs stand outside of all distances: only their place counts.
            None => {
                if start {
                    i > place
                } else {
                    i < place
                }
            }
        };
        match bound {
            Bound::UnboundedPreceding => start,
            Bound::UnboundedFollowing => !start,
            Bound::CurrentRow => compare(0),
            Bound::Preceding(v) => compare(-offset(v)),
            Bound::Following(v) => compare(offset(v)),
        }
    };
    let inside = |&i: &usize| edge(i, &frame.start, true) && edge(i, &frame.end, false);
    (0..sorted.len()).filter(inside).map(|i| sorted[i]).collect()
}

fn frames() -> Vec<Frame> {
    use Bound::*;
    let n = |v: i64| ScalarValue::Int64(v);
    let bounds = [
        (UnboundedPreceding, CurrentRow),
        (UnboundedPreceding, UnboundedFollowing),
        (CurrentRow, UnboundedFollowing),
        (CurrentRow, CurrentRow),
        (Preceding(n(2)), Following(n(3))),
        (Preceding(n(5)), Preceding(n(1))),
        (Following(n(1)), Following(n(4))),
        (UnboundedPreceding, Preceding(n(1))),
        (Following(n(2)), UnboundedFollowing),
        (Following(n(3)), Preceding(n(3))),
    ];
    let units = [FrameUnits::Rows, FrameUnits::Range, FrameUnits::Groups];
    let frame = |units, (start, end): &(Bound, Bound)| Frame {
        units,
        start: start.clone(),
        end: end.clone(),
    };
    units
        .iter()
        .flat_map(|&u| bounds.iter().map(move |b| frame(u, b)))
        .collect()
}

fn spec(
    columns: &[ArrayRef],
    function: WindowOperation,
    arguments: &[usize],
    key: usize,
    frame: &Frame,
    t: DataType,
) -> WindowSpec {
    WindowSpec {
        function,
        arguments: arguments.iter().map(|&i| column(i, columns)).collect(),
        partition_by: vec![column(0, columns)],
        order_by: vec![PhysicalSortKey {
            expr: column(key, columns),
            descending: false,
            nulls_first: false,
        }],
        frame: frame.clone(),
        data_type: t,
    }
}

fn aggregate_spec(
    columns: &[ArrayRef],
    name: &str,
    arguments: &[usize],
    distinct: bool,
    key: usize,
    frame: &Frame,
) -> WindowSpec {
    let function = aggregate::find(name).unwrap();
    let types: Vec<DataType> = arguments.iter().map(|&i| columns[i].data_type().clone()).collect();
    let constants = vec![None; types.len()];
    let signature = (function.signature)(&types, &constants).unwrap();
    let result = signature.result.clone();
    let operation = WindowOperation::Aggregate(Box::new(AggregateOperation {
        function,
        signature,
        constants,
        distinct,
        filter: None,
        order: vec![],
    }));
    spec(columns, operation, arguments, key, frame, result)
}

fn expected_aggregate(columns: &[ArrayRef], spec: &WindowSpec, arguments: &[usize], frame_rows: &[usize]) -> String {
    let WindowOperation::Aggregate(call) = &spec.function else {
        unreachable!()
    };
    let mut accumulator = create(call.function, &call.signature, &call.constants, call.distinct, &[]).unwrap();
    let positions: UInt32Array = frame_rows.iter().map(|&r| r as u32).collect();
    let values: Vec<ArrayRef> = arguments
        .iter()
        .map(|&i| take(&columns[i], &positions, None).unwrap())
        .collect();
    accumulator.update(&values, &vec![0; frame_rows.len()], 1).unwrap();
    texts(&accumulator.finish(1).unwrap()).remove(0)
}

#[test]
fn aggregates_over_every_frame() {
    let columns = by_unique_key(&rows(90)).unwrap();
    let calls: &[(&str, &[usize], bool)] = &[
        ("count", &[], false),
        ("count", &[3], false),
        ("sum", &[3], false),
        ("sum", &[4], false),
        ("avg", &[3], false),
        ("min", &[5], false),
        ("max", &[3], false),
        ("count", &[3], true),
        ("array_agg", &[3], false),
        ("max_by", &[5, 2], false),
    ];
    for frame in frames() {
        // Rows with equal keys have no order among them; only ROWS frames could tell.
        let key = if matches!(frame.units, FrameUnits::Rows) { 2 } else { 1 };
        let mut specs = vec![];
        for (name, arguments, distinct) in calls {
            // What arrives first among peers decides the order inside an array.
            let name = if *name == "array_agg" && key == 1 { "sum" } else { name };
            specs.push(aggregate_spec(&columns, name, arguments, *distinct, key, &frame));
        }
        let found = run(&columns, specs.clone(), 2).unwrap();
        for (i, (spec, (name, arguments, _))) in specs.iter().zip(calls).enumerate() {
            let results = texts(&found[columns.len() + i]);
            for (row, result) in results.iter().enumerate() {
                let frame_rows = frame_of(&columns, key, false, &frame, row);
                let expected = expected_aggregate(&columns, spec, arguments, &frame_rows);
                assert_eq!(
                    *result, expected,
                    "{name} over {frame:?} in row {row}: rows {frame_rows:?}"
                );
            }
        }
    }
}

#[test]
fn range_frames_over_dates_and_descending_keys() {
    let columns = by_unique_key(&rows(90)).unwrap();
    let days = |n: i64| ScalarValue::IntervalMicros(n * 86_400_000_000);
    let frames = [
        (6, days(30), days(10), false),
        (6, days(30), days(10), true),
        (1, ScalarValue::Int64(2), ScalarValue::Decimal(10, 3, 1), true),
    ];
    for (key, before, after, descending) in frames {
        let frame = Frame {
            units: FrameUnits::Range,
            start: Bound::Preceding(before.clone()),
            end: Bound::Following(after.clone()),
        };
        let mut spec = aggregate_spec(&columns, "sum", &[3], false, key, &frame);
        spec.order_by[0].descending = descending;
        let found = run(&columns, vec![spec.clone()], 2).unwrap();
        let whole = Frame {
            end: match after {
                ScalarValue::Decimal(..) => Bound::Following(ScalarValue::Int64(1)),
                other => Bound::Following(other),
            },
            ..frame
        };
        for (row, result) in texts(&found[columns.len()]).iter().enumerate() {
            let frame_rows = frame_of(&columns, key, descending, &whole, row);
            assert_eq!(
                *result,
                expected_aggregate(&columns, &spec, &[3], &frame_rows),
                "row {row}"
            );
        }
    }
}

#[test]
fn months_follow_the_calendar() {
    let day = |text: &str| {
        let date: chrono::NaiveDate = text.parse().unwrap();
        date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp() as i32 / 86_400
    };
    let days = ["2024-01-31", "2024-02-28", "2024-02-29", "2024-03-01", "2024-03-31"];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1; 5])),
        Arc::new(Date32Array::from(days.map(day).to_vec())),
        Arc::new(Int64Array::from_iter_values(0..5)),
    ];
    let frame = Frame {
        units: FrameUnits::Range,
        start: Bound::CurrentRow,
        end: Bound::Following(ScalarValue::IntervalMonths(1)),
    };
    let spec = aggregate_spec(&columns, "count", &[], false, 1, &frame);
    let found = run(&columns, vec![spec], 1).unwrap();
    assert_eq!(texts(&found[3]), ["3", "3", "2", "2", "1"]);
}

#[test]
fn filters_leave_rows_out() {
    let columns = by_unique_key(&rows(90)).unwrap();
    let mut with_flag = columns.clone();
    let odd = (0..90).map(|row| integer(&columns, 3, row).map(|v| v % 2 == 1));
    with_flag.push(Arc::new(odd.collect::<arrow::array::BooleanArray>()));
    let frame = &frames()[4];
    let mut specs = vec![];
    let calls: &[(&str, &[usize])] = &[("count", &[]), ("sum", &[3]), ("max", &[5]), ("array_agg", &[3])];
    for (name, arguments) in calls {
        let mut spec = aggregate_spec(&with_flag, name, arguments, false, 2, frame);
        if let WindowOperation::Aggregate(call) = &mut spec.function {
            call.filter = Some(column(7, &with_flag));
        }
        specs.push(spec);
    }
    let found = run(&with_flag, specs.clone(), 2).unwrap();
    for (i, (name, arguments)) in calls.iter().enumerate() {
        for (row, result) in texts(&found[with_flag.len() + i]).iter().enumerate() {
            let mut frame_rows = frame_of(&columns, 2, false, frame, row);
            frame_rows.retain(|&r| integer(&columns, 3, r).is_some_and(|v| v % 2 == 1));
            assert_eq!(
                *result,
                expected_aggregate(&columns, &specs[i], arguments, &frame_rows),
                "{name}"
            );
        }
    }
}

#[test]
fn ranks_and_other_rows() {
    let mut columns = by_unique_key(&rows(120)).unwrap();
    let n = columns[0].len() as i64;
    columns.push(Arc::new(Int64Array::from_iter_values((0..n).map(|i| i % 3 + 1))));
    columns.push(Arc::new(Int64Array::from_iter_values((0..n).map(|i| -i))));
    use WindowKind::*;
    let calls: &[(WindowKind, &[usize])] = &[
        (RowNumber, &[]),
        (Rank, &[]),
        (DenseRank, &[]),
        (PercentRank, &[]),
        (CumeDist, &[]),
        (Ntile, &[7]),
        (FirstValue, &[3]),
        (LastValue, &[5]),
        (NthValue, &[3, 7]),
        (Lag, &[3]),
        (Lead, &[3, 7]),
        (Lag, &[3, 7, 8]),
        (Lead, &[5]),
    ];
    for ignore_nulls in [false, true] {
        for frame in [&frames()[0], &frames()[4], &frames()[6]] {
            // The unique key orders rows fully; ranks are also asked for with ties below.
            for key in [2, 1] {
                let mut specs = vec![];
                for (kind, arguments) in calls {
                    let t = match (kind, arguments.first()) {
                        (PercentRank | CumeDist, _) => DataType::Float64,
                        (_, Some(&i)) if *kind != Ntile => columns[i].data_type().clone(),
                        _ => DataType::Int64,
                    };
                    let kind = *kind;
                    let function = WindowOperation::Function { kind, ignore_nulls };
                    specs.push(spec(&columns, function, arguments, key, frame, t));
                }
                let found = run(&columns, specs, 2).unwrap();
                for (i, (kind, arguments)) in calls.iter().enumerate() {
                    if key == 1 && !matches!(kind, Rank | DenseRank | PercentRank | CumeDist) {
                        continue;
                    }
                    for (row, result) in texts(&found[columns.len() + i]).iter().enumerate() {
                        let expected = expected_function(&columns, *kind, ignore_nulls, arguments, key, frame, row);
                        assert_eq!(*result, expected, "{kind:?} {ignore_nulls} {frame:?} row {row}");
                    }
                }
            }
        }
    }
}

fn expected_function(
    columns: &[ArrayRef],
    kind: WindowKind,
    ignore_nulls: bool,
    arguments: &[usize],
    key: usize,
    frame: &Frame,
    row: usize,
) -> String {
    use WindowKind::*;
    let (sorted, place) = partition_of(columns, key, false, row);
    let keys: Vec<Option<i64>> = sorted.iter().map(|&r| integer(columns, key, r)).collect();
    let n = sorted.len();
    let rank = keys.iter().position(|k| *k == keys[place]).unwrap() + 1;
    let count = arguments
        .get(1)
        .or(arguments.first())
        .map(|&i| integer(columns, i, row));
    let text = |r: Option<usize>| r.map_or("NULL".to_string(), |r| texts(&columns[arguments[0]]).remove(r));
    let kept = |rows: Vec<usize>| -> Vec<usize> {
        let value = |r: &usize| !ignore_nulls || columns[arguments[0]].is_valid(*r);
        rows.into_iter().filter(value).collect()
    };
    let float = |v: f64| array_value_to_string(&Float64Array::from(vec![v]), 0).unwrap();
    let steps = match arguments.get(1) {
        Some(_) => count.flatten().unwrap() as usize,
        None => 1,
    };
    let or_default = |found: Option<usize>| match (found, arguments.get(2)) {
        (None, Some(&default)) => texts(&columns[default]).remove(row),
        (found, _) => text(found),
    };
    match kind {
        RowNumber => (place + 1).to_string(),
        Rank => rank.to_string(),
        DenseRank => {
            let mut before = keys[..=place].to_vec();
            before.dedup();
            before.len().to_string()
        }
        PercentRank if n == 1 => float(0.0),
        PercentRank => float((rank - 1) as f64 / (n - 1) as f64),
        CumeDist => {
            let end = keys.iter().rposition(|k| *k == keys[place]).unwrap() + 1;
            float(end as f64 / n as f64)
        }
        Ntile => {
            let buckets = count.flatten().unwrap() as usize;
            let sizes = (0..buckets).map(|b| n / buckets + (b < n % buckets) as usize);
            let mut end = 0;
            let bucket = sizes.into_iter().position(|size| {
                end += size;
                place < end
            });
            (bucket.unwrap() + 1).to_string()
        }
        FirstValue => text(kept(frame_of(columns, key, false, frame, row)).first().copied()),
        LastValue => text(kept(frame_of(columns, key, false, frame, row)).last().copied()),
        NthValue => text(kept(frame_of(columns, key, false, frame, row)).get(steps - 1).copied()),
        Lag => or_default(kept(sorted[..place].to_vec()).iter().rev().nth(steps - 1).copied()),
        Lead => or_default(kept(sorted[place + 1..].to_vec()).get(steps - 1).copied()),
    }
}

#[test]
fn calls_with_different_partitions_and_none() {
    let columns = by_unique_key(&rows(90)).unwrap();
    let frame = &frames()[0];
    let mut all = aggregate_spec(&columns, "sum", &[3], false, 2, frame);
    all.partition_by.clear();
    let some = aggregate_spec(&columns, "sum", &[3], false, 2, frame);
    let found = run(&columns, vec![all, some], 2).unwrap();
    let mut sum = 0;
    for (row, result) in texts(&found[columns.len()]).iter().enumerate() {
        sum += integer(&columns, 3, row).unwrap_or(0);
        assert!(*result == sum.to_string() || (sum == 0 && result == "NULL"));
        let frame_rows = frame_of(&columns, 2, false, frame, row);
        let expected: i64 = frame_rows.iter().filter_map(|&r| integer(&columns, 3, r)).sum();
        let found = &texts(&found[columns.len() + 1])[row];
        assert!(*found == expected.to_string() || found == "NULL");
    }
}

/// Calls over one partition in the order of `key`, whose groups of equal rows may be long.
fn unpartitioned(columns: &[ArrayRef], key: usize) -> Vec<WindowSpec> {
    let mut specs = vec![];
    for frame in &frames() {
        for (name, arguments) in [
            ("count", &[][..]),
            ("sum", &[3]),
            ("avg", &[3]),
            ("min", &[5]),
            ("max", &[4]),
        ] {
            specs.push(aggregate_spec(columns, name, arguments, false, key, frame));
        }
        specs.push(aggregate_spec(columns, "count", &[3], true, key, frame));
        for kind in [WindowKind::FirstValue, WindowKind::LastValue] {
            for ignore_nulls in [false, true] {
                let function = WindowOperation::Function { kind, ignore_nulls };
                specs.push(spec(columns, function, &[3], key, frame, DataType::Int64));
            }
        }
    }
    use WindowKind::*;
    for kind in [RowNumber, Rank, DenseRank, PercentRank, CumeDist, Lag, Lead] {
        let (arguments, t) = match kind {
            PercentRank | CumeDist => (&[][..], DataType::Float64),
            Lag | Lead => (&[3][..], DataType::Int64),
            _ => (&[][..], DataType::Int64),
        };
        let function = WindowOperation::Function {
            kind,
            ignore_nulls: false,
        };
        specs.push(spec(columns, function, arguments, key, &frames()[0], t));
    }
    specs.iter_mut().for_each(|spec| spec.partition_by.clear());
    specs
}

#[test]
fn one_partition_of_all_rows() {
    let columns = by_unique_key(&rows(200)).unwrap();
    for key in [2, 1, 0] {
        run(&columns, unpartitioned(&columns, key), 2).unwrap();
        let mut without_order = unpartitioned(&columns, key);
        without_order.retain(|s| matches!(s.frame.units, FrameUnits::Range) && ignores_order_of_peers(s));
        without_order.retain(|s| matches!(s.frame.start, Bound::UnboundedPreceding | Bound::CurrentRow));
        without_order.retain(|s| matches!(s.frame.end, Bound::UnboundedFollowing | Bound::CurrentRow));
        without_order.iter_mut().for_each(|s| s.order_by.clear());
        run(&columns, without_order, 2).unwrap();
    }
}

#[test]
fn memory_that_is_short_sends_rows_to_disk() {
    let mut columns = rows(200);
    let copies = 400;
    for (i, column) in columns.iter_mut().enumerate() {
        *column = concat(&vec![column.as_ref(); copies]).unwrap();
        if i == 2 {
            *column = Arc::new(Int64Array::from_iter_values(
                (0..200 * copies as i64).map(|i| i * 77 % 100_003),
            ));
        }
    }
    let specs = |partitioned: bool| {
        let mut specs = vec![
            aggregate_spec(&columns, "sum", &[3], false, 2, &frames()[0]),
            aggregate_spec(&columns, "count", &[5], false, 1, &frames()[10]),
            aggregate_spec(&columns, "max", &[5], false, 2, &frames()[1]),
            aggregate_spec(&columns, "sum", &[3], false, 2, &frames()[4]),
        ];
        let function = WindowOperation::Function {
            kind: WindowKind::RowNumber,
            ignore_nulls: false,
        };
        specs.push(spec(&columns, function, &[], 2, &frames()[0], DataType::Int64));
        if !partitioned {
            specs.iter_mut().for_each(|s| s.partition_by.clear());
        }
        specs
    };
    for partitioned in [true, false] {
        let expected = run_in(&columns, specs(partitioned), &context(2)).unwrap();
        for memory in [3 << 20, 8 << 20] {
            let config = Config {
                memory_limit: memory,
                threads: 2,
                batch_size: 1000,
                ..Config::default()
            };
            let context = QueryContext::new(Arc::new(config), MemoryArbiter::new(memory));
            let found = run_in(&columns, specs(partitioned), &context).unwrap();
            assert!(context.metrics.bytes_spilled.get() > 0);
            for i in 0..columns.len() + 5 {
                assert!(
                    expected[i].as_ref() == found[i].as_ref(),
                    "column {i}, {memory} bytes, {partitioned}"
                );
            }
        }
    }
}

#[test]
fn bad_counts_are_errors() {
    let mut columns = by_unique_key(&rows(10)).unwrap();
    columns.push(Arc::new(Int64Array::from(vec![0; 10])));
    let frame = &frames()[0];
    for (kind, arguments, part) in [
        (WindowKind::Ntile, vec![7], "ntile: the count is 0"),
        (WindowKind::NthValue, vec![3, 7], "nth_value: the count is 0"),
    ] {
        let function = WindowOperation::Function {
            kind,
            ignore_nulls: false,
        };
        let spec = spec(&columns, function, &arguments, 2, frame, DataType::Int64);
        let error = run(&columns, vec![spec], 1).unwrap_err();
        assert!(error.message().contains(part), "{error}");
    }
    let frame = Frame {
        units: FrameUnits::Rows,
        start: Bound::Preceding(ScalarValue::Int64(-1)),
        end: Bound::CurrentRow,
    };
    let spec = aggregate_spec(&columns, "count", &[], false, 2, &frame);
    assert!(run(&columns, vec![spec], 1).unwrap_err().message().contains("offset"));
}

#[test]
fn memory_is_asked_for() {
    let columns = by_unique_key(&rows(90)).unwrap();
    let config = Arc::new(Config::default());
    let context = QueryContext::new(config, MemoryArbiter::new(1000));
    let schema: Schema = columns
        .iter()
        .map(|c| Field::new("c", c.data_type().clone(), true))
        .collect();
    let spec = aggregate_spec(&columns, "count", &[], false, 2, &frames()[0]);
    let (sink, _source) = window(&schema, vec![spec], &context);
    let mut local = sink.local(&context).unwrap();
    let error = local.consume(Batch::from_arrays(columns, 90)).unwrap_err();
    assert!(error.message().starts_with("window needs"), "{error}");
}
