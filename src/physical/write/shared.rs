//! One file for all workers, its chunks in the order of partitions; several one after the other when it gets large.

use super::Output;
use super::file::{Chunk, Encoder, Encoders, OutputFile};
use crate::error::Result;
use crate::physical::pipeline::{Flow, LocalSink};
use crate::runtime::{QueryContext, Reservation, Transit};
use crate::vector::Batch;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The file and what waits for its turn.
pub struct SharedFile {
    output: Arc<Output>,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    file: Option<OutputFile>,
    /// The partition whose chunks are due.
    current: usize,
    /// Chunks of later partitions, and whether their partition has ended.
    waiting: BTreeMap<usize, Waiting>,
    waiting_bytes: usize,
}

#[derive(Default)]
struct Waiting {
    chunks: Vec<(Chunk, Reservation)>,
    ended: bool,
}

impl SharedFile {
    pub fn new(output: Arc<Output>) -> Self {
        Self {
            output,
            state: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    /// What makes encoders; the file is created with the first batch that comes.
    fn encoders(&self, sample: &Batch) -> Result<Encoders> {
        let mut state = self.state.lock();
        Ok(self.open(&mut state, Some(sample))?.encoders())
    }

    fn open<'a>(&self, state: &'a mut State, sample: Option<&Batch>) -> Result<&'a mut OutputFile> {
        let target = &self.output.target;
        Ok(match &mut state.file {
            Some(file) => file,
            none => none.insert(OutputFile::create(
                &self.output.new_path("", None),
                target,
                &target.schema,
                sample,
            )?),
        })
    }

    /// Writes a chunk into the file, or into another one when it has no place there. What the workers' encoders make fits
    /// into all of them, since they have the same columns.
    fn append(&self, state: &mut State, chunk: Chunk) -> Result<()> {
        if state
            .file
            .as_ref()
            .is_some_and(|file| self.output.is_large(file, chunk.bytes()))
            && let Some(file) = state.file.take()
        {
            self.output.done(file)?;
        }
        self.open(state, None)?.append(chunk)
    }

    /// Writes a chunk of partition `ordinal` when its turn has come. Partitions ahead wait in memory, but only so many
    /// that `most` bytes wait; then their worker waits.
    fn deliver(
        &self,
        ordinal: usize,
        chunk: Chunk,
        held: Reservation,
        most: usize,
        context: &QueryContext,
    ) -> Result<()> {
        let ordered = self.output.target.ordered;
        let mut state = self.state.lock();
        loop {
            if !ordered || state.current == ordinal {
                return self.append(&mut state, chunk);
            }
            if state.waiting_bytes + chunk.bytes() <= most {
                state.waiting_bytes += chunk.bytes();
                state.waiting.entry(ordinal).or_default().chunks.push((chunk, held));
                return Ok(());
            }
            self.moved.wait_for(&mut state, Duration::from_millis(20));
            context.cancel.check()?;
            // The wait may have ended because this partition is due: what waits of it goes first.
            self.advance(&mut state)?;
        }
    }

    fn end(&self, ordinal: usize) -> Result<()> {
        if !self.output.target.ordered {
            return Ok(());
        }
        let mut state = self.state.lock();
        state.waiting.entry(ordinal).or_default().ended = true;
        self.advance(&mut state)
    }

    /// Writes what is due.
    fn advance(&self, state: &mut State) -> Result<()> {
        loop {
            let current = state.current;
            let Some(waiting) = state.waiting.get_mut(&current) else {
                return Ok(());
            };
            let ended = waiting.ended;
            for (chunk, held) in std::mem::take(&mut waiting.chunks) {
                state.waiting_bytes = state.waiting_bytes.saturating_sub(chunk.bytes());
                self.append(state, chunk)?;
                drop(held);
            }
            if !ended {
                return Ok(());
            }
            state.waiting.remove(&current);
            state.current += 1;
            self.moved.notify_all();
        }
    }

    /// Partitions begin again at 0: everything that waits is due.
    pub fn end_pipeline(&self) -> Result<()> {
        let mut state = self.state.lock();
        for (_, waiting) in std::mem::take(&mut state.waiting) {
            for (chunk, _) in waiting.chunks {
                self.append(&mut state, chunk)?;
            }
        }
        (state.current, state.waiting_bytes) = (0, 0);
        Ok(())
    }

    /// Ends the file. A query without rows gives a file without rows, if a file was asked for.
    pub fn finish(&self) -> Result<()> {
        self.end_pipeline()?;
        let mut state = self.state.lock();
        if self.output.target.single_file.is_some() {
            self.open(&mut state, None)?;
        }
        match state.file.take() {
            Some(file) => self.output.done(file),
            None => Ok(()),
        }
    }
}

/// One worker's encoder.
pub struct LocalShared {
    shared: Arc<SharedFile>,
    context: QueryContext,
    encoders: Option<Encoders>,
    encoder: Option<Encoder>,
    reservation: Reservation,
    /// Counts the rows being encoded.
    transit: Transit,
    /// Partitions whose rows the encoder has: a row group may go on through partitions that follow each other.
    first: usize,
    last: usize,
    ended: bool,
}

impl LocalShared {
    pub fn new(shared: Arc<SharedFile>, context: &QueryContext) -> Self {
        let reservation = context.memory.reservation("Write");
        let transit = context.memory.transit();
        let context = context.clone();
        Self {
            shared,
            context,
            encoders: None,
            encoder: None,
            reservation,
            transit,
            first: 0,
            last: 0,
            ended: true,
        }
    }

    /// Hands over what is encoded.
    fn flush(&mut self) -> Result<()> {
        if let Some(encoder) = self.encoder.take() {
            let chunk = encoder.finish(&self.shared.output.target)?;
            let mut held = std::mem::replace(&mut self.reservation, self.context.memory.reservation("Write"));
            held.shrink(held.bytes().saturating_sub(chunk.bytes()));
            let most = self.context.memory.limit() / 8;
            self.shared.deliver(self.first, chunk, held, most, &self.context)?;
        }
        // The rows of partitions before the last one are written now.
        for ordinal in self.first..self.last {
            self.shared.end(ordinal)?;
        }
        self.first = self.last;
        if self.ended {
            self.shared.end(self.last)?;
            self.first += 1;
        }
        Ok(())
    }
}

impl LocalShared {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let encoders = match &self.encoders {
            Some(encoders) => encoders,
            None => self.encoders.insert(self.shared.encoders(batch)?),
        };
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(encoders.encoder()?),
        };
        encoder.write(batch, &self.shared.output.target)?;
        match super::is_full(encoder, &self.shared.output, &mut self.reservation) {
            true => self.flush(),
            false => Ok(()),
        }
    }
}

impl LocalSink for LocalShared {
    fn start_partition(&mut self, ordinal: usize) -> Result<()> {
        let follows = ordinal == self.last + 1 && self.ended && self.encoder.is_some();
        let target_rows = self.shared.output.chunk_rows() / 2;
        let room = self.encoder.as_ref().is_some_and(|e| e.rows() < target_rows);
        if !(follows && room) {
            if self.encoder.is_some() {
                self.flush()?;
            }
            self.first = ordinal;
        }
        (self.last, self.ended) = (ordinal, false);
        Ok(())
    }

    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        self.transit.set(super::TO_END_PAGE + batch.memory_size());
        let mut start = 0;
        while start < batch.len() {
            let piece = self.shared.output.piece(&batch, start, self.encoder.as_ref());
            self.write(&piece)?;
            start += piece.len();
        }
        Ok(Flow::More)
    }

    fn end_partition(&mut self) -> Result<()> {
        self.ended = true;
        if self.encoder.is_none() {
            self.flush()?;
        }
        Ok(())
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        match self.encoder.is_some() {
            true => self.flush(),
            false => Ok(()),
        }
    }
}
