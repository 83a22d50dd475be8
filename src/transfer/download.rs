//! One download: a worker thread for the whole life of a transfer that comes in.
//!
//! EventLoop of what a download does when; where files land is the business of `landing`, what may come that of `window`.
//! Invariant: everything up to the position that the window was told is with the file system, and every file that has
//! its name is whole. The worker alone touches the disk, and nobody waits for it.
//!
//! 1. [`Download::start`] gives it the list's bytes. It checks them, looks at the default folder, reports, and waits.
//! 2. [`Download::accept`] names the folder. It takes up what an earlier run left, and reports where the data shall begin.
//! 3. The owner queues ACCEPT and opens the window: pieces come. The worker takes what waits (up to a megabyte), hashes
//!    it, writes it with one call, and tells the window.
//! 4. At the end of each file it compares the digest and gives the file its name; at the end of all it reports.

mod inbox;
mod writer;

use super::Report;
use super::flow_control::{Opening, Piece, ReceiveWindow, Seat};
use super::landing::{Landing, LandingError};
use super::manifest::Manifest;
use super::resume::{Journal, Journals, Key};
use crate::protocol::frame::{Digest, Offer, Position, Reason, TransferId};
use inbox::Inbox;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use writer::Writer;

/// What to do with a name that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnClash {
    /// Publish as `name (1).ext`.
    #[default]
    Rename,
    /// Replace a regular file; merge into a real folder.
    Overwrite,
    /// Take nothing that exists.
    Refuse,
}

/// What all downloads of a session share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where files go when the user names no other folder.
    pub dir: PathBuf,
    /// Where what a crash leaves is written down.
    pub journals: Arc<Journals>,
    /// Wait for the disk itself before a file counts as received.
    pub fsync: bool,
    /// The peer's fingerprint: a partial goes on only with data of the same peer.
    pub peer: String,
}

/// What a download tells the owner thread.
#[derive(Debug)]
pub enum DownloadReport {
    /// The list is good; the worker waits for [`Download::accept`].
    Looked {
        /// The checked list.
        list: Arc<Manifest>,
        /// Names at its top that exist already in the default folder.
        clashes: u32,
        /// Bytes free there.
        free: Option<u64>,
    },
    /// The list is not acceptable: to be declined. The worker has ended.
    Unacceptable {
        /// The reason for DECLINE.
        reason: Reason,
        /// For a person; names in it are the peer's.
        text: String,
    },
    /// The folder named by [`Download::accept`] cannot be used; the worker waits for another accept.
    NoSuchFolder {
        /// For a person, with the path.
        text: String,
    },
    /// Queue ACCEPT with this position and digest, then call [`ReceiveWindow::open`].
    Ready {
        /// Where the data shall begin.
        position: Position,
        /// Digest of the file's bytes before it.
        digest: Digest,
        /// For [`ReceiveWindow::open`].
        opening: Opening,
        /// Bytes of file data that an earlier run left here.
        resumed: u64,
    },
    /// A file stands under its final name.
    File {
        /// Its local path.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// Its BLAKE3 digest.
        digest: Digest,
    },
    /// A file could not be received; the rest goes on.
    FileFailed {
        /// Where it would have gone.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// Something to know; the transfer goes on.
    Warning {
        /// For a person.
        text: String,
    },
    /// All is published that can be: to be answered with COMPLETE. The worker has ended.
    Finished {
        /// The local path of the first name.
        path: PathBuf,
        /// Files published, those of an earlier run included.
        files: u32,
        /// Files that were not.
        failed: u32,
        /// Bytes published.
        bytes: u64,
    },
    /// The transfer cannot go on: to be cancelled. The worker has ended; the partial stays.
    Broken {
        /// The reason for CANCEL (or DECLINE before [`DownloadReport::Ready`]).
        reason: Reason,
        /// For a person, with the path.
        text: String,
    },
}

/// What the owner says to the worker.
#[derive(Debug)]
pub(crate) enum Order {
    /// See [`Download::accept`].
    Accept { dest: Option<PathBuf>, on_clash: OnClash },
    /// See [`Download::cancel`]; a flag says it too, and is seen before the pieces that wait.
    Cancel,
}

/// Why a transfer cannot go on.
#[derive(Debug)]
struct Broken {
    reason: Reason,
    text: String,
}

impl From<LandingError> for Broken {
    fn from(error: LandingError) -> Self {
        Self { reason: error.ends_all().unwrap_or(Reason::Io), text: error.to_string() }
    }
}

impl From<Broken> for DownloadReport {
    fn from(Broken { reason, text }: Broken) -> Self {
        Self::Broken { reason, text }
    }
}

/// The handle of a download worker. Dropping it cancels.
#[derive(Debug)]
pub struct Download {
    orders: Sender<Piece>,
    cancelled: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Download {
    /// Starts the worker: it checks the list, looks at the default folder, reports, and waits.
    pub fn start(
        transfer: TransferId,
        offer: Offer,
        list: Vec<u8>,
        settings: Arc<Settings>,
        window: Arc<ReceiveWindow>,
        report: Report<DownloadReport>,
    ) -> Self {
        let (orders, pieces) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let seat = window.seat(transfer, offer.list);
        let worker = Worker {
            inbox: Inbox::new(pieces, Arc::clone(&cancelled)),
            pieces: orders.clone(),
            settings,
            window,
            transfer,
            report: Arc::clone(&report),
            _seat: seat,
        };
        let name = format!("download {transfer}");
        let worker = thread::Builder::new().name(name).spawn(move || worker.live(&offer, list));
        if let Err(error) = &worker {
            let text = format!("no thread for the download: {}", crate::error_text::io_error_text(error));
            report(transfer, DownloadReport::Broken { reason: Reason::Io, text });
        }
        Self { orders, cancelled, worker: worker.ok() }
    }

    /// The transfer is wanted: into `dest` (an existing folder), or the default folder.
    pub fn accept(&self, dest: Option<PathBuf>, on_clash: OnClash) {
        // A worker that is gone has reported why.
        let _ = self.orders.send(Piece::Order(Order::Accept { dest, on_clash }));
    }

    /// Ends the worker promptly, without waiting for it; the partial stays, and goes on when the same peer offers the
    /// same list again. What was under way may still be reported.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        let _ = self.orders.send(Piece::Order(Order::Cancel));
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

impl Drop for Download {
    fn drop(&mut self) {
        self.cancel();
    }
}

struct Worker {
    inbox: Inbox,
    /// For the window, once the download is accepted.
    pieces: Sender<Piece>,
    settings: Arc<Settings>,
    window: Arc<ReceiveWindow>,
    transfer: TransferId,
    report: Report<DownloadReport>,
    _seat: Seat,
}

impl Worker {
    fn report(&self, report: DownloadReport) {
        (self.report)(self.transfer, report);
    }

    fn live(self, offer: &Offer, bytes: Vec<u8>) {
        let decoded = Manifest::decode(&bytes, offer);
        drop(bytes);
        let list = match decoded {
            Ok(list) => Arc::new(list),
            Err(error) => {
                return self.report(DownloadReport::Unacceptable { reason: error.reason(), text: error.to_string() });
            }
        };
        self.look(&list);
        while let Some((dest, on_clash)) = self.inbox.accept() {
            let dest = dest.unwrap_or_else(|| self.settings.dir.clone());
            // The journal knows the folder by its absolute path; people see it as they named it.
            let opened = dest.canonicalize().map_err(LandingError::at(&dest));
            let opened = opened.and_then(|path| Ok((path, Landing::open(&dest, on_clash, self.settings.fsync)?)));
            match opened {
                Ok((path, landing)) => return self.receive(offer, &list, landing, &path),
                Err(error) => self.report(DownloadReport::NoSuchFolder { text: error.to_string() }),
            }
        }
    }

    fn look(&self, list: &Arc<Manifest>) {
        let dir = &self.settings.dir;
        // A folder that cannot be opened is an error when the transfer is accepted into it, not before.
        let clashes = Landing::open(dir, OnClash::Refuse, false).map_or(0, |landing| landing.clashes(list));
        let free = fs4::available_space(dir).ok();
        self.report(DownloadReport::Looked { list: Arc::clone(list), clashes, free });
    }

    fn receive(self, offer: &Offer, list: &Arc<Manifest>, landing: Landing, dest: &std::path::Path) {
        if let Some(error) = landing.refused(list) {
            return self.report(DownloadReport::Broken { reason: Reason::Rule, text: error.to_string() });
        }
        let Settings { journals, peer, .. } = &*self.settings;
        let key = Key { peer, digest: &offer.digest, into: dest };
        let (journal, past) = match Journal::open(journals, key, list, self.inbox.cancelled()) {
            Ok(opened) => opened,
            Err(error) => {
                let text = format!("cannot begin the download: {}", crate::error_text::io_error_text(&error));
                return self.report(DownloadReport::Broken { reason: Reason::Io, text });
            }
        };
        let mut writer = Writer::new(Arc::clone(list), landing, journal);
        let taken_up = match past {
            Ok(Some(past)) => writer.take_up(past, self.inbox.cancelled()),
            Ok(None) => Ok(()),
            Err(text) => Err(text),
        };
        if let Err(text) = taken_up {
            self.report(DownloadReport::Warning { text });
        }
        let (position, digest) = writer.begins_at();
        let resumed = list.progress(position).0;
        let opening = Opening { list: Arc::clone(list), position, pieces: self.pieces.clone() };
        self.report(DownloadReport::Ready { position, digest, opening, resumed });
        match self.write_all(&mut writer) {
            Ok(true) => match writer.finish() {
                Ok(finished) => self.report(finished),
                Err(broken) => self.report(broken.into()),
            },
            Ok(false) => writer.leave(),
            Err(broken) => {
                // The journal is let go before anybody is told, for the same offer may come again at once.
                writer.leave();
                self.report(broken.into());
            }
        }
    }

    /// Writes until all is there; false when the download was cancelled.
    fn write_all(&self, writer: &mut Writer) -> Result<bool, Broken> {
        let mut batch = Vec::new();
        while !writer.is_complete() {
            if !self.inbox.batch(&mut batch) {
                return Ok(false);
            }
            for run in batch.chunk_by(|a, b| matches!((a, b), (Piece::Chunk { .. }, Piece::Chunk { .. }))) {
                match run {
                    [Piece::End { status, digest }] => {
                        let report = writer.end(*status, digest)?;
                        self.report(report);
                    }
                    [Piece::Order(_)] => {}
                    chunks => writer.write(chunks)?,
                }
            }
            self.window.durable(self.transfer, writer.position());
            for piece in batch.drain(..) {
                if let Piece::Chunk { record, .. } = piece {
                    self.window.records().give_record(record);
                }
            }
        }
        Ok(true)
    }
}
