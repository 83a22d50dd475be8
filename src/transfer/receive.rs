//! One download: a worker thread for the whole life of a transfer that comes in.
use super::Report;
use super::list::List;
use super::window::{Opening, Window};
use crate::frame::{Digest, Offer, Position, Reason, TransferId};
use std::path::PathBuf;
use std::sync::Arc;

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
    /// Where what a crash leaves is written down; made when missing.
    pub state: PathBuf,
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
        list: Arc<List>,
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
    /// Queue ACCEPT with this position and digest, then call [`Window::open`].
    Ready {
        /// Where the data shall begin.
        position: Position,
        /// Digest of the file's bytes before it.
        digest: Digest,
        /// For [`Window::open`].
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

/// The handle of a download worker. Dropping it cancels.
#[derive(Debug)]
pub struct Download {}

impl Download {
    /// Starts the worker: it checks the list, looks at the default folder, reports, and waits.
    pub fn start(
        transfer: TransferId,
        _offer: Offer,
        _list: Vec<u8>,
        _settings: Arc<Settings>,
        _window: Arc<Window>,
        report: Report<DownloadReport>,
    ) -> Self {
        report(transfer, DownloadReport::Broken { reason: Reason::Io, text: "not built yet".into() });
        Self {}
    }

    /// The transfer is wanted: into `dest` (an existing folder), or the default folder.
    pub fn accept(&self, _dest: Option<PathBuf>, _on_clash: OnClash) {}

    /// Ends the worker promptly, without waiting for it; the partial stays, and goes on when the same peer offers the
    /// same list again. Nothing more is reported.
    pub fn cancel(&self) {}

    /// Cancels if it still runs, and waits for the worker's end.
    pub fn join(self) {}
}
