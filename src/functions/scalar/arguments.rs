//! Reading arguments and writing results, so that a function is only its loop.
//!
//! Constants are read in place, never expanded. When every argument is constant, one row is computed and the result is
//! constant too. The makers of results are *strict*: a row in which some argument is NULL is NULL, without being computed.

use super::Arguments;
use crate::error::{Error, Result};
use crate::vector::{Column, substrings};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field};
use std::ops::Range;
use std::sync::Arc;

/// The values of one argument, addressed by row also when it is constant.
pub(super) struct Values<A> {
    pub array: A,
    mask: usize,
}

impl<A> Values<A> {
    /// The same rows in another class of array.
    pub fn map<B>(self, f: impl FnOnce(A) -> B) -> Values<B> {
        Values {
            array: f(self.array),
            mask: self.mask,
        }
    }
}

impl<A: Array> Values<A> {
    /// The position in `array` of a row.
    pub fn at(&self, row: usize) -> usize {
        row & self.mask
    }

    /// The value of a row that is not NULL.
    pub fn get<'x>(&'x self, row: usize) -> <&'x A as ArrayAccessor>::Item
    where
        &'x A: ArrayAccessor,
    {
        (&self.array).value(row & self.mask)
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row & self.mask)
    }

    /// Whether the value of row 0 serves all rows; there is none when no rows are asked for.
    pub fn is_constant(&self) -> bool {
        self.mask == 0 && !self.array.is_empty()
    }
}

/// A position in the elements of an array column.
pub(super) fn offset_of(elements: usize) -> Result<i32> {
    i32::try_from(elements).map_err(|_| Error::resources("one batch of arrays has more than 2147483647 elements"))
}

impl Arguments<'_> {
    /// The number of arguments.
    pub fn count(&self) -> usize {
        self.columns.len()
    }

    /// Argument `i`.
    pub fn column(&self, i: usize) -> Result<&Column> {
        self.columns
            .get(i)
            .ok_or_else(|| Error::internal(format!("a function was called without argument {}", i + 1)))
    }

    /// Argument `i` as an array of the class its signature promises.
    pub(super) fn read<A: Array + Clone + 'static>(&self, i: usize) -> Result<Values<A>> {
        let (array, constant) = self.column(i)?.as_array_or_single()?;
        let typed = array.as_any().downcast_ref::<A>().ok_or_else(|| {
            Error::internal(format!(
                "argument {} has the unexpected type {}",
                i + 1,
                array.data_type()
            ))
        })?;
        let none = Array::slice(typed, 0, 0);
        let kept = if self.rows == 0 {
            none.as_any().downcast_ref().unwrap_or(typed)
        } else {
            typed
        };
        Ok(Values {
            array: kept.clone(),
            mask: if constant { 0 } else { usize::MAX },
        })
    }

    pub(super) fn strings_of(&self, i: usize) -> Result<Values<StringViewArray>> {
        self.read(i)
    }

    pub(super) fn integers_of(&self, i: usize) -> Result<Values<Int64Array>> {
        self.read(i)
    }

    /// Argument `i` when the call has one and it is constant and not NULL.
    pub(super) fn constant_string(&self, i: usize) -> Result<Option<String>> {
        match self.columns.get(i) {
            Some(c) if c.is_constant() => {
                let values = self.strings_of(i)?;
                Ok((values.is_constant() && !values.is_null(0)).then(|| values.get(0).to_string()))
            }
            _ => Ok(None),
        }
    }

    fn all_constant(&self) -> bool {
        self.rows > 0 && self.columns.iter().all(Column::is_constant)
    }

    /// Rows to compute.
    pub(super) fn work(&self) -> usize {
        if self.all_constant() {
            self.rows.min(1)
        } else {
            self.rows
        }
    }

    /// The column for a result of [`Arguments::work`] rows.
    pub(super) fn finish(&self, array: ArrayRef) -> Column {
        if self.all_constant() {
            Column::Constant {
                value: array,
                rows: self.rows,
            }
        } else {
            Column::Array(array)
        }
    }

    /// Rows to compute in which some argument is NULL.
    pub(super) fn nulls(&self) -> Option<NullBuffer> {
        let rows = self.work();
        let mut all: Option<NullBuffer> = None;
        for column in self.columns {
            let nulls = match column {
                Column::Array(array) => array.logical_nulls(),
                Column::Constant { value, .. } => (value.logical_null_count() > 0).then(|| NullBuffer::new_null(rows)),
            };
            all = NullBuffer::union(all.as_ref(), nulls.as_ref());
        }
        all
    }

    /// Applies `f` to every value of argument 0; `f` must not fail on values under NULLs.
    pub(super) fn map1<A: ArrowPrimitiveType, R: ArrowPrimitiveType>(
        &self,
        f: impl Fn(A::Native) -> R::Native,
    ) -> Result<Column> {
        let values = self.read::<PrimitiveArray<A>>(0)?;
        Ok(self.finish_primitive(values.array.unary::<_, R>(f)))
    }

    /// Applies `f` to every value of argument 0 that is not NULL.
    pub(super) fn try_map1<A: ArrowPrimitiveType, R: ArrowPrimitiveType>(
        &self,
        f: impl Fn(A::Native) -> Result<R::Native>,
    ) -> Result<Column> {
        let values = self.read::<PrimitiveArray<A>>(0)?;
        Ok(self.finish_primitive(values.array.try_unary::<_, R, Error>(f)?))
    }

    /// Applies `f` to every pair of values; `f` must not fail on values under NULLs.
    pub(super) fn map2<A: ArrowPrimitiveType, B: ArrowPrimitiveType, R: ArrowPrimitiveType>(
        &self,
        f: impl Fn(A::Native, B::Native) -> R::Native,
    ) -> Result<Column> {
        let (a, b) = (self.read::<PrimitiveArray<A>>(0)?, self.read::<PrimitiveArray<B>>(1)?);
        let values: Vec<R::Native> = (0..self.work()).map(|row| f(a.get(row), b.get(row))).collect();
        Ok(self.finish_primitive(PrimitiveArray::<R>::new(values.into(), self.nulls())))
    }

    /// Applies `f` to every pair of values of which none is NULL.
    pub(super) fn try_map2<A: ArrowPrimitiveType, B: ArrowPrimitiveType, R: ArrowPrimitiveType>(
        &self,
        f: impl Fn(A::Native, B::Native) -> Result<R::Native>,
    ) -> Result<Column> {
        let (a, b) = (self.read::<PrimitiveArray<A>>(0)?, self.read::<PrimitiveArray<B>>(1)?);
        self.primitives::<R>(|row| f(a.get(row), b.get(row)).map(Some))
    }

    pub(super) fn finish_primitive<T: ArrowPrimitiveType>(&self, array: PrimitiveArray<T>) -> Column {
        self.finish(Arc::new(array.with_data_type(self.result_type.clone())))
    }

    /// A number, date or timestamp for each row; `None` makes NULL.
    pub(super) fn primitives<T: ArrowPrimitiveType>(
        &self,
        mut f: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<Column> {
        let nulls = self.nulls();
        let rows = self.work();
        let mut builder = PrimitiveBuilder::<T>::with_capacity(rows).with_data_type(self.result_type.clone());
        for row in 0..rows {
            match &nulls {
                Some(nulls) if nulls.is_null(row) => builder.append_null(),
                _ => builder.append_option(f(row)?),
            }
        }
        Ok(self.finish(Arc::new(builder.finish())))
    }

    /// A truth value for each row; `None` makes NULL.
    pub(super) fn booleans(&self, mut f: impl FnMut(usize) -> Result<Option<bool>>) -> Result<Column> {
        let nulls = self.nulls();
        let rows = self.work();
        let mut builder = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            match &nulls {
                Some(nulls) if nulls.is_null(row) => builder.append_null(),
                _ => builder.append_option(f(row)?),
            }
        }
        Ok(self.finish(Arc::new(builder.finish())))
    }

    /// A text for each row, written into an empty buffer that is used again; `None` makes NULL.
    pub(super) fn strings(&self, f: impl FnMut(usize, &mut String) -> Result<Option<()>>) -> Result<Column> {
        self.strings_unless(self.nulls(), f)
    }

    /// The same when `nulls` says which rows are NULL: for functions that read NULLs.
    pub(super) fn strings_unless(
        &self,
        nulls: Option<NullBuffer>,
        mut f: impl FnMut(usize, &mut String) -> Result<Option<()>>,
    ) -> Result<Column> {
        let rows = self.work();
        let mut builder = StringViewBuilder::with_capacity(rows);
        let mut text = String::new();
        for row in 0..rows {
            if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                builder.append_null();
                continue;
            }
            text.clear();
            match f(row, &mut text)? {
                Some(()) => builder.try_append_value(&text)?,
                None => builder.append_null(),
            }
        }
        Ok(self.finish(Arc::new(builder.finish())))
    }

    /// Bytes for each row, written into an empty buffer that is used again; `None` makes NULL.
    pub(super) fn binaries(&self, mut f: impl FnMut(usize, &mut Vec<u8>) -> Result<Option<()>>) -> Result<Column> {
        let nulls = self.nulls();
        let rows = self.work();
        let mut builder = BinaryViewBuilder::with_capacity(rows);
        let mut bytes = Vec::new();
        for row in 0..rows {
            if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                builder.append_null();
                continue;
            }
            bytes.clear();
            match f(row, &mut bytes)? {
                Some(()) => builder.try_append_value(&bytes)?,
                None => builder.append_null(),
            }
        }
        Ok(self.finish(Arc::new(builder.finish())))
    }

    /// An array of texts for each row, appended to the builder; `None` makes NULL.
    pub(super) fn string_lists(
        &self,
        mut f: impl FnMut(usize, &mut StringViewBuilder) -> Result<Option<()>>,
    ) -> Result<Column> {
        let nulls = self.nulls();
        let rows = self.work();
        let mut values = StringViewBuilder::new();
        let mut offsets = Vec::with_capacity(rows + 1);
        let mut valid = NullBufferBuilder::new(rows);
        offsets.push(0);
        for row in 0..rows {
            let null = nulls.as_ref().is_some_and(|n| n.is_null(row));
            valid.append(!null && f(row, &mut values)?.is_some());
            offsets.push(offset_of(values.len())?);
        }
        let list = ListArray::try_new(
            Arc::new(Field::new("item", DataType::Utf8View, true)),
            OffsetBuffer::new(offsets.into()),
            Arc::new(values.finish()),
            valid.finish(),
        )?;
        Ok(self.finish(Arc::new(list)))
    }

    /// A piece of argument 0 for each row, sharing its bytes; `None` makes NULL.
    pub(super) fn pieces(&self, f: impl FnMut(usize, &str) -> Result<Option<Range<usize>>>) -> Result<Column> {
        let source = self.strings_of(0)?;
        let array = substrings(&source.array, self.work(), self.nulls().as_ref(), f)?;
        Ok(self.finish(Arc::new(array)))
    }

    /// The same value in every row.
    pub(super) fn constant(&self, value: ArrayRef) -> Column {
        Column::Constant { value, rows: self.rows }
    }
}
