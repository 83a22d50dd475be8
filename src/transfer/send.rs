//! One upload: a worker thread for the whole life of a transfer that goes out.
use super::Report;
use crate::buffer::{OutChunk, Pool};
use crate::frame::{Digest, Offer, Position, TransferId};
use crate::outbox::Outbox;
use std::path::PathBuf;
use std::sync::Arc;

/// What an upload tells the owner thread.
#[derive(Debug)]
pub enum UploadReport {
    /// The files are found: queue OFFER, then call [`Upload::begin`].
    Surveyed {
        /// What to offer.
        offer: Offer,
        /// The first name of the list.
        name: String,
        /// Names at its top beside the first.
        more: u32,
        /// What is left out: path and why.
        skipped: Vec<(String, String)>,
    },
    /// There is nothing that can be sent. The worker has ended.
    Unsendable {
        /// `no-such-file`, `not-readable`, `nothing-to-send`, `too-many-files` or `same-name`.
        code: &'static str,
        /// For a person, with the path.
        text: String,
    },
    /// The receiver has the whole file.
    FileSent {
        /// Its local path.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// Its BLAKE3 digest.
        digest: Digest,
    },
    /// A file could not be sent; the rest goes on.
    FileFailed {
        /// Its local path.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// After [`Upload::complete`]: every file was reported. The worker has ended.
    Finished,
}

/// The handle of an upload worker; its calls never wait. Dropping it cancels.
#[derive(Debug)]
pub struct Upload {}

impl Upload {
    /// Starts the worker: it looks for the files, reports, and waits.
    pub fn start(
        transfer: TransferId,
        _paths: Vec<PathBuf>,
        _pool: Arc<Pool<OutChunk>>,
        report: Report<UploadReport>,
    ) -> Self {
        report(transfer, UploadReport::Unsendable { code: "nothing-to-send", text: "not built yet".into() });
        Self {}
    }

    /// OFFER is queued in `outbox`: opens the lane and sends the list from its start. Also after a resume, when the peer
    /// had not received OFFER.
    pub fn begin(&self, _outbox: Arc<Outbox>) {}

    /// The peer sent ACCEPT.
    pub fn accepted(&self, _position: Position, _digest: Digest) {}

    /// The peer sent CREDIT.
    pub fn credit(&self, _durable: Position, _limit: Position) {}

    /// The peer sent RESTART over a new connection.
    pub fn restart(&self, _outbox: Arc<Outbox>, _position: Position, _limit: Position) {}

    /// The connection is lost.
    pub fn disconnected(&self) {}

    /// The peer sent COMPLETE: all it will ever have is durable. [`UploadReport::Finished`] follows.
    pub fn complete(&self) {}

    /// Ends the worker promptly, without waiting for it, and drops the lane.
    pub fn cancel(&self) {}

    /// Bytes of file data that the receiver has, and files that it has whole.
    pub fn progress(&self) -> (u64, u32) {
        (0, 0)
    }

    /// Cancels if it still runs, and waits for the worker's end.
    pub fn join(self) {}
}
