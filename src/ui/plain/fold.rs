//! Rows of a terminal instead of lines that it would wrap: so that what a peer wrote never begins a row, where it could look like a
//! line of the program's.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

/// Narrower terminals are left to themselves: nothing can be read there anyhow.
const NARROWEST: usize = 20;

/// The rows of a line: the first of at most `columns`, the further ones less `indent`, which the caller puts before them.
pub(super) fn fold(line: &str, columns: Option<usize>, indent: usize) -> Vec<&str> {
    let Some(columns) = columns.filter(|columns| *columns >= NARROWEST) else { return vec![line] };
    let mut rows = Vec::new();
    let (mut start, mut taken, mut room) = (0, 0, columns);
    for (place, piece) in pieces(line, columns - indent.min(columns / 2)) {
        let width = width(piece);
        if taken + width > room {
            rows.push(line.get(start..place).unwrap_or_default());
            (start, taken, room) = (place, 0, columns.saturating_sub(indent));
        }
        taken += width;
    }
    rows.push(line.get(start..).unwrap_or_default());
    rows
}

/// Clusters with their places; one that is wider than a row in single characters.
fn pieces(line: &str, row: usize) -> impl Iterator<Item = (usize, &str)> {
    line.grapheme_indices(true).flat_map(move |(place, cluster)| {
        let apart = width(cluster) > row;
        let whole = (!apart).then_some((place, cluster));
        let chars = cluster.char_indices().filter(move |_| apart);
        let single = move |(at, c): (usize, char)| (place + at, cluster.get(at..at + c.len_utf8()).unwrap_or_default());
        whole.into_iter().chain(chars.map(single))
    })
}

/// The most columns that a terminal may take for it: they differ in characters of ambiguous width, and in what they join.
fn width(text: &str) -> usize {
    text.chars().filter_map(UnicodeWidthChar::width_cjk).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_that_fits_and_one_for_no_terminal_stay_whole() {
        let long = "x".repeat(500);
        assert_eq!(fold(&long, None, 6), [long.as_str()]);
        assert_eq!(fold(&long, Some(NARROWEST - 1), 6), [long.as_str()]);
        assert_eq!(fold(&long, Some(500), 6), [long.as_str()]);
        assert_eq!(fold("", Some(80), 6), [""]);
    }

    #[test]
    fn further_rows_leave_room_for_the_indent() {
        let line = "x".repeat(45);
        let rows = fold(&line, Some(20), 6);
        assert_eq!(rows.iter().map(|row| row.len()).collect::<Vec<_>>(), [20, 14, 11]);
        let wide = "\u{65e5}".repeat(12);
        assert_eq!(fold(&wide, Some(21), 6).iter().map(|row| row.chars().count()).collect::<Vec<_>>(), [10, 2]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_row_is_too_wide(line in "\\PC{0,200}", columns in NARROWEST..60) {
            let rows = fold(&line, Some(columns), 6);
            prop_assert_eq!(rows.concat(), line.as_str());
            for (number, row) in rows.iter().enumerate() {
                let room = if number == 0 { columns } else { columns - 6 };
                prop_assert!(width(row) <= room);
            }
        }
    }
}
