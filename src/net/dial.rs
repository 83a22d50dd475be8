//! Dialling: all candidates of the peer, within one deadline; again while the user waits; again after a loss.
//!
//! 1. [`Dialler::connect`] runs on a thread of its own and reports to the event loop once.
//! 2. After a loss [`Dialler::redial`] does the same, with growing pauses, until the event loop stops it; there the peer's own word on
//!    where it is counts as well.
//! 3. Both check a flag that the event loop sets, so that nothing dials on after the session ended.

#[cfg(test)]
mod tests;

use super::address::Candidate;
use super::lan::{self, BROWSE_TIME, Search};
use super::opening::{ConnectError, DialCredentials, Established, initiate};
use super::proxy::ProxyPolicy;
use super::race::{Failure, SearchUntil, ToldFailure, race};
use super::reach::{self, OwnNetworks};
use crate::channel::{HandshakeError, HelloError};
use crate::error_text::io_error_text;
use crate::keys::Pin;
use crate::protocol::frame::{Greeting, Intent, Refusal};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use thiserror::Error;

/// The first pause before dialling again.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// The longest: a peer that is back waits at most so long.
const PAUSE_LONGEST: Duration = Duration::from_secs(5);

/// How often a pause checks whether the machine was asleep.
const SLEEP_CHECK: Duration = Duration::from_secs(1);
/// The wall clock being so far ahead of the monotonic clock means that the machine was asleep.
const SLEPT: Duration = Duration::from_secs(2);

/// Why there is no session.
#[derive(Debug, Error)]
pub enum DialError {
    /// Nobody answered; why, for each candidate.
    #[error("{0}")]
    Unreached(String),
    /// Somebody at this address answered, and the opening failed.
    #[error("{}", open_words(.0, .1))]
    Open(String, #[source] ConnectError),
    /// The listener answered, and does not take the secret.
    #[error("the invite is not good any more: it was used, or the peer's listen was started anew\nask for a fresh one")]
    InviteSpent,
    /// The event loop stopped it.
    #[error("dialling was stopped")]
    Stopped,
}

fn open_words(address: &str, error: &ConnectError) -> String {
    match error {
        // These words name the address themselves.
        ConnectError::Handshake(HandshakeError::KeyRejected(rejected)) => rejected.to_string(),
        other => format!("{address}: {other}"),
    }
}

/// Lets the event loop stop a dialling thread, or end its pause.
#[derive(Debug, Default)]
pub struct Wake {
    state: Mutex<WakeState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct WakeState {
    stopped: bool,
    try_now: bool,
}

impl Wake {
    /// No more tries.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Try now.
    pub fn now(&self) {
        self.lock().try_now = true;
        self.changed.notify_all();
    }

    /// Whether somebody called [`Wake::stop`].
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits for `pause`, or less when woken, or when the machine was asleep meanwhile.
    fn pause(&self, pause: Duration) {
        let (begun, wall_clock) = (Instant::now(), SystemTime::now());
        let mut state = self.lock();
        while !state.stopped && !state.try_now && begun.elapsed() < pause {
            let left = pause.saturating_sub(begun.elapsed()).min(SLEEP_CHECK);
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            // The monotonic clock stands still while the machine sleeps.
            let slept = wall_clock.elapsed().unwrap_or_default().saturating_sub(begun.elapsed());
            if slept > SLEPT {
                break;
            }
        }
        state.try_now = false;
    }

    fn lock(&self) -> MutexGuard<'_, WakeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom to dial, and how.
#[derive(Clone)]
pub struct Dialler {
    /// Where the peer may be.
    pub candidates: Vec<Candidate>,
    /// What messages call the peer: the address as typed, a name, `your peer`.
    pub whom: String,
    /// An invite says where it is; it may be a used one, whose peer is dialled by its key.
    pub invited: bool,
    /// For connecting and the opening together.
    pub timeout: Duration,
    pub credentials: DialCredentials,
    pub proxies: Arc<ProxyPolicy>,
    /// Look for the peer on the own network as well, by this pin of its key.
    pub look_for: Option<Pin>,
    /// `--from`: the port to dial from, to which the peer dials as well.
    pub from: Option<NonZeroU16>,
}

impl Dialler {
    /// Dials once; with `wait` until somebody takes the connection. From a fixed port the peer has to do something: what, is said by
    /// `on_failure` when the first round failed.
    ///
    /// # Errors
    /// See [`DialError`].
    pub fn connect(
        &self,
        greeting: &Greeting,
        wait: bool,
        wake: &Wake,
        on_failure: &dyn Fn(String),
    ) -> Result<Established, DialError> {
        let mut backoff = Backoff::default();
        let mut search = self.look_for.map(Search::start);
        let mut tell = self.from.map(|_| on_failure);
        loop {
            let begun = Instant::now();
            let search = search.as_mut();
            let failure = match self.dial_once(&self.credentials, greeting, &mut Vec::new(), search, BROWSE_TIME, wake)
            {
                Err(error @ DialError::Unreached(_)) if wait => error,
                other => return other,
            };
            if let Some(tell) = tell.take() {
                tell(failure.to_string());
            }
            self.pause(begun, &mut backoff, wake);
            if wake.is_stopped() {
                return Err(failure);
            }
        }
    }

    /// Dials until the session is back, the peer says that it is gone, or it is stopped. A code of the credentials is used for a new
    /// session, and to resume where the listener takes nobody without: it was restarted, and says so.
    ///
    /// `told` are addresses that the peer named: nothing is said of failures there, and one that refuses is not tried again. `at_once`
    /// leaves out the pause before the first try; `on_failure` gets the words for an answer that was not the peer's, when they differ
    /// from the last.
    ///
    /// # Errors
    /// [`DialError::Stopped`], or the peer's word that there is no such session.
    pub fn redial(
        &self,
        greeting: &Greeting,
        mut told: Vec<SocketAddr>,
        at_once: bool,
        wake: &Wake,
        on_failure: &dyn Fn(String),
    ) -> Result<Established, DialError> {
        let mut backoff = Backoff::default();
        let mut search = self.look_for.map(Search::start);
        let mut said = None;
        let open = DialCredentials { code: None, ..self.credentials.clone() };
        let (first, code) = match greeting.intent {
            Intent::New => (&self.credentials, None),
            Intent::Resume => (&open, self.credentials.code.as_ref()),
        };
        if !at_once {
            wake.pause(backoff.next());
        }
        loop {
            if wake.is_stopped() {
                return Err(DialError::Stopped);
            }
            let begun = Instant::now();
            // Who is not found on the network yet may be at the next try.
            let mut dialled = self.dial_once(first, greeting, &mut told, search.as_mut(), Duration::ZERO, wake);
            let wants_code = matches!(
                dialled,
                Err(DialError::InviteSpent | DialError::Open(_, ConnectError::Hello(HelloError::TheyUseACode)))
            );
            if code.is_some() && wants_code {
                dialled = self.dial_once(&self.credentials, greeting, &mut Vec::new(), None, Duration::ZERO, wake);
            }
            match dialled {
                Ok(opened) => return Ok(opened),
                Err(DialError::Open(address, error)) if error.is_forgotten() => {
                    return Err(DialError::Open(address, error));
                }
                Err(DialError::Open(_, ConnectError::Io(_)) | DialError::Unreached(_)) => {}
                Err(error) => {
                    let words = error.to_string();
                    if said.as_ref() != Some(&words) {
                        said = Some(words.clone());
                        on_failure(words);
                    }
                }
            }
            self.pause(begun, &mut backoff, wake);
        }
    }

    /// Pauses after a round that began then. One from a fixed port that used its time up is followed at once by the next
    /// ([`super::simultaneous_open`]).
    fn pause(&self, begun: Instant, backoff: &mut Backoff, wake: &Wake) {
        if self.from.is_none() || begun.elapsed() < self.timeout {
            wake.pause(backoff.next());
        }
    }

    /// The peer is searched for `patience` when there is nobody to be dialled.
    fn dial_once(
        &self,
        credentials: &DialCredentials,
        greeting: &Greeting,
        told: &mut Vec<SocketAddr>,
        mut search: Option<&mut Search>,
        patience: Duration,
        wake: &Wake,
    ) -> Result<Established, DialError> {
        let until = Instant::now() + patience;
        let deadline = Instant::now() + self.timeout;
        let (direct, mut failures) = match self.dial_by_proxy(&self.candidates, credentials, deadline, greeting) {
            Ok(established) => return Ok(established),
            Err(rest) => rest,
        };
        let by_proxy = self.proxies.proxy().is_some();
        if !direct.is_empty() || search.is_some() {
            let raced: &[SocketAddr] = if by_proxy { &[] } else { told };
            let while_searching = search.as_mut().map(|search| SearchUntil { search, until });
            match race(&direct, raced, while_searching, deadline, credentials, greeting, self.from) {
                Ok(established) => return Ok(established),
                Err(of_race) => failures.extend(of_race),
            }
        }
        let refused = |one: &Failure| matches!(one, Failure::Open(_, ConnectError::Refused(_)));
        if by_proxy && !failures.iter().any(refused) {
            // They cannot race, and a proxy may take all of the time to find that the first one does not answer.
            for addr in told.iter().copied().filter(|addr| !self.candidates.contains(&(*addr).into())) {
                if wake.is_stopped() {
                    break;
                }
                match self.dial_by_proxy(&[addr.into()], credentials, Instant::now() + self.timeout, greeting) {
                    Ok(established) => return Ok(established),
                    Err((_, of_one)) if of_one.iter().any(refused) => {
                        failures.push(Failure::Told(addr, ToldFailure::Refused));
                    }
                    Err(_) => {}
                }
            }
        }
        told.retain(|told| {
            !failures.iter().any(|one| matches!(one, Failure::Told(addr, ToldFailure::Refused) if addr == told))
        });
        Err(self.why_none(credentials, failures, search.as_deref()))
    }

    /// Dials what is dialled through a proxy, one candidate after the other, for all have the same way. Else gives the candidates that
    /// are dialled directly, and why the others failed.
    fn dial_by_proxy(
        &self,
        candidates: &[Candidate],
        credentials: &DialCredentials,
        deadline: Instant,
        greeting: &Greeting,
    ) -> Result<Established, (Vec<Candidate>, Vec<Failure>)> {
        let (mut direct, mut failures) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let connected = match self.proxies.proxy_for(candidate) {
                Ok(None) => {
                    direct.push(candidate.clone());
                    continue;
                }
                // A proxy is of another network than the private addresses of an invite.
                Ok(Some(_)) if candidates.len() > 1 && candidate.ip().is_some_and(reach::is_private) => continue,
                Ok(Some(proxy)) => proxy.connect(candidate, deadline),
                Err(error) => Err(error),
            };
            let failure = match connected {
                Ok((stream, addr)) => match initiate(stream, addr, deadline, credentials, greeting.clone()) {
                    Ok(established) => return Ok(established),
                    Err(error) => Failure::Open(addr, error),
                },
                Err(error) => Failure::Proxy(candidate.clone(), error),
            };
            let last = matches!(&failure, Failure::Open(_, error) if weight(error) != Weight::Other);
            failures.push(failure);
            if last {
                // The peer, or somebody with its secret, has answered: no other address changes that.
                return Err((Vec::new(), failures));
            }
        }
        Err((direct, failures))
    }

    /// One error for all candidates: what somebody answered counts more than that nobody did, a key that was turned down most.
    fn why_none(&self, credentials: &DialCredentials, failures: Vec<Failure>, search: Option<&Search>) -> DialError {
        let own = OwnNetworks::now();
        let mut answered: Option<(Weight, SocketAddr, ConnectError)> = None;
        let (mut unreached, mut dialled) = (Vec::new(), Vec::new());
        for failure in failures {
            match failure {
                Failure::Resolve(candidate, error) => unreached.push((None, reach::explain_name(&candidate, &error))),
                Failure::Proxy(candidate, error) => {
                    unreached.push((None, format!("cannot connect to {candidate}: {error}")))
                }
                // The same for every address.
                Failure::Port(port, error) => {
                    return DialError::Unreached(reach::explain_port(port, &error));
                }
                Failure::Connect(addr, error, took) => {
                    dialled.push(addr);
                    unreached.push((Some(addr), reach::explain(addr, &error, took, &own)));
                }
                Failure::Open(addr, error) => {
                    let weight = weight(&error);
                    if answered.as_ref().is_none_or(|(other, ..)| *other < weight) {
                        answered = Some((weight, addr, error));
                    }
                }
                Failure::System(error) => {
                    unreached.push((None, format!("cannot start a thread: {}", io_error_text(&error))));
                }
                Failure::Overtaken | Failure::Told(..) => {}
            }
        }
        if let Some(search) = search
            && (unreached.is_empty() || search.error().is_some())
        {
            unreached.push((None, lan::explain(Some(&self.whom), search.error())));
        }
        match answered {
            Some((Weight::Code, _, ConnectError::Hello(_))) if self.invited => DialError::InviteSpent,
            Some((Weight::Code, ..)) if self.invited && credentials.code.is_some() => DialError::InviteSpent,
            Some((_, _, error)) if self.candidates.len() == 1 => DialError::Open(self.whom.clone(), error),
            Some((_, addr, error)) => DialError::Open(addr.to_string(), error),
            None => {
                let hint = self.from.filter(|_| !dialled.is_empty()).map(|port| reach::toward_hint(port, &dialled));
                DialError::Unreached(reach::unreached(&self.whom, &unreached, hint.as_deref()))
            }
        }
    }
}

/// What an answer says of the peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Nothing: it may be somebody else.
    Other,
    /// It does not take the code, or takes nobody now.
    Code,
    Key,
}

fn weight(error: &ConnectError) -> Weight {
    match error {
        ConnectError::Handshake(HandshakeError::KeyRejected(_)) => Weight::Key,
        ConnectError::Handshake(
            HandshakeError::CodeUnanswered | HandshakeError::WrongCode | HandshakeError::NoTriesLeft,
        )
        | ConnectError::Hello(HelloError::TheyUseACode | HelloError::WeUseACode)
        | ConnectError::Refused(Refusal::Busy) => Weight::Code,
        _ => Weight::Other,
    }
}

/// Pauses that double, each up to half longer or shorter at random, so that many diallers do not come at once.
#[derive(Debug)]
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(PAUSE_FIRST)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSE_LONGEST);
        // Without randomness the pause is the plain one.
        let random = getrandom::u32().unwrap_or(1 << 31) >> 24;
        pause / 2 + pause * random / 256
    }
}
