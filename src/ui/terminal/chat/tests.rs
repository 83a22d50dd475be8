use super::super::tests::{TestTerminal, offer};
use super::*;
use crate::protocol::frame::{ByeReason, Reason};
use crate::ui::{Direction, SafeText, Side, Stop, Trust};
use std::time::Duration;

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
fn check_block(screen: &mut TestTerminal, case: &str) {
    let rows = screen.rows();
    let (cursor_row, cursor_column) = screen.terminal.screen().cursor_position();
    let input = rows.len() - 2;
    assert_eq!(rows[input], "> typed", "{case}: {rows:#?}");
    assert_eq!((usize::from(cursor_row), cursor_column), (input, 7), "{case}");
    assert!(rows[input + 1].starts_with("-- "), "{case}: {rows:#?}");
    assert_eq!(rows.iter().filter(|row| row.starts_with("-- ")).count(), 1, "{case}: {rows:#?}");
    assert!(!screen.terminal.screen().alternate_screen() && !screen.terminal.screen().hide_cursor(), "{case}");
}

/// Each notice that has text of the peer, but its lines and its name.
fn every_notice(text: &dyn Fn() -> PeerText, safe: &dyn Fn() -> SafeText) -> Vec<Notice> {
    let mut offered = offer(1, Direction::In, "");
    if let Notice::Offer { name, clashes, .. } = &mut offered {
        (*name, *clashes) = (text(), Some(1));
    }
    vec![
        offered,
        Notice::Progress { transfer: 1, bytes: 0, total: Some(1), files: 0 },
        Notice::LeftOut { transfer: 1, path: Some(text()), count: 1, reason: safe() },
        Notice::File { transfer: 1, path: text(), bytes: 1, blake3: String::new(), offered: Some(text()) },
        Notice::Failed { transfer: 1, path: Some(text()), reason: safe(), part: None, cut: false },
        Notice::Failed { transfer: 1, path: None, reason: safe(), part: Some(text()), cut: false },
        Notice::Done {
            transfer: 1,
            path: text(),
            more: 1,
            files: 1,
            bytes: 1,
            wire_bytes: None,
            took: Duration::from_secs(1),
        },
        Notice::Stopped { transfer: 1, how: Stop::Cancelled, by: Side::Peer, reason: Reason::User, detail: safe() },
        Notice::Stopped { transfer: 1, how: Stop::Declined, by: Side::Peer, reason: Reason::User, detail: safe() },
        Notice::Info(Info::Peer(vec![("name", safe())])),
        Notice::Info(Info::Names { transfer: 1, from: 1, total: 2, names: vec![(text(), Some(1)), (text(), None)] }),
        Notice::Trust { peer: text(), trust: Trust::Known },
        Notice::Lost { reason: safe(), lines: 1, transfers: 1 },
        Notice::Error { code: "x", text: safe() },
        Notice::Bye { from: Side::Peer, reason: ByeReason::Quit },
    ]
}

#[test]
fn no_other_text_of_the_peer_does_either() {
    for hostile in HOSTILE {
        let case = format!("{hostile:?}");
        let text = || PeerText::new(format!("x{hostile}y"));
        let safe = || SafeText::clean(&format!("x{hostile}y"));
        let mut screen = TestTerminal::connected(200, 40);
        screen.typed("typed");
        screen.notice(Notice::Connected {
            peer: text(),
            fingerprint: "ABCD".into(),
            addr: "192.0.2.7:1".into(),
            verify: Some("12345 67890".into()),
            trust: Trust::New,
            uninvited: false,
            own: "alice".into(),
        });
        screen.notice(Notice::Message { id: 1, from: text(), text: text(), action: true });
        for notice in every_notice(&text, &safe) {
            screen.notice(notice);
        }
        check_block(&mut screen, &case);
        for row in screen.rows() {
            // One mark at the most, and that the program's own: behind the time or the indent.
            assert!(row.matches(PROGRAM_MARK).count() <= 1, "{case}: {row}");
            assert!(row.find(PROGRAM_MARK).is_none_or(|at| at == 6), "{case}: {row}");
        }
    }
}

#[test]
fn a_block_shows_its_number_of_lines_and_stays_aligned() {
    let mut screen = TestTerminal::connected(60, 12);
    screen.hear("fn main() {\n\tprintln!();\n}");
    let rows = screen.rows();
    let at = rows.iter().position(|row| row == "14:05 bob  3 lines, #1").unwrap();
    assert_eq!(rows[at + 1..at + 4], ["        fn main() {", "            println!();", "        }"]);
}

fn sent(id: u64, text: &str, action: bool) -> Notice {
    Notice::Sent { id, text: text.into(), action, waiting: false }
}

#[test]
fn own_and_peer_lines_differ_without_colour_also_between_equal_names() {
    let mut screen = TestTerminal::connected(60, 12);
    screen.notice(Notice::Message { id: 1, from: PeerText::new("alice"), text: PeerText::new("hi"), action: false });
    screen.notice(sent(1, "hi", false));
    screen.notice(sent(2, "waves", true));
    let rows = screen.rows();
    for row in ["14:05 alice  hi", "14:05 alice▸ hi", "14:05 * alice▸ waves"] {
        assert!(rows.contains(&row.to_owned()), "{rows:#?}");
    }
}

#[test]
fn what_needs_to_be_done_first_is_said() {
    let mut screen = TestTerminal::new(80, 24);
    screen.notice(Notice::Listening {
        addrs: vec!["192.168.1.5:5050".into()],
        code: Some("42-otter-plum".to_owned().into()),
        qr: false,
        invite: None,
    });
    let text = screen.rows().join("\n");
    assert!(text.contains("42-otter-plum") && text.contains("p2pchat connect 192.168.1.5:5050 --code"), "{text}");
}
