//! Real files, a real send queue, and the peer's answers played by the test.

#![allow(clippy::as_conversions, reason = "the numbers of these tests are small constants")]

mod stream;

use super::*;
use crate::command::{self, Command, Entry};
use crate::protocol::frame::{CHUNK_DATA, Control, Frame};
use crate::transfer::compression::{Decompressor, content_len};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};

const BIG: usize = 3 * CHUNK_DATA + 5;

struct Fixture {
    _dir: tempfile::TempDir,
    root: PathBuf,
    uploads: Uploads,
    reports: Receiver<(TransferId, UploadReport)>,
    queue: Arc<SendQueue>,
    seq: u64,
    /// The peer opens compressed chunks.
    zchunks: bool,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tree");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a"), vec![1; BIG]).unwrap();
        fs::write(root.join("b"), "").unwrap();
        fs::write(root.join("c"), "small").unwrap();
        let (tell, reports) = mpsc::channel();
        let uploads =
            Uploads::start(dir.path().join("data"), Arc::new(move |id, report| drop(tell.send((id, report)))));
        let mut fixture = Self {
            _dir: dir,
            root,
            uploads: uploads.unwrap(),
            reports,
            queue: Arc::new(SendQueue::default()),
            seq: 0,
            zchunks: false,
        };
        fixture.connect();
        fixture
    }

    fn connect(&mut self) {
        self.queue.close();
        self.uploads.disconnected();
        self.queue = Arc::new(SendQueue::default());
        if self.zchunks {
            self.queue.allow_zchunks();
        }
        self.uploads.connected(Arc::clone(&self.queue));
        self.queue.peer_credit(1 << 40).unwrap();
    }

    fn scan(&self, transfer: TransferId, path: &Path) -> UploadReport {
        let line = format!("/send {}", path.display());
        let Ok(Entry::Command(Command::Send(args))) = command::parse(&line, None) else { panic!("{line}") };
        self.uploads.scan(transfer, args).unwrap();
        self.report(transfer)
    }

    fn report(&self, transfer: TransferId) -> UploadReport {
        let (id, report) = self.reports.recv().unwrap();
        assert_eq!(id, transfer);
        report
    }

    /// Offers the tree under this number, and gives what the peer is sent until its list is there.
    fn offer(&mut self, transfer: TransferId) -> Offer {
        let UploadReport::Scanned { offer, .. } = self.scan(transfer, &self.root.clone()) else { panic!() };
        self.seq += 1;
        self.queue.control(self.seq, Control::Offer { transfer, offer: offer.clone() });
        self.uploads.begin(transfer);
        self.frames(|frame| matches!(frame, Frame::Chunk { transfer: of, .. } if *of == transfer));
        offer
    }

    /// What the writer takes until the last of a batch is wanted.
    fn frames(&self, is_last: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = Vec::new();
        while !frames.last().is_some_and(&is_last) {
            let batch = self.queue.take(1).expect("an open queue");
            frames.extend(batch.frames);
            for mut bulk in batch.bulk {
                frames.extend(bulk.records_mut().map(|record| Frame::decode(&record[2..record.len() - 16]).unwrap()));
            }
        }
        frames
    }

    /// The data of a transfer from BEGIN to its end: where it begins, and its bytes.
    fn data(&self, transfer: TransferId) -> (Position, Vec<u8>) {
        let end = self.list(transfer).files().last().unwrap().end();
        let last = |frame: &Frame| matches!(frame, Frame::FileEnd { position, .. } if *position == end);
        let (mut begin, mut next, mut bytes, mut compressed) = (None, 0, Vec::new(), false);
        for frame in self.frames(last) {
            match frame {
                Frame::Begin { position, .. } => (begin, next) = (Some(position), position),
                Frame::Chunk { position, data, .. } => {
                    assert_eq!(position, next);
                    next += u64::try_from(data.len()).unwrap();
                    bytes.extend(data);
                }
                Frame::Zchunk { position, frame, .. } => {
                    assert!(self.zchunks && position == next);
                    let start = bytes.len();
                    bytes.resize(start + content_len(&frame).unwrap(), 0);
                    Decompressor::default().open(&frame, &mut bytes[start..]).unwrap();
                    next += u64::try_from(bytes.len() - start).unwrap();
                    compressed = true;
                }
                Frame::FileEnd { position, .. } => {
                    assert_eq!(position, next);
                    next += 1_024;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(compressed, self.zchunks && bytes.len() > CHUNK_DATA, "{} bytes", bytes.len());
        (begin.unwrap(), bytes)
    }

    fn list(&self, transfer: TransferId) -> Arc<Manifest> {
        Arc::clone(&self.uploads.shared.lock().transfers[&transfer].files.as_ref().unwrap().list)
    }

    fn start(&self, transfer: TransferId) -> Position {
        self.list(transfer).data_start()
    }
}

fn digest(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}

fn whole() -> Vec<u8> {
    [&vec![1; BIG][..], b"small"].concat()
}

#[test]
fn a_restart_goes_on_where_the_receiver_stands_or_at_the_start_of_a_file_that_differs() {
    for zchunks in [false, true] {
        restarts(zchunks);
    }
}

fn restarts(zchunks: bool) {
    let mut fixture = Fixture::new();
    fixture.zchunks = zchunks;
    fixture.connect();
    fixture.offer(1);
    let start = fixture.start(1);
    fixture.uploads.accepted(1, start, NO_DIGEST).unwrap();
    fixture.data(1);
    let wrong = [9; 32];
    let small = start + BIG as u64 + 2 * 1_024;
    let cases = [
        (start, NO_DIGEST, start, 0),
        (start + 7, digest(&[1; 7]), start + 7, 7),
        (start + CHUNK_DATA as u64, digest(&[1; CHUNK_DATA]), start + CHUNK_DATA as u64, CHUNK_DATA),
        (start + 2 * CHUNK_DATA as u64, wrong, start, 0),
        (start + BIG as u64, digest(&[1; BIG]), start + BIG as u64, BIG),
        (small, NO_DIGEST, small, BIG),
        (small + 5, digest(b"small"), small + 5, BIG + 5),
        (small + 5, wrong, small, BIG),
    ];
    for (position, of_prefix, begins, skipped) in cases {
        fixture.connect();
        fixture.uploads.restart(1, position, of_prefix).unwrap();
        assert_eq!(fixture.data(1), (begins, whole()[skipped..].to_vec()), "{position}");
    }
    // Nothing is left to send.
    fixture.connect();
    let end = fixture.list(1).end();
    fixture.uploads.restart(1, end, NO_DIGEST).unwrap();
    fixture.uploads.complete(1).unwrap();
}

#[test]
fn a_list_goes_on_where_the_receiver_stands() {
    let mut fixture = Fixture::new();
    fixture.offer(1);
    let encoded = fixture.start(1);
    fixture.connect();
    let beyond = fixture.uploads.restart(1, encoded + 1, NO_DIGEST);
    assert_eq!(beyond, Err(ProtocolError::Position("RESTART", 1)));
    fixture.uploads.restart(1, 3, NO_DIGEST).unwrap();
    let frames = fixture.frames(|frame| matches!(frame, Frame::Chunk { .. }));
    assert!(matches!(&frames[..], [Frame::Chunk { position: 3, data, .. }] if data.len() as u64 == encoded - 3));
    fixture.connect();
    fixture.uploads.restart(1, encoded, NO_DIGEST).unwrap();
    fixture.uploads.accepted(1, encoded, NO_DIGEST).unwrap();
    assert_eq!(fixture.data(1).0, encoded);
}

#[test]
fn a_list_cannot_go_on_beyond_what_was_sent_of_it() {
    let mut fixture = Fixture::new();
    for name in 0..2_000 {
        fs::write(fixture.root.join(format!("{name:040}")), "").unwrap();
    }
    let UploadReport::Scanned { .. } = fixture.scan(1, &fixture.root.clone()) else { panic!() };
    fixture.uploads.begin(1);
    fixture.frames(|frame| matches!(frame, Frame::Chunk { .. }));
    fixture.connect();
    let chunk = CHUNK_DATA as u64;
    assert!(chunk < fixture.start(1));
    let wrong = Err(ProtocolError::Position("RESTART", 1));
    assert_eq!(fixture.uploads.restart(1, chunk + 1, NO_DIGEST), wrong);
    assert_eq!(fixture.uploads.restart(1, chunk, NO_DIGEST), Ok(()));
}

#[test]
fn what_the_peer_may_not_say_is_its_fault() {
    let mut fixture = Fixture::new();
    fixture.offer(1);
    let start = fixture.start(1);
    let position = |frame| Err(ProtocolError::Position(frame, 1));
    let time = |frame| Err(ProtocolError::WrongTime(frame, 1));
    assert_eq!(fixture.uploads.accepted(1, start - 1, NO_DIGEST), position("ACCEPT"));
    assert_eq!(fixture.uploads.accepted(1, start, [1; 32]), position("ACCEPT"));
    assert_eq!(fixture.uploads.accepted(1, start + BIG as u64 + 1, NO_DIGEST), position("ACCEPT"));
    assert_eq!(fixture.uploads.complete(1), time("COMPLETE"));
    fixture.uploads.accepted(1, start + 7, digest(&[1; 7])).unwrap();
    assert_eq!(fixture.uploads.accepted(1, start, NO_DIGEST), time("ACCEPT"));
    fixture.data(1);
    assert_eq!(fixture.uploads.received(1, start + 6), position("RECEIVED"));
    let end = fixture.list(1).end();
    assert_eq!(fixture.uploads.received(1, end + 1), position("RECEIVED"));
    fixture.uploads.received(1, start + 9).unwrap();
    assert_eq!(fixture.uploads.received(1, start + 8), position("RECEIVED"));
    fixture.connect();
    assert_eq!(fixture.uploads.restart(1, start + 8, digest(&[1; 8])), position("RESTART"));
    assert_eq!(fixture.uploads.restart(1, end + 1, NO_DIGEST), position("RESTART"));
    assert_eq!(fixture.uploads.complete(1), time("COMPLETE"));
    // What is gone is not the peer's fault.
    fixture.uploads.cancel(1);
    assert_eq!(fixture.uploads.accepted(1, 0, NO_DIGEST), Ok(()));
}

#[test]
fn a_list_that_is_not_sent_cannot_be_accepted() {
    let fixture = Fixture::new();
    let UploadReport::Scanned { .. } = fixture.scan(1, &fixture.root) else { panic!() };
    fixture.uploads.begin(1);
    let start = fixture.start(1);
    assert_eq!(fixture.uploads.accepted(1, start, NO_DIGEST), Err(ProtocolError::WrongTime("ACCEPT", 1)));
}

#[test]
fn transfers_take_turns_and_one_that_is_cancelled_makes_room() {
    let mut fixture = Fixture::new();
    fs::write(fixture.root.join("a"), vec![1; 64 * CHUNK_DATA]).unwrap();
    for transfer in [1, 3, 5] {
        fixture.offer(transfer);
        fixture.uploads.accepted(transfer, fixture.start(transfer), NO_DIGEST).unwrap();
    }
    let chunk_of = |frame: &Frame| match frame {
        Frame::Chunk { transfer, .. } => Some(*transfer),
        _ => None,
    };
    // Each comes long before another is done.
    for transfer in [1, 3, 5] {
        let frames = fixture.frames(|frame| chunk_of(frame) == Some(transfer));
        assert!(frames.len() < 64, "{transfer}");
    }
    fixture.uploads.cancel(1);
    fixture.uploads.cancel(3);
    let last = |frame: &Frame| matches!(frame, Frame::FileEnd { transfer: 5, .. });
    assert!(fixture.frames(last).iter().all(|frame| chunk_of(frame).is_none_or(|transfer| transfer == 5)));
}

#[test]
fn nothing_is_sent_when_the_receiver_has_it_all() {
    let mut fixture = Fixture::new();
    fixture.offer(1);
    let end = fixture.list(1).end();
    fixture.uploads.accepted(1, end, NO_DIGEST).unwrap();
    fixture.uploads.complete(1).unwrap();
    assert!(matches!(fixture.report(1), UploadReport::Finished { .. }));
    fixture.queue.ping();
    assert!(fixture.queue.take(16).unwrap().bulk.is_empty());
}

#[cfg(unix)]
#[test]
fn a_link_that_was_named_is_followed() {
    let mut fixture = Fixture::new();
    let link = fixture.root.with_file_name("link");
    std::os::unix::fs::symlink(fixture.root.join("a"), &link).unwrap();
    fixture.root = link;
    fixture.offer(1);
    fixture.uploads.accepted(1, fixture.start(1), NO_DIGEST).unwrap();
    assert_eq!(fixture.data(1).1, vec![1; BIG]);
}

#[test]
fn what_a_lost_connection_said_of_a_transfer_that_is_all_there_is_said_again_without_restart() {
    let mut fixture = Fixture::new();
    fixture.offer(1);
    let end = fixture.list(1).end();
    fixture.connect();
    fixture.uploads.accepted(1, end, NO_DIGEST).unwrap();
    fixture.uploads.complete(1).unwrap();
    assert!(matches!(fixture.report(1), UploadReport::Finished { .. }));
}
