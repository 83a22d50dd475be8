//! Everything that a peer can do against the rules of PROTOCOL.md; the connection ends, and the session with it.

use super::frame::TransferId;
use thiserror::Error;

/// A frame that is malformed by itself.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum FrameError {
    #[error("the peer sent an empty frame")]
    Empty,
    #[error("the peer sent a frame of unknown kind 0x{0:02x}")]
    UnknownKind(u8),
    #[error("the peer sent a {0} frame that is too short")]
    Short(&'static str),
    #[error("the peer sent a {0} frame with trailing bytes")]
    Trailing(&'static str),
    #[error("the peer sent a {0} frame with {1} bytes where {2} to {3} are allowed")]
    Length(&'static str, usize, usize, usize),
    #[error("the peer sent a {0} frame with text that is not UTF-8")]
    NotUtf8(&'static str),
    #[error("the peer sent a {0} frame with the unknown value {1}")]
    Value(&'static str, u64),
    #[error("the peer sent a {0} frame with a digest where none may stand")]
    Digest(&'static str),
}

/// A rule of the wire that the peer broke.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ProtocolError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Something after its BYE, or something that only the opening has.
    #[error("the peer sent a {0} frame where none may come")]
    Unexpected(&'static str),

    #[error("the peer acknowledged frame {acknowledged} where {sent} were sent")]
    FalseAck { acknowledged: u64, sent: u64 },
    #[error("the peer resumed at frame {received}, which is not between {acknowledged} and {sent}")]
    FalseResume { received: u64, acknowledged: u64, sent: u64 },
    #[error("the peer sent frame {came} where {expected} was due")]
    Gap { expected: u64, came: u64 },
    #[error("the peer sent more unacknowledged frames than the protocol allows")]
    TooMuchUnacknowledged,
    #[error("the peer asks for more and acknowledges no answer")]
    AnswersIgnored,

    #[error("the peer offered transfer {0} out of turn")]
    OfferNumber(TransferId),
    /// The parity of the number says that the transfer goes the other way.
    #[error("the peer sent a frame for transfer {0} that only this side may send")]
    WrongSide(TransferId),
    #[error("the peer sent a frame for transfer {0}, which was not offered")]
    UnknownTransfer(TransferId),
    #[error("the peer keeps too many transfers open")]
    TooManyOpen,
    /// A second ACCEPT, one before the list was sent, DECLINE after ACCEPT, COMPLETE before the end.
    #[error("the peer sent {0} for transfer {1} at the wrong time")]
    WrongTime(&'static str, TransferId),
    /// ACCEPT, RESTART, RECEIVED or BEGIN at a position where it may not stand, or with a digest that must be zero.
    #[error("the peer sent {0} for transfer {1} with an impossible position")]
    Position(&'static str, TransferId),
    #[error("the peer completed transfer {0} with another number of files than it was offered")]
    Count(TransferId),

    #[error("the peer sent data for transfer {0}, which was not accepted")]
    NotAccepted(TransferId),
    #[error("the peer sent data for transfer {0} before its beginning")]
    NotBegun(TransferId),
    #[error("the peer sent data for transfer {0} out of order")]
    Order(TransferId),
    #[error("the peer sent a chunk of the wrong size for transfer {0}")]
    Size(TransferId),
    /// With what is wrong with it.
    #[error("the peer sent a compressed chunk for transfer {0} that {1}")]
    Compressed(TransferId, &'static str),
    #[error("the peer sent more data than it may")]
    OverCredit,
    #[error("the peer took credit back")]
    CreditFell,
    #[error("the peer sent its addresses more often than it may")]
    AddrsTooOften,
}
