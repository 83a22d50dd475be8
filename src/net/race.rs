//! One peer, several candidates: all are tried, and the first that answers with the right key is used.
//!
//! 1. Names are looked up, a thread each. A thread for each address, the next one after [`STAGGER`] or as soon as one failed. Each connects
//!    and does the opening.
//! 2. The first whose peer proves an accepted key wins. The others end before they send message 3, so a listener that is reached twice
//!    sees one greeting.
//! 3. When the winner of several fails after that, the race is run once more, for it kept the others out.
//! 4. Losing threads are not waited for; their deadline ends them.
//! 5. Addresses that a [`Search`] finds meanwhile take part.
//!
//! From a fixed port each address of the user's is dialled again until the deadline, for a simultaneous open.
//!
//! With a code that can be guessed only one opening at a time is under way, and none follows one that spent the code: each would be a
//! guess for a false responder (PROTOCOL.md section 3).

#[cfg(test)]
mod tests;

use super::address::Candidate;
use super::lan::Search;
use super::opening::{ConnectError, DialCredentials, Established, initiate};
use super::reach::{self, OwnNetworks};
use super::simultaneous_open::{self, ANSWERED_PAUSE, ATTEMPT};
use crate::channel::{Code, HandshakeError};
use crate::error_text::io_error_text;
use crate::keys::{KeyRejected, PublicKey};
use crate::protocol::frame::Greeting;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Between the starts of two addresses (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Races before the winner's failure is final.
const RACES: u32 = 2;
/// Addresses that are tried, those included that names were found to have.
const ADDRESSES: usize = 32;

/// Why a candidate did not lead to the peer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was not dialled: its name has no address, the proxy gave no connection, or no thread can be started. In words.
    NotDialled(String),
    Port(NonZeroU16, io::Error),
    /// No connection; and how long it took to say so.
    Connect(SocketAddr, io::Error, Duration),
    Open(SocketAddr, ConnectError),
    /// Another address was faster, or spent the code.
    Overtaken,
    /// At an address that the peer told; whether its key is there, and does not know the session.
    Told {
        addr: SocketAddr,
        refuses: bool,
    },
}

enum RaceReport {
    Found(Vec<SocketAddr>),
    Failed(Failure),
    Established(Box<Established>),
}

impl RaceReport {
    /// That of an address which the peer told.
    fn of_told(self, addr: SocketAddr) -> Self {
        match self {
            Self::Failed(Failure::Open(_, ConnectError::Refused(_))) => {
                Self::Failed(Failure::Told { addr, refuses: true })
            }
            Self::Failed(Failure::Connect(..) | Failure::Open(..)) => {
                Self::Failed(Failure::Told { addr, refuses: false })
            }
            other => other,
        }
    }
}

/// What the threads of one race share.
struct Race {
    credentials: DialCredentials,
    greeting: Greeting,
    /// The port to dial from, when that matters.
    from: Option<NonZeroU16>,
    deadline: Instant,
    /// A key was accepted.
    won: Arc<AtomicBool>,
    /// Held during an opening with a code that can be guessed; true once the code is spent.
    guess: Mutex<bool>,
}

/// Races for the peer. `told` are addresses that the peer named; they come after all `candidates`. With a search on the own network the
/// race goes on until the time beside it, also when nobody is left to be dialled.
///
/// # Errors
/// Why each candidate failed, in the order of the failures.
pub(super) fn race(
    candidates: &[Candidate],
    told: &[SocketAddr],
    mut search: Option<(&mut Search, Instant)>,
    deadline: Instant,
    credentials: &DialCredentials,
    greeting: &Greeting,
    from: Option<NonZeroU16>,
) -> Result<Established, Vec<Failure>> {
    let mut failures = Vec::new();
    for _ in 0..RACES {
        let won = Arc::new(AtomicBool::new(false));
        let (credentials, greeting) = (credentials.clone(), greeting.clone());
        let race = Race { credentials, greeting, from, deadline, won: Arc::clone(&won), guess: Mutex::new(false) };
        match Arc::new(race).run(candidates, told, search.as_mut()) {
            Ok(established) => return Ok(established),
            Err(of_race) => failures = of_race,
        }
        let refused = |failure: &Failure| {
            matches!(failure, Failure::Open(_, ConnectError::Refused(_)) | Failure::Told { refuses: true, .. })
        };
        if !won.load(Ordering::Acquire) || failures.len() < 2 || failures.iter().any(refused) {
            break;
        }
    }
    Err(failures)
}

impl Race {
    fn run(
        self: &Arc<Self>,
        candidates: &[Candidate],
        told: &[SocketAddr],
        mut search: Option<&mut (&mut Search, Instant)>,
    ) -> Result<Established, Vec<Failure>> {
        let (tell, reports) = mpsc::channel();
        let own = OwnNetworks::now();
        let mut addresses = Addresses::new(candidates, told);
        let (mut running, mut failures) = (0_usize, Vec::new());
        for candidate in candidates {
            match candidate.ip() {
                Some(ip) => addresses.add(vec![SocketAddr::new(ip, candidate.port)], &own),
                None => {
                    running += 1;
                    let candidate = candidate.clone();
                    self.spawn(&tell, move |_| match candidate.resolve() {
                        Ok(found) => RaceReport::Found(found),
                        Err(error) => RaceReport::Failed(Failure::NotDialled(reach::explain_name(&candidate, &error))),
                    });
                }
            }
        }
        let mut next_start = Instant::now();
        // What names lead to is not taken for told.
        let told_from = next_start + STAGGER;
        loop {
            let found = search.as_mut().map(|(search, _)| search.found());
            addresses.add(found.unwrap_or_default(), &own);
            let won = self.won.load(Ordering::Acquire) || self.guess.try_lock().is_err();
            if !won
                && next_start <= Instant::now()
                && let Some((addr, told)) = addresses.next(told_from <= Instant::now())
            {
                running += 1;
                self.spawn(&tell, move |race| {
                    // The peer decides where it is, not how often this side knocks there.
                    if told { race.connect(addr, false).of_told(addr) } else { race.connect(addr, race.from.is_some()) }
                });
                next_start = Instant::now() + STAGGER;
            }
            let next = addresses.next_from(next_start, told_from).filter(|_| !won);
            let searching = search.as_ref().is_some_and(|(_, until)| Instant::now() < *until);
            if running == 0 && next.is_none() && (won || !searching) {
                return Err(failures);
            }
            let mut until = next.unwrap_or(self.deadline + STAGGER);
            if search.is_some() {
                until = until.min(Instant::now() + STAGGER);
            }
            match reports.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(RaceReport::Established(established)) => return Ok(*established),
                Ok(RaceReport::Found(found)) => {
                    running -= 1;
                    addresses.add(found, &own);
                }
                Ok(RaceReport::Failed(failure)) => {
                    running -= 1;
                    let last = self.is_last(&failure);
                    failures.push(failure);
                    if last {
                        return Err(failures);
                    }
                    next_start = Instant::now();
                }
                // Every thread ends by the deadline, but for one that looks up a name.
                Err(RecvTimeoutError::Timeout) if Instant::now() >= self.deadline => return Err(failures),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(failures),
            }
        }
    }

    /// Whether no other address is to be tried: who knows the code and has another key than the peer read the secret.
    fn is_last(&self, failure: &Failure) -> bool {
        match (failure, &self.credentials.code) {
            (Failure::Open(_, ConnectError::Handshake(error)), Some(code)) => {
                matches!(error, HandshakeError::KeyRejected(_)) || code.is_guessable() && error.spent_our_code()
            }
            _ => false,
        }
    }

    fn spawn(self: &Arc<Self>, tell: &Sender<RaceReport>, work: impl FnOnce(&Self) -> RaceReport + Send + 'static) {
        let (race, report, failed) = (Arc::clone(self), tell.clone(), tell.clone());
        let spawned = thread::Builder::new().name("candidate".into()).spawn(move || {
            let _ = report.send(work(&race));
        });
        if let Err(error) = spawned {
            let words = format!("cannot start a thread: {}", io_error_text(&error));
            let _ = failed.send(RaceReport::Failed(Failure::NotDialled(words)));
        }
    }

    /// Dials the address, with `again` until the deadline.
    fn connect(&self, addr: SocketAddr, again: bool) -> RaceReport {
        loop {
            let failure = match self.attempt(addr) {
                Ok(established) => return RaceReport::Established(Box::new(established)),
                Err(failure) => failure,
            };
            let pause = match &failure {
                Failure::Connect(_, error, _) => simultaneous_open::pause(error),
                // The peer gave this attempt up just as it succeeded.
                Failure::Open(_, ConnectError::ClosedHello | ConnectError::Io(_)) => Some(ANSWERED_PAUSE),
                _ => None,
            };
            let in_time = |pause: &Duration| Instant::now() + *pause < self.deadline;
            match pause.filter(in_time).filter(|_| again && !self.won.load(Ordering::Acquire)) {
                Some(pause) => thread::sleep(pause),
                None => return RaceReport::Failed(failure),
            }
        }
    }

    fn dial(&self, addr: SocketAddr) -> Result<TcpStream, Failure> {
        let begun = Instant::now();
        let left = self.deadline.saturating_duration_since(begun).max(Duration::from_millis(1));
        let connected = match self.from {
            None => TcpStream::connect_timeout(&addr, left),
            Some(port) => {
                let socket = simultaneous_open::bind(simultaneous_open::any_address(addr, port.get()))
                    .map_err(|error| Failure::Port(port, error))?;
                simultaneous_open::connect(socket, addr, left.min(ATTEMPT))
            }
        };
        connected.map_err(|error| Failure::Connect(addr, error, begun.elapsed()))
    }

    fn attempt(&self, addr: SocketAddr) -> Result<Established, Failure> {
        let stream = self.dial(addr)?;
        let guessable = self.credentials.code.as_deref().is_some_and(Code::is_guessable);
        let mut guess = guessable.then(|| self.guess.lock().unwrap_or_else(PoisonError::into_inner));
        if guess.as_deref() == Some(&true) || self.won.load(Ordering::Acquire) {
            return Err(Failure::Overtaken);
        }
        let overtaken = Arc::new(AtomicBool::new(false));
        let credentials = self.credentials_of_one(&overtaken);
        match initiate(stream, addr, self.deadline, &credentials, self.greeting.clone()) {
            Ok(established) => Ok(established),
            Err(_) if overtaken.load(Ordering::Acquire) => Err(Failure::Overtaken),
            Err(error) => {
                if let (Some(spent), ConnectError::Handshake(error)) = (&mut guess, &error) {
                    **spent = error.spent_our_code();
                }
                Err(Failure::Open(addr, error))
            }
        }
    }

    /// Credentials that accept a key only when no other address came so far before.
    fn credentials_of_one(&self, overtaken: &Arc<AtomicBool>) -> DialCredentials {
        let (accept_key, won, overtaken) =
            (Arc::clone(&self.credentials.accept_key), Arc::clone(&self.won), Arc::clone(overtaken));
        let first = move |key: &PublicKey| {
            let warning = accept_key(key)?;
            if won.swap(true, Ordering::AcqRel) {
                overtaken.store(true, Ordering::Release);
                return Err(KeyRejected("another address was faster".into()));
            }
            Ok(warning)
        };
        DialCredentials { accept_key: Arc::new(first), ..self.credentials.clone() }
    }
}

/// Which addresses of the candidates are dialled, and in which order.
struct Addresses {
    loopback: bool,
    seen: Vec<SocketAddr>,
    waiting: Vec<SocketAddr>,
    told: VecDeque<SocketAddr>,
}

impl Addresses {
    /// Loopback is another machine at the other end, so it is only meant by who names nothing else.
    fn new(candidates: &[Candidate], told: &[SocketAddr]) -> Self {
        let is_loopback = |candidate: &Candidate| candidate.ip().is_some_and(|ip| ip.to_canonical().is_loopback());
        let loopback = candidates.len() == 1 || candidates.iter().all(is_loopback);
        Self { loopback, seen: Vec::new(), waiting: Vec::new(), told: told.iter().copied().collect() }
    }

    /// Adds those that are dialled at all (who made the list may be hostile) and are not there yet; the most promising first.
    fn add(&mut self, found: Vec<SocketAddr>, own: &OwnNetworks) {
        for addr in found {
            let loopback = addr.ip().to_canonical().is_loopback();
            let dialled = reach::is_dialable(addr) && (self.loopback || !loopback) && self.seen.len() < ADDRESSES;
            if dialled && !self.seen.contains(&addr) {
                self.seen.push(addr);
                self.waiting.push(addr);
            }
        }
        self.waiting.sort_by_key(|addr| reach::preference(addr.ip(), own));
    }

    /// The next one, and whether the peer told it.
    fn next(&mut self, told_too: bool) -> Option<(SocketAddr, bool)> {
        if !self.waiting.is_empty() {
            return Some((self.waiting.remove(0), false));
        }
        while told_too && let Some(addr) = self.told.pop_front() {
            if !self.seen.contains(&addr) {
                self.seen.push(addr);
                return Some((addr, true));
            }
        }
        None
    }

    /// When the next one may start; none when there is none.
    fn next_from(&self, next_start: Instant, told_from: Instant) -> Option<Instant> {
        match (self.waiting.is_empty(), self.told.is_empty()) {
            (false, _) => Some(next_start),
            (true, false) => Some(next_start.max(told_from)),
            (true, true) => None,
        }
    }
}
