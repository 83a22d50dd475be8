//! A mapping that was granted: by which protocol it is renewed and deleted, and when it is due.

use super::pcp::{self, Assigned, NONCE, Server};
use super::upnp::Service;
use super::{LIFETIME, MapReport, Method};
use crate::net::stopwatch::Stopwatch;
use std::net::SocketAddr;
use std::time::Duration;

/// A longer lease is renewed as one of a day.
const LONGEST: u32 = 86_400;
/// A shorter lease is none: it would have to be renewed every few seconds.
pub(super) const BRIEFEST: u32 = 10;
/// Pause after a renewal that failed, unless the lease ends before.
const RETRY: Duration = Duration::from_secs(60);
/// How often a wait looks whether the machine was asleep.
const SLEEP_CHECK: Duration = Duration::from_secs(30);
/// For one of them: requests by datagram, and UPnP's.
const DELETE_WAITS: [Duration; 2] = [Duration::from_millis(200); 2];
const DELETE: Duration = Duration::from_millis(400);

/// How a mapping is renewed and deleted.
pub(super) enum Lease {
    /// By PCP or NAT-PMP.
    Datagrams(Server, Method),
    Upnp(Service),
    Pinhole(Service, u16),
}

pub(super) struct Mapping {
    lease: Lease,
    pub(super) assigned: Assigned,
    granted: Stopwatch,
    /// After the grant.
    renew_at: Duration,
    ends_at: Duration,
    /// Said to be lost.
    pub(super) lost: bool,
}

impl Mapping {
    pub(super) fn new(lease: Lease, assigned: Assigned) -> Self {
        let (granted, renew_at, ends_at) = (Stopwatch::start(), Duration::ZERO, Duration::ZERO);
        let mut mapping = Self { lease, assigned, granted, renew_at, ends_at, lost: false };
        mapping.extend(assigned);
        mapping
    }

    pub(super) fn extend(&mut self, assigned: Assigned) {
        self.assigned = Assigned { seconds: assigned.seconds.min(LONGEST), ..assigned };
        (self.granted, self.lost) = (Stopwatch::start(), false);
        // A lease without end is looked at as well: a router that starts anew forgets it.
        let seconds = if assigned.seconds == 0 { LIFETIME } else { self.assigned.seconds };
        self.ends_at = Duration::from_secs(seconds.into());
        self.renew_at = self.ends_at / 2;
    }

    /// It could not be renewed, and `is_deleted` or ends some day. Whether that is news.
    pub(super) fn fail(&mut self, is_deleted: bool) -> bool {
        let now = self.granted.elapsed();
        if is_deleted {
            self.ends_at = now;
        }
        let ended = self.ends_at <= now;
        self.renew_at = if ended { now + RETRY } else { self.ends_at.min(now + RETRY) };
        ended && !std::mem::replace(&mut self.lost, true)
    }

    pub(super) fn is_due(&self) -> bool {
        self.granted.elapsed() >= self.renew_at
    }

    /// For how long to wait before looking whether it is due: not for all of it, since waits stand still while the machine sleeps.
    pub(super) fn wait(&self) -> Duration {
        self.renew_at.saturating_sub(self.granted.elapsed()).min(SLEEP_CHECK)
    }

    /// Asks for it again. None when the router does not extend it.
    pub(super) fn renew(&self, port: u16, nonce: &[u8; NONCE]) -> Option<Assigned> {
        let before = self.assigned.external;
        match &self.lease {
            Lease::Datagrams(server, by) => server.map(*by, nonce, port, Some(before), LIFETIME, &pcp::WAITS)?.ok(),
            Lease::Upnp(service) => {
                let ip = service.external_address().ok()?.into();
                let (external_port, seconds) = service.add(before.port(), port).ok()?;
                Some(Assigned { external: SocketAddr::new(ip, external_port), seconds })
            }
            Lease::Pinhole(service, pinhole) => service.keep_open(*pinhole).ok().map(|()| self.assigned),
        }
    }

    /// Some routers refuse to delete a pinhole that was renewed; it ends by itself.
    pub(super) fn delete(&self, port: u16, nonce: &[u8; NONCE]) {
        match &self.lease {
            Lease::Datagrams(server, by) => drop(server.map(*by, nonce, port, None, 0, &DELETE_WAITS)),
            Lease::Upnp(service) => service.within(DELETE).delete(self.assigned.external.port()),
            Lease::Pinhole(service, pinhole) => service.within(DELETE).shut(*pinhole),
        }
    }

    pub(super) fn report(&self) -> MapReport {
        let by = match self.lease {
            Lease::Datagrams(_, by) => by,
            Lease::Upnp(_) | Lease::Pinhole(..) => Method::Upnp,
        };
        MapReport::Mapped { addr: self.assigned.external, by, seconds: self.assigned.seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_due_while_the_machine_slept_is_due_when_it_wakes() {
        let server = Server::new("127.0.0.1".parse().unwrap(), "127.0.0.1:9".parse().unwrap()).unwrap();
        let assigned = Assigned { external: "203.0.113.7:5000".parse().unwrap(), seconds: 7_200 };
        let mut mapping = Mapping::new(Lease::Datagrams(server, Method::NatPmp), assigned);
        assert!(!mapping.is_due() && mapping.wait() <= SLEEP_CHECK);
        mapping.granted = Stopwatch::with_sleep(Duration::from_secs(3_700));
        assert!(mapping.is_due());
        assert!(!mapping.fail(false), "it still lets callers in");
        mapping.granted = Stopwatch::with_sleep(Duration::from_secs(7_300));
        assert!(mapping.fail(false) && !mapping.fail(false), "it has ended, which is said once");
        assert!(!mapping.is_due(), "a router that does not answer is asked each minute");
    }
}
