//! The source: merges the partial states of a partition, in parts if they do not fit.

use super::into_batches;
use super::local::{Local, Room, share};
use super::states::{Chunk, LAST, Partition, REHASHED, StateWriter, Store};
use crate::error::{ErrorKind, Result};
use crate::physical::pipeline::PartitionReader;
use crate::runtime::{Reservation, Shrink, SpillRun};
use crate::vector::{Batch, Column};
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Partial states of groups that come in no other task.
struct Task {
    /// How often the hash space was cut to get here.
    level: u32,
    chunks: Vec<Chunk>,
    runs: Vec<SpillRun>,
    /// Beside other merges it did not fit.
    alone: bool,
}

/// Gives the groups of a partition, batch by batch.
pub(super) struct GroupReader {
    store: Arc<Store>,
    ordinal: usize,
    started: bool,
    /// What is to be merged, the next at the end.
    tasks: Vec<Task>,
    batches: VecDeque<Batch>,
    /// The memory of `batches`.
    results: Reservation,
}

impl GroupReader {
    /// Groups that are merged already.
    pub fn of_batches(store: Arc<Store>, batches: Vec<Batch>, results: Reservation) -> Self {
        Self {
            store,
            ordinal: 0,
            started: true,
            tasks: vec![],
            batches: batches.into(),
            results,
        }
    }

    /// The groups of a partition of the first level.
    pub fn of_partition(store: Arc<Store>, partition: usize) -> Self {
        Self {
            ordinal: partition,
            started: false,
            tasks: vec![],
            batches: VecDeque::new(),
            results: store.operator.reservation(),
            store,
        }
    }

    fn start(&mut self) {
        self.started = true;
        let Partition { chunks, runs } = self.store.take(self.ordinal);
        self.tasks = if chunks.is_empty() {
            self.pack(runs, 1)
        } else {
            let runs = runs.into_iter().flatten().collect();
            vec![Task {
                level: 1,
                chunks,
                runs,
                alone: false,
            }]
        };
    }

    /// Tasks of as many parts as will likely fit into memory together. `parts` are the runs of each part.
    fn pack(&self, parts: Vec<Vec<SpillRun>>, level: u32) -> Vec<Task> {
        let room = share(&self.store.operator, self.store.context.threads()) / 2;
        let mut tasks: Vec<Task> = vec![];
        let mut rows_of_last = 0;
        for runs in parts.into_iter().filter(|runs| !runs.is_empty()) {
            let rows: u64 = runs.iter().map(SpillRun::rows).sum();
            let fits = self.store.estimate(rows + rows_of_last) <= room;
            match tasks.last_mut().filter(|_| fits && !self.forced()) {
                Some(last) => {
                    last.runs.extend(runs);
                    rows_of_last += rows;
                }
                None => {
                    tasks.push(Task {
                        level,
                        chunks: vec![],
                        runs,
                        alone: false,
                    });
                    rows_of_last = rows;
                }
            }
        }
        tasks
    }

    fn forced(&self) -> bool {
        self.store.context.config.debug_force_spill
    }

    /// Merges a task; leaves batches, or more tasks.
    fn run(&mut self, task: Task) -> Result<()> {
        let store = self.store.clone();
        let mut merge = Merge::new(&store, &task, self.forced())?;
        let Task {
            level, chunks, runs, ..
        } = task;
        let can_begin_anew = chunks.is_empty() && !task.alone;
        for chunk in chunks {
            merge.add(&chunk.states)?;
        }
        match merge.add_runs(&runs) {
            Err(e) if can_begin_anew && e.kind() == ErrorKind::ResourcesExhausted => {
                // Its memory goes to the others; when they are done, theirs is free.
                self.tasks.push(Task {
                    level,
                    chunks: vec![],
                    runs,
                    alone: true,
                });
                return Ok(());
            }
            other => other?,
        }
        drop(runs);
        self.store.metrics.note_peak_memory(self.store.operator.peak());
        match merge.writer {
            Some(_) => {
                merge.write()?;
                let parts = merge.writer.map_or(Ok(vec![]), StateWriter::finish)?;
                self.tasks = self.next_level(parts, level);
            }
            None => {
                let (arrays, results) = merge.local.finish()?;
                self.results = results;
                let rows = arrays.first().map_or(0, |a| a.len());
                self.batches = into_batches(arrays, rows, self.store.context.config.batch_size).into();
            }
        }
        Ok(())
    }

    /// The tasks of a partition cut at `level`, before those that wait already.
    fn next_level(&mut self, parts: Vec<SpillRun>, level: u32) -> Vec<Task> {
        let filled: Vec<_> = parts
            .into_iter()
            .filter(|run| run.rows() > 0)
            .map(|run| vec![run])
            .collect();
        // Hashes that no level tells apart are equal.
        let level = match filled.len() {
            1 if level < REHASHED => REHASHED,
            _ => level + 1,
        };
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.extend(self.pack(filled, level).into_iter().rev());
        tasks
    }
}

impl PartitionReader for GroupReader {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        if !self.started {
            self.start();
        }
        loop {
            if let Some(batch) = self.batches.pop_front() {
                return Ok(Some(batch));
            }
            self.results.shrink(self.results.bytes());
            match self.tasks.pop() {
                Some(task) => self.run(task)?,
                None => return Ok(None),
            }
        }
    }
}

/// A merge under way.
struct Merge<'a> {
    local: Local,
    store: &'a Arc<Store>,
    turn: Turn<'a>,
    /// Where the states go once they did not fit.
    writer: Option<StateWriter>,
    level: u32,
    /// Some of the states are not on disk.
    in_memory: bool,
    forced: bool,
}

/// Beside whom a merge runs.
enum Turn<'a> {
    Beside(#[expect(dead_code, reason = "held")] RwLockReadGuard<'a, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'a, ()>),
    /// Only while it changes.
    None,
}

/// How often, and how long each time, a merge alone waits until the groups that others gave out are taken.
const WAITS: usize = 100;
const WAIT: Duration = Duration::from_millis(20);

impl<'a> Merge<'a> {
    fn new(store: &'a Arc<Store>, task: &Task, forced: bool) -> Result<Self> {
        let turn = match task.alone {
            false => Turn::Beside(store.turns.read()),
            true => Turn::Alone(store.turns.write()),
        };
        let workers = if task.alone { 1 } else { store.context.threads() };
        Ok(Self {
            local: Local::for_workers(&store.spec, &store.operator, &store.context, workers)?,
            store,
            turn,
            writer: None,
            level: task.level,
            in_memory: !task.chunks.is_empty(),
            forced: forced && task.level == 1,
        })
    }

    fn add_runs(&mut self, runs: &[SpillRun]) -> Result<()> {
        for run in runs {
            let mut reader = run.reader();
            while let Some(batch) = reader.next_batch()? {
                let keys = self.store.spec.group_types.len();
                let states = (0..batch.width()).map(|i| match batch.column(i)? {
                    Column::Array(key) if i < keys => Ok(key),
                    state => state.to_array(),
                });
                self.add(&states.collect::<Result<Vec<_>>>()?)?;
            }
        }
        Ok(())
    }

    /// Reserves what cannot be cut further. States that were in memory are not read again, so their merge waits here until
    /// it is alone.
    fn reserve_all(&mut self) -> Result<()> {
        for _ in 0..WAITS {
            match self.local.reserve_all() {
                Err(e) if e.kind() == ErrorKind::ResourcesExhausted => match self.turn {
                    Turn::Beside(_) if self.in_memory => {
                        self.turn = Turn::None;
                        self.turn = Turn::Alone(self.store.turns.write());
                    }
                    Turn::Alone(_) if self.store.operator.held() > self.local.reservation.bytes() => {
                        self.store.context.cancel.check()?;
                        std::thread::sleep(WAIT);
                    }
                    _ => return Err(e),
                },
                other => return other,
            }
        }
        self.local.reserve_all()
    }

    fn add(&mut self, states: &[arrow::array::ArrayRef]) -> Result<()> {
        self.store.context.cancel.check()?;
        self.local.merge(states)?;
        if self.forced {
            self.forced = false;
            return self.write();
        }
        match self.local.reserve()? {
            Room::Enough => return Ok(()),
            Room::ShareUsed => {}
            // Partitions that are read later can wait on disk.
            Room::None => {
                let bytes = self.local.needed().max(self.store.bytes() / 2);
                if self.store.shrink(bytes)? > 0 && self.local.reserve()? == Room::Enough {
                    return Ok(());
                }
            }
        }
        if self.local.len() > 1 && self.level < LAST {
            return self.write();
        }
        self.reserve_all()
    }

    /// Writes all groups, cut once more.
    fn write(&mut self) -> Result<()> {
        self.store.note_size(self.local.needed(), self.local.len());
        let (states, copies) = self.local.take_states()?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.store.writer(self.level)?),
        };
        writer.append(&states, self.local.table.hashes(), None)?;
        drop((states, copies));
        self.local.clear(false)?;
        let held = self.local.reservation.bytes();
        self.local.reservation.shrink(held.saturating_sub(self.local.needed()));
        Ok(())
    }
}
