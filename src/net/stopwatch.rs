//! How long ago something was, the time included in which the machine slept.
//!
//! The monotonic clock stands still then, on most systems. The wall clock goes on, but may be set at any time: by it alone nothing is
//! taken for older than it is by more than a set clock can do harm.

use std::time::{Duration, Instant, SystemTime};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    begun: Instant,
    by_the_wall: SystemTime,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), by_the_wall: SystemTime::now() }
    }

    /// Since the start, asleep or not.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed() + self.slept()
    }

    /// By how much the wall clock is ahead: of that, the machine slept. A clock that was set back says nothing.
    pub(crate) fn slept(&self) -> Duration {
        self.by_the_wall.elapsed().unwrap_or_default().saturating_sub(self.begun.elapsed())
    }
}
