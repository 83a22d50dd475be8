//! Paths as people give them: patterns, URLs, and what is dropped on the terminal.

use super::meet;
use crate::support::{Home, Peer, Pty, is, text};

/// Names that are offered to the peer, each in an offer of its own or together.
fn offered(peer: &Peer, count: usize) -> Vec<String> {
    let offer = |number| peer.wait_for_nth(number, |event| is(event, "offer"));
    (1..=count).map(|number| text(&offer(number), "name").to_owned()).collect()
}

#[test]
fn patterns_and_urls_name_files_and_a_path_alone_is_asked_about() {
    let (home, mut terminal, peer) = meet(&[]);
    for name in ["b.txt", "a.txt", "c.log", ".d.txt", "two words", "it's"] {
        home.file(name, name);
    }
    let work = home.work();
    let folder = work.display();
    terminal.keys("/send *.txt\r");
    terminal.shows("[2] offered to bob: 2 files, 10 B: a.txt and 1 more");
    // A pattern that is quoted is a name.
    terminal.keys("/send '*.txt'\r");
    terminal.shows("no such file or folder: *.txt");
    terminal.keys(&format!("/send file://{folder}/two%20words\r"));
    // What failed used up no number.
    terminal.shows("[4] offered to bob: 1 file, 9 B: two words");
    let dropped = [
        format!("'{folder}/two words'"),
        format!("{folder}/two\\ words"),
        format!("\"{folder}/it's\""),
        format!("{folder}/it\\'s"),
        format!("{folder}/c.log"),
        format!("file://{folder}/two%20words"),
    ];
    for (number, path) in dropped.iter().enumerate() {
        terminal.keys(&format!("\x1b[200~{path} \x1b[201~\r"));
        terminal.shows("send it? Enter sends it; take /send away to say it as text");
        terminal.keys("\r");
        assert_eq!(offered(&peer, number + 3).len(), number + 3);
    }
    let names = offered(&peer, 8);
    assert_eq!(names[1..], ["two words", "two words", "two words", "it's", "it's", "c.log", "two words"]);
    assert!(peer.texts().is_empty());
    // It may be meant as text.
    terminal.keys(&format!("'{folder}/c.log'\r"));
    terminal.shows("send it?");
    terminal.keys(&format!("\x15'{folder}/c.log'\r"));
    peer.message(&format!("'{folder}/c.log'"));
}

#[test]
fn a_command_may_begin_with_blanks_and_tab_says_that_there_is_more() {
    let home = Home::new();
    let mut terminal = Pty::sized(&home, 24, 50, &["listen", "127.0.0.1:0", "-n", "alice"]);
    let peer = Home::new().connect("bob", terminal.addr(), &[]);
    terminal.shows("] bob, connected");
    terminal.keys("  /peer\r");
    terminal.shows("calls itself: bob");
    terminal.keys(" /acc\t");
    terminal.shows(">  /accept");
    terminal.keys("\x15/\t");
    terminal.shows("more: type on");
    assert!(peer.texts().is_empty());
}
