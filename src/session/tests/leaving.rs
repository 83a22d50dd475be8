//! `/quit`, `/stay`, the end of input, signals, losses.

use super::*;

const POLITE: SessionEnd = SessionEnd::Polite { by_peer: false };

fn person() -> Rules {
    Rules { interactive: true, ..rules(300) }
}

/// A side whose upload the peer accepted.
fn uploading(rules: Rules) -> Side {
    let mut side = Side::responder(rules);
    side.enter("/send file");
    side.work(0);
    side.session.acknowledged(1).unwrap();
    side.session.control(1, Control::Accept { transfer: 2, position: 40, digest: NO_DIGEST }).unwrap();
    side.perform();
    side
}

fn has_said_bye(side: &Side) -> bool {
    side.controls().iter().any(|control| matches!(control, Control::Bye { .. }))
}

#[test]
fn a_quit_waits_for_what_was_asked_for_and_a_second_one_does_not() {
    let mut side = uploading(rules(300));
    side.enter("/quit");
    assert!(!has_said_bye(&side));
    assert!(matches!(side.notices.last(), Some(Notice::Leaving { transfers: 1, lost: false, .. })));
    side.enter("too late");
    assert_eq!(side.errors(), ["leaving"]);
    side.enter("/quit");
    assert!(has_said_bye(&side));
    assert_eq!(side.ends(), [(2, "failed")]);
    side.enter("/quit");
    assert!(side.ended.is_some());
}

#[test]
fn stay_without_quit_is_an_error() {
    let mut side = Side::responder(person());
    side.enter("/stay");
    side.enter("/quit");
    side.enter("/stay");
    assert_eq!(side.errors(), ["not-leaving", "leaving"]);
}

#[test]
fn a_peer_s_bye_at_the_moment_of_a_quit_or_a_signal_is_no_second_wish() {
    let bye = Control::Bye { reason: ByeReason::Quit };
    for signal in [false, true] {
        for first in [false, true] {
            let mut side = Side::responder(rules(300));
            side.enter("line");
            let leave = |side: &mut Side| {
                if signal { side.session.signal() } else { side.session.input(Input::Line("/quit".into())) }
            };
            if first {
                leave(&mut side);
            }
            side.session.control(1, bye.clone()).unwrap();
            if !first {
                leave(&mut side);
            }
            side.perform();
            assert_eq!(side.ended, None);
            // The peer shows the line, and acknowledges it and our BYE; ours is acknowledged, too.
            side.session.acknowledged(1).unwrap();
            side.perform();
            assert!(has_said_bye(&side), "signal {signal}, first {first}");
            side.session.acknowledged(2).unwrap();
            side.perform();
            side.show(100);
            assert!(side.hung_up && side.on_the_way.iter().any(|wire| matches!(wire, Wire::Ack(1))));
            side.session.lost(DisconnectReason::Closed);
            side.perform();
            assert_eq!(side.session.undelivered, 0);
            let by_peer = !(signal && first);
            let polite = SessionEnd::Polite { by_peer };
            assert_eq!(side.ended, Some(if signal { SessionEnd::Signal } else { polite }));
            assert!(!side.session.is_incomplete());
        }
    }
}

#[test]
fn a_second_wish_ends_it_without_waiting_for_the_peer() {
    let mut side = Side::responder(rules(300));
    side.session.signal();
    side.perform();
    assert!(has_said_bye(&side) && side.ended.is_none());
    side.session.signal();
    side.perform();
    assert_eq!(side.ended, Some(SessionEnd::Signal));
}

#[test]
fn closing_takes_five_seconds_at_most() {
    let mut side = Side::responder(rules(300));
    side.enter("/quit");
    assert_eq!(side.session.deadline(), Some(Duration::from_secs(5)));
    side.session.at(Duration::from_secs(5));
    side.session.tick();
    side.perform();
    assert_eq!(side.ended, Some(POLITE));
    assert!(!side.session.is_incomplete());
}

#[test]
fn an_undelivered_line_never_ends_with_exit_0() {
    for interactive in [false, true] {
        // The peer leaves, and its program is gone before it acknowledges.
        let mut side = Side::responder(Rules { interactive, ..rules(300) });
        side.enter("line");
        side.session.control(1, Control::Bye { reason: ByeReason::Quit }).unwrap();
        side.session.lost(DisconnectReason::Closed);
        side.perform();
        assert_eq!(side.ended, Some(SessionEnd::Polite { by_peer: true }));
        assert!(side.session.is_incomplete());
    }
    // Lines that never met a peer.
    let mut side = Side::new(rules(300));
    for line in ["line", "/quit", "/quit"] {
        side.enter(line);
    }
    assert_eq!(side.ended, Some(POLITE));
    assert!(side.session.is_incomplete());
    // Without anything before it, /quit needs no peer.
    let mut side = Side::new(rules(300));
    side.enter("/quit");
    assert_eq!(side.ended, Some(POLITE));
    assert!(!side.session.is_incomplete());
}

#[test]
fn the_timeout_ends_at_its_second_and_not_before() {
    let mut side = Side::responder(rules(60));
    side.session.at(Duration::from_secs(100));
    side.session.lost(DisconnectReason::Closed);
    assert_eq!(side.session.deadline(), Some(Duration::from_secs(160)));
    for (millis, end) in [(159_999, None), (160_000, Some(SessionEnd::Lost))] {
        side.session.at(Duration::from_millis(millis));
        side.session.tick();
        side.perform();
        assert_eq!(side.ended, end);
    }
}

/// A receiver that knows of that takes the same list for another transfer, and would have it twice.
#[test]
fn a_completion_is_acknowledged_once_the_user_has_heard_of_it() {
    let mut side = uploading(rules(300));
    side.session.control(2, Control::Complete { transfer: 2, files: 1, failed: 0 }).unwrap();
    side.perform();
    side.show(100);
    let is_acknowledged = |side: &Side| side.on_the_way.iter().any(|wire| matches!(wire, Wire::Ack(2)));
    assert!(!is_acknowledged(&side));
    side.session.upload(2, UploadReport::Finished { wire_bytes: 5 });
    side.perform();
    assert!(!is_acknowledged(&side));
    side.show(100);
    assert!(is_acknowledged(&side));
}

#[test]
fn a_bye_right_after_the_completion_is_no_failure() {
    let mut side = uploading(rules(300));
    side.session.control(2, Control::Complete { transfer: 2, files: 1, failed: 0 }).unwrap();
    side.session.control(3, Control::Bye { reason: ByeReason::Quit }).unwrap();
    side.perform();
    side.show(100);
    side.session.acknowledged(2).unwrap();
    side.session.lost(DisconnectReason::Closed);
    side.perform();
    assert_eq!(side.ended, Some(SessionEnd::Polite { by_peer: true }));
    assert!(!side.session.is_incomplete());
    assert_eq!(side.ends(), [(2, "done")]);
}

#[test]
fn nothing_follows_the_own_bye() {
    let mut side = Side::responder(rules(300));
    side.enter("/quit");
    side.session.control(1, Control::Offer { transfer: 1, offer: an_offer() }).unwrap();
    side.session.too_much(1);
    side.perform();
    assert!(matches!(side.controls()[..], [Control::Bye { .. }]));
    assert_eq!(side.stopped, [(1, false)]);
}

#[test]
fn what_is_still_looked_at_is_declined_before_the_bye() {
    let mut side = Side::responder(Rules { accept: AcceptRule::Always, ..rules(300) });
    side.session.control(1, Control::Offer { transfer: 1, offer: an_offer() }).unwrap();
    side.session.listed(1, Vec::new());
    side.session.input(Input::Ended);
    side.perform();
    // BYE waits until the decline is acknowledged.
    assert!(matches!(side.controls()[..], [Control::Decline { .. }]));
    side.session.acknowledged(1).unwrap();
    side.perform();
    assert!(has_said_bye(&side));
}
