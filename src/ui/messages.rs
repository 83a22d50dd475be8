//! The text of every notice but chat, for the plain and the terminal frontend.
//!
//! What the peer chose (names, paths, reasons) stands last in its line, so that nothing in it reads as the program's words. The frontends
//! put their mark before each line, and wrap.

mod info;
mod meeting;
mod transfers;

use super::format::count;
use super::frontend::{Purpose, Verbosity};
use super::open_transfers::{OpenTransfers, and_more};
use super::style::Paint;
use super::{Direction, Notice, PeerText, Question, SafeText, Side, Trust};
use crate::protocol::frame::{ByeReason, Reason, TransferId};
use std::time::Instant;

/// From which verbosity on it is said, how it looks, and the words.
type Said = (Verbosity, Paint, String);

/// Formats notices; keeps the state that later texts need.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) verbosity: Verbosity,
    purpose: Purpose,
    /// What this side calls itself, as the session says; empty before there is one.
    pub(super) own: String,
    peer: String,
    /// As of the last notice.
    pub(super) open: OpenTransfers,
}

impl Messages {
    pub(super) fn new(verbosity: Verbosity, purpose: Purpose) -> Self {
        Self { verbosity, purpose, own: String::new(), peer: "the peer".into(), open: OpenTransfers::default() }
    }

    /// How a notice that comes now looks, and its lines, safe and without marks, of which those after the first are hints; none at a
    /// verbosity that is too low.
    pub(super) fn message(&mut self, notice: &Notice, now: Instant) -> Option<(Paint, String)> {
        if let Notice::Connected { peer, own, .. } = notice {
            self.peer = peer.name().to_string();
            self.own = PeerText::new(own.as_str()).name().to_string();
        }
        let said = self.said(notice);
        self.open.notice(notice, now);
        let (lowest, paint, text) = said?;
        (self.verbosity >= lowest).then_some((paint, text))
    }

    fn said(&self, notice: &Notice) -> Option<Said> {
        let quiet = |text: String| (Verbosity::Quiet, Paint::Dim, text);
        let normal = |text: String| (Verbosity::Normal, Paint::Dim, text);
        let alarm = |text: String| (Verbosity::Quiet, Paint::Alarm, text);
        // Of a one-shot nobody is asked to stay, and the end of the transfer was told.
        let in_chat = if self.purpose == Purpose::Chat { Verbosity::Normal } else { Verbosity::Verbose };
        let peer = &self.peer;
        Some(match notice {
            Notice::Message { .. }
            | Notice::Sent { .. }
            | Notice::Delivered { .. }
            | Notice::Progress { .. }
            | Notice::Published(_)
            | Notice::Question { .. }
            | Notice::QuestionGone { .. } => return None,
            Notice::Status(text) => (Verbosity::Verbose, Paint::Dim, clean(text)),
            Notice::Listening { addrs, code, invite, .. } => {
                quiet(self.listening(addrs, code.as_deref().map(String::as_str), invite.as_deref().map(String::as_str)))
            }
            Notice::Announced { .. } => normal(match self.purpose {
                Purpose::Chat | Purpose::Send => {
                    format!("your peer finds you on this network with\n{}", self.purpose.command("--lan"))
                }
                Purpose::Receive | Purpose::Pipe => "your peer finds you on this network with --lan".to_owned(),
            }),
            Notice::Mapped { addr, by, seconds } => {
                let long = if *seconds == 0 {
                    "; without an end: it stays when the program is killed"
                } else {
                    ", renewed while you listen"
                };
                normal(format!("the router lets callers in at {} ({by}{long})", clean(addr)))
            }
            Notice::Connected { verify, trust, .. } => {
                let asks = verify.is_some() && *trust != Trust::Verified;
                (Verbosity::Quiet, if asks { Paint::Bold } else { Paint::Dim }, self.connected(notice))
            }
            Notice::Undelivered { lines, .. } => alarm(format!("{} did not reach {peer}", count(*lines, "line"))),
            Notice::Resent { lines, maybe_seen: 0 } => {
                normal(format!("{} sent again", counted(*lines, "line", ["was", "were"])))
            }
            Notice::Resent { lines, maybe_seen } => normal(format!(
                "{} sent again; {peer} may have {maybe_seen} twice",
                counted(*lines, "line", ["was", "were"])
            )),
            Notice::Offer { direction: Direction::In, .. } => (Verbosity::Quiet, Paint::Bold, self.offer(notice)),
            Notice::Offer { direction: Direction::Out, .. } => normal(self.offer(notice)),
            Notice::Accepted { transfer } => {
                self.open.get(*transfer)?;
                (Verbosity::Verbose, Paint::Dim, self.of("begins", *transfer))
            }
            Notice::Stopped { transfer, how, by, reason, detail } => {
                self.stopped(*transfer, *how, *by, *reason, detail)
            }
            Notice::LeftOut { transfer, path: Some(path), reason, .. } => {
                alarm(format!("[{transfer}] not sent: {}{}", path.safe(), because(reason)))
            }
            Notice::LeftOut { transfer, path: None, count: more, reason } => {
                alarm(format!("[{transfer}] not sent: {} more{}", count(*more, "name"), because(reason)))
            }
            Notice::File { transfer, path, bytes, blake3, offered } => {
                self.file(*transfer, path, *bytes, blake3, offered.as_ref())
            }
            Notice::Done { .. } => normal(self.done(notice)),
            Notice::Failed { transfer, path: Some(path), reason, .. } => {
                alarm(format!("[{transfer}] failed: {}{}", path.safe(), because(reason)))
            }
            Notice::Failed { transfer, path: None, reason, part, cut } => {
                alarm(self.failed(*transfer, reason, part.as_ref(), *cut))
            }
            Notice::Trust { peer, trust } => normal(format!("peer {} is now {}", peer.name(), trust.word())),
            Notice::Info(info) => quiet(info::text(info)),
            Notice::Lost { reason, lines, transfers } => {
                let waiting = waiting(*lines, *transfers);
                let mut hint = if waiting.is_empty() { String::new() } else { format!("\n{waiting} for its return") };
                if self.purpose != Purpose::Chat && !hint.is_empty() {
                    hint.push_str("; or both press Ctrl-C and do the same again");
                }
                (Verbosity::Normal, Paint::Alarm, format!("connection lost{}{hint}", because(reason)))
            }
            Notice::Reconnected { restarted: true } => {
                normal(format!("your peer is back (the program was restarted): {peer}"))
            }
            Notice::Reconnected { restarted: false } => normal("connected again".into()),
            Notice::Leaving { transfers, lines, lost } => {
                let what = waiting(*lines, *transfers);
                let until = if *lost { ", once connected again" } else { "" };
                let text = format!("leaving when all is done{until}; {what}\n/quit again leaves at once, /stay stays");
                (in_chat, Paint::Bold, text)
            }
            Notice::Staying => normal("staying".into()),
            Notice::PeerGone { listens } => {
                let again = if *listens { "listens" } else { "dials" };
                quiet(format!("Enter on an empty line leaves, /again {again} again"))
            }
            Notice::Warning(text) => alarm(format!("warning: {text}")),
            Notice::Error { text, .. } => alarm(format!("error: {text}")),
            Notice::Bye { from: Side::Own, .. } => (in_chat, Paint::Dim, "goodbye".into()),
            Notice::Bye { from: Side::Peer, reason } => {
                let why = match bye_text(*reason) {
                    "" => String::new(),
                    reason => format!(" ({reason})"),
                };
                (in_chat, Paint::Dim, format!("your peer has left{why}: {peer}"))
            }
        })
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
                    (None, transfers) => format!(" when {} done", counted(transfers, "transfer", ["is", "are"])),
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
pub(super) fn waiting(lines: usize, transfers: usize) -> String {
    match (lines, transfers) {
        (0, 0) => String::new(),
        (lines, 0) => counted(lines, "line", ["waits", "wait"]),
        (0, transfers) => counted(transfers, "transfer", ["waits", "wait"]),
        (lines, transfers) => format!("{} and {} wait", count(lines, "line"), count(transfers, "transfer")),
    }
}

/// `1 line waits`, `2 lines wait`: the verb of one and that of several.
fn counted(number: usize, what: &str, verb: [&str; 2]) -> String {
    let [one, several] = verb;
    format!("{} {}", count(number, what), if number == 1 { one } else { several })
}

/// A reason, if there is one, as the end of a line.
fn because(reason: &SafeText) -> String {
    if reason.as_str().is_empty() { String::new() } else { format!(": {reason}") }
}

fn clean(text: &str) -> String {
    SafeText::clean(text).to_string()
}
