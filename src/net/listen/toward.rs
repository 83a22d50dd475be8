//! The listener's part of a simultaneous open: it dials where its user says that the peer dials from, from the port it listens on.
//!
//! 1. [`Listener::toward`](super::Listener::toward) names that address. No other is ever dialled.
//! 2. One thread dials it while a caller is wanted: before a session, and while one is lost. It ends when another address is named.
//!    Meanwhile the listening sockets do not hear that address (filter.rs).
//! 3. A connection becomes a caller as if it had been accepted (callers.rs), of that address. The thread waits for the end of its opening.

use super::{ListenEvent, Shared, filter};
use crate::net::address::Candidate;
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
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(super) struct Toward {
    state: Mutex<State>,
    /// A caller is wanted, or the thread has to end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Counts the addresses that were named; 0 while there is none.
    target: u64,
    wanted: bool,
    /// Counts the times that callers became wanted, or not.
    period: u64,
    /// The listener's.
    sockets: Vec<Weak<TcpListener>>,
    closed: bool,
}

impl State {
    /// The listening sockets hear nothing of these addresses. A system that does not let it has only fewer attempts that succeed.
    fn ignore(&self, addrs: &[SocketAddr]) {
        self.sockets.iter().filter_map(Weak::upgrade).for_each(|socket| drop(filter::ignore(&socket, addrs)));
    }
}

/// How an attempt ended that led to nobody.
struct Missed {
    pause: Duration,
    /// An error that does not pass by itself.
    words: Option<String>,
}

impl Toward {
    /// Another address is named: its number, for its thread.
    pub(super) fn named(&self, sockets: &[Weak<TcpListener>]) -> u64 {
        let mut state = self.lock();
        state.target += 1;
        state.sockets = sockets.to_vec();
        self.changed.notify_all();
        state.target
    }

    pub(super) fn is_named(&self) -> bool {
        self.lock().target > 0
    }

    pub(super) fn want(&self, wanted: bool) {
        let mut state = self.lock();
        if state.wanted != wanted {
            state.wanted = wanted;
            state.period += 1;
            if !wanted {
                state.ignore(&[]);
            }
            self.changed.notify_all();
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits until a caller is wanted; which period of that it is. None when the target is to be dialled no more.
    fn next(&self, target: u64) -> Option<u64> {
        let mut state = self.lock();
        while !state.closed && state.target == target && !state.wanted {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (!state.closed && state.target == target).then_some(state.period)
    }

    /// The listening sockets hear nothing of these addresses, in this period.
    fn ignore(&self, target: u64, period: u64, addrs: &[SocketAddr]) {
        let state = self.lock();
        if (state.target, state.period) == (target, period) {
            state.ignore(addrs);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// The thread of the address with this number, which dials from one of `own`.
    pub(super) fn dial_toward(self: &Arc<Self>, number: u64, target: &Candidate, own: &[SocketAddr]) {
        let (mut present, mut begun, mut told) = (0, Instant::now(), None);
        while let Some(period) = self.toward.next(number) {
            if period != present {
                (present, begun, told) = (period, Instant::now(), None);
            }
            let missed = match one_address(target) {
                Ok(addr) => {
                    self.toward.ignore(number, period, &[addr]);
                    self.attempt(own, addr)
                }
                Err(error) => {
                    let words = reach::explain_name(target, &error).to_string();
                    Some(Missed { pause: FAULT_PAUSE, words: Some(words) })
                }
            };
            let pause = missed.as_ref().map_or(ANSWERED_PAUSE, |missed| missed.pause);
            if let Some(words) = missed.and_then(|missed| missed.words) {
                self.toward.ignore(number, period, &[]);
                self.tell_missed(&mut told, words);
            } else if begun.elapsed() >= PATIENCE && self.toward.next(number) == Some(period) {
                self.tell_missed(&mut told, unmet(target));
            }
            thread::sleep(pause);
        }
    }

    /// Dials once. None when a caller came of it, whose opening is over by then.
    fn attempt(self: &Arc<Self>, own: &[SocketAddr], addr: SocketAddr) -> Option<Missed> {
        let begun = Instant::now();
        let connected = own_address(own, addr)
            .and_then(simultaneous_open::bind)
            .and_then(|socket| simultaneous_open::connect(socket, addr, ATTEMPT));
        match connected {
            Ok(stream) => {
                match self.take(stream, addr) {
                    Ok(caller) => drop(caller.map(thread::JoinHandle::join)),
                    Err(error) => self.tell(ListenEvent::Rejected(addr, error.into())),
                }
                None
            }
            Err(error) if simultaneous_open::may_pass(&error) => {
                Some(Missed { pause: simultaneous_open::pause(&error), words: None })
            }
            Err(error) => {
                let explained = reach::explain(addr, &error, begun.elapsed(), &OwnNetworks::now());
                Some(Missed { pause: FAULT_PAUSE, words: Some(format!("cannot dial toward {addr}: {explained}")) })
            }
        }
    }

    /// Says it unless it was said last.
    fn tell_missed(&self, told: &mut Option<String>, words: String) {
        if told.as_ref() != Some(&words) {
            *told = Some(words.clone());
            self.tell(ListenEvent::Missed(words));
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
