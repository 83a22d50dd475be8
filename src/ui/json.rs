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
use serde_core::Serialize;
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
        if let Some(peer) = posted.peer.as_ref().filter(|_| !event.has_peer) {
            event = event.with("peer", peer.raw());
        }
        event.write(&mut self.0)
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

/// One event, as it is written.
struct Event {
    json: Vec<u8>,
    has_peer: bool,
}

impl Event {
    fn new(name: &str) -> Self {
        // A digest and two paths fit.
        let mut json = Vec::with_capacity(512);
        json.extend_from_slice(b"{\"event\":\"");
        json.extend_from_slice(name.as_bytes());
        json.push(b'"');
        Self { json, has_peer: false }
    }

    /// Adds a member, unless it has no value.
    #[expect(clippy::expect_used, reason = "there is nothing that could fail")]
    fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let before = self.json.len();
        for bytes in [b",\"", name.as_bytes(), b"\":"] {
            self.json.extend_from_slice(bytes);
        }
        let value_begins = self.json.len();
        serde_json::to_writer(&mut self.json, &value).expect("a buffer takes everything, and every key is text");
        if self.json.get(value_begins..) == Some(b"null") {
            self.json.truncate(before);
        }
        self.has_peer |= name == "peer";
        self
    }

    fn write(mut self, out: &mut impl Write) -> io::Result<()> {
        self.json.push(b'}');
        match str::from_utf8(&self.json) {
            Ok(text) if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => escape(text, out)?,
            _ => out.write_all(&self.json)?,
        }
        out.write_all(b"\n")
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

/// The members in their order; those without a value are left out.
fn event(notice: &Notice) -> Option<Event> {
    Some(match notice {
        // What only a person at a terminal is asked or told.
        Notice::Status(_)
        | Notice::Published(_)
        | Notice::Question { .. }
        | Notice::QuestionGone { .. }
        | Notice::Leaving { .. }
        | Notice::Staying
        | Notice::PeerGone { .. } => return None,
        Notice::Listening { addrs, code, invite, qr: _ } => {
            Event::new("listening").with("addrs", addrs).with("code", code.as_deref()).with("invite", invite.as_deref())
        }
        Notice::Announced { instance } => Event::new("announced").with("instance", instance),
        Notice::Mapped { addr, by, seconds } => {
            Event::new("mapped").with("addr", addr).with("by", by).with("seconds", seconds)
        }
        Notice::Connected { peer, fingerprint, addr, verify, trust, uninvited: _, own: _ } => Event::new("connected")
            .with("peer", peer.raw())
            .with("fingerprint", fingerprint)
            .with("addr", addr)
            .with("verify", verify)
            .with("trust", trust.word()),
        Notice::Message { id, from, text, action } => Event::new("message")
            .with("from", from.raw())
            .with("text", text.raw())
            .with("id", received_id(*id))
            .with("me", action.then_some(true)),
        Notice::Sent { id, text, action, waiting } => Event::new("sent")
            .with("id", sent_id(*id))
            .with("text", text)
            .with("me", action.then_some(true))
            .with("waiting", waiting.then_some(true)),
        Notice::Delivered { id } => Event::new("delivered").with("id", sent_id(*id)),
        Notice::Undelivered { ids, lines } => {
            let ids: Vec<_> = ids.iter().map(|id| sent_id(*id)).collect();
            Event::new("undelivered").with("ids", ids).with("lines", lines)
        }
        Notice::Resent { lines, maybe_seen } => {
            Event::new("resent").with("lines", lines).with("maybe_seen", maybe_seen)
        }
        Notice::Offer { transfer, direction, name, more: _, files, folders: _, bytes, clashes, free, was } => {
            Event::new("offer")
                .with("transfer", transfer)
                .with("direction", direction.word())
                .with("name", name.raw())
                .with("files", files)
                .with("bytes", bytes)
                .with("clashes", clashes)
                .with("free", free)
                .with("was", was)
        }
        Notice::Accepted { transfer } => Event::new("accepted").with("transfer", transfer),
        Notice::Stopped { transfer, how, by, reason, detail } => Event::new(how.word())
            .with("transfer", transfer)
            .with("by", side_word(*by))
            .with("reason", reason_member(*reason, detail)),
        Notice::LeftOut { transfer, path, count, reason } => Event::new("left-out")
            .with("transfer", transfer)
            .with("path", path.as_ref().map(PeerText::raw))
            .with("count", path.is_none().then_some(count))
            .with("reason", Some(reason.as_str()).filter(|reason| !reason.is_empty())),
        Notice::Progress { transfer, bytes, total, files: _ } => {
            Event::new("progress").with("transfer", transfer).with("bytes", bytes).with("total", total)
        }
        Notice::File { transfer, path, bytes, blake3, offered } => Event::new("file")
            .with("transfer", transfer)
            .with("path", path.raw())
            .with("bytes", bytes)
            .with("blake3", blake3)
            .with("offered", offered.as_ref().map(PeerText::raw)),
        Notice::Done { transfer, path, more: _, files, bytes, wire_bytes, took } => Event::new("done")
            .with("transfer", transfer)
            .with("path", path.raw())
            .with("files", files)
            .with("bytes", bytes)
            .with("wire_bytes", wire_bytes)
            .with("seconds", took.as_secs_f64()),
        Notice::Failed { transfer, path, reason, part, cut: _ } => Event::new("failed")
            .with("transfer", transfer)
            .with("reason", reason.as_str())
            .with("path", path.as_ref().map(PeerText::raw))
            .with("part", part.as_ref().map(PeerText::raw)),
        Notice::Trust { peer, trust } => Event::new("trust").with("peer", peer.raw()).with("trust", trust.word()),
        Notice::Info(info) => info_event(info),
        Notice::Lost { reason, .. } => Event::new("lost").with("reason", reason.as_str()),
        Notice::Reconnected { restarted } => Event::new("reconnected").with("restarted", restarted.then_some(true)),
        Notice::Warning(text) => Event::new("warning").with("text", text.as_str()),
        Notice::Error { code, text } => Event::new("error").with("code", code).with("text", text.as_str()),
        Notice::Bye { from, reason } => {
            Event::new("bye").with("from", side_word(*from)).with("reason", bye_text(*reason))
        }
    })
}

/// Why a transfer was declined or cancelled; always there, also when nothing but a person's wish is known.
fn reason_member(reason: Reason, detail: &SafeText) -> String {
    let text = reason_text(reason, detail);
    if text.as_str().is_empty() { "by the user".into() } else { text.to_string() }
}

/// The member after `event` tells which answer it is.
fn info_event(info: &Info) -> Event {
    match info {
        Info::Help => Event::new("info").with("text", command::HELP),
        Info::Text(text) => Event::new("info").with("text", text.as_str()),
        Info::Peer(pairs) => {
            let pairs = pairs.iter().map(|(label, value)| (label.replace(' ', "_"), value.as_str().into()));
            Event::new("info").with("peer", pairs.collect::<Map<String, Value>>())
        }
        Info::Transfers(rows) => Event::new("info").with("transfers", rows.iter().map(row).collect::<Vec<_>>()),
        Info::Names { transfer, from, total, names } => {
            let name = |(path, bytes): &(PeerText, Option<u64>)| match bytes {
                Some(bytes) => json!({ "path": path.raw(), "bytes": bytes }),
                None => json!({ "path": path.raw() }),
            };
            let names: Vec<_> = names.iter().map(name).collect();
            Event::new("info").with("names", names).with("transfer", transfer).with("first", from).with("total", total)
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
