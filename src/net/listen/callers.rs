//! Callers whose opening is under way: who is admitted, who is evicted, and how many threads they may have.

use super::Shared;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Callers that are unfinished at a time. At a round trip of 100 ms an opening takes half a second.
pub(super) const CALLERS: usize = 64;
/// Threads of callers, those included that were evicted and have not ended yet.
const THREADS: usize = 2 * CALLERS;

#[derive(Default)]
pub(super) struct Callers {
    state: Mutex<State>,
    /// A thread ended, or the listener closes.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    /// By order of arrival.
    unfinished: BTreeMap<u64, Unfinished>,
    threads: usize,
    closed: bool,
}

struct Unfinished {
    network: IpAddr,
    /// Shared with the caller's thread, whose reads and writes fail when this is shut down.
    stream: Arc<TcpStream>,
}

/// A caller that was admitted, and its thread, which drops this at its end.
pub(super) struct Admitted {
    shared: Arc<Shared>,
    number: u64,
}

impl Callers {
    /// Takes a caller in; `None` when the listener is closed. Waits while too many threads of evicted callers have not ended.
    pub(super) fn admit(shared: &Arc<Shared>, stream: TcpStream, ip: IpAddr) -> Option<(Admitted, Arc<TcpStream>)> {
        let callers = &shared.callers;
        let mut state = callers.lock();
        while !state.closed && state.threads >= THREADS {
            state = callers.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return None;
        }
        let network = network(ip);
        if state.unfinished.len() >= CALLERS
            && let Some(evicted) = state.to_evict(network).and_then(|number| state.unfinished.remove(&number))
        {
            let _ = evicted.stream.shutdown(Shutdown::Both);
        }
        let number = state.next;
        state.next += 1;
        state.threads += 1;
        let stream = Arc::new(stream);
        state.unfinished.insert(number, Unfinished { network, stream: Arc::clone(&stream) });
        Some((Admitted { shared: Arc::clone(shared), number }, stream))
    }

    /// Ends all openings, and admits nobody any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for caller in std::mem::take(&mut state.unfinished).into_values() {
            let _ = caller.stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    /// Whether the listener is closed.
    pub(super) fn are_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The oldest caller of the network that has most of them, a newcomer from `network` included.
    fn to_evict(&self, network: IpAddr) -> Option<u64> {
        let count = |of: IpAddr| {
            self.unfinished.values().filter(|caller| caller.network == of).count() + usize::from(of == network)
        };
        let most = self.unfinished.iter().max_by_key(|(number, caller)| (count(caller.network), Reverse(**number)));
        most.map(|(number, _)| *number)
    }
}

impl Admitted {
    /// The opening is over: gives the socket back, or nothing when the caller was evicted meanwhile.
    pub(super) fn release(&self, stream: Arc<TcpStream>) -> Option<TcpStream> {
        self.shared.callers.lock().unfinished.remove(&self.number)?;
        Arc::into_inner(stream)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.shared.callers.lock();
        state.unfinished.remove(&self.number);
        state.threads -= 1;
        self.shared.callers.changed.notify_one();
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, all of which one host may use.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_cannot_be_many_by_its_64_bits_of_ipv6() {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(parse("2001:db8:1:2:3:4:5:6")), parse("2001:db8:1:2::"));
        assert_ne!(network(parse("2001:db8:1:3:3:4:5:6")), parse("2001:db8:1:2::"));
        assert_eq!(network(parse("::ffff:192.0.2.1")), parse("192.0.2.1"));
        assert_ne!(network(parse("192.0.2.1")), network(parse("192.0.2.2")));
    }
}
