use super::super::keys::Key;
use super::super::keys::TerminalEvent;
use super::super::tests::{TestTerminal, everything, offer, rows};
use super::*;
use crate::ui::{Direction, Notice};

/// A generator of numbers that every run repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn bar(screen: &mut TestTerminal, transfer: u32) {
    screen.notice(offer(transfer, Direction::Out, &format!("file{transfer}")));
    screen.notice(Notice::Progress { transfer, bytes: 1, total: Some(1000), files: 0 });
}

/// Every message exactly once, in order, and nothing of a block but the one at the end.
fn check(screen: &mut TestTerminal, messages: usize, bars: usize) {
    let all = screen.everything();
    check_messages(&all, messages);
    assert_eq!(all.iter().filter(|row| row.starts_with("-- [")).count(), 1, "{all:#?}");
    assert_eq!(all.iter().filter(|row| row.starts_with("↑ ")).count(), bars, "{all:#?}");
    assert_eq!(all.iter().filter(|row| row.starts_with("> ") || *row == ">").count(), 1, "{all:#?}");
}

fn check_messages(all: &[String], messages: usize) {
    let joined = all.join("");
    let mut from = 0;
    for number in 0..messages {
        let wanted = format!("<message-{number}>");
        assert_eq!(joined.matches(&wanted).count(), 1, "{wanted} in {all:#?}");
        let at = joined.find(&wanted).unwrap();
        assert!(at >= from, "{wanted} out of order");
        from = at;
    }
}

#[test]
fn no_message_is_lost_and_no_row_of_the_block_left_behind() {
    for (columns, rows, bars) in [(80, 24, 2), (40, 10, 2), (30, 5, 0)] {
        let mut screen = TestTerminal::connected(columns, rows);
        bar(&mut screen, 1);
        bar(&mut screen, 2);
        let mut dice = Dice(7);
        for number in 0..120 {
            let filling = "x".repeat(usize::try_from(dice.roll(150)).unwrap());
            screen.hear(&format!("<message-{number}>{filling}"));
            screen.typed("ab ");
            if dice.roll(3) == 0 {
                screen.key(Key::KillBlankWord);
            }
            if dice.roll(10) == 0 {
                screen.key(Key::KillToStart);
            }
            screen.notice(Notice::Progress { transfer: 1, bytes: number, total: Some(1000), files: 0 });
        }
        screen.key(Key::KillToStart);
        check(&mut screen, 120, bars);
    }
}

#[test]
fn rows_of_the_block_are_never_wrapped_and_autowrap_is_back_on_after_it() {
    let mut screen = TestTerminal::connected(30, 10);
    screen.typed(&"日本👩‍👩‍👧e\u{301}x ".repeat(6));
    let first = u16::try_from(screen.rows().iter().position(|row| row.starts_with("> ")).unwrap()).unwrap();
    for row in first..10 {
        assert!(!screen.terminal.screen().row_wrapped(row), "{row}");
    }
    assert!(screen.bytes.rfind("\x1b[?7h") > screen.bytes.rfind("\x1b8"));
}

#[test]
fn the_cursor_stands_where_the_next_character_goes() {
    let mut screen = TestTerminal::connected(80, 24);
    screen.hear("something");
    screen.typed("abc");
    screen.key(Key::Left);
    let (row, column) = screen.terminal.screen().cursor_position();
    let rows = screen.rows();
    assert_eq!(rows[usize::from(row)], "> abc");
    assert_eq!(column, 4);
    screen.key(Key::Tab);
    screen.hear("more");
    let (row, column) = screen.terminal.screen().cursor_position();
    assert_eq!((screen.rows()[usize::from(row)].as_str(), column), ("> abc", 4));
}

#[test]
fn a_block_that_grows_at_the_end_of_the_screen_scrolls_only_chat() {
    let mut screen = TestTerminal::connected(40, 10);
    for number in 0..20 {
        screen.hear(&format!("<message-{number}>"));
    }
    for _ in 0..4 {
        screen.key(Key::Newline);
        screen.typed("line");
    }
    check(&mut screen, 20, 0);
    screen.key(Key::Interrupt);
    check(&mut screen, 20, 0);
    bar(&mut screen, 1);
    bar(&mut screen, 2);
    check(&mut screen, 20, 2);
}

#[test]
fn a_frame_that_changes_nothing_is_not_written() {
    let mut screen = TestTerminal::connected(80, 24);
    let before = screen.bytes.len();
    screen.frame();
    screen.key(Key::Left);
    assert_eq!(screen.bytes.len(), before);
}

#[test]
fn the_block_never_takes_the_whole_screen() {
    // (The emulator itself cannot wrap on a single row.)
    for height in 2..12 {
        let mut screen = TestTerminal::connected(40, height);
        bar(&mut screen, 1);
        screen.event(TerminalEvent::Paste("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm".into()));
        let rows = screen.screen.shown.rows.len();
        assert!(rows < usize::from(height), "{rows} of {height}");
        screen.hear("<message-0>");
        assert!(screen.everything().join("").contains("<message-0>"));
    }
}

#[test]
fn no_sequence_but_the_known_ones_is_ever_written() {
    let mut screen = TestTerminal::connected(60, 12);
    bar(&mut screen, 1);
    screen.hear("text");
    screen.enter("/clear");
    // Erasing below or the whole screen would go into the scrollback of tmux, together with the block.
    for forbidden in ["\x1b[J", "\x1b[0J", "\x1b[2J", "\x1b[3J", "\x1b[6n", "\x1b[?1049"] {
        assert!(!screen.bytes.contains(forbidden), "{forbidden:?}");
    }
}

/// What a terminal that reflows makes of its content when the width changes: logical lines, wrapped anew.
fn reflow(terminal: &mut vt100::Parser, columns: u16, height: u16) -> vt100::Parser {
    let (old_height, old_columns) = terminal.screen().size();
    let (cursor_row, cursor_column) = terminal.screen().cursor_position();
    terminal.screen_mut().set_scrollback(usize::MAX);
    let back = terminal.screen().scrollback();
    let mut lines: Vec<(String, bool)> = Vec::new();
    let mut cursor = (0, 0);
    for number in 0..back + usize::from(old_height) {
        let offset = back.saturating_sub(number);
        terminal.screen_mut().set_scrollback(offset);
        let row = u16::try_from(number + offset - back).unwrap();
        let text = terminal.screen().rows(0, old_columns).nth(usize::from(row)).unwrap();
        let goes_on = lines.last().is_some_and(|(_, wrapped)| *wrapped);
        let wrapped = terminal.screen().row_wrapped(row);
        let before = if goes_on { lines.last().unwrap().0.chars().count() } else { 0 };
        if goes_on {
            let last = lines.last_mut().unwrap();
            last.0.push_str(&text);
            last.1 = wrapped;
        } else {
            lines.push((text, wrapped));
        }
        if number == back + usize::from(cursor_row) {
            cursor = (lines.len() - 1, before + usize::from(cursor_column));
        }
    }
    while lines.len() > cursor.0 + 1 && lines.last().unwrap().0.is_empty() {
        lines.pop();
    }
    let width = usize::from(columns);
    let physical = |length: usize| length.max(1).div_ceil(width);
    let mut fresh = vt100::Parser::new(height, columns, 20_000);
    let texts: Vec<&str> = lines.iter().map(|(text, _)| text.as_str()).collect();
    fresh.process(texts.join("\r\n").as_bytes());
    let of_cursor = lines[cursor.0].0.chars().count().max(cursor.1 + 1);
    let below: usize = lines[cursor.0 + 1..].iter().map(|(text, _)| physical(text.chars().count())).sum();
    let rest = physical(of_cursor) - 1 - cursor.1 / width;
    // Room that the cursor's column needs beyond its line's text.
    if below + rest > 0 {
        fresh.process(format!("\x1b[{}A", below + rest).as_bytes());
    }
    fresh.process(format!("\r\x1b[{}C\x1b[{}D", cursor.1 % width + 1, 1).as_bytes());
    if cursor.1 % width == 0 {
        fresh.process(b"\r");
    }
    fresh
}

fn resize(screen: &mut TestTerminal, columns: u16, height: u16) {
    screen.terminal = reflow(&mut screen.terminal, columns, height);
    screen.screen.resize(Size { columns, rows: height });
}

#[test]
fn the_reflow_of_these_tests_keeps_lines_and_cursor() {
    let mut terminal = vt100::Parser::new(4, 10, 100);
    terminal.process(b"one\r\na line that wraps\r\nlast\x1b[A\r\x1b[2C");
    let mut fresh = reflow(&mut terminal, 30, 4);
    assert_eq!(everything(&mut fresh), ["one", "a line that wraps", "last"]);
    assert_eq!(fresh.screen().cursor_position(), (1, 12));
    let narrow = reflow(&mut fresh, 5, 9);
    assert_eq!(rows(&narrow), ["one", "a lin", "e tha", "t wra", "ps", "last"]);
    assert_eq!(narrow.screen().cursor_position(), (3, 2));
}

#[test]
fn resizes_lose_no_message_and_leave_no_row_behind() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let mut screen = TestTerminal::connected(80, 24);
        bar(&mut screen, 1);
        bar(&mut screen, 2);
        screen.typed("a typed line that is quite a bit longer than the narrow ones of these screens are");
        let mut messages = 0;
        for _ in 0..40 {
            for _ in 0..dice.roll(4) {
                screen.hear(&format!("<message-{messages}>{}", "y".repeat(usize::try_from(dice.roll(60)).unwrap())));
                messages += 1;
            }
            let columns = u16::try_from(40 + dice.roll(80)).unwrap();
            let height = u16::try_from(20 + dice.roll(20)).unwrap();
            resize(&mut screen, columns, height);
            if dice.roll(3) > 0 {
                screen.frame();
            }
            screen.typed("z");
        }
        check(&mut screen, messages, 2);
    }
}

#[test]
fn a_frame_that_meets_the_terminal_after_its_change_erases_no_message() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let mut screen = TestTerminal::connected(80, 24);
        bar(&mut screen, 1);
        // When short, no row stands above the cursor and nothing at all is left behind.
        let long = seed % 2 == 1;
        screen.typed(if long {
            "a typed line that does not fit into the narrower ones of these screens"
        } else {
            "short"
        });
        for number in 0..40 {
            let columns = u16::try_from(40 + dice.roll(80)).unwrap();
            let height = u16::try_from(20 + dice.roll(20)).unwrap();
            screen.terminal = reflow(&mut screen.terminal, columns, height);
            screen.hear(&format!("<message-{number}>{}", "y".repeat(usize::try_from(dice.roll(60)).unwrap())));
            screen.screen.resize(Size { columns, rows: height });
            screen.frame();
        }
        if long {
            check_messages(&screen.everything(), 40);
        } else {
            check(&mut screen, 40, 1);
        }
    }
}

#[test]
fn autowrap_is_off_below_the_cursor_so_that_a_late_frame_wraps_only_the_input() {
    let mut screen = TestTerminal::connected(80, 24);
    bar(&mut screen, 1);
    screen.bytes.clear();
    screen.typed("x");
    let off = screen.bytes.find("\x1b7\x1b[?7l").unwrap();
    let on = screen.bytes.rfind("\x1b8\x1b[?7h").unwrap();
    let within = |text: &str| screen.bytes.find(text).is_some_and(|at| off < at && at < on);
    assert!(within("-- [known]") && within("↑ 1"), "{:?}", screen.bytes);
    assert!(!within("> x"), "{:?}", screen.bytes);
}

#[test]
fn a_late_frame_finds_its_place_where_the_rows_below_the_cursor_were_dropped() {
    let mut screen = TestTerminal::connected(80, 24);
    bar(&mut screen, 1);
    (0..30).for_each(|number| screen.hear(&format!("<message-{number}>")));
    screen.typed("one row");
    // What tmux does when it becomes lower: the rows below the cursor go first.
    let (row, _) = screen.terminal.screen().cursor_position();
    let mut lower = vt100::Parser::new(row + 1, 80, 1000);
    let rows = screen.everything();
    let end = rows.iter().position(|row| row.starts_with("> ")).unwrap();
    lower.process(rows[..=end].join("\r\n").as_bytes());
    screen.terminal = lower;
    screen.typed("!");
    screen.screen.resize(Size { columns: 80, rows: row + 1 });
    screen.frame();
    check(&mut screen, 30, 1);
}

#[test]
fn a_terminal_without_reflow_loses_no_message() {
    let mut screen = TestTerminal::connected(80, 24);
    screen.screen = Screen::new(Size { columns: 80, rows: 24 }, false);
    screen.terminal = vt100::Parser::new(24, 80, 1000);
    bar(&mut screen, 1);
    for (number, columns) in [60, 40, 100, 50, 80].into_iter().enumerate() {
        screen.hear(&format!("<message-{number}>"));
        screen.terminal.screen_mut().set_size(24, columns);
        screen.screen.resize(Size { columns, rows: 24 });
    }
    screen.frame();
    check(&mut screen, 5, 1);
}
