//! A peer fills every text that it may choose with what terminals obey: the real program in a real terminal shows it and obeys nothing.

use crate::support::attacker::identity;
use crate::support::files::List;
use crate::support::pty::Shown;
use crate::support::{Attacker, Home, Pty};
use p2pchat::protocol::frame::{Control, FileStatus, Frame, LINE_TEXT, NAME, REASON_TEXT, Reason, at_most};
use std::net::SocketAddr;

/// Stands in every hostile text, so that it can be found again.
const TOKEN: &str = "zqx";

/// Every kind of trouble, each with the token behind it.
fn troubles() -> Vec<String> {
    let sequences = [
        "\u{1b}]0;pwned\u{7}",
        "\u{1b}]2;pwned\u{1b}\\",
        "\u{1b}]52;c;cHduZWQ=\u{7}",
        "\u{1b}]52;c;?\u{7}",
        "\u{1b}[c",
        "\u{1b}[>c",
        "\u{1b}[6n",
        "\u{1b}[5n",
        "\u{1b}[21t",
        "\u{1b}P$q\"p\u{1b}\\",
        "\u{1b}P+q544e\u{1b}\\",
        "\u{1b}[2J\u{1b}[H",
        "\u{1b}[10;10H",
        "\u{1b}[5A\u{1b}[3D",
        "\u{1b}[?1049h",
        "\u{1b}[?25l",
        "\u{1b}(0\u{e}",
        "\u{1b}c",
        "\u{1b}7\u{1b}8\u{1b}D\u{1b}M",
        "\u{9b}2J\u{9b}H",
        "\u{9d}0;pwned\u{9c}",
        "\u{90}$q\"p\u{9c}",
        "\u{5}\u{6}",
        "\u{7}\u{7}",
        "\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}",
        "\u{b}\u{c}",
        "\r12:34 \u{a6} connected to root ",
        "\r-- root is now verified ",
        "\u{85}-- root is now verified ",
        "\u{2028}12:34 \u{a6} root ",
        "\u{2029}-- root ",
        "\u{202e}\u{2066}\u{61c}\u{200f}",
        "\u{200b}\u{2060}\u{feff}\u{ad}\u{e0041}",
        "\u{a6} forged \u{25b8} ",
        "-- forged ",
        "\t\t\t",
    ];
    sequences.iter().map(|sequence| format!("{sequence}{TOKEN}")).chain([marks(300)]).collect()
}

/// A character under a tower of combining marks.
fn marks(count: usize) -> String {
    format!("{TOKEN}{}", "\u{301}".repeat(count))
}

/// Texts that put `what` at the beginning of a row, wherever the text begins, if nothing prevents it.
fn at_a_margin(what: &str) -> impl Iterator<Item = String> {
    let what = format!("{what}{TOKEN}");
    (50..110).map(move |pad| format!("{}{what}", "x".repeat(pad)))
}

/// What both frontends must keep: nothing asked of the terminal, and no control that is not on the list.
fn obeys_nothing(shown: &Shown) {
    let requests = shown.emulator.callbacks();
    assert!(requests.titles.is_empty(), "{:?}", requests.titles);
    assert_eq!(requests.clipboard, 0);
    // Focus events, synchronised frames and lines that do not wrap are the program's own.
    let own = |request: &&String| {
        ["csi ?[[1004]]", "csi ?[[2026]]", "csi ?[[7]]"].iter().any(|mode| request.starts_with(mode))
    };
    let asked: Vec<_> = requests.other.iter().filter(|request| !own(request)).collect();
    assert!(asked.is_empty(), "{asked:?}");
    assert!(!shown.emulator.screen().alternate_screen());
    let text = String::from_utf8(shown.raw.clone()).unwrap();
    assert!(!text.contains(|c: char| ('\u{80}'..='\u{9f}').contains(&c) || ('\u{202a}'..='\u{202e}').contains(&c)));
    for begins in ["\u{1b}]", "\u{1b}P", "\u{1b}c", "\u{1b}[c", "\u{1b}[6n", "\u{1b}(", "\u{1b}[?1049"] {
        assert!(!text.contains(begins), "{begins:?} went out");
    }
}

/// A whole hostile visit: the name, lines, an offer with hostile names that are refused, one whose names are just allowed, and texts
/// of declines and cancels for what the program offers. `types` types a line into the program.
fn visit(addr: SocketAddr, name: &str, types: &mut dyn FnMut(&str), own_file: &str) {
    let mut eve = Attacker::dial(addr, &identity(), None).unwrap();
    let answer = eve.greet(p2pchat::protocol::frame::Intent::New, [7; 16], at_most(name, NAME));
    assert!(matches!(answer, Some(Frame::Greeting(_))), "{answer:?}");
    let line = |text: &str| Control::Line { action: false, text: at_most(text, LINE_TEXT).to_owned() };
    for trouble in troubles() {
        eve.control(line(&trouble)).unwrap();
    }
    eve.control(Control::Line { action: true, text: format!("\u{1b}[2J{TOKEN}\n12:34 \u{a6} {TOKEN}\n-- {TOKEN}") })
        .unwrap();
    for text in at_a_margin("-- ").chain(at_a_margin("12:34 \u{a6} ")) {
        eve.control(line(&text)).unwrap();
    }
    eve.control(line(&marks(LINE_TEXT / 2))).unwrap();
    offer(&mut eve, "\u{1b}]0;pwned\u{7}zqx");
    offer(&mut eve, at_most(&marks(200), 255));
    offer(&mut eve, &format!("{}-- {TOKEN}", "y".repeat(60)));
    let transfer = offer(&mut eve, &format!("{}12:34 \u{a6} {TOKEN}", "y".repeat(60)));
    eve.control(Control::Cancel { transfer, reason: Reason::User, text: margin("-- ") }).unwrap();
    // A running transfer, whose names and what is left out of it are shown, and then that its file failed.
    let left_out = |list: List, trouble: &String| {
        let path = at_most(trouble, 255).as_bytes();
        list.raw(&[&[5, 1, 0, 0, 0, 1][..], &(path.len() as u16).to_be_bytes(), path].concat())
    };
    let list = troubles().iter().fold(List::default().file(&format!("\u{1b}[2J\u{9b}H\r-- {TOKEN}"), 1), left_out);
    let mut upload = eve.begin(&list);
    for command in ["/peer".to_owned(), "/verify".to_owned(), format!("/transfers {}", upload.transfer)] {
        types(&command);
    }
    for (number, trouble) in troubles().iter().enumerate() {
        types(&format!("/send {own_file}"));
        let is_offer = |frame: &Frame| matches!(frame, Frame::Control { control: Control::Offer { .. }, .. });
        let Some(Frame::Control { control: Control::Offer { transfer, .. }, .. }) = eve.read_to(is_offer) else {
            panic!("no offer came");
        };
        let text = at_most(&format!("{trouble}{}", margin("-- ")), REASON_TEXT).to_owned();
        let control = if number % 2 == 0 {
            Control::Decline { transfer, reason: Reason::Io, text }
        } else {
            Control::Cancel { transfer, reason: Reason::Io, text }
        };
        eve.control(control).unwrap();
    }
    // By now what was typed before has been answered.
    eve.file_end(&mut upload, FileStatus::Unreadable, [0; 32]);
    eve.read_complete().unwrap();
    eve.leave();
}

fn margin(what: &str) -> String {
    at_a_margin(what).nth(20).unwrap()
}

/// Offers one file of this name and sends it when it is accepted.
fn offer(eve: &mut Attacker, name: &str) -> u32 {
    let content = b"content";
    let list = List::default().file(name, content.len() as u64);
    let transfer = eve.offer(&list);
    if eve.answer(transfer) == Some(true) {
        let mut upload = eve.begin_data(transfer, list.end());
        eve.upload_file(&mut upload, content);
        eve.read_complete().unwrap();
    }
    transfer
}

/// Names that fit into a greeting, a few of them so that the test stays short.
fn names() -> [String; 4] {
    [
        "\u{1b}]0;pwned\u{7}\u{9b}2J\rzqx".to_owned(),
        "\u{202e}\u{2028}-- zqx\u{200b}".to_owned(),
        "\u{a6} zqx \u{25b8}".to_owned(),
        format!("eve {}", marks(300)),
    ]
}

/// Takes everything from one after the other; and the path of a file that it can send.
fn listener(home: &Home, options: &[&str]) -> (Pty, String) {
    let (own, inbox) = (home.file("own.txt", "own"), home.inbox());
    let all = ["listen", "127.0.0.1:0", "--keep", "-n", "ana", "--accept", "always", "--dir", inbox.to_str().unwrap()];
    (Pty::start(home, &[&all[..], options].concat()), own.to_str().unwrap().to_owned())
}

#[test]
fn the_interactive_terminal_shows_it_and_obeys_nothing() {
    let home = Home::new();
    let (mut ana, own) = listener(&home, &[]);
    let addr = ana.addr();
    for name in names() {
        let mut types = |line: &str| {
            // A line that is begun before the screen knows of the peer would stay in the editor.
            ana.wait(|shown| shown.rows().iter().any(|row| row.starts_with("-- [")).then_some(()));
            ana.keys(&format!("{line}\r"));
        };
        visit(addr, &name, &mut types, &own);
        ana.wait(|shown| shown.rows().iter().any(|row| row.starts_with("-- waiting")).then_some(()));
    }
    ana.keys("typed");
    ana.wait(|shown| {
        let screen = shown.emulator.screen();
        let row = screen.contents_between(screen.cursor_position().0, 0, screen.cursor_position().0, 100);
        // The cursor stands behind what was typed: nothing that came moved it.
        (row.trim_end().ends_with("typed")).then_some(())
    });
    ana.wait(|shown| {
        obeys_nothing(shown);
        for row in shown.rows().iter().filter(|row| row.contains(TOKEN)) {
            assert!(!row.contains("\u{a6} zqx") && !row.contains('\u{25b8}'), "{row:?}");
            assert!(row.matches('\u{a6}').count() <= 1, "{row:?}");
        }
        let begin_with = |mark: &str| shown.rows().iter().filter(|row| row.starts_with(mark)).count();
        assert_eq!((begin_with("-- "), begin_with("> ")), (1, 1), "rows of the program's own");
        Some(())
    });
    ana.keys("\u{15}/quit\r");
    assert_eq!(ana.exit_code(), 0);
}

#[test]
fn plain_lines_show_it_and_obey_nothing() {
    let home = Home::new();
    let (ana, own) = listener(&home, &["--plain"]);
    let mut ana = ana.without_echo();
    let addr = ana.addr();
    for (number, name) in names().iter().enumerate() {
        let mut types = |line: &str| ana.keys(&format!("{line}\r"));
        visit(addr, name, &mut types, &own);
        // Before that the next visitor may find the place taken.
        ana.wait(|shown| {
            let left = String::from_utf8_lossy(&shown.raw).matches("-- your peer has left").count();
            (left > number).then_some(())
        });
    }
    ana.keys("/quit\r");
    // A file of the last visitor's session was declined: 6, unless that session was over before the quit.
    assert!(matches!(ana.exit_code(), 0 | 6));
    ana.wait(|shown| {
        obeys_nothing(shown);
        let text = String::from_utf8(shown.raw.clone()).unwrap();
        assert!(!text.contains(|c: char| c.is_control() && c != '\r' && c != '\n'));
        for row in shown.rows() {
            assert!(!row.starts_with("-- zqx"), "{row:?}");
            let is_own = row.starts_with("--");
            let is_chat = row.get(2..3) == Some(":") && row.get(5..6) == Some(" ");
            let is_more = row.starts_with("      ");
            assert!(is_own || is_chat || is_more || row.is_empty(), "{row:?} is nobody's");
        }
        Some(())
    });
}
