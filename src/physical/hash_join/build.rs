//! The sink of a join's build side.

use super::rows::BuildRows;
use super::{Join, Stage};
use crate::error::Result;
use crate::physical::pipeline::{Flow, LocalSink, Sink};
use crate::runtime::{QueryContext, Shrink};
use crate::vector::Batch;
use arrow::array::ArrayRef;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Batches after which `debug_force_spill` sends half of the partitions in memory to disk.
const FORCED_BATCHES: usize = 3;

/// Keeps all rows, and makes the runtime filters of their keys.
pub struct BuildSink {
    join: Arc<Join>,
    workers: Arc<Mutex<Vec<BuildRows>>>,
}

impl BuildSink {
    pub fn new(join: Arc<Join>) -> Self {
        Self {
            join,
            workers: Arc::default(),
        }
    }
}

impl Sink for BuildSink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalBuild {
            rows: BuildRows::new(&self.join, context),
            join: self.join.clone(),
            context: context.clone(),
            batches: 0,
            workers: self.workers.clone(),
        }))
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        let join = &self.join;
        let mut all = BuildRows::new(join, context);
        for mut rows in std::mem::take(&mut *self.workers.lock()) {
            rows.split_held(join)?;
            rows.fit_reservation();
            rows.seal_spilled(join)?;
            all.absorb(rows);
        }
        all.reload(join)?;
        self.seal_filters(&all)?;
        *join.stage.lock() = Stage::AtRest(Box::new(all));
        let state: Weak<Join> = Arc::downgrade(join);
        context.memory.register(state as Weak<dyn Shrink>);
        Ok(())
    }
}

impl BuildSink {
    /// A filter is complete when it has the keys of all rows, those on disk included.
    fn seal_filters(&self, rows: &BuildRows) -> Result<()> {
        self.join.seal_range_filters();
        let filters = std::mem::take(&mut *self.join.filters.lock());
        if filters.is_empty() {
            return Ok(());
        }
        let in_memory = rows.batches().iter().map(|b| self.join.spec.build_keys.evaluate(b));
        let in_memory = in_memory.collect::<Result<Vec<_>>>()?;
        for (position, filter) in filters {
            let keys = in_memory.iter().map(|keys| keys[position].to_array());
            filter.seal(&keys.collect::<Result<Vec<ArrayRef>>>()?)?;
        }
        Ok(())
    }
}

struct LocalBuild {
    join: Arc<Join>,
    context: QueryContext,
    rows: BuildRows,
    batches: usize,
    workers: Arc<Mutex<Vec<BuildRows>>>,
}

impl LocalSink for LocalBuild {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        self.context.cancel.check()?;
        let join = &self.join;
        join.note_build_rows(&batch)?;
        self.batches += 1;
        if self.context.config.debug_force_spill && self.batches.is_multiple_of(FORCED_BATCHES) {
            join.lower_resident(join.resident());
        }
        self.rows.keep(batch, &self.join)?;
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        self.workers.lock().push(self.rows);
        Ok(())
    }
}
