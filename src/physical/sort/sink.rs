//! The sink: keeps rows in blocks, writes runs when memory is short, drops rows that cannot be among the first.

use super::Specification;
use super::in_order::{Arrival, Arrives, OrderedRuns, write_in_order};
use super::keys::{Bound, KeyStatistics, PackedKey, WideKey};
use super::merge::{Merged, Runs};
use super::order::{self, BLOCK_ROWS, RUN_BLOCKS, SortedRun, order_bytes, sort_blocks, spill_blocks};
use crate::error::{Error, Result};
use crate::expression::PhysicalExpr;
use crate::physical::pipeline::{Flow, LocalSink, Sink};
use crate::runtime::{CancelToken, QueryContext, Reservation, Shrink, SpillFile};
use crate::types::DataType;
use crate::vector::allocator::give_back_beyond;
use crate::vector::block::{Appender, Block, Layout, Prepared, Shape};
use crate::vector::{Batch, Column};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock, Weak};

/// Rows up to which a `fetch` is a top-N, whose rows are cut while they come.
const TOP_N: u64 = 100_000;
/// Rows that a top-N collects at least before it is cut.
const CUT_ROWS: usize = 8192;
/// Batches after which `debug_force_spill` writes a run.
const FORCED_BATCHES: usize = 3;
/// Runs that share a file.
const RUNS_PER_FILE: usize = 16;

/// What the workers, the sink and the source share.
pub struct Shared {
    pub specification: Arc<Specification>,
    pub context: QueryContext,
    state: Mutex<State>,
    /// The rows in order, once all have come.
    pub sorted: Mutex<Sorted>,
    /// Rows after this are not among the first `fetch`.
    bound: Mutex<Option<Bound>>,
}

/// The outcome of a sort.
#[derive(Default)]
pub struct Sorted {
    pub merged: Option<Merged>,
    /// Whether a pipeline reads it; it stays where it is from then on.
    pub in_use: bool,
}

#[derive(Default)]
struct State {
    memory: Vec<Kept>,
    spilled: Vec<SortedRun>,
}

/// The unsorted rows of a worker.
pub struct Kept {
    pub blocks: Vec<Block>,
    /// How they came, if in order.
    pub arrival: Option<Arrival>,
    pub reservation: Reservation,
}

impl Shared {
    pub fn new(specification: Specification, context: &QueryContext) -> Self {
        Self {
            specification: Arc::new(specification),
            context: context.clone(),
            state: Mutex::default(),
            sorted: Mutex::default(),
            bound: Mutex::default(),
        }
    }
}

/// Rows that were sorted in memory become runs on disk.
impl Shrink for Shared {
    fn shrink(&self, _bytes: usize) -> Result<usize> {
        let mut sorted = self.sorted.lock();
        if sorted.in_use {
            return Ok(0);
        }
        let before = self.specification.operator.held();
        sorted.merged = match sorted.merged.take() {
            Some(merged) => Some(merged.into_disk(&self.context)?),
            None => None,
        };
        Ok(before.saturating_sub(self.specification.operator.held()))
    }
}

/// See the module's picture.
pub struct SortSink {
    shared: Arc<Shared>,
}

impl SortSink {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Sink for SortSink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalSort::new(self.shared.clone(), context)?))
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        let State { memory, spilled } = std::mem::take(&mut *self.shared.state.lock());
        let specification = &self.shared.specification;
        let merged = if spilled.is_empty() {
            in_memory(specification, memory, context)?
        } else {
            let runs = spill_rest(specification, memory, spilled, context)?;
            Runs::on_disk(specification, runs, context)?
        };
        let before = self.shared.sorted.lock().merged.replace(merged);
        let shared: Weak<Shared> = Arc::downgrade(&self.shared);
        context.memory.register(shared);
        match before {
            Some(_) => Err(Error::internal("a sort finished twice")),
            None => Ok(()),
        }
    }
}

/// Sorts what every worker kept, unless it came in order; on disk if there is no room to sort it.
fn in_memory(specification: &Arc<Specification>, kept: Vec<Kept>, context: &QueryContext) -> Result<Merged> {
    let mut kept = match OrderedRuns::of(specification, kept) {
        Ok(runs) => return Ok(Merged::InOrder(Arc::new(runs))),
        Err(kept) => kept,
    };
    if reserve_orders(&mut kept) {
        return sort_in_memory(specification, kept, context);
    }
    let runs = spill_rest(specification, kept, vec![], context)?;
    Runs::on_disk(specification, runs, context)
}

/// Makes room for sorting rows that came in order, because others did not; whether there is enough.
fn reserve_orders(kept: &mut [Kept]) -> bool {
    let mut in_order = kept.iter_mut().filter(|part| part.arrival.is_some());
    in_order.all(|part| {
        let rows = rows_of(&part.blocks);
        part.reservation.try_grow(rows * size_of::<(u64, u32)>())
    })
}

/// Sorts what every worker kept, with one packing for all.
fn sort_in_memory(specification: &Arc<Specification>, kept: Vec<Kept>, context: &QueryContext) -> Result<Merged> {
    let (blocks, mut reservations): (Vec<_>, Vec<_>) = kept.into_iter().map(|k| (k.blocks, k.reservation)).unzip();
    let rows = rows_of(blocks.iter().flatten());
    // Small inputs are one run; a merge would cost more than it gives. Others are runs of one worker each, which may have got
    // its rows in order.
    let parts = if rows < 4 * CUT_ROWS {
        split(blocks.into_iter().flatten().collect(), 1)
    } else {
        let each = rows.div_ceil(context.threads());
        let runs_of = |blocks: &[Block]| (rows_of(blocks) + each / 2) / each;
        blocks
            .into_iter()
            .flat_map(|blocks| {
                let runs = runs_of(&blocks);
                split(blocks, runs)
            })
            .collect()
    };
    let found = Mutex::new(vec![KeyStatistics::default(); specification.keys.len()]);
    context.parallel(parts.len(), &|i| {
        let statistics = KeyStatistics::of(&specification.keys, &specification.layout, &parts[i]);
        found
            .lock()
            .iter_mut()
            .zip(&statistics)
            .for_each(|(all, one)| all.merge(one));
        Ok(())
    })?;
    let plan = Arc::new(specification.plan(&found.into_inner()));
    let have: usize = reservations.iter().map(Reservation::bytes).sum();
    let blocks_bytes: usize = parts.iter().flatten().map(Block::memory_size).sum();
    let mut missing = specification.operator.reservation();
    missing.grow((blocks_bytes + rows * order_bytes(&plan)).saturating_sub(have))?;
    reservations.push(missing);
    match plan.is_wide() {
        false => sort_parts::<u64>(specification, plan, parts, reservations, context).map(Merged::Narrow),
        true => sort_parts::<WideKey>(specification, plan, parts, reservations, context).map(Merged::Wide),
    }
}

fn sort_parts<K: PackedKey>(
    specification: &Arc<Specification>,
    plan: Arc<super::KeyPlan>,
    parts: Vec<Vec<Block>>,
    reservations: Vec<Reservation>,
    context: &QueryContext,
) -> Result<Arc<Runs<K>>> {
    let orders: Vec<OnceLock<_>> = parts.iter().map(|_| OnceLock::new()).collect();
    context.parallel(parts.len(), &|i| {
        let mut order = sort_blocks::<K>(&plan, &parts[i], &context.cancel)?;
        order::truncate(&mut order, specification.fetch);
        let _ = orders[i].set(order);
        Ok(())
    })?;
    let orders = orders.into_iter().map(|o| o.into_inner().unwrap_or_default());
    let runs = orders.zip(parts).collect();
    Ok(Arc::new(Runs::in_memory(
        specification.clone(),
        plan,
        runs,
        reservations,
        context,
    )))
}

fn rows_of<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> usize {
    blocks.into_iter().map(Block::rows).sum()
}

/// Cuts blocks into `parts` lists, at least one, of about the same number of rows.
fn split(blocks: Vec<Block>, parts: usize) -> Vec<Vec<Block>> {
    let rows = rows_of(&blocks);
    let target = rows.div_ceil(parts.max(1)).max(1);
    let mut out: Vec<Vec<Block>> = vec![];
    let mut filled = target;
    for block in blocks {
        if filled >= target || out.last().is_none_or(|part| part.len() >= RUN_BLOCKS) {
            out.push(vec![]);
            filled = 0;
        }
        filled += block.rows();
        if let Some(part) = out.last_mut() {
            part.push(block);
        }
    }
    out
}

/// Writes what is still in memory, so that all rows are in runs on disk.
fn spill_rest(
    specification: &Arc<Specification>,
    memory: Vec<Kept>,
    spilled: Vec<SortedRun>,
    context: &QueryContext,
) -> Result<Vec<SortedRun>> {
    let memory: Vec<Mutex<Option<Kept>>> = memory.into_iter().map(|kept| Mutex::new(Some(kept))).collect();
    let runs = Mutex::new(spilled);
    context.parallel(memory.len(), &|i| {
        let Some(kept) = memory[i].lock().take().filter(|kept| !kept.blocks.is_empty()) else {
            return Ok(());
        };
        let (file, arrival) = (context.spill.file()?, kept.arrival.as_ref());
        let written = write_kept(specification, &kept.blocks, arrival, file, &context.cancel)?;
        runs.lock().extend(written);
        Ok(())
    })?;
    Ok(runs.into_inner())
}

/// Writes blocks: a run for each sequence that came in order, or else one that is sorted.
fn write_kept(
    specification: &Arc<Specification>,
    blocks: &[Block],
    arrival: Option<&Arrival>,
    file: Arc<SpillFile>,
    cancel: &CancelToken,
) -> Result<Vec<SortedRun>> {
    let Some(arrival) = arrival else {
        return Ok(vec![spill_blocks(specification, blocks, file, cancel)?]);
    };
    let sequences = arrival.sequences(blocks.len()).into_iter();
    sequences
        .map(|sequence| write_in_order(specification, &blocks[sequence], file.clone(), cancel))
        .collect()
}

/// One worker's rows.
struct LocalSort {
    shared: Arc<Shared>,
    context: QueryContext,
    appender: Appender,
    blocks: Vec<Block>,
    blocks_bytes: usize,
    open: Option<Block>,
    /// Bytes of rows in the open block.
    open_bytes: usize,
    /// The room that the next block is given, and the memory that it takes.
    shape: Shape,
    shape_bytes: usize,
    rows: usize,
    /// Bytes per row that sorting will take.
    order_bytes: usize,
    /// How the rows come, as long as they come in order and it matters.
    arrival: Option<Arrival>,
    reservation: Reservation,
    file: Option<(Arc<SpillFile>, usize)>,
    batches: usize,
    filter: Option<TopFilter>,
}

impl LocalSort {
    fn new(shared: Arc<Shared>, context: &QueryContext) -> Result<Self> {
        let filter = match (shared.specification.fetch, shared.specification.keys.first()) {
            (Some(fetch), Some(key)) if fetch <= TOP_N => {
                Some(TopFilter::new(shared.specification.layout.data_type(key.column))?)
            }
            _ => None,
        };
        let reservation = shared.specification.operator.reservation();
        let arrival = (!shared.specification.merges).then(Arrival::default);
        Ok(Self {
            appender: Appender::new(shared.specification.layout.clone()),
            order_bytes: match arrival {
                Some(_) => 0,
                None => size_of::<(WideKey, u32)>(),
            },
            arrival,
            shared,
            context: context.clone(),
            blocks: vec![],
            blocks_bytes: 0,
            open: None,
            open_bytes: 0,
            shape: Shape::default(),
            shape_bytes: 0,
            rows: 0,
            reservation,
            file: None,
            batches: 0,
            filter,
        })
    }

    fn layout(&self) -> &Layout {
        &self.shared.specification.layout
    }

    fn append(&mut self, prepared: &Prepared) -> Result<()> {
        let block_bytes = self.shared.specification.block_bytes;
        let mut start = 0;
        while start < prepared.rows() {
            let room = block_bytes.saturating_sub(self.open_bytes).max(block_bytes / 8);
            let open_rows = self.open.as_ref().map_or(0, Block::rows);
            let rows = prepared
                .rows_within(start, room)
                .min(self.block_rows().saturating_sub(open_rows).max(1));
            let bytes = prepared.size(start..start + rows);
            self.reserve(bytes, rows)?;
            if self.open.is_none() {
                self.open = Some(Block::with_shape(self.layout(), &self.shape));
            }
            let shared = self.shared.clone();
            if let Some(open) = &mut self.open {
                open.append(&shared.specification.layout, prepared, start..start + rows)?;
            }
            self.open_bytes += bytes;
            self.rows += rows;
            start += rows;
            if self.open_bytes >= block_bytes || self.open.as_ref().is_some_and(|b| b.rows() >= self.block_rows()) {
                self.learn_shape();
                self.seal();
            }
        }
        Ok(())
    }

    /// Rows that a block may have: as many as there was room made for.
    fn block_rows(&self) -> usize {
        if self.shape.rows == 0 {
            BLOCK_ROWS
        } else {
            self.shape.rows
        }
    }

    /// The next block is allocated like the one that is full now, unless rows have become much smaller.
    fn learn_shape(&mut self) {
        let well_filled = self.open_bytes >= self.shared.specification.block_bytes / 2;
        let full = self.open.as_ref().filter(|_| well_filled);
        self.shape = full.map(Block::shape).unwrap_or_default();
        self.shape_bytes = full.map_or(0, Block::memory_size);
    }

    /// Ends the open block.
    fn seal(&mut self) {
        self.open_bytes = 0;
        if let Some(mut block) = self.open.take().filter(|b| b.rows() > 0) {
            block.trim();
            self.blocks_bytes += block.memory_size();
            self.blocks.push(block);
        }
    }

    /// Makes room for `rows` more rows of `bytes`, by writing a run if need be.
    fn reserve(&mut self, bytes: usize, rows: usize) -> Result<()> {
        let open = self
            .open
            .as_ref()
            .map_or(self.shape_bytes, Block::memory_size)
            .max(self.open_bytes + bytes);
        let wanted = self.blocks_bytes + open + (self.rows + rows) * self.order_bytes;
        let held = self.reservation.bytes();
        if wanted <= held && self.blocks.len() < RUN_BLOCKS {
            return Ok(());
        }
        let missing = wanted.saturating_sub(held);
        let chunk = missing.max(self.shared.specification.block_bytes);
        if self.blocks.len() < RUN_BLOCKS && (self.may_grow(chunk)? || self.may_grow(missing)?) {
            return Ok(());
        }
        if self.rows > 0 {
            self.spill()?;
            return self.reserve(bytes, rows);
        }
        self.reservation.grow(missing)
    }

    /// Grows by `bytes` if that leaves enough to others.
    fn may_grow(&mut self, bytes: usize) -> Result<bool> {
        if self.reservation.try_grow_fairly(bytes)? {
            return Ok(true);
        }
        let memory = &self.context.memory;
        // An operator that is alone leaves a fifth to whoever comes after. And a little must always be there, or every
        // batch would become a run.
        let alone = memory.used() == self.reservation.operator().held();
        let little = memory.limit() / (16 * self.context.threads());
        let allowed =
            alone && memory.used() + bytes <= memory.limit() / 5 * 4 || self.reservation.bytes() + bytes <= little;
        Ok(allowed && self.reservation.try_grow(bytes))
    }

    /// Sorts the rows and writes them as a run.
    fn spill(&mut self) -> Result<()> {
        self.seal();
        let file = match self.file.take() {
            Some((file, runs)) if runs < RUNS_PER_FILE => (file, runs + 1),
            _ => (self.context.spill.file()?, 1),
        };
        let specification = &self.shared.specification;
        let runs = write_kept(
            specification,
            &self.blocks,
            self.arrival.as_ref(),
            file.0.clone(),
            &self.context.cancel,
        )?;
        match &mut self.arrival {
            Some(arrival) => arrival.forget_blocks(),
            None if runs.iter().any(|run| specification.plan(&run.statistics).is_wide()) => {}
            None => self.order_bytes = size_of::<(u64, u32)>(),
        }
        self.file = Some(file);
        self.shared.state.lock().spilled.extend(runs);
        self.clear();
        // Another worker may take what is given up here, while this one's allocator still has it.
        give_back_beyond(self.context.config.memory_limit);
        let all = self.reservation.bytes();
        self.reservation.shrink(all);
        Ok(())
    }

    fn clear(&mut self) {
        self.blocks.clear();
        (self.blocks_bytes, self.open_bytes, self.rows, self.batches) = (0, 0, 0, 0);
        self.open = None;
    }

    /// Notes how the rows of a batch come, before they are appended.
    fn watch(&mut self, columns: &[Column]) -> Result<()> {
        let (Some(arrival), Some(keys)) = (&mut self.arrival, columns.last()) else {
            return Ok(());
        };
        let keys = keys.to_array()?;
        match keys
            .as_primitive_opt::<Int64Type>()
            .map(|keys| arrival.see(keys.values()))
        {
            Some(Arrives::InOrder) => {}
            Some(Arrives::Anew) => {
                self.seal();
                let block = self.blocks.len();
                self.arrival.iter_mut().for_each(|arrival| arrival.cut(block));
            }
            Some(Arrives::Unordered) | None => {
                self.arrival = None;
                self.order_bytes = size_of::<(u64, u32)>();
            }
        }
        Ok(())
    }

    /// Keeps only the first `fetch` rows and remembers the last of them as a bound.
    fn cut(&mut self, fetch: usize) -> Result<()> {
        self.seal();
        let specification = self.shared.specification.clone();
        let blocks = std::mem::take(&mut self.blocks);
        let statistics = KeyStatistics::of(&specification.keys, &specification.layout, &blocks);
        let plan = specification.plan(&statistics);
        let places: Vec<u32> = match plan.is_wide() {
            false => sort_blocks::<u64>(&plan, &blocks, &self.context.cancel)?
                .into_iter()
                .map(|row| row.1)
                .collect(),
            true => sort_blocks::<WideKey>(&plan, &blocks, &self.context.cancel)?
                .into_iter()
                .map(|row| row.1)
                .collect(),
        };
        let places = places.get(..fetch).unwrap_or(&places);
        if let (Some(last), Some(key)) = (places.get(fetch.saturating_sub(1)), specification.keys.first()) {
            let last = order::position(*last);
            let column = blocks[last.block as usize].column(key.column);
            let bound = key.bound(column, last.row as usize, &specification.layout.dictionary(key.column));
            let mut shared = self.shared.bound.lock();
            if shared
                .as_ref()
                .is_none_or(|old| key.compare_bounds(&bound, old).is_lt())
            {
                *shared = Some(bound);
            }
        }
        let refs: Vec<&Block> = blocks.iter().collect();
        self.clear();
        for rows in places.chunks(specification.rows_at_once(&refs, BLOCK_ROWS)) {
            let positions: Vec<_> = rows.iter().map(|&place| order::position(place)).collect();
            let block = Block::gather(&specification.layout, &refs, &positions);
            self.blocks_bytes += block.memory_size();
            self.rows += block.rows();
            self.blocks.push(block);
        }
        Ok(())
    }
}

impl LocalSink for LocalSort {
    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        self.context.cancel.check()?;
        if self.shared.specification.fetch == Some(0) {
            return Ok(Flow::Done);
        }
        let batch = match &mut self.filter {
            Some(filter) => filter.filter(batch, &self.shared)?,
            None => batch,
        };
        if batch.is_empty() {
            return Ok(Flow::More);
        }
        let specification = self.shared.specification.clone();
        let mut columns = (0..specification.width)
            .map(|i| batch.column(i))
            .collect::<Result<Vec<_>>>()?;
        for expr in &specification.computed {
            columns.push(expr.evaluate(&batch)?);
        }
        self.watch(&columns)?;
        let prepared = self.appender.prepare(&columns, batch.len())?;
        self.append(&prepared)?;
        self.batches += 1;
        if let (Some(fetch), Some(_)) = (specification.fetch, &self.filter)
            && self.rows >= CUT_ROWS.max(2 * fetch as usize)
        {
            self.cut(fetch as usize)?;
        }
        if self.context.config.debug_force_spill && self.batches >= FORCED_BATCHES && self.rows > 0 {
            self.spill()?;
        }
        Ok(Flow::More)
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        self.seal();
        if !self.blocks.is_empty() {
            self.shared.state.lock().memory.push(Kept {
                blocks: self.blocks,
                arrival: self.arrival,
                reservation: self.reservation,
            });
        }
        Ok(())
    }
}

/// Drops rows of a batch that come after the bound, looking at the first key only.
struct TopFilter {
    layout: Arc<Layout>,
    appender: Appender,
}

impl TopFilter {
    fn new(data_type: &DataType) -> Result<Self> {
        let layout = Layout::new(std::slice::from_ref(data_type))?;
        Ok(Self {
            appender: Appender::new(layout.clone()),
            layout,
        })
    }

    fn filter(&mut self, batch: Batch, shared: &Shared) -> Result<Batch> {
        let Some(bound) = shared.bound.lock().clone() else {
            return Ok(batch);
        };
        let Some(key) = shared.specification.keys.first() else {
            return Ok(batch);
        };
        let computed = key.column.checked_sub(shared.specification.width);
        let column: Column = match computed.and_then(|i| shared.specification.computed.get(i)) {
            Some(expr) => PhysicalExpr::evaluate(expr, &batch)?,
            None => batch.column(key.column)?,
        };
        let prepared = self.appender.prepare(&[column], batch.len())?;
        let mut block = Block::new(&self.layout);
        block.append(&self.layout, &prepared, 0..batch.len())?;
        let kept = key.rows_within(block.column(0), batch.len(), &bound, &self.layout.dictionary(0));
        Ok(if kept.len() == batch.len() {
            batch
        } else {
            batch.select(kept)
        })
    }
}
