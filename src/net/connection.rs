use crate::error_text::io_error_text;
use crate::protocol::error::ProtocolError;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum DisconnectReason {
    /// The stream ended between records, without BYE.
    #[error("the connection was closed without a goodbye")]
    Closed,
    /// The stream ended inside a record.
    #[error("the connection was cut in the middle of a record")]
    Truncated,
    #[error("nothing was heard from the peer for {} seconds", .0.as_secs())]
    Silent(Duration),
    #[error("nothing could be sent to the peer for {} seconds", .0.as_secs())]
    Stalled(Duration),
    #[error("the connection broke: {}", io_error_text(.0))]
    Network(io::Error),
    /// A record did not open: it was changed, doubled, dropped or put out of order on its way.
    #[error("a record from the peer did not open: it was changed on its way")]
    Tampered,
    #[error("{0}")]
    ProtocolError(#[from] ProtocolError),
    /// The peer came back on another connection before this one was seen to end.
    #[error("the peer came back on another connection")]
    Replaced,
    /// The peer's program does not know this session any more.
    #[error("the peer's program was restarted, and with it the session was lost")]
    Forgotten,
}

