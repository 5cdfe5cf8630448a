//! Bytes of remote files that were read, kept in memory for who reads the same again: a query that scans a table twice, or the
//! next statement.
//!
//! They take at most a third of the memory, only where no operator needs it, and the ones that were not used for the longest time
//! go first. They belong to one version of a file (`identity::is_settled`).

use super::ObjectFile;
use super::identity::is_settled;
use crate::runtime::{Cache, CacheShare, MemoryArbiter};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Weak};

/// The part of the memory that is kept at most.
const PART: usize = 3;

/// What is kept, within the memory of the arbiter that was named last.
static CURRENT: Mutex<Option<Arc<Cached>>> = Mutex::new(None);

struct Cached {
    arbiter: Weak<MemoryArbiter>,
    kept: Mutex<Kept>,
}

struct Kept {
    files: HashMap<ObjectFile, BTreeMap<u64, Part>>,
    /// Where the parts are by when they were used last.
    by_use: BTreeMap<u64, (ObjectFile, u64)>,
    uses: u64,
    memory: CacheShare,
    most: usize,
}

struct Part {
    bytes: Bytes,
    /// When it was used last.
    used: u64,
}

/// Keeps from now on what is read, within the memory of this arbiter. What was kept for another is forgotten.
pub fn cache_in(memory: &Arc<MemoryArbiter>) {
    let mut current = CURRENT.lock();
    if current
        .as_ref()
        .is_some_and(|c| c.arbiter.as_ptr() == Arc::as_ptr(memory))
    {
        return;
    }
    let cached = Arc::new(Cached {
        arbiter: Arc::downgrade(memory),
        kept: Mutex::new(Kept {
            files: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            memory: memory.cache_share(),
            most: memory.limit() / PART,
        }),
    });
    let weak: Weak<Cached> = Arc::downgrade(&cached);
    memory.register_cache(weak);
    *current = Some(cached);
}

/// The bytes of a range of a file as consecutive parts, if all are kept.
pub(super) fn find(file: &ObjectFile, range: &Range<u64>) -> Option<Vec<(Range<u64>, Bytes)>> {
    let cached = CURRENT.lock().clone()?;
    let mut kept = cached.kept.lock();
    kept.find(file, range)
}

/// Keeps the bytes of a file from `start` on.
pub(super) fn keep(file: &ObjectFile, start: u64, bytes: Bytes) {
    let current = CURRENT.lock().clone();
    if let Some(cached) = current.filter(|_| is_settled(file) && !bytes.is_empty()) {
        cached.kept.lock().keep(file, start, bytes);
    }
}

impl Kept {
    fn find(&mut self, file: &ObjectFile, range: &Range<u64>) -> Option<Vec<(Range<u64>, Bytes)>> {
        let parts = self.files.get(file)?;
        let (mut at, mut found, mut starts) = (range.start, vec![], vec![]);
        while at < range.end {
            let (&start, part) = parts.range(..=at).next_back()?;
            let end = range.end.min(start + part.bytes.len() as u64);
            if end <= at {
                return None;
            }
            let bytes = part.bytes.slice((at - start) as usize..(end - start) as usize);
            found.push((at..end, bytes));
            starts.push(start);
            at = end;
        }
        for start in starts {
            self.touch(file, start);
        }
        Some(found)
    }

    /// Makes a part the one that was used last.
    fn touch(&mut self, file: &ObjectFile, start: u64) {
        self.uses += 1;
        let Some(part) = self.files.get_mut(file).and_then(|parts| parts.get_mut(&start)) else {
            return;
        };
        self.by_use.remove(&part.used);
        part.used = self.uses;
        self.by_use.insert(self.uses, (file.clone(), start));
    }

    fn keep(&mut self, file: &ObjectFile, start: u64, bytes: Bytes) {
        let (length, end) = (bytes.len(), start + bytes.len() as u64);
        if length > self.most || self.find(file, &(start..end)).is_some() {
            return;
        }
        let parts = self
            .files
            .get(file)
            .into_iter()
            .flat_map(|parts| parts.range(start..end));
        let inside = parts.filter(|(at, part)| *at + part.bytes.len() as u64 <= end);
        let inside: Vec<u64> = inside.map(|(at, _)| *at).collect();
        inside.into_iter().for_each(|at| self.remove(file, at));
        while self.memory.bytes() + length > self.most && self.forget_one() {}
        while !self.memory.try_grow(length) {
            if !self.forget_one() {
                return;
            }
        }
        self.uses += 1;
        let part = Part { bytes, used: self.uses };
        // A shorter part that begins here was removed above, and a longer one has all of these bytes.
        self.files.entry(file.clone()).or_default().insert(start, part);
        self.by_use.insert(self.uses, (file.clone(), start));
    }

    fn remove(&mut self, file: &ObjectFile, start: u64) {
        let Some(parts) = self.files.get_mut(file) else { return };
        if let Some(part) = parts.remove(&start) {
            self.by_use.remove(&part.used);
            self.memory.shrink(part.bytes.len());
        }
        if parts.is_empty() {
            self.files.remove(file);
        }
    }

    /// Forgets the part that was not used for the longest time; false if there is none.
    fn forget_one(&mut self) -> bool {
        let Some((_, (file, start))) = self.by_use.pop_first() else {
            return false;
        };
        self.remove(&file, start);
        true
    }
}

impl Cache for Cached {
    fn forget(&self, bytes: usize) {
        let mut kept = self.kept.lock();
        let target = kept.memory.bytes().saturating_sub(bytes);
        while kept.memory.bytes() > target && kept.forget_one() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(arbiter: &Arc<MemoryArbiter>) -> Kept {
        Kept {
            files: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            memory: arbiter.cache_share(),
            most: arbiter.limit() / PART,
        }
    }

    fn file(name: &str) -> ObjectFile {
        ObjectFile {
            location: name.into(),
            size: 10_000,
            modified: 0,
            etag: Some("1".into()),
        }
    }

    /// Bytes that tell where they are from.
    fn bytes(range: Range<u64>) -> Bytes {
        range.map(|i| (i % 251) as u8).collect::<Vec<u8>>().into()
    }

    fn found(kept: &mut Kept, file: &ObjectFile, range: Range<u64>) -> Option<Vec<u8>> {
        let parts = kept.find(file, &range)?;
        Some(parts.into_iter().flat_map(|(_, bytes)| bytes).collect())
    }

    #[test]
    fn ranges_are_found_in_what_was_read_of_the_same_version() {
        let mut kept = kept(&MemoryArbiter::new(30_000));
        let a = file("a");
        kept.keep(&a, 100, bytes(100..200));
        kept.keep(&a, 200, bytes(200..300));
        kept.keep(&a, 400, bytes(400..500));
        for range in [100..101, 150..250, 100..300, 450..500] {
            assert_eq!(found(&mut kept, &a, range.clone()), Some(bytes(range).to_vec()));
        }
        for range in [99..101, 250..301, 250..450, 499..501] {
            assert_eq!(found(&mut kept, &a, range), None);
        }
        let newer = ObjectFile {
            etag: Some("2".into()),
            ..a.clone()
        };
        assert_eq!(found(&mut kept, &newer, 100..101), None);
        kept.keep(&a, 50, bytes(50..450));
        assert_eq!(
            kept.memory.bytes(),
            500,
            "what is inside of the new part is in memory once"
        );
        assert_eq!(found(&mut kept, &a, 50..500), Some(bytes(50..500).to_vec()));
        kept.keep(&a, 60, bytes(60..70));
        assert_eq!(kept.memory.bytes(), 500);
    }

    #[test]
    fn a_third_of_the_memory_is_kept_and_what_was_used_longest_ago_goes() {
        let arbiter = MemoryArbiter::new(3000);
        let mut kept = kept(&arbiter);
        let files = ["a", "b", "c"].map(file);
        kept.keep(&files[0], 0, bytes(0..400));
        kept.keep(&files[1], 0, bytes(0..400));
        assert!(found(&mut kept, &files[0], 0..10).is_some());
        kept.keep(&files[2], 0, bytes(0..400));
        assert!(found(&mut kept, &files[1], 0..10).is_none());
        assert!(found(&mut kept, &files[0], 0..10).is_some() && found(&mut kept, &files[2], 0..10).is_some());
        assert_eq!((arbiter.cached(), arbiter.used()), (800, 0));
        kept.keep(&files[1], 0, bytes(0..1001));
        assert_eq!(arbiter.cached(), 800, "more than a third is not kept at all");
        drop(kept);
        assert_eq!(arbiter.cached(), 0);
    }

    #[test]
    fn operators_take_memory_from_the_cache() {
        let arbiter = MemoryArbiter::new(3000);
        let cached = Arc::new(Cached {
            arbiter: Arc::downgrade(&arbiter),
            kept: Mutex::new(kept(&arbiter)),
        });
        let weak: Weak<Cached> = Arc::downgrade(&cached);
        arbiter.register_cache(weak);
        cached.kept.lock().keep(&file("a"), 0, bytes(0..400));
        cached.kept.lock().keep(&file("b"), 0, bytes(0..400));
        let mut operator = arbiter.reservation("operator");
        operator.grow(2300).unwrap();
        assert_eq!((arbiter.used(), arbiter.cached()), (2300, 400));
        assert!(found(&mut cached.kept.lock(), &file("a"), 0..10).is_none());
        assert!(found(&mut cached.kept.lock(), &file("b"), 0..10).is_some());
    }
}
