//! What concerns transfers of both directions: which are open, what ends them, what `/transfers` shows.
//!
//! Invariant: every offer of either side ends exactly once, in one notice (or goes on under another number after a restart), and its
//! number is never used again. No byte of a file passes here: workers move them, and report.

use super::downloads::InState;
use super::transfer_notices::{first_name, known_bytes, names_page};
use super::uploads::{OutState, Upload};
use super::{Action, Session};
use crate::notice::{Direction, Notice, Side, Stop, TransferInfo, TransferState};
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Offer, Reason, TransferId};

impl Session {
    /// Transfers that this side waits for before it leaves: own ones, and what it accepted.
    pub(super) fn wanted_transfers(&self) -> Vec<TransferId> {
        let downloads = self.downloads.iter().filter(|(_, download)| download.is_wanted());
        self.uploads.keys().chain(downloads.map(|(transfer, _)| transfer)).copied().collect()
    }

    /// Whether data moves, so that its progress is worth showing.
    pub fn has_transfers(&self) -> bool {
        self.uploads.values().any(|upload| matches!(upload.state, OutState::Running))
            || self.downloads.values().any(|download| download.state == InState::Running)
    }

    /// The open transfers, for `/transfers` and for progress; `moved` gives the bytes and files that are done of each.
    pub fn transfers(&self, moved: impl Fn(Direction, TransferId) -> (u64, u32)) -> Vec<TransferInfo> {
        let row = |transfer, direction, name, state, offer: Option<&Offer>| {
            let (bytes, files_done) = moved(direction, transfer);
            let total = offer.map_or(Some(0), known_bytes);
            let files = offer.map_or(0, |offer| offer.files);
            TransferInfo { transfer, direction, name, state, bytes, total, files_done, files }
        };
        let out = self.uploads.iter().map(|(transfer, upload)| {
            let state = match upload.state {
                OutState::Scanning(_) | OutState::Held => TransferState::Preparing,
                OutState::Offered => TransferState::Offered,
                OutState::Running | OutState::Completing { .. } => TransferState::Running,
            };
            row(*transfer, Direction::Out, first_name(&upload.list), state, upload.offer.as_ref())
        });
        let incoming = self.downloads.iter().filter_map(|(transfer, download)| {
            let state = match download.state {
                InState::Listing | InState::Looking => TransferState::Arriving,
                InState::Asking => TransferState::Asking,
                InState::Preparing => TransferState::Preparing,
                InState::Running => TransferState::Running,
                InState::Ending => return None,
            };
            Some(row(*transfer, Direction::In, first_name(&download.list), state, Some(&download.offer)))
        });
        out.chain(incoming).collect()
    }

    /// `/transfers ID [FROM]`
    pub(super) fn show_names(&mut self, transfer: TransferId, from: usize) {
        let upload = self.uploads.get(&transfer).map(|upload| &upload.list);
        let list = upload.or_else(|| self.downloads.get(&transfer).map(|download| &download.list));
        if let Some(list) = list.and_then(Clone::clone) {
            self.notice(Notice::Info(names_page(&list, transfer, from)));
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
        let (how, by, detail) = (Stop::Cancelled, Side::Peer, text.into());
        let stopped = Notice::Stopped { transfer, how, by, reason, detail };
        if self.transfer_numbers.known(transfer)? == Side::Own {
            if reason == Reason::Confirmed {
                return Err(ProtocolError::WrongSide(transfer));
            }
            if self.uploads.get(&transfer).is_some_and(Upload::is_open_for_peer) {
                self.incomplete = true;
                self.notice(stopped);
                self.confirm_end(transfer);
            }
        } else if let Some(download) = self.downloads.remove(&transfer) {
            if download.is_told() {
                self.close_accept_question(transfer);
                self.incomplete |= download.is_wanted();
                self.notice(stopped);
            }
            self.drop_download(transfer, true, false);
        }
        Ok(())
    }

    /// `/cancel`: the transfer named, or the only one.
    pub(super) fn cancel(&mut self, named: Option<TransferId>) {
        let uploads = self.uploads.keys().map(|transfer| (Direction::Out, *transfer));
        let downloads = self.downloads.iter().filter(|(_, download)| download.state != InState::Ending);
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
        for (transfer, upload) in std::mem::take(&mut self.uploads) {
            self.actions.push(Action::DropUpload(transfer));
            if let OutState::Completing { .. } = upload.state {
                self.completed(transfer, upload, None);
            } else {
                self.incomplete = true;
                self.cut(transfer, why, None);
            }
        }
        for (transfer, download) in std::mem::take(&mut self.downloads) {
            self.drop_download(transfer, false, false);
            if download.is_told() {
                self.incomplete |= download.is_wanted();
                self.cut(transfer, why, download.part.as_deref());
            }
        }
    }
}
