//! What is said of a transfer, from its offer to its end.

use super::{Messages, because, clean, reason_text};
use crate::protocol::frame::Reason;
use crate::ui::format::{count, duration, rate, seconds, size};
use crate::ui::frontend::{Purpose, Verbosity};
use crate::ui::{Direction, Notice, PeerText, SafeText, Side};
use std::path::MAIN_SEPARATOR;

/// What is remembered of an open transfer, for later notices that have only its number.
#[derive(Debug)]
pub(super) struct Named {
    direction: Direction,
    name: String,
    accepted: bool,
    /// It has an end that both sides know, so it can go on in another run.
    resumable: bool,
    /// The entry whose other name here was told last.
    renamed: String,
}

impl Messages {
    /// Whether the other name under which a file was received was not told just before: that of a folder is told once, not for each
    /// file in it.
    fn is_new_name(&mut self, transfer: u32, offered: &PeerText, path: &PeerText) -> bool {
        let Some(named) = self.transfers.get_mut(&transfer) else { return true };
        let (entry, _) = renamed(offered.raw(), path.raw());
        let new = named.renamed != entry;
        named.renamed = entry.to_owned();
        new
    }

    /// The text of a notice about a transfer.
    pub(super) fn transfer(&mut self, notice: &Notice) -> String {
        match notice {
            Notice::Offer { .. } => self.offer(notice),
            Notice::Accepted { transfer } => {
                let accepted = self.transfers.get_mut(transfer).map(|named| named.accepted = true);
                accepted.map(|()| self.of("begins", *transfer)).unwrap_or_default()
            }
            Notice::Declined { transfer, by, reason, detail } => {
                self.ended(*transfer, *by, "declined", *reason, detail)
            }
            Notice::Cancelled { transfer, by, reason, detail } => {
                self.ended(*transfer, *by, "cancelled", *reason, detail)
            }
            Notice::LeftOut { transfer, path: Some(path), reason, .. } => {
                format!("[{transfer}] not sent: {}{}", path.safe(), because(reason))
            }
            Notice::LeftOut { transfer, path: None, count: more, reason } => {
                format!("[{transfer}] not sent: {} more{}", count(*more, "name"), because(reason))
            }
            Notice::File { transfer, path, offered: Some(offered), .. }
                if self.is_new_name(*transfer, offered, path) =>
            {
                let (offered, path) = renamed(offered.raw(), path.raw());
                format!("[{transfer}] {}, received as {}", PeerText::new(offered).safe(), PeerText::new(path).safe())
            }
            Notice::File { offered: Some(_), .. } if self.verbosity < Verbosity::Verbose => String::new(),
            Notice::File { transfer, path, bytes, blake3, .. } => {
                format!("[{transfer}] {}, {}\nblake3 {}", path.safe(), size(*bytes), clean(blake3))
            }
            Notice::Done { transfer, path, more, files, bytes, wire_bytes, seconds: took } => {
                let how = match self.transfers.remove(transfer).map(|named| named.direction) {
                    Some(Direction::In) => "received",
                    Some(Direction::Out) => "sent",
                    None => "done:",
                };
                let time = seconds(*took);
                // A time that nobody had to wait is not worth reading, nor its rate.
                let rate = rate(*bytes, time).filter(|_| *took >= 1.0);
                let rate = rate.map(|rate| format!(" in {}, {rate}", duration(time))).unwrap_or_default();
                let less = wire_bytes.filter(|wire| *wire < bytes / 20 * 19);
                let wire = less.map(|wire| format!(", {} on the wire", size(wire))).unwrap_or_default();
                let what = format!("{}, {}{rate}{wire}", count(*files, "file"), size(*bytes));
                format!("[{transfer}] {how} {what}: {}{}", path.safe(), and_more(*more))
            }
            Notice::Failed { transfer, path: Some(path), reason, .. } => {
                format!("[{transfer}] failed: {}{}", path.safe(), because(reason))
            }
            Notice::Failed { transfer, path: None, reason, part, cut } => {
                let mut text = format!("{}{}", self.of("failed", *transfer), because(reason));
                let named = self.transfers.remove(transfer);
                let goes_on = named.as_ref().is_some_and(|named| named.accepted && named.resumable);
                let direction = named.map(|named| named.direction);
                if *cut && goes_on && matches!(self.purpose, Purpose::Send | Purpose::Receive) {
                    text.push_str("\nwhat arrived is kept: both do the same again, and it goes on where it stopped");
                } else if let Some(part) = part {
                    text.push_str("\nwhen the same is sent again it goes on with the part in ");
                    text.push_str(part.safe().as_str());
                } else if *cut && goes_on && direction == Some(Direction::Out) {
                    text.push_str(
                        "\nwhat arrived is kept there: when you send the same again, it goes on where it stopped",
                    );
                }
                text
            }
            _ => String::new(),
        }
    }

    fn offer(&mut self, notice: &Notice) -> String {
        let Notice::Offer { transfer, direction, name, more, files, folders, bytes, clashes, free, was } = notice
        else {
            return String::new();
        };
        let name = format!("{}{}", name.safe(), and_more(*more));
        let who = match direction {
            Direction::In => format!("{} offers", self.peer),
            Direction::Out => format!("offered to {}:", self.peer),
        };
        let folders = if *folders > 0 { format!(" in {}", count(*folders, "folder")) } else { String::new() };
        let what = match bytes {
            Some(bytes) => format!("{}{folders}, {}", count(*files, "file"), size(*bytes)),
            None => "a stream of unknown length".into(),
        };
        was.map(|was| self.transfers.remove(&was));
        let was = was.map(|was| format!(" (goes on with [{was}])")).unwrap_or_default();
        let mut text = format!("[{transfer}] {who} {what}{was}: {name}");
        self.transfers.insert(
            *transfer,
            Named { direction: *direction, name, accepted: false, resumable: bytes.is_some(), renamed: String::new() },
        );
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

    fn ended(&mut self, transfer: u32, by: Side, how: &str, reason: Reason, detail: &SafeText) -> String {
        let named = self.transfers.remove(&transfer);
        let name = named.map(|named| format!(" {}", named.name)).unwrap_or_default();
        let who = match (by, reason) {
            (Side::Own, Reason::User) => "you ",
            (Side::Own, _) => "",
            (Side::Peer, _) => &format!("{} ", self.peer),
        };
        format!("[{transfer}] {who}{how}{name}{}", because(&reason_text(reason, detail)))
    }

    /// `what` happened to a transfer, with its name where that is known.
    fn of(&self, what: &str, transfer: u32) -> String {
        match self.transfers.get(&transfer) {
            Some(named) => format!("[{transfer}] {what}: {}", named.name),
            None => format!("[{transfer}] {what}"),
        }
    }
}

/// The innermost entry on the way to a file whose name here is another: as it was offered, and its local path.
fn renamed<'a>(offered: &'a str, path: &'a str) -> (&'a str, &'a str) {
    let (mut offered, mut path) = (offered, path);
    let split = |path: &'a str| path.rsplit_once(['/', MAIN_SEPARATOR]);
    while let (Some((folder, name)), Some((dest, local))) = (offered.rsplit_once('/'), split(path))
        && name == local
    {
        (offered, path) = (folder, dest);
    }
    (offered, path)
}

pub(super) fn and_more(more: u32) -> String {
    if more > 0 { format!(" and {more} more") } else { String::new() }
}
