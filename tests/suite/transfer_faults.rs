//! What goes wrong with files on their way: cuts, tampering, a crash, a source that changes. Nothing wrong gets a name.

use crate::support::files::{content, mixed};
use crate::support::{Cut, Fault, Home, Pace, Place, Plan, Relay, Trick, Way, is, meet_through, quit};
use std::fs;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

#[test]
fn a_file_survives_cuts_of_its_connection() {
    let plan = |n| {
        // A link that is slow enough to be compressed for, also by a processor that is busy.
        let cut = |after| Way {
            cut_after: Some((after, if n % 2 == 0 { Cut::Reset } else { Cut::Close })),
            pace: Pace::Rate(4 << 20),
            ..Way::default()
        };
        match n {
            0..3 => Plan::up(cut(3_000_000 + n as u64 * 777_777)),
            3..5 => Plan::down(cut(2_000 + n as u64)),
            _ => Plan::default(),
        }
    };
    let (homes, accept) = ((&Home::new(), &Home::new()), ["--accept", "always"]);
    let (mut ana, relay, mut ben) = meet_through(|target| Relay::planned(target, plan), homes, &accept, &accept);
    let data = mixed("survivor", 24 * MIB);
    ben.offers("survivor", &data);
    ana.offers("back", content("back", 3 * MIB));
    ana.event_nth(2, "done");
    ben.event_nth(2, "done");
    for peer in [&ana, &ben] {
        let done = peer.wait_for(|event| is(event, "done") && event["bytes"] == data.len());
        let wire = done["wire_bytes"].as_u64().unwrap();
        assert!(wire < data.len() as u64 * 9 / 10, "{wire} bytes went");
    }
    quit(&mut ana, &mut ben);
    assert!(relay.struck() >= 3, "{} struck", relay.struck());
    assert!(ana.all("reconnected").len() >= 3);
    assert_eq!(ana.home().received(), ["survivor"]);
    assert!(fs::read(ana.home().inbox().join("survivor")).unwrap() == data, "it differs");
    assert!(fs::read(ben.home().inbox().join("back")).unwrap() == content("back", 3 * MIB), "it differs");
}

#[test]
fn a_stream_survives_cuts_of_its_connection() {
    let mut ana = Home::new().listen("ana", &["--accept", "always", "--code=right"]);
    let relay = Relay::planned(ana.addr(), |n| {
        let cut_after = (n < 4).then_some((3_000_000 + n as u64 * 777_777, Cut::Reset));
        Plan::up(Way { cut_after, ..Way::default() })
    });
    let home = Home::new();
    let to = relay.addr().to_string();
    let mut ben = home.start("ben", &["send", "-", "--as", "story", "--to", &to, "--code=right"]);
    let data = content("story", 24 * MIB + 5);
    ben.pour(std::iter::once(data.clone()));
    ben.close_input();
    ben.ends_with(0);
    let done = ana.event("done");
    assert_eq!(done["bytes"], data.len());
    assert_eq!(relay.struck(), 4);
    assert!(fs::read(ana.home().inbox().join("story")).unwrap() == data, "it differs");
    ana.ends_with(0);
}

/// `cargo test --release --test suite transfer_faults:: -- --ignored`
#[test]
#[ignore = "a long run: a hundred cuts while two files of 256 MiB cross"]
fn two_large_files_survive_a_hundred_cuts() {
    let size = 256 * MIB;
    let mut rng = crate::support::Rng::fresh();
    let cuts: Vec<_> = (0..100)
        .map(|_| {
            let how = rng.pick(&[Cut::Close, Cut::Reset]);
            let struck = Way { cut_after: Some((rng.within(500..size as u64 / 120), how)), ..Way::default() };
            rng.pick(&[Plan::up, Plan::down])(struck)
        })
        .collect();
    let plan = move |n: usize| cuts.get(n).copied().unwrap_or_default();
    let (homes, options) = ((&Home::new(), &Home::new()), ["--accept", "always", "--stay"]);
    let (mut ana, relay, mut ben) = meet_through(|target| Relay::planned(target, plan), homes, &options, &options);
    ana.home().file("ana", mixed("ana", size));
    ben.home().file("ben", mixed("ben", size));
    ana.send("/send ana");
    ben.send("/send ben");
    let reconnect_timeout = Instant::now() + Duration::from_secs(600);
    while [&ana, &ben].iter().any(|peer| peer.all("done").len() < 2) && Instant::now() < reconnect_timeout {
        std::thread::sleep(Duration::from_millis(100));
    }
    quit(&mut ana, &mut ben);
    for (peer, theirs) in [(&ana, "ben"), (&ben, "ana")] {
        assert!(fs::read(peer.home().inbox().join(theirs)).unwrap() == mixed(theirs, size), "it differs");
    }
    assert!(relay.struck() >= 90, "{} cuts struck", relay.struck());
    drop(rng);
}

#[test]
fn a_changed_chunk_is_never_published() {
    for (trick, record) in [
        (Trick::Flip(Place::Middle), 8),
        (Trick::Drop, 20),
        (Trick::Swap, 20),
        (Trick::Double, 36),
        (Trick::Short(3_000), 36),
    ] {
        eprintln!("record {record}: {trick:?}");
        let plan = Plan::up(Way { fault: Some(Fault { record, trick }), ..Way::default() });
        let relay = |target| Relay::planned(target, move |_| plan);
        let options = ["--accept", "always", "--reconnect", "0"];
        let (mut ana, _relay, mut ben) = meet_through(relay, (&Home::new(), &Home::new()), &options, &[]);
        ben.offers("data", content("data", 2 * MIB + 5));
        ana.ends_with(if matches!(trick, Trick::Short(_)) { 5 } else { 1 });
        ben.ends_with(5);
        assert!(!ana.home().received().contains(&"data".to_owned()));
        assert!(ana.all("done").is_empty() && ben.all("done").is_empty());
    }
}

#[test]
fn a_transfer_goes_on_after_the_receiver_was_killed_or_begins_anew_where_the_file_is_another() {
    for same in [true, false] {
        killed(same);
    }
}

/// `same`: the file is as it was when it is offered again; else it has other bytes, and looks the same.
fn killed(same: bool) {
    let (home, sender, accept) = (Home::new(), Home::new(), ["--accept", "always"]);
    let slow = |target| Relay::slow(target, 8 * MIB as u64);
    let (mut ana, _relay, mut ben) = meet_through(slow, (&home, &sender), &accept, &["--reconnect", "0"]);
    let data = content("crash", 16 * MIB);
    let path = sender.file("crash", &data);
    ben.send("/send crash");
    ana.wait_for(|event| is(event, "progress") && event["bytes"].as_u64() > Some(6 * MIB as u64));
    ana.kill();
    ben.ends_with(5);
    assert!(!home.received().contains(&"crash".to_owned()));
    let data = if same { data } else { content("another", 16 * MIB) };
    if !same {
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, &data).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }
    let (mut ana, relay, mut ben) = meet_through(Relay::to, (&home, &sender), &accept, &[]);
    ben.send("/send crash");
    quit(&mut ana, &mut ben);
    assert!(fs::read(home.inbox().join("crash")).unwrap() == data, "it differs");
    assert_eq!(home.received(), ["crash"], "nothing is left behind");
    let sent = relay.tape().len();
    assert_eq!(sent < 13 * MIB, same, "{sent} bytes went");
}
