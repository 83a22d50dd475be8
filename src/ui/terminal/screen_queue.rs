//! What the other threads give to the screen thread: terminal events and session notices.
//!
//! Invariant: keys never wait behind notices. The notices that are kept are bounded by the session, which posts no progress and takes no
//! lines and no reports of files while too many are not shown: a terminal that takes no output costs no memory and stops that peer's
//! lines, not the session.

use super::keys::TerminalEvent;
use crate::ui::Posted;
use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Instant;

/// What may be on its way to the screen thread: more keys than any hand types, and small beside a paste (which is one event).
const ON_ITS_WAY: usize = 1024;

pub(super) enum ScreenInput {
    Event(TerminalEvent),
    Notice(Posted),
    /// The session posts no more.
    Closed,
}

/// The screen thread's end.
pub(super) struct ScreenQueue {
    receiver: Receiver<ScreenInput>,
    events: VecDeque<TerminalEvent>,
    notices: VecDeque<Posted>,
    closed: bool,
}

impl ScreenQueue {
    /// A sender waits while too much is on its way; one has to stay for as long as the queue.
    pub(super) fn new() -> (SyncSender<ScreenInput>, Self) {
        let (sender, receiver) = mpsc::sync_channel(ON_ITS_WAY);
        (sender, Self { receiver, events: VecDeque::new(), notices: VecDeque::new(), closed: false })
    }

    /// Waits for an event, or until `wake_at`, or `notices_at` when there are notices; without a timer when nothing sets one. Gives all
    /// events that are there.
    pub(super) fn wait(&mut self, notices_at: Option<Instant>, wake_at: Option<Instant>) -> VecDeque<TerminalEvent> {
        loop {
            while let Ok(input) = self.receiver.try_recv() {
                self.keep(input);
            }
            if !self.events.is_empty() {
                return std::mem::take(&mut self.events);
            }
            let notices_at = notices_at.filter(|_| self.closed || !self.notices.is_empty());
            let input = match notices_at.into_iter().chain(wake_at).min() {
                None => self.receiver.recv().ok(),
                Some(at) => self.receiver.recv_timeout(at.saturating_duration_since(Instant::now())).ok(),
            };
            let Some(input) = input else { return VecDeque::new() };
            self.keep(input);
        }
    }

    fn keep(&mut self, input: ScreenInput) {
        match input {
            ScreenInput::Event(event) => match (event, self.events.back_mut()) {
                // One insertion for all of it: a paste may come as single characters.
                (TerminalEvent::Text(text), Some(TerminalEvent::Text(before))) => before.push_str(&text),
                (event, _) => self.events.push_back(event),
            },
            ScreenInput::Notice(posted) => self.notices.push_back(posted),
            ScreenInput::Closed => self.closed = true,
        }
    }

    /// The next notice.
    pub(super) fn take_notice(&mut self) -> Option<Posted> {
        self.notices.pop_front()
    }

    /// Whether the session posts no more and all was taken.
    pub(super) fn is_done(&self) -> bool {
        self.closed && self.notices.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::Key;
    use super::*;
    use crate::ui::Notice;
    use std::thread;
    use std::time::Duration;

    fn status(text: &str) -> ScreenInput {
        ScreenInput::Notice(Posted { notice: Notice::Status(text.into()), peer: None, display_seq: None })
    }

    #[test]
    fn a_key_wakes_whatever_is_not_attended_to() {
        let (sender, mut queue) = ScreenQueue::new();
        sender.send(status("x")).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| sender.send(ScreenInput::Event(TerminalEvent::Key(Key::Enter))).unwrap());
            assert!(matches!(queue.wait(None, None).pop_front(), Some(TerminalEvent::Key(Key::Enter))));
        });
        assert!(queue.take_notice().is_some());
    }

    #[test]
    fn characters_that_came_one_by_one_are_taken_in_one_piece() {
        let (sender, mut queue) = ScreenQueue::new();
        let send = |event| sender.send(ScreenInput::Event(event)).unwrap();
        (0..500).for_each(|_| send(TerminalEvent::Text("x".into())));
        send(TerminalEvent::Key(Key::Left));
        (0..500).for_each(|_| send(TerminalEvent::Text("y".into())));
        let taken: Vec<_> = queue.wait(None, None).into();
        let [TerminalEvent::Text(first), TerminalEvent::Key(Key::Left), TerminalEvent::Text(last)] = taken.as_slice()
        else {
            panic!("{taken:?}");
        };
        assert_eq!((first, last), (&"x".repeat(500), &"y".repeat(500)));
    }

    #[test]
    fn without_notices_only_their_time_wakes_nobody() {
        let (sender, mut queue) = ScreenQueue::new();
        let (begun, later) = (Instant::now(), Duration::from_millis(20));
        queue.wait(Some(begun), Some(begun + later));
        assert!(begun.elapsed() >= later);
        sender.send(status("x")).unwrap();
        queue.wait(Some(begun), None);
        assert!(queue.take_notice().is_some());
    }

    #[test]
    fn it_is_done_only_when_everything_was_taken() {
        let (sender, mut queue) = ScreenQueue::new();
        sender.send(status("last")).unwrap();
        sender.send(ScreenInput::Closed).unwrap();
        queue.wait(Some(Instant::now()), None);
        assert!(!queue.is_done());
        assert!(queue.take_notice().is_some());
        assert!(queue.is_done());
    }
}
