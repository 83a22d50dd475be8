//! Formats notices as the rows of the chat, wrapped to the terminal's width.
//!
//! Invariant: a row of the program begins with a time or blanks and then [`PROGRAM_MARK`]; a row of the peer's text begins with a
//! time and a name, or with more blanks than a row of the program. Text of the peer holds neither [`PROGRAM_MARK`] nor [`OWN_MARK`]
//! ([`crate::text::SafeText`] replaces them). So the two are told apart without colour.

use super::message_history::MessageHistory;
use super::screen::Above;
use crate::command;
use crate::text::{OWN_MARK, PROGRAM_MARK};
use crate::ui::frontend::{Purpose, Verbosity};
use crate::ui::messages::Messages;
use crate::ui::qr;
use crate::ui::style::{Paint, Style, Width, cut};
use crate::ui::wrap::{NARROW, NARROW_INDENT, wrap};
use crate::ui::{Info, Notice, PeerText};
use chrono::{NaiveDate, NaiveDateTime};
use std::time::Instant;

/// Before the second and further lines of the program: as wide as the time.
const INDENT: &str = "      ";
/// Columns of a name in front of a message.
const NAME: usize = 24;
/// Columns by which rows of a peer's text are indented: beyond the program's mark.
const TEXT_INDENT: usize = 8;
/// The same for the further rows of a line of the program, after its mark: deeper than a hint.
const CONTINUED: &str = "  ";

/// The time of an event, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Instant,
    pub(super) wall: NaiveDateTime,
}

/// Collects the rows of chat until they are painted.
#[derive(Debug)]
pub(super) struct Chat {
    pub(super) style: Style,
    /// Of the terminal for which rows are made.
    pub(super) columns: usize,
    pub(super) messages: Messages,
    day: Option<NaiveDate>,
    pub(super) history: MessageHistory,
    /// What was not printed yet.
    pub(super) above: Above,
}

impl Chat {
    pub(super) fn new(style: Style, verbosity: Verbosity) -> Self {
        let messages = Messages::new(verbosity, Purpose::Chat);
        Self { style, columns: 80, messages, day: None, history: MessageHistory::default(), above: Above::default() }
    }

    /// Prints what a notice says.
    pub(super) fn notice(&mut self, notice: &Notice, now: Now) {
        let wall = now.wall;
        let message = self.messages.message(notice, now.at);
        match notice {
            Notice::Message { from, text, action, .. } => {
                let from = from.name();
                self.line(wall, Paint::of_peer(from.as_str()), from.as_str(), "  ", text, *action);
            }
            Notice::Sent { text, action, .. } => {
                let own = self.messages.own.clone();
                let after = format!("{OWN_MARK} ");
                self.line(wall, Paint::Own, &own, &after, &PeerText::new(text.as_str()), *action);
            }
            // Without the time, so that it fits the width of a small terminal.
            Notice::Info(Info::Help) => {
                for line in command::HELP.lines().chain(MORE_HELP) {
                    self.rows(
                        &[(Paint::Dim, &format!("{PROGRAM_MARK} "))],
                        Paint::Dim,
                        line,
                        &format!("{PROGRAM_MARK}   "),
                    );
                }
            }
            notice => {
                if let Some((paint, text)) = message {
                    self.say(wall, paint, &text);
                }
                if let Notice::Listening { invite: Some(invite), qr: true, .. } = notice {
                    match qr::rows(invite, crossterm::terminal::size().ok()) {
                        Ok(rows) => rows.iter().for_each(|row| self.above.chat.extend([row, "\r\n"])),
                        Err(text) => self.say(wall, Paint::Dim, &text),
                    }
                }
            }
        }
    }

    /// A line of the program; further lines are hints.
    pub(super) fn say(&mut self, wall: NaiveDateTime, paint: Paint, text: &str) {
        self.new_day(wall);
        let others =
            if self.columns < NARROW { format!("{PROGRAM_MARK} ") } else { format!("{INDENT}{PROGRAM_MARK} ") };
        let time = wall.format("%H:%M ").to_string();
        let mut before: &str = &time;
        for line in text.split('\n') {
            let mark = format!("{PROGRAM_MARK} ");
            self.rows(&[(Paint::Dim, before), (paint, &mark)], paint, line, &format!("{others}{CONTINUED}"));
            before = if self.columns < NARROW { "" } else { INDENT };
        }
    }

    /// A message of either side, as a block when it has several lines.
    fn line(&mut self, wall: NaiveDateTime, paint: Paint, name: &str, after: &str, text: &PeerText, action: bool) {
        self.new_day(wall);
        let number = self.history.add(text.raw());
        let time = wall.format(if action { "%H:%M * " } else { "%H:%M " }).to_string();
        // The time, the name and some text fit into one row, so that a name never begins one.
        let name = &cut(name, NAME.min(self.columns.saturating_sub(TEXT_INDENT + 2 + Width::of(after).most)));
        let head = [(Paint::Dim, time.as_str()), (paint, name), (paint, after)];
        let indent = " ".repeat(if self.columns < NARROW { NARROW_INDENT } else { TEXT_INDENT });
        match text.safe_lines().as_slice() {
            [line] => self.rows(&head, Paint::Plain, line.as_str(), &indent),
            lines => {
                self.rows(&head, Paint::Dim, &format!("{} lines, #{number}", lines.len()), &indent);
                for line in lines {
                    self.rows(&[(Paint::Plain, &indent)], Paint::Plain, line.as_str(), &indent);
                }
            }
        }
    }

    /// A line as rows: `head`, then `text`; the further rows begin with `indent`.
    fn rows(&mut self, head: &[(Paint, &str)], paint: Paint, text: &str, indent: &str) {
        // One column stays free: terminals differ over a row that is exactly full.
        let room = self.columns.saturating_sub(1);
        let taken: usize = head.iter().map(|(_, piece)| Width::of(piece).most).sum();
        for (number, row) in
            wrap(text, room.saturating_sub(taken), room.saturating_sub(Width::of(indent).most)).iter().enumerate()
        {
            if number == 0 {
                head.iter().for_each(|(paint, piece)| self.style.write(&mut self.above.chat, *paint, piece));
            } else {
                self.style.write(&mut self.above.chat, paint, indent);
            }
            self.style.write(&mut self.above.chat, paint, row);
            self.above.chat.push_str("\r\n");
        }
    }

    fn new_day(&mut self, wall: NaiveDateTime) {
        let day = wall.date();
        if self.day.replace(day).is_some_and(|before| before != day) {
            let date = day.format("%A, %-d %B %Y").to_string();
            self.rows(&[(Paint::Dim, &format!("{INDENT}{PROGRAM_MARK} "))], Paint::Dim, &date, INDENT);
        }
    }
}

/// What this frontend adds to the help of all commands.
const MORE_HELP: [&str; 2] = [
    "  /copy [N]  /save N FILE  /bell on|off      N: a message's #number, or none for the last",
    "keys: Ctrl-J newline, Tab completes, Ctrl-R searches, Ctrl-C twice leaves",
];

#[cfg(test)]
mod tests;
