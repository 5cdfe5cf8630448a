//! The transform of a join's probe side.

use super::matcher::Matcher;
use super::rows::partition_writer;
use super::{Join, JoinTable};
use crate::error::{Error, Result};
use crate::physical::pipeline::{Emit, Flow, LocalTransform, Transform};
use crate::runtime::{PartitionWriter, QueryContext, Reservation};
use crate::vector::Batch;
use std::sync::Arc;

/// Looks up the partners of each row in the build rows in memory; sends rows whose partners are on disk there, too.
pub struct Probe {
    join: Arc<Join>,
}

impl Probe {
    pub fn new(join: Arc<Join>) -> Self {
        Self { join }
    }
}

impl Transform for Probe {
    fn start(&self, context: &QueryContext) -> Result<()> {
        self.join.start_probing(context).map(|_| ())
    }

    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalTransform>> {
        let table: Arc<JoinTable> = self
            .join
            .table()
            .ok_or_else(|| Error::internal("a join's table is made before it is probed"))?;
        Ok(Box::new(LocalProbe {
            matcher: Matcher::new(self.join.clone(), table, context),
            join: self.join.clone(),
            context: context.clone(),
            writer: None,
        }))
    }
}

struct LocalProbe {
    join: Arc<Join>,
    context: QueryContext,
    matcher: Matcher,
    writer: Option<(PartitionWriter, Reservation)>,
}

impl LocalTransform for LocalProbe {
    fn push(&mut self, batch: Batch, emit: &mut Emit) -> Result<Flow> {
        let batch = match self.join.all_resident() {
            true => batch,
            false => self.spill(batch)?,
        };
        if batch.is_empty() {
            return Ok(Flow::More);
        }
        self.matcher.begin(batch)?;
        while let Some(output) = self.matcher.next()? {
            if emit(output)? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, _emit: &mut Emit) -> Result<()> {
        if let Some((writer, _reservation)) = self.writer.take() {
            self.join.add_spilled(|s| &mut s.probe, writer.finish()?);
        }
        Ok(())
    }
}

impl LocalProbe {
    /// Writes the rows whose partition is on disk; gives the others.
    fn spill(&mut self, batch: Batch) -> Result<Batch> {
        let join = &self.join;
        let keys = join.spec.probe_keys.evaluate(&batch)?;
        let partitions = join.partitions(&keys, batch.len(), 0, &self.context)?;
        let resident = join.resident();
        let (here, gone): (Vec<u32>, Vec<u32>) =
            (0..batch.len() as u32).partition(|&row| partitions[row as usize] < resident);
        if gone.is_empty() {
            return Ok(batch);
        }
        let gone_partitions: Vec<u32> = gone.iter().map(|&row| partitions[row as usize]).collect();
        if self.writer.is_none() {
            self.writer = Some(partition_writer(join, &join.probe_layout()?, &self.context)?);
        }
        if let Some((writer, _)) = &mut self.writer {
            writer.append(&batch.clone().select(gone), &gone_partitions)?;
        }
        Ok(batch.select(here))
    }
}
