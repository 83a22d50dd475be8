//! Openings: how a conversation begins, is resumed, or is taken over by a new session of the same peer.
//!
//! - The dialler dials on a thread: for a new session, for the one that was lost, and, when the peer forgot that, for a new one.
//! - The listener answers each greeting at once ([`accept::admit`]). While a connection seems alive whose peer comes with a new
//!   session, that caller waits until the old connection answers a ping or has not for [`PROBE_TIME`].
//! - Whoever begins is recorded among the known peers first, on a thread, since that file may be locked.

use super::{EventLoop, HELD, PROBE_TIME, Role};
use crate::app::accept::{self, Admission, Caller, Occupancy};
use crate::app::conversation::Workers;
use crate::app::event::Event;
use crate::app::listening::not_announced;
use crate::app::one_shot::PASTE;
use crate::app::peer_policy::{PeerInfo, PeerPolicy};
use crate::app::redial::Dialling;
use crate::app::whom::Whom;
use crate::channel::{HandshakeError, HandshakeStep, HelloError};
use crate::error_text::io_error_text;
use crate::exit::Exit;
use crate::keys::PublicKey;
use crate::net::address::AddressError;
use crate::net::connection::DisconnectReason;
use crate::net::dial::{DialError, Dialler};
use crate::net::lan::AnnounceEvent;
use crate::net::listen::ListenEvent;
use crate::net::opening::{ConnectError, Established};
use crate::net::port_map::MapReport;
use crate::notice::{Info, Notice};
use crate::protocol::frame::{Frame, Intent, Refusal};
use crate::text::SafeText;
use crate::transfer::download::{Downloads, Settings};
use crate::transfer::upload::Uploads;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use zeroize::Zeroizing;

/// Why a caller was turned away that may be the peer of a session which this side has lost with its program.
const WITHOUT_CODE: &str =
    "it came without the code or invite\na peer from before this side was started has to connect again, with that";

impl EventLoop {
    /// Somebody new is here, and greeted: records that on a thread, since the file may be locked.
    pub(super) fn record_peer(&mut self, established: Established) {
        self.recording = Some(established.channel.peer);
        let (number, events, policy) =
            (self.conversation.number, self.setup.events.clone(), self.setup.peer_policy.clone());
        let uninvited = matches!(&self.role, Role::Listen { listening, .. } if listening.is_uninvited(&established));
        let (own_name, own_key) = (self.setup.config.own_name.clone(), self.setup.config.identity.public());
        let recorded = thread::Builder::new().name("record".into()).spawn(move || {
            let (peer, warnings) = policy.record(&established, uninvited, (&own_name, &own_key));
            let _ = events.send(Event::Recorded(number, Box::new((established, peer, warnings))));
        });
        if let Err(error) = recorded {
            self.cannot_begin(&error);
        }
    }

    /// A new session has its first connection.
    pub(super) fn begin(&mut self, (established, peer, warnings): (Established, PeerInfo, Vec<SafeText>)) {
        self.end_recording();
        let greeting = established.greeting.clone();
        let notice = peer.connected(&self.setup.config.own_name);
        if self.conversation.workers.is_none() {
            match self.start_workers(peer.key, &greeting.name) {
                Ok(workers) => self.conversation.workers = Some(workers),
                Err(error) => return self.cannot_begin(&error),
            }
        }
        if let Err(error) = self.start_connection(established) {
            return self.cannot_begin(&error);
        }
        self.conversation.begin(peer, &greeting, matches!(self.role, Role::Dial(_)), notice);
        self.announce_addresses();
        for warning in warnings {
            self.post(Notice::Warning(warning));
        }
    }

    fn start_workers(&self, peer: PublicKey, peer_name: &str) -> io::Result<Workers> {
        let settings = Settings {
            dir: self.setup.config.dir.clone(),
            target: self.setup.config.target,
            on_clash: self.setup.config.on_clash,
            data_dir: self.setup.config.data_dir.clone(),
            fsync: self.setup.config.fsync,
            own_private: Zeroizing::new(*self.setup.config.identity.private()),
            peer,
            peer_name: peer_name.to_owned(),
        };
        let number = self.conversation.number;
        let (uploads, downloads) = (self.setup.events.clone(), self.setup.events.clone());
        let uploaded = move |transfer, report| drop(uploads.send(Event::Upload(number, transfer, report)));
        let downloaded = move |transfer, report| drop(downloads.send(Event::Download(number, transfer, report)));
        Ok(Workers {
            uploads: Uploads::start(settings.data_dir.clone(), Arc::new(uploaded))?,
            downloads: Downloads::start(settings, Arc::clone(&self.conversation.flow), Arc::new(downloaded))?,
        })
    }

    /// This machine does not give what a conversation needs.
    fn cannot_begin(&mut self, error: &io::Error) {
        self.end_recording();
        let words = format!("cannot use the connection: {}", io_error_text(error));
        match &self.role {
            Role::Dial(_) => self.fail("system", &words, Exit::Failure),
            // One caller more or less does not end a listener.
            Role::Listen { listening, .. } => {
                listening.rearm();
                self.announce_on_lan();
                self.post(Notice::Warning(words.into()));
            }
        }
    }

    /// The session has a connection again.
    pub(super) fn resume(&mut self, established: Established) {
        let (received, addr) = (established.greeting.received, established.addr);
        if matches!(self.role, Role::Dial(_)) {
            self.post(Notice::Status(format!("the connection leads to {addr} now")));
        }
        if let Err(error) = self.start_connection(established) {
            return self.lose(DisconnectReason::Network(error));
        }
        if let Role::Listen { listening, .. } = &mut self.role {
            listening.withdraw();
        }
        match self.conversation.resume(received, addr) {
            Ok(()) => self.announce_addresses(),
            Err(fault) => self.lose(DisconnectReason::ProtocolError(fault)),
        }
    }

    /// Tells the peer where else this side listens. A peer that came to loopback, as by a hidden service or a tunnel, is told nothing:
    /// what it came through may hide this side.
    pub(super) fn announce_addresses(&mut self) {
        if let (Role::Listen { listening, .. }, Some(_)) = (&self.role, &self.own_end) {
            self.conversation.announce(self.begun.elapsed(), || listening.addrs());
        }
    }

    // The dialler.

    /// Dials, when this side is the one that does: for a new session, or for the one that was lost.
    pub(super) fn dial(&mut self, intent: Intent) {
        let Role::Dial(dialling) = &self.role else { return };
        let peer = self.conversation.peer.as_ref().map(|peer| peer.key);
        let whom = dialling.dialler.whom.clone();
        let mut id = self.conversation.id;
        if intent == Intent::New
            && let Err(error) = getrandom::fill(&mut id)
        {
            return self.fail("system", &format!("the system gives no randomness: {error}"), Exit::Failure);
        }
        if peer.is_none() {
            self.post(Notice::Status(format!("connecting to {whom}")));
            self.carry_out_actions();
        }
        let greeting = self.conversation.greeting(intent, id, &self.setup.config.rules, &self.setup.config.own_name);
        let Role::Dial(dialling) = &mut self.role else { return };
        let (told, events) = (self.conversation.peer_addrs(), self.setup.events.clone());
        if let Err(error) = dialling.start(greeting, peer, told, events) {
            self.fail("system", &format!("cannot start a thread: {}", io_error_text(&error)), Exit::Failure);
        }
    }

    /// `/redial`: goes on dialling for the lost session, elsewhere.
    pub(super) fn redial(&mut self, place: &str) {
        if let Err((code, text)) = self.move_dialling(place) {
            return self.conversation.session.error(code, text);
        }
        self.dial(Intent::Resume);
    }

    fn move_dialling(&mut self, place: &str) -> Result<(), (&'static str, String)> {
        let lost = self.conversation.session.is_lost();
        let (Some(peer), true) = (&self.conversation.peer, lost) else {
            return Err(("not-now", "/redial is for when the connection is lost".into()));
        };
        let Role::Dial(dialling) = &mut self.role else {
            return Err(("not-now", "this side listens: your peer is the one to dial, by /redial if you moved".into()));
        };
        let whom = Whom::moved(place, &peer.key).map_err(|error| ("bad-argument", error.to_string()))?;
        dialling.dialler.proxies.check(&whom.candidates).map_err(|words| ("bad-argument", words))?;
        dialling.move_to(whom);
        let places: Vec<String> = dialling.dialler.candidates.iter().map(ToString::to_string).collect();
        self.post(Notice::Info(Info::Text(format!("dialling {}", places.join(", ")).into())));
        Ok(())
    }

    /// Nobody has called yet, and the user knows now where the peer is.
    pub(super) fn dial_instead(&mut self, (dialler, policy): (Dialler, PeerPolicy)) {
        if self.occupancy() != Occupancy::Free {
            return;
        }
        let dialling = Dialling::new(dialler, false, false);
        if let Role::Listen { listening, .. } = std::mem::replace(&mut self.role, Role::Dial(dialling)) {
            listening.close(false);
        }
        self.setup.peer_policy = policy;
        self.dial(Intent::New);
    }

    pub(super) fn dialled(&mut self, result: Result<Established, DialError>) {
        let lost = self.conversation.session.is_lost();
        match result {
            Ok(established) if lost && established.greeting.intent == Intent::Resume => self.resume(established),
            Ok(established) => self.record_peer(established),
            Err(DialError::Stopped) => {}
            // The peer's program was restarted: a new session goes on with what this one left.
            Err(DialError::Open(_, ConnectError::Refused(Refusal::NoSuchSession))) if lost => self.dial(Intent::New),
            Err(error) => self.fail("connect", &error.to_string(), Exit::of_dialling(&error)),
        }
    }

    // The listener.

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

    fn occupancy(&self) -> Occupancy {
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
        if self.recording == Some(established.channel.peer) && self.held.len() < HELD {
            return self.held.push_back(Event::Listen(ListenEvent::PeerGreeted(Box::new(established))));
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
