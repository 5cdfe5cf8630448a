//! Bytes of remote files that were read a short while ago, kept for who reads the same again: a query that scans a table
//! twice, or the next statement.
//!
//! They take a small part of the memory and are the first to make room: the arbiter counts them as state at rest. Nothing else
//! is needed to find them, because requests that are kept are found like those that are under way.

use super::fetch::Fetch;
use crate::error::Result;
use crate::runtime::{MemoryArbiter, Reservation, Shrink};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// The part of the memory that is kept at most.
const PART: usize = 16;

/// What is kept, booked with the arbiter that was used last.
static RECENT: Mutex<Option<(Weak<MemoryArbiter>, Arc<Recent>)>> = Mutex::new(None);

struct Recent(Mutex<Kept>);

struct Kept {
    /// Oldest first.
    fetches: VecDeque<Arc<Fetch>>,
    memory: Reservation,
}

/// Keeps what was read, if there is memory for it. What has not arrived is not waited for.
pub fn keep(fetches: Vec<Arc<Fetch>>, memory: &Arc<MemoryArbiter>) {
    if fetches.is_empty() {
        return;
    }
    let recent = of(memory);
    for fetch in fetches {
        recent.0.lock().keep(fetch, memory.limit() / PART);
    }
}

/// The bytes kept under this arbiter; those of another are forgotten.
fn of(memory: &Arc<MemoryArbiter>) -> Arc<Recent> {
    let mut current = RECENT.lock();
    if let Some((arbiter, recent)) = &*current
        && std::ptr::eq(arbiter.as_ptr(), Arc::as_ptr(memory))
    {
        return recent.clone();
    }
    let recent = Arc::new(Recent(Mutex::new(Kept {
        fetches: VecDeque::new(),
        memory: memory.reservation("recently read bytes"),
    })));
    let weak: Weak<Recent> = Arc::downgrade(&recent);
    memory.register(weak);
    *current = Some((Arc::downgrade(memory), recent.clone()));
    recent
}

impl Kept {
    fn keep(&mut self, fetch: Arc<Fetch>, most: usize) {
        let known = self.fetches.iter().any(|f| Arc::ptr_eq(f, &fetch));
        let bytes = usize::try_from(fetch.size()).unwrap_or(usize::MAX);
        if known || bytes > most || !fetch.has_arrived() {
            return;
        }
        while self.memory.bytes() + bytes > most && self.forget_oldest() > 0 {}
        if self.memory.try_grow(bytes) {
            self.fetches.push_back(fetch);
        }
    }

    /// Bytes that became free.
    fn forget_oldest(&mut self) -> usize {
        let bytes = self.fetches.pop_front().map_or(0, |fetch| fetch.size() as usize);
        self.memory.shrink(bytes);
        bytes
    }
}

impl Shrink for Recent {
    fn shrink(&self, bytes: usize) -> Result<usize> {
        // Whoever keeps something just now asks for memory himself.
        let Some(mut kept) = self.0.try_lock() else {
            return Ok(0);
        };
        let mut freed = 0;
        while freed < bytes {
            match kept.forget_oldest() {
                0 => break,
                more => freed += more,
            }
        }
        Ok(freed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::single_range_in_vec_init,
        reason = "ranges are asked for in lists, also of one"
    )]

    use super::*;
    use crate::storage::location::Location;
    use crate::storage::store::wait;
    use crate::storage::{ObjectFile, fetch};
    use object_store::ObjectStoreExt;

    fn stored(name: &str) -> ObjectFile {
        let location = Location::parse(&format!("memory://recent/{name}")).unwrap();
        let put = location.store().objects.put(location.path(), vec![7u8; 1000].into());
        wait(put).unwrap().unwrap();
        crate::storage::list(&location).unwrap().remove(0)
    }

    #[test]
    fn what_was_read_is_kept_until_its_memory_is_needed() {
        let memory = MemoryArbiter::new(40_000);
        let files: Vec<ObjectFile> = (0..4).map(|i| stored(&i.to_string())).collect();
        let read = |file: &ObjectFile| {
            let fetched = fetch(file, &[0..1000]).unwrap();
            assert_eq!(fetched[0].bytes(0..1000).unwrap().len(), 1000);
            fetched
        };
        let (first, third) = (read(&files[0]), read(&files[2]));
        keep(first.clone(), &memory);
        keep(first.clone(), &memory);
        assert_eq!(memory.used(), 1000, "once");
        assert!(Arc::ptr_eq(&read(&files[0])[0], &first[0]), "found again");
        keep(read(&files[1]), &memory);
        keep(third.clone(), &memory);
        assert_eq!(memory.used(), 2000, "a sixteenth of the memory, oldest forgotten");
        assert!(Arc::ptr_eq(&read(&files[2])[0], &third[0]));
        let mut other = memory.reservation("other");
        other.grow(39_500).unwrap();
        assert_eq!(memory.used(), 39_500, "made room");
        let another = MemoryArbiter::new(40_000);
        keep(third, &another);
        assert_eq!((memory.used(), another.used()), (39_500, 1000));
    }
}
