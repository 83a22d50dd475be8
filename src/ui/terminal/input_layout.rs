//! From the text being typed to rows of the block.

use super::screen::Block;
use crate::ui::SafeText;
use crate::ui::style::{Paint, Row, Style, Width};
use std::iter;
use unicode_segmentation::UnicodeSegmentation;

/// Before the first row of the input.
const PROMPT: &str = "> ";
/// Before its other rows.
const MORE: &str = "  ";
/// Before the first visible row when rows above it are hidden.
const HIDDEN: &str = "^ ";

/// Lays `text` out in rows of at most `limit` columns, at most `most_rows` of them, those around the cursor. Lines that are too far from
/// it to be shown are not looked at.
pub(super) fn lay_out(text: &str, cursor: usize, style: Style, limit: usize, most_rows: usize) -> Block {
    let most_rows = most_rows.max(1);
    let newlines = text.get(..cursor).unwrap_or_default().rmatch_indices('\n');
    let near = newlines.map(|(at, _)| at + 1).nth(most_rows).unwrap_or(0);
    let mut near_starts = row_starts(text, near, limit).peekable();
    let mut starts: Vec<usize> = iter::from_fn(|| near_starts.next_if(|start| *start <= cursor)).collect();
    let cursor_row = starts.len().saturating_sub(1);
    starts.extend(near_starts.take(most_rows));
    let first = (cursor_row + 1).saturating_sub(most_rows);
    let mut block = Block { cursor_row: cursor_row - first, ..Block::default() };
    for (number, &start) in starts.iter().enumerate().skip(first).take(most_rows) {
        let (paint, mark) = match number {
            0 => (Paint::Bold, PROMPT),
            _ if number == first => (Paint::Dim, HIDDEN),
            _ => (Paint::Plain, MORE),
        };
        let mut row = Row::of(style, limit, paint, mark);
        let next = starts.get(number + 1).copied();
        let end = next.unwrap_or(text.len());
        let (before, after) =
            if number == cursor_row { (start..cursor, cursor..end) } else { (start..start, start..end) };
        row.push(Paint::Plain, &shown(text.get(before).unwrap_or_default()));
        if number == cursor_row {
            block.cursor_byte = row.text().len();
            block.cursor_column = row.width().least;
        }
        row.push(Paint::Plain, &shown(text.get(after).unwrap_or_default()));
        if next.is_none() {
            // For the cursor to stand on.
            row.push(Paint::Plain, " ");
        }
        block.rows.push(row);
    }
    block
}

/// The byte at which each row begins, from the beginning of a line on.
fn row_starts(text: &str, line: usize, limit: usize) -> impl Iterator<Item = usize> {
    // One column stays free for the cursor, which must not stand past a row's end: terminals differ over where that is.
    let room = limit.saturating_sub(PROMPT.len() + 1);
    let mut taken = 0;
    let further = text.get(line..).unwrap_or_default().grapheme_indices(true).filter_map(move |(at, cluster)| {
        if cluster == "\n" {
            taken = 0;
            return Some(line + at + 1);
        }
        let width = Width::of(&shown(cluster)).most;
        taken += width;
        (taken > room).then(|| {
            taken = width;
            line + at
        })
    });
    iter::once(line).chain(further)
}

/// As the screen shows it: one's own paste may hold what moves a cursor, too. A newline is a blank, for the cursor to stand on.
fn shown(text: &str) -> String {
    text.graphemes(true)
        .map(|cluster| if cluster == "\n" { " ".into() } else { SafeText::clean(cluster).to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { colour: false };

    fn texts(input: &Block) -> Vec<&str> {
        input.rows.iter().map(Row::text).collect()
    }

    #[test]
    fn a_long_line_goes_on_in_the_next_row_with_room_for_the_cursor() {
        let input = lay_out("abcdefghij", 10, PLAIN, 9, 5);
        assert_eq!(texts(&input), ["> abcdef", "  ghij "]);
        assert_eq!((input.cursor_row, input.cursor_byte, input.cursor_column), (1, 6, 6));
    }

    #[test]
    fn a_full_row_keeps_the_cursor_inside() {
        let input = lay_out("abcdef", 6, PLAIN, 9, 5);
        assert_eq!(texts(&input), ["> abcdef "]);
        assert_eq!((input.cursor_row, input.cursor_byte), (0, 8));
        let input = lay_out("abcdefg", 6, PLAIN, 9, 5);
        assert_eq!((input.cursor_row, input.cursor_byte), (1, 2));
    }

    #[test]
    fn no_row_is_wider_than_the_limit_and_no_cluster_is_split_or_lost() {
        let text = "日本語 👍🏽👩‍👩‍👧 e\u{301}e\u{301} tab\there\nnext line of text";
        for limit in 10..40 {
            let input = lay_out(text, text.len(), PLAIN, limit, 100);
            assert!(input.rows.iter().all(|row| row.width().most <= limit), "{limit}");
            let whole: String = input.rows.iter().map(|row| row.text().get(2..).unwrap()).collect();
            for cluster in ["日", "👍🏽", "👩‍👩‍👧", "e\u{301}"] {
                assert!(whole.contains(cluster), "{limit} {cluster}");
            }
        }
    }

    #[test]
    fn of_a_tall_text_the_rows_around_the_cursor_show() {
        let text = "1\n2\n3\n4\n5\n6";
        let input = lay_out(text, 6, PLAIN, 20, 3);
        assert_eq!(texts(&input), ["^ 2 ", "  3 ", "  4 "]);
        assert_eq!((input.cursor_row, input.cursor_byte), (2, 2));
        let input = lay_out(text, 0, PLAIN, 20, 3);
        assert_eq!(texts(&input), ["> 1 ", "  2 ", "  3 "]);
        let among_many = "x\n".repeat(1000) + text + &"\nx".repeat(1000);
        let far = lay_out(&among_many, 2006, PLAIN, 20, 3);
        assert_eq!(texts(&far), ["^ 2 ", "  3 ", "  4 "]);
        assert_eq!((far.cursor_row, far.cursor_byte), (2, 2));
    }

    #[test]
    fn a_newline_at_the_end_opens_a_row_for_the_cursor() {
        let input = lay_out("abc\n", 4, PLAIN, 20, 3);
        assert_eq!(texts(&input), ["> abc ", "   "]);
        assert_eq!((input.cursor_row, input.cursor_byte), (1, 2));
    }

    #[test]
    fn own_pastes_cannot_move_the_cursor() {
        let input = lay_out("a\u{1b}[2Jb", 6, PLAIN, 20, 3);
        assert!(!input.rows[0].text().contains('\u{1b}'));
    }
}
