//! A stream in memory between two threads, with somebody on the line.
//!
//! Deterministic: when an end waits for bytes that the other will not send, because it waits as well or rests, it hears that the
//! deadline has passed.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What happens to the bytes of one direction, counted from the first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// These bits of one byte are turned over.
    Flip(usize, u8),
    /// The stream ends before this byte.
    Cut(usize),
    /// Nothing comes from this byte on, but the stream stays open.
    Swallow(usize),
}

#[derive(Default)]
struct Direction {
    queue: VecDeque<u8>,
    fault: Option<Fault>,
    sent: Vec<u8>,
    closed: bool,
    reader_waits: bool,
    reader_rests: bool,
}

#[derive(Default)]
struct Line {
    directions: Mutex<([Direction; 2], bool)>,
    moved: Condvar,
}

/// One end; dropping it ends the stream for the other.
pub(super) struct End {
    line: Arc<Line>,
    out: usize,
}

/// Two ends: what `faults.0` befalls is what the first sends.
pub(super) fn line(faults: (Option<Fault>, Option<Fault>)) -> (End, End) {
    let line = Arc::new(Line::default());
    {
        let mut state = line.directions.lock().unwrap();
        state.0[0].fault = faults.0;
        state.0[1].fault = faults.1;
    }
    (End { line: Arc::clone(&line), out: 0 }, End { line, out: 1 })
}

impl End {
    fn lock(&self) -> MutexGuard<'_, ([Direction; 2], bool)> {
        self.line.directions.lock().unwrap()
    }

    /// Says that this end will neither read nor write for now.
    pub(super) fn rest(&self) {
        self.lock().0[1 - self.out].reader_rests = true;
        self.line.moved.notify_all();
    }

    /// All that this end has written, before any fault.
    pub(super) fn sent(&self) -> Vec<u8> {
        self.lock().0[self.out].sent.clone()
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        let direction = &mut state.0[self.out];
        for byte in bytes {
            let place = direction.sent.len();
            direction.sent.push(*byte);
            match direction.fault {
                Some(Fault::Flip(at, mask)) if at == place => direction.queue.push_back(byte ^ mask),
                Some(Fault::Cut(at)) if at <= place => direction.closed = true,
                Some(Fault::Swallow(at)) if at <= place => {}
                _ => direction.queue.push_back(*byte),
            }
        }
        self.line.moved.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for End {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let incoming = 1 - self.out;
        let mut state = self.lock();
        loop {
            let ([first, second], stalled) = &mut *state;
            let (ours, theirs) = if incoming == 0 { (first, second) } else { (second, first) };
            if !ours.queue.is_empty() {
                let count = ours.queue.len().min(room.len());
                for (place, byte) in room.iter_mut().zip(ours.queue.drain(..count)) {
                    *place = byte;
                }
                return Ok(count);
            }
            let other_waits = theirs.reader_waits && theirs.queue.is_empty() && !theirs.closed;
            if !ours.closed && (theirs.reader_rests || other_waits) {
                *stalled = true;
                self.line.moved.notify_all();
            }
            if *stalled {
                return Err(ErrorKind::TimedOut.into());
            }
            if ours.closed {
                return Ok(0);
            }
            ours.reader_waits = true;
            state = self.line.moved.wait(state).unwrap();
            state.0[incoming].reader_waits = false;
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.lock().0[self.out].closed = true;
        self.line.moved.notify_all();
    }
}
