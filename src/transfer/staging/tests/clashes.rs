//! Names that exist already in DEST, or become equal here.

use super::*;

#[test]
fn overwrite_merges_file_by_file_and_what_differs_in_type_fails() {
    let fixture = Fixture::new(tree());
    std_fs::create_dir_all(fixture.at("t/a")).unwrap();
    std_fs::create_dir_all(fixture.at("t/in")).unwrap();
    std_fs::write(fixture.at("t/in/b"), "old").unwrap();
    std_fs::write(fixture.at("t/in/mine"), "mine").unwrap();
    std_fs::write(fixture.at("top"), "old").unwrap();
    let mut staging = fixture.open();
    fixture.put(&mut staging, 5);
    // Cut off once, too.
    staging.begin_publishing(OnClash::Overwrite).unwrap();
    std_fs::rename(fixture.at(NAME).join("tree/t/in/b"), fixture.at("t/in/b")).unwrap();
    drop(staging);
    let mut staging = fixture.open();
    let (totals, said) = fixture.publish(&mut staging, OnClash::Rename);
    assert_eq!((totals.files, totals.failed), (4, 1), "{said:?}");
    assert!(said[0].starts_with("t/a failed: "), "{said:?}");
    assert_eq!(said[1..], ["t/in/b", "t/in/c", "t/d", "top"]);
    let staging = fixture.published_again(staging, &totals);
    staging.remove().unwrap();
    assert_eq!(names(&fixture.at("t/in")), ["b", "c", "mine"]);
    assert_eq!(std_fs::read_to_string(fixture.at("top")).unwrap(), "five");
    assert!(fixture.at("t/empty").is_dir());
}

#[cfg(unix)]
#[test]
fn overwrite_follows_no_link() {
    let elsewhere = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(tree());
    std_fs::create_dir(fixture.at("t")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), fixture.at("t/in")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("x"), fixture.at("top")).unwrap();
    let mut staging = fixture.open();
    fixture.put(&mut staging, 5);
    let (totals, _) = fixture.publish(&mut staging, OnClash::Overwrite);
    assert_eq!((totals.files, totals.failed), (2, 3));
    assert!(names(elsewhere.path()).is_empty());
}

#[test]
fn refuse_fails_the_entry_that_exists_and_no_other() {
    let fixture = Fixture::new(tree());
    std_fs::create_dir(fixture.at("t")).unwrap();
    let mut staging = fixture.open();
    fixture.put(&mut staging, 5);
    let (totals, said) = fixture.publish(&mut staging, OnClash::Refuse);
    assert_eq!((totals.files, totals.failed, said.len()), (1, 4, 5));
    assert!(said[0].starts_with("t/a failed: ") && said[0].ends_with("exists already"), "{said:?}");
    let staging = fixture.published_again(staging, &totals);
    staging.remove().unwrap();
    assert_eq!(names(&fixture.dest()), ["t", "top"]);
    assert!(names(&fixture.at("t")).is_empty());
}

#[test]
fn names_that_become_equal_are_numbered_and_known_again() {
    let fixture = Fixture::new(vec![
        Enter("f\u{202e}", 0o700),
        F("a\u{202e}", "one"),
        F("a\n", "two"),
        Leave,
        Enter("f_", 0o700),
        F("a_", "three"),
        Leave,
        F(".p2pchat-x", "four"),
    ]);
    let mut staging = fixture.open();
    fixture.put(&mut staging, 2);
    staging.flush().unwrap();
    drop(staging);
    let mut staging = fixture.open();
    assert_eq!(staging.next_file(), 2);
    fixture.put(&mut staging, 4);
    let (_, said) = fixture.publish(&mut staging, OnClash::Rename);
    assert_eq!(said, ["f_/a_", "f_/a_ (1)", "f_ (1)/a_", "_.p2pchat-x"]);
}
