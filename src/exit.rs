//! Exit codes: one table from what happened to what a script sees (stable: scripts rely on them).

use crate::channel::{HandshakeError, HelloError, Stage};
use crate::connect::OpenError;
use crate::connect::dial::DialError;
use crate::frame::Refusal;
use crate::session::Ending;
use std::process::ExitCode;

/// What a script sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
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
    /// A transfer that this side asked for failed.
    Transfer,
    /// SIGHUP.
    Hangup,
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Exit {
    /// The number.
    pub fn number(self) -> u8 {
        match self {
            Self::Polite => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            Self::Lost => 5,
            Self::Transfer => 6,
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }

    /// For a session that ended; `signal` is what asked for it, if one did.
    pub fn of_ending(ending: &Ending, signal: Option<Exit>) -> Self {
        match ending {
            Ending::Signal => signal.unwrap_or(Self::Interrupt),
            Ending::Polite { failed: true, .. } => Self::Transfer,
            Ending::Polite { failed: false, .. } => Self::Polite,
            Ending::Lost => Self::Lost,
            Ending::Tampered | Ending::Fault => Self::Failure,
        }
    }

    /// For a dialler that did not get a session.
    pub fn of_dialling(error: &DialError) -> Self {
        match error {
            DialError::Resolve(..) | DialError::Connect(..) | DialError::Stopped => Self::Unreachable,
            DialError::Open(_, error) => Self::of_opening(error),
        }
    }

    fn of_opening(error: &OpenError) -> Self {
        match error {
            OpenError::Hello(HelloError::TheyUseACode | HelloError::WeUseACode) => Self::Refused,
            OpenError::Handshake(error) => Self::of_handshake(error),
            OpenError::Tampered => Self::Failure,
            OpenError::Refused(Refusal::Busy | Refusal::NoSuchSession)
            | OpenError::Hello(_)
            | OpenError::SilentHello
            | OpenError::ClosedHello
            | OpenError::NoGreeting(_)
            | OpenError::Io(_) => Self::Unreachable,
        }
    }

    fn of_handshake(error: &HandshakeError) -> Self {
        match error {
            HandshakeError::CodeUnanswered
            | HandshakeError::WrongCode
            | HandshakeError::NoTriesLeft
            | HandshakeError::Unwanted(_)
            | HandshakeError::LowOrderKey => Self::Refused,
            HandshakeError::Closed(Stage::Message1 | Stage::Message2) => Self::Unreachable,
            HandshakeError::Tampered(_) | HandshakeError::Commitment | HandshakeError::Internal(_) => Self::Failure,
            HandshakeError::Closed(_)
            | HandshakeError::Silent(_)
            | HandshakeError::BadLength(..)
            | HandshakeError::Malformed
            | HandshakeError::UnexpectedFrame
            | HandshakeError::Io(..) => Self::Unreachable,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
