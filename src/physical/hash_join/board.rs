//! Joins tasks, each with as many of its build rows at once as memory allows, and lets all workers take part in each.
//!
//! ```text
//! task ─▶ load: some build rows become a table (a chunk); the others are loaded later, perhaps by another worker
//!           └─▶ probe: a piece of the task's probe rows passes the table           (several workers)
//!                 └─▶ unmatched: a piece of the table's rows, by their partners    (several workers)
//! when all chunks of a task are done that had more than one:
//!               ─▶ rest: a piece of the probe rows, by whether a chunk had a partner  (several workers)
//! ```
//!
//! A worker takes one such unit after the other. Nobody waits inside of a unit; a worker that finds none waits for those
//! at work to end theirs, because they may give new ones.

use super::matcher::Matcher;
use super::parts::{Part, Rows, Task, pieces};
use super::rows::BuildRows;
use super::table::JoinTable;
use super::unmatched::next_build_rows;
use super::{Join, JoinOutput};
use crate::error::{Error, Result};
use crate::physical::pipeline::{PartitionReader, Source};
use crate::runtime::{QueryContext, Reservation};
use crate::vector::Batch;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Rows of a piece at least.
const PIECE_ROWS: usize = 1 << 16;
/// How often a waiting worker looks whether the query was cancelled.
const LOOK_UP: Duration = Duration::from_millis(20);

/// Gives the tasks when everything that they need is there.
pub type Begin = dyn Fn(&QueryContext) -> Result<VecDeque<Task>> + Send + Sync;

/// Cuts a task that is too large into tasks that may fit; `None` when it fits or cannot be cut.
pub type CutAgain = dyn Fn(&Task, &QueryContext, usize) -> Result<Option<VecDeque<Task>>> + Send + Sync;

/// The source that joins tasks.
pub struct TaskScan {
    board: Arc<Board>,
    begin: Box<Begin>,
}

/// What is to be done, shared by the workers.
struct Board {
    join: Arc<Join>,
    cut_again: Box<CutAgain>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    context: Option<QueryContext>,
    /// Tasks that nobody has begun.
    tasks: VecDeque<Task>,
    /// Tasks of which build rows are left.
    loads: VecDeque<Load>,
    /// What can be done without loading anything.
    units: VecDeque<Unit>,
    /// Tables in memory, and how many there may be of this size.
    tables: usize,
    most_tables: usize,
    chunk_bytes: usize,
    /// Workers in a unit.
    working: usize,
    /// Some worker left in the middle of a unit: nobody wants more rows.
    abandoned: bool,
    next_ordinal: usize,
}

/// What one worker does at a time.
enum Unit {
    Load(Load),
    Probe(Arc<Chunk>, usize),
    Unmatched(Arc<Chunk>, Range<usize>),
    Rest(Arc<Running>, usize),
}

/// Build rows of a task to be loaded.
enum Load {
    First(Task),
    More(Arc<Running>, Box<Rows>),
}

/// A task that was begun.
struct Running {
    probe: Vec<Vec<Part>>,
    /// Chunks that are in memory or not yet loaded.
    chunks: AtomicUsize,
    /// Which probe rows had a partner in some chunk, when there is more than one and it matters.
    matches: OnceLock<Matches>,
}

/// A bit per row of each piece.
struct Matches {
    pieces: Vec<Vec<AtomicU64>>,
    _reservation: Reservation,
}

/// Build rows in memory.
struct Chunk {
    task: Arc<Running>,
    table: Arc<JoinTable>,
    /// Units of its stage that are not done.
    left: AtomicUsize,
}

impl TaskScan {
    pub fn new(join: Arc<Join>, begin: Box<Begin>, cut_again: Box<CutAgain>) -> Self {
        let board = Arc::new(Board {
            join,
            cut_again,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        Self { board, begin }
    }
}

impl Source for TaskScan {
    fn start(&self, context: &QueryContext) -> Result<()> {
        let tasks = (self.begin)(context)?;
        let mut state = self.board.state.lock();
        let may_be_cut = tasks.iter().any(|t| t.divisible);
        let readers = context.threads();
        state.most_tables = if may_be_cut {
            readers
        } else {
            readers.min(tasks.len()).max(1)
        };
        state.chunk_bytes = self.board.join.operator.fair_room() / state.most_tables;
        state.tasks = tasks;
        state.context = Some(context.clone());
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.board.state.lock().tasks.is_empty()
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let mut state = self.board.state.lock();
        let Some(context) = state.context.clone() else {
            return Ok(None);
        };
        loop {
            context.cancel.check()?;
            if state.abandoned {
                return Ok(None);
            }
            if let Some(unit) = state.next_unit() {
                let ordinal = state.next_ordinal;
                state.next_ordinal += 1;
                state.working += 1;
                drop(state);
                return Ok(Some(Box::new(UnitReader::new(
                    self.board.clone(),
                    unit,
                    context,
                    ordinal,
                ))));
            }
            if state.working == 0 {
                return Ok(None);
            }
            self.board.changed.wait_for(&mut state, LOOK_UP);
        }
    }
}

impl State {
    fn next_unit(&mut self) -> Option<Unit> {
        if let Some(unit) = self.units.pop_front() {
            return Some(unit);
        }
        if self.tables >= self.most_tables {
            return None;
        }
        let load = self
            .loads
            .pop_front()
            .or_else(|| self.tasks.pop_front().map(Load::First))?;
        self.tables += 1;
        Some(Unit::Load(load))
    }

    /// The chunk's probe rows have all passed.
    fn after_probe(&mut self, chunk: Arc<Chunk>, join: &Join) {
        let rows = chunk.table.rows;
        if !join.spec.output.emits_build_rows() || rows == 0 {
            return self.release(chunk, join);
        }
        let pieces = (0..rows)
            .step_by(PIECE_ROWS)
            .map(|start| start..(start + PIECE_ROWS).min(rows));
        chunk.left.store(pieces.len(), Relaxed);
        self.units
            .extend(pieces.map(|rows| Unit::Unmatched(chunk.clone(), rows)));
    }

    /// Nothing is left to be done with a chunk.
    fn release(&mut self, chunk: Arc<Chunk>, join: &Join) {
        self.tables -= 1;
        join.metrics.note_peak_memory(join.operator.peak());
        let task = chunk.task.clone();
        if task.chunks.fetch_sub(1, Relaxed) == 1 && task.matches.get().is_some() {
            self.units
                .extend((0..task.probe.len()).map(|piece| Unit::Rest(task.clone(), piece)));
        }
    }
}

impl Board {
    /// Reads build rows of a task and hands out what is to be done with them.
    fn load(&self, load: &mut Load, context: &QueryContext) -> Result<()> {
        let chunk_bytes = self.state.lock().chunk_bytes;
        let (task, mut build) = match load {
            Load::First(task) => {
                if let Some(tasks) = (self.cut_again)(task, context, chunk_bytes)? {
                    let mut state = self.state.lock();
                    state.tasks.extend(tasks);
                    state.tables -= 1;
                    return Ok(());
                }
                (Arc::new(Running::new(task, context)), Rows::new(&task.build))
            }
            Load::More(task, rows) => (task.clone(), std::mem::replace(rows.as_mut(), Rows::new(&[]))),
        };
        let (rows, all) = self.read_chunk(&mut build, chunk_bytes, context)?;
        if !all && task.matches.get().is_none() && self.join.spec.output.keeps_probe_matches() {
            let _ = task.matches.set(Matches::new(&task, &self.join)?);
        }
        let table = Arc::new(rows.into_table(&self.join.spec, context)?);
        let pieces = task.probe.len();
        let chunk = Arc::new(Chunk {
            task: task.clone(),
            table,
            left: AtomicUsize::new(pieces),
        });
        let mut state = self.state.lock();
        if !all {
            task.chunks.fetch_add(1, Relaxed);
            state.loads.push_back(Load::More(task, Box::new(build)));
        }
        if pieces == 0 {
            state.after_probe(chunk, &self.join);
        } else {
            state
                .units
                .extend((0..pieces).map(|piece| Unit::Probe(chunk.clone(), piece)));
        }
        Ok(())
    }

    /// The next build rows, and whether they are the last ones.
    fn read_chunk(&self, build: &mut Rows, chunk_bytes: usize, context: &QueryContext) -> Result<(BuildRows, bool)> {
        let most = match context.config.debug_force_spill {
            true => 1,
            false => chunk_bytes,
        };
        let mut rows = BuildRows::new(&self.join, context);
        while let Some(batch) = build.next()? {
            context.cancel.check()?;
            if let Some(rest) = rows.push_below(batch, most, &self.join)? {
                build.pending = Some(rest);
                return Ok((rows, false));
            }
        }
        Ok((rows, true))
    }

    /// A worker leaves a unit.
    fn leave(&self, unit: &Unit, finished: bool) {
        let mut state = self.state.lock();
        state.working -= 1;
        state.abandoned |= !finished;
        match unit {
            Unit::Probe(chunk, _) if chunk.left.fetch_sub(1, Relaxed) == 1 => {
                state.after_probe(chunk.clone(), &self.join)
            }
            Unit::Unmatched(chunk, _) if chunk.left.fetch_sub(1, Relaxed) == 1 => {
                state.release(chunk.clone(), &self.join)
            }
            _ => {}
        }
        drop(state);
        self.changed.notify_all();
    }
}

impl Running {
    fn new(task: &Task, context: &QueryContext) -> Self {
        let rows: usize = task.probe.iter().map(Part::rows).sum();
        let least = if context.config.debug_force_spill {
            1
        } else {
            PIECE_ROWS
        };
        Self {
            probe: pieces(&task.probe, (rows / (context.threads() * 4)).max(least)),
            chunks: AtomicUsize::new(1),
            matches: OnceLock::new(),
        }
    }
}

impl Matches {
    fn new(task: &Running, join: &Join) -> Result<Self> {
        let words = |piece: &Vec<Part>| piece.iter().map(Part::rows).sum::<usize>().div_ceil(64);
        let mut reservation = join.operator.reservation();
        reservation.grow(task.probe.iter().map(words).sum::<usize>() * 8)?;
        let bits = |piece| (0..words(piece)).map(|_| AtomicU64::new(0)).collect();
        Ok(Self {
            pieces: task.probe.iter().map(bits).collect(),
            _reservation: reservation,
        })
    }

    fn get(&self, piece: usize, row: usize) -> bool {
        self.pieces[piece][row / 64].load(Relaxed) & 1 << (row % 64) != 0
    }

    /// Sets a bit; whether it was set before.
    fn set(&self, piece: usize, row: usize) -> bool {
        let bit = 1 << (row % 64);
        self.pieces[piece][row / 64].fetch_or(bit, Relaxed) & bit != 0
    }
}

/// A piece of probe rows on its way past a table.
struct Passing {
    task: Arc<Running>,
    piece: usize,
    matcher: Matcher,
    rows: Rows,
    /// Rows before the batch at work, and which rows of it had a partner before.
    before: usize,
    batch: Vec<bool>,
    batch_rows: usize,
    /// Rows without partner may still have one in another chunk.
    more_tables: bool,
}

impl Passing {
    fn new(board: &Board, task: &Arc<Running>, piece: usize, table: Arc<JoinTable>, context: &QueryContext) -> Self {
        Self {
            matcher: Matcher::new(board.join.clone(), table, context),
            rows: Rows::new(&task.probe[piece]),
            task: task.clone(),
            piece,
            before: 0,
            batch: vec![],
            batch_rows: 0,
            more_tables: false,
        }
    }

    fn next(&mut self, join: &Join) -> Result<Option<Batch>> {
        loop {
            match self.matcher.next_or_matched()? {
                Ok(batch) => return Ok(Some(batch)),
                Err(matched) => self.note(&matched, join)?,
            }
            self.before += self.batch_rows;
            let Some(batch) = self.rows.next()? else {
                return Ok(None);
            };
            self.batch_rows = batch.len();
            let matched = match (join.spec.output.keeps_probe_matches(), self.task.matches.get()) {
                (false, _) => vec![],
                (true, None) => vec![false; batch.len()],
                (true, Some(all)) => (0..batch.len())
                    .map(|row| all.get(self.piece, self.before + row))
                    .collect(),
            };
            self.batch = matched.clone();
            self.matcher.begin_with(batch, matched, self.more_tables)?;
        }
    }

    /// Remembers which rows of the batch have found a partner.
    fn note(&self, matched: &[bool], join: &Join) -> Result<()> {
        let Some(all) = self.task.matches.get().filter(|_| self.more_tables) else {
            return Ok(());
        };
        let found = matched
            .iter()
            .zip(&self.batch)
            .enumerate()
            .filter(|(_, (now, before))| **now && !**before);
        for (row, _) in found {
            let elsewhere = all.set(self.piece, self.before + row);
            if elsewhere && join.spec.output == JoinOutput::ProbeSingle {
                return Err(Error::execution("a scalar subquery returned more than one row"));
            }
        }
        Ok(())
    }
}

/// One worker in one unit.
struct UnitReader {
    board: Arc<Board>,
    context: QueryContext,
    ordinal: usize,
    unit: Unit,
    passing: Option<Passing>,
    finished: bool,
}

impl UnitReader {
    fn new(board: Arc<Board>, unit: Unit, context: QueryContext, ordinal: usize) -> Self {
        Self {
            board,
            context,
            ordinal,
            unit,
            passing: None,
            finished: false,
        }
    }

    fn step(&mut self) -> Result<Option<Batch>> {
        let (board, context) = (&self.board, &self.context);
        let passing = match &mut self.unit {
            Unit::Load(load) => {
                board.load(load, context)?;
                return Ok(None);
            }
            Unit::Unmatched(chunk, left) => {
                return next_build_rows(&board.join.spec, &chunk.table, left, context.config.batch_size.max(1));
            }
            Unit::Probe(chunk, piece) => self.passing.get_or_insert_with(|| {
                let mut passing = Passing::new(board, &chunk.task, *piece, chunk.table.clone(), context);
                passing.more_tables = chunk.task.matches.get().is_some();
                passing
            }),
            Unit::Rest(task, piece) => match &mut self.passing {
                Some(passing) => passing,
                none => {
                    let table = BuildRows::new(&board.join, context).into_table(&board.join.spec, context)?;
                    none.insert(Passing::new(board, task, *piece, Arc::new(table), context))
                }
            },
        };
        passing.next(&board.join)
    }
}

impl PartitionReader for UnitReader {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        self.context.cancel.check()?;
        let batch = self.step()?;
        self.finished = batch.is_none();
        Ok(batch)
    }
}

impl Drop for UnitReader {
    fn drop(&mut self) {
        // The table is let go before others may load the next one.
        self.passing = None;
        self.board.leave(&self.unit, self.finished);
    }
}
