//! The rows of the block: the input, the question, hints, what moves, the status.

use super::super::input_layout;
use super::super::screen::{Block, Size};
use super::{Now, SLOW_DELIVERY, SentLine, View};
use crate::ui::messages::waiting;
use crate::ui::style::{Paint, Row, cut};
use crate::ui::wrap::wrap;
use crate::ui::{SafeText, format};

/// Rows of candidates and hints at most.
pub(super) const HINT_ROWS: usize = 4;
/// Rows of a question at most.
const QUESTION_ROWS: usize = 3;
/// Rows that are left to the input where something takes them that can do without.
const INPUT_ROWS: usize = 2;
/// Own lines at most that are shown as not delivered.
const UNDELIVERED_ROWS: usize = 3;

impl View {
    /// The block for a screen of `size`.
    pub(in crate::ui::terminal) fn block(&self, size: Size, now: Now) -> Block {
        let style = self.chat.style;
        let limit = usize::from(size.columns).saturating_sub(1).max(1);
        let screen = usize::from(size.rows);
        // A third of the screen stays for the chat.
        let most = (screen * 2 / 3).clamp(1, screen.saturating_sub(1).max(1));
        let mut below = Vec::new();
        if most >= 2 {
            below.push(self.status(limit, now));
        }
        let bars = if most >= 4 { (screen / 5).clamp(1, 4) } else { 0 };
        below.extend(self.chat.messages.open.rows(style, limit, bars, now.at));
        let hints = self.hint_rows(limit, HINT_ROWS.min(most.saturating_sub(below.len() + 1)));
        let room = most.saturating_sub(below.len() + hints.len() + INPUT_ROWS).min(UNDELIVERED_ROWS);
        let undelivered = self.undelivered_rows(limit, room, now);
        let room = most.saturating_sub(below.len() + hints.len() + undelivered.len()).max(1);
        let mut block = input_layout::lay_out(self.editor.text(), self.editor.cursor(), style, limit, room);
        for mut rows in [hints, undelivered, below] {
            block.rows.append(&mut rows);
        }
        block
    }

    fn status(&self, limit: usize, now: Now) -> Row {
        let mut row = Row::of(self.chat.style, limit, Paint::Dim, "-- ");
        match &self.peer {
            None => row.push(Paint::Dim, SafeText::clean(&self.waits).as_str()),
            Some(peer) => {
                // The trust first: a name comes from the peer and could claim anything after it.
                row.push(Paint::Dim, &format!("[{}] ", peer.trust.word()));
                row.push(Paint::of_peer(&peer.label), &cut(&peer.label, 24));
                row.push(Paint::Dim, ", ");
                match peer.lost.map(|since| now.at.saturating_duration_since(since).as_secs()) {
                    None => row.push(Paint::Dim, "connected"),
                    Some(seconds) => row.push(Paint::Alarm, &format!("lost for {seconds} s")),
                }
            }
        }
        let lost = self.is_lost();
        let slow = self.slow(now).count();
        let extra = [
            (self.leaving, "leaving when done".to_owned()),
            (
                slow > 0,
                if lost { waiting(slow, 0) } else { format!("{} not delivered yet", format::count(slow, "line")) },
            ),
            (lost, "reconnecting".to_owned()),
            (self.unseen > 0, format!("{} unseen", self.unseen)),
        ];
        for (_, text) in extra.iter().filter(|(shown, _)| *shown) {
            row.push(Paint::Dim, &format!(", {text}"));
        }
        row
    }

    /// Own lines that are not delivered, though they could be by now.
    fn slow(&self, now: Now) -> impl Iterator<Item = &SentLine> {
        self.undelivered.iter().filter(move |sent| self.is_lost() || now.at >= sent.at + SLOW_DELIVERY)
    }

    /// The mark of own lines that are not delivered: such a line once more, for as long as that is so. In the chat itself it would
    /// have to be taken back, and what has scrolled away cannot be changed.
    fn undelivered_rows(&self, limit: usize, most: usize, now: Now) -> Vec<Row> {
        let mark = if self.is_lost() { "waits: " } else { "not there yet: " };
        let text = |sent: &SentLine| format!("{mark}{}", SafeText::clean(&sent.begin));
        let row = |sent| Row::of(self.chat.style, limit, Paint::Dim, &text(sent));
        self.slow(now).take(most).map(row).collect()
    }

    fn hint_rows(&self, limit: usize, most: usize) -> Vec<Row> {
        let question = self.questions.front().map(|(_, question)| self.chat.messages.question(question));
        let question = question.as_deref().map(|question| wrap(question, limit, limit)).unwrap_or_default();
        let question = question.into_iter().take(QUESTION_ROWS).map(|row| (Paint::Bold, row.to_owned()));
        let search = self.search.as_ref();
        let search = search.map(|search| (Paint::Dim, format!("search: {}  (Ctrl-R older, Esc edits)", search.wanted)));
        let hints = self.hints.iter().flat_map(|hint| wrap(hint, limit, limit));
        let hints = hints.map(|row| (Paint::Dim, row.to_owned()));
        let rows = question.chain(search).chain(hints).take(most);
        rows.map(|(paint, text)| Row::of(self.chat.style, limit, paint, SafeText::clean(&text).as_str())).collect()
    }
}
