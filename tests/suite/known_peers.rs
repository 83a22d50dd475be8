//! Peers that were met: how trust in them is shown, the file they stand in, its commands, and what depends on them.

use crate::support::{Home, Peer, nobody, text};
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};

/// A command that ends by itself.
fn run(home: &Home, arguments: &[&str]) -> Output {
    home.program(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// `ben` dials `ana`; both are connected.
fn meet(ana: &Home, ben: &Home, listen: &[&str], connect: &[&str]) -> (Peer, Peer) {
    let listening = ana.listen("ana", listen);
    let dialling = ben.connect("ben", listening.addr(), connect);
    listening.event("connected");
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
    out(&run(home, &["peers"])).lines().find(|line| line.starts_with(name)).map(str::to_owned)
}

fn known_peers(home: &Home) -> String {
    fs::read_to_string(home.data().join("known_peers")).unwrap()
}

#[test]
fn the_own_fingerprint_is_what_the_other_side_sees() {
    let (ana, ben) = (Home::new(), Home::new());
    let peers = meet(&ana, &ben, &[], &[]);
    for (home, seen) in [(&ana, peers.1.event("connected")), (&ben, peers.0.event("connected"))] {
        assert_eq!(out(&run(home, &["id"])).trim(), text(&seen, "fingerprint"));
    }
    leave(peers);
}

#[test]
fn files_are_taken_from_verified_peers_alone_when_that_is_the_rule() {
    let (ana, ben) = (Home::new(), Home::new());
    let file = ben.file("a.txt", "content");
    let (listening, dialling) = meet(&ana, &ben, &["--accept", "verified"], &[]);
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
fn a_right_code_is_enough_for_files_of_verified_peers() {
    let (ana, ben) = (Home::new(), Home::new());
    let file = ben.file("a.txt", "content");
    let peers = meet(&ana, &ben, &["--accept", "verified", "--code=1-a-b"], &["--code=1-a-b"]);
    peers.1.send(&format!("/send {}", file.display()));
    peers.1.event("done");
    leave(peers);
    assert!(row(&ana, "ben").unwrap().contains("verified"));
}

#[test]
fn a_known_peers_address_with_another_key_is_said_loudly_with_both_causes() {
    let (ana, ben) = (Home::new(), Home::new());
    let (_taken, addr) = nobody();
    let at = |home: &Home| -> (Peer, Peer) {
        let listening = home.json("ana", &["listen", &addr.to_string()], &[], None);
        listening.event("listening");
        let dialling = ben.connect("ben", addr, &[]);
        dialling.event("connected");
        (listening, dialling)
    };
    leave(at(&ana));
    let peers = at(&Home::new());
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
fn a_peer_is_listed_renamed_and_forgotten() {
    let (ana, ben) = (Home::new(), Home::new());
    assert_eq!(out(&run(&ana, &["peers"])), "no peers are known yet\n");
    leave(meet(&ana, &ben, &[], &[]));
    let fingerprint = out(&run(&ben, &["id"]));
    let listed = row(&ana, "ben").unwrap();
    assert!(listed.contains("known") && listed.contains(fingerprint.trim()), "{listed}");

    assert!(run(&ana, &["peers", "rename", "ben", "benjamin k"]).status.success());
    let peers = meet(&ana, &ben, &[], &[]);
    let connected = peers.0.event("connected");
    assert_eq!([&connected["peer"], &connected["trust"]], ["benjamin k", "known"]);
    peers.1.send("it is me");
    assert_eq!(peers.0.message("it is me")["from"], "benjamin k");
    peers.0.send("/peer");
    let info = peers.0.event("info").to_string();
    assert!(info.contains("benjamin k") && info.contains("\"ben\"") && info.contains("ML-KEM-768"), "{info}");
    leave(peers);

    assert!(run(&ana, &["peers", "forget", "benjamin k"]).status.success());
    assert_eq!(row(&ana, "ben"), None);
    let peers = meet(&ana, &ben, &[], &[]);
    assert_eq!(peers.0.event("connected")["trust"], "new");
    leave(peers);
}

#[test]
fn commands_about_peers_that_are_not_there_say_so() {
    let (ana, ben) = (Home::new(), Home::new());
    leave(meet(&ana, &ben, &[], &[]));
    let (_taken, nowhere) = nobody();
    let nowhere = nowhere.to_string();
    let cases: [(&[&str], i32, &str); 5] = [
        (&["peers", "forget", "eve"], 1, "no peer is known as eve"),
        (&["peers", "rename", "eve", "x"], 1, "no peer is known as eve"),
        (&["peers", "rename", "ben", " \u{1b}[2J"], 1, "cannot be the name of a peer"),
        (&["connect", &nowhere, "--peer", "eve"], 2, "no peer is known as eve"),
        (&["listen", "127.0.0.1:0", "--peer", "eve"], 2, "no peer is known as eve"),
    ];
    for (arguments, code, words) in cases {
        let ended = run(&ana, arguments);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}", err(&ended));
        assert!(err(&ended).contains(words) && !err(&ended).contains('\u{1b}'), "{}", err(&ended));
    }
}

#[test]
fn what_a_person_wrote_into_the_file_stays_and_a_bad_line_is_named() {
    let (ana, ben) = (Home::new(), Home::new());
    leave(meet(&ana, &ben, &[], &[]));
    let edited = format!("# my peers\n{}\nthis is no peer\n", known_peers(&ana).replace("ben ", "ben  "));
    fs::write(ana.data().join("known_peers"), &edited).unwrap();
    let peers = meet(&ana, &ben, &[], &[]);
    let warning = peers.0.event("warning");
    let number = edited.lines().count();
    assert!(text(&warning, "text").contains(&format!("line {number} of known_peers")), "{warning}");
    assert_eq!(peers.0.event("connected")["trust"], "known");
    leave(peers);
    let kept = known_peers(&ana);
    assert!(kept.starts_with("# my peers\n") && kept.ends_with("\nthis is no peer\n"), "{kept}");
    assert!(out(&run(&ana, &["peers"])).contains(&format!("line {number}")));
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
    let expected: String = (0..PEERS).map(|n| line(n).replacen('p', "q", 1)).collect();
    assert_eq!(known_peers(&home), expected);
}

#[test]
fn verify_before_anyone_is_there_waits_for_the_peer_and_without_one_marks_nobody() {
    let ana = Home::new();
    let listening = ana.listen("ana", &[]);
    listening.send("/peer");
    listening.send("/verify");
    let ben = Home::new();
    let dialling = ben.connect("ben", listening.addr(), &[]);
    assert_eq!(listening.event("trust")["peer"], "ben");
    leave((listening, dialling));
    assert!(row(&ana, "ben").unwrap().contains("verified"));
}

/// A peer that is verified at one address may move: the key is what counts, and the address is learnt.
#[test]
fn a_verified_peer_that_moves_stays_verified() {
    let (ana, ben) = (Home::new(), Home::new());
    let peers = meet(&ana, &ben, &[], &[]);
    peers.1.send("/verify");
    peers.1.event("trust");
    leave(peers);
    let peers = meet(&ana, &ben, &[], &[]);
    assert_eq!(peers.1.event("connected")["trust"], "verified");
    let addr: SocketAddr = text(&peers.1.event("connected"), "addr").parse().unwrap();
    assert!(row(&ben, "ana").unwrap().contains(&addr.to_string()));
    leave(peers);
}

/// The words of a refusal are for people: checked on the face for people.
#[test]
fn a_refusal_names_how_to_forget_the_old_key() {
    let (ana, ben) = (Home::new(), Home::new());
    let (_taken, addr) = nobody();
    let listening = ana.json("ana", &["listen", &addr.to_string()], &[], None);
    listening.event("listening");
    let dialling = ben.connect("ben", addr, &[]);
    dialling.event("connected");
    dialling.send("/verify");
    dialling.event("trust");
    leave((listening, dialling));
    let eve = Home::new().json("ana", &["listen", &addr.to_string()], &[], None);
    eve.event("listening");
    let mut command: Command = ben.program(&["connect", &addr.to_string(), "--plain"]);
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(4));
    let said = err(&ended);
    assert!(said.lines().all(|line| line.starts_with("--")), "{said}");
    assert!(said.contains("p2pchat peers forget ana"), "{said}");
    assert_eq!(out(&ended), "");
}

#[test]
fn a_lock_held_by_another_program_holds_nobody_up_and_what_is_forgotten_is_said() {
    let (ana, ben) = (Home::new(), Home::new());
    fs::create_dir(ben.data()).unwrap();
    let lock = fs::File::create(ben.data().join("known_peers.lock")).unwrap();
    lock.lock().unwrap();
    let (listening, dialling) = meet(&ana, &ben, &[], &[]);
    let warned = dialling.wait_for(|event| text(event, "text").contains("not remembered"));
    assert!(text(&warned, "text").contains("known_peers.lock"), "{warned}");
    listening.send("hello");
    dialling.message("hello");
    // A verification that cannot be written is an error, and the session goes on.
    dialling.send("/verify");
    assert_eq!(dialling.event("error")["code"], "peers-file");
    lock.unlock().unwrap();
    leave((listening, dialling));
}

#[test]
fn what_another_program_writes_into_the_file_counts_at_once() {
    let (ana, ben) = (Home::new(), Home::new());
    leave(meet(&ana, &ben, &[], &[]));
    // The listener is there before its user renames the peer.
    let listening = ana.listen("ana", &[]);
    assert!(run(&ana, &["peers", "rename", "ben", "benjamin"]).status.success());
    let dialling = ben.connect("ben", listening.addr(), &[]);
    let connected = listening.event("connected");
    assert_eq!((text(&connected, "peer"), text(&connected, "trust")), ("benjamin", "known"));
    leave((listening, dialling));
}
