//! The line being typed: text, cursor, and what was killed.
//!
//! Invariant: the cursor stands between two grapheme clusters, so that no key ever splits an emoji or leaves an accent
//! behind; the text holds no control characters but newlines and tabs.

use super::keys::Key;
use crate::ui::style::{Width, fitting};
use unicode_segmentation::GraphemeCursor;

/// The longest text in bytes: twice a message's 64,000, so that a paste that is too long can still be cut down.
pub(super) const LONGEST: usize = 128 * 1024;

#[derive(Debug, Default)]
pub(super) struct Editor {
    text: String,
    cursor: usize,
    killed: String,
    /// The last key killed, so the next kill adds to it.
    killing: bool,
    /// The column that Up and Down try to keep.
    column: Option<usize>,
}

impl Editor {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The cursor's byte in the text.
    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Replaces the text; the cursor goes to its end.
    pub(super) fn set(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
        self.killing = false;
        self.column = None;
    }

    /// Inserts what was typed, as far as there is room.
    pub(super) fn typed(&mut self, text: &str) {
        self.killing = false;
        self.column = None;
        let fits = text.floor_char_boundary(LONGEST.saturating_sub(self.text.len()));
        self.insert(&normalised(text.get(..fits).unwrap_or_default()));
    }

    /// Inserts what was pasted; false when it would become too long, and nothing changes.
    pub(super) fn paste(&mut self, pasted: &str) -> bool {
        let plain = normalised(pasted);
        let fits = self.text.len() + plain.len() <= LONGEST;
        if fits {
            self.insert(&plain);
        }
        fits
    }

    /// Replaces the bytes from `start` to the cursor, as completion does.
    pub(super) fn replace_before_cursor(&mut self, start: usize, with: &str) {
        if self.text.is_char_boundary(start) && start <= self.cursor {
            self.text.replace_range(start..self.cursor, with);
            self.cursor = self.boundary_at_or_after(start + with.len());
        }
    }

    /// Handles a key that edits or moves; false when it is no such key, or Up or Down at the first or last line.
    pub(super) fn key(&mut self, key: Key) -> bool {
        let killing = std::mem::take(&mut self.killing);
        let column = self.column.take();
        match key {
            Key::Newline => self.typed("\n"),
            Key::Left => self.cursor = self.before(self.cursor),
            Key::Right => self.cursor = self.after(self.cursor),
            Key::WordLeft => self.cursor = self.word_start(),
            Key::WordRight => self.cursor = self.word_end(),
            Key::Start => self.cursor = self.line_start(self.cursor),
            Key::End => self.cursor = self.line_end(self.cursor),
            Key::Up => return self.up(column),
            Key::Down => return self.down(column),
            Key::Backspace => self.remove(self.before(self.cursor), self.cursor),
            Key::Delete | Key::DeleteOrQuit => self.remove(self.cursor, self.after(self.cursor)),
            Key::KillToEnd => {
                let end = self.line_end(self.cursor);
                let end = if end == self.cursor { self.after(end) } else { end };
                self.kill(self.cursor, end, killing);
            }
            Key::KillToStart => self.kill(self.line_start(self.cursor), self.cursor, killing),
            Key::KillBlankWord => self.kill(self.blank_word_start(), self.cursor, killing),
            Key::KillWordLeft => self.kill(self.word_start(), self.cursor, killing),
            Key::KillWordRight => self.kill(self.cursor, self.word_end(), killing),
            Key::Yank => {
                let killed = std::mem::take(&mut self.killed);
                if self.text.len() + killed.len() <= LONGEST {
                    self.insert(&killed);
                }
                self.killed = killed;
            }
            Key::Transpose => self.transpose(),
            _ => return false,
        }
        true
    }

    fn insert(&mut self, text: &str) {
        self.text.insert_str(self.cursor, text);
        // What was inserted may have joined with what follows.
        self.cursor = self.boundary_at_or_after(self.cursor + text.len());
    }

    fn remove(&mut self, start: usize, end: usize) {
        self.text.replace_range(start..end, "");
        self.cursor = self.boundary_at_or_after(start);
    }

    /// Kills what begins or ends at the cursor; `adding` it to what was killed, on that side of it.
    fn kill(&mut self, start: usize, end: usize, adding: bool) {
        if !adding {
            self.killed.clear();
        }
        let place = if end == self.cursor { 0 } else { self.killed.len() };
        self.killed.insert_str(place, self.text.get(start..end).unwrap_or_default());
        self.killing = true;
        self.remove(start, end);
    }

    /// Swaps the clusters around the cursor, or the last two at the end of the line.
    fn transpose(&mut self) {
        let at_end = self.cursor == self.line_end(self.cursor);
        let middle = if at_end { self.before(self.cursor) } else { self.cursor };
        let (start, end) = (self.before(middle), self.after(middle));
        let (Some(left), Some(right)) = (self.text.get(start..middle), self.text.get(middle..end)) else { return };
        if left.is_empty() || left == "\n" || right == "\n" {
            return;
        }
        let swapped = format!("{right}{left}");
        self.text.replace_range(start..end, &swapped);
        self.cursor = self.boundary_at_or_after(end);
    }

    fn up(&mut self, column: Option<usize>) -> bool {
        let start = self.line_start(self.cursor);
        let column = column.unwrap_or_else(|| self.width(start, self.cursor));
        let Some(end) = start.checked_sub(1) else { return false };
        self.cursor = self.at_column(self.line_start(end), end, column);
        self.column = Some(column);
        true
    }

    fn down(&mut self, column: Option<usize>) -> bool {
        let start = self.line_start(self.cursor);
        let column = column.unwrap_or_else(|| self.width(start, self.cursor));
        let end = self.line_end(self.cursor);
        if end == self.text.len() {
            return false;
        }
        self.cursor = self.at_column(end + 1, self.line_end(end + 1), column);
        self.column = Some(column);
        true
    }

    fn width(&self, start: usize, end: usize) -> usize {
        Width::of(self.text.get(start..end).unwrap_or_default()).most
    }

    fn at_column(&self, start: usize, end: usize, column: usize) -> usize {
        start + fitting(self.text.get(start..end).unwrap_or_default(), column)
    }

    fn line_start(&self, from: usize) -> usize {
        let before = self.text.get(..from).unwrap_or_default();
        before.rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn line_end(&self, from: usize) -> usize {
        let after = self.text.get(from..).unwrap_or_default();
        from + after.find('\n').unwrap_or(after.len())
    }

    fn before(&self, from: usize) -> usize {
        let mut cursor = GraphemeCursor::new(from, self.text.len(), true);
        cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn after(&self, from: usize) -> usize {
        let mut cursor = GraphemeCursor::new(from, self.text.len(), true);
        cursor.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len())
    }

    fn boundary_at_or_after(&self, from: usize) -> usize {
        let mut cursor = GraphemeCursor::new(from, self.text.len(), true);
        match cursor.is_boundary(&self.text, 0) {
            Ok(true) => from,
            _ => self.after(from),
        }
    }

    /// Back over what is no word, then over the word.
    fn word_start(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let word_end = before.trim_end_matches(|character: char| !character.is_alphanumeric());
        let start = word_end.trim_end_matches(is_of_word).len();
        self.boundary_at_or_after(start)
    }

    /// On over what is no word, then over the word.
    fn word_end(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        let word = after.trim_start_matches(|character: char| !character.is_alphanumeric());
        let rest = word.trim_start_matches(is_of_word);
        self.boundary_at_or_after(self.text.len() - rest.len())
    }

    fn blank_word_start(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let start = before.trim_end().trim_end_matches(|character: char| !character.is_whitespace()).len();
        self.boundary_at_or_after(start)
    }
}

/// Letters, digits, and the marks that combine with them.
fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || Width::of(character.encode_utf8(&mut [0; 4])).most == 0
}

/// Text with newlines alone at line ends (terminals send CR, files CR LF) and no other controls but tabs.
fn normalised(pasted: &str) -> String {
    let newlines = pasted.replace("\r\n", "\n").replace('\r', "\n");
    newlines.chars().filter(|character| !character.is_control() || matches!(character, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests;
