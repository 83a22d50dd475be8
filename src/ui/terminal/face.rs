//! What the person sees and can do: the state behind the screen, without the terminal.
//!
//! Invariant: everything that is shown comes from here, as text for above the block or as the block itself; nothing here
//! waits, reads a clock or writes to a terminal. Lines go to the session through [`InputSender`] and are shown when they
//! come back as [`Notice::Sent`], so what stands in the chat is what went out.

mod lines;

use super::bars::Transfers;
use super::chat::Chat;
use super::completion::{self, Known};
use super::editor::Editor;
use super::history::{History, Search};
use super::inbox::Event;
use super::keys::Key;
use super::layout;
use super::screen::{Above, Block, Size};
use super::style::{Paint, Row, Style, cut};
use crate::ui::{Input, InputSender, Notice, SafeText, Trust};
use chrono::NaiveDateTime;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Ctrl-C twice within this time leaves.
const TWICE: Duration = Duration::from_secs(2);
/// The bell rings at most this often.
const BELL_GAP: Duration = Duration::from_secs(10);
/// What changes with time alone (rates, how long the connection is lost) is shown anew this often.
const TICK: Duration = Duration::from_secs(1);
/// Rows of candidates and hints at most.
const PASSING_ROWS: usize = 4;

/// The time of an event, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Instant,
    pub(super) wall: NaiveDateTime,
}

/// How the face is to be.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) style: Style,
    pub(super) own: String,
    pub(super) verbose: bool,
    pub(super) home: Option<PathBuf>,
    pub(super) history: History,
}

/// The connection, as the status row says it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Link {
    /// No peer yet; what the program does about it.
    Waiting(String),
    Connected,
    LostSince(Instant),
    Ended,
}

/// A question that the next key answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// `/quit`, with transfers open.
    Quit,
    /// Ctrl-C twice, with transfers open.
    Leave,
}

pub(super) struct Face {
    style: Style,
    home: Option<PathBuf>,
    intake: InputSender,
    chat: Chat,
    editor: Editor,
    history: History,
    search: Option<Search>,
    transfers: Transfers,
    peer: Option<(String, Trust)>,
    link: Link,
    /// Own lines that the peer has not acknowledged.
    undelivered: VecDeque<u64>,
    /// Rows that the next key takes away.
    passing: Vec<String>,
    question: Option<Question>,
    /// Whether the end was asked for; the second time nothing is asked.
    leaving: bool,
    interrupted: Option<Instant>,
    focused: bool,
    unseen: usize,
    bell: bool,
    rang: Option<Instant>,
    /// Sequences for the next frame that show nothing.
    unshown: String,
    clear: bool,
    suspend: bool,
}

impl Face {
    pub(super) fn new(setup: Setup, intake: InputSender) -> Self {
        Self {
            chat: Chat::new(setup.style, &setup.own, setup.verbose),
            style: setup.style,
            home: setup.home,
            history: setup.history,
            intake,
            editor: Editor::default(),
            search: None,
            transfers: Transfers::default(),
            peer: None,
            link: Link::Waiting("connecting".into()),
            undelivered: VecDeque::new(),
            passing: Vec::new(),
            question: None,
            leaving: false,
            interrupted: None,
            focused: true,
            unseen: 0,
            bell: true,
            rang: None,
            unshown: String::new(),
            clear: false,
            suspend: false,
        }
    }

    /// Takes a notice of the session.
    pub(super) fn notice(&mut self, notice: &Notice, now: Now) {
        let is_for_eyes = matches!(notice, Notice::Message { .. } | Notice::Offer { asks: true, .. });
        if is_for_eyes && !self.focused {
            self.call_for_eyes(now);
        }
        let name = transfer_of(notice).and_then(|transfer| self.transfers.name(transfer));
        self.chat.notice(notice, name, now.wall);
        self.transfers.notice(notice, now.at);
        match notice {
            Notice::Listening { .. } => self.link = Link::Waiting("waiting for a peer".into()),
            // With `--keep`, after a session.
            Notice::Status(text) if text.starts_with("waiting for") => self.no_peer(Link::Waiting(text.clone())),
            Notice::Connected { peer, trust, .. } => {
                self.peer = Some((super::chat::harmless(&peer.safe()), *trust));
                self.link = Link::Connected;
                self.undelivered.clear();
            }
            Notice::Sent { id, .. } => self.undelivered.push_back(*id),
            Notice::Delivered { id } => {
                while self.undelivered.front().is_some_and(|first| first <= id) {
                    self.undelivered.pop_front();
                }
            }
            Notice::Trust { trust, .. } => {
                if let Some((_, known)) = &mut self.peer {
                    *known = *trust;
                }
            }
            Notice::Lost { .. } => self.link = Link::LostSince(now.at),
            Notice::Reconnected { .. } => self.link = Link::Connected,
            Notice::Bye { .. } => self.no_peer(Link::Ended),
            _ => {}
        }
    }

    fn no_peer(&mut self, link: Link) {
        self.peer = None;
        self.link = link;
        self.undelivered.clear();
    }

    /// Takes an event of the terminal.
    pub(super) fn event(&mut self, event: Event, now: Now) {
        match event {
            Event::Key(key) => self.key(key, now),
            Event::Paste(text) => {
                self.settle_passing();
                self.search = None;
                if !self.editor.paste(&text) {
                    self.hint("too long to paste: send it as a file, /send PATH");
                }
            }
            Event::Focus(focused) => {
                self.focused = focused;
                self.unseen = 0;
            }
            Event::Ended => {
                self.intake.send_now(Input::Ended);
            }
            Event::Resized | Event::Continued => {}
        }
    }

    /// Takes what stands above the block next.
    pub(super) fn take_above(&mut self) -> Above {
        Above {
            chat: self.chat.take(),
            clear: std::mem::take(&mut self.clear),
            unseen: std::mem::take(&mut self.unshown),
        }
    }

    /// Bytes of chat that wait to be printed.
    pub(super) fn waiting(&self) -> usize {
        self.chat.waiting()
    }

    /// Whether Ctrl-Z was pressed since the last call.
    pub(super) fn take_suspend(&mut self) -> bool {
        std::mem::take(&mut self.suspend)
    }

    /// When to show the block again although nothing happens; None while nothing moves.
    pub(super) fn alarm(&self, shown: Instant) -> Option<Instant> {
        let moves = self.transfers.any_runs() || matches!(self.link, Link::LostSince(_));
        let hint_ends = self.interrupted.map(|at| at + TWICE);
        [moves.then(|| shown + TICK), hint_ends].into_iter().flatten().min()
    }

    /// Lets what has had its time go.
    pub(super) fn tick(&mut self, now: Now) {
        if self.interrupted.is_some_and(|at| now.at >= at + TWICE) {
            self.interrupted = None;
            self.passing.clear();
        }
    }

    /// The block for a screen of `size`.
    pub(super) fn block(&self, size: Size, now: Now) -> Block {
        let limit = usize::from(size.columns).saturating_sub(1).max(1);
        let screen = usize::from(size.rows);
        // A third of the screen stays for the chat.
        let most = (screen * 2 / 3).clamp(1, screen.saturating_sub(1).max(1));
        let mut below = Vec::new();
        if most >= 2 {
            below.push(self.status(limit, now));
        }
        let bars = if most >= 4 { (screen / 5).clamp(1, 4) } else { 0 };
        below.extend(self.transfers.rows(self.style, limit, bars, now.at));
        let mut passing = self.passing_rows(limit, PASSING_ROWS.min(most.saturating_sub(below.len() + 1)));
        let room = most.saturating_sub(below.len() + passing.len()).max(1);
        let input = layout::lay_out(self.editor.text(), self.editor.cursor(), self.style, limit, room);
        let mut rows = input.rows;
        rows.append(&mut passing);
        rows.append(&mut below);
        Block { rows, cursor_row: input.cursor_row, cursor_byte: input.cursor_byte, cursor_column: input.cursor_column }
    }

    fn status(&self, limit: usize, now: Now) -> Row {
        let mut row = Row::default();
        row.push(self.style, Paint::Dim, "-- ", limit);
        if let Some((label, trust)) = &self.peer {
            // The trust first: a name comes from the peer and could claim anything after it.
            row.push(self.style, Paint::Dim, &format!("[{}] ", trust.word()), limit);
            row.push(self.style, Paint::of_peer(label), &cut(label, 24), limit);
            row.push(self.style, Paint::Dim, ", ", limit);
        }
        match &self.link {
            Link::Waiting(what) => row.push(self.style, Paint::Dim, what, limit),
            Link::Connected => row.push(self.style, Paint::Dim, "connected", limit),
            Link::LostSince(since) => {
                let seconds = now.at.saturating_duration_since(*since).as_secs();
                row.push(self.style, Paint::Alarm, &format!("lost for {seconds} s, reconnecting"), limit)
            }
            Link::Ended => row.push(self.style, Paint::Dim, "ended", limit),
        };
        let mut extra = Vec::new();
        if !self.undelivered.is_empty() {
            extra.push(format!("{} not delivered", self.undelivered.len()));
        }
        if self.unseen > 0 {
            extra.push(format!("{} unseen", self.unseen));
        }
        for text in extra {
            row.push(self.style, Paint::Dim, &format!(", {text}"), limit);
        }
        row
    }

    fn passing_rows(&self, limit: usize, most: usize) -> Vec<Row> {
        let hint = match (&self.search, self.question) {
            (_, Some(question)) => Some(self.question_text(question)),
            (Some(search), None) => Some(format!("search: {}  (Ctrl-R older, Esc edits)", search.wanted)),
            (None, None) => None,
        };
        let texts = hint.iter().chain(&self.passing);
        let mut rows: Vec<Row> = texts
            .map(|text| {
                let mut row = Row::default();
                row.push(self.style, Paint::Dim, SafeText::clean(text).as_str(), limit);
                row
            })
            .collect();
        rows.truncate(most);
        rows
    }

    fn hint(&mut self, text: impl Into<String>) {
        self.passing = vec![text.into()];
    }

    fn settle_passing(&mut self) {
        self.passing.clear();
        self.question = None;
        self.interrupted = None;
    }

    /// Marks where the unseen begins, and rings, not too often.
    fn call_for_eyes(&mut self, now: Now) {
        if self.unseen == 0 {
            self.chat.say(now.wall, Paint::Dim, "unseen from here on");
        }
        self.unseen += 1;
        if self.bell && self.rang.is_none_or(|at| now.at >= at + BELL_GAP) {
            self.rang = Some(now.at);
            self.unshown.push('\x07');
        }
    }

    fn known(&self) -> Known {
        Known {
            offers: self.transfers.asking(),
            transfers: self.transfers.ids(),
            peer: self.peer.as_ref().map(|(label, _)| label.clone()),
            home: self.home.clone(),
        }
    }
}

/// The transfer that a notice is about.
fn transfer_of(notice: &Notice) -> Option<u32> {
    match notice {
        Notice::Accepted { transfer }
        | Notice::Declined { transfer, .. }
        | Notice::Cancelled { transfer, .. }
        | Notice::Done { transfer, .. }
        | Notice::Failed { transfer, .. } => Some(*transfer),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
