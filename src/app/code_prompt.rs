//! Asks the person at the terminal for the code.
//!
//! Invariant: the code is wiped when it was used, and the terminal is given back whatever happens.

mod line;

use crate::channel::Code;
use crate::exit::Exit;
use crossterm::event::{self, Event, KeyEventKind};
use crossterm::terminal;
use line::{Prompt, Step};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Columns of a terminal that does not tell.
const COLUMNS: u16 = 80;
/// How often the prompt looks for a signal; keys wake it at once.
const SIGNAL_GAP: Duration = Duration::from_millis(100);

/// Asks the person at the terminal: standard input when it is one, else the one that this process belongs to. Gives the code, or the exit
/// code when the person gave up or a signal came.
///
/// # Errors
/// When there is no terminal, or it cannot be used.
pub(super) fn prompt_for_code() -> io::Result<Result<Code, Exit>> {
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
            Err(exit) => break Err(exit),
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => match prompt.key(key) {
                Step::Show => {}
                Step::Done(code) => break Ok(code),
                Step::Leave => break Err(Exit::Interrupt),
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
