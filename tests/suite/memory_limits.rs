//! A sender that means to fill the receiver's memory: offers without number, lists as long as they may be, sizes beyond all disks.
//! What it can make the program hold has a bound, and the program goes on.

use crate::support::files::{List, content, tree};
use crate::support::hostile::Upload;
use crate::support::{Attacker, Receiver, is, text};
use p2pchat::protocol::frame::{CHUNK_DATA, Control, FileStatus, Frame, LIST_BYTES, Reason, UNACKNOWLEDGED_FRAMES};

/// The program by itself, unoptimised, and what small things it may hold, in KiB.
const SMALL_KIB: u64 = 40 << 10;
/// With two lists of [`LIST_BYTES`] in memory, as they came and taken apart: names, rows, and the window.
const LISTS_KIB: u64 = 112 << 10;

/// Takes everything; events of these names are looked at and forgotten.
fn receiver(forgets: &'static [&'static str]) -> Receiver {
    Receiver::forgetting(forgets, &["--accept", "always"])
}

/// It held no more than so much, and the next peer is served.
#[track_caller]
fn bounded(receiver: Receiver, kib: u64) {
    let peak = receiver.ana.peak_memory();
    eprintln!("peak: {peak} KiB");
    assert!(peak < kib, "{peak} KiB at the peak");
    receiver.serves_the_next();
}

/// So many files of no bytes with names as short as can be; the longest list that fits has some 290,000 of them.
fn crowd(files: u32) -> List {
    (0..files).fold(List::default(), |list, number| list.file(&format!("{number:x}"), 0))
}

/// The most that a list can hold.
fn longest() -> List {
    let list = crowd(286_000);
    assert!(list.bytes.len() as u64 <= LIST_BYTES.into() && list.bytes.len() as u64 > u64::from(LIST_BYTES) * 9 / 10);
    list
}

#[test]
fn twenty_thousand_offers_leave_nothing_behind() {
    const OFFERS: u32 = 20_000;
    // Two frames for each; as many of them as may be unacknowledged go at a time.
    const AT_ONCE: u32 = UNACKNOWLEDGED_FRAMES as u32 / 2;
    let mut receiver = receiver(&["cancelled", "offer", "accepted", "declined"]);
    let mut eve = receiver.eve();
    let list = List::default().file("one of many", 1);
    for number in 1..=OFFERS {
        let transfer = eve.next_transfer();
        eve.control(Control::Offer { transfer, offer: list.offer() }).unwrap();
        // Every other is offered in earnest and accepted, if the program is quick.
        if number % 2 == 0 {
            eve.data(transfer, 0, &list.bytes);
        }
        eve.cancel(transfer, Reason::User);
        if number % AT_ONCE == 0 {
            assert!(eve.is_acknowledged(), "it hung up");
        }
    }
    assert!(eve.is_acknowledged());
    receiver.has_only(&[]);
    receiver.without(eve);
    bounded(receiver, SMALL_KIB);
}

#[test]
fn offers_that_are_never_confirmed_end_the_session() {
    let mut receiver = receiver(&["declined", "offer"]);
    let mut eve = receiver.eve();
    let is_answered = |eve: &mut Attacker| {
        let (transfer, offer) = (eve.next_transfer(), List::default().file("x", 1).offer());
        eve.control(Control::Offer { transfer, offer }).is_ok() && eve.is_acknowledged()
    };
    // Each answer is acknowledged, and no end of an offer confirmed.
    assert_eq!((0..5_000).take_while(|_| is_answered(&mut eve)).count(), 1_024);
    let error = receiver.ends_as_a_fault(eve, "never confirmed");
    assert!(text(&error, "text").contains("too many transfers open"), "{error}");
    bounded(receiver, SMALL_KIB);
}

#[test]
fn of_a_file_that_would_fit_what_comes_is_written_and_no_more() {
    let mut receiver = receiver(&[]);
    let mut eve = receiver.eve();
    let mut upload = eve.begin(&List::default().file("vast", 1 << 31));
    eve.upload(&mut upload, &content("vast", 4 * CHUNK_DATA));
    let progress = receiver.ana.wait_for(|event| is(event, "progress") && event["bytes"] == 4 * CHUNK_DATA);
    assert_eq!(progress["total"], 1_u64 << 31);
    let there: usize = tree(&receiver.home().inbox())
        .into_iter()
        .filter(|(name, _)| name.contains("part"))
        .filter_map(|(_, data)| data)
        .map(|data| data.len())
        .sum();
    assert_eq!(there, 4 * CHUNK_DATA);
    receiver.without(eve);
    bounded(receiver, SMALL_KIB);
}

#[test]
fn the_longest_lists_are_held_two_at_a_time() {
    let mut receiver = receiver(&[]);
    let mut eve = receiver.eve();
    let list = longest();
    let transfers: Vec<_> = (0..8)
        .map(|number| {
            let transfer = eve.offer(&list);
            // Two are taken; for more there is no room till one of them ends.
            assert_eq!(eve.answer(transfer), Some(number < 2), "{number}");
            transfer
        })
        .collect();
    for transfer in transfers {
        eve.cancel(transfer, Reason::User);
    }
    assert!(eve.is_acknowledged());
    receiver.has_only(&[]);
    receiver.without(eve);
    bounded(receiver, LISTS_KIB);
}

#[test]
fn the_longest_lists_with_a_fault_at_their_end_are_refused() {
    let mut receiver = receiver(&[]);
    let mut eve = receiver.eve();
    for last in ["..", "0"] {
        let transfer = eve.offer(&crowd(285_000).file(last, 0));
        assert_eq!(eve.answer(transfer), Some(false));
        eve.cancel(transfer, Reason::User);
    }
    assert!(eve.is_acknowledged());
    receiver.without(eve);
    bounded(receiver, LISTS_KIB);
}

#[test]
fn twenty_thousand_ends_of_files_are_taken_in_little_memory() {
    const FILES: u32 = 20_000;
    let mut receiver = receiver(&["failed", "progress"]);
    let mut eve = receiver.eve();
    let mut upload = eve.begin(&crowd(FILES));
    for _ in 0..FILES {
        eve.wait_for_credit();
        eve.file_end(&mut upload, FileStatus::Unreadable, [0; 32]);
    }
    assert_eq!(eve.read_complete(), Some((0, FILES)));
    receiver.has_only(&[]);
    receiver.without(eve);
    bounded(receiver, SMALL_KIB);
}

#[test]
fn compressed_chunks_that_open_to_six_thousand_times_their_size_are_bounded_by_credit() {
    const CHUNKS: u64 = 20_000;
    let mut receiver = receiver(&["progress"]);
    let mut eve = receiver.eve();
    let mut upload = eve.begin(&List::default().file("zeros", CHUNKS * CHUNK_DATA as u64));
    // 49,152 zeros, in a frame by hand (PROTOCOL.md section 8).
    let frame = b"\x28\xb5\x2f\xfd\x60\x00\xbf\x03\x00\x06\x00";
    for _ in 0..CHUNKS {
        eve.wait_for_credit();
        let Upload { transfer, position } = upload;
        eve.send(&Frame::Zchunk { transfer, position, frame: frame.to_vec() }).unwrap();
        upload.position += CHUNK_DATA as u64;
    }
    eve.wait_for_credit();
    eve.file_end(&mut upload, FileStatus::Unreadable, [0; 32]);
    assert_eq!(eve.read_complete(), Some((0, 1)));
    receiver.without(eve);
    bounded(receiver, SMALL_KIB);
}
