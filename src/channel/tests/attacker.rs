//! Somebody on the line, who changes, ends or makes up what passes.

use super::*;

#[test]
fn an_end_and_silence_are_told_apart_with_their_step() {
    for (code, from_initiator) in [(None, true), (None, false), (Some("3-sly-fox"), true), (Some("3-sly-fox"), false)] {
        let (i, r) = (Person::new(code), Person::new(code));
        r.tries_left.store(usize::MAX, Ordering::SeqCst);
        let whole = meet(&i, &r).sent;
        let whole = if from_initiator { whole.0 } else { whole.1 };
        let step_at = |place| step_at(place, from_initiator, code);
        let is_first_or_last = |place: &usize| step_at(place.wrapping_sub(1)) != step_at(place + 1);
        for place in (0..whole.len()).filter(is_first_or_last) {
            for fault in [Fault::Cut(place), Fault::Swallow(place)] {
                let faults = if from_initiator { (Some(fault), None) } else { (None, Some(fault)) };
                let meeting = meet_over(&i, &r, line(faults));
                let failed = if from_initiator { meeting.responder } else { meeting.initiator };
                let Some(step) = step_at(place) else {
                    assert!(matches!(failed, Err(Failure::Stream)), "{fault:?}: {failed:?}");
                    continue;
                };
                let Err(Failure::Handshake(error)) = failed else { panic!("{fault:?}: {failed:?}") };
                let guess = code.is_some() && step == HandshakeStep::Message2;
                match (&error, fault) {
                    (HandshakeError::CodeUnanswered, Fault::Cut(_)) => assert!(guess, "{fault:?}"),
                    (HandshakeError::Closed(at), Fault::Cut(_)) | (HandshakeError::Silent(at), Fault::Swallow(_)) => {
                        assert_eq!(*at, step, "{fault:?}");
                    }
                    _ => panic!("{fault:?}: {error:?}"),
                }
                assert_eq!(code.is_some() && error.spent_our_code(), guess);
            }
        }
    }
}

/// What the receiver of this byte was waiting for; `None` in the hello.
fn step_at(place: usize, from_initiator: bool, code: Option<&str>) -> Option<HandshakeStep> {
    use HandshakeStep::{Code, HybridKeys, Message1, Message2, Message3, Verification};
    let (spake, message_1) = if code.is_some() { (35, 50) } else { (0, 34) };
    let steps: &[(usize, HandshakeStep)] = match from_initiator {
        true => &[(spake, Code), (message_1, Message1), (66, Message3), (1_203, HybridKeys)],
        false => &[(spake, Code), (98, Message2), (1_107, HybridKeys)],
    };
    let mut left = place.checked_sub(HELLO)?;
    for (length, step) in steps {
        match left.checked_sub(*length) {
            Some(after) => left = after,
            None => return Some(*step),
        }
    }
    Some(Verification)
}

#[test]
fn the_wrong_length_is_refused_before_its_bytes_are_read() {
    // The peer says only a hello and a length; a side that waited for the message would hear silence.
    for (role, code, stage, right) in [
        (Role::Responder, None, HandshakeStep::Message1, 32),
        (Role::Initiator, None, HandshakeStep::Message2, 96),
        (Role::Initiator, Some("1-a-b"), HandshakeStep::Code, 33),
        (Role::Responder, Some("1-a-b"), HandshakeStep::Code, 33),
    ] {
        for length in [0, 1, right - 1, right + 1, 48, u16::MAX] {
            let person = Person::new(code);
            let (mut end, mut rogue) = line((None, None));
            rogue.write_all(&person.hello().encode()).unwrap();
            rogue.write_all(&length.to_be_bytes()).unwrap();
            let outcome = person.connect(role, &person.hello(), &mut end);
            match outcome {
                Err(Failure::Handshake(HandshakeError::BadLength(at, seen))) => assert_eq!((at, seen), (stage, length)),
                other => panic!("{length} bytes: {other:?}"),
            }
        }
    }
}

#[test]
fn a_malformed_spake_message_is_no_try() {
    let person = Person::new(Some("1-a-b"));
    let one = |last: u8| {
        let mut point = [0; 32];
        (point[0], point[31]) = (1, last);
        point
    };
    // Sent back to its sender; the wrong side; no point of the curve; of order 4 (y = 0), 1, 1 with a sign, 2; y = p and more, up to
    // 2^255 - 1; and a point on the curve that has a part of small order.
    let points = [(b'B', [3; 32]), (b'S', [3; 32]), (b'A', [2; 32])].into_iter().chain(
        [[0; 32], one(0), one(0x80), p_and(0xec), p_and(0xed), p_and(0xee), p_and(0xff), mixed_order()]
            .map(|point| (b'A', point)),
    );
    for (side, point) in points {
        let (mut end, mut rogue) = line((None, None));
        rogue.write_all(&person.hello().encode()).unwrap();
        rogue.write_all(&[&[0, 33, side], &point[..]].concat()).unwrap();
        let outcome = person.connect(Role::Responder, &person.hello(), &mut end);
        assert!(
            matches!(outcome, Err(Failure::Handshake(HandshakeError::Malformed(HandshakeStep::Code)))),
            "{side} {point:02x?}: {outcome:?}"
        );
    }
    assert_eq!(person.tries_left.load(Ordering::SeqCst), 3);
}

/// p = 2^255 - 19 with another lowest byte.
pub(super) fn p_and(low: u8) -> [u8; 32] {
    let mut point = [0xff; 32];
    (point[0], point[31]) = (low, 0x7f);
    point
}

/// The sum of a point of the prime order and one of order 2.
fn mixed_order() -> [u8; 32] {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    (ED25519_BASEPOINT_POINT + EIGHT_TORSION[4]).compress().to_bytes()
}

#[test]
fn a_false_responder_that_makes_up_message_2_lacks_the_code() {
    let person = Person::new(Some("1-a-b"));
    let (mut end, mut rogue) = line((None, None));
    let (_, spake) = spake2::Spake2::<spake2::Ed25519Group>::start_b(
        &spake2::Password::new("1ac"),
        &spake2::Identity::new(b"p2pchat/1 initiator"),
        &spake2::Identity::new(b"p2pchat/1 responder"),
    );
    rogue.write_all(&person.hello().encode()).unwrap();
    rogue.write_all(&[&[0, 33], spake.as_slice(), &[0, 96], &[9; 96]].concat()).unwrap();
    let outcome = person.connect(Role::Initiator, &person.hello(), &mut end);
    assert!(matches!(outcome, Err(Failure::Handshake(HandshakeError::WrongCode))), "{outcome:?}");
    assert_eq!(end.sent().len(), HELLO + 35 + 50, "message 3 was not sent");
}

#[test]
fn a_nonce_changed_in_the_hello_shows_at_message_2() {
    let (i, r) = (Person::new(None), Person::new(None));
    for place in 12..HELLO {
        let meeting = meet_over(&i, &r, line((None, Some(Fault::Flip(place, 0x80)))));
        assert!(matches!(
            meeting.initiator,
            Err(Failure::Handshake(HandshakeError::Tampered(HandshakeStep::Message2)))
        ));
    }
}
