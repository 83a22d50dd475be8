//! Colours and widths: how text becomes rows of the block.
//!
//! Invariant: a [`Row`] is never wider than the limit it was built with, by the most pessimistic count of columns. The colours
//! are of the sixteen that every terminal has, without black, white and yellow, which vanish on some backgrounds.

use std::borrow::Cow;
use std::sync::OnceLock;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a piece of text is, and so how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    /// Lines of the program.
    Dim,
    Bold,
    /// Errors and warnings.
    Alarm,
    /// The own name.
    Own,
    /// A peer's name, by the number that its label hashes to.
    Peer(usize),
}

/// The parameters for each peer's name; the own name has one that is not among them.
const PEERS: [&str; 3] = ["1;32", "1;35", "1;34"];

impl Paint {
    /// The paint of a peer's name: the same for the same label, always.
    pub(super) fn of_peer(label: &str) -> Self {
        let sum = label.bytes().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        Self::Peer(sum % PEERS.len())
    }

    fn parameters(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Bold => "1",
            Self::Alarm => "1;31",
            Self::Own => "1;36",
            Self::Peer(number) => PEERS.get(number).copied().unwrap_or("1"),
        }
    }
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) colour: bool,
}

impl Style {
    /// Appends `text` in its paint; nothing stays switched on.
    pub(super) fn write(self, out: &mut String, paint: Paint, text: &str) {
        let parameters = paint.parameters();
        if self.colour && !parameters.is_empty() && !text.is_empty() {
            out.push_str("\x1b[");
            out.push_str(parameters);
            out.push('m');
            out.push_str(text);
            out.push_str("\x1b[m");
        } else {
            out.push_str(text);
        }
    }
}

/// Columns that a piece of text may take: terminals differ over joined emoji and characters of ambiguous width, so there are two counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Width {
    /// On a terminal that joins whatever can be joined.
    pub(super) least: usize,
    /// On one that shows each part of a cluster alone; in an East Asian locale with two columns for what may have two.
    pub(super) most: usize,
}

impl Width {
    pub(super) fn of(text: &str) -> Self {
        Self::in_locale(text, ambiguous_is_wide())
    }

    fn in_locale(text: &str, ambiguous_is_wide: bool) -> Self {
        let least = text.width();
        let (joined, part): (usize, fn(char) -> Option<usize>) = if ambiguous_is_wide {
            (text.width_cjk(), UnicodeWidthChar::width_cjk)
        } else {
            (least, UnicodeWidthChar::width)
        };
        Self { least, most: joined.max(text.chars().filter_map(part).sum()) }
    }
}

/// Terminals of East Asian locales may show characters of ambiguous width in two columns.
fn ambiguous_is_wide() -> bool {
    static WIDE: OnceLock<bool> = OnceLock::new();
    *WIDE.get_or_init(|| {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        ["zh", "ja", "ko"].iter().any(|language| locale.starts_with(language))
    })
}

/// One row of the block: text with its colours, and how wide it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    style: Style,
    limit: usize,
    text: String,
    width: Width,
}

impl Row {
    /// One of at most `limit` columns that begins with this text.
    pub(super) fn of(style: Style, limit: usize, paint: Paint, text: &str) -> Self {
        let mut row = Self { style, limit, text: String::new(), width: Width::default() };
        row.push(paint, text);
        row
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn width(&self) -> Width {
        self.width
    }

    /// Appends as much of `text` as fits, with an ellipsis where something had to go.
    pub(super) fn push(&mut self, paint: Paint, text: &str) {
        let text = cut(text, self.limit.saturating_sub(self.width.most));
        let width = Width::of(&text);
        self.width.least += width.least;
        self.width.most += width.most;
        self.style.write(&mut self.text, paint, &text);
    }
}

/// Stands for what was cut.
const ELLIPSIS: &str = "…";

/// The beginning of `text` in at most `room` columns, with an ellipsis when it was cut.
pub(super) fn cut(text: &str, room: usize) -> Cow<'_, str> {
    if Width::of(text).most <= room {
        return text.into();
    }
    let Some(room) = room.checked_sub(Width::of(ELLIPSIS).most) else { return "".into() };
    format!("{}{ELLIPSIS}", text.get(..fitting(text, room)).unwrap_or_default()).into()
}

/// How many bytes of `text` fit into `room` columns, in whole clusters.
pub(super) fn fitting(text: &str, room: usize) -> usize {
    let mut taken = 0;
    let fits = |cluster: &&str| {
        taken += Width::of(cluster).most;
        taken <= room
    };
    text.graphemes(true).take_while(fits).map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_never_exceeds_its_limit() {
        for limit in 0..12 {
            for text in ["plain text", "日本語の文", "👩‍👩‍👧👍🏽 family", "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}"]
            {
                let mut row = Row::of(Style { colour: true }, limit, Paint::Own, text);
                row.push(Paint::Dim, text);
                assert!(row.width().most <= limit, "{limit} {text}");
            }
        }
    }

    #[test]
    fn without_colour_there_is_no_escape() {
        let mut out = String::new();
        Style { colour: false }.write(&mut out, Paint::Alarm, "x");
        assert_eq!(out, "x");
        Style { colour: true }.write(&mut out, Paint::Alarm, "y");
        assert_eq!(out, "x\x1b[1;31my\x1b[m");
    }

    #[test]
    fn a_peer_keeps_its_colour_and_never_has_the_own() {
        for label in ["bob", "carol", "dave", "erin", "日本"] {
            assert_eq!(Paint::of_peer(label), Paint::of_peer(label));
            assert_ne!(Paint::of_peer(label).parameters(), Paint::Own.parameters());
        }
    }

    #[test]
    fn joined_emoji_and_ambiguous_characters_have_two_widths() {
        assert_eq!(Width::of("👩‍👩‍👧"), Width { least: 2, most: 6 });
        assert_eq!(Width::of("e\u{301}"), Width { least: 1, most: 1 });
        assert_eq!(Width::of("❤\u{fe0f}"), Width { least: 2, most: 2 });
        assert_eq!(Width::in_locale("…→", false), Width { least: 2, most: 2 });
        assert_eq!(Width::in_locale("…→", true), Width { least: 2, most: 4 });
    }
}
