//! Which routers are asked, and from which own addresses.

use super::upnp::RouterSearch;
use super::{MapError, pcp};
use crate::net::reach::{self, own_address_towards};
use crate::net::routes::default_routes;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Routers that are asked: a second one where there are two ways out.
const GATEWAYS: usize = 2;
/// Own addresses that are asked for, or from: the stable and a temporary one, say.
const OWN: usize = 2;

/// A way out by IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gateway {
    pub(super) own: IpAddr,
    /// Where the system tells it.
    pub(super) router: Option<IpAddr>,
}

/// The ways out by IPv4.
pub(super) fn gateways() -> Result<Vec<Gateway>, MapError> {
    let mut found = Vec::new();
    if let Some(routes) = default_routes() {
        for router in routes.iter().filter_map(|route| route.gateway).filter(IpAddr::is_ipv4) {
            let gateway = own_address_towards(router).map(|own| Gateway { own, router: Some(router) });
            found.extend(gateway.filter(|gateway| !found.contains(gateway)));
        }
        found.truncate(GATEWAYS);
    } else {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let own = interfaces.iter().filter(|one| reach::is_private(one.ip()) && one.ip().is_ipv4());
        let own = own.filter(|one| !reach::is_virtual(&one.name)).map(|one| Gateway { own: one.ip(), router: None });
        found.extend(own.take(OWN));
    }
    if found.is_empty() { Err(MapError::NoRouter) } else { Ok(found) }
}

/// From where PCP is asked, and where. A router that the system does not tell is whoever answers the search.
pub(super) fn servers(gateways: &[Gateway], search: &RouterSearch) -> Vec<(IpAddr, SocketAddr)> {
    let told = gateways.iter().filter_map(|gateway| Some((gateway.own, gateway.router?)));
    let mut servers: Vec<_> = told.collect();
    if servers.is_empty() {
        servers.extend(search.found().map(|found| (found.own, found.description.server.ip())));
    }
    servers.into_iter().map(|(own, router)| (own, SocketAddr::new(router, pcp::PORT))).collect()
}

/// The own global addresses of IPv6 that a listener at `bound` is reached at, the one that the system prefers first, each with the PCP
/// server of its router.
pub(super) fn pinholes(bound: &[SocketAddr]) -> Vec<(Ipv6Addr, SocketAddrV6)> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let preferred = reach::outward_v6();
    for route in default_routes().unwrap_or_default() {
        let Some(IpAddr::V6(router)) = route.gateway else { continue };
        let on_link: Vec<_> = interfaces.iter().filter(|one| one.name == route.interface).collect();
        let Some(scope) = on_link.iter().find_map(|one| one.index) else { continue };
        let mut own: Vec<_> = on_link.iter().map(|one| one.ip()).filter(|ip| reach::is_bound(bound, *ip)).collect();
        own.sort_by_key(|ip| Some(*ip) != preferred);
        let global = own.into_iter().filter(|ip| reach::is_global(*ip));
        let own = global.filter_map(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None });
        let found: Vec<_> = own.take(OWN).map(|own| (own, SocketAddrV6::new(router, pcp::PORT, 0, scope))).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}
