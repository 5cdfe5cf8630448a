//! What goes over the wire: every request to a server passes here, also those that the client sends again by itself. They are
//! counted for the statement that waits for them, and a server that says "slow down" is heard.

use crate::runtime::{Counter, Current, RemoteCounters};
use std::future::Future;
use std::sync::Arc;

tokio::task_local! {
    /// Whose requests these are.
    static COUNTERS: Arc<RemoteCounters>;
}

/// Counts what `work` sends for the statement of this thread.
pub(super) async fn counted<F: Future>(work: F) -> F::Output {
    match Current::get() {
        Some(current) => counted_for(current.remote, work).await,
        None => work.await,
    }
}

/// Counts what `work` sends in `counters`.
pub(super) async fn counted_for<F: Future>(counters: Arc<RemoteCounters>, work: F) -> F::Output {
    COUNTERS.scope(counters, work).await
}

/// Adds to a counter of those that the running task counts for.
pub(super) fn count(which: fn(&RemoteCounters) -> &Counter, n: u64) {
    let _ = COUNTERS.try_with(|counters| counters.add(which, n));
}

/// Whether an error comes from a client that has sent the request again itself as often as it may, or saw that it is no use.
/// The type of such errors is private to the clients; what they say of themselves is not.
pub(super) fn has_tried_again(error: &object_store::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.to_string().starts_with("Error performing ") {
            return true;
        }
        cause = error.source();
    }
    false
}
