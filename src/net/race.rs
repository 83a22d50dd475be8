//! One peer, several addresses: all are tried, and the first that answers with the right key is used.
//!
//! 1. A thread for each address, the next one after [`STAGGER`] or as soon as one failed. Each connects and does the opening.
//! 2. The first whose peer proves an accepted key wins. The others end before they send anything of their own in the channel, so a
//!    listener that is reached twice sees one greeting.
//! 3. When the winner of several fails after that, the race is run once more, for it kept the others out.
//! 4. Losing threads are not waited for; their deadline ends them.

use super::opening::{ConnectError, DialCredentials, Established, initiate};
use crate::channel::HandshakeError;
use crate::keys::{KeyRejected, PublicKey};
use crate::protocol::frame::Greeting;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Between the starts of two addresses (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Races before the winner's failure is final.
const RACES: u32 = 2;

/// Why an address did not lead to the peer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection; and how long it took to say so.
    Connect(SocketAddr, io::Error, Duration),
    /// Somebody answered, and the opening failed.
    Open(SocketAddr, ConnectError),
    /// Another address was faster.
    Overtaken,
}

type Outcome = Result<Box<Established>, Failure>;

/// What the threads of one race share.
struct Race {
    credentials: DialCredentials,
    greeting: Greeting,
    deadline: Instant,
    won: Arc<AtomicBool>,
}

/// Races for the peer. `addrs` are in the order of preference.
///
/// # Errors
/// Why each address failed, in the order of the failures.
pub(super) fn race(
    addrs: &[SocketAddr],
    deadline: Instant,
    credentials: &DialCredentials,
    greeting: &Greeting,
) -> Result<Established, Vec<Failure>> {
    let mut failures = Vec::new();
    for _ in 0..RACES {
        let won = Arc::new(AtomicBool::new(false));
        let (credentials, greeting) = (credentials.clone(), greeting.clone());
        let race = Race { credentials, greeting, deadline, won: Arc::clone(&won) };
        match Arc::new(race).run(addrs) {
            Ok(established) => return Ok(established),
            Err(of_race) => failures = of_race,
        }
        if addrs.len() < 2 || !won.load(Ordering::Acquire) {
            break;
        }
    }
    Err(failures)
}

impl Race {
    fn run(self: &Arc<Self>, addrs: &[SocketAddr]) -> Result<Established, Vec<Failure>> {
        let (tell, outcomes) = mpsc::channel();
        let mut waiting = addrs.iter();
        let (mut running, mut failures) = (0, Vec::new());
        let mut next_start = Instant::now();
        loop {
            let won = self.won.load(Ordering::Acquire);
            if !won
                && next_start <= Instant::now()
                && let Some(addr) = waiting.next()
            {
                running += 1;
                self.start(*addr, tell.clone());
                next_start = Instant::now() + STAGGER;
            }
            if running == 0 {
                return Err(failures);
            }
            let until = if waiting.len() == 0 || won { self.deadline + STAGGER } else { next_start };
            match outcomes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Ok(established)) => return Ok(*established),
                Ok(Err(failure)) => {
                    running -= 1;
                    let last = self.is_last(&failure);
                    failures.push(failure);
                    if last {
                        return Err(failures);
                    }
                    next_start = Instant::now();
                }
                // Every thread ends by the deadline; one that is late is a failure of its address alone.
                Err(RecvTimeoutError::Timeout) if Instant::now() >= self.deadline => return Err(failures),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(failures),
            }
        }
    }

    /// Whether no other address is to be tried: who knows the code and has another key than the peer read the secret.
    fn is_last(&self, failure: &Failure) -> bool {
        let rejected = matches!(failure, Failure::Open(_, ConnectError::Handshake(HandshakeError::KeyRejected(_))));
        rejected && self.credentials.code.is_some()
    }

    fn start(self: &Arc<Self>, addr: SocketAddr, tell: Sender<Outcome>) {
        let race = Arc::clone(self);
        let failed = tell.clone();
        let thread = thread::Builder::new().name("candidate".into()).spawn(move || {
            let _ = tell.send(race.connect(addr));
        });
        if let Err(error) = thread {
            let _ = failed.send(Err(Failure::Connect(addr, error, Duration::ZERO)));
        }
    }

    fn connect(&self, addr: SocketAddr) -> Outcome {
        let begun = Instant::now();
        let left = self.deadline.saturating_duration_since(begun).max(Duration::from_millis(1));
        let stream =
            TcpStream::connect_timeout(&addr, left).map_err(|error| Failure::Connect(addr, error, begun.elapsed()))?;
        let overtaken = Arc::new(AtomicBool::new(false));
        let credentials = self.credentials_of_one(&overtaken);
        let opened = initiate(stream, addr, self.deadline, &credentials, self.greeting.clone());
        opened.map(Box::new).map_err(|error| match overtaken.load(Ordering::Acquire) {
            true => Failure::Overtaken,
            false => Failure::Open(addr, error),
        })
    }

    /// Credentials that accept a key only when no other address came so far before.
    fn credentials_of_one(&self, overtaken: &Arc<AtomicBool>) -> DialCredentials {
        let (accept_key, won, overtaken) =
            (Arc::clone(&self.credentials.accept_key), Arc::clone(&self.won), Arc::clone(overtaken));
        let first = move |key: &PublicKey| {
            let verdict = accept_key(key)?;
            if won.swap(true, Ordering::AcqRel) {
                overtaken.store(true, Ordering::Release);
                return Err(KeyRejected("another address was faster".into()));
            }
            Ok(verdict)
        };
        DialCredentials { accept_key: Arc::new(first), ..self.credentials.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Code, KeyVerdict};
    use crate::identity::Identity;
    use crate::net::address::Address;
    use crate::net::listen::{ListenCredentials, ListenEvent, Listener};
    use crate::protocol::frame::{Frame, Intent, RECONNECT_FOREVER};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::Receiver;

    const LONG: Duration = Duration::from_secs(60);

    fn listener(identity: &Arc<Identity>, code: Option<&Arc<Code>>) -> (Listener, SocketAddr, Receiver<ListenEvent>) {
        let (tell, events) = mpsc::channel();
        let credentials = ListenCredentials {
            identity: Arc::clone(identity),
            accept_key: Arc::new(|_: &_| Ok(KeyVerdict::default())),
            code: code.cloned(),
            timeout: LONG,
        };
        let address = Address { host: Some("127.0.0.1".into()), port: 0 };
        let listener = Listener::start(&address, credentials, move |event| drop(tell.send(event))).unwrap();
        let addr = listener.addrs()[0];
        (listener, addr, events)
    }

    /// Answers each greeting, as the event loop does, and counts them.
    fn answer(events: Receiver<ListenEvent>, greetings: Sender<()>) {
        thread::spawn(move || {
            let mut kept = Vec::new();
            for event in events {
                if let ListenEvent::PeerGreeted(mut peer) = event {
                    let greeting = Frame::Greeting(peer.greeting.clone());
                    crate::channel::write_frame(&mut &peer.stream, &mut peer.channel.sealer, &greeting).unwrap();
                    kept.push(peer);
                    greetings.send(()).unwrap();
                }
            }
        });
    }

    /// Somebody who takes connections, answers with `bytes`, and reads on.
    fn decoy(bytes: &'static [u8]) -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = socket.accept() {
                let _ = stream.read(&mut [0; 28]);
                let _ = stream.write_all(bytes);
                kept.push(stream);
            }
        });
        addr
    }

    fn dead() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn greeting() -> Greeting {
        Greeting {
            intent: Intent::New,
            session: [1; 16],
            received: 0,
            reconnect_timeout: RECONNECT_FOREVER,
            name: "ben".into(),
        }
    }

    fn credentials(wanted: &Identity, code: Option<&Arc<Code>>) -> DialCredentials {
        let wanted = wanted.public();
        let accept_key = move |key: &PublicKey| {
            if *key == wanted { Ok(KeyVerdict::default()) } else { Err(KeyRejected("another key".into())) }
        };
        let identity = Arc::new(Identity::generate().unwrap());
        DialCredentials { identity, code: code.cloned(), accept_key: Arc::new(accept_key) }
    }

    #[test]
    fn the_right_listener_wins_past_decoys_and_sees_one_greeting() {
        let (right, wrong) = (Arc::new(Identity::generate().unwrap()), Arc::new(Identity::generate().unwrap()));
        let (_listener, addr, events) = listener(&right, None);
        let (_other, other, _other_events) = listener(&wrong, None);
        let (tell, greetings) = mpsc::channel();
        answer(events, tell);
        // The right one is there twice, as a host with two addresses is.
        let addrs = [decoy(b"HTTP/1.1 400 Bad Request\r\n\r\n"), decoy(b""), other, dead(), addr, addr];
        let established = race(&addrs, Instant::now() + LONG, &credentials(&right, None), &greeting()).unwrap();
        assert_eq!((established.addr, established.channel.peer), (addr, right.public()));
        greetings.recv().unwrap();
        drop((_listener, established));
        assert!(greetings.recv_timeout(STAGGER).is_err(), "a second greeting");
    }

    #[test]
    fn who_knows_the_code_and_has_another_key_ends_the_race() {
        let code = Arc::new(Code::new("otter plum").unwrap());
        let (right, wrong) = (Arc::new(Identity::generate().unwrap()), Arc::new(Identity::generate().unwrap()));
        let (_other, other, _events) = listener(&wrong, Some(&code));
        let (_listener, addr, events) = listener(&right, Some(&code));
        let failures = race(&[other, addr], Instant::now() + LONG, &credentials(&right, Some(&code)), &greeting());
        let rejected = |failure: &Failure| matches!(failure, Failure::Open(at, ConnectError::Handshake(HandshakeError::KeyRejected(_))) if *at == other);
        assert!(failures.unwrap_err().iter().any(rejected));
        drop(events);
    }

    #[test]
    fn each_address_that_fails_is_named() {
        let (first, second) = (dead(), decoy(b"SSH-2.0-OpenSSH\r\n"));
        let wanted = Identity::generate().unwrap();
        let failures = race(&[first, second], Instant::now() + LONG, &credentials(&wanted, None), &greeting());
        let failures = failures.unwrap_err();
        assert!(matches!(&failures[..], [Failure::Connect(a, ..), Failure::Open(b, _)] if (*a, *b) == (first, second)));
    }
}
