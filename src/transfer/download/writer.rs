//! Writes the pieces of one download in the order of its list.
//!
//! Invariant: what stands before [`Writer::position`] is with the file system or given up, and for finished files `results` says so.

use super::{Broken, Published};
use crate::protocol::frame::{Digest, END_WEIGHT, FileStatus, NO_DIGEST, Position, Reason};
use crate::transfer::flow_control::Piece;
use crate::transfer::staging::{Part, Problem, Staging, len_of, prefix_digest, space, write_with_holes};
use std::fs::File;
use std::io::Seek;
use std::path::PathBuf;

/// A stream's end is not known, so the disk is looked at when it begins and after at most so many bytes: others write to it, too.
const STREAM_LOOK: u64 = 64 << 20;
/// A stream ends when less than this is left, or on a smaller disk than this part of it: enough for whatever else runs there.
const STREAM_LEAVES: u64 = 1 << 30;
const STREAM_LEAVES_PART: u64 = 20;

/// The file that pieces go to.
struct CurrentFile {
    /// The part; or why the file failed: then its data is hashed and dropped, for RESTART needs the digest.
    part: Result<File, String>,
    hasher: Box<blake3::Hasher>,
    len: u64,
}

pub(super) struct Writer {
    staging: Staging,
    /// The next file; none when it is not begun.
    current: Option<CurrentFile>,
    position: Position,
    /// Bytes of a stream until the next look at the disk.
    until_look: u64,
}

impl Writer {
    /// `part`: what an earlier run left of the next file.
    pub(super) fn new(staging: Staging, part: Option<Part>) -> Self {
        let start = staging.position();
        let position = start + part.as_ref().map_or(0, |part| part.len);
        let current =
            part.map(|Part { file, hasher, len }| CurrentFile { part: Ok(file), hasher: Box::new(hasher), len });
        Self { staging, current, position, until_look: 0 }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// What ACCEPT or RESTART says: where the data goes on, and the digest of what is there of that file.
    pub(super) fn stands_at(&self) -> (Position, Digest) {
        match &self.current {
            Some(current) if !self.staging.manifest.is_stream() => {
                (self.position, prefix_digest(&current.hasher, current.len))
            }
            _ => (self.position, NO_DIGEST),
        }
    }

    pub(super) fn staging(&self) -> &Staging {
        &self.staging
    }

    pub(super) fn into_staging(self) -> Staging {
        self.staging
    }

    /// Ends before all is there; gives the path of what stays for a later run.
    pub(super) fn leave(self) -> Option<PathBuf> {
        let Self { staging, current, .. } = self;
        drop(current);
        staging.leave()
    }

    /// Writes pieces, in order. `report` hears of files that fail.
    pub(super) fn write(&mut self, mut pieces: &[Piece], report: &mut dyn FnMut(Published)) -> Result<(), Broken> {
        while let Some((first, rest)) = pieces.split_first() {
            match first {
                Piece::Begin { position, .. } => {
                    self.begin(*position)?;
                    pieces = rest;
                }
                Piece::End { position, status, digest, .. } => {
                    self.end(*position, *status, digest, &[], report)?;
                    pieces = rest;
                }
                Piece::Chunk { .. } => {
                    let count = pieces.iter().take_while(|piece| matches!(piece, Piece::Chunk { .. })).count();
                    let (chunks, after) = pieces.split_at(count);
                    match after.split_first() {
                        // All of a file is here.
                        Some((Piece::End { position, status: FileStatus::Whole, digest, .. }, rest))
                            if self.current.is_none() =>
                        {
                            self.end(*position, FileStatus::Whole, digest, chunks, report)?;
                            pieces = rest;
                        }
                        _ => {
                            self.data(chunks)?;
                            pieces = after;
                        }
                    }
                }
                Piece::Resumed(_) => pieces = rest,
            }
        }
        self.staging.flush().map_err(|problem| self.broken(&problem))
    }

    fn offered(&self) -> String {
        self.staging.manifest.path(self.staging.next_file())
    }

    fn broken(&self, problem: &Problem) -> Broken {
        let told = format!("{}: {}", self.offered(), problem.class());
        Broken::new(problem.reason(), problem.to_string(), told)
    }

    /// Data begins here: it goes on, or the file begins anew because the sender's bytes are others than those an earlier run left.
    fn begin(&mut self, position: Position) -> Result<(), Broken> {
        if position < self.position {
            match &mut self.current {
                Some(CurrentFile { part: Ok(file), hasher, len }) => {
                    let emptied = file.set_len(0).and_then(|()| file.rewind());
                    hasher.reset();
                    *len = 0;
                    emptied.map_err(|error| self.broken(&self.staging.at_next(error)))?;
                }
                // It may go better this time.
                current => *current = None,
            }
        }
        self.position = position;
        Ok(())
    }

    fn data(&mut self, chunks: &[Piece]) -> Result<(), Broken> {
        let chunks: Vec<_> = chunks.iter().filter_map(data_of).collect();
        let bytes: u64 = chunks.iter().map(|data| len_of(data)).sum();
        if self.staging.manifest.is_stream() {
            self.look_at_disk(bytes)?;
        }
        self.position += bytes;
        let mut current = match self.current.take() {
            Some(current) => current,
            None => {
                let part = self.staging.make_part();
                CurrentFile { part: self.one_file(part)?, hasher: Box::default(), len: 0 }
            }
        };
        for chunk in &chunks {
            current.hasher.update(chunk);
        }
        current.len += bytes;
        if let Ok(file) = &current.part
            && let Err(error) = write_with_holes(file, &chunks)
        {
            current.part = self.one_file(Err(self.staging.at_next(error)))?;
        }
        self.current = Some(current);
        Ok(())
    }

    /// Whether the next `bytes` of a stream leave enough of the disk.
    fn look_at_disk(&mut self, bytes: u64) -> Result<(), Broken> {
        if self.until_look < bytes {
            let left = space(&self.staging.dest_path)
                .map(|(free, all)| free.saturating_sub(STREAM_LEAVES.min(all / STREAM_LEAVES_PART)));
            self.until_look = left.map_or(STREAM_LOOK, |left| left.min(STREAM_LOOK));
        }
        match self.until_look.checked_sub(bytes) {
            Some(left) => self.until_look = left,
            None => {
                let text = format!("{}: the disk is nearly full", self.staging.dest_path.display());
                let told = format!("{}: the disk is nearly full", self.offered());
                return Err(Broken::new(Reason::Space, text, told));
            }
        }
        Ok(())
    }

    /// Ends a file; `chunks` are all of it when it was not begun.
    fn end(
        &mut self,
        position: Position,
        status: FileStatus,
        digest: &Digest,
        chunks: &[Piece],
        report: &mut dyn FnMut(Published),
    ) -> Result<(), Broken> {
        let index = self.staging.next_file();
        let outcome = match (status, self.current.take()) {
            (FileStatus::Changed, _) => Err("it changed while the peer read it".to_owned()),
            (FileStatus::Unreadable, _) => Err("the peer could not read it".to_owned()),
            (FileStatus::Whole, None) => self.put(chunks, digest)?,
            (FileStatus::Whole, Some(CurrentFile { part: Err(text), .. })) => Err(text),
            (FileStatus::Whole, Some(CurrentFile { part: Ok(file), hasher, len }))
                if hasher.finalize() == blake3::Hash::from(*digest) =>
            {
                // Its last chunks may be a hole.
                let adopted = file.set_len(len).map_err(|error| self.staging.at_next(error));
                let adopted = adopted.and_then(|()| self.staging.adopt(&file, digest));
                self.one_file(adopted)?
            }
            (FileStatus::Whole, Some(_)) => Err(DIFFERS.to_owned()),
        };
        self.position = match self.staging.manifest.file(index) {
            Some(file) if !self.staging.manifest.is_stream() => file.next(),
            _ => position + END_WEIGHT,
        };
        if let Err(text) = outcome {
            let offered = self.staging.manifest.path(index);
            self.staging.fail(&text).map_err(|problem| self.broken(&problem))?;
            report(Published::Failed { offered, text });
        }
        Ok(())
    }

    fn put(&mut self, chunks: &[Piece], digest: &Digest) -> Result<Result<(), String>, Broken> {
        let chunks: Vec<_> = chunks.iter().filter_map(data_of).collect();
        let mut hasher = blake3::Hasher::new();
        for chunk in &chunks {
            hasher.update(chunk);
        }
        if hasher.finalize() != blake3::Hash::from(*digest) {
            return Ok(Err(DIFFERS.to_owned()));
        }
        let put = self.staging.put(&chunks, digest);
        self.one_file(put)
    }

    /// A problem of one file alone lets the rest go on.
    fn one_file<T>(&self, done: Result<T, Problem>) -> Result<Result<T, String>, Broken> {
        match done {
            Err(problem) if !problem.is_of_one_file() => Err(self.broken(&problem)),
            done => Ok(done.map_err(|problem| problem.to_string())),
        }
    }
}

pub(super) const DIFFERS: &str = "what arrived differs from what was sent";

pub(super) fn data_of(piece: &Piece) -> Option<&[u8]> {
    if let Piece::Chunk { record, .. } = piece { Some(record.chunk_data()) } else { None }
}
