//! What a peer can do wrong in a session, by frames that are well formed.

use crate::protocol::frame::{FrameError, TransferId};
use crate::transfer::flow_control;
use crate::transfer::upload::NoSuchPosition;
use thiserror::Error;

/// A rule of the wire that the peer broke, or a number it got wrong; the session ends.
#[derive(Debug, Error)]
pub enum ProtocolError {
    /// An acknowledgement of what was never sent, or a resume that takes one back.
    #[error("the peer acknowledged frame {acknowledged} where {sent} were sent")]
    FalseAck {
        /// What it said.
        acknowledged: u64,
        /// What there was.
        sent: u64,
    },
    /// A sequence number that leaves a gap.
    #[error("the peer sent frame {came} where {expected} was due")]
    Gap {
        /// The next in order.
        expected: u64,
        /// What came.
        came: u64,
    },
    /// More unacknowledged frames than the wire allows.
    #[error("the peer sent more unacknowledged frames than the protocol allows")]
    TooMuchUnacknowledged,
    /// It asks on while it acknowledges none of the answers.
    #[error("the peer asks for more and acknowledges no answer")]
    AnswersIgnored,
    /// A transfer that ends with another number of files than it had.
    #[error("the peer completed transfer {0} with another number of files than it was offered")]
    Count(TransferId),
    /// An offer whose number is not the next.
    #[error("the peer offered transfer {0} out of turn")]
    OfferNumber(TransferId),
    /// A transfer cannot go on where it wants it to.
    #[error(transparent)]
    Position(#[from] NoSuchPosition),
    /// Something after its goodbye, or something that only the opening has.
    #[error("the peer sent a {0} frame where none may come")]
    Unexpected(&'static str),
    /// A frame that breaks its own rules.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Bulk that breaks the rules of transfers.
    #[error(transparent)]
    Bulk(#[from] flow_control::Fault),
}
