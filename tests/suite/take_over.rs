//! A restart of a program is a loss like any other: a new session takes over what the old one left, for the same key alone.

use crate::support::files::content;
use crate::support::{Cut, Home, Peer, Relay, Side, is, meet_with, quit, text};
use std::fs;

/// Bytes of a file that is on its way long enough to be interrupted, at [`RATE`] bytes a second.
const LARGE: usize = 6 << 20;
const RATE: u64 = 2 << 20;

/// Waits until the peer says that the other program was restarted and the session goes on.
fn is_back(peer: &Peer) {
    peer.wait_for(|event| event["event"] == "reconnected" && event["restarted"] == true);
}

#[test]
fn a_dialler_that_was_restarted_gets_what_was_left_for_it() {
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let (mut ana, mut old) = meet_with(&ana_home, &ben_home, &[], &[]);
    old.kill();
    ana.event("lost");
    ana.send("said during the gap");
    let mut ben = ben_home.connect("ben", ana.addr(), &[]);
    ben.message("said during the gap");
    is_back(&ana);
    ben.send("hello again");
    ana.message("hello again");
    quit(&mut ana, &mut ben);
    assert_eq!(ben.texts(), ["said during the gap"]);
}

#[test]
fn a_listener_that_was_restarted_gets_what_was_left_for_it() {
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let mut old = ana_home.listen("ana", &[]);
    let relay = Relay::to(old.addr());
    let mut ben = ben_home.connect("ben", relay.addr(), &[]);
    old.event("connected");
    ben.event("connected");
    relay.refuse(true);
    old.kill();
    ben.event("lost");
    ben.send("said during the gap");
    let mut ana = ana_home.listen("ana", &[]);
    relay.retarget(ana.addr());
    relay.refuse(false);
    ana.message("said during the gap");
    is_back(&ben);
    ana.send("hello again");
    ben.message("hello again");
    quit(&mut ana, &mut ben);
    assert_eq!(ana.texts(), ["said during the gap"]);
}

/// The old connection goes silent without an end, as behind a router that was switched off.
#[test]
fn an_old_connection_that_answers_no_ping_is_replaced() {
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let mut ana = ana_home.listen("ana", &[]);
    let relay = Relay::to(ana.addr());
    let mut old = ben_home.connect("ben", relay.addr(), &[]);
    ana.event("connected");
    old.event("connected");
    relay.swallow(&[Side::Up, Side::Down]);
    old.kill();
    let mut ben = ben_home.connect("ben", ana.addr(), &[]);
    ben.event("connected");
    is_back(&ana);
    quit(&mut ana, &mut ben);
}

#[test]
fn the_same_key_twice_hears_busy_while_the_first_is_alive() {
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let (mut ana, mut ben) = meet_with(&ana_home, &ben_home, &[], &[]);
    let mut second = ben_home.connect("ben", ana.addr(), &[]);
    second.ends_with(3);
    assert!(text(&second.event("error"), "text").contains("busy"), "{}", second.event("error"));
    ben.send("still here");
    ana.message("still here");
    quit(&mut ana, &mut ben);
    assert!(ana.all("lost").is_empty(), "{:?}", ana.all("lost"));
}

#[test]
fn a_restarted_dialler_is_let_in_with_its_code_and_without() {
    for options in [&["--code=1-a-b"][..], &[]] {
        let (ana_home, ben_home) = (Home::new(), Home::new());
        let (mut ana, mut old) = meet_with(&ana_home, &ben_home, &["--code=1-a-b"], &["--code=1-a-b"]);
        old.kill();
        ana.event("lost");
        ana.send("for ben");
        let mut ben = ben_home.connect("ben", ana.addr(), options);
        ben.message("for ben");
        quit(&mut ana, &mut ben);
    }
}

#[test]
fn a_listener_with_a_code_that_was_restarted_with_another_is_not_taken_for_the_old_one() {
    // The peer's key is not yet known to the new program's code: the dialler goes on dialling, and says why.
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let mut old = ana_home.listen("ana", &["--code=1-a-b"]);
    let relay = Relay::to(old.addr());
    let mut ben = ben_home.connect("ben", relay.addr(), &["--code=1-a-b"]);
    old.event("connected");
    ben.event("connected");
    relay.refuse(true);
    old.kill();
    ben.event("lost");
    let ana = ana_home.listen("ana", &["--code=2-c-d"]);
    relay.retarget(ana.addr());
    relay.refuse(false);
    // While it was refused, another warning may have come.
    ben.wait_for(|event| is(event, "warning") && text(event, "text").contains("the peer uses a code"));
    assert!(ben.is_running());
}

#[test]
fn what_was_left_for_one_key_goes_to_nobody_else() {
    /// Seconds in which another program starts and is turned away, also on a busy machine.
    const WAITS: &str = if cfg!(windows) { "40" } else { "10" };
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let (mut ana, mut ben) = meet_with(&ana_home, &ben_home, &["--keep", "--reconnect", WAITS], &[]);
    ben.kill();
    ana.event("lost");
    ana.send("for ben alone");
    let mut busy = Home::new().connect("eve", ana.addr(), &[]);
    busy.ends_with(3);
    // Ana gives ben up and waits for the next peer.
    ana.wait_for(|event| event["code"] == "not-regained");
    let mut eve = Home::new().connect("eve", ana.addr(), &["--wait"]);
    eve.event("connected");
    ana.event_nth(2, "connected");
    ana.send("for eve");
    eve.message("for eve");
    ana.send("/quit");
    eve.ends_with(0);
    // A line of the input was not sent.
    ana.ends_with(6);
    assert_eq!(eve.texts(), ["for eve"]);
}

#[test]
fn an_own_offer_goes_on_by_itself_when_the_receiver_was_restarted() {
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let content = content("large", LARGE);
    let file = ben_home.file("large", &content);
    let mut old = ana_home.listen("ana", &["--accept", "always"]);
    let relay = Relay::slow(old.addr(), RATE);
    let mut ben = ben_home.connect("ben", relay.addr(), &[]);
    ben.send(&format!("/send {}", file.display()));
    old.event("progress");
    relay.refuse(true);
    old.kill();
    ben.event("lost");
    let mut ana = ana_home.listen("ana", &["--accept", "always"]);
    relay.retarget(ana.addr());
    relay.refuse(false);
    ana.event("done");
    ben.event("done");
    quit(&mut ana, &mut ben);
    assert_eq!(fs::read(ana_home.inbox().join("large")).unwrap(), content);
    assert_eq!(ana_home.received(), ["large"]);
}

#[test]
fn the_same_files_again_after_the_senders_restart_need_no_second_consent() {
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let content = content("large", LARGE);
    let file = ben_home.file("large", &content);
    let mut ana = ana_home.listen("ana", &[]);
    let relay = Relay::slow(ana.addr(), RATE);
    let mut old = ben_home.connect("ben", relay.addr(), &[]);
    old.send(&format!("/send {}", file.display()));
    ana.event("offer");
    ana.send("/accept");
    ana.event("progress");
    old.kill();
    ana.event("lost");
    let mut ben = ben_home.connect("ben", ana.addr(), &[]);
    ben.send(&format!("/send {}", file.display()));
    ben.event("done");
    ana.event("done");
    quit(&mut ana, &mut ben);
    assert_eq!(fs::read(ana_home.inbox().join("large")).unwrap(), content);
    assert_eq!(ana_home.received(), ["large"]);
}

/// A cut and a restart at once: the listener still believes the old connection lost, not replaced.
#[test]
fn a_restart_during_a_gap_loses_no_line_of_either_side() {
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let mut ana = ana_home.listen("ana", &[]);
    let relay = Relay::to(ana.addr());
    let mut old = ben_home.connect("ben", relay.addr(), &[]);
    ana.event("connected");
    old.event("connected");
    relay.refuse(true);
    relay.cut(Cut::Reset);
    ana.event("lost");
    old.kill();
    for n in 0..5 {
        ana.send(&format!("line {n}"));
    }
    let mut ben = ben_home.connect("ben", ana.addr(), &[]);
    ben.message("line 4");
    quit(&mut ana, &mut ben);
    assert_eq!(ben.texts(), (0..5).map(|n| format!("line {n}")).collect::<Vec<_>>());
}

#[test]
fn who_is_back_before_it_was_recorded_is_not_told_that_its_place_is_taken() {
    let (ana, ben) = (Home::new(), Home::new());
    let listening = ana.listen("ana", &[]);
    let lock = fs::File::create(ana.data().join("known_peers.lock")).unwrap();
    lock.lock().unwrap();
    let mut killed = ben.connect("ben", listening.addr(), &[]);
    killed.event("connected");
    killed.kill();
    let back = ben.connect("ben", listening.addr(), &[]);
    // The listener gives up the lock in seconds, if it is not free before.
    assert_eq!(back.event("connected")["trust"], "known");
    drop(lock);
    listening.event_nth(2, "connected");
}
