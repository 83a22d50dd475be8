//! The watch over a silent peer: when it is asked for a sign of life, and when it is taken for lost.

use super::DisconnectReason;
use crate::net::send_queue::SendQueue;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// After this long without a byte from the peer it is asked for a sign of life.
pub(super) const IDLE: Duration = Duration::from_secs(5);
/// After this long it is taken for lost: two pings may go unanswered.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

pub(super) struct Keepalive {
    send_queue: Arc<SendQueue>,
    heard: Instant,
    pinged: Instant,
    /// The same by the wall clock, which goes on while the machine sleeps.
    heard_by_the_wall: SystemTime,
}

impl Keepalive {
    pub(super) fn new(send_queue: Arc<SendQueue>) -> Self {
        let now = Instant::now();
        Self { send_queue, heard: now, pinged: now, heard_by_the_wall: SystemTime::now() }
    }

    /// Something came.
    pub(super) fn heard(&mut self) -> Instant {
        self.heard_by_the_wall = SystemTime::now();
        self.heard = Instant::now();
        self.heard
    }

    /// Nothing came for a while: asks for a ping when that is due.
    ///
    /// # Errors
    /// When the peer was silent for too long.
    pub(super) fn nothing_came(&mut self) -> Result<(), DisconnectReason> {
        if self.heard.elapsed() >= SILENCE {
            return Err(DisconnectReason::Silent(SILENCE));
        }
        self.notice_sleep();
        if self.heard.elapsed().min(self.pinged.elapsed()) >= IDLE {
            self.pinged = Instant::now();
            self.send_queue.ping();
        }
        Ok(())
    }

    /// After a sleep of this machine the peer has most likely given the connection up: it gets one more ping, not three.
    fn notice_sleep(&mut self) {
        // A wall clock that was set back says nothing.
        let by_the_wall = self.heard_by_the_wall.elapsed().unwrap_or_default();
        if by_the_wall.saturating_sub(self.heard.elapsed()) >= SILENCE {
            self.heard_by_the_wall = SystemTime::now();
            self.heard = self.heard.checked_sub(SILENCE - IDLE).unwrap_or(self.heard);
        }
    }
}
