//! The program in a terminal: what a person sees and types, and what is left of the terminal at the end.
//!
//! What a change of the size does is tested in tmux, which reflows: `tests/tmux/`.

mod keys;
mod look;
mod paths;
mod peers;
mod questions;

use crate::support::{Cut, Home, Peer, Pty, Relay};

/// `alice` in a terminal, `bob` on pipes; connected.
fn meet(options: &[&str]) -> (Home, Pty, Peer) {
    let home = Home::new();
    let terminal = Pty::sized(&home, 24, 80, &[&["listen", "127.0.0.1:0", "-n", "alice"], options].concat());
    let peer = Home::new().connect("bob", terminal.addr(), &[]);
    terminal.shows("] bob, connected");
    peer.event("connected");
    (home, terminal, peer)
}

/// `alice` in a terminal, who dialled `bob` on pipes through a relay; the connection is lost, and the relay takes no other.
fn lose() -> (Home, Pty, Peer, Relay) {
    let bob = Home::new().listen("bob", &[]);
    let relay = Relay::to(bob.addr());
    let home = Home::new();
    let terminal = Pty::sized(&home, 24, 80, &["connect", &relay.addr().to_string(), "-n", "alice"]);
    terminal.shows("] bob, connected");
    relay.refuse(true);
    relay.cut(Cut::Reset);
    terminal.shows("] bob, lost for");
    (home, terminal, bob, relay)
}

/// The program ended with this code, and the terminal is as it was.
fn ends_with(mut terminal: Pty, code: u32) {
    assert_eq!(terminal.exit_code(), code);
    assert!(terminal.is_restored());
    terminal.wait(|shown| {
        let screen = shown.emulator.screen();
        assert!(!screen.bracketed_paste() && !screen.hide_cursor() && !screen.alternate_screen());
        assert!(!shown.rows().iter().any(|row| row.starts_with("-- ") || row.starts_with('>')));
        Some(())
    });
}

#[test]
fn two_talk_and_quit_gives_the_terminal_back() {
    let (_home, mut terminal, peer) = meet(&[]);
    terminal.wait(|shown| shown.emulator.screen().bracketed_paste().then_some(()));
    terminal.keys("half typed");
    terminal.shows("> half typed");
    peer.send("hello from bob");
    terminal.shows("bob  hello from bob");
    terminal.shows("> half typed");
    terminal.keys(" and sent\r");
    peer.message("half typed and sent");
    terminal.shows("alice▸ half typed and sent");
    terminal.keys("/quit\r");
    ends_with(terminal, 0);
}

#[test]
fn a_paste_of_two_lines_is_one_message() {
    let (_home, mut terminal, peer) = meet(&[]);
    terminal.keys("\x1b[200~one\rtwo\x1b[201~");
    terminal.shows("  two");
    terminal.keys("\r");
    peer.message("one\ntwo");
    terminal.shows("2 lines, #1");
}

#[test]
fn ctrl_c_clears_the_line_and_twice_leaves_with_130() {
    let (_home, mut terminal, mut peer) = meet(&[]);
    terminal.keys("never sent\x03\x03");
    terminal.shows("Ctrl-C again leaves");
    terminal.keys("\x03");
    ends_with(terminal, 130);
    peer.ends_with(0);
    assert!(peer.texts().is_empty());
}

#[test]
fn ctrl_d_on_an_empty_line_quits() {
    let (_home, mut terminal, _peer) = meet(&[]);
    terminal.keys("\x04");
    ends_with(terminal, 0);
}

#[test]
fn ctrl_z_goes_on_where_no_shell_could_bring_the_program_back() {
    let (_home, mut terminal, peer) = meet(&[]);
    terminal.keys("kept");
    terminal.shows("> kept");
    terminal.keys("\x1a");
    peer.send("still here?");
    terminal.shows("bob  still here?");
    terminal.keys("\r");
    peer.message("kept");
}

#[test]
#[cfg(debug_assertions)]
fn a_panic_gives_the_terminal_back() {
    let (_home, mut terminal, _peer) = meet(&[]);
    terminal.keys("/panic!\r");
    terminal.shows("a bug ended the program");
    ends_with(terminal, 1);
}

#[test]
fn history_is_kept_only_when_asked_for() {
    for (options, kept) in [(&[][..], false), (&["--history"][..], true)] {
        let (home, mut terminal, peer) = meet(options);
        terminal.keys("remember this\r");
        peer.message("remember this");
        terminal.keys("/quit\r");
        ends_with(terminal, 0);
        assert_eq!(home.data().join("history").exists(), kept, "{options:?}");
    }
}
