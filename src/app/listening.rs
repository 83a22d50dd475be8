//! The waiting side: its listener, in which modes callers may come, and the invite that is out.
//!
//! Invariant: an invite is good for one session. Whoever waits for the next peer makes a new one ([`Listening::announce`]).

use crate::channel::{Code, KeyCheck};
use crate::identity::Identity;
use crate::net::address::{Candidate, ListenAddress};
use crate::net::invite::Invite;
use crate::net::listen::{AcceptedModes, BindError, ListenCredentials, ListenEvent, Listener};
use crate::net::opening::Established;
use crate::net::proxy::is_onion;
use crate::net::reach;
use crate::notice::Notice;
use crate::protocol::frame::{ADDRS, Addrs};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How callers are to prove that they are expected.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// In no way.
    Open,
    Code(Arc<Code>),
    /// By an invite; `only` keeps everybody else out.
    Invite {
        only: bool,
        /// Show it as a QR code as well.
        qr: bool,
    },
}

/// What a listener brings to each opening.
pub(super) struct ListenTerms {
    pub(super) identity: Arc<Identity>,
    pub(super) accept_key: Arc<KeyCheck<'static>>,
    pub(super) timeout: Duration,
}

/// See the module.
pub(super) struct Listening {
    listener: Listener,
    identity: Arc<Identity>,
    entry: Entry,
    /// `--at`.
    named: Vec<Candidate>,
    modes: AcceptedModes,
}

impl Listening {
    /// Listens, and lets nobody in before [`Listening::announce`].
    ///
    /// # Errors
    /// See [`BindError`].
    pub(super) fn start(
        address: &ListenAddress,
        named: Vec<Candidate>,
        entry: Entry,
        terms: ListenTerms,
        on_event: impl Fn(ListenEvent) + Send + Sync + 'static,
    ) -> Result<Self, BindError> {
        let ListenTerms { identity, accept_key, timeout } = terms;
        let nobody = getrandom::u64().map_err(|error| BindError::System(io::Error::other(error)))?;
        let modes = AcceptedModes::Code(Arc::new(Code::from_secret(&nobody.to_be_bytes())));
        let credentials = ListenCredentials { identity, accept_key, modes: modes.clone(), timeout };
        let identity = Arc::clone(&credentials.identity);
        let listener = Listener::start(address, credentials, on_event)?;
        Ok(Self { listener, identity, entry, named, modes })
    }

    /// Ready for the next peer: a code has all its tries, an invite is a new one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(super) fn announce(&mut self) -> Result<Notice, getrandom::Error> {
        let bound = self.listener.addrs();
        let candidates = self.candidates();
        let invite = match &self.entry {
            Entry::Invite { .. } => {
                let port = bound.first().map_or(0, SocketAddr::port);
                Some(Invite::new(&self.identity.public(), port, candidates.clone())?)
            }
            Entry::Open | Entry::Code(_) => None,
        };
        self.modes = match (&self.entry, &invite) {
            (Entry::Invite { only: true, .. }, Some(invite)) => AcceptedModes::Code(Arc::new(invite.code())),
            (_, Some(invite)) => AcceptedModes::Both(Arc::new(invite.code())),
            (Entry::Code(code), None) => AcceptedModes::Code(Arc::clone(code)),
            (_, None) => AcceptedModes::Open,
        };
        self.listener.set_modes(self.modes.clone());
        let mut addrs: Vec<String> = self.named.iter().map(Candidate::to_string).collect();
        for addr in bound.iter().map(SocketAddr::to_string).chain(candidates.iter().map(Candidate::to_string)) {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        let code = if let Entry::Code(code) = &self.entry { Some(code.display().to_owned()) } else { None };
        let qr = matches!(self.entry, Entry::Invite { qr: true, .. });
        Ok(Notice::Listening { addrs, code, qr, invite: invite.map(|invite| invite.text().to_string()) })
    }

    /// Where another machine may reach this listener.
    fn candidates(&self) -> Vec<Candidate> {
        reach::own_candidates(self.listener.addrs(), &self.named)
    }

    /// What the peer may be told of where this listener is, now.
    pub(super) fn addrs(&self) -> Addrs {
        let port = self.listener.addrs().first().map_or(0, SocketAddr::port);
        // Who is reached by an onion name hides where he is.
        let hidden = self.named.iter().any(|at| is_onion(&at.host));
        let candidates = if hidden { Vec::new() } else { self.candidates() };
        let known = candidates.iter().filter_map(|at| Some(SocketAddr::new(at.ip()?, at.port)));
        Addrs { port, list: known.filter(|addr| !addr.ip().is_loopback()).take(ADDRS).collect() }
    }

    pub(super) fn bound(&self) -> &[SocketAddr] {
        self.listener.addrs()
    }

    /// Whether callers come by an address that the user named.
    pub(super) fn is_named(&self) -> bool {
        !self.named.is_empty()
    }

    /// Whether this caller may begin a session with its kind of opening.
    pub(super) fn may_begin(&self, caller: &Established) -> bool {
        // While a session is there callers may come in either mode. Who came without the code then has proved nothing.
        caller.by_code || self.modes.is_open()
    }

    /// Whether this caller came without the invite that is out.
    pub(super) fn is_uninvited(&self, caller: &Established) -> bool {
        matches!(self.entry, Entry::Invite { .. }) && !caller.by_code
    }

    /// A session is there, to which its peer returns in open mode or, after a restart of its program, with the code.
    pub(super) fn open_to_peer(&self) {
        self.listener.open_too();
    }

    /// Its peer could not be let in after all: waits on with the same code or invite.
    pub(super) fn rearm(&self) {
        self.listener.set_modes(self.modes.clone());
    }

    pub(super) fn close(self) {
        self.listener.close();
    }
}
