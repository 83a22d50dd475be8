//! Where a code comes from that stands in no argument: a file descriptor, or the person at the terminal.
//!
//! Invariant: a code that is read here is wiped when it was used, and the terminal is given back whatever happens.

mod line;

use crate::channel::{Code, CodeError};
use crate::error_text::io_error_text;
use crate::exit::Exit;
use crossterm::event::{self, Event, KeyEventKind};
use crossterm::terminal;
use line::{Prompt, Step};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a descriptor's first line.
const LINE: u64 = 1_024;
/// Columns of a terminal that does not tell.
const COLUMNS: u16 = 80;
/// How often the prompt looks for a signal; keys wake it at once.
const SIGNAL_GAP: Duration = Duration::from_millis(100);
/// Where processes find their own descriptors, by system.
const DESCRIPTORS: [&str; 2] = ["/dev/fd", "/proc/self/fd"];

/// Why there is no code. The command or the machine is at fault.
#[derive(Debug, Error)]
pub(super) enum AskError {
    /// `--code-fd` names nothing that can be read.
    #[error("cannot read a code from file descriptor {0}: {cause}\n--code-fd N reads what N<FILE or N<<<CODE gives", cause = io_error_text(.1))]
    Descriptor(u32, #[source] io::Error),
    /// The first line is no code.
    #[error("file descriptor {0}: {1}")]
    NoCode(u32, #[source] CodeError),
    /// This system has no such paths.
    #[error("--code-fd works on Unix alone\ngive the code in P2PCHAT_CODE")]
    NotHere,
    /// There is no terminal, or it cannot be used.
    #[error("cannot ask for the code: {}\ngive it in P2PCHAT_CODE or by --code-fd where there is no terminal to ask on", io_error_text(.0))]
    Terminal(#[source] io::Error),
}

/// What came of asking.
pub(super) enum Asked {
    /// A code.
    Code(Code),
    /// The person left, or a signal came.
    Left(Exit),
}

/// The first line of a file descriptor.
///
/// # Errors
/// When it cannot be read, or is no code.
pub(super) fn from_descriptor(number: u32) -> Result<Code, AskError> {
    if !cfg!(unix) {
        return Err(AskError::NotHere);
    }
    // All the room at once: a buffer that grows leaves unwiped copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(usize::try_from(LINE).unwrap_or_default()));
    let read = match number {
        // What follows the line is chat, and waits in this very buffer.
        0 => io::stdin().lock().take(LINE).read_until(b'\n', &mut line).map(drop),
        _ => open(number).and_then(|file| first_line(file, &mut line)),
    };
    read.map_err(|error| AskError::Descriptor(number, error))?;
    let text = str::from_utf8(&line)
        .map_err(|error| AskError::Descriptor(number, io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Code::new(text).map_err(|error| AskError::NoCode(number, error))
}

fn open(number: u32) -> io::Result<File> {
    let folder = DESCRIPTORS.iter().map(Path::new).find(|folder| folder.exists()).unwrap_or(Path::new("/dev/fd"));
    File::open(folder.join(number.to_string()))
}

/// Byte by byte, since what follows belongs to others.
#[allow(clippy::unbuffered_bytes, reason = "a buffer would take what follows")]
fn first_line(file: File, line: &mut Vec<u8>) -> io::Result<()> {
    for byte in file.take(LINE).bytes() {
        match byte? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    Ok(())
}

/// Asks the person at the terminal: standard input when it is one, else the one that this process belongs to.
///
/// # Errors
/// When there is none.
pub(super) fn at_the_terminal() -> Result<Asked, AskError> {
    ask().map_err(AskError::Terminal)
}

fn ask() -> io::Result<Asked> {
    let mut out = output()?;
    let signals = Signals::watch()?;
    terminal::enable_raw_mode()?;
    let _restored = Restored;
    let mut prompt = Prompt::new();
    let asked = loop {
        let columns = terminal::size().map_or(0, |(columns, _)| columns);
        // Some terminals do not say.
        let columns = if columns == 0 { COLUMNS } else { columns };
        out.write_all(prompt.frame(columns).as_bytes())?;
        out.flush()?;
        match next_event(&signals)? {
            Err(exit) => break Asked::Left(exit),
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => match prompt.key(key) {
                Step::Show => {}
                Step::Done(code) => break Asked::Code(code),
                Step::Leave => break Asked::Left(Exit::Interrupt),
            },
            Ok(_) => {}
        }
    };
    // Below the code, and the hint away.
    out.write_all(b"\r\n\x1b[J")?;
    out.flush()?;
    Ok(asked)
}

/// Waits for what the terminal says, or for a signal.
fn next_event(signals: &Signals) -> io::Result<Result<Event, Exit>> {
    loop {
        if let Some(exit) = signals.came() {
            return Ok(Err(exit));
        }
        if event::poll(SIGNAL_GAP)? {
            return event::read().map(Ok);
        }
    }
}

/// Where the prompt is shown: not among the output of a script.
fn output() -> io::Result<Box<dyn Write>> {
    if io::stderr().is_terminal() {
        return Ok(Box::new(io::stderr()));
    }
    let device = if cfg!(windows) { "CONOUT$" } else { "/dev/tty" };
    Ok(Box::new(OpenOptions::new().write(true).open(device)?))
}

/// Leaves raw mode on every way out.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
    }
}

/// Signals that would end the program with the terminal in raw mode.
struct Signals(Vec<(Arc<AtomicBool>, Exit)>);

impl Signals {
    #[cfg(unix)]
    fn watch() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let kinds = [(SIGINT, Exit::Interrupt), (SIGTERM, Exit::Terminate), (SIGHUP, Exit::Hangup)];
        let watched = kinds.map(|(signal, exit)| {
            let came = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal, Arc::clone(&came)).map(|_| (came, exit))
        });
        watched.into_iter().collect::<io::Result<_>>().map(Self)
    }

    #[cfg(not(unix))]
    #[allow(clippy::unnecessary_wraps, reason = "the same shape as where there are signals")]
    fn watch() -> io::Result<Self> {
        Ok(Self(Vec::new()))
    }

    fn came(&self) -> Option<Exit> {
        self.0.iter().find(|(came, _)| came.load(Ordering::Relaxed)).map(|(_, exit)| *exit)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[allow(clippy::unwrap_used, reason = "part of tests")]
    fn descriptor(content: &[u8]) -> (File, u32) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let file = file.reopen().unwrap();
        let number = u32::try_from(file.as_raw_fd()).unwrap();
        (file, number)
    }

    #[test]
    fn the_first_line_of_a_descriptor_is_the_code() {
        let (_file, number) = descriptor(b" 42-otter-plum\r\nsecond\n");
        assert_eq!(from_descriptor(number).unwrap().display(), "42-otter-plum");
    }

    #[test]
    fn a_descriptor_that_is_not_open_or_holds_no_code_is_named() {
        let words = from_descriptor(9_999).unwrap_err().to_string();
        assert!(words.starts_with("cannot read a code from file descriptor 9999"), "{words}");
        let (_file, number) = descriptor(b"\n42-otter-plum\n");
        assert!(matches!(from_descriptor(number), Err(AskError::NoCode(_, CodeError::Empty))));
        let (_file, number) = descriptor(b"\xff\n");
        assert!(matches!(from_descriptor(number), Err(AskError::Descriptor(..))));
    }
}
