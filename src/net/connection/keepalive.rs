//! When a silent peer is asked for a sign of life, and when it is taken for lost.

use super::DisconnectReason;
use crate::net::send_queue::SendQueue;
use crate::net::stopwatch::Stopwatch;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After this long without a byte from the peer it is asked for a sign of life.
pub(super) const IDLE: Duration = Duration::from_secs(5);
/// After this long it is taken for lost: two pings may go unanswered.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

pub(super) struct Keepalive {
    send_queue: Arc<SendQueue>,
    heard: Instant,
    pinged: Instant,
    /// Since something came, or a sleep of the machine was noticed.
    awake: Stopwatch,
}

impl Keepalive {
    pub(super) fn new(send_queue: Arc<SendQueue>) -> Self {
        let now = Instant::now();
        Self { send_queue, heard: now, pinged: now, awake: Stopwatch::start() }
    }

    /// Something came.
    pub(super) fn heard(&mut self) -> Instant {
        self.awake = Stopwatch::start();
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
        if self.awake.slept() >= SILENCE {
            self.awake = Stopwatch::start();
            self.heard = self.heard.checked_sub(SILENCE - IDLE).unwrap_or(self.heard);
        }
    }
}
