//! For tests: a face and a screen before an emulated terminal, with the clock in hand.

use super::face::{Face, Now, Setup};
use super::history::History;
use super::inbox::Event;
use super::keys::Key;
use super::screen::{Screen, Size};
use super::style::Style;
use crate::ui::{Input, InputBackpressure, InputSender, Notice, PeerText, Trust};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Rows of scrollback that the emulated terminal keeps.
const SCROLLBACK: usize = 20_000;

pub(super) struct Sight {
    pub(super) face: Face,
    pub(super) screen: Screen,
    pub(super) terminal: vt100::Parser,
    pub(super) now: Now,
    pub(super) gate: Arc<InputBackpressure>,
    /// What went to the session.
    given: Arc<Mutex<Vec<Input>>>,
    /// Everything that was written to the terminal.
    pub(super) bytes: String,
    messages: u64,
}

impl Sight {
    pub(super) fn new(columns: u16, rows: u16) -> Self {
        let given = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&given);
        let gate = Arc::new(InputBackpressure::default());
        let intake = InputSender::new(Arc::clone(&gate), move |input| {
            sink.lock().unwrap().push(input);
            true
        });
        let setup = Setup {
            style: Style { colour: false },
            own: "alice".into(),
            verbose: false,
            home: None,
            history: History::default(),
        };
        let wall = chrono::NaiveDate::from_ymd_opt(2026, 5, 5).unwrap().and_hms_opt(14, 5, 0).unwrap();
        let mut sight = Self {
            face: Face::new(setup, intake),
            screen: Screen::new(Size { columns, rows }, true),
            terminal: vt100::Parser::new(rows, columns, SCROLLBACK),
            now: Now { at: Instant::now(), wall },
            gate,
            given,
            bytes: String::new(),
            messages: 0,
        };
        sight.frame();
        sight
    }

    /// With a peer called bob.
    pub(super) fn connected(columns: u16, rows: u16) -> Self {
        let mut sight = Self::new(columns, rows);
        sight.notice(Notice::Connected {
            peer: PeerText::new("bob"),
            fingerprint: "ABCD-EFGH".into(),
            addr: "192.0.2.7:5050".into(),
            verify: None,
            trust: Trust::Known,
            own: "alice".into(),
        });
        sight
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.face.notice(&notice, self.now);
        self.frame();
    }

    /// A line of the peer.
    pub(super) fn hear(&mut self, text: &str) {
        self.messages += 1;
        let (from, text) = (PeerText::new("bob"), PeerText::new(text));
        self.notice(Notice::Message { id: self.messages, from, text, action: false });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.face.event(event, self.now);
        self.frame();
    }

    pub(super) fn key(&mut self, key: Key) {
        self.event(Event::Key(key));
    }

    pub(super) fn typed(&mut self, text: &str) {
        text.chars().for_each(|character| self.key(Key::Insert(character)));
    }

    pub(super) fn enter(&mut self, text: &str) {
        self.typed(text);
        self.key(Key::Enter);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.at += time;
        self.face.tick(self.now);
        self.frame();
    }

    pub(super) fn frame(&mut self) {
        let above = self.face.take_above();
        let block = self.face.block(self.screen.size(), self.now);
        if self.screen.would_change(&above, &block) {
            let mut frame = String::new();
            self.screen.frame(&above, block, &mut frame);
            self.terminal.process(frame.as_bytes());
            self.bytes.push_str(&frame);
        }
    }

    /// What went to the session since the last call.
    pub(super) fn given(&self) -> Vec<Input> {
        std::mem::take(&mut self.given.lock().unwrap())
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
