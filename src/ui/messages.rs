//! The text of every notice but chat, for the plain and the terminal frontend.
//!
//! What the peer chose (names, paths, reasons) stands last in its line, so that nothing in it reads as the program's words. The frontends
//! put their mark before each line, and wrap.

use super::format::{count, duration, percent, rate, seconds, size, to_dial};
use super::frontend::{Purpose, Verbosity};
use super::{Direction, Info, Notice, PeerText, Question, SafeText, Side, TransferInfo, TransferState, Trust};
use crate::command;
use crate::protocol::frame::{ByeReason, Reason, TransferId};
use std::collections::BTreeMap;
use std::path::MAIN_SEPARATOR;

/// How a message stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Normal,
    /// Something to read or do.
    Strong,
    /// Errors, warnings, losses.
    Alarm,
}

/// Safe lines without marks; those after the first are hints.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) tone: Tone,
    pub(super) lines: Vec<String>,
}

impl Message {
    pub(super) fn new(tone: Tone, text: &str) -> Self {
        Self { tone, lines: text.split('\n').map(str::to_owned).collect() }
    }
}

/// What is remembered of an open transfer, for later notices that have only its number.
#[derive(Debug)]
struct Named {
    direction: Direction,
    name: String,
    accepted: bool,
    /// It has an end that both sides know, so it can go on in another run.
    resumable: bool,
    /// The entry whose other name here was told last.
    renamed: String,
}

/// Formats notices; keeps the state that later texts need.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) verbosity: Verbosity,
    purpose: Purpose,
    own: String,
    peer: String,
    /// Bounded by the session.
    transfers: BTreeMap<u32, Named>,
}

impl Messages {
    pub(super) fn new(own: &str, verbosity: Verbosity) -> Self {
        Self {
            verbosity,
            purpose: Purpose::Chat,
            own: PeerText::new(own).name().to_string(),
            peer: "the peer".into(),
            transfers: BTreeMap::new(),
        }
    }

    pub(super) fn with_purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// What this side calls itself.
    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// The lines of a notice; none when there are none at this verbosity.
    pub(super) fn message(&mut self, notice: &Notice) -> Option<Message> {
        let shown = self.verbosity >= self.lowest(notice);
        let text = self.text(notice);
        if !shown || text.is_empty() {
            return None;
        }
        let tone = match notice {
            Notice::Failed { .. }
            | Notice::LeftOut { .. }
            | Notice::Lost { .. }
            | Notice::Undelivered { .. }
            | Notice::Warning(_)
            | Notice::Error { .. } => Tone::Alarm,
            Notice::Connected { verify: Some(_), trust: Trust::New | Trust::Known, .. } | Notice::Leaving { .. } => {
                Tone::Strong
            }
            Notice::Offer { direction: Direction::In, .. } => Tone::Strong,
            _ => Tone::Normal,
        };
        Some(Message::new(tone, &text))
    }

    /// The lowest verbosity at which the notice is shown.
    fn lowest(&self, notice: &Notice) -> Verbosity {
        match notice {
            // Nobody is asked to stay, and the end of the transfer was told.
            Notice::Leaving { .. } | Notice::Bye { .. } if self.purpose != Purpose::Chat => Verbosity::Verbose,
            Notice::Status(_) | Notice::File { offered: None, .. } | Notice::Accepted { .. } => Verbosity::Verbose,
            Notice::Listening { .. }
            | Notice::Connected { .. }
            | Notice::Offer { direction: Direction::In, .. }
            | Notice::Question { .. }
            | Notice::Failed { .. }
            | Notice::LeftOut { .. }
            | Notice::Undelivered { .. }
            | Notice::Declined { by: Side::Peer, .. }
            | Notice::Cancelled { by: Side::Peer, .. }
            | Notice::Info(_)
            | Notice::PeerGone { .. }
            | Notice::Warning(_)
            | Notice::Error { .. } => Verbosity::Quiet,
            _ => Verbosity::Normal,
        }
    }

    /// Whether the other name under which a file was received was not told just before: that of a folder is told once, not for each
    /// file in it.
    fn is_new_name(&mut self, transfer: u32, offered: &PeerText, path: &PeerText) -> bool {
        let Some(named) = self.transfers.get_mut(&transfer) else { return true };
        let (entry, _) = renamed(offered.raw(), path.raw());
        let new = named.renamed != entry;
        named.renamed = entry.to_owned();
        new
    }

    fn text(&mut self, notice: &Notice) -> String {
        let peer = self.peer.clone();
        match notice {
            Notice::Message { .. }
            | Notice::Sent { .. }
            | Notice::Delivered { .. }
            | Notice::Progress { .. }
            | Notice::Published { .. }
            | Notice::Question { .. }
            | Notice::QuestionGone { .. } => String::new(),
            Notice::Status(text) => clean(text),
            Notice::Listening { addrs, code, invite, .. } => self.listening(addrs, code.as_deref(), invite.as_deref()),
            Notice::Connected { .. } => self.connected(notice),
            Notice::Undelivered { lines, .. } => format!("{} did not reach {peer}", count(*lines, "line")),
            Notice::Resent { lines, maybe_seen: 0 } => format!("{} sent again", was(*lines, "line")),
            Notice::Resent { lines, maybe_seen } => {
                format!("{} sent again; {peer} may have {maybe_seen} twice", was(*lines, "line"))
            }
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
                let goes_on = self.transfers.get(transfer).is_some_and(|named| named.accepted && named.resumable);
                if *cut && goes_on && matches!(self.purpose, Purpose::Send | Purpose::Receive) {
                    text.push_str("\nwhat arrived is kept: both do the same again, and it goes on where it stopped");
                } else if let Some(part) = part {
                    text.push_str("\nwhen the same is sent again it goes on with the part in ");
                    text.push_str(part.safe().as_str());
                }
                self.transfers.remove(transfer);
                text
            }
            Notice::Trust { peer, trust } => format!("peer {} is now {}", peer.name(), trust.word()),
            Notice::Info(info) => self::info(info),
            Notice::Lost { reason, lines, transfers } => {
                let waiting = waiting(*lines, *transfers);
                let mut hint = if waiting.is_empty() { String::new() } else { format!("\n{waiting} for its return") };
                if self.purpose != Purpose::Chat && !hint.is_empty() {
                    hint.push_str("; or both press Ctrl-C and do the same again");
                }
                format!("connection lost{}{hint}", because(reason))
            }
            Notice::Reconnected { restarted: true, .. } => format!("{peer} is back (the program was restarted)"),
            Notice::Reconnected { .. } => "connected again".into(),
            Notice::Leaving { transfers, lines, lost } => {
                let what = waiting(*lines, *transfers);
                let until = if *lost { ", once connected again" } else { "" };
                format!("leaving when all is done{until}; {what}\n/quit again leaves at once, /stay stays")
            }
            Notice::Staying => "staying".into(),
            Notice::PeerGone { listens } => {
                let again = if *listens { "listens" } else { "dials" };
                format!("Enter on an empty line leaves, /again {again} again")
            }
            Notice::Warning(text) => format!("warning: {text}"),
            Notice::Error { text, .. } => format!("error: {text}"),
            Notice::Bye { from, reason } => {
                self.transfers.clear();
                match from {
                    Side::Own => "goodbye".into(),
                    Side::Peer => format!("{peer} has left{}", because(&bye_text(*reason).into())),
                }
            }
        }
    }

    /// A line to copy for each address.
    fn listening(&self, addrs: &[String], code: Option<&str>, invite: Option<&str>) -> String {
        if let Some(invite) = invite {
            let text = format!(
                "waiting for your peer; send them this, by any messenger, to one person\n{}",
                self.purpose.command(invite)
            );
            if self.purpose != Purpose::Chat {
                return text;
            }
            let commands: Vec<_> = to_dial(self.purpose, addrs, false).iter().map(|line| format!("\n{line}")).collect();
            return format!("{text}\nor they type one of these, and you compare a number{}", commands.concat());
        }
        let bound = addrs.first().map(|addr| clean(addr)).unwrap_or_default();
        let what = match self.purpose {
            Purpose::Chat => "connects",
            Purpose::Send => "receives",
            Purpose::Receive | Purpose::Pipe => "sends",
        };
        let mut text = format!("listening at {bound}; your peer {what} with");
        for command in to_dial(self.purpose, addrs, code.is_some()) {
            text.push('\n');
            text.push_str(&command);
        }
        if let Some(code) = code {
            text.push_str(&format!("\nand this code: {}", clean(code)));
        }
        text
    }

    fn connected(&mut self, notice: &Notice) -> String {
        let Notice::Connected { peer, fingerprint, addr, verify, trust, uninvited, own } = notice else {
            return String::new();
        };
        self.peer = peer.name().to_string();
        self.own = PeerText::new(own.as_str()).name().to_string();
        // Somebody on the way to the peer knows when to come, but not the invite.
        let known = match (trust, uninvited) {
            (Trust::New, false) => "new: never met before",
            (Trust::New, true) => "new, NOT by the invite",
            (Trust::Known, false) => "known, not verified",
            (Trust::Known, true) => "known, not verified, NOT by the invite",
            (Trust::Verified, _) => "verified",
        };
        let mut text = format!("connected to {} at {} ({known})", self.peer, clean(addr));
        if self.verbosity == Verbosity::Verbose || (*trust == Trust::New && self.verbosity > Verbosity::Quiet) {
            text.push_str(&format!("\nfingerprint {fingerprint}; your own name here is {}", self.own));
        }
        match verify {
            Some(number) if *trust != Trust::Verified => text.push_str(&format!(
                "\nverification number {number}\ncompare it with {} by voice; when it is the same: /verify",
                self.peer
            )),
            Some(number) if self.verbosity == Verbosity::Verbose => {
                text.push_str(&format!("\nverification number {number}"));
            }
            _ => {}
        }
        text
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

    /// What has to be answered, in one row.
    pub(super) fn question(&self, question: &Question) -> String {
        match question {
            Question::Accept { transfer, name, dest, again } => {
                let again = if *again { "another folder could not be used; " } else { "" };
                let dest = dest.as_ref().map(|dest| format!(" into {}", clean(&dest.display().to_string())));
                format!("y or n? {again}take [{transfer}] {}{}", name.safe(), dest.unwrap_or_default())
            }
            Question::Resend { lines } => {
                format!("y or n? {} did not reach {}: send now", count(*lines, "line"), self.peer)
            }
            Question::Leave { transfers, offers, lost } => {
                let waits = match (lost, transfers.len()) {
                    (None, 0) => String::new(),
                    (Some(0), 0) => " now".to_owned(),
                    (Some(lines), transfers) => format!(" now; {}", waiting(*lines, transfers)),
                    (None, transfers) => format!(" when {} done", is(transfers, "transfer")),
                };
                let numbers = |ids: &[TransferId]| ids.iter().map(|id| format!(" [{id}]")).collect::<String>();
                let mut text = format!("y or n? leave{waits}{}", numbers(transfers));
                if let Some((_, name)) = offers.first() {
                    let ids: Vec<_> = offers.iter().map(|(id, _)| *id).collect();
                    let more = and_more(u32::try_from(ids.len().saturating_sub(1)).unwrap_or(u32::MAX));
                    text.push_str(&format!(", declining{}: {}{more}", numbers(&ids), name.safe()));
                }
                text
            }
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

/// Why a transfer was declined or cancelled: the detail where there is one, else the words for the reason.
pub(super) fn reason_text(reason: Reason, detail: &SafeText) -> SafeText {
    if !detail.as_str().is_empty() {
        return detail.clone();
    }
    SafeText::from(match reason {
        Reason::Confirmed | Reason::User => "",
        Reason::Rule => "--accept does not take it",
        Reason::TooMuch => "too many transfers at once, or too many names",
        Reason::Names => "names that cannot be received",
        Reason::Space => "not enough space",
        Reason::Io => "an error of the file system",
        Reason::Changed => "it changed while it was sent",
        Reason::Leaving => "leaving",
    })
}

/// Why one side left; empty for `/quit`.
pub(super) fn bye_text(reason: ByeReason) -> &'static str {
    match reason {
        ByeReason::Quit => "",
        ByeReason::InputEnded => "its input ended",
        ByeReason::Signal => "interrupted",
        ByeReason::Failure => "an error there",
    }
}

fn info(info: &Info) -> String {
    match info {
        Info::Help => command::HELP.to_owned(),
        Info::Text(text) => text.to_string(),
        Info::Peer(pairs) => lines(pairs.iter().map(|(label, value)| format!("{label}: {value}"))),
        Info::Transfers(rows) if rows.is_empty() => "no transfers".into(),
        Info::Transfers(rows) => lines(rows.iter().map(row)),
        Info::Names { transfer, from, total, names } => {
            let last = from.saturating_add(names.len()).saturating_sub(1);
            let heading = format!("[{transfer}] names {from} to {last} of {total}");
            let rows = names.iter().map(|(path, bytes)| {
                // The size first, so that a name never begins a row.
                format!("{:>10}  {}", bytes.map(size).unwrap_or_default(), path.safe())
            });
            let next = last.saturating_add(1);
            let more = (last < *total).then(|| format!("go on with /transfers {transfer} {next}"));
            lines(std::iter::once(heading).chain(rows).chain(more))
        }
    }
}

fn row(row: &TransferInfo) -> String {
    let TransferInfo { transfer, direction, name, state, bytes, total, files_done, files } = row;
    let way = match direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let state = match state {
        TransferState::Preparing => "preparing".to_owned(),
        TransferState::Offered => "waits for the peer's answer".to_owned(),
        TransferState::Arriving => "its list arrives".to_owned(),
        TransferState::Asking => "waits for your answer".to_owned(),
        TransferState::Running => match total {
            Some(total) => format!("{} %, {} of {}", percent(*bytes, *total), size(*bytes), size(*total)),
            None => size(*bytes),
        },
    };
    let done = if *files > 1 { format!(", {files_done} of {files} files") } else { String::new() };
    format!("[{transfer}] {way}, {state}{done}: {}", name.safe())
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn and_more(more: u32) -> String {
    if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// `2 lines and 1 transfer wait`; empty for nothing.
fn waiting(lines: usize, transfers: usize) -> String {
    let verb = if lines.saturating_add(transfers) == 1 { "waits" } else { "wait" };
    match (lines, transfers) {
        (0, 0) => String::new(),
        (lines, 0) => format!("{} {verb}", count(lines, "line")),
        (0, transfers) => format!("{} {verb}", count(transfers, "transfer")),
        (lines, transfers) => format!("{} and {} {verb}", count(lines, "line"), count(transfers, "transfer")),
    }
}

fn was(number: usize, what: &str) -> String {
    format!("{} {}", count(number, what), if number == 1 { "was" } else { "were" })
}

fn is(number: usize, what: &str) -> String {
    format!("{} {}", count(number, what), if number == 1 { "is" } else { "are" })
}

/// A reason, if there is one, as the end of a line.
fn because(reason: &SafeText) -> String {
    if reason.as_str().is_empty() { String::new() } else { format!(": {reason}") }
}

fn clean(text: &str) -> String {
    SafeText::clean(text).to_string()
}
