//! The owner: one thread that holds the session and never waits for the peer, for bulk or for a screen.
//!
//! What it does wait for is short and local: the file of known peers at a meeting, a `stat` at `/send`, a greeting of a hundred
//! bytes into an empty socket buffer.
//!
//! 1. A event comes in: from the connection, the input, a worker, the listener, a dialling thread, a signal.
//! 2. It becomes one call of the session (or, for credit, of a worker's handle).
//! 3. The session's actions are carried out in order (`actions.rs`), until there are none.

use super::Setup;
use super::accept::RejectionLog;
use super::peer_policy::PeerInfo;
use crate::channel::Code;
use crate::exit::Exit;
use crate::net::buffer::{OutChunk, Pool};
use crate::net::connection::{Connection, ConnectionEvent, Parts};
use crate::net::dial::{DialError, Dialler, Wake};
use crate::net::listen::{ListenEvent, Listener};
use crate::net::opening::Established;
use crate::notice::{Input, Notice, Posted};
use crate::protocol::frame::{Greeting, Intent, TransferId};
use crate::session::{DisconnectReason, ProtocolError, Session};
use crate::text::SafeText;
use crate::transfer::download::{Download, DownloadReport};
use crate::transfer::flow_control::ReceiveWindow;
use crate::transfer::upload::{Upload, UploadReport};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How often progress is told while transfers run: four times a second, on the events' word.
const PROGRESS: Duration = Duration::from_millis(250);
/// Chunks kept for reuse: what one lane and one batch hold.
const CHUNKS_KEPT: usize = 32;

/// What the owner hears.
#[derive(Debug)]
pub(crate) enum Event {
    /// From the connection of this number.
    Connection(u64, ConnectionEvent),
    /// From the user.
    Input(Input),
    /// The frontend has written what settles this.
    Shown(u64),
    /// From an upload of the session of this number.
    Upload(u64, TransferId, UploadReport),
    /// From a download of the session of this number.
    Download(u64, TransferId, DownloadReport),
    /// From the listener.
    ListenEvent(ListenEvent),
    /// From the dialling thread of the session of this number.
    Dialled(u64, Result<Box<Established>, DialError>),
    /// Why dialling again goes on without success, when that is news.
    Redialling(u64, String),
    /// There is a pending signal.
    Signal,
    /// The input has something to say itself.
    InputNotice(Notice),
    /// The face cannot show anything any more, and why, if that is worth a word.
    FrontendFailed(Option<String>),
}

/// Which side this is.
pub(crate) enum Role {
    /// It dials.
    Dial { dialler: Dialler, wake: Arc<Wake>, wait: bool },
    /// It listens.
    Listen { listener: Listener, code: Option<Arc<Code>>, keep: bool },
}

/// See the module.
pub(crate) struct EventLoop {
    pub(super) setup: Setup,
    pub(super) role: Role,
    events: Receiver<Event>,
    /// Taken from the channel while a connection was ended; they come first.
    backlog: VecDeque<Event>,
    notices: Sender<Posted>,
    begun: Instant,
    pub(super) session: Session,
    /// Counts the sessions of this program, so that late reports of an earlier one are known as such.
    pub(super) number: u64,
    pub(super) id: [u8; 16],
    pub(super) peer: Option<PeerInfo>,
    pub(super) connection: Option<Connection>,
    epoch: u64,
    /// When the present or last connection began.
    pub(super) linked_at: Instant,
    /// A session of the same peer takes the place of this one, which is lost.
    pub(super) replacing: bool,
    /// A session that was replaced had lines that were not delivered.
    pub(super) lost_lines: bool,
    pub(super) window: Arc<ReceiveWindow>,
    pub(super) chunks: Arc<Pool<OutChunk>>,
    pub(super) uploads: HashMap<TransferId, Upload>,
    pub(super) downloads: HashMap<TransferId, Download>,
    /// What is added to a sequence number to tell the face's tickets of several sessions apart.
    ticket_base: u64,
    told: HashMap<u32, u64>,
    told_at: Instant,
    pub(super) rejections: RejectionLog,
    pub(super) signal: Option<Exit>,
    pub(super) exit: Option<Exit>,
    /// Why the face broke.
    broken: Option<String>,
}

impl EventLoop {
    pub(crate) fn new(setup: Setup, role: Role, events: Receiver<Event>, notices: Sender<Posted>) -> Self {
        let session = Session::new(setup.rules.clone(), 1);
        Self {
            setup,
            role,
            events,
            backlog: VecDeque::new(),
            notices,
            begun: Instant::now(),
            session,
            number: 1,
            id: [0; 16],
            peer: None,
            connection: None,
            epoch: 0,
            linked_at: Instant::now(),
            replacing: false,
            lost_lines: false,
            window: Arc::new(ReceiveWindow::new()),
            chunks: Arc::new(Pool::new(CHUNKS_KEPT)),
            uploads: HashMap::new(),
            downloads: HashMap::new(),
            ticket_base: 0,
            told: HashMap::new(),
            told_at: Instant::now(),
            rejections: RejectionLog::default(),
            signal: None,
            exit: None,
            broken: None,
        }
    }

    /// Runs until the conversation is over.
    ///
    /// # Errors
    /// PeerContext words for the user, when the face broke.
    pub(crate) fn run(mut self) -> Result<Exit, String> {
        self.dial();
        let exit = loop {
            if let Some(exit) = self.exit {
                break exit;
            }
            let event = self.next();
            self.session.at(self.begun.elapsed());
            if let Some(event) = event {
                self.events_in(event);
            }
            if let Some(signal) = self.setup.pending_signal.take() {
                self.signal = Some(signal);
                self.session.signal();
            }
            self.session.tick();
            self.perform();
            self.tell_progress();
        };
        self.end_link();
        match self.role {
            Role::Dial { wake, .. } => wake.stop(),
            Role::Listen { listener, .. } => listener.close(),
        }
        // Threads that still want to tell something find the channel closed, and end.
        self.broken.map_or(Ok(exit), Err)
    }

    fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.backlog.pop_front() {
            return Some(event);
        }
        let now = self.begun.elapsed();
        let deadline = self.session.deadline().map(|deadline| deadline.saturating_sub(now));
        let progress = self.session.has_transfers().then(|| PROGRESS.saturating_sub(self.told_at.elapsed()));
        match [deadline, progress].into_iter().flatten().min() {
            None => self.events.recv().ok(),
            Some(wait) => self.events.recv_timeout(wait).ok(),
        }
    }

    fn events_in(&mut self, event: Event) {
        match event {
            Event::Connection(epoch, event) if epoch == self.epoch && self.connection.is_some() => {
                self.link_event(event)
            }
            Event::Upload(number, transfer, report) if number == self.number => {
                self.session.upload(transfer, report);
            }
            Event::Download(number, transfer, report) if number == self.number => {
                self.session.download(transfer, report);
            }
            Event::Connection(..) | Event::Upload(..) | Event::Download(..) => {}
            Event::Input(input) => {
                if let Role::Dial { wake, .. } = &self.role {
                    wake.now();
                }
                self.session.input(input);
            }
            Event::Shown(ticket) => {
                if let Some(seq) = ticket.checked_sub(self.ticket_base).filter(|seq| *seq > 0) {
                    self.session.settled(seq);
                }
            }
            Event::ListenEvent(event) => self.listen_event(event),
            Event::Dialled(number, result) if number == self.number => self.dialled(result),
            Event::Redialling(number, words) if number == self.number && self.session.is_lost() => {
                self.post(Notice::Warning(SafeText::with_hint(&words)));
            }
            Event::Dialled(..) | Event::Redialling(..) => {}
            Event::Signal => {}
            Event::InputNotice(notice) => self.post(notice),
            Event::FrontendFailed(words) => {
                self.broken = words;
                self.session.leave_now();
            }
        }
    }

    fn link_event(&mut self, event: ConnectionEvent) {
        let result = match event {
            ConnectionEvent::Control(seq, control) => self.session.control(seq, control),
            ConnectionEvent::Ack(seq) => self.session.acknowledged(seq),
            ConnectionEvent::Credit(transfer, durable, limit) => {
                if let Some(upload) = self.uploads.get(&transfer) {
                    upload.credit(durable, limit);
                }
                Ok(())
            }
            ConnectionEvent::Restart(transfer, position, limit) => {
                match (self.uploads.get(&transfer), &self.connection) {
                    (Some(upload), Some(connection)) => upload
                        .restart(Arc::clone(connection.send_queue()), position, limit)
                        .map_err(ProtocolError::from),
                    _ => Ok(()),
                }
            }
            ConnectionEvent::TooMuch(transfer) => {
                self.session.too_much(transfer);
                Ok(())
            }
            ConnectionEvent::Listed(transfer, list) => {
                self.session.listed(transfer, list);
                Ok(())
            }
            ConnectionEvent::Ended(loss) => {
                self.lose(loss);
                Ok(())
            }
        };
        if let Err(fault) = result {
            self.lose(DisconnectReason::ProtocolError(fault));
        }
    }

    /// The connection is over; the session may go on.
    pub(super) fn lose(&mut self, loss: DisconnectReason) {
        self.end_link();
        if !matches!(loss, DisconnectReason::ProtocolError(_)) {
            self.hear_out();
        }
        self.session.lost(loss);
        self.perform();
        if self.session.is_lost() && !self.session.is_over() {
            self.dial();
        }
    }

    /// Ends the connection and waits for its threads, taking what they still have to tell.
    pub(super) fn end_link(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        for upload in self.uploads.values() {
            upload.disconnected();
        }
        connection.close();
        while !connection.is_finished() {
            match self.events.recv_timeout(Duration::from_millis(1)) {
                Ok(event) => self.backlog.push_back(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // What the old reader brought to its end counts as open, and is named by RESTART.
        self.window.disconnected();
    }

    /// What the ended connection told before its end still counts: the window has taken note of it already, and the peer will not
    /// send again what it says is received.
    fn hear_out(&mut self) {
        self.backlog.extend(self.events.try_iter());
        let epoch = self.epoch;
        let told = |event: &Event| matches!(event, Event::Connection(number, _) if *number == epoch);
        let (late, others) = std::mem::take(&mut self.backlog).into_iter().partition(told);
        self.backlog = others;
        let late: VecDeque<Event> = late;
        let number = self.number;
        for event in late {
            if self.session.is_over() || self.number != number {
                return;
            }
            match event {
                Event::Connection(_, ConnectionEvent::Ended(_)) => {}
                Event::Connection(_, event) => self.link_event(event),
                _ => {}
            }
        }
    }

    /// Starts a connection on an opened connection.
    pub(super) fn start_link(&mut self, opened: Established) -> std::io::Result<()> {
        self.end_link();
        self.epoch += 1;
        self.linked_at = Instant::now();
        let epoch = self.epoch;
        let events_in = self.setup.events_in.clone();
        let Established { stream, channel, .. } = opened;
        let parts = Parts {
            stream,
            sealer: channel.sealer,
            opener: channel.opener,
            window: Arc::clone(&self.window),
            chunks: Arc::clone(&self.chunks),
        };
        let connection = Connection::start(parts, move |event| {
            let _ = events_in.send(Event::Connection(epoch, event));
        })?;
        self.connection = Some(connection);
        Ok(())
    }

    /// What this side says first.
    pub(super) fn greeting(&self, intent: Intent) -> Greeting {
        Greeting {
            intent,
            session: self.id,
            received: self.session.received(),
            reconnect_timeout: self.setup.rules.reconnect_timeout,
            name: self.setup.own_name.clone(),
        }
    }

    /// Begins the next session of a listener that keeps listening.
    pub(super) fn renew(&mut self) {
        self.end_link();
        self.ticket_base += self.session.received();
        self.session = self.session.successor();
        self.number += 1;
        self.peer = None;
        self.uploads.clear();
        self.downloads.clear();
        self.told.clear();
        self.window = Arc::new(ReceiveWindow::new());
        self.setup.backpressure.set_shut(false);
    }

    /// Tells the user; `settles` becomes a ticket that tells sessions apart.
    pub(super) fn post_settling(&mut self, posted: Posted) {
        let settles = posted.settles.map(|seq| self.ticket_base + seq);
        let _ = self.notices.send(Posted { settles, ..posted });
    }

    pub(super) fn post(&mut self, notice: Notice) {
        self.post_settling(Posted { notice, settles: None });
    }

    /// Ends the program with words.
    pub(super) fn fail(&mut self, code: &'static str, text: &str, exit: Exit) {
        self.post(Notice::Error { code, text: SafeText::with_hint(text) });
        self.exit = Some(exit);
    }

    fn tell_progress(&mut self) {
        if !self.session.has_transfers() || self.told_at.elapsed() < PROGRESS {
            return;
        }
        self.told_at = Instant::now();
        for info in self.transfers() {
            let told = self.told.insert(info.transfer, info.bytes);
            if info.state == "running" && told != Some(info.bytes) {
                self.post(Notice::Progress {
                    transfer: info.transfer,
                    bytes: info.bytes,
                    total: info.total,
                    files: info.files_done,
                });
            }
        }
    }
}
