//! Rows that do not fit into memory, through sorts on disk.
//!
//! ```text
//! rows on disk ─▶ sort by PARTITION BY, ORDER BY ─▶ stage: adds the calls with this order ─▶ sort for the next calls ─▶ …
//!
//! stage:  sorted rows   │aaaa│bb│ccc│dddddddddddddddd│ee│
//!                       └─ computed like a bucket ─┘  └─ larger than the budget: to disk, then piece by piece (long.rs)
//! ```

use super::long::{LongPartition, LongRows};
use super::spec::WindowSpec;
use super::{Window, bytes_to_compute, compute_calls, concatenate, load};
use crate::error::{Error, Result};
use crate::expression::PhysicalExpr;
use crate::functions::aggregate::canonical;
use crate::physical::pipeline::PartitionReader;
use crate::physical::sort::{SortKey, sort};
use crate::runtime::{QueryContext, Reservation, SpillRun, SpillWriter};
use crate::types::DataType;
use crate::vector::Batch;
use crate::vector::block::Layout;
use arrow::row::{OwnedRow, RowConverter, SortField};
use std::sync::Arc;

/// Rows computed at a time when `debug_force_spill` is on.
const FORCED_ROWS: usize = 16;

/// The rows of a unit with the values of all calls.
pub struct External {
    stage: Stage,
    /// Where the input's columns and the calls' values stand in the last stage's batches.
    columns: Vec<usize>,
}

/// Gives batch after batch.
type Rows = Box<dyn FnMut() -> Result<Option<Batch>> + Send>;

impl External {
    /// Sorts the rows of `runs` once for each order that the calls need; the last order is read by [`External::next`].
    pub fn new(window: &Window, runs: Vec<SpillRun>) -> Result<Self> {
        let mut types = window.input_types.clone();
        let mut columns: Vec<usize> = (0..types.len() + window.specs.len()).collect();
        let mut rows = read(runs);
        let mut last = None;
        for group in same_order(&window.specs) {
            if let Some(mut stage) = last.take() {
                rows = Box::new(move || Stage::next(&mut stage));
            }
            let calls: Vec<WindowSpec> = group.iter().map(|&i| window.specs[i].clone()).collect();
            let sorted = match calls.first() {
                Some(leader) => sorted(&types, leader, rows, &window.context)?,
                None => rows,
            };
            rows = Box::new(|| Ok(None));
            last = Some(Stage::new(window, types.clone(), calls, sorted)?);
            for i in group {
                columns[window.input_types.len() + i] = types.len();
                types.push(window.specs[i].data_type.clone());
            }
        }
        let stage = last.ok_or_else(|| Error::internal("a window without calls"))?;
        Ok(Self { stage, columns })
    }

    pub fn next(&mut self) -> Result<Option<Batch>> {
        let batch = self.stage.next()?;
        batch.map(|batch| batch.project(&self.columns)).transpose()
    }
}

/// The calls that share a sort, by position.
fn same_order(specs: &[WindowSpec]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = vec![];
    for (i, spec) in specs.iter().enumerate() {
        match groups.iter_mut().find(|g| specs[g[0]].shares_sort_with(spec)) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups
}

/// The rows of runs, which are let go of once they are read.
fn read(mut runs: Vec<SpillRun>) -> Rows {
    let mut reader = None;
    Box::new(move || {
        loop {
            if reader.is_none() {
                reader = runs.pop().map(|run| run.reader());
            }
            let Some(current) = &mut reader else { return Ok(None) };
            match current.next_batch()? {
                Some(batch) => return Ok(Some(batch)),
                None => reader = None,
            }
        }
    })
}

/// The rows in the order of `leader`: partition by partition.
fn sorted(types: &[DataType], leader: &WindowSpec, mut rows: Rows, context: &QueryContext) -> Result<Rows> {
    let partition_by = leader.partition_by.iter().map(|k| (k.clone(), false, false));
    let order_by = leader.order_by.iter();
    let order_by = order_by.map(|k| (k.expr.clone(), k.descending, k.nulls_first));
    let keys: Vec<SortKey> = partition_by.chain(order_by).collect();
    if keys.is_empty() {
        return Ok(rows);
    }
    let (sink, source) = sort(types, keys, None, context)?;
    let mut local = sink.local(context)?;
    while let Some(batch) = rows()? {
        local.consume(batch)?;
    }
    // What the rows came from is no longer needed.
    drop(rows);
    local.combine()?;
    sink.finish(context)?;
    drop(sink);
    source.start(context)?;
    let mut partition: Option<Box<dyn PartitionReader>> = None;
    Ok(Box::new(move || {
        loop {
            if let Some(reader) = &mut partition
                && let Some(batch) = reader.next()?
            {
                return Ok(Some(batch));
            }
            partition = source.next_partition()?;
            if partition.is_none() {
                return Ok(None);
            }
        }
    }))
}

/// Finds where keys change in rows that come in their order.
pub struct Boundaries {
    keys: Vec<PhysicalExpr>,
    converter: RowConverter,
    last: Option<OwnedRow>,
    begun: bool,
}

impl Boundaries {
    pub fn new(keys: Vec<PhysicalExpr>) -> Result<Self> {
        let fields = keys.iter().map(|k| SortField::new(k.data_type()));
        Ok(Self {
            converter: RowConverter::new(fields.collect())?,
            keys,
            last: None,
            begun: false,
        })
    }

    /// The rows of the next batch whose keys differ from those of the row before them; the very first row is one.
    pub fn starts(&mut self, batch: &Batch) -> Result<Vec<usize>> {
        let first = !std::mem::replace(&mut self.begun, true);
        if batch.is_empty() || self.keys.is_empty() {
            return Ok(if first { vec![0] } else { vec![] });
        }
        let keys = super::evaluate_all(&self.keys, batch)?;
        let keys: Vec<_> = keys.iter().map(canonical).collect();
        let keys = self.converter.convert_columns(&keys)?;
        let differs = |row: usize| match (row, &self.last) {
            (0, Some(last)) => last.row() != keys.row(0),
            (0, None) => true,
            _ => keys.row(row) != keys.row(row - 1),
        };
        let starts = (0..batch.len()).filter(|&row| differs(row)).collect();
        self.last = Some(keys.row(batch.len() - 1).owned());
        Ok(starts)
    }
}

/// Adds the values of calls that share an order to rows in this order.
struct Stage {
    calls: Vec<WindowSpec>,
    /// Of the rows that come in.
    types: Vec<DataType>,
    layout: Arc<Layout>,
    context: QueryContext,
    rows: Rows,
    boundaries: Boundaries,
    /// Bytes and rows of whole partitions that are computed at a time.
    budget: (usize, usize),
    memory: Reservation,
    /// Partitions that have ended, and the rows of the one that has not.
    complete: Vec<Batch>,
    open: Vec<Batch>,
    refused: bool,
    ended: bool,
    computed: Option<(Batch, usize)>,
    long: Option<LongPartition>,
}

impl Stage {
    fn new(window: &Window, types: Vec<DataType>, calls: Vec<WindowSpec>, rows: Rows) -> Result<Self> {
        let context = window.context.clone();
        let operator = &window.operator;
        let room = operator.fair_room().max(operator.guaranteed()) / context.threads();
        let keys = calls.first().map_or(vec![], |leader| leader.partition_by.clone());
        let most_rows = match context.config.debug_force_spill {
            true => FORCED_ROWS,
            false => usize::MAX,
        };
        Ok(Self {
            layout: Layout::new(&types)?,
            types,
            calls,
            context,
            rows,
            boundaries: Boundaries::new(keys)?,
            // Rows, a copy of them, and what computing takes.
            budget: (room / 4, most_rows),
            memory: operator.reservation(),
            complete: vec![],
            open: vec![],
            refused: false,
            ended: false,
            computed: None,
            long: None,
        })
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            self.context.cancel.check()?;
            if let Some(long) = &mut self.long {
                if let Some(batch) = long.next()? {
                    return Ok(Some(batch));
                }
                self.long = None;
            }
            if let Some((rows, offset)) = &mut self.computed {
                let length = self.context.config.batch_size.max(1).min(rows.len() - *offset);
                if length > 0 {
                    *offset += length;
                    return Ok(Some(rows.slice(*offset - length, length)));
                }
                self.computed = None;
                self.memory.resize(0)?;
            }
            if self.ended && self.complete.is_empty() {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// Reads rows until there are enough, and computes the partitions that have ended.
    fn fill(&mut self) -> Result<()> {
        while !self.ended && !self.is_full() {
            match (self.rows)()? {
                Some(batch) => {
                    let starts = self.boundaries.starts(&batch)?;
                    self.add(batch, &starts)?;
                }
                None => self.end(),
            }
        }
        if !self.complete.is_empty() {
            let rows = std::mem::take(&mut self.complete);
            self.compute(rows)
        } else if !self.open.is_empty() {
            self.spool()
        } else {
            Ok(())
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.complete.append(&mut self.open);
    }

    fn size(&self) -> (usize, usize) {
        let batches = || self.complete.iter().chain(&self.open);
        (batches().map(Batch::memory_size).sum(), batches().map(Batch::len).sum())
    }

    fn is_full(&self) -> bool {
        let (bytes, rows) = self.size();
        self.refused || bytes > self.budget.0 || rows > self.budget.1
    }

    /// Adds rows, in some of which partitions begin.
    fn add(&mut self, batch: Batch, starts: &[usize]) -> Result<()> {
        let rows = batch.len();
        match starts.last() {
            None => self.open.push(batch),
            Some(&last) => {
                if last > 0 {
                    self.open.push(batch.slice(0, last));
                }
                self.complete.append(&mut self.open);
                self.open.push(batch.slice(last, rows - last));
            }
        }
        let (bytes, rows) = self.size();
        let wanted = bytes + bytes_to_compute(self.calls.len(), rows, bytes);
        let held = self.memory.bytes();
        if wanted > held && !self.memory.try_grow(wanted - held) {
            // Whatever is held already can be computed; a single batch must fit.
            self.refused = held > 0;
            if held == 0 {
                self.memory.grow(wanted)?;
            }
        }
        Ok(())
    }

    /// Computes whole partitions like a bucket.
    fn compute(&mut self, rows: Vec<Batch>) -> Result<()> {
        let input = concatenate(&self.types, rows)?;
        let calls: Vec<&WindowSpec> = self.calls.iter().collect();
        let results = compute_calls(&calls, &input, &mut self.memory)?;
        let columns = input.physical_columns().iter().cloned();
        let rows = Batch::new(columns.chain(results).collect(), input.len());
        self.computed = Some((rows, 0));
        self.refused = false;
        Ok(())
    }

    /// Writes the partition that is open, up to its end, and begins to compute it piece by piece.
    fn spool(&mut self) -> Result<()> {
        let (bytes, rows) = self.size();
        let row_bytes = bytes / rows.max(1) + 1;
        let mut writer = SpillWriter::new(self.context.spill.file()?, self.layout.clone())?;
        for batch in std::mem::take(&mut self.open) {
            writer.append(&batch)?;
        }
        self.memory.resize(0)?;
        self.refused = false;
        loop {
            self.context.cancel.check()?;
            let Some(batch) = (self.rows)()? else {
                self.end();
                break;
            };
            let starts = self.boundaries.starts(&batch)?;
            let Some(&end) = starts.first() else {
                writer.append(&batch)?;
                continue;
            };
            if end > 0 {
                writer.append(&batch.slice(0, end))?;
            }
            let starts: Vec<usize> = starts.iter().map(|start| start - end).collect();
            self.add(batch.slice(end, batch.len() - end), &starts)?;
            break;
        }
        let rows = LongRows {
            layout: self.layout.clone(),
            types: self.types.clone(),
            row_bytes,
            run: writer.finish()?,
        };
        let forced = self.context.config.debug_force_spill;
        let budget = if forced { 0 } else { self.budget.0 };
        if LongPartition::can_compute(&self.calls, &rows, budget) {
            let memory = self.memory.operator().reservation();
            self.long = Some(LongPartition::new(&self.calls, rows, budget, memory)?);
            return Ok(());
        }
        // Frames that reach anywhere: the whole partition must fit into memory, or this error says how much it takes.
        let bytes = rows.run.rows() as usize * row_bytes;
        let wanted = bytes + bytes_to_compute(self.calls.len(), rows.run.rows() as usize, bytes);
        self.memory.grow(wanted)?;
        self.compute(load(&[rows.run])?)
    }
}
