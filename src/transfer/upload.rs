//! All uploads of a conversation: one worker thread, and a short-lived thread for each scan and each hash of an accepted prefix.
//!
//! Invariant: what is sent of a file is covered by the digest at its end, and each connection continues where RESTART says. Credit is
//! not known here: the send queue holds bulk back. No call of the handle waits; what needs the disk happens on the threads.
//!
//! 1. [`Uploads::scan`]: a thread looks for the files and reports the offer.
//! 2. [`Uploads::begin`]: the list goes to the send queue. [`Uploads::accepted`]: a prefix that the receiver has is hashed on a thread,
//!    then the transfer is due. After a lost connection [`Uploads::restart`] does the same.
//! 3. The worker fills pieces of bulk from the transfers that are due, which take turns, as far as the queue has room.
//! 4. [`Uploads::received`] and [`Uploads::complete`]: the worker reports the files that the receiver has.

mod source;
#[cfg(test)]
mod tests;
mod worker;

use super::Report;
use super::manifest::{Manifest, Place};
use super::scan::{self, Roots, Scan};
use crate::command::SendArgs;
use crate::error_text::io_error_text;
use crate::net::send_queue::SendQueue;
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Digest, Offer, Position, TransferId};
use source::{Failed, Marks, Source};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

pub use scan::LeftOut;

const NO_DIGEST: Digest = [0; 32];

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

/// What a scan found; the same for the whole life of a transfer.
#[derive(Debug)]
struct Files {
    manifest: Arc<Manifest>,
    roots: Roots,
    encoded: Arc<[u8]>,
    offer: Offer,
}

/// A file whose end was sent, until the receiver has it.
#[derive(Debug)]
struct Sent {
    next: Position,
    index: usize,
    digest: Digest,
}

/// What the worker has to do for a transfer.
#[derive(Debug)]
enum Due {
    /// Nothing: the scan, OFFER, ACCEPT, RESTART or the hash of a prefix is awaited, or all is sent.
    Nothing,
    /// To send from here. The worker takes it out while it fills pieces.
    Send(Box<Cursor>),
    /// The worker has the cursor.
    Taken,
}

/// Where the worker stands in a transfer on this connection.
#[derive(Debug)]
struct Cursor {
    position: Position,
    /// BEGIN is still to be sent.
    begin: bool,
    /// The open file at `position`, read so far.
    source: Option<Source>,
    /// Why the file at `position` ends here, when the piece had no room for its end.
    failed: Option<Failed>,
    /// For restarts.
    marks: Marks,
}

#[derive(Debug)]
struct Transfer {
    /// Ends the scan or the hash that runs.
    stop: Arc<AtomicBool>,
    files: Option<Arc<Files>>,
    /// Counts what makes an earlier cursor void: a lost connection, ACCEPT, RESTART.
    epoch: u64,
    due: Due,
    marks: Marks,
    accepted: bool,
    /// RESTART may name no position below or above these.
    lowest: Position,
    highest: Position,
    received: Position,
    /// Everything is sent on this connection, or nothing was left to send.
    all_sent: bool,
    completed: bool,
    sent: VecDeque<Sent>,
    /// Files that were reported as failed, which may happen again after a restart.
    failed: BTreeSet<usize>,
    reports: VecDeque<UploadReport>,
}

impl Transfer {
    fn new() -> Self {
        Self {
            stop: Arc::default(),
            files: None,
            epoch: 0,
            due: Due::Nothing,
            marks: Marks::default(),
            accepted: false,
            lowest: 0,
            highest: 0,
            received: 0,
            all_sent: false,
            completed: false,
            sent: VecDeque::new(),
            failed: BTreeSet::new(),
            reports: VecDeque::new(),
        }
    }

    /// Ends what runs for it; a cursor or hash of before is void.
    fn interrupt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.stop = Arc::default();
        self.epoch += 1;
        if let Due::Send(cursor) = std::mem::replace(&mut self.due, Due::Nothing) {
            self.marks = cursor.marks;
        }
        self.all_sent = false;
    }

    /// Sends from `position` on. At the end of the transfer nothing is left.
    fn send_from(&mut self, end: Position, position: Position, source: Option<Source>) {
        self.sent.retain(|sent| sent.next <= position);
        self.all_sent = position == end;
        if !self.all_sent {
            self.lowest = position;
            let marks = std::mem::take(&mut self.marks);
            self.due = Due::Send(Box::new(Cursor { position, begin: true, source, failed: None, marks }));
        }
    }
}

#[derive(Default)]
struct State {
    queue: Option<Arc<SendQueue>>,
    transfers: BTreeMap<TransferId, Transfer>,
    /// The transfer that had the last turn.
    last: TransferId,
    reports_paused: bool,
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    report: Report<UploadReport>,
    data_dir: PathBuf,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a transfer that is there, and wakes the worker.
    fn change<T>(
        &self,
        transfer: TransferId,
        change: impl FnOnce(&mut Transfer, Option<&Arc<SendQueue>>) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        let State { queue, transfers, .. } = &mut *state;
        let changed = change(transfers.get_mut(&transfer)?, queue.as_ref());
        drop(state);
        self.changed.notify_one();
        Some(changed)
    }
}

/// The handle of the worker. Calls for a transfer that is gone do nothing. Dropping it ends all uploads.
pub struct Uploads {
    shared: Arc<Shared>,
}

impl Uploads {
    /// `data_dir` is the program's own, which is never sent.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(data_dir: PathBuf, report: Report<UploadReport>) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), report, data_dir });
        let worker = Arc::clone(&shared);
        thread::Builder::new().name("upload".into()).spawn(move || worker.run())?;
        Ok(Self { shared })
    }

    /// Looks for what the user named and reports; on a thread of its own.
    pub fn scan(&self, transfer: TransferId, args: SendArgs) {
        let entry = Transfer::new();
        let stop = Arc::clone(&entry.stop);
        self.shared.lock().transfers.insert(transfer, entry);
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("scan".into()).spawn(move || shared.scan(transfer, &args, &stop));
        if let Err(error) = thread {
            let text = format!("cannot start a thread: {}", io_error_text(&error));
            self.shared.change(transfer, |entry, _| {
                entry.reports.push_back(UploadReport::Unsendable { code: "not-readable", text });
            });
        }
    }

    /// OFFER is queued: the list follows. Also after a resume, when the peer had not received OFFER.
    pub fn begin(&self, transfer: TransferId) {
        self.shared.change(transfer, |entry, queue| {
            if let (Some(files), Some(queue)) = (&entry.files, queue) {
                queue.open_transfer(transfer);
                queue.send_list(transfer, Arc::clone(&files.encoded), 0);
            }
        });
    }

    /// The peer sent ACCEPT.
    ///
    /// # Errors
    /// When it is not the first, comes before the list was sent, or names an impossible place.
    pub fn accepted(&self, transfer: TransferId, position: Position, digest: Digest) -> Result<(), ProtocolError> {
        let shared = &self.shared;
        let accepted = shared.change(transfer, |entry, queue| {
            let Some(files) = entry.files.clone() else { return Err(ProtocolError::WrongTime("ACCEPT", transfer)) };
            if entry.accepted || queue.is_some_and(|queue| queue.has_list(transfer)) {
                return Err(ProtocolError::WrongTime("ACCEPT", transfer));
            }
            if !is_place(&files.manifest, position, &digest) {
                return Err(ProtocolError::Position("ACCEPT", transfer));
            }
            entry.accepted = true;
            (entry.lowest, entry.highest, entry.received) = (position, position, position);
            shared.advance(transfer, entry, &files, position, digest);
            Ok(())
        });
        accepted.unwrap_or(Ok(()))
    }

    /// The peer sent RESTART.
    ///
    /// # Errors
    /// When nothing can go on there.
    pub fn restart(&self, transfer: TransferId, position: Position, digest: Digest) -> Result<(), ProtocolError> {
        let shared = &self.shared;
        let restarted = shared.change(transfer, |entry, queue| {
            let Some(files) = entry.files.clone() else { return Err(ProtocolError::WrongTime("RESTART", transfer)) };
            let impossible = Err(ProtocolError::Position("RESTART", transfer));
            let Some(queue) = queue else { return Ok(()) };
            queue.open_transfer(transfer);
            if !entry.accepted {
                let from = usize::try_from(position).ok().filter(|from| *from <= files.encoded.len());
                let Some(from) = from.filter(|_| digest == NO_DIGEST) else { return impossible };
                if from < files.encoded.len() {
                    queue.send_list(transfer, Arc::clone(&files.encoded), from);
                }
                return Ok(());
            }
            if !(entry.lowest..=entry.highest).contains(&position) || !is_place(&files.manifest, position, &digest) {
                return impossible;
            }
            entry.lowest = position;
            entry.received = position;
            shared.advance(transfer, entry, &files, position, digest);
            Ok(())
        });
        restarted.unwrap_or(Ok(()))
    }

    /// The peer sent RECEIVED.
    ///
    /// # Errors
    /// When it cannot be that far.
    pub fn received(&self, transfer: TransferId, position: Position) -> Result<(), ProtocolError> {
        let received = self.shared.change(transfer, |entry, queue| {
            if let Some(queue) = queue {
                queue.peer_received(transfer, position)?;
                entry.received = position;
                entry.lowest = position;
            }
            Ok(())
        });
        received.unwrap_or(Ok(()))
    }

    /// The peer sent COMPLETE. [`UploadReport::Finished`] follows.
    ///
    /// # Errors
    /// When not all was sent.
    pub fn complete(&self, transfer: TransferId) -> Result<(), ProtocolError> {
        let completed = self.shared.change(transfer, |entry, queue| {
            let end = entry.files.as_ref().map_or(0, |files| files.manifest.end());
            // What the worker has pushed may still be in the queue.
            let sent = queue.and_then(|queue| queue.sent(transfer)).is_none_or(|(_, reached)| reached == end);
            if !entry.accepted || !entry.all_sent || !sent {
                return Err(ProtocolError::WrongTime("COMPLETE", transfer));
            }
            entry.received = end;
            entry.completed = true;
            Ok(())
        });
        completed.unwrap_or(Ok(()))
    }

    /// Ends a transfer (DECLINE or CANCEL of either side, BYE), also one whose scan runs. Nothing is reported of it any more.
    pub fn cancel(&self, transfer: TransferId) {
        let mut state = self.shared.lock();
        if let Some(mut entry) = state.transfers.remove(&transfer) {
            entry.interrupt();
        }
        let queue = state.queue.clone();
        drop(state);
        if let Some(queue) = queue {
            queue.drop_transfer(transfer);
        }
    }

    /// A connection: the first, or a resumed one before the session queues anything on it.
    pub fn connected(&self, queue: Arc<SendQueue>) {
        let shared = Arc::downgrade(&self.shared);
        queue.on_room(Arc::new(move || {
            if let Some(shared) = shared.upgrade() {
                // The worker asks for room and begins to wait under this lock.
                drop(shared.lock());
                shared.changed.notify_one();
            }
        }));
        self.shared.lock().queue = Some(queue);
        self.shared.changed.notify_one();
    }

    /// The connection is lost, and its reader has ended: every transfer waits for [`Uploads::begin`] or [`Uploads::restart`].
    pub fn disconnected(&self) {
        let mut state = self.shared.lock();
        let queue = state.queue.take();
        for (transfer, entry) in &mut state.transfers {
            if entry.files.is_none() {
                // Its scan goes on.
                continue;
            }
            if let Some((begin, reached)) = queue.as_ref().and_then(|queue| queue.sent(*transfer)) {
                entry.lowest = entry.lowest.min(begin).max(entry.received.min(begin));
                entry.highest = entry.highest.max(reached);
            }
            entry.interrupt();
        }
    }

    /// The same files are offered under another number, in another session; nothing is accepted. False when they are not found yet.
    pub fn renumber(&self, old: TransferId, new: TransferId) -> bool {
        let mut state = self.shared.lock();
        let Some(mut entry) = state.transfers.remove(&old) else { return false };
        entry.interrupt();
        let Some(files) = entry.files.take() else { return false };
        state.transfers.insert(new, Transfer { files: Some(files), ..Transfer::new() });
        true
    }

    /// Lets reports of single files wait (true), or come.
    pub fn pause_reports(&self, pause: bool) {
        self.shared.lock().reports_paused = pause;
        self.shared.changed.notify_one();
    }

    /// Bytes of file data that the receiver has, and files that it has whole or that failed.
    pub fn progress(&self, transfer: TransferId) -> (u64, u32) {
        let state = self.shared.lock();
        let entry = state.transfers.get(&transfer);
        entry.and_then(|entry| Some(entry.files.as_ref()?.manifest.progress(entry.received))).unwrap_or_default()
    }

    pub fn manifest(&self, transfer: TransferId) -> Option<Arc<Manifest>> {
        Some(Arc::clone(&self.shared.lock().transfers.get(&transfer)?.files.as_ref()?.manifest))
    }

    /// What was offered, to be offered again after [`Uploads::renumber`].
    pub fn offer(&self, transfer: TransferId) -> Option<Offer> {
        Some(self.shared.lock().transfers.get(&transfer)?.files.as_ref()?.offer.clone())
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.transfers.values_mut().for_each(Transfer::interrupt);
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn scan(&self, transfer: TransferId, args: &SendArgs, stop: &AtomicBool) {
        let found = args
            .resolve(|path| path.symlink_metadata().is_ok())
            .map_err(|error| UploadReport::Unsendable { code: error.code(), text: error.to_string() })
            .and_then(|paths| {
                scan::scan(&paths, &self.data_dir, stop)
                    .map_err(|error| UploadReport::Unsendable { code: error.code(), text: error.to_string() })
            });
        self.change(transfer, |entry, _| {
            let report = match found {
                Err(report) => report,
                Ok(Scan { list, roots, left_out }) => {
                    let encoded = list.encode();
                    let offer = list.offer(&encoded);
                    let more = u32::try_from(list.tops().count().saturating_sub(1)).unwrap_or(u32::MAX);
                    let name = list.first_name().to_owned();
                    let files =
                        Files { manifest: Arc::new(list), roots, encoded: encoded.into(), offer: offer.clone() };
                    entry.files = Some(Arc::new(files));
                    UploadReport::Scanned { offer, name, more, left_out }
                }
            };
            entry.reports.push_back(report);
        });
    }

    /// Begins at `position` when the receiver's digest of the file up to there is right, else at the start of that file.
    fn advance(
        self: &Arc<Self>,
        transfer: TransferId,
        entry: &mut Transfer,
        files: &Arc<Files>,
        position: Position,
        digest: Digest,
    ) {
        entry.interrupt();
        let Place::File { index, offset: offset @ 1.. } = files.manifest.place(position) else {
            return entry.send_from(files.manifest.end(), position, None);
        };
        let (shared, files, stop, epoch) = (Arc::clone(self), Arc::clone(files), Arc::clone(&entry.stop), entry.epoch);
        let mut marks = std::mem::take(&mut entry.marks);
        let hash = move || {
            let source = files.hashed(index, offset, &digest, &mut marks, &stop);
            shared.change(transfer, |entry, _| {
                if entry.epoch != epoch {
                    return;
                }
                entry.marks = marks;
                let at = if source.is_some() { position } else { position - offset };
                entry.send_from(files.manifest.end(), at, source);
            });
        };
        if thread::Builder::new().name("hash".into()).spawn(hash).is_err() {
            // Without a thread for the comparison the file is sent whole.
            entry.send_from(files_end(entry), position - offset, None);
        }
    }
}

fn files_end(entry: &Transfer) -> Position {
    entry.files.as_ref().map_or(0, |files| files.manifest.end())
}

impl Files {
    /// The file of `index`, read up to `offset`, when what is before it has this digest.
    fn hashed(
        &self,
        index: usize,
        offset: u64,
        digest: &Digest,
        marks: &mut Marks,
        stop: &AtomicBool,
    ) -> Option<Source> {
        let file = self.manifest.file(index)?;
        let (path, follow) = self.roots.path(&self.manifest, index);
        let mut source = Source::open(&path, follow, &file).ok()?;
        source.pass(&file, offset, marks, stop).ok()?;
        (blake3::Hash::from(source.digest()) == blake3::Hash::from(*digest)).then_some(source)
    }
}

/// Whether data may begin at `position`, with this digest of what is before it in the file.
fn is_place(manifest: &Manifest, position: Position, digest: &Digest) -> bool {
    match manifest.place(position) {
        Place::File { offset: 1.., .. } => true,
        Place::File { .. } | Place::Done => *digest == NO_DIGEST,
        Place::List(_) | Place::Nowhere => false,
    }
}
