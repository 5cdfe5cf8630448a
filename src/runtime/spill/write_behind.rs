//! Write-behind: a thread of the query writes spilled blocks while workers go on.
//!
//! A block's place in its file is fixed when it is handed over, so blocks may land in any order. What waits is bounded: a worker
//! that finds the queue full writes its block itself. That keeps memory small, makes workers wait where the disk is the slowest
//! part, and uses all cores where one thread cannot copy as fast as they encode.

use super::SpillFile;
use crate::error::Result;
use crate::runtime::{MemoryArbiter, Transit};
use parking_lot::{Condvar, Mutex};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};

/// Blocks may wait in this part of the memory limit, …
const QUEUE_PART: usize = 64;
/// … and in no more than this.
const MOST_QUEUED: usize = 8 << 20;

/// What one writer has put into its file, landed or not. Shared with whoever reads it.
#[derive(Debug)]
pub(super) struct Written {
    pub file: Arc<SpillFile>,
    state: Mutex<State>,
    landed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Blocks that have not landed.
    pending: usize,
    /// How the first of those that landed did.
    result: Result<()>,
}

impl Written {
    /// Nothing yet, in `file`.
    pub fn new(file: Arc<SpillFile>) -> Arc<Self> {
        let state = State {
            pending: 0,
            result: Ok(()),
        };
        Arc::new(Self {
            file,
            state: Mutex::new(state),
            landed: Condvar::new(),
        })
    }

    /// Puts a block at the end of the file, now or soon, and gives its offset.
    ///
    /// # Errors
    /// `ResourcesExhausted` beyond the quota; `Storage` when this block, or one before it, cannot be written.
    pub fn append(self: &Arc<Self>, bytes: &[u8]) -> Result<u64> {
        self.state.lock().result.clone()?;
        let offset = self.file.extend(bytes.len())?;
        match self.file.manager().write_behind() {
            Some(queue) if queue.has_room_for(bytes.len()) => {
                self.state.lock().pending += 1;
                queue.push(self, offset, bytes.into());
            }
            _ => self.file.write_at(bytes, offset)?,
        }
        Ok(offset)
    }

    /// Waits until all of it has landed.
    ///
    /// # Errors
    /// `Storage` when some of it could not be written.
    pub fn wait(&self) -> Result<()> {
        let mut state = self.state.lock();
        while state.pending > 0 {
            self.landed.wait(&mut state);
        }
        state.result.clone()
    }

    fn land(&self, result: Result<()>) {
        let mut state = self.state.lock();
        state.pending -= 1;
        if state.result.is_ok() {
            state.result = result;
        }
        if state.pending == 0 {
            self.landed.notify_all();
        }
    }
}

/// A block on its way. If nobody can read it any more, it need not be written.
struct Block {
    to: Weak<Written>,
    offset: u64,
    bytes: Box<[u8]>,
}

/// The bytes of all blocks that wait.
#[derive(Debug)]
struct Queued {
    bytes: usize,
    counted: Transit,
}

impl Queued {
    fn set(&mut self, bytes: usize) {
        self.bytes = bytes;
        self.counted.set(bytes);
    }
}

/// The thread, and the blocks that wait for it.
#[derive(Debug)]
pub(super) struct WriteBehind {
    /// Taken to end the thread.
    sender: Option<Sender<Block>>,
    thread: Option<JoinHandle<()>>,
    queued: Arc<Mutex<Queued>>,
    /// Bytes that may wait.
    most: usize,
}

impl WriteBehind {
    /// Starts the thread; `None` where the system gives none.
    pub fn start(memory: &Arc<MemoryArbiter>) -> Option<Self> {
        let (sender, blocks) = channel::<Block>();
        let queued = Arc::new(Mutex::new(Queued {
            bytes: 0,
            counted: memory.transit(),
        }));
        let waiting = queued.clone();
        let write = move || {
            for block in blocks {
                if let Some(written) = block.to.upgrade() {
                    written.land(written.file.write_at(&block.bytes, block.offset));
                }
                let mut waiting = waiting.lock();
                let left = waiting.bytes - block.bytes.len();
                waiting.set(left);
            }
        };
        let thread = Builder::new().name("lakebed-spill".into()).spawn(write).ok()?;
        Some(Self {
            sender: Some(sender),
            thread: Some(thread),
            queued,
            most: (memory.limit() / QUEUE_PART).min(MOST_QUEUED),
        })
    }

    /// Takes room for `bytes` in the queue, if there is as much.
    fn has_room_for(&self, bytes: usize) -> bool {
        let mut queued = self.queued.lock();
        let all = queued.bytes.saturating_add(bytes);
        let fits = all <= self.most;
        if fits {
            queued.set(all);
        }
        fits
    }

    fn push(&self, to: &Arc<Written>, offset: u64, bytes: Box<[u8]>) {
        let block = Block {
            to: Arc::downgrade(to),
            offset,
            bytes,
        };
        // The thread ends only after this sender is gone; a block that it did not take is written here.
        let refused = self.sender.as_ref().and_then(|sender| sender.send(block).err());
        if let Some(block) = refused {
            to.land(to.file.write_at(&block.0.bytes, block.0.offset));
        }
    }
}

impl Drop for WriteBehind {
    /// Waits for the thread, so that nothing of a query that is over takes memory.
    fn drop(&mut self) {
        self.sender = None;
        // The thread itself may have held the last user of the file it wrote to.
        let other = |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
        if let Some(thread) = self.thread.take().filter(other) {
            // It does not panic, and there is nobody to tell if it did.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpillManager;
    use super::*;
    use crate::config::Config;
    use std::time::{Duration, Instant};

    #[test]
    fn the_queue_is_bounded_and_what_has_landed_makes_room() {
        let manager = SpillManager::new(&Config::default(), Arc::default(), MemoryArbiter::new(1 << 20));
        let queue = manager.write_behind().unwrap();
        assert!(queue.has_room_for(queue.most) && !queue.has_room_for(1));
        assert!(manager.memory.in_transit() >= queue.most, "it is counted");
        queue.queued.lock().set(0);
        let written = Written::new(manager.file().unwrap());
        for round in 0..10 {
            assert!(queue.has_room_for(queue.most), "round {round}");
            written.state.lock().pending += 1;
            let offset = written.file.extend(queue.most).unwrap();
            queue.push(&written, offset, vec![7; queue.most].into());
            written.wait().unwrap();
            let patience = Instant::now() + Duration::from_secs(20);
            while queue.queued.lock().bytes > 0 && Instant::now() < patience {
                std::thread::yield_now();
            }
        }
        assert_eq!(manager.memory.in_transit(), 0);
    }
}
