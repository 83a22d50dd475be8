//! One malformed frame for every rule. (That every frame comes back as it went, the vectors claim; that whatever is accepted encodes to
//! the same bytes, and that the short way for chunks agrees, the fuzz target `frame`.)

use super::error::FrameError;
use super::frame::*;
use std::net::SocketAddr;

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
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
