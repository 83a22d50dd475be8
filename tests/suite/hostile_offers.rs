//! Offers that mean harm: names that lead elsewhere, lists that are none or lie, numbers out of order. Nothing outside the receiving
//! folder changes, nothing in it is replaced, and the next peer is served.

use crate::support::files::{List, tree};
use crate::support::{Receiver, text};
use p2pchat::protocol::frame::{Control, LIST_BYTES, Offer, Reason};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const SHAPES: [fn(&str) -> List; 4] = [
    |name| List::default().file(name, 1),
    |name| List::default().enter(name).leave(),
    |name| List::default().enter(name).file("inner", 1).leave(),
    |name| List::default().enter("outer").file(name, 1).leave(),
];

#[test]
fn no_name_leads_out_of_the_folder() {
    // The first is empty.
    let names = "|.|..|/|/etc/p2pchat-evil|../outside|../../evil|a/b|a/../../x|nul\0byte";
    let mut receiver = Receiver::new();
    let mut eve = receiver.eve();
    for name in names.split('|') {
        for shape in SHAPES {
            let transfer = eve.offer(&shape(name));
            assert_eq!(eve.answer(transfer), Some(false), "{name:?}");
            eve.cancel(transfer, Reason::Confirmed);
        }
    }
    receiver.has_only(&[]);
    assert!(receiver.ana.all("accepted").is_empty());
    let transfer = eve.offer(&List::default().file(&"x".repeat(255), 0));
    assert_eq!(eve.answer(transfer), Some(true), "255 bytes are allowed");
    receiver.without(eve);
    receiver.serves_the_next();
}

#[cfg(unix)]
#[test]
fn a_name_that_a_person_must_not_be_shown_gets_another_here() {
    let names = "a\\b|..\\evil|C:\\evil|line\nbreak|\r|\u{1b}[2J|\u{7f}|\u{9b}2J|\u{85}|\u{2028}|\u{2029}|gpj.\u{202e}exe|dot.|space |...|CON|\n{\"event\":\"forged\"}";
    let names: Vec<_> = names.split('|').collect();
    let list = names.iter().fold(List::default(), |list, name| list.file(name, 3));
    let mut receiver = Receiver::new();
    let mut eve = receiver.eve();
    let mut upload = eve.begin(&list);
    for _ in &names {
        eve.upload_file(&mut upload, b"eve");
    }
    assert_eq!(eve.read_complete(), Some((names.len() as u32, 0)));
    let received = receiver.home().received();
    assert_eq!(received.iter().filter(|name| *name != "mine" && !name.starts_with(".p2pchat-")).count(), names.len());
    let is_bad = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}');
    assert!(!received.iter().any(|name| name.contains(is_bad)), "{received:?}");
    // Both people see under which name it was received.
    let renamed = receiver.ana.all("file").into_iter().filter(|event| !event["offered"].is_null()).count();
    assert!(renamed >= 9, "{renamed}");
    assert!(receiver.ana.all("forged").is_empty());
    assert!(receiver.ana.lines(crate::support::peer::Stream::Out).iter().all(|line| !line.contains('\u{1b}')));
    receiver.without(eve);
    receiver.rebase();
    receiver.serves_the_next();
}

#[test]
fn lists_that_are_none_are_refused() {
    let good = || List::default().file("good", 1);
    let down = |depth| (0..depth).fold(List::default(), |list, _| list.enter("d"));
    let closed = |depth| (0..depth).fold(down(depth).file("f", 0), |list, _| list.leave());
    // The length says 255, the name goes on: what follows is read as an entry, and is none.
    let beyond = |kind: u8, extra: usize| {
        let head = if kind == 1 { 22 } else { 14 };
        let entry = [&[kind][..], &vec![0; head], &[255], "x".repeat(255 + extra).as_bytes()].concat();
        List::default().raw(&entry)
    };
    let cut = "it ends inside an entry";
    let lists = [
        (good().raw(&[9]), "an entry is of unknown kind"),
        (good().raw(&[1, 0, 0]), cut),
        (beyond(1, 0).raw(&[1]), cut),
        // 300 bytes of a name.
        (beyond(1, 45), "an entry is of unknown kind"),
        (beyond(2, 45), "an entry is of unknown kind"),
        (good().raw(&[2, 1, 0xed, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0xfe, 3]), "a name is not valid UTF-8"),
        (good().enter("open"), "a folder is not closed"),
        (good().leave(), "it leaves a folder that it did not enter"),
        (List::default().enter("a").leave().leave(), "it leaves a folder that it did not enter"),
        (List::default().leave(), "it leaves a folder that it did not enter"),
        (closed(65), "folders are nested more than 64 deep"),
        (closed(10_000), "folders are nested more than 64 deep"),
        (down(10_000), "folders are nested more than 64 deep"),
        (List::default().file("a", 1).file("a", 1), "a: the name stands twice in its folder"),
        (List::default().file("a", 1).enter("a").file("b", 1).leave(), "a: the name stands twice in its folder"),
        (List::default().enter("a").leave().file("a", 1), "a: the name stands twice in its folder"),
        (
            List::default().enter("f").enter("a").leave().enter("a").leave().leave(),
            "f/a: the name stands twice in its folder",
        ),
        (List::default().file_with(0o4755, 0, "suid", 1), "a mode has more than its nine bits"),
        (List::default().file_with(0o644, 2_000_000_000, "late", 1), "a time has more than 10^9 nanoseconds"),
        (List::default().raw(&[0; 100]), "an entry is of unknown kind"),
    ];
    let mut receiver = Receiver::new();
    for (number, (list, says)) in (1..).zip(lists) {
        let mut eve = receiver.eve();
        let transfer = eve.offer(&list);
        assert_eq!(eve.answer(transfer), Some(false), "{says}");
        let declined = receiver.ana.event_nth(number, "declined");
        assert!(text(&declined, "reason").ends_with(says), "{declined}");
        receiver.without(eve);
    }
    receiver.has_only(&[]);
    assert!(receiver.ana.all("accepted").is_empty());
    receiver.serves_the_next();
}

#[test]
fn offers_that_lie_or_have_impossible_sizes_are_refused() {
    let list = List::default().enter("folder").file("file", 5).leave();
    let honest = list.offer();
    let huge = [List::default().file("huge", u64::MAX), List::default().file("h1", 1 << 62).file("h2", 1 << 62)];
    let lies = [
        (Offer { files: 2, ..honest.clone() }, &list),
        (Offer { folders: 0, ..honest.clone() }, &list),
        (Offer { bytes: 4, ..honest.clone() }, &list),
        (Offer { digest: [1; 32], ..honest.clone() }, &list),
        (Offer { list: honest.list - 1, ..honest.clone() }, &list),
        (Offer { bytes: 1 << 62, ..honest.clone() }, &list),
        (Offer { files: u32::MAX, ..honest.clone() }, &list),
        (Offer { folders: u32::MAX, ..honest.clone() }, &list),
        (huge[0].offer(), &huge[0]),
        (huge[1].offer(), &huge[1]),
    ];
    for (offer, list) in lies {
        let mut receiver = Receiver::new();
        let mut eve = receiver.eve();
        let transfer = eve.offer_as(offer.clone(), &list.bytes);
        assert_ne!(eve.answer(transfer), Some(true), "{offer:?}");
        receiver.has_only(&[]);
    }
}

#[test]
fn offers_beyond_the_limits_are_faults() {
    let one = || List::default().file("x", 1).offer();
    let mut receiver = Receiver::new();
    let mut eve = receiver.eve();
    let transfer = eve.next_transfer();
    eve.control(Control::Offer { transfer, offer: Offer { list: LIST_BYTES + 1, ..one() } }).unwrap();
    receiver.ends_as_a_fault(eve, "a list that is too long");
    let mut eve = receiver.eve();
    let first = eve.next_transfer();
    let second = eve.offer(&List::default().file("x", 1));
    assert!(eve.answer(second).is_some());
    eve.control(Control::Offer { transfer: first, offer: one() }).unwrap();
    receiver.ends_as_a_fault(eve, "numbers that go back");
    receiver.has_only(&[]);
    receiver.serves_the_next();
}

#[test]
fn names_that_only_some_systems_take_for_the_same_land_beside_each_other() {
    let names = ["a", "A", "file.txt", "FILE.TXT", "\u{e9}", "e\u{301}", "\u{212b}", "\u{c5}", "a:stream", "ﬁ", "fi"];
    let mut receiver = Receiver::new();
    let mut eve = receiver.eve();
    let list = names.iter().fold(List::default(), |list, name| list.file(name, name.len() as u64));
    let mut upload = eve.begin(&list);
    for name in names {
        eve.upload_file(&mut upload, name.as_bytes());
    }
    receiver.ana.event("done");
    // Each is there under its own name, or under the one that is told with it.
    let mut there = BTreeSet::new();
    for event in receiver.ana.all("file") {
        let path = Path::new(text(&event, "path"));
        let offered = event["offered"].as_str().or_else(|| path.file_name()?.to_str()).unwrap();
        assert_eq!(fs::read(path).unwrap(), offered.as_bytes(), "{event}");
        there.insert(path.to_owned());
    }
    assert_eq!(there.len(), names.len());
    if cfg!(target_os = "linux") {
        receiver.has_only(&names);
    }
    receiver.without(eve);
    receiver.serves_the_next();
}

#[test]
fn names_of_the_program_s_own_files_are_names_like_others() {
    let partials = [".p2pchat-0123456789abcdef", ".P2PCHAT-FEDCBA9876543210", ".p2pchat-"];
    let own = ["download-0123456789abcdef0123456789abcdef", "known_peers", "identity", "history", "partials"];
    let mut receiver = Receiver::new();
    let home = receiver.home().clone();
    // But for the list of unfinished downloads, which is made when it is needed.
    let data = || {
        let mut all = tree(&home.data());
        all.remove("partial-folders");
        all
    };
    let mut eve = receiver.eve();
    let before = data();
    let list = own.iter().chain(&partials).fold(List::default(), |list, name| list.file(name, 3));
    let mut upload = eve.begin(&list);
    for _ in 0..own.len() + partials.len() {
        eve.upload_file(&mut upload, b"eve");
    }
    receiver.ana.event("done");
    let received = partials.map(|name| format!("_{name}"));
    let all: Vec<_> = own.into_iter().chain(received.iter().map(String::as_str)).collect();
    receiver.has_only(&all);
    let after = data();
    assert!(after == before, "its own files changed: {:?} {:?}", after.keys(), before.keys());
    receiver.without(eve);
    receiver.serves_the_next();
}
