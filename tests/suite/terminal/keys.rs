//! What a terminal sends beside keys, and the editor of the user's choice.

use super::meet;
use crate::support::home::names;
use crate::support::{Home, Pty, text};
use std::fs;

#[test]
fn answers_of_the_terminal_and_bad_bytes_are_no_keys() {
    let (_home, mut terminal, peer) = meet(&[]);
    terminal.bytes(b"a\xe9bc\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\d");
    terminal.bytes(b"\x1bP1+r544e=787465726d\x1b\\e\x1b[?62;22cf\x1b]10;rgb:ff/ff/ff\x07");
    terminal.bytes("gé\r".as_bytes());
    peer.message("abcdefgé");
}

/// An editor that notes what it gets, writes something else once it may, and ends with this code.
fn with_editor(home: &Home, code: u8) -> Pty {
    let script = format!(
        "stty -a > modes; cat \"$1\" > seen; echo editing; while [ ! -e go ]; do sleep 0.02; done; \
         echo 'from the editor' > \"$1\"; rm go; exit {code}"
    );
    let editor = home.file("editor.sh", script);
    let inbox = home.inbox();
    let start = format!(
        "unset VISUAL; EDITOR='sh {}' exec {} listen 127.0.0.1:0 -n alice --accept always --dir {}",
        editor.display(),
        env!("CARGO_BIN_EXE_p2pchat"),
        inbox.display()
    );
    Pty::run(home, "sh", &["-c", &start])
}

#[test]
fn an_editor_changes_the_message_while_the_network_goes_on() {
    for (code, sent) in [(0, "from the editor"), (3, "half typed")] {
        let home = Home::new();
        let mut terminal = with_editor(&home, code);
        let peer = Home::new().connect("bob", terminal.addr(), &[]);
        terminal.shows("] bob, connected");
        terminal.keys("half typed\x18\x05");
        terminal.shows("editing");
        assert!(terminal.is_restored());
        assert_eq!(fs::read_to_string(home.work().join("seen")).unwrap(), "half typed\n");
        peer.send("meanwhile");
        peer.offers("photo", "content");
        peer.event("done");
        assert!(!terminal.wait(|shown| Some(shown.has("meanwhile"))));
        fs::write(home.work().join("go"), "").unwrap();
        terminal.shows("bob  meanwhile");
        terminal.shows(&format!("> {sent}"));
        if code != 0 {
            terminal.shows("the editor failed (exit status: 3): the message is as it was");
        }
        terminal.keys("\r");
        peer.message(sent);
    }
}

/// A terminal that goes away may say so several times.
#[test]
fn a_signal_ends_the_program_while_an_editor_has_the_terminal_with_a_goodbye_and_without_its_file() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    for (signal, times, code) in [(Signal::SIGTERM, 1, 143), (Signal::SIGHUP, 50, 129)] {
        let home = Home::new();
        let drafts = home.work().join("drafts");
        fs::create_dir(&drafts).unwrap();
        let editor = home.file("editor.sh", "echo editing; for i in $(seq 5000); do sleep 0.02; done");
        let start = format!(
            "unset VISUAL; export TMPDIR={} EDITOR='exec sh {}'; exec {} listen 127.0.0.1:0",
            drafts.display(),
            editor.display(),
            env!("CARGO_BIN_EXE_p2pchat")
        );
        let mut terminal = Pty::run(&home, "sh", &["-c", &start]);
        let mut peer = Home::new().connect("bob", terminal.addr(), &[]);
        terminal.shows("] bob, connected");
        terminal.keys("half typed\x18\x05");
        terminal.shows("editing");
        assert_eq!(names(&drafts).len(), 1);
        let pid = Pid::from_raw(terminal.pid().try_into().unwrap());
        for _ in 0..times {
            kill(pid, signal).unwrap();
        }
        assert_eq!(terminal.exit_code(), code);
        peer.ends_with(0);
        assert!(text(&peer.event("bye"), "reason").contains("interrupted"));
        assert!(names(&drafts).is_empty());
    }
}

#[test]
fn without_an_editor_one_says_what_to_set() {
    let home = Home::new();
    let start = format!("unset VISUAL EDITOR; exec {} listen 127.0.0.1:0", env!("CARGO_BIN_EXE_p2pchat"));
    let mut terminal = Pty::run(&home, "sh", &["-c", &start]);
    terminal.addr();
    terminal.keys("kept\x18\x05");
    terminal.shows("set VISUAL or EDITOR");
    terminal.keys("!");
    terminal.shows("> kept!");
}
