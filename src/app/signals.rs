//! Signals become events; a second one ends the program, unless it is SIGHUP, of which a terminal that goes away sends several. (In the
//! interactive terminal Ctrl-C is no signal but a key: `ui/terminal/view/actions.rs`.)
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
#[cfg(windows)]
use std::sync::{Mutex, OnceLock, PoisonError};

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
        let again = std::mem::replace(&mut self.came, true);
        // A terminal that goes away says so several times, which is nobody's insistence.
        if again && exit == Exit::Hangup {
            return;
        }
        self.pending.0.store(exit.number(), Ordering::Release);
        // When the queue is full the loop has events to handle, after which it looks at the signal; this event only wakes it.
        let ended = matches!(self.events.try_send(Event::Tick), Err(TrySendError::Disconnected(_)));
        // Without the loop only a stuck output is left.
        if again || ended {
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

/// Handles Ctrl-C, Ctrl-Break, and the end of the console or of the user's session.
#[cfg(windows)]
pub(super) fn watch(events: SyncSender<Event>) -> io::Result<PendingSignal> {
    use winconsole::console::set_ctrl_handler;
    let pending = PendingSignal::default();
    let handler = Handler { events, pending: pending.clone(), came: false };
    if HANDLER.set(Mutex::new(handler)).is_err() {
        return Err(io::Error::other("console events are handled already"));
    }
    set_ctrl_handler(Some(handle_console_event), true).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(pending)
}

/// What `handle_console_event` has: Windows passes it nothing but the event's number.
#[cfg(windows)]
static HANDLER: OnceLock<Mutex<Handler>> = OnceLock::new();

/// Windows calls this on a new thread for each event. The numbers are those of HandlerRoutine in its documentation.
#[cfg(windows)]
extern "system" fn handle_console_event(event: u32) -> i32 {
    const CTRL_C_EVENT: u32 = 0;
    const CTRL_BREAK_EVENT: u32 = 1;
    const CTRL_CLOSE_EVENT: u32 = 2;
    const HANDLED: i32 = 1;

    let exit = match event {
        CTRL_C_EVENT | CTRL_BREAK_EVENT => Exit::Interrupt,
        CTRL_CLOSE_EVENT => Exit::Hangup,
        // The end of the user's session, or of the system.
        _ => Exit::Terminate,
    };
    if (exit != Exit::Interrupt || !is_lent())
        && let Some(handler) = HANDLER.get()
    {
        handler.lock().unwrap_or_else(PoisonError::into_inner).handle(exit);
    }
    // Windows ends the program as soon as the handler of these events has returned, or after five seconds. That time is for the goodbye.
    if exit != Exit::Interrupt {
        loop {
            std::thread::park();
        }
    }
    HANDLED
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_second_hangup_is_no_insistence() {
        let (sender, events) = mpsc::sync_channel(1);
        let pending = PendingSignal::default();
        let mut handler = Handler { events: sender, pending: pending.clone(), came: false };
        for taken in [Some(Exit::Hangup), None, None] {
            handler.handle(Exit::Hangup);
            assert_eq!(pending.take(), taken);
        }
        drop(events);
    }
}
