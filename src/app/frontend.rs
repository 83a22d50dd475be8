//! Which face the program shows, and the threads of it.

use super::event_loop::Event;
use crate::cli::Common;
use crate::notice::{Notice, Posted};
use crate::ui::pump::{FaceError, Verbosity};
use crate::ui::terminal::{self, Terminal};
use crate::ui::{InputSender, json, lines, plain};
use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the last words may take after a signal.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The three faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaceKind {
    /// A person at a terminal.
    Terminal,
    /// Lines that only append.
    Plain,
    /// One JSON object a line.
    Json,
}

impl FaceKind {
    /// By the options, and by what input and output are.
    pub(super) fn choose(common: &Common, input_is_terminal: bool, output_is_terminal: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if common.json {
            Self::Json
        } else if common.plain || dumb || !input_is_terminal || !output_is_terminal {
            Self::Plain
        } else {
            Self::Terminal
        }
    }
}

/// The running face.
pub(super) struct Face {
    output: JoinHandle<()>,
}

/// What a face is connected to.
pub(super) struct Ends {
    /// From the owner.
    pub(super) notices: Receiver<Posted>,
    /// To the owner, for input.
    pub(super) intake: InputSender,
    /// To the owner, for all else.
    pub(super) events_in: SyncSender<Event>,
}

impl Face {
    /// Starts output and input. `terminal` is how to use a terminal, when `kind` is one.
    pub(super) fn start(kind: FaceKind, terminal: Terminal, verbosity: Verbosity, ends: Ends) -> io::Result<Self> {
        let Ends { notices, intake, events_in } = ends;
        let settle = events_in.clone();
        let settled = move |ticket| {
            let _ = settle.send(Event::Settled(ticket));
        };
        if kind == FaceKind::Terminal {
            return Self::spawn(events_in, move || {
                terminal.run(notices, intake, settled).map_err(|error| Some(error.to_string()))
            });
        }
        let report = events_in.clone();
        // Blocked in a read, this thread cannot be joined; it ends with the program.
        thread::Builder::new().name("input".into()).spawn(move || {
            lines::read_lines(io::stdin().lock(), &intake, &|notice: Notice| {
                let _ = report.send(Event::Report(notice));
            });
        })?;
        Self::spawn(events_in, move || {
            let shown = match kind {
                FaceKind::Json => json::run(&notices, io::stdout(), settled),
                FaceKind::Terminal | FaceKind::Plain => {
                    plain::run(&notices, io::stdout(), io::stderr(), manner(verbosity), plain::local_time, settled)
                }
            };
            shown.map_err(|error| match error {
                // Who reads the output has all it wants; nothing is wrong.
                FaceError::Closed => None,
                FaceError::Output(_) => Some(error.to_string()),
            })
        })
    }

    /// Runs a face on its thread; what breaks it is told to the owner.
    fn spawn(
        events_in: SyncSender<Event>,
        show: impl FnOnce() -> Result<(), Option<String>> + Send + 'static,
    ) -> io::Result<Self> {
        let output = thread::Builder::new().name("face".into()).spawn(move || {
            if let Err(words) = show() {
                let _ = events_in.send(Event::FaceBroke(words));
            }
        })?;
        Ok(Self { output })
    }

    /// Waits until everything is shown. The channel of notices must be closed by then. An output that takes nothing is waited
    /// for, since a slow reader shall get all; after a `signal` not for long.
    pub(super) fn join(self, signal: bool) {
        let begun = Instant::now();
        while signal && !self.output.is_finished() {
            if begun.elapsed() > LAST_WORDS {
                return give_terminal_back();
            }
            thread::sleep(LAST_WORDS / 100);
        }
        let _ = self.output.join();
    }
}

/// Gives the terminal back where a face may be stuck that would do it; a terminal that takes nothing is not waited for.
pub(super) fn give_terminal_back() {
    let begun = Instant::now();
    let restoring = thread::spawn(terminal::restore);
    while !restoring.is_finished() && begun.elapsed() < LAST_WORDS {
        thread::sleep(LAST_WORDS / 100);
    }
}

/// How the plain face is to be on the streams of this process.
fn manner(verbosity: Verbosity) -> plain::Manner {
    let columns = |is_terminal| if is_terminal { plain::terminal_columns } else { || None };
    plain::Manner {
        verbosity,
        columns_out: columns(io::stdout().is_terminal()),
        columns_err: columns(io::stderr().is_terminal()),
    }
}

/// How much to say.
pub(super) fn verbosity(common: &Common) -> Verbosity {
    match (common.verbose, common.quiet) {
        (verbose, quiet) if verbose > quiet => Verbosity::Verbose,
        (verbose, quiet) if verbose < quiet => Verbosity::Quiet,
        _ => Verbosity::Normal,
    }
}
