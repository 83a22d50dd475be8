//! Claims about the events: every one in full, since scripts rely on them.

use super::*;
use crate::protocol::frame::{ByeReason, Reason};
use crate::ui::{Direction, SafeText, Stop, TransferState, Trust};
use std::cell::Cell;
use std::sync::mpsc;
use std::time::Duration;

/// What is written for the notices, and the last number that was reported.
fn written(notices: impl IntoIterator<Item = Notice>) -> (String, u64) {
    let (sender, receiver) = mpsc::channel();
    for (notice, seq) in notices.into_iter().zip(1..) {
        sender.send(Posted { notice, peer: None, display_seq: Some(seq) }).unwrap();
    }
    drop(sender);
    let (mut out, shown_up_to) = (Vec::new(), Cell::new(0));
    run(&receiver, &mut out, |settles| shown_up_to.set(settles)).unwrap();
    (String::from_utf8(out).unwrap(), shown_up_to.get())
}

fn line(notice: Notice) -> String {
    let (text, _) = written([notice]);
    assert_eq!(text.matches('\n').count(), 1);
    text.trim_end().to_owned()
}

fn peer(text: &str) -> PeerText {
    PeerText::new(text)
}

fn message(text: &str, action: bool) -> Notice {
    Notice::Message { id: 1, from: peer("bob"), text: peer(text), action }
}

fn sent(id: u64) -> Notice {
    Notice::Sent { id, text: "hi".to_owned(), action: false, waiting: false }
}

#[test]
fn what_a_terminal_would_obey_or_hide_is_escaped_and_comes_back() {
    let text = "a\u{1b}[2J\u{7f}\u{9b}31m\u{202e}\u{2028}\u{e0041}z \u{e9}\u{1f600}";
    let line = line(message(text, false));
    assert!(line.contains(r"a\u001b[2J\u007f\u009b31m\u202e\u2028\udb40\udc41z"), "{line}");
    assert!(line.contains("\u{e9}\u{1f600}"), "{line}");
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["text"], text);
}

#[test]
fn the_beginning_and_the_end() {
    let addrs = vec!["0.0.0.0:5000".to_owned(), "192.168.1.5:5000".to_owned()];
    assert_eq!(
        line(Notice::Listening { addrs: addrs.clone(), code: None, invite: None, qr: false }),
        r#"{"event":"listening","addrs":["0.0.0.0:5000","192.168.1.5:5000"]}"#
    );
    assert_eq!(
        line(Notice::Mapped { addr: "203.0.113.7:5000".to_owned(), by: "PCP", seconds: 3_600 }),
        r#"{"event":"mapped","addr":"203.0.113.7:5000","by":"PCP","seconds":3600}"#
    );
    assert_eq!(
        line(Notice::Listening { addrs, code: Some("42-otter-plum".to_owned().into()), invite: None, qr: false }),
        r#"{"event":"listening","addrs":["0.0.0.0:5000","192.168.1.5:5000"],"code":"42-otter-plum"}"#
    );
    assert_eq!(
        line(Notice::Announced { instance: "0123456789abcdef".to_owned() }),
        r#"{"event":"announced","instance":"0123456789abcdef"}"#
    );
    let connected = |verify: Option<&str>, trust| Notice::Connected {
        peer: peer("bob"),
        fingerprint: "ABCD-EFGH".to_owned(),
        addr: "10.0.0.1:5000".to_owned(),
        verify: verify.map(str::to_owned),
        trust,
        uninvited: false,
        own: "alice".to_owned(),
    };
    assert_eq!(
        line(connected(Some("12345 67890"), Trust::New)),
        r#"{"event":"connected","peer":"bob","fingerprint":"ABCD-EFGH","addr":"10.0.0.1:5000","verify":"12345 67890","trust":"new"}"#
    );
    assert_eq!(
        line(connected(None, Trust::Verified)),
        r#"{"event":"connected","peer":"bob","fingerprint":"ABCD-EFGH","addr":"10.0.0.1:5000","trust":"verified"}"#
    );
    assert_eq!(line(Notice::Lost { reason: "r".into(), lines: 3, transfers: 0 }), r#"{"event":"lost","reason":"r"}"#);
    let back = |restarted| line(Notice::Reconnected { restarted });
    assert_eq!(back(false), r#"{"event":"reconnected"}"#);
    assert_eq!(back(true), r#"{"event":"reconnected","restarted":true}"#);
    let bye = |from, reason| line(Notice::Bye { from, reason });
    assert_eq!(bye(Side::Peer, ByeReason::InputEnded), r#"{"event":"bye","from":"peer","reason":"its input ended"}"#);
    assert_eq!(bye(Side::Own, ByeReason::Quit), r#"{"event":"bye","from":"self","reason":""}"#);
    assert_eq!(
        line(Notice::Trust { peer: peer("bob"), trust: Trust::Verified }),
        r#"{"event":"trust","peer":"bob","trust":"verified"}"#
    );
    assert_eq!(line(Notice::Warning("w".into())), r#"{"event":"warning","text":"w"}"#);
    assert_eq!(
        line(Notice::Error { code: "no-such-file", text: SafeText::with_hint("a\nb") }),
        r#"{"event":"error","code":"no-such-file","text":"a\nb"}"#
    );
}

#[test]
fn messages() {
    assert_eq!(line(message("hi", false)), r#"{"event":"message","from":"bob","text":"hi","id":"r1"}"#);
    assert_eq!(line(message("waves", true)), r#"{"event":"message","from":"bob","text":"waves","id":"r1","me":true}"#);
    assert_eq!(line(sent(1)), r#"{"event":"sent","id":"s1","text":"hi"}"#);
}

#[test]
fn transfers() {
    let offer = |direction, clashes, free| Notice::Offer {
        transfer: 7,
        direction,
        name: peer("a.pdf"),
        more: 1,
        files: 2,
        folders: 1,
        bytes: Some(3),
        clashes,
        free,
        was: None,
    };
    assert_eq!(
        line(offer(Direction::In, Some(0), Some(9))),
        r#"{"event":"offer","transfer":7,"direction":"in","name":"a.pdf","files":2,"bytes":3,"clashes":0,"free":9}"#
    );
    assert_eq!(
        line(offer(Direction::Out, None, None)),
        r#"{"event":"offer","transfer":7,"direction":"out","name":"a.pdf","files":2,"bytes":3}"#
    );
    assert_eq!(line(Notice::Accepted { transfer: 7 }), r#"{"event":"accepted","transfer":7}"#);
    assert_eq!(
        line(Notice::Stopped {
            transfer: 7,
            how: Stop::Declined,
            by: Side::Peer,
            reason: Reason::User,
            detail: "no".into()
        }),
        r#"{"event":"declined","transfer":7,"by":"peer","reason":"no"}"#
    );
    let cancelled =
        |reason| line(Notice::Stopped { transfer: 7, how: Stop::Cancelled, by: Side::Own, reason, detail: "".into() });
    assert_eq!(cancelled(Reason::User), r#"{"event":"cancelled","transfer":7,"by":"self","reason":"by the user"}"#);
    assert_eq!(
        cancelled(Reason::Space),
        r#"{"event":"cancelled","transfer":7,"by":"self","reason":"not enough space"}"#
    );
    let left_out =
        |path: Option<&str>| line(Notice::LeftOut { transfer: 7, path: path.map(peer), count: 2, reason: "r".into() });
    assert_eq!(left_out(Some("p")), r#"{"event":"left-out","transfer":7,"path":"p","reason":"r"}"#);
    assert_eq!(left_out(None), r#"{"event":"left-out","transfer":7,"count":2,"reason":"r"}"#);
    assert_eq!(
        line(Notice::Progress { transfer: 7, bytes: 1, total: Some(u64::MAX), files: 0 }),
        r#"{"event":"progress","transfer":7,"bytes":1,"total":18446744073709551615}"#
    );
    assert_eq!(
        line(Notice::File { transfer: 7, path: peer("a.pdf"), bytes: 3, blake3: "af".to_owned(), offered: None }),
        r#"{"event":"file","transfer":7,"path":"a.pdf","bytes":3,"blake3":"af"}"#
    );
    assert_eq!(
        line(Notice::Done {
            transfer: 7,
            path: peer("a.pdf"),
            more: 1,
            files: 2,
            bytes: 3,
            wire_bytes: Some(2),
            took: Duration::from_millis(500)
        }),
        r#"{"event":"done","transfer":7,"path":"a.pdf","files":2,"bytes":3,"wire_bytes":2,"seconds":0.5}"#
    );
    assert_eq!(
        line(Notice::Failed { transfer: 7, path: None, reason: "r".into(), part: None, cut: false }),
        r#"{"event":"failed","transfer":7,"reason":"r"}"#
    );
    assert_eq!(
        line(Notice::Failed { transfer: 7, path: Some(peer("a")), reason: "r".into(), part: None, cut: false }),
        r#"{"event":"failed","transfer":7,"reason":"r","path":"a"}"#
    );
}

#[test]
fn answers() {
    let info = |info| line(Notice::Info(info));
    assert_eq!(info(Info::Text("t".into())), r#"{"event":"info","text":"t"}"#);
    assert!(info(Info::Help).starts_with(r#"{"event":"info","text":"what you type"#));
    assert_eq!(
        info(Info::Peer(vec![("name", "bob".into()), ("calls itself", "x".into())])),
        r#"{"event":"info","peer":{"name":"bob","calls_itself":"x"}}"#
    );
    assert_eq!(info(Info::Transfers(Vec::new())), r#"{"event":"info","transfers":[]}"#);
    let row = TransferInfo {
        transfer: 7,
        direction: Direction::Out,
        name: peer("a"),
        state: TransferState::Running,
        bytes: 1,
        total: Some(2),
        files_done: 0,
        files: 1,
    };
    assert_eq!(
        info(Info::Transfers(vec![row])),
        r#"{"event":"info","transfers":[{"transfer":7,"direction":"out","name":"a","state":"running","bytes":1,"total":2,"files_done":0,"files":1}]}"#
    );
    assert_eq!(
        info(Info::Names { transfer: 7, from: 1, total: 3, names: vec![(peer("d/"), None), (peer("d/a"), Some(5))] }),
        r#"{"event":"info","names":[{"path":"d/"},{"path":"d/a","bytes":5}],"transfer":7,"first":1,"total":3}"#
    );
}

#[test]
fn a_step_on_the_way_is_no_event_and_is_reported_shown() {
    assert_eq!(written([Notice::Status("s".to_owned())]), (String::new(), 1));
}

#[test]
fn every_event_of_a_session_names_its_peer() {
    let (sender, receiver) = mpsc::channel();
    for notice in [sent(1), Notice::Delivered { id: 1 }, Notice::Undelivered { ids: vec![2], lines: 3 }] {
        sender.send(Posted { notice, peer: Some(peer("bob")), display_seq: None }).unwrap();
    }
    drop(sender);
    let mut out = Vec::new();
    run(&receiver, &mut out, |_| {}).unwrap();
    let expected = r#"{"event":"sent","id":"s1","text":"hi","peer":"bob"}
{"event":"delivered","id":"s1","peer":"bob"}
{"event":"undelivered","ids":["s2"],"lines":3,"peer":"bob"}
"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
