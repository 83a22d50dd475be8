//! Both programs end in the middle, and the same offer comes again.

#![expect(clippy::as_conversions, reason = "the numbers of these tests are small constants")]

use super::whole::{Rooms, finished, noise};
use super::wire::{Outcome, Run};
use crate::transfer::landing::partial_name;
use crate::transfer::resume::Journals;
use std::fs;
use std::path::{Path, PathBuf};

/// Over what one credit steps by, so that a durable position in the middle of it is told.
const BIG: usize = 9_000_001;
/// Pieces until the crash: the list, two for the small file, and the greater part of the big one.
const PIECES: usize = 110;
/// Bytes that are durable at the crash, at least.
const DURABLE: u64 = 3 << 20;

/// A folder with a small file, a big one and another small one, sent until the crash.
fn crashed() -> Rooms {
    let rooms = Rooms::new();
    rooms.put("t/a", b"small");
    rooms.put("t/big", &noise(BIG));
    rooms.put("t/z", b"last");
    crash(rooms.run(&["t"]));
    rooms
}

fn crash(mut run: Run) {
    run.crash = Some((PIECES, DURABLE));
    let outcome = run.go();
    assert!(outcome.finished.is_none() && outcome.broken.is_none(), "{outcome:?}");
}

fn partial(folder: &Path) -> PathBuf {
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with(".p2pchat-"))
        .expect("a partial is there")
}

fn journal(rooms: &Rooms) -> PathBuf {
    fs::read_dir(rooms.state.path()).unwrap().next().unwrap().unwrap().path()
}

/// Takes back what was written after this line, as if the program had been killed there; gives the name of a file's partial.
fn killed_after(rooms: &Rooms, line: &str) -> impl Fn(usize) -> PathBuf {
    let path = journal(rooms);
    let text = fs::read_to_string(&path).unwrap();
    let end = text.find(line).unwrap() + line.len();
    fs::write(&path, &text[..end]).unwrap();
    let seed = text.split_once("\nseed ").unwrap().1.get(..32).unwrap();
    let seed = u128::from_str_radix(seed, 16).unwrap().to_be_bytes();
    let folder = rooms.to.path().join("t");
    move |index| folder.join(partial_name(&seed, index))
}

fn assert_whole(rooms: &Rooms, outcome: &Outcome) {
    assert_eq!(finished(outcome), (3, 0, BIG as u64 + 9), "{outcome:?}");
    let read = |name: &str| fs::read(rooms.to.path().join(name)).unwrap();
    assert_eq!(read("t/a"), b"small");
    assert!(read("t/big") == noise(BIG), "the big file differs");
    assert_eq!(read("t/z"), b"last");
    assert_eq!(fs::read_dir(rooms.to.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(rooms.to.path().join("t")).unwrap().count(), 3);
    rooms.assert_clean();
}

#[test]
fn a_transfer_goes_on_after_a_crash_without_sending_again_what_is_there() {
    let rooms = crashed();
    let there = fs::metadata(partial(&rooms.to.path().join("t"))).unwrap().len();
    let outcome = rooms.run(&["t"]).go();
    let (position, resumed) = outcome.ready[0];
    assert_eq!(position, outcome.data_start + 5 + 1024 + there);
    assert_eq!(resumed, 5 + there);
    assert!(outcome.warnings.is_empty(), "{outcome:?}");
    // The first was published before the crash.
    assert_eq!(outcome.got.len(), 2);
    assert_whole(&rooms, &outcome);
}

#[test]
fn a_partial_that_was_tampered_with_is_thrown_away_and_its_file_sent_anew() {
    let rooms = crashed();
    let path = partial(&rooms.to.path().join("t"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[1_000_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let outcome = rooms.run(&["t"]).go();
    assert!(outcome.ready[0].1 > 1_000_000);
    assert_whole(&rooms, &outcome);
}

#[test]
fn a_source_that_changed_secretly_is_sent_anew() {
    let rooms = crashed();
    let path = rooms.from.path().join("t/big");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let other: Vec<u8> = noise(BIG).into_iter().rev().collect();
    fs::write(&path, &other).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let outcome = rooms.run(&["t"]).go();
    assert_eq!(finished(&outcome).0, 3);
    assert!(fs::read(rooms.to.path().join("t/big")).unwrap() == other);
    rooms.assert_clean();
}

#[test]
fn an_anew_begun_file_survives_broken_connections() {
    for cut in [1, 2, 30, 60, 150] {
        let rooms = crashed();
        let path = partial(&rooms.to.path().join("t"));
        let mut bytes = fs::read(&path).unwrap();
        bytes[5] ^= 1;
        fs::write(&path, bytes).unwrap();
        let mut run = rooms.run(&["t"]);
        run.cuts = vec![cut, 3];
        assert_whole(&rooms, &run.go());
    }
}

#[test]
fn a_partial_that_was_cut_shorter_goes_on_from_there() {
    let rooms = crashed();
    let path = partial(&rooms.to.path().join("t"));
    fs::File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();
    let outcome = rooms.run(&["t"]).go();
    assert_eq!(outcome.ready[0].1, 5 + 100_000);
    assert_whole(&rooms, &outcome);
}

#[test]
fn a_partial_that_is_whole_only_needs_its_end() {
    let rooms = crashed();
    fs::write(partial(&rooms.to.path().join("t")), noise(BIG)).unwrap();
    let outcome = rooms.run(&["t"]).go();
    assert_eq!(outcome.ready[0].1, 5 + BIG as u64);
    assert_whole(&rooms, &outcome);
}

#[test]
fn a_partial_that_is_gone_or_too_long_or_a_link_is_begun_anew_and_that_is_said() {
    type Spoil = fn(&Path);
    let spoil: [(&str, Spoil); 3] = [
        ("t/big: the partial is gone; it starts anew", |path| fs::remove_file(path).unwrap()),
        ("t/big: the partial is longer than the file; it starts anew", |path| {
            fs::write(path, vec![0; BIG + 1]).unwrap();
        }),
        ("t/big: the partial is gone; it starts anew", |path| {
            fs::remove_file(path).unwrap();
            #[cfg(unix)]
            std::os::unix::fs::symlink("/dev/null", path).unwrap();
        }),
    ];
    for (warning, spoil) in spoil {
        let rooms = crashed();
        let path = partial(&rooms.to.path().join("t"));
        spoil(&path);
        let outcome = rooms.run(&["t"]).go();
        assert_eq!(outcome.warnings, [warning]);
        assert_eq!(outcome.ready[0].1, 5);
        // A link that somebody put there is not ours to remove.
        let _ = fs::remove_file(&path);
        assert_whole(&rooms, &outcome);
    }
}

#[test]
fn a_renamed_folder_is_found_again_under_its_name() {
    let rooms = Rooms::new();
    rooms.put("t/a", b"small");
    rooms.put("t/big", &noise(BIG));
    fs::create_dir(rooms.to.path().join("t")).unwrap();
    crash(rooms.run(&["t"]));
    let outcome = rooms.run(&["t"]).go();
    assert_eq!(finished(&outcome), (2, 0, BIG as u64 + 5));
    assert_eq!(outcome.finished.unwrap().0, rooms.to.path().join("t (1)"));
    assert_eq!(fs::read_dir(rooms.to.path()).unwrap().count(), 2);
    assert_eq!(fs::read_dir(rooms.to.path().join("t (1)")).unwrap().count(), 2);
}

#[test]
fn another_peer_never_goes_on_with_a_partial() {
    let rooms = crashed();
    let mut run = rooms.run(&["t"]);
    run.settings.peer = "OTHER".into();
    let outcome = run.go();
    assert_eq!(outcome.ready[0].1, 0);
    assert!(rooms.to.path().join("t (1)/big").exists());
    // The partial of the first peer is still there for it.
    partial(&rooms.to.path().join("t"));
}

#[test]
fn a_journal_that_does_not_hold_is_said_and_everything_starts_anew() {
    let spoil: [fn(String) -> String; 6] = [
        |text| text + "whole 99\n",
        |text| text + "folder 7 - not-in-the-list\n",
        |text| text + "folder 0 - ../x\n",
        |text| text + "rubbish\n",
        |text| text.replace("whole 0", "whole 1"),
        |text| text.replace("p2pchat download 1", "p2pchat download 2"),
    ];
    for spoil in spoil {
        let rooms = crashed();
        let path = journal(&rooms);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, spoil(text.clone())).unwrap();
        let outcome = rooms.run(&["t"]).go();
        assert_eq!(outcome.warnings.len(), 1, "{:?}", outcome.warnings);
        assert_eq!(outcome.ready[0].1, 0);
        assert_eq!(finished(&outcome).0, 3);
        assert!(rooms.to.path().join("t (1)/big").exists());
    }
}

#[test]
fn a_last_line_that_is_cut_does_not_count() {
    let rooms = crashed();
    let path = journal(&rooms);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "who").unwrap();
    let outcome = rooms.run(&["t"]).go();
    assert!(outcome.warnings.is_empty());
    assert!(outcome.ready[0].1 > 5);
    assert_whole(&rooms, &outcome);
}

#[test]
fn a_whole_file_gets_its_name_once_wherever_the_program_was_killed() {
    type Prepare = fn(&Path, &Path);
    let moments: [(&str, Prepare); 3] = [
        ("before the file got its name", |named, partial| fs::rename(named, partial).unwrap()),
        ("between link and unlink", |named, partial| fs::hard_link(named, partial).unwrap()),
        ("after it", |_, _| {}),
    ];
    for (moment, prepare) in moments {
        let rooms = crashed();
        let name_of = killed_after(&rooms, "whole 0\n");
        prepare(&rooms.to.path().join("t/a"), &name_of(0));
        let next = fs::metadata(name_of(1)).unwrap().len();
        if moment.starts_with("before") {
            fs::remove_file(name_of(1)).unwrap();
        }
        let outcome = rooms.run(&["t"]).go();
        let resumed = if moment.starts_with("before") { 5 } else { 5 + next };
        assert_eq!(outcome.ready[0].1, resumed, "{moment}");
        assert!(outcome.warnings.is_empty(), "{moment}: {outcome:?}");
        assert_whole(&rooms, &outcome);
    }
}

#[test]
fn a_whole_file_without_its_name_is_not_believed_either() {
    let rooms = crashed();
    let name_of = killed_after(&rooms, "whole 0\n");
    fs::remove_file(rooms.to.path().join("t/a")).unwrap();
    fs::remove_file(name_of(1)).unwrap();
    fs::write(name_of(0), b"smell").unwrap();
    assert_whole(&rooms, &rooms.run(&["t"]).go());

    let rooms = crashed();
    let name_of = killed_after(&rooms, "whole 0\n");
    fs::remove_file(rooms.to.path().join("t/a")).unwrap();
    fs::remove_file(name_of(1)).unwrap();
    fs::write(name_of(0), b"too long").unwrap();
    let outcome = rooms.run(&["t"]).go();
    assert_eq!(outcome.warnings, ["t/a: the partial is longer than the file; it starts anew"]);
    assert_whole(&rooms, &outcome);
}

#[test]
fn a_folder_is_made_once_wherever_the_program_was_killed() {
    for made in [true, false] {
        let rooms = crashed();
        drop(killed_after(&rooms, "folder 0 - t\n"));
        fs::remove_dir_all(rooms.to.path().join("t")).unwrap();
        if made {
            fs::create_dir(rooms.to.path().join("t")).unwrap();
        }
        assert_whole(&rooms, &rooms.run(&["t"]).go());
    }
}

#[test]
fn a_folder_of_the_user_is_not_taken_for_one_that_was_about_to_be_made() {
    let rooms = crashed();
    drop(killed_after(&rooms, "folder 0 - t\n"));
    fs::remove_dir_all(rooms.to.path().join("t")).unwrap();
    fs::create_dir(rooms.to.path().join("t")).unwrap();
    fs::write(rooms.to.path().join("t/mine"), "mine").unwrap();
    let outcome = rooms.run(&["t"]).go();
    assert_eq!(outcome.finished.as_ref().unwrap().0, rooms.to.path().join("t (1)"));
    assert_eq!(fs::read_dir(rooms.to.path().join("t")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(rooms.to.path().join("t (1)")).unwrap().count(), 3);
}

#[test]
fn without_a_journal_a_partial_that_nobody_will_find_is_not_left() {
    let rooms = Rooms::new();
    rooms.put("big", &noise(BIG));
    let blocked = rooms.put("file", b"");
    let mut run = rooms.run(&["big"]);
    run.settings.journals = Journals::new(blocked.join("state"));
    crash(run);
    assert_eq!(fs::read_dir(rooms.to.path()).unwrap().count(), 0);
}

#[test]
fn a_state_directory_that_cannot_be_made_costs_only_a_warning() {
    let rooms = Rooms::new();
    rooms.put("a", b"a");
    let blocked = rooms.put("file", b"");
    let mut run = rooms.run(&["a"]);
    run.settings.journals = Journals::new(blocked.join("state"));
    let outcome = run.go();
    assert_eq!(outcome.warnings.len(), 1);
    assert_eq!(finished(&outcome), (1, 0, 1));
}

#[test]
fn a_cancel_keeps_the_partial_and_every_whole_file() {
    let rooms = crashed();
    // A crash in these tests is a cancel of both sides: the small file is published, the big one a partial beside it.
    assert_eq!(fs::read(rooms.to.path().join("t/a")).unwrap(), b"small");
    let there = fs::read(partial(&rooms.to.path().join("t"))).unwrap();
    assert!(there == noise(BIG)[..there.len()] && there.len() as u64 >= DURABLE);
    assert!(!rooms.to.path().join("t/big").exists() && !rooms.to.path().join("t/z").exists());
    assert_eq!(fs::read_dir(rooms.state.path()).unwrap().count(), 1);
}
