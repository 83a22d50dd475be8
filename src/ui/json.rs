//! The frontend for scripts: one JSON object a line on standard output.
//!
//! Owns the format of the events, which is stable: members may be added, never renamed. Their first member is `event`. Text of the
//! peer goes out whole, but escaped wherever a terminal would interpret or hide it; a consumer that decodes it must make it safe again.

use super::frontend::{Frontend, run_frontend};
use super::messages::{bye_text, reason_text};
use super::{Info, Notice, PeerText, Posted, SafeText, Side, TransferInfo};
use crate::command;
use crate::protocol::frame::Reason;
use crate::text::is_harmful;
use serde_json::{Map, Value, json};
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::Receiver;

/// Bytes of events gathered for one write: some hundred events, or one long message.
const BUFFER: usize = 64 * 1024;

/// The body of the frontend's thread: writes events until the notices end. `shown_up_to` is called with the highest number that was
/// written and flushed.
///
/// # Errors
///
/// When `out` fails; what was not reported by then was not written.
pub fn run(notices: &Receiver<Posted>, out: impl Write, shown_up_to: impl Fn(u64)) -> io::Result<()> {
    run_frontend(notices, &mut JsonFrontend(BufWriter::with_capacity(BUFFER, out)), shown_up_to)
}

struct JsonFrontend<W: Write>(BufWriter<W>);

impl<W: Write> Frontend for JsonFrontend<W> {
    fn show(&mut self, posted: &Posted) -> io::Result<()> {
        let Some(mut event) = event(&posted.notice) else { return Ok(()) };
        if let (Some(members), Some(peer)) = (event.as_object_mut(), &posted.peer) {
            members.entry("peer").or_insert_with(|| peer.raw().into());
        }
        escape(&event.to_string(), &mut self.0)?;
        self.0.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// JSON escapes the controls of ASCII; this escapes everything else that a terminal could interpret or hide, since events may end up in
/// one. Such characters stand only within strings, so the meaning stays.
fn escape(text: &str, out: &mut impl Write) -> io::Result<()> {
    let mut rest = text;
    while let Some((place, c)) = rest.char_indices().find(|(_, c)| is_harmful(*c)) {
        let (good, bad) = rest.split_at(place);
        out.write_all(good.as_bytes())?;
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}")?;
        }
        rest = bad.get(c.len_utf8()..).unwrap_or_default();
    }
    out.write_all(rest.as_bytes())
}

/// Numbers of both directions begin at 1, so they are told apart by a letter.
fn received_id(id: u64) -> String {
    format!("r{id}")
}

fn sent_id(id: u64) -> String {
    format!("s{id}")
}

fn side_word(side: Side) -> &'static str {
    match side {
        Side::Own => "self",
        Side::Peer => "peer",
    }
}

/// The members in their order; those without a value are left out.
fn event(notice: &Notice) -> Option<Value> {
    let mut event = match notice {
        // What only a person at a terminal is asked or told.
        Notice::Status(_)
        | Notice::Published(_)
        | Notice::Question { .. }
        | Notice::QuestionGone { .. }
        | Notice::Leaving { .. }
        | Notice::Staying
        | Notice::PeerGone { .. } => return None,
        Notice::Listening { addrs, code, invite, qr: _ } => {
            json!({ "event": "listening", "addrs": addrs, "code": code.as_deref(), "invite": invite.as_deref() })
        }
        Notice::Announced { instance } => json!({ "event": "announced", "instance": instance }),
        Notice::Mapped { addr, by, seconds } => {
            json!({ "event": "mapped", "addr": addr, "by": by, "seconds": seconds })
        }
        Notice::Connected { peer, fingerprint, addr, verify, trust, uninvited: _, own: _ } => json!({
            "event": "connected",
            "peer": peer.raw(),
            "fingerprint": fingerprint,
            "addr": addr,
            "verify": verify,
            "trust": trust.word(),
        }),
        Notice::Message { id, from, text, action } => json!({
            "event": "message",
            "from": from.raw(),
            "text": text.raw(),
            "id": received_id(*id),
            "me": action.then_some(true),
        }),
        Notice::Sent { id, text, action, waiting } => json!({
            "event": "sent",
            "id": sent_id(*id),
            "text": text,
            "me": action.then_some(true),
            "waiting": waiting.then_some(true),
        }),
        Notice::Delivered { id } => json!({ "event": "delivered", "id": sent_id(*id) }),
        Notice::Undelivered { ids, lines } => {
            let ids: Vec<_> = ids.iter().map(|id| sent_id(*id)).collect();
            json!({ "event": "undelivered", "ids": ids, "lines": lines })
        }
        Notice::Resent { lines, maybe_seen } => json!({ "event": "resent", "lines": lines, "maybe_seen": maybe_seen }),
        Notice::Offer { transfer, direction, name, more: _, files, folders: _, bytes, clashes, free, was } => json!({
            "event": "offer",
            "transfer": transfer,
            "direction": direction.word(),
            "name": name.raw(),
            "files": files,
            "bytes": bytes,
            "clashes": clashes,
            "free": free,
            "was": was,
        }),
        Notice::Accepted { transfer } => json!({ "event": "accepted", "transfer": transfer }),
        Notice::Stopped { transfer, how, by, reason, detail } => json!({
            "event": how.word(),
            "transfer": transfer,
            "by": side_word(*by),
            "reason": reason_member(*reason, detail),
        }),
        Notice::LeftOut { transfer, path, count, reason } => json!({
            "event": "left-out",
            "transfer": transfer,
            "path": path.as_ref().map(PeerText::raw),
            "count": path.is_none().then_some(count),
            "reason": Some(reason.as_str()).filter(|reason| !reason.is_empty()),
        }),
        Notice::Progress { transfer, bytes, total, files: _ } => {
            json!({ "event": "progress", "transfer": transfer, "bytes": bytes, "total": total })
        }
        Notice::File { transfer, path, bytes, blake3, offered } => json!({
            "event": "file",
            "transfer": transfer,
            "path": path.raw(),
            "bytes": bytes,
            "blake3": blake3,
            "offered": offered.as_ref().map(PeerText::raw),
        }),
        Notice::Done { transfer, path, more: _, files, bytes, wire_bytes, took } => json!({
            "event": "done",
            "transfer": transfer,
            "path": path.raw(),
            "files": files,
            "bytes": bytes,
            "wire_bytes": wire_bytes,
            "seconds": took.as_secs_f64(),
        }),
        Notice::Failed { transfer, path, reason, part, cut: _ } => json!({
            "event": "failed",
            "transfer": transfer,
            "reason": reason.as_str(),
            // This file alone failed and the transfer goes on.
            "path": path.as_ref().map(PeerText::raw),
            "part": part.as_ref().map(PeerText::raw),
        }),
        Notice::Trust { peer, trust } => json!({ "event": "trust", "peer": peer.raw(), "trust": trust.word() }),
        Notice::Info(info) => info_event(info),
        Notice::Lost { reason, .. } => json!({ "event": "lost", "reason": reason.as_str() }),
        Notice::Reconnected { restarted } => {
            json!({ "event": "reconnected", "restarted": restarted.then_some(true) })
        }
        Notice::Warning(text) => json!({ "event": "warning", "text": text.as_str() }),
        Notice::Error { code, text } => json!({ "event": "error", "code": code, "text": text.as_str() }),
        Notice::Bye { from, reason } => {
            json!({ "event": "bye", "from": side_word(*from), "reason": bye_text(*reason) })
        }
    };
    event.as_object_mut()?.retain(|_, value| !value.is_null());
    Some(event)
}

/// Why a transfer was declined or cancelled; always there, also when nothing but a person's wish is known.
fn reason_member(reason: Reason, detail: &SafeText) -> String {
    let text = reason_text(reason, detail);
    if text.as_str().is_empty() { "by the user".into() } else { text.to_string() }
}

/// The member after `event` tells which answer it is.
fn info_event(info: &Info) -> Value {
    match info {
        Info::Help => json!({ "event": "info", "text": command::HELP }),
        Info::Text(text) => json!({ "event": "info", "text": text.as_str() }),
        Info::Peer(pairs) => {
            let pairs = pairs.iter().map(|(label, value)| (label.replace(' ', "_"), value.as_str().into()));
            json!({ "event": "info", "peer": pairs.collect::<Map<String, Value>>() })
        }
        Info::Transfers(rows) => json!({ "event": "info", "transfers": rows.iter().map(row).collect::<Vec<_>>() }),
        Info::Names { transfer, from, total, names } => {
            let name = |(path, bytes): &(PeerText, Option<u64>)| match bytes {
                Some(bytes) => json!({ "path": path.raw(), "bytes": bytes }),
                None => json!({ "path": path.raw() }),
            };
            let names: Vec<_> = names.iter().map(name).collect();
            json!({ "event": "info", "names": names, "transfer": transfer, "first": from, "total": total })
        }
    }
}

fn row(row: &TransferInfo) -> Value {
    json!({
        "transfer": row.transfer,
        "direction": row.direction.word(),
        "name": row.name.raw(),
        "state": row.state.word(),
        "bytes": row.bytes,
        "total": row.total,
        "files_done": row.files_done,
        "files": row.files,
    })
}

#[cfg(test)]
mod tests;
