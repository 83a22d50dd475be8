//! The session: what was said, what is acknowledged, what is on its way, and how it ends.
//!
//! It owns all state that outlives a connection. It does no I/O and knows no clock: an event comes in by a method, time comes with it
//! ([`Session::at`]), and what has to be done comes out of [`Session::actions`] in order. So a test can play any interleaving of
//! frames, losses and returns without a socket.

mod action;
mod delivery;
mod downloads;
mod end;
mod input;
mod numbers;
mod phase;
mod take_over;
mod transfer_notices;
mod transfers;
mod uploads;

#[cfg(test)]
mod tests;

pub use action::Action;
pub use end::SessionEnd;

use crate::notice::{Notice, Posted, Question, Trust};
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Control, RECONNECT_FOREVER, TransferId};
use crate::text::{PeerText, SafeText};
use clap::ValueEnum;
use delivery::{Incoming, Outbound, Outgoing};
use downloads::Download;
use input::PENDING;
use numbers::{RunNumbers, TransferNumbers};
use phase::{Link, Phase, Wish};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use uploads::Upload;

/// Notices that the frontend may have to show before input and the workers' reports of files have to wait: some screens, and with the
/// longest paths a few MiB.
const UNSHOWN: u64 = 1_024;

/// When incoming offers are taken. The command line has the words of these values, and shell completions show their descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AcceptRule {
    /// Ask; decline when nobody can answer
    Ask,
    /// Take all
    Always,
    /// Take those of verified peers
    Verified,
    /// Take none
    Never,
    /// The first one is taken, and this side leaves when it has ended. Only its arrival as a whole makes the session a success.
    #[value(skip)]
    One,
}

/// What the command line says about a session.
#[derive(Debug, Clone)]
pub struct Rules {
    pub accept: AcceptRule,
    /// Remain when the input ends.
    pub stay: bool,
    /// A person sits at a terminal: is asked before something is repeated or left; a failed transfer is no failure of the program.
    pub interactive: bool,
    /// Seconds to keep a session whose connection is lost; [`RECONNECT_FOREVER`] for ever.
    pub reconnect_timeout: u32,
    /// What `~` means in typed paths.
    pub home: Option<PathBuf>,
}

/// Who the session is with.
#[derive(Debug, Clone)]
pub struct PeerContext {
    pub label: PeerText,
    pub trust: Trust,
    /// Of the peer's greeting; the smaller of the two counts.
    pub reconnect_timeout: u32,
    /// Of the peer's greeting.
    pub next_transfer: TransferId,
    /// This side opened the first connection of the session: its offers have odd numbers.
    pub initiator: bool,
}

/// What has to wait for the peer or the frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Paused {
    input: bool,
    reports: bool,
}

#[derive(Debug)]
pub struct Session {
    rules: Rules,
    now: Duration,
    phase: Phase,
    link: Link,
    /// None until the first connection.
    peer: Option<PeerContext>,
    numbers: RunNumbers,
    transfer_numbers: TransferNumbers,
    outgoing: Outgoing,
    incoming: Incoming,
    uploads: BTreeMap<TransferId, Upload>,
    downloads: BTreeMap<TransferId, Download>,
    /// Downloads that are complete, and the peer has not acknowledged that.
    completed: BTreeMap<TransferId, Download>,
    /// Open questions. Offers bound their number.
    questions: Vec<(u64, Question)>,
    /// What a session before the restart of the peer's program left: lines that wait for the user's word, and whether the peer may have
    /// seen each; and what the peer had offered, under its old numbers.
    resend: Vec<(Outbound, bool)>,
    carried: Vec<(TransferId, Download)>,
    wish: Wish,
    input_ended: bool,
    paused: Paused,
    /// Something asked for on this side was not done whole.
    incomplete: bool,
    undelivered: usize,
    tampered: u32,
    actions: Vec<Action>,
}

impl Session {
    /// A session that waits for its first peer.
    pub fn new(rules: Rules) -> Self {
        Self {
            incomplete: rules.accept == AcceptRule::One,
            phase: Phase::NoPeer((!rules.interactive).then(Vec::new)),
            rules,
            now: Duration::ZERO,
            link: Link::None,
            peer: None,
            numbers: RunNumbers::default(),
            transfer_numbers: TransferNumbers::default(),
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            uploads: BTreeMap::new(),
            downloads: BTreeMap::new(),
            completed: BTreeMap::new(),
            questions: Vec::new(),
            resend: Vec::new(),
            carried: Vec::new(),
            wish: Wish::None,
            input_ended: false,
            paused: Paused::default(),
            undelivered: 0,
            tampered: 0,
            actions: Vec::new(),
        }
    }

    /// For the next peer of a listener that goes on. The input is the same; a line is refused until that peer is here.
    pub fn successor(&self) -> Self {
        let mut next = Self::new(self.rules.clone());
        next.numbers = self.numbers;
        next.now = self.now;
        next.phase = Phase::NoPeer(None);
        next.input_ended = self.input_ended;
        next.paused = self.paused;
        next.pause();
        next
    }

    /// Tells the time, on any clock that only goes forward; call it before every event.
    pub fn at(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// The time of the present event.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// What has to be done since the last call.
    pub fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The highest sequence number that is held, for a greeting.
    pub fn received(&self) -> u64 {
        self.incoming.received()
    }

    /// Above every number of a transfer that this program used or met, for a greeting.
    pub fn next_transfer(&self) -> TransferId {
        self.numbers.transfer.saturating_add(1)
    }

    /// Whether a peer is or was there.
    pub fn has_peer(&self) -> bool {
        self.peer.is_some()
    }

    /// Whether the session waits for a lost connection.
    pub fn is_lost(&self) -> bool {
        matches!(self.link, Link::LostSince(_))
    }

    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The first connection is there, and its opening done. `notice` tells the user. When there was a session before with this peer, whose
    /// program was restarted, the new one goes on with what it left.
    pub fn connected(&mut self, peer: PeerContext, notice: Notice) {
        let offered_before = self.has_peer().then(|| self.take_over());
        let first = self.next_transfer().max(peer.next_transfer);
        self.transfer_numbers = TransferNumbers::new(first, peer.initiator);
        self.peer = Some(peer);
        self.link = Link::Up;
        self.notice(notice);
        match offered_before {
            Some(uploads) => {
                self.notice(Notice::Reconnected { restarted: true });
                self.go_on_after_restart(uploads);
            }
            None => self.enter_pending(),
        }
        self.advance();
    }

    /// Whether the session can go on with a peer that holds all own frames up to `received`.
    pub fn can_resume(&self, received: u64) -> bool {
        self.outgoing.can_resume(received)
    }

    /// A new connection of this session is there; the peer holds all own frames up to `received`.
    ///
    /// # Errors
    /// When `received` cannot be; the caller then calls [`Session::lost`] with the error.
    pub fn resumed(&mut self, received: u64) -> Result<(), ProtocolError> {
        self.link = Link::Up;
        self.close_questions(|question| matches!(question, Question::Leave { .. }));
        let again = self.outgoing.again(received)?;
        self.expect_restarts(received);
        self.notice(Notice::Reconnected { restarted: false });
        for (seq, control) in again {
            self.send(seq, control);
        }
        self.actions.push(Action::Ack(self.incoming.handed_on()));
        self.advance();
        self.actions.push(Action::ResumeFlow);
        Ok(())
    }

    /// A control frame came in.
    ///
    /// # Errors
    /// When it breaks a rule; the caller then calls [`Session::lost`] with the error.
    pub fn control(&mut self, seq: u64, control: Control) -> Result<(), ProtocolError> {
        if self.is_over() {
            return Ok(());
        }
        if !self.incoming.take(seq, &control)? {
            return Ok(());
        }
        if let Phase::Closing(closing) = self.phase
            && closing.peer_bye
        {
            return Err(ProtocolError::Unexpected("control"));
        }
        if self.outgoing.is_flooded() {
            return Err(ProtocolError::AnswersIgnored);
        }
        let before = self.numbers.posted;
        let mut is_told = true;
        match control {
            Control::Line { action, text } => {
                self.numbers.lines_in += 1;
                let id = self.numbers.lines_in;
                self.notice(Notice::Message { id, from: self.label(), text: PeerText::new(text), action });
            }
            Control::Offer { transfer, offer } => self.offered(transfer, offer)?,
            Control::Accept { transfer, position, digest } => self.peer_accepted(transfer, position, digest)?,
            Control::Decline { transfer, reason, text } => self.peer_declined(transfer, reason, &text)?,
            Control::Cancel { transfer, reason, text } => self.peer_cancelled(transfer, reason, &text)?,
            Control::Complete { transfer, files, failed } => {
                is_told = !self.peer_completed(seq, transfer, files, failed)?
            }
            Control::Bye { reason } => self.peer_leaves(reason),
        }
        // A frame is acknowledged once all that the user hears of it is shown, so that a frontend that stalls stops the peer and fills
        // no memory, and what the peer takes for known is known.
        if is_told {
            self.incoming.hand_on_when_shown(seq, if self.numbers.posted > before { self.numbers.posted } else { 0 });
        }
        self.hand_on();
        self.advance();
        Ok(())
    }

    /// The peer acknowledged all up to `seq`.
    ///
    /// # Errors
    /// When that cannot be; the caller then calls [`Session::lost`] with the error.
    pub fn acknowledged(&mut self, seq: u64) -> Result<(), ProtocolError> {
        if self.is_over() {
            return Ok(());
        }
        for frame in self.outgoing.acknowledge(seq)? {
            if let Some(id) = frame.line {
                self.notice(Notice::Delivered { id });
            } else if let Control::Complete { transfer, .. } = frame.control {
                self.completed.remove(&transfer);
                self.actions.push(Action::DownloadAcknowledged(transfer));
            }
        }
        self.advance();
        Ok(())
    }

    /// The frontend has shown all notices up to this [`Posted::display_seq`].
    pub fn shown(&mut self, display_seq: u64) {
        self.numbers.shown = self.numbers.shown.max(display_seq);
        if self.is_over() {
            return;
        }
        self.hand_on();
        self.advance();
    }

    fn hand_on(&mut self) {
        self.actions.extend(self.incoming.shown(self.numbers.shown).map(Action::Ack));
    }

    /// Sends what may go, and sees whether leaving is complete. Ends every event.
    fn advance(&mut self) {
        if self.is_over() {
            return;
        }
        self.leave_after_one();
        self.proceed_leaving();
        while self.is_up()
            && let Some((seq, control)) = self.outgoing.next()
        {
            self.send(seq, control);
        }
        self.finish_closing();
        self.pause();
    }

    /// Lets wait what has to, and lets it come again when half of what it waited for is shown.
    fn pause(&mut self) {
        let unshown = self.numbers.posted.saturating_sub(self.numbers.shown);
        let full = |paused: bool| unshown >= if paused { UNSHOWN / 2 } else { UNSHOWN };
        let input = self.outgoing.is_crowded() || self.pending().len() >= PENDING || full(self.paused.input);
        let reports = full(self.paused.reports);
        let before = std::mem::replace(&mut self.paused, Paused { input, reports });
        if before.input != input {
            self.actions.push(Action::PauseInput(input));
        }
        if before.reports != reports {
            self.actions.push(Action::PauseReports(reports));
        }
    }

    /// One control frame to the send queue, and what follows from its being there.
    fn send(&mut self, seq: u64, control: Control) {
        let mut follows = None;
        match &control {
            Control::Offer { transfer, .. } => {
                self.transfer_numbers.own_offer(*transfer);
                follows = Some(Action::BeginUpload(*transfer));
            }
            // Before ACCEPT, which may be answered at once.
            Control::Accept { transfer, .. } => {
                let start = self.downloads.get_mut(transfer).and_then(|download| download.start.take());
                self.actions.extend(start.map(|start| Action::OpenFlow(*transfer, start)));
            }
            _ => {}
        }
        self.actions.push(Action::Control(seq, control));
        self.actions.extend(follows);
    }

    /// Queues a control frame, unless our BYE was said: nothing may follow that, and nothing needs to.
    fn queue(&mut self, control: Control) {
        if !self.is_closing() {
            self.outgoing.push(control, None);
        }
    }

    /// A notice of the event loop's that belongs to this session. Progress is left out while the frontend has much to show.
    pub fn post(&mut self, notice: Notice) {
        if !(self.paused.reports && matches!(notice, Notice::Progress { .. })) {
            self.notice(notice);
            self.pause();
        }
    }

    fn notice(&mut self, notice: Notice) {
        self.numbers.posted += 1;
        let display_seq = Some(self.numbers.posted);
        let peer = self.peer.as_ref().map(|peer| peer.label.clone());
        self.actions.push(Action::Notice(Posted { notice, peer, display_seq }));
    }

    /// Something that was asked for here is not done; a second line of the text is a hint.
    pub fn error(&mut self, code: &'static str, text: impl AsRef<str>) {
        self.incomplete = true;
        self.notice(Notice::Error { code, text: SafeText::with_hint(text.as_ref()) });
    }

    fn label(&self) -> PeerText {
        self.peer.as_ref().map_or_else(|| PeerText::new("peer"), |peer| peer.label.clone())
    }

    /// How long a lost connection is waited for; none is for ever.
    fn reconnect_timeout(&self) -> Option<Duration> {
        let theirs = self.peer.as_ref().map_or(RECONNECT_FOREVER, |peer| peer.reconnect_timeout);
        let seconds = self.rules.reconnect_timeout.min(theirs);
        (seconds != RECONNECT_FOREVER).then(|| Duration::from_secs(u64::from(seconds)))
    }
}
