//! Hashes of key columns by value, the same for every coding and on both sides of a join.

use super::Column;
use super::hash::{NULL_HASH, combine_hashes, hash_bytes, hash_word};
use super::keys::fixed_words;
use crate::error::{Error, Result};
use crate::types::DataType;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, Int32Type};
use arrow::row::{RowConverter, SortField};

/// One hash per row over all columns; equal to those of [`super::keys::KeyEncoder`]. `fixed_hash` makes all hashes equal, for
/// tests.
///
/// # Errors
/// When a column's type cannot be a key.
pub fn hash_rows(columns: &[Column], rows: usize, fixed_hash: Option<u64>) -> Result<Vec<u64>> {
    if let Some(hash) = fixed_hash {
        return Ok(vec![hash; rows]);
    }
    let mut hashes: Option<Vec<u64>> = None;
    for column in columns {
        let of_column = match column {
            Column::Constant { value, rows } => vec![hash_array(value)?.first().copied().unwrap_or(NULL_HASH); *rows],
            Column::Array(array) => hash_array(array)?,
        };
        match &mut hashes {
            None => hashes = Some(of_column),
            Some(all) => all
                .iter_mut()
                .zip(of_column)
                .for_each(|(h, c)| *h = combine_hashes(*h, c)),
        }
    }
    Ok(hashes.unwrap_or_else(|| vec![NULL_HASH; rows]))
}

fn hash_array(array: &ArrayRef) -> Result<Vec<u64>> {
    let of_option = |value: Option<&[u8]>| value.map_or(NULL_HASH, hash_bytes);
    Ok(match array.data_type() {
        DataType::Utf8View => array
            .as_string_view()
            .iter()
            .map(|v| of_option(v.map(str::as_bytes)))
            .collect(),
        DataType::BinaryView => array.as_binary_view().iter().map(of_option).collect(),
        DataType::Dictionary(..) => hash_coded(array)?,
        DataType::Decimal128(..) => array
            .as_primitive::<Decimal128Type>()
            .iter()
            .map(|v| v.map_or(NULL_HASH, |v| combine_hashes(hash_word(v as u64), (v >> 64) as u64)))
            .collect(),
        t if t.is_nested() => {
            let rows =
                RowConverter::new(vec![SortField::new(t.clone())])?.convert_columns(std::slice::from_ref(array))?;
            let hash = |i: usize| {
                if array.is_null(i) {
                    NULL_HASH
                } else {
                    hash_bytes(rows.row(i).as_ref())
                }
            };
            (0..array.len()).map(hash).collect()
        }
        _ => {
            let mut hashes = fixed_words(array.as_ref())?;
            hashes.iter_mut().for_each(|w| *w = hash_word(*w));
            if let Some(nulls) = array.logical_nulls().filter(|n| n.null_count() > 0) {
                let nulls = hashes.iter_mut().zip(nulls.iter()).filter(|(_, valid)| !valid);
                nulls.for_each(|(hash, _)| *hash = NULL_HASH);
            }
            hashes
        }
    })
}

/// Hashes each value of a dictionary once, when it has no more of them than there are rows.
fn hash_coded(array: &ArrayRef) -> Result<Vec<u64>> {
    let any = array.as_any_dictionary();
    if any.values().len() > array.len() {
        let plain = arrow::compute::cast(array, any.values().data_type())?;
        return hash_array(&plain);
    }
    let of_values = hash_array(any.values())?;
    let codes = any
        .keys()
        .as_primitive_opt::<Int32Type>()
        .ok_or_else(|| Error::internal("dictionary codes are 32-bit integers"))?;
    let hash = |code: Option<i32>| {
        code.and_then(|c| of_values.get(c as usize).copied())
            .unwrap_or(NULL_HASH)
    };
    Ok(codes.iter().map(hash).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::keys::KeyEncoder;
    use arrow::array::{Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array, StringViewArray};
    use std::sync::Arc;

    #[test]
    fn the_same_as_the_encoder() {
        let strings = StringViewArray::from(vec![Some("a long string of some length"), None, Some("")]);
        let codes = Int32Array::from(vec![Some(2), Some(0), None]);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(-5)])),
            Arc::new(strings.clone()),
            Arc::new(DictionaryArray::new(codes, Arc::new(strings))),
            Arc::new(Decimal128Array::from(vec![Some(-1), Some(1 << 100), None])),
            Arc::new(Float64Array::from(vec![Some(-0.0), Some(0.0), None])),
        ];
        let columns: Vec<Column> = arrays.iter().cloned().map(Column::Array).collect();
        let types: Vec<DataType> = arrays
            .iter()
            .map(|a| match a.data_type() {
                DataType::Dictionary(_, value) => value.as_ref().clone(),
                t => t.clone(),
            })
            .collect();
        let mut encoder = KeyEncoder::new(&types, &[true; 5], None).unwrap();
        let encoded = encoder.encode(&columns, 3).unwrap();
        assert_eq!(hash_rows(&columns, 3, None).unwrap(), encoded.hashes);
        assert_eq!(hash_rows(&columns, 3, Some(7)).unwrap(), vec![7; 3]);
    }
}
