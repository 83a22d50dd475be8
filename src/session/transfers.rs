//! Offers and transfers: who offered what, what was answered, how it ended.
//!
//! Invariant: every offer of either side ends exactly once, in one notice, and its number is never used again. No byte of a file
//! passes here: workers move them, and report. This file has the table and what concerns both directions; the course of each
//! direction is in `outgoing.rs` and `incoming.rs`.

mod downloads;
mod uploads;

use super::{Action, Session};
use crate::notice::{Direction, Notice, TransferInfo};
use crate::protocol::frame::{Digest, Offer, Reason, TransferId};
use crate::text::{PeerText, SafeText};
use crate::transfer::flow_control::Opening;
use crate::transfer::manifest::Manifest;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutState {
    Scanning,
    /// Scanned; an earlier scan is still going on, and offers go out in the order they were asked for.
    Held,
    Offered,
    Running,
    /// The peer has all it could publish (files, failed); the worker reports the last of them.
    Completing(u32, u32),
}

#[derive(Debug)]
struct Out {
    local: u32,
    state: OutState,
    name: PeerText,
    /// Names at the top of the list beside the first.
    more: u32,
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
    list: Option<Arc<Manifest>>,
    /// The way for its data, from the worker's being ready until ACCEPT is on its way.
    opening: Option<Opening>,
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
    pub(in crate::session) fn new(first_local: u32) -> Self {
        Self {
            next_local: first_local,
            last_out: 0,
            last_in: 0,
            out: BTreeMap::new(),
            incoming: BTreeMap::new(),
            failed: false,
        }
    }

    pub(in crate::session) fn next_local(&self) -> u32 {
        self.next_local
    }

    /// Whether a transfer that this side asked for did not succeed.
    pub(in crate::session) fn failed(&self) -> bool {
        self.failed
    }

    /// Whether something is on its way that a polite farewell waits for: own sends, and what this side accepted.
    pub(in crate::session) fn any_wanted(&self) -> bool {
        let wanted = |entry: &In| matches!(entry.state, InState::Preparing | InState::Running);
        !self.out.is_empty() || self.incoming.values().any(wanted)
    }

    /// Whether data moves.
    pub(in crate::session) fn any_running(&self) -> bool {
        self.out.values().any(|out| out.state == OutState::Running)
            || self.incoming.values().any(|entry| entry.state == InState::Running)
    }

    /// The offer that the user answers: the one named, or the only open one.
    pub(in crate::session) fn asking(&self, local: Option<u32>) -> Result<TransferId, String> {
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

    /// The names in the list of a transfer that comes in, once it is known.
    pub(super) fn names(&self, local: u32) -> Option<Vec<(PeerText, Option<u64>)>> {
        let list = self.incoming.values().find(|entry| entry.local == local)?.list.as_ref()?;
        Some(list_names(list))
    }

    /// The transfer that goes out under this local number.
    pub(super) fn outgoing(&self, local: u32) -> Option<TransferId> {
        self.out.iter().find(|(_, out)| out.local == local).map(|(id, _)| *id)
    }

    fn local(&mut self) -> u32 {
        let local = self.next_local;
        self.next_local += 1;
        local
    }
}

/// The paths and sizes of the files in a list.
pub fn list_names(list: &Manifest) -> Vec<(PeerText, Option<u64>)> {
    list.files().map(|file| (PeerText::new(list.path(file.index)), Some(file.size))).collect()
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
                    OutState::Scanning | OutState::Held => "preparing",
                    OutState::Offered => "offered",
                    OutState::Running | OutState::Completing(..) => "running",
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

    pub(in crate::session) fn peer_cancelled(
        &mut self,
        transfer: TransferId,
        reason: Reason,
        text: &str,
        by_offerer: bool,
    ) {
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

    /// `/cancel`: the transfer named, or the only one.
    pub(in crate::session) fn cancel(&mut self, local: Option<u32>) {
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

    /// The session ends: every open transfer fails, partials are kept.
    pub(in crate::session) fn stop_transfers(&mut self, why: &str) {
        for (transfer, out) in std::mem::take(&mut self.transfers.out) {
            self.actions.push(Action::DropUpload(transfer));
            let local = out.local;
            if !self.completed(out) {
                self.transfers.failed = true;
                self.notice(Notice::Failed { transfer: local, path: None, reason: why.into() });
            }
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
