//! Every frame there and back, and one malformed frame for every rule.

use super::error::FrameError;
use super::frame::*;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

fn reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        Just(Reason::User),
        Just(Reason::Rule),
        Just(Reason::TooMuch),
        Just(Reason::Names),
        Just(Reason::Space),
        Just(Reason::Io),
        Just(Reason::Changed),
        Just(Reason::Leaving),
    ]
}

fn text(limit: usize) -> impl Strategy<Value = String> {
    any::<String>().prop_map(move |text| at_most(&text, limit).to_owned())
}

fn position() -> impl Strategy<Value = Position> {
    0..POSITIONS
}

fn number() -> impl Strategy<Value = TransferId> {
    1..=u32::MAX
}

fn addr() -> impl Strategy<Value = (IpAddr, Option<u16>)> {
    (any::<IpAddr>(), any::<Option<u16>>())
}

fn control() -> impl Strategy<Value = Control> {
    let offer = (any::<[u32; 2]>(), position(), 1..=LIST_BYTES, any::<Digest>());
    prop_oneof![
        (any::<bool>(), text(LINE_TEXT).prop_filter("not empty", |text| !text.is_empty()))
            .prop_map(|(action, text)| Control::Line { action, text }),
        (number(), offer).prop_map(|(transfer, ([files, folders], bytes, list, digest))| Control::Offer {
            transfer,
            offer: Offer { files, folders, bytes, list, digest },
        }),
        (number(), position(), any::<Digest>()).prop_map(|(transfer, position, digest)| Control::Accept {
            transfer,
            position,
            digest
        }),
        (number(), reason(), text(REASON_TEXT)).prop_map(|(transfer, reason, text)| Control::Decline {
            transfer,
            reason,
            text
        }),
        (number(), reason(), text(REASON_TEXT)).prop_map(|(transfer, reason, text)| Control::Cancel {
            transfer,
            reason,
            text
        }),
        (number(), any::<[u32; 2]>()).prop_map(|(transfer, [files, failed])| Control::Complete {
            transfer,
            files,
            failed
        }),
        Just(Control::Bye { reason: ByeReason::InputEnded }),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(Frame::Commit),
        any::<[u8; 32]>().prop_map(Frame::Reveal),
        (any::<bool>(), any::<[u8; 16]>(), any::<u64>(), any::<[u32; 2]>(), number(), "[a-z]{1,64}").prop_map(
            |(new, session, received, [features, reconnect_timeout], next_transfer, name)| Frame::Greeting(Greeting {
                intent: if new { Intent::New } else { Intent::Resume },
                session,
                received,
                features,
                next_transfer,
                reconnect_timeout,
                name,
            })
        ),
        any::<u64>().prop_map(Frame::Ping),
        any::<u64>().prop_map(Frame::Ack),
        position().prop_map(|limit| Frame::Credit { limit }),
        (any::<u16>(), prop::collection::vec(addr(), 0..=ADDRS)).prop_map(|(port, list)| {
            let list = list.into_iter().map(|(ip, own)| SocketAddr::new(ip, own.unwrap_or(port))).collect();
            Frame::Addrs(Addrs { port, list })
        }),
        (number(), position()).prop_map(|(transfer, position)| Frame::Received { transfer, position }),
        (number(), position()).prop_map(|(transfer, position)| Frame::Begin { transfer, position }),
        (number(), position(), any::<Digest>()).prop_map(|(transfer, position, digest)| Frame::Restart {
            transfer,
            position,
            digest
        }),
        (1..u64::MAX, control()).prop_map(|(seq, control)| Frame::Control { seq, control }),
        (number(), position(), prop::collection::vec(any::<u8>(), 1..2_000))
            .prop_map(|(transfer, position, data)| Frame::Chunk { transfer, position, data }),
        (number(), position(), prop::collection::vec(any::<u8>(), 1..2_000))
            .prop_map(|(transfer, position, frame)| Frame::Zchunk { transfer, position, frame }),
        (number(), position(), any::<Digest>()).prop_map(|(transfer, position, digest)| Frame::FileEnd {
            transfer,
            position,
            status: FileStatus::Whole,
            digest
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_comes_back_as_it_went(frame in frame()) {
        prop_assert_eq!(Frame::decode(&encoded(&frame)), Ok(frame));
    }

    #[test]
    fn whatever_is_accepted_encodes_to_the_same_bytes(kind in 0_u8..0x40, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&[kind][..], &body].concat();
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(encoded(&frame), bytes);
        }
    }

    #[test]
    fn a_changed_byte_is_an_error_or_another_frame(frame in frame(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut bytes = encoded(&frame);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = Frame::decode(&bytes) {
            prop_assert_eq!(encoded(&other), bytes);
            prop_assert_ne!(other, frame);
        }
    }

    #[test]
    fn a_frame_that_is_cut_is_an_error_or_shorter(frame in frame(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(&frame);
        let cut = &bytes[..at.index(bytes.len())];
        if let Ok(other) = Frame::decode(cut) {
            // Only what ends with "the rest" has shorter forms.
            let line = matches!(other, Frame::Control { control: Control::Line { .. }, .. });
            let chunk = matches!(other, Frame::Chunk { .. } | Frame::Zchunk { .. });
            prop_assert!(line || chunk);
        }
    }

    #[test]
    fn the_size_that_counts_against_the_window_is_the_size_on_the_wire(control in control()) {
        let len = control.encoded_len();
        prop_assert_eq!(encoded(&Frame::Control { seq: 1, control }).len(), len);
    }

    #[test]
    fn a_chunk_header_is_the_head_of_a_chunk(compressed in any::<bool>(), transfer in number(), position in position(), data in prop::collection::vec(any::<u8>(), 1..99)) {
        let bytes = encoded(&match compressed {
            false => Frame::Chunk { transfer, position, data: data.clone() },
            true => Frame::Zchunk { transfer, position, frame: data.clone() },
        });
        let header = ChunkHeader { compressed, transfer, position };
        prop_assert_eq!(&bytes[..CHUNK_HEADER], &header.encode()[..]);
        prop_assert_eq!(ChunkHeader::decode(&bytes), Ok((header, &data[..])));
    }
}

#[test]
fn the_largest_frames_fit_a_record() {
    let line = Control::Line { action: false, text: "x".repeat(LINE_TEXT) };
    assert!(encoded(&Frame::Control { seq: u64::MAX, control: line }).len() <= FRAME);
    let chunk = Frame::Chunk { transfer: 1, position: 0, data: vec![0; CHUNK_DATA] };
    assert!(encoded(&chunk).len() <= FRAME);
    assert!(Frame::decode(&encoded(&chunk)).is_ok());
}

/// A frame with one thing wrong.
fn broken(frame: &Frame, change: impl FnOnce(&mut Vec<u8>)) -> Result<Frame, FrameError> {
    let mut bytes = encoded(frame);
    change(&mut bytes);
    Frame::decode(&bytes)
}

#[test]
fn each_rule_has_its_error() {
    let line = |text: &str| Frame::Control { seq: 1, control: Control::Line { action: false, text: text.into() } };
    let greeting = Frame::Greeting(Greeting {
        intent: Intent::New,
        session: [1; 16],
        received: 0,
        features: 0,
        next_transfer: 1,
        reconnect_timeout: 0,
        name: "ab".into(),
    });
    let decline =
        Frame::Control { seq: 1, control: Control::Decline { transfer: 1, reason: Reason::User, text: "no".into() } };
    let cancel =
        Frame::Control { seq: 1, control: Control::Cancel { transfer: 1, reason: Reason::User, text: String::new() } };
    let offer = Frame::Control {
        seq: 1,
        control: Control::Offer {
            transfer: 1,
            offer: Offer { files: 1, folders: 0, bytes: 1, list: 1, digest: [0; 32] },
        },
    };
    let end = Frame::FileEnd { transfer: 1, position: 0, status: FileStatus::Whole, digest: [0; 32] };
    let name_at = 1 + 1 + 16 + 8 + 4 + 4 + 4;

    assert_eq!(Frame::decode(&[]), Err(FrameError::Empty));
    assert_eq!(Frame::decode(&[0x40]), Err(FrameError::UnknownKind(0x40)));
    assert_eq!(Frame::decode(&[0]), Err(FrameError::UnknownKind(0)));
    assert_eq!(broken(&Frame::Ping(7), |bytes| bytes.truncate(8)), Err(FrameError::Short("PING")));
    assert_eq!(broken(&Frame::Ping(7), |bytes| bytes.push(0)), Err(FrameError::Trailing("PING")));
    assert_eq!(broken(&greeting, |bytes| bytes[1] = 2), Err(FrameError::Value("GREETING", 2)));
    assert_eq!(broken(&greeting, |bytes| bytes[name_at] = 0), Err(FrameError::Length("GREETING", 0, 1, NAME)));
    assert_eq!(broken(&greeting, |bytes| bytes[name_at] = 65), Err(FrameError::Length("GREETING", 65, 1, NAME)));
    assert_eq!(broken(&greeting, |bytes| bytes[name_at] = 3), Err(FrameError::Short("GREETING")));
    assert_eq!(broken(&greeting, |bytes| bytes[name_at] = 1), Err(FrameError::Trailing("GREETING")));
    assert_eq!(broken(&greeting, |bytes| bytes[name_at + 1] = 0xff), Err(FrameError::NotUtf8("GREETING")));
    assert_eq!(broken(&Frame::Refusal(Refusal::Busy), |bytes| bytes[1] = 3), Err(FrameError::Value("REFUSAL", 3)));
    assert_eq!(broken(&line("x"), |bytes| bytes[8] = 0), Err(FrameError::Value("LINE", 0)));
    assert_eq!(broken(&line("x"), |bytes| bytes[9] = 2), Err(FrameError::Value("LINE", 2)));
    assert_eq!(broken(&line("x"), |bytes| bytes.truncate(10)), Err(FrameError::Length("LINE", 0, 1, LINE_TEXT)));
    assert_eq!(
        broken(&line(&"x".repeat(LINE_TEXT)), |bytes| bytes.push(b'x')),
        Err(FrameError::Length("LINE", LINE_TEXT + 1, 1, LINE_TEXT))
    );
    assert_eq!(broken(&line("xx"), |bytes| bytes[10] = 0xc3), Err(FrameError::NotUtf8("LINE")));
    let list_at = 1 + 8 + 4 + 4 + 4 + 8;
    assert_eq!(broken(&offer, |bytes| bytes[list_at + 3] = 0), Err(FrameError::Value("OFFER", 0)));
    assert_eq!(
        broken(&offer, |bytes| bytes[list_at] = 0xff),
        Err(FrameError::Value("OFFER", u64::from(u32::from_be_bytes([0xff, 0, 0, 1]))))
    );
    assert_eq!(broken(&offer, |bytes| bytes[21] = 0x80), Err(FrameError::Value("OFFER", (1 << 63) | 1)));
    assert_eq!(broken(&decline, |bytes| bytes[13] = 0), Err(FrameError::Value("DECLINE", 0)));
    assert_eq!(broken(&decline, |bytes| bytes[13] = 9), Err(FrameError::Value("DECLINE", 9)));
    assert_eq!(broken(&decline, |bytes| bytes[14] = 0xff), Err(FrameError::Length("DECLINE", 0xff02, 0, REASON_TEXT)));
    assert_eq!(broken(&cancel, |bytes| bytes.truncate(15)), Err(FrameError::Short("CANCEL")));
    assert_eq!(broken(&cancel, |bytes| bytes[12] = 0), Err(FrameError::Value("CANCEL", 0)));
    assert_eq!(broken(&greeting, |bytes| bytes[33] = 0), Err(FrameError::Value("GREETING", 0)));
    let (v4, v6): (SocketAddr, SocketAddr) = ("192.0.2.1:9".parse().unwrap(), "[2001:db8::1]:7".parse().unwrap());
    let addrs = |list: &[SocketAddr]| Frame::Addrs(Addrs { port: 7, list: list.to_vec() });
    let full = addrs(&[v6; ADDRS]);
    assert_eq!(Frame::decode(&encoded(&full)), Ok(full));
    assert_eq!(broken(&addrs(&[]), |bytes| bytes[3] = 9), Err(FrameError::Value("ADDRS", 9)));
    assert_eq!(broken(&addrs(&[v4]), |bytes| bytes[3] = 2), Err(FrameError::Short("ADDRS")));
    assert_eq!(broken(&addrs(&[v4]), |bytes| bytes[3] = 0), Err(FrameError::Trailing("ADDRS")));
    assert_eq!(broken(&addrs(&[v6]), |bytes| bytes.truncate(bytes.len() - 1)), Err(FrameError::Short("ADDRS")));
    for kind in [0, 5, 17, 0x40] {
        assert_eq!(broken(&addrs(&[v6]), |bytes| bytes[4] = kind), Err(FrameError::Value("ADDRS", kind.into())));
    }
    // A port of its own that is no other has two forms.
    assert_eq!(broken(&addrs(&[v4]), |bytes| bytes[10] = 7), Err(FrameError::Value("ADDRS", 7)));
    let credit = Frame::Credit { limit: 1 };
    assert_eq!(broken(&credit, |bytes| bytes[1] = 0x80), Err(FrameError::Value("CREDIT", (1 << 63) | 1)));
    assert_eq!(
        broken(&end, |bytes| bytes[13] = 1),
        Ok(Frame::FileEnd { transfer: 1, position: 0, status: FileStatus::Changed, digest: NO_DIGEST })
    );
    let with_digest = |bytes: &mut Vec<u8>| (bytes[13], bytes[14]) = (1, 1);
    assert_eq!(broken(&end, with_digest), Err(FrameError::Digest("FILE_END")));
    assert_eq!(broken(&end, |bytes| bytes[13] = 3), Err(FrameError::Value("FILE_END", 3)));
    assert_eq!(broken(&end, |bytes| bytes[5] = 0x80), Err(FrameError::Value("FILE_END", 1 << 63)));
    let bye = Frame::Control { seq: 1, control: Control::Bye { reason: ByeReason::Quit } };
    assert_eq!(broken(&bye, |bytes| bytes[9] = 4), Err(FrameError::Value("BYE", 4)));
    let data = vec![0; CHUNK_DATA];
    for (name, chunk) in [
        ("CHUNK", Frame::Chunk { transfer: 1, position: 0, data: data.clone() }),
        ("ZCHUNK", Frame::Zchunk { transfer: 1, position: 0, frame: data }),
    ] {
        let wrong = |len| Err(FrameError::Length(name, len, 1, CHUNK_DATA));
        assert_eq!(broken(&chunk, |bytes| bytes.push(0)), wrong(CHUNK_DATA + 1));
        assert_eq!(broken(&chunk, |bytes| bytes.truncate(CHUNK_HEADER)), wrong(0));
    }
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(at_most("aä", 2), "a");
    assert_eq!(at_most("aä", 3), "aä");
    assert_eq!(at_most("", 0), "");
}
