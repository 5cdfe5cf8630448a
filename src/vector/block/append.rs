//! Copying rows of batches into blocks.

use super::{
    Block, BlockColumn, ColumnShape, Dictionary, DictionaryValues, Kind, Layout, Shape, Storage, Strings, Values,
};
use super::{byte_values, coded};
use crate::error::{Error, Result};
use crate::types::DataType;
use crate::vector::Column;
use arrow::array::*;
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;
use std::ops::Range;
use std::sync::Arc;

/// Turns batches into something that can be copied row range by row range. One per worker.
#[derive(Debug)]
pub struct Appender {
    layout: Arc<Layout>,
    /// Per column: the dictionary array seen last, and our code of each of its values (`None` when they do not fit).
    known: Vec<Option<(ArrayRef, Option<Arc<[u32]>>)>>,
}

/// The columns of one batch, ready to be copied.
#[derive(Debug)]
pub struct Prepared {
    columns: Vec<PreparedColumn>,
    rows: usize,
}

#[derive(Debug)]
struct PreparedColumn {
    values: PreparedValues,
    nulls: Option<NullBuffer>,
}

#[derive(Debug)]
enum PreparedValues {
    None,
    W1(ScalarBuffer<u8>),
    W2(ScalarBuffer<u16>),
    W4(ScalarBuffer<u32>),
    W8(ScalarBuffer<u64>),
    W16(ScalarBuffer<i128>),
    Codes(Vec<u32>, Arc<Dictionary>),
    Text(StringViewArray),
    Binary(BinaryViewArray),
    Nested(BinaryArray),
}

impl Appender {
    pub fn new(layout: Arc<Layout>) -> Self {
        let known = (0..layout.width()).map(|_| None).collect();
        Self { layout, known }
    }

    /// Looks at columns, one per column of the layout, each with `rows` rows.
    pub fn prepare(&mut self, columns: &[Column], rows: usize) -> Result<Prepared> {
        if columns.len() != self.layout.width() {
            let (found, expected) = (columns.len(), self.layout.width());
            return Err(Error::internal(format!("{found} columns for blocks of {expected}")));
        }
        let layout = self.layout.clone();
        let prepared = layout.columns.iter().zip(columns).zip(&mut self.known);
        let prepared = prepared.map(|((storage, column), known)| storage.prepare(column, known));
        Ok(Prepared {
            columns: prepared.collect::<Result<_>>()?,
            rows,
        })
    }
}

impl Storage {
    fn prepare(&self, column: &Column, known: &mut Option<(ArrayRef, Option<Arc<[u32]>>)>) -> Result<PreparedColumn> {
        if let Kind::Bytes { dictionary, .. } = &self.kind
            && let Some(codes) = coded_column(column, dictionary, known)
        {
            return Ok(codes);
        }
        let mut array = column.to_array()?;
        if *array.data_type() != self.data_type {
            array = arrow::compute::cast(&array, &self.data_type)?;
        }
        let nulls = array.logical_nulls().filter(|n| n.null_count() > 0);
        let values = match &self.kind {
            Kind::Null => {
                return Ok(PreparedColumn {
                    values: PreparedValues::None,
                    nulls: None,
                });
            }
            Kind::Boolean => {
                let bits = array.as_boolean().values();
                PreparedValues::W1(bits.iter().map(u8::from).collect::<Vec<_>>().into())
            }
            Kind::Fixed(1) => PreparedValues::W1(native(&array)?),
            Kind::Fixed(2) => PreparedValues::W2(native(&array)?),
            Kind::Fixed(4) => PreparedValues::W4(native(&array)?),
            Kind::Fixed(8) => PreparedValues::W8(native(&array)?),
            Kind::Fixed(_) => PreparedValues::W16(native(&array)?),
            Kind::Bytes { utf8: true, .. } => PreparedValues::Text(array.as_string_view().clone()),
            Kind::Bytes { utf8: false, .. } => PreparedValues::Binary(array.as_binary_view().clone()),
            Kind::Nested(converter) => PreparedValues::Nested(
                converter
                    .convert_columns(std::slice::from_ref(&array))?
                    .try_into_binary()?,
            ),
        };
        Ok(PreparedColumn { values, nulls })
    }
}

/// The values of a primitive array by their bits.
fn native<T: ArrowNativeType>(array: &ArrayRef) -> Result<ScalarBuffer<T>> {
    let data = array.to_data();
    let buffer = data
        .buffers()
        .first()
        .ok_or_else(|| Error::internal("a primitive array without values"))?;
    Ok(ScalarBuffer::new(buffer.clone(), data.offset(), data.len()))
}

/// The column in codes of `dictionary`, if it is coded or constant and the dictionary has room for its values.
fn coded_column(
    column: &Column,
    dictionary: &Arc<Dictionary>,
    known: &mut Option<(ArrayRef, Option<Arc<[u32]>>)>,
) -> Option<PreparedColumn> {
    match column {
        Column::Constant { value, rows } if matches!(value.data_type(), DataType::Utf8View | DataType::BinaryView) => {
            let code = *dictionary.codes(&byte_values(value)?)?.first()?;
            let nulls = value.is_null(0).then(|| NullBuffer::new_null(*rows));
            Some(PreparedColumn {
                values: PreparedValues::Codes(vec![code; *rows], dictionary.clone()),
                nulls,
            })
        }
        Column::Constant { .. } => None,
        Column::Array(array) => {
            let array = coded(array)?;
            let values = array.values();
            if !known.as_ref().is_some_and(|(old, _)| same_values(old, values)) {
                // A dictionary with more values than the batch has rows is not worth learning for its own sake, but
                // the batches that follow share it.
                let codes = byte_values(values).and_then(|v| dictionary.codes(&v));
                *known = Some((values.clone(), codes.map(Arc::from)));
            }
            let translation = known.as_ref()?.1.as_ref()?;
            // A null row's code may be anything.
            let codes = array.keys().values().iter();
            let codes = codes
                .map(|&code| translation.get(code as usize).copied().unwrap_or(0))
                .collect();
            let nulls = array.logical_nulls().filter(|n| n.null_count() > 0);
            Some(PreparedColumn {
                values: PreparedValues::Codes(codes, dictionary.clone()),
                nulls,
            })
        }
    }
}

/// Whether two arrays are one: clones of the same dictionary. The held clone keeps the address from being used again.
fn same_values(left: &ArrayRef, right: &ArrayRef) -> bool {
    let address = |a: &ArrayRef| match a.data_type() {
        DataType::Utf8View => (a.as_string_view().views().as_ptr() as usize, a.len()),
        _ => (a.as_binary_view().views().as_ptr() as usize, a.len()),
    };
    left.data_type() == right.data_type() && address(left) == address(right)
}

impl PreparedValues {
    /// Bytes of the string in `row`.
    fn string_len(&self, row: usize) -> usize {
        match self {
            Self::Text(a) => a.views()[row] as u32 as usize,
            Self::Binary(a) => a.views()[row] as u32 as usize,
            Self::Nested(a) => a.value_length(row) as usize,
            _ => 0,
        }
    }

    /// Bytes that `rows` take in a block.
    fn size(&self, rows: Range<usize>) -> usize {
        match self {
            Self::None => 0,
            Self::W1(_) => rows.len(),
            Self::W2(_) | Self::Codes(..) => rows.len() * 2,
            Self::W4(_) => rows.len() * 4,
            Self::W8(_) => rows.len() * 8,
            Self::W16(_) => rows.len() * 16,
            _ => rows.len() * 4 + rows.map(|row| self.string_len(row)).sum::<usize>(),
        }
    }
}

impl Prepared {
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that `rows` take in a block, without what vectors allocate ahead.
    pub fn size(&self, rows: Range<usize>) -> usize {
        let nulls = self.columns.iter().filter(|c| c.nulls.is_some()).count() * rows.len();
        nulls + self.columns.iter().map(|c| c.values.size(rows.clone())).sum::<usize>()
    }

    /// How many rows from `start` on, at least one, take no more than `bytes`.
    pub fn rows_within(&self, start: usize, bytes: usize) -> usize {
        let left = self.rows - start;
        if self.size(start..self.rows) <= bytes {
            return left;
        }
        let mut total = 0;
        for row in start..self.rows {
            total += self.size(row..row + 1);
            if total > bytes {
                return (row - start).max(1);
            }
        }
        left
    }
}

impl Block {
    /// A block without rows.
    pub fn new(layout: &Layout) -> Self {
        Self::with_shape(layout, &Shape::default())
    }

    /// A block without rows and with room for those of `shape`.
    pub fn with_shape(layout: &Layout, shape: &Shape) -> Self {
        let columns = layout.columns.iter().enumerate().map(|(i, storage)| BlockColumn {
            values: storage.empty(shape.rows, shape.columns.get(i).copied()),
            valid: None,
        });
        Self {
            rows: 0,
            columns: columns.collect(),
        }
    }

    /// Appends some rows of a batch.
    pub fn append(&mut self, layout: &Layout, prepared: &Prepared, rows: Range<usize>) -> Result<()> {
        self.flatten_for(layout, prepared);
        if self.rows == 0 {
            self.code_for(prepared);
        }
        for (column, source) in self.columns.iter_mut().zip(&prepared.columns) {
            column.append(source, rows.clone(), self.rows)?;
        }
        self.rows += rows.len();
        Ok(())
    }
}

impl Storage {
    /// No values yet, but room for `rows`. A string column is coded until a batch comes that is not.
    pub(super) fn empty(&self, rows: usize, shape: Option<ColumnShape>) -> Values {
        match (&self.kind, shape) {
            (Kind::Null, _) => Values::None,
            (Kind::Boolean | Kind::Fixed(1), _) => Values::W1(Vec::with_capacity(rows)),
            (Kind::Fixed(2), _) => Values::W2(Vec::with_capacity(rows)),
            (Kind::Fixed(4), _) => Values::W4(Vec::with_capacity(rows)),
            (Kind::Fixed(8), _) => Values::W8(Vec::with_capacity(rows)),
            (Kind::Fixed(_), _) => Values::W16(Vec::with_capacity(rows)),
            (Kind::Bytes { .. } | Kind::Nested(_), Some(ColumnShape::Bytes(bytes))) => {
                Values::Bytes(Strings::with_capacity(rows, bytes))
            }
            (Kind::Nested(_), _) => Values::Bytes(Strings::default()),
            (Kind::Bytes { .. }, Some(ColumnShape::Codes2)) => Values::Codes2(Vec::with_capacity(rows)),
            (Kind::Bytes { .. }, _) => Values::Codes1(Vec::with_capacity(rows)),
        }
    }
}

impl BlockColumn {
    fn append(&mut self, source: &PreparedColumn, rows: Range<usize>, before: usize) -> Result<()> {
        match &source.nulls {
            Some(nulls) if nulls.slice(rows.start, rows.len()).null_count() > 0 => {
                let valid = self.valid.get_or_insert_with(|| vec![1; before]);
                valid.extend(rows.clone().map(|row| u8::from(nulls.is_valid(row))));
            }
            _ => {
                if let Some(valid) = &mut self.valid {
                    valid.resize(before + rows.len(), 1);
                }
            }
        }
        if let Values::Bytes(to) = &mut self.values {
            to.reserve(rows.len(), rows.clone().map(|row| source.values.string_len(row)).sum());
        }
        let is_null = |row: usize| source.nulls.as_ref().is_some_and(|n| n.is_null(row));
        match (&mut self.values, &source.values) {
            (Values::None, PreparedValues::None) => {}
            (Values::W1(to), PreparedValues::W1(from)) => to.extend_from_slice(&from[rows]),
            (Values::W2(to), PreparedValues::W2(from)) => to.extend_from_slice(&from[rows]),
            (Values::W4(to), PreparedValues::W4(from)) => to.extend_from_slice(&from[rows]),
            (Values::W8(to), PreparedValues::W8(from)) => to.extend_from_slice(&from[rows]),
            (Values::W16(to), PreparedValues::W16(from)) => to.extend_from_slice(&from[rows]),
            (Values::Codes1(_) | Values::Codes2(_), PreparedValues::Codes(codes, _)) => {
                self.values.append_codes(&codes[rows]);
            }
            (Values::Bytes(to), PreparedValues::Codes(codes, dictionary)) => {
                let values = dictionary.values();
                rows.for_each(|row| {
                    to.push(if is_null(row) {
                        &[]
                    } else {
                        values.get(codes[row] as usize)
                    })
                });
            }
            (Values::Bytes(to), PreparedValues::Text(from)) => {
                rows.for_each(|row| to.push(if is_null(row) { &[] } else { from.value(row).as_bytes() }));
            }
            (Values::Bytes(to), PreparedValues::Binary(from)) => {
                rows.for_each(|row| to.push(if is_null(row) { &[] } else { from.value(row) }));
            }
            (Values::Bytes(to), PreparedValues::Nested(from)) => rows.for_each(|row| to.push(from.value(row))),
            _ => return Err(Error::internal("a batch and a block keep a column in different ways")),
        }
        Ok(())
    }
}

impl Values {
    /// Appends codes, with two bytes each as soon as one needs them.
    fn append_codes(&mut self, codes: &[u32]) {
        if let Self::Codes1(to) = self {
            if codes.iter().all(|&c| c < 256) {
                to.extend(codes.iter().map(|&c| c as u8));
                return;
            }
            let mut wide = Vec::with_capacity(to.capacity());
            wide.extend(to.iter().map(|&c| u16::from(c)));
            *self = Self::Codes2(wide);
        }
        if let Self::Codes2(to) = self {
            to.extend(codes.iter().map(|&c| c as u16));
        }
    }

    /// Codes replaced by the strings they stand for.
    fn flatten(&mut self, dictionary: &DictionaryValues, valid: Option<&[u8]>) {
        let codes: Vec<u16> = match self {
            Self::Codes1(codes) => codes.iter().map(|&c| u16::from(c)).collect(),
            Self::Codes2(codes) => std::mem::take(codes),
            _ => return,
        };
        let mut strings = Strings::with_capacity(codes.capacity(), 0);
        for (row, code) in codes.iter().enumerate() {
            let null = valid.is_some_and(|v| v[row] == 0);
            strings.push(if null { &[] } else { dictionary.get(usize::from(*code)) });
        }
        *self = Self::Bytes(strings);
    }
}

impl Block {
    /// Lets the string columns of a block without rows be coded for which the batch brings codes.
    fn code_for(&mut self, prepared: &Prepared) {
        for (column, source) in self.columns.iter_mut().zip(&prepared.columns) {
            if let (Values::Bytes(strings), PreparedValues::Codes(..)) = (&column.values, &source.values) {
                column.values = Values::Codes1(Vec::with_capacity(strings.ends.capacity()));
            }
        }
    }

    /// Makes the coded columns plain for which the batch brings plain strings.
    fn flatten_for(&mut self, layout: &Layout, prepared: &Prepared) {
        for (i, (column, source)) in self.columns.iter_mut().zip(&prepared.columns).enumerate() {
            if matches!(source.values, PreparedValues::Text(_) | PreparedValues::Binary(_))
                && matches!(column.values, Values::Codes1(_) | Values::Codes2(_))
            {
                column.values.flatten(&layout.dictionary(i), column.valid.as_deref());
            }
        }
    }
}
