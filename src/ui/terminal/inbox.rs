//! What waits for the screen thread: events of the terminal, notices of the session.
//!
//! Invariant: keys never wait behind notices, and progress never queues: of each transfer only the latest is kept. The
//! notices that are kept are bounded by the wire (a peer has at most 1,024 frames unacknowledged, and nothing is
//! acknowledged before it is shown), so a terminal that takes no output costs no memory and stops that peer's lines, not
//! the session.

use super::keys::Key;
use crate::ui::{Notice, Posted};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Events that may wait: more than any hand types, and small beside a paste (which is one event).
const EVENTS: usize = 1024;
/// Notices beyond which single finished files are passed over; there may be a million of them.
const FILES_UNTIL: usize = 4096;

/// What the terminal reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Key(Key),
    /// Pasted as one piece.
    Paste(String),
    /// The terminal gained or lost the focus.
    Focus(bool),
    Resized,
    /// The process goes on after a stop.
    Continued,
    /// No more events will come.
    Ended,
}

/// From when on what is worth waking for; None: not at all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attention {
    pub(super) notices: Option<Instant>,
    pub(super) progress: Option<Instant>,
    /// Wake at that time in any case.
    pub(super) alarm: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    news: Condvar,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    notices: VecDeque<Posted>,
    progress: BTreeMap<u32, Notice>,
    closed: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The input and signal threads': waits while too many events are there.
    pub(super) fn event(&self, event: Event) {
        let mut state = self.lock();
        while state.events.len() >= EVENTS {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.events.push_back(event);
        self.news.notify_one();
    }

    /// The notices thread's: never waits.
    pub(super) fn notice(&self, posted: Posted) {
        let mut state = self.lock();
        match posted.notice {
            Notice::Progress { transfer, .. } if posted.settles.is_none() => {
                state.progress.insert(transfer, posted.notice);
            }
            Notice::File { .. } if state.notices.len() >= FILES_UNTIL && posted.settles.is_none() => {}
            _ => state.notices.push_back(posted),
        }
        self.news.notify_one();
    }

    /// The session posts no more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_one();
    }

    /// Waits for something worth attention; sleeps without a timer when there is none to set.
    pub(super) fn wait(&self, attention: Attention) {
        let mut state = self.lock();
        loop {
            let Some(wake) = state.wake(attention) else {
                state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let Some(left) = wake.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return;
            };
            state = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// All events that wait.
    pub(super) fn take_events(&self) -> VecDeque<Event> {
        let events = std::mem::take(&mut self.lock().events);
        self.room.notify_all();
        events
    }

    /// The next notice.
    pub(super) fn take_notice(&self) -> Option<Posted> {
        self.lock().notices.pop_front()
    }

    /// The latest progress of each transfer, once no other notice waits (it might begin or end one).
    pub(super) fn take_progress(&self) -> BTreeMap<u32, Notice> {
        let mut state = self.lock();
        if state.notices.is_empty() { std::mem::take(&mut state.progress) } else { BTreeMap::new() }
    }

    /// Whether the session posts no more and all was taken.
    pub(super) fn is_done(&self) -> bool {
        let state = self.lock();
        state.closed && state.notices.is_empty()
    }
}

impl State {
    /// When to wake for what is here; None: only for news.
    fn wake(&self, attention: Attention) -> Option<Instant> {
        if !self.events.is_empty() {
            return Some(Instant::now());
        }
        let notices = attention.notices.filter(|_| self.closed || !self.notices.is_empty());
        let progress = attention.progress.filter(|_| !self.progress.is_empty());
        [notices, progress, attention.alarm].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(transfer: u32, bytes: u64) -> Posted {
        Posted { notice: Notice::Progress { transfer, bytes, total: 9, files: 0 }, settles: None }
    }

    fn status(text: &str) -> Posted {
        Posted { notice: Notice::Status(text.into()), settles: None }
    }

    #[test]
    fn progress_keeps_only_the_latest_of_each_transfer_and_waits_for_the_rest() {
        let inbox = Inbox::default();
        inbox.notice(status("x"));
        for bytes in 0..1000 {
            inbox.notice(progress(1, bytes));
            inbox.notice(progress(2, bytes));
        }
        assert!(inbox.take_progress().is_empty());
        assert!(inbox.take_notice().is_some());
        assert!(inbox.take_notice().is_none());
        let latest = inbox.take_progress();
        assert_eq!(latest.len(), 2);
        assert!(latest.values().all(|notice| matches!(notice, Notice::Progress { bytes: 999, .. })));
    }

    #[test]
    fn a_key_wakes_whatever_is_not_attended_to() {
        let inbox = Inbox::default();
        inbox.notice(status("x"));
        std::thread::scope(|scope| {
            scope.spawn(|| inbox.event(Event::Key(Key::Enter)));
            inbox.wait(Attention::default());
        });
        assert_eq!(inbox.take_events(), [Event::Key(Key::Enter)]);
    }

    #[test]
    fn nothing_to_attend_to_sets_no_timer() {
        let state = State::default();
        let now = Instant::now();
        assert_eq!(state.wake(Attention { notices: Some(now), progress: Some(now), alarm: None }), None);
    }

    #[test]
    fn it_is_done_only_when_everything_was_taken() {
        let inbox = Inbox::default();
        inbox.notice(status("last"));
        inbox.close();
        assert!(!inbox.is_done());
        assert!(inbox.take_notice().is_some());
        assert!(inbox.is_done());
    }
}
