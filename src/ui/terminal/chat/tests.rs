use super::super::tests::TestTerminal;
use super::*;

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
