//! Callers that have not said a hello yet: a socket and 28 bytes each, no thread.
//!
//! Invariant: at most [`ROOM`] callers wait, the oldest gives way to the newest, and none waits longer than its deadline. So
//! silent strangers cost neither threads nor the place of the one who is expected.

use super::opening::ConnectError;
use crate::channel::{Code, HELLO, Hello, HelloError, Mode};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Callers that may wait: more than a person's peers, and less than a process may have descriptors.
const ROOM: usize = 256;
/// Tokens under this belong to the listener itself.
pub(super) const FIRST_TOKEN: usize = 64;

struct Caller {
    token: Token,
    stream: TcpStream,
    addr: SocketAddr,
    own: Hello,
    code: Option<Arc<Code>>,
    hello: [u8; HELLO],
    read: usize,
    deadline: Instant,
}

/// A caller whose hello is good.
pub(super) struct Ready {
    pub(super) stream: std::net::TcpStream,
    pub(super) addr: SocketAddr,
    pub(super) own: Hello,
    pub(super) theirs: Hello,
    pub(super) code: Option<Arc<Code>>,
    pub(super) deadline: Instant,
}

/// What became of a caller.
pub(super) enum Outcome {
    Waits,
    Ready(Box<Ready>),
    Gone(SocketAddr, ConnectError),
}

pub(super) struct WaitingRoom {
    callers: VecDeque<Caller>,
    next: usize,
    timeout: Duration,
}

impl WaitingRoom {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { callers: VecDeque::new(), next: FIRST_TOKEN, timeout }
    }

    /// Takes a caller in and says hello to it. A caller that cannot be taken is dropped; that is its loss alone.
    pub(super) fn enter(
        &mut self,
        registry: &Registry,
        mut stream: TcpStream,
        addr: SocketAddr,
        code: Option<Arc<Code>>,
    ) -> io::Result<()> {
        if self.callers.len() >= ROOM
            && let Some(mut oldest) = self.callers.pop_front()
        {
            let _ = registry.deregister(&mut oldest.stream);
        }
        let mode = if code.is_some() { Mode::Code } else { Mode::Open };
        let own = Hello::new(mode).map_err(io::Error::other)?;
        // An empty socket buffer takes 28 bytes at once; a caller whose does not is none.
        stream.write_all(&own.encode())?;
        let token = Token(self.next);
        self.next = self.next.wrapping_add(1).max(FIRST_TOKEN);
        registry.register(&mut stream, token, Interest::READABLE)?;
        let deadline = Instant::now() + self.timeout;
        // A socket for both families shows IPv4 callers in IPv6's clothes.
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        self.callers.push_back(Caller { token, stream, addr, own, code, hello: [0; HELLO], read: 0, deadline });
        Ok(())
    }

    /// How long until the oldest caller's time is up.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.callers.front().map(|caller| caller.deadline.saturating_duration_since(Instant::now()))
    }

    /// Sends away whose time is up.
    pub(super) fn expire(&mut self, registry: &Registry) -> Vec<(SocketAddr, ConnectError)> {
        let now = Instant::now();
        let mut gone = Vec::new();
        while self.callers.front().is_some_and(|caller| caller.deadline <= now) {
            let Some(mut caller) = self.callers.pop_front() else { break };
            let _ = registry.deregister(&mut caller.stream);
            gone.push((caller.addr, ConnectError::SilentHello));
        }
        gone
    }

    /// Reads on from the caller of `token`.
    pub(super) fn readable(&mut self, registry: &Registry, token: Token) -> Outcome {
        let Some(place) = self.callers.iter().position(|caller| caller.token == token) else { return Outcome::Waits };
        let verdict = match self.callers.get_mut(place).map(Caller::read) {
            None | Some(Ok(false)) => return Outcome::Waits,
            Some(Ok(true)) => Ok(()),
            Some(Err(error)) => Err(error),
        };
        let Some(mut caller) = self.callers.remove(place) else { return Outcome::Waits };
        let _ = registry.deregister(&mut caller.stream);
        let addr = caller.addr;
        let ready = verdict.and_then(|()| caller.ready());
        ready.map_or_else(|error| Outcome::Gone(addr, error), |ready| Outcome::Ready(Box::new(ready)))
    }
}

impl Caller {
    /// Reads what is there; true when the hello is complete.
    fn read(&mut self) -> Result<bool, ConnectError> {
        while let Some(rest) = self.hello.get_mut(self.read..).filter(|rest| !rest.is_empty()) {
            match self.stream.read(rest) {
                Ok(0) => return Err(ConnectError::ClosedHello),
                Ok(read) => {
                    self.read += read;
                    if !Hello::may_begin_with(self.hello.get(..self.read).unwrap_or_default()) {
                        return Err(HelloError::NotP2pchat.into());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ConnectError::Io(error)),
            }
        }
        Ok(true)
    }

    fn ready(self) -> Result<Ready, ConnectError> {
        let theirs = Hello::decode(&self.hello, &self.own)?;
        let stream = std::net::TcpStream::from(self.stream);
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let Self { addr, own, code, deadline, .. } = self;
        Ok(Ready { stream, addr, own, theirs, code, deadline })
    }
}
