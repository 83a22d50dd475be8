//! The writer: batches of the send queue, sealed, in one vectored write each.
//!
//! Invariant: a control frame waits behind one batch and what the kernel holds, so on a slow connection both are small.

use super::DisconnectReason;
use super::keepalive::SILENCE;
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
/// Time's worth of data that the kernel may hold and that is not on the wire yet: a line of chat waits behind it.
const UNSENT: Duration = Duration::from_millis(10);
/// In bytes: no less than what is on its way to the network card at once, and no more than keeps a fast connection from running dry.
const UNSENT_LEAST: u32 = 8 * 1024;
const UNSENT_MOST: u32 = 64 * 1024;
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
    pub(super) fn run(mut self, ended: &dyn Fn(DisconnectReason)) {
        let (mut pieces, mut unsent) = (1, UNSENT_MOST);
        self.hold(unsent);
        while let Some(mut batch) = self.send_queue.take(pieces) {
            let full = batch.bulk.len() == pieces;
            let bytes: usize = batch.bulk.iter().map(|bulk| bulk.sealed().len()).sum();
            if self.seal(&batch.frames, &mut batch.bulk).is_none() {
                let error = io::Error::other("the keys of this connection are used up");
                ended(DisconnectReason::Network(error));
                break;
            }
            let begun = Instant::now();
            let written = self.write(&batch.bulk);
            batch.bulk.into_iter().for_each(|bulk| self.send_queue.pool().give(bulk));
            if let Err(error) = written {
                self.send_queue.close();
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                    ended(DisconnectReason::Stalled(SILENCE));
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
            // A shorter write found room in the kernel, which says nothing of the link, unless it was as large as can be.
            let telling = bytes > 0 && (took >= BATCH_FAST || pieces == BATCH_MOST);
            let bound = if telling { unsent_at(bytes, took) } else { unsent };
            if bound != unsent {
                unsent = bound;
                self.hold(unsent);
            }
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Bounds what the kernel holds that is not on the wire yet.
    fn hold(&self, unsent: u32) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // Where it cannot be set, lines wait longer behind bulk; that is all.
        let _ = socket2::SockRef::from(&*self.stream).set_tcp_notsent_lowat(unsent);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = unsent;
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

/// What the kernel may hold where so many bytes took so long; a power of two, so that it changes seldom.
fn unsent_at(bytes: usize, took: Duration) -> u32 {
    let share = u128::try_from(bytes).unwrap_or(0) * UNSENT.as_micros() / took.as_micros().max(1);
    u32::try_from(share).unwrap_or(UNSENT_MOST).clamp(UNSENT_LEAST, UNSENT_MOST).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_holds_ten_milliseconds_of_a_slow_link_and_64_kib_of_a_fast_one() {
        for (bytes, millis, unsent) in [
            (12_000, 10, 16_384),
            (49_152, 39, 16_384),
            (49_152, 400, 8_192),
            (98_304, 8, 65_536),
            (786_432, 1, 65_536),
        ] {
            assert_eq!(unsent_at(bytes, Duration::from_millis(millis)), unsent, "{bytes} {millis}");
        }
    }
}
