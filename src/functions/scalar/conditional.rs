//! Choosing among values. `if`, `coalesce`, `nullif` and their kin are bound as CASE, so that branches not taken are not
//! evaluated; these functions evaluate all their arguments.

use super::typing::{BOOLEAN, DOUBLE, STRING, all_same, exactly, same_number};
use super::{Arguments, ScalarFunction, Signature, function};
use crate::error::{Error, Result};
use crate::types::{DataType, type_name};
use crate::vector::Column;
use arrow::array::*;
use arrow::compute::kernels::cmp::{gt, lt};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_not_null, is_null, nullif};
use arrow::datatypes::Float64Type;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[ScalarFunction] = &[
    function(
        "greatest",
        |t, _| compared_type(t),
        |a| extreme(a, |x, y| Ok(gt(x, y)?)),
    )
    .doc(
        "greatest(x, y, ...)",
        "The greatest of the values; NULL when one is NULL.",
        "SELECT greatest(1, 3, 2)",
        "3",
    ),
    function("least", |t, _| compared_type(t), |a| extreme(a, |x, y| Ok(lt(x, y)?))).doc(
        "least(x, y, ...)",
        "The least of the values; NULL when one is NULL.",
        "SELECT least(1, 3, 2)",
        "1",
    ),
    function(
        "nanvl",
        |t, _| exactly(t, &[DOUBLE, DOUBLE], DOUBLE),
        |a| a.map2::<Float64Type, Float64Type, Float64Type>(|x, y| if x.is_nan() { y } else { x }),
    )
    .doc(
        "nanvl(x, y)",
        "x, or y when x is not a number.",
        "SELECT nanvl(nan(), 1)",
        "1.0",
    ),
    function(
        "isnull",
        |t, _| any_type(t, BOOLEAN),
        |a| null_test(a, |array| Ok(is_null(array)?)),
    )
    .doc("isnull(x)", "Whether x is NULL.", "SELECT isnull(NULL)", "true"),
    function(
        "isnotnull",
        |t, _| any_type(t, BOOLEAN),
        |a| null_test(a, |array| Ok(is_not_null(array)?)),
    )
    .doc(
        "isnotnull(x)",
        "Whether x is not NULL.",
        "SELECT isnotnull(NULL)",
        "false",
    ),
    function("nullifzero", |t, _| same_number(t), nullifzero).doc(
        "nullifzero(x)",
        "x, or NULL when x is zero.",
        "SELECT nullifzero(5)",
        "5",
    ),
    function("zeroifnull", |t, _| same_number(t), zeroifnull).doc(
        "zeroifnull(x)",
        "x, or zero when x is NULL.",
        "SELECT zeroifnull(CAST(NULL AS bigint))",
        "0",
    ),
    function(
        "typeof",
        |t, _| any_type(t, STRING),
        |a| {
            let name = type_name(a.column(0)?.data_type());
            Ok(a.constant(Arc::new(StringViewArray::from(vec![name]))))
        },
    )
    .doc(
        "typeof(x)",
        "The name of the type of x.",
        "SELECT typeof(1.5)",
        "decimal(2,1)",
    ),
    function("assert_true", |t, _| assert_type(t), assert_true)
        .volatile()
        .doc(
            "assert_true(condition[, message])",
            "NULL; an error when the condition is not true.",
            "SELECT assert_true(1 < 2)",
            "NULL",
        ),
    function("raise_error", |t, _| exactly(t, &[STRING], DataType::Null), raise_error)
        .aliases(&["fail"])
        .volatile()
        .doc(
            "raise_error(message)",
            "Fails with the message.",
            "SELECT try(raise_error('no'))",
            "NULL",
        ),
];

/// At least one argument, all of one type that has an order.
fn compared_type(found: &[DataType]) -> Option<Signature> {
    all_same(found, |t| !t.is_nested()).filter(|_| !found.is_empty())
}

fn any_type(found: &[DataType], result: DataType) -> Option<Signature> {
    (found.len() == 1).then(|| Signature {
        arguments: found.to_vec(),
        result,
    })
}

fn assert_type(found: &[DataType]) -> Option<Signature> {
    exactly(found, &[BOOLEAN], DataType::Null).or_else(|| exactly(found, &[BOOLEAN, STRING], DataType::Null))
}

fn extreme(a: &Arguments, better: fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray>) -> Result<Column> {
    let rows = a.work();
    let mut arrays = a.columns.iter().map(|column| column.slice(0, rows).to_array());
    let first = arrays
        .next()
        .ok_or_else(|| Error::internal("an extreme of no arguments"))??;
    if first.data_type() == &DataType::Null {
        return Ok(a.finish(first));
    }
    let best = arrays.try_fold(first, |best, next| -> Result<ArrayRef> {
        let next = next?;
        Ok(zip(&better(&next, &best)?, &next, &best)?)
    })?;
    Ok(a.finish(match a.nulls() {
        None => best,
        Some(nulls) => nullif(&best, &BooleanArray::new(!nulls.inner(), None))?,
    }))
}

fn null_test(a: &Arguments, test: fn(&dyn Array) -> Result<BooleanArray>) -> Result<Column> {
    let array = a.column(0)?.slice(0, a.work()).to_array()?;
    Ok(a.finish(Arc::new(test(array.as_ref())?)))
}

/// Zero in the type of the result.
fn zero(a: &Arguments) -> Result<ArrayRef> {
    Ok(cast(&Int32Array::from(vec![0]), a.result_type)?)
}

fn nullifzero(a: &Arguments) -> Result<Column> {
    let array = a.column(0)?.slice(0, a.work()).to_array()?;
    let zeros = arrow::compute::kernels::cmp::eq(&array, &Scalar::new(zero(a)?))?;
    Ok(a.finish(nullif(&array, &zeros)?))
}

fn zeroifnull(a: &Arguments) -> Result<Column> {
    let array = a.column(0)?.slice(0, a.work()).to_array()?;
    Ok(a.finish(zip(&is_null(&array)?, &Scalar::new(zero(a)?), &array)?))
}

fn assert_true(a: &Arguments) -> Result<Column> {
    let conditions = a.read::<BooleanArray>(0)?;
    for row in 0..a.work() {
        if conditions.is_null(row) || !conditions.get(row) {
            let message = match a.count() {
                1 => "an assertion is not true".to_string(),
                _ => a.strings_of(1)?.get(row).to_string(),
            };
            return Err(Error::execution(message));
        }
    }
    Ok(Column::Array(new_null_array(&DataType::Null, a.rows)))
}

fn raise_error(a: &Arguments) -> Result<Column> {
    match a.rows {
        0 => Ok(Column::Array(new_null_array(&DataType::Null, 0))),
        _ => {
            let messages = a.strings_of(0)?;
            let message = if messages.is_null(0) {
                "raise_error(NULL)"
            } else {
                messages.get(0)
            };
            Err(Error::execution(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, error, text};
    use crate::types::ScalarValue::{Boolean, Decimal, Float64, Int32, Int64, Null};

    #[test]
    fn extremes_are_null_with_null() {
        assert_eq!(call("greatest", &[Int32(1), Int64(3), Int32(2)]), Int64(3));
        assert_eq!(call("greatest", &[Int32(1), Null, Int32(3)]), Null);
        assert_eq!(call("least", &[text("b"), text("a")]), text("a"));
        assert_eq!(call("least", &[Decimal(15, 2, 1), Int32(2)]), Decimal(15, 11, 1));
        assert!(error("greatest", &[text("b"), Int32(1)]).contains("greatest(varchar, integer)"));
    }

    #[test]
    fn nulls_and_zeros() {
        assert_eq!(call("isnull", &[Null]), Boolean(true));
        assert_eq!(call("isnotnull", &[Int32(1)]), Boolean(true));
        assert_eq!(call("nullifzero", &[Int32(0)]), Null);
        assert_eq!(call("zeroifnull", &[Null]), Float64(0.0));
        assert_eq!(call("typeof", &[Decimal(15, 2, 1)]), text("decimal(2,1)"));
        assert!(error("raise_error", &[text("no such luck")]).contains("no such luck"));
    }
}
