//! Claims about streams.

use super::*;
use crate::command::StreamReader;
use crate::protocol::frame::{END_WEIGHT, FileStatus, STREAM_BYTES};
use std::io::{self, Read};
use std::sync::atomic::AtomicU64;

/// `len` bytes whose values depend on their place, then an end or an error; counts what was read.
struct Source {
    len: u64,
    fails: bool,
    read: Arc<AtomicU64>,
}

fn byte(place: u64) -> u8 {
    (place % 251) as u8
}

impl Read for Source {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let place = self.read.load(Ordering::Relaxed);
        let count = (self.len - place).min(room.len() as u64).min(50_000);
        if count == 0 && self.fails {
            return Err(io::Error::other("the pipe burst"));
        }
        for (byte_, place) in room.iter_mut().zip(place..place + count) {
            *byte_ = byte(place);
        }
        self.read.fetch_add(count, Ordering::Relaxed);
        Ok(count as usize)
    }
}

fn digest_of(len: u64) -> Digest {
    digest(&(0..len).map(byte).collect::<Vec<_>>())
}

impl Fixture {
    /// Offers a stream, and accepts it; gives where its data begins.
    fn stream(&mut self, len: u64, fails: bool) -> (Position, Arc<AtomicU64>) {
        let read = Arc::new(AtomicU64::new(0));
        let reader = StreamReader::new(Source { len, fails, read: Arc::clone(&read) });
        self.uploads.scan(1, SendSource::Stream { name: "-".into(), reader: reader.clone() }).unwrap();
        let UploadReport::Scanned { offer, list, .. } = self.report(1) else { panic!() };
        assert_eq!((offer.files, offer.folders, offer.bytes, list.first_name()), (1, 0, STREAM_BYTES, "-"));
        assert!(reader.take().is_none());
        self.seq += 1;
        self.queue.control(self.seq, Control::Offer { transfer: 1, offer });
        self.uploads.begin(1);
        self.frames(|frame| matches!(frame, Frame::Chunk { .. }));
        let start = self.start(1);
        for wrong in [start + 1, start + 1_024] {
            let refused = self.uploads.accepted(1, wrong, NO_DIGEST);
            assert_eq!(refused, Err(ProtocolError::Position("ACCEPT", 1)));
        }
        self.uploads.accepted(1, start, NO_DIGEST).unwrap();
        (start, read)
    }

    /// Takes the stream from `from` to FILE_END or `chunks` chunks; gives where it stands, and its end.
    fn take(&self, start: Position, from: Position, chunks: usize) -> (Position, Option<(FileStatus, Digest)>) {
        let mut next = from;
        for _ in 0..chunks {
            let last = |frame: &Frame| matches!(frame, Frame::Chunk { .. } | Frame::FileEnd { .. });
            for frame in self.frames(last) {
                match frame {
                    Frame::Begin { position, .. } => assert_eq!(position, from),
                    Frame::Chunk { position, data, .. } => {
                        assert_eq!(position, next);
                        assert!(data.iter().zip(position - start..).all(|(found, place)| *found == byte(place)));
                        next += data.len() as u64;
                    }
                    Frame::FileEnd { position, status, digest, .. } => {
                        assert_eq!(position, next);
                        return (next + END_WEIGHT, Some((status, digest)));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        (next, None)
    }
}

#[test]
fn a_stream_goes_from_its_offer_to_the_last_report() {
    for len in [0, 1, CHUNK_DATA as u64, 3 * CHUNK_DATA as u64 + 7] {
        let mut fixture = Fixture::new();
        let (start, _) = fixture.stream(len, false);
        let (end, ended) = fixture.take(start, start, usize::MAX);
        assert_eq!((end, ended), (start + len + END_WEIGHT, Some((FileStatus::Whole, digest_of(len)))));
        fixture.uploads.received(1, start + len / 2).unwrap();
        assert_eq!(fixture.uploads.progress(1), (len / 2, 0));
        fixture.uploads.received(1, end).unwrap();
        let UploadReport::FilesSent(files) = fixture.report(1) else { panic!() };
        assert_eq!(files, [SentFile { path: "-".into(), bytes: len, digest: digest_of(len) }]);
        assert_eq!(fixture.uploads.progress(1), (len, 1));
        fixture.uploads.complete(1).unwrap();
        assert!(matches!(fixture.report(1), UploadReport::Finished { .. }));
    }
}

#[test]
fn a_stream_goes_on_from_any_byte_that_was_sent_and_is_not_known_to_be_received() {
    let mut fixture = Fixture::new();
    let len = 9 * CHUNK_DATA as u64 + 5;
    let (start, _) = fixture.stream(len, false);
    fixture.take(start, start, 2);
    let known = start + 70_000;
    fixture.uploads.received(1, known).unwrap();
    let mut stands = known;
    for chunks in [1, 2, 3, usize::MAX] {
        fixture.connect();
        let wrong = Err(ProtocolError::Position("RESTART", 1));
        for (position, digest) in [(known - 1, NO_DIGEST), (stands, [1; 32]), (start + len + 1, NO_DIGEST)] {
            assert_eq!(fixture.uploads.restart(1, position, digest), wrong, "{position}");
        }
        fixture.uploads.restart(1, stands, NO_DIGEST).unwrap();
        let (_, ended) = fixture.take(start, stands, chunks);
        assert_eq!(ended.is_some(), chunks == usize::MAX);
        stands += 10_001;
    }
    // Only COMPLETE is missing.
    fixture.connect();
    fixture.uploads.restart(1, start + len + END_WEIGHT, NO_DIGEST).unwrap();
    assert!(matches!(fixture.report(1), UploadReport::FilesSent(_)));
    fixture.uploads.complete(1).unwrap();
}

#[test]
fn a_stream_that_nobody_wants_any_more_is_read_no_further() {
    let mut fixture = Fixture::new();
    let (_, read) = fixture.stream(u64::MAX, false);
    fixture.uploads.cancel(1);
    let weak = Arc::downgrade(&read);
    drop(read);
    while weak.upgrade().is_some() {
        thread::yield_now();
    }
}

#[test]
fn a_stream_that_cannot_be_read_on_fails_on_both_sides() {
    let mut fixture = Fixture::new();
    let (start, _) = fixture.stream(70_000, true);
    let (_, ended) = fixture.take(start, start, usize::MAX);
    assert_eq!(ended, Some((FileStatus::Unreadable, NO_DIGEST)));
    let UploadReport::FileFailed { path, text } = fixture.report(1) else { panic!() };
    assert_eq!((path, text.as_str()), ("-".into(), "the pipe burst"));
    let again = SendSource::Stream { name: "a/b".into(), reader: StreamReader::new(io::empty()) };
    fixture.uploads.scan(3, again).unwrap();
    assert!(matches!(fixture.report(3), UploadReport::Unsendable(CommandError { code: "bad-argument", .. })));
}
