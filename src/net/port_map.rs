//! Port mapping: while this side listens, the router is asked to let callers in, by PCP, NAT-PMP or UPnP.
//!
//! Invariant: one protocol for each mapping; one that was made by two is deleted by neither. Whatever a router answers is bounded in time
//! and memory, and an external address that is not global is never reported.
//!
//! 1. [`PortMap::start`] starts a thread "map", which has one for IPv4 and one for each own global IPv6 address, also for those that come
//!    later, as in another network; it ends those of addresses and routers that are gone.
//! 2. That for IPv4 asks the gateway by PCP, or by NAT-PMP where it speaks no other; else by UPnP, whose search began at the same time. The
//!    others ask for a pinhole in the firewall.
//! 3. They report each mapping, why there is none, and that all have asked ([`MapReport`]).
//! 4. Each sleeps until half of its lease is over and renews it. A router that went silent is asked anew each minute, from the search on.
//! 5. [`PortMap::close`] has them delete what they got, and waits for half a second at most; leases end by themselves.

mod gateway;
mod http;
mod lease;
mod pcp;
mod upnp;

#[cfg(test)]
mod tests;

pub use http::{Url, element, read_answer};
pub use pcp::{Assigned, NONCE, read_announce, read_map, read_nat_pmp_address, read_nat_pmp_map};
pub use upnp::{read_location, read_services};

use super::reach::{self, OwnNetworks};
use crate::identity::Identity;
use gateway::{Gateway, Way, gateways, ways};
use lease::{BRIEFEST, Lease, Mapping};
use pcp::Server;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use thiserror::Error;
use upnp::{Found, RouterSearch};

/// Seconds that are asked for.
const LIFETIME: u32 = 3_600;
/// How often the own addresses are looked at.
const CHECK: Duration = Duration::from_secs(30);
/// For the deletions at the end, all together.
const CLOSE: Duration = Duration::from_millis(500);
const NONCE_CONTEXT: &str = "p2pchat/1 2026 pcp nonce";

/// By which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Pcp,
    NatPmp,
    Upnp,
}

impl Method {
    pub fn word(self) -> &'static str {
        match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why there is no mapping. The router, the network or the address listened at is at fault.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum MapError {
    #[error(
        "the router has no public IPv4 address: there is another NAT before it (of the provider, or a second router)"
    )]
    NoPublicAddress,
    #[error("the router offers no port mapping (PCP, NAT-PMP and UPnP asked)")]
    Silent,
    #[error("the router may not be asked for this: port mapping is switched off in it")]
    Forbidden,
    #[error("the router refuses to map the port ({0}, code {1})")]
    Refused(Method, u16),
    #[error("the router lets callers in for {0} seconds at a time")]
    Brief(u32),
    #[error("there is no router to ask: this machine has no default route for IPv4")]
    NoRouter,
    #[error("the router cannot send callers to the address that is listened at")]
    NotBound,
}

impl MapError {
    /// With what the person who listens at `port` can do.
    pub fn explain(&self, port: u16) -> String {
        match self {
            Self::NoPublicAddress => format!("{self}\nIPv6 or a VPN works, or swap the roles"),
            Self::Silent | Self::Refused(..) | Self::Brief(_) => {
                format!("{self}\nforward TCP port {port} to this machine by hand, and listen with --at ADDRESS:{port}")
            }
            Self::NotBound => format!("{self}\np2pchat listen {port} listens at all addresses"),
            Self::Forbidden | Self::NoRouter => self.to_string(),
        }
    }

    /// A failure that says more than another.
    fn or(self, other: Self) -> Self {
        if self == Self::Silent { other } else { self }
    }
}

/// What the threads say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapReport {
    /// A way in; a lease of 0 seconds is without end.
    Mapped { addr: SocketAddr, by: Method, seconds: u32 },
    /// Nothing could be mapped, for IPv4 where that was tried.
    Failed(MapError),
    /// Callers do not come in there any more.
    Lost(SocketAddr),
    /// The same, for this machine has the address no more, or another router.
    Gone(SocketAddr),
    /// All has been asked for once.
    Settled,
}

/// What a router offers, without a mapping being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterOffer {
    pub by: Vec<Method>,
    /// Its address outside, where it tells.
    pub external: Option<IpAddr>,
}

/// The threads; see the module. Their mappings are deleted when this is dropped, which waits for nothing.
#[derive(Debug)]
pub struct PortMap {
    /// Dropping it ends them.
    stop: Sender<()>,
    /// Disconnected once all have ended.
    ended: Receiver<()>,
}

impl PortMap {
    /// Asks for what is bound to `bound`. `on_report` is called on the threads.
    pub fn start(
        identity: &Identity,
        bound: &[SocketAddr],
        on_report: impl Fn(MapReport) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let port = bound.first().map_or(0, SocketAddr::port);
        let mapper = Arc::new(Mapper {
            bound: bound.to_vec(),
            port,
            nonce: nonce(identity, port),
            unsettled: AtomicUsize::new(0),
            on_report: Box::new(on_report),
        });
        let (stop, stopped) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        thread::Builder::new().name("map".into()).spawn(move || mapper.watch(&stopped, &end))?;
        Ok(Self { stop, ended })
    }

    /// Has the mappings deleted.
    pub fn close(self) {
        drop(self.stop);
        let _ = self.ended.recv_timeout(CLOSE);
    }
}

/// Whether callers can come by what a router gave.
fn check(assigned: &Assigned) -> Result<(), MapError> {
    match assigned {
        Assigned { external, .. } if !reach::is_global(external.ip()) || external.port() == 0 => {
            Err(MapError::NoPublicAddress)
        }
        Assigned { seconds: seconds @ 1..BRIEFEST, .. } => Err(MapError::Brief(*seconds)),
        _ => Ok(()),
    }
}

/// The same for the same key and port, so that the next run may renew and delete what a killed one left.
fn nonce(identity: &Identity, port: u16) -> [u8; NONCE] {
    let mut hasher = blake3::Hasher::new_derive_key(NONCE_CONTEXT);
    hasher.update(identity.private()).update(&port.to_be_bytes());
    let mut nonce = [0; NONCE];
    hasher.finalize_xof().fill(&mut nonce);
    nonce
}

/// What the threads share.
struct Mapper {
    bound: Vec<SocketAddr>,
    port: u16,
    nonce: [u8; NONCE],
    /// Threads that have asked for nothing yet.
    unsettled: AtomicUsize,
    on_report: Box<dyn Fn(MapReport) + Send + Sync>,
}

impl Mapper {
    /// Starts a thread for each way, and ends it when that is over. Each has a clone of `end` until it ends.
    fn watch(self: &Arc<Self>, stopped: &Receiver<()>, end: &Sender<()>) {
        let mut running: Vec<(Way, Sender<()>, JoinHandle<()>)> = Vec::new();
        let mut is_first = true;
        loop {
            let mut new = ways(&self.bound).unwrap_or_else(|error| {
                if is_first {
                    self.report(MapReport::Failed(error));
                    self.report(MapReport::Settled);
                }
                Vec::new()
            });
            let networks = OwnNetworks::now();
            for (_, stop, thread) in running.extract_if(.., |(way, ..)| way.is_over(&networks, &new)) {
                drop(stop);
                // Its last report comes before the first of the next, which may be of the same external address.
                let _ = thread.join();
            }
            new.retain(|way| !running.iter().any(|(other, ..)| way.is_for_the_same(other)));
            if is_first {
                self.unsettled.store(new.len(), Ordering::Release);
            }
            for (number, way) in new.into_iter().enumerate() {
                let explains = is_first && number == 0;
                let (mapper, end, (stop, stopped)) = (Arc::clone(self), end.clone(), mpsc::channel());
                let own = way.clone();
                let run = move || {
                    mapper.run(&own, explains, &stopped);
                    drop(end);
                };
                match thread::Builder::new().name("map".into()).spawn(run) {
                    Ok(thread) => running.push((way, stop, thread)),
                    Err(_) => self.settle(),
                }
            }
            is_first = false;
            if stopped.recv_timeout(CHECK) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// One thread: a mapping as long as it can be had. `explains`: it says why there is none.
    fn run(&self, way: &Way, explains: bool, stopped: &Receiver<()>) {
        let mut mapping = match self.establish(way) {
            Ok(mapping) => mapping,
            Err(error) => {
                // Without a pinhole callers by IPv6 come in where no firewall is in the way.
                if explains {
                    self.report(MapReport::Failed(error));
                }
                return self.settle();
            }
        };
        self.report(mapping.report());
        self.settle();
        while stopped.recv_timeout(mapping.wait()) == Err(RecvTimeoutError::Timeout) {
            if mapping.is_due() {
                self.renew(way, &mut mapping);
            }
        }
        mapping.delete(self.port, &self.nonce);
        self.report(MapReport::Gone(mapping.assigned.external));
    }

    /// One of those that are waited for has asked.
    fn settle(&self) {
        let one_less = |unsettled: usize| unsettled.checked_sub(1);
        if self.unsettled.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less) == Ok(1) {
            self.report(MapReport::Settled);
        }
    }

    fn report(&self, report: MapReport) {
        (self.on_report)(report);
    }

    fn establish(&self, way: &Way) -> Result<Mapping, MapError> {
        let mapping = self.ask(way)?;
        if let Err(error) = check(&mapping.assigned) {
            mapping.delete(self.port, &self.nonce);
            return Err(error);
        }
        Ok(mapping)
    }

    fn ask(&self, Way(gateways): &Way) -> Result<Mapping, MapError> {
        let search = RouterSearch::start(gateways);
        let mut failure = MapError::Silent;
        for (own, server) in servers(gateways, &search) {
            match self.by_datagrams(own, server) {
                Ok(mapping) => return Ok(mapping),
                Err(error) => failure = failure.or(error),
            }
        }
        let found = search.found().ok_or(MapError::Silent);
        found.and_then(|router| self.by_upnp(router)).map_err(|error| failure.or(error))
    }

    /// By PCP, or by NAT-PMP where the router speaks no other.
    fn by_datagrams(&self, own: IpAddr, server: SocketAddr) -> Result<Mapping, MapError> {
        let server = Server::new(own, server).map_err(|_| MapError::Silent)?;
        let ask = |by| server.map(by, &self.nonce, self.port, None, LIFETIME, &pcp::WAITS).ok_or(MapError::Silent);
        let (by, mapped) = match ask(Method::Pcp)? {
            Err(pcp::OLDER) => (Method::NatPmp, ask(Method::NatPmp)?),
            mapped => (Method::Pcp, mapped),
        };
        let assigned = mapped.map_err(|code| pcp::refusal(by, code))?;
        // By these protocols no seconds are no mapping.
        if assigned.seconds == 0 {
            return Err(MapError::Silent);
        }
        Ok(Mapping::new(Lease::Datagrams(server, by), assigned))
    }

    fn by_upnp(&self, router: &Found) -> Result<Mapping, MapError> {
        if router.own.is_ipv4() {
            let (service, ip) = router.connection()?;
            let assigned = service.map(ip, self.port)?;
            return Ok(Mapping::new(Lease::Upnp(service), assigned));
        }
        let service = router.firewall().ok_or(MapError::Silent)?;
        let pinhole = service.open(self.port)?;
        // The address stays the own one.
        let external = SocketAddr::new(router.own, self.port);
        Ok(Mapping::new(Lease::Pinhole(service, pinhole), Assigned { external, seconds: LIFETIME }))
    }

    /// Renews a mapping, or makes it anew where that fails.
    fn renew(&self, way: &Way, mapping: &mut Mapping) {
        let (before, was_lost) = (mapping.assigned.external, mapping.lost);
        let renewed = mapping.renew(self.port, &self.nonce);
        if let Some(assigned) = renewed.filter(|assigned| assigned.external == before && check(assigned).is_ok()) {
            mapping.extend(assigned);
        } else {
            match self.establish(way) {
                Ok(anew) => *mapping = anew,
                Err(error) => {
                    // It was granted where nobody comes from, or hardly, and is deleted.
                    let is_deleted = matches!(error, MapError::NoPublicAddress | MapError::Brief(_));
                    if mapping.fail(is_deleted) {
                        self.report(MapReport::Lost(before));
                    }
                    return;
                }
            }
        }
        let moved = mapping.assigned.external != before;
        if moved && !was_lost {
            self.report(MapReport::Lost(before));
        }
        if moved || was_lost {
            self.report(mapping.report());
        }
    }
}

/// From where PCP is asked, and where. A router that the system does not tell is whoever answers the search.
fn servers(gateways: &[Gateway], search: &RouterSearch) -> Vec<(IpAddr, SocketAddr)> {
    let mut servers: Vec<_> = gateways.iter().filter_map(|gateway| Some((gateway.own, gateway.server()?))).collect();
    if servers.is_empty() {
        let found = search.found();
        servers.extend(found.map(|found| (found.own, SocketAddr::new(found.description.server.ip(), pcp::PORT))));
    }
    servers
}

/// What the routers offer; nothing is mapped.
///
/// # Errors
/// [`MapError::NoRouter`], or that there is nothing to be had.
pub fn offer() -> Result<RouterOffer, MapError> {
    let gateways = gateways()?;
    let search = RouterSearch::start(&gateways);
    let mut offer = RouterOffer { by: Vec::new(), external: None };
    let mut failure = MapError::Silent;
    for (own, server) in servers(&gateways, &search) {
        let Ok(server) = Server::new(own, server) else { continue };
        let waits = match server.serves_pcp() {
            Some(Ok(())) => {
                offer.by.push(Method::Pcp);
                &pcp::WAITS[..]
            }
            Some(Err(_)) => &pcp::WAITS,
            // It hardly serves the older protocol then.
            None => pcp::WAITS.get(..1).unwrap_or_default(),
        };
        match server.nat_pmp_address(waits) {
            Some(Ok(ip)) => {
                offer.by.push(Method::NatPmp);
                offer.external.get_or_insert(ip.into());
            }
            Some(Err(code)) => failure = failure.or(pcp::refusal(Method::NatPmp, code)),
            None => {}
        }
        if !offer.by.is_empty() {
            break;
        }
    }
    match search.found().map(Found::connection) {
        Some(Ok((_, ip))) => {
            offer.by.push(Method::Upnp);
            offer.external.get_or_insert(ip.into());
        }
        Some(Err(error)) => failure = failure.or(error),
        None => {}
    }
    let is_outside = offer.external.is_some_and(|ip| !reach::is_global(ip));
    match offer {
        _ if is_outside || failure == MapError::NoPublicAddress => Err(MapError::NoPublicAddress),
        RouterOffer { by, .. } if by.is_empty() => Err(failure),
        offer => Ok(offer),
    }
}
