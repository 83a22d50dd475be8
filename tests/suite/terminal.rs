//! The program in a terminal of its own: what a person sees, types, and gets back at the end.
//!
//! The terminal is emulated by vt100 behind a pty; its peer is the program again, with JSON on pipes. Conditions are waited
//! for, never times. (What happens when the size changes is tested in tmux, which reflows: `tests/tmux/`.)

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{self, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_p2pchat");
/// Far beyond what anything here takes, so that only a defect meets it.
const PATIENCE: Duration = Duration::from_secs(60);
const SIZE: PtySize = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };

type Shown = Arc<(Mutex<vt100::Parser>, Condvar)>;

/// The side with the terminal.
struct Terminal {
    shown: Shown,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
    folder: TempDir,
}

impl Terminal {
    fn listen(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = native_pty_system().openpty(SIZE).unwrap();
        let mut command = CommandBuilder::new(PROGRAM);
        command.args(["listen", "127.0.0.1:0", "-n", "alice"]);
        command.args(options);
        command.cwd(folder.path());
        command.env("P2PCHAT_DATA", folder.path().join("data"));
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let shown: Shown = Arc::new((Mutex::new(vt100::Parser::new(SIZE.rows, SIZE.cols, 1000)), Condvar::new()));
        let mut output = pair.master.try_clone_reader().unwrap();
        let show = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                show.0.lock().unwrap().process(&bytes[..read]);
                show.1.notify_all();
            }
        });
        let keyboard = pair.master.take_writer().unwrap();
        Self { shown, keyboard, child, _master: pair.master, folder }
    }

    /// Waits until what is shown meets a condition.
    fn until<T>(&self, what: &str, meets: impl Fn(&vt100::Screen) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut parser = self.shown.0.lock().unwrap();
        loop {
            if let Some(met) = meets(parser.screen()) {
                return met;
            }
            let left = end.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("{what} never came:\n{}", parser.screen().contents()));
            parser = self.shown.1.wait_timeout(parser, left).unwrap().0;
        }
    }

    fn until_shows(&self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text).then_some(()));
    }

    fn address(&self) -> String {
        self.until("the address", |screen| {
            let contents = screen.contents();
            let line = contents.lines().find_map(|line| line.split_once("p2pchat connect "))?;
            Some(line.1.trim().to_owned())
        })
    }

    fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Waits for the end of the program, and checks that it gave the terminal back as it was.
    fn end(mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        self.until("the terminal as it was", |screen| {
            let is_back = !screen.bracketed_paste() && !screen.hide_cursor() && !screen.alternate_screen();
            let rows: Vec<String> = screen.rows(0, SIZE.cols).collect();
            let has_no_block = !rows.iter().any(|row| row.starts_with("-- ") || row.starts_with('>'));
            (is_back && has_no_block).then_some(())
        });
        status
    }
}

/// The side with pipes.
struct Peer {
    child: process::Child,
    events: Receiver<String>,
    _folder: TempDir,
}

impl Peer {
    fn connect(address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = process::Command::new(PROGRAM)
            .args(["connect", address, "-n", "bob", "--json"])
            .current_dir(folder.path())
            .env("P2PCHAT_DATA", folder.path().join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, events) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, events, _folder: folder }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The text of the next message.
    fn hears(&self) -> String {
        loop {
            let line = self.events.recv_timeout(PATIENCE).expect("a message");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "message" {
                return event["text"].as_str().unwrap().to_owned();
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn meet(options: &[&str]) -> (Terminal, Peer) {
    let terminal = Terminal::listen(options);
    let peer = Peer::connect(&terminal.address());
    terminal.until_shows("] bob, connected");
    (terminal, peer)
}

#[test]
fn two_talk_and_quit_gives_the_terminal_back() {
    let (mut terminal, mut peer) = meet(&[]);
    terminal.until("bracketed paste", |screen| screen.bracketed_paste().then_some(()));
    terminal.keys("half typed");
    terminal.until_shows("> half typed");
    peer.say("hello from bob");
    terminal.until_shows("bob  hello from bob");
    terminal.until_shows("> half typed");
    terminal.keys(" and sent\r");
    assert_eq!(peer.hears(), "half typed and sent");
    terminal.until_shows("alice▸ half typed and sent");
    terminal.keys("/quit\r");
    assert!(terminal.end().success());
}

#[test]
fn a_paste_of_two_lines_is_one_message() {
    let (mut terminal, peer) = meet(&[]);
    terminal.keys("\x1b[200~one\rtwo\x1b[201~");
    terminal.until_shows("  two");
    terminal.keys("\r");
    assert_eq!(peer.hears(), "one\ntwo");
    terminal.until_shows("2 lines, #1");
}

#[test]
fn ctrl_c_clears_the_line_and_twice_leaves_with_130() {
    let (mut terminal, mut peer) = meet(&[]);
    terminal.keys("never sent\x03\x03");
    terminal.until_shows("Ctrl-C again leaves");
    terminal.keys("\x03");
    assert_eq!(terminal.end().exit_code(), 130);
    assert!(peer.child.wait().unwrap().success());
}

#[test]
fn ctrl_d_on_an_empty_line_quits() {
    let (mut terminal, _peer) = meet(&[]);
    terminal.keys("\x04");
    assert!(terminal.end().success());
}

#[test]
fn ctrl_z_goes_on_where_no_shell_could_bring_the_program_back() {
    let (mut terminal, mut peer) = meet(&[]);
    terminal.keys("kept");
    terminal.until_shows("> kept");
    terminal.keys("\x1a");
    peer.say("still here?");
    terminal.until_shows("bob  still here?");
    terminal.keys("\r");
    assert_eq!(peer.hears(), "kept");
}

#[test]
#[cfg(debug_assertions)]
fn a_panic_gives_the_terminal_back() {
    let (mut terminal, _peer) = meet(&[]);
    terminal.keys("/panic!\r");
    terminal.until_shows("a bug ended the program");
    assert_eq!(terminal.end().exit_code(), 1);
}

#[test]
fn history_is_kept_only_when_asked_for() {
    for (options, kept) in [(&[][..], false), (&["--history"][..], true)] {
        let (mut terminal, peer) = meet(options);
        terminal.keys("remember this\r");
        assert_eq!(peer.hears(), "remember this");
        terminal.keys("/quit\r");
        let file = terminal.folder.path().join("data/history");
        terminal.child.wait().unwrap();
        assert_eq!(file.exists(), kept, "{options:?}");
    }
}
