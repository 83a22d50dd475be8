//! Which routers are asked, and from which own addresses.

use super::{MapError, pcp};
use crate::net::reach::{self, OwnNetworks, own_address_towards};
use crate::net::routes::default_routes;
use std::iter;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// Routers that are asked: a second one where there are two ways out.
const GATEWAYS: usize = 2;
/// Own addresses that are asked for, or from: the stable and a temporary one, say.
const OWN: usize = 2;

/// A way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gateway {
    pub(super) own: IpAddr,
    /// Where the system tells it.
    pub(super) router: Option<IpAddr>,
    /// Of the interface, by IPv6.
    pub(super) scope: u32,
}

impl Gateway {
    /// Where it would serve PCP.
    pub(super) fn server(&self) -> Option<SocketAddr> {
        Some(match self.router? {
            IpAddr::V4(router) => SocketAddr::new(router.into(), pcp::PORT),
            IpAddr::V6(router) => SocketAddrV6::new(router, pcp::PORT, 0, self.scope).into(),
        })
    }
}

/// For what one mapping is asked: all ways out by IPv4, or one own address of IPv6.
#[derive(Debug, Clone)]
pub(super) struct Way(pub(super) Vec<Gateway>);

impl Way {
    /// Whether nobody comes in by it any more: this machine has none of the own addresses, or those that go out there now go by other
    /// routers.
    pub(super) fn is_over(&self, networks: &OwnNetworks, present: &[Self]) -> bool {
        let is_another =
            |way: &Self| way.is_for_the_same(self) && !way.0.iter().any(|gateway| self.0.contains(gateway));
        self.0.iter().all(|gateway| networks.lack(gateway.own)) || present.iter().any(is_another)
    }

    /// Whether one mapping serves both.
    pub(super) fn is_for_the_same(&self, other: &Self) -> bool {
        let own = |way: &Self| way.0.iter().map(|gateway| gateway.own).find(IpAddr::is_ipv6);
        own(self) == own(other)
    }
}

/// What can be asked for, IPv4 first; when there is nothing, why not by IPv4.
pub(super) fn ways(bound: &[SocketAddr]) -> Result<Vec<Way>, MapError> {
    let pinholes: Vec<_> = pinholes(bound).into_iter().map(|own| Way(vec![own])).collect();
    match gateways_of(bound) {
        Ok(gateways) => Ok(iter::once(Way(gateways)).chain(pinholes).collect()),
        Err(error) if pinholes.is_empty() => Err(error),
        Err(_) => Ok(pinholes),
    }
}

/// The ways out by IPv4 from addresses that are listened at.
fn gateways_of(bound: &[SocketAddr]) -> Result<Vec<Gateway>, MapError> {
    if bound.iter().all(|bound| bound.ip().is_loopback()) {
        return Err(MapError::NotBound);
    }
    let mut gateways = gateways()?;
    gateways.retain(|gateway| reach::is_bound(bound, gateway.own));
    if gateways.is_empty() { Err(MapError::NotBound) } else { Ok(gateways) }
}

/// The ways out by IPv4.
pub(super) fn gateways() -> Result<Vec<Gateway>, MapError> {
    let mut found = Vec::new();
    if let Some(routes) = default_routes() {
        for router in routes.iter().filter_map(|route| route.gateway).filter(IpAddr::is_ipv4) {
            let gateway = own_address_towards(router).map(|own| Gateway { own, router: Some(router), scope: 0 });
            found.extend(gateway.filter(|gateway| !found.contains(gateway)));
        }
        found.truncate(GATEWAYS);
    } else {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let own = interfaces.iter().filter(|one| reach::is_private(one.ip()) && one.ip().is_ipv4());
        let own = own.filter(|one| !reach::is_virtual(&one.name)).map(|one| one.ip()).take(OWN);
        found.extend(own.map(|own| Gateway { own, router: None, scope: 0 }));
    }
    if found.is_empty() { Err(MapError::NoRouter) } else { Ok(found) }
}

/// The ways out from the own global addresses of IPv6 that a listener at `bound` is reached at, the one that the system prefers first.
fn pinholes(bound: &[SocketAddr]) -> Vec<Gateway> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let preferred = reach::outward_v6();
    for route in default_routes().unwrap_or_default() {
        let Some(router) = route.gateway.filter(IpAddr::is_ipv6) else { continue };
        let on_link: Vec<_> = interfaces.iter().filter(|one| one.name == route.interface).collect();
        let Some(scope) = on_link.iter().find_map(|one| one.index) else { continue };
        let mut own: Vec<_> = on_link.iter().map(|one| one.ip()).filter(|ip| reach::is_bound(bound, *ip)).collect();
        own.sort_by_key(|ip| Some(*ip) != preferred);
        let global = own.into_iter().filter(|ip| ip.is_ipv6() && reach::is_global(*ip)).take(OWN);
        let found: Vec<_> = global.map(|own| Gateway { own, router: Some(router), scope }).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_over_with_its_own_address_or_its_router_and_not_while_there_is_no_route() {
        // This machine is 10.77.0.2.
        let is_over = |way_text: &str, present: &[&str]| {
            let way = |text: &str| {
                let gateways = text.split(' ').map(|gateway| gateway.split_once('>').unwrap());
                let ip = |text: &str| text.parse().unwrap();
                Way(gateways
                    .map(|(own, router)| Gateway { own: ip(own), router: Some(ip(router)), scope: 0 })
                    .collect())
            };
            let present: Vec<_> = present.iter().copied().map(way).collect();
            way(way_text).is_over(&OwnNetworks::of_tests(), &present)
        };
        let here = "10.77.0.2>10.77.0.1";
        assert!(!is_over(here, &[here]) && !is_over(here, &[]));
        assert!(!is_over(here, &["10.9.0.2>10.9.0.1 10.77.0.2>10.77.0.1"]), "there is another as well");
        assert!(is_over(here, &["10.77.0.2>10.77.0.254"]) && is_over(here, &["10.9.0.2>10.9.0.1"]));
        assert!(!is_over(here, &["2001:db8::2>fe80::1"]), "that is another mapping");
        assert!(is_over("10.9.0.2>10.9.0.1", &["10.9.0.2>10.9.0.1"]) && is_over("10.9.0.2>10.9.0.1", &[]));
    }
}
