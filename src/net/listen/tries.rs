//! The tries of a code: at most three wrong guesses, counted over all callers together (PROTOCOL.md section 3).

use crate::channel::Code;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Wrong guesses that a code survives.
const TRIES: u32 = 3;

/// The present code and its tries.
pub(super) struct Tries(Mutex<State>);

struct State {
    code: Option<Arc<Code>>,
    /// Callers may come without the code, too.
    open_too: bool,
    left: u32,
    /// Taken, and not finished.
    in_flight: u32,
}

impl State {
    fn new(code: Option<Arc<Code>>) -> Self {
        Self { code, open_too: false, left: TRIES, in_flight: 0 }
    }

    fn is_present(&self, code: &Arc<Code>) -> bool {
        self.code.as_ref().is_some_and(|present| Arc::ptr_eq(present, code))
    }
}

impl Tries {
    pub(super) fn new(code: Option<Arc<Code>>) -> Self {
        Self(Mutex::new(State::new(code)))
    }

    pub(super) fn set_code(&self, code: Option<Arc<Code>>) {
        *self.lock() = State::new(code);
    }

    pub(super) fn open_too(&self) {
        self.lock().open_too = true;
    }

    /// The code that callers need, and whether they may come without it, too.
    pub(super) fn code(&self) -> (Option<Arc<Code>>, bool) {
        let state = self.lock();
        (state.code.clone(), state.open_too)
    }

    /// Takes a try of `code`, if it is still the code and has one.
    pub(super) fn reserve(&self, code: &Arc<Code>) -> bool {
        let mut state = self.lock();
        if !state.is_present(code) || state.left == 0 {
            return false;
        }
        state.left -= 1;
        state.in_flight += 1;
        true
    }

    /// A try that was taken is over; one that was not wrong is given back. True when the code has no tries left.
    pub(super) fn finish(&self, code: &Arc<Code>, wrong: bool) -> bool {
        let mut state = self.lock();
        if !state.is_present(code) {
            return false;
        }
        state.in_flight = state.in_flight.saturating_sub(1);
        if !wrong {
            state.left = (state.left + 1).min(TRIES);
        }
        wrong && state.left == 0 && state.in_flight == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
