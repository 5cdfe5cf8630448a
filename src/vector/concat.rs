//! `a || b` for text, bytes and arrays.

use super::Column;
use super::operand::{Operand, is_valid, strict_binary, union_nulls};
use crate::error::{Error, Result};
use crate::types::{DataType, type_name};
use arrow::array::{ArrayRef, AsArray, BinaryViewBuilder, ListArray, StringViewBuilder, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use std::sync::Arc;

/// `left || right`. NULL when either side is, except that an array takes a NULL element.
pub fn concat(left: &Column, right: &Column, result: &DataType) -> Result<Column> {
    match (left.data_type(), right.data_type()) {
        (DataType::List(_), t) if t != left.data_type() => append_element(left, right, result),
        (t, DataType::List(_)) if t != right.data_type() => append_element(left, right, result),
        _ => strict_binary(left, right, result, |a, b, rows| match result {
            DataType::Utf8View => texts(a, b, rows),
            DataType::BinaryView => bytes(a, b, rows),
            DataType::List(_) => lists(&Side::List(a), &Side::List(b), result, rows),
            other => Err(Error::internal(format!("|| gives {}", type_name(other)))),
        }),
    }
}

fn texts(left: &Operand, right: &Operand, rows: usize) -> Result<ArrayRef> {
    let (a, b) = (left.array.as_string_view(), right.array.as_string_view());
    let nulls = union_nulls(left, right);
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut joined = String::new();
    for i in 0..rows {
        if is_valid(&nulls, i) {
            joined.clear();
            joined.push_str(a.value(left.row(i)));
            joined.push_str(b.value(right.row(i)));
            builder.try_append_value(&joined)?;
        } else {
            builder.append_null();
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn bytes(left: &Operand, right: &Operand, rows: usize) -> Result<ArrayRef> {
    let (a, b) = (left.array.as_binary_view(), right.array.as_binary_view());
    let nulls = union_nulls(left, right);
    let mut builder = BinaryViewBuilder::with_capacity(rows);
    for i in 0..rows {
        if is_valid(&nulls, i) {
            builder.try_append_value([a.value(left.row(i)), b.value(right.row(i))].concat())?;
        } else {
            builder.append_null();
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// What one side contributes to the joined list.
enum Side<'a> {
    List(&'a Operand),
    Element(&'a Operand),
}

impl Side<'_> {
    fn operand(&self) -> &Operand {
        match self {
            Self::List(o) | Self::Element(o) => o,
        }
    }

    fn items(&self) -> ArrayRef {
        match self {
            Self::List(o) => o.array.as_list::<i32>().values().clone(),
            Self::Element(o) => o.array.clone(),
        }
    }

    fn range(&self, i: usize) -> std::ops::Range<usize> {
        let row = self.operand().row(i);
        match self {
            Self::List(o) => {
                let offsets = o.array.as_list::<i32>().value_offsets();
                let at = |i: usize| offsets.get(i).map_or(0, |&o| o as usize);
                at(row)..at(row + 1)
            }
            Self::Element(_) => row..row + 1,
        }
    }
}

fn lists(left: &Side<'_>, right: &Side<'_>, result: &DataType, rows: usize) -> Result<ArrayRef> {
    let DataType::List(field) = result else {
        return Err(Error::internal(format!("|| gives {}", type_name(result))));
    };
    let lists = |side: &Side<'_>| match side {
        Side::List(o) => o.nulls().cloned(),
        Side::Element(_) => None,
    };
    let nulls = arrow::buffer::NullBuffer::union(lists(left).as_ref(), lists(right).as_ref());
    let (mut places, mut lengths) = (vec![], Vec::with_capacity(rows));
    for i in 0..rows {
        let before = places.len();
        if is_valid(&nulls, i) {
            places.extend(left.range(i).map(|j| (0, j)));
            places.extend(right.range(i).map(|j| (1, j)));
        }
        lengths.push(places.len() - before);
    }
    let (a, b) = (left.items(), right.items());
    let item = field.data_type();
    let (a, b) = (
        super::cast::cast_array(&a, item, false)?,
        super::cast::cast_array(&b, item, false)?,
    );
    if i32::try_from(places.len()).is_err() {
        return Err(Error::resources(
            "an array column has more than 2^31 elements in one batch",
        ));
    }
    let values = interleave(&[a.as_ref(), b.as_ref()], &places)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, nulls)?))
}

fn append_element(left: &Column, right: &Column, result: &DataType) -> Result<Column> {
    let rows = left.len();
    let (a, b) = (Operand::new(left)?, Operand::new(right)?);
    let is_list = |o: &Operand| matches!(o.data_type(), DataType::List(_));
    let list = if a.data_type() == result || !is_list(&b) {
        &a
    } else {
        &b
    };
    if list.is_null_constant() {
        let value = new_null_array(result, 1);
        return Ok(Column::Constant { value, rows });
    }
    let (left, right) = if std::ptr::eq(list, &a) {
        (Side::List(&a), Side::Element(&b))
    } else {
        (Side::Element(&a), Side::List(&b))
    };
    if a.constant && b.constant {
        let value = lists(&left, &right, result, 1)?;
        return Ok(Column::Constant { value, rows });
    }
    Ok(Column::Array(lists(&left, &right, result, rows)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ScalarValue;
    use crate::vector::display::format_value;
    use arrow::array::{Array, Int32Array, StringViewArray, types::Int32Type};

    fn texts_of(column: &Column) -> Vec<String> {
        let array = column.to_array().unwrap();
        (0..array.len())
            .map(|i| {
                let mut out = String::new();
                format_value(array.as_ref(), i, &mut out);
                if array.is_null(i) { "NULL".into() } else { out }
            })
            .collect()
    }

    #[test]
    fn text_and_null() {
        let a = Column::from(Arc::new(StringViewArray::from(vec![Some("x"), None, Some("")])));
        let b = Column::constant(&ScalarValue::string("-yz"), &DataType::Utf8View, 3).unwrap();
        assert_eq!(
            texts_of(&concat(&a, &b, &DataType::Utf8View).unwrap()),
            ["x-yz", "NULL", "-yz"]
        );
    }

    #[test]
    fn arrays_and_elements() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)]), None, Some(vec![])]);
        let t = list.data_type().clone();
        let a = Column::from(Arc::new(list));
        let e = Column::from(Arc::new(Int32Array::from(vec![Some(7), Some(8), None])));
        assert_eq!(texts_of(&concat(&a, &a, &t).unwrap()), ["[1, 1]", "NULL", "[]"]);
        assert_eq!(texts_of(&concat(&a, &e, &t).unwrap()), ["[1, 7]", "NULL", "[NULL]"]);
        assert_eq!(texts_of(&concat(&e, &a, &t).unwrap()), ["[7, 1]", "NULL", "[NULL]"]);
    }
}
