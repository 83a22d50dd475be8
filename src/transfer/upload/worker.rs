//! The thread that reads what goes out.

use super::files::Files;
use super::source::{Failed, Marks, Source, chunk_len};
use super::stream::{Next, Stream};
use super::{SentFile, Shared, State, Task, Transfer, UploadReport};
use crate::net::buffer::Bulk;
use crate::net::send_queue::SendQueue;
use crate::protocol::frame::{Digest, END_WEIGHT, FileStatus, NO_DIGEST, Position, TransferId};
use crate::transfer::compression::Compressor;
use crate::transfer::compression::policy::{Attempts, Policy};
use crate::transfer::{REPORTED, Report};
use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Instant;

/// Pieces of one turn: enough that the queue is locked seldom, few enough that other transfers get theirs soon.
const TURN: usize = 8;

/// How far the worker is with a transfer.
#[derive(Debug, Default)]
pub(super) struct Work {
    position: Position,
    /// BEGIN is pushed on this connection.
    begun: bool,
    /// The present file, or why the rest of it cannot be sent; none before it is opened.
    source: Option<Result<Source, Failed>>,
    marks: Marks,
    attempts: Attempts,
    /// Files that were sent whole, in order, until the receiver has them.
    sent: VecDeque<Sent>,
    /// Files that failed: after a restart the same file may fail once more.
    failed: BTreeSet<usize>,
    /// Their failures, until they are reported at the end of a turn.
    failures: Vec<UploadReport>,
}

#[derive(Debug)]
struct Sent {
    /// Where the next file begins.
    next: Position,
    index: usize,
    bytes: u64,
    digest: Digest,
}

/// What the worker does next.
enum Job {
    Check { transfer: TransferId, position: Position, digest: Digest },
    Send { transfer: TransferId, queue: Arc<SendQueue>, room: usize },
    Report(TransferId),
    Finish(TransferId),
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    report: Report<UploadReport>,
    /// Whose turn it was.
    last: TransferId,
    /// There once a chunk was compressed.
    compressor: Option<Compressor>,
    /// With the number of the connection that it is about.
    policy: (u64, Policy),
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, report: Report<UploadReport>) -> Self {
        Self { shared, report, last: 0, compressor: None, policy: Default::default() }
    }

    pub(super) fn run(mut self) {
        while let Some(job) = self.next_job() {
            match job {
                Job::Check { transfer, position, digest } => self.check(transfer, position, digest),
                Job::Send { transfer, queue, room } => self.send(transfer, &queue, room),
                Job::Report(transfer) => self.report_sent(transfer),
                Job::Finish(transfer) => self.finish(transfer),
            }
        }
    }

    /// Waits for something to do; none when the handle is gone.
    fn next_job(&mut self) -> Option<Job> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = self.job(&mut state) {
                return Some(job);
            }
            state = shared.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn job(&mut self, state: &mut State) -> Option<Job> {
        let reports_paused = state.reports_paused;
        for (transfer, upload) in &mut state.transfers {
            let due = upload
                .work
                .as_ref()
                .and_then(|work| work.sent.front())
                .is_some_and(|sent| sent.next <= upload.received);
            match &upload.task {
                _ if due && !reports_paused => return Some(Job::Report(*transfer)),
                _ if upload.complete && !due => return Some(Job::Finish(*transfer)),
                Task::Check(position, digest) => {
                    let job = Job::Check { transfer: *transfer, position: *position, digest: *digest };
                    upload.task = Task::Checking;
                    return Some(job);
                }
                Task::Start(..) => {
                    if let Task::Start(position, source) = std::mem::replace(&mut upload.task, Task::Send) {
                        upload.work.get_or_insert_default().start(position, source.map(|source| *source));
                    }
                }
                _ => {}
            }
        }
        let queue = Arc::clone(state.queue.as_ref()?);
        // The next in turn after the last.
        let after = state.transfers.range((Bound::Excluded(self.last), Bound::Unbounded));
        let mut turns = after.chain(state.transfers.range(..=self.last));
        let sending = turns.find(|(_, upload)| upload.can_send());
        let Some((&transfer, _)) = sending else {
            self.policy.1.idle();
            return None;
        };
        let room = queue.room().ok().filter(|room| *room > 0)?;
        self.last = transfer;
        Some(Job::Send { transfer, queue, room })
    }

    /// Hashes what the receiver has of a file, on a thread.
    fn check(&self, transfer: TransferId, position: Position, digest: Digest) {
        let mut state = self.shared.lock();
        let connection = state.connection;
        let Some(upload) = state.transfers.get_mut(&transfer) else { return };
        let Some(files) = upload.files.clone() else { return };
        let stop = Arc::clone(&upload.stop);
        let marks = upload.work.as_ref().map(|work| work.marks.clone()).unwrap_or_default();
        drop(state);
        let shared = Arc::clone(&self.shared);
        let hash = move || {
            let (position, source) = checked(&files, position, &digest, marks, &stop);
            shared.change(|state| {
                let current = state.connection == connection;
                if let Some(upload) = state.transfers.get_mut(&transfer)
                    && current
                    && let Task::Checking = upload.task
                {
                    upload.task = Task::Start(position, source.map(Box::new));
                }
            });
        };
        // Without a thread it is hashed here, and the other transfers wait.
        if thread::Builder::new().name("hash".into()).spawn(hash.clone()).is_err() {
            hash();
        }
    }

    /// One turn of a transfer.
    fn send(&mut self, transfer: TransferId, queue: &SendQueue, room: usize) {
        let mut state = self.shared.lock();
        let connection = state.connection;
        let Some(upload) = state.transfers.get_mut(&transfer) else { return };
        let (Some(files), Some(mut work)) = (upload.files.clone(), upload.work.take()) else { return };
        drop(state);
        if self.policy.0 != connection {
            self.policy = (connection, Policy::default());
        }
        let policy = &mut self.policy.1;
        let compresses = policy.begin_turn(queue.demand().limit, Instant::now()) && queue.allows_zchunks();
        let mut compressor = compresses.then(|| self.compressor.get_or_insert_default());
        let begun = work.position;
        let mut pieces = Vec::new();
        while pieces.len() < room.min(TURN) && work.has_next(&files) {
            let mut piece = queue.pool().take(transfer);
            let compressor = compressor.as_deref_mut();
            match &files.stream {
                Some(stream) => work.fill_from_stream(&files, stream, &mut piece, compressor),
                None => work.fill(&files, &mut piece, compressor),
            }
            pieces.push(piece);
        }
        let weight = pieces.iter().map(Bulk::weight).sum();
        policy.end_turn(queue.demand(), work.position - begun, weight, Instant::now());
        // When the connection ended the next one's RESTART says where to go on.
        let _ = queue.push_bulk(&mut pieces);
        for failure in std::mem::take(&mut work.failures) {
            (self.report)(transfer, failure);
        }
        let mut state = self.shared.lock();
        if let Some(upload) = state.transfers.get_mut(&transfer) {
            upload.work = Some(work);
        }
    }

    /// Reports files that the receiver has.
    fn report_sent(&self, transfer: TransferId) {
        let mut state = self.shared.lock();
        let Some(upload) = state.transfers.get_mut(&transfer) else { return };
        let (Some(files), Some(work)) = (upload.files.clone(), &mut upload.work) else { return };
        let mut reported = Vec::new();
        while reported.len() < REPORTED && work.sent.front().is_some_and(|sent| sent.next <= upload.received) {
            reported.extend(work.sent.pop_front());
        }
        drop(state);
        let file = |sent: Sent| SentFile {
            path: files.roots.path(&files.list, sent.index),
            bytes: sent.bytes,
            digest: sent.digest,
        };
        (self.report)(transfer, UploadReport::FilesSent(reported.into_iter().map(file).collect()));
    }

    fn finish(&self, transfer: TransferId) {
        let mut state = self.shared.lock();
        let Some(gone) = state.transfers.remove(&transfer) else { return };
        let now = state.queue.as_ref().map_or(0, |queue| queue.wire_bytes(transfer));
        drop(state);
        (self.report)(transfer, UploadReport::Finished { wire_bytes: gone.wire_bytes + now });
    }
}

/// Where to begin, and the file read up to there: at `position` when the receiver has the beginning of the file as it is here, else at
/// the start of that file.
fn checked(
    files: &Files,
    position: Position,
    digest: &Digest,
    mut marks: Marks,
    stop: &AtomicBool,
) -> (Position, Option<Source>) {
    let Some(file) = files.list.file_at(position) else { return (position, None) };
    let path = files.roots.path(&files.list, file.index);
    let source = Source::open(&path, &file, position - file.start, &mut marks, stop).ok();
    let source = source.filter(|source| source.digest() == *digest);
    (if source.is_some() { position } else { file.start }, source)
}

impl Transfer {
    fn can_send(&self) -> bool {
        let (Some(files), Some(work)) = (&self.files, &self.work) else { return false };
        matches!(self.task, Task::Send) && !self.complete && work.has_next(files)
    }
}

/// The first `len` bytes of the room become a chunk, compressed where that helps.
fn push_chunk(
    piece: &mut Bulk,
    position: Position,
    len: usize,
    compressor: Option<&mut Compressor>,
    attempts: &mut Attempts,
) {
    let data = piece.room().get(..len).unwrap_or_default();
    match compressor.and_then(|compressor| compressor.try_compress(data, attempts)) {
        Some(frame) => piece.zchunk(position, frame, len),
        None => piece.chunk(position, len),
    }
}

impl Work {
    fn start(&mut self, position: Position, source: Option<Source>) {
        self.position = position;
        self.source = source.map(Ok);
        self.begun = false;
        // What was sent after that is lost, and will be sent again.
        self.sent.retain(|sent| sent.next <= position);
    }

    /// Whether there is something to fill a piece with.
    fn has_next(&self, files: &Files) -> bool {
        let offset = self.position.saturating_sub(files.list.data_start());
        files.end().is_none_or(|end| self.position < end)
            && files.stream.as_ref().is_none_or(|stream| stream.has_next(offset))
    }

    fn begin(&mut self, piece: &mut Bulk) {
        if !std::mem::replace(&mut self.begun, true) {
            piece.push_begin(self.position);
        }
    }

    /// Fills a piece with the next chunk of a stream, or its end.
    fn fill_from_stream(
        &mut self,
        files: &Files,
        stream: &Stream,
        piece: &mut Bulk,
        compressor: Option<&mut Compressor>,
    ) {
        self.begin(piece);
        let offset = self.position - files.list.data_start();
        match stream.next(offset, piece.room()) {
            Some(Next::Chunk(len)) => {
                push_chunk(piece, self.position, len, compressor, &mut self.attempts);
                self.position += u64::try_from(len).unwrap_or_default();
            }
            Some(Next::End(outcome)) => {
                let next = self.position + END_WEIGHT;
                self.file_end(files, piece, Sent { next, index: 0, bytes: offset, digest: NO_DIGEST }, outcome);
            }
            None => {}
        }
    }

    /// Fills a piece with what comes next.
    fn fill(&mut self, files: &Files, piece: &mut Bulk, mut compressor: Option<&mut Compressor>) {
        self.begin(piece);
        while let Some(file) = files.list.file_at(self.position) {
            let source = self.source.get_or_insert_with(|| {
                self.attempts = Attempts::default();
                let path = files.roots.path(&files.list, file.index);
                // Also from the middle, when the receiver has the beginning.
                let offset = self.position - file.start;
                Source::open(&path, &file, offset, &mut self.marks, &AtomicBool::new(false))
            });
            let left = file.end().saturating_sub(self.position);
            let fits = match source {
                Ok(opened) if left > 0 => {
                    let len = chunk_len(left);
                    // Compressed, a small one may weigh more.
                    let fits = u64::try_from(len).is_ok_and(|weight| piece.fits(weight.max(END_WEIGHT)))
                        && piece.room().len() >= len;
                    if fits {
                        match opened.read(piece.room().get_mut(..len).unwrap_or_default()) {
                            Ok(()) => {
                                let compressor = compressor.as_deref_mut();
                                push_chunk(piece, self.position, len, compressor, &mut self.attempts);
                                self.position += u64::try_from(len).unwrap_or_default();
                                opened.mark(&file, &mut self.marks);
                            }
                            Err(failed) => *source = Err(failed),
                        }
                    }
                    fits
                }
                _ if piece.fits(END_WEIGHT) => {
                    let digest = source.as_mut().map_err(|failed| failed.clone());
                    let digest = digest.and_then(|source| source.finish(&file));
                    self.source = None;
                    let sent = Sent { next: file.next(), index: file.index, bytes: file.size, digest: NO_DIGEST };
                    self.file_end(files, piece, sent, digest);
                    true
                }
                _ => false,
            };
            if !fits {
                return;
            }
        }
    }

    fn file_end(&mut self, files: &Files, piece: &mut Bulk, sent: Sent, outcome: Result<Digest, Failed>) {
        let Sent { next, index, .. } = sent;
        let (status, digest) = match outcome {
            Ok(digest) => {
                self.sent.push_back(Sent { digest, ..sent });
                (FileStatus::Whole, digest)
            }
            Err(Failed { status, text }) => {
                if self.failed.insert(index) {
                    let path = files.roots.path(&files.list, index);
                    self.failures.push(UploadReport::FileFailed { path, text });
                }
                (status, NO_DIGEST)
            }
        };
        piece.file_end(self.position, status, digest, next);
        self.position = next;
    }
}
