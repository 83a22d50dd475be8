//! Whom a line is for, and what happens when the peer goes: nothing reaches anybody but whom the person saw when beginning it.

use super::{ends_with, lose, meet};
use crate::support::{Cut, Home, Peer, Pty, Relay, Side, is};
use std::net::SocketAddr;

/// Types a line where nobody is here, and sees it stay.
fn stays(terminal: &mut Pty, line: &str) {
    terminal.keys(&format!("{line}\r"));
    terminal.shows("nobody is here");
    terminal.shows(&format!("> {line}"));
}

#[test]
fn a_command_for_nobody_is_kept_for_nobody() {
    let home = Home::new();
    let mut terminal = Pty::sized(&home, 24, 80, &["listen", "127.0.0.1:0", "-n", "alice"]);
    let addr = terminal.addr();
    stays(&mut terminal, "/verify");
    let peer = Home::new().connect("bob", addr, &[]);
    terminal.shows("-- [new] bob, connected");
    terminal.keys("\r");
    terminal.shows("bob came while you typed");
    terminal.shows("> /verify");
    assert!(peer.all("message").is_empty());
    terminal.keys("\r");
    terminal.shows("-- [verified] bob, connected");
}

#[test]
fn nothing_left_for_one_key_goes_to_the_next_one() {
    let home = Home::new();
    let secret = home.file("secret.txt", "1234");
    let mut terminal = Pty::sized(&home, 24, 80, &["listen", "127.0.0.1:0", "-n", "ana", "--keep"]);
    let addr = terminal.addr();
    let mut alice = Home::new().connect("alice", addr, &[]);
    terminal.shows("-- [new] alice, connected");
    terminal.keys("/verify\r");
    terminal.shows("-- [verified] alice, connected");
    terminal.keys("begun for alice");
    terminal.shows("> begun for alice");
    alice.send("/quit");
    alice.ends_with(0);
    terminal.shows("-- waiting");
    terminal.keys("\x15");
    stays(&mut terminal, "alice, the PIN is 1234");
    let mallory = Home::new().connect("mallory", addr, &[]);
    terminal.shows("-- [new] mallory, connected");
    terminal.keys("\r");
    terminal.shows("mallory came while you typed");
    terminal.keys(&format!("\x15/send {}", secret.display()));
    terminal.keys("\x15hello mallory\r");
    mallory.message("hello mallory");
    assert_eq!(mallory.texts(), ["hello mallory"]);
    assert!(mallory.all("offer").is_empty());
}

/// Dials until the listener is free again.
fn dial_until_let_in(name: &str, addr: SocketAddr) -> Peer {
    loop {
        let peer = Home::new().connect(name, addr, &[]);
        if is(&peer.wait_for(|event| is(event, "connected") || is(event, "error")), "connected") {
            return peer;
        }
    }
}

/// The terminal takes no output, so the screen still shows alice when she has left and mallory is here.
#[test]
fn a_line_for_who_is_on_the_screen_does_not_reach_who_came_unseen() {
    let home = Home::new();
    let mut terminal = Pty::sized(&home, 24, 80, &["listen", "127.0.0.1:0", "-n", "ana", "--keep"]);
    let addr = terminal.addr();
    let mut alice = Home::new().connect("alice", addr, &[]);
    terminal.shows("-- [new] alice, connected");
    // Before that her second /quit would end her program with nothing sent.
    alice.event("connected");
    let mallory = terminal.while_stuck(|keys| {
        (0..200).for_each(|_| alice.send(&"filling ".repeat(200)));
        alice.send("/quit");
        alice.send("/quit");
        alice.exit_code();
        let mallory = dial_until_let_in("mallory", addr);
        keys("the PIN is 1234\r");
        mallory
    });
    terminal.shows("whom it was meant for has just left: not sent");
    terminal.shows("-- [new] mallory, connected");
    terminal.keys("hello mallory\r");
    mallory.message("hello mallory");
    assert_eq!(mallory.texts(), ["hello mallory"]);
}

#[test]
fn a_line_that_is_not_there_after_a_second_is_marked_until_it_is() {
    let bob = Home::new().listen("bob", &[]);
    let relay = Relay::to(bob.addr());
    let home = Home::new();
    let mut terminal = Pty::sized(&home, 24, 80, &["connect", &relay.addr().to_string(), "-n", "alice"]);
    terminal.shows("] bob, connected");
    relay.stall(&[Side::Up, Side::Down]);
    terminal.keys("is it there?\r");
    terminal.shows("alice▸ is it there?");
    terminal.shows("not there yet: is it there?");
    terminal.shows("1 line not delivered yet");
    relay.cut(Cut::Reset);
    bob.message("is it there?");
    terminal.wait(|shown| (!shown.has("not there yet") && !shown.has("waits: ")).then_some(()));
}

#[test]
fn what_waits_for_a_lost_peer_is_on_the_screen_for_as_long_as_it_waits() {
    let (_home, mut terminal, bob, relay) = lose();
    terminal.keys("are you there?\r");
    terminal.shows("alice▸ are you there?");
    terminal.shows("waits: are you there?");
    terminal.shows(" s, 1 line waits, reconnecting");
    relay.refuse(false);
    bob.message("are you there?");
    terminal.shows("] bob, connected");
    terminal.shows_no("waits");
}

#[test]
fn when_the_peer_leaves_the_draft_stays_and_again_listens_again() {
    let (_home, mut terminal, mut peer) = meet(&[]);
    let addr = terminal.addr();
    terminal.keys("the door will be lo");
    terminal.shows("> the door will be lo");
    peer.send("/quit");
    peer.ends_with(0);
    terminal.shows("your peer has left: bob");
    terminal.shows("Enter on an empty line leaves, /again listens again");
    terminal.keys("cked\r");
    terminal.shows("> the door will be locked");
    // Nobody is let in before that is asked for.
    Home::new().connect("early", addr, &[]).ends_with(3);
    terminal.keys("\x15/again\r");
    terminal.shows_times(2, "waiting for your peer");
    let second = Home::new().connect("carol", addr, &[]);
    terminal.shows("] carol, connected");
    terminal.keys("\x19\r");
    second.message("the door will be locked");
    terminal.keys("/quit\r");
    ends_with(terminal, 0);
}

#[test]
fn where_a_restarted_listener_is_lost_again_dials_again() {
    let bob_home = Home::new();
    let mut old = bob_home.listen("bob", &[]);
    let relay = Relay::to(old.addr());
    let home = Home::new();
    let arguments = ["connect", &relay.addr().to_string(), "-n", "alice", "--reconnect", "1"];
    let mut terminal = Pty::sized(&home, 24, 80, &arguments);
    terminal.shows("] bob, connected");
    terminal.keys("half a li");
    relay.refuse(true);
    old.kill();
    terminal.shows("/again dials again");
    terminal.shows("> half a li");
    // Nobody answers: back to the same choice.
    terminal.keys("\x15/again\r");
    terminal.shows_times(2, "/again dials again");
    let mut new = bob_home.listen("bob", &[]);
    relay.retarget(new.addr());
    relay.refuse(false);
    terminal.keys("/again\r");
    terminal.shows("] bob, connected");
    terminal.keys("\x19ne\r");
    new.message("half a line");
    relay.refuse(true);
    new.kill();
    terminal.shows_times(3, "/again dials again");
    terminal.keys("\r");
    ends_with(terminal, 5);
}
