//! What waits for the download worker, in order. The credit bounds it.
//!
//! 1. The reader pushes pieces that were checked; the event loop kicks when the worker has something else to do.
//! 2. The worker takes a batch, or waits for one of the two.

use super::chunk_weight;
use crate::net::buffer::Record;
use crate::protocol::frame::{CHUNK_DATA, Digest, END_WEIGHT, FileStatus, Position, TransferId};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Data that the worker takes at once: large enough that the calls cost nothing, small enough for the cache.
const BATCH: usize = 16 * CHUNK_DATA;
/// Pieces that the worker takes at once, where files are so small that their data does not count.
const BATCH_PIECES: usize = 256;
/// How long a worker that was busy a moment ago lets pieces gather before it waits on the condition: to wake it costs the reader a
/// system call for every chunk.
const NAP: Duration = Duration::from_micros(250);

/// What the worker gets, in order and checked.
#[derive(Debug)]
pub(crate) enum Piece {
    Begin {
        transfer: TransferId,
        position: Position,
    },
    Chunk {
        transfer: TransferId,
        record: Record,
        /// Bytes of its file that it opens to, when it is compressed.
        content: Option<usize>,
    },
    End {
        transfer: TransferId,
        position: Position,
        status: FileStatus,
        digest: Digest,
    },
    /// All of earlier connections was before this: [`super::FlowControl::restarted`] is awaited, with this number.
    Resumed(u64),
}

impl Piece {
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Chunk { record, content, .. } => chunk_weight(record.chunk_data().len(), *content),
            Self::Begin { .. } | Self::End { .. } => END_WEIGHT,
            Self::Resumed(_) => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    worker_sleeps: bool,
    /// The worker has something to do that is not in the queue.
    kicked: bool,
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.pieces.is_empty() && !self.kicked
    }
}

#[derive(Debug, Default)]
pub(super) struct Pieces {
    queue: Mutex<Queue>,
    work: Condvar,
}

impl Pieces {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        change(&mut queue);
        if std::mem::take(&mut queue.worker_sleeps) {
            self.work.notify_one();
        }
    }

    pub(super) fn push(&self, piece: Piece) {
        self.change(|queue| queue.pieces.push_back(piece));
    }

    /// Makes [`Pieces::take`] return.
    pub(super) fn kick(&self) {
        self.change(|queue| queue.kicked = true);
    }

    /// Waits for pieces, up to [`BATCH`] of data, or for [`Pieces::kick`]. `batch` is empty before.
    pub(super) fn take(&self, batch: &mut Vec<Piece>) {
        let mut queue = self.lock();
        if queue.is_idle() {
            drop(queue);
            thread::sleep(NAP);
            queue = self.lock();
        }
        while queue.is_idle() {
            queue.worker_sleeps = true;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        (queue.worker_sleeps, queue.kicked) = (false, false);
        let mut data = 0;
        while data < BATCH
            && batch.len() < BATCH_PIECES
            && let Some(piece) = queue.pieces.pop_front()
        {
            if let Piece::Chunk { record, content, .. } = &piece {
                data += content.unwrap_or(record.chunk_data().len());
            }
            batch.push(piece);
        }
    }
}
