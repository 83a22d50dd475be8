//! From two checked hellos to a channel.
//!
//! EventLoop of the handshake's messages: SPAKE2, Noise, the verification number. Each step either goes on or drops everything; no
//! state of a handshake outlives [`establish`].

use super::{
    Channel, Code, HandshakeError, HandshakeStep, Hello, KeyVerdict, Mode, Opener, PublicKey, ReadError, Role, Sealer,
    StreamError, Terms, Verification, WriteError, read_frame, write_frame,
};
use crate::protocol::frame::Frame;
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
/// Bytes of message 3.
const MESSAGE_3: usize = 64;
/// Room for the longest message and the tag that snow wants room for after each, needed or not.
const ROOM: usize = MESSAGE_2 + crate::net::buffer::TAG;

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
    /// The nonce for the verification number.
    pub(super) nonce: Option<[u8; 32]>,
}

pub(super) fn establish_with<S: Read + Write>(
    stream: &mut S,
    own: &Hello,
    theirs: &Hello,
    terms: &Terms<'_>,
    draws: &FixedRandomness,
) -> Result<Channel, HandshakeError> {
    let mut wire = Wire { stream };
    let agreed = match (own.mode(), terms.code) {
        (Mode::Open, None) => None,
        (Mode::Code, Some(code)) => Some(agree(&mut wire, terms.role, code, draws)?),
        _ => return Err(HandshakeError::Internal("the mode and the code do not belong together")),
    };
    let mut noise = begin(own, theirs, terms, agreed.as_ref(), draws)?;
    let (peer, verdict) = match terms.role {
        Role::Initiator => initiate(&mut wire, &mut noise, terms)?,
        Role::Responder => respond(&mut wire, &mut noise, terms)?,
    };
    let (mut sealer, mut opener) = split(&mut noise, terms.role)?;
    let verification = match own.mode() {
        Mode::Open => {
            let hash = noise.get_handshake_hash();
            Some(number(wire.stream, &mut sealer, &mut opener, terms.role, hash, draws)?)
        }
        Mode::Code => None,
    };
    Ok(Channel { sealer, opener, peer, verdict, verification })
}

/// What the two SPAKE2 messages gave.
struct Agreed {
    message_i: Vec<u8>,
    message_r: Vec<u8>,
    psk: Zeroizing<[u8; 32]>,
}

fn agree<S: Read + Write>(
    wire: &mut Wire<'_, S>,
    role: Role,
    code: &Code,
    draws: &FixedRandomness,
) -> Result<Agreed, HandshakeError> {
    let (state, ours) = start_spake(role, code, draws);
    wire.send(HandshakeStep::Code, &ours)?;
    let theirs = wire.receive::<SPAKE>(HandshakeStep::Code)?;
    let key = Zeroizing::new(state.finish(&theirs).map_err(|_| HandshakeError::Malformed)?);
    let psk = Zeroizing::new(blake3::derive_key(PSK_CONTEXT, &key));
    let theirs = theirs.to_vec();
    let (message_i, message_r) = match role {
        Role::Initiator => (ours, theirs),
        Role::Responder => (theirs, ours),
    };
    Ok(Agreed { message_i, message_r, psk })
}

fn start_spake(role: Role, code: &Code, draws: &FixedRandomness) -> (Spake2<Ed25519Group>, Vec<u8>) {
    let password = Password::new(code.secret());
    let (a, b) = (Side::new(SIDE_INITIATOR), Side::new(SIDE_RESPONDER));
    #[cfg(test)]
    if let Some(bytes) = draws.spake {
        let fixed = super::tests::vectors::Fixed(bytes);
        return match role {
            Role::Initiator => Spake2::start_a_with_rng(&password, &a, &b, fixed),
            Role::Responder => Spake2::start_b_with_rng(&password, &a, &b, fixed),
        };
    }
    debug_assert!(draws.spake.is_none(), "only tests fix the scalar");
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
    draws: &FixedRandomness,
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
    if let Some(fixed) = &draws.ephemeral {
        builder = builder.fixed_ephemeral_key_for_testing_only(fixed);
    }
    match terms.role {
        Role::Initiator => builder.build_initiator(),
        Role::Responder => builder.build_responder(),
    }
    .map_err(internal)
}

fn initiate<S: Read + Write>(
    wire: &mut Wire<'_, S>,
    noise: &mut HandshakeState,
    terms: &Terms<'_>,
) -> Result<(PublicKey, KeyVerdict), HandshakeError> {
    wire.write(HandshakeStep::Message1, noise)?;
    let message = wire.receive::<MESSAGE_2>(HandshakeStep::Message2).map_err(|error| match error {
        HandshakeError::Closed(_) if terms.code.is_some() => HandshakeError::CodeUnanswered,
        other => other,
    })?;
    read(HandshakeStep::Message2, noise, terms, &message)?;
    let accepted = check_key(noise, terms)?;
    wire.write(HandshakeStep::Message3, noise)?;
    Ok(accepted)
}

fn respond<S: Read + Write>(
    wire: &mut Wire<'_, S>,
    noise: &mut HandshakeState,
    terms: &Terms<'_>,
) -> Result<(PublicKey, KeyVerdict), HandshakeError> {
    if terms.code.is_some() {
        let message = wire.receive::<MESSAGE_1_CODE>(HandshakeStep::Message1)?;
        if !(terms.reserve_try)() {
            return Err(HandshakeError::NoTriesLeft);
        }
        read(HandshakeStep::Message1, noise, terms, &message)?;
    } else {
        let message = wire.receive::<MESSAGE_1_OPEN>(HandshakeStep::Message1)?;
        read(HandshakeStep::Message1, noise, terms, &message)?;
    }
    wire.write(HandshakeStep::Message2, noise)?;
    let message = wire.receive::<MESSAGE_3>(HandshakeStep::Message3)?;
    read(HandshakeStep::Message3, noise, terms, &message)?;
    check_key(noise, terms)
}

fn read(
    stage: HandshakeStep,
    noise: &mut HandshakeState,
    terms: &Terms<'_>,
    message: &[u8],
) -> Result<(), HandshakeError> {
    let opened = noise.read_message(message, &mut []);
    opened.map(drop).map_err(|_| match stage {
        // The first message that a side gets under the psk shows whether the codes are the same.
        HandshakeStep::Message1 | HandshakeStep::Message2 if terms.code.is_some() => HandshakeError::WrongCode,
        _ => HandshakeError::Tampered(stage),
    })
}

fn check_key(noise: &HandshakeState, terms: &Terms<'_>) -> Result<(PublicKey, KeyVerdict), HandshakeError> {
    let key = noise.get_remote_static().and_then(|key| key.try_into().ok()).map(PublicKey);
    let key = key.ok_or(HandshakeError::Internal("the peer's key is missing"))?;
    if key.is_low_order().map_err(|_| HandshakeError::Internal("this system gives no randomness"))? {
        return Err(HandshakeError::LowOrderKey);
    }
    let verdict = (terms.accept_key)(&key)?;
    Ok((key, verdict))
}

fn split(noise: &mut HandshakeState, role: Role) -> Result<(Sealer, Opener), HandshakeError> {
    let (from_i, from_r) = noise.dangerously_get_raw_split();
    let (from_i, from_r) = (Zeroizing::new(from_i), Zeroizing::new(from_r));
    let (send, receive) = match role {
        Role::Initiator => (from_i, from_r),
        Role::Responder => (from_r, from_i),
    };
    let halves = Sealer::new(&send).zip(Opener::new(&receive));
    halves.ok_or(HandshakeError::Internal("the cryptography refuses the keys"))
}

/// Commit, answer, reveal: the initiator chooses before it can know the responder's nonce, the responder before it can know the
/// initiator's, so neither can steer the number.
fn number<S: Read + Write>(
    stream: &mut S,
    sealer: &mut Sealer,
    opener: &mut Opener,
    role: Role,
    hash: &[u8],
    draws: &FixedRandomness,
) -> Result<Verification, HandshakeError> {
    let ours = match draws.nonce {
        Some(fixed) => fixed,
        None => fresh()?,
    };
    let (nonce_i, nonce_r) = match role {
        Role::Initiator => {
            write_frame(stream, sealer, &Frame::Commit(commitment(&ours)))?;
            let Frame::Nonce(theirs) = read_frame(stream, opener)? else {
                return Err(HandshakeError::UnexpectedFrame);
            };
            write_frame(stream, sealer, &Frame::Reveal(ours))?;
            (ours, theirs)
        }
        Role::Responder => {
            let Frame::Commit(promised) = read_frame(stream, opener)? else {
                return Err(HandshakeError::UnexpectedFrame);
            };
            write_frame(stream, sealer, &Frame::Nonce(ours))?;
            let Frame::Reveal(theirs) = read_frame(stream, opener)? else {
                return Err(HandshakeError::UnexpectedFrame);
            };
            if commitment(&theirs) != promised {
                return Err(HandshakeError::Commitment);
            }
            (theirs, ours)
        }
    };
    let material = [hash, &nonce_i, &nonce_r].concat();
    let derived = blake3::derive_key(VERIFICATION_CONTEXT, &material);
    let head = derived.first_chunk().copied().unwrap_or_default();
    Ok(Verification(u64::from_be_bytes(head) % Verification::NUMBERS))
}

fn commitment(nonce: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(COMMITMENT_CONTEXT, nonce)
}

fn fresh() -> Result<[u8; 32], HandshakeError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| HandshakeError::Internal("this system gives no randomness"))?;
    Ok(bytes)
}

/// The stream as it carries the messages of the handshake: a length of two bytes, then so many bytes.
struct Wire<'s, S> {
    stream: &'s mut S,
}

impl<S: Read + Write> Wire<'_, S> {
    fn send(&mut self, stage: HandshakeStep, message: &[u8]) -> Result<(), HandshakeError> {
        let length = u16::try_from(message.len()).map_err(|_| HandshakeError::Internal("a message is too long"))?;
        let bytes = [&length.to_be_bytes(), message].concat();
        self.stream.write_all(&bytes).and_then(|()| self.stream.flush()).map_err(|error| at(stage, error.into()))
    }

    /// Writes and sends the next Noise message.
    fn write(&mut self, stage: HandshakeStep, noise: &mut HandshakeState) -> Result<(), HandshakeError> {
        let mut room = [0; ROOM];
        let length = noise.write_message(&[], &mut room).map_err(|_| HandshakeError::Internal("a message fails"))?;
        self.send(stage, room.get(..length).unwrap_or_default())
    }

    /// Receives a message of exactly `N` bytes; another length is refused before anything more is read.
    fn receive<const N: usize>(&mut self, stage: HandshakeStep) -> Result<[u8; N], HandshakeError> {
        let mut length = [0; 2];
        self.stream.read_exact(&mut length).map_err(|error| at(stage, error.into()))?;
        let length = u16::from_be_bytes(length);
        if usize::from(length) != N {
            return Err(HandshakeError::BadLength(stage, length));
        }
        let mut message = [0; N];
        self.stream.read_exact(&mut message).map_err(|error| at(stage, error.into()))?;
        Ok(message)
    }
}

fn at(stage: HandshakeStep, error: StreamError) -> HandshakeError {
    match error {
        StreamError::Closed => HandshakeError::Closed(stage),
        StreamError::Silent => HandshakeError::Silent(stage),
        StreamError::Io(error) => HandshakeError::Io(stage, error),
    }
}

/// Frames are read and written during the handshake for the verification number alone.
impl From<ReadError> for HandshakeError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Stream(error) => at(HandshakeStep::Verification, error),
            ReadError::Length(length) => Self::BadLength(HandshakeStep::Verification, length),
            ReadError::Open(_) => Self::Tampered(HandshakeStep::Verification),
            ReadError::Frame(_) => Self::UnexpectedFrame,
        }
    }
}

impl From<WriteError> for HandshakeError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stream(error) => at(HandshakeStep::Verification, error),
            WriteError::Seal(_) => Self::Internal("a frame cannot be sealed"),
        }
    }
}
