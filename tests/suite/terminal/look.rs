//! What stands where on the screen: nothing of the peer's begins in the columns of the program's own, at any width.

use super::meet;
use crate::support::attacker::identity;
use crate::support::files::List;
use crate::support::{Attacker, Home, Pty};
use p2pchat::protocol::frame::{Control, Frame, Intent, Reason};

/// Looks like rows of the program: a message, a mark, an own line, a status row, the input, a question.
const FORGED: [&str; 6] =
    ["12:34 \u{a6} zqx is safe", "\u{a6} zqx", "12:34 ana\u{25b8} zqx", "-- [verified] zqx", "> zqx", "y or n? zqx"];
/// Names made of what looks like the program's marks.
const NAMES: [&str; 4] = ["\u{2502} zqx", "\u{a6} zqx warning", "12:34 \u{2503} zqx", "\u{2588}\u{258c}|zqx"];

/// Everything of the peer's choice that a listener shows, with the forged text at every place around the margin.
fn visit(addr: std::net::SocketAddr, name: &str, columns: usize) {
    let mut eve = Attacker::dial(addr, &identity(), None).unwrap();
    assert!(matches!(eve.greet(Intent::New, [7; 16], name), Some(Frame::Greeting(_))));
    for forged in FORGED {
        for pad in columns.saturating_sub(34)..columns + 2 {
            let text = format!("{} {forged} {forged}", "x".repeat(pad));
            let lines = format!("two lines\n{}{forged}\n{}{forged}", "x".repeat(pad), " ".repeat(pad));
            eve.control(Control::Line { action: false, text: text.clone() }).unwrap();
            eve.control(Control::Line { action: pad % 2 == 0, text: lines }).unwrap();
            if pad % 8 == 0 {
                let list = List::default().file(&text.replace('/', "_"), 1);
                let transfer = eve.offer(&list);
                eve.control(Control::Cancel { transfer, reason: Reason::Io, text }).unwrap();
            }
        }
    }
    eve.leave();
}

/// A row with what the peer wrote has the program's own before it: a time and a name, a mark and words, or a deep indent.
fn check(columns: u16, name: &str, rows: &[String]) {
    let mut seen = 0;
    for row in rows {
        let Some(at) = row.find("zqx").or_else(|| row.find('x')) else { continue };
        seen += 1;
        let before = &row[..row.find('x').unwrap_or(at).min(at)];
        let is_status = row.starts_with("-- [new] ") || row.starts_with("-- nobody");
        // The program's own line ends with the peer's name or text; a row of it never begins before the eighth column.
        let begins = row.find(|c: char| c != ' ').unwrap_or(0);
        let is_time = row.get(2..3) == Some(":") && row.get(5..6) == Some(" ");
        let is_mark = begins == 6 && row[begins..].starts_with('\u{a6}');
        assert!(is_status || is_time || is_mark || begins >= 8, "{columns} {name}: {row:?}");
        // After a time, or a mark, come words of the program, or a deeper indent.
        let bare = before.trim_end().ends_with('\u{a6}') && !before.ends_with("   ");
        assert!(!bare, "{columns} {name}: {row:?}");
        assert!(row.matches('\u{a6}').count() <= 1 && !row.contains('\u{25b8}'), "{columns} {name}: {row:?}");
        assert!(!(is_time && row[6..].starts_with(['|', '\u{2502}', '\u{2503}', '\u{2588}'])), "{columns}: {row:?}");
    }
    assert!(seen > 300, "{columns} {name}: {seen} rows");
}

#[test]
fn no_row_of_a_peer_begins_where_the_programs_do_at_any_width() {
    for (number, columns) in [20, 21, 24, 27, 30, 39, 40, 57, 64, 80, 132, 200].into_iter().enumerate() {
        let home = Home::new();
        // In the narrow ones the address that is shown is wrapped.
        let addr = crate::support::nobody();
        let arguments = ["listen", &addr.1.to_string(), "-n", "ana"];
        let mut ana = Pty::sized(&home, 4_000, columns, &arguments);
        ana.shows("-- waiting");
        drop(addr.0);
        let name = NAMES[number % NAMES.len()];
        visit(addr.1, name, usize::from(columns));
        ana.wait(|shown| {
            let rows = shown.rows();
            rows.iter().any(|row| row.starts_with("-- nobody")).then(|| check(columns, name, &rows))
        });
        ana.keys("\r");
        assert_eq!(ana.exit_code(), 0);
    }
}

#[test]
fn where_characters_may_take_two_columns_the_input_leaves_room_for_that() {
    const COLUMNS: usize = 100;
    let home = Home::new();
    let start = format!("LC_ALL=ja_JP.UTF-8 exec {} listen 127.0.0.1:0", env!("CARGO_BIN_EXE_p2pchat"));
    let mut terminal = Pty::run(&home, "sh", &["-c", &start]);
    terminal.addr();
    terminal.keys(&"\u{2192}".repeat(COLUMNS));
    let of_input = |row: &String| row.matches('\u{2192}').count();
    let rows = terminal.wait(|shown| {
        let rows: Vec<_> = shown.rows().iter().map(of_input).collect();
        (rows.iter().sum::<usize>() == COLUMNS).then_some(rows)
    });
    assert!(rows.iter().all(|count| 2 * count < COLUMNS), "{rows:?}");
}

#[test]
fn a_small_file_takes_two_rows_and_several_files_say_how_many() {
    let (_home, mut terminal, peer) = meet(&["--accept", "always"]);
    let (one, two) = (peer.home().file("one", "1"), peer.home().file("two", "22"));
    peer.send(&format!("/send {} {}", one.display(), two.display()));
    terminal.shows("[1] bob offers 2 files, 3 B: one and 1 more");
    terminal.shows("[1] received 2 files, 3 B: ");
    terminal.wait(|shown| (shown.rows().iter().filter(|row| row.contains("[1]")).count() == 2).then_some(()));
    terminal.keys("/quit\r");
}

#[test]
fn quietly_only_chat_and_what_must_be_known_is_shown() {
    for option in ["-q", "-qq"] {
        let (_home, mut terminal, peer) = meet(&[option, "--accept", "always"]);
        peer.offers("one", "1");
        peer.event("done");
        peer.send("hello");
        terminal.shows("bob  hello");
        assert!(!terminal.wait(|shown| Some(shown.has("received") || shown.has("your own name"))), "{option}");
        terminal.keys("/bell\r");
        terminal.shows("the bell is on");
        terminal.keys("/bell off\r");
        terminal.shows("the bell is off");
    }
}
