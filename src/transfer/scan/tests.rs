use super::*;
use tempfile::tempdir;

fn paths(scan: &Scan) -> Vec<String> {
    (0..scan.list.file_count()).map(|index| scan.list.path(index)).collect()
}

fn scan(paths: &[PathBuf]) -> Result<Scan, CommandError> {
    super::scan(paths, Path::new("/nowhere"), &AtomicBool::new(false))
}

/// Path and reason of what is left out, paths by their last name.
fn left_out(scan: &Scan) -> Vec<(String, &str)> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    scan.left_out.named.iter().map(|(path, reason)| (name(path), reason.as_str())).collect()
}

fn code(result: Result<Scan, CommandError>) -> (&'static str, String) {
    let error = result.unwrap_err();
    (error.code, error.text)
}

#[test]
fn a_tree_is_listed_sorted_with_empty_folders_and_found_again_by_index() {
    let temp = tempdir().unwrap();
    let root = temp.path().join("t");
    fs::create_dir_all(root.join("b/empty")).unwrap();
    for name in ["z", "a", "b/x"] {
        fs::write(root.join(name), name).unwrap();
    }
    let scan = scan(std::slice::from_ref(&root)).unwrap();
    assert_eq!(paths(&scan), ["t/a", "t/b/x", "t/z"]);
    assert_eq!((scan.list.folder_count(), scan.list.bytes()), (3, 5));
    assert_eq!(scan.roots.path(&scan.list, 1), root.join("b/x"));
    assert_eq!(scan.left_out, LeftOut::default());
}

#[test]
fn a_path_without_a_name_goes_by_the_name_of_what_it_means() {
    let temp = tempdir().unwrap();
    let root = temp.path().join("t");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("a"), "a").unwrap();
    for path in [root.join("sub/.."), root.join("."), root.join("sub/../")] {
        let scan = scan(std::slice::from_ref(&path)).unwrap();
        assert_eq!(paths(&scan), ["t/a"], "{path:?}");
        assert_eq!(fs::read(scan.roots.path(&scan.list, 0)).unwrap(), b"a");
    }
    assert_eq!(code(scan(&["/".into()])).0, "nothing-to-send");
}

#[test]
fn what_is_not_there_or_named_twice_is_an_error_with_its_path() {
    let temp = tempdir().unwrap();
    fs::create_dir(temp.path().join("sub")).unwrap();
    for name in ["a", "sub/a"] {
        fs::write(temp.path().join(name), "").unwrap();
    }
    let missing = temp.path().join("missing");
    let (word, text) = code(scan(&[temp.path().join("a"), missing.clone()]));
    assert_eq!((word, text), ("no-such-file", format!("{}: no such file or folder", missing.display())));
    assert_eq!(code(scan(&[temp.path().join("a/b")])).0, "no-such-file");
    let (word, text) = code(scan(&[temp.path().join("a"), temp.path().join("sub/a")]));
    assert_eq!(word, "same-name");
    assert!(text.contains("sub/a: two of the paths"), "{text}");
}

#[cfg(unix)]
#[test]
fn names_that_linux_takes_are_listed_and_found_again_under_their_own() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let temp = tempdir().unwrap();
    let root = temp.path().join("R.E.M.");
    let odd = OsStr::from_bytes(b"a\xe9bcd");
    let folder = root.join(OsStr::from_bytes(b"\xff"));
    fs::create_dir_all(&folder).unwrap();
    for name in ["CON", "Jr.", "a\u{fffd}bcd", "bell\u{7}", ".p2pchat-file"] {
        fs::write(root.join(name), name).unwrap();
    }
    fs::write(root.join(odd), "odd").unwrap();
    fs::write(folder.join("below"), "below").unwrap();
    let scan = scan(std::slice::from_ref(&root)).unwrap();
    let expected = [".p2pchat-file", "CON", "Jr.", "a\u{fffd}bcd (1)", "a\u{fffd}bcd", "bell\u{7}", "\u{fffd}/below"];
    let mut found = paths(&scan);
    found.sort();
    let mut wanted = expected.map(|name| format!("R.E.M./{name}"));
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(scan.left_out, LeftOut::default());
    for index in 0..scan.list.file_count() {
        assert!(scan.roots.path(&scan.list, index).is_file(), "{:?}", scan.roots.path(&scan.list, index));
    }
    let index = found_index(&scan, "R.E.M./a\u{fffd}bcd (1)");
    assert_eq!(fs::read(scan.roots.path(&scan.list, index)).unwrap(), b"odd");
}

#[cfg(unix)]
fn found_index(scan: &Scan, path: &str) -> usize {
    paths(scan).iter().position(|found| found == path).unwrap()
}

#[test]
fn own_data_and_staging_folders_are_not_even_listed() {
    let temp = tempdir().unwrap();
    let home = temp.path().join("home");
    let data_dir = home.join("share/p2pchat");
    fs::create_dir_all(&data_dir).unwrap();
    fs::create_dir_all(home.join(".p2pchat-ABC/tree")).unwrap();
    for file in ["share/p2pchat/identity.key", ".p2pchat-ABC/tree/part", "mine"] {
        fs::write(home.join(file), file).unwrap();
    }
    let scan = |path: PathBuf| super::scan(&[path], &data_dir, &AtomicBool::new(false));
    for path in [home.clone(), home.join("share/.."), temp.path().join("home/")] {
        let scan = scan(path).unwrap();
        assert_eq!(paths(&scan), ["home/mine"]);
        let expected = [(".p2pchat-ABC", "it holds what p2pchat has not received whole"), ("p2pchat", OWN_DATA)];
        assert_eq!(left_out(&scan), expected.map(|(name, reason)| (name.to_owned(), reason)));
    }
    for path in [data_dir.clone(), data_dir.join("identity.key"), home.join(".p2pchat-ABC")] {
        assert_eq!(code(scan(path)).0, "nothing-to-send");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(data_dir.join("identity.key"), temp.path().join("innocent")).unwrap();
        assert_eq!(code(scan(temp.path().join("innocent"))).0, "nothing-to-send");
    }
}

#[test]
fn a_private_key_of_this_program_is_not_sent_wherever_it_lies() {
    let temp = tempdir().unwrap();
    let backup = temp.path().join("backup");
    let private = crate::identity::Identity::load_or_create(&backup).map(drop);
    private.unwrap();
    let line = fs::read_to_string(backup.join("identity")).unwrap();
    // The program takes it without its line end as well.
    fs::write(backup.join("identity.old"), line.trim_end()).unwrap();
    // Of the same size; of the same size and beginning, and no key.
    fs::write(backup.join("other"), "x".repeat(84)).unwrap();
    fs::write(backup.join("template"), format!("p2pchat-identity-1 {}\n", "X".repeat(64))).unwrap();
    let found = scan(std::slice::from_ref(&backup)).unwrap();
    assert_eq!(paths(&found), ["backup/other", "backup/template"]);
    let reason = "it is a private key of p2pchat, which is never sent";
    assert_eq!(left_out(&found), [("identity".to_owned(), reason), ("identity.old".to_owned(), reason)]);
    assert!(found.list.omitted().is_empty());
    let (word, text) = code(scan(&[backup.join("identity.old")]));
    assert!(word == "nothing-to-send" && text.ends_with(reason), "{text}");
}

#[test]
fn a_scan_ends_when_it_is_stopped() {
    let temp = tempdir().unwrap();
    let result = super::scan(&[temp.path().to_owned()], Path::new("/nowhere"), &AtomicBool::new(true));
    assert_eq!(code(result).0, "cancelled");
}

#[cfg(unix)]
#[test]
fn a_link_that_was_named_is_followed_and_one_below_is_not() {
    use std::os::unix::fs::symlink;
    let temp = tempdir().unwrap();
    fs::create_dir(temp.path().join("real")).unwrap();
    fs::write(temp.path().join("real/a"), "abc").unwrap();
    symlink("real", temp.path().join("folder")).unwrap();
    symlink("real/a", temp.path().join("file")).unwrap();
    let scan = scan(&[temp.path().join("folder"), temp.path().join("file")]).unwrap();
    assert_eq!(paths(&scan), ["folder/a", "file"]);
    assert_eq!(scan.list.bytes(), 6);
    assert_eq!(scan.roots.path(&scan.list, 1), temp.path().join("file"));
    assert!(open_source(&temp.path().join("file"), false).is_err());
}

#[cfg(unix)]
#[test]
fn a_device_alone_is_nothing_to_send() {
    let (word, text) = code(scan(&["/dev/null".into()]));
    assert_eq!((word, text.as_str()), ("nothing-to-send", "/dev/null: nothing to send there: a device"));
}

#[test]
fn folders_deeper_than_64_are_left_out() {
    let temp = tempdir().unwrap();
    let mut path = temp.path().join("0");
    for level in 1..70 {
        path.push(level.to_string());
    }
    fs::create_dir_all(&path).unwrap();
    let scan = scan(&[temp.path().join("0")]).unwrap();
    assert_eq!(scan.list.folder_count(), 64);
    assert_eq!(left_out(&scan), [("64".to_owned(), "folders are nested more than 64 deep")]);
    assert_eq!((scan.list.file_count(), scan.list.omitted().len()), (0, 1));
}
