//! The state of one transfer that comes in, and the rules that each of its chunks and ends must keep.
//!
//! Pure: positions in, verdicts out.

use super::pace::Pace;
use super::{Fault, LEAST_GRANT, Opening, Piece};
use crate::protocol::frame::{CHUNK_DATA, FILE_END_WEIGHT, FileStatus, Position, TransferId};
use crate::transfer::manifest::{Manifest, Place};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// How long a credit that is due for nothing else waits: the offerer shows its user what is durable.
const TELL: Duration = Duration::from_millis(100);

/// Which rule a chunk or end breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Order,
    Size,
    Credit,
}

impl Broken {
    pub(super) fn by(self, transfer: TransferId) -> Fault {
        match self {
            Self::Order => Fault::Order(transfer),
            Self::Size => Fault::Size(transfer),
            Self::Credit => Fault::Credit(transfer),
        }
    }
}

#[derive(Debug)]
pub(super) enum Route {
    /// The list is coming: what of it is here, and how long it will be.
    Listing { bytes: Vec<u8>, list: u32 },
    /// The list is with the owner; nothing may come.
    Waiting { list: u32 },
    /// Data may come.
    Running(Running),
    /// This side ended it, the offerer did not confirm yet: what comes is dropped.
    Ending,
}

impl Route {
    /// Adds a chunk of the list, and gives all of it when it is complete.
    pub(super) fn list_chunk(&mut self, position: Position, data: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        let Self::Listing { bytes, list } = self else { return Err(Broken::Order) };
        let here = Position::try_from(bytes.len()).map_err(|_| Broken::Order)?;
        if position != here {
            return Err(Broken::Order);
        }
        let left = u64::from(*list).saturating_sub(here);
        if !is_full(data.len(), left) {
            return Err(Broken::Size);
        }
        bytes.extend_from_slice(data);
        if Position::try_from(bytes.len()) != Ok(u64::from(*list)) {
            return Ok(None);
        }
        let whole = std::mem::take(bytes);
        *self = Self::Waiting { list: *list };
        Ok(Some(whole))
    }

    pub(super) fn list_bytes(&self) -> u64 {
        match self {
            Self::Listing { list, .. } | Self::Waiting { list } => u64::from(*list),
            Self::Running(running) => running.list.data_start(),
            Self::Ending => 0,
        }
    }

    /// What RESTART says of it.
    pub(super) fn restart(&mut self) -> Option<(Position, Position)> {
        match self {
            Self::Listing { bytes, list } => Some((Position::try_from(bytes.len()).ok()?, u64::from(*list))),
            Self::Waiting { list } => Some((u64::from(*list), u64::from(*list))),
            Self::Running(running) => {
                running.told = running.limit;
                if let Some(pace) = &mut running.pace {
                    pace.restart(Instant::now());
                }
                Some((running.expected, running.limit))
            }
            Self::Ending => None,
        }
    }
}

/// A transfer whose data is coming.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) list: Arc<Manifest>,
    pub(super) pieces: Sender<Piece>,
    /// Where the next piece must stand.
    expected: Position,
    /// The file that `expected` is in, or the number of files; and where its data ends.
    file: usize,
    data_end: Position,
    /// Until the first piece came: the start of the file, to which the offerer may go back when its own bytes before
    /// `expected` are others than this side's. The credit is told once till then, and counts from where it begins.
    anew: Option<Position>,
    durable: Position,
    limit: Position,
    /// The limit and the durable position that were told last, and when.
    told: Position,
    told_durable: Position,
    told_at: Instant,
    /// The position after the first file that is not durable as a whole.
    file_done: Position,
    /// How much should be on its way; none in tests of the window alone.
    pace: Option<Pace>,
}

impl Running {
    pub(super) fn progress(&self) -> (u64, u32) {
        self.list.progress(self.durable)
    }

    pub(super) fn new(opening: Opening, pace: Option<Pace>) -> Self {
        let Opening { list, position, pieces } = opening;
        let (file, anew) = match list.place(position) {
            Place::File { index, offset: 0 } => (index, None),
            Place::File { index, .. } => (index, list.file(index).map(|file| file.start)),
            _ => (list.file_count(), None),
        };
        let mut running = Self {
            list,
            pieces,
            expected: position,
            file,
            data_end: position,
            anew,
            durable: position,
            limit: position,
            told: position,
            told_durable: position,
            told_at: Instant::now(),
            file_done: 0,
            pace,
        };
        running.stand_in(file);
        running.expected = position;
        running.file_done = running.next_done();
        running
    }

    /// Takes a chunk of `len` bytes.
    pub(super) fn chunk(&mut self, position: Position, len: usize) -> Result<(), Broken> {
        self.begin(position)?;
        if !is_full(len, self.data_end - self.expected) {
            return Err(Broken::Size);
        }
        let end = position.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if end > self.limit {
            return Err(Broken::Credit);
        }
        self.expected = end;
        Ok(())
    }

    /// Takes the end of a file.
    pub(super) fn end(&mut self, position: Position, status: FileStatus) -> Result<(), Broken> {
        self.begin(position)?;
        let at_end = position == self.data_end;
        if self.file >= self.list.file_count() || (status == FileStatus::Whole && !at_end) {
            return Err(Broken::Order);
        }
        if position.saturating_add(FILE_END_WEIGHT) > self.limit {
            return Err(Broken::Credit);
        }
        self.stand_in(self.file + 1);
        Ok(())
    }

    /// Whether a piece may stand at `position`; the first may go back to the start of its file.
    fn begin(&mut self, position: Position) -> Result<(), Broken> {
        if let Some(start) = self.anew
            && position == start
        {
            let back = self.expected - start;
            self.expected = start;
            self.limit -= back;
            (self.durable, self.told, self.told_durable) = (start, self.limit, start);
        }
        if position != self.expected {
            return Err(Broken::Order);
        }
        self.anew = None;
        Ok(())
    }

    fn stand_in(&mut self, file: usize) {
        self.file = file;
        let next = self.list.file(file).map(|file| (file.start, file.end()));
        (self.expected, self.data_end) = next.unwrap_or((self.list.end(), self.list.end()));
    }

    /// What was granted and is not durable.
    pub(super) fn outstanding(&self) -> u64 {
        self.limit.saturating_sub(self.durable)
    }

    /// Whether nothing more is to come.
    pub(super) fn is_durable(&self) -> bool {
        self.durable == self.list.end()
    }

    pub(super) fn set_durable(&mut self, position: Position, now: Instant) {
        let before = self.durable;
        self.durable = position.clamp(self.durable, self.expected.max(self.durable));
        if let Some(pace) = &mut self.pace {
            pace.progressed(self.durable - before, now);
        }
    }

    /// What of a fair `share` of the window is worth having on its way.
    pub(super) fn due(&self, share: u64) -> u64 {
        self.pace.as_ref().map_or(share, |pace| share.min(pace.flight()))
    }

    /// Raises the limit as far as a fair `share` and what is `free` of the window allow; gives what was added.
    pub(super) fn grant(&mut self, share: u64, free: u64) -> u64 {
        if self.anew.is_some() && self.limit > self.expected {
            return 0;
        }
        let wanted = self.durable.saturating_add(share).saturating_sub(self.limit).min(free);
        let least = self.durable.saturating_add(LEAST_GRANT);
        let limit = self.limit.saturating_add(wanted).max(least).min(self.list.end()).max(self.limit);
        let added = limit - self.limit;
        self.limit = limit;
        added
    }

    /// The credit to be told: when the limit or the durable position grew by `step`, the offerer has next to nothing left,
    /// a file is done, or it heard nothing for a while.
    pub(super) fn news(&mut self, step: u64) -> Option<(Position, Position)> {
        let step = step.max(1);
        let grew = self.limit - self.told;
        let durable = self.durable.saturating_sub(self.told_durable);
        let dry = grew > 0 && (self.told < self.durable.saturating_add(LEAST_GRANT) || self.limit == self.list.end());
        let done = self.durable >= self.file_done;
        let late = durable > 0 && self.told_at.elapsed() >= TELL;
        if !(done || dry || late || grew >= step || durable >= step) {
            return None;
        }
        if done {
            self.file_done = self.next_done();
        }
        (self.told, self.told_durable, self.told_at) = (self.limit, self.durable, Instant::now());
        Some((self.durable, self.limit))
    }

    fn next_done(&self) -> Position {
        match self.list.place(self.durable) {
            Place::File { index, .. } => self.list.file(index).map_or(Position::MAX, |file| file.next()),
            _ => Position::MAX,
        }
    }
}

/// Whether a chunk has the size it must have when `left` bytes are left up to the end of its list or file.
fn is_full(len: usize, left: u64) -> bool {
    let full = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_DATA);
    len == full && len > 0
}
