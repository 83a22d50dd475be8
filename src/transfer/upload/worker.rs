//! The worker: fills pieces of bulk from the transfers that are due, and reports what the receiver has.

use super::source::{Failed, Source, chunk_len};
use super::{Cursor, Due, Files, NO_DIGEST, Sent, SentFile, Shared, State, Transfer, UploadReport};
use crate::net::buffer::Bulk;
use crate::net::send_queue::SendQueue;
use crate::protocol::frame::{END_WEIGHT, FileStatus, Position, TransferId};
use crate::transfer::manifest::{File, Place};
use std::sync::{Arc, PoisonError};

/// Pieces of one turn: several, so that the writer is woken once for them; few, so that transfers take turns.
const TURN: usize = 8;
/// Reports of files that may wait while they are paused, before the transfer waits as well.
const REPORTS: usize = 1_024;
/// Files in one report.
const REPORTED: usize = 256;

/// One turn of one transfer.
struct Turn {
    transfer: TransferId,
    epoch: u64,
    files: Arc<Files>,
    cursor: Box<Cursor>,
    queue: Arc<SendQueue>,
    room: usize,
}

/// What a turn adds to the transfer.
#[derive(Default)]
struct Outcome {
    sent: Vec<Sent>,
    failed: Vec<(usize, UploadReport)>,
}

impl Shared {
    /// Works until the handle is dropped.
    pub(super) fn run(&self) {
        let mut state = self.lock();
        while !state.ended {
            if let Some((transfer, report)) = state.next_report() {
                drop(state);
                (self.report)(transfer, report);
                state = self.lock();
            } else if let Some(turn) = state.next_turn() {
                drop(state);
                self.work(turn);
                state = self.lock();
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn work(&self, mut turn: Turn) {
        let mut outcome = Outcome::default();
        let mut pieces = Vec::with_capacity(turn.room);
        let end = turn.files.manifest.end();
        while pieces.len() < turn.room && turn.cursor.position < end {
            let mut bulk = turn.queue.pool().take(turn.transfer);
            fill(&mut bulk, &turn.files, &mut turn.cursor, &mut outcome);
            pieces.push(bulk);
        }
        let all_sent = turn.cursor.position >= end;
        let mut state = self.lock();
        let Some(entry) = state.transfers.get_mut(&turn.transfer).filter(|entry| entry.epoch == turn.epoch) else {
            return;
        };
        entry.sent.extend(outcome.sent);
        for (index, report) in outcome.failed {
            // After a restart the same file may fail once more.
            if entry.failed.insert(index) {
                entry.reports.push_back(report);
            }
        }
        if all_sent {
            entry.due = Due::Nothing;
            entry.all_sent = true;
            entry.marks = std::mem::take(&mut turn.cursor.marks);
        } else {
            entry.due = Due::Send(turn.cursor);
        }
        // Under the lock: a transfer that is cancelled meanwhile is not in the queue then. A closed queue is a lost connection,
        // which the event loop reports.
        let _ = turn.queue.push_bulk(&mut pieces);
    }
}

impl State {
    /// The next transfer that has something to send, when the queue takes it.
    fn next_turn(&mut self) -> Option<Turn> {
        let queue = self.queue.clone()?;
        let paused = self.reports_paused;
        let is_due = |entry: &Transfer| {
            let held = paused && entry.sent.len() + entry.reports.len() > REPORTS;
            matches!(entry.due, Due::Send(_)) && !held
        };
        let mut due = self.transfers.iter().filter(|(_, entry)| is_due(entry)).map(|(id, _)| *id);
        let first = due.next()?;
        let last = self.last;
        let transfer = std::iter::once(first).chain(due).find(|id| *id > last).unwrap_or(first);
        let room = queue.room().ok()?.min(TURN);
        if room == 0 {
            return None;
        }
        self.last = transfer;
        let entry = self.transfers.get_mut(&transfer)?;
        let (epoch, files) = (entry.epoch, entry.files.clone()?);
        match std::mem::replace(&mut entry.due, Due::Taken) {
            Due::Send(cursor) => Some(Turn { transfer, epoch, files, cursor, queue, room }),
            other => {
                entry.due = other;
                None
            }
        }
    }

    /// What is to be reported next.
    fn next_report(&mut self) -> Option<(TransferId, UploadReport)> {
        let paused = self.reports_paused;
        let (&transfer, report) =
            self.transfers.iter_mut().find_map(|(id, entry)| Some((id, entry.next_report(paused)?)))?;
        if matches!(report, UploadReport::Finished | UploadReport::Unsendable { .. }) {
            self.transfers.remove(&transfer);
        }
        Some((transfer, report))
    }
}

impl Transfer {
    fn next_report(&mut self, paused: bool) -> Option<UploadReport> {
        let of_a_file = |report: &UploadReport| matches!(report, UploadReport::FileFailed { .. });
        if let Some(report) = self.reports.pop_front_if(|report| !paused || !of_a_file(report)) {
            return Some(report);
        }
        if paused {
            return None;
        }
        let Some(files) = self.files.clone() else { return None };
        let mut sent = Vec::new();
        while sent.len() < REPORTED
            && let Some(file) = self.sent.pop_front_if(|file| file.next <= self.received)
        {
            let bytes = files.manifest.file(file.index).map_or(0, |listed| listed.size);
            sent.push(SentFile { path: files.roots.path(&files.manifest, file.index).0, bytes, digest: file.digest });
        }
        if !sent.is_empty() {
            return Some(UploadReport::FilesSent(sent));
        }
        self.completed.then_some(UploadReport::Finished)
    }
}

/// Fills one piece, as far as it has room and the transfer goes. Adds one record at least.
fn fill(bulk: &mut Bulk, files: &Files, cursor: &mut Cursor, outcome: &mut Outcome) {
    if std::mem::take(&mut cursor.begin) {
        bulk.push_begin(cursor.position);
    }
    while let Place::File { index, .. } = files.manifest.place(cursor.position)
        && let Some(file) = files.manifest.file(index)
    {
        let filled = fill_from(bulk, files, &file, cursor);
        let (status, digest) = match filled {
            // The piece is full.
            Ok(None) => return,
            Ok(Some(digest)) => (FileStatus::Whole, digest),
            Err(Failed { status, text }) => {
                if !bulk.fits(END_WEIGHT) {
                    // The next piece begins with its end.
                    cursor.failed = Some(Failed { status, text });
                    return;
                }
                if !files.roots.is_blocked(index) {
                    let offered = files.manifest.path(index);
                    let path = files.roots.path(&files.manifest, index).0;
                    outcome.failed.push((index, UploadReport::FileFailed { path, offered, text }));
                }
                (status, NO_DIGEST)
            }
        };
        bulk.file_end(cursor.position, status, digest, file.next());
        cursor.source = None;
        cursor.position = file.next();
        if status == FileStatus::Whole {
            outcome.sent.push(Sent { next: file.next(), index, digest });
        }
    }
}

/// Adds chunks of a file as far as there is room; its digest once there is room for its end, too.
fn fill_from(bulk: &mut Bulk, files: &Files, file: &File<'_>, cursor: &mut Cursor) -> Result<Option<[u8; 32]>, Failed> {
    if let Some(failed) = cursor.failed.take() {
        return Err(failed);
    }
    let mut source = match cursor.source.take() {
        Some(source) => source,
        None => {
            if !bulk.is_empty() && !bulk.fits(weight(chunk_len(file.end() - cursor.position))) {
                return Ok(None);
            }
            files.open(file)?
        }
    };
    while cursor.position < file.end() {
        let len = chunk_len(file.end() - cursor.position);
        if !bulk.fits(weight(len)) {
            cursor.source = Some(source);
            return Ok(None);
        }
        source.read(bulk.room().get_mut(..len).unwrap_or_default())?;
        bulk.chunk(cursor.position, len);
        cursor.position += weight(len);
        source.mark(file, &mut cursor.marks);
    }
    if !bulk.fits(END_WEIGHT) {
        cursor.source = Some(source);
        return Ok(None);
    }
    source.finish(file).map(Some)
}

fn weight(data: usize) -> u64 {
    Position::try_from(data).unwrap_or(u64::MAX)
}

impl Files {
    fn open(&self, file: &File<'_>) -> Result<Source, Failed> {
        if self.roots.is_blocked(file.index) {
            return Err(Failed::left_out());
        }
        let (path, follow) = self.roots.path(&self.manifest, file.index);
        Source::open(&path, follow, file)
    }
}
