//! The plain face: lines that only ever append, for pipes, logs, screen readers and poor terminals.
//!
//! Chat goes to standard output, everything else to standard error. Invariant: a line of chat begins with a time or, being
//! the continuation of one, with `INDENT`; a line of the program's begins with `MARK`. So no peer can imitate one of
//! the program's lines, even where both streams end in one place; nor a row of a terminal, since lines are folded there before
//! it wraps them. Own lines are not repeated: terminal or pipe have them.

mod fold;
mod words;

use super::pump::{Face, FaceError, Verbosity, pump};
use super::{Notice, Posted};
use fold::fold;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::Receiver;
use words::Speech;

/// Before every line of the program's own.
const MARK: &str = "-- ";
/// Before the lines of a notice after its first.
const HINT: &str = "--   ";
/// Before the lines of a message after its first: as wide as a time and the space after it.
const INDENT: &str = "      ";
/// Bytes gathered for one write: some hundred lines, or one long message.
const BUFFER: usize = 64 * 1024;

/// How the face is to be.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// How much it says.
    pub verbosity: Verbosity,
    /// Gives the columns of the terminal that shows `out`, if one does.
    pub columns_out: fn() -> Option<usize>,
    /// The same for `err`.
    pub columns_err: fn() -> Option<usize>,
}

impl From<Verbosity> for Manner {
    /// For streams that no terminal shows.
    fn from(verbosity: Verbosity) -> Self {
        Self { verbosity, columns_out: || None, columns_err: || None }
    }
}

/// Columns of the terminal, for [`Manner`].
pub fn terminal_columns() -> Option<usize> {
    crossterm::terminal::size().ok().map(|(columns, _)| columns.into())
}

/// The body of the face's thread: writes lines until the notices end. `now` gives the time of day as `HH:MM`; `settled`
/// hears the highest number that was written and flushed.
///
/// # Errors
///
/// [`FaceError`] when `out` fails. A failing `err` is given up: chat is worth more than notices.
pub fn run(
    notices: &Receiver<Posted>,
    out: impl Write,
    err: impl Write,
    manner: impl Into<Manner>,
    now: impl Fn() -> String,
    settled: impl Fn(u64),
) -> Result<(), FaceError> {
    let manner = manner.into();
    let mut face = Plain {
        out: BufWriter::with_capacity(BUFFER, out),
        err: Some(BufWriter::with_capacity(BUFFER, err)),
        speech: Speech::new(manner.verbosity),
        manner,
        now,
    };
    pump(notices, &mut face, settled)
}

/// The time of day here, `HH:MM`, for `now`.
pub fn local_time() -> String {
    chrono::Local::now().format("%H:%M").to_string()
}

struct Plain<O: Write, E: Write, C> {
    out: BufWriter<O>,
    /// None once it failed.
    err: Option<BufWriter<E>>,
    speech: Speech,
    manner: Manner,
    now: C,
}

impl<O: Write, E: Write, C: Fn() -> String> Face for Plain<O, E, C> {
    fn show(&mut self, notice: &Notice) -> io::Result<()> {
        if let Notice::Message { from, text, action, .. } = notice {
            // Where both streams end in one place, order must be kept: what was said before goes out before.
            self.flush_err();
            let time = (self.now)();
            let mut lines = text.safe_lines().into_iter();
            let first = lines.next().map(|line| line.to_string()).unwrap_or_default();
            let from = from.safe();
            let first = if *action { format!("{time} * {from} {first}") } else { format!("{time} {from}: {first}") };
            let columns = (self.manner.columns_out)();
            write_folded(&mut self.out, &first, INDENT, columns)?;
            return lines.try_for_each(|line| write_folded(&mut self.out, &format!("{INDENT}{line}"), INDENT, columns));
        }
        let lines = self.speech.lines(notice);
        if lines.is_empty() {
            return Ok(());
        }
        self.out.flush()?;
        self.say(&lines);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_err();
        self.out.flush()
    }
}

impl<O: Write, E: Write, C> Plain<O, E, C> {
    fn say(&mut self, lines: &[String]) {
        let Some(err) = &mut self.err else { return };
        let marks = std::iter::once(MARK).chain(std::iter::repeat(HINT));
        let columns = (self.manner.columns_err)();
        let mut written =
            marks.zip(lines).map(|(mark, line)| write_folded(err, &format!("{mark}{line}"), HINT, columns));
        if written.any(|written| written.is_err()) {
            self.err = None;
        }
    }

    fn flush_err(&mut self) {
        if self.err.as_mut().is_some_and(|err| err.flush().is_err()) {
            self.err = None;
        }
    }
}

/// Writes a line, on a terminal as rows of which all but the first begin with `indent`.
fn write_folded(out: &mut impl Write, line: &str, indent: &str, columns: Option<usize>) -> io::Result<()> {
    for (number, row) in fold(line, columns, indent.len()).into_iter().enumerate() {
        writeln!(out, "{}{row}", if number == 0 { "" } else { indent })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
