//! Signals become happenings.

use super::owner::Happening;
use crate::exit::Exit;
use std::io;
use std::sync::mpsc::SyncSender;

/// Turns SIGINT, SIGTERM and SIGHUP into happenings, on a thread that lives as long as the program.
#[cfg(unix)]
pub(super) fn watch(happen: SyncSender<Happening>) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let exit = match signal {
                SIGTERM => Exit::Terminate,
                SIGHUP => Exit::Hangup,
                _ => Exit::Interrupt,
            };
            if happen.send(Happening::Signal(exit)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Turns Ctrl-C into a happening.
#[cfg(windows)]
pub(super) fn watch(happen: SyncSender<Happening>) -> io::Result<()> {
    ctrlc::set_handler(move || {
        let _ = happen.send(Happening::Signal(Exit::Interrupt));
    })
    .map_err(io::Error::other)
}
