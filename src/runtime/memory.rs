//! The memory arbiter: one limit, and reservations that operators hold against it.
//!
//! ```text
//! grow          takes what is free; then asks holders at rest to shrink; then is an error
//! try_grow      takes what is free
//! try_grow_fairly   takes what is free, but an operator never holds more than it leaves to the others
//! transit       is never refused: what is on its way between operators
//! ```
//!
//! Without what is on its way (open pages, fetched bytes, batches, encoded blocks) nothing moves, so it is counted and not
//! asked for: a quarter of the limit is meant for it, beside the limit, and what it takes beyond that operators do not get.
//!
//! An operator that can spill grows fairly and spills when it may not; so every operator that comes later finds memory.
//! State that rests between two pipelines (a join's build side, partial aggregates, sorted runs, the rows of a common table
//! expression) is registered as [`Shrink`] and goes to disk when a running operator needs its memory.
//!
//! Caches fill what operators leave free, and give it back as soon as one of them takes it: to operators they are not there.

use crate::config::format_bytes;
use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// Every operator may hold this part of the limit whatever the others hold.
const GUARANTEED_PART: usize = 32;
/// What is on its way may take this part of the limit beside it.
const TRANSIT_PART: usize = 4;
/// Operators have so much, or half of the limit if that is more, however much is on its way: a page takes its megabyte also where
/// there is little memory, and nothing would run.
const LEAST: usize = 16 << 20;
/// What is on its way is counted in steps of this.
const TRANSIT_STEP: usize = 32 << 10;

/// State at rest that can be moved to disk.
pub trait Shrink: Send + Sync {
    /// Frees about `bytes`, or all it can; gives back how many were freed. Called by any thread, while no worker uses the
    /// state. A state in use frees nothing.
    ///
    /// # Errors
    /// When the rows cannot be written.
    fn shrink(&self, bytes: usize) -> Result<usize>;
}

/// What can be had again and so goes first.
pub trait Cache: Send + Sync {
    /// Forgets about `bytes`, or all there is. Called by any thread.
    fn forget(&self, bytes: usize);
}

/// Hands out memory up to a limit.
pub struct MemoryArbiter {
    limit: usize,
    used: AtomicUsize,
    transit: AtomicUsize,
    peak: AtomicUsize,
    /// Oldest first: what was made first is often used last.
    at_rest: Mutex<Vec<Weak<dyn Shrink>>>,
    cached: AtomicUsize,
    caches: Mutex<Vec<Weak<dyn Cache>>>,
}

impl std::fmt::Debug for MemoryArbiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryArbiter({} of {} bytes)", self.used(), self.limit)
    }
}

/// What all reservations of one operator hold together.
#[derive(Debug)]
pub struct Operator {
    arbiter: Arc<MemoryArbiter>,
    name: Arc<str>,
    held: AtomicUsize,
    peak: AtomicUsize,
}

impl MemoryArbiter {
    /// An arbiter for `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            transit: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            at_rest: Mutex::default(),
            cached: AtomicUsize::new(0),
            caches: Mutex::default(),
        })
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that operators hold.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Bytes on their way.
    pub fn in_transit(&self) -> usize {
        self.transit.load(Relaxed)
    }

    /// Bytes that caches hold beside the operators.
    pub fn cached(&self) -> usize {
        self.cached.load(Relaxed)
    }

    /// An empty share of what operators leave free.
    pub fn cache_share(self: &Arc<Self>) -> CacheShare {
        CacheShare {
            arbiter: self.clone(),
            bytes: 0,
        }
    }

    /// Lets a cache be told when operators need its memory, until it is dropped.
    pub fn register_cache(&self, cache: Weak<dyn Cache>) {
        let mut caches = self.caches.lock();
        caches.retain(|c| c.strong_count() > 0);
        caches.push(cache);
    }

    /// Has caches forget what operators have just taken.
    fn make_caches_fit(&self) {
        let caches: Vec<Arc<dyn Cache>> = self.caches.lock().iter().filter_map(Weak::upgrade).collect();
        for cache in caches {
            match self.cached().saturating_sub(self.free()) {
                0 => return,
                beyond => cache.forget(beyond),
            }
        }
    }

    /// Bytes that nobody holds.
    pub fn free(&self) -> usize {
        self.for_operators().saturating_sub(self.used())
    }

    /// What operators may hold together: less than the limit while much is on its way.
    fn for_operators(&self) -> usize {
        let beyond = self.in_transit().saturating_sub(self.limit / TRANSIT_PART);
        let least = (self.limit / 2).max(LEAST.min(self.limit));
        self.limit.saturating_sub(beyond).max(least)
    }

    /// The most that was ever held and on its way at one time.
    pub fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }

    /// Counts something that is on its way; nothing yet.
    pub fn transit(self: &Arc<Self>) -> Transit {
        Transit {
            arbiter: self.clone(),
            bytes: 0,
        }
    }

    /// Whether so much more may be on its way ahead of who wants it: within the part that is meant for it, or beside what
    /// operators hold.
    pub fn has_room_ahead(&self, bytes: usize) -> bool {
        let on_its_way = self.in_transit().saturating_add(bytes);
        on_its_way <= (self.limit / TRANSIT_PART).max(self.limit.saturating_sub(self.used()))
    }

    /// A new operator that holds nothing yet; error messages call it `name`.
    pub fn operator(self: &Arc<Self>, name: impl Into<Arc<str>>) -> Arc<Operator> {
        Arc::new(Operator {
            arbiter: self.clone(),
            name: name.into(),
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    /// An empty reservation of an operator that needs only one.
    pub fn reservation(self: &Arc<Self>, owner: impl Into<Arc<str>>) -> Reservation {
        self.operator(owner).reservation()
    }

    /// Lets `state` be moved to disk on behalf of others, until it is dropped.
    pub fn register(&self, state: Weak<dyn Shrink>) {
        let mut at_rest = self.at_rest.lock();
        at_rest.retain(|s| s.strong_count() > 0);
        at_rest.push(state);
    }

    /// Asks state at rest to free `bytes` in all.
    fn reclaim(&self, bytes: usize) -> Result<()> {
        let states: Vec<Arc<dyn Shrink>> = self.at_rest.lock().iter().filter_map(Weak::upgrade).collect();
        let mut freed = 0;
        for state in states {
            if freed >= bytes {
                break;
            }
            freed += state.shrink(bytes - freed)?;
        }
        Ok(())
    }

    fn try_take(&self, bytes: usize) -> bool {
        let most = self.for_operators();
        let taken = self.used.fetch_update(Relaxed, Relaxed, |used| {
            used.checked_add(bytes).filter(|&total| total <= most)
        });
        if let Ok(before) = taken {
            self.peak.fetch_max(before + bytes + self.in_transit(), Relaxed);
            if self.cached() > self.free() {
                self.make_caches_fit();
            }
        }
        taken.is_ok()
    }
}

impl Operator {
    pub fn arbiter(&self) -> &Arc<MemoryArbiter> {
        &self.arbiter
    }

    /// An empty reservation of this operator.
    pub fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation {
            operator: self.clone(),
            bytes: 0,
        }
    }

    /// Bytes that its reservations hold together.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// The most that they ever held at one time.
    pub fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }

    /// What it may hold at least.
    pub fn guaranteed(&self) -> usize {
        self.arbiter.limit / GUARANTEED_PART
    }

    /// How much more it may hold without holding more than it leaves to others.
    pub fn fair_room(&self) -> usize {
        let held = self.held();
        let fair = self.arbiter.free().saturating_sub(held) / 2;
        fair.max(self.guaranteed().saturating_sub(held))
    }

    fn add(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Relaxed) + bytes;
        self.peak.fetch_max(held, Relaxed);
    }
}

/// Bytes that an operator holds; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    operator: Arc<Operator>,
    bytes: usize,
}

impl Reservation {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn operator(&self) -> &Arc<Operator> {
        &self.operator
    }

    /// Grows by `bytes` if so much is free.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let taken = self.operator.arbiter.try_take(bytes);
        if taken {
            self.operator.add(bytes);
            self.bytes += bytes;
        }
        taken
    }

    /// Grows by `bytes` if the operator then holds no more than it leaves free, or no more than is guaranteed to it. For
    /// the guaranteed part, state at rest is moved to disk if need be.
    ///
    /// # Errors
    /// When state at rest cannot be written.
    pub fn try_grow_fairly(&mut self, bytes: usize) -> Result<bool> {
        let arbiter = self.operator.arbiter.clone();
        let held = self.operator.held();
        if held + 2 * bytes <= arbiter.free() && self.try_grow(bytes) {
            return Ok(true);
        }
        if held + bytes > self.operator.guaranteed() {
            return Ok(false);
        }
        if !self.try_grow(bytes) {
            arbiter.reclaim(bytes)?;
            return Ok(self.try_grow(bytes));
        }
        Ok(true)
    }

    /// Grows by `bytes`; state at rest is moved to disk if need be.
    ///
    /// # Errors
    /// `ResourcesExhausted`, naming the operator and the setting, when the limit does not allow it.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        if self.try_grow(bytes) {
            return Ok(());
        }
        let arbiter = self.operator.arbiter.clone();
        arbiter.reclaim(bytes)?;
        if self.try_grow(bytes) {
            return Ok(());
        }
        Err(Error::resources(format!(
            "{} needs {} more memory; it holds {}, all operators {} of the limit of {}",
            self.operator.name,
            format_bytes(bytes),
            format_bytes(self.operator.held()),
            format_bytes(arbiter.used()),
            format_bytes(arbiter.limit)
        ))
        .with_hint("raise memory_limit (--memory), or lower threads"))
    }

    /// Grows or shrinks to exactly `bytes`, with [`Reservation::grow`]'s error.
    pub fn resize(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.shrink(self.bytes - bytes);
        Ok(())
    }

    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.operator.arbiter.used.fetch_sub(bytes, Relaxed);
        self.operator.held.fetch_sub(bytes, Relaxed);
        self.bytes -= bytes;
    }

    /// Takes over what `other` holds; both belong to the same operator.
    pub fn absorb(&mut self, mut other: Reservation) {
        debug_assert!(Arc::ptr_eq(&self.operator, &other.operator));
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// Bytes on their way; none any more when dropped.
#[derive(Debug)]
pub struct Transit {
    arbiter: Arc<MemoryArbiter>,
    bytes: usize,
}

impl Transit {
    /// It is now `bytes` that are on their way.
    pub fn set(&mut self, bytes: usize) {
        let bytes = bytes.next_multiple_of(TRANSIT_STEP);
        let arbiter = &self.arbiter;
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let all = arbiter.transit.fetch_add(more, Relaxed) + more;
            arbiter.peak.fetch_max(all + arbiter.used(), Relaxed);
        } else if bytes < self.bytes {
            arbiter.transit.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Transit {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes that a cache holds; given back when dropped.
#[derive(Debug)]
pub struct CacheShare {
    arbiter: Arc<MemoryArbiter>,
    bytes: usize,
}

impl CacheShare {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows by `bytes` if neither operators nor caches hold them.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let free = self.arbiter.free();
        let taken = self.arbiter.cached.fetch_update(Relaxed, Relaxed, |cached| {
            cached.checked_add(bytes).filter(|&total| total <= free)
        });
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }

    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.arbiter.cached.fetch_sub(bytes, Relaxed);
        self.bytes -= bytes;
    }
}

impl Drop for CacheShare {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct AtRest(Mutex<Reservation>);

    impl Shrink for AtRest {
        fn shrink(&self, bytes: usize) -> Result<usize> {
            let mut reservation = self.0.lock();
            let before = reservation.bytes();
            reservation.shrink(bytes);
            Ok(before - reservation.bytes())
        }
    }

    #[test]
    fn an_operator_leaves_as_much_as_it_holds() {
        let arbiter = MemoryArbiter::new(3200);
        let operator = arbiter.operator("first");
        let (mut one, mut two) = (operator.reservation(), operator.reservation());
        assert!(one.try_grow_fairly(1000).unwrap() && two.try_grow_fairly(600).unwrap());
        assert!(!two.try_grow_fairly(1).unwrap(), "1600 held, 1600 free");
        assert_eq!((operator.held(), operator.fair_room()), (1600, 0));
        let mut other = arbiter.reservation("second");
        assert!(other.try_grow_fairly(800).unwrap() && !other.try_grow_fairly(1).unwrap());
        one.absorb(two);
        drop(one);
        assert_eq!((arbiter.used(), arbiter.peak()), (800, 2400));
    }

    struct Cached(Mutex<CacheShare>);

    impl Cache for Cached {
        fn forget(&self, bytes: usize) {
            self.0.lock().shrink(bytes);
        }
    }

    #[test]
    fn caches_take_what_is_free_and_give_way() {
        let arbiter = MemoryArbiter::new(3200);
        let cache = Arc::new(Cached(Mutex::new(arbiter.cache_share())));
        let weak: Weak<Cached> = Arc::downgrade(&cache);
        arbiter.register_cache(weak);
        assert!(cache.0.lock().try_grow(3000) && !cache.0.lock().try_grow(201));
        let mut operator = arbiter.reservation("operator");
        assert!(operator.try_grow_fairly(1600).unwrap(), "as if there was no cache");
        assert_eq!((arbiter.used(), arbiter.cached()), (1600, 1600));
        assert!(!cache.0.lock().try_grow(1));
        operator.grow(1600).unwrap();
        assert_eq!((arbiter.used(), arbiter.cached()), (3200, 0));
    }

    #[test]
    fn what_is_on_its_way_takes_from_operators_beyond_its_part() {
        let arbiter = MemoryArbiter::new(80 << 20);
        let mut pages = arbiter.transit();
        pages.set((20 << 20) - 1);
        assert_eq!((arbiter.in_transit(), arbiter.free()), (20 << 20, 80 << 20));
        let mut operator = arbiter.reservation("operator");
        pages.set(50 << 20);
        assert!(!operator.try_grow((50 << 20) + 1) && operator.try_grow(50 << 20));
        assert_eq!((arbiter.peak(), arbiter.free()), (100 << 20, 0));
        drop(pages);
        assert_eq!((arbiter.in_transit(), arbiter.free()), (0, 30 << 20));
        operator.shrink(50 << 20);
        let mut flood = arbiter.transit();
        flood.set(1 << 30);
        assert_eq!(arbiter.free(), 40 << 20, "half of the limit is always there");
    }

    #[test]
    fn state_at_rest_makes_room() {
        let arbiter = MemoryArbiter::new(3200);
        let mut held = arbiter.reservation("at rest");
        held.grow(3150).unwrap();
        let state = Arc::new(AtRest(Mutex::new(held)));
        let weak: Weak<AtRest> = Arc::downgrade(&state);
        arbiter.register(weak);
        let mut running = arbiter.reservation("running");
        assert!(running.try_grow_fairly(100).unwrap(), "this much is guaranteed");
        assert!(!running.try_grow_fairly(100).unwrap());
        running.grow(3000).unwrap();
        let error = running.grow(200).unwrap_err();
        assert!(error.message().contains("running"), "{}", error.message());
        drop(state);
        running.grow(100).unwrap();
    }
}
