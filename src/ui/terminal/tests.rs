//! For tests: a view and a screen before an emulated terminal, with the clock in hand.

use super::chat::{Chat, Now};
use super::input_history::InputHistory;
use super::keys::Key;
use super::keys::TerminalEvent;
use super::screen::{Screen, Size};
use super::view::View;
use crate::ui::frontend::Verbosity;
use crate::ui::style::Style;
use crate::ui::{Direction, Input, InputBackpressure, InputSender, Notice, PeerText, Trust};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Rows of scrollback that the emulated terminal keeps.
const SCROLLBACK: usize = 20_000;

pub(super) struct TestTerminal {
    pub(super) view: View,
    pub(super) screen: Screen,
    pub(super) terminal: vt100::Parser,
    pub(super) now: Now,
    pub(super) backpressure: Arc<InputBackpressure>,
    /// What went to the session.
    given: Arc<Mutex<Vec<Input>>>,
    /// Everything that was written to the terminal.
    pub(super) bytes: String,
    messages: u64,
}

impl TestTerminal {
    pub(super) fn new(columns: u16, rows: u16) -> Self {
        let given = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&given);
        let backpressure = Arc::new(InputBackpressure::default());
        let input_sender = InputSender::new(Arc::clone(&backpressure), move |input| {
            sink.lock().unwrap().push(input);
            true
        });
        let chat = Chat::new(Style { colour: false }, Verbosity::Normal);
        let wall = chrono::NaiveDate::from_ymd_opt(2026, 5, 5).unwrap().and_hms_opt(14, 5, 0).unwrap();
        let mut screen = Self {
            view: View::new(chat, None, InputHistory::default(), input_sender),
            screen: Screen::new(Size { columns, rows }, true),
            terminal: vt100::Parser::new(rows, columns, SCROLLBACK),
            now: Now { at: Instant::now(), wall },
            backpressure,
            given,
            bytes: String::new(),
            messages: 0,
        };
        screen.frame();
        screen
    }

    /// With a peer called bob.
    pub(super) fn connected(columns: u16, rows: u16) -> Self {
        let mut screen = Self::new(columns, rows);
        screen.meets("ABCD-EFGH");
        screen
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.view.set_size(self.screen.size());
        self.view.notice(&notice, self.now);
        self.frame();
    }

    /// Somebody called bob, by this fingerprint.
    fn meets(&mut self, fingerprint: &str) {
        self.notice(Notice::Connected {
            peer: PeerText::new("bob"),
            fingerprint: fingerprint.into(),
            addr: "192.0.2.7:5050".into(),
            verify: None,
            trust: Trust::Known,
            uninvited: false,
            own: "alice".into(),
        });
    }

    /// A line of the peer.
    pub(super) fn hear(&mut self, text: &str) {
        self.messages += 1;
        let (from, text) = (PeerText::new("bob"), PeerText::new(text));
        self.notice(Notice::Message { id: self.messages, from, text, action: false });
    }

    pub(super) fn event(&mut self, event: TerminalEvent) {
        self.view.event(event, self.now);
        self.frame();
    }

    pub(super) fn key(&mut self, key: Key) {
        self.event(TerminalEvent::Key(key));
    }

    pub(super) fn typed(&mut self, text: &str) {
        text.chars().for_each(|character| self.event(TerminalEvent::Text(character.into())));
    }

    pub(super) fn enter(&mut self, text: &str) {
        self.typed(text);
        self.key(Key::Enter);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.at += time;
        self.view.tick(self.now);
        self.frame();
    }

    pub(super) fn frame(&mut self) {
        let above = self.view.take_above();
        let block = self.view.block(self.screen.size(), self.now);
        if let Some(frame) = self.screen.frame(&above, block) {
            let (_, columns) = self.terminal.screen().size();
            self.terminal.process(without_overflow(&frame, usize::from(columns)).as_bytes());
            self.bytes.push_str(&frame);
        }
    }

    /// What went to the session since the last call, lines without whom they are for.
    pub(super) fn given(&self) -> Vec<Input> {
        let given = std::mem::take(&mut *self.given.lock().unwrap());
        let bare = |input| if let Input::LineTo { line, .. } = input { Input::Line(line) } else { input };
        given.into_iter().map(bare).collect()
    }

    /// The rows of the screen, without blank ones at its end.
    pub(super) fn rows(&self) -> Vec<String> {
        rows(&self.terminal)
    }

    /// Scrollback and screen.
    pub(super) fn everything(&mut self) -> Vec<String> {
        everything(&mut self.terminal)
    }
}

/// The emulator has no autowrap to switch off: leaves out what a terminal would not show of the rows that are painted without.
fn without_overflow(frame: &str, columns: usize) -> String {
    let (mut kept, mut column, mut wraps) = (String::new(), 0, true);
    let mut rest = frame;
    while let Some(first) = rest.chars().next() {
        wraps = !rest.starts_with("\x1b[?7l") && (wraps || rest.starts_with("\x1b[?7h"));
        let length = match rest.strip_prefix("\x1b[") {
            Some(sequence) => 3 + sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap(),
            None if first == '\x1b' => 2,
            None => first.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        column = if first == '\r' { 0 } else { column + usize::from(!first.is_control()) };
        if first.is_control() || wraps || column <= columns {
            kept.push_str(piece);
        }
        rest = after;
    }
    kept
}

/// Of one file of 3 GiB.
pub(super) fn offer(transfer: u32, direction: Direction, name: &str) -> Notice {
    Notice::Offer {
        transfer,
        direction,
        name: PeerText::new(name),
        more: 0,
        files: 1,
        folders: 0,
        bytes: Some(3 << 30),
        clashes: None,
        free: None,
        was: None,
    }
}

pub(super) fn rows(terminal: &vt100::Parser) -> Vec<String> {
    let (_, columns) = terminal.screen().size();
    let mut rows: Vec<String> = terminal.screen().rows(0, columns).map(|row| row.trim_end().to_owned()).collect();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}

pub(super) fn everything(terminal: &mut vt100::Parser) -> Vec<String> {
    let (_, columns) = terminal.screen().size();
    terminal.screen_mut().set_scrollback(usize::MAX);
    let back = terminal.screen().scrollback();
    let mut all = Vec::new();
    for first in (1..=back).rev() {
        terminal.screen_mut().set_scrollback(first);
        all.extend(terminal.screen().rows(0, columns).next().map(|row| row.trim_end().to_owned()));
    }
    terminal.screen_mut().set_scrollback(0);
    all.extend(rows(terminal));
    all
}
