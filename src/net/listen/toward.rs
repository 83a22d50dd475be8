//! The listener's part of a simultaneous open: it dials where its user says that the peer dials from, from the port it listens on.
//!
//! 1. [`Listener::toward`](super::Listener::toward) names that address. No other is ever dialled.
//! 2. One thread dials it while a caller is wanted: before a session, and while one is lost. It ends when another address is named.
//!    Meanwhile the listening sockets do not hear that address (filter.rs).
//! 3. A connection becomes a caller as if it had been accepted (callers.rs), of that address; its opening is done on this thread.

use super::callers::Callers;
use super::{ListenEvent, Shared, filter};
use crate::channel::{HandshakeError, HandshakeStep};
use crate::net::address::Candidate;
use crate::net::opening::ConnectError;
use crate::net::reach::{self, OwnNetworks};
use crate::net::simultaneous_open::{self, ANSWERED_PAUSE, ATTEMPT};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Before the next try after an error that does not pass by itself, such as a missing route.
const FAULT_PAUSE: Duration = Duration::from_secs(5);
/// After so long without a connection a person is told what may be wrong.
const TELL_AFTER: Duration = Duration::from_secs(20);
/// Different things that are said of one address while callers are wanted: what answers there may say something else each time.
const TOLD: usize = 5;

/// One address that is dialled.
pub(super) struct Toward {
    state: Mutex<State>,
    /// A caller is wanted, or the thread has to end.
    changed: Condvar,
    /// The listener's.
    sockets: Vec<Weak<TcpListener>>,
}

#[derive(Default)]
struct State {
    wanted: bool,
    /// Counts the times that callers became wanted, or not.
    period: u64,
    closed: bool,
}

/// How an attempt ended that led to nobody.
enum Missed {
    /// Nobody answered; the pause before the next.
    Unmet(Duration),
    /// Somebody answered who was not let in.
    Rejected(ConnectError),
    /// An error that does not pass by itself, in words.
    Fault(String),
}

impl Toward {
    pub(super) fn new(sockets: Vec<Weak<TcpListener>>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), sockets }
    }

    pub(super) fn want(&self, wanted: bool) {
        let mut state = self.lock();
        if state.wanted != wanted {
            state.wanted = wanted;
            state.period += 1;
            if !wanted {
                self.filter(&[]);
            }
            self.changed.notify_all();
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits until a caller is wanted; which period of that it is. None when the address is to be dialled no more.
    fn next(&self) -> Option<u64> {
        let mut state = self.lock();
        while !state.closed && !state.wanted {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (!state.closed).then_some(state.period)
    }

    /// The listening sockets hear nothing of these addresses, in this period.
    fn ignore(&self, period: u64, addrs: &[SocketAddr]) {
        let state = self.lock();
        if !state.closed && state.period == period {
            self.filter(addrs);
        }
    }

    /// A system that does not let it has only fewer attempts that succeed.
    fn filter(&self, addrs: &[SocketAddr]) {
        self.sockets.iter().filter_map(Weak::upgrade).for_each(|socket| drop(filter::ignore(&socket, addrs)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// The thread of one address, which dials from one of `own`.
    pub(super) fn dial_toward(self: &Arc<Self>, toward: &Toward, target: &Candidate, own: &[SocketAddr]) {
        let (mut present, mut begun, mut told) = (0, Instant::now(), Vec::new());
        while let Some(period) = toward.next() {
            if period != present {
                (present, begun, told) = (period, Instant::now(), Vec::new());
            }
            let attempted = match one_address(target) {
                Ok(addr) => {
                    toward.ignore(period, &[addr]);
                    self.attempt(own, addr)
                }
                Err(error) => Err(Missed::Fault(reach::explain_name(target, &error))),
            };
            let unmet = || (begun.elapsed() >= TELL_AFTER && toward.next() == Some(period)).then(|| unmet(target));
            let (pause, words) = match attempted {
                Ok(()) => (ANSWERED_PAUSE, unmet()),
                Err(Missed::Unmet(pause)) => (pause, unmet()),
                // It knew what it needed, and left before it said who it is.
                Err(Missed::Rejected(ConnectError::Handshake(HandshakeError::Closed(HandshakeStep::Message3)))) => {
                    (ANSWERED_PAUSE, None)
                }
                Err(Missed::Rejected(error)) => {
                    (ANSWERED_PAUSE, Some(format!("{target} answered and was turned away: {error}")))
                }
                Err(Missed::Fault(words)) => {
                    toward.ignore(period, &[]);
                    (FAULT_PAUSE, Some(words))
                }
            };
            if let Some(words) = words.filter(|words| told.len() < TOLD && !told.contains(words)) {
                told.push(words.clone());
                self.tell(ListenEvent::Missed(words));
            }
            thread::sleep(pause);
        }
    }

    /// Dials once. A caller that came of it has its whole opening here.
    fn attempt(self: &Arc<Self>, own: &[SocketAddr], addr: SocketAddr) -> Result<(), Missed> {
        let begun = Instant::now();
        let connected = own_address(own, addr)
            .and_then(simultaneous_open::bind)
            .and_then(|socket| simultaneous_open::connect(socket, addr, ATTEMPT));
        match connected {
            Ok(stream) => {
                let deadline = Instant::now() + self.timeout;
                let Some((admitted, stream)) = Callers::admit(self, stream, addr.ip()) else { return Ok(()) };
                self.receive(&admitted, stream, addr, deadline).map_err(Missed::Rejected)
            }
            Err(error) => Err(match simultaneous_open::pause(&error) {
                Some(pause) => Missed::Unmet(pause),
                None => {
                    let explained = reach::explain(addr, &error, begun.elapsed(), &OwnNetworks::now());
                    Missed::Fault(format!("cannot dial toward {addr}: {explained}"))
                }
            }),
        }
    }
}

/// The first address of a host that can be dialled: more would take turns, and the firewall of each wants a dialling socket all the time.
fn one_address(target: &Candidate) -> io::Result<SocketAddr> {
    let found = target.resolve()?.into_iter().find(|addr| reach::is_dialable(*addr));
    found.ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "it has no address that can be dialled"))
}

/// Where to dial from: the address listened on, of the family of `peer`. A socket for both families has an IPv6 address.
fn own_address(own: &[SocketAddr], peer: SocketAddr) -> io::Result<SocketAddr> {
    let of_family = own.iter().find(|own| own.is_ipv4() == peer.is_ipv4());
    let of_both = own.iter().find(|own| own.ip().is_unspecified());
    match (of_family, of_both) {
        (Some(own), _) => Ok(*own),
        (None, Some(both)) => Ok(simultaneous_open::any_address(peer, both.port())),
        (None, None) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("this side listens on {} alone", if peer.is_ipv4() { "IPv6" } else { "IPv4" }),
        )),
    }
}

fn unmet(target: &Candidate) -> String {
    format!(
        "nobody has come from {target} yet; it is dialled again and again\n\
         your peer has to dial at the same time, from that very port: p2pchat connect … --from {}\n\
         a router that changes the ports of connections, as that of many providers, cannot be passed like this",
        target.port
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_dials_from_where_it_listens() {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (v4, v6) = (parse("192.0.2.9:6000"), parse("[2001:db8::9]:6000"));
        for (own, peer, from) in [
            ("[::]:5000", v6, Some("[::]:5000")),
            ("[::]:5000", v4, Some("0.0.0.0:5000")),
            ("192.0.2.1:5000", v4, Some("192.0.2.1:5000")),
            ("192.0.2.1:5000", v6, None),
        ] {
            assert_eq!(own_address(&[parse(own)], peer).ok(), from.map(parse), "{own} {peer}");
        }
    }
}
