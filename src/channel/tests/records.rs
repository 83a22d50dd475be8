//! Records against snow's own transport, and against somebody who touches them.

use super::*;
use crate::channel::record::skip_to;
use snow::StatelessTransportState;

/// The interval of PROTOCOL.md section 4, written again so that a changed constant shows.
pub(super) const INTERVAL: u64 = 1_048_576;

/// The halves of both sides, and snow's transports over the same handshake.
struct Pair {
    i: (Sealer, Opener),
    r: (Sealer, Opener),
    snow: (StatelessTransportState, StatelessTransportState),
}

fn pair() -> Pair {
    let build = |key: u8| {
        let builder = snow::Builder::new("Noise_XX_25519_AESGCM_SHA256".parse().unwrap());
        (builder, [key; 32])
    };
    let ((i, key_i), (r, key_r)) = (build(1), build(2));
    let mut i = i.local_private_key(&key_i).unwrap().build_initiator().unwrap();
    let mut r = r.local_private_key(&key_r).unwrap().build_responder().unwrap();
    let mut room = [0; 200];
    for turn in 0..3 {
        let (from, to) = if turn == 1 { (&mut r, &mut i) } else { (&mut i, &mut r) };
        let length = from.write_message(&[], &mut room).unwrap();
        to.read_message(&room[..length], &mut []).unwrap();
    }
    let halves = |keys: ([u8; 32], [u8; 32])| (Sealer::new(&keys.0).unwrap(), Opener::new(&keys.1).unwrap());
    let (first, second) = i.dangerously_get_raw_split();
    assert_eq!((first, second), r.dangerously_get_raw_split());
    Pair {
        i: halves((first, second)),
        r: halves((second, first)),
        snow: (i.into_stateless_transport_mode().unwrap(), r.into_stateless_transport_mode().unwrap()),
    }
}

pub(super) fn sealed(sealer: &mut Sealer, frame: &[u8]) -> Vec<u8> {
    let mut record = [&[0xee; LENGTH], frame, &[0xee; TAG]].concat();
    sealer.seal(&mut record).unwrap();
    record
}

fn snow_sealed(snow: &StatelessTransportState, counter: u64, frame: &[u8]) -> Vec<u8> {
    let mut body = vec![0; frame.len() + TAG];
    let length = snow.write_message(counter, frame, &mut body).unwrap();
    assert_eq!(length, body.len());
    [&u16::try_from(length).unwrap().to_be_bytes(), body.as_slice()].concat()
}

pub(super) fn opened(opener: &mut Opener, record: &[u8]) -> Result<Vec<u8>, DecryptError> {
    let mut body = record[LENGTH..].to_vec();
    opener.open(&mut body)?;
    body.truncate(body.len() - TAG);
    Ok(body)
}

/// One record of each side at `counter`: ours equals snow's byte for byte, and each opens the other's.
fn agree_at(pair: &mut Pair, counter: u64, frame: &[u8]) {
    let from_i = sealed(&mut pair.i.0, frame);
    assert_eq!(from_i, snow_sealed(&pair.snow.0, counter, frame));
    assert_eq!(opened(&mut pair.r.1, &from_i).unwrap(), frame);
    let from_r = sealed(&mut pair.r.0, frame);
    assert_eq!(from_r, snow_sealed(&pair.snow.1, counter, frame));
    assert_eq!(opened(&mut pair.i.1, &from_r).unwrap(), frame);
    let mut room = vec![0; frame.len() + TAG];
    assert_eq!(pair.snow.1.read_message(counter, &from_i[LENGTH..], &mut room).unwrap(), frame.len());
    assert_eq!(pair.snow.0.read_message(counter, &from_r[LENGTH..], &mut room).unwrap(), frame.len());
}

fn skip_all(pair: &mut Pair, counter: u64) {
    skip_to(counter, Some(&mut pair.i.0), Some(&mut pair.i.1));
    skip_to(counter, Some(&mut pair.r.0), Some(&mut pair.r.1));
}

fn rekey_snow(pair: &mut Pair) {
    for side in [&mut pair.snow.0, &mut pair.snow.1] {
        side.rekey_outgoing();
        side.rekey_incoming();
    }
}

#[test]
fn records_equal_snows_byte_for_byte_in_both_directions() {
    let mut pair = pair();
    for (counter, length) in (0..).zip([1, 2, 15, 16, 17, 1000, 61_453, 65_519]) {
        let frame: Vec<u8> = (0..=250).cycle().take(length).collect();
        agree_at(&mut pair, counter, &frame);
    }
}

#[test]
fn the_key_changes_after_each_interval_as_snows_does_and_the_counter_goes_on() {
    let mut pair = pair();
    for round in 1..=3 {
        let edge = round * INTERVAL;
        skip_all(&mut pair, edge - 2);
        agree_at(&mut pair, edge - 2, b"last but one");
        agree_at(&mut pair, edge - 1, b"last");
        rekey_snow(&mut pair);
        agree_at(&mut pair, edge, b"first under the next key");
        agree_at(&mut pair, edge + 1, b"second");
    }
}

#[test]
fn the_last_counter_seals_and_opens_nothing() {
    let mut pair = pair();
    skip_all(&mut pair, u64::MAX - 1);
    let last = sealed(&mut pair.i.0, b"x");
    assert!(opened(&mut pair.r.1, &last).is_ok());
    let mut record = [0; LENGTH + 1 + TAG];
    assert_eq!(pair.i.0.seal(&mut record), Err(SealError));
    assert_eq!(pair.i.0.seal(&mut record), Err(SealError));
    assert_eq!(opened(&mut pair.r.1, &record), Err(DecryptError));
}

#[test]
fn a_frame_that_no_record_holds_is_not_sealed_and_costs_nothing() {
    let mut pair = pair();
    for length in [0, 1, 2, LENGTH + TAG, LENGTH + 65_536] {
        assert_eq!(pair.i.0.seal(&mut vec![0; length]), Err(SealError), "{length}");
    }
    agree_at(&mut pair, 0, b"the counter has not moved");
}

/// A record that must not open; then neither does the right one, and nothing of either is left to read.
fn spoils(change: impl Fn(&mut Pair) -> Vec<u8>) {
    let mut pair = pair();
    let mut body = change(&mut pair);
    assert_eq!(pair.r.1.open(&mut body), Err(DecryptError));
    assert!(body.iter().all(|byte| *byte == 0));
    let mut next = sealed(&mut pair.i.0, b"next").split_off(LENGTH);
    assert_eq!(pair.r.1.open(&mut next), Err(DecryptError));
    assert!(next.iter().all(|byte| *byte == 0));
}

#[test]
fn a_flipped_bit_in_a_record_spoils_the_connection() {
    let frame = b"0123456789";
    for bit in 0..8 * (frame.len() + TAG) {
        let flip = |pair: &mut Pair| {
            let mut body = sealed(&mut pair.i.0, frame).split_off(LENGTH);
            body[bit / 8] ^= 1 << (bit % 8);
            body
        };
        spoils(flip);
    }
}

#[test]
fn a_record_that_came_back_to_its_sender_spoils_the_connection() {
    spoils(|pair| sealed(&mut pair.r.0, b"to its sender").split_off(LENGTH));
}

#[test]
fn a_record_of_impossible_length_spoils_the_connection() {
    for length in [0, 1, 15, 16, 65_536] {
        spoils(|_| vec![1; length]);
    }
}

#[test]
fn an_opening_frame_of_the_wrong_length_is_refused_before_it_is_read() {
    for length in [0_u16, 16, 120, 65_535] {
        let mut pair = pair();
        // Only the length is there: to read on would be an end of the stream.
        let outcome = read_frame(&mut &length.to_be_bytes()[..], &mut pair.r.1);
        assert!(matches!(outcome, Err(ReadError::Length(seen)) if seen == length), "{outcome:?}");
    }
}
