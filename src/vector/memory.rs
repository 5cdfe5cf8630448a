//! What rows really take, and letting go of buffers of which they use little.

use crate::error::Result;
use arrow::array::{Array, ArrayData, ArrayRef, AsArray, ListArray, MapArray, StructArray};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use std::collections::HashSet;
use std::sync::Arc;

/// Bytes that the rows of an array need: of shared string buffers only the part they use, of dictionaries the codes.
pub fn live_bytes(array: &dyn Array) -> usize {
    let nulls = array.nulls().map_or(0, |_| array.len().div_ceil(8));
    nulls
        + match array.data_type() {
            DataType::Utf8View => array.len() * 16 + array.as_string_view().total_buffer_bytes_used(),
            DataType::BinaryView => array.len() * 16 + array.as_binary_view().total_buffer_bytes_used(),
            DataType::Dictionary(_, _) => array.len() * 4,
            t => match t.primitive_width() {
                Some(width) => array.len() * width,
                None => array.get_array_memory_size(),
            },
        }
}

/// The same values; strings are copied out of buffers of which they use only a small part, so that a few rows do not keep
/// whole pages alive.
pub fn detach(array: ArrayRef) -> ArrayRef {
    const WORTH_IT: usize = 4096;
    let wasteful = |held: usize, used: usize| held > WORTH_IT && held > 4 * used;
    match array.data_type() {
        DataType::Utf8View => {
            let views = array.as_string_view();
            let held = views.data_buffers().iter().map(|b| b.len()).sum();
            if wasteful(held, views.total_buffer_bytes_used()) {
                Arc::new(views.gc())
            } else {
                array
            }
        }
        DataType::BinaryView => {
            let views = array.as_binary_view();
            let held = views.data_buffers().iter().map(|b| b.len()).sum();
            if wasteful(held, views.total_buffer_bytes_used()) {
                Arc::new(views.gc())
            } else {
                array
            }
        }
        _ => array,
    }
}

/// The same values in buffers that hold nothing else, for an array that `take` made: it copies values but shares the
/// buffers of strings, also of those inside arrays, maps and rows.
pub fn compact(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = compact(list.values())?;
            Arc::new(ListArray::try_new(
                item.clone(),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?)
        }
        DataType::Map(entries, sorted) => {
            let map = array.as_map();
            let pairs = compact_rows(map.entries())?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted)?)
        }
        DataType::Struct(_) => Arc::new(compact_rows(array.as_struct())?),
        _ => array.clone(),
    })
}

fn compact_rows(rows: &StructArray) -> Result<StructArray> {
    let columns = rows.columns().iter().map(compact).collect::<Result<_>>()?;
    let (fields, nulls) = (rows.fields().clone(), rows.nulls().cloned());
    Ok(StructArray::try_new_with_length(fields, columns, nulls, rows.len())?)
}

/// Adds up what arrays keep allocated: each buffer once, however many arrays share it, and whole, however little of it an
/// array uses.
#[derive(Debug, Default)]
pub struct HeldBytes {
    seen: HashSet<usize>,
}

impl HeldBytes {
    /// Bytes that are held because of `array` and were not before.
    pub fn add(&mut self, array: &dyn Array) -> usize {
        self.add_data(&array.to_data())
    }

    fn add_data(&mut self, data: &ArrayData) -> usize {
        let nulls = data.nulls().map(|n| n.buffer());
        let buffers: usize = data.buffers().iter().chain(nulls).map(|b| self.add_buffer(b)).sum();
        buffers + data.child_data().iter().map(|c| self.add_data(c)).sum::<usize>()
    }

    fn add_buffer(&mut self, buffer: &Buffer) -> usize {
        match self.seen.insert(buffer.data_ptr().as_ptr() as usize) {
            true => buffer.capacity(),
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;

    #[test]
    fn a_shared_buffer_is_held_once_and_whole() {
        let all: ArrayRef = Arc::new(StringViewArray::from_iter_values(
            (0..1000).map(|i| format!("a rather long text, number {i}")),
        ));
        let mut held = HeldBytes::default();
        let first = held.add(all.slice(0, 10).as_ref());
        assert!(first > 1000 * 40, "{first}");
        assert_eq!(held.add(all.slice(10, 10).as_ref()), 0);
        assert!(held.add(compact(&all.slice(0, 10)).unwrap().as_ref()) < 2000);
    }

    #[test]
    fn a_few_rows_let_go_of_a_large_buffer() {
        let all: ArrayRef = Arc::new(StringViewArray::from_iter_values(
            (0..1000).map(|i| format!("a rather long text, number {i}")),
        ));
        let few = detach(all.slice(10, 2));
        assert_eq!(few.as_string_view().value(0), "a rather long text, number 10");
        assert!(few.get_array_memory_size() < 2000, "{}", few.get_array_memory_size());
        assert!(live_bytes(few.as_ref()) < 200);
    }
}
