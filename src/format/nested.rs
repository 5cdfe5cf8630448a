//! Columns collected value by value from text: plain values, arrays, maps and rows. How a value is spelled is each format's
//! own: CSV and JSON each add an `append` to [`Node`].

use super::spelling::Spelling;
use super::values::ValueBuilder;
use crate::error::{Error, Result};
use crate::types::DataType;
use arrow::array::{ArrayRef, ListArray, MapArray, NullBufferBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{FieldRef, Fields};
use std::sync::Arc;

/// A column, or one level of a nested one.
pub(super) enum Node {
    Value(Box<ValueBuilder>, DataType),
    List {
        field: FieldRef,
        items: Box<Node>,
        lengths: Vec<usize>,
        valid: NullBufferBuilder,
    },
    Map {
        field: FieldRef,
        entries: Fields,
        keys: Box<ValueBuilder>,
        /// Tells what is a key before it is one: an entry without its key cannot be taken back.
        probe: Box<ValueBuilder>,
        values: Box<Node>,
        lengths: Vec<usize>,
        valid: NullBufferBuilder,
    },
    Row {
        fields: Fields,
        members: Vec<Node>,
        valid: NullBufferBuilder,
    },
}

impl Node {
    /// # Errors
    /// `Unsupported` for types that have no text.
    pub fn new(t: &DataType, rows: usize, spelling: &Spelling) -> Result<Self> {
        let inner = |t: &DataType| Self::new(t, rows, spelling);
        Ok(match t {
            DataType::List(field) => Self::List {
                items: Box::new(inner(field.data_type())?),
                field: field.clone(),
                lengths: vec![],
                valid: NullBufferBuilder::new(rows),
            },
            DataType::Map(field, _) => {
                let DataType::Struct(entries) = field.data_type() else {
                    return Err(Error::internal("a map of something else than entries"));
                };
                let [key, value] = entries.as_ref() else {
                    return Err(Error::internal("an entry of a map has a key and a value"));
                };
                Self::Map {
                    keys: Box::new(ValueBuilder::new(key.data_type(), rows, spelling)?),
                    probe: Box::new(ValueBuilder::new(key.data_type(), 1, spelling)?),
                    values: Box::new(inner(value.data_type())?),
                    entries: entries.clone(),
                    field: field.clone(),
                    lengths: vec![],
                    valid: NullBufferBuilder::new(rows),
                }
            }
            DataType::Struct(fields) => Self::Row {
                members: fields.iter().map(|f| inner(f.data_type())).collect::<Result<_>>()?,
                fields: fields.clone(),
                valid: NullBufferBuilder::new(rows),
            },
            t => Self::Value(Box::new(ValueBuilder::new(t, rows, spelling)?), t.clone()),
        })
    }

    pub fn append_null(&mut self) {
        match self {
            Self::Value(builder, _) => builder.append_null(),
            Self::List { lengths, valid, .. } | Self::Map { lengths, valid, .. } => {
                lengths.push(0);
                valid.append_null();
            }
            Self::Row { members, valid, .. } => {
                members.iter_mut().for_each(Self::append_null);
                valid.append_null();
            }
        }
    }

    /// The values so far, and an empty builder again.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match self {
            Self::Value(builder, _) => builder.finish()?,
            Self::List {
                field,
                items,
                lengths,
                valid,
            } => {
                let offsets = OffsetBuffer::from_lengths(std::mem::take(lengths));
                Arc::new(ListArray::try_new(
                    field.clone(),
                    offsets,
                    items.finish()?,
                    valid.finish(),
                )?)
            }
            Self::Map {
                field,
                entries,
                keys,
                probe,
                values,
                lengths,
                valid,
            } => {
                probe.finish()?;
                let offsets = OffsetBuffer::from_lengths(std::mem::take(lengths));
                let pairs = StructArray::try_new(entries.clone(), vec![keys.finish()?, values.finish()?], None)?;
                Arc::new(MapArray::try_new(field.clone(), offsets, pairs, valid.finish(), false)?)
            }
            Self::Row { fields, members, valid } => {
                let rows = valid.len();
                let nulls = valid.finish();
                let arrays = members.iter_mut().map(Self::finish).collect::<Result<Vec<_>>>()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, rows)?)
            }
        })
    }
}
