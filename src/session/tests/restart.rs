//! A restart of the peer's program is a loss like any other.

use super::*;
use crate::command::{SendSource, StreamReader};

fn person() -> Rules {
    Rules { interactive: true, ..rules(300) }
}

fn texts(side: &Side) -> Vec<&str> {
    side.posted.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn a_person_is_asked_before_lines_are_sent_again() {
    for (answer, seen) in [(Some(true), vec!["new", "old"]), (Some(false), vec!["new"]), (None, vec!["new"])] {
        let mut pair = Pair::connected(person());
        pair.sides[0].enter("old");
        pair.restart(1, person());
        assert!(matches!(pair.sides[0].questions[..], [(_, Question::Resend { lines: 1 })]));
        pair.sides[0].enter("new");
        if let Some(yes) = answer {
            pair.sides[0].answer(yes);
        }
        pair.quiesce();
        assert_eq!(texts(&pair.sides[1]), seen);
        pair.sides[0].enter("/quit");
        pair.quiesce();
        pair.cut();
        assert_eq!(pair.sides[0].ended, Some(SessionEnd::Polite { by_peer: false }), "{answer:?}");
        assert_eq!(pair.sides[0].session.is_incomplete(), answer.is_none(), "{answer:?}");
    }
}

#[test]
fn own_offers_are_offered_again_with_the_very_list_under_new_numbers() {
    let mut pair = Pair::connected(rules(300));
    pair.sides[1].enter("/send file");
    pair.sides[1].enter("/send later");
    pair.sides[1].work(0);
    pair.restart(0, rules(300));
    let survivor = &mut pair.sides[1];
    assert_eq!(survivor.renumbered, [(2, 6)]);
    assert!(matches!(survivor.work[..], [Work::Scan(8)]));
    let was =
        |notice: &Notice| if let Notice::Offer { transfer, was, .. } = notice { Some((*transfer, *was)) } else { None };
    assert_eq!(survivor.notices.iter().filter_map(was).collect::<Vec<_>>(), [(2, None), (6, Some(2))]);
    // Once more: what was never offered has no number to end.
    pair.restart(0, rules(300));
    assert_eq!(pair.sides[1].renumbered, [(2, 6), (6, 10)]);
    pair.quiesce();
    pair.sides[0].answer(true);
    pair.sides[0].answer(true);
    pair.quiesce();
    let mut ends = pair.sides[1].ends();
    ends.sort_unstable();
    assert_eq!(ends, [(10, "done"), (12, "done")]);
    assert_eq!(pair.sides[1].notices.iter().filter_map(was).collect::<Vec<_>>()[2..], [(10, Some(6)), (12, None)]);
}

#[test]
fn what_is_not_offered_again_ends_with_the_session() {
    let mut pair = Pair::connected(rules(300));
    pair.sides[0].enter("/send file");
    pair.quiesce();
    pair.sides[1].answer(true);
    pair.restart(0, rules(300));
    pair.sides[0].enter("/quit");
    pair.quiesce();
    pair.cut();
    assert_eq!(pair.sides[1].ends(), [(1, "failed")]);
    assert_eq!(pair.sides[1].ended, Some(SessionEnd::Polite { by_peer: true }));
    assert!(pair.sides[1].session.is_incomplete());
}

#[test]
fn streams_fail() {
    let stream = Offer { bytes: crate::protocol::frame::STREAM_BYTES, ..an_offer() };
    let mut side = Side::responder(rules(300));
    side.enter("/send x");
    let scanned = UploadReport::Scanned { offer: stream.clone(), list: manifest_of("x"), left_out: LeftOut::default() };
    side.session.upload(2, scanned);
    side.session.control(1, Control::Offer { transfer: 1, offer: stream }).unwrap();
    side.session.listed(1, Vec::new());
    side.session.download(1, looked());
    // One that is not offered yet.
    let reader = StreamReader::new(std::io::empty());
    side.session.input(Input::Send(SendSource::Stream { name: "-".into(), reader }));
    side.session.lost(DisconnectReason::Closed);
    side.perform();
    side.session.connected(peer(false), connected_notice());
    side.perform();
    let mut ends = side.ends();
    ends.sort_unstable();
    assert_eq!(ends, [(1, "failed"), (2, "failed"), (4, "failed")]);
}
