//! What the reader thread meets: one route for each transfer that comes in, and one window of credit for them all.
//!
//! EventLoop of what a peer may send when (PROTOCOL.md section 8). Invariant: whatever the peer sends, at most [`WINDOW`]
//! bytes (and one piece for each transfer) wait for the workers, lists of [`OPEN_LISTS`] bytes are held, and at most
//! [`OPEN_TRANSFERS`] workers live; anything beyond is the peer's fault. No call waits for a disk or a peer.
//!
//! 1. The reader says [`ReceiveWindow::offered`]; the list's chunks gather in the route (`Listing`).
//! 2. The list is complete: the reader passes its bytes on to the owner, who starts a download (`Waiting`).
//! 3. The owner queues ACCEPT and calls [`ReceiveWindow::open`]: chunks go to the worker, in order and as far as the credit
//!    allows (`Running`).
//! 4. The worker says [`ReceiveWindow::durable`]: that frees credit, shared out anew among all, and told in large steps.
//! 5. The owner says [`ReceiveWindow::closed`] at the end; or [`ReceiveWindow::ending`] when this side ends it early: what is still on
//!    its way is dropped (`Ending`) until the offerer confirms.

mod incoming;
mod pace;

#[cfg(test)]
mod tests;

use super::download::Order;
use super::manifest::Manifest;
use crate::net::buffer::{Pool, Record};
use crate::net::send_queue::SendQueue;
use crate::protocol::frame::{
    ChunkHeader, Digest, FILE_END_WEIGHT, FileStatus, LIST_BYTES, OPEN_TRANSFERS, Offer, Position, TransferId,
};
use incoming::{Route, Running};
use pace::Pace;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use thiserror::Error;

/// Bytes that all transfers together may have on their way or waiting for the disk: what 1 Gbit/s takes at a round trip
/// of 200 ms.
pub const WINDOW: u64 = 24 << 20;
/// What every transfer may always have on its way, so that none starves while others hold the window: any one piece.
pub const LEAST_GRANT: u64 = 61_440 + FILE_END_WEIGHT;
/// Bytes of lists that are open at once, all together.
pub const OPEN_LISTS: u64 = 16 << 20;
/// A credit is told when it grew by this part of a transfer's share: the sender never runs dry, and credits stay rare.
const STEPS: u64 = 8;
/// Transfers that are open here. More than [`OPEN_TRANSFERS`], which the session counts exactly: the reader may know of an offer
/// before the owner knows of the end of the one before.
const OPEN_MOST: usize = 2 * OPEN_TRANSFERS;
/// Routes of all kinds. More than [`OPEN_TRANSFERS`], for the reader may be ahead of the owner, and offers that were
/// declined wait here for the offerer's confirmation; but a peer that never confirms must not fill the memory.
const ROUTES: usize = 16 * OPEN_TRANSFERS;
/// Records kept for use again: 4 MiB, what a batch of the reader and one of a worker take.
const RECORDS: usize = 64;

/// What a peer did against the rules of PROTOCOL.md section 8; the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// No offer has the number 0.
    #[error("the peer gave an offer the number {0}")]
    Number(TransferId),
    /// It does not confirm what this side ended.
    #[error("the peer keeps too many transfers open")]
    TooMany,
    /// Data or an end for a number that was never offered.
    #[error("the peer sent data for transfer {0}, which it did not offer")]
    Unknown(TransferId),
    /// Data beyond the list before ACCEPT.
    #[error("the peer sent data for transfer {0}, which was not accepted")]
    NotAccepted(TransferId),
    /// A gap, a repetition, or an end that is none.
    #[error("the peer sent data for transfer {0} out of order")]
    Order(TransferId),
    /// Neither full nor up to the end of list or file.
    #[error("the peer sent a chunk of the wrong size for transfer {0}")]
    Size(TransferId),
    /// More than the credit.
    #[error("the peer sent more data for transfer {0} than it may")]
    Credit(TransferId),
}

/// What came of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Its list is awaited.
    Listing,
    /// It was offered before (sent again after a resume).
    Again,
    /// Too much is open: the session must decline it with [`crate::protocol::frame::Reason::TooMuch`]; its data is dropped already.
    TooMuch,
}

/// What came of a chunk.
#[derive(Debug)]
pub enum Delivered {
    /// It is on its way to the worker, or dropped.
    Taken,
    /// It was the last of the list: the session may start a download.
    ListComplete(TransferId, Vec<u8>),
}

/// A part of a file, or its end, for the worker that writes it. They come in order, checked; only the first may stand at
/// the start of the file in which the download meant to go on.
#[derive(Debug)]
pub(crate) enum Piece {
    /// File data.
    Chunk { position: Position, record: Record },
    /// The end of a file; the digest counts when it is whole.
    End { status: FileStatus, digest: Digest },
    /// What the owner wants.
    Order(Order),
}

/// The way from the window to a download worker, to be opened once ACCEPT is queued.
#[derive(Debug)]
pub struct Opening {
    pub(crate) list: Arc<Manifest>,
    pub(crate) position: Position,
    pub(crate) pieces: Sender<Piece>,
}

/// What a worker still holds after its route is gone.
#[derive(Debug, Default)]
struct Held {
    grant: u64,
    list: u64,
}

#[derive(Debug, Default)]
struct State {
    routes: BTreeMap<TransferId, Route>,
    workers: BTreeMap<TransferId, Held>,
    /// The highest number that was offered.
    offered: TransferId,
    send_queue: Option<Arc<SendQueue>>,
    /// What was open when the connection was lost, and not offered again since: for these the peer awaits RESTART.
    interrupted: BTreeSet<TransferId>,
}

/// See the module.
#[derive(Debug)]
pub struct ReceiveWindow {
    state: Mutex<State>,
    records: Arc<Pool<Record>>,
    /// Whether grants follow what arrives.
    paced: bool,
}

impl Default for ReceiveWindow {
    fn default() -> Self {
        Self { state: Mutex::default(), records: Arc::new(Pool::new(RECORDS)), paced: true }
    }
}

impl ReceiveWindow {
    /// A window for a new session.
    pub fn new() -> Self {
        Self::default()
    }

    /// A window that grants all it may at once, so that a test can say what that is.
    #[cfg(test)]
    pub(super) fn unpaced() -> Self {
        Self { paced: false, ..Self::default() }
    }

    /// Records to read into; the workers give them back.
    pub fn records(&self) -> &Arc<Pool<Record>> {
        &self.records
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader's: an OFFER came in. Must be called by the reader thread itself, before any later frame, for the list
    /// follows at once.
    ///
    /// # Errors
    /// When its number is not the next, or the peer never confirms what this side ended.
    pub fn offered(&self, transfer: TransferId, offer: &Offer) -> Result<Admission, Fault> {
        let mut state = self.lock();
        if transfer == 0 {
            return Err(Fault::Number(transfer));
        }
        if transfer <= state.offered {
            // Sent again after a resume: its list begins anew, too.
            if let Some(Route::Listing { bytes, .. }) = state.routes.get_mut(&transfer) {
                bytes.clear();
            }
            state.interrupted.remove(&transfer);
            return Ok(Admission::Again);
        }
        if state.routes.len() >= ROUTES {
            return Err(Fault::TooMany);
        }
        state.offered = transfer;
        let fits = state.open() < OPEN_MOST
            && state.lists() + u64::from(offer.list) <= OPEN_LISTS
            && (1..=LIST_BYTES).contains(&offer.list);
        let (route, admission) = if fits {
            (Route::Listing { bytes: Vec::new(), list: offer.list }, Admission::Listing)
        } else {
            (Route::Ending, Admission::TooMuch)
        };
        state.routes.insert(transfer, route);
        Ok(admission)
    }

    /// The reader's: a chunk came in, opened.
    ///
    /// # Errors
    /// When the peer may not send it.
    pub fn deliver_chunk(&self, header: ChunkHeader, record: Record) -> Result<Delivered, Fault> {
        let ChunkHeader { transfer, position } = header;
        let mut state = self.lock();
        match state.route(transfer)? {
            Some(Route::Running(running)) => {
                running.chunk(position, record.chunk_data().len()).map_err(|broken| broken.by(transfer))?;
                // A worker that is gone has said so to the owner, who will end the route.
                let _ = running.pieces.send(Piece::Chunk { position, record });
            }
            Some(route @ Route::Listing { .. }) => {
                let complete = route.list_chunk(position, record.chunk_data()).map_err(|broken| broken.by(transfer))?;
                drop(state);
                self.records.give_record(record);
                if let Some(bytes) = complete {
                    return Ok(Delivered::ListComplete(transfer, bytes));
                }
            }
            Some(Route::Waiting { .. }) => return Err(Fault::NotAccepted(transfer)),
            Some(Route::Ending) | None => {
                drop(state);
                self.records.give_record(record);
            }
        }
        Ok(Delivered::Taken)
    }

    /// The reader's: a FILE_END came in.
    ///
    /// # Errors
    /// When the peer may not send it.
    pub fn deliver_end(
        &self,
        transfer: TransferId,
        position: Position,
        status: FileStatus,
        digest: Digest,
    ) -> Result<(), Fault> {
        match self.lock().route(transfer)? {
            Some(Route::Running(running)) => {
                running.end(position, status).map_err(|broken| broken.by(transfer))?;
                let _ = running.pieces.send(Piece::End { status, digest });
                Ok(())
            }
            Some(Route::Listing { .. }) => Err(Fault::Order(transfer)),
            Some(Route::Waiting { .. }) => Err(Fault::NotAccepted(transfer)),
            Some(Route::Ending) | None => Ok(()),
        }
    }

    /// The owner's, right after it queued ACCEPT: data may come. Sends the first credit.
    ///
    /// Does nothing when the transfer was ended meanwhile.
    pub fn open(&self, transfer: TransferId, opening: Opening) {
        let mut state = self.lock();
        if let Some(route @ Route::Waiting { .. }) = state.routes.get_mut(&transfer) {
            let pace = self.paced.then(|| Pace::new(Instant::now()));
            *route = Route::Running(Running::new(opening, pace));
            state.share_out();
        }
    }

    /// The owner's: this side declined or cancelled; what still comes is dropped until [`ReceiveWindow::closed`].
    pub fn ending(&self, transfer: TransferId) {
        let mut state = self.lock();
        if state.routes.contains_key(&transfer) {
            state.leave_route(transfer);
            state.routes.insert(transfer, Route::Ending);
            state.share_out();
        }
    }

    /// The owner's: the transfer is over, by COMPLETE or by the offerer's CANCEL.
    pub fn closed(&self, transfer: TransferId) {
        let mut state = self.lock();
        state.leave_route(transfer);
        state.share_out();
    }

    /// The owner's: a new session has a connection.
    pub fn connected(&self, send_queue: Arc<SendQueue>) {
        self.lock().send_queue = Some(send_queue);
    }

    /// The owner's: the connection is lost, and its reader has ended.
    pub fn disconnected(&self) {
        let mut state = self.lock();
        state.send_queue = None;
        let open = state.routes.keys().copied().collect();
        state.interrupted = open;
    }

    /// The owner's: a resumed session has a connection, and all control frames that are sent again are queued. Sends
    /// RESTART for all that was open; what the new connection's reader was offered meanwhile needs none.
    pub fn resumed(&self, send_queue: Arc<SendQueue>) {
        let mut state = self.lock();
        let State { routes, interrupted, .. } = &mut *state;
        for transfer in std::mem::take(interrupted) {
            if let Some((position, limit)) = routes.get_mut(&transfer).and_then(Route::restart) {
                send_queue.restart(transfer, position, limit);
            }
        }
        state.send_queue = Some(send_queue);
    }

    /// A worker's: everything up to `position` is with the file system.
    pub(crate) fn durable(&self, transfer: TransferId, position: Position) {
        let mut state = self.lock();
        if let Some(Route::Running(running)) = state.routes.get_mut(&transfer) {
            running.set_durable(position, Instant::now());
            state.share_out();
        }
    }

    /// The owner's: bytes of file data that are with the file system, and files that are whole.
    pub fn progress(&self, transfer: TransferId) -> (u64, u32) {
        match self.lock().routes.get(&transfer) {
            Some(Route::Running(running)) => running.progress(),
            _ => (0, 0),
        }
    }

    /// A worker begins its life; what it holds counts until the seat is dropped, whatever becomes of the route.
    pub(crate) fn seat(self: &Arc<Self>, transfer: TransferId, list: u32) -> Seat {
        self.lock().workers.insert(transfer, Held { grant: 0, list: u64::from(list) });
        Seat { window: Arc::clone(self), transfer }
    }
}

/// A worker's place in the window's accounts.
#[derive(Debug)]
pub(crate) struct Seat {
    window: Arc<ReceiveWindow>,
    transfer: TransferId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.window.lock();
        state.workers.remove(&self.transfer);
        state.share_out();
    }
}

impl State {
    /// The route of a transfer; none when it ended before: chunks that a CANCEL overtook may still come.
    fn route(&mut self, transfer: TransferId) -> Result<Option<&mut Route>, Fault> {
        if transfer == 0 || transfer > self.offered {
            return Err(Fault::Unknown(transfer));
        }
        Ok(self.routes.get_mut(&transfer))
    }

    /// Transfers that have a worker or may get one.
    fn open(&self) -> usize {
        let routes = self.routes.iter().filter(|(_, route)| !matches!(route, Route::Ending)).map(|(id, _)| id);
        let alone = self.workers.keys().filter(|id| self.lone_worker(**id));
        routes.count() + alone.count()
    }

    fn lists(&self) -> u64 {
        let routes: u64 = self.routes.values().map(Route::list_bytes).sum();
        let alone = self.workers.iter().filter(|(id, _)| self.lone_worker(**id)).map(|(_, held)| held.list);
        routes + alone.sum::<u64>()
    }

    fn lone_worker(&self, transfer: TransferId) -> bool {
        self.routes.get(&transfer).is_none_or(|route| matches!(route, Route::Ending))
    }

    fn leave_route(&mut self, transfer: TransferId) {
        if let Some(Route::Running(running)) = self.routes.remove(&transfer)
            && let Some(held) = self.workers.get_mut(&transfer)
        {
            held.grant = running.outstanding();
        }
    }

    /// Gives every running transfer what is its due, and tells those for which that is news.
    fn share_out(&mut self) {
        let held: u64 = self.workers.values().map(|held| held.grant).sum();
        let mut running: Vec<_> = self
            .routes
            .iter_mut()
            .filter_map(
                |(&transfer, route)| if let Route::Running(running) = route { Some((transfer, running)) } else { None },
            )
            .collect();
        let mut granted = held + running.iter().map(|(_, running)| running.outstanding()).sum::<u64>();
        let active = running.iter().filter(|(_, running)| !running.is_durable()).count();
        let share = WINDOW / u64::try_from(active).unwrap_or(u64::MAX).max(1);
        for (transfer, running) in &mut running {
            let due = running.due(share);
            granted += running.grant(due, WINDOW.saturating_sub(granted));
            if let Some(send_queue) = &self.send_queue
                && let Some((durable, limit)) = running.news(due / STEPS)
            {
                send_queue.credit(*transfer, durable, limit);
            }
        }
    }
}
