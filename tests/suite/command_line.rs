//! What is wrong on the command line or in the environment is found before the program starts anything.

use crate::support::{Home, Pty};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

/// Runs of one mistake: the old program left the terminal in raw mode in about one of six.
const RUNS: usize = 25;

#[test]
fn a_usage_error_leaves_the_terminal_as_it_was() {
    let home = Home::new();
    for arguments in [
        &["listen", "127.0.0.1:0", "--code=---"][..],
        &["listen", "127.0.0.1:0", "--peer", "nobody"],
        &["connect", "127.0.0.1:1", "--peer", "nobody"],
        &["listen", "127.0.0.1:0", "--dir", "/nowhere"],
    ] {
        // A shell holds the terminal, so that its state can be looked at after the program's end.
        let command =
            format!("{} {}; echo \"ended with $?\"; read wait", env!("CARGO_BIN_EXE_p2pchat"), arguments.join(" "));
        for _ in 0..RUNS {
            let pty = Pty::run(&home, "sh", &["-c", &command]);
            pty.shows("ended with 2");
            assert!(pty.is_restored(), "{arguments:?}");
        }
    }
}

#[test]
fn the_first_line_of_the_input_may_be_the_listeners_code_and_is_not_said() {
    let mut ana = Home::new().listen_with_input("ana", "42-otter-plum\nhello\n", &["--code-fd", "0"]);
    let mut ben = Home::new().connect("ben", ana.addr(), &["--code=42-otter-plum"]);
    ben.message("hello");
    ana.close_input();
    ana.ends_with(0);
    ben.ends_with(0);
    assert_eq!(ben.texts(), ["hello"]);
}

#[test]
fn a_listeners_input_that_ends_before_the_code_is_a_usage_error() {
    let home = Home::new();
    let mut child = home.program(&["listen", "127.0.0.1:0", "--code-fd", "0"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

#[test]
fn a_code_in_the_environment_that_is_none_is_a_usage_error_and_never_no_code() {
    for (code, options) in
        [(&b""[..], &[][..]), (b"---", &[]), (b"\xff4-a-b", &[]), (b"", &["--code"]), (b"\xff", &["--code"])]
    {
        for role in [["listen", "127.0.0.1:0"], ["connect", "127.0.0.1:1"]] {
            let home = Home::new();
            let mut program = home.program(&[&role[..], options].concat());
            let ended = program.env("P2PCHAT_CODE", OsStr::from_bytes(code)).output().unwrap();
            assert_eq!(ended.status.code(), Some(2), "{code:?} {role:?} {ended:?}");
            assert!(String::from_utf8_lossy(&ended.stderr).contains("P2PCHAT_CODE"), "{ended:?}");
        }
    }
}
