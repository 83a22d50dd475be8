//! Listening: who knocks, who gets a handshake, who is handed to the owner.
//!
//! Invariant: a stranger ends neither the program nor a session, and cannot keep the expected peer out: places are limited, and the
//! oldest gives way. The number of wrong guesses at a code is bounded over all callers together.
//!
//! 1. The listener thread accepts, and reads hellos without blocking ([`WaitingRoom`]).
//! 2. A good hello gets a slot: a thread for the handshake and the peer's greeting, with what is left of the deadline.
//! 3. Who greets is handed to the owner, who answers with a greeting or a refusal.

use super::address::Address;
use super::opening::{ConnectError, DeadlineStream, Established};
use super::waiting::{FIRST_TOKEN, Outcome, Ready, WaitingRoom};
use crate::channel::{Channel, Code, HandshakeError, KeyCheck, Role, Terms, establish, read_frame};
use crate::error_text::io_error_text;
use crate::identity::Identity;
use crate::protocol::frame::{Frame, Greeting};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use thiserror::Error;

/// Handshakes at a time; one costs half a millisecond of CPU, so these cost a caller nothing.
const SLOTS: usize = 8;
/// Wrong guesses that a code survives.
const TRIES: u32 = 3;
/// Connections the kernel may hold for us.
const BACKLOG: i32 = 128;
/// Pause after the system had no descriptor for a caller: the next would get none either.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);
/// The token of the waker.
const WAKE: Token = Token(FIRST_TOKEN - 1);

/// Why this side cannot listen.
#[derive(Debug, Error)]
pub enum BindError {
    /// The host has no address.
    #[error("cannot find {0}: {cause}", cause = io_error_text(.1))]
    Resolve(Address, #[source] io::Error),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {}{}", io_error_text(source), hint(source))]
    Bind {
        /// Where.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
    /// The system gave no means to wait for callers.
    #[error("cannot wait for callers: {}", io_error_text(.0))]
    System(#[source] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "\nanother program has it; choose another port",
        io::ErrorKind::PermissionDenied => "\nports under 1024 are the system's; choose a higher one",
        io::ErrorKind::AddrNotAvailable => "\nthis machine does not have that address",
        _ => "",
    }
}

/// What the listener tells the owner.
#[derive(Debug)]
pub enum ListenEvent {
    /// A peer greets; the owner answers.
    PeerGreeted(Box<Established>),
    /// A caller came to nothing.
    Rejected(SocketAddr, ConnectError),
    /// The code was guessed at too often.
    CodeExhausted,
}

/// The code and its tries.
#[derive(Debug, Default)]
struct Tries {
    code: Option<Arc<Code>>,
    left: u32,
    in_flight: u32,
}

struct Shared {
    identity: Arc<Identity>,
    accept_key: Arc<KeyCheck<'static>>,
    tries: Mutex<Tries>,
    closed: AtomicBool,
    tell: Box<dyn Fn(ListenEvent) + Send + Sync>,
}

/// A listening side.
pub struct Listener {
    addrs: Vec<SocketAddr>,
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens on `address`; callers need `code`, if there is one. `tell` is called on the door's threads.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn open(
        address: &Address,
        identity: Arc<Identity>,
        accept_key: Arc<KeyCheck<'static>>,
        code: Option<Arc<Code>>,
        timeout: Duration,
        tell: impl Fn(ListenEvent) + Send + Sync + 'static,
    ) -> Result<Self, BindError> {
        let listeners = bind(address)?;
        let addrs =
            listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>().map_err(BindError::System)?;
        let poll = Poll::new().map_err(BindError::System)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(BindError::System)?);
        let shared = Arc::new(Shared {
            identity,
            accept_key,
            tries: Mutex::new(Tries { code, left: TRIES, in_flight: 0 }),
            closed: AtomicBool::new(false),
            tell: Box::new(tell),
        });
        let keeper = AcceptLoop {
            poll,
            listeners,
            waiting: WaitingRoom::new(timeout),
            slots: VecDeque::new(),
            shared: Arc::clone(&shared),
        };
        let thread = thread::Builder::new().name("door".into()).spawn(move || keeper.run());
        let thread = thread.map_err(BindError::System)?;
        Ok(Self { addrs, shared, waker, thread: Some(thread) })
    }

    /// Where it listens, with the real ports.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// From now on callers need this code (with all its tries), or none.
    pub fn set_code(&self, code: Option<Arc<Code>>) {
        let mut tries = self.shared.tries();
        *tries = Tries { code, left: TRIES, in_flight: 0 };
    }

    /// Listens no more; handshakes under way come to nothing.
    pub fn close(mut self) {
        self.shared.closed.store(true, Ordering::Release);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a try of `code`, if it is still the code and has one.
    fn reserve(&self, code: &Arc<Code>) -> bool {
        let mut tries = self.tries();
        let current = tries.code.as_ref().is_some_and(|current| Arc::ptr_eq(current, code));
        if !current || tries.left == 0 {
            return false;
        }
        tries.left -= 1;
        tries.in_flight += 1;
        true
    }

    /// The outcome of a try that was taken. A right code gives the try back.
    fn tried(&self, code: &Arc<Code>, wrong: bool) {
        let dead = {
            let mut tries = self.tries();
            if !tries.code.as_ref().is_some_and(|current| Arc::ptr_eq(current, code)) {
                return;
            }
            tries.in_flight = tries.in_flight.saturating_sub(1);
            if !wrong {
                tries.left = (tries.left + 1).min(TRIES);
            }
            wrong && tries.left == 0 && tries.in_flight == 0
        };
        if dead {
            self.tell(ListenEvent::CodeExhausted);
        }
    }

    fn tell(&self, knock: ListenEvent) {
        if !self.closed.load(Ordering::Acquire) {
            (self.tell)(knock);
        }
    }
}

/// The listener thread.
struct AcceptLoop {
    poll: Poll,
    listeners: Vec<TcpListener>,
    waiting: WaitingRoom,
    slots: VecDeque<(PendingSocket, JoinHandle<()>)>,
    shared: Arc<Shared>,
}

/// The door's hold on a socket while its handshake runs, to end it. It is let go with the handshake: as long as the listener held
/// the socket of a session, the session could not close it.
#[derive(Clone)]
struct PendingSocket(Arc<Mutex<Option<TcpStream>>>);

impl PendingSocket {
    fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    fn let_go(&self) -> Option<TcpStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the handshake, unless it is over.
    fn end(&self) {
        if let Some(stream) = self.let_go() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl AcceptLoop {
    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        for index in 0..self.listeners.len() {
            if let Some(listener) = self.listeners.get_mut(index)
                && self.poll.registry().register(listener, Token(index), Interest::READABLE).is_err()
            {
                return;
            }
        }
        while !self.shared.closed.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, self.waiting.next_deadline()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            }
            for event in &events {
                match event.token() {
                    WAKE => {}
                    Token(index) if index < FIRST_TOKEN => self.accept(index),
                    token => self.read(token),
                }
            }
            for (addr, error) in self.waiting.expire(self.poll.registry()) {
                self.shared.tell(ListenEvent::Rejected(addr, error));
            }
        }
        for (hold, thread) in self.slots {
            hold.end();
            let _ = thread.join();
        }
    }

    fn accept(&mut self, index: usize) {
        loop {
            let Some(listener) = self.listeners.get(index) else { return };
            match listener.accept() {
                Ok((stream, addr)) => {
                    let code = self.shared.tries().code.clone();
                    let _ = self.waiting.enter(self.poll.registry(), stream, addr, code);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // A caller that is gone already, or no descriptor: the first passes, the second needs time.
                    thread::sleep(NO_DESCRIPTOR);
                    let _ = self.poll.registry().reregister(
                        match self.listeners.get_mut(index) {
                            Some(listener) => listener,
                            None => return,
                        },
                        Token(index),
                        Interest::READABLE,
                    );
                    return;
                }
            }
        }
    }

    fn read(&mut self, token: Token) {
        match self.waiting.readable(self.poll.registry(), token) {
            Outcome::Waits => {}
            Outcome::Gone(addr, error) => self.shared.tell(ListenEvent::Rejected(addr, error)),
            Outcome::Ready(ready) => self.give_slot(*ready),
        }
    }

    fn give_slot(&mut self, ready: Ready) {
        self.slots.retain(|(_, thread)| !thread.is_finished());
        if self.slots.len() >= SLOTS
            && let Some((oldest, _)) = self.slots.pop_front()
        {
            oldest.end();
        }
        let Ok(hold) = ready.stream.try_clone().map(PendingSocket::new) else { return };
        let (shared, held) = (Arc::clone(&self.shared), hold.clone());
        let slot = thread::Builder::new().name("handshake".into()).spawn(move || {
            let addr = ready.addr;
            let welcomed = welcome(ready, &shared);
            held.let_go();
            match welcomed {
                Ok(opened) => shared.tell(ListenEvent::PeerGreeted(Box::new(opened))),
                Err(error) => shared.tell(ListenEvent::Rejected(addr, error)),
            }
        });
        if let Ok(thread) = slot {
            self.slots.push_back((hold, thread));
        }
    }
}

/// The responder's opening, up to the peer's greeting.
fn welcome(ready: Ready, shared: &Shared) -> Result<Established, ConnectError> {
    let (channel, greeting) = handshake(&ready, shared)?;
    Ok(Established { stream: ready.stream, channel, greeting, addr: ready.addr, by_code: ready.code.is_some() })
}

fn handshake(ready: &Ready, shared: &Shared) -> Result<(Channel, Greeting), ConnectError> {
    let Ready { stream, own, theirs, code, deadline, .. } = ready;
    let mut timed = DeadlineStream::new(stream, *deadline);
    let reserved = AtomicBool::new(false);
    let reserve_try = || {
        let taken = code.as_ref().is_some_and(|code| shared.reserve(code));
        reserved.store(taken, Ordering::Relaxed);
        taken
    };
    let terms = Terms {
        role: Role::Responder,
        code: code.as_deref(),
        identity: &shared.identity,
        accept_key: &*shared.accept_key,
        reserve_try: &reserve_try,
    };
    let established = establish(&mut timed, own, theirs, &terms);
    if let Some(code) = code.as_ref().filter(|_| reserved.load(Ordering::Relaxed)) {
        shared.tried(code, matches!(established, Err(HandshakeError::WrongCode)));
    }
    let mut channel = established?;
    match read_frame(&mut timed, &mut channel.opener)? {
        Frame::Greeting(greeting) => Ok((channel, greeting)),
        _ => Err(ConnectError::NoGreeting("it sent something else".into())),
    }
}

/// Sockets for all addresses of the host; for none, one for IPv6 and IPv4 together, or for IPv4 where there is no IPv6.
fn bind(address: &Address) -> Result<Vec<TcpListener>, BindError> {
    let addrs = address.resolve().map_err(|error| BindError::Resolve(address.clone(), error))?;
    let everywhere = address.host.is_none();
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for mut addr in addrs.into_iter().take(FIRST_TOKEN - 1) {
        if everywhere && !listeners.is_empty() {
            break;
        }
        if addr.port() == 0
            && let Some(Ok(first)) = listeners.first().map(TcpListener::local_addr)
        {
            // A host with several addresses listens on one port, also when the system chose it.
            addr.set_port(first.port());
        }
        match bind_one(addr, everywhere) {
            Ok(listener) => listeners.push(listener),
            Err(error) => failure = error,
        }
    }
    if listeners.is_empty() {
        Err(BindError::Bind { address: address.clone(), source: failure })
    } else {
        Ok(listeners)
    }
}

fn bind_one(addr: SocketAddr, both_families: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!both_families)?;
    }
    // On Windows this option would let another program take the port over.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}
