//! Dialling: every address of the peer, within one deadline; again while the user waits; again after a loss.
//!
//! 1. [`Dialler::connect`] runs on a thread of its own and reports to the owner once.
//! 2. After a loss [`Dialler::redial`] does the same, with growing pauses, until the owner's reconnect_timeout ends.
//! 3. Both look at a flag that the owner sets, so that nothing dials on after the session ended.

use super::address::Address;
use super::opening::{ConnectError, DialCredentials, Established, initiate};
use crate::channel::HandshakeError;
use crate::error_text::io_error_text;
use crate::protocol::frame::Greeting;
use std::io;
use std::net::TcpStream;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use thiserror::Error;

/// The first pause before dialling again.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// The longest: so long may a peer wait that is back.
const PAUSE_LONGEST: Duration = Duration::from_secs(5);

/// How often a pause looks whether the machine slept meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// So much more time on the wall clock than on the monotonic one, which stands still meanwhile, is a sleep.
const SLEPT: Duration = Duration::from_secs(2);

/// Why nobody was reached.
#[derive(Debug, Error)]
pub enum DialError {
    /// The name has no address.
    #[error("cannot find {0}: {cause}", cause = io_error_text(.1))]
    Resolve(Address, #[source] io::Error),
    /// No address could be connected to; the last one's reason.
    #[error("cannot connect to {0}: {cause}{hint}", cause = io_error_text(.1), hint = hint(.1))]
    Connect(Address, #[source] io::Error),
    /// Somebody answered, and it came to nothing.
    #[error("{}", open_words(.0, .1))]
    Open(Address, #[source] ConnectError),
    /// The owner does not want it any more.
    #[error("dialling was stopped")]
    Stopped,
}

fn open_words(address: &Address, error: &ConnectError) -> String {
    match error {
        // These words name the address themselves.
        ConnectError::Handshake(HandshakeError::KeyRejected(rejected)) => rejected.to_string(),
        other => format!("{address}: {other}"),
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "\nnobody listens there; the peer runs `p2pchat listen PORT` first (--wait tries until it does)"
        }
        io::ErrorKind::TimedOut => "\nthe machine is off, or a firewall swallows the connection",
        _ => "",
    }
}

/// Lets the owner stop a dialling thread, or wake it from its pause.
#[derive(Debug, Default)]
pub struct Wake {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Wake {
    /// No more tries.
    pub fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = true;
        self.changed.notify_all();
    }

    /// Try now.
    pub fn now(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for `pause`, or less when woken, by the owner or together with the machine.
    fn pause(&self, pause: Duration) {
        let (begun, by_the_wall) = (Instant::now(), SystemTime::now());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.0 && !state.1 && begun.elapsed() < pause {
            let left = pause.saturating_sub(begun.elapsed()).min(LOOK);
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            let slept = by_the_wall.elapsed().unwrap_or_default().saturating_sub(begun.elapsed());
            if slept > SLEPT {
                break;
            }
        }
        state.1 = false;
    }
}

/// Whom to dial, and how.
#[derive(Clone)]
pub struct Dialler {
    /// Where.
    pub address: Address,
    /// For connecting and the opening together.
    pub timeout: Duration,
    pub credentials: DialCredentials,
}

impl Dialler {
    /// Dials once; with `wait` until somebody takes the connection.
    ///
    /// # Errors
    /// See [`DialError`].
    pub fn connect(&self, greeting: &Greeting, wait: bool, wake: &Wake) -> Result<Established, DialError> {
        let mut pause = Pauses::default();
        loop {
            let failure = match self.once(greeting) {
                Err(error @ (DialError::Resolve(..) | DialError::Connect(..))) if wait => error,
                other => return other,
            };
            wake.pause(pause.next());
            if wake.is_stopped() {
                return Err(failure);
            }
        }
    }

    /// Dials until the session is back or the peer says that it is gone; gives up only when stopped. `at_once` is without a pause
    /// before the first try; `news` hears why somebody who answers is not the peer, once for each reason.
    ///
    /// # Errors
    /// [`DialError::Stopped`], or the peer's word that there is no such session.
    pub fn redial(
        &self,
        greeting: &Greeting,
        at_once: bool,
        wake: &Wake,
        news: &dyn Fn(String),
    ) -> Result<Established, DialError> {
        let mut pause = Pauses::default();
        let mut told = None;
        if !at_once {
            wake.pause(pause.next());
        }
        loop {
            if wake.is_stopped() {
                return Err(DialError::Stopped);
            }
            match self.once(greeting) {
                Ok(opened) => return Ok(opened),
                Err(DialError::Open(address, error)) if error.is_forgotten() => {
                    return Err(DialError::Open(address, error));
                }
                Err(DialError::Open(_, ConnectError::Io(_)) | DialError::Resolve(..) | DialError::Connect(..)) => {}
                Err(error) => {
                    let words = error.to_string();
                    if told.as_ref() != Some(&words) {
                        told = Some(words.clone());
                        news(words);
                    }
                }
            }
            wake.pause(pause.next());
        }
    }

    fn once(&self, greeting: &Greeting) -> Result<Established, DialError> {
        let deadline = Instant::now() + self.timeout;
        let address = || self.address.clone();
        let candidates = self.address.resolve().map_err(|error| DialError::Resolve(address(), error))?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let count = candidates.len();
        for (tried, addr) in candidates.into_iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            // One address that swallows packets must not use up the time of those behind it.
            let share = left / u32::try_from(count - tried).unwrap_or(1);
            if share.is_zero() {
                last = io::ErrorKind::TimedOut.into();
                break;
            }
            match TcpStream::connect_timeout(&addr, share) {
                Ok(stream) => {
                    let opened = initiate(stream, addr, deadline, &self.credentials, greeting.clone());
                    return opened.map_err(|error| DialError::Open(address(), error));
                }
                Err(error) => last = error,
            }
        }
        Err(DialError::Connect(address(), last))
    }
}

/// Growing pauses, each up to half longer or shorter by chance, so that many diallers do not come at once.
#[derive(Debug)]
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(PAUSE_FIRST)
    }
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSE_LONGEST);
        // Without randomness the pause is merely the plain one.
        let chance = getrandom::u32().unwrap_or(1 << 31) >> 24;
        pause / 2 + pause * chance / 256
    }
}
