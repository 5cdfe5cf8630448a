//! How many requests for bytes are under way at the same time in this process: more while all goes well, half as many when a
//! server says that it is too much (503 SlowDown, 429, or no answer in time), as TCP does it.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests under way at first. One connection to a cloud store gives some 50 to 100 MB/s, so these fill 10 Gbit/s and more.
const START: usize = 32;
const MOST: usize = 64;
/// Requests that were under way together are refused together: that counts once.
const ONE_STORM: Duration = Duration::from_secs(1);

/// Lets requests pass, first come first served.
#[derive(Debug)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Places that are to be taken away when somebody leaves.
    owed: usize,
    /// Requests that went well since the limit was changed.
    successes: usize,
    lowered: Option<Instant>,
}

/// A place among the requests under way.
pub(super) struct Pass {
    gate: Arc<Gate>,
    place: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(START)),
            state: Mutex::new(State {
                limit: START,
                owed: 0,
                successes: 0,
                lowered: None,
            }),
        })
    }

    /// Waits for a place.
    pub async fn enter(self: &Arc<Self>) -> Pass {
        Pass {
            gate: self.clone(),
            // The semaphore is never closed; without a place the request would just go ahead.
            place: self.places.clone().acquire_owned().await.ok(),
        }
    }

    #[cfg(test)]
    pub fn limit(&self) -> usize {
        self.state.lock().limit
    }

    /// A server asked for fewer requests.
    pub fn slow_down(&self) {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state.lowered.is_some_and(|then| now.duration_since(then) < ONE_STORM) {
            return;
        }
        state.lowered = Some(now);
        state.successes = 0;
        let fewer = (state.limit / 2).max(1);
        let taken = self.places.forget_permits(state.limit - fewer);
        state.owed += state.limit - fewer - taken;
        state.limit = fewer;
    }

    /// A request went well: after as many as may be under way, one more may.
    fn went_well(&self) {
        let mut state = self.state.lock();
        state.successes += 1;
        if state.successes < state.limit || state.limit >= MOST {
            return;
        }
        state.successes = 0;
        state.limit += 1;
        match state.owed {
            0 => self.places.add_permits(1),
            _ => state.owed -= 1,
        }
    }
}

impl Pass {
    /// Leaves after a request that went well.
    pub fn leave_well(self) {
        self.gate.went_well();
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        if let Some(place) = self.place.take()
            && state.owed > 0
        {
            state.owed -= 1;
            place.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::store::wait;

    #[test]
    fn a_storm_halves_the_limit_once_and_success_raises_it_again() {
        let gate = Gate::new();
        let passes: Vec<Pass> = (0..START).map(|_| wait(gate.enter()).unwrap()).collect();
        gate.slow_down();
        gate.slow_down();
        assert_eq!(gate.limit(), START / 2);
        drop(passes);
        assert_eq!(gate.places.available_permits(), START / 2);
        for _ in 0..START / 2 {
            wait(gate.enter()).unwrap().leave_well();
        }
        assert_eq!(gate.limit(), START / 2 + 1);
        assert_eq!(gate.places.available_permits(), START / 2 + 1);
        for _ in 0..20 {
            gate.state.lock().lowered = None;
            gate.slow_down();
        }
        assert_eq!(gate.limit(), 1, "one request always may pass");
        wait(gate.enter()).unwrap().leave_well();
    }
}
