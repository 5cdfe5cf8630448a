//! The partitions of a scan, those of remote files with their bytes asked for before a worker wants them.
//!
//! ```text
//! given out │ ahead: requests under way, memory reserved │ waiting
//!           │ grows with what was given out, at most 256 MiB│
//! ```

use crate::error::Result;
use crate::format::Partition;
use crate::runtime::{Operator, Reservation};
use crate::storage::Fetch;
use std::collections::VecDeque;
use std::sync::Arc;

/// The requests that bring the bytes of a partition.
pub type Fetches = Vec<Arc<Fetch>>;

/// Bytes ahead at first: a query that soon has enough should not have asked for much.
const AT_FIRST: u64 = 32 << 20;
/// Bytes ahead at most: what 10 Gbit/s bring in 0.2 s, the time that a request of 16 MiB takes on one connection.
const AT_MOST: u64 = 256 << 20;
/// Partitions ahead at most, for those that are small.
const PARTITIONS: usize = 64;

/// See the module's picture.
#[derive(Default)]
pub struct ReadAhead {
    waiting: VecDeque<Partition>,
    ahead: VecDeque<Ahead>,
    /// Bytes of what is ahead, and of what was given out.
    bytes_ahead: u64,
    bytes_given: u64,
    /// Books the memory of what is ahead. What a worker has is part of what it takes to decode, as with local files.
    operator: Option<Arc<Operator>>,
}

struct Ahead {
    partition: Partition,
    fetches: Fetches,
    bytes: u64,
    _memory: Option<Reservation>,
}

impl ReadAhead {
    /// Partitions to be given out in this order; without an operator nothing is asked for ahead.
    pub fn new(partitions: VecDeque<Partition>, operator: Option<Arc<Operator>>) -> Self {
        Self {
            waiting: partitions,
            operator,
            ..Self::default()
        }
    }

    /// The next partition, and the requests for its bytes to be kept while it is read. `start` sends these requests.
    pub fn next(&mut self, start: impl Fn(&Partition) -> Result<Fetches>) -> Result<Option<(Partition, Fetches)>> {
        let next = match self.ahead.pop_front() {
            Some(next) => {
                self.bytes_ahead -= next.bytes;
                Some((next.partition, next.fetches))
            }
            None => match self.waiting.pop_front() {
                Some(partition) => Some((partition.clone(), start(&partition)?)),
                None => None,
            },
        };
        if let Some((partition, _)) = &next {
            self.bytes_given += partition.bytes;
        }
        self.go_ahead(start)?;
        Ok(next)
    }

    fn go_ahead(&mut self, start: impl Fn(&Partition) -> Result<Fetches>) -> Result<()> {
        let Some(operator) = self.operator.clone() else {
            return Ok(());
        };
        let most = AT_MOST.min(AT_FIRST + 2 * self.bytes_given);
        while let Some(partition) = self.waiting.front() {
            let bytes = partition.bytes;
            let full = self.bytes_ahead + bytes > most || self.ahead.len() >= PARTITIONS;
            if full && !self.ahead.is_empty() {
                break;
            }
            let mut memory = operator.reservation();
            let granted = memory.try_grow_fairly(usize::try_from(bytes).unwrap_or(usize::MAX))?;
            // One is asked for in any case: a worker will want it next.
            if !granted && !self.ahead.is_empty() {
                break;
            }
            let fetches = start(partition)?;
            self.bytes_ahead += bytes;
            self.ahead.extend(self.waiting.pop_front().map(|partition| Ahead {
                partition,
                fetches,
                bytes,
                _memory: granted.then_some(memory),
            }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::MemoryArbiter;
    use crate::storage::ObjectFile;
    use std::cell::Cell;

    fn partitions(count: u64, bytes: u64) -> VecDeque<Partition> {
        let file = ObjectFile {
            location: "memory://b/x".into(),
            size: count * bytes,
            modified: 0,
            etag: None,
        };
        let partition = |i| Partition {
            file: file.clone(),
            info: Arc::default(),
            constants: vec![],
            start: i,
            end: i + 1,
            rows: None,
            bytes,
        };
        (0..count).map(partition).collect()
    }

    /// How many were asked for after each one that was given out.
    fn asked(count: u64, bytes: u64, memory: Option<usize>) -> Vec<u64> {
        let operator = memory.map(|m| MemoryArbiter::new(m).operator("scan"));
        let mut ahead = ReadAhead::new(partitions(count, bytes), operator);
        let asked = Cell::new(0);
        let start = |_: &Partition| {
            asked.set(asked.get() + 1);
            Ok(vec![])
        };
        let mut after = vec![];
        while let Some((partition, _)) = ahead.next(start).unwrap() {
            assert_eq!(partition.start, after.len() as u64, "they come in order");
            after.push(asked.get());
        }
        assert_eq!(asked.get(), count, "each is asked for once");
        after
    }

    #[test]
    fn more_is_asked_for_the_more_was_used() {
        assert_eq!(
            asked(12, 16 << 20, Some(1 << 40)),
            [5, 8, 11, 12, 12, 12, 12, 12, 12, 12, 12, 12]
        );
        assert_eq!(asked(3, 1 << 30, Some(1 << 40)), [2, 3, 3], "always one");
        assert_eq!(asked(200, 10, Some(1 << 40))[..2], [65, 66]);
    }

    #[test]
    fn without_memory_one_is_asked_for_and_without_operator_none() {
        assert_eq!(asked(5, 1 << 20, Some(1 << 10)), [2, 3, 4, 5, 5]);
        assert_eq!(asked(3, 1 << 20, None), [1, 2, 3]);
    }
}
