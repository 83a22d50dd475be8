//! The renderer: chat above, a block of rows (input, hints, bars, status) below it.
//!
//! Invariant: [`Screen`] knows what it painted last and how far above the cursor that begins; it moves only relative to the
//! cursor, and erases only from the first row of its block downwards. It writes bytes to a buffer and knows no terminal.
//!
//! 1. From the cursor (in the input row) go up to the first row of the block.
//! 2. With chat to print: erase the block row by row, print the chat, whose rows fit when they are made.
//! 3. Make room for the new block by line feeds, then paint it; nothing scrolls while that happens, so the place saved with
//!    `ESC 7` is where the cursor belongs. The terminal decides how wide an emoji is.
//!
//! When its width changes a terminal wraps all rows anew, and no one can say whether a frame that was on its way met it
//! before or after. So that this makes no difference:
//!
//! - What stands below the cursor is the block's down to the end of the screen, and need not be counted. So the input comes
//!   first in the block, and all else below.
//! - The rows down to the cursor are painted with autowrap on, though they are made never to need it: a frame that comes
//!   too late wraps as it would have been wrapped.
//! - Where a count is in doubt it is the smaller one: a leftover row of the block is better than an erased row of chat.

use crate::ui::style::Row;

/// A terminal's size in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: u16,
    pub(super) rows: u16,
}

/// The rows to show last, and where the cursor belongs in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) rows: Vec<Row>,
    /// The row of the cursor.
    pub(super) cursor_row: usize,
    /// The byte of that row's text before which the cursor stands.
    pub(super) cursor_byte: usize,
    /// The column of the cursor, as well as it can be known.
    pub(super) cursor_column: usize,
}

/// Chat and other bytes for a frame.
#[derive(Debug, Default)]
pub(super) struct Above {
    /// Rows that end in CR LF.
    pub(super) chat: String,
    /// Whether to scroll what is shown into the scrollback first.
    pub(super) clear: bool,
    /// Sequences that show nothing: the bell, the clipboard.
    pub(super) unseen: String,
}

impl Above {
    pub(super) fn is_empty(&self) -> bool {
        self.chat.is_empty() && !self.clear && self.unseen.is_empty()
    }
}

/// What stands on the terminal, and how to change it.
#[derive(Debug)]
pub(super) struct Screen {
    /// Whether the terminal wraps rows anew when its width changes.
    reflows: bool,
    size: Size,
    shown: Block,
    /// The size changed since the block was painted.
    moved: bool,
}

const SYNC_ON: &str = "\x1b[?2026h";
const SYNC_OFF: &str = "\x1b[?2026l";
const HIDE: &str = "\x1b[?25l";
const SHOW: &str = "\x1b[?25h";
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";
const SAVE: &str = "\x1b7";
const BACK: &str = "\x1b8";
const ERASE_ROW: &str = "\x1b[2K";
const HOME: &str = "\x1b[H";

impl Screen {
    pub(super) fn new(size: Size, reflows: bool) -> Self {
        Self { reflows, size, shown: Block::default(), moved: false }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// The size is another now, and the block where the terminal's own reflow put it.
    pub(super) fn resize(&mut self, size: Size) {
        self.size = size;
        self.moved = true;
    }

    /// The block is gone: another program had the terminal.
    pub(super) fn forget(&mut self) {
        self.shown = Block::default();
        self.moved = false;
    }

    /// One frame: the chat of `above`, then `block`; None when it would change nothing.
    pub(super) fn frame(&mut self, above: &Above, block: Block) -> Option<String> {
        let block = self.fit(block);
        if !self.moved && above.is_empty() && block == self.shown {
            return None;
        }
        let above_cursor = self.rows_above();
        // What stands below the cursor is the block's, so too many do no harm where they cannot be counted.
        let mut standing = if self.moved { above_cursor + usize::from(self.size.rows) } else { self.shown.rows.len() };
        let mut frame = String::new();
        let out = &mut frame;
        out.push_str(SYNC_ON);
        out.push_str(HIDE);
        out.push_str(&above.unseen);
        out.push('\r');
        up(out, above_cursor);
        if !above.chat.is_empty() || above.clear || self.moved {
            erase(out, standing);
            standing = 0;
        }
        out.push_str(&above.chat);
        if above.clear {
            // From wherever the cursor is, this scrolls exactly the rows above it into the scrollback.
            feed(out, usize::from(self.size.rows).saturating_sub(1));
            out.push_str(HOME);
        }
        paint(out, &block, standing);
        out.push_str(SHOW);
        out.push_str(SYNC_OFF);
        self.shown = block;
        self.moved = false;
        Some(frame)
    }

    /// How many rows of the block stand above the cursor: never too many, so that a doubt leaves a row standing rather than erases chat.
    pub(super) fn rows_above(&self) -> usize {
        let columns = usize::from(self.size.columns).max(1);
        let before = self.shown.rows.iter().take(self.shown.cursor_row);
        if self.moved && self.reflows {
            let rows: usize = before.map(|row| row.width().least.max(1).div_ceil(columns)).sum();
            rows + self.shown.cursor_column / columns
        } else {
            before.count()
        }
    }

    /// The block with no more rows than the screen can hold beside one of chat.
    fn fit(&self, mut block: Block) -> Block {
        let most = usize::from(self.size.rows).saturating_sub(1).max(1);
        let first = block.cursor_row.saturating_sub(most - 1);
        block.rows.drain(..first.min(block.rows.len()));
        block.cursor_row -= first;
        block.rows.truncate(most);
        block
    }
}

/// Erases `rows` rows from the cursor's on and comes back; at the end of the screen the last one is erased again.
pub(super) fn erase(out: &mut String, rows: usize) {
    if rows == 0 {
        return;
    }
    out.push_str(SAVE);
    for row in 0..rows {
        if row > 0 {
            out.push_str("\x1b[B");
        }
        out.push_str(ERASE_ROW);
    }
    out.push_str(BACK);
}

/// Paints `block` from the cursor's row on, where `standing` rows of an older one still stand.
fn paint(out: &mut String, block: &Block, standing: usize) {
    let rows = block.rows.len();
    // Also where the rows stand already: a terminal that has become lower may have dropped those below the cursor.
    feed(out, rows.saturating_sub(1));
    up(out, rows.saturating_sub(1));
    for (number, row) in block.rows.iter().enumerate() {
        if number > 0 {
            out.push_str("\r\n");
        }
        out.push_str(ERASE_ROW);
        if number == block.cursor_row {
            let (left, right) = row.text().split_at_checked(block.cursor_byte).unwrap_or((row.text(), ""));
            out.push_str(left);
            // There and back: never leaves the cursor past the end of a row, where terminals differ over the place.
            out.push_str(" \x08");
            out.push_str(SAVE);
            out.push_str(WRAP_OFF);
            out.push_str(right);
        } else {
            out.push_str(row.text());
        }
    }
    for _ in rows..standing {
        out.push_str("\x1b[B");
        out.push_str(ERASE_ROW);
    }
    if !block.rows.is_empty() {
        out.push_str(BACK);
        // After the restored cursor: some terminals save autowrap with it.
        out.push_str(WRAP_ON);
    }
}

pub(super) fn up(out: &mut String, rows: usize) {
    if rows > 0 {
        out.push_str(&format!("\x1b[{rows}A"));
    }
}

fn feed(out: &mut String, rows: usize) {
    for _ in 0..rows {
        out.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests;
