//! The text of every notice but chat, for the plain and the terminal frontend.
//!
//! What the peer chose (names, paths, reasons) stands last in its line, so that nothing in it reads as the program's words. The frontends
//! put their mark before each line, and wrap.

mod info;
mod meeting;
mod transfers;

use super::format::count;
use super::frontend::{Purpose, Verbosity};
use super::{Direction, Notice, PeerText, Question, SafeText, Side, Trust};
use crate::protocol::frame::{ByeReason, Reason, TransferId};
use std::collections::BTreeMap;
use transfers::{Named, and_more};

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
            Notice::Announced { .. } => match self.purpose {
                Purpose::Chat | Purpose::Send => {
                    format!("your peer finds you on this network with\n{}", self.purpose.command("--lan"))
                }
                Purpose::Receive | Purpose::Pipe => "your peer finds you on this network with --lan".to_owned(),
            },
            Notice::Mapped { addr, by, seconds } => {
                let long = if *seconds == 0 {
                    "; without an end: it stays when the program is killed"
                } else {
                    ", renewed while you listen"
                };
                format!("the router lets callers in at {} ({by}{long})", clean(addr))
            }
            Notice::Connected { .. } => self.connected(notice),
            Notice::Undelivered { lines, .. } => format!("{} did not reach {peer}", count(*lines, "line")),
            Notice::Resent { lines, maybe_seen: 0 } => format!("{} sent again", was(*lines, "line")),
            Notice::Resent { lines, maybe_seen } => {
                format!("{} sent again; {peer} may have {maybe_seen} twice", was(*lines, "line"))
            }
            Notice::Offer { .. }
            | Notice::Accepted { .. }
            | Notice::Declined { .. }
            | Notice::Cancelled { .. }
            | Notice::LeftOut { .. }
            | Notice::File { .. }
            | Notice::Done { .. }
            | Notice::Failed { .. } => self.transfer(notice),
            Notice::Trust { peer, trust } => format!("peer {} is now {}", peer.name(), trust.word()),
            Notice::Info(info) => info::text(info),
            Notice::Lost { reason, lines, transfers } => {
                let waiting = waiting(*lines, *transfers);
                let mut hint = if waiting.is_empty() { String::new() } else { format!("\n{waiting} for its return") };
                if self.purpose != Purpose::Chat && !hint.is_empty() {
                    hint.push_str("; or both press Ctrl-C and do the same again");
                }
                format!("connection lost{}{hint}", because(reason))
            }
            Notice::Reconnected { restarted: true, .. } => {
                format!("your peer is back (the program was restarted): {peer}")
            }
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
                    Side::Peer => match bye_text(*reason) {
                        "" => format!("your peer has left: {peer}"),
                        reason => format!("your peer has left ({reason}): {peer}"),
                    },
                }
            }
        }
    }

    /// What has to be answered, in one row.
    pub(super) fn question(&self, question: &Question) -> String {
        match question {
            Question::Accept { transfer, name, more, dest, again } => {
                let again = if *again { "another folder could not be used; " } else { "" };
                let dest = dest.as_ref().map(|dest| format!(" into {}", clean(&dest.display().to_string())));
                let more = and_more(*more);
                format!("y or n? {again}take [{transfer}] {}{more}{}", name.safe(), dest.unwrap_or_default())
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
