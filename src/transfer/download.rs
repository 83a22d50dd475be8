//! All downloads of a conversation: one worker thread that writes, and short-lived threads that look, open and hash.
//!
//! Invariant: everything up to the position that the flow control was told is with the file system. Only these threads touch the disk,
//! and no call of [`Downloads`] waits for them. A worker whose disk stands still delays data and accepts, but no look. Where files stand
//! is the business of `staging`, what may come that of `flow_control`.
//!
//! 1. [`Downloads::look`]: a thread checks the list and looks at the disk; the session asks, or decides.
//! 2. [`Downloads::accept`]: a thread opens the staging folder, checks what an earlier run left and hashes its part; the worker gets
//!    it and says [`DownloadReport::Ready`].
//! 3. The event loop queues ACCEPT and opens the flow: the worker takes what waits (up to a megabyte), hashes it, writes it with one call,
//!    compares digests at the ends of files, and tells the flow control.
//! 4. When all is there, the worker publishes it and reports each file, then [`DownloadReport::Finished`].
//! 5. [`Downloads::acknowledged`]: the staging folder goes.

mod open;
mod output;
mod worker;
mod writer;

pub use super::staging::{OnClash, Published, Totals};

use super::Report;
use super::flow_control::{FlowControl, RouteStart};
use super::manifest::Manifest;
use super::staging::partials::recover;
use crate::error_text::io_error_text;
use crate::keys::PublicKey;
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Digest, Offer, Reason, TransferId};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use worker::{Order, Worker};
use zeroize::Zeroizing;

/// Where what is received goes, unless this user names a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Into [`Settings::dir`], or the folder in which an earlier run received part of it.
    DirOrRecorded,
    /// Into [`Settings::dir`], wherever a part may be.
    Dir,
    /// Onto standard output: one file or stream.
    Output,
}

/// What all downloads of a conversation share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where files go when the user names no other folder.
    pub dir: PathBuf,
    pub target: Target,
    pub on_clash: OnClash,
    /// The program's data directory; the file `partial-folders` in it has the folders that hold staging folders.
    pub data_dir: PathBuf,
    /// Wait for the disk itself before a file counts as received.
    pub fsync: bool,
    /// Our own private key: with the peer's it makes the names of staging folders.
    pub own_private: Zeroizing<[u8; 32]>,
    pub peer: PublicKey,
    /// What the peer calls itself; written into the staging folder for `p2pchat partials`.
    pub peer_name: String,
}

/// What a download tells the event loop.
#[derive(Debug)]
pub enum DownloadReport {
    /// The list is good; [`Downloads::accept`] may follow.
    Looked(Looked),
    /// The list is not acceptable: DECLINE.
    Unacceptable {
        reason: Reason,
        /// For our user and the peer; holds names of the peer's only.
        text: String,
    },
    /// The folder named by [`Downloads::accept`] cannot be used; another accept is awaited.
    NoSuchFolder {
        /// With the path.
        text: String,
    },
    /// Queue ACCEPT with this digest and the position of `start`, then call [`FlowControl::open`].
    Ready {
        digest: Digest,
        start: RouteStart,
        /// The staging folder; none for standard output.
        part: Option<PathBuf>,
    },
    /// At most `REPORTED` of them.
    Published(Vec<Published>),
    Warning {
        text: String,
    },
    /// The peer broke a rule that only the worker can see: the session ends. Nothing is written any more.
    Fault(ProtocolError),
    /// All is published that can be: COMPLETE. The staging folder stays until [`Downloads::acknowledged`].
    Finished {
        totals: Totals,
        /// Bytes of files that came for it in this run, as they went over the wire.
        wire_bytes: u64,
    },
    /// The transfer cannot go on: CANCEL (DECLINE when it comes before [`DownloadReport::Ready`]). The download has ended.
    Broken(Broken),
}

/// Why a transfer cannot go on.
#[derive(Debug)]
pub struct Broken {
    pub reason: Reason,
    /// For our user, with the local path.
    pub text: String,
    /// For the peer: the class of the error and the offered name.
    pub told: String,
    /// The staging folder that stays, to be continued when the same is offered again.
    pub part: Option<PathBuf>,
}

impl Broken {
    fn new(reason: Reason, text: String, told: String) -> Self {
        Self { reason, text, told, part: None }
    }

    fn no_thread(error: &io::Error) -> Self {
        let text = format!("no thread for a download: {}", io_error_text(error));
        Self::new(Reason::Io, text, "the receiver cannot take it now".to_owned())
    }
}

/// What a look at a good list and the disk gives.
#[derive(Debug)]
pub struct Looked {
    pub manifest: Arc<Manifest>,
    /// Names at its top that exist already in the default folder.
    pub clashes: u32,
    /// Bytes free in the folder that would receive (the recorded one, else the default), less what accepted transfers still need.
    pub free: Option<u64>,
    /// Bytes that this transfer still needs there: less than the sum of sizes when part of it is there.
    pub needed: u64,
    /// The folder in which an earlier run received part of the very same offer, when it may go on there.
    pub recorded_dest: Option<PathBuf>,
    /// Another such folder, in which it may not go on ([`Target::Dir`]).
    pub elsewhere: Option<PathBuf>,
}

/// An offer that is taken.
#[derive(Debug)]
pub struct AcceptedOffer {
    pub manifest: Arc<Manifest>,
    /// Of its list: it makes the name of the staging folder.
    pub digest: Digest,
    /// An existing folder that the user named, or an earlier run used; else [`Settings::dir`].
    pub dest: Option<PathBuf>,
}

/// How long a disk may take at the end of the program; a staging folder that stays after that is no loss.
const FINISH_TIME: Duration = Duration::from_secs(2);

/// The handle of the worker. No call but [`Downloads::finish`] waits. Dropping it ends all downloads; their staging folders stay.
pub struct Downloads {
    settings: Arc<Settings>,
    orders: Sender<Order>,
    flow: Arc<FlowControl>,
    report: Report<DownloadReport>,
    worker: JoinHandle<()>,
}

impl Downloads {
    /// # Errors
    /// When no thread can be made.
    pub fn start(settings: Settings, flow: Arc<FlowControl>, report: Report<DownloadReport>) -> io::Result<Self> {
        recover_once(&settings)?;
        let (orders, incoming) = mpsc::channel();
        let settings = Arc::new(settings);
        let worker =
            Worker::new(Arc::clone(&settings), Arc::clone(&flow), Arc::clone(&report), orders.clone(), incoming);
        let worker = thread::Builder::new().name("download".into()).spawn(move || worker.run())?;
        Ok(Self { settings, orders, flow, report, worker })
    }

    /// Ends all downloads, and waits for a moment until what was ordered is done.
    pub fn finish(&self) {
        self.order(Order::Stop);
        let begun = Instant::now();
        while !self.worker.is_finished() && begun.elapsed() < FINISH_TIME {
            thread::sleep(FINISH_TIME / 1_000);
        }
    }

    /// The list of an offer is complete: check it and look at the disk (reports [`DownloadReport::Looked`]).
    ///
    /// # Errors
    /// Gives the report when no thread can be made.
    pub fn look(&self, transfer: TransferId, offer: Offer, list: Vec<u8>) -> Result<(), DownloadReport> {
        let (settings, needed, report) = (Arc::clone(&self.settings), self.flow.needed(), Arc::clone(&self.report));
        let look = move || {
            let looked = open::look(&settings, &offer, &list, needed);
            report(transfer, looked.map_or_else(|unacceptable| unacceptable, DownloadReport::Looked));
        };
        let looking = thread::Builder::new().name("download look".into()).spawn(look);
        looking.map(drop).map_err(|error| DownloadReport::Broken(Broken::no_thread(&error)))
    }

    /// The transfer is accepted: prepare, and report.
    pub fn accept(&self, transfer: TransferId, accepted: AcceptedOffer) {
        self.order(Order::Accept { transfer, accepted });
    }

    /// Ends a download: by this user (`remove`: its staging folder goes), or in any other way that keeps what came.
    pub fn cancel(&self, transfer: TransferId, remove: bool) {
        self.order(Order::Cancel { transfer, remove });
    }

    /// COMPLETE was acknowledged: the staging folder goes. Also to be called when the session ends by BYE after COMPLETE was sent.
    pub fn acknowledged(&self, transfer: TransferId) {
        self.order(Order::Acknowledged(transfer));
    }

    fn order(&self, order: Order) {
        // A worker that is gone has panicked, which the panic hook has shown.
        let _ = self.orders.send(order);
        self.flow.kick();
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.order(Order::Stop);
    }
}

/// What an earlier run left half published is finished without the peer, once a run of the program.
fn recover_once(settings: &Settings) -> io::Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Ordering::Relaxed) {
        let data_dir = settings.data_dir.clone();
        thread::Builder::new().name("download recover".into()).spawn(move || recover(&data_dir))?;
    }
    Ok(())
}
