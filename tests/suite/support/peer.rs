//! One running program: what is typed into it, what it says, how it ends.
//!
//! 1. A thread for each output reads lines into the transcript; a line of JSON on standard output is an event.
//! 2. A thread for the input writes what the test sends, so that the test never waits for a program that does not read.
//! 3. The test waits for events. When one does not come, it fails with what every program said last.

use super::{DEADLINE, Home, is, text};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Looks at an event on the reading thread; says whether the transcript keeps it.
pub(crate) type Watch = Box<dyn FnMut(&Value) -> bool + Send>;
/// Pieces of input, made when the program is ready for them.
type Pieces = Box<dyn Iterator<Item = Vec<u8>> + Send>;

/// Where a line came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

struct Line {
    stream: Stream,
    text: String,
    event: Option<Value>,
}

#[derive(Default)]
struct Log {
    lines: Vec<Line>,
    /// Outputs at their end.
    ended: usize,
}

#[derive(Default)]
struct Heard {
    log: Mutex<Log>,
    changed: Condvar,
}

/// See the module. Killed when dropped.
pub(crate) struct Peer {
    name: String,
    child: Child,
    input: Option<Sender<Pieces>>,
    heard: Arc<Heard>,
    readers: Vec<JoinHandle<()>>,
    /// What it works in lives as long as it.
    home: Home,
}

impl Peer {
    pub(super) fn start(name: &str, home: &Home, mut command: Command, watch: Option<Watch>) -> Self {
        // Of some hundred programs that Wine starts on a busy machine, one ends before it is the program, with "internal error".
        let started = command.spawn();
        let mut child = started.or_else(|error| if cfg!(windows) { command.spawn() } else { Err(error) }).unwrap();
        let heard = Arc::new(Heard::default());
        let out = read(Stream::Out, child.stdout.take().unwrap(), &heard, watch);
        let err = read(Stream::Err, child.stderr.take().unwrap(), &heard, None);
        let mut stdin = child.stdin.take().unwrap();
        let (input, pieces) = mpsc::channel::<Pieces>();
        thread::spawn(move || {
            for piece in pieces.into_iter().flatten() {
                // A program that has ended takes no more; the test sees that elsewhere.
                if stdin.write_all(&piece).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        });
        Self { name: name.to_owned(), child, input: Some(input), heard, readers: vec![out, err], home: home.clone() }
    }

    /// Its user's directories.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.event("listening")["addrs"][0].as_str().unwrap().parse().unwrap()
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it has held so far, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> u64 {
        memory(self.pid(), "VmHWM:").unwrap()
    }

    /// Types a line.
    pub(crate) fn send(&self, line: &str) {
        self.pour(std::iter::once(format!("{line}\n").into_bytes()));
    }

    /// Makes a file in its working directory, and offers it.
    pub(crate) fn offers(&self, name: &str, content: impl AsRef<[u8]>) {
        self.home.file(name, content);
        self.send(&format!("/send {name}"));
    }

    /// Types pieces of bytes one after another, made as the program takes them.
    pub(crate) fn pour(&self, pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) {
        let input = self.input.as_ref().expect("the input is closed");
        // A program that has ended takes nothing; what the test then waits for does not come.
        let _ = input.send(Box::new(pieces));
    }

    /// Ends the input, once all that was sent is taken.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits for an event that `fits`, whenever it came.
    #[track_caller]
    pub(crate) fn wait_for(&self, fits: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_nth(1, fits)
    }

    /// Waits for the `n`th event that fits, from 1.
    #[track_caller]
    pub(crate) fn wait_for_nth(&self, n: usize, fits: impl Fn(&Value) -> bool) -> Value {
        self.find(n, "what was waited for", fits)
    }

    /// Waits for the first event of this name.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Value {
        self.event_nth(1, name)
    }

    /// Waits for the `n`th event of this name, from 1.
    #[track_caller]
    pub(crate) fn event_nth(&self, n: usize, name: &str) -> Value {
        self.find(n, name, |event| is(event, name))
    }

    /// Waits for a message with exactly this text.
    #[track_caller]
    pub(crate) fn message(&self, said: &str) -> Value {
        self.find(1, said, |event| is(event, "message") && text(event, "text") == said)
    }

    #[track_caller]
    fn find(&self, n: usize, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let found = self.wait_within(n, |line| line.event.as_ref().filter(|event| fits(event)).cloned());
        found.unwrap_or_else(|| self.fail(&format!("{what:?} did not come {n} times")))
    }

    /// Waits for a line of text that fits.
    #[track_caller]
    pub(crate) fn line(&self, stream: Stream, fits: impl Fn(&str) -> bool) -> String {
        let found = self.wait_within(1, |line| (line.stream == stream && fits(&line.text)).then(|| line.text.clone()));
        found.unwrap_or_else(|| self.fail("the line did not come"))
    }

    /// Waits while `fits` gives nothing for the `n`th time; none when the outputs end before, or the deadline is over.
    fn wait_within<T>(&self, n: usize, fits: impl Fn(&Line) -> Option<T>) -> Option<T> {
        let until = Instant::now() + DEADLINE;
        let mut log = self.heard.log.lock().unwrap();
        let (mut seen, mut left) = (0, n);
        loop {
            while let Some(line) = log.lines.get(seen) {
                seen += 1;
                if let Some(found) = fits(line) {
                    left -= 1;
                    if left == 0 {
                        return Some(found);
                    }
                }
            }
            let rest = until.saturating_duration_since(Instant::now());
            if log.ended == self.readers.len() || rest.is_zero() {
                return None;
            }
            log = self.heard.changed.wait_timeout(log, rest).unwrap().0;
        }
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.heard.log.lock().unwrap().lines.iter().filter_map(|line| line.event.clone()).collect()
    }

    /// All events of a name so far.
    pub(crate) fn all(&self, name: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| is(event, name)).collect()
    }

    /// The texts of all messages so far.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.all("message").iter().map(|event| text(event, "text").to_owned()).collect()
    }

    /// All lines of an output so far.
    pub(crate) fn lines(&self, stream: Stream) -> Vec<String> {
        let log = self.heard.log.lock().unwrap();
        log.lines.iter().filter(|line| line.stream == stream).map(|line| line.text.clone()).collect()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end: the exit code. By then the transcript is complete.
    #[track_caller]
    pub(crate) fn exit_code(&mut self) -> i32 {
        let status = self.end().unwrap_or_else(|| self.fail("it does not end"));
        status.code().unwrap_or_else(|| self.fail(&format!("it was killed: {status}")))
    }

    /// Waits for its end, and fails unless it ends with this code.
    #[track_caller]
    pub(crate) fn ends_with(&mut self, code: i32) {
        let ended = self.exit_code();
        if ended != code {
            self.fail(&format!("it ended with {ended}, not {code}"));
        }
    }

    fn end(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut log = self.heard.log.lock().unwrap();
                while log.ended < self.readers.len() && Instant::now() < until {
                    log = self.heard.changed.wait_timeout(log, DEADLINE).unwrap().0;
                }
                return Some(status);
            }
            if Instant::now() > until {
                return None;
            }
            // The standard library has no wait with a deadline.
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it without a word, as a crash would. What it had said is heard by then.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.end().unwrap();
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.pid().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Fails the test; what every program said follows as they are dropped.
    #[track_caller]
    pub(crate) fn fail(&self, why: &str) -> ! {
        panic!("{}: {why}", self.name)
    }

    fn transcript(&self) -> String {
        /// Lines at the end that are shown, and characters of each.
        const SHOWN: (usize, usize) = (60, 200);
        let log = self.heard.log.lock().unwrap();
        let mut shown = Vec::new();
        let kind = |line: &Line| line.event.as_ref().map(|event| text(event, "event").to_owned());
        let alike = |a: &Line, b: &Line| a.event.is_some() && kind(a) == kind(b);
        for run in log.lines.chunk_by(alike) {
            let mut show = |line: &Line| {
                let mark = if line.stream == Stream::Out { ' ' } else { '!' };
                shown.push(format!("{mark} {}\n", line.text.chars().take(SHOWN.1).collect::<String>()));
            };
            show(&run[0]);
            if let [_, between @ .., last] = run {
                if !between.is_empty() {
                    show(&Line { stream: Stream::Out, text: format!("… {} alike", between.len()), event: None });
                }
                show(last);
            }
        }
        let shown = &shown[shown.len().saturating_sub(SHOWN.0)..];
        format!("--- {} said ({} lines)\n{}", self.name, log.lines.len(), shown.concat())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{}", self.transcript());
        }
    }
}

/// A line of what the system says about a process's memory, in KiB; none when the process has ended.
#[cfg(target_os = "linux")]
pub(crate) fn memory(pid: u32, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|said| said.strip_prefix(line))?.trim().trim_end_matches(" kB").parse().ok()
}

fn read(
    stream: Stream,
    output: impl Read + Send + 'static,
    heard: &Arc<Heard>,
    mut watch: Option<Watch>,
) -> JoinHandle<()> {
    let heard = Arc::clone(heard);
    thread::spawn(move || {
        for text in BufReader::with_capacity(1 << 16, output).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&text).into_owned();
            let is_event = stream == Stream::Out && text.starts_with('{');
            let event = if is_event { serde_json::from_str(&text).ok() } else { None };
            let kept = match (&mut watch, &event) {
                (Some(watch), Some(event)) => watch(event),
                _ => true,
            };
            if kept {
                heard.log.lock().unwrap().lines.push(Line { stream, text, event });
                heard.changed.notify_all();
            }
        }
        heard.log.lock().unwrap().ended += 1;
        heard.changed.notify_all();
    })
}
