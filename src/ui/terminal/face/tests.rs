use super::super::sight::Sight;
use super::*;
use crate::ui::{Direction, PeerText};

fn line(text: &str) -> Input {
    Input::Line(text.into())
}

fn offer(transfer: u32, direction: Direction, asks: bool) -> Notice {
    Notice::Offer {
        transfer,
        direction,
        name: PeerText::new("photos"),
        more: 2,
        files: 240,
        folders: 12,
        bytes: 3 << 30,
        clashes: Some(3),
        free: Some(1 << 30),
        asks,
    }
}

fn sent(id: u64, text: &str) -> Notice {
    Notice::Sent { id, text: text.into(), action: false }
}

fn shows(sight: &Sight, text: &str) -> bool {
    sight.rows().iter().any(|row| row.contains(text))
}

#[test]
fn a_line_goes_out_on_enter_and_is_shown_when_it_is_sent() {
    let mut sight = Sight::connected(80, 24);
    sight.enter("hello");
    assert_eq!(sight.given(), [line("hello")]);
    assert!(!sight.rows().iter().any(|row| row.contains("hello")));
    sight.notice(sent(1, "hello"));
    assert!(sight.rows().contains(&"14:05 alice▸ hello".to_owned()));
}

#[test]
fn undelivered_lines_are_counted_until_the_peer_has_them() {
    let mut sight = Sight::connected(80, 24);
    let status = |sight: &Sight| sight.rows().iter().rev().find(|row| row.starts_with("-- ")).unwrap().clone();
    sight.notice(sent(1, "a"));
    sight.notice(sent(2, "b"));
    assert_eq!(status(&sight), "-- [known] bob, connected, 2 not delivered");
    sight.notice(Notice::Delivered { id: 1 });
    assert_eq!(status(&sight), "-- [known] bob, connected, 1 not delivered");
    sight.notice(Notice::Delivered { id: 2 });
    assert_eq!(status(&sight), "-- [known] bob, connected");
}

#[test]
fn a_full_queue_keeps_the_line_in_the_editor_but_lets_commands_pass() {
    let mut sight = Sight::connected(80, 24);
    sight.gate.set_shut(true);
    sight.enter("kept");
    assert_eq!(sight.given(), []);
    assert!(sight.rows().contains(&"> kept".to_owned()));
    assert!(shows(&sight, "the line stays here"));
    sight.gate.set_shut(false);
    sight.key(Key::Enter);
    assert_eq!(sight.given(), [line("kept")]);
    sight.gate.set_shut(true);
    sight.enter("/quit");
    assert_eq!(sight.given(), [line("/quit")]);
}

#[test]
fn a_line_that_is_too_long_stays() {
    let mut sight = Sight::connected(80, 24);
    sight.event(Event::Paste("x".repeat(LONGEST_LINE + 1)));
    sight.key(Key::Enter);
    assert_eq!(sight.given(), []);
    sight.key(Key::Backspace);
    sight.key(Key::Enter);
    assert_eq!(sight.given(), [line(&"x".repeat(LONGEST_LINE))]);
}
const LONGEST_LINE: usize = crate::protocol::frame::LINE_TEXT;

#[test]
fn a_paste_of_many_lines_is_one_message() {
    let mut sight = Sight::connected(80, 24);
    sight.event(Event::Paste("one\rtwo\r\nthree".into()));
    assert_eq!(sight.given(), []);
    sight.key(Key::Enter);
    assert_eq!(sight.given(), [line("one\ntwo\nthree")]);
}

#[test]
fn y_and_n_answer_the_only_open_offer() {
    for (typed, command) in [("y", "/accept 7"), ("n", "/decline 7"), ("Y", "/accept 7")] {
        let mut sight = Sight::connected(80, 24);
        sight.notice(offer(7, Direction::In, true));
        sight.enter(typed);
        assert_eq!(sight.given(), [line(command)]);
    }
}

#[test]
fn yes_in_full_is_chat_and_so_is_y_without_an_offer() {
    let mut sight = Sight::connected(80, 24);
    sight.enter("y");
    sight.notice(offer(7, Direction::In, true));
    sight.enter("yes of course");
    sight.notice(Notice::Declined { transfer: 7, reason: "".into(), by_peer: false });
    sight.enter("n");
    sight.notice(offer(8, Direction::Out, false));
    sight.enter("y");
    assert_eq!(sight.given(), [line("y"), line("yes of course"), line("n"), line("y")]);
}

#[test]
fn y_with_two_open_offers_asks_which() {
    let mut sight = Sight::connected(80, 24);
    sight.notice(offer(7, Direction::In, true));
    sight.notice(offer(8, Direction::In, true));
    sight.enter("y");
    assert_eq!(sight.given(), []);
    assert!(shows(&sight, "offers 7 and 8 are open"));
}

#[test]
fn an_offer_says_who_what_how_big_free_space_and_clashes() {
    let mut sight = Sight::connected(100, 24);
    sight.notice(offer(7, Direction::In, true));
    let text = sight.rows().join("\n");
    for part in [
        "bob offers photos and 2 more: 240 files in 12 folders, 3.0 GiB (transfer 7)",
        "only 1.0 GiB free here, 3 names exist already",
        "y or n and Enter",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn ctrl_c_clears_the_line_and_twice_on_an_empty_one_leaves() {
    let mut sight = Sight::connected(80, 24);
    sight.typed("draft");
    sight.key(Key::Interrupt);
    assert!(sight.rows().contains(&">".to_owned()));
    sight.key(Key::Interrupt);
    assert_eq!(sight.given(), []);
    sight.key(Key::Interrupt);
    assert_eq!(sight.given(), [Input::Interrupt]);
}

#[test]
fn ctrl_c_twice_too_slowly_or_with_a_key_between_does_not_leave() {
    let mut sight = Sight::connected(80, 24);
    sight.key(Key::Interrupt);
    assert!(shows(&sight, "Ctrl-C again"));
    sight.pass(TWICE);
    assert!(!shows(&sight, "Ctrl-C again"));
    sight.key(Key::Interrupt);
    sight.key(Key::Left);
    sight.key(Key::Interrupt);
    assert_eq!(sight.given(), []);
}

#[test]
fn leaving_with_transfers_asks_first() {
    let mut sight = Sight::connected(80, 24);
    sight.notice(offer(8, Direction::Out, false));
    sight.enter("/quit");
    assert!(shows(&sight, "1 transfer open"));
    sight.key(Key::Insert('n'));
    assert_eq!(sight.given(), []);
    sight.key(Key::DeleteOrQuit);
    sight.key(Key::Insert('y'));
    assert_eq!(sight.given(), [line("/quit")]);
    // The second time is meant.
    sight.enter("/quit");
    assert_eq!(sight.given(), [line("/quit")]);
}

#[test]
fn ctrl_c_with_transfers_asks_and_a_third_is_the_answer() {
    let mut sight = Sight::connected(80, 24);
    sight.notice(offer(8, Direction::Out, false));
    sight.key(Key::Interrupt);
    sight.key(Key::Interrupt);
    assert_eq!(sight.given(), []);
    sight.key(Key::Interrupt);
    assert_eq!(sight.given(), [Input::Interrupt]);
}

#[test]
fn another_key_waves_the_question_away_and_counts() {
    let mut sight = Sight::connected(80, 24);
    sight.notice(offer(8, Direction::Out, false));
    sight.enter("/quit");
    sight.enter("hello");
    assert_eq!(sight.given(), [line("hello")]);
}

#[test]
fn quitting_asks_nothing_once_the_transfers_ended() {
    let mut sight = Sight::connected(80, 24);
    sight.notice(offer(8, Direction::Out, false));
    sight.notice(Notice::Cancelled { transfer: 8, reason: "".into(), by_peer: true });
    sight.enter("/exit");
    assert_eq!(sight.given(), [line("/exit")]);
}

#[test]
fn ctrl_d_quits_only_on_an_empty_line() {
    let mut sight = Sight::connected(80, 24);
    sight.typed("x");
    sight.key(Key::DeleteOrQuit);
    assert_eq!(sight.given(), []);
    sight.key(Key::Backspace);
    sight.key(Key::DeleteOrQuit);
    assert_eq!(sight.given(), [line("/quit")]);
}

#[test]
fn the_bell_rings_only_without_focus_and_not_too_often() {
    let mut sight = Sight::connected(80, 24);
    let rings = |sight: &Sight| sight.bytes.matches('\x07').count();
    sight.hear("seen");
    assert_eq!(rings(&sight), 0);
    sight.event(Event::Focus(false));
    sight.hear("one");
    sight.hear("two");
    assert_eq!(rings(&sight), 1);
    sight.pass(BELL_GAP);
    sight.hear("three");
    assert_eq!(rings(&sight), 2);
    assert!(sight.rows().iter().any(|row| row.ends_with(", 3 unseen")));
    assert_eq!(sight.rows().iter().filter(|row| row.contains("unseen from here")).count(), 1);
    sight.event(Event::Focus(true));
    assert!(!sight.rows().iter().any(|row| row.ends_with(" unseen")));
    sight.enter("/bell off");
    sight.event(Event::Focus(false));
    sight.pass(BELL_GAP);
    sight.hear("four");
    assert_eq!(rings(&sight), 2);
}

#[test]
fn copy_and_save_give_the_message_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved file.txt");
    let mut sight = Sight::connected(80, 24);
    sight.hear("two\n\tlines\u{202e}");
    assert!(sight.rows().iter().any(|row| row == "14:05 bob  2 lines, #1"));
    sight.enter("/copy 1");
    // "two\n\tlines" and the bidi control, in base64.
    assert!(sight.bytes.contains("\x1b]52;c;dHdvCglsaW5lc+KArg==\x07"));
    sight.enter(&format!("/save 1 {}", file.display()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "two\n\tlines\u{202e}\n");
    sight.enter(&format!("/save 1 {}", file.display()));
    assert!(sight.rows().iter().any(|row| row.contains("cannot save")));
    assert_eq!(sight.given(), []);
}

#[test]
fn the_peer_never_gets_at_the_clipboard() {
    let mut sight = Sight::connected(80, 24);
    sight.hear("\x1b]52;c;AAAA\x07/copy 1");
    assert!(!sight.bytes.contains("]52;c;AAAA\x07"));
    assert_eq!(sight.bytes.matches("\x1b]52").count(), 0);
}

#[test]
fn the_status_row_says_how_long_the_connection_is_lost() {
    let mut sight = Sight::connected(80, 24);
    assert_eq!(sight.face.alarm(sight.now.at), None);
    sight.notice(Notice::Lost { reason: "reset".into(), waiting: 2 });
    sight.pass(Duration::from_secs(12));
    assert!(sight.rows().iter().any(|row| row == "-- [known] bob, lost for 12 s, reconnecting"));
    assert_eq!(sight.face.alarm(sight.now.at), Some(sight.now.at + TICK));
    sight.notice(Notice::Reconnected { resent: 2 });
    assert_eq!(sight.face.alarm(sight.now.at), None);
}

#[test]
fn a_search_finds_shows_and_can_be_left() {
    let mut sight = Sight::connected(80, 24);
    for text in ["first one", "second", "first two"] {
        sight.enter(text);
    }
    sight.given();
    sight.typed("draft");
    sight.key(Key::Search);
    sight.typed("first");
    assert!(sight.rows().contains(&"> first two".to_owned()));
    sight.key(Key::Search);
    assert!(sight.rows().contains(&"> first one".to_owned()));
    sight.key(Key::Escape);
    assert!(sight.rows().contains(&"> first one".to_owned()));
    sight.key(Key::Enter);
    assert_eq!(sight.given(), [line("first one")]);
}

#[test]
fn up_brings_the_last_line_and_down_the_draft() {
    let mut sight = Sight::connected(80, 24);
    sight.enter("earlier");
    sight.typed("half");
    sight.key(Key::Up);
    assert!(sight.rows().contains(&"> earlier".to_owned()));
    sight.key(Key::Down);
    assert!(sight.rows().contains(&"> half".to_owned()));
}

#[test]
fn tab_completes_and_then_shows_what_fits() {
    let mut sight = Sight::connected(80, 24);
    sight.typed("/tr");
    sight.key(Key::Tab);
    assert!(sight.rows().contains(&"> /transfers".to_owned()));
    sight.key(Key::KillToStart);
    sight.typed("/c");
    sight.key(Key::Tab);
    assert!(shows(&sight, "/cancel") && shows(&sight, "/clear"));
    sight.key(Key::Insert('l'));
    assert!(shows(&sight, "> /cl") && !shows(&sight, "/cancel"));
}

#[test]
fn a_new_day_has_its_date() {
    let mut sight = Sight::connected(80, 24);
    sight.hear("today");
    sight.now.wall += chrono::Duration::days(1);
    sight.hear("tomorrow");
    let dates = sight.rows().iter().filter(|row| row.contains("Wednesday, 6 May 2026")).count();
    assert_eq!(dates, 1);
}

#[test]
fn clearing_keeps_everything_in_the_scrollback() {
    let mut sight = Sight::connected(80, 24);
    for number in 0..30 {
        sight.hear(&format!("message {number}."));
    }
    sight.enter("/clear");
    assert_eq!(sight.rows(), [">", "-- [known] bob, connected"]);
    let everything = sight.everything();
    for number in 0..30 {
        let wanted = format!("message {number}.");
        assert_eq!(everything.iter().filter(|row| row.ends_with(&wanted)).count(), 1, "{wanted}");
    }
    assert_eq!(everything.iter().filter(|row| row.starts_with("-- ")).count(), 1);
}

#[test]
fn help_fits_one_screen() {
    let mut sight = Sight::connected(80, 24);
    sight.enter("/clear");
    sight.notice(Notice::Info(crate::ui::Info::Help));
    let rows = sight.rows();
    assert!(rows.len() <= 24);
    assert!(rows[0].contains("what you type"), "{rows:#?}");
    assert!((0..24).all(|row| !sight.terminal.screen().row_wrapped(row)));
}
