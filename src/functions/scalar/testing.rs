//! Calls functions by name on single values, as a query would.

use super::{Arguments, Properties, find};
use crate::error::Result;
use crate::types::ScalarValue;
use crate::vector::Column;
use arrow::array::Array;

/// The result for constant arguments; the same for arrays of two equal rows.
pub(super) fn call(name: &str, values: &[ScalarValue]) -> ScalarValue {
    let one = run(name, values, 1, true).unwrap_or_else(|e| panic!("{name}: {e}"));
    let function = find(name).unwrap();
    if function.properties == Properties::Pure && !values.is_empty() {
        let two = run(name, values, 2, false).unwrap();
        assert_eq!(two, one, "{name} of arrays and of constants");
        for constant in [true, false] {
            run(name, values, 0, constant).unwrap();
        }
    }
    one
}

/// The text of the error.
pub(super) fn error(name: &str, values: &[ScalarValue]) -> String {
    run(name, values, 1, true).unwrap_err().to_string()
}

fn run(name: &str, values: &[ScalarValue], rows: usize, constant: bool) -> Result<ScalarValue> {
    let function = find(name).unwrap_or_else(|| panic!("no function {name}"));
    let types: Vec<_> = values.iter().map(ScalarValue::data_type).collect();
    let constants: Vec<_> = values.iter().map(|v| Some(v.clone())).collect();
    let signature = function.signature(&types, &constants)?;
    assert_eq!(signature.arguments.len(), values.len(), "{name} keeps its arguments");
    let columns = (values.iter().zip(&types).zip(&signature.arguments))
        .map(|((value, from), to)| {
            let array = arrow::compute::cast(&value.to_array(from, if constant { 1 } else { rows })?, to)?;
            Ok(match constant {
                true => Column::Constant { value: array, rows },
                false => Column::Array(array),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let result = (function.evaluate)(&Arguments {
        columns: &columns,
        rows,
        result_type: &signature.result,
    })?;
    assert_eq!(
        result.data_type(),
        &signature.result,
        "{name} keeps the type it promised"
    );
    assert_eq!(result.len(), rows);
    result.to_array()?.to_data().validate_full()?;
    if rows == 0 {
        return Ok(ScalarValue::Null);
    }
    let first = result.scalar(0)?;
    if function.properties == Properties::Pure {
        assert_eq!(first, result.scalar(rows - 1)?);
    }
    Ok(first)
}

/// Text as a value.
pub(super) fn text(s: &str) -> ScalarValue {
    ScalarValue::string(s)
}
