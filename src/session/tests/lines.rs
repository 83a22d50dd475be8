//! Lines: each one once and in order, none acknowledged that is not shown, none queued without bound.

use super::*;
use crate::protocol::frame::UNACKNOWLEDGED_FRAMES;

fn line() -> Control {
    Control::Line { action: false, text: "x".into() }
}

#[test]
fn a_flood_stops_at_the_window_and_pauses_the_input() {
    let mut side = Side::responder(rules(0));
    for count in 0..2_000 {
        side.enter(&count.to_string());
        side.show(1);
    }
    assert_eq!(side.controls().len(), UNACKNOWLEDGED_FRAMES);
    assert!(side.paused.0);
    side.session.acknowledged(1_000).unwrap();
    side.perform();
    side.show(1_000);
    assert_eq!(side.controls().len(), 2_000);
    assert!(!side.paused.0);
}

#[test]
fn own_lines_wait_for_a_frontend_that_is_not_read() {
    let mut side = Side::responder(rules(0));
    let mut entered = 0;
    while !side.paused.0 {
        side.enter("x");
        entered += 1;
        side.session.acknowledged(entered).unwrap();
        side.perform();
    }
    assert!(entered <= UNSHOWN);
    side.show(UNSHOWN);
    assert!(!side.paused.0);
}

#[test]
fn what_the_user_hears_of_a_frame_is_shown_before_the_frame_is_acknowledged() {
    let mut side = Side::responder(rules(0));
    side.session.control(1, Control::Offer { transfer: 1, offer: an_offer() }).unwrap();
    side.session.control(2, line()).unwrap();
    side.session.control(3, line()).unwrap();
    side.perform();
    let acks = |side: &mut Side| -> Vec<u64> {
        let ack = |wire: Wire| if let Wire::Ack(seq) = wire { Some(seq) } else { None };
        side.on_the_way.drain(..).filter_map(ack).collect()
    };
    assert_eq!(acks(&mut side), [1]);
    side.session.shown(side.last - 1);
    side.perform();
    assert_eq!(acks(&mut side), [2]);
    side.show(1);
    assert_eq!(acks(&mut side), [3]);
}

#[test]
fn each_line_is_said_to_be_delivered_by_its_own_id_over_the_whole_run() {
    let mut side = Side::responder(Rules { stay: true, ..rules(0) });
    side.enter("one");
    side.enter("two");
    side.session.acknowledged(1).unwrap();
    side.perform();
    side.session.lost(DisconnectReason::Closed);
    side.perform();
    assert!(matches!(side.notices.last(), Some(Notice::Undelivered { ids, lines: 1 }) if ids[..] == [2]));
    let mut next = Side::of(side.session.successor());
    next.last = side.last;
    next.session.connected(peer(false), connected_notice());
    next.enter("three");
    next.session.acknowledged(1).unwrap();
    next.perform();
    assert_eq!((side.delivered, next.delivered), (vec![1], vec![3]));
}

#[test]
fn nothing_waits_for_somebody_unknown() {
    let person = Side::new(Rules { interactive: true, ..rules(0) });
    let between = Side::of(Side::responder(rules(0)).session.successor());
    for mut side in [person, between] {
        side.last = side.session.numbers.posted;
        for line in ["text", "/verify", "/peer", "/send x"] {
            side.enter(line);
        }
        assert_eq!(side.errors(), ["no-peer"; 4]);
        side.session.connected(peer(false), connected_notice());
        side.perform();
        assert!(side.on_the_way.is_empty());
    }
}

#[test]
fn two_hours_of_idle_leave_nothing_behind() {
    let mut pair = Pair::connected(rules(RECONNECT_FOREVER));
    for second in 0..7_200 {
        for side in &mut pair.sides {
            side.session.at(Duration::from_secs(second));
            side.session.tick();
            side.perform();
            assert!(side.on_the_way.is_empty() && side.notices.len() == 1);
        }
    }
}
