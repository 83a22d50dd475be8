//! The face for scripts: one JSON object a line on standard output.
//!
//! EventLoop of the events, which are stable: members may be added, never renamed. Their first member is `event`. Text of the
//! peer goes out whole, but escaped wherever a terminal could obey it or hide it; who decodes it must look after that.

use super::pump::{Face, FaceError, pump};
use super::{Direction, Info, Notice, PeerText, Posted, TransferInfo};
use crate::command;
use crate::text::is_harmful;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::Receiver;

/// Bytes of events gathered for one write: some hundred events, or one long message.
const BUFFER: usize = 64 * 1024;

/// The body of the face's thread: writes events until the notices end. `settled` hears the highest number that was written
/// and flushed.
///
/// # Errors
///
/// [`FaceError`] when `out` fails; what was not settled then was not written.
pub fn run(notices: &Receiver<Posted>, out: impl Write, settled: impl Fn(u64)) -> Result<(), FaceError> {
    let mut face = Json { out: BufWriter::with_capacity(BUFFER, out), undelivered: VecDeque::new() };
    pump(notices, &mut face, settled)
}

struct Json<W: Write> {
    out: BufWriter<W>,
    /// Lines sent of which the peer has not said that it has them, in order. The session bounds their number.
    undelivered: VecDeque<u64>,
}

impl<W: Write> Face for Json<W> {
    fn show(&mut self, notice: &Notice) -> io::Result<()> {
        match notice {
            Notice::Sent { id, .. } => self.undelivered.push_back(*id),
            Notice::Delivered { id } => return self.delivered(*id),
            _ => {}
        }
        event(notice).map_or(Ok(()), |event| self.write(event))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Json<W> {
    fn write(&mut self, event: Event) -> io::Result<()> {
        escape(&serde_json::to_string(&event.0)?, &mut self.out)?;
        self.out.write_all(b"\n")
    }

    /// The notice speaks for all lines up to `id`; the event for one.
    fn delivered(&mut self, id: u64) -> io::Result<()> {
        while let Some(&sent) = self.undelivered.front().filter(|&&sent| sent <= id) {
            self.undelivered.pop_front();
            self.write(Event::new("delivered").with("id", sent_id(sent)))?;
        }
        Ok(())
    }
}

/// JSON escapes the controls of ASCII; this escapes everything else that a terminal could obey or hide, for events may end up in
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

/// Members keep their order.
struct Event(Map<String, Value>);

impl Event {
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

fn event(notice: &Notice) -> Option<Event> {
    Some(match notice {
        Notice::Status(_) | Notice::Delivered { .. } => return None,
        Notice::Listening { addrs, code } => {
            Event::new("listening").with("addrs", addrs.clone()).with_some("code", code.clone())
        }
        Notice::Connected { peer, fingerprint, addr, verify, trust, own: _ } => Event::new("connected")
            .with("peer", peer.raw())
            .with("fingerprint", fingerprint.as_str())
            .with("addr", addr.as_str())
            .with_some("verify", verify.clone())
            .with("trust", trust.word()),
        Notice::Message { id, from, text, action } => Event::new("message")
            .with("from", from.raw())
            .with("text", text.raw())
            .with("id", received_id(*id))
            .with_some("me", action.then_some(true)),
        Notice::Sent { id, text, action: _ } => Event::new("sent").with("id", sent_id(*id)).with("text", text.as_str()),
        Notice::Offer { transfer, direction, name, files, bytes, clashes, free, .. } => Event::new("offer")
            .with("transfer", *transfer)
            .with("direction", direction_word(*direction))
            .with("name", name.raw())
            .with("files", *files)
            .with("bytes", *bytes)
            .with_some("clashes", *clashes)
            .with_some("free", *free),
        Notice::Accepted { transfer } => Event::new("accepted").with("transfer", *transfer),
        Notice::Declined { transfer, reason, .. } => {
            Event::new("declined").with("transfer", *transfer).with_text("reason", reason.as_str())
        }
        Notice::Cancelled { transfer, reason, .. } => {
            Event::new("cancelled").with("transfer", *transfer).with_text("reason", reason.as_str())
        }
        Notice::Progress { transfer, bytes, total, files: _ } => {
            Event::new("progress").with("transfer", *transfer).with("bytes", *bytes).with("total", *total)
        }
        Notice::File { transfer, path, bytes, blake3 } => Event::new("file")
            .with("transfer", *transfer)
            .with("path", path.raw())
            .with("bytes", *bytes)
            .with("blake3", blake3.as_str()),
        Notice::Done { transfer, path, files, bytes, seconds } => Event::new("done")
            .with("transfer", *transfer)
            .with("path", path.raw())
            .with("files", *files)
            .with("bytes", *bytes)
            .with("seconds", *seconds),
        Notice::Failed { transfer, path, reason } => Event::new("failed")
            .with("transfer", *transfer)
            .with("reason", reason.as_str())
            // Says that this file alone failed and the transfer goes on.
            .with_some("path", path.as_ref().map(PeerText::raw)),
        Notice::Trust { peer, trust } => Event::new("trust").with("peer", peer.raw()).with("trust", trust.word()),
        Notice::Info(info) => info_event(info),
        Notice::Lost { reason, waiting: _ } => Event::new("lost").with("reason", reason.as_str()),
        Notice::Reconnected { resent: _ } => Event::new("reconnected"),
        Notice::Warning(text) => Event::new("warning").with("text", text.as_str()),
        Notice::Error { code, text } => Event::new("error").with("code", *code).with("text", text.as_str()),
        Notice::Bye { from_peer, reason } => {
            Event::new("bye").with("from", if *from_peer { "peer" } else { "self" }).with("reason", reason.as_str())
        }
    })
}

/// The member after `event` says which answer it is.
fn info_event(info: &Info) -> Event {
    let event = Event::new("info");
    match info {
        Info::Help => event.with("text", command::HELP),
        Info::Text(text) => event.with("text", text.as_str()),
        Info::Peer(pairs) => {
            let pairs: Map<String, Value> =
                pairs.iter().map(|(label, value)| ((*label).to_owned(), value.as_str().into())).collect();
            event.with("peer", pairs)
        }
        Info::Transfers(rows) => event.with("transfers", rows.iter().map(row).collect::<Vec<Value>>()),
        Info::Names { transfer, names } => {
            let names: Vec<Value> = names
                .iter()
                .map(|(path, bytes)| match bytes {
                    Some(bytes) => json!({ "path": path.raw(), "bytes": bytes }),
                    None => json!({ "path": path.raw() }),
                })
                .collect();
            event.with("names", names).with("transfer", *transfer)
        }
    }
}

fn row(row: &TransferInfo) -> Value {
    json!({
        "transfer": row.transfer,
        "direction": direction_word(row.direction),
        "name": row.name.raw(),
        "state": row.state,
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
