//! Who knocks: strangers of every kind, a third caller, the next one; and what answers where a peer was expected.

use crate::support::attacker::{greeting, hello, identity};
use crate::support::{Attacker, DEADLINE, Home, Peer, lives_on, meet, nobody, serve, talk, text, turned_away};
use p2pchat::channel::Mode;
use p2pchat::protocol::frame::{ByeReason, Control, Frame, Intent};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

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
    fn what_is_no_hello_is_named_and_sent_away() {
        let mut other_version = hello(Mode::Open);
        other_version[7] = 2;
        let cases: [(&[u8], &str); 3] = [
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "no p2pchat"),
            (&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], "no p2pchat"),
            (&other_version, "another version"),
        ];
        for (bytes, says) in cases {
            let ana = Home::new().listen("ana", &[]);
            is_hung_up_on(knock(&ana, bytes));
            lives_on(ana, says);
        }
        let ana = Home::new().listen("ana", &[]);
        knock(&ana, b"P2P").shutdown(Shutdown::Both).unwrap();
        lives_on(ana, "closed");
    }

    #[test]
    fn who_falls_silent_is_sent_away_in_time() {
        let hello = hello(Mode::Open);
        let listen = || Home::new().listen("ana", &["--timeout", "1"]);
        let early = [(vec![], "says nothing"), (hello.to_vec(), "silent"), ([&hello[..], &[0, 32]].concat(), "silent")];
        let early = early.map(|(bytes, says)| {
            let ana = listen();
            (knock(&ana, &bytes), ana, says)
        });
        let late = [&[][..], &[0, 40]].map(|record| {
            let ana = listen();
            let mut stranger = Attacker::dial(ana.addr(), &identity(), None).unwrap();
            stranger.stream.write_all(record).unwrap();
            (stranger.stream, ana, "silent")
        });
        for (stranger, ana, says) in early.into_iter().chain(late) {
            is_hung_up_on(stranger);
            lives_on(ana, says);
        }
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
    fn a_frame_that_is_no_greeting_is_sent_away() {
        let ana = Home::new().listen("ana", &[]);
        let mut stranger = Attacker::dial(ana.addr(), &identity(), None).unwrap();
        stranger.send(&Frame::Ping(1)).unwrap();
        assert_eq!(stranger.read(), None);
        lives_on(ana, "something else");
    }

    #[test]
    fn more_strangers_than_there_is_room_for_are_no_hindrance() {
        // None of them is sent away for its silence meanwhile.
        let mut ana = Home::new().listen("ana", &["--timeout", "600"]);
        let silent: Vec<_> = (0..200).map(|_| knock(&ana, b"P2PCHAT")).collect();
        let greeted: Vec<_> = (0..100).map(|_| knock(&ana, &hello(Mode::Open))).collect();
        let mut ben = Home::new().connect("ben", ana.addr(), &[]);
        talk(&mut ana, &mut ben);
        drop((silent, greeted));
    }
}

mod what_answers {
    use super::*;

    fn dial(addr: SocketAddr, options: &[&str]) -> Peer {
        Home::new().connect("ben", addr, options)
    }

    #[test]
    fn what_is_no_peer_is_named_with_a_hint() {
        let web = serve(|mut stream| {
            let _ = stream.read(&mut [0; 1_024])?;
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html></html>")
        });
        let greets = serve(|mut stream| {
            stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n")?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
        let another = serve(|mut stream| {
            let mut hello = hello(Mode::Open);
            hello[7] = 9;
            stream.write_all(&hello)?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
        let drips = serve(|mut stream| {
            hello(Mode::Open).iter().try_for_each(|byte| {
                thread::sleep(Duration::from_millis(100));
                stream.write_all(&[*byte])
            })
        });
        let (_taken, nobody) = nobody();
        for (addr, timeout, says) in [
            (web, "60", "no p2pchat"),
            (greets, "2", "no p2pchat"),
            (serve(|mut stream| stream.read_to_end(&mut Vec::new()).map(drop)), "1", "says nothing"),
            (drips, "1", "says nothing"),
            (serve(|stream| stream.shutdown(Shutdown::Both)), "60", "closed"),
            (another, "60", "another version"),
            (serve(|stream| io::copy(&mut &stream, &mut &stream).map(drop)), "60", "itself"),
            (nobody, "60", "cannot connect"),
        ] {
            turned_away(dial(addr, &["--timeout", timeout]), 3, says);
        }
    }

    #[test]
    fn a_handshake_and_then_nothing_is_left_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ben = dial(listener.local_addr().unwrap(), &["--timeout", "1"]);
        let _silent = Attacker::accept(&listener, &identity());
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
    fn keep_asks_each_next_peer_for_the_code() {
        let ana = Home::new().listen("ana", &["--keep", "--code=right"]);
        for n in 1..=2 {
            let mut ben = Home::new().connect("ben", ana.addr(), &["--code=right"]);
            ana.event_nth(n, "connected");
            ben.event("connected");
            ben.send("/quit");
            ben.ends_with(0);
            ana.event_nth(n, "bye");
            Home::new().connect("eve", ana.addr(), &[]).ends_with(4);
        }
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
    fn frames_against_the_rules_end_the_session_as_the_peer_s_fault() {
        let line = |seq: u64, text: &[u8]| [&[0x20][..], &seq.to_be_bytes(), &[0], text].concat();
        breaks("unknown kind", |eve| eve.send_bytes(&[0x7f, 1, 2, 3]));
        breaks("too short", |eve| eve.send_bytes(&[0x12, 0, 0]));
        breaks("trailing", |eve| eve.send_bytes(&[0x12, 0, 0, 0, 0, 0, 0, 0, 0, 9]));
        breaks("64001", |eve| eve.send_bytes(&line(1, "x".repeat(64_001).as_bytes())));
        breaks("UTF-8", |eve| eve.send_bytes(&line(1, &[0xff, 0xfe])));
        breaks("frame 2 where 1", |eve| eve.send_bytes(&line(2, b"x")));
        breaks("acknowledged", |eve| eve.send(&Frame::Ack(1)).unwrap());
        breaks("control", |eve| {
            eve.control(Control::Bye { reason: ByeReason::Quit }).unwrap();
            eve.control(Control::Line { action: false, text: "after the goodbye".into() }).unwrap();
        });
        breaks("greeting", |eve| eve.send(&greeting(Intent::New, [1; 16], "eve")).unwrap());
    }
}
