//! The session: what was said, what is acknowledged, what is on its way, and how it ends.
//!
//! EventLoop of all state that outlives a connection. It does no I/O and knows no clock: an event comes in by a method, time is told
//! with it ([`Session::at`]), and what has to be done comes out of [`Session::actions`] in order. So a test can play any
//! interleaving of frames, losses and returns without a socket.

mod action;
mod delivery;
mod end;
mod input;
mod protocol_error;
mod transfers;

use crate::notice::{Notice, Posted, Trust};
use crate::protocol::frame::{ByeReason, Control, RECONNECT_FOREVER};
use crate::text::{PeerText, SafeText};
use crate::transfer::download::OnClash;
use delivery::{Arrival, Incoming, Outgoing};
use std::collections::VecDeque;
use std::time::Duration;
use transfers::Transfers;

pub use action::Action;
pub(crate) use delivery::QUEUE_MOST;
pub use end::{DisconnectReason, SessionEnd};
pub use protocol_error::ProtocolError;
pub use transfers::{Moved, list_names};

/// When incoming offers are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptRule {
    /// The user is asked; declined when nobody can answer.
    Ask,
    /// All.
    Always,
    /// Those of verified peers; others are declined.
    Verified,
    /// None.
    Never,
}

/// What the command line says about a session.
#[derive(Debug, Clone)]
pub struct Rules {
    /// When offers are taken.
    pub accept: AcceptRule,
    /// What happens to names that exist.
    pub on_clash: OnClash,
    /// Remain when the input ends.
    pub stay: bool,
    /// A person sits at a terminal: a failed transfer is no failure of the program.
    pub interactive: bool,
    /// Seconds to keep a session whose connection is lost; [`RECONNECT_FOREVER`] for ever.
    pub reconnect_timeout: u32,
}

/// Who the session is with, for its words.
#[derive(Debug, Clone)]
pub struct PeerContext {
    /// The peer's label.
    pub label: PeerText,
    /// What is known of its key.
    pub trust: Trust,
    /// The peer's reconnect_timeout; the smaller counts.
    pub reconnect_timeout: u32,
}

/// How far the farewell has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shutdown {
    /// Nobody leaves.
    None,
    /// This side leaves once what was asked for is done.
    Wanted(ByeReason),
    /// The own goodbye is in the queue or on its way; over at the given time at the latest.
    Said(Duration),
}

/// How many control frames a session holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// Own ones that wait for the window.
    pub(crate) queued: usize,
    /// Own ones that wait for their acknowledgement.
    pub(crate) unacknowledged: usize,
    /// The peer's that are not handed on.
    pub(crate) pending: usize,
    /// The same in bytes.
    pub(crate) pending_bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    rules: Rules,
    now: Duration,
    with: Option<PeerContext>,
    connected: bool,
    outgoing: Outgoing,
    incoming: Incoming,
    transfers: Transfers,
    /// Input from before the first peer.
    early: VecDeque<input::PendingInput>,
    input_ended: bool,
    gate_shut: bool,
    farewell: Shutdown,
    peer_bye: Option<ByeReason>,
    /// The own goodbye was said before the peer's came.
    left_first: bool,
    /// This side asked to leave, by whatever way.
    own_wish: bool,
    /// A signal is why this side leaves.
    signalled: bool,
    /// The transfers are ended and the losses told.
    concluded: bool,
    undelivered: usize,
    hung_up: bool,
    tampered: u32,
    lost_since: Option<Duration>,
    over: bool,
    actions: Vec<Action>,
}

impl Session {
    /// A session that waits for its peer. `first_transfer` is the first local number of a transfer, so that numbers stay unique in
    /// a program that has one session after another.
    pub fn new(rules: Rules, first_transfer: u32) -> Self {
        Self {
            rules,
            now: Duration::ZERO,
            with: None,
            connected: false,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            transfers: Transfers::new(first_transfer),
            early: VecDeque::new(),
            input_ended: false,
            gate_shut: false,
            farewell: Shutdown::None,
            peer_bye: None,
            left_first: false,
            own_wish: false,
            signalled: false,
            concluded: false,
            undelivered: 0,
            hung_up: false,
            tampered: 0,
            lost_since: None,
            over: false,
            actions: Vec::new(),
        }
    }

    /// Tells the time, on any clock that only goes forward; call it before every event.
    pub fn at(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// The session after this one, in a program that goes on: its input is the same, and may have ended.
    pub fn successor(&self) -> Self {
        let mut next = Self::new(self.rules.clone(), self.transfers.next_local());
        next.at(self.now);
        if self.input_ended {
            next.early.push_back(input::PendingInput::Ended);
        }
        next
    }

    /// What has to be done since the last call.
    pub fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The highest sequence number that is held, for a greeting.
    pub fn received(&self) -> u64 {
        self.incoming.received()
    }

    /// Whether a peer is or was there.
    pub fn has_peer(&self) -> bool {
        self.with.is_some()
    }

    /// Whether the session waits for a lost connection.
    pub fn is_lost(&self) -> bool {
        self.lost_since.is_some()
    }

    /// Whether the session is over.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether transfers run, so that their progress is worth showing.
    pub fn has_transfers(&self) -> bool {
        self.transfers.any_running()
    }

    /// The first connection is there, and its opening done. `notice` tells the user.
    pub fn connected(&mut self, with: PeerContext, notice: Notice) {
        self.with = Some(with);
        self.connected = true;
        self.notice(notice);
        self.catch_up();
        self.go_on();
    }

    /// A new connection of this session is there; the peer holds all own frames up to `received`.
    ///
    /// # Errors
    /// When `received` cannot be; the caller then calls [`Session::lost`] with the fault.
    pub fn resumed(&mut self, received: u64) -> Result<(), ProtocolError> {
        self.connected = true;
        self.lost_since = None;
        let again = self.outgoing.again(received)?;
        self.notice(Notice::Reconnected { resent: again.len() });
        for (seq, control) in again {
            self.send(seq, control);
        }
        self.actions.push(Action::Ack(self.incoming.settled()));
        self.go_on();
        Ok(())
    }

    /// A control frame came in.
    ///
    /// # Errors
    /// When it breaks a rule; the caller then calls [`Session::lost`] with the fault.
    pub fn control(&mut self, seq: u64, control: Control) -> Result<(), ProtocolError> {
        if self.incoming.take(seq, &control)? == Arrival::Known {
            return Ok(());
        }
        if self.peer_bye.is_some() {
            return Err(ProtocolError::Unexpected("control"));
        }
        if self.outgoing.is_flooded() {
            return Err(ProtocolError::AnswersIgnored);
        }
        let before = self.actions.len();
        let mut handed_on = true;
        match control {
            Control::Line { action, text } => {
                let from = self.label();
                let notice = Notice::Message { id: seq, from, text: PeerText::new(text), action };
                self.actions.push(Action::Notice(Posted { notice, settles: Some(seq) }));
                handed_on = false;
            }
            Control::Offer { transfer, offer } => self.offered(transfer, offer)?,
            Control::Accept { transfer, position, digest } => self.peer_accepted(transfer, position, digest),
            Control::Decline { transfer, reason, text } => self.peer_declined(transfer, reason, &text),
            Control::Cancel { transfer, reason, text, by_offerer } => {
                self.peer_cancelled(transfer, reason, &text, by_offerer);
            }
            Control::Complete { transfer, files, failed } => self.peer_completed(transfer, files, failed)?,
            Control::Bye { reason } => self.peer_leaves(reason),
        }
        if handed_on {
            self.settle_after(seq, before);
        }
        self.go_on();
        Ok(())
    }

    /// Settles a frame whose actions begin at `before`: once the last of what the user is told of it is written, so that a face
    /// that stalls stops the peer and fills no memory; at once when there is nothing to tell.
    fn settle_after(&mut self, seq: u64, before: usize) {
        let told = self.actions.iter_mut().skip(before).rev().find_map(|action| match action {
            Action::Notice(posted) => Some(posted),
            _ => None,
        });
        if let Some(posted) = told {
            posted.settles = Some(seq);
        } else if let Some(acknowledged) = self.incoming.settle(seq, false) {
            self.actions.push(Action::Ack(acknowledged));
        }
    }

    /// The peer acknowledged all up to `seq`.
    ///
    /// # Errors
    /// When that cannot be.
    pub fn acknowledged(&mut self, seq: u64) -> Result<(), ProtocolError> {
        let settled = self.outgoing.acknowledge(seq)?;
        let line = settled.iter().rev().find(|(_, control)| matches!(control, Control::Line { .. }));
        if let Some((id, _)) = line {
            self.notice(Notice::Delivered { id: *id });
        }
        self.go_on();
        Ok(())
    }

    /// The face has written all messages up to `seq`.
    pub fn settled(&mut self, seq: u64) {
        if let Some(acknowledged) = self.incoming.settle(seq, true) {
            self.actions.push(Action::Ack(acknowledged));
        }
        self.go_on();
    }

    /// What is held for the wire, for tests of its bounds.
    pub(crate) fn held(&self) -> Held {
        let ((queued, unacknowledged), (pending, pending_bytes)) = (self.outgoing.held(), self.incoming.held());
        Held { queued, unacknowledged, pending, pending_bytes }
    }

    /// When [`Session::tick`] wants to be called, if nothing happens before.
    pub fn deadline(&self) -> Option<Duration> {
        if self.over {
            return None;
        }
        match (self.farewell, self.lost_since) {
            (Shutdown::Said(until), _) => Some(until),
            (_, Some(since)) => self.reconnect_timeout().map(|reconnect_timeout| since + reconnect_timeout),
            _ => None,
        }
    }

    /// Time passed.
    pub fn tick(&mut self) {
        if self.deadline().is_some_and(|deadline| self.now >= deadline) {
            self.out_of_time();
        }
    }

    /// Sends what may go, and sees whether a farewell is complete. Ends every event.
    fn go_on(&mut self) {
        if self.over {
            return;
        }
        self.proceed_farewell();
        while self.connected
            && let Some((seq, control)) = self.outgoing.next()
        {
            if let Control::Line { action, text } = &control {
                self.notice(Notice::Sent { id: seq, text: text.clone(), action: *action });
            }
            self.send(seq, control);
        }
        self.finish_farewell();
        let shut = self.outgoing.is_crowded() || self.early.len() >= input::EARLY;
        if shut != self.gate_shut {
            self.gate_shut = shut;
            self.actions.push(Action::PauseInput(shut));
        }
    }

    /// One control frame to the send_queue, and what follows from its being on the way.
    fn send(&mut self, seq: u64, control: Control) {
        let follows = match &control {
            Control::Offer { transfer, .. } => Some(Action::BeginUpload(*transfer)),
            Control::Accept { transfer, .. } => {
                self.opening(*transfer).map(|opening| Action::OpenWindow(*transfer, opening))
            }
            _ => None,
        };
        self.actions.push(Action::Control(seq, control));
        self.actions.extend(follows);
    }

    /// Queues a control frame, unless the own goodbye was said: nothing may follow that, and nothing needs to.
    fn tell(&mut self, control: Control) {
        if !matches!(self.farewell, Shutdown::Said(_)) {
            self.outgoing.push(control);
        }
    }

    /// A notice of the event loop's that belongs to this session.
    pub fn post(&mut self, notice: Notice) {
        self.notice(notice);
    }

    fn notice(&mut self, notice: Notice) {
        self.actions.push(Action::Notice(Posted { notice, settles: None }));
    }

    /// An error of a command; a second line of the text is a hint.
    fn error(&mut self, code: &'static str, text: impl AsRef<str>) {
        self.notice(Notice::Error { code, text: SafeText::with_hint(text.as_ref()) });
    }

    fn label(&self) -> PeerText {
        self.with.as_ref().map_or_else(|| PeerText::new("peer"), |with| with.label.clone())
    }

    /// How long a lost connection is waited for; none is for ever.
    fn reconnect_timeout(&self) -> Option<Duration> {
        let theirs = self.with.as_ref().map_or(RECONNECT_FOREVER, |with| with.reconnect_timeout);
        let seconds = self.rules.reconnect_timeout.min(theirs);
        (seconds != RECONNECT_FOREVER).then(|| Duration::from_secs(u64::from(seconds)))
    }
}

#[cfg(test)]
mod tests;
