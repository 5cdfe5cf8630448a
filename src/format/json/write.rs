//! Writing JSON lines: one object per row, members in the order of the columns, NULL as `null`.

use crate::error::{Error, Result};
use crate::types::DataType;
use crate::vector::Batch;
use crate::vector::display::ValueFormatter;
use arrow::array::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Appends one line per row of the batch.
pub fn write_json(batch: &Batch, names: &[String], out: &mut Vec<u8>) -> Result<()> {
    let arrays = (0..batch.width())
        .map(|i| batch.column(i)?.to_array())
        .collect::<Result<Vec<_>>>()?;
    let columns: Vec<JsonColumn> = arrays.iter().map(|a| JsonColumn::new(a.as_ref())).collect();
    let names = names.iter().map(|n| quoted(n)).collect::<Result<Vec<_>>>()?;
    let mut text = String::new();
    for row in 0..batch.len() {
        out.push(b'{');
        for (i, (name, column)) in names.iter().zip(&columns).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            column.write(row, &mut text, out)?;
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
}

fn quoted(text: &str) -> Result<String> {
    serde_json::to_string(text).map_err(|e| Error::execution(format!("a text cannot be written as JSON: {e}")))
}

/// How the values of one array are written.
enum JsonColumn<'a> {
    /// Numbers and booleans, whose text is JSON …
    Bare(ValueFormatter<'a>),
    /// … if they are finite.
    Float(ValueFormatter<'a>),
    Quoted(ValueFormatter<'a>),
    /// In Base64, as it is read.
    Binary(&'a BinaryViewArray),
    List(&'a ListArray, Box<JsonColumn<'a>>),
    Map(&'a MapArray, ValueFormatter<'a>, Box<JsonColumn<'a>>),
    Row(&'a StructArray, Vec<(&'a str, JsonColumn<'a>)>),
}

impl<'a> JsonColumn<'a> {
    fn new(array: &'a dyn Array) -> Self {
        use DataType::*;
        let formatter = || ValueFormatter::new(array);
        match array.data_type() {
            Boolean | Int8 | Int16 | Int32 | Int64 | Decimal64(..) | Decimal128(..) | Null => Self::Bare(formatter()),
            Float32 | Float64 => Self::Float(formatter()),
            BinaryView => Self::Binary(array.as_binary_view()),
            List(_) => {
                let list = array.as_list::<i32>();
                Self::List(list, Box::new(Self::new(list.values().as_ref())))
            }
            Map(..) => {
                let map = array.as_map();
                Self::Map(
                    map,
                    ValueFormatter::new(map.keys().as_ref()),
                    Box::new(Self::new(map.values().as_ref())),
                )
            }
            Struct(_) => {
                let row = array.as_struct();
                let names = row.column_names().into_iter();
                Self::Row(
                    row,
                    names
                        .zip(row.columns())
                        .map(|(n, c)| (n, Self::new(c.as_ref())))
                        .collect(),
                )
            }
            _ => Self::Quoted(formatter()),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Bare(f) | Self::Float(f) | Self::Quoted(f) => f.is_null(row),
            Self::Binary(a) => a.is_null(row),
            Self::List(a, _) => a.is_null(row),
            Self::Map(a, ..) => a.is_null(row),
            Self::Row(a, _) => a.is_null(row),
        }
    }

    fn write(&self, row: usize, text: &mut String, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        text.clear();
        match self {
            Self::Bare(formatter) => {
                formatter.write(row, text);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Float(formatter) => {
                formatter.write(row, text);
                let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
                out.extend_from_slice(if finite { text.clone() } else { quoted(text)? }.as_bytes());
            }
            Self::Quoted(formatter) => {
                formatter.write(row, text);
                out.extend_from_slice(quoted(text)?.as_bytes());
            }
            Self::Binary(array) => {
                out.push(b'"');
                out.extend_from_slice(BASE64.encode(array.value(row)).as_bytes());
                out.push(b'"');
            }
            Self::List(list, items) => {
                let offsets = list.value_offsets();
                out.push(b'[');
                for (i, item) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    items.write(item, text, out)?;
                }
                out.push(b']');
            }
            Self::Map(map, keys, values) => {
                let offsets = map.value_offsets();
                out.push(b'{');
                for (i, entry) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    text.clear();
                    keys.write(entry, text);
                    out.extend_from_slice(quoted(text)?.as_bytes());
                    out.push(b':');
                    values.write(entry, text, out)?;
                }
                out.push(b'}');
            }
            Self::Row(_, members) => {
                out.push(b'{');
                for (i, (name, member)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(quoted(name)?.as_bytes());
                    out.push(b':');
                    member.write(row, text, out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::row_of;
    use std::sync::Arc;

    #[test]
    fn rows_are_objects() {
        let mut list = ListBuilder::new(Int64Builder::new());
        list.append_value([Some(1), None]);
        list.append_null();
        let DataType::Struct(fields) = row_of(vec![("x".into(), DataType::Int32), ("y".into(), DataType::Utf8View)])
        else {
            panic!("a row is a struct")
        };
        let members: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![1, 2])),
            Arc::new(StringViewArray::from(vec![Some("a\"b"), None])),
        ];
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(Float64Array::from(vec![1.5, f64::NAN])),
            Arc::new(Date32Array::from(vec![0, 1])),
            Arc::new(
                Decimal64Array::from(vec![1234, -5])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
            Arc::new(list.finish()),
            Arc::new(StructArray::new(fields, members, None)),
        ];
        let names: Vec<String> = ["i", "f", "d", "n", "l", "r"].iter().map(|n| n.to_string()).collect();
        let mut out = vec![];
        write_json(&Batch::from_arrays(arrays, 2), &names, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = concat!(
            r#"{"i":1,"f":1.5,"d":"1970-01-01","n":12.34,"l":[1,null],"r":{"x":1,"y":"a\"b"}}"#,
            "\n",
            r#"{"i":null,"f":"NaN","d":"1970-01-02","n":-0.05,"l":null,"r":{"x":2,"y":null}}"#,
            "\n"
        );
        assert_eq!(text, expected);
    }
}
