//! What stands in the way of a file is never followed, and replaced only if the user said so and it is a regular file.

#![cfg(unix)]

use super::whole::{Rooms, finished};
use crate::transfer::download::OnClash;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::tempdir;

const ALL: [OnClash; 3] = [OnClash::Rename, OnClash::Overwrite, OnClash::Refuse];

#[test]
fn a_link_under_a_file_s_name_is_never_written_through_nor_replaced() {
    for on_clash in ALL {
        let rooms = Rooms::new();
        rooms.put("t", b"new");
        rooms.put("other", b"new");
        let outside = tempdir().unwrap();
        let target = outside.path().join("target");
        fs::write(&target, "precious").unwrap();
        for name in ["t", "other"] {
            let to = if name == "t" { target.clone() } else { outside.path().join("nowhere") };
            symlink(to, rooms.to.path().join(name)).unwrap();
        }
        let mut run = rooms.run(&["t", "other"]);
        run.on_clash = on_clash;
        let outcome = run.go();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        assert!(rooms.to.path().join("t").is_symlink() && rooms.to.path().join("other").is_symlink());
        match on_clash {
            OnClash::Rename => assert!(rooms.to.path().join("t (1)").is_file()),
            OnClash::Overwrite => assert_eq!(finished(&outcome), (0, 2, 0)),
            OnClash::Refuse => assert!(outcome.broken.is_some()),
        }
        rooms.assert_clean();
    }
}

#[test]
fn a_link_in_place_of_a_folder_is_never_entered() {
    for on_clash in ALL {
        let rooms = Rooms::new();
        rooms.put("t/a", b"new");
        let outside = tempdir().unwrap();
        symlink(outside.path(), rooms.to.path().join("t")).unwrap();
        let mut run = rooms.run(&["t"]);
        run.on_clash = on_clash;
        let outcome = run.go();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{on_clash:?}");
        match on_clash {
            OnClash::Rename => assert!(rooms.to.path().join("t (1)/a").is_file()),
            OnClash::Overwrite => assert_eq!(finished(&outcome), (0, 1, 0)),
            OnClash::Refuse => assert!(outcome.broken.is_some()),
        }
    }
}

#[test]
fn a_link_inside_a_folder_that_is_merged_into_is_never_entered_even_within_the_root() {
    let rooms = Rooms::new();
    rooms.put("t/sub/a", b"new");
    rooms.put("t/b", b"new");
    fs::create_dir_all(rooms.to.path().join("t")).unwrap();
    fs::create_dir(rooms.to.path().join("elsewhere")).unwrap();
    symlink("../elsewhere", rooms.to.path().join("t/sub")).unwrap();
    let mut run = rooms.run(&["t"]);
    run.on_clash = OnClash::Overwrite;
    let outcome = run.go();
    assert_eq!(finished(&outcome), (1, 1, 3));
    assert_eq!(outcome.failed[0].0, rooms.to.path().join("t/sub/a"));
    assert_eq!(fs::read_dir(rooms.to.path().join("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_folder_swapped_for_a_link_during_the_transfer_is_not_followed() {
    let rooms = Rooms::new();
    rooms.put("t/a", b"new");
    let outside = tempdir().unwrap();
    let (to, target) = (rooms.to.path().join("t"), outside.path().to_owned());
    let mut run = rooms.run(&["t"]);
    // After the look, before anything is made: what stood there then does not count.
    run.between = Box::new(move || symlink(&target, &to).unwrap());
    run.go();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_is_never_replaced_by_a_file_nor_a_file_by_a_folder() {
    let rooms = Rooms::new();
    rooms.put("file", b"new");
    rooms.put("folder/a", b"new");
    fs::create_dir(rooms.to.path().join("file")).unwrap();
    fs::write(rooms.to.path().join("folder"), "old").unwrap();
    let mut run = rooms.run(&["file", "folder"]);
    run.on_clash = OnClash::Overwrite;
    let outcome = run.go();
    assert_eq!(finished(&outcome), (0, 2, 0));
    assert!(outcome.failed[0].1.ends_with("file: stands there already and is no regular file"));
    assert!(rooms.to.path().join("file").is_dir());
    assert_eq!(fs::read_to_string(rooms.to.path().join("folder")).unwrap(), "old");
    rooms.assert_clean();
}

#[test]
fn an_existing_hard_link_is_replaced_not_written_through() {
    let rooms = Rooms::new();
    rooms.put("a", b"new");
    let other = rooms.to.path().join("other name");
    fs::write(&other, "old").unwrap();
    fs::hard_link(&other, rooms.to.path().join("a")).unwrap();
    let mut run = rooms.run(&["a"]);
    run.on_clash = OnClash::Overwrite;
    run.go();
    assert_eq!(fs::read_to_string(rooms.to.path().join("a")).unwrap(), "new");
    assert_eq!(fs::read_to_string(other).unwrap(), "old");
}
