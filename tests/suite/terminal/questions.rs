//! Questions: one at a time, answered by a word and Enter in a line that was begun after it appeared.

use super::{ends_with, lose, meet};
use crate::support::{Peer, Pty, is};

/// `bob` offers a file, and the terminal asks.
fn asks(terminal: &Pty, peer: &Peer, name: &str) {
    peer.offers(name, name);
    terminal.shows(&format!("offers 1 file, {} B: {name}", name.len()));
}

#[test]
fn a_word_and_enter_answer_the_oldest_question_alone() {
    let (_home, mut terminal, peer) = meet(&[]);
    for (first, word, ends) in [(1, "y", "done"), (5, "yes", "done"), (9, "n", "declined"), (13, "No", "declined")] {
        let second = first + 2;
        asks(&terminal, &peer, &format!("file{first}"));
        asks(&terminal, &peer, &format!("file{second}"));
        terminal.shows(&format!("y or n? take [{first}] file{first}"));
        assert!(!terminal.wait(|shown| Some(shown.has(&format!("take [{second}]")))));
        // Enter alone, and what is no answer, change nothing.
        terminal.keys(&format!("\rno answer {first}\r"));
        peer.message(&format!("no answer {first}"));
        terminal.shows(&format!("y or n? take [{first}] file{first}"));
        terminal.keys(&format!("{word}\r"));
        peer.wait_for(|event| is(event, ends) && event["transfer"] == first);
        terminal.shows(&format!("y or n? take [{second}] file{second}"));
        terminal.keys("n\r");
        peer.wait_for(|event| is(event, "declined") && event["transfer"] == second);
        terminal.shows_no("y or n?");
    }
    assert_eq!(peer.texts().len(), 4, "no answer went out as chat: {:?}", peer.texts());
}

#[test]
fn what_was_begun_before_the_question_does_not_answer_it() {
    let (_home, mut terminal, peer) = meet(&[]);
    terminal.keys("y");
    terminal.shows("> y");
    asks(&terminal, &peer, "photos");
    terminal.shows("y or n? take [1] photos");
    terminal.keys("\r");
    terminal.shows("this question came while you typed: Enter again answers it");
    assert!(peer.all("accepted").is_empty() && peer.texts().is_empty());
    terminal.keys("\r");
    peer.event("done");
}

#[test]
fn leaving_asks_names_what_is_open_and_can_be_taken_back() {
    let (home, mut terminal, mut peer) = meet(&[]);
    let own = home.file("big.bin", "content");
    // Nobody answers that offer, so it stays open.
    terminal.keys(&format!("/send {}\r", own.display()));
    peer.event("offer");
    asks(&terminal, &peer, "photos");
    asks(&terminal, &peer, "music");
    terminal.keys("/quit\r");
    terminal.shows("y or n? leave when 1 transfer is done [2], declining [1] [3]: photos and 1 more");
    terminal.keys("n\r");
    terminal.shows("y or n? take [1] photos");
    terminal.keys("n\r");
    peer.event("declined");
    terminal.shows("y or n? take [3] music");
    terminal.keys("n\r");
    peer.event_nth(2, "declined");
    terminal.keys("/quit\r");
    terminal.shows("y or n? leave when 1 transfer is done [2]");
    terminal.keys("n\r");
    terminal.shows_no("y or n?");
    terminal.keys("/quit\r");
    terminal.shows("y or n? leave when");
    terminal.keys("y\r");
    terminal.shows("] bob, connected, leaving when done");
    terminal.keys("still talking\r");
    peer.message("still talking");
    terminal.keys("/stay\r");
    terminal.shows_no("leaving when done");
    terminal.keys("/quit\r");
    terminal.shows("y or n? leave when");
    terminal.keys("/quit\r");
    ends_with(terminal, 0);
    peer.exit_code();
}

#[test]
fn leaving_while_lost_asks_when_something_waits() {
    let (_home, mut terminal, _bob, _relay) = lose();
    terminal.keys("waits for bob\r");
    terminal.shows("1 line waits");
    terminal.keys("/quit\r");
    terminal.shows("y or n? leave now; 1 line waits");
    terminal.keys("n\r");
    terminal.shows_no("y or n?");
    terminal.keys("/quit\r");
    terminal.shows("y or n? leave now; 1 line waits");
    terminal.keys("y\r");
    terminal.shows("1 line did not reach bob");
    ends_with(terminal, 5);
}
