//! Claims about the events: every one in full, since scripts rely on them.

use super::*;
use crate::ui::{SafeText, Trust};
use proptest::prelude::*;
use std::cell::Cell;
use std::sync::mpsc;

/// What the face writes for the notices, and what it settled last.
fn written(notices: impl IntoIterator<Item = Notice>) -> (String, u64) {
    let (sender, receiver) = mpsc::channel();
    for (notice, settles) in notices.into_iter().zip(1..) {
        sender.send(Posted { notice, settles: Some(settles) }).unwrap();
    }
    drop(sender);
    let (mut out, settled) = (Vec::new(), Cell::new(0));
    run(&receiver, &mut out, |settles| settled.set(settles)).unwrap();
    (String::from_utf8(out).unwrap(), settled.get())
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
    Notice::Sent { id, text: "hi".to_owned(), action: false }
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
        line(Notice::Listening { addrs: addrs.clone(), code: None }),
        r#"{"event":"listening","addrs":["0.0.0.0:5000","192.168.1.5:5000"]}"#
    );
    assert_eq!(
        line(Notice::Listening { addrs, code: Some("42-otter-plum".to_owned()) }),
        r#"{"event":"listening","addrs":["0.0.0.0:5000","192.168.1.5:5000"],"code":"42-otter-plum"}"#
    );
    let connected = |verify: Option<&str>, trust| Notice::Connected {
        peer: peer("bob"),
        fingerprint: "ABCD-EFGH".to_owned(),
        addr: "10.0.0.1:5000".to_owned(),
        verify: verify.map(str::to_owned),
        trust,
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
    assert_eq!(line(Notice::Lost { reason: "r".into(), waiting: 3 }), r#"{"event":"lost","reason":"r"}"#);
    assert_eq!(line(Notice::Reconnected { resent: 3 }), r#"{"event":"reconnected"}"#);
    assert_eq!(
        line(Notice::Bye { from_peer: true, reason: "r".into() }),
        r#"{"event":"bye","from":"peer","reason":"r"}"#
    );
    assert_eq!(
        line(Notice::Bye { from_peer: false, reason: "".into() }),
        r#"{"event":"bye","from":"self","reason":""}"#
    );
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
        bytes: 3,
        clashes,
        free,
        asks: true,
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
        line(Notice::Declined { transfer: 7, reason: "no".into(), by_peer: true }),
        r#"{"event":"declined","transfer":7,"reason":"no"}"#
    );
    assert_eq!(
        line(Notice::Cancelled { transfer: 7, reason: "".into(), by_peer: false }),
        r#"{"event":"cancelled","transfer":7}"#
    );
    assert_eq!(
        line(Notice::Progress { transfer: 7, bytes: 1, total: u64::MAX, files: 0 }),
        r#"{"event":"progress","transfer":7,"bytes":1,"total":18446744073709551615}"#
    );
    assert_eq!(
        line(Notice::File { transfer: 7, path: peer("a.pdf"), bytes: 3, blake3: "af".to_owned() }),
        r#"{"event":"file","transfer":7,"path":"a.pdf","bytes":3,"blake3":"af"}"#
    );
    assert_eq!(
        line(Notice::Done { transfer: 7, path: peer("a.pdf"), files: 2, bytes: 3, seconds: 0.5 }),
        r#"{"event":"done","transfer":7,"path":"a.pdf","files":2,"bytes":3,"seconds":0.5}"#
    );
    assert_eq!(
        line(Notice::Failed { transfer: 7, path: None, reason: "r".into() }),
        r#"{"event":"failed","transfer":7,"reason":"r"}"#
    );
    assert_eq!(
        line(Notice::Failed { transfer: 7, path: Some(peer("a")), reason: "r".into() }),
        r#"{"event":"failed","transfer":7,"reason":"r","path":"a"}"#
    );
}

#[test]
fn answers() {
    let info = |info| line(Notice::Info(info));
    assert_eq!(info(Info::Text("t".into())), r#"{"event":"info","text":"t"}"#);
    assert!(info(Info::Help).starts_with(r#"{"event":"info","text":"what you type"#));
    assert_eq!(
        info(Info::Peer(vec![("name", "bob".into()), ("addr", "x".into())])),
        r#"{"event":"info","peer":{"name":"bob","addr":"x"}}"#
    );
    assert_eq!(info(Info::Transfers(Vec::new())), r#"{"event":"info","transfers":[]}"#);
    let row = TransferInfo {
        transfer: 7,
        direction: Direction::Out,
        name: peer("a"),
        state: "running",
        bytes: 1,
        total: 2,
        files_done: 0,
        files: 1,
    };
    assert_eq!(
        info(Info::Transfers(vec![row])),
        r#"{"event":"info","transfers":[{"transfer":7,"direction":"out","name":"a","state":"running","bytes":1,"total":2,"files_done":0,"files":1}]}"#
    );
    assert_eq!(
        info(Info::Names { transfer: 7, names: vec![(peer("d/"), None), (peer("d/a"), Some(5))] }),
        r#"{"event":"info","names":[{"path":"d/"},{"path":"d/a","bytes":5}],"transfer":7}"#
    );
}

#[test]
fn a_step_on_the_way_is_no_event_and_is_settled() {
    assert_eq!(written([Notice::Status("s".to_owned())]), (String::new(), 1));
}

#[test]
fn each_line_that_arrived_is_told_once() {
    let delivered = |id| Notice::Delivered { id };
    let (text, _) = written([
        sent(1),
        sent(2),
        delivered(2),
        delivered(2),
        sent(3),
        sent(4),
        delivered(3),
        delivered(1),
        delivered(9),
    ]);
    let told: Vec<&str> = text.lines().filter(|line| line.contains("delivered")).collect();
    let expected = [1, 2, 3, 4].map(|id| format!(r#"{{"event":"delivered","id":"s{id}"}}"#));
    assert_eq!(told, expected);
}

#[test]
fn a_closed_reader_is_told_and_nothing_is_settled() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let big = "x".repeat(BUFFER * 2);
    for text in ["small", &big] {
        let (sender, receiver) = mpsc::channel();
        sender.send(Posted { notice: message(text, false), settles: Some(1) }).unwrap();
        assert!(matches!(run(&receiver, Gone, |_| panic!("settled")), Err(FaceError::Closed)));
    }
}

proptest! {
    #[test]
    fn text_of_the_peer_is_one_line_and_lossless(from in any::<String>(), text in any::<String>()) {
        let (line, _) = written([Notice::Message { id: 1, from: PeerText::new(from.clone()), text: PeerText::new(text.clone()), action: false }]);
        prop_assert_eq!(line.bytes().filter(|&byte| byte < b' ').collect::<Vec<_>>(), b"\n");
        let value: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(value["from"].as_str(), Some(from.as_str()));
        prop_assert_eq!(value["text"].as_str(), Some(text.as_str()));
    }
}
