//! From notices to the lines of the chat.
//!
//! Invariant: text of the peer reaches the terminal only through [`harmless`], so no peer moves the cursor, and none writes
//! [`MARK`] or [`OWN`], which are how lines of the program and of this side's user are told apart without colour, also
//! where a long line of the peer wraps to the first column.

use super::kept::Kept;
use super::style::{Paint, Style, cut};
use crate::command;
use crate::ui::{Direction, Info, Notice, PeerText, SafeText, TransferInfo, Trust, words};
use chrono::{NaiveDate, NaiveDateTime};

/// Before each line of the program's own.
pub(super) const MARK: char = '¦';
/// After the own name.
pub(super) const OWN: char = '▸';
/// What the peer gets for them.
const INSTEAD: [char; 2] = ['|', '>'];
/// Before the second and further lines of a message: as wide as the time.
const INDENT: &str = "      ";
/// Columns of a name in front of a message.
const NAME: usize = 24;

/// Text of the peer without what only the program may write.
pub(super) fn harmless(text: &SafeText) -> String {
    let [mark, own] = INSTEAD;
    text.as_str()
        .chars()
        .map(|character| match character {
            MARK => mark,
            OWN => own,
            other => other,
        })
        .collect()
}

/// Writes the chat.
#[derive(Debug)]
pub(super) struct Chat {
    style: Style,
    verbose: bool,
    own: String,
    peer: String,
    day: Option<NaiveDate>,
    kept: Kept,
    /// Lines that were not printed yet, each ended by CR LF.
    out: String,
}

impl Chat {
    pub(super) fn new(style: Style, own: &str, verbose: bool) -> Self {
        let own = harmless(&SafeText::clean(own));
        Self { style, verbose, own, peer: "peer".into(), day: None, kept: Kept::default(), out: String::new() }
    }

    /// Takes what is to be printed.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// Bytes that wait to be printed.
    pub(super) fn waiting(&self) -> usize {
        self.out.len()
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// A line of the program's own; further lines are hints.
    pub(super) fn say(&mut self, wall: NaiveDateTime, paint: Paint, text: &str) {
        self.new_day(wall);
        for (number, line) in text.split('\n').enumerate() {
            let time = if number == 0 { wall.format("%H:%M ").to_string() } else { INDENT.into() };
            self.style.write(&mut self.out, Paint::Dim, &time);
            self.style.write(&mut self.out, paint, &format!("{MARK} {line}"));
            self.end();
        }
    }

    /// Prints what a notice says; `name` is that of the transfer it is about.
    pub(super) fn notice(&mut self, notice: &Notice, name: Option<&str>, wall: NaiveDateTime) {
        let of = |transfer: &u32| match name {
            Some(name) => format!("{name} ({transfer})"),
            None => format!("transfer {transfer}"),
        };
        let peer = self.peer.clone();
        let who = |by_peer: &bool| if *by_peer { peer.clone() } else { "you".to_owned() };
        let text = match notice {
            Notice::Listening { addrs, code } => listening(addrs, code.as_deref()),
            Notice::Status(text) => SafeText::clean(text).as_str().into(),
            Notice::Connected { .. } => return self.connected(notice, wall),
            Notice::Message { from, text, action, .. } => {
                let from = harmless(&from.safe());
                return self.message(wall, Paint::of_peer(&from), &cut(&from, NAME), " ", text, *action);
            }
            Notice::Sent { text, action, .. } => {
                let own = cut(&self.own, NAME);
                return self.message(wall, Paint::Own, &own, &OWN.to_string(), &PeerText::new(text.as_str()), *action);
            }
            Notice::Offer { .. } => return self.offer(notice, wall),
            Notice::Accepted { transfer } => format!("begins: {}", of(transfer)),
            Notice::Declined { transfer, reason, by_peer } => {
                format!("{} declined {}{}", who(by_peer), of(transfer), because(reason))
            }
            Notice::Cancelled { transfer, reason, by_peer } => {
                format!("{} cancelled {}{}", who(by_peer), of(transfer), because(reason))
            }
            Notice::File { path, bytes, .. } if self.verbose => {
                format!("{}, {}", harmless(&path.safe()), words::size(*bytes))
            }
            Notice::Done { transfer, path, files, bytes, seconds } => {
                let time = words::duration(words::seconds(*seconds));
                let count = words::count(*files, "file");
                format!(
                    "done: {}, {count}, {} in {time}\n{}",
                    of(transfer),
                    words::size(*bytes),
                    harmless(&path.safe())
                )
            }
            Notice::Failed { transfer, path, reason } => {
                let what = path.as_ref().map_or_else(|| of(transfer), |path| harmless(&path.safe()));
                return self.say(wall, Paint::Alarm, &format!("failed: {what}{}", because(reason)));
            }
            Notice::Trust { peer, trust } => format!("{} is {} now", harmless(&peer.safe()), trust.word()),
            Notice::Info(info) => return self.info(info, wall),
            Notice::Lost { reason, waiting } => {
                let waiting = if *waiting > 0 { format!("; {waiting} waiting") } else { String::new() };
                let text = format!("connection lost{}{waiting}", because(reason));
                return self.say(wall, Paint::Alarm, &text);
            }
            Notice::Reconnected { .. } => "connected again".into(),
            Notice::Warning(text) => return self.say(wall, Paint::Alarm, &format!("warning: {}", mended(text))),
            Notice::Error { text, .. } => return self.say(wall, Paint::Alarm, &mended(text)),
            Notice::Bye { from_peer, reason } => {
                format!("{}{}", if *from_peer { format!("{peer} has left") } else { "bye".into() }, because(reason))
            }
            Notice::Delivered { .. } | Notice::Progress { .. } | Notice::File { .. } => return,
        };
        self.say(wall, Paint::Dim, &text);
    }

    fn connected(&mut self, notice: &Notice, wall: NaiveDateTime) {
        let Notice::Connected { peer, fingerprint, addr, verify, trust, own } = notice else { return };
        self.peer = harmless(&peer.safe());
        self.own = harmless(&SafeText::clean(own));
        let mut text = format!("connected to {} ({}), {}", self.peer, SafeText::clean(addr), trust.word());
        if self.verbose || *trust == Trust::New {
            text.push_str(&format!("\nfingerprint {fingerprint}"));
        }
        self.say(wall, Paint::Dim, &text);
        if let Some(number) = verify.as_ref().filter(|_| *trust != Trust::Verified) {
            let text = format!("compare this number with {} by voice, then /verify: {number}", self.peer);
            self.say(wall, Paint::Bold, &text);
        }
    }

    /// A message of either side, as a block when it has several lines.
    fn message(&mut self, wall: NaiveDateTime, paint: Paint, name: &str, after: &str, text: &PeerText, action: bool) {
        self.new_day(wall);
        let number = self.kept.add(text.raw());
        let lines: Vec<String> = text.safe_lines().iter().map(harmless).collect();
        self.style.write(&mut self.out, Paint::Dim, &wall.format("%H:%M ").to_string());
        if action {
            self.out.push_str("* ");
        }
        self.style.write(&mut self.out, paint, name);
        self.style.write(&mut self.out, paint, after);
        self.out.push(' ');
        match lines.as_slice() {
            [line] => self.out.push_str(line),
            lines => {
                let text = format!("{} lines, #{number}", lines.len());
                self.style.write(&mut self.out, Paint::Dim, &text);
                for line in lines {
                    self.end();
                    self.out.push_str(INDENT);
                    self.out.push_str(line);
                }
            }
        }
        self.end();
    }

    fn offer(&mut self, notice: &Notice, wall: NaiveDateTime) {
        let Notice::Offer { transfer, direction, name, more, files, folders, bytes, clashes, free, asks } = notice
        else {
            return;
        };
        let mut what = harmless(&name.safe());
        if *more > 0 {
            what.push_str(&format!(" and {more} more"));
        }
        let mut size = words::count(*files, "file");
        if *folders > 0 {
            size.push_str(&format!(" in {}", words::count(*folders, "folder")));
        }
        let size = format!("{size}, {}", words::size(*bytes));
        if *direction == Direction::Out {
            let text = format!("offered {what} to {}: {size} (transfer {transfer})", self.peer);
            return self.say(wall, Paint::Dim, &text);
        }
        let mut text = format!("{} offers {what}: {size} (transfer {transfer})", self.peer);
        if let Some(free) = free {
            let only = if free < bytes { "only " } else { "" };
            text.push_str(&format!("\n{only}{} free here", words::size(*free)));
        }
        match clashes {
            Some(0) | None => {}
            Some(1) => text.push_str(", one name exists already"),
            Some(clashes) => text.push_str(&format!(", {clashes} names exist already")),
        }
        self.say(wall, Paint::Dim, &text);
        if *asks {
            let text =
                format!("take it? y or n and Enter; elsewhere: /accept {transfer} DIR; names: /transfers {transfer}");
            self.say(wall, Paint::Bold, &text);
        }
    }

    fn info(&mut self, info: &Info, wall: NaiveDateTime) {
        let text = match info {
            Info::Help => {
                // Without the time, so that it fits the width of a small terminal.
                for line in command::HELP.lines().chain(MORE_HELP) {
                    self.style.write(&mut self.out, Paint::Dim, &format!("{MARK} {line}"));
                    self.end();
                }
                return;
            }
            Info::Peer(pairs) => {
                let lines = pairs.iter().map(|(label, value)| format!("{label}: {}", harmless(value)));
                lines.collect::<Vec<_>>().join("\n")
            }
            Info::Transfers(rows) if rows.is_empty() => "no transfers".into(),
            Info::Transfers(rows) => rows.iter().map(transfer_line).collect::<Vec<_>>().join("\n"),
            Info::Names { transfer, names } => {
                let mut lines = vec![format!("in transfer {transfer}:")];
                lines.extend(names.iter().map(|(path, bytes)| {
                    let size = bytes.map_or_else(String::new, |bytes| format!("  {}", words::size(bytes)));
                    format!("  {}{size}", harmless(&path.safe()))
                }));
                lines.join("\n")
            }
            Info::Text(text) => mended(text),
        };
        self.say(wall, Paint::Dim, &text);
    }

    fn new_day(&mut self, wall: NaiveDateTime) {
        let day = wall.date();
        if self.day.replace(day).is_some_and(|before| before != day) {
            let date = format!("{INDENT}{MARK} {}", day.format("%A, %-d %B %Y"));
            self.style.write(&mut self.out, Paint::Dim, &date);
            self.end();
        }
    }

    fn end(&mut self) {
        self.out.push_str("\r\n");
    }
}

/// What this face adds to the help of all commands.
const MORE_HELP: [&str; 2] = [
    "  /copy [N]  /save N FILE  /bell on|off      N is the number of a block",
    "keys: Ctrl-J newline, Tab completes, Ctrl-R searches, Ctrl-C twice leaves",
];

fn listening(addrs: &[String], code: Option<&str>) -> String {
    let mut text = "waiting for your peer, who runs one of:".to_owned();
    for command in words::to_dial(addrs, code.is_some()) {
        text.push_str("\n  ");
        text.push_str(&command);
    }
    if let Some(code) = code {
        text.push_str(&format!("\nand then types this code: {}", SafeText::clean(code)));
    }
    text
}

/// A reason, if there is one, as the end of a sentence.
fn because(reason: &SafeText) -> String {
    if reason.as_str().is_empty() { String::new() } else { format!(": {}", harmless(reason)) }
}

/// A text of the program's own, whose further lines are hints.
fn mended(text: &SafeText) -> String {
    harmless(text)
}

fn transfer_line(row: &TransferInfo) -> String {
    let arrow = if row.direction == Direction::In { "↓" } else { "↑" };
    let files = if row.files > 1 { format!(", {} of {} files", row.files_done, row.files) } else { String::new() };
    let (bytes, total) = (words::size(row.bytes), words::size(row.total));
    format!("{arrow} {} {}: {}, {bytes} of {total}{files}", row.transfer, harmless(&row.name.safe()), row.state)
}

#[cfg(test)]
mod tests;
