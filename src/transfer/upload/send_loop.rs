//! The worker's way through the list: what it sends over one connection after the other.

use super::control::{Accepted, Course, Desk, Limit, Wake, Word};
use super::source::{Failed, Marks, Source, chunk_len};
use super::{Manifest, Place, UploadReport};
use crate::net::buffer::{OutChunk, Pool};
use crate::net::send_queue::Bulk;
use crate::protocol::frame::{CHUNK_DATA, ChunkHeader, Digest, FILE_END_WEIGHT, FileStatus, Position, TransferId};
use crate::transfer::Report;
use crate::transfer::manifest::File as Listed;
use crate::transfer::scan::Roots;
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pieces that are handed to the send_queue at once: to wake the writer for every chunk costs more than the chunk's seal.
const PUSH: usize = 8;

/// Why the worker leaves a course.
#[derive(Debug)]
enum Left {
    /// Another may be there.
    Lost,
    /// The owner ended the upload.
    Ended(Word),
}

/// A file whose end was sent and is not durable yet.
#[derive(Debug)]
struct Sent {
    next: Position,
    index: usize,
    digest: Digest,
}

/// See the module.
pub(super) struct Sending {
    transfer: TransferId,
    list: Arc<Manifest>,
    roots: Roots,
    desk: Arc<Desk>,
    pool: Arc<Pool<OutChunk>>,
    report: Report<UploadReport>,
    marks: Marks,
    sent: VecDeque<Sent>,
    failed: BTreeSet<usize>,
    /// Pieces that are read and not pushed yet.
    ready: Vec<Bulk>,
    /// Up to here may be sent, as far as this thread knows.
    limit: Position,
    /// How much before the accepted position the data begins, because the receiver's bytes of that file are others.
    back: Option<u64>,
}

impl Sending {
    pub(super) fn new(
        transfer: TransferId,
        list: Arc<Manifest>,
        roots: Roots,
        desk: Arc<Desk>,
        pool: Arc<Pool<OutChunk>>,
        report: Report<UploadReport>,
    ) -> Self {
        Self {
            transfer,
            list,
            roots,
            desk,
            pool,
            report,
            marks: Marks::default(),
            sent: VecDeque::new(),
            failed: BTreeSet::new(),
            ready: Vec::with_capacity(PUSH),
            limit: 0,
            back: None,
        }
    }

    /// Follows courses until the owner ends the upload.
    pub(super) fn live(mut self) {
        let mut number = 0;
        let word = loop {
            match self.desk.course(number, self.next_durable()) {
                Wake::Ready(course) => {
                    number = course.number();
                    match self.follow(&course) {
                        Ok(()) | Err(Left::Lost) => {}
                        Err(Left::Ended(word)) => break word,
                    }
                }
                Wake::Durable => self.report_sent(),
                Wake::Lost => {}
                Wake::Ended(word) => break word,
            }
        };
        if word == Word::Complete {
            self.report_sent();
            (self.report)(self.transfer, UploadReport::Finished);
        }
    }

    fn follow(&mut self, course: &Course) -> Result<(), Left> {
        self.ready.clear();
        self.limit = 0;
        let mut position = course.from;
        if let Place::List(from) = self.list.place(position) {
            self.send_list(course, from)?;
            position = self.list.data_start();
        }
        let accepted = self.waited(|sending| sending.desk.acceptance(course))?;
        if position == self.list.data_start() {
            position = accepted.position;
        }
        if position == accepted.position {
            position = self.begin(course, accepted)?;
        }
        // What was sent after that is lost, and will be sent again.
        self.sent.retain(|sent| sent.next <= position);
        while let Place::File { index, offset } = self.list.place(position) {
            position = self.send_file(course, index, offset)?;
        }
        self.push(course)
    }

    /// Where to begin when the receiver has nothing but what ACCEPT said: there, or at the start of that file.
    fn begin(&mut self, course: &Course, accepted: Accepted) -> Result<Position, Left> {
        let Place::File { index, offset: offset @ 1.. } = self.list.place(accepted.position) else {
            return Ok(accepted.position);
        };
        let back = match self.back {
            Some(back) => back,
            None => match self.has_digest(index, offset, &accepted.digest)? {
                true => 0,
                false => offset,
            },
        };
        self.back = Some(back);
        if back == 0 {
            return Ok(accepted.position);
        }
        // A receiver that has data from the start on tells another limit than its first.
        let limit = self.waited(|sending| sending.desk.limit(course, sending.next_durable(), |_| true))?;
        Ok(if limit.first { accepted.position - back } else { accepted.position })
    }

    /// Whether the first `offset` bytes of a file have this digest.
    fn has_digest(&mut self, index: usize, offset: u64, digest: &Digest) -> Result<bool, Left> {
        let list = Arc::clone(&self.list);
        let Some(file) = list.file(index) else { return Ok(false) };
        let (path, follow) = self.roots.path(&list, index);
        let Ok(mut source) = Source::open(&path, follow, &file) else { return Ok(false) };
        // Without marks: those of this run say nothing of the file as it is now.
        match self.pass(&mut source, &file, offset, &mut Marks::default()) {
            Ok(Ok(())) => Ok(blake3::Hash::from(source.digest()) == blake3::Hash::from(*digest)),
            Ok(Err(_)) => Ok(false),
            Err(left) => Err(left),
        }
    }

    fn send_list(&mut self, course: &Course, from: u64) -> Result<(), Left> {
        let encoded = self.list.encode();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let mut position = course.from;
        for data in encoded.get(from..).unwrap_or_default().chunks(CHUNK_DATA) {
            let mut chunk = self.pool.take();
            if let Some(room) = chunk.room().get_mut(..data.len()) {
                room.copy_from_slice(data);
            }
            chunk.finish(ChunkHeader { transfer: self.transfer, position }, data.len());
            position += u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.give(course, Bulk::Chunk(chunk))?;
        }
        self.push(course)
    }

    /// Sends a file from `offset` on, and its end; gives the position of the next file.
    fn send_file(&mut self, course: &Course, index: usize, offset: u64) -> Result<Position, Left> {
        let list = Arc::clone(&self.list);
        let Some(file) = list.file(index) else { return Err(Left::Lost) };
        let (path, follow) = self.roots.path(&list, index);
        let mut position = file.start + offset;
        let outcome = self.send_data(course, &file, &path, follow, &mut position)?;
        self.allow(course, position + FILE_END_WEIGHT)?;
        let (status, digest) = match outcome {
            Ok(digest) => (FileStatus::Whole, digest),
            Err(Failed { status, text }) => {
                // After a restart the same file may fail once more.
                if self.failed.insert(index) {
                    (self.report)(self.transfer, UploadReport::FileFailed { path, text });
                }
                (status, [0; 32])
            }
        };
        self.give(course, Bulk::FileEnd { transfer: self.transfer, position, status, digest })?;
        if status == FileStatus::Whole {
            self.sent.push_back(Sent { next: file.next(), index, digest });
        }
        Ok(file.next())
    }

    fn send_data(
        &mut self,
        course: &Course,
        file: &Listed<'_>,
        path: &Path,
        follow: bool,
        position: &mut Position,
    ) -> Result<Result<Digest, Failed>, Left> {
        let mut source = match Source::open(path, follow, file) {
            Ok(source) => source,
            Err(failed) => return Ok(Err(failed)),
        };
        if *position > file.start {
            let mut marks = std::mem::take(&mut self.marks);
            let passed = self.pass(&mut source, file, *position - file.start, &mut marks);
            self.marks = marks;
            if let Err(failed) = passed? {
                return Ok(Err(failed));
            }
        }
        while *position < file.end() {
            let len = chunk_len(file.end() - *position);
            let next = *position + u64::try_from(len).unwrap_or(u64::MAX);
            self.allow(course, next)?;
            let mut chunk = self.pool.take();
            if let Err(failed) = source.read(chunk.room().get_mut(..len).unwrap_or_default()) {
                self.pool.give(chunk);
                return Ok(Err(failed));
            }
            chunk.finish(ChunkHeader { transfer: self.transfer, position: *position }, len);
            self.give(course, Bulk::Chunk(chunk))?;
            *position = next;
            source.mark(file, &mut self.marks);
        }
        Ok(source.finish(file))
    }

    fn pass(
        &mut self,
        source: &mut Source,
        file: &Listed<'_>,
        offset: u64,
        marks: &mut Marks,
    ) -> Result<Result<(), Failed>, Left> {
        let mut chunk = self.pool.take();
        let passed = source.pass(file, offset, marks, &mut chunk, || self.desk.is_ended());
        self.pool.give(chunk);
        match passed {
            Ok(true) => Ok(Ok(())),
            // The next wait tells how it ended.
            Ok(false) => Err(Left::Lost),
            Err(failed) => Ok(Err(failed)),
        }
    }

    /// Waits until all up to `end` may be sent.
    fn allow(&mut self, course: &Course, end: Position) -> Result<(), Left> {
        if end <= self.limit {
            return Ok(());
        }
        let back = self.back.unwrap_or(0);
        let real = |limit: Limit| if limit.first { limit.position.saturating_sub(back) } else { limit.position };
        // What is ready must not wait for credit that it may have to bring about.
        self.push(course)?;
        let limit =
            self.waited(|sending| sending.desk.limit(course, sending.next_durable(), |limit| real(limit) >= end))?;
        self.limit = real(limit);
        Ok(())
    }

    /// Waits for something, and reports what becomes durable meanwhile.
    fn waited<T>(&mut self, wait: impl Fn(&Self) -> Wake<T>) -> Result<T, Left> {
        loop {
            match wait(self) {
                Wake::Ready(ready) => return Ok(ready),
                Wake::Durable => self.report_sent(),
                Wake::Lost => return Err(Left::Lost),
                Wake::Ended(word) => return Err(Left::Ended(word)),
            }
        }
    }

    fn give(&mut self, course: &Course, piece: Bulk) -> Result<(), Left> {
        self.ready.push(piece);
        if self.ready.len() < PUSH { Ok(()) } else { self.push(course) }
    }

    fn push(&mut self, course: &Course) -> Result<(), Left> {
        if !self.ready.is_empty() {
            course.send_queue.push_all(self.transfer, &mut self.ready).map_err(|_| Left::Lost)?;
        }
        if self.desk.durable() >= self.next_durable() {
            self.report_sent();
        }
        Ok(())
    }

    fn next_durable(&self) -> Position {
        self.sent.front().map_or(Position::MAX, |sent| sent.next)
    }

    fn report_sent(&mut self) {
        let durable = self.desk.durable();
        while self.next_durable() <= durable
            && let Some(sent) = self.sent.pop_front()
        {
            let bytes = self.list.file(sent.index).map_or(0, |file| file.size);
            let path: PathBuf = self.roots.path(&self.list, sent.index).0;
            (self.report)(self.transfer, UploadReport::FileSent { path, bytes, digest: sent.digest });
        }
    }
}
