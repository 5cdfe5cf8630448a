//! The source: merges runs, in memory or on disk, range by range.

use super::Specification;
use super::in_order::{OrderedRun, OrderedRuns, write_in_order};
use super::keys::{KeyPlan, KeyStatistics, PackedKey, WideKey};
use super::loser_tree::LoserTree;
use super::order::{Order, RunWriter, SortedRun, position, write_rows};
use super::sink::Shared;
use crate::error::{Error, Result};
use crate::physical::pipeline::{PartitionReader, Source};
use crate::runtime::{CancelToken, QueryContext, Reservation};
use crate::vector::Batch;
use crate::vector::block::{Block, Position};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Rows of a partition at least, when all rows are in memory.
const PARTITION_ROWS: usize = 1 << 16;
/// Runs merged at a time at most.
const MAX_FAN_IN: usize = 256;
/// Rows that a run gives in a row before it is asked how many more precede all others.
const STREAK: usize = 64;

/// The rows of a sort, packed in one or two words.
#[derive(Clone)]
pub enum Merged {
    Narrow(Arc<Runs<u64>>),
    Wide(Arc<Runs<WideKey>>),
    /// Rows that were not sorted because they came in order.
    InOrder(Arc<OrderedRuns>),
}

/// Sorted runs and how they are cut into partitions.
pub struct Runs<K> {
    pub specification: Arc<Specification>,
    plan: Arc<KeyPlan>,
    pub input: Input<K>,
    partitions: Vec<Part<K>>,
    _reservations: Vec<Reservation>,
}

pub enum Input<K> {
    Memory(MemoryRuns<K>),
    Disk(Vec<DiskRun<K>>),
}

/// All blocks, and for each run its order and the number of its first block.
pub struct MemoryRuns<K> {
    pub blocks: Vec<Block>,
    pub runs: Vec<(Order<K>, u32)>,
}

/// A run on disk with the packed key of each block's first row.
pub struct DiskRun<K> {
    pub run: SortedRun,
    firsts: Vec<K>,
}

/// A range of the rows.
enum Part<K> {
    /// Rows of each run, and how many of them are wanted.
    Memory(Vec<Range<usize>>, usize),
    /// Keys from the first on and below the second, and how many of these rows are wanted.
    Disk(Option<K>, Option<K>, u64),
}

impl Merged {
    /// The same rows on disk; those that are there already stay as they are.
    pub fn into_disk(self, context: &QueryContext) -> Result<Self> {
        Ok(match self {
            Self::Narrow(runs) => Self::Narrow(into_disk(runs, context)?),
            Self::Wide(runs) => Self::Wide(into_disk(runs, context)?),
            Self::InOrder(runs) => {
                let file = context.spill.file()?;
                let write =
                    |run: &OrderedRun| write_in_order(&runs.specification, &run.blocks, file.clone(), &context.cancel);
                let written = runs.runs.iter().map(write).collect::<Result<_>>()?;
                Runs::on_disk(&runs.specification, written, context)?
            }
        })
    }
}

fn into_disk<K: PackedKey>(runs: Arc<Runs<K>>, context: &QueryContext) -> Result<Arc<Runs<K>>> {
    let Input::Memory(memory) = &runs.input else {
        return Ok(runs);
    };
    let specification = &runs.specification;
    let file = context.spill.file()?;
    let mut written = vec![];
    for (i, (order, first)) in memory.runs.iter().enumerate() {
        let end = memory
            .runs
            .get(i + 1)
            .map_or(memory.blocks.len(), |next| next.1 as usize);
        let blocks = &memory.blocks[*first as usize..end];
        let run = write_rows(specification, blocks, order, file.clone(), &context.cancel)?;
        written.push(DiskRun::new(run, &runs.plan));
    }
    let partitions = cut_disk(&written, &runs.plan, specification.fetch, context)?;
    Ok(Arc::new(Runs {
        specification: specification.clone(),
        plan: runs.plan.clone(),
        input: Input::Disk(written),
        partitions,
        _reservations: vec![],
    }))
}

impl<K: PackedKey> Runs<K> {
    /// Runs in memory: the order of the rows and their blocks.
    pub fn in_memory(
        specification: Arc<Specification>,
        plan: Arc<KeyPlan>,
        runs: Vec<(Order<K>, Vec<Block>)>,
        reservations: Vec<Reservation>,
        context: &QueryContext,
    ) -> Self {
        let mut blocks: Vec<Block> = vec![];
        let mut orders = vec![];
        for (order, of_run) in runs {
            orders.push((order, blocks.len() as u32));
            blocks.extend(of_run);
        }
        let partitions = cut_memory(&orders, specification.fetch, context);
        Self {
            specification,
            plan,
            input: Input::Memory(MemoryRuns { blocks, runs: orders }),
            partitions,
            _reservations: reservations,
        }
    }
}

/// Cuts runs in memory into ranges of about the same size; with `fetch` only so many that it is reached.
fn cut_memory<K: PackedKey>(runs: &[(Order<K>, u32)], fetch: Option<u64>, context: &QueryContext) -> Vec<Part<K>> {
    let rows: usize = runs.iter().map(|(order, _)| order.len()).sum();
    let wanted = fetch
        .and_then(|f| usize::try_from(f).ok())
        .unwrap_or(usize::MAX)
        .min(rows);
    let size =
        (wanted / (context.threads() * 4)).clamp(PARTITION_ROWS, context.config.row_group_rows.max(PARTITION_ROWS));
    let cuts: Vec<Vec<usize>> = match runs {
        [(order, _)] => (1..rows.div_ceil(size))
            .map(|i| vec![(i * size).min(order.len())])
            .collect(),
        _ => splitters(runs, rows.div_ceil(size))
            .into_iter()
            .map(|key| {
                runs.iter()
                    .map(|(order, _)| order.partition_point(|row| row.0 < key))
                    .collect()
            })
            .collect(),
    };
    let mut starts = vec![0; runs.len()];
    let mut parts = vec![];
    let mut left = wanted;
    for ends in cuts
        .into_iter()
        .chain([runs.iter().map(|(order, _)| order.len()).collect::<Vec<_>>()])
    {
        let ranges: Vec<Range<usize>> = starts
            .iter()
            .zip(&ends)
            .map(|(&start, &end)| start..end.max(start))
            .collect();
        let rows: usize = ranges.iter().map(Range::len).sum();
        if rows > 0 && left > 0 {
            parts.push(Part::Memory(ranges, rows.min(left)));
            left -= rows.min(left);
        }
        starts = ends;
    }
    parts
}

/// Keys that cut the runs into `parts` ranges, found by a sample.
fn splitters<K: PackedKey>(runs: &[(Order<K>, u32)], parts: usize) -> Vec<K> {
    let rows: usize = runs.iter().map(|(order, _)| order.len()).sum();
    let step = (rows / (parts * 64).max(1)).max(1);
    let mut sample: Vec<K> = runs
        .iter()
        .flat_map(|(order, _)| order.iter().step_by(step).map(|row| row.0))
        .collect();
    sample.sort_unstable();
    let mut cuts: Vec<K> = (1..parts)
        .filter_map(|i| sample.get(i * sample.len() / parts).copied())
        .collect();
    cuts.dedup();
    cuts
}

impl Runs<u64> {
    /// Runs on disk, after so many merges that the rest can be merged at once.
    pub fn on_disk(specification: &Arc<Specification>, runs: Vec<SortedRun>, context: &QueryContext) -> Result<Merged> {
        let mut statistics = vec![KeyStatistics::default(); specification.keys.len()];
        for run in &runs {
            statistics
                .iter_mut()
                .zip(&run.statistics)
                .for_each(|(all, one)| all.merge(one));
        }
        let plan = Arc::new(specification.plan(&statistics));
        Ok(match plan.is_wide() {
            false => Merged::Narrow(disk_runs(specification, plan, runs, context)?),
            true => Merged::Wide(disk_runs(specification, plan, runs, context)?),
        })
    }
}

fn disk_runs<K: PackedKey>(
    specification: &Arc<Specification>,
    plan: Arc<KeyPlan>,
    runs: Vec<SortedRun>,
    context: &QueryContext,
) -> Result<Arc<Runs<K>>> {
    let runs = runs.into_iter().map(|run| DiskRun::new(run, &plan)).collect();
    let runs = match specification.merges {
        true => merge_down(specification, &plan, runs, context)?,
        false => runs,
    };
    let partitions = cut_disk(&runs, &plan, specification.fetch, context)?;
    Ok(Arc::new(Runs {
        specification: specification.clone(),
        plan,
        input: Input::Disk(runs),
        partitions,
        _reservations: vec![],
    }))
}

impl<K: PackedKey> DiskRun<K> {
    fn new(run: SortedRun, plan: &KeyPlan) -> Self {
        let mut firsts = vec![];
        plan.encode(&run.index, true, &mut firsts);
        Self { run, firsts }
    }

    /// The first key and the rows of each block.
    fn blocks(&self) -> impl Iterator<Item = (K, u64)> {
        let rows = self.run.run.blocks().iter().map(|b| u64::from(b.rows));
        self.firsts.iter().copied().zip(rows)
    }

    /// Rows below `key`; the block that it lies in is read.
    fn rows_below(&self, key: K, plan: &KeyPlan, buffer: &mut Vec<u8>) -> Result<u64> {
        let begin = self.firsts.partition_point(|first| *first < key);
        let Some(last) = begin.checked_sub(1) else {
            return Ok(0);
        };
        let before: u64 = self.blocks().take(last).map(|(_, rows)| rows).sum();
        let mut keys = vec![];
        plan.encode(&self.run.run.block(last, buffer)?, false, &mut keys);
        Ok(before + keys.partition_point(|k: &K| *k < key) as u64)
    }
}

/// Cuts runs on disk at keys of their indexes, into ranges of about a row group; with `fetch` only so many that it is reached.
fn cut_disk<K: PackedKey>(
    runs: &[DiskRun<K>],
    plan: &KeyPlan,
    fetch: Option<u64>,
    context: &QueryContext,
) -> Result<Vec<Part<K>>> {
    let rows: u64 = runs.iter().map(|run| run.run.run.rows()).sum();
    let wanted = fetch.unwrap_or(u64::MAX).min(rows);
    let size = (wanted / (context.threads() as u64 * 4))
        .clamp(PARTITION_ROWS as u64, context.config.row_group_rows.max(1) as u64);
    let mut firsts: Vec<(K, u64)> = runs.iter().flat_map(DiskRun::blocks).collect();
    firsts.sort_unstable_by_key(|(key, _)| *key);
    let mut cuts = vec![];
    let mut filled = 0;
    for (key, rows) in firsts {
        if filled >= size {
            cuts.push(key);
            filled = 0;
        }
        filled += rows;
    }
    cuts.dedup();
    let mut left = vec![u64::MAX; cuts.len() + 1];
    if fetch.is_some() {
        let enough = cuts.iter().position(|&cut| surely_below(runs, cut) >= wanted);
        cuts.truncate(enough.map_or(cuts.len(), |last| last + 1));
        left = rows_wanted(runs, plan, &cuts, wanted, context)?;
    }
    let lower = std::iter::once(None).chain(cuts.iter().copied().map(Some));
    let upper = cuts.iter().copied().map(Some).chain([None]);
    let parts = lower.zip(upper).zip(left).filter(|(_, rows)| *rows > 0);
    Ok(parts
        .map(|((lower, upper), rows)| Part::Disk(lower, upper, rows))
        .collect())
}

/// Rows below `key`, as far as the indexes tell: a run's last block that begins below it may be cut by it.
fn surely_below<K: PackedKey>(runs: &[DiskRun<K>], key: K) -> u64 {
    let of_run = |run: &DiskRun<K>| -> u64 {
        let begin = run.firsts.partition_point(|first| *first < key);
        run.blocks().take(begin.saturating_sub(1)).map(|(_, rows)| rows).sum()
    };
    runs.iter().map(of_run).sum()
}

/// How many rows are wanted of each range between `cuts`, if `wanted` are wanted in all.
fn rows_wanted<K: PackedKey>(
    runs: &[DiskRun<K>],
    plan: &KeyPlan,
    cuts: &[K],
    wanted: u64,
    context: &QueryContext,
) -> Result<Vec<u64>> {
    let below: Vec<AtomicU64> = cuts.iter().map(|_| AtomicU64::new(0)).collect();
    context.parallel(cuts.len(), &|i| {
        let mut buffer = vec![];
        for run in runs {
            below[i].fetch_add(run.rows_below(cuts[i], plan, &mut buffer)?, Ordering::Relaxed);
        }
        Ok(())
    })?;
    let ends = below.into_iter().map(|n| n.into_inner().min(wanted)).chain([wanted]);
    let mut start = 0;
    Ok(ends.map(|end| end - std::mem::replace(&mut start, end)).collect())
}

/// Runs that one worker can merge at once.
fn fan_in<K>(specification: &Specification, runs: &[DiskRun<K>], context: &QueryContext) -> usize {
    if context.config.debug_force_spill {
        return 4;
    }
    let block = runs.iter().map(|run| run.run.block_memory).max().unwrap_or(0).max(1);
    let room = specification.operator.fair_room();
    (room / context.threads() / (3 * block)).clamp(2, MAX_FAN_IN)
}

/// Merges the shortest runs until no more are left than can be merged at once.
fn merge_down<K: PackedKey>(
    specification: &Arc<Specification>,
    plan: &Arc<KeyPlan>,
    mut runs: Vec<DiskRun<K>>,
    context: &QueryContext,
) -> Result<Vec<DiskRun<K>>> {
    let fan_in = fan_in(specification, &runs, context);
    while runs.len() > fan_in {
        runs.sort_by_key(|run| std::cmp::Reverse(run.run.run.rows()));
        let mut groups = vec![];
        let mut after = runs.len();
        while after > fan_in && runs.len() > 1 {
            let size = (after - fan_in + 1).min(fan_in).min(runs.len());
            groups.push(Mutex::new(Some(runs.split_off(runs.len() - size))));
            after -= size - 1;
        }
        let merged = Mutex::new(vec![]);
        context.parallel(groups.len(), &|i| {
            let Some(group) = groups[i].lock().take() else {
                return Ok(());
            };
            let run = merge_group(specification, plan, group, context)?;
            merged.lock().push(DiskRun::new(run, plan));
            Ok(())
        })?;
        runs.extend(merged.into_inner());
    }
    Ok(runs)
}

/// Merges runs into one.
fn merge_group<K: PackedKey>(
    specification: &Arc<Specification>,
    plan: &Arc<KeyPlan>,
    group: Vec<DiskRun<K>>,
    context: &QueryContext,
) -> Result<SortedRun> {
    let mut statistics = vec![KeyStatistics::default(); specification.keys.len()];
    for run in &group {
        statistics
            .iter_mut()
            .zip(&run.run.statistics)
            .for_each(|(all, one)| all.merge(one));
    }
    let runs = Arc::new(Runs {
        specification: specification.clone(),
        plan: plan.clone(),
        input: Input::Disk(group),
        partitions: vec![Part::Disk(None, None, u64::MAX)],
        _reservations: vec![],
    });
    let mut merger = Merger::new(runs, 0, context)?;
    let mut writer = RunWriter::new(specification.clone(), context.spill.file()?)?;
    let mut left = specification.fetch.unwrap_or(u64::MAX);
    let width = specification.layout.width();
    let rows = RunWriter::rows_per_block(specification, &merger.blocks());
    while left > 0 {
        let Some(block) = merger.next(rows.min(usize::try_from(left).unwrap_or(usize::MAX)), width)? else {
            break;
        };
        left -= block.rows() as u64;
        writer.write(&block)?;
    }
    writer.finish(statistics)
}

/// Gives the sorted rows, a range of keys per partition.
pub struct SortSource {
    shared: Arc<Shared>,
    next: AtomicUsize,
}

impl SortSource {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            next: AtomicUsize::new(0),
        }
    }
}

impl Source for SortSource {
    fn start(&self, _context: &QueryContext) -> Result<()> {
        self.shared.sorted.lock().in_use = true;
        self.next.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let ordinal = self.next.fetch_add(1, Ordering::Relaxed);
        let merged = self.shared.sorted.lock().merged.clone();
        match merged {
            None => Err(Error::internal("a sort is read before it has finished")),
            Some(Merged::Narrow(runs)) => reader(&runs, ordinal, &self.shared.context),
            Some(Merged::Wide(runs)) => reader(&runs, ordinal, &self.shared.context),
            Some(Merged::InOrder(_)) => Err(Error::internal("rows in order are read by ranges")),
        }
    }
}

fn reader<K: PackedKey>(
    runs: &Arc<Runs<K>>,
    ordinal: usize,
    context: &QueryContext,
) -> Result<Option<Box<dyn PartitionReader>>> {
    if ordinal >= runs.partitions.len() {
        return Ok(None);
    }
    let left = match runs.partitions.get(ordinal) {
        Some(Part::Memory(_, rows)) => *rows as u64,
        Some(Part::Disk(_, _, rows)) => *rows,
        None => 0,
    };
    let merger = Merger::new(runs.clone(), ordinal, context)?;
    Ok(Some(Box::new(SortedReader {
        merger,
        ordinal,
        left,
        batch_rows: context.config.batch_size.max(1),
    })))
}

/// The rows of one partition.
struct SortedReader<K> {
    merger: Merger<K>,
    ordinal: usize,
    left: u64,
    batch_rows: usize,
}

impl<K: PackedKey> PartitionReader for SortedReader<K> {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        let rows = self.batch_rows.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let specification = self.merger.runs.specification.clone();
        let Some(block) = self.merger.next(rows, specification.width)? else {
            return Ok(None);
        };
        self.left -= block.rows() as u64;
        block.into_batch(&specification.layout, specification.width).map(Some)
    }
}

/// Merges the runs of one partition.
struct Merger<K> {
    runs: Arc<Runs<K>>,
    cancel: CancelToken,
    cursors: Vec<Cursor<K>>,
    tree: LoserTree,
    /// Rows picked for the next block.
    positions: Vec<Position>,
    /// Blocks that the picked rows are in, when they come from disk.
    held: Vec<Arc<Block>>,
    /// Longest strings of a row so far, to keep blocks small.
    longest: usize,
    _reservation: Reservation,
}

/// Where the merge stands in one run.
struct Cursor<K> {
    run: usize,
    /// The key of the next row; `None` at the end.
    head: Option<K>,
    /// The next row: its place in the order, or in the block.
    at: usize,
    end: usize,
    disk: Option<DiskCursor<K>>,
}

struct DiskCursor<K> {
    next_block: usize,
    upper: Option<K>,
    block: Arc<Block>,
    keys: Vec<K>,
    /// The block's place in `Merger::held`.
    slot: u32,
    buffer: Vec<u8>,
}

impl<K: PackedKey> Merger<K> {
    fn new(runs: Arc<Runs<K>>, partition: usize, context: &QueryContext) -> Result<Self> {
        let mut reservation = runs.specification.operator.reservation();
        let mut held = vec![];
        let mut cursors = vec![];
        let mut longest = 0;
        match (&runs.input, runs.partitions.get(partition)) {
            (Input::Memory(MemoryRuns { runs: orders, blocks }), Some(Part::Memory(ranges, _))) => {
                longest = blocks.iter().map(Block::longest_row).max().unwrap_or(0);
                for (run, ((order, _), range)) in orders.iter().zip(ranges).enumerate() {
                    let head = order.get(range.start).filter(|_| !range.is_empty()).map(|row| row.0);
                    cursors.push(Cursor {
                        run,
                        head,
                        at: range.start,
                        end: range.end,
                        disk: None,
                    });
                }
            }
            (Input::Disk(disk), Some(Part::Disk(lower, upper, _))) => {
                // A block that is read, the one before it while rows of it are picked, and the bytes of one.
                reservation.grow(disk.iter().map(|run| run.run.block_memory * 5 / 2).sum())?;
                for (run, from) in disk.iter().enumerate() {
                    let cursor = open(run, from, *lower, *upper, &runs.plan, &mut held)?;
                    longest = longest.max(cursor.disk.as_ref().map_or(0, |d| d.block.longest_row()));
                    cursors.push(cursor);
                }
            }
            _ => return Err(Error::internal("a sort has no such partition")),
        }
        cursors.retain(|c| c.head.is_some());
        let mut merger = Self {
            runs,
            cancel: context.cancel.clone(),
            tree: LoserTree::default(),
            cursors,
            positions: vec![],
            held,
            longest,
            _reservation: reservation,
        };
        merger.tree = LoserTree::build(merger.cursors.len(), &|a, b| merger.before(a, b));
        Ok(merger)
    }

    /// The blocks that rows come from now.
    fn blocks(&self) -> Vec<&Block> {
        match &self.runs.input {
            Input::Memory(memory) => memory.blocks.iter().collect(),
            Input::Disk(_) => self.held.iter().map(Arc::as_ref).collect(),
        }
    }

    /// Whether the next row of cursor `a` comes before that of cursor `b`.
    #[inline(always)]
    fn before(&self, a: usize, b: usize) -> bool {
        match (self.cursors[a].head, self.cursors[b].head) {
            (Some(left), Some(right)) if left != right || self.runs.plan.is_exact() => left < right,
            (Some(_), Some(_)) => self.before_by_value(a, b),
            (left, _) => left.is_some(),
        }
    }

    #[cold]
    fn before_by_value(&self, a: usize, b: usize) -> bool {
        let (left, right) = (self.position(a), self.position(b));
        let block = |p: Position| match &self.runs.input {
            Input::Memory(memory) => &memory.blocks[p.block as usize],
            Input::Disk(_) => self.held[p.block as usize].as_ref(),
        };
        let order = self
            .runs
            .plan
            .compare_rest((block(left), left.row as usize), (block(right), right.row as usize));
        order.is_lt()
    }

    /// Where the next row of a cursor is.
    #[inline(always)]
    fn position(&self, cursor: usize) -> Position {
        let cursor = &self.cursors[cursor];
        match (&cursor.disk, &self.runs.input) {
            (Some(disk), _) => Position {
                block: disk.slot,
                row: cursor.at as u32,
            },
            (None, Input::Memory(memory)) => {
                let (order, first) = &memory.runs[cursor.run];
                let place = position(order[cursor.at].1);
                Position {
                    block: place.block + first,
                    row: place.row,
                }
            }
            (None, Input::Disk(_)) => Position { block: 0, row: 0 },
        }
    }

    /// The next rows, at most `rows`, with the layout's first `width` columns; `None` at the end.
    fn next(&mut self, rows: usize, width: usize) -> Result<Option<Block>> {
        self.cancel.check()?;
        let rows = rows.min((64 << 20) / self.longest.max(1)).max(usize::from(rows > 0));
        self.positions.clear();
        if let [_] = self.cursors.as_slice() {
            while self.positions.len() < rows && self.cursors[0].head.is_some() {
                self.positions.push(self.position(0));
                self.advance(0)?;
            }
        } else if !self.cursors.is_empty() {
            let (mut last, mut streak) = (usize::MAX, 0);
            while self.positions.len() < rows {
                let winner = self.tree.winner();
                if self.cursors[winner].head.is_none() {
                    break;
                }
                streak = if winner == last { streak + 1 } else { 0 };
                last = winner;
                if streak == STREAK {
                    streak = 0;
                    self.take_ahead(winner, rows - self.positions.len() - 1);
                }
                self.positions.push(self.position(winner));
                self.advance(winner)?;
                let mut tree = std::mem::take(&mut self.tree);
                tree.replay(winner, &|a, b| self.before(a, b));
                self.tree = tree;
            }
        }
        if self.positions.is_empty() {
            return Ok(None);
        }
        let layout = &self.runs.specification.layout;
        let block = Block::gather_columns(layout, &self.blocks(), &self.positions, (0..width).map(|i| (i, i)));
        self.forget_read_blocks();
        Ok(Some(block))
    }

    /// Takes the rows of the winner that surely precede those of all others, at most `most` and but for one: where runs do not
    /// overlap, they are not compared row by row.
    #[cold]
    fn take_ahead(&mut self, winner: usize, most: usize) {
        let next = self.tree.runner_up(&|a, b| self.before(a, b));
        let Some(limit) = next.and_then(|next| self.cursors[next].head) else {
            return;
        };
        let cursor = &self.cursors[winner];
        let rows = cursor.at..cursor.end.min(cursor.at + most + 1);
        let below = match (&cursor.disk, &self.runs.input) {
            (Some(disk), _) => leading(&disk.keys[rows], |key| *key < limit),
            (None, Input::Memory(memory)) => leading(&memory.runs[cursor.run].0[rows], |row| row.0 < limit),
            (None, Input::Disk(_)) => 0,
        };
        for _ in 1..below {
            self.positions.push(self.position(winner));
            self.cursors[winner].at += 1;
        }
    }

    /// Moves a cursor to its next row.
    #[inline(always)]
    fn advance(&mut self, at: usize) -> Result<()> {
        let cursor = &mut self.cursors[at];
        cursor.at += 1;
        match (&cursor.disk, &self.runs.input) {
            (None, Input::Memory(memory)) => {
                let order = &memory.runs[cursor.run].0;
                cursor.head = if cursor.at < cursor.end {
                    order.get(cursor.at).map(|row| row.0)
                } else {
                    None
                };
                Ok(())
            }
            (Some(disk), _) if cursor.at < cursor.end => {
                let key = disk.keys[cursor.at];
                cursor.head = Some(key).filter(|key| disk.upper.is_none_or(|upper| *key < upper));
                Ok(())
            }
            _ => self.next_block(at),
        }
    }

    /// Reads the next block of a run on disk.
    #[cold]
    fn next_block(&mut self, at: usize) -> Result<()> {
        let Input::Disk(disk) = &self.runs.input else {
            return Err(Error::internal("a run in memory has no blocks to read"));
        };
        let cursor = &mut self.cursors[at];
        cursor.load(disk, &self.runs.plan, &mut self.held)?;
        if let Some(disk) = &cursor.disk {
            self.longest = self.longest.max(disk.block.longest_row());
        }
        Ok(())
    }

    /// Lets go of blocks of which no more rows are needed.
    fn forget_read_blocks(&mut self) {
        if self.held.len() <= self.cursors.len() {
            return;
        }
        self.held.clear();
        for disk in self.cursors.iter_mut().filter_map(|c| c.disk.as_mut()) {
            disk.slot = self.held.len() as u32;
            self.held.push(disk.block.clone());
        }
    }
}

/// How many rows at the beginning are below a limit; looks at few when they are few.
fn leading<T>(rows: &[T], is_below: impl Fn(&T) -> bool) -> usize {
    let mut end = 1;
    while end < rows.len() && is_below(&rows[end]) {
        end *= 2;
    }
    rows[..end.min(rows.len())].partition_point(is_below)
}

/// A cursor at the first row of a run that is not below `lower`.
fn open<K: PackedKey>(
    run: usize,
    from: &DiskRun<K>,
    lower: Option<K>,
    upper: Option<K>,
    plan: &KeyPlan,
    held: &mut Vec<Arc<Block>>,
) -> Result<Cursor<K>> {
    // The block before the first one that begins at or above the bound may hold such rows too.
    let first = lower.map_or(0, |lower| {
        from.firsts.partition_point(|key| *key < lower).saturating_sub(1)
    });
    let disk = DiskCursor {
        next_block: first,
        upper,
        block: Arc::default(),
        keys: vec![],
        slot: 0,
        buffer: vec![],
    };
    let mut cursor = Cursor {
        run,
        head: None,
        at: 0,
        end: 0,
        disk: Some(disk),
    };
    loop {
        if !cursor.load_from(from, plan, held)? {
            return Ok(cursor);
        }
        let Some(disk) = &cursor.disk else { return Ok(cursor) };
        cursor.at = lower.map_or(0, |lower| disk.keys.partition_point(|key| *key < lower));
        if cursor.at < cursor.end {
            let key = disk.keys[cursor.at];
            cursor.head = Some(key).filter(|key| upper.is_none_or(|upper| *key < upper));
            return Ok(cursor);
        }
    }
}

impl<K: PackedKey> Cursor<K> {
    fn load(&mut self, disk: &[DiskRun<K>], plan: &KeyPlan, held: &mut Vec<Arc<Block>>) -> Result<()> {
        self.load_from(&disk[self.run], plan, held).map(drop)
    }

    /// Goes to the first row of the next block; false when there is none.
    fn load_from(&mut self, from: &DiskRun<K>, plan: &KeyPlan, held: &mut Vec<Arc<Block>>) -> Result<bool> {
        self.head = None;
        let Some(disk) = &mut self.disk else { return Ok(false) };
        // The index tells without reading whether the next block begins above the range.
        let first = from.firsts.get(disk.next_block).copied();
        if first.is_none_or(|first| disk.upper.is_some_and(|upper| first >= upper)) {
            return Ok(false);
        }
        disk.block = Arc::new(from.run.run.block(disk.next_block, &mut disk.buffer)?);
        disk.next_block += 1;
        plan.encode(&disk.block, false, &mut disk.keys);
        disk.slot = held.len() as u32;
        held.push(disk.block.clone());
        (self.at, self.end, self.head) = (0, disk.keys.len(), first);
        Ok(true)
    }
}
