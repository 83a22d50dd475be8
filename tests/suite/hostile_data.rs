//! Data that means harm: out of place, not agreed on, or into folders that change meanwhile. Nothing outside the receiving folder
//! changes, nothing unfinished gets a name, and the next peer is served.

use crate::support::files::{List, content};
use crate::support::hostile::Upload;
use crate::support::{Attacker, Receiver, is};
use p2pchat::protocol::frame::{CHUNK_DATA, Control, END_WEIGHT, FileStatus, Frame, Reason};
use serde_json::Value;
use std::fs;
use std::io::Write;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

/// Larger than two chunks.
const LARGE: u64 = 400_000;
const CHUNK: u64 = CHUNK_DATA as u64;

#[test]
fn data_that_was_not_agreed_on_is_a_fault() {
    type Act = fn(&mut Attacker, Upload);
    let one = |size| List::default().file("data", size);
    let cases: [(&str, List, Act); 12] = [
        ("for no transfer", one(1), |eve, _| eve.data(77, 0, b"x")),
        ("with a gap before it", one(LARGE), |eve, to| {
            eve.data(to.transfer, to.position + CHUNK, &content("x", CHUNK_DATA))
        }),
        ("twice", one(LARGE), |eve, to| {
            for _ in 0..2 {
                eve.data(to.transfer, to.position, &content("x", CHUNK_DATA));
            }
        }),
        ("in the list", one(LARGE), |eve, to| eve.data(to.transfer, 0, b"x")),
        ("in pieces that are too small", one(LARGE), |eve, to| {
            eve.data(to.transfer, to.position, b"a piece in the middle")
        }),
        ("across the end of its file", one(10), |eve, to| eve.data(to.transfer, to.position, b"0123456789a")),
        ("beyond the end of everything", one(1), |eve, mut to| {
            eve.upload(&mut to, b"x");
            eve.data(to.transfer, to.position + END_WEIGHT, b"x");
        }),
        ("an end in the middle", one(LARGE), |eve, mut to| eve.file_end(&mut to, FileStatus::Whole, [0; 32])),
        ("an end that comes twice", one(0).file("more", 10), |eve, to| {
            for mut to in [to, to] {
                eve.file_end(&mut to, FileStatus::Unreadable, [0; 32]);
            }
        }),
        ("at the largest position", one(1 << 31), |eve, to| eve.data(to.transfer, u64::MAX, &content("x", CHUNK_DATA))),
        ("at a negative position", one(1 << 31), |eve, to| eve.data(to.transfer, 1 << 63, &content("x", CHUNK_DATA))),
        ("an end whose weight overflows", one(1 << 31), |eve, to| {
            let mut far = Upload { position: u64::MAX - END_WEIGHT + 1, ..to };
            eve.file_end(&mut far, FileStatus::Unreadable, [0; 32]);
        }),
    ];
    let mut receiver = Receiver::new();
    for (what, list, act) in cases {
        let mut eve = receiver.eve();
        let upload = eve.begin(&list);
        act(&mut eve, upload);
        receiver.ends_as_a_fault(eve, what);
        receiver.has_only(&[]);
    }
    assert!(receiver.ana.all("done").is_empty());
    receiver.serves_the_next();
}

/// A zstd frame of its own making: a descriptor and what follows it.
fn zstd(descriptor: u8, rest: &[u8]) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, descriptor][..], rest].concat()
}

/// A block that says `size` times 0.
fn zeros(size: usize, last: bool) -> [u8; 4] {
    let [low, middle, high, _] = ((size as u32) << 3 | 2 | u32::from(last)).to_le_bytes();
    [low, middle, high, 0]
}

#[test]
fn compressed_data_that_is_not_exactly_its_chunk_is_a_fault() {
    /// The size of a full chunk as a frame has it.
    const FULL: [u8; 2] = (CHUNK_DATA as u16 - 256).to_le_bytes();
    let good = zstd(0x60, &[&FULL[..], &zeros(CHUNK_DATA, true)].concat());
    let with = |descriptor, rest: &[&[u8]]| zstd(descriptor, &rest.concat());
    let last = zeros(CHUNK_DATA, true);
    // 1 GiB in blocks of 4 bytes that fill the largest frame.
    let bomb: Vec<u8> = [zeros(87_440, false); 12_280].concat();
    let gibibyte = (1_u32 << 30).to_le_bytes();
    let cases: [(&str, Vec<u8>); 24] = [
        ("no zstd frame", b"this is not a frame".to_vec()),
        ("the magic number alone", good[..4].to_vec()),
        ("cut in its block", good[..good.len() - 1].to_vec()),
        ("cut after its header", good[..7].to_vec()),
        ("a byte after it", [&good[..], b"x"].concat()),
        ("a second frame after it", [&good[..], &good].concat()),
        ("an empty frame after it", [&good[..], &zstd(0x20, &[0, 1, 0, 0])].concat()),
        ("a skippable frame after it", [&good[..], b"\x50\x2a\x4d\x18\0\0\0\0"].concat()),
        ("a skippable frame before it", [b"\x50\x2a\x4d\x18\x01\0\0\0x", &good[..]].concat()),
        ("a dictionary", with(0x61, &[&[7], &FULL, &last])),
        ("a dictionary of two bytes", with(0x62, &[&[7, 7], &FULL, &last])),
        ("a dictionary of four bytes", with(0x63, &[&[7; 4], &FULL, &last])),
        ("a reserved bit", with(0x68, &[&FULL, &last])),
        ("an unused bit", with(0x70, &[&FULL, &last])),
        ("a size in eight bytes", with(0xe0, &[&(CHUNK_DATA as u64).to_le_bytes(), &last])),
        ("a size of nothing", with(0x20, &[&[0], &zeros(0, true)])),
        ("a checksum", with(0x64, &[&FULL, &last, &[0; 4]])),
        ("a window of 1 GiB", with(0x40, &[&[0xa0], &FULL, &last])),
        ("1 GiB by its size", with(0xa0, &[&gibibyte, &bomb])),
        ("1 GiB of blocks in it", with(0x60, &[&FULL, &bomb, &last])),
        ("less in it than it says", with(0x60, &[&FULL, &zeros(CHUNK_DATA - 1, true)])),
        ("more in it than it says", with(0x60, &[&FULL, &zeros(CHUNK_DATA, false), &zeros(1, true)])),
        ("another size than its chunk", with(0x60, &[&[0, 0], &zeros(256, true)])),
        ("a block of an unknown type", with(0x60, &[&FULL, &[7, 0, 0]])),
    ];
    let list = List::default().file("data", LARGE);
    let mut receiver = Receiver::new();
    for (what, frame) in cases {
        let mut eve = receiver.eve();
        let Upload { transfer, position } = eve.begin(&list);
        let _ = eve.send(&Frame::Zchunk { transfer, position, frame });
        let error = receiver.ends_as_a_fault(eve, what);
        let named =
            error["text"].as_str().is_some_and(|text| text.contains("compressed chunk") || text.contains("wrong size"));
        assert!(named, "{what}: {error}");
    }
    // A good one where none may stand: in a list, without the feature, beyond the end of its file.
    let mut eve = receiver.eve();
    let transfer = eve.next_transfer();
    let long = (0..7_000).fold(List::default(), |list, n| list.file(&n.to_string(), 1));
    eve.control(Control::Offer { transfer, offer: long.offer() }).unwrap();
    let _ = eve.send(&Frame::Zchunk { transfer, position: 0, frame: good.clone() });
    receiver.ends_as_a_fault(eve, "in a list");
    let mut eve = receiver.eve();
    let Upload { transfer, position } = eve.begin(&List::default().file("data", CHUNK - 1));
    let _ = eve.send(&Frame::Zchunk { transfer, position, frame: good.clone() });
    receiver.ends_as_a_fault(eve, "beyond the end of its file");
    let mut eve = receiver.eve_with(0);
    let Upload { transfer, position } = eve.begin(&list);
    let _ = eve.send(&Frame::Zchunk { transfer, position, frame: good.clone() });
    receiver.ends_as_a_fault(eve, "without the feature");
    receiver.has_only(&[]);
    // And one where it may.
    let mut eve = receiver.eve();
    let mut upload = eve.begin(&List::default().file("zeros", CHUNK + 8));
    for (frame, content) in [(good, CHUNK), (zstd(0x20, &[&[8][..], &zeros(8, true)].concat()), 8)] {
        eve.send(&Frame::Zchunk { transfer: upload.transfer, position: upload.position, frame }).unwrap();
        upload.position += content;
    }
    eve.file_end(&mut upload, FileStatus::Whole, *blake3::hash(&[0; CHUNK_DATA + 8]).as_bytes());
    assert_eq!(eve.read_complete(), Some((1, 0)));
    receiver.without(eve);
    receiver.has_only(&["zeros"]);
    receiver.serves_the_next();
}

#[test]
fn a_beginning_that_differs_from_the_file_is_sent_again_from_its_start() {
    let mut receiver = Receiver::with(&[]);
    let data = content("differs", 3 * CHUNK_DATA + 9);
    receiver.home().file("data", &data);
    for back in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1] {
        let mut eve = receiver.eve();
        receiver.ana.send("/send data");
        let Some(Frame::Chunk { transfer, data: list, .. }) = eve.read_to(|frame| matches!(frame, Frame::Chunk { .. }))
        else {
            panic!("no list");
        };
        let start = list.len() as u64;
        let position = start + data.len() as u64 - back;
        eve.control(Control::Accept { transfer, position, digest: [9; 32] }).unwrap();
        eve.send(&Frame::Credit { limit: 1 << 20 }).unwrap();
        let begin = eve.read_to(|frame| matches!(frame, Frame::Begin { .. }));
        assert_eq!(begin, Some(Frame::Begin { transfer, position: start }), "{back}");
        let end = eve.read_to(|frame| matches!(frame, Frame::FileEnd { .. }));
        let digest = *blake3::hash(&data).as_bytes();
        let expected =
            Frame::FileEnd { transfer, position: start + data.len() as u64, status: FileStatus::Whole, digest };
        assert_eq!(end, Some(expected), "{back}");
        eve.control(Control::Complete { transfer, files: 1, failed: 0 }).unwrap();
        assert!(eve.is_acknowledged());
        receiver.without(eve);
    }
}

#[test]
fn a_record_that_only_drips_in_loses_the_connection() {
    let mut receiver = Receiver::new();
    let mut eve = receiver.eve();
    let begun = Instant::now();
    // Nothing is read meanwhile, so the end shows in a write that fails.
    let dripped = std::iter::once(0xff).chain(std::iter::repeat_n(1, 600)).try_for_each(|byte| {
        std::thread::sleep(Duration::from_millis(100));
        eve.stream.write_all(&[byte])
    });
    let taken = begun.elapsed();
    assert!(dripped.is_err(), "a record took a minute");
    assert!(taken >= Duration::from_secs(14), "it ended after {taken:?}");
    receiver.ana.event("lost");
    receiver.serves_the_next();
}

#[test]
fn data_before_the_answer_is_a_fault() {
    let mut receiver = Receiver::with(&[]);
    let mut eve = receiver.eve();
    let list = List::default().file("asked", 10);
    let transfer = eve.offer(&list);
    receiver.ana.event("offer");
    eve.data(transfer, list.end(), b"0123456789");
    receiver.ends_as_a_fault(eve, "data beyond the list");
    receiver.has_only(&[]);
}

#[test]
fn what_is_not_whole_gets_no_name() {
    let half = content("half", 2 * CHUNK_DATA);
    let mut receiver = Receiver::new();
    for (number, (status, digest, rest)) in (1..).zip([
        // With a wrong digest: one that came at once, and one that was a part on the disk before.
        (FileStatus::Whole, [9; 32], 0),
        (FileStatus::Whole, [9; 32], 9),
        (FileStatus::Changed, [0; 32], LARGE),
        (FileStatus::Unreadable, [0; 32], LARGE),
    ]) {
        let mut eve = receiver.eve();
        let mut upload = eve.begin(&List::default().file("data", 2 * CHUNK + rest));
        eve.upload(&mut upload, &half);
        if rest == 9 {
            let there = |event: &Value| is(event, "progress") && event["bytes"] == half.len();
            receiver.ana.wait_for(|event| there(event) && event["transfer"] == upload.transfer);
            eve.upload(&mut upload, b"the rest.");
        }
        eve.file_end(&mut upload, status, digest);
        receiver.ana.wait_for_nth(number, |event| is(event, "failed") && event.get("path").is_some());
        assert_eq!(eve.read_complete(), Some((0, 1)));
        receiver.has_only(&[]);
        receiver.without(eve);
    }
    let mut eve = receiver.eve();
    let mut upload = eve.begin(&List::default().file("data", LARGE));
    eve.upload(&mut upload, &half);
    receiver.without(eve);
    receiver.has_only(&[]);
    receiver.serves_the_next();
}

#[test]
fn data_after_the_receiver_s_cancel_is_dropped() {
    let mut receiver = Receiver::new();
    for (number, confirms) in (1..).zip([true, false]) {
        let mut eve = receiver.eve();
        let mut upload = eve.begin(&List::default().file("data", LARGE));
        eve.upload(&mut upload, &content("x", CHUNK_DATA));
        receiver.ana.send("/cancel");
        receiver.ana.event_nth(number, "cancelled");
        let cancelled = |frame: &Frame| matches!(frame, Frame::Control { control: Control::Cancel { .. }, .. });
        assert!(eve.read_to(cancelled).is_some());
        eve.upload(&mut upload, &content("x", CHUNK_DATA));
        assert!(eve.is_answered(), "what was on its way is no fault");
        if confirms {
            eve.cancel(upload.transfer, Reason::Confirmed);
            assert!(eve.is_acknowledged());
            // Control overtakes bulk, so even now some may come; it is discarded.
            eve.upload(&mut upload, &content("x", CHUNK_DATA));
            assert!(eve.is_answered());
        }
        receiver.has_only(&[]);
        receiver.without(eve);
    }
    receiver.serves_the_next();
}

#[test]
fn data_for_what_was_declined_or_is_finished_is_dropped() {
    let mut receiver = Receiver::with(&["--accept", "never"]);
    let mut eve = receiver.eve();
    let list = List::default().file("declined", 4);
    let transfer = eve.offer(&list);
    assert_eq!(eve.answer(transfer), Some(false));
    let mut declined = eve.begin_data(transfer, list.end());
    eve.upload_file(&mut declined, b"data");
    assert!(eve.is_answered(), "it may have been on its way");
    eve.cancel(transfer, Reason::Confirmed);
    eve.upload_file(&mut declined, b"data");
    assert!(eve.is_answered());
    receiver.has_only(&[]);

    let mut receiver = Receiver::new();
    let mut eve = receiver.eve();
    let mut upload = eve.begin(&List::default().file("finished", 4));
    let start = upload.position;
    eve.upload_file(&mut upload, b"data");
    // Until the receiver has said that it is complete, more is a fault.
    assert_eq!(eve.read_complete(), Some((1, 0)));
    for position in [start, start + 4, start + 4 + END_WEIGHT, 0] {
        eve.upload_file(&mut Upload { position, ..upload }, b"more");
    }
    eve.cancel(upload.transfer, Reason::Confirmed);
    assert!(eve.is_answered());
    assert_eq!(fs::read(receiver.home().inbox().join("finished")).unwrap(), b"data");
    receiver.has_only(&["finished"]);
    receiver.without(eve);
    receiver.serves_the_next();
}

#[cfg(unix)]
mod links {
    use super::*;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    #[test]
    fn links_that_are_there_are_not_followed() {
        let mut receiver = Receiver::new();
        let (inbox, work) = (receiver.home().inbox(), receiver.home().work());
        symlink(&work, inbox.join("folder")).unwrap();
        symlink(work.join("made"), inbox.join("dangling")).unwrap();
        symlink(work.join("outside"), inbox.join("link")).unwrap();
        receiver.rebase();
        let mut eve = receiver.eve();
        let list = List::default().file("dangling", 1).file("link", 1).enter("folder").file("outside", 1).leave();
        let mut upload = eve.begin(&list);
        for _ in 0..3 {
            eve.upload_file(&mut upload, b"x");
        }
        receiver.ana.wait_for(|event| is(event, "done") || is(event, "failed"));
        receiver.has_only(&["dangling (1)", "link (1)", "folder (1)", "folder (1)/outside"]);
    }

    #[test]
    fn folders_that_are_swapped_for_links_meanwhile_lead_nowhere() {
        const FOLDERS: usize = 400;
        let mut receiver = Receiver::new();
        let inbox = receiver.home().inbox();
        let outside = receiver.home().work();
        let mut eve = receiver.eve();
        let inner = |list: List, n: usize| list.enter(&format!("d{n}")).enter("e").file("outside", 1).leave().leave();
        let list = (0..FOLDERS).fold(List::default().enter("t"), inner).leave();
        let mut upload = eve.begin(&list);
        let over = AtomicBool::new(false);
        let swapped = thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                let mut swapped = 0;
                while !over.load(Ordering::Relaxed) {
                    for staging in fs::read_dir(&inbox).into_iter().flatten().flatten() {
                        swapped += swap_all(&staging.path().join("tree/t"), &outside);
                    }
                }
                swapped
            });
            for n in 0..FOLDERS {
                eve.upload_file(&mut upload, b"x");
                // Reads what comes, so that credit for the rest is there.
                if n % 7 == 0 {
                    assert!(eve.is_answered());
                }
            }
            receiver.ana.wait_for(|event| is(event, "done") || (is(event, "failed") && event.get("path").is_none()));
            over.store(true, Ordering::Relaxed);
            swapping.join().unwrap()
        });
        assert!(swapped > 0);
        receiver.has_only_below("t");
        receiver.without(eve);
        receiver.serves_the_next();
    }

    /// Moves every folder away and puts a link to `outside` in its place; gives how many.
    fn swap_all(folder: &Path, outside: &Path) -> usize {
        let mut swapped = 0;
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_moved = path.extension().is_some_and(|extension| extension == "moved");
            if !is_moved && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let moved = fs::rename(&path, path.with_extension("moved"));
                swapped += usize::from(moved.and_then(|()| symlink(outside, &path)).is_ok());
            }
        }
        swapped
    }
}
