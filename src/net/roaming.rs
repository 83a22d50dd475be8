//! A listener that moves: what it tells its peer of its addresses, and which of them the peer dials (ADDRS, PROTOCOL.md section 6).
//!
//! 1. The listener looks at its addresses when [`super::reach::OwnEnd`] looks; [`Announcement`] says whether they are to be sent.
//! 2. The dialler keeps the latest list of the session in [`PeerAddrs`].
//! 3. When the connection is lost, those that [`permitted`] lets through are dialled beside the ones that the user named.
//!
//! Invariant: a hostile listener makes nobody dial what only the dialler reaches (its own machine and network), nor past its proxy.

use super::proxy::ProxyPolicy;
use super::reach::{self, OwnNetworks};
use crate::protocol::error::ProtocolError;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpStream};
use std::time::Duration;

/// The least time between two lists on a connection.
const INTERVAL: Duration = Duration::from_secs(5);
/// What each list that comes takes of the budget, which time refills: less than [`INTERVAL`], since clocks differ.
const COST: Duration = Duration::from_secs(4);
/// The budget: eight lists may come together. A connection that delivers nothing for so long as eight intervals is lost long before.
const BUDGET: Duration = Duration::from_secs(8 * COST.as_secs());

/// What the listener told on one connection, and when.
#[derive(Debug, Default)]
pub struct Announcement(Option<(Duration, Vec<SocketAddr>)>);

impl Announcement {
    /// Whether this list is to be sent now: it is another than the last, and the last was not sent just before.
    pub fn is_due(&mut self, now: Duration, list: &[SocketAddr]) -> bool {
        let due = self.0.as_ref().is_none_or(|(at, told)| told != list && now >= *at + INTERVAL);
        if due {
            self.0 = Some((now, list.to_vec()));
        }
        due
    }
}

/// Where the peer says that it listens.
#[derive(Debug, Default)]
pub struct PeerAddrs {
    latest: Vec<SocketAddr>,
    /// When the budget of the present connection is whole again.
    whole_at: Duration,
}

impl PeerAddrs {
    /// On another connection the budget is whole.
    pub fn connected(&mut self) {
        self.whole_at = Duration::ZERO;
    }

    /// A list came.
    ///
    /// # Errors
    /// When they come too often.
    pub fn take(&mut self, now: Duration, list: Vec<SocketAddr>) -> Result<(), ProtocolError> {
        self.whole_at = self.whole_at.max(now) + COST;
        if self.whole_at > now + BUDGET {
            return Err(ProtocolError::AddrsTooOften);
        }
        self.latest = list;
        Ok(())
    }

    pub fn latest(&self) -> &[SocketAddr] {
        &self.latest
    }
}

/// Where a connection led, as far as it decides what else may be dialled.
#[derive(Debug, Clone, Copy)]
pub struct PeerEnd {
    remote: SocketAddr,
    /// Into a private network, or one that this machine is part of.
    near: bool,
    /// To this very machine.
    own: bool,
}

impl PeerEnd {
    /// That of a connection that stands.
    pub fn of(stream: &TcpStream) -> Option<Self> {
        let remote = stream.peer_addr().ok()?;
        let (ip, own) = (remote.ip().to_canonical(), OwnNetworks::now());
        Some(Self { remote, near: is_inner(ip) || own.contain(ip), own: own.include(ip) })
    }

    /// The address as it may be dialled.
    fn permit(&self, addr: SocketAddr, own: &OwnNetworks) -> Option<SocketAddr> {
        let (ip, remote) = (addr.ip().to_canonical(), self.remote.ip().to_canonical());
        // What a tunnel hides of this side would be seen at any other address.
        if remote.is_loopback() || !is_other_machine(addr) || (own.include(ip) && !self.own) {
            return None;
        }
        let scope = match self.remote {
            SocketAddr::V6(remote) => remote.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        match ip {
            ip if reach::is_link_local(ip) && (!reach::is_link_local(remote) || ip.is_ipv4() != remote.is_ipv4()) => {
                None
            }
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(SocketAddrV6::new(ip, addr.port(), 0, scope).into()),
            ip if is_inner(ip) && !self.near => None,
            ip => Some(SocketAddr::new(ip, addr.port())),
        }
    }
}

/// Those of `told` that may be dialled after the loss of a connection that led there.
pub fn permitted(told: &[SocketAddr], peer_end: PeerEnd, proxies: &ProxyPolicy) -> Vec<SocketAddr> {
    if proxies.proxy().is_some() {
        let by_proxy = |addr: &SocketAddr| matches!(proxies.proxy_for(&(*addr).into()), Ok(Some(_)));
        let public = |addr: &SocketAddr| is_other_machine(*addr) && !is_inner(addr.ip());
        let canonical = told.iter().map(|addr| SocketAddr::new(addr.ip().to_canonical(), addr.port()));
        return canonical.filter(public).filter(by_proxy).collect();
    }
    let own = OwnNetworks::now();
    told.iter().filter_map(|addr| peer_end.permit(*addr, &own)).collect()
}

/// Whether a single machine can be there that is not the one that dials.
fn is_other_machine(addr: SocketAddr) -> bool {
    reach::is_dialable(addr) && !addr.ip().to_canonical().is_loopback()
}

/// Whether an address means another machine in each network.
fn is_inner(ip: IpAddr) -> bool {
    reach::is_private(ip) || reach::is_shared(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|addr| addr.parse().unwrap()).collect()
    }

    #[test]
    fn a_list_is_sent_when_it_is_news_and_not_more_often_than_it_may() {
        let mut announcement = Announcement::default();
        let seconds = Duration::from_secs;
        let (a, b) = (addrs(&["192.0.2.1:1"]), addrs(&["192.0.2.2:1"]));
        assert!(announcement.is_due(seconds(9), &[]), "the first of a connection takes earlier ones back");
        assert!(!announcement.is_due(seconds(13), &a));
        assert!(announcement.is_due(seconds(14), &a));
        assert!(!announcement.is_due(seconds(99), &a));
        assert!(announcement.is_due(seconds(99), &b));
    }

    #[test]
    fn an_honest_listener_never_tells_too_often_and_a_flood_is_noticed() {
        let seconds = Duration::from_secs;
        let mut peer = PeerAddrs::default();
        for n in 0..10_000_u64 {
            // Its clock is faster by a fifth, and all it sends in 20 s comes together.
            let sent = Duration::from_millis(n * 4_170);
            let came = seconds((sent.as_secs() / 20 + 1) * 20);
            assert_eq!(peer.take(came, Vec::new()), Ok(()), "{n}");
        }
        let mut peer = PeerAddrs::default();
        let list = addrs(&["192.0.2.1:1"]);
        assert!((0..8).all(|_| peer.take(seconds(1), list.clone()).is_ok()));
        assert_eq!(peer.take(seconds(4), Vec::new()), Err(ProtocolError::AddrsTooOften));
        assert_eq!(peer.latest(), list);
    }

    /// What may be dialled of everything that is told.
    fn permitted(remote: &str, near: bool, told: &[&str]) -> Vec<String> {
        let peer_end = PeerEnd { remote: remote.parse().unwrap(), near, own: false };
        let own = OwnNetworks::default();
        addrs(told).iter().filter_map(|addr| peer_end.permit(*addr, &own)).map(|addr| addr.to_string()).collect()
    }

    const NEVER: [&str; 18] = [
        "127.0.0.1:22",
        "127.9.9.9:22",
        "[::1]:22",
        "[::ffff:127.0.0.1]:22",
        "0.0.0.0:22",
        "0.1.2.3:22",
        "[::]:22",
        "[::ffff:0.0.0.0]:22",
        "224.0.0.1:22",
        "239.255.255.250:1900",
        "[ff02::1]:22",
        "[::ffff:224.0.0.1]:22",
        "255.255.255.255:22",
        "[::ffff:255.255.255.255]:22",
        "240.0.0.1:22",
        "192.0.2.7:0",
        "[2001:db8::7]:0",
        "[::127.0.0.1]:22",
    ];
    const INNER: [&str; 7] = [
        "10.0.0.1:22",
        "172.16.0.1:22",
        "192.168.1.1:80",
        "100.64.0.1:22",
        "[fd00::1]:22",
        "[::ffff:192.168.1.1]:80",
        "[fec0::1]:22",
    ];
    const LINK: [&str; 3] = ["169.254.1.1:22", "[fe80::1]:22", "[::ffff:169.254.1.1]:22"];
    const PUBLIC: [&str; 2] = ["192.0.2.7:5000", "[2001:db8::7]:5000"];

    #[test]
    fn what_a_hostile_listener_names_is_not_dialled() {
        let all: Vec<&str> = NEVER.into_iter().chain(INNER).chain(LINK).chain(PUBLIC).collect();
        assert_eq!(permitted("203.0.113.1:1", false, &all), PUBLIC);
        let mut inner = INNER.to_vec();
        inner[5] = "192.168.1.1:80";
        for remote in ["10.9.0.1:1", "203.0.113.1:1"] {
            assert_eq!(permitted(remote, true, &all), [&inner[..], &PUBLIC].concat());
        }
        for remote in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(permitted(remote, true, &all).is_empty(), "{remote}");
        }
        let linked = permitted("[fe80::9%7]:1", true, &LINK);
        assert_eq!(linked, ["[fe80::1%7]:22"]);
        assert_eq!(permitted("169.254.9.9:1", true, &LINK), ["169.254.1.1:22", "169.254.1.1:22"]);
    }
}
