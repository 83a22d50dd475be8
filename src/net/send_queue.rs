//! The two lanes to the writer: what must be said soon, and bulk.
//!
//! Invariant: a control frame waits behind at most the batch that the writer is writing, whatever waits in the bulk lanes,
//! and nothing here grows with what the peer sends: acknowledgement, pong and credit are slots for the latest value.
//! One send_queue serves one connection; when that ends it is closed, and who pushes learns so.
//!
//! 1. The owner thread pushes control frames, in order of their numbers, and never waits.
//! 2. The reader and the download workers set slots, and never wait.
//! 3. Each upload worker pushes bulk into its own lane, and waits while that holds [`LANE`] pieces.
//! 4. The writer takes a batch: slots, control frames, then some bulk, in turn from every lane.

use crate::net::buffer::OutChunk;
use crate::protocol::frame::{Control, Digest, FileStatus, Frame, Position, TransferId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Pieces one lane holds: enough that the writer never waits for a disk that keeps pace, and about 1 MiB.
const LANE: usize = 16;
/// Control frames in one batch, in bytes; so that a flood of lines and a transfer share the connection.
const CONTROL_BATCH: usize = 128 * 1024;

/// The connection ended, or the lane was dropped: nothing more goes out this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the connection's send_queue is closed")]
pub struct Closed;

/// A piece of a bulk lane.
#[derive(Debug)]
pub enum Bulk {
    /// File or list data.
    Chunk(OutChunk),
    /// The end of a file.
    FileEnd {
        /// The transfer's number.
        transfer: TransferId,
        /// Where the end stands.
        position: Position,
        /// How it went.
        status: FileStatus,
        /// The file's digest; zero unless whole.
        digest: Digest,
    },
}

/// What the writer sends in one go.
#[derive(Debug, Default)]
pub struct Batch {
    /// Small frames, in order.
    pub frames: Vec<Frame>,
    /// Bulk, in order, after the frames.
    pub bulk: Vec<Bulk>,
}

#[derive(Debug, Default)]
struct State {
    control: VecDeque<(u64, Control)>,
    last_control: u64,
    ack: Option<u64>,
    ping: Option<u64>,
    pong: Option<u64>,
    /// CREDIT or RESTART by transfer, with the number of the control frame that must go first (its ACCEPT).
    credits: BTreeMap<TransferId, (u64, Frame)>,
    lanes: VecDeque<(TransferId, VecDeque<Bulk>)>,
    finishing: bool,
    closed: bool,
    /// The writer sleeps: to wake it costs a system call, which is spared while it is awake.
    writer_sleeps: bool,
    /// Workers that wait for room, for the same reason.
    waiting_for_room: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct SendQueue {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
}

impl SendQueue {
    /// An send_queue for a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        self.wake_writer(&mut state);
    }

    fn wake_writer(&self, state: &mut State) {
        if std::mem::take(&mut state.writer_sleeps) {
            self.work.notify_one();
        }
    }

    /// Queues a control frame. The session bounds how many are unacknowledged, and so how many are here.
    pub fn control(&self, seq: u64, control: Control) {
        self.change(|state| {
            state.last_control = seq;
            state.control.push_back((seq, control));
        });
    }

    /// Acknowledges all up to `received`.
    pub fn ack(&self, received: u64) {
        self.change(|state| state.ack = Some(received));
    }

    /// Asks for a sign of life.
    pub fn ping(&self, token: u64) {
        self.change(|state| state.ping = Some(token));
    }

    /// Answers the peer's latest ping.
    pub fn pong(&self, token: u64) {
        self.change(|state| state.pong = Some(token));
    }

    /// Sets the credit of a transfer that comes in. It follows the control frames that are queued by now.
    pub fn credit(&self, transfer: TransferId, durable: Position, limit: Position) {
        self.change(|state| {
            let after = state.last_control;
            match state.credits.get_mut(&transfer) {
                // A restart that was not sent yet stays one; only its limit is news.
                Some((_, Frame::Restart { limit: waiting, .. })) => *waiting = limit,
                _ => {
                    state.credits.insert(transfer, (after, Frame::Credit { transfer, durable, limit }));
                }
            }
        });
    }

    /// Says where a transfer that comes in goes on after a resume.
    pub fn restart(&self, transfer: TransferId, position: Position, limit: Position) {
        self.change(|state| {
            let after = state.last_control;
            state.credits.insert(transfer, (after, Frame::Restart { transfer, position, limit }));
        });
    }

    /// Opens the bulk lane of a transfer that goes out.
    pub fn open_lane(&self, transfer: TransferId) {
        let mut state = self.lock();
        if !state.lanes.iter().any(|(id, _)| *id == transfer) {
            state.lanes.push_back((transfer, VecDeque::new()));
        }
    }

    /// Drops a lane and all that waits in it; a worker that waits for room in it learns that it is closed.
    pub fn drop_lane(&self, transfer: TransferId) {
        self.lock().lanes.retain(|(id, _)| *id != transfer);
        self.room.notify_all();
    }

    /// Adds bulk to a lane, waiting for room.
    ///
    /// # Errors
    /// When the connection ended or the lane was dropped or never opened.
    pub fn push(&self, transfer: TransferId, bulk: Bulk) -> Result<(), Closed> {
        self.push_all(transfer, &mut vec![bulk])
    }

    /// Adds all of `bulk` to a lane, in order, waiting for room, and leaves it empty. Several pieces at once spare the
    /// writer as many awakenings.
    ///
    /// # Errors
    /// When the connection ended or the lane was dropped or never opened; what was not added is dropped.
    pub fn push_all(&self, transfer: TransferId, bulk: &mut Vec<Bulk>) -> Result<(), Closed> {
        let mut bulk = bulk.drain(..).peekable();
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Closed);
            }
            let (_, lane) = state.lanes.iter_mut().find(|(id, _)| *id == transfer).ok_or(Closed)?;
            let room = LANE.saturating_sub(lane.len());
            lane.extend(bulk.by_ref().take(room));
            self.wake_writer(&mut state);
            if bulk.peek().is_none() {
                return Ok(());
            }
            state.waiting_for_room += 1;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting_for_room -= 1;
        }
    }

    /// Lets the writer end once everything queued is written.
    pub fn finish(&self) {
        self.change(|state| state.finishing = true);
    }

    /// Ends it now; what is queued is dropped (the session keeps what must not be lost).
    pub fn close(&self) {
        self.change(|state| state.closed = true);
        self.room.notify_all();
    }

    /// The writer's: waits for something to send and takes it, with at most `bulk_pieces` of bulk.
    ///
    /// None when the send_queue is closed, or finished and empty.
    pub fn take(&self, bulk_pieces: usize) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let batch = state.take(bulk_pieces);
            if !batch.bulk.is_empty() && state.waiting_for_room > 0 {
                self.room.notify_all();
            }
            if !batch.frames.is_empty() || !batch.bulk.is_empty() {
                return Some(batch);
            }
            if state.finishing {
                return None;
            }
            state.writer_sleeps = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    fn take(&mut self, bulk_pieces: usize) -> Batch {
        let mut batch = Batch::default();
        batch.frames.extend(self.ping.take().map(Frame::Ping));
        batch.frames.extend(self.pong.take().map(Frame::Pong));
        let mut bytes = 0;
        while bytes < CONTROL_BATCH
            && let Some((seq, control)) = self.control.pop_front()
        {
            bytes += control.encoded_len();
            batch.frames.push(Frame::Control { seq, control });
        }
        let waiting = self.control.front().map_or(u64::MAX, |(seq, _)| *seq);
        self.credits.retain(|_, (after, frame)| {
            let due = *after < waiting;
            if due {
                batch.frames.push(frame.clone());
            }
            !due
        });
        batch.frames.extend(self.ack.take().map(Frame::Ack));
        while batch.bulk.len() < bulk_pieces
            && let Some(piece) = self.next_bulk()
        {
            batch.bulk.push(piece);
        }
        batch
    }

    /// The next piece, lanes taking turns.
    fn next_bulk(&mut self) -> Option<Bulk> {
        for _ in 0..self.lanes.len() {
            let (transfer, mut lane) = self.lanes.pop_front()?;
            let piece = lane.pop_front();
            self.lanes.push_back((transfer, lane));
            if piece.is_some() {
                return piece;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Control {
        Control::Line { action: false, text: text.into() }
    }

    fn end(transfer: TransferId, position: Position) -> Bulk {
        Bulk::FileEnd { transfer, position, status: FileStatus::Whole, digest: [0; 32] }
    }

    #[test]
    fn a_line_overtakes_bulk_that_came_first() {
        let send_queue = SendQueue::new();
        send_queue.open_lane(1);
        for position in 0..4 {
            send_queue.push(1, end(1, position)).unwrap();
        }
        send_queue.control(1, line("hello"));
        let batch = send_queue.take(2).unwrap();
        assert_eq!(batch.frames, [Frame::Control { seq: 1, control: line("hello") }]);
        assert_eq!(batch.bulk.len(), 2);
    }

    #[test]
    fn lanes_take_turns() {
        let send_queue = SendQueue::new();
        for transfer in [1, 2] {
            send_queue.open_lane(transfer);
            for position in 0..3 {
                send_queue.push(transfer, end(transfer, position)).unwrap();
            }
        }
        let order: Vec<_> = send_queue
            .take(6)
            .unwrap()
            .bulk
            .iter()
            .map(|bulk| match bulk {
                Bulk::FileEnd { transfer, .. } => *transfer,
                Bulk::Chunk(_) => 0,
            })
            .collect();
        assert_eq!(order, [1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn a_slot_holds_only_the_latest_value() {
        let send_queue = SendQueue::new();
        for value in 1..=1000 {
            send_queue.ack(value);
            send_queue.pong(value);
            send_queue.credit(1, value, value);
        }
        let frames = send_queue.take(1).unwrap().frames;
        let credit = Frame::Credit { transfer: 1, durable: 1000, limit: 1000 };
        assert_eq!(frames, [Frame::Pong(1000), credit, Frame::Ack(1000)]);
    }

    #[test]
    fn credit_never_overtakes_the_accept_before_it() {
        let send_queue = SendQueue::new();
        let big = "x".repeat(64_000);
        for seq in 1..=3 {
            send_queue.control(seq, line(&big));
        }
        send_queue.control(4, Control::Accept { transfer: 1, position: 5, digest: [0; 32] });
        send_queue.credit(1, 5, 100);
        let is_credit = |frame: &Frame| matches!(frame, Frame::Credit { .. });
        assert!(!send_queue.take(1).unwrap().frames.iter().any(is_credit));
        let second = send_queue.take(1).unwrap().frames;
        assert!(second.last().is_some_and(is_credit), "{second:?}");
    }

    #[test]
    fn many_pieces_at_once_wait_for_room_and_keep_their_order() {
        let send_queue = SendQueue::new();
        send_queue.open_lane(1);
        let most = u64::try_from(3 * LANE).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut pieces = (0..most).map(|position| end(1, position)).collect();
                send_queue.push_all(1, &mut pieces).unwrap();
            });
            let mut next = 0;
            while next < most {
                let bulk = send_queue.take(5).unwrap().bulk;
                assert!(bulk.len() <= 5);
                for piece in bulk {
                    assert!(matches!(piece, Bulk::FileEnd { position, .. } if position == next));
                    next += 1;
                }
            }
        });
    }

    #[test]
    fn closing_frees_a_worker_that_waits_for_room() {
        let send_queue = SendQueue::new();
        send_queue.open_lane(1);
        std::thread::scope(|scope| {
            let worker =
                scope.spawn(|| (0..).map(|position| send_queue.push(1, end(1, position))).find(Result::is_err));
            // The lane is full once the worker has pushed LANE pieces; whether it waits by then or not, it must end.
            send_queue.close();
            assert_eq!(worker.join().unwrap(), Some(Err(Closed)));
        });
        assert!(send_queue.take(1).is_none());
    }

    #[test]
    fn dropping_a_lane_drops_its_bulk_alone() {
        let send_queue = SendQueue::new();
        send_queue.open_lane(1);
        send_queue.open_lane(2);
        send_queue.push(1, end(1, 0)).unwrap();
        send_queue.push(2, end(2, 0)).unwrap();
        send_queue.drop_lane(1);
        assert_eq!(send_queue.push(1, end(1, 1)), Err(Closed));
        assert_eq!(send_queue.take(9).unwrap().bulk.len(), 1);
    }
}
