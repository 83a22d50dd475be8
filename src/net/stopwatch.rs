//! How long ago something was, the time included in which the machine slept.
//!
//! The monotonic clock stands still then, on most systems. The wall clock goes on, but may be set at any time: one that is set forward
//! looks like a sleep. So what is done after a sleep must do no harm without one.

use std::time::{Duration, Instant, SystemTime};

#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch {
    begun: Instant,
    wall: SystemTime,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { begun: Instant::now(), wall: SystemTime::now() }
    }

    /// Since the start, asleep or not.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed() + self.slept()
    }

    /// By how much the wall clock is ahead: of that, the machine slept. A clock that was set back says nothing.
    pub(super) fn slept(&self) -> Duration {
        self.wall.elapsed().unwrap_or_default().saturating_sub(self.begun.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Stopwatch {
        /// Of a machine that slept for so long since.
        pub(in crate::net) fn with_sleep(slept: Duration) -> Self {
            Self { begun: Instant::now(), wall: SystemTime::now() - slept }
        }
    }

    #[test]
    fn sleep_counts_and_a_clock_that_was_set_back_does_not() {
        let hour = Duration::from_secs(3_600);
        let watch = Stopwatch::with_sleep(hour);
        assert!(watch.slept() >= hour - Duration::from_secs(60) && watch.elapsed() >= watch.slept());
        let set_back = Stopwatch { wall: SystemTime::now() + hour, ..watch };
        assert_eq!(set_back.slept(), Duration::ZERO);
        assert!(set_back.elapsed() < hour);
    }
}
