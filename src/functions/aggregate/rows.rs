//! Whole rows kept for each group: what `array_agg`, `listagg` and ordered aggregates collect.

use super::groups::nulls_of;
use crate::error::{Error, Result};
use crate::types::{DataType, array_of, row_of};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StructArray, UInt32Array, new_empty_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{concat, filter, take};
use std::sync::Arc;

/// Rows in the order in which they came, each with its group.
pub(super) struct RowLists {
    types: Vec<DataType>,
    /// `chunks[i]` are the columns of the `i`-th piece of rows.
    chunks: Vec<Vec<ArrayRef>>,
    groups: Vec<u32>,
    bytes: usize,
}

/// Rows sorted by group, within a group in the order in which they came.
pub(super) struct Gathered {
    pub columns: Vec<ArrayRef>,
    /// The rows of group `g` are `offsets[g]..offsets[g + 1]`.
    pub offsets: OffsetBuffer<i32>,
}

impl RowLists {
    /// No rows yet; their columns will have these types.
    pub fn new(types: &[DataType]) -> Self {
        Self {
            types: types.to_vec(),
            chunks: vec![],
            groups: vec![],
            bytes: 0,
        }
    }

    /// Adds the rows of `columns`, or those that are valid in `keep`.
    pub fn push(&mut self, columns: &[ArrayRef], groups: &[u32], keep: Option<&NullBuffer>) -> Result<()> {
        let columns = columns.iter().take(self.types.len());
        let chunk: Vec<ArrayRef> = match keep {
            None => {
                self.groups.extend_from_slice(groups);
                columns.map(unshared).collect::<Result<_>>()?
            }
            Some(keep) => {
                let kept = keep.valid_indices().filter_map(|row| groups.get(row).copied());
                self.groups.extend(kept);
                let mask = BooleanArray::new(keep.inner().clone(), None);
                columns.map(|c| unshared(&filter(c, &mask)?)).collect::<Result<_>>()?
            }
        };
        self.bytes += chunk.iter().map(|c| c.get_array_memory_size()).sum::<usize>();
        self.chunks.push(chunk);
        Ok(())
    }

    /// Adds the rows of a state made by [`Gathered::into_lists`].
    pub fn push_lists(&mut self, lists: &ArrayRef, groups: &[u32]) -> Result<()> {
        let (columns, groups) = flatten_lists(lists, groups, self.types.len());
        self.push(&columns, &groups, None)
    }

    /// All rows in the order in which they came, with their groups. Forgets them.
    pub fn take_rows(&mut self) -> Result<(Vec<ArrayRef>, Vec<u32>)> {
        self.bytes = 0;
        let chunks = std::mem::take(&mut self.chunks);
        let column = |i: usize| -> Result<ArrayRef> {
            let pieces: Vec<&dyn Array> = chunks.iter().map(|c| c[i].as_ref()).collect();
            match pieces.as_slice() {
                [] => Ok(new_empty_array(&self.types[i])),
                [_] => Ok(chunks[0][i].clone()),
                _ => Ok(concat(&pieces)?),
            }
        };
        let columns = (0..self.types.len()).map(column).collect::<Result<_>>()?;
        Ok((columns, std::mem::take(&mut self.groups)))
    }

    /// All rows, group by group. Forgets them.
    pub fn take(&mut self, group_count: usize) -> Result<Gathered> {
        let (columns, groups) = self.take_rows()?;
        Gathered::new(columns, &groups, group_count)
    }

    pub fn memory_size(&self) -> usize {
        let chunk = size_of::<Vec<ArrayRef>>() + self.types.len() * size_of::<ArrayRef>();
        self.bytes + self.groups.capacity() * size_of::<u32>() + self.chunks.capacity() * chunk
    }
}

impl Gathered {
    /// Sorts rows by group.
    pub fn new(columns: Vec<ArrayRef>, groups: &[u32], group_count: usize) -> Result<Self> {
        let (offsets, order) = by_group(groups, group_count)?;
        let columns = match order {
            None => columns,
            Some(order) => columns
                .iter()
                .map(|c| Ok(take(c, &order, None)?))
                .collect::<Result<_>>()?,
        };
        Ok(Self { columns, offsets })
    }

    /// Which groups have a row; `None` when all have.
    pub fn not_empty(&self) -> Option<NullBuffer> {
        let filled: NullBuffer = self.offsets.lengths().map(|len| len > 0).collect();
        Some(filled).filter(|n| n.null_count() > 0)
    }

    /// One list for each group: of the values when there is one column, otherwise of rows.
    pub fn into_lists(mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let types: Vec<DataType> = self.columns.iter().map(|c| c.data_type().clone()).collect();
        let DataType::List(item) = lists_type(&types) else {
            return Err(Error::internal("a list type that is not a list"));
        };
        let values = match (self.columns.len(), item.data_type()) {
            (1, _) => self.columns.remove(0),
            (_, DataType::Struct(fields)) => {
                let rows = self.columns.first().map_or(0, |c| c.len());
                Arc::new(StructArray::try_new_with_length(
                    fields.clone(),
                    self.columns,
                    None,
                    rows,
                )?)
            }
            (n, _) => return Err(Error::internal(format!("a list of {n} columns"))),
        };
        Ok(Arc::new(ListArray::try_new(item, self.offsets, values, nulls)?))
    }
}

/// The type of the column that [`Gathered::into_lists`] makes.
pub(super) fn lists_type(types: &[DataType]) -> DataType {
    match types {
        [one] => array_of(one.clone()),
        many => {
            let fields = many.iter().enumerate();
            array_of(row_of(fields.map(|(i, t)| (format!("c{i}"), t.clone())).collect()))
        }
    }
}

/// The rows inside lists, with the group of the list that each is in.
pub(super) fn flatten_lists(lists: &ArrayRef, groups: &[u32], width: usize) -> (Vec<ArrayRef>, Vec<u32>) {
    let lists = lists.as_list::<i32>();
    let (values, groups) = flatten(lists.values(), lists.offsets(), groups);
    match width {
        1 => (vec![values], groups),
        _ => (values.as_struct().columns().to_vec(), groups),
    }
}

/// The values between the first and the last offset, and the group of each.
pub(super) fn flatten(values: &ArrayRef, offsets: &OffsetBuffer<i32>, groups: &[u32]) -> (ArrayRef, Vec<u32>) {
    let (first, last) = (offsets.first() as usize, offsets.last() as usize);
    let of_rows = groups
        .iter()
        .zip(offsets.lengths())
        .flat_map(|(&g, len)| std::iter::repeat_n(g, len))
        .collect();
    (values.slice(first, last - first), of_rows)
}

/// Where each group's rows begin once rows are sorted by group, and the order that sorts them (`None`: they are).
pub(crate) fn by_group(groups: &[u32], group_count: usize) -> Result<(OffsetBuffer<i32>, Option<UInt32Array>)> {
    if i32::try_from(groups.len()).is_err() {
        let message = format!(
            "an aggregate collects {} values, more than one list can hold",
            groups.len()
        );
        return Err(Error::resources(message));
    }
    let mut starts = vec![0i32; group_count + 1];
    for &g in groups {
        starts[g as usize + 1] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    let offsets = OffsetBuffer::new(starts.clone().into());
    if groups.is_sorted() {
        return Ok((offsets, None));
    }
    let mut order = vec![0u32; groups.len()];
    for (row, &g) in groups.iter().enumerate() {
        let place = &mut starts[g as usize];
        order[*place as usize] = row as u32;
        *place += 1;
    }
    Ok((offsets, Some(order.into())))
}

/// The rows where none of the columns is NULL; `None` when that is all rows.
pub(super) fn complete_rows(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns
        .iter()
        .fold(None, |all, c| NullBuffer::union(all.as_ref(), nulls_of(c).as_ref()))
}

/// The same values without buffers that mostly belong to other rows, so that keeping a few values of a batch does not
/// keep the batch.
pub(crate) fn unshared(array: &ArrayRef) -> Result<ArrayRef> {
    let copied = |a: &ArrayRef| -> Result<ArrayRef> {
        let rows: UInt32Array = (0..a.len() as u32).collect();
        Ok(take(a, &rows, None)?)
    };
    Ok(match array.data_type() {
        DataType::Utf8View => {
            let view = array.as_string_view();
            let held: usize = view.data_buffers().iter().map(|b| b.capacity()).sum();
            match held > 2 * view.total_buffer_bytes_used() {
                true => Arc::new(view.gc()),
                false => array.clone(),
            }
        }
        DataType::BinaryView => {
            let view = array.as_binary_view();
            let held: usize = view.data_buffers().iter().map(|b| b.capacity()).sum();
            match held > 2 * view.total_buffer_bytes_used() {
                true => Arc::new(view.gc()),
                false => array.clone(),
            }
        }
        _ => {
            let own = array.to_data().get_slice_memory_size()?;
            match array.get_array_memory_size() > 2 * own + 1024 {
                true => copied(array)?,
                false => array.clone(),
            }
        }
    })
}
