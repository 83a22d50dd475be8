//! The owner: one thread that holds the session and never waits for the peer, for bulk or for a screen.
//!
//! What it does wait for is short and local: the file of known peers at a meeting, a `stat` at `/send`, a greeting of a hundred
//! bytes into an empty socket buffer.
//!
//! 1. A happening comes in: from the link, the input, a worker, the door, a dialling thread, a signal.
//! 2. It becomes one call of the session (or, for credit, of a worker's handle).
//! 3. The session's actions are carried out in order (`actions.rs`), until there are none.

use super::Setup;
use super::callers::Strangers;
use super::who::Facts;
use crate::buffer::{OutChunk, Pool};
use crate::channel::Code;
use crate::connect::Opened;
use crate::connect::dial::{DialError, Dialler, Wake};
use crate::connect::door::{Door, Knock};
use crate::exit::Exit;
use crate::frame::{Greeting, Intent, TransferId};
use crate::link::{Link, LinkEvent, Parts};
use crate::notice::{Input, Notice, Posted};
use crate::safe::SafeText;
use crate::session::{Fault, Loss, Session};
use crate::transfer::receive::{Download, DownloadReport};
use crate::transfer::send::{Upload, UploadReport};
use crate::transfer::window::Window;
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
pub(crate) enum Happening {
    /// From the connection of this number.
    Link(u64, LinkEvent),
    /// From the user.
    Input(Input),
    /// The face has written what settles this.
    Settled(u64),
    /// From an upload of the session of this number.
    Upload(u64, TransferId, UploadReport),
    /// From a download of the session of this number.
    Download(u64, TransferId, DownloadReport),
    /// From the door.
    Knock(Knock),
    /// From the dialling thread of the session of this number.
    Dialled(u64, Result<Box<Opened>, DialError>),
    /// Why dialling again goes on without success, when that is news.
    Redialling(u64, String),
    /// SIGINT, SIGTERM or SIGHUP.
    Signal(Exit),
    /// The input has something to say itself.
    Report(Notice),
    /// The face cannot show anything any more, and why, if that is worth a word.
    FaceBroke(Option<String>),
}

/// Which side this is.
pub(crate) enum Role {
    /// It dials.
    Dial { dialler: Dialler, wake: Arc<Wake>, wait: bool },
    /// It listens.
    Listen { door: Door, code: Option<Arc<Code>>, keep: bool },
}

/// See the module.
pub(crate) struct Owner {
    pub(super) setup: Setup,
    pub(super) role: Role,
    happenings: Receiver<Happening>,
    /// Taken from the channel while a link was ended; they come first.
    backlog: VecDeque<Happening>,
    notices: Sender<Posted>,
    begun: Instant,
    pub(super) session: Session,
    /// Counts the sessions of this program, so that late reports of an earlier one are known as such.
    pub(super) number: u64,
    pub(super) id: [u8; 16],
    pub(super) peer: Option<Facts>,
    pub(super) link: Option<Link>,
    epoch: u64,
    /// When the present or last link began.
    pub(super) linked_at: Instant,
    /// A session of the same peer takes the place of this one, which is lost.
    pub(super) replacing: bool,
    /// A session that was replaced had lines that were not delivered.
    pub(super) lost_lines: bool,
    pub(super) window: Arc<Window>,
    pub(super) chunks: Arc<Pool<OutChunk>>,
    pub(super) uploads: HashMap<TransferId, Upload>,
    pub(super) downloads: HashMap<TransferId, Download>,
    /// What is added to a sequence number to tell the face's tickets of several sessions apart.
    ticket_base: u64,
    told: HashMap<u32, u64>,
    told_at: Instant,
    pub(super) strangers: Strangers,
    pub(super) signal: Option<Exit>,
    pub(super) exit: Option<Exit>,
    /// Why the face broke.
    broken: Option<String>,
}

impl Owner {
    pub(crate) fn new(setup: Setup, role: Role, happenings: Receiver<Happening>, notices: Sender<Posted>) -> Self {
        let session = Session::new(setup.rules.clone(), 1);
        Self {
            setup,
            role,
            happenings,
            backlog: VecDeque::new(),
            notices,
            begun: Instant::now(),
            session,
            number: 1,
            id: [0; 16],
            peer: None,
            link: None,
            epoch: 0,
            linked_at: Instant::now(),
            replacing: false,
            lost_lines: false,
            window: Arc::new(Window::new()),
            chunks: Arc::new(Pool::new(CHUNKS_KEPT)),
            uploads: HashMap::new(),
            downloads: HashMap::new(),
            ticket_base: 0,
            told: HashMap::new(),
            told_at: Instant::now(),
            strangers: Strangers::default(),
            signal: None,
            exit: None,
            broken: None,
        }
    }

    /// Runs until the conversation is over.
    ///
    /// # Errors
    /// With words for the user, when the face broke.
    pub(crate) fn run(mut self) -> Result<Exit, String> {
        self.dial();
        let exit = loop {
            if let Some(exit) = self.exit {
                break exit;
            }
            let happening = self.next();
            self.session.at(self.begun.elapsed());
            if let Some(happening) = happening {
                self.happen(happening);
            }
            self.session.tick();
            self.perform();
            self.tell_progress();
        };
        self.end_link();
        match self.role {
            Role::Dial { wake, .. } => wake.stop(),
            Role::Listen { door, .. } => door.close(),
        }
        // Threads that still want to tell something find the channel closed, and end.
        self.broken.map_or(Ok(exit), Err)
    }

    fn next(&mut self) -> Option<Happening> {
        if let Some(happening) = self.backlog.pop_front() {
            return Some(happening);
        }
        let now = self.begun.elapsed();
        let deadline = self.session.deadline().map(|deadline| deadline.saturating_sub(now));
        let progress = self.session.has_transfers().then(|| PROGRESS.saturating_sub(self.told_at.elapsed()));
        match [deadline, progress].into_iter().flatten().min() {
            None => self.happenings.recv().ok(),
            Some(wait) => self.happenings.recv_timeout(wait).ok(),
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Link(epoch, event) if epoch == self.epoch && self.link.is_some() => self.link_event(event),
            Happening::Upload(number, transfer, report) if number == self.number => {
                self.session.upload(transfer, report);
            }
            Happening::Download(number, transfer, report) if number == self.number => {
                self.session.download(transfer, report);
            }
            Happening::Link(..) | Happening::Upload(..) | Happening::Download(..) => {}
            Happening::Input(input) => {
                if let Role::Dial { wake, .. } = &self.role {
                    wake.now();
                }
                self.session.input(input);
            }
            Happening::Settled(ticket) => {
                if let Some(seq) = ticket.checked_sub(self.ticket_base).filter(|seq| *seq > 0) {
                    self.session.settled(seq);
                }
            }
            Happening::Knock(knock) => self.knock(knock),
            Happening::Dialled(number, result) if number == self.number => self.dialled(result),
            Happening::Redialling(number, words) if number == self.number && self.session.is_lost() => {
                self.post(Notice::Warning(SafeText::with_hint(&words)));
            }
            Happening::Dialled(..) | Happening::Redialling(..) => {}
            Happening::Signal(signal) => {
                self.signal = Some(signal);
                self.session.signal();
            }
            Happening::Report(notice) => self.post(notice),
            Happening::FaceBroke(words) => {
                self.broken = words;
                self.session.leave_now();
            }
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        let result = match event {
            LinkEvent::Control(seq, control) => self.session.control(seq, control),
            LinkEvent::Ack(seq) => self.session.acknowledged(seq),
            LinkEvent::Credit(transfer, durable, limit) => {
                if let Some(upload) = self.uploads.get(&transfer) {
                    upload.credit(durable, limit);
                }
                Ok(())
            }
            LinkEvent::Restart(transfer, position, limit) => match (self.uploads.get(&transfer), &self.link) {
                (Some(upload), Some(link)) => {
                    upload.restart(Arc::clone(link.outbox()), position, limit).map_err(Fault::from)
                }
                _ => Ok(()),
            },
            LinkEvent::TooMuch(transfer) => {
                self.session.too_much(transfer);
                Ok(())
            }
            LinkEvent::Listed(transfer, list) => {
                self.session.listed(transfer, list);
                Ok(())
            }
            LinkEvent::Ended(loss) => {
                self.lose(loss);
                Ok(())
            }
        };
        if let Err(fault) = result {
            self.lose(Loss::Fault(fault));
        }
    }

    /// The connection is over; the session may go on.
    pub(super) fn lose(&mut self, loss: Loss) {
        self.end_link();
        if !matches!(loss, Loss::Fault(_)) {
            self.hear_out();
        }
        self.session.lost(loss);
        self.perform();
        if self.session.is_lost() && !self.session.is_over() {
            self.dial();
        }
    }

    /// Ends the link and waits for its threads, taking what they still have to tell.
    pub(super) fn end_link(&mut self) {
        let Some(link) = self.link.take() else { return };
        for upload in self.uploads.values() {
            upload.disconnected();
        }
        link.close();
        while !link.is_finished() {
            match self.happenings.recv_timeout(Duration::from_millis(1)) {
                Ok(happening) => self.backlog.push_back(happening),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // What the old reader brought to its end counts as open, and is named by RESTART.
        self.window.disconnected();
    }

    /// What the ended link told before its end still counts: the window has taken note of it already, and the peer will not
    /// send again what it says is received.
    fn hear_out(&mut self) {
        self.backlog.extend(self.happenings.try_iter());
        let epoch = self.epoch;
        let told = |happening: &Happening| matches!(happening, Happening::Link(number, _) if *number == epoch);
        let (late, others) = std::mem::take(&mut self.backlog).into_iter().partition(told);
        self.backlog = others;
        let late: VecDeque<Happening> = late;
        let number = self.number;
        for happening in late {
            if self.session.is_over() || self.number != number {
                return;
            }
            match happening {
                Happening::Link(_, LinkEvent::Ended(_)) => {}
                Happening::Link(_, event) => self.link_event(event),
                _ => {}
            }
        }
    }

    /// Starts a link on an opened connection.
    pub(super) fn start_link(&mut self, opened: Opened) -> std::io::Result<()> {
        self.end_link();
        self.epoch += 1;
        self.linked_at = Instant::now();
        let epoch = self.epoch;
        let happen = self.setup.happen.clone();
        let Opened { stream, channel, .. } = opened;
        let parts = Parts {
            stream,
            sealer: channel.sealer,
            opener: channel.opener,
            window: Arc::clone(&self.window),
            chunks: Arc::clone(&self.chunks),
        };
        let link = Link::start(parts, move |event| {
            let _ = happen.send(Happening::Link(epoch, event));
        })?;
        self.link = Some(link);
        Ok(())
    }

    /// What this side says first.
    pub(super) fn greeting(&self, intent: Intent) -> Greeting {
        Greeting {
            intent,
            session: self.id,
            received: self.session.received(),
            patience: self.setup.rules.patience,
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
        self.window = Arc::new(Window::new());
        self.setup.gate.set_shut(false);
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
