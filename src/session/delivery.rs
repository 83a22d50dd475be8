//! Every control frame exactly once and in order, whatever connections come and go.
//!
//! Invariant: a frame leaves [`Outgoing`] only when the peer acknowledged it, and [`Incoming`] acknowledges nothing that was not
//! handed on. Both outlive connections and know none. The numbers are those of PROTOCOL.md section 7.

use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Control, TransferId, UNACKNOWLEDGED_BYTES, UNACKNOWLEDGED_FRAMES};
use std::collections::VecDeque;

/// Control frames that may wait for the window before input has to wait: a screen or two of typing.
const QUEUE_FRAMES: usize = 256;
/// The same in bytes: sixteen lines of full length.
const QUEUE_BYTES: usize = 1 << 20;
/// Control frames that may wait for the window at all. Input waits long before; so these are answers, and a peer with that many is
/// one that asks on and acknowledges nothing.
pub(crate) const QUEUE_MOST: usize = 4_096;

/// A frame without its number, and the id of the line in it.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    pub(super) control: Control,
    pub(super) line: Option<u64>,
}

#[derive(Debug)]
struct Unacknowledged {
    seq: u64,
    bytes: usize,
    frame: Outbound,
}

/// Own control frames: waiting for the window, then for their acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The number of the last frame that entered the window.
    last: u64,
    /// The highest acknowledged.
    acknowledged: u64,
    unacknowledged: VecDeque<Unacknowledged>,
    unacknowledged_bytes: usize,
    queue: VecDeque<Outbound>,
    queue_bytes: usize,
}

impl Outgoing {
    /// Queues a frame; [`Outgoing::next`] gives it its turn.
    pub(super) fn push(&mut self, control: Control, line: Option<u64>) {
        self.queue_bytes += control.encoded_len();
        self.queue.push_back(Outbound { control, line });
    }

    /// The next frame that may go out now, with its number. It is kept until it is acknowledged.
    pub(super) fn next(&mut self) -> Option<(u64, Control)> {
        let full =
            self.unacknowledged.len() >= UNACKNOWLEDGED_FRAMES || self.unacknowledged_bytes >= UNACKNOWLEDGED_BYTES;
        if full {
            return None;
        }
        let frame = self.queue.pop_front()?;
        let bytes = frame.control.encoded_len();
        self.queue_bytes -= bytes;
        self.unacknowledged_bytes += bytes;
        self.last += 1;
        let control = frame.control.clone();
        self.unacknowledged.push_back(Unacknowledged { seq: self.last, bytes, frame });
        Some((self.last, control))
    }

    /// The peer handed on all up to `seq`; gives back what that newly acknowledges.
    ///
    /// # Errors
    /// When the peer acknowledges what was never sent.
    pub(super) fn acknowledge(&mut self, seq: u64) -> Result<Vec<Outbound>, ProtocolError> {
        if seq > self.last {
            return Err(ProtocolError::FalseAck { acknowledged: seq, sent: self.last });
        }
        let mut acknowledged = Vec::new();
        while self.unacknowledged.front().is_some_and(|held| held.seq <= seq) {
            let Some(held) = self.unacknowledged.pop_front() else { break };
            self.unacknowledged_bytes -= held.bytes;
            acknowledged.push(held.frame);
        }
        self.acknowledged = self.acknowledged.max(seq);
        Ok(acknowledged)
    }

    /// Whether a peer can hold all up to `received` and nothing more.
    pub(super) fn can_resume(&self, received: u64) -> bool {
        (self.acknowledged..=self.last).contains(&received)
    }

    /// What has to be sent again to a peer that holds all up to `received`.
    ///
    /// # Errors
    /// When the peer claims to hold what was never sent, or to have lost what it acknowledged.
    pub(super) fn again(&self, received: u64) -> Result<Vec<(u64, Control)>, ProtocolError> {
        if !self.can_resume(received) {
            let (acknowledged, sent) = (self.acknowledged, self.last);
            return Err(ProtocolError::FalseResume { received, acknowledged, sent });
        }
        let missing = self.unacknowledged.iter().filter(|held| held.seq > received);
        Ok(missing.map(|held| (held.seq, held.frame.control.clone())).collect())
    }

    /// Transfers whose OFFER waits for the window.
    pub(super) fn queued_offers(&self) -> impl Iterator<Item = TransferId> {
        self.queue.iter().filter_map(|frame| match frame.control {
            Control::Offer { transfer, .. } => Some(transfer),
            _ => None,
        })
    }

    /// Whether nothing waits, for the window or for an acknowledgement.
    pub(super) fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.unacknowledged.is_empty()
    }

    /// Whether so much waits for the window that input should wait too.
    pub(super) fn is_crowded(&self) -> bool {
        self.queue.len() >= QUEUE_FRAMES || self.queue_bytes >= QUEUE_BYTES
    }

    /// Whether so much waits that the peer has to acknowledge some of it before it may ask for more.
    pub(super) fn is_flooded(&self) -> bool {
        self.queue.len() >= QUEUE_MOST
    }

    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// All that the peer is not known to have, oldest first, and whether it may have it.
    pub(super) fn undelivered(&self) -> impl Iterator<Item = (&Outbound, bool)> {
        self.unacknowledged.iter().map(|held| (&held.frame, true)).chain(self.queue.iter().map(|frame| (frame, false)))
    }
}

/// What a frame that came in is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next one.
    Next,
    /// Sent again, known already.
    Known,
}

/// The peer's control frames: received, and handed on.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    received: u64,
    /// Received but not yet handed on to screen, pipe or file: number, bytes, whether it is handed on.
    pending: VecDeque<(u64, usize, bool)>,
    pending_bytes: usize,
}

impl Incoming {
    /// The highest number that came in.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Takes note of a frame.
    ///
    /// # Errors
    /// When its number leaves a gap, or the peer has more unacknowledged than the wire allows.
    pub(super) fn take(&mut self, seq: u64, control: &Control) -> Result<Arrival, ProtocolError> {
        if seq <= self.received {
            return Ok(Arrival::Known);
        }
        if seq != self.received + 1 {
            return Err(ProtocolError::Gap { expected: self.received + 1, came: seq });
        }
        if self.pending.len() >= UNACKNOWLEDGED_FRAMES || self.pending_bytes >= UNACKNOWLEDGED_BYTES {
            return Err(ProtocolError::TooMuchUnacknowledged);
        }
        self.received = seq;
        let bytes = control.encoded_len();
        self.pending_bytes += bytes;
        self.pending.push_back((seq, bytes, false));
        Ok(Arrival::Next)
    }

    /// The frame `seq` is handed on. Gives the number to acknowledge when it rose.
    pub(super) fn hand_on(&mut self, seq: u64) -> Option<u64> {
        let frame = self.pending.iter_mut().find(|(number, ..)| *number == seq)?;
        frame.2 = true;
        let mut acknowledged = None;
        while let Some((number, bytes, true)) = self.pending.front().copied() {
            self.pending.pop_front();
            self.pending_bytes -= bytes;
            acknowledged = Some(number);
        }
        acknowledged
    }

    /// Whether all that came in is handed on.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// What to acknowledge on a new connection.
    pub(super) fn handed_on(&self) -> u64 {
        self.pending.front().map_or(self.received, |(seq, ..)| seq - 1)
    }
}
