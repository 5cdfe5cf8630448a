//! Can a predicate hold for any row whose columns lie within given bounds?
//!
//! Each condition is judged by which of its three outcomes (true, false, NULL) some row may have. The judgement errs to
//! the side of "may": bounds need not be reached by a row, and what is not understood may have any outcome.

use super::{BinaryOp, PhysicalExpr};
use crate::types::{DataType, ScalarValue, TIMESTAMP, is_decimal, is_integer};
use crate::vector::cast::cast_array;
use crate::vector::like::literal_prefix;
use std::cmp::Ordering;

/// What is known of a predicate over all rows within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// True for no row.
    Never,
    /// True for every row.
    Always,
    Maybe,
}

/// What is known of a column's values: all that are not NULL (and not NaN) lie in `min..=max`.
#[derive(Debug, Clone)]
pub struct Bounds {
    pub min: Option<ScalarValue>,
    pub max: Option<ScalarValue>,
    pub nulls: Option<u64>,
    pub rows: Option<u64>,
}

impl Bounds {
    /// A column with the same value in all `rows` rows.
    pub fn constant(value: &ScalarValue, rows: u64) -> Self {
        let known = (!value.is_null()).then(|| value.clone());
        Self {
            min: known.clone(),
            max: known,
            nulls: Some(if value.is_null() { rows } else { 0 }),
            rows: Some(rows),
        }
    }
}

/// Whether the predicate is true for no row, every row, or possibly some. `bounds` tells what is known of a column by
/// its position; `None` when nothing is.
pub fn verdict(expr: &PhysicalExpr, bounds: &dyn Fn(usize) -> Option<Bounds>) -> Verdict {
    match outcomes(expr, bounds) {
        Outcomes { yes: false, .. } => Verdict::Never,
        Outcomes {
            no: false, null: false, ..
        } => Verdict::Always,
        _ => Verdict::Maybe,
    }
}

/// Which outcomes some row may have.
#[derive(Debug, Clone, Copy)]
struct Outcomes {
    yes: bool,
    no: bool,
    null: bool,
}

impl Outcomes {
    const ANY: Self = Self {
        yes: true,
        no: true,
        null: true,
    };
    const NULL: Self = Self {
        yes: false,
        no: false,
        null: true,
    };

    fn not(self) -> Self {
        Self {
            yes: self.no,
            no: self.yes,
            null: self.null,
        }
    }

    fn not_if(self, negated: bool) -> Self {
        if negated { self.not() } else { self }
    }

    /// All of `parts`: a part that is always false decides alone.
    fn all(parts: impl Iterator<Item = Self>) -> Self {
        let start = Self {
            yes: true,
            no: false,
            null: false,
        };
        let (folded, refuted) = parts.fold((start, false), |(a, refuted), b| {
            let folded = Self {
                yes: a.yes && b.yes,
                no: a.no || b.no,
                null: a.null || b.null,
            };
            (folded, refuted || (!b.yes && !b.null))
        });
        Self {
            null: folded.null && !refuted,
            ..folded
        }
    }
}

fn outcomes(expr: &PhysicalExpr, bounds: &dyn Fn(usize) -> Option<Bounds>) -> Outcomes {
    match expr {
        PhysicalExpr::And(parts) => Outcomes::all(parts.iter().map(|p| outcomes(p, bounds))),
        PhysicalExpr::Or(parts) => Outcomes::all(parts.iter().map(|p| outcomes(p, bounds).not())).not(),
        PhysicalExpr::Not(e) => outcomes(e, bounds).not(),
        PhysicalExpr::IsNull { expr, negated } => match range(expr, bounds) {
            Some(r) => Outcomes {
                yes: r.has_null,
                no: r.has_value,
                null: false,
            }
            .not_if(*negated),
            None => Outcomes {
                null: false,
                ..Outcomes::ANY
            },
        },
        PhysicalExpr::Binary { op, left, right, .. } if op.is_comparison() => {
            match (range(left, bounds), range(right, bounds)) {
                (Some(l), Some(r)) => compare(*op, &l, &r),
                _ => Outcomes::ANY,
            }
        }
        PhysicalExpr::InList { expr, list, negated } => in_list(expr, list, bounds).not_if(*negated),
        PhysicalExpr::Like {
            expr,
            pattern,
            escape,
            negated,
            case_insensitive: false,
        } => match (range(expr, bounds), pattern.as_ref()) {
            (Some(r), PhysicalExpr::Literal(ScalarValue::String(p), _)) => like(&r, p, *escape).not_if(*negated),
            _ => Outcomes::ANY,
        },
        // A boolean column or constant by itself.
        PhysicalExpr::Column { .. } | PhysicalExpr::Literal(..) => match range(expr, bounds) {
            Some(r) => compare(BinaryOp::Equal, &r, &Range::point(&ScalarValue::Boolean(true))),
            None => Outcomes::ANY,
        },
        _ => Outcomes::ANY,
    }
}

/// The values an expression may have.
#[derive(Debug, Clone)]
struct Range {
    min: Option<ScalarValue>,
    max: Option<ScalarValue>,
    has_null: bool,
    has_value: bool,
    /// Bounds of floating-point columns say nothing about NaN.
    has_nan: bool,
}

impl Range {
    fn point(value: &ScalarValue) -> Self {
        let nan = is_nan(value);
        let known = (!value.is_null() && !nan).then(|| without_negative_zero(value.clone()));
        Self {
            min: known.clone(),
            max: known,
            has_null: value.is_null(),
            has_value: !value.is_null(),
            has_nan: nan,
        }
    }
}

fn range(expr: &PhysicalExpr, bounds: &dyn Fn(usize) -> Option<Bounds>) -> Option<Range> {
    match expr {
        PhysicalExpr::Literal(value, _) => Some(Range::point(value)),
        PhysicalExpr::Column { index, data_type } => {
            let Bounds { min, max, nulls, rows } = bounds(*index)?;
            let usable = |v: &ScalarValue| !v.is_null() && !is_nan(v);
            Some(Range {
                min: min.filter(usable).map(without_negative_zero),
                max: max.filter(usable).map(without_negative_zero),
                has_null: nulls != Some(0),
                has_value: nulls.is_none() || nulls != rows,
                has_nan: data_type.is_floating(),
            })
        }
        PhysicalExpr::Cast {
            expr,
            data_type,
            safe: false,
        } => {
            let from = expr.data_type();
            if !is_monotone(&from, data_type) {
                return None;
            }
            let inner = range(expr, bounds)?;
            let cast = |value: Option<ScalarValue>| {
                let array = value?.to_array(&from, 1).ok()?;
                let cast = cast_array(&array, data_type, false).ok()?;
                ScalarValue::from_array(cast.as_ref(), 0).ok().filter(|v| !is_nan(v))
            };
            Some(Range {
                min: cast(inner.min),
                max: cast(inner.max),
                ..inner
            })
        }
        _ => None,
    }
}

/// Casts under which `a <= b` gives `cast(a) <= cast(b)`.
fn is_monotone(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let exact = |t: &DataType| is_integer(t) || is_decimal(t);
    match (from, to) {
        (a, b) if a == b => true,
        (a, b) if exact(a) && exact(b) => true,
        (a, b) if exact(a) && b.is_floating() => true,
        (Float32, Float64) => true,
        (Date32, b) => *b == TIMESTAMP,
        (Timestamp(_, None), Date32) => true,
        (Timestamp(_, Some(_)), Timestamp(_, Some(_))) => true,
        _ => false,
    }
}

/// The order of two values when they are of comparable types.
fn order(a: &Option<ScalarValue>, b: &Option<ScalarValue>) -> Option<Ordering> {
    let (a, b) = (a.as_ref()?, b.as_ref()?);
    match (a, b) {
        (ScalarValue::Timestamp(_, x), ScalarValue::Timestamp(_, y)) if x.is_some() != y.is_some() => None,
        _ => a.partial_compare(b),
    }
}

fn compare(op: BinaryOp, l: &Range, r: &Range) -> Outcomes {
    use BinaryOp::*;
    match op {
        IsDistinctFrom | IsNotDistinctFrom => return distinct(l, r).not_if(op == IsNotDistinctFrom),
        _ if !l.has_value || !r.has_value => return Outcomes::NULL,
        _ => {}
    }
    let nan = l.has_nan || r.has_nan;
    // Unknown orders may be anything.
    let may = |found: Option<Ordering>, test: fn(Ordering) -> bool| found.is_none_or(test);
    let (low_high, high_low) = (order(&l.min, &r.max), order(&l.max, &r.min));
    let point = high_low == Some(Ordering::Equal) && low_high == Some(Ordering::Equal);
    let equal = Outcomes {
        yes: may(low_high, Ordering::is_le) && may(high_low, Ordering::is_ge),
        no: !point || nan,
        null: false,
    };
    let (yes, no) = match op {
        Equal => (equal.yes, equal.no),
        NotEqual => (equal.no, equal.yes),
        Less => (may(low_high, Ordering::is_lt), may(high_low, Ordering::is_ge) || nan),
        LessOrEqual => (may(low_high, Ordering::is_le), may(high_low, Ordering::is_gt) || nan),
        Greater => (may(high_low, Ordering::is_gt), may(low_high, Ordering::is_le) || nan),
        _ => (may(high_low, Ordering::is_ge), may(low_high, Ordering::is_lt) || nan),
    };
    Outcomes {
        yes,
        no,
        null: l.has_null || r.has_null,
    }
}

fn distinct(l: &Range, r: &Range) -> Outcomes {
    let values = if l.has_value && r.has_value {
        compare(BinaryOp::NotEqual, l, r)
    } else {
        Outcomes {
            yes: false,
            no: false,
            null: false,
        }
    };
    Outcomes {
        yes: values.yes || l.has_null || r.has_null,
        no: values.no || (l.has_null && r.has_null) || (l.has_nan && r.has_nan),
        null: false,
    }
}

fn in_list(expr: &PhysicalExpr, list: &[PhysicalExpr], bounds: &dyn Fn(usize) -> Option<Bounds>) -> Outcomes {
    let Some(value) = range(expr, bounds) else {
        return Outcomes::ANY;
    };
    let mut found = Outcomes {
        yes: false,
        no: true,
        null: false,
    };
    for item in list {
        let equal = match range(item, bounds) {
            Some(item) => compare(BinaryOp::Equal, &value, &item),
            None => Outcomes::ANY,
        };
        found.yes |= equal.yes;
        found.no &= equal.no;
        found.null |= equal.null;
        if found.yes && found.null {
            break;
        }
    }
    found
}

fn like(value: &Range, pattern: &str, escape: Option<char>) -> Outcomes {
    let Some((prefix, only_prefix)) = literal_prefix(pattern, escape) else {
        return Outcomes::ANY;
    };
    if !value.has_value {
        return Outcomes::NULL;
    }
    let text = |v: &Option<ScalarValue>| v.as_ref().and_then(|v| v.as_str().map(str::to_owned));
    let (min, max) = (text(&value.min), text(&value.max));
    let starts = |v: &Option<String>| v.as_ref().is_some_and(|v| v.starts_with(&prefix));
    Outcomes {
        yes: max.as_ref().is_none_or(|max| max.as_str() >= prefix.as_str())
            && min
                .as_ref()
                .is_none_or(|min| min.as_str() <= prefix.as_str() || min.starts_with(&prefix)),
        no: !(only_prefix && starts(&min) && starts(&max)),
        null: value.has_null,
    }
}

fn is_nan(value: &ScalarValue) -> bool {
    matches!(value, ScalarValue::Float32(v) if v.is_nan()) || matches!(value, ScalarValue::Float64(v) if v.is_nan())
}

/// Zeros compare equal in SQL, but not in the total order of scalars.
fn without_negative_zero(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float32(v) => ScalarValue::Float32(v + 0.0),
        ScalarValue::Float64(v) => ScalarValue::Float64(v + 0.0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::{Batch, Column};
    use arrow::array::{Array, AsArray};

    /// A small deterministic generator (PCG-like), enough to vary tests.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % n
        }

        fn pick<T: Clone>(&mut self, list: &[T]) -> T {
            list[self.below(list.len())].clone()
        }
    }

    const OPS: [BinaryOp; 8] = [
        BinaryOp::Equal,
        BinaryOp::NotEqual,
        BinaryOp::Less,
        BinaryOp::LessOrEqual,
        BinaryOp::Greater,
        BinaryOp::GreaterOrEqual,
        BinaryOp::IsDistinctFrom,
        BinaryOp::IsNotDistinctFrom,
    ];

    fn domains() -> Vec<(DataType, Vec<ScalarValue>)> {
        let text = ["", "a", "ab", "abc", "abd", "ac", "b", "ba"];
        vec![
            (DataType::Int32, (-3..4).map(ScalarValue::Int32).collect()),
            (
                DataType::Float64,
                [f64::NAN, -1.5, -0.0, 0.0, 1.5, f64::INFINITY]
                    .map(ScalarValue::Float64)
                    .to_vec(),
            ),
            (DataType::Utf8View, text.map(ScalarValue::string).to_vec()),
            (DataType::Date32, (0..5).map(ScalarValue::Date).collect()),
            (
                DataType::Decimal64(5, 2),
                (-2..3).map(|v| ScalarValue::Decimal(v * 50, 5, 2)).collect(),
            ),
            (
                DataType::Boolean,
                vec![ScalarValue::Boolean(false), ScalarValue::Boolean(true)],
            ),
        ]
    }

    fn operand(random: &mut Random, domains: &[(DataType, Vec<ScalarValue>)], column: usize) -> PhysicalExpr {
        let (t, values) = &domains[column];
        match random.below(4) {
            0 => PhysicalExpr::Literal(random.pick(values), t.clone()),
            1 if random.below(3) == 0 => PhysicalExpr::Literal(ScalarValue::Null, t.clone()),
            _ => PhysicalExpr::Column {
                index: column,
                data_type: t.clone(),
            },
        }
    }

    fn widened(expr: PhysicalExpr) -> PhysicalExpr {
        let data_type = match expr.data_type() {
            DataType::Int32 => DataType::Decimal128(20, 1),
            DataType::Float64 => return expr,
            DataType::Date32 => TIMESTAMP,
            DataType::Decimal64(..) => DataType::Int64,
            _ => return expr,
        };
        PhysicalExpr::Cast {
            expr: expr.into(),
            data_type,
            safe: false,
        }
    }

    fn predicate(random: &mut Random, domains: &[(DataType, Vec<ScalarValue>)], depth: usize) -> PhysicalExpr {
        let column = random.below(domains.len());
        let parts = |random: &mut Random| (0..2).map(|_| predicate(random, domains, depth - 1)).collect();
        match random.below(if depth == 0 { 5 } else { 8 }) {
            0 | 1 => {
                let (mut left, mut right) = (operand(random, domains, column), operand(random, domains, column));
                if random.below(3) == 0 {
                    (left, right) = (widened(left), widened(right));
                }
                PhysicalExpr::Binary {
                    op: random.pick(&OPS),
                    left: left.into(),
                    right: right.into(),
                    data_type: DataType::Boolean,
                }
            }
            2 => PhysicalExpr::IsNull {
                expr: operand(random, domains, column).into(),
                negated: random.below(2) == 0,
            },
            3 => {
                let (t, values) = &domains[column];
                let item = |random: &mut Random| {
                    let null = random.below(6) == 0;
                    PhysicalExpr::Literal(if null { ScalarValue::Null } else { random.pick(values) }, t.clone())
                };
                PhysicalExpr::InList {
                    expr: operand(random, domains, column).into(),
                    list: (0..1 + random.below(3)).map(|_| item(random)).collect(),
                    negated: random.below(2) == 0,
                }
            }
            4 => PhysicalExpr::Like {
                expr: operand(random, domains, 2).into(),
                pattern: PhysicalExpr::Literal(
                    ScalarValue::string(random.pick(&["ab%", "a_", "%b", "b", "%", "ab%d"])),
                    DataType::Utf8View,
                )
                .into(),
                escape: None,
                negated: random.below(2) == 0,
                case_insensitive: false,
            },
            5 => PhysicalExpr::And(parts(random)),
            6 => PhysicalExpr::Or(parts(random)),
            _ => PhysicalExpr::Not(predicate(random, domains, depth - 1).into()),
        }
    }

    fn rows(random: &mut Random, t: &DataType, values: &[ScalarValue], count: usize) -> (Column, Option<Bounds>) {
        let few: Vec<ScalarValue> = (0..1 + random.below(2)).map(|_| random.pick(values)).collect();
        let null_share = random.pick(&[1, 4, 1000]);
        let drawn: Vec<ScalarValue> = (0..count)
            .map(|_| {
                if random.below(null_share) == 0 {
                    ScalarValue::Null
                } else {
                    random.pick(&few)
                }
            })
            .collect();
        let arrays: Vec<_> = drawn.iter().map(|v| v.to_array(t, 1).unwrap()).collect();
        let views: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
        let known = drawn.iter().filter(|v| !v.is_null() && !is_nan(v));
        let extreme = |wanted: Ordering| {
            known
                .clone()
                .cloned()
                .reduce(|a, b| if b.partial_compare(&a) == Some(wanted) { b } else { a })
        };
        let nulls = drawn.iter().filter(|v| v.is_null()).count() as u64;
        let bounds = Bounds {
            min: extreme(Ordering::Less).filter(|_| random.below(8) > 0),
            max: extreme(Ordering::Greater).filter(|_| random.below(8) > 0),
            nulls: (random.below(8) > 0).then_some(nulls),
            rows: Some(count as u64),
        };
        let array = arrow::compute::concat(&views).unwrap();
        (Column::Array(array), (random.below(10) > 0).then_some(bounds))
    }

    #[test]
    fn verdicts_agree_with_rows() {
        let (domains, mut random) = (domains(), Random(7));
        let mut decided = 0;
        for _ in 0..4_000 {
            let count = 1 + random.below(4);
            let (columns, bounds): (Vec<_>, Vec<_>) = domains
                .iter()
                .map(|(t, values)| rows(&mut random, t, values, count))
                .unzip();
            let expr = predicate(&mut random, &domains, 2);
            let found = verdict(&expr, &|i| bounds[i].clone());
            let truth = expr.evaluate(&Batch::new(columns, count)).unwrap().to_array().unwrap();
            let yes = truth.as_boolean().iter().filter(|v| *v == Some(true)).count();
            match found {
                Verdict::Never => assert_eq!(yes, 0, "{expr:?} {bounds:?}"),
                Verdict::Always => assert_eq!(yes, count, "{expr:?} {bounds:?}"),
                Verdict::Maybe => continue,
            }
            decided += 1;
        }
        assert!(decided > 1_000, "only {decided} predicates were decided");
    }

    #[test]
    fn common_filters_prune() {
        let dates = |min, max| Bounds {
            min: Some(ScalarValue::Date(min)),
            max: Some(ScalarValue::Date(max)),
            nulls: Some(0),
            rows: Some(10),
        };
        let compare = |op, value| PhysicalExpr::Binary {
            op,
            left: PhysicalExpr::Column {
                index: 0,
                data_type: DataType::Date32,
            }
            .into(),
            right: PhysicalExpr::Literal(ScalarValue::Date(value), DataType::Date32).into(),
            data_type: DataType::Boolean,
        };
        let between = PhysicalExpr::And(vec![compare(BinaryOp::GreaterOrEqual, 10), compare(BinaryOp::Less, 20)]);
        let judge = |min, max| verdict(&between, &|_| Some(dates(min, max)));
        assert_eq!(judge(0, 9), Verdict::Never);
        assert_eq!(judge(20, 30), Verdict::Never);
        assert_eq!(judge(10, 19), Verdict::Always);
        assert_eq!(judge(5, 15), Verdict::Maybe);
        assert_eq!(verdict(&between, &|_| None), Verdict::Maybe);
    }
}
