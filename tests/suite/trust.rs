//! Whom to trust: codes that two people share, keys that are known and verified, and somebody who sits between the two.

use crate::support::attacker::identity;
use crate::support::peer::Stream;
use crate::support::{Attacker, DEADLINE, Home, Peer, lives_on, nobody, serve, talk, text, turned_away};
use p2pchat::channel::Role;
use std::net::SocketAddr;
use std::{io, thread};

mod codes {
    use super::*;

    #[test]
    fn the_right_code_brings_two_together_and_verifies_them() {
        let mut ana = Home::new().listen("ana", &["--code=42-otter-plum"]);
        let mut ben = Home::new().connect("ben", ana.addr(), &["--code= 42 Otter plum"]);
        for peer in [&ana, &ben] {
            let connected = peer.event("connected");
            assert_eq!(connected["trust"], "verified");
            assert_eq!(connected.get("verify"), None);
        }
        talk(&mut ana, &mut ben);
    }

    #[test]
    fn a_code_that_listen_makes_is_told_and_works_from_the_environment() {
        let ana = Home::new().listen("ana", &["--code"]);
        let code = text(&ana.event("listening"), "code").to_owned();
        assert!(code.split('-').count() >= 3 && code.split('-').next().unwrap().parse::<u8>().is_ok(), "{code}");
        let home = Home::new();
        let addr = ana.addr().to_string();
        let mut ben = home.program(&["connect", &addr]).env("P2PCHAT_CODE", &code).spawn().unwrap();
        assert_eq!(ana.event("connected")["trust"], "verified");
        drop(ben.stdin.take());
        assert!(ben.wait().unwrap().success());
    }

    #[test]
    fn a_wrong_code_ends_the_dialler_and_leaves_the_listener() {
        let mut ana = Home::new().listen("ana", &["--code=right"]);
        for wrong in 1..=2 {
            let mut ben = Home::new().connect("ben", ana.addr(), &["--code=wrong"]);
            ben.ends_with(4);
            let error = ben.event("error");
            assert!(text(&error, "text").contains("wrong code"), "{error}");
            assert!(text(&ana.event_nth(wrong, "warning"), "text").contains("wrong code"));
        }
        let mut ben = Home::new().connect("ben", ana.addr(), &["--code=right"]);
        talk(&mut ana, &mut ben);
    }

    #[test]
    fn the_third_wrong_code_ends_the_listener() {
        let mut ana = Home::new().listen("ana", &["--code=right"]);
        for _ in 0..3 {
            Home::new().connect("ben", ana.addr(), &["--code=wrong"]).ends_with(4);
        }
        ana.ends_with(4);
        assert_eq!(ana.event("error")["code"], "code-dead");
    }

    #[test]
    fn tries_at_once_are_three_together() {
        let mut ana = Home::new().listen("ana", &["--code=right"]);
        let addr = ana.addr();
        let tries: Vec<_> = (0..8)
            .map(|n| thread::spawn(move || Attacker::dial(addr, &identity(), Some(&format!("guess{n}"))).is_err()))
            .collect();
        assert!(tries.into_iter().all(|tried| tried.join().unwrap()));
        ana.ends_with(4);
        let wrong = ana.all("warning").iter().filter(|warning| text(warning, "text").contains("wrong code")).count();
        assert!(wrong <= 3, "{wrong} guesses were checked");
    }

    #[test]
    fn a_dialler_with_a_code_guesses_once_and_never_again() {
        let (told, guesses) = std::sync::mpsc::channel();
        let addr = serve(move |stream| {
            let outcome = Attacker::shake(stream, Role::Responder, &identity(), Some("a guess"));
            told.send(outcome.is_ok()).map_err(io::Error::other)
        });
        let mut ben = Home::new().connect("ben", addr, &["--code=right", "--wait"]);
        ben.ends_with(4);
        assert_eq!(guesses.recv_timeout(DEADLINE), Ok(false));
        assert!(guesses.try_recv().is_err(), "it dialled again");
    }

    #[test]
    fn a_listener_with_a_code_tells_an_open_dialler_so() {
        let mut ana = Home::new().listen("ana", &["--code=right"]);
        turned_away(Home::new().connect("ben", ana.addr(), &[]), 4, "code");
        ana.event("warning");
        let mut ben = Home::new().connect("ben", ana.addr(), &["--code=right"]);
        talk(&mut ana, &mut ben);
    }

    #[test]
    fn an_open_listener_tells_a_dialler_with_a_code_so() {
        let ana = Home::new().listen("ana", &[]);
        turned_away(Home::new().connect("ben", ana.addr(), &["--code=right"]), 4, "code");
        lives_on(ana, "code");
    }

    #[test]
    fn mixed_modes_are_no_try_of_the_code() {
        let mut ana = Home::new().listen("ana", &["--code=right"]);
        for _ in 0..4 {
            Home::new().connect("ben", ana.addr(), &[]).ends_with(4);
        }
        let mut ben = Home::new().connect("ben", ana.addr(), &["--code=right"]);
        talk(&mut ana, &mut ben);
    }
}

mod keys {
    use super::*;

    /// They meet, `ben` at the same address each time; `options` are his.
    fn again(ana: &Home, ben: &Home, at: Option<SocketAddr>, options: &[&str]) -> (Peer, Peer) {
        let listening = match at {
            None => ana.listen("ana", &[]),
            Some(addr) => {
                let peer = ana.json("ana", &["listen", &addr.to_string()], &[], None);
                peer.event("listening");
                peer
            }
        };
        let dialling = ben.connect("ben", listening.addr(), options);
        (listening, dialling)
    }

    #[test]
    fn a_second_meeting_is_known_and_after_verify_verified() {
        let (ana, ben) = (Home::new(), Home::new());
        for (trust, verify) in [("new", false), ("known", true), ("verified", false)] {
            let (mut listening, mut dialling) = again(&ana, &ben, None, &[]);
            assert_eq!(dialling.event("connected")["trust"], trust);
            if verify {
                dialling.send("/verify");
                let marked = dialling.event("trust");
                assert_eq!([&marked["peer"], &marked["trust"]], ["ana", "verified"]);
            }
            talk(&mut listening, &mut dialling);
        }
    }

    #[test]
    fn a_code_verifies_for_good() {
        let (ana, ben) = (Home::new(), Home::new());
        let mut listening = ana.listen("ana", &["--code=right"]);
        let mut dialling = ben.connect("ben", listening.addr(), &["--code=right"]);
        talk(&mut listening, &mut dialling);
        let (mut listening, mut dialling) = again(&ana, &ben, None, &[]);
        assert_eq!(listening.event("connected")["trust"], "verified");
        assert_eq!(dialling.event("connected")["trust"], "verified");
        talk(&mut listening, &mut dialling);
    }

    #[test]
    fn peer_demands_the_key_of_a_known_peer() {
        let (ana, ben) = (Home::new(), Home::new());
        let (mut listening, mut dialling) = again(&ana, &ben, None, &[]);
        talk(&mut listening, &mut dialling);
        let (mut listening, mut dialling) = again(&ana, &ben, None, &["--peer", "ana"]);
        talk(&mut listening, &mut dialling);
        let (eve, mut dialling) = again(&Home::new(), &ben, None, &["--peer", "ana"]);
        dialling.ends_with(4);
        let error = dialling.event("error");
        assert!(text(&error, "text").contains("peers forget ana"), "{error}");
        assert!(eve.all("connected").is_empty());
    }

    #[test]
    fn a_listener_demands_a_key_too() {
        let (ana, ben) = (Home::new(), Home::new());
        let (mut listening, mut dialling) = again(&ana, &ben, None, &[]);
        talk(&mut listening, &mut dialling);
        let mut listening = ana.listen("ana", &["--peer", "ben"]);
        let mut eve = Home::new().connect("ben", listening.addr(), &[]);
        assert_ne!(eve.exit_code(), 0);
        listening.event("warning");
        let mut dialling = ben.connect("ben", listening.addr(), &[]);
        talk(&mut listening, &mut dialling);
        assert_eq!(listening.all("connected").len(), 1);
    }

    #[test]
    fn another_key_at_the_address_of_a_verified_peer_is_refused() {
        let (ana, ben) = (Home::new(), Home::new());
        let (_taken, addr) = nobody();
        let (mut listening, mut dialling) = again(&ana, &ben, Some(addr), &[]);
        dialling.send("/verify");
        dialling.event("trust");
        talk(&mut listening, &mut dialling);
        let (eve, mut dialling) = again(&Home::new(), &ben, Some(addr), &[]);
        dialling.ends_with(4);
        let error = dialling.event("error");
        assert!(text(&error, "text").contains("another key"), "{error}");
        assert!(text(&error, "text").contains("peers forget ana"), "{error}");
        assert!(eve.all("connected").is_empty());
        drop(eve);
        let mut forget = ben.start("forget", &["peers", "forget", "ana"]);
        forget.ends_with(0);
        let (mut listening, mut dialling) = again(&Home::new(), &ben, Some(addr), &[]);
        talk(&mut listening, &mut dialling);
    }

    #[test]
    fn another_key_at_the_address_of_a_known_peer_is_a_loud_warning() {
        let (ana, ben) = (Home::new(), Home::new());
        let (_taken, addr) = nobody();
        let (mut listening, mut dialling) = again(&ana, &ben, Some(addr), &[]);
        talk(&mut listening, &mut dialling);
        let (mut listening, mut dialling) = again(&Home::new(), &ben, Some(addr), &[]);
        let warning = dialling.event("warning");
        assert!(text(&warning, "text").contains("ANOTHER KEY"), "{warning}");
        assert_eq!(dialling.event("connected")["trust"], "new");
        talk(&mut listening, &mut dialling);
    }

    #[test]
    fn a_name_that_another_peer_has_becomes_a_label_of_its_own() {
        let ana = Home::new();
        for (n, label) in ["root", "root (2)"].into_iter().enumerate() {
            let mut listening = ana.listen("ana", &[]);
            let mut dialling = Home::new().connect("root", listening.addr(), &[]);
            assert_eq!(listening.event("connected")["peer"], label);
            if n == 1 {
                listening.event("warning");
            }
            talk(&mut listening, &mut dialling);
        }
        let mut list = ana.start("list", &["peers"]);
        list.ends_with(0);
        assert!(list.lines(Stream::Out).iter().any(|line| line.contains("root (2)")));
    }
}

/// Somebody between the two who speaks the protocol to both.
mod a_man_in_the_middle {
    use super::*;

    /// Takes the dialler's connection and makes one of its own to the listener.
    fn between(target: SocketAddr, code: Option<&'static str>) -> SocketAddr {
        serve(move |stream| {
            let key = identity();
            let mut to_dialler = Attacker::shake(stream, Role::Responder, &key, code).map_err(io::Error::other)?;
            let mut to_listener = Attacker::dial(target, &key, code).map_err(io::Error::other)?;
            let greeting = to_dialler.read_opening().map_err(io::Error::other)?;
            to_listener.send(&greeting).map_err(io::Error::other)?;
            let answer = to_listener.read_opening().map_err(io::Error::other)?;
            to_dialler.send(&answer).map_err(io::Error::other)?;
            to_dialler.read_to_end();
            Ok(())
        })
    }

    #[test]
    fn makes_the_two_numbers_differ() {
        let ana = Home::new().listen("ana", &[]);
        let ben = Home::new().connect("ben", between(ana.addr(), None), &[]);
        assert_ne!(ana.event("connected")["verify"], ben.event("connected")["verify"]);
    }

    #[test]
    fn is_refused_where_a_key_is_demanded() {
        let (ana, ben) = (Home::new(), Home::new());
        let mut listening = ana.listen("ana", &[]);
        let mut dialling = ben.connect("ben", listening.addr(), &[]);
        talk(&mut listening, &mut dialling);
        let listening = ana.listen("ana", &[]);
        ben.connect("ben", between(listening.addr(), None), &["--peer", "ana"]).ends_with(4);
        assert!(listening.all("connected").is_empty());
    }

    #[test]
    fn has_one_guess_against_a_code() {
        let ana = Home::new().listen("ana", &["--code=right"]);
        Home::new().connect("ben", between(ana.addr(), Some("guess")), &["--code=right"]).ends_with(4);
        assert!(ana.all("connected").is_empty());
    }
}
