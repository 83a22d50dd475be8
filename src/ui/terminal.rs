//! The interactive terminal: a chat screen that never loses a line.
//!
//! EventLoop of stdin and stdout while it runs. Three threads, and the caller's, which is the screen:
//!
//! 1. The input thread blocks in crossterm's `read`, and the signal thread in the wait for SIGCONT; both leave events in
//!    the [`Inbox`]. Neither can be ended; they end with the process.
//! 2. The notices thread moves what the session posts into the same inbox, progress as latest values. So the session
//!    never waits for a terminal, and keys never wait behind notices.
//! 3. The screen thread waits there, without a timer while nothing moves; hands keys and notices to the [`Face`], which
//!    knows what to show; and has the [`Screen`] turn that into one write a frame.
//! 4. When the session's channel is closed, it prints what is left, takes the block away and restores the terminal.
//!
//! A terminal that takes no output blocks the screen thread alone: the session lives, answers pings, and acknowledges
//! nothing that was not shown, so that the peer's lines wait with the peer.

mod bars;
mod chat;
mod completion;
mod editor;
mod face;
mod history;
mod inbox;
mod kept;
mod keys;
mod layout;
mod screen;
#[cfg(test)]
mod sight;
mod style;
mod tty;

pub use tty::restore;

use super::{InputSender, Posted};
use crate::error_text::io_error_text;
use face::{Face, Now, Setup};
use history::History;
use inbox::{Attention, Event, Inbox};
use screen::Screen;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};
use style::Style;
use thiserror::Error;

/// Chat is printed at most this often.
const CHAT_GAP: Duration = Duration::from_millis(16);
/// Bars are painted at most this often for progress alone.
const PROGRESS_GAP: Duration = Duration::from_millis(100);
/// How long a new size has to last before anything is painted: tmux tells of sizes up to 250 ms late, and a frame for
/// another size than the terminal's has lost lines at 120 ms.
const QUIET: Duration = Duration::from_millis(300);
/// How long painting waits at most while the size changes without a rest.
const RESTLESS: Duration = Duration::from_secs(3);
/// How long the way back from Ctrl-Z waits for SIGCONT: where no shell controls jobs, the stop is ignored.
const STOP_IGNORED: Duration = Duration::from_millis(200);
/// Notices a frame, so that keys are looked at in between.
const NOTICES_A_FRAME: usize = 256;
/// Bytes of chat a frame, for the same reason.
const CHAT_A_FRAME: usize = 64 * 1024;

/// How the terminal is to be used.
#[derive(Debug, Clone, Default)]
pub struct Terminal {
    /// What this side calls itself, until the session says.
    pub own: String,
    /// Where the history of lines is kept, if at all.
    pub history: Option<PathBuf>,
    /// Whether to colour; see [`wants_colour`].
    pub colour: bool,
    /// Whether to tell more, such as each finished file.
    pub verbose: bool,
}

/// Why the interactive terminal cannot go on. All are of this machine.
#[derive(Debug, Error)]
pub enum TerminalError {
    /// The terminal refused.
    #[error("cannot use the terminal: {}\n--plain needs none", io_error_text(.0))]
    Terminal(#[source] io::Error),
    /// The history file is unusable.
    #[error("cannot use the history {}: {}", path.display(), io_error_text(error))]
    History {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start a thread: {}", io_error_text(.0))]
    Thread(#[source] io::Error),
}

/// Whether the environment and `--no-color` want colours: NO_COLOR and CLICOLOR_FORCE as no-color.org and bixense.com say.
pub fn wants_colour(no_color_option: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color_option && (set("CLICOLOR_FORCE") || !no_color)
}

impl Terminal {
    /// Shows the session until its channel is closed, then restores the terminal. `settled` is called with the sequence
    /// number of each notice that has one, after the frame that shows it was written.
    ///
    /// # Errors
    /// When the terminal or the history cannot be used; the terminal is restored then, too.
    pub fn run(
        self,
        notices: Receiver<Posted>,
        intake: InputSender,
        settled: impl Fn(u64) + Send,
    ) -> Result<(), TerminalError> {
        let history = match &self.history {
            Some(path) => History::open(path).map_err(|error| TerminalError::History { path: path.clone(), error })?,
            None => History::default(),
        };
        let setup = Setup {
            style: Style { colour: self.colour },
            own: self.own,
            verbose: self.verbose,
            home: std::env::home_dir(),
            history,
        };
        let inbox = Arc::new(Inbox::default());
        tty::enter().map_err(TerminalError::Terminal)?;
        let _restored = Restored;
        let _signals = spawn_signals(&inbox)?;
        spawn_notices(&inbox, notices)?;
        spawn_input(&inbox)?;
        Stage::new(inbox, Face::new(setup, intake)).run(settled).map_err(TerminalError::Terminal)
    }
}

/// Restores the terminal on every way out of [`Terminal::run`].
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        restore();
    }
}

/// Why nothing is painted for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// The size changes: until it was quiet for long enough, or for too long not.
    Resizing { until: Instant, limit: Instant },
    /// Stopped by Ctrl-Z, until the process goes on.
    Stopped { until: Instant },
}

/// The screen thread's own.
struct Stage {
    inbox: Arc<Inbox>,
    face: Face,
    screen: Screen,
    painted: Instant,
    pause: Option<Pause>,
    /// Numbers of the notices that the next frame shows.
    unsettled: Vec<u64>,
}

impl Stage {
    fn new(inbox: Arc<Inbox>, face: Face) -> Self {
        let size = tty::size().unwrap_or(screen::Size { columns: 80, rows: 24 });
        let screen = Screen::new(size, tty::reflows());
        Self { inbox, face, screen, painted: Instant::now(), pause: None, unsettled: Vec::new() }
    }

    fn run(&mut self, settled: impl Fn(u64)) -> io::Result<()> {
        self.paint(&settled)?;
        loop {
            self.inbox.wait(self.attention());
            let now = read_clocks();
            self.end_pause(now.at)?;
            for event in self.inbox.take_events() {
                self.event(event, now)?;
            }
            self.face.tick(now);
            self.notice_size(now.at);
            if self.pause.is_none() {
                self.take_notices(now);
                self.paint(&settled)?;
                if self.inbox.is_done() {
                    return Ok(());
                }
            }
        }
    }

    /// What is worth waking for.
    fn attention(&self) -> Attention {
        match self.pause {
            Some(Pause::Resizing { until, limit, .. }) => {
                Attention { alarm: Some(until.min(limit)), ..Default::default() }
            }
            Some(Pause::Stopped { until }) => Attention { alarm: Some(until), ..Default::default() },
            None => Attention {
                notices: Some(self.painted + CHAT_GAP),
                progress: Some(self.painted + PROGRESS_GAP),
                alarm: self.face.alarm(self.painted),
            },
        }
    }

    fn event(&mut self, event: Event, now: Now) -> io::Result<()> {
        match event {
            Event::Resized => self.rest(now.at),
            Event::Continued => {
                tty::enter_again()?;
                self.screen.forget();
                self.pause = None;
            }
            event => {
                self.face.event(event, now);
                if self.face.take_suspend() {
                    restore();
                    self.screen.forget();
                    self.pause = Some(Pause::Stopped { until: Instant::now() + STOP_IGNORED });
                    tty::stop();
                }
            }
        }
        Ok(())
    }

    /// Notices a size that no event has told of yet.
    fn notice_size(&mut self, now: Instant) {
        if tty::size().is_some_and(|size| size != self.screen.size()) && self.pause.is_none() {
            self.rest(now);
        }
    }

    /// Begins or lengthens the pause that a change of size asks for.
    fn rest(&mut self, now: Instant) {
        self.pause = match self.pause {
            Some(Pause::Stopped { until }) => Some(Pause::Stopped { until }),
            Some(Pause::Resizing { limit, .. }) => Some(Pause::Resizing { until: now + QUIET, limit }),
            None => Some(Pause::Resizing { until: now + QUIET, limit: now + RESTLESS }),
        };
    }

    fn end_pause(&mut self, now: Instant) -> io::Result<()> {
        match self.pause {
            Some(Pause::Resizing { until, limit }) if now >= until.min(limit) => {
                self.pause = None;
                if let Some(size) = tty::size() {
                    self.screen.resize(size);
                }
            }
            Some(Pause::Stopped { until }) if now >= until => {
                self.pause = None;
                tty::enter_again()?;
            }
            _ => {}
        }
        Ok(())
    }

    fn take_notices(&mut self, now: Now) {
        for _ in 0..NOTICES_A_FRAME {
            if self.face.waiting() >= CHAT_A_FRAME {
                break;
            }
            let Some(posted) = self.inbox.take_notice() else { break };
            self.face.notice(&posted.notice, now);
            self.unsettled.extend(posted.settles);
        }
        for notice in self.inbox.take_progress().values() {
            self.face.notice(notice, now);
        }
    }

    fn paint(&mut self, settled: &impl Fn(u64)) -> io::Result<()> {
        let above = self.face.take_above();
        let block = self.face.block(self.screen.size(), read_clocks());
        if self.screen.would_change(&above, &block) {
            let mut frame = String::new();
            self.screen.frame(&above, block, &mut frame);
            tty::write(frame.as_bytes(), self.screen.extent().above)?;
        }
        self.painted = Instant::now();
        self.unsettled.drain(..).for_each(settled);
        Ok(())
    }
}

fn read_clocks() -> Now {
    Now { at: Instant::now(), wall: chrono::Local::now().naive_local() }
}

fn spawn_input(inbox: &Arc<Inbox>) -> Result<(), TerminalError> {
    let inbox = Arc::clone(inbox);
    spawn("input", move || {
        while let Ok(reported) = crossterm::event::read() {
            if let Some(event) = keys::meaning(reported) {
                inbox.event(or_newline(event));
            }
        }
        inbox.event(Event::Ended);
    })
}

/// Where pastes come as key presses, Enter with more right behind it is a newline of the paste.
fn or_newline(event: Event) -> Event {
    let pastes_as_keys = cfg!(windows);
    let more = || crossterm::event::poll(Duration::ZERO).unwrap_or(false);
    if pastes_as_keys && event == Event::Key(keys::Key::Enter) && more() {
        return Event::Key(keys::Key::Newline);
    }
    event
}

fn spawn_notices(inbox: &Arc<Inbox>, notices: Receiver<Posted>) -> Result<(), TerminalError> {
    let inbox = Arc::clone(inbox);
    spawn("notices", move || {
        for posted in notices {
            inbox.notice(posted);
        }
        inbox.close();
    })
}

/// Ends the signal thread when the face ends.
#[cfg(unix)]
struct Signals(signal_hook::iterator::Handle);

#[cfg(unix)]
impl Drop for Signals {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(unix)]
fn spawn_signals(inbox: &Arc<Inbox>) -> Result<Signals, TerminalError> {
    let inbox = Arc::clone(inbox);
    let mut signals =
        signal_hook::iterator::Signals::new([signal_hook::consts::SIGCONT]).map_err(TerminalError::Terminal)?;
    let handle = signals.handle();
    spawn("signals", move || {
        for _ in signals.forever() {
            inbox.event(Event::Continued);
        }
    })?;
    Ok(Signals(handle))
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "the same shape as where there are signals")]
fn spawn_signals(_inbox: &Arc<Inbox>) -> Result<(), TerminalError> {
    Ok(())
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), TerminalError> {
    thread::Builder::new().name(name.into()).spawn(body).map(drop).map_err(TerminalError::Thread)
}
