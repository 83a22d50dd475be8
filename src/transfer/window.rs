//! What the reader thread meets: one route for each transfer that comes in.
use super::list::List;
use crate::buffer::{Pool, Record};
use crate::frame::{ChunkHeader, Digest, FileStatus, Offer, Position, TransferId};
use crate::outbox::Outbox;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use thiserror::Error;

/// What a peer did against the rules of PROTOCOL.md section 8; the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// Data or an end for a number that was never offered.
    #[error("the peer sent data for transfer {0}, which it did not offer")]
    Unknown(TransferId),
}

/// What came of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Its list is awaited.
    Listing,
    /// It was offered before (sent again after a resume).
    Again,
    /// Too much is open: the session must decline it with `Reason::TooMuch`; its data is dropped already.
    TooMuch,
}

/// What came of a chunk.
#[derive(Debug)]
pub enum Delivered {
    /// It is on its way to the worker, or dropped.
    Taken,
    /// It was the last of the list: the session may start a download.
    ListComplete(TransferId, Vec<u8>),
}

/// A part of a file, or its end, for the worker that writes it.
#[derive(Debug)]
pub enum Piece {
    /// File data.
    Chunk {
        /// Where it stands.
        position: Position,
        /// The opened record.
        record: Record,
    },
    /// The end of a file.
    End {
        /// Where it stands.
        position: Position,
        /// How it went.
        status: FileStatus,
        /// The digest, when whole.
        digest: Digest,
    },
}

/// The way from the window to a download worker, ready to be opened once ACCEPT is queued.
#[derive(Debug)]
pub struct Opening {
    pub(super) list: Arc<List>,
    pub(super) position: Position,
    pub(super) pieces: Sender<Piece>,
}

/// See the module.
#[derive(Debug)]
pub struct Window {
    records: Arc<Pool<Record>>,
}

impl Default for Window {
    fn default() -> Self {
        Self { records: Arc::new(Pool::new(64)) }
    }
}

impl Window {
    /// A window for a new session.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records to read into; the workers give them back.
    pub fn records(&self) -> &Arc<Pool<Record>> {
        &self.records
    }

    /// The reader's: an OFFER came in. Must be called by the reader thread itself, before any later frame.
    ///
    /// # Errors
    /// When its number is not the next, or the peer keeps too many open.
    pub fn offered(&self, transfer: TransferId, offer: &Offer) -> Result<Admission, Fault> {
        let _ = offer;
        Err(Fault::Unknown(transfer))
    }

    /// The reader's: a chunk came in, opened.
    ///
    /// # Errors
    /// When the peer may not send it.
    pub fn deliver_chunk(&self, header: ChunkHeader, record: Record) -> Result<Delivered, Fault> {
        self.records.give_record(record);
        Err(Fault::Unknown(header.transfer))
    }

    /// The reader's: a FILE_END came in.
    ///
    /// # Errors
    /// When the peer may not send it.
    pub fn deliver_end(
        &self,
        transfer: TransferId,
        _position: Position,
        _status: FileStatus,
        _digest: Digest,
    ) -> Result<(), Fault> {
        Err(Fault::Unknown(transfer))
    }

    /// The owner's, right after it queued ACCEPT: data may come. Sends the first credit.
    pub fn open(&self, _transfer: TransferId, _opening: Opening) {}

    /// The owner's: this side declined or cancelled; what still comes is dropped until [`Window::closed`].
    pub fn ending(&self, _transfer: TransferId) {}

    /// The owner's: the transfer is over, by COMPLETE or by the offerer's CANCEL.
    pub fn closed(&self, _transfer: TransferId) {}

    /// A worker's: everything up to `position` is with the file system.
    pub fn durable(&self, _transfer: TransferId, _position: Position) {}

    /// The owner's: a new session has a connection.
    pub fn connected(&self, _outbox: Arc<Outbox>) {}

    /// The owner's: the connection is lost.
    pub fn disconnected(&self) {}

    /// The owner's: a resumed session has a connection; all control frames to be sent again are queued, and the reader
    /// of the old connection has ended. Sends RESTART for what is open.
    pub fn resumed(&self, _outbox: Arc<Outbox>) {}
}
