//! Parse, run, say what went wrong, exit.

mod completions;
mod manual;

use anyhow::Result;
use p2pchat::app;
use p2pchat::cli::{self, Cli, Command, PartialsCommand, PeersCommand};
use p2pchat::exit::{Exit, UsageError};
use p2pchat::identity::{self, Identity};
use p2pchat::net::lan;
use p2pchat::ui::frontend::output_error;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        if lan::is_daemon(&std::thread::current()) {
            return;
        }
        // On whatever thread: the terminal first, then the words, then out, before anything hangs on a thread that is gone.
        p2pchat::ui::terminal::restore();
        let _ = writeln!(io::stderr(), "p2pchat: a bug ended the program: {panic}\nplease report it with what you did");
        std::process::exit(i32::from(Exit::Failure.number()));
    }));
    set_limits();
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage } else { Exit::Polite });
        }
    };
    match carry_out(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => {
            p2pchat::ui::terminal::restore();
            // Texts of errors name their causes.
            let _ = writeln!(io::stderr(), "p2pchat: {error}");
            exit_of(&error).into()
        }
    }
}

fn carry_out(arguments: Cli) -> Result<Exit> {
    let (text, exit) = match arguments.command {
        Command::Listen(listen) => return app::listen(listen),
        Command::Connect(connect) => return app::connect(connect),
        Command::Send(send) => return app::send(send),
        Command::Receive(receive) => return app::receive(receive),
        Command::Doctor(arguments) => app::doctor(&arguments),
        Command::Id => {
            let identity = Identity::load_or_create(&identity::data_dir()?)?;
            (format!("{}\n", identity.public().fingerprint()), Exit::Polite)
        }
        Command::Peers { command } => (app::peers(command.unwrap_or(PeersCommand::List))?, Exit::Polite),
        Command::Partials { command } => app::partials(command.unwrap_or(PartialsCommand::List))?,
        Command::Completions { shell } => (completions::script(shell), Exit::Polite),
        Command::Man { command } => (manual::page(&command)?, Exit::Polite),
    };
    print(text.as_bytes())?;
    Ok(exit)
}

/// Asks the system for what this program needs; where it says no, the program runs all the same.
#[cfg(unix)]
fn set_limits() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    // What a crash would leave on the disk holds the private key and what was said. (A system whose core dumps go to a program
    // asks that limit too.)
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // Some systems allow 256 descriptors unless asked for more, which as many silent strangers would use up.
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.max(DESCRIPTORS.min(hard)), hard);
    }
}

/// Elsewhere there is nothing to ask for.
#[cfg(not(unix))]
fn set_limits() {}

/// Descriptors that are asked for: those who wait at the listener, and as much again for files.
#[cfg(unix)]
const DESCRIPTORS: libc::rlim_t = 1_024;

/// Standard output may be a pipe that its reader has closed: then all that it wanted is there.
fn print(bytes: &[u8]) -> Result<()> {
    let printed = io::stdout().write_all(bytes).and_then(|()| io::stdout().flush());
    printed.or_else(|error| output_error(&error).map_or(Ok(()), |words| Err(anyhow::Error::msg(words))))
}

/// What keeps the program from starting is a failure, unless the command line is at fault.
fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<UsageError>() {
        Exit::Usage
    } else if error.is::<app::NobodyKnown>() {
        Exit::Refused
    } else {
        Exit::Failure
    }
}
