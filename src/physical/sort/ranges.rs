//! Sorted rows read by ranges of their key, without a merge: for joins, which need the rows of a range in any order.
//!
//! The key is the last column, a bigint without NULLs; it is not given out.

use super::in_order::OrderedRuns;
use super::merge::{DiskRun, Input, Merged, Runs};
use super::order::{Order, position};
use super::sink::Shared;
use super::{Sink, Specification};
use crate::error::{Error, Result};
use crate::expression::PhysicalExpr;
use crate::runtime::{QueryContext, SpillRun};
use crate::types::DataType;
use crate::vector::block::{Block, Position, Values};
use crate::vector::{Batch, Column};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Rows between two keys of a sample of rows in memory.
const SAMPLE_STEP: usize = 1 << 12;

/// Rows of a batch that is read from memory.
const READ_ROWS: usize = 8192;

/// The rows of a finished sort.
pub struct SortedRanges {
    shared: Arc<Shared>,
    at_once: OnceLock<usize>,
}

/// The sink of rows with columns of `types`, the last of which is the key, and what gives them back.
///
/// # Errors
/// `Unsupported` for a column of a type that cannot be kept.
pub fn sort_for_ranges(types: &[DataType], context: &QueryContext) -> Result<(Arc<dyn Sink>, SortedRanges)> {
    let key = PhysicalExpr::Column {
        index: types.len() - 1,
        data_type: DataType::Int64,
    };
    let mut specification = Specification::new(types, vec![(key, false, false)], None, context)?;
    specification.merges = false;
    let shared = Arc::new(Shared::new(specification, context));
    Ok((
        Arc::new(super::sink::SortSink::new(shared.clone())),
        SortedRanges {
            shared,
            at_once: OnceLock::new(),
        },
    ))
}

/// Rows with a key from `lower` on and below `upper`.
#[derive(Clone)]
pub struct SortedPart {
    place: Place,
    /// Rows that may be read at once without their strings becoming too long.
    at_once: usize,
    lower: i64,
    /// `None`: to the end.
    upper: Option<i64>,
}

#[derive(Clone)]
enum Place {
    /// Blocks of a run, in the first and last of which there may be others.
    Disk(SpillRun, Range<usize>),
    /// Rows of a run in memory.
    Memory(InMemory, usize, Range<usize>),
}

/// Where the rows of a finished sort are.
enum Finished {
    Disk(Arc<Runs<u64>>),
    Memory(InMemory),
}

/// Runs in memory.
#[derive(Clone)]
enum InMemory {
    Sorted(Arc<Runs<u64>>),
    InOrder(Arc<OrderedRuns>),
}

impl SortedRanges {
    fn finished(&self) -> Result<Finished> {
        let mut sorted = self.shared.sorted.lock();
        sorted.in_use = true;
        match &sorted.merged {
            Some(Merged::Narrow(runs)) if matches!(runs.input, Input::Disk(_)) => Ok(Finished::Disk(runs.clone())),
            Some(Merged::Narrow(runs)) => Ok(Finished::Memory(InMemory::Sorted(runs.clone()))),
            Some(Merged::InOrder(runs)) => Ok(Finished::Memory(InMemory::InOrder(runs.clone()))),
            _ => Err(Error::internal("a sort by a bigint is finished and has narrow keys")),
        }
    }

    /// Whether all rows came in order, so that none were sorted.
    pub fn came_in_order(&self) -> Result<bool> {
        Ok(match self.finished()? {
            Finished::Disk(runs) => disk_runs(&runs).iter().all(|run| run.run.in_order),
            Finished::Memory(runs) => matches!(runs, InMemory::InOrder(_)),
        })
    }

    /// Keys of some rows in ascending order, each with how many rows it stands for.
    pub fn sample(&self) -> Result<Vec<(i64, usize)>> {
        let mut sample = vec![];
        match self.finished()? {
            Finished::Disk(runs) => {
                for run in disk_runs(&runs) {
                    let blocks = run.run.run.blocks().iter().enumerate();
                    sample.extend(blocks.map(|(i, b)| (key_of(&run.run.index, 0, i), b.rows as usize)));
                }
            }
            Finished::Memory(runs) => {
                for run in 0..runs.count() {
                    let count = runs.rows(run);
                    let rows = (0..count).step_by(SAMPLE_STEP);
                    sample.extend(rows.map(|row| (runs.key(run, row), SAMPLE_STEP.min(count - row))));
                }
            }
        }
        sample.sort_unstable();
        Ok(sample)
    }

    /// Bytes of a row, on average.
    pub fn row_bytes(&self) -> Result<usize> {
        let (bytes, rows) = match self.finished()? {
            Finished::Disk(runs) => disk_runs(&runs).iter().fold((0, 0), |(bytes, rows), run| {
                (
                    bytes + run.run.block_memory * run.run.run.blocks().len(),
                    rows + run.run.run.rows() as usize,
                )
            }),
            Finished::Memory(runs) => runs.blocks().fold((0, 0), |(bytes, rows), block| {
                (bytes + block.memory_size(), rows + block.rows())
            }),
        };
        Ok(bytes / rows.max(1))
    }

    /// The rows with a key from `lower` on and below `upper`, `None` for all that follow.
    pub fn parts(&self, lower: i64, upper: Option<i64>) -> Result<Vec<SortedPart>> {
        let finished = self.finished()?;
        let at_once = *self.at_once.get_or_init(|| match &finished {
            Finished::Disk(_) => READ_ROWS,
            Finished::Memory(runs) => {
                let blocks: Vec<&Block> = runs.blocks().collect();
                self.shared.specification.rows_at_once(&blocks, READ_ROWS)
            }
        });
        let part = |place| SortedPart {
            place,
            at_once,
            lower,
            upper,
        };
        let mut parts = vec![];
        match finished {
            Finished::Disk(runs) => {
                for run in disk_runs(&runs) {
                    let count = run.run.run.blocks().len();
                    let first = partition_point(count, |i| key_of(&run.run.index, 0, i) < lower).saturating_sub(1);
                    let end = upper.map_or(count, |upper| {
                        partition_point(count, |i| key_of(&run.run.index, 0, i) < upper)
                    });
                    if first < end {
                        parts.push(part(Place::Disk(run.run.run.clone(), first..end)));
                    }
                }
            }
            Finished::Memory(runs) => {
                for run in 0..runs.count() {
                    let rows = runs.rows(run);
                    let start = partition_point(rows, |row| runs.key(run, row) < lower);
                    let end = upper.map_or(rows, |upper| partition_point(rows, |row| runs.key(run, row) < upper));
                    if start < end {
                        parts.push(part(Place::Memory(runs.clone(), run, start..end)));
                    }
                }
            }
        }
        Ok(parts)
    }
}

fn disk_runs(runs: &Runs<u64>) -> &[DiskRun<u64>] {
    match &runs.input {
        Input::Disk(runs) => runs,
        Input::Memory(_) => &[],
    }
}

fn memory_runs(runs: &Runs<u64>) -> (&[Block], &[(Order<u64>, u32)]) {
    match &runs.input {
        Input::Memory(memory) => (&memory.blocks, &memory.runs),
        Input::Disk(_) => (&[], &[]),
    }
}

impl InMemory {
    fn specification(&self) -> &Specification {
        match self {
            Self::Sorted(runs) => &runs.specification,
            Self::InOrder(runs) => &runs.specification,
        }
    }

    fn blocks(&self) -> Box<dyn Iterator<Item = &Block> + '_> {
        match self {
            Self::Sorted(runs) => Box::new(memory_runs(runs).0.iter()),
            Self::InOrder(runs) => Box::new(runs.runs.iter().flat_map(|run| &run.blocks)),
        }
    }

    /// How many runs there are.
    fn count(&self) -> usize {
        match self {
            Self::Sorted(runs) => memory_runs(runs).1.len(),
            Self::InOrder(runs) => runs.runs.len(),
        }
    }

    fn rows(&self, run: usize) -> usize {
        match self {
            Self::Sorted(runs) => memory_runs(runs).1[run].0.len(),
            Self::InOrder(runs) => runs.runs[run].rows,
        }
    }

    fn key(&self, run: usize, row: usize) -> i64 {
        let column = self.specification().width - 1;
        match self {
            Self::InOrder(runs) => {
                let (block, row) = runs.runs[run].place(row);
                key_of(block, column, row)
            }
            Self::Sorted(runs) => {
                let (blocks, orders) = memory_runs(runs);
                let (order, first) = &orders[run];
                let place = position(order[row].1);
                key_of(&blocks[(place.block + first) as usize], column, place.row as usize)
            }
        }
    }

    /// Takes the first rows of a range of a run, at most `most`, without their key.
    fn read(&self, run: usize, rows: &mut Range<usize>, most: usize) -> Result<Option<Batch>> {
        let (layout, width) = (&self.specification().layout, self.specification().width - 1);
        let mut count = most.min(rows.len());
        if count == 0 {
            return Ok(None);
        }
        let block = match self {
            Self::InOrder(runs) => {
                let (block, from) = runs.runs[run].place(rows.start);
                count = count.min(block.rows() - from);
                block.copy_rows(from..from + count, width)
            }
            Self::Sorted(runs) => {
                let (blocks, orders) = memory_runs(runs);
                let (order, first) = &orders[run];
                let positions = order[rows.start..rows.start + count].iter().map(|row| {
                    let place = position(row.1);
                    Position {
                        block: place.block + first,
                        row: place.row,
                    }
                });
                let (blocks, positions): (Vec<&Block>, Vec<Position>) = (blocks.iter().collect(), positions.collect());
                Block::gather_columns(layout, &blocks, &positions, (0..width).map(|i| (i, i)))
            }
        };
        rows.start += count;
        block.into_batch(layout, width).map(Some)
    }
}

/// The bigint in a column of a block.
fn key_of(block: &Block, column: usize, row: usize) -> i64 {
    match block.column(column).values() {
        Values::W8(values) => values[row] as i64,
        _ => 0,
    }
}

fn partition_point(count: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match is_before(middle) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}

impl SortedPart {
    /// Rows at most.
    pub fn rows(&self) -> usize {
        match &self.place {
            Place::Disk(run, blocks) => run.blocks()[blocks.clone()].iter().map(|b| b.rows as usize).sum(),
            Place::Memory(_, _, rows) => rows.len(),
        }
    }

    /// Bytes on disk or in memory, about.
    pub fn bytes(&self) -> usize {
        match &self.place {
            Place::Disk(run, blocks) => run.blocks()[blocks.clone()].iter().map(|b| b.length as usize).sum(),
            Place::Memory(runs, ..) => self.rows() * runs.specification().layout.fixed_row_bytes(),
        }
    }

    /// The same rows in parts of about `rows`.
    pub fn cut(&self, rows: usize) -> Vec<Self> {
        let of = |place| Self { place, ..self.clone() };
        match &self.place {
            Place::Disk(run, blocks) => {
                let blocks_each = (rows * blocks.len() / self.rows().max(1)).max(1);
                let starts = blocks.clone().step_by(blocks_each);
                starts
                    .map(|start| of(Place::Disk(run.clone(), start..(start + blocks_each).min(blocks.end))))
                    .collect()
            }
            Place::Memory(runs, run, range) => {
                let starts = range.clone().step_by(rows.max(1));
                starts
                    .map(|start| {
                        of(Place::Memory(
                            runs.clone(),
                            *run,
                            start..(start + rows.max(1)).min(range.end),
                        ))
                    })
                    .collect()
            }
        }
    }

    pub fn rows_in_order(self) -> SortedRows {
        SortedRows {
            part: self,
            buffer: vec![],
        }
    }
}

/// Reads a part.
pub struct SortedRows {
    part: SortedPart,
    buffer: Vec<u8>,
}

impl SortedRows {
    /// The next rows, without their key.
    pub fn next(&mut self) -> Result<Option<Batch>> {
        let (lower, upper) = (self.part.lower, self.part.upper);
        match &mut self.part.place {
            Place::Disk(run, blocks) => {
                let Some(block) = blocks.next() else { return Ok(None) };
                let layout = run.layout().clone();
                let batch = run
                    .block(block, &mut self.buffer)?
                    .into_batch(&layout, layout.width())?;
                within(batch, lower, upper).map(Some)
            }
            Place::Memory(runs, run, rows) => runs.read(*run, rows, self.part.at_once),
        }
    }
}

/// The rows of a block whose key, in the last column, is within the range; the other columns.
fn within(batch: Batch, lower: i64, upper: Option<i64>) -> Result<Batch> {
    let width = batch.width() - 1;
    let columns: Vec<Column> = batch.physical_columns()[..width].to_vec();
    let key = batch.column(width)?.to_array()?;
    let keys = key
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(|| Error::internal("the key of a range is a bigint"))?;
    let inside = |key: i64| key >= lower && upper.is_none_or(|upper| key < upper);
    let batch = Batch::new(columns, batch.len());
    let ends = keys.values().first().zip(keys.values().last());
    if ends.is_none_or(|(first, last)| inside(*first) && inside(*last)) {
        return Ok(batch);
    }
    let values = keys.values().iter().enumerate().filter(|(_, key)| inside(**key));
    Ok(batch.select(values.map(|(row, _)| row as u32).collect()))
}
