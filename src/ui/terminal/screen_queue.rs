//! The queue of the screen thread: terminal events and session notices.
//!
//! Invariant: keys never wait behind notices; of each transfer only the latest progress is kept. The
//! notices that are kept are bounded by the wire (a peer has at most 1,024 frames unacknowledged, and nothing is
//! acknowledged before it is shown), so a terminal that takes no output costs no memory and stops that peer's lines, not
//! the session.

#[cfg(test)]
use super::keys::Key;
use super::keys::TerminalEvent;
use crate::ui::{Notice, Posted};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Events that may wait: more than any hand types, and small beside a paste (which is one event).
const EVENTS: usize = 1024;
/// Notices beyond which single finished files are passed over; there may be a million of them.
const FILES_UNTIL: usize = 4096;

/// From when on the thread wakes for what; None: not at all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WakeTimes {
    pub(super) notices: Option<Instant>,
    pub(super) progress: Option<Instant>,
    /// Wake at that time in any case.
    pub(super) wake_at: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct ScreenQueue {
    state: Mutex<QueuedItems>,
    news: Condvar,
    room: Condvar,
}

#[derive(Debug, Default)]
struct QueuedItems {
    events: VecDeque<TerminalEvent>,
    notices: VecDeque<Posted>,
    progress: BTreeMap<u32, Notice>,
    closed: bool,
}

impl ScreenQueue {
    fn lock(&self) -> MutexGuard<'_, QueuedItems> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The input and signal threads': waits while too many events are there.
    pub(super) fn event(&self, event: TerminalEvent) {
        let state = self.room.wait_while(self.lock(), |state| state.events.len() >= EVENTS);
        state.unwrap_or_else(PoisonError::into_inner).events.push_back(event);
        self.news.notify_one();
    }

    /// The notices thread's: never waits.
    pub(super) fn notice(&self, posted: Posted) {
        let mut state = self.lock();
        match posted.notice {
            Notice::Progress { transfer, .. } if posted.display_seq.is_none() => {
                state.progress.insert(transfer, posted.notice);
            }
            Notice::File { .. } if state.notices.len() >= FILES_UNTIL && posted.display_seq.is_none() => {}
            _ => state.notices.push_back(posted),
        }
        self.news.notify_one();
    }

    /// The session posts no more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_one();
    }

    /// Waits for an event or one of the times; without a timer when none is set.
    pub(super) fn wait(&self, wake_times: WakeTimes) {
        let mut state = self.lock();
        loop {
            let Some(wake) = state.wake(wake_times) else {
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
    pub(super) fn take_events(&self) -> VecDeque<TerminalEvent> {
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

impl QueuedItems {
    /// When to wake for what is here; None: only for news.
    fn wake(&self, wake_times: WakeTimes) -> Option<Instant> {
        if !self.events.is_empty() {
            return Some(Instant::now());
        }
        let notices = wake_times.notices.filter(|_| self.closed || !self.notices.is_empty());
        let progress = wake_times.progress.filter(|_| !self.progress.is_empty());
        [notices, progress, wake_times.wake_at].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(transfer: u32, bytes: u64) -> Posted {
        Posted { notice: Notice::Progress { transfer, bytes, total: Some(9), files: 0 }, peer: None, display_seq: None }
    }

    fn status(text: &str) -> Posted {
        Posted { notice: Notice::Status(text.into()), peer: None, display_seq: None }
    }

    #[test]
    fn progress_keeps_only_the_latest_of_each_transfer_and_waits_for_the_rest() {
        let queue = ScreenQueue::default();
        queue.notice(status("x"));
        for bytes in 0..1000 {
            queue.notice(progress(1, bytes));
            queue.notice(progress(2, bytes));
        }
        assert!(queue.take_progress().is_empty());
        assert!(queue.take_notice().is_some());
        assert!(queue.take_notice().is_none());
        let latest = queue.take_progress();
        assert_eq!(latest.len(), 2);
        assert!(latest.values().all(|notice| matches!(notice, Notice::Progress { bytes: 999, .. })));
    }

    #[test]
    fn a_key_wakes_whatever_is_not_attended_to() {
        let queue = ScreenQueue::default();
        queue.notice(status("x"));
        std::thread::scope(|scope| {
            scope.spawn(|| queue.event(TerminalEvent::Key(Key::Enter)));
            queue.wait(WakeTimes::default());
        });
        assert!(matches!(queue.take_events().pop_front(), Some(TerminalEvent::Key(Key::Enter))));
    }

    #[test]
    fn nothing_to_attend_to_sets_no_timer() {
        let state = QueuedItems::default();
        let now = Instant::now();
        assert_eq!(state.wake(WakeTimes { notices: Some(now), progress: Some(now), wake_at: None }), None);
    }

    #[test]
    fn it_is_done_only_when_everything_was_taken() {
        let queue = ScreenQueue::default();
        queue.notice(status("last"));
        queue.close();
        assert!(!queue.is_done());
        assert!(queue.take_notice().is_some());
        assert!(queue.is_done());
    }
}
