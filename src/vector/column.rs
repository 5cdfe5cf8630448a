//! One column of a batch: an arrow array (perhaps dictionary-coded) or one value for all rows.

use crate::error::Result;
use crate::types::{DataType, ScalarValue, logical_type};
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use std::sync::Arc;

/// Values of one column for all rows of a batch. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Column {
    /// One element per row. `DataType::Dictionary(Int32, T)` stands for a coded column of SQL type `T`.
    Array(ArrayRef),
    /// The same value in all `rows` rows; `value` has length 1.
    Constant { value: ArrayRef, rows: usize },
}

impl Column {
    /// The same scalar in each of `rows` rows.
    pub fn constant(value: &ScalarValue, data_type: &DataType, rows: usize) -> Result<Self> {
        Ok(Self::Constant {
            value: value.to_array(data_type, 1)?,
            rows,
        })
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Array(a) => a.len(),
            Self::Constant { rows, .. } => *rows,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Constant { .. })
    }

    /// The SQL type, whatever the coding.
    pub fn data_type(&self) -> &DataType {
        match self {
            Self::Array(a) => logical_type(a.data_type()),
            Self::Constant { value, .. } => value.data_type(),
        }
    }

    /// A plain array with one element per row: constants repeated, dictionaries looked up.
    pub fn to_array(&self) -> Result<ArrayRef> {
        match self {
            Self::Array(a) => match a.data_type() {
                DataType::Dictionary(_, _) => {
                    let any = a.as_any_dictionary();
                    Ok(take(any.values(), any.keys(), None)?)
                }
                _ => Ok(a.clone()),
            },
            Self::Constant { value, rows } => Ok(take(value, &UInt32Array::from_value(0, *rows), None)?),
        }
    }

    /// The array and the row mapping for reading without expansion: constants give their single element.
    pub fn as_array_or_single(&self) -> Result<(ArrayRef, bool)> {
        match self {
            Self::Array(_) => Ok((self.to_array()?, false)),
            Self::Constant { value, .. } => Ok((value.clone(), true)),
        }
    }

    /// The rows at the given positions; dictionaries stay dictionaries, constants constants.
    pub fn gather(&self, rows: &[u32]) -> Result<Self> {
        match self {
            Self::Array(_) => self.take(&UInt32Array::from(rows.to_vec())),
            Self::Constant { value, .. } => Ok(Self::Constant {
                value: value.clone(),
                rows: rows.len(),
            }),
        }
    }

    /// As [`Column::gather`], with positions that several columns share.
    pub fn take(&self, rows: &UInt32Array) -> Result<Self> {
        Ok(match self {
            Self::Array(a) => Self::Array(take(a, rows, None)?),
            Self::Constant { value, .. } => Self::Constant {
                value: value.clone(),
                rows: rows.len(),
            },
        })
    }

    pub fn slice(&self, offset: usize, len: usize) -> Self {
        match self {
            Self::Array(a) => Self::Array(a.slice(offset, len)),
            Self::Constant { value, .. } => Self::Constant {
                value: value.clone(),
                rows: len,
            },
        }
    }

    /// The value in `row`.
    pub fn scalar(&self, row: usize) -> Result<ScalarValue> {
        match self {
            Self::Array(a) => ScalarValue::from_array(a.as_ref(), row),
            Self::Constant { value, .. } => ScalarValue::from_array(value.as_ref(), 0),
        }
    }

    /// The constant's value, when this is a constant.
    pub fn constant_value(&self) -> Option<ScalarValue> {
        match self {
            Self::Constant { value, .. } => ScalarValue::from_array(value.as_ref(), 0).ok(),
            Self::Array(_) => None,
        }
    }

    /// Bytes that the rows need, see [`live_bytes`](super::memory::live_bytes).
    pub fn memory_size(&self) -> usize {
        match self {
            Self::Array(a) => super::memory::live_bytes(a.as_ref()),
            Self::Constant { value, .. } => super::memory::live_bytes(value.as_ref()),
        }
    }
}

impl From<ArrayRef> for Column {
    fn from(array: ArrayRef) -> Self {
        Self::Array(array)
    }
}

impl<A: Array + 'static> From<Arc<A>> for Column {
    fn from(array: Arc<A>) -> Self {
        Self::Array(array)
    }
}
