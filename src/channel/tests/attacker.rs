//! Somebody on the line, or in the peer's place.

use super::*;
use crate::channel::hybrid::{KemPair, encapsulate};
use crate::channel::record::read_frame_of;
use crate::keys::{hex, unhex};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{BoxedCryptoResolver, CryptoResolver, DefaultResolver, FallbackResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};

/// Every fault of the kind `make` at every `step`th byte of a handshake, in both directions and both modes.
fn each_fault(step: usize, make: impl Fn(usize) -> Fault, check: impl Fn(Meeting, bool, Option<&str>, Fault)) {
    for code in [None, Some("3-sly-fox")] {
        let (i, r) = (Person::new(code), Person::new(code));
        r.tries_left.store(usize::MAX, Ordering::SeqCst);
        let whole = meet(&i, &r).sent;
        for (from_initiator, length) in [(true, whole.0.len()), (false, whole.1.len())] {
            for place in places(length).step_by(step) {
                let fault = make(place);
                let faults = if from_initiator { (Some(fault), None) } else { (None, Some(fault)) };
                check(meet_over(&i, &r, line(faults, usize::MAX)), from_initiator, code, fault);
            }
        }
    }
}

/// Every byte, but in the middle of a direction, which is an ML-KEM key or ciphertext, only some.
fn places(length: usize) -> impl Iterator<Item = usize> {
    (0..length).filter(move |place| *place < 180 || place + 60 > length || place % 127 == 0)
}

/// The receiver of what was changed must fail. The sender may have finished, when nothing answers what it sent last: the REVEAL of
/// an initiator without a code, the KEM_CT of a responder with one. Whatever it sends then goes to a closed connection.
fn receiver_fails(meeting: Meeting, from_initiator: bool, code: Option<&str>, fault: Fault) {
    assert!(meeting.initiator.is_err() || meeting.responder.is_err(), "two channels in spite of {fault:?}");
    let (receiver, sender) =
        if from_initiator { (meeting.responder, meeting.initiator) } else { (meeting.initiator, meeting.responder) };
    assert!(receiver.is_err(), "{fault:?} went unnoticed");
    let at = match fault {
        Fault::Flip(at, _) | Fault::Insert(at) | Fault::Delete(at) | Fault::Cut(at) | Fault::Swallow(at) => at,
    };
    let last = match (from_initiator, code) {
        (true, None) => HELLO + 34 + 66 + 1_203 + 51,
        (false, Some(_)) => HELLO + 35 + 98,
        _ => usize::MAX,
    };
    assert!(sender.is_err() || at >= last, "{fault:?} left the sender with a channel");
}

#[test]
fn a_flipped_an_inserted_or_a_missing_byte_anywhere_makes_no_channel() {
    each_fault(1, |place| Fault::Flip(place, 1 << (place % 8)), receiver_fails);
    each_fault(3, Fault::Insert, receiver_fails);
    each_fault(3, Fault::Delete, receiver_fails);
}

#[test]
fn a_cut_anywhere_is_a_close_at_its_stage() {
    each_fault(2, Fault::Cut, |meeting, from_initiator, code, fault| {
        let Fault::Cut(place) = fault else { panic!("another fault") };
        let failed = if from_initiator { &meeting.responder } else { &meeting.initiator };
        match (failed, stage_at(place, from_initiator, code)) {
            (Err(Failure::Stream), None) => {}
            (Err(Failure::Handshake(HandshakeError::CodeUnanswered)), Some(HandshakeStep::Message2))
                if code.is_some() => {}
            (Err(Failure::Handshake(HandshakeError::Closed(stage))), Some(expected)) if *stage == expected => {}
            (other, expected) => panic!("cut at {place}: {other:?} where {expected:?} is due"),
        }
    });
}

#[test]
fn silence_anywhere_is_told_from_a_close() {
    each_fault(2, Fault::Swallow, |meeting, from_initiator, code, fault| {
        let Fault::Swallow(place) = fault else { panic!("another fault") };
        let failed = if from_initiator { meeting.responder } else { meeting.initiator };
        match (failed, stage_at(place, from_initiator, code)) {
            (Err(Failure::Stream), None) => {}
            (Err(Failure::Handshake(error)), Some(expected)) => {
                let HandshakeError::Silent(stage) = error else { panic!("silence at {place}: {error:?}") };
                assert_eq!(stage, expected);
                let guess = code.is_some() && stage == HandshakeStep::Message2 && !from_initiator;
                assert_eq!(error.spent_our_code(if code.is_some() { Mode::Code } else { Mode::Open }), guess);
            }
            other => panic!("silence at {place}: {other:?}"),
        }
    });
}

/// What the receiver of this byte was waiting for; `None` in the hello.
fn stage_at(place: usize, from_initiator: bool, code: Option<&str>) -> Option<HandshakeStep> {
    let messages: &[(usize, HandshakeStep)] = match (from_initiator, code) {
        (true, None) => {
            &[(34, HandshakeStep::Message1), (66, HandshakeStep::Message3), (1_203, HandshakeStep::HybridKeys)]
        }
        (true, Some(_)) => &[
            (35, HandshakeStep::Code),
            (50, HandshakeStep::Message1),
            (66, HandshakeStep::Message3),
            (1_203, HandshakeStep::HybridKeys),
        ],
        (false, None) => &[(98, HandshakeStep::Message2), (1_107, HandshakeStep::HybridKeys)],
        (false, Some(_)) => {
            &[(35, HandshakeStep::Code), (98, HandshakeStep::Message2), (1_107, HandshakeStep::HybridKeys)]
        }
    };
    let mut end = HELLO;
    if place < end {
        return None;
    }
    for (length, stage) in messages {
        end += length;
        if place < end {
            return Some(*stage);
        }
    }
    Some(HandshakeStep::Verification)
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
            let (mut end, mut rogue) = line((None, None), usize::MAX);
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
    let p_and = |low: u8| {
        let mut point = [0xff; 32];
        (point[0], point[31]) = (low, 0x7f);
        point
    };
    // Sent back to its sender; the wrong side; no point of the curve; of order 4 (y = 0), 1, 1 with a sign, 2; y = p and more, up to
    // 2^255 - 1; and a point on the curve that has a part of small order.
    let points = [(b'B', [3; 32]), (b'S', [3; 32]), (b'A', [2; 32])].into_iter().chain(
        [[0; 32], one(0), one(0x80), p_and(0xec), p_and(0xed), p_and(0xee), p_and(0xff), mixed_order()]
            .map(|point| (b'A', point)),
    );
    for (side, point) in points {
        let (mut end, mut rogue) = line((None, None), usize::MAX);
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

/// The sum of a point of the prime order and one of order 2.
fn mixed_order() -> [u8; 32] {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    (ED25519_BASEPOINT_POINT + EIGHT_TORSION[4]).compress().to_bytes()
}

#[test]
fn a_false_responder_that_makes_up_message_2_lacks_the_code() {
    let person = Person::new(Some("1-a-b"));
    let (mut end, mut rogue) = line((None, None), usize::MAX);
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
        let meeting = meet_over(&i, &r, line((None, Some(Fault::Flip(place, 0x80))), usize::MAX));
        assert!(matches!(
            meeting.initiator,
            Err(Failure::Handshake(HandshakeError::Tampered(HandshakeStep::Message2)))
        ));
    }
}

/// A peer of its own making: snow with a chosen static key, and the hand on every frame.
struct Rogue {
    noise: snow::HandshakeState,
    end: End,
    /// For sending and receiving, from Noise.
    keys: ([u8; 32], [u8; 32]),
    halves: Option<(Sealer, Opener)>,
}

impl Rogue {
    fn build(end: End, own: &Hello, theirs: &Hello, role: Role, point: Option<[u8; 32]>) -> Self {
        let (i, r) = match role {
            Role::Initiator => (own.encode(), theirs.encode()),
            Role::Responder => (theirs.encode(), own.encode()),
        };
        let prologue = [b"p2pchat/1", &i[..], &r[..]].concat();
        let usual: BoxedCryptoResolver =
            Box::new(FallbackResolver::new(Box::new(RingResolver), Box::new(DefaultResolver)));
        let resolver = match point {
            Some(point) => Box::new(WeakResolver { point, usual }),
            None => usual,
        };
        let suite = "Noise_XX_25519_AESGCM_SHA256".parse().unwrap();
        let builder = snow::Builder::with_resolver(suite, resolver).prologue(&prologue).unwrap();
        let builder = builder.local_private_key(&[7; 32]).unwrap();
        let noise = match role {
            Role::Initiator => builder.build_initiator(),
            Role::Responder => builder.build_responder(),
        };
        Self { noise: noise.unwrap(), end, keys: Default::default(), halves: None }
    }

    fn send(&mut self) {
        let mut room = [0; 200];
        let length = self.noise.write_message(&[], &mut room).unwrap();
        self.end.write_all(&u16::try_from(length).unwrap().to_be_bytes()).unwrap();
        self.end.write_all(&room[..length]).unwrap();
    }

    fn receive(&mut self, length: usize) {
        let mut room = vec![0; 2 + length];
        self.end.read_exact(&mut room).unwrap();
        self.noise.read_message(&room[2..], &mut []).unwrap();
    }

    /// Noise up to its end, as the initiator or the responder.
    fn shake_hands(&mut self, role: Role) {
        if role == Role::Initiator {
            self.send();
            self.receive(96);
            self.send();
        } else {
            self.receive(32);
            self.send();
            self.receive(64);
        }
        let (i, r) = self.noise.dangerously_get_raw_split();
        let (send, receive) = if role == Role::Initiator { (i, r) } else { (r, i) };
        self.keys = (send, receive);
        self.halves = Some((Sealer::new(&send).unwrap(), Opener::new(&receive).unwrap()));
    }

    fn say(&mut self, frame: &Frame) {
        write_frame(&mut self.end, &mut self.halves.as_mut().unwrap().0, frame).unwrap();
    }

    /// A record with anything in it.
    fn say_raw(&mut self, frame: &[u8]) {
        let record = records::sealed(&mut self.halves.as_mut().unwrap().0, frame);
        self.end.write_all(&record).unwrap();
    }

    fn hear(&mut self) -> Result<Frame, ReadError> {
        read_frame_of(&mut self.end, &mut self.halves.as_mut().unwrap().1, 2_000)
    }

    /// The initiator's part of the key exchange, COMMIT included, with `commit` for it.
    fn exchange_as_initiator(&mut self, commit: [u8; 32]) {
        let pair = KemPair::from_seed(&[5; 64].into());
        self.say(&Frame::KemKey(pair.public.clone()));
        self.say(&Frame::Commit(commit));
        let Ok(Frame::KemCt(ciphertext)) = self.hear() else { panic!("no ciphertext") };
        let material = pair.finish(self.noise.get_handshake_hash(), &ciphertext);
        let (sealer, opener) = self.halves.as_mut().unwrap();
        sealer.change_key(&material.key(&self.keys.0)).unwrap();
        opener.change_key(&material.key(&self.keys.1)).unwrap();
    }
}

/// A connection of an honest `role` with a rogue, who does as `act` says.
fn with_rogue(
    role: Role,
    point: Option<[u8; 32]>,
    act: impl FnOnce(&mut Rogue) + Send,
) -> (Result<Channel, Failure>, usize) {
    let person = Person::new(None);
    let (own, theirs) = (person.hello(), person.hello());
    let (mut end, mut far) = line((None, None), usize::MAX);
    thread::scope(|scope| {
        scope.spawn(|| {
            far.write_all(&theirs.encode()).unwrap();
            far.read_exact(&mut [0; HELLO]).unwrap();
            let role = if role == Role::Initiator { Role::Responder } else { Role::Initiator };
            let mut rogue = Rogue::build(far, &theirs, &own, role, point);
            act(&mut rogue);
        });
        let outcome = person.connect(role, &own, &mut end);
        end.rest();
        (outcome, end.sent().len())
    })
}

#[test]
fn a_reveal_unlike_the_commitment_is_tampering() {
    let (outcome, _) = with_rogue(Role::Responder, None, |rogue| {
        rogue.shake_hands(Role::Initiator);
        rogue.exchange_as_initiator([1; 32]);
        assert!(matches!(rogue.hear(), Ok(Frame::Nonce(_))));
        rogue.say(&Frame::Reveal([2; 32]));
    });
    assert!(matches!(outcome, Err(Failure::Handshake(HandshakeError::Commitment))), "{outcome:?}");
}

/// How an honest side ends with a rogue that has shaken hands and then does as `act` says.
fn after_noise(role: Role, act: impl FnOnce(&mut Rogue) + Send) -> HandshakeError {
    let (outcome, _) = with_rogue(role, None, |rogue| {
        rogue.shake_hands(if role == Role::Initiator { Role::Responder } else { Role::Initiator });
        act(rogue);
    });
    let Err(Failure::Handshake(error)) = outcome else { panic!("{outcome:?}") };
    error
}

#[test]
fn each_malformed_key_exchange_of_an_initiator_ends_with_its_name() {
    use HandshakeError::{BadLength, Closed, Malformed, Tampered, UnexpectedFrame};
    use HandshakeStep::{HybridKeys, Verification};
    let refused = |act: fn(&mut Rogue)| after_noise(Role::Responder, act);
    // A coefficient of 3,329: FIPS 203, 7.2.
    let malformed = refused(|rogue| {
        let mut public = KemPair::from_seed(&[5; 64].into()).public;
        (public[0], public[1]) = (0x01, public[1] & 0xf0 | 0x0d);
        rogue.say(&Frame::KemKey(public));
    });
    assert!(matches!(malformed, Malformed(HybridKeys)), "{malformed:?}");
    let short = refused(|rogue| rogue.say_raw(&[&[0x06], &[0; 1_183][..]].concat()));
    assert!(matches!(short, UnexpectedFrame(HybridKeys)), "{short:?}");
    let long = refused(|rogue| rogue.say_raw(&[&[0x06], &[0; 1_185][..]].concat()));
    assert!(matches!(long, BadLength(HybridKeys, 1_202)), "{long:?}");
    let another = refused(|rogue| rogue.say(&Frame::Commit([1; 32])));
    assert!(matches!(another, UnexpectedFrame(HybridKeys)), "{another:?}");
    let ciphertext = refused(|rogue| rogue.say(&Frame::KemCt(Box::new([1; 1_088]))));
    assert!(matches!(ciphertext, UnexpectedFrame(HybridKeys)), "{ciphertext:?}");
    let twice = refused(|rogue| {
        rogue.say(&Frame::KemKey(KemPair::from_seed(&[5; 64].into()).public));
        rogue.say(&Frame::KemKey(KemPair::from_seed(&[5; 64].into()).public));
    });
    assert!(matches!(twice, BadLength(Verification, 1_201)), "{twice:?}");
    let old_key = refused(|rogue| {
        let noise = rogue.keys.0;
        rogue.exchange_as_initiator(blake3::derive_key("p2pchat/1 2026 sas commitment", &[2; 32]));
        rogue.halves.as_mut().unwrap().0.change_key(&noise).unwrap();
        rogue.say(&Frame::Reveal([2; 32]));
    });
    assert!(matches!(old_key, Tampered(Verification)), "{old_key:?}");
    let cut = refused(|rogue| rogue.end.write_all(&[4, 177]).unwrap());
    assert!(matches!(cut, Closed(HybridKeys)), "{cut:?}");
}

#[test]
fn each_malformed_key_exchange_of_a_responder_ends_with_its_name() {
    use HandshakeError::{BadLength, Tampered, UnexpectedFrame};
    use HandshakeStep::{HybridKeys, Verification};
    let refused = |act: fn(&mut Rogue)| after_noise(Role::Initiator, act);
    let short = refused(|rogue| rogue.say_raw(&[&[0x07], &[0; 1_087][..]].concat()));
    assert!(matches!(short, UnexpectedFrame(HybridKeys)), "{short:?}");
    let long = refused(|rogue| rogue.say_raw(&[&[0x07], &[0; 1_089][..]].concat()));
    assert!(matches!(long, BadLength(HybridKeys, 1_106)), "{long:?}");
    let skipped = refused(|rogue| rogue.say(&Frame::Nonce([1; 32])));
    assert!(matches!(skipped, UnexpectedFrame(HybridKeys)), "{skipped:?}");
    let answer = |rogue: &mut Rogue| {
        let Ok(Frame::KemKey(public)) = rogue.hear() else { panic!("no key") };
        encapsulate(rogue.noise.get_handshake_hash(), &public, &[6; 32].into()).unwrap()
    };
    // Any ciphertext of the right length decapsulates; the two sides then have different keys.
    let (outcome, _) = with_rogue(Role::Initiator, None, |rogue| {
        rogue.shake_hands(Role::Responder);
        let (mut ciphertext, material) = answer(rogue);
        ciphertext[500] ^= 1;
        rogue.say(&Frame::KemCt(ciphertext));
        rogue.halves.as_mut().unwrap().0.change_key(&material.key(&rogue.keys.0)).unwrap();
        rogue.say(&Frame::Nonce([1; 32]));
    });
    assert!(matches!(outcome, Err(Failure::Handshake(Tampered(Verification)))), "{outcome:?}");
    let (outcome, _) = with_rogue(Role::Initiator, None, |rogue| {
        rogue.shake_hands(Role::Responder);
        let (ciphertext, _) = answer(rogue);
        rogue.say(&Frame::KemCt(ciphertext));
        // Still under the key from Noise.
        rogue.say(&Frame::Nonce([1; 32]));
    });
    assert!(matches!(outcome, Err(Failure::Handshake(Tampered(Verification)))), "{outcome:?}");
}

/// Every encoding of a point of low order on the curve and its twist: RFC 7748 takes 0, 1, p-1, p, p+1 and the two of order
/// eight, each with and without the bit that X25519 ignores.
fn low_order_points() -> Vec<[u8; 32]> {
    let p_and = |low: u8| {
        let mut point = [0xff; 32];
        (point[0], point[31]) = (low, 0x7f);
        point
    };
    let mut one = [0; 32];
    one[0] = 1;
    let order_8 = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ];
    let mut points = vec![[0; 32], one, p_and(0xec), p_and(0xed), p_and(0xee)];
    points.extend(order_8.iter().map(|text| unhex(text).unwrap()));
    for mut point in points.clone() {
        point[31] |= 0x80;
        points.push(point);
    }
    points
}

#[test]
fn every_low_order_key_is_known_and_an_honest_one_is_not() {
    for point in low_order_points() {
        assert!(PublicKey(point).is_low_order(), "{}", hex(&point));
    }
    assert!(!Identity::generate().unwrap().public().is_low_order());
    let mut nine = [0; 32];
    nine[0] = 9;
    assert!(!PublicKey(nine).is_low_order());
}

#[test]
fn a_low_order_key_of_the_responder_is_refused_before_message_3() {
    for point in low_order_points() {
        let (outcome, sent) = with_rogue(Role::Initiator, Some(point), |rogue| {
            rogue.receive(32);
            rogue.send();
            assert!(rogue.end.read_exact(&mut [0]).is_err());
        });
        assert!(matches!(outcome, Err(Failure::Handshake(HandshakeError::LowOrderKey))), "{outcome:?}");
        assert_eq!(sent, HELLO + 34);
    }
}

#[test]
fn a_low_order_key_of_the_initiator_is_refused_before_anything_is_read() {
    for point in low_order_points() {
        let (outcome, sent) = with_rogue(Role::Responder, Some(point), |rogue| {
            rogue.send();
            rogue.receive(96);
            rogue.send();
        });
        assert!(matches!(outcome, Err(Failure::Handshake(HandshakeError::LowOrderKey))), "{outcome:?}");
        assert_eq!(sent, HELLO + 98);
    }
}

/// Gives X25519 a static key of low order, with which every exchange is zero.
struct WeakResolver {
    point: [u8; 32],
    usual: BoxedCryptoResolver,
}

struct WeakDh {
    point: [u8; 32],
    is_static: bool,
    usual: Box<dyn Dh>,
}

impl CryptoResolver for WeakResolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        self.usual.resolve_rng()
    }
    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(WeakDh { point: self.point, is_static: false, usual: self.usual.resolve_dh(choice)? }))
    }
    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        self.usual.resolve_hash(choice)
    }
    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        self.usual.resolve_cipher(choice)
    }
}

impl Dh for WeakDh {
    fn name(&self) -> &'static str {
        self.usual.name()
    }
    fn pub_len(&self) -> usize {
        32
    }
    fn priv_len(&self) -> usize {
        32
    }
    fn set(&mut self, _: &[u8]) {
        self.is_static = true;
    }
    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        self.usual.generate(rng)
    }
    fn pubkey(&self) -> &[u8] {
        if self.is_static { &self.point } else { self.usual.pubkey() }
    }
    fn privkey(&self) -> &[u8] {
        self.usual.privkey()
    }
    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        if self.is_static {
            out.fill(0);
            return Ok(());
        }
        self.usual.dh(pubkey, out)
    }
}
