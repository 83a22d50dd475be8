//! From two checked hellos to a channel.
//!
//! Owner of the handshake's messages: SPAKE2, Noise, the hybrid keys, the verification number. Each step either goes on or drops
//! everything; no state of a handshake outlives [`establish`].

use super::hybrid::{HybridMaterial, KemPair, MESSAGE, SEED, encapsulate};
use super::record::read_frame_of;
use super::{
    Channel, Code, HandshakeError, HandshakeStep, Hello, Mode, Opener, PublicKey, ReadError, Role, Sealer, StreamError,
    Terms, Verification, write_frame,
};
use crate::protocol::frame::{Frame, KEM_CT, KEM_KEY};
use crate::text::SafeText;
use curve25519_dalek::edwards::CompressedEdwardsY;
use snow::HandshakeState;
use spake2::{Ed25519Group, Identity as Side, Password, Spake2};
use std::io::{Read, Write};
use zeroize::Zeroizing;

const NOISE_OPEN: &str = "Noise_XX_25519_AESGCM_SHA256";
const NOISE_CODE: &str = "Noise_XXpsk0_25519_AESGCM_SHA256";
const PROLOGUE: &[u8] = b"p2pchat/1";
const SIDE_INITIATOR: &[u8] = b"p2pchat/1 initiator";
const SIDE_RESPONDER: &[u8] = b"p2pchat/1 responder";
const PSK_CONTEXT: &str = "p2pchat/1 2026 spake2 key to noise psk";
const COMMITMENT_CONTEXT: &str = "p2pchat/1 2026 sas commitment";
const VERIFICATION_CONTEXT: &str = "p2pchat/1 2026 sas";

/// Bytes of a SPAKE2 message: the side and a point.
const SPAKE: usize = 33;
/// Bytes of message 1 (PROTOCOL.md section 3); with a psk also its empty payload has a tag.
const MESSAGE_1_OPEN: usize = 32;
const MESSAGE_1_CODE: usize = 48;
/// Bytes of message 2.
const MESSAGE_2: usize = 96;
/// The longest body of a frame of the verification number.
const VERIFICATION: usize = 32;
/// Bytes of message 3.
const MESSAGE_3: usize = 64;
/// Room for the longest message and the tag that snow wants room for after each, needed or not.
const ROOM: usize = MESSAGE_2 + super::TAG;

/// Makes a channel from a stream on which both hellos have passed.
///
/// Blocks until it stands or fails; a deadline on the stream is the only bound in time. Nothing was read beyond the
/// handshake's own bytes, so the stream goes on at the first record that the session sends.
///
/// # Errors
/// Says what went wrong and whose fault it is; then the stream is to be closed without a word.
pub fn establish<S: Read + Write>(
    stream: &mut S,
    own: &Hello,
    theirs: &Hello,
    terms: &Terms<'_>,
) -> Result<Channel, HandshakeError> {
    establish_with(stream, own, theirs, terms, &FixedRandomness::default())
}

/// The random choices of one side, `None` for fresh ones. Only the test vectors fix them.
#[derive(Default)]
pub(super) struct FixedRandomness {
    /// The bytes that give the SPAKE2 scalar.
    pub(super) spake: Option<[u8; 64]>,
    /// The private key of `e`.
    pub(super) ephemeral: Option<[u8; 32]>,
    /// The seed of the initiator's ML-KEM key pair.
    pub(super) kem_seed: Option<[u8; SEED]>,
    /// The randomness of the responder's encapsulation.
    pub(super) kem_message: Option<[u8; MESSAGE]>,
    /// The nonce for the verification number.
    pub(super) nonce: Option<[u8; 32]>,
}

pub(super) fn establish_with<S: Read + Write>(
    stream: &mut S,
    own: &Hello,
    theirs: &Hello,
    terms: &Terms<'_>,
    fixed: &FixedRandomness,
) -> Result<Channel, HandshakeError> {
    let agreed = match (own.mode(), terms.code) {
        (Mode::Open, None) => None,
        (Mode::Code, Some(code)) => Some(agree(stream, terms.role, code, fixed)?),
        _ => return Err(HandshakeError::Internal("the mode and the code do not belong together")),
    };
    let mut noise = begin(own, theirs, terms, agreed.as_ref(), fixed)?;
    let (peer, warning) = match terms.role {
        Role::Initiator => initiate(stream, &mut noise, terms)?,
        Role::Responder => respond(stream, &mut noise, terms)?,
    };
    let mut records = Records::new(stream, &mut noise, terms.role)?;
    let hash = noise.get_handshake_hash();
    let nonces = match (terms.role, own.mode()) {
        (Role::Initiator, mode) => records.initiate(hash, mode, fixed)?,
        (Role::Responder, mode) => records.respond(hash, mode, fixed)?,
    };
    let Records { sealer, opener, .. } = records;
    let verification = nonces.map(|(nonce_i, nonce_r)| verification(hash, &nonce_i, &nonce_r));
    Ok(Channel { sealer, opener, peer, warning, verification })
}

/// What the two SPAKE2 messages gave.
struct Agreed {
    message_i: Vec<u8>,
    message_r: Vec<u8>,
    psk: Zeroizing<[u8; 32]>,
}

fn agree<S: Read + Write>(
    stream: &mut S,
    role: Role,
    code: &Code,
    fixed: &FixedRandomness,
) -> Result<Agreed, HandshakeError> {
    let (state, ours) = start_spake(role, code, fixed);
    send(stream, HandshakeStep::Code, &ours)?;
    let theirs = receive(stream, HandshakeStep::Code, SPAKE)?;
    let malformed = HandshakeError::Malformed(HandshakeStep::Code);
    if !theirs.last_chunk().is_some_and(is_of_prime_order) {
        return Err(malformed);
    }
    let key = Zeroizing::new(state.finish(&theirs).map_err(|_| malformed)?);
    let psk = Zeroizing::new(blake3::derive_key(PSK_CONTEXT, &key));
    let (message_i, message_r) = match role {
        Role::Initiator => (ours, theirs),
        Role::Responder => (theirs, ours),
    };
    Ok(Agreed { message_i, message_r, psk })
}

/// Whether these bytes are the one encoding of a point whose order is the prime one of the group.
fn is_of_prime_order(encoded: &[u8; 32]) -> bool {
    let encoded = CompressedEdwardsY(*encoded);
    encoded
        .decompress()
        .is_some_and(|point| point.compress() == encoded && point.is_torsion_free() && !point.is_small_order())
}

fn start_spake(role: Role, code: &Code, fixed: &FixedRandomness) -> (Spake2<Ed25519Group>, Vec<u8>) {
    let password = Password::new(code.secret());
    let (a, b) = (Side::new(SIDE_INITIATOR), Side::new(SIDE_RESPONDER));
    #[cfg(test)]
    if let Some(bytes) = fixed.spake {
        let rng = super::tests::vectors::Fixed(bytes);
        return match role {
            Role::Initiator => Spake2::start_a_with_rng(&password, &a, &b, rng),
            Role::Responder => Spake2::start_b_with_rng(&password, &a, &b, rng),
        };
    }
    debug_assert!(fixed.spake.is_none(), "only tests fix the scalar");
    match role {
        Role::Initiator => Spake2::start_a(&password, &a, &b),
        Role::Responder => Spake2::start_b(&password, &a, &b),
    }
}

fn begin(
    own: &Hello,
    theirs: &Hello,
    terms: &Terms<'_>,
    agreed: Option<&Agreed>,
    fixed: &FixedRandomness,
) -> Result<HandshakeState, HandshakeError> {
    let internal = |_| HandshakeError::Internal("the cryptography does not start");
    let (hello_i, hello_r) = match terms.role {
        Role::Initiator => (own.encode(), theirs.encode()),
        Role::Responder => (theirs.encode(), own.encode()),
    };
    let (spake_i, spake_r) = agreed.map(|a| (a.message_i.as_slice(), a.message_r.as_slice())).unwrap_or_default();
    let prologue = [PROLOGUE, &hello_i, &hello_r, spake_i, spake_r].concat();
    let suite = if agreed.is_some() { NOISE_CODE } else { NOISE_OPEN };
    let suite = suite.parse().map_err(internal)?;
    let mut builder = snow::Builder::new(suite).prologue(&prologue).map_err(internal)?;
    builder = builder.local_private_key(terms.identity.private()).map_err(internal)?;
    if let Some(agreed) = agreed {
        builder = builder.psk(0, &agreed.psk).map_err(internal)?;
    }
    if let Some(ephemeral) = &fixed.ephemeral {
        builder = builder.fixed_ephemeral_key_for_testing_only(ephemeral);
    }
    match terms.role {
        Role::Initiator => builder.build_initiator(),
        Role::Responder => builder.build_responder(),
    }
    .map_err(internal)
}

fn initiate<S: Read + Write>(
    stream: &mut S,
    noise: &mut HandshakeState,
    terms: &Terms<'_>,
) -> Result<(PublicKey, Option<SafeText>), HandshakeError> {
    send_noise(stream, HandshakeStep::Message1, noise)?;
    let message = receive(stream, HandshakeStep::Message2, MESSAGE_2).map_err(|error| match error {
        HandshakeError::Closed(_) if terms.code.is_some() => HandshakeError::CodeUnanswered,
        other => other,
    })?;
    read(HandshakeStep::Message2, noise, terms, &message)?;
    let accepted = check_key(noise, terms)?;
    send_noise(stream, HandshakeStep::Message3, noise)?;
    Ok(accepted)
}

fn respond<S: Read + Write>(
    stream: &mut S,
    noise: &mut HandshakeState,
    terms: &Terms<'_>,
) -> Result<(PublicKey, Option<SafeText>), HandshakeError> {
    let length = if terms.code.is_some() { MESSAGE_1_CODE } else { MESSAGE_1_OPEN };
    let message = receive(stream, HandshakeStep::Message1, length)?;
    if terms.code.is_some() && !(terms.reserve_try)() {
        return Err(HandshakeError::NoTriesLeft);
    }
    read(HandshakeStep::Message1, noise, terms, &message)?;
    send_noise(stream, HandshakeStep::Message2, noise)?;
    let message = receive(stream, HandshakeStep::Message3, MESSAGE_3)?;
    read(HandshakeStep::Message3, noise, terms, &message)?;
    check_key(noise, terms)
}

fn read(
    step: HandshakeStep,
    noise: &mut HandshakeState,
    terms: &Terms<'_>,
    message: &[u8],
) -> Result<(), HandshakeError> {
    let opened = noise.read_message(message, &mut []);
    opened.map(drop).map_err(|_| match step {
        // The first message that a side gets under the psk shows whether the codes are the same.
        HandshakeStep::Message1 | HandshakeStep::Message2 if terms.code.is_some() => HandshakeError::WrongCode,
        _ => HandshakeError::Tampered(step),
    })
}

fn check_key(noise: &HandshakeState, terms: &Terms<'_>) -> Result<(PublicKey, Option<SafeText>), HandshakeError> {
    let key = noise.get_remote_static().and_then(|key| key.try_into().ok()).map(PublicKey);
    let key = key.ok_or(HandshakeError::Internal("the peer's key is missing"))?;
    if key.is_low_order() {
        return Err(HandshakeError::LowOrderKey);
    }
    let warning = (terms.accept_key)(&key)?;
    Ok((key, warning))
}

/// What follows Noise, in records: the hybrid keys, and in open mode between them and after them the verification number. For that,
/// both commit before they know the other's nonce: the initiator chooses before it can know the responder's, the responder before
/// it can know the initiator's, so neither can steer the number.
struct Records<'s, S> {
    stream: &'s mut S,
    sealer: Sealer,
    opener: Opener,
    /// The keys of sealer and opener before the hybrid keys, from Noise.
    noise_keys: (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>),
}

/// The nonces of initiator and responder.
type Nonces = ([u8; 32], [u8; 32]);

impl<'s, S: Read + Write> Records<'s, S> {
    fn new(stream: &'s mut S, noise: &mut HandshakeState, role: Role) -> Result<Self, HandshakeError> {
        let (from_i, from_r) = noise.dangerously_get_raw_split();
        let (from_i, from_r) = (Zeroizing::new(from_i), Zeroizing::new(from_r));
        let (send, receive) = match role {
            Role::Initiator => (from_i, from_r),
            Role::Responder => (from_r, from_i),
        };
        let halves = Sealer::new(&send).zip(Opener::new(&receive));
        let (sealer, opener) = halves.ok_or(HandshakeError::Internal("the cryptography refuses the keys"))?;
        Ok(Self { stream, sealer, opener, noise_keys: (send, receive) })
    }

    fn initiate(&mut self, hash: &[u8], mode: Mode, fixed: &FixedRandomness) -> Result<Option<Nonces>, HandshakeError> {
        let pair = KemPair::from_seed(&Zeroizing::new(random(fixed.kem_seed)?));
        self.send(HandshakeStep::HybridKeys, &Frame::KemKey(pair.public.clone()))?;
        let ours = match mode {
            Mode::Open => Some(random(fixed.nonce)?),
            Mode::Code => None,
        };
        if let Some(ours) = &ours {
            self.send(HandshakeStep::Verification, &Frame::Commit(commitment(ours)))?;
        }
        let Frame::KemCt(ciphertext) = self.receive(HandshakeStep::HybridKeys, KEM_CT)? else {
            return Err(HandshakeError::UnexpectedFrame(HandshakeStep::HybridKeys));
        };
        let material = pair.finish(hash, &ciphertext);
        self.change_sending_key(&material)?;
        self.change_receiving_key(&material)?;
        let Some(ours) = ours else { return Ok(None) };
        let Frame::Nonce(theirs) = self.receive(HandshakeStep::Verification, VERIFICATION)? else {
            return Err(HandshakeError::UnexpectedFrame(HandshakeStep::Verification));
        };
        self.send(HandshakeStep::Verification, &Frame::Reveal(ours))?;
        Ok(Some((ours, theirs)))
    }

    fn respond(&mut self, hash: &[u8], mode: Mode, fixed: &FixedRandomness) -> Result<Option<Nonces>, HandshakeError> {
        let Frame::KemKey(public) = self.receive(HandshakeStep::HybridKeys, KEM_KEY)? else {
            return Err(HandshakeError::UnexpectedFrame(HandshakeStep::HybridKeys));
        };
        let message = Zeroizing::new(random(fixed.kem_message)?);
        let shared = encapsulate(hash, &public, &message);
        let (ciphertext, material) = shared.ok_or(HandshakeError::Malformed(HandshakeStep::HybridKeys))?;
        self.send(HandshakeStep::HybridKeys, &Frame::KemCt(ciphertext))?;
        self.change_sending_key(&material)?;
        if mode == Mode::Code {
            self.change_receiving_key(&material)?;
            return Ok(None);
        }
        // The initiator sent COMMIT before it had our ciphertext.
        let Frame::Commit(promised) = self.receive(HandshakeStep::Verification, VERIFICATION)? else {
            return Err(HandshakeError::UnexpectedFrame(HandshakeStep::Verification));
        };
        self.change_receiving_key(&material)?;
        let ours = random(fixed.nonce)?;
        self.send(HandshakeStep::Verification, &Frame::Nonce(ours))?;
        let Frame::Reveal(theirs) = self.receive(HandshakeStep::Verification, VERIFICATION)? else {
            return Err(HandshakeError::UnexpectedFrame(HandshakeStep::Verification));
        };
        if commitment(&theirs) != promised {
            return Err(HandshakeError::Commitment);
        }
        Ok(Some((theirs, ours)))
    }

    fn change_sending_key(&mut self, material: &HybridMaterial) -> Result<(), HandshakeError> {
        let changed = self.sealer.change_key(&material.key(&self.noise_keys.0));
        changed.ok_or(HandshakeError::Internal("the cryptography refuses the keys"))
    }

    fn change_receiving_key(&mut self, material: &HybridMaterial) -> Result<(), HandshakeError> {
        let changed = self.opener.change_key(&material.key(&self.noise_keys.1));
        changed.ok_or(HandshakeError::Internal("the cryptography refuses the keys"))
    }

    fn send(&mut self, step: HandshakeStep, frame: &Frame) -> Result<(), HandshakeError> {
        write_frame(self.stream, &mut self.sealer, frame).map_err(|error| at(step, error))
    }

    /// Receives a frame with a body of at most `most` bytes.
    fn receive(&mut self, step: HandshakeStep, most: usize) -> Result<Frame, HandshakeError> {
        read_frame_of(self.stream, &mut self.opener, 1 + most).map_err(|error| match error {
            ReadError::Stream(error) => at(step, error),
            ReadError::Length(length) => HandshakeError::BadLength(step, length),
            ReadError::Open(_) => HandshakeError::Tampered(step),
            ReadError::Frame(_) => HandshakeError::UnexpectedFrame(step),
        })
    }
}

fn verification(hash: &[u8], nonce_i: &[u8; 32], nonce_r: &[u8; 32]) -> Verification {
    let derived = blake3::derive_key(VERIFICATION_CONTEXT, &[hash, nonce_i, nonce_r].concat());
    let head = derived.first_chunk().copied().unwrap_or_default();
    Verification(u64::from_be_bytes(head) % Verification::NUMBERS)
}

fn commitment(nonce: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(COMMITMENT_CONTEXT, nonce)
}

/// Fresh randomness, unless a test vector fixes it.
fn random<const N: usize>(fixed: Option<[u8; N]>) -> Result<[u8; N], HandshakeError> {
    if let Some(fixed) = fixed {
        return Ok(fixed);
    }
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| HandshakeError::Internal("this system gives no randomness"))?;
    Ok(bytes)
}

/// Sends a message of the handshake: its length in two bytes, then the message.
fn send(stream: &mut impl Write, step: HandshakeStep, message: &[u8]) -> Result<(), HandshakeError> {
    let length = u16::try_from(message.len()).map_err(|_| HandshakeError::Internal("a message is too long"))?;
    let bytes = [&length.to_be_bytes(), message].concat();
    stream.write_all(&bytes).and_then(|()| stream.flush()).map_err(|error| at(step, error.into()))
}

/// Writes and sends the next Noise message.
fn send_noise(stream: &mut impl Write, step: HandshakeStep, noise: &mut HandshakeState) -> Result<(), HandshakeError> {
    let mut room = [0; ROOM];
    let length = noise.write_message(&[], &mut room).map_err(|_| HandshakeError::Internal("a message fails"))?;
    send(stream, step, room.get(..length).unwrap_or_default())
}

/// Receives a message of exactly so many bytes; another length is refused before anything more is read.
fn receive(stream: &mut impl Read, step: HandshakeStep, due: usize) -> Result<Vec<u8>, HandshakeError> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).map_err(|error| at(step, error.into()))?;
    let length = u16::from_be_bytes(length);
    if usize::from(length) != due {
        return Err(HandshakeError::BadLength(step, length));
    }
    let mut message = vec![0; due];
    stream.read_exact(&mut message).map_err(|error| at(step, error.into()))?;
    Ok(message)
}

fn at(step: HandshakeStep, error: StreamError) -> HandshakeError {
    match error {
        StreamError::Closed => HandshakeError::Closed(step),
        StreamError::Silent => HandshakeError::Silent(step),
        StreamError::Io(error) => HandshakeError::Io(step, error),
    }
}
