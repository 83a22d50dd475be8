//! One upload: a worker thread for the whole life of a transfer that goes out.
//!
//! EventLoop of what an upload does when. Invariant: nothing is sent beyond the receiver's limit, and what is sent of a file is
//! covered by the digest at its end. The owner thread only changes the desk and never waits; the worker alone reads files.
//!
//! 1. [`Upload::start`]: the worker surveys the paths, reports the offer, and waits for a course: an send_queue and a position.
//! 2. [`Upload::begin`]: it sends the list, and waits until the offer is [`Upload::accepted`].
//! 3. It goes through the files as far as [`Upload::credit`] allows: read, hash, push; a few chunks at a time.
//! 4. A connection is lost: the send_queue is closed, pushes fail, and it waits for a new course, [`Upload::restart`].
//! 5. What the receiver has whole is reported as its durable position passes the end of the file; the rest of them at
//!    [`Upload::complete`].

mod control;
mod send_loop;
mod source;

use super::Report;
use super::manifest::{Manifest, Place};
use super::scan::{self, Scan};
use crate::error_text::io_error_text;
use crate::net::buffer::{OutChunk, Pool};
use crate::net::send_queue::SendQueue;
use crate::protocol::frame::{Digest, Offer, Position, TransferId};
use control::{Desk, Word};
use send_loop::Sending;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use thiserror::Error;

/// What an upload tells the owner thread.
#[derive(Debug)]
pub enum UploadReport {
    /// The files are found: queue OFFER, then call [`Upload::begin`].
    Scanned {
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

/// A position in ACCEPT or RESTART that the transfer does not have, or that comes at the wrong time; the peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the peer wants a transfer to go on where it cannot")]
pub struct NoSuchPosition;

/// The handle of an upload worker; its calls never wait. Dropping it cancels.
#[derive(Debug)]
pub struct Upload {
    transfer: TransferId,
    desk: Arc<Desk>,
    worker: Option<JoinHandle<()>>,
}

impl Upload {
    /// Starts the worker: it looks for the files, reports, and waits.
    pub fn start(
        transfer: TransferId,
        paths: Vec<PathBuf>,
        pool: Arc<Pool<OutChunk>>,
        report: Report<UploadReport>,
    ) -> Self {
        let desk = Arc::new(Desk::default());
        let name = format!("upload {transfer}");
        let worker = {
            let (desk, report) = (Arc::clone(&desk), Arc::clone(&report));
            thread::Builder::new().name(name).spawn(move || live(transfer, &paths, desk, pool, report))
        };
        if let Err(error) = &worker {
            let text = format!("no thread for the upload: {}", io_error_text(error));
            report(transfer, UploadReport::Unsendable { code: "not-readable", text });
        }
        Self { transfer, desk, worker: worker.ok() }
    }

    /// OFFER is queued in `send_queue`: opens the lane and sends the list from its start. Also after a resume, when the peer
    /// had not received OFFER.
    pub fn begin(&self, send_queue: Arc<SendQueue>) {
        send_queue.open_lane(self.transfer);
        self.desk.begin(send_queue);
    }

    /// The peer sent ACCEPT.
    ///
    /// # Errors
    /// When no file can go on at that position; the transfer cannot go on then.
    pub fn accepted(&self, position: Position, digest: Digest) -> Result<(), NoSuchPosition> {
        let list = self.desk.list().ok_or(NoSuchPosition)?;
        match list.place(position) {
            Place::File { .. } | Place::Done => {}
            Place::List(_) | Place::Nowhere => return Err(NoSuchPosition),
        }
        self.desk.accepted(position, digest);
        Ok(())
    }

    /// The peer sent CREDIT. What it grants beyond the transfer's end means nothing.
    pub fn credit(&self, durable: Position, limit: Position) {
        self.desk.credit(durable, limit);
    }

    /// The peer sent RESTART over a new connection: opens the lane there and goes on.
    ///
    /// # Errors
    /// When nothing can go on at that position, or the data was not accepted yet.
    pub fn restart(
        &self,
        send_queue: Arc<SendQueue>,
        position: Position,
        limit: Position,
    ) -> Result<(), NoSuchPosition> {
        let list = self.desk.list().ok_or(NoSuchPosition)?;
        if list.place(position) == Place::Nowhere {
            return Err(NoSuchPosition);
        }
        if position > list.data_start() && !self.desk.is_accepted() {
            return Err(NoSuchPosition);
        }
        send_queue.open_lane(self.transfer);
        self.desk.restart(send_queue, position, limit);
        Ok(())
    }

    /// The connection is lost: nothing goes out until [`Upload::begin`] or [`Upload::restart`].
    pub fn disconnected(&self) {
        self.desk.disconnected();
    }

    /// The peer sent COMPLETE: all it will ever have is durable. [`UploadReport::Finished`] follows.
    pub fn complete(&self) {
        self.end(Word::Complete);
    }

    /// Ends the worker promptly, without waiting for it, and drops the lane. What was under way may still be reported.
    pub fn cancel(&self) {
        self.end(Word::Cancel);
    }

    fn end(&self, word: Word) {
        if let Some(send_queue) = self.desk.end(word) {
            send_queue.drop_lane(self.transfer);
        }
    }

    /// Bytes of file data that the receiver has, and files that it has whole.
    pub fn progress(&self) -> (u64, u32) {
        self.bytes_at(self.desk.durable())
    }

    /// Bytes of file data before a position, and files that end before it; nothing while the scan runs.
    pub fn bytes_at(&self, position: Position) -> (u64, u32) {
        self.desk.list().map_or((0, 0), |list| list.progress(position))
    }

    /// The list, once the scan is reported.
    pub fn list(&self) -> Option<Arc<Manifest>> {
        self.desk.list().map(Arc::clone)
    }

    /// Cancels if it still runs, and waits for the worker's end.
    pub fn join(mut self) {
        self.cancel();
        if let Some(worker) = self.worker.take() {
            // A panic of the worker was shown by the panic hook.
            let _ = worker.join();
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn live(
    transfer: TransferId,
    paths: &[PathBuf],
    desk: Arc<Desk>,
    pool: Arc<Pool<OutChunk>>,
    report: Report<UploadReport>,
) {
    let Scan { list, roots, skipped } = match scan::scan(paths) {
        Ok(scan) => scan,
        Err(error) => {
            let code = error.code();
            return report(transfer, UploadReport::Unsendable { code, text: error.to_string() });
        }
    };
    let list = Arc::new(list);
    desk.scanned(Arc::clone(&list));
    let more = u32::try_from(list.tops().count().saturating_sub(1)).unwrap_or(u32::MAX);
    let (offer, name) = (list.offer(&list.encode()), list.first_name().to_owned());
    report(transfer, UploadReport::Scanned { offer, name, more, skipped });
    Sending::new(transfer, list, roots, desk, pool, report).live();
}
