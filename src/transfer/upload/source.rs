//! One file that is being sent: that it is still the file of the scan, and the digest of what was read of it.

use crate::error_text::io_error_text;
use crate::protocol::frame::{CHUNK_DATA, Digest, FileStatus, Position};
use crate::transfer::manifest::File as Listed;
use crate::transfer::scan::{meta_of, open_source};
use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// How far back a restart finds a state of the hasher: what may have been lost on the way, which is the receiver's window of 24 MiB
/// with chunks in it that were compressed to a sixth.
const BACK: u64 = 144 << 20;
/// Bytes between two such states, a number of full chunks; so much is read again at most.
const BETWEEN: u64 = 20 * 49_152;

/// Why the rest of a file cannot be sent.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) status: FileStatus,
    pub(super) text: String,
}

impl Failed {
    fn changed(what: &str) -> Self {
        Self { status: FileStatus::Changed, text: format!("{what} while it was sent") }
    }

    fn unreadable(error: &io::Error) -> Self {
        Self { status: FileStatus::Unreadable, text: io_error_text(error) }
    }
}

/// States of the hasher at positions that were passed lately, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks(VecDeque<(Position, blake3::Hasher)>);

impl Marks {
    /// The latest state in the file that begins at `start`, at or before `position`; what is after it is forgotten.
    fn rewind(&mut self, start: Position, position: Position) -> Option<(Position, blake3::Hasher)> {
        while self.0.back().is_some_and(|(mark, _)| *mark > position) {
            self.0.pop_back();
        }
        self.0.back().filter(|(mark, _)| *mark >= start).cloned()
    }

    fn set(&mut self, position: Position, hasher: &blake3::Hasher) {
        while self.0.front().is_some_and(|(mark, _)| mark + BACK < position) {
            self.0.pop_front();
        }
        if self.0.back().is_none_or(|(mark, _)| *mark < position) {
            self.0.push_back((position, hasher.clone()));
        }
    }
}

/// An open file, read up to some offset.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    hasher: blake3::Hasher,
    offset: u64,
}

impl Source {
    /// Opens a file of the list, if it is still as it was scanned, at `offset`; what is before that is hashed from the last mark on,
    /// until it is to `stop`.
    pub(super) fn open(
        path: &Path,
        listed: &Listed<'_>,
        offset: u64,
        marks: &mut Marks,
        stop: &AtomicBool,
    ) -> Result<Self, Failed> {
        // What the user named is followed when it is a link.
        let opened = open_source(path, listed.folder.is_none());
        let (file, metadata) = opened.map_err(|error| Failed::unreadable(&error))?;
        same(&metadata, listed)?;
        let mut source = Self { file, hasher: blake3::Hasher::new(), offset: 0 };
        if let Some((mark, hasher)) = marks.rewind(listed.start, listed.start + offset) {
            source.hasher = hasher;
            source.offset = mark - listed.start;
            source.file.seek(SeekFrom::Start(source.offset)).map_err(|error| Failed::unreadable(&error))?;
        }
        // Nearly every file begins at its start, and needs no buffer.
        let mut buffer = if source.offset < offset { vec![0; CHUNK_DATA] } else { Vec::new() };
        while source.offset < offset {
            if stop.load(Ordering::Relaxed) {
                return Err(Failed::unreadable(&io::ErrorKind::Interrupted.into()));
            }
            let len = chunk_len(offset - source.offset);
            source.read(buffer.get_mut(..len).unwrap_or_default())?;
        }
        Ok(source)
    }

    /// Reads and hashes exactly as many bytes as `room` has.
    pub(super) fn read(&mut self, room: &mut [u8]) -> Result<(), Failed> {
        match self.file.read_exact(room) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Failed::changed("it shrank")),
            Err(error) => return Err(Failed::unreadable(&error)),
        }
        self.hasher.update(room);
        self.offset += u64::try_from(room.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Remembers the state at a position of the file, now and then.
    pub(super) fn mark(&self, listed: &Listed<'_>, marks: &mut Marks) {
        if self.offset.is_multiple_of(BETWEEN) {
            marks.set(listed.start + self.offset, &self.hasher);
        }
    }

    /// The digest of what was read so far.
    pub(super) fn digest(&self) -> Digest {
        *self.hasher.finalize().as_bytes()
    }

    /// The digest of the whole file, if nobody touched it meanwhile.
    pub(super) fn finish(&mut self, listed: &Listed<'_>) -> Result<Digest, Failed> {
        // Some files of the system have content although their size says 0.
        match self.file.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(Failed::changed("it has more than its size says, or grew")),
            Err(error) => return Err(Failed::unreadable(&error)),
        }
        let metadata = self.file.metadata().map_err(|error| Failed::unreadable(&error))?;
        same(&metadata, listed)?;
        Ok(self.digest())
    }
}

/// Bytes of the next chunk when `left` are left of the file.
pub(super) fn chunk_len(left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_DATA)
}

fn same(metadata: &Metadata, listed: &Listed<'_>) -> Result<(), Failed> {
    let now = meta_of(metadata);
    if !metadata.is_file() {
        return Err(Failed::changed("it ceased to be a file"));
    }
    match metadata.len().cmp(&listed.size) {
        std::cmp::Ordering::Less => return Err(Failed::changed("it shrank")),
        std::cmp::Ordering::Greater => return Err(Failed::changed("it grew")),
        std::cmp::Ordering::Equal => {}
    }
    if (now.seconds, now.nanos) != (listed.meta.seconds, listed.meta.nanos) {
        return Err(Failed::changed("it changed"));
    }
    Ok(())
}
