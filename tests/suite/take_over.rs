//! A restart of a program is a loss like any other: a new session takes over what the old one left, for the same key alone.

use crate::support::files::content;
use crate::support::{Home, Peer, Relay, Side, is, meet_through, meet_with, quit, text, turned_away};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;

/// Bytes of a file that is on its way long enough to be interrupted, at [`RATE`] bytes a second.
const LARGE: usize = 6 << 20;
const RATE: u64 = 2 << 20;

/// The listener's program dies, and the relay lets nobody through before another listens.
fn dies(mut ana: Peer, relay: &Relay, ben: &Peer) {
    relay.refuse(true);
    ana.kill();
    ben.event("lost");
}

/// The listener's program is there again, where the relay leads.
fn listens_again(ana: &Home, relay: &Relay, options: &[&str]) -> Peer {
    let ana = ana.listen("ana", options);
    relay.retarget(ana.addr());
    relay.refuse(false);
    ana
}

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
    let ana_home = Home::new();
    let (old, relay, mut ben) = meet_through(Relay::to, (&ana_home, &Home::new()), &[], &[]);
    dies(old, &relay, &ben);
    ben.send("said during the gap");
    let mut ana = listens_again(&ana_home, &relay, &[]);
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
    let ben_home = Home::new();
    let (mut ana, relay, mut old) = meet_through(Relay::to, (&Home::new(), &ben_home), &[], &[]);
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
    let (home, code) = (Home::new(), ["--code=1-a-b"]);
    let (old, relay, mut ben) = meet_through(Relay::to, (&home, &Home::new()), &code, &code);
    dies(old, &relay, &ben);
    let ana = listens_again(&home, &relay, &["--code=2-c-d"]);
    // While it was refused, another warning may have come.
    let warns = |event: &Value, words: &str| is(event, "warning") && event.to_string().contains(words);
    ben.wait_for(|event| warns(event, "the peer uses a code: it was started anew") && warns(event, "connect again"));
    ana.wait_for(|event| warns(event, "it came without the code or invite") && warns(event, "has to connect again"));
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
    turned_away(Home::new().connect("eve", ana.addr(), &[]), 3, "busy");
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

fn slow(target: SocketAddr) -> Relay {
    Relay::slow(target, RATE)
}

/// The large file, and nothing else.
fn arrives(mut ana: Peer, mut ben: Peer) {
    ana.event("done");
    ben.event("done");
    quit(&mut ana, &mut ben);
    assert!(fs::read(ana.home().inbox().join("large")).unwrap() == content("large", LARGE), "it differs");
    assert_eq!(ana.home().received(), ["large"]);
}

#[test]
fn an_own_offer_goes_on_by_itself_when_the_receiver_was_restarted() {
    let (ana_home, ben_home, accept) = (Home::new(), Home::new(), ["--accept", "always"]);
    ben_home.file("large", content("large", LARGE));
    let (old, relay, ben) = meet_through(slow, (&ana_home, &ben_home), &accept, &[]);
    ben.send("/send large");
    old.event("progress");
    dies(old, &relay, &ben);
    let ana = listens_again(&ana_home, &relay, &accept);
    arrives(ana, ben);
}

#[test]
fn the_same_files_again_after_the_senders_restart_need_no_second_consent() {
    let ben_home = Home::new();
    ben_home.file("large", content("large", LARGE));
    let (ana, _relay, mut old) = meet_through(slow, (&Home::new(), &ben_home), &[], &[]);
    old.send("/send large");
    ana.event("offer");
    ana.send("/accept");
    ana.event("progress");
    old.kill();
    ana.event("lost");
    let ben = ben_home.connect("ben", ana.addr(), &[]);
    ben.send("/send large");
    arrives(ana, ben);
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

#[test]
fn who_is_back_in_time_is_let_in_though_it_is_recorded_after_the_end_of_the_time() {
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let (mut ana, mut old) = meet_with(&ana_home, &ben_home, &["--keep", "--reconnect", "2"], &[]);
    // The listener gives up the lock after two seconds.
    let lock = fs::File::create(ana_home.data().join("known_peers.lock")).unwrap();
    lock.lock().unwrap();
    old.kill();
    ana.event("lost");
    let mut ben = ben_home.connect("ben", ana.addr(), &["--wait"]);
    ana.event_nth(2, "connected");
    drop(lock);
    ben.send("here I am");
    ana.message("here I am");
    ana.send("/quit");
    ben.ends_with(0);
    ana.ends_with(0);
}
