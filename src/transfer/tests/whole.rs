//! What is sent arrives, whole and as it was, or is named.

#![expect(clippy::as_conversions, reason = "the numbers of these tests are small constants")]

use super::wire::{Outcome, Run};
use crate::transfer::download::OnClash;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::{TempDir, tempdir};

/// Over two megabytes, so that there are several batches, and no multiple of anything.
const BIG: usize = 2_345_678;

pub(super) struct Rooms {
    pub(super) from: TempDir,
    pub(super) to: TempDir,
    pub(super) state: TempDir,
}

impl Rooms {
    pub(super) fn new() -> Self {
        Self { from: tempdir().unwrap(), to: tempdir().unwrap(), state: tempdir().unwrap() }
    }

    pub(super) fn run(&self, names: &[&str]) -> Run {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.from.path().join(name)).collect();
        let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        Run::new(&paths, self.to.path(), self.state.path())
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.from.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Nothing is left over: no partial, no journal.
    pub(super) fn assert_clean(&self) {
        let mut folders = vec![self.to.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                assert!(!entry.file_name().to_string_lossy().starts_with(".p2pchat-"), "{entry:?}");
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        assert_eq!(fs::read_dir(self.state.path()).unwrap().count(), 0);
    }
}

pub(super) fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
    bytes
}

pub(super) fn finished(outcome: &Outcome) -> (u32, u32, u64) {
    let (_, files, failed, bytes) = outcome.finished.as_ref().unwrap_or_else(|| panic!("{outcome:?}"));
    (*files, *failed, *bytes)
}

#[test]
fn a_file_arrives_with_its_bytes_mode_and_time_and_nothing_is_left_over() {
    let rooms = Rooms::new();
    let bytes = noise(BIG);
    let path = rooms.put("big.bin", &bytes);
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 5000);
    File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4550)).unwrap();
    }
    let outcome = rooms.run(&["big.bin"]).go();
    assert_eq!(finished(&outcome), (1, 0, BIG as u64));
    let landed = rooms.to.path().join("big.bin");
    assert_eq!(fs::read(&landed).unwrap(), bytes);
    let metadata = fs::metadata(&landed).unwrap();
    assert_eq!(metadata.modified().unwrap(), time);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o550);
    }
    assert_eq!(outcome.got, [(landed.clone(), BIG as u64)]);
    assert_eq!(outcome.sent, [(path, BIG as u64)]);
    assert_eq!(outcome.finished.unwrap().0, landed);
    assert_eq!(outcome.progress, (BIG as u64, 1));
    rooms.assert_clean();
}

#[test]
fn a_tree_arrives_with_empty_folders_empty_files_and_folder_times() {
    let rooms = Rooms::new();
    rooms.put("t/a", b"one");
    rooms.put("t/empty", b"");
    rooms.put("t/sub/deep/é", &noise(70_000));
    rooms.put("t/z", &noise(61_440));
    fs::create_dir(rooms.from.path().join("t/hollow")).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for folder in ["t/sub", "t/hollow", "t"] {
        File::open(rooms.from.path().join(folder)).unwrap().set_modified(old).unwrap();
    }
    let outcome = rooms.run(&["t"]).go();
    assert_eq!(finished(&outcome), (4, 0, 3 + 70_000 + 61_440));
    let to = rooms.to.path();
    assert_eq!(fs::read(to.join("t/a")).unwrap(), b"one");
    assert_eq!(fs::read(to.join("t/empty")).unwrap(), b"");
    assert_eq!(fs::read(to.join("t/sub/deep/é")).unwrap(), noise(70_000));
    assert_eq!(fs::read(to.join("t/z")).unwrap(), noise(61_440));
    assert_eq!(fs::read_dir(to.join("t/hollow")).unwrap().count(), 0);
    for folder in ["t/sub", "t/hollow", "t"] {
        assert_eq!(fs::metadata(to.join(folder)).unwrap().modified().unwrap(), old, "{folder}");
    }
    assert_eq!(outcome.sent.len(), 4);
    assert_eq!(outcome.finished.unwrap().0, to.join("t"));
    rooms.assert_clean();
}

#[cfg(unix)]
#[test]
fn a_folder_that_nobody_may_write_to_arrives_with_what_is_in_it() {
    use std::os::unix::fs::PermissionsExt;
    let rooms = Rooms::new();
    rooms.put("t/a", b"one");
    let folder = rooms.from.path().join("t");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(finished(&rooms.run(&["t"]).go()), (1, 0, 3));
    let mode = fs::metadata(rooms.to.path().join("t")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o555);
}

#[test]
fn folders_without_any_file_and_a_single_empty_file_arrive() {
    let rooms = Rooms::new();
    fs::create_dir_all(rooms.from.path().join("only/folders")).unwrap();
    let outcome = rooms.run(&["only"]).go();
    assert_eq!(finished(&outcome), (0, 0, 0));
    assert!(rooms.to.path().join("only/folders").is_dir());
    rooms.put("empty", b"");
    assert_eq!(finished(&rooms.run(&["empty"]).go()), (1, 0, 0));
    assert_eq!(fs::metadata(rooms.to.path().join("empty")).unwrap().len(), 0);
    rooms.assert_clean();
}

#[test]
fn many_small_files_arrive_and_each_is_reported_by_both_sides() {
    let rooms = Rooms::new();
    for i in 0..700 {
        rooms.put(&format!("many/{}/{i}", i % 7), format!("file {i}").as_bytes());
    }
    let outcome = rooms.run(&["many"]).go();
    assert_eq!(finished(&outcome).0, 700);
    assert_eq!((outcome.got.len(), outcome.sent.len()), (700, 700));
    for i in 0..700 {
        let text = fs::read_to_string(rooms.to.path().join(format!("many/{}/{i}", i % 7))).unwrap();
        assert_eq!(text, format!("file {i}"));
    }
    rooms.assert_clean();
}

#[test]
fn several_paths_go_in_one_transfer_also_into_another_folder() {
    let rooms = Rooms::new();
    rooms.put("a", b"a");
    rooms.put("b/c", b"c");
    let dest = tempdir().unwrap();
    let mut run = rooms.run(&["a", "b"]);
    run.dest = Some(dest.path().into());
    assert_eq!(finished(&run.go()), (2, 0, 2));
    assert_eq!(fs::read(dest.path().join("b/c")).unwrap(), b"c");
    assert_eq!(fs::read_dir(rooms.to.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_none_is_said_and_nothing_is_made() {
    let rooms = Rooms::new();
    rooms.put("a", b"a");
    let mut run = rooms.run(&["a"]);
    run.dest = Some(rooms.to.path().join("missing"));
    let broken = run.go().broken.unwrap();
    assert!(broken.ends_with("missing: no such file or directory"), "{broken}");
}

#[test]
fn sources_that_change_shrink_grow_or_go_fail_alone() {
    let rooms = Rooms::new();
    for name in ["a", "grows", "shrinks", "gone", "touched", "now a folder", "z"] {
        rooms.put(&format!("t/{name}"), &noise(200_000));
    }
    let from = rooms.from.path().join("t");
    let mut run = rooms.run(&["t"]);
    run.between = Box::new(move || {
        fs::write(from.join("grows"), noise(200_001)).unwrap();
        fs::write(from.join("shrinks"), noise(100_000)).unwrap();
        fs::remove_file(from.join("gone")).unwrap();
        File::options().write(true).open(from.join("touched")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        fs::remove_file(from.join("now a folder")).unwrap();
        fs::create_dir(from.join("now a folder")).unwrap();
    });
    let outcome = run.go();
    assert_eq!(finished(&outcome), (2, 5, 400_000));
    let texts: Vec<_> = outcome.not_sent.iter().map(|(_, text)| text.as_str()).collect();
    let expected = [
        "no such file or directory",
        "it grew while it was sent",
        "it ceased to be a file while it was sent",
        "it shrank while it was sent",
        "it changed while it was sent",
    ];
    assert_eq!(texts, expected);
    assert_eq!(outcome.failed.len(), 5);
    assert_eq!(outcome.failed[0].1, "the peer could not read it");
    assert_eq!(outcome.failed[1].1, "it changed while the peer read it");
    assert_eq!(outcome.sent.len(), 2);
    rooms.assert_clean();
}

#[test]
fn a_file_that_arrives_other_than_it_was_sent_is_never_published() {
    let rooms = Rooms::new();
    rooms.put("t/a", &noise(100));
    rooms.put("t/b", &noise(200));
    let mut run = rooms.run(&["t"]);
    // The first piece is the list, the second all of `a`.
    run.meddle = |count, bytes| {
        if count == 2 {
            bytes[50] ^= 1;
        }
    };
    let outcome = run.go();
    assert_eq!(finished(&outcome), (1, 1, 200));
    assert_eq!(outcome.failed[0].1, "what arrived differs from what was sent");
    assert!(!rooms.to.path().join("t/a").exists());
    rooms.assert_clean();
}

#[test]
fn a_transfer_goes_on_wherever_the_connection_breaks() {
    let rooms = Rooms::new();
    rooms.put("t/big", &noise(BIG));
    rooms.put("t/empty", b"");
    for i in 0..40 {
        rooms.put(&format!("t/small/{i}"), &noise(i * 100));
    }
    rooms.put("t/z", &noise(BIG / 2));
    // Cuts drawn from a fixed seed: from the first piece (the list) on, some at once one after the other.
    let mut seed = blake3::Hasher::new().update(b"cuts").finalize_xof();
    let mut restarts = 0;
    for round in 0..12 {
        let to = tempdir().unwrap();
        let mut draw = || {
            let mut byte = [0];
            seed.fill(&mut byte);
            usize::from(byte[0])
        };
        let cuts: Vec<usize> = (0..1 + draw() % 6).map(|_| draw() % (5 + 12 * round)).collect();
        let mut run = rooms.run(&["t"]);
        run.settings.dir = to.path().into();
        run.cuts.clone_from(&cuts);
        let outcome = run.go();
        assert_eq!(finished(&outcome), (43, 0, (BIG + BIG / 2) as u64 + 78_000), "{cuts:?}");
        assert_eq!(fs::read(to.path().join("t/big")).unwrap(), noise(BIG), "{cuts:?}");
        assert_eq!(fs::read(to.path().join("t/z")).unwrap(), noise(BIG / 2), "{cuts:?}");
        assert_eq!(outcome.got.len(), 43, "{cuts:?}");
        assert_eq!(outcome.sent.len(), 43, "{cuts:?}");
        restarts += outcome.restarts;
    }
    assert!(restarts > 20, "{restarts}");
}

#[test]
fn with_fsync_everything_arrives_too() {
    let rooms = Rooms::new();
    rooms.put("t/a", b"one");
    let mut run = rooms.run(&["t"]);
    run.settings.fsync = true;
    assert_eq!(finished(&run.go()), (1, 0, 3));
}

#[test]
fn a_clash_gets_another_name_replaces_or_fails_as_the_user_said() {
    for (on_clash, original, beside, counts) in [
        (OnClash::Rename, "old", Some("new"), (2, 0, 6)),
        (OnClash::Overwrite, "new", None, (2, 0, 6)),
        (OnClash::Refuse, "old", None, (1, 1, 3)),
    ] {
        let rooms = Rooms::new();
        rooms.put("a.tar.gz", b"new");
        rooms.put("b", b"new");
        fs::write(rooms.to.path().join("a.tar.gz"), "old").unwrap();
        let mut run = rooms.run(&["a.tar.gz", "b"]);
        run.on_clash = on_clash;
        let outcome = run.go();
        assert_eq!(outcome.clashes, 1);
        assert_eq!(finished(&outcome), counts);
        assert_eq!(fs::read_to_string(rooms.to.path().join("a.tar.gz")).unwrap(), original);
        let beside_now = fs::read_to_string(rooms.to.path().join("a.tar (1).gz")).ok();
        assert_eq!(beside_now.as_deref(), beside);
        rooms.assert_clean();
    }
}

#[test]
fn a_folder_that_exists_gets_a_sibling_or_is_merged_into_or_refused() {
    for on_clash in [OnClash::Rename, OnClash::Overwrite, OnClash::Refuse] {
        let rooms = Rooms::new();
        rooms.put("photos/a", b"new");
        rooms.put("photos/sub/b", b"new");
        fs::create_dir_all(rooms.to.path().join("photos/sub")).unwrap();
        fs::write(rooms.to.path().join("photos/a"), "old").unwrap();
        fs::write(rooms.to.path().join("photos/mine"), "mine").unwrap();
        let mut run = rooms.run(&["photos"]);
        run.on_clash = on_clash;
        let outcome = run.go();
        let read = |name: &str| fs::read_to_string(rooms.to.path().join(name)).ok();
        assert_eq!(read("photos/mine").as_deref(), Some("mine"));
        match on_clash {
            OnClash::Rename => {
                assert_eq!(outcome.finished.unwrap().0, rooms.to.path().join("photos (1)"));
                assert_eq!(read("photos/a").as_deref(), Some("old"));
                assert_eq!(read("photos (1)/a").as_deref(), Some("new"));
                assert_eq!(read("photos (1)/sub/b").as_deref(), Some("new"));
            }
            OnClash::Overwrite => {
                assert_eq!(read("photos/a").as_deref(), Some("new"));
                assert_eq!(read("photos/sub/b").as_deref(), Some("new"));
            }
            OnClash::Refuse => {
                assert!(outcome.broken.unwrap().ends_with("photos: exists already"));
                assert_eq!(read("photos/a").as_deref(), Some("old"));
                assert_eq!(read("photos/sub/b"), None);
            }
        }
    }
}
