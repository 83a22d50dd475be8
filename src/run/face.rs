//! Which face the program shows, and the threads of it.

use super::owner::Happening;
use crate::cli::Common;
use crate::ui::pump::{FaceError, Verbosity};
use crate::ui::{Intake, Notice, Posted, json, lines, plain};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::{self, JoinHandle};

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
    pub(super) intake: Intake,
    /// To the owner, for all else.
    pub(super) happen: SyncSender<Happening>,
}

impl Face {
    /// Starts output and input.
    pub(super) fn start(kind: FaceKind, common: &Common, ends: Ends) -> io::Result<Self> {
        let Ends { notices, intake, happen } = ends;
        let verbosity = verbosity(common);
        let settle = happen.clone();
        let settled = move |ticket| {
            let _ = settle.send(Happening::Settled(ticket));
        };
        let shows = move || match kind {
            FaceKind::Json => json::run(&notices, io::stdout(), settled),
            FaceKind::Terminal | FaceKind::Plain => {
                plain::run(&notices, io::stdout(), io::stderr(), verbosity, plain::local_time, settled)
            }
        };
        let broken = happen.clone();
        let output = thread::Builder::new().name("face".into()).spawn(move || {
            if let Err(FaceError::Closed | FaceError::Output(_)) = shows() {
                let _ = broken.send(Happening::FaceBroke);
            }
        })?;
        // Blocked in a read, this thread cannot be joined; it ends with the program.
        thread::Builder::new().name("input".into()).spawn(move || {
            lines::read_lines(io::stdin().lock(), &intake, &|notice: Notice| {
                let _ = happen.send(Happening::Report(notice));
            });
        })?;
        Ok(Self { output })
    }

    /// Waits until everything is shown. The channel of notices must be closed by then.
    pub(super) fn join(self) {
        let _ = self.output.join();
    }
}

fn verbosity(common: &Common) -> Verbosity {
    match (common.verbose, common.quiet) {
        (verbose, quiet) if verbose > quiet => Verbosity::Verbose,
        (verbose, quiet) if verbose < quiet => Verbosity::Quiet,
        _ => Verbosity::Normal,
    }
}

/// Gives the terminal back, from wherever the program ends.
pub fn restore_terminal() {}
