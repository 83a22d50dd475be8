//! The session core against itself: two sessions, a network that loses whatever it likes, no socket and no clock.

use super::*;
use crate::notice::Input;
use crate::protocol::frame::Offer;
use crate::text::PeerText;
use proptest::prelude::*;
use std::collections::VecDeque;

/// What travels between the two.
#[derive(Debug, Clone)]
enum Wire {
    Control(u64, Control),
    Ack(u64),
}

/// One side with what its user sees and what is on its way to the other.
struct Side {
    session: Session,
    said: Vec<String>,
    shown: Vec<String>,
    /// Numbers of shown lines that the face has not settled yet.
    unsettled: VecDeque<u64>,
    on_the_way: VecDeque<Wire>,
    /// Own lines that the other side is known to have; the only control frames here, so numbers count them.
    delivered: usize,
    ended: Option<SessionEnd>,
    warnings: Vec<String>,
    hung_up: bool,
}

fn rules(reconnect_timeout: u32) -> Rules {
    Rules { accept: AcceptRule::Ask, on_clash: OnClash::Rename, stay: false, interactive: false, reconnect_timeout }
}

fn with() -> PeerContext {
    PeerContext { label: PeerText::new("peer"), trust: Trust::New, reconnect_timeout: RECONNECT_FOREVER }
}

fn connected_notice() -> Notice {
    Notice::Status("connected".into())
}

impl Side {
    fn new(reconnect_timeout: u32) -> Self {
        Self {
            session: Session::new(rules(reconnect_timeout), 1),
            said: Vec::new(),
            shown: Vec::new(),
            unsettled: VecDeque::new(),
            on_the_way: VecDeque::new(),
            delivered: 0,
            ended: None,
            warnings: Vec::new(),
            hung_up: false,
        }
    }

    /// Carries actions out as the owner would.
    fn perform(&mut self) {
        for action in self.session.actions() {
            match action {
                Action::Control(seq, control) => self.on_the_way.push_back(Wire::Control(seq, control)),
                Action::Ack(seq) => self.on_the_way.push_back(Wire::Ack(seq)),
                Action::Notice(Posted { notice: Notice::Message { text, .. }, settles }) => {
                    self.shown.push(text.raw().to_owned());
                    self.unsettled.extend(settles);
                }
                Action::Notice(Posted { notice: Notice::Delivered { id }, .. }) => {
                    let id = usize::try_from(id).unwrap();
                    assert!(id > self.delivered, "delivered went from {} to {id}", self.delivered);
                    self.delivered = id;
                }
                Action::Notice(Posted { notice: Notice::Warning(text), .. }) => self.warnings.push(text.to_string()),
                Action::Hangup => self.hung_up = true,
                Action::Over(ending) => {
                    assert_eq!(self.ended, None, "a session ends once");
                    self.ended = Some(ending);
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, text: &str) {
        self.said.push(text.to_owned());
        self.session.input(Input::Line(text.to_owned()));
        self.perform();
    }

    fn take(&mut self, wire: Wire) {
        let result = match wire {
            Wire::Control(seq, control) => self.session.control(seq, control),
            Wire::Ack(seq) => self.session.acknowledged(seq),
        };
        result.unwrap();
        self.perform();
    }

    fn settle(&mut self) {
        if let Some(seq) = self.unsettled.pop_front() {
            self.session.settled(seq);
            self.perform();
        }
    }
}

/// Two sides and the state of the connection between them.
struct Pair {
    sides: [Side; 2],
    up: bool,
}

impl Pair {
    fn connected(reconnect_timeout: u32) -> Self {
        let mut pair = Self { sides: [Side::new(reconnect_timeout), Side::new(reconnect_timeout)], up: true };
        for side in &mut pair.sides {
            side.session.connected(with(), connected_notice());
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

    /// Lets everything arrive and be shown.
    fn quiesce(&mut self) {
        self.reconnect();
        loop {
            let moved = self.deliver(0) | self.deliver(1);
            let settles = self.sides.iter().any(|side| !side.unsettled.is_empty());
            self.sides.iter_mut().for_each(Side::settle);
            if !moved && !settles {
                return;
            }
        }
    }
}

/// One step of a random history.
#[derive(Debug, Clone, Copy)]
enum Step {
    Say(usize),
    Deliver(usize),
    Settle(usize),
    Cut,
    Reconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2_usize).prop_map(Step::Say),
        8 => (0..2_usize).prop_map(Step::Deliver),
        4 => (0..2_usize).prop_map(Step::Settle),
        1 => Just(Step::Cut),
        2 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_arrives_once_and_in_order_whatever_is_lost(history in steps()) {
        let mut pair = Pair::connected(RECONNECT_FOREVER);
        for (count, step) in history.into_iter().enumerate() {
            match step {
                Step::Say(side) => pair.sides[side].say(&format!("line {count}")),
                Step::Deliver(from) => { pair.deliver(from); }
                Step::Settle(side) => pair.sides[side].settle(),
                Step::Cut => pair.cut(),
                Step::Reconnect => pair.reconnect(),
            }
            for side in 0..2 {
                // Nothing is acknowledged that the other side's face has not settled, and nothing is shown twice.
                let other = &pair.sides[1 - side];
                let settled = other.shown.len() - other.unsettled.len();
                prop_assert!(pair.sides[side].delivered <= settled);
                prop_assert_eq!(&other.shown[..], &pair.sides[side].said[..other.shown.len()]);
            }
        }
        pair.quiesce();
        for side in 0..2 {
            prop_assert_eq!(&pair.sides[1 - side].shown, &pair.sides[side].said);
            prop_assert_eq!(pair.sides[side].delivered, pair.sides[side].said.len());
        }
    }

    #[test]
    fn a_quit_after_any_history_ends_both_politely(history in steps(), leaver in 0..2_usize) {
        let mut pair = Pair::connected(RECONNECT_FOREVER);
        for step in history {
            match step {
                Step::Say(side) => pair.sides[side].say("text"),
                Step::Deliver(from) => { pair.deliver(from); }
                Step::Settle(side) => pair.sides[side].settle(),
                Step::Cut | Step::Reconnect => {}
            }
        }
        pair.sides[leaver].say("/quit");
        pair.sides[leaver].said.pop();
        pair.quiesce();
        prop_assert!(pair.sides.iter().all(|side| side.hung_up));
        pair.cut();
        let other = 1 - leaver;
        prop_assert_eq!(&pair.sides[other].shown, &pair.sides[leaver].said);
        prop_assert_eq!(pair.sides[leaver].ended.clone(), Some(SessionEnd::Polite { by_peer: false, failed: false }));
        prop_assert_eq!(pair.sides[other].ended.clone(), Some(SessionEnd::Polite { by_peer: true, failed: false }));
    }
}

#[test]
fn a_flood_stops_at_the_window_and_shuts_the_gate() {
    let mut side = Side::new(0);
    side.session.connected(with(), connected_notice());
    for count in 0..2_000 {
        side.say(&count.to_string());
    }
    assert_eq!(side.on_the_way.len(), crate::protocol::frame::UNACKNOWLEDGED_FRAMES);
    assert!(side.session.gate_shut);
    side.session.acknowledged(1_000).unwrap();
    side.perform();
    assert_eq!(side.on_the_way.len(), 2_000);
    assert!(!side.session.gate_shut);
}

#[test]
fn a_peer_that_ignores_the_window_is_at_fault() {
    let mut side = Side::new(0);
    side.session.connected(with(), connected_notice());
    let line = || Control::Line { action: false, text: "x".into() };
    for seq in 1..=1_024 {
        side.session.control(seq, line()).unwrap();
    }
    assert!(matches!(side.session.control(1_025, line()), Err(ProtocolError::TooMuchUnacknowledged)));
}

#[test]
fn gaps_and_false_acknowledgements_are_faults() {
    let mut side = Side::new(0);
    side.session.connected(with(), connected_notice());
    let line = || Control::Line { action: false, text: "x".into() };
    assert!(matches!(side.session.control(2, line()), Err(ProtocolError::Gap { expected: 1, came: 2 })));
    assert!(matches!(side.session.acknowledged(1), Err(ProtocolError::FalseAck { acknowledged: 1, sent: 0 })));
}

#[test]
fn a_peer_that_comes_back_with_a_false_count_is_at_fault_and_the_session_over() {
    let mut side = Side::new(RECONNECT_FOREVER);
    side.session.connected(with(), connected_notice());
    side.session.lost(DisconnectReason::Closed);
    let fault = side.session.resumed(1).unwrap_err();
    assert!(matches!(fault, ProtocolError::FalseAck { acknowledged: 1, sent: 0 }));
    side.session.lost(DisconnectReason::ProtocolError(fault));
    side.perform();
    assert_eq!(side.ended, Some(SessionEnd::ProtocolError));
}

#[test]
fn a_peer_that_asks_on_and_acknowledges_no_answer_is_at_fault() {
    let mut side = Side::new(0);
    side.session.connected(with(), connected_notice());
    let offer = Offer { files: 1, folders: 0, bytes: 0, list: 1, digest: [0; 32] };
    let mut held = 0;
    for transfer in 1.. {
        let seq = u64::from(transfer) * 2 - 1;
        let asked = side.session.control(seq, Control::Offer { transfer, offer: offer.clone() });
        side.session.too_much(transfer);
        let (reason, text) = (crate::protocol::frame::Reason::Confirmed, String::new());
        let confirmed = side.session.control(seq + 1, Control::Cancel { transfer, reason, text, by_offerer: true });
        // The face keeps pace.
        side.session.settled(seq + 1);
        side.perform();
        if let Err(fault) = asked.and(confirmed) {
            assert!(matches!(fault, ProtocolError::AnswersIgnored));
            break;
        }
        held = side.session.held().queued;
    }
    assert!(held <= QUEUE_MOST);
}

#[test]
fn what_the_user_is_told_of_a_frame_is_written_before_the_frame_is_acknowledged() {
    let mut side = Side::new(0);
    side.session.connected(with(), connected_notice());
    let offer = Offer { files: 1, folders: 0, bytes: 0, list: 1, digest: [0; 32] };
    side.session.control(1, Control::Offer { transfer: 1, offer }).unwrap();
    let (reason, text) = (crate::protocol::frame::Reason::User, String::new());
    side.session.control(2, Control::Cancel { transfer: 1, reason, text, by_offerer: true }).unwrap();
    let acks = |session: &mut Session| -> Vec<u64> {
        session
            .actions()
            .iter()
            .filter_map(|action| if let Action::Ack(seq) = action { Some(*seq) } else { None })
            .collect()
    };
    assert_eq!(acks(&mut side.session), [1]);
    side.session.settled(2);
    assert_eq!(acks(&mut side.session), [2]);
}

#[test]
fn nothing_may_follow_a_goodbye() {
    let mut side = Side::new(0);
    side.session.connected(with(), connected_notice());
    side.session.control(1, Control::Bye { reason: ByeReason::Quit }).unwrap();
    let line = Control::Line { action: false, text: "x".into() };
    assert!(matches!(side.session.control(2, line), Err(ProtocolError::Unexpected("control"))));
}

#[test]
fn a_loss_without_patience_ends_the_session_and_counts_what_was_not_delivered() {
    let mut pair = Pair::connected(0);
    pair.sides[0].say("one");
    pair.sides[0].say("two");
    pair.cut();
    assert_eq!(pair.sides[0].ended, Some(SessionEnd::Lost));
    assert_eq!(pair.sides[0].warnings, ["2 lines were not delivered"]);
    assert_eq!(pair.sides[1].ended, Some(SessionEnd::Lost));
}

#[test]
fn patience_ends_at_its_second_and_not_before() {
    let mut pair = Pair::connected(60);
    let side = &mut pair.sides[0];
    side.session.at(Duration::from_secs(100));
    side.session.lost(DisconnectReason::Closed);
    assert_eq!(side.session.deadline(), Some(Duration::from_secs(160)));
    side.session.at(Duration::from_millis(159_999));
    side.session.tick();
    side.perform();
    assert_eq!(side.ended, None);
    side.session.at(Duration::from_secs(160));
    side.session.tick();
    side.perform();
    assert_eq!(side.ended, Some(SessionEnd::Lost));
}

#[test]
fn the_third_tampering_ends_it() {
    let mut side = Side::new(RECONNECT_FOREVER);
    side.session.connected(with(), connected_notice());
    for _ in 0..2 {
        side.session.lost(DisconnectReason::Tampered);
        side.perform();
        assert_eq!(side.ended, None);
        side.session.resumed(0).unwrap();
    }
    side.session.lost(DisconnectReason::Tampered);
    side.perform();
    assert_eq!(side.ended, Some(SessionEnd::Tampered));
}

#[test]
fn input_before_the_peer_waits_for_it_in_order() {
    let mut side = Side::new(0);
    side.say("one");
    side.say("/me waves");
    side.say("/quit");
    side.session.input(Input::Ended);
    side.perform();
    assert_eq!(side.ended, None);
    assert!(side.on_the_way.is_empty());
    side.session.connected(with(), connected_notice());
    side.perform();
    let texts: Vec<_> = side
        .on_the_way
        .iter()
        .map(|wire| match wire {
            Wire::Control(_, Control::Line { action, text }) => (*action, text.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts, [(false, "one"), (true, "waves")]);
}

#[test]
fn a_quit_with_nothing_before_it_needs_no_peer() {
    let mut side = Side::new(0);
    side.say("/quit");
    assert_eq!(side.ended, Some(SessionEnd::Polite { by_peer: false, failed: false }));
}

#[test]
fn two_hours_of_idle_leave_nothing_behind() {
    let mut pair = Pair::connected(RECONNECT_FOREVER);
    for second in 0..7_200 {
        for side in &mut pair.sides {
            side.session.at(Duration::from_secs(second));
            side.session.tick();
            side.perform();
            assert!(side.on_the_way.is_empty());
            assert!(side.session.actions.is_empty());
        }
    }
}

fn an_offer() -> Offer {
    Offer { files: 1, folders: 0, bytes: 1, list: 40, digest: [0; 32] }
}

/// A side with an upload that the peer accepted.
fn uploading() -> Side {
    use crate::transfer::upload::UploadReport;
    let mut side = Side::new(300);
    side.session.connected(with(), connected_notice());
    side.session.input(Input::Line("/send file".into()));
    let scanned = UploadReport::Scanned { offer: an_offer(), name: "file".into(), more: 0, skipped: Vec::new() };
    side.session.upload(1, scanned);
    side.perform();
    side.session.acknowledged(1).unwrap();
    side.session.control(1, Control::Accept { transfer: 1, position: 40, digest: [0; 32] }).unwrap();
    side.perform();
    side
}

#[test]
fn a_goodbye_right_after_the_completion_is_no_failure() {
    let mut side = uploading();
    side.session.control(2, Control::Complete { transfer: 1, files: 1, failed: 0 }).unwrap();
    side.session.control(3, Control::Bye { reason: ByeReason::Quit }).unwrap();
    side.session.settled(3);
    side.session.acknowledged(2).unwrap();
    side.session.lost(DisconnectReason::Closed);
    side.perform();
    assert_eq!(side.ended, Some(SessionEnd::Polite { by_peer: true, failed: false }));
}

#[test]
fn more_files_than_were_offered_are_a_fault() {
    let completed = uploading().session.control(2, Control::Complete { transfer: 1, files: 77, failed: 0 });
    assert!(matches!(completed, Err(ProtocolError::Count(1))));
}

#[test]
fn nothing_follows_the_own_goodbye() {
    let mut side = Side::new(300);
    side.session.connected(with(), connected_notice());
    side.session.input(Input::Line("/quit".into()));
    side.session.control(1, Control::Offer { transfer: 1, offer: an_offer() }).unwrap();
    side.session.too_much(1);
    side.perform();
    let controls: Vec<_> = side.on_the_way.iter().filter(|wire| matches!(wire, Wire::Control(..))).collect();
    assert!(matches!(controls[..], [Wire::Control(1, Control::Bye { .. })]), "{controls:?}");
}

#[test]
fn what_is_still_looked_at_is_declined_before_the_goodbye() {
    let mut side = Side::new(300);
    side.session = Session::new(Rules { accept: AcceptRule::Always, ..rules(300) }, 1);
    side.session.connected(with(), connected_notice());
    side.session.control(1, Control::Offer { transfer: 1, offer: an_offer() }).unwrap();
    side.session.listed(1, Vec::new());
    side.session.input(Input::Ended);
    side.perform();
    let kinds: Vec<_> = side
        .on_the_way
        .iter()
        .filter_map(|wire| match wire {
            Wire::Control(_, Control::Decline { .. }) => Some("decline"),
            Wire::Control(_, Control::Bye { .. }) => Some("bye"),
            _ => None,
        })
        .collect();
    // The goodbye waits until the decline is acknowledged.
    assert_eq!(kinds, ["decline"]);
    side.session.acknowledged(1).unwrap();
    side.perform();
    assert!(matches!(side.on_the_way.back(), Some(Wire::Control(2, Control::Bye { .. }))));
}

#[test]
fn one_transfer_more_than_may_be_open_is_declined() {
    let mut side = Side::new(300);
    side.session.connected(with(), connected_notice());
    for transfer in 1..=65 {
        let seq = u64::from(transfer);
        side.session.control(seq, Control::Offer { transfer, offer: an_offer() }).unwrap();
    }
    side.perform();
    let declined = |wire: &Wire| matches!(wire, Wire::Control(_, Control::Decline { transfer: 65, .. }));
    let controls: Vec<_> = side.on_the_way.iter().filter(|wire| matches!(wire, Wire::Control(..))).collect();
    assert!(controls.len() == 1 && declined(controls[0]), "{controls:?}");
}
