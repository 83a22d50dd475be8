//! Invites: how they are given, whom they let in, what becomes of them, and peers that are dialled by their names.

#[cfg(unix)]
use crate::support::Pty;
use crate::support::attacker::identity;
use crate::support::{Attacker, Home, Peer, nobody, quit, text, turned_away};
use p2pchat::channel::Role;
use p2pchat::net::invite::Invite;
use std::net::{SocketAddr, TcpListener};

/// `listen --invite`, and what it gives out.
fn inviting(home: &Home, options: &[&str]) -> (Peer, String) {
    let listening = home.listen("ana", &[&["--invite"], options].concat());
    let invite = invite_of(&listening, 1);
    (listening, invite)
}

fn invite_of(listening: &Peer, nth: usize) -> String {
    text(&listening.event_nth(nth, "listening"), "invite").to_owned()
}

fn dial(home: &Home, whom: &str) -> Peer {
    home.json("ben", &["connect", whom], &[], None)
}

#[test]
fn an_invite_is_taken_as_argument_from_the_input_and_from_the_environment() {
    for way in ["argument", "input", "environment"] {
        let (ana, ben) = (Home::new(), Home::new());
        let (mut listening, invite) = inviting(&ana, &[]);
        let mut dialling = match way {
            "argument" => dial(&ben, &invite),
            "input" => {
                let dialling = dial(&ben, "-");
                dialling.send(&invite);
                dialling
            }
            _ => ben.start_in("ben", &[("P2PCHAT_INVITE", &invite)], &["connect", "--json"]),
        };
        for peer in [&listening, &dialling] {
            let connected = peer.event("connected");
            assert_eq!(connected["trust"], "verified", "{way}");
            assert_eq!(connected.get("verify"), None, "{way}");
        }
        dialling.send("after the invite");
        listening.message("after the invite");
        quit(&mut listening, &mut dialling);
    }
}

#[test]
fn strangers_are_kept_out_and_do_not_kill_an_invite() {
    let (mut listening, invite) = inviting(&Home::new(), &[]);
    turned_away(Home::new().connect("eve", listening.addr(), &[]), 4, "code");
    for secret in ["a", "b", "c", "d"] {
        let code = format!("--code={}", secret.repeat(16));
        Home::new().connect("eve", listening.addr(), &[&code]).ends_with(4);
    }
    let mut dialling = dial(&Home::new(), &invite);
    dialling.event("connected");
    assert_eq!(listening.event("connected")["trust"], "verified");
    quit(&mut listening, &mut dialling);
}

#[test]
fn an_invite_works_once_and_keep_makes_another() {
    let (listening, invite) = inviting(&Home::new(), &["--keep"]);
    let mut dialling = dial(&Home::new(), &invite);
    dialling.event("connected");
    turned_away(dial(&Home::new(), &invite), 4, "not good any more");
    dialling.send("/quit");
    dialling.ends_with(0);
    let fresh = invite_of(&listening, 2);
    assert_ne!(fresh, invite);
    turned_away(dial(&Home::new(), &invite), 4, "not good any more");
    dial(&Home::new(), &fresh).event("connected");
    assert_eq!(listening.event_nth(2, "connected")["trust"], "verified");
}

#[test]
#[cfg(unix)] // a pty
fn who_comes_without_the_invite_is_shown_so() {
    let mut listening = Pty::start(&Home::new(), &["listen", "127.0.0.1:0", "--qr"]);
    listening.shows("p2pchat connect p2pchat:");
    listening.shows("▀");
    let dialling = Home::new().connect("ben", listening.addr(), &[]);
    assert_eq!(dialling.event("connected")["trust"], "new");
    listening.shows("new, NOT by the invite");
    listening.shows("verification number");
    listening.keys("/quit\r");
    assert_eq!(listening.exit_code(), 0);
}

#[test]
fn a_listener_that_knows_the_secret_and_has_another_key_is_named() {
    let (mut listening, invite) = inviting(&Home::new(), &[]);
    let addr = listening.addr();
    listening.kill();
    let hostile = TcpListener::bind(addr).unwrap();
    let code = Invite::parse(&invite).unwrap().code().display().to_owned();
    let dialling = dial(&Home::new(), &invite);
    let (stream, _) = hostile.accept().unwrap();
    let _ = Attacker::shake(stream, Role::Responder, &identity(), Some(&code));
    turned_away(dialling, 4, "SOMEBODY ELSE ANSWERS who knows the secret of the invite");
}

#[test]
fn addresses_given_with_at_come_first() {
    const AT: [&str; 2] = ["203.0.113.7:41000", "home.example:5000"];
    let (listening, invite) = inviting(&Home::new(), &["--at", AT[0], "--at", AT[1]]);
    let addrs = listening.event("listening")["addrs"].clone();
    assert_eq!([&addrs[0], &addrs[1]], AT);
    let invite = Invite::parse(&invite).unwrap();
    let named: Vec<_> = invite.candidates().iter().take(2).map(ToString::to_string).collect();
    assert_eq!(named, AT);
}

/// Ana at an address of her own, whom ben met there by an invite.
fn met_at(addr: SocketAddr, ana: &Home, ben: &Home) {
    let mut listening = ana.listen_at(&addr.to_string(), "ana", &["--invite"]);
    let mut dialling = dial(ben, &invite_of(&listening, 1));
    dialling.event("connected");
    quit(&mut listening, &mut dialling);
}

#[test]
fn a_verified_peer_is_dialled_by_its_name_and_only_its_key_is_taken() {
    let (ana, ben) = (Home::new(), Home::new());
    let (_taken, addr) = nobody();
    met_at(addr, &ana, &ben);
    let at = addr.to_string();
    let mut listening = ana.listen_at(&at, "ana", &[]);
    let mut dialling = dial(&ben, "ana");
    assert_eq!(dialling.event("connected")["trust"], "verified");
    quit(&mut listening, &mut dialling);
    let eve = Home::new().listen_at(&at, "ana", &[]);
    dial(&ben, "ana").ends_with(4);
    assert!(eve.all("connected").is_empty());
}

#[test]
fn a_name_that_is_a_host_too_is_not_guessed_at() {
    let (ana, ben) = (Home::new(), Home::new());
    let (_taken, addr) = nobody();
    met_at(addr, &ana, &ben);
    assert_eq!(ben.run(&["peers", "rename", "ana", "localhost"]).code, Some(0));
    let refused = ben.run(&["connect", "localhost"]);
    assert!(refused.code == Some(2) && refused.err.contains("--peer localhost"), "{refused:?}");
    let mut listening = ana.listen_at(&addr.to_string(), "ana", &[]);
    let mut dialling = ben.json("ben", &["connect"], &["--peer", "localhost"], None);
    assert_eq!(dialling.event("connected")["trust"], "verified");
    quit(&mut listening, &mut dialling);
}
