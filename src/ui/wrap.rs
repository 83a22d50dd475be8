//! Wraps lines to the width of a terminal with a hanging indent, so that no row of a peer's text begins in the first columns, where
//! it could look like a line of the program.
//!
//! Rows break at blanks where there is one, else between grapheme clusters.

use super::style::Width;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

/// Below this many columns the hanging indent is [`NARROW_INDENT`], so that some room for text is left.
pub(super) const NARROW: usize = 20;
pub(super) const NARROW_INDENT: usize = 2;
/// A row holds at least this many columns, whatever the indent: the widest character.
const LEAST: usize = 3;

/// The rows of `line`: the first of at most `first` columns, the others of at most `others`. Blanks at which a row breaks are
/// left out.
pub(super) fn wrap(line: &str, first: usize, others: usize) -> Vec<&str> {
    let mut rows = Vec::new();
    let mut rest = line;
    let mut room = first.max(LEAST);
    while let Some(at) = overflow(rest, room) {
        let begun = rest.get(..at).unwrap_or_default();
        // Leading blanks are an indent of the text, not a place to break.
        let text = begun.trim_start_matches(' ').len();
        let at_blank =
            if rest.get(at..).is_some_and(|after| after.starts_with(' ')) { Some(at) } else { begun.rfind(' ') };
        let (row, next) = match at_blank.filter(|blank| begun.len() - text < *blank) {
            Some(blank) => rest.split_at(blank),
            None => rest.split_at(at),
        };
        rows.push(row.trim_end_matches(' '));
        rest = if at_blank.is_some() { next.trim_start_matches(' ') } else { next };
        room = others.max(LEAST);
        if rest.is_empty() {
            return rows;
        }
    }
    rows.push(rest);
    rows
}

/// The byte of the first piece that does not fit into `room` columns; always beyond the first piece.
fn overflow(line: &str, room: usize) -> Option<usize> {
    let mut taken = 0;
    for (place, piece) in pieces(line, room) {
        taken += Width::of(piece).most;
        if taken > room && place > 0 {
            return Some(place);
        }
    }
    None
}

/// Clusters with their places; one that is wider than a row in its characters, each with the marks on it.
fn pieces(line: &str, row: usize) -> impl Iterator<Item = (usize, &str)> {
    line.grapheme_indices(true).flat_map(move |(place, cluster)| {
        let apart = Width::of(cluster).most > row;
        let begins = move |(at, c): &(usize, char)| *at == 0 || apart && c.width().is_some_and(|columns| columns > 0);
        let starts = cluster.char_indices().filter(begins).map(|(at, _)| at);
        let ends = starts.clone().skip(1).chain([cluster.len()]);
        starts.zip(ends).map(move |(start, end)| (place + start, cluster.get(start..end).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_break_at_blanks_and_long_words_between_clusters() {
        assert_eq!(wrap("", 10, 5), [""]);
        assert_eq!(wrap("one two three", 8, 6), ["one two", "three"]);
        assert_eq!(wrap("one two three", 7, 5), ["one two", "three"]);
        assert_eq!(wrap("one two three four", 20, 6), ["one two three four"]);
        assert_eq!(wrap(&"x".repeat(12), 6, 4), ["xxxxxx", "xxxx", "xx"]);
        assert_eq!(wrap("a xxxxxxxxxx b", 6, 6), ["a", "xxxxxx", "xxxx b"]);
        assert_eq!(wrap("日日日日日", 6, 3), ["日日日", "日", "日"]);
        assert_eq!(wrap("    code that is indented", 12, 10), ["    code", "that is", "indented"]);
    }

    #[test]
    fn every_character_fits_into_the_shortest_row() {
        let widest = ('\0'..=char::MAX).map(|c| Width::of(c.encode_utf8(&mut [0; 4])).most).max();
        assert_eq!(widest, Some(LEAST));
        assert_eq!(wrap("a\u{17d8}b", 2, 2), ["a", "\u{17d8}", "b"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_but_blanks_and_no_row_is_too_wide(
            line in "(\\PC| ){0,120}", first in LEAST..60usize, others in LEAST..60usize,
        ) {
            let rows = wrap(&line, first, others);
            let without = |text: &str| text.replace(' ', "");
            prop_assert_eq!(without(&rows.concat()), without(&line));
            for (number, row) in rows.iter().enumerate() {
                prop_assert!(Width::of(row).most <= if number == 0 { first } else { others }, "{:?}", rows);
            }
        }
    }
}
