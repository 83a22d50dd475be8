//! The writer: batches of the send queue, sealed, in one vectored write each.
//!
//! Invariant: a control frame waits behind one batch, so on a slow connection batches are small.

use super::keepalive::SILENCE;
use super::{ConnectionEvent, DisconnectReason};
use crate::channel::{LENGTH, Sealer, TAG};
use crate::net::buffer::Bulk;
use crate::net::send_queue::SendQueue;
use crate::protocol::frame::Frame;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pieces of bulk in one write on a fast connection: 768 KiB, beyond which larger writes gain nothing.
const BATCH_MOST: usize = 16;
/// A write that took longer halves the next batch.
const BATCH_SLOW: Duration = Duration::from_millis(20);
/// A write that was faster doubles it.
const BATCH_FAST: Duration = Duration::from_millis(5);
/// Bytes of the buffer for control frames that are kept from batch to batch.
const SMALL_KEEP: usize = 1 << 20;

pub(super) struct Writer {
    stream: Arc<TcpStream>,
    sealer: Sealer,
    send_queue: Arc<SendQueue>,
    /// Sealed small frames.
    small: Vec<u8>,
}

impl Writer {
    pub(super) fn new(stream: Arc<TcpStream>, sealer: Sealer, send_queue: Arc<SendQueue>) -> Self {
        Self { stream, sealer, send_queue, small: Vec::new() }
    }

    /// Writes until the queue is finished or closed, or the connection fails.
    pub(super) fn run(mut self, tell: &dyn Fn(ConnectionEvent)) {
        let mut pieces = 1;
        while let Some(mut batch) = self.send_queue.take(pieces) {
            let full = batch.bulk.len() == pieces;
            if self.seal(&batch.frames, &mut batch.bulk).is_none() {
                let error = io::Error::other("the keys of this connection are used up");
                tell(ConnectionEvent::Ended(DisconnectReason::Network(error)));
                break;
            }
            let begun = Instant::now();
            let written = self.write(&batch.bulk);
            batch.bulk.into_iter().for_each(|bulk| self.send_queue.pool().give(bulk));
            if let Err(error) = written {
                self.send_queue.close();
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                    tell(ConnectionEvent::Ended(DisconnectReason::Stalled(SILENCE)));
                    let _ = self.stream.shutdown(Shutdown::Both);
                }
                // Any other error the reader meets too, once it has read what the peer sent before (BYE, say).
                return;
            }
            let took = begun.elapsed();
            if took > BATCH_SLOW {
                pieces = (pieces / 2).max(1);
            } else if took < BATCH_FAST && full {
                pieces = (pieces * 2).min(BATCH_MOST);
            }
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Seals a batch, in the order in which it goes out.
    fn seal(&mut self, frames: &[Frame], bulk: &mut [Bulk]) -> Option<()> {
        self.small.clear();
        self.small.shrink_to(SMALL_KEEP);
        for frame in frames {
            let start = self.small.len();
            self.small.extend_from_slice(&[0; LENGTH]);
            frame.encode(&mut self.small);
            self.small.extend_from_slice(&[0; TAG]);
            self.sealer.seal(self.small.get_mut(start..)?).ok()?;
        }
        bulk.iter_mut().flat_map(Bulk::records_mut).try_for_each(|record| self.sealer.seal(record).ok())
    }

    fn write(&self, bulk: &[Bulk]) -> io::Result<()> {
        let mut slices = vec![IoSlice::new(&self.small)];
        slices.extend(bulk.iter().map(|bulk| IoSlice::new(bulk.sealed())));
        let mut slices = slices.as_mut_slice();
        // Slices without bytes count as written.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match (&*self.stream).write_vectored(slices) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
