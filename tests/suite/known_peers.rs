//! Keys of peers: how a peer becomes known and verified, what another key leads to, the `known_peers` file and its commands.

use crate::support::home::Ran;
use crate::support::{Home, Peer, meet_with, nobody, text};
use std::fs;
use std::net::SocketAddr;

/// Both at a fixed address.
fn meet_at(addr: SocketAddr, ana: &Home, ben: &Home) -> (Peer, Peer) {
    let listening = ana.listen_at(&addr.to_string(), "ana", &[]);
    let dialling = ben.connect("ben", addr, &[]);
    dialling.event("connected");
    (listening, dialling)
}

fn leave((mut listening, mut dialling): (Peer, Peer)) {
    dialling.send("/quit");
    dialling.exit_code();
    listening.exit_code();
}

/// What `peers list` says of a name.
fn row(home: &Home, name: &str) -> Option<String> {
    home.run(&["peers"]).out.lines().find(|line| line.starts_with(name)).map(str::to_owned)
}

fn known_peers(home: &Home) -> String {
    fs::read_to_string(home.data().join("known_peers")).unwrap()
}

#[test]
fn a_peer_is_new_then_known_then_verified() {
    let (ana, ben) = (Home::new(), Home::new());
    for trust in ["new", "known", "verified"] {
        // The port is another one each time: the key is what counts.
        let peers = meet_with(&ana, &ben, &[], &[]);
        let connected = peers.1.event("connected");
        assert_eq!(connected["trust"], trust);
        assert!(row(&ben, "ana").unwrap().contains(text(&connected, "addr")), "the address is recorded");
        if trust == "known" {
            peers.1.send("/verify");
            let marked = peers.1.event("trust");
            assert_eq!([&marked["peer"], &marked["trust"]], ["ana", "verified"]);
        }
        leave(peers);
    }
}

#[test]
fn accept_verified_takes_files_of_verified_peers_only() {
    let (ana, ben) = (Home::new(), Home::new());
    let file = ben.file("a.txt", "content");
    let (listening, dialling) = meet_with(&ana, &ben, &["--accept", "verified"], &[]);
    dialling.send(&format!("/send {}", file.display()));
    let declined = dialling.event("declined");
    assert!(text(&declined, "reason").contains("verified"), "{declined}");
    assert!(ana.received().is_empty());
    listening.send("/verify");
    assert_eq!(listening.event("trust")["trust"], "verified");
    dialling.send(&format!("/send {}", file.display()));
    dialling.event("done");
    assert_eq!(ana.received(), ["a.txt"]);
    leave((listening, dialling));
}

#[test]
fn another_key_at_the_address_of_a_known_peer_is_a_loud_warning_with_both_causes() {
    let (ana, ben) = (Home::new(), Home::new());
    let (_taken, addr) = nobody();
    leave(meet_at(addr, &ana, &ben));
    let peers = meet_at(addr, &Home::new(), &ben);
    let warning = peers.1.event("warning");
    for words in ["ANSWERS WITH ANOTHER KEY", "last seen 2", "new key or device", "sits between", "compare"] {
        assert!(text(&warning, "text").contains(words), "{warning}");
    }
    let connected = peers.1.event("connected");
    assert_eq!([&connected["trust"], &connected["peer"]], ["new", "ana (2)"]);
    leave(peers);
    assert!(row(&ben, "ana (2)").is_some());
}

#[test]
fn another_key_at_the_address_of_a_verified_peer_is_refused_until_the_old_one_is_forgotten() {
    let (ana, ben) = (Home::new(), Home::new());
    let (_taken, addr) = nobody();
    let peers = meet_at(addr, &ana, &ben);
    peers.1.send("/verify");
    peers.1.event("trust");
    leave(peers);
    let listening = Home::new().listen_at(&addr.to_string(), "ana", &["--keep"]);
    let Ran { code, out, err: said } = ben.run(&["connect", &addr.to_string(), "--plain"]);
    assert_eq!((code, &*out), (Some(4), ""));
    assert!(said.lines().all(|line| line.starts_with("--")), "{said}");
    for words in ["(last seen 2", "new key or device", "sits between", "p2pchat peers forget ana"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(listening.all("connected").is_empty());
    assert!(ben.run(&["peers", "forget", "ana"]).code == Some(0));
    assert_eq!(ben.connect("ben", addr, &[]).event("connected")["trust"], "new");
}

#[test]
fn a_listener_demands_a_key_with_peer() {
    let (ana, ben) = (Home::new(), Home::new());
    leave(meet_with(&ana, &ben, &[], &[]));
    let listening = ana.listen("ana", &["--peer", "ben"]);
    let mut eve = Home::new().connect("ben", listening.addr(), &[]);
    assert_ne!(eve.exit_code(), 0);
    listening.event("warning");
    let dialling = ben.connect("ben", listening.addr(), &[]);
    dialling.event("connected");
    leave((listening, dialling));
}

#[test]
fn a_dialler_with_peer_talks_to_that_key_alone() {
    let (ana, ben) = (Home::new(), Home::new());
    leave(meet_with(&ana, &ben, &[], &[]));
    leave(meet_with(&ana, &ben, &[], &["--peer", "ana"]));
    let eve = Home::new().listen("ana", &[]);
    let mut dialling = ben.connect("ben", eve.addr(), &["--peer", "ana"]);
    dialling.ends_with(4);
    assert!(text(&dialling.event("error"), "text").contains("peers forget ana"), "{}", dialling.event("error"));
    assert!(eve.all("connected").is_empty());
}

#[test]
fn a_name_that_another_peer_has_becomes_a_label_of_its_own() {
    let ana = Home::new();
    for (claimed, label) in [("root", "root"), ("Root", "Root (2)"), ("root", "root (3)")] {
        let listening = ana.listen("ana", &[]);
        let dialling = Home::new().connect(claimed, listening.addr(), &[]);
        dialling.event("connected");
        assert_eq!(listening.event("connected")["peer"], label);
        if label != "root" {
            listening.event("warning");
        }
        leave((listening, dialling));
        assert!(row(&ana, label).is_some());
    }
}

#[test]
fn two_of_one_name_are_told_apart_on_both_sides_and_two_programs_of_one_user_have_one_trust() {
    for (one_user, trust) in [(false, "new"), (true, "known")] {
        let ana = Home::new();
        let ben = if one_user { ana.clone() } else { Home::new() };
        let listening = ana.listen("root", &[]);
        let dialling = ben.connect("root", listening.addr(), &[]);
        for peer in [&listening, &dialling] {
            let connected = peer.event("connected");
            assert_eq!([&connected["peer"], &connected["trust"]], ["root (2)", trust]);
        }
        leave((listening, dialling));
    }
}

#[test]
fn a_peer_is_listed_renamed_and_forgotten() {
    let (ana, ben) = (Home::new(), Home::new());
    assert_eq!(ana.run(&["peers"]).out, "no peers are known yet\n");
    let peers = meet_with(&ana, &ben, &[], &[]);
    let seen = [&peers.1, &peers.0].map(|peer| text(&peer.event("connected"), "fingerprint").to_owned());
    leave(peers);
    for (home, seen) in [&ana, &ben].into_iter().zip(&seen) {
        assert_eq!(home.run(&["id"]).out.trim(), seen);
    }
    let listed = row(&ana, "ben").unwrap();
    assert!(listed.contains("known") && listed.contains(&seen[1]), "{listed}");
    // What another program writes into the file counts at once.
    let listening = ana.listen("ana", &[]);
    assert_eq!(ana.run(&["peers", "rename", "ben", "benjamin k"]).code, Some(0));
    let dialling = ben.connect("ben", listening.addr(), &[]);
    let peers = (listening, dialling);
    let connected = peers.0.event("connected");
    assert_eq!([&connected["peer"], &connected["trust"]], ["benjamin k", "known"]);
    peers.1.send("it is me");
    assert_eq!(peers.0.message("it is me")["from"], "benjamin k");
    peers.0.send("/peer");
    let info = peers.0.event("info").to_string();
    assert!(info.contains("benjamin k") && info.contains("\"ben\"") && info.contains("ML-KEM-768"), "{info}");
    leave(peers);
    assert!(ana.run(&["peers", "forget", "benjamin k"]).code == Some(0));
    assert_eq!(row(&ana, "ben"), None);
    let peers = meet_with(&ana, &ben, &[], &[]);
    assert_eq!(peers.0.event("connected")["trust"], "new");
    leave(peers);
}

#[test]
fn commands_about_peers_that_are_not_there_say_so() {
    let (ana, ben) = (Home::new(), Home::new());
    leave(meet_with(&ana, &ben, &[], &[]));
    let cases: [(&[&str], i32, &str); 5] = [
        (&["peers", "forget", "eve"], 1, "no peer is known as eve"),
        (&["peers", "rename", "eve", "x"], 1, "no peer is known as eve"),
        (&["peers", "rename", "ben", " \u{1b}[2J"], 1, "cannot be the name of a peer"),
        (&["connect", "127.0.0.1:1", "--peer", "eve"], 2, "no peer is known as eve"),
        (&["listen", "127.0.0.1:0", "--peer", "eve"], 2, "no peer is known as eve"),
    ];
    for (arguments, code, words) in cases {
        let ran = ana.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(words) && !ran.err.contains('\u{1b}'), "{ran:?}");
    }
}

#[test]
fn what_a_person_wrote_into_the_file_stays_and_a_bad_line_is_named() {
    let (ana, ben) = (Home::new(), Home::new());
    leave(meet_with(&ana, &ben, &[], &[]));
    let edited = format!("# my peers\n{}\nthis is no peer\n", known_peers(&ana).replace("ben ", "ben  "));
    fs::write(ana.data().join("known_peers"), &edited).unwrap();
    let peers = meet_with(&ana, &ben, &[], &[]);
    let warning = peers.0.event("warning");
    let number = edited.lines().count();
    assert!(text(&warning, "text").contains(&format!("line {number} of known_peers")), "{warning}");
    assert_eq!(peers.0.event("connected")["trust"], "known");
    leave(peers);
    let kept = known_peers(&ana);
    assert!(kept.starts_with("# my peers\n") && kept.ends_with("\nthis is no peer\n"), "{kept}");
    assert!(ana.run(&["peers"]).out.contains(&format!("line {number}")));
}

#[test]
fn processes_that_change_the_file_at_once_lose_nothing() {
    const PEERS: usize = 24;
    let home = Home::new();
    fs::create_dir_all(home.data()).unwrap();
    let line = |n: usize| format!("p{n} {n:064x} known 2026-11-24T13:30:00Z 2026-11-24T13:30:00Z host:{n} host:{n}\n");
    fs::write(home.data().join("known_peers"), (0..PEERS).map(line).collect::<String>()).unwrap();
    let renames: Vec<_> = (0..PEERS)
        .map(|n| home.program(&["peers", "rename", &format!("p{n}"), &format!("q{n}")]).spawn().unwrap())
        .collect();
    for mut rename in renames {
        assert!(rename.wait().unwrap().success());
    }
    // A name that the user gave is marked as one.
    let renamed =
        |n: usize| line(n).replacen('p', "q", 1).replacen(&format!(" host:{n}\n"), &format!(" named host:{n}\n"), 1);
    let expected: String = (0..PEERS).map(renamed).collect();
    assert_eq!(known_peers(&home), expected);
}

#[test]
fn verify_before_anyone_is_there_waits_for_the_peer() {
    let ana = Home::new();
    let listening = ana.listen("ana", &[]);
    listening.send("/verify");
    let dialling = Home::new().connect("ben", listening.addr(), &[]);
    assert_eq!(listening.event("trust")["peer"], "ben");
    leave((listening, dialling));
    assert!(row(&ana, "ben").unwrap().contains("verified"));
}

#[test]
fn a_lock_held_by_another_program_holds_nobody_up_and_what_is_forgotten_is_said() {
    let (ana, ben) = (Home::new(), Home::new());
    fs::create_dir(ben.data()).unwrap();
    let lock = fs::File::create(ben.data().join("known_peers.lock")).unwrap();
    lock.lock().unwrap();
    let (listening, dialling) = meet_with(&ana, &ben, &[], &[]);
    let warned = dialling.wait_for(|event| text(event, "text").contains("not remembered"));
    assert!(text(&warned, "text").contains("known_peers.lock"), "{warned}");
    listening.send("hello");
    dialling.message("hello");
    // A verification that cannot be written is an error, and the session goes on.
    dialling.send("/verify");
    assert_eq!(dialling.event("error")["code"], "peers-file");
    drop(lock);
    leave((listening, dialling));
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_of_the_program_is_named_and_holds_nobody_up() {
    use crate::support::peer::Stream;
    let cases: [(&str, &[&str]); 4] = [
        ("identity", &["id"]),
        ("known_peers", &["peers"]),
        ("known_peers", &["listen", "127.0.0.1:0"]),
        ("known_peers.lock", &["peers", "forget", "eve"]),
    ];
    for (name, arguments) in cases {
        let home = Home::new();
        fs::create_dir(home.data()).unwrap();
        let path = home.data().join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut program = home.start("ana", arguments);
        program.ends_with(1);
        program.line(Stream::Err, |line| line.contains(path.to_str().unwrap()) && line.contains("no ordinary file"));
    }
    // Where it is only looked for what may be left, there is nothing.
    let home = Home::new();
    fs::create_dir(home.data()).unwrap();
    nix::unistd::mkfifo(&home.data().join("partial-folders"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    home.start("ana", &["partials"]).ends_with(0);
}
