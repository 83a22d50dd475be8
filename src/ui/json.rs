//! The frontend for scripts: one JSON object a line on standard output.
//!
//! Owns the format of the events, which is stable: members may be added, never renamed. Their first member is `event`. Text of the
//! peer goes out whole, but escaped wherever a terminal would interpret or hide it; a consumer that decodes it must make it safe again.

use super::frontend::{Frontend, FrontendError, run_frontend};
use super::messages::{bye_text, reason_text};
use super::{Direction, Info, Notice, PeerText, Posted, SafeText, Side, TransferInfo};
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
/// [`FrontendError`] when `out` fails; what was not reported by then was not written.
pub fn run(notices: &Receiver<Posted>, out: impl Write, shown_up_to: impl Fn(u64)) -> Result<(), FrontendError> {
    run_frontend(notices, &mut JsonFrontend(BufWriter::with_capacity(BUFFER, out)), shown_up_to)
}

struct JsonFrontend<W: Write>(BufWriter<W>);

impl<W: Write> Frontend for JsonFrontend<W> {
    fn show(&mut self, posted: &Posted) -> io::Result<()> {
        let Some(event) = event(&posted.notice) else { return Ok(()) };
        let event = match &posted.peer {
            Some(peer) if !event.0.contains_key("peer") => event.with("peer", peer.raw()),
            _ => event,
        };
        escape(&serde_json::to_string(&event.0)?, &mut self.0)?;
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

/// Members keep their insertion order.
struct JsonEvent(Map<String, Value>);

impl JsonEvent {
    fn new(name: &'static str) -> Self {
        Self(Map::new()).with("event", name)
    }

    fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.0.insert(member.to_owned(), value.into());
        self
    }

    /// Leaves the member out when there is no value.
    fn with_some(self, member: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(member, value),
            None => self,
        }
    }

    fn with_text(self, member: &'static str, text: &str) -> Self {
        self.with_some(member, (!text.is_empty()).then_some(text))
    }
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

fn event(notice: &Notice) -> Option<JsonEvent> {
    Some(match notice {
        // What only a person at a terminal is asked or told.
        Notice::Status(_)
        | Notice::Published { .. }
        | Notice::Question { .. }
        | Notice::QuestionGone { .. }
        | Notice::Leaving { .. }
        | Notice::Staying
        | Notice::PeerGone { .. } => return None,
        Notice::Listening { addrs, code, invite, qr: _ } => JsonEvent::new("listening")
            .with("addrs", addrs.clone())
            .with_some("code", code.clone())
            .with_some("invite", invite.clone()),
        Notice::Announced { instance } => JsonEvent::new("announced").with("instance", instance.as_str()),
        Notice::Mapped { addr, by, seconds } => {
            JsonEvent::new("mapped").with("addr", addr.as_str()).with("by", *by).with("seconds", *seconds)
        }
        Notice::Connected { peer, fingerprint, addr, verify, trust, uninvited: _, own: _ } => {
            JsonEvent::new("connected")
                .with("peer", peer.raw())
                .with("fingerprint", fingerprint.as_str())
                .with("addr", addr.as_str())
                .with_some("verify", verify.clone())
                .with("trust", trust.word())
        }
        Notice::Message { id, from, text, action } => JsonEvent::new("message")
            .with("from", from.raw())
            .with("text", text.raw())
            .with("id", received_id(*id))
            .with_some("me", action.then_some(true)),
        Notice::Sent { id, text, action, waiting } => JsonEvent::new("sent")
            .with("id", sent_id(*id))
            .with("text", text.as_str())
            .with_some("me", action.then_some(true))
            .with_some("waiting", waiting.then_some(true)),
        Notice::Delivered { id } => JsonEvent::new("delivered").with("id", sent_id(*id)),
        Notice::Undelivered { ids, lines } => JsonEvent::new("undelivered")
            .with("ids", ids.iter().map(|id| sent_id(*id)).collect::<Vec<_>>())
            .with("lines", *lines),
        Notice::Resent { lines, maybe_seen } => {
            JsonEvent::new("resent").with("lines", *lines).with("maybe_seen", *maybe_seen)
        }
        Notice::Offer { transfer, direction, name, more: _, files, folders: _, bytes, clashes, free, was } => {
            JsonEvent::new("offer")
                .with("transfer", *transfer)
                .with("direction", direction_word(*direction))
                .with("name", name.raw())
                .with("files", *files)
                .with_some("bytes", *bytes)
                .with_some("clashes", *clashes)
                .with_some("free", *free)
                .with_some("was", *was)
        }
        Notice::Accepted { transfer } => JsonEvent::new("accepted").with("transfer", *transfer),
        Notice::Declined { transfer, by, reason, detail } => JsonEvent::new("declined")
            .with("transfer", *transfer)
            .with("by", side_word(*by))
            .with("reason", reason_member(*reason, detail)),
        Notice::Cancelled { transfer, by, reason, detail } => JsonEvent::new("cancelled")
            .with("transfer", *transfer)
            .with("by", side_word(*by))
            .with("reason", reason_member(*reason, detail)),
        Notice::LeftOut { transfer, path, count, reason } => JsonEvent::new("left-out")
            .with("transfer", *transfer)
            .with_some("path", path.as_ref().map(PeerText::raw))
            .with_some("count", path.is_none().then_some(*count))
            .with_text("reason", reason.as_str()),
        Notice::Progress { transfer, bytes, total, files: _ } => {
            JsonEvent::new("progress").with("transfer", *transfer).with("bytes", *bytes).with_some("total", *total)
        }
        Notice::File { transfer, path, bytes, blake3, offered } => JsonEvent::new("file")
            .with("transfer", *transfer)
            .with("path", path.raw())
            .with("bytes", *bytes)
            .with("blake3", blake3.as_str())
            .with_some("offered", offered.as_ref().map(PeerText::raw)),
        Notice::Done { transfer, path, more: _, files, bytes, wire_bytes, seconds } => JsonEvent::new("done")
            .with("transfer", *transfer)
            .with("path", path.raw())
            .with("files", *files)
            .with("bytes", *bytes)
            .with_some("wire_bytes", *wire_bytes)
            .with("seconds", *seconds),
        Notice::Failed { transfer, path, reason, part, cut: _ } => JsonEvent::new("failed")
            .with("transfer", *transfer)
            .with("reason", reason.as_str())
            // This file alone failed and the transfer goes on.
            .with_some("path", path.as_ref().map(PeerText::raw))
            .with_some("part", part.as_ref().map(PeerText::raw)),
        Notice::Trust { peer, trust } => JsonEvent::new("trust").with("peer", peer.raw()).with("trust", trust.word()),
        Notice::Info(info) => info_event(info),
        Notice::Lost { reason, .. } => JsonEvent::new("lost").with("reason", reason.as_str()),
        Notice::Reconnected { resent: _, restarted } => {
            JsonEvent::new("reconnected").with_some("restarted", restarted.then_some(true))
        }
        Notice::Warning(text) => JsonEvent::new("warning").with("text", text.as_str()),
        Notice::Error { code, text } => JsonEvent::new("error").with("code", *code).with("text", text.as_str()),
        Notice::Bye { from, reason } => {
            JsonEvent::new("bye").with("from", side_word(*from)).with("reason", bye_text(*reason))
        }
    })
}

/// Why a transfer was declined or cancelled; always there, also when nothing but a person's wish is known.
fn reason_member(reason: Reason, detail: &SafeText) -> String {
    let text = reason_text(reason, detail);
    if text.as_str().is_empty() { "by the user".into() } else { text.to_string() }
}

/// The member after `event` tells which answer it is.
fn info_event(info: &Info) -> JsonEvent {
    let event = JsonEvent::new("info");
    match info {
        Info::Help => event.with("text", command::HELP),
        Info::Text(text) => event.with("text", text.as_str()),
        Info::Peer(pairs) => {
            let pairs: Map<String, Value> =
                pairs.iter().map(|(label, value)| (label.replace(' ', "_"), value.as_str().into())).collect();
            event.with("peer", pairs)
        }
        Info::Transfers(rows) => event.with("transfers", rows.iter().map(row).collect::<Vec<Value>>()),
        Info::Names { transfer, from, total, names } => {
            let names: Vec<Value> = names
                .iter()
                .map(|(path, bytes)| match bytes {
                    Some(bytes) => json!({ "path": path.raw(), "bytes": bytes }),
                    None => json!({ "path": path.raw() }),
                })
                .collect();
            event.with("names", names).with("transfer", *transfer).with("first", *from).with("total", *total)
        }
    }
}

fn row(row: &TransferInfo) -> Value {
    json!({
        "transfer": row.transfer,
        "direction": direction_word(row.direction),
        "name": row.name.raw(),
        "state": row.state.word(),
        "bytes": row.bytes,
        "total": row.total,
        "files_done": row.files_done,
        "files": row.files,
    })
}

fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
}

#[cfg(test)]
mod tests;
