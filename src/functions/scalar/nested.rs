//! Reading and writing arrays and maps. Elements of all rows lie in one child array; results are made of positions in
//! child arrays, which are gathered once at the end.

use super::Arguments;
use super::arguments::{Values, offset_of};
use crate::error::{Error, Result};
use crate::types::DataType;
use crate::vector::Column;
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, concat, take};
use arrow::datatypes::{FieldRef, UInt32Type};
use arrow::row::{RowConverter, Rows, SortField};
use std::ops::Range;
use std::sync::Arc;

/// Elements that one call may make out of nothing (`sequence`, `repeat`).
pub(super) const MAX_GENERATED: usize = 50_000_000;

/// One argument of array or map type.
pub(super) struct Nested {
    values: Values<ListArray>,
}

impl Nested {
    /// Argument `i`; a map is read as an array of its entries.
    pub fn of(a: &Arguments, i: usize) -> Result<Self> {
        let values = match a.column(i)?.data_type() {
            DataType::Map(..) => a.read::<MapArray>(i)?.map(ListArray::from),
            _ => a.read::<ListArray>(i)?,
        };
        Ok(Self { values })
    }

    /// The elements of all rows.
    pub fn elements(&self) -> &ArrayRef {
        self.values.array.values()
    }

    /// Keys and values of all rows, of a map.
    pub fn entries(&self) -> Result<(ArrayRef, ArrayRef)> {
        match self.elements().as_struct_opt().map(StructArray::columns) {
            Some([keys, values]) => Ok((keys.clone(), values.clone())),
            _ => Err(Error::internal("a map without keys and values")),
        }
    }

    /// Where the elements of a row lie.
    pub fn range(&self, row: usize) -> Range<usize> {
        let at = self.values.at(row);
        let offsets = self.values.array.value_offsets();
        let bound = |i: usize| offsets.get(i).map_or(0, |&offset| offset as usize);
        bound(at)..bound(at + 1)
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.values.is_null(row)
    }
}

/// Comparable bytes for the values of several arrays of one type; equal values have equal bytes, NULLs come last.
pub(super) fn encoded(arrays: &[&ArrayRef]) -> Result<Vec<Rows>> {
    encoded_with(arrays, SortOptions::new(false, false))
}

pub(super) fn encoded_with(arrays: &[&ArrayRef], options: SortOptions) -> Result<Vec<Rows>> {
    let Some(first) = arrays.first() else { return Ok(vec![]) };
    let converter = RowConverter::new(vec![SortField::new_with_options(first.data_type().clone(), options)])?;
    arrays
        .iter()
        .map(|array| Ok(converter.convert_columns(&[Arc::clone(array)])?))
        .collect()
}

/// Positions of elements in the concatenation of some arrays.
pub(super) type Positions = PrimitiveBuilder<UInt32Type>;

/// Appends positions that lie one after the other.
pub(super) fn push_range(out: &mut Positions, range: Range<usize>) {
    range.for_each(|i| out.append_value(i as u32));
}

/// Offsets and NULLs of a list column under construction.
struct Bounds {
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

/// Calls `f` for each row that `nulls` leaves; it appends the positions of the row's elements, or gives `None` for NULL.
fn collect_positions(
    rows: usize,
    nulls: Option<NullBuffer>,
    mut f: impl FnMut(usize, &mut Positions) -> Result<Option<()>>,
) -> Result<(UInt32Array, OffsetBuffer<i32>, Option<NullBuffer>)> {
    let mut positions = Positions::new();
    let mut bounds = Bounds {
        offsets: vec![0],
        valid: Vec::with_capacity(rows),
    };
    for row in 0..rows {
        let null = nulls.as_ref().is_some_and(|n| n.is_null(row));
        bounds.valid.push(!null && f(row, &mut positions)?.is_some());
        bounds.offsets.push(offset_of(positions.len())?);
    }
    let valid = Some(NullBuffer::from(bounds.valid)).filter(|n| n.null_count() > 0);
    Ok((positions.finish(), OffsetBuffer::new(bounds.offsets.into()), valid))
}

/// The arrays one after the other; itself when there is one.
fn joined(arrays: &[&ArrayRef]) -> Result<ArrayRef> {
    match arrays {
        [one] => Ok(Arc::clone(one)),
        many => Ok(concat(&many.iter().map(|a| a.as_ref()).collect::<Vec<_>>())?),
    }
}

fn element_field(a: &Arguments) -> Result<FieldRef> {
    match a.result_type {
        DataType::List(field) | DataType::Map(field, _) => Ok(field.clone()),
        other => Err(Error::internal(format!(
            "a function that makes arrays promised {other}"
        ))),
    }
}

impl Arguments<'_> {
    /// An array for each row, made of elements of `sources`; rows with a NULL argument are NULL.
    pub(super) fn lists(
        &self,
        sources: &[&ArrayRef],
        f: impl FnMut(usize, &mut Positions) -> Result<Option<()>>,
    ) -> Result<Column> {
        self.lists_unless(self.nulls(), sources, f)
    }

    /// The same when `nulls` says which rows are NULL.
    pub(super) fn lists_unless(
        &self,
        nulls: Option<NullBuffer>,
        sources: &[&ArrayRef],
        f: impl FnMut(usize, &mut Positions) -> Result<Option<()>>,
    ) -> Result<Column> {
        let (positions, offsets, nulls) = collect_positions(self.work(), nulls, f)?;
        let values = take(&joined(sources)?, &positions, None)?;
        let list = ListArray::try_new(element_field(self)?, offsets, values, nulls)?;
        Ok(self.finish(Arc::new(list)))
    }

    /// A map for each row, made of entries at positions of `keys` and `values`. Keys must differ and not be NULL.
    pub(super) fn maps(
        &self,
        nulls: Option<NullBuffer>,
        keys: &[&ArrayRef],
        values: &[&ArrayRef],
        f: impl FnMut(usize, &mut Positions) -> Result<Option<()>>,
    ) -> Result<Column> {
        let (positions, offsets, nulls) = collect_positions(self.work(), nulls, f)?;
        let keys = take(&joined(keys)?, &positions, None)?;
        let values = take(&joined(values)?, &positions, None)?;
        check_keys(&keys, &offsets)?;
        let field = element_field(self)?;
        let DataType::Struct(fields) = field.data_type() else {
            return Err(Error::internal("a map without entries"));
        };
        let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
        let map = MapArray::try_new(field, offsets, entries, nulls, false)?;
        Ok(self.finish(Arc::new(map)))
    }

    /// One value for each row, out of `source`; `None` makes NULL, as does a NULL argument.
    pub(super) fn elements(
        &self,
        source: &ArrayRef,
        mut f: impl FnMut(usize) -> Result<Option<usize>>,
    ) -> Result<Column> {
        let nulls = self.nulls();
        let mut positions = Positions::with_capacity(self.work());
        for row in 0..self.work() {
            match &nulls {
                Some(nulls) if nulls.is_null(row) => positions.append_null(),
                _ => positions.append_option(f(row)?.map(|i| i as u32)),
            }
        }
        Ok(self.finish(take(source, &positions.finish(), None)?))
    }
}

/// Refuses maps with a NULL key or the same key twice.
fn check_keys(keys: &ArrayRef, offsets: &OffsetBuffer<i32>) -> Result<()> {
    if keys.logical_null_count() > 0 {
        return Err(Error::execution("a map key is NULL"));
    }
    let rows = encoded(&[keys])?;
    let Some(rows) = rows.first() else { return Ok(()) };
    let mut seen = hashbrown::HashMap::new();
    for (map, bounds) in offsets.windows(2).enumerate() {
        let [start, end] = bounds else { continue };
        for i in *start as usize..*end as usize {
            if seen.insert(rows.row(i).data(), map) == Some(map) {
                let key = crate::types::ScalarValue::from_array(keys, i)?;
                return Err(Error::execution(format!("the map key {key} occurs twice")));
            }
        }
    }
    Ok(())
}
