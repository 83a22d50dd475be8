//! The plain frontend: lines that are only appended, for pipes, logs, screen readers and simple terminals.
//!
//! Chat goes to standard output, everything else to standard error; of a one-shot ([`Purpose`]) the paths of what arrived go to standard
//! output and everything else to standard error. Invariant: a line of chat begins with a time or, as a
//! continuation, with blanks; a line of the program begins with `MARK`. So no peer can imitate a line of the program, even where
//! both streams end in one place; nor a row of a terminal, since lines are wrapped there with an indent. Own lines are not
//! repeated: the terminal or pipe has them.

use super::format::size;
use super::frontend::{Frontend, Purpose, Verbosity, run_frontend};
use super::messages::Messages;
use super::open_transfers::OpenTransfer;
use super::qr;
use super::style::Style;
use super::wrap::{NARROW, NARROW_INDENT, wrap};
use super::{Notice, PeerText, Posted, Question};
use crossterm::terminal;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// Before every line of the program.
const MARK: &str = "-- ";
/// Before the lines of a message of the program after its first.
const HINT: &str = "--   ";
/// Before the further rows of a line of the program: deeper than a hint, so that what a peer wrote never begins one.
const CONTINUED: &str = "--     ";
/// Bytes gathered for one write: some hundred lines, or one long message.
const BUFFER: usize = 64 * 1024;
/// Progress is reported each time it passes a multiple of this, in percent.
const STEP: u8 = 10;

/// Options of the plain frontend.
#[derive(Debug, Clone, Copy)]
pub struct PlainOptions {
    /// How much is shown.
    pub verbosity: Verbosity,
    pub purpose: Purpose,
    /// Gives the columns of the terminal that shows `out`, if one does.
    pub columns_out: fn() -> Option<usize>,
    /// The same for `err`.
    pub columns_err: fn() -> Option<usize>,
}

impl From<Verbosity> for PlainOptions {
    /// For streams that no terminal shows.
    fn from(verbosity: Verbosity) -> Self {
        Self { verbosity, purpose: Purpose::Chat, columns_out: || None, columns_err: || None }
    }
}

/// Columns of the terminal, for [`PlainOptions`].
pub fn terminal_columns() -> Option<usize> {
    terminal::size().ok().map(|(columns, _)| columns.into())
}

/// The body of the frontend's thread: writes lines until the notices end. `now` gives the time of day as `HH:MM`; `shown_up_to`
/// is called with the highest number that was written and flushed.
///
/// # Errors
///
/// When `out` fails. After an error on `err` nothing more is written to it; chat goes on.
pub fn run(
    notices: &Receiver<Posted>,
    out: impl Write,
    err: impl Write,
    options: impl Into<PlainOptions>,
    now: impl Fn() -> String,
    shown_up_to: impl Fn(u64),
) -> io::Result<()> {
    let options = options.into();
    let mut frontend = PlainFrontend {
        out: BufWriter::with_capacity(BUFFER, out),
        err: BestEffort(Some(BufWriter::with_capacity(BUFFER, err))),
        messages: Messages::new(options.verbosity, options.purpose),
        live: 0,
        options,
        now,
    };
    run_frontend(notices, &mut frontend, shown_up_to)
}

/// The time of day here, `HH:MM`, for `now`.
pub fn local_time() -> String {
    chrono::Local::now().format("%H:%M").to_string()
}

/// Takes everything; once it has failed, writes nothing more.
struct BestEffort<W>(Option<W>);

impl<W: Write> Write for BestEffort<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.take_if(|out| out.write_all(bytes).is_err());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.take_if(|out| out.flush().is_err());
        Ok(())
    }
}

struct PlainFrontend<O: Write, E: Write, C> {
    out: BufWriter<O>,
    err: BestEffort<BufWriter<E>>,
    messages: Messages,
    /// Columns of the live row that stands at the end of `err`; 0 for none.
    live: usize,
    options: PlainOptions,
    now: C,
}

impl<O: Write, E: Write, C: Fn() -> String> Frontend for PlainFrontend<O, E, C> {
    fn show(&mut self, posted: &Posted) -> io::Result<()> {
        let notice = &posted.notice;
        let before = self.percent(notice);
        let text = self.messages.message(notice, Instant::now()).map(|(_, text)| text);
        match notice {
            Notice::Message { from, text, action, .. } => return self.chat(from, text, *action),
            Notice::Published(path) if self.options.purpose == Purpose::Receive => {
                self.erase_live()?;
                self.err.flush()?;
                match (self.options.columns_out)() {
                    Some(_) => writeln!(self.out, "{}", path.safe())?,
                    // A script needs the name as it is on the disk.
                    None => writeln!(self.out, "{}", path.raw())?,
                }
            }
            // A transfer that starts over falls back silently; its end is reported as done.
            Notice::Progress { transfer, bytes, total: Some(total), .. } => {
                let now = self.percent(notice);
                let live = (self.options.columns_err)().is_some();
                if now / STEP > before / STEP && now < 100 && self.options.verbosity > Verbosity::Quiet && !live {
                    self.write(&format!("[{transfer}] {now} %, {} of {}", size(*bytes), size(*total)))?;
                }
            }
            Notice::Question { question: Question::Accept { transfer, .. }, .. } => {
                let text = format!(
                    "/accept {transfer}, /accept {transfer} FOLDER or /decline {transfer}; names: /transfers {transfer}"
                );
                self.write(&text)?;
            }
            Notice::Listening { invite: Some(invite), qr, .. } => {
                self.invite(&text.unwrap_or_default(), invite, *qr)?;
            }
            _ => {
                if let Some(text) = text {
                    self.write(&text)?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What stands there goes out before the live row, which would stand in its line.
        let flushed = self.out.flush();
        self.show_live()?;
        self.err.flush()?;
        flushed
    }
}

impl<O: Write, E: Write, C: Fn() -> String> PlainFrontend<O, E, C> {
    /// How far the transfer is whose progress comes.
    fn percent(&self, notice: &Notice) -> u8 {
        let Notice::Progress { transfer, .. } = notice else { return 0 };
        self.messages.open.get(*transfer).map_or(0, OpenTransfer::percent)
    }

    fn chat(&mut self, from: &PeerText, text: &PeerText, action: bool) -> io::Result<()> {
        self.erase_live()?;
        // Where both streams end in one place, order must be kept: what was said before goes out before.
        self.err.flush()?;
        let time = (self.now)() + " ";
        let (out, columns): (&mut dyn Write, _) = match self.options.purpose {
            Purpose::Chat => (&mut self.out, self.options.columns_out),
            _ => (&mut self.err, self.options.columns_err),
        };
        write_chat(out, &time, from.name().as_str(), text, action, columns())
    }

    /// Lines of the program.
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.erase_live()?;
        self.out.flush()?;
        let marks = std::iter::once(MARK).chain(std::iter::repeat(HINT));
        let columns = (self.options.columns_err)();
        marks.zip(text.split('\n')).try_for_each(|(mark, line)| {
            let mark = if line.is_empty() { mark.trim_end() } else { mark };
            write_wrapped(&mut self.err, mark, line, CONTINUED, columns)
        })
    }

    /// The line with the invite stands without mark and unwrapped, so that it can be copied.
    fn invite(&mut self, text: &str, invite: &str, qr: bool) -> io::Result<()> {
        let command = self.options.purpose.command(invite);
        let (before, after) = text.split_once(&format!("\n{command}")).unwrap_or((text, ""));
        self.write(before)?;
        writeln!(self.err, "\n{command}\n")?;
        if let Some(after) = after.strip_prefix('\n') {
            self.write(after)?;
        }
        match qr.then(|| qr::rows(invite, (self.options.columns_err)().and_then(|_| terminal::size().ok()))) {
            Some(Ok(rows)) => rows.iter().try_for_each(|row| writeln!(self.err, "{row}")),
            Some(Err(text)) => self.write(&text),
            None => Ok(()),
        }
    }

    /// On a terminal one row, written again and again, shows what moves.
    fn show_live(&mut self) -> io::Result<()> {
        let Some(columns) = (self.options.columns_err)().filter(|_| self.messages.verbosity > Verbosity::Quiet) else {
            return Ok(());
        };
        self.erase_live()?;
        let open = &self.messages.open;
        let rows = open.rows(Style { colour: false }, columns.saturating_sub(MARK.len() + 1), 1, Instant::now());
        let Some(row) = rows.first().filter(|_| open.any_runs()) else { return Ok(()) };
        self.live = row.width().most + MARK.len();
        write!(self.err, "{MARK}{}", row.text())
    }

    fn erase_live(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.live) {
            0 => Ok(()),
            // Blanks, since a dumb terminal knows no sequences.
            width => write!(self.err, "\r{:width$}\r", ""),
        }
    }
}

/// Writes what somebody said; the lines after the first begin with blanks, as many as `time` is long.
pub(super) fn write_chat(
    out: &mut (impl Write + ?Sized),
    time: &str,
    name: &str,
    text: &PeerText,
    action: bool,
    columns: Option<usize>,
) -> io::Result<()> {
    let head = if action { format!("{time}* {name} ") } else { format!("{time}{name}: ") };
    let indent = " ".repeat(time.len());
    let heads = std::iter::once(head.as_str()).chain(std::iter::repeat(indent.as_str()));
    heads.zip(text.safe_lines()).try_for_each(|(head, line)| write_wrapped(out, head, line.as_str(), &indent, columns))
}

/// Writes `first` and a line, on a terminal as rows of which all but the first begin with `indent`.
fn write_wrapped(
    out: &mut (impl Write + ?Sized),
    first: &str,
    line: &str,
    indent: &str,
    columns: Option<usize>,
) -> io::Result<()> {
    let Some(columns) = columns else { return writeln!(out, "{first}{line}") };
    let indent = if columns < NARROW { indent.get(..NARROW_INDENT).unwrap_or(indent) } else { indent };
    // One column stays free: terminals differ over a row that is exactly full.
    let room = columns.saturating_sub(1);
    let line = format!("{first}{line}");
    for (number, row) in wrap(&line, room, room.saturating_sub(indent.len())).into_iter().enumerate() {
        writeln!(out, "{}{row}", if number == 0 { "" } else { indent })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
