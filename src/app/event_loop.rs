//! The event loop: one thread that owns the conversation and waits neither for the peer, nor a disk, nor a screen.
//!
//! 1. An [`Event`] comes in: from the connection, the input, a worker, the listener, a dialling thread.
//! 2. [`EventLoop::handle`] makes it one call of the conversation or its session.
//! 3. [`EventLoop::carry_out_actions`] carries out the actions of the session, until there are none left.
//! 4. A lost connection is dialled again, or the listener waits for it; the end of a session is the end of the loop, unless
//!    `--keep` has it wait for the next peer.
//!
//! The loop does wait for the two threads of a connection that it closed, whose socket is shut down by then.
//!
//! A conversation is in one of these states, by which [`EventLoop::occupancy`] says whether a caller may come in:
//! - free: nobody is here; the dialler dials, the listener waits;
//! - recording: a peer was let in whose session begins, or is taken over, once it is recorded ([`Recording`] says what waits);
//! - connected; while a caller of the same peer waits for the answer to a ping, there is a `newcomer`;
//! - lost: a session without its connection, until that comes back or the session's deadline;
//! - parted: over, while a person decides what follows.

mod callers;
mod connection;
mod ending;
mod opening;

use super::accept::RejectionLog;
use super::config::Config;
use super::conversation::Conversation;
use super::event::Event;
use super::listening::Listening;
use super::peer_policy::PeerPolicy;
use super::redial::Dialling;
use super::signals::PendingSignal;
use crate::error_text::io_error_text;
use crate::exit::Exit;
use crate::keys::PublicKey;
use crate::net::connection::DisconnectReason;
use crate::net::opening::Established;
use crate::net::reach::OwnEnd;
use crate::notice::{Info, Input, Notice, Posted};
use crate::protocol::frame::Intent;
use crate::session::{Action, Session};
use crate::text::SafeText;
use crate::transfer::download::DownloadReport;
use crate::ui::InputBackpressure;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// Events that wait until a peer is recorded.
const HELD: usize = 1_024;
/// How long a connection that seems alive has to answer when its peer comes with a new session (PROTOCOL.md section 6).
const PROBE_TIME: Duration = Duration::from_secs(5);
/// A person who listens so long without a caller is told where to look for reasons.
const UNCALLED: Duration = Duration::from_secs(120);

/// Which side this is.
pub(super) enum Role {
    Dial(Dialling),
    Listen { listening: Box<Listening>, keep: bool },
}

/// What the event loop works with.
pub(super) struct Setup {
    pub(super) config: Arc<Config>,
    pub(super) peer_policy: PeerPolicy,
    pub(super) events: SyncSender<Event>,
    pub(super) notices: Sender<Posted>,
    pub(super) backpressure: Arc<InputBackpressure>,
    pub(super) pending_signal: PendingSignal,
}

/// A peer was let in, and is being recorded, which takes seconds at most. Signals and the end of a lost session wait for that.
struct Recording {
    peer: PublicKey,
    /// Input, and the same peer on another connection: what comes then, in order.
    held: VecDeque<Event>,
}

impl Recording {
    fn has_room(&self) -> bool {
        self.held.len() < HELD
    }
}

pub(super) struct EventLoop {
    setup: Setup,
    role: Role,
    events: Receiver<Event>,
    /// Taken from the channel while a connection was ended; they come first.
    backlog: VecDeque<Event>,
    /// Notices that go to the frontend when the present event is handled, so that what they say is the case by then.
    outbox: Vec<Posted>,
    begun: Instant,
    conversation: Conversation,
    /// Of the connection, where its address can be watched.
    own_end: Option<OwnEnd>,
    /// Counts the connections.
    epoch: u64,
    recording: Option<Recording>,
    /// A peer that comes with a new session while its old connection seems alive, and until when that may answer.
    newcomer: Option<(Established, Instant)>,
    rejections: RejectionLog,
    signal: Option<Exit>,
    /// Something was not done whole in an earlier conversation.
    incomplete: bool,
    /// When it is time to say that nobody has called.
    uncalled: Option<Instant>,
    /// The exit code of the conversation that ended last, while a person decides between leaving and `/again`; nobody is let in then.
    parted: Option<Exit>,
    /// The exit code of the session that is being ended, where the reason is not the session's.
    failing: Option<Exit>,
    exit: Option<Exit>,
    /// Why the frontend failed.
    failure: Option<String>,
}

impl EventLoop {
    pub(super) fn new(setup: Setup, role: Role, events: Receiver<Event>) -> Self {
        let waits = setup.config.rules.interactive && matches!(role, Role::Listen { .. });
        Self {
            uncalled: waits.then(|| Instant::now() + UNCALLED),
            conversation: Conversation::new(1, Session::new(setup.config.rules.clone())),
            setup,
            role,
            events,
            backlog: VecDeque::new(),
            outbox: Vec::new(),
            begun: Instant::now(),
            own_end: None,
            epoch: 0,
            recording: None,
            newcomer: None,
            rejections: RejectionLog::default(),
            signal: None,
            incomplete: false,
            parted: None,
            failing: None,
            exit: None,
            failure: None,
        }
    }

    /// Runs until the conversation is over.
    ///
    /// # Errors
    /// Words for the user, when the frontend failed.
    pub(super) fn run(mut self) -> Result<Exit, String> {
        self.dial(Intent::New);
        let exit = loop {
            for posted in self.outbox.drain(..) {
                let _ = self.setup.notices.send(posted);
            }
            if let Some(exit) = self.exit {
                break exit;
            }
            self.want_callers();
            let event = self.next();
            self.handle(event);
        };
        self.close_connection();
        // A worker may want to report what nobody hears any more.
        drop(self.events);
        self.conversation.finish();
        match self.role {
            Role::Dial(mut dialling) => dialling.stop(),
            Role::Listen { listening, .. } => listening.close(true),
        }
        // Threads that still want to report something find the channel closed, and end.
        match self.failure {
            Some(words) if self.signal.is_none() => Err(words),
            _ => Ok(exit),
        }
    }

    /// Whoever dials toward its peer does so only while a session may begin or go on.
    fn want_callers(&self) {
        if let Role::Listen { listening, .. } = &self.role {
            listening.listener.want_callers(
                self.conversation.connection.is_none() && self.recording.is_none() && self.parted.is_none(),
            );
        }
    }

    /// The next event, or [`Event::Tick`] when it is time to do something.
    fn next(&mut self) -> Event {
        if let Some(event) = self.backlog.pop_front() {
            return event;
        }
        let received = match self.wake_at() {
            None => self.events.recv().ok(),
            Some(at) => self.events.recv_timeout(at.saturating_duration_since(Instant::now())).ok(),
        };
        received.unwrap_or(Event::Tick)
    }

    fn wake_at(&self) -> Option<Instant> {
        let deadline = self.conversation.deadline().filter(|_| self.recording.is_none());
        let session = deadline.and_then(|deadline| self.begun.checked_add(deadline));
        let probe = self.newcomer.as_ref().map(|(_, until)| *until);
        let addresses = self.own_end.as_ref().map(|end| end.check_at);
        [session, probe, addresses, self.uncalled, self.show_at()].into_iter().flatten().min()
    }

    fn show_at(&self) -> Option<Instant> {
        if let Role::Listen { listening, .. } = &self.role { listening.show_at } else { None }
    }

    fn handle(&mut self, event: Event) {
        let now = self.begun.elapsed();
        self.conversation.session.at(now);
        let number = self.conversation.number;
        let run = if let Role::Dial(dialling) = &self.role { Some(dialling.run) } else { None };
        match event {
            Event::Tick => {}
            Event::Connection(epoch, event) if epoch == self.epoch && self.conversation.connection.is_some() => {
                self.connection_event(event);
            }
            Event::Upload(of, transfer, report) if of == number => {
                self.conversation.session.upload(transfer, report);
            }
            Event::Download(of, _, DownloadReport::Fault(fault)) if of == number => {
                self.lose(DisconnectReason::ProtocolError(fault));
            }
            Event::Download(of, transfer, report) if of == number => {
                self.conversation.session.download(transfer, report);
            }
            Event::Dialled(of, result) if Some(of) == run => self.dialled(result.map(|established| *established)),
            Event::Redialling(of, words) if Some(of) == run && self.conversation.connection.is_none() => {
                self.post(Notice::Warning(SafeText::with_hint(&words)));
            }
            Event::Recorded(of, peer) if of == number => self.begin(*peer),
            // What it was let in for ended meanwhile.
            Event::Recorded(..) => self.end_recording(),
            Event::Verified(of, result) if of == number => match result {
                Ok(()) => self.conversation.verified(),
                Err(error) => self.conversation.session.error("peers-file", error.to_string()),
            },
            // Of an earlier conversation, connection or run.
            Event::Connection(..)
            | Event::Upload(..)
            | Event::Download(..)
            | Event::Dialled(..)
            | Event::Redialling(..)
            | Event::Verified(..) => {}
            // Whoever was greeted gets what is typed, and a goodbye.
            event @ (Event::Input(_) | Event::FrontendFailed(_))
                if self.recording.as_ref().is_some_and(Recording::has_room) =>
            {
                if let Some(recording) = &mut self.recording {
                    recording.held.push_back(event);
                }
            }
            Event::Input(input) => {
                if let Role::Dial(dialling) = &self.role {
                    dialling.wake.now();
                }
                self.input(input);
            }
            Event::Shown(display_seq) => self.conversation.session.shown(display_seq),
            Event::Listen(event) => self.listen_event(event),
            Event::Lan(nonce, event) => self.announced(&nonce, event),
            Event::Map(report) => self.mapping(report),
            Event::Remarks(remarks) => {
                for text in remarks {
                    self.post(Notice::Info(Info::Text(SafeText::with_hint(&text))));
                }
            }
            Event::Dial(dial) => self.dial_instead(*dial),
            Event::FrontendFailed(words) => {
                self.failure = words;
                self.conversation.session.leave_now();
            }
        }
        if self.recording.is_none()
            && let Some(signal) = self.setup.pending_signal.take()
        {
            self.signal = Some(signal);
            self.conversation.session.signal();
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| Instant::now() >= at);
        if is_due(self.newcomer.as_ref().map(|(_, until)| *until)) {
            self.lose(DisconnectReason::Silent(PROBE_TIME));
        }
        if is_due(self.own_end.as_ref().map(|end| end.check_at)) {
            self.look_at_addresses();
        }
        if is_due(self.uncalled) {
            self.uncalled = None;
            self.say_uncalled();
        }
        if is_due(self.show_at()) {
            self.show_listening();
        }
        // First, for a transfer that was accepted just now has made no progress before its flow is open.
        self.carry_out_actions();
        if self.recording.is_none() {
            self.conversation.tick(now);
            self.carry_out_actions();
        }
    }

    /// Whether this side's end of the connection is still there, and where else it is.
    fn look_at_addresses(&mut self) {
        match self.own_end.as_mut().and_then(OwnEnd::lost) {
            Some(ip) => self.lose(DisconnectReason::AddressGone(ip)),
            None => self.announce_addresses(),
        }
    }

    fn say_uncalled(&mut self) {
        if let Role::Listen { listening, .. } = &self.role {
            let port = listening.port();
            let text = format!("nobody has called yet\np2pchat doctor {port} looks for reasons");
            self.post(Notice::Info(Info::Text(SafeText::with_hint(&text))));
        }
    }

    /// Carries out what the session wants done.
    fn carry_out_actions(&mut self) {
        loop {
            let actions = self.conversation.session.actions();
            if actions.is_empty() {
                return;
            }
            let mut fault = None;
            for action in actions {
                match action {
                    Action::Notice(posted) => self.outbox.push(posted),
                    Action::PauseInput(pause) => self.setup.backpressure.set_paused(pause),
                    Action::MarkVerified => self.verify(),
                    Action::Again => self.again(),
                    Action::Redial(place) => self.redial(&place),
                    Action::Toward(place) => self.toward(&place),
                    // The last one.
                    Action::Over(end) => {
                        fault = None;
                        self.over(&end);
                    }
                    action => fault = self.conversation.carry_out(action).err().or(fault),
                }
            }
            // What the session does about it comes after all that it wanted before.
            if let Some(fault) = fault {
                self.lose(DisconnectReason::ProtocolError(fault));
            }
        }
    }

    /// The peer is recorded, or cannot be let in: what waited for that comes next.
    fn end_recording(&mut self) {
        if let Some(Recording { mut held, .. }) = self.recording.take() {
            held.append(&mut self.backlog);
            self.backlog = held;
        }
    }

    fn post(&mut self, notice: Notice) {
        self.conversation.session.post(notice);
    }

    /// Input for the conversation. A line that was begun with another peer on the screen than the present one goes to nobody.
    fn input(&mut self, input: Input) {
        let present = self.conversation.peer.as_ref().map(|peer| peer.key.fingerprint());
        if matches!(&input, Input::LineTo { peer, .. } if present.as_ref() != Some(peer)) {
            let text = "whom it was meant for has just left: not sent\nUp brings it back";
            return self.post(Notice::Error { code: "no-peer", text: SafeText::with_hint(text) });
        }
        self.conversation.session.input(input);
    }

    fn verify(&mut self) {
        let Some(peer) = &self.conversation.peer else { return };
        let (key, number) = (peer.key, self.conversation.number);
        let (events, file) = (self.setup.events.clone(), self.setup.config.peers_file.clone());
        let spawned = thread::Builder::new().name("verify".into()).spawn(move || {
            let _ = events.send(Event::Verified(number, file.verify(&key)));
        });
        if let Err(error) = spawned {
            self.post(Notice::Error { code: "system", text: io_error_text(&error).into() });
        }
    }
}
