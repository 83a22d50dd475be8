//! What this side receives: offer → list → a look at the disk → the user's or a rule's answer → ready → data → COMPLETE.
//!
//! A transfer that this side ends stays as `Ending` until the offerer confirms, so that late data is no fault.

use super::{In, InState, Outcome, hex, words};
use crate::notice::{Direction, Notice, Trust};
use crate::protocol::frame::{Control, OPEN_TRANSFERS, Offer, REASON_TEXT, Reason, TransferId, at_most};
use crate::session::{AcceptRule, Action, ProtocolError, Session, Shutdown};
use crate::text::PeerText;
use crate::transfer::download::DownloadReport;
use crate::transfer::flow_control::Opening;
use crate::transfer::manifest::Manifest;
use std::path::PathBuf;
use std::sync::Arc;

impl Session {
    pub(in crate::session) fn offered(&mut self, transfer: TransferId, offer: Offer) -> Result<(), ProtocolError> {
        if transfer <= self.transfers.last_in {
            return Err(ProtocolError::OfferNumber(transfer));
        }
        self.transfers.last_in = transfer;
        let local = self.transfers.local();
        let entry = In { local, state: InState::Listing, offer, list: None, opening: None, begun: self.now };
        let too_many = self.transfers.incoming.len() >= OPEN_TRANSFERS;
        self.transfers.incoming.insert(transfer, entry);
        if matches!(self.farewell, Shutdown::Said(_)) {
            // It crossed the own goodbye, after which nothing is answered.
            self.ending(transfer);
        } else if self.is_leaving() {
            self.decline_download(transfer, Reason::Leaving, "");
        } else if too_many {
            self.decline_download(transfer, Reason::TooMuch, "too many transfers are open");
        }
        Ok(())
    }

    /// The window has no room for the list of this offer.
    pub fn too_much(&mut self, transfer: TransferId) {
        let open = |entry: &In| entry.state != InState::Ending;
        if self.transfers.incoming.get(&transfer).is_some_and(open) {
            self.decline_download(transfer, Reason::TooMuch, "too much is waiting for an answer");
        }
        self.go_on();
    }

    /// The way for the data of a transfer whose ACCEPT is on its way.
    pub(in crate::session) fn opening(&mut self, transfer: TransferId) -> Option<Opening> {
        self.transfers.incoming.get_mut(&transfer)?.opening.take()
    }

    /// The list of an offer is complete.
    pub fn listed(&mut self, transfer: TransferId, list: Vec<u8>) {
        if let Some(entry) = self.transfers.incoming.get_mut(&transfer)
            && entry.state == InState::Listing
        {
            entry.state = InState::Looking;
            self.actions.push(Action::StartDownload(transfer, entry.offer.clone(), list));
        }
        self.go_on();
    }

    /// A download worker reports.
    pub fn download(&mut self, transfer: TransferId, report: DownloadReport) {
        let Some(entry) = self.transfers.incoming.get_mut(&transfer) else { return };
        if entry.state == InState::Ending {
            return;
        }
        let local = entry.local;
        match report {
            DownloadReport::Looked { list, clashes, free } => {
                entry.state = InState::Asking;
                entry.list = Some(Arc::clone(&list));
                self.looked(transfer, &list, clashes, free);
            }
            DownloadReport::Unacceptable { reason, text } => self.decline_download(transfer, reason, &text),
            DownloadReport::NoSuchFolder { text } => {
                entry.state = InState::Asking;
                self.error("no-such-folder", &text);
                if self.rules.accept != AcceptRule::Ask || self.input_ended || self.is_leaving() {
                    // Nobody can name another.
                    self.decline_download(transfer, Reason::Io, &text);
                }
            }
            DownloadReport::Ready { position, digest, opening, resumed } => {
                entry.state = InState::Running;
                entry.begun = self.now;
                entry.opening = Some(opening);
                if resumed > 0 {
                    let words = format!("transfer {local} goes on where an earlier one stopped");
                    self.notice(Notice::Status(words));
                }
                self.notice(Notice::Accepted { transfer: local });
                self.tell(Control::Accept { transfer, position, digest });
            }
            DownloadReport::File { path, bytes, digest } => {
                let path = PeerText::new(path.to_string_lossy());
                self.notice(Notice::File { transfer: local, path, bytes, blake3: hex(&digest) });
            }
            DownloadReport::FileFailed { path, text } => {
                let path = Some(PeerText::new(path.to_string_lossy()));
                self.notice(Notice::Failed { transfer: local, path, reason: text.into() });
            }
            DownloadReport::Finished { path, files, failed, bytes } => {
                let begun = entry.begun;
                self.transfers.incoming.remove(&transfer);
                self.finished(local, PeerText::new(path.to_string_lossy()), Outcome { files, failed, bytes, begun });
                self.tell(Control::Complete { transfer, files, failed });
                self.actions.push(Action::ForgetDownload(transfer));
            }
            DownloadReport::Broken { reason, text } if matches!(entry.state, InState::Running) => {
                self.notice(Notice::Failed { transfer: local, path: None, reason: text.clone().into() });
                self.cancel_download(transfer, reason, &text);
            }
            DownloadReport::Broken { reason: Reason::Rule, text } => {
                self.decline_download(transfer, Reason::Rule, &text);
            }
            DownloadReport::Broken { reason, text } => {
                self.notice(Notice::Failed { transfer: local, path: None, reason: text.clone().into() });
                self.end_offer(transfer, reason, &text);
            }
            DownloadReport::Warning { text } => self.notice(Notice::Warning(text.into())),
        }
        self.go_on();
    }

    fn looked(&mut self, transfer: TransferId, list: &Manifest, clashes: u32, free: Option<u64>) {
        let Some(entry) = self.transfers.incoming.get(&transfer) else { return };
        let verified = self.with.as_ref().is_some_and(|with| with.trust == Trust::Verified);
        let rule = self.rules.accept;
        let takes = rule == AcceptRule::Always || (rule == AcceptRule::Verified && verified);
        let asks = rule == AcceptRule::Ask && !self.input_ended;
        let notice = Notice::Offer {
            transfer: entry.local,
            direction: Direction::In,
            name: PeerText::new(list.first_name()),
            more: u32::try_from(list.tops().count().saturating_sub(1)).unwrap_or(u32::MAX),
            files: entry.offer.files,
            folders: entry.offer.folders,
            bytes: entry.offer.bytes,
            clashes: Some(clashes),
            free,
            asks,
        };
        self.notice(notice);
        if takes {
            self.accept_download(transfer, None);
        } else if !asks {
            let text = match rule {
                AcceptRule::Never => "files are not taken here",
                AcceptRule::Verified => "files are only taken from verified peers here",
                AcceptRule::Ask | AcceptRule::Always => "nobody is there to ask",
            };
            self.decline_download(transfer, Reason::Rule, text);
        }
    }

    pub(in crate::session) fn accept_download(&mut self, transfer: TransferId, dest: Option<PathBuf>) {
        if let Some(entry) = self.transfers.incoming.get_mut(&transfer) {
            entry.state = InState::Preparing;
            self.actions.push(Action::AcceptDownload(transfer, dest, self.rules.on_clash));
        }
    }

    /// Declines an offer and says so to the user.
    pub(in crate::session) fn decline_download(&mut self, transfer: TransferId, reason: Reason, text: &str) {
        if let Some(entry) = self.transfers.incoming.get(&transfer) {
            let local = entry.local;
            self.notice(Notice::Declined { transfer: local, reason: words(reason, text), by_peer: false });
            self.end_offer(transfer, reason, text);
        }
    }

    fn end_offer(&mut self, transfer: TransferId, reason: Reason, text: &str) {
        self.ending(transfer);
        let text = at_most(text, REASON_TEXT).to_owned();
        self.tell(Control::Decline { transfer, reason, text });
    }

    /// Ends a transfer that was accepted.
    pub(in crate::session) fn cancel_download(&mut self, transfer: TransferId, reason: Reason, text: &str) {
        self.ending(transfer);
        let text = at_most(text, REASON_TEXT).to_owned();
        self.tell(Control::Cancel { transfer, reason, text, by_offerer: false });
    }

    fn ending(&mut self, transfer: TransferId) {
        if let Some(entry) = self.transfers.incoming.get_mut(&transfer) {
            entry.state = InState::Ending;
            entry.list = None;
            self.actions.push(Action::StopDownload(transfer));
        }
    }

    /// Nobody can answer any more: what waits for an answer is declined.
    pub(in crate::session) fn decline_unanswerable(&mut self) {
        if self.rules.accept == AcceptRule::Ask {
            self.decline_all(Reason::Rule, "nobody is there to ask");
        }
    }

    /// This side leaves: what waits for an answer is declined.
    pub(in crate::session) fn decline_open_offers(&mut self) {
        self.decline_all(Reason::Leaving, "");
    }

    fn decline_all(&mut self, reason: Reason, text: &str) {
        let open = |entry: &In| matches!(entry.state, InState::Listing | InState::Looking | InState::Asking);
        let open: Vec<_> = self.transfers.incoming.iter().filter(|(_, entry)| open(entry)).map(|(id, _)| *id).collect();
        for transfer in open {
            self.decline_download(transfer, reason, text);
        }
    }
}
