//! From the text being typed to rows of the block.

use super::screen::Block;
use crate::ui::SafeText;
use crate::ui::style::{Paint, Row, Style, Width};
use unicode_segmentation::UnicodeSegmentation;

/// Before the first row of the input.
const PROMPT: &str = "> ";
/// Before its other rows.
const MORE: &str = "  ";
/// Before the first visible row when rows above it are hidden.
const HIDDEN: &str = "^ ";

/// Lays `text` out in rows of at most `limit` columns, at most `most_rows` of them, those around the cursor.
pub(super) fn lay_out(text: &str, cursor: usize, style: Style, limit: usize, most_rows: usize) -> Block {
    let mut block = Block::default();
    let mut row = Row::of(style, limit, Paint::Bold, PROMPT);
    let mut at = 0;
    // A blank at the end, for the cursor to stand on.
    for cluster in text.graphemes(true).chain([" "]) {
        // One's own paste may hold what moves a cursor, too.
        let shown = if cluster == "\n" { " ".into() } else { SafeText::clean(cluster) };
        let is_last = at == text.len();
        // One column stays free for the cursor, which must not stand past a row's end: terminals differ over where that is.
        if cluster != "\n" && !is_last && row.width().most + Width::of(shown.as_str()).most + 1 > limit {
            block.rows.push(std::mem::replace(&mut row, Row::of(style, limit, Paint::Plain, MORE)));
        }
        if at == cursor || (is_last && at < cursor) {
            block.cursor_row = block.rows.len();
            block.cursor_byte = row.text().len();
            block.cursor_column = row.width().least;
        }
        at += cluster.len();
        row.push(Paint::Plain, shown.as_str());
        if cluster == "\n" {
            block.rows.push(std::mem::replace(&mut row, Row::of(style, limit, Paint::Plain, MORE)));
        }
    }
    block.rows.push(row);
    window(block, style, limit, most_rows.max(1))
}

/// Only the rows around the cursor.
fn window(mut block: Block, style: Style, limit: usize, most_rows: usize) -> Block {
    let first = (block.cursor_row + 1).saturating_sub(most_rows);
    block.rows.drain(..first.min(block.rows.len()));
    block.rows.truncate(most_rows);
    block.cursor_row -= first;
    if first > 0
        && let Some(row) = block.rows.first_mut()
        && let Some(rest) = row.text().strip_prefix(MORE).map(String::from)
    {
        let mut marked = Row::of(style, limit, Paint::Dim, HIDDEN);
        if block.cursor_row == 0 {
            block.cursor_byte = block.cursor_byte + marked.text().len() - MORE.len();
        }
        marked.push(Paint::Plain, &rest);
        *row = marked;
    }
    block
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
    }

    #[test]
    fn own_pastes_cannot_move_the_cursor() {
        let input = lay_out("a\u{1b}[2Jb", 6, PLAIN, 20, 3);
        assert!(!input.rows[0].text().contains('\u{1b}'));
    }
}
