//! The state of one transfer that comes in, and the rules that each of its frames must keep. Pure: positions in, verdicts out.

use super::{RouteStart, WINDOW, bytes};
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{CHUNK_DATA, END_WEIGHT, FileStatus, POSITIONS, Position, TransferId};
use crate::transfer::manifest::Manifest;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// RECEIVED is sent at least after so many bytes: the offerer of a stream keeps what is beyond it.
const STEP: u64 = WINDOW / 8;
/// And at least after this long, for the offerer shows its user what is received.
const TELL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) enum Route {
    /// The list is coming: what of it is here, and how long it will be.
    Listing {
        bytes: Vec<u8>,
        list: u32,
    },
    /// The list is with the event loop; nothing may come.
    Waiting {
        list: u32,
    },
    Running(Running),
    /// It ended; what comes is dropped. `confirmed`: by both sides.
    Ended {
        list: u32,
        confirmed: bool,
    },
}

impl Route {
    /// Adds a chunk of the list, and gives all of it when it is complete.
    pub(super) fn list_chunk(
        &mut self,
        transfer: TransferId,
        position: Position,
        data: &[u8],
    ) -> Result<Option<Vec<u8>>, ProtocolError> {
        let Self::Listing { bytes: here, list } = self else { return Err(ProtocolError::NotAccepted(transfer)) };
        if position >= u64::from(*list) {
            return Err(ProtocolError::NotAccepted(transfer));
        }
        if position != bytes(here.len()) {
            return Err(ProtocolError::Order(transfer));
        }
        if !is_full(data.len(), u64::from(*list) - position) {
            return Err(ProtocolError::Size(transfer));
        }
        here.extend_from_slice(data);
        if bytes(here.len()) != u64::from(*list) {
            return Ok(None);
        }
        let whole = std::mem::take(here);
        *self = Self::Waiting { list: *list };
        Ok(Some(whole))
    }

    /// Whether the peer may believe it open.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self, Self::Ended { confirmed: true, .. })
    }

    pub(super) fn list(&self) -> u32 {
        match self {
            Self::Listing { list, .. } | Self::Waiting { list } | Self::Ended { list, .. } => *list,
            Self::Running(running) => u32::try_from(running.manifest.data_start()).unwrap_or(u32::MAX),
        }
    }

    /// Bytes of its list in memory, now or soon.
    pub(super) fn held_list(&self) -> u64 {
        if matches!(self, Self::Ended { .. }) { 0 } else { u64::from(self.list()) }
    }
}

/// A transfer whose data is coming.
#[derive(Debug)]
pub(super) struct Running {
    manifest: Arc<Manifest>,
    /// BEGIN came on this connection.
    begun: bool,
    /// Where the next frame must stand.
    expected: Position,
    /// The file that `expected` is in, or the number of files; and where its data ends.
    file: usize,
    data_end: Position,
    /// A stream that had a short chunk, after which only its end may come.
    last_chunk: bool,
    /// Bytes of files that came, as they went over the wire.
    pub(super) wire_bytes: u64,
    /// The end of the transfer; that of a stream is known when its FILE_END came.
    end: Position,
    written: Position,
    told: Position,
    told_at: Instant,
    /// The position after the first file that is not written as a whole.
    file_done: Position,
}

impl Running {
    pub(super) fn new(start: RouteStart) -> Self {
        let RouteStart { manifest, position } = start;
        let mut running = Self {
            end: manifest.end(),
            manifest,
            begun: false,
            expected: position,
            file: 0,
            data_end: position,
            last_chunk: false,
            wire_bytes: 0,
            written: position,
            told: position,
            told_at: Instant::now(),
            file_done: Position::MAX,
        };
        running.restart(position);
        running
    }

    /// RESTART (or ACCEPT) says `position`.
    pub(super) fn restart(&mut self, position: Position) {
        (self.expected, self.written, self.told) = (position, position, position);
        self.begun = false;
        self.last_chunk = false;
        let file = self.manifest.file_at(position).filter(|_| position < self.end);
        self.stand_in(file.map_or(self.manifest.file_count(), |file| file.index));
        self.expected = position;
        self.file_done = self.next_done();
    }

    pub(super) fn begin(&mut self, transfer: TransferId, position: Position) -> Result<(), ProtocolError> {
        if self.begun {
            return Err(ProtocolError::WrongTime("BEGIN", transfer));
        }
        let start = self.manifest.file(self.file).map(|file| file.start);
        let anew = start == Some(position) && !self.manifest.is_stream();
        if self.expected >= self.end || (position != self.expected && !anew) {
            return Err(ProtocolError::Position("BEGIN", transfer));
        }
        self.begun = true;
        (self.expected, self.written, self.told) = (position, position, position);
        Ok(())
    }

    pub(super) fn chunk(&mut self, transfer: TransferId, position: Position, len: usize) -> Result<(), ProtocolError> {
        self.is_next(transfer, position)?;
        if self.manifest.is_stream() {
            if self.last_chunk || self.file > 0 {
                return Err(ProtocolError::Order(transfer));
            }
            self.last_chunk = len < CHUNK_DATA;
        } else if !is_full(len, self.data_end - self.expected) {
            return Err(ProtocolError::Size(transfer));
        }
        let end = position.saturating_add(bytes(len));
        if end >= POSITIONS - END_WEIGHT {
            return Err(ProtocolError::Order(transfer));
        }
        self.expected = end;
        Ok(())
    }

    pub(super) fn end(
        &mut self,
        transfer: TransferId,
        position: Position,
        status: FileStatus,
    ) -> Result<(), ProtocolError> {
        self.is_next(transfer, position)?;
        let early = position != self.data_end && !self.manifest.is_stream();
        if self.file >= self.manifest.file_count() || (status == FileStatus::Whole && early) {
            return Err(ProtocolError::Order(transfer));
        }
        if self.manifest.is_stream() {
            self.end = position + END_WEIGHT;
        }
        self.stand_in(self.file + 1);
        Ok(())
    }

    fn is_next(&self, transfer: TransferId, position: Position) -> Result<(), ProtocolError> {
        match () {
            () if !self.begun => Err(ProtocolError::NotBegun(transfer)),
            () if position != self.expected => Err(ProtocolError::Order(transfer)),
            () => Ok(()),
        }
    }

    fn stand_in(&mut self, file: usize) {
        self.file = file;
        let next = self.manifest.file(file).map(|file| (file.start, file.end()));
        (self.expected, self.data_end) = next.unwrap_or((self.end, self.end));
    }

    /// The worker is so far; gives the position for RECEIVED when that is due.
    pub(super) fn reached(&mut self, position: Position, now: Instant) -> Option<Position> {
        self.written = position.clamp(self.written, self.expected.max(self.written));
        let grew = self.written - self.told;
        let late = now.saturating_duration_since(self.told_at) >= TELL;
        let done = self.written >= self.file_done;
        if !self.begun || grew == 0 || !(done || late || grew >= STEP) {
            return None;
        }
        if done {
            self.file_done = self.next_done();
        }
        (self.told, self.told_at) = (self.written, now);
        Some(self.written)
    }

    fn next_done(&self) -> Position {
        self.manifest.file_at(self.written).map_or(Position::MAX, |file| file.next())
    }

    pub(super) fn end_position(&self) -> Position {
        self.end
    }

    pub(super) fn progress(&self) -> (u64, u32) {
        self.manifest.progress(self.written)
    }

    /// Bytes that are to come; of a stream nobody knows.
    pub(super) fn needed(&self) -> u64 {
        if self.manifest.is_stream() { 0 } else { self.manifest.bytes().saturating_sub(self.progress().0) }
    }
}

/// Whether a chunk has the size it must have when `left` bytes are left up to the end of its list or file.
fn is_full(len: usize, left: u64) -> bool {
    let full = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_DATA);
    len == full && len > 0
}
