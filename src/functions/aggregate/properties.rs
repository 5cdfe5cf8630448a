//! What must hold for every aggregate of the list: splitting, reordering and merging the input changes nothing.

use super::*;
use crate::types::{INTERVAL_DAY, INTERVAL_MONTH, TIMESTAMP, array_of, map_of};
use arrow::array::{Array, AsArray, Int64Array, ListArray, MapArray, UInt32Array, new_null_array};
use arrow::compute::{cast, take};
use arrow::datatypes::{Float32Type, Float64Type, Int32Type};
use arrow::util::display::array_value_to_string;
use std::sync::Arc;

/// A small generator of numbers (Knuth's MMIX constants), so that failures can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len()).for_each(|i| items.swap(i, self.below(i + 1)));
    }
}

/// A column whose value is a function of the seeds, so that rows with one seed agree in all columns.
fn column(t: &DataType, seeds: &[i64], salt: i64) -> ArrayRef {
    let valid = |k: i64| (k + salt) % 7 != 3;
    let numbers: Int64Array = seeds.iter().map(|&k| valid(k).then_some(k * 3 + salt)).collect();
    match t {
        DataType::Boolean => {
            let bits = seeds.iter().map(|&k| valid(k).then_some(k % 5 < 2));
            Arc::new(bits.collect::<arrow::array::BooleanArray>())
        }
        DataType::Utf8View | DataType::BinaryView => {
            let text = |k: i64| valid(k).then(|| format!("{k:>width$}", width = (k * k % 30) as usize));
            let texts: arrow::array::StringViewArray = seeds.iter().map(|&k| text(k)).collect();
            cast(&texts, t).unwrap()
        }
        DataType::List(_) => {
            let lists = seeds.iter().map(|&k| valid(k).then(|| vec![Some(k as i32), None]));
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else {
                unreachable!()
            };
            let lengths = seeds.iter().map(|&k| valid(k) as usize);
            let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
            let keys: Int64Array = numbers.iter().flatten().map(Some).collect();
            let pairs = vec![Arc::new(keys.clone()) as ArrayRef, Arc::new(keys) as ArrayRef];
            let pairs = arrow::array::StructArray::new(fields.clone(), pairs, None);
            let nulls = seeds.iter().map(|&k| valid(k)).collect();
            Arc::new(MapArray::new(entries.clone(), offsets, pairs, Some(nulls), false))
        }
        DataType::Interval(_) => Arc::new(
            cast(&numbers, &DataType::Int32)
                .unwrap()
                .as_primitive::<Int32Type>()
                .reinterpret_cast::<arrow::datatypes::IntervalYearMonthType>(),
        ),
        DataType::Date32 => cast(&cast(&numbers, &DataType::Int32).unwrap(), t).unwrap(),
        t => cast(&numbers, t).unwrap(),
    }
}

/// The result of each group as text in which order inside collections and the last digits of floats do not show.
fn texts(array: &ArrayRef) -> Vec<String> {
    (0..array.len())
        .map(|row| match array.data_type() {
            _ if array.is_null(row) => "NULL".into(),
            DataType::Float64 => rounded(array.as_primitive::<Float64Type>().value(row)),
            DataType::Float32 => rounded(array.as_primitive::<Float32Type>().value(row) as f64),
            DataType::List(_) => sorted(array.as_list::<i32>().value(row)),
            DataType::Map(..) => sorted(Arc::new(array.as_map().value(row))),
            DataType::Struct(_) => array
                .as_struct()
                .columns()
                .iter()
                .map(|c| texts(&c.slice(row, 1)).concat())
                .collect::<Vec<_>>()
                .join("="),
            _ => array_value_to_string(array, row).unwrap(),
        })
        .collect()
}

fn rounded(v: f64) -> String {
    if v.abs() < 1e-9 { "0".into() } else { format!("{v:.8e}") }
}

fn sorted(values: ArrayRef) -> String {
    let mut parts = texts(&values);
    parts.sort();
    parts.join(", ")
}

struct Case {
    function: &'static AggregateFunction,
    signature: AggregateSignature,
    constants: Vec<Option<ScalarValue>>,
    distinct: bool,
    order: Vec<OrderKey>,
}

impl Case {
    fn accumulator(&self) -> Box<dyn Accumulator> {
        create(
            self.function,
            &self.signature,
            &self.constants,
            self.distinct,
            &self.order,
        )
        .unwrap()
    }

    fn name(&self) -> String {
        let types = &self.signature.arguments;
        format!(
            "{:?}({types:?}) distinct {} order {:?}",
            self.function, self.distinct, self.order
        )
    }
}

fn types() -> Vec<DataType> {
    use DataType::*;
    vec![
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        Float32,
        Float64,
        Decimal64(12, 2),
        Decimal128(30, 4),
        Utf8View,
        BinaryView,
        Date32,
        TIMESTAMP,
        INTERVAL_DAY,
        INTERVAL_MONTH,
        array_of(Int32),
        map_of(Int64, Int64),
    ]
}

/// Every function with every combination of argument types that it accepts.
fn cases() -> Vec<Case> {
    let mut argument_lists = vec![(vec![], vec![])];
    for t in types() {
        argument_lists.push((vec![t.clone()], vec![None]));
        for other in [DataType::Int64, DataType::Utf8View, DataType::Boolean] {
            argument_lists.push((vec![t.clone(), other], vec![None, None]));
        }
        let half = ScalarValue::Float64(0.25);
        argument_lists.push((vec![t.clone(), DataType::Float64], vec![None, Some(half)]));
        let comma = ScalarValue::string(",");
        argument_lists.push((vec![t.clone(), DataType::Utf8View], vec![None, Some(comma)]));
    }
    let key = OrderKey {
        data_type: DataType::Int64,
        descending: true,
        nulls_first: false,
    };
    let mut cases = vec![];
    for function in FUNCTIONS {
        for (types, constants) in &argument_lists {
            let Ok(signature) = (function.signature)(types, constants) else {
                continue;
            };
            // Which of the rows with the same boolean key stays is the function's own affair.
            let tied = match function.name {
                "min_by" | "max_by" => types.get(1),
                "map_agg" => types.first(),
                _ => None,
            };
            if tied == Some(&DataType::Boolean) || (tied.is_some() && constants.iter().any(Option::is_some)) {
                continue;
            }
            for (distinct, order) in [(false, vec![]), (true, vec![]), (false, vec![key.clone()])] {
                cases.push(Case {
                    function,
                    signature: signature.clone(),
                    constants: constants.clone(),
                    distinct,
                    order,
                });
            }
        }
    }
    cases
}

#[test]
fn splitting_reordering_and_merging_change_nothing() {
    let mut random = Random(7);
    let (rows, group_count) = (300, 9);
    for case in cases() {
        let seeds: Vec<i64> = (0..rows).map(|_| random.below(25) as i64).collect();
        // Group 7 has no row at all.
        let groups: Vec<u32> = (0..rows).map(|_| [0, 1, 2, 3, 4, 5, 6, 8][random.below(8)]).collect();
        let mut columns: Vec<ArrayRef> = vec![];
        for (i, t) in case.signature.arguments.iter().enumerate() {
            columns.push(match case.constants.get(i).cloned().flatten() {
                Some(constant) => constant.to_array(t, rows).unwrap(),
                None => column(t, &seeds, i as i64),
            });
        }
        if !case.order.is_empty() {
            columns.push(ints(&seeds));
        }
        let mut whole = case.accumulator();
        whole.update(&columns, &groups, group_count).unwrap();
        let expected = whole.finish(group_count).unwrap();
        assert_eq!(*expected.data_type(), case.signature.result, "{}", case.name());
        assert_eq!(expected.len(), group_count);
        let found = split_and_merged(&case, &columns, &groups, group_count, &mut random);
        assert_eq!(*found.data_type(), case.signature.result, "{}", case.name());
        // Which string `any_value` takes is its own affair.
        if case.function.name != "any_value" || expected.data_type().is_primitive() {
            // The texts of listagg depend on the order unless one is asked for.
            let loose = case.function.name == "listagg" && case.order.is_empty();
            let normal = |a: &ArrayRef| match loose {
                true => texts(a).into_iter().map(|t| letters(&t)).collect(),
                false => texts(a),
            };
            assert!(
                agree(&expected, &found) || normal(&expected) == normal(&found),
                "{}: {:?} and {:?}",
                case.name(),
                normal(&expected),
                normal(&found)
            );
        }
        single_is_like_grouped(&case, &columns, rows);
        empty_is_null(&case);
    }
}

/// Whether two columns of floats differ by no more than rounding.
fn agree(a: &ArrayRef, b: &ArrayRef) -> bool {
    let (Some(a), Some(b)) = (a.as_primitive_opt::<Float64Type>(), b.as_primitive_opt::<Float64Type>()) else {
        return false;
    };
    a.iter().zip(b).all(|pair| match pair {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * (1.0 + a.abs()),
        (a, b) => a == b,
    })
}

fn letters(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

/// The same rows, shuffled, through three accumulators with their own group numbers, merged through their states.
fn split_and_merged(
    case: &Case,
    columns: &[ArrayRef],
    groups: &[u32],
    group_count: usize,
    random: &mut Random,
) -> ArrayRef {
    let mut order: Vec<u32> = (0..groups.len() as u32).collect();
    random.shuffle(&mut order);
    let mut target = case.accumulator();
    for part in order.chunks(groups.len() / 3 + 1) {
        let mut partial = case.accumulator();
        let mut local_groups: Vec<u32> = vec![];
        for piece in part.chunks(37) {
            let rows = UInt32Array::from(piece.to_vec());
            let arguments: Vec<ArrayRef> = columns.iter().map(|c| take(c, &rows, None).unwrap()).collect();
            let local: Vec<u32> = piece
                .iter()
                .map(|&row| {
                    let g = groups[row as usize];
                    let known = local_groups.iter().position(|&l| l == g);
                    known.unwrap_or_else(|| {
                        local_groups.push(g);
                        local_groups.len() - 1
                    }) as u32
                })
                .collect();
            partial.update(&arguments, &local, local_groups.len()).unwrap();
        }
        assert!(partial.memory_size() > 0, "{}", case.name());
        let states = partial.state(local_groups.len()).unwrap();
        let types: Vec<DataType> = states.iter().map(|s| s.data_type().clone()).collect();
        let promised = state_types(case.function, &case.signature, case.distinct, &case.order);
        assert_eq!(types, promised, "{}", case.name());
        target.merge(&states, &local_groups, group_count).unwrap();
    }
    target.finish(group_count).unwrap()
}

fn single_is_like_grouped(case: &Case, columns: &[ArrayRef], rows: usize) {
    let (mut single, mut grouped) = (case.accumulator(), case.accumulator());
    for start in (0..rows).step_by(100) {
        let piece: Vec<ArrayRef> = columns.iter().map(|c| c.slice(start, 100.min(rows - start))).collect();
        let len = 100.min(rows - start);
        single.update_single(&piece, len).unwrap();
        grouped.update(&piece, &vec![0; len], 1).unwrap();
    }
    let (single, grouped) = (single.finish(1).unwrap(), grouped.finish(1).unwrap());
    assert!(
        agree(&single, &grouped) || texts(&single) == texts(&grouped),
        "{}",
        case.name()
    );
}

/// Only NULLs, and no rows at all, give what the function says about nothing.
fn empty_is_null(case: &Case) {
    let mut none = case.accumulator();
    none.update_single(&columns_of_nulls(case, 0), 0).unwrap();
    let none = none.finish(1).unwrap();
    let expected = match case.function.name {
        "count" | "count_if" | "approx_distinct" => "0",
        "regr_count" => "0",
        "collect_list" | "collect_set" => "",
        _ => "NULL",
    };
    assert_eq!(texts(&none), [expected], "{}", case.name());
    let mut states = case.accumulator();
    let states = states.state(2).unwrap();
    let mut merged = case.accumulator();
    merged.merge(&states, &[0, 1], 2).unwrap();
    assert_eq!(texts(&merged.finish(1).unwrap()), [expected], "{}", case.name());
}

fn columns_of_nulls(case: &Case, rows: usize) -> Vec<ArrayRef> {
    let keys = case.order.iter().map(|k| &k.data_type);
    let types = case.signature.arguments.iter().chain(keys);
    types.map(|t| new_null_array(t, rows)).collect()
}

fn run(name: &str, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let function = find(name).unwrap();
    let types: Vec<DataType> = arguments.iter().map(|a| a.data_type().clone()).collect();
    let constants = vec![None; arguments.len()];
    let signature = (function.signature)(&types, &constants)?;
    let arguments: Vec<ArrayRef> = arguments
        .iter()
        .zip(&signature.arguments)
        .map(|(a, t)| cast(a, t).unwrap())
        .collect();
    let mut accumulator = create(function, &signature, &constants, false, &[])?;
    accumulator.update(&arguments, &vec![0; rows], 1)?;
    accumulator.finish(1)
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[test]
fn sums_overflow_only_in_the_end() {
    let sum = run("sum", &[ints(&[i64::MAX, 1, -2])], 3).unwrap();
    assert_eq!(texts(&sum), [(i64::MAX - 1).to_string()]);
    let error = run("sum", &[ints(&[i64::MAX, 1])], 2).unwrap_err();
    assert!(
        error.message().contains("9223372036854775808 does not fit bigint"),
        "{error}"
    );
    let many = ints(&[i64::MIN; 100]);
    let error = run("sum", std::slice::from_ref(&many), 100).unwrap_err();
    assert!(error.message().contains("-922337203685477580800"), "{error}");
    let mut single = create(
        find("sum").unwrap(),
        &(find("sum").unwrap().signature)(&[DataType::Int64], &[]).unwrap(),
        &[],
        false,
        &[],
    )
    .unwrap();
    single.update_single(&[many], 100).unwrap();
    assert!(single.finish(1).is_err());
    let average = run("avg", &[ints(&[i64::MAX, i64::MAX])], 2).unwrap();
    assert_eq!(texts(&average), [rounded(i64::MAX as f64)]);
}

#[test]
fn decimals_keep_their_scale_and_round_halves_up() {
    let decimals = |values: Vec<i64>| -> ArrayRef {
        let array = arrow::array::Decimal64Array::from(values);
        Arc::new(array.with_precision_and_scale(4, 2).unwrap())
    };
    let sum = run("sum", &[decimals(vec![150, 275])], 2).unwrap();
    assert_eq!(*sum.data_type(), DataType::Decimal128(38, 2));
    assert_eq!(texts(&sum), ["4.25"]);
    let mean = run("avg", &[decimals(vec![150, 275])], 2).unwrap();
    assert_eq!(*mean.data_type(), DataType::Decimal64(4, 2));
    assert_eq!(texts(&mean), ["2.13"]);
    assert_eq!(texts(&run("avg", &[decimals(vec![-150, -275])], 2).unwrap()), ["-2.13"]);
}

#[test]
fn statistics_agree_with_their_definitions() {
    let x = ints(&[1, 2, 4, 8]);
    let close = |name: &str, expected: f64| {
        let found = run(name, std::slice::from_ref(&x), 4).unwrap();
        let found = found.as_primitive::<Float64Type>().value(0);
        assert!((found - expected).abs() < 1e-12, "{name}: {found} and not {expected}");
    };
    close("variance", 9.583333333333334);
    close("var_pop", 7.1875);
    close("stddev", 3.095695936834452);
    close("skewness", 0.6568077344996993);
    close("kurtosis", 0.7576559546313792);
    close("geometric_mean", 2.8284271247461903);
    close("entropy", 1.640223928941852);
    let (y, x) = (ints(&[2, 4, 9]), ints(&[1, 2, 4]));
    let close = |name: &str, expected: f64| {
        let found = run(name, &[y.clone(), x.clone()], 3).unwrap();
        let found = found.as_primitive::<Float64Type>().value(0);
        assert!((found - expected).abs() < 1e-12, "{name}: {found} and not {expected}");
    };
    close("covar_pop", 11.0 / 3.0);
    close("covar_samp", 5.5);
    close("regr_slope", 11.0 / (14.0 / 3.0));
    close("regr_intercept", -0.5);
    close("corr", 11.0 / (26.0f64 * 14.0 / 3.0).sqrt());
}

#[test]
fn sketches_are_near_the_truth() {
    let values = ints(&(0..100_000).map(|i| i * 7919 % 50_021).collect::<Vec<_>>());
    let distinct = run("approx_distinct", std::slice::from_ref(&values), 100_000).unwrap();
    let estimate = distinct.as_primitive::<arrow::datatypes::Int64Type>().value(0) as f64;
    assert!((estimate / 50_021.0 - 1.0).abs() < 0.07, "{estimate}");
    let function = find("approx_percentile").unwrap();
    let constants = [None, Some(ScalarValue::Float64(0.9))];
    let signature = (function.signature)(&[DataType::Int64, DataType::Float64], &constants).unwrap();
    let mut accumulator = create(function, &signature, &constants, false, &[]).unwrap();
    let values = cast(&values, &DataType::Float64).unwrap();
    accumulator.update(&[values], &vec![0; 100_000], 1).unwrap();
    let ninety = accumulator.finish(1).unwrap();
    let ninety = ninety.as_primitive::<arrow::datatypes::Int64Type>().value(0) as f64;
    assert!((ninety / 45_019.0 - 1.0).abs() < 0.01, "{ninety}");
}
