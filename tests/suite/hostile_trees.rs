//! A sender that means harm, against a listener that stays: trees that lead elsewhere or are laid over each other, data at the wrong
//! time. Whatever one of them tries, nothing outside the receiving folder changes, and the next peer is served.

use crate::support::files::{List, content, tree};
use crate::support::{Attacker, Home, Peer, is, text};
use p2pchat::protocol::frame::{CHUNK_DATA, Control, FILE_END_WEIGHT, FileStatus, Frame, Reason};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

type Files = BTreeMap<String, Option<Vec<u8>>>;

/// A listener that takes everything, from one peer after the other.
struct AcceptLoop {
    ana: Peer,
    met: usize,
    before: Files,
}

impl AcceptLoop {
    fn new() -> Self {
        Self::with(&["--accept", "always"])
    }

    fn with(options: &[&str]) -> Self {
        let home = Home::new();
        fs::write(home.inbox().join("mine"), "mine").unwrap();
        fs::write(home.work().join("outside"), "outside").unwrap();
        let ana = home.listen("ana", &[&["--keep", "--reconnect", "0"], options].concat());
        let before = files(&home);
        Self { ana, met: 0, before }
    }

    /// The next one that means harm.
    fn eve(&mut self) -> Attacker {
        let eve = Attacker::meet(self.ana.addr(), "eve");
        self.met += 1;
        self.ana.event_nth(self.met, "connected");
        eve
    }

    /// It goes without a word, and the listener is free for the next.
    fn without(&self, eve: Attacker) {
        let lost = self.ana.all("lost").len();
        drop(eve);
        self.ana.event_nth(lost + 1, "lost");
    }

    /// Offers a list, which is accepted with a credit; gives the position of its data.
    fn take(&self, eve: &mut Attacker, transfer: u32, list: &List) -> u64 {
        eve.offer(transfer, list);
        assert_eq!(eve.answer(transfer), Some(true));
        eve.read_to(|frame| matches!(frame, Frame::Credit { .. })).unwrap();
        list.end()
    }

    /// Nothing outside the folder changed, nothing in it either but what is named (and partials).
    #[track_caller]
    fn has_only(&self, new: &[&str]) {
        let mut after = files(self.ana.home());
        after.retain(|name, _| !name.rsplit('/').next().unwrap().starts_with(".p2pchat-"));
        for name in new {
            assert!(after.remove(&format!("inbox/{name}")).is_some(), "{name} is missing");
        }
        assert_eq!(after, self.before);
    }

    /// The session is over by the peer's fault.
    #[track_caller]
    fn ends_as_a_fault(&self, mut eve: Attacker, nth: usize) {
        eve.read_to_end();
        assert_eq!(self.ana.event_nth(nth, "error")["code"], "protocol");
    }

    /// An honest peer is served, and the program ends as if nothing had happened.
    #[track_caller]
    fn serves_the_next(mut self) {
        let mut ben = Home::new().connect("ben", self.ana.addr(), &[]);
        ben.home().file("honest", "honest");
        ben.send("/send honest");
        ben.event("done");
        ben.send("/quit");
        ben.ends_with(0);
        assert_eq!(fs::read(self.ana.home().inbox().join("honest")).unwrap(), b"honest");
        self.ana.send("/quit");
        self.ana.ends_with(0);
    }
}

/// All that the user has but the program's own data.
fn files(home: &Home) -> Files {
    let all = tree(home.inbox().parent().unwrap());
    all.into_iter().filter(|(name, _)| !name.starts_with("data/")).collect()
}

fn end(eve: &mut Attacker, transfer: u32, position: u64, status: FileStatus, digest: [u8; 32]) {
    let _ = eve.send(&Frame::FileEnd { transfer, position, status, digest });
}

/// Sends one file of a transfer as an honest sender would; gives the position of the next.
fn send(eve: &mut Attacker, transfer: u32, position: u64, data: &[u8]) -> u64 {
    eve.data(transfer, position, data);
    let position = position + data.len() as u64;
    end(eve, transfer, position, FileStatus::Whole, *blake3::hash(data).as_bytes());
    position + FILE_END_WEIGHT
}

fn cancel(eve: &mut Attacker, transfer: u32) {
    let (reason, text) = (Reason::Confirmed, String::new());
    let _ = eve.control(Control::Cancel { transfer, reason, text, by_offerer: true });
}

#[test]
fn paths_depths_and_cut_names_are_refused_one_peer_after_the_other() {
    let file = |name: &str| List::default().file(name, 1);
    // The length says 255, the name goes on: what follows is read as an entry, and is none.
    let beyond = |kind: u8, extra: usize| {
        let head = if kind == 1 { 22 } else { 14 };
        let entry = [&[kind][..], &vec![0; head], &[255], "x".repeat(255 + extra).as_bytes()].concat();
        List::default().raw(&entry)
    };
    let deep = |depth| {
        let down = (0..depth).fold(List::default(), |list, _| list.enter("d"));
        (0..depth).fold(down.file("f", 0), |list, _| list.leave())
    };
    let lists = [
        ("a path", file("a/../../x")),
        ("a path up", file("../x")),
        ("an absolute path", file("/tmp/x")),
        ("a drive", file("C:\\x")),
        ("a host", file("\\\\host\\x")),
        ("300 bytes of a file's name", beyond(1, 45)),
        ("300 bytes of a folder's name", beyond(2, 45)),
        ("a list that ends in a name", beyond(1, 0).raw(&[1])),
        ("10,000 folders in one another", deep(10_000)),
        ("10,000 folders that are never left", (0..10_000).fold(List::default(), |list, _| list.enter("d"))),
        ("a file, then a folder of its name", List::default().file("a", 1).enter("a").file("b", 1).leave()),
        ("a folder that is left twice", List::default().enter("a").leave().leave()),
    ];
    let mut keeper = AcceptLoop::new();
    for (number, (what, list)) in (1..).zip(lists) {
        let mut eve = keeper.eve();
        eve.offer(1, &list);
        assert_eq!(eve.answer(1), Some(false), "{what}");
        let declined = keeper.ana.event_nth(number, "declined");
        assert!(!text(&declined, "reason").is_empty(), "{what}: {declined}");
        keeper.has_only(&[]);
        keeper.without(eve);
    }
    keeper.serves_the_next();
}

#[test]
fn names_that_only_some_systems_take_for_the_same_land_beside_each_other() {
    let names = ["a", "A", "file.txt", "FILE.TXT", "\u{e9}", "e\u{301}", "\u{212b}", "\u{c5}", "a:stream", "ﬁ", "fi"];
    let mut keeper = AcceptLoop::new();
    let mut eve = keeper.eve();
    let list = names.iter().fold(List::default(), |list, name| list.file(name, name.len() as u64));
    let mut position = keeper.take(&mut eve, 1, &list);
    for name in names {
        position = send(&mut eve, 1, position, name.as_bytes());
    }
    keeper.ana.event("done");
    for name in names {
        assert_eq!(fs::read(keeper.ana.home().inbox().join(name)).unwrap(), name.as_bytes(), "{name}");
    }
    keeper.has_only(&names);
    keeper.without(eve);
    keeper.serves_the_next();
}

#[test]
fn names_of_the_program_s_own_files_are_names_like_others() {
    let partials = [".p2pchat-0123456789abcdef", ".P2PCHAT-0123456789ABCDEF", ".p2pchat-"];
    let own = ["download-0123456789abcdef0123456789abcdef", "known_peers", "identity", "history", "partials"];
    let mut keeper = AcceptLoop::new();
    let home = keeper.ana.home().clone();
    // But for the empty folder of journals, which is made when it is needed.
    let data = || {
        let mut all = tree(&home.data());
        all.remove("partials");
        all
    };
    let mut eve = keeper.eve();
    let before = data();
    let list = own.iter().chain(&partials).fold(List::default(), |list, name| list.file(name, 3));
    let mut position = keeper.take(&mut eve, 1, &list);
    for _ in 0..own.len() + partials.len() {
        position = send(&mut eve, 1, position, b"eve");
    }
    keeper.ana.event("done");
    let landed = partials.map(|name| format!("_{name}"));
    let all: Vec<_> = own.into_iter().chain(landed.iter().map(String::as_str)).collect();
    keeper.has_only(&all);
    assert!(data() == before, "its own files changed");
    keeper.without(eve);
    keeper.serves_the_next();
}

#[test]
fn folders_that_are_swapped_for_links_meanwhile_lead_nowhere() {
    const FOLDERS: usize = 400;
    let mut keeper = AcceptLoop::new();
    let inbox = keeper.ana.home().inbox();
    let outside = keeper.ana.home().work();
    let mut eve = keeper.eve();
    let inner = |list: List, n: usize| list.enter(&format!("d{n}")).enter("e").file("outside", 1).leave().leave();
    let list = (0..FOLDERS).fold(List::default().enter("t"), inner).leave();
    let mut position = keeper.take(&mut eve, 1, &list);
    let over = AtomicBool::new(false);
    let mut swapped = 0;
    thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let mut swapped = 0;
            while !over.load(Ordering::Relaxed) {
                swapped += swap_all(&inbox.join("t"), &outside);
            }
            swapped
        });
        for _ in 0..FOLDERS {
            position = send(&mut eve, 1, position, b"x");
            // Reads what comes, so that credit for the rest is there.
            if position.is_multiple_of(7) {
                assert!(eve.is_answered());
            }
        }
        keeper.ana.wait_for(|event| is(event, "done") || (is(event, "failed") && event.get("path").is_none()));
        over.store(true, Ordering::Relaxed);
        swapped = swapping.join().unwrap();
    });
    assert!(swapped > 0);
    let after = files(keeper.ana.home());
    let elsewhere = |files: &Files| -> Files {
        files.clone().into_iter().filter(|(name, _)| !name.starts_with("inbox/t")).collect()
    };
    assert_eq!(elsewhere(&after), keeper.before);
    keeper.without(eve);
    keeper.serves_the_next();
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

#[test]
fn a_link_in_place_of_the_partial_s_folder_or_the_name_changes_nothing_outside() {
    let mut keeper = AcceptLoop::new();
    let home = keeper.ana.home().clone();
    let mut eve = keeper.eve();
    let data = content("x", 3 * CHUNK_DATA);
    let list = List::default().enter("t").file("outside", data.len() as u64).leave();
    let start = keeper.take(&mut eve, 1, &list);
    eve.data(1, start, &data[..CHUNK_DATA]);
    let folder = home.inbox().join("t");
    keeper.ana.event("progress");
    fs::rename(&folder, home.inbox().join("moved")).unwrap();
    symlink(home.work(), &folder).unwrap();
    symlink(home.work().join("made"), home.inbox().join("moved/outside")).unwrap();
    eve.data(1, start + CHUNK_DATA as u64, &data[CHUNK_DATA..]);
    end(&mut eve, 1, start + data.len() as u64, FileStatus::Whole, *blake3::hash(&data).as_bytes());
    keeper.ana.event("done");
    assert_eq!(fs::read(home.inbox().join("moved/outside (1)")).unwrap(), data);
    assert_eq!(fs::read(home.work().join("outside")).unwrap(), b"outside");
    assert!(!home.work().join("made").exists());
    keeper.without(eve);
    keeper.serves_the_next();
}

#[test]
fn data_for_what_was_declined_or_is_finished_goes_nowhere() {
    let mut keeper = AcceptLoop::with(&["--accept", "never"]);
    let mut eve = keeper.eve();
    let list = List::default().file("declined", 4);
    eve.offer(1, &list);
    assert_eq!(eve.answer(1), Some(false));
    send(&mut eve, 1, list.end(), b"data");
    assert!(eve.is_answered(), "it may have been on its way");
    cancel(&mut eve, 1);
    send(&mut eve, 1, list.end(), b"data");
    assert!(eve.is_answered());
    keeper.has_only(&[]);

    let mut keeper = AcceptLoop::new();
    let mut eve = keeper.eve();
    let start = keeper.take(&mut eve, 1, &List::default().file("finished", 4));
    send(&mut eve, 1, start, b"data");
    // Until the receiver has said that it is complete, more is a fault.
    let complete = |frame: &Frame| matches!(frame, Frame::Control { control: Control::Complete { .. }, .. });
    eve.read_to(complete).unwrap();
    for position in [start, start + 4, start + 4 + FILE_END_WEIGHT, 0] {
        send(&mut eve, 1, position, b"more");
    }
    cancel(&mut eve, 1);
    assert!(eve.is_answered());
    assert_eq!(fs::read(keeper.ana.home().inbox().join("finished")).unwrap(), b"data");
    keeper.has_only(&["finished"]);
    keeper.without(eve);
    keeper.serves_the_next();
}

#[test]
fn positions_beyond_all_numbers_are_a_fault() {
    let mut keeper = AcceptLoop::new();
    let far = [u64::MAX, u64::MAX - CHUNK_DATA as u64 + 1, 1 << 63, u64::MAX - FILE_END_WEIGHT + 1];
    let mut faults = 0;
    for position in far {
        for is_end in [false, true] {
            let mut eve = keeper.eve();
            keeper.take(&mut eve, 1, &List::default().file("data", 1 << 40));
            if is_end {
                end(&mut eve, 1, position, FileStatus::Unreadable, [0; 32]);
            } else {
                eve.data(1, position, &content("x", CHUNK_DATA));
            }
            faults += 1;
            keeper.ends_as_a_fault(eve, faults);
            keeper.has_only(&[]);
        }
    }
    keeper.serves_the_next();
}

#[test]
fn a_sender_that_falls_silent_half_way_holds_nobody() {
    let mut keeper = AcceptLoop::new();
    let mut eve = keeper.eve();
    let start = keeper.take(&mut eve, 1, &List::default().file("half", 10 * CHUNK_DATA as u64));
    eve.data(1, start, &content("half", 3 * CHUNK_DATA));
    keeper.ana.event("progress");
    keeper.ana.send("/cancel");
    keeper.ana.event("cancelled");
    keeper.has_only(&[]);
    // It does not even confirm.
    keeper.without(eve);
    keeper.serves_the_next();
}

#[test]
fn the_exit_code_of_one_session_is_that_of_a_fault() {
    let home = Home::new();
    let mut ana = home.listen("ana", &["--accept", "always", "--reconnect", "0"]);
    let mut eve = Attacker::meet(ana.addr(), "eve");
    eve.data(1, 0, b"x");
    eve.read_to_end();
    ana.ends_with(1);
    assert_eq!(ana.event("error")["code"], "protocol");
}
