//! What waits in a send queue, and what of it goes next: slots, control frames, then bulk in turn with lists.

use super::{Batch, Waker};
use crate::net::buffer::{Bulk, Pool};
use crate::protocol::frame::{Addrs, CHUNK_DATA, Control, Digest, Frame, Position, TransferId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Control frames in one batch, in bytes, so that a flood of lines and a transfer share the connection.
const CONTROL_BATCH: usize = 128 * 1024;

/// How far this connection brought a transfer that goes out.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// The BEGIN that the writer took.
    pub(super) begin: Option<Position>,
    /// Up to here the writer took it.
    pub(super) reached: Position,
    pub(super) received: Position,
    /// Bytes of files that the writer took, as they go over the wire.
    pub(super) data: u64,
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) transfer: TransferId,
    pub(super) bytes: Arc<[u8]>,
    pub(super) at: usize,
    /// The number of its OFFER, which goes first.
    pub(super) after: u64,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) control: VecDeque<(u64, Control)>,
    pub(super) last_control: u64,
    pub(super) ack: Option<u64>,
    pub(super) ping: Option<u64>,
    /// The token of the latest probe; 0 before the first one.
    pub(super) probe: u64,
    pub(super) pong: Option<u64>,
    pub(super) addrs: Option<Addrs>,
    pub(super) received: BTreeMap<TransferId, Position>,
    /// Each with the number of the control frame that goes first.
    pub(super) restarts: BTreeMap<TransferId, (u64, Position, Digest)>,
    pub(super) credit: Option<(u64, u64)>,
    pub(super) lists: VecDeque<List>,
    pub(super) lists_turn: bool,
    pub(super) bulk: VecDeque<Bulk>,
    pub(super) sending: BTreeMap<TransferId, Sending>,
    /// The peer's limit, and the weight that was taken.
    pub(super) limit: u64,
    pub(super) weight: u64,
    /// Both sides have the feature of compressed chunks.
    pub(super) zchunks: bool,
    pub(super) finishing: bool,
    pub(super) closed: bool,
    /// The writer sleeps: to wake it costs a system call, which is spared while it is awake.
    pub(super) writer_sleeps: bool,
    /// The upload worker wants to be told of room.
    pub(super) room_wanted: bool,
    pub(super) wake_worker: Option<Waker>,
}

impl State {
    pub(super) fn drop_transfer(&mut self, transfer: TransferId) {
        self.bulk.retain(|bulk| bulk.transfer() != transfer);
        self.lists.retain(|list| list.transfer != transfer);
        self.sending.remove(&transfer);
    }

    pub(super) fn take(&mut self, most: usize, pool: &Pool<Bulk>) -> Batch {
        let mut batch = Batch::default();
        batch.frames.extend(self.ping.take().map(Frame::Ping));
        batch.frames.extend(self.pong.take().map(Frame::Pong));
        batch.frames.extend(self.addrs.take().map(Frame::Addrs));
        let mut bytes = 0;
        while bytes < CONTROL_BATCH
            && let Some((seq, control)) = self.control.pop_front()
        {
            bytes += control.encoded_len();
            batch.frames.push(Frame::Control { seq, control });
        }
        // What is due follows the control frames before it.
        let waiting = self.control.front().map_or(u64::MAX, |(seq, _)| *seq);
        self.restarts.retain(|&transfer, &mut (after, position, digest)| {
            let due = after < waiting;
            if due {
                batch.frames.push(Frame::Restart { transfer, position, digest });
            }
            !due
        });
        if self.restarts.is_empty()
            && let Some((_, limit)) = self.credit.take_if(|(after, _)| *after < waiting)
        {
            batch.frames.push(Frame::Credit { limit });
        }
        let received = std::mem::take(&mut self.received).into_iter();
        batch.frames.extend(received.map(|(transfer, position)| Frame::Received { transfer, position }));
        batch.frames.extend(self.ack.take().map(Frame::Ack));
        while batch.bulk.len() < most
            && let Some(piece) = self.next_bulk(waiting, pool)
        {
            batch.bulk.push(piece);
        }
        batch
    }

    /// The next piece of bulk, lists and the lane taking turns.
    fn next_bulk(&mut self, waiting: u64, pool: &Pool<Bulk>) -> Option<Bulk> {
        self.lists_turn = !self.lists_turn;
        if self.lists_turn {
            self.next_of_list(waiting, pool).or_else(|| self.next_of_lane())
        } else {
            self.next_of_lane().or_else(|| self.next_of_list(waiting, pool))
        }
    }

    fn next_of_list(&mut self, waiting: u64, pool: &Pool<Bulk>) -> Option<Bulk> {
        let list = self.lists.front_mut().filter(|list| list.after < waiting)?;
        let rest = list.bytes.get(list.at..).unwrap_or_default();
        let data = rest.get(..CHUNK_DATA).unwrap_or(rest);
        let position = Position::try_from(list.at).ok()?;
        let mut piece = pool.take(list.transfer);
        if let Some(room) = piece.room().get_mut(..data.len()) {
            room.copy_from_slice(data);
        }
        piece.list_chunk(position, data.len());
        list.at += data.len();
        if data.len() == rest.len() {
            self.lists.pop_front();
        } else {
            self.lists.rotate_left(1);
        }
        Some(piece)
    }

    fn next_of_lane(&mut self) -> Option<Bulk> {
        let weight = self.weight + self.bulk.front()?.weight();
        if weight > self.limit {
            return None;
        }
        self.weight = weight;
        let piece = self.bulk.pop_front()?;
        let sending = self.sending.entry(piece.transfer()).or_default();
        sending.begin = sending.begin.or(piece.begin());
        sending.reached = piece.reached();
        sending.data += piece.data();
        Some(piece)
    }
}
