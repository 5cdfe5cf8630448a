//! A batch: some thousand rows, column by column, of which a selection may be alive.

use super::Column;
use crate::error::{Error, Result};
use crate::types::Schema;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::SchemaRef;

/// Ascending positions of the rows that are alive.
pub type Selection = ScalarBuffer<u32>;

/// Rows on their way through a pipeline. A filter narrows the selection and copies nothing; whoever needs dense
/// columns asks for them one by one.
#[derive(Debug, Clone)]
pub struct Batch {
    columns: Vec<Column>,
    rows: usize,
    selection: Option<Selection>,
}

impl Batch {
    /// A dense batch. Every column has `rows` elements.
    pub fn new(columns: Vec<Column>, rows: usize) -> Self {
        debug_assert!(columns.iter().all(|c| c.len() == rows), "every column has {rows} rows");
        Self {
            columns,
            rows,
            selection: None,
        }
    }

    /// A dense batch of plain arrays.
    pub fn from_arrays(arrays: Vec<ArrayRef>, rows: usize) -> Self {
        Self::new(arrays.into_iter().map(Column::Array).collect(), rows)
    }

    /// Rows alive.
    pub fn len(&self) -> usize {
        self.selection.as_ref().map_or(self.rows, |s| s.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows present in the columns, alive or not.
    pub fn physical_rows(&self) -> usize {
        self.rows
    }

    pub fn selection(&self) -> Option<&Selection> {
        self.selection.as_ref()
    }

    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The columns with all physical rows; only meaningful together with the selection.
    pub fn physical_columns(&self) -> &[Column] {
        &self.columns
    }

    /// Column `i` with exactly the rows that are alive.
    pub fn column(&self, i: usize) -> Result<Column> {
        let column = self
            .columns
            .get(i)
            .ok_or_else(|| Error::internal(format!("batch has no column {i}")))?;
        match &self.selection {
            None => Ok(column.clone()),
            Some(selection) => column.take(&UInt32Array::new(selection.clone(), None)),
        }
    }

    /// Keeps only the alive rows at `positions` (ascending, counted among the alive rows).
    pub fn select(mut self, positions: Vec<u32>) -> Self {
        self.selection = Some(match &self.selection {
            None => positions.into(),
            Some(old) => positions.iter().filter_map(|&p| old.get(p as usize).copied()).collect(),
        });
        self
    }

    /// The same rows without selection.
    pub fn compact(self) -> Result<Self> {
        match &self.selection {
            None => Ok(self),
            Some(selection) => {
                let rows = UInt32Array::new(selection.clone(), None);
                let columns = self.columns.iter().map(|c| c.take(&rows)).collect::<Result<_>>()?;
                Ok(Self {
                    columns,
                    rows: selection.len(),
                    selection: None,
                })
            }
        }
    }

    /// Keeps the columns at `positions`, in that order, under the same selection.
    pub fn project(&self, positions: &[usize]) -> Result<Self> {
        let columns = positions
            .iter()
            .map(|&i| {
                self.columns
                    .get(i)
                    .cloned()
                    .ok_or_else(|| Error::internal(format!("batch has no column {i}")))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            columns,
            rows: self.rows,
            selection: self.selection.clone(),
        })
    }

    /// Rows `offset..offset + len` of the alive rows.
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        match &self.selection {
            None => Self {
                columns: self.columns.iter().map(|c| c.slice(offset, len)).collect(),
                rows: len,
                selection: None,
            },
            Some(s) => Self {
                selection: Some(s.iter().skip(offset).take(len).copied().collect()),
                ..self.clone()
            },
        }
    }

    /// Plain arrow, dictionaries and constants expanded.
    pub fn to_record_batch(self, schema: &SchemaRef) -> Result<RecordBatch> {
        let batch = self.compact()?;
        let arrays = batch.columns.iter().map(Column::to_array).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows));
        Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
    }

    /// An empty batch with the columns of `schema`.
    pub fn empty(schema: &Schema) -> Self {
        Self::from_arrays(
            schema
                .iter()
                .map(|f| arrow::array::new_empty_array(&f.data_type))
                .collect(),
            0,
        )
    }

    /// Bytes that the physical rows need, see [`live_bytes`](super::memory::live_bytes).
    pub fn memory_size(&self) -> usize {
        self.columns.iter().map(Column::memory_size).sum::<usize>() + self.selection.as_ref().map_or(0, |s| s.len() * 4)
    }

    /// The same rows, letting go of string buffers of which they use little: for whoever keeps rows.
    pub fn detach(self) -> Self {
        let columns = self.columns.into_iter().map(|c| match c {
            Column::Array(array) => Column::Array(super::memory::detach(array)),
            constant => constant,
        });
        Self {
            columns: columns.collect(),
            rows: self.rows,
            selection: self.selection,
        }
    }
}

impl From<RecordBatch> for Batch {
    fn from(batch: RecordBatch) -> Self {
        let rows = batch.num_rows();
        Self::from_arrays(batch.columns().to_vec(), rows)
    }
}
