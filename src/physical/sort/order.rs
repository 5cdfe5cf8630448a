//! The order of a worker's rows, and runs on disk.

use super::Specification;
use super::keys::{KeyPlan, KeyStatistics, PackedKey, WideKey};
use crate::error::Result;
use crate::runtime::{CancelToken, SpillFile, SpillRun, SpillWriter};
use crate::vector::block::{Block, Position};
use std::sync::Arc;

/// Rows of a block at most: a row number takes 16 bits …
pub const BLOCK_ROWS: usize = 1 << 16;
/// … and a block's number in its run the 16 above.
pub const RUN_BLOCKS: usize = 1 << 16;
/// Rows of a block on disk at most.
const SPILL_ROWS: usize = 8192;

/// A row of a run: block number and row number.
pub type Place = u32;

/// Where the row is.
#[inline(always)]
pub fn position(place: Place) -> Position {
    Position {
        block: place >> 16,
        row: place & 0xFFFF,
    }
}

/// Rows in order: packed key and place of each.
pub type Order<K> = Vec<(K, Place)>;

/// Bytes that the order of one row takes.
pub fn order_bytes(plan: &KeyPlan) -> usize {
    match plan.is_wide() {
        false => size_of::<(u64, Place)>(),
        true => size_of::<(WideKey, Place)>(),
    }
}

/// Sorts the rows of `blocks`.
pub fn sort_blocks<K: PackedKey>(plan: &KeyPlan, blocks: &[Block], cancel: &CancelToken) -> Result<Order<K>> {
    let rows = blocks.iter().map(Block::rows).sum();
    let mut order: Order<K> = Vec::with_capacity(rows);
    let mut keys = vec![];
    for (number, block) in (0u32..).zip(blocks) {
        cancel.check()?;
        plan.encode(block, false, &mut keys);
        order.extend(keys.iter().zip(number << 16..).map(|(&key, place)| (key, place)));
    }
    drop(keys);
    order.sort_unstable_by_key(|(key, _)| *key);
    if !plan.is_exact() {
        cancel.check()?;
        sort_ties(plan, blocks, &mut order);
    }
    Ok(order)
}

/// Sorts the rows with equal packed keys by their values.
fn sort_ties<K: PackedKey>(plan: &KeyPlan, blocks: &[Block], order: &mut Order<K>) {
    let row = |place: Place| (&blocks[(place >> 16) as usize], (place & 0xFFFF) as usize);
    for ties in order.chunk_by_mut(|a, b| a.0 == b.0).filter(|ties| ties.len() > 1) {
        ties.sort_unstable_by(|a, b| plan.compare_rest(row(a.1), row(b.1)));
    }
}

/// A sorted run on disk.
#[derive(Debug)]
pub struct SortedRun {
    pub run: SpillRun,
    /// The key columns of each block's first row.
    pub index: Block,
    pub statistics: Vec<KeyStatistics>,
    /// Memory of the largest block once read.
    pub block_memory: usize,
    /// The rows came in order.
    pub in_order: bool,
}

/// Writes sorted rows as a run.
#[derive(Debug)]
pub struct RunWriter {
    specification: Arc<Specification>,
    writer: SpillWriter,
    firsts: Vec<Block>,
    block_memory: usize,
}

impl RunWriter {
    pub fn new(specification: Arc<Specification>, file: Arc<SpillFile>) -> Result<Self> {
        let writer = SpillWriter::new(file, specification.layout.clone())?;
        Ok(Self {
            specification,
            writer,
            firsts: vec![],
            block_memory: 0,
        })
    }

    /// Rows that one block should have, when `blocks` are what the rows come from.
    pub fn rows_per_block(specification: &Specification, blocks: &[&Block]) -> usize {
        let rows: usize = blocks.iter().map(|b| b.rows()).sum();
        let bytes: usize = blocks.iter().map(|b| b.memory_size()).sum();
        let fitting = specification.run_block_bytes / (bytes / rows.max(1)).max(1);
        specification.rows_at_once(blocks, fitting.clamp(1, SPILL_ROWS))
    }

    /// Writes the next rows.
    pub fn write(&mut self, block: &Block) -> Result<()> {
        let first = [Position { block: 0, row: 0 }];
        let columns = self.specification.keys.iter().map(|k| (k.column, k.column));
        self.firsts.push(Block::gather_columns(
            &self.specification.layout,
            &[block],
            &first,
            columns,
        ));
        self.block_memory = self.block_memory.max(block.memory_size());
        self.writer.write(block)
    }

    pub fn finish(self, statistics: Vec<KeyStatistics>) -> Result<SortedRun> {
        let firsts: Vec<&Block> = self.firsts.iter().collect();
        let places: Vec<_> = (0..firsts.len() as u32)
            .map(|block| Position { block, row: 0 })
            .collect();
        let columns = self
            .specification
            .keys
            .iter()
            .enumerate()
            .map(|(i, key)| (i, key.column));
        let index = Block::gather_columns(&self.specification.layout, &firsts, &places, columns);
        Ok(SortedRun {
            run: self.writer.finish()?,
            index,
            statistics,
            block_memory: self.block_memory,
            in_order: false,
        })
    }
}

/// Sorts `blocks` and writes the first `fetch` rows to `file`.
pub fn spill_blocks(
    specification: &Arc<Specification>,
    blocks: &[Block],
    file: Arc<SpillFile>,
    cancel: &CancelToken,
) -> Result<SortedRun> {
    let statistics = KeyStatistics::of(&specification.keys, &specification.layout, blocks);
    let plan = specification.plan(&statistics);
    match plan.is_wide() {
        false => write_run::<u64>(specification, &plan, statistics, blocks, file, cancel),
        true => write_run::<WideKey>(specification, &plan, statistics, blocks, file, cancel),
    }
}

fn write_run<K: PackedKey>(
    specification: &Arc<Specification>,
    plan: &KeyPlan,
    statistics: Vec<KeyStatistics>,
    blocks: &[Block],
    file: Arc<SpillFile>,
    cancel: &CancelToken,
) -> Result<SortedRun> {
    let mut order = sort_blocks::<K>(plan, blocks, cancel)?;
    truncate(&mut order, specification.fetch);
    write_ordered(specification, statistics, blocks, &order, file, cancel)
}

/// Writes the rows of `blocks` in this order as a run.
pub fn write_rows<K: PackedKey>(
    specification: &Arc<Specification>,
    blocks: &[Block],
    order: &Order<K>,
    file: Arc<SpillFile>,
    cancel: &CancelToken,
) -> Result<SortedRun> {
    let statistics = KeyStatistics::of(&specification.keys, &specification.layout, blocks);
    write_ordered(specification, statistics, blocks, order, file, cancel)
}

fn write_ordered<K: PackedKey>(
    specification: &Arc<Specification>,
    statistics: Vec<KeyStatistics>,
    blocks: &[Block],
    order: &Order<K>,
    file: Arc<SpillFile>,
    cancel: &CancelToken,
) -> Result<SortedRun> {
    let blocks: Vec<&Block> = blocks.iter().collect();
    let mut writer = RunWriter::new(specification.clone(), file)?;
    for rows in order.chunks(RunWriter::rows_per_block(specification, &blocks)) {
        cancel.check()?;
        let positions: Vec<Position> = rows.iter().map(|row| position(row.1)).collect();
        writer.write(&Block::gather(&specification.layout, &blocks, &positions))?;
    }
    writer.finish(statistics)
}

/// Keeps the first `fetch` rows.
pub fn truncate<K>(order: &mut Order<K>, fetch: Option<u64>) {
    if let Some(fetch) = fetch.and_then(|f| usize::try_from(f).ok()) {
        order.truncate(fetch);
    }
}
