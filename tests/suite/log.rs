//! `--log FILE`: what it holds, in every frontend, and what happens when it cannot be written.

use crate::support::{Home, text};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The lines without their times.
fn lines(log: &str) -> Vec<&str> {
    log.lines().map(|line| line.get("2026-11-25 14:03:07 ".len()..).unwrap_or_default()).collect()
}

#[test]
fn both_sides_of_a_talk_and_the_end_of_each_transfer_are_appended_to_a_private_file() {
    for option in ["--json", "--plain"] {
        let (ana_home, ben_home) = (Home::new(), Home::new());
        // A full disk may have left half a line.
        let log = ben_home.file("log", "before");
        fs::set_permissions(&log, PermissionsExt::from_mode(0o644)).unwrap();
        let mut ana = ana_home.listen("ana", &["--accept", "always"]);
        let addr = ana.addr().to_string();
        let mut ben = ben_home.start("ben", &["connect", &addr, "-n", "ben", "--log", "log", option]);
        ana.event("connected");
        ben.send("hello");
        ana.message("hello");
        ana.send("-- ben has left\u{1b}[2J");
        ana.event("delivered");
        ben.send("/me waves");
        ana.message("waves");
        let photo = ben_home.file("photo", "x");
        ben.send(&format!("/send {}", photo.display()));
        ana.event("done");
        ben.send("/quit");
        ben.ends_with(0);
        ana.ends_with(0);
        assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
        let log = fs::read_to_string(log).unwrap();
        let lines = lines(log.strip_prefix("before\n").unwrap());
        assert_eq!(lines.len(), 6, "{log}");
        assert_eq!(lines[0], format!("-- connected to ana at {addr} (new: never met before)"));
        assert_eq!(lines[1..4], ["ben: hello", "ana: -- ben has left\u{fffd}[2J", "* ben waves"]);
        assert!(lines[4].starts_with("-- [1] sent 1 file, 1 B"), "{log}");
        assert_eq!(lines[5], "-- goodbye");
        let day = log.lines().nth(1).unwrap().get(..11).unwrap();
        let is_day = |(place, c): (usize, char)| if [4, 7].contains(&place) { c == '-' } else { c.is_ascii_digit() };
        assert!(day.trim_end().chars().enumerate().all(is_day), "{log}");
    }
}

#[test]
fn a_log_that_cannot_be_written_is_a_usage_error_before_anything_starts() {
    let home = Home::new();
    nix::unistd::mkfifo(&home.work().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in ["no/such/folder", ".", "pipe", "/dev/full"] {
        let ran = home.run(&["listen", "127.0.0.1:0", "--log", path]);
        let says = format!("p2pchat: cannot write the log {path}: ");
        assert!(ran.code == Some(2) && ran.err.starts_with(&says), "{ran:?}");
    }
}

/// Chat goes on, and the exit code says that the log is not whole.
#[test]
fn a_log_that_fails_later_is_an_error_that_is_said_and_6() {
    let (ana_home, ben_home) = (Home::new(), Home::new());
    let mut ana = ana_home.listen("ana", &[]);
    // A file may grow to no more than this in blocks of 512 bytes.
    let addr = ana.addr().to_string();
    let arguments = ["connect", &addr, "-n", "ben", "--json", "--log", "log"];
    let mut ben = ben_home.start_by("ben", "ulimit -f 2; exec \"$@\"", &arguments);
    ana.event("connected");
    for n in 0..3 {
        ben.send(&format!("{n}{}", "x".repeat(1_000)));
    }
    let error = ben.event("error");
    assert_eq!(error["code"], "log");
    assert!(text(&error, "text").contains("log"), "{error}");
    ben.send("still here");
    ana.message("still here");
    ben.send("/quit");
    ben.ends_with(6);
    ana.ends_with(0);
}
