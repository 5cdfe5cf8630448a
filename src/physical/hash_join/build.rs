//! The sink of a join's build side.

use super::{Join, JoinTable};
use crate::error::Result;
use crate::physical::pipeline::{Flow, LocalSink, Sink};
use crate::runtime::{QueryContext, Reservation};
use crate::types::DataType;
use crate::vector::memory::{detach, live_bytes};
use crate::vector::{Batch, Column};
use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::concat;
use parking_lot::Mutex;
use std::sync::Arc;

/// Keeps all rows, then makes the table and the runtime filters of them.
pub struct BuildSink {
    join: Arc<Join>,
    shared: Arc<Mutex<Vec<LocalRows>>>,
}

impl BuildSink {
    pub fn new(join: Arc<Join>) -> Self {
        Self {
            join,
            shared: Arc::default(),
        }
    }
}

struct LocalRows {
    /// Per column: the arrays of all batches.
    columns: Vec<Vec<ArrayRef>>,
    rows: usize,
    reservation: Reservation,
}

impl Sink for BuildSink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        let width = self.join.spec.build_types.len();
        let reservation = context.memory.reservation("hash join build");
        let rows = LocalRows {
            columns: vec![vec![]; width],
            rows: 0,
            reservation,
        };
        Ok(Box::new(LocalBuild {
            rows,
            shared: self.shared.clone(),
        }))
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        let spec = &self.join.spec;
        let mut locals = std::mem::take(&mut *self.shared.lock());
        let rows: usize = locals.iter().map(|l| l.rows).sum();
        let mut reservation = context.memory.reservation("hash join build");
        let parts: Vec<Mutex<Vec<ArrayRef>>> = (0..spec.build_types.len())
            .map(|i| {
                Mutex::new(
                    locals
                        .iter_mut()
                        .flat_map(|l| std::mem::take(&mut l.columns[i]))
                        .collect(),
                )
            })
            .collect();
        let joined: Vec<Mutex<Option<ArrayRef>>> = parts.iter().map(|_| Mutex::new(None)).collect();
        context.parallel(parts.len(), &|i| {
            let arrays = std::mem::take(&mut *parts[i].lock());
            let refs: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
            *joined[i].lock() = Some(if refs.is_empty() {
                new_empty_array(&spec.build_types[i])
            } else {
                concat(&refs)?
            });
            Ok(())
        })?;
        let columns: Vec<ArrayRef> = joined.into_iter().filter_map(|c| c.into_inner()).collect();
        drop(locals);
        reservation.grow(columns.iter().map(|c| live_bytes(c.as_ref())).sum())?;
        let batch = Batch::from_arrays(columns.clone(), rows);
        let keys = if rows > 0 {
            spec.build_keys.evaluate(&batch)?
        } else {
            empty_keys(&spec.key_types)
        };
        for (position, filter) in std::mem::take(&mut *self.join.filters.lock()) {
            filter.seal(&keys[position].to_array()?)?;
        }
        let table = JoinTable::new(spec, columns, keys, rows, context, reservation)?;
        let _ = self.join.table.set(Arc::new(table));
        Ok(())
    }
}

fn empty_keys(types: &[DataType]) -> Vec<Column> {
    types.iter().map(|t| Column::Array(new_empty_array(t))).collect()
}

struct LocalBuild {
    rows: LocalRows,
    shared: Arc<Mutex<Vec<LocalRows>>>,
}

impl LocalSink for LocalBuild {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        let rows = batch.len();
        for (i, column) in self.rows.columns.iter_mut().enumerate() {
            let array = detach(batch.column(i)?.to_array()?);
            self.rows.reservation.grow(live_bytes(array.as_ref()))?;
            column.push(array);
        }
        self.rows.rows += rows;
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        self.shared.lock().push(self.rows);
        Ok(())
    }
}
