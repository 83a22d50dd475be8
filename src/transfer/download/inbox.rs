//! How a worker waits for pieces: rarely, and for many at once.

use crate::protocol::frame::CHUNK_DATA;
use crate::transfer::download::{OnClash, Order};
use crate::transfer::flow_control::Piece;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

/// Data that is written with one call: large enough that the call itself costs nothing, small enough for the cache.
const BATCH: usize = 16 * CHUNK_DATA;
/// Pieces of one batch, for files so small that their data does not count.
const BATCH_PIECES: usize = 256;
/// How long a worker that was busy a moment ago lets pieces gather before it waits in earnest. To wake a waiting thread
/// costs the reader a system call for every chunk; while the worker naps, the reader has none to make. Against the 24 MiB of the
/// window, the quarter of a millisecond is nothing.
const NAP: Duration = Duration::from_micros(250);

/// The worker's end of the channel.
#[derive(Debug)]
pub(super) struct Inbox {
    pieces: Receiver<Piece>,
    cancelled: Arc<AtomicBool>,
}

impl Inbox {
    pub(super) fn new(pieces: Receiver<Piece>, cancelled: Arc<AtomicBool>) -> Self {
        Self { pieces, cancelled }
    }

    pub(super) fn cancelled(&self) -> &Arc<AtomicBool> {
        &self.cancelled
    }

    /// Waits for the owner's consent; none when the download is cancelled.
    pub(super) fn accept(&self) -> Option<(Option<PathBuf>, OnClash)> {
        loop {
            match self.pieces.recv() {
                _ if self.cancelled.load(Ordering::Acquire) => return None,
                Ok(Piece::Order(Order::Accept { dest, on_clash })) => return Some((dest, on_clash)),
                Ok(Piece::Order(Order::Cancel)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Waits for pieces and takes what is there, up to [`BATCH`] of data; false when the download is cancelled.
    pub(super) fn batch(&self, batch: &mut Vec<Piece>) -> bool {
        self.take(batch);
        if batch.is_empty() {
            thread::sleep(NAP);
            self.take(batch);
        }
        if batch.is_empty() {
            let Ok(piece) = self.pieces.recv() else { return false };
            batch.push(piece);
            self.take(batch);
        }
        !self.cancelled.load(Ordering::Acquire)
    }

    fn take(&self, batch: &mut Vec<Piece>) {
        let mut data = 0;
        while data < BATCH
            && batch.len() < BATCH_PIECES
            && let Ok(piece) = self.pieces.try_recv()
        {
            if let Piece::Chunk { record, .. } = &piece {
                data += record.chunk_data().len();
            }
            batch.push(piece);
        }
    }
}
