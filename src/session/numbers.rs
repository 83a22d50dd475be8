//! What is counted: over the whole run, and the transfers of a session.

use super::Session;
use crate::notice::Side;
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::TransferId;
use std::collections::BTreeSet;

/// Numbers of transfers from here on are for one session only: a peer that counts from there must not use up the numbers of those that
/// come after it. No honest run gets so far.
const FAR_TRANSFER: TransferId = 1 << 31;

/// What is unique over the whole run: handed from session to session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct RunNumbers {
    /// The highest number of a transfer that was used or met.
    pub(super) transfer: TransferId,
    pub(super) lines_out: u64,
    pub(super) lines_in: u64,
    pub(super) questions: u64,
    /// The last notice, and the last that is shown.
    pub(super) posted: u64,
    pub(super) shown: u64,
}

impl RunNumbers {
    pub(super) fn met(&mut self, transfer: TransferId) {
        if transfer < FAR_TRANSFER {
            self.transfer = self.transfer.max(transfer);
        }
    }
}

/// Which numbers the two sides of a session give their offers (PROTOCOL.md section 8).
#[derive(Debug, Default)]
pub(super) struct TransferNumbers {
    /// The smallest of the session.
    first: TransferId,
    /// Own numbers are odd.
    initiator: bool,
    /// The next own one; none when they are used up.
    next_own: Option<TransferId>,
    /// Given back while later ones were in use.
    unused: BTreeSet<TransferId>,
    /// The highest that this side, and the peer, offered.
    offered: TransferId,
    peer_offered: TransferId,
}

impl TransferNumbers {
    pub(super) fn new(first: TransferId, initiator: bool) -> Self {
        let is_own = (first % 2 == 1) == initiator;
        let next_own = if is_own { Some(first) } else { first.checked_add(1) };
        Self { first, initiator, next_own, ..Self::default() }
    }

    fn offerer(&self, transfer: TransferId) -> Side {
        if (transfer % 2 == 1) == self.initiator { Side::Own } else { Side::Peer }
    }

    /// A number for the next own offer.
    pub(super) fn take(&mut self) -> Option<TransferId> {
        let number = self.next_own?;
        self.next_own = number.checked_add(2);
        Some(number)
    }

    /// Nothing came of the offer: its number is used again once no later one is in use.
    pub(super) fn give_back(&mut self, transfer: TransferId) {
        self.unused.insert(transfer);
        while let Some(last) = self.unused.last().copied().filter(|last| self.next_own == last.checked_add(2)) {
            self.unused.remove(&last);
            self.next_own = Some(last);
        }
    }

    pub(super) fn own_offer(&mut self, transfer: TransferId) {
        self.offered = self.offered.max(transfer);
    }

    pub(super) fn has_peer_offered(&self) -> bool {
        self.peer_offered > 0
    }

    /// # Errors
    /// When the number is not one that the peer may give now.
    pub(super) fn peer_offer(&mut self, transfer: TransferId) -> Result<(), ProtocolError> {
        if self.offerer(transfer) == Side::Own {
            return Err(ProtocolError::WrongSide(transfer));
        }
        if transfer < self.first || transfer <= self.peer_offered {
            return Err(ProtocolError::OfferNumber(transfer));
        }
        self.peer_offered = transfer;
        Ok(())
    }

    /// Who offered the transfer of a frame that came in.
    ///
    /// # Errors
    /// When nobody did yet.
    pub(super) fn known(&self, transfer: TransferId) -> Result<Side, ProtocolError> {
        let offerer = self.offerer(transfer);
        let highest = if offerer == Side::Own { self.offered } else { self.peer_offered };
        if transfer > highest { Err(ProtocolError::UnknownTransfer(transfer)) } else { Ok(offerer) }
    }

    /// For a frame that only the receiver of a transfer sends.
    ///
    /// # Errors
    /// When the peer is not that, or nothing was offered.
    pub(super) fn known_own(&self, transfer: TransferId) -> Result<(), ProtocolError> {
        if self.offerer(transfer) == Side::Peer {
            return Err(ProtocolError::WrongSide(transfer));
        }
        self.known(transfer).map(drop)
    }
}

impl Session {
    pub(super) fn next_own_number(&mut self) -> Option<TransferId> {
        let number = self.transfer_numbers.take()?;
        self.numbers.met(number);
        Some(number)
    }
}
