//! Listening, with blocking threads only.
//!
//! Invariant: a stranger ends neither the program nor a session, and keeps nobody out who calls from another address. At most
//! 64 callers are unfinished at a time; one more evicts the oldest of the network address that has most of them. The
//! number of wrong guesses at a code is bounded over all callers together.
//!
//! 1. One thread for each socket accepts, and gives each caller a thread with a small stack.
//! 2. The caller's thread does the responder's opening, up to the peer's greeting, by one deadline.
//! 3. Who greets is handed to the event loop, which answers with a greeting or a refusal.
//! 4. With [`Listener::toward`] one more thread dials the peer, from the port that is listened on (toward.rs).
//! 5. [`Listener::close`] shuts the sockets of all callers down, which ends their threads. It waits for no thread: one may be about
//!    to report to the very thread that closes.

mod bind;
mod callers;
mod filter;
mod toward;
mod tries;

#[cfg(test)]
mod tests;

pub use bind::{BindError, bind};

use super::address::Candidate;
use super::opening::{ConnectError, DeadlineStream, Established, read_hello};
use super::simultaneous_open;
use crate::channel::{Channel, Code, HandshakeError, Hello, KeyCheck, Mode, Role, Terms, establish, read_frame};
use crate::identity::Identity;
use crate::protocol::frame::{Frame, Greeting};
use callers::{Admitted, Callers};
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};
use toward::Toward;
use tries::Tries;

/// Stack of a caller's thread. An opening takes up to 128 KiB of it in a debug build.
const STACK: usize = 256 * 1024;
/// Pause after an `accept` that failed: without descriptors or memory the next one would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For the connection to itself that ends a blocking `accept`.
const WAKE_TIMEOUT: Duration = Duration::from_millis(500);

/// What a listener tells the event loop.
#[derive(Debug)]
pub enum ListenEvent {
    /// A peer greets; the event loop answers.
    PeerGreeted(Box<Established>),
    /// A caller did not get that far.
    Rejected(SocketAddr, ConnectError),
    /// The code was tried wrongly as often as it may be.
    CodeExhausted,
    /// Why dialling toward the peer leads to nobody, when that is news.
    Missed(String),
    /// `accept` failed; `ended` when nobody is accepted on that socket any more.
    Failed { error: io::Error, ended: bool },
}

/// In which modes callers may come, one at least; never negotiated down: each caller's hello says its own.
#[derive(Debug, Clone)]
pub struct AcceptedModes {
    pub code: Option<Arc<Code>>,
    /// Without a code, too.
    pub open: bool,
}

/// Bound sockets and the threads that accept on them.
pub struct Listener {
    addrs: Vec<SocketAddr>,
    shared: Arc<Shared>,
    /// Owned by the accept threads.
    sockets: Vec<Weak<TcpListener>>,
    toward: Option<Arc<Toward>>,
}

struct Shared {
    identity: Arc<Identity>,
    accept_key: Arc<KeyCheck<'static>>,
    timeout: Duration,
    tries: Tries,
    callers: Callers,
    /// Nobody is accepted any more, though callers may come by [`Toward`].
    retired: AtomicBool,
    on_event: Box<dyn Fn(ListenEvent) + Send + Sync>,
}

impl Listener {
    /// Accepts on all of `sockets` ([`bind()`]) whom `accept_key` lets through, each within `timeout`. `on_event` is called on the
    /// listener's threads.
    ///
    /// # Errors
    /// When a socket is none, or a thread cannot be made.
    pub fn start(
        sockets: Vec<TcpListener>,
        identity: Arc<Identity>,
        accept_key: Arc<KeyCheck<'static>>,
        modes: AcceptedModes,
        timeout: Duration,
        on_event: impl Fn(ListenEvent) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let addrs = sockets.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let shared = Arc::new(Shared {
            identity,
            accept_key,
            timeout,
            tries: Tries::new(modes),
            callers: Callers::default(),
            retired: AtomicBool::new(false),
            on_event: Box::new(on_event),
        });
        let sockets: Vec<_> = sockets.into_iter().map(Arc::new).collect();
        let listener = Self { addrs, shared, sockets: sockets.iter().map(Arc::downgrade).collect(), toward: None };
        for socket in sockets {
            let shared = Arc::clone(&listener.shared);
            let thread = thread::Builder::new().name("accept".into()).spawn(move || shared.accept(&socket));
            if let Err(error) = thread {
                listener.close();
                return Err(error);
            }
        }
        Ok(listener)
    }

    /// Where it listens, with the real ports.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// From now on callers come in these modes; a code has all its tries.
    pub fn set_modes(&self, modes: AcceptedModes) {
        self.shared.tries.set_modes(modes);
    }

    /// From now on callers may come without the code as well: a session is there, to which its peer returns in open mode, or, after
    /// a restart of its program, with the code that it was started with.
    pub fn open_too(&self) {
        self.shared.tries.open_too();
    }

    /// Dials this address as well, from the port that is listened on, instead of the one before, while callers are wanted
    /// ([`Listener::want_callers`]): its peer does so from there, and neither is let in otherwise.
    pub fn toward(&mut self, target: Candidate) -> io::Result<()> {
        self.share_port()?;
        let toward = Arc::new(Toward::new(self.sockets.clone()));
        if let Some(before) = self.toward.replace(Arc::clone(&toward)) {
            before.close();
        }
        let (shared, own) = (Arc::clone(&self.shared), self.addrs.clone());
        let dial = move || shared.dial_toward(&toward, &target, &own);
        thread::Builder::new().name("toward".into()).spawn(dial).map(drop)
    }

    /// Whether it dials as well.
    pub fn is_toward(&self) -> bool {
        self.toward.is_some()
    }

    /// Whether a caller may begin or resume a session now.
    pub fn want_callers(&self, wanted: bool) {
        if let Some(toward) = &self.toward {
            toward.want(wanted);
        }
    }

    /// Lets other sockets of this program dial from the port. (An option that is set after `listen` is enough.)
    #[cfg(unix)]
    fn share_port(&self) -> io::Result<()> {
        self.sockets
            .iter()
            .filter_map(Weak::upgrade)
            .try_for_each(|socket| socket2::SockRef::from(&*socket).set_reuse_port(true))
    }

    /// Windows lets nobody dial from a port that is listened on: from now on callers come by dialling alone.
    #[cfg(windows)]
    fn share_port(&self) -> io::Result<()> {
        self.shared.retired.store(true, Ordering::Release);
        self.sockets.iter().filter_map(Weak::upgrade).for_each(|socket| wake(&socket));
        Ok(())
    }

    /// Accepts nobody any more, and ends the openings under way.
    pub fn close(self) {
        self.shared.callers.close();
        if let Some(toward) = &self.toward {
            toward.close();
        }
        self.sockets.iter().filter_map(Weak::upgrade).for_each(|socket| wake(&socket));
    }
}

/// Ends a blocking `accept`.
fn wake(socket: &TcpListener) {
    // Linux ends `accept` at this; other systems refuse it, because a listening socket is not connected.
    if socket2::SockRef::from(socket).shutdown(Shutdown::Both).is_err()
        && let Ok(addr) = socket.local_addr()
    {
        connect_to_self(addr);
    }
}

fn connect_to_self(addr: SocketAddr) {
    let ips: &[IpAddr] = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
        IpAddr::V6(ip) if ip.is_unspecified() => &[IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)],
        ip => &[ip],
    };
    let connect = |ip: &IpAddr| TcpStream::connect_timeout(&SocketAddr::new(*ip, addr.port()), WAKE_TIMEOUT);
    let _ = ips.iter().any(|ip| connect(ip).is_ok());
}

impl Shared {
    fn tell(&self, event: ListenEvent) {
        if !self.callers.are_closed() {
            (self.on_event)(event);
        }
    }

    /// The accept thread of one socket.
    fn accept(self: &Arc<Self>, socket: &TcpListener) {
        let mut failing = false;
        while !self.callers.are_closed() {
            match socket.accept() {
                _ if self.retired.load(Ordering::Acquire) => return,
                Ok((stream, addr)) => {
                    failing = false;
                    // A socket for both families reports IPv4 callers with v4-mapped IPv6 addresses.
                    let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
                    if let Err(error) = self.take(stream, addr) {
                        self.tell(ListenEvent::Rejected(addr, error.into()));
                    }
                }
                // The caller is gone already.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_final(&error) => return self.tell(ListenEvent::Failed { error, ended: true }),
                Err(error) => {
                    // Reported once until a caller is accepted again.
                    if !std::mem::replace(&mut failing, true) {
                        self.tell(ListenEvent::Failed { error, ended: false });
                    }
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }

    /// Gives a caller its thread, unless the listener is closed; may wait until threads of evicted callers have ended.
    fn take(self: &Arc<Self>, stream: TcpStream, addr: SocketAddr) -> io::Result<()> {
        let deadline = Instant::now() + self.timeout;
        let Some((admitted, stream)) = Callers::admit(self, stream, addr.ip()) else { return Ok(()) };
        let shared = Arc::clone(self);
        let caller = move || {
            if let Err(error) = shared.receive(&admitted, stream, addr, deadline) {
                shared.tell(ListenEvent::Rejected(addr, error));
            }
        };
        thread::Builder::new().name("caller".into()).stack_size(STACK).spawn(caller).map(drop)
    }

    /// The opening of one caller, which the event loop answers.
    fn receive(
        &self,
        admitted: &Admitted,
        stream: Arc<TcpStream>,
        addr: SocketAddr,
        deadline: Instant,
    ) -> Result<(), ConnectError> {
        let opened = self.respond(&stream, deadline);
        let stream = admitted.release(stream).ok_or(ConnectError::Evicted)?;
        let (channel, greeting) = opened?;
        simultaneous_open::opened(&stream);
        let established = Established { stream, channel, greeting, addr };
        self.tell(ListenEvent::PeerGreeted(Box::new(established)));
        Ok(())
    }

    /// The responder's opening, up to the peer's greeting.
    fn respond(&self, stream: &TcpStream, deadline: Instant) -> Result<(Channel, Greeting), ConnectError> {
        stream.set_nodelay(true)?;
        let mut stream = DeadlineStream::new(stream, deadline);
        let modes = self.tries.modes();
        // Where both modes will do, the caller's hello decides.
        let both = modes.open && modes.code.is_some();
        let first = if both { Some(read_hello(&mut stream)?) } else { None };
        let in_code_mode = first.as_ref().is_none_or(|first| Hello::announces(first) == Some(Mode::Code));
        let code = modes.code.as_ref().filter(|_| in_code_mode);
        let mode = if code.is_some() { Mode::Code } else { Mode::Open };
        let own = Hello::new(mode).map_err(io::Error::other)?;
        stream.write_all(&own.encode())?;
        let theirs = first.map_or_else(|| read_hello(&mut stream), Ok)?;
        let theirs = Hello::decode(&theirs, &own)?;
        let reserved = AtomicBool::new(false);
        let terms = Terms {
            role: Role::Responder,
            code: code.map(Arc::as_ref),
            identity: &self.identity,
            accept_key: &*self.accept_key,
            reserve_try: &|| {
                let taken = code.is_some_and(|code| self.tries.reserve(code));
                reserved.store(taken, Ordering::Relaxed);
                taken
            },
        };
        let established = establish(&mut stream, &own, &theirs, &terms);
        if let Some(code) = code.filter(|_| reserved.load(Ordering::Relaxed)) {
            let wrong = matches!(established, Err(HandshakeError::WrongCode));
            match self.tries.finish(code, wrong) {
                Some(0) if wrong => self.tell(ListenEvent::CodeExhausted),
                Some(left) if wrong => return Err(ConnectError::WrongCode { left }),
                _ => {}
            }
        }
        let mut channel = established?;
        match read_frame(&mut stream, &mut channel.opener)? {
            Frame::Greeting(greeting) => Ok((channel, greeting)),
            _ => Err(ConnectError::NoGreeting("it sent something else".into())),
        }
    }
}

/// Whether `accept` will fail like this for ever: the socket does not listen any more, or is none.
fn is_final(error: &io::Error) -> bool {
    #[cfg(unix)]
    const FINAL: [i32; 3] = [libc::EBADF, libc::EINVAL, libc::ENOTSOCK];
    /// WSAEINVAL, WSAENOTSOCK, WSANOTINITIALISED.
    #[cfg(windows)]
    const FINAL: [i32; 3] = [10_022, 10_038, 10_093];
    error.raw_os_error().is_some_and(|code| FINAL.contains(&code))
}
