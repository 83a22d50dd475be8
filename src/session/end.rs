//! How a session ends: farewells, losses, and what each means for the user.
//!
//! Invariant: a loss is never taken for a goodbye. A session is over once, with one [`SessionEnd`].

use super::{Action, ProtocolError, Session, Shutdown};
use crate::error_text::io_error_text;
use crate::notice::Notice;
use crate::protocol::frame::{ByeReason, Control};
use std::time::Duration;
use thiserror::Error;

/// How long a farewell may take after the own goodbye, on the wire's word (PROTOCOL.md section 9).
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);
/// How often a session survives that its records do not open; at the third it ends.
const TAMPERED_LIMIT: u32 = 3;

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum DisconnectReason {
    /// The stream ended between records, without a goodbye.
    #[error("the connection was closed without a goodbye")]
    Closed,
    /// The stream ended inside a record.
    #[error("the connection was cut in the middle of a record")]
    Truncated,
    /// Nothing was heard for too long.
    #[error("nothing was heard from the peer for {} seconds", .0.as_secs())]
    Silent(Duration),
    /// Nothing could be sent for too long.
    #[error("nothing could be sent to the peer for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// The network said no.
    #[error("the connection broke: {}", io_error_text(.0))]
    Network(std::io::Error),
    /// A record did not open: it was changed, doubled, dropped or put out of order on its way.
    #[error("a record from the peer did not open: it was changed on its way")]
    Tampered,
    /// The peer broke a rule.
    #[error("{0}")]
    ProtocolError(#[from] ProtocolError),
    /// The peer came back on another connection before this one was seen to end.
    #[error("the peer came back on another connection")]
    Replaced,
    /// The peer's program does not know this session any more.
    #[error("the peer's program was restarted, and with it the session was lost")]
    Forgotten,
}

/// How the session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// One side said goodbye. `failed`: a transfer this side asked for did not succeed.
    Polite {
        /// It was the peer.
        by_peer: bool,
        /// An own transfer failed.
        failed: bool,
    },
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
    /// The input ended and nobody asked to stay: leave when all is done, once there was somebody.
    pub(super) fn input_is_over(&mut self) {
        self.own_wish = true;
        if self.farewell == Shutdown::None {
            self.want_to_leave(ByeReason::InputEnded);
        }
    }

    /// The user asks to leave when all is done; a second time, at once.
    pub(super) fn quit(&mut self) {
        self.own_wish = true;
        let again = self.is_leaving();
        if self.with.is_none() {
            return self.end(SessionEnd::Polite { by_peer: false, failed: false });
        }
        if self.lost_since.is_some() && (again || self.rules.interactive) {
            // Nobody is there to say goodbye to, and to wait for it is what the user just declined.
            return self.end(SessionEnd::Lost);
        }
        match self.farewell {
            Shutdown::None => self.want_to_leave(ByeReason::Quit),
            Shutdown::Wanted(_) => self.leave(ByeReason::Quit),
            Shutdown::Said(_) => self.end_politely(),
        }
    }

    /// Whether this side asked to leave, so that a listener that keeps listening ends too.
    pub fn is_own_wish(&self) -> bool {
        self.own_wish
    }

    /// Whether this side is about to leave.
    pub(super) fn is_leaving(&self) -> bool {
        self.farewell != Shutdown::None
    }

    fn want_to_leave(&mut self, reason: ByeReason) {
        self.decline_open_offers();
        self.farewell = Shutdown::Wanted(reason);
        if self.connected && self.transfers.any_wanted() {
            let words = "leaving when the transfers are done; /quit again leaves at once";
            self.notice(Notice::Status(words.into()));
        } else if self.lost_since.is_some() {
            let words = "leaving when the connection is back and all is delivered; /quit again leaves at once";
            self.notice(Notice::Status(words.into()));
        }
    }

    /// A signal: goodbye at once.
    pub fn signal(&mut self) {
        self.own_wish = true;
        self.signalled = true;
        if !self.connected || matches!(self.farewell, Shutdown::Said(_)) {
            return self.end(SessionEnd::Signal);
        }
        self.leave(ByeReason::Signal);
        self.go_on();
    }

    /// The user can see nothing any more: goodbye at once, which is no failure.
    pub fn leave_now(&mut self) {
        self.own_wish = true;
        if !self.connected || matches!(self.farewell, Shutdown::Said(_)) {
            return self.end(SessionEnd::Polite { by_peer: false, failed: false });
        }
        self.leave(ByeReason::Quit);
        self.go_on();
        // What the peer still says nobody can read, so its lines are not acknowledged and its goodbye is not waited for.
        self.hang_up();
    }

    /// Says goodbye now, whatever is still on its way; partials are kept.
    fn leave(&mut self, reason: ByeReason) {
        self.stop_transfers("this side left");
        self.say_bye(reason);
    }

    fn say_bye(&mut self, reason: ByeReason) {
        if !matches!(self.farewell, Shutdown::Said(_)) {
            self.outgoing.push(Control::Bye { reason });
            self.farewell = Shutdown::Said(self.now + SHUTDOWN_TIME);
        }
    }

    pub(super) fn peer_leaves(&mut self, reason: ByeReason) {
        self.peer_bye = Some(reason);
        self.left_first = matches!(self.farewell, Shutdown::Said(_));
        self.stop_transfers("the peer left");
        self.say_bye(ByeReason::Quit);
    }

    /// Says goodbye when the user wants to leave and nothing is left to do.
    pub(super) fn proceed_farewell(&mut self) {
        if let Shutdown::Wanted(reason) = self.farewell
            && self.connected
            && self.outgoing.is_settled()
            && !self.transfers.any_wanted()
        {
            self.say_bye(reason);
        }
    }

    /// Hangs up when both goodbyes are said and acknowledged.
    pub(super) fn finish_farewell(&mut self) {
        let said = matches!(self.farewell, Shutdown::Said(_)) && self.outgoing.is_settled();
        if said && self.peer_bye.is_some() && self.incoming.is_settled() {
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        if !std::mem::replace(&mut self.hung_up, true) {
            self.actions.push(Action::Hangup);
        }
    }

    /// The connection ended, for whatever reason.
    pub fn lost(&mut self, loss: DisconnectReason) {
        if self.over || !self.connected {
            return;
        }
        self.connected = false;
        let said_all = matches!(self.farewell, Shutdown::Said(_)) && self.only_bye_is_open();
        if self.peer_bye.is_some() || said_all {
            return self.end_politely();
        }
        if let DisconnectReason::ProtocolError(fault) = &loss {
            self.notice(Notice::Error { code: "protocol", text: fault.to_string().into() });
            return self.end(SessionEnd::ProtocolError);
        }
        if matches!(loss, DisconnectReason::Tampered) {
            self.tampered += 1;
            let words = "a record did not open: the network damaged it, or someone between you and the peer changes it";
            self.notice(Notice::Warning(words.into()));
        }
        let tampered = matches!(loss, DisconnectReason::Tampered);
        let reconnect_timeout = self.reconnect_timeout();
        let over = reconnect_timeout.is_some_and(|reconnect_timeout| reconnect_timeout.is_zero());
        if matches!(self.farewell, Shutdown::Said(_)) || over || (tampered && self.tampered >= TAMPERED_LIMIT) {
            self.notice(Notice::Lost { reason: loss.to_string().into(), waiting: 0 });
            return self.end(if tampered { SessionEnd::Tampered } else { SessionEnd::Lost });
        }
        self.lost_since = Some(self.now);
        let waiting = self.outgoing.undelivered().count();
        self.notice(Notice::Lost { reason: loss.to_string().into(), waiting });
    }

    /// The lost connection will not come back (the peer's program was restarted, say).
    pub fn lost_for_good(&mut self, loss: &DisconnectReason) {
        self.notice(Notice::Lost { reason: loss.to_string().into(), waiting: 0 });
        self.end(SessionEnd::Lost);
    }

    pub(super) fn out_of_time(&mut self) {
        if !matches!(self.farewell, Shutdown::Said(_)) {
            let seconds = self.reconnect_timeout().unwrap_or_default().as_secs();
            self.error("not-regained", format!("the connection did not come back within {seconds} seconds"));
            return self.end(SessionEnd::Lost);
        }
        if self.peer_bye.is_some() || self.only_bye_is_open() {
            self.end_politely()
        } else {
            self.end(SessionEnd::Lost)
        }
    }

    fn only_bye_is_open(&self) -> bool {
        self.outgoing.undelivered().all(|control| matches!(control, Control::Bye { .. }))
    }

    fn end_politely(&mut self) {
        let by_peer = self.peer_bye.is_some() && !self.left_first;
        let reason = match self.peer_bye {
            Some(ByeReason::InputEnded) if by_peer => "its input ended",
            Some(ByeReason::Signal) if by_peer => "it was stopped by a signal",
            Some(ByeReason::Failure) if by_peer => "it failed",
            _ => "",
        };
        self.conclude(if by_peer { "the peer left" } else { "this side left" });
        self.notice(Notice::Bye { from_peer: by_peer, reason: reason.into() });
        let failed = self.transfers.failed() && !self.rules.interactive;
        self.end(SessionEnd::Polite { by_peer, failed });
    }

    /// Ends every transfer, and says what is lost with the session; once.
    fn conclude(&mut self, why: &str) {
        if !std::mem::replace(&mut self.concluded, true) {
            self.stop_transfers(why);
            self.report_undelivered();
        }
    }

    fn report_undelivered(&mut self) {
        let sent = self.outgoing.undelivered().filter(|control| matches!(control, Control::Line { .. })).count();
        self.undelivered = sent + self.early_lines();
        if self.undelivered > 0 {
            let lines = self.undelivered;
            let what = if lines == 1 { "1 line was".to_owned() } else { format!("{lines} lines were") };
            self.notice(Notice::Warning(format!("{what} not delivered").into()));
        }
    }

    /// Lines that the session ended without delivering.
    pub fn undelivered(&self) -> usize {
        self.undelivered
    }

    fn end(&mut self, ending: SessionEnd) {
        if self.over {
            return;
        }
        // A signal comes first, whatever else goes wrong after it.
        let ending = if self.signalled { SessionEnd::Signal } else { ending };
        self.conclude(match ending {
            SessionEnd::Polite { .. } | SessionEnd::Signal => "this side left",
            SessionEnd::Lost | SessionEnd::Tampered | SessionEnd::ProtocolError => "the connection was lost",
        });
        self.over = true;
        self.actions.push(Action::Drop);
        self.actions.push(Action::Over(ending));
    }
}
