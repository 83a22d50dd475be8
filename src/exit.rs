//! Exit codes: one table from what happened to what a script sees (stable: scripts rely on them).

use crate::channel::{HandshakeError, HandshakeStep, HelloError};
use crate::net::dial::DialError;
use crate::net::listen::BindError;
use crate::net::opening::ConnectError;
use crate::protocol::frame::Refusal;
use crate::session::SessionEnd;
use std::process::ExitCode;
use thiserror::Error;

/// The command line or the environment asks for what cannot be: [`Exit::Usage`].
#[derive(Debug, Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// What a script sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Either side ended it politely.
    Polite,
    /// Another failure: a bad key file, tampering noticed.
    Failure,
    /// The command line is wrong.
    Usage,
    /// Nobody to talk to: could not bind, resolve or connect, or what answers is not fit to talk with.
    Unreachable,
    /// The identity or the code was refused.
    Refused,
    /// The connection was lost and not regained.
    Lost,
    /// Something that was asked for on this side was not done whole.
    Incomplete,
    /// SIGHUP.
    Hangup,
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Exit {
    pub fn number(self) -> u8 {
        match self {
            Self::Polite => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            Self::Lost => 5,
            Self::Incomplete => 6,
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }

    /// The signal that has this code.
    pub fn of_signal(number: u8) -> Option<Self> {
        [Self::Hangup, Self::Interrupt, Self::Terminate].into_iter().find(|exit| exit.number() == number)
    }

    /// For a session that ended; `signal` is what asked for it, if one did.
    pub fn of_ending(ending: &SessionEnd, signal: Option<Exit>) -> Self {
        match ending {
            SessionEnd::Signal => signal.unwrap_or(Self::Interrupt),
            SessionEnd::Polite { .. } => Self::Polite,
            SessionEnd::Lost => Self::Lost,
            SessionEnd::Tampered | SessionEnd::ProtocolError => Self::Failure,
        }
    }

    /// This, or that something was not done whole, whichever is worse.
    pub fn or_incomplete(self) -> Self {
        if self == Self::Polite { Self::Incomplete } else { self }
    }

    /// For a listener that cannot listen.
    pub fn of_binding(error: &BindError) -> Self {
        match error {
            BindError::Resolve(..) | BindError::Bind { .. } => Self::Unreachable,
            BindError::System(_) => Self::Failure,
        }
    }

    /// For a dialler that did not get a session.
    pub fn of_dialling(error: &DialError) -> Self {
        match error {
            DialError::Unreached(_) | DialError::Stopped => Self::Unreachable,
            DialError::InviteSpent => Self::Refused,
            DialError::Open(_, error) => Self::of_opening(error),
        }
    }

    fn of_opening(error: &ConnectError) -> Self {
        match error {
            ConnectError::Hello(HelloError::TheyUseACode | HelloError::WeUseACode) | ConnectError::WrongCode { .. } => {
                Self::Refused
            }
            ConnectError::Handshake(error) => Self::of_handshake(error),
            ConnectError::Tampered => Self::Failure,
            ConnectError::Refused(Refusal::Busy | Refusal::NoSuchSession)
            | ConnectError::Hello(_)
            | ConnectError::SilentHello
            | ConnectError::ClosedHello
            | ConnectError::Evicted
            | ConnectError::NoGreeting(_)
            | ConnectError::Io(_) => Self::Unreachable,
        }
    }

    fn of_handshake(error: &HandshakeError) -> Self {
        match error {
            HandshakeError::CodeUnanswered
            | HandshakeError::WrongCode
            | HandshakeError::NoTriesLeft
            | HandshakeError::KeyRejected(_)
            | HandshakeError::LowOrderKey => Self::Refused,
            HandshakeError::Closed(HandshakeStep::Message1 | HandshakeStep::Message2) => Self::Unreachable,
            HandshakeError::Tampered(_) | HandshakeError::Commitment | HandshakeError::Internal(_) => Self::Failure,
            HandshakeError::Closed(_)
            | HandshakeError::Silent(_)
            | HandshakeError::BadLength(..)
            | HandshakeError::Malformed(_)
            | HandshakeError::UnexpectedFrame(_)
            | HandshakeError::Io(..) => Self::Unreachable,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
