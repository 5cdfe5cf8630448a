//! Which statement a thread works for.
//!
//! What waits for a store far below an operator (a footer, a range of a file) counts its requests for the statement, and stops
//! when the statement is cancelled, without every function on the way handing that down.

use super::metrics::RemoteCounters;
use super::{CancelToken, MemoryArbiter};
use std::cell::RefCell;
use std::sync::Arc;

/// The statement that this thread works for.
#[derive(Debug, Clone, Default)]
pub struct Current {
    pub cancel: CancelToken,
    pub remote: Arc<RemoteCounters>,
    /// How many threads work for it; what is looked up before it runs has none to help.
    pub threads: usize,
    /// What counts the memory that its helping threads take.
    pub memory: Option<Arc<MemoryArbiter>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

impl Current {
    /// What this thread works for, if anything.
    pub fn get() -> Option<Current> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The thread works for this until the guard is dropped.
    pub fn enter(self) -> Entered {
        Entered::put(Some(self))
    }
}

/// Puts back what the thread worked for before. Must not leave its thread.
#[derive(Debug)]
pub struct Entered {
    before: Option<Current>,
    here: std::marker::PhantomData<*const ()>,
}

impl Entered {
    /// The thread works for `current`, or for nothing, until the guard is dropped.
    pub(super) fn put(current: Option<Current>) -> Self {
        Self {
            before: CURRENT.replace(current),
            here: std::marker::PhantomData,
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_nest_and_workers_inherit_them() {
        let (outer, inner) = (Current::default(), Current::default());
        let is = |c: &Current| Current::get().is_some_and(|now| Arc::ptr_eq(&now.remote, &c.remote));
        let entered = outer.clone().enter();
        {
            let _entered = inner.clone().enter();
            assert!(is(&inner));
            let all = crate::runtime::on_workers(3, || Ok(is(&inner)));
            assert!(all.into_iter().all(|found| found.unwrap()));
        }
        assert!(is(&outer));
        drop(entered);
        assert!(Current::get().is_none());
    }
}
