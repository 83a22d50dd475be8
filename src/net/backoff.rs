//! The pauses of who dials again and again: how long they are ([`Backoff`]), and what ends them before ([`Wake`]).

use super::stopwatch::Stopwatch;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The first pause before dialling again.
const FIRST: Duration = Duration::from_millis(200);
/// The longest: a peer that is back waits at most so long.
const LONGEST: Duration = Duration::from_secs(5);
/// How often a pause checks whether the machine was asleep.
const SLEEP_CHECK: Duration = Duration::from_secs(1);

/// Pauses that double, each up to half longer or shorter at random, so that many diallers do not come at once.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        // Without randomness the pause is the plain one.
        let random = getrandom::u32().unwrap_or(1 << 31) >> 24;
        pause / 2 + pause * random / 256
    }
}

/// Lets the event loop stop a dialling thread, or end its pause.
#[derive(Debug, Default)]
pub struct Wake {
    state: Mutex<WakeState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct WakeState {
    stopped: bool,
    try_now: bool,
}

impl Wake {
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    pub fn now(&self) {
        self.lock().try_now = true;
        self.changed.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits for `pause`, or less when woken. Time in which the machine slept counts.
    pub(super) fn pause(&self, pause: Duration) {
        let begun = Stopwatch::start();
        let mut state = self.lock();
        while !state.stopped && !state.try_now && begun.elapsed() < pause {
            let left = pause.saturating_sub(begun.elapsed()).min(SLEEP_CHECK);
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.try_now = false;
    }

    fn lock(&self) -> MutexGuard<'_, WakeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
