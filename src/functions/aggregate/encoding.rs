//! Values of any type as bytes that compare like the values.

use crate::error::{Error, Result};
use crate::types::DataType;
use arrow::array::new_null_array;
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, StringViewArray, StringViewBuilder};
use arrow::row::{RowConverter, Rows, SortField};
use std::sync::Arc;

/// Turns values of one type into bytes and back: strings and binaries are their own bytes, all else are arrow rows.
pub(super) struct Encoder {
    data_type: DataType,
    /// `None` for strings and binaries.
    rows: Option<RowConverter>,
}

/// An encoded array. The bytes of NULLs have no meaning.
pub(super) enum Encoded {
    Strings(StringViewArray),
    Binaries(BinaryViewArray),
    Rows(Rows),
}

impl Encoder {
    pub fn new(data_type: &DataType) -> Result<Self> {
        let rows = match data_type {
            DataType::Utf8View | DataType::BinaryView => None,
            other => Some(RowConverter::new(vec![SortField::new(other.clone())])?),
        };
        Ok(Self {
            data_type: data_type.clone(),
            rows,
        })
    }

    pub fn encode(&self, array: &ArrayRef) -> Result<Encoded> {
        Ok(match (&self.rows, array.data_type()) {
            (Some(converter), _) => Encoded::Rows(converter.convert_columns(std::slice::from_ref(array))?),
            (None, DataType::Utf8View) => Encoded::Strings(array.as_string_view().clone()),
            (None, DataType::BinaryView) => Encoded::Binaries(array.as_binary_view().clone()),
            (None, other) => {
                return Err(Error::internal(format!(
                    "{other} where {} was expected",
                    self.data_type
                )));
            }
        })
    }

    /// The values whose bytes these are, NULL for `None`.
    pub fn decode<'a>(&self, values: impl Iterator<Item = Option<&'a [u8]>>) -> Result<ArrayRef> {
        let Some(converter) = &self.rows else {
            return self.decode_bytes(values);
        };
        let null = converter.convert_columns(&[new_null_array(&self.data_type, 1)])?;
        let parser = converter.parser();
        let rows: Vec<_> = values
            .map(|v| match v {
                Some(bytes) => parser.parse(bytes),
                None => null.row(0),
            })
            .collect();
        let mut columns = converter.convert_rows(rows)?;
        columns.pop().ok_or_else(|| Error::internal("a row without column"))
    }

    fn decode_bytes<'a>(&self, values: impl Iterator<Item = Option<&'a [u8]>>) -> Result<ArrayRef> {
        if self.data_type == DataType::BinaryView {
            let mut builder = BinaryViewBuilder::new();
            values.for_each(|v| builder.append_option(v));
            return Ok(Arc::new(builder.finish()));
        }
        let mut builder = StringViewBuilder::new();
        for v in values {
            let text = v.map(std::str::from_utf8).transpose();
            builder.append_option(text.map_err(|e| Error::internal(format!("a string is not UTF-8: {e}")))?);
        }
        Ok(Arc::new(builder.finish()))
    }
}

impl Encoded {
    #[inline]
    pub fn bytes(&self, row: usize) -> &[u8] {
        match self {
            Self::Strings(array) => array.value(row).as_bytes(),
            Self::Binaries(array) => array.value(row),
            Self::Rows(rows) => rows.row(row).data(),
        }
    }
}
