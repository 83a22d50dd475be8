//! What comes to the one who listens: callers, and what is said of the ways to it by the router and the own network.
//!
//! A greeting is answered at once ([`accept::admit`]). While a connection seems alive whose peer comes with a new session, that caller
//! waits until the old connection answers a ping or has not for [`PROBE_TIME`].

use super::{EventLoop, PROBE_TIME, Role};
use crate::app::accept::{self, Admission, Caller, Occupancy};
use crate::app::event::Event;
use crate::app::listening::not_announced;
use crate::app::one_shot::PASTE;
use crate::channel::{HandshakeError, HandshakeStep, HelloError};
use crate::error_text::io_error_text;
use crate::exit::Exit;
use crate::net::address::AddressError;
use crate::net::connection::DisconnectReason;
use crate::net::lan::AnnounceEvent;
use crate::net::listen::ListenEvent;
use crate::net::opening::{ConnectError, Established};
use crate::net::port_map::MapReport;
use crate::notice::{Info, Notice};
use crate::protocol::frame::{Frame, Refusal};
use crate::text::SafeText;
use std::time::Instant;

/// Why a caller was turned away that may be the peer of a session which this side has lost with its program.
const WITHOUT_CODE: &str =
    "it came without the code or invite\na peer from before this side was started has to connect again, with that";

impl EventLoop {
    /// With `--lan`, a listener announces on the own network that it waits.
    pub(super) fn announce_on_lan(&mut self) {
        let lost = self.conversation.session.is_lost();
        let Role::Listen { listening, .. } = &mut self.role else { return };
        if let Some(warning) = listening.announce_on_lan(lost) {
            self.post(warning);
        }
    }

    pub(super) fn announced(&mut self, nonce: &str, event: AnnounceEvent) {
        let current = matches!(&self.role, Role::Listen { listening, .. } if listening.is_announced_as(nonce));
        let lost = self.conversation.session.is_lost();
        match event {
            _ if !current => {}
            AnnounceEvent::Outdated => self.announce_on_lan(),
            // Where this side is while its peer is lost is news to the peer alone.
            _ if lost => {}
            AnnounceEvent::Announced => self.post(Notice::Announced { instance: nonce.to_owned() }),
            AnnounceEvent::Failed(error) => self.post(not_announced(&error)),
        }
    }

    /// `/toward`: dials the peer as well, where it dials from.
    fn dial_toward(&mut self, place: &str) -> Result<(), (&'static str, String)> {
        if self.conversation.connection.is_some() || self.recording.is_some() {
            return Err(("not-now", "/toward is for while your peer is not here".into()));
        }
        let Role::Listen { listening, .. } = &mut self.role else {
            return Err((
                "not-now",
                "this side dials: your peer types /toward, and this side needs --from PORT".into(),
            ));
        };
        let target = place.parse().map_err(|error: AddressError| ("bad-argument", format!("{place:?}: {error}")))?;
        let notice = listening.toward(target, &self.setup.config).map_err(|words| ("bad-argument", words))?;
        self.post(notice);
        Ok(())
    }

    pub(super) fn toward(&mut self, place: &str) {
        if let Err((code, text)) = self.dial_toward(place) {
            self.conversation.session.error(code, text);
        }
    }

    pub(super) fn listen_event(&mut self, event: ListenEvent) {
        if !matches!(event, ListenEvent::Failed { .. } | ListenEvent::Missed(_)) {
            self.uncalled = None;
        }
        match event {
            ListenEvent::PeerGreeted(established) => self.greeted(*established),
            // It knew what it needed and left before it said who it is: another of its addresses was faster.
            ListenEvent::Rejected(_, ConnectError::Handshake(HandshakeError::Closed(HandshakeStep::Message3))) => {}
            ListenEvent::Rejected(addr, error) => {
                let why = match error {
                    ConnectError::Hello(HelloError::WeUseACode) => WITHOUT_CODE.to_owned(),
                    error => error.to_string(),
                };
                self.warn_of_callers(&format!("a caller from {} was turned away: {why}", addr.ip()));
            }
            ListenEvent::Missed(words) => self.post(Notice::Warning(SafeText::with_hint(&words))),
            ListenEvent::Failed { error, ended: false } => {
                let error = io_error_text(&error);
                self.warn_of_callers(&format!("callers cannot be taken: {error}\nthis is tried again all the time"));
            }
            ListenEvent::Failed { error, ended: true } => {
                let words = format!("callers cannot be taken any more: {}", io_error_text(&error));
                if self.conversation.connection.is_none() && self.recording.is_none() {
                    return self.fail("listen", &words, Exit::Failure);
                }
                if let Role::Listen { keep, .. } = &mut self.role {
                    // The next session could not begin.
                    *keep = false;
                }
                self.post(Notice::Warning(words.into()));
            }
            ListenEvent::CodeExhausted if self.occupancy() == Occupancy::Free => {
                let words = "the code was tried wrongly three times and is dead\nlisten again with a new code, and tell it to the peer";
                self.fail("code-dead", words, Exit::Refused);
            }
            ListenEvent::CodeExhausted => {}
        }
    }

    /// The router has answered, or does not any more.
    pub(super) fn mapping(&mut self, report: MapReport) {
        let Role::Listen { listening, .. } = &mut self.role else { return };
        let (notice, show) = listening.mapping(report);
        notice.into_iter().for_each(|notice| self.post(notice));
        // An invite is of no use to anybody else while somebody is here.
        if show && self.occupancy() == Occupancy::Free {
            self.show_listening();
        }
    }

    /// Where callers come in, for the first time, or with other addresses.
    pub(super) fn show_listening(&mut self) {
        let Role::Listen { listening, .. } = &mut self.role else { return };
        let notice = listening.notice();
        self.post(notice);
        if self.setup.config.pasted {
            self.post(Notice::Info(Info::Text(PASTE.into())));
        }
    }

    pub(super) fn occupancy(&self) -> Occupancy {
        let taken = self.recording.is_some() || self.parted.is_some();
        let session = &self.conversation.session;
        match (taken, session.has_peer(), session.is_lost()) {
            (true, ..) => Occupancy::Taken,
            (false, false, _) => Occupancy::Free,
            (false, true, true) => Occupancy::Lost,
            (false, true, false) => Occupancy::Connected,
        }
    }

    fn admission(&self, established: &Established) -> Admission {
        let greeting = &established.greeting;
        let can_resume = self.conversation.session.can_resume(greeting.received);
        let caller = Caller {
            intent: greeting.intent,
            same_key: self.conversation.peer.as_ref().is_some_and(|peer| peer.key == established.channel.peer),
            same_session: greeting.session == self.conversation.id && can_resume,
            eligible: matches!(&self.role, Role::Listen { listening, .. } if listening.may_begin(established)),
        };
        accept::admit(caller, self.occupancy())
    }

    /// Somebody proved its key and greets. It is answered here and now, so the first one wins.
    pub(super) fn greeted(&mut self, established: Established) {
        // A program that was killed just after it was let in is back before it is recorded.
        let peer = established.channel.peer;
        if let Some(recording) =
            self.recording.as_mut().filter(|recording| recording.peer == peer && recording.has_room())
        {
            return recording.held.push_back(Event::Listen(ListenEvent::PeerGreeted(Box::new(established))));
        }
        let mut admission = self.admission(&established);
        if admission == Admission::Resume && !self.conversation.session.is_lost() {
            self.lose(DisconnectReason::Replaced);
            // The loss of the old connection may have been the end of the session.
            admission = self.admission(&established);
        }
        if self.exit.is_some() {
            return accept::hang_up(&established);
        }
        match admission {
            Admission::Refuse(refusal) => self.refuse(established, refusal),
            Admission::Probe => self.probe(established),
            Admission::Begin => {
                if matches!(&self.role, Role::Listen { listening, .. } if listening.show_at.is_some()) {
                    self.show_listening();
                }
                if let Some(established) = self.let_in(established) {
                    if let Role::Listen { listening, .. } = &mut self.role {
                        listening.open_to_peer();
                    }
                    self.record_peer(established);
                }
            }
            Admission::Resume => {
                if let Some(established) = self.let_in(established) {
                    self.resume(established);
                }
            }
        }
    }

    /// Answers with this side's greeting; none when the caller is gone.
    fn let_in(&mut self, mut established: Established) -> Option<Established> {
        let theirs = &established.greeting;
        let own = self.conversation.greeting(
            theirs.intent,
            theirs.session,
            &self.setup.config.rules,
            &self.setup.config.own_name,
        );
        if accept::answer(&mut established, &Frame::Greeting(own)) {
            return Some(established);
        }
        accept::hang_up(&established);
        None
    }

    /// Sees whether the present connection is alive, before a new one of the same peer replaces it.
    fn probe(&mut self, established: Established) {
        if let Some((earlier, _)) = self.newcomer.take() {
            self.refuse(earlier, Refusal::Busy);
        }
        if let Some(connection) = &self.conversation.connection {
            connection.probe();
        }
        self.newcomer = Some((established, Instant::now() + PROBE_TIME));
    }

    pub(super) fn refuse(&mut self, mut established: Established, refusal: Refusal) {
        let refused = accept::answer(&mut established, &Frame::Refusal(refusal));
        accept::hang_up(&established);
        let why = match refusal {
            Refusal::Busy => "one conversation at a time",
            Refusal::NoSuchSession => "it resumes a session that is not here, or not in that state",
        };
        let words = format!("a caller from {} was turned away: {why}", established.addr.ip());
        if refused
            && self.parted.is_none()
            && let Some(words) = self.rejections.log(&words)
        {
            self.post(Notice::Status(words));
        }
    }

    fn warn_of_callers(&mut self, words: &str) {
        if let Some(words) = self.rejections.log(words) {
            self.post(Notice::Warning(SafeText::with_hint(&words)));
        }
    }
}
