//! Who may come in: codes, keys, strangers of every kind, and what answers where a peer was expected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions)]
#![allow(clippy::print_stderr, reason = "what a failing test has to say")]

mod support;

use p2pchat::channel::{Mode, Role};
use p2pchat::frame::{Frame, Intent, Refusal};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use support::attacker::{hello, identity, is_refusal};
use support::peer::Stream;
use support::{Attacker, DEADLINE, Home, Peer, meet, nobody, serve, text};

/// One of `ben`'s lines reaches `ana`, then both leave.
fn talk(ana: &mut Peer, ben: &mut Peer) {
    ben.send("it is me");
    ana.message("it is me");
    ben.send("/quit");
    ben.ends_with(0);
    ana.ends_with(0);
}

/// The listener names a stranger in one warning, and takes the right peer afterwards.
fn lives_on(mut ana: Peer, says: &str) {
    let warning = ana.event("warning");
    let said = text(&warning, "text");
    assert!(said.contains("127.0.0.1") && said.contains(says), "{said}");
    let mut ben = Home::new().connect("ben", ana.addr(), &[]);
    talk(&mut ana, &mut ben);
    assert_eq!(ana.all("warning").len(), 1);
}

/// The dialler says once what is wrong.
fn turned_away(mut ben: Peer, code: i32, says: &str) {
    ben.ends_with(code);
    let errors = ben.all("error");
    assert_eq!(errors.len(), 1, "{errors:?}");
    let lines: Vec<_> = text(&errors[0], "text").lines().collect();
    assert!(lines[0].contains(says), "{lines:?}");
}

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

mod strangers {
    use super::*;

    fn knock(ana: &Peer, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(ana.addr()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    /// Reads until the listener hangs up.
    fn is_hung_up_on(mut stream: TcpStream) {
        let ended = stream.read_to_end(&mut Vec::new());
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn a_browser_is_named_and_sent_away() {
        let ana = Home::new().listen("ana", &[]);
        is_hung_up_on(knock(&ana, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        lives_on(ana, "no p2pchat");
    }

    #[test]
    fn a_tls_hello_is_named_and_sent_away() {
        let ana = Home::new().listen("ana", &[]);
        is_hung_up_on(knock(&ana, &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]));
        lives_on(ana, "no p2pchat");
    }

    #[test]
    fn one_that_leaves_at_once_is_named() {
        let ana = Home::new().listen("ana", &[]);
        knock(&ana, b"P2P").shutdown(Shutdown::Both).unwrap();
        lives_on(ana, "closed");
    }

    #[test]
    fn another_version_is_named_and_sent_away() {
        let ana = Home::new().listen("ana", &[]);
        let mut hello = hello(Mode::Open);
        hello[7] = 2;
        is_hung_up_on(knock(&ana, &hello));
        lives_on(ana, "another version");
    }

    #[test]
    fn silence_is_sent_away_in_time() {
        let ana = Home::new().listen("ana", &["--timeout", "1"]);
        is_hung_up_on(knock(&ana, b""));
        lives_on(ana, "says nothing");
    }

    #[test]
    fn dripping_bytes_win_no_time() {
        let ana = Home::new().listen("ana", &["--timeout", "1"]);
        let mut stream = knock(&ana, b"");
        // A whole hello would take more than twice the timeout.
        let sent = hello(Mode::Open).into_iter().take_while(|byte| {
            thread::sleep(Duration::from_millis(100));
            stream.write_all(&[*byte]).is_ok()
        });
        assert!(sent.count() < 28);
        lives_on(ana, "says nothing");
    }

    #[test]
    fn a_hello_and_then_nothing_is_sent_away_in_time() {
        let ana = Home::new().listen("ana", &["--timeout", "1"]);
        is_hung_up_on(knock(&ana, &hello(Mode::Open)));
        lives_on(ana, "silent");
    }

    #[test]
    fn the_length_of_a_message_and_then_nothing_is_sent_away_in_time() {
        let ana = Home::new().listen("ana", &["--timeout", "1"]);
        is_hung_up_on(knock(&ana, &[&hello(Mode::Open)[..], &[0, 32]].concat()));
        lives_on(ana, "silent");
    }

    #[test]
    fn a_handshake_and_then_nothing_is_sent_away_in_time() {
        let ana = Home::new().listen("ana", &["--timeout", "1"]);
        let mut stranger = Attacker::dial(ana.addr(), &identity(), None).unwrap();
        assert_eq!(stranger.read(), None);
        lives_on(ana, "silent");
    }

    #[test]
    fn a_record_length_and_nothing_more_is_sent_away_in_time() {
        let ana = Home::new().listen("ana", &["--timeout", "1"]);
        let mut stranger = Attacker::dial(ana.addr(), &identity(), None).unwrap();
        stranger.stream.write_all(&[0, 40]).unwrap();
        assert_eq!(stranger.read(), None);
        lives_on(ana, "silent");
    }

    #[test]
    fn a_frame_that_is_no_greeting_is_sent_away() {
        let ana = Home::new().listen("ana", &[]);
        let mut stranger = Attacker::dial(ana.addr(), &identity(), None).unwrap();
        stranger.send(&Frame::Ping(1)).unwrap();
        assert_eq!(stranger.read(), None);
        lives_on(ana, "something else");
    }

    #[test]
    fn two_hundred_silent_strangers_are_no_hindrance() {
        let mut ana = Home::new().listen("ana", &[]);
        let silent: Vec<_> = (0..100).map(|_| knock(&ana, b"")).collect();
        let greeted: Vec<_> = (0..100).map(|_| knock(&ana, &hello(Mode::Open))).collect();
        let mut ben = Home::new().connect("ben", ana.addr(), &[]);
        talk(&mut ana, &mut ben);
        drop((silent, greeted));
    }

    #[test]
    fn more_strangers_than_there_is_room_for_are_no_hindrance() {
        let mut ana = Home::new().listen("ana", &[]);
        let silent: Vec<_> = (0..400).map(|_| knock(&ana, b"P2PCHAT")).collect();
        let mut ben = Home::new().connect("ben", ana.addr(), &[]);
        talk(&mut ana, &mut ben);
        drop(silent);
    }

    #[test]
    fn strangers_come_while_two_talk() {
        let (mut ana, mut ben) = meet(&[], &[]);
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1], b"\0\0\0\0\0\0\0\0"] {
            is_hung_up_on(knock(&ana, bytes));
        }
        ana.event_nth(3, "warning");
        talk(&mut ana, &mut ben);
        assert!(ben.all("lost").is_empty());
    }

    #[test]
    fn words_about_strangers_are_few() {
        let mut ana = Home::new().listen("ana", &[]);
        for _ in 0..50 {
            is_hung_up_on(knock(&ana, b"x"));
        }
        let mut ben = Home::new().connect("ben", ana.addr(), &[]);
        talk(&mut ana, &mut ben);
        assert!((1..=10).contains(&ana.all("warning").len()), "{}", ana.all("warning").len());
    }
}

mod what_answers {
    use super::*;

    fn dial(addr: SocketAddr, options: &[&str]) -> Peer {
        Home::new().connect("ben", addr, options)
    }

    #[test]
    fn a_web_server_is_no_p2pchat() {
        let addr = serve(|mut stream| {
            let _ = stream.read(&mut [0; 1_024])?;
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html></html>")
        });
        turned_away(dial(addr, &[]), 3, "no p2pchat");
    }

    #[test]
    fn a_silent_server_is_left_in_time() {
        let addr = serve(|mut stream| stream.read_to_end(&mut Vec::new()).map(drop));
        turned_away(dial(addr, &["--timeout", "1"]), 3, "says nothing");
    }

    #[test]
    fn a_server_that_drips_is_left_in_time() {
        let addr = serve(|mut stream| {
            hello(Mode::Open).iter().try_for_each(|byte| {
                thread::sleep(Duration::from_millis(100));
                stream.write_all(&[*byte])
            })
        });
        turned_away(dial(addr, &["--timeout", "1"]), 3, "says nothing");
    }

    #[test]
    fn one_that_closes_at_once_is_named() {
        turned_away(dial(serve(|stream| stream.shutdown(Shutdown::Both)), &[]), 3, "closed");
    }

    #[test]
    fn another_version_is_named() {
        let addr = serve(|mut stream| {
            let mut hello = hello(Mode::Open);
            hello[7] = 9;
            stream.write_all(&hello)?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
        turned_away(dial(addr, &[]), 3, "another version");
    }

    #[test]
    fn a_mirror_is_the_dialler_itself() {
        let addr = serve(|stream| io::copy(&mut &stream, &mut &stream).map(drop));
        turned_away(dial(addr, &[]), 3, "itself");
    }

    #[test]
    fn nobody_is_named_with_a_hint() {
        let (_taken, addr) = nobody();
        turned_away(dial(addr, &[]), 3, "cannot connect");
    }

    #[test]
    fn a_handshake_and_then_nothing_is_left_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ben = dial(listener.local_addr().unwrap(), &["--timeout", "1"]);
        let mut silent = Attacker::shake(listener.accept().unwrap().0, Role::Responder, &identity(), None).unwrap();
        assert!(matches!(silent.read(), Some(Frame::Greeting(_))));
        ben.ends_with(3);
        assert_eq!(ben.all("error").len(), 1);
    }
}

mod company {
    use super::*;

    #[test]
    fn a_third_caller_hears_busy() {
        let (mut ana, mut ben) = meet(&[], &[]);
        turned_away(Home::new().connect("eve", ana.addr(), &[]), 3, "busy");
        talk(&mut ana, &mut ben);
        assert_eq!(ana.all("connected").len(), 1);
    }

    #[test]
    fn a_second_terminal_of_the_same_user_hears_busy_too() {
        let mut ana = Home::new().listen("ana", &[]);
        let home = Home::new();
        let mut ben = home.connect("ben", ana.addr(), &[]);
        ben.event("connected");
        home.connect("ben", ana.addr(), &[]).ends_with(3);
        talk(&mut ana, &mut ben);
    }

    #[test]
    fn keep_takes_the_next_peer() {
        let mut ana = Home::new().listen("ana", &["--keep"]);
        for n in 1..=3 {
            let mut ben = Home::new().connect(&format!("ben{n}"), ana.addr(), &[]);
            ben.send("it is me");
            assert_eq!(ana.event_nth(n, "message")["from"], format!("ben{n}"));
            ben.send("/quit");
            ben.ends_with(0);
            ana.event_nth(n, "bye");
        }
        let mut last = Home::new().connect("last", ana.addr(), &[]);
        last.event("connected");
        ana.event_nth(4, "connected");
        ana.send("/quit");
        ana.ends_with(0);
        last.ends_with(0);
    }

    #[test]
    fn keep_asks_each_next_peer_for_the_code() {
        let ana = Home::new().listen("ana", &["--keep", "--code=right"]);
        for n in 1..=2 {
            let mut ben = Home::new().connect("ben", ana.addr(), &["--code=right"]);
            ana.event_nth(n, "connected");
            ben.send("/quit");
            ben.ends_with(0);
            ana.event_nth(n, "bye");
            Home::new().connect("eve", ana.addr(), &[]).ends_with(4);
        }
    }

    #[test]
    fn keep_outlives_a_peer_that_vanishes() {
        let mut ana = Home::new().listen("ana", &["--keep", "--reconnect", "0"]);
        let mut ben = Home::new().connect("ben", ana.addr(), &[]);
        ben.event("connected");
        ben.kill();
        ana.event("lost");
        let next = Home::new().connect("next", ana.addr(), &["--wait"]);
        next.send("here");
        ana.message("here");
        assert!(ana.is_running());
    }

    #[test]
    fn two_programs_of_one_user_talk_to_each_other() {
        let home = Home::new();
        let mut ana = home.listen("ana", &[]);
        let mut ben = home.connect("ben", ana.addr(), &[]);
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

/// Who shook hands honestly and then breaks the rules is at fault, and named so.
mod rule_breakers {
    use super::*;

    fn breaks(says: &str, act: impl FnOnce(&mut Attacker)) {
        let mut ana = Home::new().listen("ana", &["--reconnect", "60"]);
        let mut eve = Attacker::meet(ana.addr(), "eve");
        act(&mut eve);
        eve.read_to_end();
        ana.ends_with(1);
        let error = ana.event("error");
        assert_eq!(error["code"], "protocol");
        assert!(text(&error, "text").contains(says), "{error}");
    }

    #[test]
    fn frames_of_no_kind() {
        breaks("unknown kind", |eve| eve.send_bytes(&[0x7f, 1, 2, 3]));
    }

    #[test]
    fn frames_that_are_cut_short() {
        breaks("too short", |eve| eve.send_bytes(&[0x12, 0, 0]));
    }

    #[test]
    fn frames_with_more_behind_them() {
        breaks("trailing", |eve| eve.send_bytes(&[0x12, 0, 0, 0, 0, 0, 0, 0, 0, 9]));
    }

    #[test]
    fn lines_over_the_limit() {
        let line = [&[0x20][..], &1_u64.to_be_bytes(), &[0], "x".repeat(64_001).as_bytes()].concat();
        breaks("64001", |eve| eve.send_bytes(&line));
    }

    #[test]
    fn lines_that_are_not_utf8() {
        let line = [&[0x20][..], &1_u64.to_be_bytes(), &[0, 0xff, 0xfe]].concat();
        breaks("UTF-8", |eve| eve.send_bytes(&line));
    }

    #[test]
    fn numbers_that_leave_a_gap() {
        let line = [&[0x20][..], &2_u64.to_be_bytes(), b"\0x"].concat();
        breaks("frame 2 where 1", |eve| eve.send_bytes(&line));
    }

    #[test]
    fn acknowledgements_of_what_was_never_sent() {
        breaks("acknowledged", |eve| eve.send(&Frame::Ack(1)).unwrap());
    }

    #[test]
    fn a_second_greeting() {
        breaks("greeting", |eve| eve.send(&support::attacker::greeting(Intent::New, [1; 16], "eve")).unwrap());
    }

    #[test]
    fn resuming_a_session_that_never_was_is_refused() {
        let mut ana = Home::new().listen("ana", &[]);
        let mut eve = Attacker::dial(ana.addr(), &identity(), None).unwrap();
        let answer = eve.greet(Intent::Resume, [7; 16], "eve");
        assert!(is_refusal(answer.as_ref(), Refusal::NoSuchSession), "{answer:?}");
        let mut ben = Home::new().connect("ben", ana.addr(), &[]);
        talk(&mut ana, &mut ben);
    }
}
