//! The screen thread: takes keys and notices from the queue, lets the view handle them, paints one frame.

use super::chat::Now;
use super::keys::{Key, TerminalEvent};
use super::screen::{Screen, Size};
use super::screen_queue::ScreenQueue;
use super::view::View;
use super::{external_editor, tty};
use std::io;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Chat is printed at most this often.
const CHAT_GAP: Duration = Duration::from_millis(16);
/// How long a new size has to last before anything is painted: tmux reports sizes up to 250 ms late, and a frame for
/// another size than the terminal's has lost lines at 120 ms.
const RESIZE_QUIET: Duration = Duration::from_millis(300);
/// How long painting waits at most while the size keeps changing.
const RESIZE_LIMIT: Duration = Duration::from_secs(3);
/// How long the return from Ctrl-Z waits for SIGCONT: where no shell controls jobs, the stop is ignored.
const STOP_IGNORED: Duration = Duration::from_millis(200);
/// Notices a frame, so that keys are handled in between.
const NOTICES_A_FRAME: usize = 256;
/// Bytes of chat a frame, for the same reason.
const CHAT_A_FRAME: usize = 64 * 1024;

/// Why nothing is painted for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// The size changes: until it was quiet for long enough, or for too long not.
    Resizing { until: Instant, limit: Instant },
    /// Stopped by Ctrl-Z, until the process goes on.
    Stopped { until: Instant },
    /// An editor has the terminal.
    Lent,
}

/// The state of the screen thread.
pub(super) struct ScreenLoop {
    queue: ScreenQueue,
    view: View,
    screen: Screen,
    painted: Instant,
    pause: Option<Pause>,
    /// The highest number of the notices that the next frame shows.
    unreported: Option<u64>,
}

impl ScreenLoop {
    pub(super) fn new(queue: ScreenQueue, view: View) -> Self {
        let size = tty::size().unwrap_or(Size { columns: 80, rows: 24 });
        let screen = Screen::new(size, tty::reflows());
        Self { queue, view, screen, painted: Instant::now(), pause: None, unreported: None }
    }

    pub(super) fn run(&mut self, shown_up_to: impl Fn(u64)) -> io::Result<()> {
        self.paint(&shown_up_to)?;
        loop {
            let (notices_at, wake_at) = self.wake_times();
            let events = self.queue.wait(notices_at, wake_at);
            let now = read_clocks();
            self.end_pause(now.at)?;
            for event in events {
                self.event(event, now)?;
            }
            self.view.tick(now);
            self.notice_size(now.at);
            if self.pause.is_none() {
                self.take_notices(now);
                // Before painting, which may be slow: what comes meanwhile is still to be shown.
                let done = self.queue.is_done();
                self.paint(&shown_up_to)?;
                if done {
                    return Ok(());
                }
            }
        }
    }

    /// When to wake for notices, and when in any case.
    fn wake_times(&self) -> (Option<Instant>, Option<Instant>) {
        match self.pause {
            Some(Pause::Resizing { until, limit }) => (None, Some(until.min(limit))),
            Some(Pause::Stopped { until }) => (None, Some(until)),
            Some(Pause::Lent) => (None, None),
            None => (Some(self.painted + CHAT_GAP), self.view.wake_at(self.painted)),
        }
    }

    fn event(&mut self, event: TerminalEvent, now: Now) -> io::Result<()> {
        match event {
            TerminalEvent::Resized => self.pause_for_resize(now.at),
            TerminalEvent::Edit(text) => self.lend(&text),
            TerminalEvent::Edited(edited) => {
                tty::enter_again()?;
                self.pause = None;
                self.view.edited(edited);
            }
            // After a stop of both the editor goes on.
            TerminalEvent::Continued if self.pause == Some(Pause::Lent) => {}
            TerminalEvent::Continued => {
                tty::enter_again()?;
                self.screen.forget();
                self.pause = None;
            }
            event => {
                let suspends = matches!(event, TerminalEvent::Key(Key::Suspend));
                self.view.event(event, now);
                if suspends {
                    tty::restore();
                    self.screen.forget();
                    self.pause = Some(Pause::Stopped { until: Instant::now() + STOP_IGNORED });
                    tty::stop();
                }
            }
        }
        Ok(())
    }

    /// Gives the terminal and the message to an editor; the input thread runs it.
    fn lend(&mut self, text: &Sender<String>) {
        if external_editor::command().is_none() {
            return self.view.edited(Err(external_editor::NO_EDITOR.into()));
        }
        tty::lend();
        self.screen.forget();
        self.pause = Some(Pause::Lent);
        let _ = text.send(self.view.begin_edit());
    }

    /// Notices a size that no event has told of yet.
    fn notice_size(&mut self, now: Instant) {
        if tty::size().is_some_and(|size| size != self.screen.size()) && self.pause.is_none() {
            self.pause_for_resize(now);
        }
    }

    /// Begins or lengthens the pause that a change of size asks for.
    fn pause_for_resize(&mut self, now: Instant) {
        self.pause = match self.pause {
            Some(pause @ (Pause::Stopped { .. } | Pause::Lent)) => Some(pause),
            Some(Pause::Resizing { limit, .. }) => Some(Pause::Resizing { until: now + RESIZE_QUIET, limit }),
            None => Some(Pause::Resizing { until: now + RESIZE_QUIET, limit: now + RESIZE_LIMIT }),
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
        self.view.set_size(self.screen.size());
        for _ in 0..NOTICES_A_FRAME {
            if self.view.waiting() >= CHAT_A_FRAME {
                break;
            }
            let Some(posted) = self.queue.take_notice() else { break };
            self.view.notice(&posted.notice, now);
            self.unreported = posted.display_seq.or(self.unreported);
        }
    }

    fn paint(&mut self, shown_up_to: &impl Fn(u64)) -> io::Result<()> {
        let above = self.view.take_above();
        let block = self.view.block(self.screen.size(), read_clocks());
        if let Some(frame) = self.screen.frame(&above, block) {
            tty::write(frame.as_bytes(), self.screen.rows_above())?;
        }
        self.painted = Instant::now();
        if let Some(shown) = self.unreported.take() {
            shown_up_to(shown);
        }
        Ok(())
    }
}

fn read_clocks() -> Now {
    Now { at: Instant::now(), wall: chrono::Local::now().naive_local() }
}
