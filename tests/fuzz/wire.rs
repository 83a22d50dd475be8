//! Decoders of what a peer sends: frames, hellos, compressed chunks, lists.

use p2pchat::channel::{HELLO, Hello, Mode};
use p2pchat::keys::PublicKey;
use p2pchat::protocol::frame::{CHUNK_DATA, ChunkHeader, Frame, KIND_CHUNK, KIND_ZCHUNK, POSITIONS};
use p2pchat::transfer::Name;
use p2pchat::transfer::compression::{Compressor, Decompressor, content_len};
use p2pchat::transfer::manifest::{self, Builder, Manifest, Meta};
use serde_json::Value;
use std::path::{Component, Path};

/// A frame that is accepted encodes to the same bytes, and the reader's short way for chunks agrees with the long one.
pub(crate) fn frame(data: &[u8]) {
    let decoded = Frame::decode(data);
    if let Ok(frame) = &decoded {
        let mut encoded = Vec::with_capacity(data.len());
        frame.encode(&mut encoded);
        assert_eq!(encoded, data, "{frame:?}");
        if let Frame::Control { control, .. } = frame {
            assert_eq!(control.encoded_len(), data.len(), "what counts against the window is what was sent");
        }
    }
    if matches!(data.first(), Some(&(KIND_CHUNK | KIND_ZCHUNK))) {
        let chunk = ChunkHeader::decode(data)
            .map(|(header, data)| (header.compressed, header.transfer, header.position, data.to_vec()));
        let long = decoded.map(|frame| match frame {
            Frame::Chunk { transfer, position, data } => (false, transfer, position, data),
            Frame::Zchunk { transfer, position, frame } => (true, transfer, position, frame),
            other => panic!("a chunk became {other:?}"),
        });
        assert_eq!(chunk, long);
    }
}

/// The vectors: one of each kind.
pub(crate) fn frame_seeds() -> Vec<Vec<u8>> {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/frames.json")).unwrap();
    let bytes = |case: &Value| {
        let digits = case["bytes"].as_str().unwrap();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    };
    vectors.as_array().unwrap().iter().map(bytes).collect()
}

/// A hello that is accepted encodes to the same bytes, has the own mode, and is not the own.
pub(crate) fn hello(data: &[u8]) {
    let mut bytes = data.to_vec();
    bytes.resize(HELLO, 0);
    let bytes: [u8; HELLO] = bytes.try_into().unwrap();
    for mode in [Mode::Open, Mode::Code] {
        let own = Hello::new(mode).unwrap();
        if let Ok(theirs) = Hello::decode(&bytes, &own) {
            assert_eq!(theirs.encode(), bytes);
            assert_eq!(theirs.mode(), mode);
            assert!(Hello::decode(&bytes, &theirs).is_err(), "a hello is never its own peer's");
        }
    }
    let _ = PublicKey::from_text(&String::from_utf8_lossy(data)).map(|key| {
        assert_eq!(PublicKey::from_text(&key.to_text()), Some(key));
    });
}

pub(crate) fn hello_seeds() -> Vec<Vec<u8>> {
    let hellos = [Mode::Open, Mode::Code].map(|mode| Hello::new(mode).unwrap().encode().to_vec());
    hellos.into_iter().chain([PublicKey([5; 32]).to_text().into_bytes()]).collect()
}

/// A frame opens to exactly as many bytes as its header says, each time the same, or not at all, and nothing beyond them is touched; and
/// what is compressed opens to itself.
pub(crate) fn zchunk(data: &[u8]) {
    if let Some(len) = content_len(data) {
        assert!((1..=CHUNK_DATA).contains(&len));
        let open = |fill| {
            let mut room = vec![fill; len + 64];
            let opened = Decompressor::default().open(data, &mut room[..len]);
            assert!(room[len..].iter().all(|byte| *byte == fill), "written beyond the end");
            opened.map(|()| room[..len].to_vec())
        };
        let opened = open(0x55);
        assert_eq!(opened, open(0xaa));
        if opened.is_ok() {
            assert!(
                Decompressor::default().open(&[data, &[0]].concat(), &mut vec![0; len]).is_err(),
                "bytes after its end"
            );
        }
    }
    let chunk = &data[..data.len().min(CHUNK_DATA)];
    let mut compressor = Compressor::default();
    if let Some(frame) = compressor.compress(chunk) {
        let mut opened = vec![0; content_len(frame).unwrap()];
        assert!(frame.len() < chunk.len());
        assert_eq!(Decompressor::default().open(frame, &mut opened), Ok(()));
        assert_eq!(opened, chunk);
    }
}

pub(crate) fn zchunk_seeds() -> Vec<Vec<u8>> {
    let source = include_bytes!("wire.rs");
    let contents = [&source[..], &source[..200], &[0; CHUNK_DATA], &b"0123456789abcdef".repeat(100)];
    contents.map(|content| Compressor::default().compress(content).unwrap().to_vec()).to_vec()
}

/// A list that is accepted encodes to the same bytes, and every file has its place below 2^63 and a name that is one.
pub(crate) fn list(data: &[u8]) {
    let Ok(list) = manifest::read(data) else { return };
    assert_eq!(list.encode(), data);
    assert_eq!(Manifest::decode(data, &list.offer(data)).as_ref(), Ok(&list));
    assert!(list.end() < POSITIONS);
    for file in list.files() {
        assert!(Name::new(file.name).is_ok());
        assert!(file.next() <= list.end());
        assert_eq!(list.file_at(file.start), Some(file));
        assert_eq!(list.file_at(file.end()), Some(file));
        let path = list.path(file.index);
        assert!(Path::new(&path).components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
    }
}

pub(crate) fn list_seeds() -> Vec<Vec<u8>> {
    let meta = Meta { mode: 0o644, seconds: -1, nanos: 999_999_999 };
    let list = |depth: usize| {
        let mut builder = Builder::default();
        for level in 0..depth {
            builder.enter(Name::new(&format!("folder{level}")).unwrap(), meta).unwrap();
        }
        builder.file(Name::new("a").unwrap(), meta, 5).unwrap();
        builder.file(Name::new("\u{65e5}\u{672c}.txt").unwrap(), Meta::default(), 1 << 40).unwrap();
        (0..depth).for_each(|_| builder.leave().unwrap());
        builder.finish().unwrap().encode()
    };
    [0, 1, 3, 64].map(list).to_vec()
}
