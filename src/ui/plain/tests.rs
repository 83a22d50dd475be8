//! Claims about the two streams of the plain frontend.

mod transfers;

use super::*;
use crate::protocol::frame::{ByeReason, Reason};
use crate::ui::{Direction, Info, SafeText, Side, Stop, TransferInfo, TransferState, Trust};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

fn posted(notices: impl IntoIterator<Item = Notice>) -> Receiver<Posted> {
    let (sender, receiver) = mpsc::channel();
    for (notice, seq) in notices.into_iter().zip(1..) {
        sender.send(Posted { notice, peer: None, display_seq: Some(seq) }).unwrap();
    }
    receiver
}

fn time() -> String {
    "13:30".to_owned()
}

/// What goes to standard output and to standard error.
fn written_at(verbosity: Verbosity, notices: impl IntoIterator<Item = Notice>) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    run(&posted(notices), &mut out, &mut err, verbosity, time, |_| {}).unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn written(notices: impl IntoIterator<Item = Notice>) -> (String, String) {
    written_at(Verbosity::Normal, notices)
}

fn chat(notice: Notice) -> String {
    let (out, err) = written([notice]);
    assert_eq!(err, "");
    out
}

fn said(notices: impl IntoIterator<Item = Notice>) -> String {
    let (out, err) = written(notices);
    assert_eq!(out, "");
    err
}

fn peer(text: &str) -> PeerText {
    PeerText::new(text)
}

fn message(text: &str) -> Notice {
    Notice::Message { id: 1, from: peer("bob"), text: peer(text), action: false }
}

fn offer(direction: Direction) -> Notice {
    let incoming = direction == Direction::In;
    Notice::Offer {
        transfer: 3,
        direction,
        name: peer("report.pdf"),
        more: 2,
        files: 3,
        folders: 1,
        bytes: Some(10 << 20),
        clashes: incoming.then_some(2),
        free: incoming.then_some(98 << 30),
        was: None,
    }
}

fn progress(bytes: u64) -> Notice {
    Notice::Progress { transfer: 3, bytes, total: Some(1_000), files: 0 }
}

fn connected(trust: Trust, verify: Option<&str>) -> Notice {
    Notice::Connected {
        peer: peer("bob"),
        fingerprint: "ABCD-EFGH".to_owned(),
        addr: "192.168.1.5:5000".to_owned(),
        verify: verify.map(str::to_owned),
        trust,
        uninvited: false,
        own: "alice".to_owned(),
    }
}

/// One terminal that shows both streams.
#[derive(Clone, Default)]
struct Both(Rc<RefCell<Vec<u8>>>);

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn chat_goes_to_standard_output_with_its_time() {
    assert_eq!(chat(message("hello")), "13:30 bob: hello\n");
    assert_eq!(chat(message("a\nb\r\n\nc\n")), "13:30 bob: a\n      b\n      \n      c\n");
    let action = Notice::Message { id: 1, from: peer("bob"), text: peer("waves\nand smiles"), action: true };
    assert_eq!(chat(action), "13:30 * bob waves\n      and smiles\n");
}

#[test]
fn own_lines_are_not_repeated() {
    let own =
        [Notice::Sent { id: 1, text: "hi".to_owned(), action: false, waiting: false }, Notice::Delivered { id: 1 }];
    assert_eq!(written_at(Verbosity::Verbose, own), (String::new(), String::new()));
}

#[test]
fn who_is_found_on_the_network_reads_what_the_peer_types() {
    let announced = Notice::Announced { instance: "0123456789abcdef".to_owned() };
    let text = "-- your peer finds you on this network with\n--   p2pchat connect --lan\n";
    assert_eq!(said([announced]), text);
}

#[test]
fn where_the_router_lets_callers_in_is_said_and_that_a_mapping_stays() {
    let mapped = |seconds| Notice::Mapped { addr: "203.0.113.7:5000".to_owned(), by: "PCP", seconds };
    assert_eq!(
        said([mapped(3_600), mapped(0)]),
        "-- the router lets callers in at 203.0.113.7:5000 (PCP, renewed while you listen)\n\
         -- the router lets callers in at 203.0.113.7:5000 (PCP; without an end: it stays when the program is killed)\n"
    );
}

#[test]
fn listening_gives_lines_to_copy() {
    let addrs = ["0.0.0.0:5000", "192.168.1.5:5000", "[2001:db8::1]:5000"].map(str::to_owned).to_vec();
    assert_eq!(
        said([Notice::Listening { addrs: addrs.clone(), code: None, invite: None, qr: false }]),
        "-- listening at 0.0.0.0:5000; your peer connects with\n\
         --   p2pchat connect 192.168.1.5:5000\n\
         --   p2pchat connect \"[2001:db8::1]:5000\"\n"
    );
    let with_code =
        said([Notice::Listening { addrs, code: Some("42-otter-plum".to_owned().into()), invite: None, qr: false }]);
    assert!(with_code.contains("connect 192.168.1.5:5000 --code\n"), "{with_code}");
    assert!(with_code.ends_with("--   and this code: 42-otter-plum\n"), "{with_code}");
    let alone = said([Notice::Listening { addrs: vec!["[::]:5000".to_owned()], code: None, invite: None, qr: false }]);
    assert!(alone.contains("p2pchat connect \"[::]:5000\"\n"), "{alone}");
}

#[test]
fn the_number_is_shown_with_what_to_do_unless_the_peer_is_verified() {
    let new = said([connected(Trust::New, Some("12345 67890"))]);
    assert_eq!(
        new,
        "-- connected to bob at 192.168.1.5:5000 (new: never met before)\n\
         --   fingerprint ABCD-EFGH; your own name here is alice\n\
         --   verification number 12345 67890\n\
         --   compare it with bob by voice; when it is the same: /verify\n"
    );
    assert!(said([connected(Trust::Known, Some("12345 67890"))]).contains("12345 67890"));
    let verified = said([connected(Trust::Verified, Some("12345 67890"))]);
    assert!(verified.contains("(verified)") && !verified.contains("12345"), "{verified}");
    let (_, verbose) = written_at(Verbosity::Verbose, [connected(Trust::Verified, Some("12345 67890"))]);
    assert!(verbose.contains("12345 67890") && !verbose.contains("/verify"), "{verbose}");
}

#[test]
fn an_invite_is_one_unbroken_line_and_a_qr_code_needs_a_terminal() {
    let invite = format!("p2pchat:{}", "abc7".repeat(30));
    let options = PlainOptions { purpose: Purpose::Send, columns_err: || Some(40), ..Verbosity::Normal.into() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let listening =
        |qr| Notice::Listening { addrs: vec!["[::]:5050".into()], code: None, invite: Some(invite.clone().into()), qr };
    run(&posted([listening(false)]), &mut out, &mut err, options, time, |_| {}).unwrap();
    let said = String::from_utf8(err).unwrap();
    assert!(said.contains(&format!("\np2pchat receive {invite}\n")), "{said}");
    let (_, said) = written([listening(true)]);
    assert!(said.ends_with("-- a QR code needs a terminal\n"), "{said}");
}

#[test]
fn errors_have_their_hint_on_the_next_line() {
    let text = SafeText::with_hint("no such file: x\nsee /help");
    assert_eq!(said([Notice::Error { code: "no-such-file", text }]), "-- error: no such file: x\n--   see /help\n");
    assert_eq!(said([Notice::Warning("w".into())]), "-- warning: w\n");
}

#[test]
fn loss_and_end_are_told() {
    let lost = |lines, transfers| said([Notice::Lost { reason: "silence".into(), lines, transfers }]);
    assert_eq!(lost(0, 0), "-- connection lost: silence\n");
    assert!(lost(2, 1).ends_with("--   2 lines and 1 transfer wait for its return\n"));
    assert!(lost(1, 0).ends_with("--   1 line waits for its return\n"));
    let back = |restarted| said([Notice::Reconnected { restarted }]);
    assert_eq!(back(false), "-- connected again\n");
    assert_eq!(back(true), "-- your peer is back (the program was restarted): the peer\n");
    let bye = |from, reason| said([Notice::Bye { from, reason }]);
    assert_eq!(bye(Side::Peer, ByeReason::Quit), "-- your peer has left: the peer\n");
    assert_eq!(bye(Side::Peer, ByeReason::InputEnded), "-- your peer has left (its input ended): the peer\n");
    assert_eq!(bye(Side::Own, ByeReason::Signal), "-- goodbye\n");
    let undelivered = Notice::Undelivered { ids: vec![1], lines: 2 };
    assert_eq!(said([undelivered]), "-- 2 lines did not reach the peer\n");
    assert_eq!(said([Notice::Resent { lines: 1, maybe_seen: 0 }]), "-- 1 line was sent again\n");
    let leaving = Notice::Leaving { transfers: 1, lines: 0, lost: false };
    assert_eq!(
        said([leaving]),
        "-- leaving when all is done; 1 transfer waits\n--   /quit again leaves at once, /stay stays\n"
    );
    let trust = Notice::Trust { peer: peer("bob"), trust: Trust::Verified };
    assert_eq!(said([trust]), "-- peer bob is now verified\n");
}

#[test]
fn answers_are_marked_line_by_line() {
    let help = said([Notice::Info(Info::Help)]);
    assert!(help.lines().count() > 10 && help.lines().all(|line| line.starts_with(MARK.trim_end())), "{help}");
    assert_eq!(said([Notice::Info(Info::Transfers(Vec::new()))]), "-- no transfers\n");
    let row = |state| {
        let row = TransferInfo {
            transfer: 3,
            direction: Direction::In,
            name: peer("a"),
            state,
            bytes: 512,
            total: Some(1_024),
            files_done: 0,
            files: 1,
        };
        said([Notice::Info(Info::Transfers(vec![row]))])
    };
    assert_eq!(row(TransferState::Running), "-- [3] in, 50 %, 512 B of 1.0 KiB: a\n");
    assert_eq!(row(TransferState::Asking), "-- [3] in, waits for your answer: a\n");
    let names =
        |total| Info::Names { transfer: 3, from: 1, total, names: vec![(peer("d/"), None), (peer("d/a"), Some(5))] };
    let page = said([Notice::Info(names(2))]);
    assert_eq!(page, "-- [3] names 1 to 2 of 2\n--               d/\n--          5 B  d/a\n");
    assert!(said([Notice::Info(names(9))]).ends_with("--   go on with /transfers 3 3\n"));
    assert_eq!(said([Notice::Info(Info::Peer(vec![("name", "bob".into())]))]), "-- name: bob\n");
}

#[test]
fn quiet_keeps_what_one_must_know_and_verbose_adds_the_steps() {
    let notices = || {
        [
            Notice::Status("dialling".to_owned()),
            connected(Trust::Verified, None),
            offer(Direction::Out),
            progress(500),
            Notice::Failed { transfer: 3, path: None, reason: "r".into(), part: None, cut: false },
            Notice::Warning("w".into()),
            Notice::Error { code: "x", text: "e".into() },
            Notice::Bye { from: Side::Peer, reason: ByeReason::Quit },
            message("chat"),
        ]
    };
    let (out, quiet) = written_at(Verbosity::Quiet, notices());
    assert_eq!(out, "13:30 bob: chat\n");
    let expected = "-- connected to bob at 192.168.1.5:5000 (verified)\n-- [3] failed: report.pdf and 2 more: r\n-- warning: w\n-- error: e\n";
    assert_eq!(quiet, expected);
    assert!(!written(notices()).1.contains("dialling"));
    assert!(written_at(Verbosity::Verbose, notices()).1.starts_with("-- dialling\n"));
    assert!(written_at(Verbosity::Quiet, [offer(Direction::In)]).1.contains("report.pdf"));
}

#[test]
fn both_streams_in_one_place_keep_their_order() {
    let both = Both::default();
    let notices = [message("a"), Notice::Warning("b".into()), Notice::Warning("c".into()), message("d"), message("e")];
    run(&posted(notices), both.clone(), both.clone(), Verbosity::Normal, time, |_| {}).unwrap();
    let text = String::from_utf8(both.0.take()).unwrap();
    assert_eq!(text, "13:30 bob: a\n-- warning: b\n-- warning: c\n13:30 bob: d\n13:30 bob: e\n");
}

struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn chat_survives_a_closed_standard_error() {
    let (mut out, shown_up_to) = (Vec::new(), Cell::new(0));
    let notices = [Notice::Warning("w".into()), message("a"), Notice::Warning("w".into()), message("b")];
    let broken = Broken(io::ErrorKind::BrokenPipe);
    run(&posted(notices), &mut out, broken, Verbosity::Normal, time, |settles| shown_up_to.set(settles)).unwrap();
    assert_eq!((String::from_utf8(out).unwrap().as_str(), shown_up_to.get()), ("13:30 bob: a\n13:30 bob: b\n", 4));
}
