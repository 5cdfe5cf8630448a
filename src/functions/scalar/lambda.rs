//! Functions that take lambdas: `transform(a, x -> x + 1)`. A lambda is called for many values at once: for the elements of
//! all arrays of a batch, each with the row that it comes from, whose other columns the lambda may use.

mod arrays;
mod maps;
mod reduce;
mod sort;
mod text;

use super::nested::{Nested, Positions};
use super::{Arguments, Documentation};
use crate::error::{Error, Result};
use crate::types::{DataType, type_name};
use crate::vector::Column;
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::UInt32Type;

/// A function whose last arguments are lambdas.
pub struct LambdaFunction {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub doc: Documentation,
    /// Settles the types; `None` when the arguments do not fit. Callers use [`LambdaFunction::signature`].
    pub typing: fn(&[DataType], &mut LambdaTypes) -> Result<Option<LambdaSignature>>,
    pub evaluate: fn(&LambdaArguments) -> Result<Column>,
}

/// The lambdas of a call while their types are settled.
pub struct LambdaTypes<'a> {
    pub count: usize,
    /// Binds a lambda, by its number, to parameters of these types: the type of its value.
    pub bind: &'a mut dyn FnMut(usize, &[DataType]) -> Result<DataType>,
}

/// The types of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LambdaSignature {
    /// What the arguments that are no lambdas are cast to.
    pub arguments: Vec<DataType>,
    /// What the values of the lambdas are cast to.
    pub lambdas: Vec<DataType>,
    pub result: DataType,
}

/// What a function sees when it runs.
pub struct LambdaArguments<'a> {
    /// The arguments that are no lambdas.
    pub values: Arguments<'a>,
    pub lambdas: &'a [&'a dyn Lambda],
}

/// A lambda over the rows of a batch.
pub trait Lambda {
    /// The value for each tuple of parameters; `rows` has the row of each.
    fn call(&self, rows: &[u32], parameters: Vec<ArrayRef>) -> Result<ArrayRef>;
}

/// All functions that take lambdas, group by group.
pub static FUNCTIONS: &[&[LambdaFunction]] = &[
    arrays::FUNCTIONS,
    reduce::FUNCTIONS,
    sort::FUNCTIONS,
    maps::FUNCTIONS,
    text::FUNCTIONS,
];

/// The function of that name (lower case).
pub fn find(name: &str) -> Option<&'static LambdaFunction> {
    FUNCTIONS
        .iter()
        .flat_map(|group| group.iter())
        .find(|f| f.name == name || f.aliases.contains(&name))
}

impl LambdaFunction {
    /// Settles the types of a call with arguments of these types and the lambdas after them.
    ///
    /// # Errors
    /// When no overload fits, with the expected signature as hint, and what is wrong inside of a lambda.
    pub fn signature(&self, types: &[DataType], lambdas: &mut LambdaTypes) -> Result<LambdaSignature> {
        let found = match lambdas.count {
            0 => None,
            _ => (self.typing)(types, lambdas)?,
        };
        match found {
            Some(found) if found.lambdas.len() == lambdas.count => Ok(found),
            _ => {
                let shown = types.iter().map(type_name);
                let shown: Vec<String> = shown.chain((0..lambdas.count).map(|_| "lambda".into())).collect();
                let error = Error::plan(format!("{}({}) is not defined", self.name, shown.join(", ")));
                Err(error.with_hint(format!("expected {}", self.doc.signature)))
            }
        }
    }
}

impl std::fmt::Debug for LambdaFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for LambdaFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The one signature of most functions.
fn signature(arguments: &[DataType], lambda: DataType, result: DataType) -> Result<Option<LambdaSignature>> {
    Ok(Some(LambdaSignature {
        arguments: arguments.to_vec(),
        lambdas: vec![lambda],
        result,
    }))
}

impl LambdaArguments<'_> {
    fn lambda(&self, i: usize) -> Result<&dyn Lambda> {
        let lambda = self.lambdas.get(i).copied();
        lambda.ok_or_else(|| Error::internal(format!("a function was called without lambda {}", i + 1)))
    }
}

/// The elements (or entries) that the rows' arrays (or maps) have, one after the other.
struct Elements {
    /// Where each lies in the child array.
    positions: UInt32Array,
    /// The row of each.
    rows: Vec<u32>,
    offsets: OffsetBuffer<i32>,
    /// Rows whose array is NULL.
    nulls: Option<NullBuffer>,
}

impl Elements {
    fn of(a: &Arguments, lists: &Nested) -> Result<Self> {
        let mut positions = Positions::new();
        let (mut rows, mut offsets) = (vec![], vec![0]);
        let mut valid = NullBufferBuilder::new(a.work());
        for row in 0..a.work() {
            let null = lists.is_null(row);
            let range = if null { 0..0 } else { lists.range(row) };
            rows.resize(rows.len() + range.len(), row as u32);
            super::nested::push_range(&mut positions, range);
            offsets.push(super::arguments::offset_of(rows.len())?);
            valid.append(!null);
        }
        Ok(Self {
            positions: positions.finish(),
            rows,
            offsets: OffsetBuffer::new(offsets.into()),
            nulls: valid.finish(),
        })
    }

    /// The elements themselves, out of the child array.
    fn take(&self, child: &ArrayRef) -> Result<ArrayRef> {
        Ok(take(child, &self.positions, None)?)
    }

    /// The numbers of a row's elements.
    fn range(&self, row: usize) -> std::ops::Range<usize> {
        let bound = |i: usize| self.offsets.get(i).map_or(0, |&offset| offset as usize);
        bound(row)..bound(row + 1)
    }
}

/// A position for each row, NULL for none.
fn optional_positions(positions: impl Iterator<Item = Option<u32>>) -> PrimitiveArray<UInt32Type> {
    positions.collect()
}
