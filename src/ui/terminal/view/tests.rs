use super::super::tests::TestTerminal;
use super::*;

fn line(text: &str) -> Input {
    Input::Line(text.into())
}

fn sent(id: u64, text: &str) -> Notice {
    Notice::Sent { id, text: text.into(), action: false, waiting: false }
}

fn shows(screen: &TestTerminal, text: &str) -> bool {
    screen.rows().iter().any(|row| row.contains(text))
}

#[test]
fn undelivered_lines_are_shown_and_counted_until_the_peer_has_them() {
    let mut screen = TestTerminal::connected(80, 24);
    let block = |screen: &TestTerminal| screen.rows().into_iter().skip_while(|row| row != ">").collect::<Vec<_>>();
    screen.notice(sent(1, "one\nand more"));
    screen.notice(sent(2, "two\x1b[2J"));
    assert_eq!(block(&screen), [">", "-- [known] bob, connected"]);
    screen.pass(Duration::from_secs(2));
    let slow = |count| format!("-- [known] bob, connected, {count} not delivered yet");
    // (The emulator does not show the replacement.)
    let two = "not there yet: two[2J";
    assert_eq!(block(&screen), [">", "not there yet: one", two, &slow("2 lines")]);
    screen.notice(Notice::Delivered { id: 1 });
    assert_eq!(block(&screen), [">", two, &slow("1 line")]);
    screen.notice(Notice::Delivered { id: 2 });
    assert_eq!(block(&screen), [">", "-- [known] bob, connected"]);
    // Nothing of it stays behind in the chat.
    assert_eq!(screen.everything().iter().filter(|row| row.contains("not there")).count(), 0);
}

#[test]
fn a_hint_is_whole_on_a_narrow_screen() {
    let mut screen = TestTerminal::new(40, 10);
    screen.enter("hello");
    assert_eq!(screen.rows().iter().filter(|row| row.ends_with("the line stays until")).count(), 1);
    assert!(shows(&screen, "somebody is"));
}

#[test]
fn of_many_undelivered_lines_the_oldest_are_shown_and_the_input_keeps_its_room() {
    for (columns, rows, shown) in [(80, 24, 3), (40, 10, 3), (40, 6, 1), (20, 5, 0)] {
        let mut screen = TestTerminal::connected(columns, rows);
        (1..=9).for_each(|id| screen.notice(sent(id, &format!("line {id}"))));
        screen.notice(Notice::Lost { reason: "reset".into(), lines: 9, transfers: 0 });
        // Once it has arrived, nothing in the chat may say that it waits.
        screen.notice(Notice::Sent { id: 10, text: "line 10".into(), action: false, waiting: true });
        assert!(!screen.everything().iter().any(|row| row.starts_with("14:05") && row.contains("waits")), "{rows}");
        screen.typed("draft");
        let waiting: Vec<_> = screen.rows().into_iter().filter(|row| row.starts_with("waits: ")).collect();
        let oldest: Vec<_> = (1..=shown).map(|id| format!("waits: line {id}")).collect();
        assert_eq!(waiting, oldest, "{rows}");
        assert!(shows(&screen, "> draft"));
    }
}

#[test]
fn a_full_queue_keeps_the_line_in_the_editor_but_lets_commands_pass() {
    let mut screen = TestTerminal::connected(80, 24);
    screen.backpressure.set_paused(true);
    screen.enter("kept");
    assert_eq!(screen.given(), []);
    assert!(screen.rows().contains(&"> kept".to_owned()));
    assert!(shows(&screen, "the line stays here"));
    screen.backpressure.set_paused(false);
    screen.key(Key::Enter);
    assert_eq!(screen.given(), [line("kept")]);
    screen.backpressure.set_paused(true);
    screen.enter("/quit");
    assert_eq!(screen.given(), [line("/quit")]);
}

#[test]
fn a_line_that_is_too_long_stays() {
    let mut screen = TestTerminal::connected(80, 24);
    screen.event(TerminalEvent::Paste("x".repeat(LONGEST_LINE + 1)));
    screen.key(Key::Enter);
    assert_eq!(screen.given(), []);
    screen.key(Key::Backspace);
    screen.key(Key::Enter);
    assert_eq!(screen.given(), [line(&"x".repeat(LONGEST_LINE))]);
}
const LONGEST_LINE: usize = crate::protocol::frame::LINE_TEXT;

#[test]
fn ctrl_c_twice_too_slowly_or_with_a_key_between_does_not_leave() {
    let mut screen = TestTerminal::connected(80, 24);
    screen.key(Key::Interrupt);
    assert!(shows(&screen, "Ctrl-C again"));
    screen.pass(TWICE);
    assert!(!shows(&screen, "Ctrl-C again"));
    screen.key(Key::Interrupt);
    screen.key(Key::Left);
    screen.key(Key::Interrupt);
    assert_eq!(screen.given(), []);
}

#[test]
fn the_bell_rings_only_without_focus_and_not_too_often() {
    let mut screen = TestTerminal::connected(80, 24);
    let rings = |screen: &TestTerminal| screen.bytes.matches('\x07').count();
    screen.hear("seen");
    assert_eq!(rings(&screen), 0);
    screen.event(TerminalEvent::Focus(false));
    screen.hear("one");
    screen.hear("two");
    assert_eq!(rings(&screen), 1);
    screen.pass(BELL_GAP);
    screen.hear("three");
    assert_eq!(rings(&screen), 2);
    assert!(screen.rows().iter().any(|row| row.ends_with(", 3 unseen")));
    assert_eq!(screen.rows().iter().filter(|row| row.contains("unseen from here")).count(), 1);
    screen.event(TerminalEvent::Focus(true));
    assert!(!screen.rows().iter().any(|row| row.ends_with(" unseen")));
    screen.enter("/bell off");
    screen.event(TerminalEvent::Focus(false));
    screen.pass(BELL_GAP);
    screen.hear("four");
    assert_eq!(rings(&screen), 2);
}

#[test]
fn where_no_focus_is_reported_a_person_is_away_after_a_minute_without_a_key() {
    let mut screen = TestTerminal::connected(80, 24);
    let rings = |screen: &TestTerminal| screen.bytes.matches('\x07').count();
    screen.typed("x");
    screen.pass(AWAY - Duration::from_secs(1));
    screen.hear("seen");
    assert_eq!(rings(&screen), 0);
    screen.pass(Duration::from_secs(1));
    screen.hear("not seen");
    assert_eq!(rings(&screen), 1);
}

#[test]
fn copy_and_save_give_the_message_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved file.txt");
    let mut screen = TestTerminal::connected(80, 24);
    screen.hear("two\n\tlines\u{202e}");
    assert!(screen.rows().iter().any(|row| row == "14:05 bob  2 lines, #1"));
    screen.enter("/copy 1");
    // "two\n\tlines" and the bidi control, in base64.
    assert!(screen.bytes.contains("\x1b]52;c;dHdvCglsaW5lc+KArg==\x07"));
    screen.enter(&format!("/save 1 {}", file.display()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "two\n\tlines\u{202e}\n");
    screen.enter(&format!("/save 1 {}", file.display()));
    assert!(screen.rows().iter().any(|row| row.contains("cannot save")));
    assert_eq!(screen.given(), []);
}

#[test]
fn the_status_row_says_how_long_the_connection_is_lost() {
    let mut screen = TestTerminal::connected(80, 24);
    assert_eq!(screen.view.wake_at(screen.now.at), None);
    screen.notice(Notice::Lost { reason: "reset".into(), lines: 2, transfers: 0 });
    screen.pass(Duration::from_secs(12));
    assert!(screen.rows().iter().any(|row| row == "-- [known] bob, lost for 12 s, reconnecting"));
    assert_eq!(screen.view.wake_at(screen.now.at), Some(screen.now.at + TICK));
    screen.notice(Notice::Reconnected { restarted: false });
    assert_eq!(screen.view.wake_at(screen.now.at), None);
}

#[test]
fn a_search_finds_shows_and_can_be_left() {
    let mut screen = TestTerminal::connected(80, 24);
    for text in ["first one", "second", "first two"] {
        screen.enter(text);
    }
    screen.given();
    screen.typed("draft");
    screen.key(Key::Search);
    screen.typed("first");
    assert!(screen.rows().contains(&"> first two".to_owned()));
    screen.key(Key::Search);
    assert!(screen.rows().contains(&"> first one".to_owned()));
    screen.key(Key::Escape);
    assert!(screen.rows().contains(&"> first one".to_owned()));
    screen.key(Key::Enter);
    assert_eq!(screen.given(), [line("first one")]);
}

#[test]
fn up_brings_the_last_line_and_down_the_draft() {
    let mut screen = TestTerminal::connected(80, 24);
    screen.enter("earlier");
    screen.typed("half");
    screen.key(Key::Up);
    assert!(screen.rows().contains(&"> earlier".to_owned()));
    screen.key(Key::Down);
    assert!(screen.rows().contains(&"> half".to_owned()));
}

#[test]
fn tab_completes_and_then_shows_what_fits() {
    let mut screen = TestTerminal::connected(80, 24);
    screen.typed("/tr");
    screen.key(Key::Tab);
    assert!(screen.rows().contains(&"> /transfers".to_owned()));
    screen.key(Key::KillToStart);
    screen.typed("/c");
    screen.key(Key::Tab);
    assert!(shows(&screen, "/cancel") && shows(&screen, "/clear"));
    screen.typed("l");
    assert!(shows(&screen, "> /cl") && !shows(&screen, "/cancel"));
}

#[test]
fn a_command_is_the_same_in_capitals_also_before_there_is_a_peer() {
    let mut screen = TestTerminal::new(80, 24);
    for (typed, given) in [("/QUIT", "/quit"), ("/Stay", "/stay"), ("/AGAIN", "/again")] {
        screen.enter(typed);
        assert_eq!(screen.given(), [line(given)]);
    }
    screen.enter("/Copy");
    assert!(shows(&screen, "no such message") && !shows(&screen, "nobody is here"));
}

#[test]
fn more_blanks_before_an_argument_mean_the_same() {
    let mut screen = TestTerminal::connected(80, 24);
    screen.hear("one");
    screen.hear("two");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    for blanks in [" ", "  ", "\t"] {
        screen.enter(&format!("/copy{blanks}1"));
        assert!(shows(&screen, "message 1 goes to the clipboard") && !shows(&screen, "message 2"), "{blanks:?}");
        screen.enter(&format!("/save{blanks}1{blanks}{}", file.display()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one\n", "{blanks:?}");
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_new_day_has_its_date() {
    let mut screen = TestTerminal::connected(80, 24);
    screen.hear("today");
    screen.now.wall += chrono::Duration::days(1);
    screen.hear("tomorrow");
    let dates = screen.rows().iter().filter(|row| row.contains("Wednesday, 6 May 2026")).count();
    assert_eq!(dates, 1);
}

#[test]
fn clearing_keeps_everything_in_the_scrollback() {
    let mut screen = TestTerminal::connected(80, 24);
    for number in 0..30 {
        screen.hear(&format!("message {number}."));
    }
    screen.enter("/clear");
    assert_eq!(screen.rows(), [">", "-- [known] bob, connected"]);
    let everything = screen.everything();
    for number in 0..30 {
        let wanted = format!("message {number}.");
        assert_eq!(everything.iter().filter(|row| row.ends_with(&wanted)).count(), 1, "{wanted}");
    }
    assert_eq!(everything.iter().filter(|row| row.starts_with("-- ")).count(), 1);
}
