//! The rows of a common table expression: kept for later pipelines, which read them as often as they like.
//!
//! ```text
//! every worker:  a partition's batches ─▶ memory, while they fit ─▶ the rest of the partition to disk
//! finish:        pieces in the order of partitions ─▶ chunks, some in memory and some on disk
//! every scan:    a chunk is a partition, in the same order each time
//! ```
//!
//! Between and during scans, chunks that nobody reads go to disk when another operator needs their memory.

use super::pipeline::{Flow, LocalSink, PartitionReader, Sink, Source};
use crate::error::Result;
use crate::runtime::{Operator, QueryContext, Reservation, Shrink, SpillFile, SpillManager, SpillRun, SpillWriter};
use crate::types::DataType;
use crate::vector::Batch;
use crate::vector::block::Layout;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Batches, or blocks on disk, per partition of a scan.
const CHUNK: usize = 16;
/// Batches of a partition after which `debug_force_spill` writes the rest to disk.
const FORCED_BATCHES: usize = 2;

/// What the sink keeps and the scans read.
pub struct Collected {
    operator: Arc<Operator>,
    /// `None` when a column has a type that cannot be written to disk.
    layout: Option<Arc<Layout>>,
    spill: Arc<SpillManager>,
    state: Mutex<State>,
}

struct State {
    /// What workers brought: pipeline and partition, in order within a partition.
    pieces: Vec<((usize, usize), Piece)>,
    pipeline: usize,
    /// All rows in order, once all have come.
    chunks: Vec<Arc<Chunk>>,
    reservation: Reservation,
    /// Where chunks go on behalf of others.
    file: Option<Arc<SpillFile>>,
}

enum Piece {
    Memory(Batch),
    Disk(SpillRun),
}

/// Rows that one worker reads at a time.
enum Chunk {
    Memory(Vec<Batch>),
    /// Blocks, by run and number.
    Disk(Vec<(SpillRun, usize)>),
}

impl Collected {
    /// For rows with columns of `types`; `owner` is named when memory runs out.
    pub fn new(owner: &'static str, types: &[DataType], context: &QueryContext) -> Arc<Self> {
        let operator = context.memory.operator(owner);
        let reservation = operator.reservation();
        Arc::new(Self {
            operator,
            layout: Layout::new(types).ok(),
            spill: context.spill.clone(),
            state: Mutex::new(State {
                pieces: vec![],
                pipeline: 0,
                chunks: vec![],
                reservation,
                file: None,
            }),
        })
    }

    /// Writes a chunk that is in memory and that nobody reads; gives the bytes that this freed.
    fn spill(&self, state: &mut State, at: usize) -> Result<usize> {
        let (Some(layout), Some(chunk)) = (&self.layout, state.chunks.get_mut(at)) else {
            return Ok(0);
        };
        // Readers take chunks under the state's lock, so that no other can appear meanwhile.
        let Some(Chunk::Memory(batches)) = Arc::get_mut(chunk) else {
            return Ok(0);
        };
        let file = match &state.file {
            Some(file) => file.clone(),
            None => state.file.insert(self.spill.file()?).clone(),
        };
        let mut writer = SpillWriter::new(file, layout.clone())?;
        batches.iter().try_for_each(|batch| writer.append(batch))?;
        let bytes = batches.iter().map(Batch::memory_size).sum();
        let run = writer.finish()?;
        let blocks = (0..run.blocks().len()).map(|block| (run.clone(), block));
        *chunk = Arc::new(Chunk::Disk(blocks.collect()));
        state.reservation.shrink(bytes);
        Ok(bytes)
    }
}

impl Shrink for Collected {
    fn shrink(&self, bytes: usize) -> Result<usize> {
        let mut state = self.state.lock();
        let mut freed = 0;
        // Scans begin with the first chunk: the last one is needed last.
        for at in (0..state.chunks.len()).rev() {
            if freed >= bytes {
                break;
            }
            freed += self.spill(&mut state, at)?;
        }
        Ok(freed)
    }
}

/// Keeps all rows, in the order of partitions.
pub struct CollectSink(Arc<Collected>);

impl CollectSink {
    pub fn new(collected: Arc<Collected>) -> Self {
        Self(collected)
    }
}

impl Sink for CollectSink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalCollect {
            collected: self.0.clone(),
            pieces: vec![],
            ordinal: 0,
            batches: 0,
            reservation: self.0.operator.reservation(),
            file: None,
            writer: None,
            forced: context.config.debug_force_spill,
        }))
    }

    fn end_pipeline(&self) -> Result<()> {
        self.0.state.lock().pipeline += 1;
        Ok(())
    }

    fn finish(&self, context: &QueryContext) -> Result<()> {
        let mut state = self.0.state.lock();
        let mut pieces = std::mem::take(&mut state.pieces);
        pieces.sort_by_key(|(order, _)| *order);
        state.chunks = into_chunks(pieces.into_iter().map(|(_, piece)| piece));
        if context.config.debug_force_spill {
            for at in (0..state.chunks.len()).step_by(4) {
                self.0.spill(&mut state, at)?;
            }
        }
        let collected: Weak<Collected> = Arc::downgrade(&self.0);
        context.memory.register(collected);
        Ok(())
    }
}

/// Cuts pieces into chunks, each all in memory or all on disk.
fn into_chunks(pieces: impl Iterator<Item = Piece>) -> Vec<Arc<Chunk>> {
    let mut chunks = vec![];
    let mut open = Chunk::Memory(vec![]);
    for piece in pieces {
        match piece {
            Piece::Memory(batch) => match &mut open {
                Chunk::Memory(batches) if batches.len() < CHUNK => batches.push(batch),
                _ => chunks.push(Arc::new(std::mem::replace(&mut open, Chunk::Memory(vec![batch])))),
            },
            Piece::Disk(run) => {
                for block in 0..run.blocks().len() {
                    let block = (run.clone(), block);
                    match &mut open {
                        Chunk::Disk(blocks) if blocks.len() < CHUNK => blocks.push(block),
                        _ => chunks.push(Arc::new(std::mem::replace(&mut open, Chunk::Disk(vec![block])))),
                    }
                }
            }
        }
    }
    chunks.push(Arc::new(open));
    chunks.retain(|chunk| chunk.len() > 0);
    chunks
}

impl Chunk {
    /// Batches that it gives.
    fn len(&self) -> usize {
        match self {
            Self::Memory(batches) => batches.len(),
            Self::Disk(blocks) => blocks.len(),
        }
    }
}

struct LocalCollect {
    collected: Arc<Collected>,
    pieces: Vec<(usize, Piece)>,
    ordinal: usize,
    /// Batches of the partition so far.
    batches: usize,
    reservation: Reservation,
    file: Option<Arc<SpillFile>>,
    /// The rest of the partition, once memory was short.
    writer: Option<SpillWriter>,
    forced: bool,
}

impl LocalCollect {
    fn start_writer(&mut self, layout: &Arc<Layout>) -> Result<SpillWriter> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.file.insert(self.collected.spill.file()?).clone(),
        };
        SpillWriter::new(file, layout.clone())
    }
}

impl LocalSink for LocalCollect {
    fn start_partition(&mut self, ordinal: usize) -> Result<()> {
        (self.ordinal, self.batches) = (ordinal, 0);
        Ok(())
    }

    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        self.batches += 1;
        if let Some(writer) = &mut self.writer {
            writer.append(&batch)?;
            return Ok(Flow::More);
        }
        let batch = batch.compact()?.detach();
        let bytes = batch.memory_size();
        let forced = self.forced && self.batches > FORCED_BATCHES;
        if !forced && self.reservation.try_grow_fairly(bytes)? {
            self.pieces.push((self.ordinal, Piece::Memory(batch)));
            return Ok(Flow::More);
        }
        match self.collected.layout.clone() {
            Some(layout) => {
                let mut writer = self.start_writer(&layout)?;
                writer.append(&batch)?;
                self.writer = Some(writer);
            }
            None => {
                self.reservation.grow(bytes)?;
                self.pieces.push((self.ordinal, Piece::Memory(batch)));
            }
        }
        Ok(Flow::More)
    }

    fn end_partition(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            self.pieces.push((self.ordinal, Piece::Disk(writer.finish()?)));
        }
        Ok(())
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        self.end_partition()?;
        let mut state = self.collected.state.lock();
        let pipeline = state.pipeline;
        let pieces = self.pieces.into_iter();
        state
            .pieces
            .extend(pieces.map(|(ordinal, piece)| ((pipeline, ordinal), piece)));
        state.reservation.absorb(self.reservation);
        Ok(())
    }
}

/// Reads collected rows: some of their columns, from the beginning each time it is started.
pub struct CollectedScan {
    collected: Arc<Collected>,
    columns: Arc<[usize]>,
    next: AtomicUsize,
}

impl CollectedScan {
    /// Gives `columns` of the collected rows, in this order.
    pub fn new(collected: Arc<Collected>, columns: Vec<usize>) -> Self {
        Self {
            collected,
            columns: columns.into(),
            next: AtomicUsize::new(0),
        }
    }
}

impl Source for CollectedScan {
    fn start(&self, _context: &QueryContext) -> Result<()> {
        self.next.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn next_partition(&self) -> Result<Option<Box<dyn PartitionReader>>> {
        let ordinal = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(chunk) = self.collected.state.lock().chunks.get(ordinal).cloned() else {
            return Ok(None);
        };
        Ok(Some(Box::new(ChunkReader {
            chunk,
            layout: self.collected.layout.clone(),
            columns: self.columns.clone(),
            ordinal,
            next: 0,
            buffer: vec![],
        })))
    }
}

struct ChunkReader {
    chunk: Arc<Chunk>,
    layout: Option<Arc<Layout>>,
    columns: Arc<[usize]>,
    ordinal: usize,
    next: usize,
    buffer: Vec<u8>,
}

impl PartitionReader for ChunkReader {
    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        self.next += 1;
        let batch = match (self.chunk.as_ref(), &self.layout) {
            (Chunk::Memory(batches), _) => batches.get(self.next - 1).cloned(),
            (Chunk::Disk(blocks), Some(layout)) => match blocks.get(self.next - 1) {
                Some((run, block)) => {
                    let block = run.block(*block, &mut self.buffer)?;
                    Some(block.into_batch(layout, layout.width())?)
                }
                None => None,
            },
            (Chunk::Disk(_), None) => None,
        };
        batch.map(|batch| batch.project(&self.columns)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::physical::scan::MemoryScan;
    use crate::physical::{Pipeline, run_pipelines};
    use crate::runtime::MemoryArbiter;
    use arrow::array::{ArrayRef, AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;

    fn batches(count: i64) -> Vec<Batch> {
        let batch = |i: i64| {
            let numbers = i * 500..i * 500 + 500;
            let texts = numbers.clone().map(|n| format!("the text of row number {n}"));
            let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
            Batch::from_arrays(vec![numbers, texts], 500)
        };
        (0..count).map(batch).collect()
    }

    fn context(memory_limit: usize, debug_force_spill: bool) -> QueryContext {
        let config = Config {
            memory_limit,
            debug_force_spill,
            threads: 2,
            ..Config::default()
        };
        QueryContext::new(Arc::new(config), MemoryArbiter::new(memory_limit))
    }

    fn collect(input: Vec<Batch>, context: &QueryContext) -> Arc<Collected> {
        let collected = Collected::new("rows", &[DataType::Int64, DataType::Utf8View], context);
        let pipeline = Pipeline {
            name: "test".into(),
            source: Arc::new(MemoryScan::new(input)),
            transforms: vec![],
            sink: Arc::new(CollectSink::new(collected.clone())),
            finishes_sink: true,
        };
        run_pipelines(vec![pipeline], context).unwrap();
        collected
    }

    /// All rows of a scan, partition by partition: they must be 0, 1, 2, … with their texts.
    fn check(collected: &Arc<Collected>, rows: i64, context: &QueryContext) {
        let scan = CollectedScan::new(collected.clone(), vec![1, 0]);
        scan.start(context).unwrap();
        let (mut next, mut ordinal) = (0, 0);
        while let Some(mut partition) = scan.next_partition().unwrap() {
            assert_eq!(partition.ordinal(), ordinal);
            ordinal += 1;
            while let Some(batch) = partition.next().unwrap() {
                let texts = batch.column(0).unwrap().to_array().unwrap();
                let numbers = batch.column(1).unwrap().to_array().unwrap();
                for (n, text) in numbers
                    .as_primitive::<Int64Type>()
                    .values()
                    .iter()
                    .zip(texts.as_string_view())
                {
                    assert_eq!((*n, text), (next, Some(format!("the text of row number {n}").as_str())));
                    next += 1;
                }
            }
        }
        assert_eq!(next, rows);
    }

    #[test]
    fn rows_come_back_in_order_from_memory_and_disk() {
        for (memory, forced) in [(1 << 30, false), (1 << 20, false), (1 << 30, true)] {
            let context = context(memory, forced);
            let collected = collect(batches(200), &context);
            assert_eq!(context.metrics.bytes_spilled.get() > 0, forced || memory == 1 << 20);
            // Beside the limit there are the blocks on their way to the disk.
            let peak = context.memory.peak();
            assert!(context.memory.used() > 0 && peak <= memory + (1 << 20), "{peak}");
            check(&collected, 100_000, &context);
            check(&collected, 100_000, &context);
            drop(collected);
            assert_eq!((context.memory.used(), context.spill.used()), (0, 0));
        }
    }

    #[test]
    fn rows_at_rest_make_room_for_others() {
        let context = context(64 << 20, false);
        let collected = collect(batches(200), &context);
        let held = context.memory.used();
        let scan = CollectedScan::new(collected.clone(), vec![0, 1]);
        scan.start(&context).unwrap();
        let mut reading = scan.next_partition().unwrap().unwrap();
        assert_eq!(context.metrics.bytes_spilled.get(), 0);
        context.memory.reservation("other").grow((64 << 20) - held / 2).unwrap();
        assert!(context.memory.used() <= held / 2 && context.metrics.bytes_spilled.get() > 0);
        let error = context.memory.reservation("other").grow(64 << 20).unwrap_err();
        assert!(error.message().contains("other"), "what is being read stays");
        assert!(context.memory.used() > 0 && reading.next().unwrap().is_some());
        drop(reading);
        check(&collected, 100_000, &context);
    }
}
