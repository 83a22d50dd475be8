//! What must not leak: the private key, codes, and what a crash would leave behind.

use crate::support::home::{Ran, run};
use crate::support::{Home, Pty, meet_with, quit};
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

const CODE: &str = "42-otter-plaza";
const PROGRAM: &str = env!("CARGO_BIN_EXE_p2pchat");

/// A shell that runs this in the working directory of `home`, with the program as `$P`.
fn shell(home: &Home, script: &str) -> Command {
    let mut shell = home.command("sh");
    shell.args(["-c", script]).env("P", PROGRAM);
    shell
}

#[test]
fn private_files_are_private() {
    let (ana, ben) = (Home::new(), Home::new());
    let (mut listening, mut dialling) = meet_with(&ana, &ben, &[], &[]);
    quit(&mut listening, &mut dialling);
    for file in ["identity", "known_peers"] {
        let mode = fs::metadata(ben.data().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::metadata(ben.data()).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_what_to_do() {
    let home = Home::new();
    assert_eq!(home.run(&["id"]).code, Some(0));
    let key = home.data().join("identity");
    for (mode, arguments) in
        [(0o640, &["id"][..]), (0o604, &["id"]), (0o620, &["id"]), (0o601, &["listen", "127.0.0.1:0"])]
    {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let Ran { code, err, .. } = home.run(arguments);
        assert!(code == Some(1) && err.contains("others can read") && err.contains("chmod 600"), "{code:?} {err}");
    }
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(home.run(&["id"]).code, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_crash_leaves_no_core_behind() {
    let ana = Home::new().listen("ana", &[]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", ana.pid())).unwrap();
    let core: Vec<_> =
        limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"]);
}

#[test]
fn a_code_comes_from_a_file_descriptor() {
    let ana = Home::new().listen("ana", &[&format!("--code={CODE}")]);
    let home = Home::new();
    fs::write(home.work().join("code"), format!(" 42 Otter PLAZA \n{CODE}x\n")).unwrap();
    let script = format!("exec \"$P\" connect {} --code-fd 3 3<code", ana.addr());
    let mut ben = shell(&home, &script).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(ana.event("connected")["trust"], "verified");
    assert!(ben.wait().unwrap().success());
}

#[test]
fn the_first_line_of_the_input_may_be_the_code_and_is_not_said() {
    let mut ana = Home::new().listen("ana", &["--code=42-otter-plaza"]);
    let script = format!("printf '%s\\nhello\\nbye\\n' {CODE} | \"$P\" connect {} --code-fd 0", ana.addr());
    assert_eq!(run(&mut shell(&Home::new(), &script)).code, Some(0));
    ana.ends_with(0);
    assert_eq!(ana.texts(), ["hello", "bye"]);
}

#[test]
fn a_descriptor_without_a_code_is_a_mistake_of_the_command() {
    for (script, words) in [
        ("exec \"$P\" connect 127.0.0.1:1 --code-fd 9", "file descriptor 9"),
        ("exec \"$P\" connect 127.0.0.1:1 --code-fd 3 3</dev/null", "letter or digit"),
        ("exec \"$P\" connect 127.0.0.1:1 --code-fd 3 --code=x 3</dev/null", "--code"),
        ("exec \"$P\" connect 127.0.0.1:1 --code-fd x", "--code-fd"),
        ("echo | exec \"$P\" listen 127.0.0.1:0 --code-fd 0", "letter or digit"),
        ("printf '\\377\\n' | exec \"$P\" listen 127.0.0.1:0 --code-fd 0", "cannot read a code from file descriptor 0"),
    ] {
        let Ran { code, err, .. } = run(shell(&Home::new(), script).stdin(Stdio::null()));
        assert!(code == Some(2) && err.contains(words), "{script}: {code:?} {err}");
    }
}

mod prompt {
    use super::*;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    fn ask(addr: SocketAddr) -> Pty {
        let pty = Pty::start(&Home::new(), &["connect", &addr.to_string(), "--code", "-n", "ben"]);
        pty.shows("code: ");
        pty
    }

    #[test]
    fn a_code_is_typed_with_its_words_completed() {
        let mut ana = Home::new().listen("ana", &[&format!("--code={CODE}")]);
        let mut ben = ask(ana.addr());
        ben.keys("42\tOTT\t");
        ben.shows("code: 42-otter-");
        ben.keys("plazx\t");
        ben.shows("no word begins like this");
        ben.keys("\u{7f}a\r");
        assert_eq!(ana.event("connected")["trust"], "verified");
        // A line that was begun before it is seen who is here would stay in the editor.
        ben.shows("ana");
        ben.keys("hello\r");
        ana.message("hello");
        ben.keys("/quit\r");
        assert_eq!(ben.exit_code(), 0);
        assert!(ben.is_restored());
        ana.ends_with(0);
    }

    #[test]
    fn a_word_that_is_not_on_the_list_is_not_tried() {
        let mut ana = Home::new().listen("ana", &[&format!("--code={CODE}")]);
        let mut ben = ask(ana.addr());
        ben.keys("42-otter-plazza\r\r");
        ben.shows("Tab: 42-otter-plaza");
        ben.keys("\r\t");
        ben.shows("code: 42-otter-plaza");
        ben.shows_no("no such word");
        ben.keys("\r");
        assert_eq!(ana.event("connected")["trust"], "verified");
        assert!(ana.all("warning").is_empty(), "a mistyped word costs no try");
        ana.send("/quit");
        ana.ends_with(0);
    }

    #[test]
    fn a_code_of_ones_own_with_the_look_of_a_made_one_can_be_typed() {
        let ana = Home::new().listen("ana", &["--code=7-our-xqz"]);
        let mut ben = ask(ana.addr());
        ben.keys("7-our-xqz\r");
        ben.shows("without dashes");
        ben.keys("\u{15}7ourxqz\r");
        assert_eq!(ana.event("connected")["trust"], "verified");
    }

    #[test]
    fn two_tabs_show_what_a_word_could_be() {
        let ana = Home::new().listen("ana", &["--code=x"]);
        let mut ben = ask(ana.addr());
        ben.keys("7-zoo\t");
        ben.shows("zookeeper zoologist zoology zoom");
        ben.keys("l\t");
        ben.shows("code: 7-zoolog");
        ben.shows("2 words begin like this");
        ben.keys("\u{15}7-a\t");
        ben.shows(" more");
        ben.keys("\u{3}");
        assert_eq!(ben.exit_code(), 130);
        assert!(ben.is_restored());
        assert!(ana.all("warning").is_empty(), "nobody was dialled");
    }

    #[test]
    fn a_signal_leaves_the_terminal_as_it_was() {
        let ana = Home::new().listen("ana", &["--code=x"]);
        let mut ben = ask(ana.addr());
        kill(Pid::from_raw(ben.pid().try_into().unwrap()), Signal::SIGTERM).unwrap();
        assert_eq!(ben.exit_code(), 143);
        assert!(ben.is_restored());
    }

    #[test]
    fn the_terminal_is_asked_when_the_input_is_another() {
        let mut ana = Home::new().listen("ana", &[&format!("--code={CODE}")]);
        let script = format!("echo hello | \"{PROGRAM}\" connect {} --code -n ben", ana.addr());
        let mut ben = Pty::run(&Home::new(), "sh", &["-c", &script]);
        ben.shows("code: ");
        ben.keys(&format!("{CODE}\r"));
        ana.message("hello");
        assert_eq!(ben.exit_code(), 0);
        ana.ends_with(0);
    }

    /// `setsid` takes the terminal away that the tests may have been started from.
    #[cfg(target_os = "linux")]
    #[test]
    fn where_there_is_no_terminal_the_other_ways_are_named() {
        let script = "exec setsid -w \"$P\" connect 127.0.0.1:1 --code";
        let Ran { code, err, .. } = run(shell(&Home::new(), script).stdin(Stdio::null()));
        assert!(code == Some(1) && err.contains("P2PCHAT_CODE") && err.contains("--code-fd"), "{code:?} {err}");
    }
}
