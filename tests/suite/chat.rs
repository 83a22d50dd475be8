//! Two people talk: lines of every length, both ways at once, in the frontend for people and the one for scripts.

use crate::support::peer::Stream;
use crate::support::{DEADLINE, Home, Peer, is, meet, quit, text};
use serde_json::Value;
use std::sync::mpsc;
use std::time::Duration;

/// The longest line, in bytes.
const LONGEST: usize = 64_000;

#[test]
fn the_address_comes_before_the_warning_that_anyone_may_send_files() {
    let ana = Home::new().listen("ana", &["--accept", "always"]);
    assert!(
        ana.event("warning")["text"].as_str().unwrap().starts_with("anyone who connects first may send files here")
    );
    let names: Vec<_> = ana.events().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(names, ["listening", "warning"]);
}

#[test]
fn both_sides_show_the_same_number_and_hear_each_other_under_their_names() {
    let (ana, ben) = meet(&[], &[]);
    let (here, there) = (ana.event("connected"), ben.event("connected"));
    assert_eq!(here["verify"], there["verify"]);
    let number = text(&here, "verify");
    assert_eq!(number.len(), "12345 67890".len());
    assert!(number.chars().enumerate().all(|(place, c)| if place == 5 { c == ' ' } else { c.is_ascii_digit() }));
    assert_ne!(here["fingerprint"], there["fingerprint"]);
    assert_eq!([&here["peer"], &there["peer"]], ["ben", "ana"]);
    assert_eq!([&here["trust"], &there["trust"]], ["new", "new"]);
    ana.send("hello ben");
    ben.send("hello ana");
    assert_eq!(ben.message("hello ben")["from"], "ana");
    assert_eq!(ana.message("hello ana")["from"], "ben");
}

#[test]
fn a_line_is_sent_and_then_delivered_under_one_id() {
    let (ana, ben) = meet(&[], &[]);
    ben.send("one");
    ben.send("two");
    for (n, said) in ["one", "two"].into_iter().enumerate() {
        let sent = ben.event_nth(n + 1, "sent");
        assert_eq!(sent["text"], said);
        assert_eq!(ben.event_nth(n + 1, "delivered")["id"], sent["id"]);
    }
    ana.message("two");
    assert_eq!(ana.texts(), ["one", "two"]);
    let ids: Vec<Value> = ana.all("message").iter().map(|event| event["id"].clone()).collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn me_says_what_somebody_does() {
    let (ana, ben) = meet(&[], &[]);
    ben.send("/me waves");
    let waved = ana.message("waves");
    assert_eq!(waved["me"], true);
    ben.send("said");
    assert_eq!(ana.message("said").get("me"), None);
}

#[test]
fn what_no_command_and_no_text_is_does_not_go_out() {
    let (ana, ben) = meet(&[], &[]);
    for line in ["", "   ", "\t", "/nonsense", "/sned x", "/", "/quit now", "//quit", "last"] {
        ben.send(line);
    }
    ana.message("last");
    ben.wait_for(|event| is(event, "sent") && text(event, "text") == "last");
    assert_eq!(ana.texts(), ["/quit", "last"]);
    let codes: Vec<_> = ben.all("error").iter().map(|error| text(error, "code").to_owned()).collect();
    assert_eq!(codes, ["unknown-command", "unknown-command", "unknown-command", "bad-argument"]);
}

#[test]
fn a_line_ends_with_lf_or_crlf_and_the_last_need_not_end() {
    let (ana, mut ben) = meet(&[], &[]);
    ben.pour(
        [b"windows\r\n", b"unix\n  in\xc2\xa0ner \t \r\n".as_slice(), b"un", b"ended"].map(<[u8]>::to_vec).into_iter(),
    );
    ben.close_input();
    ana.message("unended");
    assert_eq!(ana.texts(), ["windows", "unix", "  in\u{a0}ner \t ", "unended"]);
    ben.ends_with(0);
}

#[test]
fn text_of_every_kind_arrives_as_it_is() {
    let (ana, ben) = meet(&[], &[]);
    let lines = [
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "a\0b",
        "עברית \u{202e}abc",
        "e\u{301}\u{200d}👩‍👩‍👧",
        "-- connected to eve",
        "\"\\",
    ];
    for line in lines {
        ben.send(line);
    }
    ana.message(lines[5]);
    assert_eq!(ana.texts(), lines);
}

#[test]
fn the_longest_line_arrives_and_one_byte_more_is_refused_with_its_size() {
    let (ana, ben) = meet(&[], &[]);
    let longest = "ü".repeat(LONGEST / 2);
    ben.send(&format!("{longest}x"));
    let refused = ben.event("error");
    assert_eq!(refused["code"], "line-too-long");
    assert!(text(&refused, "text").contains("64001"), "{refused}");
    ben.send(&longest);
    ana.message(&longest);
    ben.event("delivered");
    assert_eq!(ana.texts().len(), 1);
    assert_eq!(ben.all("sent").len(), 1);
}

#[test]
fn lines_for_a_peer_that_has_not_come_wait_for_it_after_quit_and_after_the_end_of_the_input() {
    for quit in [false, true] {
        let mut ana = Home::new().listen("ana", &[]);
        ana.send("are you there?");
        ana.send("/me waits");
        if quit {
            ana.send("/quit");
        } else {
            ana.close_input();
        }
        let mut ben = Home::new().connect("ben", ana.addr(), &[]);
        ana.ends_with(0);
        ben.ends_with(0);
        assert_eq!(ben.texts(), ["are you there?", "waits"]);
        assert_eq!(ben.event("bye")["from"], "peer");
    }
}

#[test]
fn plain_chat_stands_alone_on_standard_output() {
    let home = Home::new();
    let mut ana = home.start("ana", &["listen", "127.0.0.1:0", "-n", "ana"]);
    let hint = ana.line(Stream::Err, |line| line.contains("p2pchat connect "));
    let addr = hint.split(' ').next_back().unwrap().to_owned();
    let mut ben = Home::new().start("ben", &["connect", &addr, "--name=ben"]);
    ben.send("hello");
    ben.send("/me waves");
    ana.line(Stream::Out, |line| line.ends_with("* ben waves"));
    ana.send("-- connected to eve");
    ben.line(Stream::Out, |line| line.contains("eve"));
    ben.send("/quit");
    ben.ends_with(0);
    ana.ends_with(0);
    let clock = |line: &String| {
        let (time, rest) = line.split_at("HH:MM".len());
        let is_time = time.chars().enumerate().all(|(place, c)| if place == 2 { c == ':' } else { c.is_ascii_digit() });
        assert!(is_time, "{line}");
        rest.to_owned()
    };
    let heard = |peer: &Peer| peer.lines(Stream::Out).iter().map(clock).collect::<Vec<_>>();
    assert_eq!(heard(&ana), [" ben: hello", " * ben waves"]);
    assert_eq!(heard(&ben), [" ana: -- connected to eve"]);
    let notices = [ana.lines(Stream::Err), ben.lines(Stream::Err)].concat();
    assert!(notices.iter().all(|line| line.starts_with("-- ")), "{notices:?}");
    assert!(notices.iter().any(|line| line.contains("connected to ben")), "{notices:?}");
}

/// Line number `n` of the flood: many are short, some have any length, a few the greatest.
fn line_of_flood(n: usize) -> String {
    let length = match n % 1_000 {
        0 => LONGEST,
        1..20 => n * 7_919 % 5_000,
        _ => n * 7_919 % 160,
    };
    let mut line = format!("{n}:");
    let letter = char::from(b'a' + (n % 26) as u8);
    line.extend(std::iter::repeat_n(letter, length.saturating_sub(line.len())));
    line
}

#[test]
fn twenty_thousand_lines_each_way_at_once_arrive_in_order() {
    const LINES: usize = 20_000;
    const PATIENCE: Duration = DEADLINE.saturating_mul(3);
    let (tell, told) = mpsc::channel();
    let flooded = |name: &'static str, role: &[&str]| {
        let tell = tell.clone();
        let (mut next, mut delivered, mut wrong) = (0, 0, None);
        let watch = move |event: &Value| {
            if is(event, "message") {
                if text(event, "text") != line_of_flood(next) {
                    wrong.get_or_insert(next);
                }
                next += 1;
            } else if is(event, "delivered") {
                delivered += 1;
            } else {
                return !is(event, "sent");
            }
            if wrong.is_some() || (next == LINES && delivered == LINES) {
                let _ = tell.send((name, next, wrong));
            }
            false
        };
        let peer = Home::new().json(name, role, &[], Some(Box::new(watch)));
        peer.pour((0..LINES).map(|n| format!("{}\n", line_of_flood(n)).into_bytes()));
        peer
    };
    let mut ana = flooded("ana", &["listen", "127.0.0.1:0"]);
    let mut ben = flooded("ben", &["connect", &ana.addr().to_string()]);
    for _ in 0..2 {
        let (name, lines, wrong) = told.recv_timeout(PATIENCE).unwrap_or_else(|_| ana.fail("lines are missing"));
        assert_eq!((lines, wrong), (LINES, None), "{name}");
    }
    ben.send("/quit");
    ana.ends_with(0);
    ben.ends_with(0);
}

#[test]
fn the_longest_name_gets_through_the_opening() {
    let (first, second) = ("n".repeat(64), "m".repeat(64));
    let mut ana = Home::new().listen(&first, &[]);
    let mut ben = Home::new().connect(&second, ana.addr(), &[]);
    assert_eq!(ana.event("connected")["peer"], second);
    assert_eq!(ben.event("connected")["peer"], first);
    quit(&mut ana, &mut ben);
}
