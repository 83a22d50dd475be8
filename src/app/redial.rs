//! The dialler's side of an opening: a thread that dials, the first time, after a loss, and after the peer forgot the session.

use super::event::Event;
use super::peer_policy;
use crate::keys::{KeyRejected, PublicKey};
use crate::net::dial::{Dialler, Wake};
use crate::protocol::frame::{Greeting, Intent};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;

/// Whom this side dials.
pub(super) struct Dialling {
    pub(super) dialler: Dialler,
    /// Of the present run of the thread.
    pub(super) wake: Arc<Wake>,
    /// Counts the runs of the thread: one that was replaced may report late.
    pub(super) run: u64,
    /// `--wait`: until somebody listens.
    wait: bool,
}

/// What one run of the dialling thread is for.
pub(super) struct Errand {
    pub(super) greeting: Greeting,
    /// The peer whose session was lost; none before the first session.
    pub(super) peer: Option<PublicKey>,
    /// The first try goes without a pause.
    pub(super) at_once: bool,
}

impl Dialling {
    pub(super) fn new(dialler: Dialler, wait: bool) -> Self {
        Self { dialler, wake: Arc::default(), run: 0, wait }
    }

    /// Ends the present run; what it still reports is not of the next one's number.
    pub(super) fn stop(&mut self) {
        self.wake.stop();
        self.wake = Arc::default();
        self.run += 1;
    }

    /// Dials on a thread, which reports by [`Event::Dialled`], instead of the run before.
    ///
    /// # Errors
    /// When no thread can be made.
    pub(super) fn start(&mut self, errand: Errand, events: SyncSender<Event>) -> io::Result<()> {
        self.stop();
        let Errand { greeting, peer, at_once } = errand;
        let (mut dialler, wake, run, wait) = (self.dialler.clone(), Arc::clone(&self.wake), self.run, self.wait);
        if let Some(peer) = peer {
            // Whatever goes on after a loss does so in open mode, and only with the key it began with.
            dialler.credentials.code = None;
            let run = Arc::clone(&wake);
            dialler.credentials.accept_key = Arc::new(move |other: &_| {
                // A greeting that comes after that of the next run tells of less than the peer knows: a fault of the protocol.
                if run.is_stopped() {
                    return Err(KeyRejected("dialling was stopped".into()));
                }
                peer_policy::only(&peer, other)
            });
        }
        thread::Builder::new().name("dial".into()).spawn(move || {
            let result = if peer.is_some() {
                let on_failure = |words| drop(events.send(Event::Redialling(run, words)));
                // A peer that has no session for this any more is not asked for it again and again.
                let at_once = at_once && greeting.intent == Intent::Resume;
                dialler.redial(&greeting, at_once, &wake, &on_failure)
            } else {
                dialler.connect(&greeting, wait, &wake)
            };
            let _ = events.send(Event::Dialled(run, result.map(Box::new)));
        })?;
        Ok(())
    }
}
