//! `/redial`: the peer of a lost session is somewhere else now.

use super::{gap, meet};
use crate::support::{Cut, Home, Relay, meet_through, quit, text};
use std::net::{Shutdown, TcpListener, TcpStream};

#[test]
fn redial_takes_a_lost_session_to_another_address() {
    let (mut ana, relay, mut ben) = meet(&[], &[]);
    ben.send("/redial 127.0.0.1:1");
    assert!(text(&ben.event("error"), "text").contains("when the connection is lost"));
    gap(&relay, &[&ana, &ben]);
    ana.send("/redial 127.0.0.1:1");
    assert!(text(&ana.event("error"), "text").contains("this side listens"));
    ben.send("to where you went");
    let eve = Home::new().listen("eve", &["--invite"]);
    let listening = eve.event("listening");
    let invite = text(&listening, "invite");
    for (n, (place, says)) in
        [("", "where is your peer now?"), ("h:x", "h:x"), ("abc.onion:1", "Tor"), (invite, "somebody else")]
            .into_iter()
            .enumerate()
    {
        ben.send(&format!("/redial {place}"));
        let error = ben.event_nth(n + 2, "error");
        assert!(text(&error, "text").contains(says), "{error}");
    }
    ben.send(&format!("/redial {}", ana.addr()));
    ana.message("to where you went");
    ana.send("and back");
    ben.message("and back");
    ben.send("/quit");
    // Commands were not done.
    ben.ends_with(6);
    ana.ends_with(6);
    assert_eq!((ana.texts().len(), ben.texts().len()), (1, 1));
    assert!(!ben.event("reconnected").to_string().contains("\"restarted\":true"));
}

#[test]
fn redial_to_where_nobody_answers_says_that_it_tries_and_why_it_failed() {
    let (mut ana, relay, mut ben) = meet(&[], &[]);
    gap(&relay, &[&ana, &ben]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    ben.send(&format!("/redial {nobody}"));
    ben.wait_for(|event| text(event, "text") == format!("dialling {nobody}"));
    ben.wait_for(|event| event["event"] == "warning" && text(event, "text").contains("connection refused"));
    ben.send(&format!("/redial {}", ana.addr()));
    ben.event("reconnected");
    quit(&mut ana, &mut ben);
}

/// Its greeting tells of less than the listener has heard since, which would be a fault of the protocol.
#[test]
fn a_replaced_run_of_the_dialling_thread_ends_before_it_greets() {
    let (mut ana, relay, mut ben) = meet(&[], &["--timeout", "60"]);
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    relay.retarget(gate.local_addr().unwrap());
    relay.cut(Cut::Reset);
    let (mut held, _) = gate.accept().unwrap();
    ben.send(&format!("/redial {}", ana.addr()));
    ben.event("reconnected");
    ben.send("first");
    ana.message("first");
    ana.send("second");
    ben.message("second");
    let mut onwards = TcpStream::connect(ana.addr()).unwrap();
    let (mut back, mut from_ana) = (held.try_clone().unwrap(), onwards.try_clone().unwrap());
    let down = std::thread::spawn(move || drop(std::io::copy(&mut from_ana, &mut back)));
    let _ = std::io::copy(&mut held, &mut onwards);
    let _ = onwards.shutdown(Shutdown::Write);
    down.join().unwrap();
    ben.send("third");
    ana.message("third");
    quit(&mut ana, &mut ben);
    assert_eq!((ana.texts(), ben.texts()), (vec!["first".into(), "third".into()], vec!["second".into()]));
    assert_eq!((ana.all("lost").len(), ben.all("lost").len()), (1, 1));
}

/// It takes its peer back without the code, which may be spent.
#[test]
fn redial_leads_to_a_listener_that_wanted_a_code_or_an_invite() {
    for by_invite in [false, true] {
        let gate = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::to(gate.local_addr().unwrap());
        let at = relay.addr().to_string();
        let options: &[&str] = &["--invite", "--at", &at];
        let ana = Home::new().listen("ana", if by_invite { options } else { &["--code=1-a-b"] });
        let listening = ana.event("listening");
        // What --at says comes first.
        let addr = listening["addrs"][usize::from(by_invite)].as_str().unwrap();
        relay.retarget(addr.parse().unwrap());
        let (whom, code) = if by_invite { (text(&listening, "invite"), "-v") } else { (&*at, "--code=1-a-b") };
        let ben = Home::new().json("ben", &["connect", whom], &[code], None);
        assert_eq!([text(&ana.event("connected"), "trust"), text(&ben.event("connected"), "trust")], ["verified"; 2]);
        gap(&relay, &[&ben]);
        ben.send("to where you went");
        ben.send(&format!("/redial {addr}"));
        ana.message("to where you went");
        for peer in [&ana, &ben] {
            assert!(!peer.event("reconnected").to_string().contains("\"restarted\":true"));
        }
        let (mut ana, mut ben) = (ana, ben);
        quit(&mut ana, &mut ben);
    }
}

#[test]
fn redial_finds_a_listener_that_was_killed_and_started_elsewhere() {
    for (options, by_invite) in [(&[][..], false), (&[], true), (&["--code=1-a-b"], true)] {
        let home = Home::new();
        let (mut ana, relay, ben) = meet_through(Relay::to, (&home, &Home::new()), options, options);
        relay.refuse(true);
        ana.kill();
        ben.event("lost");
        ben.send("to where you went");
        let ana = home.listen("ana", if by_invite { &["--invite"] } else { &[] });
        if by_invite {
            // She lets nobody in without it.
            ben.send(&format!("/redial {}", text(&ana.event("listening"), "invite")));
            assert_eq!(ana.event("connected")["trust"], "verified");
        } else {
            ben.send(&format!("/redial {}", ana.addr()));
        }
        ana.message("to where you went");
        ana.send("and back");
        ben.message("and back");
        // An invite is spent. From now on the key counts, as after any loss.
        ben.wait_for(|event| event["event"] == "reconnected" && event["restarted"] == true);
        let (mut ana, mut ben) = (ana, ben);
        quit(&mut ana, &mut ben);
        assert_eq!((ana.texts(), ben.texts()), (vec!["to where you went".into()], vec!["and back".into()]));
    }
}
