//! The stage: session, window and the peer's side of the story.

use super::worker::Worker;
use crate::fuzz::Bytes;
use crate::fuzz::{encoded, list_seeds};
use crate::net::buffer::TAG;
use crate::net::connection::{self, ConnectionEvent};
use crate::net::send_queue::SendQueue;
use crate::notice::{Input, Notice, Posted, Trust};
use crate::protocol::frame::{
    ByeReason, CHUNK_DATA, Control, FILE_END_WEIGHT, FileStatus, Frame, LIST_BYTES, OPEN_TRANSFERS, Offer, Position,
    RECONNECT_FOREVER, Reason, TransferId, UNACKNOWLEDGED_BYTES, UNACKNOWLEDGED_FRAMES,
};
use crate::session::{AcceptRule, Action, DisconnectReason, PeerContext, ProtocolError, QUEUE_MOST, Rules, Session};
use crate::text::PeerText;
use crate::transfer::download::OnClash;
use crate::transfer::flow_control::ReceiveWindow;
use crate::transfer::manifest::{self, Manifest};
use crate::transfer::upload::UploadReport;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What may events_in next, by its byte modulo [`op::COUNT`]; 1 is a frame of any bytes.
pub(super) mod op {
    pub(in crate::fuzz) const LINE: u8 = 0;
    pub(in crate::fuzz) const OFFER: u8 = 2;
    pub(in crate::fuzz) const LIST: u8 = 3;
    pub(in crate::fuzz) const DATA: u8 = 4;
    pub(in crate::fuzz) const ANSWER: u8 = 5;
    pub(in crate::fuzz) const ACK: u8 = 6;
    pub(in crate::fuzz) const BYE: u8 = 7;
    pub(in crate::fuzz) const CREDIT: u8 = 8;
    pub(in crate::fuzz) const TYPE: u8 = 9;
    pub(in crate::fuzz) const SETTLE: u8 = 10;
    pub(in crate::fuzz) const WORK: u8 = 11;
    pub(in crate::fuzz) const UPLOAD: u8 = 12;
    pub(in crate::fuzz) const TIME: u8 = 13;
    pub(in crate::fuzz) const LOSE: u8 = 14;
    pub(in crate::fuzz) const RESUME: u8 = 15;
    pub(in crate::fuzz) const COUNT: u8 = 16;
}

/// What the user may type.
const TYPED: [&str; 14] = [
    "hello",
    "/accept",
    "/decline",
    "/cancel",
    "/accept 2",
    "/send a",
    "/quit",
    "/transfers",
    "/verify",
    "/peer",
    "/transfers 1",
    "/cancel 1",
    "/me waves",
    "/nonsense",
];

/// What the peer sends for a transfer of its own.
struct Offered {
    list: Vec<u8>,
    files: Option<Manifest>,
    /// What an honest peer would send next.
    position: Position,
    file: usize,
}

pub(super) struct Play<'a> {
    bytes: Bytes<'a>,
    rule: AcceptRule,
    session: Session,
    window: Arc<ReceiveWindow>,
    send_queue: Arc<SendQueue>,
    now: Duration,
    up: bool,
    over: bool,
    hung_up: bool,
    lists: Vec<Vec<u8>>,
    /// The highest number the peer used, and the one that it would use next.
    peer_seq: u64,
    last_offer: TransferId,
    offered: BTreeMap<TransferId, Offered>,
    own_seq: u64,
    /// Messages that the face has not written.
    unsettled: VecDeque<u64>,
    acknowledged: u64,
    workers: BTreeMap<TransferId, Worker>,
    uploads: BTreeSet<TransferId>,
    /// `/accept` typed, and downloads that went on.
    consents: usize,
    accepted: usize,
    verified: bool,
    /// Input has to wait.
    gate_shut: bool,
    /// Local numbers of transfers that ended.
    ended: BTreeSet<u32>,
}

impl<'a> Play<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        let mut bytes = Bytes::new(data);
        let choice = bytes.byte();
        let rule = match choice % 4 {
            0 => AcceptRule::Ask,
            1 => AcceptRule::Always,
            2 => AcceptRule::Verified,
            _ => AcceptRule::Never,
        };
        let rules = Rules {
            accept: rule,
            on_clash: OnClash::Rename,
            stay: choice & 4 != 0,
            interactive: choice & 8 != 0,
            reconnect_timeout: if choice & 16 != 0 { 3 } else { RECONNECT_FOREVER },
        };
        let mut session = Session::new(rules, 1);
        let with =
            PeerContext { label: PeerText::new("peer"), trust: Trust::New, reconnect_timeout: RECONNECT_FOREVER };
        session.connected(with, Notice::Status("connected".into()));
        let (window, send_queue) = (Arc::new(ReceiveWindow::new()), Arc::new(SendQueue::new()));
        window.connected(Arc::clone(&send_queue));
        let mut play = Self {
            bytes,
            rule,
            session,
            window,
            send_queue,
            now: Duration::ZERO,
            up: true,
            over: false,
            hung_up: false,
            lists: list_seeds(),
            peer_seq: 0,
            last_offer: 0,
            offered: BTreeMap::new(),
            own_seq: 0,
            unsettled: VecDeque::new(),
            acknowledged: 0,
            workers: BTreeMap::new(),
            uploads: BTreeSet::new(),
            consents: 0,
            accepted: 0,
            verified: false,
            gate_shut: false,
            ended: BTreeSet::new(),
        };
        play.perform();
        play
    }

    /// One thing happens; false when the input or the session is at its end.
    pub(super) fn step(&mut self) -> bool {
        if self.bytes.is_empty() || self.over {
            return false;
        }
        let op = self.bytes.pick(op::COUNT);
        if self.up && op <= op::CREDIT {
            self.peer(op);
        } else {
            self.own(op);
        }
        self.perform();
        self.check();
        true
    }

    /// Whatever happened, two signals end it.
    pub(super) fn finish(&mut self) {
        for _ in 0..2 {
            if !self.over {
                self.session.signal();
                self.perform();
            }
        }
        assert!(self.over && self.session.is_over());
    }

    fn peer(&mut self, op: u8) {
        let frame = match op {
            op::LINE => {
                let text = self.bytes.text(64);
                // Now and then the longest, so that bytes count as well as frames.
                let text = if text.len() == 63 { "x".repeat(crate::protocol::frame::LINE_TEXT) } else { text };
                self.control(Control::Line { action: false, text })
            }
            op::OFFER => self.offer(),
            op::LIST => self.list(),
            op::DATA => self.data(),
            op::ANSWER => self.answer(),
            op::BYE => {
                let reason = if self.bytes.flag() { ByeReason::InputEnded } else { ByeReason::Quit };
                self.control(Control::Bye { reason })
            }
            op::ACK => {
                let back = u64::from(self.bytes.byte());
                let seq = if back == 255 { self.bytes.u64() } else { self.own_seq.saturating_sub(back) };
                encoded(&Frame::Ack(seq))
            }
            op::CREDIT => {
                let transfer = self.bytes.byte().into();
                let (durable, limit) = (self.bytes.u16().into(), self.bytes.u32().into());
                if self.bytes.flag() {
                    encoded(&Frame::Restart { transfer, position: durable, limit })
                } else {
                    encoded(&Frame::Credit { transfer, durable, limit })
                }
            }
            _ => {
                let length = usize::from(self.bytes.byte());
                self.bytes.slice(length).to_vec()
            }
        };
        self.receive(&frame);
    }

    fn own(&mut self, op: u8) {
        match op {
            op::TYPE => {
                let choice = self.bytes.pick(18);
                if self.gate_shut && choice < 14 {
                    return;
                }
                match TYPED.get(usize::from(choice)) {
                    Some(line) => {
                        self.consents += usize::from(line.starts_with("/accept"));
                        self.session.input(Input::Line((*line).to_owned()));
                    }
                    None if choice == 14 => self.session.input(Input::Ended),
                    None if choice == 15 => self.session.signal(),
                    None if choice == 16 => self.session.leave_now(),
                    None if self.gate_shut => {}
                    None => self.session.input(Input::Line("y".repeat(self.bytes.u16().into()))),
                }
            }
            op::SETTLE => {
                let count = usize::from(self.bytes.byte()) + 1;
                if let Some(seq) = self.unsettled.drain(..count.min(self.unsettled.len())).next_back() {
                    self.session.settled(seq);
                }
            }
            op::WORK => self.work(),
            op::UPLOAD => self.upload(),
            op::TIME => {
                self.now += Duration::from_millis(self.bytes.u16().into());
                self.session.at(self.now);
                self.session.tick();
            }
            op::LOSE if self.up => {
                let loss = match self.bytes.pick(4) {
                    0 => DisconnectReason::Closed,
                    1 => DisconnectReason::Truncated,
                    2 => DisconnectReason::Tampered,
                    _ => DisconnectReason::Replaced,
                };
                self.lose(loss);
            }
            op::RESUME if !self.up && self.session.is_lost() => self.resume(),
            _ => {}
        }
    }

    /// A frame with the next number, mostly.
    fn control(&mut self, control: Control) -> Vec<u8> {
        let seq = match self.bytes.byte() {
            255 => self.bytes.u64(),
            254 => self.peer_seq,
            253 => self.peer_seq.wrapping_add(2),
            _ => self.peer_seq + 1,
        };
        if seq == self.peer_seq + 1 {
            self.peer_seq = seq;
        }
        encoded(&Frame::Control { seq, control })
    }

    fn offer(&mut self) -> Vec<u8> {
        let skip = u32::from(self.bytes.byte() / 128);
        let transfer = self.last_offer.saturating_add(1).saturating_add(skip);
        let choice = self.bytes.byte();
        let bytes = match self.lists.get(usize::from(choice)) {
            Some(bytes) => bytes.clone(),
            None => self.bytes.slice(usize::from(choice)).to_vec(),
        };
        let files = manifest::read(&bytes).ok();
        let mut offer = files.as_ref().map(|list| list.offer(&bytes)).unwrap_or(Offer {
            files: 1,
            folders: 0,
            bytes: 1,
            list: u32::try_from(bytes.len()).unwrap_or(1).max(1),
            digest: *blake3::hash(&bytes).as_bytes(),
        });
        match choice {
            250 => offer.list = LIST_BYTES,
            251 => offer.files = self.bytes.u32(),
            252 => offer.bytes = self.bytes.u64() >> 1,
            _ => {}
        }
        self.last_offer = transfer;
        self.offered.insert(transfer, Offered { list: bytes, files, position: 0, file: 0 });
        self.control(Control::Offer { transfer, offer })
    }

    /// A chunk of the list of the last offer, mostly the right one.
    fn list(&mut self) -> Vec<u8> {
        let twist = self.bytes.byte();
        let transfer = if twist == 255 { self.bytes.u32() } else { self.last_offer };
        let Some(offered) = self.offered.get_mut(&transfer) else {
            return encoded(&Frame::Chunk { transfer, position: 0, data: vec![0] });
        };
        let start = usize::try_from(offered.position).unwrap_or(usize::MAX).min(offered.list.len());
        let data = offered.list.get(start..).unwrap_or_default();
        let data = data.get(..CHUNK_DATA).unwrap_or(data).to_vec();
        let position = offered.position;
        offered.position += Position::try_from(data.len()).unwrap_or(0);
        encoded(&Frame::Chunk { transfer, position, data })
    }

    /// What an honest peer would send next for one of its transfers, mostly.
    fn data(&mut self) -> Vec<u8> {
        let twist = self.bytes.byte();
        let back = u32::from(twist & 3);
        let transfer = self.last_offer.saturating_sub(back);
        let stray = Frame::Chunk { transfer, position: 0, data: vec![1] };
        let Some(offered) = self.offered.get_mut(&transfer) else { return encoded(&stray) };
        let Some(file) = offered.files.as_ref().and_then(|list| list.file(offered.file)) else {
            return encoded(&stray);
        };
        let mut position = offered.position.max(file.start);
        let left = file.end().saturating_sub(position);
        let status = match twist >> 2 & 15 {
            0 => Some(FileStatus::Changed),
            1 => Some(FileStatus::Unreadable),
            _ if left == 0 => Some(FileStatus::Whole),
            _ => None,
        };
        let next = match status {
            Some(_) => file.end() + FILE_END_WEIGHT,
            None => position + left.min(Position::try_from(CHUNK_DATA).unwrap_or(0)),
        };
        let mut length = usize::try_from(next - position).unwrap_or(0).min(CHUNK_DATA);
        match twist >> 2 & 15 {
            15 => position = self.bytes.u64() >> 1,
            14 => length = usize::from(self.bytes.byte()),
            _ => {
                offered.position = next;
                offered.file += usize::from(status.is_some());
            }
        }
        match status {
            Some(status) => encoded(&Frame::FileEnd { transfer, position, status, digest: [0; 32] }),
            None => encoded(&Frame::Chunk { transfer, position, data: vec![0; length] }),
        }
    }

    fn answer(&mut self) -> Vec<u8> {
        let (kind, transfer) = (self.bytes.pick(6), u32::from(self.bytes.byte()));
        let text = || "\u{1b}[2Jwhy".to_owned();
        let control = match kind {
            0 => Control::Accept { transfer, position: self.bytes.u16().into(), digest: [0; 32] },
            1 => Control::Decline { transfer, reason: Reason::User, text: text() },
            2 => Control::Cancel { transfer, reason: Reason::User, text: text(), by_offerer: true },
            3 => Control::Complete { transfer, files: 1, failed: u32::from(self.bytes.byte() / 128) },
            4 => Control::Cancel { transfer, reason: Reason::Io, text: text(), by_offerer: false },
            _ => Control::Cancel { transfer, reason: Reason::Confirmed, text: String::new(), by_offerer: true },
        };
        self.control(control)
    }

    /// As the reader thread does, and then the owner.
    fn receive(&mut self, frame: &[u8]) {
        let mut record = self.window.records().take(frame.len() + TAG);
        if let Some(room) = record.bytes_mut().get_mut(..frame.len()) {
            room.copy_from_slice(frame);
        }
        let events = RefCell::new(Vec::new());
        let received =
            connection::received(record, &self.send_queue, &self.window, &|event| events.borrow_mut().push(event));
        for event in events.into_inner() {
            let handled = match event {
                ConnectionEvent::Control(seq, control) => self.session.control(seq, control),
                ConnectionEvent::Ack(seq) => self.session.acknowledged(seq),
                ConnectionEvent::TooMuch(transfer) => {
                    self.session.too_much(transfer);
                    Ok(())
                }
                ConnectionEvent::Listed(transfer, list) => {
                    self.session.listed(transfer, list);
                    Ok(())
                }
                ConnectionEvent::Credit(..) | ConnectionEvent::Restart(..) | ConnectionEvent::Alive => Ok(()),
                ConnectionEvent::Ended(_) => panic!("the reader ends by its result"),
            };
            if let Err(fault) = handled {
                return self.lose(DisconnectReason::ProtocolError(fault));
            }
            self.perform();
        }
        if let Err(fault) = received {
            self.lose(DisconnectReason::ProtocolError(fault));
        }
    }

    fn lose(&mut self, loss: DisconnectReason) {
        let is_fault = matches!(loss, DisconnectReason::ProtocolError(_));
        assert!(!matches!(loss, DisconnectReason::ProtocolError(ProtocolError::Position(_))));
        self.up = false;
        self.window.disconnected();
        self.session.lost(loss);
        self.perform();
        assert!(!is_fault || self.over, "a fault of the peer ends the session");
    }

    fn resume(&mut self) {
        // The peer may say anything; an honest one would say what it has.
        let claimed = if self.bytes.flag() { self.own_seq } else { u64::from(self.bytes.byte()) };
        self.send_queue = Arc::new(SendQueue::new());
        self.up = true;
        match self.session.resumed(claimed) {
            Ok(()) => {
                self.perform();
                self.window.resumed(Arc::clone(&self.send_queue));
            }
            Err(fault) => self.lose(DisconnectReason::ProtocolError(fault)),
        }
    }

    fn work(&mut self) {
        let (choice, place) = (self.bytes.pick(8), usize::from(self.bytes.byte()));
        let count = self.workers.len().max(1);
        let window = Arc::clone(&self.window);
        if let Some((&transfer, worker)) = self.workers.iter_mut().nth(place % count)
            && let Some(report) = worker.work(choice, &window)
        {
            self.session.download(transfer, report);
        }
    }

    fn upload(&mut self) {
        let kind = self.bytes.pick(6);
        let Some(&transfer) = self.uploads.iter().nth(usize::from(self.bytes.byte()) % self.uploads.len().max(1))
        else {
            return;
        };
        let report = match kind {
            0..=2 => UploadReport::Scanned {
                offer: Offer { files: 1, folders: 0, bytes: 1, list: 40, digest: [0; 32] },
                name: "a".into(),
                more: 0,
                skipped: vec![("b".into(), "no file".into()); 30],
            },
            3 => UploadReport::FileSent { path: PathBuf::from("a"), bytes: 1, digest: [0; 32] },
            4 => UploadReport::Unsendable { code: "no-such-file", text: "gone".into() },
            _ => UploadReport::Finished,
        };
        self.session.upload(transfer, report);
    }

    /// Carries out what the session wants, as the owner would.
    fn perform(&mut self) {
        loop {
            let actions = self.session.actions();
            if actions.is_empty() {
                return;
            }
            actions.into_iter().for_each(|action| self.act(action));
        }
    }

    fn act(&mut self, action: Action) {
        assert!(!self.over, "after the end comes {action:?}");
        match action {
            Action::Control(seq, control) => {
                assert!(seq <= self.own_seq + 1, "numbers have no gap");
                self.own_seq = self.own_seq.max(seq);
                self.send_queue.control(seq, control);
            }
            Action::Ack(seq) => {
                assert!(seq <= self.peer_seq && seq >= self.acknowledged);
                assert!(self.unsettled.front().is_none_or(|first| seq < *first), "acknowledged and not written");
                self.acknowledged = seq;
                self.send_queue.ack(seq);
            }
            Action::Notice(posted) => self.notice(posted),
            Action::Scan(transfer, _) => assert!(self.uploads.insert(transfer)),
            Action::DropUpload(transfer) => {
                self.uploads.remove(&transfer);
            }
            Action::StartDownload(transfer, offer, list) => {
                let worker = Worker::new(transfer, offer, list, &self.window);
                assert!(self.workers.insert(transfer, worker).is_none(), "a number is used once");
            }
            Action::AcceptDownload(transfer, ..) => {
                self.accepted += 1;
                if let Some(worker) = self.workers.get_mut(&transfer) {
                    worker.accept();
                }
            }
            Action::OpenWindow(transfer, opening) => self.window.open(transfer, opening),
            Action::StopDownload(transfer) => {
                self.window.ending(transfer);
                self.workers.remove(&transfer);
            }
            Action::ForgetDownload(transfer) => {
                self.window.closed(transfer);
                self.workers.remove(&transfer);
            }
            Action::MarkVerified => {
                self.verified = true;
                self.session.marked(Trust::Verified);
            }
            Action::PauseInput(shut) => self.gate_shut = shut,
            Action::Hangup => {
                assert!(!self.hung_up, "it hangs up once");
                self.hung_up = true;
            }
            Action::Over(_) => self.over = true,
            Action::BeginUpload(_)
            | Action::UploadAccepted(..)
            | Action::UploadComplete(_)
            | Action::ShowPeer
            | Action::ShowTransfers
            | Action::ShowNames(..)
            | Action::Clear
            | Action::Drop => {}
        }
    }

    fn notice(&mut self, posted: Posted) {
        self.unsettled.extend(posted.settles);
        let ended = match posted.notice {
            Notice::Declined { transfer, .. }
            | Notice::Cancelled { transfer, .. }
            | Notice::Done { transfer, .. }
            | Notice::Failed { transfer, path: None, .. } => transfer,
            _ => return,
        };
        assert!(self.ended.insert(ended), "transfer {ended} ended twice");
    }

    fn check(&mut self) {
        let held = self.session.held();
        assert!(held.unacknowledged <= UNACKNOWLEDGED_FRAMES);
        assert!(held.pending <= UNACKNOWLEDGED_FRAMES);
        assert!(held.pending_bytes < UNACKNOWLEDGED_BYTES + crate::protocol::frame::FRAME);
        // A worker has a few answers left when the peer is already told to wait.
        assert!(held.queued <= QUEUE_MOST + 4 * OPEN_TRANSFERS, "{} frames wait", held.queued);
        assert!(self.unsettled.len() <= UNACKNOWLEDGED_FRAMES);
        match self.rule {
            AcceptRule::Ask => assert!(self.accepted <= self.consents, "nobody accepted that"),
            AcceptRule::Never => assert_eq!(self.accepted, 0),
            AcceptRule::Verified => assert!(self.accepted == 0 || self.verified),
            AcceptRule::Always => {}
        }
        // What a writer would take; the ping is there so that this never waits.
        self.send_queue.ping(0);
        while let Some(batch) = self.send_queue.take(0) {
            if batch.frames.iter().all(|frame| matches!(frame, Frame::Ping(_))) {
                break;
            }
            self.send_queue.ping(0);
        }
    }
}
