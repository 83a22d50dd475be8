//! `p2pchat send` and `p2pchat receive`: who is let in, what arrives where, the exit codes, streams, and the same again after an end.

mod pipes;

use crate::support::files::content;
use crate::support::home::names;
use crate::support::peer::Stream;
use crate::support::{Cut, Home, Pace, Peer, Plan, Pty, Relay, Way, meet_with, nobody, quit, text, turned_away};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::thread;

const CODE: &str = "--code=42-otter-plum";
const HERE: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Waits, with events; dials, without.
fn waits(home: &Home, arguments: &[&str]) -> Peer {
    let peer = home.start("waiting", &[arguments, &HERE, &["--json"]].concat());
    peer.event("listening");
    peer
}

fn inbox(home: &Home) -> String {
    home.inbox().to_str().unwrap().to_owned()
}

#[test]
fn either_side_may_wait_and_the_paths_are_printed() {
    for sender_waits in [true, false] {
        let (ana, ben) = (Home::new(), Home::new());
        ana.file("report", "new");
        fs::create_dir_all(ana.work().join("photos/2026")).unwrap();
        fs::create_dir(ana.work().join("hollow")).unwrap();
        fs::write(ana.work().join("photos/2026/a.jpg"), content("a", 300_000)).unwrap();
        fs::write(ben.inbox().join("report"), "old").unwrap();
        let (dir, paths) = (inbox(&ben), ["send", CODE, "report", "photos", "hollow"]);
        let (mut sender, mut receiver) = if sender_waits {
            let sender = waits(&ana, &paths);
            let addr = sender.addr().to_string();
            (sender, ben.start("ben", &["receive", &addr, CODE, "--dir", &dir]))
        } else {
            let receiver = waits(&ben, &["receive", CODE, "--dir", &dir]);
            let addr = receiver.addr().to_string();
            (ana.start("ana", &[&paths[..], &["--to", &addr]].concat()), receiver)
        };
        receiver.ends_with(0);
        sender.ends_with(0);
        assert_eq!(ben.received(), ["hollow", "photos", "report", "report (1)"]);
        assert_eq!(fs::read(ben.inbox().join("report")).unwrap(), b"old");
        assert_eq!(fs::read(ben.inbox().join("report (1)")).unwrap(), b"new");
        if sender_waits {
            let inbox = ben.inbox().canonicalize().unwrap();
            let printed = ["report (1)", "photos", "hollow"].map(|name| inbox.join(name).display().to_string());
            assert_eq!(receiver.lines(Stream::Out), printed);
        }
    }
}

#[test]
fn nobody_is_dialled_who_is_unknown() {
    let ana = Home::new();
    ana.file("secret", "s");
    for arguments in [&["send", "secret", "--to", "127.0.0.1:1"][..], &["receive", "127.0.0.1:1"]] {
        let mut peer = ana.start("ana", arguments);
        peer.ends_with(4);
        assert!(peer.lines(Stream::Err).join("\n").contains("--code"), "{arguments:?}");
    }
}

#[test]
fn a_verified_key_is_as_good_as_a_code() {
    let (ana, ben) = (Home::new(), Home::new());
    let (mut listening, mut dialling) = meet_with(&ana, &ben, &[CODE], &[CODE]);
    let addr = listening.addr().to_string();
    let (anas, bens) = (["ana", "ben"], ["ben", "ana"]);
    quit(&mut listening, &mut dialling);
    ana.file("x", "to ben");
    let mut sender = ana.start(anas[0], &["send", "x", "--peer", anas[1], "--listen", &addr, "--json"]);
    sender.event("listening");
    Home::new().connect("eve", sender.addr(), &[]).ends_with(3);
    sender.wait_for(|event| event["event"] == "warning" && text(event, "text").contains("another key"));
    let mut receiver = ben.start(bens[0], &["receive", &addr]);
    receiver.ends_with(0);
    sender.ends_with(0);
    assert_eq!(fs::read(ben.work().join("x")).unwrap(), b"to ben");
}

#[test]
fn what_does_not_arrive_whole_is_exit_6() {
    let (ana, ben) = (Home::new(), Home::new());
    // What is left out is in the list.
    fs::create_dir(ana.work().join("tree")).unwrap();
    ana.file("tree/file", "f");
    symlink("file", ana.work().join("tree/link")).unwrap();
    let mut sender = waits(&ana, &["send", "tree", CODE]);
    ben.start("ben", &["receive", &sender.addr().to_string(), CODE]).ends_with(0);
    sender.ends_with(6);
    assert!(ben.work().join("tree/file").exists());
    // A peer that leaves without an offer.
    let mut receiver = waits(&ben, &["receive", CODE]);
    let mut chat = ana.connect("ana", receiver.addr(), &[CODE]);
    chat.event("connected");
    chat.close_input();
    let said = receiver.event("error");
    assert!(
        said["code"] == "nothing-offered" && said["text"].as_str().unwrap().ends_with(" left and offered nothing"),
        "{said}"
    );
    receiver.ends_with(6);
    // A second offer is declined, the first one counts.
    ana.file("one", content("1", 1 << 20));
    ana.file("two", "2");
    let mut receiver = waits(&ben, &["receive", CODE]);
    let mut chat = ana.connect("ana", receiver.addr(), &[CODE]);
    chat.pour(std::iter::once(b"/send one\n/send two\n".to_vec()));
    receiver.ends_with(0);
    chat.ends_with(6);
    assert!(!ben.work().join("two").exists());
}

#[test]
fn what_cannot_be_sent_is_a_usage_error() {
    let ana = Home::new();
    ana.file("x", "x");
    for arguments in [
        &["send", "x", "nowhere", CODE][..],
        &["send", "-", "x", CODE],
        &["send", "x", "--as", "y", CODE],
        &["send", "-", "--as", "a/b", CODE],
        &["send", CODE],
        &["send", "x", "--peer", "nobody"],
        &["receive", "--stdout", "--json", CODE],
        &["receive", "--dir", "no/where", CODE],
    ] {
        ana.start("ana", arguments).ends_with(2);
    }
}

#[test]
fn what_a_peer_sends_never_goes_to_a_terminal_as_it_is() {
    let home = Home::new();
    let mut pty = Pty::start(&home, &["receive", "--stdout"]);
    assert_eq!(pty.exit_code(), 2);
    pty.shows("--stdout is for a pipe or a file");
}

#[test]
fn the_same_again_goes_on_where_an_end_of_either_side_left_it() {
    /// What has arrived at least when one of the two ends, and the speed of the way for that.
    const REACHED: u64 = 2 << 20;
    const RATE: u64 = 8 << 20;
    let (ana, ben) = (Home::new(), Home::new());
    let big = content("big", 16 << 20);
    ana.file("big", &big);
    let dir = inbox(&ben);
    let (_taken, addr) = nobody();
    let way = Relay::slow(addr, RATE);
    let (listen, at) = (addr.to_string(), way.addr().to_string());
    // Each run of the sender has an invite of its own.
    let meet = || {
        let send = ["send", "big", "--json", "--reconnect", "0", "--listen", &listen, "--at", &at];
        let sender = ana.start("ana", &send);
        let invite = text(&sender.event("listening"), "invite").to_owned();
        let receive = ["receive", &invite, "--json", "--reconnect", "0", "--dir", &dir];
        (sender, ben.start("ben", &receive))
    };
    let mut reached = 0;
    for sender_ends in [true, false] {
        for (event, signal) in [
            ("connected", Some(Signal::SIGINT)),
            ("connected", None),
            ("progress", Some(Signal::SIGINT)),
            ("progress", None),
        ] {
            let (mut sender, mut receiver) = meet();
            // While it looks at what is there, it stands at 0.
            let moved = |event: &serde_json::Value| event["event"] == "progress" && event["bytes"].as_u64() > Some(0);
            if event == "progress" {
                let first = receiver.wait_for(moved)["bytes"].as_u64().unwrap();
                assert!(first >= reached, "it began at {first}, after {reached}");
                let far =
                    |event: &serde_json::Value| moved(event) && event["bytes"].as_u64() >= Some(reached + REACHED);
                reached = receiver.wait_for(far)["bytes"].as_u64().unwrap();
            }
            let (ending, left) = if sender_ends { (&mut sender, &mut receiver) } else { (&mut receiver, &mut sender) };
            ending.event("connected");
            match signal {
                Some(signal) => {
                    ending.signal(signal);
                    ending.ends_with(130);
                    left.ends_with(6);
                }
                None => {
                    ending.kill();
                    left.ends_with(5);
                }
            }
            assert!(ben.received().len() <= 1, "nothing but the staging folder");
        }
    }
    let (mut sender, mut receiver) = meet();
    receiver.ends_with(0);
    sender.ends_with(0);
    assert_eq!(ben.received(), ["big"]);
    assert!(fs::read(ben.inbox().join("big")).unwrap() == big);
}

#[test]
fn an_invite_pasted_in_pieces_brings_the_file() {
    for as_argument in [false, true] {
        pasted(as_argument);
    }
}

fn pasted(as_argument: bool) {
    let (ana, ben) = (Home::new(), Home::new());
    ana.file("x", content("x", 3 << 20));
    let mut sender = Pty::sized(&ana, 24, 80, &[&["send", "x"][..], &HERE].concat());
    let invite = sender.invite();
    let (head, tail) = invite.split_at(39);
    let mut receiver = if as_argument {
        // What a shell makes of it.
        let mut receiver = Pty::sized(&ben, 24, 80, &["receive", head]);
        receiver.keys(&format!("      ¦   {tail}\r"));
        receiver
    } else {
        let mut receiver = Pty::sized(&ben, 24, 80, &[&["receive"][..], &HERE].concat());
        receiver.shows("or paste here the invite");
        receiver.keys("no invite\r");
        receiver.shows("this is no invite");
        receiver.keys(&format!("p2pchat receive {head}\r  {tail}\r"));
        receiver
    };
    assert_eq!(receiver.exit_code(), 0);
    assert_eq!(sender.exit_code(), 0);
    assert_eq!(fs::read(ben.work().join("x")).unwrap(), content("x", 3 << 20));
    receiver.shows("received 1 file");
    sender.shows("sent 1 file");
}

#[test]
fn an_invite_is_for_one_and_who_has_none_is_kept_out() {
    let (ana, ben) = (Home::new(), Home::new());
    ana.file("x", "x");
    let mut sender = waits(&ana, &["send", "x"]);
    let invite = text(&sender.event("listening"), "invite").to_owned();
    turned_away(Home::new().connect("eve", sender.addr(), &[]), 4, "");
    let received = ben.program(&["receive"]).env("P2PCHAT_INVITE", &invite).output().unwrap();
    assert!(received.status.success(), "{received:?}");
    sender.ends_with(0);
    assert_eq!(fs::read(ben.work().join("x")).unwrap(), b"x");
    Home::new().start("eve", &["receive", &invite, "--timeout", "3"]).ends_with(3);
}

/// Where a dialler is killed: after so many bytes of the opening; once it has said this, of so many bytes.
enum Moment {
    Opening(u64),
    Said(&'static str, u64),
}

#[test]
fn who_dials_and_is_killed_at_any_time_goes_on_by_the_same_invite() {
    use Moment::{Opening, Said};
    const MOMENTS: [Moment; 8] = [
        Opening(40),
        Opening(200),
        // The keys of KEM_KEY and KEM_CT are this long.
        Opening(1_300),
        Said("connected", 0),
        Said("progress", 0),
        Said("progress", 4 << 20),
        Said("progress", 8 << 20),
        Said("progress", 12 << 20),
    ];
    let cut = |of: usize| {
        let after =
            |side: u64| Way { cut_after: Some((side, Cut::Reset)), pace: Pace::Rate(8 << 20), ..Way::default() };
        match MOMENTS.get(of) {
            Some(Opening(bytes)) => Plan { up: after(*bytes), down: after(u64::MAX) },
            _ => Plan { up: after(u64::MAX), down: after(u64::MAX) },
        }
    };
    let big = content("big", 16 << 20);
    for dialler_sends in [false, true] {
        let (ana, ben) = (Home::new(), Home::new());
        ana.file("big", &big);
        let (_taken, addr) = nobody();
        let way = Relay::planned(addr, cut);
        let (listen, at) = (addr.to_string(), way.addr().to_string());
        let here = ["--listen", &listen, "--at", &at, "--json"];
        let (waits, dials): (&[&str], &[&str]) =
            if dialler_sends { (&["receive"], &["send", "big", "--to"]) } else { (&["send", "big"], &["receive"]) };
        let (waiter, dialler) = if dialler_sends { (&ben, &ana) } else { (&ana, &ben) };
        let mut waiting = waiter.start("waiting", &[waits, &here].concat());
        let invite = text(&waiting.event("listening"), "invite").to_owned();
        let again = [dials, &[&invite, "--json"]].concat();
        for (number, moment) in MOMENTS.iter().enumerate() {
            let mut killed = dialler.start("killed", &again);
            match moment {
                Opening(_) => way.wait_for_struck(number + 1),
                Said(event, least) => {
                    drop(killed.wait_for(|said| {
                        said["event"] == *event && said["bytes"].as_u64().unwrap_or_default() >= *least
                    }))
                }
            }
            killed.kill();
        }
        let mut dialling = dialler.start("last", &again);
        dialling.ends_with(0);
        waiting.ends_with(0);
        assert!(fs::read(ben.work().join("big")).unwrap() == big);
        assert_eq!(names(&ben.work()), ["big"]);
    }
}

#[test]
fn a_used_invite_is_said_to_be_used_by_who_is_not_waited_for() {
    const USED: &str = "the invite is not good any more";
    let (ana, ben) = (Home::new(), Home::new());
    ana.file("big", content("big", 16 << 20));
    let (_taken, addr) = nobody();
    let way = Relay::slow(addr, 4 << 20);
    let (listen, at) = (addr.to_string(), way.addr().to_string());
    let send = ["send", "big", "--json", "--listen", &listen, "--at", &at];
    let mut killed = ana.start("ana", &send);
    let invite = text(&killed.event("listening"), "invite").to_owned();
    let receiver = ben.start("ben", &["receive", &invite, "--json"]);
    receiver.event("accepted");
    killed.kill();
    let again = ana.start("ana", &send);
    again.event("listening");
    receiver.wait_for(|event| event["event"] == "warning" && text(event, "text").contains(USED));
    drop(receiver);
    turned_away(ben.start("ben", &["receive", &invite, "--json"]), 4, USED);
}
