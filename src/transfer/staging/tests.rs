//! Real folders: what a run leaves wherever it ends, what others put in its way, and what stands in DEST in the end.

#![allow(clippy::as_conversions, reason = "sizes in these tests are small")]

mod clashes;

use super::*;
use crate::keys::PublicKey;
use crate::transfer::Name;
use crate::transfer::manifest::{Builder, Meta};
use std::fs as std_fs;
use std::sync::atomic::AtomicBool;

const META: Meta = Meta { mode: 0o640, seconds: 1_000_000_000, nanos: 0 };
const PEER: PublicKey = PublicKey([7; 32]);
const NAME: &str = ".p2pchat-TESTTESTTESTTEST";

enum Entry {
    Enter(&'static str, u16),
    Leave,
    File(&'static str, &'static str),
}
use Entry::{Enter, File as F, Leave};

struct Fixture {
    temp: tempfile::TempDir,
    manifest: Arc<Manifest>,
    contents: Vec<&'static str>,
}

fn tree() -> Vec<Entry> {
    vec![
        Enter("t", 0o750),
        F("a", "one"),
        Enter("in", 0o500),
        F("b", "two"),
        F("c", ""),
        Leave,
        Enter("empty", 0o700),
        Leave,
        F("d", "four"),
        Leave,
        F("top", "five"),
    ]
}

impl Fixture {
    fn new(entries: Vec<Entry>) -> Self {
        let mut builder = Builder::default();
        let mut contents = Vec::new();
        for entry in entries {
            match entry {
                Enter(name, mode) => drop(builder.enter(Name::new(name).unwrap(), Meta { mode, ..META }).unwrap()),
                Leave => builder.leave().unwrap(),
                F(name, content) => {
                    builder.file(Name::new(name).unwrap(), META, content.len() as u64).unwrap();
                    contents.push(content);
                }
            }
        }
        let temp = tempfile::tempdir().unwrap();
        std_fs::create_dir(temp.path().join("dest")).unwrap();
        Self { temp, manifest: Arc::new(builder.finish().unwrap()), contents }
    }

    fn dest(&self) -> PathBuf {
        self.temp.path().join("dest")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dest().join(path)
    }

    fn open(&self) -> Staging {
        let offer = offer_file(PEER, "alice", &self.manifest);
        Staging::open(&self.dest(), NAME, &offer, Arc::clone(&self.manifest), false).unwrap()
    }

    /// Receives files up to number `end`.
    fn put(&self, staging: &mut Staging, end: usize) {
        for content in &self.contents[staging.next_file()..end] {
            let digest = blake3::hash(content.as_bytes());
            staging.put(&[content.as_bytes()], digest.as_bytes()).unwrap();
        }
    }

    fn publish(&self, staging: &mut Staging, on_clash: OnClash) -> (Totals, Vec<String>) {
        let mut said = Vec::new();
        let totals = staging.publish(on_clash, &mut |published| match published {
            Published::File { path, digest, .. } => {
                assert_eq!(*blake3::hash(&std_fs::read(&path).unwrap()).as_bytes(), digest);
                said.push(path.strip_prefix(self.dest()).unwrap().display().to_string().replace('\\', "/"));
            }
            Published::Top(_) => {}
            Published::Failed { offered, text, .. } => said.push(format!("{offered} failed: {text}")),
        });
        (totals.unwrap(), said)
    }

    /// What is published is offered again: what could not be moved is not said to be there.
    fn published_again(&self, staging: Staging, totals: &Totals) -> Staging {
        drop(staging);
        let mut staging = self.open();
        assert!(staging.is_done());
        assert_eq!(self.publish(&mut staging, OnClash::Rename).0, *totals);
        staging
    }

    /// Finishes from wherever `staging` stands, and looks at all that is in DEST then.
    fn finish(&self, mut staging: Staging) {
        self.put(&mut staging, self.contents.len());
        self.publish(&mut staging, OnClash::Rename);
        staging.remove().unwrap();
        assert_eq!(names(&self.dest()), ["t", "top"]);
        assert_eq!(names(&self.at("t")), ["a", "d", "empty", "in"]);
        assert_eq!(names(&self.at("t/in")), ["b", "c"]);
        for (path, content) in [("t/a", "one"), ("t/in/b", "two"), ("t/in/c", ""), ("t/d", "four"), ("top", "five")] {
            assert_eq!(std_fs::read_to_string(self.at(path)).unwrap(), content, "{path}");
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std_fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_that_ends_anywhere_is_taken_up_where_its_lines_end() {
    for written in 0..=5 {
        for flushed in 0..=written {
            let fixture = Fixture::new(tree());
            let mut staging = fixture.open();
            fixture.put(&mut staging, flushed);
            staging.flush().unwrap();
            fixture.put(&mut staging, written);
            drop(staging);
            let staging = fixture.open();
            assert_eq!((staging.next_file(), &staging.path()), (flushed, &fixture.at(NAME)), "{written}");
            fixture.finish(staging);
        }
    }
}

#[test]
fn a_file_that_is_gone_or_changed_is_received_again_with_all_after_it() {
    for change in [
        (|path: &Path| std_fs::remove_file(path).unwrap()) as fn(&Path),
        |path| std_fs::write(path, "other").unwrap(),
        // The same size at another time.
        |path| std_fs::write(path, "owt").unwrap(),
    ] {
        let fixture = Fixture::new(tree());
        let mut staging = fixture.open();
        fixture.put(&mut staging, 5);
        staging.flush().unwrap();
        drop(staging);
        change(&fixture.at(NAME).join("tree/t/in/b"));
        let staging = fixture.open();
        assert_eq!(staging.next_file(), 1);
        fixture.finish(staging);
    }
}

#[test]
fn a_part_goes_on_and_one_that_is_too_long_does_not() {
    for (left, len) in [("fo", 2), ("four", 4), ("four and more", 0), ("", 0)] {
        let fixture = Fixture::new(tree());
        let mut staging = fixture.open();
        fixture.put(&mut staging, 3);
        io::Write::write_all(&mut staging.make_part().unwrap(), left.as_bytes()).unwrap();
        staging.flush().unwrap();
        drop(staging);
        let mut staging = fixture.open();
        let part = staging.take_part(&AtomicBool::new(false)).unwrap();
        assert_eq!(part.as_ref().map_or(0, |part| part.len), len, "{left}");
        if let Some(mut part) = part {
            assert_eq!(part.hasher.finalize(), blake3::hash(left.as_bytes()));
            io::Write::write_all(&mut part.file, "four".get(left.len()..).unwrap().as_bytes()).unwrap();
            staging.adopt(&part.file, blake3::hash(b"four").as_bytes()).unwrap();
        }
        fixture.finish(staging);
    }
}

#[test]
fn publishing_that_was_cut_off_anywhere_is_finished_and_nothing_stands_there_twice() {
    // What of the top-level entries was moved when the run ended, and whether `done` was written.
    for (moved, taken, done) in
        [(0, false, false), (1, false, false), (2, false, false), (2, false, true), (1, true, false)]
    {
        let fixture = Fixture::new(tree());
        if taken {
            std_fs::create_dir(fixture.at("t")).unwrap();
        }
        let mut staging = fixture.open();
        fixture.put(&mut staging, 5);
        staging.begin_publishing(OnClash::Rename).unwrap();
        let top = if taken { "t (1)" } else { "t" };
        if taken {
            staging.claim.results.add(&Line::Top { entry: ListEntry::Folder(0), name: top.to_owned() });
            staging.claim.results.flush(false).unwrap();
        }
        for (from, to) in [("t", top), ("top", "top")].iter().take(moved) {
            std_fs::rename(fixture.at(NAME).join("tree").join(from), fixture.at(to)).unwrap();
        }
        if done {
            staging.claim.results.add(&Line::Done);
            staging.claim.results.flush(false).unwrap();
        }
        drop(staging);
        let mut staging = fixture.open();
        assert!(staging.is_received());
        assert_eq!((staging.publishing().is_some(), staging.is_done()), (!done, done));
        let (totals, said) = fixture.publish(&mut staging, OnClash::Refuse);
        assert_eq!((totals.files, totals.failed, totals.path), (5, 0, fixture.at(top)));
        assert_eq!(said.len(), 5);
        staging.remove().unwrap();
        assert_eq!(names(&fixture.dest()), if taken { vec!["t", top, "top"] } else { vec!["t", "top"] });
    }
}

#[test]
fn what_was_published_and_then_taken_away_is_received_again() {
    let fixture = Fixture::new(tree());
    let mut staging = fixture.open();
    fixture.put(&mut staging, 5);
    fixture.publish(&mut staging, OnClash::Rename);
    drop(staging);
    std_fs::remove_file(fixture.at("top")).unwrap();
    std_fs::remove_dir_all(fixture.at("t")).unwrap();
    let staging = fixture.open();
    assert_eq!(staging.next_file(), 0);
    fixture.finish(staging);
}

#[test]
fn two_programs_do_not_share_a_folder() {
    let fixture = Fixture::new(tree());
    let first = fixture.open();
    let second = fixture.open();
    assert_ne!(first.path(), second.path());
    assert_eq!(first.leave(), None);
    fixture.finish(second);
}

#[test]
fn what_a_removal_leaves_that_was_cut_off_is_made_anew_in_its_place() {
    let fixture = Fixture::new(tree());
    // The steps of a removal, in their order.
    for step in 0..3 {
        let mut staging = fixture.open();
        fixture.put(&mut staging, 3);
        let Staging { claim, tree, levels, .. } = staging;
        drop((tree, levels));
        match step {
            0 => std_fs::remove_file(fixture.at(NAME).join("offer")).unwrap(),
            _ => claim.clear().unwrap(),
        }
        drop(claim);
        if step == 2 {
            std_fs::remove_file(fixture.at(NAME).join("results")).unwrap();
        }
        let staging = fixture.open();
        assert_eq!((staging.next_file(), names(&fixture.dest())), (0, vec![NAME.to_owned()]), "{step}");
        drop(staging);
    }
    fixture.finish(fixture.open());
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_not_ours_alone_is_not_used() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let elsewhere = tempfile::tempdir().unwrap();
    let place: [fn(&Path, &Path); 3] = [
        |path, elsewhere| symlink(elsewhere, path).unwrap(),
        |path, _| std_fs::write(path, "x").unwrap(),
        |path, _| {
            std_fs::create_dir(path).unwrap();
            std_fs::set_permissions(path, std_fs::Permissions::from_mode(0o755)).unwrap();
        },
    ];
    for place in place {
        let fixture = Fixture::new(tree());
        place(&fixture.at(NAME), elsewhere.path());
        let mut staging = fixture.open();
        assert_ne!(staging.path(), fixture.at(NAME));
        fixture.put(&mut staging, 5);
        fixture.publish(&mut staging, OnClash::Rename);
        assert_eq!(std_fs::read_to_string(fixture.at("t/a")).unwrap(), "one");
        assert!(names(elsewhere.path()).is_empty());
    }
}

#[cfg(unix)]
#[test]
fn links_put_into_the_folder_lead_nowhere() {
    use std::os::unix::fs::symlink;
    for inside in ["tree", "tree/t", "tree/t/in", "tree/t/a", "3.part", "offer"] {
        let elsewhere = tempfile::tempdir().unwrap();
        std_fs::write(elsewhere.path().join("kept"), "kept").unwrap();
        let fixture = Fixture::new(tree());
        let mut staging = fixture.open();
        fixture.put(&mut staging, 3);
        staging.flush().unwrap();
        drop(staging);
        let path = fixture.at(NAME).join(inside);
        if path.is_dir() {
            std_fs::remove_dir_all(&path).unwrap();
        } else if path.exists() {
            std_fs::remove_file(&path).unwrap();
        }
        symlink(elsewhere.path(), path).unwrap();
        let staging = fixture.open();
        assert!(staging.take_part(&AtomicBool::new(false)).unwrap().is_none(), "{inside}");
        fixture.finish(staging);
        assert_eq!(names(elsewhere.path()), ["kept"], "{inside}");
    }
}

#[test]
fn files_that_failed_are_passed_over() {
    let fixture = Fixture::new(tree());
    let mut staging = fixture.open();
    fixture.put(&mut staging, 1);
    staging.fail("it changed").unwrap();
    staging.flush().unwrap();
    drop(staging);
    let mut staging = fixture.open();
    assert_eq!(staging.next_file(), 2);
    fixture.put(&mut staging, 5);
    let (totals, _) = fixture.publish(&mut staging, OnClash::Rename);
    assert_eq!((totals.files, totals.failed, totals.bytes), (4, 1, 11));
    assert!(!fixture.at("t/in/b").exists());
}

#[test]
fn what_was_received_and_not_published_is_published_without_the_peer() {
    let fixture = Fixture::new(tree());
    let data = tempfile::tempdir().unwrap();
    destinations::record(data.path(), &fixture.dest()).unwrap();
    let mut staging = fixture.open();
    fixture.put(&mut staging, 5);
    staging.begin_publishing(OnClash::Rename).unwrap();
    drop(staging);
    partials::recover(data.path());
    assert_eq!(std_fs::read_to_string(fixture.at("top")).unwrap(), "five");
    assert_eq!(partials::list(data.path())[0].progress, partials::Progress::Received);
    partials::remove(data.path(), "TESTTEST").unwrap();
    assert_eq!(names(&fixture.dest()), ["t", "top"]);
}
