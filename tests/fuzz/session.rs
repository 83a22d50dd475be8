//! A session, its user and workers, and a peer that sends what it likes.
//!
//! Invariants: own frames are numbered without a gap, and repeated only after a connection was lost; nothing is acknowledged that did
//! not come; a line of the peer is shown once, in order; nothing follows the end; what breaks a rule is a `ProtocolError`.

use super::choices::Choices;
use p2pchat::command::CommandError;
use p2pchat::net::connection::DisconnectReason;
use p2pchat::notice::{Input, Notice, Trust};
use p2pchat::protocol::error::ProtocolError;
use p2pchat::protocol::frame::{ByeReason, Control, Digest, Frame, Offer, RECONNECT_FOREVER, Reason, TransferId};
use p2pchat::session::{AcceptRule, Action, PeerContext, Rules, Session};
use p2pchat::text::PeerText;
use p2pchat::transfer::download::{DownloadReport, Looked};
use p2pchat::transfer::manifest;
use p2pchat::transfer::upload::{LeftOut, UploadReport};
use std::sync::Arc;
use std::time::Duration;

/// What the user may type.
const TYPED: [&str; 12] = [
    "hello",
    "/accept",
    "/decline",
    "/cancel",
    "/send a",
    "/quit",
    "/transfers",
    "/verify",
    "/peer",
    "/accept 2",
    "/cancel 1",
    "/x",
];
/// Kinds of events.
const EVENTS: u8 = 14;

struct Play<'a> {
    choices: Choices<'a>,
    session: Session,
    now: Duration,
    connected: bool,
    over: bool,
    /// The number of the peer's next frame, and of the next one that this side sends.
    next_in: u64,
    next_out: u64,
    /// The last notice.
    posted: u64,
    /// Lines that the peer sent on frames of the right number, and how many of them were shown.
    lines: Vec<String>,
    shown: usize,
    scans: Vec<TransferId>,
    looks: Vec<(TransferId, Offer, Vec<u8>)>,
    list: Vec<u8>,
}

pub(crate) fn session(data: &[u8]) {
    let mut choices = Choices::new(data);
    let flags = choices.byte();
    let accept = [AcceptRule::Ask, AcceptRule::Always, AcceptRule::Verified, AcceptRule::Never, AcceptRule::One]
        [usize::from(flags % 5)];
    let rules = Rules {
        accept,
        stay: flags & 4 != 0,
        interactive: flags & 8 != 0,
        reconnect_timeout: if flags & 16 != 0 { RECONNECT_FOREVER } else { 60 },
        home: None,
    };
    let mut play = Play {
        choices,
        session: Session::new(rules),
        now: Duration::ZERO,
        connected: false,
        over: false,
        next_in: 1,
        next_out: 1,
        posted: 0,
        lines: Vec::new(),
        shown: 0,
        scans: Vec::new(),
        looks: Vec::new(),
        list: super::wire::list_seeds().remove(0),
    };
    while !play.choices.is_empty() && !play.over {
        play.event();
        play.carry_out();
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for flags in 0..32 {
        let connect = vec![flags, 0];
        let every: Vec<u8> = (0..EVENTS).flat_map(|event| [event, 1, 0, event, 2, 3]).collect();
        seeds.push([connect.clone(), every.clone()].concat());
        let lines = [1, 0, 0, 1, 0, 0, 5, 0, 6, 1, 7, 0, 0, 2, 1, 8, 9, 3].repeat(4);
        seeds.push([connect, lines, every].concat());
    }
    seeds
}

impl Play<'_> {
    fn event(&mut self) {
        let event = self.choices.pick(EVENTS);
        self.session.at(self.now);
        if !self.connected {
            return match event {
                1 | 2 => self.input(),
                3 => self.pass(),
                4 => self.session.give_up(),
                _ => self.connect(),
            };
        }
        let outcome = match event {
            0..=3 => self.control(),
            4 => {
                let acknowledged = self.number(self.next_out);
                self.session.acknowledged(acknowledged)
            }
            5 | 6 => {
                self.input();
                Ok(())
            }
            7 => {
                let upto = self.number(self.posted).min(self.posted);
                self.session.shown(upto);
                Ok(())
            }
            8 => {
                self.pass();
                Ok(())
            }
            9 => {
                self.lose(DisconnectReason::Closed);
                Ok(())
            }
            10 => {
                self.work();
                Ok(())
            }
            11 => {
                let (transfer, list) = (self.transfer(), self.list.clone());
                if self.choices.flag() {
                    self.session.listed(transfer, list)
                } else {
                    self.session.too_much(transfer)
                }
                Ok(())
            }
            12 => {
                let (transfer, position) = (self.transfer(), u64::from(self.choices.u16()));
                self.session.peer_received(transfer, position)
            }
            _ => {
                let (transfer, position) = (self.transfer(), u64::from(self.choices.u16()));
                self.session.peer_restarts(transfer, position, Digest::default())
            }
        };
        if let Err(error) = outcome {
            assert!(!error.to_string().is_empty());
            self.lose(DisconnectReason::ProtocolError(error));
        }
    }

    /// Mostly the right number, else one near it.
    fn number(&mut self, right: u64) -> u64 {
        let off = self.choices.pick(16);
        if off < 12 { right } else { right.wrapping_add(u64::from(off)).wrapping_sub(14) }
    }

    fn transfer(&mut self) -> TransferId {
        TransferId::from(self.choices.pick(8))
    }

    fn connect(&mut self) {
        self.connected = true;
        if self.session.has_peer() && self.choices.flag() {
            let received = self.number(self.next_out - 1);
            self.next_in = self.session.received() + 1;
            if let Err(error) = self.session.resumed(received) {
                self.lose(DisconnectReason::ProtocolError(error));
            } else {
                self.next_out = received + 1;
            }
            return;
        }
        if self.session.has_peer() {
            (self.lines, self.shown) = (Vec::new(), 0);
        }
        (self.next_in, self.next_out) = (1, 1);
        let context = PeerContext {
            label: PeerText::new("peer"),
            trust: Trust::Known,
            reconnect_timeout: 60,
            next_transfer: self.transfer(),
            initiator: self.choices.flag(),
        };
        self.session.connected(context, Notice::Status("connected".to_owned()));
    }

    fn lose(&mut self, reason: DisconnectReason) {
        self.connected = false;
        self.session.lost(reason);
    }

    fn input(&mut self) {
        let typed = usize::from(self.choices.pick(TYPED.len() as u8 + 3));
        self.session.input(match TYPED.get(typed) {
            Some(line) => Input::Line((*line).to_owned()),
            None if typed == TYPED.len() => Input::Ended,
            None if typed == TYPED.len() + 1 => Input::Interrupt,
            None => Input::Answer { id: u64::from(self.choices.pick(4)), yes: self.choices.flag() },
        });
    }

    /// Time passes, to the deadline or less.
    fn pass(&mut self) {
        let wanted = self.session.deadline().unwrap_or(self.now + Duration::from_secs(1));
        let most = Duration::from_secs(self.choices.byte().into());
        self.now = self.now.max(wanted.min(self.now + most));
        self.session.at(self.now);
        self.session.tick();
    }

    /// A frame of the peer.
    fn control(&mut self) -> Result<(), ProtocolError> {
        let seq = self.number(self.next_in);
        let transfer = self.transfer();
        let text = || "why".to_owned();
        let reasons = [Reason::User, Reason::Confirmed, Reason::Space, Reason::Io];
        let control = match self.choices.pick(9) {
            0 | 1 => Control::Line { action: self.choices.flag(), text: format!("line {}", self.lines.len()) },
            2 => {
                let list = Arc::new(manifest::read(&self.list).unwrap());
                let offer = list.offer(&self.list);
                let bytes = if self.choices.flag() { offer.bytes } else { u64::MAX };
                Control::Offer { transfer, offer: Offer { bytes, ..offer } }
            }
            3 => Control::Accept { transfer, position: self.choices.u16().into(), digest: Digest::default() },
            4 => Control::Decline { transfer, reason: reasons[usize::from(self.choices.pick(4))], text: text() },
            5 => Control::Cancel { transfer, reason: reasons[usize::from(self.choices.pick(4))], text: text() },
            6 => {
                Control::Complete { transfer, files: self.choices.pick(3).into(), failed: self.choices.pick(3).into() }
            }
            7 => Control::Bye { reason: ByeReason::Quit },
            _ => match Frame::decode(self.choices.slice(64)) {
                Ok(Frame::Control { control, .. }) => control,
                _ => return Ok(()),
            },
        };
        let line = match &control {
            Control::Line { text, .. } if seq == self.next_in => Some(text.clone()),
            _ => None,
        };
        self.session.control(seq, control)?;
        assert!(seq <= self.next_in, "a frame out of order was taken");
        if seq == self.next_in {
            self.next_in += 1;
            self.lines.extend(line);
        }
        assert_eq!(self.session.received() + 1, self.next_in);
        Ok(())
    }

    /// A worker reports what was asked of it.
    fn work(&mut self) {
        if let Some(transfer) = self.scans.pop() {
            let list = Arc::new(manifest::read(&self.list).unwrap());
            let offer = list.offer(&self.list);
            let left_out = LeftOut { named: Vec::new(), more: 0 };
            self.session.upload(
                transfer,
                match self.choices.flag() {
                    true => UploadReport::Scanned { offer, list, left_out },
                    false => UploadReport::Unsendable(CommandError::new("no-such-file", "no such file")),
                },
            );
        } else if let Some((transfer, offer, list)) = self.looks.pop() {
            self.session.download(
                transfer,
                match manifest::Manifest::decode(&list, &offer) {
                    Ok(manifest) => DownloadReport::Looked(Looked {
                        needed: manifest.bytes(),
                        manifest: Arc::new(manifest),
                        clashes: 0,
                        free: Some(u64::from(self.choices.byte()) << 56),
                        recorded_dest: None,
                        elsewhere: None,
                    }),
                    Err(error) => DownloadReport::Unacceptable { reason: error.reason(), text: error.to_string() },
                },
            );
        }
    }

    fn carry_out(&mut self) {
        loop {
            let actions = self.session.actions();
            if actions.is_empty() {
                return;
            }
            actions.into_iter().for_each(|action| self.execute(action));
        }
    }

    fn execute(&mut self, action: Action) {
        assert!(!self.over, "{action:?} after the end");
        match action {
            Action::Control(seq, _) => {
                assert_eq!(seq, self.next_out, "a gap in the numbers");
                self.next_out += 1;
            }
            Action::Ack(seq) => assert!(seq < self.next_in, "{seq} is acknowledged and did not come"),
            Action::Notice(posted) => {
                if let Some(seq) = posted.display_seq {
                    assert!(seq > self.posted);
                    self.posted = seq;
                }
                if let Notice::Message { text, .. } = posted.notice {
                    assert_eq!(Some(text.raw()), self.lines.get(self.shown).map(String::as_str));
                    self.shown += 1;
                }
            }
            Action::Scan(transfer, _) => self.scans.push(transfer),
            Action::StartDownload(transfer, offer, list) => self.looks.push((transfer, offer, list)),
            Action::Hangup if self.connected => {
                self.connected = false;
                self.session.lost(DisconnectReason::Closed);
            }
            Action::Over(_) => self.over = true,
            _ => {}
        }
    }
}
