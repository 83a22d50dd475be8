//! Why an address could not be reached, in words: the fact, and on a second line what the person can do.
//!
//! The system's own error says little: a packet filter, a machine that is off and an address of another network look alike. What
//! they differ in is the kind of address, whether it lies in one of our own networks, and how fast the answer came. The causes were
//! observed on Linux.

use super::address::Candidate;
use crate::error_text::{NO_NAME, NO_NAME_SERVER, io_error_text};
use if_addrs::{IfAddr, Interface};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

/// A router or firewall that rejects answers within a round trip; without one the kernel gives up on a neighbour after 3 s.
const REJECTED: Duration = Duration::from_secs(2);
/// How often the own address of a connection is looked for: a change of network is noticed sooner than by silence.
const ADDRESS_CHECK: Duration = Duration::from_secs(2);

/// The networks that this machine is part of.
#[derive(Debug, Default)]
pub struct OwnNetworks(Vec<Interface>);

impl OwnNetworks {
    /// As they are now; none when the system does not say.
    pub fn now() -> Self {
        Self(if_addrs::get_if_addrs().unwrap_or_default())
    }

    /// Whether an address is one of this machine's.
    pub fn include(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|interface| interface.ip() == ip)
    }

    /// Whether an address is none of this machine's, as far as the system says.
    pub(super) fn lack(&self, ip: IpAddr) -> bool {
        !self.0.is_empty() && !self.include(ip)
    }

    /// Whether an address lies in one of them.
    pub fn contain(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|interface| same_network(&interface.addr, ip))
    }

    fn have_ipv6(&self) -> bool {
        self.0.iter().map(Interface::ip).any(|ip| ip.is_ipv6() && !ip.is_loopback() && !is_link_local(ip))
    }

    /// The names of their interfaces, in words.
    pub fn names(&self) -> String {
        let mut names: Vec<_> = self
            .0
            .iter()
            .filter(|interface| !interface.is_loopback())
            .map(|interface| interface.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    }
}

/// This machine's end of a connection. Once the machine has its address no more, as in another network, nothing comes through.
#[derive(Debug)]
pub struct OwnEnd {
    ip: IpAddr,
    /// When it is time to look.
    pub check_at: Instant,
}

impl OwnEnd {
    /// None where its address cannot be watched: it is loopback, or the system does not list it.
    pub fn of(stream: &TcpStream) -> Option<Self> {
        let ip = stream.local_addr().ok()?.ip().to_canonical();
        let watched = !ip.is_loopback() && OwnNetworks::now().include(ip);
        watched.then(|| Self { ip, check_at: Instant::now() + ADDRESS_CHECK })
    }

    /// Looks: the address, if it is gone.
    pub fn lost(&mut self) -> Option<IpAddr> {
        self.check_at = Instant::now() + ADDRESS_CHECK;
        OwnNetworks::now().lack(self.ip).then_some(self.ip)
    }
}

fn same_network(own: &IfAddr, ip: IpAddr) -> bool {
    match (own, ip) {
        (IfAddr::V4(own), IpAddr::V4(ip)) => {
            own.ip.to_bits() & own.netmask.to_bits() == ip.to_bits() & own.netmask.to_bits()
        }
        (IfAddr::V6(own), IpAddr::V6(ip)) => {
            own.ip.to_bits() & own.netmask.to_bits() == ip.to_bits() & own.netmask.to_bits()
        }
        _ => false,
    }
}

/// Whether a single machine can be there: the address is not unspecified, multicast, broadcast or reserved, nor the port 0.
pub fn is_dialable(addr: SocketAddr) -> bool {
    let machine = match addr.ip().to_canonical() {
        // 0.0.0.0/8 is "this network" (RFC 1122, section 3.2.1.3), 240.0.0.0/4 reserved, with the broadcast address at its end.
        IpAddr::V4(ip) => !ip.is_multicast() && !matches!(ip.octets(), [0 | 240..=255, ..]),
        // ::/96 has the unspecified address, loopback, and IPv4 addresses in a form that is out of use (RFC 4291, section 2.5.5.1).
        IpAddr::V6(ip) => !ip.is_multicast() && (ip.is_loopback() || ip.to_bits() > u128::from(u32::MAX)),
    };
    machine && addr.port() != 0
}

/// Whether an address means something on one link alone.
pub fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Whether an address is of a network that is not reached from outside it.
pub fn is_private(ip: IpAddr) -> bool {
    /// What unique local addresses replaced (RFC 3879).
    const SITE_LOCAL: u16 = 0xfec0;
    let private = match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.segments()[0] & 0xffc0 == SITE_LOCAL,
    };
    private || is_link_local(ip)
}

/// Whether a listener at `bound` is reached at the own address `ip`.
pub fn is_bound(bound: &[SocketAddr], ip: IpAddr) -> bool {
    let is = |bound: &SocketAddr| bound.ip().is_unspecified() && (bound.is_ipv6() || ip.is_ipv4()) || bound.ip() == ip;
    bound.iter().any(is)
}

/// Whether an address is of the range that providers and some VPNs use inside (RFC 6598).
pub fn is_shared(ip: IpAddr) -> bool {
    const NETWORK: u32 = Ipv4Addr::new(100, 64, 0, 0).to_bits();
    matches!(ip, IpAddr::V4(ip) if ip.to_bits() & 0xffc0_0000 == NETWORK)
}

/// Whether an address may be reached from everywhere, as far as it tells.
pub fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let special = ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_shared(ip.into());
            // 198.18.0.0/15 is for measurements; from 224 on multicast and reserved.
            !special && first != 0 && first < 224 && !(first == 198 && second & 0xfe == 18)
        }
        // All of global unicast that is given away.
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

/// Whether an interface of this name is one of containers or virtual machines, which nobody else reaches.
pub fn is_virtual(interface: &str) -> bool {
    ["docker", "br-", "veth", "virbr", "cni"].iter().any(|kind| interface.starts_with(kind))
}

/// Where another machine may reach what is bound to `bound`: `named` first (addresses that only the user knows), then the addresses that the
/// system would use outward, then those of other interfaces. Loopback when there is nothing else.
pub fn own_candidates(bound: &[SocketAddr], named: &[Candidate]) -> Vec<Candidate> {
    let mut found = named.to_vec();
    let mut add = |ip: IpAddr, port| {
        let candidate = SocketAddr::new(ip, port).into();
        // A link-local address means nothing without an interface of the other machine.
        if !(is_link_local(ip) || ip.is_loopback() || ip.is_unspecified() || found.contains(&candidate)) {
            found.push(candidate);
        }
    };
    let own = OwnNetworks::now();
    for addr in bound {
        add(addr.ip(), addr.port());
        if addr.ip().is_unspecified() {
            let others = own.0.iter().filter(|one| !is_virtual(&one.name));
            let all = outward().into_iter().chain(others.map(Interface::ip));
            all.filter(|ip| addr.is_ipv6() || ip.is_ipv4()).for_each(|ip| add(ip, addr.port()));
        }
    }
    if found.is_empty() {
        let loopback = |addr: &SocketAddr| match addr.ip() {
            ip if !ip.is_unspecified() => *addr,
            _ => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), addr.port()),
        };
        found.extend(bound.first().map(loopback).map(Candidate::from));
    }
    found
}

/// The IPv6 and the IPv4 address that the system would use towards the internet.
fn outward() -> Vec<IpAddr> {
    // A documentation address (RFC 5737), as the one of IPv6 (RFC 3849): routed by default, owned by nobody.
    let v4 = own_address_towards(Ipv4Addr::new(192, 0, 2, 1).into());
    outward_v6().into_iter().chain(v4).collect()
}

pub(super) fn outward_v6() -> Option<IpAddr> {
    own_address_towards(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
}

/// The address that the system would use towards another; none when it has no route there. Nothing is sent.
pub(super) fn own_address_towards(to: IpAddr) -> Option<IpAddr> {
    let from: IpAddr = if to.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((from, 0)).ok()?;
    // Port 9 discards what it is sent (RFC 863).
    socket.connect((to, 9)).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip())
}

/// What the listening peer has to type so that it dials this side, which dialled these addresses from `port`.
pub(super) fn toward_hint(port: NonZeroU16, dialled: &[SocketAddr]) -> String {
    // An address that the peer sees as well: no router changes it.
    let networks = OwnNetworks::now();
    let is_seen =
        |peer: IpAddr, own: IpAddr| is_global(own) || networks.contain(peer) || is_shared(own) && is_shared(peer);
    let own = dialled.iter().filter_map(|peer| own_address_towards(peer.ip()).filter(|own| is_seen(peer.ip(), *own)));
    let seen = own.max_by_key(|own| (is_global(*own), own.is_ipv6()));
    let place = match seen {
        Some(own) => SocketAddr::new(own, port.get()).to_string(),
        None => format!("YOUR_PUBLIC_ADDRESS:{port}"),
    };
    // Brackets are patterns for some shells.
    let argument = if place.starts_with('[') { format!("\"{place}\"") } else { place.clone() };
    let nat = "\na router that changes the ports of connections, as that of many providers, cannot be passed like this";
    let nat = if seen.is_none() { nat } else { "" };
    format!(
        "your peer, who listens, types /toward {place} while this side dials (--wait dials until then)\n\
         or begins so: p2pchat listen PORT --toward {argument}{nat}"
    )
}

/// Which address is tried first, the lowest: one in an own network, then global IPv6, then global IPv4.
pub fn preference(ip: IpAddr, own: &OwnNetworks) -> u8 {
    match ip {
        _ if own.contain(ip) => 0,
        _ if is_private(ip) || is_shared(ip) => 3,
        IpAddr::V6(_) => 1,
        IpAddr::V4(_) => 2,
    }
}

/// Why no connection to `addr` could be made; `took` is the time until the system said so.
pub fn explain(addr: SocketAddr, error: &io::Error, took: Duration, own: &OwnNetworks) -> String {
    use ErrorKind as Kind;
    let ip = addr.ip();
    let near = own.contain(ip);
    let elsewhere = is_private(ip) && !near;
    match error.kind() {
        Kind::ConnectionRefused => "connection refused\n\
            nobody listens there, or a firewall refuses callers; the peer runs `p2pchat listen PORT` first (--wait tries until it does)"
            .to_owned(),
        Kind::InvalidInput if is_link_local(ip) => {
            format!("{ip} needs an interface: {ip}%NAME\nthis machine has {}", own.names())
        }
        Kind::NetworkUnreachable if ip.is_ipv6() && !own.have_ipv6() => {
            "this machine has no IPv6\nask for an IPv4 address".to_owned()
        }
        Kind::TimedOut | Kind::HostUnreachable | Kind::NetworkUnreachable if is_shared(ip) && !near => {
            let why = io_error_text(error);
            format!("{why}\n{ip} is an address inside a provider's network or a VPN such as Tailscale")
        }
        Kind::HostUnreachable | Kind::PermissionDenied if took < REJECTED => {
            let at = addr.port();
            format!(
                "rejected by a firewall\nat the other side: sudo firewall-cmd --add-port={at}/tcp, or sudo ufw allow {at}/tcp"
            )
        }
        Kind::HostUnreachable => {
            let fact = if near {
                format!("no machine answers at {ip} on this network")
            } else {
                "a router on the way finds no machine there".to_owned()
            };
            format!("{fact}\nit is off or asleep, or has another address by now")
        }
        Kind::TimedOut | Kind::NetworkUnreachable if elsewhere => format!(
            "{ip} is a private address and this machine is not in its network\nask for an invite made with listen --map, or use a VPN"
        ),
        Kind::NetworkUnreachable if own_address_towards(ip).is_none() => {
            format!("this machine has no way to {ip}\nis it connected to a network?")
        }
        Kind::TimedOut if near => {
            "no answer\nthe machine is off, its firewall drops this, or this Wi-Fi keeps its devices apart".to_owned()
        }
        Kind::TimedOut => "no answer\nthe machine is off, or a firewall drops the connection".to_owned(),
        // ICMP has more kinds of rejection, each with an error of its own.
        _ => format!("{}\na router or a firewall on the way may reject this", io_error_text(error)),
    }
}

/// Why a name has no address.
pub fn explain_name(candidate: &Candidate, error: &io::Error) -> String {
    let why = io_error_text(error);
    let hint = match &*why {
        NO_NAME_SERVER => "\nis this machine online?",
        NO_NAME => "\ncheck how it is written",
        _ => "",
    };
    format!("cannot find {candidate}: {why}{hint}")
}

/// The port to dial from cannot be had.
pub(super) fn explain_port(port: NonZeroU16, error: &io::Error) -> String {
    let hint = if error.kind() == ErrorKind::AddrInUse { "\nanother program has it; choose another port" } else { "" };
    format!("cannot dial from port {port}: {}{hint}", io_error_text(error))
}

/// Why nobody was reached; with the address where the explanation does not name it. `hint` goes before what the explanations have.
pub(super) fn unreached(whom: &str, all: &[(Option<SocketAddr>, String)], hint: Option<&str>) -> String {
    let fact_of = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let text = match all {
        [] => format!("cannot connect to {whom}: it has no address that can be dialled"),
        [(None, only)] => fact_of(only),
        [(Some(_), only)] => format!("cannot connect to {whom}: {}", fact_of(only)),
        several => {
            let fact = |(addr, text): &(Option<SocketAddr>, String)| match (addr, fact_of(text)) {
                (Some(addr), fact) if !fact.contains(&addr.ip().to_string()) => format!("{addr}: {fact}"),
                (_, fact) => fact,
            };
            let facts: Vec<_> = several.iter().map(fact).collect();
            format!("cannot reach {whom} at any of {} addresses: {}", several.len(), facts.join("; "))
        }
    };
    let mut hints: Vec<_> = all.iter().filter_map(|(_, text)| text.split_once('\n')).map(|(_, hint)| hint).collect();
    hints.dedup();
    let own = match hints[..] {
        [] => None,
        [only] => Some(only),
        _ => Some(
            "p2pchat doctor, run there and here, looks for reasons; if both are at home, --toward (see p2pchat man)",
        ),
    };
    hint.or(own).map_or_else(|| text.clone(), |hint| format!("{text}\n{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::{IfOperStatus, Ifv4Addr};

    impl OwnNetworks {
        /// 10.77.0.0/24 alone.
        pub(in crate::net) fn of_tests() -> Self {
            own()
        }
    }

    fn own() -> OwnNetworks {
        let addr = Ifv4Addr {
            ip: Ipv4Addr::new(10, 77, 0, 2),
            netmask: Ipv4Addr::new(255, 255, 255, 0),
            prefixlen: 24,
            broadcast: None,
        };
        OwnNetworks(vec![Interface {
            name: "eth0".into(),
            addr: IfAddr::V4(addr),
            index: Some(2),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
            #[cfg(windows)]
            adapter_name: String::new(),
        }])
    }

    #[test]
    fn each_cause_has_its_words() {
        use ErrorKind as K;
        let cases = [
            ("10.77.0.9", K::ConnectionRefused, 0, "connection refused"),
            ("10.77.0.9", K::HostUnreachable, 0, "rejected by a firewall"),
            ("2001:db8::1", K::PermissionDenied, 1, "rejected by a firewall"),
            ("10.77.0.99", K::HostUnreachable, 3, "no machine answers at 10.77.0.99 on this network"),
            ("10.77.0.99", K::TimedOut, 10, "no answer"),
            ("192.168.1.5", K::TimedOut, 10, "192.168.1.5 is a private address and this machine is not in its network"),
            ("2001:db8::1", K::NetworkUnreachable, 0, "this machine has no IPv6"),
            ("fe80::1", K::InvalidInput, 0, "fe80::1 needs an interface: fe80::1%NAME"),
            ("203.0.113.7", K::TimedOut, 10, "no answer"),
        ];
        for (ip, kind, seconds, fact) in cases {
            let addr = SocketAddr::new(ip.parse().unwrap(), 5000);
            let explanation = explain(addr, &kind.into(), Duration::from_secs(seconds), &own());
            assert_eq!(explanation.lines().next(), Some(fact), "{ip} {kind:?}");
        }
        let shared = explain("100.64.1.1:1".parse().unwrap(), &K::TimedOut.into(), REJECTED, &own());
        let hint = "100.64.1.1 is an address inside a provider's network or a VPN such as Tailscale";
        assert_eq!(shared.lines().nth(1), Some(hint));
    }

    #[test]
    fn a_listener_at_all_addresses_of_ipv4_is_not_reached_by_ipv6() {
        let is_bound = |bound: &str, ip: &str| is_bound(&[bound.parse().unwrap()], ip.parse().unwrap());
        assert!(is_bound("0.0.0.0:1", "192.0.2.1") && !is_bound("0.0.0.0:1", "2001:db8::1"));
        assert!(is_bound("[::]:1", "192.0.2.1") && is_bound("[::]:1", "2001:db8::1"));
        assert!(is_bound("192.0.2.1:1", "192.0.2.1") && !is_bound("192.0.2.1:1", "192.0.2.2"));
    }

    #[test]
    fn networks_are_told_by_their_mask() {
        for (ip, near) in [("10.77.0.200", true), ("10.77.1.2", false), ("::1", false)] {
            assert_eq!(own().contain(ip.parse().unwrap()), near, "{ip}");
        }
        assert!(is_shared("100.127.255.255".parse().unwrap()) && !is_shared("100.128.0.0".parse().unwrap()));
    }
}
