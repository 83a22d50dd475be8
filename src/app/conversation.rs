//! Everything about one peer: the session, what is known of the peer, the send queue of its connection, and the workers.
//!
//! Nothing of a session lies outside; a listener that goes on with the next peer makes a new one.
//!
//! 1. A call tells what happened: a connection began or ended, a frame came, a worker reported, a person typed.
//! 2. The session decides; [`Conversation::carry_out`] does what it wants done on the send queue, the flow control and the workers.

use super::incoming::ConnectionEvent;
use super::peer_policy::PeerInfo;
use crate::net::connection::Connection;
use crate::net::roaming::{Announcement, PeerAddrs};
use crate::net::send_queue::SendQueue;
use crate::notice::{Direction, Info, Notice, TransferState, Trust};
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{Addrs, FEATURE_ADDRS, FEATURE_ZCHUNK, Frame, Greeting, Intent, TransferId};
use crate::session::{Action, PeerContext, Rules, Session};
use crate::transfer::download::Downloads;
use crate::transfer::flow_control::FlowControl;
use crate::transfer::upload::Uploads;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often progress is reported while transfers run.
const PROGRESS: Duration = Duration::from_millis(250);
/// What this program can do beyond the least of the protocol.
const FEATURES: u32 = FEATURE_ADDRS | FEATURE_ZCHUNK;

/// The threads of uploads and downloads.
pub(super) struct Workers {
    pub(super) uploads: Uploads,
    pub(super) downloads: Downloads,
}

pub(super) struct Conversation {
    pub(super) number: u64,
    pub(super) session: Session,
    /// The session's id on the wire.
    pub(super) id: [u8; 16],
    /// What both sides of the session can do.
    features: u32,
    pub(super) peer: Option<PeerInfo>,
    /// What this side, which listens, told of its addresses; none where the peer takes none.
    announcement: Option<Announcement>,
    /// What the peer told of its own; none where it must tell nothing.
    peer_addrs: Option<PeerAddrs>,
    pub(super) flow: Arc<FlowControl>,
    pub(super) connection: Option<Connection>,
    pub(super) workers: Option<Workers>,
    /// Bytes of each transfer at the last report of progress, and when that was.
    reported: HashMap<TransferId, u64>,
    reported_at: Duration,
}

impl Conversation {
    /// Waits for its peer.
    pub(super) fn new(number: u64, session: Session) -> Self {
        Self {
            number,
            session,
            id: [0; 16],
            features: 0,
            peer: None,
            announcement: None,
            peer_addrs: None,
            flow: Arc::default(),
            connection: None,
            workers: None,
            reported: HashMap::new(),
            reported_at: Duration::ZERO,
        }
    }

    /// What this side says first, in a session of this id.
    pub(super) fn greeting(&self, intent: Intent, session: [u8; 16], rules: &Rules, name: &str) -> Greeting {
        Greeting {
            intent,
            session,
            received: if intent == Intent::Resume { self.session.received() } else { 0 },
            features: FEATURES,
            next_transfer: self.session.next_transfer(),
            reconnect_timeout: rules.reconnect_timeout,
            name: name.to_owned(),
        }
    }

    /// A new session has its first connection. When there was one before with this peer, the new one takes over what it left.
    /// `initiator`: this side dialled; `notice` tells the user.
    pub(super) fn begin(&mut self, peer: PeerInfo, greeting: &Greeting, initiator: bool, notice: Notice) {
        let context = PeerContext {
            label: peer.label(),
            trust: peer.recorded.trust,
            reconnect_timeout: greeting.reconnect_timeout,
            next_transfer: greeting.next_transfer,
            initiator,
        };
        self.id = greeting.session;
        self.features = greeting.features & FEATURES;
        let addrs = self.features & FEATURE_ADDRS != 0;
        self.announcement = (addrs && !initiator).then(Announcement::default);
        self.peer_addrs = (addrs && initiator).then(PeerAddrs::default);
        self.peer = Some(peer);
        if let Some(queue) = self.attach() {
            self.flow.connected(queue);
        }
        self.session.connected(context, notice);
    }

    /// The session has a connection again; the peer holds all frames up to `received`.
    ///
    /// # Errors
    /// When `received` cannot be.
    pub(super) fn resume(&mut self, received: u64, addr: SocketAddr) -> Result<(), ProtocolError> {
        if let Some(peer) = &mut self.peer {
            peer.moved(addr);
        }
        self.attach();
        self.session.resumed(received)
    }

    fn queue(&self) -> Option<&Arc<SendQueue>> {
        self.connection.as_ref().map(Connection::send_queue)
    }

    /// What each connection begins with.
    fn attach(&mut self) -> Option<Arc<SendQueue>> {
        self.announcement = self.announcement.take().map(|_| Announcement::default());
        if let Some(peer_addrs) = &mut self.peer_addrs {
            peer_addrs.connected();
        }
        let queue = self.queue()?;
        if self.features & FEATURE_ZCHUNK != 0 {
            queue.allow_zchunks();
        }
        if let Some(workers) = &self.workers {
            workers.uploads.connected(Arc::clone(queue));
        }
        Some(Arc::clone(queue))
    }

    /// Sends the peer this side's addresses, if it takes them and they are news.
    pub(super) fn announce(&mut self, now: Duration, addrs: impl FnOnce() -> Addrs) {
        if let (Some(announcement), Some(connection)) = (&mut self.announcement, &self.connection) {
            let addrs = addrs();
            if announcement.is_due(now, &addrs.list) {
                connection.send_queue().addrs(addrs);
            }
        }
    }

    /// Where the peer says that it listens.
    pub(super) fn peer_addrs(&self) -> &[SocketAddr] {
        self.peer_addrs.as_ref().map_or(&[], PeerAddrs::latest)
    }

    /// The file of known peers says that the user compared the numbers.
    pub(super) fn verified(&mut self) {
        if let Some(peer) = &mut self.peer {
            peer.recorded.trust = Trust::Verified;
            self.session.marked(Trust::Verified);
        }
    }

    /// The connection and its threads have ended; the session is told by [`Session::lost`].
    pub(super) fn disconnected(&mut self) {
        if let Some(workers) = &self.workers {
            workers.uploads.disconnected();
        }
        self.flow.disconnected();
    }

    /// The program ends: gives the workers a moment.
    pub(super) fn finish(&mut self) {
        if let Some(workers) = &self.workers {
            workers.downloads.finish();
        }
    }

    /// A frame came, other than the end of the connection.
    ///
    /// # Errors
    /// When it breaks a rule.
    pub(super) fn connection_event(&mut self, event: ConnectionEvent) -> Result<(), ProtocolError> {
        match event {
            ConnectionEvent::Frame(Frame::Control { seq, control }) => self.session.control(seq, control)?,
            ConnectionEvent::Frame(Frame::Ack(seq)) => self.session.acknowledged(seq)?,
            ConnectionEvent::Frame(Frame::Restart { transfer, position, digest }) => {
                self.session.peer_restarts(transfer, position, digest)?;
            }
            ConnectionEvent::Frame(Frame::Received { transfer, position }) => {
                self.session.peer_received(transfer, position)?;
            }
            ConnectionEvent::Frame(Frame::Addrs(addrs)) => {
                let now = self.session.now();
                let peer_addrs = self.peer_addrs.as_mut().ok_or(ProtocolError::Unexpected("ADDRS"))?;
                peer_addrs.take(now, addrs.list)?;
            }
            ConnectionEvent::TooMuch(transfer) => self.session.too_much(transfer),
            ConnectionEvent::Listed(transfer, list) => self.session.listed(transfer, list),
            // No other frame comes here, and the rest is the event loop's.
            ConnectionEvent::Frame(_) | ConnectionEvent::Alive | ConnectionEvent::Ended(_) => {}
        }
        Ok(())
    }

    /// Carries out what the session wants done, but for what is the event loop's.
    ///
    /// # Errors
    /// When the peer broke a rule that only a worker can see.
    pub(super) fn carry_out(&mut self, action: Action) -> Result<(), ProtocolError> {
        // Before the first peer there is nothing to do.
        let Some(Workers { uploads, downloads }) = &self.workers else { return Ok(()) };
        match action {
            Action::Control(seq, control) => self.on_queue(|queue| queue.control(seq, control)),
            Action::Ack(seq) => self.on_queue(|queue| queue.ack(seq)),
            Action::Hangup => self.on_queue(SendQueue::finish),
            Action::ResumeFlow => {
                if let Some(queue) = self.queue() {
                    self.flow.resumed(Arc::clone(queue));
                }
            }
            Action::OpenFlow(transfer, start) => self.flow.open(transfer, start),
            Action::EndFlow { transfer, confirmed } => self.flow.end(transfer, confirmed),
            Action::PauseReports(pause) => uploads.pause_reports(pause),
            Action::Scan(transfer, source) => {
                if let Err(report) = uploads.scan(transfer, source) {
                    self.session.upload(transfer, report);
                }
            }
            Action::BeginUpload(transfer) => uploads.begin(transfer),
            Action::UploadAccepted(transfer, position, digest) => uploads.accepted(transfer, position, digest)?,
            Action::UploadRestart(transfer, position, digest) => uploads.restart(transfer, position, digest)?,
            Action::UploadReceived(transfer, position) => uploads.received(transfer, position)?,
            Action::UploadComplete(transfer) => uploads.complete(transfer)?,
            Action::DropUpload(transfer) => uploads.cancel(transfer),
            Action::RenumberUpload { old, new } => uploads.renumber(old, new),
            Action::StartDownload(transfer, offer, list) => {
                if let Err(report) = downloads.look(transfer, offer, list) {
                    self.session.download(transfer, report);
                }
            }
            Action::AcceptDownload(transfer, wanted) => downloads.accept(transfer, wanted),
            Action::CancelDownload { transfer, remove } => downloads.cancel(transfer, remove),
            Action::DownloadAcknowledged(transfer) => downloads.acknowledged(transfer),
            Action::ShowPeer => {
                if let Some(peer) = &self.peer {
                    self.session.post(Notice::Info(Info::Peer(peer.describe(self.session.is_lost()))));
                }
            }
            Action::ShowTransfers => {
                let transfers = self.session.transfers(|direction, transfer| self.moved(direction, transfer));
                self.session.post(Notice::Info(Info::Transfers(transfers)));
            }
            // The others are the event loop's.
            _ => {}
        }
        Ok(())
    }

    fn on_queue(&self, call: impl FnOnce(&SendQueue)) {
        if let Some(queue) = self.queue() {
            call(queue);
        }
    }

    fn moved(&self, direction: Direction, transfer: TransferId) -> (u64, u32) {
        match (direction, &self.workers) {
            (Direction::In, _) => self.flow.progress(transfer),
            (Direction::Out, Some(workers)) => workers.uploads.progress(transfer),
            (Direction::Out, None) => (0, 0),
        }
    }

    /// When [`Conversation::tick`] wants to be called, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let progress = self.session.has_transfers().then(|| self.reported_at + PROGRESS);
        [self.session.deadline(), progress].into_iter().flatten().min()
    }

    /// Time passed, after [`Session::at`]: what is due is done, and progress is reported.
    pub(super) fn tick(&mut self, now: Duration) {
        self.session.tick();
        if !self.session.has_transfers() || now < self.reported_at + PROGRESS {
            return;
        }
        self.reported_at = now;
        for info in self.session.transfers(|direction, transfer| self.moved(direction, transfer)) {
            let before = self.reported.insert(info.transfer, info.bytes);
            if info.state == TransferState::Running && before != Some(info.bytes) {
                self.session.post(Notice::Progress {
                    transfer: info.transfer,
                    bytes: info.bytes,
                    total: info.total,
                    files: info.files_done,
                });
            }
        }
    }
}
