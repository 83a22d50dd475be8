//! The secure channel: from two hellos over a stream to a [`Sealer`] for the writer and an [`Opener`] for the reader.
//!
//! Owns PROTOCOL.md sections 1 to 4, the verification number of 6, and 10. Invariant: a [`Channel`] exists only when both
//! sides hold the same two keys, each knows the static key the other proved, and the key check let it through; whatever goes wrong
//! before that is a [`HandshakeError`] and leaves nothing behind. Nothing here knows a socket or a clock: the caller puts
//! its deadline on the stream, whose `WouldBlock` and `TimedOut` are taken for silence past it.
//!
//! 1. Both sides send a [`Hello`] and check the other's.
//! 2. With a code: both send a SPAKE2 message, which gives a key that one who lacks the code can guess only once.
//! 3. Three Noise messages XX, with that key as psk0; the static key is checked as soon as it is known.
//! 4. The handshake splits into one key a direction, and every record from then on is sealed.
//! 5. An ML-KEM key and its ciphertext give both keys a second source ([`hybrid`]).
//! 6. Without a code: commitment, nonce, reveal give the number that two people compare.

mod code;
mod handshake;
mod hello;
mod hybrid;
mod record;

pub use code::{Code, CodeError};
pub use handshake::establish;
pub use hello::{HELLO, Hello, HelloError, Mode};
pub use record::{DecryptError, LENGTH, Opener, ReadError, SealError, Sealer, TAG, read_frame, write_frame};

use crate::error_text::io_error_text;
use crate::identity::Identity;
use crate::keys::{KeyRejected, PublicKey};
use crate::text::SafeText;
use std::{fmt, io};
use thiserror::Error;

/// What the keys of every connection come from, and what they encrypt with.
pub const SUITE: &str = "X25519 and ML-KEM-768, AES-256-GCM";

/// Which side of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The side that opened the TCP connection.
    Initiator,
    /// The side that took it.
    Responder,
}

/// Decides whether the peer's static key may be talked to; a warning is to be shown before anything else.
pub type KeyCheck<'a> = dyn Fn(&PublicKey) -> Result<Option<SafeText>, KeyRejected> + Send + Sync + 'a;

/// What this side brings to a handshake and what it demands.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    pub role: Role,
    /// The shared code; present exactly when the own hello says [`Mode::Code`].
    pub code: Option<&'a Code>,
    pub identity: &'a Identity,
    /// Whether a static key may be talked to; asked once, as soon as the key is known and before anything more is sent.
    pub accept_key: &'a KeyCheck<'a>,
    /// Takes one of the code's tries, false when there is none left; asked once by a responder with a code, when message 1
    /// is there and before it is checked.
    pub reserve_try: &'a dyn Fn() -> bool,
}

/// Both directions of an established connection.
#[derive(Debug)]
pub struct Channel {
    pub sealer: Sealer,
    pub opener: Opener,
    /// The static key that the peer proved to have.
    pub peer: PublicKey,
    /// What the key check said of it.
    pub warning: Option<SafeText>,
    /// The number for people to compare; present exactly in [`Mode::Open`].
    pub verification: Option<Verification>,
}

/// The ten digits that are the same on both sides when nobody is in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification(u64);

impl Verification {
    /// One more than the highest number (PROTOCOL.md section 6).
    const NUMBERS: u64 = 10_000_000_000;
    const GROUP: u64 = 100_000;
}

impl fmt::Display for Verification {
    /// Two groups of five digits: `12345 67890`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:05} {:05}", self.0 / Self::GROUP, self.0 % Self::GROUP)
    }
}

/// What a side of a handshake was waiting for, or sending, when it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HandshakeStep {
    Code,
    /// Noise message 1, initiator to responder.
    Message1,
    /// Noise message 2, responder to initiator.
    Message2,
    /// Noise message 3, initiator to responder.
    Message3,
    /// The exchange of ML-KEM key and ciphertext.
    HybridKeys,
    /// The exchange that gives the verification number.
    Verification,
}

impl fmt::Display for HandshakeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code => "while the code was compared",
            Self::Message1 | Self::Message2 | Self::Message3 | Self::HybridKeys => "during the handshake",
            Self::Verification => "while the verification number was made",
        })
    }
}

/// Why there is no channel.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The peer or the network: the stream ended.
    #[error("the peer closed the connection {0}")]
    Closed(HandshakeStep),
    /// The peer or the network: the stream ended right after this initiator showed that it has a code. That is how a
    /// responder with another code behaves.
    #[error("wrong code, or the peer closed the connection")]
    CodeUnanswered,
    /// The peer or the network: nothing came before the deadline on the stream.
    #[error("the peer fell silent {0}")]
    Silent(HandshakeStep),
    /// The peer: it has another code.
    #[error("wrong code\neither side may have mistyped it, or somebody else tried to connect")]
    WrongCode,
    /// The peer: it used up the tries of this code, so it was not even checked.
    #[error("no tries are left for this code\nmake a new one and tell it to the peer again")]
    NoTriesLeft,
    /// The peer: a message of another length than the protocol's.
    #[error("the peer sent {1} bytes {0}, where another length is due")]
    BadLength(HandshakeStep, u16),
    /// The peer: a SPAKE2 message or an ML-KEM key that is none.
    #[error("the peer sent a malformed message {0}")]
    Malformed(HandshakeStep),
    /// The peer: a static key for which every secret is zero.
    #[error("the peer's key is of low order; it is broken, or somebody tries to weaken the encryption")]
    LowOrderKey,
    /// The peer: it has a key that this side does not talk to.
    #[error(transparent)]
    KeyRejected(#[from] KeyRejected),
    /// The peer or somebody in the middle: a message does not open.
    #[error(
        "tampering noticed {0}: a message does not open\nthe network may have damaged it, or somebody changes what passes"
    )]
    Tampered(HandshakeStep),
    /// The peer or somebody in the middle: the revealed nonce is not the one committed to.
    #[error(
        "tampering noticed {}: the peer revealed another value than it promised\nthe other side is broken, or somebody \
         tries to forge the number",
        HandshakeStep::Verification
    )]
    Commitment,
    /// The peer: a frame that is not due, or no frame at all.
    #[error("the peer sent something else {0}")]
    UnexpectedFrame(HandshakeStep),
    /// The network or the system: the stream failed.
    #[error("input or output failed {0}: {cause}", cause = io_error_text(.1))]
    Io(HandshakeStep, #[source] io::Error),
    /// This program: the cryptography refused what it was given.
    #[error("the handshake cannot be carried out here: {0}")]
    Internal(&'static str),
}

impl HandshakeError {
    /// Whether an initiator that had a code spent a guess on this connection without learning that the peer knows it:
    /// then it must not dial again by itself (PROTOCOL.md section 3), because a false responder could guess once each time.
    pub fn spent_our_code(&self) -> bool {
        match self {
            Self::CodeUnanswered | Self::WrongCode => true,
            Self::Closed(step) | Self::Silent(step) | Self::BadLength(step, _) | Self::Io(step, _) => {
                *step == HandshakeStep::Message2
            }
            _ => false,
        }
    }
}

/// How a stream failed, for whoever reads or writes frames on it.
#[derive(Debug, Error)]
pub enum StreamError {
    #[error("the peer closed the connection")]
    Closed,
    /// Nothing moved before the deadline.
    #[error("the peer fell silent")]
    Silent,
    #[error("input or output failed: {}", io_error_text(.0))]
    Io(#[source] io::Error),
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::WouldBlock | Kind::TimedOut => Self::Silent,
            Kind::UnexpectedEof | Kind::WriteZero | Kind::BrokenPipe => Self::Closed,
            Kind::ConnectionReset | Kind::ConnectionAborted => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

#[cfg(test)]
mod tests;
