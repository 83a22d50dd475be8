//! The phases of a session, and how either side leaves it.
//!
//! 1. [`Phase::NoPeer`]: nobody was here yet.
//! 2. [`Phase::Talking`]: from the first connection on, also while it is lost.
//! 3. [`Phase::Leaving`]: `/quit` or the end of input; goes on when all is done that was asked for. `/stay` leads back.
//! 4. [`Phase::Closing`]: our BYE is queued. Both BYEs acknowledged: the connection is shut down, and its end leads to
//! 5. [`Phase::Over`].
//!
//! A signal, the peer's BYE or a second `/quit` skip 3. Only this side's own wishes count as its first and second one: a BYE of the
//! peer that comes in between does not.

use super::downloads::InState;
use super::transfer_notices::first_name;
use super::{AcceptRule, Action, Session, SessionEnd};
use crate::command::Entry;
use crate::notice::{Notice, Question, Side};
use crate::protocol::frame::{ByeReason, Control, Reason};
use std::time::Duration;

/// How long closing may take after the own BYE (PROTOCOL.md section 9).
const CLOSING_TIME: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum Phase {
    /// What a script typed waits for the first peer. Between two peers, and of a person, (none) nothing waits for somebody unknown.
    NoPeer(Option<Vec<Entry>>),
    Talking,
    Leaving(ByeReason),
    Closing(Closing),
    Over,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    /// Over at this time at the latest.
    pub(super) until: Duration,
    /// Who said BYE first, and why.
    pub(super) first: Side,
    pub(super) reason: ByeReason,
    pub(super) peer_bye: bool,
    hung_up: bool,
}

/// The connection of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// None yet, or none any more.
    None,
    Up,
    LostSince(Duration),
}

/// How this side asked to leave; the strongest wish counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    None,
    InputEnded,
    Quit,
    Signal,
}

impl Session {
    /// Whether this side asked to leave, so that a listener that keeps listening ends too.
    pub fn is_own_wish(&self) -> bool {
        self.wish != Wish::None
    }

    /// Whether nobody types any more who could decide something.
    pub fn is_done_with_input(&self) -> bool {
        self.is_own_wish() || self.input_ended
    }

    /// Whether no new transfer begins any more.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving(_) | Phase::Closing(_) | Phase::Over)
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_) | Phase::Over)
    }

    pub(super) fn is_up(&self) -> bool {
        self.link == Link::Up
    }

    fn wishes(&mut self, wish: Wish) {
        self.wish = self.wish.max(wish);
    }

    /// The input ended and nobody asked to stay.
    pub(super) fn leave_after_input(&mut self) {
        self.wishes(Wish::InputEnded);
        match self.phase {
            Phase::NoPeer(_) => self.end(SessionEnd::Polite { by_peer: false }),
            Phase::Talking => self.leave_when_done(ByeReason::InputEnded),
            Phase::Leaving(_) | Phase::Closing(_) | Phase::Over => {}
        }
    }

    /// `/quit`: leave when all is done; a second time, at once.
    pub(super) fn quit(&mut self) {
        let asked = self.question(|question| matches!(question, Question::Leave { .. })).is_some();
        if self.rules.interactive && matches!(self.phase, Phase::Talking) && !asked {
            let lost = (!self.is_up()).then(|| self.unsent_lines().len());
            let offers: Vec<_> =
                self.asking().map(|(transfer, download)| (transfer, first_name(&download.list))).collect();
            let transfers = self.wanted_transfers();
            if !transfers.is_empty() || !offers.is_empty() || lost.is_some_and(|lines| lines > 0) {
                return self.ask(Question::Leave { transfers, offers, lost });
            }
        }
        self.confirm_quit(asked);
    }

    /// Nothing has to be asked, or the answer to [`Question::Leave`] is yes, or another `/quit` (`insists`).
    pub(super) fn confirm_quit(&mut self, insists: bool) {
        let again = self.wish >= Wish::Quit;
        self.wishes(Wish::Quit);
        match self.phase {
            Phase::NoPeer(_) => self.end(SessionEnd::Polite { by_peer: false }),
            // Nobody is there to say BYE to, and to wait for it is what the user declines.
            Phase::Talking | Phase::Leaving(_) if !self.is_up() && (again || self.rules.interactive) => {
                self.end(SessionEnd::Lost);
            }
            Phase::Talking if !insists => self.leave_when_done(ByeReason::Quit),
            Phase::Talking | Phase::Leaving(_) => self.leave(ByeReason::Quit),
            Phase::Closing(_) if again => self.end_closing(),
            Phase::Closing(_) | Phase::Over => {}
        }
    }

    /// `/stay`: takes `/quit` back.
    pub(super) fn stay(&mut self) {
        let asked = self.question(|question| matches!(question, Question::Leave { .. }));
        match (&self.phase, asked) {
            (Phase::Leaving(_), _) => {
                self.phase = Phase::Talking;
                self.wish = Wish::None;
                self.notice(Notice::Staying);
            }
            (Phase::Talking, Some(id)) => {
                self.close_question(id);
                self.notice(Notice::Staying);
            }
            (Phase::Closing(_) | Phase::Over, _) => {
                self.error("leaving", "the goodbye is said already");
            }
            _ => self.error("not-leaving", "nobody is leaving"),
        }
    }

    /// [`AcceptRule::One`]: that one has ended.
    pub(super) fn leave_after_one(&mut self) {
        if self.rules.accept == AcceptRule::One
            && matches!(self.phase, Phase::Talking)
            && self.transfer_numbers.has_peer_offered()
            && self.downloads.values().all(|download| download.state == InState::Ending)
        {
            self.wishes(Wish::Quit);
            self.phase = Phase::Leaving(ByeReason::Quit);
        }
    }

    fn leave_when_done(&mut self, reason: ByeReason) {
        self.decline_all(Reason::Leaving, "");
        self.close_questions(|question| matches!(question, Question::Leave { .. }));
        self.phase = Phase::Leaving(reason);
        let (transfers, lost) = (self.wanted_transfers().len(), !self.is_up());
        // A script that waits for its transfers needs no word for that.
        if lost || (transfers > 0 && (self.rules.interactive || reason == ByeReason::Quit)) {
            let lines = self.outgoing.undelivered().filter(|(frame, _)| frame.line.is_some()).count();
            self.notice(Notice::Leaving { transfers, lines, lost });
        }
    }

    /// Says BYE now, whatever is still on its way; what came of downloads stays.
    fn leave(&mut self, reason: ByeReason) {
        self.stop_transfers("this side left");
        self.say_bye(Side::Own, reason, reason);
    }

    /// `reason` of our BYE, `why` of the first one.
    fn say_bye(&mut self, first: Side, reason: ByeReason, why: ByeReason) {
        self.close_questions(|_| true);
        self.outgoing.push(Control::Bye { reason }, None);
        let until = self.now + CLOSING_TIME;
        self.phase =
            Phase::Closing(Closing { until, first, reason: why, peer_bye: first == Side::Peer, hung_up: false });
    }

    pub(super) fn peer_leaves(&mut self, reason: ByeReason) {
        if let Phase::Closing(closing) = &mut self.phase {
            closing.peer_bye = true;
            return;
        }
        self.stop_transfers(&format!("{} left", self.label().safe()));
        self.say_bye(Side::Peer, ByeReason::Quit, reason);
    }

    /// A signal: BYE at once; a second wish to leave ends it without waiting for the peer.
    pub fn signal(&mut self) {
        let again = self.wish >= Wish::Quit;
        self.wishes(Wish::Signal);
        match self.phase {
            Phase::Closing(_) if !again && self.is_up() => {}
            Phase::Talking | Phase::Leaving(_) if self.is_up() => {
                self.leave(ByeReason::Signal);
                self.advance();
            }
            _ => self.end(SessionEnd::Signal),
        }
    }

    /// The frontend is gone: BYE at once, which is no failure.
    pub fn leave_now(&mut self) {
        self.wishes(Wish::Quit);
        if !self.is_up() || self.is_closing() {
            return self.end(SessionEnd::Polite { by_peer: false });
        }
        self.leave(ByeReason::Quit);
        self.advance();
        // What the peer still says nobody can read, so its lines are not acknowledged and its BYE is not waited for.
        self.hang_up();
    }

    /// Says BYE when this side wants to leave and nothing is left to do.
    pub(super) fn proceed_leaving(&mut self) {
        if let Phase::Leaving(reason) = self.phase
            && self.is_up()
            && self.outgoing.is_settled()
            && self.wanted_transfers().is_empty()
        {
            self.say_bye(Side::Own, reason, reason);
        }
    }

    /// Hangs up when both BYEs are said and acknowledged.
    pub(super) fn finish_closing(&mut self) {
        if let Phase::Closing(closing) = self.phase
            && closing.peer_bye
            && self.outgoing.is_settled()
            && self.incoming.is_settled()
        {
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        if let Phase::Closing(closing) = &mut self.phase
            && !std::mem::replace(&mut closing.hung_up, true)
        {
            self.actions.push(Action::Hangup);
        }
    }
}
