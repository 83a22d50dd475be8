//! The session against itself: two sessions, workers that touch no disk, a network that loses whatever it likes; no socket and no clock.

mod leaving;
mod lines;
mod play;
mod restart;
mod rules;
mod transfers;

use super::*;
use crate::net::connection::DisconnectReason;
use crate::notice::{Input, Question};
use crate::protocol::frame::{ByeReason, NO_DIGEST, Offer, Position, Reason};
use crate::transfer::download::{DownloadReport, Looked, Published, Totals};
use crate::transfer::flow_control::RouteStart;
use crate::transfer::manifest::{self, Manifest};
use crate::transfer::upload::{LeftOut, UploadReport};
use std::collections::VecDeque;
use std::sync::Arc;

/// What travels between the two.
#[derive(Debug, Clone)]
enum Wire {
    Control(u64, Control),
    Ack(u64),
    Begin(TransferId),
    Received(TransferId),
    Restart(TransferId),
}

/// What a worker has to do next.
#[derive(Debug, Clone)]
enum Work {
    Scan(TransferId),
    List(TransferId),
    Look(TransferId),
    Prepare(TransferId),
    Data(TransferId),
    LastReports(TransferId),
}

impl Work {
    fn transfer(&self) -> TransferId {
        match self {
            Self::Scan(transfer)
            | Self::List(transfer)
            | Self::Look(transfer)
            | Self::Prepare(transfer)
            | Self::Data(transfer)
            | Self::LastReports(transfer) => *transfer,
        }
    }

    fn is_upload(&self) -> bool {
        matches!(self, Self::Scan(_) | Self::LastReports(_))
    }
}

/// One side: the session, an event loop with workers, and what its user sees.
struct Side {
    session: Session,
    on_the_way: VecDeque<Wire>,
    work: Vec<Work>,
    /// Downloads that the flow control knows, and whether BEGIN came on this connection.
    flow: BTreeMap<TransferId, bool>,
    notices: Vec<Notice>,
    /// Open questions.
    questions: Vec<(u64, Question)>,
    /// Own lines that were said to be delivered.
    delivered: Vec<u64>,
    /// Text of the messages that are posted.
    posted: Vec<(u64, String)>,
    /// The last notice posted, and the last shown.
    last: u64,
    ended: Option<SessionEnd>,
    hung_up: bool,
    paused: (bool, bool),
    renumbered: Vec<(TransferId, TransferId)>,
    acknowledged_downloads: Vec<TransferId>,
    stopped: Vec<(TransferId, bool)>,
    /// The list that `/send` finds.
    list: Vec<u8>,
}

fn rules(reconnect_timeout: u32) -> Rules {
    Rules { accept: AcceptRule::Ask, stay: false, interactive: false, reconnect_timeout, home: None }
}

fn peer(initiator: bool) -> PeerContext {
    let (label, trust) = (PeerText::new("alice"), Trust::New);
    PeerContext { label, trust, reconnect_timeout: RECONNECT_FOREVER, next_transfer: 1, initiator }
}

fn connected_notice() -> Notice {
    Notice::Status("connected".into())
}

/// A list of one empty file of this name (PROTOCOL.md section 8).
fn list(name: &str) -> Vec<u8> {
    let mut list = vec![1, 0o1, 0o244];
    list.extend([0; 20]);
    list.push(u8::try_from(name.len()).unwrap());
    list.extend(name.as_bytes());
    list
}

fn offer_of(list: &[u8]) -> Offer {
    let digest = *blake3::hash(list).as_bytes();
    Offer { files: 1, folders: 0, bytes: 0, list: u32::try_from(list.len()).unwrap(), digest }
}

fn an_offer() -> Offer {
    offer_of(&list("file"))
}

fn manifest_of(name: &str) -> Arc<Manifest> {
    Arc::new(manifest::read(&list(name)).unwrap())
}

fn looked() -> DownloadReport {
    let manifest = manifest_of("file");
    let (free, recorded_dest, elsewhere) = (Some(1_000), None, None);
    DownloadReport::Looked(Looked { manifest, clashes: 0, free, needed: 10, recorded_dest, elsewhere })
}

fn ready(position: Position) -> DownloadReport {
    let start = RouteStart { manifest: manifest_of("file"), position };
    DownloadReport::Ready { digest: NO_DIGEST, start, part: Some("in/.p2pchat-X".into()) }
}

fn finished() -> DownloadReport {
    DownloadReport::Finished { totals: Totals { path: "file".into(), files: 1, failed: 0, bytes: 0 }, wire_bytes: 0 }
}

impl Side {
    fn new(rules: Rules) -> Self {
        Self::of(Session::new(rules))
    }

    fn of(session: Session) -> Self {
        Self {
            session,
            on_the_way: VecDeque::new(),
            work: Vec::new(),
            flow: BTreeMap::new(),
            notices: Vec::new(),
            questions: Vec::new(),
            delivered: Vec::new(),
            posted: Vec::new(),
            last: 0,
            ended: None,
            hung_up: false,
            paused: (false, false),
            renumbered: Vec::new(),
            acknowledged_downloads: Vec::new(),
            stopped: Vec::new(),
            list: list("file"),
        }
    }

    /// Connected as the responder, so that the peer's offers are odd, and own ones even.
    fn responder(rules: Rules) -> Self {
        let mut side = Self::new(rules);
        side.session.connected(peer(false), connected_notice());
        side.perform();
        side
    }

    /// Carries actions out as the event loop would.
    fn perform(&mut self) {
        for action in self.session.actions() {
            assert_eq!(self.ended, None, "after the end comes {action:?}");
            match action {
                Action::Control(seq, control) => self.on_the_way.push_back(Wire::Control(seq, control)),
                Action::Ack(seq) => self.on_the_way.push_back(Wire::Ack(seq)),
                Action::ResumeFlow => {
                    self.flow.values_mut().for_each(|begun| *begun = false);
                    self.on_the_way.extend(self.flow.keys().copied().map(Wire::Restart));
                }
                Action::Notice(Posted { notice, display_seq, .. }) => {
                    assert_eq!(display_seq, Some(self.last + 1), "{notice:?}");
                    self.last += 1;
                    match &notice {
                        Notice::Message { text, .. } => self.posted.push((self.last, text.raw().to_owned())),
                        Notice::Delivered { id } => self.delivered.push(*id),
                        Notice::Question { id, question } => self.questions.push((*id, question.clone())),
                        Notice::QuestionGone { id } => self.questions.retain(|(other, _)| other != id),
                        _ => {}
                    }
                    self.notices.push(notice);
                }
                Action::PauseInput(paused) => self.paused.0 = paused,
                Action::PauseReports(paused) => self.paused.1 = paused,
                Action::Scan(transfer, _) => self.work.push(Work::Scan(transfer)),
                Action::UploadAccepted(transfer, ..) => self.on_the_way.push_back(Wire::Begin(transfer)),
                Action::UploadRestart(transfer, ..) => {
                    // Before ACCEPT its list goes on.
                    if matches!(self.session.uploads[&transfer].state, uploads::OutState::Running) {
                        self.on_the_way.push_back(Wire::Begin(transfer));
                    }
                }
                Action::UploadComplete(transfer) => self.work.push(Work::LastReports(transfer)),
                Action::DropUpload(transfer) => {
                    self.work.retain(|work| work.transfer() != transfer || !work.is_upload());
                }
                Action::RenumberUpload { old, new } => self.renumbered.push((old, new)),
                Action::StartDownload(transfer, ..) => self.work.push(Work::Look(transfer)),
                Action::AcceptDownload(transfer, ..) => self.work.push(Work::Prepare(transfer)),
                Action::OpenFlow(transfer, _) => assert!(self.flow.contains_key(&transfer)),
                Action::CancelDownload { transfer, remove } => self.stopped.push((transfer, remove)),
                Action::EndFlow { transfer, .. } => self.drop_download(transfer),
                Action::DownloadAcknowledged(transfer) => self.acknowledged_downloads.push(transfer),
                Action::Hangup => self.hung_up = true,
                Action::Over(end) => self.ended = Some(end),
                _ => {}
            }
        }
    }

    fn drop_download(&mut self, transfer: TransferId) {
        self.flow.remove(&transfer);
        self.work.retain(|work| work.transfer() != transfer || work.is_upload());
    }

    fn enter(&mut self, line: &str) {
        self.session.input(Input::Line(line.to_owned()));
        self.perform();
    }

    fn answer(&mut self, yes: bool) {
        let id = self.questions.last().unwrap().0;
        self.session.input(Input::Answer { id, yes });
        self.perform();
    }

    fn take(&mut self, wire: Wire) {
        match wire {
            Wire::Control(seq, control) => {
                // The reader meets an offer before the session does.
                if let Control::Offer { transfer, .. } = control
                    && seq > self.session.received()
                {
                    self.flow.insert(transfer, false);
                    self.work.push(Work::List(transfer));
                }
                self.session.control(seq, control).unwrap();
            }
            Wire::Ack(seq) => self.session.acknowledged(seq).unwrap(),
            Wire::Begin(transfer) => {
                self.flow.entry(transfer).and_modify(|begun| *begun = true);
            }
            Wire::Received(transfer) => self.session.peer_received(transfer, 1).unwrap(),
            Wire::Restart(transfer) => self.session.peer_restarts(transfer, 0, NO_DIGEST).unwrap(),
        }
        self.perform();
    }

    /// A worker does the thing that waits at this place.
    fn work(&mut self, place: usize) {
        if self.work.is_empty() {
            return;
        }
        let work = self.work.remove(place % self.work.len());
        match work {
            Work::Scan(transfer) => {
                let offer = offer_of(&self.list);
                let (list, left_out) = (Arc::new(manifest::read(&self.list).unwrap()), LeftOut::default());
                self.session.upload(transfer, UploadReport::Scanned { offer, list, left_out });
            }
            Work::List(transfer) => self.session.listed(transfer, Vec::new()),
            Work::Look(transfer) => self.session.download(transfer, looked()),
            Work::Prepare(transfer) => {
                self.session.download(transfer, ready(1));
                self.work.push(Work::Data(transfer));
            }
            Work::Data(transfer) => match self.flow.get(&transfer) {
                Some(true) => {
                    self.on_the_way.push_back(Wire::Received(transfer));
                    self.session.download(transfer, finished());
                }
                Some(false) => self.work.push(Work::Data(transfer)),
                None => {}
            },
            Work::LastReports(transfer) => self.session.upload(transfer, UploadReport::Finished { wire_bytes: 0 }),
        }
        self.perform();
    }

    /// The frontend shows up to so many notices more.
    fn show(&mut self, count: u64) {
        let shown = self.session.numbers.shown;
        if shown < self.last {
            self.session.shown(self.last.min(shown + count));
            self.perform();
        }
    }

    fn has_shown(&self) -> usize {
        self.posted.partition_point(|(seq, _)| *seq <= self.session.numbers.shown)
    }

    fn controls(&self) -> Vec<&Control> {
        let controls = self.on_the_way.iter().filter_map(|wire| match wire {
            Wire::Control(_, control) => Some(control),
            _ => None,
        });
        controls.collect()
    }

    /// Codes of the errors that were told.
    fn errors(&self) -> Vec<&'static str> {
        let code = |notice: &Notice| if let Notice::Error { code, .. } = notice { Some(*code) } else { None };
        self.notices.iter().filter_map(code).collect()
    }

    /// How each transfer ended, in order.
    fn ends(&self) -> Vec<(TransferId, &'static str)> {
        let end = |notice: &Notice| match notice {
            Notice::Done { transfer, .. } => Some((*transfer, "done")),
            Notice::Stopped { transfer, how, .. } => Some((*transfer, how.word())),
            Notice::Failed { transfer, path: None, .. } => Some((*transfer, "failed")),
            _ => None,
        };
        self.notices.iter().filter_map(end).collect()
    }
}

/// Two sides and the connection between them; the first is the initiator.
struct Pair {
    sides: [Side; 2],
    up: bool,
}

impl Pair {
    fn connected(rules: Rules) -> Self {
        let mut pair = Self { sides: [Side::new(rules.clone()), Side::new(rules)], up: true };
        for (side, initiator) in pair.sides.iter_mut().zip([true, false]) {
            side.session.connected(peer(initiator), connected_notice());
            side.perform();
        }
        pair
    }

    /// Delivers the oldest thing on its way from `from`.
    fn deliver(&mut self, from: usize) -> bool {
        match self.sides[from].on_the_way.pop_front() {
            Some(wire) if self.up => {
                self.sides[1 - from].take(wire);
                true
            }
            _ => false,
        }
    }

    fn cut(&mut self) {
        self.up = false;
        for side in &mut self.sides {
            side.on_the_way.clear();
            side.session.lost(DisconnectReason::Closed);
            side.perform();
        }
    }

    fn reconnect(&mut self) {
        if self.up || self.sides.iter().any(|side| side.ended.is_some()) {
            return;
        }
        self.up = true;
        let received = [self.sides[0].session.received(), self.sides[1].session.received()];
        for (side, received) in self.sides.iter_mut().zip([received[1], received[0]]) {
            side.session.resumed(received).unwrap();
            side.perform();
        }
    }

    /// This side's program is killed and started again; it keeps nothing. The other takes the old session over.
    fn restart(&mut self, killed: usize, rules: Rules) {
        if self.sides.iter().any(|side| side.ended.is_some()) {
            return;
        }
        self.cut();
        self.sides[killed] = Side::new(rules);
        self.up = true;
        let next = [self.sides[0].session.next_transfer(), self.sides[1].session.next_transfer()];
        for (side, (next_transfer, initiator)) in self.sides.iter_mut().zip([(next[1], true), (next[0], false)]) {
            side.session.connected(PeerContext { next_transfer, ..peer(initiator) }, connected_notice());
            side.perform();
        }
    }

    /// Lets everything arrive, be done and be shown.
    fn quiesce(&mut self) {
        self.reconnect();
        for _ in 0..10_000 {
            let mut moved = self.deliver(0) | self.deliver(1);
            for side in &mut self.sides {
                moved |= !side.work.is_empty() || side.session.numbers.shown < side.last;
                side.show(u64::MAX >> 1);
                side.work(0);
            }
            if !moved {
                return;
            }
        }
        panic!("it does not come to rest");
    }
}
