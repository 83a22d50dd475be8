//! Somebody in the peer's place, with keys and frames of its own choice.

use super::attacker::p_and;
use super::*;
use crate::channel::hybrid::{HybridMaterial, KemPair, encapsulate};
use crate::channel::record::read_frame_of;
use crate::keys::{hex, unhex};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{BoxedCryptoResolver, CryptoResolver, DefaultResolver, FallbackResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};

/// What a rogue does.
type Act = fn(&mut Rogue);

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
    let (mut end, mut far) = line((None, None));
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

/// How an honest side ends with a rogue that has shaken hands and then does as one of these acts says.
fn after_noise(role: Role, cases: &[(Act, &str)]) {
    for (act, error) in cases {
        let (outcome, _) = with_rogue(role, None, |rogue| {
            rogue.shake_hands(if role == Role::Initiator { Role::Responder } else { Role::Initiator });
            act(rogue);
        });
        let Err(Failure::Handshake(seen)) = outcome else { panic!("{outcome:?} where {error} is due") };
        assert_eq!(format!("{seen:?}"), *error);
    }
}

#[test]
fn each_malformed_key_exchange_of_an_initiator_ends_with_its_name() {
    let cases: &[(Act, &str)] = &[
        // A coefficient of 3,329: FIPS 203, 7.2.
        (
            |rogue| {
                let mut public = KemPair::from_seed(&[5; 64].into()).public;
                (public[0], public[1]) = (0x01, public[1] & 0xf0 | 0x0d);
                rogue.say(&Frame::KemKey(public));
            },
            "Malformed(HybridKeys)",
        ),
        (|rogue| rogue.say_raw(&[&[0x06], &[0; 1_183][..]].concat()), "UnexpectedFrame(HybridKeys)"),
        (|rogue| rogue.say_raw(&[&[0x06], &[0; 1_185][..]].concat()), "BadLength(HybridKeys, 1202)"),
        (|rogue| rogue.say(&Frame::Commit([1; 32])), "UnexpectedFrame(HybridKeys)"),
        (|rogue| rogue.say(&Frame::KemCt(Box::new([1; 1_088]))), "UnexpectedFrame(HybridKeys)"),
        // A second key where COMMIT is due.
        (
            |rogue| {
                for _ in 0..2 {
                    rogue.say(&Frame::KemKey(KemPair::from_seed(&[5; 64].into()).public));
                }
            },
            "BadLength(Verification, 1201)",
        ),
        // The key from Noise is not the one to go on with.
        (
            |rogue| {
                let noise = rogue.keys.0;
                rogue.exchange_as_initiator(blake3::derive_key("p2pchat/1 2026 sas commitment", &[2; 32]));
                rogue.halves.as_mut().unwrap().0.change_key(&noise).unwrap();
                rogue.say(&Frame::Reveal([2; 32]));
            },
            "Tampered(Verification)",
        ),
        (|rogue| rogue.end.write_all(&[4, 177]).unwrap(), "Closed(HybridKeys)"),
    ];
    after_noise(Role::Responder, cases);
}

#[test]
fn each_malformed_key_exchange_of_a_responder_ends_with_its_name() {
    fn answer(rogue: &mut Rogue) -> (Box<[u8; 1_088]>, HybridMaterial) {
        let Ok(Frame::KemKey(public)) = rogue.hear() else { panic!("no key") };
        encapsulate(rogue.noise.get_handshake_hash(), &public, &[6; 32].into()).unwrap()
    }
    let cases: &[(Act, &str)] = &[
        (|rogue| rogue.say_raw(&[&[0x07], &[0; 1_087][..]].concat()), "UnexpectedFrame(HybridKeys)"),
        (|rogue| rogue.say_raw(&[&[0x07], &[0; 1_089][..]].concat()), "BadLength(HybridKeys, 1106)"),
        (|rogue| rogue.say(&Frame::Nonce([1; 32])), "UnexpectedFrame(HybridKeys)"),
        // Any ciphertext of the right length decapsulates; the two sides then have different keys.
        (
            |rogue| {
                let (mut ciphertext, material) = answer(rogue);
                ciphertext[500] ^= 1;
                rogue.say(&Frame::KemCt(ciphertext));
                rogue.halves.as_mut().unwrap().0.change_key(&material.key(&rogue.keys.0)).unwrap();
                rogue.say(&Frame::Nonce([1; 32]));
            },
            "Tampered(Verification)",
        ),
        // Still under the key from Noise.
        (
            |rogue| {
                let (ciphertext, _) = answer(rogue);
                rogue.say(&Frame::KemCt(ciphertext));
                rogue.say(&Frame::Nonce([1; 32]));
            },
            "Tampered(Verification)",
        ),
    ];
    after_noise(Role::Initiator, cases);
}

/// Every encoding of a point of low order on the curve and its twist: RFC 7748 takes 0, 1, p-1, p, p+1 and the two of order
/// eight, each with and without the bit that X25519 ignores.
fn low_order_points() -> Vec<[u8; 32]> {
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
fn a_low_order_key_is_refused_before_anything_more_is_sent_or_read() {
    let responds: Act = |rogue| {
        rogue.receive(32);
        rogue.send();
        assert!(rogue.end.read_exact(&mut [0]).is_err(), "message 3");
    };
    let initiates: Act = |rogue| {
        rogue.send();
        rogue.receive(96);
        rogue.send();
    };
    for point in low_order_points() {
        for (role, act, sent) in [(Role::Initiator, responds, HELLO + 34), (Role::Responder, initiates, HELLO + 98)] {
            let (outcome, so_far) = with_rogue(role, Some(point), act);
            assert!(matches!(outcome, Err(Failure::Handshake(HandshakeError::LowOrderKey))), "{outcome:?}");
            assert_eq!(so_far, sent);
        }
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
