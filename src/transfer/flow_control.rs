//! What a peer may send: a route for each transfer that comes in, and one credit for the connection.
//!
//! PROTOCOL.md section 8. Invariant: whatever the peer sends, at most [`WINDOW`] of bulk waits for the download worker, lists of
//! [`OPEN_LISTS`] bytes are held, and at most [`ROUTES`] routes exist; anything beyond is a protocol error. No call waits for a disk
//! or a peer, but for [`FlowControl::take`], which is the worker's.
//!
//! 1. The reader says [`FlowControl::offered`]; the list's chunks gather in the route (`Listing`).
//! 2. The list is complete: the reader passes its bytes to the event loop (`Waiting`).
//! 3. The event loop queues ACCEPT and calls [`FlowControl::open`]: BEGIN, chunks and ends go to the worker's queue (`Running`).
//! 4. The worker says [`FlowControl::written`]: that releases credit, and RECEIVED follows.
//! 5. The event loop says [`FlowControl::end`], for good or, when this side ends it early, for now: what is still on its way is dropped
//!    (`Ended`) until the offerer confirms.
//! 6. After a resume the worker first writes what the old connection brought; then it gives [`FlowControl::restarted`] the positions
//!    for RESTART, and CREDIT follows.

mod credit;
mod pace;
mod pieces;
mod route;

#[cfg(test)]
mod tests;

use super::compression::{BAD_HEADER, content_len};
use super::manifest::Manifest;
use crate::net::buffer::{Pool, Record, zchunk_weight};
use crate::net::send_queue::SendQueue;
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{
    ChunkHeader, Digest, END_WEIGHT, FileStatus, NO_DIGEST, OPEN_TRANSFERS, Offer, Position, TransferId,
};
use credit::Credit;
pub(crate) use pieces::Piece;
use pieces::Pieces;
use route::{Route, Running};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Weight that may be on its way or waiting for the disk: what 1 Gbit/s carries at a round trip of 200 ms.
pub const WINDOW: u64 = 24 << 20;
/// Bytes of lists that are open at once, all together.
const OPEN_LISTS: u64 = 16 << 20;
/// Transfers whose list or data may come. Twice [`OPEN_TRANSFERS`], which the session counts exactly: the reader may know of an offer
/// before the event loop knows of the end of the one before.
const OPEN_MOST: usize = 2 * OPEN_TRANSFERS;
/// Open transfers, those included that this side ended and the offerer has not confirmed.
const UNCONFIRMED: usize = 1_024;
/// Routes of all kinds: those of transfers that ended are kept for a while, for a late chunk of a list weighs nothing.
const ROUTES: usize = 2 * UNCONFIRMED;
/// Records kept for use again: 4 MiB, what a batch of the reader and one of the worker take.
const RECORDS: usize = 80;

/// For [`FlowControl::open`], once ACCEPT is queued.
#[derive(Debug)]
pub struct RouteStart {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) position: Position,
}

#[derive(Debug, Default)]
struct State {
    routes: BTreeMap<TransferId, Route>,
    /// The highest number that was offered; its parity is that of all offers of the peer.
    offered: TransferId,
    send_queue: Option<Arc<SendQueue>>,
    credit: Credit,
    /// What was open when the connection was lost and not offered again since: for these the peer awaits RESTART.
    interrupted: BTreeSet<TransferId>,
    /// Counts lost connections.
    connection: u64,
    /// RESTART and CREDIT wait for the worker.
    restarting: bool,
}

/// See the module.
#[derive(Debug)]
pub struct FlowControl {
    state: Mutex<State>,
    pieces: Pieces,
    records: Arc<Pool<Record>>,
}

impl Default for FlowControl {
    fn default() -> Self {
        Self { state: Mutex::default(), pieces: Pieces::default(), records: Arc::new(Pool::new(RECORDS)) }
    }
}

impl FlowControl {
    /// Records to read into; the worker gives them back.
    pub fn records(&self) -> &Arc<Pool<Record>> {
        &self.records
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader's: an OFFER came in. False when too much is open: the session must decline it with
    /// [`crate::protocol::frame::Reason::TooMuch`], and its data is dropped already. Must be called by the reader thread itself, before
    /// any later frame, for the list follows at once.
    ///
    /// # Errors
    /// When the peer never confirms what this side ended.
    pub fn offered(&self, transfer: TransferId, offer: &Offer) -> Result<bool, ProtocolError> {
        let mut state = self.lock();
        if transfer <= state.offered {
            // Sent again after a resume, for the session has not seen it: its list begins anew, too.
            if let Some(route @ (Route::Listing { .. } | Route::Waiting { .. })) = state.routes.get_mut(&transfer) {
                *route = Route::Listing { bytes: Vec::new(), list: route.list() };
            }
            state.interrupted.remove(&transfer);
            return Ok(true);
        }
        let unconfirmed = state.routes.values().filter(|route| route.is_open()).count();
        if unconfirmed >= UNCONFIRMED {
            return Err(ProtocolError::TooManyOpen);
        }
        state.offered = transfer;
        state.forget_oldest();
        let coming = state.routes.values().filter(|route| route.held_list() > 0);
        let (count, lists) = coming.fold((0, 0), |(count, lists), route| (count + 1, lists + route.held_list()));
        let fits = count < OPEN_MOST && lists + u64::from(offer.list) <= OPEN_LISTS;
        let route = if fits {
            Route::Listing { bytes: Vec::new(), list: offer.list }
        } else {
            Route::Ended { list: offer.list, confirmed: false }
        };
        state.routes.insert(transfer, route);
        Ok(fits)
    }

    /// The reader's: a chunk came in, opened. Gives the bytes of a list with its last chunk.
    ///
    /// # Errors
    /// When the peer may not send it.
    pub fn chunk(&self, header: ChunkHeader, record: Record) -> Result<Option<Vec<u8>>, ProtocolError> {
        let ChunkHeader { compressed, transfer, position } = header;
        let data = record.chunk_data();
        let mut state = self.lock();
        let content = match compressed {
            false => None,
            true if !state.zchunks() => return Err(ProtocolError::Unexpected("ZCHUNK")),
            true => Some(content_len(data).ok_or(ProtocolError::Compressed(transfer, BAD_HEADER))?),
        };
        let weight = chunk_weight(data.len(), content);
        match state.route(transfer)? {
            Some(Route::Running(running)) => {
                running.chunk(transfer, position, content.unwrap_or(data.len()))?;
                running.wire_bytes += bytes(data.len());
                state.credit.came(weight)?;
                self.pieces.push(Piece::Chunk { transfer, record, content });
            }
            Some(Route::Listing { .. }) if compressed => return Err(ProtocolError::NotAccepted(transfer)),
            Some(route @ Route::Listing { .. }) => {
                let complete = route.list_chunk(transfer, position, record.chunk_data())?;
                drop(state);
                self.records.give_record(record);
                return Ok(complete);
            }
            Some(Route::Waiting { .. }) => return Err(ProtocolError::NotAccepted(transfer)),
            Some(Route::Ended { list, .. }) if position < u64::from(*list) => self.records.give_record(record),
            Some(Route::Ended { .. }) | None => {
                state.dropped(weight)?;
                self.records.give_record(record);
            }
        }
        Ok(None)
    }

    /// The reader's: BEGIN came in.
    ///
    /// # Errors
    /// When the peer may not send it.
    pub fn begin(&self, transfer: TransferId, position: Position) -> Result<(), ProtocolError> {
        self.mark(transfer, |running| running.begin(transfer, position), Piece::Begin { transfer, position })
    }

    /// The reader's: a FILE_END came in.
    ///
    /// # Errors
    /// When the peer may not send it.
    pub fn file_end(
        &self,
        transfer: TransferId,
        position: Position,
        status: FileStatus,
        digest: Digest,
    ) -> Result<(), ProtocolError> {
        let piece = Piece::End { transfer, position, status, digest };
        self.mark(transfer, |running| running.end(transfer, position, status), piece)
    }

    /// BEGIN or FILE_END, if the transfer takes it.
    fn mark(
        &self,
        transfer: TransferId,
        take: impl FnOnce(&mut Running) -> Result<(), ProtocolError>,
        piece: Piece,
    ) -> Result<(), ProtocolError> {
        let mut state = self.lock();
        match state.route(transfer)? {
            Some(Route::Running(running)) => {
                take(running)?;
                state.credit.came(END_WEIGHT)?;
                self.pieces.push(piece);
                Ok(())
            }
            Some(Route::Listing { .. } | Route::Waiting { .. }) => Err(ProtocolError::NotAccepted(transfer)),
            Some(Route::Ended { .. }) | None => state.dropped(END_WEIGHT),
        }
    }

    /// The event loop's: a new session has a connection. Sends the first CREDIT; when the session takes over what an earlier one
    /// left, after the worker has written what came over the connection of that.
    pub fn connected(&self, send_queue: Arc<SendQueue>) {
        let mut state = self.lock();
        state.send_queue = Some(send_queue);
        state.credit = Credit::new(Instant::now());
        if state.restarting {
            state.interrupted.clear();
            return self.pieces.push(Piece::Resumed(state.connection));
        }
        state.tell_credit();
    }

    /// The event loop's: the connection is lost, and its reader has ended.
    pub fn disconnected(&self) {
        let mut state = self.lock();
        state.send_queue = None;
        state.connection += 1;
        state.restarting = true;
        state.credit = Credit::new(Instant::now());
        let unended = state.routes.iter().filter(|(_, route)| !matches!(route, Route::Ended { .. }));
        let interrupted = unended.map(|(transfer, _)| *transfer).collect();
        state.interrupted = interrupted;
    }

    /// The event loop's: a resumed session has a connection, and all control frames that are sent again are queued. RESTART for lists
    /// goes at once; that for data, and CREDIT, when the worker has written what came over the old connection.
    pub fn resumed(&self, send_queue: Arc<SendQueue>) {
        let mut state = self.lock();
        let State { routes, interrupted, .. } = &mut *state;
        interrupted.retain(|transfer| {
            let position = match routes.get(transfer) {
                Some(Route::Listing { bytes: list, .. }) => bytes(list.len()),
                Some(Route::Waiting { list }) => u64::from(*list),
                Some(Route::Running(_)) => return true,
                Some(Route::Ended { .. }) | None => return false,
            };
            send_queue.restart(*transfer, position, NO_DIGEST);
            false
        });
        state.send_queue = Some(send_queue);
        state.restarting = true;
        self.pieces.push(Piece::Resumed(state.connection));
    }

    /// The event loop's, right after it queued ACCEPT: data may come. Does nothing when the transfer was ended meanwhile.
    pub fn open(&self, transfer: TransferId, start: RouteStart) {
        let mut state = self.lock();
        if !state.routes.values().any(|route| matches!(route, Route::Running(_))) {
            // What the link was like some time ago says little.
            state.credit.idle(Instant::now());
        }
        if let Some(route @ Route::Waiting { .. }) = state.routes.get_mut(&transfer) {
            *route = Route::Running(Running::new(start));
        }
    }

    /// The event loop's: the transfer is over, and what still comes is dropped. `confirmed`: by COMPLETE or by the offerer's CANCEL; else
    /// this side declined or cancelled, and that of the offerer follows.
    pub fn end(&self, transfer: TransferId, confirmed: bool) {
        if let Some(route) = self.lock().routes.get_mut(&transfer) {
            *route = Route::Ended { list: route.list(), confirmed };
        }
    }

    /// Bytes of file data that are with the file system, and files that are finished.
    pub fn progress(&self, transfer: TransferId) -> (u64, u32) {
        match self.lock().routes.get(&transfer) {
            Some(Route::Running(running)) => running.progress(),
            _ => (0, 0),
        }
    }

    /// Bytes of files that came for a transfer in this run, as they went over the wire.
    pub(crate) fn wire_bytes(&self, transfer: TransferId) -> u64 {
        match self.lock().routes.get(&transfer) {
            Some(Route::Running(running)) => running.wire_bytes,
            _ => 0,
        }
    }

    /// Bytes that accepted transfers still need.
    pub(crate) fn needed(&self) -> u64 {
        let state = self.lock();
        let running = state.routes.values().filter_map(|route| match route {
            Route::Running(running) => Some(running.needed()),
            _ => None,
        });
        running.fold(0, u64::saturating_add)
    }

    /// The worker's: waits for pieces, or for [`FlowControl::kick`]. `batch` is empty before.
    pub(crate) fn take(&self, batch: &mut Vec<Piece>) {
        self.pieces.take(batch);
    }

    /// Makes [`FlowControl::take`] return.
    pub(crate) fn kick(&self) {
        self.pieces.kick();
    }

    /// The worker's: pieces of this weight are done with, written or dropped; and so far each of these transfers is with the file system.
    pub(crate) fn written(&self, weight: u64, reached: &[(TransferId, Position)]) {
        let mut state = self.lock();
        let State { routes, send_queue, credit, restarting, .. } = &mut *state;
        let now = Instant::now();
        for (transfer, position) in reached {
            if let Some(Route::Running(running)) = routes.get_mut(transfer)
                && let Some(position) = running.reached(*position, now)
                && let Some(send_queue) = send_queue
                && !*restarting
            {
                send_queue.received(*transfer, position);
            }
        }
        // What came over an earlier connection has no weight on this one, and RESTART will say where it stands.
        if !*restarting {
            credit.released(weight, now);
            state.tell_credit();
        }
    }

    /// The worker's answer to [`Piece::Resumed`]: where each of its transfers stands, with the digest of that file's bytes before it.
    pub(crate) fn restarted(&self, connection: u64, positions: &[(TransferId, Position, Digest)]) {
        let mut state = self.lock();
        if connection != state.connection {
            return;
        }
        let State { routes, interrupted, send_queue, credit, .. } = &mut *state;
        let Some(send_queue) = send_queue else { return };
        for transfer in std::mem::take(interrupted) {
            let Some(Route::Running(running)) = routes.get_mut(&transfer) else { continue };
            let position = positions.iter().find(|(id, ..)| *id == transfer);
            // One that the worker does not know has ended there; the event loop is about to hear of it.
            let end = running.end_position();
            let (position, digest) = position.map_or((end, NO_DIGEST), |(_, position, digest)| (*position, *digest));
            running.restart(position);
            send_queue.restart(transfer, position, digest);
        }
        *credit = Credit::new(Instant::now());
        state.restarting = false;
        state.tell_credit();
    }
}

impl State {
    /// Whether the peer may compress.
    fn zchunks(&self) -> bool {
        self.send_queue.as_ref().is_some_and(|queue| queue.allows_zchunks())
    }

    /// The route of a transfer; none when it ended long ago or stood in a gap.
    fn route(&mut self, transfer: TransferId) -> Result<Option<&mut Route>, ProtocolError> {
        if transfer > self.offered {
            return Err(ProtocolError::UnknownTransfer(transfer));
        }
        if transfer % 2 != self.offered % 2 {
            return Err(ProtocolError::WrongSide(transfer));
        }
        Ok(self.routes.get_mut(&transfer))
    }

    fn dropped(&mut self, weight: u64) -> Result<(), ProtocolError> {
        self.credit.came(weight)?;
        self.credit.released(weight, Instant::now());
        self.tell_credit();
        Ok(())
    }

    fn tell_credit(&mut self) {
        if let Some(send_queue) = &self.send_queue
            && let Some(limit) = self.credit.news()
        {
            send_queue.credit(limit);
        }
    }

    fn forget_oldest(&mut self) {
        if self.routes.len() >= ROUTES {
            let oldest = self.routes.iter().find(|(_, route)| !route.is_open()).map(|(transfer, _)| *transfer);
            oldest.map(|oldest| self.routes.remove(&oldest));
        }
    }
}

/// What a chunk weighs whose data, or frame when it is compressed, has so many bytes.
fn chunk_weight(len: usize, content: Option<usize>) -> u64 {
    if content.is_some() { zchunk_weight(len) } else { bytes(len) }
}

fn bytes(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
