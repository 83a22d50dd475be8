//! The dialler's side of an opening: a thread that dials, the first time, after a loss, and after the peer forgot the session.

use super::event::Event;
use super::peer_policy;
use super::whom::{Whom, WhomKind};
use crate::channel::Code;
use crate::keys::{KeyRejected, PublicKey};
use crate::net::backoff::Wake;
use crate::net::dial::{DialRequest, Dialler, Until};
use crate::net::roaming::{self, PeerEnd};
use crate::protocol::frame::{Greeting, Intent};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

/// A connection that lived so long was a good one: after its loss this side dials at once. (A peer that takes the
/// connection and drops it is dialled with pauses.)
const STABLE: Duration = Duration::from_secs(1);

/// Whom this side dials.
pub(super) struct Dialling {
    pub(super) dialler: Dialler,
    /// Of the present run of the thread.
    pub(super) wake: Arc<Wake>,
    /// Counts the runs of the thread: one that was replaced may report late.
    pub(super) run: u64,
    /// Of the invite by which the user says where the peer is now; it may have been restarted, and take nobody without.
    code: Option<Arc<Code>>,
    /// Of the latest connection; none when the user said since then where the peer is.
    peer_end: Option<PeerEnd>,
    connected_at: Instant,
    /// `--wait`: until somebody listens.
    wait: bool,
    /// `--lan`: after a loss the peer is looked for on the own network as well.
    lan: bool,
}

impl Dialling {
    pub(super) fn new(dialler: Dialler, wait: bool, lan: bool) -> Self {
        let (wake, connected_at) = (Arc::default(), Instant::now());
        Self { dialler, wake, run: 0, code: None, peer_end: None, connected_at, wait, lan }
    }

    /// There is a connection.
    pub(super) fn connected(&mut self, stream: &TcpStream) {
        (self.peer_end, self.connected_at, self.code) = (PeerEnd::of(stream), Instant::now(), None);
    }

    /// The user says where the peer is; what the peer told counts no more.
    pub(super) fn move_to(&mut self, whom: Whom) {
        let Whom { candidates, called, by_invite, kind } = whom;
        self.code = if let WhomKind::Invite(invite) = kind { Some(Arc::new(invite.code())) } else { None };
        (self.dialler.candidates, self.dialler.whom, self.peer_end) = (candidates, called, None);
        self.dialler.invited = by_invite;
    }

    /// Ends the present run; what it still reports is not of the next one's number.
    pub(super) fn stop(&mut self) {
        self.wake.stop();
        self.wake = Arc::default();
        self.run += 1;
    }

    /// Dials on a thread, which reports by [`Event::Dialled`], instead of the run before. `peer` is the one whose session was lost, none
    /// before the first; `told` are addresses that it named.
    pub(super) fn start(
        &mut self,
        greeting: Greeting,
        peer: Option<PublicKey>,
        told: &[SocketAddr],
        events: SyncSender<Event>,
    ) -> io::Result<()> {
        self.stop();
        let (mut dialler, wake, run) = (self.dialler.clone(), Arc::clone(&self.wake), self.run);
        // What the peer told is good for the session in which it did.
        let resumes = greeting.intent == Intent::Resume;
        let told =
            self.peer_end.filter(|_| resumes).map(|peer_end| roaming::permitted(told, peer_end, &dialler.proxies));
        let mut request = DialRequest {
            greeting,
            until: if self.wait { Until::Answered } else { Until::Tried },
            told: told.unwrap_or_default(),
            at_once: true,
            // The peer has to dial the port as well.
            explain: dialler.from.is_some(),
        };
        if let Some(peer) = peer {
            request.until = Until::Forgotten;
            // A peer that has no session for this any more is not asked for it again and again.
            request.at_once = resumes && self.connected_at.elapsed() > STABLE;
            // The user said where the peer is.
            request.explain = self.peer_end.is_none();
            // Whatever goes on after a loss does so only with the key it began with.
            dialler.credentials.code.clone_from(&self.code);
            dialler.look_for = self.lan.then(|| peer.pin());
            let run = Arc::clone(&wake);
            dialler.credentials.accept_key = Arc::new(move |other: &_| {
                // A greeting that comes after that of the next run tells of less than the peer knows: a fault of the protocol.
                if run.is_stopped() {
                    return Err(KeyRejected("dialling was stopped".into()));
                }
                peer_policy::only(&peer, other)
            });
        }
        thread::Builder::new().name("dial".into()).spawn(move || {
            let on_failure = |words| drop(events.send(Event::Redialling(run, words)));
            let result = dialler.dial(request, &wake, &on_failure);
            let _ = events.send(Event::Dialled(run, result.map(Box::new)));
        })?;
        Ok(())
    }
}
