use super::*;
use tempfile::tempdir;

fn paths(scan: &Scan) -> Vec<String> {
    (0..scan.list.file_count()).map(|index| scan.list.path(index)).collect()
}

fn code(result: Result<Scan, ScanError>) -> (&'static str, String) {
    let error = result.unwrap_err();
    (error.code(), error.to_string())
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
    assert_eq!(scan.roots.path(&scan.list, 1), (root.join("b/x"), false));
    assert!(scan.skipped.is_empty());
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
        assert_eq!(fs::read(scan.roots.path(&scan.list, 0).0).unwrap(), b"a");
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
fn what_no_receiver_takes_is_left_out_and_named_with_the_reason() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    let temp = tempdir().unwrap();
    let root = temp.path().join("t");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("good"), "good").unwrap();
    symlink("good", root.join("link")).unwrap();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(root.join("bell\u{7}"), "").unwrap();
    fs::write(root.join("nul.txt"), "").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"\xff")), "").unwrap();
    fs::write(root.join(".p2pchat-0123456789abcdef"), "").unwrap();
    let scan = scan(&[root]).unwrap();
    assert_eq!(paths(&scan), ["t/good"]);
    let mut reasons: Vec<_> = scan.skipped.iter().map(|(_, reason)| reason.as_str()).collect();
    reasons.sort_unstable();
    let expected = [
        "a file that p2pchat has not received whole",
        "a pipe",
        "a socket",
        "a symbolic link",
        "the name holds a control character",
        "the name is a device on Windows",
        "the name is not valid UTF-8",
    ];
    assert_eq!(reasons, expected);
    assert!(scan.skipped.iter().any(|(path, _)| path.ends_with("t/link")));
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
    assert_eq!(scan.roots.path(&scan.list, 1), (temp.path().join("file"), true));
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
    assert_eq!(scan.skipped.len(), 1);
}
