//! Dialling: all candidates of the peer, within one deadline; again while the user waits; again after a loss.
//!
//! [`Dialler::dial`] runs on a thread of its own, in rounds with growing pauses ([`super::backoff`]), and reports to the event loop once.
//! It checks a flag that the event loop sets, so that nothing dials on after the session ended.

#[cfg(test)]
mod tests;

use super::address::Candidate;
use super::backoff::{Backoff, Wake};
use super::lan::{self, BROWSE_TIME, Search};
use super::opening::{ConnectError, DialCredentials, Established, initiate};
use super::proxy::ProxyPolicy;
use super::race::{Failure, race};
use super::reach::{self, OwnNetworks};
use crate::channel::{HandshakeError, HelloError};
use crate::keys::Pin;
use crate::protocol::frame::{Greeting, Intent, Refusal};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Said after a loss: a listener that has the session lets its peer in without a code.
const STARTED_ANEW: &str = "the peer uses a code: it was started anew, and has lost this session\nend it here, and connect again with the code";

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

impl DialError {
    /// Whether the listener lets nobody in without a code.
    fn wants_code(&self) -> bool {
        matches!(self, Self::InviteSpent | Self::Open(_, ConnectError::Hello(HelloError::TheyUseACode)))
    }
}

fn open_words(address: &str, error: &ConnectError) -> String {
    match error {
        // These words name the address themselves.
        ConnectError::Handshake(HandshakeError::KeyRejected(rejected)) => rejected.to_string(),
        other => format!("{address}: {other}"),
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

/// What one run of the dialling thread is asked for.
pub struct DialRequest {
    pub greeting: Greeting,
    pub until: Until,
    /// Addresses that the peer named: nothing is said of failures there, and one that refuses is not tried again.
    pub told: Vec<SocketAddr>,
    /// The first round goes without a pause.
    pub at_once: bool,
    /// Say why the first round failed, whatever it was: the user may have to do something about it.
    pub explain: bool,
}

/// When dialling ends without a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After one round.
    Tried,
    /// When somebody takes the connection, and it is not the peer: `--wait`.
    Answered,
    /// When the peer of a lost session says that it does not have it any more. Only what is authenticated counts.
    Forgotten,
}

impl Until {
    fn is_over(self, error: &DialError) -> bool {
        match (self, error) {
            (Self::Tried, _) => true,
            (Self::Answered, error) => !matches!(error, DialError::Unreached(_)),
            (Self::Forgotten, error) => {
                matches!(error, DialError::Open(_, ConnectError::Refused(Refusal::NoSuchSession)))
            }
        }
    }
}

impl Dialler {
    /// Dials until there is a session, it is over, or it is stopped. A code of the credentials is used for a new session, and to resume
    /// where the listener takes nobody without: it was restarted, and says so.
    ///
    /// `on_failure` gets the words for an answer that was not the peer's, when they differ from the last.
    pub fn dial(
        &self,
        request: DialRequest,
        wake: &Wake,
        on_failure: &dyn Fn(String),
    ) -> Result<Established, DialError> {
        let DialRequest { greeting, until, mut told, at_once, mut explain } = request;
        let mut backoff = Backoff::default();
        let mut search = self.look_for.map(Search::start);
        let mut said = None;
        let resumes = greeting.intent == Intent::Resume;
        let open = DialCredentials { code: None, ..self.credentials.clone() };
        let first = if resumes { &open } else { &self.credentials };
        // Who is not found on the network yet may be at the next round.
        let search_for = if until == Until::Forgotten { Duration::ZERO } else { BROWSE_TIME };
        if !at_once {
            wake.pause(backoff.next());
        }
        loop {
            if wake.is_stopped() {
                return Err(DialError::Stopped);
            }
            let begun = Instant::now();
            let mut dialled = self.dial_once(first, &greeting, &mut told, search.as_mut(), search_for, wake);
            if resumes && self.credentials.code.is_some() && dialled.as_ref().is_err_and(DialError::wants_code) {
                dialled = self.dial_once(&self.credentials, &greeting, &mut Vec::new(), None, Duration::ZERO, wake);
            }
            let error = match dialled {
                Err(error) if !until.is_over(&error) => error,
                over => return over,
            };
            let is_silence = matches!(error, DialError::Open(_, ConnectError::Io(_)) | DialError::Unreached(_));
            if std::mem::take(&mut explain) || !is_silence {
                let words = match &error {
                    DialError::Open(address, ConnectError::Hello(HelloError::TheyUseACode)) => {
                        format!("{address}: {STARTED_ANEW}")
                    }
                    error => error.to_string(),
                };
                if said.as_ref() != Some(&words) {
                    said = Some(words.clone());
                    on_failure(words);
                }
            }
            // A round from a fixed port that used its time up is followed at once by the next ([`super::simultaneous_open`]).
            if self.from.is_none() || begun.elapsed() < self.timeout {
                wake.pause(backoff.next());
            }
        }
    }

    /// The peer is searched on the own network for `search_for` when there is nobody to be dialled.
    fn dial_once(
        &self,
        credentials: &DialCredentials,
        greeting: &Greeting,
        told: &mut Vec<SocketAddr>,
        mut search: Option<&mut Search>,
        search_for: Duration,
        wake: &Wake,
    ) -> Result<Established, DialError> {
        let until = Instant::now() + search_for;
        let deadline = Instant::now() + self.timeout;
        let (direct, mut failures) = match self.dial_by_proxy(&self.candidates, credentials, deadline, greeting) {
            Ok(established) => return Ok(established),
            Err(rest) => rest,
        };
        let by_proxy = self.proxies.proxy().is_some();
        if !direct.is_empty() || search.is_some() {
            let raced: &[SocketAddr] = if by_proxy { &[] } else { told };
            let while_searching = search.as_deref_mut().map(|search| (search, until));
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
                        failures.push(Failure::Told { addr, refuses: true });
                    }
                    Err(_) => {}
                }
            }
        }
        told.retain(|told| {
            !failures.iter().any(|one| matches!(one, Failure::Told { addr, refuses: true } if addr == told))
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
                Err(error) => Failure::NotDialled(format!("cannot connect to {candidate}: {error}")),
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
                Failure::NotDialled(words) => unreached.push((None, words)),
                // The same for every address.
                Failure::Port(port, error) => return DialError::Unreached(reach::explain_port(port, &error)),
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
                Failure::Overtaken | Failure::Told { .. } => {}
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
