//! Records that are changed, lost, doubled, put out of order or cut short on their way: noticed always, let through never.

use crate::support::{Fault, Home, Peer, Place, Plan, Relay, Side, Trick, Way, is, quit, text};

/// Lines of each side in one case.
const LINES: usize = 10;
/// The first record of the session, after those of the opening: KEM_KEY, COMMIT, REVEAL, GREETING up, KEM_CT, NONCE, GREETING down.
const FIRST_UP: usize = 4;
const FIRST_DOWN: usize = 3;

const TRICKS: [Trick; 10] = [
    Trick::Flip(Place::Length),
    Trick::Flip(Place::First),
    Trick::Flip(Place::Middle),
    Trick::Flip(Place::Tag),
    Trick::Drop,
    Trick::Double,
    Trick::Swap,
    Trick::Short(1),
    Trick::Short(2),
    Trick::Short(20),
];

fn planned(side: Side, fault: Fault) -> Plan {
    let plan = if side == Side::Up { Plan::up } else { Plan::down };
    plan(Way { fault: Some(fault), ..Way::default() })
}

/// What `name` says, line by line; long enough that half of one could not be taken for another.
fn lines(name: &str) -> Vec<String> {
    (0..LINES).map(|n| format!("line {n} of {name}: {}", "x".repeat(n * 50))).collect()
}

/// Whatever came is whole, right, and in order from the first.
fn heard_only_what_was_said(peer: &Peer, other: &str) {
    let heard = peer.texts();
    assert_eq!(heard, lines(other)[..heard.len()]);
}

/// The side that cannot open a record has noticed it.
fn noticed(trick: Trick) -> i32 {
    if matches!(trick, Trick::Short(_)) { 5 } else { 1 }
}

fn one_fault(side: Side, fault: Fault) {
    let mut ana = Home::new().listen("ana", &["--reconnect", "0"]);
    let relay = Relay::planned(ana.addr(), move |_| planned(side, fault));
    let mut ben = Home::new().connect("ben", relay.addr(), &["--reconnect", "0"]);
    for (peer, name) in [(&ana, "ana"), (&ben, "ben")] {
        lines(name).iter().for_each(|line| peer.send(line));
    }
    relay.wait_for_struck(1);
    let (victim, other) = if side == Side::Up { (&mut ana, &mut ben) } else { (&mut ben, &mut ana) };
    victim.ends_with(noticed(fault.trick));
    other.ends_with(5);
    heard_only_what_was_said(&ana, "ben");
    heard_only_what_was_said(&ben, "ana");
    for peer in [&ana, &ben] {
        assert!(peer.all("bye").is_empty(), "a polite end");
        assert_eq!(peer.all("lost").len(), 1);
    }
}

fn every_trick(side: Side, first: usize) {
    for trick in TRICKS {
        for record in [first, first + 1, first + 4, first + 8] {
            eprintln!("record {record} {side:?}: {trick:?}");
            one_fault(side, Fault { record, trick });
        }
    }
}

#[test]
fn what_happens_to_a_record_upwards_is_noticed_by_who_listens() {
    every_trick(Side::Up, FIRST_UP);
}

#[test]
fn what_happens_to_a_record_downwards_is_noticed_by_who_dialled() {
    every_trick(Side::Down, FIRST_DOWN);
}

#[test]
fn a_goodbye_that_is_cut_off_is_a_loss() {
    // After the opening the goodbye comes up.
    for trick in [Trick::Short(2), Trick::Flip(Place::Middle)] {
        let mut ana = Home::new().listen("ana", &["--reconnect", "0"]);
        let relay = Relay::planned(ana.addr(), move |_| planned(Side::Up, Fault { record: FIRST_UP, trick }));
        let ben = Home::new().connect("ben", relay.addr(), &["--reconnect", "0"]);
        ben.event("connected");
        ben.send("/quit");
        ana.ends_with(noticed(trick));
        assert!(ana.all("bye").is_empty());
    }
}

/// In the opening there is no session yet: the dialler ends, the listener waits for the next.
fn in_the_opening(side: Side, record: usize, trick: Trick) {
    let mut ana = Home::new().listen("ana", &["--timeout", "2"]);
    let relay = Relay::planned(ana.addr(), move |connection| {
        if connection == 0 { planned(side, Fault { record, trick }) } else { Plan::default() }
    });
    let home = Home::new();
    let mut ben = home.connect("ben", relay.addr(), &["--timeout", "2"]);
    ben.send("too early");
    let ended = ben.exit_code();
    assert!([1, 3].contains(&ended), "it ended with {ended}");
    assert!(ben.texts().is_empty() && ben.all("delivered").is_empty());
    assert_eq!(relay.struck(), 1);
    // The listener may have taken the caller for its peer already; once it has seen it go, the same key is welcome either way.
    ana.wait_for(|event| is(event, "warning") || is(event, "lost"));
    let mut next = home.connect("next", relay.addr(), &[]);
    next.send("now");
    ana.message("now");
    quit(&mut ana, &mut next);
    assert_eq!(ana.texts(), ["now"]);
}

#[test]
fn what_happens_to_the_opening_upwards_ends_that_connection_alone() {
    for record in 0..FIRST_UP {
        for trick in [Trick::Flip(Place::First), Trick::Flip(Place::Tag), Trick::Short(7)] {
            eprintln!("record {record}: {trick:?}");
            in_the_opening(Side::Up, record, trick);
        }
    }
}

#[test]
fn what_happens_to_the_opening_downwards_ends_that_connection_alone() {
    // The greeting's case follows.
    for record in 0..FIRST_DOWN - 1 {
        for trick in [Trick::Flip(Place::First), Trick::Flip(Place::Tag), Trick::Double, Trick::Short(7)] {
            eprintln!("record {record}: {trick:?}");
            in_the_opening(Side::Down, record, trick);
        }
    }
}

#[test]
fn a_greeting_that_was_changed_is_tampering_and_no_peer_that_does_not_answer() {
    let greeting = Fault { record: FIRST_DOWN - 1, trick: Trick::Flip(Place::Middle) };
    let ana = Home::new().listen("ana", &[]);
    let relay = Relay::planned(ana.addr(), move |_| planned(Side::Down, greeting));
    let mut ben = Home::new().connect("ben", relay.addr(), &[]);
    ben.ends_with(1);
    assert!(text(&ben.event("error"), "text").contains("tampering"), "{}", ben.event("error"));
}

#[test]
fn a_changed_record_is_warned_about_and_the_session_goes_on() {
    for side in [Side::Up, Side::Down] {
        let mut ana = Home::new().listen("ana", &[]);
        let relay = Relay::planned(ana.addr(), move |connection| match connection {
            0 => planned(side, Fault { record: FIRST_UP + 4, trick: Trick::Flip(Place::Middle) }),
            1 => planned(side, Fault { record: FIRST_UP + 2, trick: Trick::Flip(Place::Tag) }),
            _ => Plan::default(),
        });
        let mut ben = Home::new().connect("ben", relay.addr(), &[]);
        for (peer, name) in [(&ana, "ana"), (&ben, "ben")] {
            lines(name).iter().for_each(|line| peer.send(line));
        }
        ana.event_nth(2, "reconnected");
        ben.event_nth(2, "reconnected");
        ana.event_nth(LINES, "message");
        ben.event_nth(LINES, "message");
        quit(&mut ana, &mut ben);
        assert_eq!(ana.texts(), lines("ben"));
        assert_eq!(ben.texts(), lines("ana"));
        let victim = if side == Side::Up { &ana } else { &ben };
        let warned = |peer: &Peer| {
            peer.all("warning").iter().filter(|warning| text(warning, "text").contains("changed on its way")).count()
        };
        assert_eq!(warned(victim), 2);
        assert_eq!(warned(&ana) + warned(&ben), 2, "only who notices warns");
    }
}

#[test]
fn the_third_changed_record_of_a_session_ends_it() {
    let mut ana = Home::new().listen("ana", &["--reconnect", "2"]);
    let relay = Relay::planned(ana.addr(), |_| {
        planned(Side::Down, Fault { record: FIRST_DOWN, trick: Trick::Flip(Place::Middle) })
    });
    let mut ben = Home::new().connect("ben", relay.addr(), &[]);
    ana.send("never heard");
    ben.ends_with(1);
    assert_eq!(ben.all("lost").len(), 3);
    assert!(ben.texts().is_empty());
    ana.ends_with(5);
    assert_eq!(ana.event("undelivered")["lines"], 1);
}
