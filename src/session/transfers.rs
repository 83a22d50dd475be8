//! What concerns transfers of both directions: their numbers, their ends, what `/transfers` shows.
//!
//! Invariant: every offer of either side ends exactly once, in one notice (or goes on under another number after a restart), and its
//! number is never used again. No byte of a file passes here: workers move them, and report.

use super::downloads::InState;
use super::uploads::OutState;
use super::{Action, Session};
use crate::notice::{Direction, Info, Notice, Side, TransferInfo, TransferState};
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Digest, Offer, Reason, STREAM_BYTES, TransferId};
use crate::text::{PeerText, SafeText};
use crate::transfer::manifest::Manifest;
use std::path::Path;
use std::time::Duration;

/// Names in one answer to `/transfers ID`.
const PAGE_NAMES: usize = 100;
/// Bytes of paths in it: names may be long.
const PAGE_BYTES: usize = 64 << 10;

/// Which numbers the two sides of a session give their offers (PROTOCOL.md section 8).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TransferNumbers {
    /// The smallest of the session.
    first: TransferId,
    /// Own numbers are odd.
    initiator: bool,
    /// The next own one; none when they are used up.
    next_own: Option<TransferId>,
    /// The highest that this side, and the peer, offered.
    offered: TransferId,
    peer_offered: TransferId,
}

impl TransferNumbers {
    pub(super) fn new(first: TransferId, initiator: bool) -> Self {
        let is_own = (first % 2 == 1) == initiator;
        let next_own = if is_own { Some(first) } else { first.checked_add(1) };
        Self { first, initiator, next_own, offered: 0, peer_offered: 0 }
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

    /// Nothing came of the offer: its number is free again when it is the last.
    pub(super) fn give_back(&mut self, transfer: TransferId) {
        if self.next_own == transfer.checked_add(2) {
            self.next_own = Some(transfer);
        }
    }

    pub(super) fn own_offer(&mut self, transfer: TransferId) {
        self.offered = self.offered.max(transfer);
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

/// How a transfer ended that the receiver completed.
pub(super) struct Outcome {
    pub(super) path: PeerText,
    pub(super) more: u32,
    pub(super) files: u32,
    pub(super) failed: u32,
    pub(super) bytes: u64,
    pub(super) begun: Duration,
}

impl Session {
    pub(super) fn next_own_number(&mut self) -> Option<TransferId> {
        let number = self.transfer_numbers.take()?;
        self.numbers.met(number);
        Some(number)
    }

    /// Transfers that this side waits for before it leaves: own ones, and what it accepted.
    pub(super) fn wanted_transfers(&self) -> usize {
        let downloads = self.downloads.open.values().filter(|download| download.is_wanted());
        self.uploads.open.len() + self.reoffers.len() + downloads.count()
    }

    /// Whether data moves, so that its progress is worth showing.
    pub fn has_transfers(&self) -> bool {
        self.uploads.open.values().any(|upload| matches!(upload.state, OutState::Running))
            || self.downloads.open.values().any(|download| download.state == InState::Running)
    }

    /// The open transfers, for `/transfers` and for progress; `moved` gives the bytes and files that are done of each.
    pub fn transfers(&self, moved: impl Fn(Direction, TransferId) -> (u64, u32)) -> Vec<TransferInfo> {
        let row = |transfer, direction, name, state, offer: Option<&Offer>| {
            let (bytes, files_done) = moved(direction, transfer);
            let total = offer.map_or(Some(0), known_bytes);
            let files = offer.map_or(0, |offer| offer.files);
            TransferInfo { transfer, direction, name, state, bytes, total, files_done, files }
        };
        let out = self.uploads.open.iter().map(|(transfer, upload)| {
            let state = match upload.state {
                OutState::Scanning(_) | OutState::Held => TransferState::Preparing,
                OutState::Offered => TransferState::Offered,
                OutState::Running | OutState::Completing { .. } => TransferState::Running,
            };
            row(*transfer, Direction::Out, upload.name.clone(), state, upload.offer.as_ref())
        });
        let incoming = self.downloads.open.iter().filter_map(|(transfer, download)| {
            let state = match download.state {
                InState::Listing | InState::Looking => TransferState::Arriving,
                InState::Asking => TransferState::Asking,
                InState::Preparing => TransferState::Preparing,
                InState::Running => TransferState::Running,
                InState::Ending => return None,
            };
            Some(row(*transfer, Direction::In, download.name(), state, Some(&download.offer)))
        });
        out.chain(incoming).collect()
    }

    /// `/transfers ID [FROM]`
    pub(super) fn show_names(&mut self, transfer: TransferId, from: usize) {
        if self.uploads.open.contains_key(&transfer) {
            self.actions.push(Action::ShowNames { transfer, from });
        } else if let Some(manifest) = self.downloads.manifest(transfer) {
            self.notice(Notice::Info(names_page(&manifest, transfer, from)));
        } else {
            self.error("no-such-transfer", format!("there is no transfer {transfer} with a list"));
        }
    }

    /// # Errors
    /// When the peer may not send it.
    pub(super) fn peer_cancelled(
        &mut self,
        transfer: TransferId,
        reason: Reason,
        text: &str,
    ) -> Result<(), ProtocolError> {
        if self.transfer_numbers.known(transfer)? == Side::Own {
            if reason == Reason::Confirmed {
                return Err(ProtocolError::WrongSide(transfer));
            }
            if self.uploads.is_open_for_peer(transfer) {
                self.uploads.open.remove(&transfer);
                self.incomplete = true;
                self.notice(Notice::Cancelled { transfer, by: Side::Peer, reason, detail: text.into() });
                self.confirm_end(transfer);
            }
        } else if let Some(download) = self.downloads.open.remove(&transfer) {
            if download.is_told() {
                self.close_accept_question(transfer);
                self.incomplete |= download.is_wanted();
                self.notice(Notice::Cancelled { transfer, by: Side::Peer, reason, detail: text.into() });
            }
            self.actions.push(Action::ForgetDownload(transfer));
        }
        Ok(())
    }

    /// `/cancel`: the transfer named, or the only one.
    pub(super) fn cancel(&mut self, named: Option<TransferId>) {
        let uploads = self.uploads.open.keys().map(|transfer| (Direction::Out, *transfer));
        let downloads = self.downloads.open.iter().filter(|(_, download)| download.state != InState::Ending);
        let mut open = uploads
            .chain(downloads.map(|(transfer, _)| (Direction::In, *transfer)))
            .filter(|(_, transfer)| named.is_none_or(|named| named == *transfer));
        let only = match (open.next(), open.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(named.map_or_else(
                || "no transfer is open".to_owned(),
                |named| format!("there is no open transfer {named}\n/transfers lists what is open"),
            )),
            (Some(_), Some(_)) => Err("several transfers are open\nname one: /cancel ID".to_owned()),
        };
        match only {
            Err(text) => self.error("no-such-transfer", text),
            Ok((Direction::Out, transfer)) => self.cancel_upload(transfer),
            Ok((Direction::In, transfer)) => self.cancel_download_by_user(transfer),
        }
    }

    /// The session ends: every open transfer fails, what came of it stays.
    pub(super) fn stop_transfers(&mut self, why: &str) {
        for (transfer, upload) in std::mem::take(&mut self.uploads.open) {
            self.actions.push(Action::DropUpload(transfer));
            if let OutState::Completing { .. } = upload.state {
                self.completed(transfer, upload);
            } else {
                self.incomplete = true;
                self.failed(transfer, why);
            }
        }
        for (transfer, download) in std::mem::take(&mut self.downloads.open) {
            self.actions.push(Action::StopDownload { transfer, remove: false });
            if download.is_told() {
                self.incomplete |= download.is_wanted();
                self.failed(transfer, why);
            }
        }
    }

    pub(super) fn finished(&mut self, transfer: TransferId, outcome: Outcome) {
        let Outcome { path, more, files, failed, bytes, begun } = outcome;
        if failed == 0 {
            let seconds = self.now.saturating_sub(begun).as_secs_f64();
            return self.notice(Notice::Done { transfer, path, more, files, bytes, seconds });
        }
        self.incomplete = true;
        let reason = if files == 0 {
            SafeText::from("no file of it arrived")
        } else {
            SafeText::from(format!("{failed} of {} files did not arrive", u64::from(files) + u64::from(failed)))
        };
        self.failed(transfer, reason);
    }
}

/// The sum of sizes; none for a stream.
pub(super) fn known_bytes(offer: &Offer) -> Option<u64> {
    (offer.bytes != STREAM_BYTES).then_some(offer.bytes)
}

/// A page of the paths and sizes in a list, from this file on (the first is 1), for [`Action::ShowNames`].
pub fn names_page(manifest: &Manifest, transfer: TransferId, from: usize) -> Info {
    let total = manifest.file_count();
    let first = from.clamp(1, total.max(1)) - 1;
    let (mut names, mut bytes) = (Vec::new(), 0);
    for file in (first..total.min(first.saturating_add(PAGE_NAMES))).filter_map(|index| manifest.file(index)) {
        let path = manifest.path(file.index);
        bytes += path.len();
        if bytes > PAGE_BYTES && !names.is_empty() {
            break;
        }
        names.push((PeerText::new(path), Some(file.size)));
    }
    Info::Names { transfer, from: first + 1, total, names }
}

pub(super) fn local(path: &Path) -> PeerText {
    PeerText::new(path.to_string_lossy())
}

pub(super) fn hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}
