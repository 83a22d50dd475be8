//! Openings: how a conversation begins, is resumed, or is taken over by a new session of the same peer.
//!
//! - The dialler dials on a thread: for a new session, for the one that was lost, and, when the peer forgot that, for a new one.
//! - The listener lets callers in: `callers.rs`.
//! - Whoever begins is recorded among the known peers first, on a thread, since that file may be locked.

use super::{EventLoop, Recording, Role};
use crate::app::accept::Occupancy;
use crate::app::conversation::Workers;
use crate::app::event::Event;
use crate::app::peer_policy::{PeerInfo, PeerPolicy};
use crate::app::redial::Dialling;
use crate::app::whom::Whom;
use crate::error_text::io_error_text;
use crate::exit::Exit;
use crate::keys::PublicKey;
use crate::net::connection::DisconnectReason;
use crate::net::dial::{DialError, Dialler};
use crate::net::opening::{ConnectError, Established};
use crate::notice::{Info, Notice};
use crate::protocol::frame::{Intent, Refusal};
use crate::text::SafeText;
use crate::transfer::download::{Downloads, Settings};
use crate::transfer::upload::Uploads;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use zeroize::Zeroizing;

impl EventLoop {
    /// Somebody new is here, and greeted: records that on a thread, since the file may be locked.
    pub(super) fn record_peer(&mut self, established: Established) {
        self.recording = Some(Recording { peer: established.channel.peer, held: VecDeque::new() });
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
}
