//! A stream that is being sent: what the receiver may still ask for again.
//!
//! Invariant: everything from the latest RECEIVED up to what was read is here, at most [`KEPT`] bytes; beyond that the reader's thread
//! waits. The data's place in the transfer is the caller's business: offsets count from the stream's first byte.

use super::source::Failed;
use crate::error_text::io_error_text;
use crate::protocol::frame::{CHUNK_DATA, Digest, FileStatus};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// As much as a receiver of this program lets be on its way, so that it can always be filled.
const KEPT: usize = 24 << 20;

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<u8>,
    /// The offset of the first byte that is kept.
    base: u64,
    /// How it ended: the digest of all of it, or why it cannot be read on.
    end: Option<Result<Digest, String>>,
    stopped: bool,
}

impl State {
    fn size(&self) -> u64 {
        self.base + u64::try_from(self.kept.len()).unwrap_or(u64::MAX)
    }

    /// Bytes of the chunk at an offset; 0 where the end stands. None until a whole chunk or the end is there.
    fn chunk(&self, offset: u64) -> Option<usize> {
        let left = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        (left >= CHUNK_DATA || self.end.is_some()).then_some(left.min(CHUNK_DATA))
    }
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    state: Mutex<State>,
    room: Condvar,
}

/// What follows at an offset.
#[derive(Debug)]
pub(super) enum Next {
    /// A chunk of so many bytes.
    Chunk(usize),
    End(Result<Digest, Failed>),
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads to the end or until it is stopped, on a thread of its own. Says `news` when another chunk or the end is there.
    pub(super) fn read_all(&self, mut reader: impl Read, news: impl Fn()) {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; CHUNK_DATA];
        let mut fresh = 0;
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.lock().end = Some(Err(io_error_text(&error)));
                    return news();
                }
            };
            if read == 0 {
                self.lock().end = Some(Ok(*hasher.finalize().as_bytes()));
                return news();
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            hasher.update(bytes);
            let full = |state: &mut State| state.kept.len() + read > KEPT && !state.stopped;
            let mut state = self.room.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
            if state.stopped {
                return;
            }
            state.kept.extend(bytes);
            drop(state);
            fresh += read;
            if fresh >= CHUNK_DATA {
                fresh %= CHUNK_DATA;
                news();
            }
        }
    }

    /// Whether [`Stream::next`] has something.
    pub(super) fn has_next(&self, offset: u64) -> bool {
        self.lock().chunk(offset).is_some()
    }

    /// What follows at `offset`, which is not before the latest RECEIVED; data is copied into `room`.
    pub(super) fn next(&self, offset: u64, room: &mut [u8]) -> Option<Next> {
        let state = self.lock();
        let len = state.chunk(offset)?;
        if len == 0 {
            let unreadable = |text| Failed { status: FileStatus::Unreadable, text };
            return Some(Next::End(state.end.clone()?.map_err(unreadable)));
        }
        let from = usize::try_from(offset.checked_sub(state.base)?).ok()?;
        let (first, second) = state.kept.as_slices();
        let start = from.min(first.len());
        let (first, second) = (first.get(start..)?, second.get(from - start..)?);
        let (of_first, of_second) = room.get_mut(..len)?.split_at_mut(len.min(first.len()));
        of_first.copy_from_slice(first.get(..of_first.len())?);
        of_second.copy_from_slice(second.get(..of_second.len())?);
        Some(Next::Chunk(len))
    }

    /// The receiver has everything before `offset`.
    pub(super) fn release(&self, offset: u64) {
        let mut state = self.lock();
        let count = usize::try_from(offset.saturating_sub(state.base)).unwrap_or(usize::MAX).min(state.kept.len());
        state.kept.drain(..count);
        state.base += u64::try_from(count).unwrap_or(0);
        self.room.notify_one();
    }

    /// Its length, once its end was read.
    pub(super) fn size(&self) -> Option<u64> {
        let state = self.lock();
        state.end.is_some().then(|| state.size())
    }

    /// Nobody wants it any more.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.room.notify_one();
    }
}
