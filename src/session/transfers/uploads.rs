//! What this side sends: scan → offer and list → the peer's answer → data → the peer's COMPLETE.

use super::{Out, OutState, Outcome, hex, words};
use crate::command::SendArgs;
use crate::notice::{Direction, Notice};
use crate::protocol::frame::{Control, Digest, OPEN_TRANSFERS, Position, Reason, TransferId};
use crate::session::{Action, ProtocolError, Session};
use crate::text::PeerText;
use crate::transfer::upload::UploadReport;

/// Skipped files that are named one by one; the rest is counted.
const SKIPPED_NAMED: usize = 20;

impl Session {
    /// `/send`: have it scanned.
    pub(in crate::session) fn send_files(&mut self, args: SendArgs) {
        if self.is_leaving() {
            self.transfers.failed = true;
            return self.error("leaving", "this side is leaving; nothing was sent");
        }
        if self.transfers.out.len() >= OPEN_TRANSFERS {
            self.transfers.failed = true;
            let text = format!("{OPEN_TRANSFERS} transfers are open already\nwait for one to end, or /cancel one");
            return self.error("too-many-transfers", text);
        }
        self.transfers.last_out += 1;
        let transfer = self.transfers.last_out;
        let local = self.transfers.local();
        let out =
            Out { local, state: OutState::Scanning, name: PeerText::new(""), more: 0, offer: None, begun: self.now };
        self.transfers.out.insert(transfer, out);
        self.actions.push(Action::Scan(transfer, args));
    }

    /// An upload worker reports.
    pub fn upload(&mut self, transfer: TransferId, report: UploadReport) {
        let Some(out) = self.transfers.out.get_mut(&transfer) else { return };
        let local = out.local;
        match report {
            UploadReport::Scanned { offer, name, more, skipped } => {
                out.state = OutState::Held;
                out.name = PeerText::new(name);
                out.offer = Some(offer);
                out.more = more;
                self.skipped(&skipped);
            }
            UploadReport::Unsendable { code, text } => {
                self.transfers.out.remove(&transfer);
                self.transfers.failed = true;
                self.error(code, text);
                self.actions.push(Action::DropUpload(transfer));
            }
            UploadReport::FileSent { path, bytes, digest } => {
                let path = PeerText::new(path.to_string_lossy());
                self.notice(Notice::File { transfer: local, path, bytes, blake3: hex(&digest) });
            }
            UploadReport::FileFailed { path, text } => {
                self.transfers.failed = true;
                let path = Some(PeerText::new(path.to_string_lossy()));
                self.notice(Notice::Failed { transfer: local, path, reason: text.into() });
            }
            UploadReport::Finished => self.upload_finished(transfer),
        }
        self.release_offers();
        self.go_on();
    }

    /// Names what a scan left out, the first few of them.
    fn skipped(&mut self, skipped: &[(String, String)]) {
        for (path, reason) in skipped.iter().take(SKIPPED_NAMED) {
            self.notice(Notice::Warning(format!("{path}: {reason}, skipped").into()));
        }
        let more = skipped.len().saturating_sub(SKIPPED_NAMED);
        if more > 0 {
            self.notice(Notice::Warning(format!("{more} more were skipped").into()));
        }
    }

    /// Sends the offers whose turn has come.
    fn release_offers(&mut self) {
        let mut released = Vec::new();
        for (transfer, out) in &mut self.transfers.out {
            match (out.state, &out.offer) {
                (OutState::Scanning, _) => break,
                (OutState::Held, Some(offer)) => {
                    out.state = OutState::Offered;
                    let notice = Notice::Offer {
                        transfer: out.local,
                        direction: Direction::Out,
                        name: out.name.clone(),
                        more: out.more,
                        files: offer.files,
                        folders: offer.folders,
                        bytes: offer.bytes,
                        clashes: None,
                        free: None,
                        asks: false,
                    };
                    released.push((notice, Control::Offer { transfer: *transfer, offer: offer.clone() }));
                }
                _ => {}
            }
        }
        for (notice, offer) in released {
            self.notice(notice);
            self.tell(offer);
        }
    }

    pub(in crate::session) fn peer_accepted(&mut self, transfer: TransferId, position: Position, digest: Digest) {
        let now = self.now;
        // An answer to a transfer that this side has cancelled meanwhile finds nothing, and needs nothing.
        let Some(out) = self.transfers.out.get_mut(&transfer) else { return };
        if out.state == OutState::Offered {
            out.state = OutState::Running;
            out.begun = now;
            let local = out.local;
            self.notice(Notice::Accepted { transfer: local });
            self.actions.push(Action::UploadAccepted(transfer, position, digest));
        }
    }

    pub(in crate::session) fn peer_declined(&mut self, transfer: TransferId, reason: Reason, text: &str) {
        if let Some(out) = self.transfers.out.remove(&transfer) {
            self.transfers.failed = true;
            self.notice(Notice::Declined { transfer: out.local, reason: words(reason, text), by_peer: true });
            self.confirm_end(transfer);
        }
    }

    pub(in crate::session) fn peer_completed(
        &mut self,
        transfer: TransferId,
        files: u32,
        failed: u32,
    ) -> Result<(), ProtocolError> {
        // A transfer that this side cancelled meanwhile is not there any more, which is no fault.
        let Some(out) = self.transfers.out.get_mut(&transfer) else { return Ok(()) };
        let offered = out.offer.as_ref().map(|offer| offer.files);
        if out.state != OutState::Running || files.checked_add(failed) != offered {
            return Err(ProtocolError::Count(transfer));
        }
        out.state = OutState::Completing(files, failed);
        self.actions.push(Action::UploadComplete(transfer));
        Ok(())
    }

    fn upload_finished(&mut self, transfer: TransferId) {
        if let Some(out) = self.transfers.out.remove(&transfer) {
            self.actions.push(Action::DropUpload(transfer));
            self.completed(out);
        }
    }

    /// Says how an upload ended that the peer has completed; false when it has not.
    pub(super) fn completed(&mut self, out: Out) -> bool {
        let OutState::Completing(files, failed) = out.state else { return false };
        let bytes = out.offer.map_or(0, |offer| offer.bytes);
        self.transfers.failed |= failed > 0;
        self.finished(out.local, out.name, Outcome { files, failed, bytes, begun: out.begun });
        true
    }

    /// Answers the receiver's end of a transfer: nothing more is sent for it.
    pub(in crate::session) fn confirm_end(&mut self, transfer: TransferId) {
        self.actions.push(Action::DropUpload(transfer));
        self.tell(Control::Cancel { transfer, reason: Reason::Confirmed, text: String::new(), by_offerer: true });
    }

    pub(in crate::session) fn cancel_upload(&mut self, transfer: TransferId, local: u32) {
        let Some(out) = self.transfers.out.remove(&transfer) else { return };
        self.transfers.failed = true;
        let reason = words(Reason::User, "");
        self.notice(Notice::Cancelled { transfer: local, reason, by_peer: false });
        self.actions.push(Action::DropUpload(transfer));
        if matches!(out.state, OutState::Scanning | OutState::Held) {
            // The peer never heard of it.
            return self.release_offers();
        }
        let (reason, text) = (Reason::User, String::new());
        self.tell(Control::Cancel { transfer, reason, text, by_offerer: true });
    }
}
