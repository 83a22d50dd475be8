//! The waiting side: its listener, in which modes callers may come, and the invite that is out.
//!
//! Invariant: an invite is good for one session. Whoever waits for the next peer makes a new one ([`Listening::announce`]). Its addresses
//! may change meanwhile; its secret stays, so what was sent already stays good.

use super::config::Config;
use super::event::Event;
use super::peer_policy::PeerPolicy;
use crate::channel::Code;
use crate::cli::Reachable;
use crate::error_text::io_error_text;
use crate::identity::Identity;
use crate::net::address::Candidate;
use crate::net::invite::Invite;
use crate::net::lan::{Admits, Announcer, LanError};
use crate::net::listen::{AcceptedModes, Listener};
use crate::net::opening::Established;
use crate::net::port_map::{MapReport, PortMap};
use crate::net::proxy::is_onion;
use crate::net::reach::{self, OwnNetworks};
use crate::notice::{Info, Notice};
use crate::protocol::frame::{ADDRS, Addrs};
use crate::text::SafeText;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// How long the first invite waits for the router. Callers are taken from the start, so it costs nothing but that the invite is shown later:
/// most routers answer within a tenth of it, and an invite that lacks the one address that leads here from outside is the one that
/// gets sent. When the router is slower, the invite is shown without it, and once more with it.
const ROUTER: Duration = Duration::from_secs(3);

/// How callers are to prove that they are expected.
#[derive(Debug, Clone)]
pub(super) enum ListenMode {
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

impl ListenMode {
    /// The invite for the next peer, if there is one, and the modes in which callers may come.
    fn prepare(
        &self,
        identity: &Identity,
        addrs: &[SocketAddr],
        candidates: Vec<Candidate>,
    ) -> io::Result<(Option<Invite>, AcceptedModes)> {
        let (code, only) = match self {
            Self::Open => (None, false),
            Self::Code(code) => (Some(Arc::clone(code)), true),
            Self::Invite { only, .. } => {
                let invite = Invite::new(&identity.public(), port(addrs), candidates).map_err(io::Error::other)?;
                let modes = AcceptedModes { code: Some(Arc::new(invite.code())), open: !only };
                return Ok((Some(invite), modes));
            }
        };
        Ok((None, AcceptedModes { code, open: !only }))
    }
}

fn port(addrs: &[SocketAddr]) -> u16 {
    addrs.first().map_or(0, SocketAddr::port)
}

pub(super) struct Listening {
    pub(super) listener: Listener,
    identity: Arc<Identity>,
    mode: ListenMode,
    /// `--at`.
    named: Vec<Candidate>,
    modes: AcceptedModes,
    /// `--lan`.
    announcer: Option<Announcer>,
    invite: Option<Invite>,
    /// `--map`.
    map: Option<PortMap>,
    /// Where the router lets callers in.
    mapped: Vec<SocketAddr>,
    /// Nothing is shown before this, unless the router has answered.
    pub(super) show_at: Option<Instant>,
}

impl Listening {
    /// Lets the first peer in.
    ///
    /// # Errors
    /// When the system gives no thread or no randomness.
    pub(super) fn start(
        sockets: Vec<TcpListener>,
        reachable: &Reachable,
        mode: ListenMode,
        config: &Config,
        policy: &PeerPolicy,
        events: &SyncSender<Event>,
    ) -> io::Result<Self> {
        let identity = Arc::clone(&config.identity);
        let named = reachable.at.clone();
        let addrs = sockets.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let (invite, modes) = mode.prepare(&identity, &addrs, reach::own_candidates(&addrs, &named))?;
        let tell = events.clone();
        let tell = move |event| drop(tell.send(Event::Listen(event)));
        let (own, accept_key) = (Arc::clone(&identity), policy.key_check());
        let listener = Listener::start(sockets, own, accept_key, modes.clone(), config.timeout, tell)?;
        let announcer = reachable.lan.then(|| {
            let events = events.clone();
            let tell = move |nonce: &str, event| drop(events.send(Event::Lan(nonce.to_owned(), event)));
            Announcer::new(listener.addrs(), identity.public().pin(), tell)
        });
        let (map, mapped, show_at) = (None, Vec::new(), None);
        Ok(Self { listener, identity, mode, named, modes, announcer, invite, map, mapped, show_at })
    }

    /// Asks the router to let callers in, and has what is shown first wait for it.
    pub(super) fn map(&mut self, on_report: impl Fn(MapReport) + Send + Sync + 'static) -> io::Result<()> {
        self.map = Some(PortMap::start(&self.identity, self.listener.addrs(), on_report)?);
        self.show_at = Some(Instant::now() + ROUTER);
        Ok(())
    }

    /// Ready for the next peer: a code has all its tries, an invite is a new one.
    pub(super) fn announce(&mut self) -> io::Result<Notice> {
        (self.invite, self.modes) = self.mode.prepare(&self.identity, self.bound(), self.candidates())?;
        self.listener.set_modes(self.modes.clone());
        Ok(self.notice())
    }

    /// Where it listens, and the invite that is out, with the present addresses.
    pub(super) fn notice(&mut self) -> Notice {
        self.show_at = None;
        let (bound, candidates) = (self.listener.addrs(), self.candidates());
        if let Some(invite) = &mut self.invite {
            invite.set_candidates(candidates.clone());
        }
        let mut addrs: Vec<String> = self.named.iter().map(Candidate::to_string).collect();
        for addr in bound.iter().map(SocketAddr::to_string).chain(candidates.iter().map(Candidate::to_string)) {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        let code = if let ListenMode::Code(code) = &self.mode { Some(code.display().to_owned().into()) } else { None };
        let qr = matches!(self.mode, ListenMode::Invite { qr: true, .. });
        let invite = self.invite.as_ref().map(Invite::text);
        Notice::Listening { addrs, code, qr, invite }
    }

    /// Those that the user named, those that the router lets callers in at, then the own ones.
    fn candidates(&self) -> Vec<Candidate> {
        let mapped = self.mapped.iter().copied().map(Candidate::from).filter(|mapped| !self.named.contains(mapped));
        let first: Vec<_> = self.named.iter().cloned().chain(mapped).collect();
        reach::own_candidates(self.listener.addrs(), &first)
    }

    /// What to say of the router's answer, and whether to show now, or anew, where callers come in.
    pub(super) fn mapping(&mut self, report: MapReport) -> (Option<Notice>, bool) {
        let shown = self.show_at.is_none();
        match report {
            MapReport::Mapped { addr, by, seconds } => {
                self.mapped.push(addr);
                (Some(Notice::Mapped { addr: addr.to_string(), by: by.word(), seconds }), shown)
            }
            MapReport::Lost(addr) => {
                self.mapped.retain(|mapped| *mapped != addr);
                let text =
                    format!("the router does not let callers in at {addr} any more\nit is asked again every minute");
                (Some(Notice::Warning(SafeText::with_hint(&text))), false)
            }
            MapReport::Gone(addr) => {
                self.mapped.retain(|mapped| *mapped != addr);
                (None, false)
            }
            MapReport::Failed(error) => {
                (Some(Notice::Warning(SafeText::with_hint(&error.explain(self.port())))), false)
            }
            MapReport::Settled => (None, !shown),
        }
    }

    /// What the peer may be told of where this listener is, now.
    pub(super) fn addrs(&self) -> Addrs {
        let port = self.port();
        // Who is reached by an onion name hides where he is.
        let hidden = self.named.iter().any(|at| is_onion(&at.host));
        let candidates = if hidden { Vec::new() } else { self.candidates() };
        let known = candidates.iter().filter_map(|at| Some(SocketAddr::new(at.ip()?, at.port)));
        Addrs { port, list: known.filter(|addr| !addr.ip().is_loopback()).take(ADDRS).collect() }
    }

    /// With `--lan`, announces on the own network that this side waits: for the next peer, or, when the present one is `lost`, for its
    /// return. Gives a warning where that cannot be done.
    pub(super) fn announce_on_lan(&mut self, lost: bool) -> Option<Notice> {
        let admits = match &self.mode {
            _ if lost => Admits::Returning,
            ListenMode::Invite { only: true, .. } => Admits::Invited,
            ListenMode::Code(_) => Admits::WithCode,
            ListenMode::Open | ListenMode::Invite { .. } => Admits::Anybody,
        };
        let error = self.announcer.as_mut()?.announce(admits).err()?;
        Some(not_announced(&error))
    }

    /// Takes the announcement back: who is found now cannot be let in.
    pub(super) fn withdraw(&mut self) {
        if let Some(announcer) = &mut self.announcer {
            announcer.withdraw();
        }
    }

    /// Whether this is the present announcement on the own network.
    pub(super) fn is_announced_as(&self, nonce: &str) -> bool {
        self.announcer.as_ref().is_some_and(|announcer| announcer.is_current(nonce))
    }

    pub(super) fn bound(&self) -> &[SocketAddr] {
        self.listener.addrs()
    }

    pub(super) fn port(&self) -> u16 {
        port(self.bound())
    }

    /// Whether callers may come by another address than an own one.
    pub(super) fn is_forwarded(&self) -> bool {
        !self.named.is_empty() || self.map.is_some()
    }

    /// Whether this caller may begin a session with its kind of opening.
    pub(super) fn may_begin(&self, caller: &Established) -> bool {
        // While a session is there callers may come in either mode. Who came without the code then has proved nothing.
        caller.by_code() || self.modes.open
    }

    /// Whether this caller came without the invite that is out.
    pub(super) fn is_uninvited(&self, caller: &Established) -> bool {
        matches!(self.mode, ListenMode::Invite { .. }) && !caller.by_code()
    }

    /// A session is there, to which its peer returns in open mode or, after a restart of its program, with the code.
    pub(super) fn open_to_peer(&mut self) {
        self.listener.open_too();
        self.withdraw();
    }

    /// Its peer could not be let in after all: waits on with the same code or invite.
    pub(super) fn rearm(&self) {
        self.listener.set_modes(self.modes.clone());
    }

    /// Dials this address as well, where the peer dials from, while callers are wanted.
    ///
    /// # Errors
    /// Words for the user: it is no address to dial, or cannot be dialled directly.
    pub(super) fn toward(&mut self, target: Candidate, config: &Config) -> Result<Notice, String> {
        may_dial_toward(&target, config)?;
        let port = self.port();
        if target.port == port && target.ip().is_some_and(|ip| OwnNetworks::now().include(ip)) {
            return Err(format!(
                "{target} is this very listener\nit takes the address and port that your peer dials from"
            ));
        }
        let text = format!(
            "dialling {target} from port {port}, until your peer is here\nyour peer dials from there: p2pchat connect … --from {}",
            target.port
        );
        self.listener.toward(target).map_err(|error| format!("cannot dial as well: {}", io_error_text(&error)))?;
        Ok(Notice::Info(Info::Text(SafeText::with_hint(&text))))
    }

    /// Says goodbye on the own network, and has the router's mappings deleted; `waits` for both.
    pub(super) fn close(mut self, waits: bool) {
        self.withdraw();
        self.listener.close();
        if waits {
            self.map.into_iter().for_each(PortMap::close);
            self.announcer.into_iter().for_each(Announcer::finish);
        }
    }
}

/// For the user.
pub(super) fn not_announced(error: &LanError) -> Notice {
    Notice::Warning(format!("not announced on this network: {error}").into())
}

/// Whether the address may be dialled by a listener.
pub(super) fn may_dial_toward(target: &Candidate, config: &Config) -> Result<(), String> {
    let ip = target.ip().unwrap_or(Ipv4Addr::LOCALHOST.into());
    if !reach::is_dialable(SocketAddr::new(ip, target.port)) {
        return Err(format!("{target} is not where a peer can dial from"));
    }
    let proxies = config.proxies(&[]).map_err(|error| error.to_string())?;
    match proxies.proxy_for(target) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => {
            Err(format!("{target} would be dialled through a proxy, which cannot do this\n--proxy none dials directly"))
        }
        Err(error) => Err(error.to_string()),
    }
}
