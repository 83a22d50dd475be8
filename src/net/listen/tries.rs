//! The tries of a code that can be guessed: at most three wrong ones, counted over all callers together (PROTOCOL.md section 3).

use super::AcceptedModes;
use crate::channel::Code;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Wrong guesses that a code survives.
const TRIES: u32 = 3;

/// The present modes and the tries of their code.
pub(super) struct Tries(Mutex<State>);

struct State {
    modes: AcceptedModes,
    left: u32,
    /// Taken, and not finished.
    in_flight: u32,
}

impl State {
    fn new(modes: AcceptedModes) -> Self {
        Self { modes, left: TRIES, in_flight: 0 }
    }

    fn is_present(&self, code: &Arc<Code>) -> bool {
        self.modes.code.as_ref().is_some_and(|present| Arc::ptr_eq(present, code))
    }
}

impl Tries {
    pub(super) fn new(modes: AcceptedModes) -> Self {
        Self(Mutex::new(State::new(modes)))
    }

    pub(super) fn set_modes(&self, modes: AcceptedModes) {
        *self.lock() = State::new(modes);
    }

    pub(super) fn open_too(&self) {
        self.lock().modes.open = true;
    }

    pub(super) fn modes(&self) -> AcceptedModes {
        self.lock().modes.clone()
    }

    /// Takes a try of `code`, if it is still the code and has one.
    pub(super) fn reserve(&self, code: &Arc<Code>) -> bool {
        let mut state = self.lock();
        if !code.is_guessable() {
            return state.is_present(code);
        }
        if !state.is_present(code) || state.left == 0 {
            return false;
        }
        state.left -= 1;
        state.in_flight += 1;
        true
    }

    /// A try that was taken is over; one that was not wrong is given back. Says how many are left, those included that another
    /// caller has taken; nothing of a code whose tries do not count.
    pub(super) fn finish(&self, code: &Arc<Code>, wrong: bool) -> Option<u32> {
        let mut state = self.lock();
        if !code.is_guessable() || !state.is_present(code) {
            return None;
        }
        state.in_flight = state.in_flight.saturating_sub(1);
        if !wrong {
            state.left = (state.left + 1).min(TRIES);
        }
        Some(state.left + state.in_flight)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
