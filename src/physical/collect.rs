//! The sink that hands out the rows of a query.

use super::pipeline::{Flow, LocalSink, Sink};
use crate::error::Result;
use crate::runtime::{CancelToken, MemoryArbiter, QueryContext, Transit};
use crate::vector::Batch;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// Bytes that workers ahead of the current partition may hold before they wait, …
const MAX_AHEAD: usize = 64 << 20;
/// … or this part of the memory, if that is less.
const MAX_AHEAD_PART: usize = 16;

/// Sends batches to the reader of the result in the order of partitions, whoever computes them.
///
/// ```text
/// worker 1: partition 0 ───────────────▶ sends at once
/// worker 2: partition 1 ──▶ held back until partition 0 ended, then sent; waits when too much is held
/// ```
pub struct ResultSink {
    shared: Arc<Shared>,
}

struct Shared {
    sender: SyncSender<Batch>,
    state: Mutex<Order>,
    moved: Condvar,
    /// Bytes that may be held back.
    most_ahead: usize,
}

#[derive(Default)]
struct Order {
    /// The partition whose rows are due.
    current: usize,
    /// Held back: batches and whether the partition has ended.
    held: BTreeMap<usize, (Vec<Batch>, bool)>,
    held_bytes: usize,
    /// Counts what is held back.
    transit: Option<Transit>,
    closed: bool,
}

impl Order {
    fn set_held(&mut self, bytes: usize) {
        self.held_bytes = bytes;
        if let Some(transit) = &mut self.transit {
            transit.set(bytes);
        }
    }
}

impl ResultSink {
    pub fn new(sender: SyncSender<Batch>, memory: &Arc<MemoryArbiter>) -> Self {
        let order = Order {
            transit: Some(memory.transit()),
            ..Order::default()
        };
        Self {
            shared: Arc::new(Shared {
                sender,
                state: Mutex::new(order),
                moved: Condvar::new(),
                most_ahead: MAX_AHEAD.min(memory.limit() / MAX_AHEAD_PART),
            }),
        }
    }
}

impl Sink for ResultSink {
    fn local(&self, context: &QueryContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalResult {
            shared: self.shared.clone(),
            cancel: context.cancel.clone(),
            ordinal: 0,
        }))
    }

    fn end_pipeline(&self) -> Result<()> {
        // A pipeline that stopped early may leave partitions without end; nothing is due from them any more.
        let held = {
            let mut state = self.shared.state.lock();
            state.current = 0;
            state.set_held(0);
            std::mem::take(&mut state.held)
        };
        for batch in held.into_values().flat_map(|(batches, _)| batches) {
            self.shared.send(batch);
        }
        Ok(())
    }

    fn finish(&self, _context: &QueryContext) -> Result<()> {
        Ok(())
    }
}

impl Shared {
    /// Sends unless the reader has gone away.
    fn send(&self, batch: Batch) -> Flow {
        if self.sender.send(batch).is_err() {
            self.state.lock().closed = true;
            return Flow::Done;
        }
        Flow::More
    }

    /// Gives out what is due; the caller's partition may be due afterwards.
    fn advance(&self) {
        loop {
            let due = {
                let mut state = self.state.lock();
                let current = state.current;
                match state.held.get_mut(&current) {
                    Some((batches, true)) if batches.is_empty() => {
                        state.held.remove(&current);
                        state.current += 1;
                        self.moved.notify_all();
                        continue;
                    }
                    Some((batches, true)) => std::mem::take(batches),
                    _ => return,
                }
            };
            let bytes: usize = due.iter().map(Batch::memory_size).sum();
            for batch in due {
                self.send(batch);
            }
            let mut state = self.state.lock();
            let left = state.held_bytes.saturating_sub(bytes);
            state.set_held(left);
        }
    }
}

struct LocalResult {
    shared: Arc<Shared>,
    cancel: CancelToken,
    ordinal: usize,
}

impl LocalSink for LocalResult {
    fn start_partition(&mut self, ordinal: usize) -> Result<()> {
        self.ordinal = ordinal;
        Ok(())
    }

    fn consume(&mut self, batch: Batch) -> Result<Flow> {
        let batch = batch.compact()?;
        let mut state = self.shared.state.lock();
        loop {
            if state.closed {
                return Ok(Flow::Done);
            }
            if state.current == self.ordinal {
                let held = state
                    .held
                    .remove(&self.ordinal)
                    .map(|(batches, _)| batches)
                    .unwrap_or_default();
                let bytes: usize = held.iter().map(Batch::memory_size).sum();
                let left = state.held_bytes.saturating_sub(bytes);
                state.set_held(left);
                drop(state);
                for batch in held.into_iter().chain([batch]) {
                    if self.shared.send(batch) == Flow::Done {
                        return Ok(Flow::Done);
                    }
                }
                return Ok(Flow::More);
            }
            let bytes = batch.memory_size();
            if state.held_bytes + bytes <= self.shared.most_ahead {
                let held = state.held_bytes + bytes;
                state.set_held(held);
                state.held.entry(self.ordinal).or_default().0.push(batch);
                return Ok(Flow::More);
            }
            self.shared.moved.wait_for(&mut state, Duration::from_millis(20));
            self.cancel.check()?;
        }
    }

    fn end_partition(&mut self) -> Result<()> {
        self.shared.state.lock().held.entry(self.ordinal).or_default().1 = true;
        self.shared.advance();
        Ok(())
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
