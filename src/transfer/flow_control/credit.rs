//! The receiver's count of one connection's credit: what came, what is done with, and what the peer was told. The sender's, which waits for
//! credit, is in `net/send_queue/lanes.rs`.

use super::WINDOW;
use super::pace::Pace;
use crate::protocol::error::ProtocolError;
use std::time::Instant;

/// What must be granted beyond what came while nothing waits here: a full chunk and an end (PROTOCOL.md section 8).
const LEAST: u64 = 62_464;
/// CREDIT is sent when it grew by this part of what is granted: the sender never runs dry, and CREDIT stays rare.
const STEPS: u64 = 8;

#[derive(Debug)]
pub(super) struct Credit {
    came: u64,
    released: u64,
    /// The limit that was told last; 0 before the first CREDIT.
    told: u64,
    pace: Pace,
}

impl Default for Credit {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl Credit {
    /// For a connection that begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self { came: 0, released: 0, told: 0, pace: Pace::new(now) }
    }

    /// The first transfer after a pause begins.
    pub(super) fn idle(&mut self, now: Instant) {
        self.pace = Pace::new(now);
    }

    /// # Errors
    /// When the peer sent more than it was allowed.
    pub(super) fn came(&mut self, weight: u64) -> Result<(), ProtocolError> {
        self.came = self.came.saturating_add(weight);
        if self.came > self.told { Err(ProtocolError::OverCredit) } else { Ok(()) }
    }

    pub(super) fn released(&mut self, weight: u64, now: Instant) {
        self.released = self.released.saturating_add(weight).min(self.came);
        self.pace.progressed(weight, now);
    }

    /// The limit to be told, when it is news.
    pub(super) fn news(&mut self) -> Option<u64> {
        let granted = self.pace.flight().clamp(LEAST, WINDOW);
        let limit = self.released.saturating_add(granted);
        let grown = limit.saturating_sub(self.told);
        let dry = self.told.saturating_sub(self.came) < LEAST;
        if grown == 0 || !(dry || grown >= granted / STEPS) {
            return None;
        }
        self.told = limit;
        Some(limit)
    }
}
