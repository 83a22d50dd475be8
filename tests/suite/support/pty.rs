//! The program in a terminal of its own, and the emulator that shows what a person would see.

use super::{DEADLINE, Home};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use vt100::Callbacks;

/// Rows of [`Pty::start`]: so many that nothing scrolls away in a test.
const ROWS: u16 = 3_000;
/// Its columns: few enough for lines to wrap.
const COLUMNS: u16 = 100;

/// What the program asked of the terminal beside drawing.
#[derive(Default)]
pub(crate) struct Requests {
    /// Window titles and icon names.
    pub(crate) titles: Vec<String>,
    /// Reads and writes of the clipboard.
    pub(crate) clipboard: usize,
    /// Sequences that the emulator does not draw, as text.
    pub(crate) other: Vec<String>,
}

impl Callbacks for Requests {
    fn set_window_icon_name(&mut self, _: &mut vt100::Screen, name: &[u8]) {
        self.titles.push(String::from_utf8_lossy(name).into_owned());
    }

    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.titles.push(String::from_utf8_lossy(title).into_owned());
    }

    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], _: &[u8]) {
        self.clipboard += 1;
    }

    fn paste_from_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8]) {
        self.clipboard += 1;
    }

    fn unhandled_control(&mut self, _: &mut vt100::Screen, byte: u8) {
        self.other.push(format!("control {byte:02x}"));
    }

    fn unhandled_escape(&mut self, _: &mut vt100::Screen, i1: Option<u8>, i2: Option<u8>, byte: u8) {
        self.other.push(format!("escape {i1:?} {i2:?} {}", char::from(byte)));
    }

    fn unhandled_csi(&mut self, _: &mut vt100::Screen, i1: Option<u8>, _: Option<u8>, params: &[&[u16]], c: char) {
        self.other.push(format!("csi {}{params:?}{c}", i1.map(char::from).unwrap_or(' ')));
    }

    fn unhandled_osc(&mut self, _: &mut vt100::Screen, params: &[&[u8]]) {
        self.other.push(format!("osc {params:?}"));
    }
}

/// What came out so far.
pub(crate) struct Shown {
    pub(crate) emulator: vt100::Parser<Requests>,
    pub(crate) raw: Vec<u8>,
    ended: bool,
}

impl Shown {
    /// The rows as they stand there, of a wrapped line too, without spaces at their ends and empty ones below.
    pub(crate) fn rows(&self) -> Vec<String> {
        let screen = self.emulator.screen();
        let rows = screen.rows(0, screen.size().1).map(|row| row.trim_end().to_owned());
        let mut rows: Vec<String> = rows.collect();
        rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
        rows
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.emulator.screen().contents().contains(text)
    }
}

/// See the module. Killed when dropped.
pub(crate) struct Pty {
    shown: Arc<(Mutex<Shown>, Condvar)>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    _home: Home,
}

impl Pty {
    pub(crate) fn start(home: &Home, arguments: &[&str]) -> Self {
        Self::run(home, env!("CARGO_BIN_EXE_p2pchat"), arguments)
    }

    /// The program in a terminal of this size.
    pub(crate) fn sized(home: &Home, rows: u16, columns: u16, arguments: &[&str]) -> Self {
        Self::spawn(home, (rows, columns), env!("CARGO_BIN_EXE_p2pchat"), arguments)
    }

    /// Any program, a shell say.
    pub(crate) fn run(home: &Home, program: &str, arguments: &[&str]) -> Self {
        Self::spawn(home, (ROWS, COLUMNS), program, arguments)
    }

    fn spawn(home: &Home, (rows, cols): (u16, u16), program: &str, arguments: &[&str]) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows, cols, ..PtySize::default() }).unwrap();
        let mut command = CommandBuilder::new(program);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("P2PCHAT_")) {
            command.env_remove(name);
        }
        command.env("P2PCHAT_DATA", home.data());
        command.env("TERM", "xterm-256color");
        command.cwd(home.work());
        command.args(arguments);
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().unwrap();
        let emulator = vt100::Parser::new_with_callbacks(rows, cols, 0, Requests::default());
        let shown = Arc::new((Mutex::new(Shown { emulator, raw: Vec::new(), ended: false }), Condvar::new()));
        let theirs = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let read = output.read(&mut bytes).unwrap_or(0);
                let mut shown = theirs.0.lock().unwrap();
                shown.emulator.process(&bytes[..read]);
                shown.raw.extend_from_slice(&bytes[..read]);
                shown.ended |= read == 0;
                theirs.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { shown, keys, child, master: pair.master, _home: home.clone() }
    }

    /// Has the terminal show no keys by itself, so that what it shows is the program's alone.
    pub(crate) fn without_echo(self) -> Self {
        let device = File::open(self.master.tty_name().unwrap()).unwrap();
        assert!(Command::new("stty").arg("-echo").stdin(device).status().unwrap().success());
        self
    }

    /// Whether the terminal takes lines and shows what is typed, as a shell wants to find it.
    pub(crate) fn is_restored(&self) -> bool {
        let device = File::open(self.master.tty_name().unwrap()).unwrap();
        let said = Command::new("stty").arg("-a").stdin(device).output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        [" icanon", " echo ", " isig"].iter().all(|mode| said.replace('\n', " ").contains(mode))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    pub(crate) fn keys(&mut self, keys: &str) {
        self.bytes(keys.as_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.keys.write_all(bytes).unwrap();
        self.keys.flush().unwrap();
    }

    /// Does something while the terminal takes no output, beyond what its buffers hold; `act` gets what types keys.
    pub(crate) fn while_stuck<T>(&mut self, act: impl FnOnce(&mut dyn FnMut(&str)) -> T) -> T {
        let shown = Arc::clone(&self.shown);
        // The thread that reads waits for this.
        let _stuck = shown.0.lock().unwrap();
        act(&mut |keys| self.keys(keys))
    }

    /// Waits until what is shown fits, and gives something of it.
    #[track_caller]
    pub(crate) fn wait<T>(&self, fits: impl Fn(&Shown) -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        let mut shown = self.shown.0.lock().unwrap();
        loop {
            if let Some(found) = fits(&shown) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!shown.ended && !left.is_zero(), "what was waited for is not shown:\n{}", shown.rows().join("\n"));
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        self.wait(|shown| shown.has(text).then_some(()));
    }

    /// Waits until this is on the screen no more.
    #[track_caller]
    pub(crate) fn shows_no(&self, text: &str) {
        self.wait(|shown| (!shown.has(text)).then_some(()));
    }

    /// Waits until this is on the screen so many times.
    #[track_caller]
    pub(crate) fn shows_times(&self, times: usize, text: &str) {
        self.wait(|shown| (shown.emulator.screen().contents().matches(text).count() == times).then_some(()));
    }

    /// The invite that it shows.
    pub(crate) fn invite(&self) -> String {
        self.wait(|shown| {
            let text = String::from_utf8_lossy(&shown.raw);
            let (invite, _) = text.split_once("p2pchat:")?.1.split_once('\r')?;
            Some(format!("p2pchat:{invite}"))
        })
    }

    /// Where it listens, from the line to copy.
    pub(crate) fn addr(&self) -> SocketAddr {
        let after = |row: &String| row.split("p2pchat connect ").nth(1)?.split_whitespace().next()?.parse().ok();
        self.wait(|shown| shown.rows().iter().find_map(after))
    }

    /// Waits for the end: the exit code.
    pub(crate) fn exit_code(&mut self) -> u32 {
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.wait(|shown| shown.ended.then_some(()));
                return status.exit_code();
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("it does not end:\n{}", self.shown.0.lock().unwrap().rows().join("\n"));
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
