//! What this side sends: scan → offer and list → the peer's answer → data → the peer's COMPLETE.

use super::transfer_notices::{Outcome, first_name, known_bytes, local, more};
use super::{Action, Session};
use crate::command::{CommandError, SendSource};
use crate::keys::hex;
use crate::notice::{Direction, Notice, Side, Stop};
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Control, Digest, OPEN_TRANSFERS, Offer, Position, Reason, TransferId};
use crate::transfer::manifest::Manifest;
use crate::transfer::upload::{LeftOut, UploadReport};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) enum OutState {
    /// What was asked for is kept for a scan under another number after a restart.
    Scanning(SendSource),
    /// Scanned; an earlier scan still goes on, and offers go out in the order of their numbers.
    Held,
    Offered,
    Running,
    /// The peer has all it could publish; the worker reports the last files.
    Completing {
        /// The number of the COMPLETE, which is acknowledged when the user has heard of it: a receiver that knows of that takes the same
        /// list for another transfer.
        seq: u64,
        files: u32,
        failed: u32,
    },
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) state: OutState,
    /// None while it is scanned.
    pub(super) list: Option<Arc<Manifest>>,
    pub(super) offer: Option<Offer>,
    pub(super) begun: Duration,
    /// Bytes of the files that arrived on this connection or an earlier one of the run.
    pub(super) sent: u64,
    /// Its number before the peer's program was restarted.
    pub(super) was: Option<TransferId>,
    /// The peer's RESTART is due on this connection.
    pub(super) may_restart: bool,
}

impl Upload {
    /// Whether the peer still knows it as open: it was offered, and is neither complete nor cancelled.
    pub(super) fn is_open_for_peer(&self) -> bool {
        matches!(self.state, OutState::Offered | OutState::Running)
    }
}

impl Session {
    /// `/send`: have it scanned.
    pub(super) fn send_files(&mut self, source: SendSource) {
        if self.is_leaving() {
            return self.error("leaving", "this side is leaving; nothing was sent\n/stay takes that back");
        }
        if self.uploads.len() >= OPEN_TRANSFERS {
            let text = format!("{OPEN_TRANSFERS} transfers are open already\nwait for one to end, or /cancel one");
            return self.error("too-many-transfers", text);
        }
        let Some(transfer) = self.next_own_number() else {
            return self.error("too-many-transfers", "the numbers of transfers are used up\nstart the program again");
        };
        let upload = Upload {
            state: OutState::Scanning(source.clone()),
            list: None,
            offer: None,
            begun: self.now,
            sent: 0,
            was: None,
            may_restart: false,
        };
        self.uploads.insert(transfer, upload);
        self.actions.push(Action::Scan(transfer, source));
    }

    /// The upload worker reports.
    pub fn upload(&mut self, transfer: TransferId, report: UploadReport) {
        let Some(upload) = self.uploads.get_mut(&transfer) else { return };
        match report {
            UploadReport::Scanned { offer, list, left_out } => {
                if let OutState::Scanning(_) = upload.state {
                    upload.state = OutState::Held;
                    upload.list = Some(list);
                    upload.offer = Some(offer);
                    self.left_out(transfer, left_out);
                }
            }
            UploadReport::Unsendable(CommandError { code, text }) => {
                let was = self.uploads.remove(&transfer).and_then(|upload| upload.was);
                self.actions.push(Action::DropUpload(transfer));
                self.error(code, text);
                match was {
                    // The number was never shown, so it is used again.
                    None => self.transfer_numbers.give_back(transfer),
                    Some(was) => self.failed(was, "it cannot be offered again"),
                }
            }
            UploadReport::FilesSent(files) => {
                upload.sent += files.iter().map(|file| file.bytes).sum::<u64>();
                for file in files {
                    let (path, blake3) = (local(&file.path), hex(&file.digest));
                    self.notice(Notice::File { transfer, path, bytes: file.bytes, blake3, offered: None });
                }
            }
            UploadReport::FileFailed { path, text } => self.file_failed(transfer, local(&path), text),
            UploadReport::Finished { wire_bytes } => {
                if let OutState::Completing { .. } = upload.state
                    && let Some(upload) = self.uploads.remove(&transfer)
                {
                    self.actions.push(Action::DropUpload(transfer));
                    self.completed(transfer, upload, Some(wire_bytes));
                }
            }
        }
        self.release_offers();
        self.advance();
    }

    fn left_out(&mut self, transfer: TransferId, left_out: LeftOut) {
        self.incomplete |= !left_out.named.is_empty() || left_out.more > 0;
        for (path, reason) in left_out.named {
            let path = Some(local(&path));
            self.notice(Notice::LeftOut { transfer, path, count: 1, reason: reason.into() });
        }
        if left_out.more > 0 {
            self.notice(Notice::LeftOut { transfer, path: None, count: left_out.more, reason: "".into() });
        }
    }

    /// Sends the offers whose turn has come.
    pub(super) fn release_offers(&mut self) {
        let mut released = Vec::new();
        for (transfer, upload) in &mut self.uploads {
            match (&upload.state, &upload.offer) {
                (OutState::Scanning(_), _) => break,
                (OutState::Held, Some(offer)) => {
                    upload.state = OutState::Offered;
                    let notice = Notice::Offer {
                        transfer: *transfer,
                        direction: Direction::Out,
                        name: first_name(&upload.list),
                        more: more(&upload.list),
                        files: offer.files,
                        folders: offer.folders,
                        bytes: known_bytes(offer),
                        clashes: None,
                        free: None,
                        was: upload.was,
                    };
                    released.push((*transfer, notice, offer.clone()));
                }
                _ => {}
            }
        }
        for (transfer, notice, offer) in released {
            self.notice(notice);
            self.queue(Control::Offer { transfer, offer });
        }
    }

    /// The upload that a frame of its receiver is about; none when it has ended or is complete, for then the frame is late and means
    /// nothing.
    ///
    /// # Errors
    /// When this side offered no such transfer.
    fn upload_of_frame(&mut self, transfer: TransferId) -> Result<Option<&mut Upload>, ProtocolError> {
        self.transfer_numbers.known_own(transfer)?;
        Ok(self.uploads.get_mut(&transfer).filter(|upload| !matches!(upload.state, OutState::Completing { .. })))
    }

    /// # Errors
    /// When it is not the answer to an open offer.
    pub(super) fn peer_accepted(
        &mut self,
        transfer: TransferId,
        position: Position,
        digest: Digest,
    ) -> Result<(), ProtocolError> {
        let now = self.now;
        let Some(upload) = self.upload_of_frame(transfer)? else { return Ok(()) };
        let OutState::Offered = upload.state else { return Err(ProtocolError::WrongTime("ACCEPT", transfer)) };
        upload.state = OutState::Running;
        upload.begun = now;
        self.notice(Notice::Accepted { transfer });
        self.actions.push(Action::UploadAccepted(transfer, position, digest));
        Ok(())
    }

    /// # Errors
    /// When it is not the answer to an open offer.
    pub(super) fn peer_declined(
        &mut self,
        transfer: TransferId,
        reason: Reason,
        text: &str,
    ) -> Result<(), ProtocolError> {
        let Some(upload) = self.upload_of_frame(transfer)? else { return Ok(()) };
        if !matches!(upload.state, OutState::Offered) || reason == Reason::Confirmed {
            return Err(ProtocolError::WrongTime("DECLINE", transfer));
        }
        self.incomplete = true;
        self.notice(Notice::Stopped { transfer, how: Stop::Declined, by: Side::Peer, reason, detail: text.into() });
        self.confirm_end(transfer);
        Ok(())
    }

    /// Whether the user hears of it later, by [`Session::completed`].
    ///
    /// # Errors
    /// When the transfer is not under way, or the sum is not that of the offer.
    pub(super) fn peer_completed(
        &mut self,
        seq: u64,
        transfer: TransferId,
        files: u32,
        failed: u32,
    ) -> Result<bool, ProtocolError> {
        let Some(upload) = self.upload_of_frame(transfer)? else { return Ok(false) };
        let OutState::Running = upload.state else { return Err(ProtocolError::WrongTime("COMPLETE", transfer)) };
        if files.checked_add(failed) != upload.offer.as_ref().map(|offer| offer.files) {
            return Err(ProtocolError::Count(transfer));
        }
        upload.state = OutState::Completing { seq, files, failed };
        self.actions.push(Action::UploadComplete(transfer));
        Ok(true)
    }

    /// RESTART came: where the receiver of an upload stands on a resumed connection.
    ///
    /// # Errors
    /// When none is due for this transfer; the caller then calls [`Session::lost`].
    pub fn peer_restarts(
        &mut self,
        transfer: TransferId,
        position: Position,
        digest: Digest,
    ) -> Result<(), ProtocolError> {
        let Some(upload) = self.upload_of_frame(transfer)? else { return Ok(()) };
        if !std::mem::take(&mut upload.may_restart) {
            return Err(ProtocolError::WrongTime("RESTART", transfer));
        }
        self.actions.push(Action::UploadRestart(transfer, position, digest));
        Ok(())
    }

    /// RECEIVED came.
    ///
    /// # Errors
    /// When the transfer cannot be that far; the caller then calls [`Session::lost`].
    pub fn peer_received(&mut self, transfer: TransferId, position: Position) -> Result<(), ProtocolError> {
        let Some(upload) = self.upload_of_frame(transfer)? else { return Ok(()) };
        let OutState::Running = upload.state else { return Err(ProtocolError::WrongTime("RECEIVED", transfer)) };
        self.actions.push(Action::UploadReceived(transfer, position));
        Ok(())
    }

    /// A connection is there again: RESTART may come for what the peer had an OFFER of before it.
    pub(super) fn expect_restarts(&mut self, received: u64) {
        let unseen = self.outgoing.after(received).filter_map(|(_, control)| match control {
            Control::Offer { transfer, .. } => Some(*transfer),
            _ => None,
        });
        let unseen: Vec<TransferId> = unseen.collect();
        for (transfer, upload) in &mut self.uploads {
            upload.may_restart = upload.is_open_for_peer() && !unseen.contains(transfer);
        }
    }

    /// Says how an upload ended that the peer has completed.
    pub(super) fn completed(&mut self, transfer: TransferId, upload: Upload, wire_bytes: Option<u64>) {
        let OutState::Completing { seq, files, failed } = upload.state else { return };
        let Upload { list, begun, offer, sent, .. } = upload;
        let (path, more) = (first_name(&list), more(&list));
        let bytes = offer.as_ref().and_then(known_bytes).unwrap_or(sent);
        self.finished(Direction::Out, transfer, Outcome { path, more, files, failed, bytes, wire_bytes, begun });
        self.incoming.hand_on_when_shown(seq, self.numbers.posted);
    }

    /// Answers the receiver's end of a transfer: nothing more is sent for it.
    pub(super) fn confirm_end(&mut self, transfer: TransferId) {
        self.uploads.remove(&transfer);
        self.actions.push(Action::DropUpload(transfer));
        self.queue(Control::Cancel { transfer, reason: Reason::Confirmed, text: String::new() });
    }

    pub(super) fn cancel_upload(&mut self, transfer: TransferId) {
        if let Some(OutState::Completing { .. }) = self.uploads.get(&transfer).map(|upload| &upload.state) {
            return self.error("no-such-transfer", format!("transfer {transfer} is complete"));
        }
        let Some(upload) = self.uploads.remove(&transfer) else { return };
        self.incomplete = true;
        let detail = "".into();
        self.notice(Notice::Stopped { transfer, how: Stop::Cancelled, by: Side::Own, reason: Reason::User, detail });
        self.actions.push(Action::DropUpload(transfer));
        if let OutState::Scanning(_) | OutState::Held = upload.state {
            // The peer never heard of it.
            return self.release_offers();
        }
        self.queue(Control::Cancel { transfer, reason: Reason::User, text: String::new() });
    }
}
