//! The interactive terminal frontend.
//!
//! Owns stdin and stdout while it runs. Four threads; the caller's is the screen thread:
//!
//! 1. The input thread blocks in a read of the terminal, and the signal thread in the wait for SIGCONT and SIGWINCH; both leave
//!    events in the [`ScreenQueue`]. Neither can be stopped; they end with the process.
//! 2. The notices thread moves what the session posts into the same queue. So the session never waits for a terminal, and keys
//!    never wait behind notices.
//! 3. The screen thread waits there, without a timer while nothing moves; hands keys and notices to the [`View`], which
//!    knows what to show; and has the screen turn that into one write a frame.
//! 4. When the session's channel is closed, it prints what is left, takes the block away and restores the terminal.
//!
//! A terminal that takes no output blocks the screen thread alone: the session lives, answers pings, and acknowledges
//! nothing that was not shown, so that the peer's lines wait with the peer.

mod chat;
mod clipboard;
mod completion;
mod editor;
mod external_editor;
mod input_history;
mod input_layout;
#[cfg(unix)]
mod key_bytes;
mod keys;
mod message_history;
mod screen;
mod screen_loop;
mod screen_queue;
#[cfg(test)]
mod tests;
mod tty;
mod view;

pub use tty::is_lent;

use super::frontend::Verbosity;
use super::style::Style;
use super::{InputSender, Posted};
use crate::error_text::io_error_text;
use chat::Chat;
use input_history::InputHistory;
use keys::{Key, TerminalEvent};
use screen_loop::ScreenLoop;
use screen_queue::{ScreenInput, ScreenQueue};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;
use view::View;

/// A sequence that has begun goes on within this time; Escape alone is a key.
#[cfg(unix)]
const KEY_GAP: Duration = Duration::from_millis(50);

/// Options of the terminal frontend.
#[derive(Debug, Clone, Default)]
pub struct Terminal {
    /// Where the history of lines is kept, if at all.
    pub history: Option<PathBuf>,
    /// Whether to colour; see [`wants_colour`].
    pub colour: bool,
    /// How much is shown.
    pub verbosity: Verbosity,
}

/// Whether the environment and `--no-color` want colours: NO_COLOR and CLICOLOR_FORCE as no-color.org and bixense.com say.
pub fn wants_colour(no_color_option: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color_option && (set("CLICOLOR_FORCE") || !no_color)
}

impl Terminal {
    /// Shows the session until its channel is closed, then restores the terminal. `shown_up_to` is called with the highest
    /// sequence number that a frame shows, after it was written.
    ///
    /// # Errors
    /// When the terminal or the history cannot be used, in words; the terminal is restored then, too.
    pub fn run(
        self,
        notices: Receiver<Posted>,
        input_sender: InputSender,
        shown_up_to: impl Fn(u64) + Send,
    ) -> Result<(), String> {
        let history = match &self.history {
            Some(path) => InputHistory::open(path)
                .map_err(|error| format!("cannot use the history {}: {}", path.display(), io_error_text(&error)))?,
            None => InputHistory::default(),
        };
        let chat = Chat::new(Style { colour: self.colour }, self.verbosity);
        let view = View::new(chat, std::env::home_dir(), history, input_sender);
        let (screen, queue) = ScreenQueue::new();
        tty::enter().map_err(unusable)?;
        let _restored = Restored;
        #[cfg(unix)]
        spawn_signals(&screen)?;
        spawn_notices(&screen, notices)?;
        spawn_input(&screen)?;
        ScreenLoop::new(queue, view).run(shown_up_to).map_err(unusable)
    }
}

fn unusable(error: io::Error) -> String {
    format!("cannot use the terminal: {}\n--plain needs none", io_error_text(&error))
}

/// Gives the terminal back, and removes what an editor would leave that has it. Any thread may call it at any time, also a panic hook; the
/// second call does nothing.
pub fn restore() {
    tty::restore();
    external_editor::remove_draft();
}

/// Restores the terminal on every way out of [`Terminal::run`].
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        restore();
    }
}

/// The input thread, the only one that reads the terminal.
fn spawn_input(screen: &SyncSender<ScreenInput>) -> Result<(), String> {
    let screen = screen.clone();
    let send = move |event| drop(screen.send(ScreenInput::Event(event)));
    spawn("input", move || {
        let mut after_prefix = false;
        read_terminal(|reported| {
            let Some(event) = keys::translate(reported) else { return };
            let is_prefix = matches!(event, TerminalEvent::Key(Key::Prefix));
            let prefix = std::mem::replace(&mut after_prefix, is_prefix);
            match event {
                _ if is_prefix => {}
                // Ctrl-X Ctrl-E, on this thread, which must not take the editor's keys.
                TerminalEvent::Key(Key::End) if prefix => {
                    let (sender, text) = mpsc::channel();
                    send(TerminalEvent::Edit(sender));
                    if let Ok(text) = text.recv() {
                        send(TerminalEvent::Edited(external_editor::edit(&text)));
                    }
                }
                event => send(event),
            }
        });
        send(TerminalEvent::Ended);
    })
}

/// Reads until the terminal is gone.
#[cfg(unix)]
fn read_terminal(mut on_event: impl FnMut(crossterm::event::Event)) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let Ok(terminal) = io::stdin().as_fd().try_clone_to_owned() else { return };
    let mut file = std::fs::File::from(terminal);
    let mut parser = key_bytes::KeyParser::default();
    let mut bytes = [0; 4096];
    loop {
        let wait = PollTimeout::try_from(KEY_GAP).unwrap_or(PollTimeout::ZERO);
        if parser.is_ambiguous() && poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], wait) == Ok(0) {
            parser.pause().into_iter().for_each(&mut on_event);
        }
        match io::Read::read(&mut file, &mut bytes) {
            Ok(0) => return,
            Ok(read) => {
                let came = bytes.iter().take(read);
                came.filter_map(|byte| parser.byte(*byte)).for_each(&mut on_event);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Another program left the terminal in non-blocking mode.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
            }
            Err(_) => return,
        }
    }
}

#[cfg(not(unix))]
fn read_terminal(mut on_event: impl FnMut(crossterm::event::Event)) {
    use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};
    let reported_by_now = || if poll(Duration::ZERO).unwrap_or(false) { read().ok() } else { None };
    let mut ahead = None;
    while let Ok(mut reported) = ahead.take().map_or_else(read, Ok) {
        // Pastes come as key presses: Enter with more right behind it is a newline of the paste.
        if let Event::Key(key) = &mut reported
            && (key.code, key.kind) == (KeyCode::Enter, KeyEventKind::Press)
        {
            let means;
            (means, ahead) = keys::enter_before(reported_by_now);
            if means == Key::Newline {
                key.modifiers |= KeyModifiers::ALT;
            }
        }
        on_event(reported);
    }
}

fn spawn_notices(screen: &SyncSender<ScreenInput>, notices: Receiver<Posted>) -> Result<(), String> {
    let screen = screen.clone();
    spawn("notices", move || {
        let inputs = notices.into_iter().map(ScreenInput::Notice).chain([ScreenInput::Closed]);
        inputs.for_each(|input| drop(screen.send(input)));
    })
}

#[cfg(unix)]
fn spawn_signals(screen: &SyncSender<ScreenInput>) -> Result<(), String> {
    use signal_hook::consts::{SIGCONT, SIGWINCH};
    let screen = screen.clone();
    let mut signals = signal_hook::iterator::Signals::new([SIGCONT, SIGWINCH]).map_err(unusable)?;
    spawn("signals", move || {
        for signal in signals.forever() {
            let event = if signal == SIGCONT { TerminalEvent::Continued } else { TerminalEvent::Resized };
            let _ = screen.send(ScreenInput::Event(event));
        }
    })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), String> {
    thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map(drop)
        .map_err(|error| format!("cannot start a thread: {}", io_error_text(&error)))
}
