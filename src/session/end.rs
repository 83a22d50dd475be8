//! Losses, and the end of a session: what each means for the user and for the exit code.
//!
//! Invariant: a loss is never taken for a BYE. A session is over once, with one [`SessionEnd`].

use super::phase::{Link, Phase, Wish};
use super::{AcceptRule, Action, Session};
use crate::command::Entry;
use crate::net::connection::DisconnectReason;
use crate::notice::{Notice, Question, Side};
use crate::protocol::frame::Control;
use std::time::Duration;

/// How often a session survives that its records do not open; at the third it ends.
const TAMPERED_LIMIT: u32 = 3;

/// How the session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// One side said BYE.
    Polite { by_peer: bool },
    /// A signal ended it.
    Signal,
    /// The connection was lost and is not regained.
    Lost,
    /// Records were changed on their way.
    Tampered,
    /// The peer broke the protocol.
    ProtocolError,
}

impl Session {
    /// The connection ended, for whatever reason.
    pub fn lost(&mut self, reason: DisconnectReason) {
        if self.is_over() {
            return;
        }
        // Also when the connection that brought it is gone: a worker may see it late.
        if let DisconnectReason::ProtocolError(error) = &reason {
            self.link = Link::LostSince(self.now);
            self.ending_error("protocol", &error.to_string());
            return self.end(SessionEnd::ProtocolError);
        }
        if !self.is_up() {
            return;
        }
        self.link = Link::LostSince(self.now);
        if let Phase::Closing(closing) = self.phase
            && (closing.peer_bye || self.only_bye_is_open())
        {
            return self.end_closing();
        }
        let tampered = matches!(reason, DisconnectReason::Tampered);
        if tampered {
            self.tampered += 1;
            let text = "what came in was changed on its way: the network damaged it, or somebody between you and the peer changes it";
            self.notice(Notice::Warning(text.into()));
        }
        let over = self.reconnect_timeout().is_some_and(|timeout| timeout.is_zero())
            || self.is_closing()
            || (tampered && self.tampered >= TAMPERED_LIMIT);
        if over {
            self.notice(Notice::Lost { reason: reason.to_string().into(), lines: 0, transfers: 0 });
            return self.end(if tampered { SessionEnd::Tampered } else { SessionEnd::Lost });
        }
        let lines = self.unsent_lines().len();
        let transfers = self.wanted_transfers().len();
        self.close_questions(|question| matches!(question, Question::Leave { .. }));
        self.notice(Notice::Lost { reason: reason.to_string().into(), lines, transfers });
    }

    /// Why the session ends; nothing of what was asked for here.
    fn ending_error(&mut self, code: &'static str, text: &str) {
        self.notice(Notice::Error { code, text: text.into() });
    }

    /// The lost connection will not come back.
    pub fn give_up(&mut self) {
        self.end(SessionEnd::Lost);
    }

    /// When [`Session::tick`] wants to be called, if nothing happens before.
    pub fn deadline(&self) -> Option<Duration> {
        match (&self.phase, self.link) {
            (Phase::Over, _) => None,
            (Phase::Closing(closing), _) => Some(closing.until),
            (_, Link::LostSince(since)) => self.reconnect_timeout().map(|timeout| since.saturating_add(timeout)),
            _ => None,
        }
    }

    /// Time passed.
    pub fn tick(&mut self) {
        if self.deadline().is_none_or(|deadline| self.now < deadline) {
            return;
        }
        if self.is_closing() {
            return self.end_closing();
        }
        let seconds = self.reconnect_timeout().unwrap_or_default().as_secs();
        self.ending_error("not-regained", &format!("the connection did not come back within {seconds} seconds"));
        self.end(SessionEnd::Lost);
    }

    /// Closing takes no longer, whatever is not acknowledged.
    pub(super) fn end_closing(&mut self) {
        let Phase::Closing(closing) = self.phase else { return };
        if closing.peer_bye || self.only_bye_is_open() {
            self.end(SessionEnd::Polite { by_peer: closing.first == Side::Peer });
        } else {
            self.end(SessionEnd::Lost);
        }
    }

    fn only_bye_is_open(&self) -> bool {
        self.outgoing.undelivered().all(|(frame, _)| matches!(frame.control, Control::Bye { .. }))
    }

    /// Ids of the lines that the peer is not known to have.
    pub(super) fn unsent_lines(&self) -> Vec<u64> {
        let resend = self.resend.iter().map(|(frame, _)| frame);
        resend.chain(self.outgoing.undelivered().map(|(frame, _)| frame)).filter_map(|frame| frame.line).collect()
    }

    fn report_undelivered(&mut self) {
        let ids = self.unsent_lines();
        // And those that never met a peer.
        let unmet = self.pending().iter().filter(|entry| matches!(entry, Entry::Say { .. })).count();
        self.undelivered = ids.len() + unmet;
        if self.undelivered > 0 {
            self.notice(Notice::Undelivered { ids, lines: self.undelivered });
        }
    }

    /// Whether something that was asked for on this side was not done whole. (A person at a terminal has seen what failed; lines that
    /// did not arrive count for all.)
    pub fn is_incomplete(&self) -> bool {
        self.undelivered > 0 || (self.incomplete && !self.rules.interactive)
    }

    /// Of the one transfer that was to come, when the peer left before: no other words tell why this side ends.
    fn say_none_offered(&mut self, end: &SessionEnd, why: &str) {
        let waits = self.rules.accept == AcceptRule::One && self.carried.is_empty() && self.completed.is_empty();
        if waits && !self.transfer_numbers.has_peer_offered() && matches!(end, SessionEnd::Polite { by_peer: true }) {
            self.ending_error("nothing-offered", &format!("{why} and offered nothing"));
        }
    }

    /// Ends every transfer, says what is lost with the session, and is over.
    pub(super) fn end(&mut self, end: SessionEnd) {
        if self.is_over() {
            return;
        }
        let polite = matches!(end, SessionEnd::Polite { .. });
        let why = match &end {
            SessionEnd::Polite { by_peer: true } => format!("{} left", self.label().safe()),
            SessionEnd::Polite { .. } | SessionEnd::Signal => "this side left".to_owned(),
            SessionEnd::ProtocolError => "the peer broke the protocol".to_owned(),
            SessionEnd::Lost | SessionEnd::Tampered => "the connection was lost".to_owned(),
        };
        self.say_none_offered(&end, &why);
        self.stop_transfers(&why);
        self.end_carried(&why);
        if polite {
            // Nothing will say that they were acknowledged, and the peer left knowing of their end or of its own.
            self.actions.extend(std::mem::take(&mut self.completed).into_keys().map(Action::DownloadAcknowledged));
        }
        self.close_questions(|_| true);
        self.report_undelivered();
        if let (true, Phase::Closing(closing)) = (polite, &self.phase) {
            let (from, reason) = (closing.first, closing.reason);
            self.notice(Notice::Bye { from, reason });
        }
        // A signal comes first, whatever else goes wrong after it.
        let end = if self.wish == Wish::Signal { SessionEnd::Signal } else { end };
        self.link = Link::None;
        self.phase = Phase::Over;
        self.actions.push(Action::Over(end));
    }
}
