//! Signals become events; a second one ends the program.
//!
//! Invariant: nothing here waits, so two signals always end the program, also when its output, its queue or a disk is stuck.

use super::event::Event;
use super::frontend::give_terminal_back;
use crate::exit::Exit;
use crate::ui::terminal::is_lent;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

/// The signal that came and was not handled, as its exit code; 0 when there is none.
#[derive(Debug, Clone, Default)]
pub(super) struct PendingSignal(Arc<AtomicU8>);

impl PendingSignal {
    /// The event loop asks after each event.
    pub(super) fn take(&self) -> Option<Exit> {
        Exit::of_signal(self.0.swap(0, Ordering::AcqRel))
    }
}

struct Handler {
    events: SyncSender<Event>,
    pending: PendingSignal,
    came: bool,
}

impl Handler {
    fn handle(&mut self, exit: Exit) {
        self.pending.0.store(exit.number(), Ordering::Release);
        // When the queue is full the loop has events to handle, after which it looks at the signal; this event only wakes it.
        let ended = matches!(self.events.try_send(Event::Signal), Err(TrySendError::Disconnected(_)));
        // Without the loop only a stuck output is left.
        if std::mem::replace(&mut self.came, true) || ended {
            give_terminal_back();
            std::process::exit(i32::from(exit.number()));
        }
    }
}

/// Handles SIGINT, SIGTERM and SIGHUP on a thread that lives as long as the program.
#[cfg(unix)]
pub(super) fn watch(events: SyncSender<Event>) -> io::Result<PendingSignal> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    // A file that must not grow on (`ulimit -f`) is an error of the write, which is reported, not the end of the program.
    signal_hook::flag::register(libc::SIGXFSZ, Arc::default())?;
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let pending = PendingSignal::default();
    let mut handler = Handler { events, pending: pending.clone(), came: false };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever().filter(|signal| *signal != SIGINT || !is_lent()) {
            handler.handle(match signal {
                SIGTERM => Exit::Terminate,
                SIGHUP => Exit::Hangup,
                _ => Exit::Interrupt,
            });
        }
    })?;
    Ok(pending)
}

/// Handles Ctrl-C and Ctrl-Break.
///
/// The end of the console or of the user's session ends the program without a goodbye: Windows gives no time after the handler has returned,
/// and of the packages whose handler does not return each is an async runtime.
#[cfg(windows)]
pub(super) fn watch(events: SyncSender<Event>) -> io::Result<PendingSignal> {
    let pending = PendingSignal::default();
    let mut handler = Handler { events, pending: pending.clone(), came: false };
    let handle = move || {
        if !is_lent() {
            handler.handle(Exit::Interrupt);
        }
    };
    ctrlc::set_handler(handle).map_err(io::Error::other)?;
    Ok(pending)
}
