//! All uploads of a conversation: one worker thread, and a short-lived thread for each scan and each hash of an accepted prefix.
//!
//! Invariant: the handle's calls never wait; the worker alone reads files that are sent, and reports without holding the lock.
//!
//! 1. [`Uploads::scan`] looks for the files on a thread and reports the offer.
//! 2. [`Uploads::begin`] has the send queue send the list.
//! 3. [`Uploads::accepted`] or [`Uploads::restart`] says where data begins. A prefix of a file is hashed on a thread first: when its
//!    digest is not the receiver's, the file is sent from its start.
//! 4. The worker gives the transfers turns: each reads and hashes a few pieces and pushes them, while the queue has room.
//! 5. A file is reported once [`Uploads::received`] passes its end; the rest of them at [`Uploads::complete`].

mod files;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod worker;

use super::Report;
use super::manifest::Manifest;
use crate::command::{CommandError, SendSource};
use crate::error_text::io_error_text;
use crate::net::send_queue::SendQueue;
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Digest, NO_DIGEST, Offer, Position, TransferId};
use files::{Files, look};
use source::Source;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use worker::{Work, Worker};

pub use super::scan::LeftOut;

/// What an upload tells the event loop.
#[derive(Debug)]
pub enum UploadReport {
    /// The files are found: queue OFFER, then call [`Uploads::begin`].
    Scanned { offer: Offer, list: Arc<Manifest>, left_out: LeftOut },
    /// There is nothing that can be sent; the transfer is gone.
    Unsendable(CommandError),
    /// The receiver has these files. Many in one report when they are small.
    FilesSent(Vec<SentFile>),
    /// A file could not be sent; the rest goes on.
    FileFailed {
        /// Its local path.
        path: PathBuf,
        /// For our user.
        text: String,
    },
    /// After [`Uploads::complete`]: everything was reported; the transfer is gone.
    Finished {
        /// Bytes of files that were sent for it, as they went over the wire.
        wire_bytes: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentFile {
    pub path: PathBuf,
    pub bytes: u64,
    pub digest: Digest,
}

/// What the worker has to do for a transfer on this connection.
#[derive(Debug, Default)]
enum Task {
    /// Nothing: it is not accepted, or the receiver has all of it.
    #[default]
    Idle,
    /// The receiver knows the offer from an earlier connection: it says by RESTART where it stands.
    AwaitRestart,
    /// Compare the receiver's digest with the file up to this position.
    Check(Position, Digest),
    /// A thread does that.
    Checking,
    /// Begin here, with the file there if it was read up to that place already.
    Start(Position, Option<Box<Source>>),
    Send,
}

#[derive(Debug, Default)]
struct Transfer {
    /// Ends a scan or a hash under way.
    stop: Arc<AtomicBool>,
    files: Option<Arc<Files>>,
    /// How far the list was sent on earlier connections; none when it was never begun.
    listed: Option<Position>,
    /// The last of ACCEPT, BEGIN and RECEIVED up to the last loss: RESTART is not below it. 0 before ACCEPT.
    floor: Position,
    /// The furthest that ACCEPT named, or that was sent on earlier connections: RESTART is not above it.
    reached: Position,
    /// Bytes of files that earlier connections carried.
    wire_bytes: u64,
    received: Position,
    task: Task,
    complete: bool,
    /// None while the worker has it.
    work: Option<Work>,
}

impl Transfer {
    /// Ends the threads that read for it.
    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(stream) = self.files.as_ref().and_then(|files| files.stream.as_ref()) {
            stream.stop();
        }
    }

    /// Data goes on at `position`, if the receiver's digest of the file before it is right.
    fn go_on(&mut self, position: Position, digest: Digest) {
        self.task = match self.files.as_ref().and_then(|files| files.end()) {
            // Nothing is left to send, BEGIN included.
            Some(end) if end == position => Task::Idle,
            _ if digest != NO_DIGEST => Task::Check(position, digest),
            _ => Task::Start(position, None),
        };
    }
}

#[derive(Debug, Default)]
struct State {
    transfers: BTreeMap<TransferId, Transfer>,
    queue: Option<Arc<SendQueue>>,
    /// Counts connections: what belongs to an earlier one is void.
    connection: u64,
    reports_paused: bool,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }
}

/// The handle of the worker. Calls for a transfer that is gone do nothing. Dropping it ends all uploads.
pub struct Uploads {
    shared: Arc<Shared>,
    data_dir: PathBuf,
    report: Report<UploadReport>,
}

impl Uploads {
    /// `data_dir` is the program's own, which is never sent.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(data_dir: PathBuf, report: Report<UploadReport>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let worker = Worker::new(Arc::clone(&shared), Arc::clone(&report));
        thread::Builder::new().name("upload".into()).spawn(move || worker.run())?;
        Ok(Self { shared, data_dir, report })
    }

    /// Looks for what is to be sent and reports; on a thread of its own, which then reads a stream.
    ///
    /// # Errors
    /// Gives the report when no thread can be made.
    pub fn scan(&self, transfer: TransferId, source: SendSource) -> Result<(), UploadReport> {
        let stop = Arc::new(AtomicBool::new(false));
        let new = Transfer { stop: Arc::clone(&stop), ..Transfer::default() };
        self.shared.lock().transfers.insert(transfer, new);
        let (shared, data_dir, report) = (Arc::clone(&self.shared), self.data_dir.clone(), Arc::clone(&self.report));
        let scanning = thread::Builder::new().name("scan".into()).spawn(move || {
            let looked = look(&source, &data_dir, &stop);
            match looked {
                // Of one that was cancelled nothing is reported.
                _ if stop.load(Ordering::Relaxed) => {}
                Err(unsendable) => {
                    shared.lock().transfers.remove(&transfer);
                    report(transfer, UploadReport::Unsendable(unsendable));
                }
                Ok((files, left_out, reader)) => {
                    let (offer, list) = (files.list.offer(&files.encoded), Arc::clone(&files.list));
                    let stream = files.stream.clone();
                    match shared.lock().transfers.get_mut(&transfer) {
                        Some(upload) => upload.files = Some(Arc::new(files)),
                        None => return,
                    }
                    report(transfer, UploadReport::Scanned { offer, list, left_out });
                    if let (Some(stream), Some(reader)) = (stream, reader) {
                        stream.read_all(reader, || shared.change(|_| ()));
                    }
                }
            }
        });
        scanning.map(drop).map_err(|error| {
            self.shared.lock().transfers.remove(&transfer);
            let text = format!("no thread to look for the files: {}", io_error_text(&error));
            UploadReport::Unsendable(CommandError::new("not-readable", text))
        })
    }

    /// OFFER is queued: the list follows. Also after a resume, when the peer had not received OFFER.
    pub fn begin(&self, transfer: TransferId) {
        self.shared.change(|state| {
            if let (Some(upload), Some(queue)) = (state.transfers.get_mut(&transfer), &state.queue)
                && let Some(files) = &upload.files
            {
                upload.task = Task::Idle;
                upload.listed.get_or_insert(0);
                queue.open_transfer(transfer);
                queue.send_list(transfer, Arc::clone(&files.encoded), 0);
            }
        });
    }

    /// The peer sent ACCEPT.
    ///
    /// # Errors
    /// When it comes before the list was sent, or nothing can begin at this position.
    pub fn accepted(&self, transfer: TransferId, position: Position, digest: Digest) -> Result<(), ProtocolError> {
        self.shared.change(|state| {
            let Some(upload) = state.transfers.get_mut(&transfer) else { return Ok(()) };
            let Some(files) = &upload.files else { return Ok(()) };
            let awaits_restart = matches!(upload.task, Task::AwaitRestart);
            let is_listing = state.queue.as_ref().is_some_and(|queue| queue.list_position(transfer).is_some());
            if upload.floor > 0 || (is_listing && !awaits_restart) {
                return Err(ProtocolError::WrongTime("ACCEPT", transfer));
            }
            let new_stream = position == files.list.data_start() || files.stream.is_none();
            if !new_stream || !files.may_go_on(position, &digest) {
                return Err(ProtocolError::Position("ACCEPT", transfer));
            }
            (upload.floor, upload.reached, upload.received) = (position, position, position);
            if !awaits_restart {
                upload.go_on(position, digest);
            }
            Ok(())
        })
    }

    /// The peer sent RESTART.
    ///
    /// # Errors
    /// When nothing can go on at this position.
    pub fn restart(&self, transfer: TransferId, position: Position, digest: Digest) -> Result<(), ProtocolError> {
        self.shared.change(|state| {
            let (Some(upload), Some(queue)) = (state.transfers.get_mut(&transfer), &state.queue) else { return Ok(()) };
            let Some(files) = &upload.files else { return Ok(()) };
            let wrong = ProtocolError::Position("RESTART", transfer);
            upload.task = Task::Idle;
            queue.open_transfer(transfer);
            if upload.floor == 0 {
                if position > upload.listed.unwrap_or(0) || digest != NO_DIGEST {
                    return Err(wrong);
                }
                if position < files.list.data_start() {
                    let from = usize::try_from(position).unwrap_or(usize::MAX);
                    queue.send_list(transfer, Arc::clone(&files.encoded), from);
                }
                return Ok(());
            }
            if !(upload.floor..=upload.reached).contains(&position) || !files.may_go_on(position, &digest) {
                return Err(wrong);
            }
            upload.received = position;
            files.release(position);
            upload.go_on(position, digest);
            Ok(())
        })
    }

    /// The peer sent RECEIVED.
    ///
    /// # Errors
    /// When it is not between what was begun and what was sent on this connection.
    pub fn received(&self, transfer: TransferId, position: Position) -> Result<(), ProtocolError> {
        self.shared.change(|state| {
            let (Some(upload), Some(queue)) = (state.transfers.get_mut(&transfer), &state.queue) else { return Ok(()) };
            queue.peer_received(transfer, position)?;
            upload.received = position;
            upload.files.iter().for_each(|files| files.release(position));
            Ok(())
        })
    }

    /// The peer sent COMPLETE. [`UploadReport::Finished`] follows.
    ///
    /// # Errors
    /// When not all was sent.
    pub fn complete(&self, transfer: TransferId) -> Result<(), ProtocolError> {
        self.shared.change(|state| {
            let Some(upload) = state.transfers.get_mut(&transfer) else { return Ok(()) };
            let sent = state.queue.as_ref().and_then(|queue| queue.sent(transfer));
            // COMPLETE that is sent again after a resume comes without RESTART.
            let before = if let Task::AwaitRestart = upload.task { upload.reached } else { upload.received };
            let reached = before.max(sent.map_or(0, |(_, reached)| reached));
            if upload.files.as_ref().and_then(|files| files.end()).is_none_or(|end| reached < end) {
                return Err(ProtocolError::WrongTime("COMPLETE", transfer));
            }
            upload.received = reached;
            upload.complete = true;
            Ok(())
        })
    }

    /// Ends a transfer (DECLINE or CANCEL of either side, BYE), also one whose scan runs. Nothing is reported of it any more.
    pub fn cancel(&self, transfer: TransferId) {
        let queue = self.shared.change(|state| {
            state.transfers.remove(&transfer).iter().for_each(Transfer::stop);
            state.queue.clone()
        });
        // Without the lock: the queue wakes the worker, which takes it.
        if let Some(queue) = queue {
            queue.drop_transfer(transfer);
        }
    }

    /// A connection: the first, or a resumed one before the session queues anything on it.
    pub fn connected(&self, queue: Arc<SendQueue>) {
        let shared = Arc::clone(&self.shared);
        queue.on_room(Arc::new(move || shared.change(|_| ())));
        self.shared.change(|state| {
            state.connection += 1;
            state.queue = Some(queue);
        });
    }

    /// The connection is lost, and its reader has ended: every transfer waits for [`Uploads::begin`] or [`Uploads::restart`].
    pub fn disconnected(&self) {
        self.shared.change(|state| {
            let Some(queue) = state.queue.take() else { return };
            state.connection += 1;
            for (transfer, upload) in &mut state.transfers {
                upload.wire_bytes += queue.wire_bytes(*transfer);
                if let Some((received, reached)) = queue.sent(*transfer) {
                    upload.floor = received;
                    upload.reached = upload.reached.max(reached);
                }
                if let (Some(listed), Some(files)) = (&mut upload.listed, &upload.files) {
                    let end = files.list.data_start();
                    *listed = (*listed).max(queue.list_position(*transfer).unwrap_or(end));
                }
                upload.task = Task::AwaitRestart;
            }
        });
    }

    /// The same files are offered under another number, in another session; nothing is accepted.
    pub fn renumber(&self, old: TransferId, new: TransferId) {
        self.shared.change(|state| {
            if let Some(Transfer { stop, files, .. }) = state.transfers.remove(&old) {
                state.transfers.insert(new, Transfer { stop, files, ..Transfer::default() });
            }
        });
    }

    /// Lets reports of single files wait (true), or come.
    pub fn pause_reports(&self, pause: bool) {
        self.shared.change(|state| state.reports_paused = pause);
    }

    /// Bytes of file data that the receiver has, and files that it has whole or that failed.
    pub fn progress(&self, transfer: TransferId) -> (u64, u32) {
        let state = self.shared.lock();
        let upload = state.transfers.get(&transfer);
        let progress = upload.and_then(|upload| Some(upload.files.as_ref()?.progress(upload.received)));
        progress.unwrap_or_default()
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.closed = true;
            state.transfers.values().for_each(Transfer::stop);
        });
    }
}
