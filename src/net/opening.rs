//! From a connected socket to a session's first frame: the initiator's opening, and what the listener's (`listen.rs`) shares with it.
//!
//! Invariant: nothing that a stranger sends, or does not send, occupies this side for longer than the deadline of one opening, and
//! no key is trusted here: who the peer is, the caller decides from the key that it proved to have.

use super::simultaneous_open;
use crate::channel::{
    Channel, Code, HELLO, HandshakeError, Hello, HelloError, KeyCheck, Mode, ReadError, Role, StreamError, Terms,
    establish, read_frame, write_frame,
};
use crate::error_text::io_error_text;
use crate::identity::Identity;
use crate::protocol::frame::{Frame, Greeting, Refusal};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// The longest single wait of a read. Where shutting a socket down does not end a read of another thread (Windows), the thread
/// finds it shut down after this.
const READ_STEP: Duration = Duration::from_secs(1);

/// A connection whose handshake is done, before or after the greetings.
#[derive(Debug)]
pub struct Established {
    /// The socket, blocking again.
    pub stream: TcpStream,
    pub channel: Channel,
    /// What the peer said first.
    pub greeting: Greeting,
    pub addr: SocketAddr,
}

impl Established {
    /// Whether a code brought the two together; else there is a number to compare.
    pub fn by_code(&self) -> bool {
        self.channel.verification.is_none()
    }
}

/// Why an opening failed.
#[derive(Debug, Error)]
pub enum ConnectError {
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("the other side says nothing\neither it is no p2pchat, or it is stuck")]
    SilentHello,
    #[error(
        "the other side closed the connection before it said anything\ncheck the address and the port, or try again"
    )]
    ClosedHello,
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("wrong code, {left} {} left", if *left == 1 { "try" } else { "tries" })]
    WrongCode { left: u32 },
    #[error(
        "tampering noticed: the peer's greeting does not open\nthe network may have damaged it, or somebody changes what passes"
    )]
    Tampered,
    #[error("the peer did not greet: {0}")]
    NoGreeting(String),
    #[error("{}", refusal_words(*.0))]
    Refused(Refusal),
    /// This side: it had too many callers at once.
    #[error("too many callers from its address at once")]
    Evicted,
    #[error("the connection broke: {}", io_error_text(.0))]
    Io(#[from] io::Error),
}

fn refusal_words(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Busy => "the peer is busy with another conversation\ntry again later",
        Refusal::NoSuchSession => "the peer does not know this session any more",
    }
}

impl From<ReadError> for ConnectError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Open(_) => Self::Tampered,
            other => Self::NoGreeting(other.to_string()),
        }
    }
}

impl From<StreamError> for ConnectError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Io(error) => Self::Io(error),
            other => Self::NoGreeting(other.to_string()),
        }
    }
}

/// A socket with one deadline for everything that happens on it.
pub(crate) struct DeadlineStream<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl<'a> DeadlineStream<'a> {
    pub(crate) fn new(stream: &'a TcpStream, deadline: Instant) -> Self {
        Self { stream, deadline }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for DeadlineStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.left()?.min(READ_STEP)))?;
            match self.stream.read(buffer) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                other => return other,
            }
        }
    }
}

impl Write for DeadlineStream<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What a dialler brings to an opening.
#[derive(Clone)]
pub struct DialCredentials {
    pub identity: Arc<Identity>,
    /// The code, in code mode.
    pub code: Option<Arc<Code>>,
    /// Which keys may be talked to.
    pub accept_key: Arc<KeyCheck<'static>>,
}

/// The initiator's whole opening on a connected socket, the answer to its greeting included.
pub(super) fn initiate(
    stream: TcpStream,
    addr: SocketAddr,
    deadline: Instant,
    credentials: &DialCredentials,
    greeting: Greeting,
) -> Result<Established, ConnectError> {
    stream.set_nodelay(true)?;
    let mode = if credentials.code.is_some() { Mode::Code } else { Mode::Open };
    let own = Hello::new(mode).map_err(io::Error::other)?;
    let mut deadline_stream = DeadlineStream::new(&stream, deadline);
    deadline_stream.write_all(&own.encode())?;
    let theirs = Hello::decode(&read_hello(&mut deadline_stream)?, &own)?;
    let terms = Terms {
        role: Role::Initiator,
        code: credentials.code.as_deref(),
        identity: &credentials.identity,
        accept_key: &*credentials.accept_key,
        reserve_try: &|| true,
    };
    let mut channel = establish(&mut deadline_stream, &own, &theirs, &terms)?;
    let asked = (greeting.intent, greeting.session);
    write_frame(&mut deadline_stream, &mut channel.sealer, &Frame::Greeting(greeting))?;
    let greeting = match read_frame(&mut deadline_stream, &mut channel.opener)? {
        Frame::Greeting(greeting) if (greeting.intent, greeting.session) == asked => greeting,
        Frame::Refusal(refusal) => return Err(ConnectError::Refused(refusal)),
        _ => return Err(ConnectError::NoGreeting("it sent something else".into())),
    };
    simultaneous_open::opened(&stream);
    Ok(Established { stream, channel, greeting, addr })
}

/// Reads the other side's hello, and gives up at the first byte that no hello has.
pub(super) fn read_hello(stream: &mut DeadlineStream<'_>) -> Result<[u8; HELLO], ConnectError> {
    let mut bytes = [0; HELLO];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) => return Err(ConnectError::ClosedHello),
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(match StreamError::from(error) {
                    StreamError::Closed => ConnectError::ClosedHello,
                    StreamError::Silent => ConnectError::SilentHello,
                    StreamError::Io(error) => ConnectError::Io(error),
                });
            }
        }
        if !Hello::may_begin_with(bytes.get(..read).unwrap_or_default()) {
            return Err(HelloError::NotP2pchat.into());
        }
    }
    Ok(bytes)
}

/// What the tests of dialling, racing and listening begin an opening with.
#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::protocol::frame::{Intent, RECONNECT_FOREVER};

    pub(in crate::net) fn greeting(intent: Intent) -> Greeting {
        Greeting {
            intent,
            session: [1; 16],
            received: 0,
            features: 0,
            next_transfer: 1,
            reconnect_timeout: RECONNECT_FOREVER,
            name: "ben".into(),
        }
    }

    /// Those of somebody new, who takes any key.
    pub(in crate::net) fn stranger() -> DialCredentials {
        DialCredentials {
            identity: Arc::new(Identity::generate().unwrap()),
            code: None,
            accept_key: Arc::new(|_: &_| Ok(None)),
        }
    }
}
