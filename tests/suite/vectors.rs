//! The vectors that need no fixed randomness: frames, hellos, fingerprints, codes that are none. Those of whole
//! connections are replayed in `src/channel/tests/vectors.rs`, where randomness can be fixed; `vectors/interop.py` replays all.

use p2pchat::channel::{Code, CodeError, HELLO, Hello, HelloError, Mode};
use p2pchat::keys::PublicKey;
use p2pchat::protocol::error::FrameError;
use p2pchat::protocol::frame::{
    Addrs, ByeReason, Control, FileStatus, Frame, Greeting, Intent, Offer, RECONNECT_FOREVER, Reason, Refusal,
};
use p2pchat::transfer::compression::{Decompressor, content_len};
use serde_json::Value;
use std::path::Path;

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap()
}

fn bytes(case: &Value, field: &str) -> Vec<u8> {
    let digits = text(case, field);
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A zstd frame by hand: the header that PROTOCOL.md section 8 asks for, one block that says "eight times 0x00" and that it is the last.
const EIGHT_ZEROS: [u8; 10] = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 8, 0x43, 0, 0, 0];

#[test]
fn the_frame_of_the_compressed_chunk_opens() {
    let mut content = [1; 8];
    assert_eq!(content_len(&EIGHT_ZEROS), Some(content.len()));
    assert_eq!(Decompressor::default().open(&EIGHT_ZEROS, &mut content), Ok(()));
    assert_eq!(content, [0; 8]);
}

/// What `frames.json` says, in its order.
fn frames() -> Vec<(&'static str, Frame)> {
    let control = |seq, control| Frame::Control { seq, control };
    let line = |action, text: &str| Control::Line { action, text: text.to_owned() };
    let offer = Offer { files: 2, folders: 1, bytes: 123_456, list: 77, digest: [0xd0; 32] };
    let greeting = Greeting {
        intent: Intent::Resume,
        session: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        received: 258,
        features: 0,
        next_transfer: 9,
        reconnect_timeout: RECONNECT_FOREVER,
        name: "Zoë".to_owned(),
    };
    let addrs = ["192.168.1.5:5000", "[2001:db8::5]:5000", "203.0.113.7:41000", "[2001:db8::6]:41000"];
    let addrs = Addrs { port: 5000, list: addrs.map(|addr| addr.parse().unwrap()).to_vec() };
    vec![
        ("COMMIT", Frame::Commit([0xc0; 32])),
        ("NONCE", Frame::Nonce([0xc1; 32])),
        ("REVEAL", Frame::Reveal([0xc2; 32])),
        ("GREETING", Frame::Greeting(greeting)),
        ("REFUSAL", Frame::Refusal(Refusal::NoSuchSession)),
        ("KEM_KEY", Frame::KemKey(Box::new([0xc3; 1_184]))),
        ("KEM_CT", Frame::KemCt(Box::new([0xc4; 1_088]))),
        ("PING", Frame::Ping(0x0102_0304_0506_0708)),
        ("PONG", Frame::Pong(u64::MAX)),
        ("ACK", Frame::Ack(3)),
        ("CREDIT", Frame::Credit { limit: 25 << 20 }),
        ("RESTART", Frame::Restart { transfer: 7, position: 1 << 20, digest: [0xd2; 32] }),
        ("ADDRS", Frame::Addrs(addrs)),
        ("RECEIVED", Frame::Received { transfer: 7, position: (1 << 20) + 1 }),
        ("LINE", control(1, line(false, "hello"))),
        ("LINE", control(2, line(true, "waves 👋"))),
        ("OFFER", control(3, Control::Offer { transfer: 1, offer })),
        ("ACCEPT", control(4, Control::Accept { transfer: 1, position: 77, digest: [0; 32] })),
        ("DECLINE", control(5, Control::Decline { transfer: 1, reason: Reason::Space, text: "disk full".to_owned() })),
        ("CANCEL", control(6, Control::Cancel { transfer: 1, reason: Reason::User, text: String::new() })),
        ("COMPLETE", control(7, Control::Complete { transfer: 1, files: 2, failed: 0 })),
        ("BYE", control(8, Control::Bye { reason: ByeReason::InputEnded })),
        ("CHUNK", Frame::Chunk { transfer: 1, position: 77, data: vec![0x00, 0xff, 0x10] }),
        ("FILE_END", Frame::FileEnd { transfer: 1, position: 80, status: FileStatus::Whole, digest: [0xd1; 32] }),
        ("BEGIN", Frame::Begin { transfer: 1, position: 77 }),
        ("ZCHUNK", Frame::Zchunk { transfer: 1, position: 77, frame: EIGHT_ZEROS.to_vec() }),
    ]
}

#[test]
fn every_kind_of_frame_is_that_of_its_vector_both_ways() {
    let vectors = vectors("frames.json");
    let cases = vectors.as_array().unwrap();
    assert_eq!(cases.len(), frames().len());
    for (case, (name, frame)) in cases.iter().zip(frames()) {
        assert_eq!(text(case, "frame"), name);
        let bytes = bytes(case, "bytes");
        assert_eq!(Frame::decode(&bytes).as_ref(), Ok(&frame), "{name}");
        let mut encoded = Vec::new();
        frame.encode(&mut encoded);
        assert_eq!(encoded, bytes, "{name}");
    }
}

#[test]
fn there_is_a_vector_for_every_kind_byte_that_decodes_at_all() {
    let vectors = vectors("frames.json");
    let covered: Vec<u8> = vectors.as_array().unwrap().iter().map(|case| bytes(case, "bytes")[0]).collect();
    for kind in 0..=u8::MAX {
        let unknown = Frame::decode(&[kind]) == Err(FrameError::UnknownKind(kind));
        assert_eq!(covered.contains(&kind), !unknown, "kind 0x{kind:02x}");
    }
}

#[test]
fn every_hello_gets_the_verdict_of_its_vector() {
    for case in vectors("texts.json")["hellos"].as_array().unwrap() {
        let own: [u8; HELLO] = bytes(case, "own").try_into().unwrap();
        let theirs: [u8; HELLO] = bytes(case, "theirs").try_into().unwrap();
        let is_open = own[8] == 0;
        let mode = if is_open { Mode::Open } else { Mode::Code };
        let own = Hello::decode(&own, &Hello::new(mode).unwrap()).unwrap();
        let verdict = match Hello::decode(&theirs, &own) {
            Ok(hello) => {
                assert_eq!(hello.encode(), theirs);
                "good"
            }
            Err(HelloError::NotP2pchat) => "not p2pchat",
            Err(HelloError::Version(version)) if version == theirs[7] => "version",
            Err(HelloError::TheyUseACode) if is_open => "mode",
            Err(HelloError::WeUseACode) if !is_open => "mode",
            Err(HelloError::Itself) => "itself",
            Err(error) => panic!("{case}: {error}"),
        };
        assert_eq!(verdict, text(case, "verdict"), "{case}");
    }
}

#[test]
fn every_key_has_the_fingerprint_of_its_vector() {
    for case in vectors("texts.json")["keys"].as_array().unwrap() {
        let key = PublicKey::from_text(text(case, "public")).unwrap();
        assert_eq!(key.fingerprint(), text(case, "fingerprint"));
        assert_eq!(key.to_text(), text(case, "public"));
    }
}

#[test]
fn every_text_that_leaves_no_password_is_no_code() {
    for typed in vectors("texts.json")["codes_refused"].as_array().unwrap() {
        assert_eq!(Code::new(typed.as_str().unwrap()).unwrap_err(), CodeError::Empty, "{typed}");
    }
}
