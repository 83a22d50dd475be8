//! A restart of the peer's program is a loss like any other: a new session goes on with what the old one left.
//!
//! 1. [`Session::take_over`], once the peer proved the same key: lines that were not acknowledged, own unfinished offers, and what
//!    this side's user consented to move into a new session. Streams fail.
//! 2. Its first connection ([`Session::connected`]): offers go out again under new numbers with the very same list; lines are sent again,
//!    by a script at once, else when the user says so, for one person may have two terminals.
//! 3. The peer's offers of the same lists are taken again without a question.

use super::phase::{Link, Phase};
use super::uploads::{OutState, Upload};
use super::{Action, Session};
use crate::command::SendSource;
use crate::notice::{Notice, Question};
use crate::protocol::frame::{Control, Digest, STREAM_BYTES, TransferId};
use std::path::PathBuf;

/// A line of the old session that the peer is not known to have.
#[derive(Debug)]
pub(super) struct CarriedLine {
    pub(super) id: u64,
    text: String,
    action: bool,
    /// It was sent, so the peer may have seen it.
    maybe_seen: bool,
}

/// What the old session received, or was to receive.
#[derive(Debug)]
pub(super) struct CarriedOffer {
    /// Its number in the old session.
    pub(super) was: TransferId,
    /// The user or a rule had accepted it, into this folder when one was named.
    pub(super) consent: Option<Option<PathBuf>>,
    /// Its end was told; only the offerer does not know.
    done: bool,
}

/// With the digests of their lists; one list may have been offered twice.
pub(super) type CarriedOffers = Vec<(Digest, CarriedOffer)>;

impl Session {
    /// The peer's program was restarted: becomes a new session under the same key, not yet connected, that goes on with what the old
    /// one left. No [`Action::Over`] comes of the old one.
    pub fn take_over(&mut self) {
        self.close_questions(|_| true);
        let mut lines = std::mem::take(&mut self.resend);
        lines.extend(self.outgoing.undelivered().filter_map(|(frame, maybe_seen)| match &frame.control {
            Control::Line { action, text } => {
                frame.line.map(|id| CarriedLine { id, text: text.clone(), action: *action, maybe_seen })
            }
            _ => None,
        }));
        let mut carried = std::mem::take(&mut self.carried);
        for (was, digest, consent) in self.downloads.finished() {
            carried.push((digest, CarriedOffer { was, consent: Some(consent), done: true }));
        }
        for (transfer, download) in std::mem::take(&mut self.downloads.open) {
            self.actions.push(Action::ForgetDownload(transfer));
            let accepted = download.is_wanted();
            if !download.is_told() {
                continue;
            }
            if download.offer.bytes == STREAM_BYTES {
                self.incomplete |= accepted;
                self.failed(transfer, "the peer's program was restarted");
                continue;
            }
            let consent = accepted.then_some(download.dest);
            carried.push((download.offer.digest, CarriedOffer { was: transfer, consent, done: false }));
        }
        let mut uploads = Vec::new();
        for (transfer, upload) in std::mem::take(&mut self.uploads.open) {
            let stream = match &upload.state {
                OutState::Scanning(source) => matches!(source, SendSource::Stream { .. }),
                _ => upload.offer.as_ref().is_some_and(|offer| offer.bytes == STREAM_BYTES),
            };
            match upload.state {
                OutState::Completing { .. } => {
                    self.actions.push(Action::DropUpload(transfer));
                    self.completed(transfer, upload, None);
                }
                _ if stream => {
                    self.actions.push(Action::DropUpload(transfer));
                    self.incomplete = true;
                    self.failed(transfer, "the peer's program was restarted, and a stream cannot be sent again");
                }
                _ => uploads.push((transfer, upload)),
            }
        }
        let mut next = Self::new(self.rules.clone(), self.numbers);
        next.now = self.now;
        next.phase = if let Phase::Leaving(reason) = self.phase { Phase::Leaving(reason) } else { Phase::Talking };
        next.wish = self.wish;
        next.peer = self.peer.take();
        next.link = Link::LostSince(self.now);
        next.input_ended = self.input_ended;
        next.incomplete = self.incomplete;
        next.paused = self.paused;
        next.actions = std::mem::take(&mut self.actions);
        next.resend = lines;
        next.carried = carried;
        next.reoffers = uploads;
        next.restarted = true;
        *self = next;
    }

    /// Offers again, and sends again what needs no question.
    pub(super) fn go_on_after_restart(&mut self) {
        for (old, upload) in std::mem::take(&mut self.reoffers) {
            // A number that no notice named needs no other end.
            let named = matches!(upload.state, OutState::Offered | OutState::Running);
            let was = if named { Some(old) } else { upload.was };
            let Some(new) = self.next_own_number() else {
                self.actions.push(Action::DropUpload(old));
                self.incomplete = true;
                self.failed(was.unwrap_or(old), "no number is left for it");
                continue;
            };
            let state = match upload.state {
                OutState::Scanning(source) => {
                    // Its report may be under way under the old number.
                    self.actions.push(Action::DropUpload(old));
                    self.actions.push(Action::Scan(new, source.clone()));
                    OutState::Scanning(source)
                }
                _ => {
                    self.actions.push(Action::RenumberUpload { old, new });
                    OutState::Held
                }
            };
            self.uploads.open.insert(new, Upload { state, was, begun: self.now, may_restart: false, ..upload });
        }
        self.release_offers();
        let lines = self.resend.len();
        if lines > 0 && self.rules.interactive && !self.is_leaving() {
            self.ask(Question::Resend { lines });
        } else if lines > 0 {
            self.resend_lines();
        }
    }

    pub(super) fn resend_lines(&mut self) {
        let lines = std::mem::take(&mut self.resend);
        let maybe_seen = lines.iter().filter(|line| line.maybe_seen).count();
        self.notice(Notice::Resent { lines: lines.len(), maybe_seen });
        for line in lines {
            self.queue_line(line.id, line.text, line.action);
        }
    }

    /// The user does not want them sent again.
    pub(super) fn drop_resend(&mut self) {
        let ids: Vec<u64> = std::mem::take(&mut self.resend).iter().map(|line| line.id).collect();
        self.notice(Notice::Undelivered { lines: ids.len(), ids });
    }

    /// What was never offered again has its end now.
    pub(super) fn end_carried(&mut self, why: &str) {
        for (_, offer) in std::mem::take(&mut self.carried) {
            if !offer.done {
                self.incomplete |= offer.consent.is_some();
                self.cut(offer.was, why);
            }
        }
        for (old, _) in std::mem::take(&mut self.reoffers) {
            self.actions.push(Action::DropUpload(old));
            self.incomplete = true;
            self.cut(old, why);
        }
    }
}
