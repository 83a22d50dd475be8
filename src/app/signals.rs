//! Signals become events; and where nobody hears them any more, or a second one comes, they end the program.
//!
//! Invariant: two signals always end it, also when its output is stuck and so are the threads that write.

use super::event_loop::Event;
#[cfg(unix)]
use super::frontend::give_terminal_back;
use crate::exit::Exit;
use std::io;
#[cfg(unix)]
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// Turns SIGINT, SIGTERM and SIGHUP into events, on a thread that lives as long as the program.
#[cfg(unix)]
pub(super) fn watch(events_in: SyncSender<Event>) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    // A file that may not grow on (`ulimit -f`) shall be an error of the write, which is told, not the end of the program.
    signal_hook::flag::register(libc::SIGXFSZ, Arc::default())?;
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut before = false;
        for signal in signals.forever() {
            let exit = match signal {
                SIGTERM => Exit::Terminate,
                SIGHUP => Exit::Hangup,
                _ => Exit::Interrupt,
            };
            // A second signal while the first goodbye is under way, or one after the owner's end, when only a stuck output is left.
            if std::mem::replace(&mut before, true) || events_in.send(Event::Signal(exit)).is_err() {
                give_terminal_back();
                std::process::exit(i32::from(exit.number()));
            }
        }
    })?;
    Ok(())
}

/// Turns Ctrl-C into a event.
#[cfg(windows)]
pub(super) fn watch(events_in: SyncSender<Event>) -> io::Result<()> {
    ctrlc::set_handler(move || {
        let _ = events_in.send(Event::Signal(Exit::Interrupt));
    })
    .map_err(io::Error::other)
}
