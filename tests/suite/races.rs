//! What crosses on its way: ends with beginnings, goodbyes with offers, signals with what is stuck. Found by a reviewer, each.

use crate::support::attacker::{identity, is_refusal};
use crate::support::{Attacker, Home, is, meet, serve};
use p2pchat::channel::Role;
use p2pchat::protocol::frame::{ByeReason, Control, Frame, Intent, Refusal};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn who_shook_hands_while_the_listener_was_open_still_needs_the_code_for_the_next_session() {
    let (ana, ben) = meet(&["--keep", "--code=right"], &["--code=right"]);
    // During the session the listener is open, for the one who may come back; the greeting is held back until it is over.
    let mut eve = Attacker::dial(ana.addr(), &identity(), None).unwrap();
    ben.send("/quit");
    ana.event("bye");
    // The next to greet is answered after the end of the session before.
    let answer = eve.greet(Intent::New, [9; 16], "eve");
    assert!(matches!(answer, Some(Frame::Refusal(_)) | None), "{answer:?}");
    assert_eq!(ana.all("connected").len(), 1);
}

#[test]
fn a_listener_that_keeps_listening_ends_when_its_user_quits_during_a_gap() {
    let (mut ana, mut ben) = meet(&["--keep"], &[]);
    ben.kill();
    ana.event("lost");
    ana.send("/quit");
    ana.send("/quit");
    assert_eq!(ana.exit_code(), 5);
}

#[test]
fn an_ended_input_stays_ended_for_the_next_session() {
    let mut ana = Home::new().listen("ana", &["--keep", "--stay"]);
    ana.close_input();
    for session in 1..=2 {
        let home = Home::new();
        let file = home.file("f", "x");
        let mut ben = home.connect("ben", ana.addr(), &[]);
        ana.event_nth(session, "connected");
        ben.send(&format!("/send {}", file.display()));
        ben.event("declined");
        ben.send("/quit");
        ben.exit_code();
        ana.event_nth(session, "bye");
    }
}

#[test]
fn a_session_that_ends_as_its_peer_comes_back_is_not_gone_on_with() {
    let ana = Home::new().listen("ana", &["--keep"]);
    let key = identity();
    let mut eve = Attacker::dial(ana.addr(), &key, None).unwrap();
    assert!(matches!(eve.greet(Intent::New, [7; 16], "eve"), Some(Frame::Greeting(_))));
    let mut again = Attacker::dial(ana.addr(), &key, None).unwrap();
    eve.control(Control::Bye { reason: ByeReason::Quit }).unwrap();
    // Its own goodbye shows that it has read ours.
    while !matches!(eve.read(), Some(Frame::Control { control: Control::Bye { .. }, .. })) {}
    let answer = again.greet(Intent::Resume, [7; 16], "eve");
    assert!(matches!(answer, Some(Frame::Refusal(_)) | None), "{answer:?}");
    ana.event("bye");
    let ben = Home::new().connect("ben", ana.addr(), &[]);
    ben.send("the next one");
    ana.message("the next one");
    assert_eq!(ana.all("connected").len(), 2);
}

/// A machine that was set back to an earlier state, as by a snapshot, comes with such a count.
#[test]
fn a_resume_with_a_false_count_is_refused_and_a_new_session_goes_on_with_what_was_left() {
    let ana = Home::new().listen("ana", &[]);
    let key = identity();
    let mut eve = Attacker::dial(ana.addr(), &key, None).unwrap();
    eve.greet(Intent::New, [7; 16], "eve").unwrap();
    ana.send("seen");
    let sent = eve.read_to(|frame| matches!(frame, Frame::Control { control: Control::Line { .. }, .. }));
    let Some(Frame::Control { seq, .. }) = sent else { panic!("{sent:?}") };
    eve.send(&Frame::Ack(seq)).unwrap();
    ana.event("delivered");
    drop(eve);
    ana.event("lost");
    ana.send("not seen");
    for received in [0, seq - 1, 999] {
        let mut eve = Attacker::dial(ana.addr(), &key, None).unwrap();
        eve.received = received;
        let answer = eve.greet(Intent::Resume, [7; 16], "eve");
        assert!(is_refusal(answer.as_ref(), Refusal::NoSuchSession), "{received}: {answer:?}");
    }
    assert_eq!(ana.all("lost").len(), 1);
    let mut eve = Attacker::dial(ana.addr(), &key, None).unwrap();
    eve.greet(Intent::New, [8; 16], "eve").unwrap();
    assert_eq!(ana.event("reconnected")["restarted"], true);
    let again = eve.read_to(|frame| matches!(frame, Frame::Control { control: Control::Line { .. }, .. }));
    assert!(matches!(again, Some(Frame::Control { control: Control::Line { text, .. }, .. }) if text == "not seen"));
}

#[test]
fn a_listener_that_drops_every_connection_at_once_is_not_stormed() {
    let key = Arc::new(identity());
    let addr = serve(move |stream| {
        // Greets properly, and drops the connection.
        let Ok(mut eve) = Attacker::shake(stream, Role::Responder, &key, None) else { return Ok(()) };
        if let Some(Frame::Greeting(greeting)) = eve.read() {
            let _ = eve.send(&Frame::Greeting(greeting));
        }
        Ok(())
    });
    let begun = Instant::now();
    let mut ben = Home::new().connect("ben", addr, &[]);
    ben.event_nth(4, "lost");
    ben.kill();
    // Three times it dialled again, each after a tenth of a second at the least; a busy machine only makes it longer.
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[test]
fn both_may_leave_at_one_moment() {
    for round in 0..12 {
        let (mut ana, mut ben) = meet(&[], &[]);
        for peer in [&ana, &ben] {
            peer.send(&format!("the last line of round {round}"));
        }
        for peer in [&ana, &ben] {
            peer.event("message");
            peer.send("/quit");
        }
        for peer in [&mut ana, &mut ben] {
            peer.ends_with(0);
            assert_eq!((peer.all("delivered").len(), peer.all("undelivered").len()), (1, 0));
            assert_eq!(peer.all("bye").len(), 1);
        }
    }
}

#[test]
fn an_offer_and_lines_that_cross_a_goodbye_make_no_loss() {
    for _ in 0..5 {
        let (mut ana, mut ben) = meet(&["--accept", "always"], &[]);
        ben.offers("f", "x");
        ana.send("/quit");
        for line in 0..5 {
            ben.send(&format!("line {line}"));
        }
        assert_eq!(ana.exit_code(), 0);
        // A file that was asked for is there, or ben is told by 6 that it is not; a session that was over first read no input.
        let code = ben.exit_code();
        let asked = ben.events().iter().any(|event| is(event, "offer") || is(event, "error"));
        assert!(code == 6 || (code == 0 && (!asked || !ben.all("done").is_empty())), "{code}");
        assert!(ana.all("error").is_empty(), "{:?}", ana.all("error"));
    }
}

#[cfg(unix)]
mod signals {
    use super::*;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    #[test]
    fn one_ends_a_program_whose_line_is_not_acknowledged_with_its_own_code() {
        let ends =
            [(&["--keep"][..], Signal::SIGTERM, 143), (&[], Signal::SIGINT, 130)].map(|(options, signal, code)| {
                let (ana, ben) = meet(options, &[]);
                ben.signal(Signal::SIGSTOP);
                ana.send("never read");
                ana.event("sent");
                ana.signal(signal);
                (ana, ben, code)
            });
        // Each waits for its peer first.
        for (mut ana, _ben, code) in ends {
            ana.ends_with(code);
        }
    }

    #[test]
    fn two_end_a_program_whose_output_is_stuck() {
        let ana = Home::new().listen("ana", &[]);
        let home = Home::new();
        // Nobody reads its output, and what comes is more than a pipe takes.
        let mut ben = home.program(&["connect", &ana.addr().to_string(), "--json"]).spawn().unwrap();
        ana.event("connected");
        ana.pour((0..900).map(|n| format!("{n} {}\n", "x".repeat(500)).into_bytes()));
        ana.event_nth(900, "sent");
        let pid = Pid::from_raw(i32::try_from(ben.id()).unwrap());
        // Two of one kind may be taken for one; its code says that it was the second that ended it.
        kill(pid, Signal::SIGINT).unwrap();
        kill(pid, Signal::SIGTERM).unwrap();
        // A program that hangs makes this test hang, and that is its failure.
        assert_eq!(ben.wait().unwrap().code(), Some(143));
    }

    #[test]
    fn the_last_line_before_an_ended_input_reaches_a_peer_that_was_restarted() {
        let mut ana = Home::new().listen("ana", &[]);
        let home = Home::new();
        let mut ben = home.connect("ben", ana.addr(), &[]);
        ana.event("connected");
        ben.event("connected");
        ben.signal(Signal::SIGSTOP);
        ana.send("hi");
        ana.event("sent");
        ana.close_input();
        ben.kill();
        ana.event("lost");
        let again = home.connect("ben", ana.addr(), &[]);
        again.message("hi");
        ana.ends_with(0);
    }
}
