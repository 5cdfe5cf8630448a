//! Sorted rows read by ranges of their key, without a merge: for joins, which need the rows of a range in any order.
//!
//! The key is the last column, a bigint without NULLs; it is not given out.

use super::keys::PackedKey;
use super::merge::{Input, Merged, Runs};
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
    Memory(Arc<Runs<u64>>, usize, Range<usize>),
}

impl SortedRanges {
    fn runs(&self) -> Result<Arc<Runs<u64>>> {
        let mut sorted = self.shared.sorted.lock();
        sorted.in_use = true;
        match &sorted.merged {
            Some(Merged::Narrow(runs)) => Ok(runs.clone()),
            _ => Err(Error::internal("a sort by a bigint is finished and has narrow keys")),
        }
    }

    /// Keys of some rows in ascending order, each with how many rows it stands for.
    pub fn sample(&self) -> Result<Vec<(i64, usize)>> {
        let runs = self.runs()?;
        let mut sample = vec![];
        match &runs.input {
            Input::Disk(disk) => {
                for run in disk {
                    let blocks = run.run.run.blocks().iter().enumerate();
                    sample.extend(blocks.map(|(i, b)| (key_of(&run.run.index, 0, i), b.rows as usize)));
                }
            }
            Input::Memory(memory) => {
                for run in 0..memory.runs.len() {
                    let (order, key) = keys_in_memory(&runs, run)?;
                    let rows = (0..order.len()).step_by(SAMPLE_STEP);
                    sample.extend(rows.map(|i| (key(i), SAMPLE_STEP.min(order.len() - i))));
                }
            }
        }
        sample.sort_unstable();
        Ok(sample)
    }

    /// Bytes of a row, on average.
    pub fn row_bytes(&self) -> Result<usize> {
        let runs = self.runs()?;
        let (bytes, rows) = match &runs.input {
            Input::Disk(disk) => disk.iter().fold((0, 0), |(bytes, rows), run| {
                (
                    bytes + run.run.block_memory * run.run.run.blocks().len(),
                    rows + run.run.run.rows() as usize,
                )
            }),
            Input::Memory(memory) => memory.blocks.iter().fold((0, 0), |(bytes, rows), block| {
                (bytes + block.memory_size(), rows + block.rows())
            }),
        };
        Ok(bytes / rows.max(1))
    }

    /// The rows with a key from `lower` on and below `upper`, `None` for all that follow.
    pub fn parts(&self, lower: i64, upper: Option<i64>) -> Result<Vec<SortedPart>> {
        let runs = self.runs()?;
        let at_once = *self.at_once.get_or_init(|| match &runs.input {
            Input::Memory(memory) => {
                let blocks: Vec<&Block> = memory.blocks.iter().collect();
                runs.specification.rows_at_once(&blocks, READ_ROWS)
            }
            Input::Disk(_) => READ_ROWS,
        });
        let part = |place| SortedPart {
            place,
            at_once,
            lower,
            upper,
        };
        let mut parts = vec![];
        match &runs.input {
            Input::Disk(disk) => {
                for run in disk {
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
            Input::Memory(memory) => {
                for run in 0..memory.runs.len() {
                    let (order, key) = keys_in_memory(&runs, run)?;
                    let start = partition_point(order.len(), |i| key(i) < lower);
                    let end = upper.map_or(order.len(), |upper| partition_point(order.len(), |i| key(i) < upper));
                    if start < end {
                        parts.push(part(Place::Memory(runs.clone(), run, start..end)));
                    }
                }
            }
        }
        Ok(parts)
    }
}

/// The order of a run in memory, and the key of its `i`-th row.
fn keys_in_memory<K: PackedKey>(runs: &Runs<K>, run: usize) -> Result<(&Order<K>, impl Fn(usize) -> i64)> {
    let Input::Memory(memory) = &runs.input else {
        return Err(Error::internal("a run on disk has no order in memory"));
    };
    let (order, first) = &memory.runs[run];
    let column = runs.specification.width - 1;
    let key = move |i: usize| {
        let place = position(order[i].1);
        key_of(
            &memory.blocks[(place.block + first) as usize],
            column,
            place.row as usize,
        )
    };
    Ok((order, key))
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
            Place::Memory(runs, ..) => self.rows() * runs.specification.layout.fixed_row_bytes(),
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
            Place::Memory(runs, run, rows) => {
                let Input::Memory(memory) = &runs.input else {
                    return Ok(None);
                };
                let blocks: Vec<&Block> = memory.blocks.iter().collect();
                let (order, first) = &memory.runs[*run];
                let count = self.part.at_once.min(rows.len());
                if count == 0 {
                    return Ok(None);
                }
                let positions: Vec<Position> = order[rows.start..rows.start + count]
                    .iter()
                    .map(|row| {
                        let place = position(row.1);
                        Position {
                            block: place.block + first,
                            row: place.row,
                        }
                    })
                    .collect();
                rows.start += count;
                let width = runs.specification.width - 1;
                let layout = &runs.specification.layout;
                let block = Block::gather_columns(layout, &blocks, &positions, (0..width).map(|i| (i, i)));
                block.into_batch(layout, width).map(Some)
            }
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
