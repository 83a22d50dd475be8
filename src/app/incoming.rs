//! What comes in on a connection, on its reader's thread: each frame goes to whom it concerns.
//!
//! Invariant: nothing here waits for a disk or a screen beyond what credit and acknowledgement allow, so two peers that send at once cannot
//! block each other. Bulk goes to the flow control, a ping is answered by a slot, the rest becomes an event.

use crate::net::buffer::Record;
use crate::net::connection::DisconnectReason;
use crate::net::send_queue::SendQueue;
use crate::protocol::error::{FrameError, ProtocolError};
use crate::protocol::frame::{ChunkHeader, Control, Frame, KIND_CHUNK, KIND_ZCHUNK, TransferId};
use crate::transfer::flow_control::FlowControl;

/// What a connection tells the event loop.
#[derive(Debug)]
pub(super) enum ConnectionEvent {
    /// One that is for the session.
    Frame(Frame),
    /// There is no room for the list of this offer, which came just before.
    TooMuch(TransferId),
    /// The list of an offer is complete.
    Listed(TransferId, Vec<u8>),
    /// The peer answered the latest [`Connection::probe`](crate::net::connection::Connection::probe).
    Alive,
    /// The connection ended; the last event.
    Ended(DisconnectReason),
}

/// Takes a record apart that was opened, and hands its frame on: bulk to the flow control, credit to the send queue, the rest as events.
///
/// # Errors
/// When the peer may not send it.
pub(super) fn receive(
    record: Record,
    send_queue: &SendQueue,
    flow: &FlowControl,
    tell: &dyn Fn(ConnectionEvent),
) -> Result<(), ProtocolError> {
    if matches!(record.frame().first(), Some(&(KIND_CHUNK | KIND_ZCHUNK))) {
        let (header, _) = ChunkHeader::decode(record.frame())?;
        if let Some(list) = flow.chunk(header, record)? {
            tell(ConnectionEvent::Listed(header.transfer, list));
        }
        return Ok(());
    }
    let frame = Frame::decode(record.frame())?;
    flow.records().give_record(record);
    // The flow control must know of an offer before its list comes, and the event loop may be slower than the peer.
    let too_much = match &frame {
        Frame::Control { control: Control::Offer { transfer, offer }, .. } => {
            (!flow.offered(*transfer, offer)?).then_some(*transfer)
        }
        _ => None,
    };
    match frame {
        Frame::Control { .. } | Frame::Ack(_) | Frame::Restart { .. } | Frame::Received { .. } | Frame::Addrs(_) => {
            tell(ConnectionEvent::Frame(frame))
        }
        Frame::Ping(token) => send_queue.pong(token),
        Frame::Pong(token) => {
            if send_queue.is_probe(token) {
                tell(ConnectionEvent::Alive);
            }
        }
        Frame::Credit { limit } => send_queue.peer_credit(limit)?,
        Frame::Begin { transfer, position } => flow.begin(transfer, position)?,
        Frame::FileEnd { transfer, position, status, digest } => flow.file_end(transfer, position, status, digest)?,
        // Taken above.
        Frame::Chunk { .. } | Frame::Zchunk { .. } => return Err(FrameError::UnknownKind(KIND_CHUNK).into()),
        Frame::Commit(_) | Frame::Nonce(_) | Frame::Reveal(_) => return Err(ProtocolError::Unexpected("verification")),
        Frame::KemKey(_) | Frame::KemCt(_) => return Err(ProtocolError::Unexpected("key exchange")),
        Frame::Greeting(_) | Frame::Refusal(_) => return Err(ProtocolError::Unexpected("greeting")),
    }
    too_much.into_iter().for_each(|transfer| tell(ConnectionEvent::TooMuch(transfer)));
    Ok(())
}
