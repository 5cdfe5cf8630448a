//! Blocks: rows at rest. What sorts and spill files keep instead of batches.
//!
//! A batch that is kept pins whatever its arrays point into: whole pages of strings, dictionaries, buffers that were cut.
//! A block owns its bytes and nothing else, so that its size is the memory it costs:
//!
//! ```text
//! number, date, decimal   one native value per row
//! string, binary          end offsets and the bytes, one after the other
//! coded string            one or two bytes per row; the values stand once in a Dictionary that all blocks share
//! array, map, row         arrow's row encoding, kept like a binary
//! NULL                    a byte per row, only in columns that have one
//! ```

mod append;
mod codec;
mod dictionary;
mod gather;

pub use append::{Appender, Prepared};
pub use dictionary::{Dictionary, DictionaryValues};
pub use gather::Position;

use crate::error::{Error, Result};
use crate::types::DataType;
use crate::vector::views::PageViews;
use crate::vector::{Batch, Column};
use arrow::array::{Array, ArrayData, ArrayRef, BinaryArray, BooleanArray, Int32Array, NullArray, make_array};
use arrow::array::{AsArray, DictionaryArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{IntervalUnit, StringViewType};
use arrow::row::{RowConverter, SortField};
use std::sync::Arc;

/// How the columns of a kind of blocks are kept. Shared by all blocks of an operator.
#[derive(Debug)]
pub struct Layout {
    columns: Vec<Storage>,
}

/// How one column is kept.
#[derive(Debug)]
pub struct Storage {
    data_type: DataType,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The type of NULL: nothing is kept.
    Null,
    Boolean,
    /// Native values of this many bytes.
    Fixed(u8),
    Bytes {
        utf8: bool,
        dictionary: Arc<Dictionary>,
    },
    Nested(Box<RowConverter>),
}

impl Layout {
    /// The layout for columns of these SQL types.
    pub fn new(types: &[DataType]) -> Result<Arc<Self>> {
        let columns = types
            .iter()
            .map(|t| {
                Ok(Storage {
                    data_type: t.clone(),
                    kind: kind(t)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(Self { columns }))
    }

    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The SQL type of column `i`.
    pub fn data_type(&self, i: usize) -> &DataType {
        &self.columns[i].data_type
    }

    /// The values behind the codes of column `i`; empty for a column that is never coded.
    pub fn dictionary(&self, i: usize) -> Arc<DictionaryValues> {
        match &self.columns[i].kind {
            Kind::Bytes { dictionary, .. } => dictionary.values(),
            _ => Arc::default(),
        }
    }

    /// Bytes that a row takes without its strings.
    pub fn fixed_row_bytes(&self) -> usize {
        let bytes = |c: &Storage| match &c.kind {
            Kind::Null => 0,
            Kind::Boolean => 1,
            Kind::Fixed(width) => usize::from(*width),
            Kind::Bytes { .. } | Kind::Nested(_) => 4,
        };
        self.columns.iter().map(bytes).sum()
    }

    /// Bytes of the shared dictionaries.
    pub fn memory_size(&self) -> usize {
        (0..self.columns.len()).map(|i| self.dictionary(i).memory_size()).sum()
    }
}

fn kind(t: &DataType) -> Result<Kind> {
    use DataType::*;
    Ok(match t {
        Null => Kind::Null,
        Boolean => Kind::Boolean,
        Int8 => Kind::Fixed(1),
        Int16 => Kind::Fixed(2),
        Int32 | Date32 | Float32 | Interval(IntervalUnit::YearMonth) => Kind::Fixed(4),
        Int64 | Float64 | Decimal64(..) | Timestamp(..) | Time64(_) | Duration(_) => Kind::Fixed(8),
        Decimal128(..) => Kind::Fixed(16),
        Utf8View => Kind::Bytes {
            utf8: true,
            dictionary: Arc::default(),
        },
        BinaryView => Kind::Bytes {
            utf8: false,
            dictionary: Arc::default(),
        },
        List(_) | Map(..) | Struct(_) => {
            let field = SortField::new(t.clone());
            let converter = RowConverter::new(vec![field]).map_err(|e| Error::unsupported(e.to_string()))?;
            Kind::Nested(Box::new(converter))
        }
        other => {
            return Err(Error::unsupported(format!(
                "keeping rows with a column of type {other}"
            )));
        }
    })
}

/// Some thousand rows that own their bytes.
#[derive(Debug, Default)]
pub struct Block {
    rows: usize,
    columns: Vec<BlockColumn>,
}

/// The room that a full block needs, so that the next one is allocated at once.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    pub rows: usize,
    columns: Vec<ColumnShape>,
}

#[derive(Debug, Clone, Copy)]
enum ColumnShape {
    /// Values of fixed size, or codes of one byte.
    Least,
    Codes2,
    /// Strings of so many bytes in all.
    Bytes(usize),
}

/// The values of one column.
#[derive(Debug, Default)]
pub struct BlockColumn {
    values: Values,
    /// 1 for a value, 0 for NULL; `None` when every row has a value. A NULL's value is 0 or empty.
    valid: Option<Vec<u8>>,
}

/// See the picture at the top.
#[derive(Debug, Default)]
pub enum Values {
    #[default]
    None,
    W1(Vec<u8>),
    W2(Vec<u16>),
    W4(Vec<u32>),
    W8(Vec<u64>),
    W16(Vec<i128>),
    Codes1(Vec<u8>),
    Codes2(Vec<u16>),
    Bytes(Strings),
}

/// Byte strings, one after the other.
#[derive(Debug, Default)]
pub struct Strings {
    /// Where each string ends in `data`.
    ends: Vec<u32>,
    data: Vec<u8>,
}

impl Strings {
    fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self {
            ends: Vec::with_capacity(rows),
            data: Vec::with_capacity(bytes),
        }
    }

    /// Makes room for `rows` more strings of `bytes`, without the doubling that would be paid for and not used.
    fn reserve(&mut self, rows: usize, bytes: usize) {
        fn grow<T>(v: &mut Vec<T>, more: usize) {
            if v.capacity() - v.len() < more {
                let ahead = if v.capacity() < 64 << 10 {
                    v.capacity()
                } else {
                    v.capacity() / 8
                };
                v.reserve_exact(more.max(ahead));
            }
        }
        grow(&mut self.ends, rows);
        grow(&mut self.data, bytes);
    }

    /// The string in `row`.
    #[inline(always)]
    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.data[start as usize..self.ends[row] as usize]
    }

    #[inline(always)]
    fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.ends.push(self.data.len() as u32);
    }
}

impl BlockColumn {
    /// Whether `row` has a value.
    #[inline(always)]
    pub fn is_valid(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|v| v[row] != 0)
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The validity bytes, when some row is NULL.
    pub fn valid(&self) -> Option<&[u8]> {
        self.valid.as_deref()
    }

    fn memory_size(&self) -> usize {
        let values = match &self.values {
            Values::None => 0,
            Values::W1(v) | Values::Codes1(v) => v.capacity(),
            Values::W2(v) | Values::Codes2(v) => v.capacity() * 2,
            Values::W4(v) => v.capacity() * 4,
            Values::W8(v) => v.capacity() * 8,
            Values::W16(v) => v.capacity() * 16,
            Values::Bytes(s) => s.ends.capacity() * 4 + s.data.capacity(),
        };
        values + self.valid.as_ref().map_or(0, Vec::capacity)
    }

    /// Bytes of the longest string.
    fn longest(&self) -> usize {
        match &self.values {
            Values::Bytes(s) => {
                let starts = std::iter::once(0).chain(s.ends.iter().copied());
                starts.zip(&s.ends).map(|(start, end)| end - start).max().unwrap_or(0) as usize
            }
            _ => 0,
        }
    }
}

impl Block {
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn column(&self, i: usize) -> &BlockColumn {
        &self.columns[i]
    }

    /// Bytes allocated.
    pub fn memory_size(&self) -> usize {
        self.columns.iter().map(BlockColumn::memory_size).sum()
    }

    /// Bytes of the longest strings of all columns together: no row is larger than that plus its fixed part.
    pub fn longest_row(&self) -> usize {
        self.columns.iter().map(BlockColumn::longest).sum()
    }

    /// Gives back vectors of which less than half is used. (A smaller excess would only seem to be given back: allocators
    /// shrink in place.)
    pub fn trim(&mut self) {
        fn trim<T>(v: &mut Vec<T>) {
            if v.len() < v.capacity() / 2 {
                v.shrink_to_fit();
            }
        }
        for column in &mut self.columns {
            match &mut column.values {
                Values::None => {}
                Values::W1(v) | Values::Codes1(v) => trim(v),
                Values::W2(v) | Values::Codes2(v) => trim(v),
                Values::W4(v) => trim(v),
                Values::W8(v) => trim(v),
                Values::W16(v) => trim(v),
                Values::Bytes(s) => {
                    trim(&mut s.ends);
                    trim(&mut s.data);
                }
            }
        }
    }

    /// What a block like this one needs room for.
    pub fn shape(&self) -> Shape {
        let columns = self.columns.iter().map(|c| match &c.values {
            Values::Codes2(_) => ColumnShape::Codes2,
            Values::Bytes(s) => ColumnShape::Bytes(s.data.len() + s.data.len() / 32),
            _ => ColumnShape::Least,
        });
        Shape {
            rows: self.rows,
            columns: columns.collect(),
        }
    }

    /// The rows as a batch of the first `width` columns; coded columns stay coded.
    pub fn into_batch(self, layout: &Layout, width: usize) -> Result<Batch> {
        let rows = self.rows;
        let columns = self.columns.into_iter().zip(&layout.columns).take(width);
        let columns = columns.map(|(column, storage)| Ok(Column::Array(storage.array(column, rows)?)));
        Ok(Batch::new(columns.collect::<Result<_>>()?, rows))
    }
}

impl Storage {
    fn array(&self, column: BlockColumn, rows: usize) -> Result<ArrayRef> {
        let nulls = column
            .valid
            .map(|v| NullBuffer::new(BooleanBuffer::collect_bool(v.len(), |i| v[i] != 0)));
        match (&self.kind, column.values) {
            (Kind::Null, _) => Ok(Arc::new(NullArray::new(rows))),
            (Kind::Boolean, Values::W1(v)) => Ok(Arc::new(BooleanArray::new(
                BooleanBuffer::collect_bool(v.len(), |i| v[i] != 0),
                nulls,
            ))),
            (Kind::Bytes { utf8, .. }, Values::Bytes(s)) => string_array(s, *utf8, nulls),
            (Kind::Bytes { utf8, dictionary }, Values::Codes1(codes)) => {
                coded_array(codes.iter().map(|&c| i32::from(c)).collect(), nulls, dictionary, *utf8)
            }
            (Kind::Bytes { utf8, dictionary }, Values::Codes2(codes)) => {
                coded_array(codes.iter().map(|&c| i32::from(c)).collect(), nulls, dictionary, *utf8)
            }
            (Kind::Nested(converter), Values::Bytes(s)) => nested_array(converter, s, nulls),
            (Kind::Fixed(_), Values::W1(v)) => self.fixed(Buffer::from_vec(v), rows, nulls),
            (Kind::Fixed(_), Values::W2(v)) => self.fixed(Buffer::from_vec(v), rows, nulls),
            (Kind::Fixed(_), Values::W4(v)) => self.fixed(Buffer::from_vec(v), rows, nulls),
            (Kind::Fixed(_), Values::W8(v)) => self.fixed(Buffer::from_vec(v), rows, nulls),
            (Kind::Fixed(_), Values::W16(v)) => self.fixed(Buffer::from_vec(v), rows, nulls),
            _ => Err(Error::internal(format!(
                "a block keeps {} in an unknown way",
                self.data_type
            ))),
        }
    }

    fn fixed(&self, buffer: Buffer, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let data = ArrayData::builder(self.data_type.clone())
            .len(rows)
            .add_buffer(buffer)
            .nulls(nulls)
            .build()?;
        Ok(make_array(data))
    }
}

fn string_array(strings: Strings, utf8: bool, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let starts = std::iter::once(0).chain(strings.ends.iter().copied());
    let lengths: Vec<u32> = starts.zip(&strings.ends).map(|(start, end)| end - start).collect();
    let views = PageViews::from_lengths(Buffer::from_vec(strings.data), &lengths, utf8)?;
    views.to_array_with_nulls(nulls)
}

fn coded_array(codes: Vec<i32>, nulls: Option<NullBuffer>, dictionary: &Dictionary, utf8: bool) -> Result<ArrayRef> {
    let values = dictionary.array(utf8)?;
    super::gather::dictionary_array(Int32Array::new(ScalarBuffer::from(codes), nulls), values)
}

fn nested_array(converter: &RowConverter, strings: Strings, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let too_long = || Error::resources("nested values of more than 2 GB in one batch");
    let mut offsets = Vec::with_capacity(strings.ends.len() + 1);
    offsets.push(0i32);
    for &end in &strings.ends {
        offsets.push(i32::try_from(end).map_err(|_| too_long())?);
    }
    let binary = BinaryArray::try_new(OffsetBuffer::new(offsets.into()), Buffer::from_vec(strings.data), None)?;
    let rows = converter.from_binary(binary);
    let arrays = converter.convert_rows(rows.iter())?;
    let array = arrays
        .into_iter()
        .next()
        .ok_or_else(|| Error::internal("a row encoding without column"))?;
    debug_assert_eq!(array.null_count(), nulls.map_or(0, |n| n.null_count()));
    Ok(array)
}

/// The bytes of a dictionary's values, `Utf8View` or `BinaryView`.
fn byte_values(values: &ArrayRef) -> Option<Vec<Option<&[u8]>>> {
    Some(match values.data_type() {
        DataType::Utf8View => {
            let strings = values.as_byte_view::<StringViewType>();
            strings.iter().map(|v| v.map(str::as_bytes)).collect()
        }
        DataType::BinaryView => values.as_binary_view().iter().collect(),
        _ => return None,
    })
}

/// The codes and values of a string or binary column that is coded.
fn coded(array: &ArrayRef) -> Option<&DictionaryArray<arrow::datatypes::Int32Type>> {
    let coded = array.as_dictionary_opt::<arrow::datatypes::Int32Type>()?;
    matches!(coded.values().data_type(), DataType::Utf8View | DataType::BinaryView).then_some(coded)
}
