//! Calls of functions that take lambdas.

use super::evaluate::checked_result;
use super::program::Program;
use crate::error::{Error, Result};
use crate::functions::scalar::Arguments;
use crate::functions::scalar::lambda::{Lambda, LambdaArguments, LambdaFunction};
use crate::types::DataType;
use crate::vector::{Batch, Column};
use arrow::array::{ArrayRef, new_empty_array};

/// A lambda's code and the values of the rows around it that it mentions.
struct Closure<'a> {
    body: &'a Program,
    captured: &'a [Column],
}

impl Lambda for Closure<'_> {
    fn call(&self, rows: &[u32], parameters: Vec<ArrayRef>) -> Result<ArrayRef> {
        if rows.is_empty() {
            let root = self.body.roots.first().and_then(|&root| self.body.nodes.get(root));
            return Ok(new_empty_array(root.map_or(&DataType::Null, |node| &node.data_type)));
        }
        let captured = self.captured.iter().map(|column| column.gather(rows));
        let columns = captured.chain(parameters.into_iter().map(|p| Ok(Column::Array(p))));
        let batch = Batch::new(columns.collect::<Result<_>>()?, rows.len());
        let value = self.body.evaluate(&batch)?.pop();
        value
            .ok_or_else(|| Error::internal("a lambda without value"))?
            .to_array()
    }
}

/// Calls the function; once when neither its arguments nor what its lambdas mention differ between rows.
pub(super) fn call(
    function: &'static LambdaFunction,
    mut arguments: Vec<Column>,
    captured: &[Column],
    lambdas: &[Program],
    result_type: &DataType,
    rows: usize,
) -> Result<Column> {
    let constant = |columns: &[Column]| columns.iter().all(Column::is_constant);
    let volatile = lambdas.iter().any(Program::is_volatile);
    // Functions compute one row when they see constants only: it must be the same for all rows.
    let once = constant(&arguments) && constant(captured) && !volatile;
    if !once {
        for argument in &mut arguments {
            *argument = Column::Array(argument.to_array()?);
        }
    }
    let closures: Vec<Closure> = lambdas.iter().map(|body| Closure { body, captured }).collect();
    let lambdas: Vec<&dyn Lambda> = closures.iter().map(|c| c as &dyn Lambda).collect();
    let values = Arguments {
        columns: &arguments,
        rows,
        result_type,
    };
    let result = (function.evaluate)(&LambdaArguments {
        values,
        lambdas: &lambdas,
    })?;
    checked_result(function.name, result, rows, result_type)
}
