//! Operands of kernels with two inputs: plain arrays, or one value that stands for every row.

use super::Column;
use crate::error::{Error, Result};
use crate::types::{DataType, type_name};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray, new_null_array};
use arrow::buffer::NullBuffer;
use std::sync::Arc;

/// A plain array with one element per row, or a single element for all rows.
#[derive(Debug, Clone)]
pub struct Operand {
    pub array: ArrayRef,
    pub constant: bool,
}

impl Operand {
    /// Dictionaries are looked up, constants stay single.
    pub fn new(column: &Column) -> Result<Self> {
        let (array, constant) = column.as_array_or_single()?;
        Ok(Self { array, constant })
    }

    pub fn data_type(&self) -> &DataType {
        self.array.data_type()
    }

    pub fn is_null_constant(&self) -> bool {
        self.constant && (self.array.is_null(0) || *self.data_type() == DataType::Null)
    }

    /// The row of the array that stands for row `i`.
    pub fn row(&self, i: usize) -> usize {
        if self.constant { 0 } else { i }
    }

    pub fn primitive<T: ArrowPrimitiveType>(&self) -> Result<&PrimitiveArray<T>> {
        self.array.as_primitive_opt::<T>().ok_or_else(|| {
            Error::internal(format!(
                "{} where {} was expected",
                type_name(self.data_type()),
                T::DATA_TYPE
            ))
        })
    }

    pub fn lanes<T: ArrowPrimitiveType>(&self) -> Result<Lanes<'_, T::Native>> {
        let array = self.primitive::<T>()?;
        Ok(match array.values().first() {
            Some(&value) if self.constant => Lanes::One(value),
            _ => Lanes::Each(array.values()),
        })
    }

    /// Rows that are NULL, when there is one element per row.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        if self.constant { None } else { self.array.nulls() }
    }
}

/// Arrow's own notion of "array or scalar".
impl Datum for Operand {
    fn get(&self) -> (&dyn Array, bool) {
        (self.array.as_ref(), self.constant)
    }
}

/// Values of an operand, NULL slots included (their values are arbitrary).
#[derive(Debug, Clone, Copy)]
pub enum Lanes<'a, T> {
    Each(&'a [T]),
    One(T),
}

impl<T: Copy> Lanes<'_, T> {
    /// The value for row `i`; `None` beyond the end.
    pub fn get(&self, i: usize) -> Option<T> {
        match self {
            Self::Each(values) => values.get(i).copied(),
            Self::One(value) => Some(*value),
        }
    }
}

/// `f` of each pair of values, without a branch per row on which side is constant.
pub fn map_lanes<A: Copy, B: Copy, R: Clone>(
    left: Lanes<'_, A>,
    right: Lanes<'_, B>,
    rows: usize,
    mut f: impl FnMut(A, B) -> R,
) -> Vec<R> {
    match (left, right) {
        (Lanes::Each(a), Lanes::Each(b)) => a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect(),
        (Lanes::Each(a), Lanes::One(b)) => a.iter().map(|&a| f(a, b)).collect(),
        (Lanes::One(a), Lanes::Each(b)) => b.iter().map(|&b| f(a, b)).collect(),
        (Lanes::One(a), Lanes::One(b)) => vec![f(a, b); rows],
    }
}

/// Runs a kernel that gives NULL when either side is NULL. NULL constants need no kernel, two constants give one.
/// The kernel receives the operands and the number of rows.
pub fn strict_binary(
    left: &Column,
    right: &Column,
    result: &DataType,
    kernel: impl FnOnce(&Operand, &Operand, usize) -> Result<ArrayRef>,
) -> Result<Column> {
    let rows = left.len();
    let (left, right) = (Operand::new(left)?, Operand::new(right)?);
    if left.is_null_constant() || right.is_null_constant() {
        let value = new_null_array(result, 1);
        return Ok(Column::Constant { value, rows });
    }
    if left.constant && right.constant {
        let value = kernel(&left, &right, 1)?;
        return Ok(Column::Constant { value, rows });
    }
    kernel(&left, &right, rows).map(Column::Array)
}

/// NULL where either side is NULL.
pub fn union_nulls(left: &Operand, right: &Operand) -> Option<NullBuffer> {
    NullBuffer::union(left.nulls(), right.nulls())
}

/// A primitive array of SQL type `t` from values and NULLs.
pub fn primitive_array<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    t: &DataType,
) -> Result<ArrayRef> {
    let array = PrimitiveArray::<T>::try_new(values.into(), nulls)?;
    Ok(if array.data_type() == t {
        Arc::new(array)
    } else {
        Arc::new(array.with_data_type(t.clone()))
    })
}

/// Whether row `i` has a value.
pub fn is_valid(nulls: &Option<NullBuffer>, i: usize) -> bool {
    nulls.as_ref().is_none_or(|n| n.is_valid(i))
}
