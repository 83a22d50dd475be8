//! Asks the person at the terminal for the code.
//!
//! Invariant: the code is wiped when it was used, and the terminal is given back whatever happens.

mod line;

use super::signals::PendingSignal;
use crate::channel::Code;
use crate::exit::Exit;
use crossterm::event::{self, Event, KeyEventKind};
use crossterm::terminal;
use line::{Prompt, Step};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
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
pub(super) fn prompt_for_code(pending_signal: &PendingSignal) -> io::Result<Result<Code, Exit>> {
    let mut out = output()?;
    let _raw_mode = RawMode::enter()?;
    let mut prompt = Prompt::new();
    let asked = loop {
        let columns = terminal::size().map_or(0, |(columns, _)| columns);
        // Some terminals do not say.
        let columns = if columns == 0 { COLUMNS } else { columns };
        out.write_all(prompt.frame(columns).as_bytes())?;
        out.flush()?;
        match next_event(pending_signal)? {
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
fn next_event(pending_signal: &PendingSignal) -> io::Result<Result<Event, Exit>> {
    loop {
        if let Some(exit) = pending_signal.take() {
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
struct RawMode;

impl RawMode {
    fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode().map(|()| Self)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
    }
}
