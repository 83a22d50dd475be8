//! A mapping that was granted: by which protocol it is renewed and deleted, and when it is due.

use super::pcp::{self, Answer, Assigned, NONCE, Server};
use super::upnp::Service;
use super::{LIFETIME, Mapped, Method, Report};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A longer lease is renewed as one of a day.
pub(super) const LONGEST: u32 = 86_400;
/// No router makes this side ask more often.
const RENEW_LEAST: Duration = Duration::from_secs(5);
/// For one of them: requests by datagram, and UPnP's.
const DELETE_WAITS: [Duration; 2] = [Duration::from_millis(200); 2];
const DELETE: Duration = Duration::from_millis(400);

/// How a mapping is renewed and deleted.
pub(super) enum Lease {
    Pcp(Server),
    NatPmp(Server),
    Upnp(Service),
    Pinhole(Service, u16),
}

pub(super) struct Mapping {
    pub(super) lease: Lease,
    pub(super) assigned: Assigned,
    pub(super) renew_at: Instant,
    pub(super) ends_at: Instant,
    /// Said to be lost.
    pub(super) lost: bool,
}

impl Mapping {
    pub(super) fn new(lease: Lease, assigned: Assigned) -> Self {
        let now = Instant::now();
        let mut mapping = Self { lease, assigned, renew_at: now, ends_at: now, lost: false };
        mapping.extend(assigned);
        mapping
    }

    pub(super) fn extend(&mut self, assigned: Assigned) {
        // A lease without end is looked at as well: a router that starts anew forgets it.
        let seconds = if assigned.seconds == 0 { LIFETIME } else { assigned.seconds.min(LONGEST) };
        let lease = Duration::from_secs(seconds.into());
        (self.assigned, self.lost) = (assigned, false);
        (self.renew_at, self.ends_at) = (Instant::now() + (lease / 2).max(RENEW_LEAST), Instant::now() + lease);
    }

    pub(super) fn report(&self) -> Report {
        let by = match self.lease {
            Lease::Pcp(_) => Method::Pcp,
            Lease::NatPmp(_) => Method::NatPmp,
            Lease::Upnp(_) | Lease::Pinhole(..) => Method::Upnp,
        };
        Report::Mapped(Mapped { addr: self.assigned.external, by, seconds: self.assigned.seconds })
    }
}

impl Lease {
    /// None when the router does not extend it.
    pub(super) fn renew(&self, port: u16, nonce: &[u8; NONCE], before: Assigned) -> Option<Assigned> {
        let at = Some(before.external);
        match self {
            Self::Pcp(server) => match server.map(nonce, port, at, LIFETIME, &pcp::WAITS)? {
                Answer::Pcp(assigned) => assigned.ok(),
                Answer::NatPmp => None,
            },
            Self::NatPmp(server) => server.map_by_nat_pmp(port, at, LIFETIME, &pcp::WAITS)?.ok(),
            Self::Upnp(service) => {
                let ip = service.external_address().ok()?.into();
                let (external_port, seconds) = service.add(before.external.port(), port).ok()?;
                Some(Assigned { external: SocketAddr::new(ip, external_port), seconds })
            }
            Self::Pinhole(service, pinhole) => service.keep_open(*pinhole).ok().map(|()| before),
        }
    }

    /// Some routers refuse to delete a pinhole that was renewed; it ends by itself.
    pub(super) fn delete(&self, port: u16, nonce: &[u8; NONCE], assigned: Assigned) {
        match self {
            Self::Pcp(server) => drop(server.map(nonce, port, None, 0, &DELETE_WAITS)),
            Self::NatPmp(server) => server.unmap_by_nat_pmp(port, &DELETE_WAITS),
            Self::Upnp(service) => service.within(DELETE).delete(assigned.external.port()),
            Self::Pinhole(service, pinhole) => service.within(DELETE).shut(*pinhole),
        }
    }
}
