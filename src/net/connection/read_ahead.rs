//! Bytes from the socket, in the pieces that the reader asks for.
//!
//! Invariant: large records are read straight to where they are opened; small ones many at a time, so that neither a copy of bulk
//! nor a system call for every line is paid for. An end of the stream is told as what it is: between records or inside one.

use super::DisconnectReason;
use super::keepalive::Keepalive;
use crate::channel::LENGTH;
use std::io::{ErrorKind, IoSliceMut, Read};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes read ahead where records are small: a few dozen of them.
const AHEAD: usize = 64 * 1024;
/// A record of this size or more is bulk: what follows it is most likely bulk too, and is not read ahead.
const BULK: usize = 32 * 1024;

/// A record is complete so long after its first byte, whatever trickles in.
const RECORD: Duration = Duration::from_secs(15);

/// The receiving side of the socket.
pub(super) struct ReadAhead {
    stream: Arc<TcpStream>,
    keepalive: Keepalive,
    /// Read ahead; `ahead` is the part that was not asked for yet.
    buffer: Vec<u8>,
    ahead: Range<usize>,
    /// Whether the last record was bulk.
    bulk: bool,
    /// When the last bytes came.
    heard: Instant,
    /// When the first byte of the current record was there.
    record_begun: Option<Instant>,
}

impl ReadAhead {
    pub(super) fn new(stream: Arc<TcpStream>, keepalive: Keepalive) -> Self {
        let (buffer, heard) = (vec![0; AHEAD], Instant::now());
        Self { stream, keepalive, buffer, ahead: 0..0, bulk: false, heard, record_begun: None }
    }

    /// Fills `wanted`. `inside` a record an end of the stream is a truncation.
    pub(super) fn fill(&mut self, mut wanted: &mut [u8], inside: bool) -> Result<(), DisconnectReason> {
        if inside {
            self.bulk = wanted.len() >= BULK;
        }
        if !inside {
            self.record_begun = None;
        }
        while !wanted.is_empty() {
            let taken = self.take_ahead(wanted);
            if taken > 0 && self.record_begun.is_none() {
                self.record_begun = Some(self.heard);
            }
            wanted = wanted.get_mut(taken..).unwrap_or_default();
            if wanted.is_empty() {
                break;
            }
            if self.bulk {
                // With the length of the next record, which spares a system call; but after a length no byte of the record.
                let (room, next) = (wanted.len(), if inside { LENGTH } else { 0 });
                let read = self.read(|stream, buffer| {
                    let next = buffer.get_mut(..next).unwrap_or_default();
                    stream.read_vectored(&mut [IoSliceMut::new(wanted), IoSliceMut::new(next)])
                })?;
                self.record_begun.get_or_insert(self.heard);
                self.ahead = 0..read.saturating_sub(room);
                wanted = wanted.get_mut(read..).unwrap_or_default();
            } else {
                let read = self.read(|stream, buffer| stream.read(buffer))?;
                self.ahead = 0..read;
            }
        }
        Ok(())
    }

    /// Moves what was read ahead to where it is wanted.
    fn take_ahead(&mut self, wanted: &mut [u8]) -> usize {
        let there = self.buffer.get(self.ahead.clone()).unwrap_or_default();
        let count = there.len().min(wanted.len());
        if let (Some(to), Some(from)) = (wanted.get_mut(..count), there.get(..count)) {
            to.copy_from_slice(from);
        }
        self.ahead.start += count;
        count
    }

    /// One read that brings something, however long it takes, while the peer is alive.
    fn read(
        &mut self,
        mut read: impl FnMut(&mut &TcpStream, &mut [u8]) -> std::io::Result<usize>,
    ) -> Result<usize, DisconnectReason> {
        loop {
            let read = read(&mut &*self.stream, &mut self.buffer);
            if self.record_begun.is_some_and(|begun| begun.elapsed() >= RECORD) {
                return Err(DisconnectReason::Slow(RECORD));
            }
            match read {
                Ok(0) if self.record_begun.is_some() => return Err(DisconnectReason::Truncated),
                Ok(0) => return Err(DisconnectReason::Closed),
                Ok(read) => {
                    self.heard = self.keepalive.heard();
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.keepalive.nothing_came()?;
                }
                Err(error) => return Err(DisconnectReason::Network(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::send_queue::SendQueue;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener};

    #[test]
    fn an_end_inside_a_record_that_follows_bulk_is_a_truncation() {
        // Wherever the reads of the first record end: with the next length, in the middle of it, or before it.
        for ahead in [0, 1, LENGTH, LENGTH + 3] {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut peer = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
            let stream = Arc::new(socket.accept().unwrap().0);
            let mut source = ReadAhead::new(stream, Keepalive::new(Arc::new(SendQueue::default())));
            let (mut length, mut body) = ([0; LENGTH], vec![0; BULK]);
            let second = [7; LENGTH + 5];
            peer.write_all(&vec![7; LENGTH + BULK + ahead]).unwrap();
            source.fill(&mut length, false).unwrap();
            source.fill(&mut body, true).unwrap();
            peer.write_all(second.get(ahead..).unwrap()).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            source.fill(&mut length, false).unwrap();
            let ended = source.fill(&mut body, true);
            assert!(matches!(ended, Err(DisconnectReason::Truncated)), "{ahead}: {ended:?}");
            assert!(source.record_begun.is_some());
        }
    }
}
