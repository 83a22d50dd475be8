//! A session outlives its connection: nothing lost, nothing twice, and both sides say what happens.

mod redial;

use crate::support::attacker::{identity, is_refusal};
#[cfg(target_os = "linux")]
use crate::support::net::Net;
use crate::support::{Attacker, Cut, Home, Pace, Peer, Plan, Relay, Rng, Side, Way, meet_through, quit, text};
use p2pchat::protocol::frame::{Intent, Refusal};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// `ana` listens, `ben` dials through a relay; connected.
fn meet(listen: &[&str], connect: &[&str]) -> (Peer, Relay, Peer) {
    meet_through(Relay::to, (&Home::new(), &Home::new()), listen, connect)
}

/// The connection is lost, as these say, and no other gets through.
fn gap(relay: &Relay, noticed_by: &[&Peer]) {
    relay.refuse(true);
    relay.cut(Cut::Reset);
    for peer in noticed_by {
        peer.event("lost");
    }
}

#[test]
fn a_cut_is_said_and_mended_on_both_sides() {
    for how in [Cut::Close, Cut::Reset] {
        let (mut ana, relay, mut ben) = meet(&[], &[]);
        ben.send("before");
        ben.event("delivered");
        assert_eq!(relay.cut(how), 1);
        for peer in [&ana, &ben] {
            assert!(!text(&peer.event("lost"), "reason").is_empty());
            peer.event("reconnected");
        }
        ben.send("after");
        ana.send("after");
        ana.message("after");
        ben.message("after");
        quit(&mut ana, &mut ben);
        assert_eq!(ana.texts(), ["before", "after"]);
        assert_eq!(ana.all("connected").len(), 1);
    }
}

#[test]
fn what_is_typed_during_a_gap_arrives_once_in_order() {
    let (mut ana, relay, mut ben) = meet(&[], &[]);
    gap(&relay, &[&ana, &ben]);
    for n in 0..20 {
        ana.send(&format!("ana {n}"));
        ben.send(&format!("ben {n}"));
    }
    for peer in [&ana, &ben] {
        assert_eq!(peer.event("sent")["waiting"], true);
    }
    relay.wait_for_refused(2);
    relay.refuse(false);
    ana.event_nth(20, "message");
    ben.event_nth(20, "message");
    quit(&mut ana, &mut ben);
    assert_eq!(ana.texts(), (0..20).map(|n| format!("ben {n}")).collect::<Vec<_>>());
    assert_eq!(ben.texts(), (0..20).map(|n| format!("ana {n}")).collect::<Vec<_>>());
}

#[test]
fn a_line_arrives_once_when_it_or_its_acknowledgement_was_lost() {
    for side in [Side::Up, Side::Down] {
        let (mut ana, relay, mut ben) = meet(&[], &[]);
        relay.swallow(&[side]);
        ben.send("once");
        ben.event("sent");
        if side == Side::Down {
            ana.message("once");
        }
        relay.cut(Cut::Reset);
        ana.message("once");
        ben.event("delivered");
        ben.send("twice");
        ana.message("twice");
        quit(&mut ana, &mut ben);
        assert_eq!(ana.texts(), ["once", "twice"]);
    }
}

#[test]
fn the_listener_takes_its_peer_back_while_it_believes_the_old_connection_alive() {
    /// A machine that stands still for 15 seconds spoils a try: both then know by the silence.
    const TRIES: usize = 5;
    assert!((0..TRIES).any(|_| is_taken_back_from_a_connection_that_seems_alive()));
}

fn is_taken_back_from_a_connection_that_seems_alive() -> bool {
    let ana = Home::new().listen("ana", &[]);
    // The cut behind this relay is hidden from `ana`: her side of the connection stays open and silent.
    let near = Relay::to(ana.addr());
    let relay = Relay::to(near.addr());
    let ben = Home::new().connect("ben", relay.addr(), &[]);
    ana.event("connected");
    ben.event("connected");
    near.swallow(&[Side::Up, Side::Down]);
    relay.cut(Cut::Reset);
    ben.event("reconnected");
    let lost = ana.event("lost");
    if text(&lost, "reason").contains("nothing was heard") {
        return false;
    }
    assert!(text(&lost, "reason").contains("came back"), "{lost}");
    ana.event("reconnected");
    let (mut ana, mut ben) = (ana, ben);
    ben.send("here again");
    ana.message("here again");
    quit(&mut ana, &mut ben);
    true
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_whose_own_address_is_gone_is_lost_at_once() {
    let Some(mut net) = Net::new("a_connection_whose_own_address_is_gone") else { return };
    net.machine("moving");
    let address = |change: &str| net.ip("moving", &format!("address {change} 10.77.0.1/32 dev lo"));
    address("add");
    let start =
        |name: &str, role: &str, addr: &str| net.start("moving", &Home::new(), &[role, addr, "--json", "-n", name]);
    let mut ana = start("ana", "listen", "10.77.0.1:0");
    let mut ben = start("ben", "connect", &ana.addr().to_string());
    ana.event("connected");
    ben.event("connected");
    address("delete");
    for peer in [&ana, &ben] {
        // Silence would be noticed as well, later and in other words.
        assert!(text(&peer.event("lost"), "reason").contains("has the address 10.77.0.1 no more"));
    }
    ben.send("are you there?");
    address("add");
    ana.message("are you there?");
    quit(&mut ana, &mut ben);
}

#[test]
fn another_key_cannot_take_a_session_over() {
    let (mut ana, relay, mut ben) = meet(&[], &[]);
    gap(&relay, &[&ana]);
    for session in [[0; 16], [7; 16]] {
        let mut eve = Attacker::dial(ana.addr(), &identity(), None).unwrap();
        let answer = eve.greet(Intent::Resume, session, "ben");
        assert!(is_refusal(answer.as_ref(), Refusal::Busy), "{answer:?}");
    }
    relay.refuse(false);
    ana.event("reconnected");
    ben.send("mine");
    ana.message("mine");
    quit(&mut ana, &mut ben);
}

#[test]
fn a_replayed_connection_gets_nothing_and_disturbs_nothing() {
    let (mut ana, relay, mut ben) = meet(&[], &[]);
    ben.send("once");
    ben.event("delivered");
    let tape = relay.tape();
    let replay = |n| {
        let mut eve = TcpStream::connect(ana.addr()).unwrap();
        eve.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
        eve.write_all(&tape).unwrap();
        let mut heard = Vec::new();
        let _ = eve.read_to_end(&mut heard);
        // A hello and message 2, which anybody may have.
        assert!(heard.len() <= 28 + 2 + 96, "{} bytes", heard.len());
        ana.event_nth(n, "warning");
    };
    replay(1);
    gap(&relay, &[&ana]);
    replay(2);
    relay.refuse(false);
    ben.event("reconnected");
    ben.send("twice");
    ana.message("twice");
    quit(&mut ana, &mut ben);
    assert_eq!(ana.texts(), ["once", "twice"]);
    assert_eq!(ana.all("lost").len(), 1);
}

#[test]
fn quit_during_a_gap_ends_at_once_and_says_what_was_not_delivered() {
    let (mut ana, relay, mut ben) = meet(&["--reconnect", "1"], &[]);
    gap(&relay, &[&ben]);
    ben.send("too late");
    ben.send("/quit");
    ben.ends_with(5);
    assert_eq!(ben.event("undelivered")["lines"], 1);
    ana.ends_with(5);
}

#[test]
fn a_quit_or_an_input_that_ends_during_a_gap_still_delivers_its_lines() {
    for quits in [true, false] {
        let (mut ana, relay, mut ben) = meet(&[], &[]);
        gap(&relay, &[&ben]);
        ben.send("the last line");
        if quits {
            ben.send("/quit");
        } else {
            ben.close_input();
        }
        relay.wait_for_refused(1);
        relay.refuse(false);
        ben.ends_with(0);
        ana.ends_with(0);
        assert_eq!(ana.texts(), ["the last line"]);
    }
}

/// A line that swallows everything without closing is noticed by silence alone, which takes a quarter of a minute.
#[test]
fn a_line_that_goes_silent_is_lost_in_time_and_mended() {
    let (mut ana, relay, mut ben) = meet(&[], &[]);
    relay.swallow(&[Side::Up, Side::Down]);
    ben.send("into the void");
    ben.event("sent");
    let begun = std::time::Instant::now();
    let lost = ben.event("lost");
    assert!(text(&lost, "reason").contains("15 seconds"), "{lost}");
    assert!(begun.elapsed() > Duration::from_secs(10), "too soon: {:?}", begun.elapsed());
    ana.message("into the void");
    quit(&mut ana, &mut ben);
}

/// A line that takes nothing more, as behind a router that was switched off.
#[test]
fn a_line_that_takes_nothing_more_is_lost_in_time_and_mended() {
    const LINES: usize = 300;
    let (mut ana, relay, mut ben) = meet(&[], &[]);
    relay.stall(&[Side::Up, Side::Down]);
    let line = |n: usize| format!("{n} {}", "x".repeat(60_000));
    ben.pour((0..LINES).map(move |n| format!("{}\n", line(n)).into_bytes()));
    ben.event("lost");
    ana.event("lost");
    ana.event_nth(LINES, "message");
    quit(&mut ana, &mut ben);
    assert!((0..LINES).map(line).eq(ana.texts()));
}

/// Chooses what befalls each connection, the first of which always gets through its opening; spread over so many bytes.
fn misfortunes(rng: &mut Rng, connections: usize, bytes: u64) -> Vec<Plan> {
    /// Bytes of an opening, each way, with some to spare.
    const OPENING: u64 = 2_000;
    let mut plan = |first: bool| {
        let cut = rng.pick(&[Cut::Close, Cut::Reset]);
        // One in eight falls into the opening itself.
        let least = if first || rng.within(0..8) > 0 { OPENING } else { 1 };
        let after = rng.within(least..least + bytes / connections as u64);
        let pace = rng.pick(&[Pace::Free, Pace::Free, Pace::ByteByByte, Pace::Delay(Duration::from_millis(2))]);
        let pace = if pace == Pace::ByteByByte && after > 5_000 { Pace::Free } else { pace };
        let (struck, spared) =
            (Way { cut_after: Some((after, cut)), pace, ..Way::default() }, Way { pace, ..Way::default() });
        if rng.within(0..2) == 0 { Plan { up: struck, down: spared } } else { Plan { up: spared, down: struck } }
    };
    (0..connections).map(|n| plan(n == 0)).collect()
}

/// Lines go both ways, at least so many, until every planned cut has struck; then both leave.
fn through_misfortunes(rng: &mut Rng, lines: usize, cuts: usize) {
    /// Bytes of a line and what is around it, on average.
    const LINE: u64 = 140;
    const LAST: &str = "the end";
    let mut ana = Home::new().listen("ana", &[]);
    let plans = misfortunes(rng, cuts, lines as u64 * LINE);
    let relay = Relay::planned(ana.addr(), move |n| plans.get(n).copied().unwrap_or_default());
    let mut ben = Home::new().connect("ben", relay.addr(), &[]);
    let line = |name: &'static str, n: usize| format!("{name} {n} {}", "x".repeat(n * 31 % 200));
    for (peer, name) in [(&ana, "ana"), (&ben, "ben")] {
        let strikes = relay.strikes();
        let wanted = move |n: &usize| *n < lines || (strikes() < cuts && *n < lines * 20);
        peer.pour((0..).take_while(wanted).map(move |n| format!("{}\n", line(name, n)).into_bytes()));
        peer.send(LAST);
    }
    ana.message(LAST);
    ben.message(LAST);
    quit(&mut ana, &mut ben);
    for (peer, other) in [(&ana, "ben"), (&ben, "ana")] {
        let heard = peer.texts();
        let said = (0..heard.len() - 1).map(|n| line(other, n)).chain([LAST.to_owned()]);
        assert!(heard.len() > lines && said.eq(heard));
        assert_eq!(peer.all("sent").len(), peer.all("delivered").len());
    }
    assert_eq!(relay.struck(), cuts);
}

#[test]
fn lines_survive_cuts_of_every_kind() {
    // Twenty-five in one session: each connection has keys of its own.
    for (seed, cuts) in [(1, 6), (2, 6), (3, 25)] {
        through_misfortunes(&mut Rng::new(seed), 3_000, cuts);
    }
}

/// `cargo test --release --test suite reconnect:: -- --ignored --nocapture`: minutes, another seed each time.
#[test]
#[ignore = "a long run: ten times a hundred cuts during ten thousand lines each way"]
fn a_long_run_of_cuts() {
    for _ in 0..10 {
        through_misfortunes(&mut Rng::fresh(), 10_000, 100);
    }
}

/// A closed lid, as far as a test can close one: takes most of a minute.
#[cfg(unix)]
#[test]
#[ignore = "a long run: 40 seconds of a stopped program"]
fn a_program_that_was_stopped_comes_back_within_seconds() {
    use nix::sys::signal::Signal;
    let (mut ana, _relay, mut ben) = meet(&[], &[]);
    ben.signal(Signal::SIGSTOP);
    ana.send("are you there?");
    std::thread::sleep(Duration::from_secs(40));
    ana.event("lost");
    ben.signal(Signal::SIGCONT);
    let begun = std::time::Instant::now();
    ben.message("are you there?");
    ana.event("reconnected");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    ben.send("yes");
    ana.message("yes");
    quit(&mut ana, &mut ben);
}
