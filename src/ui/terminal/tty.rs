//! The terminal as the system sees it: raw mode, modes, size, and the way back.
//!
//! Owns stdout while the interactive frontend runs. Invariant: [`TTY`] says whether the terminal is ours; every byte goes
//! through [`write()`], every exit path through [`restore`], and after that nothing is written any more.

use super::screen::{self, Size};
use crossterm::terminal;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// Bracketed paste and focus events on.
const ENTER: &str = "\x1b[?2004h\x1b[?1004h";
/// Everything off again that a frame or [`ENTER`] switches on.
const LEAVE: &str = "\x1b[m\x1b[?7h\x1b[?2004l\x1b[?1004l\x1b[?25h\x1b[?2026l";
/// How often, and at what interval, [`restore`] tries to get hold of a terminal that is being written to: 200 ms in all,
/// since a terminal that takes no bytes must not keep the program from ending.
const TRIES: usize = 40;
const TRY_GAP: Duration = Duration::from_millis(5);
/// Rows that [`restore`] erases from the first of the block on: more than a block has, since the size may have changed
/// after it was painted.
const ERASED_ROWS: usize = 100;

/// What is ours of the terminal.
struct TtyState {
    out: Option<Out>,
    /// Rows of the block above the cursor.
    above: usize,
}

#[cfg(unix)]
type Out = std::fs::File;
#[cfg(not(unix))]
type Out = io::Stdout;

static TTY: Mutex<TtyState> = Mutex::new(TtyState { out: None, above: 0 });

static LENT: AtomicBool = AtomicBool::new(false);

/// Takes the terminal: raw mode, bracketed paste, focus events.
pub(super) fn enter() -> io::Result<()> {
    let mut held = lock();
    let mut out = open()?;
    terminal::enable_raw_mode()?;
    write_whole(&mut out, ENTER.as_bytes())?;
    *held = TtyState { out: Some(out), above: 0 };
    Ok(())
}

/// Takes it again after the program was stopped, whatever the shell did to it meanwhile.
pub(super) fn enter_again() -> io::Result<()> {
    LENT.store(false, Ordering::Release);
    // Puts back the settings of the beginning, so that they are what the next restore goes back to.
    terminal::disable_raw_mode()?;
    enter()
}

/// Writes one frame, after which the block has `above` rows above the cursor; nothing when the terminal is no longer ours.
pub(super) fn write(frame: &[u8], above: usize) -> io::Result<()> {
    let mut held = lock();
    held.above = above;
    held.out.as_mut().map_or(Ok(()), |out| write_whole(out, frame))
}

/// Gives the terminal back: erases the block, leaves raw mode. Any thread may call it at any time, also a panic hook; the
/// second call does nothing.
pub(super) fn restore() {
    if let Some(mut held) = lock_soon() {
        let above = held.above;
        if let Some(mut out) = held.out.take() {
            // Nothing can be done about an error here: the terminal is gone or stuck.
            let _ = write_whole(&mut out, restore_sequence(above).as_bytes());
        }
    }
    let _ = terminal::disable_raw_mode();
}

/// Gives the terminal to an editor, until [`enter_again`].
pub(super) fn lend() {
    restore();
    LENT.store(true, Ordering::Release);
}

/// Whether another program has the terminal: Ctrl-C is for that one then.
pub fn is_lent() -> bool {
    LENT.load(Ordering::Acquire)
}

/// The size of the terminal, if it can be known.
pub(super) fn size() -> Option<Size> {
    let (columns, rows) = terminal::size().ok()?;
    (columns > 0 && rows > 0).then_some(Size { columns, rows })
}

/// Stops the process group as the terminal itself would: a shell between must see its job stop too.
#[cfg(unix)]
pub(super) fn stop() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
}

/// There is no stopping here.
#[cfg(not(unix))]
pub(super) fn stop() {}

/// Whether this terminal wraps rows anew when its width changes; most do, these are known not to.
pub(super) fn reflows() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let term = std::env::var("TERM").unwrap_or_default();
    let screen = set("STY") && !set("TMUX");
    !(screen || set("XTERM_VERSION") || term == "linux" || term.starts_with("st-"))
}

#[cfg(unix)]
fn open() -> io::Result<Out> {
    use std::os::fd::AsFd;
    // A handle of its own has no lock that a panicking thread might hold, and no buffer that splits a frame.
    io::stdout().as_fd().try_clone_to_owned().map(Out::from)
}

#[cfg(not(unix))]
fn open() -> io::Result<Out> {
    // Asking switches the console to escape sequences.
    #[cfg(windows)]
    let _ = crossterm::ansi_support::supports_ansi();
    Ok(io::stdout())
}

fn lock() -> MutexGuard<'static, TtyState> {
    TTY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock_soon() -> Option<MutexGuard<'static, TtyState>> {
    for _ in 0..TRIES {
        match TTY.try_lock() {
            Ok(held) => return Some(held),
            Err(TryLockError::Poisoned(held)) => return Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(TRY_GAP),
        }
    }
    None
}

/// Like `write_all`, but patient with a terminal that another program left in non-blocking mode.
fn write_whole(out: &mut Out, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(TRY_GAP),
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

/// The last bytes.
fn restore_sequence(above: usize) -> String {
    let mut bytes = String::from("\r");
    screen::up(&mut bytes, above.min(ERASED_ROWS));
    screen::erase(&mut bytes, ERASED_ROWS);
    bytes + LEAVE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_restores_the_terminal_always_ends_with_all_modes_off() {
        for above in [0, 1, 3, ERASED_ROWS, 10 * ERASED_ROWS] {
            assert!(restore_sequence(above).ends_with(LEAVE), "{above}");
        }
    }

    #[test]
    fn the_farewell_removes_the_block_and_stays_below_the_chat() {
        let mut terminal = vt100::Parser::new(8, 20, 100);
        terminal.process(b"chat\r\n> typed\r\n  more\r\nhint\r\nstatus\x1b[2A");
        terminal.process(restore_sequence(1).as_bytes());
        assert_eq!(terminal.screen().contents(), "chat");
        assert_eq!(terminal.screen().cursor_position(), (1, 0));
    }
}
