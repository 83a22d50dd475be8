//! The vectors of whole connections, `tests/vectors/open.json` and `code.json`: each fixes every random choice of both sides.
//!
//! Replayed twice: through [`establish_with`] on a stream, and through snow and spake2 alone, which gives the values that
//! the channel keeps to itself. `interop.py` beside the files replays them without any of this code.

use super::records::{INTERVAL, opened, sealed};
use super::*;
use crate::channel::record::skip_to;
use crate::keys::hex;
use crate::protocol::frame::{ByeReason, Control, Greeting, Intent};
use rand_core_06::{CryptoRng, Error, RngCore};
use serde_json::{Map, Value, json};
use spake2::{Ed25519Group, Password, Spake2};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A source that gives the same 64 bytes for a SPAKE2 scalar, which is their little-endian number modulo the group's order.
pub(in crate::channel) struct Fixed(pub(in crate::channel) [u8; 64]);

impl CryptoRng for Fixed {}

impl RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        unreachable!("the scalar is drawn as bytes")
    }
    fn next_u64(&mut self) -> u64 {
        unreachable!("the scalar is drawn as bytes")
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.copy_from_slice(&self.0);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

#[test]
fn an_open_connection_with_fixed_choices_is_that_of_the_vector() {
    matches_file(Mode::Open);
}

#[test]
fn a_connection_with_a_code_and_fixed_choices_is_that_of_the_vector() {
    matches_file(Mode::Code);
}

#[test]
fn every_typed_code_gives_the_password_of_its_vector() {
    let text = std::fs::read_to_string(directory().join("texts.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    for case in vectors["codes"].as_array().unwrap() {
        assert_eq!(Code::new(case["typed"].as_str().unwrap()).unwrap().secret(), case["password"].as_str().unwrap());
    }
}

/// For a change of the protocol: `cargo test --lib -- --ignored vectors_are_written`.
#[test]
#[ignore = "writes the files that the others compare with"]
fn vectors_are_written() {
    for mode in [Mode::Open, Mode::Code] {
        let text = serde_json::to_string_pretty(&replay(&choices(mode))).unwrap();
        std::fs::write(file(mode), text + "\n").unwrap();
    }
}

fn matches_file(mode: Mode) {
    let text = std::fs::read_to_string(file(mode)).unwrap();
    let vector: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string_pretty(&replay(&vector)).unwrap() + "\n", text);
}

fn file(mode: Mode) -> PathBuf {
    let name = if mode == Mode::Open { "open.json" } else { "code.json" };
    directory().join(name)
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The inputs: bytes that nobody could have chosen to suit.
fn choices(mode: Mode) -> Value {
    let side = |name: &str| {
        let bytes = |what: &str, count: usize| {
            let mut bytes = vec![0; count];
            let label = format!("{mode:?} {name} {what}");
            blake3::Hasher::new_derive_key("p2pchat/1 2026 test vectors")
                .update(label.as_bytes())
                .finalize_xof()
                .fill(&mut bytes);
            hex(&bytes)
        };
        let mut side = json!({
            "hello_nonce": bytes("hello nonce", 16),
            "static_private": bytes("static", 32),
            "ephemeral_private": bytes("ephemeral", 32),
        });
        match name {
            "initiator" => side["kem_seed"] = bytes("kem seed", 64).into(),
            _ => side["kem_message"] = bytes("kem message", 32).into(),
        }
        match mode {
            Mode::Open => side["verification_nonce"] = bytes("verification nonce", 32).into(),
            Mode::Code => side["spake2_random"] = bytes("spake2 random", 64).into(),
        }
        side
    };
    let mut choices = json!({ "initiator": side("initiator"), "responder": side("responder") });
    if mode == Mode::Code {
        choices["code"] = "42-Otter Plum".into();
    }
    choices
}

/// Makes the connection that the inputs fix, and tells all of it.
fn replay(inputs: &Value) -> Value {
    let (i, r) = (person(inputs, "initiator"), person(inputs, "responder"));
    let mut meeting = meet(&i, &r);
    let (mut channel_i, mut channel_r) = (meeting.initiator.unwrap(), meeting.responder.unwrap());
    let mut stream_i = Bytes(meeting.sent.0.split_off(HELLO));
    let mut stream_r = Bytes(meeting.sent.1.split_off(HELLO));

    let mut out = Map::new();
    for input in ["code", "initiator", "responder"] {
        out.extend(inputs.get(input).map(|value| (input.to_owned(), value.clone())));
    }
    let mut tell = |name: &str, bytes: &[u8]| drop(out.insert(name.to_owned(), hex(bytes).into()));
    tell("hello_i", &i.hello().encode());
    tell("hello_r", &r.hello().encode());
    tell("static_public_i", &channel_r.peer.0);
    tell("static_public_r", &channel_i.peer.0);
    let agreed = i.code.as_ref().map(|code| spake_alone(code, &i, &r));
    if let Some(agreed) = &agreed {
        tell("spake_i", &agreed.i);
        tell("spake_r", &agreed.r);
        tell("spake_key", &agreed.key);
        tell("psk", &agreed.psk());
        stream_i.begins_with(&with_length(&agreed.i));
        stream_r.begins_with(&with_length(&agreed.r));
    }
    let noise = noise_alone(&i, &r, agreed.as_ref());
    for (place, message) in noise.messages.iter().enumerate() {
        tell(&format!("message_{}", place + 1), message);
        let stream = if place == 1 { &mut stream_r } else { &mut stream_i };
        stream.begins_with(&with_length(message));
    }
    tell("handshake_hash", &noise.hash);
    tell("key_i", &noise.keys.0);
    tell("key_r", &noise.keys.1);
    assert_eq!(channel_i.verification, channel_r.verification);
    out.extend(channel_i.verification.map(|number| ("verification".to_owned(), number.to_string().into())));
    out.insert("fingerprint_i".to_owned(), channel_r.peer.fingerprint().into());
    out.insert("fingerprint_r".to_owned(), channel_i.peer.fingerprint().into());

    let kem = kem_alone(&i, &r);
    let material = [&noise.hash, &kem.public, &kem.ciphertext, &kem.shared].map(Vec::as_slice).concat();
    let material = blake3::derive_key("p2pchat/1 2026 ml-kem-768", &material);
    let hybrid = |key: [u8; 32]| blake3::derive_key("p2pchat/1 2026 hybrid key", &[key, material].concat());
    let hybrid_keys = (hybrid(noise.keys.0), hybrid(noise.keys.1));
    let mut tell = |name: &str, bytes: &[u8]| drop(out.insert(name.to_owned(), hex(bytes).into()));
    tell("kem_key", &kem.public);
    tell("kem_ct", &kem.ciphertext);
    tell("kem_secret", &kem.shared);
    tell("pq", &material);
    tell("hybrid_key_i", &hybrid_keys.0);
    tell("hybrid_key_r", &hybrid_keys.1);

    // The opening's records went over the stream; those of the session follow here. Both equal those of the bare keys.
    let bare = |key: &[u8; 32], counter| {
        let mut bare = Sealer::new(key).unwrap();
        skip_to(counter, Some(&mut bare), None);
        bare
    };
    let (mut bare_i, mut bare_r) = (bare(&noise.keys.0, 0), bare(&noise.keys.1, 0));
    let mut records = Vec::new();
    let mut tell = |from: &str, counter: u64, frame: &[u8], record: &[u8]| {
        records.push(json!({ "from": from, "counter": counter, "frame": hex(frame), "record": hex(record) }));
    };
    let mut opening = (0, 0);
    for (from, frame) in opening_frames(&i, &r, &kem) {
        let (bare_half, stream, counter) = match from {
            "I" => (&mut bare_i, &mut stream_i, &mut opening.0),
            _ => (&mut bare_r, &mut stream_r, &mut opening.1),
        };
        let record = sealed(bare_half, &frame);
        stream.begins_with(&record);
        tell(from, *counter, &frame, &record);
        *counter += 1;
        // R's key changes after its KEM_CT, I's after what it had sent by then.
        if from == "R" && *counter == 1 {
            (bare_i, bare_r) = (bare(&hybrid_keys.0, opening.0), bare(&hybrid_keys.1, 1));
        }
    }
    assert!(stream_i.0.is_empty() && stream_r.0.is_empty());
    for (from, counter, frame) in session_frames(opening.0, opening.1) {
        let (bare, sealer, opener) = match from {
            "I" => (&mut bare_i, &mut channel_i.sealer, &mut channel_r.opener),
            _ => (&mut bare_r, &mut channel_r.sealer, &mut channel_i.opener),
        };
        if counter == INTERVAL - 1 {
            skip_to(counter, Some(bare), None);
            skip_to(counter, Some(sealer), Some(opener));
        }
        let record = sealed(sealer, &frame);
        assert_eq!(record, sealed(bare, &frame));
        assert_eq!(opened(opener, &record).unwrap(), frame);
        tell(from, counter, &frame, &record);
    }
    out.insert("records".to_owned(), records.into());
    Value::Object(out)
}

/// One side with all its choices made.
fn person(inputs: &Value, name: &str) -> Person {
    let get = |what: &str| inputs[name].get(what).map(|text| bytes_of(text.as_str().unwrap()));
    let mut person = Person::new(inputs.get("code").map(|code| code.as_str().unwrap()));
    let private = get("static_private").unwrap().try_into().unwrap();
    person.identity = Identity::from_private(Zeroizing::new(private)).unwrap();
    let any = person.hello();
    let mut hello = any.encode();
    hello[HELLO - 16..].copy_from_slice(&get("hello_nonce").unwrap());
    person.hello = Some(Hello::decode(&hello, &any).unwrap());
    person.fixed = FixedRandomness {
        spake: get("spake2_random").map(|bytes| bytes.try_into().unwrap()),
        ephemeral: get("ephemeral_private").map(|bytes| bytes.try_into().unwrap()),
        kem_seed: get("kem_seed").map(|bytes| bytes.try_into().unwrap()),
        kem_message: get("kem_message").map(|bytes| bytes.try_into().unwrap()),
        nonce: get("verification_nonce").map(|bytes| bytes.try_into().unwrap()),
    };
    person
}

/// The frames between Noise and the greetings, with who sends them.
fn opening_frames(i: &Person, r: &Person, kem: &Kem) -> Vec<(&'static str, Vec<u8>)> {
    let key = ("I", Frame::KemKey(Box::new(kem.public.clone().try_into().unwrap())));
    let ciphertext = ("R", Frame::KemCt(Box::new(kem.ciphertext.clone().try_into().unwrap())));
    let frames = match (i.fixed.nonce, r.fixed.nonce) {
        (Some(nonce_i), Some(nonce_r)) => {
            let commitment = blake3::derive_key("p2pchat/1 2026 sas commitment", &nonce_i);
            let commit = ("I", Frame::Commit(commitment));
            vec![key, commit, ciphertext, ("R", Frame::Nonce(nonce_r)), ("I", Frame::Reveal(nonce_i))]
        }
        _ => vec![key, ciphertext],
    };
    frames.into_iter().map(|(from, frame)| (from, plain(&frame))).collect()
}

/// What another implementation of ML-KEM gives, without the channel: one that was verified formally.
struct Kem {
    public: Vec<u8>,
    ciphertext: Vec<u8>,
    shared: Vec<u8>,
}

fn kem_alone(i: &Person, r: &Person) -> Kem {
    use libcrux_ml_kem::mlkem768::{decapsulate, encapsulate, generate_key_pair, validate_public_key};
    let pair = generate_key_pair(i.fixed.kem_seed.unwrap());
    assert!(validate_public_key(pair.public_key()));
    let (ciphertext, shared) = encapsulate(pair.public_key(), r.fixed.kem_message.unwrap());
    assert_eq!(decapsulate(pair.private_key(), &ciphertext), shared);
    Kem { public: pair.pk().to_vec(), ciphertext: ciphertext.as_ref().to_vec(), shared: shared.to_vec() }
}

/// Some frames of a session that begins at these counters, and those around the change of the key.
fn session_frames(first_i: u64, first_r: u64) -> Vec<(&'static str, u64, Vec<u8>)> {
    let greeting = |name: &str| {
        let name = name.to_owned();
        Frame::Greeting(Greeting {
            intent: Intent::New,
            session: [0x5e; 16],
            received: 0,
            features: 0,
            next_transfer: 1,
            reconnect_timeout: 300,
            name,
        })
    };
    let line =
        |seq, text: &str| Frame::Control { seq, control: Control::Line { action: false, text: text.to_owned() } };
    let bye = Frame::Control { seq: 3, control: Control::Bye { reason: ByeReason::Quit } };
    let mut frames = vec![("I", first_i, plain(&greeting("ada"))), ("R", first_r, plain(&greeting("grace")))];
    for from in ["I", "R"] {
        frames.push((from, INTERVAL - 1, plain(&line(1, "the last under the first key"))));
        frames.push((from, INTERVAL, plain(&line(2, "the first under the second key"))));
        frames.push((from, INTERVAL + 1, plain(&bye)));
    }
    frames
}

fn plain(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// What spake2 gives without the channel.
struct Agreed {
    i: Vec<u8>,
    r: Vec<u8>,
    key: Vec<u8>,
}

impl Agreed {
    fn psk(&self) -> [u8; 32] {
        blake3::derive_key("p2pchat/1 2026 spake2 key to noise psk", &self.key)
    }
}

fn spake_alone(code: &Code, i: &Person, r: &Person) -> Agreed {
    let password = Password::new(code.secret());
    let side = |name: &[u8]| spake2::Identity::new(name);
    let (a, b) = (side(b"p2pchat/1 initiator"), side(b"p2pchat/1 responder"));
    let (random_i, random_r) = (Fixed(i.fixed.spake.unwrap()), Fixed(r.fixed.spake.unwrap()));
    let (state_i, message_i) = Spake2::<Ed25519Group>::start_a_with_rng(&password, &a, &b, random_i);
    let (state_r, message_r) = Spake2::<Ed25519Group>::start_b_with_rng(&password, &a, &b, random_r);
    let key = state_i.finish(&message_r).unwrap();
    assert_eq!(key, state_r.finish(&message_i).unwrap());
    Agreed { i: message_i, r: message_r, key }
}

/// What snow gives without the channel.
struct Noise {
    messages: Vec<Vec<u8>>,
    hash: Vec<u8>,
    keys: ([u8; 32], [u8; 32]),
}

fn noise_alone(i: &Person, r: &Person, agreed: Option<&Agreed>) -> Noise {
    let (suite, spake_i, spake_r) = match agreed {
        None => ("Noise_XX_25519_AESGCM_SHA256", [].as_slice(), [].as_slice()),
        Some(agreed) => ("Noise_XXpsk0_25519_AESGCM_SHA256", agreed.i.as_slice(), agreed.r.as_slice()),
    };
    let prologue = [b"p2pchat/1", &i.hello().encode()[..], &r.hello().encode(), spake_i, spake_r].concat();
    let psk = agreed.map(Agreed::psk);
    let build = |person: &Person, initiator: bool| {
        let ephemeral = person.fixed.ephemeral.unwrap();
        let mut builder = snow::Builder::new(suite.parse().unwrap()).prologue(&prologue).unwrap();
        if let Some(psk) = &psk {
            builder = builder.psk(0, psk).unwrap();
        }
        builder = builder.local_private_key(person.identity.private()).unwrap();
        builder = builder.fixed_ephemeral_key_for_testing_only(&ephemeral);
        if initiator { builder.build_initiator().unwrap() } else { builder.build_responder().unwrap() }
    };
    let (mut i, mut r) = (build(i, true), build(r, false));
    let mut messages = Vec::new();
    for turn in 0..3 {
        let (from, to) = if turn == 1 { (&mut r, &mut i) } else { (&mut i, &mut r) };
        let mut room = vec![0; 200];
        let length = from.write_message(&[], &mut room).unwrap();
        room.truncate(length);
        to.read_message(&room, &mut []).unwrap();
        messages.push(room);
    }
    Noise { messages, hash: i.get_handshake_hash().to_vec(), keys: i.dangerously_get_raw_split() }
}

/// What is left to compare of one direction's stream.
struct Bytes(Vec<u8>);

impl Bytes {
    fn begins_with(&mut self, expected: &[u8]) {
        let rest = self.0.split_off(expected.len());
        assert_eq!(self.0, expected);
        self.0 = rest;
    }
}

fn with_length(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn bytes_of(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
