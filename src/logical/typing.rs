//! Typed construction of expressions: operators, CASE, IN, LIKE, function calls. SQL and DataFrame both make their
//! expressions here, so that the same text means the same types. Rules are Trino's: numbers widen, text never turns into
//! a number by itself; a *literal* text beside a date or timestamp is read as one.

use super::expr::{AggregateCall, Expr, SortKey};
use crate::error::{Error, Result};
use crate::expression::BinaryOp;
use crate::functions::aggregate::AggregateFunction;
use crate::functions::scalar::ScalarFunction;
use crate::functions::{self, wrong_arguments};
use crate::types::{
    DataType, DecimalType, INTERVAL_DAY, INTERVAL_MONTH, ScalarValue, Schema, TIMESTAMP, common_type, decimal_result,
    decimal_type, is_decimal, is_integer, is_numeric, is_string, parse_literal, type_name,
};
use arrow::datatypes::TimeUnit;

impl Expr {
    /// `self` as a value of `data_type`, where a coercion is allowed. Literals are converted in place as far as that is
    /// exact and cheap, so that lists of a hundred thousand constants stay constants.
    pub fn coerce_to(self, data_type: &DataType) -> Result<Self> {
        match self {
            Expr::Literal(value, from) if from != *data_type => match coerce_literal(&value, data_type) {
                Some(value) => Ok(Expr::Literal(value, data_type.clone())),
                None => Expr::Literal(value, from).cast_to(data_type),
            },
            other => other.cast_to(data_type),
        }
    }

    /// `CAST(self AS data_type)`; `safe` is TRY_CAST.
    pub fn cast_explicitly(self, data_type: &DataType, safe: bool) -> Result<Self> {
        if !safe {
            return self.cast_to(data_type);
        }
        Ok(match self.cast_to(data_type)? {
            Expr::Cast { expr, data_type, .. } => Expr::Cast {
                expr,
                data_type,
                safe: true,
            },
            unchanged => unchanged,
        })
    }

    /// `left op right` for `+ - * / %`.
    ///
    /// # Errors
    /// When the operator is not defined for the types.
    pub fn arithmetic(op: BinaryOp, left: Expr, right: Expr) -> Result<Expr> {
        let (l, r) = (left.data_type(), right.data_type());
        if is_number_or_null(&l) && is_number_or_null(&r) {
            return number_arithmetic(op, left, right, &l, &r);
        }
        temporal_arithmetic(op, left, right, &l, &r)
    }

    /// `left op right` for comparisons, both sides coerced to their common type.
    ///
    /// # Errors
    /// When the types do not compare: `cannot compare varchar with integer`.
    pub fn comparison(op: BinaryOp, left: Expr, right: Expr) -> Result<Expr> {
        let t = match comparable_type(&left, &right)? {
            DataType::Null => DataType::Boolean,
            t => t,
        };
        Ok(Expr::compare(op, left.coerce_to(&t)?, right.coerce_to(&t)?))
    }

    /// `left || right` for text and binary; arrays are concatenated by the function `concat`.
    pub fn concatenation(left: Expr, right: Expr) -> Result<Expr> {
        let (l, r) = (left.data_type(), right.data_type());
        if matches!(l, DataType::List(_)) || matches!(r, DataType::List(_)) {
            return Expr::call("concat", vec![left, right]);
        }
        let data_type = match common_type(&l, &r) {
            Some(DataType::Null) => DataType::Utf8View,
            Some(t @ (DataType::Utf8View | DataType::BinaryView)) => t,
            _ => return Err(operator_error("||", &l, &r).with_hint("cast the other side to varchar")),
        };
        Ok(Expr::Binary {
            op: BinaryOp::Concat,
            left: Box::new(left.coerce_to(&data_type)?),
            right: Box::new(right.coerce_to(&data_type)?),
            data_type,
        })
    }

    /// `-self`.
    pub fn negation(self) -> Result<Expr> {
        let t = self.data_type();
        Ok(match self {
            // The smallest integers have no positive twin, so a literal is negated before its type is looked at again.
            Expr::Literal(ScalarValue::Decimal(v, _, 0), _) if v == 1 << 63 => {
                Expr::literal(ScalarValue::Int64(i64::MIN))
            }
            Expr::Literal(ScalarValue::Int64(v), _) if v == 1 << 31 => Expr::literal(ScalarValue::Int32(i32::MIN)),
            Expr::Literal(ref value, _) => match negate_literal(value) {
                Some(negated) => Expr::Literal(negated, t),
                None => Expr::Negate(Box::new(self)),
            },
            other if is_number_or_null(&t) || is_interval(&t) => Expr::Negate(Box::new(other)),
            _ => return Err(Error::plan(format!("cannot negate {}", type_name(&t)))),
        })
    }

    /// `NOT self`; an error when it is no condition, so this cannot be the operator `!`.
    #[allow(clippy::should_implement_trait)]
    pub fn not(self) -> Result<Expr> {
        Ok(Expr::Not(Box::new(self.to_boolean("NOT")?)))
    }

    /// `self IS NOT NULL`.
    pub fn is_present(self) -> Expr {
        Expr::IsNull {
            expr: Box::new(self),
            negated: true,
        }
    }

    /// `self` as a condition.
    ///
    /// # Errors
    /// When it is not boolean; `place` is named.
    pub fn to_boolean(self, place: &str) -> Result<Expr> {
        match self.data_type() {
            DataType::Boolean => Ok(self),
            DataType::Null => self.cast_to(&DataType::Boolean),
            other => Err(Error::plan(format!(
                "{place} needs a boolean, found {}",
                type_name(&other)
            ))),
        }
    }

    /// `CASE WHEN condition THEN value … ELSE otherwise END` with the common type of the values.
    pub fn case(branches: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Result<Expr> {
        let values: Vec<&Expr> = branches.iter().map(|(_, v)| v).chain(&otherwise).collect();
        let data_type = unified_type(&values, "CASE")?;
        Ok(Expr::Case {
            branches: branches
                .into_iter()
                .map(|(c, v)| Ok((c.to_boolean("WHEN")?, v.coerce_to(&data_type)?)))
                .collect::<Result<_>>()?,
            otherwise: otherwise
                .map(|e| Ok::<_, Error>(Box::new(e.coerce_to(&data_type)?)))
                .transpose()?,
            data_type,
        })
    }

    /// `self [NOT] IN (list)`.
    pub fn in_list(self, list: Vec<Expr>, negated: bool) -> Result<Expr> {
        let mut t = self.data_type();
        for e in &list {
            let found = e.data_type();
            if found == t || is_literal_text_for(e, &t) {
                continue;
            }
            t = common_type(&t, &found).ok_or_else(|| cannot_compare(&t, &found))?;
        }
        Ok(Expr::InList {
            expr: Box::new(self.coerce_to(&t)?),
            list: list.into_iter().map(|e| e.coerce_to(&t)).collect::<Result<_>>()?,
            negated,
        })
    }

    /// `self [NOT] LIKE pattern [ESCAPE escape]`, or ILIKE.
    pub fn like(self, pattern: Expr, escape: Option<char>, negated: bool, case_insensitive: bool) -> Result<Expr> {
        for side in [&self, &pattern] {
            let t = side.data_type();
            if !is_string(&t) && t != DataType::Null {
                return Err(Error::plan(format!("LIKE needs varchar, found {}", type_name(&t))));
            }
        }
        Ok(Expr::Like {
            expr: Box::new(self.cast_to(&DataType::Utf8View)?),
            pattern: Box::new(pattern.cast_to(&DataType::Utf8View)?),
            escape,
            negated,
            case_insensitive,
        })
    }

    /// A call of the scalar function called `name`, arguments coerced to the overload that fits.
    ///
    /// # Errors
    /// When there is no such function (with the nearest name) or no overload fits.
    pub fn call(name: &str, arguments: Vec<Expr>) -> Result<Expr> {
        match functions::scalar::find(name) {
            Some(function) => Expr::call_function(function, arguments),
            None => Err(unknown_function(name)),
        }
    }

    /// A call of a scalar function, arguments coerced to the overload that fits.
    pub fn call_function(function: &'static ScalarFunction, arguments: Vec<Expr>) -> Result<Expr> {
        let types: Vec<DataType> = arguments.iter().map(Expr::data_type).collect();
        let signature = function.signature(&types, &constants(&arguments))?;
        if signature.arguments.len() != arguments.len() {
            return Err(wrong_arguments(function.name, function.doc.signature, &types));
        }
        Ok(Expr::Function {
            function,
            arguments: coerce_all(arguments, &signature.arguments)?,
            data_type: signature.result,
        })
    }

    /// Field `name` of a row, without regard to case.
    pub fn field(self, name: &str) -> Result<Expr> {
        let t = self.data_type();
        let DataType::Struct(fields) = &t else {
            return Err(Error::plan(format!("{} has no field \"{name}\"", type_name(&t))));
        };
        let Some(index) = fields.iter().position(|f| f.name().eq_ignore_ascii_case(name)) else {
            return Err(Error::plan(format!("row has no field \"{name}\""))
                .with_nearest(name, fields.iter().map(|f| f.name().as_str()))
                .with_hint(format!("it is {}", type_name(&t))));
        };
        let data_type = fields[index].data_type().clone();
        Ok(Expr::FieldAccess {
            expr: Box::new(self),
            index,
            data_type,
        })
    }

    /// The value of an expression without columns and volatile functions; `None` when it has some, or fails.
    pub fn constant_value(&self) -> Option<ScalarValue> {
        const MAX_NODES: usize = 1000;
        match self {
            Expr::Literal(value, _) => Some(value.clone()),
            Expr::Column(_) | Expr::ScalarSubquery(_) | Expr::Exists { .. } | Expr::AnySubquery { .. } => None,
            _ if self.node_count(MAX_NODES) == MAX_NODES => None,
            other => other.lower(&Schema::default()).ok()?.fold(),
        }
    }

    /// The number of nodes, counted up to `limit`.
    pub fn node_count(&self, limit: usize) -> usize {
        let mut pending = vec![self];
        let mut count = 0;
        while let Some(e) = pending.pop() {
            count += 1;
            if count >= limit {
                break;
            }
            pending.extend(e.children());
        }
        count
    }
}

impl AggregateCall {
    /// A call of an aggregate, arguments coerced to the overload that fits.
    pub fn new(
        function: &'static AggregateFunction,
        arguments: Vec<Expr>,
        distinct: bool,
        filter: Option<Expr>,
        order_by: Vec<SortKey>,
    ) -> Result<Self> {
        let types: Vec<DataType> = arguments.iter().map(Expr::data_type).collect();
        let signature = (function.signature)(&types, &constants(&arguments))?;
        if signature.arguments.len() != arguments.len() {
            return Err(wrong_arguments(function.name, function.doc.signature, &types));
        }
        Ok(Self {
            function,
            arguments: coerce_all(arguments, &signature.arguments)?,
            distinct: distinct && !function.ignores_duplicates,
            filter: filter.map(|f| f.to_boolean("FILTER")).transpose()?,
            order_by: if function.order_sensitive { order_by } else { vec![] },
            signature,
        })
    }
}

/// The values of those arguments that are constant, for overloads that depend on values.
pub fn constants(arguments: &[Expr]) -> Vec<Option<ScalarValue>> {
    arguments.iter().map(Expr::constant_value).collect()
}

/// The error for a function that no list has.
pub fn unknown_function(name: &str) -> Error {
    let error = Error::plan(format!("function \"{name}\" does not exist"));
    match functions::all_names() {
        Ok(names) => error.with_nearest(name, names.iter().map(|(n, _)| *n)),
        Err(_) => error,
    }
}

fn coerce_all(arguments: Vec<Expr>, types: &[DataType]) -> Result<Vec<Expr>> {
    arguments.into_iter().zip(types).map(|(e, t)| e.coerce_to(t)).collect()
}

fn is_number_or_null(t: &DataType) -> bool {
    is_numeric(t) || *t == DataType::Null
}

fn is_interval(t: &DataType) -> bool {
    *t == INTERVAL_DAY || *t == INTERVAL_MONTH
}

fn is_temporal(t: &DataType) -> bool {
    matches!(t, DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_))
}

fn operator_error(op: &str, left: &DataType, right: &DataType) -> Error {
    Error::plan(format!(
        "operator {op} is not defined for {} and {}",
        type_name(left),
        type_name(right)
    ))
}

fn cannot_compare(left: &DataType, right: &DataType) -> Error {
    let error = Error::plan(format!("cannot compare {} with {}", type_name(left), type_name(right)));
    match is_string(left) != is_string(right) {
        true => error.with_hint("cast one side: text is not turned into another type by itself"),
        false => error,
    }
}

fn number_arithmetic(op: BinaryOp, left: Expr, right: Expr, l: &DataType, r: &DataType) -> Result<Expr> {
    let binary = |left: Expr, right: Expr, data_type: DataType| {
        Ok(Expr::Binary {
            op,
            left: Box::new(left),
            right: Box::new(right),
            data_type,
        })
    };
    // NULL takes the type of the other side.
    let (l, r) = match (l, r) {
        (DataType::Null, DataType::Null) => (DataType::Int32, DataType::Int32),
        (DataType::Null, t) | (t, DataType::Null) => (t.clone(), t.clone()),
        (l, r) => (l.clone(), r.clone()),
    };
    let decimal = is_decimal(&l) || is_decimal(&r);
    if decimal && let (Some(a), Some(b)) = (DecimalType::of(&l), DecimalType::of(&r)) {
        let symbol = op.symbol().chars().next().unwrap_or('?');
        let result = decimal_result(symbol, a, b)?;
        return binary(
            left.coerce_to(&decimal_type(a.precision, a.scale))?,
            right.coerce_to(&decimal_type(b.precision, b.scale))?,
            decimal_type(result.precision, result.scale),
        );
    }
    let common = common_type(&l, &r).ok_or_else(|| operator_error(op.symbol(), &l, &r))?;
    binary(left.coerce_to(&common)?, right.coerce_to(&common)?, common)
}

/// Dates, times and intervals: `date ± interval`, `timestamp - timestamp`, `interval * number`, …
fn temporal_arithmetic(op: BinaryOp, left: Expr, right: Expr, l: &DataType, r: &DataType) -> Result<Expr> {
    use BinaryOp::{Add, Divide, Multiply, Subtract};
    let binary = |left: Expr, right: Expr, data_type: DataType| {
        Ok(Expr::Binary {
            op,
            left: Box::new(left),
            right: Box::new(right),
            data_type,
        })
    };
    match (op, l, r) {
        (Add, i, t) if is_interval(i) && is_temporal(t) => binary(right, left, t.clone()),
        (Add | Subtract, t, i) if is_temporal(t) && is_interval(i) => {
            if matches!(t, DataType::Time64(_)) && *i == INTERVAL_MONTH {
                return Err(operator_error(op.symbol(), l, r));
            }
            binary(left, right, t.clone())
        }
        (Add | Subtract, a, b) if is_interval(a) && a == b => binary(left, right, a.clone()),
        (Subtract, DataType::Time64(_), DataType::Time64(_)) => binary(left, right, INTERVAL_DAY),
        (Subtract, a, b) if is_temporal(a) && is_temporal(b) => {
            let common = common_type(a, b).ok_or_else(|| operator_error("-", l, r))?;
            binary(left.coerce_to(&common)?, right.coerce_to(&common)?, INTERVAL_DAY)
        }
        (Multiply, n, i) if is_numeric(n) && is_interval(i) => {
            let t = interval_factor(n);
            binary(right, left.coerce_to(&t)?, i.clone())
        }
        (Multiply | Divide, i, n) if is_interval(i) && is_numeric(n) => {
            let t = interval_factor(n);
            binary(left, right.coerce_to(&t)?, i.clone())
        }
        (Add | Subtract, t, DataType::Null) | (Add, DataType::Null, t) if is_temporal(t) || is_interval(t) => {
            Ok(Expr::null(t.clone()))
        }
        (Add | Subtract, DataType::Date32, n) if is_numeric(n) => {
            Err(operator_error(op.symbol(), l, r).with_hint("add days with INTERVAL '1' DAY"))
        }
        _ => Err(operator_error(op.symbol(), l, r)),
    }
}

fn interval_factor(t: &DataType) -> DataType {
    match is_integer(t) {
        true => DataType::Int64,
        false => DataType::Float64,
    }
}

/// Whether `e` is a literal text that stands for a date or time beside a value of type `t`.
fn is_literal_text_for(e: &Expr, t: &DataType) -> bool {
    is_temporal(t) && matches!(e, Expr::Literal(ScalarValue::String(_), _))
}

/// The type in which two expressions are compared.
pub fn comparable_type(left: &Expr, right: &Expr) -> Result<DataType> {
    let (l, r) = (left.data_type(), right.data_type());
    if is_literal_text_for(right, &l) {
        return Ok(literal_type(right, l));
    }
    if is_literal_text_for(left, &r) {
        return Ok(literal_type(left, r));
    }
    common_type(&l, &r).ok_or_else(|| cannot_compare(&l, &r))
}

/// A text with a time of day beside a date makes a comparison of timestamps.
fn literal_type(literal: &Expr, t: DataType) -> DataType {
    match (literal, &t) {
        (Expr::Literal(ScalarValue::String(s), _), DataType::Date32)
            if parse_literal(s, &t).is_none() && parse_literal(s, &TIMESTAMP).is_some() =>
        {
            TIMESTAMP
        }
        _ => t,
    }
}

/// The common type of alternatives such as the branches of CASE.
pub fn unified_type(values: &[&Expr], what: &str) -> Result<DataType> {
    let mut t = DataType::Null;
    for e in values {
        let found = e.data_type();
        t = common_type(&t, &found).ok_or_else(|| {
            Error::plan(format!(
                "{what} gives {} in one place and {} in another",
                type_name(&t),
                type_name(&found)
            ))
        })?;
    }
    Ok(t)
}

fn negate_literal(value: &ScalarValue) -> Option<ScalarValue> {
    Some(match value {
        ScalarValue::Int8(v) => ScalarValue::Int8(v.checked_neg()?),
        ScalarValue::Int16(v) => ScalarValue::Int16(v.checked_neg()?),
        ScalarValue::Int32(v) => ScalarValue::Int32(v.checked_neg()?),
        ScalarValue::Int64(v) => ScalarValue::Int64(v.checked_neg()?),
        ScalarValue::Float32(v) => ScalarValue::Float32(-v),
        ScalarValue::Float64(v) => ScalarValue::Float64(-v),
        ScalarValue::Decimal(v, p, s) => ScalarValue::Decimal(v.checked_neg()?, *p, *s),
        ScalarValue::IntervalMonths(v) => ScalarValue::IntervalMonths(v.checked_neg()?),
        ScalarValue::IntervalMicros(v) => ScalarValue::IntervalMicros(v.checked_neg()?),
        _ => return None,
    })
}

/// The literal as a value of another type when that is exact; `None` leaves it to a cast at run time.
fn coerce_literal(value: &ScalarValue, to: &DataType) -> Option<ScalarValue> {
    use ScalarValue as V;
    if let V::Null = value {
        return Some(V::Null);
    }
    Some(match (value, to) {
        (V::String(s), t) if is_temporal(t) => return parse_literal(s, t),
        (V::Date(days), DataType::Timestamp(TimeUnit::Microsecond, None)) => {
            V::Timestamp((*days as i64).checked_mul(86_400_000_000)?, None)
        }
        (V::Decimal(v, p, s), DataType::Decimal64(tp, ts) | DataType::Decimal128(tp, ts)) if ts >= s => {
            let widened = v.checked_mul(10i128.checked_pow((ts - s) as u32)?)?;
            let fits = *p as i32 - *s as i32 <= *tp as i32 - *ts as i32
                || widened.unsigned_abs() < 10u128.checked_pow(*tp as u32)?;
            return fits.then_some(V::Decimal(widened, *tp, *ts));
        }
        (V::Decimal(v, _, s), DataType::Float64) => {
            // Through text, so that 0.1 becomes the double nearest to 0.1.
            V::Float64(crate::types::decimal_text(*v, *s).parse().ok()?)
        }
        (v, t) => {
            let n = v.as_integer()?;
            match t {
                DataType::Int16 => V::Int16(i16::try_from(n).ok()?),
                DataType::Int32 => V::Int32(i32::try_from(n).ok()?),
                DataType::Int64 => V::Int64(n),
                DataType::Float64 if n.unsigned_abs() <= 1 << 53 => V::Float64(n as f64),
                DataType::Float32 if n.unsigned_abs() <= 1 << 24 => V::Float32(n as f32),
                DataType::Decimal64(p, s) | DataType::Decimal128(p, s) if *s >= 0 => {
                    let scaled = (n as i128).checked_mul(10i128.checked_pow(*s as u32)?)?;
                    if scaled.unsigned_abs() >= 10u128.checked_pow(*p as u32)? {
                        return None;
                    }
                    V::Decimal(scaled, *p, *s)
                }
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(v: i32) -> Expr {
        Expr::literal(ScalarValue::Int32(v))
    }

    fn text(s: &str) -> Expr {
        Expr::literal(ScalarValue::string(s))
    }

    fn column(name: &str, t: DataType) -> Expr {
        Expr::Column(crate::types::Field::new(name, t, true))
    }

    #[test]
    fn integers_meet_decimals_in_decimals() {
        let e = Expr::arithmetic(BinaryOp::Subtract, int(1), column("l_discount", decimal_type(15, 2))).unwrap();
        assert_eq!(e.data_type(), decimal_type(16, 2));
        assert_eq!(e.to_string(), "1 - l_discount");
    }

    #[test]
    fn a_literal_text_beside_a_date_is_a_date() {
        let e = Expr::comparison(BinaryOp::Less, column("d", DataType::Date32), text("1995-03-15")).unwrap();
        assert_eq!(e.to_string(), "d < DATE '1995-03-15'");
        let e = Expr::comparison(
            BinaryOp::Less,
            column("d", DataType::Date32),
            column("s", DataType::Utf8View),
        );
        assert_eq!(e.unwrap_err().message(), "cannot compare date with varchar");
    }

    #[test]
    fn text_and_numbers_do_not_mix() {
        let error = Expr::comparison(BinaryOp::Equal, text("1"), int(1)).unwrap_err();
        assert_eq!(error.message(), "cannot compare varchar with integer");
        assert!(Expr::arithmetic(BinaryOp::Add, text("1"), int(1)).is_err());
    }

    #[test]
    fn dates_move_by_intervals_only() {
        let d = || column("d", DataType::Date32);
        let day = Expr::literal(ScalarValue::IntervalMicros(86_400_000_000));
        let e = Expr::arithmetic(BinaryOp::Add, day, d()).unwrap();
        assert_eq!(e.to_string(), "d + INTERVAL '1' DAY");
        assert!(Expr::arithmetic(BinaryOp::Add, d(), int(1)).is_err());
        assert_eq!(
            Expr::arithmetic(BinaryOp::Subtract, d(), d()).unwrap().data_type(),
            INTERVAL_DAY
        );
    }
}
