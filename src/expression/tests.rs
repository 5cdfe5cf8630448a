//! Evaluation through the public types: narrowing, sharing, dictionaries, predicates.

use super::{BinaryOp, ExpressionList, PhysicalExpr, Predicate};
use crate::functions::Documentation;
use crate::functions::scalar::{Arguments, Properties, ScalarFunction, Signature};
use crate::types::{DataType, ScalarValue};
use crate::vector::display::format_value;
use crate::vector::{Batch, Column};
use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, StringViewArray};
use arrow::datatypes::{Int32Type, Int64Type};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn column(index: usize, data_type: DataType) -> PhysicalExpr {
    PhysicalExpr::Column { index, data_type }
}

fn literal(value: ScalarValue) -> PhysicalExpr {
    let t = value.data_type();
    PhysicalExpr::Literal(value, t)
}

fn int(value: i64) -> PhysicalExpr {
    literal(ScalarValue::Int64(value))
}

fn x() -> PhysicalExpr {
    column(0, DataType::Int64)
}

fn s() -> PhysicalExpr {
    column(1, DataType::Utf8View)
}

fn binary(op: BinaryOp, left: PhysicalExpr, right: PhysicalExpr) -> PhysicalExpr {
    let data_type = if op.is_arithmetic() {
        left.data_type()
    } else {
        DataType::Boolean
    };
    PhysicalExpr::Binary {
        op,
        left: left.into(),
        right: right.into(),
        data_type,
    }
}

fn is_null(expr: PhysicalExpr) -> PhysicalExpr {
    PhysicalExpr::IsNull {
        expr: expr.into(),
        negated: false,
    }
}

fn cast(expr: PhysicalExpr, data_type: DataType, safe: bool) -> PhysicalExpr {
    PhysicalExpr::Cast {
        expr: expr.into(),
        data_type,
        safe,
    }
}

fn case(branches: Vec<(PhysicalExpr, PhysicalExpr)>, otherwise: Option<PhysicalExpr>) -> PhysicalExpr {
    let data_type = branches[0].1.data_type();
    PhysicalExpr::Case {
        branches,
        otherwise: otherwise.map(Box::new),
        data_type,
    }
}

fn function(f: &'static ScalarFunction, arguments: Vec<PhysicalExpr>, data_type: DataType) -> PhysicalExpr {
    PhysicalExpr::Function {
        function: f,
        arguments,
        data_type,
    }
}

fn integers() -> ArrayRef {
    Arc::new(Int64Array::from(vec![
        Some(0),
        Some(1),
        None,
        Some(2),
        Some(-3),
        Some(4),
    ]))
}

fn coded() -> ArrayRef {
    let values: ArrayRef = Arc::new(StringViewArray::from(vec![Some("12"), Some("x"), None, Some("7")]));
    let keys = Int32Array::from(vec![Some(0), Some(1), Some(2), None, Some(3), Some(0)]);
    Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).unwrap())
}

fn batch() -> Batch {
    Batch::from_arrays(vec![integers(), coded()], 6)
}

fn texts(column: &Column) -> Vec<String> {
    let array = column.to_array().unwrap();
    let one = |i| {
        let mut out = String::new();
        format_value(array.as_ref(), i, &mut out);
        if array.is_null(i) { "NULL".to_string() } else { out }
    };
    (0..array.len()).map(one).collect()
}

fn evaluate(expr: &PhysicalExpr) -> Vec<String> {
    texts(&expr.evaluate(&batch()).unwrap())
}

#[test]
fn conjuncts_that_can_fail_see_only_undecided_rows() {
    let quotient = binary(BinaryOp::Divide, int(8), x());
    let fails = binary(BinaryOp::Greater, quotient, int(3));
    assert!(fails.evaluate(&batch()).is_err());
    for (guard, expected) in [
        (
            binary(BinaryOp::NotEqual, x(), int(0)),
            ["false", "true", "NULL", "true", "false", "false"],
        ),
        (
            binary(BinaryOp::Greater, x(), int(0)),
            ["false", "true", "NULL", "true", "false", "false"],
        ),
    ] {
        let both = PhysicalExpr::And(vec![guard.clone(), fails.clone()]);
        assert_eq!(evaluate(&both), expected);
        let swapped = PhysicalExpr::And(vec![fails.clone(), guard.clone()]);
        assert_eq!(evaluate(&swapped), expected);
        let either = PhysicalExpr::Or(vec![PhysicalExpr::Not(Box::new(guard)), fails.clone()]);
        assert_eq!(evaluate(&either)[..4], ["true", "true", "NULL", "true"]);
        let kept = Predicate::new(both).select(batch()).unwrap();
        assert_eq!(texts(&kept.column(0).unwrap()), ["1", "2"]);
    }
}

#[test]
fn kleene_logic_over_all_nine_pairs() {
    let values = [Some(true), Some(false), None];
    for a in values {
        for b in values {
            let l = |v: Option<bool>| {
                PhysicalExpr::Literal(v.map_or(ScalarValue::Null, ScalarValue::Boolean), DataType::Boolean)
            };
            // One side varies by row so that both the constant and the array paths run.
            let by_row = |v: Option<bool>| case(vec![(is_null(x()), l(v))], Some(l(v)));
            let show = |v: Option<bool>| v.map_or("NULL".to_string(), |v| v.to_string());
            let and = if a == Some(false) || b == Some(false) {
                Some(false)
            } else {
                a.and(b)
            };
            let or = if a == Some(true) || b == Some(true) {
                Some(true)
            } else if a.is_none() || b.is_none() {
                None
            } else {
                Some(false)
            };
            for (x, y) in [(l(a), by_row(b)), (by_row(a), by_row(b)), (l(a), l(b))] {
                assert_eq!(
                    evaluate(&PhysicalExpr::And(vec![x.clone(), y.clone()])),
                    vec![show(and); 6]
                );
                assert_eq!(evaluate(&PhysicalExpr::Or(vec![x, y])), vec![show(or); 6]);
            }
        }
    }
    assert_eq!(evaluate(&PhysicalExpr::And(vec![])), vec!["true"; 6]);
    assert_eq!(evaluate(&PhysicalExpr::Or(vec![])), vec!["false"; 6]);
}

#[test]
fn case_takes_the_first_true_branch_and_evaluates_no_other() {
    let quotient = binary(BinaryOp::Divide, int(12), x());
    let zero = binary(BinaryOp::Equal, x(), int(0));
    let negative = binary(BinaryOp::Less, x(), int(0));
    let expr = case(vec![(zero, int(0)), (negative, int(-1))], Some(quotient));
    assert_eq!(evaluate(&expr), ["0", "12", "NULL", "6", "-1", "3"]);
    let plain = case(vec![(binary(BinaryOp::Greater, x(), int(1)), x())], None);
    assert_eq!(evaluate(&plain), ["NULL", "NULL", "NULL", "2", "NULL", "4"]);
}

#[test]
fn shared_parts_inside_branches_are_not_taken_for_whole_columns() {
    let quotient = binary(BinaryOp::Divide, int(12), x());
    let guarded = case(
        vec![(binary(BinaryOp::NotEqual, x(), int(0)), quotient.clone())],
        Some(int(0)),
    );
    let twice = binary(
        BinaryOp::Add,
        guarded.clone(),
        case(
            vec![(binary(BinaryOp::Greater, x(), int(0)), quotient.clone())],
            Some(int(1)),
        ),
    );
    let list = ExpressionList::new(vec![guarded.clone(), twice, guarded.clone()]);
    let columns = list.evaluate(&batch()).unwrap();
    assert_eq!(texts(&columns[0]), ["0", "12", "0", "6", "-4", "3"]);
    assert_eq!(texts(&columns[1]), ["1", "24", "1", "12", "-3", "6"]);
    assert_eq!(texts(&columns[2]), texts(&columns[0]));
    assert!(ExpressionList::new(vec![guarded, quotient]).evaluate(&batch()).is_err());
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

fn typing(_: &[DataType], _: &[Option<ScalarValue>]) -> Option<Signature> {
    Some(Signature {
        arguments: vec![DataType::Utf8View],
        result: DataType::Int64,
    })
}

const DOC: Documentation = Documentation {
    signature: "",
    summary: "",
    example: ("", ""),
};

/// The length of a text, -1 for NULL; counts the values it saw.
static LENGTH: ScalarFunction = ScalarFunction {
    name: "test_length",
    aliases: &[],
    doc: DOC,
    typing,
    evaluate: |arguments: &Arguments| {
        let (array, _) = arguments.columns[0].as_array_or_single()?;
        CALLS.fetch_add(array.len(), Ordering::Relaxed);
        let lengths: Int64Array = array
            .as_string_view()
            .iter()
            .map(|v| Some(v.map_or(-1, |v| v.len() as i64)))
            .collect();
        Ok(Column::Array(Arc::new(lengths)))
    },
    properties: Properties::Pure,
};

/// A counter.
static COUNTER: ScalarFunction = ScalarFunction {
    name: "test_counter",
    aliases: &[],
    doc: DOC,
    typing,
    evaluate: |arguments: &Arguments| {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let start = NEXT.fetch_add(arguments.rows, Ordering::Relaxed) as i64;
        Ok(Column::Array(Arc::new(Int64Array::from_iter_values(
            start..start + arguments.rows as i64,
        ))))
    },
    properties: Properties::Volatile,
};

#[test]
fn functions_of_dictionaries_and_shared_calls() {
    let call = function(&LENGTH, vec![s()], DataType::Int64);
    let list = ExpressionList::new(vec![call.clone(), binary(BinaryOp::Add, call.clone(), call)]);
    let input = batch();
    for round in 0..2 {
        let before = CALLS.load(Ordering::Relaxed);
        let columns = list.evaluate(&input).unwrap();
        assert_eq!(texts(&columns[0]), ["2", "1", "-1", "-1", "1", "2"]);
        assert_eq!(texts(&columns[1]), ["4", "2", "-2", "-2", "2", "4"]);
        // Four dictionary values (once), one NULL, and six rows because NULL has a value.
        assert_eq!(CALLS.load(Ordering::Relaxed) - before, if round == 0 { 11 } else { 7 });
    }
    let counter = function(&COUNTER, vec![], DataType::Int64);
    let columns = ExpressionList::new(vec![counter.clone(), counter])
        .evaluate(&batch())
        .unwrap();
    assert_ne!(texts(&columns[0]), texts(&columns[1]));
}

#[test]
fn dictionaries_behave_like_plain_columns() {
    let text = |t: &str| literal(ScalarValue::string(t));
    let like = |p: &str, negated| PhysicalExpr::Like {
        expr: s().into(),
        pattern: text(p).into(),
        escape: None,
        negated,
        case_insensitive: false,
    };
    let in_list = |negated, list: Vec<PhysicalExpr>| PhysicalExpr::InList {
        expr: s().into(),
        list,
        negated,
    };
    let null = PhysicalExpr::Literal(ScalarValue::Null, DataType::Utf8View);
    let cases = [
        binary(BinaryOp::Equal, s(), text("12")),
        binary(BinaryOp::Less, text("2"), s()),
        binary(BinaryOp::IsDistinctFrom, s(), text("x")),
        binary(BinaryOp::IsNotDistinctFrom, s(), null.clone()),
        binary(BinaryOp::Equal, s(), s()),
        like("1%", false),
        like("%x%", true),
        in_list(false, vec![text("7"), text("x")]),
        in_list(true, vec![text("7"), null]),
        in_list(false, vec![s(), text("7")]),
        is_null(s()),
        PhysicalExpr::IsNull {
            expr: s().into(),
            negated: true,
        },
        cast(s(), DataType::Int64, true),
        PhysicalExpr::Try(cast(s(), DataType::Int64, false).into()),
        function(&LENGTH, vec![s()], DataType::Int64),
    ];
    let plain = Column::Array(coded()).to_array().unwrap();
    let plain = Batch::from_arrays(vec![integers(), plain], 6);
    for expr in cases {
        assert_eq!(evaluate(&expr), texts(&expr.evaluate(&plain).unwrap()), "{expr:?}");
        let picked = expr.evaluate(&batch().select(vec![1, 3, 5])).unwrap();
        let expected: Vec<String> = evaluate(&expr).into_iter().skip(1).step_by(2).collect();
        assert_eq!(texts(&picked), expected, "{expr:?}");
    }
    assert!(cast(s(), DataType::Int64, false).evaluate(&batch()).is_err());
    let without_x = batch().select(vec![0, 2, 3, 4, 5]);
    let numbers = cast(s(), DataType::Int64, false).evaluate(&without_x).unwrap();
    assert_eq!(texts(&numbers), ["12", "NULL", "NULL", "7", "12"]);
}

#[test]
fn try_fails_row_by_row() {
    let quotient = PhysicalExpr::Try(binary(BinaryOp::Divide, int(12), x()).into());
    assert_eq!(evaluate(&quotient), ["NULL", "12", "NULL", "6", "-4", "3"]);
}

#[test]
fn predicates_pass_all_none_and_some() {
    let select = |expr: PhysicalExpr| Predicate::new(expr).select_positions(&batch()).unwrap();
    assert_eq!(select(literal(ScalarValue::Boolean(true))), None);
    assert_eq!(
        select(PhysicalExpr::Literal(ScalarValue::Null, DataType::Boolean)),
        Some(vec![])
    );
    assert_eq!(select(PhysicalExpr::And(vec![])), None);
    let positive = binary(BinaryOp::Greater, x(), int(0));
    assert_eq!(select(positive.clone()), Some(vec![1, 3, 5]));
    let even = binary(BinaryOp::Equal, binary(BinaryOp::Modulo, x(), int(2)), int(0));
    let both = Predicate::new(PhysicalExpr::And(vec![
        positive,
        even,
        PhysicalExpr::Not(is_null(s()).into()),
    ]));
    assert_eq!(both.columns(), [0, 1]);
    for _ in 0..3 {
        assert_eq!(both.select_positions(&batch()).unwrap(), Some(vec![5]));
        let narrowed = both.select(batch().select(vec![0, 4, 5])).unwrap();
        assert_eq!(narrowed.selection().unwrap().as_ref(), [5]);
    }
    assert_eq!(both.select_positions(&batch().select(vec![])).unwrap(), None);
}

#[test]
fn a_list_of_100_000_constants() {
    let list = (0..100_000).map(|i| int(i * 3)).collect();
    let predicate = Predicate::new(PhysicalExpr::InList {
        expr: x().into(),
        list,
        negated: false,
    });
    assert_eq!(predicate.select_positions(&batch()).unwrap(), Some(vec![0]));
}

#[test]
fn constants_stay_constant() {
    let sum = binary(BinaryOp::Add, int(1), int(2)).evaluate(&batch()).unwrap();
    assert!(sum.is_constant());
    assert_eq!(sum.scalar(3).unwrap(), ScalarValue::Int64(3));
    assert_eq!(
        binary(BinaryOp::Add, int(1), int(2)).fold(),
        Some(ScalarValue::Int64(3))
    );
    assert_eq!(binary(BinaryOp::Divide, int(1), int(0)).fold(), None);
    let empty = batch().select(vec![]);
    assert_eq!(
        binary(BinaryOp::Divide, int(1), int(0)).evaluate(&empty).unwrap().len(),
        0
    );
    let array = x().evaluate(&batch()).unwrap().to_array().unwrap();
    assert_eq!(array.as_primitive::<Int64Type>().len(), 6);
}

#[test]
fn a_guard_that_can_fail_itself_still_guards() {
    // Both conjuncts can fail and the guard is the dearer one.
    let length = function(&LENGTH, vec![s()], DataType::Int64);
    let guard = binary(BinaryOp::Greater, binary(BinaryOp::Add, length.clone(), length), int(3));
    let number = binary(BinaryOp::Greater, cast(s(), DataType::Int64, false), int(0));
    let both = PhysicalExpr::And(vec![guard, number]);
    assert_eq!(evaluate(&both), ["true", "false", "false", "false", "false", "true"]);
    assert_eq!(
        Predicate::new(both).select_positions(&batch()).unwrap(),
        Some(vec![0, 5])
    );
}
