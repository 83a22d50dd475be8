//! A restart of the peer's program is a loss like any other: a new session goes on with what the old one left.
//!
//! 1. [`Session::take_over`], once the peer proved the same key: lines that were not acknowledged, own unfinished offers, and what
//!    this side's user consented to go on. Streams fail.
//! 2. [`Session::go_on_after_restart`], on the new session's first connection: offers go out again under new numbers with the very same
//!    list; lines are sent again, by a script at once, else when the user says so, for one person may have two terminals.
//! 3. The peer's offers of the same lists are taken again without a question.

use super::delivery::{Incoming, Outgoing};
use super::phase::Phase;
use super::uploads::{OutState, Upload};
use super::{Action, Session};
use crate::command::SendSource;
use crate::notice::{Notice, Question};
use crate::protocol::frame::{STREAM_BYTES, TransferId};
use std::collections::BTreeMap;

impl Session {
    /// The peer's program was restarted: becomes a new session under the same key, and gives what is to be offered again. No
    /// [`Action::Over`] comes of the old one.
    pub(super) fn take_over(&mut self) -> BTreeMap<TransferId, Upload> {
        self.close_questions(|_| true);
        let undelivered = self.outgoing.undelivered().filter(|(frame, _)| frame.line.is_some());
        self.resend.extend(undelivered.map(|(frame, maybe_seen)| (frame.clone(), maybe_seen)));
        self.carried.extend(std::mem::take(&mut self.completed));
        for (transfer, download) in std::mem::take(&mut self.downloads) {
            self.drop_download(transfer, true, false);
            if !download.is_told() {
                continue;
            }
            if download.offer.bytes == STREAM_BYTES {
                self.incomplete |= download.is_wanted();
                self.failed(transfer, "the peer's program was restarted");
                continue;
            }
            self.carried.push((transfer, download.without_list()));
        }
        let mut offered_before = BTreeMap::new();
        for (transfer, upload) in std::mem::take(&mut self.uploads) {
            let stream = match &upload.state {
                OutState::Scanning(source) => matches!(source, SendSource::Stream { .. }),
                _ => upload.offer.as_ref().is_some_and(|offer| offer.bytes == STREAM_BYTES),
            };
            if let OutState::Completing { .. } = upload.state {
                self.actions.push(Action::DropUpload(transfer));
                self.completed(transfer, upload, None);
            } else if stream {
                self.actions.push(Action::DropUpload(transfer));
                self.incomplete = true;
                self.failed(transfer, "the peer's program was restarted, and a stream cannot be sent again");
            } else {
                offered_before.insert(transfer, upload);
            }
        }
        self.outgoing = Outgoing::default();
        self.incoming = Incoming::default();
        self.tampered = 0;
        if !matches!(self.phase, Phase::Leaving(_)) {
            self.phase = Phase::Talking;
        }
        offered_before
    }

    /// Offers again, and sends again what needs no question.
    pub(super) fn go_on_after_restart(&mut self, offered_before: BTreeMap<TransferId, Upload>) {
        for (old, upload) in offered_before {
            // A number that no notice named needs no other end.
            let was = if upload.is_open_for_peer() { Some(old) } else { upload.was };
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
            self.uploads.insert(new, Upload { state, was, begun: self.now, may_restart: false, ..upload });
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
        let maybe_seen = lines.iter().filter(|(_, maybe_seen)| *maybe_seen).count();
        self.notice(Notice::Resent { lines: lines.len(), maybe_seen });
        for (frame, _) in lines {
            self.outgoing.push(frame.control, frame.line);
        }
    }

    /// The user does not want them sent again.
    pub(super) fn drop_resend(&mut self) {
        let ids: Vec<u64> = std::mem::take(&mut self.resend).iter().filter_map(|(frame, _)| frame.line).collect();
        self.notice(Notice::Undelivered { lines: ids.len(), ids });
    }

    /// What was never offered again has its end now.
    pub(super) fn end_carried(&mut self, why: &str) {
        for (was, download) in std::mem::take(&mut self.carried) {
            if download.is_told() {
                self.incomplete |= download.is_wanted();
                self.cut(was, why, download.part.as_deref());
            }
        }
    }
}
