//! Joins the rows on disk: partition by partition, each with as many of its build rows at once as memory allows.
//!
//! A partition that is far too large is cut again by other bits of the hash. Where that does not help, because one key has
//! most of the rows, its build rows are read in several chunks, and its probe rows once for each chunk.

use super::matcher::Matcher;
use super::rows::{BuildRows, partition_writer};
use super::table::JoinTable;
use super::unmatched::next_build_rows;
use super::{Join, Spilled};
use crate::error::Result;
use crate::expression::ExpressionList;
use crate::physical::pipeline::{PartitionReader, Source};
use crate::runtime::{LEVELS, PARTITIONS, QueryContext, Reservation, SpillReader, SpillRun};
use crate::vector::Batch;
use crate::vector::block::Layout;
use arrow::array::BooleanBufferBuilder;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// A partition is cut again when it is this many times larger than what may be in memory.
const TOO_LARGE: usize = 4;

/// Joins what is on disk when all rows have been probed.
pub struct SpilledScan {
    join: Arc<Join>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    context: Option<QueryContext>,
    tasks: VecDeque<Task>,
    next_ordinal: usize,
    /// Bytes of build rows that one worker may have in memory.
    chunk_bytes: usize,
}

/// A partition.
struct Task {
    build: Vec<SpillRun>,
    probe: Vec<SpillRun>,
    level: u32,
    /// Cutting it again may help.
    divisible: bool,
}

impl Task {
    fn build_rows(&self) -> u64 {
        self.build.iter().map(SpillRun::rows).sum()
    }

    fn probe_rows(&self) -> usize {
        self.probe.iter().map(SpillRun::rows).sum::<u64>() as usize
    }

    /// Whether anything can come out.
    fn is_worthwhile(&self, join: &Join) -> bool {
        match (self.build_rows(), self.probe_rows()) {
            (0, 0) => false,
            (0, _) => join.spec.output.emits_unmatched_probe_rows(),
            (_, 0) => join.spec.output.emits_unmatched_build_rows(),
            _ => true,
        }
    }
}

impl SpilledScan {
    pub fn new(join: Arc<Join>) -> Self {
        Self {
            join,
            shared: Arc::default(),
        }
    }
}

impl Source for SpilledScan {
    fn start(&self, context: &QueryContext) -> Result<()> {
        let join = &self.join;
        join.end_probing();
        let Spilled { build, probe } = std::mem::take(&mut *join.spilled.lock());
        let mut shared = self.shared.lock();
        shared.tasks = tasks(build, probe, 0, u64::MAX, join);
        let readers = context.threads().min(shared.tasks.len()).max(1);
        shared.chunk_bytes = join.operator.fair_room() / readers;
        shared.context = Some(context.clone());
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.shared.lock().tasks.is_empty()
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let mut shared = self.shared.lock();
        let Some(context) = shared.context.clone() else {
            return Ok(None);
        };
        let Some(task) = shared.tasks.pop_front() else {
            return Ok(None);
        };
        let ordinal = shared.next_ordinal;
        shared.next_ordinal += 1;
        Ok(Some(Box::new(SpilledReader {
            reservation: self.join.operator.reservation(),
            build: Rows::new(&task.build),
            task,
            join: self.join.clone(),
            shared: self.shared.clone(),
            chunk_bytes: shared.chunk_bytes,
            context,
            ordinal,
            begun: false,
            last_chunk: false,
            chunk: None,
            matched: BooleanBufferBuilder::new(0),
        })))
    }
}

/// The partitions that can give rows. `parent` is how many build rows they were cut from.
fn tasks(
    mut build: Vec<Vec<SpillRun>>,
    mut probe: Vec<Vec<SpillRun>>,
    level: u32,
    parent: u64,
    join: &Join,
) -> VecDeque<Task> {
    build.resize_with(PARTITIONS, Vec::new);
    probe.resize_with(PARTITIONS, Vec::new);
    let tasks = build.into_iter().zip(probe).map(|(build, probe)| {
        let mut task = Task {
            build,
            probe,
            level,
            divisible: false,
        };
        task.divisible = level + 1 < LEVELS && !join.spec.key_types.is_empty() && task.build_rows() < parent / 4 * 3;
        task
    });
    tasks.filter(|t| t.is_worthwhile(join)).collect()
}

/// The rows of several runs, one after the other.
struct Rows {
    runs: VecDeque<SpillRun>,
    reader: Option<SpillReader>,
    /// A batch that was read and given back.
    pending: Option<Batch>,
}

impl Rows {
    fn new(runs: &[SpillRun]) -> Self {
        Self {
            runs: runs.iter().cloned().collect(),
            reader: None,
            pending: None,
        }
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        if self.pending.is_some() {
            return Ok(self.pending.take());
        }
        loop {
            if let Some(reader) = &mut self.reader
                && let Some(batch) = reader.next_batch()?
            {
                return Ok(Some(batch));
            }
            match self.runs.pop_front() {
                Some(run) => self.reader = Some(run.reader()),
                None => return Ok(None),
            }
        }
    }
}

/// Build rows in memory and the probe rows on their way past them.
struct Chunk {
    table: Arc<JoinTable>,
    matcher: Matcher,
    probe: Rows,
    /// Probe rows before the batch at work, and in it.
    before: usize,
    batch_rows: usize,
    /// Build rows still to be given out, once all probe rows have passed.
    unmatched: Option<Range<usize>>,
}

struct SpilledReader {
    join: Arc<Join>,
    shared: Arc<Mutex<Shared>>,
    context: QueryContext,
    ordinal: usize,
    task: Task,
    chunk_bytes: usize,
    begun: bool,
    build: Rows,
    last_chunk: bool,
    chunk: Option<Chunk>,
    /// Which probe rows had a partner in earlier chunks; empty when there is but one chunk or it does not matter.
    matched: BooleanBufferBuilder,
    /// For `matched`.
    reservation: Reservation,
}

impl PartitionReader for SpilledReader {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        if !self.begun && self.is_too_large() {
            self.begun = true;
            self.last_chunk = true;
            self.cut_again()?;
        }
        loop {
            self.context.cancel.check()?;
            if let Some(batch) = self.next_of_chunk()? {
                return Ok(Some(batch));
            }
            if !self.next_chunk()? {
                return Ok(None);
            }
        }
    }
}

impl SpilledReader {
    fn is_too_large(&self) -> bool {
        let rows = self.task.build_rows() as usize;
        if self.context.config.debug_force_spill && self.task.level == 0 {
            return self.task.divisible && rows > 1;
        }
        let on_disk: usize = self.task.build.iter().map(|run| run.bytes() as usize).sum();
        let in_memory = on_disk + rows * crate::vector::keys::key_bytes(&self.join.spec.key_types);
        self.task.divisible && in_memory > self.chunk_bytes.saturating_mul(TOO_LARGE)
    }

    /// Cuts both sides by other bits of the hash, into tasks of their own.
    fn cut_again(&mut self) -> Result<()> {
        let (join, level) = (&self.join, self.task.level + 1);
        let build = self.cut(&self.task.build, &join.spec.build_keys, &join.build_layout()?, level)?;
        let probe = self.cut(&self.task.probe, &join.spec.probe_keys, &join.probe_layout()?, level)?;
        let tasks = tasks(build, probe, level, self.task.build_rows(), join);
        self.task.build.clear();
        self.task.probe.clear();
        self.build = Rows::new(&[]);
        self.join.metrics.note_passes(u64::from(level) + 1);
        self.shared.lock().tasks.extend(tasks);
        Ok(())
    }

    fn cut(
        &self,
        runs: &[SpillRun],
        keys: &ExpressionList,
        layout: &Arc<Layout>,
        level: u32,
    ) -> Result<Vec<Vec<SpillRun>>> {
        let (mut writer, _reservation) = partition_writer(&self.join, layout, &self.context)?;
        let mut rows = Rows::new(runs);
        while let Some(batch) = rows.next()? {
            self.context.cancel.check()?;
            let keys = keys.evaluate(&batch)?;
            let partitions = self.join.partitions(&keys, batch.len(), level, &self.context)?;
            writer.append(&batch, &partitions)?;
        }
        let runs = writer.finish()?;
        runs.iter()
            .for_each(|run| self.join.metrics.add_spilled_run(run.bytes()));
        Ok(runs.into_iter().map(|run| vec![run]).collect())
    }

    /// Reads the next build rows and begins with the probe rows; false when all build rows had their turn.
    fn next_chunk(&mut self) -> Result<bool> {
        self.chunk = None;
        if self.last_chunk {
            return Ok(false);
        }
        let first = !std::mem::replace(&mut self.begun, true);
        let mut rows = BuildRows::new(&self.join, &self.context);
        let most = match self.context.config.debug_force_spill {
            true => 1,
            false => self.chunk_bytes,
        };
        self.last_chunk = true;
        while let Some(batch) = self.build.next()? {
            if let Some(rest) = rows.push_below(batch, most, &self.join)? {
                self.build.pending = Some(rest);
                self.last_chunk = false;
                break;
            }
        }
        if first && !self.last_chunk && self.join.spec.output.keeps_probe_matches() {
            let rows = self.task.probe_rows();
            self.reservation.grow(rows.div_ceil(8))?;
            self.matched.append_n(rows, false);
        }
        let table = Arc::new(rows.into_table(&self.join.spec, &self.context)?);
        self.chunk = Some(Chunk {
            matcher: Matcher::new(self.join.clone(), table.clone(), &self.context),
            table,
            probe: Rows::new(&self.task.probe),
            before: 0,
            batch_rows: 0,
            unmatched: None,
        });
        Ok(true)
    }

    /// The next output of the build rows in memory.
    fn next_of_chunk(&mut self) -> Result<Option<Batch>> {
        let Some(chunk) = &mut self.chunk else { return Ok(None) };
        let output = self.join.spec.output;
        while chunk.unmatched.is_none() {
            match chunk.matcher.next_or_matched()? {
                Ok(batch) => return Ok(Some(batch)),
                Err(matched) if !self.matched.is_empty() => {
                    let rows = matched.iter().enumerate().filter(|(_, matched)| **matched);
                    rows.for_each(|(row, _)| self.matched.set_bit(chunk.before + row, true));
                }
                Err(_) => {}
            }
            chunk.before += chunk.batch_rows;
            match chunk.probe.next()? {
                Some(batch) => {
                    chunk.batch_rows = batch.len();
                    let earlier = |row: usize| !self.matched.is_empty() && self.matched.get_bit(chunk.before + row);
                    let matched = match output.keeps_probe_matches() {
                        true => (0..batch.len()).map(earlier).collect(),
                        false => vec![],
                    };
                    chunk.matcher.begin_with(batch, matched, !self.last_chunk)?;
                }
                None => chunk.unmatched = Some(0..chunk.table.rows),
            }
        }
        match &mut chunk.unmatched {
            Some(left) if output.emits_build_rows() => next_build_rows(
                &self.join.spec,
                &chunk.table,
                left,
                self.context.config.batch_size.max(1),
            ),
            _ => Ok(None),
        }
    }
}
