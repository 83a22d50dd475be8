//! Which frontend runs, on which threads, and how it ends.
//!
//! Invariant: the terminal is given back on every way out, also when the conversation never begins ([`RunningFrontend`] is a guard).

use super::event::Event;
use crate::cli::Common;
use crate::notice::{Input, Posted};
use crate::ui::frontend::{Purpose, Verbosity, output_error};
use crate::ui::log::Log;
use crate::ui::terminal::{self, Terminal, wants_colour};
use crate::ui::{InputBackpressure, InputSender, json, line_reader, plain};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a stuck output is waited for after a signal.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Terminal,
    Plain,
    Json,
}

/// Which frontend, and how it shows things.
pub(super) struct FrontendConfig {
    kind: Kind,
    verbosity: Verbosity,
    purpose: Purpose,
    terminal: Terminal,
}

impl FrontendConfig {
    /// By the options, and by what standard input and output are.
    pub(super) fn new(common: &Common, data_dir: &Path) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let kind = if common.meeting.json {
            Kind::Json
        } else if common.plain || dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            Kind::Plain
        } else {
            Kind::Terminal
        };
        let verbosity = match (common.meeting.verbose, common.meeting.quiet) {
            (verbose, quiet) if verbose > quiet => Verbosity::Verbose,
            (verbose, quiet) if verbose < quiet => Verbosity::Quiet,
            _ => Verbosity::Normal,
        };
        let terminal = Terminal {
            history: common.history.then(|| data_dir.join("history")),
            colour: wants_colour(common.no_color),
            verbosity,
        };
        Self { kind, verbosity, purpose: Purpose::Chat, terminal }
    }

    /// For a command that reads no input.
    pub(super) fn one_shot(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// Whether a person sits at a terminal.
    pub(super) fn is_interactive(&self) -> bool {
        self.kind == Kind::Terminal
    }
}

pub(super) struct RunningFrontend {
    output: Option<JoinHandle<()>>,
    /// Gives whether the log is complete.
    log: Option<JoinHandle<bool>>,
    /// Holds input back while the session can take none.
    pub(super) backpressure: Arc<InputBackpressure>,
}

impl RunningFrontend {
    /// Starts output and input. The output ends once the sender is dropped.
    pub(super) fn start(
        config: FrontendConfig,
        log: Option<Log>,
        events: SyncSender<Event>,
    ) -> io::Result<(Self, Sender<Posted>)> {
        let (mut notices, posted) = mpsc::channel();
        let backpressure = Arc::new(InputBackpressure::default());
        let inputs = events.clone();
        let input =
            InputSender::new(Arc::clone(&backpressure), move |input: Input| inputs.send(Event::Input(input)).is_ok());
        let output = Some(start_output(config, posted, input, events)?);
        let mut frontend = Self { output, log: None, backpressure };
        if let Some(log) = log {
            let (logged, passing) = mpsc::channel();
            let shown = std::mem::replace(&mut notices, logged);
            let run = move || log.run(&passing, &shown);
            frontend.log = Some(thread::Builder::new().name("log".into()).spawn(run)?);
        }
        Ok((frontend, notices))
    }

    /// Waits until everything is shown. An output that takes nothing is waited for, since a slow reader must get all; after a
    /// `signal` not for long. False when the log is not complete.
    pub(super) fn finish(mut self, signal: bool) -> bool {
        self.end(signal);
        let log = self.log.take().filter(|log| !signal || log.is_finished());
        log.is_none_or(|log| log.join().unwrap_or(false))
    }

    fn end(&mut self, signal: bool) {
        let Some(output) = self.output.take() else { return };
        let begun = Instant::now();
        while signal && !output.is_finished() {
            if begun.elapsed() > LAST_OUTPUT {
                return give_terminal_back();
            }
            thread::sleep(LAST_OUTPUT / 100);
        }
        let _ = output.join();
    }
}

impl Drop for RunningFrontend {
    fn drop(&mut self) {
        // Somebody may hold the sender still.
        self.end(true);
    }
}

/// Runs the output on its thread; what breaks it goes to the event loop.
fn start_output(
    config: FrontendConfig,
    notices: Receiver<Posted>,
    input: InputSender,
    events: SyncSender<Event>,
) -> io::Result<JoinHandle<()>> {
    let FrontendConfig { kind, verbosity, purpose, terminal } = config;
    let shown_to = events.clone();
    let shown = move |seq| drop(shown_to.send(Event::Shown(seq)));
    let show: Box<dyn FnOnce() -> Result<(), Option<String>> + Send> = if kind == Kind::Terminal {
        Box::new(move || terminal.run(notices, input, shown).map_err(Some))
    } else {
        // Blocked in a read, this thread cannot be joined; it ends with the program.
        if purpose == Purpose::Chat {
            let read = move || line_reader::read_lines(io::stdin().lock(), &input);
            thread::Builder::new().name("input".into()).spawn(read)?;
        }
        Box::new(move || {
            // Data that goes to standard output is written and flushed elsewhere, and so is its failure seen there.
            let out: Box<dyn io::Write> =
                if purpose == Purpose::Pipe { Box::new(io::sink()) } else { Box::new(io::stdout()) };
            let result = if kind == Kind::Json {
                json::run(&notices, io::stdout(), shown)
            } else {
                plain::run(&notices, out, io::stderr(), plain_options(verbosity, purpose), plain::local_time, shown)
            };
            result.map_err(|error| output_error(&error))
        })
    };
    thread::Builder::new().name("frontend".into()).spawn(move || {
        if let Err(text) = show() {
            let _ = events.send(Event::FrontendFailed(text));
        }
    })
}

/// Gives the terminal back where the frontend may be stuck that would do it; a terminal that takes nothing is not waited for.
pub(super) fn give_terminal_back() {
    let begun = Instant::now();
    let restoring = thread::spawn(terminal::restore);
    while !restoring.is_finished() && begun.elapsed() < LAST_OUTPUT {
        thread::sleep(LAST_OUTPUT / 100);
    }
}

fn plain_options(verbosity: Verbosity, purpose: Purpose) -> plain::PlainOptions {
    let columns = |is_terminal| if is_terminal { plain::terminal_columns } else { || None };
    plain::PlainOptions {
        verbosity,
        purpose,
        columns_out: columns(io::stdout().is_terminal()),
        columns_err: columns(io::stderr().is_terminal()),
    }
}
