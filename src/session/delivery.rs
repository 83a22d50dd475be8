//! Every control frame exactly once and in order, whatever connections come and go.
//!
//! Invariant: a frame leaves [`Outgoing`] only when the peer acknowledged it, and [`Incoming`] acknowledges nothing that was not
//! handed on. Both outlive connections and know none. The numbers are those of PROTOCOL.md section 7.

use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Control, UNACKNOWLEDGED_BYTES, UNACKNOWLEDGED_FRAMES};
use std::collections::VecDeque;

/// Control frames that may wait for the window before input has to wait: a screen or two of typing.
const QUEUE_FRAMES: usize = 256;
/// The same in bytes: sixteen lines of full length.
const QUEUE_BYTES: usize = 1 << 20;
/// Control frames that may wait for the window at all. Input waits long before; so these are answers, and a peer with that many is
/// one that asks on and acknowledges nothing.
pub(crate) const QUEUE_MOST: usize = 4_096;

/// An own frame without its number.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    pub(super) control: Control,
    /// The id of the line in it.
    pub(super) line: Option<u64>,
    bytes: usize,
}

/// Own control frames: waiting for the window, then for their acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The number of the last frame that entered the window.
    last: u64,
    /// The highest acknowledged; those in between are in the window.
    acknowledged: u64,
    unacknowledged: VecDeque<Outbound>,
    unacknowledged_bytes: usize,
    queue: VecDeque<Outbound>,
    queue_bytes: usize,
}

impl Outgoing {
    /// Queues a frame, which [`Outgoing::next`] takes.
    pub(super) fn push(&mut self, control: Control, line: Option<u64>) {
        let bytes = control.encoded_len();
        self.queue_bytes += bytes;
        self.queue.push_back(Outbound { control, line, bytes });
    }

    /// The next frame that may go out now, with its number. It is kept until it is acknowledged.
    pub(super) fn next(&mut self) -> Option<(u64, Control)> {
        if self.unacknowledged.len() >= UNACKNOWLEDGED_FRAMES || self.unacknowledged_bytes >= UNACKNOWLEDGED_BYTES {
            return None;
        }
        let frame = self.queue.pop_front()?;
        self.queue_bytes -= frame.bytes;
        self.unacknowledged_bytes += frame.bytes;
        self.last += 1;
        let control = frame.control.clone();
        self.unacknowledged.push_back(frame);
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
        let count = usize::try_from(seq.saturating_sub(self.acknowledged)).unwrap_or(usize::MAX);
        let acknowledged: Vec<_> = self.unacknowledged.drain(..count.min(self.unacknowledged.len())).collect();
        self.unacknowledged_bytes -= acknowledged.iter().map(|frame| frame.bytes).sum::<usize>();
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
        let sent = self.after(received).take_while(|(seq, _)| *seq <= self.last);
        Ok(sent.map(|(seq, control)| (seq, control.clone())).collect())
    }

    /// All that follows `received`, with the number that it has or will have.
    pub(super) fn after(&self, received: u64) -> impl Iterator<Item = (u64, &Control)> {
        let frames = self.unacknowledged.iter().chain(&self.queue).map(|frame| &frame.control);
        (self.acknowledged + 1..).zip(frames).filter(move |(seq, _)| *seq > received)
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
        self.unacknowledged.iter().map(|frame| (frame, true)).chain(self.queue.iter().map(|frame| (frame, false)))
    }
}

/// The peer's control frames: received, and handed on.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    received: u64,
    /// Received but not yet handed on to screen, pipe or file: the notice that has to be shown before, and bytes.
    pending: VecDeque<(u64, usize)>,
    pending_bytes: usize,
}

impl Incoming {
    /// The highest number that came in.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Takes note of a frame; false when it is known already, and was sent again.
    ///
    /// # Errors
    /// When its number leaves a gap, or the peer has more unacknowledged than the wire allows.
    pub(super) fn take(&mut self, seq: u64, control: &Control) -> Result<bool, ProtocolError> {
        if seq <= self.received {
            return Ok(false);
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
        self.pending.push_back((u64::MAX, bytes));
        Ok(true)
    }

    /// The frame `seq` is handed on, after those before it, once this notice is shown.
    pub(super) fn hand_on_when_shown(&mut self, seq: u64, notice: u64) {
        let place = seq.checked_sub(self.handed_on() + 1).and_then(|place| usize::try_from(place).ok());
        if let Some((awaited, _)) = place.and_then(|place| self.pending.get_mut(place)) {
            *awaited = notice;
        }
    }

    /// All notices up to this one are shown. Gives the number to acknowledge when it rose.
    pub(super) fn shown(&mut self, shown: u64) -> Option<u64> {
        let before = self.pending.len();
        while let Some((notice, bytes)) = self.pending.front().copied()
            && notice <= shown
        {
            self.pending.pop_front();
            self.pending_bytes -= bytes;
        }
        (self.pending.len() < before).then(|| self.handed_on())
    }

    /// Whether all that came in is handed on.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// What to acknowledge on a new connection.
    pub(super) fn handed_on(&self) -> u64 {
        self.received.saturating_sub(u64::try_from(self.pending.len()).unwrap_or(u64::MAX))
    }
}
