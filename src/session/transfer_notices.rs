//! What is told of transfers in either direction.

use super::Session;
use crate::notice::{Direction, Info, Notice};
use crate::protocol::frame::{Offer, STREAM_BYTES, TransferId};
use crate::text::{PeerText, SafeText};
use crate::transfer::manifest::Manifest;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Names in one answer to `/transfers ID`.
const PAGE_NAMES: usize = 100;
/// Bytes of paths in it: names may be long.
const PAGE_BYTES: usize = 64 << 10;

/// How a transfer ended that the receiver completed.
pub(super) struct Outcome {
    pub(super) path: PeerText,
    pub(super) more: u32,
    pub(super) files: u32,
    pub(super) failed: u32,
    pub(super) bytes: u64,
    pub(super) wire_bytes: Option<u64>,
    pub(super) begun: Duration,
}

impl Session {
    pub(super) fn finished(&mut self, direction: Direction, transfer: TransferId, outcome: Outcome) {
        let Outcome { path, more, files, failed, bytes, wire_bytes, begun } = outcome;
        if failed == 0 {
            let took = self.now.saturating_sub(begun);
            return self.notice(Notice::Done { transfer, path, more, files, bytes, wire_bytes, took });
        }
        self.incomplete = true;
        let reason = if files == 0 {
            SafeText::from("no file of it arrived")
        } else {
            let all = u64::from(files) + u64::from(failed);
            let lies =
                if direction == Direction::In { format!("; what did is in {}", path.safe()) } else { String::new() };
            SafeText::from(format!("{failed} of {all} files did not arrive{lies}"))
        };
        self.failed(transfer, reason);
    }

    /// One file of it; the rest goes on.
    pub(super) fn file_failed(&mut self, transfer: TransferId, path: PeerText, text: String) {
        self.incomplete = true;
        let path = Some(path);
        self.notice(Notice::Failed { transfer, path, reason: text.into(), part: None, cut: false });
    }

    pub(super) fn failed(&mut self, transfer: TransferId, reason: impl Into<SafeText>) {
        self.notice(Notice::Failed { transfer, path: None, reason: reason.into(), part: None, cut: false });
    }

    /// The session ends before it; what came of it stays in `part`.
    pub(super) fn cut(&mut self, transfer: TransferId, reason: &str, part: Option<&Path>) {
        let part = part.map(local);
        self.notice(Notice::Failed { transfer, path: None, reason: reason.into(), part, cut: true });
    }
}

/// The sum of sizes; none for a stream.
pub(super) fn known_bytes(offer: &Offer) -> Option<u64> {
    (offer.bytes != STREAM_BYTES).then_some(offer.bytes)
}

/// A page of the paths and sizes in a list, from this file on (the first is 1).
pub(super) fn names_page(manifest: &Manifest, transfer: TransferId, from: usize) -> Info {
    let total = manifest.file_count();
    let first = from.clamp(1, total.max(1)) - 1;
    let (mut names, mut bytes) = (Vec::new(), 0);
    for file in (first..total.min(first.saturating_add(PAGE_NAMES))).filter_map(|index| manifest.file(index)) {
        let path = manifest.path(file.index);
        bytes += path.len();
        if bytes > PAGE_BYTES && !names.is_empty() {
            break;
        }
        names.push((PeerText::new(path), Some(file.size)));
    }
    Info::Names { transfer, from: first + 1, total, names }
}

/// The first name of a list; empty while there is none.
pub(super) fn first_name(list: &Option<Arc<Manifest>>) -> PeerText {
    PeerText::new(list.as_ref().map_or("", |list| list.first_name()))
}

/// Names at its top beside the first.
pub(super) fn more(list: &Option<Arc<Manifest>>) -> u32 {
    list.as_ref().map_or(0, |list| list.more())
}

pub(super) fn local(path: &Path) -> PeerText {
    PeerText::new(path.to_string_lossy())
}
