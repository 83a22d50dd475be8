//! All uploads of a conversation: one worker thread, and a short-lived thread for each scan and each hash of an accepted prefix.
//!
//! INTERFACE ONLY: bodies follow.

use crate::command::SendArgs;
use crate::net::send_queue::SendQueue;
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Digest, Offer, Position, TransferId};
use crate::transfer::Report;
use crate::transfer::manifest::Manifest;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// What an upload tells the event loop.
#[derive(Debug)]
pub enum UploadReport {
    /// The files are found: queue OFFER, then call [`Uploads::begin`].
    Scanned {
        offer: Offer,
        /// The first name of the list.
        name: String,
        /// Names at its top beside the first.
        more: u32,
        left_out: LeftOut,
    },
    /// There is nothing that can be sent; the transfer is gone.
    Unsendable {
        /// `no-such-file`, `not-readable`, `nothing-to-send`, `too-many-files`, `same-name`, or those of `SendArgs::resolve`.
        code: &'static str,
        /// For our user, with the path.
        text: String,
    },
    /// The receiver has these files. Many in one report when they are small.
    FilesSent(Vec<SentFile>),
    /// A file could not be sent; the rest goes on.
    FileFailed {
        /// Its local path.
        path: PathBuf,
        /// Its path in the list.
        offered: String,
        /// For our user.
        text: String,
    },
    /// After [`Uploads::complete`]: everything was reported; the transfer is gone.
    Finished,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentFile {
    pub path: PathBuf,
    pub bytes: u64,
    pub digest: Digest,
}

/// What is not sent. The receiver gets each as a file of no bytes that could not be read, but for our own data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The first of them: local path and reason.
    pub named: Vec<(PathBuf, String)>,
    /// How many there are beside them.
    pub more: usize,
}

/// The handle of the worker. No call waits; those for a transfer that is gone do nothing. Dropping it ends all uploads.
#[derive(Debug)]
pub struct Uploads {}

impl Uploads {
    /// `data_dir` is the program's own, which is never sent.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(_data_dir: PathBuf, _: Report<UploadReport>) -> io::Result<Self> {
        todo!()
    }
    /// Looks for what the user named and reports; on a thread of its own.
    pub fn scan(&self, _: TransferId, _: SendArgs) {}
    /// Offers what can be read from `source` until its end, under this name. Reports like a scan.
    pub fn stream(&self, _: TransferId, _name: &str, _source: Box<dyn Read + Send>) {}
    /// OFFER is queued: the list follows. Also after a resume, when the peer had not received OFFER.
    pub fn begin(&self, _: TransferId) {}
    /// The peer sent ACCEPT.
    pub fn accepted(&self, _: TransferId, _: Position, _: Digest) -> Result<(), ProtocolError> {
        todo!()
    }
    /// The peer sent RESTART.
    pub fn restart(&self, _: TransferId, _: Position, _: Digest) -> Result<(), ProtocolError> {
        todo!()
    }
    /// The peer sent RECEIVED.
    pub fn received(&self, _: TransferId, _: Position) -> Result<(), ProtocolError> {
        todo!()
    }
    /// The peer sent COMPLETE. [`UploadReport::Finished`] follows.
    ///
    /// # Errors
    /// When not all was sent.
    pub fn complete(&self, _: TransferId) -> Result<(), ProtocolError> {
        todo!()
    }
    /// Ends a transfer (DECLINE or CANCEL of either side, BYE), also one whose scan runs. Nothing is reported of it any more.
    pub fn cancel(&self, _: TransferId) {}
    /// A connection: the first, or a resumed one before the session queues anything on it.
    pub fn connected(&self, _: Arc<SendQueue>) {}
    /// The connection is lost, and its reader has ended: every transfer waits for [`Uploads::begin`] or [`Uploads::restart`].
    pub fn disconnected(&self) {}
    /// The same files are offered under another number, in another session; nothing is accepted.
    /// False for a stream, which cannot be offered again.
    pub fn renumber(&self, _old: TransferId, _new: TransferId) -> bool {
        todo!()
    }
    /// Lets reports of single files wait (true), or come.
    pub fn pause_reports(&self, _: bool) {}
    /// Bytes of file data that the receiver has, and files that it has whole or that failed.
    pub fn progress(&self, _: TransferId) -> (u64, u32) {
        todo!()
    }
    pub fn manifest(&self, _: TransferId) -> Option<Arc<Manifest>> {
        todo!()
    }
    /// What was offered, to be offered again after [`Uploads::renumber`].
    pub fn offer(&self, _: TransferId) -> Option<Offer> {
        todo!()
    }
}
