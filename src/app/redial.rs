//! The dialler's part: threads that dial, the first time and after a loss, and what becomes of their answers.

use super::event_loop::{Event, EventLoop, Role};
use super::peer_policy;
use crate::exit::Exit;
use crate::net::dial::DialError;
use crate::net::opening::Established;
use crate::notice::Notice;
use crate::protocol::frame::Intent;
use crate::session::DisconnectReason;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A connection that lived so long was a good one: after its loss this side dials at once.
const STABLE: Duration = Duration::from_secs(1);

impl EventLoop {
    /// Dials on a thread, when this side is the one that does.
    pub(super) fn dial(&mut self) {
        let Role::Dial { dialler, wake, wait } = &self.role else { return };
        let again = self.session.has_peer();
        let (mut dialler, wake, wait) = (dialler.clone(), Arc::clone(wake), *wait);
        if let (true, Some(peer)) = (again, &self.peer) {
            // A session is resumed in open mode, and only with the key it began with.
            let key = peer.key;
            dialler.credentials.code = None;
            dialler.credentials.accept_key = Arc::new(move |other: &_| peer_policy::only(&key, other));
        }
        if !again {
            if let Err(error) = getrandom::fill(&mut self.id) {
                return self.fail("system", &format!("the system gives no randomness: {error}"), Exit::Failure);
            }
            self.post(Notice::Status(format!("connecting to {}", dialler.address)));
        }
        let greeting = self.greeting(if again { Intent::Resume } else { Intent::New });
        let number = self.number;
        let events_in = self.setup.events_in.clone();
        // A peer that takes the connection and drops it at once is not to be stormed.
        let at_once = self.linked_at.elapsed() > STABLE;
        let spawned = thread::Builder::new().name("dial".into()).spawn(move || {
            let news = |words| {
                let _ = events_in.send(Event::Redialling(number, words));
            };
            let result = if again {
                dialler.redial(&greeting, at_once, &wake, &news)
            } else {
                dialler.connect(&greeting, wait, &wake)
            };
            let _ = events_in.send(Event::Dialled(number, result.map(Box::new)));
        });
        if let Err(error) = spawned {
            self.fail("system", &format!("cannot start a thread: {error}"), Exit::Failure);
        }
    }

    /// A dialling thread came back.
    pub(super) fn dialled(&mut self, result: Result<Box<Established>, DialError>) {
        match result {
            Ok(opened) if self.session.is_lost() => self.resume(*opened),
            Ok(opened) => self.meet(*opened),
            Err(DialError::Stopped) => {}
            Err(DialError::Open(_, error)) if self.session.is_lost() && error.is_forgotten() => {
                self.session.lost_for_good(&DisconnectReason::Forgotten);
            }
            Err(error) => {
                self.fail("connect", &error.to_string(), Exit::of_dialling(&error));
            }
        }
    }
}
