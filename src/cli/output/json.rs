//! JSON: one array, or one object per line. Numbers stay numbers, decimals keep all digits, NULL is null.

use super::{ResultWriter, output_error};
use crate::error::Result;
use crate::vector::display::ValueFormatter;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use std::io::Write;

/// Both JSON formats.
pub struct Json {
    array: bool,
    rows: usize,
}

impl Json {
    pub fn array() -> Self {
        Self { array: true, rows: 0 }
    }

    pub fn lines() -> Self {
        Self { array: false, rows: 0 }
    }
}

impl ResultWriter for Json {
    fn begin(&mut self, _schema: &SchemaRef, out: &mut dyn Write) -> Result<()> {
        if self.array {
            out.write_all(b"[").map_err(output_error)
        } else {
            Ok(())
        }
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let mut line = String::new();
            if self.array {
                line.push_str(if self.rows > 0 { ",\n " } else { "\n " });
            }
            line.push('{');
            for (i, (field, column)) in schema.fields().iter().zip(batch.columns()).enumerate() {
                if i > 0 {
                    line.push(',');
                }
                push_text(field.name(), &mut line);
                line.push(':');
                push_value(column.as_ref(), row, &mut line);
            }
            line.push('}');
            if !self.array {
                line.push('\n');
            }
            self.rows += 1;
            out.write_all(line.as_bytes()).map_err(output_error)?;
        }
        Ok(())
    }

    fn end(&mut self, rows: usize, out: &mut dyn Write) -> Result<()> {
        match (self.array, rows) {
            (false, _) => Ok(()),
            (true, 0) => out.write_all(b"]\n").map_err(output_error),
            (true, _) => out.write_all(b"\n]\n").map_err(output_error),
        }
    }
}

fn push_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn push_value(array: &dyn Array, row: usize, out: &mut String) {
    if array.is_null(row) {
        return out.push_str("null");
    }
    match array.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Boolean | DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            ValueFormatter::new(array).write(row, out);
        }
        DataType::Decimal64(..) | DataType::Decimal128(..) => ValueFormatter::new(array).write(row, out),
        DataType::Float32 => push_number(
            array.as_primitive::<arrow::datatypes::Float32Type>().value(row) as f64,
            out,
        ),
        DataType::Float64 => push_number(array.as_primitive::<arrow::datatypes::Float64Type>().value(row), out),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            push_list(
                items.len(),
                out,
                |i, out| push_value(items.as_ref(), i, out),
                ('[', ']'),
            );
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let member = |i: usize, out: &mut String| {
                push_text(fields[i].name(), out);
                out.push(':');
                push_value(columns[i].as_ref(), row, out);
            };
            push_list(columns.len(), out, member, ('{', '}'));
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let member = |i: usize, out: &mut String| {
                let mut key = String::new();
                ValueFormatter::new(entries.column(0).as_ref()).write(i, &mut key);
                push_text(&key, out);
                out.push(':');
                push_value(entries.column(1).as_ref(), i, out);
            };
            push_list(entries.len(), out, member, ('{', '}'));
        }
        _ => {
            let mut text = String::new();
            ValueFormatter::new(array).write(row, &mut text);
            push_text(&text, out);
        }
    }
}

/// JSON has no NaN and no infinity: they are texts.
fn push_number(value: f64, out: &mut String) {
    match serde_json::Number::from_f64(value) {
        Some(number) => out.push_str(&number.to_string()),
        None => push_text(
            if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            },
            out,
        ),
    }
}

fn push_list(len: usize, out: &mut String, mut item: impl FnMut(usize, &mut String), brackets: (char, char)) {
    out.push(brackets.0);
    for i in 0..len {
        if i > 0 {
            out.push(',');
        }
        item(i, out);
    }
    out.push(brackets.1);
}
