//! A whole opening with a peer that knows the protocol and bends any message of it, on either side, with a code or without.
//!
//! The peer is a [`Stream`] that makes its next message when the victim reads: so both sides run on one thread, and the peer
//! gets as far as its keys take it. Invariants: a channel comes only from bytes that an honest peer would have sent, has the
//! peer's real key and the same number; a wrong code gives none, and costs one try; nothing beyond the opening is read.

use super::Bytes;
use crate::channel::{
    Channel, Code, DecryptError, HELLO, HandshakeError, Hello, KeyVerdict, Mode, Role, Terms, establish, write_frame,
};
use crate::identity::Identity;
use crate::protocol::frame::Frame;
use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use ml_kem::{Decapsulate, KeyExport};
use snow::{HandshakeState, TransportState};
use spake2::{Ed25519Group, Identity as Side, Password, Spake2};
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::OnceLock;

/// More than all that a side reads in an opening.
const OPENING: usize = 2_048;

/// See the module.
pub fn handshake(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let (role, mode) = (bytes.flag(), bytes.flag());
    let role = if role { Role::Responder } else { Role::Initiator };
    let mode = if mode { Mode::Code } else { Mode::Open };
    let raw = bytes.pick(8) == 7;
    let wrong_code = bytes.pick(4) == 3;
    let Some(keys) = keys() else { return };
    let (Ok(own), Ok(real)) = (Hello::new(mode), Hello::new(mode)) else { return };
    let mut bent = Bent { bytes, honest: Vec::new(), sent: Vec::new() };
    let hello = bent.message(real.encode().to_vec());
    let Ok(hello) = <[u8; HELLO]>::try_from(hello) else { return };
    let Ok(theirs) = Hello::decode(&hello, &own) else { return };
    // A changed nonce is as good as a chosen one.
    (bent.honest, bent.sent) = (Vec::new(), Vec::new());
    let code = |text: &str| (mode == Mode::Code).then(|| Code::new(text).ok()).flatten();
    let (ours, peers) = (code("42-otter-plum"), code(if wrong_code { "42-otter-plow" } else { "42-otter-plum" }));
    let hellos = if role == Role::Initiator { [own.encode(), hello] } else { [hello, own.encode()] };
    let peer = Peer::new(role, peers, hellos.concat());
    let mut stream = Stream { bent, raw, peer, heard: Vec::new(), taken: 0, ended: false };
    let tries = Cell::new(0);
    let terms = Terms {
        role,
        code: ours.as_ref(),
        identity: &keys.victim,
        accept_key: &|_| Ok(KeyVerdict::default()),
        reserve_try: &|| {
            tries.set(tries.get() + 1);
            true
        },
    };
    let outcome = establish(&mut stream, &own, &theirs, &terms);
    assert!(stream.taken <= OPENING, "an opening of {} bytes was read", stream.taken);
    assert!(tries.get() <= u32::from(role == Role::Responder && mode == Mode::Code), "a connection has one guess");
    match outcome {
        Ok(channel) => {
            assert!(!raw && (mode == Mode::Open || !wrong_code), "nobody was there to shake hands with");
            assert_eq!(stream.bent.sent.get(..stream.taken), stream.bent.honest.get(..stream.taken));
            assert_eq!(channel.peer, keys.peer.public());
            talk(channel, &mut stream);
        }
        Err(HandshakeError::Internal(what)) => panic!("{what}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Honest all through in every combination, and bent at each message.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (role, mode, wrong) in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0), (0, 1, 3), (1, 1, 3)] {
        seeds.push(vec![role, mode, 0, wrong]);
        for message in 0..7 {
            for trick in 0x80..0x88 {
                let mut seed = vec![role, mode, 0, wrong];
                seed.resize(seed.len() + message, 0);
                seed.extend([trick, 0, 9, 0x40, 1, 2, 3]);
                seeds.push(seed);
            }
        }
    }
    seeds
}

/// On a channel that stands: frames pass both ways, what is no record does not, and after that nothing does.
fn talk(mut channel: Channel, stream: &mut Stream<'_>) {
    stream.peer.finish(&mut stream.heard);
    assert_eq!(channel.verification.map(|number| number.to_string()), stream.peer.number);
    let Some(transport) = &mut stream.peer.transport else { panic!("the peer has no channel") };
    let mut sent = Vec::new();
    assert!(write_frame(&mut sent, &mut channel.sealer, &Frame::Ping(5)).is_ok());
    let (mut plain, body) = ([0; 64], sent.get(2..).unwrap_or_default());
    assert!(transport.read_message(body, &mut plain).is_ok(), "what is sealed is a Noise message");
    let mut record = [0; 64];
    let Ok(length) = transport.write_message(b"\x11frame", &mut record) else { return };
    let mut good = record.get(..length).unwrap_or_default().to_vec();
    assert_eq!(channel.opener.open(&mut good), Ok(()));
    let Ok(length) = transport.write_message(b"\x11again", &mut record) else { return };
    let mut changed = record.get(..length).unwrap_or_default().to_vec();
    let (place, mask) = (usize::from(stream.bent.bytes.byte()), stream.bent.bytes.byte() | 1);
    let place = place % changed.len().max(1);
    if let Some(byte) = changed.get_mut(place) {
        *byte ^= mask;
    }
    assert_eq!(channel.opener.open(&mut changed), Err(DecryptError::Tampered));
    assert!(changed.iter().all(|byte| *byte == 0), "nothing of it is left");
    let mut next = record.get(..length).unwrap_or_default().to_vec();
    assert_eq!(channel.opener.open(&mut next), Err(DecryptError::Dead));
}

struct Keys {
    victim: Identity,
    peer: Identity,
}

fn keys() -> Option<&'static Keys> {
    static KEYS: OnceLock<Option<Keys>> = OnceLock::new();
    KEYS.get_or_init(|| Some(Keys { victim: Identity::generate().ok()?, peer: Identity::generate().ok()? })).as_ref()
}

/// What the input does to messages, and what became of them.
struct Bent<'a> {
    bytes: Bytes<'a>,
    honest: Vec<u8>,
    sent: Vec<u8>,
}

impl Bent<'_> {
    /// The message as it is sent: as it should be, mostly.
    fn message(&mut self, honest: Vec<u8>) -> Vec<u8> {
        let mut message = honest.clone();
        let trick = self.bytes.byte();
        if trick & 0x80 != 0 {
            let place = usize::from(self.bytes.u16()) % message.len().max(1);
            match trick & 7 {
                0 | 1 => {
                    let mask = self.bytes.byte();
                    message.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= mask);
                }
                2 => message.truncate(place),
                3 => message.extend_from_slice(self.bytes.slice(place)),
                4 => {
                    let fresh = self.bytes.slice(message.len().saturating_sub(2)).to_vec();
                    message.iter_mut().skip(2).zip(fresh).for_each(|(byte, fresh)| *byte = fresh);
                }
                5 => {
                    let length = self.bytes.array::<2>();
                    message.iter_mut().zip(length).for_each(|(byte, length)| *byte = length);
                }
                6 => message.clear(),
                _ => message.extend_from_slice(&honest),
            }
        }
        self.honest.extend_from_slice(&honest);
        self.sent.extend_from_slice(&message);
        message
    }
}

/// What the victim is connected to.
struct Stream<'a> {
    bent: Bent<'a>,
    /// Bytes of the input and nothing else.
    raw: bool,
    peer: Peer,
    /// Of the victim, not looked at yet.
    heard: Vec<u8>,
    /// Bytes that the victim has read.
    taken: usize,
    ended: bool,
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.taken >= self.bent.sent.len() && !self.ended {
            self.next();
        }
        let ready = self.bent.sent.get(self.taken..).unwrap_or_default();
        if ready.is_empty() {
            self.ended = true;
            return if self.bent.bytes.flag() { Err(ErrorKind::TimedOut.into()) } else { Ok(0) };
        }
        let count = ready.len().min(room.len());
        room.iter_mut().zip(ready).for_each(|(byte, ready)| *byte = *ready);
        self.taken += count;
        Ok(count)
    }
}

impl Stream<'_> {
    fn next(&mut self) {
        if self.raw {
            let rest = self.bent.bytes.rest();
            self.bent.sent.extend_from_slice(rest);
            self.ended = true;
            return;
        }
        if let Some(message) = self.peer.next(&mut self.heard) {
            self.bent.message(message);
        }
    }
}

/// What the peer does next.
#[derive(Clone, Copy)]
enum Step {
    Spake,
    Message1,
    Message2,
    Message3,
    KemKey,
    KemCt,
    Commit,
    Nonce,
    Reveal,
    End,
}

/// A peer that keeps to the protocol.
struct Peer {
    victim: Role,
    steps: &'static [Step],
    prologue: Vec<u8>,
    code: Option<Code>,
    spake: Option<(Spake2<Ed25519Group>, Vec<u8>)>,
    noise: Option<HandshakeState>,
    transport: Option<TransportState>,
    /// The keys of initiator and responder that Noise gave.
    keys: ([u8; 32], [u8; 32]),
    /// What was sent of the key exchange, as the initiator.
    kem: Option<DecapsulationKey>,
    /// What ML-KEM adds to the keys, as the responder.
    material: Option<[u8; 32]>,
    hash: Vec<u8>,
    number: Option<String>,
}

/// Its nonce for the number; nobody here minds that it is always the same.
const NONCE: [u8; 32] = [9; 32];

impl Peer {
    fn new(victim: Role, code: Option<Code>, hellos: Vec<u8>) -> Self {
        use Step::{Commit, End, KemCt, KemKey, Message1, Message2, Message3, Nonce, Reveal, Spake};
        let steps: &[Step] = match (victim, &code) {
            (Role::Initiator, None) => &[Message2, KemCt, Nonce, End],
            (Role::Initiator, Some(_)) => &[Spake, Message2, KemCt, End],
            (Role::Responder, None) => &[Message1, Message3, KemKey, Commit, Reveal],
            (Role::Responder, Some(_)) => &[Spake, Message1, Message3, KemKey],
        };
        let prologue = [b"p2pchat/1".as_slice(), &hellos].concat();
        Self {
            victim,
            steps,
            prologue,
            code,
            spake: None,
            noise: None,
            transport: None,
            keys: Default::default(),
            kem: None,
            material: None,
            hash: Vec::new(),
            number: None,
        }
    }

    /// The next message, with its length; none when it has nothing more to say, or what it heard is not what is due.
    fn next(&mut self, heard: &mut Vec<u8>) -> Option<Vec<u8>> {
        let (step, rest) = self.steps.split_first()?;
        self.steps = &[];
        let message = match step {
            Step::Spake => self.start_spake()?,
            Step::Message1 => {
                self.begin(heard)?;
                self.write()?
            }
            Step::Message2 => {
                self.begin(heard)?;
                self.read(heard)?;
                self.write()?
            }
            Step::Message3 => {
                self.read(heard)?;
                let message = self.write()?;
                self.split()?;
                message
            }
            Step::KemKey => {
                let pair = DecapsulationKey::from_seed([7; 64].into());
                let public = pair.encapsulation_key().to_bytes();
                self.kem = Some(pair);
                self.seal(&[&[0x06], public.as_slice()].concat())?
            }
            Step::KemCt => {
                self.read(heard)?;
                self.split()?;
                let public = self.open(heard)?;
                let public = public.get(1..)?;
                let key = EncapsulationKey::new(&public.try_into().ok()?).ok()?;
                let (ciphertext, shared) = key.encapsulate_deterministic(&[8; 32].into());
                let material = [&self.hash, public, &ciphertext, &shared].concat();
                let message = self.seal(&[&[0x07], ciphertext.as_slice()].concat())?;
                self.material = Some(blake3::derive_key("p2pchat/1 2026 ml-kem-768", &material));
                self.change_keys(self.code.is_some(), true)?;
                message
            }
            Step::Commit => {
                let promise = blake3::derive_key("p2pchat/1 2026 sas commitment", &NONCE);
                self.seal(&[&[0x01], promise.as_slice()].concat())?
            }
            Step::Nonce => {
                self.open(heard)?;
                self.change_keys(true, false)?;
                self.seal(&[&[0x02], NONCE.as_slice()].concat())?
            }
            Step::Reveal => {
                self.take_ciphertext(heard)?;
                let theirs = self.open(heard)?;
                self.count(&NONCE, theirs.get(1..)?);
                self.seal(&[&[0x03], NONCE.as_slice()].concat())?
            }
            Step::End => return None,
        };
        self.steps = rest;
        Some(framed(&message))
    }

    /// Hears what the victim said last.
    fn finish(&mut self, heard: &mut Vec<u8>) {
        match (self.victim, &self.code) {
            (Role::Initiator, None) => {
                if let Some(theirs) = self.open(heard) {
                    self.count(theirs.get(1..).unwrap_or_default(), &NONCE);
                }
            }
            (Role::Responder, Some(_)) => drop(self.take_ciphertext(heard)),
            _ => {}
        }
        heard.clear();
    }

    fn start_spake(&mut self) -> Option<Vec<u8>> {
        let password = Password::new(self.code.as_ref()?.display().replace('-', ""));
        let (a, b) = (Side::new(b"p2pchat/1 initiator"), Side::new(b"p2pchat/1 responder"));
        let (state, message) = match self.victim {
            Role::Initiator => Spake2::<Ed25519Group>::start_b(&password, &a, &b),
            Role::Responder => Spake2::<Ed25519Group>::start_a(&password, &a, &b),
        };
        self.spake = Some((state, message.clone()));
        Some(message)
    }

    /// Starts Noise, after the victim's SPAKE2 message when there is a code.
    fn begin(&mut self, heard: &mut Vec<u8>) -> Option<()> {
        let mut psk = None;
        if let Some((state, ours)) = self.spake.take() {
            let theirs = unframed(heard)?;
            let messages = if self.victim == Role::Initiator { [&theirs, &ours] } else { [&ours, &theirs] };
            messages.into_iter().for_each(|message| self.prologue.extend_from_slice(message));
            psk = Some(blake3::derive_key("p2pchat/1 2026 spake2 key to noise psk", &state.finish(&theirs).ok()?));
        }
        let suite = if psk.is_some() { "Noise_XXpsk0_25519_AESGCM_SHA256" } else { "Noise_XX_25519_AESGCM_SHA256" };
        let builder = snow::Builder::new(suite.parse().ok()?).prologue(&self.prologue).ok()?;
        let mut builder = builder.local_private_key(keys()?.peer.private()).ok()?;
        if let Some(psk) = &psk {
            builder = builder.psk(0, psk).ok()?;
        }
        let noise = match self.victim {
            Role::Initiator => builder.build_responder(),
            Role::Responder => builder.build_initiator(),
        };
        self.noise = noise.ok();
        Some(())
    }

    fn read(&mut self, heard: &mut Vec<u8>) -> Option<()> {
        let message = unframed(heard)?;
        self.noise.as_mut()?.read_message(&message, &mut [0; 128]).ok().map(drop)
    }

    fn write(&mut self) -> Option<Vec<u8>> {
        let mut room = [0; 128];
        let length = self.noise.as_mut()?.write_message(&[], &mut room).ok()?;
        room.get(..length).map(<[u8]>::to_vec)
    }

    fn split(&mut self) -> Option<()> {
        let mut noise = self.noise.take()?;
        self.hash = noise.get_handshake_hash().to_vec();
        self.keys = noise.dangerously_get_raw_split();
        self.transport = noise.into_transport_mode().ok();
        Some(())
    }

    /// As the initiator: takes the responder's ciphertext, and changes both keys.
    fn take_ciphertext(&mut self, heard: &mut Vec<u8>) -> Option<()> {
        let ciphertext = self.open(heard)?;
        let ciphertext = ciphertext.get(1..)?;
        let pair = self.kem.as_ref()?;
        let shared = pair.decapsulate(&ciphertext.try_into().ok()?);
        let material = [&self.hash, pair.encapsulation_key().to_bytes().as_slice(), ciphertext, &shared].concat();
        self.material = Some(blake3::derive_key("p2pchat/1 2026 ml-kem-768", &material));
        self.change_keys(true, true)
    }

    /// Changes the key of initiator, responder or both to the hybrid one.
    fn change_keys(&mut self, initiator: bool, responder: bool) -> Option<()> {
        let material = self.material?;
        let hybrid = |key: [u8; 32]| blake3::derive_key("p2pchat/1 2026 hybrid key", &[key, material].concat());
        let (i, r) = (hybrid(self.keys.0), hybrid(self.keys.1));
        self.transport.as_mut()?.rekey_manually(initiator.then_some(&i), responder.then_some(&r));
        Some(())
    }

    fn seal(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let mut room = [0; 2_048];
        let length = self.transport.as_mut()?.write_message(frame, &mut room).ok()?;
        room.get(..length).map(<[u8]>::to_vec)
    }

    fn open(&mut self, heard: &mut Vec<u8>) -> Option<Vec<u8>> {
        let record = unframed(heard)?;
        let mut room = vec![0; record.len()];
        let length = self.transport.as_mut()?.read_message(&record, &mut room).ok()?;
        room.truncate(length);
        Some(room)
    }

    /// The number as PROTOCOL.md section 6 has it.
    fn count(&mut self, nonce_i: &[u8], nonce_r: &[u8]) {
        let derived = blake3::derive_key("p2pchat/1 2026 sas", &[&self.hash, nonce_i, nonce_r].concat());
        let head = derived.first_chunk().copied().unwrap_or_default();
        let number = u64::from_be_bytes(head) % 10_000_000_000;
        self.number = Some(format!("{:05} {:05}", number / 100_000, number % 100_000));
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), message].concat()
}

/// Takes the first message from what was heard.
fn unframed(heard: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(*heard.first_chunk()?));
    let message = heard.get(2..length.checked_add(2)?)?.to_vec();
    heard.drain(..length + 2);
    Some(message)
}
