//! Offers and transfers: who offered what, what was answered, how it ended.
//!
//! Invariant: every offer of either side ends exactly once, in one notice, and its number is never used again. No byte of a file
//! passes here: workers move them, and report.
//!
//! 1. Out: survey → offer and list → the peer's answer → data → the peer's COMPLETE.
//! 2. In: offer → list → a look at the disk → the user's or a rule's answer → ready → data → COMPLETE.
//! 3. A receiver that ends a transfer keeps it as `Ending` until the offerer confirms, so that late data is no fault.

use super::{AcceptRule, Action, Fault, Session};
use crate::command::SendArgs;
use crate::frame::{
    Control, Digest, FILE_END_WEIGHT, OPEN_TRANSFERS, Offer, Position, REASON_TEXT, Reason, TransferId, at_most,
};
use crate::transfer::list::List;
use crate::transfer::receive::DownloadReport;
use crate::transfer::send::UploadReport;
use crate::ui::{Direction, Notice, PeerText, SafeText, TransferInfo, Trust};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of lists that offers may hold in memory before one of them is answered.
const OPEN_LIST_BYTES: u64 = 16 << 20;
/// Skipped files that are named one by one; the rest is counted.
const SKIPPED_NAMED: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutState {
    Surveying,
    /// Surveyed; an earlier survey is still going on, and offers go out in the order they were asked for.
    Held,
    Offered,
    Running,
}

#[derive(Debug)]
struct Out {
    local: u32,
    state: OutState,
    name: PeerText,
    offer: Option<Offer>,
    begun: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InState {
    Listing,
    Looking,
    Asking,
    Preparing,
    Running,
    Ending,
}

#[derive(Debug)]
struct In {
    local: u32,
    state: InState,
    offer: Offer,
    list: Option<Arc<List>>,
    begun: Duration,
}

/// All transfers of a session.
#[derive(Debug)]
pub(super) struct Transfers {
    next_local: u32,
    last_out: TransferId,
    last_in: TransferId,
    out: BTreeMap<TransferId, Out>,
    incoming: BTreeMap<TransferId, In>,
    failed: bool,
}

impl Transfers {
    pub(super) fn new(first_local: u32) -> Self {
        Self {
            next_local: first_local,
            last_out: 0,
            last_in: 0,
            out: BTreeMap::new(),
            incoming: BTreeMap::new(),
            failed: false,
        }
    }

    pub(super) fn next_local(&self) -> u32 {
        self.next_local
    }

    /// Whether a transfer that this side asked for did not succeed.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    /// Whether something is on its way that a polite farewell waits for: own sends, and what this side accepted.
    pub(super) fn any_wanted(&self) -> bool {
        let wanted = |entry: &In| matches!(entry.state, InState::Preparing | InState::Running);
        !self.out.is_empty() || self.incoming.values().any(wanted)
    }

    /// Whether data moves.
    pub(super) fn any_running(&self) -> bool {
        self.out.values().any(|out| out.state == OutState::Running)
            || self.incoming.values().any(|entry| entry.state == InState::Running)
    }

    /// The offer that the user answers: the one named, or the only open one.
    pub(super) fn asking(&self, local: Option<u32>) -> Result<TransferId, String> {
        let mut asking = self.incoming.iter().filter(|(_, entry)| entry.state == InState::Asking);
        match local {
            Some(local) => asking
                .find(|(_, entry)| entry.local == local)
                .map(|(id, _)| *id)
                .ok_or_else(|| format!("transfer {local} is not waiting for an answer\n/transfers lists what is open")),
            None => match (asking.next(), asking.next()) {
                (Some((id, _)), None) => Ok(*id),
                (None, _) => Err("no offer is waiting for an answer".into()),
                (Some(_), Some(_)) => Err("several offers are waiting\nname one: /accept ID, /decline ID".into()),
            },
        }
    }

    /// The names in a transfer's list, once it is known.
    pub(super) fn names(&self, local: u32) -> Option<Vec<(PeerText, Option<u64>)>> {
        let list = self.incoming.values().find(|entry| entry.local == local)?.list.as_ref()?;
        Some(list.names().map(|(path, size)| (PeerText::new(path), size)).collect())
    }

    fn local(&mut self) -> u32 {
        let local = self.next_local;
        self.next_local += 1;
        local
    }

    fn open_list_bytes(&self) -> u64 {
        let holds = |entry: &&In| matches!(entry.state, InState::Listing | InState::Looking | InState::Asking);
        self.incoming.values().filter(holds).map(|entry| u64::from(entry.offer.list)).sum()
    }
}

/// What the executor knows of a running transfer, to show it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moved {
    /// Bytes of file data with the receiver.
    pub bytes: u64,
    /// Files finished.
    pub files: u32,
}

impl Session {
    /// The open transfers, for `/transfers` and for progress; `moved` tells how far each is.
    pub fn transfers(&self, moved: impl Fn(Direction, TransferId) -> Moved) -> Vec<TransferInfo> {
        let out = self.transfers.out.iter().map(|(id, out)| {
            let moved = moved(Direction::Out, *id);
            TransferInfo {
                transfer: out.local,
                direction: Direction::Out,
                name: out.name.clone(),
                state: match out.state {
                    OutState::Surveying | OutState::Held => "preparing",
                    OutState::Offered => "offered",
                    OutState::Running => "running",
                },
                bytes: moved.bytes,
                total: out.offer.as_ref().map_or(0, |offer| offer.bytes),
                files_done: moved.files,
                files: out.offer.as_ref().map_or(0, |offer| offer.files),
            }
        });
        let shown = self.transfers.incoming.iter().filter(|(_, entry)| entry.state != InState::Ending);
        let incoming = shown.map(|(id, entry)| {
            let moved = moved(Direction::In, *id);
            TransferInfo {
                transfer: entry.local,
                direction: Direction::In,
                name: entry.list.as_ref().map_or_else(|| PeerText::new(""), |list| PeerText::new(list.first_name())),
                state: match entry.state {
                    InState::Listing | InState::Looking => "arriving",
                    InState::Asking => "asking",
                    InState::Preparing => "preparing",
                    InState::Running | InState::Ending => "running",
                },
                bytes: moved.bytes,
                total: entry.offer.bytes,
                files_done: moved.files,
                files: entry.offer.files,
            }
        });
        out.chain(incoming).collect()
    }

    /// `/send`: have it surveyed.
    pub(super) fn send_files(&mut self, args: SendArgs) {
        if self.is_leaving() {
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
            Out { local, state: OutState::Surveying, name: PeerText::new(""), offer: None, begun: self.now };
        self.transfers.out.insert(transfer, out);
        self.actions.push(Action::Survey(transfer, args));
    }

    /// An upload worker reports.
    pub fn upload(&mut self, transfer: TransferId, report: UploadReport) {
        let Some(out) = self.transfers.out.get_mut(&transfer) else { return };
        let local = out.local;
        match report {
            UploadReport::Surveyed { offer, name, more, skipped } => {
                out.state = OutState::Held;
                out.name = PeerText::new(name);
                out.offer = Some(offer.clone());
                let notice = Notice::Offer {
                    transfer: local,
                    direction: Direction::Out,
                    name: out.name.clone(),
                    more,
                    files: offer.files,
                    folders: offer.folders,
                    bytes: offer.bytes,
                    clashes: None,
                    free: None,
                    asks: false,
                };
                self.skipped(&skipped);
                self.notice(notice);
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
        }
        self.release_offers();
        self.go_on();
    }

    /// Names what a survey left out, the first few of them.
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
        for (transfer, out) in &mut self.transfers.out {
            match (out.state, &out.offer) {
                (OutState::Surveying, _) => break,
                (OutState::Held, Some(offer)) => {
                    out.state = OutState::Offered;
                    self.outgoing.push(Control::Offer { transfer: *transfer, offer: offer.clone() });
                }
                _ => {}
            }
        }
    }

    pub(super) fn peer_accepted(&mut self, transfer: TransferId, position: Position, digest: Digest) {
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

    pub(super) fn peer_declined(&mut self, transfer: TransferId, reason: Reason, text: &str) {
        if let Some(out) = self.transfers.out.remove(&transfer) {
            self.transfers.failed = true;
            self.notice(Notice::Declined { transfer: out.local, reason: words(reason, text), by_peer: true });
            self.confirm_end(transfer);
        }
    }

    pub(super) fn peer_completed(&mut self, transfer: TransferId, files: u32, failed: u32) {
        self.actions.push(Action::DropUpload(transfer));
        let Some(out) = self.transfers.out.remove(&transfer) else { return };
        let bytes = out.offer.map_or(0, |offer| offer.bytes);
        self.transfers.failed |= failed > 0;
        self.finished(out.local, out.name, Outcome { files, failed, bytes, begun: out.begun });
    }

    pub(super) fn peer_cancelled(&mut self, transfer: TransferId, reason: Reason, text: &str, by_offerer: bool) {
        if !by_offerer {
            if let Some(out) = self.transfers.out.remove(&transfer) {
                self.transfers.failed = true;
                let reason = words(reason, text);
                self.notice(Notice::Cancelled { transfer: out.local, reason, by_peer: true });
                self.confirm_end(transfer);
            }
            return;
        }
        if let Some(entry) = self.transfers.incoming.remove(&transfer) {
            if entry.state != InState::Ending {
                let reason = words(reason, text);
                self.notice(Notice::Cancelled { transfer: entry.local, reason, by_peer: true });
            }
            self.actions.push(Action::ForgetDownload(transfer));
        }
    }

    /// Answers the receiver's end of a transfer: nothing more is sent for it.
    fn confirm_end(&mut self, transfer: TransferId) {
        self.actions.push(Action::DropUpload(transfer));
        self.outgoing.push(Control::Cancel {
            transfer,
            reason: Reason::Confirmed,
            text: String::new(),
            by_offerer: true,
        });
    }

    pub(super) fn offered(&mut self, transfer: TransferId, offer: Offer) -> Result<(), Fault> {
        if transfer <= self.transfers.last_in {
            return Err(Fault::OfferNumber(transfer));
        }
        if self.transfers.incoming.len() >= OPEN_TRANSFERS {
            return Err(Fault::TooManyTransfers);
        }
        self.transfers.last_in = transfer;
        let too_much = self.transfers.open_list_bytes() + u64::from(offer.list) > OPEN_LIST_BYTES;
        let local = self.transfers.local();
        let entry = In { local, state: InState::Listing, offer: offer.clone(), list: None, begun: self.now };
        self.transfers.incoming.insert(transfer, entry);
        self.actions.push(Action::OpenList(transfer, offer));
        if too_much {
            self.decline_download(transfer, Reason::TooMuch, "too many names are waiting for an answer");
        } else if self.is_leaving() {
            self.decline_download(transfer, Reason::Leaving, "");
        }
        Ok(())
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
            DownloadReport::Ready { position, digest } => {
                entry.state = InState::Running;
                entry.begun = self.now;
                self.notice(Notice::Accepted { transfer: local });
                self.outgoing.push(Control::Accept { transfer, position, digest });
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
                self.outgoing.push(Control::Complete { transfer, files, failed });
                self.actions.push(Action::ForgetDownload(transfer));
            }
            DownloadReport::Broken { reason, text } if matches!(entry.state, InState::Running) => {
                self.notice(Notice::Failed { transfer: local, path: None, reason: text.clone().into() });
                self.cancel_download(transfer, reason, &text);
            }
            DownloadReport::Broken { reason, text } => {
                self.notice(Notice::Failed { transfer: local, path: None, reason: text.clone().into() });
                self.end_offer(transfer, reason, &text);
            }
            DownloadReport::Note(text) => self.notice(Notice::Warning(text.into())),
        }
        self.go_on();
    }

    fn looked(&mut self, transfer: TransferId, list: &List, clashes: u32, free: Option<u64>) {
        let Some(entry) = self.transfers.incoming.get(&transfer) else { return };
        let verified = self.with.as_ref().is_some_and(|with| with.trust == Trust::Verified);
        let rule = self.rules.accept;
        let takes = rule == AcceptRule::Always || (rule == AcceptRule::Verified && verified);
        let asks = rule == AcceptRule::Ask && !self.input_ended;
        let notice = Notice::Offer {
            transfer: entry.local,
            direction: Direction::In,
            name: PeerText::new(list.first_name()),
            more: list.top_level().saturating_sub(1),
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

    pub(super) fn accept_download(&mut self, transfer: TransferId, dest: Option<PathBuf>) {
        if let Some(entry) = self.transfers.incoming.get_mut(&transfer) {
            entry.state = InState::Preparing;
            self.actions.push(Action::AcceptDownload(transfer, dest, self.rules.on_clash));
        }
    }

    /// Declines an offer and says so to the user.
    pub(super) fn decline_download(&mut self, transfer: TransferId, reason: Reason, text: &str) {
        if let Some(entry) = self.transfers.incoming.get(&transfer) {
            let local = entry.local;
            self.notice(Notice::Declined { transfer: local, reason: words(reason, text), by_peer: false });
            self.end_offer(transfer, reason, text);
        }
    }

    fn end_offer(&mut self, transfer: TransferId, reason: Reason, text: &str) {
        self.ending(transfer);
        let text = at_most(text, REASON_TEXT).to_owned();
        self.outgoing.push(Control::Decline { transfer, reason, text });
    }

    /// Ends a transfer that was accepted.
    fn cancel_download(&mut self, transfer: TransferId, reason: Reason, text: &str) {
        self.ending(transfer);
        let text = at_most(text, REASON_TEXT).to_owned();
        self.outgoing.push(Control::Cancel { transfer, reason, text, by_offerer: false });
    }

    fn ending(&mut self, transfer: TransferId) {
        if let Some(entry) = self.transfers.incoming.get_mut(&transfer) {
            entry.state = InState::Ending;
            entry.list = None;
            self.actions.push(Action::StopDownload(transfer));
        }
    }

    /// `/cancel`: the transfer named, or the only one.
    pub(super) fn cancel(&mut self, local: Option<u32>) {
        let out = self.transfers.out.iter().map(|(id, out)| (Direction::Out, *id, out.local));
        let open = self.transfers.incoming.iter().filter(|(_, entry)| entry.state != InState::Ending);
        let mut found = out
            .chain(open.map(|(id, entry)| (Direction::In, *id, entry.local)))
            .filter(|(_, _, number)| local.is_none_or(|local| local == *number));
        let only = match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(local.map_or_else(
                || "no transfer is open".to_owned(),
                |local| format!("there is no open transfer {local}\n/transfers lists what is open"),
            )),
            (Some(_), Some(_)) => Err("several transfers are open\nname one: /cancel ID".to_owned()),
        };
        match only {
            Err(text) => self.error("no-such-transfer", text),
            Ok((Direction::Out, transfer, local)) => self.cancel_upload(transfer, local),
            Ok((Direction::In, transfer, local)) => {
                let asking = |entry: &In| matches!(entry.state, InState::Listing | InState::Looking | InState::Asking);
                if self.transfers.incoming.get(&transfer).is_some_and(asking) {
                    self.decline_download(transfer, Reason::User, "");
                } else {
                    let reason = words(Reason::User, "");
                    self.notice(Notice::Cancelled { transfer: local, reason, by_peer: false });
                    self.cancel_download(transfer, Reason::User, "");
                }
            }
        }
    }

    fn cancel_upload(&mut self, transfer: TransferId, local: u32) {
        let Some(out) = self.transfers.out.remove(&transfer) else { return };
        self.transfers.failed = true;
        let reason = words(Reason::User, "");
        self.notice(Notice::Cancelled { transfer: local, reason, by_peer: false });
        self.actions.push(Action::DropUpload(transfer));
        if matches!(out.state, OutState::Surveying | OutState::Held) {
            // The peer never heard of it.
            return self.release_offers();
        }
        let (reason, text) = (Reason::User, String::new());
        self.outgoing.push(Control::Cancel { transfer, reason, text, by_offerer: true });
    }

    /// Nobody can answer any more: what waits for an answer is declined.
    pub(super) fn decline_unanswerable(&mut self) {
        if self.rules.accept == AcceptRule::Ask {
            self.decline_all(Reason::Rule, "nobody is there to ask");
        }
    }

    /// This side leaves: what waits for an answer is declined.
    pub(super) fn decline_open_offers(&mut self) {
        self.decline_all(Reason::Leaving, "");
    }

    fn decline_all(&mut self, reason: Reason, text: &str) {
        let asking = self.transfers.incoming.iter().filter(|(_, entry)| entry.state == InState::Asking);
        let asking: Vec<_> = asking.map(|(id, _)| *id).collect();
        for transfer in asking {
            self.decline_download(transfer, reason, text);
        }
    }

    /// The session ends: every open transfer fails, partials are kept.
    pub(super) fn stop_transfers(&mut self, why: &str) {
        for (transfer, out) in std::mem::take(&mut self.transfers.out) {
            self.transfers.failed = true;
            self.notice(Notice::Failed { transfer: out.local, path: None, reason: why.into() });
            self.actions.push(Action::DropUpload(transfer));
        }
        for (transfer, entry) in std::mem::take(&mut self.transfers.incoming) {
            if entry.state != InState::Ending {
                self.notice(Notice::Failed { transfer: entry.local, path: None, reason: why.into() });
            }
            self.actions.push(Action::StopDownload(transfer));
        }
    }

    fn finished(&mut self, transfer: u32, path: PeerText, outcome: Outcome) {
        let Outcome { files, failed, bytes, begun } = outcome;
        if failed > 0 {
            let reason = if files == 0 {
                SafeText::from("no file of it was published")
            } else {
                SafeText::from(format!("{failed} of {} files were not published", u64::from(files) + u64::from(failed)))
            };
            return self.notice(Notice::Failed { transfer, path: None, reason });
        }
        let seconds = self.now.saturating_sub(begun).as_secs_f64();
        self.notice(Notice::Done { transfer, path, files, bytes, seconds });
    }
}

struct Outcome {
    files: u32,
    failed: u32,
    bytes: u64,
    begun: Duration,
}

/// Why a transfer ended, in words; the peer's own text after them.
fn words(reason: Reason, text: &str) -> SafeText {
    let reason = match reason {
        Reason::Confirmed => "confirmed",
        Reason::User => "by the user",
        Reason::Rule => "by a rule",
        Reason::TooMuch => "too much at once",
        Reason::Names => "names that cannot be taken",
        Reason::Space => "not enough space",
        Reason::Io => "a read or write failed",
        Reason::Changed => "the source changed",
        Reason::Leaving => "leaving",
    };
    if text.is_empty() { reason.into() } else { format!("{reason}: {text}").into() }
}

fn hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}
