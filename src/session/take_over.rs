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
use crate::protocol::frame::STREAM_BYTES;
use std::collections::BTreeMap;

impl Session {
    /// The peer's program was restarted: becomes a new session under the same key, not yet connected, that goes on with what the old
    /// one left. No [`Action::Over`] comes of the old one.
    pub fn take_over(&mut self) {
        self.close_questions(|_| true);
        let mut lines = std::mem::take(&mut self.resend);
        let undelivered = self.outgoing.undelivered().filter(|(frame, _)| frame.line.is_some());
        lines.extend(undelivered.map(|(frame, maybe_seen)| (frame.clone(), maybe_seen)));
        let mut carried = std::mem::take(&mut self.carried);
        carried.extend(std::mem::take(&mut self.completed));
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
            carried.push((transfer, download.without_list()));
        }
        let mut reoffers = BTreeMap::new();
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
                reoffers.insert(transfer, upload);
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
        next.reoffers = reoffers;
        next.restarted = true;
        *self = next;
    }

    /// Offers again, and sends again what needs no question.
    pub(super) fn go_on_after_restart(&mut self) {
        for (old, upload) in std::mem::take(&mut self.reoffers) {
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
        for old in std::mem::take(&mut self.reoffers).into_keys() {
            self.actions.push(Action::DropUpload(old));
            self.incomplete = true;
            self.cut(old, why, None);
        }
    }
}
