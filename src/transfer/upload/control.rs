//! Where the owner leaves word for an upload worker, and the worker looks for it.
//!
//! Invariant: the owner never waits here, and the worker sees the latest word, not a queue of them.

use super::Manifest;
use crate::net::send_queue::SendQueue;
use crate::protocol::frame::{Digest, Position};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// How the owner ends an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// All is received: report it, and end.
    Complete,
    /// End.
    Cancel,
}

/// What the worker learns when it waits.
#[derive(Debug)]
pub(super) enum Wake<T> {
    /// What it waited for.
    Ready(T),
    /// The durable position passed what it asked about.
    Durable,
    /// The course it follows is void: another may be there.
    Lost,
    /// The owner ended the upload.
    Ended(Word),
}

/// Over which connection to send, and from where.
#[derive(Debug, Clone)]
pub(super) struct Course {
    pub(super) send_queue: Arc<SendQueue>,
    pub(super) from: Position,
    /// Which course of this upload it is.
    number: u64,
}

/// What ACCEPT said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) position: Position,
    pub(super) digest: Digest,
}

/// How far the worker may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Limit {
    pub(super) position: Position,
    /// It is the one that the receiver told before it had any data; see PROTOCOL.md section 8.
    pub(super) first: bool,
}

#[derive(Debug, Default)]
struct State {
    course: Option<Course>,
    courses: u64,
    accepted: Option<Accepted>,
    limit: Option<Limit>,
    ended: Option<Word>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    news: Condvar,
    /// Apart from the lock, for the worker looks at it with every chunk.
    durable: AtomicU64,
    list: OnceLock<Arc<Manifest>>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.news.notify_all();
        changed
    }

    pub(super) fn list(&self) -> Option<&Arc<Manifest>> {
        self.list.get()
    }

    pub(super) fn durable(&self) -> Position {
        self.durable.load(Ordering::Relaxed)
    }

    pub(super) fn scanned(&self, list: Arc<Manifest>) {
        // Only the worker sets it, once.
        let _ = self.list.set(list);
    }

    pub(super) fn begin(&self, send_queue: Arc<SendQueue>) {
        self.change(|state| state.set_course(Some((send_queue, 0))));
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.lock().accepted.is_some()
    }

    pub(super) fn accepted(&self, position: Position, digest: Digest) {
        self.change(|state| {
            state.accepted.get_or_insert(Accepted { position, digest });
            self.durable.store(position, Ordering::Relaxed);
        });
    }

    pub(super) fn credit(&self, durable: Position, limit: Position) {
        self.change(|state| {
            self.durable.store(durable, Ordering::Relaxed);
            state.limit = Some(Limit { position: limit, first: state.limit.is_none() });
        });
    }

    pub(super) fn restart(&self, send_queue: Arc<SendQueue>, position: Position, limit: Position) {
        self.change(|state| {
            state.set_course(Some((send_queue, position)));
            match (state.accepted, state.limit) {
                // The list needs no credit. A limit beyond it is the first one of an ACCEPT that is about to come.
                (None, _) => {
                    let beyond = self.list.get().is_some_and(|list| limit > list.data_start());
                    state.limit = beyond.then_some(Limit { position: limit, first: true });
                }
                (Some(accepted), known) => {
                    let first = accepted.position == position
                        && known.is_none_or(|known| known.first && known.position == limit);
                    state.limit = Some(Limit { position: limit, first });
                }
            }
        });
    }

    pub(super) fn disconnected(&self) {
        self.change(|state| state.set_course(None));
    }

    /// Gives the send_queue whose lane is to be dropped.
    pub(super) fn end(&self, word: Word) -> Option<Arc<SendQueue>> {
        self.change(|state| {
            // A cancel may follow COMPLETE, when the handle is dropped, and must not take the last reports away.
            state.ended.get_or_insert(word);
            if word == Word::Complete
                && let Some(list) = self.list.get()
            {
                self.durable.store(list.end(), Ordering::Relaxed);
            }
            state.course.take().map(|course| course.send_queue)
        })
    }

    pub(super) fn is_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// Waits for a course other than the one with the number `after`, or for `durable`.
    pub(super) fn course(&self, after: u64, durable: Position) -> Wake<Course> {
        self.wait(None, durable, |state| state.course.clone().filter(|course| course.number > after))
    }

    /// On a course: waits for ACCEPT.
    pub(super) fn acceptance(&self, course: &Course) -> Wake<Accepted> {
        self.wait(Some(course), Position::MAX, |state| state.accepted)
    }

    /// On a course: waits for a limit that `enough` takes, or for `durable`.
    pub(super) fn limit(&self, course: &Course, durable: Position, enough: impl Fn(Limit) -> bool) -> Wake<Limit> {
        self.wait(Some(course), durable, |state| state.limit.filter(|limit| enough(*limit)))
    }

    fn wait<T>(&self, course: Option<&Course>, durable: Position, ready: impl Fn(&State) -> Option<T>) -> Wake<T> {
        let mut state = self.lock();
        loop {
            if let Some(word) = state.ended {
                return Wake::Ended(word);
            }
            if course.is_some_and(|course| course.number != state.courses) {
                return Wake::Lost;
            }
            if let Some(ready) = ready(&state) {
                return Wake::Ready(ready);
            }
            if self.durable() >= durable {
                return Wake::Durable;
            }
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Course {
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl State {
    fn set_course(&mut self, to: Option<(Arc<SendQueue>, Position)>) {
        self.courses += 1;
        let number = self.courses;
        self.course = to.map(|(send_queue, from)| Course { send_queue, from, number });
    }
}
