//! What is said of a transfer, from its offer to its end.

use super::{Messages, Said, because, clean, reason_text};
use crate::protocol::frame::Reason;
use crate::ui::format::{count, duration, rate, size};
use crate::ui::frontend::{Purpose, Verbosity};
use crate::ui::open_transfers::{and_more, renamed};
use crate::ui::style::Paint;
use crate::ui::{Direction, Notice, PeerText, SafeText, Side, Stop, TransferState};

impl Messages {
    pub(super) fn offer(&self, notice: &Notice) -> String {
        let Notice::Offer { transfer, direction, name, more, files, folders, bytes, clashes, free, was } = notice
        else {
            return String::new();
        };
        let who = match direction {
            Direction::In => format!("{} offers", self.peer),
            Direction::Out => format!("offered to {}:", self.peer),
        };
        let folders = if *folders > 0 { format!(" in {}", count(*folders, "folder")) } else { String::new() };
        let what = match bytes {
            Some(bytes) => format!("{}{folders}, {}", count(*files, "file"), size(*bytes)),
            None => "a stream of unknown length".into(),
        };
        let was = was.map(|was| format!(" (goes on with [{was}])")).unwrap_or_default();
        let mut text = format!("[{transfer}] {who} {what}{was}: {}{}", name.safe(), and_more(*more));
        let short = free.zip(*bytes).is_some_and(|(free, bytes)| free < bytes);
        let free = free.filter(|_| short || self.verbosity == Verbosity::Verbose);
        let free = free.map(|free| format!("{}{} free here", if short { "only " } else { "" }, size(free)));
        let clashes = match clashes {
            None | Some(0) => None,
            Some(1) => Some("1 name exists already".to_owned()),
            Some(clashes) => Some(format!("{clashes} names exist already")),
        };
        let notes: Vec<String> = [free, clashes].into_iter().flatten().collect();
        if !notes.is_empty() {
            text.push('\n');
            text.push_str(&notes.join(", "));
        }
        text
    }

    /// A file that is finished. One that was received under another name is named without `-v`, too, and a folder that has another name
    /// once, not for each file in it.
    pub(super) fn file(
        &self,
        transfer: u32,
        path: &PeerText,
        bytes: u64,
        blake3: &str,
        offered: Option<&PeerText>,
    ) -> Said {
        if let Some(offered) = offered {
            let (entry, local) = renamed(offered.raw(), path.raw());
            if self.open.get(transfer).is_none_or(|open| open.renamed != entry) {
                let (entry, local) = (PeerText::new(entry).safe(), PeerText::new(local).safe());
                let text = format!("[{transfer}] {entry}, received as {local}");
                return (Verbosity::Normal, Paint::Dim, text);
            }
        }
        let text = format!("[{transfer}] {}, {}\nblake3 {}", path.safe(), size(bytes), clean(blake3));
        (Verbosity::Verbose, Paint::Dim, text)
    }

    pub(super) fn done(&self, notice: &Notice) -> String {
        let Notice::Done { transfer, path, more, files, bytes, wire_bytes, took } = notice else {
            return String::new();
        };
        let how = match self.open.get(*transfer).map(|open| open.direction) {
            Some(Direction::In) => "received",
            Some(Direction::Out) => "sent",
            None => "done:",
        };
        // A time that nobody had to wait is not worth reading, nor its rate.
        let rate = rate(*bytes, *took).filter(|_| took.as_secs() >= 1);
        let rate = rate.map(|rate| format!(" in {}, {}/s", duration(*took), size(rate))).unwrap_or_default();
        let less = wire_bytes.filter(|wire| *wire < bytes / 20 * 19);
        let wire = less.map(|wire| format!(", {} on the wire", size(wire))).unwrap_or_default();
        let what = format!("{}, {}{rate}{wire}", count(*files, "file"), size(*bytes));
        format!("[{transfer}] {how} {what}: {}{}", path.safe(), and_more(*more))
    }

    /// A transfer as a whole.
    pub(super) fn failed(&self, transfer: u32, reason: &SafeText, part: Option<&PeerText>, cut: bool) -> String {
        let text = format!("{}{}", self.of("failed", transfer), because(reason));
        let open = self.open.get(transfer);
        let is_stream = open.is_some_and(|open| open.total.is_none());
        let goes_on = open.filter(|open| cut && open.state == TransferState::Running && !is_stream);
        if goes_on.is_some() && matches!(self.purpose, Purpose::Send | Purpose::Receive) {
            format!("{text}\nwhat arrived is kept: both do the same again, and it goes on where it stopped")
        } else if let Some(part) = part.map(PeerText::safe) {
            match is_stream {
                true => format!("{text}\nwhat came of it is in {part}; to keep or remove it: p2pchat partials"),
                false => format!("{text}\nwhen the same is sent again it goes on with the part in {part}"),
            }
        } else if goes_on.is_some_and(|open| open.direction == Direction::Out) {
            format!("{text}\nwhat arrived is kept there: when you send the same again, it goes on where it stopped")
        } else {
            text
        }
    }

    pub(super) fn stopped(&self, transfer: u32, how: Stop, by: Side, reason: Reason, detail: &SafeText) -> Said {
        let name = self.open.get(transfer).map(|open| format!(" {}", open.full_name())).unwrap_or_default();
        let (lowest, who) = match (by, reason) {
            (Side::Own, Reason::User) => (Verbosity::Normal, "you "),
            (Side::Own, _) => (Verbosity::Normal, ""),
            (Side::Peer, _) => (Verbosity::Quiet, &*format!("{} ", self.peer)),
        };
        let text = format!("[{transfer}] {who}{}{name}{}", how.word(), because(&reason_text(reason, detail)));
        (lowest, Paint::Dim, text)
    }

    /// `what` happened to a transfer, with its name where that is known.
    pub(super) fn of(&self, what: &str, transfer: u32) -> String {
        match self.open.get(transfer) {
            Some(open) => format!("[{transfer}] {what}: {}", open.full_name()),
            None => format!("[{transfer}] {what}"),
        }
    }
}
