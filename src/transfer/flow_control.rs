//! What a peer may send: one route for each transfer that comes in, and one credit for the connection.
//!
//! INTERFACE ONLY: bodies follow.

use super::manifest::Manifest;
use crate::net::buffer::{Pool, Record};
use crate::net::send_queue::SendQueue;
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{ChunkHeader, Digest, FileStatus, Offer, Position, TransferId};
use std::sync::Arc;

/// Weight that may be on its way or waiting for the disk.
pub const WINDOW: u64 = 24 << 20;
/// Bytes of the lists of all open transfers.
pub const OPEN_LISTS: u64 = 16 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Its list is awaited.
    Listing,
    /// It was offered before (sent again after a resume).
    Again,
    /// Too much is open: the session must decline it with [`crate::protocol::frame::Reason::TooMuch`]; its data is dropped already.
    TooMuch,
}

/// For [`FlowControl::open`], once ACCEPT is queued.
#[derive(Debug)]
pub struct Opening {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) position: Position,
}

#[derive(Debug, Default)]
pub struct FlowControl {}

impl FlowControl {
    pub fn new() -> Self {
        Self {}
    }

    /// Records to read into; the worker gives them back.
    pub fn records(&self) -> &Arc<Pool<Record>> {
        todo!()
    }

    // The reader's calls. A peer's fault ends the connection.

    pub fn offered(&self, _: TransferId, _: &Offer) -> Result<Admission, ProtocolError> {
        todo!()
    }

    /// Gives the bytes of a list with its last chunk.
    pub fn chunk(&self, _: ChunkHeader, _: Record) -> Result<Option<Vec<u8>>, ProtocolError> {
        todo!()
    }

    pub fn begin(&self, _: TransferId, _: Position) -> Result<(), ProtocolError> {
        todo!()
    }

    pub fn file_end(&self, _: TransferId, _: Position, _: FileStatus, _: Digest) -> Result<(), ProtocolError> {
        todo!()
    }

    // The event loop's calls.

    /// A new session has a connection. Sends the first CREDIT.
    pub fn connected(&self, _: Arc<SendQueue>) {}

    /// A resumed session has a connection, and all control frames that are sent again are queued. RESTARTs and CREDIT follow: at once for
    /// lists, for data when the worker has written what came over the old connection.
    pub fn resumed(&self, _: Arc<SendQueue>) {}

    /// The connection is lost, and its reader has ended.
    pub fn disconnected(&self) {}

    /// Right after ACCEPT was queued: data may come.
    pub fn open(&self, _: TransferId, _: Opening) {}

    /// This side declined or cancelled; what still comes is dropped until `closed`.
    pub fn ending(&self, _: TransferId) {}

    /// The transfer is over, by COMPLETE or by the offerer's CANCEL.
    pub fn closed(&self, _: TransferId) {}

    /// Bytes of file data that are with the file system, and files that are finished.
    pub fn progress(&self, _: TransferId) -> (u64, u32) {
        todo!()
    }
}
