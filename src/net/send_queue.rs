//! What waits for the writer of one connection: control lane, latest-value slots, lists, and one bulk lane with its credit.
//!
//! Invariant: a control frame waits behind at most the batch that the writer is writing, and nothing here grows with what the
//! peer sends: acknowledgement, pong, credit, ADDRS, RECEIVED and RESTART are slots for the latest value. Bulk leaves only while its
//! whole weight fits into the peer's credit; it is counted when the writer takes it, for then it cannot be taken back. When the
//! connection ends the queue is closed, and who pushes learns so.
//!
//! 1. The event loop pushes control frames in order of their numbers, lists of offers, and drops transfers; it never waits.
//! 2. The reader and the download worker set slots, and never wait.
//! 3. The upload worker asks for [`SendQueue::room`] and pushes that much bulk; it is woken when there is room again.
//! 4. The writer takes a batch: slots, control frames, then some bulk, in turn with chunks of lists.

mod lanes;

#[cfg(test)]
mod tests;

use crate::net::buffer::{Bulk, Pool};
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Addrs, Control, Digest, Frame, Position, TransferId};
use lanes::{List, State};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Pieces of bulk that wait: enough that the writer never waits for a disk that keeps pace, and 1 MiB.
pub const LANE: usize = 16;
/// The upload worker is woken when this much of the lane is free, so that it is woken once for several pieces.
const ROOM: usize = LANE / 2;
/// Buffers kept for use again: what the lane and one batch hold.
const POOL: usize = 2 * LANE;

/// The connection ended: nothing more goes out this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the connection is closed")]
pub struct Closed;

/// What the writer sends in one go.
#[derive(Debug, Default)]
pub struct Batch {
    /// Small frames, in order.
    pub frames: Vec<Frame>,
    /// Bulk, in order, after the frames.
    pub bulk: Vec<Bulk>,
}

/// What the writer and the peer want of the upload worker.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// The writer has sent all bulk that it was given, and waits for more.
    pub writer_waits: bool,
    pub limit: u64,
}

/// Wakes the upload worker; must not wait.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

pub struct SendQueue {
    state: Mutex<State>,
    work: Condvar,
    pool: Pool<Bulk>,
}

impl Default for SendQueue {
    fn default() -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), pool: Pool::new(POOL) }
    }
}

impl fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendQueue(..)")
    }
}

impl SendQueue {
    /// Buffers to fill and push; the writer gives them back.
    pub fn pool(&self) -> &Pool<Bulk> {
        &self.pool
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state);
        if std::mem::take(&mut state.writer_sleeps) {
            self.work.notify_one();
        }
        changed
    }

    /// Both sides have the feature of compressed chunks; said before anything is queued.
    pub fn allow_zchunks(&self) {
        self.lock().zchunks = true;
    }

    pub(crate) fn allows_zchunks(&self) -> bool {
        self.lock().zchunks
    }

    pub(crate) fn demand(&self) -> Demand {
        let state = self.lock();
        Demand { writer_waits: state.writer_sleeps && state.bulk.is_empty(), limit: state.limit }
    }

    /// Queues a control frame. The session bounds how many are unacknowledged, and so how many are here. Bulk of a transfer that
    /// this side cancels goes first or never.
    pub fn control(&self, seq: u64, control: Control) {
        self.change(|state| {
            if let Control::Cancel { transfer, .. } = control {
                state.drop_transfer(transfer);
            }
            state.last_control = seq;
            state.control.push_back((seq, control));
        });
    }

    pub fn ack(&self, received: u64) {
        self.change(|state| state.ack = Some(received));
    }

    /// Asks for a byte, whatever it is.
    pub fn ping(&self) {
        self.change(|state| state.ping = Some(state.probe));
    }

    /// Asks for an answer that nothing else is taken for.
    pub fn probe(&self) {
        self.change(|state| {
            state.probe += 1;
            state.ping = Some(state.probe);
        });
    }

    /// Whether this answers the latest probe.
    pub fn is_probe(&self, token: u64) -> bool {
        token > 0 && token == self.lock().probe
    }

    pub fn pong(&self, token: u64) {
        self.change(|state| state.pong = Some(token));
    }

    /// Tells where else this side listens.
    pub fn addrs(&self, addrs: Addrs) {
        self.change(|state| state.addrs = Some(addrs));
    }

    /// What the peer may have sent on this connection. The first one follows the control frames and RESTARTs queued by now.
    pub fn credit(&self, limit: u64) {
        self.change(|state| {
            let after = state.credit.map_or(state.last_control, |(after, _)| after);
            state.credit = Some((after, limit));
        });
    }

    /// Everything of a transfer that comes in is with the file system up to `position`.
    pub fn received(&self, transfer: TransferId, position: Position) {
        self.change(|state| state.received.insert(transfer, position));
    }

    /// Where a transfer that comes in goes on after a resume; follows the control frames queued by now.
    pub fn restart(&self, transfer: TransferId, position: Position, digest: Digest) {
        self.change(|state| state.restarts.insert(transfer, (state.last_control, position, digest)));
    }

    /// The peer sent CREDIT.
    ///
    /// # Errors
    /// When it is lower than an earlier one.
    pub fn peer_credit(&self, limit: u64) -> Result<(), ProtocolError> {
        self.change(|state| {
            if limit < state.limit {
                return Err(ProtocolError::CreditFell);
            }
            state.limit = limit;
            Ok(())
        })
    }

    /// The peer sent RECEIVED for a transfer that is open.
    ///
    /// # Errors
    /// When it comes before BEGIN, is below BEGIN or an earlier one, or above what was sent on this connection.
    pub fn peer_received(&self, transfer: TransferId, position: Position) -> Result<(), ProtocolError> {
        let mut state = self.lock();
        let sending = state.sending.get_mut(&transfer).filter(|sending| {
            let least = sending.begin.map(|begin| begin.max(sending.received));
            least.is_some_and(|least| (least..=sending.reached).contains(&position))
        });
        let sending = sending.ok_or(ProtocolError::Position("RECEIVED", transfer))?;
        sending.received = position;
        Ok(())
    }

    /// Queues a list from `from` on; it follows the control frames queued by now. It needs no credit.
    pub fn send_list(&self, transfer: TransferId, bytes: Arc<[u8]>, from: usize) {
        self.change(|state| {
            let after = state.last_control;
            state.lists.push_back(List { transfer, bytes, at: from, after });
        });
    }

    /// Where the rest of a list begins that still waits; none when nothing of it does.
    pub fn list_position(&self, transfer: TransferId) -> Option<Position> {
        let state = self.lock();
        let list = state.lists.iter().find(|list| list.transfer == transfer)?;
        Position::try_from(list.at).ok()
    }

    /// Lets bulk of a transfer come until [`SendQueue::drop_transfer`].
    pub fn open_transfer(&self, transfer: TransferId) {
        self.lock().sending.entry(transfer).or_default();
    }

    /// Takes out what waits of a transfer, and lets no more come.
    pub fn drop_transfer(&self, transfer: TransferId) {
        self.lock().drop_transfer(transfer);
        self.tell_room();
    }

    /// What the peer is known to have of a transfer that was begun on this connection, by BEGIN or RECEIVED; and how far the writer took it.
    pub fn sent(&self, transfer: TransferId) -> Option<(Position, Position)> {
        let state = self.lock();
        let sending = state.sending.get(&transfer)?;
        Some((sending.begin?.max(sending.received), sending.reached))
    }

    /// Bytes of a transfer's files that the writer took, as they go over the wire.
    pub fn wire_bytes(&self, transfer: TransferId) -> u64 {
        self.lock().sending.get(&transfer).map_or(0, |sending| sending.data)
    }

    /// Calls `wake` whenever there is room again after [`SendQueue::room`] said that there is none.
    pub fn on_room(&self, wake: Waker) {
        self.lock().wake_worker = Some(wake);
    }

    /// How many pieces of bulk may be pushed now.
    pub fn room(&self) -> Result<usize, Closed> {
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        let room = LANE.saturating_sub(state.bulk.len());
        state.room_wanted = room == 0;
        Ok(room)
    }

    /// Adds bulk, in order, and leaves `bulk` empty. What belongs to a transfer that is not open is dropped. The upload worker
    /// alone pushes, and no more than there is room for.
    pub fn push_bulk(&self, bulk: &mut Vec<Bulk>) -> Result<(), Closed> {
        self.change(|state| {
            if state.closed {
                bulk.clear();
                return Err(Closed);
            }
            bulk.retain(|piece| state.sending.contains_key(&piece.transfer()));
            state.bulk.extend(bulk.drain(..));
            Ok(())
        })
    }

    /// Lets the writer end once everything queued is written.
    pub fn finish(&self) {
        self.change(|state| state.finishing = true);
    }

    /// Ends it now; what is queued is dropped (the session keeps what must not be lost).
    pub fn close(&self) {
        self.change(|state| state.closed = true);
        self.tell_room();
    }

    /// Calls the waker without the lock, for it takes locks of its own.
    fn tell_room(&self) {
        let mut state = self.lock();
        let tell = state.closed || (state.room_wanted && LANE.saturating_sub(state.bulk.len()) >= ROOM);
        if tell && let Some(wake) = state.wake_worker.clone() {
            state.room_wanted = false;
            drop(state);
            wake();
        }
    }

    /// The writer's: waits for something to send and takes it, with at most `most` pieces of bulk.
    ///
    /// None when the queue is closed, or finished and empty.
    pub fn take(&self, most: usize) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let batch = state.take(most, &self.pool);
            if !batch.frames.is_empty() || !batch.bulk.is_empty() {
                // Also when a CANCEL emptied the lane.
                let tell = state.room_wanted;
                drop(state);
                if tell {
                    self.tell_room();
                }
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
