//! What PROTOCOL.md sections 7 to 9 forbid, rule by rule.

use super::*;

fn line() -> Control {
    Control::Line { action: false, text: "x".into() }
}

fn cancel(transfer: TransferId, reason: Reason) -> Control {
    Control::Cancel { transfer, reason, text: String::new() }
}

fn decline(transfer: TransferId, reason: Reason) -> Control {
    Control::Decline { transfer, reason, text: String::new() }
}

fn accept(transfer: TransferId) -> Control {
    Control::Accept { transfer, position: 40, digest: NO_DIGEST }
}

fn offer(transfer: TransferId) -> Control {
    Control::Offer { transfer, offer: an_offer() }
}

fn complete(transfer: TransferId, files: u32) -> Control {
    Control::Complete { transfer, files, failed: 0 }
}

/// A responder whose upload 2 is offered, after these frames of the peer.
fn after(frames: &[Control]) -> Side {
    let mut side = Side::responder(rules(300));
    side.enter("/send file");
    side.work(0);
    for (seq, control) in (1..).zip(frames) {
        side.session.control(seq, control.clone()).unwrap();
    }
    side.perform();
    side
}

/// What becomes of the last of these frames.
fn result(frames: &[Control]) -> Result<(), ProtocolError> {
    let (last, before) = frames.split_last().unwrap();
    let seq = u64::try_from(frames.len()).unwrap();
    after(before).session.control(seq, last.clone())
}

#[test]
fn each_rule_of_transfers_has_its_error() {
    use ProtocolError::{Count, OfferNumber, UnknownTransfer, WrongSide, WrongTime};
    let confirmed = Reason::Confirmed;
    let cases: Vec<(&str, Vec<Control>, ProtocolError)> = vec![
        ("parity of OFFER", vec![offer(2)], WrongSide(2)),
        ("parity of ACCEPT", vec![offer(1), accept(1)], WrongSide(1)),
        ("parity of DECLINE", vec![offer(1), decline(1, Reason::User)], WrongSide(1)),
        ("parity of COMPLETE", vec![offer(1), complete(1, 1)], WrongSide(1)),
        ("OFFER twice", vec![offer(3), offer(3)], OfferNumber(3)),
        ("OFFER below an earlier one", vec![offer(3), offer(1)], OfferNumber(1)),
        ("ACCEPT of what was not offered", vec![accept(4)], UnknownTransfer(4)),
        ("DECLINE of what was not offered", vec![decline(4, Reason::User)], UnknownTransfer(4)),
        ("COMPLETE of what was not offered", vec![complete(4, 1)], UnknownTransfer(4)),
        ("CANCEL of what this side did not offer", vec![cancel(4, Reason::User)], UnknownTransfer(4)),
        ("CANCEL of what the peer did not offer", vec![cancel(1, Reason::User)], UnknownTransfer(1)),
        ("ACCEPT twice", vec![accept(2), accept(2)], WrongTime("ACCEPT", 2)),
        ("DECLINE after ACCEPT", vec![accept(2), decline(2, Reason::User)], WrongTime("DECLINE", 2)),
        ("DECLINE that confirms", vec![decline(2, confirmed)], WrongTime("DECLINE", 2)),
        ("CANCEL of the receiver that confirms", vec![cancel(2, confirmed)], WrongSide(2)),
        ("COMPLETE before ACCEPT", vec![complete(2, 1)], WrongTime("COMPLETE", 2)),
        ("COMPLETE with a wrong sum", vec![accept(2), complete(2, 77)], Count(2)),
    ];
    for (name, frames, error) in cases {
        assert_eq!(result(&frames), Err(error), "{name}");
    }
}

#[test]
fn frames_for_what_ended_are_passed_over() {
    let ended = [accept(2), complete(2, 1)];
    for late in [accept(2), decline(2, Reason::User), complete(2, 1), cancel(2, Reason::User)] {
        let frames = [&ended[..], &[late]].concat();
        assert_eq!(result(&frames), Ok(()));
    }
    let mut side = after(&ended);
    side.work(0);
    for late in [accept(2), decline(2, Reason::User), complete(2, 1), cancel(2, Reason::User)] {
        assert_eq!(side.session.control(3 + side.session.received() - 2, late), Ok(()));
    }
    assert_eq!(side.session.peer_restarts(2, 0, NO_DIGEST), Ok(()));
    assert_eq!(side.session.peer_received(2, 0), Ok(()));
    assert_eq!(side.ends(), [(2, "done")]);
}

#[test]
fn restart_and_received_come_only_where_they_may() {
    use ProtocolError::{UnknownTransfer, WrongSide, WrongTime};
    let mut side = after(&[offer(1)]);
    let restart = |side: &mut Side, transfer| side.session.peer_restarts(transfer, 0, NO_DIGEST);
    assert_eq!(restart(&mut side, 2), Err(WrongTime("RESTART", 2)), "nothing was resumed");
    assert_eq!(restart(&mut side, 4), Err(UnknownTransfer(4)));
    assert_eq!(restart(&mut side, 1), Err(WrongSide(1)));
    assert_eq!(side.session.peer_received(2, 0), Err(WrongTime("RECEIVED", 2)), "not accepted");
    assert_eq!(side.session.peer_received(4, 0), Err(UnknownTransfer(4)));
    assert_eq!(side.session.peer_received(1, 0), Err(WrongSide(1)));
    // The peer has not received OFFER, which comes again: no RESTART.
    side.session.lost(DisconnectReason::Closed);
    side.session.resumed(0).unwrap();
    assert_eq!(restart(&mut side, 2), Err(WrongTime("RESTART", 2)));
    // It has: one RESTART.
    side.session.lost(DisconnectReason::Closed);
    side.session.resumed(1).unwrap();
    assert_eq!(restart(&mut side, 2), Ok(()));
    assert_eq!(restart(&mut side, 2), Err(WrongTime("RESTART", 2)));
}

#[test]
fn a_peer_that_ignores_the_window_breaks_the_protocol() {
    let mut side = Side::responder(rules(0));
    for seq in 1..=1_024 {
        side.session.control(seq, line()).unwrap();
    }
    assert_eq!(side.session.control(1_025, line()), Err(ProtocolError::TooMuchUnacknowledged));
}

#[test]
fn a_peer_that_asks_on_and_acknowledges_no_answer_breaks_the_protocol() {
    let mut side = Side::responder(rules(0));
    let mut held = 0;
    for number in 0.. {
        let (seq, transfer) = (u64::from(number) * 2 + 1, number * 2 + 1);
        let asked = side.session.control(seq, offer(transfer));
        side.session.too_much(transfer);
        let confirmed = side.session.control(seq + 1, cancel(transfer, Reason::Confirmed));
        side.perform();
        side.show(1_000);
        if let Err(error) = asked.and(confirmed) {
            assert_eq!(error, ProtocolError::AnswersIgnored);
            break;
        }
        held = side.session.outgoing.queued();
    }
    assert!(held <= delivery::QUEUE_MOST);
}

#[test]
fn the_65th_open_offer_is_declined() {
    let mut side = Side::responder(rules(300));
    for number in 0..100 {
        side.session.control(u64::from(number) + 1, offer(number * 2 + 1)).unwrap();
        side.perform();
        side.show(10);
    }
    let declined = |control: &&Control| matches!(control, Control::Decline { transfer, reason: Reason::TooMuch, .. } if *transfer > 128);
    let controls = side.controls();
    assert!(controls.len() == 36 && controls.iter().all(declined), "{}", controls.len());
}

#[test]
fn numbers_begin_at_the_larger_of_both_and_keep_their_parity() {
    for (ours, theirs, initiator, expected) in [
        (0, 1, true, [1, 3]),
        (0, 1, false, [2, 4]),
        (4, 1, true, [5, 7]),
        (4, 1, false, [6, 8]),
        (0, 8, true, [9, 11]),
    ] {
        let numbers = RunNumbers { transfer: ours, ..RunNumbers::default() };
        let mut side = Side::of(Session { numbers, ..Session::new(rules(0)) });
        side.session.connected(PeerContext { next_transfer: theirs, ..peer(initiator) }, connected_notice());
        side.enter("/send a");
        side.enter("/send b");
        let scanned: Vec<_> = side.work.iter().map(Work::transfer).collect();
        assert_eq!(scanned, expected);
        assert_eq!(side.session.next_transfer(), expected[1] + 1);
        let below = expected[0].saturating_sub(1);
        if below > 0 && below < ours.max(theirs - 1) {
            assert!(side.session.control(1, offer(below)).is_err());
        }
    }
}

#[test]
fn a_peer_that_counts_to_the_end_uses_up_no_numbers_of_the_next_peer() {
    let mut side = Side::of(Session::new(rules(0)));
    side.session.connected(PeerContext { next_transfer: TransferId::MAX, ..peer(false) }, connected_notice());
    side.session.control(1, offer(TransferId::MAX)).unwrap();
    side.enter("/send a");
    assert_eq!(side.errors(), ["too-many-transfers"]);
    assert_eq!(side.session.successor().next_transfer(), 1);
}
