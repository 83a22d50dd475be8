//! What this side receives: offer → list → a look at the disk → the user's or a rule's answer → ready → data → COMPLETE.
//!
//! A transfer that this side ended stays as `Ending` until the offerer confirms, for until then it counts as open.

use super::transfer_notices::{Outcome, first_name, known_bytes, local, more};
use super::{AcceptRule, Action, Session};
use crate::keys::hex;
use crate::notice::{Direction, Notice, Question, Side, Stop, Trust};
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Control, OPEN_TRANSFERS, Offer, REASON_TEXT, Reason, TransferId, at_most};
use crate::text::PeerText;
use crate::transfer::download::{AcceptedOffer, Broken, DownloadReport, Looked, Published, Totals};
use crate::transfer::flow_control::RouteStart;
use crate::transfer::manifest::Manifest;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// For both people, of an offer under [`AcceptRule::Ask`].
const NOBODY_TO_ASK: &str = "nobody is there to answer (--accept always takes files without asking)";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InState {
    Listing,
    Looking,
    Asking,
    Preparing,
    Running,
    Ending,
}

#[derive(Debug)]
pub(super) struct Download {
    pub(super) state: InState,
    pub(super) offer: Offer,
    pub(super) list: Option<Arc<Manifest>>,
    /// For the data, from the worker's being ready until ACCEPT is queued.
    pub(super) start: Option<RouteStart>,
    /// The folder that the user named, or that an earlier run used.
    pub(super) dest: Option<PathBuf>,
    /// Where what came stays until it is whole, for when the same is offered again.
    pub(super) part: Option<PathBuf>,
    /// When this state's work began: the look, or the data.
    begun: Duration,
    /// Bytes that it takes from the disk, as the look said.
    needed: u64,
}

impl Download {
    /// It was accepted, and this side has not ended it.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.state, InState::Preparing | InState::Running)
    }

    /// The user heard of the offer, and not of its end.
    pub(super) fn is_told(&self) -> bool {
        matches!(self.state, InState::Asking | InState::Preparing | InState::Running)
    }

    fn is_unanswered(&self) -> bool {
        matches!(self.state, InState::Listing | InState::Looking | InState::Asking)
    }

    /// What has to be known of it when it is not open any more.
    pub(super) fn without_list(self) -> Self {
        Self { list: None, start: None, ..self }
    }
}

impl Session {
    /// Those that wait for the user's answer.
    pub(super) fn asking(&self) -> impl Iterator<Item = (TransferId, &Download)> {
        let asking = self.downloads.iter().filter(|(_, download)| download.state == InState::Asking);
        asking.map(|(transfer, download)| (*transfer, download))
    }

    /// # Errors
    /// When the number is not one for the peer's next offer. (How many stay unconfirmed, the flow control counts.)
    pub(super) fn offered(&mut self, transfer: TransferId, offer: Offer) -> Result<(), ProtocolError> {
        let second = self.rules.accept == AcceptRule::One && self.transfer_numbers.has_peer_offered();
        self.transfer_numbers.peer_offer(transfer)?;
        self.numbers.met(transfer);
        if self.is_closing() {
            // It crossed our BYE, which ended all transfers.
            self.drop_download(transfer, false, false);
            return Ok(());
        }
        let too_many = self.downloads.len() >= OPEN_TRANSFERS;
        let state = InState::Listing;
        let (list, start, dest, part) = (None, None, None, None);
        let download = Download { state, offer, list, start, dest, part, begun: self.now, needed: 0 };
        self.downloads.insert(transfer, download);
        if self.is_leaving() {
            self.decline_download(transfer, Reason::Leaving, "");
        } else if too_many {
            self.decline_download(transfer, Reason::TooMuch, "too many transfers are open");
        } else if second {
            self.decline_download(transfer, Reason::Rule, "only one transfer is taken here");
        }
        Ok(())
    }

    /// The flow control has no room for the list of this offer.
    pub fn too_much(&mut self, transfer: TransferId) {
        if self.downloads.get(&transfer).is_some_and(|download| download.state == InState::Listing) {
            self.decline_download(transfer, Reason::TooMuch, "too much is waiting for an answer");
        }
        self.advance();
    }

    /// The list of an offer is complete.
    pub fn listed(&mut self, transfer: TransferId, list: Vec<u8>) {
        if let Some(download) = self.downloads.get_mut(&transfer)
            && download.state == InState::Listing
        {
            download.state = InState::Looking;
            download.begun = self.now;
            self.actions.push(Action::StartDownload(transfer, download.offer.clone(), list));
        }
        self.advance();
    }

    /// The download worker reports.
    pub fn download(&mut self, transfer: TransferId, report: DownloadReport) {
        let Some(download) = self.downloads.get_mut(&transfer) else { return };
        match (download.state, report) {
            (InState::Ending, _) => return,
            (InState::Looking, DownloadReport::Looked(looked)) => self.looked(transfer, looked),
            (_, DownloadReport::Unacceptable { reason, text }) => self.decline_download(transfer, reason, &text),
            (InState::Preparing, DownloadReport::NoSuchFolder { text }) => {
                download.state = InState::Asking;
                download.dest = None;
                self.error("no-such-folder", &text);
                if self.may_ask() {
                    self.ask_to_accept(transfer, true);
                } else {
                    self.decline_download(transfer, Reason::Io, "the folder for it cannot be used");
                }
            }
            (InState::Preparing, DownloadReport::Ready { digest, start, part }) => {
                download.state = InState::Running;
                download.begun = self.now;
                let position = start.position;
                let goes_on = start.manifest.progress(position).0 > 0;
                download.start = Some(start);
                download.part = part;
                if goes_on {
                    let place = download.dest.as_ref().map(|dest| format!(" in {}", dest.display())).unwrap_or_default();
                    let text = format!("transfer {transfer} goes on{place} where an earlier one stopped");
                    self.notice(Notice::Status(text));
                }
                self.notice(Notice::Accepted { transfer });
                self.left_out_by_peer(transfer);
                self.queue(Control::Accept { transfer, position, digest });
            }
            (_, DownloadReport::Published(published)) => {
                for published in published {
                    self.published(transfer, published);
                }
            }
            (InState::Running, DownloadReport::Finished { totals, wire_bytes }) => {
                let Totals { path, files, failed, bytes } = totals;
                let (more, begun) = (more(&download.list), download.begun);
                download.state = InState::Ending;
                let complete = self.downloads.remove(&transfer).map(Download::without_list);
                self.completed.extend(complete.map(|download| (transfer, download)));
                if self.rules.accept == AcceptRule::One && failed == 0 {
                    self.incomplete = false;
                }
                let outcome = Outcome { path: local(&path), more, files, failed, bytes, wire_bytes: Some(wire_bytes), begun };
                self.finished(Direction::In, transfer, outcome);
                self.queue(Control::Complete { transfer, files, failed });
                self.actions.push(Action::EndFlow { transfer, confirmed: true });
            }
            (state, DownloadReport::Broken(Broken { reason, text, told, part })) => {
                self.incomplete |= download.is_wanted();
                let part = part.as_deref().map(local);
                self.close_accept_question(transfer);
                self.notice(Notice::Failed { transfer, path: None, reason: text.into(), part, cut: false });
                self.end_download(transfer, false);
                let text = at_most(&told, REASON_TEXT).to_owned();
                self.queue(match state {
                    InState::Running => Control::Cancel { transfer, reason, text },
                    _ => Control::Decline { transfer, reason, text },
                });
            }
            (_, DownloadReport::Warning { text }) => self.notice(Notice::Warning(text.into())),
            // Out of turn: its transfer went on without it.
            (_, DownloadReport::Looked(_))
            | (_, DownloadReport::NoSuchFolder { .. })
            | (_, DownloadReport::Ready { .. })
            // The event loop's.
            | (_, DownloadReport::Fault(_))
            | (_, DownloadReport::Finished { .. }) => {}
        }
        self.advance();
    }

    fn published(&mut self, transfer: TransferId, published: Published) {
        match published {
            Published::Top(path) => self.notice(Notice::Published(local(&path))),
            Published::File { path, bytes, digest, offered } => {
                let offered = offered.map(PeerText::new);
                self.notice(Notice::File { transfer, path: local(&path), bytes, blake3: hex(&digest), offered });
            }
            Published::Failed { offered, text } => self.file_failed(transfer, PeerText::new(offered), text),
        }
    }

    fn left_out_by_peer(&mut self, transfer: TransferId) {
        let list = self.downloads.get(&transfer).and_then(|download| download.list.clone());
        let Some(manifest) = list else { return };
        for omitted in manifest.omitted() {
            let path = Some(PeerText::new(omitted.path.clone())).filter(|_| !omitted.path.is_empty());
            let count = usize::try_from(omitted.count).unwrap_or(usize::MAX);
            let reason = if path.is_some() { omitted.reason().into() } else { "".into() };
            self.notice(Notice::LeftOut { transfer, path, count, reason });
        }
    }

    /// Whether somebody can answer.
    fn may_ask(&self) -> bool {
        self.rules.accept == AcceptRule::Ask && !self.input_ended && !self.is_leaving()
    }

    fn looked(&mut self, transfer: TransferId, looked: Looked) {
        let Looked { manifest, clashes, free, needed, recorded_dest, elsewhere } = looked;
        // The look knew of those whose data was coming when it began.
        let begun = self.downloads.get(&transfer).map(|download| download.begun);
        let unseen = |download: &&Download| download.is_wanted() && Some(download.begun) >= begun;
        let promised = self.downloads.values().filter(unseen).map(|download| download.needed);
        let promised = promised.fold(0, u64::saturating_add);
        let free = free.map(|free| free.saturating_sub(promised));
        let Some(download) = self.downloads.get_mut(&transfer) else { return };
        download.state = InState::Asking;
        download.list = Some(manifest);
        download.dest = recorded_dest;
        download.needed = needed;
        let place = self.carried.iter().position(|(_, carried)| carried.offer.digest == download.offer.digest);
        let (was, carried) = place.map(|place| self.carried.remove(place)).unzip();
        let consent = carried.filter(|carried| carried.state != InState::Asking).map(|carried| carried.dest);
        let verified = self.peer.as_ref().is_some_and(|peer| peer.trust == Trust::Verified);
        let notice = Notice::Offer {
            transfer,
            direction: Direction::In,
            name: first_name(&download.list),
            more: more(&download.list),
            files: download.offer.files,
            folders: download.offer.folders,
            bytes: known_bytes(&download.offer),
            clashes: Some(clashes),
            free,
            was,
        };
        self.notice(notice);
        if let Some(elsewhere) = elsewhere {
            let place = elsewhere.display();
            let text =
                format!("transfer {transfer} begins anew: the part in {place} goes on only when it is received there");
            self.notice(Notice::Warning(text.into()));
        }
        let takes = match self.rules.accept {
            AcceptRule::Always | AcceptRule::One => true,
            AcceptRule::Verified => verified,
            AcceptRule::Ask | AcceptRule::Never => false,
        };
        if let Some(dest) = consent {
            self.accept_download(transfer, dest);
        } else if takes && free.is_some_and(|free| free < needed) {
            let text = format!("{needed} bytes are needed, {} are free", free.unwrap_or(0));
            self.decline_download(transfer, Reason::Space, &text);
        } else if takes {
            self.accept_download(transfer, None);
        } else if self.may_ask() {
            self.ask_to_accept(transfer, false);
        } else {
            let text = match self.rules.accept {
                AcceptRule::Never => "files are not taken here: --accept never",
                AcceptRule::Verified => "files are only taken from verified peers here: --accept verified",
                AcceptRule::Ask | AcceptRule::Always | AcceptRule::One => NOBODY_TO_ASK,
            };
            self.decline_download(transfer, Reason::Rule, text);
        }
    }

    fn ask_to_accept(&mut self, transfer: TransferId, again: bool) {
        if let Some(download) = self.downloads.get(&transfer) {
            let (name, more, dest) = (first_name(&download.list), more(&download.list), download.dest.clone());
            self.ask(Question::Accept { transfer, name, more, dest, again });
        }
    }

    pub(super) fn close_accept_question(&mut self, gone: TransferId) {
        self.close_questions(|question| matches!(question, Question::Accept { transfer, .. } if *transfer == gone));
    }

    /// Into `dest`, or the folder of an earlier run, or the usual one.
    pub(super) fn accept_download(&mut self, transfer: TransferId, dest: Option<PathBuf>) {
        self.close_accept_question(transfer);
        if let Some(download) = self.downloads.get_mut(&transfer)
            && download.state == InState::Asking
            && let Some(manifest) = download.list.clone()
        {
            download.state = InState::Preparing;
            download.begun = self.now;
            download.dest = dest.or(download.dest.take());
            let (digest, dest) = (download.offer.digest, download.dest.clone());
            self.actions.push(Action::AcceptDownload(transfer, AcceptedOffer { manifest, digest, dest }));
        }
    }

    /// Declines an offer and says so to the user.
    pub(super) fn decline_download(&mut self, transfer: TransferId, reason: Reason, text: &str) {
        let Some(download) = self.downloads.get(&transfer) else { return };
        // What was taken by a rule or this user, and cannot be, was asked for.
        self.incomplete |= download.is_wanted() || reason == Reason::Space;
        self.close_accept_question(transfer);
        self.notice(Notice::Stopped { transfer, how: Stop::Declined, by: Side::Own, reason, detail: text.into() });
        self.end_download(transfer, false);
        self.queue(Control::Decline { transfer, reason, text: at_most(text, REASON_TEXT).to_owned() });
    }

    /// `/cancel` of this side's user: what came goes, too.
    pub(super) fn cancel_download_by_user(&mut self, transfer: TransferId) {
        let Some(download) = self.downloads.get(&transfer) else { return };
        if download.is_unanswered() {
            return self.decline_download(transfer, Reason::User, "");
        }
        self.incomplete = true;
        let reason = Reason::User;
        self.notice(Notice::Stopped { transfer, how: Stop::Cancelled, by: Side::Own, reason, detail: "".into() });
        self.end_download(transfer, true);
        self.queue(Control::Cancel { transfer, reason, text: String::new() });
    }

    fn end_download(&mut self, transfer: TransferId, remove: bool) {
        if let Some(download) = self.downloads.get_mut(&transfer) {
            download.state = InState::Ending;
            download.list = None;
            download.start = None;
            self.drop_download(transfer, false, remove);
        }
    }

    /// No more data comes, and the worker ends it. `confirmed`: the offerer knows.
    pub(super) fn drop_download(&mut self, transfer: TransferId, confirmed: bool, remove: bool) {
        self.actions.push(Action::EndFlow { transfer, confirmed });
        self.actions.push(Action::CancelDownload { transfer, remove });
    }

    /// Nobody can answer any more: what waits for an answer is declined.
    pub(super) fn decline_unanswerable(&mut self) {
        if self.rules.accept == AcceptRule::Ask {
            self.decline_all(Reason::Rule, NOBODY_TO_ASK);
        }
    }

    /// Declines what waits for an answer.
    pub(super) fn decline_all(&mut self, reason: Reason, text: &str) {
        let open = self.downloads.iter().filter(|(_, download)| download.is_unanswered());
        let open: Vec<TransferId> = open.map(|(transfer, _)| *transfer).collect();
        for transfer in open {
            self.decline_download(transfer, reason, text);
        }
    }
}
