use super::super::sight::Sight;
use super::*;
use crate::ui::Trust;

/// What a peer might send to move a cursor, hide, reorder, or look like someone else.
const HOSTILE: [&str; 20] = [
    "\x1b[2J\x1b[H",
    "\x1b[5A\x1b[2K",
    "\x1b]0;title\x07",
    "\x1b]52;c;AAAA\x07",
    "\x1bc",
    "\x1b7\x1b8\x1b[s\x1b[u",
    "\x1b[?1049h\x1b[?25l",
    "\x1bPq\x1b\\",
    "\u{9b}2J\u{9d}0;x\u{9c}",
    "\rover the start",
    "\x08\x08\x08\x08\x08\x08back",
    "\x0b\x0cdown",
    "a\u{85}b\u{2028}c\u{2029}d",
    "\u{202e}reversed\u{2066}isolated",
    "zero\u{200b}width\u{feff}\u{2060}",
    "\u{7f}\0nul",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    "¦ connected to mallory",
    "14:05 alice▸ I owe you 100",
    "\u{e0041}\u{e0042}tags",
];

/// The block as it has to be: whatever a peer does, it stands last, once, with the cursor in the input row.
fn check_block(sight: &mut Sight, case: &str) {
    let rows = sight.rows();
    let (cursor_row, cursor_column) = sight.terminal.screen().cursor_position();
    let input = rows.len() - 2;
    assert_eq!(rows[input], "> typed", "{case}: {rows:#?}");
    assert_eq!((usize::from(cursor_row), cursor_column), (input, 7), "{case}");
    assert!(rows[input + 1].starts_with("-- "), "{case}: {rows:#?}");
    assert_eq!(rows.iter().filter(|row| row.starts_with("-- ")).count(), 1, "{case}: {rows:#?}");
    assert!(!sight.terminal.screen().alternate_screen() && !sight.terminal.screen().hide_cursor(), "{case}");
}

#[test]
fn nothing_of_the_peer_moves_the_cursor_or_imitates_a_system_line() {
    for hostile in HOSTILE {
        let case = format!("{hostile:?}");
        let mut sight = Sight::connected(80, 24);
        sight.typed("typed");
        let before = sight.rows().len();
        let marks = sight.rows().join("").matches(MARK).count();
        sight.hear(&format!("before{hostile}after"));
        check_block(&mut sight, &case);
        let rows = sight.rows();
        assert_eq!(rows.len(), before + 1 + extra_rows(hostile), "{case}: {rows:#?}");
        assert!(rows.iter().any(|row| row.starts_with("14:05 bob  ")), "{case}: {rows:#?}");
        assert_eq!(rows.join("").matches(MARK).count(), marks, "{case}: {rows:#?}");
        assert!(!rows.join("").contains(OWN), "{case}: {rows:#?}");
    }
}

/// Rows that a message takes beyond its first: a header and its lines, where it has line ends.
fn extra_rows(hostile: &str) -> usize {
    let ends = hostile.matches(['\r', '\n']).count();
    if ends == 0 { 0 } else { ends + 1 }
}

#[test]
fn no_other_text_of_the_peer_does_either() {
    for hostile in HOSTILE {
        let case = format!("{hostile:?}");
        let text = || PeerText::new(format!("x{hostile}y"));
        let safe = || SafeText::clean(&format!("x{hostile}y"));
        let mut sight = Sight::connected(200, 40);
        sight.typed("typed");
        sight.notice(Notice::Connected {
            peer: text(),
            fingerprint: "ABCD".into(),
            addr: "192.0.2.7:1".into(),
            verify: Some("12345 67890".into()),
            trust: Trust::New,
            own: "alice".into(),
        });
        sight.notice(Notice::Message { id: 1, from: text(), text: text(), action: true });
        let offer = Notice::Offer {
            transfer: 1,
            direction: Direction::In,
            name: text(),
            more: 0,
            files: 1,
            folders: 0,
            bytes: 1,
            clashes: Some(1),
            free: None,
            asks: false,
        };
        sight.notice(offer);
        sight.notice(Notice::Progress { transfer: 1, bytes: 0, total: 1, files: 0 });
        sight.notice(Notice::Failed { transfer: 1, path: Some(text()), reason: safe() });
        sight.notice(Notice::Cancelled { transfer: 1, reason: safe(), by_peer: true });
        sight.notice(Notice::Info(Info::Peer(vec![("name", safe())])));
        sight.notice(Notice::Info(Info::Names { transfer: 1, names: vec![(text(), Some(1))] }));
        sight.notice(Notice::Lost { reason: safe(), waiting: 0 });
        sight.notice(Notice::Bye { from_peer: true, reason: safe() });
        check_block(&mut sight, &case);
        for row in sight.rows() {
            // One mark at the most, and that the program's own: behind the time or the indent.
            assert!(row.matches(MARK).count() <= 1, "{case}: {row}");
            assert!(row.find(MARK).is_none_or(|at| at == 6), "{case}: {row}");
        }
    }
}

#[test]
fn a_wrapped_line_of_the_peer_cannot_begin_a_row_with_a_mark() {
    let mut sight = Sight::connected(40, 12);
    sight.typed("typed");
    let own = sight.rows().iter().filter(|row| row.contains(MARK)).count();
    sight.hear(&format!("{}14:05 ¦ you are verified", "x".repeat(29)));
    let rows = sight.rows();
    assert!(rows.contains(&"14:05 | you are verified".to_owned()), "{rows:#?}");
    assert_eq!(rows.iter().filter(|row| row.contains(MARK)).count(), own);
}

#[test]
fn a_block_shows_its_number_of_lines_and_stays_aligned() {
    let mut sight = Sight::connected(60, 12);
    sight.hear("fn main() {\n\tprintln!();\n}");
    let rows = sight.rows();
    let at = rows.iter().position(|row| row == "14:05 bob  3 lines, #1").unwrap();
    assert_eq!(rows[at + 1..at + 4], ["      fn main() {", "          println!();", "      }"]);
}

#[test]
fn own_and_peer_lines_differ_without_colour_also_between_equal_names() {
    let mut sight = Sight::connected(60, 12);
    sight.notice(Notice::Message { id: 1, from: PeerText::new("alice"), text: PeerText::new("hi"), action: false });
    sight.notice(Notice::Sent { id: 1, text: "hi".into(), action: false });
    sight.notice(Notice::Sent { id: 2, text: "waves".into(), action: true });
    let rows = sight.rows();
    for row in ["14:05 alice  hi", "14:05 alice▸ hi", "14:05 * alice▸ waves"] {
        assert!(rows.contains(&row.to_owned()), "{rows:#?}");
    }
}

#[test]
fn what_needs_to_be_done_first_is_said() {
    let mut sight = Sight::new(80, 24);
    sight.notice(Notice::Listening { addrs: vec!["192.168.1.5:5050".into()], code: Some("42-otter-plum".into()) });
    let text = sight.rows().join("\n");
    assert!(text.contains("42-otter-plum") && text.contains("p2pchat connect 192.168.1.5:5050 --code"), "{text}");
}
