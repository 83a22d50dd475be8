//! Who dials looks around.
//!
//! The package's thread asks, and keeps what is answered; here it is taken from its queue. Nothing leaves this side but that it looks for
//! p2pchat: which keys it knows is compared here.

use super::{Admits, LanError, SERVICE, VERSION, check_port, daemon, has_neighbours, is_nonce, tag};
use crate::keys::Pin;
use crate::net::address::Candidate;
use crate::net::reach::{self, OwnNetworks};
use mdns_sd::{Receiver, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::{Duration, Instant};

/// How long one looks around: the first answer may take 1.1 s, for no record is sent twice in a second.
pub const BROWSE_TIME: Duration = Duration::from_secs(3);
/// Strangers that are listed: what a person can choose from. Any number may be announced; known peers are found among them.
const STRANGERS: usize = 32;
/// Addresses of one neighbour: IPv4 and two of IPv6 on a few interfaces.
const ADDRESSES: usize = 8;
/// Events that the package has waiting at most: so many are taken when there is no time left.
const QUEUE: usize = 1_000;
/// Seconds between two looks at the own addresses.
const CHECK: u32 = 5;
/// The package keeps what it hears until it expires, at the wish of who sent it; after so long it begins anew.
const ROUND: Duration = Duration::from_secs(60);

/// Somebody who announces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    nonce: String,
    /// Of the known key that it claims to have. Nothing proves that before the handshake.
    pub pin: Option<Pin>,
    pub admits: Admits,
    /// At least one, in own networks; IPv4 first.
    pub addrs: Vec<SocketAddr>,
}

impl Neighbour {
    pub fn candidates(&self) -> Vec<Candidate> {
        self.addrs.iter().copied().map(Candidate::from).collect()
    }
}

pub struct Browser {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    heard: Heard,
}

/// What was heard so far.
struct Heard {
    /// Whom this side would recognise.
    known: Vec<Pin>,
    found: Vec<Neighbour>,
}

impl Browser {
    /// Begins to look around, for those above all whose keys have these pins.
    ///
    /// # Errors
    /// When multicast DNS cannot be used.
    pub fn start(known: Vec<Pin>) -> Result<Self, LanError> {
        check_port().map_err(|_| LanError::PortTaken)?;
        let daemon = daemon(CHECK, has_neighbours)?;
        let events = daemon.browse(SERVICE)?;
        Ok(Self { daemon, events, heard: Heard { known, found: Vec::new() } })
    }

    /// Who is there, by what was heard until then.
    pub fn neighbours(&mut self, until: Instant) -> &[Neighbour] {
        let own = OwnNetworks::now();
        let mut late = QUEUE;
        while late > 0
            && let Ok(event) = self.events.recv_deadline(until)
        {
            late -= usize::from(Instant::now() >= until);
            self.heard.hear(event, &own);
        }
        &self.heard.found
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.daemon.shutdown());
    }
}

impl Heard {
    fn hear(&mut self, event: ServiceEvent, own: &OwnNetworks) {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let Some(neighbour) = neighbour(&service, &self.known, own) else { return };
                self.found.retain(|other| other.nonce != neighbour.nonce);
                let strangers = self.found.iter().filter(|other| other.pin.is_none()).count();
                if neighbour.pin.is_some() || strangers < STRANGERS {
                    self.found.push(neighbour);
                }
            }
            ServiceEvent::ServiceRemoved(_, name) => self.found.retain(|other| nonce_of(&name) != Some(&*other.nonce)),
            _ => {}
        }
    }
}

fn nonce_of(full_name: &str) -> Option<&str> {
    full_name.strip_suffix(SERVICE)?.strip_suffix('.').filter(|nonce| is_nonce(nonce))
}

/// What an announcement says, if it is one of this version.
fn neighbour(service: &ResolvedService, known: &[Pin], own: &OwnNetworks) -> Option<Neighbour> {
    let nonce = nonce_of(&service.fullname)?;
    let text = |key| service.get_property_val_str(key);
    let admits = Admits::from_digit(text("m")?).filter(|_| text("v") == Some(VERSION))?;
    let pin = text("t").and_then(|theirs| known.iter().find(|pin| tag(pin, nonce) == theirs)).copied();
    let mut addrs: Vec<SocketAddr> = service.addresses.iter().filter_map(|ip| dialled(ip, service.port, own)).collect();
    addrs.sort_unstable();
    addrs.truncate(ADDRESSES);
    (!addrs.is_empty()).then(|| Neighbour { nonce: nonce.to_owned(), pin, admits, addrs })
}

/// The address to dial, if it is dialled at all: an announcement leads to machines of the own networks alone.
fn dialled(ip: &ScopedIp, port: u16, own: &OwnNetworks) -> Option<SocketAddr> {
    let addr = match ip {
        ScopedIp::V4(ip) => SocketAddrV4::new(*ip.addr(), port).into(),
        ScopedIp::V6(ip) => {
            let scope = if ip.addr().is_unicast_link_local() { ip.scope_id().index } else { 0 };
            SocketAddrV6::new(*ip.addr(), port, 0, scope).into()
        }
        _ => return None,
    };
    is_dialled(addr, own).then_some(addr)
}

fn is_dialled(addr: SocketAddr, own: &OwnNetworks) -> bool {
    reach::is_dialable(addr) && !addr.ip().to_canonical().is_loopback() && own.contain(addr.ip())
}

/// Looks for one peer while it is dialled.
pub struct Search {
    pin: Pin,
    browser: Result<Browser, LanError>,
    begun: Instant,
}

impl Search {
    /// For the peer whose key has this pin.
    pub fn start(pin: Pin) -> Self {
        Self { pin, browser: Browser::start(vec![pin]), begun: Instant::now() }
    }

    /// Where the peer was found so far.
    pub fn found(&mut self) -> Vec<SocketAddr> {
        if self.begun.elapsed() > ROUND {
            *self = Self::start(self.pin);
        }
        let Ok(browser) = &mut self.browser else { return Vec::new() };
        let found = browser.neighbours(Instant::now()).iter().filter(|neighbour| neighbour.pin.is_some());
        found.flat_map(|neighbour| neighbour.addrs.iter().copied()).collect()
    }

    /// Why nobody can be found.
    pub fn error(&self) -> Option<&LanError> {
        self.browser.as_ref().err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdns_sd::ServiceInfo;

    const KNOWN: Pin = [7; 16];

    /// An announcement as it comes from the network: of this name, with these properties, at these addresses.
    fn event(name: &str, text: &[(&str, &str)], addrs: &str, port: u16) -> ServiceEvent {
        let info = ServiceInfo::new(SERVICE, name, "host.local.", addrs, port, text).unwrap();
        ServiceEvent::ServiceResolved(Box::new(info.as_resolved_service()))
    }

    fn of(name: &str, tag: &str) -> ServiceEvent {
        event(name, &[("v", "1"), ("m", "0"), ("t", tag)], "10.77.0.9", 5000)
    }

    /// What is heard in a network 10.77.0.0/24.
    fn heard(events: impl IntoIterator<Item = ServiceEvent>) -> Vec<Neighbour> {
        let mut heard = Heard { known: vec![[1; 16], KNOWN], found: Vec::new() };
        events.into_iter().for_each(|event| heard.hear(event, &OwnNetworks::of_tests()));
        heard.found
    }

    #[test]
    fn a_known_key_is_recognised_and_a_forgery_is_somebody() {
        let nonce = "0123456789abcdef";
        let found = heard([of(nonce, "96be032f70153c5a"), of("0123456789abcdee", "96be032f70153c5a")]);
        assert_eq!(found.iter().map(|neighbour| neighbour.pin).collect::<Vec<_>>(), [Some(KNOWN), None]);
        assert_eq!(found[0].addrs, ["10.77.0.9:5000".parse().unwrap()]);
        assert_eq!(found[0].candidates()[0].to_string(), "10.77.0.9:5000");
    }

    #[test]
    fn a_newer_announcement_replaces_an_older_one_and_a_goodbye_takes_it_back() {
        let name = "0123456789abcdef";
        let code = event(name, &[("v", "1"), ("m", "1")], "10.77.0.8", 5001);
        let found = heard([of(name, ""), code]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].admits, found[0].addrs[0].port()), (Admits::WithCode, 5001));
        let goodbye = ServiceEvent::ServiceRemoved(SERVICE.into(), format!("{name}.{SERVICE}"));
        assert_eq!(heard([of(name, ""), goodbye]), []);
    }

    #[test]
    fn an_announcement_leads_nowhere_but_into_own_networks() {
        let text = [("v", "1"), ("m", "0"), ("t", "")];
        let hostile = "127.0.0.1,0.0.0.0,224.0.0.251,255.255.255.255,::1,ff02::1,::,203.0.113.7,10.78.0.9,2001:db8::9,::ffff:127.0.0.1";
        assert_eq!(heard([event("0123456789abcdef", &text, hostile, 22)]), []);
        assert_eq!(heard([event("0123456789abcdef", &text, "10.77.0.9", 0)]), []);
        let mixed = heard([event("0123456789abcdef", &text, &format!("{hostile},10.77.0.9"), 22)]);
        assert_eq!(mixed[0].addrs, ["10.77.0.9:22".parse().unwrap()]);
        let many: Vec<_> = (1..250).map(|n| format!("10.77.0.{n}")).collect();
        assert_eq!(heard([event("0123456789abcdef", &text, &many.join(","), 22)])[0].addrs.len(), ADDRESSES);
    }

    #[test]
    fn what_is_no_announcement_of_this_version_is_not_listed() {
        let good = [("v", "1"), ("m", "0")];
        for name in ["alice", "0123456789abcdef (2)", "0123456789ABCDEF", "0123456789abcdef0", "\u{1b}[2J0123456789ab"]
        {
            assert_eq!(heard([event(name, &good, "10.77.0.9", 5000)]), [], "{name:?}");
        }
        let long = "0".repeat(200);
        for text in
            [&[("v", "2"), ("m", "0")][..], &[("v", "1")], &[("v", "1"), ("m", "4")], &[("v", "1"), ("m", &long)]]
        {
            assert_eq!(heard([event("0123456789abcdef", text, "10.77.0.9", 5000)]), [], "{text:?}");
        }
        assert_eq!(
            heard([event("0123456789abcdef", &[("v", "1"), ("m", "0"), ("t", &long)], "10.77.0.9", 5000)]).len(),
            1
        );
    }

    #[test]
    fn strangers_are_counted_and_keep_no_known_peer_out() {
        let strangers = (0..1_000).map(|n| of(&format!("{n:016x}"), "0000000000000000"));
        let found = heard(strangers.chain([of("0123456789abcdef", "96be032f70153c5a")]));
        assert_eq!(found.len(), STRANGERS + 1);
        assert_eq!(found.last().unwrap().pin, Some(KNOWN));
    }
}
